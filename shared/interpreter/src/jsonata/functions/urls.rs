//! Percent encoding, as JavaScript's `encodeURI` and its kin.

use super::super::evaluate::Outcome;
use super::super::value::Item;
use super::{Arguments, failure};

/// Kept by `encodeURIComponent`, besides letters and digits.
const MARKS: &str = "-_.!~*'()";
/// Kept by `encodeURI` as well, and not decoded by `decodeURI`.
const RESERVED: &str = ";/?:@&=+$,#";

pub(super) fn encode_component<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    encoded(arguments, "")
}

pub(super) fn encode<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    encoded(arguments, RESERVED)
}

fn encoded<'a>(arguments: &Arguments<'_, 'a>, kept: &str) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || MARKS.contains(c) || kept.contains(c) {
            result.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                result.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    arguments.made(result)
}

pub(super) fn decode_component<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    decoded(arguments, "", "decodeUrlComponent")
}

pub(super) fn decode<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    decoded(arguments, RESERVED, "decodeUrl")
}

fn decoded<'a>(arguments: &Arguments<'_, 'a>, kept: &str, name: &str) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    let malformed = || {
        let shown = serde_json::Value::String(text.to_string());
        failure("D3140", format!("Malformed URL passed to ${name}(): {shown}"))
    };
    let bytes = text.as_bytes();
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            result.push(bytes[at]);
            at += 1;
            continue;
        }
        let escape = bytes.get(at..at + 3).ok_or_else(malformed)?;
        let digits = std::str::from_utf8(&escape[1..]).map_err(|_| malformed())?;
        let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| valid).ok_or_else(malformed)?;
        if kept.contains(char::from(byte)) {
            result.extend_from_slice(escape);
        } else {
            result.push(byte);
        }
        at += 3;
    }
    let result = String::from_utf8(result).map_err(|_| malformed())?;
    arguments.made(result)
}
