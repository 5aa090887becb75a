//! Executions that are not what they seem: copies of a run's own, made with the console's "New execution",
//! and names that belong to other runs.

use crate::deployments::{deploy, made, new_host};
use crate::repair::{events, pass, settle, stand, started, stop, tell};
use crate::world::{Sim, compiled, script};
use cauce_engine::Command;
use cauce_engine::command::Event;
use cauce_model::ids::child_execution_name;
use cauce_model::{Instant, Json, RunKey, RunStatus, TaskStatus};
use cauce_ports::{ExecutionStatus, Services, StateMachines};
use serde_json::json;

const LOADS: &str = "
pipeline: loads
tasks:
  load: {container: {image: x, command: [run]}}
";

const TICKING: &str = r#"
pipeline: ticking
schedule: "0 2 * * *"
tasks:
  load: {pass: {output: {day: "{{ ds }}"}}}
"#;

fn start(host: &Sim, machine: &str, name: &str, input: &Json) {
    let started = host.driver().services().machines().start(machine, name, input);
    host.world().clock.clone().block_on(started).unwrap().unwrap();
}

/// How an execution ended, and why.
fn ended(host: &Sim, name: &str) -> (ExecutionStatus, String) {
    let all = host.ended();
    let (_, _, told) = all.iter().find(|(_, other, _)| other == name).unwrap();
    (told.status, told.cause.clone().unwrap_or_default())
}

/// What the platform tells, twice.
fn tell_all(host: &Sim) {
    for _ in 0..2 {
        events(host).iter().for_each(|command| tell(host, command));
    }
}

#[test]
fn a_copy_of_a_run_s_execution_is_refused_and_harms_nothing() {
    let (host, key) = started(LOADS, script(json!({"load": 100}), json!({})));
    pass(&host, 5);
    let run = stand(&host, &key).run;
    start(&host, &run.machine, "a-copy", &json!({"run_key": key, "generation": 1}));
    pass(&host, 10);
    let (status, cause) = ended(&host, "a-copy");
    assert_eq!(status, ExecutionStatus::Failed);
    assert!(
        cause.contains("loads/r1 exists, is running and is executed by 'r1-g1', not by 'a-copy'"),
        "{cause}"
    );
    tell_all(&host);
    assert_eq!(stand(&host, &key).run.status, RunStatus::Running, "the copy's end is not the run's");
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!((ended.run.status, ended.ran.len()), (RunStatus::Success, 1));
}

#[test]
fn the_end_of_a_copy_of_a_task_s_execution_is_not_the_task_s() {
    let (host, key) = started(LOADS, script(json!({"load": 100}), json!({})));
    pass(&host, 5);
    let own = child_execution_name(&key, 1, "load", None);
    let input =
        json!({"run_key": key, "generation": 1, "version": stand(&host, &key).run.version, "task": "load"});
    start(&host, "container", "a-copy", &input);
    pass(&host, 10);
    stop(&host, "container", "a-copy", "a mistake");
    pass(&host, 15);
    assert_eq!(ended(&host, "a-copy").0, ExecutionStatus::Aborted);
    tell_all(&host);
    assert_eq!(stand(&host, &key).tasks["load"].status, TaskStatus::Running);
    stop(&host, "container", &own, "on purpose");
    assert!(settle(&host));
    tell_all(&host);
    assert_eq!(stand(&host, &key).tasks["load"].status, TaskStatus::Failed);
}

fn tick(at: &str) -> Command {
    let scheduled_at = Instant::parse(at).unwrap();
    let (pipeline, schedule) = ("ticking".to_owned(), "schedule-1".to_owned());
    Command::Event(Box::new(Event::Tick { pipeline, schedule, scheduled_at }))
}

#[test]
fn an_execution_named_as_a_date_s_run_is_that_run() {
    let host = new_host();
    let compiled = compiled(TICKING);
    let clock = host.world().clock.clone();
    clock.block_on(deploy(&host, &compiled, made(&compiled, "drop"))).unwrap();
    let machine = made(&compiled, "drop").machine;
    let key = RunKey::new("ticking", "1997-01-03");

    // Before its tick: the tick finds that its run exists, with its data.
    start(&host, &machine, "1997-01-03", &json!({}));
    assert!(settle(&host));
    tell(&host, &tick("1997-01-04T02:00:00Z"));
    assert!(settle(&host));
    let run = stand(&host, &key);
    assert_eq!((run.run.status, run.run.generation), (RunStatus::Success, 1));
    assert_eq!(run.run.logical_date, Instant::parse("1997-01-03T02:00:00Z").unwrap());

    // After it: the run is not done again, nor ended by the other's refusal.
    tell(&host, &tick("1997-01-05T02:00:00Z"));
    start(&host, &machine, "1997-01-04", &json!({}));
    assert!(settle(&host));
    tell_all(&host);
    let (status, cause) = ended(&host, "1997-01-04");
    assert_eq!(status, ExecutionStatus::Failed);
    assert!(cause.contains("is executed by '1997-01-04-g1', not by '1997-01-04'"), "{cause}");
    assert_eq!(stand(&host, &RunKey::new("ticking", "1997-01-04")).run.status, RunStatus::Success);

    // Under the name of one date for another one, it would keep the first from ever being done.
    start(&host, &machine, "1997-01-01", &json!({"logical_date": "1997-01-02"}));
    assert!(settle(&host));
    let (status, cause) = ended(&host, "1997-01-01");
    assert_eq!(status, ExecutionStatus::Failed);
    assert!(cause.contains("name the execution otherwise"), "{cause}");
    tell(&host, &tick("1997-01-02T02:00:00Z"));
    assert!(settle(&host));
    assert_eq!(stand(&host, &RunKey::new("ticking", "1997-01-01")).run.status, RunStatus::Success);
}

#[test]
fn a_run_whose_execution_s_name_a_stranger_took_fails_at_once_and_says_why() {
    let host = new_host();
    let compiled = compiled(TICKING);
    let clock = host.world().clock.clone();
    clock.block_on(deploy(&host, &compiled, made(&compiled, "drop"))).unwrap();
    let machine = made(&compiled, "drop").machine;
    start(&host, &machine, "1997-01-04-g1", &json!({}));
    assert!(settle(&host));
    tell(&host, &tick("1997-01-05T02:00:00Z"));
    let run = stand(&host, &RunKey::new("ticking", "1997-01-04")).run;
    assert_eq!(run.status, RunStatus::Failed);
    let message = run.message.unwrap();
    assert!(
        message.contains("the execution name '1997-01-04-g1' was taken by another execution"),
        "{message}"
    );
}
