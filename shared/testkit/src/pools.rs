//! What pools promise on any store: many ask at once, some die at any call, and holders never exceed
//! slots, nobody is lost, every slot comes back.
//!
//! The decisions are the engine's own and the loop around them the driver's; only the state machines
//! are played here: a contender begins its task, waits for the answer to its token, holds, and ends,
//! or vanishes, which its execution's end tells. This is why this room knows the driver: a copy of
//! its loop would prove the copy.

#![expect(clippy::unwrap_used, reason = "a suite fails by panicking, as tests do")]

use crate::prng::Prng;
use crate::stage::Stage;
use cauce_driver::{Driver, DriverError};
use cauce_engine::command::{Begin, Finish, Outcome};
use cauce_engine::{Command, Prepared, Reply, Settings, slots};
use cauce_model::ids::{RunRef, child_execution_name};
use cauce_model::item::{Body, Change, Expect, Item, Key, Step, When, Write};
use cauce_model::plan::Plan;
use cauce_model::record::{Record, TaskRecord, run_item, task_item};
use cauce_model::{Instant, Json, RunKey, names};
use cauce_ports::{Answer, Cursor, Page, Services, Table, TableError};
use futures_util::future::{join, join_all, join3};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// The task machine's name.
const MACHINE: &str = "container";

/// A task that contends: its name, the slots it takes by pool, and whether it takes the lock.
type Contender = (&'static str, &'static [(&'static str, u32)], bool);

/// The tasks that contend: one pool, two, another, a big one, and a lock beside a pool.
const TASKS: [Contender; 5] = [
    ("one", &[("sftp", 1)], false),
    ("two", &[("sftp", 1), ("db", 2)], false),
    ("other", &[("db", 1)], false),
    ("big", &[("sftp", 2), ("db", 3)], false),
    ("locked", &[("db", 1)], true),
];

/// The pools and their slots.
const POOLS: [(&str, u32); 2] = [("sftp", 2), ("db", 3)];

/// The lock, as a pool.
const LOCK: &str = "ledger";

/// Longest time, on the contract's own clock, until all have ended. A day is far more than it takes.
const SECONDS_MAX: i64 = 24 * 3600;

/// How often one that waits for others looks, at most. Those others end within some hundred.
const POLLS_MAX: u32 = 10_000_000;

/// The first to come: in these seconds of the contract's own clock, both pools are filled, and then
/// one more comes to each. Before [`OPENING_SECONDS`] nobody else comes and none of them ends, so that
/// whoever lets a pool be overdrawn is found, however slow the store is.
const OPENING: [(&str, u64); 7] =
    [("one", 0), ("one", 0), ("other", 0), ("other", 0), ("other", 0), ("one", 1), ("other", 1)];

/// How long the opening takes.
const OPENING_SECONDS: u64 = 2;

/// In how many seconds after the opening the others come.
const ARRIVALS: u64 = 8;

/// How many seconds one of the others holds at most.
const HOLDS: u64 = 4;

/// Lets `contenders` contend on a store, interleaved by a seed, and checks what pools promise. Names
/// carry the seed, so that one store may be used for several.
///
/// # Panics
/// A pool was given to more than it has slots, a contender never got its turn, or slots were lost.
pub async fn pool_contract<T: Table>(table: T, seed: u64, contenders: u64) {
    let scene = Scene::open(table, seed).await;
    let mut prng = Prng::new(seed ^ 0xc0_ffee);
    let parts: Vec<Part> = (0..contenders).map(|number| Part::drawn(seed, number, &mut prng)).collect();
    scene.register(&parts).await;
    let left = Cell::new(parts.len());
    let all = join_all(parts.iter().map(|part| async {
        part.play(&scene).await;
        left.set(left.get() - 1);
    }));
    join(all, scene.time(&left)).await;
    scene.is_empty_in_the_end(&parts).await;
    let most = scene.held.most.borrow();
    assert!(
        contenders < OPENING.len() as u64
            || POOLS.iter().any(|(pool, slots)| most.get(&named(pool, seed)) == Some(slots)),
        "seed {seed}: no pool was ever full: {most:?}"
    );
}

/// What chance brings about once in a thousand runs, on purpose: two give back their slots, and each is
/// stopped when it has found who is to have them and has not granted yet; meanwhile one that stands
/// before that one takes the slots. Names carry the seed.
///
/// # Panics
/// The slots were given twice, or somebody never got its turn.
pub async fn overtaken_contract<T: Table>(table: T, seed: u64) {
    let scene = Scene::open(table, seed).await;
    let parts = ["other", "other", "other", "other", "two"];
    let parts: Vec<Part> = (0..).zip(parts).map(|(number, task)| Part::new(seed, number, task)).collect();
    scene.register(&parts).await;
    let [first, second, third, waits, overtakes] = parts.as_slice() else { unreachable!("five") };
    let mut fences = Vec::new();
    for part in [first, second, third] {
        fences.push(part.begin(&scene, 1).await.unwrap());
    }
    assert_eq!(waits.begin(&scene, 1).await, None, "the pool is full");
    let table = scene.driver.services().table();
    table.stops.set(Stops::Grants);
    let ended = Cell::new(0);
    let end = async |part: &Part, fence| {
        part.finish(&scene, fence).await;
        ended.set(ended.get() + 1);
    };
    let overtaking = async {
        until(|| table.stopped.get() == 2 || ended.get() == 2).await;
        let fence = overtakes.begin(&scene, 1).await;
        table.stops.set(Stops::Nothing);
        fence
    };
    let ((), (), fence) = join3(end(first, fences[0]), end(second, fences[1]), overtaking).await;
    assert_eq!(table.stopped.get(), 2, "nobody was about to grant");
    overtakes.finish(&scene, fence.unwrap()).await;
    let fence = waits.begin(&scene, 2).await.unwrap();
    third.finish(&scene, fences[2]).await;
    waits.finish(&scene, fence).await;
    scene.is_empty_in_the_end(&parts).await;
}

/// One gives back and is stopped when it has found who is to have the slot; meanwhile that one ends. Names
/// carry the seed.
///
/// # Panics
/// The slot is kept for nobody.
pub async fn left_contract<T: Table>(table: T, seed: u64) {
    let scene = Scene::open(table, seed).await;
    let parts: Vec<Part> = (0..4).map(|number| Part::new(seed, number, "other")).collect();
    scene.register(&parts).await;
    let [first, second, third, leaves] = parts.as_slice() else { unreachable!("four") };
    let mut fences = Vec::new();
    for part in [first, second, third] {
        fences.push(part.begin(&scene, 1).await.unwrap());
    }
    assert_eq!(leaves.begin(&scene, 1).await, None, "the pool is full");
    let table = scene.driver.services().table();
    table.stops.set(Stops::Grants);
    let leaving = async {
        until(|| table.stopped.get() > 0).await;
        scene.driver.execute(&leaves.died(0)).await.unwrap();
        table.stops.set(Stops::Nothing);
    };
    join(first.finish(&scene, fences[0]), leaving).await;
    let pool = async || scene.pool("db").await;
    assert_eq!(
        pool().await.body["used"],
        2,
        "a slot is kept for one that has ended: {:?}",
        pool().await.body
    );
    second.finish(&scene, fences[1]).await;
    third.finish(&scene, fences[2]).await;
    scene.is_empty_in_the_end(&parts).await;
}

/// One gives back, grants, and is stopped before it looks whether the one that it granted is still there;
/// meanwhile that one hears of it and starts. Names carry the seed.
///
/// # Panics
/// What it holds is taken from it.
pub async fn heard_contract<T: Table>(table: T, seed: u64) {
    let scene = Scene::open(table, seed).await;
    let parts: Vec<Part> = (0..4).map(|number| Part::new(seed, number, "other")).collect();
    scene.register(&parts).await;
    let [first, second, third, waits] = parts.as_slice() else { unreachable!("four") };
    let mut fences = Vec::new();
    for part in [first, second, third] {
        fences.push(part.begin(&scene, 1).await.unwrap());
    }
    assert_eq!(waits.begin(&scene, 1).await, None, "the pool is full");
    let table = scene.driver.services().table();
    table.stops.set(Stops::Looks);
    let hearing = async {
        until(|| table.stopped.get() > 0).await;
        let fence = waits.begin(&scene, 2).await;
        table.stops.set(Stops::Nothing);
        fence.unwrap()
    };
    let ((), fence) = join(first.finish(&scene, fences[0]), hearing).await;
    assert_eq!(scene.pool("db").await.body["used"], 3, "one that has started holds nothing any more");
    for (part, fence) in [(second, fences[1]), (third, fences[2]), (waits, fence)] {
        part.finish(&scene, fence).await;
    }
    scene.is_empty_in_the_end(&parts).await;
}

/// One gives back, grants the last of those who wait, and is stopped when it has found that nobody waits any
/// more; meanwhile another comes. Names carry the seed.
///
/// # Panics
/// That one is forgotten.
pub async fn joined_contract<T: Table>(table: T, seed: u64) {
    let scene = Scene::open(table, seed).await;
    let parts: Vec<Part> = (0..5).map(|number| Part::new(seed, number, "other")).collect();
    scene.register(&parts).await;
    let [first, second, third, waits, comes] = parts.as_slice() else { unreachable!("five") };
    let mut fences = Vec::new();
    for part in [first, second, third] {
        fences.push(part.begin(&scene, 1).await.unwrap());
    }
    assert_eq!(waits.begin(&scene, 1).await, None, "the pool is full");
    let table = scene.driver.services().table();
    table.stops.set(Stops::Clears);
    let coming = async {
        until(|| table.stopped.get() > 0).await;
        assert_eq!(comes.begin(&scene, 1).await, None, "the pool is full");
        table.stops.set(Stops::Nothing);
    };
    join(first.finish(&scene, fences[0]), coming).await;
    fences.push(waits.begin(&scene, 2).await.unwrap());
    second.finish(&scene, fences[1]).await;
    assert!(scene.driver.ports().answer_to(&comes.token(1)).is_some(), "nobody told it that there is a slot");
    fences.push(comes.begin(&scene, 2).await.unwrap());
    for (part, fence) in [(third, fences[2]), (waits, fences[3]), (comes, fences[4])] {
        part.finish(&scene, fence).await;
    }
    scene.is_empty_in_the_end(&parts).await;
}

fn named(word: &str, seed: u64) -> String {
    format!("{word}{seed}")
}

fn plan(seed: u64) -> Plan {
    let tasks: Vec<Json> = TASKS
        .iter()
        .zip([0, 3, 0, 5, -1])
        .map(|((name, pools, locks), priority)| {
            let pools: BTreeMap<String, u32> = pools.iter().map(|(pool, n)| (named(pool, seed), *n)).collect();
            let retry = cauce_model::plan::RetryPlan::default();
            json!({
                "name": name,
                "kind": {"type": "container", "image": "x", "command": ["run"], "task_definition": "x", "cpu": 256, "memory": 512},
                "timeout_seconds": 60, "start_timeout_seconds": 60, "stop_timeout_seconds": 30,
                "retry": retry,
                "pools": pools,
                "lock": locks.then(|| named(LOCK, seed)),
                "priority": priority,
            })
        })
        .collect();
    let plan = json!({"schema": 1, "pipeline": named("p", seed), "max_active_runs": 1000, "tasks": tasks});
    serde_json::from_value(plan).unwrap()
}

/// How a contender's story goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It ends well.
    Ends,
    /// It dies while it holds.
    DiesHolding,
    /// Its function dies when it has begun and ended so many calls of the store, and is not asked again.
    DiesAsking(u64),
}

struct Part {
    run_key: RunKey,
    run: Body,
    task: String,
    takes: Vec<(String, u32)>,
    fate: Fate,
    /// When it comes, and how long it holds, in seconds of the contract's own clock. That clock stands
    /// still while anybody decides: those that come while somebody holds have asked before it ends,
    /// however slow the store is, and those that come when it ends mix with its ending.
    arrives: u64,
    holds: u64,
}

impl Part {
    /// One that comes at once and ends well.
    fn new(seed: u64, number: u64, task: &str) -> Self {
        let (_, pools, locks) = TASKS.into_iter().find(|(name, ..)| *name == task).unwrap();
        let run = RunRef { pipeline: named("p", seed), run_id: format!("r{number}") };
        let run_key = run.key();
        let at = "2026-01-05T06:00:00Z";
        let record = json!({
            "run": run, "generation": 1, "version": format!("v{seed}"), "status": "running",
            "trigger": {"kind": "manual"}, "params": {}, "timezone": "UTC",
            "logical_date": at, "data_interval_start": at, "data_interval_end": at, "created_at": at,
            "execution": format!("r{number}-g1"), "machine": "p",
        });
        let Json::Object(run) = record else { unreachable!("an object") };
        let mut takes: Vec<(String, u32)> = pools.iter().map(|(pool, n)| (named(pool, seed), *n)).collect();
        takes.extend(locks.then(|| (slots::lock_pool(&named(LOCK, seed)), 1)));
        Self { run_key, run, task: task.to_owned(), takes, fate: Fate::Ends, arrives: 0, holds: 0 }
    }

    /// One of the opening, or one whose story is drawn.
    fn drawn(seed: u64, number: u64, prng: &mut Prng) -> Self {
        if let Some((task, arrives)) = OPENING.get(number as usize) {
            return Self { arrives: *arrives, holds: OPENING_SECONDS, ..Self::new(seed, number, task) };
        }
        let (task, ..) = TASKS[prng.below(TASKS.len() as u64) as usize];
        let fate = match prng.below(6) {
            0 => Fate::DiesHolding,
            1 => Fate::DiesAsking(1 + prng.below(12)),
            _ => Fate::Ends,
        };
        let (arrives, holds) = (OPENING_SECONDS + prng.below(ARRIVALS), prng.below(HOLDS));
        Self { fate, arrives, holds, ..Self::new(seed, number, task) }
    }

    fn token(&self, number: u32) -> String {
        format!("{}/{}/{number:04}", self.run_key, self.task)
    }

    fn asks(&self, token: &str) -> Command {
        Command::Begin(Begin {
            run_key: self.run_key.clone(),
            generation: 1,
            task: self.task.clone(),
            index: None,
            token: token.to_owned(),
            token_order: token.to_owned(),
        })
    }

    /// Begins once: its fence, or nothing where it has to wait.
    async fn begin<T: Table>(&self, scene: &Scene<T>, number: u32) -> Option<u64> {
        let token = self.token(number);
        scene.deciding(&self.asks(&token)).await.unwrap();
        let answer = scene.driver.ports().answer_to(&token)?;
        let Answer::Success(launch) = answer else { panic!("{answer:?}") };
        Some(launch["fence"].as_u64().unwrap())
    }

    /// What the end of its execution tells.
    fn died(&self, fence: u64) -> Command {
        Command::Finish(Finish {
            run_key: self.run_key.clone(),
            generation: 1,
            task: self.task.clone(),
            index: None,
            fence,
            outcome: Outcome::Died(None),
        })
    }

    async fn finish<T: Table>(&self, scene: &Scene<T>, fence: u64) {
        let result = json!({"StopCode": "EssentialContainerExited", "Containers": [{"ExitCode": 0}]});
        let finish = Command::Finish(Finish {
            run_key: self.run_key.clone(),
            generation: 1,
            task: self.task.clone(),
            index: None,
            fence,
            outcome: Outcome::Succeeded(result),
        });
        scene.deciding(&finish).await.unwrap();
        scene.driver.ports().close(self.execution());
    }

    async fn play<T: Table>(&self, scene: &Scene<T>) {
        let stage = scene.driver.ports();
        scene.wait(self.arrives).await;
        for number in 1.. {
            let token = self.token(number);
            let begin = self.asks(&token);
            let asked = scene.deciding(&begin);
            match self.fate {
                Fate::DiesAsking(steps) => {
                    if cut(asked, &stage.table().steps, steps).await.is_none() {
                        return stage.close(self.execution());
                    }
                }
                // A function that fails is asked again.
                _ => drop(asked.await.unwrap()),
            }
            let answer = loop {
                match stage.answer_to(&token) {
                    Some(answer) => break answer,
                    None => pause().await,
                }
            };
            match answer {
                Answer::Failure { error, .. } if error == names::AGAIN => {}
                Answer::Failure { error, cause } => panic!("{error}: {cause}"),
                Answer::Success(launch) => return self.hold(scene, launch["fence"].as_u64().unwrap()).await,
            }
        }
    }

    async fn hold<T: Table>(&self, scene: &Scene<T>, fence: u64) {
        scene.held.enter(&self.takes);
        scene.wait(self.holds).await;
        scene.held.leave(&self.takes);
        if self.fate == Fate::DiesHolding {
            return scene.driver.ports().close(self.execution());
        }
        self.finish(scene, fence).await;
    }

    fn execution(&self) -> String {
        child_execution_name(&self.run_key, 1, &self.task, None)
    }
}

/// The contenders' common ground.
struct Scene<T> {
    seed: u64,
    driver: Driver<Stage<Uneven<T>>>,
    /// How many decide at this moment.
    deciding: Cell<usize>,
    held: Held,
}

impl<T: Table> Scene<T> {
    /// The pools on this store, all free.
    async fn open(table: T, seed: u64) -> Self {
        let stage = Stage::new(Uneven::new(table, seed), Instant::parse("2026-01-05T06:00:00Z").unwrap());
        let settings = Settings {
            documents: "s3://state/documents".to_owned(),
            machines: BTreeMap::from([(MACHINE.to_owned(), MACHINE.to_owned())]),
            ..Settings::default()
        };
        let driver = Driver::new(stage, settings);
        driver.plans().keep(Arc::new(Prepared::new(plan(seed), format!("v{seed}"))));
        let pools = BTreeMap::from(POOLS.map(|(pool, slots)| (named(pool, seed), slots)));
        driver.execute(&Command::Resize { pools }).await.unwrap();
        Self { seed, driver, deciding: Cell::new(0), held: Held::default() }
    }

    /// Writes the contenders' runs.
    async fn register(&self, parts: &[Part]) {
        for part in parts {
            let item = Item::new(run_item(&part.run_key), part.run.clone());
            let write = [Write::Put { item, expect: Expect::Absent }];
            self.driver.services().table().write(&write, &part.token(0)).await.unwrap();
        }
    }

    /// The names of all pools, the lock's among them.
    fn pools(&self) -> impl Iterator<Item = String> {
        let pools = POOLS.map(|(pool, _)| named(pool, self.seed));
        pools.into_iter().chain([slots::lock_pool(&named(LOCK, self.seed))])
    }

    /// Carries out a command; time stands still meanwhile.
    async fn deciding(&self, command: &Command) -> Result<Reply, DriverError> {
        struct Busy<'a>(&'a Cell<usize>);
        impl Drop for Busy<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.deciding.set(self.deciding.get() + 1);
        let _busy = Busy(&self.deciding);
        self.driver.execute(command).await
    }

    /// Waits until so many seconds have passed.
    async fn wait(&self, seconds: u64) {
        let until = self.driver.ports().now().plus_seconds(seconds);
        while self.driver.ports().now() < until {
            pause().await;
        }
    }

    /// Time passes while everybody waits: timers fire, and now and then the sweep looks for the dead.
    async fn time(&self, left: &Cell<usize>) {
        let (seed, stage) = (self.seed, self.driver.ports());
        let began = stage.now();
        while left.get() > 0 {
            pause().await;
            if self.deciding.get() > 0 {
                continue;
            }
            let mut due = stage.pass(1);
            let passed = stage.now().micros_since(began) / 1_000_000;
            assert!(passed < SECONDS_MAX, "seed {seed}: {} never got their turn", left.get());
            if passed % 20 == 0 {
                due.extend(self.pools().map(|pool| Command::Reclaim { pool, all: true }));
            }
            for command in due {
                self.driver.execute(&command).await.unwrap();
            }
        }
    }

    /// What the sweep of its run does for one that wrote that it waits and died before it stood in line: no
    /// pool knows of it.
    async fn sweep(&self, part: &Part) {
        let item = self.driver.services().table().get(&task_item(&part.run_key, &part.task, None)).await;
        let record = item.unwrap().map(|item| TaskRecord::from_item(&item).unwrap());
        let Some(record) = record.filter(|record| !record.status.is_terminal()) else { return };
        assert!(part.fate != Fate::Ends, "{} lives and is {:?}", part.token(0), record.status);
        self.driver.execute(&part.died(record.fence)).await.unwrap();
    }

    /// A pool's own item.
    async fn pool(&self, name: &str) -> Item {
        let key = slots::pool_item(&named(name, self.seed));
        self.driver.services().table().get(&key).await.unwrap().unwrap()
    }

    /// The dead are found and settled, then their places go; after that nothing is held and nobody
    /// waits.
    async fn is_empty_in_the_end(&self, parts: &[Part]) {
        let seed = self.seed;
        let table = self.driver.services().table();
        for part in parts {
            self.sweep(part).await;
        }
        for _ in 0..3 {
            for pool in self.pools() {
                self.driver.execute(&Command::Reclaim { pool, all: true }).await.unwrap();
            }
        }
        for pool in self.pools() {
            let key = slots::pool_item(&pool);
            let Some(item) = table.get(&key).await.unwrap() else { continue };
            let used = item.body.get("used").and_then(Json::as_i64).unwrap_or(0);
            assert_eq!(used, 0, "seed {seed}: slots of {pool} are lost: {:?}", item.body);
            for set in ["holders", "granted"] {
                let is_empty = item.body.get(set).and_then(Json::as_array).is_none_or(Vec::is_empty);
                assert!(is_empty, "seed {seed}: {set} of {pool} are left: {:?}", item.body);
            }
            let line = table.query(&key.partition, slots::WAITER_PREFIX, None, 10).await.unwrap();
            assert_eq!(line.items, [], "seed {seed}: a place in line is left");
        }
        for part in parts {
            let record = table.get(&task_item(&part.run_key, &part.task, None)).await.unwrap();
            let status = record.map(|item| TaskRecord::from_item(&item).unwrap().status);
            // One that died before its first write has no record, and nothing to end.
            let ended = status.map_or(part.fate != Fate::Ends, cauce_model::TaskStatus::is_terminal);
            assert!(ended, "seed {seed}: {} is {status:?}", part.token(0));
        }
    }
}

/// Polls until that many steps of calls were taken meanwhile, then drops it, as a function's death does.
/// Nothing else runs during a poll, so the steps taken in it are its own.
async fn cut<F: Future>(work: F, steps: &Cell<u64>, most: u64) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut taken = 0;
    std::future::poll_fn(move |cx| {
        let before = steps.get();
        let polled = work.as_mut().poll(cx).map(Some);
        taken += steps.get() - before;
        if polled.is_pending() && taken >= most { Poll::Ready(None) } else { polled }
    })
    .await
}

/// Lets the others go on until something has happened.
async fn until(happened: impl Fn() -> bool) {
    for _ in 0..POLLS_MAX {
        if happened() {
            return;
        }
        pause().await;
    }
    panic!("what is waited for does not happen");
}

/// Lets the others go on.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Who holds how much, as the contenders themselves know it, and the most that ever was.
#[derive(Default)]
struct Held {
    now: RefCell<BTreeMap<String, u32>>,
    most: RefCell<BTreeMap<String, u32>>,
}

impl Held {
    fn enter(&self, takes: &[(String, u32)]) {
        for (pool, slots) in takes {
            let mut held = self.now.borrow_mut();
            let now = held.entry(pool.clone()).or_default();
            *now += slots;
            let capacity =
                POOLS.iter().find(|(name, _)| pool.starts_with(name)).map_or(1, |(_, slots)| *slots);
            assert!(*now <= capacity, "{now} of {capacity} slots of {pool} are held");
            let mut most = self.most.borrow_mut();
            let most = most.entry(pool.clone()).or_default();
            *most = (*most).max(*now);
        }
    }

    fn leave(&self, takes: &[(String, u32)]) {
        for (pool, slots) in takes {
            *self.now.borrow_mut().entry(pool.clone()).or_default() -= slots;
        }
    }
}

/// A call before which whoever makes it is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Stops {
    #[default]
    Nothing,
    /// Slots for one that waits.
    Grants,
    /// Nobody waits any more.
    Clears,
    /// Is the one in this place still there?
    Looks,
}

impl Stops {
    /// What a change is.
    fn of(change: &Change) -> Self {
        let grants = |step: &Step| matches!(step, Step::Insert(field, _) if field == "granted");
        let clears = |step: &Step| matches!(step, Step::Remove(field) if field == "awaited");
        match change.steps.as_slice() {
            steps if steps.iter().any(grants) => Self::Grants,
            [step] if clears(step) => Self::Clears,
            _ => Self::Nothing,
        }
    }
}

/// A store whose calls take their time, by a seed, before and after they happen: so calls of all
/// contenders mix on a store that would answer at once.
struct Uneven<T> {
    inner: T,
    prng: RefCell<Prng>,
    /// Calls begun and calls ended.
    steps: Cell<u64>,
    /// Who is stopped in the moment before.
    stops: Cell<Stops>,
    /// How many have been stopped.
    stopped: Cell<u64>,
}

impl<T> Uneven<T> {
    fn new(inner: T, seed: u64) -> Self {
        let prng = RefCell::new(Prng::new(seed));
        let (steps, stops, stopped) = Default::default();
        Self { inner, prng, steps, stops, stopped }
    }

    async fn around<F: Future>(&self, call: F) -> F::Output {
        self.dawdle().await;
        self.steps.set(self.steps.get() + 1);
        let outcome = call.await;
        self.steps.set(self.steps.get() + 1);
        self.dawdle().await;
        outcome
    }

    /// Stays here while such calls are stopped.
    async fn stop(&self, what: Stops) {
        if what == Stops::Nothing || self.stops.get() != what {
            return;
        }
        self.stopped.set(self.stopped.get() + 1);
        while self.stops.get() == what {
            pause().await;
        }
    }

    async fn dawdle(&self) {
        let polls = self.prng.borrow_mut().below(3);
        for _ in 0..polls {
            pause().await;
        }
    }
}

impl<T: Table> Table for Uneven<T> {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.around(self.inner.get(key)).await
    }
    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        if matches!(keys, [key] if key.sort.starts_with(slots::WAITER_PREFIX)) {
            self.stop(Stops::Looks).await;
        }
        self.around(self.inner.batch_get(keys)).await
    }
    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        self.around(self.inner.query(partition, prefix, after, limit)).await
    }
    async fn list(
        &self,
        list: &str,
        from: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        self.around(self.inner.list(list, from, after, limit)).await
    }
    async fn write(&self, writes: &[Write], token: &str) -> Result<(), TableError> {
        self.around(self.inner.write(writes, token)).await?;
        for write in writes {
            if let Write::Put { item, .. } = write {
                is_within_its_slots(&item.key, &item.body);
            }
        }
        Ok(())
    }
    async fn update(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        self.stop(Stops::of(change)).await;
        let item = self.around(self.inner.update(key, change, when)).await?;
        is_within_its_slots(key, &item.body);
        Ok(item)
    }
}

/// Holds every state that a pool is ever in against what it says of itself.
fn is_within_its_slots(key: &Key, body: &Body) {
    let number = |field: &str| body.get(field).and_then(Json::as_u64).unwrap_or(0);
    let Some(slots) = body.get("slots").and_then(Json::as_u64).filter(|_| key.sort == slots::POOL) else {
        return;
    };
    let holders = body.get("holders").and_then(Json::as_array).into_iter().flatten();
    let held = holders.filter_map(Json::as_str).map(|lease| u64::from(slots::parse_lease(lease).1));
    assert_eq!(number("used"), held.sum::<u64>(), "{key} counts others than it names: {body:?}");
    assert!(number("used") <= slots, "{key} is given to more than it has slots: {body:?}");
}
