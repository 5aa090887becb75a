//! Filters: the condition inside `[?( )]`.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};
use serde_json::{Number, Value};

use super::parse::Reader;
use super::{Path, PathError, walk};

/// The most memory, in bytes, that one compiled regular expression may take.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A condition on one candidate value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Operand),
    Compare(Operand, Comparison, Operand),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    /// `@...`: below the candidate.
    Candidate(Path),
    /// `$...`: below the root of the document.
    Root(Path),
    Literal(Value),
    Pattern(Pattern),
}

/// A `/pattern/flags` operand.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Equal,
    SameTypeEqual,
    NotEqual,
    SameTypeNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    SubsetOf,
    AnyOf,
    NoneOf,
    Contains,
    Size,
    Empty,
}

/// Longer spellings come before those they begin with.
const COMPARISONS: [(&str, Comparison); 17] = [
    ("===", Comparison::SameTypeEqual),
    ("!==", Comparison::SameTypeNotEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("=~", Comparison::Matches),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("nin", Comparison::NotIn),
    ("in", Comparison::In),
    ("subsetof", Comparison::SubsetOf),
    ("anyof", Comparison::AnyOf),
    ("noneof", Comparison::NoneOf),
    ("contains", Comparison::Contains),
    ("size", Comparison::Size),
    ("empty", Comparison::Empty),
];

/// Parses a condition up to the parenthesis that closes it.
pub(super) fn parse(reader: &mut Reader) -> Result<Filter, PathError> {
    reader.nested(|reader| {
        let mut alternatives = vec![conjunction(reader)?];
        while spaced(reader, "||") {
            alternatives.push(conjunction(reader)?);
        }
        Ok(if alternatives.len() == 1 { alternatives.remove(0) } else { Filter::Or(alternatives) })
    })
}

fn spaced(reader: &mut Reader, text: &str) -> bool {
    reader.skip_spaces();
    reader.eat_text(text)
}

fn conjunction(reader: &mut Reader) -> Result<Filter, PathError> {
    let mut all = vec![term(reader)?];
    while spaced(reader, "&&") {
        all.push(term(reader)?);
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
}

fn term(reader: &mut Reader) -> Result<Filter, PathError> {
    reader.skip_spaces();
    if reader.eat('!') {
        return Ok(Filter::Not(Box::new(reader.nested(term)?)));
    }
    if reader.eat('(') {
        let inner = parse(reader)?;
        return if spaced(reader, ")") { Ok(inner) } else { Err(reader.unexpected()) };
    }
    let left = operand(reader)?;
    reader.skip_spaces();
    let Some((_, comparison)) = COMPARISONS.iter().find(|(text, _)| reader.eat_text(text)) else {
        return Ok(Filter::Exists(left));
    };
    reader.skip_spaces();
    let right = operand(reader)?;
    Ok(Filter::Compare(left, *comparison, right))
}

fn operand(reader: &mut Reader) -> Result<Operand, PathError> {
    match reader.peek() {
        Some('@') => reader.path('@').map(Operand::Candidate),
        Some('$') => reader.path('$').map(Operand::Root),
        Some('/') => pattern(reader),
        _ => literal(reader).map(Operand::Literal),
    }
}

fn literal(reader: &mut Reader) -> Result<Value, PathError> {
    match reader.peek() {
        Some('\'' | '"') => reader.quoted().map(Value::String),
        Some('[') => {
            reader.at += 1;
            reader.nested(|reader| {
                let mut items = Vec::new();
                if spaced(reader, "]") {
                    return Ok(Value::Array(items));
                }
                loop {
                    reader.skip_spaces();
                    items.push(literal(reader)?);
                    if spaced(reader, "]") {
                        return Ok(Value::Array(items));
                    }
                    if !reader.eat(',') {
                        return Err(reader.unexpected());
                    }
                }
            })
        }
        _ => {
            let rest = &reader.chars[reader.at..];
            let ends = |c: &char| {
                c.is_whitespace() || matches!(c, ')' | ']' | ',' | '&' | '|' | '=' | '<' | '>' | '!')
            };
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            let word: String = rest[..length].iter().collect();
            let value = match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => Value::Number(word.parse::<Number>().map_err(|_| reader.unexpected())?),
            };
            reader.at += length;
            Ok(value)
        }
    }
}

fn pattern(reader: &mut Reader) -> Result<Operand, PathError> {
    reader.at += 1;
    let mut source = String::new();
    loop {
        let c = reader.peek().ok_or_else(|| reader.unexpected())?;
        reader.at += 1;
        match c {
            '/' => break,
            '\\' if reader.eat('/') => source.push('/'),
            '\\' => {
                source.push('\\');
                source.extend(reader.peek());
                reader.at += usize::from(reader.peek().is_some());
            }
            _ => source.push(c),
        }
    }
    let mut builder = RegexBuilder::new(&format!("^(?:{source})$"));
    builder.size_limit(MAX_REGEX_BYTES);
    loop {
        if reader.eat('i') {
            builder.case_insensitive(true);
        } else if reader.eat('s') {
            builder.dot_matches_new_line(true);
        } else if reader.eat('m') {
            builder.multi_line(true);
        } else {
            break;
        }
    }
    builder
        .build()
        .map(|regex| Operand::Pattern(Pattern(regex)))
        .map_err(|_| PathError::syntax(format!("'/{source}/' is not a regular expression")))
}

impl Filter {
    /// True when the candidate is kept. A path that finds nothing makes its comparison false.
    pub(super) fn accepts(
        &self,
        candidate: &Value,
        root: &Value,
        visits: &mut usize,
    ) -> Result<bool, PathError> {
        match self {
            Self::Or(parts) => {
                for part in parts {
                    if part.accepts(candidate, root, visits)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::And(parts) => {
                for part in parts {
                    if !part.accepts(candidate, root, visits)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Not(inner) => Ok(!inner.accepts(candidate, root, visits)?),
            Self::Exists(operand) => match operand.value(candidate, root, visits)? {
                None => Ok(false),
                // An indefinite path exists when it found something.
                Some(Value::Array(items)) => Ok(!items.is_empty() || operand.is_definite()),
                Some(value) => Ok(!matches!(operand, Operand::Literal(_)) || value == Value::Bool(true)),
            },
            Self::Compare(left, comparison, Operand::Pattern(pattern))
                if *comparison == Comparison::Matches =>
            {
                let left = left.value(candidate, root, visits)?;
                Ok(left.as_ref().and_then(Value::as_str).is_some_and(|text| pattern.0.is_match(text)))
            }
            Self::Compare(left, comparison, right) => {
                let left = left.value(candidate, root, visits)?;
                let right = right.value(candidate, root, visits)?;
                Ok(comparison.holds(left.as_ref(), right.as_ref()))
            }
        }
    }
}

impl Operand {
    fn is_definite(&self) -> bool {
        match self {
            Self::Candidate(path) | Self::Root(path) => path.is_definite(),
            Self::Literal(_) | Self::Pattern(_) => true,
        }
    }

    fn value(&self, candidate: &Value, root: &Value, visits: &mut usize) -> Result<Option<Value>, PathError> {
        let (path, start) = match self {
            Self::Candidate(path) => (path, candidate),
            Self::Root(path) => (path, root),
            Self::Literal(value) => return Ok(Some(value.clone())),
            Self::Pattern(_) => return Ok(None),
        };
        *visits += 1;
        match walk::select_within(path, start, root, visits) {
            Ok(found) => Ok(Some(found.into_owned())),
            // The budget of the evaluation is not something a filter may pass over.
            Err(error) if *visits > super::MAX_VISITS => Err(error),
            Err(_) => Ok(None),
        }
    }
}

impl Comparison {
    fn holds(self, left: Option<&Value>, right: Option<&Value>) -> bool {
        let (Some(left), Some(right)) = (left, right) else {
            // Nothing equals only nothing.
            return match self {
                Self::Equal | Self::SameTypeEqual => left.is_none() && right.is_none(),
                Self::NotEqual | Self::SameTypeNotEqual => left.is_some() || right.is_some(),
                _ => false,
            };
        };
        let within = |item: &Value, list: &Value| {
            list.as_array().is_some_and(|items| items.iter().any(|other| equal(item, other)))
        };
        match self {
            Self::Equal => equal(left, right),
            Self::NotEqual => !equal(left, right),
            Self::SameTypeEqual => same_type(left, right) && equal(left, right),
            Self::SameTypeNotEqual => !(same_type(left, right) && equal(left, right)),
            Self::Less => order(left, right) == Some(Ordering::Less),
            Self::Greater => order(left, right) == Some(Ordering::Greater),
            Self::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
            Self::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
            Self::Matches => false,
            Self::In => within(left, right),
            Self::NotIn => !within(left, right),
            Self::SubsetOf => {
                left.as_array().is_some_and(|items| items.iter().all(|item| within(item, right)))
            }
            Self::AnyOf => left.as_array().is_some_and(|items| items.iter().any(|item| within(item, right))),
            Self::NoneOf => {
                left.as_array().is_some_and(|items| !items.iter().any(|item| within(item, right)))
            }
            Self::Contains => match (left, right) {
                (Value::String(text), Value::String(part)) => text.contains(part),
                _ => within(right, left),
            },
            Self::Size => size(left).is_some_and(|size| right.as_u64() == Some(size)),
            Self::Empty => size(left).is_some_and(|size| Value::Bool(size == 0) == *right),
        }
    }
}

fn size(value: &Value) -> Option<u64> {
    let size = match value {
        Value::Array(items) => items.len(),
        Value::String(text) => text.chars().count(),
        _ => return None,
    };
    u64::try_from(size).ok()
}

fn same_type(left: &Value, right: &Value) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

/// A text that spells a number equals that number, as in Jayway.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            text.parse::<f64>().is_ok_and(|parsed| Some(parsed) == number.as_f64())
        }
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}
