//! A disk that gives back what nobody wrote: the command says what is damaged and what to do, exit 3.

use std::fs;
use std::path::PathBuf;

use crate::harness::Project;

/// `big` returns more than the store keeps in an item.
const PIPELINE: &str = r#"
pipeline: p
defaults: {retry: {retries: 0}}
tasks:
  big: {container: {image: host, command: [sh, -c, 'printf "{\"n\": \"%020000d\"}" 7 > "$CAUCE_OUTPUT_FILE"']}, returns: {n: string}}
  next: {needs: [big], container: {image: host, command: [sh, -c, "echo x >> ran; test -e good", "{{ outputs.big.n | length }}"]}}
"#;

/// A project whose run has ended badly, with everything written and no process left.
fn ended() -> Project {
    let project = Project::of(PIPELINE);
    project.run().exits(1);
    project
}

/// The only file below a folder of the state.
fn document(project: &Project, kind: &str) -> PathBuf {
    let mut path = project.path(".cauce/documents").join(kind);
    while path.is_dir() {
        path = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    }
    path
}

#[test]
fn a_bit_flipped_in_the_store_is_told_by_every_command_and_written_over_by_none() {
    let project = ended();
    let table = project.path(".cauce/table.sqlite");
    let mut bytes = fs::read(&table).unwrap();
    let word = br#""status":"failed""#;
    let at = bytes.windows(word.len()).position(|found| found == word).unwrap();
    bytes[at + 10] ^= 2;
    fs::write(&table, &bytes).unwrap();
    let commands: [&[&str]; 5] = [
        &["show", "p/@latest"],
        &["runs"],
        &["rerun", "p/@latest"],
        &["run", "p.yaml", "--logical-date", "2026-01-07"],
        &["why", "p/@latest"],
    ];
    for command in commands {
        let answer = project.cauce(command).exits(3);
        answer.says("table.sqlite").says("is damaged").says("restore the file from a copy, or move it away");
    }
    assert_eq!(fs::read(&table).unwrap(), bytes);
    assert_eq!(project.lines("ran").len(), 1, "nothing was started");
    fs::remove_file(&table).unwrap();
    project.write("good", "");
    project.run().exits(0);
}

#[test]
fn a_plan_that_was_cut_off_is_told_and_written_anew_by_the_next_run_of_its_file() {
    let project = ended();
    let plan = document(&project, "plans");
    let whole = fs::read(&plan).unwrap();
    fs::write(&plan, &whole[..whole.len() / 2]).unwrap();
    let name = plan.file_name().unwrap().to_str().unwrap();
    let told = project.cauce(&["show", "p/@latest"]).exits(3).says(name);
    told.says("is damaged").says("start a run of the pipeline's file");
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-07"]).exits(1);
    assert_eq!(fs::read(&plan).unwrap(), whole);
    project.cauce(&["show", "p/@latest"]).exits(0);
    // A bit that leaves it readable: the file of the pipeline says better.
    let mut flipped = whole.clone();
    let at = flipped.windows(8).position(|found| found == b"timeout_").unwrap();
    flipped[at] ^= 1;
    fs::write(&plan, flipped).unwrap();
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-08"]).exits(1);
    assert_eq!(fs::read(&plan).unwrap(), whole);
}

#[test]
fn definitions_that_were_cut_off_are_told_with_their_file() {
    let project = ended();
    let deployment = document(&project, "deployments");
    let bytes = fs::read(&deployment).unwrap();
    fs::write(&deployment, &bytes[..100]).unwrap();
    let name = deployment.file_name().unwrap().to_str().unwrap();
    project
        .cauce(&["rerun", "p/@latest"])
        .exits(3)
        .says(name)
        .says("is damaged")
        .says("restore it from a copy");
    assert_eq!(project.lines("ran").len(), 1, "nothing was started");
}

/// A project whose run was left by its engine, and the file of its definitions, cut off.
fn interrupted(tasks: &str) -> (Project, PathBuf) {
    let project = Project::of(&format!("pipeline: p\ntasks:\n{tasks}"));
    let ready = project.fifo("ready");
    let mut run = project.start(&["run", "p.yaml", "--logical-date", "2026-01-05"]);
    ready.hear();
    run.hears("hold running");
    run.signal(rustix::process::Signal::KILL);
    run.answer();
    let deployment = document(&project, "deployments");
    let bytes = fs::read(&deployment).unwrap();
    fs::write(&deployment, &bytes[..100]).unwrap();
    (project, deployment)
}

const HOLD: &str =
    "  hold: {container: {image: host, command: [sh, -c, 'echo ready > ready; exec sleep 1000']}}\n";

const RENTED: &str = "  rent: {setup: true, container: {image: host, command: [\"true\"]}}
  hold: {needs: [rent], container: {image: host, command: [sh, -c, 'echo ready > ready; exec sleep 1000']}}
  give_back: {teardown_of: [rent], container: {image: host, command: [sh, -c, 'echo back >> ran']}}\n";

#[test]
fn definitions_that_were_cut_off_are_written_anew_by_any_run_of_the_same_file() {
    let (project, deployment) = interrupted(HOLD);
    let run = ["run", "p.yaml", "--logical-date", "2026-01-05"];
    project.cauce(&["resume", "p/@latest"]).exits(3).says("start a run of the pipeline's file as it was");
    project.cauce(&run).exits(2).says("cauce resume p/2026-01-05");
    let whole = fs::read(&deployment).unwrap();
    assert!(whole.len() > 100 && whole.ends_with(b"}"));
    // A bit that leaves it readable: the file says better.
    let mut flipped = whole.clone();
    let at = flipped.windows(8).position(|found| found == b"timeout_").unwrap();
    flipped[at] ^= 1;
    fs::write(&deployment, flipped).unwrap();
    project.cauce(&run).exits(2);
    assert_eq!(fs::read(&deployment).unwrap(), whole);
    project.cauce(&["cancel", "p/@latest"]).exits(0).says("p/2026-01-05 is cancelled");
}

#[test]
fn a_run_is_cancelled_although_its_definitions_were_cut_off() {
    let (project, _) = interrupted(RENTED);
    project.cauce(&["cancel", "p/@latest"]).exits(0).says("p/2026-01-05 is cancelled");
    assert_eq!(project.lines("ran"), ["back"], "what its file says takes away what it has set up");
    // The file is another one by now: what the cancel needs of it is in the plan, unless it has to run something.
    let (project, again) = interrupted(HOLD);
    project.write("p.yaml", "pipeline: p\ntasks: {other: {pass: {}}}\n");
    let name = again.file_name().unwrap().to_str().unwrap();
    let told = project.cauce(&["cancel", "p/@latest"]).exits(0).says("p/2026-01-05 is cancelled");
    told.says("warning: ").says(name).says("is damaged");
    let (project, again) = interrupted(RENTED);
    project.write("p.yaml", "pipeline: p\ntasks: {other: {pass: {}}}\n");
    let name = again.file_name().unwrap().to_str().unwrap();
    project.cauce(&["cancel", "p/@latest"]).exits(3).says(name).says("restore it from a copy");
}

#[test]
fn a_folder_that_is_not_whole_is_told_and_its_runs_are_there() {
    let project = ended();
    let format = project.path(".cauce/format");
    let warning = "the state folder was not whole: .cauce/format was missing or empty, and is written again";
    for command in [["show", "p/@latest"], ["why", "p/@latest"], ["runs", "--json"]] {
        fs::remove_file(&format).unwrap();
        project.cauce(&command).exits(0).says(warning).shows("2026-01-05");
        let again = project.cauce(&command).exits(0);
        assert!(!again.talk.contains("not whole"), "{}", again.talk);
        fs::write(&format, "").unwrap();
        project.cauce(&command).exits(0).says(warning);
    }
    fs::remove_file(&format).unwrap();
    project.run().exits(1).says(warning);
    fs::write(&format, "x").unwrap();
    project.cauce(&["runs"]).exits(2).says(".cauce/format does not hold the number of a format");
}

#[test]
fn a_store_that_is_empty_or_gone_without_its_log_is_told_as_what_it_is() {
    let project = ended();
    let table = project.path(".cauce/table.sqlite");
    let bytes = fs::read(&table).unwrap();
    fs::write(&table, "").unwrap();
    for command in [&["runs"][..], &["run", "p.yaml"]] {
        let told = project.cauce(command).exits(3).says("table.sqlite: it is empty");
        told.says("restore the file from a copy, or move it away");
    }
    fs::remove_file(&table).unwrap();
    fs::write(project.path(".cauce/table.sqlite-wal"), "frames").unwrap();
    project.run().exits(3).says("table.sqlite is gone").says("table.sqlite-wal, which belongs to it");
    assert!(!table.exists(), "no other store takes what the log holds");
    fs::write(&table, bytes).unwrap();
    project.cauce(&["runs"]).exits(0).shows("p/2026-01-05");
}

#[test]
fn an_output_that_was_cut_off_fails_the_task_that_reads_it_and_names_the_file() {
    let project = ended();
    let output = document(&project, "outputs");
    let bytes = fs::read(&output).unwrap();
    assert!(bytes.len() > 8 * 1024);
    fs::write(&output, &bytes[..bytes.len() - 3]).unwrap();
    project.write("good", "");
    project.cauce(&["rerun", "p/@latest"]).exits(1).says("is not JSON").says("outputs");
    assert_eq!(project.lines("ran").len(), 1, "the task was not started");
    let run = project.show("p");
    assert_eq!(
        (&run["tasks"]["big"]["status"], &run["tasks"]["next"]["status"]),
        (&"success".into(), &"failed".into())
    );
    // The way out: the output is made again.
    project.cauce(&["rerun", "p/@latest", "--task", "big", "--downstream"]).exits(0);
}
