//! Documents that are lost while a run needs them: whoever needs one fails at once and says which, because no
//! repetition brings it back.

use crate::repair::{pass, settle, stand, started};
use crate::world::{Sim, epoch, script};
use cauce_model::{RunStatus, TaskStatus};
use cauce_ports::Objects;
use serde_json::json;

/// Cuts off every document whose address has these words in it. Returns how many.
fn cut_off(host: &Sim, words: &str) -> usize {
    let objects = &host.world().objects;
    host.world()
        .clock
        .clone()
        .block_on(async {
            let found = objects.list("", u32::MAX).await.unwrap();
            let found: Vec<_> = found.into_iter().filter(|object| object.uri.contains(words)).collect();
            for object in &found {
                objects.put(&object.uri, b"[\"half").await.unwrap();
            }
            found.len()
        })
        .unwrap()
}

/// More than a record holds.
fn large() -> String {
    "x".repeat(9000)
}

const MAPPED: &str = "
pipeline: mapped
max_active_tasks: 1
tasks:
  list: {pass: {output: {items: ITEMS}}, returns: {items: list}}
  each: {needs: [list], map: {over: \"{{ outputs.list.items }}\"}, container: {image: x, command: [run]}}
  last: {needs: [each], trigger_rule: all_done, container: {image: x, command: [run]}}
";

#[test]
fn a_mapped_task_whose_items_outputs_are_lost_fails_and_names_them() {
    let script =
        script(json!({"each": 5}), json!({"each": {"status": "success", "output": {"text": large()}}}));
    let (host, key) = started(&MAPPED.replace("ITEMS", "[1, 2, 3]"), script);
    pass(&host, 12);
    assert_eq!(stand(&host, &key).tasks["each[1]"].status, TaskStatus::Success);
    assert_eq!(cut_off(&host, "/outputs/"), 2);
    assert!(settle(&host));
    let ended = stand(&host, &key);
    let each = &ended.tasks["each"];
    assert_eq!((each.status, ended.tasks["last"].status), (TaskStatus::Failed, TaskStatus::Success));
    let reason = each.reason.as_deref().unwrap();
    assert!(reason.starts_with("the output of each[0]: s3://"), "{reason}");
    assert!(reason.contains("is not JSON"), "{reason}");
    assert!(reason.ends_with("; so are those of 1 more items; run each again"), "{reason}");
    assert_eq!(each.output, None, "a list with holes is none");
    assert_eq!(ended.run.status, RunStatus::Failed);
    assert!(ended.run.ended_at.unwrap() < epoch().plus_seconds(60), "{:?}", ended.run.ended_at);
}

#[test]
fn items_whose_list_is_lost_fail_and_say_so() {
    let list = format!("[1, 2, {}]", large());
    let (host, key) = started(&MAPPED.replace("ITEMS", &list), script(json!({"each": 5}), json!({})));
    pass(&host, 7);
    assert_eq!(stand(&host, &key).tasks["each[1]"].status, TaskStatus::Running);
    assert_eq!(cut_off(&host, "/items/"), 1);
    assert!(settle(&host));
    let ended = stand(&host, &key);
    let item = &ended.tasks["each[2]"];
    assert_eq!((item.status, item.attempts.len()), (TaskStatus::Failed, 0));
    let reason = item.reason.as_deref().unwrap();
    assert!(reason.starts_with("the items of each: s3://"), "{reason}");
    assert!(reason.ends_with("; run each again"), "{reason}");
    assert_eq!((ended.tasks["each"].status, ended.run.status), (TaskStatus::Failed, RunStatus::Failed));
    assert!(ended.run.ended_at.unwrap() < epoch().plus_seconds(60), "{:?}", ended.run.ended_at);
}
