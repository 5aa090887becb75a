//! The outermost object of a definition, and the machines nested inside Parallel and Map states.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{ProcessorConfig, State};

/// The states of one machine, in the order in which the definition lists them.
pub type States = IndexMap<String, State>;

/// A whole definition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateMachine {
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The version of the language; AWS accepts only `1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The language of every state that does not name its own; JSONPath when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_language: Option<QueryLanguage>,
    /// The longest an execution may run, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// The name of the first state.
    pub start_at: String,
    /// Every state by its name.
    pub states: States,
}

/// A machine inside another: a branch of a Parallel state or the item processor of a Map state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SubMachine {
    /// How a Map state runs it; never present on a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_config: Option<ProcessorConfig>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The language of the nested states that do not name their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_language: Option<QueryLanguage>,
    /// The name of the first state.
    pub start_at: String,
    /// Every state by its name.
    pub states: States,
}

/// The language of the expressions in a state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryLanguage {
    /// Reference paths, payload templates and intrinsic functions.
    #[default]
    JSONPath,
    /// Strings of the form `{% expression %}`.
    JSONata,
}

/// Why a text is not a definition.
#[derive(Debug, thiserror::Error)]
#[error("not a state machine definition: {0}")]
pub struct ParseError(#[from] serde_json::Error);

impl StateMachine {
    /// An empty machine that begins at the state of this name.
    pub fn new(start_at: impl Into<String>) -> Self {
        Self { start_at: start_at.into(), ..Self::default() }
    }

    /// Reads a definition. Only its shape is checked, not its sense.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(serde_json::from_str(text)?)
    }

    /// Reads a definition that is JSON already.
    pub fn deserialize_value(definition: &serde_json::Value) -> Result<Self, ParseError> {
        Ok(Self::deserialize(definition)?)
    }

    /// The definition without insignificant space: what Step Functions counts and stores.
    pub fn to_compact_json(&self) -> String {
        serde_json::to_string(self).expect("a definition holds only strings, numbers and JSON values")
    }

    /// The definition indented by two spaces, for people to review.
    pub fn to_pretty_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a definition holds only strings, numbers and JSON values")
    }
}

impl SubMachine {
    /// An empty nested machine that begins at the state of this name.
    pub fn new(start_at: impl Into<String>) -> Self {
        Self { start_at: start_at.into(), ..Self::default() }
    }
}
