//! The functions. Each returns its value or the sentence that says why it refuses its arguments.

use std::borrow::Cow;

use data_encoding::{BASE64, HEXLOWER};
use md5::Md5;
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::format::{format, printed, unescape};
use super::{Given, Random, SplitMix};

/// The most items `States.ArrayRange` returns:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html>
pub const MAX_ARRAY_RANGE: usize = 1000;

/// The longest text, in characters, that the Base64 and hash functions take:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html>
pub const MAX_TEXT_CHARS: usize = 10_000;

/// An intrinsic function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Array,
    ArrayContains,
    ArrayGetItem,
    ArrayLength,
    ArrayPartition,
    ArrayRange,
    ArrayUnique,
    Base64Decode,
    Base64Encode,
    Format,
    Hash,
    JsonMerge,
    JsonToString,
    MathAdd,
    MathRandom,
    StringSplit,
    StringToJson,
    Uuid,
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "States.Array" => Self::Array,
            "States.ArrayContains" => Self::ArrayContains,
            "States.ArrayGetItem" => Self::ArrayGetItem,
            "States.ArrayLength" => Self::ArrayLength,
            "States.ArrayPartition" => Self::ArrayPartition,
            "States.ArrayRange" => Self::ArrayRange,
            "States.ArrayUnique" => Self::ArrayUnique,
            "States.Base64Decode" => Self::Base64Decode,
            "States.Base64Encode" => Self::Base64Encode,
            "States.Format" => Self::Format,
            "States.Hash" => Self::Hash,
            "States.JsonMerge" => Self::JsonMerge,
            "States.JsonToString" => Self::JsonToString,
            "States.MathAdd" => Self::MathAdd,
            "States.MathRandom" => Self::MathRandom,
            "States.StringSplit" => Self::StringSplit,
            "States.StringToJson" => Self::StringToJson,
            "States.UUID" => Self::Uuid,
            _ => return None,
        })
    }

    /// True when the function accepts that many arguments.
    pub(super) fn takes(self, count: usize) -> bool {
        match self {
            Self::Array => true,
            Self::Format => count >= 1,
            Self::Uuid => count == 0,
            Self::ArrayLength
            | Self::ArrayUnique
            | Self::Base64Decode
            | Self::Base64Encode
            | Self::JsonToString
            | Self::StringToJson => count == 1,
            Self::ArrayContains
            | Self::ArrayGetItem
            | Self::ArrayPartition
            | Self::Hash
            | Self::MathAdd
            | Self::StringSplit => count == 2,
            Self::MathRandom => count == 2 || count == 3,
            Self::ArrayRange | Self::JsonMerge => count == 3,
        }
    }
}

/// Applies the function to as many arguments as [`Function::takes`] allows.
pub(super) fn apply(function: Function, given: &[Given<'_>], rng: &mut dyn Random) -> Result<Value, String> {
    if function == Function::Format {
        return formatted(given);
    }
    let values: Vec<Cow<'_, Value>> = given.iter().map(Given::value).collect();
    Ok(match (function, values.as_slice()) {
        (Function::Array, items) => items.iter().map(|item| item.as_ref().clone()).collect(),
        (Function::ArrayContains, [items, wanted]) => array(items)?.contains(wanted).into(),
        (Function::ArrayGetItem, [items, index]) => {
            let (items, index) = (array(items)?, integer(index)?);
            usize::try_from(index)
                .ok()
                .and_then(|index| items.get(index))
                .cloned()
                .ok_or_else(|| format!("the index {index} is outside the array"))?
        }
        (Function::ArrayLength, [items]) => array(items)?.len().into(),
        (Function::ArrayPartition, [items, size]) => partition(array(items)?, integer(size)?)?,
        (Function::ArrayRange, [first, last, step]) => {
            range(integer(first)?, integer(last)?, integer(step)?)?
        }
        (Function::ArrayUnique, [items]) => {
            let mut unique: Vec<Value> = Vec::new();
            for item in array(items)? {
                if !unique.contains(item) {
                    unique.push(item.clone());
                }
            }
            unique.into()
        }
        (Function::Base64Encode, [data]) => BASE64.encode(short_text(data)?.as_bytes()).into(),
        (Function::Base64Decode, [data]) => {
            let bytes = BASE64
                .decode(short_text(data)?.as_bytes())
                .map_err(|_| "the text is not Base64".to_owned())?;
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
        (Function::Hash, [data, algorithm]) => hash(data, text(algorithm)?)?.into(),
        (Function::JsonMerge, [first, second, deep]) => merge(first, second, deep)?,
        (Function::JsonToString, [value]) => value.to_string().into(),
        (Function::MathAdd, [first, second]) => {
            integer(first)?.checked_add(integer(second)?).ok_or("the sum is out of range")?.into()
        }
        (Function::MathRandom, [start, end, seed @ ..]) => {
            let (start, end) = (integer(start)?, integer(end)?);
            match seed {
                [seed, ..] => {
                    let mut seeded = SplitMix::new(integer(seed)?.cast_unsigned());
                    random(start, end, &mut seeded)?
                }
                [] => random(start, end, rng)?,
            }
        }
        (Function::StringSplit, [subject, separators]) => {
            // Every character separates, and empty parts are dropped, as recorded on AWS.
            let (subject, separators) = (text(subject)?, text(separators)?);
            subject.split(|c| separators.contains(c)).filter(|part| !part.is_empty()).collect()
        }
        (Function::StringToJson, [json]) => {
            let json = text(json)?;
            if json.trim().is_empty() {
                Value::Null
            } else {
                match serde_json::from_str(json).map_err(|_| format!("'{json}' is not JSON"))? {
                    // Minus zero is zero.
                    Value::Number(number) if number.as_f64() == Some(0.0) => 0.into(),
                    value => value,
                }
            }
        }
        (Function::Uuid, []) => rng.uuid().into(),
        _ => return Err("Invalid number of arguments".to_owned()),
    })
}

impl<'a> Given<'a> {
    fn value(&self) -> Cow<'_, Value> {
        match self {
            Self::Quoted(quoted) => Cow::Owned(Value::String(unescape(quoted))),
            Self::Value(value) => Cow::Borrowed(value),
        }
    }
}

fn formatted(given: &[Given<'_>]) -> Result<Value, String> {
    let Some((template, values)) = given.split_first() else {
        return Err("Invalid number of arguments".to_owned());
    };
    let template = match template {
        Given::Quoted(quoted) => quoted,
        Given::Value(value) => text(value)?,
    };
    let values = values.iter().map(|value| printed(&value.value()));
    format(template, values).map(Value::String)
}

fn array(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("an argument must be an array but was: {value}"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("an argument must be a string but was: {value}"))
}

fn short_text(value: &Value) -> Result<&str, String> {
    let text = text(value)?;
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(format!("the text is longer than {MAX_TEXT_CHARS} characters"));
    }
    Ok(text)
}

/// Fractions are rounded as Java's `Math.round` does, halves upwards: recorded on AWS.
fn integer(value: &Value) -> Result<i64, String> {
    if let Some(integer) = value.as_i64() {
        return Ok(integer);
    }
    match value.as_f64() {
        // Both bounds are exact doubles; a cast beyond them would saturate silently.
        Some(number) if number.abs() < 9.2e18 => Ok((number + 0.5).floor() as i64),
        _ => Err(format!("an argument must be an integer but was: {value}")),
    }
}

fn partition(items: &[Value], size: i64) -> Result<Value, String> {
    match usize::try_from(size) {
        Ok(size) if size > 0 => Ok(items.chunks(size).map(<[Value]>::to_vec).collect()),
        _ => Err(format!("the chunk size must be a positive integer but was: {size}")),
    }
}

/// The numbers from `first` to `last`, both included.
pub(crate) fn range(first: i64, last: i64, step: i64) -> Result<Value, String> {
    if step == 0 {
        return Err("the step of a range must not be zero".to_owned());
    }
    let steps = (i128::from(last) - i128::from(first)) / i128::from(step);
    if (i128::from(last) - i128::from(first)).signum() * i128::from(step).signum() < 0 {
        return Ok(Value::Array(Vec::new()));
    }
    match usize::try_from(steps) {
        Ok(steps) if steps < MAX_ARRAY_RANGE => {
            Ok((0..=steps as i64).map(|index| Value::from(first + index * step)).collect())
        }
        _ => Err(format!("a range has at most {MAX_ARRAY_RANGE} items")),
    }
}

fn hash(data: &Value, algorithm: &str) -> Result<String, String> {
    let data = match data {
        Value::String(_) => Cow::Borrowed(short_text(data)?),
        other => Cow::Owned(other.to_string()),
    };
    digest(&data, algorithm)
}

/// The lower-case hexadecimal digest of a text by one of AWS's five algorithm names.
pub(crate) fn digest(data: &str, algorithm: &str) -> Result<String, String> {
    let data = data.as_bytes();
    Ok(match algorithm {
        "MD5" => HEXLOWER.encode(&Md5::digest(data)),
        "SHA-1" => HEXLOWER.encode(&Sha1::digest(data)),
        "SHA-256" => HEXLOWER.encode(&Sha256::digest(data)),
        "SHA-384" => HEXLOWER.encode(&Sha384::digest(data)),
        "SHA-512" => HEXLOWER.encode(&Sha512::digest(data)),
        _ => return Err(format!("there is no hash algorithm '{algorithm}'")),
    })
}

/// Only the shallow mode exists:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html>
fn merge(first: &Value, second: &Value, deep: &Value) -> Result<Value, String> {
    if *deep != Value::Bool(false) {
        return Err("only the shallow merge is supported: the third argument must be false".into());
    }
    let (Value::Object(first), Value::Object(second)) = (first, second) else {
        return Err("both arguments of a merge must be objects".to_owned());
    };
    let mut merged: Map<String, Value> = first.clone();
    merged.extend(second.clone());
    Ok(Value::Object(merged))
}

/// A number from `start` to just below `end`. AWS does not say how a seed maps to a number.
fn random(start: i64, end: i64, rng: &mut dyn Random) -> Result<Value, String> {
    let width = i128::from(end) - i128::from(start);
    if width <= 0 {
        return Err("the end of a random range must be greater than its start".to_owned());
    }
    let drawn = i128::from(rng.next_u64()) % width;
    i64::try_from(i128::from(start) + drawn)
        .map(Value::from)
        .map_err(|_| "the random range is out of range".to_owned())
}
