//! Run ids, dates, and what a date names.

use super::{at, planned};
use crate::Plan;
use crate::plan::{SchedulePlan, Tick};
use crate::schedule::{Dating, DayError, Interval};
use jiff::civil::date;

fn dating(schedules: Vec<SchedulePlan>, timezone: &str) -> Dating {
    Dating::of(&Plan { schedules, timezone: timezone.to_owned(), ..Plan::default() }).unwrap()
}

fn with_cron(cron: &str, timezone: &str) -> Dating {
    dating(vec![planned(cron, timezone)], "UTC")
}

#[test]
fn a_date_names_a_run_where_a_day_has_one_tick() {
    let daily = with_cron("0 2 * * *", "UTC");
    assert_eq!(daily.run_id(None, at("1997-01-05T02:00:00Z")), "1997-01-05");
    assert_eq!(daily.run_id(Some("acme"), at("1997-01-05T02:00:00Z")), "acme-1997-01-05");
    let monthly = with_cron("@monthly", "America/New_York");
    assert_eq!(monthly.run_id(None, at("2024-07-01T04:00:00Z")), "2024-07-01");
    let hourly = with_cron("5 * * * *", "America/New_York");
    assert_eq!(hourly.run_id(None, at("1997-01-05T09:05:00Z")), "1997-01-05T0905Z");
    // Two ticks a day on one day of the year are two ticks a day.
    let rare = with_cron("0 0,12 1 1 *", "UTC");
    assert_eq!(rare.run_id(None, at("1997-01-01T12:00:00Z")), "1997-01-01T1200Z");
}

#[test]
fn rates_of_a_day_are_told_apart_where_local_days_can_have_25_hours() {
    let rate = |seconds: u64, zone: &str| {
        let mut plan = planned("0 0 * * *", zone);
        plan.every = Tick::RateSeconds(seconds);
        dating(vec![plan], "UTC").run_id(None, at("2024-10-27T00:00:00Z"))
    };
    assert_eq!(rate(86_400, "UTC"), "2024-10-27");
    assert_eq!(rate(86_400, "Atlantic/Azores"), "2024-10-27T0000Z");
    assert_eq!(rate(172_800, "Atlantic/Azores"), "2024-10-27");
    assert_eq!(rate(43_200, "UTC"), "2024-10-27T0000Z");
}

#[test]
fn two_schedules_are_told_apart_by_time() {
    let both = dating(vec![planned("0 2 * * *", "UTC"), planned("0 8 * * *", "UTC")], "UTC");
    assert_eq!(both.run_id(None, at("1997-01-05T02:00:00Z")), "1997-01-05T0200Z");
    assert!(
        Dating::of(&Plan {
            schedules: vec![planned("0 2 * * *", "UTC"), planned("0 2 * *", "UTC")],
            timezone: "UTC".to_owned(),
            ..Plan::default()
        })
        .is_err()
    );
}

#[test]
fn the_date_is_the_local_one() {
    let evening = with_cron("30 22 * * *", "America/New_York");
    let tick = at("2024-01-06T03:30:00Z");
    assert_eq!(evening.ds(tick), date(2024, 1, 5));
    assert_eq!(evening.run_id(None, tick), "2024-01-05");
    assert_eq!(
        evening.interval_of_day(date(2024, 1, 5)).unwrap(),
        Interval::between(tick, at("2024-01-07T03:30:00Z"))
    );
}

#[test]
fn a_date_without_its_interval_says_which_are_near() {
    let weekly = with_cron("0 0 * * mon", "UTC");
    let error = weekly.interval_of_day(date(2024, 1, 3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no data interval of the schedule starts on 2024-01-03; the nearest are 2024-01-01 and 2024-01-08"
    );
    let hourly = with_cron("0 * * * *", "UTC");
    let error = hourly.interval_of_day(date(2024, 1, 3)).unwrap_err();
    assert!(matches!(error, DayError::Several { count: 24, .. }), "{error}");
    let error = weekly.interval_at(at("2024-01-01T00:01:00Z")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no data interval of the schedule starts at 2024-01-01T00:01:00.000000Z; the nearest are \
         2024-01-01T00:00:00.000000Z and 2024-01-08T00:00:00.000000Z"
    );
    let monday = weekly.interval_at(at("2024-01-01T00:00:00Z")).unwrap();
    assert_eq!(monday.end, at("2024-01-08T00:00:00Z"));

    let mut plan = planned("0 0 * * *", "UTC");
    plan.end = Some(at("2024-01-03T00:00:01Z"));
    let ended = dating(vec![plan], "UTC");
    // The last tick, on the 3rd, closes the interval of the 2nd and opens none.
    assert_eq!(
        ended.interval_of_day(date(2024, 1, 3)).unwrap_err().to_string(),
        "no data interval of the schedule starts on 2024-01-03; the last is 2024-01-02"
    );
    assert_eq!(
        ended.interval_of_day(date(2024, 1, 9)).unwrap_err().to_string(),
        "no data interval of the schedule starts on 2024-01-09; the last is 2024-01-02"
    );
}

#[test]
fn without_a_schedule_a_date_is_its_midnight() {
    let unscheduled = dating(vec![], "America/Argentina/Buenos_Aires");
    let midnight = at("1997-01-05T03:00:00Z");
    assert_eq!(unscheduled.interval_of_day(date(1997, 1, 5)), Ok(Interval::empty_at(midnight)));
    assert_eq!(unscheduled.run_id(None, midnight), "1997-01-05");
    let other = at("1997-01-05T09:05:30Z");
    assert_eq!(unscheduled.interval_at(other), Ok(Interval::empty_at(other)));
    assert_eq!(unscheduled.run_id(None, other), "1997-01-05T0905Z");
    assert_eq!(unscheduled.intervals_between(date(1997, 1, 1), date(1997, 1, 31)).len(), 31);

    // A day without a midnight starts an hour later; a day that never was is no day.
    let changed = unscheduled.interval_of_day(date(2008, 10, 19)).unwrap();
    assert_eq!(changed.start, at("2008-10-19T03:00:00Z"));
    assert_eq!(unscheduled.run_id(None, changed.start), "2008-10-19");
    let apia = dating(vec![], "Pacific/Apia");
    assert_eq!(apia.intervals_between(date(2011, 12, 29), date(2011, 12, 31)).len(), 2);
}
