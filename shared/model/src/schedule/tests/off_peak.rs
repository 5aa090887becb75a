//! Off-peak hours against a clock that steps by the minute, and the spread of pipelines.

use super::{at, planned};
use crate::plan::{HoursPlan, OffPeakPlan, SchedulePlan};
use crate::schedule::{Schedule, ScheduleError};
use crate::time::MICROS;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

fn off_peak(hours: (u16, u16), all_day: &[u8], timezone: &str) -> Result<Schedule, ScheduleError> {
    let hours = HoursPlan(hours.0, hours.1);
    Schedule::new(&SchedulePlan {
        off_peak: Some(OffPeakPlan { hours, all_day: all_day.iter().copied().collect() }),
        ..planned("0 * * * *", timezone)
    })
}

#[test]
fn a_tick_outside_off_peak_hours_waits_for_the_next_minute_that_is_in_them() {
    let zone = "America/New_York";
    let rules = TimeZone::get(zone).unwrap();
    for (open, close, all_day) in
        [(22 * 60, 6 * 60, &[][..]), (60, 5 * 60 + 30, &[0, 6]), (18 * 60, 24 * 60, &[]), (0, 6 * 60, &[])]
    {
        let schedule = off_peak((open, close), all_day, zone).unwrap();
        let is_in = |moment: crate::Instant| {
            let local = moment.to_timestamp().to_zoned(rules.clone());
            let minute = local.hour() as u16 * 60 + local.minute() as u16;
            let night = minute >= open || minute < close;
            let within = if open < close { minute >= open && minute < close } else { night };
            within || all_day.contains(&(local.weekday().to_sunday_zero_offset() as u8))
        };
        // Over the days on which clocks go forward, and over an ordinary week with its weekend.
        for from in ["2025-03-08T12:00:00Z", "2026-01-07T00:00:00Z"] {
            let (mut tick, mut last) = (at(from), at(from));
            for _ in 0..5 * 24 * 4 {
                let mut expected = tick;
                while !is_in(expected) {
                    expected = expected.plus_seconds(60);
                }
                let opens_at = schedule.opens_at(tick);
                assert_eq!(opens_at, expected, "{tick} in {open}-{close}");
                assert!(opens_at >= last, "a later tick opens earlier");
                (last, tick) = (opens_at, tick.plus_seconds(900));
            }
        }
    }
}

#[test]
fn off_peak_hours_are_part_of_a_day() {
    for hours in [(60, 60), (1440, 60), (60, 1441)] {
        assert_eq!(off_peak(hours, &[], "UTC"), Err(ScheduleError::Hours), "{hours:?}");
    }
}

#[test]
fn pipelines_spread_over_the_jitter_and_each_keeps_its_own_time() {
    let jitter = SchedulePlan { jitter_seconds: Some(600), ..planned("0 2 * * *", "UTC") };
    let schedule = Schedule::new(&jitter).unwrap();
    let offsets: Vec<i64> = (0..1_000).map(|n| schedule.offset_micros(&format!("p{n}")) / MICROS).collect();
    assert!(offsets.iter().all(|seconds| (0..600).contains(seconds)));
    // Of a thousand in ten minutes about a hundred start in each; nowhere near all in one.
    for minute in 0..10 {
        let count = offsets.iter().filter(|seconds| **seconds / 60 == minute).count();
        assert!((60..=140).contains(&count), "{count} in minute {minute}");
    }
    assert!(offsets.iter().collect::<BTreeSet<_>>().len() > 450);
    assert_eq!(schedule.offset_micros("p1"), schedule.offset_micros("p1"));
    assert_eq!(Schedule::new(&planned("0 2 * * *", "UTC")).unwrap().offset_micros("p1"), 0);
}
