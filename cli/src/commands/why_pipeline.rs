//! `cauce why PIPELINE`: why a pipeline starts no run now: a pause, its schedule, the datasets that it waits
//! for, the runs before it.

use std::collections::BTreeMap;

use cauce_driver::look::next_tick;
use cauce_local::clock::SystemClock;
use cauce_model::RunStatus;
use cauce_model::plan::Plan;
use cauce_model::record::{PipelineRecord, RunRecord};
use cauce_ports::Clock;
use serde_json::json;

use super::check::count;
use super::datasets::{Waits, unheard};
use super::schedule::local;
use super::why::paragraph;
use crate::args::WhyArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Tone, paint};
use crate::store::Store;

/// Why the pipeline of this name starts nothing, where there is one.
pub(super) fn of_pipeline(args: &WhyArgs, store: &Store, context: &Context) -> Result<Option<Exit>, Failure> {
    if args.run.contains('/') || args.task.is_some() {
        return Ok(None);
    }
    let name = &args.run;
    context.block_on(async {
        let waits = of_consumer(name, store).await?;
        let Some(record) = store.pipeline(name).await? else {
            return waits.map(|because| tell(name, "is started by datasets", &because, context)).transpose();
        };
        let plan = store.plan_of(name, &record.version).await?;
        let (held, mut because) = paused(&record, &plan.plan, &context.env_option());
        let by_datasets = waits.is_some();
        because.extend(waits.into_iter().flatten());
        if !held && let Some((at, zone)) = next_tick(&plan.plan, SystemClock.now()) {
            because.push(format!("its next tick is at {}", local(at, &zone)));
        }
        because.extend(of_runs(name, &record, &plan.plan, store).await?);
        let heading = match (held, by_datasets) {
            (true, _) => "is paused: its triggers start nothing",
            (false, true) => "is started by datasets",
            (false, false) if plan.plan.schedules.is_empty() && plan.plan.triggers.is_empty() => {
                "is started by people"
            }
            (false, false) => "is not paused",
        };
        tell(name, heading, &because, context).map(Some)
    })
}

fn tell(name: &str, heading: &str, because: &[String], context: &Context) -> Result<Exit, Failure> {
    if context.json {
        context.output.json(&json!({"schema": 1, "pipeline": name, "because": because}))?;
    } else {
        let name = paint(name, Tone::Strong, context.output.data_colour());
        paragraph(&format!("{name} {heading}"), because, context)?;
    }
    Ok(Exit::Good)
}

/// What a pipeline that datasets start waits for; none where datasets do not start it.
async fn of_consumer(name: &str, store: &Store) -> Result<Option<Vec<String>>, Failure> {
    let Some((consumer, waiting)) = store.consumer(name).await? else { return Ok(None) };
    let mut newest = BTreeMap::new();
    for name in consumer.heard.keys() {
        let dataset = store.dataset(name).await?;
        newest.insert(name.clone(), dataset.map_or(0, |dataset| dataset.newest.number));
    }
    let unheard = unheard(&consumer, |name| newest.get(name).copied().unwrap_or_default());
    let waits = Waits { consumer: &consumer, waiting: &waiting, unheard, now: SystemClock.now() };
    Ok(Some(waits.lines()))
}

/// Whether its triggers are held back, why, and what lets it go on.
fn paused(record: &PipelineRecord, plan: &Plan, env: &str) -> (bool, Vec<String>) {
    let name = &record.pipeline;
    let mut because = Vec::new();
    if record.paused {
        because.push(record.paused_because.clone().unwrap_or_else(|| {
            format!("somebody paused it, or it was deployed paused; 'cauce audit{env}' tells who")
        }));
        because.push(format!("'cauce unpause {name}{env}' lets it go on"));
    }
    if plan.paused {
        because.push("its file says 'paused: true'; without that line it goes on".to_owned());
    }
    (record.paused || plan.paused, because)
}

/// How its runs stand.
async fn of_runs(
    name: &str,
    record: &PipelineRecord,
    plan: &Plan,
    store: &Store,
) -> Result<Vec<String>, Failure> {
    let (mut newest, mut open, mut queued): (Option<RunRecord>, u64, u64) = (None, 0, 0);
    store
        .runs(None, |run| {
            if run.run.pipeline == name {
                open += u64::from(!run.status.is_terminal());
                queued += u64::from(run.status == RunStatus::Queued);
                newest = Some(run);
            }
        })
        .await?;
    let mut lines = Vec::new();
    if open > 0 {
        let waiting = match queued {
            0 => String::new(),
            queued => format!(", of which {queued} wait to be let in"),
        };
        let most = plan.max_active_runs;
        lines.push(format!(
            "{} under way{waiting}; it lets in {most} at once (max_active_runs)",
            count(open, "run")
        ));
    }
    if let Some(run) = newest {
        lines.push(format!("its newest run is {}, {}", run.run, run.status));
    }
    let failed = store.failed_in_a_row(name).await?.len();
    if let Some(most) = plan.max_consecutive_failed_runs.filter(|_| failed > 0 && !record.paused) {
        lines.push(format!("{failed} of {most} runs in a row have failed: then it is paused"));
    }
    Ok(lines)
}
