//! `cauce asl`: definitions alone.

use super::Project;

const DEFINITION: &str = r#"{
  "StartAt": "Ask", "QueryLanguage": "JSONata",
  "States": {
    "Ask": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": "f", "Payload": "{% $states.input %}"}, "Next": "Rest"},
    "Rest": {"Type": "Wait", "Seconds": 31536000, "Next": "Add"},
    "Add": {"Type": "Pass", "Output": {"sum": "{% $states.input.Payload.n + 1 %}"}, "End": true}
  }
}"#;

const MOCKS: &str = r#"[{"after_state": "Ask", "type": "TaskSucceeded", "output": {"Payload": {"n": 41}}}]"#;

#[test]
fn a_definition_runs_on_recorded_replies_without_waiting() {
    let project = Project::new();
    project.write("d.asl.json", DEFINITION);
    project.write("m.json", MOCKS);
    let ran =
        project.cauce(&["asl", "run", "d.asl.json", "--mocks", "m.json", "--input", "{\"a\": 1}", "--json"]);
    let ran = ran.exits(0).json();
    assert_eq!(ran["status"], "SUCCEEDED");
    assert_eq!(ran["output"], serde_json::json!({"sum": 42}));
    let types: Vec<&str> =
        ran["history"].as_array().unwrap().iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types[0], "ExecutionStarted");
    assert!(types.contains(&"WaitStateExited") && types.last() == Some(&"ExecutionSucceeded"));
    project.cauce(&["asl", "run", "d.asl.json", "--mocks", "m.json"]).exits(0).shows("\"sum\": 42");
}

#[test]
fn a_failed_execution_is_exit_1_and_an_unmocked_call_exit_2() {
    let project = Project::new();
    project.write("d.asl.json", DEFINITION);
    project.cauce(&["asl", "run", "d.asl.json"]).exits(2).says("'Ask'").says("lambda:invoke");
    project
        .write("m.json", r#"[{"after_state": "Ask", "type": "TaskFailed", "error": "Boom", "cause": "x"}]"#);
    let ran = project.cauce(&["asl", "run", "d.asl.json", "--mocks", "m.json", "--json"]).exits(1).json();
    assert_eq!((&ran["status"], &ran["error"]), (&"FAILED".into(), &"Boom".into()));
    project.cauce(&["asl", "run", "d.asl.json", "--input", "{"]).exits(2).says("--input is not JSON");
    project.write("m.json", "3");
    project.cauce(&["asl", "run", "d.asl.json", "--mocks", "m.json"]).exits(2).says("m.json");
}

#[test]
fn a_definition_is_checked_as_aws_would() {
    let project = Project::new();
    project.write("d.asl.json", DEFINITION);
    project.cauce(&["asl", "check", "d.asl.json"]).exits(0).shows("ok");
    project.write("d.asl.json", DEFINITION.replace("\"Next\": \"Rest\"", "\"Next\": \"Nowhere\""));
    project.cauce(&["asl", "check", "d.asl.json"]).exits(2).says("MISSING_TRANSITION_TARGET");
    let report = project.cauce(&["asl", "check", "d.asl.json", "--json"]).exits(2).json();
    assert_eq!(report["result"], "FAIL");
    project
        .write("d.asl.json", DEFINITION.replace("$states.input.Payload.n +", "$states.input.Payload.n + ("));
    project.cauce(&["asl", "check", "d.asl.json"]).exits(2);
}

#[test]
fn one_state_is_tested_as_the_api_does_it() {
    let project = Project::new();
    let request = r#"{"definition": "{\"Type\": \"Pass\", \"QueryLanguage\": \"JSONata\", \"Output\": \"{% $states.input.n + $more %}\", \"Next\": \"After\"}",
        "input": "{\"n\": 41}", "variables": "{\"more\": 1}", "inspectionLevel": "DEBUG", "roleArn": "arn:aws:iam::123456789012:role/r"}"#;
    project.write("r.json", request);
    let told = project.cauce(&["asl", "test-state", "r.json"]).exits(0).json();
    let steps = serde_json::json!({"input": "{\"n\":41}"});
    assert_eq!(
        told,
        serde_json::json!({"status": "SUCCEEDED", "output": "42", "nextState": "After", "inspectionData": steps})
    );
    let told = project.cauce(&["asl", "test-state", &request.replace("DEBUG", "INFO")]).exits(0).json();
    assert_eq!(told.get("inspectionData"), None, "INFO shows no steps");

    // What goes on is exit 0; what would be tried again, or has failed, is exit 1.
    let task = |more: &str| {
        format!(
            r#"{{"definition": {{"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", {more} "End": true}},
                 "input": {{}}, "mock": {{"errorOutput": {{"error": "Boom", "cause": "x"}}}}}}"#
        )
    };
    let catch = r#""Catch": [{"ErrorEquals": ["Boom"], "Next": "Mend"}],"#;
    let retry = r#""Retry": [{"ErrorEquals": ["Boom"]}],"#;
    for (more, status, exit) in [("", "FAILED", 1), (retry, "RETRIABLE", 1), (catch, "CAUGHT_ERROR", 0)] {
        let told = project.cauce(&["asl", "test-state", &task(more)]).exits(exit).json();
        assert_eq!(told["status"], status);
        assert_eq!(told["error"], "Boom");
    }
}

#[test]
fn a_request_that_is_none_is_exit_2_and_says_why() {
    let project = Project::new();
    let refused = |request: &str| project.cauce(&["asl", "test-state", request]).exits(2);
    refused("{").says("the request is not JSON");
    refused("{}").says("definition").says("mock");
    refused("no-such-file.json").says("is not JSON").says("path of a file");
    refused(r#"{"definition": "{"}"#).says("`definition` is not JSON");
    refused(r#"{"definition": {"Type": "Succeed"}, "inspectionLevel": "ALL"}"#).says("INFO, DEBUG, TRACE");
    refused(r#"{"definition": {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}, "stateName": "B"}"#)
        .says("no state 'B'");
    refused(r#"{"definition": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true}}"#)
        .says("mock.errorOutput");
}
