//! What people see of the store: runs by name, a run with its tasks, pools. The command line and the API
//! show the same, because both look here.
//!
//! Looking changes nothing and decides nothing.

use cauce_engine::schedule::Schedule;
use cauce_engine::{Prepared, matrix, slots, status};
use cauce_model::matrix::ItemRecord;
use cauce_model::plan::{Plan, TaskPlan};
use cauce_model::record::{
    AttemptRecord, OUTPUT_MAX, OutputRecord, PIPELINES_LIST, PipelineRecord, RUNS_LIST, Record, RecordError,
    RunRecord, TASK_PREFIX, TaskRecord, pipeline_item, run_item, run_partition,
};
use cauce_model::{Instant, Item, Json, RunRef, TaskStatus};
use cauce_ports::{ObjectError, Objects, Table, TableError};
use serde_json::{Map, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The shape of a run's document; it grows with every change that a reader could stumble over.
const SCHEMA: u32 = 1;

/// Items read at a time.
const PAGE: u32 = 1000;

/// How a pipeline's newest run is named.
pub const LATEST: &str = "@latest";

/// Why something could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The store.
    #[error("the store could not be read")]
    Table(#[from] TableError),
    /// A document.
    #[error("a document could not be read")]
    Objects(#[from] ObjectError),
    /// An item that is no such record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What a name of a run stands for.
#[derive(Debug)]
pub enum Named {
    /// One run.
    Run(Box<RunRecord>),
    /// None; these are all that there are.
    None(Vec<String>),
    /// Runs of several pipelines.
    Several(Vec<String>),
}

/// A run with its plan and task runs.
pub struct RunTasks {
    /// The run.
    pub run: RunRecord,
    /// The plan of its version.
    pub prepared: Arc<Prepared>,
    /// Task runs by task, items of mapped tasks apart.
    pub tasks: BTreeMap<String, TaskRecord>,
    /// Items of mapped tasks by task, in order.
    pub items: BTreeMap<String, Vec<TaskRecord>>,
}

/// A pool of slots: who holds, who waits.
#[derive(Clone, PartialEq, Debug)]
pub struct Pool {
    /// How many slots it has.
    pub slots: i64,
    /// How many are taken.
    pub used: i64,
    /// The holders' names, and how many slots each holds.
    pub holders: Vec<(String, u32)>,
    /// Those in line, in order.
    pub line: Vec<Place>,
}

/// A place in a pool's line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The waiter's name.
    pub holder: String,
    /// How many slots it wants.
    pub slots: i64,
    /// Its priority: the higher goes first.
    pub priority: i64,
    /// Since when it stands there.
    pub since: Option<Instant>,
}

/// Every run from a moment on, oldest first, as `keep` wants.
///
/// # Errors
/// A table that cannot be read.
pub async fn runs(
    table: &impl Table,
    since: Option<Instant>,
    mut keep: impl FnMut(RunRecord),
) -> Result<(), LookError> {
    let from = since.map(position).unwrap_or_default();
    let mut after = None;
    loop {
        let page = table.list(RUNS_LIST, &from, after, PAGE).await?;
        for item in &page.items {
            keep(RunRecord::from_item(item)?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// An item of a pipeline's matrix, whichever of the plan's cases it is of.
///
/// # Errors
/// A table that cannot be read.
pub async fn matrix_item(
    table: &impl Table,
    plan: &Plan,
    key: &str,
) -> Result<Option<ItemRecord>, LookError> {
    let found = table.batch_get(&matrix::places(plan, key)).await?;
    Ok(found.first().map(ItemRecord::from_item).transpose()?)
}

/// The first position of a moment in a list that is ordered by time.
pub fn position(at: Instant) -> String {
    format!("{:020}", at.micros().max(0))
}

/// The run that a person means: `pipeline/run_id`, `pipeline/@latest`, or a run id that only one pipeline
/// has.
///
/// # Errors
/// A table that cannot be read.
pub async fn find(table: &impl Table, named: &str) -> Result<Named, LookError> {
    if let Some((pipeline, run_id)) = named.split_once('/') {
        if run_id != LATEST {
            let run = RunRef { pipeline: pipeline.to_owned(), run_id: run_id.to_owned() };
            if let Some(run) = self::run(table, &run).await? {
                return Ok(Named::Run(Box::new(run)));
            }
        }
        let (mut latest, mut known) = (None, Vec::new());
        runs(table, None, |run| {
            known.push(run.run.to_string());
            if run.run.pipeline == pipeline {
                latest = Some(run);
            }
        })
        .await?;
        let latest = latest.filter(|_| run_id == LATEST);
        return Ok(latest.map_or(Named::None(known), |run| Named::Run(Box::new(run))));
    }
    let (mut found, mut known) = (Vec::new(), Vec::new());
    runs(table, None, |run| {
        known.push(run.run.to_string());
        if run.run.run_id == named {
            found.push(run);
        }
    })
    .await?;
    Ok(match found.len() {
        0 => Named::None(known),
        1 => Named::Run(Box::new(found.swap_remove(0))),
        _ => Named::Several(found.iter().map(|run| run.run.to_string()).collect()),
    })
}

/// A run's own record.
///
/// # Errors
/// A table that cannot be read.
pub async fn run(table: &impl Table, run: &RunRef) -> Result<Option<RunRecord>, LookError> {
    let item = table.get(&run_item(&run.key())).await?;
    Ok(item.as_ref().map(RunRecord::from_item).transpose()?)
}

/// A pipeline's record, if it is deployed or has run here.
///
/// # Errors
/// A table that cannot be read.
pub async fn pipeline(table: &impl Table, name: &str) -> Result<Option<PipelineRecord>, LookError> {
    let item = table.get(&pipeline_item(name)).await?;
    Ok(item.as_ref().map(PipelineRecord::from_item).transpose()?)
}

/// All pipelines, by name.
///
/// # Errors
/// A table that cannot be read.
pub async fn pipelines(table: &impl Table) -> Result<Vec<PipelineRecord>, LookError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = table.list(PIPELINES_LIST, "", after, PAGE).await?;
        for item in &page.items {
            found.push(PipelineRecord::from_item(item)?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// A run with everything that is known of it.
///
/// # Errors
/// A table that cannot be read.
pub async fn tasks(
    table: &impl Table,
    run: RunRecord,
    prepared: Arc<Prepared>,
) -> Result<RunTasks, LookError> {
    let (mut tasks, mut items) = (BTreeMap::new(), BTreeMap::<String, Vec<TaskRecord>>::new());
    for item in range(table, &run_partition(&run.key()), TASK_PREFIX).await? {
        let record = TaskRecord::from_item(&item)?;
        if record.index.is_some() {
            items.entry(record.task.clone()).or_default().push(record);
        } else {
            tasks.insert(record.task.clone(), record);
        }
    }
    for (task, items) in &mut items {
        if let Some(parent) = tasks.get(task) {
            items.retain(|item| is_of_list(parent, item));
        }
    }
    Ok(RunTasks { run, prepared, tasks, items })
}

/// Whether an item is of the list that its task has now: the list of an earlier generation may have been longer,
/// and while the task is under way, only what it has begun since is its own.
fn is_of_list(parent: &TaskRecord, item: &TaskRecord) -> bool {
    let is_in = parent.item_count.is_none_or(|count| item.index.is_some_and(|index| index < count));
    is_in && (parent.status.is_terminal() || item.generation == parent.generation)
}

/// The items of a list that is ordered by time, from a moment on.
///
/// # Errors
/// A table that cannot be read.
pub async fn listed(table: &impl Table, list: &str, since: Instant) -> Result<Vec<Item>, LookError> {
    let from = position(since);
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = table.list(list, &from, after, PAGE).await?;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(items);
        }
    }
}

/// The slots of a pool; `None` when nobody ever took one.
///
/// # Errors
/// A table that cannot be read.
pub async fn pool(table: &impl Table, name: &str) -> Result<Option<Pool>, LookError> {
    let key = slots::pool_item(name);
    let Some(item) = table.get(&key).await? else { return Ok(None) };
    let line = range(table, &key.partition, slots::WAITER_PREFIX).await?;
    let holders = texts(&item, "holders");
    let lease = |lease: &String| {
        let (holder, slots) = slots::parse_lease(lease);
        (holder.to_owned(), slots)
    };
    let holders: Vec<(String, u32)> = holders.iter().map(lease).collect();
    let holds: BTreeSet<&str> = holders.iter().map(|(holder, _)| holder.as_str()).collect();
    let place = |place: &Item| {
        let text = |field: &str| place.body.get(field).and_then(Json::as_str).map(str::to_owned);
        // A place that was granted goes in a moment.
        let holder = text("holder").filter(|holder| !holds.contains(holder.as_str()))?;
        Some(Place {
            holder,
            slots: number(place, "slots"),
            priority: slots::priority_of(&place.key).unwrap_or(0),
            since: text("since").and_then(|text| Instant::parse(&text).ok()),
        })
    };
    let line = line.iter().filter_map(place).collect();
    Ok(Some(Pool { slots: number(&item, "slots"), used: number(&item, "used"), holders, line }))
}

/// An output's value; `None` when its document is gone.
///
/// # Errors
/// A document that cannot be read.
pub async fn output(objects: &impl Objects, output: &OutputRecord) -> Result<Option<Json>, LookError> {
    match output {
        OutputRecord::Inline(value) => Ok(Some(value.clone())),
        OutputRecord::Uri(uri) => {
            let bytes = objects.get(uri, OUTPUT_MAX as u64).await?;
            Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
        }
    }
}

/// Every item of a partition whose sort key begins with a prefix.
///
/// # Errors
/// A table that cannot be read.
pub async fn range(table: &impl Table, partition: &str, prefix: &str) -> Result<Vec<Item>, TableError> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = table.query(partition, prefix, after, PAGE).await?;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(items);
        }
    }
}

/// The next moment at which one of the schedules starts a run, with its zone.
pub fn next_tick(plan: &Plan, now: Instant) -> Option<(Instant, String)> {
    let schedules = plan.schedules.iter().filter_map(|schedule| Schedule::new(schedule).ok());
    schedules
        .filter_map(|schedule| Some((schedule.next_to_end(now)?.end, schedule.zone().name().to_owned())))
        .min_by_key(|(at, _)| *at)
}

impl RunTasks {
    /// The tasks in the order of the plan, each with its status in the present generation and its
    /// record, if anything was decided about it.
    pub fn each(&self) -> impl Iterator<Item = (&TaskPlan, TaskStatus, Option<&TaskRecord>)> {
        self.prepared.plan.tasks.iter().zip(0..).map(|(task, index)| {
            let record = self.tasks.get(&task.name);
            (task, status::effective(&self.run, index, record), record)
        })
    }

    /// A task's status in the present generation.
    pub fn status_of(&self, index: u32) -> TaskStatus {
        let task = self.prepared.task(index);
        status::effective(&self.run, index, self.tasks.get(&task.name))
    }

    /// The run whole, as `cauce show --json` and the API give it. `interrupted`: the process that drove it
    /// is gone; `place`: where a log is, from its name.
    ///
    /// # Errors
    /// An output that cannot be read.
    pub async fn document(
        &self,
        objects: &impl Objects,
        interrupted: bool,
        place: impl Fn(&str) -> String,
    ) -> Result<Json, LookError> {
        let run = &self.run;
        let mut tasks = Map::new();
        let mut datasets = Vec::new();
        for (index, (plan, status, record)) in (0..).zip(self.each()) {
            let current = record.filter(|_| status != TaskStatus::Waiting);
            let output = match current.and_then(|record| record.output.as_ref()) {
                Some(output) => self::output(objects, output).await?,
                None => None,
            };
            let open = plan.needs.iter().filter(|up| !self.status_of(**up).is_terminal());
            let waiting_for: Vec<&str> = match status {
                TaskStatus::Waiting => open.map(|up| self.prepared.task(*up).name.as_str()).collect(),
                _ => Vec::new(),
            };
            let mut task = json!({
                "status": status,
                "allowed_failure": current.is_some_and(|record| record.allowed_failure),
                "attempts": record.map(|record| attempts(record, &place)).unwrap_or_default(),
                "output": output,
                "fence": record.map(|record| record.fence),
                "waiting_for": waiting_for,
                "skipped_because": current.filter(|_| status == TaskStatus::Skipped).and_then(|r| r.reason.as_ref()),
                "reason": current.and_then(|record| record.reason.as_ref()),
                "started_at": current.and_then(|record| record.started_at),
                "ended_at": current.and_then(|record| record.ended_at),
            });
            if let Some(good) = status::made_good(&self.prepared, index, |task| self.status_of(task)) {
                task["made_good_by"] = json!(self.prepared.task(good).name);
            }
            if let Some(approval) = current.and_then(|record| record.approval.as_ref()) {
                task["approval"] = json!({
                    "message": approval.message,
                    "asked_at": approval.asked_at,
                    "until": approval.until,
                    "answer": approval.answer,
                });
            }
            if plan.map.is_some() {
                task["items"] = self.items_document(&plan.name, &place);
            }
            for written in current.iter().flat_map(|record| &record.datasets) {
                if let Some(number) = written.number {
                    let update = json!({"dataset": written.dataset, "number": number, "task": plan.name});
                    datasets.push(update);
                }
            }
            tasks.insert(plan.name.clone(), task);
        }
        Ok(json!({
            "schema": SCHEMA,
            "run_id": run.run.run_id,
            "pipeline": run.run.pipeline,
            "version": run.version,
            "generation": run.generation,
            "status": run.status,
            "interrupted": interrupted,
            "trigger": run.trigger.kind,
            "triggered_by": run.trigger.by,
            "params": run.params,
            "logical_date": run.logical_date,
            "data_interval_start": run.data_interval_start,
            "data_interval_end": run.data_interval_end,
            "created_at": run.created_at,
            "started_at": run.started_at,
            "ended_at": run.ended_at,
            "message": run.message,
            "history": run.history,
            "datasets": datasets,
            "tasks": tasks,
        }))
    }

    fn items_document(&self, task: &str, place: &impl Fn(&str) -> String) -> Json {
        let items = self.items.get(task).map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .map(|item| {
                json!({
                    "index": item.index,
                    "status": item.status,
                    "attempts": attempts(item, place),
                })
            })
            .collect()
    }
}

/// A run in a few fields, for lists.
pub fn summary(run: &RunRecord) -> Json {
    json!({
        "run_id": run.run.run_id,
        "pipeline": run.run.pipeline,
        "version": run.version,
        "generation": run.generation,
        "status": run.status,
        "trigger": run.trigger.kind,
        "logical_date": run.logical_date,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "message": run.message,
    })
}

fn attempts(record: &TaskRecord, place: &impl Fn(&str) -> String) -> Vec<Json> {
    let of_attempt = |attempt: &AttemptRecord| {
        let mut told = json!({
            "number": attempt.number,
            "generation": attempt.generation,
            "started_at": attempt.started_at,
            "ended_at": attempt.ended_at,
            "exit_code": attempt.exit_code,
            "class": attempt.class,
            "message": attempt.message,
            "log": attempt.log.as_ref().map(|log| place(log)),
        });
        if let Some(size) = attempt.size {
            told["cpu"] = json!(size.cpu);
            told["memory"] = json!(size.memory);
        }
        told
    };
    record.attempts.iter().map(of_attempt).collect()
}

/// A number among an item's fields.
pub fn number(item: &Item, field: &str) -> i64 {
    item.body.get(field).and_then(Json::as_i64).unwrap_or(0)
}

/// A set of texts among an item's fields.
pub fn texts(item: &Item, field: &str) -> Vec<String> {
    let set = item.body.get(field).and_then(Json::as_array);
    set.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}
