//! Triggers: the patterns of files, and what a set of them has in common; datasets are next door.

use std::collections::BTreeSet;

use cauce_model::pattern::KeyPattern;

use crate::checks::{Draft, datasets, webhooks};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::trigger::{FileTrigger, Quorum};
use crate::shape::Reader;
use crate::tree::{Node, Value};

pub(crate) fn check(draft: &Draft<'_>, reader: &mut Reader) {
    let Some(list) = draft.root.get("triggers") else { return };
    let nodes: Vec<&Node> = match &list.value.value {
        Value::List(nodes) => nodes.iter().collect(),
        _ => vec![&list.value],
    };
    let mut taken = BTreeSet::new();
    for (at, (trigger, node)) in draft.pipeline.triggers.iter().zip(nodes).enumerate() {
        // What is there and could not be read has been told of.
        let given = ["file", "dataset", "webhook"].into_iter().filter(|key| node.get(key).is_some());
        if given.count() != 1 {
            reader.report(
                Diagnostic::error(
                    Code::Conflict,
                    node.span,
                    "a trigger waits for exactly one thing".to_owned(),
                )
                .help("give each its own item: `- file: {...}`")
                .at(format!("triggers[{at}]")),
            );
        }
        if let (Some(file), Some(entry)) = (&trigger.file, node.get("file")) {
            let route = format!("triggers[{at}].file");
            of_an_item(draft, file, &entry.value, &route, reader);
            self::file(file, &entry.value, &route, reader);
        }
        for key in ["webhook", "dataset"] {
            if let (Some(_), Some(entry)) = (&draft.pipeline.matrix, node.get(key)) {
                let message = format!("nothing says which item of the matrix a {key} is of");
                let help = "leave it out: schedules and files start the runs of items";
                let route = format!("triggers[{at}].{key}");
                reader
                    .report(Diagnostic::error(Code::Conflict, entry.key_span, message).help(help).at(route));
            }
        }
        if let (Some(hook), Some(entry)) = (&trigger.webhook, node.get("webhook")) {
            let route = format!("triggers[{at}].webhook");
            webhooks::check(draft, hook, &entry.value, &route, &mut taken, reader);
        }
        if let (Some(dataset), Some(entry)) = (&trigger.dataset, node.get("dataset")) {
            let first = draft.pipeline.triggers[..at].iter().all(|before| before.dataset.is_none());
            let place = (format!("triggers[{at}].dataset"), first);
            datasets::trigger(dataset, &entry.value, (&place.0, place.1), draft, reader);
        }
    }
}

/// A run of a matrix is one of its items', and only such a run is.
fn of_an_item(draft: &Draft<'_>, trigger: &FileTrigger, node: &Node, route: &str, reader: &mut Reader) {
    let (span, message, help) = match (&draft.pipeline.matrix, &trigger.item) {
        (Some(_), None) => (
            node.span,
            "nothing says which item of the matrix a file is of",
            "capture its key: `keys: [\"prices/{ticker}.csv\"]`, `item: \"{ticker}\"`",
        ),
        (None, Some(_)) => (
            node.get("item").map_or(node.span, |entry| entry.value.span),
            "there is no matrix that has items",
            "add `matrix: {as: ..., from: ..., key: ...}`, or leave `item` out",
        ),
        _ => return,
    };
    reader.report(
        Diagnostic::error(Code::Conflict, span, message.to_owned()).help(help).at(format!("{route}.item")),
    );
}

const PATTERNS: &str = "captures are `{name}`, `{name:int}` and `{name:date}`; `*` matches within one folder";

fn file(trigger: &FileTrigger, node: &Node, route: &str, reader: &mut Reader) {
    let span = |key: &str| node.get(key).map_or(node.span, |entry| entry.value.span);
    let mut report = |code: Code, span: Span, message: String, help: &str, key: &str| {
        reader.report(Diagnostic::error(code, span, message).help(help).at(format!("{route}.{key}")));
    };
    if trigger.bucket.names().iter().any(|name| !name.placeholder) {
        report(
            Code::UnknownName,
            span("bucket"),
            "a bucket is known before there is a run".to_owned(),
            "write its name, or `${{ env.<name> }}`",
            "bucket",
        );
    }
    if trigger.deadline.is_some() && trigger.wait_for == Quorum::Any && trigger.marker.is_none() {
        report(
            Code::Conflict,
            span("deadline"),
            "without `wait_for: all` or a `marker` no set is ever incomplete".to_owned(),
            "add one of them, or leave the deadline out",
            "deadline",
        );
    }
    if trigger.batch.is_some() {
        let conflict = if trigger.settle.is_none() && trigger.marker.is_none() {
            Some((
                "a batch is of files that are collected, and nothing collects them",
                "add `settle: 1m`, or a `marker`",
            ))
        } else if trigger.wait_for == Quorum::All {
            Some((
                "a set of one file for each pattern has no batches",
                "leave `batch` or `wait_for: all` out",
            ))
        } else if trigger.logical_date.is_some() {
            Some(("the batches of one date would all be the same run", "leave `batch` or `logical_date` out"))
        } else {
            None
        };
        if let Some((message, help)) = conflict {
            report(Code::Conflict, span("batch"), message.to_owned(), help, "batch");
        }
    }
    if trigger.keys.is_empty() {
        report(
            Code::OutOfRange,
            span("keys"),
            "no key is waited for".to_owned(),
            "name one: `keys: [\"exports/sales_{date:date}.csv\"]`",
            "keys",
        );
    }
    let items: &[Node] = match node.get("keys").map(|entry| &entry.value.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    };
    let mut captured: Vec<BTreeSet<String>> = Vec::new();
    for (at, key) in trigger.keys.iter().enumerate() {
        match KeyPattern::parse(key) {
            Ok(pattern) => captured.push(pattern.captures().map(|(name, _)| name.to_owned()).collect()),
            Err(problem) => report(
                Code::BadKeyPattern,
                items.get(at).map_or(span("keys"), |item| item.span),
                format!("`{key}` is no pattern of keys: {problem}"),
                PATTERNS,
                &format!("keys[{at}]"),
            ),
        }
    }
    if captured.len() < trigger.keys.len() || captured.is_empty() {
        return;
    }
    if let Some(marker) = &trigger.marker {
        match KeyPattern::parse(marker) {
            Ok(pattern) => captured.push(pattern.captures().map(|(name, _)| name.to_owned()).collect()),
            Err(problem) => {
                let message = format!("`{marker}` is no pattern of keys: {problem}");
                report(Code::BadKeyPattern, span("marker"), message, PATTERNS, "marker");
                return;
            }
        }
    }
    let common = captured.iter().skip(1).fold(captured[0].clone(), |common, names| &common & names);
    if trigger.wait_for == Quorum::All && captured.len() > 1 && common.is_empty() {
        report(
            Code::BadKeyPattern,
            span("keys"),
            "the patterns capture nothing in common, so nobody can tell which files belong together"
                .to_owned(),
            "capture the same part in each of them, such as `{date:date}`",
            "keys",
        );
    }
    for (key, template) in [("logical_date", &trigger.logical_date), ("item", &trigger.item)] {
        let Some(template) = template else { continue };
        let unknown = match KeyPattern::parse(template) {
            Ok(parsed) => {
                let names: Vec<String> = parsed.captures().map(|(name, _)| name.to_owned()).collect();
                names
                    .into_iter()
                    .find(|name| !common.contains(name))
                    .map(|name| format!("not every pattern captures `{name}`"))
            }
            Err(problem) => Some(format!("`{template}` cannot be read: {problem}")),
        };
        if let Some(message) = unknown {
            let help = match key {
                "item" => "name a capture that stands in every pattern of `keys`: `item: \"{ticker}\"`",
                _ => "name a capture that stands in every pattern of `keys`: `logical_date: \"{date}\"`",
            };
            report(Code::BadKeyPattern, span(key), message, help, key);
        }
    }
}
