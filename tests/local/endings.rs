//! How runs end: failures, retries, failures that are allowed, and the exit code of each.

use serde_json::json;

use crate::harness::{DAY, Project};

#[test]
fn a_task_that_fails_twice_succeeds_with_its_third_attempt() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  flaky:
    container: {image: host, command: [sh, -c, "echo $CAUCE_ATTEMPT >> tries; exit $((3 - $CAUCE_ATTEMPT))"]}
    retry: {retries: 2, delay: 0s}
  after: {needs: [flaky], container: {image: host, command: [echo, done]}}
"#,
    );
    project.run().exits(0);
    assert_eq!(project.lines("tries"), ["1", "2", "3"]);
    let attempts = &project.show("p")["tasks"]["flaky"]["attempts"];
    let told: Vec<_> = attempts
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| json!([attempt["number"], attempt["exit_code"], attempt["class"]]))
        .collect();
    assert_eq!(json!(told), json!([[1, 2, "exit"], [2, 1, "exit"], [3, 0, null]]));
    // Each attempt kept its own log.
    project.cauce(&["logs", "p/@latest", "flaky", "--attempt", "1"]).exits(0);
}

#[test]
fn exit_codes_that_skip_do_so_also_where_they_look_like_a_kill() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0, skip_on_exit_code: [99, 137]}}
tasks:
  nothing: {container: {image: host, command: [sh, -c, "exit 99"]}}
  killed: {container: {image: host, command: [sh, -c, "exit 137"]}}
  by_signal: {container: {image: host, command: [sh, -c, "kill -9 $$"]}}
  other: {container: {image: host, command: [sh, -c, "exit 98"]}, allow_failure: true}
"#,
    );
    project.run().exits(0);
    let tasks = &project.show("p")["tasks"];
    let status = |name: &str| tasks[name]["status"].clone();
    let told = ["nothing", "killed", "by_signal", "other"].map(status);
    assert_eq!(json!(told), json!(["skipped", "skipped", "skipped", "failed"]));
}

#[test]
fn a_failed_run_says_what_failed_and_goes_on_from_there() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 1, delay: 1s}}
tasks:
  before: {container: {image: host, command: [sh, -c, "echo before >> ran"]}}
  broken: {needs: [before], container: {image: host, command: [sh, -c, "echo broken >> ran; test -e mended"]}}
  below: {needs: [broken], container: {image: host, command: [sh, -c, "echo below >> ran"]}}
  beside: {needs: [before], container: {image: host, command: [sh, -c, "echo beside >> ran"]}}
"#,
    );
    project.run().exits(1).says("broken").says("cauce rerun p/2026-01-05");
    let run = project.show("p");
    let status = |name: &str| run["tasks"][name]["status"].clone();
    assert_eq!(status("before"), "success");
    assert_eq!(status("broken"), "failed");
    assert_eq!(status("below"), "upstream_failed");
    assert_eq!(status("beside"), "success", "siblings never stop");
    assert_eq!(run["tasks"]["broken"]["attempts"].as_array().unwrap().len(), 2);

    project.write("mended", "");
    project.cauce(&["rerun", "p/2026-01-05"]).exits(0);
    let run = project.show("p");
    assert_eq!((&run["status"], &run["generation"]), (&json!("success"), &json!(2)));
    let ran = project.lines("ran");
    let times = |task: &str| ran.iter().filter(|line| *line == task).count();
    assert_eq!(["before", "beside", "broken", "below"].map(times), [1, 1, 3, 1]);
}

#[test]
fn an_allowed_failure_leaves_the_run_green_and_says_so() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0}}
tasks:
  extra: {allow_failure: true, container: {image: host, command: [sh, -c, "exit 7"]}}
  after: {needs: [extra], container: {image: host, command: [echo, done]}}
"#,
    );
    project.run().exits(0).shows("failed (allowed)");
    let run = project.show("p");
    assert_eq!(run["status"], "success");
    let extra = &run["tasks"]["extra"];
    assert_eq!((&extra["status"], &extra["allowed_failure"]), (&json!("failed"), &json!(true)));
    assert_eq!(extra["attempts"][0]["exit_code"], 7);
    assert_eq!(run["tasks"]["after"]["status"], "success");
}

#[test]
fn a_fail_task_fails_the_run_with_its_message() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  stop: {fail: {message: "no data for {{ ds }}"}}
"#,
    );
    project.run().exits(1).says("no data for 2026-01-05");
}

#[test]
fn what_cannot_be_done_exits_2_and_touches_nothing() {
    let project = Project::of("pipeline: p\ntasks:\n  a: {needs: [b], pass: {}}\n");
    project.run().exits(2).says("C201").says("p.yaml");
    project.cauce(&["run", "absent.yaml"]).exits(2).says("absent.yaml");
    project.cauce(&["run"]).exits(2);
    project.write("p.yaml", "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  a: {pass: {}}\n");
    project.cauce(&["run", "p.yaml", "--logical-date", "yesterday"]).exits(2).says("yesterday");
    project.cauce(&["run", "p.yaml", "--only", "b", "--logical-date", DAY]).exits(2).says("'b'");
    assert!(!project.path(".cauce").exists());
}

#[test]
fn a_machine_that_refuses_exits_3() {
    let project = Project::of("pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  a: {pass: {}}\n");
    // The folder of objects cannot be made where a file is.
    project.write(".cauce/objects", "in the way");
    project.run().exits(3).says("objects");
}

#[test]
fn the_log_of_a_program_that_never_started_is_told_with_the_reason() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ndefaults: {retry: {retries: 0, infrastructure_retries: 0}}\ntasks:\n  \
         gone: {container: {image: host, command: [no-such-program-anywhere]}}\n",
    );
    project.run().exits(1);
    let logs = project.cauce(&["logs", "p/@latest", "gone"]).exits(2);
    logs.says("there is no log of attempt 1: ").says("no-such-program-anywhere");
}
