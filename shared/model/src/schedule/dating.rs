//! What the runs of a pipeline are dated and called, with a schedule or without.

use super::{Interval, Schedule, ScheduleError, Zone};
use crate::{Instant, Plan};
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How the runs of one pipeline are dated: by its first schedule; without one, by days of the
/// pipeline's time zone.
#[derive(Clone, PartialEq, Debug)]
pub struct Dating {
    zone: Zone,
    schedule: Option<Schedule>,
    /// Whether a date alone tells two scheduled runs apart.
    named_by_day: bool,
}

/// Why a date or a moment names no run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DayError {
    /// No data interval starts on the day.
    #[error("no data interval of the schedule starts on {date}{}", nearest(*before, *after))]
    None {
        /// The day.
        date: Date,
        /// The last day before on which one starts.
        before: Option<Date>,
        /// The first day after on which one starts.
        after: Option<Date>,
    },
    /// Several start on the day.
    #[error(
        "{count} data intervals of the schedule start on {date}; name one by its time, from {first} to {last}"
    )]
    Several {
        /// The day.
        date: Date,
        /// How many.
        count: usize,
        /// The logical date of the first.
        first: Instant,
        /// The logical date of the last.
        last: Instant,
    },
    /// No data interval starts at the moment.
    #[error("no data interval of the schedule starts at {at}{}", nearest(*before, *after))]
    OffSchedule {
        /// The moment.
        at: Instant,
        /// The last logical date before.
        before: Option<Instant>,
        /// The first logical date after.
        after: Option<Instant>,
    },
    /// The day lies beyond the years that can be reckoned with.
    #[error("{date} is beyond the calendar")]
    Beyond {
        /// The day.
        date: Date,
    },
}

fn nearest<T: std::fmt::Display>(before: Option<T>, after: Option<T>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("; the nearest are {before} and {after}"),
        (Some(before), None) => format!("; the last is {before}"),
        (None, Some(after)) => format!("; the first is {after}"),
        (None, None) => "; it has none at all".to_owned(),
    }
}

impl Dating {
    /// The dating of a pipeline's runs. Every schedule is checked, the first one counts.
    ///
    /// # Errors
    /// A schedule or a time zone that cannot be.
    pub fn of(plan: &Plan) -> Result<Self, ScheduleError> {
        Self::of_case(plan, plan.schedules.first().and_then(|schedule| schedule.case.as_deref()))
    }

    /// The dating of the runs of a case's items, by the first schedule of the case.
    ///
    /// # Errors
    /// A schedule or a time zone that cannot be.
    pub fn of_case(plan: &Plan, case: Option<&str>) -> Result<Self, ScheduleError> {
        let of_case = plan.schedules.iter().filter(|schedule| schedule.case.as_deref() == case);
        let mut schedules = of_case.map(Schedule::new).collect::<Result<Vec<_>, _>>()?;
        let named_by_day = match &schedules[..] {
            [] => true,
            [only] => only.is_at_most_daily(),
            // Two schedules can tick on one day, however rarely each of them does.
            _ => false,
        };
        let schedule = (!schedules.is_empty()).then(|| schedules.swap_remove(0));
        let zone = match &schedule {
            Some(schedule) => schedule.zone().clone(),
            None => Zone::named(&plan.timezone)?,
        };
        Ok(Self { zone, schedule, named_by_day })
    }

    /// The schedule that gives runs their data interval.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// The zone of `ds` and of dates without a time.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// What a date without a time names: the one data interval that starts on that day; without a
    /// schedule, an empty one at the day's midnight.
    ///
    /// # Errors
    /// A day on which no interval starts, or several.
    pub fn interval_of_day(&self, date: Date) -> Result<Interval, DayError> {
        let Some(schedule) = &self.schedule else {
            let midnight = self.zone.start_of_day(date);
            return midnight.map(Interval::empty_at).ok_or(DayError::Beyond { date });
        };
        let intervals: Vec<Interval> = schedule.intervals_between(date, date).collect();
        match intervals[..] {
            [only] => Ok(only),
            [first, .., last] => Err(DayError::Several {
                date,
                count: intervals.len(),
                first: first.logical_date,
                last: last.logical_date,
            }),
            [] => {
                let day = |tick: Option<Instant>| tick.map(|tick| schedule.ds(tick));
                let start = self.zone.start_of_day(date).ok_or(DayError::Beyond { date })?;
                Err(DayError::None {
                    date,
                    before: day(schedule.last_opening_before(start)),
                    after: day(schedule.first_opening_after(start)),
                })
            }
        }
    }

    /// What a logical date with a time names: the interval that starts at that very moment; without
    /// a schedule, an empty one there.
    ///
    /// # Errors
    /// A moment at which no interval starts.
    pub fn interval_at(&self, at: Instant) -> Result<Interval, DayError> {
        let Some(schedule) = &self.schedule else {
            return Ok(Interval::empty_at(at));
        };
        schedule.interval_starting_at(at).ok_or_else(|| DayError::OffSchedule {
            at,
            before: schedule.last_opening_before(at),
            after: schedule.first_opening_after(at),
        })
    }

    /// What a range of dates names, both included: every data interval that starts in it; without a
    /// schedule, one empty interval per day. In order.
    pub fn intervals_between(&self, from: Date, to: Date) -> Vec<Interval> {
        match &self.schedule {
            Some(schedule) => schedule.intervals_between(from, to).collect(),
            None => {
                let mut days: Vec<Interval> = std::iter::successors(Some(from), |day| day.tomorrow().ok())
                    .take_while(|day| *day <= to)
                    .filter_map(|day| self.zone.start_of_day(day))
                    .map(Interval::empty_at)
                    .collect();
                // A day that the zone left out starts where the next one does.
                days.dedup();
                days
            }
        }
    }

    /// The date of a run, as templates see it: the first local day of its data.
    pub fn ds(&self, logical_date: Instant) -> Date {
        self.zone.date_of(logical_date)
    }

    /// The id of a dated run, whatever triggered it: `1997-01-05` where no day can have two, else
    /// `1997-01-05T0905Z` (in UTC, to the minute; no colon, which execution names refuse). A matrix
    /// item goes before it: `acme-1997-01-05`.
    ///
    /// The date alone is the local date of the schedule. Without a schedule, only midnights of the
    /// pipeline's zone go by their date.
    pub fn run_id(&self, item: Option<&str>, logical_date: Instant) -> String {
        let local = self.zone.date_of(logical_date);
        let by_day = self.named_by_day
            && (self.schedule.is_some() || self.zone.start_of_day(local) == Some(logical_date));
        let date = if by_day {
            local.to_string()
        } else {
            let utc = TimeZone::UTC.to_datetime(logical_date.to_timestamp());
            format!("{}T{:02}{:02}Z", utc.date(), utc.hour(), utc.minute())
        };
        match item {
            Some(item) => format!("{item}-{date}"),
            None => date,
        }
    }
}

impl Schedule {
    fn last_opening_before(&self, at: Instant) -> Option<Instant> {
        // The very last tick of a schedule opens nothing, the one before it does.
        self.ticks_back(at.plus_micros(-1)).take(2).find(|tick| self.interval_starting_at(*tick).is_some())
    }

    fn first_opening_after(&self, at: Instant) -> Option<Instant> {
        self.next_tick(at).filter(|tick| self.interval_starting_at(*tick).is_some())
    }
}
