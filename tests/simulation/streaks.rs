//! A pipeline whose runs fail one after the other is paused: once, whatever is lost or repeated.

use crate::events::{deployed, ledger};
use crate::world::{Sim, by_hand, compiled, deployment, epoch, host, script};
use cauce_engine::Command;
use cauce_engine::command::{Again, Close, Event, Existing, Pause, Trigger};
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::audit::audit_partition;
use cauce_model::record::{PipelineRecord, Record, pipeline_item};
use cauce_model::streak::{StreakRecord, streak_item};
use cauce_model::{AuditRecord, Instant, RunKey};
use cauce_ports::{Clock, Objects, Table};
use cauce_testkit::faulty::{Faults, Faulty, Moment, Rates};
use serde_json::json;
use std::collections::BTreeSet;

/// Fails in runs whose id says so.
const FRAGILE: &str = "
pipeline: fragile
schedule: {cron: \"0 2 * * *\"}
max_consecutive_failed_runs: 3
notify: {failed: [team]}
tasks:
  work: {if: \"{{ 'skip' not in run_id }}\", pass: {}}
  check: {needs: [work], if: \"{{ 'bad' in run_id }}\", fail: {message: \"no data\"}}
";

fn new_host() -> Sim {
    host(MemoryTable::new(), MemoryObjects::default(), script(json!({}), json!({})), epoch())
}

async fn run<T, O>(host: &Sim<T, O>, run_id: &str)
where
    T: Table + 'static,
    O: Objects + Clone + 'static,
{
    let trigger = by_hand(&compiled(FRAGILE), run_id);
    host.execute(&Command::Trigger(Box::new(trigger))).await.unwrap();
    host.run(std::future::pending()).await.unwrap();
}

/// Whether the pipeline is paused, and why.
async fn paused(table: &impl Table) -> (bool, Option<String>) {
    let item = table.get(&pipeline_item("fragile")).await.unwrap().unwrap();
    let record = PipelineRecord::from_item(&item).unwrap();
    (record.paused, record.paused_because)
}

async fn streak(table: &impl Table) -> Vec<String> {
    let item = table.get(&streak_item("fragile")).await.unwrap();
    item.map(|item| StreakRecord::from_item(&item).unwrap().failed).unwrap_or_default()
}

/// Who paused it, oldest first.
async fn pauses(table: &impl Table) -> Vec<String> {
    let page = table.query(&audit_partition("1997-01-06"), "", None, 1000).await.unwrap();
    let entries = page.items.iter().map(|item| AuditRecord::from_item(item).unwrap());
    entries.filter(|entry| entry.action == "pause").filter_map(|entry| entry.by).collect()
}

async fn unpause(host: &Sim) {
    let by = Some("ana".to_owned());
    let pause = Pause { pipeline: "fragile".into(), paused: false, by, unknown: None };
    host.execute(&Command::Pause(Box::new(pause))).await.unwrap();
}

#[test]
fn so_many_failed_runs_in_a_row_pause_their_pipeline_and_say_so() {
    let host = new_host();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled(FRAGILE)).await;
            let table = &host.world().table;
            run(&host, "bad-1").await;
            run(&host, "bad-2").await;
            assert_eq!(paused(table).await, (false, None));
            run(&host, "bad-3").await;
            let because = "3 runs in a row failed (bad-1, bad-2, bad-3)";
            assert_eq!(paused(table).await, (true, Some(because.to_owned())));
            assert_eq!(pauses(table).await, ["max_consecutive_failed_runs"]);
            let told: Vec<_> =
                host.world().notices.notices().into_iter().filter(|n| n.event == "paused").collect();
            assert_eq!(told.len(), 1);
            assert_eq!((told[0].channel.as_str(), told[0].run.as_str()), ("team", "fragile/bad-3"));
            assert_eq!(told[0].subject, format!("fragile: paused, {because}"));
            assert!(told[0].message.contains("cauce unpause fragile"), "{}", told[0].message);
            // The ledger says why a tick starts nothing, and what to do about it.
            let tick = Event::Tick {
                pipeline: "fragile".into(),
                schedule: "schedule-1".into(),
                scheduled_at: epoch(),
            };
            host.execute(&Command::Event(Box::new(tick))).await.unwrap();
            let entry = ledger(&host, "1997-01-06").await.remove(0);
            let expected = format!("{because}; 'cauce unpause fragile' lets it go on");
            assert_eq!((entry.became.as_str(), entry.reason), ("paused", Some(expected)));
            // Somebody who has a look runs it by hand; that pauses nothing a second time.
            run(&host, "bad-4").await;
            assert_eq!(pauses(table).await.len(), 1);
            assert_eq!(streak(table).await, ["bad-2", "bad-3", "bad-4"]);

            unpause(&host).await;
            assert_eq!(paused(table).await, (false, None));
            run(&host, "bad-5").await;
            run(&host, "bad-6").await;
            assert_eq!(paused(table).await, (false, None), "it counts anew");
            run(&host, "bad-7").await;
            assert!(paused(table).await.0);
        })
        .unwrap();
}

#[test]
fn a_success_ends_the_streak_and_a_skipped_or_cancelled_run_does_not() {
    let host = new_host();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled(FRAGILE)).await;
            let table = &host.world().table;
            for run_id in ["bad-1", "bad-2", "good-1", "bad-3", "skip-1", "bad-4"] {
                run(&host, run_id).await;
            }
            assert_eq!(streak(table).await, ["bad-3", "bad-4"]);
            let trigger = by_hand(&compiled(FRAGILE), "bad-cancelled");
            host.execute(&Command::Trigger(Box::new(trigger))).await.unwrap();
            let run_key = RunKey::new("fragile", "bad-cancelled");
            let cancel = Command::Cancel { run_key, generation: None, reason: "no".into(), by: None };
            host.execute(&cancel).await.unwrap();
            host.run(std::future::pending()).await.unwrap();
            assert_eq!(streak(table).await, ["bad-3", "bad-4"]);
            assert!(!paused(table).await.0);
        })
        .unwrap();
}

#[test]
fn a_run_counts_once_however_often_it_fails_and_is_closed() {
    let host = new_host();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled(FRAGILE)).await;
            let table = &host.world().table;
            for _ in 0..5 {
                let again = Trigger {
                    existing: Existing::Next(Again::Failed),
                    ..by_hand(&compiled(FRAGILE), "bad-1")
                };
                host.execute(&Command::Trigger(Box::new(again))).await.unwrap();
                host.run(std::future::pending()).await.unwrap();
                let generation =
                    crate::world::read(&host, &RunKey::new("fragile", "bad-1")).await.run.generation;
                let run_key = RunKey::new("fragile", "bad-1");
                let close = Close { run_key, generation, redrives: 0 };
                host.execute(&Command::Close(close)).await.unwrap();
            }
            assert_eq!(streak(table).await, ["bad-1"]);
            assert!(!paused(table).await.0);
        })
        .unwrap();
}

#[test]
fn lost_replies_throttles_and_conflicts_pause_it_once() {
    let rates = Rates { throttled: 100, conflict: 80, lost_before: 50, lost_after: 80, stale: 0 };
    for seed in crate::seeds::of("lost_replies_throttles_and_conflicts_pause_it_once", 60) {
        let faults = Faults::seeded(seed, Rates::default());
        let table = MemoryTable::new();
        let faulty = Faulty::new(table.clone(), &faults);
        let host = host(faulty, MemoryObjects::default(), script(json!({}), json!({})), epoch());
        let clock = host.world().clock.clone();
        clock
            .block_on(async {
                host.deploy(&deployment(&compiled(FRAGILE))).await.unwrap();
                // Two at once: their ends meet at one streak.
                for pair in [["bad-1", "bad-2"], ["good-1", "bad-3"], ["bad-4", "bad-5"]] {
                    for run_id in pair {
                        let trigger = by_hand(&compiled(FRAGILE), run_id);
                        host.execute(&Command::Trigger(Box::new(trigger))).await.unwrap();
                    }
                    faults.set_rates(rates);
                    host.run(std::future::pending()).await.unwrap();
                    faults.set_rates(Rates::default());
                }
                // Whichever of the second two ended first, three in a row have failed once.
                assert_eq!(pauses(&table).await.len(), 1, "seed {seed}");
                assert!(paused(&table).await.0, "seed {seed}");
                let notices = host.world().notices.notices();
                let told: BTreeSet<String> =
                    notices.into_iter().filter(|n| n.event == "paused").map(|n| n.id).collect();
                assert_eq!(told.len(), 1, "seed {seed}");
            })
            .unwrap_or_else(|| panic!("seed {seed} stands still"));
    }
}

#[test]
fn an_engine_that_dies_at_any_call_pauses_it_once() {
    let compiled = compiled(FRAGILE);
    let mut deaths = 0;
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let (table, objects, faults) = (MemoryTable::new(), MemoryObjects::default(), Faults::none());
            let first = host(
                Faulty::new(table.clone(), &faults),
                objects.clone(),
                script(json!({}), json!({})),
                epoch(),
            );
            let clock = first.world().clock.clone();
            let died = clock.block_on(faults.survive(async {
                first.deploy(&deployment(&compiled)).await.unwrap();
                run(&first, "bad-1").await;
                run(&first, "bad-2").await;
                faults.crash_at(faults.calls() + call, moment);
                run(&first, "bad-3").await;
            }));
            if matches!(died, Some(Ok(()))) {
                break;
            }
            deaths += 1;
            let now: Instant = clock.now();
            drop(first);
            let second: Sim = host(table, objects, script(json!({}), json!({})), now);
            let clock = second.world().clock.clone();
            clock
                .block_on(async {
                    second.deploy(&deployment(&compiled)).await.unwrap();
                    let key = cauce_model::record::run_item(&RunKey::new("fragile", "bad-3"));
                    let known = second.world().table.get(&key).await.unwrap();
                    let over = known.as_ref().is_some_and(|item| {
                        cauce_model::record::RunRecord::from_item(item).unwrap().status.is_terminal()
                    });
                    if !over {
                        let (existing, params) = match known {
                            Some(_) => (Existing::Resume, None),
                            None => (Existing::Refuse, Some(json!({}))),
                        };
                        let again = Trigger { existing, params, ..by_hand(&compiled, "bad-3") };
                        second.execute(&Command::Trigger(Box::new(again))).await.unwrap();
                        second.run(std::future::pending()).await.unwrap();
                    }
                    let table = &second.world().table;
                    let story = format!("call {call} {moment:?}");
                    assert_eq!(streak(table).await, ["bad-1", "bad-2", "bad-3"], "{story}");
                    assert!(paused(table).await.0, "{story}");
                    assert_eq!(pauses(table).await.len(), 1, "{story}");
                })
                .unwrap_or_else(|| panic!("call {call} {moment:?} stands still"));
        }
    }
    assert!(deaths > 20, "{deaths} deaths are too few to be at every call of the run");
}
