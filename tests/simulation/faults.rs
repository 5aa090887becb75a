//! Runs whose ports fail: lost replies, throttles, conflicts, and an engine that dies at any call.
//!
//! What must hold, whatever happens: the run ends as it does on a quiet day, no attempt's program is
//! started twice, and what was acknowledged as succeeded is never run again.

use crate::world::{Ended, Sim, by_hand, compiled, deployment, epoch, host, read, run, script};
use cauce_compiler::Compiled;
use cauce_engine::command::{Existing, Trigger};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::{MemoryObjects, Ran, Script};
use cauce_local::memory::MemoryTable;
use cauce_model::record::{Record, RunRecord, run_item};
use cauce_model::{Instant, RunKey, TaskStatus};
use cauce_ports::{Clock, Table};
use cauce_testkit::faulty::{Faults, Faulty, Fired, Moment, Rates};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Gates, a branch, a map, a limit, a retry, an early rule: every kind of decision in nine tasks.
pub(crate) const EVERYTHING: &str = "
pipeline: everything
max_active_tasks: 2
tasks:
  a: {container: {image: x, command: [run]}}
  b: {container: {image: x, command: [run]}, retry: {retries: 2, delay: 5s, jitter: 0}}
  c: {needs: [a], container: {image: x, command: [run]}}
  d: {needs: [a, b], container: {image: x, command: [run]}}
  first: {needs: [a, b], trigger_rule: one_success, pass: {}}
  list: {needs: [c], pass: {output: {items: [1, 2, 3]}}, returns: {items: list}}
  each: {needs: [list], map: {over: \"{{ outputs.list.items }}\"}, container: {image: x, command: [run, \"{{ item }}\"]}}
  decide: {needs: [d], branch: [{if: \"{{ attempt > 5 }}\", to: [never]}, {else: [always]}]}
  never: {needs: [decide], pass: {}}
  always: {needs: [decide, each], trigger_rule: none_failed, container: {image: x, command: [run]}}
";

pub(crate) fn durations() -> Script {
    script(json!({"a": 3, "b": 2, "c": 1, "d": 4, "each": [2], "always": 1}), json!({"b": [1, "success"]}))
}

pub(crate) fn quiet() -> Ended {
    let host = host(MemoryTable::new(), MemoryObjects::default(), durations(), epoch());
    let compiled = compiled(EVERYTHING);
    host.world().clock.clone().block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
    run(&host, by_hand(&compiled, "r1")).unwrap()
}

/// No attempt's program ran twice.
pub(crate) fn assert_no_double(ran: &[Ran], story: &str) {
    let mut seen = BTreeSet::new();
    for ran in ran {
        assert!(seen.insert((ran.task.clone(), ran.index, ran.attempt)), "{story}: {ran:?} ran twice");
    }
}

#[test]
fn lost_replies_throttles_and_conflicts_change_nothing() {
    let rates = Rates { throttled: 100, conflict: 50, lost_before: 50, lost_after: 80, stale: 0 };
    assert!(
        weathered("lost_replies_throttles_and_conflicts_change_nothing", 100, rates).1.after_decision > 0
    );
}

/// Runs under these rates, one for each seed: each ends as on a quiet day, does nothing twice and leaves nothing
/// held. Returns how many there were, and their faults.
pub(crate) fn weathered(test: &'static str, seeds: u64, rates: Rates) -> (u64, Fired) {
    let expected = quiet().statuses();
    let compiled = compiled(EVERYTHING);
    let (mut count, mut fired) = (0, Fired::default());
    for seed in crate::seeds::of(test, seeds) {
        let faults = Faults::seeded(seed, Rates::default());
        let store = MemoryTable::new();
        let host = host(Faulty::new(store.clone(), &faults), MemoryObjects::default(), durations(), epoch());
        // The request that starts the run is a person's, who would ask again: faults come after it.
        let clock = host.world().clock.clone();
        let key = RunKey::new("everything", "r1");
        let ended = clock
            .block_on(async {
                host.deploy(&deployment(&compiled)).await.unwrap();
                let reply = host.execute(&Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await;
                assert!(matches!(reply, Ok(Reply::Ok(_))), "{reply:?}");
                faults.set_rates(rates);
                host.run(std::future::pending()).await.unwrap();
                faults.set_rates(Rates::default());
                read(&host, &key).await
            })
            .unwrap();
        let story = format!("seed {seed}");
        assert_eq!(ended.statuses(), expected, "{story}: {:?}", ended.reasons());
        assert_no_double(&ended.ran, &story);
        for item in store.items().iter().filter(|item| item.key.partition.starts_with("pool#")) {
            assert!(item.body.get("used").is_none_or(|used| *used == 0), "{story}: {item:?}");
        }
        count += 1;
        fired += faults.fired();
    }
    (count, fired)
}

/// Nothing is held until a moment: slots are given back by whoever holds them, or by whoever finds the holder
/// ended. So a clock that was set wrong, or right, between two engines changes when things happen, not what.
#[test]
fn an_engine_whose_clock_has_jumped_ends_the_run_alike() {
    let (compiled, expected) = (compiled(EVERYTHING), quiet().statuses());
    let (hour, year) = (3_600, 365 * 86_400);
    let mut deaths = 0;
    for jump_seconds in [-10 * year, -hour, -1, hour, 10 * year] {
        for call in (1..).step_by(7) {
            let story = format!("call {call}, {jump_seconds} seconds");
            let faults = Faults::none();
            faults.crash_at(call, Moment::After);
            let Some(ended) = die_and_resume(&compiled, &faults, jump_seconds, &story) else { break };
            assert_eq!(ended.statuses(), expected, "{story}: {:?}", ended.reasons());
            deaths += 1;
        }
    }
    assert!(deaths > 50, "{deaths} deaths");
}

/// Runs until the engine dies, then lets another one, whose clock may show another time, resume over
/// the same store.
pub(crate) fn die_and_resume(
    compiled: &Compiled,
    faults: &Faults,
    jump_seconds: i64,
    story: &str,
) -> Option<Ended> {
    let (table, objects) = (MemoryTable::new(), MemoryObjects::default());
    let first = host(Faulty::new(table.clone(), faults), objects.clone(), durations(), epoch());
    let clock = first.world().clock.clone();
    let died = clock.block_on(faults.survive(async {
        first.deploy(&deployment(compiled)).await.unwrap();
        let reply = first.execute(&Command::Trigger(Box::new(by_hand(compiled, "r1")))).await;
        assert!(matches!(reply, Ok(Reply::Ok(_))), "{reply:?}");
        first.run(std::future::pending()).await.unwrap();
    }));
    if matches!(died, Some(Ok(()))) {
        return None;
    }
    assert!(died.is_some(), "{story}: the first engine stands still");
    let ran_before = first.world().programs.ran();
    let now: Instant = clock.now().plus_micros(jump_seconds * 1_000_000);
    drop(first);

    let key = RunKey::new("everything", "r1");
    let second: Sim = host(table, objects, durations(), now);
    let clock = second.world().clock.clone();
    let ended = clock
        .block_on(async {
            second.deploy(&deployment(compiled)).await.unwrap();
            let before = find(&second, &key).await;
            let done = match &before {
                None => BTreeMap::new(),
                Some(_) => read(&second, &key).await.tasks,
            };
            let existing = match &before {
                // The trigger itself was lost: the person asks again.
                None => Some(Existing::Refuse),
                Some(run) if !run.status.is_terminal() => Some(Existing::Resume),
                Some(_) => None,
            };
            if let Some(existing) = existing {
                let again = Trigger {
                    existing,
                    params: before.map_or(Some(json!({})), |_| None),
                    ..by_hand(compiled, "r1")
                };
                let reply = second.execute(&Command::Trigger(Box::new(again))).await;
                assert!(matches!(reply, Ok(Reply::Ok(_))), "{story}: {reply:?}");
                second.run(std::future::pending()).await.unwrap();
            }
            let ended = read(&second, &key).await;
            for (name, task) in &done {
                // What the store had acknowledged as succeeded is not run again.
                if task.status == TaskStatus::Success && name != "each" {
                    let (task, index) = (task.task.as_str(), task.index);
                    let again = ended.ran.iter().any(|ran| ran.task == task && ran.index == index);
                    assert!(!again, "{story}: {name} had succeeded and ran again");
                }
            }
            ended
        })
        .unwrap_or_else(|| panic!("{story}: the second engine stands still"));
    let all: Vec<Ran> = ran_before.into_iter().chain(ended.ran.clone()).collect();
    assert_no_double(&all, story);
    Some(ended)
}

async fn find(host: &Sim, key: &RunKey) -> Option<RunRecord> {
    let item = host.world().table.get(&run_item(key)).await.unwrap();
    item.map(|item| RunRecord::from_item(&item).unwrap())
}
