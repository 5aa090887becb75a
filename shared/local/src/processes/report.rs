//! The stopped task, as `ecs:runTask.sync` gives it, and the words that a failure is classified by.
//!
//! The fields are those of `DescribeTasks` in PascalCase with times in milliseconds, as the state
//! receives them; only those with a meaning on one machine are there.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html>

use super::request::Request;
use cauce_model::{Instant, Json};
use cauce_ports::TaskFailure;
use serde_json::json;
use std::io;

/// `StopCode` of a program that ended by itself, well or not.
pub const EXITED: &str = "EssentialContainerExited";

/// `StopCode` of a program that was stopped.
pub const USER_INITIATED: &str = "UserInitiated";

/// `StopCode` of a program that never ran.
pub const FAILED_TO_START: &str = "TaskFailedToStart";

/// `StoppedReason` beside [`EXITED`].
pub const EXITED_REASON: &str = "Essential container in task exited";

/// Begins the reason of a program that cannot be started, however often it is tried. The rest says
/// `exec: "NAME": ` and one of `executable file not found in $PATH`, `no such file or directory`,
/// `permission denied`, or the system's words.
pub const CANNOT_START: &str = "CannotStartContainerError";

/// Begins the reason of an image that is not there; the rest says `not found`.
pub const CANNOT_PULL: &str = "CannotPullContainerError";

/// Begins the reason of a program that this machine could not start now: a secret without a value,
/// no room for its log, no more processes.
pub const RESOURCE_INIT: &str = "ResourceInitializationError";

/// What a shell answers for a program that died of a signal: 128 and its number.
pub const SIGNAL_BASE: i32 = 128;

/// How a program ended.
pub(super) struct Stopped<'a> {
    pub(super) stop_code: &'static str,
    pub(super) reason: &'a str,
    /// Absent when it never ran.
    pub(super) exit_code: Option<i32>,
    /// What else is to be known, such as an incomplete log.
    pub(super) remark: Option<&'a str>,
    pub(super) created_at: Instant,
    /// Absent when it never ran.
    pub(super) started_at: Option<Instant>,
    pub(super) stopped_at: Instant,
    pub(super) process_id: Option<u32>,
}

/// The name of the container in every task definition of ours.
const CONTAINER_NAME: &str = "task";

/// The task as the state gets it.
pub(super) fn task(request: &Request, stopped: &Stopped<'_>) -> Json {
    let mut container = json!({
        "LastStatus": "STOPPED",
        "Name": CONTAINER_NAME,
    });
    if let Some(code) = stopped.exit_code {
        container["ExitCode"] = json!(code);
    }
    if let Some(remark) = stopped.remark {
        container["Reason"] = json!(remark);
    }
    if let Some(pid) = stopped.process_id {
        container["RuntimeId"] = json!(pid.to_string());
    }
    let mut task = json!({
        "Containers": [container],
        "CreatedAt": millis(stopped.created_at),
        "DesiredStatus": "STOPPED",
        "Group": format!("family:{}", request.family),
        "LastStatus": "STOPPED",
        "StartedBy": "cauce",
        "StopCode": stopped.stop_code,
        "StoppedAt": millis(stopped.stopped_at),
        "StoppedReason": stopped.reason,
        "TaskArn": request.token,
        "TaskDefinitionArn": request.family,
    });
    if let Some(at) = stopped.started_at {
        task["StartedAt"] = json!(millis(at));
    }
    task
}

/// A task that never ran, as the state fails with it.
pub(super) fn not_started(request: &Request, reason: &str, now: Instant) -> TaskFailure {
    failed(&task(
        request,
        &Stopped {
            stop_code: FAILED_TO_START,
            reason,
            exit_code: None,
            remark: Some(reason),
            created_at: now,
            started_at: None,
            stopped_at: now,
            process_id: None,
        },
    ))
}

/// The failure of a state whose task ended like this.
pub(super) fn failed(task: &Json) -> TaskFailure {
    TaskFailure { error: "States.TaskFailed".to_owned(), cause: task.to_string() }
}

/// Why a program could not be executed, in the words of a container runtime.
pub(super) fn cannot_exec(program: &str, error: &io::Error) -> String {
    let words = match error.kind() {
        // A program given by its path; one without was looked up before.
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => {
            return format!("{RESOURCE_INIT}: no process for \"{program}\": {error}");
        }
        _ => error.to_string(),
    };
    format!("{CANNOT_START}: exec: \"{program}\": {words}")
}

fn millis(at: Instant) -> i64 {
    at.micros().div_euclid(1000)
}
