//! The same schedule for EventBridge Scheduler.
//!
//! Its cron has six fields (the sixth is the year), counts days of the week from 1 (Sunday), and
//! wants `?` in exactly one of the two day fields.
//! Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>.

use super::cron::Field;
use super::set::Set;
use super::{Cron, Rhythm, Schedule};
use crate::time::MICROS;
use jiff::tz::TimeZone;

/// The longest expression that CreateSchedule takes.
/// Source: <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html>.
pub const EXPRESSION_CHARACTERS_MAX: usize = 256;

/// A schedule as CreateSchedule takes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchedulerExpression {
    /// `ScheduleExpression`: `cron(...)`, `rate(...)` or `at(...)`.
    pub expression: String,
    /// `ScheduleExpressionTimezone`.
    pub timezone: String,
}

impl Schedule {
    /// The schedules to create for this one: two where cron restricts both day fields, which are
    /// then the two halves of one schedule; a day that both allow is told apart by no one and makes
    /// one run, since a run is found by its tick.
    ///
    /// A calendar's closed days are not in them: the tick comes, and no run follows. Nor are days with
    /// hours of their own, whose ticks are among those that nobody else tells of.
    ///
    /// Scheduler leaves out local times that a clock change skips; see
    /// [`Schedule::is_moved_by_clock_change`]. A rate must be given a StartDate that is a multiple of
    /// its period since the epoch, or it counts from its own creation. Not verified on AWS: a list
    /// whose parts are ranges (`1-5,10`).
    pub fn to_eventbridge(&self) -> Vec<SchedulerExpression> {
        let (expressions, timezone) = match &self.rhythm {
            Rhythm::Cron(cron) => (cron.to_eventbridge(), self.zone.name()),
            Rhythm::Rate(period) => (vec![rate(*period / MICROS)], "UTC"),
            Rhythm::Once(at) => {
                let utc = TimeZone::UTC.to_datetime(at.to_timestamp());
                (vec![format!("at({})", utc.strftime("%Y-%m-%dT%H:%M:%S"))], "UTC")
            }
            Rhythm::Calendar { calendar, edge, minutes } => {
                let ordinary = calendar.ordinary(*edge, *minutes).filter(|(days, _)| days.len() > 0);
                let expression = ordinary.map(|(days, minute)| {
                    let days = list(days.raised(1), Field::DayOfWeek.all().raised(1));
                    // One of the two day fields has to be a question mark.
                    let days = if days == "*" { "1-7".to_owned() } else { days };
                    format!("cron({} {} ? * {days} *)", minute % 60, minute / 60)
                });
                (expression.into_iter().collect(), self.zone.name())
            }
        };
        expressions
            .into_iter()
            .map(|expression| SchedulerExpression { expression, timezone: timezone.to_owned() })
            .collect()
    }
}

impl Cron {
    /// One expression of six fields, or two where both day fields restrict.
    pub fn to_eventbridge(&self) -> Vec<String> {
        let minutes = list(self.minutes, Field::Minute.all());
        let hours = list(self.hours, Field::Hour.all());
        let days = list(self.days, Field::DayOfMonth.all());
        let months = list(self.months, Field::Month.all());
        let weekdays = list(self.weekdays.raised(1), Field::DayOfWeek.all().raised(1));
        let with_days =
            |days: &str, weekdays: &str| format!("cron({minutes} {hours} {days} {months} {weekdays} *)");
        match (self.restricts_days(), self.restricts_weekdays()) {
            (_, false) => vec![with_days(&days, "?")],
            (false, true) => vec![with_days("?", &weekdays)],
            (true, true) => vec![with_days(&days, "?"), with_days("?", &weekdays)],
        }
    }
}

/// `*`, or values and ranges with commas between. Ranges keep the longest within
/// [`EXPRESSION_CHARACTERS_MAX`].
fn list(set: Set, all: Set) -> String {
    if set == all {
        return "*".to_owned();
    }
    let mut parts = Vec::new();
    let mut next = set.first();
    while let Some(low) = next {
        let high = (low..64).take_while(|n| set.contains(*n)).last().unwrap_or(low);
        parts.push(match high - low {
            0 => low.to_string(),
            1 => format!("{low},{high}"),
            _ => format!("{low}-{high}"),
        });
        next = set.at_or_after(high + 1);
    }
    parts.join(",")
}

/// In the largest unit that fits, spelt in the singular for one.
fn rate(seconds: i64) -> String {
    let (count, unit) = match seconds {
        s if s % 86_400 == 0 => (s / 86_400, "day"),
        s if s % 3_600 == 0 => (s / 3_600, "hour"),
        s => (s / 60, "minute"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("rate({count} {unit}{plural})")
}
