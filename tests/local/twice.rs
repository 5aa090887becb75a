//! The same run started again: while it runs, after it ended, after its engine died.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{DAY, Project, is_alive};

const HELD: &str = r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  count: {container: {image: host, command: [sh, -c, "echo $CAUCE_RUN_ID >> ran"]}}
  held: {needs: [count], container: {image: host, command: [sh, -c, "echo ready > ready; read word < hold"]}}
"#;

#[test]
fn the_same_run_is_driven_by_one_process() {
    let project = Project::of(HELD);
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    let process = format!("process {}", engine.id());
    project.run().exits(3).says("p/2026-01-05").says(&process);
    project.cauce(&["resume", "p/2026-01-05"]).exits(3).says(&process);
    // Another run of the folder is not in its way.
    project.write("other.yaml", "pipeline: other\nschedule: \"0 6 * * *\"\ntasks:\n  a: {pass: {}}\n");
    project.cauce(&["run", "other.yaml", "--logical-date", DAY]).exits(0);
    hold.say("go");
    engine.answer().exits(0);
    assert_eq!(project.lines("ran"), [DAY]);
}

#[test]
fn a_run_that_ended_is_run_again_as_its_next_generation() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  count: {container: {image: host, command: [sh, -c, \"echo x >> ran\"]}}\n",
    );
    project.run().exits(0);
    project.run().exits(0).says("ended before (success)").says("generation 2").says("all tasks");
    assert_eq!(project.show("p")["generation"], 2);
    assert_eq!(project.lines("ran").len(), 2);
}

#[test]
fn an_interrupted_run_is_resumed_not_run() {
    let project = Project::of(HELD);
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    engine.signal(Signal::KILL);
    engine.answer();
    project.run().exits(2).says("interrupted").says("cauce resume p/2026-01-05");
    assert_eq!(project.lines("ran"), [DAY]);
    let engine = project.start(&["resume", "p/2026-01-05"]);
    ready.hear();
    hold.say("go");
    engine.answer().exits(0);
}

#[test]
fn a_run_of_another_process_is_waited_for_where_one_is_let_in_at_once() {
    let project = Project::of(&HELD.replace("tasks:", "max_active_runs: 1\ntasks:"));
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let first = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    let second = project.start(&["run", "p.yaml", "--logical-date", "2026-01-06"]);
    // Neither passes the other: the second's task can only be met after the first has ended.
    hold.say("go");
    first.answer().exits(0);
    ready.hear();
    hold.say("go");
    second.answer().exits(0);
    assert_eq!(project.lines("ran"), [DAY, "2026-01-06"]);
    let (earlier, later) = (project.cauce(&["show", "p/2026-01-05", "--json"]), project.show("p"));
    // Instants are text of one width: they sort as time does.
    let at = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    assert!(at(&earlier.exits(0).json()["ended_at"]) <= at(&later["started_at"]));
}

#[test]
fn a_run_under_way_is_cancelled_from_another_process() {
    let project = Project::of(HELD);
    let (ready, _hold) = (project.fifo("ready"), project.fifo("hold"));
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    project.cauce(&["cancel", "p/2026-01-05", "--reason", "not today"]).exits(0).says("being cancelled");
    engine.answer().exits(1).says("not today");
    let run = project.show("p");
    assert_eq!(run["status"], "cancelled");
    assert_eq!(run["tasks"]["count"]["status"], "success");
    assert_eq!(run["tasks"]["held"]["status"], "cancelled");
    project.cauce(&["cancel", "p/2026-01-05"]).exits(2).says("has ended");
}

#[test]
fn an_interrupted_run_is_cancelled_here_and_now() {
    let project = Project::of(HELD);
    let (ready, _hold) = (project.fifo("ready"), project.fifo("hold"));
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    engine.signal(Signal::INT);
    engine.answer().exits(130);
    project.cauce(&["cancel", "p/2026-01-05", "--reason", "not today"]).exits(0).says("cancelled");
    let run = project.show("p");
    assert_eq!(run["status"], "cancelled");
    assert_eq!(run["tasks"]["count"]["status"], "success");
    assert_eq!(run["tasks"]["held"]["status"], "cancelled");
    project.cauce(&["resume", "p/2026-01-05"]).exits(2).says("has ended");
}

#[test]
fn what_an_interrupted_run_has_set_up_is_taken_away_by_its_cancel() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  rent: {setup: true, container: {image: host, command: [sh, -c, "echo rent >> ran"]}}
  held: {needs: [rent], container: {image: host, command: [sh, -c, "echo $$ > ready; read word < hold"]}}
  give: {teardown_of: [rent], container: {image: host, command: [sh, -c, "echo give >> ran"]}}
"#,
    );
    let (ready, _hold) = (project.fifo("ready"), project.fifo("hold"));
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    let held = ready.hear();
    engine.signal(Signal::KILL);
    assert_eq!(engine.answer().exit, None, "it was killed");
    project.cauce(&["cancel", "p/2026-01-05", "--reason", "not today"]).exits(0).says("cancelled");
    assert!(!is_alive(&held), "what was under way is ended first");
    assert_eq!(project.lines("ran"), ["rent", "give"]);
    let run = project.show("p");
    assert_eq!((&run["status"], &run["message"]), (&json!("cancelled"), &json!("not today")));
    assert_eq!(run["tasks"]["give"]["status"], "success");
    project.cauce(&["resume", "p/2026-01-05"]).exits(2).says("has ended");
}

/// A pipeline whose task starts another one's run, which rents something, works and gives it back.
fn of_two() -> Project {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  other: {pipeline: {name: other, logical_date: "{{ ds }}"}}
"#,
    );
    project.write(
        "other.yaml",
        r#"
pipeline: other
schedule: "0 6 * * *"
tasks:
  rent: {setup: true, container: {image: host, command: [sh, -c, "echo rent >> ran"]}}
  held: {needs: [rent], container: {image: host, command: [sh, -c, "echo $$ > ready; read word < hold"]}}
  give: {teardown_of: [rent], container: {image: host, command: [sh, -c, "echo give >> ran"]}}
"#,
    );
    project
}

#[test]
fn a_run_that_a_task_started_is_cancelled_with_its_own_or_by_its_name() {
    for run in ["p/2026-01-05", "other/2026-01-05"] {
        let project = of_two();
        let (ready, _hold) = (project.fifo("ready"), project.fifo("hold"));
        let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
        let held = ready.hear();
        project.cauce(&["cancel", run, "--reason", "not today"]).exits(0).says("being cancelled");
        engine.answer().exits(1).says("not today");
        assert!(!is_alive(&held));
        assert_eq!(project.lines("ran"), ["rent", "give"], "{run}");
        let other = project.show("other");
        assert_eq!((&other["status"], &other["message"]), (&json!("cancelled"), &json!("not today")));
        let wanted = if run.starts_with('p') { "cancelled" } else { "failed" };
        assert_eq!(project.show("p")["status"], wanted);
    }
}

#[test]
fn a_run_that_waits_its_turn_for_a_task_is_cancelled_by_its_name() {
    let project = of_two();
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    project.write("other.yaml", project.read("other.yaml").replace("tasks:", "max_active_runs: 1\ntasks:"));
    let first = project.start(&["run", "other.yaml", "--logical-date", "2026-01-04"]);
    ready.hear();
    let mut second = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    second.hears("other running");
    project.cauce(&["cancel", "other/2026-01-05", "--reason", "not today"]).exits(0);
    second.answer().exits(1).says("not today");
    assert_eq!(project.show("p")["status"], "failed");
    hold.say("go");
    first.answer().exits(0);
}

#[test]
fn an_interrupted_run_is_cancelled_with_what_its_tasks_have_started() {
    let project = of_two();
    let (ready, _hold) = (project.fifo("ready"), project.fifo("hold"));
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    let held = ready.hear();
    engine.signal(Signal::KILL);
    assert_eq!(engine.answer().exit, None, "it was killed");
    project
        .cauce(&["cancel", "p/2026-01-05", "--reason", "not today"])
        .exits(0)
        .says("p/2026-01-05 is cancelled");
    assert!(!is_alive(&held), "what was under way is ended first");
    assert_eq!(project.lines("ran"), ["rent", "give"]);
    let other = project.show("other");
    assert_eq!((&other["status"], &other["message"]), (&json!("cancelled"), &json!("not today")));
}
