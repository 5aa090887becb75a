//! How a function fails: by a name of the one list, which states catch by, and a text.

use cauce_driver::DriverError;
use cauce_driver::payload::PayloadError;
use cauce_engine::Reply;
use cauce_model::{Json, names};
use cauce_ports::with_sources;
use std::fmt;

/// A failure as Lambda reports it: `errorType` and `errorMessage`.
/// <https://docs.aws.amazon.com/lambda/latest/dg/rust-handler.html>
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// A name of `cauce_model::names`, which the machines' `ErrorEquals` are made from.
    pub name: &'static str,
    /// In words, or JSON where the name says so.
    pub message: String,
    /// Whether the same event may succeed later. What is not, is poison: asking again would only
    /// fail again.
    pub retryable: bool,
}

impl Failure {
    /// An event that no later try can make sense of.
    pub fn poison(message: impl Into<String>) -> Self {
        Self { name: names::BAD_EVENT, message: message.into(), retryable: false }
    }

    /// Something that did not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { name: names::UNAVAILABLE, message: message.into(), retryable: true }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl From<Failure> for lambda_runtime::Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.name.to_owned(), error_message: failure.message }
    }
}

impl From<PayloadError> for Failure {
    fn from(error: PayloadError) -> Self {
        Self::poison(error.to_string())
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        // Nothing is half done, so whoever asked asks again: states with growing pauses, queues by
        // their visibility timeout. A plan that cannot be read is no different: it may be a
        // deployment under way.
        Self::unavailable(with_sources(&error))
    }
}

/// What a decision's reply is to the state that called: its result, or a named failure.
///
/// # Errors
/// The reply is a failure.
pub fn answer(reply: Reply) -> Result<Json, Failure> {
    match reply {
        Reply::None => Ok(Json::Object(serde_json::Map::new())),
        Reply::Ok(result) => Ok(result),
        Reply::Failure { error, cause } => Err(Failure { name: error, message: cause, retryable: false }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_named_failure_becomes_the_error_type_that_states_catch() {
        let reply = Reply::Failure { error: names::WAIT, cause: r#"{"seconds":5}"#.to_owned() };
        let failure = answer(reply).unwrap_err();
        let diagnostic = lambda_runtime::Diagnostic::from(failure);
        assert_eq!(diagnostic.error_type, "Cauce.Wait");
        assert_eq!(diagnostic.error_message, r#"{"seconds":5}"#);
        assert_eq!(answer(Reply::None), Ok(json!({})));
        assert_eq!(answer(Reply::Ok(json!({"status": "success"}))), Ok(json!({"status": "success"})));
    }

    #[test]
    fn an_outside_that_does_not_answer_is_worth_another_try_and_a_bad_payload_is_not() {
        let error = DriverError::Table(cauce_ports::TableError::Unknown("connection reset".into()));
        let failure = Failure::from(error);
        assert!(failure.retryable);
        assert_eq!(failure.name, names::UNAVAILABLE);
        assert!(failure.message.contains("connection reset"), "{}", failure.message);
        let bad = cauce_driver::payload::command("begin-task", &json!({})).unwrap_err();
        assert!(!Failure::from(bad).retryable);
    }
}
