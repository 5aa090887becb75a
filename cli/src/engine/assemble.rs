//! Bringing a host together: its world from the state folder, its pipelines from their files.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use cauce_compiler::Compiled;
use cauce_engine::{Command, Settings};
use cauce_host::{DeployedMachine, Deployment, Host, World};
use cauce_local::clock::SystemClock;
use cauce_local::notify::{Channel, Channels};
use cauce_local::objects::FolderObjects;
use cauce_local::processes::{Aws, Processes, Setup};
use cauce_local::s3::Endpoint;
use cauce_local::secrets::Secrets;
use cauce_local::sqlite::SqliteTable;
use cauce_local::state::{StateDir, StateError};
use cauce_model::plan::{Plan, TaskKind};
use cauce_model::{RunKey, RunRef};
use cauce_spec::file::channel::Channel as Declared;

use crate::context::Context;
use crate::engine::world::{Machine, Watch};
use crate::error::Failure;
use crate::project::{ProjectFolder, find_pipeline};
use crate::store::open_state;

/// The bound of one attempt's log, in bytes. What a task prints beyond it is cut out of the middle.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The root of the engine's documents below a state folder.
pub(crate) fn documents(state: &StateDir) -> String {
    format!("file://{}/documents", state.root().display())
}

/// The settings of this machine.
pub(crate) fn settings(documents: String, env: serde_json::Map<String, cauce_model::Json>) -> Settings {
    let machines = cauce_compiler::lifecycle::machines();
    Settings {
        documents,
        cluster: "local".to_owned(),
        one_machine: true,
        env,
        machines: machines.iter().map(|(kind, _)| ((*kind).to_owned(), (*kind).to_owned())).collect(),
        ..Settings::default()
    }
}

/// Adds the lifecycle machines to a host.
pub(crate) fn add_lifecycles<W: World + 'static>(host: &Host<W>) -> Result<(), Failure> {
    for (kind, machine) in cauce_compiler::lifecycle::machines() {
        let definition = serde_json::to_value(&machine).map_err(|error| Failure::from_error(&error))?;
        host.machines().add(kind, &definition).map_err(|error| Failure::from_error(&error))?;
    }
    Ok(())
}

/// A compiled pipeline as a host takes it.
pub(crate) fn deployment(compiled: &Compiled) -> Result<Deployment, Failure> {
    let machines = compiled.machines.iter().map(|machine| {
        let definition =
            serde_json::to_value(&machine.definition).map_err(|error| Failure::from_error(&error))?;
        Ok(DeployedMachine { name: machine.name.clone(), part: machine.part.clone(), definition })
    });
    Ok(Deployment {
        plan: compiled.plan.clone(),
        version: compiled.version().to_owned(),
        machines: machines.collect::<Result<_, Failure>>()?,
    })
}

/// The pipelines that a plan's tasks start, and those that theirs do, from the project's files.
pub(crate) fn started_pipelines(
    plan: &Plan,
    folder: &ProjectFolder,
    context: &Context,
) -> Result<Vec<Compiled>, Failure> {
    let mut found: BTreeMap<String, Compiled> = BTreeMap::new();
    let mut wanted = names_started(plan);
    while let Some(name) = wanted.pop() {
        if name == plan.pipeline || found.contains_key(&name) {
            continue;
        }
        let compiled = find_pipeline(&name, folder, context)?.compiled;
        wanted.extend(names_started(&compiled.plan));
        found.insert(name, compiled);
    }
    Ok(found.into_values().collect())
}

/// The commands that tell the store the sizes of the project's pools and the figures of its breakers and
/// rate limits: cauce.yaml as it is now decides, whatever version of a pipeline runs.
pub(crate) fn shared(folder: &ProjectFolder) -> [Command; 2] {
    let pools = folder.project.pools.iter().map(|(name, pool)| (name.to_string(), pool.slots));
    [Command::Resize { pools: pools.collect() }, Command::Define(Box::new(folder.project.controls()))]
}

fn names_started(plan: &Plan) -> Vec<String> {
    let of = |kind: &TaskKind| match kind {
        TaskKind::Pipeline(other) => Some(other.pipeline.clone()),
        _ => None,
    };
    plan.tasks.iter().filter_map(|task| of(&task.kind)).collect()
}

/// A host on this machine, and what has to outlive it.
pub(crate) struct Local {
    pub(crate) host: Host<Machine>,
    pub(crate) state: StateDir,
}

impl Local {
    /// Claims a run for this process while it drives it.
    ///
    /// # Errors
    /// Another process drives it.
    pub(crate) fn claim(&self, run: &RunRef) -> Result<(), StateError> {
        self.host.world().lock(&run.key(), &run.to_string())
    }
}

/// What the images of a project are in ECR, where they have a name of their own there.
pub(crate) fn images(folder: &ProjectFolder) -> BTreeMap<String, String> {
    let images = folder.project.images.iter();
    images.filter_map(|(name, image)| Some((name.to_string(), image.ecr.clone()?))).collect()
}

/// Opens the state folder and brings a host together, without pipelines.
pub(crate) fn local(
    folder: &ProjectFolder,
    context: &Context,
    host_credentials: bool,
    watch: Watch,
) -> Result<Local, Failure> {
    assembled(folder, context, host_credentials, watch, None)
}

/// The same for a process that stays only for a decision: runs that follow from it are left to a service.
pub(crate) fn visitor(folder: &ProjectFolder, context: &Context, watch: Watch) -> Result<Local, Failure> {
    assembled(folder, context, false, watch, Some(RefCell::default()))
}

fn assembled(
    folder: &ProjectFolder,
    context: &Context,
    host_credentials: bool,
    watch: Watch,
    visits: Option<RefCell<Vec<RunKey>>>,
) -> Result<Local, Failure> {
    let root = std::path::absolute(&folder.state_dir).unwrap_or_else(|_| folder.state_dir.clone());
    let state = open_state(&root, context)?;
    let clock = SystemClock;
    let table = SqliteTable::open(&state.table(), clock)?;
    let objects = FolderObjects::durable(state.objects(), &folder.root);
    let env = folder.values(&context.env)?;
    let processes = processes(folder, context, &state, &objects, host_credentials)?;
    let world = Machine {
        table,
        objects,
        channels: Channels::new(channels(folder, &env)?),
        clock,
        processes,
        watch,
        output: context.output,
        state: state.clone(),
        images: Rc::new(RefCell::new(images(folder))),
        claims: RefCell::default(),
        visits,
        hears: Cell::new(false),
    };
    // Jitter differs between processes, so that two of them do not keep step.
    let seed = u64::from(std::process::id());
    let host = Host::new(world, settings(documents(&state), env), seed);
    add_lifecycles(&host)?;
    Ok(Local { host, state })
}

fn processes(
    folder: &ProjectFolder,
    context: &Context,
    state: &StateDir,
    objects: &FolderObjects,
    host_credentials: bool,
) -> Result<Processes<FolderObjects, SystemClock>, Failure> {
    let environment = &context.environment;
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: Option<String>| {
        variables.extend(value.map(|value| (name.to_owned(), value)));
    };
    set("PATH", environment.path.as_ref().and_then(|path| path.to_str()).map(str::to_owned));
    set("HOME", environment.home.as_ref().map(|home| home.display().to_string()));
    set("LANG", environment.lang.clone());
    set("TZ", environment.tz.clone());
    let secrets = match std::fs::read_to_string(state.secrets()) {
        Ok(text) => Secrets::parse(&text)
            .map_err(|error| Failure::bad_input(format!("{}: {error}", state.secrets().display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Secrets::default(),
        Err(error) => return Err(Failure::file("read", &state.secrets(), &error)),
    };
    let aws = if host_credentials {
        Aws::Host(environment.aws.clone())
    } else {
        Aws::Local(Arc::new(Endpoint::new(state.objects())))
    };
    let setup = Setup {
        project: folder.root.clone(),
        state: state.clone(),
        programs: environment.executable.as_deref().and_then(Path::parent).map(Path::to_owned),
        environment: variables,
        aws,
        secrets,
        log_bytes_max: LOG_BYTES_MAX,
        engine_args: Vec::new(),
    };
    Ok(Processes::new(setup, objects.clone(), SystemClock))
}

/// The channels of the project file, their templates filled.
pub(crate) fn channels(
    folder: &ProjectFolder,
    env: &serde_json::Map<String, cauce_model::Json>,
) -> Result<BTreeMap<String, Channel>, Failure> {
    let nothing = cauce_template::Context::new(&serde_json::Map::new());
    let mut channels = BTreeMap::new();
    for (name, declared) in &folder.project.channels {
        let fill = |template: &cauce_template::Template| {
            let text = template.fill_env(env).and_then(|filled| filled.render_text(&nothing));
            text.map_err(|error| Failure::bad_input(format!("cauce.yaml: channels.{name}: {error}")))
        };
        let channel = match declared {
            Declared::Stderr => Channel::Stderr,
            Declared::File(file) => Channel::File(folder.root.join(fill(&file.path)?)),
            Declared::Http(http) => {
                let headers = http.headers.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
                Channel::Http { url: fill(&http.url)?, headers: headers.collect::<Result<_, Failure>>()? }
            }
            // Their templates are not filled: nothing here goes to these addresses.
            Declared::Email(_)
            | Declared::Sns(_)
            | Declared::Slack(_)
            | Declared::Teams(_)
            | Declared::Eventbridge(_) => Channel::Elsewhere { kind: declared.key() },
        };
        channels.insert(name.to_string(), channel);
    }
    Ok(channels)
}
