//! Retry and Catch.

use serde_json::{Value, json};

use crate::Host;

fn task(retry: Value, catch: Value) -> Value {
    json!({"StartAt": "Work", "States": {
        "Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Retry": retry, "Catch": catch,
                 "End": true},
        "Caught": {"Type": "Pass", "End": true},
    }})
}

#[test]
fn intervals_grow_by_the_rate_up_to_the_longest() {
    let retry = json!([{"ErrorEquals": ["A"], "IntervalSeconds": 2, "BackoffRate": 3, "MaxAttempts": 4,
                        "MaxDelaySeconds": 20}]);
    let mut host = Host::start(task(retry, json!([])), json!({}));
    for seconds in [2.0, 6.0, 18.0, 20.0] {
        host.fail("Work", "A");
        assert_eq!(host.sleeps(), Some(seconds));
        assert!(host.calls.is_empty(), "the retry waits");
        host.pass((seconds * 1000.0) as i64);
    }
    host.fail("Work", "A");
    assert_eq!((host.status(), host.error()), ("FAILED", Some("A")));
}

#[test]
fn defaults_are_three_retries_after_one_two_and_four_seconds() {
    let mut host = Host::start(task(json!([{"ErrorEquals": ["States.ALL"]}]), json!([])), json!({}));
    for seconds in [1.0, 2.0, 4.0] {
        host.fail("Work", "A");
        assert_eq!(host.sleeps(), Some(seconds));
        host.pass((seconds * 1000.0) as i64);
    }
    host.fail("Work", "A");
    assert_eq!(host.status(), "FAILED");
}

#[test]
fn each_retrier_counts_its_own() {
    let retry = json!([
        {"ErrorEquals": ["A"], "MaxAttempts": 1},
        {"ErrorEquals": ["B"], "MaxAttempts": 1, "IntervalSeconds": 5},
    ]);
    let mut host = Host::start(task(retry, json!([])), json!({}));
    host.fail("Work", "A");
    assert_eq!(host.sleeps(), Some(1.0));
    host.pass(1_000);
    host.fail("Work", "B");
    assert_eq!(host.sleeps(), Some(5.0), "the second retrier has not been used");
    host.pass(5_000);
    assert_eq!(host.calls[0].retry_count, 2, "RetryCount counts both");
    host.fail("Work", "A");
    assert_eq!((host.status(), host.error()), ("FAILED", Some("A")));
}

#[test]
fn only_the_first_retrier_that_serves_an_error_does() {
    let retry = json!([
        {"ErrorEquals": ["A"], "MaxAttempts": 0},
        {"ErrorEquals": ["States.ALL"], "MaxAttempts": 5},
    ]);
    let mut host = Host::start(task(retry, json!([])), json!({}));
    host.fail("Work", "A");
    assert_eq!(host.status(), "FAILED");
}

#[test]
fn retriers_start_anew_when_the_state_is_entered_again() {
    let definition = json!({"StartAt": "Work", "States": {
        "Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Next": "Work",
                 "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 1}]},
        "Never": {"Type": "Succeed"},
    }});
    let mut host = Host::start(definition, json!({}));
    for _ in 0..3 {
        host.fail("Work", "A");
        assert_eq!(host.status(), "RUNNING");
        host.pass(1_000);
        host.answer("Work", Ok(json!({})));
    }
    assert_eq!(host.events("TaskStateEntered"), 4);
}

#[test]
fn full_jitter_stays_below_the_interval_and_follows_the_seed() {
    let retry = json!([{"ErrorEquals": ["A"], "IntervalSeconds": 10, "JitterStrategy": "FULL"}]);
    let delay = || {
        let mut host = Host::start(task(retry.clone(), json!([])), json!({}));
        host.fail("Work", "A");
        host.sleeps().expect("a retry")
    };
    assert!((0.0..10.0).contains(&delay()));
    assert_eq!(delay().to_bits(), delay().to_bits());
}

#[test]
fn a_catcher_comes_after_the_retriers_and_places_the_error() {
    let catch = json!([{"ErrorEquals": ["A"], "ResultPath": "$.error", "Next": "Caught"}]);
    let mut host =
        Host::start(task(json!([{"ErrorEquals": ["A"], "MaxAttempts": 1}]), catch), json!({"kept": true}));
    host.fail("Work", "A");
    host.pass(1_000);
    host.fail("Work", "A");
    assert_eq!(host.output(), json!({"kept": true, "error": {"Error": "A", "Cause": "because"}}));
}

#[test]
fn a_result_over_the_payload_limit_is_caught_by_its_own_name_only() {
    let large = Value::String("x".repeat(cauce_asl::limits::PAYLOAD_BYTES));
    for (name, status) in [("States.ALL", "FAILED"), ("States.DataLimitExceeded", "SUCCEEDED")] {
        let catch = json!([{"ErrorEquals": [name], "Next": "Caught"}]);
        let mut host = Host::start(task(json!([]), catch), json!({}));
        host.answer("Work", Ok(large.clone()));
        assert_eq!(host.status(), status, "{name}");
    }
    let mut host = Host::start(task(json!([]), json!([])), json!({}));
    // Two bytes are the quotes of the JSON text.
    host.answer("Work", Ok(Value::String("x".repeat(cauce_asl::limits::PAYLOAD_BYTES - 2))));
    assert_eq!(host.status(), "SUCCEEDED");
}
