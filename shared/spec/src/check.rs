//! The two entrances: [`check`] and [`check_project`].

use crate::checks;
use crate::diagnostic::{Diagnostic, Lines, Severity};
use crate::file::pipeline::Pipeline;
use crate::file::project::Project;
use crate::file::task::Defaults;
use crate::shape::{Reader, Shape};
use crate::tree::{self, Entry, Node, Value};

/// Checks a pipeline file against its project. The pipeline is given when there is no error;
/// warnings do not withhold it. Diagnostics stand in the order of the file.
pub fn check(text: &[u8], project: &Project) -> (Option<Pipeline>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let Some(mut root) = tree::parse(text, &mut diagnostics) else {
        return (None, finish(text, diagnostics));
    };
    merge_defaults(&mut root);
    let mut reader = Reader::new(diagnostics);
    let read = Pipeline::decode(&root, &mut reader);
    let whole = read.is_some();
    // A file without a usable name still has tasks to check.
    let draft = read.or_else(|| {
        let templates = std::mem::take(&mut reader.templates);
        let mut second = Reader::default();
        let draft = Pipeline::decode(&named(&root), &mut second);
        reader.templates = if draft.is_some() { second.templates } else { templates };
        draft
    });
    let Some(mut pipeline) = draft else {
        return (None, finish(text, reader.diagnostics));
    };
    checks::run(&pipeline, &root, project, &mut reader);
    let good = whole && reader.diagnostics.iter().all(|found| found.severity == Severity::Warning);
    place_tasks(&mut pipeline, &root, text);
    (good.then_some(pipeline), finish(text, reader.diagnostics))
}

/// Checks the project file `cauce.yaml`; an empty file is a project without declarations.
pub fn check_project(text: &[u8]) -> (Option<Project>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let Some(root) = tree::parse(text, &mut diagnostics) else {
        return (None, finish(text, diagnostics));
    };
    let mut reader = Reader::new(diagnostics);
    let project = Project::decode(&root, &mut reader);
    if let Some(project) = &project {
        checks::project(project, &mut reader);
    }
    let good = reader.diagnostics.iter().all(|found| found.severity == Severity::Warning);
    (project.filter(|_| good), finish(text, reader.diagnostics))
}

/// Puts `defaults` below every task, so that a merged value keeps the place where it was written.
fn merge_defaults(root: &mut Node) {
    let Some(defaults) = root.get("defaults").map(|entry| entry.value.clone()) else { return };
    let Value::Map(entries) = &mut root.value else { return };
    let tasks = entries.iter_mut().find(|entry| entry.key == "tasks");
    if let Some(Value::Map(tasks)) = tasks.map(|entry| &mut entry.value.value) {
        for task in tasks {
            Defaults::merge(&defaults, &mut task.value);
        }
    }
}

/// The same tree under a name that is certainly right.
fn named(root: &Node) -> Node {
    let mut root = root.clone();
    if let Value::Map(entries) = &mut root.value {
        entries.retain(|entry| entry.key != "pipeline");
        let value =
            Node { value: Value::Text { text: "unnamed".to_owned(), content_at: None }, span: root.span };
        entries.push(Entry { key: "pipeline".to_owned(), key_span: root.span, value });
    }
    root
}

fn place_tasks(pipeline: &mut Pipeline, root: &Node, text: &[u8]) {
    let lines = Lines::new(std::str::from_utf8(text).unwrap_or_default());
    for entry in root.get("tasks").and_then(|tasks| tasks.value.entries()).unwrap_or_default() {
        if let Some(task) = pipeline.tasks.get_mut(entry.key.as_str()) {
            task.position = lines.position(entry.key_span.start);
        }
    }
}

/// Orders the findings by place, drops repetitions (a default is read once per task) and adds
/// lines and columns.
fn finish(text: &[u8], mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let valid = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
    };
    let lines = Lines::new(valid);
    for diagnostic in &mut diagnostics {
        diagnostic.position = lines.position(diagnostic.span.start);
    }
    diagnostics.sort_by_key(|found| (found.span.start, found.code));
    diagnostics.dedup_by(|later, first| {
        (later.span, later.code, &later.message) == (first.span, first.code, &first.message)
    });
    diagnostics
}
