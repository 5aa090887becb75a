//! Days, days of the week, hours of the day, and moves of a moment.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::diagnostic::Code;
use crate::shape::list::KeyShape;
use crate::shape::{Definitions, Reader, Seconds, Shape, document, suggest};
use crate::tree::{Node, Value};

/// A date, `1997-01-05`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Day(pub jiff::civil::Date);

impl Day {
    const PATTERN: &'static str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";

    /// Reads `1997-01-05`, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        text.parse().ok().filter(|_| shaped).map(Self)
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Shape for Day {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        let day = Self::parse(&text);
        if day.is_none() {
            reader.error(Code::BadMoment, node.span, format!("`{text}` is not a date"), "write `1997-01-05`");
        }
        day
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "format": "date"})
    }
}

impl KeyShape for Day {
    fn read(key: &str) -> Result<Self, String> {
        Self::parse(key).ok_or_else(|| "write a date, such as `1997-01-05`".to_owned())
    }

    fn pattern() -> Option<&'static str> {
        Some(Self::PATTERN)
    }
}

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Days of the week, 0 is Sunday; in the file words, ranges of them (`mon-fri`), or a list of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Weekdays(pub BTreeSet<u8>);

impl Weekdays {
    /// All of them.
    pub fn all() -> Self {
        Self((0..7).collect())
    }

    fn read(text: &str) -> Result<Vec<u8>, String> {
        let day = |word: &str| {
            let known = WEEKDAYS.iter().position(|known| *known == word);
            known.map(|at| at as u8).ok_or_else(|| suggest::help(word, WEEKDAYS.iter().copied()))
        };
        match text.split_once('-') {
            None => Ok(vec![day(text)?]),
            Some((from, to)) => {
                let (from, to) = (day(from)?, day(to)?);
                // `sat-mon` is a weekend with a Monday.
                Ok((0..=(to + 7 - from) % 7).map(|n| (from + n) % 7).collect())
            }
        }
    }
}

impl Shape for Weekdays {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let items: Vec<&Node> = match &node.value {
            Value::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        let mut days = BTreeSet::new();
        for item in items {
            let text = String::decode(item, reader)?;
            match Self::read(&text) {
                Ok(found) => days.extend(found),
                Err(help) => {
                    reader.error(
                        Code::NotAllowed,
                        item.span,
                        format!("`{text}` is no day of the week"),
                        help,
                    );
                    return None;
                }
            }
        }
        Some(Self(days))
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Weekdays", |_| {
            let days = WEEKDAYS.join("|");
            let item = json!({"type": "string", "pattern": format!("^({days})(-({days}))?$")});
            document(
                json!({"anyOf": [{"type": "array", "items": item}, item]}),
                "Weekdays: days of the week, such as mon, mon-fri, or a list of both.",
            )
        })
    }
}

/// From one time of the day to a later one, in minutes; in the file `09:30-16:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hours {
    /// The opening.
    pub open: u16,
    /// The closing; 1440 is midnight at the day's end.
    pub close: u16,
}

impl Hours {
    /// Reads `09:30-16:00`; `24:00` is midnight at the day's end.
    pub fn parse(text: &str) -> Option<Self> {
        Self::edges(text).filter(|hours| hours.open < hours.close)
    }

    /// Reads two times of the day, in any order.
    fn edges(text: &str) -> Option<Self> {
        let time = |text: &str| -> Option<u16> {
            let (hour, minute) = text.trim().split_once(':')?;
            if minute.len() != 2 || hour.is_empty() || hour.len() > 2 {
                return None;
            }
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            let minutes = hour * 60 + minute;
            (minute < 60 && minutes <= 24 * 60).then_some(minutes)
        };
        let (open, close) = text.split_once('-')?;
        Some(Self { open: time(open)?, close: time(close)? })
    }
}

impl Shape for Hours {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        let hours = Self::parse(&text);
        if hours.is_none() {
            reader.error(
                Code::BadHours,
                node.span,
                format!("`{text}` are no hours of a day"),
                "write from when to when, such as `09:30-16:00`; over midnight takes two calendars",
            );
        }
        hours
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "pattern": "^ ?[0-9]{1,2}:[0-9]{2} ?- ?[0-9]{1,2}:[0-9]{2} ?$"})
    }
}

/// From one time of the day to another, which may lie on the next day; in the file `22:00-06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Stretch(pub Hours);

impl Stretch {
    /// Reads `22:00-06:00`; a whole day is none.
    pub fn parse(text: &str) -> Option<Self> {
        let hours = Hours::edges(text)?;
        let begins = hours.open < 24 * 60 && hours.close > 0;
        let whole = hours.open == hours.close || (hours.open, hours.close) == (0, 24 * 60);
        (begins && !whole).then_some(Self(hours))
    }
}

impl Shape for Stretch {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        let stretch = Self::parse(&text);
        if stretch.is_none() {
            reader.error(
                Code::BadHours,
                node.span,
                format!("`{text}` is no part of a day"),
                "write from when to when, such as `22:00-06:00`, which goes over midnight",
            );
        }
        stretch
    }

    fn schema(definitions: &mut Definitions) -> Json {
        Hours::schema(definitions)
    }
}

/// How much later than something, in minutes of local time; in the file `15m`, `-30m`, `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Offset(pub i32);

impl Offset {
    /// Less than a day, whole minutes.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let seconds = Seconds::parse(rest)?.0;
        let fits = seconds < 86_400 && seconds.is_multiple_of(60);
        fits.then(|| Self(sign * (seconds / 60) as i32))
    }
}

impl Shape for Offset {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = match &node.value {
            Value::Int(0) => "0".to_owned(),
            _ => String::decode(node, reader)?,
        };
        let offset = Self::parse(&text);
        if offset.is_none() {
            reader.error(
                Code::BadDuration,
                node.span,
                format!("`{text}` is no whole number of minutes, less than a day"),
                "write `15m` for later, `-30m` for earlier, `0` for the moment itself",
            );
        }
        offset
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"anyOf": [{"type": "string", "pattern": "^[+-]?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"}, {"const": 0}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_lie_within_a_day_and_end_after_they_begin() {
        let hours = |text| Hours::parse(text).map(|hours| (hours.open, hours.close));
        assert_eq!(hours("09:30-16:00"), Some((570, 960)));
        assert_eq!(hours("0:00 - 24:00"), Some((0, 1440)));
        for text in
            ["", "09:30", "16:00-09:30", "09:30-09:30", "9-17", "09:60-10:00", "09:30-24:01", "x:00-1:00"]
        {
            assert_eq!(hours(text), None, "{text}");
        }
    }

    #[test]
    fn a_stretch_may_go_over_midnight_and_is_never_a_whole_day() {
        let stretch = |text| Stretch::parse(text).map(|Stretch(hours)| (hours.open, hours.close));
        assert_eq!(stretch("22:00-06:00"), Some((1320, 360)));
        assert_eq!(stretch("00:00-06:00"), Some((0, 360)));
        assert_eq!(stretch("22:00-24:00"), Some((1320, 1440)));
        for text in ["", "06:00-06:00", "00:00-24:00", "24:00-06:00", "22:00-00:00", "22-6"] {
            assert_eq!(stretch(text), None, "{text}");
        }
    }

    #[test]
    fn weekdays_are_words_and_ranges_also_over_the_weekend() {
        assert_eq!(Weekdays::read("mon-fri"), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(Weekdays::read("sat-mon"), Ok(vec![6, 0, 1]));
        assert_eq!(Weekdays::read("wed"), Ok(vec![3]));
        assert!(Weekdays::read("monday").unwrap_err().contains("mon"));
        assert!(Weekdays::read("mon-").is_err());
    }

    #[test]
    fn offsets_are_signed_whole_minutes_below_a_day() {
        let offset = |text| Offset::parse(text).map(|offset| offset.0);
        assert_eq!(offset("-30m"), Some(-30));
        assert_eq!(offset("1h30m"), Some(90));
        assert_eq!(offset("0"), Some(0));
        for text in ["", "-", "90s", "24h", "--5m", "5 m"] {
            assert_eq!(offset(text), None, "{text}");
        }
    }

    #[test]
    fn dates_have_one_form() {
        assert!(Day::parse("2026-02-28").is_some());
        for text in ["2026-02-30", "20260228", "2026-2-28", "2026-02-28T00:00", "-026-02-28"] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
