//! Tasks and machines that misbehave.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{DAY, Project, is_alive, skipped};

/// Runs one task, a shell script with two retries that take no time, and gives its record.
fn failing(script: &str, settings: &str) -> (Project, Value) {
    let project = Project::of(&format!(
        "pipeline: p
schedule: \"0 6 * * *\"
tasks:
  t:
    container: {{image: host, command: [sh, task.sh]}}
    retry: {{retries: 2, delay: 0s}}
    {settings}
"
    ));
    project.write("task.sh", script);
    project.run().exits(1);
    let task = project.show("p")["tasks"]["t"].take();
    assert_eq!(task["status"], "failed");
    (project, task)
}

/// The one attempt of a task that is not tried again: its class and message.
fn only_attempt(task: &Value) -> (&str, &str) {
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "no retry mends this: {attempts:?}");
    (attempts[0]["class"].as_str().unwrap(), attempts[0]["message"].as_str().unwrap_or_default())
}

#[test]
fn a_bad_output_is_a_mistake_of_the_task_and_is_not_retried() {
    let cases = [
        ("not JSON", "echo nonsense > $CAUCE_OUTPUT_FILE", "", "JSON"),
        ("not an object", "echo '[1, 2]' > $CAUCE_OUTPUT_FILE", "", "object"),
        (
            "over 256 KiB",
            "printf '{\"x\": \"' > $CAUCE_OUTPUT_FILE; head -c 262144 /dev/zero | tr '\\0' a >> $CAUCE_OUTPUT_FILE; printf '\"}' >> $CAUCE_OUTPUT_FILE",
            "",
            "262144",
        ),
        (
            "a field is missing",
            "echo '{\"a\": 1}' > $CAUCE_OUTPUT_FILE",
            "returns: {a: integer, b: string}",
            "b",
        ),
        (
            "a field of another type",
            "echo '{\"a\": \"one\"}' > $CAUCE_OUTPUT_FILE",
            "returns: {a: integer}",
            "a",
        ),
        ("nothing where something is declared", "true", "returns: {a: integer}", "a"),
        ("not UTF-8", "printf '\\377\\376' > $CAUCE_OUTPUT_FILE", "", "JSON"),
    ];
    for (what, script, settings, words) in cases {
        let (_project, task) = failing(script, settings);
        let (class, message) = only_attempt(&task);
        assert_eq!(class, "config", "{what}: {message}");
        assert!(message.contains(words), "{what}: {message}");
    }
}

#[test]
fn the_largest_output_is_taken_whole() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  t: {container: {image: host, command: [sh, task.sh]}}\n",
    );
    // 256 KiB with the braces, the key and the quotes.
    project.write(
        "task.sh",
        "printf '{\"x\":\"' > $CAUCE_OUTPUT_FILE; head -c 262136 /dev/zero | tr '\\0' a >> $CAUCE_OUTPUT_FILE; printf '\"}' >> $CAUCE_OUTPUT_FILE",
    );
    project.run().exits(0);
    assert_eq!(project.show("p")["tasks"]["t"]["output"]["x"].as_str().unwrap().len(), 262_136);
}

#[test]
fn a_missing_command_is_told_once_and_clearly() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  t: {container: {image: host, command: [no-such-program]}, retry: {retries: 3, delay: 1h}}\n",
    );
    project.run().exits(1).says("no-such-program");
    let task = project.show("p")["tasks"]["t"].take();
    let (class, message) = only_attempt(&task);
    assert_eq!(class, "image_missing");
    assert!(message.contains("no-such-program") && message.contains("$PATH"), "{message}");
}

#[test]
fn a_task_that_ignores_sigterm_is_killed_after_its_stop_timeout() {
    let (project, task) = failing(
        "trap '' TERM\necho $$ > pid\nwhile :; do sleep 1; done\n",
        "timeout: 1s\n    stop_timeout: 1s",
    );
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "a timeout is retried: {attempts:?}");
    for attempt in attempts {
        assert_eq!(attempt["class"], "timeout", "{attempt}");
    }
    assert!(!is_alive(project.read("pid").trim()));
}

/// Says so in `beside` where the program whose number is in `pid` is there, and becomes the one whose number is.
const ALONE: &str =
    "[ -s pid ] && kill -0 $(cat pid) 2>/dev/null && echo $CAUCE_TASK >> beside\necho $$ > pid\n";

#[test]
fn a_program_that_goes_on_after_its_time_keeps_its_lock_until_it_has_ended() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  stays: {lock: one, container: {image: host, command: \
         [sh, stays.sh]}, timeout: 1s, stop_timeout: 2s, retry: {retries: 1, delay: 1s}}\n  after: {lock: one, container: {image: \
         host, command: [sh, after.sh]}}\n",
    );
    project.write("stays.sh", format!("{ALONE}trap '' TERM\nwhile :; do sleep 1; done\n"));
    project.write("after.sh", ALONE);
    project.run().exits(1);
    let tasks = project.show("p")["tasks"].take();
    let classes: Vec<_> =
        tasks["stays"]["attempts"].as_array().unwrap().iter().map(|a| &a["class"]).collect();
    assert_eq!(json!(classes), json!(["timeout", "timeout"]));
    assert_eq!(tasks["after"]["status"], "success");
    assert!(!project.path("beside").exists(), "began beside another: {:?}", project.lines("beside"));
}

#[test]
fn a_program_that_goes_on_after_a_cancel_keeps_its_lock_until_it_has_ended() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\nmax_active_runs: 2\ntasks:\n  stays: {lock: one, container: {image: host, \
         command: [sh, stays.sh]}, stop_timeout: 110s}\n",
    );
    let ready = project.fifo("ready");
    project.write(
        "stays.sh",
        format!("{ALONE}trap 'echo told > ready' TERM\necho $$ > ready\n[ $CAUCE_RUN_ID = 2026-01-06 ] && exit\nwhile :; do sleep 0.1; done\n"),
    );
    let first = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    let stays = ready.hear();
    let mut second = project.start(&["run", "p.yaml", "--logical-date", "2026-01-06"]);
    second.hears("stays queued");
    project.cauce(&["cancel", "p/2026-01-05", "--reason", "not today"]).exits(0);
    assert_eq!(ready.hear().trim(), "told");
    // It goes on, and people see why.
    let run = project.cauce(&["show", "p/2026-01-05"]).exits(0).shows("being cancelled: not today");
    assert!(run.data.contains("stays  running"), "{}", run.data);
    let why = project.cauce(&["why", "p/2026-01-05", "stays"]).exits(0);
    why.shows("it was told to stop, and is ended 1m50s after that: the run is being cancelled (not today)");
    project.cauce(&["why", "p/2026-01-06", "stays"]).exits(0).shows("by stays of p/2026-01-05");
    let program = Pid::from_raw(stays.trim().parse().unwrap()).unwrap();
    kill_process(program, Signal::KILL).unwrap();
    ready.hear();
    first.answer().exits(1);
    second.answer().exits(0);
    assert!(!project.path("beside").exists(), "began beside another: {:?}", project.lines("beside"));
    let run = project.cauce(&["show", "p/2026-01-05", "--json"]).exits(0).json();
    assert_eq!(run["tasks"]["stays"]["status"], "cancelled");
}

#[test]
fn a_task_ended_by_a_signal_has_the_exit_code_of_a_shell() {
    let (_project, task) = failing("kill -SEGV $$\n", "");
    let attempt = &task["attempts"][0];
    assert_eq!((&attempt["exit_code"], &attempt["class"]), (&json!(139), &json!("exit")), "{attempt}");
}

#[test]
fn a_flood_of_output_is_kept_in_part_and_fails_nothing() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  t: {container: {image: host, command: [sh, task.sh]}}\n",
    );
    project.write("task.sh", "echo the first line; yes flood | head -c 100000000; echo the last line\n");
    project.run().exits(0);
    let run = project.show("p");
    let log = run["tasks"]["t"]["attempts"][0]["log"].as_str().unwrap();
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.len() < 70_000_000, "{} bytes", text.len());
    assert!(text.starts_with("the first line\n"), "the beginning tells what began");
    assert!(text.ends_with("the last line\n"), "the end tells how it ended");
    assert!(text.contains("bytes of this log were left out here"));
}

#[test]
fn binary_output_is_kept_as_it_came() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  t: {container: {image: host, command: [printf, \"a\\\\000\\\\377\\\\033[31mb\"]}}\n",
    );
    project.run().exits(0);
    let run = project.show("p");
    let log = run["tasks"]["t"]["attempts"][0]["log"].as_str().unwrap();
    assert_eq!(std::fs::read(log).unwrap(), b"a\0\xff\x1b[31mb");
}

#[test]
fn a_child_left_behind_does_not_hold_the_run_and_is_ended() {
    let project = Project::of(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  t: {container: {image: host, command: [sh, task.sh]}}\n",
    );
    // The child keeps the log's pipe open, which alone must not keep the task running.
    project.write("task.sh", "sleep 600 & echo $! > child\necho done\n");
    project.run().exits(0);
    assert!(!is_alive(project.read("child").trim()), "a task's group ends with it");
    assert_eq!(project.cauce(&["logs", "p/@latest", "t"]).exits(0).data, "done\n");
}

#[test]
fn a_state_folder_of_a_newer_version_is_not_touched() {
    let project = Project::of("pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  a: {pass: {}}\n");
    project.write(".cauce/format", "999\n");
    project.run().exits(2).says("newer version").says("999").says("--state-dir");
    project.cauce(&["runs"]).exits(2).says("newer version");
    assert!(!project.path(".cauce/table.sqlite").exists());
    // Another folder is as good.
    project.cauce(&["run", "p.yaml", "--logical-date", DAY, "--state-dir", "mine"]).exits(0);
    assert!(project.path("mine/table.sqlite").is_file());
}

#[test]
fn a_full_disk_is_told_and_the_run_goes_on_when_there_is_room() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0}}
tasks:
  first: {container: {image: host, command: [sh, -c, "echo first >> ran"]}}
  fill: {needs: [first], container: {image: host, command: [sh, -c, "test -e full || { : > full; cat /dev/zero > small/filling; }; echo fill >> ran"]}}
  last: {needs: [fill], container: {image: host, command: [sh, -c, "echo last >> ran"]}}
"#,
    );
    let Some(disk) = project.small_disk(4 << 20) else {
        skipped("a mountable tmpfs");
        return;
    };
    let state = disk.path.join("state");
    let state = state.to_str().unwrap();
    let full = project.cauce(&["run", "p.yaml", "--logical-date", DAY, "--state-dir", state]);
    let full = full.exits(3).says("disk").says("cauce resume p/2026-01-05");
    assert!(!full.talk.contains("panicked"), "{}", full.talk);
    std::fs::remove_file(disk.path.join("filling")).unwrap();
    project.cauce(&["resume", "p/2026-01-05", "--state-dir", state]).exits(0);
    let ran = project.lines("ran");
    assert_eq!(ran.iter().filter(|line| *line == "first").count(), 1, "{ran:?}");
    assert_eq!(ran.last().unwrap(), "last");
}
