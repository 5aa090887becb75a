use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Call, IntrinsicError, Scope, SplitMix};
use crate::jsonpath::recorded::single_states;

struct Known {
    input: Value,
    variables: Map<String, Value>,
}

impl Scope for Known {
    fn input(&self) -> &Value {
        &self.input
    }
    fn context(&self) -> &Value {
        &Value::Null
    }
    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }
}

fn eval_with(text: &str, input: Value) -> Result<Value, IntrinsicError> {
    let variables = json!({"who": "Ana"}).as_object().cloned().unwrap();
    Call::parse(text)?.eval(&Known { input, variables }, &mut SplitMix::new(1))
}

fn eval(text: &str) -> Value {
    eval_with(text, json!({"a": 1, "list": [1, 2, 2, 3], "text": "x,y;z"})).unwrap()
}

fn refused(text: &str) -> String {
    eval_with(text, json!({"list": [1], "text": "x"})).unwrap_err().to_string()
}

#[test]
fn texts() {
    assert_eq!(eval("States.Format('{} and {}', $.a, $who)"), "1 and Ana");
    assert_eq!(eval(r"States.Format('\{\} it\'s \\ {}', true)"), r"{} it's \ true");
    assert_eq!(eval("States.Format('no values')"), "no values");
    assert_eq!(eval("States.StringSplit($.text, ',;')"), json!(["x", "y", "z"]));
    assert_eq!(eval("States.Base64Encode('Data to encode')"), "RGF0YSB0byBlbmNvZGU=");
    assert_eq!(eval("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')"), "Data to encode");
    assert_eq!(eval("States.Hash('input data', 'SHA-1')"), "aaff4a450a104cd177d28d18d74485e8cae074b7");
    assert_eq!(eval("States.JsonToString($.list)"), "[1,2,2,3]");
    assert_eq!(eval(r#"States.StringToJson('{"a": [1]}')"#), json!({"a": [1]}));
}

#[test]
fn arrays_and_numbers() {
    assert_eq!(eval("States.Array(1, 'b', null, $.a, States.Array())"), json!([1, "b", null, 1, []]));
    assert_eq!(eval("States.ArrayPartition($.list, 3)"), json!([[1, 2, 2], [3]]));
    assert_eq!(eval("States.ArrayContains($.list, 3)"), true);
    assert_eq!(eval("States.ArrayRange(1, 9, 4)"), json!([1, 5, 9]));
    assert_eq!(eval("States.ArrayRange(3, 1, -1)"), json!([3, 2, 1]));
    assert_eq!(eval("States.ArrayRange(1, 3, -1)"), json!([]));
    assert_eq!(eval("States.ArrayGetItem($.list, 3)"), 3);
    assert_eq!(eval("States.ArrayLength($.list)"), 4);
    assert_eq!(eval("States.ArrayLength($.list[?(@ == 2)])"), 2);
    assert_eq!(eval("States.ArrayUnique($.list)"), json!([1, 2, 3]));
    assert_eq!(eval("States.MathAdd(-1.5, States.MathAdd(2, $.a))"), 2);
    assert_eq!(
        eval(
            r#"States.JsonMerge(States.StringToJson('{"a": 1, "b": 1}'), States.StringToJson('{"b": 2}'), false)"#
        ),
        json!({"a": 1, "b": 2})
    );
}

#[test]
fn random_values_follow_the_seed() {
    let drawn = eval("States.MathRandom(5, 8)");
    assert_eq!(drawn, eval("States.MathRandom(5, 8)"));
    assert!((5..8).contains(&drawn.as_i64().unwrap()));
    assert_eq!(eval("States.MathRandom(0, 999, 3)"), eval("States.MathRandom(0, 999, 3)"));
    let uuid = eval("States.UUID()");
    let uuid = uuid.as_str().unwrap();
    assert_eq!(uuid.len(), 36);
    assert_eq!((&uuid[14..15], uuid.matches('-').count()), ("4", 4));
    assert!("89ab".contains(&uuid[19..20]));
}

#[test]
fn failures_name_the_call() {
    let start = "The function 'States.ArrayGetItem($.list, 5)' had the following error: ";
    assert!(refused("States.ArrayGetItem($.list, 5)").starts_with(start));
    for call in [
        "States.ArrayRange(1, 2000, 1)",
        "States.ArrayRange(1, 2, 0)",
        "States.ArrayRange(-9223372036854775808, 9223372036854775807, 1)",
        "States.ArrayPartition($.list, 0)",
        "States.Base64Decode('***')",
        "States.Hash('x', 'CRC')",
        "States.StringToJson('{')",
        "States.Format('{}')",
        "States.Format('{}', 1, 2)",
        "States.Format('{')",
        "States.MathRandom(3, 3)",
        "States.MathAdd(9223372036854775807, 1)",
        "States.JsonMerge($.list, $.list, false)",
        "States.JsonMerge($, $, true)",
    ] {
        assert!(refused(call).contains("had the following error"), "{call}");
    }
    let missing = eval_with("States.ArrayLength($.no)", json!({})).unwrap_err();
    assert!(matches!(missing, IntrinsicError::Path { path, .. } if path == "$.no"));
    let long = json!({"text": "x".repeat(10_001)});
    assert!(eval_with("States.Base64Encode($.text)", long).is_err());
}

#[test]
fn malformed_calls_are_refused() {
    let deep = format!("{}1{}", "States.Array(".repeat(11), ")".repeat(11));
    for text in [
        "",
        "States.Nothing()",
        "States.Array(1",
        "States.Array(1,)",
        "States.Array(1) 2",
        "States.Format()",
        "States.UUID(1)",
        "States.Array('a)",
        "States.Array($[)",
        "Array(1)",
        &deep,
    ] {
        assert!(matches!(Call::parse(text), Err(IntrinsicError::Syntax { .. })), "{text}");
    }
    assert!(Call::parse(&deep.replacen("States.Array(", "", 1)[..].replacen("))", ")", 1)).is_ok());
}

/// The `Parameters` of recorded Pass states, where they are calls on the input.
#[test]
fn recorded_calls_agree() {
    let mut seen = 0;
    for case in single_states().iter().filter(|case| case.speaks("JSONPath")) {
        let Some(parameters) = case.state["Parameters"].as_object() else { continue };
        for (name, call) in parameters {
            let (Some(name), Some(text)) = (name.strip_suffix(".$"), call.as_str()) else {
                continue;
            };
            if !Call::is_call(text) || text.contains("$$") || text.contains("Random") || text.contains("UUID")
            {
                continue;
            }
            let parsed = Call::parse(text).unwrap();
            let scope = Known { input: case.input.clone(), variables: Map::new() };
            let value = parsed.eval(&scope, &mut SplitMix::new(0)).unwrap();
            assert_eq!(value, case.expected["output"][name], "{}: {text}", case.id);
            seen += 1;
        }
    }
    println!("{seen} recorded calls compared");
}

proptest! {
    #[test]
    fn any_text_parses_or_fails(text in "\\PC*") {
        let _ = Call::parse(&text);
        let _ = Call::parse(&format!("States.Array({text})"));
    }

    #[test]
    fn evaluation_never_panics(
        function in prop::sample::select(vec![
            "Array", "ArrayContains", "ArrayGetItem", "ArrayLength", "ArrayPartition", "ArrayRange",
            "ArrayUnique", "Base64Decode", "Base64Encode", "Format", "Hash", "JsonMerge",
            "JsonToString", "MathAdd", "MathRandom", "StringSplit", "StringToJson", "UUID",
        ]),
        arguments in prop::collection::vec(
            prop::sample::select(vec![
                "0", "-1", "1e300", "9223372036854775807", "-9223372036854775808", "true", "null",
                "'SHA-512'", "'{}'", r"'\'\{'", "$", "$.list", "$.text", "$no", "$.list[*]",
            ]),
            0..4,
        ),
    ) {
        let text = format!("States.{function}({})", arguments.join(", "));
        let _ = eval_with(&text, json!({"list": [1, [2], "x"], "text": "é{}"}));
    }
}
