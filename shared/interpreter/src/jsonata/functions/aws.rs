//! What AWS adds to JSONata, and the functions that draw random values:
//! <https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html>

use serde_json::Value;

use super::super::evaluate::Outcome;
use super::super::value::{Item, number_text};
use super::{Arguments, failure};
use crate::intrinsics::{MAX_ARRAY_RANGE, Random, SplitMix, digest};

/// `$partition(array, size)`: a fractional size is cut, as recorded on AWS.
pub(super) fn partition<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(array), Some(size)) = (arguments.array(0), arguments.number(1)) else {
        return Ok(Item::Undefined);
    };
    if size < 1.0 {
        return Err(failure(
            "D3137",
            format!("The partition size must be a positive integer: {}", number_text(size)),
        ));
    }
    arguments.evaluator.charge(array.len())?;
    let items = array.into_vec();
    let parts = items.chunks(size as usize).map(|part| Item::array(part.to_vec())).collect();
    Ok(Item::array(parts))
}

/// `$range(first, last, step)`: both ends included.
pub(super) fn range<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let bounds = (arguments.number(0), arguments.number(1), arguments.number(2));
    let (Some(first), Some(last), Some(step)) = bounds else { return Ok(Item::Undefined) };
    let count = ((last - first) / step).floor();
    if step == 0.0 || !count.is_finite() {
        return Err(failure("D3137", "The step of a range must not be zero"));
    }
    if count >= MAX_ARRAY_RANGE as f64 {
        return Err(failure("D3137", format!("A range has at most {MAX_ARRAY_RANGE} items")));
    }
    if count < 0.0 {
        return Ok(Item::array(Vec::new()));
    }
    Ok(Item::array((0..=count as u32).map(|at| Item::number(first + step * f64::from(at))).collect()))
}

pub(super) fn hash<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(data), Some(algorithm)) = (arguments.text(0), arguments.text(1)) else {
        return Ok(Item::Undefined);
    };
    arguments.evaluator.charge_text(data.len())?;
    digest(&data, &algorithm).map(Item::text).map_err(|message| failure("D3137", message))
}

pub(super) fn uuid<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    Ok(Item::text(arguments.evaluator.random.borrow_mut().uuid()))
}

/// `$parse(text)`: a JSON text to its value.
pub(super) fn parse<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    arguments.evaluator.charge(1 + text.len() / 8)?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| failure("D3137", format!("The text is not JSON: {error}")))?;
    Ok(owned(&value))
}

/// A value that belongs to the evaluation; serde_json bounds the depth of what it parses.
fn owned<'a>(value: &Value) -> Item<'a> {
    match value {
        Value::Null => Item::Null,
        Value::Bool(value) => Item::Bool(*value),
        // Minus zero is zero, as recorded on AWS.
        Value::Number(number) if number.as_f64() == Some(0.0) => Item::number(0.0),
        Value::Number(number) => Item::Number(number.clone()),
        Value::String(text) => Item::text(text.as_str()),
        Value::Array(items) => Item::array(items.iter().map(owned).collect()),
        Value::Object(members) => Item::object(
            members
                .iter()
                .map(|(name, value)| (super::Text::Shared(name.as_str().into()), owned(value)))
                .collect(),
        ),
    }
}

/// `$random()` from the evaluation's stream, `$random(seed)` from the seed alone.
pub(super) fn random<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let number = match arguments.number(0) {
        Some(seed) => SplitMix::new(seed.to_bits()).unit(),
        None => arguments.evaluator.random.borrow_mut().unit(),
    };
    Ok(Item::number(number))
}

pub(super) fn shuffle<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    arguments.evaluator.charge(array.len())?;
    let mut items = array.into_vec();
    let mut random = arguments.evaluator.random.borrow_mut();
    for at in (1..items.len()).rev() {
        let other = (random.unit() * (at + 1) as f64) as usize;
        items.swap(at, other.min(at));
    }
    Ok(Item::array(items))
}
