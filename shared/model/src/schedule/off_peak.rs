//! When the run of a tick starts: off-peak hours that it waits for, and the jitter that spreads the runs
//! of pipelines that tick together.

use super::set::Set;
use super::zone::Place;
use super::{DAY_MINUTES, Schedule, ScheduleError, Zone};
use crate::Instant;
use crate::ids::sha256_hex;
use crate::plan::{HoursPlan, OffPeakPlan};
use crate::time::MICROS;
use jiff::SignedDuration;
use jiff::civil::{Date, Time};

/// How many days ahead the next off-peak hours are looked for. They come every day; a clock change may
/// leave them out once.
const DAYS_AHEAD: usize = 3;

/// Off-peak hours, ready to be asked.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct OffPeak {
    open: u16,
    close: u16,
    all_day: Set,
}

impl OffPeak {
    pub(super) fn new(plan: &OffPeakPlan) -> Result<Self, ScheduleError> {
        let HoursPlan(open, close) = plan.hours;
        if open >= DAY_MINUTES || close > DAY_MINUTES || open == close {
            return Err(ScheduleError::Hours);
        }
        let all_day = plan.all_day.iter().fold(Set::EMPTY, |set, day| set.with(*day));
        Ok(Self { open, close, all_day })
    }

    fn is_whole(&self, date: Date) -> bool {
        self.all_day.contains(date.weekday().to_sunday_zero_offset() as u8)
    }

    fn contains(&self, at: Instant, zone: &Zone) -> bool {
        let local = zone.local(at);
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let within = match self.open < self.close {
            true => (self.open..self.close).contains(&minute),
            false => minute >= self.open || minute < self.close,
        };
        within || self.is_whole(local.date())
    }

    /// The moment itself if it is off-peak, else the next one that is.
    fn at_or_after(&self, at: Instant, zone: &Zone) -> Instant {
        if self.contains(at, zone) {
            return at;
        }
        let opens = |date: Date| {
            let midnight = date.to_datetime(Time::midnight());
            let local = midnight.checked_add(SignedDuration::from_mins(i64::from(self.open))).ok()?;
            let moment = match zone.place(local)? {
                Place::At(moment) => moment,
                Place::Skipped { ends_at, .. } => ends_at,
            };
            Some(Instant::from_timestamp(moment))
        };
        let days = zone.date_of(at).series(jiff::Span::new().days(1)).take(DAYS_AHEAD);
        let whole = |date: Date| zone.start_of_day(date).filter(|_| self.is_whole(date));
        let next = days.flat_map(|date| [whole(date), opens(date)]).flatten().filter(|moment| *moment > at);
        // Beyond the calendar nothing is worth waiting for.
        next.min().unwrap_or(at)
    }
}

impl Schedule {
    /// When the run of a tick may start: at the tick, or where that is not off-peak, when off-peak hours
    /// begin. A later tick never may before an earlier one.
    pub fn opens_at(&self, tick: Instant) -> Instant {
        self.off_peak.as_ref().map_or(tick, |hours| hours.at_or_after(tick, &self.zone))
    }

    /// How much later than that a run may start, in microseconds.
    pub const fn jitter_micros(&self) -> i64 {
        self.jitter_seconds as i64 * MICROS
    }

    /// How much later the runs of a pipeline start where nobody else spreads them: the same at each tick,
    /// so that runs keep their distance and their order, and another for each pipeline. In microseconds,
    /// whole seconds.
    pub fn offset_micros(&self, pipeline: &str) -> i64 {
        if self.jitter_seconds == 0 {
            return 0;
        }
        let digest = sha256_hex(pipeline);
        let number = u64::from_str_radix(&digest[..15], 16).unwrap_or(0);
        (number % self.jitter_seconds) as i64 * MICROS
    }
}
