//! Two pipelines that share pools and a lock, with a store that loses replies: the limit holds at every
//! instant, and everybody ends.

use crate::repair::{pass, tell};
use crate::world::{by_hand, compiled, compiled_in, deployment, epoch, host, read, script};
use cauce_driver::look;
use cauce_engine::Command;
use cauce_engine::slots::WAITER_PREFIX;
use cauce_host::simulation::{MemoryObjects, Ran};
use cauce_local::memory::MemoryTable;
use cauce_model::RunKey;
use cauce_model::matrix::ItemRecord;
use cauce_ports::Table;
use cauce_testkit::faulty::{Faults, Faulty, Rates};
use serde_json::json;
use std::collections::BTreeMap;

const PROJECT: &str = "
images: {x: {local: []}}
pools: {sftp: 2, db: {slots: 3}}
";

const LEFT: &str = "
pipeline: left
tasks:
  fetch: {container: {image: x, command: [run]}, pools: {sftp: 1}}
  both: {container: {image: x, command: [run]}, pools: {sftp: 1, db: 2}}
  load: {needs: [fetch], container: {image: x, command: [run]}, pools: {db: 1}, lock: \"ledger-{{ ds }}\"}
";

const RIGHT: &str = "
pipeline: right
max_active_tasks: 2
tasks:
  pull: {container: {image: x, command: [run]}, pools: {sftp: 2}}
  load: {container: {image: x, command: [run]}, pools: {db: 1}, lock: \"ledger-{{ ds }}\"}
  late: {needs: [pull, load], container: {image: x, command: [run]}, pools: {db: 3}, priority: 9}
";

/// What the tasks of a name hold, by pool.
fn held(task: &str) -> &'static [(&'static str, i64)] {
    match task {
        "fetch" => &[("sftp", 1)],
        "both" => &[("sftp", 1), ("db", 2)],
        "pull" => &[("sftp", 2)],
        "load" => &[("db", 1), ("ledger", 1)],
        "late" => &[("db", 3)],
        other => panic!("no task {other}"),
    }
}

/// The most that was held of each pool at any instant. Ends count before starts.
fn most(ran: &[Ran], seconds: impl Fn(&str) -> i64) -> BTreeMap<&'static str, i64> {
    let mut changes = Vec::new();
    for ran in ran {
        let ended = ran.started_at.micros() + seconds(&ran.task) * 1_000_000;
        for (pool, slots) in held(&ran.task) {
            changes.push((ended, -slots, *pool));
            changes.push((ran.started_at.micros(), *slots, *pool));
        }
    }
    changes.sort_unstable();
    let (mut now, mut most) = (BTreeMap::new(), BTreeMap::new());
    for (_, slots, pool) in changes {
        let now = now.entry(pool).or_insert(0);
        *now += slots;
        let most = most.entry(pool).or_insert(0);
        *most = (*most).max(*now);
    }
    most
}

#[test]
fn runs_of_two_pipelines_share_pools_and_all_end() {
    let (project, problems) = cauce_spec::check_project(PROJECT.as_bytes());
    let project = project.unwrap_or_else(|| panic!("{problems:?}"));
    let pipelines = [compiled_in(LEFT, &project), compiled_in(RIGHT, &project)];
    let durations = json!({"fetch": 4, "both": 7, "load": 3, "pull": 5, "late": 2});
    let seconds = |task: &str| durations[task].as_i64().unwrap();
    let rates = Rates { throttled: 60, conflict: 60, lost_before: 40, lost_after: 60, stale: 0 };
    for seed in crate::seeds::of("runs_of_two_pipelines_share_pools_and_all_end", 25) {
        let faults = Faults::seeded(seed, Rates::default());
        let table = Faulty::new(MemoryTable::new(), &faults);
        let host = host(table, MemoryObjects::default(), script(durations.clone(), json!({})), epoch());
        let clock = host.world().clock.clone();
        let names: Vec<(usize, String)> = (0..6).map(|number| (number % 2, format!("r{number}"))).collect();
        let ended = clock
            .block_on(async {
                let pools = project.pools.iter().map(|(name, pool)| (name.to_string(), pool.slots));
                host.execute(&Command::Resize { pools: pools.collect() }).await.unwrap();
                for compiled in &pipelines {
                    host.deploy(&deployment(compiled)).await.unwrap();
                }
                for (which, name) in &names {
                    let command = Command::Trigger(Box::new(by_hand(&pipelines[*which], name)));
                    host.execute(&command).await.unwrap();
                }
                faults.set_rates(rates);
                host.run(std::future::pending()).await.unwrap();
                faults.set_rates(Rates::default());
                let mut ended = Vec::new();
                for (which, name) in &names {
                    let key = RunKey::new(&pipelines[*which].plan.pipeline, name);
                    ended.push(read(&host, &key).await);
                }
                for pool in ["sftp", "db"] {
                    let key = cauce_engine::slots::pool_item(pool);
                    let item = host.world().table.get(&key).await.unwrap().unwrap();
                    assert_eq!(item.body["used"], 0, "seed {seed}: {pool}");
                }
                ended
            })
            .unwrap();
        for run in &ended {
            assert_eq!(run.run.status.as_str(), "success", "seed {seed}: {:?}", run.reasons());
        }
        let most = most(&ended[0].ran, seconds);
        assert_eq!(most, BTreeMap::from([("sftp", 2), ("db", 3), ("ledger", 1)]), "seed {seed}");
    }
}

/// Calls of ports for runs that all come at once, from the first Open until the last run has ended: by run.
fn calls_per_run(runs: u32, slots: u32) -> f64 {
    let yaml = format!(
        "pipeline: crowd\nmax_active_runs: {slots}\ntasks: {{a: {{container: {{image: x, command: [run]}}}}}}\n"
    );
    let compiled = compiled(&yaml);
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    let host = host(table, MemoryObjects::default(), script(json!({"a": 1}), json!({})), epoch());
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            host.deploy(&deployment(&compiled)).await.unwrap();
            for number in 0..runs {
                let command = Command::Trigger(Box::new(by_hand(&compiled, &format!("r{number:04}"))));
                host.execute(&command).await.unwrap();
            }
            let before = faults.calls();
            host.run(std::future::pending()).await.unwrap();
            let calls = faults.calls() - before;
            for number in 0..runs {
                let run = read(&host, &RunKey::new("crowd", &format!("r{number:04}"))).await.run;
                assert_eq!(run.status.as_str(), "success", "{number}: {:?}", run.message);
            }
            calls as f64 / f64::from(runs)
        })
        .unwrap()
}

#[test]
fn a_run_in_a_long_line_costs_what_one_in_a_short_line_does() {
    let (short, long) = (calls_per_run(80, 16), calls_per_run(640, 128));
    eprintln!("{short} {long}");
    assert!(long < 1.5 * short, "{long} calls for a run behind 512, {short} behind 64");
}

/// Bytes of the pool's item while so many runs wait for one of 16 slots, and how many places there are in line.
fn item_in_front_of(runs: usize) -> (usize, usize) {
    let yaml = "pipeline: crowd\nmax_active_runs: 16\ntasks: {a: {container: {image: x, command: [run]}}}\n";
    let compiled = compiled(yaml);
    let host =
        host(MemoryTable::new(), MemoryObjects::default(), script(json!({"a": 3600}), json!({})), epoch());
    let clock = host.world().clock.clone();
    clock.block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
    for number in 0..16 + runs {
        tell(&host, &Command::Trigger(Box::new(by_hand(&compiled, &format!("r{number:05}")))));
    }
    pass(&host, 5);
    clock
        .block_on(async {
            let pool = cauce_engine::slots::pool_item("run:crowd");
            let item = host.world().table.get(&pool).await.unwrap().unwrap();
            let line = look::range(&host.world().table, &pool.partition, WAITER_PREFIX).await.unwrap();
            (serde_json::to_string(&item).unwrap().len(), line.len())
        })
        .unwrap()
}

#[test]
fn those_in_line_take_no_room_in_the_pool_itself() {
    let ((short, few), (long, many)) = (item_in_front_of(50), item_in_front_of(1500));
    assert_eq!((few, many), (50, 1500));
    // Numbers have more digits.
    assert!(long < short + 16, "{long} bytes in front of 1500, {short} in front of 50");
}

const FEEDS: &str = "
images: {x: {local: []}}
pools: {feed_nyse: 1, feed_nasdaq: 1}
";

const BY_ITEM: &str = "
pipeline: symbols
matrix: {as: symbol, from: symbols.csv, key: ticker, priority: rank}
max_active_runs: 10
tasks:
  fetch: {container: {image: x, command: [run]}, pools: {\"feed_{{ symbol.exchange | lower }}\": 1}}
";

#[test]
fn items_choose_their_pools_and_who_goes_first() {
    let (project, problems) = cauce_spec::check_project(FEEDS.as_bytes());
    let compiled = compiled_in(BY_ITEM, &project.unwrap_or_else(|| panic!("{problems:?}")));
    let matrix = compiled.plan.matrix.clone().unwrap();
    let host =
        host(MemoryTable::new(), MemoryObjects::default(), script(json!({"fetch": 10}), json!({})), epoch());
    let items = [
        ("A1", "NYSE", 1),
        ("B1", "NASDAQ", 1),
        ("A2", "NYSE", 2),
        ("B3", "NASDAQ", 3),
        ("A3", "NYSE", 3),
        ("B2", "NASDAQ", 2),
    ];
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let pools = ["feed_nyse", "feed_nasdaq"].map(|name| (name.to_owned(), 1));
            host.execute(&Command::Resize { pools: pools.into() }).await.unwrap();
            host.deploy(&deployment(&compiled)).await.unwrap();
            for (key, exchange, rank) in items {
                let fields = json!({"ticker": key, "exchange": exchange, "rank": rank});
                let item = ItemRecord {
                    key: key.to_owned(),
                    fields: fields.as_object().cloned().unwrap(),
                    case: None,
                    since: epoch(),
                };
                let mut request = by_hand(&compiled, key);
                request.trigger.item = Some(item.of_run(&matrix));
                host.execute(&Command::Trigger(Box::new(request))).await.unwrap();
            }
            host.run(std::future::pending()).await.unwrap();
            let mut started = BTreeMap::new();
            for (key, ..) in items {
                let ended = read(&host, &RunKey::new("symbols", key)).await;
                assert_eq!(ended.run.status.as_str(), "success", "{key}: {:?}", ended.reasons());
                let first = ended.tasks["fetch"].attempts[0].started_at;
                started.insert(key, first.micros_since(epoch()) / 1_000_000);
            }
            // The first of each exchange goes at once; then the highest rank of those that wait.
            let expected = [("A1", 0), ("A2", 20), ("A3", 10), ("B1", 0), ("B2", 20), ("B3", 10)];
            assert_eq!(started, BTreeMap::from(expected));
            for pool in ["feed_nyse", "feed_nasdaq"] {
                let item = host.world().table.get(&cauce_engine::slots::pool_item(pool)).await.unwrap();
                assert_eq!(item.unwrap().body["used"], 0, "{pool}");
            }
        })
        .unwrap();
}
