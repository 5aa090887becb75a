//! Consumers of datasets against a model of their own, which knows conditions as trees and updates as letters;
//! and with everything that can go wrong.

use crate::datasets::{at, consumer, deploy, deploy_it, produce_it, producer, runs, update, uses};
use crate::world::{Sim, by_hand, compiled, epoch, host, host_of, script};
use cauce_compiler::Compiled;
use cauce_driver::Budget;
use cauce_engine::command::{Event, Trigger};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::{MemoryObjects, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::dataset::{WaitingRecord, consumer_partition};
use cauce_model::item::{Change, Expect, When};
use cauce_model::record::{Record, RunRecord};
use cauce_model::{Item, Key, RunKey, RunStatus, TriggerKind, Write};
use cauce_ports::{Clock, Cursor, Objects, Page, Table, TableError};
use cauce_testkit::faulty::{Faults, Faulty, Moment, Rates};
use cauce_testkit::prng::Prng;
use serde_json::json;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A condition, as the model has it.
#[derive(Clone)]
enum Tree {
    Leaf(char),
    Any(Vec<Tree>),
    All(Vec<Tree>),
}

impl Tree {
    fn random(prng: &mut Prng, depth: u64) -> Self {
        if depth == 0 || prng.below(3) == 0 {
            return Self::Leaf(['a', 'b', 'c'][prng.below(3) as usize]);
        }
        let inner = (0..1 + prng.below(3)).map(|_| Self::random(prng, depth - 1)).collect();
        if prng.below(2) == 0 { Self::Any(inner) } else { Self::All(inner) }
    }

    fn yaml(&self) -> String {
        let list = |inner: &[Self]| inner.iter().map(Self::yaml).collect::<Vec<_>>().join(", ");
        match self {
            Self::Leaf(name) => name.to_string(),
            Self::Any(inner) => format!("{{any: [{}]}}", list(inner)),
            Self::All(inner) => format!("{{all: [{}]}}", list(inner)),
        }
    }

    fn letters(&self) -> BTreeSet<char> {
        match self {
            Self::Leaf(name) => [*name].into(),
            Self::Any(inner) | Self::All(inner) => inner.iter().flat_map(Self::letters).collect(),
        }
    }

    fn is_met(&self, by: &BTreeSet<char>) -> bool {
        match self {
            Self::Leaf(name) => by.contains(name),
            Self::Any(inner) => inner.iter().any(|one| one.is_met(by)),
            Self::All(inner) => inner.iter().all(|one| one.is_met(by)),
        }
    }
}

/// A consumer, as the model has it: what waits, by partition.
struct Model {
    tree: Tree,
    by_day: bool,
    waiting: BTreeMap<String, BTreeSet<(char, u64)>>,
    used: Vec<BTreeSet<(char, u64)>>,
}

impl Model {
    fn new(prng: &mut Prng) -> Self {
        // A condition at the top is a mapping.
        let tree = Tree::All(vec![Tree::random(prng, 2)]);
        Self { tree, by_day: prng.below(2) == 0, waiting: BTreeMap::new(), used: Vec::new() }
    }

    fn yaml(&self, name: &str) -> String {
        let mut trigger = self.tree.yaml();
        if self.by_day {
            trigger = trigger.replacen('{', "{partitioned_by: day, ", 1);
        }
        consumer(name, &trigger)
    }

    fn hears(&mut self, letter: char, number: u64, day: &str) {
        if !self.tree.letters().contains(&letter) {
            return;
        }
        let waiting =
            self.waiting.entry(if self.by_day { day.to_owned() } else { String::new() }).or_default();
        waiting.insert((letter, number));
        let letters = waiting.iter().map(|(letter, _)| *letter).collect();
        if self.tree.is_met(&letters) {
            self.used.push(std::mem::take(waiting));
        }
    }
}

/// Every use of updates by a pipeline, generation by generation, in the order in which they were written.
type Uses = BTreeMap<String, Vec<BTreeSet<(char, u64)>>>;

/// A table that remembers the uses that were written into it, whether or not anybody heard of that.
#[derive(Clone)]
struct Recording {
    table: MemoryTable,
    uses: Rc<RefCell<Uses>>,
    applied: Rc<RefCell<BTreeSet<String>>>,
}

impl Recording {
    fn new() -> Self {
        Self { table: MemoryTable::new(), uses: Rc::default(), applied: Rc::default() }
    }

    fn uses(&self, pipeline: &str) -> Vec<BTreeSet<(char, u64)>> {
        self.uses.borrow().get(pipeline).cloned().unwrap_or_default()
    }

    fn note(&self, write: &Write) {
        let Write::Put { item, expect } = write else { return };
        let Some(run) = (item.key.sort == "R").then(|| RunRecord::from_item(item).unwrap()) else { return };
        // The record of a new generation; it waits for nothing yet.
        let is_new = run.status == RunStatus::Queued && run.token.is_none() && run.cancel.is_none();
        if run.trigger.kind == TriggerKind::Dataset && is_new {
            assert!(run.generation == 1 || *expect != Expect::Absent);
            self.uses.borrow_mut().entry(run.run.pipeline.clone()).or_default().push(events(&run));
        }
    }
}

impl Table for Recording {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.table.get(key).await
    }
    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        self.table.batch_get(keys).await
    }
    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        self.table.query(partition, prefix, after, limit).await
    }
    async fn list(
        &self,
        list: &str,
        from: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        self.table.list(list, from, after, limit).await
    }
    async fn write(&self, writes: &[Write], token: &str) -> Result<(), TableError> {
        self.table.write(writes, token).await?;
        if self.applied.borrow_mut().insert(token.to_owned()) {
            writes.iter().for_each(|write| self.note(write));
        }
        Ok(())
    }
    async fn update(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        self.table.update(key, change, when).await
    }
}

fn events(run: &RunRecord) -> BTreeSet<(char, u64)> {
    let events = run.trigger.detail["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            (event["dataset"].as_str().unwrap().chars().next().unwrap(), event["number"].as_u64().unwrap())
        })
        .collect()
}

const DAYS: [&str; 3] = ["1997-01-03", "1997-01-04", "1997-01-05"];

/// One update after the other, each told of twice, late, or not at all: the same as the model, exactly.
#[test]
fn random_conditions_use_what_the_model_uses() {
    let mut total = 0;
    let producers =
        ['a', 'b', 'c'].map(|name| compiled(&producer(&format!("make_{name}"), &name.to_string())));
    for seed in crate::seeds::of("random_conditions_use_what_the_model_uses", 40) {
        let mut prng = Prng::new(seed);
        let table = Recording::new();
        let lost = Rc::new(RefCell::new(Prng::new(seed + 1_000_000)));
        let mut world = Simulated::new(
            table.clone(),
            MemoryObjects::default(),
            script(json!({"use": 3}), json!({})),
            epoch(),
        );
        // The end of a run is always heard: what comes while it is under way would be used with what comes next.
        world.on_post = Some(Box::new(move |event| {
            matches!(event, Event::Consumer { .. }) || lost.borrow_mut().below(3) > 0
        }));
        let host = host_of(world);
        let clock = host.world().clock.clone();
        let mut models: BTreeMap<&str, Model> =
            ["one", "two"].map(|name| (name, Model::new(&mut prng))).into();
        clock
            .block_on(async {
                for (name, model) in &models {
                    deploy(&host, &model.yaml(name)).await;
                }
                for producer in &producers {
                    deploy_it(&host, producer).await;
                }
                let mut numbers = BTreeMap::new();
                for _ in 0..20 {
                    let (which, day) = (prng.below(3) as usize, DAYS[prng.below(3) as usize]);
                    let letter = ['a', 'b', 'c'][which];
                    produce_it(&host, &producers[which], day).await;
                    let again = Event::Dataset { dataset: letter.to_string() };
                    for event in [again.clone(), Event::Consumer { pipeline: "one".into() }, again] {
                        host.execute(&Command::Event(Box::new(event))).await.unwrap();
                    }
                    let now = host.world().clock.now().micros_since(epoch()) as u64 / 1_000_000;
                    at(&host, now + 1).await;
                    let number = numbers.entry(letter).or_insert(0);
                    *number += 1;
                    for model in models.values_mut() {
                        model.hears(letter, *number, day);
                    }
                }
            })
            .unwrap();
        for (name, model) in &models {
            let uses = table.uses(name);
            assert_eq!(uses, model.used, "seed {seed}, {name}: {}", model.yaml(name));
            total += uses.len();
        }
    }
    assert!(total > 200, "{total}");
}

/// What waits for a consumer, as the store has it.
async fn waiting<T: Table + 'static, O: Objects + Clone + 'static>(
    host: &Sim<T, O>,
    pipeline: &str,
) -> Vec<BTreeSet<(char, u64)>> {
    let page = host.world().table.query(&consumer_partition(pipeline), "W#", None, 1000).await.unwrap();
    let records = page.items.iter().map(|item| WaitingRecord::from_item(item).unwrap());
    let each = |record: WaitingRecord| {
        record.each().map(|(name, number)| (name.chars().next().unwrap(), number)).collect()
    };
    records.map(each).collect()
}

/// Each update of what a consumer listens to was used once or waits once; what was used was enough, what
/// waits is not.
fn assert_once(
    model: &Model,
    used: &[BTreeSet<(char, u64)>],
    waiting: &[BTreeSet<(char, u64)>],
    numbers: &BTreeMap<char, u64>,
    story: &str,
) {
    let letters =
        |of: &BTreeSet<(char, u64)>| of.iter().map(|(letter, _)| *letter).collect::<BTreeSet<char>>();
    for used in used {
        assert!(model.tree.is_met(&letters(used)), "{story}: {used:?} was not enough");
    }
    for waiting in waiting {
        assert!(!model.tree.is_met(&letters(waiting)), "{story}: {waiting:?} waits for ever");
    }
    let mut seen: Vec<(char, u64)> = used.iter().chain(waiting).flatten().copied().collect();
    seen.sort_unstable();
    let of =
        |letter: char| (1..=numbers.get(&letter).copied().unwrap_or(0)).map(move |number| (letter, number));
    let all: Vec<(char, u64)> = model.tree.letters().into_iter().flat_map(of).collect();
    assert_eq!(seen, all, "{story}: {}", model.tree.yaml());
}

/// Everything at once, with a store that throttles, refuses and loses replies, and events that are lost.
#[test]
fn under_faults_each_update_is_used_once() {
    let rates = Rates { throttled: 80, conflict: 60, lost_before: 40, lost_after: 60, stale: 0 };
    for seed in crate::seeds::of("under_faults_each_update_is_used_once", 40) {
        let mut prng = Prng::new(seed);
        let (faults, recording) = (Faults::seeded(seed, Rates::default()), Recording::new());
        let lost = Rc::new(RefCell::new(Prng::new(seed + 1_000_000)));
        let table = Faulty::new(recording.clone(), &faults);
        let mut world =
            Simulated::new(table, MemoryObjects::default(), script(json!({"use": 30}), json!({})), epoch());
        world.on_post = Some(Box::new(move |_| lost.borrow_mut().below(3) > 0));
        let host = host_of(world);
        let clock = host.world().clock.clone();
        let models: BTreeMap<&str, Model> = ["one", "two"].map(|name| (name, Model::new(&mut prng))).into();
        let mut numbers: BTreeMap<char, u64> = BTreeMap::new();
        clock
            .block_on(async {
                for (name, model) in &models {
                    deploy(&host, &model.yaml(name)).await;
                }
                faults.set_rates(rates);
                let makes = async {
                    for second in 0..30 {
                        clock.until(epoch().plus_seconds(second * (1 + prng.below(5)))).await;
                        let letter = ['a', 'b', 'c'][prng.below(3) as usize];
                        let day = DAYS[prng.below(3) as usize];
                        // A person would ask again, and make another update: these are of a port without faults.
                        faults.set_rates(Rates::default());
                        host.execute(&update(&letter.to_string(), Some(day))).await.unwrap();
                        faults.set_rates(rates);
                        *numbers.entry(letter).or_default() += 1;
                    }
                    std::future::pending::<()>().await;
                };
                host.run(makes).await.unwrap();
                for minute in 1..30 {
                    let until = epoch().plus_seconds(600 + 120 * minute);
                    clock.until(until).await;
                    // One that fails is followed by another.
                    let _ = host.driver().sweep(&Budget::default()).await;
                    host.run(std::future::pending()).await.unwrap();
                    if minute == 6 {
                        faults.set_rates(Rates::default());
                    }
                }
                for (name, model) in &models {
                    let waiting = waiting(&host, name).await;
                    let used = recording.uses(name);
                    assert_once(model, &used, &waiting, &numbers, &format!("seed {seed}, {name}"));
                    let all = runs(&host, name).await;
                    assert!(all.iter().all(|run| run.status == RunStatus::Success), "seed {seed}: {all:?}");
                }
            })
            .unwrap();
    }
}

/// The whole engine dies at any call of any port; another goes on over the same store.
#[test]
fn an_engine_that_dies_at_any_call_loses_no_update() {
    let both = ["left", "right"].map(|name| compiled(&consumer(name, "{all: [a, b]}")));
    let make =
        "{pipeline: make, tasks: {one: {pass: {}, writes: [a]}, two: {needs: [one], pass: {}, writes: [b]}}}";
    let make = &compiled(make);
    let mut deaths = 0;
    // Every call, on one of its sides.
    for (first, moment) in [(1, Moment::Before), (2, Moment::After)] {
        for call in (first..).step_by(2) {
            let story = format!("call {call} {moment:?}");
            let (table, objects, faults) = (MemoryTable::new(), MemoryObjects::default(), Faults::none());
            let first = host(
                Faulty::new(table.clone(), &faults),
                objects.clone(),
                script(json!({}), json!({})),
                epoch(),
            );
            let clock = first.world().clock.clone();
            let died = clock.block_on(faults.survive(async {
                for compiled in both.iter().chain([make]) {
                    deploy_it(&first, compiled).await;
                }
                faults.crash_at(faults.calls() + call, moment);
                let made = first.execute(&Command::Trigger(Box::new(by_hand(make, "r1")))).await;
                assert!(matches!(made, Ok(Reply::Ok(_))), "{made:?}");
                first.run(std::future::pending()).await.unwrap();
            }));
            if matches!(died, Some(Ok(()))) {
                break;
            }
            deaths += 1;
            let now = clock.now();
            drop(first);
            let second: Sim = host(table, objects, script(json!({}), json!({})), now);
            let clock = second.world().clock.clone();
            clock
                .block_on(async {
                    for compiled in both.iter().chain([make]) {
                        deploy_it(&second, compiled).await;
                    }
                    resume(&second, make).await;
                    for minute in [1, 6, 11] {
                        at(&second, 60 * minute).await;
                        for name in ["left", "right"] {
                            for run in runs(&second, name).await {
                                if !run.status.is_terminal() {
                                    resume_run(&second, &run).await;
                                }
                            }
                        }
                    }
                    for name in ["left", "right"] {
                        assert_eq!(uses(&second, name).await, ["a1 b1"], "{story}, {name}");
                        let run = &runs(&second, name).await[0];
                        assert_eq!(run.status, RunStatus::Success, "{story}, {name}");
                    }
                })
                .unwrap();
        }
    }
    assert!(deaths > 50, "{deaths}");
}

/// What `cauce resume` does with the run that made the datasets, or a person who finds that there is none.
async fn resume(host: &Sim, make: &Compiled) {
    let key = RunKey::new("make", "r1");
    let known = host.world().table.get(&cauce_model::record::run_item(&key)).await.unwrap();
    match known.map(|item| RunRecord::from_item(&item).unwrap()) {
        None => {
            let request = Command::Trigger(Box::new(by_hand(make, "r1")));
            host.execute(&request).await.unwrap();
        }
        Some(run) if run.status.is_terminal() => {}
        Some(run) => resume_run(host, &run).await,
    }
    host.run(std::future::pending()).await.unwrap();
}

async fn resume_run(host: &Sim, run: &RunRecord) {
    let request = Trigger {
        pipeline: run.run.pipeline.clone(),
        version: run.version.clone(),
        run_id: run.run.run_id.clone(),
        trigger: run.trigger.clone(),
        params: None,
        logical_date: run.logical_date,
        data_interval: (run.data_interval_start, run.data_interval_end),
        timezone: run.timezone.clone(),
        scheduled_at: None,
        existing: cauce_engine::command::Existing::Resume,
        only: None,
        force: false,
        latest: false,
        canary: false,
        start: true,
    };
    host.execute(&Command::Trigger(Box::new(request))).await.unwrap();
    host.run(std::future::pending()).await.unwrap();
}
