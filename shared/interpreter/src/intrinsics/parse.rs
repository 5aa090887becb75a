//! Text to [`Call`].

use serde_json::{Number, Value};

use super::functions::Function;
use super::{Argument, Call, IntrinsicError, MAX_NESTING};
use crate::jsonpath::Reference;

/// Parses a whole text as one call.
pub(super) fn call(text: &str) -> Result<Call, IntrinsicError> {
    let mut parser = Parser { text, at: 0 };
    parser.skip_spaces();
    let call = parser.call(1)?;
    parser.skip_spaces();
    if parser.at < text.len() {
        return Err(parser.unexpected());
    }
    Ok(call)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        if found {
            self.at += expected.len_utf8();
        }
        found
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn unexpected(&self) -> IntrinsicError {
        let found = self.peek().map_or("the end".to_owned(), |c| format!("'{c}'"));
        self.syntax(format!("unexpected {found} at position {}", self.at))
    }

    fn syntax(&self, problem: String) -> IntrinsicError {
        IntrinsicError::Syntax {
            message: format!("'{}' is not an intrinsic function call: {problem}", self.text),
        }
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn call(&mut self, depth: usize) -> Result<Call, IntrinsicError> {
        if depth > MAX_NESTING {
            return Err(self.syntax(format!("calls nest deeper than {MAX_NESTING} levels")));
        }
        let start = self.at;
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '.');
        let function =
            Function::named(name).ok_or_else(|| self.syntax(format!("there is no function '{name}'")))?;
        self.skip_spaces();
        if !self.eat('(') {
            return Err(self.unexpected());
        }
        let mut arguments = Vec::new();
        self.skip_spaces();
        if !self.eat(')') {
            loop {
                self.skip_spaces();
                arguments.push(self.argument(depth)?);
                self.skip_spaces();
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.unexpected());
                }
            }
        }
        if !function.takes(arguments.len()) {
            return Err(self.syntax(format!("{name} does not take {} arguments", arguments.len())));
        }
        Ok(Call { text: self.text[start..self.at].to_owned(), function, arguments })
    }

    fn argument(&mut self, depth: usize) -> Result<Argument, IntrinsicError> {
        match self.peek() {
            Some('\'') => self.quoted(),
            Some('$') => self.path(),
            Some('S') => Ok(Argument::Call(Box::new(self.call(depth + 1)?))),
            _ => self.literal(),
        }
    }

    fn quoted(&mut self) -> Result<Argument, IntrinsicError> {
        self.at += 1;
        let rest = self.rest();
        let mut escaped = false;
        for (length, c) in rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\'' => {
                    self.at += length + 1;
                    return Ok(Argument::Text(rest[..length].to_owned()));
                }
                _ => {}
            }
        }
        Err(self.syntax("a text is not closed by a quote".to_owned()))
    }

    /// A path ends at the comma or parenthesis that belongs to the call, not to the path.
    fn path(&mut self) -> Result<Argument, IntrinsicError> {
        let rest = self.rest();
        let mut open = 0_usize;
        let mut quote = None;
        let mut escaped = false;
        let mut length = rest.len();
        for (at, c) in rest.char_indices() {
            match (quote, c) {
                _ if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(closing), _) if c == closing => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') if open > 0 => quote = Some(c),
                (None, '[' | '(') => open += 1,
                (None, ']' | ')') if open > 0 => open -= 1,
                (None, ',' | ')') if open == 0 => {
                    length = at;
                    break;
                }
                _ => {}
            }
        }
        let text = rest[..length].trim_end();
        let reference = Reference::parse(text).map_err(|error| self.syntax(error.message))?;
        self.at += length;
        Ok(Argument::Path(text.to_owned(), reference))
    }

    fn literal(&mut self) -> Result<Argument, IntrinsicError> {
        let start = self.at;
        let word = self.take_while(|c| !c.is_whitespace() && !matches!(c, ',' | '(' | ')'));
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => match word.parse::<Number>() {
                Ok(number) => Value::Number(number),
                Err(_) => {
                    self.at = start;
                    return Err(self.unexpected());
                }
            },
        };
        Ok(Argument::Literal(value))
    }
}
