//! Close: all tasks of a run were passed, or its execution is over without that. How did it end, and
//! who is told?

use crate::command::{Again, Close, Decision, Effect, Reply};
use crate::ending::{Case, abandoned, notice};
use crate::slots;
use crate::status::{Loaded, effective, load_run, made_good, task_records};
use crate::stop::Stop;
use crate::trigger::{due_item, run_row};
use crate::{Prepared, Settings, View, observed, streak, trigger};
use cauce_model::ids::child_execution_name;
use cauce_model::item::{Expect, TRANSACTION_MAX};
use cauce_model::plan::{TaskIndex, TaskPlan};
use cauce_model::record::{
    AttemptRecord, CancelRecord, RunRecord, TASK_PREFIX, TaskRecord, active_item, run_partition, task_item,
};
use cauce_model::{FailureClass, Instant, RunStatus, TaskStatus, Write, names};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// How many failed tasks a message names.
const NAMED_MAX: usize = 5;

pub(crate) fn decide(
    close: &Close,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let loaded = load_run(view, &close.run_key)?;
    let run = &loaded.record;
    if run.generation != close.generation {
        let is_its_teardown = run.teardown.is_some() && run.generation == close.generation + 1;
        if close.redrives > 0 && is_its_teardown {
            // What was stopped is to go on; what was to be taken away since is taken away first.
            return if run.status.is_terminal() {
                redriven(run, view, now)
            } else {
                let cause = format!("{} is torn down; after that its next generation starts", run.run);
                Err(Stop::refuse(names::UNAVAILABLE, cause))
            };
        }
        // A later generation took over: it closes the run.
        return Ok(Decision { reply: Reply::Ok(json!({"status": "superseded"})), ..Decision::default() });
    }
    if run.status.is_terminal() {
        let bad = matches!(run.status, RunStatus::Failed | RunStatus::Cancelled);
        if close.redrives > 0 && bad {
            return redriven(run, view, now);
        }
        // A repeat: everything that belongs to the end happens again.
        let records = task_records(view.range(run_partition(&close.run_key), TASK_PREFIX.to_owned())?)?;
        let effects = again_after_close(run, &records);
        return Ok(Decision { effects, reply: reply(run), ..Decision::default() });
    }
    conclude(loaded, None, view, settings, now)
}

/// Somebody had the execution of a run that ended badly go on, from the console: what they mean is what
/// `cauce rerun` does. The next generation takes over, in an execution of its own, and this one ends well.
fn redriven(run: &RunRecord, view: &View, now: Instant) -> Result<Decision, Stop> {
    let again = trigger::next(run, Again::Failed);
    let mut decision = trigger::decide(&again, view, now)?;
    if let Reply::Ok(told) = &mut decision.reply {
        told["status"] = json!("superseded");
    }
    Ok(decision)
}

/// Why a run is closed although its machine has not passed to its end.
pub(crate) enum Cut {
    /// Somebody stopped it from outside.
    Stopped(String),
    /// Its execution failed, or is gone.
    Failed(String),
}

/// Most task runs that are settled in one transaction, which also holds the run, its timer and its place
/// in a list.
const SETTLED_MAX: usize = TRANSACTION_MAX - 10;

/// Ends a run: settles the task runs that are under way though nobody works on them any more, says how
/// the run ended, and tells. When more task runs are to be settled than one transaction takes, this one
/// settles some, and the caller hears that it has to ask again.
pub(crate) fn conclude(
    loaded: Loaded<RunRecord>,
    cut: Option<&Cut>,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let Loaded { record: mut run, expect } = loaded;
    let run_key = run.key();
    let settings = view.settings(&run, settings)?;
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let items = view.range(run_partition(&run_key), TASK_PREFIX.to_owned())?;
    let mut records = task_records(items)?;
    if let Some(Cut::Stopped(reason)) = cut
        && run.cancel.is_none()
    {
        run.cancel = Some(CancelRecord { at: now, reason: reason.clone(), by: None });
    }

    let mut decision = Decision::default();
    let mut left = 0;
    let mut died = false;
    for (record, item) in records.iter_mut().zip(items) {
        if record.generation != run.generation || record.status.is_terminal() {
            // Whoever ended it may have gone before it did what follows.
            decision.effects.extend(abandoned(&run, record).filter(|_| cut.is_some()));
            continue;
        }
        let Some((task, plan)) = prepared.find(&record.task) else { continue };
        died = true;
        if decision.writes.len() >= SETTLED_MAX {
            left += 1;
            continue;
        }
        if cut.is_some() {
            decision.effects.extend(stop_child(&run, plan, record.index, settings));
        }
        let loaded = Loaded { record: record.clone(), expect: Expect::Version(item.version) };
        let mut case = Case { run: &run, prepared: &prepared, task, loaded, now };
        let failure = observed::failure(None);
        let settled = if cut.is_some() { case.cut_off(&failure) } else { case.end_badly(&failure) };
        decision.writes.extend(settled.writes);
        decision.effects.extend(settled.effects);
        *record = case.loaded.record;
    }
    if left > 0 {
        decision.writes.push(Write::Put { item: run_row(&run), expect });
        decision.reply = Reply::Failure {
            error: names::UNAVAILABLE,
            cause: format!("{left} more task runs of {} are to be settled first", run.run),
        };
        return Ok(decision);
    }

    let by_name: BTreeMap<&str, &TaskRecord> =
        records.iter().filter(|r| r.index.is_none()).map(|r| (r.task.as_str(), r)).collect();
    let ended = statuses(&run, &prepared, &by_name);
    say_how(&mut run, cut, &prepared, &ended, &by_name);
    run.ended_at = Some(now);
    run.token = None;
    if run.teardown.is_none() {
        announce(&mut run, &prepared, now);
        decision.writes.extend(streak::ended(&mut run, &prepared, view, now)?);
    }
    if run.deadline_at.is_some() {
        decision.writes.push(Write::Delete { key: due_item(&run_key), expect: Expect::Any });
    }
    if cut.is_none() && !died && leaves_nothing(&run, &records) {
        decision.writes.push(Write::Delete { key: active_item(&run_key), expect: Expect::Any });
    }
    decision.effects.extend(after_close(&run));
    decision.reply = reply(&run);
    match cut.and_then(|_| trigger::teardowns(&run, &prepared, &records, now)) {
        Some(next) => {
            decision.writes.push(Write::Put { item: run_row(&next), expect });
            decision.writes.push(trigger::active(&next, now));
            decision.effects.push(trigger::start(&next));
        }
        None => decision.writes.push(Write::Put { item: run_row(&run), expect }),
    }
    Ok(decision)
}

/// The effect that stops the execution of a task run, if it has one that can be named.
pub(crate) fn stop_child(
    run: &RunRecord,
    plan: &TaskPlan,
    index: Option<u32>,
    settings: &Settings,
) -> Option<Effect> {
    let machine = observed::machine(plan, index, settings)?;
    let cause = run.cancel.as_ref().map_or("its run has ended", |cancel| cancel.reason.as_str());
    Some(Effect::Stop {
        machine: machine.to_owned(),
        name: child_execution_name(&run.key(), run.generation, &plan.name, index),
        cause: cause.to_owned(),
    })
}

/// Sets the run's status and why.
fn say_how(
    run: &mut RunRecord,
    cut: Option<&Cut>,
    prepared: &Prepared,
    ended: &[TaskStatus],
    by_name: &BTreeMap<&str, &TaskRecord>,
) {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut skipped = 0;
    let of = |task: TaskIndex| ended[task as usize];
    for ((task, status), index) in prepared.plan.tasks.iter().zip(ended).zip(0..) {
        match status {
            TaskStatus::Success => {}
            TaskStatus::Skipped => skipped += 1,
            TaskStatus::Failed | TaskStatus::UpstreamFailed if task.allow_failure => {}
            _ if made_good(prepared, index, of).is_some() => {}
            // One that was cut off is made up for, once.
            TaskStatus::Waiting | TaskStatus::Cancelled if task.is_teardown() && run.teardown.is_none() => {}
            // What it was to take away may still be there, but the run's data is not the worse for it.
            status if task.is_teardown() => warnings.push((task.name.as_str(), *status)),
            // Not ended: its execution died without a word, which is a failure as well.
            status => problems.push((task.name.as_str(), *status)),
        }
    }
    let (status, message) = if let Some(before) = &run.teardown {
        (before.status, before.message.clone())
    } else if let Some(cancel) = &run.cancel {
        (RunStatus::Cancelled, Some(cancel.reason.clone()))
    } else if let Some(Cut::Failed(reason)) = cut {
        (RunStatus::Failed, Some(reason.clone()))
    } else if !problems.is_empty() {
        (RunStatus::Failed, Some(words(&problems, by_name)))
    } else if skipped == prepared.plan.tasks.len() && skipped > 0 {
        (RunStatus::Skipped, None)
    } else {
        (RunStatus::Success, None)
    };
    run.status = status;
    let warned = (!warnings.is_empty()).then(|| format!("teardown {}", words(&warnings, by_name)));
    run.message = match (message, warned) {
        (Some(message), Some(warned)) => Some(format!("{message}; {warned}")),
        (message, warned) => message.or(warned),
    };
}

/// Puts what is to be told into the run's outbox.
fn announce(run: &mut RunRecord, prepared: &Prepared, now: Instant) {
    let (event, word, channels) = match run.status {
        RunStatus::Failed => ("failed", "failed", prepared.plan.notify.failed.as_slice()),
        RunStatus::Success => ("success", "succeeded", prepared.plan.notify.success.as_slice()),
        _ => return,
    };
    for channel in channels {
        let subject = format!("{}: run {word}", run.run);
        let message = run.message.clone().unwrap_or_default();
        let notice = notice(run, None, channel, event, &subject, &message, now);
        run.outbox.push(notice);
    }
}

/// Whether nothing of a run needs the sweep's eye: no notice to deliver, no further generation to start,
/// and no attempt that a program may have outlived.
fn leaves_nothing(run: &RunRecord, records: &[TaskRecord]) -> bool {
    let is_quiet = |record: &TaskRecord| {
        let cut_off = |attempt: &AttemptRecord| attempt.class.is_some_and(FailureClass::may_outlive);
        record.outbox.is_empty() && !record.attempts.iter().any(cut_off)
    };
    run.cancel.is_none() && run.next.is_none() && run.outbox.is_empty() && records.iter().all(is_quiet)
}

/// The status of every task of the plan in the run's present generation.
pub fn statuses(
    run: &RunRecord,
    prepared: &Prepared,
    by_name: &BTreeMap<&str, &TaskRecord>,
) -> Vec<TaskStatus> {
    prepared
        .plan
        .tasks
        .iter()
        .zip(0..)
        .map(|(task, index)| effective(run, index, by_name.get(task.name.as_str()).copied()))
        .collect()
}

fn words(problems: &[(&str, TaskStatus)], by_name: &BTreeMap<&str, &TaskRecord>) -> String {
    let failed: Vec<_> =
        problems.iter().filter(|(_, status)| *status != TaskStatus::UpstreamFailed).collect();
    let mut parts: Vec<String> = failed
        .iter()
        .take(NAMED_MAX)
        .map(|(task, status)| match by_name.get(task).and_then(|r| r.reason.as_deref()) {
            Some(reason) => format!("{task} {status}: {reason}"),
            None if status.is_terminal() => format!("{task} {status}"),
            None => format!("{task} ended without a word"),
        })
        .collect();
    if failed.len() > NAMED_MAX {
        parts.push(format!("{} more", failed.len() - NAMED_MAX));
    }
    let behind = problems.len() - failed.len();
    if behind > 0 {
        parts.push(format!("{behind} could not run"));
    }
    parts.join("; ")
}

fn after_close(run: &RunRecord) -> Vec<Effect> {
    let mut effects = vec![slots::of_ended_run(run)];
    let key = cauce_model::record::run_item(&run.key());
    effects.extend(
        run.outbox
            .iter()
            .map(|notice| Effect::Deliver { key: key.clone(), notice: Box::new(notice.clone()) }),
    );
    effects.extend(crate::event::wish(run));
    effects.extend(crate::consumers::ended(run));
    effects
}

/// What belongs to the end of a run, once more: its own part, and what its task runs hold, wait for and tell. It needs
/// no plan: a run whose plan was lost ends like every other.
pub(crate) fn again_after_close(run: &RunRecord, records: &[TaskRecord]) -> Vec<Effect> {
    let mut effects = after_close(run);
    // Of whatever generation: what one has to tell or to give back and did not, nobody else sees to.
    let awaited: BTreeSet<&String> = records.iter().flat_map(|record| &record.waits_for).collect();
    // Whoever looks at a line finds out that they are over who still stand in it.
    effects.extend(awaited.into_iter().map(|pool| slots::reclaim_lost(pool.clone())));
    for record in records {
        effects.extend(abandoned(run, record));
        effects
            .extend(record.holds.iter().map(|hold| slots::give_back(&hold.pool, &hold.holder, hold.slots)));
        let key = task_item(&run.key(), &record.task, record.index);
        effects.extend(
            record
                .outbox
                .iter()
                .map(|notice| Effect::Deliver { key: key.clone(), notice: Box::new(notice.clone()) }),
        );
    }
    effects
}

fn reply(run: &RunRecord) -> Reply {
    let cause = || run.message.clone().unwrap_or_default();
    match run.status {
        RunStatus::Failed => Reply::Failure { error: names::RUN_FAILED, cause: cause() },
        RunStatus::Cancelled => Reply::Failure { error: names::RUN_CANCELLED, cause: cause() },
        status => Reply::Ok(json!({"status": status})),
    }
}
