//! Errors as a state machine sees them.

use cauce_asl::error_name;
use serde_json::{Map, Value};

/// An error a state ended with: what `Retry` and `Catch` match and what the execution reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error name; a callback may fail without one.
    pub error: Option<String>,
    /// What happened, for people; often JSON as text.
    pub cause: Option<String>,
}

impl Failure {
    /// An error with a cause.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()) }
    }

    /// The error of a task, or an execution, that took too long; AWS gives it no cause.
    pub fn timeout() -> Self {
        Self { error: Some(error_name::TIMEOUT.to_owned()), cause: None }
    }

    /// The error of a task that was silent for too long. The recorded history shows
    /// `States.Timeout` here too, and both names match it.
    pub fn heartbeat_timeout() -> Self {
        Self::timeout()
    }

    /// What a catcher receives. A missing name or cause is `null`, as AWS records it.
    pub fn output(&self) -> Value {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        let mut output = Map::new();
        output.insert("Error".to_owned(), text(&self.error));
        output.insert("Cause".to_owned(), text(&self.cause));
        Value::Object(output)
    }

    /// Whether a retrier or catcher with these names serves this error.
    ///
    /// `States.Runtime` is never served, not even by its own name (recorded on AWS:
    /// a catcher for it is passed over). `States.ALL` and `States.TaskFailed` do not serve
    /// `States.DataLimitExceeded`, which needs its own name.
    /// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
    pub fn is_served_by(&self, names: &[String]) -> bool {
        let error = self.error.as_deref().unwrap_or_default();
        if error == error_name::RUNTIME {
            return false;
        }
        names.iter().any(|name| {
            name == error
                || match name.as_str() {
                    error_name::ALL => error != error_name::DATA_LIMIT_EXCEEDED,
                    error_name::TASK_FAILED => {
                        !matches!(error, error_name::TIMEOUT | error_name::DATA_LIMIT_EXCEEDED)
                    }
                    _ => false,
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(error: &str, name: &str) -> bool {
        Failure::new(error, "").is_served_by(&[name.to_owned()])
    }

    #[test]
    fn all_serves_everything_but_runtime_and_data_limit() {
        assert!(served("Custom", "States.ALL"));
        assert!(served("States.Timeout", "States.ALL"));
        assert!(!served("States.DataLimitExceeded", "States.ALL"));
        assert!(served("States.DataLimitExceeded", "States.DataLimitExceeded"));
        assert!(!served("States.Runtime", "States.ALL"));
        assert!(!served("States.Runtime", "States.Runtime"));
    }

    #[test]
    fn task_failed_serves_everything_but_timeouts() {
        assert!(served("Custom", "States.TaskFailed"));
        assert!(!served("States.Timeout", "States.TaskFailed"));
    }

    #[test]
    fn a_failure_without_a_name_is_served_by_all() {
        let nameless = Failure { error: None, cause: None };
        assert!(nameless.is_served_by(&["States.ALL".to_owned()]));
        assert_eq!(nameless.output(), serde_json::json!({"Error": null, "Cause": null}));
    }
}
