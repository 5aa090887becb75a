//! The one door: a command and a view in, a decision or a need out.

use crate::command::{Command, Decision, Reply};
use crate::{Need, Settings, View};
use crate::{begin, close, finish, gate, open, operate, slots, trigger};
use cauce_model::record::RecordError;
use cauce_model::{Instant, RunKey, names};

/// Decides. `now` is the caller's clock; nothing else comes from outside the arguments.
///
/// # Errors
/// What the view lacks: show it and ask again.
pub fn decide(command: &Command, view: &View, settings: &Settings, now: Instant) -> Result<Decision, Need> {
    let decided = match command {
        Command::Trigger(trigger) => trigger::decide(trigger, view, now),
        Command::Open(open) => open::decide(open, view, settings, now),
        Command::Begin(begin) => begin::decide(begin, view, settings, now),
        Command::Finish(finish) => finish::decide(finish, view, settings, now),
        Command::Close(close) => close::decide(close, view, now),
        Command::Arrive(arrive) => gate::arrive(arrive, view),
        Command::Release { pool, holder, slots } => slots::release(pool, holder, *slots, view),
        Command::Look { pool, seconds } => slots::look_again(pool, *seconds, view, now),
        Command::Cancel { run_key, reason } => operate::cancel(run_key, reason, view, settings, now),
        Command::Mark { run_key, task, success, by } => operate::mark(run_key, task, *success, by, view, now),
        Command::Deadline { run_key } => operate::deadline(run_key, view, now),
        Command::Delivered { key, notice } => operate::delivered(key, notice, view),
    };
    match decided {
        Ok(decision) => Ok(decision),
        Err(Stop::Need(need)) => Err(*need),
        Err(Stop::Refused(decision)) => Ok(*decision),
    }
}

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
