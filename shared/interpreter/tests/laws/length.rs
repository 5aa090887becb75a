//! Long and wide machines.

use serde_json::{Map, Value, json};

use crate::Host;

#[test]
fn ten_thousand_states_in_sequence_need_no_stack() {
    let mut states = Map::new();
    for index in 0..10_000 {
        let next = format!("S{}", index + 1);
        states.insert(format!("S{index}"), json!({"Type": "Pass", "Next": next}));
    }
    states.insert("S10000".to_owned(), json!({"Type": "Succeed"}));
    let host = Host::start(json!({"StartAt": "S0", "States": states}), json!({"n": 1}));
    assert_eq!(host.output(), json!({"n": 1}));
    assert_eq!(host.events("PassStateExited"), 10_000);
}

#[test]
fn a_thousand_branches_join_in_order() {
    let branches: Vec<Value> = (0..1_000)
        .map(|index| json!({"StartAt": "Work", "States": {"Work": {"Type": "Pass", "Result": index, "End": true}}}))
        .collect();
    let definition =
        json!({"StartAt": "All", "States": {"All": {"Type": "Parallel", "Branches": branches, "End": true}}});
    assert_eq!(Host::start(definition, json!({})).output(), json!((0..1_000).collect::<Vec<_>>()));
}

#[test]
fn a_loop_reuses_nothing_of_the_passage_before() {
    let definition = json!({"StartAt": "Count", "QueryLanguage": "JSONata", "States": {
        "Count": {"Type": "Pass", "Output": "{% $states.input + 1 %}", "Next": "Enough"},
        "Enough": {"Type": "Choice", "Choices": [{"Condition": "{% $states.input < 1000 %}", "Next": "Count"}],
                   "Default": "Done"},
        "Done": {"Type": "Succeed"},
    }});
    assert_eq!(Host::start(definition, json!(0)).output(), json!(1000));
}

#[test]
fn equal_seeds_give_equal_executions() {
    let definition = json!({"StartAt": "A", "QueryLanguage": "JSONata", "States": {
        "A": {"Type": "Pass", "Output": {"id": "{% $uuid() %}", "n": "{% $random() %}"}, "End": true},
    }});
    let run = || Host::start(definition.clone(), json!({})).output();
    assert_eq!(run(), run());
}

#[test]
fn a_definition_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<cauce_interpreter::Definition>();
}

#[test]
fn an_endless_loop_ends_when_the_history_is_full() {
    let definition = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A"}}});
    let host = Host::start(definition, json!({}));
    assert_eq!((host.status(), host.error()), ("FAILED", Some("States.Runtime")));
    let events = host.execution.history().len();
    assert!(events <= cauce_asl::limits::HISTORY_EVENTS, "{events}");
}
