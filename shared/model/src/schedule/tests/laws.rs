//! Random schedules against an oracle that steps through a year by the minute.
//!
//! The oracle shares nothing with the code it judges: it reads no text (it judges the random fields
//! from which the text was written), knows no transitions (it sees clocks jump), and searches
//! nothing.

use super::planned;
use crate::Instant;
use crate::plan::DstGap;
use crate::schedule::Schedule;
use jiff::ToSpan;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

/// Zones whose clocks changed in 2008: by an hour, by half an hour, to and from midnight, on both
/// hemispheres.
const ZONES: [&str; 5] = [
    "America/New_York",
    "Europe/Madrid",
    "America/Argentina/Buenos_Aires",
    "Australia/Lord_Howe",
    "America/Havana",
];

/// The first minute of the year gone through, a leap year.
const YEAR_START: &str = "2008-01-01T00:00:00Z";
const YEAR_MINUTES: i64 = 366 * 1_440;

/// What local clocks show, as minutes since the local start of 1970.
type LocalMinute = i64;

/// One minute of the year: what clocks show, whether they showed it before, and what they skipped
/// on the way here.
struct Minute {
    shows: LocalMinute,
    repeated: bool,
    skipped: Range<LocalMinute>,
}

static YEARS: LazyLock<Vec<Vec<Minute>>> = LazyLock::new(|| ZONES.iter().map(|zone| year_in(zone)).collect());

/// Dates by the number of days since 1970, as far as the year and its neighbours need them.
static DATES: LazyLock<BTreeMap<i64, Date>> = LazyLock::new(|| {
    let first = super::at(YEAR_START).micros() / 86_400_000_000 - 1;
    let dates = date(2007, 12, 31).series(1.day());
    (first..).zip(dates.take(368)).collect()
});

fn day_of(local: LocalMinute) -> i64 {
    local.div_euclid(1_440)
}

fn year_in(zone: &str) -> Vec<Minute> {
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let start = super::at(YEAR_START);
    let local_at = |minute: i64| {
        let at = start.plus_micros(minute * 60_000_000).to_timestamp();
        (at.as_second() + i64::from(zone.to_offset(at).seconds())) / 60
    };
    // What clocks have shown latest so far: less than that is shown again.
    let mut latest = local_at(-1);
    (0..YEAR_MINUTES)
        .map(|minute| {
            let shows = local_at(minute);
            let seen = Minute { shows, repeated: shows <= latest, skipped: latest + 1..shows };
            latest = latest.max(shows);
            seen
        })
        .collect()
}

/// One part of a field, as it is written and as it is meant.
#[derive(Clone, Debug)]
enum Part {
    Every(u8),
    One(u8),
    Span(u8, u8, u8),
}

#[derive(Clone, Debug)]
struct Fields {
    low: u8,
    parts: Vec<Part>,
}

impl Fields {
    fn allows(&self, number: u8) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Every(step) => (number - self.low).is_multiple_of(*step),
            Part::One(value) => *value == number,
            Part::Span(from, to, step) => {
                (*from..=*to).contains(&number) && (number - from).is_multiple_of(*step)
            }
        })
    }

    fn is_star(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Every(1)))
    }

    fn written(&self) -> String {
        let parts: Vec<String> = (self.parts.iter())
            .map(|part| match part {
                Part::Every(1) => "*".to_owned(),
                Part::Every(step) => format!("*/{step}"),
                Part::One(value) => value.to_string(),
                Part::Span(from, to, 1) => format!("{from}-{to}"),
                Part::Span(from, to, step) => format!("{from}-{to}/{step}"),
            })
            .collect();
        parts.join(",")
    }
}

fn field(low: u8, high: u8) -> impl Strategy<Value = Fields> {
    let part = prop_oneof![
        1 => Just(Part::Every(1)),
        2 => (2..20u8).prop_map(Part::Every),
        4 => (low..=high).prop_map(Part::One),
        2 => (low..=high, low..=high, 1..5u8)
            .prop_map(|(a, b, step)| Part::Span(a.min(b), a.max(b), step)),
    ];
    prop::collection::vec(part, 1..3).prop_map(move |parts| Fields { low, parts })
}

/// Minute, hour, day of month, month, day of week. Hours lean towards the early ones, where clocks
/// change; minutes towards few, so that a year is soon gone through.
fn fields() -> impl Strategy<Value = [Fields; 5]> {
    let few = prop::collection::vec((0..60u8).prop_map(Part::One), 1..4);
    let few = few.prop_map(|parts| Fields { low: 0, parts });
    let minute = prop_oneof![6 => few, 1 => field(0, 59)];
    let hour = prop_oneof![field(0, 3), field(0, 23)];
    let day = prop_oneof![1 => field(1, 31), 2 => Just(every(1))];
    let month = prop_oneof![1 => field(1, 12), 2 => Just(every(1))];
    let weekday = prop_oneof![1 => field(0, 6), 1 => Just(every(0))];
    (minute, hour, day, month, weekday).prop_map(|(a, b, c, d, e)| [a, b, c, d, e])
}

fn every(low: u8) -> Fields {
    Fields { low, parts: vec![Part::Every(1)] }
}

fn written(fields: &[Fields; 5]) -> String {
    fields.each_ref().map(Fields::written).join(" ")
}

fn allows([minute, hour, day, month, weekday]: &[Fields; 5], local: LocalMinute) -> bool {
    let time = local.rem_euclid(1_440);
    if !minute.allows((time % 60) as u8) || !hour.allows((time / 60) as u8) {
        return false;
    }
    let date = DATES[&day_of(local)];
    let by_day = day.allows(date.day() as u8);
    let by_weekday = weekday.allows(date.weekday().to_sunday_zero_offset() as u8);
    let by_either = match (day.is_star(), weekday.is_star()) {
        (true, true) => true,
        (true, false) => by_weekday,
        (false, true) => by_day,
        (false, false) => by_day || by_weekday,
    };
    month.allows(date.month() as u8) && by_either
}

/// The minutes of the year at which the schedule ticks, by going through all of them.
fn oracle(fields: &[Fields; 5], zone: usize, gap: DstGap) -> Vec<i64> {
    YEARS[zone]
        .iter()
        .zip(0..)
        .filter(|(minute, _)| {
            let own = !minute.repeated && allows(fields, minute.shows);
            let moved = || {
                (minute.skipped.clone())
                    .any(|local| day_of(local) == day_of(minute.shows) && allows(fields, local))
            };
            own || gap == DstGap::RunAfter && moved()
        })
        .map(|(_, number)| number)
        .collect()
}

fn minute_of(tick: Instant) -> i64 {
    tick.micros_since(super::at(YEAR_START)) / 60_000_000
}

fn make(fields: &[Fields; 5], zone: usize, gap: DstGap) -> Option<Schedule> {
    let mut plan = planned(&written(fields), ZONES[zone]);
    plan.dst_gap = gap;
    // An expression for a day that no month has is refused; the tables of `cron` test that.
    Schedule::new(&plan).ok()
}

fn gaps() -> impl Strategy<Value = DstGap> {
    prop_oneof![Just(DstGap::RunAfter), Just(DstGap::Skip)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_year_ticks_as_the_oracle_says(fields in fields(), zone in 0..ZONES.len(), gap in gaps()) {
        let expected = oracle(&fields, zone, gap);
        let start = super::at(YEAR_START);
        let before = start.plus_micros(-1);
        let end = start.plus_seconds(YEAR_MINUTES as u64 * 60 - 1);
        let Some(schedule) = make(&fields, zone, gap) else {
            prop_assert!(expected.is_empty(), "{}", written(&fields));
            return Ok(());
        };
        let forth: Vec<i64> = schedule.ticks(before, end).map(minute_of).collect();
        prop_assert!(forth == expected, "forwards: {} in {}", written(&fields), ZONES[zone]);
        let mut back: Vec<i64> = schedule.ticks_back(end).take_while(|t| *t >= start).map(minute_of).collect();
        back.reverse();
        prop_assert!(back == expected, "backwards: {} in {}", written(&fields), ZONES[zone]);
    }
}

proptest! {
    #[test]
    fn neighbours_agree_from_any_moment(
        fields in fields(),
        zone in 0..ZONES.len(),
        gap in gaps(),
        micros in -2_000_000_000_000_000..4_000_000_000_000_000i64,
    ) {
        let Some(schedule) = make(&fields, zone, gap) else { return Ok(()) };
        let at = Instant::from_micros(micros);
        let next = schedule.next_tick(at).unwrap();
        let previous = schedule.previous_tick(at).unwrap();
        prop_assert!(previous <= at && at < next);
        prop_assert_eq!(schedule.next_tick(previous), Some(next));
        prop_assert_eq!(schedule.previous_tick(next), Some(next));
        prop_assert_eq!(schedule.previous_tick(next.plus_micros(-1)), Some(previous));
        let interval = schedule.interval_ending_at(next).unwrap();
        prop_assert_eq!((interval.start, interval.end), (previous, next));
        prop_assert_eq!(schedule.interval_starting_at(previous), Some(interval));
    }

    #[test]
    fn a_schedule_of_one_time_a_day_never_ticks_twice_on_a_local_day(
        minute in 0..60u8,
        hour in 0..24u8,
        zone in prop::sample::select(jiff::tz::TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect::<Vec<_>>()),
        gap in gaps(),
        year in 1890..2060i32,
    ) {
        let mut plan = planned(&format!("{minute} {hour} * * *"), &zone);
        plan.dst_gap = gap;
        let schedule = Schedule::new(&plan).unwrap();
        prop_assert!(schedule.is_at_most_daily());
        let from = super::at(&format!("{year}-01-01T00:00:00Z"));
        let ticks: Vec<Instant> = schedule.ticks(from, from.plus_seconds(366 * 86_400)).collect();
        let days: BTreeSet<_> = ticks.iter().map(|tick| schedule.ds(*tick)).collect();
        prop_assert_eq!(days.len(), ticks.len());
        prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
