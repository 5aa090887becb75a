//! What attempts hold: the pools exist and have as many slots, the lock has a name, and the task is of
//! a kind that holds something.

use std::collections::BTreeMap;

use cauce_model::Json;
use cauce_template::{Context, NameUse, Template};

use crate::checks::DraftTask;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::project::Project;
use crate::items::Items;
use crate::shape::Reader;

pub(super) fn check(
    task: &DraftTask<'_>,
    project: &Project,
    word: Option<&str>,
    items: Option<&Items>,
    reader: &mut Reader,
) {
    let settings = &task.task.settings;
    let kind = &task.task.kind;
    let holds_nothing = kind.has_no_attempts();
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
        let pool_of = pool.template();
        if let Some(name) = pool_of.names().iter().find(|name| !is_of_item(name, word)) {
            let (span, route) = task.key(&path);
            let help = match word {
                Some(word) => {
                    format!("only the item of the matrix chooses a pool: `{{{{ {word}.<column> }}}}`")
                }
                None => "only the item of a matrix chooses a pool, and there is no matrix".to_owned(),
            };
            let message = format!("a pool's name cannot be made of `{}`", name.dotted());
            reader.report(Diagnostic::error(Code::UnknownName, span, message).help(help).at(route));
            continue;
        }
        let unknown = pool_of.names().iter().filter(|name| !name.optional).find_map(|name| {
            let column = name.path.get(1)?;
            (!items?.columns.contains(column)).then_some(column)
        });
        if let (Some(column), Some(items)) = (unknown, items) {
            let (span, route) = task.key(&path);
            let help = reader.suggest(column, items.columns.iter().map(String::as_str));
            let message = format!("the list of the matrix has no column `{column}`");
            reader.report(Diagnostic::error(Code::MatrixColumn, span, message).help(help).at(route));
            continue;
        }
        if slots == 0 {
            let (span, route) = task.place(&path);
            reader.report(
                Diagnostic::error(
                    Code::OutOfRange,
                    span,
                    format!("no slots of `{}` are asked for", pool.as_str()),
                )
                .help("ask for at least 1, or remove the pool")
                .at(route),
            );
            continue;
        }
        if *project == Project::none() {
            continue;
        }
        for (pool, whose) in named(pool_of, word, items) {
            let (span, route) = task.key(&path);
            let pool = match pool {
                Ok(pool) => pool,
                Err(problem) => {
                    let message = format!("the name of the pool cannot be made{whose}: {problem}");
                    reader.report(
                        Diagnostic::error(Code::UnknownPool, span, message)
                            .help("give the column a value in every item")
                            .at(route),
                    );
                    break;
                }
            };
            let Some(declared) = project.pools.get(pool.as_str()) else {
                let help = reader.suggest(&pool, project.pools.keys().map(|name| name.as_str()));
                let message = format!("the project file has no pool `{pool}`{whose}");
                reader.report(
                    Diagnostic::error(Code::UnknownPool, span, message)
                        .help(format!("add it under `pools`; {help}"))
                        .at(route),
                );
                break;
            };
            if slots > declared.slots {
                let (span, route) = task.place(&path);
                let message = format!(
                    "the pool `{pool}` has {} and {slots} are asked for: they never come",
                    declared.slots
                );
                reader.report(
                    Diagnostic::error(Code::OutOfRange, span, message)
                        .help("ask for fewer, or give the pool more slots in cauce.yaml")
                        .at(route),
                );
                break;
            }
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

/// Whether a name stands for a column of the matrix's item.
fn is_of_item(name: &NameUse, word: Option<&str>) -> bool {
    !name.placeholder && word.is_some() && name.path.first().map(String::as_str) == word
}

/// The pools that a name becomes, each with the first item of which it is the pool, as words. Nothing
/// where the items are not known here.
fn named(
    template: &Template,
    word: Option<&str>,
    items: Option<&Items>,
) -> Vec<(Result<String, String>, String)> {
    if let Some(name) = template.as_constant() {
        return vec![(Ok(name.to_owned()), String::new())];
    }
    let mut named = BTreeMap::new();
    for item in items.into_iter().flat_map(|items| &items.items) {
        let fields = Json::Object(item.fields.clone());
        let context = Context::new(&word.map(|word| (word.to_owned(), fields)).into_iter().collect());
        let name = template.render_text(&context).map_err(|error| error.to_string());
        named.entry(name).or_insert_with(|| format!(" for the item {}", item.key));
    }
    named.into_iter().collect()
}
