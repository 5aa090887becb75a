//! `cauce audit`: who had what done.

use cauce_local::clock::SystemClock;
use cauce_model::{AuditRecord, Instant, Json};
use cauce_ports::Clock;
use serde_json::json;

use crate::args::AuditArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::store::{Store, say_nothing_yet};
use crate::time;

/// Prints the entries of the audit, newest first.
pub(crate) fn audit(args: &AuditArgs, context: &Context) -> Result<Exit, Failure> {
    let now = SystemClock.now();
    let since = time::since(args.since.as_deref(), now)?;
    let limit = args.limit as usize;
    let entries = match Store::open(context)? {
        Some(store) => context.block_on(entries(&store, since, now, args.pipeline.as_deref(), limit))?,
        None if context.json => Vec::new(),
        None => {
            say_nothing_yet(context);
            return Ok(Exit::Good);
        }
    };
    if context.json {
        context.output.json(&json!({"schema": 1, "since": since, "entries": entries}))?;
        return Ok(Exit::Good);
    }
    let table = table(&entries);
    if table.is_empty() {
        let whose = args.pipeline.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        context.output.talk(&format!("nobody had anything done{whose} since {}", time::moment(since)));
    } else {
        context.output.table(&table)?;
    }
    Ok(Exit::Good)
}

/// The newest entries of a range of days, newest first.
async fn entries(
    store: &Store,
    since: Instant,
    now: Instant,
    pipeline: Option<&str>,
    limit: usize,
) -> Result<Vec<AuditRecord>, Failure> {
    let mut found = Vec::new();
    for day in time::days(since, now) {
        let mut of_day = store.audit(&day).await?;
        of_day.reverse();
        let wanted = |entry: &AuditRecord| {
            entry.at >= since && pipeline.is_none_or(|name| entry.pipeline.as_deref() == Some(name))
        };
        found.extend(of_day.into_iter().filter(wanted));
        if found.len() >= limit {
            found.truncate(limit);
            break;
        }
    }
    Ok(found)
}

fn table(entries: &[AuditRecord]) -> Table {
    let mut table = Table::new(["AT", "BY", "ACTION", "RUN", "TASK", "VERSION", "DETAIL"]);
    for entry in entries {
        let about = entry.run.as_deref().or(entry.pipeline.as_deref()).unwrap_or_default();
        let version = entry.version.as_deref().unwrap_or_default();
        table.row([
            time::moment(entry.at).into(),
            entry.by.as_deref().unwrap_or("unknown").into(),
            entry.action.as_str().into(),
            about.into(),
            entry.task.as_deref().unwrap_or_default().into(),
            super::short(version).into(),
            detail(entry).into(),
        ]);
    }
    table
}

/// What else belongs to an entry, parameters last: `generation=2 params={"day":1}`.
fn detail(entry: &AuditRecord) -> String {
    let shown = |value: &Json| match value {
        Json::String(text) if !text.contains([' ', '"', '\n']) => text.clone(),
        other => other.to_string(),
    };
    let mut words: Vec<String> = match &entry.detail {
        Json::Null => Vec::new(),
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect()
        }
        other => vec![shown(other)],
    };
    if entry.params.as_object().is_some_and(|params| !params.is_empty()) {
        words.push(format!("params={}", entry.params));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    #[test]
    fn an_entry_is_a_line() {
        let mut entry = AuditRecord::new(at("1997-01-05T02:00:00Z"), "cancel");
        entry.by = Some("ana".to_owned());
        entry.pipeline = Some("sales".to_owned());
        entry.run = Some("sales/1997-01-05".to_owned());
        entry.version = Some("0123456789abcdef".to_owned());
        entry.detail = json!({"reason": "too much", "generation": 2, "status": "running"});
        entry.params = json!({"day": 1});
        let mut other = AuditRecord::new(at("1997-01-04T02:00:00Z"), "pause");
        other.pipeline = Some("sales".to_owned());
        other.params = json!({});
        let text = table(&[entry, other]).render(false);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1].join(" "),
            "1997-01-05 02:00:00Z ana cancel sales/1997-01-05 0123456789ab reason=\"too much\" generation=2 \
             status=running params={\"day\":1}"
        );
        assert_eq!(lines[2].join(" "), "1997-01-04 02:00:00Z unknown pause sales");
    }
}
