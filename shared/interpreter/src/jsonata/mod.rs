//! JSONata as Step Functions evaluates it: version 2.0.6 of the language without `$eval`, with
//! `$partition`, `$range`, `$hash`, `$random(seed)`, `$uuid` and `$parse`.
//!
//! Pure: time and randomness come from the [`Environment`]. Total: work, nesting and the depth of
//! values are bounded by the constants below, and crossing one is an error, never a hang or a
//! stack overflow. Values of the environment are borrowed, never copied on the way in.
//! Start reading at [`Expression`].
//!
//! Sources: <https://docs.jsonata.org/2.0.0/overview>,
//! <https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html>. Why this is our
//! own code: `docs/decisions/0001-jsonata-engine.md`.

mod ancestry;
mod ast;
mod error;
mod evaluate;
mod functions;
mod lexer;
mod operators;
mod parser;
mod path;
mod signature;
mod value;

use indexmap::IndexMap;
use serde_json::{Map, Value};

pub use error::{JsonataError, JsonataErrorKind};

use ast::{Node, Slot};

/// The most units of work of one evaluation: a unit is a node visited, an item or 64 bytes of text
/// produced. A guard of ours; AWS does not publish its own.
pub const MAX_WORK: usize = 2_000_000;

/// The deepest nesting of function calls and expressions while evaluating. A guard of ours.
pub const MAX_DEPTH: usize = 2_000;

/// The deepest nesting of an expression's source. A guard of ours.
pub const MAX_NESTING: usize = 300;

/// The deepest nesting of a value that an expression builds. A guard of ours.
pub const MAX_VALUE_DEPTH: u16 = 200;

/// The most memory, in bytes, that one compiled regular expression may take.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// The stack that must be left before evaluation moves to a new segment, and that segment's size,
/// in bytes. Unoptimised frames are several times larger.
const STACK_RESERVE: usize = 256 * 1024;
const STACK_SEGMENT: usize = 2 * 1024 * 1024;

/// The members that `$states` may have, in the order in which they print.
const STATES_MEMBERS: [&str; 4] = ["context", "input", "result", "errorOutput"];

/// A compiled expression; compile once, evaluate often.
#[derive(Debug)]
pub struct Expression {
    source: String,
    root: Node,
    slots: Vec<Slot>,
}

/// What an expression may read.
pub struct Environment<'a> {
    /// `$states.input`.
    pub input: &'a Value,
    /// `$states.context`.
    pub context: &'a Value,
    /// `$states.result`, where the field has one.
    pub result: Option<&'a Value>,
    /// `$states.errorOutput`, inside a Catch.
    pub error_output: Option<&'a Value>,
    /// The workflow's variables.
    pub variables: &'a dyn Variables,
    /// What `$now()` and `$millis()` return, the same throughout an evaluation.
    pub now: jiff::Timestamp,
    /// What `$random()`, `$shuffle()` and `$uuid()` draw from; pass a new one per evaluation.
    pub seed: u64,
}

/// Variables by name, without the `$`.
pub trait Variables {
    /// The value assigned to `name`, if any.
    fn get(&self, name: &str) -> Option<&Value>;
}

impl Variables for Map<String, Value> {
    fn get(&self, name: &str) -> Option<&Value> {
        Map::get(self, name)
    }
}

impl Variables for IndexMap<String, Value> {
    fn get(&self, name: &str) -> Option<&Value> {
        IndexMap::get(self, name)
    }
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Environment").finish_non_exhaustive()
    }
}

impl Environment<'_> {
    fn member(&self, name: &str) -> Option<&Value> {
        match name {
            "input" => Some(self.input),
            "context" => Some(self.context),
            "result" => self.result,
            "errorOutput" => self.error_output,
            _ => None,
        }
    }
}

impl Expression {
    /// Compiles a source without its `{%` and `%}`.
    pub fn compile(source: &str) -> Result<Self, JsonataError> {
        let (root, slots) = parser::parse(source)?;
        Ok(Self { source: source.to_owned(), root, slots })
    }

    /// The source as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value, or `None` where JSONata says undefined.
    pub fn evaluate(&self, environment: &Environment<'_>) -> Result<Option<Value>, JsonataError> {
        evaluate::run(&self.root, &self.slots, environment, &value::Item::Undefined)
    }

    /// With a context, as the reference's own examples are written.
    #[cfg(test)]
    pub(crate) fn evaluate_in(
        &self,
        environment: &Environment<'_>,
        context: &Value,
    ) -> Result<Option<Value>, JsonataError> {
        evaluate::run(&self.root, &self.slots, environment, &value::Item::from(context))
    }
}

#[cfg(test)]
mod tests;
