//! Clock changes, leap days, bounds and rates, one table row per expectation.

use super::{at, planned, schedule, shown};
use crate::plan::{DstGap, SchedulePlan, Tick};
use crate::schedule::{Schedule, ScheduleError};

/// The local times of the ticks after `from` up to and with `until`.
fn ticks(plan: &SchedulePlan, from: &str, until: &str) -> Vec<String> {
    let schedule = Schedule::new(plan).unwrap();
    schedule.ticks(at(from), at(until)).map(|tick| shown(&schedule, tick)).collect()
}

fn run_after(cron: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    ticks(&planned(cron, zone), from, until)
}

fn skip(cron: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    let mut plan = planned(cron, zone);
    plan.dst_gap = DstGap::Skip;
    ticks(&plan, from, until)
}

#[test]
fn a_skipped_time_ticks_when_the_gap_ends_or_not_at_all() {
    // New York, 10 March 2024: 02:00 EST becomes 03:00 EDT.
    let days = ("2024-03-09T12:00:00Z", "2024-03-11T12:00:00Z");
    assert_eq!(
        run_after("30 2 * * *", "America/New_York", days.0, days.1),
        ["2024-03-10T03:00-04:00", "2024-03-11T02:30-04:00"]
    );
    assert_eq!(skip("30 2 * * *", "America/New_York", days.0, days.1), ["2024-03-11T02:30-04:00"]);
    // Madrid, 31 March 2024: 02:00 CET becomes 03:00 CEST.
    let days = ("2024-03-30T12:00:00Z", "2024-04-01T00:30:00Z");
    assert_eq!(
        run_after("0 2 * * *", "Europe/Madrid", days.0, days.1),
        ["2024-03-31T03:00+02:00", "2024-04-01T02:00+02:00"]
    );
    assert_eq!(skip("0 2 * * *", "Europe/Madrid", days.0, days.1), ["2024-04-01T02:00+02:00"]);
}

#[test]
fn skipped_times_that_end_together_are_one_tick() {
    let night = ("2024-03-10T06:30:00Z", "2024-03-10T07:30:00Z");
    let expected = [
        "2024-03-10T01:45-05:00",
        "2024-03-10T03:00-04:00",
        "2024-03-10T03:15-04:00",
        "2024-03-10T03:30-04:00",
    ];
    let quarters = "*/15 * * * *";
    assert_eq!(run_after(quarters, "America/New_York", night.0, night.1), expected);
    // 03:00 is a time of its own here, so nothing is lost by leaving the others out.
    assert_eq!(skip(quarters, "America/New_York", night.0, night.1), expected);
    // Without one of its own, the times skipped still make one tick.
    assert_eq!(run_after("10,20 2 * * *", "America/New_York", night.0, night.1), ["2024-03-10T03:00-04:00"]);
}

#[test]
fn a_repeated_time_ticks_at_its_first_moment() {
    // New York, 3 November 2024: 02:00 EDT becomes 01:00 EST.
    assert_eq!(
        run_after("30 1 * * *", "America/New_York", "2024-11-03T00:00:00Z", "2024-11-04T12:00:00Z"),
        ["2024-11-03T01:30-04:00", "2024-11-04T01:30-05:00"]
    );
    // Madrid, 27 October 2024: 03:00 CEST becomes 02:00 CET.
    assert_eq!(
        run_after("0 2 * * *", "Europe/Madrid", "2024-10-26T12:00:00Z", "2024-10-28T12:00:00Z"),
        ["2024-10-27T02:00+02:00", "2024-10-28T02:00+01:00"]
    );
    // The end of the repeated stretch is not repeated.
    assert_eq!(
        run_after("0 3 * * *", "Europe/Madrid", "2024-10-26T12:00:00Z", "2024-10-27T12:00:00Z"),
        ["2024-10-27T03:00+01:00"]
    );
}

#[test]
fn frequent_ticks_are_silent_while_clocks_repeat_an_hour() {
    assert_eq!(
        run_after("*/30 * * * *", "America/New_York", "2024-11-03T04:59:00Z", "2024-11-03T07:30:00Z"),
        [
            "2024-11-03T01:00-04:00",
            "2024-11-03T01:30-04:00",
            "2024-11-03T02:00-05:00",
            "2024-11-03T02:30-05:00",
        ]
    );
    // Asked in the middle of the second passage, both neighbours lie outside of it.
    let schedule = schedule("*/30 * * * *", "America/New_York");
    let second_passage = at("2024-11-03T06:20:00Z");
    assert_eq!(shown(&schedule, schedule.next_tick(second_passage).unwrap()), "2024-11-03T02:00-05:00");
    assert_eq!(shown(&schedule, schedule.previous_tick(second_passage).unwrap()), "2024-11-03T01:30-04:00");
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    // 6 October 2024: 02:00 becomes 02:30. 7 April 2024: 02:00 becomes 01:30.
    assert_eq!(
        run_after("*/15 1-2 * * *", "Australia/Lord_Howe", "2024-10-05T15:10:00Z", "2024-10-05T16:00:00Z"),
        ["2024-10-06T01:45+10:30", "2024-10-06T02:30+11:00", "2024-10-06T02:45+11:00",]
    );
    assert_eq!(
        run_after("15 2 * * *", "Australia/Lord_Howe", "2024-10-05T12:00:00Z", "2024-10-06T12:00:00Z"),
        ["2024-10-06T02:30+11:00"]
    );
    assert_eq!(
        run_after("*/15 1-2 * * *", "Australia/Lord_Howe", "2024-04-06T14:20:00Z", "2024-04-06T15:45:00Z"),
        [
            "2024-04-07T01:30+11:00",
            "2024-04-07T01:45+11:00",
            "2024-04-07T02:00+10:30",
            "2024-04-07T02:15+10:30",
        ]
    );
}

#[test]
fn buenos_aires_has_no_clock_changes_today_and_had_them_in_2008() {
    assert_eq!(
        run_after(
            "0 9 * * *",
            "America/Argentina/Buenos_Aires",
            "2024-03-09T12:00:00Z",
            "2024-03-11T12:00:00Z"
        ),
        ["2024-03-10T09:00-03:00", "2024-03-11T09:00-03:00"]
    );
    // 19 October 2008: midnight becomes 01:00, so the day has no midnight; it keeps its tick.
    assert_eq!(
        run_after(
            "0 0 * * *",
            "America/Argentina/Buenos_Aires",
            "2008-10-18T12:00:00Z",
            "2008-10-20T12:00:00Z"
        ),
        ["2008-10-19T01:00-02:00", "2008-10-20T00:00-02:00"]
    );
    // 16 March 2008: midnight became 23:00 of the day before, which is repeated.
    assert_eq!(
        run_after(
            "30 23 * * *",
            "America/Argentina/Buenos_Aires",
            "2008-03-15T12:00:00Z",
            "2008-03-17T12:00:00Z"
        ),
        ["2008-03-15T23:30-02:00", "2008-03-16T23:30-03:00"]
    );
}

#[test]
fn a_day_that_a_zone_left_out_has_no_tick() {
    // Apia went from 29 to 31 December 2011.
    let expected = ["2011-12-29T09:00-10:00", "2011-12-31T09:00+14:00"];
    let days = ("2011-12-29T00:00:00Z", "2011-12-31T00:00:00Z");
    assert_eq!(run_after("0 9 * * *", "Pacific/Apia", days.0, days.1), expected);
    assert_eq!(skip("0 9 * * *", "Pacific/Apia", days.0, days.1), expected);
    // Toronto, 30 March 1919: 23:30 became 00:30 of the next day. The minutes of either day stay
    // in it, so those before midnight are left out.
    assert_eq!(
        run_after("45 23 * * *", "America/Toronto", "1919-03-30T12:00:00Z", "1919-04-01T12:00:00Z"),
        ["1919-03-31T23:45-04:00"]
    );
    assert_eq!(
        run_after("15 0 * * *", "America/Toronto", "1919-03-30T12:00:00Z", "1919-04-01T12:00:00Z"),
        ["1919-03-31T00:30-04:00", "1919-04-01T00:15-04:00"]
    );
    let both =
        run_after("15,45 0,23 * * *", "America/Toronto", "1919-03-31T03:00:00Z", "1919-03-31T05:00:00Z");
    assert_eq!(both, ["1919-03-30T23:15-05:00", "1919-03-31T00:30-04:00", "1919-03-31T00:45-04:00"]);
}

#[test]
fn ticks_that_eventbridge_leaves_out_are_known() {
    let schedule = schedule("30 2,3 * * *", "America/New_York");
    let moved: Vec<String> = schedule
        .ticks(at("2024-03-08T00:00:00Z"), at("2024-03-12T00:00:00Z"))
        .filter(|tick| schedule.is_moved_by_clock_change(*tick))
        .map(|tick| shown(&schedule, tick))
        .collect();
    assert_eq!(moved, ["2024-03-10T03:00-04:00"]);
    assert!(!schedule.is_moved_by_clock_change(at("2024-03-10T07:01:00Z")));
}

#[test]
fn leap_days() {
    let next = |cron: &str, after: &str| {
        let schedule = schedule(cron, "UTC");
        shown(&schedule, schedule.next_tick(at(after)).unwrap())
    };
    assert_eq!(next("0 0 29 2 *", "2024-02-29T00:00:00Z"), "2028-02-29T00:00+00:00");
    // 2100 is no leap year.
    assert_eq!(next("0 0 29 2 *", "2096-02-29T00:00:00Z"), "2104-02-29T00:00+00:00");
    assert_eq!(next("0 0 28-31 2 *", "2023-02-28T00:00:00Z"), "2024-02-28T00:00+00:00");
    assert_eq!(next("59 23 31 12 *", "2024-06-01T00:00:00Z"), "2024-12-31T23:59+00:00");
    let schedule = schedule("0 0 29 2 *", "UTC");
    assert_eq!(schedule.previous_tick(at("2103-12-31T00:00:00Z")), Some(at("2096-02-29T00:00:00Z")));
}

#[test]
fn a_tick_is_found_from_inside_its_minute() {
    let schedule = schedule("5 * * * *", "UTC");
    let tick = at("2024-01-01T10:05:00Z");
    assert_eq!(schedule.next_tick(tick.plus_micros(-1)), Some(tick));
    assert_eq!(schedule.next_tick(tick), Some(tick.plus_seconds(3_600)));
    assert_eq!(schedule.previous_tick(tick), Some(tick));
    assert_eq!(schedule.previous_tick(tick.plus_micros(1)), Some(tick));
    assert_eq!(schedule.previous_tick(tick.plus_micros(-1)), Some(tick.plus_micros(-3_600_000_000)));
}

#[test]
fn bounds_take_their_start_and_leave_out_their_end() {
    let mut plan = planned("0 0 * * *", "UTC");
    plan.start = Some(at("2024-01-02T00:00:00Z"));
    plan.end = Some(at("2024-01-04T00:00:00Z"));
    assert_eq!(
        ticks(&plan, "2023-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        ["2024-01-02T00:00+00:00", "2024-01-03T00:00+00:00"]
    );
    let schedule = Schedule::new(&plan).unwrap();
    assert_eq!(schedule.previous_tick(at("2025-01-01T00:00:00Z")), Some(at("2024-01-03T00:00:00Z")));
    assert_eq!(schedule.previous_tick(at("2024-01-01T12:00:00Z")), None);
    plan.end = plan.start;
    assert!(matches!(Schedule::new(&plan), Err(ScheduleError::Bounds { .. })));
}

#[test]
fn rates_count_from_the_epoch_and_once_is_once() {
    let mut plan = planned("0 0 * * *", "America/New_York");
    plan.every = Tick::RateSeconds(5 * 3_600);
    let schedule = Schedule::new(&plan).unwrap();
    let tick = schedule.next_tick(at("2024-03-10T00:00:00Z")).unwrap();
    assert_eq!(tick.micros() % (5 * 3_600 * 1_000_000), 0);
    assert_eq!(schedule.next_tick(tick), Some(tick.plus_seconds(5 * 3_600)));
    assert_eq!(schedule.previous_tick(tick), Some(tick));
    // Before the epoch too.
    assert_eq!(schedule.next_tick(at("1969-12-31T23:00:00Z")), Some(at("1970-01-01T00:00:00Z")));
    assert_eq!(schedule.previous_tick(at("1969-12-31T23:00:00Z")), Some(at("1969-12-31T19:00:00Z")));

    let moment = at("2024-05-01T10:00:00Z");
    plan.every = Tick::Once(moment);
    let once = Schedule::new(&plan).unwrap();
    assert_eq!(once.next_tick(moment.plus_micros(-1)), Some(moment));
    assert_eq!(once.next_tick(moment), None);
    assert_eq!(once.previous_tick(moment), Some(moment));
    assert_eq!(once.previous_tick(moment.plus_micros(-1)), None);
}

#[test]
fn impossible_schedules_are_refused() {
    let refused = |change: fn(&mut SchedulePlan)| {
        let mut plan = planned("0 0 * * *", "UTC");
        change(&mut plan);
        Schedule::new(&plan).unwrap_err()
    };
    let error = refused(|plan| plan.timezone = "Europe/Madird".into());
    assert_eq!(
        error.to_string(),
        "there is no time zone `Europe/Madird`; write an IANA name such as UTC, Europe/Madrid or America/New_York"
    );
    for seconds in [0, 30, 61] {
        let mut plan = planned("0 0 * * *", "UTC");
        plan.every = Tick::RateSeconds(seconds);
        assert_eq!(Schedule::new(&plan), Err(ScheduleError::Rate { seconds }));
    }
    let error = refused(|plan| plan.every = Tick::RateSeconds(u64::MAX / 60 * 60));
    assert!(matches!(error, ScheduleError::RateTooLong { .. }));
    let error = refused(|plan| plan.every = Tick::Cron("0 0 30 2 *".into()));
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "no month that it names has a day 30, so it never ticks");
}

#[test]
fn the_ends_of_the_calendar_end_the_ticks() {
    let schedule = schedule("0 0 1 1 *", "America/New_York");
    let forever = crate::Instant::from_micros(i64::MAX);
    assert_eq!(schedule.next_tick(forever), None);
    assert!(schedule.previous_tick(forever).is_some());
    let never = crate::Instant::from_micros(i64::MIN);
    assert_eq!(schedule.previous_tick(never), None);
    assert!(schedule.next_tick(never).is_some());
}
