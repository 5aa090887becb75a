//! What types cannot say: the graph, the names in templates, values that depend on each other.

mod calendars;
mod control;
mod datasets;
mod fallback;
mod flow;
mod graph;
pub(crate) mod matrix;
mod names;
mod pools;
mod retries;
mod services;
mod triggers;
mod values;
mod webhooks;

use std::collections::BTreeMap;

use crate::checks::matrix::Files;
use crate::diagnostic::Span;
use crate::expand::Texts;
use crate::file::pipeline::Pipeline;
use crate::file::project::Project;
use crate::file::task::Task;
use crate::items::Items;
use crate::shape::Reader;
use crate::tree::{Entry, Node};

pub(crate) use values::project;

/// Runs every check of a pipeline. The items of its matrix, where their list could be read.
pub(crate) fn run(
    pipeline: &Pipeline,
    root: &Node,
    project: &Project,
    files: Option<Files<'_>>,
    texts: &mut Texts,
    reader: &mut Reader,
) -> Option<Items> {
    let draft = Draft::new(pipeline, root);
    let graph = graph::check(&draft, reader);
    if let Some(graph) = &graph {
        flow::check(&draft, graph, reader);
        fallback::check(&draft, graph, reader);
    }
    let items = matrix::check(&draft, files, texts, reader);
    names::check(&draft, graph.as_ref(), project, items.as_ref(), reader);
    values::check(&draft, project, items.as_ref(), reader);
    triggers::check(&draft, reader);
    datasets::of_tasks(&draft, reader);
    items
}

/// The pipeline beside its tree, tasks by position.
pub(crate) struct Draft<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) root: &'a Node,
    pub(crate) tasks: Vec<DraftTask<'a>>,
    pub(crate) index: BTreeMap<&'a str, usize>,
    /// The fallback of each task that has one, the first in the file.
    pub(crate) fallbacks: BTreeMap<usize, usize>,
}

pub(crate) struct DraftTask<'a> {
    pub(crate) name: &'a str,
    pub(crate) task: &'a Task,
    pub(crate) entry: &'a Entry,
}

impl<'a> Draft<'a> {
    fn new(pipeline: &'a Pipeline, root: &'a Node) -> Self {
        let entries = root.get("tasks").and_then(|tasks| tasks.value.entries()).unwrap_or_default();
        let tasks: Vec<_> = entries
            .iter()
            .filter_map(|entry| {
                let (name, task) = pipeline.tasks.get_key_value(entry.key.as_str())?;
                Some(DraftTask { name, task, entry })
            })
            .collect();
        let index: BTreeMap<&str, usize> =
            tasks.iter().enumerate().map(|(at, task)| (task.name, at)).collect();
        let mut fallbacks = BTreeMap::new();
        for (at, task) in tasks.iter().enumerate() {
            let other = task.task.settings.fallback_for.as_ref().and_then(|of| index.get(of.as_str()));
            if let Some(&other) = other.filter(|other| **other != at) {
                fallbacks.entry(other).or_insert(at);
            }
        }
        Self { pipeline, root, tasks, index, fallbacks }
    }
}

impl DraftTask<'_> {
    /// The node under a path of keys, as far as it exists, and its route.
    pub(crate) fn place(&self, path: &[&str]) -> (Span, String) {
        place(self.entry, &format!("tasks.{}", self.name), path)
    }

    /// The key at the end of a path, as far as it exists, and its route.
    pub(crate) fn key(&self, path: &[&str]) -> (Span, String) {
        let (mut span, route) = self.place(path);
        let mut node = &self.entry.value;
        for key in path {
            let Some(entry) = node.get(key) else { break };
            span = entry.key_span;
            node = &entry.value;
        }
        (span, route)
    }

    /// The n-th item of the list under a path, or what stands there instead of a list.
    pub(crate) fn item(&self, path: &[&str], at: usize) -> (Span, String) {
        let (span, route) = self.place(path);
        let mut node = &self.entry.value;
        for key in path {
            match node.get(key) {
                Some(entry) => node = &entry.value,
                None => return (span, route),
            }
        }
        match &node.value {
            crate::tree::Value::List(items) => match items.get(at) {
                Some(item) => (item.span, format!("{route}[{at}]")),
                None => (span, route),
            },
            _ => (span, route),
        }
    }
}

/// The place of a value below an entry: its own where it exists, else that of the last key found.
pub(crate) fn place(entry: &Entry, route: &str, path: &[&str]) -> (Span, String) {
    let mut route = route.to_owned();
    let mut span = entry.key_span;
    let mut node = &entry.value;
    for key in path {
        let Some(entry) = node.get(key) else { break };
        route.push('.');
        route.push_str(key);
        node = &entry.value;
        span = match node.value {
            crate::tree::Value::Map(_) | crate::tree::Value::List(_) => entry.key_span,
            _ => node.span,
        };
    }
    (span, route)
}
