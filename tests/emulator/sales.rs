//! The sales pipeline, from three files in a bucket to gold tables.

use crate::Scenario;
use crate::cloud::{must, text};
use crate::deployed::{Deployed, LAKE, LANDING};
use serde_json::{Value as Json, json};
use std::fs;

pub(crate) const SCENARIOS: &[Scenario] =
    &[("three files become gold tables, as on one machine", files_to_gold)];

/// The day that is sold.
const DAY: &str = "1997-01-05";

const RUN: &str = "ventas_batch/1997-01-05";

/// The exports of a day as the shop delivers them: name and bytes.
pub(crate) fn exports(deployed: &Deployed, day: &str) -> Vec<(String, Vec<u8>)> {
    let project = deployed.project();
    let drop = deployed.cloud().cauce_here(project, &["run", "ventas_drop.yaml", "--logical-date", day]);
    must("ventas_drop", &drop);
    let folder = project.join(".cauce/objects").join(LANDING).join("exports");
    let names = ["ventas", "clientes", "productos"].map(|name| format!("{name}_{day}.csv"));
    names.into_iter().map(|name| (format!("exports/{name}"), fs::read(folder.join(&name)).unwrap())).collect()
}

fn files_to_gold(deployed: &Deployed) {
    let files = exports(deployed, DAY);
    let local =
        deployed.cloud().cauce_here(deployed.project(), &["run", "ventas_batch.yaml", "--logical-date", DAY]);
    must("the sales pipeline on one machine", &local);
    for (key, bytes) in &files {
        deployed.api().put_object(LANDING, key, bytes);
    }
    let status = deployed.ended("ventas_batch", &format!("{DAY}-g1"));
    assert_eq!(status, "SUCCEEDED");

    let here =
        shown(&text(&deployed.cloud().cauce_here(deployed.project(), &["show", RUN, "--json"]).stdout));
    let there = deployed.cloud().cauce(deployed.project(), &["show", RUN, "--env", "dev", "--json"]);
    must("cauce show --env dev", &there);
    let there = shown(&text(&there.stdout));
    assert_eq!(there["tasks"], here["tasks"]);
    assert_eq!(there["status"], here["status"]);

    for table in ["ventas_diarias_region", "productos_performance", "customer_rfm"] {
        let keys = deployed.api().list_objects(LAKE, &format!("gold/{table}/"));
        assert!(keys.iter().any(|key| key.contains("_delta_log/")), "{table} is no Delta table: {keys:?}");
        assert!(keys.iter().any(|key| key.ends_with(".parquet")), "{table} has no data: {keys:?}");
    }
    // The day in gold has started its week, with nobody asking for it.
    let week = deployed.run_ended(&format!("ventas_semana/{DAY}"));
    assert_eq!((&week["status"], &week["trigger"]), (&json!("success"), &json!("dataset")), "{week}");
    let keys = deployed.api().list_objects(LAKE, "export/ventas_semanales_region/");
    assert_eq!(keys, ["export/ventas_semanales_region/1996-12-30.csv"]);
    let functions = deployed.cloud().lines("lambdas.jsonl");
    for function in ["trigger-run", "open-run", "begin-task", "finish-task", "close-run"] {
        let name = deployed.name(function);
        let began = functions.iter().any(|line| line["function"] == name.as_str() && line["pid"].is_u64());
        assert!(began, "no process of {name} was started");
    }
}

/// What must be the same wherever a run runs: how it and its tasks ended, in how many attempts, with
/// which outputs.
fn shown(show: &str) -> Json {
    let show: Json = serde_json::from_str(show).unwrap_or_else(|error| panic!("{error}: {show}"));
    let tasks: serde_json::Map<String, Json> = show["tasks"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, task)| {
            let attempts: Vec<Json> = task["attempts"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|attempt| json!({"number": attempt["number"], "exit_code": attempt["exit_code"], "class": attempt["class"]}))
                .collect();
            let mut output = task["output"].clone();
            if output["format"] == "delta" || output.get("version").is_some() {
                // The order of a table's rows, and so what they compress to, is no promise of a sum.
                output.as_object_mut().unwrap().remove("bytes");
            }
            let same = json!({"status": task["status"], "attempts": attempts, "output": output,
                              "skipped_because": task["skipped_because"]});
            (name.clone(), same)
        })
        .collect();
    json!({"status": show["status"], "tasks": tasks})
}
