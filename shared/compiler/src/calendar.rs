//! How often schedules tick in an average month.

use cauce_model::plan::{SchedulePlan, Tick};

/// Days of an average month, in a year of 365.
const DAYS_PER_MONTH: f64 = 365.0 / 12.0;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Runs that schedules start in an average month; `None` without schedules.
pub(crate) fn runs_per_month(schedules: &[SchedulePlan]) -> Option<f64> {
    let ticks = schedules.iter().map(|schedule| match &schedule.every {
        Tick::Cron(cron) => cron_ticks_per_year(cron) as f64 / 12.0,
        Tick::RateSeconds(seconds) => DAYS_PER_MONTH * SECONDS_PER_DAY / (*seconds).max(1) as f64,
        Tick::Once(_) => 0.0,
    });
    let total: f64 = ticks.sum();
    (!schedules.is_empty()).then_some((total * 100.0).round() / 100.0)
}

const MONTH_LENGTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Ticks of five numeric fields in a year of 365 days that begins on a Monday. A day matches when
/// either day field does, if both are restricted.
fn cron_ticks_per_year(cron: &str) -> u64 {
    let fields: Vec<&str> = cron.split(' ').collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return 0;
    };
    let matching = |field: &str, low: u32, high: u32| {
        (low..=high).filter(|&value| matches(field, value, high)).count() as u64
    };
    let mut days = 0;
    let mut of_week = 1;
    for (index, length) in MONTH_LENGTHS.iter().enumerate() {
        for date in 1..=*length {
            let by_date = matches(day, date, 31);
            // Sunday is 0 and 7.
            let by_week = matches(weekday, of_week, 7) || of_week == 0 && matches(weekday, 7, 7);
            let day_matches = match (day, weekday) {
                ("*", _) | (_, "*") => by_date && by_week,
                _ => by_date || by_week,
            };
            days += u64::from(day_matches && matches(month, index as u32 + 1, 12));
            of_week = (of_week + 1) % 7;
        }
    }
    matching(minute, 0, 59) * matching(hour, 0, 23) * days
}

/// Whether a field of numbers, ranges, lists and steps holds a value.
fn matches(field: &str, value: u32, high: u32) -> bool {
    field.split(',').any(|item| {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse().unwrap_or(1)),
            None => (item, 1),
        };
        let stepped = item.contains('/');
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (0, high),
            Some((from, to)) => (number(from), number(to)),
            None if stepped => (number(range), high),
            None => (number(range), number(range)),
        };
        // `*/n` counts from the field's lowest value, which is 1 for days and months.
        let from = if range == "*" && (high == 31 || high == 12) { 1 } else { from };
        value >= from && value <= to && (value - from).is_multiple_of(step)
    })
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or(u32::MAX)
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
        ] {
            assert_eq!(cron_ticks_per_year(cron), ticks, "{cron}");
        }
    }

    #[test]
    fn both_day_fields_restricted_match_either() {
        // Twelve firsts, 52 Sundays; in a year that begins on a Monday, firsts that are Sundays are
        // counted once (April and July).
        assert_eq!(cron_ticks_per_year("0 0 1 * 0"), 12 + 52 - 2);
    }
}
