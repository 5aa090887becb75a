//! `cauce triggers`: what became of the events that may start runs.

use std::collections::BTreeMap;

use cauce_engine::Command;
use cauce_local::clock::SystemClock;
use cauce_model::Json;
use cauce_model::event::{LedgerRecord, Object};
use cauce_model::files::FileTriggerPlan;
use cauce_model::pattern::KeyPattern;
use cauce_model::plan::{Plan, TriggerPlan};
use cauce_model::record::PipelineRecord;
use cauce_ports::{Clock, Objects, Services};
use serde_json::json;

use crate::args::{ScanArgs, TriggersArgs, TriggersStep};
use crate::context::Context;
use crate::engine::{Actor, deployed};
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::project::ProjectFolder;
use crate::store::{Store, say_nothing_yet};
use crate::time;

/// Most objects of one pattern that a scan looks at.
const SCANNED_MAX: u32 = 100_000;

/// `cauce triggers`
pub(crate) fn triggers(args: &TriggersArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.step {
        Some(TriggersStep::Scan(args)) => scan(args, context),
        None => show(args, context),
    }
}

/// Looks for files that fit, and has each decided on as if it had just been told of; what was paused or rejected
/// before is decided on anew.
fn scan(args: &ScanArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    // Who only looks needs nobody to run what it finds.
    let open = if args.dry_run { Actor::open } else { Actor::served };
    let actor = open(&folder, context, Box::new(|_, _| {}))?;
    let counts = context.block_on(async {
        let record = deployed(&actor.store()?, &args.pipeline, context).await?;
        let prepared = actor.plan(&record.pipeline, &record.version).await?;
        let mut found: BTreeMap<String, Object> = BTreeMap::new();
        for (bucket, pattern) in patterns(&record, &prepared.plan) {
            let objects = look(&actor, &bucket, pattern.literal_prefix()).await?;
            let fits = objects.into_iter().filter(|object| pattern.matches(&object.key).is_some());
            found.extend(fits.map(|object| (format!("s3://{bucket}/{}", object.key), object)));
        }
        // In the order in which they came.
        let mut found: Vec<Object> = found.into_values().collect();
        found.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for object in found {
            let became = if args.dry_run {
                context.output.data(format!("s3://{}/{}\n", object.bucket, object.key))?;
                "found".to_owned()
            } else {
                let (pipeline, object) = (record.pipeline.clone(), Box::new(object));
                let command = Command::File { pipeline, object, asked: true };
                let told = actor.execute(&command).await?;
                told["became"].as_str().unwrap_or_default().to_owned()
            };
            *counts.entry(became).or_default() += 1;
        }
        Ok(counts)
    })?;
    if context.json {
        context.output.json(&json!({"pipeline": args.pipeline, "became": counts}))?;
    } else {
        let words: Vec<String> = counts.iter().map(|(became, count)| format!("{count} {became}")).collect();
        let told = if words.is_empty() { "no file fits".to_owned() } else { words.join(", ") };
        context.output.talk(&format!("{}: {told}", args.pipeline));
    }
    Ok(Exit::Good)
}

/// What stands in a bucket below a prefix.
async fn look(actor: &Actor, bucket: &str, prefix: &str) -> Result<Vec<Object>, Failure> {
    let there = match actor {
        // As the watch would tell of it.
        Actor::Here(local) => {
            let found = local.host.world().objects.arrivals(bucket, prefix);
            return found.map_err(|error| Failure::from_error(&error));
        }
        Actor::There(there) => there,
    };
    let listed = there.adapters().objects().list(&format!("s3://{bucket}/{prefix}"), SCANNED_MAX).await;
    let listed = listed.map_err(|error| Failure::from_error(&error))?;
    let root = format!("s3://{bucket}/");
    Ok(listed
        .into_iter()
        .filter_map(|info| {
            Some(Object {
                bucket: bucket.to_owned(),
                key: info.uri.strip_prefix(&root)?.to_owned(),
                version_id: None,
                etag: info.etag,
                sequencer: None,
                size: info.bytes,
                at: info.modified_at,
            })
        })
        .collect())
}

/// The patterns of a pipeline's file triggers, with each of its buckets. What lies in the wrong one is
/// refused when it is decided on.
fn patterns(record: &PipelineRecord, plan: &Plan) -> Vec<(String, KeyPattern)> {
    let keys = plan.triggers.iter().filter_map(TriggerPlan::file).flat_map(FileTriggerPlan::patterns);
    // The checks refuse patterns that cannot be read.
    let patterns: Vec<KeyPattern> = keys.filter_map(|key| KeyPattern::parse(key).ok()).collect();
    let of_bucket =
        |bucket: &String| patterns.iter().map(|pattern| (bucket.clone(), pattern.clone())).collect();
    record.buckets.iter().flat_map(|bucket| -> Vec<(String, KeyPattern)> { of_bucket(bucket) }).collect()
}

/// Prints the entries of the ledger, newest first.
fn show(args: &TriggersArgs, context: &Context) -> Result<Exit, Failure> {
    let now = SystemClock.now();
    let since = time::since(args.since.as_deref(), now)?;
    let entries = match Store::open(context)? {
        Some(store) => context.block_on(async {
            let mut found = Vec::new();
            for day in time::days(since, now) {
                let of_day = store.ledger(&day).await?.into_iter().rev();
                found.extend(of_day.filter(|entry| entry.at >= since && is_wanted(entry, args)));
                if found.len() >= args.limit as usize {
                    found.truncate(args.limit as usize);
                    break;
                }
            }
            Ok(found)
        })?,
        None if context.json => Vec::new(),
        None => {
            say_nothing_yet(context);
            return Ok(Exit::Good);
        }
    };
    if context.json {
        context.output.json(&json!({"schema": 1, "since": since, "events": entries}))?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new(["AT", "KIND", "EVENT", "PIPELINE", "BECAME", "RUN", "REASON"]);
    for entry in &entries {
        table.row([
            time::moment(entry.at).into(),
            entry.kind.as_str().into(),
            event(&entry.event).into(),
            entry.pipeline.as_deref().unwrap_or("-").into(),
            entry.became.as_str().into(),
            entry.run.as_deref().unwrap_or_default().into(),
            entry.reason.as_deref().unwrap_or_default().into(),
        ]);
    }
    if table.is_empty() {
        context.output.talk(&format!("no such event since {}", time::moment(since)));
    } else {
        context.output.table(&table)?;
    }
    Ok(Exit::Good)
}

fn is_wanted(entry: &LedgerRecord, args: &TriggersArgs) -> bool {
    args.pipeline.as_deref().is_none_or(|name| entry.pipeline.as_deref() == Some(name))
        && args.became.is_none_or(|became| entry.became == became)
}

/// An event in a few words: a file by its address, a tick by its schedule.
fn event(event: &Json) -> String {
    let text = |name: &str| event.get(name).and_then(Json::as_str);
    match (text("bucket"), text("key"), text("schedule")) {
        (Some(bucket), Some(key), _) => format!("s3://{bucket}/{key}"),
        (_, _, Some(schedule)) => schedule.to_owned(),
        _ => event.to_string(),
    }
}
