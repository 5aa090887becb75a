//! What is said too late: by executions, programs and timers of a generation that another one has taken over from, and
//! of attempts that others have replaced. It changes nothing that is written of the run.

use crate::repair::{events, pass, settle, stand, sweep, taken, tell};
use crate::world::{Ended, Sim, by_hand, compiled, deployment, epoch, host, host_of, script};
use cauce_engine::command::{Again, Approve, ExecutionEnd, Existing, Finish, Observed, Outcome, Trigger};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::{MemoryObjects, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::record::{RunRecord, TaskRecord, run_item};
use cauce_model::{Expect, RunKey, RunStatus, Write};
use cauce_ports::{Clock as _, Table as _};
use serde_json::json;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Of everything that says something, one: a task that fails, a list and its items, a gate, a person, what is
/// set up and taken away.
const ALL: &str = "
pipeline: all
max_active_tasks: 3
tasks:
  up: {setup: true, container: {image: x, command: [run]}}
  load: {needs: [up], container: {image: x, command: [run]}, retry: {retries: 1, delay: 5s, jitter: 0}}
  list: {needs: [up], pass: {output: {items: [1, 2]}}, returns: {items: list}}
  each: {needs: [list], map: {over: \"{{ outputs.list.items }}\"}, container: {image: x, command: [run]}}
  alert: {needs: [load, each], trigger_rule: one_failed, container: {image: x, command: [run]}}
  good: {needs: [each], approval: {message: 'good?'}, timeout: 1h}
  last: {needs: [good, load], container: {image: x, command: [run]}}
  down: {teardown_of: [up], container: {image: x, command: [run]}}
";

type Said = Rc<RefCell<Vec<Command>>>;

/// A world in which all that is carried out is written down.
fn listening() -> (Sim, Said) {
    let said = Said::default();
    let durations = json!({"up": 1, "load": 3, "each": [2, 4], "alert": 5, "last": 2, "down": 1});
    let outcomes = json!({"load": [1, 1, "success"]});
    let mut world =
        Simulated::new(MemoryTable::new(), MemoryObjects::default(), script(durations, outcomes), epoch());
    let listener = said.clone();
    world.on_decision = Some(Box::new(move |command, _| listener.borrow_mut().push(command.clone())));
    (host_of(world), said)
}

fn key() -> RunKey {
    RunKey::new("all", "r1")
}

fn trigger(again: Again) -> Command {
    Command::Trigger(Box::new(Trigger { existing: Existing::Next(again), ..by_hand(&compiled(ALL), "r1") }))
}

fn approve() -> Command {
    let (task, by) = ("good".to_owned(), "ana".to_owned());
    Command::Approve(Approve { run_key: key(), task, approved: true, by, comment: String::new() })
}

/// The first generation, up to its end.
fn first(host: &Sim) {
    let clock = host.world().clock.clone();
    let reply = clock.block_on(async {
        host.deploy(&deployment(&compiled(ALL))).await.unwrap();
        host.execute(&trigger(Again::All)).await
    });
    assert!(matches!(reply, Some(Ok(Reply::Ok(_)))), "{reply:?}");
    pass(host, 30);
    tell(host, &approve());
    settle(host);
    let ended = stand(host, &key());
    assert_eq!(ended.run.status, RunStatus::Failed, "{:?}", ended.reasons());
}

/// What those say, and say otherwise, whose word is that of a generation or of an attempt.
fn words(said: &Said, events: Vec<Command>, key: &RunKey) -> Vec<Command> {
    let mut words: Vec<Command> = Vec::new();
    let cut_off = || ExecutionEnd::Aborted { cause: "late".to_owned() };
    for command in said.borrow().iter() {
        match command {
            Command::Finish(finish) => {
                let otherwise = |outcome: Outcome| Command::Finish(Finish { outcome, ..finish.clone() });
                words.push(otherwise(Outcome::Died(Some(cut_off()))));
                words.push(otherwise(Outcome::Failed {
                    error: "States.Timeout".into(),
                    cause: String::new(),
                }));
                words.push(otherwise(Outcome::Succeeded(json!({"StopCode": "EssentialContainerExited"}))));
            }
            Command::Begin(_)
            | Command::Ask(_)
            | Command::Heed { .. }
            | Command::Close(_)
            | Command::Open(_)
            | Command::Arrive(_)
            | Command::Observed(_) => {}
            _ => continue,
        }
        words.push(command.clone());
    }
    let (execution, generation) = ("r1-g1".to_owned(), 1);
    let observed = Observed::Run { run_key: key.clone(), generation, execution, end: cut_off() };
    words.push(Command::Observed(Box::new(observed)));
    // What the platform tells of each execution, and of one that was stopped.
    for command in events {
        if let Command::Observed(observed) = &command
            && let Observed::Task { run_key, generation, task, index, execution, .. } = &**observed
        {
            let (run_key, task, execution) = (run_key.clone(), task.clone(), execution.clone());
            let (generation, index, end) = (*generation, *index, cut_off());
            let stopped = Observed::Task { run_key, generation, task, index, execution, end };
            words.push(Command::Observed(Box::new(stopped)));
        }
        words.push(command);
    }
    words
}

/// What is written of a run but for who is told what by which token.
fn written(ended: Ended) -> (RunRecord, BTreeMap<String, TaskRecord>) {
    (ended.run, ended.tasks)
}

#[test]
fn what_an_earlier_generation_says_changes_nothing_of_the_next() {
    let one = |task: &str| Again::Task { task: task.to_owned(), items: Vec::new(), downstream: false };
    for (again, status) in [
        (Again::All, RunStatus::Success),
        (Again::Failed, RunStatus::Success),
        (one("load"), RunStatus::Failed),
        (Again::Only { task: "last".to_owned() }, RunStatus::Failed),
    ] {
        let (host, said) = listening();
        first(&host);
        let late = words(&said, events(&host), &key());
        let kinds: BTreeSet<&str> = late.iter().map(Command::name).collect();
        let all = ["arrive", "ask", "begin", "close", "finish", "heed", "observed", "open"];
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
        let began = host.world().clock.now().micros_since(epoch()) as u64 / 1_000_000;
        said.borrow_mut().clear();
        tell(&host, &trigger(again.clone()));
        for seconds in (0..16).step_by(2) {
            pass(&host, began + seconds);
            // Nobody goes on to look for the answer of a question that is over.
            let is_old = |command: &Command| matches!(command, Command::Heed { generation: 1, .. });
            assert!(!said.borrow().iter().any(is_old), "{again:?}, after {seconds} seconds");
            let before = written(stand(&host, &key()));
            assert_eq!(before.0.generation, 2);
            for command in &late {
                // Some are refused, and told so.
                let _ = host.world().clock.clone().block_on(host.driver().execute(command));
                let after = written(stand(&host, &key()));
                assert_eq!(before, after, "{again:?}, after {seconds} seconds: {command:?}");
            }
            said.borrow_mut().clear();
        }
        pass(&host, began + 30);
        let _ = host.world().clock.clone().block_on(host.driver().execute(&approve()));
        settle(&host);
        let ended = stand(&host, &key());
        let reasons = ended.reasons();
        assert_eq!((ended.run.status, ended.run.generation), (status, 2), "{again:?}: {reasons:?}");
    }
}

/// One that says nothing of a run, or of which it is right that it does something.
fn is_word(command: &Command) -> bool {
    matches!(
        command,
        Command::Finish(_) | Command::Ask(_) | Command::Close(_) | Command::Open(_) | Command::Arrive(_)
    )
}

/// Whatever was said once is said again at every later moment: each attempt that another one replaced, each end
/// that was written, each gate that was told.
#[test]
fn what_was_said_is_said_again_later_and_changes_nothing() {
    let (host, said) = listening();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            host.deploy(&deployment(&compiled(ALL))).await.unwrap();
            host.execute(&trigger(Again::All)).await
        })
        .unwrap()
        .unwrap();
    for seconds in (1..40).step_by(2) {
        pass(&host, seconds);
        if seconds == 31 {
            tell(&host, &approve());
        }
        let before = written(stand(&host, &key()));
        let many = said.borrow().len();
        let earlier: Vec<Command> =
            said.borrow().iter().filter(|command| is_word(command)).cloned().collect();
        for command in &earlier {
            let _ = clock.block_on(host.driver().execute(command));
            assert_eq!(before, written(stand(&host, &key())), "after {seconds} seconds: {command:?}");
        }
        // What was repeated, and what came of that, is not to be repeated again.
        said.borrow_mut().truncate(many);
    }
    settle(&host);
    assert_eq!(stand(&host, &key()).run.status, RunStatus::Failed);
}

/// A world in which every attempt ends alike, whatever its number.
fn steady() -> Sim {
    let durations = json!({"up": 1, "load": 3, "each": 4, "alert": 5, "last": 2, "down": 1});
    let outcomes = json!({"load": 1});
    let host = host(MemoryTable::new(), MemoryObjects::default(), script(durations, outcomes), epoch());
    let deployed = host.world().clock.clone().block_on(async {
        host.deploy(&deployment(&compiled(ALL))).await.unwrap();
        host.execute(&trigger(Again::All)).await
    });
    deployed.unwrap().unwrap();
    host
}

/// The run's record says that it is over, whatever those of its tasks say: so it is for a moment with whatever had
/// read the run before its end and was written after it.
fn ends_above_its_tasks(host: &Sim) {
    let table = &host.world().table;
    host.world()
        .clock
        .clone()
        .block_on(async {
            let mut item = table.get(&run_item(&key())).await.unwrap().unwrap();
            item.body.insert("status".into(), "failed".into());
            item.body.insert("ended_at".into(), json!(host.world().clock.now()));
            let write = Write::Put { expect: Expect::Version(item.version), item };
            table.write(&[write], "over").await.unwrap();
        })
        .unwrap();
}

/// The next generation, from its beginning to its end, with somebody who sweeps and approves: what became of each
/// task, and when, counted from the beginning.
fn next_generation(host: &Sim) -> Vec<String> {
    let began = host.world().clock.now();
    tell(host, &trigger(Again::All));
    let at = |seconds: u64| began.micros_since(epoch()) as u64 / 1_000_000 + seconds;
    for seconds in [0, 1, 4, 9, 16, 25] {
        pass(host, at(seconds));
        let swept = sweep(host);
        assert_eq!((swept.settled, swept.closed, swept.troubles), (0, 0, 0), "{:?}", swept.lines);
    }
    tell(host, &approve());
    settle(host);
    let ended = stand(host, &key());
    assert_eq!((ended.run.generation, taken(host)), (2, 0));
    let told = |(name, record): (&String, &TaskRecord)| {
        let after = record.ended_at.map(|at| at.micros_since(began) / 1_000_000);
        format!("{name} {} after {after:?}", record.status)
    };
    ended.tasks.iter().map(told).collect()
}

#[test]
fn what_an_earlier_generation_left_under_way_is_nothing_to_the_next() {
    let quiet = steady();
    pass(&quiet, 40);
    tell(&quiet, &approve());
    settle(&quiet);
    let expected = next_generation(&quiet);
    for second in 0..14 {
        let host = steady();
        pass(&host, second);
        ends_above_its_tasks(&host);
        assert_eq!(next_generation(&host), expected, "left after {second} seconds");
    }
}
