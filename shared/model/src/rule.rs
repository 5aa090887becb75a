//! The twelve trigger rules by name. What they decide is `engine::rules`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// When a task runs, given how its upstreams ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    /// Every upstream succeeded.
    #[default]
    AllSuccess,
    /// Every upstream failed.
    AllFailed,
    /// Every upstream ended.
    AllDone,
    /// Every upstream ended, none was skipped, one succeeded.
    AllDoneMinOneSuccess,
    /// Every upstream was skipped.
    AllSkipped,
    /// The first success.
    OneSuccess,
    /// The first failure.
    OneFailed,
    /// The first upstream that ran to its end.
    OneDone,
    /// No upstream failed.
    NoneFailed,
    /// No upstream failed and one succeeded.
    NoneFailedMinOneSuccess,
    /// No upstream was skipped.
    NoneSkipped,
    /// At once; waits for nothing.
    Always,
}

impl TriggerRule {
    /// Every rule, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::AllSuccess,
        Self::AllFailed,
        Self::AllDone,
        Self::AllDoneMinOneSuccess,
        Self::AllSkipped,
        Self::OneSuccess,
        Self::OneFailed,
        Self::OneDone,
        Self::NoneFailed,
        Self::NoneFailedMinOneSuccess,
        Self::NoneSkipped,
        Self::Always,
    ];

    /// Whether the rule can be decided before every upstream has ended.
    pub const fn is_early(self) -> bool {
        matches!(self, Self::OneSuccess | Self::OneFailed | Self::OneDone | Self::Always)
    }

    /// The word in the pipeline file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllSuccess => "all_success",
            Self::AllFailed => "all_failed",
            Self::AllDone => "all_done",
            Self::AllDoneMinOneSuccess => "all_done_min_one_success",
            Self::AllSkipped => "all_skipped",
            Self::OneSuccess => "one_success",
            Self::OneFailed => "one_failed",
            Self::OneDone => "one_done",
            Self::NoneFailed => "none_failed",
            Self::NoneFailedMinOneSuccess => "none_failed_min_one_success",
            Self::NoneSkipped => "none_skipped",
            Self::Always => "always",
        }
    }

    /// Reads the word of the pipeline file.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == text)
    }
}

impl fmt::Display for TriggerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
