//! Changes a case so that only an interpreter of the language can still pass it.
//!
//! Every state is renamed, in the definition, the mocks and the expected cause. Every text that is a
//! whole value both in what goes in and in what comes out, and appears nowhere else, is changed on
//! both sides.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::case::Case;

const MARK: &str = " changed";

pub(crate) fn mutate(case: &Case) -> Case {
    let mut mutated = case.clone();
    let mut names = BTreeSet::new();
    state_names(&case.definition, &mut names);
    mutated.definition = rename_states(&case.definition, &names);
    if let Some(Value::Array(mocks)) = &mut mutated.mocks {
        for mock in mocks {
            if let Some(Value::String(name)) = mock.get_mut("after_state") {
                *name = renamed(name);
            }
        }
    }
    if let Some(Value::String(cause)) = &mut mutated.expected.cause {
        for name in &names {
            *cause = cause.replace(&format!("state '{name}'"), &format!("state '{}'", renamed(name)));
        }
    }
    let Some(output) = mutated.expected.output.clone() else { return mutated };
    let definition = case.definition.to_string();
    for constant in constants(&case.definition, &mutated.input, &output) {
        // A text that expressions mention, or that is part of another, may be computed with.
        if definition.matches(constant.as_str()).count() > 1 || names.contains(&constant) {
            continue;
        }
        let (from, to) = (constant.as_str(), format!("{constant}{MARK}"));
        replace(&mut mutated.definition, from, &to);
        replace(&mut mutated.input, from, &to);
        if let Some(mocks) = &mut mutated.mocks {
            replace(mocks, from, &to);
        }
        // Its first event says which tokens stand for values of the input.
        for event in mutated.trace.iter_mut().flatten() {
            replace(event, from, &to);
        }
        if let Some(output) = &mut mutated.expected.output {
            replace(output, from, &to);
        }
    }
    mutated
}

/// The case with each field of each outermost state dropped, and replaced by values of other types.
pub(crate) fn damage(case: &Case) -> Vec<Case> {
    let mut damaged = Vec::new();
    for (name, state) in case.definition["States"].as_object().into_iter().flatten() {
        for field in state.as_object().into_iter().flatten().map(|(field, _)| field) {
            for value in [None, Some(Value::Null), Some(Value::from(-1)), Some(Value::from("{% $ %}"))] {
                let mut case = case.clone();
                if let Some(Value::Object(state)) = case.definition["States"].get_mut(name) {
                    match value {
                        None => state.remove(field),
                        Some(value) => state.insert(field.clone(), value),
                    };
                }
                damaged.push(case);
            }
        }
    }
    damaged
}

fn renamed(name: &str) -> String {
    format!("{name}{MARK}")
}

fn state_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(states)) = fields.get("States") {
                names.extend(states.keys().cloned());
            }
            fields.values().for_each(|value| state_names(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| state_names(item, names)),
        _ => {}
    }
}

fn rename_states(value: &Value, names: &BTreeSet<String>) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    ("StartAt" | "Next" | "Default", Value::String(name)) if names.contains(name) => {
                        Value::String(renamed(name))
                    }
                    ("States", Value::Object(states)) => states
                        .iter()
                        .map(|(name, state)| (renamed(name), rename_states(state, names)))
                        .collect(),
                    _ => rename_states(value, names),
                };
                (key.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| rename_states(item, names)).collect(),
        other => other.clone(),
    }
}

/// Texts that pass through: whole values of a Result or the input, and of the output.
fn constants(definition: &Value, input: &Value, output: &Value) -> Vec<String> {
    let (mut before, mut after) = (Vec::new(), BTreeSet::new());
    results(definition, &mut before);
    texts(input, &mut |text| before.push(text.to_owned()));
    texts(output, &mut |text| {
        after.insert(text.to_owned());
    });
    before.retain(|text| {
        text.len() >= 4 && text.chars().all(|c| c.is_alphanumeric() || c == ' ') && after.contains(text)
    });
    before.sort();
    before.dedup();
    before
}

fn results(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "Result" => texts(value, &mut |text| found.push(text.to_owned())),
                    _ => results(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| results(item, found)),
        _ => {}
    }
}

fn texts(value: &Value, visit: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, visit)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, visit)),
        _ => {}
    }
}

fn replace(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text == from => to.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, from, to)),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, from, to)),
        _ => {}
    }
}
