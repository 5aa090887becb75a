//! Retry and Catch.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::field::present;

/// One entry of `Retry`. Source:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Retrier {
    /// The error names it serves.
    pub error_equals: Vec<String>,
    /// Seconds before the first retry; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u64>,
    /// How many retries; 3 when absent, 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// What each interval is multiplied by for the next; 2.0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_rate: Option<f64>,
    /// The longest interval, in seconds; unbounded when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay_seconds: Option<u64>,
    /// Whether intervals are drawn at random; [`JitterStrategy::None`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_strategy: Option<JitterStrategy>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// How the wait before a retry is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JitterStrategy {
    /// Anywhere between zero and the computed interval.
    Full,
    /// Exactly the computed interval.
    #[default]
    None,
}

/// One entry of `Catch`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Catcher {
    /// The error names it serves.
    pub error_equals: Vec<String>,
    /// JSONPath: where in the state's input the error output goes. `Some(None)` discards it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result_path: Option<Option<String>>,
    /// JSONata: what the next state receives.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Variables to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<Value>,
    /// The state to go on with.
    pub next: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Retrier {
    /// A retrier for these errors with every other field at AWS's default.
    pub fn new<S: Into<String>>(errors: impl IntoIterator<Item = S>) -> Self {
        Self { error_equals: errors.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

impl Catcher {
    /// A catcher for these errors that goes on with `next`.
    pub fn new<S: Into<String>>(errors: impl IntoIterator<Item = S>, next: impl Into<String>) -> Self {
        Self {
            error_equals: errors.into_iter().map(Into::into).collect(),
            next: next.into(),
            ..Self::default()
        }
    }
}
