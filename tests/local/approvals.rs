//! Approvals on one machine: asked for in one process, answered in another.

use crate::harness::{DAY, Project, Started};
use rustix::process::Signal;
use serde_json::{Value, json};

const RELEASE: &str = r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  ask: {approval: {message: "release {{ ds }}?", notify: [mail]}, timeout: 10m}
  ship: {needs: [ask], container: {image: host, command: [sh, -c, 'echo "$1" >> shipped', sh, "{{ outputs.ask.by }}: {{ outputs.ask.comment }}"]}}
"#;

/// A run that waits for its answer.
fn waiting(project: &Project) -> Started {
    project
        .write("cauce.yaml", "images:\n  host: {local: []}\nchannels:\n  mail: {file: {path: mail.jsonl}}\n");
    let mut engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    loop {
        let line = engine.talks(1);
        assert_eq!(line.len(), 1, "it ended before it waited");
        if line[0].contains("ask running: waits for approval (cauce approve p/2026-01-05 ask)") {
            return engine;
        }
    }
}

fn ask(project: &Project) -> Value {
    project.show("p")["tasks"]["ask"].clone()
}

#[test]
fn a_yes_from_another_process_lets_the_run_go_on() {
    let project = Project::of(RELEASE);
    let engine = waiting(&project);
    let why = project.cauce(&["why", "p/@latest"]).exits(0);
    let why = why.shows("release 2026-01-05?").shows("it waits for approval since").shows("it fails at");
    let why = why.shows("cauce approve p/2026-01-05 ask").shows("cauce reject p/2026-01-05 ask");
    assert!(!why.data.contains("attempt 1"), "{}", why.data);
    let mail: Value = serde_json::from_str(&project.lines("mail.jsonl")[0]).unwrap();
    assert_eq!(mail["subject"], "p/2026-01-05: task ask waits for approval");
    assert!(mail["message"].as_str().unwrap().contains("cauce approve p/2026-01-05 ask\n"), "{mail}");

    project.cauce(&["approve", "p/@latest", "asked"]).exits(2).says("did you mean 'ask'?");
    project.cauce(&["approve", "p/@latest", "ship"]).exits(2).says("is no approval");
    project.cauce(&["approve", "p/2026-01-06", "ask"]).exits(2);
    let long = "x".repeat(3000);
    project.cauce(&["approve", "p/@latest", "ask", "--comment", &long]).exits(2).says("3000 bytes");
    let said = project.cauce(&["approve", "p/@latest", "ask", "--comment", "tried it"]).exits(0);
    said.says("p/2026-01-05 ask is approved by");
    engine.answer().exits(0);
    let answer = ask(&project)["approval"]["answer"].clone();
    let by = answer["by"].as_str().unwrap();
    assert_eq!(project.lines("shipped"), [format!("{by}: tried it")]);

    // After it is over: the same again is fine, the opposite is not, and the audit knows one answer.
    let again = project.cauce(&["approve", "p/@latest", "ask", "--json"]).exits(0).json();
    assert_eq!((&again["decision"], &again["comment"]), (&json!("approved"), &json!("tried it")));
    let no = project.cauce(&["reject", "p/@latest", "ask"]).exits(2);
    let at = answer["at"].as_str().unwrap();
    // To the second, as everything else that people read.
    let (day, time) = (&at[..10], &at[11..19]);
    no.says(&format!("was approved by {by}: tried it, at {day} {time}Z"));
    let audit = project.cauce(&["audit", "--json"]).exits(0).data;
    assert_eq!(
        (audit.matches("\"approve\"").count(), audit.matches("\"reject\"").count()),
        (1, 0),
        "{audit}"
    );
}

#[test]
fn a_no_fails_the_run_with_who_and_why() {
    let project = Project::of(RELEASE);
    let engine = waiting(&project);
    project
        .cauce(&["reject", "p/@latest", "ask", "--comment", "too late today"])
        .exits(0)
        .says("is rejected by");
    engine.answer().exits(1).says("too late today");
    let ask = ask(&project);
    assert_eq!((&ask["status"], &ask["attempts"][0]["class"]), (&json!("failed"), &json!("rejected")));
    project.cauce(&["why", "p/@latest"]).exits(0).shows("too late today").shows("cauce explain rejected");
    assert!(project.lines("shipped").is_empty());
}

#[test]
fn an_answer_without_an_engine_is_kept_for_the_resume() {
    let project = Project::of(RELEASE);
    let engine = waiting(&project);
    engine.signal(Signal::KILL);
    engine.answer();
    let said = project.cauce(&["approve", "p/@latest", "ask"]).exits(0);
    said.says("the engine that ran it is gone; go on with: cauce resume p/2026-01-05");
    project.cauce(&["resume", "p/@latest"]).exits(0);
    assert_eq!(project.lines("shipped").len(), 1);
    // A notice may be delivered twice, since the engine was killed beside it; it is the same one then.
    let mail = project.lines("mail.jsonl").into_iter();
    let mut ids: Vec<Value> =
        mail.map(|line| serde_json::from_str::<Value>(&line).unwrap()["id"].clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "nobody is asked twice: {ids:?}");
}

#[test]
fn a_cancel_and_a_timeout_end_the_wait() {
    let project = Project::of(RELEASE);
    let engine = waiting(&project);
    project.cauce(&["cancel", "p/@latest"]).exits(0);
    engine.answer().exits(1);
    assert_eq!(ask(&project)["status"], "cancelled");
    project.cauce(&["approve", "p/@latest", "ask"]).exits(2).says("is cancelled");

    let late = Project::of(&RELEASE.replace("timeout: 10m", "timeout: 1s"));
    waiting(&late).answer().exits(1).says("nobody answered in time");
    assert_eq!(ask(&late)["attempts"][0]["class"], "timeout");
}

#[test]
fn a_simulation_answers_as_its_files_say() {
    let project = Project::of(RELEASE);
    project
        .write("cauce.yaml", "images:\n  host: {local: []}\nchannels:\n  mail: {file: {path: mail.jsonl}}\n");
    project.write("durations.json", r#"{"ask": 90}"#);
    for (outcome, exit, status, ended) in [
        ("\"success\"", 0, "success", 90.0),
        ("\"failed\"", 1, "failed", 90.0),
        ("\"rejected\"", 1, "failed", 90.0),
        ("\"timeout\"", 1, "failed", 600.0),
    ] {
        project.write("outcomes.json", format!(r#"{{"ask": {outcome}}}"#));
        let args =
            ["simulate", "p.yaml", "--durations", "durations.json", "--outcomes", "outcomes.json", "--json"];
        let ask = project.cauce(&args).exits(exit).json()["tasks"]["ask"].clone();
        assert_eq!((&ask["status"], &ask["ended_at_seconds"]), (&json!(status), &json!(ended)), "{outcome}");
    }
    assert!(project.lines("mail.jsonl").is_empty(), "a simulation tells nobody");
}

#[test]
fn a_simulation_answers_as_the_outcome_says() {
    let project = Project::of(
        r#"
pipeline: p
tasks:
  ask: {approval: {message: "ship?", on_reject: continue}}
  ship: {needs: [ask], if: "{{ outputs.ask.decision == 'approved' }}", pass: {}}
"#,
    );
    let simulate = |outcome: &str| {
        project.write("o.json", format!("{{\"ask\": {outcome}}}"));
        project.cauce(&["simulate", "p.yaml", "--outcomes", "o.json"])
    };
    for no in
        [r#""failed""#, r#""rejected""#, r#"{"status": "failed"}"#, r#"{"output": {"decision": "rejected"}}"#]
    {
        simulate(no).exits(0).shows("rejected by simulation").shows("is false");
    }
    simulate(r#"{"output": {"decision": "approved"}}"#)
        .exits(0)
        .shows("TASK")
        .shows("approved by simulation");
    for wrong in [r#"{"output": {"decision": "no"}}"#, r#"{"output": {"by": "ana"}}"#] {
        simulate(wrong).exits(2).says("the approval 'ask' has no outcome");
    }
}
