//! `cauce why`: why a run or a task is where it is, and what to do about it.
//!
//! It decides nothing: rules are asked of the engine, everything else is read.

use std::collections::{BTreeMap, BTreeSet};

use cauce_driver::look::Pool;
use cauce_engine::retry::{self, Budget};
use cauce_engine::rules::{self, Tally, Verdict};
use cauce_engine::{slots, status};
use cauce_local::clock::SystemClock;
use cauce_model::control::{BreakerRecord, HeldBackBy, HeldBackRecord, OpenRecord, breaker_item};
use cauce_model::plan::{DeadlineAction, OnTimeout, TaskIndex, TaskKind, TaskPlan};
use cauce_model::record::{ApprovalRecord, Record, TaskRecord, gate_item};
use cauce_model::{FailureClass, Instant, RunStatus, TaskStatus};
use cauce_ports::{Clock, Table};
use serde_json::{Map, json};

use super::check::count;
use super::why_pipeline::of_pipeline;
use crate::args::WhyArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Tone, paint};
use crate::store::{Engine, RunView, Store};
use crate::time;

/// How many names a sentence holds before it counts the rest.
const NAMED_MAX: usize = 6;

pub(crate) fn why(args: &WhyArgs, context: &Context) -> Result<Exit, Failure> {
    let store = Store::require(context)?;
    if let Some(exit) = of_pipeline(args, &store, context)? {
        return Ok(exit);
    }
    context.block_on(async {
        let run = store.find(&args.run).await?;
        let view = store.view(run).await?;
        let asked = args.task.as_deref().map(|name| view.task(name)).transpose()?.map(|(index, _)| index);
        let of_run = of_run(&view, &store).await?;
        let mut of_tasks = Vec::new();
        for (index, (plan, status, record)) in (0..).zip(view.each()) {
            let wanted = match asked {
                Some(asked) => asked == index,
                // What went well needs no reason, and of what the run never came to, the run tells it.
                None => {
                    let is_plain = status == TaskStatus::Success || view.did_not_run(index);
                    !is_plain && !is_behind(&view, plan, status)
                }
            };
            if wanted {
                let because = of_task(&view, &store, index, record, &context.env_option()).await?;
                of_tasks.push((plan.name.as_str(), status, because));
            }
        }
        if context.json {
            let tasks: Map<_, _> = of_tasks
                .iter()
                .map(|(task, status, because)| {
                    ((*task).to_owned(), json!({"status": status, "because": because}))
                })
                .collect();
            context.output.json(&json!({
                "schema": 1,
                "run": view.run.run.to_string(),
                "status": view.run.status,
                "interrupted": view.is_interrupted(),
                "because": of_run,
                "tasks": tasks,
            }))?;
        } else {
            let colour = context.output.data_colour();
            let heading = |name: &str, status: &str| {
                format!(
                    "{} is {}",
                    paint(name, Tone::Strong, colour),
                    paint(status, Tone::of_status(status), colour)
                )
            };
            if asked.is_none() || view.is_interrupted() {
                paragraph(&heading(&view.run.run.to_string(), &view.status()), &of_run, context)?;
            }
            for (task, status, because) in &of_tasks {
                let did_not_run = view.run.status.is_terminal() && *status == TaskStatus::Waiting;
                let heading = match did_not_run {
                    true => format!("{} did not run", paint(task, Tone::Strong, colour)),
                    false => heading(task, status.as_str()),
                };
                paragraph(&heading, because, context)?;
            }
        }
        Ok(Exit::Good)
    })
}

/// A heading, and below it why.
pub(super) fn paragraph(heading: &str, because: &[String], context: &Context) -> Result<(), Failure> {
    let mut text = format!("{heading}\n");
    for line in because {
        text.push_str(&format!("  {line}\n"));
    }
    context.output.data(text)
}

/// Whether a task merely stands behind others that wait: it says nothing that they do not say.
fn is_behind(view: &RunView, plan: &TaskPlan, status: TaskStatus) -> bool {
    let waits = |up: &TaskIndex| view.status_of(*up) == TaskStatus::Waiting;
    status == TaskStatus::Waiting && !plan.needs.is_empty() && plan.needs.iter().all(waits)
}

async fn of_run(view: &RunView, store: &Store) -> Result<Vec<String>, Failure> {
    let run = &view.run;
    let mut because: Vec<String> = run.message.clone().into_iter().collect();
    if view.is_interrupted() {
        because.push(match &run.cancel {
            Some(cancel) => format!(
                "the engine that ran it is gone, while it was being cancelled: {}; 'cauce cancel {}' ends it",
                cancel.reason, run.run
            ),
            None => format!(
                "the engine that ran it is gone; 'cauce resume {}' goes on and keeps what succeeded",
                run.run
            ),
        });
        return Ok(because);
    }
    match run.status {
        RunStatus::Queued => {
            let plan = &view.prepared.plan;
            because.push(format!(
                "{} lets {} at once (max_active_runs)",
                plan.pipeline,
                count(u64::from(plan.max_active_runs), "run")
            ));
            let holder = slots::Holder { run_key: run.key(), generation: run.generation, attempt: None };
            if let Some(pool) = store.pool(&slots::pool_of_run(run)).await? {
                in_line(&pool, &holder.name(), store, &mut because).await?;
            }
        }
        RunStatus::Running => {
            let tally = tally(view);
            because.push(format!("{} of {} tasks have ended", tally.0, tally.1));
            match view.engine {
                Engine::Process(Some(pid)) => because.push(format!("process {pid} drives it")),
                Engine::Platform => because.push(format!("execution {} drives it", view.run.execution)),
                Engine::Process(None) | Engine::Nobody => {}
            }
            if let Some(cancel) = &run.cancel {
                because.push(format!("it is being cancelled: {}", cancel.reason));
            }
        }
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::Skipped if view.never_began() => {
            because.push(format!(
                "none of its tasks ran; 'cauce rerun {}{}' runs them",
                run.run, view.env_option
            ));
        }
        RunStatus::Failed | RunStatus::Cancelled => {
            because.extend(marks(view));
            because.push(rerun(view));
        }
        RunStatus::Skipped => because.push("all its tasks were skipped".to_owned()),
        RunStatus::Success => {
            let marks = marks(view);
            let failed = view.each().any(|(_, status, record)| {
                status == TaskStatus::Failed && record.and_then(status::marked_by).is_some()
            });
            because.push(match failed {
                true => "no task that counts had failed when it ended".to_owned(),
                false => "no task that counts failed".to_owned(),
            });
            because.extend(marks);
            if failed {
                because.push(rerun(view));
            }
        }
    }
    if run.status.is_terminal() {
        // Nobody looks at its deadline any more.
        return Ok(because);
    }
    if let (Some(at), Some(deadline)) = (run.deadline_at, &view.prepared.plan.deadline) {
        let then = match deadline.action {
            DeadlineAction::Notify => "then somebody is told",
            DeadlineAction::Cancel => "then it is cancelled",
        };
        because.push(format!("its deadline is {}; {then}", time::moment(at)));
    }
    Ok(because)
}

fn rerun(view: &RunView) -> String {
    let (run, env) = (&view.run.run, &view.env_option);
    format!("'cauce rerun {run}{env}' runs again what did not succeed, and what is below it")
}

/// What people said of its tasks after the present generation had ended.
fn marks(view: &RunView) -> Vec<String> {
    let marks = view.each().filter_map(|(plan, status, record)| {
        let record = record.filter(|record| record.generation == view.run.generation)?;
        let by = status::marked_by(record)?;
        let at = marked_at(record).map(|at| format!(", at {}", time::moment(at))).unwrap_or_default();
        Some(format!(
            "{} was marked as {status} by {by}{at}: the run's own status stays as it was",
            plan.name
        ))
    });
    let mut marks: Vec<String> = marks.collect();
    if marks.len() > NAMED_MAX {
        let more = marks.split_off(NAMED_MAX).len();
        marks.push(format!("{} more were marked", count(more as u64, "task")));
    }
    marks
}

/// When a person said how a task ended. Earlier versions wrote it as the task's end.
fn marked_at(record: &TaskRecord) -> Option<Instant> {
    record.marked_at.or(record.ended_at)
}

/// How many tasks have ended, of how many.
fn tally(view: &RunView) -> (usize, usize) {
    let ended = view.each().filter(|(_, status, _)| status.is_terminal()).count();
    (ended, view.prepared.plan.tasks.len())
}

async fn of_task(
    view: &RunView,
    store: &Store,
    index: TaskIndex,
    record: Option<&TaskRecord>,
    env: &str,
) -> Result<Vec<String>, Failure> {
    let plan = view.prepared.task(index);
    let task_status = view.status_of(index);
    let current = record.filter(|_| task_status != TaskStatus::Waiting);
    let mut because: Vec<String> = current.and_then(|record| record.reason.clone()).into_iter().collect();
    let is_marked = current.is_some_and(|record| status::marked_by(record).is_some());
    if let Some(at) = current.filter(|_| is_marked).and_then(marked_at) {
        because = because.into_iter().map(|said| format!("{said}, at {}", time::moment(at))).collect();
    }
    match task_status {
        TaskStatus::Waiting => waiting(view, store, plan, &mut because).await?,
        TaskStatus::Queued => queued(view, store, plan, record, &mut because).await?,
        TaskStatus::Running => running(view, plan, record, env, &mut because),
        TaskStatus::Retrying => retrying(view, plan, record, &mut because),
        TaskStatus::Failed => {
            failed(view, plan, record, &mut because);
            fallback(view, index, &mut because);
        }
        TaskStatus::Skipped => skipped(view, plan, &mut because),
        TaskStatus::UpstreamFailed => {
            above(view, plan, &mut because);
            fallback(view, index, &mut because);
        }
        TaskStatus::Cancelled => {
            if because.is_empty() {
                because.push("it was stopped together with its run".to_owned());
            }
        }
        TaskStatus::Success => {
            let attempts = record.map_or(0, |record| record.attempts.len());
            if is_marked {
                because.extend(last_failure(record));
            } else if attempts > 0 {
                because.push(format!("it succeeded with attempt {attempts}"));
            } else if let Some(items) = record.and_then(|record| record.item_count) {
                if because.is_empty() {
                    because.push(match items {
                        1 => "its only item succeeded".to_owned(),
                        _ => format!("all its {items} items succeeded"),
                    });
                }
            } else if because.is_empty() {
                because.push("it did what it had to without starting a program".to_owned());
            }
        }
    }
    if view.run.carries(index as usize) && record.is_some_and(|r| r.generation < view.run.generation) {
        because.push("an earlier generation ended it, and this one keeps that".to_owned());
    }
    Ok(because)
}

/// The names of tasks with their statuses, cut after a few.
fn named(view: &RunView, tasks: &[TaskIndex]) -> String {
    let mut words: Vec<String> = tasks
        .iter()
        .take(NAMED_MAX)
        .map(|task| format!("{} ({})", view.prepared.task(*task).name, view.status_of(*task)))
        .collect();
    if tasks.len() > NAMED_MAX {
        words.push(format!("{} more", tasks.len() - NAMED_MAX));
    }
    words.join(", ")
}

fn upstream_tally(view: &RunView, plan: &TaskPlan) -> Tally {
    Tally::count(status::tallied(&view.prepared, plan, |up| view.status_of(up)))
}

async fn waiting(
    view: &RunView,
    store: &Store,
    plan: &TaskPlan,
    because: &mut Vec<String>,
) -> Result<(), Failure> {
    if view.run.status == RunStatus::Queued {
        because.push("its run has not been let in yet".to_owned());
        return Ok(());
    }
    if view.run.status.is_terminal() {
        let ended = format!("its run was {} before anything was decided about it", view.run.status);
        because.push(match &view.run.message {
            Some(message) => format!("{ended}: {message}"),
            None => ended,
        });
        return Ok(());
    }
    if let Some(only) = view.run.only.as_ref().filter(|only| **only != plan.name) {
        because.push(format!("this generation runs {only} alone"));
        return Ok(());
    }
    let known = view.prepared.find(&plan.name);
    let open =
        known.map(|(task, _)| status::waits_for(&view.run, &view.prepared, task, |up| view.status_of(up)));
    let open: Vec<TaskIndex> = open.into_iter().flatten().collect();
    let is_behind = open.iter().any(|up| !plan.needs.contains(up));
    if !open.is_empty() {
        let since = view.run.started_at.map(|at| format!(", since {}", time::moment(at)));
        because.push(format!("it waits for {}{}", named(view, &open), since.unwrap_or_default()));
    }
    if let Some(other) = plan.fallback_for {
        because.push(format!("it runs only if {} fails", view.prepared.task(other).name));
    }
    if is_behind {
        because.push("what it needs keeps its ending, and worked on what is set up again first".to_owned());
    }
    let verdict = rules::evaluate(plan.rule, upstream_tally(view, plan));
    because.push(match verdict {
        _ if is_behind => format!("its rule, {}, is decided after that", plan.rule),
        Verdict::Wait => format!("its rule, {}, is not decided yet", plan.rule),
        Verdict::Run => format!("its rule, {}, lets it run", plan.rule),
        Verdict::Skip => format!("its rule, {}, will skip it", plan.rule),
        Verdict::UpstreamFailed => format!("its rule, {}, cannot be met", plan.rule),
    });
    if let Some(gate) = &plan.gate {
        let key = gate_item(&view.run.key(), view.run.generation, &plan.name, None);
        let arrived = store.gate(&key).await?;
        because.push(match arrived {
            Some((_, true)) => "its gate is open".to_owned(),
            Some((heard, false)) => {
                format!("its gate is closed: it has heard of {heard} of {}", gate.waits.len())
            }
            None => format!("its gate is closed: none of {} has arrived", gate.waits.len()),
        });
    }
    Ok(())
}

async fn queued(
    view: &RunView,
    store: &Store,
    plan: &TaskPlan,
    record: Option<&TaskRecord>,
    because: &mut Vec<String>,
) -> Result<(), Failure> {
    let pipeline = &view.run.run.pipeline;
    if let Some(most) = view.prepared.plan.max_active_tasks {
        let tasks = count(u64::from(most), "task");
        because.push(format!("{pipeline} runs {tasks} at once, over all its runs (max_active_tasks)"));
    }
    if let Some(held) = record.and_then(|record| record.held_back.as_ref()) {
        because.push(held_back(held, store).await?);
        because.push(format!("it waits for that since {}", time::moment(held.since)));
        return Ok(());
    }
    if let Some(since) = record.and_then(|record| record.queued_at) {
        because.push(format!("it is in line since {}", time::moment(since)));
    }
    let number = record.map_or(0, |record| record.attempts.len() as u32) + 1;
    let attempt = Some((plan.name.clone(), None, number));
    let holder = slots::Holder { run_key: view.run.key(), generation: view.run.generation, attempt };
    let waits_for = record.map(|record| record.waits_for.clone()).unwrap_or_default();
    for name in waits_for {
        let Some(pool) = store.pool(&name).await? else { continue };
        if waits_for_many(record) {
            because.push(format!("of {}, all or nothing:", pool_words(&name)));
        } else {
            because.push(format!("it waits for {}", pool_words(&name)));
        }
        in_line(&pool, &holder.name(), store, because).await?;
    }
    Ok(())
}

/// What holds an attempt back that stands in no line, and what would let it go on.
async fn held_back(held: &HeldBackRecord, store: &Store) -> Result<String, Failure> {
    let name = &held.name;
    let until = held.until.map(time::moment).unwrap_or_default();
    Ok(match held.by {
        HeldBackBy::RateLimit => format!("the rate limit '{name}' has reserved its start at {until}"),
        HeldBackBy::Idempotency => {
            format!("{name} is doing the same request; it uses that result (idempotency)")
        }
        HeldBackBy::OwnRun => {
            format!(
                "the run {name}, which it started, is being cancelled; it goes on with it when that has ended"
            )
        }
        HeldBackBy::Breaker => {
            let item = store.table().get(&breaker_item(name)).await?;
            let record = item.map(|item| BreakerRecord::from_item(&item)).transpose()?;
            let frees = format!("'cauce breakers reset {name}' closes it");
            match record.and_then(|record| record.open) {
                None => format!("the breaker '{name}' has closed; it looks again in a moment"),
                Some(OpenRecord { until: Some(until), reason, probe: None, .. }) => format!(
                    "the breaker '{name}' is open until {}, after {}; {frees}",
                    time::moment(until),
                    reason.unwrap_or_default()
                ),
                Some(OpenRecord { probe: Some(probe), .. }) => format!(
                    "the breaker '{name}' is half-open: {} tries it out; {frees}",
                    store.holder(&probe.holder).await?
                ),
                Some(OpenRecord { by, .. }) => {
                    format!("the breaker '{name}' is open: {} opened it; {frees}", by.unwrap_or_default())
                }
            }
        }
    })
}

fn waits_for_many(record: Option<&TaskRecord>) -> bool {
    record.is_some_and(|record| record.waits_for.len() > 1)
}

/// A pool as people call it.
fn pool_words(pool: &str) -> String {
    match pool.split_once(':') {
        Some(("lock", name)) => format!("the lock '{name}'"),
        Some(("active", _)) => "a slot of max_active_tasks".to_owned(),
        Some(("run", _)) => "a slot of max_active_runs".to_owned(),
        _ => format!("slots of the pool '{pool}'"),
    }
}

/// What gives back what an interrupted run holds.
pub(super) fn way_out(run: &str) -> String {
    format!(
        "{run} is interrupted, and keeps what it holds: 'cauce resume {run}' goes on with it, 'cauce cancel {run}' \
         ends it"
    )
}

/// Who holds the slots of a pool, and where in line somebody stands.
async fn in_line(pool: &Pool, holder: &str, store: &Store, because: &mut Vec<String>) -> Result<(), Failure> {
    let (mut names, mut interrupted) = (Vec::new(), BTreeSet::new());
    for (holder, _) in pool.holders.iter().take(NAMED_MAX) {
        let name = store.holder(holder).await?;
        names.push(match store.interrupted(holder).await? {
            Some(run) => {
                interrupted.insert(run.to_string());
                format!("{name} (interrupted)")
            }
            None => name,
        });
    }
    if pool.holders.len() > NAMED_MAX {
        names.push(format!("{} more", pool.holders.len() - NAMED_MAX));
    }
    if pool.holders.iter().any(|(name, _)| name == holder) {
        because.push(
            "it has been granted its slots; the engine that asked for them goes on once it hears".to_owned(),
        );
        return Ok(());
    }
    because.push(match names.is_empty() {
        true => format!("0 of {} slots are taken", pool.slots),
        false => format!("{} of {} slots are taken, by {}", pool.used, pool.slots, names.join(", ")),
    });
    because.extend(interrupted.iter().map(|run| way_out(run)));
    if let Some(at) = pool.line.iter().position(|waiter| waiter.holder == holder) {
        because.push(format!("it is number {} of {} in line", at + 1, pool.line.len()));
    }
    Ok(())
}

/// Since when an approval is asked for, until when, and what to type.
fn asked(view: &RunView, plan: &TaskPlan, approval: &ApprovalRecord, env: &str, because: &mut Vec<String>) {
    // The record's reason says the same in one line.
    because.clear();
    if !approval.message.is_empty() {
        because.push(approval.message.clone());
    }
    let (run, task) = (&view.run.run, &plan.name);
    if let Some(answer) = &approval.answer {
        let at = time::moment(answer.at);
        because.push(format!("it was {answer}, at {at}; the engine goes on once it hears"));
        return;
    }
    because.push(format!("it waits for approval since {}", time::moment(approval.asked_at)));
    let then = match &plan.kind {
        TaskKind::Approval(plan) => match plan.on_timeout {
            OnTimeout::Fail => "fails",
            OnTimeout::Approve => "is approved",
            OnTimeout::Reject => "is rejected",
        },
        _ => "ends",
    };
    because.push(format!("without an answer it {then} at {}", time::moment(approval.until)));
    for verb in ["approve", "reject"] {
        because.push(format!("cauce {verb} {run} {task}{env}"));
    }
}

fn running(
    view: &RunView,
    plan: &TaskPlan,
    record: Option<&TaskRecord>,
    env: &str,
    because: &mut Vec<String>,
) {
    if let Some(items) = view.items.get(&plan.name) {
        let ended = items.iter().filter(|item| item.status.is_terminal()).count();
        let total = record.and_then(|record| record.item_count).unwrap_or(items.len() as u32);
        because.push(format!("{ended} of {total} items have ended"));
        because.extend(waiting_items(items, view.is_interrupted()));
    }
    if let Some(run) = record.and_then(|record| record.started_run.as_ref()) {
        let env = &view.env_option;
        because.push(format!("it waits for the run {run}; 'cauce why {run}{env}' goes on from there"));
    }
    if let Some(approval) = record.and_then(|record| record.approval.as_ref()) {
        asked(view, plan, approval, env, because);
        return;
    }
    let Some(attempt) = record.and_then(|record| record.attempts.last()) else { return };
    let since = time::duration(SystemClock.now().micros_since(attempt.started_at));
    let timeout = time::duration(i64::try_from(plan.timeout_seconds * 1_000_000).unwrap_or(i64::MAX));
    let size = attempt.size.map(|size| format!(" with {size}")).unwrap_or_default();
    if view.is_interrupted() {
        because.push(format!("attempt {} was under way when the engine went", attempt.number));
    } else {
        because
            .push(format!("attempt {} is under way{size} for {since} of at most {timeout}", attempt.number));
        if let Some(cancel) = view.run.cancel.as_ref().filter(|_| !plan.is_teardown()) {
            let most =
                time::duration(i64::try_from(plan.stop_timeout_seconds * 1_000_000).unwrap_or(i64::MAX));
            because.push(format!(
                "it was told to stop, and is ended {most} after that: the run is being cancelled ({})",
                cancel.reason
            ));
        }
        if attempt.log.is_some() {
            let (run, env) = (&view.run.run, &view.env_option);
            because.push(format!("'cauce logs {run} {} --follow{env}' shows what it prints", plan.name));
        }
    }
}

/// The numbers of items, cut after a few.
fn shown_numbers(items: &[u32]) -> String {
    let mut shown: Vec<String> = items.iter().take(NAMED_MAX).map(u32::to_string).collect();
    if items.len() > NAMED_MAX {
        shown.push(format!("{} more", items.len() - NAMED_MAX));
    }
    shown.join(", ")
}

/// The items that do not run: in line, each pool by itself, and between two attempts.
fn waiting_items(items: &[TaskRecord], is_interrupted: bool) -> Vec<String> {
    let mut in_line: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for item in items.iter().filter(|item| item.status == TaskStatus::Queued) {
        for pool in &item.waits_for {
            in_line.entry(pool).or_default().extend(item.index);
        }
    }
    let mut lines: Vec<String> = in_line
        .iter()
        .map(|(pool, items)| format!("items that wait for {}: {}", pool_words(pool), shown_numbers(items)))
        .collect();
    let pausing = items.iter().filter(|item| item.status == TaskStatus::Retrying);
    let pausing: Vec<(&TaskRecord, Instant)> =
        pausing.filter_map(|item| Some((item, item.retry_at?))).collect();
    if let Some(next) = pausing.iter().map(|(_, at)| *at).min() {
        let items: Vec<u32> = pausing.iter().filter_map(|(item, _)| item.index).collect();
        let at = time::moment(next);
        let when = match is_interrupted {
            true => format!("once the run is resumed, the first not before {at}"),
            false => format!("the first at {at}"),
        };
        lines.push(format!("items that failed and are tried again: {}, {when}", shown_numbers(&items)));
    }
    lines
}

fn last_failure(record: Option<&TaskRecord>) -> Option<String> {
    let attempt = record?.attempts.last()?;
    let class = attempt.class?;
    let code = attempt.exit_code.map(|code| format!("exit code {code}"));
    let words = attempt.message.clone();
    let code = code.filter(|code| !words.as_ref().is_some_and(|words| words.contains(code)));
    let details: Vec<String> = code.into_iter().chain(words).collect();
    let details = if details.is_empty() { String::new() } else { format!(": {}", details.join(": ")) };
    let size = attempt.size.map(|size| format!(", with {size}")).unwrap_or_default();
    Some(format!("attempt {} ended with class {class}{size}{details}", attempt.number))
}

/// Adds how the last attempt failed, in place of a reason that says the same in fewer words.
fn add_last_failure(view: &RunView, record: Option<&TaskRecord>, because: &mut Vec<String>) {
    if let Some(failure) = last_failure(record) {
        because.retain(|said| !failure.contains(said.as_str()));
        because.push(failure);
    }
    because.extend(record.and_then(|record| said(view, record)));
}

/// What a data task said of its failure.
fn said(view: &RunView, record: &TaskRecord) -> Option<String> {
    view.last_word(record).map(|words| format!("it said: {words}"))
}

fn retrying(view: &RunView, plan: &TaskPlan, record: Option<&TaskRecord>, because: &mut Vec<String>) {
    add_last_failure(view, record, because);
    if view.is_interrupted() {
        because.push("its next attempt starts when the run is resumed".to_owned());
    } else if let Some(at) = record.and_then(|record| record.retry_at) {
        let left = at.micros_since(SystemClock.now());
        let left = if left > 0 { format!("in {}", time::duration(left)) } else { "now".to_owned() };
        because.push(format!("the next attempt starts {left}, at {}", time::moment(at)));
    }
    if let Some(size) = record.and_then(|record| retry::size(plan, record)) {
        because.push(format!("it will have {size}"));
    }
    if let Some(record) = record {
        if let Some(class) = record.attempts.last().and_then(|attempt| attempt.class) {
            let Budget { charged, retries, is_platform } = retry::budget(&plan.retry, record, class);
            because.push(match is_platform {
                false => format!("it has had {} of {}", count(u64::from(charged), "attempt"), retries + 1),
                true => format!(
                    "such a failure uses up none of its retries; it has had {charged}, and {} end the task",
                    retries + 1
                ),
            });
        }
        let first = record.attempts.get(record.settled_attempts as usize);
        if let Some((first, longest)) = first.zip(plan.retry.max_duration_seconds) {
            let until = first.started_at.plus_seconds(longest);
            because.push(format!("no attempt begins after {} (retry.max_duration)", time::moment(until)));
        }
    }
}

fn failed(view: &RunView, plan: &TaskPlan, record: Option<&TaskRecord>, because: &mut Vec<String>) {
    add_last_failure(view, record, because);
    let items = view.items.get(&plan.name).map(Vec::as_slice).unwrap_or_default();
    let bad: Vec<&TaskRecord> = items.iter().filter(|item| item.status == TaskStatus::Failed).collect();
    if !bad.is_empty() {
        let numbers: Vec<u32> = bad.iter().filter_map(|item| item.index).collect();
        because.push(format!("items that failed: {}", shown_numbers(&numbers)));
    }
    if let Some((item, index)) = bad.first().and_then(|item| Some((*item, item.index?))) {
        because.extend(last_failure(Some(item)).map(|failure| format!("of item {index}, {failure}")));
        because.extend(said(view, item));
        if let Some(class) = item.attempts.last().and_then(|attempt| attempt.class) {
            because.push(format!("'cauce explain {class}' tells what to do"));
        }
        if item.attempts.last().is_some_and(|attempt| attempt.log.is_some()) {
            let (run, env) = (&view.run.run, &view.env_option);
            because
                .push(format!("'cauce logs {run} {} --item {index}{env}' shows what it printed", plan.name));
        }
    }
    if record.is_some_and(|record| record.allowed_failure) {
        because.push("allow_failure: it counts as success below it and for the run".to_owned());
    }
    // A run that it started tells more than a class.
    if let Some(run) = record.and_then(|record| record.started_run.as_ref()) {
        let env = &view.env_option;
        because.push(format!("it started the run {run}; 'cauce why {run}{env}' goes on from there"));
    } else if let Some(class) = record.and_then(|record| record.attempts.last()?.class) {
        because.push(format!("'cauce explain {class}' tells what to do"));
    } else if let Some(class) = record.and_then(class_of_reason) {
        because.push(format!("'cauce explain {class}' tells what to do"));
    }
    if record.and_then(|record| record.attempts.last()).is_some_and(|attempt| attempt.log.is_some()) {
        let (run, env) = (&view.run.run, &view.env_option);
        because.push(format!("'cauce logs {run} {}{env}' shows what it printed", plan.name));
    }
}

/// The class with which the reason of a task begins that failed without an attempt.
fn class_of_reason(record: &TaskRecord) -> Option<FailureClass> {
    FailureClass::parse(record.reason.as_deref()?.split_once(": ")?.0)
}

/// What became of the failure of a task that has a fallback.
fn fallback(view: &RunView, task: TaskIndex, because: &mut Vec<String>) {
    let Some(own) = view.prepared.fallback(task) else { return };
    let name = |task| &view.prepared.task(task).name;
    because.push(match status::made_good(&view.prepared, task, |task| view.status_of(task)) {
        Some(good) => {
            format!("its fallback {} succeeded: the run does not fail because of it", name(good))
        }
        None => format!("its fallback {} is {}", name(own), view.status_of(own)),
    });
}

fn skipped(view: &RunView, plan: &TaskPlan, because: &mut Vec<String>) {
    let branch = plan
        .needs
        .iter()
        .map(|up| &view.prepared.task(*up).name)
        .find(|up| view.tasks.get(up.as_str()).is_some_and(|record| record.skips.contains(&plan.name)));
    if let Some(branch) = branch
        && !because.iter().any(|said| said.contains(branch.as_str()))
    {
        because.push(format!("the branch {branch} took another way"));
    }
    if let Some(other) = plan.fallback_for {
        let (name, status) = (&view.prepared.task(other).name, view.status_of(other));
        because.clear();
        because.push(format!("it stands in for {name} when that fails, and {name} is {status}"));
    }
    if because.is_empty() {
        because.push(format!("its rule, {}, skips it after {}", plan.rule, named(view, &plan.needs)));
    }
}

/// The setups that made nothing in this generation, on whose work an upstream stands that keeps its ending.
fn gone(view: &RunView, plan: &TaskPlan) -> Vec<TaskIndex> {
    let record = |task: TaskIndex| view.tasks.get(&view.prepared.task(task).name);
    let kept = plan.needs.iter().filter(|up| view.run.carries(**up as usize));
    let kept: Vec<(TaskIndex, u32)> = kept.filter_map(|up| Some((*up, record(*up)?.generation))).collect();
    let is_gone = |setup: &TaskIndex| {
        let works = status::users(&view.prepared, *setup);
        let mut users = kept.iter().filter(|(up, _)| works[*up as usize]);
        let unmade = |setup_record: &TaskRecord, ran_in: u32| {
            status::unmade(&view.run, *setup, setup_record, ran_in).is_some()
        };
        record(*setup).is_some_and(|found| users.any(|(_, ran_in)| unmade(found, *ran_in)))
    };
    status::setups_of(&view.run, &view.prepared).into_iter().filter(is_gone).collect()
}

fn above(view: &RunView, plan: &TaskPlan, because: &mut Vec<String>) {
    let bad = |up: &TaskIndex| {
        matches!(view.status_of(*up), TaskStatus::Failed | TaskStatus::UpstreamFailed | TaskStatus::Cancelled)
    };
    let mut bad: Vec<TaskIndex> = plan.needs.iter().copied().filter(bad).collect();
    let gone = gone(view, plan);
    if bad.is_empty() && !gone.is_empty() {
        let setups = named(view, &gone);
        because
            .push(format!("what it needs worked on what {setups} had made, and this time nothing was made"));
        bad = gone;
    } else if bad.is_empty() {
        // Somebody has said since how they ended, or has run them again.
        let (run, env) = (&view.run.run, &view.env_option);
        because.push(format!(
            "since then what it needs has ended otherwise: {}; 'cauce rerun {run}{env}' runs it",
            named(view, &plan.needs)
        ));
        return;
    } else {
        because.push(format!("its rule, {}, cannot be met after {}", plan.rule, named(view, &bad)));
    }
    // The first cause is what has to be mended.
    let mut roots: Vec<TaskIndex> = Vec::new();
    let mut stack = bad;
    let mut seen = vec![false; view.prepared.plan.tasks.len()];
    while let Some(task) = stack.pop() {
        if std::mem::replace(&mut seen[task as usize], true) {
            continue;
        }
        match view.status_of(task) {
            TaskStatus::Failed | TaskStatus::Cancelled => roots.push(task),
            TaskStatus::UpstreamFailed => stack.extend(&view.prepared.task(task).needs),
            _ => {}
        }
    }
    roots.sort_unstable();
    let direct = roots.iter().all(|root| plan.needs.contains(root));
    if !roots.is_empty() && !direct {
        because.push(format!("it began with {}", named(view, &roots)));
    }
    if let Some(root) = roots.first() {
        because.push(format!(
            "'cauce why {} {}{}' goes on from there",
            view.run.run,
            view.prepared.task(*root).name,
            view.env_option
        ));
    }
}
