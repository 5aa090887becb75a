//! The entrances: [`check`], [`check_in`] and [`check_with`], [`check_project`], [`check_template`].

use std::sync::Arc;

use crate::checks;
use crate::checks::matrix::Files;
use crate::diagnostic::{Diagnostic, Lines, Severity};
use crate::expand::{self, Texts};
use crate::file::fragment::{Source, TaskTemplate, TaskTemplateFile};
use crate::file::pipeline::Pipeline;
use crate::file::project::Project;
use crate::file::task::{Defaults, HTTP};
use crate::items::Items;
use crate::shape::{Name, Reader, Shape};
use crate::tree::{self, Entry, Node, Value};

/// Checks a pipeline file against its project. The pipeline is given when there is no error;
/// warnings do not withhold it. Diagnostics stand in the order of the file.
pub fn check(text: &[u8], project: &Project) -> (Option<Pipeline>, Vec<Diagnostic>) {
    check_in(text, project, Project::LOCAL)
}

/// Checks a pipeline file as it is in one environment, which may set some of it anew.
pub fn check_in(text: &[u8], project: &Project, environment: &str) -> (Option<Pipeline>, Vec<Diagnostic>) {
    let checked = whole(text, project, environment, None);
    (checked.pipeline, checked.diagnostics)
}

/// A pipeline file and the list of its matrix, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The pipeline, when there is no error.
    pub pipeline: Option<Pipeline>,
    /// The items of its matrix, where it has one and there is no error.
    pub items: Option<Items>,
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks a pipeline file together with the list of its matrix. `read` gives the text of a file of the
/// project by its path, or says why it cannot.
pub fn check_with(
    text: &[u8],
    project: &Project,
    environment: &str,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Checked {
    whole(text, project, environment, Some(read))
}

fn whole(text: &[u8], project: &Project, environment: &str, files: Option<Files<'_>>) -> Checked {
    let mut diagnostics = Vec::new();
    let mut texts = Texts::new(text);
    let without = |diagnostics| Checked { pipeline: None, items: None, diagnostics };
    let Some(mut root) = tree::parse(text, &mut diagnostics) else {
        return without(finish(text, &texts, diagnostics));
    };
    expand::environment(&mut root, project, environment, &mut texts);
    expand::cases(&mut root);
    expand::templates(&mut root, project, &mut texts, &mut diagnostics);
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
        return without(finish(text, &texts, reader.diagnostics));
    };
    let items = checks::run(&pipeline, &root, project, files, &mut texts, &mut reader);
    let good = whole && reader.diagnostics.iter().all(|found| found.severity == Severity::Warning);
    place_tasks(&mut pipeline, &root, text);
    let diagnostics = finish(text, &texts, reader.diagnostics);
    Checked { pipeline: good.then_some(pipeline), items: items.filter(|_| good), diagnostics }
}

/// Checks the project file `cauce.yaml`; an empty file is a project without declarations.
pub fn check_project(text: &[u8]) -> (Option<Project>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let texts = Texts::new(text);
    let Some(root) = tree::parse(text, &mut diagnostics) else {
        return (None, finish(text, &texts, diagnostics));
    };
    let mut reader = Reader::new(diagnostics);
    let mut project = Project::decode(&root, &mut reader);
    if let Some(project) = &mut project {
        checks::project(project, &mut reader);
        for (name, template) in &project.templates {
            expand::declared(template, &format!("templates.{name}"), &mut reader.diagnostics);
        }
        project.read_from("cauce.yaml", text);
    }
    let good = reader.diagnostics.iter().all(|found| found.severity == Severity::Warning);
    (project.filter(|_| good), finish(text, &texts, reader.diagnostics))
}

/// Checks a file of the folder `templates`: one task template. `name` is what people shall read as the
/// file of an error that a pipeline finds in it.
pub fn check_template(text: &[u8], name: &str) -> (Option<(Name, TaskTemplate)>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let texts = Texts::new(text);
    let Some(root) = tree::parse(text, &mut diagnostics) else {
        return (None, finish(text, &texts, diagnostics));
    };
    let mut reader = Reader::new(diagnostics);
    let read = TaskTemplateFile::decode(&root, &mut reader).map(|file| {
        let mut template = TaskTemplate { docs: file.docs, params: file.params, task: file.task };
        expand::declared(&template, "", &mut reader.diagnostics);
        let text = String::from_utf8_lossy(text).into_owned();
        template.task.source = Arc::new(Source { name: name.to_owned(), text });
        (file.name, template)
    });
    let good = reader.diagnostics.iter().all(|found| found.severity == Severity::Warning);
    (read.filter(|_| good), finish(text, &texts, reader.diagnostics))
}

/// Puts `defaults` below every task, so that a merged value keeps the place where it was written.
fn merge_defaults(root: &mut Node) {
    let Some(defaults) = root.get("defaults").map(|entry| entry.value.clone()) else { return };
    let Value::Map(entries) = &mut root.value else { return };
    let tasks = entries.iter_mut().find(|entry| entry.key == "tasks");
    if let Some(Value::Map(tasks)) = tasks.map(|entry| &mut entry.value.value) {
        let calls = tasks.iter().any(|task| task.value.get(HTTP).is_some());
        for task in tasks {
            Defaults::merge(&defaults, &mut task.value, calls);
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
fn finish(text: &[u8], texts: &Texts, mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
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
    diagnostics.iter_mut().for_each(|diagnostic| texts.resolve(diagnostic));
    diagnostics
}
