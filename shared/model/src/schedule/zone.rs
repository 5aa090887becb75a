//! From local times to moments and back, through the clock changes of a zone.
//!
//! Laws, on which [`super::Schedule`] rests:
//! 1. a local time that a clock change repeats is the first of its two moments;
//! 2. a local time that a clock change skips has no moment; it knows the moment at which the
//!    skipped stretch ends, which is the same for all local times in it;
//! 3. so later local times are never earlier moments.
//!
//! Rules come from the copy of the IANA database that jiff carries, never from the machine.

use crate::Instant;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

/// A zone of the IANA database.
#[derive(Clone, PartialEq, Debug)]
pub struct Zone {
    rules: TimeZone,
    name: String,
}

/// There is no such zone.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no time zone `{name}`; write an IANA name such as UTC, Europe/Madrid or America/New_York")]
pub struct UnknownZone {
    /// As it was written.
    pub name: String,
}

/// What a local time is in a zone.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Place {
    /// It exists; the first of its moments.
    At(Timestamp),
    /// A clock change skips it.
    Skipped {
        /// The moment of the change.
        ends_at: Timestamp,
        /// What local clocks reach and do not show: the start of the skipped stretch.
        from: DateTime,
        /// What local clocks show instead: its end.
        to: DateTime,
    },
}

impl Zone {
    /// The zone of an IANA name, in any case.
    ///
    /// # Errors
    /// A name that the bundled database does not have.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let rules =
            TimeZoneDatabase::bundled().get(name).map_err(|_| UnknownZone { name: name.to_owned() })?;
        Ok(Self { name: rules.iana_name().unwrap_or(name).to_owned(), rules })
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The date that local calendars show at a moment.
    pub fn date_of(&self, at: Instant) -> Date {
        self.local(at).date()
    }

    /// What local clocks show at a moment.
    pub fn local(&self, at: Instant) -> DateTime {
        self.rules.to_datetime(at.to_timestamp())
    }

    /// The first moment of a local day: midnight, or the end of the clock change that skips it.
    /// `None` beyond the calendar.
    pub fn start_of_day(&self, date: Date) -> Option<Instant> {
        let moment = match self.place(date.to_datetime(jiff::civil::Time::midnight()))? {
            Place::At(at) => at,
            Place::Skipped { ends_at, .. } => ends_at,
        };
        Some(Instant::from_timestamp(moment))
    }

    /// Whether its clocks never change.
    pub(super) fn is_fixed(&self) -> bool {
        self.rules.to_fixed_offset().is_ok()
    }

    /// Where a local time lies; `None` beyond the calendar.
    pub(super) fn place(&self, local: DateTime) -> Option<Place> {
        let at = match self.rules.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local),
            AmbiguousOffset::Gap { before, after } => {
                // With the later offset the local time reads as a moment before the change, and no
                // other change lies between.
                let earlier = after.to_timestamp(local).ok()?;
                let ends_at = self.rules.following(earlier).next()?.timestamp();
                return Some(Place::Skipped {
                    ends_at,
                    from: before.to_datetime(ends_at),
                    to: after.to_datetime(ends_at),
                });
            }
        };
        at.ok().map(Place::At)
    }

    /// The first local time, on a whole minute, whose moment can lie after `after`.
    pub(super) fn first_local_after(&self, after: Timestamp) -> Option<DateTime> {
        match self.end_of_repetition(after) {
            Some(end) => whole_minute_at_or_after(end),
            None => floor_to_minute(self.rules.to_datetime(after)).checked_add(MINUTE).ok(),
        }
    }

    /// The last local time, on a whole minute, whose moment can lie at or before `at`.
    pub(super) fn last_local_until(&self, at: Timestamp) -> Option<DateTime> {
        match self.end_of_repetition(at) {
            Some(end) => last_minute_before(end),
            None => Some(floor_to_minute(self.rules.to_datetime(at))),
        }
    }

    /// Where a moment lies in the second passage of a repeated stretch: the local time that ends it.
    fn end_of_repetition(&self, at: Timestamp) -> Option<DateTime> {
        let offset = self.rules.to_offset(at);
        let local = offset.to_datetime(at);
        match self.rules.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { before, after } if offset == after => {
                let just_after = at.checked_add(SignedDuration::from_nanos(1)).ok()?;
                let change = self.rules.preceding(just_after).next()?;
                Some(before.to_datetime(change.timestamp()))
            }
            _ => None,
        }
    }
}

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

pub(super) fn floor_to_minute(local: DateTime) -> DateTime {
    local.with().second(0).subsec_nanosecond(0).build().unwrap_or(local)
}

pub(super) fn whole_minute_at_or_after(local: DateTime) -> Option<DateTime> {
    match floor_to_minute(local) {
        whole if whole == local => Some(whole),
        below => below.checked_add(MINUTE).ok(),
    }
}

pub(super) fn last_minute_before(local: DateTime) -> Option<DateTime> {
    match floor_to_minute(local) {
        whole if whole == local => whole.checked_sub(MINUTE).ok(),
        below => Some(below),
    }
}
