//! Pipeline files and project files.

use std::sync::LazyLock;

use cauce_asl::{ExecutionType, Severity as AslSeverity, ValidationResult};
use cauce_compiler::{CompileError, Compiled, compile};
use cauce_interpreter::Definition;
use cauce_model::Plan;
use cauce_spec::{
    Checked, Diagnostic, Project, Severity, check, check_project, check_template, check_with, render,
};

use crate::parts;

/// A project with something under every heading that a pipeline may refer to.
const PROJECT: &[u8] = include_bytes!("project.yaml");

/// A task template beside it.
const TEMPLATE: &[u8] = include_bytes!("template.yaml");

static KNOWN: LazyLock<Project> = LazyLock::new(|| {
    let (project, found) = check_project(PROJECT);
    let mut project = project.unwrap_or_else(|| panic!("the known project is wrong: {found:?}"));
    let (template, found) = check_template(TEMPLATE, "templates/known.yaml");
    let (name, template) = template.unwrap_or_else(|| panic!("the known template is wrong: {found:?}"));
    project.templates.insert(name, template);
    project
});

/// `<pipeline file> CUT <the list of its matrix>`, in a project that is known.
pub(crate) fn pipeline(input: &[u8]) {
    let [text, list] = parts(input);
    let project = &*KNOWN;
    let read = |_: &str| String::from_utf8(list.to_vec()).map_err(|error| error.to_string());
    let look = || check_with(text, project, Project::LOCAL, &read);
    let Checked { pipeline, items, diagnostics } = look();
    diagnosed(text, pipeline.is_some(), &diagnostics);
    let again = look();
    assert_eq!((&pipeline, &items, &diagnostics), (&again.pipeline, &again.items, &again.diagnostics));
    let Some(pipeline) = pipeline else {
        assert!(items.is_none(), "items of a pipeline that is refused");
        return;
    };
    match compile(&pipeline, project) {
        Ok(compiled) => {
            assert_eq!(compile(&pipeline, project).map(|again| again.files()), Ok(compiled.files()));
            built(&compiled);
        }
        // What no machine of AWS can hold; the rest is for the checks to find.
        Err(
            CompileError::TooLarge { .. }
            | CompileError::TooManyEvents { .. }
            | CompileError::TooManyItems { .. }
            | CompileError::TooManyLooks { .. },
        ) => {}
        Err(error @ CompileError::Cycle { .. }) => panic!("checked, and yet: {error}"),
    }
}

/// `<project file> CUT <task template> CUT <pipeline file>`.
pub(crate) fn project(input: &[u8]) {
    let [text, template, of_pipeline] = parts(input);
    let (project, found) = check_project(text);
    diagnosed(text, project.is_some(), &found);
    assert_eq!((project.clone(), found), check_project(text), "two readings differ");
    let (read, found) = check_template(template, "templates/t.yaml");
    diagnosed(template, read.is_some(), &found);
    let Some(mut project) = project else { return };
    if let Some((name, template)) = read {
        project.templates.insert(name, template);
    }
    let (pipeline, found) = check(of_pipeline, &project);
    diagnosed(of_pipeline, pipeline.is_some(), &found);
    if let Some(Ok(compiled)) = pipeline.map(|pipeline| compile(&pipeline, &project)) {
        built(&compiled);
    }
}

/// Refused exactly when there is an error; every finding is in the file, and can be shown.
fn diagnosed(text: &[u8], is_accepted: bool, found: &[Diagnostic]) {
    let errors = found.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(is_accepted, !errors, "{found:?}");
    for found in found {
        let long = found.source.as_ref().map_or(text.len(), |source| source.text.len());
        assert!(found.span.start <= found.span.end && found.span.end <= long, "{found:?} of {long} bytes");
        assert!(found.position.line >= 1 && found.position.column >= 1, "{found:?}");
        assert!(!found.message.is_empty(), "{found:?}");
        if found.source.is_none()
            && let Ok(text) = std::str::from_utf8(text)
        {
            let places = [found.span.start, found.span.end];
            assert!(places.iter().all(|at| text.is_char_boundary(*at)), "{found:?} cuts a letter");
            let lines = text[..found.span.start].matches('\n').count() + 1;
            assert!(found.position.line <= text.lines().count().max(lines) + 1, "{found:?}");
        }
    }
    for coloured in [false, true] {
        let shown = render::text(found, "p.yaml", text, coloured);
        assert_eq!(shown.is_empty(), found.is_empty());
    }
    render::json(found, "p.yaml");
}

/// What is built can be read again, and AWS would take it.
fn built(compiled: &Compiled) {
    for machine in &compiled.machines {
        let text = machine.definition.to_compact_json();
        let report = Definition::check(&text, ExecutionType::Standard, AslSeverity::Error);
        assert_eq!(report.result, ValidationResult::Ok, "{}: {:?}", machine.name, report.diagnostics);
    }
    let plan = serde_json::to_string(&compiled.plan).unwrap_or_else(|error| panic!("the plan: {error}"));
    let read: Plan = serde_json::from_str(&plan).unwrap_or_else(|error| panic!("{error}: {plan}"));
    assert_eq!(read, compiled.plan, "a plan that is stored is read as it was");
}
