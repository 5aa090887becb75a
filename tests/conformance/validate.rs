//! Scores the validator.

use std::path::Path;

use cauce_asl::{Diagnostic, ExecutionType, Report, Severity, ValidationResult, validate, validate_text};
use serde::Deserialize;

use crate::case::{Case, read};
use crate::score::Scores;

/// One recorded answer of `ValidateStateMachineDefinition`.
#[derive(Deserialize)]
struct Validation {
    id: String,
    definition_text: String,
    #[serde(rename = "type")]
    machine_type: ExecutionType,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    diagnostics: Vec<Diagnostic>,
    result: ValidationResult,
    truncated: bool,
}

pub(crate) fn score(folder: &Path, scores: &mut Scores, failures: &mut String) {
    for case in read::<Validation>(&folder.join("validate.jsonl")) {
        let report = validate_text(&case.definition_text, case.machine_type, Severity::Error);
        let Expected { diagnostics, result, truncated } = case.expected;
        let expected = Report { result, diagnostics, truncated };
        scores.count("validate", report == expected);
        if report != expected {
            *failures += &format!("validate {}\n  expected {expected:?}\n     found {report:?}\n", case.id);
        }
    }
    // What AWS ran it had accepted.
    for file in ["local", "mocked"] {
        for case in read::<Case>(&folder.join(format!("{file}.jsonl"))) {
            let report = validate(&case.definition, ExecutionType::Standard, Severity::Error);
            let is_accepted = report.result == ValidationResult::Ok;
            scores.count("validate_accepted", is_accepted);
            if !is_accepted {
                *failures += &format!("validate accepted {}\n  {:?}\n", case.id, report.diagnostics);
            }
        }
    }
}
