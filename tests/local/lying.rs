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
