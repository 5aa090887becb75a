//! Calendars: filters, edges, days with hours of their own; against clocks that step by the minute.

use super::{at, planned};
use crate::Instant;
use crate::plan::{CalendarFilter, CalendarPlan, Edge, HoursPlan, SchedulePlan, Tick};
use crate::schedule::{Schedule, ScheduleError};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

const NEW_YORK: &str = "America/New_York";

fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

/// The New York Stock Exchange around Thanksgiving 2026.
/// Source: <https://www.nyse.com/markets/hours-calendars>.
fn exchange(filters: CalendarFilter) -> CalendarPlan {
    CalendarPlan {
        filters,
        timezone: Some(NEW_YORK.to_owned()),
        weekdays: (1..=5).collect(),
        without: texts(["2026-11-26", "2026-12-25"]),
        with: BTreeSet::new(),
        hours: Some(HoursPlan(9 * 60 + 30, 16 * 60)),
        special: BTreeMap::from([("2026-11-27".to_owned(), HoursPlan(9 * 60 + 30, 13 * 60))]),
    }
}

fn by_edge(edge: Edge, minutes: i32) -> SchedulePlan {
    SchedulePlan {
        case: None,
        every: Tick::Calendar { edge, minutes },
        calendar: Some(exchange(CalendarFilter::DataDay)),
        ..planned("0 0 * * *", "UTC")
    }
}

fn fires(plan: &SchedulePlan, after: &str, until: &str) -> Vec<String> {
    let schedule = Schedule::new(plan).unwrap();
    schedule.intervals_ending(at(after), at(until)).map(|interval| interval.end.to_string()).collect()
}

#[test]
fn a_business_day_has_its_run_and_a_weekend_has_none() {
    let mut plan = planned("0 2 * * *", NEW_YORK);
    plan.calendar = Some(exchange(CalendarFilter::DataDay));
    let schedule = Schedule::new(&plan).unwrap();
    let days = |from: Date, to: Date| -> Vec<String> {
        schedule.intervals_between(from, to).map(|interval| schedule.ds(interval.start).to_string()).collect()
    };
    // Wednesday to Tuesday: neither Thanksgiving nor the weekend.
    let found = days(jiff::civil::date(2026, 11, 25), jiff::civil::date(2026, 12, 1));
    assert_eq!(found, ["2026-11-25", "2026-11-27", "2026-11-30", "2026-12-01"]);
    // Friday's data are complete on Saturday, and its run fires then.
    let newest = schedule.newest_complete(at("2026-11-30T12:00:00Z")).unwrap();
    assert_eq!(newest.end, at("2026-11-28T07:00:00Z"));
    assert_eq!(schedule.next_to_end(newest.end).unwrap().end, at("2026-12-01T07:00:00Z"));
    // By the moment of firing instead: Wednesday's data would fire on the holiday.
    plan.calendar = Some(exchange(CalendarFilter::FireTime));
    plan.every = Tick::Cron("0 10 * * *".to_owned());
    assert_eq!(
        fires(&plan, "2026-11-25T00:00:00Z", "2026-12-01T00:00:00Z"),
        ["2026-11-25T15:00:00.000000Z", "2026-11-27T15:00:00.000000Z", "2026-11-30T15:00:00.000000Z"]
    );
}

#[test]
fn hours_filter_the_moment_of_firing() {
    let mut plan = planned("0 * * * *", NEW_YORK);
    plan.calendar = Some(exchange(CalendarFilter::FireTime));
    let hours = |from: &str, to: &str| -> Vec<i8> {
        let zone = TimeZone::get(NEW_YORK).unwrap();
        let fired = fires(&plan, from, to);
        fired.iter().map(|text| at(text).to_timestamp().to_zoned(zone.clone()).hour()).collect()
    };
    // Closing time itself is closed, and the short day ends at one.
    assert_eq!(hours("2026-11-25T05:00:00Z", "2026-11-26T05:00:00Z"), [10, 11, 12, 13, 14, 15]);
    assert_eq!(hours("2026-11-27T05:00:00Z", "2026-11-28T05:00:00Z"), [10, 11, 12]);
}

#[test]
fn edges_tick_on_open_days_in_the_calendars_own_zone() {
    // Half an hour before the opening: clocks go forward on 8 March.
    assert_eq!(
        fires(&by_edge(Edge::Open, -30), "2026-03-06T00:00:00Z", "2026-03-10T00:00:00Z"),
        ["2026-03-06T14:00:00.000000Z", "2026-03-09T13:00:00.000000Z"]
    );
    // A quarter of an hour after the closing, which comes early once.
    assert_eq!(
        fires(&by_edge(Edge::Close, 15), "2026-11-25T00:00:00Z", "2026-12-01T00:00:00Z"),
        ["2026-11-25T21:15:00.000000Z", "2026-11-27T18:15:00.000000Z", "2026-11-30T21:15:00.000000Z"]
    );
}

/// What a clock on the wall says, without the code's search: at each minute of a year, is it that many
/// minutes after the edge of the day that this belongs to?
fn by_the_minute(edge: Edge, minutes: i32) -> Vec<Instant> {
    let zone = TimeZone::get(NEW_YORK).unwrap();
    let open = |date: Date| {
        let weekday = date.weekday().to_monday_zero_offset() < 5;
        weekday && !["2026-11-26", "2026-12-25"].contains(&date.to_string().as_str())
    };
    let edge_of = |date: Date| match edge {
        Edge::Open => 570,
        Edge::Close if date.to_string() == "2026-11-27" => 780,
        Edge::Close => 960,
    };
    let from = at("2026-01-10T00:00:00Z").micros() / 60_000_000;
    let mut found = Vec::new();
    let mut last = None;
    for minute in from..from + 354 * 1440 {
        let moment = Instant::from_micros(minute * 60_000_000);
        let local = moment.to_timestamp().to_zoned(zone.clone()).datetime();
        for shift in [-1, 0, 1] {
            let date = local.date().checked_add(jiff::Span::new().days(shift)).unwrap();
            let passed = i32::from(local.hour()) * 60 + i32::from(local.minute()) - shift * 1440;
            // A local time that comes twice ticks the first time.
            if open(date) && edge_of(date) + minutes == passed && last != Some(local) {
                found.push(moment);
                last = Some(local);
            }
        }
    }
    found
}

#[test]
fn edges_tick_when_a_clock_on_the_wall_says_so() {
    // 02:30 does not exist on 8 March (moved: left to the table above), so no offset leads there.
    for (edge, minutes) in
        [(Edge::Open, 0), (Edge::Open, -30), (Edge::Close, 90), (Edge::Open, -600), (Edge::Close, 1000)]
    {
        let expected = by_the_minute(edge, minutes);
        let schedule = Schedule::new(&by_edge(edge, minutes)).unwrap();
        let (first, last) = (expected[0], expected[expected.len() - 1]);
        let forward: Vec<Instant> = schedule.ticks(first.plus_micros(-1), last).collect();
        assert_eq!(forward, expected, "{edge:?} {minutes}");
        let mut back: Vec<Instant> = schedule.ticks_back(last).take_while(|tick| *tick >= first).collect();
        back.reverse();
        assert_eq!(back, expected, "{edge:?} {minutes}, backwards");
    }
}

#[test]
fn eventbridge_is_given_the_ordinary_days() {
    let expressions = |edge, minutes| {
        let expressions = Schedule::new(&by_edge(edge, minutes)).unwrap().to_eventbridge();
        expressions.into_iter().map(|one| format!("{} {}", one.expression, one.timezone)).collect::<Vec<_>>()
    };
    assert_eq!(expressions(Edge::Open, -30), ["cron(0 9 ? * 2-6 *) America/New_York"]);
    // Ten hours before the opening is the evening before.
    assert_eq!(expressions(Edge::Open, -600), ["cron(30 23 ? * 1-5 *) America/New_York"]);
    assert_eq!(expressions(Edge::Close, 600), ["cron(0 2 ? * 3-7 *) America/New_York"]);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut plan = by_edge(Edge::Open, 0);
    plan.calendar = None;
    assert_eq!(Schedule::new(&plan), Err(ScheduleError::NoHours));
    let mut calendar = exchange(CalendarFilter::DataDay);
    calendar.hours = Some(HoursPlan(600, 600));
    plan.calendar = Some(calendar.clone());
    assert_eq!(Schedule::new(&plan), Err(ScheduleError::Hours));
    calendar.hours = Some(HoursPlan(600, 700));
    calendar.without = texts(["2026-02-30"]);
    plan.calendar = Some(calendar);
    assert!(matches!(Schedule::new(&plan), Err(ScheduleError::Date { .. })));
}

#[test]
fn a_calendar_that_never_opens_ends_the_search() {
    let mut calendar = exchange(CalendarFilter::DataDay);
    calendar.weekdays.clear();
    calendar.special.clear();
    let mut plan = planned("0 2 * * *", "UTC");
    plan.calendar = Some(calendar.clone());
    let schedule = Schedule::new(&plan).unwrap();
    assert_eq!(schedule.next_to_end(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(schedule.newest_complete(at("2026-01-01T00:00:00Z")), None);
    let edges = SchedulePlan { calendar: Some(calendar), ..by_edge(Edge::Open, 0) };
    let schedule = Schedule::new(&edges).unwrap();
    assert_eq!(schedule.next_tick(at("2026-01-01T00:00:00Z")), None);
    assert!(schedule.to_eventbridge().is_empty());
}

#[test]
fn a_day_with_one_edge_names_its_run_by_date() {
    assert!(Schedule::new(&by_edge(Edge::Open, -30)).unwrap().is_at_most_daily());
    assert!(!Schedule::new(&by_edge(Edge::Open, -600)).unwrap().is_at_most_daily());
}
