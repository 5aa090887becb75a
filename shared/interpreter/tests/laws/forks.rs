//! Parallel states and inline Maps.

use serde_json::{Value, json};

use crate::Host;

fn branch(name: &str, state: Value) -> Value {
    json!({"StartAt": name, "States": {name: state}})
}

fn task() -> Value {
    json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true})
}

#[test]
fn a_failing_branch_cancels_its_siblings() {
    let definition = json!({"StartAt": "Both", "States": {
        "Both": {"Type": "Parallel", "End": true, "Catch": [{"ErrorEquals": ["A"], "Next": "Caught"}], "Branches": [
            branch("One", task()), branch("Two", task()), branch("Pause", json!({"Type": "Wait", "Seconds": 60, "End": true})),
        ]},
        "Caught": {"Type": "Pass", "End": true},
    }});
    let mut host = Host::start(definition, json!({}));
    host.fail("One", "A");
    assert_eq!(host.output(), json!({"Error": "A", "Cause": "because"}));
    assert_eq!(host.cancelled.iter().map(|call| &*call.state).collect::<Vec<_>>(), ["Two"]);
    assert_eq!((host.events("TaskStateAborted"), host.events("WaitStateAborted")), (2, 1));
    assert_eq!(host.sleeps(), None, "the Wait is forgotten");
}

#[test]
fn a_sibling_that_fails_at_once_keeps_a_call_from_being_made() {
    let fail = json!({"Type": "Fail", "Error": "A"});
    let definition = json!({"StartAt": "Both", "States": {
        "Both": {"Type": "Parallel", "End": true, "Branches": [branch("One", task()), branch("Two", fail)]},
    }});
    let host = Host::start(definition, json!({}));
    assert_eq!((host.status(), host.error()), ("FAILED", Some("A")));
    assert!(host.calls.is_empty() && host.cancelled.is_empty());
}

#[test]
fn a_retried_parallel_runs_all_branches_again() {
    let definition = json!({"StartAt": "Both", "States": {
        "Both": {"Type": "Parallel", "End": true, "Retry": [{"ErrorEquals": ["A"], "MaxAttempts": 1}],
                 "Branches": [branch("One", task()), branch("Two", task())]},
    }});
    let mut host = Host::start(definition, json!({}));
    host.answer("One", Ok(json!(1)));
    host.fail("Two", "A");
    host.pass(1_000);
    host.answer("Two", Ok(json!(2)));
    host.answer("One", Ok(json!(3)));
    assert_eq!(host.output(), json!([3, 2]));
    assert_eq!((host.events("ParallelStateStarted"), host.events("ParallelStateFailed")), (2, 0));
}

#[test]
fn branches_see_the_variables_before_them_and_keep_their_own() {
    let assign = |value: i64| {
        json!({"Type": "Pass", "QueryLanguage": "JSONata", "Assign": {"own": value},
               "Output": "{% $before %}", "Next": "Show"})
    };
    let show =
        json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% [$before, $own] %}", "End": true});
    let branch = |value: i64| json!({"StartAt": "Set", "States": {"Set": assign(value), "Show": show}});
    let definition = json!({"StartAt": "Before", "QueryLanguage": "JSONata", "States": {
        "Before": {"Type": "Pass", "Assign": {"before": 1}, "Next": "Both"},
        "Both": {"Type": "Parallel", "Branches": [branch(2), branch(3)], "Next": "After",
                 "Output": {"branches": "{% $states.result %}", "own": "{% $exists($own) %}"}},
        "After": {"Type": "Pass", "End": true},
    }});
    let host = Host::start(definition, json!({}));
    assert_eq!(host.output(), json!({"branches": [[1, 2], [1, 3]], "own": false}));
}

#[test]
fn assignments_and_output_see_the_values_from_before_the_state() {
    let definition = json!({"StartAt": "A", "QueryLanguage": "JSONata", "States": {
        "A": {"Type": "Pass", "Assign": {"x": 1, "y": 2}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"x": "{% $y %}", "y": "{% $x %}"}, "Output": "{% [$x, $y] %}", "Next": "C"},
        "C": {"Type": "Pass", "Output": "{% $append($states.input, [$x, $y]) %}", "End": true},
    }});
    assert_eq!(Host::start(definition, json!({})).output(), json!([1, 2, 2, 1]));
}

fn map(fields: Value) -> Value {
    let mut state = json!({"Type": "Map", "ItemProcessor": branch("Work", task()), "End": true});
    if let (Some(state), Value::Object(fields)) = (state.as_object_mut(), fields) {
        state.extend(fields);
    }
    json!({"StartAt": "Each", "States": {"Each": state}})
}

#[test]
fn no_more_iterations_run_than_may() {
    let mut host = Host::start(map(json!({"MaxConcurrency": 2})), json!([0, 1, 2, 3, 4]));
    let mut most = 0;
    for _ in 0..5 {
        most = most.max(host.calls.len());
        let input = host.calls[0].arguments.clone();
        host.answer("Work", Ok(json!(input.as_i64().map(|n| n * 10))));
    }
    assert_eq!(most, 2);
    assert_eq!(host.output(), json!([0, 10, 20, 30, 40]), "results keep the order of the items");
}

#[test]
fn zero_is_no_bound_but_the_forty_of_inline_maps() {
    for fields in [json!({}), json!({"MaxConcurrency": 0}), json!({"MaxConcurrency": 100})] {
        let host = Host::start(map(fields), json!((0..60).collect::<Vec<_>>()));
        assert_eq!(host.calls.len(), cauce_asl::limits::INLINE_MAP_CONCURRENCY);
    }
}

#[test]
fn a_failing_iteration_fails_the_map_and_stops_the_others() {
    let mut host = Host::start(map(json!({})), json!([0, 1, 2]));
    host.fail("Work", "A");
    assert_eq!((host.status(), host.error()), ("FAILED", Some("A")));
    assert_eq!((host.cancelled.len(), host.events("MapIterationAborted")), (2, 2));
}

#[test]
fn an_empty_map_succeeds_at_once() {
    assert_eq!(Host::start(map(json!({})), json!([])).output(), json!([]));
}

#[test]
fn nested_maps_see_the_innermost_item() {
    let inner = json!({"Type": "Map", "ItemProcessor": branch("Show", json!({
        "Type": "Pass", "Parameters": {"index.$": "$$.Map.Item.Index", "value.$": "$$.Map.Item.Value"}, "End": true,
    })), "End": true});
    let definition = json!({"StartAt": "Outer", "States": {
        "Outer": {"Type": "Map", "ItemProcessor": branch("Inner", inner), "End": true},
    }});
    assert_eq!(
        Host::start(definition, json!([["a"], ["b", "c"]])).output(),
        json!([[{"index": 0, "value": "a"}], [{"index": 0, "value": "b"}, {"index": 1, "value": "c"}]])
    );
}

#[test]
fn a_runtime_error_inside_a_branch_is_never_caught() {
    let bad = json!({"Type": "Pass", "InputPath": "$.missing", "End": true});
    let definition = json!({"StartAt": "Both", "States": {
        "Both": {"Type": "Parallel", "Branches": [branch("Bad", bad)], "End": true,
                 "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]},
        "Caught": {"Type": "Pass", "End": true},
    }});
    let host = Host::start(definition, json!({}));
    assert_eq!((host.status(), host.error()), ("FAILED", Some("States.Runtime")));
}
