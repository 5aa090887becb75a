//! Commands about runs: runs, list, show, logs, why, pause.

use super::Project;

const MIXED: &str = "\
pipeline: mixed
schedule: \"0 6 * * *\"
defaults: {retry: {retries: 0}}
tasks:
  good: {container: {image: host, command: [printf, \"day {{ ds }}\\n\"]}}
  bad: {needs: [good], container: {image: host, command: [\"false\"]}}
  after: {needs: [bad], pass: {}}
  far: {needs: [after], pass: {}}
  pick: {needs: [good], branch: [{if: \"{{ 1 == 1 }}\", to: left}, {else: right}]}
  left: {needs: [pick], pass: {}}
  right: {needs: [pick], pass: {}}
";

/// A project in which `mixed` ran once, and failed.
fn ran() -> Project {
    let project = Project::local();
    project.write("mixed.yaml", MIXED);
    project.cauce(&["run", "mixed.yaml", "--logical-date", "2026-01-05"]).exits(1);
    project
}

#[test]
fn looking_at_a_project_that_never_ran_creates_nothing() {
    let project = Project::local();
    project.write("mixed.yaml", MIXED);
    project.cauce(&["runs"]).exits(0).says("no runs yet");
    assert_eq!(project.cauce(&["runs", "--json"]).exits(0).json()["runs"], serde_json::json!([]));
    project.cauce(&["show", "mixed/@latest"]).exits(2).says("no runs yet").says("cauce run FILE");
    project.cauce(&["list"]).exits(0).shows("mixed.yaml");
    project.cauce(&["triggers"]).exits(0).says("no runs yet");
    project.cauce(&["triggers", "scan", "mixed"]).exits(2).says("no 'cauce up' runs");
    project.cauce(&["triggers", "--became", "late"]).exits(2).says("write one of run, duplicate, stale");
    assert!(!project.path().join(".cauce").exists());
}

#[test]
fn a_run_is_found_by_each_of_its_names() {
    let project = ran();
    for name in ["mixed/2026-01-05", "mixed/@latest", "2026-01-05"] {
        project.cauce(&["show", name]).exits(0).shows("mixed/2026-01-05");
    }
    project.cauce(&["show", "mixed/2026-01-06"]).exits(2).says("did you mean mixed/2026-01-05?");
    project.cauce(&["show", "@latest"]).exits(2).says("pipeline/@latest");
    project.write("other.yaml", MIXED.replace("mixed", "other"));
    project.cauce(&["run", "other.yaml", "--logical-date", "2026-01-05"]).exits(1);
    project.cauce(&["show", "2026-01-05"]).exits(2).says("several pipelines").says("other/2026-01-05");
}

#[test]
fn show_tells_every_task_and_attempt() {
    let project = ran();
    let run = project.cauce(&["show", "mixed/@latest", "--json"]).exits(0).json();
    assert_eq!(run["schema"], 1);
    assert_eq!((&run["status"], &run["pipeline"]), (&"failed".into(), &"mixed".into()));
    assert_eq!(run["logical_date"], "2026-01-05T06:00:00.000000Z");
    let tasks = &run["tasks"];
    assert_eq!(tasks["good"]["attempts"][0]["exit_code"], 0);
    assert_eq!(tasks["bad"]["attempts"][0]["class"], "exit");
    assert_eq!(tasks["bad"]["attempts"][0]["exit_code"], 1);
    assert_eq!(tasks["after"]["status"], "upstream_failed");
    assert!(tasks["right"]["skipped_because"].as_str().is_some_and(|why| why.contains("pick")), "{tasks}");
    let log = tasks["good"]["attempts"][0]["log"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(log).unwrap(), "day 2026-01-05\n");
    project.cauce(&["show", "mixed/@latest"]).exits(0).shows("upstream_failed").shows("failed");
}

#[test]
fn runs_are_listed_newest_first_and_filtered() {
    let project = ran();
    project.cauce(&["run", "mixed.yaml", "--logical-date", "2026-01-06"]).exits(1);
    let all = project.cauce(&["runs", "--json"]).exits(0).json();
    let ids: Vec<&str> =
        all["runs"].as_array().unwrap().iter().filter_map(|run| run["run_id"].as_str()).collect();
    assert_eq!(ids, ["2026-01-06", "2026-01-05"]);
    let one = project.cauce(&["runs", "--limit", "1", "--json"]).exits(0).json();
    assert_eq!(one["runs"][0]["run_id"], "2026-01-06");
    project.cauce(&["runs", "--status", "success"]).exits(0).says("no run is like that");
    project.cauce(&["runs", "--pipeline", "mixed", "--status", "failed"]).exits(0).shows("mixed/2026-01-05");
    project.cauce(&["runs", "--since", "2999-01-01"]).exits(0).says("no run is like that");
    project.cauce(&["list"]).exits(0).shows("2026-01-06  failed");
}

#[test]
fn why_leads_from_what_did_not_run_to_what_failed() {
    let project = ran();
    let all = project.cauce(&["why", "mixed/@latest"]).exits(0);
    let all = all.shows("mixed/2026-01-05 is failed").shows("cauce rerun mixed/2026-01-05");
    let _ = all.shows("exit code 1").shows("cauce logs mixed/2026-01-05 bad");
    let far = project.cauce(&["why", "mixed/@latest", "far"]).exits(0);
    let _ = far.shows("cannot be met after after (upstream_failed)").shows("it began with bad (failed)");
    project.cauce(&["why", "mixed/@latest", "right"]).exits(0).shows("pick");
    project.cauce(&["why", "mixed/@latest", "good"]).exits(0).shows("it succeeded with attempt 1");
    project.cauce(&["why", "mixed/@latest", "god"]).exits(2).says("did you mean 'good'?");
    let json = project.cauce(&["why", "mixed/@latest", "--json"]).exits(0).json();
    assert_eq!(json["tasks"]["bad"]["status"], "failed");
}

#[test]
fn why_says_a_code_once_and_leads_to_a_run_that_was_started() {
    let project = Project::local();
    let dies = "pipeline: child\ntasks:\n  dies:\n    container: {image: host, command: [sh, -c, \"kill -9 $$\"]}\n    \
                retry: {retries: 0}\n";
    project.write("child.yaml", dies);
    project.write(
        "parent.yaml",
        "pipeline: parent\ntasks:\n  calls: {pipeline: {name: child, logical_date: \"{{ ds }}\"}}\n",
    );
    project.cauce(&["run", "parent.yaml", "--logical-date", "2026-01-05"]).exits(1);
    let calls = project.cauce(&["why", "parent/2026-01-05", "calls"]).exits(0);
    let _ = calls
        .shows("ended with class exit: dies failed: killed (exit code 137)")
        .shows("it started the run child/2026-01-05; 'cauce why child/2026-01-05' goes on from there");
    let dies = project.cauce(&["why", "child/2026-01-05", "dies"]).exits(0);
    let _ = dies.shows("ended with class killed: killed (exit code 137)\n");
}

#[test]
fn a_backfill_says_which_of_several_schedules_it_follows() {
    let project = Project::local();
    let two = "[{cron: \"0 6 * * *\"}, {cron: \"30 14 * * 1\"}]";
    project.write("mixed.yaml", MIXED.replace("\"0 6 * * *\"", two));
    let range = ["backfill", "mixed.yaml", "--from", "2026-01-05", "--to", "2026-01-05", "--dry-run"];
    project.cauce(&range).exits(0).says("mixed has 2 schedules; these are the data intervals of the first");
}

#[test]
fn logs_are_printed_and_their_absence_explained() {
    let project = ran();
    let log = project.cauce(&["logs", "mixed/@latest", "good"]).exits(0);
    assert_eq!(log.data, "day 2026-01-05\n");
    // An attempt that has ended is not waited for.
    let followed = project.cauce(&["logs", "mixed/@latest", "good", "--follow"]).exits(0);
    assert_eq!(followed.data, "day 2026-01-05\n");
    project.cauce(&["logs", "mixed/@latest", "good", "--attempt", "4"]).exits(2).says("no attempt 4");
    project.cauce(&["logs", "mixed/@latest", "pick"]).exits(2).says("starts no program");
    project.cauce(&["logs", "mixed/@latest", "good", "--item", "0"]).exits(2).says("not mapped");
}

#[test]
fn a_paused_pipeline_says_so_until_it_is_no_longer() {
    let project = Project::local();
    project.write("mixed.yaml", MIXED);
    project.cauce(&["pause", "mixed"]).exits(0).says("paused");
    project.cauce(&["list"]).exits(0).shows("paused");
    // A run that a person starts is not held back, and keeps the mark.
    project.cauce(&["run", "mixed.yaml", "--logical-date", "2026-01-05"]).exits(1);
    assert_eq!(project.cauce(&["list", "--json"]).exits(0).json()["pipelines"][0]["paused"], true);
    project.cauce(&["unpause", "mixed"]).exits(0);
    assert_eq!(project.cauce(&["list", "--json"]).exits(0).json()["pipelines"][0]["paused"], false);
    project.cauce(&["pause", "mixd"]).exits(2).says("did you mean 'mixed'?");
}

#[test]
fn a_state_folder_of_a_newer_version_is_left_alone() {
    let project = ran();
    project.write(".cauce/format", "99\n");
    project.cauce(&["runs"]).exits(2).says("newer version");
}

#[test]
fn a_run_whose_engine_is_gone_is_told_as_interrupted() {
    let project = Project::local();
    project.write(
        "slow.yaml",
        "pipeline: slow\ntasks:\n  nap: {container: {image: host, command: [sleep, \"600\"]}}\n",
    );
    let mut engine = project.command(["run", "slow.yaml", "--logical-date", "2026-01-05"]);
    let mut engine = engine.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The engine says when the task runs; then it is killed, and cannot tidy up.
    let talk = std::io::BufReader::new(engine.stderr.take().unwrap());
    let started =
        std::io::BufRead::lines(talk).map_while(Result::ok).any(|line| line.contains("nap running"));
    assert!(started);
    let why = project.cauce(&["why", "slow/@latest"]).exits(0);
    let _ = why.shows("slow/2026-01-05 is running").shows(&format!("process {} drives it", engine.id()));
    engine.kill().unwrap();
    engine.wait().unwrap();
    project
        .cauce(&["show", "slow/@latest"])
        .exits(0)
        .shows("interrupted")
        .says("cauce resume slow/2026-01-05");
    project.cauce(&["why", "slow/@latest"]).exits(0).shows("is interrupted").shows("cauce resume");
    let run = project.cauce(&["show", "slow/@latest", "--json"]).exits(0).json();
    assert_eq!((&run["status"], &run["interrupted"]), (&"running".into(), &true.into()));
    // Nothing may be left behind: cancelling needs the survivors ended first.
    project.cauce(&["cancel", "slow/@latest"]);
}
