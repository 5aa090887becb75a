//! Programs on one machine: what `ecs:runTask.sync` starts when there is no ECS.
//!
//! Invariants:
//! - A program sees its declared environment and nothing of ours: PATH, HOME, LANG and TZ as they
//!   were handed in, the S3 endpoint of this machine, its overrides, its secrets.
//! - Secret values are in no command line and in no log.
//! - A program goes on when nobody waits for it any more: giving up `run` stops nothing, only
//!   [`Compute::stop`] and [`Processes::stop_all`] do.
//! - Of one task of one run, at most one attempt has a process.
//! - What a program started does not outlive it, nor this value, nor (through
//!   [`Processes::end_survivors`]) a `kill -9` of the engine.
//!
//! Must be used on a tokio runtime with its IO and time drivers.

mod launch;

mod log;

mod program;

mod redact;

pub mod report;

mod request;

mod survivors;

use crate::s3::Endpoint;
use crate::secrets::Secrets;
use crate::state::StateDir;
use cauce_model::{Instant, Json, RunKey, ids::log_name};
use cauce_ports::{Clock, Compute, ComputeError, Objects, RunningTask, TaskFailure, TaskRunner};
use launch::Launch;
use program::{Ending, Limits, Program};
use report::Stopped;
use request::{Identity, Request};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use survivors::Record;
pub use survivors::SurvivorsError;
use tokio::sync::watch;

/// The bound of one attempt's log unless set otherwise: the first and the last 8 MiB.
pub const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a program may take to stop unless its definition says otherwise.
pub const STOP_TIMEOUT_SECONDS: u32 = 30;

/// What all programs have in common.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The folder of `cauce.yaml`, where programs run.
    pub project: PathBuf,
    /// The state folder, for logs, output files, and what is under way.
    pub state: StateDir,
    /// The folder of the `cauce` executable, where programs are looked for first.
    pub programs: Option<PathBuf>,
    /// PATH, HOME, LANG and TZ as far as they are set.
    pub environment: BTreeMap<String, String>,
    /// What programs find as S3.
    pub aws: Aws,
    /// Secret values.
    pub secrets: Secrets,
    /// The bound of one attempt's log, in bytes.
    pub log_bytes_max: u64,
    /// More arguments for `podman run` or `docker run`.
    pub engine_args: Vec<String>,
}

/// What programs find as AWS.
#[derive(Clone, Debug)]
pub enum Aws {
    /// The S3 endpoint of this machine, with keys that are of no use elsewhere.
    Local(Arc<Endpoint>),
    /// The real one, with these variables of the caller's own (`--host-credentials`).
    Host(BTreeMap<String, String>),
}

/// What a task definition is on one machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskDefinition {
    /// What runs.
    pub source: Source,
    /// Variables that hold secrets, with their references (`secret:erp/password`).
    pub secrets: BTreeMap<String, String>,
    /// Time between SIGTERM and SIGKILL, where a request does not say its task's own.
    pub stop_timeout_seconds: u32,
}

/// Where a program comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A process: these words, then the task's command.
    Process {
        /// Often the program that an image would have as its entry point; may be empty.
        argv_prefix: Vec<String>,
    },
    /// A container, by podman or docker, whichever is on PATH first.
    Container {
        /// The image.
        image: String,
    },
}

/// The programs under way. Clones share them.
pub struct Processes<O, C> {
    shared: Arc<Shared>,
    objects: O,
    clock: C,
}

struct Shared {
    setup: Setup,
    definitions: Mutex<BTreeMap<String, TaskDefinition>>,
    /// By token.
    running: Mutex<BTreeMap<String, Attempt>>,
    /// Tokens of attempts that wait for an earlier one's end or are about to start, and why they are not to start any more.
    /// Locked after `running`.
    queued: Mutex<BTreeMap<String, Option<String>>>,
}

/// A program under way, for those who stop it or wait for it.
#[derive(Clone)]
struct Attempt {
    identity: Identity,
    /// Why it is to stop.
    stop: Arc<watch::Sender<Option<String>>>,
    ended: watch::Receiver<Option<Arc<Ended>>>,
}

/// What became of a program.
struct Ended {
    outcome: Result<Json, TaskFailure>,
    output: Option<Vec<u8>>,
}

impl<O: Clone, C: Clone> Clone for Processes<O, C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), objects: self.objects.clone(), clock: self.clock.clone() }
    }
}

impl<O: Objects, C: Clock + Clone + Send + 'static> Processes<O, C> {
    /// No programs yet. Outputs are copied to `objects`.
    pub fn new(setup: Setup, objects: O, clock: C) -> Self {
        Self {
            shared: Arc::new(Shared {
                setup,
                definitions: Mutex::default(),
                running: Mutex::default(),
                queued: Mutex::default(),
            }),
            objects,
            clock,
        }
    }

    /// Tells what a task definition's family is here. A later one replaces an earlier one; programs
    /// under way are not concerned.
    pub fn register(&self, family: &str, definition: TaskDefinition) {
        lock(&self.shared.definitions).insert(request::family(family).to_owned(), definition);
    }

    /// Ends the programs of a run that an engine left behind when it was killed, and waits until
    /// they are gone. Returns them, and those that had ended unnoticed. The caller holds the run's lock.
    ///
    /// # Errors
    /// Some processes stayed, or could not be looked for.
    pub async fn end_survivors(&self, run_key: &RunKey) -> Result<Vec<RunningTask>, SurvivorsError> {
        survivors::end(&self.shared.setup.state, run_key).await
    }

    /// Stops every program under way and waits until all have ended.
    pub async fn stop_all(&self, reason: &str) {
        let attempts: Vec<Attempt> = lock(&self.shared.running).values().cloned().collect();
        for attempt in &attempts {
            attempt.stop(reason);
        }
        for attempt in attempts {
            attempt.ended().await;
        }
    }

    /// Starts a program and whoever watches over it, unless it is under way already.
    async fn attempt(&self, request: Request) -> Result<Attempt, TaskFailure> {
        loop {
            let earlier = {
                let mut running = lock(&self.shared.running);
                if let Some(same) = running.get(&request.token) {
                    return Ok(same.clone());
                }
                let mut queued = lock(&self.shared.queued);
                let given_up = queued.remove(&request.token).flatten();
                if let Some(reason) = given_up {
                    return Err(report::not_started(&request, &reason, self.clock.now()));
                }
                let earlier = running.values().find(|attempt| attempt.identity.same_task(&request.identity));
                match earlier {
                    Some(earlier) => {
                        queued.insert(request.token.clone(), None);
                        earlier.clone()
                    }
                    None => {
                        let attempt = self.start(&request)?;
                        running.insert(request.token.clone(), attempt.clone());
                        return Ok(attempt);
                    }
                }
            };
            // An attempt given up by its state may still be stopping.
            earlier.ended().await;
        }
    }

    fn start(&self, request: &Request) -> Result<Attempt, TaskFailure> {
        let setup = &self.shared.setup;
        let created_at = self.clock.now();
        let not_started = |reason: String| report::not_started(request, &reason, self.clock.now());
        let definition =
            lock(&self.shared.definitions).get(&request.family).cloned().ok_or_else(|| TaskFailure {
                error: "ECS.ClientException".to_owned(),
                cause: format!("there is no task definition '{}' here", request.family),
            })?;
        let launch = Launch::new(setup, &definition, request).map_err(not_started)?;
        let identity = &request.identity;
        let log_file = setup.state.logs().join(log_name(
            &identity.run,
            &identity.task,
            identity.index,
            identity.attempt,
        ));
        let program = Program::start(launch, &request.token, setup, &log_file).map_err(not_started)?;
        let pid = program.id();
        let stop_timeout_seconds = request.stop_timeout_seconds.unwrap_or(definition.stop_timeout_seconds);
        let record = Record {
            token: request.token.clone(),
            pid,
            start: survivors::start_of(pid),
            pipeline: identity.run.pipeline.clone(),
            run_id: identity.run.run_id.clone(),
            task: identity.task.clone(),
            index: identity.index,
            attempt: identity.attempt,
            stop_timeout_seconds,
            container: program.container().cloned(),
        };
        // Dropping the program here ends it: one that could not be found again must not run.
        record
            .save(&setup.state)
            .map_err(|error| not_started(format!("{}: {error}", report::RESOURCE_INIT)))?;

        let (stop, stopping) = watch::channel(None);
        let (tell, ended) = watch::channel(None);
        let watching = Watching {
            shared: Arc::downgrade(&self.shared),
            state: setup.state.clone(),
            request: request.clone(),
            clock: self.clock.clone(),
            created_at,
            started_at: self.clock.now(),
            pid,
        };
        let limits = Limits {
            runs: request.timeout_seconds.map(Duration::from_secs),
            stops: Duration::from_secs(stop_timeout_seconds.into()),
        };
        tokio::spawn(async move {
            let ending = program.run(stopping, limits).await;
            let ended = watching.to_the_end(ending);
            // Nobody may be left who wants to know.
            tell.send_replace(Some(Arc::new(ended)));
        });
        Ok(Attempt { identity: identity.clone(), stop: Arc::new(stop), ended })
    }
}

impl Attempt {
    fn stop(&self, reason: &str) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert_with(|| reason.to_owned());
            first
        });
    }

    /// Waits for the end. `None` when its watcher went with its runtime.
    async fn ended(mut self) -> Option<Arc<Ended>> {
        let ended = self.ended.wait_for(Option::is_some).await.ok()?;
        ended.clone()
    }
}

/// What the watcher of a program knows of it.
struct Watching<C> {
    shared: std::sync::Weak<Shared>,
    state: StateDir,
    request: Request,
    clock: C,
    created_at: Instant,
    started_at: Instant,
    pid: u32,
}

impl<C: Clock> Watching<C> {
    /// The end of a program: nothing of it is under way any more.
    fn to_the_end(&self, ending: io::Result<Ending>) -> Ended {
        Record::remove(&self.state, &self.request.token);
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared.running).remove(&self.request.token);
        }
        let ending = match ending {
            Ok(ending) => ending,
            Err(error) => {
                return Ended {
                    outcome: Err(TaskFailure {
                        error: "AmazonECS.Unknown".to_owned(),
                        cause: format!("the program could not be waited for: {error}"),
                    }),
                    output: None,
                };
            }
        };
        if let Some(reason) = &ending.not_started {
            return Ended {
                outcome: Err(report::not_started(&self.request, reason, self.clock.now())),
                output: None,
            };
        }
        let (stop_code, reason) = match &ending.stopped {
            Some(reason) => (report::USER_INITIATED, reason.as_str()),
            None => (report::EXITED, report::EXITED_REASON),
        };
        let task = report::task(
            &self.request,
            &Stopped {
                stop_code,
                reason,
                exit_code: Some(ending.code),
                remark: ending.remark.as_deref(),
                created_at: self.created_at,
                started_at: Some(self.started_at),
                stopped_at: self.clock.now(),
                process_id: Some(self.pid),
            },
        );
        Ended {
            outcome: if ending.code == 0 && ending.stopped.is_none() {
                Ok(task)
            } else {
                Err(report::failed(&task))
            },
            output: ending.output,
        }
    }
}

impl<O: Objects, C: Clock + Clone + Send + 'static> TaskRunner for Processes<O, C> {
    async fn run(&self, request: &Json) -> Result<Json, TaskFailure> {
        let request = Request::parse(request)?;
        let output_uri = request.environment.get("CAUCE_OUTPUT_URI").cloned();
        let attempt = self.attempt(request).await?;
        let ended = attempt.ended().await.ok_or_else(|| TaskFailure {
            error: "AmazonECS.Unknown".to_owned(),
            cause: "the program's watcher ended before it".to_owned(),
        })?;
        let task = ended.outcome.clone()?;
        if let (Some(uri), Some(output)) = (output_uri, &ended.output) {
            self.objects.put(&uri, output).await.map_err(|error| TaskFailure {
                error: "AmazonECS.Unknown".to_owned(),
                cause: format!("the output could not be stored: {error}"),
            })?;
        }
        Ok(task)
    }

    async fn call(&self, resource: &str, arguments: &Json) -> Result<Json, TaskFailure> {
        if resource == crate::http::RESOURCE {
            return crate::http::invoke(arguments).await;
        }
        Err(TaskFailure {
            error: "States.Runtime".to_owned(),
            cause: format!(
                "only AWS has {resource}: give the task `local: [...]`, a command to run here instead"
            ),
        })
    }
}

impl<O: Objects, C: Clock + Clone + Send + 'static> Compute for Processes<O, C> {
    async fn find(&self, run_key: &RunKey) -> Result<Vec<RunningTask>, ComputeError> {
        Ok(lock(&self.shared.running)
            .iter()
            .filter(|(_, attempt)| attempt.identity.run_key == *run_key)
            .map(|(token, attempt)| attempt.identity.running(token))
            .collect())
    }

    async fn stop(&self, id: &str, reason: &str) -> Result<(), ComputeError> {
        let running = lock(&self.shared.running);
        if let Some(attempt) = running.get(id) {
            attempt.stop(reason);
        } else {
            // Also one that is about to start: it was decided upon before whoever stops it looked.
            let mut queued = lock(&self.shared.queued);
            queued.entry(id.to_owned()).or_default().get_or_insert_with(|| reason.to_owned());
        }
        Ok(())
    }
}

/// None of the locks is held while something can panic that leaves its value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
