//! Engines that die and are told to stop, and the runs that go on after them.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{DAY, Project, is_alive};

/// `first` is done once; `held` tells its process and a child's through `ready`, then waits for a
/// word through `hold`.
const HELD: &str = r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0}}
tasks:
  first: {container: {image: host, command: [sh, -c, "echo first >> ran"]}}
  held:
    needs: [first]
    container: {image: host, command: [sh, -c, "echo held >> ran; sleep 600 & echo $$ $! > ready; read word < hold; kill $!"]}
  last: {needs: [held], container: {image: host, command: [sh, -c, "echo VERSION >> ran"]}}
"#;

/// Wants the lock that `held` has.
const WAITS: &str = r#"
pipeline: q
schedule: "0 6 * * *"
tasks:
  asks: {lock: held, container: {image: host, command: ["true"]}}
"#;

#[test]
fn a_run_goes_on_after_kill_9_and_nothing_is_done_twice() {
    let project = Project::of(&HELD.replace("    needs: [first]\n", "    needs: [first]\n    lock: held\n"));
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    let survivors = ready.hear();
    engine.signal(Signal::KILL);
    assert_eq!(engine.answer().exit, None, "it was killed");
    assert!(survivors.split(' ').all(is_alive), "nobody ends a group whose engine is gone");
    let run = project.show("p");
    assert_eq!((&run["status"], &run["interrupted"]), (&json!("running"), &json!(true)));
    project.cauce(&["runs"]).exits(0).shows("p/2026-01-05  interrupted");
    assert_eq!(project.cauce(&["runs", "--json"]).exits(0).json()["runs"][0]["interrupted"], true);
    project.cauce(&["why", "p/@latest"]).exits(0).shows("cauce resume p/2026-01-05");
    let held = project.cauce(&["pools", "run:p"]).exits(0).shows("p/2026-01-05 (interrupted)");
    held.says("'cauce resume p/2026-01-05'").says("'cauce cancel p/2026-01-05'");
    // Who waits for what it holds hears who that is, and what to do.
    project.write("q.yaml", WAITS);
    let mut waits = project.start(&["run", "q.yaml", "--logical-date", DAY]);
    waits.hears("asks queued");
    let why =
        project.cauce(&["why", "q/@latest", "asks"]).exits(0).shows("held of p/2026-01-05 (interrupted)");
    let _ = why.shows("'cauce resume p/2026-01-05'").shows("'cauce cancel p/2026-01-05'");
    waits.signal(Signal::KILL);
    waits.answer();

    let engine = project.start(&["resume", "p/2026-01-05"]);
    let again = ready.hear();
    assert!(!survivors.split(' ').any(is_alive), "{survivors} went on beside {again}");
    hold.say("go");
    engine.answer().exits(0);
    let run = project.show("p");
    assert_eq!(run["status"], "success");
    assert_eq!(project.lines("ran"), ["first", "held", "held", "VERSION"]);
    assert_eq!(run["tasks"]["first"]["attempts"].as_array().unwrap().len(), 1);
    let held = run["tasks"]["held"]["attempts"].as_array().unwrap();
    assert_eq!(held.len(), 2, "every start is a new attempt, though no retry is allowed: {held:?}");
    assert_ne!(held[0]["ended_at"], json!(null), "the attempt whose engine died has ended: {held:?}");
    project.cauce(&["resume", "p/2026-01-05"]).exits(2).says("has ended").says("cauce rerun");
}

#[test]
fn a_run_goes_on_with_the_version_that_it_began_with() {
    let project = Project::of(HELD);
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    engine.signal(Signal::KILL);
    engine.answer();
    let version = project.show("p")["version"].clone();
    project.write("p.yaml", HELD.replace("VERSION", "CHANGED"));

    let engine = project.start(&["resume", "p/@latest"]);
    ready.hear();
    hold.say("go");
    engine.answer().exits(0);
    assert_eq!(project.lines("ran").last().unwrap(), "VERSION");
    assert_eq!(project.show("p")["version"], version);

    // On demand, the file as it stands now.
    project.cauce(&["rerun", "p/@latest", "--task", "last", "--latest-version"]).exits(0);
    assert_eq!(project.lines("ran").last().unwrap(), "CHANGED");
    assert_ne!(project.show("p")["version"], version);
}

#[test]
fn an_interrupted_run_stops_its_tasks_politely_and_can_go_on() {
    for signal in [Signal::INT, Signal::TERM] {
        let project = Project::of(
            r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0}}
tasks:
  polite:
    container:
      image: host
      command: [sh, -c, "trap 'echo tidied >> marks; exit 0' TERM; test -e marks && exit 0; sleep 600 & echo $$ > ready; wait"]
  after: {needs: [polite], container: {image: host, command: [sh, -c, "echo after >> marks"]}}
"#,
        );
        let ready = project.fifo("ready");
        let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
        let task = ready.hear();
        engine.signal(signal);
        engine.answer().exits(130).says("cauce resume p/2026-01-05");
        assert_eq!(project.lines("marks"), ["tidied"], "{signal:?}");
        assert!(!is_alive(&task), "programs do not outlive their engine");
        project.cauce(&["resume", "p/@latest"]).exits(0);
        assert_eq!(project.lines("marks"), ["tidied", "after"], "{signal:?}");
    }
}

/// A fork, a join, a list of items, a failure that is tried again, and another pipeline that is
/// waited for. Every task adds a line to `ran`.
const EVERYTHING: &str = r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0}}
tasks:
  a: {container: {image: host, command: [sh, -c, "echo a >> ran"]}}
  b: {needs: [a], container: {image: host, command: [sh, -c, "echo b >> ran"]}}
  flaky:
    needs: [a]
    container: {image: host, command: [sh, -c, "echo flaky >> ran; test $(grep -c flaky ran) -gt 1"]}
    retry: {retries: 3, delay: 0s}
  items: {needs: [a], map: {over: "{{ [1, 2, 3] }}"}, container: {image: host, command: [sh, -c, "echo items$0 >> ran", "{{ item }}"]}}
  other: {needs: [a], pipeline: {name: other, logical_date: "{{ ds }}", wait: true}}
  last: {needs: [b, flaky, items, other], container: {image: host, command: [sh, -c, "echo last >> ran"]}}
"#;

const OTHER: &str = r#"
pipeline: other
schedule: "0 6 * * *"
defaults: {retry: {retries: 0}}
tasks:
  within: {container: {image: host, command: [sh, -c, "echo within >> ran"]}}
"#;

#[test]
fn wherever_an_engine_dies_the_run_goes_on_and_nothing_told_as_done_is_done_again() {
    let (mut deaths, mut kept) = (0, 0);
    for lines in 1.. {
        let project = Project::of(EVERYTHING);
        project.write("other.yaml", OTHER);
        let mut engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
        let told = engine.talks(lines);
        engine.signal(Signal::KILL);
        engine.answer();
        if told.len() < lines {
            break;
        }
        let is_over = project.show("p")["status"] == "success";
        if !is_over {
            deaths += 1;
            project.cauce(&["resume", "p/@latest"]).exits(0);
        }
        let run = project.show("p");
        assert_eq!(run["status"], "success", "after {told:?}: {run}");
        assert_eq!(project.show("other")["status"], "success", "after {told:?}");
        let ran = project.lines("ran");
        let times = |task: &str| ran.iter().filter(|line| *line == task).count();
        for task in ["a", "b", "items1", "items2", "items3", "within", "last"] {
            assert!(times(task) >= 1, "{task} never ran, after {told:?}: {ran:?}");
        }
        let done = told.iter().filter_map(|line| line.trim_end().strip_suffix(" success"));
        for task in done.filter_map(|line| line.split(' ').next_back()).filter(|task| times(task) > 0) {
            let allowed = if task == "flaky" { 2 } else { 1 };
            assert_eq!(times(task), allowed, "{task}, after {told:?}: {ran:?}");
            kept += 1;
        }
    }
    assert!(deaths >= 5 && kept >= 10, "{deaths} engines died in time, {kept} tasks were kept");
}
