//! A canary: a deployment that takes a share of the new runs, beside the one that takes the rest.
//!
//! Which of them a run takes is a matter of its id ([`PipelineRecord::canary_of`]), so whoever decides, and
//! however often, decides alike. What starts runs has to be the same in both: rules and schedules exist once,
//! and are those of the canary as soon as Terraform has made it.

use crate::command::{Canary, CanaryStep, Decision, Reply};
use crate::stop::Stop;
use crate::{View, deploy};
use cauce_model::deployment::VersionRecord;
use cauce_model::item::Expect;
use cauce_model::plan::Plan;
use cauce_model::record::{PipelineRecord, Record as _, pipeline_item};
use cauce_model::{AuditRecord, Instant, Write, names};
use serde_json::json;

/// What a canary may not change.
///
/// # Errors
/// It would change it; the plan of what is deployed is still to be loaded.
pub(crate) fn check(
    known: &PipelineRecord,
    plan: &Plan,
    buckets: &[String],
    view: &View,
) -> Result<(), Stop> {
    let beside = view.plan(&known.pipeline, &known.version)?;
    let what = if beside.plan.schedules != plan.schedules || beside.plan.timezone != plan.timezone {
        "schedules"
    } else if beside.plan.triggers != plan.triggers || known.buckets != buckets {
        "triggers"
    } else if beside.plan.paused != plan.paused {
        "'paused'"
    } else {
        return Ok(());
    };
    Err(Stop::refuse(
        names::DEPLOYMENT_REJECTED,
        format!("a canary of {} cannot change its {what}: deploy it without a share", known.pipeline),
    ))
}

/// Gives a pipeline's canary another share, makes it what all new runs take, or takes it away. Runs under
/// way go on with what they are pinned to.
pub(crate) fn decide(request: &Canary, view: &View, now: Instant) -> Result<Decision, Stop> {
    let name = &request.pipeline;
    let Some(item) = view.item(&pipeline_item(name))? else {
        return Err(Stop::refuse(names::DENIED, format!("there is no pipeline '{name}'")));
    };
    let mut record = PipelineRecord::from_item(item)?;
    let Some(mut canary) = record.canary.take() else {
        return Err(Stop::refuse(names::DENIED, format!("{name} has no canary")));
    };
    let mut entry = AuditRecord::new(now, "canary");
    entry.by.clone_from(&request.by);
    entry.pipeline = Some(name.clone());
    entry.version = Some(canary.of.version.clone());
    let (before, beside) = (canary.percent, record.version.clone());
    let word = match request.step {
        CanaryStep::Share(percent) => {
            canary.percent = percent;
            record.canary = Some(canary);
            "share"
        }
        CanaryStep::Promote => {
            let VersionRecord { version, machine, parts, deployment } = canary.of;
            record = PipelineRecord { version, machine, parts, deployment: Some(deployment), ..record };
            "promote"
        }
        CanaryStep::Abort => "abort",
    };
    let percent = record.canary.as_ref().map(|canary| canary.percent);
    entry.detail = json!({"step": word, "percent": percent, "before": before, "beside": beside});
    let reply = Reply::Ok(json!({
        "pipeline": name,
        "version": record.version,
        "canary": record.canary.as_ref().map(|canary| json!({"version": canary.of.version, "percent": percent})),
    }));
    let writes = if percent == Some(before) {
        Vec::new()
    } else {
        vec![Write::Put { item: record.row(), expect: Expect::Version(item.version) }, entry.write()]
    };
    let effects = vec![deploy::subscribe(name)];
    Ok(Decision { writes, effects, reply, ..Decision::default() })
}
