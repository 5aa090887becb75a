//! How often schedules tick in an average month.

use cauce_model::plan::{SchedulePlan, Tick};
use cauce_model::schedule::Cron;

/// The year that is counted: an ordinary one of 365 days, in which every weekday comes 52 or 53 times.
const YEAR: i16 = 2018;

/// Days of an average month, in a year of 365.
const DAYS_PER_MONTH: f64 = 365.0 / 12.0;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Runs that schedules start in an average month; `None` without schedules.
pub(crate) fn runs_per_month(schedules: &[SchedulePlan]) -> Option<f64> {
    let ticks = schedules.iter().map(|schedule| match &schedule.every {
        // The checks refuse an expression that cannot be read.
        Tick::Cron(cron) => Cron::parse(cron).map_or(0.0, |cron| cron.local_times_in(YEAR) as f64 / 12.0),
        Tick::RateSeconds(seconds) => DAYS_PER_MONTH * SECONDS_PER_DAY / (*seconds).max(1) as f64,
        Tick::Once(_) => 0.0,
    });
    let total: f64 = ticks.sum();
    (!schedules.is_empty()).then_some((total * 100.0).round() / 100.0)
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
