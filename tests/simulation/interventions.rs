//! What people have done leaves one entry in the audit, however often the decision about it is made.

use crate::deployments::audit;
use crate::repair::{pass, settle, stand, started, stop_run, sweep, tell};
use crate::sets::poll_once;
use crate::world::{Sim, by_hand, compiled, deployment, epoch, host, read, script};
use cauce_driver::Budget;
use cauce_engine::command::Pause;
use cauce_engine::{Command, Reply};
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::audit::audit_partition;
use cauce_model::record::Record;
use cauce_model::{AuditRecord, Json, RunKey, RunStatus};
use cauce_ports::Table;
use cauce_testkit::faulty::{Faults, Faulty, Rates};
use serde_json::json;
use std::pin::pin;

const PIPELINE: &str = "
pipeline: sales
tasks:
  load: {container: {image: x, command: [run]}}
";

fn cancel(key: &RunKey) -> Command {
    Command::Cancel {
        run_key: key.clone(),
        generation: None,
        reason: "enough".to_owned(),
        by: Some("ana".to_owned()),
    }
}

fn mark(key: &RunKey, success: bool) -> Command {
    Command::Mark { run_key: key.clone(), task: "load".to_owned(), success, by: "eva".to_owned() }
}

fn pause(paused: bool) -> Command {
    let (pipeline, by) = ("sales".to_owned(), Some("ana".to_owned()));
    Command::Pause(Box::new(Pause { pipeline, paused, by, unknown: None }))
}

/// What the entries say, but for their moments.
fn said(entries: &[AuditRecord]) -> Vec<Json> {
    let entries = entries.iter().filter(|entry| entry.action != "trigger");
    entries
        .map(|entry| {
            assert_eq!(entry.pipeline.as_deref(), Some("sales"));
            assert!(entry.version.is_some(), "{entry:?}");
            json!([entry.action, entry.by, entry.run, entry.task, entry.detail])
        })
        .collect()
}

fn audited(host: &Sim) -> Vec<Json> {
    said(&host.world().clock.clone().block_on(audit(host)).unwrap())
}

#[test]
fn what_begins_while_its_run_is_cancelled_is_stopped_by_a_sweep() {
    let (compiled, key) = (compiled(PIPELINE), RunKey::new("sales", "r1"));
    let mut went_on = 0;
    // Each call that is made until the program runs is held, and the run cancelled meanwhile.
    for call in 1.. {
        let faults = Faults::none();
        let table = Faulty::new(MemoryTable::new(), &faults);
        let script = script(json!({"load": 50_000}), json!({}));
        let host = host(table, MemoryObjects::default(), script, epoch());
        let clock = host.world().clock.clone();
        let passes = async |seconds| {
            host.run(clock.until(epoch().plus_seconds(seconds))).await.unwrap();
            read(&host, &key).await
        };
        let ended = clock
            .block_on(async {
                host.deploy(&deployment(&compiled)).await.unwrap();
                host.execute(&Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await.unwrap();
                let held = faults.calls() + call;
                faults.hold_at(held);
                let mut passing = pin!(passes(5));
                assert!(poll_once(passing.as_mut()).await.is_none());
                if faults.calls() < held {
                    return None;
                }
                host.execute(&cancel(&key)).await.unwrap();
                faults.release();
                let before = passing.await;
                passes(100).await;
                host.driver().sweep(&Budget::default()).await.unwrap();
                Some((before, passes(110).await))
            })
            .unwrap();
        let Some((before, after)) = ended else { break };
        went_on += u32::from(!before.run.status.is_terminal());
        assert_eq!(after.run.status, RunStatus::Cancelled, "call {call}: {}", after.statuses());
        assert!(after.ran.iter().all(|ran| ran.ended_at <= epoch().plus_seconds(110)), "{:?}", after.ran);
    }
    assert!(went_on > 0, "nothing began while its run was cancelled");
}

#[test]
fn every_intervention_leaves_one_entry_however_often_it_is_repeated() {
    let (host, key) = started(PIPELINE, script(json!({"load": 100}), json!({})));
    pass(&host, 5);
    let mut expected = Vec::new();
    let mut twice = |command: &Command, entry: Json| {
        expected.push(entry);
        for second in 0..2 {
            tell(&host, command);
            assert_eq!(audited(&host), expected, "{} {second}", command.name());
        }
        // Entries are in order of time, and here each has a moment of its own.
        let clock = host.world().clock.clone();
        clock.block_on(clock.until(cauce_ports::Clock::now(&clock).plus_seconds(1))).unwrap();
    };
    let detail = json!({"reason": "enough", "generation": 1, "status": "running"});
    twice(&cancel(&key), json!(["cancel", "ana", "sales/r1", null, detail]));
    assert!(settle(&host));
    assert_eq!(stand(&host, &key).run.status, RunStatus::Cancelled);
    let marked = |status: &str, before: &str| json!(["mark", "eva", "sales/r1", "load", {"status": status, "before": before}]);
    twice(&mark(&key, true), marked("success", "cancelled"));
    twice(&mark(&key, false), marked("failed", "success"));
    twice(&pause(true), json!(["pause", "ana", null, null, null]));
    twice(&pause(false), json!(["unpause", "ana", null, null, null]));
    assert_eq!(stand(&host, &key).statuses(), "load:failed");
}

#[test]
fn what_is_refused_leaves_no_entry() {
    let (host, key) = started(PIPELINE, script(json!({"load": 100}), json!({})));
    pass(&host, 5);
    let refused = |command: &Command| {
        let reply = host.world().clock.clone().block_on(host.execute(command)).unwrap().unwrap();
        assert!(matches!(reply, Reply::Failure { .. }), "{command:?}: {reply:?}");
    };
    refused(&mark(&key, true));
    let pause = Pause { pipeline: "other".to_owned(), paused: true, by: None, unknown: None };
    refused(&Command::Pause(Box::new(pause)));
    assert!(settle(&host));
    refused(&cancel(&key));
    assert_eq!(audited(&host), [] as [Json; 0]);
}

#[test]
fn a_store_that_loses_replies_gets_one_entry_of_each() {
    let rates = Rates { throttled: 100, conflict: 100, lost_before: 100, lost_after: 200, stale: 0 };
    for seed in crate::seeds::of("a_store_that_loses_replies_gets_one_entry_of_each", 40) {
        let faults = Faults::seeded(seed, Rates::default());
        let table = Faulty::new(MemoryTable::new(), &faults);
        let host = host(table, MemoryObjects::default(), script(json!({"load": 100}), json!({})), epoch());
        let clock = host.world().clock.clone();
        let compiled = compiled(PIPELINE);
        let key = RunKey::new("sales", "r1");
        let entries = clock
            .block_on(async {
                host.deploy(&deployment(&compiled)).await.unwrap();
                host.execute(&Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await.unwrap();
                host.run(clock.until(epoch().plus_seconds(5))).await.unwrap();
                faults.set_rates(rates);
                for command in [cancel(&key), pause(true), mark(&key, true)] {
                    // Whoever asks does so until it is answered.
                    while host.execute(&command).await.is_err() {}
                    faults.set_rates(Rates::default());
                    host.run(std::future::pending()).await.unwrap();
                    faults.set_rates(rates);
                }
                faults.set_rates(Rates::default());
                let day = audit_partition("1997-01-06");
                host.world().table.query(&day, "", None, 1000).await.unwrap()
            })
            .unwrap();
        let entries: Vec<_> =
            entries.items.iter().map(|item| AuditRecord::from_item(item).unwrap()).collect();
        let mut actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
        actions.sort_unstable();
        assert_eq!(actions, ["cancel", "mark", "pause", "trigger"], "seed {seed}: {entries:?}");
    }
}

/// Programs may go on after they were told to stop. What they hold is theirs until they have ended.
#[test]
fn what_a_cancelled_program_holds_is_given_to_nobody_before_it_has_ended() {
    let yaml = "
pipeline: sales
max_active_runs: 9
tasks:
  load: {container: {image: x, command: [run]}, lock: one}
";
    let host =
        host(MemoryTable::new(), MemoryObjects::default(), script(json!({"load": 100}), json!({})), epoch());
    host.world().programs.linger(20);
    let clock = host.world().clock.clone();
    clock.block_on(host.deploy(&deployment(&compiled(yaml)))).unwrap().unwrap();
    let keys = ["r1", "r2"].map(|run_id| {
        tell(&host, &Command::Trigger(Box::new(by_hand(&compiled(yaml), run_id))));
        RunKey::new("sales", run_id)
    });
    pass(&host, 10);
    tell(&host, &cancel(&keys[0]));
    pass(&host, 29);
    assert_eq!(stand(&host, &keys[0]).statuses(), "load:running", "its program has not ended");
    // A repeat changes nothing.
    tell(&host, &cancel(&keys[0]));
    assert!(settle(&host));
    let [first, second] = keys.map(|key| stand(&host, &key));
    assert_eq!((first.statuses().as_str(), first.run.status), ("load:cancelled", RunStatus::Cancelled));
    assert_eq!(first.tasks["load"].reason.as_deref(), Some("enough"));
    assert_eq!(second.run.status, RunStatus::Success);
    assert_eq!(second.started("load"), [0.0, 30.0]);
    assert_eq!(crate::repair::taken(&host), 0);
}

#[test]
fn a_mark_says_when_it_was_made_and_makes_no_task_end_later_than_its_run() {
    let yaml = "
pipeline: sales
tasks:
  load: {container: {image: x, command: [run]}}
  check: {needs: [load], container: {image: x, command: [run]}}
  tell: {needs: [check], container: {image: x, command: [run]}}
";
    let (host, key) = started(yaml, script(json!({"load": 10, "check": 10}), json!({})));
    pass(&host, 15);
    stop_run(&host, &key, "by hand");
    settle(&host);
    sweep(&host);
    settle(&host);
    let before = stand(&host, &key);
    assert!(before.run.status.is_terminal(), "{}", before.statuses());
    let clock = host.world().clock.clone();
    clock.block_on(clock.until(epoch().plus_seconds(4_000))).unwrap();
    for task in ["load", "tell"] {
        let by = "eva".to_owned();
        tell(&host, &Command::Mark { run_key: key.clone(), task: task.to_owned(), success: false, by });
        let marked = stand(&host, &key).tasks[task].clone();
        assert_eq!(marked.marked_at, Some(epoch().plus_seconds(4_000)), "{task}");
        let ended_at = before.tasks.get(task).and_then(|record| record.ended_at);
        assert_eq!(ended_at.is_some(), task == "load");
        assert_eq!(marked.ended_at, ended_at.or(before.run.ended_at), "{task}");
    }
}
