//! What attempts ask besides slots: the breaker and the rate limit exist, the idempotency key is one, and
//! the task is of a kind that has attempts.

use crate::checks::DraftTask;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::kind::Kind;
use crate::file::project::Project;
use crate::shape::{Name, Reader};

pub(super) fn check(task: &DraftTask<'_>, project: &Project, reader: &mut Reader) {
    let settings = &task.task.settings;
    let kind = &task.task.kind;
    let no_attempts = kind.has_no_attempts();
    for (key, is_set) in [
        ("breaker", settings.breaker.is_some()),
        ("rate_limit", settings.rate_limit.is_some()),
        ("idempotency", settings.idempotency.is_some()),
    ] {
        if is_set && no_attempts {
            let (span, route) = task.key(&[key]);
            let message = format!("a task of kind `{}` calls nothing", kind.key());
            let help = format!("remove `{key}`; write it on the tasks that do the work");
            reader.report(Diagnostic::error(Code::Conflict, span, message).help(help).at(route));
        }
    }
    if settings.idempotency.is_some() && matches!(kind, Kind::Pipeline(_)) {
        let (span, route) = task.key(&["idempotency"]);
        let message = "a run of another pipeline has its own identity".to_owned();
        let help = "remove `idempotency`: `on_existing` of the task says what becomes of a run that exists";
        reader.report(Diagnostic::error(Code::Conflict, span, message).help(help).at(route));
    }
    if settings.idempotency.as_ref().is_some_and(|given| given.key.source().trim().is_empty()) {
        let short = task.place(&["idempotency", "key"]);
        let (span, route) = short;
        let message = "the idempotency key is empty".to_owned();
        let help = "say what makes two requests the same one: `idempotency: \"{{ ds }}\"`";
        reader.report(Diagnostic::error(Code::OutOfRange, span, message).help(help).at(route));
    }
    if *project == Project::none() {
        return;
    }
    if let Some(used) = &settings.breaker {
        named(task, "breaker", ("breakers", &used.name), project.breakers.keys(), reader);
    }
    if let Some(used) = &settings.rate_limit {
        named(task, "rate_limit", ("rate_limits", &used.name), project.rate_limits.keys(), reader);
        if let Some(declared) = project.rate_limits.get(&used.name)
            && used.tokens > declared.settings().most_at_once()
        {
            let (span, route) = task.place(&["rate_limit", "tokens"]);
            let message = format!(
                "the rate limit `{}` gives {} tokens at once at most, and {} are asked for",
                used.name,
                declared.settings().most_at_once(),
                used.tokens
            );
            let help = "ask for fewer, or raise its `tokens` or its `burst` in cauce.yaml";
            reader.report(Diagnostic::error(Code::OutOfRange, span, message).help(help).at(route));
        }
    }
}

fn named<'a>(
    task: &DraftTask<'_>,
    key: &str,
    (section, name): (&str, &Name),
    known: impl Iterator<Item = &'a Name> + Clone,
    reader: &mut Reader,
) {
    if known.clone().any(|known| known == name) {
        return;
    }
    let (span, route) = task.place(&[key, "name"]);
    let suggestion = reader.suggest(name.as_str(), known.map(|known| known.as_str()));
    let message = format!("the project file has no {} `{name}`", key.replace('_', " "));
    let help = format!("add it under `{section}`; {suggestion}");
    reader.report(Diagnostic::error(Code::UnknownControl, span, message).help(help).at(route));
}
