//! What pools promise on any store: many ask at once, some die at any call, and holders never exceed
//! slots, nobody is lost, every slot comes back.
//!
//! The decisions are the engine's own and the loop around them the driver's; only the state machines
//! are played here: a contender begins its task, waits for the answer to its token, holds, and ends,
//! or vanishes, which its execution's end tells. This is why this room knows the driver: a copy of
//! its loop would prove the copy.

#![expect(clippy::unwrap_used, reason = "a suite fails by panicking, as tests do")]

use crate::prng::Prng;
use cauce_driver::{Driver, Ports};
use cauce_engine::command::{Begin, Finish, Outcome};
use cauce_engine::{Command, Decision, Prepared, Settings, slots};
use cauce_model::ids::{RunRef, child_execution_name};
use cauce_model::item::{Change, Expect, Item, Key, When, Write};
use cauce_model::plan::Plan;
use cauce_model::record::{Notice, Record, TaskRecord, run_item, task_item};
use cauce_model::{Instant, Json, RunKey, names};
use cauce_ports::{
    Answer, Answered, Clock, Compute, ComputeError, Cursor, Described, ExecutionStatus, Notifier,
    NotifyError, ObjectError, ObjectInfo, Objects, Page, RunningTask, Started, StateMachineError,
    StateMachines, Table, TableError,
};
use futures_util::future::{join, join_all};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
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

/// Lets `contenders` contend on a store, interleaved by a seed, and checks what pools promise. Names
/// carry the seed, so that one store may be used for several.
///
/// # Panics
/// A pool was given to more than it has slots, a contender never got its turn, or slots were lost.
pub async fn pool_contract<T: Table>(table: T, seed: u64, contenders: u64) {
    let stage = Stage {
        table: Uneven { inner: table, prng: RefCell::new(Prng::new(seed)) },
        now: Cell::new(Instant::parse("2026-01-05T06:00:00Z").unwrap()),
        answers: RefCell::default(),
        closed: RefCell::default(),
        timers: RefCell::default(),
        deciding: Cell::new(0),
        holding: RefCell::default(),
        most: RefCell::default(),
    };
    let settings = Settings {
        documents: "s3://state/documents".to_owned(),
        machines: BTreeMap::from([(MACHINE.to_owned(), MACHINE.to_owned())]),
        ..Settings::default()
    };
    let driver = Driver::new(stage, settings);
    let pools = POOLS.map(|(pool, slots)| (named(pool, seed), slots));
    driver.plans().keep(Arc::new(Prepared::new(plan(seed), format!("v{seed}"))));
    driver.execute(&Command::Resize { pools: BTreeMap::from(pools.clone()) }).await.unwrap();

    let mut prng = Prng::new(seed ^ 0xc0_ffee);
    let parts: Vec<Part> = (0..contenders).map(|number| Part::new(seed, number, &mut prng)).collect();
    for part in &parts {
        let item = Item::new(run_item(&part.run_key), part.run.clone());
        driver
            .ports()
            .table
            .write(&[Write::Put { item, expect: Expect::Absent }], &part.token(0))
            .await
            .unwrap();
    }
    let left = Cell::new(parts.len());
    let all = join_all(parts.iter().map(|part| async {
        part.play(&driver).await;
        left.set(left.get() - 1);
    }));
    join(all, time(&driver, &left, seed)).await;

    // The dead are found and settled, then their places go; after that nothing is held and nobody
    // waits.
    let every: Vec<String> =
        pools.iter().map(|(pool, _)| pool.clone()).chain([slots::lock_pool(&named(LOCK, seed))]).collect();
    for _ in 0..3 {
        for pool in &every {
            driver.execute(&Command::Reclaim { pool: pool.clone(), all: true }).await.unwrap();
        }
    }
    for pool in &every {
        let key = slots::pool_item(pool);
        let Some(item) = driver.ports().table.get(&key).await.unwrap() else { continue };
        assert_eq!(item.body["used"], 0, "seed {seed}: slots of {pool} are lost: {:?}", item.body);
        for set in ["holders", "waiting"] {
            let is_empty = item.body.get(set).and_then(Json::as_array).is_none_or(Vec::is_empty);
            assert!(is_empty, "seed {seed}: {set} of {pool} are left: {:?}", item.body);
        }
        let line = driver.ports().table.query(&key.partition, slots::WAITER_PREFIX, None, 10).await.unwrap();
        assert_eq!(line.items, [], "seed {seed}: a place in line is left");
    }
    for part in &parts {
        let key = task_item(&part.run_key, &part.task, None);
        let record = driver.ports().table.get(&key).await.unwrap();
        let status = record.map(|item| TaskRecord::from_item(&item).unwrap().status);
        // One that died before its first write has no record, and nothing to end.
        let ended = status.map_or(part.fate != Fate::Ends, cauce_model::TaskStatus::is_terminal);
        assert!(ended, "seed {seed}: {} is {status:?}", part.token(0));
    }
    let most = driver.ports().most.borrow();
    assert!(
        contenders < 10 || pools.iter().any(|(pool, slots)| most.get(pool) == Some(slots)),
        "seed {seed}: no pool was ever full: {most:?}"
    );
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
    /// Its function dies at some call of the store and is not asked again.
    DiesAsking(u64),
}

struct Part {
    run_key: RunKey,
    run: cauce_model::item::Body,
    task: String,
    takes: Vec<(String, u32)>,
    fate: Fate,
    holds: u64,
}

impl Part {
    fn new(seed: u64, number: u64, prng: &mut Prng) -> Self {
        let (task, pools, locks) = TASKS[prng.below(TASKS.len() as u64) as usize];
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
        let fate = match prng.below(6) {
            0 => Fate::DiesHolding,
            1 => Fate::DiesAsking(1 + prng.below(14)),
            _ => Fate::Ends,
        };
        Self { run_key, run, task: task.to_owned(), takes, fate, holds: prng.below(40) }
    }

    fn token(&self, number: u32) -> String {
        format!("{}/{}/{number:04}", self.run_key, self.task)
    }

    async fn play<T: Table>(&self, driver: &Driver<Stage<T>>) {
        let stage = driver.ports();
        for number in 1.. {
            let token = self.token(number);
            let begin = Command::Begin(Begin {
                run_key: self.run_key.clone(),
                generation: 1,
                task: self.task.clone(),
                index: None,
                token: token.clone(),
                token_order: token.clone(),
            });
            let asked = deciding(stage, driver.execute(&begin));
            match self.fate {
                Fate::DiesAsking(polls) => {
                    if cut(asked, polls).await.is_none() {
                        return stage.close(self);
                    }
                }
                // A function that fails is asked again.
                _ => drop(asked.await.unwrap()),
            }
            let answer = loop {
                let answer = stage.answers.borrow_mut().remove(&token);
                match answer {
                    Some(answer) => break answer,
                    None => pause().await,
                }
            };
            match answer {
                Answer::Failure { error, .. } if error == names::AGAIN => {}
                Answer::Failure { error, cause } => panic!("{error}: {cause}"),
                Answer::Success(launch) => return self.hold(driver, launch["fence"].as_u64().unwrap()).await,
            }
        }
    }

    async fn hold<T: Table>(&self, driver: &Driver<Stage<T>>, fence: u64) {
        let stage = driver.ports();
        stage.enter(&self.takes);
        for _ in 0..self.holds {
            pause().await;
        }
        stage.leave(&self.takes);
        if self.fate == Fate::DiesHolding {
            return stage.close(self);
        }
        let result = json!({"StopCode": "EssentialContainerExited", "Containers": [{"ExitCode": 0}]});
        let finish = Command::Finish(Finish {
            run_key: self.run_key.clone(),
            generation: 1,
            task: self.task.clone(),
            index: None,
            fence,
            outcome: Outcome::Succeeded(result),
        });
        deciding(stage, driver.execute(&finish)).await.unwrap();
        stage.close(self);
    }
}

/// Time passes while everybody waits: timers fire, and now and then the sweep looks for the dead.
async fn time<T: Table>(driver: &Driver<Stage<T>>, left: &Cell<usize>, seed: u64) {
    let stage = driver.ports();
    let began = stage.now.get();
    while left.get() > 0 {
        pause().await;
        if stage.deciding.get() > 0 {
            continue;
        }
        stage.now.set(stage.now.get().plus_seconds(1));
        let passed = stage.now.get().micros_since(began) / 1_000_000;
        assert!(passed < SECONDS_MAX, "seed {seed}: {} never got their turn", left.get());
        let mut due = Vec::new();
        stage.timers.borrow_mut().retain(|(at, command)| {
            let waits = *at > stage.now.get();
            if !waits && !due.contains(command) {
                due.push(command.clone());
            }
            waits
        });
        if passed % 20 == 0 {
            let pools = POOLS.map(|(pool, _)| named(pool, seed));
            let all = pools.into_iter().chain([slots::lock_pool(&named(LOCK, seed))]);
            due.extend(all.map(|pool| Command::Reclaim { pool, all: true }));
        }
        for command in due {
            driver.execute(&command).await.unwrap();
        }
    }
}

async fn deciding<T, F: Future>(stage: &Stage<T>, work: F) -> F::Output {
    struct Busy<'a>(&'a Cell<usize>);
    impl Drop for Busy<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    stage.deciding.set(stage.deciding.get() + 1);
    let _busy = Busy(&stage.deciding);
    work.await
}

/// Polls so many times at most, then drops it, as a function's death does.
async fn cut<F: Future>(work: F, polls: u64) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(cx).map(Some)
    })
    .await
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

/// The outside of the contenders.
struct Stage<T> {
    table: Uneven<T>,
    now: Cell<Instant>,
    answers: RefCell<BTreeMap<String, Answer>>,
    closed: RefCell<BTreeSet<String>>,
    timers: RefCell<Vec<(Instant, Command)>>,
    deciding: Cell<usize>,
    holding: RefCell<BTreeMap<String, u32>>,
    most: RefCell<BTreeMap<String, u32>>,
}

impl<T> Stage<T> {
    fn enter(&self, takes: &[(String, u32)]) {
        for (pool, slots) in takes {
            let mut holding = self.holding.borrow_mut();
            let now = holding.entry(pool.clone()).or_default();
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
            *self.holding.borrow_mut().entry(pool.clone()).or_default() -= slots;
        }
    }

    fn close(&self, part: &Part) {
        let name = child_execution_name(&part.run_key, 1, &part.task, None);
        self.closed.borrow_mut().insert(name);
    }
}

impl<T: Table> Ports for Stage<T> {
    type Table = Uneven<T>;
    type StateMachines = Self;
    type Objects = Self;
    type Compute = Self;
    type Notifier = Self;
    type Clock = Self;

    fn table(&self) -> &Self::Table {
        &self.table
    }
    fn machines(&self) -> &Self {
        self
    }
    fn objects(&self) -> &Self {
        self
    }
    fn compute(&self) -> &Self {
        self
    }
    fn notifier(&self) -> &Self {
        self
    }
    fn clock(&self) -> &Self {
        self
    }
    fn at(&self, at: Instant, command: Command) {
        self.timers.borrow_mut().push((at, command));
    }
    fn decided(&self, _: &Command, _: &Decision) {}
    fn warn(&self, message: &str) {
        panic!("{message}");
    }
}

impl<T> Clock for Stage<T> {
    fn now(&self) -> Instant {
        self.now.get()
    }
}

impl<T> Notifier for Stage<T> {
    async fn deliver(&self, _: &Notice) -> Result<(), NotifyError> {
        Ok(())
    }
}

impl<T> Compute for Stage<T> {
    async fn find(&self, _: &RunKey) -> Result<Vec<RunningTask>, ComputeError> {
        Ok(Vec::new())
    }
    async fn stop(&self, _: &str, _: &str) -> Result<(), ComputeError> {
        Ok(())
    }
}

impl<T> Objects for Stage<T> {
    async fn get(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(None)
    }
    async fn put(&self, _: &str, _: &[u8]) -> Result<(), ObjectError> {
        Ok(())
    }
    async fn list(&self, _: &str, _: u32) -> Result<Vec<ObjectInfo>, ObjectError> {
        Ok(Vec::new())
    }
}

impl<T> StateMachines for Stage<T> {
    async fn start(&self, machine: &str, name: &str, _: &Json) -> Result<Started, StateMachineError> {
        panic!("nothing starts {name} of {machine} here")
    }
    async fn describe(&self, _: &str, name: &str) -> Result<Option<Described>, StateMachineError> {
        let closed = self.closed.borrow().contains(name);
        let status = if closed { ExecutionStatus::Aborted } else { ExecutionStatus::Running };
        let started_at = self.now.get();
        Ok(Some(Described { status, input: Json::Null, started_at, error: None, cause: None }))
    }
    async fn stop(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), StateMachineError> {
        Ok(())
    }
    async fn answer(&self, token: &str, answer: &Answer) -> Result<Answered, StateMachineError> {
        self.answers.borrow_mut().entry(token.to_owned()).or_insert_with(|| answer.clone());
        Ok(Answered::Yes)
    }
}

/// A store whose calls take their time, by a seed, before and after they happen: so calls of all
/// contenders mix on a store that would answer at once.
struct Uneven<T> {
    inner: T,
    prng: RefCell<Prng>,
}

impl<T> Uneven<T> {
    async fn around<F: Future>(&self, call: F) -> F::Output {
        let pauses = self.prng.borrow_mut().below(3);
        for _ in 0..pauses {
            pause().await;
        }
        let outcome = call.await;
        let pauses = self.prng.borrow_mut().below(3);
        for _ in 0..pauses {
            pause().await;
        }
        outcome
    }
}

impl<T: Table> Table for Uneven<T> {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.around(self.inner.get(key)).await
    }
    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
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
        self.around(self.inner.write(writes, token)).await
    }
    async fn update(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        self.around(self.inner.update(key, change, when)).await
    }
}
