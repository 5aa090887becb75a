//! The report of one run: what made it as long as it was, and what each task did.

use cauce_model::record::TaskRecord;
use cauce_model::{Instant, Json, TaskStatus};
use serde_json::{Map, json};

use super::figures::{Span, critical_path};
use super::{nano_usd, rows, seconds, shown, waited};
use crate::commands::runs::spent;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table};
use crate::store::{RunView, Store};
use crate::time;

pub(super) async fn report(
    pipeline: &str,
    run: &str,
    store: &Store,
    context: &Context,
) -> Result<Exit, Failure> {
    // A run may be named whole as well, as everywhere.
    let named = if run.contains('/') { run.to_owned() } else { format!("{pipeline}/{run}") };
    if !named.starts_with(&format!("{pipeline}/")) {
        return Err(Failure::bad_input(format!("{named} is no run of '{pipeline}'")));
    }
    let run = store.find(&named).await?;
    let view = store.view(run).await?;
    let path = path(&view);
    let on_path = |index: usize| path.contains(&index);
    let names: Vec<&str> = path.iter().map(|at| view.prepared.plan.tasks[*at].name.as_str()).collect();
    if context.json {
        let tasks: Map<String, Json> = view
            .each()
            .enumerate()
            .map(|(index, (task, status, record))| {
                let mut told = json!({"status": status, "critical": on_path(index)});
                if let Some(record) = record {
                    let attempts: Vec<Json> = record.attempts.iter().map(|attempt| json!({
                        "number": attempt.number, "started_at": attempt.started_at, "ended_at": attempt.ended_at,
                        "class": attempt.class,
                        "seconds": attempt.ended_at.map(|ended| seconds(attempt.started_at, ended)),
                    })).collect();
                    told["queued_at"] = json!(record.queued_at);
                    told["started_at"] = json!(record.started_at);
                    told["ended_at"] = json!(record.ended_at);
                    told["waited_seconds"] = json!(waited(&view, task, record));
                    told["attempts"] = Json::Array(attempts);
                    told["rows"] = json!(rows(record));
                    told["usd"] = json!(usd(&view, index, record));
                }
                (task.name.clone(), told)
            })
            .collect();
        context.output.json(&json!({
            "schema": 1, "run": view.run.run.to_string(), "status": view.run.status,
            "seconds": view.run.started_at.zip(view.run.ended_at).map(|(from, to)| seconds(from, to)),
            "critical_path": names, "tasks": tasks,
        }))?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new([
        "TASK", "STATUS", "WAITED", "STARTED", "ENDED", "DURATION", "ATTEMPTS", "CLASSES", "USD", "CRITICAL",
    ]);
    for (index, (task, _, record)) in view.each().enumerate() {
        let at = |at: Option<Instant>| at.map(|at| after(&view, at)).unwrap_or_default();
        let span = record.and_then(|record| Some(seconds(record.started_at?, record.ended_at?)));
        table.row([
            task.name.as_str().into(),
            Cell::status(view.task_status(index as u32)),
            record.and_then(|record| waited(&view, task, record)).map(shown).unwrap_or_default().into(),
            at(record.and_then(|record| record.started_at)).into(),
            at(record.and_then(|record| record.ended_at)).into(),
            span.map(shown).unwrap_or_default().into(),
            record.map_or_else(String::new, |record| record.attempts.len().to_string()).into(),
            record.map(classes).unwrap_or_default().into(),
            record.map_or_else(String::new, |record| format!("{:.5}", usd(&view, index, record))).into(),
            if on_path(index) { "*" } else { "" }.into(),
        ]);
    }
    context.output.table(&table)?;
    context.output.talk(&format!("{} is {}{}", view.run.run, view.status(), times(&view)));
    if !names.is_empty() {
        context.output.talk(&format!("critical path: {}", names.join(" -> ")));
    }
    Ok(Exit::Good)
}

/// How long the run took, and from when its table counts.
fn times(view: &RunView) -> String {
    let Some(started) = view.run.started_at.map(time::moment) else {
        let began = if view.run.status.is_terminal() { "never began" } else { "has not begun yet" };
        return format!("; it {began}");
    };
    let took = match view.run.status.is_terminal() {
        true => format!(", took {}", spent(&view.run)),
        // Nobody knows until when it went on.
        false if view.is_interrupted() => String::new(),
        false => format!(" for {}", spent(&view.run)),
    };
    format!("{took}; the times are counted from its start, {started}")
}

/// The tasks that made the run as long as it was, by position.
fn path(view: &RunView) -> Vec<usize> {
    let from = view.run.started_at;
    let spans: Vec<Span> = view
        .each()
        .map(|(task, status, record)| {
            // What an earlier generation ended is not why this one took so long.
            let own = record.filter(|record| record.generation == view.run.generation);
            let ended = own.and_then(|record| Some(seconds(from?, record.ended_at?)));
            let is_idle = matches!(status, TaskStatus::Skipped | TaskStatus::UpstreamFailed)
                && own.is_none_or(|record| record.started_at.is_none());
            Span { needs: task.needs.iter().map(|up| *up as usize).collect(), ended, idle: is_idle }
        })
        .collect();
    critical_path(&spans)
}

/// A moment as the time since the run began.
fn after(view: &RunView, at: Instant) -> String {
    match view.run.started_at {
        Some(from) if at >= from => format!("+{}", time::duration(at.micros_since(from))),
        _ => time::moment(at),
    }
}

/// The classes of the attempts that failed, each with how often.
fn classes(record: &TaskRecord) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for class in record.attempts.iter().filter_map(|attempt| attempt.class) {
        match counted.iter_mut().find(|(known, _)| *known == class.as_str()) {
            Some((_, count)) => *count += 1,
            None => counted.push((class.as_str(), 1)),
        }
    }
    let words = counted.into_iter().map(|(class, count)| match count {
        1 => class.to_owned(),
        count => format!("{class} x{count}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What the attempts of a task and of its items took, in dollars.
fn usd(view: &RunView, index: usize, record: &TaskRecord) -> f64 {
    let task = &view.prepared.plan.tasks[index];
    let items = view.items.get(&task.name).map(Vec::as_slice).unwrap_or_default();
    let attempts = items.iter().chain([record]).flat_map(|of| &of.attempts);
    attempts.map(|attempt| nano_usd(task, attempt)).sum::<u64>() as f64 / 1e9
}
