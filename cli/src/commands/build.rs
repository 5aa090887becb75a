//! `cauce build` and `cauce schema`: what is generated from files, and for them.

use std::fs;
use std::path::{Path, PathBuf};

use cauce_compiler::Compiled;
use cauce_spec::file::access::Api;
use serde_json::json;

use super::check::files_of;
use crate::args::{BuildArgs, SchemaArgs, SchemaOf};
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::project::{self, Loaded};

/// The folder of the task machines, which all pipelines share.
const SYSTEM: &str = "system";

pub(crate) fn build(args: &BuildArgs, context: &Context) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for path in &args.paths {
        files.extend(files_of(path, context)?);
    }
    let loaded = build_into(&files, &context.absolute(&args.out), context)?;
    if context.json {
        let documents: Vec<_> = loaded.iter().map(|one| json!(one.compiled.manifest)).collect();
        context.output.json(&json!({"out": args.out, "pipelines": documents}))?;
    } else {
        context.output.table(&summary(&loaded))?;
        context.output.talk(&format!("written to {}", args.out.display()));
    }
    Ok(Exit::Good)
}

/// Compiles pipeline files into a folder; nothing is written unless all of them pass their checks.
///
/// # Errors
/// What is wrong with any of them, said for each; files that cannot be written.
pub(crate) fn build_into(files: &[PathBuf], out: &Path, context: &Context) -> Result<Vec<Loaded>, Failure> {
    let mut loaded: Vec<Loaded> = Vec::new();
    let mut failure = None;
    for file in files {
        // What is wrong with one file is told along with what is wrong with the next.
        match project::load(file, context) {
            Ok(one) => loaded.push(one),
            Err(error) => {
                context.output.failure(&error);
                failure = Some(Failure::told(error.exit));
            }
        }
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    for one in &loaded {
        one.folder.values(&context.env)?;
    }
    refuse_repeats(&loaded)?;
    for (kind, machine) in cauce_compiler::lifecycle::machines() {
        let mut text = machine.to_pretty_json();
        text.push('\n');
        write(&out.join(SYSTEM), &cauce_compiler::definition_file(kind), &text)?;
    }
    for one in &loaded {
        write_pipeline(out, &one.compiled)?;
    }
    write_project(out, &loaded)?;
    Ok(loaded)
}

pub(crate) fn schema(args: &SchemaArgs, context: &Context) -> Result<Exit, Failure> {
    let schema = match args.of {
        SchemaOf::Pipeline => cauce_spec::schema::pipeline(),
        SchemaOf::Project => cauce_spec::schema::project(),
    };
    context.output.json(&schema)?;
    Ok(Exit::Good)
}

/// Two pipelines of one name would overwrite each other.
pub(super) fn refuse_repeats(loaded: &[Loaded]) -> Result<(), Failure> {
    for (at, one) in loaded.iter().enumerate() {
        let name = &one.compiled.plan.pipeline;
        if let Some(other) = loaded[..at].iter().find(|other| other.compiled.plan.pipeline == *name) {
            let (first, second) = (other.path.display(), one.path.display());
            return Err(Failure::bad_input(format!(
                "{first} and {second} define the same pipeline, '{name}'"
            ))
            .help("rename one of them, or name each file once"));
        }
        if name == SYSTEM {
            return Err(Failure::bad_input(format!(
                "{}: a pipeline cannot be named '{SYSTEM}'",
                one.path.display()
            ))
            .help("the definitions of the task machines are in a folder of that name; rename the pipeline"));
        }
    }
    Ok(())
}

/// The shape of `project.json` that this code writes.
const PROJECT_SCHEMA: u32 = 1;

/// What Terraform needs to know of the project that the pipelines share.
fn write_project(out: &Path, loaded: &[Loaded]) -> Result<(), Failure> {
    let Some(first) = loaded.first() else { return Ok(()) };
    if let Some(other) = loaded.iter().find(|one| one.folder.file != first.folder.file) {
        return Err(Failure::bad_input(format!(
            "{} and {} belong to different projects",
            first.path.display(),
            other.path.display()
        ))
        .help("build one project at a time"));
    }
    let project = &first.folder.project;
    let document = json!({
        "schema": PROJECT_SCHEMA,
        "project": project.project,
        "images": project.images,
        "channels": project.channels,
        "pools": project.pools,
        "controls": project.controls(),
        "api": project.api.as_ref().map(Api::access).unwrap_or_default(),
        "environments": project.environments,
    });
    let mut text = serde_json::to_string_pretty(&document).map_err(|error| Failure::from_error(&error))?;
    text.push('\n');
    write(out, "project.json", &text)
}

fn write_pipeline(out: &Path, compiled: &Compiled) -> Result<(), Failure> {
    let folder = out.join(&compiled.plan.pipeline);
    let files = compiled.files();
    if folder.join("manifest.json").is_file() {
        remove_stale(&folder, &files)?;
    }
    for (name, text) in &files {
        write(&folder, name, text)?;
    }
    Ok(())
}

/// Removes the definitions of an earlier build that this one does not have: parts of a pipeline that
/// has become smaller.
fn remove_stale(folder: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::file("read", folder, &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".asl.json") && !files.iter().any(|(file, _)| *file == name) {
            fs::remove_file(&path).map_err(|error| Failure::file("remove", &path, &error))?;
        }
    }
    Ok(())
}

pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
    let path = folder.join(name);
    // An unchanged file keeps its time: builds on top of this one see what is new.
    if fs::read_to_string(&path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))
}

fn summary(loaded: &[Loaded]) -> Table {
    let mut table = Table::new([
        "PIPELINE",
        "VERSION",
        "TASKS",
        "GATED",
        "MACHINES",
        "TRANSITIONS",
        "EVENTS AT MOST",
        "BYTES AT MOST",
        "USD/RUN",
        "USD/MONTH",
    ]);
    for one in loaded {
        let compiled = &one.compiled;
        let forecast = &compiled.forecast;
        let most = |of: fn(&cauce_compiler::forecast::MachineForecast) -> u64| {
            forecast.machines.iter().map(of).max().unwrap_or_default().to_string()
        };
        table.row([
            compiled.plan.pipeline.as_str().into(),
            super::short(compiled.version()).into(),
            forecast.tasks.to_string().into(),
            forecast.gated.to_string().into(),
            forecast.machines.len().to_string().into(),
            forecast.transitions.to_string().into(),
            most(|machine| machine.worst_events).into(),
            most(|machine| machine.request_bytes).into(),
            format!("{:.5}", forecast.price.run_usd).into(),
            forecast.price.month_usd.map_or_else(|| "-".to_owned(), |price| format!("{price:.2}")).into(),
        ]);
    }
    table
}
