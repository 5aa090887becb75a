//! `cauce report`: where the time and the money of a pipeline go, over its runs and in one of them.

mod figures;
mod one;

use std::collections::{BTreeMap, VecDeque};

use cauce_driver::look::RunTasks;
use cauce_model::plan::{TaskKind, TaskPlan};
use cauce_model::record::{AttemptRecord, OutputRecord, RunRecord, TaskRecord};
use cauce_model::{Instant, Json, TaskStatus};
use serde_json::{Map, json};

use self::figures::{Figures, Finding, Kind, Sample, Spread, figures, findings};
use super::cost;
use crate::args::ReportArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::store::Store;
use crate::time;

/// The field of an output that tells how many rows a task wrote or read.
const ROWS: &str = "rows";

pub(crate) fn report(args: &ReportArgs, context: &Context) -> Result<Exit, Failure> {
    let store = Store::require(context)?;
    context.block_on(async {
        match &args.run {
            Some(run) => one::report(&args.pipeline, run, &store, context).await,
            None => of_runs(args, &store, context).await,
        }
    })
}

async fn of_runs(args: &ReportArgs, store: &Store, context: &Context) -> Result<Exit, Failure> {
    let since = args.since.as_deref().map(|text| time::read("--since", text)).transpose()?;
    let most = if since.is_some() { usize::MAX } else { args.last as usize };
    let mut runs: VecDeque<RunRecord> = VecDeque::new();
    let mut known = false;
    store
        .runs(since, |run| {
            known |= run.run.pipeline == args.pipeline;
            // What is under way has no figures yet.
            if run.run.pipeline == args.pipeline && run.status.is_terminal() {
                if runs.len() == most {
                    runs.pop_front();
                }
                runs.push_back(run);
            }
        })
        .await?;
    if runs.is_empty() {
        let why = if known { "no run of it has ended" } else { "it has no runs" };
        let place = if since.is_some() { " since then" } else { "" };
        return Err(Failure::bad_input(format!(
            "there is nothing to report of '{}': {why}{place}",
            args.pipeline
        ))
        .help("'cauce runs' lists what has run"));
    }
    let mut tasks: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut took = Vec::new();
    let count = runs.len();
    for run in runs {
        took.extend(run.started_at.zip(run.ended_at).map(|(from, to)| seconds(from, to)));
        let view = store.view(run).await?;
        for (task, _, record) in view.each() {
            let Some(sample) = record.and_then(|record| sample(&view, task, record)) else { continue };
            if !tasks.contains_key(&task.name) {
                order.push(task.name.clone());
            }
            tasks.entry(task.name.clone()).or_default().push(sample);
        }
    }
    let told: Vec<(&String, Figures)> = order.iter().map(|task| (task, figures(&tasks[task]))).collect();
    let found = findings(&tasks);
    let whole = Spread::of(took);
    if context.json {
        let of_tasks: Map<String, Json> =
            told.iter().map(|(task, figures)| ((*task).clone(), json!(figures))).collect();
        let told: Vec<Json> = found.iter().map(document).collect();
        context.output.json(&json!({
            "schema": 1, "pipeline": args.pipeline, "runs": count, "run_seconds": whole, "tasks": of_tasks,
            "findings": told,
        }))?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new([
        "TASK", "RUNS", "ATTEMPTS", "FAILED", "P50", "P95", "P99", "MEAN", "WAIT P95", "ROWS/S", "USD",
    ]);
    for (task, of) in &told {
        let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), shown);
        table.row([
            task.as_str().into(),
            of.runs.to_string().into(),
            of.attempts.to_string().into(),
            percent(of.failure_rate).into(),
            time(of.seconds.map(|s| s.p50)).into(),
            time(of.seconds.map(|s| s.p95)).into(),
            time(of.seconds.map(|s| s.p99)).into(),
            time(of.seconds.map(|s| s.mean)).into(),
            time(of.waited_seconds.map(|s| s.p95)).into(),
            of.rows_per_second.map_or_else(|| "-".to_owned(), |rows| format!("{rows:.0}")).into(),
            format!("{:.5}", of.usd).into(),
        ]);
    }
    context.output.table(&table)?;
    if !found.is_empty() {
        context.output.line("")?;
    }
    for finding in &found {
        context.output.line(&words(finding))?;
    }
    let lasted = whole.map_or_else(String::new, |s| format!(", p50 {}, p95 {}", shown(s.p50), shown(s.p95)));
    context.output.talk(&format!(
        "{} of {}{lasted}",
        super::check::count(count as u64, "run"),
        args.pipeline
    ));
    if found.is_empty() {
        context.output.talk("nothing stands out");
    }
    Ok(Exit::Good)
}

/// What a task did in a run; none where nothing of it ran.
fn sample(view: &RunTasks, task: &TaskPlan, record: &TaskRecord) -> Option<Sample> {
    let items = view.items.get(&task.name).map(Vec::as_slice).unwrap_or_default();
    let attempts: Vec<&AttemptRecord> = items.iter().chain([record]).flat_map(|of| &of.attempts).collect();
    let ended = attempts.iter().filter_map(|attempt| Some(seconds(attempt.started_at, attempt.ended_at?)));
    let sample = Sample {
        attempts: ended.collect(),
        failed_attempts: attempts.iter().filter(|attempt| attempt.class.is_some()).count(),
        failed: record.status == TaskStatus::Failed,
        waited: waited(view, task, record),
        in_line: record.queued_at.zip(record.started_at).map(|(from, to)| seconds(from, to)),
        rows: rows(record).zip(record.attempts.last().and_then(last_seconds)),
        nano_usd: attempts.iter().map(|attempt| nano_usd(task, attempt)).sum(),
    };
    let did = !sample.attempts.is_empty() || sample.failed;
    did.then_some(sample)
}

/// Seconds from the moment at which everything above a task had ended to its start.
fn waited(view: &RunTasks, task: &TaskPlan, record: &TaskRecord) -> Option<f64> {
    let ends = task.needs.iter().filter_map(|up| {
        let up = view.tasks.get(&view.prepared.task(*up).name)?;
        up.ended_at.filter(|_| up.status.is_terminal())
    });
    let ready = ends.chain(view.run.started_at).max()?;
    // Under a rule that fires early it starts before the last of them; of an earlier generation it did too.
    Some(seconds(ready, record.started_at?))
}

fn last_seconds(attempt: &AttemptRecord) -> Option<f64> {
    Some(seconds(attempt.started_at, attempt.ended_at?))
}

/// The rows that an output tells of. One too large for the record is not read: those of the data kinds
/// are small.
fn rows(record: &TaskRecord) -> Option<f64> {
    match record.output.as_ref()? {
        OutputRecord::Inline(output) => output.get(ROWS)?.as_f64(),
        OutputRecord::Uri(_) => None,
    }
}

fn nano_usd(task: &TaskPlan, attempt: &AttemptRecord) -> u64 {
    match &task.kind {
        TaskKind::Container(container) => cost::attempt_nano(container, attempt),
        _ => 0,
    }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.micros_since(from).max(0) as f64 / 1e6
}

fn shown(seconds: f64) -> String {
    time::duration((seconds * 1e6).round() as i64)
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn words(finding: &Finding) -> String {
    let Finding { task, kind, value, against } = finding;
    let (value_shown, against_shown) = (shown(*value), shown(*against));
    match kind {
        Kind::Bottleneck => format!(
            "{task}: bottleneck: one attempt in twenty takes {value_shown} or more, {:.1} times the mean of \
             {against_shown}",
            value / against
        ),
        Kind::Spread => format!(
            "{task}: uneven: one attempt in twenty takes {value_shown} or more, half of them at most {against_shown}"
        ),
        Kind::Slower => format!(
            "{task}: slower: p95 is {value_shown} in the newest runs, and was {against_shown} in those before"
        ),
        Kind::Failures => {
            format!("{task}: fails: {} of its attempts, more than {}", percent(*value), percent(*against))
        }
        Kind::Waits => format!(
            "{task}: waits: p95 from the end of what it needs to its start is {value_shown}; it takes {against_shown} on average"
        ),
    }
}

fn document(finding: &Finding) -> Json {
    let mut document = json!(finding);
    document["text"] = json!(words(finding));
    document
}
