//! Texts. Lengths and positions count characters (Unicode scalar values).

use data_encoding::BASE64;

use super::super::evaluate::Outcome;
use super::super::value::Item;
use super::{Arguments, failure};

pub(super) fn string<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let pretty = matches!(arguments.item(1), Item::Bool(true));
    match arguments.evaluator.string(&arguments.item(0), pretty)? {
        Some(text) => arguments.made(text),
        None => Ok(Item::Undefined),
    }
}

pub(super) fn length<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    Ok(arguments.text(0).map_or(Item::Undefined, |text| Item::count(text.chars().count())))
}

pub(super) fn lowercase<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    arguments.text(0).map_or(Ok(Item::Undefined), |text| arguments.made(text.to_lowercase()))
}

pub(super) fn uppercase<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    arguments.text(0).map_or(Ok(Item::Undefined), |text| arguments.made(text.to_uppercase()))
}

/// Runs of white space become one space; those at the ends vanish.
pub(super) fn trim<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    let words: Vec<&str> = text.split([' ', '\t', '\n', '\r']).filter(|word| !word.is_empty()).collect();
    arguments.made(words.join(" "))
}

pub(super) fn substring<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(text), Some(start)) = (arguments.text(0), arguments.number(1)) else {
        return Ok(Item::Undefined);
    };
    let count = text.chars().count() as f64;
    let start = if count + start < 0.0 { 0.0 } else { start };
    let end = match arguments.number(2) {
        Some(length) if length <= 0.0 => return Ok(Item::text("")),
        Some(length) if start >= 0.0 => start + length,
        Some(length) => count + start + length,
        None => count,
    };
    // As JavaScript's slice: fractions are cut, negative positions count from the end.
    let place = |position: f64| {
        let position = position.trunc();
        let position = if position < 0.0 { count + position } else { position };
        position.clamp(0.0, count) as usize
    };
    let (start, end) = (place(start), place(end));
    arguments.made(text.chars().skip(start).take(end.saturating_sub(start)).collect())
}

pub(super) fn substring_before<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(text), Some(mark)) = (arguments.text(0), arguments.text(1)) else {
        return Ok(arguments.item(0));
    };
    match text.find(&*mark) {
        Some(at) => arguments.made(text[..at].to_owned()),
        None => Ok(Item::Text(text)),
    }
}

pub(super) fn substring_after<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(text), Some(mark)) = (arguments.text(0), arguments.text(1)) else {
        return Ok(arguments.item(0));
    };
    match text.find(&*mark) {
        Some(at) => arguments.made(text[at + mark.len()..].to_owned()),
        None => Ok(Item::Text(text)),
    }
}

pub(super) fn pad<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let (Some(text), Some(width)) = (arguments.text(0), arguments.number(1)) else {
        return Ok(arguments.item(0));
    };
    let fill = arguments.text(2).filter(|fill| !fill.is_empty());
    let fill = fill.as_deref().unwrap_or(" ");
    let missing = width.abs().trunc() - text.chars().count() as f64;
    if missing <= 0.0 {
        return Ok(Item::Text(text));
    }
    // Charged before it is built: the width may be anything.
    arguments.evaluator.charge_text((missing * 4.0) as usize)?;
    let padding: String = fill.chars().cycle().take(missing as usize).collect();
    arguments.made(if width > 0.0 { format!("{}{padding}", &*text) } else { padding + &text })
}

pub(super) fn join<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    let separator = arguments.text(1);
    let separator = separator.as_deref().unwrap_or_default();
    let mut joined = String::new();
    for (at, item) in array.iter().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        let part = item.as_str().unwrap_or_default();
        arguments.evaluator.charge_text(part.len() + separator.len())?;
        joined.push_str(part);
    }
    Ok(Item::text(joined))
}

/// UTF-8, where the reference takes the low byte of each character; not verified on AWS.
pub(super) fn base64_encode<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    arguments.text(0).map_or(Ok(Item::Undefined), |text| arguments.made(BASE64.encode(text.as_bytes())))
}

pub(super) fn base64_decode<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    let bytes = BASE64
        .decode(text.as_bytes())
        .map_err(|_| failure("D3137", "The argument of base64decode is not Base64"))?;
    arguments.made(String::from_utf8_lossy(&bytes).into_owned())
}
