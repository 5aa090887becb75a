//! One machine as a host's world: SQLite, folders, processes, the system's clock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use cauce_engine::command::Event;
use cauce_engine::{Command, Decision};
use cauce_host::World;
use cauce_local::clock::SystemClock;
use cauce_local::notify::Channels;
use cauce_local::objects::FolderObjects;
use cauce_local::processes::{Processes, Source, TaskDefinition};
use cauce_local::sqlite::SqliteTable;
use cauce_local::state::{RunLock, StateDir, StateError};
use cauce_model::plan::{Plan, TaskKind};
use cauce_model::services::CallPlan;
use cauce_model::{Instant, RunKey};
use cauce_ports::{Clock, RunningTask};

use crate::output::Output;

/// Sees what is decided, for people.
pub(crate) type Watch = Box<dyn Fn(&Command, &Decision)>;

/// The world of `cauce run`.
pub(crate) struct Machine {
    pub(crate) table: SqliteTable,
    pub(crate) objects: FolderObjects,
    pub(crate) channels: Channels,
    pub(crate) clock: SystemClock,
    pub(crate) processes: Processes<FolderObjects, SystemClock>,
    pub(crate) watch: Watch,
    pub(crate) output: Output,
    pub(crate) state: StateDir,
    /// What the images of the project are in ECR, where they have a name of their own there.
    pub(crate) images: Rc<RefCell<BTreeMap<String, String>>>,
    /// The runs that this process drives.
    pub(crate) claims: RefCell<BTreeMap<RunKey, RunLock>>,
    /// A process that stays only for a decision drives no run that follows from it: those are kept here.
    pub(crate) visits: Option<RefCell<Vec<RunKey>>>,
    /// Whether events that its decisions post are decided here: a service does, which starts other pipelines
    /// too; a process of one command leaves them in the store.
    pub(crate) hears: Cell<bool>,
}

impl Machine {
    /// Claims a run for this process, until the process ends or the run is released.
    ///
    /// # Errors
    /// Another process drives it.
    pub(crate) fn lock(&self, key: &RunKey, run: &str) -> Result<(), StateError> {
        let mut claims = self.claims.borrow_mut();
        if !claims.contains_key(key) {
            claims.insert(key.clone(), self.state.lock_run(key, run)?);
        }
        Ok(())
    }

    /// Tells the processes what the task definitions of a plan are here.
    fn register(&self, plan: &Plan) {
        let images = self.images.borrow();
        for task in &plan.tasks {
            let stop_timeout_seconds = u32::try_from(task.stop_timeout_seconds).unwrap_or(u32::MAX);
            let container = match &task.kind {
                TaskKind::Container(container) => container,
                TaskKind::Call(call) if call.local.is_some() => {
                    let definition = TaskDefinition {
                        source: Source::Process { argv_prefix: Vec::new() },
                        secrets: BTreeMap::new(),
                        stop_timeout_seconds,
                    };
                    let family = CallPlan::stand_in_family(&task.name);
                    self.processes.register(&family, definition);
                    continue;
                }
                _ => continue,
            };
            let source = match &container.local {
                // The plan's local command is whole already.
                Some(_) => Source::Process { argv_prefix: Vec::new() },
                None => {
                    let image = images.get(&container.image).unwrap_or(&container.image);
                    Source::Container { image: image.clone() }
                }
            };
            let definition =
                TaskDefinition { source, secrets: container.secrets.clone(), stop_timeout_seconds };
            self.processes.register(&container.task_definition, definition);
        }
    }
}

impl World for Machine {
    type Table = SqliteTable;
    type Objects = FolderObjects;
    type Notifier = Channels;
    type Clock = SystemClock;
    type Programs = Processes<FolderObjects, SystemClock>;

    fn table(&self) -> &SqliteTable {
        &self.table
    }
    fn objects(&self) -> &FolderObjects {
        &self.objects
    }
    fn notifier(&self) -> &Channels {
        &self.channels
    }
    fn clock(&self) -> &SystemClock {
        &self.clock
    }
    fn programs(&self) -> &Processes<FolderObjects, SystemClock> {
        &self.processes
    }
    async fn until(&self, at: Instant) {
        let left = at.micros_since(self.clock.now()).max(0).unsigned_abs();
        #[expect(clippy::disallowed_methods, reason = "this is the timer that everything else waits with")]
        tokio::time::sleep(Duration::from_micros(left)).await;
    }
    fn hears(&self, _event: &Event) -> bool {
        self.hears.get()
    }
    fn decided(&self, command: &Command, decision: &Decision) {
        (self.watch)(command, decision);
    }
    fn warn(&self, message: &str) {
        self.output.talk(&format!("warning: {message}"));
    }
    fn claim(&self, run: &RunKey) -> bool {
        if let Some(left) = self.visits.as_ref().filter(|_| !self.claims.borrow().contains_key(run)) {
            left.borrow_mut().push(run.clone());
            return false;
        }
        match self.lock(run, run.as_str()) {
            Ok(()) => true,
            Err(StateError::Running { .. }) => false,
            Err(error) => {
                self.warn(&error.to_string());
                false
            }
        }
    }
    fn release(&self, run: &RunKey) {
        self.claims.borrow_mut().remove(run);
    }
    fn is_left(&self, run: &RunKey) -> bool {
        // Who has its lock drives it: this process, or one that has it while this one tries.
        !self.claims.borrow().contains_key(run) && self.state.lock_run(run, run.as_str()).is_ok()
    }
    async fn end_survivors(&self, run: &RunKey) -> Result<Vec<RunningTask>, String> {
        self.processes.end_survivors(run).await.map_err(|error| error.to_string())
    }
    fn loaded(&self, plan: &Plan) {
        self.register(plan);
    }
}
