//! JSONata expressions over what a state may read.

use cauce_interpreter::jsonata::{Environment, Expression, JsonataErrorKind, MAX_VALUE_DEPTH};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Value, json as value};

use crate::{json, texts};

/// `<expression> CUT <the state's input> CUT <the variable v>`.
pub(crate) fn jsonata(input: &[u8]) {
    let Some([source, document, variable]) = texts(input) else { return };
    let document = json(document);
    let variables: IndexMap<String, Value> = [("v".to_owned(), json(variable))].into();
    let context = value!({"Execution": {"Name": "e"}, "State": {"EnteredTime": "1997-01-05T02:00:00.000Z"}});
    let environment = Environment {
        input: &document,
        context: &context,
        result: Some(&document),
        error_output: None,
        variables: &variables,
        now: Timestamp::UNIX_EPOCH,
        seed: 7,
    };
    itself(&document, &environment);
    let expression = match Expression::compile(source) {
        Ok(expression) => expression,
        Err(error) => {
            assert!(matches!(error.kind, JsonataErrorKind::Syntax | JsonataErrorKind::Limit), "{error:?}");
            return assert!(error.position <= source.chars().count(), "{error:?} is outside");
        }
    };
    assert_eq!(expression.source(), source);
    let result = expression.evaluate(&environment);
    let again = expression.evaluate(&environment);
    assert_eq!(result, again, "two evaluations differ");
    match result {
        Ok(Some(result)) => {
            assert!(depth(&result) <= usize::from(MAX_VALUE_DEPTH) + depth(&document) + 1, "too deep");
            // A result is passed on as JSON text.
            let text = result.to_string();
            assert_eq!(serde_json::from_str::<Value>(&text).ok().as_ref(), Some(&result), "{text}");
        }
        Ok(None) => {}
        Err(error) => {
            assert_ne!(error.kind, JsonataErrorKind::Syntax, "found late: {error}");
            assert!(!error.message.is_empty() && !error.code.is_empty(), "{error:?}");
        }
    }
}

/// JSON is JSONata, and what `$string` writes `$parse` reads.
fn itself(document: &Value, environment: &Environment<'_>) {
    if depth(document) > 30 {
        return;
    }
    let of = |source: &str| Expression::compile(source).and_then(|source| source.evaluate(environment));
    assert_eq!(of("$states.input"), Ok(Some(document.clone())));
    if is_small(document) {
        let written = document.to_string();
        assert_eq!(of(&written), Ok(Some(document.clone())), "{written}");
        // `$string` of a text is that text, which need not be JSON; in an object it is.
        let read = of("$parse($string({'x': $states.input}))").ok().flatten();
        assert_eq!(read, Some(value!({"x": document})), "{written}");
    }
}

/// Whole numbers and texts that every dialect writes alike.
fn is_small(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|number| number.abs() < 1 << 50),
        Value::String(_) => true,
        Value::Array(items) => items.iter().all(is_small),
        Value::Object(fields) => fields.values().all(is_small),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
