//! Numbers.

use super::super::evaluate::Outcome;
use super::super::value::{Item, number_text};
use super::{Arguments, failure};

fn values(arguments: &Arguments<'_, '_>) -> Result<Option<Vec<f64>>, super::JsonataError> {
    let Some(array) = arguments.array(0) else { return Ok(None) };
    arguments.evaluator.charge(array.len())?;
    Ok(Some(array.iter().filter_map(|item| item.as_f64()).collect()))
}

/// A result that JSON can hold.
fn finite<'a>(result: f64) -> Outcome<'a> {
    if result.is_finite() {
        Ok(Item::number(result))
    } else {
        Err(failure("D1001", format!("Number out of range: {}", number_text(result))))
    }
}

pub(super) fn sum<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    values(arguments)?.map_or(Ok(Item::Undefined), |numbers| finite(numbers.iter().sum::<f64>()))
}

pub(super) fn max<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let numbers = values(arguments)?.unwrap_or_default();
    Ok(numbers.into_iter().reduce(f64::max).map_or(Item::Undefined, Item::number))
}

pub(super) fn min<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let numbers = values(arguments)?.unwrap_or_default();
    Ok(numbers.into_iter().reduce(f64::min).map_or(Item::Undefined, Item::number))
}

pub(super) fn average<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let numbers = values(arguments)?.unwrap_or_default();
    if numbers.is_empty() {
        return Ok(Item::Undefined);
    }
    finite(numbers.iter().sum::<f64>() / numbers.len() as f64)
}

fn mapped<'a>(arguments: &Arguments<'_, 'a>, function: impl Fn(f64) -> f64) -> Outcome<'a> {
    arguments.number(0).map_or(Ok(Item::Undefined), |number| finite(function(number)))
}

pub(super) fn floor<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    mapped(arguments, f64::floor)
}

pub(super) fn ceil<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    mapped(arguments, f64::ceil)
}

pub(super) fn abs<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    mapped(arguments, f64::abs)
}

pub(super) fn round<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let digits = arguments.number(1).unwrap_or(0.0).trunc();
    mapped(arguments, |number| rounded(number, digits as i32))
}

/// Halves go to the even neighbour; shifting is done on the digits, so that 4.525 stays a half.
pub(super) fn rounded(number: f64, digits: i32) -> f64 {
    let shifted = |number: f64, digits: i32| -> f64 {
        let text = number_text(number);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent = exponent.parse::<i32>().unwrap_or(0).saturating_add(digits);
        format!("{mantissa}e{exponent}").parse().unwrap_or(number)
    };
    if digits == 0 {
        return number.round_ties_even();
    }
    shifted(shifted(number, digits).round_ties_even(), -digits)
}

pub(super) fn sqrt<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(number) = arguments.number(0) else { return Ok(Item::Undefined) };
    if number < 0.0 {
        let shown = number_text(number);
        return Err(failure(
            "D3060",
            format!("The sqrt function cannot be applied to a negative number: {shown}"),
        ));
    }
    Ok(Item::number(number.sqrt()))
}

pub(super) fn power<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(base), Some(exponent)) = (arguments.number(0), arguments.number(1)) else {
        return Ok(Item::Undefined);
    };
    let result = base.powf(exponent);
    if result.is_finite() {
        return Ok(Item::number(result));
    }
    Err(failure(
        "D3061",
        format!(
            "The power function has resulted in a value that cannot be represented as a JSON \
             number: base={}, exponent={}",
            number_text(base),
            number_text(exponent)
        ),
    ))
}

pub(super) fn number<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let item = arguments.item(0);
    let parsed = match &item {
        Item::Undefined | Item::Number(_) => return Ok(item),
        Item::Bool(value) => Some(f64::from(u8::from(*value))),
        Item::Text(text) => parsed(text),
        _ => None,
    };
    match parsed {
        Some(number) => Ok(Item::number(number)),
        None => Err(failure(
            "D3030",
            format!("Unable to cast value to a number: {}", arguments.evaluator.inserted(&item)?),
        )),
    }
}

/// A JSON number, or an integer with the prefix 0x, 0o or 0b.
fn parsed(text: &str) -> Option<f64> {
    let radix = match text.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0o" | "0O") => 8,
        Some("0b" | "0B") => 2,
        _ => 10,
    };
    if radix != 10 {
        let digits = &text[2..];
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        return valid.then(|| {
            digits
                .chars()
                .filter_map(|c| c.to_digit(radix))
                .fold(0.0, |number, digit| number * f64::from(radix) + f64::from(digit))
        });
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(whole) && digits(fraction) && digits(exponent)) {
        return None;
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

pub(super) fn format_base<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(number) = arguments.number(0) else { return Ok(Item::Undefined) };
    let number = number.round_ties_even();
    let radix = arguments.number(1).map_or(10.0, f64::round_ties_even);
    if !(2.0..=36.0).contains(&radix) {
        return Err(failure(
            "D3100",
            format!(
                "The radix of the formatBase function must be between 2 and 36.  It was given {}",
                number_text(radix)
            ),
        ));
    }
    let mut rest = number.abs();
    let mut digits = Vec::new();
    loop {
        let digit = (rest % radix) as u32;
        digits.extend(char::from_digit(digit, radix as u32));
        rest = (rest / radix).floor();
        if rest == 0.0 {
            break;
        }
    }
    if number < 0.0 {
        digits.push('-');
    }
    arguments.made(digits.into_iter().rev().collect())
}
