//! Definitions survive being read and written.

use cauce_asl::{ChoiceRule, Condition, Map, Operand, Operator, Pass, State, StateMachine, SubMachine, Task};
use serde_json::{Value, json};

fn round_trip(definition: Value) {
    let machine: StateMachine = serde_json::from_value(definition.clone()).expect("reads");
    assert_eq!(serde_json::to_value(&machine).expect("writes"), definition);
}

#[test]
fn an_explicit_null_is_not_an_absent_field() {
    round_trip(json!({"StartAt": "A", "States": {"A": {
        "Type": "Pass", "InputPath": null, "Result": null, "ResultPath": null, "OutputPath": null, "End": true,
    }}}));
}

#[test]
fn choice_rules_of_both_languages_keep_their_shape() {
    round_trip(json!({"StartAt": "A", "States": {
        "A": {"Type": "Choice", "Choices": [
            {"Condition": "{% $x > 1 %}", "Next": "B", "Assign": {"y": 1}, "Output": "o"},
            {"And": [{"Variable": "$.a", "NumericEqualsPath": "$.b"}, {"Not": {"Variable": "$.c", "IsPresent": true}}],
             "Next": "B"},
            {"Variable": "$.s", "StringMatches": "a*", "Next": "B", "Comment": "why"},
        ], "Default": "B"},
        "B": {"Type": "Succeed"},
    }}));
}

#[test]
fn every_operator_is_found_by_its_field() {
    for operator in Operator::ALL {
        assert_eq!(Operator::of_field(operator.name()), Some((*operator, false)));
        let path = format!("{}Path", operator.name());
        assert_eq!(Operator::of_field(&path), operator.takes_path().then_some((*operator, true)));
    }
}

#[test]
fn a_choice_rule_without_an_operator_is_refused() {
    let rule = json!({"Variable": "$.a", "NumericAlmost": 1, "Next": "B"});
    let error = serde_json::from_value::<ChoiceRule>(rule).expect_err("no such operator");
    assert!(error.to_string().contains("no known operator"), "{error}");
}

#[test]
fn built_states_are_compact() {
    let mut machine = StateMachine::new("Each");
    let mut processor = SubMachine::new("Work");
    processor.states.insert("Work".into(), Task::new("arn:aws:states:::lambda:invoke").end().into());
    machine.states.insert("Each".into(), Map::inline(processor).next("Done").into());
    machine.states.insert("Done".into(), Pass { output: Some(json!({})), ..Pass::default() }.end().into());
    let text = machine.to_compact_json();
    assert!(!text.contains("null") && !text.contains("[]"), "{text}");
    assert_eq!(StateMachine::parse(&text).expect("reads"), machine);
}

#[test]
fn rules_are_built_without_spelling_out_absent_fields() {
    let rule = ChoiceRule::compare("$.n", Operator::NumericGreaterThan, 3, "Big");
    let Condition::Compare(comparison) = &rule.condition else { panic!("a comparison") };
    assert_eq!(comparison.operand, Operand::Literal(json!(3)));
    assert_eq!(
        serde_json::to_value(rule).expect("writes"),
        json!({"Variable": "$.n", "NumericGreaterThan": 3, "Next": "Big"})
    );
}

#[test]
fn an_unknown_type_is_refused() {
    serde_json::from_value::<State>(json!({"Type": "Loop"})).expect_err("no such type");
}
