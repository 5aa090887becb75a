//! What can go wrong, with the codes of the JSONata reference.

/// Why an expression could not be compiled or evaluated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct JsonataError {
    /// What sort of failure; the interpreter words the cause by it.
    pub kind: JsonataErrorKind,
    /// The reference's code, for example `T2006`. AWS prints `<code>: <message>`.
    pub code: &'static str,
    /// The reference's sentence for the code.
    pub message: String,
    /// The character of the source, from 0, behind the token that failed.
    pub position: usize,
}

/// What sort of failure a [`JsonataError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonataErrorKind {
    /// The source is not an expression; found when it is compiled.
    Syntax,
    /// `... threw an error during evaluation. <code>: <message>`.
    Evaluation,
    /// `... returned an unsupported result type.`: the result is or holds a function.
    UnsupportedResult,
    /// One of our own limits on work, nesting or memory was met.
    Limit,
}

impl JsonataError {
    pub(super) fn syntax(code: &'static str, position: usize, message: impl Into<String>) -> Self {
        Self { kind: JsonataErrorKind::Syntax, code, message: message.into(), position }
    }

    pub(super) fn evaluation(code: &'static str, position: usize, message: impl Into<String>) -> Self {
        Self { kind: JsonataErrorKind::Evaluation, code, message: message.into(), position }
    }

    pub(super) fn limit(code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: JsonataErrorKind::Limit, code, message: message.into(), position: 0 }
    }
}
