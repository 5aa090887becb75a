//! Tables for what people expect, laws for random schedules, and two second opinions: an oracle that
//! steps through a year by the minute, and the `croner` crate for the grammar.

mod calendar;
mod cron;
mod interval;
mod laws;
mod naming;
mod off_peak;
mod zone;

use super::Schedule;
use crate::Instant;
use crate::plan::{Catchup, DstGap, SchedulePlan, Tick};

/// A cron schedule with data intervals and no bounds.
pub(super) fn planned(cron: &str, timezone: &str) -> SchedulePlan {
    SchedulePlan {
        case: None,
        every: Tick::Cron(cron.to_owned()),
        timezone: timezone.to_owned(),
        data_interval: true,
        start: None,
        end: None,
        catchup: Catchup::Last,
        dst_gap: DstGap::RunAfter,
        calendar: None,
        jitter_seconds: None,
        off_peak: None,
    }
}

pub(super) fn schedule(cron: &str, timezone: &str) -> Schedule {
    Schedule::new(&planned(cron, timezone)).unwrap()
}

pub(super) fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// What `jiff` prints for the local clock, to the minute: `2024-03-10T03:00-04:00`.
pub(super) fn shown(schedule: &Schedule, tick: Instant) -> String {
    let zone = jiff::tz::TimeZone::get(schedule.zone().name()).unwrap();
    let local = tick.to_timestamp().to_zoned(zone);
    local.strftime("%Y-%m-%dT%H:%M%:z").to_string()
}
