//! The smaller ports: time, ids, running programs, people.

use cauce_model::record::Notice;
use cauce_model::{Instant, RunKey};
use std::future::Future;

/// Time. Sync, to the microsecond, never going back within one process.
pub trait Clock {
    /// The present moment.
    fn now(&self) -> Instant;
}

/// Unique names.
pub trait Ids {
    /// A new ULID for this moment: 26 characters, later ones sort later.
    fn ulid(&self, now: Instant) -> String;
}

/// A program under way, as its tags tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunningTask {
    /// The platform's id of it.
    pub id: String,
    /// The run it belongs to.
    pub run_key: RunKey,
    /// The task.
    pub task: String,
    /// The item of a mapped task.
    pub index: Option<u32>,
    /// The attempt's number.
    pub attempt: u32,
}

/// Why the compute platform did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ComputeError {
    /// Over its rates.
    #[error("the compute platform is over its rate")]
    Throttled,
    /// The reply was lost or the platform failed.
    #[error("the compute platform did not answer: {0}")]
    Unknown(String),
}

/// How a state that ran a program failed: what `ecs:runTask.sync` fails with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskFailure {
    /// `States.TaskFailed`, `AmazonECS.Unknown`, `ECS.*Exception`.
    pub error: String,
    /// The task as a JSON text, or the API's message.
    pub cause: String,
}

/// The platform behind `ecs:runTask.sync`, as the embedded engine's states call it. On AWS this is
/// Step Functions' own integration and has no code of ours.
pub trait TaskRunner {
    /// Runs one program to its end. `request` is the RunTask request of the state (`TaskDefinition`,
    /// `ClientToken`, `Overrides.ContainerOverrides[0].{Command, Environment}`, `Tags`); the result is
    /// the stopped task in PascalCase. A repeat with the `ClientToken` of a program under way waits
    /// for that program. The program's id, for [`Compute::stop`], is its `ClientToken`.
    fn run(
        &self,
        request: &cauce_model::Json,
    ) -> impl Future<Output = Result<cauce_model::Json, TaskFailure>>;

    /// Calls another service, as the state's `resource` names it (`arn:aws:states:::http:invoke`), and
    /// waits as that resource does. Result and failure have the shape that the integration gives
    /// them. What is not there fails with `States.Runtime`, which is class `config`.
    fn call(
        &self,
        resource: &str,
        _arguments: &cauce_model::Json,
    ) -> impl Future<Output = Result<cauce_model::Json, TaskFailure>> {
        let failure = TaskFailure {
            error: "States.Runtime".to_owned(),
            cause: format!(
                "only AWS has {resource}: give the task a command to run here instead, `local: [...]`"
            ),
        };
        std::future::ready(Err(failure))
    }
}

/// Programs under way. Starting one is the state machine's work, not a decision's.
pub trait Compute {
    /// Every program under way that carries our tags, of one run.
    fn find(&self, run_key: &RunKey) -> impl Future<Output = Result<Vec<RunningTask>, ComputeError>>;

    /// Stops a program: SIGTERM, its stop timeout, SIGKILL. Stopping an ended one changes nothing.
    fn stop(&self, id: &str, reason: &str) -> impl Future<Output = Result<(), ComputeError>>;
}

/// Why a notice was not delivered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotifyError {
    /// There is no channel of that name.
    #[error("there is no channel '{0}' in cauce.yaml")]
    NoChannel(String),
    /// The channel's other end refused it for good.
    #[error("channel '{channel}' refused the notice: {reason}")]
    Refused {
        /// Which channel.
        channel: String,
        /// Its words.
        reason: String,
    },
    /// The channel's other end did not answer; another try may help.
    #[error("channel '{channel}' did not answer: {reason}")]
    Unreachable {
        /// Which channel.
        channel: String,
        /// What went wrong.
        reason: String,
    },
}

impl NotifyError {
    /// Whether the same call may succeed later.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// People.
pub trait Notifier {
    /// Delivers a notice, at least once: the notice's id lets the other end drop a repeat.
    fn deliver(&self, notice: &Notice) -> impl Future<Output = Result<(), NotifyError>>;
}
