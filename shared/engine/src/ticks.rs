//! The clock of a pipeline: every tick of its schedules is seen to once, whoever tells of it first.
//!
//! On AWS, EventBridge Scheduler tells of ticks. It passes over local times that a clock change skips,
//! and an outage can swallow what it says. So each pipeline with schedules keeps a clock in the store,
//! due a while after its next tick: whoever performs what is due asks here for the ticks that nobody told
//! of. On one machine nobody else tells of any, and the clock is due at the tick itself.
//!
//! A tick counts as told when the ledger has it. The others are made up for as the schedule's catch-up
//! says; those that it lets go are in the ledger as missed, so that each tick is accounted for once.

use crate::command::{Command, Decision, Effect, Reply};
use crate::prepared::Patience;
use crate::schedule::{Interval, Schedule};
use crate::stop::Stop;
use crate::{Settings, View, event};
use cauce_model::event::{Became, ClockRecord, LedgerRecord, clock_item, ledger_item};
use cauce_model::ids::sha256_hex;
use cauce_model::item::{Expect, IndexEntry};
use cauce_model::plan::{Plan, schedule_name};
use cauce_model::record::{DUE_LIST, Record, pipeline_item};
use cauce_model::{Instant, Item, Key, Write, names};
use serde_json::json;
use std::collections::BTreeMap;

/// Most ticks that one decision looks at: their entries, with a run and the clock, fit in one write.
const TICKS_MAX: usize = 60;

/// A schedule with what its part of the clock is kept under: its own content, so that one that a
/// deployment changes begins anew.
struct Kept {
    name: String,
    digest: String,
    /// The items of a matrix that it is for.
    case: Option<String>,
    schedule: Schedule,
}

fn kept(plan: &Plan) -> Result<Vec<Kept>, Stop> {
    let each = plan.schedules.iter().enumerate().map(|(index, schedule)| {
        let ready = Schedule::new(schedule)
            .map_err(|error| Stop::refuse(names::DEPLOYMENT_REJECTED, error.to_string()))?;
        let text = serde_json::to_vec(schedule).unwrap_or_default();
        let digest = sha256_hex(text)[..16].to_owned();
        let case = schedule.case.clone();
        Ok(Kept { name: schedule_name(index, false), digest, case, schedule: ready })
    });
    each.collect()
}

/// Which ticks has nobody told of? The first that is to be made up for becomes a run. The reply's `again`
/// says whether there may be more.
pub(crate) fn decide(
    pipeline: &str,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let key = clock_item(pipeline);
    view.want([pipeline_item(pipeline), key.clone()])?;
    let Some(item) = view.item(&key)? else {
        return Ok(Decision::default());
    };
    let expect = Expect::Version(item.version);
    let mut clock = ClockRecord::from_item(item)?;
    let Some(deployed) = event::deployed(pipeline, view)? else {
        return Ok(Decision { writes: vec![Write::Delete { key, expect }], ..Decision::default() });
    };
    let prepared = view.plan(pipeline, &deployed.version)?;
    if deployed.paused || prepared.plan.paused {
        // It stands still until somebody lets the pipeline go on.
        let writes = item.index.is_some().then(|| put(&key, &clock, None, expect)).into_iter().collect();
        return Ok(Decision { writes, ..Decision::default() });
    }
    let patience = settings.patience;
    let schedules = kept(&prepared.plan)?;
    let Unseen { ticks, complete, waiting } = unseen(pipeline, &schedules, &clock, now, patience);
    view.want(ticks.iter().map(|tick| tick.entry(pipeline)))?;

    let mut decision = Decision::default();
    let mut upto = if complete { now } else { ticks.last().map_or(now, |tick| tick.at) };
    let mut again = !complete;
    let mut taken = None;
    let mut fans = Vec::new();
    for tick in &ticks {
        // What ticks with the one that is taken, for other items, is taken with it.
        if taken.is_some_and(|at| at != tick.at) {
            break;
        }
        let known = view.item(&tick.entry(pipeline))?.map(LedgerRecord::from_item).transpose()?;
        if known.is_some_and(|entry| !event::is_undecided(&entry)) {
            continue;
        }
        if tick.wanted {
            let run = event::tick(pipeline, tick.schedule, tick.at, view, settings, now)?;
            decision.writes.extend(run.writes);
            decision.effects.extend(run.effects);
            if let Reply::Ok(told) = &run.reply
                && !told["fan"].is_null()
            {
                fans.push(told["fan"].clone());
            }
            upto = tick.at;
            again = true;
            taken = Some(tick.at);
            continue;
        }
        decision.writes.push(missed(pipeline, tick, view, now)?);
    }
    for (kept, waiting) in schedules.iter().zip(waiting) {
        let upto = waiting.map_or(upto, |tick| upto.min(tick.plus_micros(-1)));
        let seen = clock.seen.entry(kept.digest.clone()).or_insert(upto);
        *seen = (*seen).max(upto);
    }
    let due = if again { Some(now) } else { next_due(pipeline, &schedules, &clock, patience) };
    decision.writes.push(put(&key, &clock, due, expect));
    // Never as a command that follows: a long outage would follow itself as deep as it was long.
    decision.effects.extend(due.map(|at| wake(pipeline, at)));
    // What is to be handed out to items: by whoever asked, now, and by the next sweep otherwise.
    decision.reply = Reply::Ok(json!({"again": again, "fans": fans}));
    Ok(decision)
}

/// A tick that the clock has not passed.
struct Passed<'a> {
    at: Instant,
    schedule: &'a str,
    case: Option<&'a str>,
    /// Whether the schedule's catch-up still asks for it.
    wanted: bool,
}

impl Passed<'_> {
    fn entry(&self, pipeline: &str) -> Key {
        ledger_item(self.at, &event::tick_identity(pipeline, self.case, self.at), Some(pipeline))
    }
}

/// What the clock has not passed.
struct Unseen<'a> {
    /// The ticks of all schedules that are due, in order; each moment once for each case of a matrix.
    ticks: Vec<Passed<'a>>,
    /// Whether these are all.
    complete: bool,
    /// For each schedule, its first tick that is not due yet though it lies in the past.
    waiting: Vec<Option<Instant>>,
}

fn unseen<'a>(
    pipeline: &str,
    schedules: &'a [Kept],
    clock: &ClockRecord,
    now: Instant,
    patience: Patience,
) -> Unseen<'a> {
    let mut ticks: BTreeMap<(Instant, Option<&str>), Passed<'a>> = BTreeMap::new();
    let mut complete_until = now;
    let mut waiting = Vec::new();
    for kept in schedules {
        let mut first_waiting = None;
        // One that the clock does not know is as new as this moment.
        if let Some(seen) = clock.seen.get(&kept.digest).copied() {
            let wanted_after = kept.schedule.caught_up_after(seen, now, patience.late_micros());
            for (Interval { end: at, .. }, found) in kept.schedule.intervals_ending(seen, now).zip(1..) {
                let due_at = patience.due_at(&kept.schedule, pipeline, at);
                if due_at > now {
                    first_waiting = Some(at);
                    break;
                }
                let wanted = at > wanted_after || now.micros_since(due_at) < patience.late_micros();
                let case = kept.case.as_deref();
                let one = || Passed { at, schedule: &kept.name, case, wanted };
                let tick = ticks.entry((at, case)).or_insert_with(one);
                if wanted && !tick.wanted {
                    *tick = one();
                }
                if found == TICKS_MAX {
                    complete_until = complete_until.min(at);
                    break;
                }
            }
        }
        waiting.push(first_waiting);
    }
    let mut all: Vec<Passed<'a>> = ticks.into_values().collect();
    // Beyond where one schedule was cut short, the others' ticks would come before its own.
    all.retain(|tick| tick.at <= complete_until);
    let complete = complete_until == now && all.len() <= TICKS_MAX;
    if let Some(cut) = all.get(TICKS_MAX).map(|tick| tick.at) {
        // Those of one moment are seen to together: the clock knows moments.
        all.retain(|tick| tick.at < cut);
    }
    Unseen { ticks: all, complete, waiting }
}

/// The entry of a tick that nobody told of in time, and that the schedule lets go.
fn missed(pipeline: &str, tick: &Passed<'_>, view: &View, now: Instant) -> Result<Write, Stop> {
    let mut entry = event::tick_entry(pipeline, tick.case, tick.schedule, tick.at, now);
    entry.became = Became::Missed;
    entry.reason = Some("it was over when the schedule was looked at, and catchup lets it go".to_owned());
    let known = view.item(&tick.entry(pipeline))?;
    Ok(entry.write(known.map_or(Expect::Absent, |item| Expect::Version(item.version))))
}

/// When the clock is to be looked at next.
fn next_due(pipeline: &str, schedules: &[Kept], clock: &ClockRecord, patience: Patience) -> Option<Instant> {
    let next = schedules.iter().filter_map(|kept| {
        let seen = clock.seen.get(&kept.digest)?;
        let tick = kept.schedule.next_to_end(*seen)?.end;
        Some(patience.due_at(&kept.schedule, pipeline, tick))
    });
    next.min()
}

fn wake(pipeline: &str, at: Instant) -> Effect {
    Effect::At { at, command: Box::new(Command::Ticks { pipeline: pipeline.to_owned() }) }
}

fn put(key: &Key, clock: &ClockRecord, due: Option<Instant>, expect: Expect) -> Write {
    let mut item = Item::new(key.clone(), clock.to_body());
    item.index = due.map(|at| IndexEntry {
        list: DUE_LIST.to_owned(),
        position: format!("{:020}#{}", at.micros(), clock.pipeline),
    });
    Write::Put { item, expect }
}

/// What a deployment does to a pipeline's clock: schedules that are new begin now, those that were there
/// go on, and without any there is no clock. No write where nothing changes.
pub(crate) fn deployed(
    plan: &Plan,
    paused: bool,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<(Option<Write>, Option<Effect>), Stop> {
    let key = clock_item(&plan.pipeline);
    let item = view.item(&key)?;
    let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
    let known = item.map(ClockRecord::from_item).transpose()?;
    let schedules = kept(plan)?;
    if schedules.is_empty() {
        return Ok((item.map(|_| Write::Delete { key, expect }), None));
    }
    let mut clock = ClockRecord::new(&plan.pipeline);
    for kept in &schedules {
        let before = known.as_ref().and_then(|known| known.seen.get(&kept.digest));
        clock.seen.insert(kept.digest.clone(), before.copied().unwrap_or(now));
    }
    if known.as_ref() == Some(&clock) {
        return Ok((None, None));
    }
    let due =
        next_due(&plan.pipeline, &schedules, &clock, settings.patience).filter(|_| !paused && !plan.paused);
    let timer = due.map(|at| wake(&plan.pipeline, at));
    Ok((Some(put(&key, &clock, due, expect)), timer))
}

/// What letting a pipeline go on does to its clock: it is looked at now.
pub(crate) fn unpaused(pipeline: &str, view: &View, now: Instant) -> Result<Option<(Write, Effect)>, Stop> {
    let key = clock_item(pipeline);
    let Some(item) = view.item(&key)? else {
        return Ok(None);
    };
    let clock = ClockRecord::from_item(item)?;
    let command = Box::new(Command::Ticks { pipeline: pipeline.to_owned() });
    Ok(Some((put(&key, &clock, Some(now), Expect::Version(item.version)), Effect::Command(command))))
}
