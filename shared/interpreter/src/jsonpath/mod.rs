//! JSONPath as Step Functions evaluates it: the dialect of the Jayway library.
//!
//! Supported: `$`, `.name`, `['name']`, `['a','b']`, `[0]`, `[-1]`, `[0,2]`, slices `[1:3]`,
//! `*`, `..`, filters `[?(@.a == 'x' && @.b > 1)]`, and as last step the functions `length()`,
//! `size()`, `min()`, `max()`, `avg()`, `sum()`, `stddev()`, `keys()`, `first()`, `last()`.
//! Jayway's `concat()`, `append()` and `index()` are refused when the path is parsed.
//! Which functions AWS lets through is not documented and was not verified on AWS.
//!
//! A *definite* path (names and single indices only) yields the value it points at or an error;
//! any other path yields an array, empty where nothing matches. Never panics and never visits more than
//! [`MAX_VISITS`] nodes. Start reading at [`Path`].
//!
//! Sources: <https://states-language.net/spec.html#path>,
//! <https://docs.aws.amazon.com/step-functions/latest/dg/amazon-states-language-paths.html>,
//! <https://github.com/json-path/JsonPath>.

mod filter;
mod parse;
mod walk;

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use filter::Filter;

/// The most nodes one evaluation may visit; a guard of ours against `$..*..*..*`, not AWS's.
pub const MAX_VISITS: usize = 1_000_000;

/// The deepest nesting of brackets, parentheses and inner paths a path may have; a guard of ours.
pub const MAX_NESTING: usize = 32;

/// A parsed path. The text begins with `$`, the root it will be evaluated against.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
    function: Option<Function>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Name(String),
    Names(Vec<String>),
    Index(i64),
    Indices(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    Wildcard,
    Descend,
    Filter(Filter),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Length,
    Min,
    Max,
    Average,
    Sum,
    StandardDeviation,
    Keys,
    First,
    Last,
}

/// Why a path could not be parsed, found or written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct PathError {
    /// What sort of failure; the interpreter words the cause by it.
    pub kind: PathErrorKind,
    /// The sentence of the JSONPath library, for example `No results for path: $['a']`. AWS
    /// prints it behind `Invalid path '<path>' : `.
    pub message: String,
}

/// What sort of failure a [`PathError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathErrorKind {
    /// The text is not a path.
    Syntax,
    /// The path is well formed but points at nothing in this value.
    NotFound,
    /// A function or filter met a value of the wrong type, or the path visits too many nodes.
    Unsuitable,
    /// [`Path::set`]: the value cannot take a member there (`States.ResultPathMatchFailure`).
    CannotSet,
}

impl PathError {
    fn syntax(message: impl Into<String>) -> Self {
        Self { kind: PathErrorKind::Syntax, message: message.into() }
    }
    fn not_found(message: impl Into<String>) -> Self {
        Self { kind: PathErrorKind::NotFound, message: message.into() }
    }
    fn unsuitable(message: impl Into<String>) -> Self {
        Self { kind: PathErrorKind::Unsuitable, message: message.into() }
    }
    /// The failure of reading a variable that was never assigned.
    pub(crate) fn unknown_variable(name: &str) -> Self {
        Self::not_found(format!("the variable '${name}' is not defined"))
    }
    fn cannot_set(message: impl Into<String>) -> Self {
        Self { kind: PathErrorKind::CannotSet, message: message.into() }
    }
}

impl Path {
    /// Parses a path that begins with a single `$`; for `$$.` and `$name.` see [`Reference`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parse::path(text)
    }

    /// The text the path was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True for a path that points at one place: names and single indices only.
    pub fn is_definite(&self) -> bool {
        let last = self.steps.len().saturating_sub(1);
        self.steps.iter().enumerate().all(|(at, step)| match step {
            Step::Name(_) | Step::Index(_) => true,
            // Several names at the end are merged into one object.
            Step::Names(_) => at == last,
            _ => false,
        })
    }

    /// True for a Reference Path, the kind that `ResultPath` takes: it can be written to.
    /// <https://states-language.net/spec.html#ref-paths>
    pub fn is_reference(&self) -> bool {
        self.function.is_none()
            && self.steps.iter().all(|step| match step {
                Step::Name(_) => true,
                Step::Index(index) => *index >= 0,
                _ => false,
            })
    }

    /// The value at the path (definite), or the array of all values that match.
    pub fn eval(&self, root: &Value) -> Result<Value, PathError> {
        self.select(root).map(Cow::into_owned)
    }

    /// As [`Path::eval`], without copying what a definite path points at.
    pub fn select<'a>(&self, root: &'a Value) -> Result<Cow<'a, Value>, PathError> {
        walk::select(self, root)
    }

    /// `root` with `value` written at this Reference Path, as `ResultPath` does: missing objects
    /// are created; a step through anything but an object or an existing array item is an error.
    pub fn set(&self, mut root: Value, value: Value) -> Result<Value, PathError> {
        if !self.is_reference() {
            return Err(PathError::cannot_set(format!("'{}' is not a reference path", self.text)));
        }
        let mut place = &mut root;
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Name(name) => {
                    // An object created on the way begins as null.
                    if place.is_null() && at > 0 {
                        *place = Value::Object(Map::new());
                    }
                    let Value::Object(members) = place else {
                        return Err(cannot_apply(name, place));
                    };
                    place = members.entry(name.as_str()).or_insert(Value::Null);
                }
                Step::Index(index) => {
                    let position = usize::try_from(*index).unwrap_or(usize::MAX);
                    if place.get(position).is_none() {
                        return Err(cannot_apply(&index.to_string(), place));
                    }
                    place = &mut place[position];
                }
                _ => return Err(cannot_apply("*", place)),
            }
        }
        *place = value;
        Ok(root)
    }
}

/// The wording for a failed write was not verified on AWS.
fn cannot_apply(step: &str, place: &Value) -> PathError {
    PathError::cannot_set(format!("Unable to apply step \"{step}\" to input {place}"))
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// A path with the root it is read from: the state's input, the context object or a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference {
    /// `$`, `$.a`, `$[0]`: the effective input.
    Input(Path),
    /// `$$`, `$$.Execution.Id`: the context object; the path has one `$`.
    Context(Path),
    /// `$name`, `$name.a[0]`: a variable and the path inside it.
    Variable(String, Path),
}

impl Reference {
    /// Parses any path a JSONPath state may hold.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let Some(rest) = text.strip_prefix('$') else {
            return Err(PathError::syntax(format!("the path '{text}' must begin with '$'")));
        };
        if rest.starts_with('$') {
            return Ok(Self::Context(Path::parse(rest)?));
        }
        let name_length = rest
            .char_indices()
            .find(|(at, c)| !(c.is_alphabetic() || *c == '_' || (*at > 0 && c.is_numeric())))
            .map_or(rest.len(), |(at, _)| at);
        let (name, tail) = rest.split_at(name_length);
        if name.is_empty() {
            return Ok(Self::Input(Path::parse(text)?));
        }
        Ok(Self::Variable(name.to_owned(), Path::parse(&format!("${tail}"))?))
    }

    /// The path below the root.
    pub fn path(&self) -> &Path {
        match self {
            Self::Input(path) | Self::Context(path) | Self::Variable(_, path) => path,
        }
    }
}

#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;
