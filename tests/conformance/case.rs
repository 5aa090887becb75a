//! The recorded cases, as their files hold them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One recorded execution.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) definition: Value,
    pub(crate) input: Value,
    pub(crate) expected: Expected,
    /// False where the recorder replaced values by tokens such as `<uuid:1>`.
    pub(crate) exact: bool,
    #[serde(default)]
    pub(crate) mocks: Option<Value>,
    #[serde(default)]
    pub(crate) trace: Option<Vec<Value>>,
}

/// How it ended on AWS.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Expected {
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) output: Option<Value>,
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// A text, or the JSON it holds.
    #[serde(default)]
    pub(crate) cause: Option<Value>,
}

impl Case {
    /// The tokens the recorder wrote for values of the input, which the expected output has as well:
    /// `(value, token)`.
    pub(crate) fn tokens(&self) -> Vec<(String, String)> {
        let first = self.trace.as_ref().and_then(|trace| trace.first());
        let recorded =
            first.filter(|event| event["type"] == "ExecutionStarted").and_then(|event| event.get("input"));
        let mut tokens = Vec::new();
        if let Some(recorded) = recorded {
            pair(&self.input, recorded, &mut tokens);
        }
        tokens
    }

    /// Whether a state is inside a distributed Map.
    pub(crate) fn is_distributed(&self, state: &str) -> bool {
        distributed_states(&self.definition, false).iter().any(|name| name == state)
    }
}

fn pair(value: &Value, recorded: &Value, tokens: &mut Vec<(String, String)>) {
    match (value, recorded) {
        (Value::String(value), Value::String(token)) if value != token => {
            tokens.push((value.clone(), token.clone()));
        }
        (Value::Object(one), Value::Object(two)) => {
            for (key, value) in one {
                if let Some(recorded) = two.get(key) {
                    pair(value, recorded, tokens);
                }
            }
        }
        (Value::Array(one), Value::Array(two)) => {
            one.iter().zip(two).for_each(|(value, recorded)| pair(value, recorded, tokens));
        }
        _ => {}
    }
}

fn distributed_states(value: &Value, is_inside: bool) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Object(fields) => {
            let is_inside = is_inside || value["ProcessorConfig"]["Mode"] == "DISTRIBUTED";
            if let (true, Some(Value::Object(states))) = (is_inside, fields.get("States")) {
                found.extend(states.keys().cloned());
            }
            found.extend(fields.values().flat_map(|value| distributed_states(value, is_inside)));
        }
        Value::Array(items) => {
            found.extend(items.iter().flat_map(|item| distributed_states(item, is_inside)))
        }
        _ => {}
    }
    found
}

/// Where the cases are, if they are there.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/asl");
    folder.is_dir().then_some(folder)
}

/// Reads a file of one JSON document a line.
pub(crate) fn read<T: DeserializeOwned>(file: &Path) -> Vec<T> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect()
}

/// Writes the list of failures where the environment asks for it.
#[expect(clippy::disallowed_methods, reason = "a test has no main to read the environment in")]
pub(crate) fn write_failures(failures: &str) {
    if let Ok(file) = std::env::var("CAUCE_FAILURES") {
        fs::write(&file, failures).unwrap_or_else(|error| panic!("cannot write {file}: {error}"));
    }
}
