//! What a user of the pipeline file may rely on, one law each.

use crate::world::{epoch, host_with, script, simulate, simulate_all, simulate_on};
use cauce_engine::Settings;
use cauce_host::simulation::{MemoryObjects, Script, Simulated};
use cauce_local::memory::MemoryTable;
use serde_json::json;

const CHAIN: &str = "
pipeline: chain
tasks:
  a: {container: {image: x, command: [run]}}
  b: {needs: [a], container: {image: x, command: [run]}}
  c: {needs: [b], container: {image: x, command: [run]}}
";

#[test]
fn a_chain_runs_one_after_the_other() {
    let ended = simulate(CHAIN, script(json!({"a": 10, "b": 0.5, "c": 1}), json!({})));
    assert_eq!(ended.run.status.as_str(), "success");
    assert_eq!(ended.statuses(), "a:success b:success c:success");
    assert_eq!(ended.started("a"), [0.0]);
    assert_eq!(ended.started("b"), [10.0]);
    assert_eq!(ended.started("c"), [10.5]);
}

#[test]
fn a_failure_stops_what_is_below_it_and_fails_the_run() {
    let ended = simulate(CHAIN, script(json!({}), json!({"b": 3})));
    assert_eq!(ended.run.status.as_str(), "failed");
    assert_eq!(ended.statuses(), "a:success b:failed c:upstream_failed");
    assert_eq!(ended.run.message.as_deref(), Some("b failed: exit code 3; 1 could not run"));
    let attempt = &ended.tasks["b"].attempts[0];
    assert_eq!((attempt.exit_code, attempt.class.map(|c| c.as_str())), (Some(3), Some("exit")));
}

#[test]
fn retries_wait_and_then_succeed() {
    let yaml = "
pipeline: retried
tasks:
  a: {container: {image: x, command: [run]}, retry: {retries: 3, delay: 10s, backoff: 2, jitter: 0}}
";
    let ended = simulate(yaml, script(json!({"a": 1}), json!({"a": [1, 1, "success"]})));
    assert_eq!(ended.statuses(), "a:success");
    assert_eq!(ended.started("a"), [0.0, 11.0, 32.0]);
    assert_eq!(ended.tasks["a"].attempts.len(), 3);
}

#[test]
fn a_gate_holds_no_longer_than_it_must() {
    // N: c needs a, d needs a and b. No nest of sequence and Parallel expresses it.
    let yaml = "
pipeline: n
tasks:
  a: {container: {image: x, command: [run]}}
  b: {container: {image: x, command: [run]}}
  c: {needs: [a], container: {image: x, command: [run]}}
  d: {needs: [a, b], container: {image: x, command: [run]}}
";
    let ended = simulate(yaml, script(json!({"a": 5, "b": 9, "c": 100, "d": 1}), json!({})));
    assert_eq!(ended.run.status.as_str(), "success");
    assert_eq!(ended.started("c"), [5.0]);
    assert_eq!(ended.started("d"), [9.0]);
    let other = simulate(yaml, script(json!({"a": 9, "b": 5, "c": 1, "d": 1}), json!({})));
    assert_eq!(other.started("c"), [9.0]);
    assert_eq!(other.started("d"), [9.0]);
}

#[test]
fn an_early_rule_fires_at_the_first_failure() {
    let yaml = "
pipeline: early
tasks:
  a: {container: {image: x, command: [run]}}
  b: {container: {image: x, command: [run]}}
  alert: {needs: [a, b], trigger_rule: one_failed, container: {image: x, command: [run]}}
  report: {needs: [a, b], trigger_rule: all_done, container: {image: x, command: [run]}}
";
    let ended = simulate(yaml, script(json!({"a": 3, "b": 50}), json!({"a": "failed"})));
    assert_eq!(ended.started("alert"), [3.0]);
    assert_eq!(ended.started("report"), [50.0]);
    assert_eq!(ended.run.status.as_str(), "failed");
    let well = simulate(yaml, script(json!({"a": 3, "b": 50}), json!({})));
    assert_eq!(well.statuses(), "a:success alert:skipped b:success report:success");
    assert_eq!(well.run.status.as_str(), "success");
}

#[test]
fn a_branch_skips_what_it_does_not_choose_unless_a_chosen_path_leads_there() {
    let yaml = "
pipeline: branched
params: {big: {type: boolean, default: false}}
tasks:
  decide: {branch: [{if: \"{{ params.big }}\", to: [large]}, {else: [small]}]}
  large: {needs: [decide], pass: {}}
  small: {needs: [decide], pass: {output: {n: \"{{ 1 + 1 }}\"}}}
  done: {needs: [large, small], trigger_rule: none_failed_min_one_success, pass: {}}
";
    let ended = simulate(yaml, Script::default());
    assert_eq!(ended.statuses(), "decide:success done:success large:skipped small:success");
    assert_eq!(ended.run.status.as_str(), "success");
    assert_eq!(ended.tasks["large"].reason.as_deref(), Some("branch decide took another way"));
}

#[test]
fn a_chosen_path_may_lead_over_a_fallback() {
    let yaml = "
pipeline: branched
tasks:
  decide: {branch: [{if: \"yes\", to: [load]}, {else: [join]}]}
  load: {needs: [decide], container: {image: x, command: [run]}}
  reload: {fallback_for: load, container: {image: x, command: [run]}}
  join: {needs: [decide, reload], pass: {}}
";
    let ended = simulate(yaml, script(json!({}), json!({"load": {"exit_code": 1}})));
    assert_eq!(ended.statuses(), "decide:success join:success load:failed reload:success");
    let ended = simulate(yaml, Script::default());
    assert_eq!(ended.statuses(), "decide:success join:skipped load:success reload:skipped");
    assert_ne!(ended.tasks["join"].reason.as_deref(), Some("branch decide took another way"));
}

#[test]
fn a_branch_passes_no_teardown_by() {
    let yaml = "
pipeline: branched
tasks:
  rent: {setup: true, pass: {}}
  decide: {needs: [rent], allow_failure: true, branch: [{if: \"no\", to: [use]}]}
  use: {needs: [decide], pass: {}}
  free: {teardown_of: [rent], needs: [decide], pass: {}}
";
    let (_, told) = cauce_spec::check(yaml.as_bytes(), &cauce_spec::Project::none());
    assert!(told.is_empty(), "{told:?}");
    let ended = simulate(yaml, Script::default());
    assert_eq!(ended.statuses(), "decide:success free:success rent:success use:skipped");
}

#[test]
fn a_mapped_task_runs_once_per_item_and_joins_their_outputs() {
    let yaml = "
pipeline: mapped
tasks:
  list: {pass: {output: {items: [x, y, z]}}, returns: {items: list}}
  each: {needs: [list], map: {over: \"{{ outputs.list.items }}\"}, container: {image: x, command: [run, \"{{ item }}\"]}, returns: {name: string}}
  sum: {needs: [each], container: {image: x, command: [run]}}
";
    let outcomes = json!({"each[0]": {"output": {"name": "a"}}, "each": {"output": {"name": "b"}}});
    let ended = simulate(yaml, script(json!({"each[0]": 1, "each[1]": 5, "each[2]": 2}), outcomes));
    assert_eq!(ended.run.status.as_str(), "success", "{:?}", ended.run.message);
    assert_eq!(ended.started("each"), [0.0, 0.0, 0.0]);
    assert_eq!(ended.started("sum"), [5.0]);
    let output = serde_json::to_value(&ended.tasks["each"].output).unwrap();
    assert_eq!(
        output["inline"],
        json!([
            {"index": 0, "status": "success", "output": {"name": "a"}},
            {"index": 1, "status": "success", "output": {"name": "b"}},
            {"index": 2, "status": "success", "output": {"name": "b"}},
        ])
    );
}

#[test]
fn one_failed_item_fails_a_mapped_task_after_all_have_ended() {
    let yaml = "
pipeline: mapped
tasks:
  each: {map: {over: [1, 2, 3]}, container: {image: x, command: [run, \"{{ item }}\"]}}
";
    let ended = simulate(yaml, script(json!({"each[2]": 9}), json!({"each[1]": 7})));
    assert_eq!(ended.run.status.as_str(), "failed");
    assert_eq!(ended.statuses(), "each:failed each[0]:success each[1]:failed each[2]:success");
    assert_eq!(ended.tasks["each"].reason.as_deref(), Some("1 of 3 items failed"));
}

#[test]
fn max_active_tasks_is_never_exceeded_and_nothing_is_left_behind() {
    let yaml = "
pipeline: limited
max_active_tasks: 2
tasks:
  a: {container: {image: x, command: [run]}}
  b: {container: {image: x, command: [run]}}
  c: {container: {image: x, command: [run]}}
  d: {container: {image: x, command: [run]}}
  e: {container: {image: x, command: [run]}}
";
    let ended = simulate(yaml, script(json!({"a": 10, "b": 10, "c": 10, "d": 10, "e": 10}), json!({})));
    assert_eq!(ended.run.status.as_str(), "success", "{:?}", (&ended.run.message, ended.statuses()));
    let mut starts: Vec<f64> = ["a", "b", "c", "d", "e"].iter().flat_map(|t| ended.started(t)).collect();
    starts.sort_by(f64::total_cmp);
    assert_eq!(starts, [0.0, 0.0, 10.0, 10.0, 20.0]);
}

#[test]
fn a_timeout_ends_the_attempt() {
    let yaml = "
pipeline: slow
tasks:
  a: {container: {image: x, command: [run]}, timeout: 5s, retry: {retries: 1, delay: 1s, jitter: 0}}
";
    let ended = simulate(yaml, script(json!({"a": [60, 1]}), json!({})));
    assert_eq!(ended.statuses(), "a:success");
    assert_eq!(ended.tasks["a"].attempts[0].class.map(|c| c.as_str()), Some("timeout"));
    assert_eq!(ended.started("a"), [0.0, 6.0]);
}

#[test]
fn on_aws_the_entrypoint_says_that_the_time_is_over() {
    let yaml = "
pipeline: slow
tasks:
  late: {container: {image: x, command: [run]}, timeout: 5s, retry: {retries: 1, delay: 1s, no_retry_on: [timeout]}}
  early: {container: {image: x, command: [run]}, timeout: 5s, retry: {retries: 1, delay: 1s}}
";
    // The state waits for the start of the container besides, so the program's word comes before its timeout.
    let script = script(json!({"late": 5, "early": 4}), json!({"late": 124, "early": 124}));
    let world = Simulated::new(MemoryTable::new(), MemoryObjects::default(), script, epoch());
    let ended = simulate_on(&host_with(world, Settings::default()), &[yaml]);
    let attempts = |task: &str| {
        let attempts = ended.tasks[task].attempts.iter();
        attempts.map(|attempt| (attempt.class.unwrap().to_string(), attempt.exit_code)).collect::<Vec<_>>()
    };
    assert_eq!(attempts("late"), [("timeout".to_owned(), None)]);
    // Before its time is over, 124 is a code as any other.
    assert_eq!(attempts("early"), vec![("exit".to_owned(), Some(124)); 2]);
}

#[test]
fn an_allowed_failure_counts_as_success_below() {
    let yaml = "
pipeline: allowed
tasks:
  a: {container: {image: x, command: [run]}, allow_failure: true}
  b: {needs: [a], container: {image: x, command: [run]}}
";
    let ended = simulate(yaml, script(json!({}), json!({"a": 1})));
    assert_eq!(ended.statuses(), "a:failed b:success");
    assert_eq!(ended.run.status.as_str(), "success");
    assert!(ended.tasks["a"].allowed_failure);
}

#[test]
fn an_if_that_is_false_skips() {
    let yaml = "
pipeline: conditional
tasks:
  a: {if: \"{{ ds == '2000-01-01' }}\", container: {image: x, command: [run]}}
  b: {needs: [a], container: {image: x, command: [run]}}
";
    let ended = simulate(yaml, Script::default());
    assert_eq!(ended.statuses(), "a:skipped b:skipped");
    assert_eq!(ended.run.status.as_str(), "skipped");
}

#[test]
fn a_pipeline_task_runs_another_pipeline_and_waits_for_it() {
    let parent = "
pipeline: parent
tasks:
  child: {pipeline: {name: child, params: {n: 3}}}
  after: {needs: [child], container: {image: x, command: [run]}}
";
    let child = "
pipeline: child
params: {n: {type: integer, default: 1}}
tasks:
  work: {container: {image: x, command: [run, \"{{ params.n }}\"]}}
";
    let ended = simulate_all(&[parent, child], script(json!({"work": 7}), json!({})));
    assert_eq!(ended.run.status.as_str(), "success", "{:?}", ended.run.message);
    assert_eq!(ended.started("work"), [0.0]);
    assert_eq!(ended.started("after"), [7.0]);
    let failed = simulate_all(&[parent, child], script(json!({}), json!({"work": 1})));
    assert_eq!(failed.statuses(), "after:upstream_failed child:failed");
}

#[test]
fn runs_beyond_max_active_runs_wait_their_turn() {
    use crate::world::{by_hand, compiled, deployment, epoch, host, read};
    let yaml = "
pipeline: single
max_active_runs: 1
tasks:
  a: {container: {image: x, command: [run]}}
";
    let compiled = compiled(yaml);
    let (table, objects) =
        (cauce_local::memory::MemoryTable::new(), cauce_host::simulation::MemoryObjects::default());
    let host = host(table, objects, script(json!({"a": 10}), json!({})), epoch());
    let clock = host.world().clock.clone();
    let names = ["r1", "r2", "r3", "r4"];
    let ended = clock
        .block_on(async {
            host.deploy(&deployment(&compiled)).await.unwrap();
            for name in names {
                let command = cauce_engine::Command::Trigger(Box::new(by_hand(&compiled, name)));
                host.execute(&command).await.unwrap();
            }
            host.run(std::future::pending()).await.unwrap();
            let mut ended = Vec::new();
            for name in names {
                ended.push(read(&host, &cauce_model::RunKey::new("single", name)).await);
            }
            ended
        })
        .unwrap();
    let seconds: Vec<f64> =
        ended.iter().map(|ended| ended.run.started_at.unwrap().micros_since(epoch()) as f64 / 1e6).collect();
    assert_eq!(seconds, [0.0, 10.0, 20.0, 30.0]);
    assert!(ended.iter().all(|ended| ended.run.status.as_str() == "success"));
}

#[test]
fn people_are_told_once_of_a_retry_a_failure_and_a_missed_deadline() {
    let yaml = "
pipeline: told
deadline: {after: 20s, from: started}
notify: {failed: [alerts], retrying: [mail], deadline: [pager]}
tasks:
  a: {container: {image: x, command: [run]}, retry: {retries: 1, delay: 1s, jitter: 0}}
";
    let ended = simulate(yaml, script(json!({"a": 15}), json!({"a": 4})));
    assert_eq!(ended.run.status.as_str(), "failed");
    let told: Vec<String> =
        ended.notices.iter().map(|n| format!("{} {} {}", n.channel, n.event, n.subject)).collect();
    assert_eq!(
        told,
        [
            "mail retrying told/r1: task a failed, attempt 2 follows in 1 s",
            "pager deadline told/r1: over its deadline",
            "alerts failed told/r1: run failed",
        ]
    );
    assert!(ended.run.outbox.is_empty() && ended.tasks["a"].outbox.is_empty(), "nothing is left to be told");
}

#[test]
fn a_deadline_that_cancels_ends_what_runs() {
    let yaml = "
pipeline: cut
deadline: {after: 20s, from: started, action: cancel}
tasks:
  a: {container: {image: x, command: [run]}, retry: {retries: 3, delay: 1s, jitter: 0}}
  b: {needs: [a], container: {image: x, command: [run]}}
";
    let ended = simulate(yaml, script(json!({"a": 3600}), json!({})));
    assert_eq!(ended.statuses(), "a:cancelled b:cancelled");
    assert_eq!(ended.run.status.as_str(), "cancelled");
    let seconds = ended.run.ended_at.unwrap().micros_since(crate::world::epoch()) as f64 / 1e6;
    assert!((20.0..30.0).contains(&seconds), "{seconds}");
}

/// Whether a run of that name exists is asked by the first attempt; a second one goes on with what the first began.
#[test]
fn a_nested_run_that_failed_is_run_again_by_the_next_attempt_though_it_must_not_exist_before() {
    let parent = "
pipeline: parent
tasks:
  nested: {pipeline: {name: child, on_existing: fail}, retry: {retries: 1, delay: 5s, jitter: 0}}
";
    let child = "
pipeline: child
tasks:
  work: {container: {image: x, command: [run]}}
";
    let ended = simulate_all(&[parent, child], script(json!({"work": 3}), json!({"work": [1, "success"]})));
    assert_eq!(ended.run.status.as_str(), "success", "{:?}", ended.reasons());
    assert_eq!(ended.tasks["nested"].attempts.len(), 2);
}
