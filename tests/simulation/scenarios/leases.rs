//! Who holds a slot and who does not: attempts that come late, holders that were paused, clocks that are wrong,
//! crowds that die.

use crate::lines::Scene;
use crate::repair::{pass, settle, stand, stop, taken, tell};
use crate::scenarios::Evidence;
use crate::scenarios::cloud::{Function, Told, WEATHER, insist};
use crate::world::{Sim, by_hand, compiled, deployment, epoch, host, script};
use cauce_driver::Budget;
use cauce_engine::command::{Finish, Outcome};
use cauce_engine::slots::{lock_pool, pool_item};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::ids::child_execution_name;
use cauce_model::{Json, RunKey, TaskStatus};
use cauce_ports::Table;
use cauce_testkit::faulty::Faults;
use cauce_testkit::prng::Prng;
use serde_json::json;

/// What an attempt says that ended well.
fn ended_well(run: &RunKey, task: &str, fence: u64) -> Finish {
    let result = json!({"StopCode": "EssentialContainerExited", "Containers": [{"ExitCode": 0}]});
    Finish {
        run_key: run.clone(),
        generation: 1,
        task: task.to_owned(),
        index: None,
        fence,
        outcome: Outcome::Succeeded(result),
    }
}

/// Two attempts: the first fails after eight seconds.
const SLOW: &str = "
pipeline: slow
tasks:
  load: {container: {image: x, command: [run]}, retry: {retries: 1, delay: 1s, jitter: 0}, lock: ledger}
";

pub(crate) fn late_attempt() -> Evidence {
    let mut evidence = Evidence::default();
    let compiled = compiled(SLOW);
    for seed in crate::seeds::of("scenario_08", 40) {
        let mut prng = Prng::new(seed);
        let script = script(json!({"load": [8, 8]}), json!({"load": [1, "success"]}));
        let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
        host.world().clock.clone().block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
        tell(&host, &Command::Trigger(Box::new(by_hand(&compiled, "r1"))));
        let key = RunKey::new("slow", "r1");
        pass(&host, 1 + prng.below(7));
        let fence = stand(&host, &key).tasks["load"].fence;
        // While the second one runs, or when it is over.
        pass(&host, 10 + prng.below(10));
        let before = stand(&host, &key);
        let late = Command::Finish(ended_well(&key, "load", fence));
        let told = insist(&host, &mut prng, &mut evidence, |function| function.told(&late));
        assert!(matches!(told, Reply::Failure { .. }), "seed {seed}: it was heard: {told:?}");
        let after = stand(&host, &key);
        assert_eq!((&before.run, &before.tasks), (&after.run, &after.tasks), "seed {seed}");
        evidence.saw(
            "late ends told while the next attempt ran",
            u64::from(before.tasks["load"].status == TaskStatus::Running),
        );
        assert!(settle(&host));
        let ended = stand(&host, &key);
        let load = &ended.tasks["load"];
        assert_eq!((load.status, load.attempts.len()), (TaskStatus::Success, 2), "seed {seed}");
        assert_eq!((ended.ran.len(), taken(&host)), (2, 0), "seed {seed}");
        evidence.case();
    }
    evidence
}

fn pool(host: &Sim, name: &str) -> Json {
    let item = host.world().clock.clone().block_on(host.world().table.get(&pool_item(name)));
    Json::Object(item.unwrap().unwrap().unwrap().body)
}

/// How many of a pool's slots are taken, by its own count.
fn used(host: &Sim, name: &str) -> i64 {
    let pools = host.world().table.items().into_iter().filter(|item| item.key == pool_item(name));
    pools.filter_map(|item| item.body.get("used").and_then(Json::as_i64)).sum()
}

pub(crate) fn paused_holder() -> Evidence {
    let mut evidence = Evidence::default();
    for seed in crate::seeds::of("scenario_09", 40) {
        let mut prng = Prng::new(seed);
        let scene = Scene::new(1, json!({"locked": 20}));
        let host = &scene.host;
        let paused = scene.comes(0, "locked", "paused");
        let next = scene.comes(1, "locked", "next");
        let gives_up = 2 + prng.below(15);
        pass(host, gives_up);
        let fence = scene.task(&paused).fence;
        stop(host, "container", &child_execution_name(&paused, 1, "locked", None), "");
        let reclaim = Command::Reclaim { pool: lock_pool("ledger"), all: true };
        let died = Finish { outcome: Outcome::Died(None), ..ended_well(&paused, "locked", fence) };
        for command in [reclaim, Command::Finish(died)] {
            insist(host, &mut prng, &mut evidence, |function| function.told(&command));
        }
        pass(host, gives_up + 1 + prng.below(25));
        let stands = || (scene.task(&paused), scene.task(&next), pool(host, &lock_pool("ledger")));
        let before = stands();
        let late = Command::Finish(ended_well(&paused, "locked", fence));
        let told = insist(host, &mut prng, &mut evidence, |function| function.told(&late));
        assert!(matches!(told, Reply::Failure { .. }), "seed {seed}: it was heard: {told:?}");
        assert_eq!(before, stands(), "seed {seed}");
        evidence.saw("woke while another held", u64::from(before.1.status == TaskStatus::Running));
        // Whoever looks for what is left over wakes them that the lost look would have woken.
        insist(host, &mut prng, &mut evidence, |function| function.sweeps(&Budget::default()));
        assert!(settle(host), "seed {seed}");
        assert_eq!(scene.task(&next).status, TaskStatus::Success, "seed {seed}");
        assert_eq!(taken(host), 0, "seed {seed}");
        evidence.case();
    }
    evidence
}

pub(crate) fn clocks_apart() -> Evidence {
    let mut evidence = Evidence::default();
    for seed in crate::seeds::of("scenario_10", 40) {
        let mut prng = Prng::new(seed);
        let scene = Scene::new(1, json!({"small": 30}));
        let host = &scene.host;
        let holder = scene.comes(0, "small", "holder");
        let waiter = scene.comes(1, "small", "waiter");
        for second in 2..2 + prng.below(25) {
            pass(host, second);
            let ahead = if prng.below(2) == 0 { 600 } else { -600 };
            let looks = ["sftp", "run:small"].map(str::to_owned).into_iter().flat_map(|pool| {
                let look = Command::Look { pool: pool.clone(), own: String::new(), seconds: 60 };
                [look, Command::Reclaim { pool, all: true }]
            });
            for command in looks {
                let faults = Faults::seeded(prng.next_u64(), WEATHER);
                // Nobody insists: what fails is not asked for again.
                drop(Function::skewed(host, &faults, ahead).told(&command));
                evidence.add(&faults);
            }
            let faults = Faults::seeded(prng.next_u64(), WEATHER);
            if let Told::Heard(report) = Function::skewed(host, &faults, ahead).sweeps(&Budget::default()) {
                assert_eq!(
                    (report.freed, report.settled, report.closed),
                    (0, 0, 0),
                    "seed {seed}: {report:?}"
                );
            }
            evidence.add(&faults);
            assert_eq!(scene.task(&waiter).status, TaskStatus::Queued, "seed {seed}: it was given early");
            assert_eq!(scene.task(&holder).status, TaskStatus::Running, "seed {seed}");
            assert_eq!(pool(host, "sftp")["used"], 1, "seed {seed}");
        }
        assert!(settle(host), "seed {seed}");
        assert_eq!(
            [&holder, &waiter].map(|run| scene.task(run).status),
            [TaskStatus::Success; 2],
            "seed {seed}"
        );
        assert_eq!(scene.started(&waiter), 30, "seed {seed}");
        assert_eq!(taken(host), 0, "seed {seed}");
        evidence.case();
    }
    evidence
}

/// Slots of the pool that the crowd contends for.
const SLOTS: u32 = 3;

pub(crate) fn contenders_die() -> Evidence {
    let mut evidence = Evidence::default();
    let mut full = 0;
    for seed in crate::seeds::of("scenario_11", 30) {
        let mut prng = Prng::new(seed);
        let scene = Scene::new(SLOTS, json!({"small": 9, "first": 4, "big": 5}));
        let host = &scene.host;
        let mut runs: Vec<(&str, RunKey)> = Vec::new();
        for second in 0..60 {
            pass(host, second);
            if runs.len() < 16 {
                let pipeline = ["small", "first", "big"][prng.below(3) as usize];
                let run = scene.comes(second, pipeline, &format!("r{}", runs.len()));
                runs.push((pipeline, run));
            }
            let (pipeline, run) = &runs[prng.below(runs.len() as u64) as usize];
            // An execution dies: its own, or that of the whole run. Nobody is told.
            match prng.below(6) {
                0 => stop(host, "container", &child_execution_name(run, 1, pipeline, None), ""),
                1 => crate::repair::stop_run(host, run, ""),
                _ => {}
            }
            if second % 10 == 9 {
                insist(host, &mut prng, &mut evidence, |function| function.sweeps(&Budget::default()));
            }
            let used = used(host, "sftp");
            assert!((0..=i64::from(SLOTS)).contains(&used), "seed {seed}: {used} of {SLOTS}");
            full += u64::from(used == i64::from(SLOTS));
        }
        for _ in 0..4 {
            settle(host);
            insist(host, &mut prng, &mut evidence, |function| function.sweeps(&Budget::default()));
        }
        settle(host);
        for (_, run) in &runs {
            let ended = stand(host, run);
            assert!(ended.run.status.is_terminal(), "seed {seed}: {run} {}", ended.statuses());
        }
        assert_eq!(taken(host), 0, "seed {seed}");
        let (mut now, mut most, mut changes) = (0, 0, Vec::new());
        for ran in host.world().programs.ran() {
            let slots = if ran.task == "big" { 2 } else { 1 };
            changes.extend([(ran.ended_at, -slots), (ran.started_at, slots)]);
        }
        changes.sort_unstable();
        for (_, change) in changes {
            now += change;
            most = most.max(now);
        }
        assert!(most <= i64::from(SLOTS), "seed {seed}: {most} slots' worth of programs ran at once");
        evidence.case();
    }
    assert!(full > 0, "the pool was never full");
    evidence
}
