//! Breakers, rate limits and idempotency keys, deployed: their figures come by Terraform, the functions
//! decide, and people see and handle them from afar.

use crate::Scenario;
use crate::api::until;
use crate::commands::{cauce, status};
use crate::deployed::Deployed;
use serde_json::{Value as Json, json};

/// What the project file gets beside its own.
pub(crate) const CONTROLS: &str = "breakers: {erp: {threshold: 2, window: 10m, reset_after: 5m}}\n\
                                   rate_limits: {feed: {tokens: 60, per: 1m, burst: 4}, daily: {tokens: 1, per: 24h}}\n";

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a request is done once, and again once its key is cleared", once),
    ("a breaker that a person opens holds tasks back until it is reset", breaker),
    ("a program inside a task takes tokens of a limit and waits for its turn", taking),
    ("a person sweeps and hears what was repaired", sweeping),
];

fn start(deployed: &Deployed, run: &str, batch: &str) -> String {
    deployed.start("controlled", run, &json!({"params": {"batch": batch}}));
    format!("controlled/{run}")
}

fn attempts(run: &Json) -> usize {
    run["tasks"]["load"]["attempts"].as_array().map_or(0, Vec::len)
}

fn once(deployed: &Deployed) {
    let (first, second, third) = (deployed.fresh("c1"), deployed.fresh("c2"), deployed.fresh("c3"));
    let batch = deployed.fresh("b1");
    let done = deployed.run_ended(&start(deployed, &first, &batch));
    assert_eq!((&done["status"], attempts(&done)), (&json!("success"), 1), "{done}");
    let reused = deployed.run_ended(&start(deployed, &second, &batch));
    assert_eq!((&reused["status"], attempts(&reused)), (&json!("success"), 0), "{reused}");
    assert_eq!(reused["tasks"]["load"]["output"], json!({"rows": 3}));
    let key = format!("controlled/load/{batch}");
    cauce(deployed, "idempotency --pipeline controlled").exits(0).shows(&key);
    cauce(deployed, &format!("idempotency show {key}")).exits(0).shows(&format!("controlled/{first}"));
    cauce(deployed, &format!("idempotency clear {key}")).exits(0).says("forgotten");
    let again = deployed.run_ended(&start(deployed, &third, &batch));
    assert_eq!((&again["status"], attempts(&again)), (&json!("success"), 1), "{again}");
    assert!(taken(deployed, "feed") >= 4);
    let told = cauce(deployed, "limits take feed --tokens 4 --no-wait --json").exits(0).json();
    assert!(told["start_at"].is_string(), "{told}");
}

fn breaker(deployed: &Deployed) {
    cauce(deployed, "breakers open erp").exits(0).says("open, until it is reset");
    let run = start(deployed, &deployed.fresh("c4"), &deployed.fresh("b2"));
    until(deployed.api(), "the task to be held back", || {
        let shown = deployed.show(&run)?;
        (status(&shown, "load") == "queued").then_some(())
    });
    cauce(deployed, &format!("why {run} load")).exits(0).shows("the breaker 'erp' is open");
    cauce(deployed, "breakers --json").exits(0).shows("\"state\": \"open\"");
    cauce(deployed, "breakers reset erp").exits(0).says("closed");
    let ended = deployed.run_ended(&run);
    assert_eq!((&ended["status"], attempts(&ended)), (&json!("success"), 1), "{ended}");
    cauce(deployed, "audit").exits(0).shows("open_breaker").shows("reset_breaker");
}

/// What was taken of a limit so far.
fn taken(deployed: &Deployed, limit: &str) -> u64 {
    let told = cauce(deployed, "limits --json").exits(0).json();
    let all = told["limits"].as_array().unwrap();
    let one = all.iter().find(|one| one["limit"] == limit).unwrap_or_else(|| panic!("{told}"));
    one["taken"].as_u64().unwrap()
}

fn taking(deployed: &Deployed) {
    // The one token of a day is gone, whoever took it.
    cauce(deployed, "limits take daily --no-wait --timeout 0");
    let before = [taken(deployed, "feed"), taken(deployed, "daily")];
    let run = deployed.fresh("t1");
    deployed.start("taking", &run, &json!({}));
    let ended = deployed.run_ended(&format!("taking/{run}"));
    let exit = |task: &str| ended["tasks"][task]["attempts"][0]["exit_code"].clone();
    assert_eq!(status(&ended, "calls"), "success", "{ended}");
    assert_eq!((exit("hasty"), exit("strange")), (json!(1), json!(2)), "{ended}");
    cauce(deployed, &format!("logs taking/{run} hasty"))
        .exits(0)
        .shows("nothing is taken: the limit 'daily'");
    cauce(deployed, &format!("logs taking/{run} strange")).exits(0).shows("there is no rate limit 'nowhere'");
    let after = [taken(deployed, "feed"), taken(deployed, "daily")];
    assert!(after[0] >= before[0] + 3, "{before:?} {after:?}");
    assert_eq!(after[1], before[1], "who cannot wait takes nothing");
}

fn sweeping(deployed: &Deployed) {
    let report = cauce(deployed, "sweep --json").exits(0).json();
    assert_eq!(report["troubles"], 0, "{report}");
    cauce(deployed, "sweep").exits(0).says("looked at ");
    // An alarm begins one as well: the emulated cloud sends no events of alarms, and knows which it would match.
    let events =
        |operation: &str, body: Json| deployed.api().call("events", &format!("AWSEvents.{operation}"), &body);
    let rule = deployed.name("alarms");
    let target = events("ListTargetsByRule", json!({"Rule": rule}))["Targets"][0].clone();
    assert_eq!(target["Input"], json!({"source": "cauce.sweep"}).to_string());
    assert!(
        target["Arn"].as_str().unwrap().ends_with(&format!(":function:{}", deployed.name("sweep"))),
        "{target}"
    );
    let pattern = events("DescribeRule", json!({"Name": rule}))["EventPattern"].clone();
    for (alarm, state, begins) in [
        ("finish-lost", "ALARM", true),
        ("record-event-errors", "ALARM", true),
        ("throttled-DescribeExecution", "ALARM", true),
        ("finish-lost", "OK", false),
        ("sweep-silent", "ALARM", false),
    ] {
        let event = json!({
            "id": "1", "account": "123456789012", "source": "aws.cloudwatch", "time": "2026-01-05T00:00:00Z",
            "region": "eu-west-1", "resources": [], "detail-type": "CloudWatch Alarm State Change",
            "detail": {"alarmName": deployed.name(alarm), "state": {"value": state}},
        });
        let tried = events("TestEventPattern", json!({"EventPattern": pattern, "Event": event.to_string()}));
        assert_eq!(tried["Result"], begins, "{alarm} {state}");
    }
}
