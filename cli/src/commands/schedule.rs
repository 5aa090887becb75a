//! `cauce schedule`: when a pipeline ticks next, and which data each tick covers.

use cauce_engine::schedule::{Dating, Interval, Schedule};
use cauce_local::clock::SystemClock;
use cauce_model::Instant;
use cauce_ports::Clock;
use jiff::civil::Date;
use serde_json::json;

use crate::args::ScheduleArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::project::{self, Loaded};
use crate::suggest::nearest;

/// One tick of one of the pipeline's schedules.
struct Tick {
    interval: Interval,
    /// The run's id, without the item of a matrix.
    run_id: String,
    case: Option<String>,
    zone: String,
    is_moved: bool,
    /// When its run may start, with jitter at the latest.
    starts_at: (Instant, Instant),
}

pub(crate) fn schedule(args: &ScheduleArgs, context: &Context) -> Result<Exit, Failure> {
    let loaded = project::load(&args.file, context)?;
    let plan = &loaded.compiled.plan;
    // What cannot be a schedule was found by the checks.
    let unusable = |error: cauce_engine::schedule::ScheduleError| Failure::from_error(&error);
    let dating = Dating::of(plan).map_err(unusable)?;
    let only = of_case(args, &loaded)?;
    let mut schedules = Vec::new();
    for of_plan in plan.schedules.iter().filter(|one| only.as_ref().is_none_or(|only| one.case == only.case))
    {
        let dating = Dating::of_case(plan, of_plan.case.as_deref()).map_err(unusable)?;
        schedules.push((Schedule::new(of_plan).map_err(unusable)?, dating, of_plan.case.clone()));
    }
    if schedules.is_empty() {
        return Err(Failure::bad_input(format!("{} has no schedule", plan.pipeline))
            .help("add one, such as 'schedule: \"0 2 * * *\"', or start runs with 'cauce run'"));
    }
    let from = match &args.from {
        None => SystemClock.now(),
        Some(text) => moment(text, &dating)?,
    };
    let ticks = next(&schedules, from, args.next as usize);
    let item = args.item.as_deref().map(|item| format!("{item}-")).unwrap_or_default();
    let named = |tick: &Tick| format!("{item}{}", tick.run_id);
    if context.json {
        let documents: Vec<_> = ticks
            .iter()
            .map(|tick| {
                json!({
                    "tick_at": tick.interval.end,
                    "run_id": named(tick),
                    "case": tick.case,
                    "logical_date": tick.interval.logical_date,
                    "data_interval_start": tick.interval.start,
                    "data_interval_end": tick.interval.end,
                    "moved_by_clock_change": tick.is_moved,
                    "starts_at": tick.starts_at.0,
                    "starts_at_latest": tick.starts_at.1,
                })
            })
            .collect();
        context.output.json(&documents)?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new(["TICK", "RUN", "DATA FROM", "DATA TO", "NOTE"]);
    for tick in &ticks {
        let local = |at: Instant| local(at, &tick.zone);
        let (first, latest) = tick.starts_at;
        let mut notes: Vec<String> = Vec::new();
        notes.extend(tick.case.as_ref().map(|case| format!("items of case {case}")));
        if tick.is_moved {
            notes.push("moved by a clock change".to_owned());
        }
        if first > tick.interval.end {
            notes.push(format!("off-peak begins {}", local(first)));
        }
        if latest > first {
            notes.push(format!("starts within {}", crate::time::duration(latest.micros_since(first))));
        }
        table.row([
            local(tick.interval.end).into(),
            named(tick).into(),
            local(tick.interval.start).into(),
            local(tick.interval.end).into(),
            notes.join("; ").into(),
        ]);
    }
    context.output.table(&table)?;
    if ticks.is_empty() {
        context.output.talk("no tick lies ahead: the schedule has ended");
    }
    if loaded.pipeline.paused {
        context.output.talk("the pipeline is paused: its ticks start nothing");
    }
    Ok(Exit::Good)
}

/// The one case that is meant.
struct Only {
    case: Option<String>,
}

/// The case that is named, or that of the item that is; `None` means all.
fn of_case(args: &ScheduleArgs, loaded: &Loaded) -> Result<Option<Only>, Failure> {
    let plan = &loaded.compiled.plan;
    if let Some(case) = &args.case {
        let known = || plan.schedules.iter().filter_map(|schedule| schedule.case.as_deref());
        if known().all(|known| known != case) {
            let failure =
                Failure::bad_input(format!("the schedule of {} has no case '{case}'", plan.pipeline));
            return Err(match nearest(case, known()) {
                Some(near) => failure.help(format!("did you mean '{near}'?")),
                None => failure,
            });
        }
        return Ok(Some(Only { case: Some(case.clone()) }));
    }
    let Some(key) = args.item.as_deref() else { return Ok(None) };
    let chosen = crate::engine::item_of_file(plan, loaded.items.as_ref(), Some(key))?;
    Ok(chosen.map(|chosen| Only { case: chosen.case }))
}

/// The next ticks of all schedules together, from `from` on, in order.
fn next(schedules: &[(Schedule, Dating, Option<String>)], from: Instant, count: usize) -> Vec<Tick> {
    let mut ticks = Vec::new();
    for (schedule, dating, case) in schedules {
        let mut after = from.plus_micros(-1);
        for _ in 0..count {
            let Some(interval) = schedule.next_to_end(after) else { break };
            after = interval.end;
            ticks.push(Tick {
                interval,
                run_id: dating.run_id(None, interval.logical_date),
                case: case.clone(),
                zone: schedule.zone().name().to_owned(),
                is_moved: schedule.is_moved_by_clock_change(interval.end),
                starts_at: {
                    let opens_at = schedule.opens_at(interval.end);
                    (opens_at, opens_at.plus_micros(schedule.jitter_micros()))
                },
            });
        }
    }
    ticks.sort_by_key(|tick| tick.interval.end);
    ticks.truncate(count);
    ticks
}

/// Reads a moment (RFC 3339), or a date as its midnight in the pipeline's zone.
fn moment(text: &str, dating: &Dating) -> Result<Instant, Failure> {
    if let Ok(at) = Instant::parse(text) {
        return Ok(at);
    }
    let date: Option<Date> = text.parse().ok();
    date.and_then(|date| dating.zone().start_of_day(date)).ok_or_else(|| {
        Failure::bad_input(format!("--from '{text}' is neither a date nor a moment"))
            .help("write 1997-01-05 or 1997-01-05T02:00:00Z")
    })
}

/// A moment as the clocks of a zone show it; in UTC where the zone is not known.
pub(crate) fn local(at: Instant, zone: &str) -> String {
    let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    at.to_timestamp().to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}
