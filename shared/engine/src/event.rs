//! Events: a tick of a schedule or an object that arrived becomes at most one run, or one more
//! generation of one. Every event leaves an entry in the ledger, whatever became of it; the entry is
//! also what tells a repeat, which starts again what a crash kept from starting and nothing else.

use crate::command::{Again, Command, Decision, Effect, Event, Existing, Reply, Trigger};
use crate::schedule::{Dating, Schedule};
use crate::stop::Stop;
use crate::trigger::{self, NewRun, Refusal};
use crate::{Settings, View, consumers, datasets, files, matrix, streak, webhook};
use cauce_model::event::{Became, LedgerRecord, ledger_item};
use cauce_model::ids::{RunRef, sha256_hex};
use cauce_model::item::Expect;
use cauce_model::plan::{Tick, schedule_index};
use cauce_model::record::{PipelineRecord, Record, RunRecord, TriggerRecord, pipeline_item, run_item};
use cauce_model::time::MICROS;
use cauce_model::{Instant, Item, Json, Key, RunKey, RunStatus, TriggerKind, Write};
use serde_json::json;

/// How far after its tick the moment may lie that a scheduler names: it may count from its own second.
const TICK_TOLERANCE_SECONDS: i64 = 60;

pub(crate) fn decide(
    event: &Event,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    match event {
        Event::Tick { pipeline, schedule, scheduled_at } => {
            tick(pipeline, schedule, *scheduled_at, view, settings, now)
        }
        Event::Object(object) => files::object(object, view, now),
        Event::Webhook(hook) => webhook::decide(hook, view, now),
        Event::Dataset { dataset } => datasets::tell(dataset, view),
        Event::Consumer { pipeline } => consumers::consume(pipeline, view, settings, now),
    }
}

/// What tells a tick from every other event. Two schedules of one pipeline that tick together are one,
/// unless they are for different items of a matrix.
pub(crate) fn tick_identity(pipeline: &str, case: Option<&str>, scheduled_at: Instant) -> String {
    let what = match case {
        None => json!(["tick", pipeline, scheduled_at]),
        Some(case) => json!(["tick", pipeline, case, scheduled_at]),
    };
    sha256_hex(what.to_string())
}

/// A tick's entry in the ledger, before it is known what becomes of it.
pub(crate) fn tick_entry(
    pipeline: &str,
    case: Option<&str>,
    schedule: &str,
    scheduled_at: Instant,
    now: Instant,
) -> LedgerRecord {
    let event = json!({"schedule": schedule, "scheduled_at": scheduled_at});
    let identity = tick_identity(pipeline, case, scheduled_at);
    LedgerRecord::new((scheduled_at, now), "schedule", identity, Some(pipeline), event)
}

pub(crate) fn tick(
    pipeline: &str,
    schedule: &str,
    scheduled_at: Instant,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let prepared = match deployed(pipeline, view)? {
        Some(deployed) => Some(view.plan(pipeline, &deployed.version)?),
        None => None,
    };
    let case = prepared.as_ref().and_then(|prepared| matrix::case_of(&prepared.plan, schedule));
    let entry = tick_entry(pipeline, case, schedule, scheduled_at, now);
    let key = ledger_item(entry.at, &entry.identity, Some(pipeline));
    view.want([key.clone(), pipeline_item(pipeline)])?;
    let undecided = undecided(&key, view)?;
    if undecided.is_none()
        && let Some(mut decision) = repeated(&entry, view)?
    {
        matrix::repeated(&mut decision, prepared.as_ref(), (pipeline, schedule, scheduled_at), view)?;
        return Ok(decision);
    }
    let mut decision = heard(entry, pipeline, schedule, scheduled_at, (view, settings), now)?;
    if let Some(known) = undecided {
        for write in &mut decision.writes {
            if let Write::Put { item, expect } = write
                && item.key == key
            {
                *expect = Expect::Version(known);
            }
        }
    }
    Ok(decision)
}

/// Whether a tick was told and not decided on: the pipeline was paused, or it waits for off-peak hours.
pub(crate) fn is_undecided(entry: &LedgerRecord) -> bool {
    matches!(entry.became, Became::Paused | Became::Waiting)
}

/// The version of a tick's entry that is replaced once it is decided.
fn undecided(key: &Key, view: &View) -> Result<Option<u64>, Stop> {
    let Some(item) = view.item(key)? else {
        return Ok(None);
    };
    Ok(is_undecided(&LedgerRecord::from_item(item)?).then_some(item.version))
}

fn heard(
    entry: LedgerRecord,
    pipeline: &str,
    schedule: &str,
    scheduled_at: Instant,
    (view, settings): (&View, &Settings),
    now: Instant,
) -> Result<Decision, Stop> {
    let Some(deployed) = deployed(pipeline, view)? else {
        return Ok(rejected(entry, format!("there is no pipeline '{pipeline}'")));
    };
    let prepared = view.plan(pipeline, &deployed.version)?;
    let Some(plan) = schedule_index(schedule).and_then(|index| prepared.plan.schedules.get(index)) else {
        let version = &deployed.version;
        return Ok(rejected(entry, format!("version {version} has no schedule '{schedule}'")));
    };
    if deployed.paused || prepared.plan.paused {
        return Ok(booked(entry, Became::Paused, streak::held_back(&deployed)));
    }
    let ready = match Schedule::new(plan) {
        Ok(ready) => ready,
        Err(error) => return Ok(rejected(entry, error.to_string())),
    };
    let dating = match Dating::of_case(&prepared.plan, plan.case.as_deref()) {
        Ok(dating) => dating,
        Err(error) => return Ok(rejected(entry, error.to_string())),
    };
    let dated = || -> Result<Option<NewRun>, String> {
        // A rate counts from its own beginning: its tick closes the newest interval, however long ago.
        let rate = matches!(plan.every, Tick::RateSeconds(_));
        let near =
            |tick: &Instant| rate || scheduled_at.micros_since(*tick) < TICK_TOLERANCE_SECONDS * MICROS;
        let tick = ready.previous_tick(scheduled_at).filter(near);
        let interval = tick.and_then(|tick| ready.interval_ending_at(tick));
        if interval.is_none() && ready.has_calendar() {
            return Ok(None);
        }
        let interval = interval.ok_or_else(|| format!("no data interval ends at {scheduled_at}"))?;
        let opens_at = ready.opens_at(interval.end);
        Ok(Some(NewRun { scheduled_at: Some(opens_at), ..trigger::of_interval(&dating, interval) }))
    };
    let new = match dated() {
        Ok(Some(new)) => match new.scheduled_at.filter(|at| *at > scheduled_at.max(now)) {
            None => new,
            Some(at) => return Ok(booked(entry, Became::Waiting, Some(format!("off-peak begins at {at}")))),
        },
        // Scheduler knows no calendar.
        Ok(None) => return Ok(booked(entry, Became::Closed, None)),
        Err(problem) => return Ok(rejected(entry, problem)),
    };
    if prepared.plan.matrix.is_some() {
        let suffix = dating.run_id(None, new.logical_date);
        return Ok(matrix::open(entry, schedule, plan.case.as_deref(), (new, suffix), settings, now));
    }
    let cause = TriggerRecord {
        kind: TriggerKind::Schedule,
        by: Some(schedule.to_owned()),
        detail: json!({"scheduled_at": scheduled_at}),
        item: None,
    };
    let known = view.item(&run_item(&RunKey::new(pipeline, &new.run_id)))?;
    if let Some(run) = known.map(RunRecord::from_item).transpose()? {
        let mut entry = entry;
        entry.run = Some(run.run.to_string());
        return Ok(booked(entry, Became::Duplicate, Some("the run exists".to_owned())));
    }
    start(entry, &deployed, new, cause, Existing::Refuse, view, now)
}

/// A pipeline's record, if it is deployed.
pub(crate) fn deployed(pipeline: &str, view: &View) -> Result<Option<PipelineRecord>, Stop> {
    Ok(view.item(&pipeline_item(pipeline))?.map(PipelineRecord::from_item).transpose()?)
}

/// The settings that a deployed pipeline's triggers are read with: those that its deployment pins, if it has one.
pub(crate) fn pinned<'a>(
    deployed: &PipelineRecord,
    view: &'a View,
    settings: &'a Settings,
) -> Result<&'a Settings, Stop> {
    match &deployed.deployment {
        Some(uri) => Ok(view.deployment(uri)?),
        None => Ok(settings),
    }
}

/// What follows from an event that was decided before: its execution is started again in case it was
/// not, which is safe; and the ledger says once that the event came more than once.
pub(crate) fn repeated(entry: &LedgerRecord, view: &View) -> Result<Option<Decision>, Stop> {
    let pipeline = entry.pipeline.as_deref();
    let key = ledger_item(entry.at, &entry.identity, pipeline);
    let Some(known) = view.item(&key)?.map(LedgerRecord::from_item).transpose()? else {
        return Ok(None);
    };
    let mut decision = Decision::default();
    if let (Became::Run, Some((pipeline, run_id))) =
        (known.became, known.run.as_deref().and_then(|run| run.split_once('/')))
    {
        let name = RunRef { pipeline: pipeline.to_owned(), run_id: run_id.to_owned() };
        let run = view.item(&run_item(&name.key()))?.map(RunRecord::from_item).transpose()?;
        decision.effects.extend(run.as_ref().and_then(execution_of_queued));
    }
    let mut again_key = key;
    again_key.sort.push_str("#again");
    if view.item(&again_key)?.is_none() {
        let mut again = entry.clone();
        again.became = Became::Duplicate;
        again.reason = Some("the same event was received again".to_owned());
        again.run.clone_from(&known.run);
        let mut item = Item::new(again_key, again.to_body());
        item.expires_at = Some(again.decided_at.plus_seconds(cauce_model::event::LEDGER_KEPT_SECONDS));
        decision.writes.push(Write::Put { item, expect: Expect::Absent });
    }
    decision.reply = reply(Became::Duplicate, known.run.as_deref(), None);
    Ok(Some(decision))
}

/// Starts the execution of a run that was not let in yet: the crash may have come before it.
fn execution_of_queued(run: &RunRecord) -> Option<Effect> {
    (run.status == RunStatus::Queued).then(|| Effect::Start {
        machine: run.machine.clone(),
        name: run.execution.clone(),
        input: trigger::execution_input(&run.key(), run.generation),
    })
}

/// Books what became of an event, and nothing else.
pub(crate) fn booked(mut entry: LedgerRecord, became: Became, reason: Option<String>) -> Decision {
    entry.became = became;
    entry.reason = reason;
    let reply = reply(became, entry.run.as_deref(), entry.reason.as_deref());
    Decision { writes: vec![entry.write(Expect::Absent)], reply, ..Decision::default() }
}

pub(crate) fn rejected(entry: LedgerRecord, reason: String) -> Decision {
    booked(entry, Became::Rejected, Some(reason))
}

fn reply(became: Became, run: Option<&str>, reason: Option<&str>) -> Reply {
    Reply::Ok(json!({"became": became, "run": run, "reason": reason}))
}

/// Brings a run, or its next generation, into being together with the event's entry.
pub(crate) fn start(
    entry: LedgerRecord,
    deployed: &PipelineRecord,
    new: NewRun,
    cause: TriggerRecord,
    existing: Existing,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    start_with(entry, deployed, new, cause, existing, None, view, now)
}

/// The same with parameters of the event's own.
#[expect(clippy::too_many_arguments, reason = "a request field by field, made into one right here")]
pub(crate) fn start_with(
    mut entry: LedgerRecord,
    deployed: &PipelineRecord,
    new: NewRun,
    cause: TriggerRecord,
    existing: Existing,
    params: Option<Json>,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let canary = deployed.canary_of(&new.run_id);
    let request = Trigger {
        pipeline: deployed.pipeline.clone(),
        version: canary.map_or(&deployed.version, |canary| &canary.version).clone(),
        run_id: new.run_id,
        trigger: cause,
        params,
        logical_date: new.logical_date,
        data_interval: new.data_interval,
        timezone: new.timezone,
        scheduled_at: new.scheduled_at,
        existing,
        only: None,
        force: false,
        latest: true,
        canary: canary.is_some(),
        start: true,
    };
    Ok(match trigger::plan_run(&request, view, now)? {
        Ok(planned) => {
            entry.run = Some(planned.run.run.to_string());
            let mut decision = booked(entry, Became::Run, None);
            decision.writes.extend(planned.writes);
            decision.effects.extend(planned.effects);
            decision
        }
        Err(refusal @ Refusal::Exists(_)) => booked(entry, Became::Duplicate, Some(refusal.message())),
        Err(refusal) => rejected(entry, refusal.message()),
    })
}

/// The wish that waits on a run whose present generation has ended.
pub(crate) fn wish(run: &RunRecord) -> Option<Effect> {
    let command = || Effect::Command(Box::new(Command::Again { run_key: run.key() }));
    (run.status.is_terminal() && run.next.is_some()).then(command)
}

/// The next generation that new data asked for while the run was under way.
pub(crate) fn again(run_key: &RunKey, view: &View, now: Instant) -> Result<Decision, Stop> {
    let Some(item) = view.item(&run_item(run_key))? else {
        return Err(Stop::no_run(run_key));
    };
    let mut run = RunRecord::from_item(item)?;
    let Some(cause) = run.next.take().filter(|_| run.status.is_terminal()) else {
        return Ok(Decision::default());
    };
    let refusal = match deployed(&run.run.pipeline, view)? {
        None => Refusal::NoPipeline(run.run.pipeline.clone()).message(),
        Some(deployed) => {
            let canary = deployed.canary_of(&run.run.run_id);
            let request = Trigger {
                pipeline: run.run.pipeline.clone(),
                version: canary.map_or(&deployed.version, |canary| &canary.version).clone(),
                run_id: run.run.run_id.clone(),
                trigger: cause,
                params: None,
                logical_date: run.logical_date,
                data_interval: (run.data_interval_start, run.data_interval_end),
                timezone: run.timezone.clone(),
                scheduled_at: None,
                existing: Existing::Next(Again::All),
                only: None,
                force: false,
                latest: true,
                canary: canary.is_some(),
                start: true,
            };
            match trigger::plan_run(&request, view, now)? {
                Ok(planned) => {
                    let reply = Reply::Ok(json!({"generation": planned.run.generation}));
                    let (writes, effects) = (planned.writes, planned.effects);
                    return Ok(Decision { writes, effects, reply, documents: Vec::new() });
                }
                Err(refusal) => refusal.message(),
            }
        }
    };
    // It can never be granted: it is given up, and the run says so.
    run.message = Some(format!("new data came, and no further generation could start: {refusal}"));
    let write = Write::Put { item: trigger::run_row(&run), expect: Expect::Version(item.version) };
    Ok(Decision { writes: vec![write], reply: Reply::Ok(Json::Null), ..Decision::default() })
}
