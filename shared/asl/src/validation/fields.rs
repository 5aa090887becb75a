//! Which fields a machine and each type of state may and must have.

use serde_json::{Map, Value};

use crate::{Operator, QueryLanguage, limits};

use super::{Findings, inner_machines};

type Fields = Map<String, Value>;

/// Fields that exist in JSONPath states only, and in JSONata states only.
const JSONPATH_ONLY: &[&str] = &[
    "InputPath",
    "OutputPath",
    "ResultPath",
    "Parameters",
    "ResultSelector",
    "Result",
    "ItemsPath",
    "SecondsPath",
    "TimestampPath",
    "TimeoutSecondsPath",
    "HeartbeatSecondsPath",
    "ErrorPath",
    "CausePath",
    "MaxConcurrencyPath",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentagePath",
];
const JSONATA_ONLY: &[&str] = &["Arguments", "Output", "Items"];

/// What a state of one type may have beside `Type`, `Comment` and `QueryLanguage`, and what it must have.
fn table(state_type: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    Some(match state_type {
        "Task" => (
            &[
                "InputPath",
                "Resource",
                "Parameters",
                "Arguments",
                "ResultSelector",
                "ResultPath",
                "OutputPath",
                "Credentials",
                "TimeoutSeconds",
                "TimeoutSecondsPath",
                "HeartbeatSeconds",
                "HeartbeatSecondsPath",
                "Retry",
                "Catch",
                "Assign",
                "Output",
                "Next",
                "End",
            ],
            &["Resource"],
        ),
        "Pass" => (
            &[
                "InputPath",
                "Parameters",
                "Result",
                "ResultPath",
                "OutputPath",
                "Assign",
                "Output",
                "Next",
                "End",
            ],
            &[],
        ),
        "Choice" => (&["InputPath", "OutputPath", "Choices", "Default", "Assign", "Output"], &["Choices"]),
        "Wait" => (
            &[
                "InputPath",
                "Seconds",
                "SecondsPath",
                "Timestamp",
                "TimestampPath",
                "OutputPath",
                "Assign",
                "Output",
                "Next",
                "End",
            ],
            &[],
        ),
        "Succeed" => (&["InputPath", "OutputPath", "Output"], &[]),
        "Fail" => (&["Error", "ErrorPath", "Cause", "CausePath"], &[]),
        "Parallel" => (
            &[
                "InputPath",
                "Parameters",
                "Arguments",
                "Branches",
                "ResultSelector",
                "ResultPath",
                "OutputPath",
                "Retry",
                "Catch",
                "Assign",
                "Output",
                "Next",
                "End",
            ],
            &["Branches"],
        ),
        "Map" => (
            &[
                "InputPath",
                "ItemsPath",
                "Items",
                "ItemReader",
                "ItemSelector",
                "Parameters",
                "ItemBatcher",
                "MaxConcurrency",
                "MaxConcurrencyPath",
                "ToleratedFailurePercentage",
                "ToleratedFailurePercentagePath",
                "ToleratedFailureCount",
                "ToleratedFailureCountPath",
                "Label",
                "ItemProcessor",
                "Iterator",
                "ResultWriter",
                "ResultSelector",
                "ResultPath",
                "OutputPath",
                "Retry",
                "Catch",
                "Assign",
                "Output",
                "Next",
                "End",
            ],
            &[],
        ),
        _ => return None,
    })
}

pub(super) fn machine(machine: &Fields, findings: &mut Findings) {
    let known = ["Comment", "Version", "QueryLanguage", "TimeoutSeconds", "StartAt", "States"];
    unsupported(machine, &known, "", findings);
    let language = language(machine, QueryLanguage::JSONPath);
    level(machine, language, "", findings);
}

fn level(machine: &Fields, machine_language: QueryLanguage, location: &str, findings: &mut Findings) {
    findings.require(machine, &["StartAt", "States"], location);
    match machine.get("States") {
        Some(Value::Object(states)) => {
            for (name, state) in states {
                let place = format!("{location}/States/{name}");
                if name.is_empty() || name.chars().count() > limits::STATE_NAME_CHARACTERS {
                    // The sentence was not seen on AWS.
                    let most = limits::STATE_NAME_CHARACTERS;
                    let message = format!("A state name has 1 to {most} characters.");
                    findings.error("INVALID_STATE_NAME", message, &place);
                }
                match state {
                    Value::Object(fields) => self::state(fields, machine_language, &place, findings),
                    _ => findings.schema("A state must be an object.", &place),
                }
            }
        }
        Some(_) => findings.schema("The field must be an object.", &format!("{location}/States")),
        None => {}
    }
}

/// The language a machine or state has; anything but exactly `JSONPath` counts as JSONata.
fn language(fields: &Fields, default: QueryLanguage) -> QueryLanguage {
    match fields.get("QueryLanguage") {
        None => default,
        Some(Value::String(name)) if name == "JSONPath" => QueryLanguage::JSONPath,
        Some(_) => QueryLanguage::JSONata,
    }
}

fn state(state: &Fields, machine_language: QueryLanguage, location: &str, findings: &mut Findings) {
    let Some(state_type) = state.get("Type").and_then(Value::as_str) else {
        return findings.require(state, &["Type"], location);
    };
    let Some((known, required)) = table(state_type) else {
        // The sentence was not seen on AWS.
        let message = format!("'{state_type}' is not a type of state");
        return findings.schema(message, &format!("{location}/Type"));
    };
    let own = language(state, machine_language);
    if machine_language == QueryLanguage::JSONata && own == QueryLanguage::JSONPath {
        let message = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine";
        findings.schema(message, location);
    }
    let common = ["Type", "Comment", "QueryLanguage"];
    let all: Vec<&str> = common.iter().chain(known).copied().collect();
    unsupported(state, &all, location, findings);
    let (foreign, here, there) = match own {
        QueryLanguage::JSONPath => (JSONATA_ONLY, "JSONPath", "JSONata"),
        QueryLanguage::JSONata => (JSONPATH_ONLY, "JSONata", "JSONPath"),
    };
    for name in foreign.iter().filter(|name| state.contains_key(**name) && known.contains(name)) {
        // A legacy Map in JSONata still selects items with Parameters' successor only.
        findings.schema(
            format!(
                "The QueryLanguage is set to '{here}', but field '{name}' is only supported for the '{there}' \
                 QueryLanguage"
            ),
            location,
        );
    }
    findings.require(state, required, location);
    if known.contains(&"Next") {
        transition(state, location, findings);
    }
    match state_type {
        "Choice" => choices(state, own, location, findings),
        "Wait" => wait(state, location, findings),
        "Map" => map(state, location, findings),
        "Task" => task(state, location, findings),
        "Pass" => pass(state, own, location, findings),
        _ => {}
    }
    error_handling(state, location, findings);
    numbers(state, location, findings);
    for (place, inner) in inner_machines(state, location) {
        let known: &[&str] = match place.ends_with(']') {
            true => &["Comment", "StartAt", "States"],
            false => &["Comment", "StartAt", "States", "ProcessorConfig"],
        };
        unsupported(inner, known, &place, findings);
        // Nested states start from the machine's language, whatever the state around them names.
        level(inner, machine_language, &place, findings);
    }
}

fn unsupported(fields: &Fields, known: &[&str], location: &str, findings: &mut Findings) {
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        findings.schema(format!("Field '{name}' is not supported"), location);
    }
}

fn only_one(fields: &Fields, names: &[&str], location: &str, findings: &mut Findings) {
    if names.iter().filter(|name| fields.contains_key(**name)).count() > 1 {
        let message = format!("There should only be one of the following fields: [{}]", names.join(", "));
        findings.schema(message, location);
    }
}

fn transition(state: &Fields, location: &str, findings: &mut Findings) {
    only_one(state, &["End", "Next"], location, findings);
    if !state.contains_key("Next") && state.get("End") != Some(&Value::Bool(true)) {
        // The sentence was not seen on AWS.
        findings.schema("One of these fields is required: [End, Next]", location);
    }
}

fn choices(state: &Fields, own: QueryLanguage, location: &str, findings: &mut Findings) {
    let Some(Value::Array(rules)) = state.get("Choices") else { return };
    if rules.is_empty() {
        findings.schema("A Choice state needs at least one rule", &format!("{location}/Choices"));
    }
    for (index, rule) in rules.iter().enumerate() {
        let place = format!("{location}/Choices[{index}]");
        let Value::Object(rule) = rule else {
            findings.schema("A choice rule must be an object.", &place);
            continue;
        };
        findings.require(rule, &["Next"], &place);
        match own {
            QueryLanguage::JSONata => findings.require(rule, &["Condition"], &place),
            QueryLanguage::JSONPath => condition(rule, &place, findings),
        }
    }
}

fn condition(rule: &Fields, location: &str, findings: &mut Findings) {
    for name in ["And", "Or"] {
        if let Some(Value::Array(inner)) = rule.get(name) {
            for (index, inner) in inner.iter().enumerate() {
                if let Value::Object(inner) = inner {
                    condition(inner, &format!("{location}/{name}[{index}]"), findings);
                }
            }
            return;
        }
    }
    if let Some(Value::Object(inner)) = rule.get("Not") {
        return condition(inner, &format!("{location}/Not"), findings);
    }
    findings.require(rule, &["Variable"], location);
    if !rule.keys().any(|name| Operator::of_field(name).is_some()) {
        // The sentence was not seen on AWS.
        findings.schema("A choice rule needs an operator, such as StringEquals", location);
    }
}

fn wait(state: &Fields, location: &str, findings: &mut Findings) {
    let names = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
    only_one(state, &names, location, findings);
    if !names.iter().any(|name| state.contains_key(*name)) {
        findings.schema(format!("One of these fields is required: [{}]", names.join(", ")), location);
    }
}

fn task(state: &Fields, location: &str, findings: &mut Findings) {
    only_one(state, &["TimeoutSeconds", "TimeoutSecondsPath"], location, findings);
    only_one(state, &["HeartbeatSeconds", "HeartbeatSecondsPath"], location, findings);
    let Some(resource) = state.get("Resource").and_then(Value::as_str) else { return };
    let place = format!("{location}/Resource");
    // A placeholder is filled before the definition is sent.
    if !resource.starts_with("arn:") && !resource.contains("${") {
        // The sentence was not seen on AWS.
        findings.error("INVALID_RESOURCE", format!("Value is not a valid resource ARN: {resource}"), &place);
    }
    let waits = [".sync", ".sync:2", ".waitForTaskToken"].iter().find(|suffix| resource.ends_with(**suffix));
    if let (true, Some(suffix)) = (findings.is_express, waits) {
        let message = format!("Express state machine does not support '{suffix}' service integration");
        findings.schema(message, &place);
    }
}

fn pass(state: &Fields, own: QueryLanguage, location: &str, findings: &mut Findings) {
    let Some(result) = state.get("Result").filter(|_| own == QueryLanguage::JSONPath) else { return };
    let mentions_path = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("$."));
    let is_path = match result {
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.ends_with(".$") || mentions_path(value))
        }
        other => mentions_path(other),
    };
    if is_path {
        let message = "Attempt to use a path in the result of a pass state.";
        findings.warning("PASS_RESULT_IS_STATIC", message, &format!("{location}/Result"));
    }
}

fn map(state: &Fields, location: &str, findings: &mut Findings) {
    only_one(state, &["ItemProcessor", "Iterator"], location, findings);
    if !state.contains_key("ItemProcessor") && !state.contains_key("Iterator") {
        findings.schema("These fields are required: [ItemProcessor]", location);
    }
    only_one(state, &["ItemSelector", "Parameters"], location, findings);
    for name in ["MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage"] {
        only_one(state, &[name, &format!("{name}Path")], location, findings);
    }
    if let Some(Value::Object(config)) = state.get("ItemReader").and_then(|reader| reader.get("ReaderConfig"))
    {
        let place = format!("{location}/ItemReader/ReaderConfig");
        only_one(config, &["MaxItems", "MaxItemsPath"], &place, findings);
        within(config, "MaxItems", 0.0, Some(limits::DISTRIBUTED_MAP_ITEMS as f64), &place, findings);
    }
    if let Some(Value::Object(batcher)) = state.get("ItemBatcher") {
        let place = format!("{location}/ItemBatcher");
        for name in ["MaxItemsPerBatch", "MaxInputBytesPerBatch"] {
            only_one(batcher, &[name, &format!("{name}Path")], &place, findings);
            within(batcher, name, 0.0, None, &place, findings);
        }
    }
}

fn error_handling(state: &Fields, location: &str, findings: &mut Findings) {
    for (field, required) in [("Retry", &["ErrorEquals"][..]), ("Catch", &["ErrorEquals", "Next"][..])] {
        let Some(Value::Array(entries)) = state.get(field) else { continue };
        for (index, entry) in entries.iter().enumerate() {
            let place = format!("{location}/{field}[{index}]");
            let Value::Object(entry) = entry else {
                findings.schema(format!("An entry of {field} must be an object."), &place);
                continue;
            };
            findings.require(entry, required, &place);
            within(entry, "MaxAttempts", 0.0, Some(limits::RETRY_MAX_ATTEMPTS as f64), &place, findings);
            within(
                entry,
                "IntervalSeconds",
                1.0,
                Some(limits::RETRY_INTERVAL_SECONDS as f64),
                &place,
                findings,
            );
            within(
                entry,
                "MaxDelaySeconds",
                1.0,
                Some(limits::RETRY_MAX_DELAY_SECONDS as f64),
                &place,
                findings,
            );
            within(entry, "BackoffRate", 1.0, None, &place, findings);
            let names: Vec<&str> = entry
                .get("ErrorEquals")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let is_last = index + 1 == entries.len();
            if names.contains(&crate::error_name::ALL) && (names.len() > 1 || !is_last) {
                // Documented: States.ALL stands alone, in the last entry. The sentence was not seen.
                let message = "States.ALL must appear alone and in the last entry";
                findings.schema(message, &format!("{place}/ErrorEquals"));
            }
        }
    }
}

/// Numbers that stand in the definition itself.
fn numbers(state: &Fields, location: &str, findings: &mut Findings) {
    let longest = limits::TASK_TIMEOUT_SECONDS as f64;
    within(state, "TimeoutSeconds", 1.0, Some(longest), location, findings);
    within(state, "HeartbeatSeconds", 1.0, Some(longest), location, findings);
    within(state, "Seconds", 0.0, Some(limits::WAIT_SECONDS as f64), location, findings);
    within(state, "MaxConcurrency", 0.0, None, location, findings);
    within(state, "ToleratedFailureCount", 0.0, None, location, findings);
    if let Some(percentage) = state.get("ToleratedFailurePercentage").and_then(Value::as_f64) {
        let place = format!("{location}/ToleratedFailurePercentage");
        if percentage < 0.0 {
            findings.schema("Minimum value is 0.0", &place);
        } else if percentage > 100.0 {
            findings.schema("Maximum value is 100.0", &place);
        }
    }
}

fn within(
    fields: &Fields,
    name: &str,
    least: f64,
    most: Option<f64>,
    location: &str,
    findings: &mut Findings,
) {
    let Some(number) = fields.get(name).and_then(Value::as_f64) else { return };
    let place = format!("{location}/{name}");
    if number < least {
        findings.schema(format!("Minimum value is {least}"), &place);
    } else if let Some(most) = most.filter(|most| number > *most) {
        findings.schema(format!("Maximum value is {most}"), &place);
    }
}
