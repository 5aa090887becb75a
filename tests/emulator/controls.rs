//! Breakers, rate limits and idempotency keys, deployed: their figures come by Terraform, the functions
//! decide, and people see and handle them from afar.

use crate::Scenario;
use crate::api::until;
use crate::commands::{cauce, status};
use crate::deployed::Deployed;
use serde_json::{Value as Json, json};

/// What the project file gets beside its own.
pub(crate) const CONTROLS: &str = "breakers: {erp: {threshold: 2, window: 10m, reset_after: 5m}}\n\
                                   rate_limits: {feed: {tokens: 60, per: 1m, burst: 4}}\n";

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a request is done once, and again once its key is cleared", once),
    ("a breaker that a person opens holds tasks back until it is reset", breaker),
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
    let limits = cauce(deployed, "limits --json").exits(0).json();
    assert!(limits["limits"][0]["taken"].as_u64().unwrap() >= 4, "{limits}");
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
