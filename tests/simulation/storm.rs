//! Random pipelines under random faults: whatever happens on the way, every task ends as the model says,
//! no attempt's program starts twice, nothing that succeeded runs again, nobody starts before what it waits
//! for has ended, limits hold, and nothing is left held.

use crate::model::{self, Task};
use crate::reference::{random, script, yaml};
use crate::world::{Ended, Sim, by_hand, compiled, deployment, epoch, host, read};
use cauce_compiler::Compiled;
use cauce_engine::command::{Existing, Trigger};
use cauce_engine::{Command, Reply, slots};
use cauce_host::simulation::{MemoryObjects, Ran};
use cauce_local::memory::MemoryTable;
use cauce_model::record::{Record, RunRecord, run_item};
use cauce_model::{Instant, RunKey, TaskStatus};
use cauce_ports::{Clock, Table};
use cauce_testkit::faulty::{Faults, Faulty, Fired, Moment, Rates};
use cauce_testkit::prng::Prng;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What goes wrong in a run of this seed.
struct Weather {
    rates: Rates,
    /// Calls at which the engine dies, each counted from its own beginning.
    deaths: Vec<(u64, Moment)>,
    /// `max_active_tasks`.
    at_once: Option<usize>,
}

fn weather(prng: &mut Prng) -> Weather {
    let rates = match prng.below(4) {
        0 => Rates::default(),
        1 => Rates { throttled: 300, ..Rates::default() },
        2 => Rates { lost_before: 60, lost_after: 90, ..Rates::default() },
        _ => Rates { throttled: 80, conflict: 80, lost_before: 40, lost_after: 60, stale: 0 },
    };
    let deaths = (0..prng.below(4)).map(|_| {
        let moment = if prng.below(2) == 0 { Moment::Before } else { Moment::After };
        (1 + prng.below(250), moment)
    });
    let deaths = deaths.collect();
    let at_once = (prng.below(2) == 0).then(|| 1 + prng.below(3) as usize);
    Weather { rates, deaths, at_once }
}

/// What became of a run over all the engines that drove it.
struct Story {
    ended: Ended,
    ran: Vec<Ran>,
    fired: Fired,
}

fn live(compiled: &Compiled, tasks: &[Task], weather: &Weather, seed: u64) -> Story {
    let (table, objects) = (MemoryTable::new(), MemoryObjects::default());
    let key = RunKey::new("random", "r1");
    let (mut now, mut ran, mut fired, mut done) = (epoch(), Vec::new(), Fired::default(), BTreeMap::new());
    for engine in 0.. {
        let faults = Faults::seeded(seed ^ engine << 32, Rates::default());
        let host: Sim<Faulty<MemoryTable>> =
            host(Faulty::new(table.clone(), &faults), objects.clone(), script(tasks), now);
        if let Some((call, moment)) = weather.deaths.get(engine as usize) {
            faults.crash_at(*call, *moment);
        }
        let clock = host.world().clock.clone();
        let lived = clock.block_on(faults.survive(drive(&host, compiled, &key, &faults, weather.rates)));
        assert!(lived.is_some(), "engine {engine} stands still");
        fired += faults.fired();
        let of_this = host.world().programs.ran();
        for ran in &of_this {
            let name = (ran.task.clone(), ran.index);
            assert!(!done.contains_key(&name), "{name:?} had succeeded and ran again");
        }
        ran.extend(of_this);
        now = clock.now();
        faults.set_rates(Rates::default());
        faults.revive();
        let ended = clock.block_on(async {
            match find(&host, &key).await {
                None => None,
                Some(_) => Some(read(&host, &key).await),
            }
        });
        let ended = ended.unwrap();
        for task in ended.iter().flat_map(|ended| ended.tasks.values()) {
            if task.status == TaskStatus::Success {
                done.insert((task.task.clone(), task.index), ());
            }
        }
        if lived == Some(Ok(())) {
            // What an engine held that died after the run's end and before its last effects, whoever waits
            // for it has given back.
            clock.block_on(left_nothing(&host)).unwrap();
            return Story { ended: ended.unwrap(), ran, fired };
        }
    }
    unreachable!("the last engine lives")
}

/// One engine: takes up what is there, or begins.
async fn drive(
    host: &Sim<Faulty<MemoryTable>>,
    compiled: &Compiled,
    key: &RunKey,
    faults: &Faults,
    rates: Rates,
) {
    host.deploy(&deployment(compiled)).await.unwrap();
    let before = find(host, key).await;
    let existing = match &before {
        None => Existing::Refuse,
        Some(run) if run.status.is_terminal() => return,
        Some(_) => Existing::Resume,
    };
    let params = before.map_or(Some(json!({})), |_| None);
    let trigger = Trigger { existing, params, ..by_hand(compiled, "r1") };
    let reply = host.execute(&Command::Trigger(Box::new(trigger))).await;
    assert!(matches!(reply, Ok(Reply::Ok(_))), "{reply:?}");
    faults.set_rates(rates);
    host.run(std::future::pending()).await.unwrap();
}

async fn find(host: &Sim<Faulty<MemoryTable>>, key: &RunKey) -> Option<RunRecord> {
    let item = host.world().table.get(&run_item(key)).await.unwrap();
    item.map(|item| RunRecord::from_item(&item).unwrap())
}

async fn left_nothing(host: &Sim<Faulty<MemoryTable>>) {
    for pool in [slots::active_tasks_pool("random"), slots::active_runs_pool("random")] {
        host.execute(&Command::Reclaim { pool: pool.clone(), all: true }).await.unwrap();
        if let Some(item) = host.world().table.get(&slots::pool_item(&pool)).await.unwrap() {
            assert_eq!(item.body["used"], 0, "{pool} after the end");
        }
    }
}

fn check(tasks: &[Task], story: &Story, at_once: Option<usize>, told: &str) {
    let expected = model::model(tasks);
    let ended = &story.ended;
    for (number, end) in expected.iter().enumerate() {
        let name = format!("t{number}");
        assert_eq!(ended.tasks[&name].status.as_str(), model::word(end.status), "{name}\n{told}");
    }
    assert_eq!(ended.run.status.as_str(), model::run_status(tasks, &expected), "{told}");
    let mut seen = BTreeSet::new();
    for ran in &story.ran {
        assert!(seen.insert((&ran.task, ran.index, ran.attempt)), "{ran:?} ran twice\n{told}");
    }
    for (number, task) in tasks.iter().enumerate() {
        let first =
            story.ran.iter().filter(|ran| ran.task == format!("t{number}")).map(|ran| ran.started_at).min();
        let Some(first) = first.filter(|_| !model::EARLY.contains(&task.rule)) else {
            continue;
        };
        for up in &task.needs {
            let up = &ended.tasks[&format!("t{up}")];
            assert!(up.ended_at.unwrap() <= first, "t{number} started before {} had ended\n{told}", up.task);
        }
    }
    if let Some(at_once) = at_once {
        let found = most_at_once(tasks, &story.ran);
        assert!(found <= at_once, "{found} at once\n{told}");
    }
}

fn most_at_once(tasks: &[Task], ran: &[Ran]) -> usize {
    let mut changes: Vec<(Instant, i32)> = Vec::new();
    for ran in ran {
        let task: usize = ran.task[1..].parse().unwrap();
        changes.push((ran.started_at, 1));
        changes.push((ran.started_at.plus_micros(tasks[task].seconds * 1_000_000), -1));
    }
    changes.sort();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    usize::try_from(most).unwrap()
}

#[test]
fn random_pipelines_under_random_faults_end_as_on_a_quiet_day() {
    let test = "random_pipelines_under_random_faults_end_as_on_a_quiet_day";
    let (count, fired) = weathered(test, 1000);
    eprintln!("{count} seeds: {fired:?}");
    assert!(count < 100 || fired.after_decision > count, "too little went wrong: {fired:?}");
}

/// A random pipeline in random weather for each seed. Returns how many there were, and their faults.
pub(crate) fn weathered(test: &'static str, seeds: u64) -> (u64, Fired) {
    let (mut count, mut fired) = (0, Fired::default());
    for seed in crate::seeds::of(test, seeds) {
        let mut prng = Prng::new(!seed);
        let mut tasks = random(&mut prng);
        let weather = weather(&mut prng);
        if !weather.deaths.is_empty() {
            // An attempt that died with its engine takes a number, and a resumed run a new budget: only what
            // always fails or never does ends the same.
            for task in &mut tasks {
                let all = task.items.iter_mut().flat_map(|items| &mut items.failures);
                all.chain([&mut task.failures]).filter(|failures| **failures > 0).for_each(|all| *all = 1000);
            }
        }
        let more = weather.at_once.map(|most| format!("max_active_tasks: {most}\n")).unwrap_or_default();
        let text = yaml(&tasks, &more);
        let story = live(&compiled(&text), &tasks, &weather, seed);
        fired += story.fired;
        count += 1;
        check(
            &tasks,
            &story,
            weather.at_once,
            &format!("seed {seed}: {:?}\n{text}{tasks:#?}", weather.deaths),
        );
    }
    (count, fired)
}
