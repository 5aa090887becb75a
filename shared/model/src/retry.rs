//! What follows a failed attempt, as the plan has it.

use crate::fargate::GrowthPlan;
use crate::status::FailureClass;
use serde::{Deserialize, Serialize};

/// What follows a failed attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPlan {
    /// More attempts after failures of the user's own program.
    pub retries: u32,
    /// Seconds before the first of them.
    pub delay_seconds: f64,
    /// Factor from one delay to the next.
    pub backoff: f64,
    /// Longest delay.
    pub max_delay_seconds: f64,
    /// Share of the delay by which it is moved either way, 0 to 1.
    pub jitter: f64,
    /// More attempts after failures in which the program never started.
    pub infrastructure_retries: u32,
    /// Whether the program may be started again after an interruption, beyond `retries`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restartable: bool,
    /// Only these classes are retried, when not empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry_on: Vec<FailureClass>,
    /// These classes are never retried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_retry_on: Vec<FailureClass>,
    /// No attempt begins later than so long after the first one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_seconds: Option<u64>,
    /// How memory grows after an attempt that ran out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_oom: Option<GrowthPlan>,
    /// Exit codes after which another attempt can never help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub final_exit_codes: Vec<i32>,
    /// Exit codes that skip the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip_on_exit_code: Vec<i32>,
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self {
            retries: 0,
            delay_seconds: 60.0,
            backoff: 2.0,
            max_delay_seconds: 3600.0,
            jitter: 0.1,
            infrastructure_retries: 5,
            restartable: false,
            retry_on: Vec::new(),
            no_retry_on: Vec::new(),
            max_duration_seconds: None,
            on_oom: None,
            final_exit_codes: Vec::new(),
            skip_on_exit_code: Vec::new(),
        }
    }
}
