//! Pools and locks shared by processes: one at a time, in line, and everybody can see it.

use crate::harness::{DAY, Project};

const FETCH: &str = r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  fetch:
    container: {image: host, command: [sh, -c, "echo ready > ready; read word < hold"]}
    pools: {sftp: 1, db: 2}
    lock: "partition-{{ ds }}"
"#;

#[test]
fn a_pool_is_shared_by_two_pipelines_in_two_processes() {
    let project = Project::of(FETCH);
    project.write("cauce.yaml", "images:\n  host: {local: []}\npools: {sftp: {slots: 1}, db: 2}\n");
    project.write(
        "q.yaml",
        FETCH.replace("pipeline: p", "pipeline: q").replace("    lock", "    priority: 4\n    lock"),
    );
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let first = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    let second = project.start(&["run", "q.yaml", "--logical-date", DAY]);
    let shown = loop {
        let shown = project.cauce(&["pools", "sftp", "--json"]).exits(0).json();
        if shown["pools"][0]["waiting"].as_array().is_some_and(|line| !line.is_empty()) {
            break shown;
        }
    };
    let pool = &shown["pools"][0];
    assert_eq!((&pool["slots"], &pool["used"]), (&1.into(), &1.into()));
    assert_eq!(pool["holders"][0]["holder"], format!("fetch of p/{DAY}"));
    assert_eq!(pool["waiting"][0]["waiter"], format!("fetch of q/{DAY}"));
    assert_eq!((&pool["waiting"][0]["priority"], &pool["waiting"][0]["position"]), (&4.into(), &1.into()));
    let lock = project.cauce(&["pools", &format!("lock:partition-{DAY}"), "--json"]).exits(0).json();
    assert_eq!(lock["pools"][0]["slots"], 1);
    project.cauce(&["pools"]).exits(0).shows("db").shows("wants 2, number 1");
    // Neither passes the other: the second's task can only be met after the first has ended.
    hold.say("go");
    first.answer().exits(0);
    ready.hear();
    hold.say("go");
    second.answer().exits(0);
    let left = project.cauce(&["pools", "--json"]).exits(0).json();
    assert!(left["pools"].as_array().unwrap().iter().all(|pool| pool["used"] == 0), "{left}");
    project.cauce(&["pools", "none"]).exits(2).says("there is no pool 'none'");
}

#[test]
fn a_pool_smaller_than_what_is_asked_is_refused_before_anything_runs() {
    let project = Project::of(&FETCH.replace("read word < hold", "true").replace("echo ready > ready; ", ""));
    project.write("cauce.yaml", "images:\n  host: {local: []}\npools: {sftp: {slots: 1}, db: 1}\n");
    project.run().exits(2).says("C105").says("never come");
}
