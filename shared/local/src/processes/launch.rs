//! From a request to a command line and an environment.

use super::report::{CANNOT_START, RESOURCE_INIT};
use super::request::Request;
use super::{Aws, Setup, Source, TaskDefinition};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a task writes its output.
const OUTPUT_FILE: &str = "CAUCE_OUTPUT_FILE";

/// Marks every process of ours with the state folder it belongs to, so that survivors of a crash
/// can be told from everything else on the machine. Inherited by whatever a task starts.
pub(super) const STATE_MARK: &str = "CAUCE_LOCAL_STATE";

/// Marks every process with the token of its attempt.
pub(super) const TOKEN_MARK: &str = "CAUCE_LOCAL_TOKEN";

/// Where the folder of the output file is inside a container.
const CONTAINER_FOLDER: &str = "/cauce";

/// What the engine of containers is called, in order of preference.
const ENGINES: [&str; 2] = ["podman", "docker"];

/// Exactly what will be executed.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    /// With the name it was asked for by in front.
    pub(super) argv: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    /// Values that no log may show.
    pub(super) secrets: Vec<String>,
    pub(super) output_file: PathBuf,
    pub(super) container: Option<Container>,
}

/// A container under way.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Container {
    /// The program of the engine.
    pub(super) engine: PathBuf,
    pub(super) image: String,
    pub(super) name: String,
}

impl Launch {
    /// Resolves everything that a launch needs.
    ///
    /// The error is the `StoppedReason` of a task that never ran.
    pub(super) fn new(setup: &Setup, definition: &TaskDefinition, request: &Request) -> Result<Self, String> {
        let mut environment = setup.environment.clone();
        environment.extend(aws(&setup.aws)?);
        let mut declared = request.environment.clone();
        let mut secrets = Vec::new();
        for (name, reference) in &definition.secrets {
            let value = setup.secrets.get(reference).ok_or_else(|| {
                format!(
                    "{RESOURCE_INIT}: unable to pull secrets: '{reference}' has no value in {}",
                    setup.state.secrets().display()
                )
            })?;
            secrets.push(value.to_owned());
            declared.insert(name.clone(), value.to_owned());
        }
        let marks =
            [(STATE_MARK, setup.state.root().display().to_string()), (TOKEN_MARK, request.token.clone())];
        declared.extend(marks.map(|(name, value)| (name.to_owned(), value)));
        let folder = setup.state.running();
        match &definition.source {
            Source::Process { argv_prefix } => {
                let output_file = folder.join(format!("{}.output", request.token));
                declared.insert(OUTPUT_FILE.to_owned(), output_file.display().to_string());
                environment.extend(declared);
                let path = environment.get("PATH").and_then(|path| with_programs(path, setup));
                environment.extend(path.map(|path| ("PATH".to_owned(), path)));
                let argv: Vec<String> = [argv_prefix.as_slice(), &request.command].concat();
                let name = argv.first().ok_or_else(|| {
                    format!("{CANNOT_START}: no command: neither the task nor its image has one")
                })?;
                let program =
                    find_program(name, setup, environment.get("PATH")).ok_or_else(|| not_on_path(name))?;
                Ok(Self { program, argv, environment, secrets, output_file, container: None })
            }
            Source::Container { image } => {
                let folder = folder.join(format!("{}.d", request.token));
                let output_file = folder.join("output.json");
                declared.insert(OUTPUT_FILE.to_owned(), format!("{CONTAINER_FOLDER}/output.json"));
                let (name, engine) = ENGINES
                    .iter()
                    .find_map(|name| Some((*name, on_path(name, environment.get("PATH"))?)))
                    .ok_or_else(|| {
                        format!(
                            "{CANNOT_START}: image '{image}' needs podman or docker, and neither is \
                             on PATH; install one, or give the image a 'local' command in cauce.yaml"
                        )
                    })?;
                let container = Container {
                    engine: engine.clone(),
                    image: image.clone(),
                    name: format!("cauce-{}", request.token),
                };
                let mut argv = vec![
                    name.to_owned(),
                    "run".to_owned(),
                    "--rm".to_owned(),
                    format!("--name={}", container.name),
                    "--network=host".to_owned(),
                    format!("--volume={}:{CONTAINER_FOLDER}", folder.display()),
                ];
                argv.extend(setup.engine_args.iter().cloned());
                // The S3 endpoint is the container's too; PATH and HOME are the image's own.
                declared.extend(
                    aws(&setup.aws)?.into_iter().filter(|(name, _)| !request.environment.contains_key(name)),
                );
                for (name, value) in declared {
                    if setup.environment.contains_key(&name) {
                        // The engine itself needs its own value. Only names that are no secret's
                        // come here: see `Processes::register`.
                        argv.push(format!("--env={name}={value}"));
                    } else {
                        // A name without a value takes it from the engine's environment: no value
                        // is seen in a list of processes.
                        argv.push(format!("--env={name}"));
                        environment.insert(name, value);
                    }
                }
                argv.push(image.clone());
                argv.extend(request.command.iter().cloned());
                Ok(Self {
                    program: engine,
                    argv,
                    environment,
                    secrets,
                    output_file,
                    container: Some(container),
                })
            }
        }
    }
}

/// The variables with which a task reaches S3.
fn aws(aws: &Aws) -> Result<BTreeMap<String, String>, String> {
    match aws {
        Aws::Host(variables) => Ok(variables.clone()),
        Aws::Local(endpoint) => {
            endpoint.variables().map_err(|error| format!("{RESOURCE_INIT}: no local S3 endpoint: {error}"))
        }
    }
}

fn not_on_path(name: &str) -> String {
    format!("{CANNOT_START}: exec: \"{name}\": executable file not found in $PATH")
}

/// A program by its name: beside the `cauce` executable, then on PATH. A name with a slash is a path
/// from the project's folder.
fn find_program(name: &str, setup: &Setup, path: Option<&String>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(setup.project.join(name));
    }
    let beside = setup.programs.as_ref().map(|folder| folder.join(name));
    beside.filter(|file| is_executable(file)).or_else(|| on_path(name, path))
}

/// A PATH with the folder of the `cauce` executable behind all others: a script finds `cauce-run` there, as it
/// does on AWS, and nothing else in place of a program of its own. Without a PATH the shell has one of its own,
/// which stays.
fn with_programs(path: &str, setup: &Setup) -> Option<String> {
    let folder = setup.programs.as_ref()?;
    let folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    if folders.contains(folder) {
        return None;
    }
    // A folder whose name cannot stand in a PATH is left out.
    std::env::join_paths(folders.iter().chain([folder])).ok()?.into_string().ok()
}

fn on_path(name: &str, path: Option<&String>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
