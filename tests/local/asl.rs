//! `cauce asl test-state` over what TestState answered on AWS, through the command and its files.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::Project;

/// The recorded requests and answers of TestState, where they are beside the repository.
fn recorded() -> Option<Vec<Value>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/asl/test_state.jsonl");
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// JSON where a text holds some: recordings show parsed what the API answers as text.
fn opened(value: &Value) -> Value {
    value.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

#[test]
fn states_are_tested_by_the_command_as_they_were_on_aws() {
    let Some(cases) = recorded() else {
        println!("skipped: needs ../shared/conformance");
        return;
    };
    let project = Project::new();
    let (mut passed, mut compared, mut without_reply) = (0, 0, 0);
    for case in cases {
        let mut request = case["request"].clone();
        let expected = &case["expected"];
        // As the API takes them: definition and input are texts.
        for field in ["definition", "input"] {
            if let Some(value) = request.get(field) {
                request[field] = json!(value.to_string());
            }
        }
        project.write("request.json", request.to_string());
        let answer = project.cauce(&["asl", "test-state", "request.json"]);
        if answer.exit == Some(2) {
            answer.says("no \"mock\" stands for it");
            without_reply += 1;
            continue;
        }
        let goes_on = ["SUCCEEDED", "CAUGHT_ERROR"].contains(&expected["status"].as_str().unwrap());
        let found = answer.exits(i32::from(!goes_on)).json();
        for field in ["status", "nextState", "error"] {
            assert_eq!(found[field], expected[field], "{field} of {}: {found}", case["id"]);
        }
        // The recorder put tokens in the place of names.
        if !expected["output"].to_string().contains('<') {
            assert_eq!(opened(&found["output"]), opened(&expected["output"]), "{}", case["id"]);
            compared += 1;
        }
        let steps = |of: &Value| {
            let steps = of["inspectionData"].as_object();
            steps.map(|steps| steps.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
        };
        let (mut ours, mut theirs) = (steps(&found), steps(expected));
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{}", case["id"]);
        passed += 1;
    }
    println!(
        "{passed} states answered as on AWS; {without_reply} call a service whose reply was never recorded"
    );
    assert!(passed >= 99 && compared >= 80, "{passed} passed, of {compared} the whole output");
}
