//! What holds for every sweep, whatever it finds: once is enough, twice does nothing more, the services' rates
//! are kept, and how long it takes until all is well is bounded.

use crate::repair::{pass, settle, stand, started, stop, stop_run, sweep, taken, tell};
use crate::sweeps::{attempt, take};
use crate::world::{Sim, by_hand, compiled, deployment, epoch, host, script};
use cauce_driver::{Budget, SweepReport};
use cauce_engine::Command;
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::ids::child_execution_name;
use cauce_model::time::MICROS;
use cauce_model::{Instant, RunKey};
use cauce_ports::Clock;
use cauce_testkit::prng::Prng;
use futures_util::future::join;
use serde_json::json;

/// What a sweep repaired, by kind.
fn repairs(report: &SweepReport) -> [u32; 6] {
    [report.started, report.closed, report.settled, report.gates, report.stopped, report.freed]
}

/// Tasks that wait at gates, stand in lines, are items, and go on for long.
const BUSY: &str = "
pipeline: busy
max_active_runs: 2
max_active_tasks: 5
tasks:
  a: {container: {image: x, command: [run]}, lock: ledger}
  b: {container: {image: x, command: [run]}, retry: {retries: 2, delay: 30s, jitter: 0}}
  c: {needs: [a], container: {image: x, command: [run]}}
  d: {needs: [b], container: {image: x, command: [run]}, lock: ledger}
  list: {pass: {output: {items: [1, 2, 3]}}, returns: {items: list}}
  each: {needs: [list], map: {over: \"{{ outputs.list.items }}\"}, container: {image: x, command: [run]}}
  alert: {needs: [a, b], trigger_rule: one_failed, container: {image: x, command: [run]}}
  alarm: {needs: [each, c], trigger_rule: one_failed, container: {image: x, command: [run]}}
";

/// Two runs, of which executions are stopped at some moments, slots are held by the dead, and programs do not
/// hear that they are to stop. Nobody is told.
fn havoc(seed: u64) -> (Sim, Vec<RunKey>) {
    let prng = &mut Prng::new(seed);
    let durations = json!({"a": [20], "b": [3], "c": [9], "d": [4], "each": [40], "alert": 2, "alarm": 2});
    let (host, first) = started(BUSY, script(durations, json!({"b": [1, "success"]})));
    tell(&host, &Command::Trigger(Box::new(by_hand(&compiled(BUSY), "r2"))));
    let keys = vec![first, RunKey::new("busy", "r2")];
    if prng.below(2) == 0 {
        host.world().programs.ignore_stops(u32::MAX);
    }
    for second in 1..9 {
        pass(&host, second);
        let key = &keys[prng.below(2) as usize];
        let task = ["a", "b", "c", "d", "alert", "alarm"][prng.below(6) as usize];
        match prng.below(10) {
            0 => stop_run(&host, key, ""),
            1..5 => stop(&host, "container", &child_execution_name(key, 1, task, None), ""),
            5 => {
                let item = Some(prng.below(3) as u32);
                stop(&host, "container", &child_execution_name(key, 1, "each", item), "");
            }
            // Of a run that is not there any more.
            6 => take(&host, "active:busy", &attempt(&RunKey::new("busy", "r0"), task, second as u32)),
            _ => {}
        }
    }
    host.world().programs.ignore_stops(0);
    // The last of them is felt.
    pass(&host, 9);
    (host, keys)
}

#[test]
fn once_is_enough_and_twice_does_nothing_more() {
    let mut sum = [0; 6];
    for seed in crate::seeds::of("once_is_enough_and_twice_does_nothing_more", 60) {
        let (host, keys) = havoc(seed);
        let first = sweep(&host);
        assert_eq!((first.troubles, first.complete), (0, true), "seed {seed}: {first:?}");
        for (kind, count) in sum.iter_mut().zip(repairs(&first)) {
            *kind += count;
        }
        // At once, before anybody heard of the first; a moment later; and when all that follows is over.
        let moments: [&dyn Fn(); 3] = [&|| {}, &|| pass(&host, 10), &|| assert!(settle(&host))];
        for moment in moments {
            moment();
            let second = sweep(&host);
            assert_eq!((repairs(&second), second.troubles), ([0; 6], 0), "seed {seed}: {first:?} {second:?}");
            assert_eq!(second.lines, [""; 0], "seed {seed}");
        }
        for key in &keys {
            let ended = stand(&host, key);
            let open: Vec<_> = ended.tasks.values().filter(|task| !task.status.is_terminal()).collect();
            assert!(ended.run.status.is_terminal() && open.is_empty(), "seed {seed}: {first:?} {open:?}");
        }
        assert_eq!(taken(&host), 0, "seed {seed}: {first:?}");
    }
    let [_, closed, settled, _, stopped, freed] = sum;
    assert!([closed, settled, stopped, freed].iter().all(|count| *count > 5), "{sum:?}");
}

/// How often the sweep begins, and how long one goes on, as they are deployed: five minutes, and what is left of
/// its function's timeout when it begins nothing more.
const PERIOD_SECONDS: u64 = 300;
const SWEEP_SECONDS: u64 = 280;

/// A fifth of what is deployed, so that fewer runs are more than one sweep can look at.
const FIFTH: Budget = Budget {
    describes: 25,
    describes_per_second: 1,
    listings: 5,
    listings_per_second: 1,
    due: 500,
    pools: 200,
};

/// Sweeps at the pace that is deployed, from now on, until all these runs are over. Returns the moment of that, and
/// how many executions were asked about in each of them.
fn sweep_until_over(host: &Sim, keys: &[RunKey]) -> (Instant, Vec<u64>) {
    let clock = host.world().clock.clone();
    let mut asked = Vec::new();
    loop {
        let (began, before) = (clock.now(), host.described());
        let ends = began.plus_seconds(SWEEP_SECONDS);
        let rest = async |seconds: u32| {
            let passed = clock.now().micros_since(began).unsigned_abs() / MICROS as u64;
            let may = u64::from(FIFTH.describes) + passed * u64::from(FIFTH.describes_per_second);
            let asked = host.described() - before;
            assert!(asked <= may, "{asked} calls in {passed} s, more than {may}");
            let until = clock.now().plus_seconds(seconds.into());
            if until < ends {
                clock.until(until).await;
            }
            until < ends
        };
        let swept = async {
            let report = host.driver().sweep_on(&FIFTH, rest).await.unwrap();
            assert_eq!(report.troubles, 0, "{report:?}");
        };
        let period = clock.until(began.plus_seconds(PERIOD_SECONDS));
        clock.block_on(join(swept, host.run(period))).unwrap().1.unwrap();
        asked.push(host.described() - before);
        let ends: Option<Vec<Instant>> = keys.iter().map(|key| stand(host, key).run.ended_at).collect();
        if let Some(last) = ends.and_then(|ends| ends.into_iter().max()) {
            return (last, asked);
        }
    }
}

const WATCHED: &str = "
pipeline: NAME
max_active_runs: 20
tasks:
  a: {container: {image: x, command: [run]}}
  b: {container: {image: x, command: [run]}}
  alert: {needs: [a, b], trigger_rule: one_failed, container: {image: x, command: [run]}}
";

#[test]
fn the_bound_is_tried_with_the_shares_that_are_deployed() {
    let deployed = Budget::default();
    let fifth = |whole: u32, part: u32| assert_eq!(whole, 5 * part);
    fifth(deployed.describes, FIFTH.describes);
    fifth(deployed.describes_per_second, FIFTH.describes_per_second);
    fifth(deployed.listings, FIFTH.listings);
    fifth(deployed.listings_per_second, FIFTH.listings_per_second);
    // What is at once makes up for the seconds in which no sweep is at work.
    let idle = PERIOD_SECONDS - SWEEP_SECONDS;
    assert!(u64::from(deployed.describes) >= idle * u64::from(deployed.describes_per_second));
    let functions = include_str!("../../terraform/modules/control-plane/functions.tf");
    assert!(functions.contains("sweep  = { timeout_seconds = 290,"), "SWEEP_SECONDS, and ten more");
}

#[test]
fn without_any_event_all_is_over_a_period_and_the_calls_later() {
    const PIPELINES: u64 = 8;
    const RUNS: u64 = 16;
    let script = script(json!({"a": 5000, "b": [5000], "alert": 1}), json!({}));
    let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
    let mut keys = Vec::new();
    for pipeline in 0..PIPELINES {
        let name = format!("watched{pipeline}");
        let watched = compiled(&WATCHED.replace("NAME", &name));
        host.world().clock.clone().block_on(host.deploy(&deployment(&watched))).unwrap().unwrap();
        for number in 0..RUNS {
            let run_id = format!("r{number}");
            tell(&host, &Command::Trigger(Box::new(by_hand(&watched, &run_id))));
            keys.push(RunKey::new(&name, &run_id));
        }
    }
    pass(&host, 2);
    // All dies at the worst moment: a sweep has just begun its work.
    let died_at = host.world().clock.now();
    let mut to_ask = 0;
    for (key, number) in keys.iter().zip(0..) {
        let die = |task: &str| stop(&host, "container", &child_execution_name(key, 1, task, None), "");
        // Of a run that is over nothing else is asked; of one under way, about its tasks as well.
        to_ask += match number % 3 {
            0 => {
                stop_run(&host, key, "");
                1
            }
            _ => {
                die("a");
                die("b");
                4
            }
        };
    }
    pass(&host, 2 + PERIOD_SECONDS);
    assert!(keys.iter().all(|key| !stand(&host, key).run.status.is_terminal()), "nobody has told");
    let (over_at, asked) = sweep_until_over(&host, &keys);
    // Where a rest divides a run, its own execution is asked about once more.
    let calls = to_ask + to_ask / u64::from(FIFTH.describes_per_second * 5);
    let bound = PERIOD_SECONDS + calls / u64::from(FIFTH.describes_per_second);
    let took = over_at.micros_since(died_at) / MICROS;
    assert!(took <= bound as i64, "{took} s, more than {bound} s: {asked:?} of {to_ask}");
    assert!(asked.len() > 1, "one sweep did it all: {asked:?}");
    assert!(
        asked.iter().sum::<u64>() <= to_ask + to_ask / 5,
        "{asked:?} of {to_ask}: it asks again and again"
    );
    assert_eq!(taken(&host), 0);
}
