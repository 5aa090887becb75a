//! When a pipeline ticks, which data each tick covers, and what its runs are called.
//!
//! What this is: the time semantics of the product, pure. The clock is an argument, zones come from
//! the IANA database inside the program.
//! What it never does: read a clock or the machine's zones, start anything, know anybody's holidays: a
//! calendar is part of the plan.
//! Where to start reading: [`Schedule`], then [`Dating`]; [`cron`] reads the expressions, [`zone`]
//! holds the laws of clock changes, `docs/decisions/0005-cron.md` says why this is our own code.
//!
//! Invariants, each held by a test against an oracle that steps through a year by the minute:
//! 1. Cron is read in the local time of the schedule's zone. A local time is one tick or none.
//! 2. A local time repeated by a clock change ticks at its first moment only. So `*/15 * * * *` is
//!    silent through a repeated hour, as EventBridge Scheduler documents ("runs only once"); a
//!    pipeline that must not pause uses a rate, or UTC.
//! 3. A local time skipped by a clock change ticks at the moment the skipped stretch ends, or not
//!    at all (`dst_gap: skip`). Several that end there, and a tick of that very time, are one tick.
//! 4. A tick never leaves its local day: a skipped time whose stretch ends on another day (a day
//!    that a zone left out to change sides of the date line) is left out with it. Hence a schedule
//!    of one time a day has at most one tick per local day, and a date can name its run.
//! 5. A calendar takes ticks' runs away, or is the rhythm; it never moves a tick of another rhythm.
//! 6. Jitter and off-peak hours move the start of a tick's run, never the tick, its data or its name.
//! 7. Ticks lie in `[start, end)` of the schedule and strictly increase.

pub mod cron;
pub mod zone;

mod calendar;
mod catchup;
mod civil;
mod dating;
mod eventbridge;
mod interval;
mod off_peak;
mod set;
mod tick;

#[cfg(test)]
mod tests;

pub use calendar::DAY_MINUTES;
pub use cron::{Cron, CronError, CronProblem};
pub use dating::{Dating, DayError};
pub use eventbridge::{EXPRESSION_CHARACTERS_MAX, SchedulerExpression};
pub use interval::Interval;
pub use zone::{UnknownZone, Zone};

use crate::Instant;
use crate::plan::{CalendarFilter, Catchup, DstGap, Edge, SchedulePlan, Tick};
use crate::time::MICROS;
use calendar::Calendar;
use off_peak::OffPeak;

/// The longest period of a rate: a century of 365.25 days, in seconds.
pub const RATE_SECONDS_MAX: u64 = 36_525 * 86_400;

/// A schedule that was checked and made ready to be asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    rhythm: Rhythm,
    zone: Zone,
    data_interval: bool,
    start: Option<Instant>,
    end: Option<Instant>,
    catchup: Catchup,
    dst_gap: DstGap,
    /// Which intervals have a run.
    filter: Option<(Calendar, CalendarFilter)>,
    jitter_seconds: u64,
    off_peak: Option<OffPeak>,
}

#[derive(Clone, PartialEq, Debug)]
enum Rhythm {
    Cron(Cron),
    /// Microseconds between ticks, counted from the epoch.
    Rate(i64),
    Once(Instant),
    /// An edge of the calendar's days, moved by minutes of local time.
    Calendar {
        calendar: Calendar,
        edge: Edge,
        minutes: i32,
    },
}

/// Why a schedule cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Its cron expression.
    #[error("`{text}` is no cron expression")]
    Cron {
        /// As it was written.
        text: String,
        /// What is wrong, and where in the text.
        #[source]
        problem: CronError,
    },
    /// Its time zone.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// A rate that is no whole number of minutes: ticks inside one minute would share a run id, and
    /// EventBridge Scheduler knows no shorter unit.
    /// Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>.
    #[error("a rate of {seconds} seconds is not possible; it is a whole number of minutes, at least one")]
    Rate {
        /// As it was written.
        seconds: u64,
    },
    /// A rate that would hardly tick twice.
    #[error("a rate of {seconds} seconds is longer than a century")]
    RateTooLong {
        /// As it was written.
        seconds: u64,
    },
    /// Hours of a calendar that do not lie within a day, or end before they begin.
    #[error("the hours of a calendar begin before they end, and lie within a day")]
    Hours,
    /// A date of a calendar.
    #[error("`{text}` is no date")]
    Date {
        /// As it was written.
        text: String,
    },
    /// A schedule by the edges of a calendar that is not there, or that has no hours on any day.
    #[error("a schedule by opening or closing needs a calendar with hours")]
    NoHours,
    /// Nothing lies between its bounds.
    #[error("the schedule ends ({end}) before it starts ({start}); no tick lies between")]
    Bounds {
        /// Its first possible moment.
        start: Instant,
        /// The moment from which on it does not tick.
        end: Instant,
    },
}

impl Schedule {
    /// Checks a planned schedule and makes it ready.
    ///
    /// # Errors
    /// An expression, zone, rate or pair of bounds that cannot be.
    pub fn new(plan: &SchedulePlan) -> Result<Self, ScheduleError> {
        if let (Some(start), Some(end)) = (plan.start, plan.end)
            && end <= start
        {
            return Err(ScheduleError::Bounds { start, end });
        }
        let mut zone = Zone::named(&plan.timezone)?;
        let calendar = plan.calendar.as_ref().map(|plan| Calendar::new(plan, &zone)).transpose()?;
        let rhythm = Rhythm::of(&plan.every, calendar.as_ref())?;
        if let Rhythm::Calendar { calendar, .. } = &rhythm {
            zone = calendar.zone().clone();
        }
        let by_edges = matches!(rhythm, Rhythm::Calendar { .. });
        let filters = plan.calendar.as_ref().map(|plan| plan.filters);
        Ok(Self {
            rhythm,
            zone,
            filter: calendar.filter(|_| !by_edges).zip(filters),
            data_interval: plan.data_interval,
            start: plan.start,
            end: plan.end,
            catchup: plan.catchup,
            dst_gap: plan.dst_gap,
            jitter_seconds: plan.jitter_seconds.unwrap_or(0),
            off_peak: plan.off_peak.as_ref().map(OffPeak::new).transpose()?,
        })
    }

    /// The zone in which cron and dates are read.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether no local day can have two ticks, told from the schedule alone. The form of run ids
    /// depends on it, so it never depends on a date.
    pub fn is_at_most_daily(&self) -> bool {
        const DAY: i64 = 86_400 * MICROS;
        match &self.rhythm {
            Rhythm::Cron(cron) => cron.is_at_most_daily(),
            // Local days of 25 hours hold two ticks that lie 24 hours apart.
            Rhythm::Rate(period) => *period >= if self.zone.is_fixed() { DAY } else { 2 * DAY },
            Rhythm::Once(_) => true,
            Rhythm::Calendar { calendar, edge, minutes } => calendar.stays_in_its_day(*edge, *minutes),
        }
    }
}

impl Rhythm {
    fn of(tick: &Tick, calendar: Option<&Calendar>) -> Result<Self, ScheduleError> {
        match tick {
            Tick::Cron(text) => match Cron::parse(text) {
                Ok(cron) => Ok(Self::Cron(cron)),
                Err(problem) => Err(ScheduleError::Cron { text: text.clone(), problem }),
            },
            Tick::RateSeconds(seconds) if *seconds == 0 || seconds % 60 != 0 => {
                Err(ScheduleError::Rate { seconds: *seconds })
            }
            Tick::RateSeconds(seconds) if *seconds > RATE_SECONDS_MAX => {
                Err(ScheduleError::RateTooLong { seconds: *seconds })
            }
            Tick::RateSeconds(seconds) => Ok(Self::Rate(*seconds as i64 * MICROS)),
            Tick::Once(at) => Ok(Self::Once(*at)),
            Tick::Calendar { edge, minutes } => match calendar.filter(|calendar| calendar.has_hours()) {
                Some(calendar) => {
                    Ok(Self::Calendar { calendar: calendar.clone(), edge: *edge, minutes: *minutes })
                }
                None => Err(ScheduleError::NoHours),
            },
        }
    }
}
