//! The data that a run covers: the stretch between two ticks, named by its start.
//!
//! This is the rule of Airflow 2: the run of an interval fires at the interval's end. The first
//! tick of a schedule closes no interval, so it fires nothing. Snapshot schedules
//! (`data_interval: none`) and one-time schedules have empty intervals at their ticks.

use super::calendar::CLOSED_DAYS_MAX;
use super::{Rhythm, Schedule};
use crate::Instant;
use crate::time::MICROS;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The half-open range of data that one run covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// What identifies the run; equal to `start`.
    pub logical_date: Instant,
    /// The first moment of the data.
    pub start: Instant,
    /// The first moment after the data. The run fires here, the tick for deadlines too.
    pub end: Instant,
}

impl Interval {
    /// From one moment to a later one.
    pub const fn between(start: Instant, end: Instant) -> Self {
        Self { logical_date: start, start, end }
    }

    /// No data, at a moment.
    pub const fn empty_at(at: Instant) -> Self {
        Self::between(at, at)
    }
}

/// How far past the end of a local day a moment of that day can lie: a zone whose clocks go back
/// over midnight shows yesterday's date again.
const DAY_MAY_RETURN_SECONDS: u64 = 86_400;

/// How far ahead and back an open day of a calendar is looked for.
const CLOSED_MICROS_MAX: i64 = CLOSED_DAYS_MAX as i64 * 86_400 * MICROS;

impl Schedule {
    /// The interval that a tick closes, whose run fires at it. `None` where `tick` is none of the
    /// schedule's ticks, or is the first, or the calendar is closed.
    pub fn interval_ending_at(&self, tick: Instant) -> Option<Interval> {
        if !self.is_tick(tick) {
            return None;
        }
        let interval = match self.is_snapshot() {
            true => Interval::empty_at(tick),
            false => Interval::between(self.previous_tick(tick.plus_micros(-1))?, tick),
        };
        Some(interval).filter(|interval| self.admits(interval))
    }

    /// The interval that a tick opens: the one of this logical date. `None` where `tick` is none of
    /// the schedule's ticks, or is the last, or the calendar is closed.
    pub fn interval_starting_at(&self, tick: Instant) -> Option<Interval> {
        if !self.is_tick(tick) {
            return None;
        }
        let interval = match self.is_snapshot() {
            true => Interval::empty_at(tick),
            false => Interval::between(tick, self.next_tick(tick)?),
        };
        Some(interval).filter(|interval| self.admits(interval))
    }

    /// The newest interval that has ended at `now`.
    pub fn newest_complete(&self, now: Instant) -> Option<Interval> {
        let near = |tick: &Instant| !self.has_calendar() || now.micros_since(*tick) <= CLOSED_MICROS_MAX;
        self.ticks_back(now).take_while(near).find_map(|tick| self.interval_ending_at(tick))
    }

    /// The next interval to end after `after`; its `end` is when to wake.
    pub fn next_to_end(&self, after: Instant) -> Option<Interval> {
        let horizon = match self.has_calendar() {
            true => after.plus_micros(CLOSED_MICROS_MAX),
            false => Instant::from_micros(i64::MAX),
        };
        self.intervals_ending(after, horizon).next()
    }

    /// The intervals that end later than `after`, up to and with `until`, in order: what fires then.
    pub fn intervals_ending(&self, after: Instant, until: Instant) -> impl Iterator<Item = Interval> + '_ {
        self.ticks(after, until).filter_map(|tick| self.interval_ending_at(tick))
    }

    /// The intervals that start on the local days from `from` to `to`, both included, in order. It
    /// does not matter whether they have ended.
    pub fn intervals_between(&self, from: Date, to: Date) -> impl Iterator<Item = Interval> + '_ {
        let after = self.zone.start_of_day(from).map(|at| at.plus_micros(-1));
        let until = (to.tomorrow().ok())
            .and_then(|day| self.zone.start_of_day(day))
            .map(|at| at.plus_seconds(DAY_MAY_RETURN_SECONDS));
        after
            .zip(until)
            .into_iter()
            .flat_map(|(after, until)| self.ticks(after, until))
            .filter(move |tick| (from..=to).contains(&self.ds(*tick)))
            .filter_map(|tick| self.interval_starting_at(tick))
    }

    /// The date of a logical date, in the schedule's zone.
    pub fn ds(&self, logical_date: Instant) -> Date {
        self.zone.date_of(logical_date)
    }

    fn is_snapshot(&self) -> bool {
        // A single tick has no neighbour to reach to, and would never fire.
        !self.data_interval || matches!(self.rhythm, Rhythm::Once(_))
    }
}
