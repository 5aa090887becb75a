//! Why an attempt failed, read from what its state failed with. The order of the tests is the
//! specification: the platform's own words first, the exit code after them.
//!
//! The texts of stopped tasks: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>.

mod services;

use cauce_model::plan::TaskKind;
use cauce_model::{FailureClass, Json, names};

/// A classified failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Its class.
    pub class: FailureClass,
    /// The exit code, when a program ended with one.
    pub exit_code: Option<i32>,
    /// In words, for people.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, exit_code: None, message: message.into() }
    }
}

/// The exit code that a bare SIGKILL leaves.
const SIGKILL_CODE: i64 = 137;

/// The stop code of a task whose program ended.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html>
const ENDED_BY_ITSELF: &str = "EssentialContainerExited";

/// What people read of an attempt that ran for too long.
const OVER_TIME: &str = "over its time";

/// Longest failure text kept, in bytes.
const MESSAGE_MAX: usize = 1000;

/// A failure that is the entrypoint's word for the end of the time. A program may end with the same code
/// for reasons of its own, but not before that time is over.
pub(crate) fn over_time(failure: Failure, is_time_over: bool) -> Failure {
    if is_time_over
        && failure.class == FailureClass::Exit
        && failure.exit_code == Some(FailureClass::OVER_TIME_CODE)
    {
        return Failure::new(FailureClass::Timeout, OVER_TIME);
    }
    failure
}

/// Classifies what the state of a task of this kind failed with.
pub fn of_kind(kind: &TaskKind, error: &str, cause: &str) -> Failure {
    match kind {
        TaskKind::Call(call) => services::failure(&call.service, error, cause),
        _ => failure(error, cause),
    }
}

/// Classifies what a state that ran a container or a pipeline failed with.
pub fn failure(error: &str, cause: &str) -> Failure {
    match error {
        "States.Timeout" => return Failure::new(FailureClass::Timeout, OVER_TIME),
        "States.HeartbeatTimeout" => {
            return Failure::new(FailureClass::Heartbeat, "no sign of life in time");
        }
        "States.TaskFailed" => {
            if let Ok(task) = serde_json::from_str::<Json>(cause)
                && task.is_object()
            {
                return stopped(&task).unwrap_or_else(|| nested(&task, cause));
            }
        }
        "AmazonECS.Unknown" => return start_failure(cause),
        _ => {}
    }
    if cause.contains("Rate exceeded") || error.contains("Throttling") || error.contains("TooManyRequests") {
        return Failure::new(FailureClass::Throttled, shown(cause));
    }
    match error {
        "ECS.InvalidParameterException" | "ECS.ClientException" | "ECS.PlatformUnknownException" => {
            Failure::new(FailureClass::Config, shown(cause))
        }
        "ECS.ServerException" | "ECS.SdkClientException" => {
            Failure::new(FailureClass::ResourceInit, shown(cause))
        }
        "States.DataLimitExceeded" | "States.Runtime" | "States.ParameterPathFailure" => {
            Failure::new(FailureClass::Config, shown(cause))
        }
        _ => Failure::new(FailureClass::Unknown, shown(&format!("{error}: {cause}"))),
    }
}

/// What a container's state succeeded with. `None` when the program ended well. Whatever is no stopped ECS
/// task, or does not say with which code the program ended, is a failure: only a 0 that is there is one.
pub fn container(result: &Json) -> Option<Failure> {
    if is_task(result) {
        return stopped(result);
    }
    let message = format!("the answer is no ECS task: {result}");
    Some(Failure::new(FailureClass::Unknown, shown(&message)))
}

/// A field of an answer of ECS: Step Functions tells it in PascalCase, ECS itself in camelCase.
fn field<'a>(of: &'a Json, name: &str) -> Option<&'a Json> {
    of.get(name).or_else(|| of.get(format!("{}{}", name[..1].to_ascii_lowercase(), &name[1..])))
}

fn word<'a>(of: &'a Json, name: &str) -> &'a str {
    field(of, name).and_then(Json::as_str).unwrap_or("")
}

fn is_task(answer: &Json) -> bool {
    !word(answer, "StopCode").is_empty() || field(answer, "Containers").is_some()
}

/// A stopped ECS task. `None` when it ended well: no stop code of somebody else's and exit code 0; and for
/// what is no ECS task.
pub fn stopped(task: &Json) -> Option<Failure> {
    if !is_task(task) {
        return None;
    }
    let (stop_code, reason) = (word(task, "StopCode"), word(task, "StoppedReason"));
    let container = field(task, "Containers").and_then(Json::as_array).and_then(|all| {
        let own = all.iter().find(|container| word(container, "Name") == crate::launch::CONTAINER_NAME);
        // Of several under other names none is known to be the program.
        own.or_else(|| all.first().filter(|_| all.len() == 1))
    });
    let exit_code = container.and_then(|container| field(container, "ExitCode")).and_then(Json::as_i64);
    let container_reason = container.map_or("", |container| word(container, "Reason"));
    let with_code = |class, message: String| Failure {
        class,
        exit_code: exit_code.and_then(|code| i32::try_from(code).ok()),
        message: shown(&message),
    };
    let said = |text: &str| {
        let words = [text, stop_code, "it stopped, and nothing says why"];
        words.into_iter().find(|words| !words.is_empty()).unwrap_or_default().to_owned()
    };
    match stop_code {
        "SpotInterruption" => return Some(with_code(FailureClass::SpotInterruption, said(reason))),
        "TerminationNotice" => {
            return Some(with_code(FailureClass::TerminationNotice, said(reason)));
        }
        "UserInitiated" => return Some(with_code(FailureClass::UserInitiated, said(reason))),
        "TaskFailedToStart" => {
            return Some(with_code(not_started(reason, container_reason), said(reason)));
        }
        _ => {}
    }
    let words = format!("{container_reason} {reason}");
    if is_out_of_memory(&words) {
        return Some(with_code(FailureClass::OutOfMemory, said(container_reason)));
    }
    match exit_code {
        // A stop code of a later day may be another interruption, after which a program may well say 0.
        Some(0) if !["", ENDED_BY_ITSELF].contains(&stop_code) => {
            Some(with_code(FailureClass::Unknown, format!("stopped as {stop_code}: {reason}")))
        }
        Some(0) => None,
        Some(SIGKILL_CODE) => Some(with_code(FailureClass::Killed, "killed (exit code 137)".to_owned())),
        Some(code) => Some(with_code(FailureClass::Exit, format!("exit code {code}"))),
        // A missing exit code is a failure, never 0.
        None if !container_reason.is_empty() => {
            Some(with_code(not_started(container_reason, reason), container_reason.to_owned()))
        }
        None => Some(with_code(FailureClass::Unknown, said(reason))),
    }
}

fn is_out_of_memory(text: &str) -> bool {
    text.contains("OutOfMemory")
        || text.contains("OOM")
        || text.to_ascii_lowercase().contains("out of memory")
}

/// Why a task never started.
fn not_started(reason: &str, other: &str) -> FailureClass {
    let text = format!("{reason} {other}");
    let has = |word: &str| text.contains(word);
    if has("Capacity is unavailable") || has("capacity") && !has("CapacityProvider does not") {
        FailureClass::Capacity
    } else if has("Rate exceeded") || has("Throttling") || has("toomanyrequests") {
        FailureClass::Throttled
    } else if has("CannotPull") {
        let missing = ["not found", "manifest unknown", "does not exist", "no such image", "NotFound"];
        if missing.iter().any(|word| has(word)) {
            FailureClass::ImageMissing
        } else {
            FailureClass::ImagePull
        }
    } else if has("executable file not found")
        || has("no such file or directory")
        || has("CannotStartContainerError")
    {
        // The image is there and its program is not: another attempt cannot help either.
        FailureClass::ImageMissing
    } else if is_out_of_memory(&text) {
        FailureClass::OutOfMemory
    } else if has("ResourceInitializationError") || has("Cannot") || has("Timeout") || has("unable to") {
        FailureClass::ResourceInit
    } else {
        FailureClass::Unknown
    }
}

/// A RunTask call that started nothing: `Failures` as text.
fn start_failure(cause: &str) -> Failure {
    let class = if cause.contains("RESOURCE:") || cause.to_ascii_lowercase().contains("capacity") {
        FailureClass::Capacity
    } else if cause.contains("MISSING") || cause.contains("INACTIVE") {
        FailureClass::Config
    } else {
        FailureClass::ResourceInit
    };
    let failures: Vec<Json> = serde_json::from_str(cause).unwrap_or_default();
    let reasons: Vec<&str> = failures.iter().filter_map(|failure| failure.get("Reason")?.as_str()).collect();
    let words = if reasons.is_empty() { cause.to_owned() } else { reasons.join("; ") };
    Failure::new(class, shown(&format!("RunTask started nothing: {words}")))
}

/// A nested execution that failed: its own error is inside.
fn nested(execution: &Json, cause: &str) -> Failure {
    let text = |field: &str| execution.get(field).and_then(Json::as_str).unwrap_or("");
    match (text("Status"), text("Error")) {
        ("ABORTED", _) => Failure::new(FailureClass::Aborted, "its execution was stopped"),
        ("TIMED_OUT", _) => Failure::new(FailureClass::Timeout, "its execution ran out of time"),
        ("FAILED", error) if !error.is_empty() => {
            Failure::new(FailureClass::Exit, shown(&raised(error, text("Cause"))))
        }
        _ => Failure::new(FailureClass::Unknown, shown(cause)),
    }
}

/// An error of a nested execution in words; that a run of ours failed, those words say themselves.
fn raised(error: &str, cause: &str) -> String {
    let words = plain(cause);
    if error == names::RUN_FAILED { words } else { format!("{error}: {words}") }
}

/// What a function failed with, in its own words: Step Functions passes on the JSON that Lambda made of it.
/// <https://docs.aws.amazon.com/lambda/latest/dg/rust-handler.html> shows its shape.
pub(crate) fn plain(cause: &str) -> String {
    let told: Option<Json> = serde_json::from_str(cause).ok();
    let words = told.as_ref().and_then(|told| told.get("errorMessage")?.as_str());
    words.unwrap_or(cause).to_owned()
}

/// Cuts a text for people at a character boundary.
pub(crate) fn shown(text: &str) -> String {
    if text.len() <= MESSAGE_MAX {
        return text.to_owned();
    }
    let mut end = MESSAGE_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_function_s_error_is_told_in_its_own_words() {
        assert_eq!(
            plain(r#"{"errorType": "Cauce.RunFailed", "errorMessage": "load failed"}"#),
            "load failed"
        );
        assert_eq!(plain("load failed"), "load failed");
        assert_eq!(plain("{}"), "{}");
    }

    fn class_of(task: Json) -> Option<(FailureClass, Option<i32>)> {
        stopped(&task).map(|failure| (failure.class, failure.exit_code))
    }

    fn task(stop_code: &str, reason: &str, exit_code: Option<i64>, container_reason: &str) -> Json {
        let mut container = json!({"Name": "task"});
        if let Some(code) = exit_code {
            container["ExitCode"] = json!(code);
        }
        if !container_reason.is_empty() {
            container["Reason"] = json!(container_reason);
        }
        json!({"StopCode": stop_code, "StoppedReason": reason, "Containers": [container]})
    }

    #[test]
    fn the_stop_code_comes_before_the_exit_code() {
        let spot = task("SpotInterruption", "Your Spot Task was interrupted.", Some(0), "");
        assert_eq!(class_of(spot), Some((FailureClass::SpotInterruption, Some(0))));
        let by_user = task("UserInitiated", "", Some(143), "");
        assert_eq!(class_of(by_user), Some((FailureClass::UserInitiated, Some(143))));
    }

    #[test]
    fn exit_codes() {
        let done = "Essential container in task exited";
        let exited = |code, reason: &str| class_of(task("EssentialContainerExited", done, code, reason));
        assert_eq!(exited(Some(0), ""), None);
        assert_eq!(exited(Some(3), ""), Some((FailureClass::Exit, Some(3))));
        assert_eq!(exited(Some(137), ""), Some((FailureClass::Killed, Some(137))));
        let oom = "OutOfMemoryError: Container killed due to memory usage";
        assert_eq!(exited(Some(137), oom), Some((FailureClass::OutOfMemory, Some(137))));
        assert_eq!(exited(None, ""), Some((FailureClass::Unknown, None)));
    }

    #[test]
    fn the_entrypoints_word_for_the_end_of_the_time_is_believed_when_it_is_over() {
        let ended = |code| failure("States.TaskFailed", &task("", "", Some(code), "").to_string());
        assert_eq!(over_time(ended(124), true), Failure::new(FailureClass::Timeout, OVER_TIME));
        for (code, is_time_over) in [(124, false), (1, true)] {
            assert_eq!(over_time(ended(code), is_time_over), ended(code));
            assert_eq!(ended(code).class, FailureClass::Exit);
        }
    }

    #[test]
    fn tasks_that_never_started() {
        let class =
            |reason: &str| class_of(task("TaskFailedToStart", reason, None, "")).map(|(class, _)| class);
        assert_eq!(class("Capacity is unavailable at this time."), Some(FailureClass::Capacity));
        assert_eq!(class("CannotPullContainerError: manifest unknown"), Some(FailureClass::ImageMissing));
        assert_eq!(class("CannotPullContainerError: i/o timeout"), Some(FailureClass::ImagePull));
        assert_eq!(
            class("ResourceInitializationError: unable to pull secrets"),
            Some(FailureClass::ResourceInit)
        );
        assert_eq!(
            class("CannotStartContainerError: exec: \"foo\": executable file not found in $PATH"),
            Some(FailureClass::ImageMissing)
        );
    }

    #[test]
    fn what_states_fail_with() {
        let class = |error: &str, cause: &str| failure(error, cause).class;
        assert_eq!(class("States.Timeout", ""), FailureClass::Timeout);
        assert_eq!(class("States.HeartbeatTimeout", ""), FailureClass::Heartbeat);
        assert_eq!(class("ECS.InvalidParameterException", "Rate exceeded"), FailureClass::Throttled);
        assert_eq!(class("ECS.InvalidParameterException", "no such subnet"), FailureClass::Config);
        let refused = failure("AmazonECS.Unknown", r#"[{"Arn": "a", "Reason": "RESOURCE:CPU"}]"#);
        assert_eq!(refused.class, FailureClass::Capacity);
        assert_eq!(refused.message, "RunTask started nothing: RESOURCE:CPU");
        let nested = json!({"ExecutionArn": "x", "Status": "FAILED", "Error": "Boom", "Cause": "it broke"})
            .to_string();
        assert_eq!(failure("States.TaskFailed", &nested).message, "Boom: it broke");
        // What a function of ours raised arrives as Lambda tells it; on one machine as it was said.
        let told =
            json!({"errorType": "Cauce.RunFailed", "errorMessage": "work failed: exit code 1"}).to_string();
        for cause in [told.as_str(), "work failed: exit code 1"] {
            let nested = json!({"Status": "FAILED", "Error": names::RUN_FAILED, "Cause": cause}).to_string();
            assert_eq!(failure("States.TaskFailed", &nested).message, "work failed: exit code 1");
        }
        assert_eq!(class("Whatever", "x"), FailureClass::Unknown);
    }
}
