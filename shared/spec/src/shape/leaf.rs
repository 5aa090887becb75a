//! Scalars: numbers, names, durations, moments, templates.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use cauce_template::{Template, TemplateValue};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::diagnostic::Code;
use crate::shape::{Definitions, Reader, Shape, document, suggest};
use crate::tree::{Node, Value};

impl Shape for bool {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                reader.wrong_type(node, "true or false");
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "boolean"})
    }
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Shape for $type {
            fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
                match node.value {
                    Value::Int(value) => match <$type>::try_from(value) {
                        Ok(value) => Some(value),
                        // What the bounds are, the field knows and the type does not.
                        Err(_) => {
                            let beyond = match value {
                                0.. => "too large",
                                _ if <$type>::MIN == 0 => "negative",
                                _ => "too small",
                            };
                            reader.error(Code::OutOfRange, node.span, format!("{value} is {beyond}"), "");
                            None
                        }
                    },
                    Value::Float(value) if value.fract() == 0.0 && value.abs() >= i64::MAX as f64 => {
                        let beyond = if value < 0.0 { "small" } else { "large" };
                        reader.error(Code::OutOfRange, node.span, format!("this number is too {beyond}"), "");
                        None
                    }
                    _ => {
                        reader.wrong_type(node, "an integer");
                        None
                    }
                }
            }

            fn schema(_: &mut Definitions) -> Json {
                if <$type>::MIN == 0 {
                    json!({"type": "integer", "minimum": 0})
                } else {
                    json!({"type": "integer"})
                }
            }

            fn magnitude(&self) -> Option<f64> {
                Some(*self as f64)
            }
        }
    )*};
}

integer!(u32, u64, i32, i64);

impl Shape for f64 {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            _ => {
                reader.wrong_type(node, "a number");
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "number"})
    }

    fn magnitude(&self) -> Option<f64> {
        Some(*self)
    }
}

impl Shape for String {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Text { text, .. } => Some(text.clone()),
            _ => {
                reader.wrong_type(node, "a string");
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string"})
    }
}

impl Shape for Template {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Text { text, content_at } => reader.template(node, text, *content_at),
            Value::Bool(value) => Some(Template::constant(&value.to_string())),
            Value::Int(value) => Some(Template::constant(&value.to_string())),
            Value::Float(value) => Some(Template::constant(&value.to_string())),
            _ => {
                reader.wrong_type(node, "a string");
                None
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Template", |_| {
            document(
                json!({"type": ["string", "number", "boolean"]}),
                "Template: text with `{{ expressions }}`, filled when the task runs.",
            )
        })
    }
}

impl Shape for TemplateValue {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        Some(match &node.value {
            Value::Null => Self::Constant(Json::Null),
            Value::Bool(value) => Self::Constant(json!(value)),
            Value::Int(value) => Self::Constant(json!(value)),
            Value::Float(value) => Self::Constant(json!(value)),
            Value::Text { text, content_at } => Self::Text(reader.template(node, text, *content_at)?),
            Value::List(items) => Self::List(
                items
                    .iter()
                    .enumerate()
                    .filter_map(|(at, item)| reader.item(at, |reader| Self::decode(item, reader)))
                    .collect(),
            ),
            Value::Map(entries) => Self::Object(
                entries
                    .iter()
                    .filter_map(|entry| {
                        let value = reader.under(&entry.key, |reader| Self::decode(&entry.value, reader))?;
                        Some((entry.key.clone(), value))
                    })
                    .collect(),
            ),
        })
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions
            .refer("Value", |_| document(json!({}), "Value: any value; every string in it is a template."))
    }
}

/// Any JSON, no templates in it.
impl Shape for Json {
    fn decode(node: &Node, _: &mut Reader) -> Option<Self> {
        Some(node.to_json())
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({})
    }
}

/// A name: `[a-z][a-z0-9_]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The form that names have, as a regular expression.
    pub const PATTERN: &'static str = "^[a-z][a-z0-9_]{0,62}$";

    /// The name, where it has the right form.
    pub fn new(text: &str) -> Option<Self> {
        cauce_model::ids::is_name(text).then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a pool, or a template that the item of a matrix fills in.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct PoolName(Template);

impl PoolName {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Template::parse(text).map(Self).map_err(|error| error.to_string())
    }

    /// The template.
    pub const fn template(&self) -> &Template {
        &self.0
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        self.0.source()
    }
}

impl PartialEq for PoolName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for PoolName {}

impl std::hash::Hash for PoolName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// A name of the right form near to `text`.
pub(crate) fn as_name(text: &str) -> Option<String> {
    let mut out: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .skip_while(|c| !c.is_ascii_lowercase())
        .collect();
    out.truncate(63);
    cauce_model::ids::is_name(&out).then_some(out)
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl Shape for Name {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        let name = Self::new(&text);
        if name.is_none() {
            let help = match as_name(&text) {
                Some(near) => format!(
                    "names are lower-case letters, digits and underscores, at most 63, from a letter: `{near}`"
                ),
                None => "names are lower-case letters, digits and underscores, at most 63, from a letter"
                    .to_owned(),
            };
            reader.error(Code::BadName, node.span, format!("`{text}` is not a valid name"), help);
        }
        name
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "pattern": Self::PATTERN})
    }
}

/// A duration in whole seconds; in the file `90`, `30m`, `1h30m`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl Seconds {
    /// The longest duration: one year, which is also how long a state machine may run.
    /// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
    pub const MAX: u64 = 31_536_000;

    /// Reads `30m`, `1h30m`, `45s`, `90`; units are w, d, h, m, s, from the largest down, each once.
    pub fn parse(text: &str) -> Option<Self> {
        const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Self(seconds));
        }
        let mut total = 0u64;
        let mut units = UNITS.iter();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, tail) = rest.split_at(digits);
            let unit = tail.chars().next()?;
            let (_, seconds) = units.find(|(name, _)| *name == unit)?;
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*seconds)?)?;
            rest = &tail[unit.len_utf8()..];
        }
        (!text.is_empty()).then_some(Self(total))
    }
}

impl Shape for Seconds {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let parsed = match &node.value {
            Value::Int(value) => u64::try_from(*value).map(Seconds).map_err(|_| value.to_string()),
            Value::Text { text, .. } => Self::parse(text).ok_or_else(|| text.clone()),
            _ => {
                reader.wrong_type(node, "a duration");
                return None;
            }
        };
        match parsed {
            Ok(duration) if duration.0 <= Self::MAX => Some(duration),
            Ok(duration) => {
                reader.error(
                    Code::OutOfRange,
                    node.span,
                    format!("{} seconds are more than a year", duration.0),
                    "the longest duration is 365d",
                );
                None
            }
            Err(text) => {
                reader.error(
                    Code::BadDuration,
                    node.span,
                    format!("`{text}` is not a duration"),
                    "write `45s`, `30m`, `1h30m`, `2d`, or a whole number of seconds",
                );
                None
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Duration", |_| {
            document(
                json!({"anyOf": [
                    {"type": "string", "pattern": "^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"},
                    {"type": "integer", "minimum": 0, "maximum": Self::MAX}
                ]}),
                "Duration: 45s, 30m, 1h30m, 2d, or a whole number of seconds; at most 365d.",
            )
        })
    }

    fn magnitude(&self) -> Option<f64> {
        Some(self.0 as f64)
    }
}

/// A day or an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Moment {
    /// A day, in the time zone of the schedule.
    Day(jiff::civil::Date),
    /// An instant.
    Instant(jiff::Timestamp),
}

impl Moment {
    /// The instant that is meant; a day is its first moment in `zone`. None where the zone does
    /// not exist or the day is outside the calendar.
    pub fn instant(&self, zone: &str) -> Option<jiff::Timestamp> {
        match self {
            Self::Instant(instant) => Some(*instant),
            Self::Day(day) => {
                let zone = jiff::tz::TimeZone::get(zone).ok()?;
                day.to_zoned(zone).ok().map(|zoned| zoned.timestamp())
            }
        }
    }
}

impl Shape for Moment {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        let moment = if text.contains('T') {
            text.parse().ok().map(Self::Instant)
        } else {
            text.parse().ok().map(Self::Day)
        };
        if moment.is_none() {
            reader.error(
                Code::BadMoment,
                node.span,
                format!("`{text}` is neither a day nor an instant"),
                "write `1997-01-05` or `1997-01-05T09:00:00Z`",
            );
        }
        moment
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]})
    }
}

/// How many times something grows: `x2`, `x1.5`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Factor(pub f64);

impl Factor {
    /// The form of a factor, as a regular expression.
    const PATTERN: &'static str = "^x[0-9]+(\\.[0-9]+)?$";

    /// The factors that are allowed: less than the first is hardly more, more than the last is no growth
    /// but another size.
    const BOUNDS: std::ops::RangeInclusive<f64> = 1.1..=16.0;

    fn parse(text: &str) -> Option<f64> {
        let number = text.strip_prefix('x')?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        (digits(whole) && digits(fraction)).then(|| number.parse().ok()).flatten()
    }
}

impl Shape for Factor {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        let (code, message) = match Self::parse(&text) {
            Some(factor) if Self::BOUNDS.contains(&factor) => return Some(Self(factor)),
            Some(_) => {
                let (low, high) = (Self::BOUNDS.start(), Self::BOUNDS.end());
                (Code::OutOfRange, format!("`{text}` is outside x{low} to x{high}"))
            }
            None => (Code::NotAllowed, format!("`{text}` is not a factor")),
        };
        reader.error(code, node.span, message, "write how many times, such as `x2` or `x1.5`");
        None
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "pattern": Self::PATTERN, "examples": ["x2", "x1.5"]})
    }
}

/// A time zone of the IANA database, such as `America/Argentina/Buenos_Aires`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TimeZoneName(String);

impl TimeZoneName {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }

    /// The zone's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Shape for TimeZoneName {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        // Short names such as `EST` are in the database for old programs; they know no summer time.
        let known = jiff::tz::TimeZone::get(&text).is_ok() && (text.contains('/') || text == "UTC");
        if known {
            return Some(Self(text));
        }
        let database = jiff::tz::db();
        let names: Vec<String> = database.available().map(|name| name.as_str().to_owned()).collect();
        let help = suggest::nearest(&text, names.iter().map(String::as_str)).map_or_else(
            || "write a name such as `UTC` or `America/Argentina/Buenos_Aires`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        reader.error(Code::BadTimezone, node.span, format!("there is no time zone `{text}`"), help);
        None
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "examples": ["UTC", "America/Argentina/Buenos_Aires"]})
    }
}

/// Reads one of the given words.
pub(crate) fn variants<'a>(node: &Node, words: &[&'a str], reader: &mut Reader) -> Option<&'a str> {
    let text = String::decode(node, reader)?;
    let word = words.iter().copied().find(|word| *word == text);
    if word.is_none() {
        reader.error(
            Code::NotAllowed,
            node.span,
            format!("`{text}` is not allowed here"),
            suggest::help(&text, words.iter().copied()),
        );
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_whole_seconds() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("45s", 45),
            ("30m", 1_800),
            ("1h30m", 5_400),
            ("2d", 172_800),
            ("1w1d1h1m1s", 694_861),
        ] {
            assert_eq!(Seconds::parse(text), Some(Seconds(seconds)), "{text}");
        }
        for text in
            ["", "m", "30 m", "30m1h", "1h1h", "-5s", "1.5h", "5y", "99999999999999999999", "1h30", "5µ"]
        {
            assert_eq!(Seconds::parse(text), None, "{text}");
        }
    }

    #[test]
    fn factors_are_a_number_after_an_x() {
        for (text, factor) in [("x2", Some(2.0)), ("x1.5", Some(1.5)), ("x0", Some(0.0))] {
            assert_eq!(Factor::parse(text), factor, "{text}");
        }
        for text in ["", "x", "2", "2x", "y2", "x-2", "x+2", "x.5", "x2.", "xinf", "xNaN", "x1e3", "x 2"] {
            assert_eq!(Factor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_have_one_form_and_a_near_one_is_found() {
        assert!(Name::new("a_1").is_some());
        assert!(Name::new("A").is_none());
        assert_eq!(as_name("Ventas Diarias"), Some("ventas_diarias".to_owned()));
        assert_eq!(as_name("1st"), Some("st".to_owned()));
        assert_eq!(as_name("日本"), None);
    }
}
