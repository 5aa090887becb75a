//! Bringing a run into being, or its next generation: the record first, the execution after it, so
//! that a crash between the two leaves something to start and never something unknown.

use crate::command::{Again, Decision, Effect, Existing, Reply, Trigger};
use crate::schedule::Dating;
use crate::status::{effective, task_records};
use crate::stop::Stop;
use crate::{Prepared, View, slots};
use cauce_model::deployment::{VersionRecord, version_item};
use cauce_model::ids::{RunRef, run_execution_name};
use cauce_model::item::{Body, Expect, IndexEntry};
use cauce_model::plan::{DeadlineFrom, Plan, TaskIndex, TaskPlan};
use cauce_model::record::{
    ACTIVE_LIST, DUE_LIST, GenerationRecord, NamedItemsRecord, PipelineRecord, RUNS_LIST, Record, RunRecord,
    TASK_PREFIX, TaskRecord, TeardownRecord, active_item, pipeline_item, run_item, run_partition,
};
use cauce_model::{AuditRecord, Instant, Item, Json, Key, RunKey, TaskStatus, Write, names};
use serde_json::{Map, json};
use std::collections::BTreeMap;

/// What identifies and dates a new run.
#[derive(Clone, PartialEq, Debug)]
pub struct NewRun {
    /// Its id.
    pub run_id: String,
    /// Start of its data.
    pub logical_date: Instant,
    /// The range of its data.
    pub data_interval: (Instant, Instant),
    /// Zone of `ds`.
    pub timezone: String,
    /// When it was due: the end of its data.
    pub scheduled_at: Option<Instant>,
}

/// The run of a pipeline for a date (`1997-01-05`: the data interval that starts on that day), a
/// moment (`1997-01-05T02:00:00Z`: the interval that starts then), or `fallback`.
///
/// # Errors
/// In words: a text that is neither, a date that names no interval.
pub fn dated(plan: &Plan, date: Option<&str>, fallback: Instant) -> Result<NewRun, String> {
    let first = plan.schedules.first().and_then(|schedule| schedule.case.as_deref());
    dated_in(plan, first, date, fallback)
}

/// The same of an item of a case: what is before the date in its run's id is for the caller to add.
///
/// # Errors
/// As above.
pub fn dated_in(
    plan: &Plan,
    case: Option<&str>,
    date: Option<&str>,
    fallback: Instant,
) -> Result<NewRun, String> {
    let dating = Dating::of_case(plan, case).map_err(|error| error.to_string())?;
    let interval = match date {
        None => dating.interval_of_day(dating.ds(fallback)).map_err(|error| error.to_string())?,
        Some(text) => {
            if let Ok(date) = text
                .parse::<jiff::civil::Date>()
                .map_err(|_| ())
                .and_then(|d| if text.contains('T') { Err(()) } else { Ok(d) })
            {
                dating.interval_of_day(date).map_err(|error| error.to_string())?
            } else if let Ok(at) = Instant::parse(text) {
                dating.interval_at(at).map_err(|error| error.to_string())?
            } else {
                return Err(format!(
                    "'{text}' is neither a date (1997-01-05) nor a moment (1997-01-05T02:00:00Z)"
                ));
            }
        }
    };
    Ok(of_interval(&dating, interval))
}

/// The run of a pipeline for one of its data intervals.
pub fn of_interval(dating: &Dating, interval: crate::schedule::Interval) -> NewRun {
    NewRun {
        run_id: dating.run_id(None, interval.logical_date),
        logical_date: interval.logical_date,
        data_interval: (interval.start, interval.end),
        timezone: dating.zone().name().to_owned(),
        scheduled_at: dating.schedule().map(|_| interval.end),
    }
}

/// The input of a run's execution: ids only.
pub fn execution_input(run_key: &RunKey, generation: u32) -> Json {
    json!({"run_key": run_key, "generation": generation})
}

/// A run that is to be written.
pub(crate) struct Planned {
    pub(crate) run: RunRecord,
    pub(crate) writes: Vec<Write>,
    pub(crate) effects: Vec<Effect>,
}

/// Why a run cannot be brought into being.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Refusal {
    NoPipeline(String),
    BadParams(Vec<String>),
    NoTask(String),
    NoItem(String),
    NoSuchItems(String),
    Exists(Box<RunRecord>),
}

impl Refusal {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::NoPipeline(name) => format!("there is no pipeline '{name}'"),
            Self::BadParams(problems) => problems.join("; "),
            Self::NoSuchItems(problem) => problem.clone(),
            Self::NoItem(name) => {
                format!("the runs of {name} are each for an item of its matrix, and none is named")
            }
            Self::NoTask(name) => format!("the pipeline has no task '{name}'"),
            Self::Exists(run) => format!("{} exists and is {}", run.run, run.status),
        }
    }
}

pub(crate) fn decide(trigger: &Trigger, view: &View, now: Instant) -> Result<Decision, Stop> {
    match plan_run(trigger, view, now)? {
        Ok(planned) => {
            let reply = Reply::Ok(json!({
                "run_key": planned.run.key(),
                "run_id": planned.run.run.run_id,
                "generation": planned.run.generation,
                "execution": planned.run.execution,
                "machine": planned.run.machine,
            }));
            Ok(Decision { writes: planned.writes, effects: planned.effects, reply, documents: Vec::new() })
        }
        Err(refusal) => Err(Stop::refuse(names::RUN_REJECTED, refusal.message())),
    }
}

pub(crate) fn plan_run(
    trigger: &Trigger,
    view: &View,
    now: Instant,
) -> Result<Result<Planned, Refusal>, Stop> {
    let name = RunRef { pipeline: trigger.pipeline.clone(), run_id: trigger.run_id.clone() };
    let run_key = name.key();
    view.want([run_item(&run_key), pipeline_item(&trigger.pipeline)])?;
    let Some(deployed) =
        view.item(&pipeline_item(&trigger.pipeline))?.map(PipelineRecord::from_item).transpose()?
    else {
        return Ok(Err(Refusal::NoPipeline(trigger.pipeline.clone())));
    };
    let prepared = view.plan(&trigger.pipeline, &trigger.version)?;
    let item = view.item(&run_item(&run_key))?;
    let existing = item.map(RunRecord::from_item).transpose()?;
    let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));

    if prepared.plan.matrix.is_some() && existing.is_none() && trigger.trigger.item.is_none() {
        return Ok(Err(Refusal::NoItem(trigger.pipeline.clone())));
    }

    let selection = match (&existing, &trigger.existing) {
        (None, _) => None,
        (Some(run), Existing::Next(again)) if run.status.is_terminal() => Some(again.clone()),
        (Some(run), existing) if existing.goes_on() && !run.status.is_terminal() => None,
        (Some(run), _) => return Ok(Err(Refusal::Exists(Box::new(run.clone())))),
    };
    for task in trigger.only.iter().chain(match &selection {
        Some(Again::Task { task, .. } | Again::Only { task }) => Some(task),
        _ => None,
    }) {
        if prepared.find(task).is_none() {
            return Ok(Err(Refusal::NoTask(task.clone())));
        }
    }
    let params = match (&trigger.params, &existing) {
        (None, Some(run)) if run.version == trigger.version => run.params.clone(),
        (given, existing) => {
            // Another version may have other parameters, and takes what it knows of those that the run had.
            let mut before = existing.as_ref().map(|run| run.params.clone());
            if let Some(Json::Object(fields)) = &mut before {
                fields.retain(|name, _| prepared.plan.params.contains_key(name));
            }
            let empty = Map::new();
            let given = match given.as_ref().or(before.as_ref()) {
                None => &empty,
                Some(Json::Object(fields)) => fields,
                Some(_) => {
                    return Ok(Err(Refusal::BadParams(vec!["the parameters are not an object".to_owned()])));
                }
            };
            let declared = prepared.plan.params.iter().map(|(name, spec)| (name.as_str(), spec));
            match cauce_model::params::validate(declared, given) {
                Ok(params) => Json::Object(params),
                Err(problems) => {
                    return Ok(Err(Refusal::BadParams(problems.iter().map(ToString::to_string).collect())));
                }
            }
        }
    };

    let generation = existing.as_ref().map_or(1, |run| run.generation + 1);
    // What new data asked for is still to come, unless this is it.
    let next = existing.as_ref().and_then(|run| run.next.clone()).filter(|next| *next != trigger.trigger);
    let mut effects = Vec::new();
    let (mut carried, mut items_since, mut item_since) = (None, BTreeMap::new(), BTreeMap::new());
    let (mut items_of, mut stands_since) = (None, None);
    let mut history = Vec::new();
    if let Some(run) = &existing {
        let records = task_records(view.range(run_partition(&run_key), TASK_PREFIX.to_owned())?)?;
        let named = selection.as_ref().and_then(Again::named_items);
        if let Some((task, items)) = named
            && let Some(problem) = no_such_items(&prepared, &records, task, items)
        {
            return Ok(Err(Refusal::NoSuchItems(problem)));
        }
        // What the ended generation kept is told by places in its own version's plan.
        let before = if run.carried.is_none() {
            prepared.clone()
        } else {
            view.plan(&trigger.pipeline, &run.version)?
        };
        let kept = carry(run, &before, &prepared, &records, selection.as_ref(), trigger.force);
        carried = RunRecord::carry_bits(&kept.tasks);
        items_since.clone_from(&run.items_since);
        item_since.clone_from(&run.item_since);
        for (task, _) in prepared.plan.tasks.iter().zip(&kept.afresh).filter(|(_, afresh)| **afresh) {
            items_since.insert(task.name.clone(), generation);
            item_since.remove(&task.name);
        }
        if let Some((task, items)) = named {
            let of_task = item_since.entry(task.clone()).or_default();
            of_task.extend(items.iter().map(|item| (*item, generation)));
            items_of = Some(NamedItemsRecord { task: task.clone(), since: generation });
        } else if selection.is_none() {
            items_of.clone_from(&run.items_of);
            stands_since = run.stands_since.or(Some(run.generation));
        }
        history.clone_from(&run.history);
        history.push(past(run));
        if trigger.existing.goes_on() {
            // What the dead engine held.
            effects.extend(
                records.iter().flat_map(|r| &r.holds).map(|h| slots::give_back(&h.pool, &h.holder, h.slots)),
            );
            effects.push(slots::of_ended_run(run));
            // And what it had been granted and not written down yet.
            effects.extend(slots::of_run(&prepared.plan, run).into_iter().map(slots::reclaim));
        }
    }
    let deadline_at =
        prepared.plan.deadline.as_ref().filter(|d| d.from == DeadlineFrom::Scheduled).map(|deadline| {
            // A generation that starts after the deadline of its data counts from now.
            let from = trigger
                .scheduled_at
                .filter(|at| at.plus_seconds(deadline.after_seconds) > now)
                .unwrap_or(now);
            from.plus_seconds(deadline.after_seconds)
        });
    let only = match (&trigger.only, &selection) {
        (Some(task), _) => Some(task.clone()),
        (None, Some(Again::Only { task })) => Some(task.clone()),
        _ => None,
    };
    // A run that keeps its version keeps that version's machines, whatever was deployed since.
    let kept = existing.as_ref().filter(|run| run.version == trigger.version && !trigger.latest);
    let (machine, parts, deployment) = match kept {
        Some(run) => (run.machine.clone(), run.parts.clone(), run.deployment.clone()),
        None => pins(trigger, deployed, view)?,
    };
    let run = RunRecord {
        execution: run_execution_name(&trigger.run_id, &run_key, generation),
        machine,
        parts,
        deployment,
        run: name,
        generation,
        version: trigger.version.clone(),
        status: cauce_model::RunStatus::Queued,
        trigger: trigger.trigger.clone(),
        params,
        logical_date: trigger.logical_date,
        data_interval_start: trigger.data_interval.0,
        data_interval_end: trigger.data_interval.1,
        timezone: trigger.timezone.clone(),
        created_at: existing.as_ref().map_or(now, |run| run.created_at),
        asked_at: existing.as_ref().and_then(|run| match trigger.existing.goes_on() {
            true => run.asked_at,
            false => Some(now),
        }),
        started_at: None,
        ended_at: None,
        token: None,
        items_since,
        item_since,
        items_of,
        stands_since,
        revived: trigger.existing == Existing::Revive,
        carried,
        force: trigger.force,
        only,
        cancel: None,
        teardown: None,
        deadline_at,
        message: None,
        outbox: Vec::new(),
        next,
        history,
    };
    let mut writes = vec![Write::Put { item: run_row(&run), expect }, audited(trigger, &run, now).write()];
    if let Some(at) = run.deadline_at {
        let (write, effect) = deadline(&run, at);
        writes.push(write);
        effects.push(effect);
    }
    writes.push(active(&run, now));
    if trigger.start {
        effects.push(start(&run));
    }
    Ok(Ok(Planned { run, writes, effects }))
}

/// Machine, parts and deployment.
type Pins = (String, BTreeMap<String, String>, Option<String>);

/// What a run is pinned to: the newest deployment of its version, which for an older version is not the
/// pipeline's own.
fn pins(trigger: &Trigger, deployed: PipelineRecord, view: &View) -> Result<Pins, Stop> {
    if let Some(canary) =
        deployed.canary.filter(|canary| trigger.canary && canary.of.version == trigger.version)
    {
        return Ok((canary.of.machine, canary.of.parts, Some(canary.of.deployment)));
    }
    if deployed.deployment.is_some() && deployed.version != trigger.version {
        let key = version_item(&trigger.pipeline, &trigger.version);
        if let Some(older) = view.item(&key)?.map(VersionRecord::from_item).transpose()? {
            return Ok((older.machine, older.parts, Some(older.deployment)));
        }
    }
    Ok((deployed.machine, deployed.parts, deployed.deployment))
}

/// The audit entry of a run that was asked for.
fn audited(trigger: &Trigger, run: &RunRecord, now: Instant) -> AuditRecord {
    let action = match &trigger.existing {
        _ if run.generation == 1 => "trigger",
        Existing::Resume | Existing::Revive => "resume",
        Existing::Refuse | Existing::Next(_) => "rerun",
    };
    let mut entry = AuditRecord::new(now, action);
    entry.by = Some(trigger.trigger.by.clone().unwrap_or_else(|| trigger.trigger.kind.as_str().to_owned()));
    entry.pipeline = Some(run.run.pipeline.clone());
    entry.run = Some(run.run.to_string());
    entry.task = match &trigger.existing {
        Existing::Next(Again::Task { task, .. } | Again::Only { task }) => Some(task.clone()),
        _ => run.only.clone(),
    };
    entry.version = Some(run.version.clone());
    entry.params = run.params.clone();
    entry.detail = json!({"trigger": run.trigger.kind, "generation": run.generation});
    if let Existing::Next(again) = &trigger.existing
        && let Some((_, items)) = again.named_items()
    {
        entry.detail["items"] = json!(items);
    }
    entry
}

/// The request for a run's next generation, on the version that it is pinned to.
pub(crate) fn next(run: &RunRecord, again: Again) -> Trigger {
    Trigger {
        pipeline: run.run.pipeline.clone(),
        version: run.version.clone(),
        run_id: run.run.run_id.clone(),
        trigger: run.trigger.clone(),
        params: None,
        logical_date: run.logical_date,
        data_interval: (run.data_interval_start, run.data_interval_end),
        timezone: run.timezone.clone(),
        scheduled_at: Some(run.data_interval_end),
        existing: Existing::Next(again),
        latest: false,
        canary: false,
        only: None,
        force: false,
        start: true,
    }
}

/// The generation that makes up for the teardowns which a run that was cut off left undone; `None` when
/// there are none, or when this was that generation already.
pub(crate) fn teardowns(
    run: &RunRecord,
    prepared: &Prepared,
    records: &[TaskRecord],
    now: Instant,
) -> Option<RunRecord> {
    let carried = carry(run, prepared, prepared, records, Some(&Again::Teardowns), false).tasks;
    let is_due = prepared.plan.tasks.iter().zip(&carried).any(|(task, kept)| task.is_teardown() && !kept);
    if run.teardown.is_some() || !is_due {
        return None;
    }
    let generation = run.generation + 1;
    let mut next = run.clone();
    next.history.push(past(run));
    next.generation = generation;
    next.execution = run_execution_name(&run.run.run_id, &run.key(), generation);
    next.status = cauce_model::RunStatus::Queued;
    next.teardown = Some(TeardownRecord { status: run.status, message: run.message.clone() });
    next.carried = RunRecord::carry_bits(&carried);
    next.asked_at = Some(now);
    next.started_at = None;
    next.ended_at = None;
    next.revived = false;
    next.cancel = None;
    next.deadline_at = None;
    next.only = None;
    Some(next)
}

fn past(run: &RunRecord) -> GenerationRecord {
    GenerationRecord {
        generation: run.generation,
        version: run.version.clone(),
        status: run.status,
        started_at: run.started_at,
        ended_at: run.ended_at,
    }
}

/// The effect that starts the execution of a run's present generation.
pub fn start(run: &RunRecord) -> Effect {
    Effect::Start {
        machine: run.machine.clone(),
        name: run.execution.clone(),
        input: execution_input(&run.key(), run.generation),
    }
}

/// The write that shows a run to the sweep.
pub(crate) fn active(run: &RunRecord, since: Instant) -> Write {
    let run_key = run.key();
    let mut body = Body::new();
    body.insert("run_key".into(), Json::from(run_key.as_str()));
    body.insert("since".into(), Json::from(since.to_string()));
    let mut item = Item::new(active_item(&run_key), body);
    let position = format!("{:020}#{run_key}", run.created_at.micros());
    item.index = Some(IndexEntry { list: ACTIVE_LIST.to_owned(), position });
    Write::Put { item, expect: Expect::Any }
}

/// Since when a run is in its present generation, as its entry for the sweep tells.
pub fn active_since(item: &Item) -> Option<Instant> {
    Instant::parse(item.body.get("since")?.as_str()?).ok()
}

/// A run's item, with its place in the list of runs.
pub(crate) fn run_row(run: &RunRecord) -> Item {
    let mut item = Item::new(run_item(&run.key()), run.to_body());
    item.index = Some(IndexEntry {
        list: RUNS_LIST.to_owned(),
        position: format!("{:020}#{}", run.created_at.micros(), run.key()),
    });
    item
}

/// The due item of a deadline, and the timer for it.
pub(crate) fn deadline(run: &RunRecord, at: Instant) -> (Write, Effect) {
    let run_key = run.key();
    let command = crate::command::Command::Deadline { run_key: run_key.clone() };
    let mut body = Body::new();
    body.insert("command".into(), Json::from("deadline"));
    body.insert("run_key".into(), Json::from(run_key.as_str()));
    let mut item = Item::new(due_item(&run_key), body);
    item.index =
        Some(IndexEntry { list: DUE_LIST.to_owned(), position: format!("{:020}#{run_key}", at.micros()) });
    (Write::Put { item, expect: Expect::Any }, Effect::At { at, command: Box::new(command) })
}

/// The key of a run's due item.
pub(crate) fn due_item(run_key: &RunKey) -> Key {
    Key::new(run_partition(run_key), "D")
}

/// What of one generation stays in the next.
struct Kept {
    /// For every task, whether it keeps its ending.
    tasks: Vec<bool>,
    /// For every task, whether it is mapped and what its items have ended as so far no longer counts.
    afresh: Vec<bool>,
}

fn carry(
    run: &RunRecord,
    before: &Prepared,
    prepared: &Prepared,
    records: &[TaskRecord],
    selection: Option<&Again>,
    force: bool,
) -> Kept {
    let mut status = vec![TaskStatus::Waiting; prepared.plan.tasks.len()];
    let mut branch_skipped = vec![false; status.len()];
    let mut left_out = vec![false; status.len()];
    for record in records.iter().filter(|record| record.index.is_none()) {
        let (Some((index, _)), Some((place, _))) = (prepared.find(&record.task), before.find(&record.task))
        else {
            continue;
        };
        status[index as usize] = effective(run, place, Some(record));
        left_out[index as usize] = record.left_out;
        for skipped in &record.skips {
            if let Some((skipped, _)) = prepared.find(skipped) {
                branch_skipped[skipped as usize] = true;
            }
        }
    }
    // In another version a task may be mapped that is not now.
    let is_other = run.version != *prepared.version;
    let mapped = |again: &dyn Fn(usize) -> bool| -> Vec<bool> {
        let tasks = prepared.plan.tasks.iter().enumerate();
        tasks.map(|(at, task)| (is_other || task.map.is_some()) && again(at)).collect()
    };
    let kept = |tasks: Vec<bool>| Kept { tasks, afresh: mapped(&|_| false) };
    let chosen: Vec<bool> = match selection {
        // Resume: what ended has ended, well or badly.
        None => return kept(status.iter().map(|status| status.is_terminal()).collect()),
        Some(Again::All) => return Kept { tasks: vec![false; status.len()], afresh: mapped(&|_| true) },
        Some(Again::Teardowns) => {
            let is_due = |teardown: &TaskPlan, own: TaskStatus| {
                let undone = !own.is_terminal() || own == TaskStatus::Cancelled;
                let made = |setup: &TaskIndex| status[*setup as usize] == TaskStatus::Success;
                undone && teardown.teardown_of.iter().any(made)
            };
            let tasks = prepared.plan.tasks.iter().zip(&status);
            return kept(tasks.map(|(task, own)| own.is_terminal() && !is_due(task, *own)).collect());
        }
        Some(Again::Only { task } | Again::Task { task, downstream: false, .. }) => {
            prepared.plan.tasks.iter().map(|t| t.name == *task).collect()
        }
        Some(Again::Task { task, downstream: true, .. }) => {
            prepared.below(&prepared.plan.tasks.iter().map(|t| t.name == *task).collect::<Vec<_>>())
        }
        Some(Again::Failed) => {
            let bad: Vec<bool> = status
                .iter()
                .zip(branch_skipped.iter().zip(&left_out))
                .map(|(status, (branch, left_out))| match status {
                    TaskStatus::Success => false,
                    TaskStatus::Skipped => force && *branch || *left_out,
                    _ => true,
                })
                .collect();
            prepared.below(&bad)
        }
    };
    let again = match selection {
        Some(Again::Only { .. }) => chosen.clone(),
        _ => with_setups(prepared, chosen.clone()),
    };
    let named = selection.and_then(Again::named_items);
    let names_items = |at: usize| named.is_some_and(|(task, _)| prepared.plan.tasks[at].name == *task);
    // Of what failed, only the items that did.
    let in_part = |at: usize| {
        let is_for_items = match status[at] {
            TaskStatus::Success => false,
            TaskStatus::Failed => !has_good_items_only(records, &prepared.plan.tasks[at]),
            _ => true,
        };
        selection == Some(&Again::Failed) && is_for_items
    };
    // Unless what they work on is made anew, now or before they run again. What a setup makes, which runs again for
    // others, is new to its teardown only.
    let works_on_new = |at: usize| {
        let task = &prepared.plan.tasks[at];
        let setups = task.teardown_of.iter().any(|setup| again[*setup as usize]);
        setups || task.needs.iter().any(|up| chosen[*up as usize])
    };
    // And unless it was taken away.
    let is_taken_away = |at: usize| {
        let mut teardowns = prepared.plan.tasks.iter().zip(&status);
        teardowns.any(|(other, status)| {
            let ran = matches!(status, TaskStatus::Success | TaskStatus::Failed);
            ran && other.teardown_of.contains(&(at as TaskIndex))
        })
    };
    let afresh = mapped(&|at| match again[at] {
        _ if names_items(at) => false,
        true => !in_part(at) || works_on_new(at) || is_taken_away(at),
        false => works_on_new(at),
    });
    let tasks = again.iter().zip(&status).map(|(again, status)| !again && status.is_terminal()).collect();
    Kept { tasks, afresh }
}

/// Whether all items of a mapped task have ended well: then it has not failed for one of them.
fn has_good_items_only(records: &[TaskRecord], task: &TaskPlan) -> bool {
    let of_task = || records.iter().filter(|record| record.task == task.name);
    let Some(count) = of_task().find(|record| record.index.is_none()).and_then(|record| record.item_count)
    else {
        return false;
    };
    let items = of_task().filter(|record| record.index.is_some_and(|index| index < count));
    let is_good = |record: &&TaskRecord| matches!(record.status, TaskStatus::Success | TaskStatus::Skipped);
    items.filter(is_good).count() as u32 == count
}

/// Why these items of a task cannot run again by themselves.
fn no_such_items(prepared: &Prepared, records: &[TaskRecord], task: &str, items: &[u32]) -> Option<String> {
    let (_, plan) = prepared.find(task)?;
    if plan.map.is_none() {
        return Some(format!("{task} has no items: it is not mapped"));
    }
    let setup = prepared
        .plan
        .tasks
        .iter()
        .find(|other| other.teardown_of.iter().any(|setup| prepared.task(*setup).name == task));
    if let Some(teardown) = setup {
        let teardown = &teardown.name;
        return Some(format!("{task} sets up what {teardown} takes away: it can only run again whole"));
    }
    let record = records.iter().find(|record| record.task == task && record.index.is_none());
    let Some(count) = record.and_then(|record| record.item_count) else {
        return Some(format!("{task} has no items: it did not come to them"));
    };
    let beyond = items.iter().find(|item| **item >= count)?;
    Some(format!("{task} has no item {beyond}: it has {count}, counted from 0"))
}

/// A task that runs again between a setup and its teardown needs what was set up, and that is gone: the setup
/// runs again as well, and the teardown after it. That may be between others.
fn with_setups(prepared: &Prepared, mut again: Vec<bool>) -> Vec<bool> {
    let teardowns = prepared.plan.tasks.iter().enumerate().filter(|(_, task)| task.is_teardown());
    let scopes: Vec<(usize, Vec<bool>)> =
        teardowns.map(|(teardown, task)| (teardown, between(prepared, teardown, task))).collect();
    loop {
        let before = again.clone();
        for (teardown, between) in &scopes {
            if again.iter().zip(between).any(|(again, between)| *again && *between) {
                again[*teardown] = true;
                for setup in &prepared.plan.tasks[*teardown].teardown_of {
                    again[*setup as usize] = true;
                }
            }
        }
        if again == before {
            return again;
        }
    }
}

/// For every task, whether a teardown takes away under it: its setups, what lies both below them and above it,
/// and what it waits for directly, as other teardowns.
fn between(prepared: &Prepared, teardown: usize, task: &TaskPlan) -> Vec<bool> {
    let mut setups = vec![false; prepared.plan.tasks.len()];
    for setup in &task.teardown_of {
        setups[*setup as usize] = true;
    }
    let mut above = vec![false; setups.len()];
    above[teardown] = true;
    // From the last to the first: the answer for everything below is known.
    for (at, task) in prepared.plan.tasks.iter().enumerate().rev() {
        if above[at] {
            task.needs.iter().for_each(|up| above[*up as usize] = true);
        }
    }
    above[teardown] = false;
    let mut between: Vec<bool> =
        prepared.below(&setups).iter().zip(&above).map(|(below, above)| *below && *above).collect();
    task.needs.iter().for_each(|up| between[*up as usize] = true);
    between
}
