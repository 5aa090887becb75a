//! `cauce explain`: what a code, a status or a failure class means, and what to do.

use cauce_model::{FailureClass, TaskStatus};
use serde_json::json;

use crate::args::ExplainArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::suggest::nearest;

/// The page of every diagnostic code.
const PAGES: [(&str, &str); 64] = [
    ("C001", include_str!("../../../docs/errors/C001.md")),
    ("C002", include_str!("../../../docs/errors/C002.md")),
    ("C003", include_str!("../../../docs/errors/C003.md")),
    ("C004", include_str!("../../../docs/errors/C004.md")),
    ("C005", include_str!("../../../docs/errors/C005.md")),
    ("C006", include_str!("../../../docs/errors/C006.md")),
    ("C101", include_str!("../../../docs/errors/C101.md")),
    ("C102", include_str!("../../../docs/errors/C102.md")),
    ("C103", include_str!("../../../docs/errors/C103.md")),
    ("C104", include_str!("../../../docs/errors/C104.md")),
    ("C105", include_str!("../../../docs/errors/C105.md")),
    ("C106", include_str!("../../../docs/errors/C106.md")),
    ("C107", include_str!("../../../docs/errors/C107.md")),
    ("C108", include_str!("../../../docs/errors/C108.md")),
    ("C109", include_str!("../../../docs/errors/C109.md")),
    ("C110", include_str!("../../../docs/errors/C110.md")),
    ("C111", include_str!("../../../docs/errors/C111.md")),
    ("C112", include_str!("../../../docs/errors/C112.md")),
    ("C113", include_str!("../../../docs/errors/C113.md")),
    ("C114", include_str!("../../../docs/errors/C114.md")),
    ("C115", include_str!("../../../docs/errors/C115.md")),
    ("C116", include_str!("../../../docs/errors/C116.md")),
    ("C201", include_str!("../../../docs/errors/C201.md")),
    ("C202", include_str!("../../../docs/errors/C202.md")),
    ("C203", include_str!("../../../docs/errors/C203.md")),
    ("C204", include_str!("../../../docs/errors/C204.md")),
    ("C205", include_str!("../../../docs/errors/C205.md")),
    ("C206", include_str!("../../../docs/errors/C206.md")),
    ("C207", include_str!("../../../docs/errors/C207.md")),
    ("C208", include_str!("../../../docs/errors/C208.md")),
    ("C209", include_str!("../../../docs/errors/C209.md")),
    ("C210", include_str!("../../../docs/errors/C210.md")),
    ("C211", include_str!("../../../docs/errors/C211.md")),
    ("C212", include_str!("../../../docs/errors/C212.md")),
    ("C213", include_str!("../../../docs/errors/C213.md")),
    ("C301", include_str!("../../../docs/errors/C301.md")),
    ("C302", include_str!("../../../docs/errors/C302.md")),
    ("C303", include_str!("../../../docs/errors/C303.md")),
    ("C304", include_str!("../../../docs/errors/C304.md")),
    ("C305", include_str!("../../../docs/errors/C305.md")),
    ("C306", include_str!("../../../docs/errors/C306.md")),
    ("C307", include_str!("../../../docs/errors/C307.md")),
    ("C308", include_str!("../../../docs/errors/C308.md")),
    ("C401", include_str!("../../../docs/errors/C401.md")),
    ("C402", include_str!("../../../docs/errors/C402.md")),
    ("C403", include_str!("../../../docs/errors/C403.md")),
    ("C404", include_str!("../../../docs/errors/C404.md")),
    ("C405", include_str!("../../../docs/errors/C405.md")),
    ("C406", include_str!("../../../docs/errors/C406.md")),
    ("C407", include_str!("../../../docs/errors/C407.md")),
    ("C408", include_str!("../../../docs/errors/C408.md")),
    ("C409", include_str!("../../../docs/errors/C409.md")),
    ("C410", include_str!("../../../docs/errors/C410.md")),
    ("C501", include_str!("../../../docs/errors/C501.md")),
    ("C502", include_str!("../../../docs/errors/C502.md")),
    ("C503", include_str!("../../../docs/errors/C503.md")),
    ("C504", include_str!("../../../docs/errors/C504.md")),
    ("C511", include_str!("../../../docs/errors/C511.md")),
    ("C512", include_str!("../../../docs/errors/C512.md")),
    ("C513", include_str!("../../../docs/errors/C513.md")),
    ("C514", include_str!("../../../docs/errors/C514.md")),
    ("C515", include_str!("../../../docs/errors/C515.md")),
    ("C901", include_str!("../../../docs/errors/C901.md")),
    ("C902", include_str!("../../../docs/errors/C902.md")),
];

pub(crate) fn explain(args: &ExplainArgs, context: &Context) -> Result<Exit, Failure> {
    let asked = args.code.trim();
    let found = page(asked).or_else(|| word(&asked.to_lowercase()));
    let Some((name, text)) = found else {
        let failure = Failure::bad_input(format!("there is no code, status or failure class '{asked}'"));
        return Err(match nearest(asked, known()) {
            Some(near) => failure.help(format!("did you mean {}?", neighbours(near))),
            None => failure.help(
                "codes look like C204, 'cauce check' prints them in brackets; statuses and classes are those of 'cauce show' \
                 and 'cauce why', such as upstream_failed and out_of_memory",
            ),
        });
    };
    if context.json {
        let title = text.lines().next().unwrap_or_default().trim_start_matches('#').trim();
        context.output.json(&json!({"name": name, "title": title, "text": text}))?;
    } else {
        context.output.data(&text)?;
    }
    Ok(Exit::Good)
}

/// The page of a code: `C204`, `c204` or `204`.
fn page(asked: &str) -> Option<(&'static str, String)> {
    let asked = asked.to_uppercase();
    PAGES
        .iter()
        .find(|(code, _)| *code == asked || code.strip_prefix('C') == Some(&asked))
        .map(|(code, text)| (*code, (*text).to_owned()))
}

fn known() -> impl Iterator<Item = &'static str> {
    let classes = FailureClass::ALL.into_iter().map(FailureClass::as_str);
    let statuses = TaskStatus::ALL.into_iter().map(TaskStatus::as_str);
    let shown = SHOWN.iter().map(|(shown, _)| *shown);
    PAGES.iter().map(|(code, _)| *code).chain(classes).chain(statuses).chain(shown)
}

/// A code together with those beside it, for somebody who misread a digit; a word alone.
fn neighbours(near: &str) -> String {
    let Some(at) = PAGES.iter().position(|(code, _)| *code == near) else {
        return format!("'{near}'");
    };
    let around = &PAGES[at.saturating_sub(1)..(at + 2).min(PAGES.len())];
    around.iter().map(|(code, _)| *code).collect::<Vec<_>>().join(", ")
}

/// What a status or a failure class means. A word that is both a status of runs and one of tasks is
/// explained once.
fn word(asked: &str) -> Option<(&'static str, String)> {
    if let Some(status) = TaskStatus::parse(asked) {
        return Some((status.as_str(), format!("# {status}: a status\n\n{}\n", of_status(status))));
    }
    if let Some((shown, text)) = SHOWN.iter().find(|(shown, _)| *shown == asked) {
        return Some((shown, format!("# {shown}: a status\n\n{text}\n")));
    }
    let class = FailureClass::parse(asked)?;
    let (what, then) = of_class(class);
    let retried = if class.is_final() {
        "It is never retried: the same attempt would fail again."
    } else if class.is_infrastructure() {
        "It is retried on the infrastructure budget, which does not use up `retries`."
    } else {
        "It is retried while `retries` has some left."
    };
    Some((class.as_str(), format!("# {class}: a failure class\n\n{what} {retried}\n\n{then}\n")))
}

/// Statuses that people see, and no record has.
const SHOWN: [(&str, &str); 2] = [
    (
        "interrupted",
        "The run is under way by its record, and the process that ran it on this machine is gone. `cauce resume RUN` goes on and \
         keeps what succeeded; `cauce cancel RUN` ends it.",
    ),
    (
        "did not run",
        "The run ended before anything was decided about the task: it was never let in, or was ended before. `cauce why RUN` \
         tells the reason, `cauce rerun RUN` runs it.",
    ),
];

fn of_status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Waiting => {
            "Nothing is decided about the task yet: a task it needs has not ended. `cauce why RUN TASK` names it."
        }
        TaskStatus::Queued => {
            "A run is queued until `max_active_runs` lets it in; a task until `max_active_tasks` has a slot for it. \
             `cauce why` tells who holds the slots and the position in line."
        }
        TaskStatus::Running => {
            "An attempt of the task is on its way. `cauce logs RUN TASK --follow` shows what it prints."
        }
        TaskStatus::Retrying => {
            "An attempt failed and the next one waits for its delay. `cauce why RUN TASK` tells when it starts."
        }
        TaskStatus::Success => "It ended well.",
        TaskStatus::Failed => {
            "The last attempt failed and no other follows. `cauce why RUN TASK` tells the reason, `cauce logs RUN \
             TASK` what it printed, `cauce rerun RUN` runs it again with everything below it. `failed (allowed)` \
             counts as success below the task and for the run."
        }
        TaskStatus::Skipped => {
            "A branch, its `if`, its trigger rule or an exit code in `skip_on_exit_code` said that the task is not \
             to run. A run is skipped when all its tasks are."
        }
        TaskStatus::UpstreamFailed => {
            "Its trigger rule cannot be met because a task above it failed. `cauce why RUN TASK` names that task; \
             once it is mended, `cauce rerun RUN` runs both."
        }
        TaskStatus::Cancelled => "It was stopped together with its run, by a person or a deadline.",
    }
}

/// What happened, and what to do.
fn of_class(class: FailureClass) -> (&'static str, &'static str) {
    match class {
        FailureClass::SpotInterruption => (
            "AWS took the spot capacity back while the task ran.",
            "Set `restartable: true` when the program may be started again; the next attempt uses on-demand \
             capacity with `capacity: spot_then_on_demand`.",
        ),
        FailureClass::TerminationNotice => (
            "The platform announced the end of the task, for maintenance or because its host went away.",
            "Set `restartable: true` when the program may be started again.",
        ),
        FailureClass::UserInitiated => (
            "Somebody stopped the task outside cauce, in the console or with the AWS CLI.",
            "`cauce rerun RUN` runs it again.",
        ),
        FailureClass::Capacity => (
            "There was no capacity to start the task on; the program never started.",
            "Wait, choose other sizes, or use `capacity: spot_then_on_demand`.",
        ),
        FailureClass::Throttled => (
            "The platform refused because of its rates; the program never started.",
            "Lower `max_active_tasks` or `max_concurrency`, or ask AWS for a higher rate.",
        ),
        FailureClass::ImageMissing => (
            "The image does not exist; on one machine, the task's program was not found, or may not be executed.",
            "Check the image's name and tag in cauce.yaml; on one machine, its `local` command and PATH.",
        ),
        FailureClass::ImagePull => (
            "The image could not be fetched; the program never started.",
            "Check the network's way to the registry and the execution role's permissions.",
        ),
        FailureClass::ResourceInit => (
            "Something the task needs to start could not be prepared: a secret, a network interface, a volume.",
            "Check that the task's secrets exist and that its role may read them.",
        ),
        FailureClass::OutOfMemory => (
            "The program used more memory than the task has.",
            "Raise `container: {memory: ...}`, let it grow by itself with `retry: {retries: 2, on_oom: {memory: x2, max: 8192}}`, \
             or process less at once.",
        ),
        FailureClass::Killed => (
            "The program was ended by SIGKILL and nobody said why; often it used too much memory.",
            "Look at its memory, and at the end of `cauce logs RUN TASK`.",
        ),
        FailureClass::Exit => (
            "The program ended with an exit code other than 0.",
            "`cauce logs RUN TASK` shows what it printed; `cauce show RUN` the exit code. 128 and more: it was ended by \
             signal 128 less. 127 and 126 are a shell's words for a command in its script: 127, there is none of that \
             name on the task's PATH; 126, it is there and may not be executed. On AWS `cauce-run` ends with 127 too, \
             when the task's own program cannot be started; on one machine that is the class `image_missing`.",
        ),
        FailureClass::Timeout => (
            "The attempt took longer than `timeout`, and was stopped.",
            "Raise `timeout`, or find out what it waited for.",
        ),
        FailureClass::Heartbeat => {
            ("The task gave no sign of life in time.", "Look at the end of its log; it may hang.")
        }
        FailureClass::Aborted => (
            "The execution that drove the task was stopped, or died.",
            "`cauce resume RUN` or `cauce rerun RUN` goes on.",
        ),
        FailureClass::Dependency => {
            ("The circuit breaker of something the task depends on is open.", "Wait until it closes.")
        }
        FailureClass::Rejected => (
            "A person rejected it with `cauce reject`, or nobody answered in time and `on_timeout: reject` did.",
            "`cauce why RUN TASK` tells who, and what they said of it; `cauce rerun RUN` asks anew.",
        ),
        FailureClass::Config => (
            "What was asked cannot work: a template that gives no value, an output that is not JSON or is over \
             256 KiB, a command that does not fit.",
            "`cauce why RUN TASK` says what; change the pipeline file and use `cauce rerun RUN --latest-version`.",
        ),
        FailureClass::Unknown => (
            "The platform gave no reason that is known here.",
            "Look at `cauce logs RUN TASK` and `cauce show RUN --json`.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::RunStatus;

    #[test]
    fn every_diagnostic_has_its_page_and_every_page_its_diagnostic() {
        let codes: Vec<&str> = cauce_spec::Code::ALL.iter().map(|code| code.as_str()).collect();
        let pages: Vec<&str> = PAGES.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, pages);
        assert!(PAGES.iter().all(|(code, text)| text.starts_with(&format!("# {code}: "))));
    }

    #[test]
    fn every_status_and_class_is_explained() {
        let runs = [RunStatus::Queued, RunStatus::Running, RunStatus::Success, RunStatus::Failed];
        let runs = runs.into_iter().chain([RunStatus::Skipped, RunStatus::Cancelled]).map(RunStatus::as_str);
        let classes = FailureClass::ALL.into_iter().map(FailureClass::as_str);
        let shown = SHOWN.iter().map(|(shown, _)| *shown);
        for name in
            runs.chain(shown).chain(classes).chain(TaskStatus::ALL.into_iter().map(TaskStatus::as_str))
        {
            assert!(word(name).is_some_and(|(_, text)| text.len() > 30), "{name}");
        }
    }

    #[test]
    fn a_command_that_a_shell_does_not_find_is_not_a_program_that_cannot_be_started() {
        let (_, exit) = word("exit").unwrap();
        assert!(exit.contains("127 and 126 are a shell's words"), "{exit}");
        assert!(exit.contains("on one machine that is the class `image_missing`"), "{exit}");
        let (_, missing) = word("image_missing").unwrap();
        assert!(missing.contains("was not found, or may not be executed"), "{missing}");
    }

    #[test]
    fn codes_are_found_however_they_are_written() {
        assert_eq!(page("c204").map(|(code, _)| code), Some("C204"));
        assert_eq!(page("204").map(|(code, _)| code), Some("C204"));
        assert_eq!(neighbours("C001"), "C001, C002");
    }
}
