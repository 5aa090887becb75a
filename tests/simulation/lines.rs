//! Who goes when in a pool's line: age, priority, the starvation bound, pools that shrink.

use crate::repair::{pass, settle, stand, taken, tell};
use crate::world::{Sim, by_hand, compiled_in, deployment, epoch, host, script};
use cauce_compiler::Compiled;
use cauce_driver::look;
use cauce_engine::Command;
use cauce_engine::slots::STARVATION_SECONDS;
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::record::TaskRecord;
use cauce_model::{Json, RunKey, TaskStatus};
use serde_json::json;
use std::collections::BTreeMap;

/// Pipelines of one task each, of the same name.
const TASKS: [(&str, &str); 4] = [
    ("small", "pools: {sftp: 1}"),
    ("big", "pools: {sftp: 2}"),
    ("first", "pools: {sftp: 1}, priority: 5"),
    ("locked", "lock: ledger, retry: {retries: 1, delay: 1s, jitter: 0}"),
];

pub(crate) struct Scene {
    pub(crate) host: Sim,
    pipelines: BTreeMap<&'static str, Compiled>,
}

impl Scene {
    pub(crate) fn new(slots: u32, durations: Json) -> Self {
        Self::on(MemoryTable::new(), 0, slots, durations)
    }

    /// On a store that others may use, with a clock that says so many seconds after the beginning.
    pub(crate) fn on(table: MemoryTable, second: u64, slots: u32, durations: Json) -> Self {
        // The file allows what the store has fewer of now.
        let (project, problems) = cauce_spec::check_project(b"{images: {x: {local: []}}, pools: {sftp: 3}}");
        let project = project.unwrap_or_else(|| panic!("{problems:?}"));
        let host =
            host(table, MemoryObjects::default(), script(durations, json!({})), epoch().plus_seconds(second));
        let scene = Self { host, pipelines: BTreeMap::new() };
        scene.resize(slots);
        let compile = |(name, settings)| {
            let yaml = format!(
                "{{pipeline: {name}, max_active_runs: 100, tasks: {{{name}: {{container: {{image: x, command: [run]}}, {settings}}}}}}}"
            );
            let compiled = compiled_in(&yaml, &project);
            let deployment = deployment(&compiled);
            let deployed = scene.host.deploy(&deployment);
            scene.host.world().clock.clone().block_on(deployed).unwrap().unwrap();
            (name, compiled)
        };
        let pipelines = TASKS.into_iter().map(compile).collect();
        Self { host: scene.host, pipelines }
    }

    pub(crate) fn resize(&self, slots: u32) {
        tell(&self.host, &Command::Resize { pools: BTreeMap::from([("sftp".to_owned(), slots)]) });
    }

    /// A run of a pipeline comes at that second.
    pub(crate) fn comes(&self, second: u64, pipeline: &str, run: &str) -> RunKey {
        pass(&self.host, second);
        tell(&self.host, &Command::Trigger(Box::new(by_hand(&self.pipelines[pipeline], run))));
        RunKey::new(pipeline, run)
    }

    pub(crate) fn task(&self, run: &RunKey) -> TaskRecord {
        stand(&self.host, run).tasks.into_values().next().unwrap()
    }

    /// The second at which a run's task started first.
    pub(crate) fn started(&self, run: &RunKey) -> i64 {
        let record = self.task(run);
        let first = record.attempts.first().unwrap_or_else(|| panic!("it never started: {record:?}"));
        first.started_at.micros_since(epoch()) / 1_000_000
    }
}

#[test]
fn the_higher_priority_goes_first_then_the_older() {
    let scene = Scene::new(1, json!({"small": 10, "first": 10}));
    let holds = scene.comes(0, "small", "holds");
    let older = scene.comes(1, "small", "older");
    let younger = scene.comes(2, "small", "a-younger");
    let urgent = scene.comes(3, "first", "urgent");
    assert!(settle(&scene.host));
    let started = [&holds, &urgent, &older, &younger].map(|run| scene.started(run));
    assert_eq!(started, [0, 10, 20, 30]);
}

#[test]
fn one_that_needs_more_than_is_free_is_passed_until_the_starvation_bound_and_not_after() {
    // Every hundred seconds one comes that holds one of two slots for two hundred: never are both free.
    let scene = Scene::new(2, json!({"small": 200, "big": 10}));
    let mut small = vec![scene.comes(0, "small", "s0")];
    let big = scene.comes(50, "big", "big");
    for number in 1..7 {
        small.push(scene.comes(number * 100, "small", &format!("s{number}")));
    }
    assert!(settle(&scene.host));
    let started: Vec<i64> = small.iter().map(|run| scene.started(run)).collect();
    // It has waited three hundred seconds when the fifth comes: that one, and all behind it, wait for it.
    assert_eq!(STARVATION_SECONDS, 300);
    assert_eq!(scene.started(&big), 500);
    assert_eq!(started, [0, 100, 200, 300, 510, 510, 710]);
}

#[test]
fn one_that_wants_more_than_a_pool_has_since_another_process_made_it_smaller_fails_soon() {
    for (held, lasts, told_by) in [(3, 100, 20), (1, 10, 40)] {
        let table = MemoryTable::new();
        let scene = Scene::on(table.clone(), 0, held + 1, json!({"small": lasts, "big": 10}));
        for number in 0..held {
            scene.comes(0, "small", &format!("held{number}"));
        }
        let big = scene.comes(1, "big", "big");
        pass(&scene.host, 5);
        assert_eq!(scene.task(&big).status, TaskStatus::Queued);
        // Nobody there has the token of the one that waits here.
        let _other = Scene::on(table, 5, 1, json!({}));
        pass(&scene.host, told_by);
        let told = scene.task(&big);
        assert_eq!(told.status, TaskStatus::Failed, "{held} were held");
        let reason = told.reason.unwrap_or_default();
        assert!(reason.contains("asks for 2 slots of the pool 'sftp', which has 1"), "{reason}");
        assert!(settle(&scene.host));
        assert_eq!(taken(&scene.host), 0);
    }
}

#[test]
fn a_pool_that_shrinks_below_its_holders_grants_nobody_until_it_fits() {
    let scene = Scene::new(3, json!({"small": 10, "big": 10}));
    let held = [0, 1, 2].map(|second| scene.comes(second, "small", &format!("held{second}")));
    let big = scene.comes(3, "big", "big");
    let waits = scene.comes(4, "small", "waits");
    pass(&scene.host, 5);
    scene.resize(1);
    pass(&scene.host, 6);
    assert_eq!(held.each_ref().map(|run| scene.task(run).status), [TaskStatus::Running; 3]);
    let told = scene.task(&big);
    assert_eq!(told.status, TaskStatus::Failed);
    let reason = told.reason.unwrap_or_default();
    assert!(reason.contains("asks for 2 slots of the pool 'sftp', which has 1"), "{reason}");
    assert!(settle(&scene.host));
    assert_eq!(held.each_ref().map(|run| scene.started(run)), [0, 1, 2]);
    // At the tenth and the eleventh second one ends, and there are still as many as the pool has.
    assert_eq!(scene.started(&waits), 12);
    assert_eq!(taken(&scene.host), 0);
}

#[test]
fn nobody_waits_behind_one_whose_process_is_gone() {
    // Whoever gives back knows that it is gone, or does not and grants it.
    for is_known in [true, false] {
        let table = MemoryTable::new();
        let holder = Scene::on(table.clone(), 0, 1, json!({"small": 10}));
        let holds = holder.comes(0, "small", "holds");
        pass(&holder.host, 1);
        let dead = {
            let scene = Scene::on(table.clone(), 1, 1, json!({"small": 10}));
            let dead = scene.comes(1, "small", "dead");
            pass(&scene.host, 2);
            dead
        };
        let waiter = Scene::on(table, 2, 1, json!({"small": 10}));
        waiter.host.world().left.borrow_mut().insert(dead.clone());
        let waits = waiter.comes(2, "small", "waits");
        pass(&waiter.host, 3);
        assert_eq!(waiter.task(&dead).status, TaskStatus::Queued);
        assert_eq!(waiter.task(&waits).status, TaskStatus::Queued);
        if is_known {
            holder.host.world().left.borrow_mut().insert(dead.clone());
        }
        assert!(settle(&holder.host));
        assert_eq!(holder.started(&holds), 0);
        // It looks by itself, more and more rarely; who was granted and is gone is looked for once a minute.
        pass(&waiter.host, if is_known { 40 } else { 300 });
        assert_eq!(waiter.task(&waits).status, TaskStatus::Success, "known: {is_known}");
        let clock = waiter.host.world().clock.clone();
        let pool = clock.block_on(look::pool(&waiter.host.world().table, "sftp")).unwrap().unwrap().unwrap();
        assert_eq!((pool.used, pool.holders.len(), pool.line.len()), (0, 0, 0), "known: {is_known}");
        assert_eq!(waiter.task(&dead).attempts, []);
    }
}
