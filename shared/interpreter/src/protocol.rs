//! What an execution asks of its host, and what the host tells it.

use std::sync::Arc;

use serde_json::Value;

use crate::{Failure, Mode};

/// Names one outstanding request of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What an execution wants done. The host does it, now or later, and says so with a [`Reply`].
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Call a resource.
    Call(Call),
    /// Stop what this call started; nobody waits for it any more. Best-effort, never answered.
    Cancel {
        /// The call.
        id: CallId,
    },
    /// Read the items of a distributed Map.
    ///
    /// For `arn:aws:states:::s3:getObject` the reply is the object's text as a JSON string; for
    /// `arn:aws:states:::s3:listObjectsV2` it is the array of `{Key, Size, LastModified, Etag, StorageClass}`.
    /// A failed read becomes `States.ItemReaderFailed`.
    Read {
        /// The request.
        id: CallId,
        /// The Map state.
        state: Arc<str>,
        /// What to read with.
        resource: Arc<str>,
        /// `{Bucket, Key}` or `{Bucket, Prefix}`.
        arguments: Value,
    },
    /// Write one object of a distributed Map's results. The reply's value is not looked at; a failed write
    /// becomes `States.ResultWriterFailed`.
    Write {
        /// The request.
        id: CallId,
        /// The Map state.
        state: Arc<str>,
        /// What to write with: `arn:aws:states:::s3:putObject`.
        resource: Arc<str>,
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The object.
        body: String,
    },
    /// The execution has ended; nothing follows.
    Ended(Ended),
}

/// A call of a resource by a Task state.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What replies name.
    pub id: CallId,
    /// The Task state.
    pub state: Arc<str>,
    /// The ARN in the state's `Resource`.
    pub resource: Arc<str>,
    /// What the resource receives.
    pub arguments: Arc<Value>,
    /// What counts as done.
    pub mode: Mode,
    /// The token somebody will answer, for [`Mode::WaitForTaskToken`] and [`Mode::Activity`].
    pub token: Option<String>,
    /// The role to assume, when the state names one.
    pub credentials: Option<Arc<Value>>,
    /// From 0: how often the state has been retried.
    pub retry_count: u64,
    /// The attempt's time limit in seconds; the execution itself watches it.
    pub timeout_seconds: Option<u64>,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The status.
    pub status: Status,
    /// The output of an execution that succeeded.
    pub output: Option<Arc<Value>>,
    /// The error of one that failed or was aborted.
    pub error: Option<String>,
    /// Its cause.
    pub cause: Option<String>,
}

/// The status of an execution that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// With an output.
    Succeeded,
    /// With an error.
    Failed,
    /// Stopped from outside.
    Aborted,
    /// Ran longer than the machine's `TimeoutSeconds`.
    TimedOut,
}

impl Status {
    /// The status as AWS spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

/// What the host tells an execution. A reply to a call that is no longer waited for is ignored.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The call is done, well or badly.
    ///
    /// - [`Mode::RequestResponse`]: the service's answer, in PascalCase for AWS services.
    /// - [`Mode::Sync`] and [`Mode::Sync2`]: the finished job. For `states:startExecution.sync` that is
    ///   `{ExecutionArn, Input, InputDetails, Name, Output, OutputDetails, StartDate, StateMachineArn, Status,
    ///   StopDate}`, `Input` and `Output` being JSON text with `.sync` and JSON with `.sync:2`. A nested
    ///   execution that failed is the error `States.TaskFailed` whose cause is the same object as text, with
    ///   `Error` and `Cause` instead of `Output`.
    /// - [`Mode::WaitForTaskToken`]: an answer only says that the call was delivered, as
    ///   [`Reply::Submitted`] does; an error fails the task.
    Returned(CallId, Result<Value, Failure>),
    /// The call was accepted, with this answer; the job runs, or the token waits.
    Submitted(CallId, Value),
    /// A worker took the activity's task.
    Started(CallId),
    /// Somebody answered the call's token.
    Answered(CallId, Result<Value, Failure>),
    /// Whoever holds the token is alive.
    Heartbeat(CallId),
    /// Stop the whole execution.
    Abort(Failure),
}
