//! Compares the events with the recorded ones, where their order is not left open.

use cauce_interpreter::HistoryEvent;
use serde_json::{Map, Value};

use crate::case::Case;
use crate::compare::Comparison;

/// Branches and iterations interleave in any order, which the trace marks by ids that are no numbers.
pub(crate) fn is_comparable(case: &Case) -> bool {
    case.trace.as_ref().is_some_and(|trace| trace.iter().all(|event| event["id"].is_u64()))
}

/// The first event that differs in type, id, the event it follows, or its details.
pub(crate) fn difference(case: &Case, history: &[HistoryEvent]) -> Option<String> {
    if !is_comparable(case) {
        return None;
    }
    let comparison = Comparison { is_tolerant: true, tokens: case.tokens() };
    let expected: Vec<&Value> = case.trace.iter().flatten().collect();
    let found: Vec<Value> = history.iter().map(flat).collect();
    for at in 0..expected.len().max(found.len()) {
        let (Some(expected), Some(found)) = (expected.get(at), found.get(at)) else {
            return Some(format!("expected {:?}, found {:?}", expected.get(at), found.get(at)));
        };
        let Value::Object(fields) = expected else { return Some("an event is no object".to_owned()) };
        for (name, value) in fields {
            // The recorder writes another name for a function than the definition has.
            if name == "resource" && value.as_str().is_some_and(|arn| arn.starts_with("arn:")) {
                continue;
            }
            if !comparison.same(value, &found[name]) {
                return Some(format!("event {at}: {name}: expected {value}, found {}", found[name]));
            }
        }
    }
    None
}

/// An event in the shape of the trace: details beside the type, texts that hold JSON as JSON.
fn flat(event: &HistoryEvent) -> Value {
    let json = event.to_json();
    let mut flat = Map::new();
    for (name, value) in json.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("previousEventId", _) => {
                flat.insert("prev".to_owned(), value.clone());
            }
            (_, Value::Object(details)) => {
                flat.extend(details.iter().map(|(name, value)| (name.clone(), parsed(value))));
            }
            _ => {
                flat.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(flat)
}

fn parsed(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        _ => value.clone(),
    }
}
