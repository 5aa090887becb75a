//! Calls, tokens, time limits and heartbeats.

use cauce_interpreter::{Failure, Mode, Reply};
use serde_json::{Value, json};

use crate::Host;

fn machine(fields: Value) -> Value {
    let mut state = json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                           "Parameters": {"Token.$": "$$.Task.Token"}, "End": true});
    if let (Some(state), Value::Object(fields)) = (state.as_object_mut(), fields) {
        state.extend(fields);
    }
    json!({"StartAt": "Ask", "States": {"Ask": state}})
}

#[test]
fn a_token_is_in_the_arguments_and_finishes_the_task_when_answered() {
    let mut host = Host::start(machine(json!({})), json!({}));
    let call = host.calls[0].clone();
    assert_eq!(call.mode, Mode::WaitForTaskToken);
    assert_eq!(json!(call.token), call.arguments["Token"]);
    host.tell(Reply::Returned(call.id, Ok(json!({"MessageId": "m"}))));
    assert_eq!(host.status(), "RUNNING", "the delivery is not the answer");
    assert_eq!(host.events("TaskSubmitted"), 1);
    host.tell(Reply::Answered(call.id, Ok(json!("done"))));
    assert_eq!(host.output(), json!("done"));
}

#[test]
fn a_token_answered_before_the_call_returns_counts() {
    let mut host = Host::start(machine(json!({})), json!({}));
    let call = host.calls[0].clone();
    host.tell(Reply::Answered(call.id, Ok(json!("early"))));
    assert_eq!(host.output(), json!("early"));
    // The delivery's own answer, and a second one, come too late to matter.
    host.tell(Reply::Returned(call.id, Ok(json!({}))));
    host.tell(Reply::Answered(call.id, Err(Failure::new("Late", ""))));
    assert_eq!(host.output(), json!("early"));
}

#[test]
fn a_failed_delivery_fails_the_task() {
    let mut host = Host::start(machine(json!({})), json!({}));
    host.fail("Ask", "SQS.SdkClientException");
    assert_eq!(host.error(), Some("SQS.SdkClientException"));
}

#[test]
fn every_attempt_has_a_token_of_its_own() {
    let mut host = Host::start(machine(json!({"Retry": [{"ErrorEquals": ["States.ALL"]}]})), json!({}));
    let first = host.calls.remove(0);
    host.tell(Reply::Answered(first.id, Err(Failure::new("A", ""))));
    host.pass(1_000);
    let second = host.calls[0].clone();
    assert_ne!(first.token, second.token);
    // The first token is closed.
    host.tell(Reply::Answered(first.id, Ok(json!("stale"))));
    assert_eq!(host.status(), "RUNNING");
    host.tell(Reply::Answered(second.id, Ok(json!("fresh"))));
    assert_eq!(host.output(), json!("fresh"));
}

#[test]
fn a_timeout_cancels_the_call_and_its_late_answer_is_ignored() {
    let mut host = Host::start(machine(json!({"TimeoutSeconds": 5})), json!({}));
    let call = host.calls[0].clone();
    assert_eq!(host.sleeps(), Some(5.0));
    host.pass(5_000);
    assert_eq!((host.status(), host.error()), ("FAILED", Some("States.Timeout")));
    assert_eq!(host.cancelled.len(), 1);
    host.tell(Reply::Answered(call.id, Ok(json!("late"))));
    assert_eq!(host.status(), "FAILED");
}

#[test]
fn an_answer_in_the_instant_of_the_timeout_is_too_late() {
    let mut host = Host::start(machine(json!({"TimeoutSeconds": 5})), json!({}));
    let call = host.calls[0].clone();
    host.now += jiff::SignedDuration::from_secs(5);
    host.tell(Reply::Answered(call.id, Ok(json!("late"))));
    assert_eq!(host.error(), Some("States.Timeout"));
}

#[test]
fn heartbeats_put_off_the_end_but_not_the_timeout() {
    let mut host = Host::start(machine(json!({"TimeoutSeconds": 25, "HeartbeatSeconds": 10})), json!({}));
    let call = host.calls[0].clone();
    for _ in 0..2 {
        host.pass(9_000);
        host.tell(Reply::Heartbeat(call.id));
    }
    assert_eq!(host.status(), "RUNNING");
    host.pass(6_999);
    assert_eq!(host.status(), "RUNNING");
    host.pass(1);
    assert_eq!(host.error(), Some("States.Timeout"), "25 seconds are over");

    let mut host = Host::start(machine(json!({"HeartbeatSeconds": 10})), json!({}));
    let call = host.calls[0].clone();
    host.pass(9_000);
    host.tell(Reply::Heartbeat(call.id));
    host.pass(9_999);
    assert_eq!(host.status(), "RUNNING");
    host.pass(1);
    assert_eq!(host.status(), "FAILED");
    assert_eq!(host.sleeps(), None, "no timer is left");
}

#[test]
fn an_activity_starts_when_a_worker_takes_it() {
    let resource = "arn:aws:states:us-east-1:111111111111:activity:work";
    let mut host = Host::start(machine(json!({"Resource": resource, "Parameters": {}})), json!({}));
    let call = host.calls[0].clone();
    assert_eq!((call.mode, host.events("ActivityStarted")), (Mode::Activity, 0));
    host.tell(Reply::Started(call.id));
    assert_eq!(host.events("ActivityStarted"), 1);
    host.tell(Reply::Answered(call.id, Ok(json!(7))));
    assert_eq!((host.output(), host.events("ActivityStarted")), (json!(7), 1));
}

#[test]
fn a_job_is_submitted_before_it_is_done() {
    let fields = json!({"Resource": "arn:aws:states:::ecs:runTask.sync", "Parameters": {}});
    let mut host = Host::start(machine(fields), json!({}));
    let call = host.calls[0].clone();
    assert_eq!((call.mode, &call.token), (Mode::Sync, &None));
    host.tell(Reply::Submitted(call.id, json!({"TaskArn": "t"})));
    host.tell(Reply::Submitted(call.id, json!({"TaskArn": "t"})));
    assert_eq!(host.events("TaskSubmitted"), 1);
    host.answer("Ask", Ok(json!({"ExitCode": 0})));
    assert_eq!(host.output(), json!({"ExitCode": 0}));
}

#[test]
fn the_execution_ends_at_its_own_limit_whatever_it_does() {
    let mut definition = machine(json!({"Catch": []}));
    definition["TimeoutSeconds"] = json!(60);
    let mut host = Host::start(definition, json!({}));
    host.pass(60_000);
    assert_eq!(host.status(), "TIMED_OUT");
    assert_eq!(host.cancelled.len(), 1);
    assert_eq!(host.events("ExecutionTimedOut"), 1);
}

#[test]
fn an_abort_cancels_every_call_and_ends_it() {
    let mut host = Host::start(machine(json!({})), json!({}));
    host.tell(Reply::Abort(Failure::new("Stopped", "by hand")));
    assert_eq!((host.status(), host.error()), ("ABORTED", Some("Stopped")));
    assert_eq!(host.cancelled.len(), 1);
    assert_eq!(host.sleeps(), None);
}
