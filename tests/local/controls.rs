//! Breakers, rate limits and idempotency keys, as people see and handle them.

use crate::harness::{DAY, Project};

const CAUCE_YAML: &str = "
images:
  host: {local: []}
breakers:
  erp: {threshold: 2, window: 1h, reset_after: 1h}
rate_limits:
  slow: {tokens: 1, per: 1h}
";

const CALL: &str = r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  call: {container: {image: host, command: [sh, -c, "test -e good"]}, breaker: {name: erp, on_open: fail}}
"#;

fn project(pipeline: &str) -> Project {
    let project = Project::of(pipeline);
    project.write("cauce.yaml", CAUCE_YAML);
    project
}

fn state(project: &Project) -> String {
    let shown = project.cauce(&["breakers", "--json"]).exits(0).json();
    shown["breakers"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_breaker_opens_after_its_failures_and_a_person_resets_it() {
    let project = project(CALL);
    assert_eq!(state(&project), "closed");
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-05"]).exits(1);
    project.cauce(&["breakers"]).exits(0).shows("1 of 2 in 3600 s");
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-06"]).exits(1);
    assert_eq!(state(&project), "open");
    project.write("good", "");
    // It calls nothing any more, although it would work now.
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-07"]).exits(1).says("'erp' is open");
    let shown = project.cauce(&["show", "p/2026-01-07", "--json"]).exits(0).json();
    assert_eq!(shown["tasks"]["call"]["attempts"], serde_json::json!([]));
    project
        .cauce(&["why", "p/2026-01-07", "call"])
        .exits(0)
        .shows("dependency: the breaker 'erp' is open: p/2026-01-06 task call");
    project.cauce(&["breakers", "reset", "erp"]).exits(0).says("closed");
    project.cauce(&["run", "p.yaml", "--logical-date", "2026-01-08"]).exits(0);
    project.cauce(&["audit"]).exits(0).shows("reset_breaker");
    project
        .cauce(&["breakers", "reset", "epr"])
        .exits(2)
        .says("there is no breaker 'epr'")
        .says("'cauce breakers' lists");
}

#[test]
fn who_waits_for_an_open_breaker_says_so_and_a_cancel_ends_it() {
    let project = project(&CALL.replace("{name: erp, on_open: fail}", "erp"));
    project.cauce(&["breakers", "open", "erp"]).exits(0).says("open, until it is reset");
    let run = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    let waiting = loop {
        let why = project.cauce(&["why", &format!("p/{DAY}"), "call"]);
        if why.data.contains("queued") {
            break why;
        }
    };
    waiting
        .shows("the breaker 'erp' is open: ")
        .shows("opened it; 'cauce breakers reset erp' closes it")
        .shows("since");
    project.cauce(&["cancel", &format!("p/{DAY}")]).exits(0);
    run.answer().exits(1);
}

#[test]
fn a_limit_gives_a_start_at_once_then_an_hour_later_and_says_so() {
    let project = project(CALL);
    project.cauce(&["limits"]).exits(0).shows("slow").shows("1 in 3600 s").shows("now");
    project.cauce(&["limits", "take", "slow"]).exits(0);
    let told = project.cauce(&["limits", "take", "slow", "--no-wait", "--json"]).exits(0).json();
    let wait = told["wait_micros"].as_i64().unwrap();
    assert!((3_000_000_000..=3_600_000_000).contains(&wait), "{told}");
    let shown = project.cauce(&["limits", "--json"]).exits(0).json();
    assert_eq!(shown["limits"][0]["taken"], 2);
    // Who cannot wait for an hour takes nothing, and puts nobody else off.
    project
        .cauce(&["limits", "take", "slow", "--timeout", "60"])
        .exits(1)
        .says("nothing is taken")
        .says("slow");
    let again = project.cauce(&["limits", "--json"]).exits(0).json();
    assert_eq!(
        (&again["limits"][0]["taken"], &again["limits"][0]["next_start"]),
        (&2.into(), &shown["limits"][0]["next_start"])
    );
    project.cauce(&["limits", "take", "slow", "--timeout", "90000", "--no-wait"]).exits(0);
    // Who wants more than the limit gives takes nothing either.
    let before = project.cauce(&["limits", "--json"]).exits(0).json();
    project.cauce(&["limits", "take", "slow", "--tokens", "1000000", "--no-wait"]).exits(2).says(
        "nothing is taken: 1000000 tokens are asked for, and the rate limit 'slow' gives 1 at once at most",
    );
    assert_eq!(project.cauce(&["limits", "--json"]).exits(0).json(), before);
    project
        .cauce(&["limits", "take", "fast"])
        .exits(2)
        .says("there is no rate limit 'fast'")
        .says("'cauce limits' lists");
    project.cauce(&["limits", "take", "slow", "--tokens", "0"]).exits(2).says("0");
}

#[test]
fn what_is_shown_is_what_the_project_says_now() {
    let project = project(
        "pipeline: p\nschedule: \"0 6 * * *\"\ntasks:\n  \
         holds: {container: {image: host, command: [sh, -c, \"echo ready > ready; read word < hold\"]}, \
         pools: {db: 1, old: 1}, breaker: erp, rate_limit: slow}\n",
    );
    project.write("cauce.yaml", format!("{CAUCE_YAML}pools: {{db: 4, old: 4}}\n"));
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let run = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    let changed = CAUCE_YAML.replace("threshold: 2", "threshold: 7").replace("tokens: 1", "tokens: 5");
    project.write("cauce.yaml", format!("{changed}pools: {{db: 3}}\n"));
    project.cauce(&["breakers"]).exits(0).shows("of 7 in 3600 s");
    project.cauce(&["limits"]).exits(0).shows("5 in 3600 s");
    let pools = || project.cauce(&["pools", "--json"]).exits(0).json()["pools"].clone();
    assert_eq!((&pools()[0]["pool"], &pools()[0]["slots"]), (&"db".into(), &3.into()));
    // One that is held is shown as long as it is, although the project does not name it any more.
    project.cauce(&["pools"]).exits(0).shows("4, not in cauce.yaml");
    hold.say("go");
    run.answer().exits(0);
    project.cauce(&["pools", "old"]).exits(2).says("there is no pool 'old'");
    assert_eq!(pools().as_array().map(Vec::len), Some(1));
}

const ONCE: &str = r#"
pipeline: p
params: {batch: {type: string, default: b1}}
tasks:
  load:
    container: {image: host, command: [sh, -c, "echo x >> count; echo '{\"rows\": 3}' > $CAUCE_OUTPUT_FILE"]}
    idempotency: "{{ params.batch }}"
    returns: {rows: integer}
"#;

#[test]
fn a_request_is_done_once_and_again_once_its_key_is_cleared() {
    let project = project(ONCE);
    let count = || std::fs::read_to_string(project.path("count")).unwrap().lines().count();
    project.cauce(&["run", "p.yaml"]).exits(0);
    project.cauce(&["run", "p.yaml"]).exits(0);
    assert_eq!(count(), 1);
    let shown = project.cauce(&["show", "p/@latest", "--json"]).exits(0).json();
    assert_eq!(shown["tasks"]["load"]["output"]["rows"], 3);
    project.cauce(&["why", "p/@latest", "load"]).exits(0).shows("idempotency: p/manual-");
    project.cauce(&["idempotency"]).exits(0).shows("p/load/b1").shows("done");
    project.cauce(&["idempotency", "show", "p/load/b1"]).exits(0).shows("counts until").shows("\"rows\":3");
    project.cauce(&["idempotency", "clear", "p/load/b1"]).exits(0).says("forgotten");
    project.cauce(&["run", "p.yaml"]).exits(0);
    assert_eq!(count(), 2);
    project.cauce(&["idempotency", "clear", "p/load/b2"]).exits(2).says("no idempotency key 'b2'");
    project.cauce(&["idempotency", "show", "b1"]).exits(2).says("PIPELINE/TASK/KEY");
    project.cauce(&["audit"]).exits(0).shows("clear_idempotency");
}

#[test]
fn a_key_is_claimed_while_its_task_is_under_way_and_free_once_that_has_failed() {
    let project = project(
        r#"
pipeline: p
schedule: "0 6 * * *"
tasks:
  load:
    container: {image: host, command: [sh, -c, "echo ready > ready; read word < hold; exit 1"]}
    retry: {retries: 0}
    idempotency: b1
"#,
    );
    let (ready, hold) = (project.fifo("ready"), project.fifo("hold"));
    let state = || project.cauce(&["idempotency", "--json"]).exits(0).json()["keys"][0]["state"].clone();
    let run = project.start(&["run", "p.yaml", "--logical-date", DAY]);
    ready.hear();
    assert_eq!(state(), "claimed");
    project.cauce(&["idempotency", "show", "p/load/b1"]).exits(0).shows("no result yet");
    hold.say("go");
    run.answer().exits(1);
    assert_eq!(state(), "free");
    let shown = project.cauce(&["idempotency", "show", "p/load/b1"]).exits(0);
    shown.shows("its task ended without a result, so the next request under it runs");
}

#[test]
fn a_program_inside_a_task_takes_tokens_by_the_entrypoint() {
    let project = project(
        "pipeline: p\ndefaults: {retry: {retries: 0}}\ntasks:\n  \
         calls: {container: {image: host, command: [cauce-run, limits, take, slow]}}\n  \
         script: {needs: [calls], container: {image: host, command: [sh, -c, 'cauce-run limits take slow --timeout 60 || test $? = 1']}}\n  \
         hasty: {needs: [calls], container: {image: host, command: [cauce-run, limits, take, slow, --timeout, '60']}}\n",
    );
    project.cauce(&["run", "p.yaml", "--logical-date", DAY]).exits(1);
    let log = project.cauce(&["logs", &format!("p/{DAY}"), "hasty"]).exits(0);
    log.shows("nothing is taken: the limit 'slow' has its next start at");
    let run = project.cauce(&["show", &format!("p/{DAY}"), "--json"]).exits(0).json();
    assert_eq!(run["tasks"]["calls"]["status"], "success", "{run}");
    assert_eq!(run["tasks"]["script"]["status"], "success", "a script finds it too: {run}");
    assert_eq!(run["tasks"]["hasty"]["attempts"][0]["exit_code"], 1, "{run}");
    let limits = project.cauce(&["limits", "--json"]).exits(0).json();
    assert_eq!(limits["limits"][0]["taken"], 1, "who cannot wait takes nothing: {limits}");
}

#[test]
fn a_sweep_says_what_it_looked_at_and_what_it_repaired() {
    let project = project("pipeline: p\ntasks: {call: {container: {image: host, command: [\"true\"]}}}\n");
    project.cauce(&["sweep"]).exits(0).says("looked at 0 runs: nothing to repair");
    project.cauce(&["run", "p.yaml"]).exits(0);
    let report = project.cauce(&["sweep", "--json"]).exits(0).json();
    for kind in ["due", "started", "closed", "settled", "gates", "stopped", "freed", "troubles"] {
        assert_eq!(report[kind], 0, "{kind}: {report}");
    }
    assert_eq!((&report["complete"], &report["lines"]), (&true.into(), &serde_json::json!([])));
}
