//! What is said of runs and tasks that did not go the plain way: never let in, marked, interrupted.

use serde_json::{Value, json};

use crate::harness::{Answer, DAY, Project, has_worker};

/// Whose task waits to be told to go on.
fn held(overlap: &str) -> Project {
    Project::of(&format!(
        r#"
pipeline: p
schedule: "0 6 * * *"
max_active_runs: 1
overlap: {overlap}
tasks:
  hold: {{container: {{image: host, command: [sh, -c, "echo ready > ready; read word < hold"]}}}}
  below: {{needs: [hold], container: {{image: host, command: ["true"]}}}}
"#
    ))
}

/// The lines of `why --json` about a task, or about the run.
fn because<'a>(why: &'a Value, task: Option<&str>) -> Vec<&'a str> {
    let lines = task.map_or(&why["because"], |task| &why["tasks"][task]["because"]);
    let lines = lines.as_array().unwrap_or_else(|| panic!("nothing about {task:?}: {why}"));
    lines.iter().map(|line| line.as_str().unwrap()).collect()
}

/// What is told of a run that was never let in, once with its reason and nowhere else.
fn was_not_let_in(project: &Project, run: &str, status: &str, reason: &str) {
    let shown = project.cauce(&["show", run]).exits(0);
    for task in ["hold", "below"] {
        let row = shown.data.lines().find(|line| line.starts_with(task)).unwrap();
        assert_eq!(row.split_once(' ').unwrap().1.trim(), "did not run", "{}", shown.data);
    }
    let why = project.cauce(&["why", run]).exits(0).shows(&format!("{run} is {status}")).shows(reason);
    assert_eq!(why.data.matches(reason).count(), 1, "{}", why.data);
    assert!(!why.data.contains("hold"), "its tasks have no reason of their own: {}", why.data);
    let _ = why.shows(&format!("none of its tasks ran; 'cauce rerun {run}' runs them"));
    let task = project.cauce(&["why", run, "hold"]).exits(0).shows("hold did not run");
    let words = format!("its run was {status} before anything was decided about it: {reason}");
    assert_eq!(task.shows(&words).data.lines().count(), 2);
    project.cauce(&["logs", run, "hold"]).exits(2).says("has not printed anything: it did not run");
    project.cauce(&["report", "p", run]).exits(0).says(&format!("{run} is {status}; it never began"));
    // The record says what it always did.
    let record = project.cauce(&["show", run, "--json"]).exits(0).json();
    assert_eq!((&record["tasks"]["hold"]["status"], &record["message"]), (&json!("waiting"), &json!(reason)));
}

#[test]
fn a_run_that_overlap_skipped_says_so_and_its_tasks_did_not_run() {
    let project = held("skip");
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let first = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    let second = project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-06"]).exits(0);
    let reason = "1 run of p was let in when it came (max_active_runs), and overlap is skip";
    second.says(&format!("p/2026-01-06 skipped: {reason}")).says("cauce rerun p/2026-01-06");
    was_not_let_in(&project, "p/2026-01-06", "skipped", reason);
    hold.say("go");
    first.answer().exits(0);
}

#[test]
fn a_run_that_was_cancelled_in_line_says_so_and_its_tasks_did_not_run() {
    let project = held("queue");
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let first = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    let mut second = project.start(&["run", "p.yaml", "--logical-date", "2026-01-06"]);
    second.hears("waits for a slot of max_active_runs");
    project
        .cauce(&["report", "p", "2026-01-06"])
        .exits(0)
        .says("p/2026-01-06 is queued; it has not begun yet");
    project.cauce(&["cancel", "p/2026-01-06", "--reason", "not needed"]).exits(0);
    second.answer().exits(1).says("p/2026-01-06 cancelled: not needed");
    was_not_let_in(&project, "p/2026-01-06", "cancelled", "not needed");
    hold.say("go");
    first.answer().exits(0);
}

const ENDED: &str = r#"
pipeline: p
schedule: "0 6 * * *"
deadline: {after: 1h, from: started, action: cancel}
defaults: {retry: {retries: 0}}
tasks:
  a: {container: {image: host, command: [sh, -c, "test -e good"]}}
  b: {needs: [a], container: {image: host, command: ["true"]}}
  items: {map: {over: [1, 2, 3]}, container: {image: host, command: ["true"]}}
  nothing: {pass: {}}
"#;

fn why(project: &Project, args: &[&str]) -> Answer {
    project.cauce(&[&["why", "p/@latest"], args].concat()).exits(0)
}

#[test]
fn why_says_who_marked_a_task_and_what_that_changed() {
    let project = Project::of(ENDED);
    project.run().exits(1);
    project.cauce(&["mark", "p/@latest", "a", "success"]).exits(0);
    let failed = why(&project, &["--json"]).json();
    let run = because(&failed, None);
    assert!(run.iter().any(|line| line.starts_with("a was marked as success by ")), "{run:?}");
    assert!(run.iter().any(|line| line.starts_with("'cauce rerun ")), "{run:?}");
    let below = because(&failed, Some("b"));
    assert!(below.contains(&"all_success: its upstream failed"), "{below:?}");
    assert!(below.iter().all(|line| !line.contains("cannot be met")), "{below:?}");
    let otherwise = "since then what it needs has ended otherwise: a (success)";
    assert!(below.iter().any(|line| line.starts_with(otherwise)), "{below:?}");
    let a = why(&project, &["a"]).shows("marked as success by ").shows("attempt 1 ended with class exit");
    assert!(!a.data.contains("it succeeded with attempt"), "{}", a.data);

    project.write("good", "");
    project.cauce(&["rerun", "p/@latest", "--task", "a", "--downstream"]).exits(0);
    project.cauce(&["mark", "p/@latest", "a", "failed"]).exits(0);
    let good = why(&project, &["--json"]).json();
    let run = because(&good, None);
    assert_eq!(run[0], "no task that counts had failed when it ended");
    assert!(run[1].starts_with("a was marked as failed by ") && run[1].contains(", at 20"), "{run:?}");
    assert!(run[1].ends_with(": the run's own status stays as it was"), "{run:?}");
    assert!(run[2].starts_with("'cauce rerun "), "{run:?}");
    assert_eq!(run.len(), 3, "no deadline comes any more: {run:?}");
    assert!(because(&good, Some("a"))[0].starts_with("marked as failed by "), "{good}");
}

#[test]
fn what_of_a_run_that_went_well_is_said_is_true() {
    let project = Project::of(ENDED);
    project.write("good", "");
    project.run().exits(0);
    assert_eq!(because(&why(&project, &["--json"]).json(), None), ["no task that counts failed"]);
    let items = why(&project, &["items"]).shows("all its 3 items succeeded");
    assert_eq!(items.data.lines().count(), 2, "{}", items.data);
    why(&project, &["nothing"]).shows("it did what it had to without starting a program");
    let logs = |item: &str| project.cauce(&["logs", "p/@latest", "items", "--item", item]);
    logs("2").exits(0);
    logs("3").exits(2).says("items of p/2026-01-05 has no item 3").says("its items are 0 to 2");
}

#[test]
fn a_failure_leads_to_what_tells_more() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0}}
tasks:
  each: {map: {over: [a, b, c]}, container: {image: host, command: [sh, -c, "test {{ item }} = a"]}}
  call: {breaker: api, container: {image: host, command: ["false"]}}
  again: {needs: [call], trigger_rule: all_done, breaker: {name: api, on_open: fail}, container: {image: host, command: ["true"]}}
"#,
    );
    project.write(
        "cauce.yaml",
        "images:\n  host: {local: []}\nbreakers: {api: {threshold: 1, window: 10m, reset_after: 5m}}\n",
    );
    project.run().exits(1);
    let each = why(&project, &["each"]).shows("items that failed: 1, 2\n");
    let each = each.shows("of item 1, attempt 1 ended with class exit: exit code 1\n");
    each.shows("'cauce logs p/2026-01-05 each --item 1' shows what it printed");
    why(&project, &["again"])
        .shows("dependency: the breaker 'api' is open")
        .shows("'cauce explain dependency'");
    project.cauce(&["logs", "p/@latest", "call", "--attempt", "4"]).exits(2).says("its only attempt is 1");
    let no_task = project.cauce(&["mark", "p/@latest", "zzzzzz", "failed"]).exits(2);
    no_task.says("has no task 'zzzzzz'").says("its tasks are each, call, again");
    for word in ["interrupted", "did not run"] {
        project.cauce(&["explain", word]).exits(0).shows(&format!("# {word}: a status"));
    }
}

#[test]
fn attempts_that_never_started_are_counted_apart_and_none_follows_while_nobody_runs_it() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0, delay: 1h}}
tasks:
  lacks: {container: {image: host, command: ["true"], secrets: {KEY: "secret:not/there"}}}
  fails: {container: {image: host, command: ["false"]}, retry: {retries: 2}}
"#,
    );
    let mut run = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    run.hears("lacks retrying");
    let told = loop {
        let told = why(&project, &["--json"]).json();
        if told["tasks"]["fails"]["status"] == "retrying" {
            break told;
        }
    };
    let words = "such a failure uses up none of its retries; it has had 1, and 6 end the task";
    assert!(because(&told, Some("lacks")).contains(&words), "{told}");
    assert!(because(&told, Some("fails")).contains(&"it has had 1 attempt of 3"), "{told}");
    assert!(told.to_string().contains("the next attempt starts in "), "{told}");
    run.signal(rustix::process::Signal::KILL);
    run.answer();
    let told = why(&project, &["--json"]).json();
    for task in ["lacks", "fails"] {
        let because = because(&told, Some(task));
        assert!(because.contains(&"its next attempt starts when the run is resumed"), "{because:?}");
        assert!(because.iter().all(|line| !line.starts_with("the next attempt starts")), "{because:?}");
    }
    let shown = project.cauce(&["show", "p/@latest"]).exits(0);
    assert!(!shown.data.contains("\ntook"), "nobody knows until when it went on: {}", shown.data);
    project.cauce(&["report", "p", "@latest"]).exits(0).says("is interrupted; the times are counted from");
}

#[test]
fn a_data_task_that_failed_is_told_in_its_own_words() {
    if !has_worker() {
        return;
    }
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
defaults: {retry: {retries: 0}}
tasks:
  one: {sql: {query: "SELECT 1 FROM nowhere"}}
  each: {map: {over: [a, b]}, sql: {query: "SELECT 1 FROM gone"}}
"#,
    );
    let words =
        |table: &str| format!("exit code 2: cannot plan the query: Error during planning: table '{table}");
    let run = project.run().exits(1).shows(&words("datafusion.public.nowhere"));
    let _ = run.shows(&words("datafusion.public.gone"));
    let _ = project.cauce(&["show", "p/@latest"]).exits(0).shows(&words("datafusion.public.nowhere"));
    why(&project, &["one"]).shows("it said: cannot plan the query: ").shows("nowhere");
    why(&project, &["each"]).shows("it said: cannot plan the query: ").shows("public.gone");
}

#[test]
fn why_names_the_setup_that_a_task_waits_for_behind_what_keeps_its_ending() {
    let project = Project::of(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  rent: {setup: true, container: {image: host, command: [sh, -c, "test -e again || exit 0; echo ready > ready; read word < hold; test $word = go"]}}
  other: {container: {image: host, command: ["true"]}}
  beside: {needs: [other], container: {image: host, command: ["true"]}}
  both: {needs: [rent, other], container: {image: host, command: ["true"]}}
  more: {needs: [both], container: {image: host, command: ["true"]}}
  give: {teardown_of: [rent], container: {image: host, command: ["true"]}}
"#,
    );
    project.run().exits(0);
    project.write("again", "");
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let rerun = project.start(&["rerun", "p/@latest", "--task", "more"]);
    ready.hear();
    let more = why(&project, &["more"]).shows("it waits for rent (running), since ");
    let _ = more.shows("what it needs keeps its ending, and worked on what is set up again first");
    hold.say("go");
    rerun.answer().exits(0);

    let rerun = project.start(&["rerun", "p/@latest", "--task", "more"]);
    ready.hear();
    hold.say("no");
    rerun.answer().exits(1);
    let more = why(&project, &["more"]).shows("more is upstream_failed");
    let words = "what it needs worked on what rent (failed) had made, and this time nothing was made";
    let more = more.shows(words).shows("'cauce why p/2026-01-05 rent' goes on from there");
    assert!(!more.data.contains("ended otherwise"), "{}", more.data);
}
