//! Markers: a file that says that the others are all there, in whatever order they are told of.

use crate::events::{arrives, deployed, find, finish, object};
use crate::sets::{at, now_is, runs, sets, told};
use crate::world::{Sim, compiled, epoch};
use cauce_model::RunStatus;
use cauce_model::event::{Became, Object};
use serde_json::json;

/// A delivery is a folder of a day, with a marker.
const DELIVERY: &str = r#"
pipeline: sales
triggers:
  - file: {bucket: "${{ env.lake }}", keys: ["in/{day:date}/{part}.csv"], marker: "in/{day:date}/_SUCCESS",
           logical_date: "{day}", min_bytes: 1, WAITS}
notify: {deadline: [team]}
tasks:
  load: {pass: {output: {n: "{{ trigger.events | length }}", by: "{{ trigger.marker.key }}"}}}
"#;

/// An object that was there so many seconds after the beginning.
fn there(key: &str, seconds: u64) -> Object {
    Object { at: epoch().plus_seconds(seconds), ..object(key, &format!("{seconds}")) }
}

async fn hears(host: &Sim, object: Object) {
    host.execute(&arrives(&object)).await.unwrap();
}

/// Plays a delivery, and looks at what runs were told of.
fn play(waits: &str, story: impl AsyncFn(&Sim)) {
    let host = crate::deployments::new_host();
    let compiled = compiled(&DELIVERY.replace("WAITS", waits));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            story(&host).await;
        })
        .unwrap();
}

#[test]
fn files_wait_for_their_marker_and_no_other() {
    play("settle: 1m", async |host| {
        for part in 0..40 {
            assert_eq!(now_is(host, &format!("in/1997-01-05/{part}.csv"), "1").await, Became::Waiting);
        }
        hears(host, there("in/1997-01-06/a.csv", 3)).await;
        at(host, 4_000).await;
        assert_eq!(runs(host).await, []);
        // It has no bytes, which a file may not.
        hears(host, Object { size: 0, ..there("in/1997-01-05/_SUCCESS", 4_000) }).await;
        at(host, 4_059).await;
        assert_eq!(runs(host).await, []);
        at(host, 4_060).await;
        let all = runs(host).await;
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].status, all[0].run.run_id.as_str()), (RunStatus::Success, "1997-01-05"));
        assert_eq!(all[0].trigger.detail["marker"]["key"], "in/1997-01-05/_SUCCESS");
        let told = told(&host.world().objects, &all).await;
        assert_eq!((told.len(), told.values().max()), (40, Some(&1)));
    });
}

#[test]
fn a_file_that_was_there_before_its_marker_is_not_left_behind() {
    play("settle: 10s", async |host| {
        // The marker is heard of first, then what lay there before it.
        hears(host, there("in/1997-01-05/_SUCCESS", 5)).await;
        hears(host, there("in/1997-01-05/a.csv", 1)).await;
        at(host, 20).await;
        assert_eq!(find(host, "1997-01-05").await.unwrap().generation, 1);
        // Long after.
        hears(host, there("in/1997-01-05/b.csv", 2)).await;
        at(host, 40).await;
        assert_eq!(find(host, "1997-01-05").await.unwrap().generation, 2);
        // One that came after the marker waits for the next.
        hears(host, there("in/1997-01-05/c.csv", 6)).await;
        at(host, 400).await;
        assert_eq!(find(host, "1997-01-05").await.unwrap().generation, 2);
        hears(host, there("in/1997-01-05/_SUCCESS", 500)).await;
        at(host, 600).await;
        let run = find(host, "1997-01-05").await.unwrap();
        assert_eq!(run.generation, 3);
        let keys = run.trigger.detail["events"].as_array().unwrap().iter().map(|event| event["key"].clone());
        assert_eq!(keys.collect::<Vec<_>>(), ["in/1997-01-05/c.csv"]);
    });
}

#[test]
fn a_marker_that_stays_away_is_told_of_once() {
    play("deadline: 1h", async |host| {
        for part in ["a", "b", "c"] {
            hears(host, there(&format!("in/1997-01-05/{part}.csv"), 1)).await;
        }
        at(host, 3_599).await;
        assert_eq!(sets(host).await.len(), 0);
        at(host, 3_600).await;
        at(host, 9_000).await;
        let late = sets(host).await;
        assert_eq!(late.iter().map(|entry| entry.became).collect::<Vec<_>>(), [Became::Incomplete]);
        assert_eq!(late[0].reason.as_deref(), Some("missing: in/{day:date}/_SUCCESS"));
        assert_eq!(host.world().notices.notices().len(), 1);
        hears(host, there("in/1997-01-05/_SUCCESS", 9_000)).await;
        at(host, 9_020).await;
        let all = runs(host).await;
        assert_eq!(told(&host.world().objects, &all).await.len(), 3);
    });
}

#[test]
fn a_marker_without_files_starts_nothing_and_says_so() {
    play("settle: 5s", async |host| {
        hears(host, there("in/1997-01-05/_SUCCESS", 0)).await;
        at(host, 60).await;
        assert_eq!(runs(host).await, []);
        let entries = sets(host).await;
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].became, Became::Rejected);
        assert_eq!(entries[0].reason.as_deref(), Some("the marker came, and no file with it"));
    });
}

#[test]
fn a_set_of_one_file_each_needs_its_marker_too() {
    let yaml = DELIVERY.replace("WAITS", "wait_for: all").replace(
        "\"in/{day:date}/{part}.csv\"",
        "\"in/{day:date}/sales.csv\", \"in/{day:date}/clients.csv\"",
    );
    let host = crate::deployments::new_host();
    let compiled = compiled(&yaml);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            assert_eq!(now_is(&host, "in/1997-01-05/_SUCCESS", "1").await, Became::Waiting);
            assert_eq!(now_is(&host, "in/1997-01-05/sales.csv", "1").await, Became::Waiting);
            assert_eq!(now_is(&host, "in/1997-01-05/clients.csv", "1").await, Became::Run);
            finish(&host).await;
            let run = find(&host, "1997-01-05").await.unwrap();
            assert_eq!(run.status, RunStatus::Success);
            assert_eq!(run.trigger.detail["events"].as_array().unwrap().len(), 2);
            assert_eq!(run.trigger.detail["marker"]["key"], json!("in/1997-01-05/_SUCCESS"));
        })
        .unwrap();
}
