//! Operators, equality, truth and the text of values.

use super::ast::{Node, Operator};
use super::error::JsonataError;
use super::evaluate::{Evaluator, Outcome, ScopeId};
use super::value::{Item, display_number};

impl<'a> Evaluator<'a> {
    pub(super) fn binary(
        &self,
        operator: Operator,
        left: &'a Node,
        right: &'a Node,
        position: usize,
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Outcome<'a> {
        let lhs = self.eval(left, context, scope)?;
        // The right side of `and` and `or` is only evaluated when it decides.
        if let Operator::And | Operator::Or = operator {
            let decided = self.truth(&lhs)? == (operator == Operator::Or);
            let value = if decided {
                operator == Operator::Or
            } else {
                let rhs = self.eval(right, context, scope)?;
                self.truth(&rhs)?
            };
            return Ok(Item::Bool(value));
        }
        let rhs = self.eval(right, context, scope)?;
        match operator {
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Remainder => arithmetic(operator, &lhs, &rhs, position),
            Operator::Equal | Operator::NotEqual => {
                if lhs.is_undefined() || rhs.is_undefined() {
                    return Ok(Item::Bool(false));
                }
                Ok(Item::Bool(self.equal(&lhs, &rhs)? == (operator == Operator::Equal)))
            }
            Operator::Concatenate => {
                let mut text = self.string(&lhs, false)?.unwrap_or_default();
                text.push_str(&self.string(&rhs, false)?.unwrap_or_default());
                self.charge_text(text.len())?;
                Ok(Item::text(text))
            }
            Operator::Range => self.range(&lhs, &rhs, position),
            Operator::In => {
                if lhs.is_undefined() || rhs.is_undefined() {
                    return Ok(Item::Bool(false));
                }
                let mut found = false;
                for item in rhs.into_items() {
                    // Membership is identity: arrays and objects are never members.
                    let scalar = !matches!(item, Item::Array(_) | Item::Object(_) | Item::Function(_));
                    found |= scalar && self.equal(&lhs, &item)?;
                }
                Ok(Item::Bool(found))
            }
            _ => self.compare(operator, &lhs, &rhs, position),
        }
    }

    fn compare(&self, operator: Operator, lhs: &Item<'a>, rhs: &Item<'a>, position: usize) -> Outcome<'a> {
        let comparable = |item: &Item<'_>| matches!(item, Item::Undefined | Item::Number(_) | Item::Text(_));
        if !comparable(lhs) || !comparable(rhs) {
            return Err(JsonataError::evaluation(
                "T2010",
                position,
                format!(
                    "The expressions either side of operator \"{}\" must evaluate to numeric or \
                     string values",
                    operator.symbol()
                ),
            ));
        }
        let order = match (lhs, rhs) {
            (Item::Undefined, _) | (_, Item::Undefined) => return Ok(Item::Undefined),
            (Item::Text(left), Item::Text(right)) => Some(left.encode_utf16().cmp(right.encode_utf16())),
            (Item::Number(left), Item::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
            _ => {
                return Err(JsonataError::evaluation(
                    "T2009",
                    position,
                    format!(
                        "The values {} and {} either side of operator \"{}\" must be of the same \
                         data type",
                        self.inserted(lhs)?,
                        self.inserted(rhs)?,
                        operator.symbol()
                    ),
                ));
            }
        };
        Ok(Item::Bool(order.is_some_and(|order| match operator {
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            _ => order.is_ge(),
        })))
    }

    fn range(&self, lhs: &Item<'a>, rhs: &Item<'a>, position: usize) -> Outcome<'a> {
        let bound = |item: &Item<'_>, code, side: &str| match item {
            Item::Undefined => Ok(None),
            _ => match item.as_f64() {
                Some(number) if number.fract() == 0.0 => Ok(Some(number)),
                _ => Err(JsonataError::evaluation(
                    code,
                    position,
                    format!("The {side} side of the range operator (..) must evaluate to an integer"),
                )),
            },
        };
        let (from, to) = (bound(lhs, "T2003", "left")?, bound(rhs, "T2004", "right")?);
        let (Some(from), Some(to)) = (from, to) else { return Ok(Item::Undefined) };
        if from > to {
            return Ok(Item::Undefined);
        }
        let size = to - from + 1.0;
        if size > super::MAX_WORK as f64 {
            return Err(JsonataError::evaluation(
                "D2014",
                position,
                format!(
                    "The size of the sequence allocated by the range operator (..) must not exceed \
                     1e6.  Attempted to allocate {size}."
                ),
            ));
        }
        self.charge(size as usize)?;
        Ok(Item::sequence((0..size as u64).map(|at| Item::number(from + at as f64)).collect()))
    }

    pub(super) fn negate(
        &self,
        inner: &'a Node,
        position: usize,
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Outcome<'a> {
        match self.eval(inner, context, scope)? {
            Item::Undefined => Ok(Item::Undefined),
            Item::Number(number) => Ok(Item::number(-number.as_f64().unwrap_or(0.0))),
            other => Err(JsonataError::evaluation(
                "D1002",
                position,
                format!("Cannot negate a non-numeric value: {}", self.inserted(&other)?),
            )),
        }
    }

    /// The effective boolean value; undefined is false.
    pub(super) fn truth(&self, item: &Item<'a>) -> Result<bool, JsonataError> {
        Ok(match item {
            Item::Undefined | Item::Null | Item::Function(_) => false,
            Item::Bool(value) => *value,
            Item::Number(number) => number.as_f64() != Some(0.0),
            Item::Text(text) => !text.is_empty(),
            Item::Object(object) => object.len() > 0,
            Item::Tuples(tuples) => !tuples.is_empty(),
            Item::Array(array) => {
                for item in array.iter() {
                    self.charge(1)?;
                    if self.truth(&item)? {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }

    /// Deep equality; the order of an object's members does not matter.
    pub(super) fn equal(&self, left: &Item<'a>, right: &Item<'a>) -> Result<bool, JsonataError> {
        self.charge(1)?;
        Ok(match (left, right) {
            (Item::Undefined, Item::Undefined) | (Item::Null, Item::Null) => true,
            (Item::Bool(left), Item::Bool(right)) => left == right,
            (Item::Number(left), Item::Number(right)) => left == right || left.as_f64() == right.as_f64(),
            (Item::Text(left), Item::Text(right)) => left == right,
            (Item::Function(left), Item::Function(right)) => std::rc::Rc::ptr_eq(left, right),
            (Item::Array(left), Item::Array(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(right.iter()) {
                    if !self.equal(&left, &right)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Item::Object(left), Item::Object(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (name, left) in left.entries() {
                    let right = right.get(&name);
                    if right.is_undefined() || !self.equal(&left, &right)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => false,
        })
    }

    /// The text of a value, as `$string` and `&` make it; `None` for undefined.
    pub(super) fn string(&self, item: &Item<'a>, pretty: bool) -> Result<Option<String>, JsonataError> {
        Ok(match item {
            Item::Undefined => None,
            Item::Text(text) => {
                self.charge_text(text.len())?;
                Some(text.to_string())
            }
            Item::Function(_) => Some(String::new()),
            other => {
                let mut text = String::new();
                self.write_json(other, pretty.then_some(0), &mut text)?;
                Some(text)
            }
        })
    }

    /// JSON with numbers as JavaScript prints them; `indent` is the level of pretty printing.
    fn write_json(
        &self,
        item: &Item<'a>,
        indent: Option<usize>,
        text: &mut String,
    ) -> Result<(), JsonataError> {
        self.charge(1)?;
        let inner = indent.map(|level| level + 1);
        let line = |level: Option<usize>, text: &mut String| {
            if let Some(level) = level {
                text.push('\n');
                text.push_str(&"  ".repeat(level));
            }
        };
        match item {
            Item::Undefined | Item::Null => text.push_str("null"),
            Item::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Item::Number(number) => text.push_str(&display_number(number)),
            Item::Text(inner) => {
                self.charge_text(inner.len())?;
                text.push_str(&quoted(inner));
            }
            Item::Function(_) => text.push_str("\"\""),
            Item::Tuples(tuples) => {
                let items = tuples.iter().map(|tuple| tuple.value.clone()).collect();
                self.write_json(&Item::array(items), indent, text)?;
            }
            Item::Array(array) => {
                text.push('[');
                for (at, item) in array.iter().enumerate() {
                    if at > 0 {
                        text.push(',');
                    }
                    line(inner, text);
                    self.write_json(&item, inner, text)?;
                }
                if array.len() > 0 {
                    line(indent, text);
                }
                text.push(']');
            }
            Item::Object(object) => {
                text.push('{');
                let mut first = true;
                for (name, item) in object.entries() {
                    if item.is_undefined() {
                        continue;
                    }
                    if !std::mem::take(&mut first) {
                        text.push(',');
                    }
                    line(inner, text);
                    text.push_str(&quoted(&name));
                    text.push_str(if indent.is_some() { ": " } else { ":" });
                    self.write_json(&item, inner, text)?;
                }
                if !first {
                    line(indent, text);
                }
                text.push('}');
            }
        }
        Ok(())
    }

    /// A value as an error message shows it.
    pub(super) fn inserted(&self, item: &Item<'a>) -> Result<String, JsonataError> {
        match item {
            Item::Undefined => Ok("undefined".to_owned()),
            other => {
                let mut text = String::new();
                self.write_json(other, None, &mut text)?;
                Ok(text)
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

fn arithmetic<'a>(operator: Operator, lhs: &Item<'a>, rhs: &Item<'a>, position: usize) -> Outcome<'a> {
    let operand = |item: &Item<'_>, code, side: &str| match item {
        Item::Undefined => Ok(None),
        Item::Number(number) => Ok(number.as_f64()),
        _ => Err(JsonataError::evaluation(
            code,
            position,
            format!("The {side} side of the \"{}\" operator must evaluate to a number", operator.symbol()),
        )),
    };
    let (left, right) = (operand(lhs, "T2001", "left")?, operand(rhs, "T2002", "right")?);
    let (Some(left), Some(right)) = (left, right) else { return Ok(Item::Undefined) };
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => left % right,
    };
    if !result.is_finite() {
        return Err(JsonataError::evaluation(
            "D1001",
            position,
            format!("Number out of range: {}", if result.is_nan() { "null" } else { "Infinity" }),
        ));
    }
    Ok(Item::number(result))
}
