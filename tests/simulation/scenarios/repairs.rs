//! What the platform does not tell, tells twice or too late; programs that are not stopped, taken away, or have
//! nowhere to run.

use crate::approvals::{audited, release, say};
use crate::controls;
use crate::faults::{EVERYTHING, durations};
use crate::repair::{events, pass, settle, stand, started, stop, stop_run, taken, tell};
use crate::scenarios::Evidence;
use crate::scenarios::cloud::insist;
use crate::world::{Ended, Sim, by_hand, compiled_in, epoch, script};
use cauce_driver::Budget;
use cauce_engine::command::Observed;
use cauce_engine::{Command, Reply};
use cauce_host::simulation::Script;
use cauce_local::memory::MemoryTable;
use cauce_model::ids::child_execution_name;
use cauce_model::{RunKey, TaskStatus};
use cauce_ports::Compute;
use cauce_testkit::prng::Prng;
use serde_json::json;
use std::collections::BTreeMap;

/// Kills some executions at some moments; nobody is told. Returns how many.
pub(crate) fn ravage(host: &Sim, key: &RunKey, prng: &mut Prng) -> u64 {
    let mut killed = 0;
    for second in 1..8 {
        pass(host, second);
        match prng.below(12) {
            0 => stop_run(host, key, ""),
            1..6 => {
                let task = ["a", "b", "c", "d", "always"][prng.below(5) as usize];
                stop(host, "container", &child_execution_name(key, 1, task, None), "");
            }
            6 => {
                let item = Some(prng.below(3) as u32);
                stop(host, "container", &child_execution_name(key, 1, "each", item), "");
            }
            _ => continue,
        }
        killed += 1;
    }
    settle(host);
    killed
}

fn swept(host: &Sim, prng: &mut Prng, evidence: &mut Evidence) {
    insist(host, prng, evidence, |function| function.sweeps(&Budget::default()));
    settle(host);
}

pub(crate) fn events_dropped() -> Evidence {
    let mut evidence = Evidence::default();
    let mut repaired = 0;
    for seed in crate::seeds::of("scenario_16", 60) {
        let mut prng = Prng::new(seed);
        let (host, key) = started(EVERYTHING, durations());
        let killed = ravage(&host, &key, &mut prng);
        evidence.saw("events that never came", killed);
        let mut sweeps = 0;
        while !stand(&host, &key).run.status.is_terminal() {
            swept(&host, &mut prng, &mut evidence);
            sweeps += 1;
            assert!(sweeps < 10, "seed {seed}: {}", stand(&host, &key).statuses());
        }
        repaired += u64::from(sweeps > 0);
        let ended = stand(&host, &key);
        let open: Vec<_> = ended.tasks.iter().filter(|(_, task)| !task.status.is_terminal()).collect();
        assert!(open.is_empty(), "seed {seed}: {open:?}");
        // What a run held, a sweep gives back that looks at it once more, and has no trouble with it.
        (0..3).for_each(|_| swept(&host, &mut prng, &mut evidence));
        assert_eq!(taken(&host), 0, "seed {seed}");
        evidence.case();
    }
    assert!(repaired > 0, "nothing had to be repaired");
    evidence
}

/// What was terminal once, by name.
type Ends = BTreeMap<String, String>;

/// No status that was an end has changed.
fn hold(ends: &mut Ends, now: &Ended, story: &str) {
    let run = ("run".to_owned(), now.run.status.is_terminal(), now.run.status.to_string());
    let tasks =
        now.tasks.iter().map(|(name, t)| (name.clone(), t.status.is_terminal(), t.status.to_string()));
    for (name, is_over, status) in tasks.chain([run]) {
        let before = ends.get(&name);
        assert!(before.is_none_or(|before| *before == status), "{story}: {name} {before:?} {status}");
        if is_over {
            ends.insert(name, status);
        }
    }
}

pub(crate) fn events_shuffled() -> Evidence {
    let mut evidence = Evidence::default();
    for seed in crate::seeds::of("scenario_17", 30) {
        let mut prng = Prng::new(seed);
        let (host, key) = started(EVERYTHING, durations());
        ravage(&host, &key, &mut prng);
        let mut ends = Ends::new();
        for _ in 0..6 {
            let mut events = events(&host);
            events.extend(events.clone());
            events.extend(["a", "b", "d"].map(|task| {
                Command::Observed(Box::new(Observed::Program {
                    run_key: key.clone(),
                    task: task.to_owned(),
                    index: None,
                    attempt: 1 + prng.below(2) as u32,
                    program: format!("arn:task/{task}"),
                }))
            }));
            while !events.is_empty() {
                let event = events.swap_remove(prng.below(events.len() as u64) as usize);
                insist(&host, &mut prng, &mut evidence, |function| function.told(&event));
                hold(&mut ends, &stand(&host, &key), &format!("seed {seed}"));
            }
            settle(&host);
        }
        let ended = stand(&host, &key);
        assert!(ended.run.status.is_terminal(), "seed {seed}: {}", ended.statuses());
        (0..3).for_each(|_| swept(&host, &mut prng, &mut evidence));
        assert_eq!(taken(&host), 0, "seed {seed}");
        evidence.case();
    }
    evidence
}

pub(crate) fn token_answered_again() -> Evidence {
    let mut evidence = Evidence::default();
    let yaml = release("on_timeout: approve");
    let mut late = 0;
    for seed in crate::seeds::of("scenario_18", 60) {
        let mut prng = Prng::new(seed);
        let (host, key) = started(&yaml, Script::default());
        // The hour's end is when the answers come, or before, or after.
        let second = [1, 600, 3599, 3600, 3601, 9000][prng.below(6) as usize];
        pass(&host, second);
        let mut agreed = Vec::new();
        for _ in 0..2 + prng.below(4) {
            let (by, approved) = [("ana", true), ("berta", false)][prng.below(2) as usize];
            let say = say(&key, approved, by);
            let told = insist(&host, &mut prng, &mut evidence, |function| function.told(&say));
            if matches!(told, Reply::Ok(_)) {
                agreed.push(approved);
            }
        }
        assert!(settle(&host), "seed {seed}");
        let ended = stand(&host, &key);
        let (heard, asked) = (audited(&host), &ended.tasks["ask"]);
        let words = json!([heard, asked.output, asked.reason]).to_string();
        assert_eq!(heard.len(), 1, "seed {seed}: {words}");
        let yes = heard[0][0] == "approve";
        let status = if yes { TaskStatus::Success } else { TaskStatus::Failed };
        assert_eq!(asked.status, status, "seed {seed}: {words}");
        assert!(agreed.iter().all(|approved| *approved == yes), "seed {seed}: {words}");
        let hour = epoch().plus_seconds(3600);
        if heard[0][1] == "on_timeout" {
            late += 1;
            assert!(yes && second >= 3600 && asked.ended_at == Some(hour), "seed {seed}: {words}");
        } else {
            assert!(!agreed.is_empty() && asked.ended_at <= Some(hour), "seed {seed}: {words}");
        }
        evidence.case();
    }
    assert!(late > 0, "no answer came too late");
    evidence
}

pub(crate) fn stops_denied() -> Evidence {
    const PAIR: &str = "
pipeline: pair
tasks:
  one: {container: {image: x, command: [run]}}
  two: {container: {image: x, command: [run]}}
";
    let mut evidence = Evidence::default();
    for seed in crate::seeds::of("scenario_19", 40) {
        let mut prng = Prng::new(seed);
        let (host, key) = started(PAIR, script(json!({"one": 50_000, "two": 50_000}), json!({})));
        pass(&host, 2);
        let denied = 1 + prng.below(5) as u32;
        host.world().programs.ignore_stops(denied);
        if prng.below(2) == 0 {
            stop_run(&host, &key, "");
        } else {
            let cancel = Command::Cancel {
                run_key: key.clone(),
                generation: None,
                reason: "enough".to_owned(),
                by: None,
            };
            insist(&host, &mut prng, &mut evidence, |function| function.told(&cancel));
        }
        evidence.saw("stops not heard", u64::from(denied));
        pass(&host, 3);
        let clock = host.world().clock.clone();
        let running = || clock.block_on(host.world().programs.find(&key)).unwrap().unwrap().len();
        // Each sweep that has no trouble tries to stop each of the two again; the first may find the run open.
        let (mut sweeps, mut now) = (0, 3);
        while running() > 0 || !stand(&host, &key).run.status.is_terminal() {
            assert!(sweeps <= denied + 2, "seed {seed}: {} run after {sweeps} sweeps", running());
            let report =
                insist(&host, &mut prng, &mut evidence, |function| function.sweeps(&Budget::default()));
            sweeps += u32::from(report.troubles == 0);
            now += 5;
            pass(&host, now);
        }
        let ended = stand(&host, &key);
        assert_eq!(ended.run.status.as_str(), "cancelled", "seed {seed}");
        let over = epoch().plus_seconds(now);
        assert!(ended.ran.iter().all(|ran| ran.ended_at < over), "seed {seed}: {:?}", ended.ran);
        evidence.case();
    }
    evidence
}

/// What runs on Spot, and what each attempt that ends well writes.
const SPOT: &str = "
pipeline: spot
tasks:
  one: {container: {image: x, command: [run], capacity: spot_then_on_demand}, retry: {restartable: true, infrastructure_retries: 20, jitter: 0}, returns: {rows: integer}}
  list: {needs: [one], pass: {output: {items: [1, 2, 3]}}, returns: {items: list}}
  each: {needs: [list], map: {over: \"{{ outputs.list.items }}\"}, container: {image: x, command: [run, \"{{ item }}\"], capacity: spot}, retry: {restartable: true, infrastructure_retries: 20, jitter: 0}, returns: {rows: integer}}
  sum: {needs: [each], pass: {output: {rows: \"{{ outputs.one.rows }}\", all: \"{{ outputs.each }}\"}}}
";

pub(crate) fn spot_stops() -> Evidence {
    let output = |rows: u32| json!([{"status": "success", "output": {"rows": rows}}]);
    let outcomes =
        json!({"one": output(7), "each[0]": output(1), "each[1]": output(2), "each[2]": output(3)});
    let scripted = || script(json!({"one": 40, "each": 20}), outcomes.clone());
    let committed = |ended: &Ended| -> BTreeMap<String, String> {
        let tasks = ended
            .tasks
            .iter()
            .map(|(name, task)| (name.clone(), json!([task.status, task.output]).to_string()));
        tasks.collect()
    };
    let (host, key) = started(SPOT, scripted());
    assert!(settle(&host));
    let quiet = stand(&host, &key);
    assert_eq!(quiet.run.status.as_str(), "success", "{:?}", quiet.reasons());
    let mut evidence = Evidence::default();
    for seed in crate::seeds::of("scenario_20", 60) {
        let mut prng = Prng::new(seed);
        let (host, key) = started(SPOT, scripted());
        let clock = host.world().clock.clone();
        let mut now = 0;
        for _ in 0..1 + prng.below(5) {
            now += prng.below(60_000_000) as i64;
            let until = clock.until(epoch().plus_micros(now));
            drop(clock.block_on(host.run(until)).unwrap());
            evidence.saw("programs interrupted", host.world().programs.interrupt() as u64);
        }
        assert!(settle(&host), "seed {seed}");
        let ended = stand(&host, &key);
        assert_eq!(committed(&ended), committed(&quiet), "seed {seed}: {:?}", ended.reasons());
        evidence.case();
    }
    evidence
}

/// Tasks that start at a rate, where there is capacity.
const LAUNCHED: &str = "
pipeline: launched
max_active_runs: 50
tasks:
  go: {container: {image: x, command: [run]}, rate_limit: bursty, retry: {infrastructure_retries: 100, delay: 30s, jitter: 0.5}}
";

pub(crate) fn no_capacity() -> Evidence {
    const RUNS: u32 = 25;
    let mut evidence = Evidence::default();
    let compiled = compiled_in(LAUNCHED, &controls::project());
    for seed in crate::seeds::of("scenario_21", 5) {
        let mut prng = Prng::new(seed);
        let host = controls::world_of(MemoryTable::new(), &[&compiled], script(json!({"go": 5}), json!({})));
        host.world().programs.none_before(epoch().plus_seconds(300 + prng.below(900)));
        for number in 0..RUNS {
            tell(&host, &Command::Trigger(Box::new(by_hand(&compiled, &format!("r{number}")))));
        }
        assert!(settle(&host), "seed {seed}");
        let mut launches = Vec::new();
        for number in 0..RUNS {
            let ended = stand(&host, &RunKey::new("launched", &format!("r{number}")));
            assert_eq!(ended.run.status.as_str(), "success", "seed {seed}: {:?}", ended.reasons());
            let attempts = &ended.tasks["go"].attempts;
            evidence.saw("launches refused", attempts.len() as u64 - 1);
            launches
                .extend(attempts.iter().map(|attempt| attempt.started_at.micros_since(epoch()) as f64 / 1e6));
        }
        // Ten tokens a minute, five at once: no minute has more than fourteen.
        let most = controls::most_within(60.0, &mut launches);
        assert!(most <= 14, "seed {seed}: {most} launches in a minute");
        evidence.case();
    }
    evidence
}
