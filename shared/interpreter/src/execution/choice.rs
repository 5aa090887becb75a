//! Choice states: the rules and their operators.
//!
//! Source: <https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html>. A comparison of
//! values of different types is false, as recorded on AWS.

use std::cmp::Ordering;
use std::sync::Arc;

use cauce_asl::{Operator, QueryLanguage, error_name};
use serde_json::Value;

use crate::definition::{Node, Right, Rule, Test};
use crate::intrinsics::SplitMix;
use crate::jsonpath::Reference;
use crate::template::{Frame, Trouble};

use super::Execution;
use super::data::Extra;
use super::flow::FlowId;
use super::step::timestamp;

impl Execution {
    pub(crate) fn choose(
        &mut self,
        id: FlowId,
        node: &Node,
        rules: &[Rule],
        default: Option<usize>,
    ) -> Result<(), Trouble> {
        let raw = Arc::clone(&self.flows[id].input);
        let input = self.select(id, &node.io.input_path, &raw)?;
        let mut chosen = None;
        for (index, rule) in rules.iter().enumerate() {
            let holds = self.evaluate(id, rule.needs, &input, Extra::default(), |frame, rng| {
                holds(&rule.test, frame, rng, index)
            })?;
            if holds {
                chosen = Some(rule);
                break;
            }
        }
        let (next, assign, output) = match (chosen, default) {
            (Some(rule), _) => (rule.next, rule.assign.as_ref(), rule.output.as_ref()),
            (None, Some(default)) => (default, node.io.assign.as_ref(), None),
            // The sentence is known from reports, not verified on AWS.
            (None, None) => {
                return Err(Trouble {
                    error: error_name::NO_CHOICE_MATCHED,
                    message:
                        "Failed to transition out of the state. The state does not point to a next state."
                            .to_owned(),
                    location: None,
                });
            }
        };
        let output = output.or(node.io.output.as_ref());
        let output = if node.language == QueryLanguage::JSONata { output } else { None };
        let (output, assigned) = self.output_without_result(id, node, &input, output, assign)?;
        self.leave(id, node, output, &assigned, Some(next));
        Ok(())
    }
}

fn holds(test: &Test, frame: &Frame<'_>, rng: &mut SplitMix, index: usize) -> Result<bool, Trouble> {
    match test {
        Test::Constant(constant) => Ok(*constant),
        Test::Jsonata(payload) => {
            let value = payload.render(frame, rng)?;
            match (&*value, payload.as_jsonata()) {
                (Value::Bool(holds), _) => Ok(*holds),
                (other, Some(expression)) => {
                    Err(expression.unexpected(&format!("Choices[{index}]/Condition"), "boolean", other))
                }
                (other, None) => Err(Trouble::query(format!("{other} is not a boolean"), Some("Condition"))),
            }
        }
        Test::And(tests) => {
            for test in tests {
                if !holds(test, frame, rng, index)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Test::Or(tests) => {
            for test in tests {
                if holds(test, frame, rng, index)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Test::Not(test) => holds(test, frame, rng, index).map(|holds| !holds),
        Test::Compare { variable, text, operator, operand } => {
            let left = frame.read(variable);
            if *operator == Operator::IsPresent {
                let is_present = left.is_ok() && !is_unset_variable(variable, frame);
                return Ok(Right::is(operand, is_present));
            }
            let left = left.map_err(|_| condition_path(text))?;
            match operand {
                Right::Literal(right) => Ok(compare(*operator, &left, right)),
                Right::Path(reference, text) => {
                    let right = frame.read(reference).map_err(|_| condition_path(text))?;
                    Ok(compare(*operator, &left, &right))
                }
            }
        }
    }
}

impl Right {
    /// Whether a type test, whose operand is `true` or `false`, comes out as asked.
    fn is(&self, found: bool) -> bool {
        match self {
            Self::Literal(Value::Bool(expected)) => *expected == found,
            _ => false,
        }
    }
}

fn is_unset_variable(reference: &Reference, frame: &Frame<'_>) -> bool {
    matches!(reference, Reference::Variable(name, _) if !frame.variables.contains_key(name))
}

/// The sentence is known from reports, not verified on AWS.
fn condition_path(text: &str) -> Trouble {
    Trouble::runtime(format!(
        "Invalid path '{text}': The choice state's condition path references an invalid value."
    ))
}

fn compare(operator: Operator, left: &Value, right: &Value) -> bool {
    use Operator::*;
    let is = |found: bool| right.as_bool() == Some(found);
    let order = |order: Option<Ordering>, wanted: fn(Ordering) -> bool| order.is_some_and(wanted);
    match operator {
        BooleanEquals => left.is_boolean() && left == right,
        IsBoolean => is(left.is_boolean()),
        IsNull => is(left.is_null()),
        IsNumeric => is(left.is_number()),
        IsString => is(left.is_string()),
        IsTimestamp => is(timestamp(left).is_some()),
        // Handled where the path is read; a value that was read is present.
        IsPresent => is(true),
        NumericEquals => order(numbers(left, right), Ordering::is_eq),
        NumericGreaterThan => order(numbers(left, right), Ordering::is_gt),
        NumericGreaterThanEquals => order(numbers(left, right), Ordering::is_ge),
        NumericLessThan => order(numbers(left, right), Ordering::is_lt),
        NumericLessThanEquals => order(numbers(left, right), Ordering::is_le),
        StringEquals => order(strings(left, right), Ordering::is_eq),
        StringGreaterThan => order(strings(left, right), Ordering::is_gt),
        StringGreaterThanEquals => order(strings(left, right), Ordering::is_ge),
        StringLessThan => order(strings(left, right), Ordering::is_lt),
        StringLessThanEquals => order(strings(left, right), Ordering::is_le),
        StringMatches => match (left, right) {
            (Value::String(text), Value::String(pattern)) => matches_pattern(text, pattern),
            _ => false,
        },
        TimestampEquals => order(instants(left, right), Ordering::is_eq),
        TimestampGreaterThan => order(instants(left, right), Ordering::is_gt),
        TimestampGreaterThanEquals => order(instants(left, right), Ordering::is_ge),
        TimestampLessThan => order(instants(left, right), Ordering::is_lt),
        TimestampLessThanEquals => order(instants(left, right), Ordering::is_le),
    }
}

fn numbers(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return Some(left.cmp(&right));
    }
    left.as_f64()?.partial_cmp(&right.as_f64()?)
}

fn strings(left: &Value, right: &Value) -> Option<Ordering> {
    Some(left.as_str()?.cmp(right.as_str()?))
}

fn instants(left: &Value, right: &Value) -> Option<Ordering> {
    Some(timestamp(left)?.cmp(&timestamp(right)?))
}

/// `*` stands for any text; `\*` and `\\` for themselves.
fn matches_pattern(text: &str, pattern: &str) -> bool {
    let mut wanted = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        wanted.push(match character {
            '*' => None,
            '\\' => Some(characters.next().unwrap_or('\\')),
            other => Some(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // Where to go on when the text after the last star does not match: one character further.
    let (mut at, mut next, mut star) = (0, 0, None);
    while at < text.len() {
        match wanted.get(next) {
            Some(Some(character)) if *character == text[at] => (at, next) = (at + 1, next + 1),
            Some(None) => {
                star = Some((at, next + 1));
                next += 1;
            }
            _ => match star {
                Some((from, behind)) => {
                    star = Some((from + 1, behind));
                    (at, next) = (from + 1, behind);
                }
                None => return false,
            },
        }
    }
    wanted[next..].iter().all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_matches_any_text_and_a_backslash_takes_it_literally() {
        for (text, pattern, matches) in [
            ("foo.log", "*.log", true),
            ("foo.log", "foo*", true),
            ("foo.log", "f*o*g", true),
            ("foo.log", "*.txt", false),
            ("", "*", true),
            ("", "", true),
            ("a", "", false),
            ("a*b", r"a\*b", true),
            ("axb", r"a\*b", false),
            (r"a\b", r"a\\b", true),
            ("aaab", "*ab", true),
        ] {
            assert_eq!(matches_pattern(text, pattern), matches, "{text} {pattern}");
        }
    }

    #[test]
    fn values_of_different_types_never_compare() {
        assert!(!compare(Operator::NumericEquals, &json!("1"), &json!(1)));
        assert!(!compare(Operator::NumericLessThan, &json!(null), &json!(1)));
        assert!(!compare(Operator::StringEquals, &json!(1), &json!("1")));
        assert!(!compare(Operator::BooleanEquals, &json!("true"), &json!(true)));
        assert!(compare(Operator::NumericEquals, &json!(1.0), &json!(1)));
    }
}
