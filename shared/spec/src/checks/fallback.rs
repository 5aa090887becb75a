//! Fallbacks: what one may stand in for, and that those below both know of it.

use cauce_model::TriggerRule;

use crate::checks::graph::Graph;
use crate::checks::{Draft, DraftTask};
use crate::diagnostic::{Code, Diagnostic};
use crate::shape::Reader;

pub(super) fn check(draft: &Draft<'_>, graph: &Graph, reader: &mut Reader) {
    for (at, task) in draft.tasks.iter().enumerate() {
        if task.task.settings.fallback_for.is_some() {
            of_task(draft, at, task, reader);
        }
        below(draft, graph, at, reader);
    }
}

fn of_task(draft: &Draft<'_>, at: usize, task: &DraftTask<'_>, reader: &mut Reader) {
    let settings = &task.task.settings;
    let Some(name) = &settings.fallback_for else { return };
    let report = |reader: &mut Reader, key: &str, code, message: String, help: String| {
        let (span, route) = task.place(&[key]);
        reader.report(Diagnostic::error(code, span, message).help(help).at(route));
    };
    let own = "fallback_for";
    match draft.index.get(name.as_str()) {
        None => {
            let help = reader.suggest(name, draft.tasks.iter().map(|task| task.name));
            report(reader, own, Code::UnknownTask, format!("there is no task `{name}`"), help);
        }
        Some(other) if *other == at => {
            let help = "name the task whose failure it makes good".to_owned();
            report(reader, own, Code::NeedsItself, format!("`{name}` stands in for itself"), help);
        }
        Some(other) => {
            let of = &draft.tasks[*other].task.settings;
            let first = draft.fallbacks.get(other).copied();
            let problem = if of.allow_failure {
                Some((
                    format!("`{name}` is allowed to fail, so its failure needs no fallback"),
                    format!("remove `allow_failure` from `{name}`, or the fallback"),
                ))
            } else if !of.teardown_of.is_empty() {
                Some((
                    format!("`{name}` is a teardown, whose failure fails no run"),
                    "remove `fallback_for`".to_owned(),
                ))
            } else if let Some(first) = first.filter(|first| *first != at) {
                let first = draft.tasks[first].name;
                Some((
                    format!("`{name}` has a fallback already, `{first}`"),
                    format!("to try this one after that: `fallback_for: {first}`"),
                ))
            } else {
                None
            };
            if let Some((message, help)) = problem {
                report(reader, own, Code::Conflict, message, help);
            }
        }
    }
    if settings.needs.iter().any(|need| need != name) {
        report(
            reader,
            "needs",
            Code::Conflict,
            format!("`{}` runs when `{name}` fails, and waits for nothing else", task.name),
            format!("remove `needs`; what both need goes above `{name}`"),
        );
    }
    if settings.trigger_rule != TriggerRule::AllSuccess {
        report(
            reader,
            "trigger_rule",
            Code::Conflict,
            format!("`{}` runs when `{name}` fails, not by `{}`", task.name, settings.trigger_rule),
            "remove the trigger rule".to_owned(),
        );
    }
    if !settings.teardown_of.is_empty() {
        report(
            reader,
            "teardown_of",
            Code::Conflict,
            format!("`{}` cannot be a teardown and a fallback", task.name),
            "make it two tasks".to_owned(),
        );
    }
}

/// Warns of a task that cannot run when one that it needs fails, although that one has a fallback.
fn below(draft: &Draft<'_>, graph: &Graph, at: usize, reader: &mut Reader) {
    let task = &draft.tasks[at];
    let settings = &task.task.settings;
    let wants_success = matches!(
        settings.rule(),
        TriggerRule::AllSuccess | TriggerRule::NoneFailed | TriggerRule::NoneFailedMinOneSuccess
    );
    if !wants_success || settings.allow_failure {
        return;
    }
    for (item, name) in settings.needs.iter().enumerate() {
        let Some(&up) = draft.index.get(name.as_str()) else { continue };
        let fallback = draft.fallbacks.get(&up).copied();
        let Some(fallback) = fallback.filter(|fallback| !graph.needs[at].contains(fallback)) else {
            continue;
        };
        let fallback = draft.tasks[fallback].name;
        let (span, route) = task.item(&["needs"], item);
        reader.report(
            Diagnostic::warning(
                Code::FallbackNotNeeded,
                span,
                format!(
                    "`{}` needs `{name}` and not its fallback: it cannot run when that stands in",
                    task.name
                ),
            )
            .help(format!("need both: `needs: [{name}, {fallback}]`; they count as one"))
            .at(route),
        );
    }
}
