//! What follows a failed attempt: settings of `retry` that contradict each other or the task.

use cauce_model::FailureClass;

use crate::checks::DraftTask;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::kind::Kind;
use crate::file::task::{EXIT_CODE_MAX, STATUS_MAX};
use crate::shape::Reader;

pub(super) fn check(task: &DraftTask<'_>, reader: &mut Reader) {
    let retry = &task.task.settings.retry;
    let report = |reader: &mut Reader, path: &[&str], found: fn(_, _, _) -> _, code, message, help| {
        let (span, route) = task.place(path);
        let found: Diagnostic = found(code, span, message);
        let help: String = help;
        reader.report(found.help(help).at(route));
    };
    let error = Diagnostic::error;
    if let Some(both) = retry.retry_on.iter().find(|class| retry.no_retry_on.contains(class)) {
        report(
            reader,
            &["retry", "no_retry_on"],
            error,
            Code::Conflict,
            format!("`{}` is in `retry_on` too", both.as_str()),
            "keep it in one of the two".to_owned(),
        );
    }
    let highest = highest_exit_code(&task.task.kind);
    let codes = retry.skip_on_exit_code.iter().enumerate();
    for (at, code) in codes.filter(|(_, code)| !(1..=highest).contains(*code)) {
        let (span, route) = task.item(&["retry", "skip_on_exit_code"], at);
        let (message, help) = match code {
            0 => (
                "an exit code of 0 is a success, which skips nothing".to_owned(),
                "remove it; a task that may do nothing ends with a code of its own, such as 99".to_owned(),
            ),
            code => (
                format!("{code} is no exit code of a failure"),
                format!(
                    "exit codes of programs are 1 to {EXIT_CODE_MAX}; those of `http` are statuses, up to {STATUS_MAX}"
                ),
            ),
        };
        reader.report(Diagnostic::error(Code::OutOfRange, span, message).help(help).at(route));
    }
    let Some(growth) = &retry.on_oom else { return };
    let Some(memory) = memory(&task.task.kind) else {
        report(
            reader,
            &["retry", "on_oom"],
            error,
            Code::Conflict,
            format!("a task of kind `{}` has no memory of its own that could grow", task.task.kind.key()),
            "remove `on_oom`; it is for tasks that run in a container".to_owned(),
        );
        return;
    };
    if growth.max <= memory {
        report(
            reader,
            &["retry", "on_oom", "max"],
            error,
            Code::OutOfRange,
            format!("{} MiB is not more than the {memory} MiB that the task begins with", growth.max),
            "raise `max`, or lower `container: {memory: ...}`".to_owned(),
        );
    }
    let oom = FailureClass::OutOfMemory;
    let not_retried = !retry.retry_on.is_empty() && !retry.retry_on.contains(&oom);
    if not_retried || retry.no_retry_on.contains(&oom) {
        let setting = if not_retried { "retry_on" } else { "no_retry_on" };
        report(
            reader,
            &["retry", setting],
            error,
            Code::Conflict,
            format!("`on_oom` grows an attempt that `{setting}` rules out"),
            format!("remove `on_oom`, or let `{setting}` allow `{}`", oom.as_str()),
        );
    }
    if retry.retries == 0 {
        report(
            reader,
            &["retry", "on_oom"],
            Diagnostic::warning,
            Code::Conflict,
            "without retries no attempt follows that could have more memory".to_owned(),
            "an attempt that ran out of memory uses up a retry: add `retries: 2`".to_owned(),
        );
    }
}

/// The highest exit code of a task's failures. Those that run no program have what `defaults` say for others.
const fn highest_exit_code(kind: &Kind) -> i32 {
    match kind {
        Kind::Http(_) => STATUS_MAX,
        kind if kind.has_no_attempts() || matches!(kind, Kind::Pipeline(_)) => STATUS_MAX,
        _ => EXIT_CODE_MAX,
    }
}

/// The memory that attempts of a task begin with, in MiB.
const fn memory(kind: &Kind) -> Option<u32> {
    Some(match kind {
        Kind::Container(container) => container.resources.memory,
        Kind::Quality(data) => data.resources.memory,
        Kind::Sql(data) => data.resources.memory,
        Kind::Mask(data) => data.resources.memory,
        Kind::Copy(data) => data.resources.memory,
        _ => return None,
    })
}
