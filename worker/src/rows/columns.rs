//! Column types and the exact reading of text as them. Nothing is guessed, rounded or trimmed: text that is not exactly
//! a value of its type is a reason to reject the row.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};
use jiff::civil::Date;
use jiff::{Timestamp, Unit};
use serde::Deserialize;
use serde_json::Value as Json;

/// The type of a column as pipelines write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ColumnType {
    /// UTF-8 text.
    String,
    /// 64 bits, signed.
    Integer,
    /// 64-bit floating point.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A calendar day.
    Date,
    /// An instant, microseconds, UTC.
    Timestamp,
    /// Exact decimal digits: how many in all, how many after the point.
    Decimal(u8, i8),
}

impl TryFrom<String> for ColumnType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no column type: write string, integer, number, boolean, date, timestamp or \
                 decimal(precision, scale)"
            )
        };
        Ok(match text.as_str() {
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            other => {
                let inside = other
                    .strip_prefix("decimal(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .ok_or_else(wrong)?;
                let (precision, scale) = inside.split_once(',').ok_or_else(wrong)?;
                let precision: u8 = precision.trim().parse().map_err(|_| wrong())?;
                let scale: u8 = scale.trim().parse().map_err(|_| wrong())?;
                if precision == 0 || precision > DECIMAL128_MAX_PRECISION || scale > precision {
                    return Err(wrong());
                }
                // At most 38, so it fits.
                Self::Decimal(precision, scale as i8)
            }
        })
    }
}

/// One readable value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Days since 1970-01-01.
    Days(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Micros(i64),
    /// The digits of a decimal, the point taken out.
    Digits(i128),
}

impl ColumnType {
    /// The Arrow type that holds it.
    pub fn arrow(self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
        }
    }

    /// Reads text as this type, or says why it is not.
    pub fn read(self, text: &str) -> Result<Cell, String> {
        let not = |what: &str| format!("`{}` is not {what}", shorten(text));
        match self {
            Self::String => Ok(Cell::Text(text.to_owned())),
            Self::Integer => text.parse().map(Cell::Integer).map_err(|_| not("an integer")),
            Self::Number => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Cell::Number(number)),
                _ => Err(not("a number")),
            },
            Self::Boolean => match text {
                "true" => Ok(Cell::Boolean(true)),
                "false" => Ok(Cell::Boolean(false)),
                _ => Err(not("true or false")),
            },
            Self::Date => read_date(text).map(Cell::Days).ok_or_else(|| not("a date")),
            Self::Timestamp => match text.parse::<Timestamp>() {
                Ok(instant) => Ok(Cell::Micros(instant.as_microsecond())),
                Err(_) => Err(not("a timestamp with its offset")),
            },
            Self::Decimal(precision, scale) => read_decimal(text, precision, scale.unsigned_abs())
                .map(Cell::Digits)
                .ok_or_else(|| not(&format!("a decimal({precision},{scale})"))),
        }
    }

    /// Reads a JSON value as this type. Numbers may also stand as text, as exact decimals do.
    pub fn read_json(self, value: &Json) -> Result<Cell, String> {
        match (self, value) {
            (_, Json::Null) => Ok(Cell::Null),
            (_, Json::String(text)) => self.read(text),
            (Self::Boolean, Json::Bool(value)) => Ok(Cell::Boolean(*value)),
            (Self::Integer | Self::Number | Self::Decimal(..), Json::Number(number)) => {
                self.read(&number.to_string())
            }
            (Self::String, other) => Ok(Cell::Text(other.to_string())),
            (_, other) => Err(format!("`{}` has the wrong type", shorten(&other.to_string()))),
        }
    }
}

fn read_date(text: &str) -> Option<i32> {
    let compact = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let dashed = text.len() == 10;
    if !compact && !dashed {
        return None;
    }
    let day: Date = text.parse().ok()?;
    let since = day.since((Unit::Day, Date::constant(1970, 1, 1))).ok()?;
    Some(since.get_days())
}

fn read_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    // Zeros beyond the scale change nothing; any other digit there would have to be rounded away.
    let (kept, beyond) = fraction.split_at(fraction.len().min(usize::from(scale)));
    if beyond.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let padded = format!("{whole}{kept:0<width$}", width = usize::from(scale));
    let significant = padded.trim_start_matches('0');
    if significant.len() > usize::from(precision) {
        return None;
    }
    let value: i128 = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    Some(if negative { -value } else { value })
}

/// Reasons quote the offending text, but not a megabyte of it.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// One growing column.
#[derive(Debug)]
pub enum Builder {
    /// Text.
    String(StringBuilder),
    /// Whole numbers.
    Integer(Int64Builder),
    /// Floating-point numbers.
    Number(Float64Builder),
    /// Truth values.
    Boolean(BooleanBuilder),
    /// Days.
    Date(Date32Builder),
    /// Instants.
    Timestamp(TimestampMicrosecondBuilder),
    /// Decimals.
    Decimal(Decimal128Builder),
}

impl Builder {
    /// An empty column of a type.
    pub fn new(of: ColumnType) -> Self {
        match of {
            ColumnType::String => Self::String(StringBuilder::new()),
            ColumnType::Integer => Self::Integer(Int64Builder::new()),
            ColumnType::Number => Self::Number(Float64Builder::new()),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(of.arrow()))
            }
            ColumnType::Decimal(..) => Self::Decimal(Decimal128Builder::new().with_data_type(of.arrow())),
        }
    }

    /// Adds a cell that [`ColumnType::read`] made for this column's type.
    pub fn push(&mut self, cell: Cell) {
        match (self, cell) {
            (Self::String(column), cell) => match cell {
                Cell::Text(text) => column.append_value(text),
                _ => column.append_null(),
            },
            (Self::Integer(column), cell) => column.append_option(match cell {
                Cell::Integer(value) => Some(value),
                _ => None,
            }),
            (Self::Number(column), cell) => column.append_option(match cell {
                Cell::Number(value) => Some(value),
                _ => None,
            }),
            (Self::Boolean(column), cell) => column.append_option(match cell {
                Cell::Boolean(value) => Some(value),
                _ => None,
            }),
            (Self::Date(column), cell) => column.append_option(match cell {
                Cell::Days(value) => Some(value),
                _ => None,
            }),
            (Self::Timestamp(column), cell) => column.append_option(match cell {
                Cell::Micros(value) => Some(value),
                _ => None,
            }),
            (Self::Decimal(column), cell) => column.append_option(match cell {
                Cell::Digits(value) => Some(value),
                _ => None,
            }),
        }
    }

    /// Takes the column out, leaving an empty one.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::String(column) => Arc::new(column.finish()),
            Self::Integer(column) => Arc::new(column.finish()),
            Self::Number(column) => Arc::new(column.finish()),
            Self::Boolean(column) => Arc::new(column.finish()),
            Self::Date(column) => Arc::new(column.finish()),
            Self::Timestamp(column) => Arc::new(column.finish()),
            Self::Decimal(column) => Arc::new(column.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> ColumnType {
        ColumnType::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn types_are_read_as_written() {
        assert_eq!(of("decimal(12, 2)"), ColumnType::Decimal(12, 2));
        for wrong in ["decimal", "decimal(39,2)", "decimal(2,3)", "decimal(0,0)", "int", "decimal(12,2"] {
            assert!(ColumnType::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn money_is_never_rounded() {
        let money = of("decimal(6,2)");
        for (text, digits) in [
            ("11.77", 1177),
            ("0.10", 10),
            ("-3", -300),
            (".5", 50),
            ("5.", 500),
            ("12.500", 1250),
            ("9999.99", 999_999),
            ("0009999.99", 999_999),
            ("0", 0),
        ] {
            assert_eq!(money.read(text), Ok(Cell::Digits(digits)), "{text}");
        }
        for wrong in ["12.505", "10000.00", "1e3", "", ".", "-", "1,000.00", " 1", "1.2.3"] {
            assert!(money.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_that_is_not_exactly_a_value_says_why() {
        assert_eq!(of("date").read("1970-01-02"), Ok(Cell::Days(1)));
        assert_eq!(of("date").read("19970101"), Ok(Cell::Days(9862)));
        assert_eq!(of("timestamp").read("1970-01-01T00:00:01+00:00"), Ok(Cell::Micros(1_000_000)));
        for (kind, text) in [
            ("date", "1997-02-30"),
            ("date", "1997-1-1"),
            ("date", "1997-01-01T10:00"),
            ("timestamp", "1997-01-01"),
            ("integer", "1.0"),
            ("integer", "9223372036854775808"),
            ("number", "inf"),
            ("boolean", "TRUE"),
        ] {
            let reason = of(kind).read(text).unwrap_err();
            assert!(reason.contains(text), "{reason}");
        }
        let long = of("integer").read(&"9".repeat(5000)).unwrap_err();
        assert!(long.len() < 120, "{long}");
    }

    #[test]
    fn json_keeps_its_own_types() {
        use serde_json::json;
        assert_eq!(of("integer").read_json(&json!(3)), Ok(Cell::Integer(3)));
        assert_eq!(of("decimal(6,2)").read_json(&json!(3.25)), Ok(Cell::Digits(325)));
        assert_eq!(of("decimal(6,2)").read_json(&json!("3.25")), Ok(Cell::Digits(325)));
        assert_eq!(of("string").read_json(&json!({"a": 1})), Ok(Cell::Text("{\"a\":1}".to_owned())));
        assert_eq!(of("boolean").read_json(&json!(null)), Ok(Cell::Null));
        assert!(of("boolean").read_json(&json!(1)).is_err());
        assert!(of("date").read_json(&json!(19970101)).is_err());
    }
}
