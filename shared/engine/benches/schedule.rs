//! How long it takes to find a tick: dense, sparse and rarest schedules, on plain days and inside a
//! repeated hour.

use cauce_engine::schedule::Schedule;
use cauce_model::Instant;
use cauce_model::plan::{Catchup, DstGap, SchedulePlan, Tick};

fn main() {
    divan::main();
}

/// Cron, zone, and the microseconds since the epoch from which to search.
const CASES: [(&str, &str, i64); 6] = [
    ("* * * * *", "UTC", 1_720_000_000_000_000),
    ("0 2 * * *", "America/New_York", 1_720_000_000_000_000),
    // 10 March 2024, just before the gap, and 3 November 2024, in the second passage.
    ("30 2 * * *", "America/New_York", 1_710_053_999_000_000),
    ("* * * * *", "America/New_York", 1_730_615_400_000_000),
    ("0 0 1 * mon", "Australia/Lord_Howe", 1_720_000_000_000_000),
    // From 7 March 2096 to 29 February 2104.
    ("0 0 29 2 *", "Europe/Madrid", 3_982_000_000_000_000),
];

fn plan(cron: &str, zone: &str) -> SchedulePlan {
    SchedulePlan {
        case: None,
        every: Tick::Cron(cron.to_owned()),
        timezone: zone.to_owned(),
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

fn ready((cron, zone, at): (&str, &str, i64)) -> Option<(Schedule, Instant)> {
    let schedule = Schedule::new(&plan(cron, zone)).ok()?;
    Some((schedule, Instant::from_micros(at)))
}

#[divan::bench(args = CASES.map(|case| format!("{} {}", case.0, case.1)))]
fn next_tick(bencher: divan::Bencher<'_, '_>, name: &str) {
    let case = CASES.into_iter().find(|case| name == format!("{} {}", case.0, case.1));
    if let Some((schedule, at)) = case.and_then(ready) {
        bencher.bench(|| schedule.next_tick(divan::black_box(at)));
    }
}

#[divan::bench(args = CASES.map(|case| format!("{} {}", case.0, case.1)))]
fn previous_tick(bencher: divan::Bencher<'_, '_>, name: &str) {
    let case = CASES.into_iter().find(|case| name == format!("{} {}", case.0, case.1));
    if let Some((schedule, at)) = case.and_then(ready) {
        bencher.bench(|| schedule.previous_tick(divan::black_box(at)));
    }
}

#[divan::bench]
fn check_and_make_ready() -> bool {
    Schedule::new(&plan(divan::black_box("*/15 8-18 1,15 * mon-fri"), "America/New_York")).is_ok()
}
