//! What is wrong with a definition, in the words of `ValidateStateMachineDefinition`.

use serde::{Deserialize, Serialize};

/// One finding about a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Whether AWS refuses the definition for it.
    pub severity: Severity,
    /// For example `SCHEMA_VALIDATION_FAILED`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Where, as a path of field and state names: `/States/Work/Next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// AWS refuses the definition.
    Error,
    /// AWS accepts it; it is probably a mistake.
    Warning,
}

impl Diagnostic {
    /// A finding for which AWS refuses the definition.
    pub fn error(code: &str, message: impl Into<String>, location: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.to_owned(),
            message: message.into(),
            location: Some(location.into()),
        }
    }
}
