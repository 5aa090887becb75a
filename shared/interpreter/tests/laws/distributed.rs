//! Distributed Map: what may fail, batches, objects read and written.

use std::sync::Arc;

use cauce_interpreter::mocks::{MockError, Mocks, Run};
use cauce_interpreter::{Context, Definition};
use jiff::Timestamp;
use serde_json::{Value, json};

fn machine(fields: Value) -> Value {
    let mut state = json!({"Type": "Map", "End": true, "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Check", "States": {
            "Check": {"Type": "Choice", "Choices": [{"Variable": "$", "StringEquals": "bad", "Next": "Bad"}],
                      "Default": "Good"},
            "Good": {"Type": "Pass", "End": true},
            "Bad": {"Type": "Fail", "Error": "Bad", "Cause": "it is"},
        },
    }});
    if let (Some(state), Value::Object(fields)) = (state.as_object_mut(), fields) {
        state.extend(fields);
    }
    json!({"StartAt": "Each", "States": {"Each": state}})
}

fn run(definition: Value, input: Value, mocks: Value) -> (Result<Run, MockError>, Mocks) {
    let definition = Arc::new(Definition::parse_value(&definition).expect("a valid definition"));
    let mut mocks = Mocks::parse(&mocks).expect("mocks");
    let context = Context::named("machine", "execution");
    let run = mocks.run(definition, context, input, Timestamp::UNIX_EPOCH, None, 1);
    (run, mocks)
}

fn ended(definition: Value, input: Value) -> (String, Value) {
    let ended = run(definition, input, json!([])).0.expect("nothing is called").ended;
    let output = ended.output.as_deref().cloned().unwrap_or_default();
    (ended.error.unwrap_or_else(|| ended.status.name().to_owned()), output)
}

#[test]
fn one_failure_is_too_many_unless_some_are_tolerated() {
    let items = json!(["a", "bad", "b", "bad"]);
    let exceeded = "States.ExceedToleratedFailureThreshold";
    for (fields, outcome) in [
        (json!({}), exceeded),
        (json!({"ToleratedFailureCount": 1}), exceeded),
        (json!({"ToleratedFailureCount": 2}), "SUCCEEDED"),
        (json!({"ToleratedFailurePercentage": 49}), exceeded),
        (json!({"ToleratedFailurePercentage": 50}), "SUCCEEDED"),
        (json!({"ToleratedFailurePercentage": 100, "ToleratedFailureCount": 1}), exceeded),
    ] {
        assert_eq!(ended(machine(fields.clone()), items.clone()).0, outcome, "{fields}");
    }
}

#[test]
fn the_members_of_an_object_are_items() {
    let fields =
        json!({"ItemSelector": {"key.$": "$$.Map.Item.Value.Key", "value.$": "$$.Map.Item.Value.Value"}});
    let (status, output) = ended(machine(fields), json!({"a": 1, "b": 2}));
    assert_eq!(status, "SUCCEEDED");
    assert_eq!(output, json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}]));
}

#[test]
fn batches_hold_at_most_so_many_items_and_bytes() {
    let batched = |batcher: Value| ended(machine(json!({"ItemBatcher": batcher})), json!(["a", "b", "c"])).1;
    assert_eq!(
        batched(json!({"MaxItemsPerBatch": 2, "BatchInput": {"n": 1}})),
        json!([{"BatchInput": {"n": 1}, "Items": ["a", "b"]}, {"BatchInput": {"n": 1}, "Items": ["c"]}])
    );
    assert_eq!(
        batched(json!({"MaxInputBytesPerBatch": 20})),
        json!([{"Items": ["a", "b"]}, {"Items": ["c"]}])
    );
}

#[test]
fn items_come_from_an_object() {
    let reader = json!({"ItemReader": {"Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "MaxItems": 2},
        "Parameters": {"Bucket": "b", "Key.$": "$.key"}}});
    let mocks = json!({"objects": {"s3://b/items.csv": "x,y\n1,2\n3,4\n5,6\n"}});
    let (outcome, _) = run(machine(reader.clone()), json!({"key": "items.csv"}), mocks.clone());
    let output = outcome.expect("the object is there").ended.output.expect("an output");
    assert_eq!(*output, json!([{"x": "1", "y": "2"}, {"x": "3", "y": "4"}]));
    let (outcome, _) = run(machine(reader), json!({"key": "other"}), mocks);
    let error = outcome.expect_err("no such object");
    assert_eq!(error, MockError::NoObject { state: "Each".to_owned(), url: "s3://b/other".to_owned() });
}

#[test]
fn results_are_written_with_a_manifest() {
    let writer = json!({"ToleratedFailureCount": 1, "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject",
        "Parameters": {"Bucket": "out", "Prefix": "run"}}});
    let (outcome, mocks) = run(machine(writer), json!(["a", "bad"]), json!([]));
    let output = outcome.expect("nothing is called").ended.output.expect("an output");
    let key = output["ResultWriterDetails"]["Key"].as_str().expect("a key");
    let manifest: Value = serde_json::from_str(&mocks.written[&format!("s3://out/{key}")]).expect("JSON");
    assert_eq!(manifest["DestinationBucket"], "out");
    for (status, field, value) in [("SUCCEEDED", "Output", "\"a\""), ("FAILED", "Error", "Bad")] {
        let file = &manifest["ResultFiles"][status][0];
        let body = &mocks.written[&format!("s3://out/{}", file["Key"].as_str().expect("a key"))];
        assert_eq!(file["Size"], json!(body.len()));
        let records: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(records[0][field], value);
    }
}

#[test]
fn child_executions_have_an_input_of_their_own_and_no_variables() {
    let definition = json!({"StartAt": "Before", "QueryLanguage": "JSONata", "States": {
        "Before": {"Type": "Pass", "Assign": {"outer": 1}, "Next": "Each"},
        "Each": {"Type": "Map", "Items": ["a"], "End": true, "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Show", "States": {"Show": {"Type": "Pass", "End": true, "Output": {
                "input": "{% $states.context.Execution.Input %}", "outer": "{% $exists($outer) %}",
            }}},
        }},
    }});
    assert_eq!(ended(definition, json!({"mine": true})).1, json!([{"input": "a", "outer": false}]));
}

#[test]
fn a_call_without_a_reply_names_the_state_and_the_resource() {
    let definition = json!({"StartAt": "Work", "States": {
        "Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true},
    }});
    let error = run(definition, json!({}), json!([])).0.expect_err("nothing is mocked");
    let text = error.to_string();
    assert!(text.contains("'Work'") && text.contains("arn:aws:states:::lambda:invoke"), "{text}");
}
