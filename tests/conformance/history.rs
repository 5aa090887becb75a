//! Compares the events with the recorded ones, where their order is not left open.

use cauce_interpreter::HistoryEvent;
use serde_json::Value;

use crate::case::Case;

/// Branches and iterations interleave in any order, which the trace marks by ids that are no numbers.
pub(crate) fn is_comparable(case: &Case) -> bool {
    case.trace.as_ref().is_some_and(|trace| trace.iter().all(|event| event["id"].is_u64()))
}

/// The first event that differs in type, id or the event it follows.
pub(crate) fn difference(case: &Case, history: &[HistoryEvent]) -> Option<String> {
    if !is_comparable(case) {
        return None;
    }
    let describe = |event: &Value| {
        format!("{} {} after {}", event["id"], event["type"].as_str().unwrap_or_default(), event["prev"])
    };
    let expected: Vec<String> = case.trace.iter().flatten().map(describe).collect();
    let recorded = history
        .iter()
        .map(|event| format!("{} {} after {}", event.id, event.event_type(), event.previous_id));
    let found: Vec<String> = recorded.collect();
    let at = (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at))?;
    let show = |events: &[String]| events.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
    Some(format!("expected {}, found {}", show(&expected), show(&found)))
}
