//! What is wrong with a file: a code, a place, a sentence and a way out.

use std::sync::Arc;

use serde::Serialize;

pub use crate::code::Code;
use crate::file::fragment::Source;

/// A half-open range of bytes in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The range from `start` to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// A place as a person counts it: both numbers start at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Whether the file can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; it probably does not mean what was written.
    Warning,
}

/// One finding about a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnostic {
    /// Which finding; `docs/errors/<code>.md` explains it.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// The setting, as a path of keys: `tasks.extract.retry`. Empty for the file as a whole.
    pub route: String,
    /// Where the span starts.
    #[serde(flatten)]
    pub position: Position,
    /// The bytes the caret underlines.
    pub span: Span,
    /// What is wrong, as one lowercase phrase.
    pub message: String,
    /// How to fix it, where there is more to say than the message does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The file that the place is in, where it is not the one that was checked.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "name_only")]
    pub source: Option<Arc<Source>>,
}

fn name_only<S: serde::Serializer>(source: &Option<Arc<Source>>, serializer: S) -> Result<S::Ok, S::Error> {
    source.as_ref().map(|source| &source.name).serialize(serializer)
}

impl Diagnostic {
    pub(crate) fn error(code: Code, span: Span, message: String) -> Self {
        Self {
            code,
            severity: Severity::Error,
            route: String::new(),
            position: Position::default(),
            span,
            message,
            help: None,
            source: None,
        }
    }

    pub(crate) fn warning(code: Code, span: Span, message: String) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn at(mut self, route: impl Into<String>) -> Self {
        self.route = route.into();
        self
    }
}

/// Byte offsets to lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        Self { text, starts }
    }

    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let column =
            1 + self.text.as_bytes()[start..offset].iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        Position { line, column }
    }
}
