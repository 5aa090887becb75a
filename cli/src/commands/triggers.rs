//! `cauce triggers`: what became of the events that may start runs.

use std::collections::BTreeMap;
use std::rc::Rc;

use cauce_engine::Command;
use cauce_local::clock::SystemClock;
use cauce_model::Json;
use cauce_model::event::{LedgerRecord, Object};
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

/// Looks for files that fit, and has each decided on as if it had just been told of.
fn scan(args: &ScanArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(there) = context.there()? else {
        return Err(Failure::bad_input("nothing waits for files on this machine")
            .help("name an environment with --env; here: cauce run FILE --logical-date D"));
    };
    let actor = Actor::There(Rc::clone(&there));
    let counts = context.block_on(async {
        let record = deployed(&actor.store()?, &args.pipeline, context).await?;
        let prepared = actor.plan(&record.pipeline, &record.version).await?;
        let objects = there.adapters().objects();
        let mut found: BTreeMap<String, Object> = BTreeMap::new();
        for (bucket, pattern) in patterns(&record, &prepared.plan) {
            let prefix = format!("s3://{bucket}/{}", pattern.literal_prefix());
            for info in
                objects.list(&prefix, SCANNED_MAX).await.map_err(|error| Failure::from_error(&error))?
            {
                let Some(key) = info.uri.strip_prefix(&format!("s3://{bucket}/")).map(str::to_owned) else {
                    continue;
                };
                if pattern.matches(&key).is_some() {
                    let object = Object {
                        bucket: bucket.clone(),
                        key,
                        version_id: None,
                        etag: info.etag,
                        sequencer: None,
                        size: info.bytes,
                        at: info.modified_at,
                    };
                    found.insert(info.uri, object);
                }
            }
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
                let command = Command::File { pipeline: record.pipeline.clone(), object: Box::new(object) };
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

/// The patterns of a pipeline's file triggers, with each of its buckets. What lies in the wrong one is
/// refused when it is decided on.
fn patterns(record: &PipelineRecord, plan: &Plan) -> Vec<(String, KeyPattern)> {
    let keys = plan.triggers.iter().filter_map(TriggerPlan::file).flat_map(|trigger| &trigger.keys);
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
