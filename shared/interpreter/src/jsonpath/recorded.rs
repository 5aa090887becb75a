//! Executions recorded on AWS, read for the unit tests of the three expression languages.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

/// One recorded execution of a machine with a single state.
pub(crate) struct Recorded {
    pub(crate) id: String,
    pub(crate) state: Value,
    pub(crate) input: Value,
    /// `{status, output, error, cause}`.
    pub(crate) expected: Value,
}

/// All exact recordings whose machine has one state that calls nothing and assigns nothing.
pub(crate) fn single_states() -> &'static [Recorded] {
    static CASES: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/asl/local.jsonl");
        let Ok(text) = fs::read_to_string(file) else {
            println!("skipped: needs ../shared/conformance");
            return Vec::new();
        };
        text.lines().filter_map(single_state).collect()
    });
    &CASES
}

fn single_state(line: &str) -> Option<Recorded> {
    let case: Value = serde_json::from_str(line).unwrap();
    let states = case["definition"]["States"].as_object()?;
    let state = states.values().next().filter(|_| states.len() == 1)?;
    let pure = matches!(state["Type"].as_str(), Some("Pass" | "Succeed" | "Fail"));
    let simple = pure && state.get("Assign").is_none() && case["exact"] == true;
    let mut state = state.clone();
    if let (Some(language), None) = (case["definition"].get("QueryLanguage"), state.get("QueryLanguage")) {
        state["QueryLanguage"] = language.clone();
    }
    simple.then(|| Recorded {
        id: case["id"].as_str().unwrap_or_default().to_owned(),
        state,
        input: case["input"].clone(),
        expected: case["expected"].clone(),
    })
}

impl Recorded {
    /// True for a state in that query language.
    pub(crate) fn speaks(&self, language: &str) -> bool {
        self.state["QueryLanguage"].as_str().unwrap_or("JSONPath") == language
    }
}
