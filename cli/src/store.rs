//! The store, for those who only look: runs, task runs, plans, pools; on this machine or in a deployed
//! environment.
//!
//! Looking creates nothing: a project that has never run anything has no state folder, and keeps
//! having none.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use cauce_driver::plan_uri;
use cauce_engine::{Prepared, slots, status};
use cauce_local::clock::SystemClock;
use cauce_local::objects::FolderObjects;
use cauce_local::sqlite::SqliteTable;
use cauce_local::state::StateDir;
use cauce_model::audit::audit_partition;
use cauce_model::event::{LedgerRecord, ledger_partition};
use cauce_model::plan::{PLAN_SCHEMA, Plan, TaskPlan};
use cauce_model::record::{
    OUTPUT_MAX, OutputRecord, PIPELINES_LIST, PipelineRecord, RUNS_LIST, Record, RunRecord, TASK_PREFIX,
    TaskRecord, pipeline_item, run_item, run_partition, task_item,
};
use cauce_model::{AuditRecord, Instant, Item, Json, Key, RunRef, TaskStatus};
use cauce_ports::{Objects, Table};

use crate::context::Context;
use crate::error::Failure;
use crate::place::{AnyObjects, AnyTable};
use crate::project::{PROJECT_FILE, shown};
use crate::suggest::nearest;
use crate::there::There;

/// Largest plan that is read, in bytes.
const PLAN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Items read at a time.
const PAGE: u32 = 1000;

/// How a pipeline's newest run is named.
const LATEST: &str = "@latest";

/// Where documents (plans, inputs, large outputs) are kept, as a URI below which they lie.
pub(crate) fn documents_root(state_dir: &Path) -> String {
    format!("file://{}/documents", state_dir.display())
}

/// A project's store.
pub(crate) struct Store {
    table: AnyTable,
    objects: AnyObjects,
    /// The state folder, on this machine.
    state: Option<StateDir>,
    /// Below which URI documents lie.
    documents: String,
    /// What a command that is named to somebody needs besides, to act here: ` --env dev`, or nothing.
    env_option: String,
    plans: RefCell<BTreeMap<String, Arc<Prepared>>>,
}

/// A run with its plan and task runs.
pub(crate) struct RunView {
    /// The run.
    pub(crate) run: RunRecord,
    /// The plan of its version.
    pub(crate) prepared: Arc<Prepared>,
    /// Task runs by task, items of mapped tasks apart.
    pub(crate) tasks: BTreeMap<String, TaskRecord>,
    /// Items of mapped tasks by task, in order.
    pub(crate) items: BTreeMap<String, Vec<TaskRecord>>,
    /// Who drives it.
    pub(crate) engine: Engine,
    /// What a command that is named to somebody needs besides, to act where this run is.
    pub(crate) env_option: String,
}

/// Who drives a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Engine {
    /// A process, by its number when it has said so.
    Process(Option<u32>),
    /// Step Functions: nobody has to stay for it to go on.
    Platform,
    /// Nobody: it has ended, or the process that drove it is gone.
    Nobody,
}

/// A pool of slots: who holds, who waits.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Pool {
    /// How many slots it has.
    pub(crate) slots: i64,
    /// How many are taken.
    pub(crate) used: i64,
    /// The holders' names, and how many slots each holds.
    pub(crate) holders: Vec<(String, u32)>,
    /// Those in line, in order.
    pub(crate) line: Vec<Place>,
}

/// A place in a pool's line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The waiter's name.
    pub(crate) holder: String,
    /// How many slots it wants.
    pub(crate) slots: i64,
    /// Its priority: the higher goes first.
    pub(crate) priority: i64,
    /// Since when it stands there.
    pub(crate) since: Option<Instant>,
}

/// The state folder that a command without a pipeline file looks into: that of the nearest
/// cauce.yaml, or of the folder itself.
fn state_dir(context: &Context) -> PathBuf {
    let here = &context.environment.current_dir;
    let root = here.ancestors().find(|above| above.join(PROJECT_FILE).is_file()).unwrap_or(here);
    context.state_dir_of(root)
}

impl Store {
    /// Opens the store that the context names, if there is one.
    ///
    /// # Errors
    /// A state folder or a table of a newer version, a broken one, or one that is not permitted.
    pub(crate) fn open(context: &Context) -> Result<Option<Self>, Failure> {
        if let Some(there) = context.there()? {
            return Ok(Some(Self::there(&there)));
        }
        let root = state_dir(context);
        if !root.join("format").exists() {
            return Ok(None);
        }
        let state = StateDir::open(&root)?;
        if !state.table().exists() {
            return Ok(None);
        }
        Self::at(state).map(Some)
    }

    /// The store of a state folder.
    ///
    /// # Errors
    /// A table of a newer version, a broken one, or one that is not permitted.
    pub(crate) fn at(state: StateDir) -> Result<Self, Failure> {
        let table = SqliteTable::open(&state.table(), SystemClock)?;
        let project = state.root().parent().unwrap_or(state.root()).to_owned();
        let objects = FolderObjects::durable(state.objects(), project);
        Ok(Self {
            table: AnyTable::Here(table),
            objects: AnyObjects::Here(objects),
            documents: documents_root(state.root()),
            state: Some(state),
            env_option: String::new(),
            plans: RefCell::default(),
        })
    }

    /// The store of a deployed environment.
    pub(crate) fn there(there: &Rc<There>) -> Self {
        Self {
            table: AnyTable::There(Rc::clone(there)),
            objects: AnyObjects::There(Rc::clone(there)),
            documents: there.documents().to_owned(),
            state: None,
            env_option: there.env_option(),
            plans: RefCell::default(),
        }
    }

    /// Opens the store, for commands that name a run.
    ///
    /// # Errors
    /// As [`Store::open`], and that nothing has run here.
    pub(crate) fn require(context: &Context) -> Result<Self, Failure> {
        Self::open(context)?.ok_or_else(|| nothing_yet(context))
    }

    /// The state folder; `None` in a deployed environment.
    pub(crate) const fn state(&self) -> Option<&StateDir> {
        self.state.as_ref()
    }

    /// Where an attempt's log is, from its name: a file here, the name of a log stream there.
    pub(crate) fn log_place(&self, log: &str) -> String {
        match &self.state {
            Some(state) => state.logs().join(log).display().to_string(),
            None => log.to_owned(),
        }
    }

    /// Every run from a moment on, oldest first, as `keep` wants.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn runs(
        &self,
        since: Option<Instant>,
        mut keep: impl FnMut(RunRecord),
    ) -> Result<(), Failure> {
        let from = since.map(|at| format!("{:020}", at.micros().max(0))).unwrap_or_default();
        let mut after = None;
        loop {
            let page = self.table.list(RUNS_LIST, &from, after, PAGE).await?;
            for item in &page.items {
                keep(RunRecord::from_item(item)?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Finds the run that a person means: `pipeline/run_id`, `pipeline/@latest`, or a run id that
    /// only one pipeline has.
    ///
    /// # Errors
    /// There is none, or several; near names are offered.
    pub(crate) async fn find(&self, named: &str) -> Result<RunRecord, Failure> {
        if let Some((pipeline, run_id)) = named.split_once('/') {
            if run_id != LATEST {
                let run = RunRef { pipeline: pipeline.to_owned(), run_id: run_id.to_owned() };
                if let Some(item) = self.table.get(&run_item(&run.key())).await? {
                    return Ok(RunRecord::from_item(&item)?);
                }
            }
            let (mut latest, mut known) = (None, Vec::new());
            self.runs(None, |run| {
                known.push(run.run.to_string());
                if run.run.pipeline == pipeline {
                    latest = Some(run);
                }
            })
            .await?;
            return match latest.filter(|_| run_id == LATEST) {
                Some(run) => Ok(run),
                None => Err(unknown(named, &known)),
            };
        }
        let (mut found, mut known) = (Vec::new(), Vec::new());
        self.runs(None, |run| {
            known.push(run.run.to_string());
            if run.run.run_id == named {
                found.push(run);
            }
        })
        .await?;
        match found.len() {
            0 => Err(unknown(named, &known)),
            1 => Ok(found.swap_remove(0)),
            _ => {
                let names: Vec<String> = found.iter().map(|run| run.run.to_string()).collect();
                Err(Failure::bad_input(format!("several pipelines have a run '{named}'"))
                    .help(format!("name one of {}", names.join(", "))))
            }
        }
    }

    /// A run with everything that is known of it.
    ///
    /// # Errors
    /// A table or a plan that cannot be read.
    pub(crate) async fn view(&self, run: RunRecord) -> Result<RunView, Failure> {
        let prepared = self.plan(&run).await?;
        let (mut tasks, mut items) = (BTreeMap::new(), BTreeMap::<String, Vec<TaskRecord>>::new());
        for item in self.range(&run_partition(&run.key()), TASK_PREFIX).await? {
            let record = TaskRecord::from_item(&item)?;
            if record.index.is_some() {
                items.entry(record.task.clone()).or_default().push(record);
            } else {
                tasks.insert(record.task.clone(), record);
            }
        }
        let engine = self.engine(&run)?;
        let env_option = self.env_option.clone();
        Ok(RunView { run, prepared, tasks, items, engine, env_option })
    }

    /// A run's own record.
    ///
    /// # Errors
    /// A table that cannot be read; a run that is gone.
    pub(crate) async fn run(&self, run: &RunRef) -> Result<RunRecord, Failure> {
        match self.table.get(&run_item(&run.key())).await? {
            Some(item) => Ok(RunRecord::from_item(&item)?),
            None => Err(Failure::system(format!("the run {run} is gone from the store"))),
        }
    }

    /// The audit entries of a day in UTC, `1997-01-05`, oldest first.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn audit(&self, day: &str) -> Result<Vec<AuditRecord>, Failure> {
        let items = self.range(&audit_partition(day), "").await?;
        Ok(items.iter().map(AuditRecord::from_item).collect::<Result<_, _>>()?)
    }

    /// What became of the events of a day in UTC, oldest first.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn ledger(&self, day: &str) -> Result<Vec<LedgerRecord>, Failure> {
        let items = self.range(&ledger_partition(day), "").await?;
        let mut entries: Vec<LedgerRecord> =
            items.iter().map(LedgerRecord::from_item).collect::<Result<_, _>>()?;
        entries.sort_by_key(|entry| (entry.at, entry.decided_at));
        Ok(entries)
    }

    /// A pipeline's record, once a run of it was started here.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn pipeline(&self, name: &str) -> Result<Option<PipelineRecord>, Failure> {
        let item = self.table.get(&pipeline_item(name)).await?;
        Ok(item.as_ref().map(PipelineRecord::from_item).transpose()?)
    }

    /// The pipelines that are deployed, by name.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn pipelines(&self) -> Result<Vec<PipelineRecord>, Failure> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.table.list(PIPELINES_LIST, "", after, PAGE).await?;
            for item in &page.items {
                found.push(PipelineRecord::from_item(item)?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// The slots of a pool; `None` when nobody ever took one.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn pool(&self, name: &str) -> Result<Option<Pool>, Failure> {
        let key = slots::pool_item(name);
        let Some(item) = self.table.get(&key).await? else { return Ok(None) };
        let line = self.range(&key.partition, slots::WAITER_PREFIX).await?;
        let waiting = texts(&item, "waiting");
        let place = |place: &Item| {
            let text = |field: &str| place.body.get(field).and_then(Json::as_str).map(str::to_owned);
            let holder = text("holder").filter(|holder| waiting.contains(holder))?;
            Some(Place {
                holder,
                slots: number(place, "slots"),
                priority: slots::priority_of(&place.key).unwrap_or(0),
                since: text("since").and_then(|text| Instant::parse(&text).ok()),
            })
        };
        let lease = |lease: &String| {
            let (holder, slots) = slots::parse_lease(lease);
            (holder.to_owned(), slots)
        };
        Ok(Some(Pool {
            slots: number(&item, "slots"),
            used: number(&item, "used"),
            holders: texts(&item, "holders").iter().map(lease).collect(),
            line: line.iter().filter_map(place).collect(),
        }))
    }

    /// What a gate has heard of so far: the endings that arrived at it, as `<member>:<status>`, and
    /// whether it is open. `None` when nobody arrived yet.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn gate(&self, key: &Key) -> Result<Option<(usize, bool)>, Failure> {
        let Some(item) = self.table.get(key).await? else { return Ok(None) };
        let is_open = item.body.get("status").and_then(Json::as_str) == Some("open");
        Ok(Some((texts(&item, "done").len(), is_open)))
    }

    /// The pools in which unfinished runs hold or wait, by name.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn pools_in_use(&self) -> Result<BTreeSet<String>, Failure> {
        let mut open = Vec::new();
        self.runs(None, |run| {
            if !run.status.is_terminal() {
                open.push(run);
            }
        })
        .await?;
        let mut pools = BTreeSet::new();
        for run in open {
            pools.insert(slots::active_runs_pool(&run.run.pipeline));
            for item in self.range(&run_partition(&run.key()), TASK_PREFIX).await? {
                let task = TaskRecord::from_item(&item)?;
                if task.generation == run.generation && !task.status.is_terminal() {
                    pools.extend(task.holds.into_iter().map(|hold| hold.pool));
                    pools.extend(task.waits_for);
                }
            }
        }
        Ok(pools)
    }

    /// Since when a holder has what it holds.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn held_since(&self, name: &str) -> Result<Option<Instant>, Failure> {
        let Some(holder) = slots::Holder::parse(name) else { return Ok(None) };
        let Some((task, index, attempt)) = &holder.attempt else {
            let item = self.table.get(&run_item(&holder.run_key)).await?;
            return Ok(match item {
                Some(item) => RunRecord::from_item(&item)?.started_at,
                None => None,
            });
        };
        let item = self.table.get(&task_item(&holder.run_key, task, *index)).await?;
        let Some(item) = item else { return Ok(None) };
        let record = TaskRecord::from_item(&item)?;
        Ok(record.attempts.iter().find(|a| a.number == *attempt).map(|attempt| attempt.started_at))
    }

    /// The run that an item of a holder's name belongs to.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn holder(&self, name: &str) -> Result<String, Failure> {
        let Some(holder) = slots::Holder::parse(name) else { return Ok(name.to_owned()) };
        let Some(item) = self.table.get(&run_item(&holder.run_key)).await? else {
            return Ok(name.to_owned());
        };
        let run = RunRecord::from_item(&item)?.run;
        Ok(match holder.attempt {
            None => run.to_string(),
            Some((task, None, _)) => format!("{task} of {run}"),
            Some((task, Some(index), _)) => format!("{task}[{index}] of {run}"),
        })
    }

    /// An output's value; `None` when its document is gone.
    ///
    /// # Errors
    /// A document that cannot be read.
    pub(crate) async fn output(&self, output: &OutputRecord) -> Result<Option<Json>, Failure> {
        match output {
            OutputRecord::Inline(value) => Ok(Some(value.clone())),
            OutputRecord::Uri(uri) => {
                let bytes = self.objects.get(uri, OUTPUT_MAX as u64).await?;
                Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
            }
        }
    }

    /// Who drives a run: its lock tells. A lock is only tried while the record says that the run is
    /// under way, so that looking never stands in the way of a start.
    fn engine(&self, run: &RunRecord) -> Result<Engine, Failure> {
        if run.status.is_terminal() {
            return Ok(Engine::Nobody);
        }
        let Some(state) = &self.state else { return Ok(Engine::Platform) };
        let path = state.root().join("locks").join(run.key().as_str());
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Engine::Nobody),
            Err(error) => return Err(Failure::file("open", &path, &error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Engine::Nobody),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // What cannot be read names nobody: the process may be about to write it.
                let read = file.read_to_string(&mut text).is_ok();
                Ok(Engine::Process(text.trim().parse().ok().filter(|_| read)))
            }
            Err(TryLockError::Error(error)) => Err(Failure::file("lock", &path, &error)),
        }
    }

    async fn plan(&self, run: &RunRecord) -> Result<Arc<Prepared>, Failure> {
        self.plan_of(&run.run.pipeline, &run.version).await
    }

    /// The plan of a pipeline version.
    ///
    /// # Errors
    /// A plan that is gone, cannot be read, or was written by a newer version of this program.
    pub(crate) async fn plan_of(&self, pipeline: &str, version: &str) -> Result<Arc<Prepared>, Failure> {
        if let Some(kept) = self.plans.borrow().get(version) {
            return Ok(Arc::clone(kept));
        }
        let uri = plan_uri(&self.documents, pipeline, version);
        let unusable = |reason: String| {
            Failure::system(format!("the plan of {pipeline}, version {version}, cannot be used: {reason}"))
        };
        let bytes = self.objects.get(&uri, PLAN_BYTES_MAX).await?;
        let bytes = bytes.ok_or_else(|| unusable(format!("there is no {uri}")))?;
        let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        if plan.schema > PLAN_SCHEMA {
            return Err(unusable("a newer version of cauce wrote it".to_owned()));
        }
        let prepared = Arc::new(Prepared::new(plan, version));
        self.plans.borrow_mut().insert(version.to_owned(), Arc::clone(&prepared));
        Ok(prepared)
    }

    async fn range(&self, partition: &str, prefix: &str) -> Result<Vec<Item>, Failure> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let page = self.table.query(partition, prefix, after, PAGE).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(items);
            }
        }
    }
}

impl RunView {
    /// Whether the record says that the run is under way and nobody drives it any more.
    pub(crate) fn is_interrupted(&self) -> bool {
        !self.run.status.is_terminal() && self.engine == Engine::Nobody
    }

    /// The run's status as people see it.
    pub(crate) fn status(&self) -> String {
        if self.is_interrupted() { "interrupted".to_owned() } else { self.run.status.to_string() }
    }

    /// The tasks in the order of the plan, each with its status in the present generation and its
    /// record, if anything was decided about it.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&TaskPlan, TaskStatus, Option<&TaskRecord>)> {
        self.prepared.plan.tasks.iter().zip(0..).map(|(task, index)| {
            let record = self.tasks.get(&task.name);
            (task, status::effective(&self.run, index, record), record)
        })
    }

    /// A task's status in the present generation.
    pub(crate) fn status_of(&self, index: u32) -> TaskStatus {
        let task = self.prepared.task(index);
        status::effective(&self.run, index, self.tasks.get(&task.name))
    }

    /// The task of a name, or near names.
    ///
    /// # Errors
    /// The run's version has no such task.
    pub(crate) fn task(&self, name: &str) -> Result<(u32, &TaskPlan), Failure> {
        self.prepared.find(name).ok_or_else(|| {
            let failure = Failure::bad_input(format!("{} has no task '{name}'", self.run.run));
            let known: Vec<&str> = self.prepared.plan.tasks.iter().map(|task| task.name.as_str()).collect();
            match nearest(name, known.iter().copied()) {
                Some(near) => failure.help(format!("did you mean '{near}'?")),
                None => failure.help(format!("its tasks are {}", known.join(", "))),
            }
        })
    }
}

/// That nothing has run here, and where was looked.
pub(crate) fn nothing_yet(context: &Context) -> Failure {
    let place = shown(&state_dir(context), context);
    Failure::bad_input(format!("no runs yet: there is no state in {place}")).help(
        "start one with 'cauce run FILE'; state lies beside cauce.yaml, go to that folder or name it with --state-dir",
    )
}

/// The same in passing, where there being nothing is an answer.
pub(crate) fn say_nothing_yet(context: &Context) {
    let nothing = nothing_yet(context);
    context.output.talk(&nothing.message);
    context.output.talk(&nothing.help.unwrap_or_default());
}

fn unknown(named: &str, known: &[String]) -> Failure {
    let failure = Failure::bad_input(format!("there is no run '{named}'"));
    if named == LATEST {
        return failure.help("name its pipeline as well: pipeline/@latest");
    }
    let whole = nearest(named, known.iter().map(String::as_str));
    let by_id = || {
        let near = nearest(named, known.iter().filter_map(|run| run.split_once('/')).map(|(_, id)| id))?;
        known.iter().find(|run| run.ends_with(near)).map(String::as_str)
    };
    match whole.or_else(by_id) {
        Some(near) => failure.help(format!("did you mean {near}? 'cauce runs' lists them")),
        None => failure.help("'cauce runs' lists them"),
    }
}

fn number(item: &Item, field: &str) -> i64 {
    item.body.get(field).and_then(Json::as_i64).unwrap_or(0)
}

fn texts(item: &Item, field: &str) -> Vec<String> {
    let set = item.body.get(field).and_then(Json::as_array);
    set.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}
