//! What was set up is taken away, whatever happened between.

use crate::repair::{events, pass, settle, stand, started, stop, stop_run, sweep, taken, tell};
use crate::world::{script, simulate};
use cauce_engine::Command;
use cauce_engine::command::{Again, Close, Existing, Trigger};
use cauce_model::ids::child_execution_name;
use cauce_model::item::{Change, Step, When};
use cauce_model::record::{RunRecord, gate_item};
use cauce_model::{Json, RunStatus};
use cauce_ports::Table as _;
use serde_json::json;

const CLUSTER: &str = "
pipeline: cluster
notify: {failed: []}
tasks:
  up: {setup: true, container: {image: x, command: [run]}}
  work: {needs: [up], container: {image: x, command: [run]}}
  more: {needs: [work], container: {image: x, command: [run]}}
  down: {teardown_of: [up], container: {image: x, command: [run]}}
";

/// One task again, alone.
pub(crate) fn whole(task: &str) -> Again {
    Again::Task { task: task.to_owned(), items: Vec::new(), downstream: false }
}

pub(crate) fn again(run: &RunRecord, again: Again) -> Command {
    Command::Trigger(Box::new(Trigger {
        pipeline: run.run.pipeline.clone(),
        version: run.version.clone(),
        run_id: run.run.run_id.clone(),
        trigger: run.trigger.clone(),
        params: None,
        logical_date: run.logical_date,
        data_interval: (run.data_interval_start, run.data_interval_end),
        timezone: run.timezone.clone(),
        scheduled_at: None,
        existing: Existing::Next(again),
        only: None,
        force: false,
        latest: false,
        canary: false,
        start: true,
    }))
}

#[test]
fn a_teardown_comes_last_and_runs_after_a_failure() {
    let durations = json!({"up": 1, "work": 2, "more": 3});
    let ended = simulate(CLUSTER, script(durations.clone(), json!({})));
    assert_eq!(ended.statuses(), "down:success more:success up:success work:success");
    assert_eq!(ended.started("down"), [6.0]);
    let failed = simulate(CLUSTER, script(durations, json!({"work": 1})));
    assert_eq!(failed.statuses(), "down:success more:upstream_failed up:success work:failed");
    assert_eq!(failed.started("down"), [3.0]);
    assert_eq!(failed.run.status, RunStatus::Failed);
}

#[test]
fn where_nothing_was_set_up_nothing_is_taken_away() {
    let ended = simulate(CLUSTER, script(json!({}), json!({"up": 1})));
    assert_eq!(ended.statuses(), "down:skipped more:upstream_failed up:failed work:upstream_failed");
    let reason = ended.tasks["down"].reason.as_deref();
    assert_eq!(reason, Some("none of what it takes away was set up"));
}

#[test]
fn a_failed_teardown_warns_and_fails_nothing() {
    let ended = simulate(CLUSTER, script(json!({}), json!({"down": 1})));
    assert_eq!(ended.statuses(), "down:failed more:success up:success work:success");
    assert_eq!(ended.run.status, RunStatus::Success);
    assert_eq!(ended.run.message.as_deref(), Some("teardown down failed: exit code 1"));
}

#[test]
fn a_cancelled_run_is_torn_down() {
    let (host, key) = started(CLUSTER, script(json!({"up": 1, "work": 50, "down": 2}), json!({})));
    pass(&host, 3);
    tell(
        &host,
        &Command::Cancel { run_key: key.clone(), generation: None, reason: "enough".to_owned(), by: None },
    );
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "down:success more:cancelled up:success work:cancelled");
    assert_eq!(ended.run.status, RunStatus::Cancelled);
    // Cancelling while it is torn down stops no teardown.
    let (host, key) = started(CLUSTER, script(json!({"up": 1, "work": 1, "down": 20}), json!({})));
    pass(&host, 4);
    tell(
        &host,
        &Command::Cancel { run_key: key.clone(), generation: None, reason: "enough".to_owned(), by: None },
    );
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(
        (ended.statuses().as_str(), ended.ran.len()),
        ("down:success more:success up:success work:success", 4)
    );
}

#[test]
fn a_run_stopped_from_outside_is_torn_down_by_a_generation_of_its_own() {
    for by_event in [true, false] {
        let (host, key) = started(CLUSTER, script(json!({"up": 1, "work": 50, "down": 2}), json!({})));
        pass(&host, 3);
        stop_run(&host, &key, "maintenance");
        settle(&host);
        for _ in 0..2 {
            if by_event {
                events(&host).iter().for_each(|command| tell(&host, command));
            } else {
                sweep(&host);
            }
        }
        assert!(settle(&host));
        let ended = stand(&host, &key);
        assert_eq!(ended.statuses(), "down:success more:cancelled up:success work:cancelled");
        assert_eq!(ended.ran.iter().filter(|ran| ran.task == "down").count(), 1);
        assert_eq!((ended.run.status, ended.run.generation), (RunStatus::Cancelled, 2));
        assert_eq!(ended.run.message.as_deref(), Some("stopped from outside: maintenance"));
        assert_eq!(taken(&host), 0);
    }
}

#[test]
fn a_teardown_that_is_stopped_from_outside_runs_again_once() {
    let (host, key) = started(CLUSTER, script(json!({"up": 1, "work": 1, "down": 50}), json!({})));
    pass(&host, 4);
    stop_run(&host, &key, "");
    settle(&host);
    sweep(&host);
    pass(&host, 6);
    // Somebody really does not want it.
    stop_run(&host, &key, "");
    settle(&host);
    sweep(&host);
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!((ended.run.status, ended.run.generation), (RunStatus::Cancelled, 2));
    assert_eq!(ended.tasks["down"].status.as_str(), "cancelled");
    assert_eq!(ended.tasks["down"].attempts.len(), 2);
}

#[test]
fn what_runs_again_between_is_set_up_and_torn_down_again() {
    let (host, key) = started(CLUSTER, script(json!({"up": 1}), json!({"more": [1, "success"]})));
    assert!(settle(&host));
    let failed = stand(&host, &key);
    assert_eq!(failed.statuses(), "down:success more:failed up:success work:success");
    tell(&host, &again(&failed.run, Again::Failed));
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "down:success more:success up:success work:success");
    let ran: Vec<_> = ended.ran[failed.ran.len()..].iter().map(|ran| ran.task.as_str()).collect();
    assert_eq!(ran, ["up", "more", "down"]);
}

#[test]
fn a_task_that_runs_again_by_itself_has_what_it_needs_set_up_and_torn_down_too() {
    let nested = "
pipeline: nested
tasks:
  outer: {setup: true, container: {image: x, command: [run]}}
  inner: {setup: true, needs: [outer], container: {image: x, command: [run]}}
  first: {needs: [inner], container: {image: x, command: [run]}}
  last: {needs: [first], container: {image: x, command: [run]}}
  aside: {needs: [outer], container: {image: x, command: [run]}}
  free_inner: {teardown_of: [inner], container: {image: x, command: [run]}}
  free_outer: {teardown_of: [outer], container: {image: x, command: [run]}}
";
    let whole = ["outer", "inner", "first", "free_inner", "free_outer"];
    let cases: [(&str, &str, &[&str]); 5] = [
        (CLUSTER, "work", &["up", "work", "down"]),
        (CLUSTER, "up", &["up", "down"]),
        (CLUSTER, "down", &["down"]),
        (nested, "first", &whole),
        (nested, "aside", &["outer", "aside", "free_outer"]),
    ];
    for (yaml, task, expected) in cases {
        let (host, key) = started(yaml, script(json!({}), json!({})));
        assert!(settle(&host));
        let first = stand(&host, &key);
        assert_eq!(first.run.status, RunStatus::Success);
        tell(
            &host,
            &again(&first.run, Again::Task { task: task.to_owned(), items: Vec::new(), downstream: false }),
        );
        assert!(settle(&host));
        let ended = stand(&host, &key);
        assert_eq!(ended.run.status, RunStatus::Success, "{task}");
        let ran: Vec<_> = ended.ran[first.ran.len()..].iter().map(|ran| ran.task.as_str()).collect();
        assert_eq!(ran, expected, "{task}");
    }
}

#[test]
fn a_redriven_close_starts_the_next_generation_from_the_failed_tasks() {
    let (host, key) = started(CLUSTER, script(json!({}), json!({"more": [1, "success"]})));
    assert!(settle(&host));
    let failed = stand(&host, &key);
    assert_eq!(failed.run.status, RunStatus::Failed);
    let close = |redrives| Command::Close(Close { run_key: key.clone(), generation: 1, redrives });
    // Asked again without a redrive, it says again how the run ended.
    let clock = host.world().clock.clone();
    let told = clock.block_on(host.execute(&close(0))).unwrap().unwrap();
    assert!(matches!(told, cauce_engine::Reply::Failure { .. }), "{told:?}");
    for _ in 0..2 {
        // Also when its answer is lost and it is asked once more.
        let told = clock.block_on(host.execute(&close(1))).unwrap().unwrap();
        let cauce_engine::Reply::Ok(told) = told else { panic!("{told:?}") };
        assert_eq!(told.get("status").and_then(Json::as_str), Some("superseded"));
    }
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!((ended.run.status, ended.run.generation), (RunStatus::Success, 2));
}

#[test]
fn a_redrive_of_what_was_stopped_goes_on_once_it_is_torn_down() {
    let (host, key) = started(CLUSTER, script(json!({"up": 1, "work": [50, 2], "down": 20}), json!({})));
    pass(&host, 3);
    stop_run(&host, &key, "by mistake");
    pass(&host, 4);
    sweep(&host);
    let close = Command::Close(Close { run_key: key.clone(), generation: 1, redrives: 1 });
    let clock = host.world().clock.clone();
    let ask = || clock.block_on(host.execute(&close)).unwrap().unwrap();
    pass(&host, 6);
    assert_eq!(stand(&host, &key).run.generation, 2);
    let told = ask();
    let retried = matches!(told, cauce_engine::Reply::Failure { error: cauce_model::names::UNAVAILABLE, .. });
    assert!(retried, "{told:?}");
    assert!(settle(&host));
    assert_eq!(stand(&host, &key).run.status, RunStatus::Cancelled);
    for _ in 0..2 {
        assert!(matches!(ask(), cauce_engine::Reply::Ok(_)));
    }
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!((ended.run.status, ended.run.generation), (RunStatus::Success, 3));
    assert_eq!(ended.statuses(), "down:success more:success up:success work:success");
}

#[test]
fn a_task_that_died_leaves_its_teardown_to_its_own_machine() {
    let (host, key) = started(CLUSTER, script(json!({"up": 1, "work": 9}), json!({})));
    pass(&host, 3);
    stop(&host, "container", &child_execution_name(&key, 1, "work", None), "");
    assert!(settle(&host));
    let ended = stand(&host, &key);
    assert_eq!(ended.statuses(), "down:success more:upstream_failed up:success work:failed");
}

/// What stands between them has not run again, and stood on what is no more.
#[test]
fn a_task_does_not_run_again_where_its_setup_has_failed_this_time() {
    let yaml = |rule: &str, map: &str| {
        format!(
            "
pipeline: torn
tasks:
  rent: {{setup: true, {map}container: {{image: x, command: [run]}}}}
  first: {{needs: [rent], container: {{image: x, command: [run]}}}}
  second: {{needs: [first], trigger_rule: {rule}, container: {{image: x, command: [run]}}}}
  give: {{teardown_of: [rent], container: {{image: x, command: [run]}}}}
"
        )
    };
    let goes = || script(json!({}), json!({"rent": ["success", 1], "rent[0]": ["success", 1]}));
    for (rule, map, item, second) in [
        ("all_success", "", "", "upstream_failed"),
        ("all_success", "map: {over: [a]}, ", " rent[0]:failed", "upstream_failed"),
        ("all_done", "", "", "success"),
    ] {
        let (host, key) = started(&yaml(rule, map), goes());
        assert!(settle(&host));
        let run = stand(&host, &key).run;
        tell(&host, &again(&run, whole("second")));
        assert!(settle(&host));
        let ended = stand(&host, &key);
        let statuses = format!("first:success give:skipped rent:failed{item} second:{second}");
        assert_eq!((ended.statuses(), ended.run.status.as_str()), (statuses, "failed"));
    }
}

/// What ran by its rule because nothing was set up stands on nothing that another failure of the setup takes away.
#[test]
fn a_task_that_ran_without_its_setup_counts_as_it_ended() {
    let yaml = "
pipeline: torn
tasks:
  rent: {setup: true, container: {image: x, command: [run]}}
  first: {needs: [rent], trigger_rule: one_failed, container: {image: x, command: [run]}}
  second: {needs: [first], container: {image: x, command: [run]}}
  give: {teardown_of: [rent], container: {image: x, command: [run]}}
";
    let second = || whole("second");
    // The setup fails, fails again, succeeds, and fails: the first task stands as it did.
    let goes = json!({"rent": [1, 1, "success", 1], "second": [1, 1, 1, "success"]});
    let (host, key) = started(yaml, script(json!({}), goes));
    for ended in ["give:skipped rent:failed second:failed"; 2]
        .into_iter()
        .chain(["give:success rent:success second:failed", "give:skipped rent:failed second:success"])
    {
        assert!(settle(&host));
        let stands = stand(&host, &key);
        assert_eq!((stands.statuses(), stands.started("first").len()), (format!("first:success {ended}"), 1));
        tell(&host, &again(&stands.run, second()));
    }
}

/// Its setup is decided only after the engine has died, and makes nothing.
#[test]
fn a_task_that_ran_before_its_setup_was_decided_counts_as_it_ended() {
    let yaml = "
pipeline: torn
tasks:
  bad: {container: {image: x, command: [run]}}
  slow: {container: {image: x, command: [run]}}
  rent: {setup: true, needs: [slow], container: {image: x, command: [run]}}
  first: {needs: [rent, bad], trigger_rule: one_failed, container: {image: x, command: [run]}}
  late: {needs: [slow], trigger_rule: all_done, container: {image: x, command: [run]}}
  second: {needs: [first, slow, late], trigger_rule: all_done_min_one_success, if: no, pass: {}}
  give: {teardown_of: [rent], container: {image: x, command: [run]}}
";
    let goes = script(json!({"bad": 1, "first": 1, "slow": 60}), json!({"bad": 1, "slow": 1, "late": 1}));
    let (host, key) = started(yaml, goes);
    pass(&host, 30);
    let Command::Trigger(rerun) = again(&stand(&host, &key).run, Again::All) else { unreachable!("made so") };
    tell(&host, &Command::Trigger(Box::new(Trigger { existing: Existing::Resume, ..*rerun })));
    assert!(settle(&host));
    let ended = stand(&host, &key);
    let statuses =
        "bad:failed first:success give:skipped late:failed rent:upstream_failed second:skipped slow:failed";
    assert_eq!((ended.statuses(), ended.started("first").len()), (statuses.to_owned(), 1));
}

/// A task below what keeps its ending, which works on a setup: behind a gate, or after it in the run's machine.
fn below_what_is_kept(needs: &str) -> String {
    format!(
        "
pipeline: kept
tasks:
  rent: {{setup: true, container: {{image: x, command: [run]}}}}
  other: {{container: {{image: x, command: [run]}}}}
  beside: {{needs: [other], container: {{image: x, command: [run]}}}}
  both: {{needs: [{needs}], container: {{image: x, command: [run]}}}}
  top: {{needs: [rent, beside], container: {{image: x, command: [run]}}}}
  more: {{needs: [both], container: {{image: x, command: [run]}}}}
  give: {{teardown_of: [rent], container: {{image: x, command: [run]}}}}
"
    )
}

const BOTH_SHAPES: [&str; 2] = ["rent", "rent, other"];

#[test]
fn what_runs_again_waits_for_its_setup_behind_what_keeps_its_ending() {
    for needs in BOTH_SHAPES {
        let seconds = json!({"rent": 10, "other": 1, "both": 1, "more": 1, "give": 1});
        let goes = json!({"rent": ["success", "success", 1]});
        let (host, key) = started(&below_what_is_kept(needs), script(seconds, goes));
        let rerun = |ended: &str| {
            assert!(settle(&host));
            let stands = stand(&host, &key);
            assert_eq!(stands.statuses(), ended, "{needs}");
            tell(&host, &again(&stands.run, whole("more")));
            stands
        };
        rerun("beside:success both:success give:success more:success other:success rent:success top:success");
        let second = rerun(
            "beside:success both:success give:success more:success other:success rent:success top:success",
        );
        assert_eq!(
            (second.started("both"), second.started("more")),
            (vec![10.0], vec![11.0, 23.0]),
            "{needs}"
        );
        let third = rerun(
            "beside:success both:success give:skipped more:upstream_failed other:success rent:failed top:success",
        );
        assert_eq!(third.started("more").len(), 2, "{needs}");
    }
}

#[test]
fn a_setup_may_take_as_long_as_it_likes_above_what_keeps_its_ending() {
    for needs in BOTH_SHAPES {
        let hours = 3_600;
        let seconds = json!({"rent": [1, 5 * hours], "other": 1, "both": 1, "more": 1, "give": 1});
        let (host, key) = started(&below_what_is_kept(needs), script(seconds, json!({})));
        assert!(settle(&host));
        tell(&host, &again(&stand(&host, &key).run, whole("more")));
        for hour in 1..5 {
            pass(&host, hour * hours);
            let report = sweep(&host);
            assert_eq!((report.settled, report.gates), (0, 0), "{needs}, hour {hour}: {report:?}");
        }
        assert!(settle(&host));
        let ended = stand(&host, &key);
        assert_eq!((ended.run.status, ended.started("more").len()), (RunStatus::Success, 2), "{needs}");
    }
}

#[test]
fn the_sweep_asks_the_gate_again_of_what_keeps_its_ending() {
    let seconds = json!({"rent": 10, "other": 1, "both": 1, "more": 1, "give": 1});
    let (host, key) = started(&below_what_is_kept("rent, other"), script(seconds, json!({})));
    assert!(settle(&host));
    let rerun = whole("more");
    tell(&host, &again(&stand(&host, &key).run, rerun));
    pass(&host, 15);
    // Whoever told of the end of one died before the gate heard of it.
    let change = Change { steps: vec![Step::Set("done".to_owned(), json!([]))] };
    let (gate, when) = (gate_item(&key, 2, "both", None), When::always());
    let lost = host.world().table.update(&gate, &change, &when);
    host.world().clock.clone().block_on(lost).unwrap().unwrap();
    pass(&host, 60);
    assert_eq!(stand(&host, &key).run.status, RunStatus::Running);
    let report = sweep(&host);
    assert_eq!((report.gates, report.settled), (1, 0), "{report:?}");
    assert!(settle(&host));
    assert_eq!(stand(&host, &key).run.status, RunStatus::Success);
}

/// At whatever moment of the rerun the engine dies, the next one has the setup made before it goes on below.
#[test]
fn an_engine_that_dies_while_a_setup_runs_again_leaves_it_above_what_is_below_it() {
    let seconds = json!({"rent": 10, "other": 1, "both": 1, "more": 3, "give": 2});
    let mut deaths = 0;
    for second in 14..30 {
        let (host, key) = started(&below_what_is_kept("rent, other"), script(seconds.clone(), json!({})));
        assert!(settle(&host));
        let rerun = whole("more");
        tell(&host, &again(&stand(&host, &key).run, rerun));
        pass(&host, second);
        let run = stand(&host, &key).run;
        if run.status.is_terminal() {
            continue;
        }
        deaths += 1;
        let Command::Trigger(next) = again(&run, Again::All) else { unreachable!("made so") };
        tell(&host, &Command::Trigger(Box::new(Trigger { existing: Existing::Resume, ..*next })));
        assert!(settle(&host));
        let ended = stand(&host, &key);
        assert_eq!((ended.run.status, ended.run.generation), (RunStatus::Success, 3), "second {second}");
        let made_at = ended.tasks["rent"].ended_at.unwrap();
        assert!(ended.tasks["more"].started_at.unwrap() >= made_at, "second {second}");
        assert!(ended.tasks["give"].started_at >= ended.tasks["more"].ended_at, "second {second}");
        assert_eq!(ended.started("both").len(), 1, "second {second}");
    }
    assert!(deaths > 8, "{deaths} deaths");
}

/// One that keeps its ending and counts otherwise opens no gate early, and nobody is taken for dead because of it.
#[test]
fn an_early_rule_reads_what_keeps_its_ending_as_it_counts_now() {
    let yaml = "
pipeline: kept
tasks:
  rent: {setup: true, container: {image: x, command: [run]}}
  first: {needs: [rent], container: {image: x, command: [run]}}
  late: {container: {image: x, command: [run]}}
  mid: {needs: [first, late], trigger_rule: none_failed, container: {image: x, command: [run]}}
  one: {needs: [first, mid], trigger_rule: one_done, container: {image: x, command: [run]}}
  give: {teardown_of: [rent], container: {image: x, command: [run]}}
";
    let seconds = json!({"rent": 10, "first": 1, "late": 20, "mid": 1, "one": 1, "give": 1});
    let (host, key) = started(yaml, script(seconds, json!({"rent": ["success", 1]})));
    assert!(settle(&host));
    let rerun = Again::Task { task: "late".into(), items: Vec::new(), downstream: true };
    tell(&host, &again(&stand(&host, &key).run, rerun));
    // The setup has failed, and what is late goes on.
    pass(&host, 38);
    assert_eq!(stand(&host, &key).tasks["rent"].status.as_str(), "failed");
    let report = sweep(&host);
    assert_eq!((report.gates, report.settled), (0, 0), "{report:?}");
    assert!(settle(&host));
    let ended = stand(&host, &key);
    let statuses = "first:success give:skipped late:success mid:upstream_failed one:skipped rent:failed";
    assert_eq!(ended.statuses(), statuses, "{:?}", ended.reasons());
}
