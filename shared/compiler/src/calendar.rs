//! How often schedules tick in an average month.

use cauce_model::Instant;
use cauce_model::plan::{SchedulePlan, Tick};
use cauce_model::schedule::{Cron, Schedule};

/// The year that is counted: an ordinary one of 365 days, in which every weekday comes 52 or 53 times.
const YEAR: i16 = 2018;

/// Days of an average month, in a year of 365.
const DAYS_PER_MONTH: f64 = 365.0 / 12.0;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Runs that schedules start in an average month; `None` without schedules.
pub(crate) fn runs_per_month(schedules: &[SchedulePlan]) -> Option<f64> {
    let total: f64 = schedules.iter().map(|schedule| per_month(schedule).unwrap_or(0.0)).sum();
    (!schedules.is_empty()).then_some((total * 100.0).round() / 100.0)
}

/// `None` for what the checks refuse.
fn per_month(schedule: &SchedulePlan) -> Option<f64> {
    if schedule.calendar.is_some() {
        // Days of the week count; the dates that it names are of other years, and few.
        let schedule = Schedule::new(&SchedulePlan { start: None, end: None, ..schedule.clone() }).ok()?;
        let from = |year: i16| Instant::parse(&format!("{year}-01-01T00:00:00Z")).ok();
        return Some(schedule.intervals_ending(from(YEAR)?, from(YEAR + 1)?).count() as f64 / 12.0);
    }
    Some(match &schedule.every {
        Tick::Cron(cron) => Cron::parse(cron).ok()?.local_times_in(YEAR) as f64 / 12.0,
        Tick::RateSeconds(seconds) => DAYS_PER_MONTH * SECONDS_PER_DAY / (*seconds).max(1) as f64,
        Tick::Once(_) | Tick::Calendar { .. } => 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_common_schedules_in_a_year() {
        for (cron, ticks) in [
            ("0 2 * * *", 365),
            ("*/15 * * * *", 4 * 24 * 365),
            ("0 9-17 * * 1-5", 9 * 261),
            ("0 0 1 * *", 12),
            ("0 0 * * 0", 52),
            ("0 0 * * 7", 52),
            ("0 0 1 1 *", 1),
            ("0 0 */10 * *", 12 * 4 - 5),
            ("30 6,18 29 2 *", 0),
            ("0 2 * jan-mar mon", 13),
        ] {
            assert_eq!(Cron::parse(cron).unwrap().local_times_in(YEAR), ticks, "{cron}");
        }
    }

    #[test]
    fn both_day_fields_restricted_match_either() {
        // Twelve firsts, 52 Sundays; in a year that begins on a Monday, firsts that are Sundays are
        // counted once (April and July).
        assert_eq!(Cron::parse("0 0 1 * 0").unwrap().local_times_in(YEAR), 12 + 52 - 2);
    }
}
