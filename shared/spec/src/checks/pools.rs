//! What attempts hold: the pools exist and have as many slots, the lock has a name, and the task is of
//! a kind that holds something.

use crate::checks::DraftTask;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::kind::Kind;
use crate::file::project::Project;
use crate::shape::Reader;

pub(super) fn check(task: &DraftTask<'_>, project: &Project, reader: &mut Reader) {
    let settings = &task.task.settings;
    let kind = &task.task.kind;
    let holds_nothing = matches!(
        kind,
        Kind::WaitFor(_)
            | Kind::Approval(_)
            | Kind::Branch(_)
            | Kind::Fail(_)
            | Kind::Notify(_)
            | Kind::Pass(_)
    );
    for (key, is_set) in [("pools", !settings.pools.is_empty()), ("lock", settings.lock.is_some())] {
        if is_set && holds_nothing {
            let (span, route) = task.key(&[key]);
            reader.report(
                Diagnostic::error(
                    Code::Conflict,
                    span,
                    format!("a task of kind `{}` holds nothing while it is under way", kind.key()),
                )
                .help(format!("remove `{key}`; write it on the tasks that do the work"))
                .at(route),
            );
        }
    }
    for (pool, &slots) in &settings.pools {
        let path = ["pools", pool.as_str()];
        if slots == 0 {
            let (span, route) = task.place(&path);
            reader.report(
                Diagnostic::error(Code::OutOfRange, span, format!("no slots of `{pool}` are asked for"))
                    .help("ask for at least 1, or remove the pool")
                    .at(route),
            );
            continue;
        }
        if *project == Project::none() {
            continue;
        }
        let Some(declared) = project.pools.get(pool.as_str()) else {
            let (span, route) = task.key(&path);
            let help = reader.suggest(pool, project.pools.keys().map(|name| name.as_str()));
            reader.report(
                Diagnostic::error(Code::UnknownPool, span, format!("the project file has no pool `{pool}`"))
                    .help(format!("add it under `pools`; {help}"))
                    .at(route),
            );
            continue;
        };
        if slots > declared.slots {
            let (span, route) = task.place(&path);
            reader.report(
                Diagnostic::error(
                    Code::OutOfRange,
                    span,
                    format!(
                        "the pool `{pool}` has {} and {slots} are asked for: they never come",
                        declared.slots
                    ),
                )
                .help("ask for fewer, or give the pool more slots in cauce.yaml")
                .at(route),
            );
        }
    }
    if settings.lock.as_ref().is_some_and(|lock| lock.source().trim().is_empty()) {
        let (span, route) = task.place(&["lock"]);
        reader.report(
            Diagnostic::error(Code::OutOfRange, span, "the lock has no name".to_owned())
                .help(
                    "name what only one may touch at a time: `lock: ledger`, `lock: \"partition-{{ ds }}\"`",
                )
                .at(route),
        );
    }
}
