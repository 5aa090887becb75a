//! What people and timers ask of a run that exists.

use crate::command::{Command, Decision, Effect, ExecutionEnd, Finish, Outcome, Pause, Reply};
use crate::ending::{Case, abandoned, notice};
use crate::status::{effective, load_run, load_task, marked, task_records};
use crate::stop::Stop;
use crate::trigger::{due_item, run_row};
use crate::{Prepared, Settings, View, close, consumers, launch, streak, ticks};
use cauce_model::item::Expect;
use cauce_model::plan::DeadlineAction;
use cauce_model::record::{
    CancelRecord, PipelineRecord, Record, RunRecord, TASK_PREFIX, TaskRecord, pipeline_item, run_partition,
};
use cauce_model::{AuditRecord, Instant, Item, Json, Key, RunKey, RunStatus, TaskStatus, Write, names};
use serde_json::json;

/// The audit entry of what somebody asked of a run. It is written only where something changes, in the
/// same transaction: a repeat leaves no second one.
pub(crate) fn entry(now: Instant, action: &str, by: Option<&str>, run: &RunRecord) -> AuditRecord {
    let mut entry = AuditRecord::new(now, action);
    entry.by = by.map(str::to_owned);
    entry.pipeline = Some(run.run.pipeline.clone());
    entry.run = Some(run.run.to_string());
    entry.version = Some(run.version.clone());
    entry
}

/// How often it is seen to, on one machine, that what was under way when its run was cancelled has ended.
const STOPS_LOOK_SECONDS: u64 = 5;

/// Asks for a run's end: nothing of it starts any more, and what is under way is stopped. The run
/// still passes through all its states, quickly, so that teardown and Close happen as always.
pub(crate) fn cancel(
    (run_key, generation): (&RunKey, Option<u32>),
    (reason, by): (&str, Option<&str>),
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let loaded = load_run(view, run_key)?;
    let (mut run, expect) = (loaded.record, loaded.expect);
    if let Some(generation) = generation.filter(|generation| *generation != run.generation) {
        return Err(Stop::refuse(names::DENIED, format!("generation {generation} of {} is over", run.run)));
    }
    if run.awaits_refusal() {
        // A repeat: whoever cancelled it may have been another process, or gone before it told the token.
        return Ok(Decision {
            effects: refusal(&run, reason).into_iter().chain(after_refusal(&run)).collect(),
            reply: Reply::Ok(json!({"status": "cancelling"})),
            ..Decision::default()
        });
    }
    if run.status.is_terminal() {
        return Err(Stop::refuse(names::DENIED, format!("{} has ended: {}", run.run, run.status)));
    }
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let settings = view.settings(&run, settings)?;
    let records = task_records(view.range(run_partition(run_key), TASK_PREFIX.to_owned())?)?;
    let mut decision = Decision { reply: Reply::Ok(json!({"status": "cancelling"})), ..Decision::default() };
    let present = records.iter().filter(|r| r.generation == run.generation);
    decision.effects.extend(stops(&run, &prepared, present, settings, (reason, by), now));
    decision.effects.extend(refusal(&run, reason));
    if run.cancel.is_none() {
        let by = by.map(str::to_owned);
        let mut entry = entry(now, "cancel", by.as_deref(), &run);
        entry.detail = json!({"reason": reason, "generation": run.generation, "status": run.status});
        decision.writes.push(entry.write());
        run.cancel = Some(CancelRecord { at: now, reason: reason.to_owned(), by });
        if run.status == RunStatus::Queued {
            // It was never let in: there is no Close to come.
            run.status = RunStatus::Cancelled;
            run.ended_at = Some(now);
            run.message = Some(reason.to_owned());
            decision.effects.extend(after_refusal(&run));
        }
        decision.writes.push(Write::Put { item: run_row(&run), expect });
    }
    Ok(decision)
}

/// Stops what is under way of a run that is being cancelled.
fn stops<'a>(
    run: &RunRecord,
    prepared: &Prepared,
    records: impl Iterator<Item = &'a TaskRecord>,
    settings: &Settings,
    (reason, by): (&str, Option<&str>),
    now: Instant,
) -> Vec<Effect> {
    // Also what an earlier cancel booked: on one machine it may have come from another process, which
    // has no executions to stop.
    let stopping =
        |record: &&TaskRecord| !record.status.is_terminal() || record.status == TaskStatus::Cancelled;
    let (mut effects, mut waits_for_programs) = (Vec::new(), false);
    for record in records.filter(stopping) {
        // What was set up is taken away, also now; and the join of a mapped task follows its items.
        let Some((_, plan)) = prepared.find(&record.task).filter(|(_, plan)| !plan.is_teardown()) else {
            continue;
        };
        if settings.one_machine
            && let Some(id) = program_of(record)
        {
            // Its end is told as always, and what it holds is held until then. On AWS the platform ends it, and its slots
            // go to others with the execution's end.
            effects.push(Effect::StopProgram { id, reason: reason.to_owned() });
            waits_for_programs = true;
            continue;
        }
        let Some(stop) = close::stop_child(run, plan, record.index, settings) else { continue };
        effects.push(stop);
        if record.status.is_terminal() {
            effects.extend(abandoned(run, record));
            continue;
        }
        // A stopped execution says nothing any more, and others may wait for this ending.
        effects.push(Effect::Command(Box::new(Command::Finish(Finish {
            run_key: run.key(),
            generation: run.generation,
            task: record.task.clone(),
            index: record.index,
            fence: record.fence,
            outcome: Outcome::Died(Some(ExecutionEnd::Aborted { cause: reason.to_owned() })),
        }))));
    }
    if waits_for_programs {
        // An end that was being decided meanwhile knew nothing of this, and may have asked for another attempt.
        let again = Command::Cancel {
            run_key: run.key(),
            generation: Some(run.generation),
            reason: reason.to_owned(),
            by: by.map(str::to_owned),
        };
        effects.push(Effect::At { at: now.plus_seconds(STOPS_LOOK_SECONDS), command: Box::new(again) });
    }
    effects
}

/// The program that a task run waits for, by the id under which it is started.
fn program_of(record: &TaskRecord) -> Option<String> {
    let launch = record.launch.as_ref().filter(|_| record.status == TaskStatus::Running)?.get("launch")?;
    let id = launch.get("ClientToken").filter(|_| launch::is_program(launch))?;
    id.as_str().map(str::to_owned)
}

/// What the token hears with which a run waits to be let in.
fn refusal(run: &RunRecord, reason: &str) -> Option<Effect> {
    let token = run.token.clone()?;
    Some(Effect::Refuse { token, error: names::RUN_REJECTED, cause: reason.to_owned() })
}

/// What follows the end of a run that was never let in.
pub(crate) fn after_refusal(run: &RunRecord) -> impl Iterator<Item = Effect> {
    crate::event::wish(run).into_iter().chain(consumers::ended(run))
}

/// A person says how a task ended. Only while its run is not under way: a task under way says it
/// itself.
pub(crate) fn mark(
    run_key: &RunKey,
    task: &str,
    success: bool,
    by: &str,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let run = load_run(view, run_key)?.record;
    if !run.status.is_terminal() {
        return Err(Stop::refuse(names::DENIED, format!("{} is {}; cancel it first", run.run, run.status)));
    }
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let Some((index, _)) = prepared.find(task) else {
        return Err(Stop::refuse(names::DENIED, format!("{} has no task '{task}'", run.run)));
    };
    let loaded = load_task(view, run_key, run.generation, task, None)?;
    let status = if success { TaskStatus::Success } else { TaskStatus::Failed };
    let reply = Reply::Ok(json!({"status": status}));
    let reason = marked(status, by);
    let before = &loaded.record;
    let is_repeat = before.generation == run.generation && before.status == status;
    if is_repeat && before.reason.as_ref() == Some(&reason) {
        return Ok(Decision { reply, ..Decision::default() });
    }
    let mut entry = entry(now, "mark", Some(by), &run);
    entry.task = Some(task.to_owned());
    entry.detail = json!({"status": status, "before": effective(&run, index, Some(before))});
    // What is said of its end later does not make it last longer.
    let ended_at = before.ended_at.filter(|_| before.status.is_terminal()).or(run.ended_at).unwrap_or(now);
    let mut case = Case { run: &run, prepared: &prepared, task: index, loaded, now };
    case.end(status, Some(reason));
    case.record().ended_at = Some(ended_at);
    case.record().marked_at = Some(now);
    let writes = vec![case.write(), entry.write()];
    // Nothing waits at its gates: the run is over. Only the record changes.
    Ok(Decision { writes, reply, ..Decision::default() })
}

/// Holds a pipeline's triggers back, or lets them go on. Runs that people start are not held back.
pub(crate) fn pause(pause: &Pause, view: &View, now: Instant) -> Result<Decision, Stop> {
    let key = pipeline_item(&pause.pipeline);
    let item = view.item(&key)?;
    let known = item.map(PipelineRecord::from_item).transpose()?;
    let Some(mut record) = known.or_else(|| pause.unknown.clone()) else {
        return Err(Stop::refuse(names::DENIED, format!("there is no pipeline '{}'", pause.pipeline)));
    };
    let reply = Reply::Ok(json!({"pipeline": pause.pipeline, "paused": pause.paused}));
    if record.paused == pause.paused {
        return Ok(Decision { reply, ..Decision::default() });
    }
    record.paused = pause.paused;
    record.paused_because = None;
    let mut entry = AuditRecord::new(now, if pause.paused { "pause" } else { "unpause" });
    entry.by.clone_from(&pause.by);
    entry.pipeline = Some(pause.pipeline.clone());
    entry.version = Some(record.version.clone());
    let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
    let mut writes = vec![Write::Put { item: record.row(), expect }, entry.write()];
    let mut effects = Vec::new();
    if !pause.paused {
        writes.extend(streak::forgotten(&pause.pipeline, view)?);
    }
    if !pause.paused
        && let Some((clock, look)) = ticks::unpaused(&pause.pipeline, view, now)?
    {
        writes.push(clock);
        effects.push(look);
    }
    if !pause.paused
        && let Some((consumer, look)) = consumers::unpaused(&pause.pipeline, view, now)?
    {
        writes.push(consumer);
        effects.push(look);
    }
    Ok(Decision { writes, effects, reply, ..Decision::default() })
}

/// A run's deadline passed.
pub(crate) fn deadline(run_key: &RunKey, view: &View, now: Instant) -> Result<Decision, Stop> {
    let loaded = load_run(view, run_key)?;
    let (mut run, expect) = (loaded.record, loaded.expect);
    let gone = Write::Delete { key: due_item(run_key), expect: Expect::Any };
    let due = run.deadline_at.filter(|_| !run.status.is_terminal());
    let Some(at) = due else {
        return Ok(Decision { writes: vec![gone], ..Decision::default() });
    };
    if now < at {
        // A timer of an earlier generation: the present one has its own.
        return Ok(Decision::default());
    }
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    run.deadline_at = None;
    let mut effects = Vec::new();
    for channel in &prepared.plan.notify.deadline {
        let subject = format!("{}: over its deadline", run.run);
        let message = format!("it was to end by {at} and is {}", run.status);
        let notice = notice(&run, None, channel, "deadline", &subject, &message, now);
        let key = cauce_model::record::run_item(run_key);
        effects.push(Effect::Deliver { key, notice: Box::new(notice.clone()) });
        run.outbox.push(notice);
    }
    if prepared.plan.deadline.as_ref().is_some_and(|plan| plan.action == DeadlineAction::Cancel) {
        effects.push(Effect::Command(Box::new(Command::Cancel {
            run_key: run_key.clone(),
            generation: Some(run.generation),
            reason: format!("over its deadline of {at}"),
            by: Some("deadline".to_owned()),
        })));
    }
    Ok(Decision {
        writes: vec![Write::Put { item: run_row(&run), expect }, gone],
        effects,
        ..Decision::default()
    })
}

/// A notice was delivered: it leaves its outbox.
pub(crate) fn delivered(key: &Key, notice: &str, view: &View) -> Result<Decision, Stop> {
    let Some(item) = view.item(key)? else {
        return Ok(Decision::default());
    };
    let mut left: Item = item.clone();
    let Some(Json::Array(outbox)) = left.body.get_mut("outbox") else {
        return Ok(Decision::default());
    };
    let before = outbox.len();
    outbox.retain(|entry| entry.get("id").and_then(Json::as_str) != Some(notice));
    if outbox.len() == before {
        return Ok(Decision::default());
    }
    if outbox.is_empty() {
        left.body.shift_remove("outbox");
    }
    let expect = Expect::Version(item.version);
    Ok(Decision { writes: vec![Write::Put { item: left, expect }], ..Decision::default() })
}
