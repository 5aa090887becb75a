//! The container entrypoint: exit codes, signals, and the delivered output.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::lake::Lake;

fn entrypoint(lake: &Lake) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cauce-run"));
    command.current_dir(lake.path("")).stderr(Stdio::piped());
    command
}

#[test]
fn the_output_is_delivered_and_the_exit_code_passed_on() {
    let lake = Lake::new();
    for (script, code, output) in [
        ("printf '{\"a\":1}' > \"$CAUCE_OUTPUT_FILE\"", 0, Some("{\"a\":1}")),
        ("printf '{\"b\":2}' > \"$CAUCE_OUTPUT_FILE\"; exit 7", 7, Some("{\"b\":2}")),
        ("exit 3", 3, None),
        ("kill -9 $$", 137, None),
    ] {
        let _ = std::fs::remove_file(lake.path("out/answer.json"));
        let done = entrypoint(&lake)
            .args(["--", "sh", "-c", script])
            .env("CAUCE_OUTPUT_URI", "out/answer.json")
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(code), "{script}");
        let found = std::fs::read_to_string(lake.path("out/answer.json")).ok();
        assert_eq!(found.as_deref(), output, "{script}");
    }
}

#[test]
fn an_output_over_the_limit_is_not_delivered_and_fails_the_task() {
    let lake = Lake::new();
    let done = entrypoint(&lake)
        .args(["sh", "-c", "head -c 262145 /dev/zero > \"$CAUCE_OUTPUT_FILE\""])
        .env("CAUCE_OUTPUT_URI", "answer.json")
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&done.stderr).contains("more than 262144"));
    assert!(!lake.path("answer.json").exists());
}

#[test]
fn a_program_that_is_not_there_is_127() {
    let lake = Lake::new();
    let done = entrypoint(&lake).arg("no-such-program").output().unwrap();
    assert_eq!(done.status.code(), Some(127));
    assert_eq!(entrypoint(&lake).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_program_that_is_over_its_time_is_ended_and_delivers_nothing() {
    let lake = Lake::new();
    // Nothing is waited for: the time is over as soon as it begins. The second does not hear SIGTERM, the third ends
    // well on it.
    for script in
        ["exec sleep 600", "trap '' TERM; sleep 600; sleep 600", "trap 'exit 0' TERM; sleep 600 & wait"]
    {
        let done = entrypoint(&lake)
            .args(["--", "sh", "-c", &format!("printf '{{}}' > \"$CAUCE_OUTPUT_FILE\"; {script}")])
            .env("CAUCE_OUTPUT_URI", "late.json")
            .envs([("CAUCE_TIMEOUT_SECONDS", "0"), ("CAUCE_STOP_TIMEOUT_SECONDS", "0")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(124), "{script}: {said}");
        assert!(said.contains("over its time of 0 s"), "{said}");
        assert!(!lake.path("late.json").exists(), "{script}");
    }
    let done = entrypoint(&lake).arg("true").env("CAUCE_TIMEOUT_SECONDS", "soon").output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let done = entrypoint(&lake).arg("true").env("CAUCE_TIMEOUT_SECONDS", "600").output().unwrap();
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn a_program_that_does_not_end_on_a_stop_is_killed_after_its_own_stop_timeout() {
    let lake = Lake::new();
    let mut running = entrypoint(&lake)
        .args(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 600; done"])
        .env("CAUCE_STOP_TIMEOUT_SECONDS", "0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let stop = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
    assert!(stop.success());
    assert_eq!(running.wait().unwrap().code(), Some(137));
}

#[test]
fn a_stop_reaches_the_whole_group() {
    let lake = Lake::new();
    // The program ends with its child's code, and the child with 5 on SIGTERM: 5 tells that both were reached.
    let script = "trap 'wait $child; exit $?' TERM
        sh -c 'trap \"exit 5\" TERM; echo ready; sleep 600 & wait $!' & child=$!
        echo ready
        wait $child";
    let mut running = entrypoint(&lake).args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    assert_eq!(
        (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap()),
        ("ready".into(), "ready".into())
    );
    let stop = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
    assert!(stop.success());
    assert_eq!(running.wait().unwrap().code(), Some(5));
}
