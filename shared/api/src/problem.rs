//! What a caller is told when something is wrong: a problem document of RFC 9457, with a sentence of help.
//! <https://www.rfc-editor.org/rfc/rfc9457>

use crate::http::Answer;
use cauce_driver::DriverError;
use cauce_driver::look::LookError;
use cauce_model::record::RecordError;
use cauce_ports::{ObjectError, TableError};
use serde_json::json;

/// The media type of problem documents.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    /// What is wrong, in words.
    detail: String,
    /// How to mend it.
    help: String,
    /// Every mistake of a request by itself, where there are several.
    errors: Vec<String>,
    headers: Vec<(&'static str, String)>,
}

/// The words of RFC 9110 for a status.
const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

impl Problem {
    pub(crate) fn new(status: u16, detail: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), help: help.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// The request cannot be read.
    pub(crate) fn malformed(detail: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(400, detail, help)
    }

    /// There is no such thing, or none that the caller may know of.
    pub(crate) fn missing(detail: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(404, detail, help)
    }

    /// It stands in the way of something else.
    pub(crate) fn conflict(detail: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(409, detail, help)
    }

    /// The request can be read, and what it asks for cannot be.
    pub(crate) fn wrong(detail: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(422, detail, help)
    }

    /// Something behind the API does not answer. Its words stay here: they are the operator's.
    pub(crate) fn unavailable() -> Self {
        Self::new(
            503,
            "the store or a service behind it does not answer",
            "send the request again in a while",
        )
        .header("retry-after", "2")
    }

    pub(crate) fn errors(mut self, errors: Vec<String>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn answer(self) -> Answer {
        let mut body = json!({
            "type": "about:blank",
            "title": title(self.status),
            "status": self.status,
            "detail": self.detail,
            "help": self.help,
        });
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        let bytes = body.to_string().into_bytes();
        Answer { status: self.status, media_type: MEDIA_TYPE, body: bytes, headers: self.headers }
    }
}

/// Why a request got no answer, for the log of whoever serves.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The caller is told.
    Problem(Problem),
    /// The caller is told that something does not answer, whoever serves what.
    Trouble(String),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<crate::Trouble> for Failed {
    fn from(trouble: crate::Trouble) -> Self {
        Self::Trouble(trouble.0)
    }
}

macro_rules! troubles {
    ($($error:ty),*) => {$(
        impl From<$error> for Failed {
            fn from(error: $error) -> Self {
                Self::Trouble(cauce_ports::with_sources(&error))
            }
        }
    )*};
}

troubles!(TableError, ObjectError, RecordError, LookError, DriverError);
