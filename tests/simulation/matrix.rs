//! Pipelines for each item of a list: every tick reaches every item of its case exactly once, whatever
//! dies, comes twice or changes in between.

use crate::deployments::made;
use crate::world::{Sim, compiled, deployment, host_under, script};
use cauce_compiler::Compiled;
use cauce_driver::{Budget, Synced};
use cauce_engine::command::{Deploy, Event};
use cauce_engine::matrix::{Listed, STEP_ITEMS};
use cauce_engine::{Command, Patience, Reply};
use cauce_host::simulation::{MemoryObjects, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::event::{Became, LedgerRecord};
use cauce_model::matrix::fan_item;
use cauce_model::record::{RUNS_LIST, Record, RunRecord, pipeline_item};
use cauce_model::{Expect, Instant, RunStatus, Write};
use cauce_ports::{Objects, Table};
use cauce_testkit::faulty::{Faults, Faulty, Moment};
use cauce_testkit::prng::Prng;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const PIPELINE: &str = r#"
pipeline: symbols
matrix: {as: symbol, from: symbols.csv, key: ticker}
schedule:
  select: risk
  catchup: all
  cases: {high: {rate: 5m}, medium: {rate: 1h}, low: {rate: 1d}}
max_active_runs: 1000
tasks:
  check: {pass: {output: {ticker: "{{ symbol.ticker }}", risk: "{{ symbol.risk }}"}}}
"#;

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// The items of a list: keys by case.
pub(crate) type List = BTreeMap<String, &'static str>;

pub(crate) fn listed(list: &List) -> Vec<Listed> {
    let one = |(key, case): (&String, &&'static str)| Listed {
        key: key.clone(),
        case: Some((*case).to_owned()),
        fields: json!({"ticker": key, "risk": case}).as_object().cloned().unwrap(),
    };
    list.iter().map(one).collect()
}

async fn released<T: Table + 'static>(host: &Sim<T>, compiled: &Compiled) {
    host.load(&deployment(compiled)).await.unwrap();
    let plan = "s3://state/documents/staged/symbols.json".to_owned();
    let bytes = serde_json::to_vec(&compiled.plan).unwrap();
    host.world().objects.put(&plan, &bytes).await.unwrap();
    let request =
        Deploy { plan, deployment: made(compiled, "lake"), canary: None, new_paused: false, by: None };
    let reply = host.execute(&Command::Deploy(Box::new(request))).await.unwrap();
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

async fn sync<T: Table + 'static>(host: &Sim<T>, compiled: &Compiled, list: &List) {
    let matrix = compiled.plan.matrix.as_ref().unwrap();
    let synced = host.driver().sync("symbols", matrix, &listed(list), Some("ana"), false).await.unwrap();
    assert!(matches!(synced, Synced::Done(_)), "{synced:?}");
}

fn ticked(schedule: usize, scheduled_at: Instant) -> Command {
    let schedule = format!("schedule-{schedule}");
    Command::Event(Box::new(Event::Tick { pipeline: "symbols".into(), schedule, scheduled_at }))
}

async fn settle<T: Table + 'static>(host: &Sim<T>) {
    loop {
        let report = host.driver().sweep(&Budget::default()).await.unwrap();
        host.run(std::future::pending()).await.unwrap();
        assert_eq!(report.troubles, 0, "{:?}", report.lines);
        if report.due == 0 && report.started == 0 {
            return;
        }
    }
}

/// Which item had which tick, as the ledger says; and that there is one good run of each.
async fn heard<T: Table + 'static>(host: &Sim<T>, days: &[&str]) -> BTreeSet<(String, Instant)> {
    let (mut heard, mut started) = (BTreeSet::new(), BTreeSet::new());
    for day in days {
        let page = host.world().table.query(&format!("ledger#{day}"), "", None, 100_000).await.unwrap();
        for item in page.items.iter().filter(|item| !item.key.sort.ends_with("#again")) {
            let entry = LedgerRecord::from_item(item).unwrap();
            let Some(item) = entry.event["item"].as_str() else {
                assert_eq!(entry.became, Became::Items, "{entry:?}");
                continue;
            };
            assert!(heard.insert((item.to_owned(), entry.at)), "{item} at {} twice", entry.at);
            if entry.became == Became::Run {
                started.insert((item.to_owned(), entry.at));
                continue;
            }
            // An item that changed its case has had the run of that logical date: a run is (item, date).
            assert_eq!(entry.became, Became::Duplicate, "{entry:?}");
            assert_eq!(entry.reason.as_deref(), Some("the run exists"), "{entry:?}");
        }
    }
    let items = host.world().table.list(RUNS_LIST, "", None, 100_000).await.unwrap().items;
    let runs: Vec<RunRecord> = items.iter().map(|item| RunRecord::from_item(item).unwrap()).collect();
    let mut of_runs = BTreeSet::new();
    for run in &runs {
        assert_eq!((run.status, run.generation), (RunStatus::Success, 1), "{}", run.run);
        let item = run.trigger.item.as_ref().unwrap();
        assert!(run.run.run_id.starts_with(&format!("{}-", item.key)), "{}", run.run);
        assert!(of_runs.insert((item.key.clone(), run.data_interval_end)), "{} twice", run.run);
    }
    assert_eq!(of_runs, started, "the ledger and the runs agree");
    heard
}

fn new(now: &str) -> Sim {
    let world =
        Simulated::new(MemoryTable::new(), MemoryObjects::default(), script(json!({}), json!({})), at(now));
    host_under(world, Patience::SCHEDULER)
}

/// Two hours of ticks for items that come, go and change their case; a third of the ticks told twice, a
/// fifth by nobody but the sweep.
fn two_hours(seed: u64) {
    let compiled = compiled(PIPELINE);
    let host = new("1997-01-06T22:30:00Z");
    let clock = host.world().clock.clone();
    let mut prng = Prng::new(seed);
    let cases = [("high", 1, 300), ("medium", 2, 3600), ("low", 3, 86_400)];
    clock
        .block_on(async {
            released(&host, &compiled).await;
            let mut list: List = (0..60).map(|n| (format!("S{n:03}"), cases[n % 3].0)).collect();
            sync(&host, &compiled, &list).await;
            // Since when each item is of its case.
            let mut since: BTreeMap<String, Instant> =
                list.keys().map(|key| (key.clone(), at("1997-01-06T22:30:00Z"))).collect();
            let mut expected = BTreeSet::new();
            let mut next = 60;
            for minute in 1..=120_u64 {
                let now = at("1997-01-06T22:30:00Z").plus_seconds(minute * 60);
                clock.until(now).await;
                for (case, schedule, seconds) in cases {
                    if now.micros() % (seconds * 1_000_000) != 0 {
                        continue;
                    }
                    let its = list.iter().filter(|(key, of)| **of == case && since[*key] <= now);
                    expected.extend(its.map(|(key, _)| (key.clone(), now)));
                    let silent = prng.below(5) == 0;
                    for _ in 0..if silent { 0 } else { 1 + u64::from(prng.below(3) == 0) } {
                        // Its time may be over after any step.
                        let steps = std::cell::Cell::new(prng.below(4));
                        let time = || steps.replace(steps.get().saturating_sub(1)) > 0;
                        host.driver().tick(&ticked(schedule, now), time).await.unwrap();
                    }
                }
                // What nobody handed out is handed out before the list changes again.
                if minute % 5 == 3 {
                    settle(&host).await;
                }
                if minute % 5 == 4 {
                    let changed = clock_now(&host);
                    let keys: Vec<String> = list.keys().cloned().collect();
                    let one = keys[prng.below(keys.len() as u64) as usize].clone();
                    match prng.below(3) {
                        0 => {
                            list.remove(&one);
                        }
                        1 => {
                            let case = cases[prng.below(3) as usize].0;
                            if list.insert(one.clone(), case) != Some(case) {
                                since.insert(one, changed);
                            }
                        }
                        _ => {
                            let key = format!("S{next:03}");
                            next += 1;
                            since.insert(key.clone(), changed);
                            list.insert(key, cases[prng.below(3) as usize].0);
                        }
                    }
                    sync(&host, &compiled, &list).await;
                }
            }
            clock.until(at("1997-01-07T00:34:00Z")).await;
            settle(&host).await;
            let heard = heard(&host, &["1997-01-06", "1997-01-07"]).await;
            assert!(expected.len() > 400, "{}", expected.len());
            let lost: Vec<_> = expected.difference(&heard).take(5).collect();
            let more: Vec<_> = heard.difference(&expected).take(5).collect();
            assert!(lost.is_empty() && more.is_empty(), "seed {seed}: lost {lost:?}, too many {more:?}");
        })
        .unwrap();
}

fn clock_now<T: Table + 'static>(host: &Sim<T>) -> Instant {
    cauce_ports::Clock::now(&host.world().clock)
}

#[test]
fn each_tick_reaches_each_item_of_its_case_once_while_the_list_changes() {
    for seed in 0..4 {
        two_hours(seed);
    }
}

#[test]
fn a_crash_at_any_call_while_a_tick_is_handed_out_loses_no_item_and_doubles_none() {
    let compiled = compiled(PIPELINE);
    for moment in [Moment::Before, Moment::After] {
        let mut calls = 0;
        while hand_out_dies(&compiled, calls + 1, moment) {
            calls += 1;
        }
        assert!(calls > 15, "a tick took {calls} calls");
    }
}

/// Whoever hands out a tick to the items of a case, and of another that ticks with it, dies at its n-th
/// call of the store. Whether there was such a call.
fn hand_out_dies(compiled: &Compiled, call: u64, moment: Moment) -> bool {
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    let world = Simulated::new(
        table,
        MemoryObjects::default(),
        script(json!({}), json!({})),
        at("1997-01-06T22:57:00Z"),
    );
    let host = host_under(world, Patience::SCHEDULER);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            released(&host, compiled).await;
            let many = STEP_ITEMS as usize + 3;
            let mut list: List = (0..many).map(|n| (format!("H{n:02}"), "high")).collect();
            list.extend((0..5).map(|n| (format!("M{n}"), "medium")));
            sync(&host, compiled, &list).await;
            let tick = at("1997-01-06T23:00:00Z");
            clock.until(tick).await;
            faults.crash_at(faults.calls() + call, moment);
            let both = async {
                host.driver().tick(&ticked(1, tick), || true).await.unwrap();
                host.driver().tick(&ticked(2, tick), || true).await.unwrap();
            };
            let died = faults.survive(both).await.is_err();
            faults.revive();
            // Scheduler tells again what it got no answer for; and the sweep comes.
            clock.until(at("1997-01-06T23:00:30Z")).await;
            host.driver().tick(&ticked(2, tick), || true).await.unwrap();
            clock.until(at("1997-01-06T23:04:00Z")).await;
            settle(&host).await;
            // A run that was written and not started is left alone for a while.
            clock.until(at("1997-01-06T23:04:59Z").plus_seconds(0)).await;
            settle(&host).await;
            clock.until(at("1997-01-06T23:40:00Z")).await;
            let report = host.driver().sweep(&Budget { due: 0, ..Budget::default() }).await.unwrap();
            assert_eq!(report.troubles, 0, "{:?}", report.lines);
            host.run(std::future::pending()).await.unwrap();
            let heard = heard(&host, &["1997-01-06"]).await;
            let expected: BTreeSet<(String, Instant)> = list.keys().map(|key| (key.clone(), tick)).collect();
            let its: BTreeSet<_> = heard.into_iter().filter(|(_, at)| *at == tick).collect();
            assert_eq!(its, expected, "after a crash {moment:?} call {call}");
            died
        })
        .unwrap()
}

#[test]
fn a_list_that_was_cut_off_halfway_is_made_whole_by_the_next_call() {
    let compiled = compiled(PIPELINE);
    let mut call = 1;
    loop {
        let faults = Faults::none();
        let table = Faulty::new(MemoryTable::new(), &faults);
        let now = at("1997-01-06T22:00:00Z");
        let world = Simulated::new(table, MemoryObjects::default(), script(json!({}), json!({})), now);
        let host = host_under(world, Patience::SCHEDULER);
        let clock = host.world().clock.clone();
        let died = clock
            .block_on(async {
                released(&host, &compiled).await;
                let first: List = (0..120).map(|n| (format!("S{n:03}"), "high")).collect();
                sync(&host, &compiled, &first).await;
                // Every third changes its case, every fifth goes, some come.
                let mut second = first.clone();
                second.retain(|key, _| key[1..].parse::<u32>().unwrap() % 5 != 0);
                for (key, case) in &mut second {
                    if key[1..].parse::<u32>().unwrap() % 3 == 0 {
                        *case = "low";
                    }
                }
                second.extend((200..230).map(|n| (format!("S{n:03}"), "medium")));
                faults.crash_at(faults.calls() + call, Moment::After);
                let died = faults.survive(sync(&host, &compiled, &second)).await.is_err();
                faults.revive();
                sync(&host, &compiled, &second).await;
                let stored = host.driver().items("symbols").await.unwrap();
                let stored: Vec<(String, String)> =
                    stored.into_iter().map(|item| (item.key, item.case.unwrap())).collect();
                let mut wanted: Vec<(String, String)> =
                    second.iter().map(|(key, case)| (key.clone(), (*case).to_owned())).collect();
                wanted.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
                assert_eq!(stored, wanted, "after a crash at call {call}");
                let head = host.driver().list("symbols").await.unwrap();
                assert_eq!((head.items, head.partial), (second.len(), false), "call {call}");
                died
            })
            .unwrap();
        if !died {
            break;
        }
        call += 1;
    }
    assert!(call > 5, "{call}");
}

#[test]
fn who_changes_a_list_that_somebody_else_changes_is_refused() {
    let compiled = compiled(PIPELINE);
    let host = new("1997-01-06T22:00:00Z");
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let list: List = [("A".to_owned(), "high")].into();
            let matrix = compiled.plan.matrix.as_ref().unwrap();
            let early = host.driver().sync("symbols", matrix, &listed(&list), None, false).await.unwrap();
            assert_eq!(early, Synced::Refused("there is no pipeline 'symbols'".to_owned()));
            released(&host, &compiled).await;
            sync(&host, &compiled, &list).await;
            let stale = cauce_engine::command::Sync {
                pipeline: "symbols".into(),
                key: "ticker".into(),
                select: Some("risk".into()),
                revision: 0,
                changes: Vec::new(),
                last: true,
                items: 0,
                told: json!({}),
                by: None,
            };
            let reply = host.execute(&Command::Sync(Box::new(stale.clone()))).await.unwrap();
            let Reply::Failure { cause, .. } = reply else { panic!("{reply:?}") };
            assert!(cause.starts_with("somebody else is changing the list"), "{cause}");
            let other = cauce_engine::command::Sync { revision: 1, select: Some("region".into()), ..stale };
            let reply = host.execute(&Command::Sync(Box::new(other))).await.unwrap();
            let Reply::Failure { cause, .. } = reply else { panic!("{reply:?}") };
            assert!(cause.contains("another matrix"), "{cause}");
        })
        .unwrap();
}

/// Items change and move, and a tick that is being handed out ends with what it was for.
#[test]
fn what_is_handed_out_ends_with_its_pipeline_or_its_list() {
    let with_list = compiled(PIPELINE);
    let (from, to) = (PIPELINE.find("  select:").unwrap(), PIPELINE.find("max_active_runs").unwrap());
    let plain = format!("{}  cron: \"0 * * * *\"\n{}", &PIPELINE[..from], &PIPELINE[to..]);
    let plain = plain.replace("matrix: {as: symbol, from: symbols.csv, key: ticker}\n", "");
    let plain = plain.replace("{{ symbol.ticker }}", "a").replace("{{ symbol.risk }}", "b");
    for is_gone in [true, false] {
        let host = new("1997-01-06T22:00:00Z");
        let clock = host.world().clock.clone();
        let moment = at("1997-01-06T22:05:00Z");
        clock
            .block_on(async {
                released(&host, &with_list).await;
                let matrix = with_list.plan.matrix.as_ref().unwrap();
                let list: List = (0..30).map(|number| (format!("A{number:02}"), "high")).collect();
                let mut items = listed(&list);
                for change in ["", "renamed", "moved"] {
                    items[0].fields.insert("name".into(), change.into());
                    if change == "moved" {
                        items[0].case = Some("low".to_owned());
                    }
                    let synced =
                        host.driver().sync("symbols", matrix, &items, Some("ana"), false).await.unwrap();
                    assert!(matches!(synced, Synced::Done(_)), "{synced:?}");
                }
                let low = host.driver().list("symbols").await.unwrap().items;
                assert_eq!(low, 30);
                clock.until(moment).await;
                host.driver().execute(&ticked(1, moment)).await.unwrap();
                let schedule = "schedule-1".to_owned();
                let key = fan_item("symbols", &schedule, moment);
                let table = &host.world().table;
                assert!(table.get(&key).await.unwrap().is_some());
                if is_gone {
                    let gone = Write::Delete { key: pipeline_item("symbols"), expect: Expect::Any };
                    table.write(&[gone], "gone").await.unwrap();
                } else {
                    released(&host, &compiled(&plain)).await;
                }
                let fan = Command::Fan { pipeline: "symbols".into(), schedule, scheduled_at: moment };
                host.driver().execute(&fan).await.unwrap();
                assert!(table.get(&key).await.unwrap().is_none());
            })
            .unwrap();
    }
}
