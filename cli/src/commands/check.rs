//! `cauce check`: everything that is wrong with any number of files, at once.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cauce_compiler::Compiled;
use cauce_model::plan::TaskKind;
use cauce_model::services::Service;
use cauce_spec::{Kind, Pipeline, Project, Severity};
use serde_json::json;

use crate::args::CheckArgs;
use crate::context::Context;
use crate::datasets::Datasets;
use crate::error::{Exit, Failure};
use crate::output::{Tone, paint};
use crate::project::{self, ProjectFolder};

/// What became of one file.
struct Checked {
    shown: String,
    text: Vec<u8>,
    diagnostics: Vec<cauce_spec::Diagnostic>,
    /// A sentence about the file as a whole: it cannot be read, or AWS would not take it.
    failure: Option<String>,
    /// Where that is: the file, with a line where it is one task.
    place: String,
    compiled: Option<Compiled>,
    /// How many items its matrix has.
    items: Option<usize>,
    /// The pipelines that its tasks start, each with the task.
    starts: Vec<(String, String)>,
}

pub(crate) fn check(args: &CheckArgs, context: &Context) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for path in &args.paths {
        files.extend(files_of(path, context)?);
    }
    let mut good = true;
    let mut documents = Vec::new();
    // Files of one folder stand together; their project is read once.
    let mut project: Option<(PathBuf, Option<Around>)> = None;
    let mut projects_told = BTreeSet::new();
    for file in files {
        let folder = context.absolute(&file).parent().map(Path::to_owned).unwrap_or_default();
        if project.as_ref().is_none_or(|(known, _)| *known != folder) {
            let around = Around::of(&folder, context);
            project = Some((folder, around));
        }
        // A project file with errors has been told; its pipelines cannot be judged without it.
        let Some((_, Some(around))) = &project else {
            good = false;
            continue;
        };
        if let Some(file) = &around.folder.file
            && projects_told.insert(file.clone())
        {
            let shown = project::shown(file, context);
            warn_of_channels(&around.folder.project, &shown, context);
            warn_of_overrides(around, &shown, context);
        }
        let checked = one(&file, &around.folder, context);
        good &= checked.compiled.is_some();
        if context.json {
            documents.push(document(&checked));
        } else {
            tell(&checked, context)?;
        }
        warn_of_elsewhere(&checked, context);
        if around.folder.file.is_some() {
            warn_of_strangers(&checked, &around.known, context);
            warn_of_datasets(&checked, around, context)?;
        }
    }
    if context.json {
        context.output.json(&json!({"ok": good, "files": documents}))?;
    }
    Ok(if good { Exit::Good } else { Exit::BadInput })
}

/// What surrounds a file: its project, and the names of the pipelines there.
struct Around {
    folder: ProjectFolder,
    known: Vec<String>,
    /// The datasets of all of them, once somebody asked.
    datasets: OnceCell<Datasets>,
}

impl Around {
    /// `None`: the project cannot be read, and why has been told.
    fn of(folder: &Path, context: &Context) -> Option<Self> {
        let around = || {
            let folder = ProjectFolder::around(folder, context)?;
            let known = folder.pipelines()?.into_iter().map(|found| found.name).collect();
            Ok::<_, Failure>(Self { folder, known, datasets: OnceCell::new() })
        };
        match around() {
            Ok(around) => Some(around),
            Err(failure) => {
                context.output.failure(&failure);
                None
            }
        }
    }
}

/// The pipeline files that a path names: itself, or all below it, those of projects in it too.
///
/// # Errors
/// A folder that cannot be read, or holds no pipeline.
pub(crate) fn files_of(path: &Path, context: &Context) -> Result<Vec<PathBuf>, Failure> {
    let absolute = context.absolute(path);
    if !absolute.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let found = project::pipelines_below(&absolute)?;
    if found.is_empty() {
        return Err(Failure::bad_input(format!("{} holds no pipeline file", path.display()))
            .help("a pipeline file ends in .yaml and has the key 'pipeline' at the start of a line"));
    }
    Ok(found.into_iter().map(|found| PathBuf::from(project::shown(&found.path, context))).collect())
}

fn one(file: &Path, folder: &ProjectFolder, context: &Context) -> Checked {
    let declared = &folder.project;
    let mut checked = Checked {
        shown: file.display().to_string(),
        text: Vec::new(),
        diagnostics: Vec::new(),
        failure: None,
        place: file.display().to_string(),
        compiled: None,
        items: None,
        starts: Vec::new(),
    };
    checked.text = match project::read(&context.absolute(file)) {
        Ok(text) => text,
        Err(failure) => {
            checked.failure = Some(failure.message);
            return checked;
        }
    };
    let files = |file: &str| project::text_of(&folder.root, file);
    let found = cauce_spec::check_with(&checked.text, declared, &context.env, &files);
    checked.diagnostics = found.diagnostics;
    checked.items = found.items.map(|items| items.items.len());
    if let Some(mut pipeline) = found.pipeline {
        checked.starts = starts(&pipeline);
        let inlined = project::inline(&mut pipeline, &folder.root);
        match inlined.map(|()| cauce_compiler::compile(&pipeline, declared)) {
            Ok(Ok(compiled)) => checked.compiled = Some(compiled),
            Ok(Err(error)) => {
                checked.place = project::place_of(&checked.shown, &pipeline, &error);
                checked.failure = Some(error.to_string());
            }
            Err(error) => checked.failure = Some(error.to_string()),
        }
    }
    checked
}

fn starts(pipeline: &Pipeline) -> Vec<(String, String)> {
    let of_task = |(name, task): (&cauce_spec::Name, &cauce_spec::Task)| match &task.kind {
        Kind::Pipeline(other) => Some((name.to_string(), other.name.to_string())),
        _ => None,
    };
    pipeline.tasks.iter().filter_map(of_task).collect()
}

fn tell(checked: &Checked, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    if !checked.diagnostics.is_empty() {
        let colour = output.talk_colour();
        output.talk_raw(&cauce_spec::render::text(
            &checked.diagnostics,
            &checked.shown,
            &checked.text,
            colour,
        ));
    }
    if let Some(failure) = &checked.failure {
        output.failure(&Failure::bad_input(format!("{}: {failure}", checked.place)));
    }
    let line = match &checked.compiled {
        Some(compiled) => {
            let forecast = &compiled.forecast;
            let word = paint("ok", Tone::Good, output.data_colour());
            let machines = match forecast.machines.len() {
                1 => String::new(),
                several => format!(", {several} machines"),
            };
            let gated = match forecast.gated {
                0 => String::new(),
                gated => format!(", {gated} behind a gate"),
            };
            let (name, tasks) = (&compiled.plan.pipeline, count(forecast.tasks, "task"));
            let items =
                checked.items.map(|items| format!(", {}", count(items as u64, "item"))).unwrap_or_default();
            format!("{word}      {}: {name}, {tasks}{gated}{machines}{items}", checked.shown)
        }
        None => {
            let word = paint("failed", Tone::Bad, output.data_colour());
            let errors = checked.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
            let errors = errors.max(usize::from(checked.failure.is_some()));
            format!("{word}  {}: {}", checked.shown, count(errors as u64, "error"))
        }
    };
    output.line(&line)
}

fn document(checked: &Checked) -> serde_json::Value {
    let mut document = cauce_spec::render::json(&checked.diagnostics, &checked.shown);
    document["ok"] = json!(checked.compiled.is_some());
    document["failure"] = json!(checked.failure);
    if let Some(compiled) = &checked.compiled {
        document["pipeline"] = json!(compiled.plan.pipeline);
        document["version"] = json!(compiled.version());
        document["forecast"] = json!(compiled.forecast);
    }
    document
}

/// The environment of one machine, which is meant where none is named.
const LOCAL: &str = "local";

/// What would fail in the environment that is meant, and only when it runs.
fn warn_of_elsewhere(checked: &Checked, context: &Context) {
    let Some(compiled) = &checked.compiled else { return };
    let (file, here) = (&checked.shown, context.env == LOCAL);
    for task in &compiled.plan.tasks {
        let TaskKind::Call(call) = &task.kind else { continue };
        let (name, kind) = (&task.name, call.service.key());
        if here && call.local.is_none() && !call.service.anywhere() {
            context.output.warn(&format!(
                "{file}: tasks.{name}: only AWS has '{kind}', so it will fail here; give the task a command to run \
                 instead, 'local: [program, ...]'"
            ));
        }
        if let Service::Http(http) = &call.service
            && !here
            && http.connection.is_none()
        {
            context.output.warn(&format!(
                "{file}: tasks.{name}: AWS calls a web service only with an EventBridge connection, so it will \
                 fail there; give 'http' a 'connection', its ARN"
            ));
        }
    }
}

/// Channels that lead nowhere in the environment that is meant, or not where their file says.
fn warn_of_channels(project: &Project, shown: &str, context: &Context) {
    let here = context.env == LOCAL;
    for (name, channel) in &project.channels {
        let kind = channel.key();
        if here && !channel.on_one_machine() {
            context.output.warn(&format!(
                "{shown}: channels.{name}: only AWS delivers '{kind}', so here its notices go to standard error"
            ));
        }
        if !here && !channel.on_aws() {
            context.output.warn(&format!(
                "{shown}: channels.{name}: only one machine delivers '{kind}', so AWS puts its notices among the \
                 dead letters; give the pipelines a channel that AWS has as well"
            ));
        }
    }
}

/// What an environment sets anew for a pipeline that is not there.
fn warn_of_overrides(around: &Around, shown: &str, context: &Context) {
    for (environment, declared) in &around.folder.project.environments {
        let strangers =
            declared.pipelines.keys().filter(|name| !around.known.iter().any(|known| known == name.as_str()));
        for name in strangers {
            let near = crate::suggest::nearest(name.as_str(), around.known.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            context.output.warn(&format!(
                "{shown}: environments.{environment}.pipelines.{name}: no file of the project defines that pipeline{near}"
            ));
        }
    }
}

/// A pipeline that another one starts has to be in the project, by the time it runs.
fn warn_of_strangers(checked: &Checked, known: &[String], context: &Context) {
    for (task, other) in checked.starts.iter().filter(|(_, other)| !known.contains(other)) {
        let near = crate::suggest::nearest(other, known.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        let file = &checked.shown;
        context.output.warn(&format!(
            "{file}: tasks.{task} starts the pipeline '{other}', which no file of the project defines{near}"
        ));
    }
}

/// A dataset that starts a pipeline is written by another one of the project, or by somebody outside; and
/// pipelines that start each other in a circle never come to rest.
fn warn_of_datasets(checked: &Checked, around: &Around, context: &Context) -> Result<(), Failure> {
    let Some(compiled) = checked.compiled.as_ref().filter(|found| found.plan.dataset_trigger().is_some())
    else {
        return Ok(());
    };
    if around.datasets.get().is_none() {
        let plans = super::datasets::plans(&around.folder, context)?;
        let values = around.folder.values(&context.env)?;
        around.datasets.get_or_init(|| Datasets::of(plans, &values));
    }
    let Some(datasets) = around.datasets.get() else { return Ok(()) };
    let file = &checked.shown;
    for (dataset, near) in datasets.strangers(&compiled.plan) {
        let near = match near {
            Some(near) => format!("; did you mean '{near}'?"),
            None => "; if something outside does, have it say 'cauce datasets update'".to_owned(),
        };
        context
            .output
            .warn(&format!("{file}: triggers: no task of the project writes the dataset '{dataset}'{near}"));
    }
    if let Some(circle) = datasets.circle(&compiled.plan.pipeline) {
        context
            .output
            .warn(&format!("{file}: triggers: it starts itself, in a circle: {}", circle.join(" -> ")));
    }
    Ok(())
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
