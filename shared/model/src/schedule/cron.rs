//! Five-field Unix cron, read into one set of numbers per field.
//!
//! Source of the grammar: <https://man7.org/linux/man-pages/man5/crontab.5.html>. Beyond it, or where
//! implementations differ, what Airflow's users know holds:
//! - `5/15` is `5-59/15`;
//! - where neither day field is `*`, a day ticks when either allows it. A field is `*` when it says
//!   so: `1-31` is not, so `0 0 1-31 * mon` ticks every day, and `*/2` is not (in Vixie cron it is).
//!
//! This file needs nothing but itself and [`super::set`]: it knows numbers, no calendar and no zone.

use super::set::Set;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Presets and what they stand for.
/// Source: <https://man7.org/linux/man-pages/man5/crontab.5.html>, "Extensions".
pub const PRESETS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The most days that each month can have.
const LONGEST_MONTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A cron expression. Ticks fall on whole minutes of the local time of whatever zone it is read in.
///
/// Two spellings of the same minutes, hours, days and months are equal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cron {
    /// 0 to 59.
    pub(super) minutes: Set,
    /// 0 to 23.
    pub(super) hours: Set,
    /// 1 to 31. All of them leave the choice to `weekdays`.
    pub(super) days: Set,
    /// 1 to 12.
    pub(super) months: Set,
    /// 0 (Sunday) to 6. All of them leave the choice to `days`; where neither holds all, either
    /// suffices.
    pub(super) weekdays: Set,
}

/// A field, in the order in which they are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or jan to dec.
    Month,
    /// 0 to 7, where 0 and 7 are Sunday, or sun to sat.
    DayOfWeek,
}

/// Why an expression is refused, and which part of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct CronError {
    /// The offending part, as byte offsets into the expression.
    pub span: Range<usize>,
    /// What is wrong with it, and what is allowed there.
    pub problem: CronProblem,
}

/// What is wrong with a part of an expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CronProblem {
    /// Not five fields.
    #[error(
        "cron has five fields (minute, hour, day of month, month, day of week), this has {found}{}",
        if *found == 6 { ": leave out seconds or year" } else { "" }
    )]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// A word after `@` that stands for nothing.
    #[error(
        "there is no preset `{name}`; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"
    )]
    UnknownPreset {
        /// The word with its `@`.
        name: String,
    },
    /// Not a number or name of its field.
    #[error("`{text}` is no {field}; allowed are {}", field.allowed())]
    NoValue {
        /// Where it stands.
        field: Field,
        /// What stands there.
        text: String,
    },
    /// Syntax of Quartz and EventBridge that Unix cron does not have.
    #[error("`{text}` is not Unix cron: `?`, `L`, `W` and `#` belong to Quartz and EventBridge; allowed in {field} are {}", field.allowed())]
    Quartz {
        /// Where it stands.
        field: Field,
        /// What stands there.
        text: String,
    },
    /// Nothing before, between or after commas.
    #[error("{field} has an empty part; between commas stand a value, a range `a-b`, or a step `*/n`")]
    Empty {
        /// Where it stands.
        field: Field,
    },
    /// A range whose end lies before its start.
    #[error("the range `{text}` of {field} runs backwards; write it as two ranges with a comma between")]
    Backwards {
        /// Where it stands.
        field: Field,
        /// The range.
        text: String,
    },
    /// A step that is no positive number.
    #[error("`{text}` is no step of {field}; after `/` stands a number of 1 or more")]
    NoStep {
        /// Where it stands.
        field: Field,
        /// What stands after the slash.
        text: String,
    },
    /// 30 February and its like.
    #[error("no month that it names has a day {day}, so it never ticks")]
    Never {
        /// The smallest day of the month that it names.
        day: u8,
    },
}

impl Cron {
    /// Reads five fields or a preset. Names may be written in any case, spaces may be many.
    ///
    /// # Errors
    /// The first offending part, with its place; also an expression that can never tick.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let whole = Part { text, at: 0 }.trimmed();
        if whole.text.starts_with('@') {
            let preset = PRESETS.iter().find(|(name, _)| *name == whole.text);
            let (_, fields) = preset
                .ok_or_else(|| whole.wrong(CronProblem::UnknownPreset { name: whole.text.to_owned() }))?;
            return Self::parse(fields);
        }
        let parts: Vec<Part<'_>> =
            whole.split(|c| c.is_ascii_whitespace()).filter(|part| !part.text.is_empty()).collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            return Err(whole.wrong(CronProblem::FieldCount { found: parts.len() }));
        };
        let mut cron = Self {
            minutes: Field::Minute.read(minute)?,
            hours: Field::Hour.read(hour)?,
            days: Field::DayOfMonth.read(day)?,
            months: Field::Month.read(month)?,
            weekdays: Field::DayOfWeek.read(weekday)?,
        };
        // Either of two fields suffices, so when one of them is spelt out in full, all days tick.
        let either = !day.is_star() && !weekday.is_star();
        if either && !(cron.restricts_days() && cron.restricts_weekdays()) {
            cron.days = Field::DayOfMonth.all();
            cron.weekdays = Field::DayOfWeek.all();
        }
        match cron.missing_day() {
            Some(never) => Err(day.wrong(CronProblem::Never { day: never })),
            None => Ok(cron),
        }
    }

    /// Whether the day of the month bars some days.
    pub(super) fn restricts_days(&self) -> bool {
        self.days != Field::DayOfMonth.all()
    }

    /// Whether the day of the week bars some days.
    pub(super) fn restricts_weekdays(&self) -> bool {
        self.weekdays != Field::DayOfWeek.all()
    }

    /// Whether a local day has at most one tick: one minute of one hour.
    pub fn is_at_most_daily(&self) -> bool {
        self.minutes.len() == 1 && self.hours.len() == 1
    }

    /// The first day of the month it names, when none of its months has it and nothing else ticks.
    fn missing_day(&self) -> Option<u8> {
        let first = self.days.first()?;
        let reachable = self.restricts_weekdays()
            || self.months.iter().any(|month| LONGEST_MONTHS[usize::from(month) - 1] >= first);
        (!reachable).then_some(first)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text)
    }
}

impl Field {
    /// Smallest and largest number. Seven is folded to zero after reading.
    const fn bounds(self) -> (u8, u8) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
        }
    }

    /// Every number of the field.
    pub(super) const fn all(self) -> Set {
        let (low, high) = self.bounds();
        Set::range(low, high)
    }

    /// What may be written in the field, in words.
    pub const fn allowed(self) -> &'static str {
        match self {
            Self::Minute => "0 to 59",
            Self::Hour => "0 to 23",
            Self::DayOfMonth => "1 to 31",
            Self::Month => "1 to 12, and jan to dec",
            Self::DayOfWeek => "0 to 7 (0 and 7 are Sunday), and sun to sat",
        }
    }

    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Minute | Self::Hour | Self::DayOfMonth => &[],
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
        }
    }

    fn read(self, field: Part<'_>) -> Result<Set, CronError> {
        let mut set = Set::EMPTY;
        for item in field.split(|c| c == ',') {
            set = set.or(self.read_item(item)?);
        }
        // Only the day of the week can hold a 7 that means 0.
        if self == Self::DayOfWeek && set.contains(7) {
            set = set.without(7).with(0);
        }
        Ok(set)
    }

    /// `*`, a value, `a-b`, and each of them with `/n`.
    fn read_item(self, item: Part<'_>) -> Result<Set, CronError> {
        if item.text.is_empty() {
            return Err(item.wrong(CronProblem::Empty { field: self }));
        }
        let (values, step) = match item.split_once('/') {
            Some((values, step)) => (values, Some(self.read_step(step)?)),
            None => (item, None),
        };
        let (low, high) = if values.text == "*" {
            self.bounds()
        } else if let Some((from, to)) = values.split_once('-') {
            let (low, high) = (self.read_value(from)?, self.read_value(to)?);
            // `sat-sun` ends on the Sunday after, which is 7.
            let high = if self == Self::DayOfWeek && high == 0 && low > 0 { 7 } else { high };
            if low > high {
                return Err(
                    values.wrong(CronProblem::Backwards { field: self, text: values.text.to_owned() })
                );
            }
            (low, high)
        } else {
            let value = self.read_value(values)?;
            match step {
                // A lone value with a step counts from there to the end of the field.
                Some(_) => (value, self.bounds().1.max(value)),
                None => (value, value),
            }
        };
        Ok(Set::every(low, high, step.unwrap_or(1)))
    }

    fn read_step(self, step: Part<'_>) -> Result<u32, CronError> {
        number(step.text)
            .filter(|n| *n > 0)
            .ok_or_else(|| step.wrong(CronProblem::NoStep { field: self, text: step.text.to_owned() }))
    }

    fn read_value(self, value: Part<'_>) -> Result<u8, CronError> {
        let (low, high) = self.bounds();
        let high = if self == Self::DayOfWeek { 7 } else { high };
        let named = self
            .names()
            .iter()
            .zip(low..)
            .find(|(name, _)| name.eq_ignore_ascii_case(value.text))
            .map(|(_, number)| number);
        let read = named.or_else(|| u8::try_from(number(value.text)?).ok());
        read.filter(|number| (low..=high).contains(number)).ok_or_else(|| {
            let (field, text) = (self, value.text.to_owned());
            value.wrong(if is_quartz(value.text) {
                CronProblem::Quartz { field, text }
            } else {
                CronProblem::NoValue { field, text }
            })
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        })
    }
}

/// Digits only: `str::parse` would take `+5`.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// `?`, `L`, `LW`, `15W`, `5L`, `mon#2`.
fn is_quartz(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let tail = upper.trim_start_matches(|c: char| c.is_ascii_digit());
    upper.contains('#') || matches!(tail, "?" | "L" | "W" | "LW")
}

/// A piece of the expression that remembers where it stands.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Part<'a> {
    /// Whether a field says that it takes everything.
    fn is_star(self) -> bool {
        self.text.split(',').any(|item| matches!(item, "*" | "*/1"))
    }

    fn trimmed(self) -> Self {
        let from_start = self.text.trim_ascii_start();
        Self { text: from_start.trim_ascii_end(), at: self.at + self.text.len() - from_start.len() }
    }

    /// The pieces between separators of one byte.
    fn split(self, separator: impl Fn(char) -> bool + 'a) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let part = Self { text, at };
            at += text.len() + 1;
            part
        })
    }

    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(separator)?;
        let after_at = self.at + before.len() + separator.len_utf8();
        Some((Self { text: before, at: self.at }, Self { text: after, at: after_at }))
    }

    fn wrong(self, problem: CronProblem) -> CronError {
        CronError { span: self.at..self.at + self.text.len(), problem }
    }
}
