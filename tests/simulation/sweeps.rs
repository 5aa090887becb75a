//! What only the sweep finds: slots of the dead, and generations that nobody starts.

use crate::repair::{events, pass, settle, stand, started, stop, stop_run, sweep, taken, tell};
use crate::world::{Sim, by_hand, compiled, compiled_in, deployment, epoch, host, script};
use cauce_driver::Budget;
use cauce_engine::slots::{Holder, lock_pool, pool_item};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::ids::child_execution_name;
use cauce_model::item::{Change, Expect, IndexEntry, Step, When};
use cauce_model::record::{Record, RunRecord, run_item};
use cauce_model::{Item, Key, RunKey, RunStatus, TaskStatus, Write};
use cauce_ports::{Clock, Table};
use cauce_testkit::faulty::{Faults, Faulty, Moment};
use serde_json::json;

/// Writes into the store that somebody holds a slot of a pool, as one does that dies before it writes
/// anything else.
pub(crate) fn take(host: &Sim, pool: &str, holder: &Holder) {
    let steps = vec![
        Step::Add("used".to_owned(), 1),
        Step::Set("slots".to_owned(), json!(1)),
        Step::Insert("holders".to_owned(), holder.name()),
    ];
    let (table, key, change, when) = (&host.world().table, pool_item(pool), Change { steps }, When::always());
    let taken = table.update(&key, &change, &when);
    host.world().clock.clone().block_on(taken).unwrap().unwrap();
}

pub(crate) fn attempt(key: &RunKey, task: &str, number: u32) -> Holder {
    Holder { run_key: key.clone(), generation: 1, attempt: Some((task.to_owned(), None, number)) }
}

#[test]
fn what_a_dead_holder_has_goes_to_those_who_wait_for_it() {
    let (project, problems) = cauce_spec::check_project(b"{images: {x: {local: []}}, pools: {sftp: 1}}");
    let project = project.unwrap_or_else(|| panic!("{problems:?}"));
    let pipeline = |name: &str| {
        let task = "{container: {image: x, command: [run]}, pools: {sftp: 1}, lock: ledger}";
        let other = "{container: {image: x, command: [run]}}";
        compiled_in(&format!("{{pipeline: {name}, tasks: {{load: {task}, other: {other}}}}}"), &project)
    };
    let both = [pipeline("left"), pipeline("right")];
    // Whether the execution of the task died alone, or that of its run as well.
    for whole in [false, true] {
        let script = script(json!({"load": 50, "other": 50}), json!({}));
        let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
        let clock = host.world().clock.clone();
        tell(&host, &Command::Resize { pools: [("sftp".to_owned(), 1)].into() });
        for compiled in &both {
            clock.block_on(host.deploy(&deployment(compiled))).unwrap().unwrap();
            tell(&host, &Command::Trigger(Box::new(by_hand(compiled, "r1"))));
            let seconds = 2 + u64::from(compiled.plan.pipeline == "right");
            pass(&host, seconds);
        }
        let [left, right] = ["left", "right"].map(|name| RunKey::new(name, "r1"));
        assert_eq!(stand(&host, &right).tasks["load"].status, TaskStatus::Queued);
        stop(&host, "container", &child_execution_name(&left, 1, "load", None), "");
        if whole {
            stop_run(&host, &left, "");
        }
        pass(&host, 4);
        assert_eq!(stand(&host, &right).tasks["load"].status, TaskStatus::Queued, "nobody has told");
        let report = sweep(&host);
        assert_eq!((report.troubles, report.settled + report.closed), (0, 1), "{report:?}");
        pass(&host, 5);
        assert_eq!(stand(&host, &right).tasks["load"].status, TaskStatus::Running, "{report:?}");
        assert!(settle(&host));
        assert_eq!(stand(&host, &right).run.status, RunStatus::Success);
        assert_eq!(taken(&host), 0);
    }
}

const LOCKED: &str = "
pipeline: locked
tasks:
  first: {container: {image: x, command: [run]}}
  second: {needs: [first], container: {image: x, command: [run]}, lock: ledger}
  other: {container: {image: x, command: [run]}}
  alert: {needs: [first, other], trigger_rule: one_failed, container: {image: x, command: [run]}, lock: alarm}
";

#[test]
fn a_slot_whose_return_was_lost_is_given_back_by_the_sweep() {
    let (host, key) = started(LOCKED, script(json!({"first": 5, "second": 1}), json!({})));
    // Somebody of a run that is not there any more.
    take(&host, &lock_pool("ledger"), &attempt(&RunKey::new("locked", "r0"), "second", 1));
    pass(&host, 10);
    assert_eq!(stand(&host, &key).tasks["second"].status, TaskStatus::Queued);
    let report = sweep(&host);
    assert_eq!((report.freed, report.complete), (1, true), "{report:?}");
    pass(&host, 12);
    let now = stand(&host, &key);
    assert_eq!(now.tasks["second"].status, TaskStatus::Success, "{:?}", now.reasons());
    assert!(settle(&host));
    assert_eq!(taken(&host), 0);
    assert_eq!(sweep(&host).freed, 0);
}

const IN_LINE: &str = "
pipeline: in_line
tasks:
  holds: {container: {image: x, command: [run]}, lock: ledger, priority: 9}
  next: {container: {image: x, command: [run]}, lock: ledger, priority: 5}
  last: {container: {image: x, command: [run]}, lock: ledger}
";

#[test]
fn what_one_was_granted_that_had_died_in_line_goes_to_the_one_behind_it_at_once() {
    let (host, key) = started(IN_LINE, script(json!({"holds": 10, "last": 5}), json!({})));
    pass(&host, 3);
    stop(&host, "container", &child_execution_name(&key, 1, "next", None), "");
    // Nobody has told of its death when the slot becomes free: it is granted to the dead.
    pass(&host, 11);
    let status = |task: &str| stand(&host, &key).tasks[task].status;
    assert_eq!((status("next"), status("last")), (TaskStatus::Queued, TaskStatus::Queued));
    assert_eq!(taken(&host), 2, "the run and the dead");
    events(&host).iter().for_each(|command| tell(&host, command));
    // Before anybody looks at the line again by itself, at the fourteenth second.
    pass(&host, 12);
    assert_eq!((status("next"), status("last")), (TaskStatus::Failed, TaskStatus::Running));
    assert!(settle(&host));
    assert_eq!(taken(&host), 0);
}

#[test]
fn one_that_dies_before_it_writes_down_what_it_holds_is_found_out() {
    let (host, key) = started(LOCKED, script(json!({"first": 1, "second": 50, "other": 50}), json!({})));
    let pool = lock_pool("alarm");
    pass(&host, 3);
    let holder = attempt(&key, "alert", 1);
    take(&host, &pool, &holder);
    let reclaim = Command::Reclaim { pool: pool.clone(), all: false };
    let freed = |host: &Sim| match host.world().clock.clone().block_on(host.execute(&reclaim)) {
        Some(Ok(Reply::Ok(told))) => (told["looked"].clone(), told["freed"].clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(freed(&host), (json!(1), json!(0)), "its execution waits at its gate");
    stop(&host, "container", &child_execution_name(&key, 1, "alert", None), "");
    pass(&host, 4);
    assert_eq!(freed(&host), (json!(1), json!(1)));
    let alert = stand(&host, &key).tasks["alert"].clone();
    assert_eq!(alert.status, TaskStatus::Failed, "{alert:?}");
    assert_eq!(freed(&host), (json!(0), json!(0)));
}

#[test]
fn pools_have_their_turn_where_a_budget_ended() {
    let (host, _) = started(LOCKED, script(json!({"first": 50}), json!({})));
    pass(&host, 1);
    let clock = host.world().clock.clone();
    // A lock is in use only while somebody holds it or waits for it: the run's own pool is left.
    let budget = Budget { pools: 0, ..Budget::default() };
    let report = clock.block_on(host.driver().sweep(&budget)).unwrap().unwrap();
    assert!(!report.complete, "{report:?}");
    assert!(sweep(&host).complete);
}

#[test]
fn orphans_of_more_runs_than_are_listed_at_once_have_their_turn() {
    let yaml = "{pipeline: many, max_active_runs: 20, tasks: {load: {container: {image: x, command: [run]}}, \
                other: {container: {image: x, command: [run]}}}}";
    let (host, first) = started(yaml, script(json!({"load": 900, "other": [900]}), json!({})));
    let mut keys = vec![first];
    for number in 2..=10 {
        tell(&host, &Command::Trigger(Box::new(by_hand(&compiled(yaml), &format!("r{number}")))));
        keys.push(RunKey::new("many", &format!("r{number}")));
    }
    pass(&host, 2);
    host.world().programs.ignore_stops(u32::MAX);
    for key in &keys {
        stop(&host, "container", &child_execution_name(key, 1, "load", None), "");
    }
    pass(&host, 3);
    host.world().programs.ignore_stops(0);
    let clock = host.world().clock.clone();
    let budget = Budget { listings: 3, ..Budget::default() };
    let mut stopped = Vec::new();
    for _ in 0..4 {
        let report = clock.block_on(host.driver().sweep(&budget)).unwrap().unwrap();
        stopped.push((report.stopped, report.complete));
    }
    // The last goes around: what was looked at first is looked at again.
    assert_eq!(stopped, [(3, false), (3, false), (3, false), (1, false)]);
}

#[test]
fn what_is_due_and_cannot_be_performed_keeps_nothing_waiting_for_ever() {
    let yaml = "{pipeline: late, deadline: {after: 60s, action: cancel}, \
                tasks: {load: {container: {image: x, command: [run]}}}}";
    let (host, key) = started(yaml, script(json!({"load": 900}), json!({})));
    pass(&host, 1);
    let clock = host.world().clock.clone();
    // Older than anything else, and of a version that is newer than this one.
    let poison = (0..5).map(|number| {
        let mut item = Item::new(Key::new(format!("poison#{number}"), "D"), Default::default());
        item.body.insert("command".to_owned(), json!("divine"));
        item.index = Some(IndexEntry { list: "due".to_owned(), position: format!("{number:020}#poison") });
        Write::Put { item, expect: Expect::Any }
    });
    let writes: Vec<Write> = poison.collect();
    clock.block_on(host.world().table.write(&writes, "poison")).unwrap().unwrap();
    clock.block_on(clock.until(epoch().plus_seconds(120))).unwrap();
    let budget = Budget { due: 3, ..Budget::default() };
    let mut cancelled = false;
    for _ in 0..3 {
        let report = clock.block_on(host.driver().sweep(&budget)).unwrap().unwrap();
        assert_eq!(report.due, 3, "{report:?}");
        cancelled |= stand(&host, &key).run.cancel.is_some();
    }
    assert!(cancelled, "its deadline is over, behind five that nobody understands");
}

#[test]
fn what_an_engine_held_that_died_at_the_end_of_its_run_is_given_back_when_the_next_one_starts() {
    let mut left_behind = 0;
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let (table, objects, faults) = (MemoryTable::new(), MemoryObjects::default(), Faults::none());
            let script = || script(json!({"load": 20}), json!({}));
            let first = host(Faulty::new(table.clone(), &faults), objects.clone(), script(), epoch());
            let clock = first.world().clock.clone();
            let (compiled, key) = (compiled(SHORT), RunKey::new("short", "r1"));
            let died = clock.block_on(async {
                first.deploy(&deployment(&compiled)).await.unwrap();
                first.execute(&Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await.unwrap();
                faults.crash_at(faults.calls() + call, moment);
                faults.survive(async { first.run(std::future::pending()).await.unwrap() }).await
            });
            if matches!(died, Some(Ok(_))) {
                break;
            }
            let now = clock.now();
            drop(first);
            let second: Sim = host(table, objects, script(), now);
            let clock = second.world().clock.clone();
            clock.block_on(second.load(&deployment(&compiled))).unwrap().unwrap();
            if stand(&second, &key).run.status.is_terminal() {
                left_behind += taken(&second);
                clock.block_on(second.give_back(&compiled.plan)).unwrap().unwrap();
                assert_eq!(taken(&second), 0, "call {call} {moment:?}");
            }
        }
    }
    assert!(left_behind > 0, "no engine died between the end of its run and its last effect");
}

/// Says in the store that new data wants one more generation of a run.
async fn wish<T: Table>(table: &T, key: &RunKey) {
    let mut item = table.get(&run_item(key)).await.unwrap().unwrap();
    item.body.insert("next".to_owned(), json!({"kind": "file", "by": "s3://drop/clients.csv"}));
    let expect = Expect::Version(item.version);
    table.write(&[Write::Put { item, expect }], "a wish").await.unwrap();
}

const SHORT: &str = "{pipeline: short, tasks: {load: {container: {image: x, command: [run]}}}}";

#[test]
fn a_generation_that_waits_is_started_when_its_run_ends_through_the_sweep() {
    let (host, key) = started(SHORT, script(json!({"load": 20}), json!({})));
    pass(&host, 5);
    host.world().clock.clone().block_on(wish(&host.world().table, &key)).unwrap();
    stop_run(&host, &key, "");
    settle(&host);
    assert_eq!(stand(&host, &key).run.generation, 1, "nobody has told");
    assert_eq!(sweep(&host).closed, 1);
    assert!(settle(&host));
    let run = stand(&host, &key).run;
    assert_eq!((run.generation, run.status, run.next), (2, RunStatus::Success, None));
    assert_eq!(run.history[0].status, RunStatus::Cancelled);
}

/// Runs to the end with one more generation waiting; the engine dies at a call. What the sweep of another
/// one makes of it: `None` when nothing died. The run as it was left, and as it became.
fn die_and_sweep(call: u64, moment: Moment) -> Option<(RunRecord, RunRecord)> {
    let (table, objects, faults) = (MemoryTable::new(), MemoryObjects::default(), Faults::none());
    let script = || script(json!({"load": 20}), json!({}));
    let first = host(Faulty::new(table.clone(), &faults), objects.clone(), script(), epoch());
    let clock = first.world().clock.clone();
    let compiled = compiled(SHORT);
    let key = RunKey::new("short", "r1");
    let died = clock.block_on(async {
        first.deploy(&deployment(&compiled)).await.unwrap();
        first.execute(&Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await.unwrap();
        wish(&table, &key).await;
        faults.crash_at(faults.calls() + call, moment);
        faults.survive(async { first.run(std::future::pending()).await.unwrap() }).await
    });
    if matches!(died, Some(Ok(_))) {
        return None;
    }
    assert!(died.is_some(), "call {call}: the first engine stands still");
    let now = clock.now();
    drop(first);
    let second: Sim = host(table, objects, script(), now);
    second.world().clock.clone().block_on(second.load(&deployment(&compiled))).unwrap().unwrap();
    let left = stand(&second, &key).run;
    sweep(&second);
    Some((left, stand(&second, &key).run))
}

#[test]
fn a_generation_that_waits_is_not_lost_when_the_engine_dies_at_the_end_of_its_run() {
    let mut ended = 0;
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let Some((left, run)) = die_and_sweep(call, moment) else { break };
            // One that is under way is resumed, which is another story.
            if left.status.is_terminal() && left.generation == 1 {
                ended += 1;
                assert_eq!((run.generation, run.next), (2, None), "call {call} {moment:?}");
                assert_eq!(run.trigger.by.as_deref(), Some("s3://drop/clients.csv"));
            }
        }
    }
    assert!(ended > 2, "{ended} deaths are too few to be at every call of the end");
}

#[test]
fn a_run_that_is_resumed_keeps_what_waits_for_it() {
    let (host, key) = started(SHORT, script(json!({"load": 20}), json!({})));
    pass(&host, 5);
    let clock = host.world().clock.clone();
    clock.block_on(wish(&host.world().table, &key)).unwrap();
    let compiled = compiled(SHORT);
    let resume = cauce_engine::command::Trigger {
        existing: cauce_engine::command::Existing::Resume,
        params: None,
        ..by_hand(&compiled, "r1")
    };
    tell(&host, &Command::Trigger(Box::new(resume)));
    let item = clock.block_on(host.world().table.get(&run_item(&key))).unwrap().unwrap().unwrap();
    let run = RunRecord::from_item(&item).unwrap();
    assert_eq!((run.generation, run.next.is_some()), (2, true));
    assert!(settle(&host));
    let run = stand(&host, &key).run;
    assert_eq!((run.generation, run.status, run.next), (3, RunStatus::Success, None));
}
