//! Text to [`Path`].

use super::filter::{self, Filter};
use super::{Function, MAX_NESTING, Path, PathError, Step};

/// Parses a whole text as one path.
pub(super) fn path(text: &str) -> Result<Path, PathError> {
    let mut reader = Reader::new(text);
    let path = reader.path('$')?;
    if reader.at < reader.chars.len() {
        return Err(reader.unexpected());
    }
    Ok(Path { text: text.to_owned(), ..path })
}

/// A cursor over the characters of a path and of the filters inside it.
pub(super) struct Reader {
    pub(super) chars: Vec<char>,
    pub(super) at: usize,
    pub(super) nesting: usize,
}

impl Reader {
    fn new(text: &str) -> Self {
        Self { chars: text.chars().collect(), at: 0, nesting: 0 }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn eat(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    pub(super) fn eat_text(&mut self, expected: &str) -> bool {
        let length = expected.chars().count();
        let found = self.chars[self.at..].iter().copied().take(length).eq(expected.chars());
        if found {
            self.at += length;
        }
        found
    }

    pub(super) fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    pub(super) fn unexpected(&self) -> PathError {
        match self.peek() {
            Some(found) => {
                PathError::syntax(format!("Unexpected character '{found}' at position {}", self.at))
            }
            None => PathError::syntax("Unexpected end of path"),
        }
    }

    /// Runs `inner` one nesting level deeper.
    pub(super) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, PathError>,
    ) -> Result<T, PathError> {
        if self.nesting == MAX_NESTING {
            return Err(PathError::syntax(format!("the path nests deeper than {MAX_NESTING} levels")));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    /// A path that begins with `root` (`$`, or `@` inside a filter) and ends where no step follows.
    pub(super) fn path(&mut self, root: char) -> Result<Path, PathError> {
        let start = self.at;
        if !self.eat(root) {
            return Err(PathError::syntax("Path must start with '$' or '@'"));
        }
        let mut steps = Vec::new();
        let mut function = None;
        while function.is_none() {
            if self.eat('.') {
                if self.eat('.') {
                    steps.push(Step::Descend);
                    if self.peek() == Some('[') {
                        continue;
                    }
                }
                if self.eat('*') {
                    steps.push(Step::Wildcard);
                } else if matches!(self.peek(), Some('[')) {
                    continue;
                } else {
                    let name = self.bare_name()?;
                    if self.eat('(') {
                        function = Some(self.function(&name)?);
                    } else {
                        steps.push(Step::Name(name));
                    }
                }
            } else if self.peek() == Some('[') {
                self.at += 1;
                steps.push(self.nested(Self::bracket)?);
            } else {
                break;
            }
        }
        let text = self.chars[start..self.at].iter().collect();
        Ok(Path { text, steps, function })
    }

    fn bare_name(&mut self) -> Result<String, PathError> {
        let start = self.at;
        // Inside a filter a name also ends at an operator or a closing bracket.
        let ends = |c: char| {
            matches!(c, '.' | '[' | '(')
                || c.is_whitespace()
                || (self.nesting > 0
                    && matches!(c, ')' | ']' | '=' | '!' | '<' | '>' | '&' | '|' | ',' | '}'))
        };
        let length = self.chars[start..].iter().position(|c| ends(*c)).unwrap_or(self.chars.len() - start);
        if length == 0 {
            return Err(match self.peek() {
                None => PathError::syntax("Path must not end with a '.' or '..'"),
                Some(_) => self.unexpected(),
            });
        }
        self.at += length;
        Ok(self.chars[start..self.at].iter().collect())
    }

    fn function(&mut self, name: &str) -> Result<Function, PathError> {
        self.skip_spaces();
        if !self.eat(')') {
            return Err(PathError::syntax(format!("the function {name}() takes no arguments here")));
        }
        Ok(match name {
            "length" | "size" => Function::Length,
            "min" => Function::Min,
            "max" => Function::Max,
            "avg" => Function::Average,
            "sum" => Function::Sum,
            "stddev" => Function::StandardDeviation,
            "keys" => Function::Keys,
            "first" => Function::First,
            "last" => Function::Last,
            _ => {
                return Err(PathError::syntax(format!("Function with name: {name} does not exist.")));
            }
        })
    }

    fn bracket(&mut self) -> Result<Step, PathError> {
        self.skip_spaces();
        let step = match self.peek() {
            Some('*') => {
                self.at += 1;
                Step::Wildcard
            }
            Some('?') => {
                self.at += 1;
                self.skip_spaces();
                if !self.eat('(') {
                    return Err(self.unexpected());
                }
                let filter: Filter = filter::parse(self)?;
                self.skip_spaces();
                if !self.eat(')') {
                    return Err(self.unexpected());
                }
                Step::Filter(filter)
            }
            Some('\'' | '"') => self.quoted_names()?,
            _ => self.indices()?,
        };
        self.skip_spaces();
        if self.eat(']') { Ok(step) } else { Err(self.unexpected()) }
    }

    fn quoted_names(&mut self) -> Result<Step, PathError> {
        let mut names = vec![self.quoted_name()?];
        self.skip_spaces();
        while self.eat(',') {
            self.skip_spaces();
            names.push(self.quoted_name()?);
            self.skip_spaces();
        }
        Ok(if names.len() == 1 { Step::Name(names.remove(0)) } else { Step::Names(names) })
    }

    /// A name in quotes. A backslash only protects the quote that would end the name and stands
    /// for itself otherwise: recorded on AWS with `$['Test\""Name"']`.
    fn quoted_name(&mut self) -> Result<String, PathError> {
        let quote = match self.peek() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        let mut name = String::new();
        loop {
            let c = self.peek().ok_or_else(|| self.unexpected())?;
            self.at += 1;
            match c {
                _ if c == quote => return Ok(name),
                '\\' if self.eat(quote) => name.push(quote),
                _ => name.push(c),
            }
        }
    }

    /// A text in single or double quotes with JSON's escapes.
    pub(super) fn quoted(&mut self) -> Result<String, PathError> {
        let quote = match self.peek() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or_else(|| self.unexpected())?;
            self.at += 1;
            match c {
                _ if c == quote => return Ok(text),
                '\\' => text.push(self.escape()?),
                _ => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, PathError> {
        let c = self.peek().ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let end = (self.at + 4).min(self.chars.len());
                let digits: String = self.chars[self.at..end].iter().collect();
                let code = u32::from_str_radix(&digits, 16)
                    .map_err(|_| PathError::syntax(format!("'\\u{digits}' is not a character")))?;
                self.at = end;
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        })
    }

    fn indices(&mut self) -> Result<Step, PathError> {
        let first = self.integer()?;
        self.skip_spaces();
        if self.eat(':') {
            self.skip_spaces();
            let end = self.integer()?;
            self.skip_spaces();
            return Ok(Step::Slice(first, end));
        }
        let mut indices = vec![first.ok_or_else(|| self.unexpected())?];
        while self.eat(',') {
            self.skip_spaces();
            indices.push(self.integer()?.ok_or_else(|| self.unexpected())?);
            self.skip_spaces();
        }
        Ok(if indices.len() == 1 { Step::Index(indices[0]) } else { Step::Indices(indices) })
    }

    fn integer(&mut self) -> Result<Option<i64>, PathError> {
        let start = self.at;
        self.eat('-');
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Ok(None);
        }
        let digits: String = self.chars[start..self.at].iter().collect();
        digits.parse().map(Some).map_err(|_| PathError::syntax(format!("'{digits}' is not an array index")))
    }
}
