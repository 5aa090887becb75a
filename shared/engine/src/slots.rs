//! Pools: named capacity, taken whole or not at all, given back once.
//!
//! A pool is one item: how many slots are `used`, by which `holders` (a set of names), and who is
//! `waiting` (a set as well); a waiter's place in line is an item of its own. Taking and giving back
//! are one conditional change each, so holders never exceed slots and repeats change nothing. Who
//! waits is granted by the one who gives back, in order of priority, then age; a newcomer never
//! passes those who wait.

use crate::View;
use crate::command::{Command, Decision, Effect};
use crate::stop::Stop;
use cauce_model::item::{Body, Change, Cond, Step, When};
use cauce_model::record::{Record, RunRecord, TaskRecord, run_item, task_item};
use cauce_model::{Expect, Instant, Item, Json, Key, RunKey, Write, names};

const SLOTS: &str = "slots";
const USED: &str = "used";
const HOLDERS: &str = "holders";
const WAITING: &str = "waiting";
const FENCE: &str = "fence";
const LINE: &str = "W#";

/// The pool that holds `max_active_tasks` of a pipeline.
pub fn active_tasks_pool(pipeline: &str) -> String {
    format!("active:{pipeline}")
}

/// The pool that holds `max_active_runs` of a pipeline.
pub fn active_runs_pool(pipeline: &str) -> String {
    format!("run:{pipeline}")
}

/// The key of a pool.
pub fn pool_item(pool: &str) -> Key {
    Key::new(format!("pool#{pool}"), "P")
}

/// What the sort keys of a pool's waiters begin with.
pub const WAITER_PREFIX: &str = LINE;

/// Who asks for slots: a run, or an attempt of a task of one. Its text is the holder's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The run.
    pub run_key: RunKey,
    /// Its generation.
    pub generation: u32,
    /// The task, its item and the attempt; `None` for the run itself.
    pub attempt: Option<(String, Option<u32>, u32)>,
}

impl Holder {
    /// The name under which slots are held.
    pub fn name(&self) -> String {
        let Self { run_key, generation, attempt } = self;
        match attempt {
            None => format!("{run_key}/{generation}"),
            Some((task, index, number)) => {
                let index = index.map(|index| index.to_string()).unwrap_or_default();
                format!("{run_key}/{generation}/{task}/{index}/{number}")
            }
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let run_key = RunKey::from_text(parts.next()?);
        let generation = parts.next()?.parse().ok()?;
        let attempt = match parts.next() {
            None => None,
            Some(task) => {
                let index = parts.next()?;
                let index = if index.is_empty() { None } else { Some(index.parse().ok()?) };
                Some((task.to_owned(), index, parts.next()?.parse().ok()?))
            }
        };
        Some(Self { run_key, generation, attempt })
    }
}

/// A request for slots of one pool.
pub(crate) struct Ask<'a> {
    pub(crate) pool: &'a str,
    /// How many the pool has.
    pub(crate) capacity: u32,
    /// How many are wanted.
    pub(crate) slots: u32,
    pub(crate) priority: i64,
    /// Since when it is wanted: the older is granted first.
    pub(crate) since: Instant,
    /// Who goes first of those that came at the same moment; compared by bytes.
    pub(crate) tie: String,
    pub(crate) holder: &'a Holder,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Grant {
    /// Held.
    Held {
        /// The fence minted with the grant.
        fence: u64,
        /// Places in line to give up with the decision's write, for one that had waited.
        places: Vec<Key>,
    },
    /// In line. Whoever gives back answers the token that the holder's record keeps.
    Waiting,
}

fn number(item: &Item, field: &str) -> i64 {
    item.body.get(field).and_then(Json::as_i64).unwrap_or(0)
}

/// Whose place in line this is.
fn stands_for(place: &Item) -> Option<&str> {
    place.body.get("holder").and_then(Json::as_str)
}

fn has(item: &Item, field: &str, text: &str) -> bool {
    item.body
        .get(field)
        .and_then(Json::as_array)
        .is_some_and(|set| set.iter().any(|v| v.as_str() == Some(text)))
}

/// Asks for slots. A repeat of the same request finds what it took before.
pub(crate) fn acquire(ask: &Ask<'_>, view: &View, now: Instant) -> Result<Grant, Stop> {
    let key = pool_item(ask.pool);
    let holder = ask.holder.name();
    let most = i64::from(ask.capacity) - i64::from(ask.slots);
    let take = Change {
        steps: vec![
            Step::Set(SLOTS.into(), Json::from(ask.capacity)),
            Step::Add(USED.into(), i64::from(ask.slots)),
            Step::Insert(HOLDERS.into(), holder.clone()),
            Step::Add(FENCE.into(), 1),
        ],
    };
    let free = When {
        all: vec![
            Cond::AtMost(USED.into(), most),
            Cond::Lacks(HOLDERS.into(), holder.clone()),
            Cond::Empty(WAITING.into()),
        ],
    };
    if let Some(item) = view.update(format!("take:{}", ask.pool), key.clone(), take, free)? {
        return Ok(Grant::Held { fence: number(item, FENCE).unsigned_abs(), places: Vec::new() });
    }
    if let Some(item) = view.item(&key)?
        && has(item, HOLDERS, &holder)
    {
        let fence = number(item, FENCE).unsigned_abs();
        if !has(item, WAITING, &holder) {
            return Ok(Grant::Held { fence, places: Vec::new() });
        }
        // Granted while it waited. Until here whoever gave back tells it again and again; from here
        // on it knows.
        let know = Change { steps: vec![Step::Take(WAITING.into(), holder.clone())] };
        view.update(format!("know:{}", ask.pool), key.clone(), know, When { all: vec![Cond::Exists] })?;
        let line = view.range(key.partition, LINE.to_owned())?;
        let places =
            line.iter().filter(|place| stands_for(place) == Some(&holder)).map(|place| place.key.clone());
        return Ok(Grant::Held { fence, places: places.collect() });
    }
    // Into the line first, then into the set: a set member without a place in line cannot be found
    // by those who grant, the other way round it can.
    let place = Key::new(
        key.partition.clone(),
        format!("{LINE}{:020}#{:020}#{}#{holder}", i64::MAX - ask.priority, ask.since.micros(), ask.tie),
    );
    let stands = view
        .range(key.partition.clone(), LINE.to_owned())?
        .iter()
        .any(|item| stands_for(item) == Some(&holder));
    if !stands {
        let mut body = Body::new();
        body.insert("holder".into(), Json::from(holder.as_str()));
        body.insert("slots".into(), Json::from(ask.slots));
        body.insert("since".into(), Json::from(now.to_string()));
        let change =
            Change { steps: body.into_iter().map(|(field, value)| Step::Set(field, value)).collect() };
        view.update(format!("line:{}", ask.pool), place, change, When::always())?;
    }
    let join = Change {
        steps: vec![
            Step::Set(SLOTS.into(), Json::from(ask.capacity)),
            Step::Insert(WAITING.into(), holder.clone()),
        ],
    };
    let absent = When { all: vec![Cond::Lacks(HOLDERS.into(), holder.clone())] };
    match view.update(format!("wait:{}", ask.pool), key, join, absent)? {
        // Somebody granted it between the two looks, and answers the token of this very request.
        None => Ok(Grant::Waiting),
        Some(_) => Ok(Grant::Waiting),
    }
}

/// The effect that gives slots back.
pub(crate) fn give_back(pool: &str, holder: &str, slots: u32) -> Effect {
    Effect::Command(Box::new(Command::Release { pool: pool.to_owned(), holder: holder.to_owned(), slots }))
}

/// The first pause between two looks at a line, and the longest, in seconds. On AWS the sweep looks.
const LOOK_SECONDS: u64 = 2;
const LOOK_SECONDS_MAX: u64 = 60;

/// The effect for one that has just stored its token: it looks whether it can be granted, because
/// slots may have become free before it had, and goes on looking while it waits.
pub(crate) fn look(pool: &str) -> Effect {
    Effect::Command(Box::new(Command::Look { pool: pool.to_owned(), seconds: LOOK_SECONDS }))
}

/// Grants whom it can, and looks again later while somebody waits.
pub(crate) fn look_again(pool: &str, seconds: u64, view: &View, now: Instant) -> Result<Decision, Stop> {
    let mut decision = release(pool, "", 0, view)?;
    let waits = view.item(&pool_item(pool))?.is_some_and(is_awaited);
    if waits {
        let next = Command::Look { pool: pool.to_owned(), seconds: (seconds * 2).min(LOOK_SECONDS_MAX) };
        decision.effects.push(Effect::At { at: now.plus_seconds(seconds), command: Box::new(next) });
    }
    Ok(decision)
}

fn is_awaited(pool: &Item) -> bool {
    pool.body.get(WAITING).and_then(Json::as_array).is_some_and(|set| !set.is_empty())
}

/// Gives slots back, then grants whom it can. An empty holder only grants.
pub(crate) fn release(pool: &str, holder: &str, slots: u32, view: &View) -> Result<Decision, Stop> {
    let key = pool_item(pool);
    if !holder.is_empty() {
        let change = Change {
            steps: vec![
                Step::Add(USED.into(), -i64::from(slots)),
                Step::Take(HOLDERS.into(), holder.to_owned()),
            ],
        };
        let held = When { all: vec![Cond::Contains(HOLDERS.into(), holder.to_owned())] };
        view.update("give".into(), key.clone(), change, held)?;
    }
    let Some(item) = view.item(&key)? else {
        return Ok(Decision::default());
    };
    if !is_awaited(item) {
        return Ok(Decision::default());
    }
    let capacity = number(item, SLOTS);
    let mut free = capacity - number(item, USED);
    let mut decision = Decision::default();
    for place in view.range(key.partition.clone(), LINE.to_owned())? {
        let Some((name, waiter)) = stands_for(place).and_then(|name| Some((name, Holder::parse(name)?)))
        else {
            continue;
        };
        let wants = number(place, SLOTS);
        let is_granted = has(item, HOLDERS, name);
        let waiting = waiting_token(&waiter, view)?;
        if waiting == Waiter::Gone {
            leave(view, &key, name, wants, is_granted)?;
            decision.writes.push(Write::Delete { key: place.key.clone(), expect: Expect::Any });
            if decision.writes.len() == cauce_model::item::TRANSACTION_MAX {
                decision.effects.push(look(pool));
                break;
            }
            continue;
        }
        if !is_granted {
            // One that needs more than is free is not passed by those behind it.
            if wants > free {
                break;
            }
            let change = Change {
                steps: vec![
                    Step::Add(USED.into(), wants),
                    Step::Add(FENCE.into(), 1),
                    Step::Insert(HOLDERS.into(), name.to_owned()),
                ],
            };
            let when = When {
                all: vec![
                    Cond::AtMost(USED.into(), capacity - wants),
                    Cond::Lacks(HOLDERS.into(), name.to_owned()),
                    Cond::Contains(WAITING.into(), name.to_owned()),
                ],
            };
            view.update(format!("grant:{name}"), key.clone(), change, when)?;
            free -= wants;
        }
        // The grant may be an earlier caller's who died before it told: it is told again until the
        // waiter has taken its place out of the line. Without a token yet, the waiter looks itself.
        if let Waiter::Waits(token) = waiting {
            let cause = format!("slots of {pool} are free");
            decision.effects.push(Effect::Refuse { token, error: names::AGAIN, cause });
        }
    }
    Ok(decision)
}

/// Takes one that no longer waits out of the pool, with what it had been granted.
fn leave(view: &View, key: &Key, name: &str, wants: i64, is_granted: bool) -> Result<(), Stop> {
    let mut steps = vec![Step::Take(WAITING.into(), name.to_owned())];
    let mut all = vec![Cond::Contains(WAITING.into(), name.to_owned())];
    if is_granted {
        steps.extend([Step::Add(USED.into(), -wants), Step::Take(HOLDERS.into(), name.to_owned())]);
        all.push(Cond::Contains(HOLDERS.into(), name.to_owned()));
    }
    view.update(format!("gone:{name}"), key.clone(), Change { steps }, When { all })?;
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Waiter {
    Waits(String),
    NotYet,
    Gone,
}

fn waiting_token(holder: &Holder, view: &View) -> Result<Waiter, Stop> {
    let Some(run) = view.item(&run_item(&holder.run_key))? else {
        return Ok(Waiter::Gone);
    };
    let run = RunRecord::from_item(run)?;
    if run.generation != holder.generation || run.status.is_terminal() {
        return Ok(Waiter::Gone);
    }
    let token = match &holder.attempt {
        None => run.token,
        Some((task, index, _)) => {
            let Some(item) = view.item(&task_item(&holder.run_key, task, *index))? else {
                return Ok(Waiter::NotYet);
            };
            let task = TaskRecord::from_item(item)?;
            if task.generation == run.generation && task.status.is_terminal() {
                return Ok(Waiter::Gone);
            }
            task.token
        }
    };
    Ok(token.map_or(Waiter::NotYet, Waiter::Waits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_read_back_from_its_name() {
        for attempt in [None, Some(("extract".to_owned(), None, 3)), Some(("load".to_owned(), Some(7), 1))] {
            let holder = Holder { run_key: RunKey::new("p", "r"), generation: 2, attempt };
            assert_eq!(Holder::parse(&holder.name()), Some(holder));
        }
        assert_eq!(Holder::parse("x/y"), None);
    }
}
