//! Intrinsic functions, `States.Format('{}', $.a)` and its kin, as Step Functions evaluates them.
//!
//! Pure: randomness comes from a [`Random`] that the caller seeds, data from a [`Scope`].
//! Start reading at [`Call`].
//!
//! Sources: <https://states-language.net/spec.html#appendix-b>,
//! <https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html>. Results are
//! held to recorded executions; the sentences of failures were not verified on AWS, except where
//! a test says so.

mod format;
mod functions;
mod parse;
mod random;

use std::borrow::Cow;

use serde_json::Value;

pub(crate) use functions::digest;
pub use functions::{MAX_ARRAY_RANGE, MAX_TEXT_CHARS};
pub use random::{Random, SplitMix};

use crate::jsonpath::{PathError, Reference};

/// How deeply calls may nest:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html>
pub const MAX_NESTING: usize = 10;

/// The error name that a failed call raises.
pub const INTRINSIC_FAILURE: &str = "States.IntrinsicFailure";

/// What the arguments of a call may read.
pub trait Scope {
    /// `$`: the effective input.
    fn input(&self) -> &Value;
    /// `$$`: the context object.
    fn context(&self) -> &Value;
    /// `$name`: a variable.
    fn variable(&self, name: &str) -> Option<&Value>;
}

/// A parsed call with its nested calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    text: String,
    function: functions::Function,
    arguments: Vec<Argument>,
}

#[derive(Clone, Debug, PartialEq)]
enum Argument {
    /// What stood between the quotes, escapes kept: `States.Format` reads them differently.
    Text(String),
    Literal(Value),
    Path(String, Reference),
    Call(Box<Call>),
}

/// A value of an argument; a quoted text still has its escapes.
enum Given<'a> {
    Quoted(&'a str),
    Value(Cow<'a, Value>),
}

/// Why a call could not be parsed or evaluated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IntrinsicError {
    /// The text is not a call of a known function.
    #[error("{message}")]
    Syntax {
        /// What is wrong with it.
        message: String,
    },
    /// A path argument points at nothing.
    #[error("the path '{path}' of '{function}' was not found: {source}")]
    Path {
        /// The call that has the argument.
        function: String,
        /// The argument as written.
        path: String,
        /// What the path evaluation says.
        source: PathError,
    },
    /// The function refuses its arguments.
    #[error("The function '{function}' had the following error: {message}")]
    Failed {
        /// The call as written.
        function: String,
        /// Why it refuses them.
        message: String,
    },
}

impl Call {
    /// Parses a whole field value, such as `States.Array(1, States.UUID())`.
    pub fn parse(text: &str) -> Result<Self, IntrinsicError> {
        parse::call(text)
    }

    /// True for a field value that is meant as a call rather than as a path.
    pub fn is_call(text: &str) -> bool {
        text.trim_start().starts_with("States.")
    }

    /// The text the call was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Every path that the call and its nested calls read, in order of writing.
    pub fn references(&self) -> Vec<&Reference> {
        let mut found = Vec::new();
        for argument in &self.arguments {
            match argument {
                Argument::Path(_, reference) => found.push(reference),
                Argument::Call(call) => found.extend(call.references()),
                Argument::Text(_) | Argument::Literal(_) => {}
            }
        }
        found
    }

    /// Evaluates the call, arguments first, from left to right.
    pub fn eval(&self, scope: &dyn Scope, rng: &mut dyn Random) -> Result<Value, IntrinsicError> {
        let given = self
            .arguments
            .iter()
            .map(|argument| self.given(argument, scope, rng))
            .collect::<Result<Vec<_>, _>>()?;
        functions::apply(self.function, &given, rng)
            .map_err(|message| IntrinsicError::Failed { function: self.text.clone(), message })
    }

    fn given<'a>(
        &self,
        argument: &'a Argument,
        scope: &'a dyn Scope,
        rng: &mut dyn Random,
    ) -> Result<Given<'a>, IntrinsicError> {
        Ok(Given::Value(match argument {
            Argument::Text(text) => return Ok(Given::Quoted(text)),
            Argument::Literal(value) => Cow::Borrowed(value),
            Argument::Call(call) => Cow::Owned(call.eval(scope, rng)?),
            Argument::Path(text, reference) => read(reference, scope).map_err(|source| {
                IntrinsicError::Path { function: self.text.clone(), path: text.clone(), source }
            })?,
        }))
    }
}

/// The value at a reference; an unknown variable is reported as a path that was not found.
fn read<'a>(reference: &Reference, scope: &'a dyn Scope) -> Result<Cow<'a, Value>, PathError> {
    match reference {
        Reference::Input(path) => path.select(scope.input()),
        Reference::Context(path) => path.select(scope.context()),
        Reference::Variable(name, path) => match scope.variable(name) {
            Some(value) => path.select(value),
            None => Err(PathError::unknown_variable(name)),
        },
    }
}

#[cfg(test)]
mod tests;
