//! Runs that fail one after the other: after so many their pipeline is paused.
//!
//! A run is counted in the write that ends it, under its id: a Close that is repeated, and a rerun that
//! fails again, count nothing twice. A run that succeeds ends the streak, and so does whoever lets the
//! pipeline go on. Skipped and cancelled runs say nothing about it.

use crate::ending::notice;
use crate::stop::Stop;
use crate::{Prepared, View};
use cauce_model::item::Expect;
use cauce_model::record::{PipelineRecord, Record, RunRecord, pipeline_item};
use cauce_model::streak::{StreakRecord, streak_item};
use cauce_model::{AuditRecord, Instant, RunStatus, Write};
use serde_json::json;

/// Who pauses, as the audit tells it: the setting that says so.
const SETTING: &str = "max_consecutive_failed_runs";

/// How many runs a sentence names.
const NAMED_MAX: usize = 5;

/// What the end of a run writes beside its record. When it is one failure too many, the notice of the pause
/// goes into its outbox.
pub(crate) fn ended(
    run: &mut RunRecord,
    prepared: &Prepared,
    view: &View,
    now: Instant,
) -> Result<Vec<Write>, Stop> {
    let pipeline = run.run.pipeline.clone();
    let Some(most) = prepared.plan.max_consecutive_failed_runs else { return Ok(Vec::new()) };
    let key = streak_item(&pipeline);
    if !matches!(run.status, RunStatus::Failed | RunStatus::Success) {
        return Ok(Vec::new());
    }
    view.want([key.clone(), pipeline_item(&pipeline)])?;
    let item = view.item(&key)?;
    let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
    if run.status == RunStatus::Success {
        return Ok(item.map(|_| Write::Delete { key, expect }).into_iter().collect());
    }
    let mut streak = item.map(StreakRecord::from_item).transpose()?.unwrap_or_default();
    if streak.failed.contains(&run.run.run_id) {
        return Ok(Vec::new());
    }
    streak.failed.push(run.run.run_id.clone());
    let surplus = streak.failed.len().saturating_sub(most as usize);
    streak.failed.drain(..surplus);
    let mut writes = vec![Write::Put { item: streak.row(&pipeline), expect }];
    if streak.failed.len() >= most as usize
        && let Some(item) = view.item(&pipeline_item(&pipeline))?
    {
        let mut record = PipelineRecord::from_item(item)?;
        if !record.paused {
            let because = because(&streak);
            record.paused = true;
            record.paused_because = Some(because.clone());
            writes.push(Write::Put { item: record.row(), expect: Expect::Version(item.version) });
            writes.push(entry(run, &streak, now).write());
            let subject = format!("{pipeline}: paused, {because}");
            let message = format!(
                "its triggers start nothing until somebody says 'cauce unpause {pipeline}'; runs that people \
                 start are not held back"
            );
            for channel in &prepared.plan.notify.failed {
                run.outbox.push(notice(run, None, channel, "paused", &subject, &message, now));
            }
        }
    }
    Ok(writes)
}

/// What letting a pipeline go on writes beside its record: it begins to count anew.
pub(crate) fn forgotten(pipeline: &str, view: &View) -> Result<Option<Write>, Stop> {
    let key = streak_item(pipeline);
    let item = view.item(&key)?;
    Ok(item.map(|item| Write::Delete { key, expect: Expect::Version(item.version) }))
}

/// Why events start nothing, for the ledger; none where a person paused the pipeline, or its file does.
pub(crate) fn held_back(deployed: &PipelineRecord) -> Option<String> {
    let because = deployed.paused_because.as_ref().filter(|_| deployed.paused)?;
    Some(format!("{because}; 'cauce unpause {}' lets it go on", deployed.pipeline))
}

fn because(streak: &StreakRecord) -> String {
    let failed = &streak.failed;
    let count = failed.len();
    let runs = if count == 1 { "run" } else { "runs in a row" };
    let mut names = failed[count.saturating_sub(NAMED_MAX)..].join(", ");
    if count > NAMED_MAX {
        names = format!("..., {names}");
    }
    format!("{count} {runs} failed ({names})")
}

fn entry(run: &RunRecord, streak: &StreakRecord, now: Instant) -> AuditRecord {
    let mut entry = AuditRecord::new(now, "pause");
    entry.by = Some(SETTING.to_owned());
    entry.pipeline = Some(run.run.pipeline.clone());
    entry.run = Some(run.run.to_string());
    entry.version = Some(run.version.clone());
    entry.detail = json!({"failed": streak.failed});
    entry
}
