//! The store, for those who only look: runs, task runs, plans, pools; on this machine or in a deployed
//! environment.
//!
//! Looking creates nothing: a project that has never run anything has no state folder, and keeps
//! having none.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use cauce_driver::look::{self, LATEST, Named, Pool, RunTasks, texts};
use cauce_driver::{look_datasets, plan_uri};
use cauce_engine::status::is_under_way;
use cauce_engine::{Prepared, slots};
use cauce_local::clock::SystemClock;
use cauce_local::objects::FolderObjects;
use cauce_local::sqlite::SqliteTable;
use cauce_local::state::StateDir;
use cauce_model::audit::audit_partition;
use cauce_model::dataset::{ConsumerRecord, DatasetRecord, WaitingRecord};
use cauce_model::event::{LedgerRecord, ledger_partition};
use cauce_model::plan::{PLAN_SCHEMA, Plan, TaskKind, TaskPlan};
use cauce_model::record::{
    PipelineRecord, Record, RunRecord, TASK_PREFIX, TaskRecord, run_item, run_partition, task_item,
};
use cauce_model::streak::{StreakRecord, streak_item};
use cauce_model::{AuditRecord, FailureClass, Instant, Item, Json, Key, RunRef, TaskStatus};
use cauce_ports::{Objects, Table};

use crate::context::Context;
use crate::error::Failure;
use crate::last_word;
use crate::place::{AnyObjects, AnyTable};
use crate::project::{PROJECT_FILE, shown};
use crate::suggest::nearest;
use crate::there::There;

/// Largest plan that is read, in bytes.
const PLAN_BYTES_MAX: u64 = 64 * 1024 * 1024;

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

/// A run with its plan and task runs, and who drives it.
pub(crate) struct RunView {
    tasks: RunTasks,
    /// Who drives it.
    pub(crate) engine: Engine,
    /// What a command that is named to somebody needs besides, to act where this run is.
    pub(crate) env_option: String,
    /// Why data tasks failed, in their own words, by task and item: known on this machine.
    words: BTreeMap<(String, Option<u32>), String>,
}

impl Deref for RunView {
    type Target = RunTasks;

    fn deref(&self) -> &RunTasks {
        &self.tasks
    }
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

/// The state folder that a command without a pipeline file looks into: that of the nearest
/// cauce.yaml, or of the folder itself.
fn state_dir(context: &Context) -> PathBuf {
    let here = &context.environment.current_dir;
    let root = here.ancestors().find(|above| above.join(PROJECT_FILE).is_file()).unwrap_or(here);
    context.state_dir_of(root)
}

/// Whether cauce.yaml counts as it is now: here every command that carries something out tells the store of it, there
/// the newest deployment has.
pub(crate) fn is_here(store: Option<&Store>) -> bool {
    store.is_none_or(|store| store.state().is_some())
}

/// Opens a state folder, and tells of one that was not whole.
///
/// # Errors
/// A folder of a newer version, one of another program, or one that is not permitted.
pub(crate) fn open_state(root: &Path, context: &Context) -> Result<StateDir, Failure> {
    let lost = StateDir::not_whole(root);
    let state = StateDir::open(root)?;
    if let Some(lost) = lost {
        context.output.talk(&format!(
            "warning: the state folder was not whole: {} was missing or empty, and is written again; look whether \
             anything else is missing, and restore that from a copy",
            shown(&lost, context)
        ));
    }
    Ok(state)
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
        if !StateDir::exists(&root) {
            return Ok(None);
        }
        let state = open_state(&root, context)?;
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

    /// The table.
    pub(crate) const fn table(&self) -> &AnyTable {
        &self.table
    }

    /// The documents.
    pub(crate) const fn objects(&self) -> &AnyObjects {
        &self.objects
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
        keep: impl FnMut(RunRecord),
    ) -> Result<(), Failure> {
        Ok(look::runs(&self.table, since, keep).await?)
    }

    /// Finds the run that a person means: `pipeline/run_id`, `pipeline/@latest`, or a run id that
    /// only one pipeline has.
    ///
    /// # Errors
    /// There is none, or several; near names are offered.
    pub(crate) async fn find(&self, named: &str) -> Result<RunRecord, Failure> {
        match look::find(&self.table, named).await? {
            Named::Run(run) => Ok(*run),
            Named::None(known) => Err(unknown(named, &known)),
            Named::Several(names) => {
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
        let engine = self.engine(&run)?;
        let tasks = look::tasks(&self.table, run, prepared).await?;
        let words = self.words(&tasks);
        Ok(RunView { tasks, engine, env_option: self.env_option.clone(), words })
    }

    /// Why data tasks failed, from their logs.
    fn words(&self, tasks: &RunTasks) -> BTreeMap<(String, Option<u32>), String> {
        let Some(state) = &self.state else { return BTreeMap::new() };
        let is_data = |task: &TaskPlan| matches!(&task.kind, TaskKind::Container(of) if of.config.is_some());
        let of_data = tasks.each().filter(|(task, ..)| is_data(task));
        let records = of_data.flat_map(|(task, _, record)| {
            record.into_iter().chain(tasks.items.get(&task.name).into_iter().flatten())
        });
        let failed = records.filter_map(|record| {
            let attempt =
                record.attempts.last().filter(|attempt| attempt.class == Some(FailureClass::Exit))?;
            let said = last_word::of_log(&state.logs().join(attempt.log.as_ref()?))?;
            Some(((record.task.clone(), record.index), said))
        });
        failed.collect()
    }

    /// A run whole, as `show --json` prints it.
    ///
    /// # Errors
    /// An output that cannot be read.
    pub(crate) async fn document(&self, view: &RunView) -> Result<Json, Failure> {
        let place = |log: &str| self.log_place(log);
        Ok(view.document(&self.objects, view.is_interrupted(), place).await?)
    }

    /// A run's own record.
    ///
    /// # Errors
    /// A table that cannot be read; a run that is gone.
    pub(crate) async fn run(&self, run: &RunRef) -> Result<RunRecord, Failure> {
        let found = look::run(&self.table, run).await?;
        found.ok_or_else(|| Failure::system(format!("the run {run} is gone from the store")))
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
        Ok(look::pipeline(&self.table, name).await?)
    }

    /// The runs of a pipeline that failed one after the other, by their ids, where that is counted.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn failed_in_a_row(&self, pipeline: &str) -> Result<Vec<String>, Failure> {
        let item = self.table.get(&streak_item(pipeline)).await?;
        let streak = item.map(|item| StreakRecord::from_item(&item)).transpose()?;
        Ok(streak.unwrap_or_default().failed)
    }

    /// A dataset, once it was updated.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn dataset(&self, name: &str) -> Result<Option<DatasetRecord>, Failure> {
        Ok(look_datasets::dataset(&self.table, name).await?)
    }

    /// The names of all datasets that were ever updated.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn datasets(&self) -> Result<Vec<String>, Failure> {
        Ok(look_datasets::datasets(&self.table).await?)
    }

    /// A pipeline that datasets start, with what waits for it.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn consumer(
        &self,
        pipeline: &str,
    ) -> Result<Option<(ConsumerRecord, Vec<WaitingRecord>)>, Failure> {
        Ok(look_datasets::consumer(&self.table, pipeline).await?)
    }

    /// The pipelines that are deployed, by name.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn pipelines(&self) -> Result<Vec<PipelineRecord>, Failure> {
        Ok(look::pipelines(&self.table).await?)
    }

    /// The slots of a pool; `None` when nobody ever took one.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn pool(&self, name: &str) -> Result<Option<Pool>, Failure> {
        Ok(look::pool(&self.table, name).await?)
    }

    /// The items of a list that is ordered by time, from a moment on.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn listed(&self, list: &str, since: Instant) -> Result<Vec<Item>, Failure> {
        Ok(look::listed(&self.table, list, since).await?)
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
            pools.insert(slots::pool_of_run(&run));
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

    /// Whether the task run of a holder's name is under way.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn is_under_way(&self, name: &str) -> Result<bool, Failure> {
        let holder = slots::Holder::parse(name);
        let Some(slots::Holder { run_key, generation, attempt: Some((task, index, _)) }) = holder else {
            return Ok(false);
        };
        let run = self.table.get(&run_item(&run_key)).await?;
        let task = self.table.get(&task_item(&run_key, &task, index)).await?;
        let (Some(run), Some(task)) = (run, task) else { return Ok(false) };
        Ok(is_under_way(generation, &RunRecord::from_item(&run)?, &TaskRecord::from_item(&task)?))
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

    /// The run of a holder's name, where nobody drives it any more: what it holds comes back when somebody does
    /// something about it.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn interrupted(&self, name: &str) -> Result<Option<RunRef>, Failure> {
        let Some(holder) = slots::Holder::parse(name) else { return Ok(None) };
        let Some(item) = self.table.get(&run_item(&holder.run_key)).await? else { return Ok(None) };
        let run = RunRecord::from_item(&item)?;
        Ok(self.is_interrupted(&run)?.then_some(run.run))
    }

    /// Whether the record says that a run is under way and nobody drives it any more.
    ///
    /// # Errors
    /// A lock that cannot be looked at.
    pub(crate) fn is_interrupted(&self, run: &RunRecord) -> Result<bool, Failure> {
        Ok(!run.status.is_terminal() && self.engine(run)? == Engine::Nobody)
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
        let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| {
            unusable(format!("{uri} is damaged ({error})"))
                .help("restore it from a copy, or start a run of the pipeline's file, which writes it anew")
        })?;
        if plan.schema > PLAN_SCHEMA {
            return Err(unusable("a newer version of cauce wrote it".to_owned()));
        }
        let prepared = Arc::new(Prepared::new(plan, version));
        self.plans.borrow_mut().insert(version.to_owned(), Arc::clone(&prepared));
        Ok(prepared)
    }

    async fn range(&self, partition: &str, prefix: &str) -> Result<Vec<Item>, Failure> {
        Ok(look::range(&self.table, partition, prefix).await?)
    }
}

impl RunView {
    /// Why the last attempt of a data task failed, in its own words.
    pub(crate) fn last_word(&self, record: &TaskRecord) -> Option<&str> {
        self.words.get(&(record.task.clone(), record.index)).map(String::as_str)
    }

    /// Whether the record says that the run is under way and nobody drives it any more.
    pub(crate) fn is_interrupted(&self) -> bool {
        !self.run.status.is_terminal() && self.engine == Engine::Nobody
    }

    /// The run's status as people see it.
    pub(crate) fn status(&self) -> String {
        if self.is_interrupted() { "interrupted".to_owned() } else { self.run.status.to_string() }
    }

    /// Whether the run ended before anything was decided about a task.
    pub(crate) fn did_not_run(&self, task: u32) -> bool {
        self.run.status.is_terminal() && self.status_of(task) == TaskStatus::Waiting
    }

    /// A task's status as people see it.
    pub(crate) fn task_status(&self, task: u32) -> &'static str {
        if self.did_not_run(task) { "did not run" } else { self.status_of(task).as_str() }
    }

    /// Whether the run ended before anything was decided about any of its tasks.
    pub(crate) fn never_began(&self) -> bool {
        (0..).zip(self.each()).all(|(task, _)| self.did_not_run(task))
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
    let root = state_dir(context);
    let place = shown(&root, context);
    let missing = if StateDir::exists(&root) { "table.sqlite" } else { "state" };
    Failure::bad_input(format!("no runs yet: there is no {missing} in {place}")).help(
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
