//! `cauce cost`: what pipelines cost on AWS, by forecast, and by what the runs of a month took.
//!
//! All prices are list prices of `cauce_compiler::prices`; what is not counted is said.

use std::path::{Path, PathBuf};

use cauce_compiler::forecast::Forecast;
use cauce_compiler::prices::{self, Calls};
use cauce_local::clock::SystemClock;
use cauce_model::fargate::Size;
use cauce_model::plan::{ContainerPlan, Plan, TaskKind};
use cauce_model::record::{AttemptRecord, RunRecord};
use cauce_model::{Instant, Json};
use cauce_ports::Clock;
use serde_json::json;

use crate::args::CostArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::project::{self, Loaded, ProjectFolder};
use crate::store::{RunView, Store};

/// What the sums leave out.
const NOT_COUNTED: &str = "not counted: data transfer, storage, what tasks log and call, NAT and endpoints, alarms, the \
                           sweep, idle queues, waits for pools, Spot discounts, disk above 20 GiB; free tiers; prices \
                           are us-east-1's";

/// A task's attempts are billed from its begin to its end as the store has them; ECS bills from the
/// pull of the image, which is within seconds of it.
const MICROS: i64 = 1_000_000;

/// What the runs of a month took.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Spent {
    runs: u64,
    attempts: u64,
    /// Seconds of containers, each attempt's rounded up.
    container_seconds: u64,
    containers_nano: u64,
    orchestration_nano: u64,
}

impl Spent {
    const fn total_nano(self) -> u64 {
        self.containers_nano + self.orchestration_nano
    }

    /// Adds a run: its attempts' containers, and the forecast's orchestration for every generation.
    /// A retry asks the same services again.
    fn add(&mut self, view: &RunView, forecast: Option<&Forecast>) {
        self.runs += 1;
        let run = forecast.map_or(0, |forecast| nano(forecast.price.run_usd));
        let item = forecast.map_or(0, |forecast| nano(forecast.price.item_usd));
        self.orchestration_nano += run * u64::from(view.run.generation);
        let items = view.items.values().map(|items| items.len() as u64).sum::<u64>();
        self.orchestration_nano += item * items;
        for record in view.tasks.values().chain(view.items.values().flatten()) {
            let Some(index) = view.prepared.find(&record.task).map(|(index, _)| index) else { continue };
            let TaskKind::Container(container) = &view.prepared.task(index).kind else { continue };
            for attempt in &record.attempts {
                self.attempts += 1;
                self.container_seconds += seconds(attempt);
                self.containers_nano += attempt_nano(container, attempt);
            }
            let retried = (record.attempts.len() as u64).saturating_sub(1);
            self.orchestration_nano += retried * Calls::CONTAINER.nano_usd();
        }
    }
}

/// What an attempt's container took, in billionths of a dollar.
pub(super) fn attempt_nano(container: &ContainerPlan, attempt: &AttemptRecord) -> u64 {
    let size = attempt.size.unwrap_or(Size { cpu: container.cpu, memory: container.memory });
    prices::fargate_nano_usd(u64::from(size.cpu), u64::from(size.memory), seconds(attempt))
}

/// How long an attempt took, or has taken, in whole seconds, rounded up.
fn seconds(attempt: &AttemptRecord) -> u64 {
    let ended = attempt.ended_at.unwrap_or_else(|| SystemClock.now());
    let micros = ended.micros_since(attempt.started_at).max(0);
    micros.unsigned_abs().div_ceil(MICROS.unsigned_abs())
}

fn nano(usd: f64) -> u64 {
    (usd * 1e9).round().max(0.0) as u64
}

fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

/// The month of runs that are counted: its first day and the next month's, in UTC.
fn month(text: Option<&str>, now: Instant) -> Result<(String, Instant, Instant), Failure> {
    let name = match text {
        Some(text) => text.to_owned(),
        None => now.to_timestamp().strftime("%Y-%m").to_string(),
    };
    let bad = || Failure::bad_input(format!("'{name}' is not a month such as 1997-01"));
    let first = format!("{name}-01").parse::<jiff::civil::Date>().ok().filter(|_| name.len() == 7);
    let first = first.ok_or_else(bad)?;
    let next = first.checked_add(jiff::Span::new().months(1)).map_err(|_| bad())?;
    let at = |date: jiff::civil::Date| Instant::parse(&format!("{date}T00:00:00Z")).map_err(|_| bad());
    let (from, to) = (at(first)?, at(next)?);
    Ok((name, from, to))
}

pub(crate) fn cost(args: &CostArgs, context: &Context) -> Result<Exit, Failure> {
    let (month, from, to) = month(args.month.as_deref(), SystemClock.now())?;
    let all = wanted(args, context)?;
    let store = Store::open(context)?;
    let mut runs: Vec<RunRecord> = Vec::new();
    if let Some(store) = &store {
        context.block_on(store.runs(Some(from), |run| {
            if run.created_at < to {
                runs.push(run);
            }
        }))?;
    }
    let mut rows = Vec::new();
    for loaded in &all {
        let (plan, forecast) = (&loaded.compiled.plan, &loaded.compiled.forecast);
        let mut spent = Spent::default();
        if let Some(store) = &store {
            for run in runs.iter().filter(|run| run.run.pipeline == plan.pipeline) {
                let view = context.block_on(store.view(run.clone()))?;
                spent.add(&view, Some(forecast));
            }
        }
        rows.push((plan, forecast, spent));
    }
    if context.json {
        let documents: Vec<Json> =
            rows.iter().map(|(plan, forecast, spent)| document(plan, forecast, *spent)).collect();
        let document = json!({
            "schema": 1, "month": month, "currency": "USD", "pipelines": documents, "not_counted": NOT_COUNTED,
        });
        context.output.json(&document)?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new([
        "PIPELINE",
        "USD/RUN",
        "RUNS/MONTH",
        "USD/MONTH",
        "RAN",
        "CONTAINERS",
        "REST",
        "USD SPENT",
    ]);
    for (plan, forecast, spent) in rows {
        let price = &forecast.price;
        table.row([
            plan.pipeline.as_str().into(),
            format!("{:.5}", price.run_usd).into(),
            price.runs_per_month.map_or_else(|| "-".to_owned(), |runs| format!("{runs:.1}")).into(),
            price.month_usd.map_or_else(|| "-".to_owned(), |usd| format!("{usd:.4}")).into(),
            spent.runs.to_string().into(),
            format!("{:.5}", usd(spent.containers_nano)).into(),
            format!("{:.5}", usd(spent.orchestration_nano)).into(),
            format!("{:.5}", usd(spent.total_nano())).into(),
        ]);
    }
    context.output.table(&table)?;
    let place = match context.there()? {
        Some(_) => format!("runs of {month} in '{}'", context.env),
        None => format!("runs of {month} on this machine, as if they had been on AWS"),
    };
    context.output.talk(&format!("the first three columns are the forecast, the others the {place}"));
    context.output.talk(NOT_COUNTED);
    Ok(Exit::Good)
}

/// The pipelines that are asked for.
fn wanted(args: &CostArgs, context: &Context) -> Result<Vec<Loaded>, Failure> {
    let here = &context.environment.current_dir;
    match &args.pipeline {
        Some(name) if context.absolute(Path::new(name)).is_file() || name.contains(['/', '.']) => {
            Ok(vec![project::load(Path::new(name), context)?])
        }
        Some(name) => {
            let folder = ProjectFolder::around(here, context)?;
            Ok(vec![project::find_pipeline(name, &folder, context)?])
        }
        None => {
            let folder = ProjectFolder::around(here, context)?;
            let files: Vec<PathBuf> = folder.pipelines()?.into_iter().map(|found| found.path).collect();
            if files.is_empty() {
                return Err(Failure::bad_input(format!(
                    "no file of {} defines a pipeline",
                    folder.root.display()
                ))
                .help("name a pipeline's file, or go to the project's folder"));
            }
            files.iter().map(|file| project::load(file, context)).collect()
        }
    }
}

fn document(plan: &Plan, forecast: &Forecast, spent: Spent) -> Json {
    json!({
        "pipeline": plan.pipeline,
        "forecast": forecast.price,
        "spent": {
            "runs": spent.runs,
            "attempts": spent.attempts,
            "container_seconds": spent.container_seconds,
            "containers_usd": usd(spent.containers_nano),
            "orchestration_usd": usd(spent.orchestration_nano),
            "total_usd": usd(spent.total_nano()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    #[test]
    fn a_month_is_its_first_day_to_the_next_ones() {
        let (name, from, to) = month(Some("1997-12"), at("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(
            (name.as_str(), from, to),
            ("1997-12", at("1997-12-01T00:00:00Z"), at("1998-01-01T00:00:00Z"))
        );
        assert_eq!(month(None, at("2026-03-31T23:59:59Z")).unwrap().0, "2026-03");
        for bad in ["1997-13", "1997", "1997-01-05", "1997-1"] {
            assert_eq!(
                month(Some(bad), at("2026-01-01T00:00:00Z")).unwrap_err().exit,
                Exit::BadInput,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_second_begun_is_a_second_billed() {
        let mut attempt: AttemptRecord = serde_json::from_value(json!({
            "number": 1, "generation": 1, "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:01:00Z",
        }))
        .unwrap();
        assert_eq!(seconds(&attempt), 60);
        attempt.ended_at = Some(at("2026-01-01T00:01:00.000001Z"));
        assert_eq!(seconds(&attempt), 61);
    }
}
