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
