//! Virtual time, rehearsals, and waiting for what is not there yet.

use serde_json::json;

use crate::harness::{DAY, Project};

const SMALL: &str = r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  a: {container: {image: host, command: [sh, -c, "echo a >> ran"]}}
  b: {needs: [a], container: {image: host, command: [sh, -c, "echo b >> ran"]}, retry: {retries: 1, delay: 1m, jitter: 0}}
  c: {needs: [a], container: {image: host, command: [sh, -c, "echo c >> ran"]}}
  d: {needs: [b, c], container: {image: host, command: [sh, -c, "echo d >> ran"]}}
"#;

#[test]
fn a_simulation_takes_exactly_the_given_time() {
    let project = Project::of(SMALL);
    project.write("durations.json", r#"{"a": 10, "b": [5.5, 2], "c": 0.000001, "d": 3600}"#);
    project.write("outcomes.json", r#"{"b": ["failed", "success"]}"#);
    let files = ["--durations", "durations.json", "--outcomes", "outcomes.json", "--json"];
    let simulated = project.cauce(&[&["simulate", "p.yaml"], &files[..]].concat()).exits(0).json();
    assert_eq!(simulated["status"], "success");
    // a 10, b 5.5, a minute's delay, b 2, d 3600.
    assert_eq!(simulated["makespan_seconds"].as_f64(), Some(3677.5));
    for (task, from, to) in
        [("a", 0.0, 10.0), ("b", 10.0, 77.5), ("c", 10.0, 10.000_001), ("d", 77.5, 3677.5)]
    {
        let told = &simulated["tasks"][task];
        assert_eq!(told["status"], "success", "{task}");
        assert_eq!(told["started_at_seconds"].as_f64(), Some(from), "{task}: {told}");
        assert_eq!(told["ended_at_seconds"].as_f64(), Some(to), "{task}: {told}");
    }
    assert!(simulated["transitions"].as_u64().is_some_and(|count| count > 8), "{simulated}");
    assert_eq!(project.lines("ran"), [""; 0]);
    assert!(!project.path(".cauce").exists());
}

#[test]
fn a_simulated_failure_is_the_runs() {
    let project = Project::of(SMALL);
    project.write("outcomes.json", r#"{"c": {"status": "failed", "exit_code": 3}}"#);
    let failed =
        project.cauce(&["simulate", "p.yaml", "--outcomes", "outcomes.json", "--json"]).exits(1).json();
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["tasks"]["d"]["status"], "upstream_failed");
    project.write("durations.json", r#"{"z": 1}"#);
    project.cauce(&["simulate", "p.yaml", "--durations", "durations.json"]).exits(2).says("z");
}

#[test]
fn outcomes_that_nothing_can_have_are_refused() {
    let project = Project::of(
        "pipeline: p\ntasks:\n  way: {branch: [{else: a}]}\n  a: {needs: [way], container: {image: host, command: [run]}}\n",
    );
    for (outcomes, said) in [
        (r#"{"way": "failed"}"#, "'way' runs nothing"),
        (r#"{"a": -1}"#, "-1 is not an exit code"),
        (r#"{"a": 600}"#, "600 is not an exit code"),
        (r#"{"a": {"status": "success", "exit_code": 3}}"#, "a success has no class and no exit code but 0"),
        (r#"{"a": {"status": "failed", "exit_code": 0}}"#, "a failure has no exit code 0"),
        (r#"{"a": {"status": "failed", "output": {}}}"#, "a failure has no output"),
        (r#"{"a": {"class": 3}}"#, "3 is not a failure class"),
        (r#"{"a": {"status": 3}}"#, "status 3 is neither"),
    ] {
        project.write("outcomes.json", outcomes);
        project.cauce(&["simulate", "p.yaml", "--outcomes", "outcomes.json"]).exits(2).says(said);
        project.cauce(&["run", "p.yaml", "--dry-run", "--outcomes", "outcomes.json"]).exits(2).says(said);
    }
    project.write("outcomes.json", r#"{"a": [{"class": "killed"}, {"status": "failed", "exit_code": 7}]}"#);
    project.cauce(&["simulate", "p.yaml", "--outcomes", "outcomes.json"]).exits(1);
    project.write("durations.json", r#"{"way": 5}"#);
    let timed = project.cauce(&["simulate", "p.yaml", "--durations", "durations.json"]);
    timed.exits(2).says("'way' runs nothing").says("a");
}

#[test]
fn a_dry_run_decides_everything_and_starts_nothing() {
    let project = Project::of(SMALL);
    let dry = project.cauce(&["run", "p.yaml", "--logical-date", DAY, "--dry-run"]).exits(0);
    let dry = dry.says("nothing was started");
    for task in ["a", "b", "c", "d"] {
        assert!(dry.data.contains(&format!("start {task}: sh -c")), "{}", dry.data);
    }
    assert_eq!(project.lines("ran"), [""; 0]);
    assert!(!project.path(".cauce").exists());
}

#[test]
fn files_that_come_later_are_waited_for() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  here: {container: {image: host, command: [sh, -c, "echo ready > ready"]}}
  wait:
    wait_for: {files: ["s3://landing/{{ ds }}/sales.csv", "s3://landing/{{ ds }}/customers.csv"], poll_interval: 1s, min_bytes: 1}
    timeout: 1m
  read: {needs: [wait], container: {image: host, command: [cat, ".cauce/objects/landing/{{ ds }}/sales.csv"]}}
"#,
    );
    let ready = project.fifo("ready");
    let engine = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    let run = project.show("p");
    assert!(!["success", "failed"].contains(&run["tasks"]["wait"]["status"].as_str().unwrap()), "{run}");
    // Another process delivers: whole under its name at once, the one of the two without a byte first.
    for (name, text) in [("customers.csv", "c\n"), ("sales.csv", "the sales\n")] {
        project.write(&format!("new/{name}"), text);
        std::fs::create_dir_all(project.path(&format!(".cauce/objects/landing/{DAY}"))).unwrap();
        std::fs::rename(
            project.path(&format!("new/{name}")),
            project.path(&format!(".cauce/objects/landing/{DAY}/{name}")),
        )
        .unwrap();
    }
    engine.answer().exits(0);
    assert_eq!(project.cauce(&["logs", "p/@latest", "read"]).exits(0).data, "the sales\n");
}

#[test]
fn files_that_never_come_are_a_timeout() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  wait:
    wait_for: {files: ["s3://landing/{{ ds }}.csv"], poll_interval: 1s}
    timeout: 1s
    retry: {retries: 0}
"#,
    );
    project.run().exits(1).says("wait");
    let wait = project.show("p")["tasks"]["wait"].take();
    assert_eq!(
        (&wait["status"], &wait["attempts"][0]["class"]),
        (&json!("failed"), &json!("timeout")),
        "{wait}"
    );
}
