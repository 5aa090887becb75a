//! Where states lead: missing targets, unreachable states, missing ends, names used twice.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Findings, inner_machines};

pub(super) fn machine(machine: &Map<String, Value>, findings: &mut Findings) {
    let mut names = BTreeSet::new();
    level(machine, "", &mut names, findings);
}

fn level(
    machine: &Map<String, Value>,
    location: &str,
    names: &mut BTreeSet<String>,
    findings: &mut Findings,
) {
    let Some(Value::Object(states)) = machine.get("States") else { return };
    let start = machine.get("StartAt").and_then(Value::as_str);
    if let Some(start) = start.filter(|start| !states.contains_key(*start)) {
        missing(start, &format!("{location}/StartAt"), findings);
    }
    for (name, state) in states {
        if !names.insert(name.clone()) {
            // The sentence was not seen on AWS.
            let message = format!("The state name '{name}' appears more than once.");
            findings.error("DUPLICATE_STATE_NAME", message, &format!("{location}/States/{name}"));
        }
        for (place, target) in targets(state) {
            if !states.contains_key(target) {
                missing(target, &format!("{location}/States/{name}{place}"), findings);
            }
        }
    }
    if !states.is_empty() && !states.values().any(is_terminal) {
        findings.error("MISSING_END_STATE", "Workflow has no terminal state", location);
        // AWS gives no place for it, and then does not look for unreachable states.
        if let Some(last) = findings.found.last_mut() {
            last.location = None;
        }
    } else {
        unreachable(states, start, location, findings);
    }
    for (name, state) in states {
        let Value::Object(state) = state else { continue };
        for (place, inner) in inner_machines(state, &format!("{location}/States/{name}")) {
            level(inner, &place, names, findings);
        }
    }
}

fn missing(target: &str, location: &str, findings: &mut Findings) {
    // The word is `Next` wherever the target stands.
    findings.error("MISSING_TRANSITION_TARGET", format!("Missing 'Next' target: {target}"), location);
}

fn unreachable(states: &Map<String, Value>, start: Option<&str>, location: &str, findings: &mut Findings) {
    // What a missing StartAt would reach is anybody's guess.
    let Some(start) = start else { return };
    let mut reached = BTreeSet::from([start]);
    let mut waiting = vec![start];
    while let Some(name) = waiting.pop() {
        let Some(state) = states.get(name) else { continue };
        waiting.extend(
            targets(state).into_iter().map(|(_, target)| target).filter(|target| reached.insert(target)),
        );
    }
    for name in states.keys().filter(|name| !reached.contains(name.as_str())) {
        let message = format!("State \"{name}\" is not reachable.");
        findings.error("MISSING_TRANSITION_TARGET", message, &format!("{location}/States/{name}"));
    }
}

/// Where a state can go on, with the field that says so.
fn targets(state: &Value) -> Vec<(String, &str)> {
    let mut targets = Vec::new();
    for field in ["Next", "Default"] {
        if let Some(target) = state[field].as_str() {
            targets.push((format!("/{field}"), target));
        }
    }
    for field in ["Choices", "Catch"] {
        for (index, entry) in state[field].as_array().into_iter().flatten().enumerate() {
            if let Some(target) = entry["Next"].as_str() {
                targets.push((format!("/{field}[{index}]/Next"), target));
            }
        }
    }
    targets
}

fn is_terminal(state: &Value) -> bool {
    state["End"] == true || matches!(state["Type"].as_str(), Some("Succeed" | "Fail"))
}
