//! A pipeline for each item of a list: what a deployment writes, a tick that reaches the items of its case,
//! and a list that changes without a deployment.

use crate::Scenario;
use crate::commands::cauce;
use crate::deployed::Deployed;
use serde_json::json;
use std::fs;

pub(crate) const SCENARIOS: &[Scenario] =
    &[("a tick reaches the items of its case, as the list is then", series)];

fn series(deployed: &Deployed) {
    // The deployment has written the items.
    cauce(deployed, "sync series --dry-run").exits(0).says("nothing differs");
    // Items hear of ticks that come after them.
    let day = deployed.fresh_day(jiff::civil::date(2030, 4, 1));
    for _ in 0..2 {
        deployed.tick("series", &format!("{day}T10:15:00Z"));
    }
    for item in ["AAPL", "MSFT"] {
        let run = deployed.run_ended(&format!("series/{item}-{day}T0915Z"));
        assert_eq!(run["status"], "success", "{run}");
        assert_eq!(run["tasks"]["work"]["output"], json!({"ticker": item, "risk": "high"}));
    }
    assert!(deployed.show(&format!("series/KO-{day}T0915Z")).is_none(), "another case");

    let file = deployed.project().join("series.csv");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before.replace("MSFT,high", "IBM,high")).unwrap();
    let dry = cauce(deployed, "sync series --dry-run --json").exits(0).json();
    assert_eq!((&dry[0]["added"], &dry[0]["removed"]), (&json!(["IBM"]), &json!(["MSFT"])));
    cauce(deployed, "sync series").exits(0).says("1 added, 0 changed, 1 removed");
    deployed.tick("series", &format!("{day}T11:15:00Z"));
    for item in ["AAPL", "IBM"] {
        assert_eq!(deployed.run_ended(&format!("series/{item}-{day}T1015Z"))["status"], "success");
    }
    assert!(deployed.show(&format!("series/MSFT-{day}T1015Z")).is_none(), "it is gone");
    let runs = cauce(deployed, "runs --pipeline series --item MSFT --json").exits(0).json();
    assert!(!runs["runs"].as_array().unwrap().is_empty(), "the runs that it had stay");

    cauce(deployed, &format!("trigger series --item KO --logical-date {day} --wait --again")).exits(0);
    cauce(deployed, "trigger series --item NOKIA").exits(2).says("has no item 'NOKIA'");
    cauce(deployed, "trigger series").exits(2).says("none is named");
    fs::write(&file, before).unwrap();
    cauce(deployed, "sync series").exits(0).says("1 added, 0 changed, 1 removed");
}
