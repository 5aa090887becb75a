//! A pool's line: who stands where, and how much room those ahead leave.
//!
//! Every line has the same order: priority, then age, then the position of the task. A waiter that
//! wants slots of several pools stands in all their lines and takes them in one transaction or not at
//! all, so nobody holds while it waits: who waits, waits for holders that end or for those ahead of
//! it. The first of all waiters waits for holders alone; hence no circle, and no end without an end.

use crate::View;
use crate::slots::{Holder, is_awaited, is_held, number, pool_item};
use crate::stop::Stop;
use cauce_model::record::{Record, RunRecord, TaskRecord, run_item, task_item};
use cauce_model::{Instant, Item, Json, Key};
use std::collections::BTreeMap;

/// What the sort keys of a pool's waiters begin with.
pub(crate) const LINE: &str = "W#";

/// Whether an item is somebody's place in a line.
pub(crate) fn is_place(key: &Key) -> bool {
    key.partition.starts_with(POOL_PARTITION) && key.sort.starts_with(LINE)
}

/// What the partitions of pools begin with.
pub(crate) const POOL_PARTITION: &str = "pool#";

/// So many seconds a waiter that needs more than is free is passed by smaller ones behind it. After
/// that it bars the line: nobody behind is granted until it is.
pub const STARVATION_SECONDS: u64 = 300;

/// Fields of a place.
pub(crate) const HOLDER: &str = "holder";
pub(crate) const SLOTS: &str = "slots";
pub(crate) const SINCE: &str = "since";
pub(crate) const POOLS: &str = "pools";

/// Priorities beyond this, either way, are as good as this.
const PRIORITY_MAX: i64 = 1_000_000_000_000;

/// Where somebody stands in any line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    /// The higher goes first.
    pub(crate) priority: i64,
    /// Since when slots are wanted: then the older does.
    pub(crate) since: Instant,
    /// Who goes first of those that came at the same moment; compared by bytes.
    pub(crate) tie: String,
}

impl Standing {
    /// A run's.
    pub(crate) fn of_run(run: &RunRecord) -> Self {
        let (priority, tie) = (crate::slots::priority(run), run.run.run_id.clone());
        Self { priority, since: run.wanted_since(), tie }
    }

    /// The place in a pool's line: the lowest sort key is first.
    pub(crate) fn place(&self, pool: &str, holder: &str) -> Key {
        let rank = PRIORITY_MAX - self.priority.clamp(-PRIORITY_MAX, PRIORITY_MAX);
        let sort = format!("{LINE}{rank:020}#{:020}#{}#{holder}", self.since.micros(), self.tie);
        Key::new(pool_item(pool).partition, sort)
    }
}

/// The priority that a place's sort key tells.
pub fn priority_of(place: &Key) -> Option<i64> {
    let rank = place.sort.strip_prefix(LINE)?.split('#').next()?;
    Some(PRIORITY_MAX - rank.parse::<i64>().ok()?)
}

/// Whose place in line this is.
pub(crate) fn stands_for(place: &Item) -> Option<&str> {
    place.body.get(HOLDER).and_then(Json::as_str)
}

/// Whether the one in this place holds what it waits for, as far as the pool's item says.
pub(crate) fn is_granted(place: &Item, pool: &Item) -> bool {
    stands_for(place).is_some_and(|name| is_held(pool, name, number(place, SLOTS)))
}

/// Places read at once by one that looks for the first few.
const PLACES: u32 = 8;

/// Whether nobody waits in the line of a pool but, perhaps, this one itself.
pub(crate) fn is_empty(pool: &Item, own: &str, view: &View) -> Result<bool, Stop> {
    let (places, next) = view.page(pool.key.partition.clone(), LINE.to_owned(), None, PLACES)?;
    let waits = |place: &Item| stands_for(place) != Some(own) && !is_granted(place, pool);
    Ok(next.is_none() && !places.iter().any(waits))
}

/// All pools that the one in this place wants slots of; empty when it is this one alone.
pub(crate) fn several(place: &Item) -> BTreeMap<String, i64> {
    let pools = place.body.get(POOLS).and_then(Json::as_object);
    let slots = |(pool, slots): (&String, &Json)| Some((pool.clone(), slots.as_i64()?));
    pools.into_iter().flatten().filter_map(slots).collect()
}

fn is_overdue(place: &Item, now: Instant) -> bool {
    let since = place.body.get(SINCE).and_then(Json::as_str).and_then(|text| Instant::parse(text).ok());
    since.is_some_and(|since| since.plus_seconds(STARVATION_SECONDS) <= now)
}

/// What one that stands ahead means to those behind it.
pub(crate) enum Ahead {
    /// So many of the free slots are its own.
    Takes(i64),
    /// It cannot go, and they may.
    Passed,
    /// It cannot go, and they must wait for it.
    Bars,
}

/// Judges a waiter in the line of a pool in which `free` slots are left to it.
pub(crate) fn ahead(place: &Item, free: i64, view: &View, now: Instant) -> Result<Ahead, Stop> {
    let wants = number(place, SLOTS);
    let pool = view.item(&Key::new(place.key.partition.clone(), crate::slots::POOL))?;
    if pool.is_some_and(|pool| wants > number(pool, SLOTS)) {
        // Nothing that others give back helps it: it is told, and fails.
        return Ok(Ahead::Passed);
    }
    let mut fits = wants <= free;
    if fits {
        let wanted = several(place);
        view.want(wanted.keys().map(|pool| pool_item(pool)))?;
        for (pool, wants) in &wanted {
            let item = view.item(&pool_item(pool))?;
            fits &= item.is_some_and(|item| number(item, SLOTS) - number(item, crate::slots::USED) >= *wants);
        }
    }
    Ok(match fits {
        true => Ahead::Takes(wants),
        false if is_overdue(place, now) => Ahead::Bars,
        false => Ahead::Passed,
    })
}

/// How many slots of a pool those leave who stand before a place, counted until it is plain that these are
/// fewer than it `wants`. Negative: one of them bars the line.
pub(crate) fn room(
    pool: &str,
    capacity: i64,
    sort: &str,
    wants: i64,
    view: &View,
    now: Instant,
) -> Result<i64, Stop> {
    let key = pool_item(pool);
    let Some(item) = view.item(&key)? else { return Ok(capacity) };
    let mut free = capacity - number(item, crate::slots::USED);
    if !is_awaited(item) {
        return Ok(free);
    }
    let mut after = None;
    while free >= wants {
        let (places, next) = view.page(key.partition.clone(), LINE.to_owned(), after.clone(), PLACES)?;
        for place in places {
            if place.key.sort.as_str() >= sort {
                return Ok(free);
            }
            if is_granted(place, item) {
                continue;
            }
            match ahead(place, free, view, now)? {
                Ahead::Takes(slots) => free -= slots,
                Ahead::Passed => {}
                Ahead::Bars => return Ok(-1),
            }
        }
        after.clone_from(next);
        if after.is_none() {
            break;
        }
    }
    Ok(free)
}

/// Whether one that wants several pools could take them all now.
pub(crate) fn is_ready(place: &Item, view: &View, now: Instant) -> Result<bool, Stop> {
    let wanted = several(place);
    view.want(wanted.keys().map(|pool| pool_item(pool)))?;
    for (pool, slots) in &wanted {
        let Some(item) = view.item(&pool_item(pool))? else { return Ok(false) };
        if room(pool, number(item, SLOTS), &place.key.sort, *slots, view, now)? < *slots {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How one that stands in a line can be told.
#[derive(PartialEq, Eq)]
pub(crate) enum Waiter {
    /// By this token.
    Waits(String),
    /// Not at all yet: it looks itself.
    NotYet,
    /// It does not wait any more.
    Gone,
}

/// The items that tell whether a waiter still waits.
fn records(holder: &Holder) -> impl Iterator<Item = Key> {
    let run = run_item(&holder.run_key);
    let task = holder.attempt.as_ref().map(|(task, index, _)| task_item(&holder.run_key, task, *index));
    std::iter::once(run).chain(task)
}

/// Asks at once for all that tells whether these still wait.
pub(crate) fn want<'a>(waiters: impl IntoIterator<Item = &'a Holder>, view: &View) -> Result<(), Stop> {
    let waiters: Vec<&Holder> = waiters.into_iter().collect();
    view.want(waiters.iter().copied().flat_map(records))?;
    view.left(waiters.iter().map(|waiter| waiter.run_key.clone()))?;
    Ok(())
}

/// Looks whether a waiter still waits. One whose process is gone does not: what is granted to it nobody would use.
pub(crate) fn waiter(holder: &Holder, view: &View) -> Result<Waiter, Stop> {
    let Some(run) = view.item(&run_item(&holder.run_key))? else {
        return Ok(Waiter::Gone);
    };
    let run = RunRecord::from_item(run)?;
    if run.generation != holder.generation || run.status.is_terminal() {
        return Ok(Waiter::Gone);
    }
    if !view.left([holder.run_key.clone()])?.is_empty() {
        return Ok(Waiter::Gone);
    }
    let token = match &holder.attempt {
        None => run.token,
        Some((task, index, attempt)) => {
            let Some(item) = view.item(&task_item(&holder.run_key, task, *index))? else {
                return Ok(Waiter::NotYet);
            };
            let task = TaskRecord::from_item(item)?;
            if task.status.is_terminal() || task.attempts.len() >= *attempt as usize {
                return Ok(Waiter::Gone);
            }
            task.token
        }
    };
    Ok(token.map_or(Waiter::NotYet, Waiter::Waits))
}
