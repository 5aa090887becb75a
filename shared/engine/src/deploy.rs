//! Deploy and Undeploy: which version and which pinned things new runs of a pipeline take.
//!
//! With a share, it becomes the canary beside what is deployed ([`crate::canary`]).
//!
//! Documents first, then one write: a deployment that cannot be finished changes nothing, and one that
//! is repeated changes nothing more. Two at the same time: the later write counts, whole.

use crate::command::{Command, Decision, Deploy, Effect, Reply};
use crate::stop::Stop;
use crate::view::Document;
use crate::{Settings, View, canary, consumers, files, ticks};
use cauce_model::deployment::{DEPLOYMENT_SCHEMA, PLAN_BYTES_MAX, VersionRecord, plan_uri, version_item};
use cauce_model::event::{InterestRecord, clock_item, interest_item};
use cauce_model::ids::is_name;
use cauce_model::item::Expect;
use cauce_model::plan::{PLAN_SCHEMA, Plan, TaskKind, TriggerPlan};
use cauce_model::record::{Canary, PipelineRecord, Record, pipeline_item};
use cauce_model::{AuditRecord, Deployment, Instant, Item, Write, names};
use serde_json::json;
use std::collections::BTreeMap;

/// Most buckets whose objects a pipeline may wait for: all of them, old and new, change in one write.
const BUCKETS_MAX: usize = 40;

/// Makes a version the one that new runs take. Whether the pipeline is paused is kept.
pub(crate) fn deploy(
    request: &Deploy,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let deployment = &request.deployment;
    check(deployment)?;
    let key = pipeline_item(&deployment.pipeline);
    let bytes = match view.document(&request.plan, PLAN_BYTES_MAX)? {
        Document::Bytes(bytes) => bytes,
        Document::Absent => return Err(rejected(format!("there is no plan at {}", request.plan))),
        Document::TooLarge(bytes) => {
            return Err(rejected(format!(
                "the plan at {} has {bytes} bytes; at most {PLAN_BYTES_MAX} are read",
                request.plan
            )));
        }
    };
    let plan: Plan = serde_json::from_slice(bytes)
        .map_err(|error| rejected(format!("{} is not a plan: {error}", request.plan)))?;
    check_plan(&plan, deployment, &request.plan)?;

    let pinned = settings.pinned(deployment);
    let interests = interests(&plan, &pinned)?;
    consumers::filled(&plan, &pinned).map_err(rejected)?;
    view.want([key.clone(), clock_item(&deployment.pipeline)])?;
    let item = view.item(&key)?;
    let known = item.map(PipelineRecord::from_item).transpose()?;
    let uri = deployment.uri(&settings.documents);
    let version = VersionRecord {
        version: deployment.version.clone(),
        machine: deployment.machine.clone(),
        parts: deployment.parts(),
        deployment: uri.clone(),
    };
    let buckets: Vec<String> = interests.keys().cloned().collect();
    let record = match (&known, request.canary) {
        (Some(known), Some(percent)) if known.deployment.as_ref() != Some(&uri) => {
            canary::check(known, &plan, &buckets, view)?;
            PipelineRecord { canary: Some(Canary { percent, of: version.clone() }), ..known.clone() }
        }
        // The first deployment has nothing to be beside.
        _ => PipelineRecord {
            pipeline: deployment.pipeline.clone(),
            version: version.version.clone(),
            machine: version.machine.clone(),
            parts: version.parts.clone(),
            paused: known.as_ref().map_or(request.new_paused, |known| known.paused),
            paused_because: known.as_ref().and_then(|known| known.paused_because.clone()),
            deployment: Some(uri.clone()),
            buckets,
            canary: None,
        },
    };
    let share = record.canary.as_ref().map(|canary| canary.percent);
    let mut reply = json!({"pipeline": record.pipeline, "version": version.version, "deployment": uri});
    if let Some(percent) = share {
        reply["canary"] = json!(percent);
    }
    let reply = Reply::Ok(reply);
    let (clock, wake) = ticks::deployed(&plan, record.paused, view, settings, now)?;
    let mut effects: Vec<Effect> = wake.into_iter().collect();
    // Also where nothing changes: a crash may have come before it.
    effects.push(subscribe(&record.pipeline));
    // A record that an older version wrote has no place in the list of pipelines yet.
    let is_listed = item.is_some_and(|item| item.index.is_some());
    if known.as_ref() == Some(&record) && is_listed {
        return Ok(Decision { reply, writes: clock.into_iter().collect(), effects, ..Decision::default() });
    }
    let mut entry = entry(now, "deploy", request.by.as_deref(), deployment);
    entry.detail = json!({
        "deployment": uri,
        "environment": deployment.environment,
        "replaced": known.as_ref().filter(|_| share.is_none()).map(|known| &known.version),
        "canary": share,
    });
    let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
    let mut writes = forget(&record.pipeline, known.as_ref(), &record.buckets);
    writes.extend(interests.into_iter().map(|(bucket, keys)| {
        let interest = InterestRecord { pipeline: record.pipeline.clone(), keys };
        let item = Item::new(interest_item(&bucket, &record.pipeline), interest.to_body());
        Write::Put { item, expect: Expect::Any }
    }));
    let version_key = version_item(&record.pipeline, &version.version);
    writes.extend([
        Write::Put { item: record.row(), expect },
        Write::Put { item: Item::new(version_key, version.to_body()), expect: Expect::Any },
        entry.write(),
    ]);
    writes.extend(clock);
    Ok(Decision {
        documents: vec![
            (plan_uri(&settings.documents, &record.pipeline, &version.version), bytes.clone()),
            (uri, deployment.to_bytes()),
        ],
        writes,
        effects,
        reply,
    })
}

/// Takes a pipeline's record away: nothing starts it any more.
pub(crate) fn undeploy(
    deployment: &Deployment,
    by: Option<&str>,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let answer = |status: &str| Reply::Ok(json!({"pipeline": deployment.pipeline, "status": status}));
    let key = pipeline_item(&deployment.pipeline);
    let Some(item) = view.item(&key)? else {
        let effects = vec![subscribe(&deployment.pipeline)];
        return Ok(Decision { effects, reply: answer("absent"), ..Decision::default() });
    };
    let known = PipelineRecord::from_item(item)?;
    let uri = deployment.uri(&settings.documents);
    let canary = known.canary.as_ref().map(|canary| &canary.of.deployment);
    if known.deployment.as_ref() != Some(&uri) && canary != Some(&uri) {
        return Ok(Decision { reply: answer("replaced"), ..Decision::default() });
    }
    let mut entry = entry(now, "undeploy", by, deployment);
    entry.detail = json!({"deployment": uri, "environment": deployment.environment});
    let mut writes = forget(&deployment.pipeline, Some(&known), &[]);
    writes.extend([
        Write::Delete { key, expect: Expect::Version(item.version) },
        Write::Delete { key: clock_item(&deployment.pipeline), expect: Expect::Any },
        entry.write(),
    ]);
    let effects = vec![subscribe(&deployment.pipeline)];
    Ok(Decision { writes, effects, reply: answer("undeployed"), ..Decision::default() })
}

/// Has a pipeline listen to the datasets that start it as it is deployed, and to no others.
pub(crate) fn subscribe(pipeline: &str) -> Effect {
    Effect::Command(Box::new(Command::Subscribe { pipeline: pipeline.to_owned() }))
}

/// The patterns of keys that a plan waits for, by bucket.
fn interests(plan: &Plan, settings: &Settings) -> Result<BTreeMap<String, Vec<String>>, Stop> {
    let mut interests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for trigger in plan.triggers.iter().filter_map(TriggerPlan::file) {
        let bucket = files::bucket(trigger, settings).map_err(rejected)?;
        interests.entry(bucket).or_default().extend(trigger.patterns().map(str::to_owned));
    }
    if interests.len() > BUCKETS_MAX {
        return Err(rejected(format!(
            "the triggers name {} buckets; at most {BUCKETS_MAX} are taken",
            interests.len()
        )));
    }
    Ok(interests)
}

/// Takes away the interests of an earlier deployment that a new one does not have.
fn forget(pipeline: &str, known: Option<&PipelineRecord>, kept: &[String]) -> Vec<Write> {
    let gone = known.iter().flat_map(|known| &known.buckets).filter(|bucket| !kept.contains(bucket));
    gone.map(|bucket| Write::Delete { key: interest_item(bucket, pipeline), expect: Expect::Any }).collect()
}

fn entry(now: Instant, action: &str, by: Option<&str>, deployment: &Deployment) -> AuditRecord {
    let mut entry = AuditRecord::new(now, action);
    entry.by = by.map(str::to_owned);
    entry.pipeline = Some(deployment.pipeline.clone());
    entry.version = Some(deployment.version.clone());
    entry
}

fn rejected(cause: String) -> Stop {
    Stop::refuse(names::DEPLOYMENT_REJECTED, cause)
}

/// What can be wrong with a deployment itself. Its names become keys and addresses.
fn check(deployment: &Deployment) -> Result<(), Stop> {
    if deployment.schema > DEPLOYMENT_SCHEMA {
        return Err(rejected(format!(
            "the deployment's schema {} is newer than {DEPLOYMENT_SCHEMA}; deploy the functions first",
            deployment.schema
        )));
    }
    if !is_name(&deployment.pipeline) {
        return Err(rejected(format!("'{}' is not the name of a pipeline", deployment.pipeline)));
    }
    let hex = deployment.version.bytes().all(|byte| byte.is_ascii_hexdigit());
    if deployment.version.is_empty() || !hex {
        return Err(rejected(format!("'{}' is not a pipeline version", deployment.version)));
    }
    if deployment.machine.is_empty() {
        return Err(rejected("the deployment names no machine".to_owned()));
    }
    Ok(())
}

/// The staged plan has to be the one that was asked for, and find everything that its tasks need.
fn check_plan(plan: &Plan, deployment: &Deployment, uri: &str) -> Result<(), Stop> {
    if plan.schema > PLAN_SCHEMA {
        return Err(rejected(format!(
            "{uri}: its schema {} is newer than {PLAN_SCHEMA}; deploy the functions first",
            plan.schema
        )));
    }
    if plan.pipeline != deployment.pipeline || plan.version != deployment.version {
        return Err(rejected(format!(
            "{uri} is the plan of {} {}, not of {} {}",
            plan.pipeline, plan.version, deployment.pipeline, deployment.version
        )));
    }
    for task in &plan.tasks {
        if let Some(kind) = task.kind.machine()
            && !deployment.machines.contains_key(kind)
        {
            return Err(rejected(format!(
                "task '{}' needs the machine '{kind}', which the deployment does not name",
                task.name
            )));
        }
        if let TaskKind::Container(container) = &task.kind
            && !deployment.task_definitions.contains_key(&container.task_definition)
        {
            return Err(rejected(format!(
                "task '{}' needs the task definition '{}', which the deployment does not name",
                task.name, container.task_definition
            )));
        }
    }
    Ok(())
}
