//! Executions of state machines, and the tokens they wait for.

use cauce_model::{Instant, Json};
use std::future::Future;

/// What came of a request to start an execution.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Started {
    /// It began.
    Started,
    /// The same name with the same input is under way: the same execution.
    AlreadyRunning,
    /// The name was used in the last 90 days, by an execution that ended or has another input.
    NameTaken,
}

/// What an execution is, as the platform sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExecutionStatus {
    /// Under way.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended in a failure.
    Failed,
    /// Ran out of its time.
    TimedOut,
    /// Stopped from outside.
    Aborted,
}

/// An execution, described.
#[derive(Clone, PartialEq, Debug)]
pub struct Described {
    /// Its status.
    pub status: ExecutionStatus,
    /// Its input.
    pub input: Json,
    /// When it began.
    pub started_at: Instant,
    /// The failure's name, when it failed.
    pub error: Option<String>,
    /// The failure's text, when it failed.
    pub cause: Option<String>,
}

/// What a waiting token is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The state goes on with this result.
    Success(Json),
    /// The state fails with this error.
    Failure {
        /// The error's name.
        error: String,
        /// Its text.
        cause: String,
    },
}

/// What came of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    /// The state took it.
    Yes,
    /// The state is not waiting (answered before, timed out, ended): final, never retried.
    TokenClosed,
}

/// Why the platform did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateMachineError {
    /// Over its rates.
    #[error("the state machine service is over its rate")]
    Throttled,
    /// There is no such machine.
    #[error("there is no state machine '{0}'")]
    NoMachine(String),
    /// A request that the service does not take, or may not carry out for us; nothing happened.
    #[error("the state machine service refused: {0}")]
    Refused(String),
    /// The reply was lost or the service failed: it may or may not have happened.
    #[error("the state machine service did not answer: {0}")]
    Unknown(String),
}

impl StateMachineError {
    /// Whether the same call may succeed later.
    pub const fn retryable(&self) -> bool {
        !matches!(self, Self::NoMachine(_) | Self::Refused(_))
    }
}

/// The engine that runs state machines.
pub trait StateMachines {
    /// Starts an execution. Safe to repeat: names are unique.
    fn start(
        &self,
        machine: &str,
        name: &str,
        input: &Json,
    ) -> impl Future<Output = Result<Started, StateMachineError>>;

    /// What became of an execution; `None` when there never was one of that name.
    fn describe(
        &self,
        machine: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<Described>, StateMachineError>>;

    /// Stops an execution and, best-effort, what it started. Stopping an ended one changes nothing.
    fn stop(
        &self,
        machine: &str,
        name: &str,
        error: &str,
        cause: &str,
    ) -> impl Future<Output = Result<(), StateMachineError>>;

    /// Answers a token. A token is answered once; the others hear [`Answered::TokenClosed`].
    fn answer(
        &self,
        token: &str,
        answer: &Answer,
    ) -> impl Future<Output = Result<Answered, StateMachineError>>;
}
