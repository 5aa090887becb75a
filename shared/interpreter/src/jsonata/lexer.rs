//! Characters to tokens. The parser asks for one at a time, because only it knows whether a `/`
//! begins a regular expression.

use regex::{Regex, RegexBuilder};

use super::MAX_REGEX_BYTES;
use super::error::JsonataError;

#[derive(Clone, Debug)]
pub(super) enum Token {
    Name(String),
    Variable(String),
    Number(f64),
    Text(String),
    Bool(bool),
    Null,
    Regex(Box<Regex>),
    Operator(&'static str),
    End,
}

impl Token {
    /// The token as an error message shows it.
    pub(super) fn shown(&self) -> String {
        let text = match self {
            Self::Name(text) | Self::Variable(text) | Self::Text(text) => text.clone(),
            Self::Number(number) => return number.to_string(),
            Self::Bool(value) => return value.to_string(),
            Self::Null => return "null".to_owned(),
            Self::Regex(regex) => format!("/{}/", regex.as_str()),
            Self::Operator(operator) => (*operator).to_owned(),
            Self::End => "(end)".to_owned(),
        };
        serde_json::Value::String(text).to_string()
    }
}

/// Longer operators come before those they begin with. `!` and `~` only end names.
const OPERATORS: [&str; 33] = [
    "..", ":=", "!=", ">=", "<=", "**", "~>", ".", "[", "]", "{", "}", "(", ")", ",", "@", "#", ";", ":",
    "?", "+", "-", "*", "/", "%", "|", "=", "<", ">", "^", "&", "!", "~",
];

pub(super) struct Lexer {
    source: Vec<char>,
    pub(super) position: usize,
}

impl Lexer {
    pub(super) fn new(source: &str) -> Self {
        Self { source: source.chars().collect(), position: 0 }
    }

    fn at(&self, position: usize) -> Option<char> {
        self.source.get(position).copied()
    }

    fn text(&self, from: usize, to: usize) -> String {
        self.source[from.min(to)..to].iter().collect()
    }

    fn error(&self, code: &'static str, message: impl Into<String>) -> JsonataError {
        JsonataError::syntax(code, self.position, message)
    }

    /// The next token; `operand` when a value may stand here, so that `/` begins a pattern.
    pub(super) fn next(&mut self, operand: bool) -> Result<Token, JsonataError> {
        self.skip_spaces_and_comments()?;
        let Some(first) = self.at(self.position) else {
            return Ok(Token::End);
        };
        if operand && first == '/' {
            self.position += 1;
            return self.regex();
        }
        if let Some(operator) = self.operator_at(self.position) {
            self.position += operator.len();
            return Ok(Token::Operator(operator));
        }
        match first {
            '"' | '\'' => self.quoted(first),
            '0'..='9' => self.number(),
            '`' => self.backquoted(),
            _ => Ok(self.word()),
        }
    }

    fn operator_at(&self, position: usize) -> Option<&'static str> {
        OPERATORS
            .into_iter()
            .find(|operator| operator.chars().enumerate().all(|(at, c)| self.at(position + at) == Some(c)))
    }

    fn skip_spaces_and_comments(&mut self) -> Result<(), JsonataError> {
        loop {
            while self.at(self.position).is_some_and(is_space) {
                self.position += 1;
            }
            if self.at(self.position) != Some('/') || self.at(self.position + 1) != Some('*') {
                return Ok(());
            }
            let start = self.position;
            self.position += 2;
            while !(self.at(self.position) == Some('*') && self.at(self.position + 1) == Some('/')) {
                if self.position >= self.source.len() {
                    self.position = start;
                    return Err(self.error("S0106", "Comment has no closing tag"));
                }
                self.position += 1;
            }
            self.position += 2;
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token, JsonataError> {
        self.position += 1;
        // UTF-16 units, so that an escaped surrogate pair becomes one character.
        let mut units: Vec<u16> = Vec::new();
        loop {
            let Some(c) = self.at(self.position) else {
                return Err(self.error("S0101", "String literal must be terminated by a matching quote"));
            };
            self.position += 1;
            if c == quote {
                return Ok(Token::Text(String::from_utf16_lossy(&units)));
            }
            let c = if c == '\\' {
                let escape = self.at(self.position).unwrap_or('\0');
                match escape {
                    '"' | '\\' | '/' => escape,
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let end = (self.position + 5).min(self.source.len());
                        let digits = self.text(self.position + 1, end);
                        let unit = u16::from_str_radix(&digits, 16).ok();
                        let Some(unit) = unit.filter(|_| digits.len() == 4) else {
                            return Err(self
                                .error("S0104", "The escape sequence \\u must be followed by 4 hex digits"));
                        };
                        units.push(unit);
                        self.position += 5;
                        continue;
                    }
                    other => {
                        return Err(
                            self.error("S0103", format!("Unsupported escape sequence: \\\"{other}\""))
                        );
                    }
                }
            } else {
                units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
                continue;
            };
            self.position += 1;
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
    }

    fn number(&mut self) -> Result<Token, JsonataError> {
        let start = self.position;
        let digits = |lexer: &Self, mut at: usize| {
            while lexer.at(at).is_some_and(|c| c.is_ascii_digit()) {
                at += 1;
            }
            at
        };
        // A leading zero stands alone: `01` is 0 and then 1.
        let mut end = if self.at(start) == Some('0') { start + 1 } else { digits(self, start) };
        if self.at(end) == Some('.') && digits(self, end + 1) > end + 1 {
            end = digits(self, end + 1);
        }
        if matches!(self.at(end), Some('e' | 'E')) {
            let signed = usize::from(matches!(self.at(end + 1), Some('+' | '-')));
            let exponent = digits(self, end + 1 + signed);
            if exponent > end + 1 + signed {
                end = exponent;
            }
        }
        let text = self.text(start, end);
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.position = end;
                Ok(Token::Number(number))
            }
            _ => Err(self.error("S0102", format!("Number out of range: \"{text}\""))),
        }
    }

    fn backquoted(&mut self) -> Result<Token, JsonataError> {
        let start = self.position + 1;
        match self.source[start..].iter().position(|c| *c == '`') {
            Some(length) => {
                self.position = start + length + 1;
                Ok(Token::Name(self.text(start, start + length)))
            }
            None => {
                self.position = self.source.len();
                Err(self.error("S0105", "Quoted property name must be terminated with a backquote (`)"))
            }
        }
    }

    fn word(&mut self) -> Token {
        let start = self.position;
        while self.at(self.position).is_some_and(|c| !is_space(c))
            && self.operator_at(self.position).is_none()
        {
            self.position += 1;
        }
        let word = self.text(start, self.position);
        if let Some(name) = word.strip_prefix('$') {
            return Token::Variable(name.to_owned());
        }
        match word.as_str() {
            "and" => Token::Operator("and"),
            "or" => Token::Operator("or"),
            "in" => Token::Operator("in"),
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            "null" => Token::Null,
            _ => Token::Name(word),
        }
    }

    /// Behind the opening slash. A slash inside brackets does not close the pattern.
    fn regex(&mut self) -> Result<Token, JsonataError> {
        let start = self.position;
        let mut depth = 0_i32;
        let mut escaped = false;
        loop {
            let Some(c) = self.at(self.position) else {
                return Err(self.error("S0302", "No terminating / in regular expression"));
            };
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '/' if depth == 0 => break,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            self.position += 1;
        }
        let pattern = self.text(start, self.position);
        if pattern.is_empty() {
            return Err(self.error("S0301", "Empty regular expressions are not allowed"));
        }
        self.position += 1;
        let mut builder = RegexBuilder::new(&translated(&pattern));
        builder.size_limit(MAX_REGEX_BYTES);
        while let Some(flag @ ('i' | 'm')) = self.at(self.position) {
            self.position += 1;
            if flag == 'i' {
                builder.case_insensitive(true);
            } else {
                builder.multi_line(true);
            }
        }
        // Look-around and back-references are refused here: matching must stay linear in time.
        builder
            .build()
            .map(|regex| Token::Regex(Box::new(regex)))
            .map_err(|_| self.error("S0303", format!("The regular expression /{pattern}/ is not supported")))
    }
}

/// A pattern of JavaScript in the syntax of the regex crate: `\d`, `\w` and `\b` mean ASCII only,
/// and an escaped letter or sign without a meaning stands for itself.
fn translated(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut in_class = false;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('d') if in_class => text.push_str("0-9"),
                Some('d') => text.push_str("[0-9]"),
                Some('D') => text.push_str("[^0-9]"),
                Some('w') if in_class => text.push_str("0-9A-Za-z_"),
                Some('w') => text.push_str("[0-9A-Za-z_]"),
                Some('W') => text.push_str("[^0-9A-Za-z_]"),
                Some('b') if !in_class => text.push_str(r"(?-u:\b)"),
                Some('B') if !in_class => text.push_str(r"(?-u:\B)"),
                Some('/') => text.push('/'),
                Some(' ') => text.push_str(r"\x20"),
                Some(next) => {
                    text.push('\\');
                    text.push(next);
                }
                None => text.push_str(r"\\"),
            },
            '[' if in_class => text.push_str(r"\["),
            '[' => {
                in_class = true;
                text.push('[');
            }
            ']' => {
                in_class = false;
                text.push(']');
            }
            // Class set operators of the regex crate are plain characters in JavaScript.
            '&' | '~' if in_class => {
                text.push('\\');
                text.push(c);
            }
            _ => text.push(c),
        }
    }
    text
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}')
}
