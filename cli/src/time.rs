//! Moments and durations as people read and write them.

use cauce_model::Instant;
use cauce_model::time::MICROS;

use crate::error::Failure;

/// `0.25s`, `12.3s`, `4m08s`, `2h05m`, `3d04h`.
pub(crate) fn duration(micros: i64) -> String {
    let tenths = micros.max(0) / (MICROS / 10);
    let seconds = tenths / 10;
    match seconds {
        0 => format!("{:.2}s", micros.max(0) as f64 / MICROS as f64),
        1..60 => format!("{seconds}.{}s", tenths % 10),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A moment to the second, in UTC: `1997-01-05 02:00:00Z`.
pub(crate) fn moment(at: Instant) -> String {
    at.shown()
}

/// Reads a moment (RFC 3339), or a date as its midnight in UTC.
///
/// # Errors
/// A text that is neither.
pub(crate) fn read(option: &str, text: &str) -> Result<Instant, Failure> {
    let midnight = || Instant::parse(&format!("{text}T00:00:00Z"));
    Instant::parse(text).or_else(|_| midnight()).map_err(|_| {
        Failure::bad_input(format!("{option} '{text}' is neither a date nor a moment"))
            .help("write 1997-01-05 or 1997-01-05T02:00:00Z")
    })
}

/// How far back is looked when nobody says from when on, in days.
const DAYS: i64 = 7;

const DAY_MICROS: i64 = 24 * 3600 * MICROS;

/// From when on is looked: what `--since` says, else a week back.
///
/// # Errors
/// A text that is no moment.
pub(crate) fn since(text: Option<&str>, now: Instant) -> Result<Instant, Failure> {
    match text {
        Some(text) => read("--since", text),
        None => Ok(Instant::from_micros(now.micros() - DAYS * DAY_MICROS)),
    }
}

/// The days of a range in UTC, the newest first.
pub(crate) fn days(since: Instant, now: Instant) -> impl Iterator<Item = String> {
    let day_of = |at: Instant| at.micros().div_euclid(DAY_MICROS);
    (day_of(since)..=day_of(now))
        .rev()
        .map(|day| Instant::from_micros(day * DAY_MICROS).to_timestamp().strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    #[test]
    fn a_range_has_its_days_the_newest_first() {
        let days: Vec<String> = days(at("1997-02-27T23:59:59.999999Z"), at("1997-03-01T00:00:00Z")).collect();
        assert_eq!(days, ["1997-03-01", "1997-02-28", "1997-02-27"]);
        assert_eq!(super::days(at("1997-03-02T00:00:00Z"), at("1997-03-01T00:00:00Z")).count(), 0);
    }

    #[test]
    fn durations_keep_two_figures_that_matter() {
        let shown: Vec<String> = [0, 250_000, 12_340_000, 248_000_000, 7_500_000_000, 273_600_000_000]
            .map(duration)
            .into_iter()
            .collect();
        assert_eq!(shown, ["0.00s", "0.25s", "12.3s", "4m08s", "2h05m", "3d04h"]);
    }

    #[test]
    fn a_date_is_its_midnight() {
        assert_eq!(read("--since", "1997-01-05").unwrap().to_string(), "1997-01-05T00:00:00.000000Z");
        assert!(read("--since", "yesterday").is_err());
    }
}
