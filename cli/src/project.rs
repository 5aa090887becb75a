//! From files to pipelines: where the project is, what it declares, which pipelines it holds.
//!
//! Whoever wants a pipeline calls [`load`] with its file, or [`find_pipeline`] with its name. What is
//! wrong with a file has been shown when either returns a failure.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use cauce_compiler::{CompileError, Compiled};
use cauce_model::Json;
use cauce_spec::{Checked, Diagnostic, InlineError, Items, MAX_FILE_BYTES, Pipeline, Project, Severity};
use serde_json::Map;

use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::suggest::nearest;

/// The project file's name.
pub(crate) const PROJECT_FILE: &str = "cauce.yaml";

/// The folder of task templates, beside the project file.
const TEMPLATES: &str = "templates";

/// Folders in which no pipeline is looked for, besides hidden ones.
const NOT_SEARCHED: [&str; 5] = ["build", "data", "node_modules", "sql", "target"];

/// How deep below the project file pipelines are looked for.
const SEARCH_DEPTH_MAX: u32 = 8;

/// A project: its folder, and what its file declares.
#[derive(Clone, Debug)]
pub(crate) struct ProjectFolder {
    /// The folder of cauce.yaml; without one, that of the pipeline file. Tasks run in it.
    pub(crate) root: PathBuf,
    /// cauce.yaml, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// What it declares; nothing without it.
    pub(crate) project: Project,
    /// Where runs are remembered. It need not exist.
    pub(crate) state_dir: PathBuf,
}

/// Hears what was found in a file, and says whether it is taken.
type Judge<'a> = dyn FnMut(&[Diagnostic], &str, &[u8]) -> Result<(), Failure> + 'a;

/// A pipeline that passed its checks, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// Its project.
    pub(crate) folder: ProjectFolder,
    /// What its file says.
    pub(crate) pipeline: Pipeline,
    /// What became of it.
    pub(crate) compiled: Compiled,
    /// The items of its matrix, where it has one.
    pub(crate) items: Option<Items>,
    /// The file, as the user named it.
    pub(crate) path: PathBuf,
}

/// A file that defines a pipeline, by the name it gives itself. It has not been checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The pipeline's name.
    pub(crate) name: String,
    /// Its file.
    pub(crate) path: PathBuf,
}

impl ProjectFolder {
    /// The project around a folder: that of the nearest cauce.yaml in it or above it.
    ///
    /// # Errors
    /// A project file that cannot be read or does not pass its checks.
    pub(crate) fn around(folder: &Path, context: &Context) -> Result<Self, Failure> {
        Self::read(folder, context, &mut |found, shown, text| report(found, shown, text, context))
    }

    /// The same without showing anything; what is wrong comes back in words.
    ///
    /// # Errors
    /// As [`ProjectFolder::around`].
    pub(crate) fn silently(folder: &Path, context: &Context) -> Result<Self, String> {
        let mut words = String::new();
        let read = Self::read(folder, context, &mut |found, shown, text| {
            words.push_str(&cauce_spec::render::text(found, shown, text, false));
            if is_wrong(found) { Err(Failure::told(Exit::BadInput)) } else { Ok(()) }
        });
        read.map_err(|failure| if failure.message.is_empty() { words } else { failure.message })
    }

    fn read(folder: &Path, context: &Context, judge: &mut Judge<'_>) -> Result<Self, Failure> {
        let folder = context.absolute(folder);
        let file = folder.ancestors().map(|above| above.join(PROJECT_FILE)).find(|file| file.is_file());
        let root = file.as_deref().and_then(Path::parent).unwrap_or(&folder).to_owned();
        let project = match &file {
            None => Project::none(),
            Some(file) => {
                let shown = shown(file, context);
                let text = read(file)?;
                let (project, diagnostics) = cauce_spec::check_project(&text);
                judge(&diagnostics, &shown, &text)?;
                let mut project = project.ok_or(Failure::told(Exit::BadInput))?;
                project
                    .inline_holidays(|file| text_of(&root, file))
                    .map_err(|error| Failure::bad_input(format!("{shown}: {error}")))?;
                project.read_from(&shown, &text);
                templates(&mut project, &root, context, judge)?;
                project
            }
        };
        Ok(Self { state_dir: context.state_dir_of(&root), root, file, project })
    }

    /// The values that `${{ env.x }}` reads.
    ///
    /// # Errors
    /// An environment that cauce.yaml does not declare.
    pub(crate) fn values(&self, env: &str) -> Result<Map<String, Json>, Failure> {
        self.project.env(env).ok_or_else(|| {
            let known = self.project.environments.keys().map(|name| name.as_str());
            let failure = Failure::bad_input(format!("there is no environment '{env}'"));
            match nearest(env, known) {
                Some(near) => failure.help(format!("did you mean --env {near}?")),
                None => failure.help(format!("declare it under 'environments' in {PROJECT_FILE}")),
            }
        })
    }

    /// The files that define pipelines, by name, then path. Only the root itself is searched when
    /// there is no project file, and no folder that has a project file of its own.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub(crate) fn pipelines(&self) -> Result<Vec<Found>, Failure> {
        let mut found = Vec::new();
        let depth = if self.file.is_some() { SEARCH_DEPTH_MAX } else { 0 };
        search(&self.root, depth, false, &mut |path, name| found.extend(defined(path, name)))?;
        found.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        Ok(found)
    }
}

/// The files below a folder that define pipelines, by path, whatever projects they belong to.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn pipelines_below(folder: &Path) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    search(folder, SEARCH_DEPTH_MAX, true, &mut |path, name| found.extend(defined(path, name)))?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Reads, checks and compiles a pipeline file. Diagnostics are shown here: as text on standard
/// error, each with its line and a caret, or as JSON with `--json`.
///
/// # Errors
/// Exit 2, everything said: a file that is absent, no file, not UTF-8, over 10 MB, wrong, or too
/// large for AWS.
pub(crate) fn load(file: &Path, context: &Context) -> Result<Loaded, Failure> {
    let path = context.absolute(file);
    let text = read(&path).map_err(|failure| match failure.exit {
        Exit::BadInput if path.is_dir() => {
            failure.help(format!("name one of its files; 'cauce check {}' checks all", file.display()))
        }
        _ => failure,
    })?;
    let folder = ProjectFolder::around(path.parent().unwrap_or(Path::new("/")), context)?;
    load_in(folder, file, &text, context)
}

/// Finds a pipeline of a project by its name, and loads it.
///
/// # Errors
/// No file of the project defines it, two do, or what [`load`] fails with.
pub(crate) fn find_pipeline(
    name: &str,
    folder: &ProjectFolder,
    context: &Context,
) -> Result<Loaded, Failure> {
    let all = folder.pipelines()?;
    let mut of_name = all.iter().filter(|found| found.name == name);
    let Some(found) = of_name.next() else {
        let failure = Failure::bad_input(format!(
            "no file below {} defines a pipeline '{name}'",
            folder.root.display()
        ));
        return Err(match nearest(name, all.iter().map(|found| found.name.as_str())) {
            Some(near) => failure.help(format!("did you mean '{near}'?")),
            None => failure.help(format!("a pipeline file begins with 'pipeline: {name}'")),
        });
    };
    if let Some(second) = of_name.next() {
        let (first, second) = (found.path.display(), second.path.display());
        return Err(Failure::bad_input(format!(
            "two files define the pipeline '{name}': {first} and {second}"
        ))
        .help("rename one of them"));
    }
    let text = read(&found.path)?;
    load_in(folder.clone(), &PathBuf::from(shown(&found.path, context)), &text, context)
}

fn load_in(folder: ProjectFolder, file: &Path, text: &[u8], context: &Context) -> Result<Loaded, Failure> {
    let shown = file.display().to_string();
    let files = |file: &str| text_of(&folder.root, file);
    let Checked { pipeline, items, diagnostics } =
        cauce_spec::check_with(text, &folder.project, &context.env, &files);
    report(&diagnostics, &shown, text, context)?;
    let mut pipeline = pipeline.ok_or(Failure::told(Exit::BadInput))?;
    inline(&mut pipeline, &folder.root).map_err(|error| Failure::bad_input(format!("{shown}: {error}")))?;
    let compiled = cauce_compiler::compile(&pipeline, &folder.project)
        .map_err(|error| not_compiled(&shown, &pipeline, &error))?;
    Ok(Loaded { folder, pipeline, compiled, items, path: file.to_owned() })
}

/// Compiles a pipeline file without a word: `None` when it does not pass its checks.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn compiled(
    file: &Path,
    folder: &ProjectFolder,
    context: &Context,
) -> Result<Option<(Pipeline, Compiled)>, Failure> {
    let files = |file: &str| text_of(&folder.root, file);
    let checked = cauce_spec::check_with(&read(file)?, &folder.project, &context.env, &files);
    let Some(mut pipeline) = checked.pipeline else { return Ok(None) };
    if inline(&mut pipeline, &folder.root).is_err() {
        return Ok(None);
    }
    let compiled = cauce_compiler::compile(&pipeline, &folder.project).ok();
    Ok(compiled.map(|compiled| (pipeline, compiled)))
}

/// Adds the task templates that have files of their own, in the order of their file names.
///
/// # Errors
/// A file that cannot be read or does not pass its checks; a name that another template has.
fn templates(
    project: &mut Project,
    root: &Path,
    context: &Context,
    judge: &mut Judge<'_>,
) -> Result<(), Failure> {
    let folder = root.join(TEMPLATES);
    if !folder.is_dir() {
        return Ok(());
    }
    let failed = |error: std::io::Error| Failure::file("read", &folder, &error);
    let entries = fs::read_dir(&folder).map_err(failed)?;
    let mut files =
        entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<Vec<_>, Failure>>()?;
    files.retain(|file| file.extension().is_some_and(|kind| kind == "yaml" || kind == "yml"));
    files.sort();
    for file in files {
        let shown = shown(&file, context);
        let text = read(&file)?;
        let (template, diagnostics) = cauce_spec::check_template(&text, &shown);
        judge(&diagnostics, &shown, &text)?;
        let (name, template) = template.ok_or(Failure::told(Exit::BadInput))?;
        if project.templates.contains_key(&name) {
            return Err(Failure::bad_input(format!("{shown}: there is another template '{name}'"))
                .help("rename one of the two"));
        }
        project.templates.insert(name, template);
    }
    Ok(())
}

/// Checks and compiles the text of a pipeline file without showing anything; what is wrong comes back in words,
/// as it would have been shown. `named` hears of each file that it names.
pub(crate) fn judged(
    text: &[u8],
    shown: &str,
    folder: &ProjectFolder,
    env: &str,
    named: &mut dyn FnMut(&Path),
) -> Result<(Compiled, Option<Items>), String> {
    let named = std::cell::RefCell::new(named);
    let read = |file: &str| {
        (named.borrow_mut())(&folder.root.join(file));
        text_of(&folder.root, file)
    };
    let Checked { pipeline, items, diagnostics } = cauce_spec::check_with(text, &folder.project, env, &read);
    let mut pipeline = pipeline
        .filter(|_| !is_wrong(&diagnostics))
        .ok_or_else(|| cauce_spec::render::text(&diagnostics, shown, text, false))?;
    pipeline.inline_files(read).map_err(|error| format!("{shown}: {error}"))?;
    let compiled = cauce_compiler::compile(&pipeline, &folder.project)
        .map_err(|error| format!("{}: {error}", place_of(shown, &pipeline, &error)))?;
    Ok((compiled, items))
}

/// The files below a folder whose change may change what it offers: all that could define pipelines, and the
/// project file. A folder that cannot be read holds none.
pub(crate) fn candidates(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let root = folder.ancestors().find(|above| above.join(PROJECT_FILE).is_file());
    found.extend(root.map(|root| root.join(PROJECT_FILE)));
    let depth = if root.is_some() { SEARCH_DEPTH_MAX } else { 0 };
    // A folder that vanishes meanwhile is found gone at the next look.
    let _ = search(root.unwrap_or(folder), depth, false, &mut |path, name| {
        if is_yaml(name) {
            found.push(path.to_owned());
        }
    });
    found
}

/// Makes the files that a pipeline names a part of it.
///
/// # Errors
/// A file that cannot be read, lies outside the project, or is not what it should be.
pub(crate) fn inline(pipeline: &mut Pipeline, root: &Path) -> Result<(), InlineError> {
    pipeline.inline_files(|file| text_of(root, file))
}

/// The text of a file that a file of the project names, or why it cannot be had.
pub(crate) fn text_of(root: &Path, file: &str) -> Result<String, String> {
    let path = Path::new(file);
    if path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err("it is not in the project: name it by its path from cauce.yaml".to_owned());
    }
    let text = read(&root.join(path)).map_err(|failure| failure.message)?;
    String::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())
}

/// A pipeline that AWS would refuse.
fn not_compiled(shown: &str, pipeline: &Pipeline, error: &CompileError) -> Failure {
    Failure::bad_input(format!("{}: {error}", place_of(shown, pipeline, error)))
}

/// Where a pipeline says what AWS would refuse: its file, and the line where that is one task.
pub(crate) fn place_of(shown: &str, pipeline: &Pipeline, error: &CompileError) -> String {
    let task = error.task().and_then(|task| pipeline.tasks.get(task));
    task.map_or_else(|| shown.to_owned(), |task| format!("{shown}:{}", task.position.line))
}

/// Shows what is wrong with a file, warnings too.
///
/// # Errors
/// Exit 2 without further words when one of them is an error.
pub(crate) fn report(
    diagnostics: &[Diagnostic],
    shown: &str,
    text: &[u8],
    context: &Context,
) -> Result<(), Failure> {
    if diagnostics.is_empty() {
        return Ok(());
    }
    let output = &context.output;
    if context.json {
        output.talk(&cauce_spec::render::json(diagnostics, shown).to_string());
    } else {
        output.talk_raw(&cauce_spec::render::text(diagnostics, shown, text, output.talk_colour()));
    }
    if is_wrong(diagnostics) { Err(Failure::told(Exit::BadInput)) } else { Ok(()) }
}

fn is_wrong(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|found| found.severity == Severity::Error)
}

/// Reads a file of pipelines, never more of it than the checks accept: a larger one is cut just above
/// the limit, and the checks say so.
///
/// # Errors
/// A file that is absent, a folder, or not to be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::file("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

/// A path as people want to see it: from where they stand.
pub(crate) fn shown(path: &Path, context: &Context) -> String {
    path.strip_prefix(&context.environment.current_dir).unwrap_or(path).display().to_string()
}

/// A file, if it defines a pipeline.
fn defined(path: &Path, name: &str) -> Option<Found> {
    Some(Found { name: pipeline_name(path, name)?, path: path.to_owned() })
}

fn is_yaml(name: &str) -> bool {
    name != PROJECT_FILE && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// Visits the files of a folder and of those below it that are searched.
fn search(
    folder: &Path,
    depth: u32,
    across: bool,
    visit: &mut dyn FnMut(&Path, &str),
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::file("read", folder, &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        // Links are not followed: they could lead in a circle.
        let kind = entry.file_type().map_err(failed)?;
        if name.starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            let is_other = !across && path.join(PROJECT_FILE).exists();
            if depth > 0 && !is_other && !NOT_SEARCHED.contains(&&*name) {
                search(&path, depth - 1, across, visit)?;
            }
        } else {
            visit(&path, &name);
        }
    }
    Ok(())
}

/// The name that a YAML file gives its pipeline, if it defines one: the value of `pipeline:` at the
/// start of a line. A file that cannot be read defines none.
fn pipeline_name(path: &Path, name: &str) -> Option<String> {
    if !is_yaml(name) {
        return None;
    }
    let text = read(path).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("pipeline:"))?;
    let value = value.split(" #").next().unwrap_or_default().trim();
    let value = value.trim_matches(|quote| quote == '"' || quote == '\'');
    Some(value.to_owned())
}
