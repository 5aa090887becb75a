//! Pools: named capacity, taken whole or not at all, given back once.
//!
//! A pool is one item: how many slots are `used`, by which `holders` (a set of leases), and who is
//! `waiting` (a set as well); a waiter's place in line is an item of its own. Taking and giving back
//! are one conditional change each, so holders never exceed slots and repeats change nothing. Slots of
//! several pools are taken by one transaction, with the write that starts the attempt: nobody ever
//! holds a part. Who waits is granted by the one who gives back, in order of priority, then age; a
//! newcomer never passes those who wait. `line` is that order.

use crate::View;
use crate::command::{Command, Decision, Effect};
use crate::context::Unrendered;
use crate::line::{self, Ahead, LINE, Waiter, place_sort, stands_for};
use crate::stop::Stop;
use cauce_model::item::{Body, Change, Cond, Step, When};
use cauce_model::plan::{Plan, TaskPlan};
use cauce_model::record::{HoldRecord, RunRecord};
use cauce_model::{Expect, Instant, Item, Json, Key, RunKey, Write, names};
use cauce_template::{Context, Template};
use std::collections::{BTreeMap, BTreeSet};

pub use crate::line::{STARVATION_SECONDS, priority_of};

const SLOTS: &str = "slots";
pub(crate) const USED: &str = "used";
const HOLDERS: &str = "holders";
pub(crate) const WAITING: &str = "waiting";
const FENCE: &str = "fence";

/// The sort key of a pool's own item.
pub const POOL: &str = "P";

/// The pool that holds `max_active_tasks` of a pipeline.
pub fn active_tasks_pool(pipeline: &str) -> String {
    format!("active:{pipeline}")
}

/// The pool that holds `max_active_runs` of a pipeline.
pub fn active_runs_pool(pipeline: &str) -> String {
    format!("run:{pipeline}")
}

/// The pool that a run takes a slot of before it is let in.
pub fn pool_of_run(run: &RunRecord) -> String {
    let pool = active_runs_pool(&run.run.pipeline);
    match run.trigger.item.as_ref().filter(|item| item.alone) {
        Some(item) => format!("{pool}/{}", item.key),
        None => pool,
    }
}

/// The pool of one slot that is a lock. Pools of the project have no colon in their names.
pub fn lock_pool(name: &str) -> String {
    format!("lock:{name}")
}

/// The key of a pool.
pub fn pool_item(pool: &str) -> Key {
    Key::new(format!("pool#{pool}"), POOL)
}

/// What the sort keys of a pool's waiters begin with.
pub const WAITER_PREFIX: &str = line::LINE;

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

/// The text of a lease in a pool's `holders`: the holder's name, and how many slots where it is not
/// one. So whoever reads the pool alone knows what is held by whom.
pub fn lease(holder: &str, slots: u32) -> String {
    if slots == 1 { holder.to_owned() } else { format!("{holder}*{slots}") }
}

/// Reads a lease: the holder's name and the slots.
pub fn parse_lease(lease: &str) -> (&str, u32) {
    lease
        .rsplit_once('*')
        .and_then(|(holder, slots)| Some((holder, slots.parse().ok()?)))
        .unwrap_or((lease, 1))
}

/// Slots wanted of one pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Want {
    pub(crate) pool: String,
    /// How many are wanted.
    pub(crate) slots: u32,
    /// How many the pool has.
    pub(crate) capacity: u32,
    /// Whether the asker says how many the pool has (the plan's limits, locks). Otherwise the store
    /// does, for the pools of the project.
    pub(crate) says: bool,
}

/// A request for slots of one pool or of several.
pub(crate) struct Ask<'a> {
    /// In order of the pools' names, each once.
    pub(crate) wants: &'a [Want],
    pub(crate) priority: i64,
    /// Since when it is wanted: the older is granted first.
    pub(crate) since: Instant,
    /// Whether `since` is the same each time this is asked: then its place in line can only be one, and
    /// nobody reads a long line to find it.
    pub(crate) fixed: bool,
    /// Who goes first of those that came at the same moment; compared by bytes.
    pub(crate) tie: String,
    pub(crate) holder: &'a Holder,
}

/// What came of a request.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Grant {
    /// Held, once these writes are made together with the one that starts the attempt: slots of
    /// several pools are taken by them, and places in line given up.
    Held {
        /// What is held, with the fences minted.
        holds: Vec<HoldRecord>,
        /// The writes.
        writes: Vec<Write>,
    },
    /// In line. Whoever gives back answers the token that the holder's record keeps.
    Waiting,
}

pub(crate) fn number(item: &Item, field: &str) -> i64 {
    item.body.get(field).and_then(Json::as_i64).unwrap_or(0)
}

pub(crate) fn has(item: &Item, field: &str, text: &str) -> bool {
    item.body
        .get(field)
        .and_then(Json::as_array)
        .is_some_and(|set| set.iter().any(|v| v.as_str() == Some(text)))
}

/// Whether so many slots of a pool are held under a name.
pub(crate) fn is_held(pool: &Item, holder: &str, slots: i64) -> bool {
    u32::try_from(slots).is_ok_and(|slots| has(pool, HOLDERS, &lease(holder, slots)))
}

/// The leases of a pool.
pub(crate) fn leases(pool: &Item) -> impl Iterator<Item = (&str, u32)> {
    let holders = pool.body.get(HOLDERS).and_then(Json::as_array);
    holders.into_iter().flatten().filter_map(Json::as_str).map(parse_lease)
}

/// How many slots a pool of the project has; `None` when nobody has said so here.
pub(crate) fn capacity(pool: &str, view: &View) -> Result<Option<u32>, Stop> {
    let slots = view.item(&pool_item(pool))?.and_then(|item| item.body.get(SLOTS)).and_then(Json::as_u64);
    Ok(slots.and_then(|slots| u32::try_from(slots).ok()))
}

/// Asks for slots. A repeat of the same request finds what it took before.
pub(crate) fn acquire(ask: &Ask<'_>, view: &View, now: Instant) -> Result<Grant, Stop> {
    match ask.wants {
        [] => Ok(Grant::Held { holds: Vec::new(), writes: Vec::new() }),
        [want] => acquire_one(ask, want, view, now),
        _ => acquire_several(ask, view, now),
    }
}

/// Slots of one pool: one conditional change, which many may make at the same time.
fn acquire_one(ask: &Ask<'_>, want: &Want, view: &View, now: Instant) -> Result<Grant, Stop> {
    let key = pool_item(&want.pool);
    let holder = ask.holder.name();
    let lease = lease(&holder, want.slots);
    let mut steps = vec![
        Step::Add(USED.into(), i64::from(want.slots)),
        Step::Insert(HOLDERS.into(), lease.clone()),
        Step::Add(FENCE.into(), 1),
    ];
    let mut all = vec![
        Cond::AtMost(USED.into(), i64::from(want.capacity) - i64::from(want.slots)),
        Cond::Lacks(HOLDERS.into(), lease.clone()),
        Cond::Empty(WAITING.into()),
    ];
    if want.says {
        steps.push(Step::Set(SLOTS.into(), Json::from(want.capacity)));
    } else {
        all.push(Cond::Equals(SLOTS.into(), Json::from(want.capacity)));
    }
    let held = |fence: u64, writes: Vec<Write>| Grant::Held {
        holds: vec![HoldRecord { pool: want.pool.clone(), slots: want.slots, holder: holder.clone(), fence }],
        writes,
    };
    let taken = view.update(format!("take:{}", want.pool), key.clone(), Change { steps }, When { all })?;
    if let Some(item) = taken {
        return Ok(held(number(item, FENCE).unsigned_abs(), Vec::new()));
    }
    let mut gone = own_places(ask, &want.pool, view)?;
    if !view.item(&key)?.is_some_and(|item| has(item, HOLDERS, &lease)) {
        let joined = line_up(ask, want, view, now)?;
        match joined {
            None => return Ok(Grant::Waiting),
            // It holds already: somebody granted it between the two looks, or its own first try did
            // take and the reply was lost.
            Some(place) if !gone.contains(&place) => gone.push(place),
            Some(_) => {}
        }
    }
    // Granted while it waited. Until here whoever gave back tells it again and again; from here on it
    // knows. Only one that no longer waits is taken out, and this one does until this very change.
    let know = Change { steps: vec![Step::Take(WAITING.into(), holder.clone())] };
    let granted = When { all: vec![Cond::Contains(HOLDERS.into(), lease)] };
    match view.update(format!("know:{}", want.pool), key, know, granted)? {
        Some(item) => {
            let gone = gone.into_iter().map(|key| Write::Delete { key, expect: Expect::Any });
            Ok(held(number(item, FENCE).unsigned_abs(), gone.collect()))
        }
        // Taken back since, by somebody who found its run ended: it is asked again and finds the same.
        None => Err(Stop::refuse(names::UNAVAILABLE, format!("the slots of {} were taken back", want.pool))),
    }
}

/// Slots of several pools: all of them change in the transaction that starts the attempt, each at the
/// version that was read here, or none does.
fn acquire_several(ask: &Ask<'_>, view: &View, now: Instant) -> Result<Grant, Stop> {
    let holder = ask.holder.name();
    view.want(ask.wants.iter().map(|want| pool_item(&want.pool)))?;
    let mut writes = Vec::new();
    let mut holds = Vec::new();
    let mut is_ready = true;
    for want in ask.wants {
        let key = pool_item(&want.pool);
        let line = view.range(key.partition.clone(), LINE.to_owned())?;
        let own: Vec<&Item> = line.iter().filter(|place| stands_for(place) == Some(&holder)).collect();
        let newcomer = place_sort(ask.priority, ask.since, &ask.tie, &holder);
        let sort = own.first().map_or(newcomer.as_str(), |place| place.key.sort.as_str());
        let room = line::room(&want.pool, i64::from(want.capacity), sort, view, now)?;
        is_ready &= room >= i64::from(want.slots);
        let gone = own.iter().map(|place| Write::Delete { key: place.key.clone(), expect: Expect::Any });
        writes.extend(gone);
        let found = view.item(&key)?;
        let mut item = found.cloned().unwrap_or_else(|| Item::new(key, Body::new()));
        let expect = found.map_or(Expect::Absent, |item| Expect::Version(item.version));
        let mut steps = vec![
            Step::Set(SLOTS.into(), Json::from(want.capacity)),
            Step::Add(FENCE.into(), 1),
            Step::Take(WAITING.into(), holder.clone()),
        ];
        if !is_held(&item, &holder, i64::from(want.slots)) {
            steps.push(Step::Add(USED.into(), i64::from(want.slots)));
            steps.push(Step::Insert(HOLDERS.into(), lease(&holder, want.slots)));
        }
        Change { steps }.apply(&mut item.body);
        let fence = number(&item, FENCE).unsigned_abs();
        holds.push(HoldRecord { pool: want.pool.clone(), slots: want.slots, holder: holder.clone(), fence });
        writes.push(Write::Put { item, expect });
    }
    if is_ready {
        return Ok(Grant::Held { holds, writes });
    }
    for want in ask.wants {
        line_up(ask, want, view, now)?;
    }
    Ok(Grant::Waiting)
}

/// Where one that asks stands in a pool's line, or stood.
fn own_places(ask: &Ask<'_>, pool: &str, view: &View) -> Result<Vec<Key>, Stop> {
    let partition = pool_item(pool).partition;
    let holder = ask.holder.name();
    if ask.fixed {
        let place = Key::new(partition, place_sort(ask.priority, ask.since, &ask.tie, &holder));
        return Ok(view.item(&place)?.map(|_| place).into_iter().collect());
    }
    let line = view.range(partition, LINE.to_owned())?;
    let own = line.iter().filter(|place| stands_for(place) == Some(&holder));
    Ok(own.map(|place| place.key.clone()).collect())
}

/// Into the line first, then into the set: a set member without a place in line cannot be found by
/// those who grant, the other way round it can. `Some`: it did not join, because it holds already; this
/// is its place.
fn line_up(ask: &Ask<'_>, want: &Want, view: &View, now: Instant) -> Result<Option<Key>, Stop> {
    let key = pool_item(&want.pool);
    let holder = ask.holder.name();
    let sort = place_sort(ask.priority, ask.since, &ask.tie, &holder);
    let mut place = Key::new(key.partition.clone(), sort);
    if let Some(stands) = own_places(ask, &want.pool, view)?.into_iter().next() {
        place = stands;
    } else {
        let mut body = Body::new();
        body.insert(line::HOLDER.into(), Json::from(holder.as_str()));
        body.insert(line::SLOTS.into(), Json::from(want.slots));
        body.insert(line::SINCE.into(), Json::from(now.to_string()));
        if ask.wants.len() > 1 {
            let all = ask.wants.iter().map(|want| (want.pool.clone(), Json::from(want.slots)));
            body.insert(line::POOLS.into(), Json::Object(all.collect()));
        }
        let change =
            Change { steps: body.into_iter().map(|(field, value)| Step::Set(field, value)).collect() };
        view.update(format!("line:{}", want.pool), place.clone(), change, When::always())?;
    }
    let mut steps = vec![Step::Insert(WAITING.into(), holder.clone())];
    if want.says {
        steps.push(Step::Set(SLOTS.into(), Json::from(want.capacity)));
    }
    let absent = When { all: vec![Cond::Lacks(HOLDERS.into(), lease(&holder, want.slots))] };
    let joined = view.update(format!("wait:{}", want.pool), key, Change { steps }, absent)?;
    Ok(if joined.is_some() { None } else { Some(place) })
}

/// The effect that gives slots back.
pub(crate) fn give_back(pool: &str, holder: &str, slots: u32) -> Effect {
    Effect::Command(Box::new(Command::Release { pool: pool.to_owned(), holder: holder.to_owned(), slots }))
}

/// The effect that gives back what dead holders of a pool hold, whatever it takes to find them out.
pub(crate) fn reclaim(pool: String) -> Effect {
    Effect::Command(Box::new(Command::Reclaim { pool, all: true }))
}

/// The pools that tasks of a plan take slots of, whatever run they are of, by name. Locks, and pools that
/// items choose, have theirs from the run.
pub fn of_plan(plan: &Plan) -> BTreeSet<String> {
    let named = plan.tasks.iter().flat_map(|task| task.pools.keys().filter(|pool| !is_chosen(pool)).cloned());
    named.chain(plan.max_active_tasks.map(|_| active_tasks_pool(&plan.pipeline))).collect()
}

/// The pools that tasks of a run take slots of, by name; locks are known when they are taken.
pub(crate) fn of_run(plan: &Plan, run: &RunRecord) -> BTreeSet<String> {
    let mut pools = of_plan(plan);
    for task in plan.tasks.iter().filter(|task| task.pools.keys().any(|pool| is_chosen(pool))) {
        // One whose name cannot be made is never waited for: its task fails before it asks.
        pools.extend(of_task(task, run).unwrap_or_default().into_keys());
    }
    pools
}

/// How many slots of which pools an attempt of a task takes in a run, the names as its item fills them in.
pub(crate) fn of_task(task: &TaskPlan, run: &RunRecord) -> Result<BTreeMap<String, u32>, Unrendered> {
    let mut pools = BTreeMap::new();
    for (pool, slots) in &task.pools {
        let name = match &run.trigger.item {
            Some(item) if is_chosen(pool) => {
                let fields = Json::Object(item.fields.clone());
                let context = Context::new(&[(item.name.clone(), fields)].into_iter().collect());
                let name = Template::parse(pool).and_then(|template| template.render_text(&context));
                name.map_err(|error| Unrendered(format!("the pool '{pool}' cannot be named: {error}")))?
            }
            _ => pool.clone(),
        };
        // Two names may become one.
        *pools.entry(name).or_insert(0) += slots;
    }
    Ok(pools)
}

fn is_chosen(pool: &str) -> bool {
    pool.contains("{{")
}

/// What the item of a run adds to the priorities of its run and its tasks.
pub(crate) fn priority(run: &RunRecord) -> i64 {
    run.trigger.item.as_ref().map_or(0, |item| item.priority)
}

/// The first pause between two looks at a line, and the longest, in seconds. On AWS the sweep looks.
const LOOK_SECONDS: u64 = 2;
const LOOK_SECONDS_MAX: u64 = 60;

/// The effect for one that has just stored its token: it looks whether it can be granted, because
/// slots may have become free before it had, and goes on looking while it waits.
pub(crate) fn look(pool: &str, own: String) -> Effect {
    Effect::Command(Box::new(Command::Look { pool: pool.to_owned(), own, seconds: LOOK_SECONDS }))
}

/// The effect that looks once: whoever gave back may have died before it granted or told.
pub(crate) fn look_once(pool: &str) -> Effect {
    Effect::Command(Box::new(Command::Look { pool: pool.to_owned(), own: String::new(), seconds: 0 }))
}

/// Grants whom it can, and looks again later while somebody waits.
pub(crate) fn look_again(
    pool: &str,
    own: &str,
    seconds: u64,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let long = seconds >= LOOK_SECONDS_MAX;
    let whom = match own {
        "" => Whom::All { whole: long },
        own => Whom::Joined(own),
    };
    let mut decision = grant_line(pool, whom, view, now)?;
    let waits = view.item(&pool_item(pool))?.is_some_and(is_awaited);
    if waits && seconds > 0 {
        if long {
            // Long in line: perhaps somebody holds who died between its grant and its first write.
            decision.effects.push(reclaim(pool.to_owned()));
        }
        let next = Command::Look {
            pool: pool.to_owned(),
            own: String::new(),
            seconds: (seconds * 2).min(LOOK_SECONDS_MAX),
        };
        decision.effects.push(Effect::At { at: now.plus_seconds(seconds), command: Box::new(next) });
    }
    Ok(decision)
}

pub(crate) fn is_awaited(pool: &Item) -> bool {
    pool.body.get(WAITING).and_then(Json::as_array).is_some_and(|set| !set.is_empty())
}

/// The project's pools have these many slots from now on. Holders beyond a smaller number keep what
/// they hold, and nobody is granted until it fits; those who want more than there is are told.
pub(crate) fn resize(pools: &BTreeMap<String, u32>, view: &View) -> Result<Decision, Stop> {
    let mut decision = Decision::default();
    for (pool, slots) in pools {
        let slots = Json::from(*slots);
        let change = Change { steps: vec![Step::Set(SLOTS.into(), slots.clone())] };
        let when = When { all: vec![Cond::Differs(SLOTS.into(), slots)] };
        if view.update(format!("resize:{pool}"), pool_item(pool), change, when)?.is_some() {
            decision.effects.push(give_back(pool, "", 0));
        }
    }
    Ok(decision)
}

/// Gives slots back, then grants whom it can. An empty holder only grants, to whom in the line it may be.
pub(crate) fn release(
    pool: &str,
    holder: &str,
    slots: u32,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    if holder.is_empty() {
        return grant_line(pool, Whom::All { whole: true }, view, now);
    }
    let lease = lease(holder, slots);
    let change = Change {
        steps: vec![Step::Add(USED.into(), -i64::from(slots)), Step::Take(HOLDERS.into(), lease.clone())],
    };
    let held = When { all: vec![Cond::Contains(HOLDERS.into(), lease)] };
    view.update("give".into(), pool_item(pool), change, held)?;
    grant_line(pool, Whom::Gave(holder, i64::from(slots)), view, now)
}

/// For whose sake a line is looked at.
///
/// If each of a thousand at the same moment granted all that is free, or told all who were granted, each
/// would do what the others do: so who comes for its own sake does its own part, and what is left over is
/// for those who look by the clock.
#[derive(Clone, Copy)]
enum Whom<'a> {
    /// Everybody's: all that is free is granted, and those are told whom somebody granted who may have died
    /// before it told. The `whole` line: those who want more than there is are told too, and those who
    /// wait no more lose their places. Otherwise a full pool costs one read, however many wait.
    All {
        /// To its end.
        whole: bool,
    },
    /// That of one who has just joined: is it granted by now? It grants one slot.
    Joined(&'a str),
    /// That of those behind one who gave back so many slots: as many are granted. It may stand in the line
    /// itself, and leaves.
    Gave(&'a str, i64),
}

/// Places of a line read at a time, and records of those who stand there.
const PLACES: u32 = 25;

/// Grants whom it can, and tells whom it granted.
fn grant_line(pool: &str, whom: Whom<'_>, view: &View, now: Instant) -> Result<Decision, Stop> {
    let key = pool_item(pool);
    let mut decision = Decision::default();
    let Some(item) = view.item(&key)?.filter(|item| is_awaited(item)) else {
        return Ok(decision);
    };
    let capacity = number(item, SLOTS);
    let mut free = capacity - number(item, USED);
    let mut barred = false;
    // Those who must be met whatever is free: granted, but they do not know; and who leaves.
    let (mut sought, mut most): (BTreeSet<&str>, i64) = match whom {
        Whom::All { .. } => (leases(item).map(|(name, _)| name).collect(), i64::MAX),
        Whom::Joined(own) => (leases(item).map(|(name, _)| name).filter(|name| *name == own).collect(), 1),
        Whom::Gave(own, slots) => ([own].into(), slots),
    };
    let whole = matches!(whom, Whom::All { whole: true });
    if !whole && free <= 0 && sought.is_empty() {
        return Ok(decision);
    }
    // Looked up for everybody in the line: a thousand hold slots while thousands wait.
    let waiters: BTreeSet<&str> = line::everybody(item).collect();
    sought.retain(|name| waiters.contains(name));
    let mut after = None;
    loop {
        if !whole && (free.min(most) <= 0 || barred) && sought.is_empty() {
            return Ok(decision);
        }
        let (places, next) = view.page(key.partition.clone(), LINE.to_owned(), after.clone(), PLACES)?;
        let matters = |place: &Item, grants: bool, sought: &BTreeSet<&str>| {
            whole || grants || stands_for(place).is_some_and(|name| sought.contains(name))
        };
        let met = places.iter().filter(|place| matters(place, free.min(most) > 0 && !barred, &sought));
        view.want(
            met.filter_map(stands_for).filter_map(Holder::parse).flat_map(|holder| line::records(&holder)),
        )?;
        for place in places {
            if !matters(place, free.min(most) > 0 && !barred, &sought) {
                continue;
            }
            let Some((name, waiter)) = stands_for(place).and_then(|name| Some((name, Holder::parse(name)?)))
            else {
                continue;
            };
            sought.remove(name);
            let wants = number(place, SLOTS);
            let is_granted = is_held(item, name, wants);
            let waiting = line::waiter(&waiter, view)?;
            if waiting == Waiter::Gone {
                if waiters.contains(name) {
                    if !leave(view, &key, name, wants, is_granted)? {
                        // It was granted since, or has left: the next look tells.
                        continue;
                    }
                    if is_granted {
                        // It died before it knew: those behind it are granted what it gives back.
                        free += wants;
                        most = most.saturating_add(wants);
                    }
                }
                decision.writes.push(Write::Delete { key: place.key.clone(), expect: Expect::Any });
                if decision.writes.len() == cauce_model::item::TRANSACTION_MAX {
                    decision.effects.push(look_once(pool));
                    return Ok(decision);
                }
                continue;
            }
            if !waiters.contains(name) {
                // About to join, and then it looks itself; or it holds already and its place goes with
                // the write that is under way.
                continue;
            }
            let mut tells = true;
            if !is_granted && wants <= capacity {
                if barred || most <= 0 {
                    continue;
                }
                match line::ahead(place, free, view, now)? {
                    // Those behind wait; but who was granted before is told all the same.
                    Ahead::Bars => {
                        barred = true;
                        continue;
                    }
                    Ahead::Passed => continue,
                    Ahead::Takes(slots) => free -= slots,
                }
                if line::several(place).is_empty() {
                    // One that somebody else granted meanwhile is not this one's.
                    if grant(view, &key, name, wants, capacity)? {
                        most -= wants;
                    }
                } else {
                    // It takes them itself, all in one transaction; what is free here is kept for it.
                    tells = line::is_ready(place, view, now)?;
                }
            }
            // The grant may be an earlier caller's who died before it told: it is told again until the
            // waiter has taken its place out of the line. Without a token yet, the waiter looks itself.
            if let Waiter::Waits(token) = waiting
                && tells
            {
                let cause = format!("slots of {pool} are free");
                decision.effects.push(Effect::Refuse { token, error: names::AGAIN, cause });
            }
        }
        if next.is_none() {
            return Ok(decision);
        }
        after.clone_from(next);
    }
}

fn grant(view: &View, key: &Key, name: &str, wants: i64, capacity: i64) -> Result<bool, Stop> {
    let lease = lease(name, u32::try_from(wants).unwrap_or(u32::MAX));
    let change = Change {
        steps: vec![
            Step::Add(USED.into(), wants),
            Step::Add(FENCE.into(), 1),
            Step::Insert(HOLDERS.into(), lease.clone()),
        ],
    };
    let when = When {
        all: vec![
            Cond::AtMost(USED.into(), capacity - wants),
            Cond::Equals(SLOTS.into(), Json::from(capacity)),
            Cond::Lacks(HOLDERS.into(), lease),
            Cond::Contains(WAITING.into(), name.to_owned()),
        ],
    };
    Ok(view.update(format!("grant:{name}"), key.clone(), change, when)?.is_some())
}

/// Takes one that no longer waits out of the pool, with what it had been granted.
fn leave(view: &View, key: &Key, name: &str, wants: i64, is_granted: bool) -> Result<bool, Stop> {
    let mut steps = vec![Step::Take(WAITING.into(), name.to_owned())];
    let mut all = vec![Cond::Contains(WAITING.into(), name.to_owned())];
    let lease = lease(name, u32::try_from(wants).unwrap_or(u32::MAX));
    if !is_granted {
        all.push(Cond::Lacks(HOLDERS.into(), lease));
    } else {
        steps.extend([Step::Add(USED.into(), -wants), Step::Take(HOLDERS.into(), lease.clone())]);
        all.push(Cond::Contains(HOLDERS.into(), lease));
    }
    Ok(view.update(format!("gone:{name}"), key.clone(), Change { steps }, When { all })?.is_some())
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

    #[test]
    fn a_lease_tells_its_slots() {
        assert_eq!(parse_lease(&lease("k/1/t//1", 1)), ("k/1/t//1", 1));
        assert_eq!(parse_lease(&lease("k/1/t//1", 12)), ("k/1/t//1", 12));
    }

    #[test]
    fn a_line_goes_by_priority_then_age_then_position() {
        let at = |seconds: i64| Instant::from_micros(seconds * 1_000_000);
        let sort = |priority, since, tie: &str| place_sort(priority, at(since), tie, "h");
        let mut line = [sort(-3, 0, "0"), sort(0, 9, "0"), sort(0, 5, "1"), sort(0, 5, "0"), sort(7, 9, "0")];
        line.sort();
        let order: Vec<Option<i64>> = line.iter().map(|sort| priority_of(&Key::new("p", sort))).collect();
        assert_eq!(order, [Some(7), Some(0), Some(0), Some(0), Some(-3)]);
        assert_eq!(line[1], sort(0, 5, "0"));
        assert_eq!(line[2], sort(0, 5, "1"));
    }
}
