//! Sets of files: late, settled, collected.

use crate::deployments::{deploy, made, new_host};
use crate::events::{arrives, deployed, find, finish, ledger, object};
use crate::world::{Sim, compiled, epoch, host, script};
use cauce_driver::Budget;
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::event::{Became, LedgerRecord, Object};
use cauce_model::item::{Expect, Write};
use cauce_model::record::{RUNS_LIST, Record, RunRecord};
use cauce_model::{Json, RunStatus};
use cauce_ports::{Objects, Table};
use cauce_testkit::faulty::{Faults, Faulty};
use cauce_testkit::prng::Prng;
use serde_json::json;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

const PAIR: &str = r#"
pipeline: sales
triggers:
  - file: {bucket: "${{ env.lake }}", keys: ["a_{date:date}.csv", "b_{date:date}.csv"], wait_for: all,
           logical_date: "{date}", WAITS}
notify: {deadline: [team]}
tasks:
  load: {pass: {output: {n: "{{ trigger.events | length }}"}}}
"#;

const MANY: &str = r#"
pipeline: sales
max_active_runs: 100
triggers:
  - file: {bucket: "${{ env.lake }}", keys: ["in/*.csv"], settle: 1m, BATCH}
tasks:
  load:
    pass: {output: {listed: "{{ trigger.events | length }}", more: "{{ trigger.more_events }}"}}
"#;

/// What the ledger says of sets, oldest decision first.
pub(crate) async fn sets(host: &Sim) -> Vec<LedgerRecord> {
    let mut entries = ledger(host, "1997-01-06").await;
    entries.retain(|entry| entry.kind == "set");
    entries.sort_by_key(|entry| entry.decided_at);
    entries
}

pub(crate) async fn runs(host: &Sim) -> Vec<RunRecord> {
    let (mut runs, mut after) = (Vec::new(), None);
    loop {
        let page = host.world().table.list(RUNS_LIST, "", after, 100).await.unwrap();
        runs.extend(page.items.iter().map(|item| RunRecord::from_item(item).unwrap()));
        after = page.next;
        if after.is_none() {
            return runs;
        }
    }
}

/// Every object that any run was told of, and how often.
pub(crate) async fn told(objects: &impl Objects, runs: &[RunRecord]) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for run in runs {
        for uri in run.trigger.detail["events_uris"].as_array().unwrap() {
            let bytes = objects.get(uri.as_str().unwrap(), 1 << 24).await.unwrap().unwrap();
            let objects: Vec<Object> = serde_json::from_slice(&bytes).unwrap();
            for object in objects {
                *told.entry(object.key).or_default() += 1;
            }
        }
    }
    told
}

#[test]
fn a_set_that_is_late_is_told_once_and_runs_when_it_is_complete() {
    let host = new_host();
    let compiled = compiled(&PAIR.replace("WAITS", "deadline: 1h"));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            assert_eq!(now_is(&host, "a_1997-01-05.csv", "1").await, Became::Waiting);
            at(&host, 3599).await;
            assert_eq!(sets(&host).await.len(), 0);
            at(&host, 3600).await;
            at(&host, 9000).await;
            let late = sets(&host).await;
            assert_eq!(late.iter().map(|entry| entry.became).collect::<Vec<_>>(), [Became::Incomplete]);
            assert_eq!(late[0].reason.as_deref(), Some("missing: b_{date:date}.csv"));
            let notices = host.world().notices.notices();
            assert_eq!(notices.len(), 1, "{notices:?}");
            assert_eq!(notices[0].subject, "sales: files are missing for date=1997-01-05");
            assert_eq!(notices[0].message, "missing: b_{date:date}.csv; there: a_1997-01-05.csv");

            assert_eq!(now_is(&host, "b_1997-01-05.csv", "1").await, Became::Run);
            finish(&host).await;
            let run = find(&host, "1997-01-05").await.unwrap();
            assert_eq!((run.status, run.generation), (RunStatus::Success, 1));
            assert_eq!(sets(&host).await.len(), 1);
            // Complete in time: nobody is told.
            for key in ["b_1997-01-06.csv", "a_1997-01-06.csv"] {
                host.execute(&arrives(&object(key, "1"))).await.unwrap();
            }
            at(&host, 90_000).await;
            assert_eq!((sets(&host).await.len(), host.world().notices.notices().len()), (1, 1));
        })
        .unwrap();
}

#[test]
fn a_set_that_settles_runs_once_with_the_newest_of_each() {
    let host = new_host();
    let compiled = compiled(&PAIR.replace("WAITS", "settle: 5m"));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            for (key, sequencer) in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3")] {
                assert_eq!(now_is(&host, &format!("{key}_1997-01-05.csv"), sequencer).await, Became::Waiting);
            }
            at(&host, 299).await;
            assert_eq!(find(&host, "1997-01-05").await, None);
            at(&host, 300).await;
            let run = find(&host, "1997-01-05").await.unwrap();
            assert_eq!((run.status, run.generation), (RunStatus::Success, 1));
            let sequencers: Vec<&Json> = run.trigger.detail["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| &event["sequencer"])
                .collect();
            assert_eq!(sequencers, ["3", "1"]);
            // What comes later settles again, and is a further generation.
            host.execute(&arrives(&object("b_1997-01-05.csv", "2"))).await.unwrap();
            at(&host, 600).await;
            assert_eq!(find(&host, "1997-01-05").await.unwrap().generation, 2);
        })
        .unwrap();
}

/// Ten thousand files, told of in any order, three in ten of them twice.
#[test]
fn ten_thousand_files_are_one_run() {
    let host = new_host();
    let compiled = compiled(&MANY.replace(", BATCH", ""));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            collect(&host, 10_000).await;
            at(&host, 59).await;
            assert_eq!(runs(&host).await, []);
            at(&host, 60).await;
            let runs = runs(&host).await;
            assert_eq!(runs.len(), 1);
            assert_eq!(runs[0].status, RunStatus::Success);
            assert_eq!(runs[0].trigger.detail["more_events"], 9_968);
            let told = told(&host.world().objects, &runs).await;
            assert_eq!((told.len(), told.values().max()), (10_000, Some(&1)));
        })
        .unwrap();
}

#[test]
fn batches_hold_each_file_once_and_what_comes_meanwhile_is_of_the_next_collection() {
    let host = new_host();
    let compiled = compiled(&MANY.replace("BATCH", "batch: 500"));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            collect(&host, 1_700).await;
            // One more moves the end, though the set's own item was not written for it.
            host.world().clock.until(epoch().plus_seconds(20)).await;
            host.execute(&arrives(&object("in/last.csv", "1"))).await.unwrap();
            at(&host, 79).await;
            assert_eq!(runs(&host).await, []);
            host.world().clock.until(epoch().plus_seconds(80)).await;
            assert_eq!(host.driver().sweep(&Budget { due: 1, ..Budget::default() }).await.unwrap().due, 1);
            // One that comes between two of its runs is of the next collection.
            host.execute(&arrives(&object("in/later.csv", "1"))).await.unwrap();
            at(&host, 81).await;
            let first = runs(&host).await;
            assert_eq!(first.len(), 4);
            let mut sizes: Vec<usize> = Vec::new();
            for run in &first {
                sizes.push(told(&host.world().objects, std::slice::from_ref(run)).await.len());
            }
            sizes.sort_unstable();
            assert_eq!(sizes, [201, 500, 500, 500]);
            at(&host, 140).await;
            let all = runs(&host).await;
            assert_eq!(all.len(), 5);
            let told = told(&host.world().objects, &all).await;
            assert_eq!((told.len(), told.values().max()), (1_702, Some(&1)));
        })
        .unwrap();
}

async fn collect(host: &Sim, count: usize) {
    let mut keys: Vec<String> = (0..count).map(|n| format!("in/{n:05}.csv")).collect();
    let again: Vec<String> = keys.iter().filter(|key| key.as_bytes()[7] % 10 < 3).cloned().collect();
    keys.extend(again);
    let mut prng = Prng::new(7);
    for at in (1..keys.len()).rev() {
        keys.swap(at, prng.below(at as u64 + 1) as usize);
    }
    for key in keys {
        host.execute(&arrives(&object(&key, "1"))).await.unwrap();
    }
}

/// Lets time pass until so many seconds after the beginning, sweeps, and lets what was started end.
pub(crate) async fn at(host: &Sim, seconds: u64) {
    host.world().clock.until(epoch().plus_seconds(seconds)).await;
    while host.driver().sweep(&Budget::default()).await.unwrap().due > 0 {}
    finish(host).await;
}

/// Calls of ports for all runs of a collection and items that partitions showed for them, when files come in
/// so many batches of a hundred.
fn cost_of_collection(batches: usize) -> (u64, u64) {
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    let host = host(table, MemoryObjects::default(), script(json!({}), json!({})), epoch());
    let compiled = compiled(&MANY.replace("BATCH", "batch: 100"));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, &compiled, made(&compiled, "drop")).await;
            for n in 0..100 * batches {
                host.execute(&arrives(&object(&format!("in/{n}.csv"), "1"))).await.unwrap();
            }
            host.world().clock.until(epoch().plus_seconds(60)).await;
            let before = (faults.calls(), faults.read());
            let report = host.driver().sweep(&Budget::default()).await.unwrap();
            let cost = (faults.calls() - before.0, faults.read() - before.1);
            assert_eq!(report.troubles, 0, "{:?}", report.lines);
            let runs = host.world().table.port().list(RUNS_LIST, "", None, 100).await.unwrap();
            assert_eq!(runs.items.len(), batches);
            cost
        })
        .unwrap()
}

#[test]
fn runs_of_a_collection_read_its_files_twice_however_many_runs_there_are() {
    let ((few_calls, few), (many_calls, many)) = (cost_of_collection(2), cost_of_collection(40));
    assert!(few <= 2 * 200 && many <= 2 * 4_000, "items for 200 files: {few}, for 4000: {many}");
    assert!(many_calls <= 20 * few_calls, "calls for 2 runs: {few_calls}, for 40: {many_calls}");
}

/// A set's item as a version left it that took files by their number.
#[test]
fn a_collection_that_an_earlier_version_began_with_goes_on() {
    let host = new_host();
    let compiled = compiled(&MANY.replace("BATCH", "batch: 100"));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            for n in 0..350 {
                let object = object(&format!("in/{n:03}.csv"), "1");
                let at = epoch().plus_micros(n);
                host.execute(&arrives(&Object { at, ..object })).await.unwrap();
            }
            host.world().clock.until(epoch().plus_seconds(60)).await;
            // It is closed, and has had its first run.
            assert_eq!(host.driver().sweep(&Budget { due: 2, ..Budget::default() }).await.unwrap().due, 2);
            let page = host.world().table.query("files#sales", "S#", None, 9).await.unwrap();
            let mut set = page.items[0].clone();
            let firing = set.body.get_mut("firing").unwrap().as_object_mut().unwrap();
            assert!(firing.remove("after").is_some(), "{firing:?}");
            let expect = Expect::Version(set.version);
            host.world().table.write(&[Write::Put { item: set, expect }], "earlier").await.unwrap();
            at(&host, 61).await;
            let runs = runs(&host).await;
            let told = told(&host.world().objects, &runs).await;
            assert_eq!((runs.len(), told.len(), told.values().max()), (4, 350, Some(&1)));
        })
        .unwrap();
}

#[test]
fn a_file_that_comes_while_its_collection_is_closed_is_in_the_next_one() {
    let mut calls = 0;
    while between(calls + 1) {
        calls += 1;
    }
    assert!(calls >= 4, "an arrival is {calls} calls");
}

#[test]
fn a_file_that_comes_between_any_two_calls_of_the_sweep_is_in_one_run() {
    let mut calls = 0;
    while during(calls + 1) {
        calls += 1;
    }
    assert!(calls >= 8, "the sweep is {calls} calls");
}

/// The n-th call of the sweep that closes and starts a collection is held until a file has come. It is the
/// second that is younger than the marker, and therefore only checks the set. Whether there was such a call.
fn during(call: u64) -> bool {
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    let host = host(table, MemoryObjects::default(), script(json!({}), json!({})), epoch());
    let compiled = compiled(&MANY.replace("BATCH", "batch: 500, marker: in/_SUCCESS"));
    let clock = host.world().clock.clone();
    let comes = async |key: &str, seconds: u64| {
        let object = object(key, &format!("{seconds:03}"));
        let object = Object { at: epoch().plus_seconds(seconds), ..object };
        host.execute(&arrives(&object)).await.unwrap();
    };
    clock
        .block_on(async {
            deploy(&host, &compiled, made(&compiled, "drop")).await;
            for (key, seconds) in [("in/1.csv", 0), ("in/_SUCCESS", 1), ("in/2.csv", 2)] {
                comes(key, seconds).await;
            }
            host.world().clock.until(epoch().plus_seconds(61)).await;
            faults.hold_at(faults.calls() + call);
            let budget = Budget::default();
            let mut sweeping = pin!(host.driver().sweep(&budget));
            let was_held = poll_once(sweeping.as_mut()).await.is_none();
            if was_held {
                comes("in/0.csv", 3).await;
                faults.release();
                sweeping.await.unwrap();
            }
            faults.release();
            comes("in/_SUCCESS", 100).await;
            for seconds in [200, 400] {
                host.world().clock.until(epoch().plus_seconds(seconds)).await;
                while host.driver().sweep(&budget).await.unwrap().due > 0 {}
            }
            let page = host.world().table.port().list(RUNS_LIST, "", None, 100).await.unwrap();
            let runs: Vec<RunRecord> =
                page.items.iter().map(|item| RunRecord::from_item(item).unwrap()).collect();
            let told = told(&host.world().objects, &runs).await;
            let files: Vec<(&str, usize)> = told.iter().map(|(key, count)| (key.as_str(), *count)).collect();
            let expected = ["in/0.csv", "in/1.csv", "in/2.csv"];
            let expected = expected.into_iter().skip(usize::from(!was_held)).map(|key| (key, 1));
            assert_eq!(files, expected.collect::<Vec<_>>(), "held at call {call}");
            was_held
        })
        .unwrap()
}

/// The n-th call of an arrival is held until the collection that it would join has been closed and started.
/// Whether there was such a call.
fn between(call: u64) -> bool {
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    let host = host(table, MemoryObjects::default(), script(json!({}), json!({})), epoch());
    let compiled = compiled(&MANY.replace("BATCH", "batch: 500"));
    let clock = host.world().clock.clone();
    let sweeps = async || {
        while host.driver().sweep(&Budget::default()).await.unwrap().due > 0 {}
        host.run(std::future::ready(())).await.unwrap();
    };
    clock
        .block_on(async {
            deploy(&host, &compiled, made(&compiled, "drop")).await;
            host.execute(&arrives(&object("in/1.csv", "1"))).await.unwrap();
            host.world().clock.until(epoch().plus_seconds(25)).await;
            // More than half of the time is left: this one writes no set, and only checks it.
            let before = faults.calls();
            faults.hold_at(before + call);
            let second = arrives(&object("in/2.csv", "1"));
            let mut arriving = pin!(host.execute(&second));
            let was_held = poll_once(arriving.as_mut()).await.is_none();
            if was_held {
                host.world().clock.until(epoch().plus_seconds(61)).await;
                sweeps().await;
                faults.release();
                arriving.await.unwrap();
            }
            faults.release();
            for seconds in [200, 400] {
                host.world().clock.until(epoch().plus_seconds(seconds)).await;
                sweeps().await;
            }
            let page = host.world().table.port().list(RUNS_LIST, "", None, 100).await.unwrap();
            let runs: Vec<RunRecord> =
                page.items.iter().map(|item| RunRecord::from_item(item).unwrap()).collect();
            let told = told(&host.world().objects, &runs).await;
            let files: Vec<(&str, usize)> = told.iter().map(|(key, count)| (key.as_str(), *count)).collect();
            assert_eq!(files, [("in/1.csv", 1), ("in/2.csv", 1)], "held at call {call}");
            was_held
        })
        .unwrap()
}

/// What a future says when it is asked once.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What became of the newest event of a key.
pub(crate) async fn now_is(host: &Sim, key: &str, sequencer: &str) -> Became {
    let object = object(key, sequencer);
    host.execute(&arrives(&object)).await.unwrap();
    let entries = ledger(host, "1997-01-06").await;
    entries.iter().find(|entry| entry.identity == object.identity()).unwrap().became
}
