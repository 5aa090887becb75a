//! What makes every run end: executions die, events are lost, repeated and late, people stop things from
//! outside, programs do not hear that they are to stop.

use crate::faults::{EVERYTHING, durations};
use crate::world::{Ended, Sim, by_hand, compiled, deployment, epoch, host, read, script};
use cauce_driver::{Budget, SweepReport, observed};
use cauce_engine::command::{ExecutionEnd, Observed, Trigger};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::{MemoryObjects, Script};
use cauce_host::{HostError, Outcome};
use cauce_local::memory::MemoryTable;
use cauce_model::ids::child_execution_name;
use cauce_model::{Instant, Json, RunKey, RunStatus, TaskStatus};
use cauce_ports::{Clock, Described, ExecutionStatus, Services, StateMachines};
use serde_json::json;

/// A pipeline whose `alert` waits at a gate, of which only the ends of `a` and `b` can tell.
pub(crate) const GATED: &str = "
pipeline: gated
max_active_tasks: 2
tasks:
  a: {container: {image: x, command: [run]}}
  b: {container: {image: x, command: [run]}}
  c: {needs: [a], container: {image: x, command: [run]}}
  alert: {needs: [a, b], trigger_rule: one_failed, container: {image: x, command: [run]}}
";

pub(crate) fn gated_durations() -> Script {
    script(json!({"a": 1, "b": 9, "c": 2}), json!({}))
}

/// A run of the file's pipeline that has just been started.
pub(crate) fn started(yaml: &str, script: Script) -> (Sim, RunKey) {
    let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
    let compiled = compiled(yaml);
    let key = RunKey::new(&compiled.plan.pipeline, "r1");
    let clock = host.world().clock.clone();
    let trigger = Command::Trigger(Box::new(by_hand(&compiled, "r1")));
    let reply = clock.block_on(async {
        host.deploy(&deployment(&compiled)).await.unwrap();
        host.execute(&trigger).await
    });
    assert!(matches!(reply, Some(Ok(Reply::Ok(_)))), "{reply:?}");
    (host, key)
}

/// Lets everything happen that happens before that second.
pub(crate) fn pass(host: &Sim, seconds: u64) {
    let clock = host.world().clock.clone();
    let outcome = clock.block_on(host.run(clock.until(epoch().plus_seconds(seconds))));
    assert!(matches!(outcome, Some(Ok(_) | Err(HostError::Stuck(_)))), "{outcome:?}");
}

/// Lets everything happen that happens by itself. False: somebody waits for what will not come.
pub(crate) fn settle(host: &Sim) -> bool {
    match host.world().clock.clone().block_on(host.run(std::future::pending())) {
        Some(Ok(outcome)) => outcome == Outcome::Reached,
        Some(Err(HostError::Stuck(_))) | None => false,
        Some(Err(error)) => panic!("{error}"),
    }
}

pub(crate) fn stop(host: &Sim, machine: &str, name: &str, cause: &str) {
    let stopped = host.driver().services().machines().stop(machine, name, "Stopped", cause);
    host.world().clock.clone().block_on(stopped).unwrap().unwrap();
}

/// Stops the execution of a run's present generation, as somebody at the console does.
pub(crate) fn stop_run(host: &Sim, key: &RunKey, cause: &str) {
    let run = stand(host, key).run;
    stop(host, &run.machine, &run.execution, cause);
}

pub(crate) fn sweep(host: &Sim) -> SweepReport {
    let swept = host.world().clock.clone().block_on(host.driver().sweep(&Budget::default()));
    swept.unwrap().unwrap()
}

pub(crate) fn tell(host: &Sim, command: &Command) {
    let told = host.world().clock.clone().block_on(host.execute(command));
    assert!(matches!(told, Some(Ok(_))), "{command:?}: {told:?}");
}

pub(crate) fn stand(host: &Sim, key: &RunKey) -> Ended {
    host.world().clock.clone().block_on(read(host, key)).unwrap()
}

/// The platform's event of an execution that ended.
fn event((machine, name, described): &(String, String, Described)) -> Json {
    let status = match described.status {
        ExecutionStatus::Running => "RUNNING",
        ExecutionStatus::Succeeded => "SUCCEEDED",
        ExecutionStatus::Failed => "FAILED",
        ExecutionStatus::TimedOut => "TIMED_OUT",
        ExecutionStatus::Aborted => "ABORTED",
    };
    json!({
        "source": "aws.states",
        "detail-type": observed::EXECUTION_EVENT,
        "detail": {
            "stateMachineArn": format!("arn:aws:states:eu-west-1:123456789012:stateMachine:sim-{machine}"),
            "name": name,
            "status": status,
            "input": described.input.to_string(),
            "error": described.error,
            "cause": described.cause,
        },
    })
}

/// Every event so far, as a command.
pub(crate) fn events(host: &Sim) -> Vec<Command> {
    let ended = host.ended();
    ended.iter().filter_map(|ended| observed::command(&event(ended), "sim").unwrap()).collect()
}

/// How many slots are taken, in all pools.
pub(crate) fn taken(host: &Sim) -> i64 {
    let pools = host.world().table.items().into_iter().filter(|item| item.key.partition.starts_with("pool#"));
    pools.filter_map(|item| item.body.get("used").and_then(Json::as_i64)).sum()
}

#[test]
fn a_task_whose_execution_dies_is_settled_by_its_event() {
    let (host, key) = started(GATED, gated_durations());
    pass(&host, 3);
    stop(&host, "container", &child_execution_name(&key, 1, "b", None), "somebody's hand");
    pass(&host, 600);
    assert_eq!(
        stand(&host, &key).run.status,
        RunStatus::Running,
        "alert waits for b, and nobody says it is over"
    );
    for command in events(&host) {
        tell(&host, &command);
    }
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "a:success alert:success b:failed c:success");
    assert_eq!(ended.run.status, RunStatus::Failed);
    let reason = ended.tasks["b"].reason.as_deref();
    assert_eq!(reason, Some("its execution was stopped from outside: somebody's hand"));
    assert_eq!(ended.tasks["b"].attempts[0].class.map(|class| class.as_str()), Some("aborted"));
    assert_eq!(taken(&host), 0);
}

/// The same, where `b` tries again after a while.
const PATIENT: &str = "
pipeline: gated
tasks:
  a: {container: {image: x, command: [run]}}
  b: {container: {image: x, command: [run]}, retry: {retries: 2, delay: 100s, jitter: 0}}
  c: {needs: [a], container: {image: x, command: [run]}}
  alert: {needs: [a, b], trigger_rule: one_failed, container: {image: x, command: [run]}}
";

#[test]
fn a_task_whose_execution_dies_between_two_attempts_is_settled() {
    for by_event in [true, false] {
        let (host, key) = started(PATIENT, script(json!({"a": 1, "b": 2, "c": 1}), json!({"b": 1})));
        pass(&host, 10);
        assert_eq!(stand(&host, &key).tasks["b"].status, TaskStatus::Retrying);
        stop(&host, "container", &child_execution_name(&key, 1, "b", None), "somebody's hand");
        pass(&host, 20);
        if by_event {
            events(&host).iter().for_each(|command| tell(&host, command));
        } else {
            sweep(&host);
        }
        assert!(settle(&host), "by event: {by_event}");
        let ended = stand(&host, &key);
        assert_eq!(ended.statuses(), "a:success alert:success b:failed c:success");
        assert!(
            ended.reasons().iter().any(|reason| reason.contains("stopped from outside")),
            "{:?}",
            ended.reasons()
        );
    }
}

#[test]
fn a_task_whose_execution_dies_unnoticed_is_settled_by_the_sweep() {
    let (host, key) = started(GATED, gated_durations());
    pass(&host, 3);
    stop(&host, "container", &child_execution_name(&key, 1, "b", None), "");
    pass(&host, 600);
    assert_eq!(stand(&host, &key).run.status, RunStatus::Running);
    let report = sweep(&host);
    assert_eq!((report.settled, report.runs, report.complete), (1, 1, true), "{report:?}");
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "a:success alert:success b:failed c:success");
    assert_eq!(taken(&host), 0);
    // Nothing is left to look at: the next sweep finds that out and forgets the run.
    sweep(&host);
    assert_eq!(sweep(&host).runs, 0);
}

#[test]
fn a_task_that_dies_at_its_gate_is_settled_as_well() {
    let (host, key) = started(GATED, gated_durations());
    // The next generation finds the records of the one before.
    for generation in [1, 2] {
        let began = host.world().clock.now().micros_since(epoch()) as u64 / 1_000_000;
        pass(&host, began + 3);
        stop(&host, "container", &child_execution_name(&key, generation, "alert", None), "");
        pass(&host, began + 4);
        let report = sweep(&host);
        assert_eq!(report.settled, 1, "{generation}: {report:?}");
        pass(&host, began + 100);
        let ended = stand(&host, &key);
        assert_eq!(ended.run.generation, generation);
        assert_eq!(ended.statuses(), "a:success alert:failed b:success c:success");
        tell(&host, &Command::Trigger(Box::new(by_hand(&compiled(GATED), "r1"))));
    }
}

#[test]
fn a_run_stopped_from_outside_is_cancelled_and_its_children_settled() {
    for by_event in [true, false] {
        let (host, key) = started(GATED, gated_durations());
        pass(&host, 2);
        stop_run(&host, &key, "maintenance");
        settle(&host);
        assert_eq!(stand(&host, &key).run.status, RunStatus::Running, "nobody has told");
        if by_event {
            events(&host).iter().for_each(|command| tell(&host, command));
        } else {
            assert_eq!(sweep(&host).closed, 1);
        }
        settle(&host);
        let ended = stand(&host, &key);
        assert_eq!(ended.run.status, RunStatus::Cancelled);
        assert_eq!(ended.run.message.as_deref(), Some("stopped from outside: maintenance"));
        assert!(ended.tasks.values().all(|task| task.status.is_terminal()), "{}", ended.statuses());
        assert_eq!(taken(&host), 0);
    }
}

#[test]
fn a_run_that_nobody_started_is_started_by_the_sweep_once_its_time_is_over() {
    let host = host(MemoryTable::new(), MemoryObjects::default(), gated_durations(), epoch());
    let compiled = compiled(GATED);
    let key = RunKey::new("gated", "r1");
    let clock = host.world().clock.clone();
    clock.block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
    // Whoever wrote the run died before it started the execution.
    let trigger = Trigger { start: false, ..by_hand(&compiled, "r1") };
    tell(&host, &Command::Trigger(Box::new(trigger)));
    assert_eq!(sweep(&host).started, 0, "whoever wrote it may be about to start it");
    clock.block_on(clock.until(clock.now().plus_seconds(3600))).unwrap();
    assert_eq!(sweep(&host).started, 1);
    assert!(settle(&host));
    assert_eq!(stand(&host, &key).run.status, RunStatus::Success);
    assert_eq!(sweep(&host).started, 0);
}

#[test]
fn a_program_that_does_not_hear_is_stopped_by_the_sweep() {
    let (host, key) = started(GATED, script(json!({"b": 5000}), json!({})));
    pass(&host, 2);
    host.world().programs.ignore_stops(1);
    stop_run(&host, &key, "");
    pass(&host, 3);
    let closed = sweep(&host);
    assert_eq!(closed.closed, 1);
    pass(&host, 4);
    let report = sweep(&host);
    assert_eq!(report.stopped + closed.stopped, 1, "{closed:?} {report:?}");
    pass(&host, 5);
    let ended = stand(&host, &key);
    let b = ended.ran.iter().find(|ran| ran.task == "b").unwrap();
    assert!(b.ended_at < epoch().plus_seconds(5), "{b:?}");
    assert_eq!(ended.run.status, RunStatus::Cancelled);
}

#[test]
fn where_programs_cannot_be_listed_runs_are_swept_all_the_same() {
    let (host, key) = started(GATED, gated_durations());
    pass(&host, 3);
    host.world().programs.unlist(true);
    stop_run(&host, &key, "maintenance");
    pass(&host, 60);
    let report = sweep(&host);
    assert_eq!((report.closed, report.troubles), (1, 1), "{report:?}");
    assert!(settle(&host));
    assert_eq!(stand(&host, &key).run.status, RunStatus::Cancelled);
    // It is looked at until it is known that it left nothing.
    assert_eq!(sweep(&host).runs, 1);
    host.world().programs.unlist(false);
    assert_eq!(sweep(&host).troubles, 0);
    assert_eq!(sweep(&host).runs, 0);
}

#[test]
fn two_sweeps_at_once_do_what_one_does() {
    let outcome = |twice: bool| {
        let (host, key) = started(EVERYTHING, durations());
        pass(&host, 2);
        for task in ["a", "b"] {
            stop(&host, "container", &child_execution_name(&key, 1, task, None), "");
        }
        settle(&host);
        let clock = host.world().clock.clone();
        let budget = Budget::default();
        if twice {
            let both = futures_util::future::join(host.driver().sweep(&budget), host.driver().sweep(&budget));
            let (first, second) = clock.block_on(both).unwrap();
            assert_eq!((first.unwrap().troubles, second.unwrap().troubles), (0, 0));
        } else {
            sweep(&host);
        }
        settle(&host);
        assert_eq!(taken(&host), 0);
        let ended = stand(&host, &key);
        (ended.run.status, ended.statuses())
    };
    assert_eq!(outcome(true), outcome(false));
}

#[test]
fn a_sweep_goes_on_where_its_budget_ended() {
    let host =
        host(MemoryTable::new(), MemoryObjects::default(), script(json!({"a": 50}), json!({})), epoch());
    let compiled = compiled(
        "{pipeline: wide, max_active_runs: 20, tasks: {a: {container: {image: x, command: [run]}}}}",
    );
    let clock = host.world().clock.clone();
    clock.block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
    let names: Vec<String> = (0..10).map(|number| format!("r{number}")).collect();
    for name in &names {
        tell(&host, &Command::Trigger(Box::new(by_hand(&compiled, name))));
    }
    pass(&host, 1);
    for name in &names {
        stop_run(&host, &RunKey::new("wide", name), "");
    }
    settle(&host);
    let budget = Budget { describes: 4, ..Budget::default() };
    let mut closed = 0;
    for sweeps in 1..=6 {
        let report = clock.block_on(host.driver().sweep(&budget)).unwrap().unwrap();
        closed += report.closed;
        assert!(report.runs <= 4, "{report:?}");
        if closed == 10 {
            assert!(sweeps <= 5, "{sweeps} sweeps of three runs each");
            return;
        }
    }
    panic!("{closed} of 10 runs were closed");
}

#[test]
fn a_cancelled_run_ends_though_others_wait_at_gates() {
    let (host, key) = started(GATED, gated_durations());
    pass(&host, 2);
    tell(
        &host,
        &Command::Cancel { run_key: key.clone(), generation: None, reason: "enough".to_owned(), by: None },
    );
    assert!(settle(&host), "alert hears at its gate that b was stopped");
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "a:success alert:cancelled b:cancelled c:cancelled");
    assert_eq!(ended.run.status, RunStatus::Cancelled);
    assert!(ended.run.ended_at < Some(Instant::from_micros(epoch().micros()).plus_seconds(3)));
    assert_eq!(taken(&host), 0);
}

#[test]
fn the_log_of_a_program_that_was_stopped_is_known_by_its_event() {
    let (host, key) = started(GATED, gated_durations());
    pass(&host, 2);
    let log = |task: &str| stand(&host, &key).tasks[task].attempts[0].log.clone().unwrap();
    let event = |task: &str, attempt: u32| {
        let program = format!("arn:aws:ecs:eu-west-1:123456789012:task/sim/{task}{attempt}");
        let (run_key, task) = (key.clone(), task.to_owned());
        tell(
            &host,
            &Command::Observed(Box::new(Observed::Program { run_key, task, index: None, attempt, program })),
        );
    };
    let before = log("b");
    event("b", 1);
    assert_eq!(log("b"), before, "a program under way is told of by its own execution");
    tell(
        &host,
        &Command::Cancel { run_key: key.clone(), generation: None, reason: "enough".to_owned(), by: None },
    );
    assert!(settle(&host));
    event("b", 2);
    assert_eq!(log("b"), before, "there was no second attempt");
    for _ in 0..2 {
        event("b", 1);
        assert!(log("b").ends_with("/task/b1"), "{}", log("b"));
    }
    assert_eq!(stand(&host, &key).statuses(), "a:success alert:cancelled b:cancelled c:cancelled");
}

#[test]
fn an_end_that_is_told_again_later_changes_nothing_of_a_run() {
    for stopped in [false, true] {
        let (host, key) = started(GATED, gated_durations());
        pass(&host, 2);
        if stopped {
            stop_run(&host, &key, "maintenance");
        }
        settle(&host);
        events(&host).iter().for_each(|command| tell(&host, command));
        settle(&host);
        let before = stand(&host, &key);
        assert!(before.run.status.is_terminal());
        let clock = host.world().clock.clone();
        clock.block_on(clock.until(clock.now().plus_seconds(600))).unwrap();
        events(&host).iter().for_each(|command| tell(&host, command));
        // One that contradicts what was decided comes too late as well.
        let end = ExecutionEnd::Aborted { cause: "late".to_owned() };
        let execution = before.run.execution.clone();
        let observed = Observed::Run { run_key: key.clone(), generation: 1, execution, end };
        tell(&host, &Command::Observed(Box::new(observed)));
        settle(&host);
        let after = stand(&host, &key);
        assert_eq!((before.run, before.tasks), (after.run, after.tasks), "stopped: {stopped}");
    }
}
