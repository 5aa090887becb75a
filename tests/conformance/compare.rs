//! Compares what happened with what was recorded.

use cauce_interpreter::Ended;
use serde_json::Value;

use crate::case::Expected;

/// How strictly values are compared.
pub(crate) struct Comparison {
    /// Tokens of the recorder, such as `<uuid:1>` or `start-time`, stand for any text.
    pub(crate) is_tolerant: bool,
    /// What the recorder wrote for values of the input: `(value, token)`.
    pub(crate) tokens: Vec<(String, String)>,
}

impl Comparison {
    /// The first difference, if there is one.
    pub(crate) fn ended(&self, expected: &Expected, ended: &Ended) -> Option<String> {
        if expected.status != ended.status.name() {
            return Some(format!("expected {expected:?}, found {ended:?}"));
        }
        if let Some(output) = &expected.output {
            let found = ended.output.as_deref().cloned().unwrap_or_default();
            if !self.same(output, &found) {
                return Some(format!("expected output {output}\n     found output {found}"));
            }
        }
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        let error = text(&expected.error);
        if !self.same(&error, &text(&ended.error)) {
            return Some(format!("expected error {error}, found {:?} {:?}", ended.error, ended.cause));
        }
        let cause = expected.cause.clone().unwrap_or_default();
        if !self.same(&cause, &text(&ended.cause)) {
            return Some(format!("expected cause {cause}\n     found cause {:?}", ended.cause));
        }
        None
    }

    /// Whether two values are the same. JSON inside a text is compared as JSON, because the recorder
    /// parsed and printed it again; numbers are compared by value.
    pub(crate) fn same(&self, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::Object(one), Value::Object(two)) => {
                one.len() == two.len()
                    && one
                        .iter()
                        .all(|(key, value)| two.get(key).is_some_and(|other| self.same(value, other)))
            }
            (Value::Array(one), Value::Array(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| self.same(one, two))
            }
            (Value::Number(one), Value::Number(two)) => one == two || one.as_f64() == two.as_f64(),
            (Value::String(one), Value::String(two)) => {
                one == two
                    || self.tokens.iter().any(|(value, token)| *one == two.replace(value.as_str(), token))
                    || (self.is_tolerant && matches_tokens(one, two))
                    || matches!((json(one), json(two)), (Some(one), Some(two)) if self.same(&one, &two))
            }
            // A random number is recorded as a word.
            (Value::String(token), Value::Number(_)) => {
                self.is_tolerant && token.chars().all(char::is_alphabetic)
            }
            // A document that the recorder parsed out of its text.
            (Value::Object(_) | Value::Array(_), Value::String(text)) => {
                json(text).is_some_and(|parsed| self.same(expected, &parsed))
            }
            _ => expected == found,
        }
    }
}

fn json(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    (value.is_object() || value.is_array()).then_some(value)
}

/// Whether a text fits one in which parts were replaced by tokens.
fn matches_tokens(expected: &str, found: &str) -> bool {
    let is_bare_token =
        !expected.is_empty() && expected.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c));
    if is_bare_token
        && (found.starts_with("arn:") || found.parse::<jiff::Timestamp>().is_ok() || found.len() == 36)
    {
        return true;
    }
    let mut literals = Vec::new();
    let mut rest = expected;
    while let Some((before, after)) = rest.split_once('<') {
        let Some((_, behind)) = after.split_once('>') else { break };
        literals.push(before);
        // `<<token>:1>` is one token.
        rest = behind.strip_prefix(":1>").unwrap_or(behind);
    }
    if literals.is_empty() {
        return false;
    }
    let Some(mut found) = found.strip_prefix(literals[0]) else { return false };
    for literal in &literals[1..] {
        match found.find(literal) {
            Some(at) => found = &found[at + literal.len()..],
            None => return false,
        }
    }
    found.ends_with(rest)
}
