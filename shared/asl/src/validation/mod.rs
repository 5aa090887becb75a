//! What is wrong with a definition, in the words of `ValidateStateMachineDefinition`.
//!
//! Codes are those AWS documents. The sentences about required and unsupported fields, query languages,
//! missing targets, unreachable states and missing ends are those AWS answers with (recorded cases and
//! the measurements in floci-io/floci issues 2735, 2968 and 3733); where a rule's sentence was not seen,
//! its comment says so. Expressions are not parsed here: the interpreter does that.
//!
//! Source:
//! <https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinitionDiagnostic.html>.

mod fields;
mod graph;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ExecutionType, limits};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// AWS accepts it; it is probably a mistake.
    Warning,
    /// AWS refuses the definition.
    Error,
}

/// Whether AWS would accept a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ValidationResult {
    /// It would.
    Ok,
    /// It would not.
    Fail,
}

/// What `ValidateStateMachineDefinition` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether there is an error among the findings.
    pub result: ValidationResult,
    /// The findings, in the order of the definition.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether findings were left out; they never are here.
    pub truncated: bool,
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

    fn warning(code: &str, message: impl Into<String>, location: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, location) }
    }
}

impl Report {
    /// The report of these findings; `OK` when none is an error.
    pub fn new(diagnostics: Vec<Diagnostic>) -> Self {
        let fails = diagnostics.iter().any(|found| found.severity == Severity::Error);
        let result = if fails { ValidationResult::Fail } else { ValidationResult::Ok };
        Self { result, diagnostics, truncated: false }
    }
}

/// Validates a definition as it is sent to AWS: its text, the kind of machine it is for, and the least
/// severity to report (AWS's own default is [`Severity::Error`]).
pub fn validate_text(text: &str, machine_type: ExecutionType, least: Severity) -> Report {
    if text.trim().is_empty() {
        let message = "The definition is empty.";
        return Report::new(vec![Diagnostic::error("MISSING_DESCRIPTION", message, "/")]);
    }
    if text.len() > limits::DEFINITION_BYTES {
        let message = format!("The definition is larger than {} bytes.", limits::DEFINITION_BYTES);
        return Report::new(vec![Diagnostic::error("SCHEMA_VALIDATION_FAILED", message, "/")]);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(definition) => validate(&definition, machine_type, least),
        // The parser's own sentence; AWS prints that of another parser.
        Err(error) => {
            Report::new(vec![Diagnostic::error("INVALID_JSON_DESCRIPTION", error.to_string(), "/")])
        }
    }
}

/// Validates a definition that is JSON already.
pub fn validate(definition: &Value, machine_type: ExecutionType, least: Severity) -> Report {
    let mut findings = Findings { found: Vec::new(), is_express: machine_type == ExecutionType::Express };
    match definition {
        Value::Object(machine) => {
            fields::machine(machine, &mut findings);
            graph::machine(machine, &mut findings);
        }
        _ => findings.schema("The definition must be an object.", ""),
    }
    findings.found.retain(|found| found.severity >= least);
    Report::new(findings.found)
}

/// What was found so far.
struct Findings {
    found: Vec<Diagnostic>,
    is_express: bool,
}

impl Findings {
    fn schema(&mut self, message: impl Into<String>, location: &str) {
        self.error("SCHEMA_VALIDATION_FAILED", message, location);
    }

    fn error(&mut self, code: &str, message: impl Into<String>, location: &str) {
        let location = if location.is_empty() { "/" } else { location };
        self.found.push(Diagnostic::error(code, message, location));
    }

    fn warning(&mut self, code: &str, message: impl Into<String>, location: &str) {
        self.found.push(Diagnostic::warning(code, message, location));
    }

    /// Reports the fields that are absent, all in one finding.
    fn require(&mut self, fields: &Map<String, Value>, required: &[&str], location: &str) {
        let absent: Vec<&str> = required.iter().copied().filter(|name| !fields.contains_key(*name)).collect();
        if !absent.is_empty() {
            self.schema(format!("These fields are required: [{}]", absent.join(", ")), location);
        }
    }
}

/// The machines directly inside a state, each with its location.
fn inner_machines<'a>(
    state: &'a Map<String, Value>,
    location: &str,
) -> Vec<(String, &'a Map<String, Value>)> {
    let mut machines = Vec::new();
    for field in ["ItemProcessor", "Iterator"] {
        if let Some(Value::Object(machine)) = state.get(field) {
            machines.push((format!("{location}/{field}"), machine));
        }
    }
    if let Some(Value::Array(branches)) = state.get("Branches") {
        for (index, branch) in branches.iter().enumerate() {
            if let Value::Object(machine) = branch {
                machines.push((format!("{location}/Branches[{index}]"), machine));
            }
        }
    }
    machines
}
