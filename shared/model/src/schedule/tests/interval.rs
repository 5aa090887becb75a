//! Data intervals and what is made up for.

use super::{at, planned, schedule};
use crate::Instant;
use crate::plan::{Catchup, Tick};
use crate::schedule::{Interval, Schedule};
use jiff::civil::date;

fn between(start: &str, end: &str) -> Interval {
    Interval::between(at(start), at(end))
}

#[test]
fn an_interval_runs_from_tick_to_tick_and_is_named_by_its_start() {
    let daily = schedule("0 2 * * *", "UTC");
    let interval = between("1997-01-05T02:00:00Z", "1997-01-06T02:00:00Z");
    assert_eq!(daily.interval_ending_at(interval.end), Some(interval));
    assert_eq!(daily.interval_starting_at(interval.start), Some(interval));
    assert_eq!(daily.interval_ending_at(at("1997-01-06T02:01:00Z")), None);
    assert_eq!(daily.interval_starting_at(at("1997-01-05T00:00:00Z")), None);
    assert_eq!(daily.newest_complete(interval.end), Some(interval));
    assert_eq!(
        daily.newest_complete(interval.end.plus_micros(-1)),
        Some(between("1997-01-04T02:00:00Z", "1997-01-05T02:00:00Z"))
    );
    assert_eq!(daily.next_to_end(interval.start), Some(interval));
    assert_eq!(interval.logical_date, interval.start);
}

#[test]
fn snapshots_and_single_moments_cover_nothing() {
    let mut plan = planned("0 0 1 1,7 *", "UTC");
    plan.data_interval = false;
    let snapshot = Schedule::new(&plan).unwrap();
    let tick = at("2024-07-01T00:00:00Z");
    assert_eq!(snapshot.interval_ending_at(tick), Some(Interval::empty_at(tick)));
    assert_eq!(snapshot.interval_starting_at(tick), Some(Interval::empty_at(tick)));
    assert_eq!(snapshot.newest_complete(at("2024-12-31T00:00:00Z")), Some(Interval::empty_at(tick)));

    plan.data_interval = true;
    plan.every = Tick::Once(tick);
    let once = Schedule::new(&plan).unwrap();
    assert_eq!(once.next_to_end(Instant::default()), Some(Interval::empty_at(tick)));
}

#[test]
fn an_interval_over_a_clock_change_is_shorter_or_longer_and_leaves_no_hole() {
    let daily = schedule("30 2 * * *", "America/New_York");
    let hours: Vec<i64> = daily
        .intervals_between(date(2024, 3, 8), date(2024, 3, 11))
        .map(|interval| interval.end.micros_since(interval.start) / 60_000_000)
        .collect();
    // The tick of 10 March is at 03:00 EDT, half an hour after the usual moment.
    assert_eq!(hours, [1_440, 1_410, 1_410, 1_440]);
}

#[test]
fn dates_name_the_intervals_that_start_on_them() {
    let hourly = schedule("0 */6 * * *", "Europe/Madrid");
    let starts: Vec<String> = hourly
        .intervals_between(date(2024, 3, 31), date(2024, 3, 31))
        .map(|interval| interval.start.to_timestamp().to_string())
        .collect();
    assert_eq!(
        starts,
        ["2024-03-30T23:00:00Z", "2024-03-31T04:00:00Z", "2024-03-31T10:00:00Z", "2024-03-31T16:00:00Z"]
    );
    let january = schedule("0 2 * * *", "UTC");
    let intervals: Vec<Interval> = january.intervals_between(date(1997, 1, 1), date(1997, 1, 31)).collect();
    assert_eq!(intervals.len(), 31);
    assert!(intervals.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!(january.intervals_between(date(1997, 1, 2), date(1997, 1, 1)).count(), 0);
    let weekly = schedule("0 0 * * mon", "UTC");
    assert_eq!(weekly.intervals_between(date(2024, 1, 2), date(2024, 1, 7)).count(), 0);
}

#[test]
fn moments_that_show_yesterdays_date_again_belong_to_it() {
    // St. John's went from 00:01 back to 23:01 of the day before.
    let mut plan = planned("0 0 * * *", "America/St_Johns");
    plan.every = Tick::RateSeconds(600);
    let schedule = Schedule::new(&plan).unwrap();
    let of = |day| schedule.intervals_between(date(2010, 11, day), date(2010, 11, day)).count();
    // 7 November had its first minute, with a tick, before the last hour of 6 November came again.
    assert_eq!((of(6), of(7)), (25 * 6 - 1, 24 * 6 + 1));
}

#[test]
fn a_bounded_schedule_has_intervals_within_its_bounds_only() {
    let mut plan = planned("0 0 * * *", "UTC");
    plan.start = Some(at("2024-01-02T00:00:00Z"));
    plan.end = Some(at("2024-01-04T00:00:01Z"));
    plan.catchup = Catchup::All;
    let schedule = Schedule::new(&plan).unwrap();
    let expected = [
        between("2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"),
        between("2024-01-03T00:00:00Z", "2024-01-04T00:00:00Z"),
    ];
    let found: Vec<Interval> = schedule.intervals_between(date(2023, 12, 1), date(2024, 2, 1)).collect();
    assert_eq!(found, expected);
    // The first tick closes no interval.
    assert_eq!(schedule.next_to_end(at("2023-01-01T00:00:00Z")), Some(expected[0]));
    assert_eq!(schedule.next_to_end(at("2024-01-04T00:00:00Z")), None);
    let ending = schedule.intervals_ending(at("2023-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z"));
    assert_eq!(ending.collect::<Vec<_>>(), expected);
}

#[test]
fn catchup_makes_up_for_as_many_as_it_says() {
    let due = |catchup: Catchup, last_fired: &str, now: &str| -> Vec<String> {
        let mut plan = planned("0 0 * * *", "UTC");
        plan.catchup = catchup;
        let schedule = Schedule::new(&plan).unwrap();
        let wanted_after = schedule.caught_up_after(at(last_fired), at(now), 60_000_000);
        schedule
            .intervals_ending(wanted_after, at(now))
            .map(|interval| interval.end.to_timestamp().to_string()[..10].to_owned())
            .collect()
    };
    let (fired, now) = ("2024-01-01T00:00:00Z", "2024-01-04T12:00:00Z");
    assert!(due(Catchup::None, fired, now).is_empty());
    assert_eq!(due(Catchup::Last, fired, now), ["2024-01-04"]);
    assert_eq!(due(Catchup::Newest(2), fired, now), ["2024-01-03", "2024-01-04"]);
    assert_eq!(due(Catchup::All, fired, now), ["2024-01-02", "2024-01-03", "2024-01-04"]);
    assert_eq!(due(Catchup::Newest(9), fired, now).len(), 3);
    // A tick that is less than a minute old was not missed.
    let on_time = "2024-01-04T00:00:59.999999Z";
    assert_eq!(due(Catchup::None, fired, on_time), ["2024-01-04"]);
    assert_eq!(due(Catchup::Newest(0), fired, on_time), ["2024-01-04"]);
    assert_eq!(due(Catchup::Newest(2), fired, on_time), ["2024-01-03", "2024-01-04"]);
    assert!(due(Catchup::None, fired, "2024-01-04T00:01:00Z").is_empty());
    // What was fired is not fired again.
    assert!(due(Catchup::All, "2024-01-04T00:00:00Z", on_time).is_empty());
}
