//! A pipeline of every kind that another service does, played to the end in virtual time.

use crate::world::{script, simulate};
use serde_json::json;

const EVERY_KIND: &str = r#"
pipeline: p
defaults: {retry: {retries: 1, delay: 1m, jitter: 0}}
tasks:
  resize: {lambda: {function: resize, payload: {day: "{{ ds }}"}}, returns: {rows: integer}, local: [resize]}
  curate: {needs: [resize], glue: {job: curate, arguments: {rows: "{{ outputs.resize.rows }}"}}, local: [curate]}
  spark: {needs: [resize], emr_serverless: {application: a, role: r, spark: "s3://code/job.py"}, local: [spark]}
  score: {needs: [curate, spark], batch: {job_definition: d, queue: q}, local: [score]}
  report: {needs: [score], athena: {query: "SELECT ?", params: ["{{ ds }}"]}, local: [report]}
  legacy: {needs: [report], state_machine: legacy, local: [legacy]}
  tell: {needs: [report], state_machine: {machine: tell, wait: false}, local: [tell]}
  each: {needs: [report], map: {over: [1, 2]}, lambda: {function: "f{{ item }}"}, local: [each, "{{ item }}"]}
  done: {needs: [legacy, tell, each], container: {image: i, command: [done]}}
"#;

#[test]
fn every_kind_runs_to_its_end() {
    let ended = simulate(EVERY_KIND, script(json!({}), json!({"resize": {"output": {"rows": 3}}})));
    assert_eq!(
        ended.statuses(),
        "curate:success done:success each:success each[0]:success each[1]:success legacy:success report:success \
         resize:success score:success spark:success tell:success",
        "{:?}",
        ended.reasons()
    );
    assert_eq!(ended.ran.iter().filter(|ran| ran.task == "each").count(), 2);
}

#[test]
fn a_failed_call_is_tried_again_and_then_fails_what_needs_it() {
    let outcomes =
        json!({"resize": {"output": {"rows": 3}}, "curate": ["throttled", "success"], "report": "failed"});
    let ended = simulate(EVERY_KIND, script(json!({}), outcomes));
    assert_eq!(ended.tasks["curate"].attempts.len(), 2);
    assert_eq!(ended.tasks["curate"].status.as_str(), "success");
    assert_eq!(ended.tasks["report"].attempts.len(), 2);
    assert_eq!(ended.tasks["report"].status.as_str(), "failed");
    assert_eq!(ended.tasks["done"].status.as_str(), "upstream_failed");
}

#[test]
fn what_only_aws_has_fails_with_a_way_out() {
    let ended = simulate("pipeline: p\ntasks:\n  a: {glue: curate}\n", script(json!({}), json!({})));
    assert_eq!(ended.tasks["a"].status.as_str(), "failed");
    let reason = ended.tasks["a"].reason.as_deref().unwrap_or_default();
    assert!(reason.starts_with("only AWS has 'glue'"), "{reason}");
    assert_eq!(ended.ran, []);
}
