//! `cauce up`: the service of a machine, met as a person and systemd meet it.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Project, Started, is_alive, skipped};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

/// `held` tells its process through `ready`, then waits for a word through `hold`.
const HELD: &str = r#"
pipeline: p
defaults: {retry: {retries: 1}}
params: {who: {type: string, default: nobody}}
tasks:
  first: {container: {image: host, command: [sh, -c, "echo first >> ran"]}}
  held: {needs: [first], container: {image: host, command: [sh, -c, "echo held >> ran; echo $$ > ready; read word < hold"]}}
  last: {needs: [held], container: {image: host, command: [sh, -c, "echo $0 >> ran", "{{ params.who }}"]}}
"#;

const QUICK: &str =
    "pipeline: q\ntasks: {done: {container: {image: host, command: [sh, -c, 'echo done >> quick']}}}\n";

fn up(project: &Project, args: &[&str]) -> Started {
    let all: Vec<&str> = ["up"].iter().chain(args).copied().collect();
    project.start(&all)
}

pub(crate) fn ready(project: &Project) -> Started {
    let mut service = up(project, &[]);
    service.hears("ready: ");
    service
}

#[test]
fn a_run_goes_on_by_itself_after_kill_9() {
    let project = Project::of(HELD);
    let (ready_fifo, hold) = (project.fifo("ready"), project.fifo("hold"));
    let service = ready(&project);
    project
        .cauce(&["trigger", "p", "--param", "who=me", "--logical-date", "2026-01-05"])
        .exits(0)
        .shows("p/2026-01-05");
    let left = ready_fifo.hear();
    service.signal(Signal::KILL);
    assert_eq!(service.answer().exit, None, "it was killed");
    assert!(is_alive(&left), "nobody ends a group whose engine is gone");

    let mut service = up(&project, &[]);
    service.hears("p/2026-01-05 goes on (1 programs of it were left, and ended)");
    assert_ne!(ready_fifo.hear(), left);
    assert!(!is_alive(&left));
    hold.say("go");
    service.hears("p/2026-01-05 success");
    assert_eq!(project.lines("ran"), ["first", "held", "held", "me"]);
    assert_eq!(project.show("p")["generation"], 2);
    service.signal(Signal::TERM);
    service.answer().exits(0);
}

#[test]
fn what_may_start_at_most_once_is_not_started_again_by_itself() {
    let project = Project::of(&HELD.replace("retries: 1", "retries: 0"));
    let (ready_fifo, hold) = (project.fifo("ready"), project.fifo("hold"));
    let service = ready(&project);
    project.cauce(&["trigger", "p", "--param", "who=me", "--logical-date", "2026-01-05"]).exits(0);
    let left = ready_fifo.hear();
    service.signal(Signal::KILL);
    service.answer();
    let mut service = up(&project, &[]);
    service.hears("p/2026-01-05 failed");
    assert!(!is_alive(&left), "what was left is ended all the same");
    assert_eq!(project.lines("ran"), ["first", "held"]);
    project
        .cauce(&["why", "p/2026-01-05", "held"])
        .exits(0)
        .shows("the engine ended before it did, and its retries");
    service.signal(Signal::TERM);
    service.answer().exits(0);
    // Somebody decides that it may.
    let again = project.start(&["rerun", "p/2026-01-05"]);
    ready_fifo.hear();
    hold.say("go");
    again.answer().exits(0);
    assert_eq!(project.lines("ran"), ["first", "held", "held", "me"]);
}

#[test]
fn told_to_stop_it_stops_its_tasks_and_goes_on_with_them_at_its_next_start() {
    let project = Project::of(HELD);
    let (ready_fifo, hold) = (project.fifo("ready"), project.fifo("hold"));
    let service = ready(&project);
    project.cauce(&["trigger", "p", "--logical-date", "2026-01-05"]).exits(0);
    let task = ready_fifo.hear();
    service.signal(Signal::TERM);
    service.answer().exits(0).says("goes on with the next 'cauce up'");
    assert!(!is_alive(&task), "programs do not outlive their service");
    let mut service = up(&project, &[]);
    ready_fifo.hear();
    hold.say("go");
    service.hears("p/2026-01-05 success");
    service.signal(Signal::INT);
    service.answer().exits(0);
}

#[test]
fn one_serves_a_folder_and_another_stands_by() {
    let project = Project::of(QUICK);
    project.cauce(&["trigger", "q"]).exits(2).says("no 'cauce up' runs").says("cauce run FILE");
    let first = ready(&project);
    let id = first.id().to_string();
    up(&project, &[]).answer().exits(3).says(&format!("process {id}")).says(&format!("kill {id}"));
    let mut second = up(&project, &["--standby"]);
    second.hears("standing by");
    first.signal(Signal::KILL);
    second.hears("ready: 1 pipelines");
    project.cauce(&["trigger", "q", "--wait"]).exits(0);
    assert_eq!(project.lines("quick"), ["done"]);
    second.signal(Signal::TERM);
    second.answer().exits(0);
    first.answer();
}

#[test]
fn one_that_stands_by_can_be_told_to_stop() {
    let project = Project::of(QUICK);
    let first = ready(&project);
    let mut second = up(&project, &["--standby"]);
    second.hears("standing by");
    second.signal(Signal::TERM);
    second.answer().exits(0);
    first.signal(Signal::TERM);
    first.answer().exits(0);
}

#[test]
fn other_commands_work_beside_it() {
    let project = Project::of(HELD);
    project.write("q.yaml", QUICK);
    let (ready_fifo, hold) = (project.fifo("ready"), project.fifo("hold"));
    let mut service = ready(&project);
    // A run of this process's own, with its lock: the service leaves it alone.
    project.cauce(&["run", "q.yaml", "--logical-date", "2026-01-01"]).exits(0);
    assert_eq!(project.lines("quick"), ["done"]);
    project.cauce(&["trigger", "p", "--logical-date", "2026-01-05"]).exits(0);
    ready_fifo.hear();
    project.cauce(&["trigger", "p", "--logical-date", "2026-01-05"]).exits(2).says("is running");
    project.cauce(&["resume", "p/2026-01-05"]).exits(3).says("is being driven by process");
    project.cauce(&["cancel", "p/2026-01-05"]).exits(0);
    service.hears("p/2026-01-05 cancelled");
    project.cauce(&["mark", "p/2026-01-05", "held", "success"]).exits(0);
    project.cauce(&["trigger", "p", "--logical-date", "2026-01-05", "--again"]).exits(0);
    ready_fifo.hear();
    hold.say("go");
    service.hears("p/2026-01-05 success");
    project.cauce(&["pause", "q"]).exits(0);
    let listed = project.cauce(&["list", "--json"]).exits(0).json();
    let paused = |name: &str| {
        let all = listed["pipelines"].as_array().unwrap();
        all.iter().find(|one| one["pipeline"] == name).unwrap()["paused"].clone()
    };
    assert_eq!((paused("p"), paused("q")), (json!(false), json!(true)));
    project.cauce(&["unpause", "q"]).exits(0);
    project.cauce(&["trigger", "nothing"]).exits(2).says("is not deployed");
    service.signal(Signal::TERM);
    service.answer().exits(0);
}

#[test]
fn files_that_change_are_deployed_and_broken_ones_are_told_of_once() {
    let project = Project::of(QUICK);
    project.write("bad.yaml", "pipeline: bad\ntasks: {}\n");
    let mut service = up(&project, &[]);
    let said = service.hears("ready: 1 pipelines").join("\n");
    assert!(said.contains("bad: left as it was") && said.contains("bad.yaml:2"), "{said}");
    project.write("p.yaml", QUICK.replace("echo done", "echo changed"));
    service.hears("q: deployed");
    project.cauce(&["trigger", "q", "--wait"]).exits(0);
    project.write("p.yaml", "pipeline: q\ntasks: {done: {what: 1}}\n");
    service.hears("q: left as it was");
    project.write("good.yaml", "pipeline: good\ntasks: {one: {pass: {}}}\n");
    let said = service.hears("good: deployed").join("\n");
    assert!(!said.contains("left as it was"), "told twice: {said}");
    project.cauce(&["trigger", "q", "--wait"]).exits(0);
    assert_eq!(project.lines("quick"), ["changed", "changed"]);
    std::fs::remove_file(project.path("p.yaml")).unwrap();
    service.hears("q: no file defines it any more");
    project.cauce(&["trigger", "q"]).exits(2).says("is not deployed");
    service.signal(Signal::TERM);
    service.answer().exits(0);
}

/// Starts once for each file below `in/`, and writes its key down.
const FILED: &str = r#"
pipeline: f
triggers:
  - file: {bucket: drop, keys: ["in/{name}.csv"]}
max_active_runs: 300
tasks:
  note: {container: {image: host, command: [sh, -c, "echo \"$0\" >> seen", "{{ trigger.events[0].key }}"]}}
"#;

fn seen(project: &Project) -> Vec<String> {
    let mut seen = project.lines("seen");
    seen.sort();
    seen
}

fn ended(service: &mut Started, runs: usize) {
    for _ in 0..runs {
        service.hears(" success");
    }
}

#[test]
fn a_file_that_arrives_is_a_run_once_it_is_complete_and_never_twice() {
    let project = Project::of(FILED);
    let drop = |key: &str| project.path(&format!(".cauce/objects/drop/{key}"));
    // There before anybody watched: found by looking, once it has stood for a while.
    project.write(".cauce/objects/drop/in/early.csv", "1");
    let mut service = ready(&project);
    ended(&mut service, 1);
    // Keys as people write them, in folders that were not there.
    project.write(".cauce/objects/drop/in/a b+c ñ.csv", "1");
    project.write(".cauce/objects/drop/in/not-wanted.txt", "1");
    ended(&mut service, 1);
    // Half a file is none: it counts when its writer closes it.
    let mut half = std::fs::File::create(drop("in/half.csv")).unwrap();
    half.write_all(b"one,").unwrap();
    half.sync_all().unwrap();
    project.write(".cauce/objects/drop/in/whole.csv", "1");
    ended(&mut service, 1);
    assert_eq!(seen(&project), ["in/a b+c ñ.csv", "in/early.csv", "in/whole.csv"]);
    half.write_all(b"two").unwrap();
    std::mem::drop(half);
    ended(&mut service, 1);
    // Renamed into its place, with a time of long ago.
    project.write("aside.csv", "1");
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(project.path("aside.csv")).unwrap().set_modified(old).unwrap();
    std::fs::rename(project.path("aside.csv"), drop("in/moved.csv")).unwrap();
    ended(&mut service, 1);
    // Other content is another arrival.
    project.write(".cauce/objects/drop/in/whole.csv", "2");
    ended(&mut service, 1);
    let all =
        ["in/a b+c ñ.csv", "in/early.csv", "in/half.csv", "in/moved.csv", "in/whole.csv", "in/whole.csv"];
    assert_eq!(seen(&project), all);
    // Asked to look, nobody finds anything new; nor does the next service.
    project.cauce(&["triggers", "scan", "f"]).exits(0).says("5 duplicate");
    service.signal(Signal::KILL);
    service.answer();
    project.write(".cauce/objects/drop/in/meanwhile.csv", "1");
    let mut service = ready(&project);
    ended(&mut service, 1);
    service.signal(Signal::TERM);
    service.answer().exits(0);
    assert_eq!(seen(&project).len(), all.len() + 1);
}

#[test]
fn many_files_told_twice_through_a_death_are_one_run_each() {
    const FILES: usize = 120;
    let project = Project::of(FILED);
    let put = |number: usize| {
        let path = project.path(&format!(".cauce/objects/drop/in/{number}.csv"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, number.to_string()).unwrap();
        if number.is_multiple_of(3) {
            // Opened for writing and closed: the system tells again, of the same content.
            std::mem::drop(std::fs::File::options().append(true).open(&path).unwrap());
        }
    };
    let mut service = ready(&project);
    // In an order that has nothing to do with their names.
    let order: Vec<usize> = (0..FILES).map(|number| number * 77 % FILES).collect();
    order[..FILES / 2].iter().copied().for_each(put);
    ended(&mut service, 20);
    service.signal(Signal::KILL);
    service.answer();
    order[FILES / 2..].iter().copied().for_each(put);
    let mut service = ready(&project);
    // Runs that were under way go on; a file that is told again starts nothing.
    while project.lines("seen").iter().collect::<std::collections::BTreeSet<_>>().len() < FILES {
        service.hears(" success");
    }
    let runs = project.cauce(&["runs", "--limit", "1000", "--json"]).exits(0).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), FILES);
    service.signal(Signal::TERM);
    service.answer().exits(0);
}

#[test]
fn systemd_hears_that_it_is_ready_and_that_it_stops() {
    let project = Project::of(QUICK);
    let path = project.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let hear = || {
        let mut word = [0; 64];
        let length = socket.recv(&mut word).unwrap();
        String::from_utf8(word[..length].to_vec()).unwrap()
    };
    let service = project.start_with(&[("NOTIFY_SOCKET", path.to_str().unwrap())], &["up"]);
    assert_eq!(hear(), "READY=1");
    service.signal(Signal::TERM);
    assert_eq!(hear(), "STOPPING=1");
    service.answer().exits(0);
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = include_str!("../../infra/systemd/cauce.service");
    // The program, the user and the folder are the reader's; here they are what every machine has.
    let unit = unit.replace("/usr/local/bin/cauce", "/bin/true").replace("=cauce\n", "=root\n");
    let project = Project::new();
    project.write("cauce.service", unit.replace("/srv/pipelines", "/tmp"));
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(project.path("cauce.service"))
        .output();
    let Ok(verify) = verify else { return skipped("systemd-analyze (Debian package systemd)") };
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success() && said.trim().is_empty(), "{said}");
}
