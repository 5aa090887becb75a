//! Runs that tasks start. A run that a task has started itself ends with the task; one that it only joined is others'.

use crate::repair::{events, pass, settle, stand, stop, stop_run, sweep, taken, tell};
use crate::world::{Ended, Sim, by_hand, compiled, deployment, epoch, host, script};
use cauce_engine::Command;
use cauce_engine::command::{Again, Existing, Trigger};
use cauce_host::simulation::{MemoryObjects, Script};
use cauce_local::memory::MemoryTable;
use cauce_model::ids::child_execution_name;
use cauce_model::record::run_item;
use cauce_model::{Expect, Item, RunKey, RunStatus, TaskStatus, Write};
use cauce_ports::Table;
use serde_json::json;

const PARENT: &str = "
pipeline: parent
tasks:
  nested: {pipeline: {name: child}}
";

const CHILD: &str = "
pipeline: child
max_active_runs: 1
tasks:
  up: {setup: true, container: {image: x, command: [run]}}
  work: {needs: [up], container: {image: x, command: [run]}}
  down: {needs: [work], teardown_of: up, container: {image: x, command: [run]}}
";

fn lasting() -> Script {
    script(json!({"up": 1, "work": 3600, "down": 30}), json!({}))
}

fn deployed(yamls: &[&str], script: Script) -> Sim {
    let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
    let clock = host.world().clock.clone();
    for yaml in yamls {
        clock.block_on(host.deploy(&deployment(&compiled(yaml)))).unwrap().unwrap();
    }
    host
}

fn trigger(host: &Sim, yaml: &str, run_id: &str) -> RunKey {
    let compiled = compiled(yaml);
    tell(host, &Command::Trigger(Box::new(by_hand(&compiled, run_id))));
    RunKey::new(&compiled.plan.pipeline, run_id)
}

/// A run of the parent whose task has started the child's.
fn started(parent: &str, script: Script) -> (Sim, RunKey) {
    let host = deployed(&[parent, CHILD], script);
    let key = trigger(&host, parent, "r1");
    (host, key)
}

fn cancel(key: &RunKey) -> Command {
    Command::Cancel {
        run_key: key.clone(),
        generation: None,
        reason: "enough".into(),
        by: Some("ana".into()),
    }
}

/// The run that the parent's task has started.
fn child_key(host: &Sim, parent: &RunKey) -> RunKey {
    let own = stand(host, parent).tasks["nested"].own_run.clone().expect("a run of its own");
    own.run.key()
}

fn child(host: &Sim, parent: &RunKey) -> Ended {
    stand(host, &child_key(host, parent))
}

fn rerun(host: &Sim, yaml: &str, key: &RunKey, again: Again) {
    let run = stand(host, key).run;
    let again = Trigger {
        existing: Existing::Next(again),
        logical_date: run.logical_date,
        data_interval: (run.data_interval_start, run.data_interval_end),
        params: None,
        ..by_hand(&compiled(yaml), &run.run.run_id)
    };
    tell(host, &Command::Trigger(Box::new(again)));
}

fn put(host: &Sim, item: Item) {
    let token = format!("put {:?}", item.body.get("generation"));
    let write = [Write::Put { item, expect: Expect::Any }];
    host.world().clock.clone().block_on(host.world().table.write(&write, &token)).unwrap().unwrap();
}

#[test]
fn a_run_that_a_task_started_is_cancelled_with_the_run_of_the_task() {
    let (host, key) = started(PARENT, lasting());
    pass(&host, 100);
    tell(&host, &cancel(&key));
    assert!(settle(&host));
    let (parent, child) = (stand(&host, &key), child(&host, &key));
    assert_eq!((parent.statuses().as_str(), parent.run.status), ("nested:cancelled", RunStatus::Cancelled));
    // What it has set up is taken away in the same generation, as by a cancel of its own.
    assert_eq!(child.statuses(), "down:success up:success work:cancelled");
    assert_eq!((child.run.status, child.run.generation), (RunStatus::Cancelled, 1));
    let asked = child.run.cancel.unwrap();
    assert_eq!((asked.reason.as_str(), asked.by.as_deref()), ("enough", Some("ana")));
    assert_eq!(taken(&host), 0);
}

#[test]
fn a_run_that_a_task_joined_goes_on_without_it() {
    let dated = "
pipeline: parent
tasks:
  nested: {pipeline: {name: child, logical_date: '1997-01-05'}}
";
    let host = deployed(&[dated, CHILD], lasting());
    // As a person starts it, before the parent's task comes to it.
    let (before, of_before) = started(dated, lasting());
    pass(&before, 1);
    let others = trigger(&host, CHILD, &child(&before, &of_before).run.run.run_id);
    pass(&host, 50);
    let keys = ["r1", "r2"].map(|run_id| trigger(&host, dated, run_id));
    pass(&host, 100);
    for key in &keys {
        assert_eq!(stand(&host, key).tasks["nested"].status, TaskStatus::Running);
    }
    tell(&host, &cancel(&keys[0]));
    assert!(settle(&host));
    let statuses = keys.map(|key| stand(&host, &key).run.status);
    assert_eq!(statuses, [RunStatus::Cancelled, RunStatus::Success], "the other one still waits for it");
    assert_eq!(stand(&host, &others).run.status, RunStatus::Success);
}

#[test]
fn an_attempt_that_is_over_its_time_ends_its_run_and_the_next_goes_on_with_it_when_that_has_ended() {
    let parent = "
pipeline: parent
tasks:
  nested: {pipeline: {name: child}, timeout: 100s, retry: {retries: 1, delay: 5s, jitter: 0}}
";
    let (host, key) = started(parent, lasting());
    assert!(settle(&host));
    let (parent, child) = (stand(&host, &key), child(&host, &key));
    assert_eq!(parent.statuses(), "nested:failed");
    let attempts = &parent.tasks["nested"].attempts;
    let classes: Vec<_> = attempts.iter().filter_map(|attempt| attempt.class).collect();
    assert_eq!(classes.iter().map(|class| class.as_str()).collect::<Vec<_>>(), ["timeout", "timeout"]);
    assert_eq!((child.run.status, child.run.generation), (RunStatus::Cancelled, 2));
    let reason = child.run.cancel.unwrap().reason;
    assert_eq!(reason, "task nested of parent/r1, which started it, waits no more: over its time");
    // The first generation was torn down before the second attempt began.
    let torn_down = child.run.history[0].ended_at.unwrap();
    assert!(torn_down <= attempts[1].started_at, "{torn_down} {}", attempts[1].started_at);
    assert_eq!(child.ran.iter().filter(|ran| ran.task == "down").count(), 2);
    assert_eq!(taken(&host), 0);
}

#[test]
fn a_task_that_is_stopped_from_outside_takes_its_run_with_it() {
    for whole in [false, true] {
        let (host, key) = started(PARENT, lasting());
        pass(&host, 100);
        if whole {
            stop_run(&host, &key, "maintenance");
        } else {
            stop(&host, "pipeline", &child_execution_name(&key, 1, "nested", None), "maintenance");
        }
        pass(&host, 101);
        events(&host).iter().for_each(|command| tell(&host, command));
        settle(&host);
        assert_eq!(child(&host, &key).statuses(), "down:success up:success work:cancelled", "{whole}");
        assert_eq!(child(&host, &key).run.status, RunStatus::Cancelled);
        assert!(stand(&host, &key).run.status.is_terminal());
    }
}

/// Who cancelled may have died before the run below heard of it.
#[test]
fn a_run_whose_cancel_was_lost_is_cancelled_by_who_repeats_it_or_sweeps() {
    for repeats in [true, false] {
        let (host, key) = started(PARENT, lasting());
        pass(&host, 100);
        let below = child_key(&host, &key);
        // While the first cancel is carried out, the run below hears nothing.
        let clock = host.world().clock.clone();
        let item = clock.block_on(host.world().table.get(&run_item(&below))).unwrap().unwrap().unwrap();
        let mut deaf = item.clone();
        deaf.body.insert("generation".into(), json!(9));
        put(&host, deaf);
        tell(&host, &cancel(&key));
        put(&host, item);
        if repeats {
            tell(&host, &cancel(&key));
        } else {
            pass(&host, 101);
            sweep(&host);
        }
        settle(&host);
        assert_eq!(stand(&host, &below).run.status, RunStatus::Cancelled, "{repeats}");
    }
}

#[test]
fn a_generation_that_somebody_else_asked_for_is_not_ended_by_what_is_said_of_the_one_before() {
    let (host, key) = started(PARENT, lasting());
    pass(&host, 100);
    tell(&host, &cancel(&key));
    assert!(settle(&host));
    let below = child_key(&host, &key);
    rerun(&host, CHILD, &below, Again::Failed);
    pass(&host, 300);
    // The sweep repeats whatever belongs to the end of the parent.
    sweep(&host);
    assert!(settle(&host));
    let child = stand(&host, &below);
    assert_eq!((child.run.status, child.run.generation), (RunStatus::Success, 2));
}

#[test]
fn a_run_that_waits_its_turn_ends_with_its_task_and_the_task_with_it() {
    for of_parent in [true, false] {
        let host = deployed(&[PARENT, CHILD], lasting());
        let other = trigger(&host, CHILD, "other");
        pass(&host, 10);
        let key = trigger(&host, PARENT, "r1");
        pass(&host, 20);
        let below = child_key(&host, &key);
        assert_eq!(stand(&host, &below).run.status, RunStatus::Queued);
        tell(&host, &cancel(if of_parent { &key } else { &below }));
        pass(&host, 60);
        let parent = stand(&host, &key);
        let wanted = if of_parent { "nested:cancelled" } else { "nested:failed" };
        assert_eq!(parent.statuses(), wanted, "{:?}", parent.reasons());
        assert_eq!(stand(&host, &below).run.status, RunStatus::Cancelled);
        assert!(settle(&host));
        assert_eq!(stand(&host, &other).run.status, RunStatus::Success);
        assert_eq!(taken(&host), 0);
    }
}

#[test]
fn a_task_that_runs_again_goes_on_with_its_own_run_whatever_is_said_of_those_that_exist() {
    for policy in ["join", "fail", "rerun"] {
        let parent = PARENT.replace("child}", &format!("child, on_existing: {policy}}}"));
        let script = script(json!({}), json!({"work": [1, "success"]}));
        let (host, key) = started(&parent, script);
        assert!(settle(&host));
        assert_eq!(stand(&host, &key).statuses(), "nested:failed", "{policy}");
        rerun(&host, &parent, &key, Again::Failed);
        assert!(settle(&host));
        let again = stand(&host, &key);
        assert_eq!(again.statuses(), "nested:success", "{policy}: {:?}", again.reasons());
        assert_eq!(child(&host, &key).run.generation, 2);
        // One that has succeeded has its result, unless it is to run again.
        rerun(&host, &parent, &key, Again::All);
        assert!(settle(&host));
        let again = stand(&host, &key);
        assert_eq!(again.statuses(), "nested:success", "{policy}: {:?}", again.reasons());
        assert_eq!(child(&host, &key).run.generation, if policy == "rerun" { 3 } else { 2 }, "{policy}");
    }
}

#[test]
fn the_next_attempt_runs_a_joined_run_again_that_has_failed() {
    let dated = "
pipeline: parent
tasks:
  nested: {pipeline: {name: child, logical_date: '1997-01-05'}, retry: {retries: 1, delay: 5s, jitter: 0}}
";
    let (before, of_before) = started(dated, lasting());
    pass(&before, 1);
    let run_id = child(&before, &of_before).run.run.run_id;
    let host = deployed(&[dated, CHILD], script(json!({"work": 60}), json!({"work": [1, "success"]})));
    let others = trigger(&host, CHILD, &run_id);
    pass(&host, 30);
    let key = trigger(&host, dated, "r1");
    assert!(settle(&host));
    let (parent, child) = (stand(&host, &key), stand(&host, &others));
    assert_eq!(parent.statuses(), "nested:success", "{:?}", parent.reasons());
    assert_eq!(parent.tasks["nested"].attempts.len(), 2);
    assert_eq!((child.run.status, child.run.generation), (RunStatus::Success, 2));
}
