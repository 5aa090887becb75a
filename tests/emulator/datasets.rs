//! Datasets: a run of one pipeline starts runs of others, through the queue of triggers.

use crate::Scenario;
use crate::api::until;
use crate::commands::cauce;
use crate::deployed::Deployed;
use serde_json::{Value as Json, json};

pub(crate) const SCENARIOS: &[Scenario] =
    &[("datasets that a run writes start others, once, by name and by day", written)];

fn consumer<'a>(told: &'a Json, pipeline: &str) -> &'a Json {
    let all = told["consumers"].as_array().unwrap();
    all.iter().find(|one| one["pipeline"] == pipeline).unwrap_or_else(|| panic!("{pipeline}: {told}"))
}

fn datasets(deployed: &Deployed) -> Json {
    let told = cauce(deployed, "datasets --json");
    assert_eq!(told.code, Some(0), "{}", told.talk);
    serde_json::from_str(&told.data).unwrap()
}

fn written(deployed: &Deployed) {
    // A run that fails updates nothing.
    deployed.start("making", "fails", &json!({"params": {"fails": true}}));
    assert_eq!(deployed.ended("making", "fails"), "FAILED");
    deployed.start("making", "day", &json!({"logical_date": "2026-01-05"}));
    let run = deployed.run_ended("making/day");
    assert_eq!(run["status"], "success", "{run}");
    let names: Vec<&str> =
        run["datasets"].as_array().unwrap().iter().map(|one| one["dataset"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2, "{run}");
    assert!(names[0].ends_with("/made/prices"), "{names:?}");

    let started = || deployed.executions("reporting");
    until(deployed.api(), "the run of both datasets", || (!started().is_empty()).then_some(()));
    let name = started()[0]["name"].as_str().unwrap().to_owned();
    assert_eq!(deployed.ended("reporting", &name), "SUCCEEDED");
    let run = deployed.run_ended(&format!("reporting/{}", name.trim_end_matches("-g1")));
    assert_eq!(
        (&run["trigger"], &run["tasks"]["read"]["output"]),
        (&json!("dataset"), &json!({"events": 2}))
    );
    // Its day is that of the run which wrote it, and there is one such run.
    until(deployed.api(), "the run of the day", || (!deployed.executions("dating").is_empty()).then_some(()));
    assert_eq!(deployed.ended("dating", "2026-01-05-g1"), "SUCCEEDED");

    // From outside, for another day; and told of again, by hand and by the sweep.
    let told = cauce(deployed, "datasets update made/outside --partition 2026-01-06");
    assert_eq!(told.code, Some(0), "{}", told.talk);
    for _ in 0..2 {
        let again = json!({"source": "cauce.dataset", "detail": {"dataset": "made/outside"}});
        deployed.send_to_triggers(&again.to_string());
    }
    until(deployed.api(), "the run of the other day", || {
        (deployed.executions("dating").len() > 1).then_some(())
    });
    assert_eq!(deployed.ended("dating", "2026-01-06-g1"), "SUCCEEDED");
    deployed.sweep();
    assert_eq!((started().len(), deployed.executions("dating").len()), (1, 2));

    let told = datasets(deployed);
    assert_eq!(consumer(&told, "reporting")["waiting"], json!([]));
    let rates =
        told["datasets"].as_array().unwrap().iter().find(|one| one["dataset"] == "made/rates").unwrap();
    assert_eq!(rates["producers"], json!(["making.rates"]));
    assert_eq!(rates["consumers"], json!(["dating", "reporting"]));
    assert_eq!(
        (&rates["last_update"]["run"], &rates["last_update"]["number"]),
        (&json!("making/day"), &json!(1))
    );
}
