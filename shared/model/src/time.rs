//! Instants. Durations are plain seconds with the unit in their name (`timeout_seconds`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A moment: microseconds since 1970-01-01T00:00:00Z, the resolution of everything stored or shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(i64);

/// Microseconds in a second.
pub const MICROS: i64 = 1_000_000;

impl Instant {
    /// The moment that many microseconds after the epoch (before it when negative).
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds later, saturating at the ends of time.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        let seconds =
            if seconds > i64::MAX as u64 / MICROS as u64 { i64::MAX } else { seconds as i64 * MICROS };
        Self(self.0.saturating_add(seconds))
    }

    /// Microseconds later (earlier when negative), saturating.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment; negative when `earlier` is in fact later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// To the second, in UTC, as people read it: `1997-01-05 02:00:00Z`.
    pub fn shown(self) -> String {
        self.to_timestamp().strftime("%Y-%m-%d %H:%M:%SZ").to_string()
    }

    /// The same moment for calendar arithmetic; clamped to the years that jiff knows.
    pub fn to_timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// The moment of a calendar timestamp, cut to microseconds.
    pub fn from_timestamp(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }

    /// The first moment, in microseconds, that is not before a calendar timestamp: so that a timer set
    /// for it never rings early.
    pub fn from_timestamp_up(timestamp: jiff::Timestamp) -> Self {
        let cut = Self(timestamp.as_microsecond());
        if cut.to_timestamp() < timestamp { cut.plus_micros(1) } else { cut }
    }

    /// Reads RFC 3339 (`1997-01-05T02:00:00Z`, any offset).
    ///
    /// # Errors
    /// A text that is not an RFC 3339 date and time.
    pub fn parse(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(Self::from_timestamp)
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC, always with six digits of a second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_timestamp())
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_to_the_microsecond_and_read_back() {
        let at = Instant::parse("1997-01-05T09:05:00.25-03:00").unwrap();
        assert_eq!(at.to_string(), "1997-01-05T12:05:00.250000Z");
        assert_eq!(serde_json::from_str::<Instant>(&serde_json::to_string(&at).unwrap()).unwrap(), at);
    }

    #[test]
    fn adding_saturates() {
        assert_eq!(Instant::from_micros(i64::MAX).plus_seconds(u64::MAX).micros(), i64::MAX);
    }
}
