//! Close: all tasks of a run were passed. How did it end, and who is told?

use crate::command::{Close, Decision, Effect, Reply};
use crate::ending::notice;
use crate::slots::{self, Holder};
use crate::status::{effective, load_run, task_records};
use crate::stop::Stop;
use crate::trigger::{due_item, run_row};
use crate::{Prepared, View};
use cauce_model::item::{Expect, TRANSACTION_MAX};
use cauce_model::record::{RunRecord, TASK_PREFIX, TaskRecord, run_partition};
use cauce_model::{Instant, RunStatus, TaskStatus, Write, names};
use serde_json::json;
use std::collections::BTreeMap;

/// How many failed tasks a message names.
const NAMED_MAX: usize = 5;

pub(crate) fn decide(close: &Close, view: &View, now: Instant) -> Result<Decision, Stop> {
    let loaded = load_run(view, &close.run_key)?;
    let (mut run, expect) = (loaded.record, loaded.expect);
    if run.generation != close.generation {
        // A later generation took over: it closes the run.
        return Ok(Decision { reply: Reply::Ok(json!({"status": "superseded"})), ..Decision::default() });
    }
    if run.status.is_terminal() {
        // A repeat: everything that belongs to the end happens again.
        return Ok(Decision { effects: after_close(&run), reply: reply(&run), ..Decision::default() });
    }
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let records = task_records(view.range(run_partition(&close.run_key), TASK_PREFIX.to_owned())?)?;
    let by_name: BTreeMap<&str, &TaskRecord> =
        records.iter().filter(|r| r.index.is_none()).map(|r| (r.task.as_str(), r)).collect();

    let mut decision = Decision::default();
    let ended = statuses(&run, &prepared, &by_name);
    let mut problems = Vec::new();
    let mut skipped = 0;
    for (task, status) in prepared.plan.tasks.iter().zip(&ended) {
        match status {
            TaskStatus::Success => {}
            TaskStatus::Skipped => skipped += 1,
            TaskStatus::Failed | TaskStatus::UpstreamFailed if task.allow_failure => {}
            // Not ended: its execution died without a word, which is a failure as well.
            status => problems.push((task.name.as_str(), *status)),
        }
    }
    run.status = if run.cancel.is_some() {
        RunStatus::Cancelled
    } else if !problems.is_empty() {
        RunStatus::Failed
    } else if skipped == prepared.plan.tasks.len() && skipped > 0 {
        RunStatus::Skipped
    } else {
        RunStatus::Success
    };
    run.ended_at = Some(now);
    run.token = None;
    run.message = match run.status {
        RunStatus::Cancelled => run.cancel.as_ref().map(|cancel| cancel.reason.clone()),
        RunStatus::Failed => Some(words(&problems, &by_name)),
        _ => None,
    };
    let (event, channels) = match run.status {
        RunStatus::Failed => ("failed", prepared.plan.notify.failed.as_slice()),
        RunStatus::Success => ("success", prepared.plan.notify.success.as_slice()),
        _ => ("", [].as_slice()),
    };
    for channel in channels {
        let subject = format!("{}: run {}", run.run, if event == "failed" { "failed" } else { "succeeded" });
        let message = run.message.clone().unwrap_or_default();
        let notice = notice(&run, None, channel, event, &subject, &message, now);
        run.outbox.push(notice);
    }
    decision.writes.push(Write::Put { item: run_row(&run), expect });
    if run.deadline_at.is_some() {
        decision.writes.push(Write::Delete { key: due_item(&close.run_key), expect: Expect::Any });
    }
    settle_dead(&run, &records, now, &mut decision);
    decision.effects.extend(after_close(&run));
    decision.reply = reply(&run);
    Ok(decision)
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

/// Books the task runs that were under way when their execution died, as far as one write holds
/// them; the others are told by the run's own status.
fn settle_dead(run: &RunRecord, records: &[TaskRecord], now: Instant, decision: &mut Decision) {
    use cauce_model::item::Item;
    use cauce_model::record::{Record, task_item};
    for record in records {
        let under_way = record.generation == run.generation && !record.status.is_terminal();
        if !under_way || decision.writes.len() >= TRANSACTION_MAX {
            continue;
        }
        let mut record = record.clone();
        record.status = if run.cancel.is_some() { TaskStatus::Cancelled } else { TaskStatus::Failed };
        let cancelled = run.cancel.as_ref().map(|cancel| cancel.reason.clone());
        record.reason = cancelled.or_else(|| Some("its execution ended without a word".to_owned()));
        record.ended_at = Some(now);
        record.token = None;
        record.launch = None;
        if let Some(attempt) = record.attempts.last_mut().filter(|attempt| attempt.ended_at.is_none()) {
            attempt.ended_at = Some(now);
            attempt.class = Some(cauce_model::FailureClass::Aborted);
        }
        for hold in &record.holds {
            decision.effects.push(slots::give_back(&hold.pool, &hold.holder, hold.slots));
        }
        let key = task_item(&run.key(), &record.task, record.index);
        decision.writes.push(Write::Put { item: Item::new(key, record.to_body()), expect: Expect::Any });
    }
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
    let holder = Holder { run_key: run.key(), generation: run.generation, attempt: None };
    let mut effects = vec![slots::give_back(&slots::active_runs_pool(&run.run.pipeline), &holder.name(), 1)];
    let key = cauce_model::record::run_item(&run.key());
    effects.extend(
        run.outbox
            .iter()
            .map(|notice| Effect::Deliver { key: key.clone(), notice: Box::new(notice.clone()) }),
    );
    effects.extend(crate::event::wish(run));
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
