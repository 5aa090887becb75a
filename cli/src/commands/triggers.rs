//! `cauce triggers`: what became of the events that may start runs.

use cauce_local::clock::SystemClock;
use cauce_model::Json;
use cauce_model::event::LedgerRecord;
use cauce_ports::Clock;
use serde_json::json;

use crate::args::TriggersArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::store::{Store, nothing_yet};
use crate::time;

/// Prints the entries of the ledger, newest first.
pub(crate) fn triggers(args: &TriggersArgs, context: &Context) -> Result<Exit, Failure> {
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
            let nothing = nothing_yet(context);
            context.output.talk(&nothing.message);
            context.output.talk(&nothing.help.unwrap_or_default());
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
