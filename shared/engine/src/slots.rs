//! Pools: named capacity, taken whole or not at all, given back once.
//!
//! A pool is one item: how many slots are `used`, by which `holders` (a set of leases), who of them was
//! `granted` what it has not heard of yet, and whether somebody is `awaited`. Its size is bounded by the
//! holders: who waits stands in an item of its own, a place in line. Taking and giving back are one
//! conditional change each, so holders never exceed slots and repeats change nothing. Slots of several
//! pools are taken by one transaction, with the write that starts the attempt: nobody ever holds a part.
//! Who waits is granted by the one who gives back, in order of priority, then age; a newcomer never
//! passes those who wait. `line` is that order, `grant` goes along it.

use crate::View;
use crate::command::{Command, Decision, Effect};
use crate::context::Unrendered;
use crate::grant::{self, Whom};
use crate::line::{self, POOL_PARTITION, Standing};
use crate::stop::Stop;
use cauce_model::item::{Body, Change, Cond, Step, When};
use cauce_model::plan::{Plan, TaskPlan};
use cauce_model::record::{HoldRecord, RunRecord};
use cauce_model::{Expect, Instant, Item, Json, Key, RunKey, Write, names};
use cauce_template::{Context, Template};
use std::collections::{BTreeMap, BTreeSet};

pub use crate::line::{STARVATION_SECONDS, priority_of};

pub(crate) const SLOTS: &str = "slots";
pub(crate) const USED: &str = "used";
pub(crate) const HOLDERS: &str = "holders";
/// Those of the holders who were granted their slots while they waited and have not heard of it.
pub(crate) const GRANTED: &str = "granted";
/// Present while somebody may stand in the line who has not been granted.
pub(crate) const AWAITED: &str = "awaited";
/// How often somebody joined the line, ever. Who has found nobody in the line takes [`AWAITED`] away only
/// where nobody has joined since.
pub(crate) const JOINED: &str = "joined";
pub(crate) const FENCE: &str = "fence";

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
    Key::new(format!("{POOL_PARTITION}{pool}"), POOL)
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
pub struct Want {
    /// The pool.
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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// In order of the pools' names, each once.
    pub(crate) wants: Vec<Want>,
    /// Where it stands in their lines, if it has to. The same whenever this is asked.
    pub(crate) standing: Standing,
    /// Who asks.
    pub(crate) holder: String,
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
    /// Not now. Its record keeps the token that hears of a grant, and once that is written [`stand`]
    /// goes into the line.
    Waits,
}

pub(crate) fn number(item: &Item, field: &str) -> i64 {
    item.body.get(field).and_then(Json::as_i64).unwrap_or(0)
}

/// The texts of a set.
pub(crate) fn texts<'a>(item: &'a Item, field: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    item.body.get(field).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

/// Sets are sorted: a thousand hold slots while a line is gone along.
fn has(item: &Item, field: &str, text: &str) -> bool {
    let set = item.body.get(field).and_then(Json::as_array);
    set.is_some_and(|set| set.binary_search_by(|have| have.as_str().unwrap_or("").cmp(text)).is_ok())
}

/// Whether so many slots of a pool are held under a name.
pub(crate) fn is_held(pool: &Item, holder: &str, slots: i64) -> bool {
    u32::try_from(slots).is_ok_and(|slots| has(pool, HOLDERS, &lease(holder, slots)))
}

/// The leases of a pool.
pub(crate) fn leases(pool: &Item) -> impl Iterator<Item = (&str, u32)> {
    texts(pool, HOLDERS).map(parse_lease)
}

/// How many slots a pool of the project has; `None` when nobody has said so here.
pub(crate) fn capacity(pool: &str, view: &View) -> Result<Option<u32>, Stop> {
    let slots = view.item(&pool_item(pool))?.and_then(|item| item.body.get(SLOTS)).and_then(Json::as_u64);
    Ok(slots.and_then(|slots| u32::try_from(slots).ok()))
}

/// Asks for slots. A repeat of the same request finds what it took before. `waited`: its record says that
/// it stands in line; then it was granted, most likely.
pub(crate) fn acquire(request: &Request, waited: bool, view: &View, now: Instant) -> Result<Grant, Stop> {
    match request.wants.as_slice() {
        [] => Ok(Grant::Held { holds: Vec::new(), writes: Vec::new() }),
        [want] => acquire_one(request, want, waited, view),
        _ => acquire_several(request, waited, view, now),
    }
}

/// Slots of one pool: one conditional change, which many may make at the same time.
fn acquire_one(request: &Request, want: &Want, waited: bool, view: &View) -> Result<Grant, Stop> {
    let key = pool_item(&want.pool);
    let holder = request.holder.as_str();
    let lease = lease(holder, want.slots);
    let held = |item: &Item| {
        let fence = number(item, FENCE).unsigned_abs();
        let hold =
            HoldRecord { pool: want.pool.clone(), slots: want.slots, holder: holder.to_owned(), fence };
        let place = request.standing.place(&want.pool, holder);
        let gone = waited.then_some(Write::Delete { key: place, expect: Expect::Any });
        Ok(Grant::Held { holds: vec![hold], writes: gone.into_iter().collect() })
    };
    if waited {
        // Until it says that it knows, whoever looks at the pool tells it again and again.
        let hears = Change { steps: vec![Step::Take(GRANTED.into(), holder.to_owned())] };
        let granted = When { all: vec![Cond::Contains(GRANTED.into(), holder.to_owned())] };
        if let Some(item) = view.update(format!("know:{}", want.pool), key.clone(), hears, granted)? {
            return held(item);
        }
    }
    let take = |name: &str, nobody: Cond| {
        let mut steps = vec![
            Step::Add(USED.into(), i64::from(want.slots)),
            Step::Insert(HOLDERS.into(), lease.clone()),
            Step::Add(FENCE.into(), 1),
            Step::Remove(AWAITED.into()),
        ];
        let mut all = vec![
            Cond::AtMost(USED.into(), i64::from(want.capacity) - i64::from(want.slots)),
            Cond::Lacks(HOLDERS.into(), lease.clone()),
            nobody,
        ];
        if want.says {
            steps.push(Step::Set(SLOTS.into(), Json::from(want.capacity)));
        } else {
            all.push(Cond::Equals(SLOTS.into(), Json::from(want.capacity)));
        }
        view.update(format!("{name}:{}", want.pool), key.clone(), Change { steps }, When { all })
    };
    if let Some(item) = take("take", Cond::Missing(AWAITED.into()))? {
        return held(item);
    }
    let Some(item) = view.item(&key)? else { return Ok(Grant::Waits) };
    if has(item, HOLDERS, &lease) {
        if has(item, GRANTED, holder) {
            // Granted between the two looks. It is asked again, and then it says that it knows.
            return Err(Stop::refuse(
                names::UNAVAILABLE,
                format!("slots of {} were just granted", want.pool),
            ));
        }
        // Its own first try did take, and the reply was lost.
        return held(item);
    }
    let free = i64::from(want.capacity) - number(item, USED);
    if is_awaited(item) && free >= i64::from(want.slots) && line::is_empty(item, holder, view)? {
        // Those for whose sake newcomers stand in line are gone, and nobody has said so yet.
        if let Some(item) = take("first", Cond::Equals(JOINED.into(), Json::from(number(item, JOINED))))? {
            return held(item);
        }
    }
    Ok(Grant::Waits)
}

/// Slots of several pools: all of them change in the transaction that starts the attempt, each at the
/// version that was read here, or none does.
fn acquire_several(request: &Request, waited: bool, view: &View, now: Instant) -> Result<Grant, Stop> {
    let holder = request.holder.as_str();
    view.want(request.wants.iter().map(|want| pool_item(&want.pool)))?;
    let mut writes = Vec::new();
    let mut holds = Vec::new();
    for want in &request.wants {
        let key = pool_item(&want.pool);
        let place = request.standing.place(&want.pool, holder);
        let wants = i64::from(want.slots);
        if line::room(&want.pool, i64::from(want.capacity), &place.sort, wants, view, now)? < wants {
            return Ok(Grant::Waits);
        }
        if waited {
            writes.push(Write::Delete { key: place, expect: Expect::Any });
        }
        let found = view.item(&key)?;
        let mut item = found.cloned().unwrap_or_else(|| Item::new(key, Body::new()));
        let expect = found.map_or(Expect::Absent, |item| Expect::Version(item.version));
        let mut steps = vec![Step::Set(SLOTS.into(), Json::from(want.capacity)), Step::Add(FENCE.into(), 1)];
        if !is_held(&item, holder, wants) {
            steps.push(Step::Add(USED.into(), wants));
            steps.push(Step::Insert(HOLDERS.into(), lease(holder, want.slots)));
        }
        Change { steps }.apply(&mut item.body);
        let (pool, fence) = (want.pool.clone(), number(&item, FENCE).unsigned_abs());
        holds.push(HoldRecord { pool, slots: want.slots, holder: holder.to_owned(), fence });
        writes.push(Write::Put { item, expect });
    }
    Ok(Grant::Held { holds, writes })
}

/// The effect for one that has to wait, once its record says so.
pub(crate) fn stand_in_line(request: Request) -> Effect {
    Effect::Command(Box::new(Command::Stand(Box::new(request))))
}

/// Into the lines first, then says so in the pools: who finds nobody in a line takes [`AWAITED`] away only
/// where nobody has said so since it looked at the pool. Then it looks itself, because slots may have
/// become free before it stood there.
pub(crate) fn stand(request: &Request, view: &View, now: Instant) -> Result<Decision, Stop> {
    let holder = request.holder.as_str();
    let several: serde_json::Map<String, Json> =
        request.wants.iter().map(|want| (want.pool.clone(), Json::from(want.slots))).collect();
    let mut effects = Vec::new();
    for want in &request.wants {
        let mut steps = vec![
            Step::Set(line::HOLDER.into(), Json::from(holder)),
            Step::Set(line::SLOTS.into(), Json::from(want.slots)),
            Step::Set(line::SINCE.into(), Json::from(now.to_string())),
        ];
        if several.len() > 1 {
            steps.push(Step::Set(line::POOLS.into(), Json::Object(several.clone())));
        }
        // One that stands there keeps the moment at which it came.
        let absent = When { all: vec![Cond::Missing(line::HOLDER.into())] };
        let place = request.standing.place(&want.pool, holder);
        view.update(format!("line:{}", want.pool), place, Change { steps }, absent)?;
        let mut steps = vec![Step::Set(AWAITED.into(), Json::from(true)), Step::Add(JOINED.into(), 1)];
        if want.says {
            steps.push(Step::Set(SLOTS.into(), Json::from(want.capacity)));
        }
        let waits = When { all: vec![Cond::Lacks(HOLDERS.into(), lease(holder, want.slots))] };
        view.update(format!("wait:{}", want.pool), pool_item(&want.pool), Change { steps }, waits)?;
        effects.push(look(&want.pool, holder.to_owned()));
    }
    Ok(Decision { effects, ..Decision::default() })
}

/// The effect that gives slots back.
pub(crate) fn give_back(pool: &str, holder: &str, slots: u32) -> Effect {
    let (pool, holder) = (pool.to_owned(), holder.to_owned());
    Effect::Command(Box::new(Command::Release { pool, holder, slots, place: None }))
}

/// The effect for one that may stand in a line and shall not any more: it leaves, with what it was granted.
pub(crate) fn leave(pool: &str, holder: &str, slots: u32, standing: &Standing) -> Effect {
    let place = Some(standing.place(pool, holder).sort);
    let (pool, holder) = (pool.to_owned(), holder.to_owned());
    Effect::Command(Box::new(Command::Release { pool, holder, slots, place }))
}

/// The effect for a run that has ended: gives back its slot, or leaves the line where it never had one.
pub(crate) fn of_ended_run(run: &RunRecord) -> Effect {
    let holder = Holder { run_key: run.key(), generation: run.generation, attempt: None }.name();
    match run.started_at {
        Some(_) => give_back(&pool_of_run(run), &holder, 1),
        None => leave(&pool_of_run(run), &holder, 1, &Standing::of_run(run)),
    }
}

/// The effect that takes those out of a pool's line, and gives back what they hold, whose records say that they are
/// over.
pub(crate) fn reclaim_lost(pool: String) -> Effect {
    Effect::Command(Box::new(Command::Reclaim { pool, all: false }))
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
    let Some(item) = view.item(&pool_item(pool))? else { return Ok(Decision::default()) };
    let (mut decision, waits) = grant::look(pool, whom, item, view, now)?;
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

/// Whether somebody may wait for slots of a pool who has not been granted.
pub(crate) fn is_awaited(pool: &Item) -> bool {
    pool.body.contains_key(AWAITED)
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
    place: Option<&str>,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let key = pool_item(pool);
    if holder.is_empty() {
        let Some(item) = view.item(&key)? else { return Ok(Decision::default()) };
        return Ok(grant::look(pool, Whom::All { whole: true }, item, view, now)?.0);
    }
    if let Some(sort) = place {
        // Out of the line, and then whatever it holds: one that grants it meanwhile finds its place gone, or
        // has granted before this looks what it holds.
        let place = Key::new(key.partition.clone(), sort);
        if view.item(&place)?.is_some() {
            let writes = vec![Write::Delete { key: place, expect: Expect::Any }];
            return Ok(Decision {
                writes,
                effects: vec![give_back(pool, holder, slots)],
                ..Decision::default()
            });
        }
    }
    let item = match give("give", &key, holder, i64::from(slots), None, view)? {
        Some(item) => item,
        None => match view.item(&key)? {
            Some(item) => item,
            None => return Ok(Decision::default()),
        },
    };
    Ok(grant::look(pool, Whom::Gave(holder, slots), item, view, now)?.0)
}

/// Takes a holder out of its pool, if it is in.
pub(crate) fn give<'a>(
    name: &str,
    key: &Key,
    holder: &str,
    slots: i64,
    only: Option<Cond>,
    view: &'a View,
) -> Result<Option<&'a Item>, Stop> {
    let lease = lease(holder, u32::try_from(slots).unwrap_or(u32::MAX));
    let steps = vec![
        Step::Add(USED.into(), -slots),
        Step::Take(HOLDERS.into(), lease.clone()),
        Step::Take(GRANTED.into(), holder.to_owned()),
    ];
    let all = std::iter::once(Cond::Contains(HOLDERS.into(), lease)).chain(only).collect();
    Ok(view.update(format!("{name}:{holder}"), key.clone(), Change { steps }, When { all })?)
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
        let sort = |priority, since, tie: &str| {
            Standing { priority, since: at(since), tie: tie.to_owned() }.place("p", "h").sort
        };
        let mut line = [sort(-3, 0, "0"), sort(0, 9, "0"), sort(0, 5, "1"), sort(0, 5, "0"), sort(7, 9, "0")];
        line.sort();
        let order: Vec<Option<i64>> = line.iter().map(|sort| priority_of(&Key::new("p", sort))).collect();
        assert_eq!(order, [Some(7), Some(0), Some(0), Some(0), Some(-3)]);
        assert_eq!(line[1], sort(0, 5, "0"));
        assert_eq!(line[2], sort(0, 5, "1"));
    }
}
