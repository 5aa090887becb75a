//! The filters that templates may use beside Jinja's own: dates, paths, JSON.
//!
//! A date is text: `1997-01-05`, or an instant such as `1997-01-05T09:05:00Z`. A date stays a date
//! and an instant stays an instant, in UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::engine::is_absent;

/// Jinja's own filters, without those that only make sense for pages.
const STANDARD: [&str; 43] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "zip",
];
const OURS: [&str; 14] = [
    "add_days",
    "add_hours",
    "add_months",
    "basename",
    "days_until",
    "dirname",
    "end_of_month",
    "extension",
    "format",
    "fromjson",
    "join_path",
    "start_of_month",
    "stem",
    "weekday",
];

/// Every filter that templates may use.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    STANDARD.into_iter().chain(OURS)
}

pub(crate) fn install(environment: &mut Environment<'static>) {
    for name in ["default", "d"] {
        environment.add_filter(name, |value: &Value, other: Option<Value>, lax: Option<bool>| {
            let is_wanting = is_absent(value) || lax.unwrap_or(false) && !value.is_true();
            if is_wanting { other.unwrap_or_else(|| Value::from("")) } else { value.clone() }
        });
    }
    environment.add_test("defined", |value: &Value| !is_absent(value));
    environment.add_test("undefined", is_absent);
    environment.add_filter("add_days", |when: &str, days: i64| add(when, Span::new().try_days(days)));
    environment.add_filter("add_hours", |when: &str, hours: i64| match Moment::parse(when)? {
        Moment::Date(_) => Err(fail(format!("`{when}` is a day without a time: add_hours needs an instant"))),
        Moment::Instant(_) => add(when, Span::new().try_hours(hours)),
    });
    environment.add_filter("add_months", |when: &str, months: i64| add(when, Span::new().try_months(months)));
    environment.add_filter("start_of_month", |when: &str| month(when, Date::first_of_month));
    environment.add_filter("end_of_month", |when: &str| month(when, Date::last_of_month));
    environment.add_filter("weekday", |when: &str| {
        Moment::parse(when).map(|moment| moment.date().weekday().to_monday_one_offset())
    });
    environment.add_filter("days_until", |from: &str, to: &str| {
        let (from, to) = (Moment::parse(from)?.date(), Moment::parse(to)?.date());
        from.until(to).map(|span| span.get_days()).map_err(|error| fail(error.to_string()))
    });
    environment.add_filter("format", format);
    environment.add_filter("basename", |path: &str| basename(path).to_owned());
    environment.add_filter("dirname", |path: &str| {
        let path = path.trim_end_matches('/');
        path.rfind('/').map_or(String::new(), |at| path[..at].to_owned())
    });
    environment.add_filter("stem", |path: &str| {
        let name = basename(path);
        split_extension(name).map_or(name, |(stem, _)| stem).to_owned()
    });
    environment.add_filter("extension", |path: &str| {
        split_extension(basename(path)).map_or(String::new(), |(_, extension)| extension.to_owned())
    });
    environment.add_filter("join_path", |base: &str, rest: &str| {
        format!("{}/{}", base.trim_end_matches('/'), rest.trim_start_matches('/'))
    });
    environment.add_filter("fromjson", |text: &str| {
        serde_json::from_str::<serde_json::Value>(text)
            .map(|value| Value::from(Serde(value)))
            .map_err(|error| fail(format!("fromjson: {error}")))
    });
}

enum Moment {
    Date(Date),
    Instant(Timestamp),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, Error> {
        if text.contains('T') { text.parse().map(Self::Instant) } else { text.parse().map(Self::Date) }
            .map_err(|_| {
                fail(format!("`{text}` is neither a date (1997-01-05) nor an instant (1997-01-05T09:05:00Z)"))
            })
    }

    fn date(&self) -> Date {
        match self {
            Self::Date(date) => *date,
            Self::Instant(instant) => instant.to_zoned(TimeZone::UTC).date(),
        }
    }
}

fn add(when: &str, span: Result<Span, jiff::Error>) -> Result<String, Error> {
    let out_of_range = |error: jiff::Error| fail(error.to_string());
    let span = span.map_err(out_of_range)?;
    Ok(match Moment::parse(when)? {
        Moment::Date(date) => date.checked_add(span).map_err(out_of_range)?.to_string(),
        Moment::Instant(instant) => {
            instant.to_zoned(TimeZone::UTC).checked_add(span).map_err(out_of_range)?.timestamp().to_string()
        }
    })
}

fn month(when: &str, edge: fn(Date) -> Date) -> Result<String, Error> {
    Moment::parse(when).map(|moment| edge(moment.date()).to_string())
}

fn format(when: &str, pattern: &str) -> Result<String, Error> {
    let zoned = match Moment::parse(when)? {
        Moment::Date(date) => date.to_zoned(TimeZone::UTC).map_err(|error| fail(error.to_string()))?,
        Moment::Instant(instant) => instant.to_zoned(TimeZone::UTC),
    };
    jiff::fmt::strtime::format(pattern, &zoned).map_err(|error| fail(format!("format: `{pattern}`: {error}")))
}

fn basename(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rfind('/').map_or(path, |at| &path[at + 1..])
}

/// `a.tar.gz` is `a.tar` and `gz`; a leading dot starts no extension.
fn split_extension(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())
}

fn fail(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
