//! Datasets: their names, and what a trigger makes of them.

use std::collections::BTreeSet;

use cauce_model::dataset::{NAMED_MAX, WRITTEN_MAX, normal_name, normal_template};
use cauce_template::Template;

use crate::checks::Draft;
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::dataset::{DatasetCondition, DatasetTrigger};
use crate::shape::Reader;
use crate::tree::{Node, Value};

/// What is wrong with a name, as far as it is known before templates are filled.
fn problem(name: &Template) -> Option<String> {
    let mut filled = String::new();
    let mut rest = name.source();
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((_, left)) = after.split_once("}}") else { break };
        filled.push_str(before.strip_suffix('$').unwrap_or(before));
        filled.push('x');
        rest = left;
    }
    filled.push_str(rest);
    normal_name(&filled).err()
}

const NAME_HELP: &str = "a dataset is named by a URI or by words without blanks: `s3://lake/curated/prices`";

/// Checks the datasets that tasks write and read.
pub(super) fn of_tasks(draft: &Draft<'_>, reader: &mut Reader) {
    for task in &draft.tasks {
        let settings = &task.task.settings;
        for (key, names) in [("reads", &settings.reads), ("writes", &settings.writes)] {
            for (at, name) in names.iter().enumerate() {
                if let Some(problem) = problem(name) {
                    let (span, route) = task.item(&[key], at);
                    let message = format!("`{}` is no dataset: {problem}", name.source());
                    let found = Diagnostic::error(Code::BadDataset, span, message);
                    reader.report(found.help(NAME_HELP).at(route));
                }
            }
        }
        if settings.writes.len() > WRITTEN_MAX {
            let (span, route) = task.place(&["writes"]);
            let message = format!("{} datasets; a task updates at most {WRITTEN_MAX}", settings.writes.len());
            let help = "let another task write some of them, or name what they have in common";
            reader.report(Diagnostic::error(Code::OutOfRange, span, message).help(help).at(route));
        }
    }
}

/// Checks a dataset trigger that stands at `route`. `first` says whether it is the pipeline's first.
pub(super) fn trigger(
    trigger: &DatasetTrigger,
    node: &Node,
    (route, first): (&str, bool),
    draft: &Draft<'_>,
    reader: &mut Reader,
) {
    let span_of = |key: &str| node.get(key).map_or(node.span, |entry| entry.key_span);
    let mut report = |code, span: Span, message: String, help: &str| {
        reader.report(Diagnostic::error(code, span, message).help(help).at(route.to_owned()));
    };
    if !first {
        report(
            Code::Conflict,
            node.span,
            "a pipeline has one dataset trigger".to_owned(),
            "nest them in one: `any: [a, {all: [b, c]}]`",
        );
    }
    if !trigger.any.is_empty() && !trigger.all.is_empty() {
        report(
            Code::Conflict,
            span_of("all"),
            "a dataset trigger says either `any` or `all`".to_owned(),
            "nest them: `any: [a, {all: [b, c]}]`",
        );
    }
    let condition = trigger.condition();
    let names = condition.names();
    if names.is_empty() || has_empty(&condition) {
        report(
            Code::OutOfRange,
            span_of("any"),
            "no dataset is waited for".to_owned(),
            "name one: `any: [\"s3://lake/curated/prices\"]`",
        );
    }
    let known: BTreeSet<String> = names.iter().map(|name| normal_template(name.source())).collect();
    if known.len() > NAMED_MAX {
        let message = format!("{} datasets; a trigger names at most {NAMED_MAX}", known.len());
        report(
            Code::OutOfRange,
            node.span,
            message,
            "have a task write one dataset when all of these are there",
        );
    }
    let places = places(node);
    for (at, name) in names.iter().enumerate() {
        let span = places.get(at).copied().unwrap_or(node.span);
        if name.names().iter().any(|name| !name.placeholder) {
            report(
                Code::UnknownName,
                span,
                "a dataset that starts runs is known before there is a run".to_owned(),
                "write its name, or `${{ env.<name> }}`; `partitioned_by: day` tells days apart",
            );
        } else if let Some(problem) = problem(name) {
            report(
                Code::BadDataset,
                span,
                format!("`{}` is no dataset: {problem}", name.source()),
                NAME_HELP,
            );
        } else if let Some(writer) = draft.tasks.iter().find(|task| {
            let mut writes = task.task.settings.writes.iter();
            writes.any(|write| normal_template(write.source()) == normal_template(name.source()))
        }) {
            report(
                Code::StartsItself,
                span,
                format!(
                    "`{}` writes what starts the pipeline, so it would start itself for ever",
                    writer.name
                ),
                "wait for what other pipelines write, or let another pipeline read this one's dataset",
            );
        }
    }
}

fn has_empty(condition: &DatasetCondition) -> bool {
    match condition {
        DatasetCondition::Dataset(_) => false,
        DatasetCondition::Any(inner) | DatasetCondition::All(inner) => {
            inner.is_empty() || inner.iter().any(has_empty)
        }
    }
}

/// Where the names stand, in the order of the file.
fn places(node: &Node) -> Vec<Span> {
    match &node.value {
        Value::List(items) => items.iter().flat_map(places).collect(),
        Value::Map(entries) => {
            let lists = entries.iter().filter(|entry| matches!(entry.key.as_str(), "any" | "all"));
            lists.flat_map(|entry| places(&entry.value)).collect()
        }
        _ => vec![node.span],
    }
}
