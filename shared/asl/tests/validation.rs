//! What the validator refuses, where it says so, and in which words.

use cauce_asl::{ExecutionType, Severity, ValidationResult, validate, validate_text};
use serde_json::{Value, json};

/// The errors of a definition as `code message location`.
fn errors(definition: &Value) -> Vec<String> {
    let report = validate(definition, ExecutionType::Standard, Severity::Error);
    let found: Vec<String> = report
        .diagnostics
        .iter()
        .map(|found| {
            format!("{}: {} at {}", found.code, found.message, found.location.as_deref().unwrap_or("nowhere"))
        })
        .collect();
    assert_eq!(found.is_empty(), report.result == ValidationResult::Ok);
    found
}

fn one(state: Value) -> Value {
    json!({"StartAt": "A", "States": {"A": state}})
}

#[test]
fn targets_must_exist_and_states_must_be_reached() {
    let definition = json!({"StartAt": "pass1", "States": {
        "pass1": {"Type": "Pass", "Next": "pass3"},
        "pass2": {"Type": "Pass", "End": true},
    }});
    assert_eq!(
        errors(&definition),
        [
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: pass3 at /States/pass1/Next",
            "MISSING_TRANSITION_TARGET: State \"pass2\" is not reachable. at /States/pass2",
        ]
    );
}

#[test]
fn every_place_that_names_a_state_is_looked_at() {
    let definition = json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true, "Next": "X"}], "Default": "Y"},
        "T": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true,
              "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Z"}]},
    }});
    let found = errors(&definition);
    for place in ["X at /States/C/Choices[0]/Next", "Y at /States/C/Default", "Z at /States/T/Catch[0]/Next"]
    {
        assert!(
            found.iter().any(|found| found.ends_with(&format!("Missing 'Next' target: {place}"))),
            "{found:?}"
        );
    }
}

#[test]
fn a_machine_must_end_and_then_unreachable_states_are_not_counted() {
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}, "C": {"Type": "Pass", "Next": "A"},
    }});
    assert_eq!(errors(&definition), ["MISSING_END_STATE: Workflow has no terminal state at nowhere"]);
}

#[test]
fn fields_belong_to_types() {
    for (field, value) in
        [("TimeoutSeconds", json!(5)), ("Catch", json!([])), ("Retry", json!([])), ("Foo", json!(1))]
    {
        let mut state = json!({"Type": "Pass", "End": true});
        state[field] = value;
        let expected = format!("SCHEMA_VALIDATION_FAILED: Field '{field}' is not supported at /States/A");
        assert_eq!(errors(&one(state)), [expected]);
    }
    assert_eq!(
        errors(&one(json!({"Type": "Task", "End": true}))),
        ["SCHEMA_VALIDATION_FAILED: These fields are required: [Resource] at /States/A"]
    );
    let machine = json!({"StartAt": "A", "Coment": "", "States": {"A": {"Type": "Succeed"}}});
    assert_eq!(errors(&machine), ["SCHEMA_VALIDATION_FAILED: Field 'Coment' is not supported at /"]);
}

#[test]
fn fields_belong_to_query_languages() {
    assert_eq!(
        errors(&one(json!({"Type": "Pass", "Output": 1, "End": true}))),
        [
            "SCHEMA_VALIDATION_FAILED: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported \
         for the 'JSONata' QueryLanguage at /States/A"
        ]
    );
    assert_eq!(
        errors(&one(json!({"Type": "Pass", "QueryLanguage": "JSONata", "ResultPath": "$.a", "End": true}))),
        ["SCHEMA_VALIDATION_FAILED: The QueryLanguage is set to 'JSONata', but field 'ResultPath' is only \
         supported for the 'JSONPath' QueryLanguage at /States/A"]
    );
    let map = json!({"Type": "Map", "QueryLanguage": "JSONata", "End": true, "ItemProcessor": {
        "QueryLanguage": "JSONata", "StartAt": "P", "States": {"P": {"Type": "Pass", "Output": 1, "End": true}}}});
    let found = errors(&one(map));
    assert_eq!(
        found[0],
        "SCHEMA_VALIDATION_FAILED: Field 'QueryLanguage' is not supported at /States/A/ItemProcessor"
    );
    assert!(
        found[1].ends_with("at /States/A/ItemProcessor/States/P"),
        "nested states keep the machine's language"
    );
}

#[test]
fn numbers_stay_within_their_limits_and_have_one_source() {
    let processor = json!({"StartAt": "P", "States": {"P": {"Type": "Succeed"}}});
    let map = json!({"Type": "Map", "ItemProcessor": processor, "End": true, "MaxConcurrency": -1,
        "ToleratedFailurePercentage": 101, "ToleratedFailurePercentagePath": "$.p",
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"MaxItems": 100_000_001}}});
    assert_eq!(
        errors(&one(map)),
        [
            "SCHEMA_VALIDATION_FAILED: There should only be one of the following fields: \
         [ToleratedFailurePercentage, ToleratedFailurePercentagePath] at /States/A",
            "SCHEMA_VALIDATION_FAILED: Maximum value is 100000000 at /States/A/ItemReader/ReaderConfig/MaxItems",
            "SCHEMA_VALIDATION_FAILED: Minimum value is 0 at /States/A/MaxConcurrency",
            "SCHEMA_VALIDATION_FAILED: Maximum value is 100.0 at /States/A/ToleratedFailurePercentage",
        ]
    );
}

#[test]
fn express_machines_wait_for_nobody() {
    let definition =
        one(json!({"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "End": true}));
    assert!(errors(&definition).is_empty());
    let report = validate(&definition, ExecutionType::Express, Severity::Error);
    assert_eq!(report.diagnostics[0].location.as_deref(), Some("/States/A/Resource"));
}

#[test]
fn texts_that_are_no_definition_are_told_apart() {
    let code = |text: &str| {
        validate_text(text, ExecutionType::Standard, Severity::Error).diagnostics[0].code.clone()
    };
    assert_eq!(code(" "), "MISSING_DESCRIPTION");
    assert_eq!(code("{"), "INVALID_JSON_DESCRIPTION");
    assert_eq!(code("[]"), "SCHEMA_VALIDATION_FAILED");
    assert_eq!(code(&"[".repeat(100_000)), "INVALID_JSON_DESCRIPTION");
}

#[test]
fn a_static_path_is_a_warning_that_must_be_asked_for() {
    let definition = one(json!({"Type": "Pass", "Result": {"a.$": "$.a"}, "End": true}));
    assert!(errors(&definition).is_empty());
    let report = validate(&definition, ExecutionType::Standard, Severity::Warning);
    assert_eq!(
        (report.result, report.diagnostics[0].code.as_str()),
        (ValidationResult::Ok, "PASS_RESULT_IS_STATIC")
    );
}
