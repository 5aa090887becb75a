//! What one task hands to the next, what `show` tells, what logs keep.

use serde_json::json;

use crate::harness::{DAY, Project};

const CHAIN: &str = r#"
pipeline: p
schedule: "0 6 * * *"
params: {region: {type: string, default: ALL}, rows: {type: integer, default: 3}}
defaults: {retry: {retries: 0}}
tasks:
  extract:
    container:
      image: host
      command: [sh, -c, "echo extracting $1; printf '{\"path\": \"s3://lake/%s\", \"rows\": %d}' $1 $2 > $CAUCE_OUTPUT_FILE",
                extract, "{{ ds }}", "{{ params.rows }}"]
    returns: {path: string, rows: integer}
  check:
    needs: [extract]
    container:
      image: host
      command: [sh, -c, "echo checking $PLACE >&2; printf '{\"good\": %s}' \"$GOOD\" > $CAUCE_OUTPUT_FILE"]
      env: {PLACE: "{{ outputs.extract.path }}", GOOD: "{{ outputs.extract.rows > 2 }}"}
    returns: {good: boolean}
  load:
    needs: [check, extract]
    if: "{{ outputs.check.good }}"
    container: {image: host, command: [echo, "{{ params.region }} {{ outputs.extract.rows + 1 }} attempt {{ attempt }}"]}
"#;

#[test]
fn outputs_are_passed_on_with_their_types() {
    let project = Project::of(CHAIN);
    project.run().exits(0);
    let run = project.show("p");
    assert_eq!(run["status"], "success");
    assert_eq!(run["tasks"]["extract"]["output"], json!({"path": "s3://lake/2026-01-05", "rows": 3}));
    assert_eq!(run["tasks"]["check"]["output"], json!({"good": true}));
    assert_eq!(project.cauce(&["logs", "p/@latest", "load"]).exits(0).data, "ALL 4 attempt 1\n");
    // Stderr is logged as stdout is.
    let check = project.cauce(&["logs", "p/2026-01-05", "check"]).exits(0);
    assert_eq!(check.data, "checking s3://lake/2026-01-05\n");
}

#[test]
fn a_parameter_reaches_the_tasks_and_decides() {
    let project = Project::of(CHAIN);
    let run = ["run", "p.yaml", "--logical-date", DAY, "--json"];
    let few = project.cauce(&[&run[..], &["--param", "rows=2"]].concat()).exits(0).json();
    assert_eq!(few["status"], "success");
    assert_eq!(few["tasks"]["load"]["status"], "skipped");
    assert_eq!(few["params"], json!({"region": "ALL", "rows": 2}));
    project.cauce(&[&run[..], &["--param", "rows=many"]].concat()).exits(2).says("rows");
    project.cauce(&[&run[..], &["--param", "row=2"]].concat()).exits(2).says("row");
}

#[test]
fn show_tells_a_run_in_the_documented_shape() {
    let project = Project::of(CHAIN);
    project.run().exits(0);
    let run = project.show("p");
    assert_eq!(run["schema"], 1);
    assert_eq!(run["run_id"], DAY);
    assert_eq!((&run["pipeline"], &run["generation"]), (&json!("p"), &json!(1)));
    assert_eq!(run["trigger"], "manual");
    assert_eq!(run["logical_date"], "2026-01-05T06:00:00.000000Z");
    assert_eq!(run["version"].as_str().unwrap().len(), 64, "a SHA-256 in hexadecimal");
    // RFC 3339 to the microsecond, so that text sorts as time does.
    let instant = |value: &serde_json::Value| {
        let text = value.as_str().unwrap_or_else(|| panic!("{value} is no instant")).to_owned();
        assert!(text.len() == "2026-01-05T06:00:00.000000Z".len() && text.ends_with('Z'), "{text}");
        text
    };
    assert!(instant(&run["started_at"]) < instant(&run["ended_at"]));
    for name in ["extract", "check", "load"] {
        let task = &run["tasks"][name];
        assert_eq!(task["status"], "success", "{name}");
        assert_eq!(task["allowed_failure"], false, "{name}");
        assert_eq!(task["waiting_for"], json!([]), "{name}");
        assert_eq!(task["skipped_because"], json!(null), "{name}");
        assert!(task["fence"].as_u64().is_some_and(|fence| fence > 0), "{name}: {task}");
        let attempts = task["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{name}");
        assert_eq!(attempts[0]["number"], 1, "{name}");
        assert_eq!(attempts[0]["exit_code"], 0, "{name}");
        assert_eq!(attempts[0]["class"], json!(null), "{name}");
        assert!(instant(&attempts[0]["started_at"]) < instant(&attempts[0]["ended_at"]), "{name}");
        let log = attempts[0]["log"].as_str().unwrap();
        assert!(log.ends_with(&format!(".cauce/logs/p/{DAY}/{name}/1.log")), "{log}");
        assert!(std::path::Path::new(log).is_file(), "{log}");
    }
    let ended = |name: &str| instant(&run["tasks"][name]["attempts"][0]["ended_at"]);
    let started = |name: &str| instant(&run["tasks"][name]["attempts"][0]["started_at"]);
    assert!(ended("extract") <= started("check") && ended("check") <= started("load"));
}

#[test]
fn the_contract_of_a_task_is_in_its_environment() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
params: {rows: {type: integer, default: 7}}
tasks:
  tell: {container: {image: host, command: [env]}}
"#,
    );
    project.run().exits(0);
    let log = project.cauce(&["logs", "p/@latest", "tell"]).exits(0).data;
    for line in [
        "CAUCE_PIPELINE=p",
        "CAUCE_RUN_ID=2026-01-05",
        "CAUCE_TASK=tell",
        "CAUCE_ATTEMPT=1",
        "CAUCE_LOGICAL_DATE=2026-01-05T06:00:00Z",
        "CAUCE_DATA_INTERVAL_START=2026-01-05T06:00:00Z",
        "CAUCE_DATA_INTERVAL_END=2026-01-06T06:00:00Z",
        "CAUCE_PARAMS={\"rows\":7}",
    ] {
        assert!(log.lines().any(|found| found == line), "no '{line}' in:\n{log}");
    }
    for name in ["CAUCE_FENCE=", "CAUCE_OUTPUT_FILE=", "AWS_ENDPOINT_URL", "PATH="] {
        assert!(log.lines().any(|found| found.starts_with(name)), "no '{name}' in:\n{log}");
    }
}
