//! Instants: milliseconds since 1970, ISO 8601, and the date pictures of XPath such as
//! `[Y0001]-[M01]-[D01]`. <https://www.w3.org/TR/xpath-functions-31/#formatting-dates-and-times>
//!
//! The clock is the environment's `now`.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use regex::RegexBuilder;

use super::super::MAX_REGEX_BYTES;
use super::super::evaluate::Outcome;
use super::super::value::{Item, Text};
use super::picture::{Case, IntegerPicture, Style};
use super::{Arguments, JsonataError, failure, words};

const ISO_8601: &str = "[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub(super) fn now<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let millis = arguments.evaluator.environment.now.as_millisecond();
    formatted(arguments, millis as f64, arguments.text(0), arguments.text(1))
}

pub(super) fn millis<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    Ok(Item::number(arguments.evaluator.environment.now.as_millisecond() as f64))
}

pub(super) fn from_millis<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    match arguments.number(0) {
        Some(millis) => formatted(arguments, millis, arguments.text(1), arguments.text(2)),
        None => Ok(Item::Undefined),
    }
}

pub(super) fn to_millis<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    arguments.evaluator.charge_text(text.len())?;
    let millis = match arguments.text(1) {
        Some(picture) => read(&text, &picture, arguments.evaluator.environment.now)?,
        None => Some(iso_millis(&text).ok_or_else(|| {
            let shown = serde_json::Value::String(text.to_string());
            failure(
                "D3110",
                format!(
                    "The argument of the toMillis function must be an ISO 8601 formatted \
                     timestamp. Given {shown}"
                ),
            )
        })?),
    };
    Ok(millis.map_or(Item::Undefined, |millis| Item::number(millis as f64)))
}

/// A year, month, day or instant; a time without a zone is UTC.
fn iso_millis(text: &str) -> Option<i64> {
    let digits = |text: &str| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let date: Date = match date.len() {
        4 if digits(date) => format!("{date}-01-01").parse().ok()?,
        7 => format!("{date}-01").parse().ok()?,
        10 => date.parse().ok()?,
        _ => return None,
    };
    let Some(time) = time else {
        return Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond());
    };
    let zoned = time.ends_with('Z') || time.contains(['+', '-']);
    let instant = format!("{date}T{time}{}", if zoned { "" } else { "Z" });
    Some(instant.parse::<Timestamp>().ok()?.as_millisecond())
}

fn formatted<'a>(
    arguments: &Arguments<'_, 'a>,
    millis: f64,
    picture: Option<Text<'a>>,
    zone: Option<Text<'a>>,
) -> Outcome<'a> {
    let minutes = zone.map_or(Some(0), |zone| offset_minutes(&zone));
    let local = minutes.and_then(|minutes| {
        let offset = Offset::from_seconds(i32::try_from(minutes).ok()?.checked_mul(60)?).ok()?;
        Some(offset.to_datetime(Timestamp::from_millisecond(millis.floor() as i64).ok()?))
    });
    let (Some(minutes), Some(local)) = (minutes, local) else {
        return Err(failure("D3137", "the instant or its time zone is out of range"));
    };
    let picture = picture.as_deref().unwrap_or(ISO_8601);
    arguments.evaluator.charge_text(picture.len() * 8)?;
    let mut text = String::new();
    for part in parts(picture)? {
        match part {
            Part::Literal(literal) => text.push_str(&literal),
            Part::Marker(marker) => text.push_str(&marker.format(local, minutes)?),
        }
    }
    arguments.made(text)
}

/// `+0530` as minutes.
fn offset_minutes(zone: &str) -> Option<i64> {
    let number: i64 = zone.strip_prefix('+').unwrap_or(zone).parse().ok()?;
    Some(number / 100 * 60 + number % 100)
}

enum Part {
    Literal(String),
    Marker(Marker),
}

/// `[M01]`: one component of an instant and how it is written.
struct Marker {
    component: char,
    /// Written as a name (`[MNn]`), not as a number.
    names: Option<Case>,
    integer: Option<IntegerPicture>,
    /// `t`: offset zero is written `Z`.
    traditional: bool,
    longest: Option<usize>,
    /// How many digits a year, month or day has; 0 for as many as needed.
    digits: usize,
}

fn parts(picture: &str) -> Result<Vec<Part>, JsonataError> {
    let mut parts = Vec::new();
    let mut rest = picture;
    let literal = |text: &str| Part::Literal(text.replace("]]", "]"));
    while let Some(at) = rest.find('[') {
        if at > 0 {
            parts.push(literal(&rest[..at]));
        }
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('[') {
            parts.push(Part::Literal("[".to_owned()));
            rest = behind;
            continue;
        }
        let Some(end) = rest.find(']') else {
            return Err(failure("D3135", "No matching closing bracket ']' in date/time picture string"));
        };
        let marker: String = rest[..end].split_whitespace().collect();
        parts.push(Part::Marker(Marker::parse(&marker)?));
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(literal(rest));
    }
    Ok(parts)
}

impl Marker {
    fn parse(marker: &str) -> Result<Self, JsonataError> {
        let component = marker.chars().next().unwrap_or(' ');
        let modifiers = &marker[component.len_utf8().min(marker.len())..];
        let (presentation, width) = match modifiers.rsplit_once(',') {
            Some((presentation, width)) => (presentation, Some(width)),
            None => (modifiers, None),
        };
        let (shortest, longest) = match width.map(|width| width.split_once('-').unwrap_or((width, "*"))) {
            Some((shortest, longest)) => (shortest.parse::<usize>().ok(), longest.parse().ok()),
            None => (None, None),
        };
        let default = match component {
            'Y' | 'M' | 'D' | 'd' | 'W' | 'w' | 'X' | 'x' | 'H' | 'h' | 'f' => "1",
            'F' | 'P' | 'C' | 'E' => "n",
            'm' | 's' => "01",
            'Z' | 'z' => "01:01",
            _ => {
                return Err(failure(
                    "D3132",
                    format!("Unknown component specifier \"{component}\" in date/time picture string"),
                ));
            }
        };
        let last = presentation.chars().last();
        let second = last.filter(|last| presentation.chars().count() > 1 && "atco".contains(*last));
        let first = match second {
            _ if presentation.is_empty() => default,
            Some(_) => &presentation[..presentation.len() - 1],
            None => presentation,
        };
        let mut result = Self {
            component,
            names: match first {
                _ if first.starts_with("Nn") => Some(Case::Title),
                _ if first.starts_with('N') => Some(Case::Upper),
                _ if first.starts_with('n') => Some(Case::Lower),
                _ => None,
            },
            integer: None,
            traditional: second == Some('t'),
            longest,
            digits: 0,
        };
        if result.names.is_none() && "YMDdFWwXxHhmsfZz".contains(component) {
            let pattern = match second {
                Some('o') if !"Zz".contains(component) => format!("{first};o"),
                _ => first.to_owned(),
            };
            let mut integer = IntegerPicture::parse(&pattern)?;
            if let Style::Decimal { mandatory, optional, .. } = &mut integer.style
                && !"Zz".contains(component)
            {
                // A width is at most what a date can need; the cut guards against `[Y,999999999]`.
                let cut = |width: usize| width.min(100);
                *mandatory = (*mandatory).max(shortest.map_or(0, cut));
                if "YMD".contains(component) {
                    if let Some(longest) = longest {
                        result.digits = cut(longest);
                        *mandatory = result.digits;
                    } else if *mandatory + *optional >= 2 {
                        result.digits = *mandatory + *optional;
                    }
                }
            }
            result.integer = Some(integer);
        }
        Ok(result)
    }

    fn format(&self, local: DateTime, offset: i64) -> Result<String, JsonataError> {
        match self.component {
            'P' => {
                let text = if local.hour() >= 12 { "pm" } else { "am" };
                Ok(if self.names == Some(Case::Upper) { text.to_uppercase() } else { text.to_owned() })
            }
            'Z' | 'z' => self.format_offset(offset),
            'C' | 'E' => Ok("ISO".to_owned()),
            _ => {
                let value = fragment(local, self.component);
                if let Some(case) = self.names {
                    return self.format_name(value, case);
                }
                let value = match (self.component, self.digits) {
                    ('Y', digits @ 1..=9) => value % 10_i64.pow(digits as u32),
                    _ => value,
                };
                Ok(self.integer.as_ref().map_or_else(String::new, |format| format.format(value as f64)))
            }
        }
    }

    fn format_name(&self, value: i64, case: Case) -> Result<String, JsonataError> {
        let at = usize::try_from(value - 1).unwrap_or(0);
        let name = match self.component {
            'M' | 'x' => MONTHS[at.min(11)],
            'F' => DAYS[at.min(6)],
            other => return Err(no_name(other)),
        };
        let name = match case {
            Case::Upper => name.to_uppercase(),
            Case::Lower => name.to_lowercase(),
            Case::Title => name.to_owned(),
        };
        Ok(name.chars().take(self.longest.unwrap_or(usize::MAX)).collect())
    }

    fn format_offset(&self, offset: i64) -> Result<String, JsonataError> {
        if offset == 0 && self.traditional {
            return Ok("Z".to_owned());
        }
        let number = (offset / 60 * 100 + offset % 60) as f64;
        let mut text = String::new();
        if self.component == 'z' {
            text.push_str("GMT");
        }
        if offset >= 0 {
            text.push('+');
        }
        if let Some(format) = &self.integer
            && let Style::Decimal { mandatory, every, .. } = &format.style
        {
            match mandatory {
                _ if *every > 0 => text.push_str(&format.format(number)),
                1 | 2 => {
                    text.push_str(&format.format((offset / 60) as f64));
                    if offset % 60 != 0 {
                        text.push_str(&format!(":{:02}", (offset % 60).abs()));
                    }
                }
                3 | 4 => text.push_str(&format.format(number)),
                _ => {
                    return Err(failure(
                        "D3134",
                        "The timezone integer format specifier cannot have more than four digits",
                    ));
                }
            }
        }
        Ok(text)
    }

    /// A pattern for texts of this component.
    fn pattern(&self) -> Result<String, JsonataError> {
        if let 'Z' | 'z' = self.component {
            let gmt = if self.component == 'z' { "GMT" } else { "" };
            let separator = self.offset_separator().map_or(String::new(), |separator| {
                format!("{}[0-9]+", regex::escape(&separator.to_string()))
            });
            return Ok(format!("{gmt}[-+][0-9]+{separator}"));
        }
        let Some(integer) = &self.integer else {
            return match self.component {
                'M' | 'x' | 'F' | 'P' => Ok("[a-zA-Z]+".to_owned()),
                other => Err(no_name(other)),
            };
        };
        Ok(match &integer.style {
            Style::Letters(_) => "[a-z]+".to_owned(),
            Style::Roman(_) => "[mdclxvi]+".to_owned(),
            Style::Words(_) => words::pattern(),
            Style::Decimal { optional, .. } => {
                let count = match (self.digits, optional) {
                    (0, _) => "+".to_owned(),
                    (digits, 0) => format!("{{{digits}}}"),
                    (digits, optional) => format!("{{{},{digits}}}", digits.saturating_sub(*optional)),
                };
                let ordinal = if integer.ordinal { "(?:th|st|nd|rd)" } else { "" };
                format!("[0-9]{count}{ordinal}")
            }
        })
    }

    fn offset_separator(&self) -> Option<char> {
        match &self.integer.as_ref()?.style {
            Style::Decimal { separators, every, .. } if *every > 0 => {
                separators.first().map(|(_, separator)| *separator)
            }
            _ => None,
        }
    }

    /// What a text of this component means as a number; offsets are in minutes.
    fn read(&self, text: &str) -> Option<i64> {
        if let 'Z' | 'z' = self.component {
            let text = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let (hours, minutes) = match self.offset_separator() {
                Some(separator) => text.split_once(separator)?,
                None if text.len() <= 3 => (text, "0"),
                None => text.split_at_checked(3)?,
            };
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            return Some(hours * 60 + if text.starts_with('-') { -minutes } else { minutes });
        }
        if let Some(integer) = &self.integer {
            return integer.read(text).map(|number| number as i64);
        }
        let named = |names: &[&str]| {
            let wanted = |name: &&str| {
                let name: String = name.chars().take(self.longest.unwrap_or(usize::MAX)).collect();
                name.eq_ignore_ascii_case(text)
            };
            Some(names.iter().position(wanted)? as i64 + 1)
        };
        match self.component {
            'M' | 'x' => named(&MONTHS),
            'F' => named(&DAYS),
            _ if text.eq_ignore_ascii_case("am") => Some(0),
            _ if text.eq_ignore_ascii_case("pm") => Some(1),
            _ => None,
        }
    }
}

fn no_name(component: char) -> JsonataError {
    failure(
        "D3133",
        format!(
            "The 'name' modifier can only be applied to months and days in the date/time picture \
             string, not \"{component}\""
        ),
    )
}

fn fragment(local: DateTime, component: char) -> i64 {
    let date = local.date();
    match component {
        'Y' => i64::from(date.year()),
        'M' => i64::from(date.month()),
        'D' => i64::from(date.day()),
        'd' => i64::from(date.day_of_year()),
        'F' => i64::from(date.weekday().to_monday_one_offset()),
        'W' => i64::from(date.iso_week_date().week()),
        'X' => i64::from(date.iso_week_date().year()),
        'w' => week_of_month(date).1,
        'x' => i64::from(week_of_month(date).0.month()),
        'H' => i64::from(local.hour()),
        'h' => i64::from((local.hour() + 11) % 12 + 1),
        'm' => i64::from(local.minute()),
        's' => i64::from(local.second()),
        'f' => i64::from(local.millisecond()),
        _ => 0,
    }
}

/// The month that a date's week belongs to, and the week's number in it: a week belongs to the
/// month of its Thursday.
fn week_of_month(date: Date) -> (Date, i64) {
    let ahead = i64::from(Weekday::Thursday.to_monday_one_offset())
        - i64::from(date.weekday().to_monday_one_offset());
    let thursday = date.saturating_add(ahead.days());
    (thursday, i64::from((thursday.day() - 1) / 7) + 1)
}

/// Reads `text` by a picture; components left of those given come from `now`, those right of them
/// are the least possible. `None` when the text does not fit.
fn read(text: &str, picture: &str, now: Timestamp) -> Result<Option<i64>, JsonataError> {
    let parts = parts(picture)?;
    let mut pattern = String::from("^");
    for part in &parts {
        match part {
            Part::Literal(literal) => pattern.push_str(&regex::escape(literal)),
            Part::Marker(marker) => pattern.push_str(&format!("({})", marker.pattern()?)),
        }
    }
    pattern.push('$');
    let regex = RegexBuilder::new(&pattern)
        .case_insensitive(true)
        .size_limit(MAX_REGEX_BYTES)
        .build()
        .map_err(|_| failure("D3136", "The date/time picture string is too long"))?;
    let Some(found) = regex.captures(text) else { return Ok(None) };
    let markers = parts.iter().filter_map(|part| match part {
        Part::Marker(marker) => Some(marker),
        Part::Literal(_) => None,
    });
    let mut given: Vec<(char, i64)> = Vec::new();
    for (marker, value) in markers.zip(found.iter().skip(1)) {
        let value = value.and_then(|value| marker.read(value.as_str()));
        given.extend(value.map(|value| (marker.component, value)));
    }
    if given.is_empty() {
        return Ok(None);
    }
    let has = |component: char| given.iter().any(|(found, _)| *found == component);
    let unsupported = (has('X') && (has('W') || has('F'))) || (has('x') && has('w'));
    let by_day = has('d') && !has('M') && !has('D');
    let date = if by_day { "Yd" } else { "YMD" };
    let time = if has('P') || has('h') { "Phmsf" } else { "Hmsf" };
    let now = Offset::UTC.to_datetime(now);
    let (mut started, mut ended) = (false, false);
    let mut value = |component: char| -> Result<i64, JsonataError> {
        match given.iter().rev().find(|(found, _)| *found == component) {
            Some(_) if ended => Err(missing()),
            Some((_, value)) => {
                started = true;
                Ok(*value)
            }
            None if started => {
                ended = true;
                Ok(i64::from("MDd".contains(component)))
            }
            None => Ok(match component {
                'P' => i64::from(now.hour() >= 12),
                other => fragment(now, other),
            }),
        }
    };
    if unsupported {
        return Err(missing());
    }
    let mut values = Vec::new();
    for component in date.chars().chain(time.chars()) {
        values.push((component, value(component)?));
    }
    let of =
        |component: char| values.iter().find(|(found, _)| *found == component).map_or(0, |(_, value)| *value);
    let hour = if time == "Phmsf" { of('h') % 12 + 12 * of('P') } else { of('H') };
    let (month, day) = if by_day { (1, of('d')) } else { (of('M').max(1), of('D')) };
    let offset = given.iter().find(|(found, _)| "Zz".contains(*found)).map_or(0, |(_, value)| *value);
    instant(of('Y'), month, day, [hour, of('m') - offset, of('s'), of('f')]).map(Some)
}

/// Components may exceed their range and carry over, as in JavaScript's `Date.UTC`.
fn instant(year: i64, month: i64, day: i64, time: [i64; 4]) -> Result<i64, JsonataError> {
    let out_of_range = || failure("D3136", "The date/time is out of range");
    let year = year.saturating_add((month - 1) / 12);
    let month = (month - 1) % 12 + 1;
    let first = Date::new(
        i16::try_from(year).map_err(|_| out_of_range())?,
        i8::try_from(month).map_err(|_| out_of_range())?,
        1,
    )
    .map_err(|_| out_of_range())?;
    let start = Offset::UTC.to_timestamp(first.to_datetime(Time::midnight()));
    let start = start.map_err(|_| out_of_range())?.as_millisecond();
    // Sums that no calendar can hold are refused rather than wrapped.
    let [hours, minutes, seconds, millis] = time.map(i128::from);
    let hours = (i128::from(day) - 1) * 24 + hours;
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis + i128::from(start);
    i64::try_from(total).map_err(|_| out_of_range())
}

fn missing() -> JsonataError {
    failure("D3136", "The date/time picture string is missing specifiers required to parse the timestamp")
}
