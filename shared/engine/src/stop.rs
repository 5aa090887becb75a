//! How a decision ends before its end: it lacks something, or it has been made early. `?` carries both
//! outwards, so that a decision reads as the sequence of its questions.

use crate::Need;
use crate::command::{Decision, Reply};
use cauce_model::record::RecordError;
use cauce_model::{RunKey, names};

/// Why a decision ends before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It lacks something.
    Need(Box<Need>),
    /// It was made early.
    Refused(Box<Decision>),
}

impl Stop {
    pub(crate) fn refuse(error: &'static str, cause: impl Into<String>) -> Self {
        Self::Refused(Box::new(Decision {
            reply: Reply::Failure { error, cause: cause.into() },
            ..Decision::default()
        }))
    }

    pub(crate) fn no_run(run_key: &RunKey) -> Self {
        Self::refuse(names::DENIED, format!("there is no run with the key {run_key}"))
    }
}

impl From<Need> for Stop {
    fn from(need: Need) -> Self {
        Self::Need(Box::new(need))
    }
}

impl From<RecordError> for Stop {
    fn from(error: RecordError) -> Self {
        Self::refuse(names::UNAVAILABLE, format!("{error}: {}", error.source))
    }
}

impl From<Decision> for Stop {
    fn from(decision: Decision) -> Self {
        Self::Refused(Box::new(decision))
    }
}
