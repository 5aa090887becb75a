//! Metrics as Prometheus reads them. No dimension is finer than the pipeline.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use super::Desk;
use crate::http::Answer;
use crate::place::Place;
use crate::problem::Failed;
use cauce_driver::look;
use cauce_engine::slots;
use cauce_model::RunStatus;
use cauce_model::record::{ACTIVE_LIST, DUE_LIST};
use cauce_model::time::MICROS;
use cauce_ports::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// How far back runs are counted.
const RUNS_OF_SECONDS: i64 = 86_400;

/// Most entries of a list that are counted.
const COUNTED_MAX: u32 = 1000;

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl<P: Place> Desk<P> {
    pub(super) async fn metrics(&self) -> Result<Answer, Failed> {
        let (now, table) = (self.now(), self.place.table());
        let mut text = String::new();
        let since = now.plus_micros(-RUNS_OF_SECONDS * MICROS);
        let mut runs: BTreeMap<(String, RunStatus), u64> = BTreeMap::new();
        look::runs(table, Some(since), |run| *runs.entry((run.run.pipeline, run.status)).or_default() += 1)
            .await?;
        head(&mut text, "cauce_runs_day", "gauge", "Runs made within the last day, by their present status.");
        for ((pipeline, status), count) in &runs {
            line(&mut text, "cauce_runs_day", &[("pipeline", pipeline), ("status", status.as_str())], *count);
        }
        let active = table.list(ACTIVE_LIST, "", None, COUNTED_MAX).await?.items.len();
        head(&mut text, "cauce_runs_active", "gauge", "Runs that the sweep looks at, at most 1000.");
        line(&mut text, "cauce_runs_active", &[], active as u64);

        let due = table.list(DUE_LIST, "", None, COUNTED_MAX).await?.items;
        let until = look::position(now);
        let at = |item: &cauce_model::Item| item.index.as_ref().map(|place| place.position.clone());
        let late: Vec<String> = due.iter().filter_map(at).filter(|position| *position < until).collect();
        head(&mut text, "cauce_due", "gauge", "Timers: deadlines, ticks, sets of files; at most 1000.");
        line(&mut text, "cauce_due", &[], due.len() as u64);
        head(&mut text, "cauce_late", "gauge", "Timers whose time has come.");
        line(&mut text, "cauce_late", &[], late.len() as u64);
        let oldest = late.first().and_then(|position| position.get(..20)?.parse::<i64>().ok());
        let behind = oldest.map_or(0, |at| (now.micros() - at).max(0) / MICROS);
        head(&mut text, "cauce_late_seconds", "gauge", "How late the oldest of them is.");
        line(&mut text, "cauce_late_seconds", &[], behind as u64);

        let mut pools = BTreeSet::new();
        head(&mut text, "cauce_pipeline_paused", "gauge", "Whether its triggers are held back.");
        for record in look::pipelines(table).await? {
            let plan = self.place.plan(&record.pipeline, &record.version).await?;
            let paused = u64::from(record.paused || plan.plan.paused);
            line(&mut text, "cauce_pipeline_paused", &[("pipeline", &record.pipeline)], paused);
            pools.extend(slots::of_plan(&plan.plan));
        }
        let mut found = Vec::new();
        for name in pools {
            if let Some(pool) = look::pool(table, &name).await? {
                found.push((name, pool));
            }
        }
        for (metric, help, of) in POOLS {
            head(&mut text, metric, "gauge", help);
            for (name, pool) in &found {
                line(&mut text, metric, &[("pool", name)], of(pool));
            }
        }
        head(&mut text, "cauce_api_requests_total", "counter", "Requests answered by this process.");
        for ((operation, class), count) in self.memory.answered.borrow().iter() {
            let class = format!("{class}xx");
            line(
                &mut text,
                "cauce_api_requests_total",
                &[("operation", operation), ("status", &class)],
                *count,
            );
        }
        Ok(Answer { status: 200, media_type: MEDIA_TYPE, body: text.into_bytes(), headers: Vec::new() })
    }
}

type OfPool = (&'static str, &'static str, fn(&look::Pool) -> u64);

const POOLS: [OfPool; 3] = [
    ("cauce_pool_slots", "Slots of a pool.", |pool| pool.slots.max(0) as u64),
    ("cauce_pool_held", "Slots that are held.", |pool| pool.used.max(0) as u64),
    ("cauce_pool_waiting", "Those in line for slots.", |pool| pool.line.len() as u64),
];

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A line. Names of pipelines, pools, statuses and operations hold nothing that would have to be escaped.
fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(text, "{name}{labels} {value}");
}
