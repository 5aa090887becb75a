//! The sales pipeline over the real purchases: a clean day, a spoiled one, sums to the cent.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Project, has_worker, skipped};

/// What the daily gold table is called where its consumers are started by it.
const DAILY: &str = "s3://ecommerce-lake/gold/ventas_diarias_region";

/// A drop made and the batch run over it; the batch has to end so.
fn day(project: &Project, date: &str, exit: i32) {
    project.cauce(&["run", "ventas_drop.yaml", "--logical-date", date]).exits(0);
    project.cauce(&["run", "ventas_batch.yaml", "--logical-date", date]).exits(exit);
}

#[test]
fn a_day_goes_from_the_drop_to_gold_and_can_be_run_again() {
    if !has_worker() {
        return;
    }
    let project = Project::copy_of(&["ventas"]);
    day(&project, "1997-01-05", 0);
    let run = project.show("ventas_batch");
    assert_eq!(run["status"], "success");
    let curated = run["tasks"]["curar"]["output"]["rows"].as_u64().unwrap();
    assert!((40..1000).contains(&curated), "{curated}");
    for table in ["ventas_diarias_region", "productos_performance", "customer_rfm"] {
        let log = format!(".cauce/objects/ecommerce-lake/gold/{table}/_delta_log/00000000000000000000.json");
        assert!(project.path(&log).is_file(), "{table}");
    }
    let metrics =
        project.read(".cauce/objects/ecommerce-lake/metrics/ventas_batch/dt=1997-01-05/metrics.json");
    assert!(metrics.contains("quality_score"), "{metrics}");
    // No e-mail and no card goes past the masking.
    let masked =
        fs::read(project.path(".cauce/objects/ecommerce-lake/masked/ventas/dt=1997-01-05/ventas.parquet"));
    let landed = project.read(".cauce/objects/ecommerce-lake/raw/ventas/dt=1997-01-05/ventas_1997-01-05.csv");
    let (masked, column) = (masked.unwrap(), landed.lines().next().unwrap());
    let place = column.split(',').position(|name| name == "tarjeta_numero").unwrap();
    let card = landed.lines().nth(1).unwrap().split(',').nth(place).unwrap();
    assert!(card.len() >= 12, "{card}");
    assert!(!masked.windows(card.len()).any(|bytes| bytes == card.as_bytes()), "{card}");

    // Again: the same rows, not twice as many.
    project
        .cauce(&["run", "ventas_batch.yaml", "--logical-date", "1997-01-05"])
        .exits(0)
        .says("generation 2");
    assert_eq!(project.show("ventas_batch")["tasks"]["curar"]["output"]["rows"], curated);
    verify(&project, "1997-01-05", "1997-01-05");
}

#[test]
fn a_spoiled_day_is_refused_alerted_and_reported() {
    if !has_worker() {
        return;
    }
    let project = Project::copy_of(&["ventas"]);
    day(&project, "1997-02-14", 1);
    let run = project.show("ventas_batch");
    let status = |task: &str| run["tasks"][task]["status"].as_str().unwrap();
    assert_eq!(["calidad", "alertar", "rechazar"].map(status), ["success", "success", "failed"]);
    assert_eq!(["enmascarar", "curar", "oro_region"].map(status), ["skipped"; 3]);
    assert_eq!(run["tasks"]["calidad"]["output"]["passed"], false);
    let alerts: Vec<Value> = project
        .lines(".cauce/alertas.jsonl")
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let by_task = |task: &str| alerts.iter().any(|alert| alert.to_string().contains(task));
    assert!(by_task("ventas 1997-02-14: quality failed"), "the task's own: {alerts:?}");
    assert!(alerts.len() >= 2, "and the pipeline's, for the run that failed: {alerts:?}");
    let report = project.read(".cauce/objects/ecommerce-lake/quality/ventas/dt=1997-02-14/report.json");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["passed"], false, "{report}");
    assert!(!project.path(".cauce/objects/ecommerce-lake/curated").exists(), "nothing bad goes on");
}

#[test]
fn days_filled_in_sum_to_the_cent() {
    if !has_worker() {
        return;
    }
    let project = Project::copy_of(&["ventas"]);
    let range = ["--from", "1997-01-05", "--to", "1997-01-07"];
    project.cauce(&[&["backfill", "ventas_drop.yaml"], &range[..]].concat()).exits(0);
    project.cauce(&[&["backfill", "ventas_batch.yaml"], &range[..]].concat()).exits(0);
    let runs = project.cauce(&["runs", "--pipeline", "ventas_batch", "--json"]).exits(0).json();
    let runs = runs["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run["status"] == "success" && run["trigger"] == "backfill"), "{runs:?}");
    verify(&project, "1997-01-05", "1997-01-07");
}

/// A week's file, region by region: the days that it is of, and the last of them.
fn week(project: &Project, monday: &str) -> Vec<(String, String)> {
    let path = format!(".cauce/objects/ecommerce-lake/export/ventas_semanales_region/{monday}.csv");
    let rows = project.lines(&path);
    assert_eq!(rows[0], "semana,region,dias,hasta,num_transacciones,revenue_total,ticket_promedio,mejor_dia");
    let cells = |row: &String| row.split(',').map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows[1..].iter().map(cells).collect();
    assert!(rows.iter().all(|row| row[0] == monday), "{rows:?}");
    let regions: Vec<&String> = rows.iter().map(|row| &row[1]).collect();
    assert_eq!(regions, ["APAC", "EU", "LATAM", "NA"]);
    rows.into_iter().map(|mut row| (row.swap_remove(2), row.swap_remove(3))).collect()
}

#[test]
fn a_day_in_gold_starts_its_week_and_leaves_the_others_alone() {
    if !has_worker() {
        return;
    }
    let project = Project::copy_of(&["ventas"]);
    let mut service = project.start(&["up"]);
    service.hears("ready: 4 pipelines");
    // Monday, the Sunday before it, Tuesday: each week is made while gold has a day of the other.
    let days = ["1997-01-06", "1997-01-05", "1997-01-07"];
    for day in days {
        project.cauce(&["run", "ventas_drop.yaml", "--logical-date", day]).exits(0);
        service.hears(&format!("ventas_semana/{day} success"));
    }
    assert_eq!(week(&project, "1996-12-30"), vec![("1".to_owned(), "1997-01-05".to_owned()); 4]);
    assert_eq!(week(&project, "1997-01-06"), vec![("2".to_owned(), "1997-01-07".to_owned()); 4]);
    verify(&project, "1997-01-05", "1997-01-07");
    let events = project.cauce(&["triggers", "--pipeline", "ventas_semana", "--json"]).exits(0).json();
    let mut told: Vec<&Value> = events["events"].as_array().unwrap().iter().collect();
    told.sort_by_key(|event| event["event"]["number"].as_u64());
    for (event, (number, day)) in told.iter().zip((1..).zip(days)) {
        let update = json!({"dataset": DAILY, "number": number, "partition": day});
        assert_eq!((&event["event"], &event["became"]), (&update, &json!("run")), "{event}");
        assert_eq!(event["run"], format!("ventas_semana/{day}"));
    }
    assert_eq!(told.len(), 3, "{events}");

    // Gold that cannot be true is summed, checked, and never published.
    let weekly = ".cauce/objects/ecommerce-lake/gold/ventas_semanales_region/_delta_log";
    let versions = || fs::read_dir(project.path(weekly)).unwrap().count();
    let before = versions();
    let sums = project.read("sql/semana.sql");
    project.write("sql/semana.sql", sums.replace("    region,\n", "    'EU' AS region,\n"));
    service.hears("ventas_semana: deployed");
    project.cauce(&["trigger", "ventas_batch", "--logical-date", "1997-01-07", "--again"]).exits(0);
    service.hears("ventas_semana/1997-01-07 failed");
    let run = project.show("ventas_semana");
    let status = |task: &str| run["tasks"][task]["status"].as_str().unwrap();
    assert_eq!(["sumar", "comprobar", "publicar"].map(status), ["success", "failed", "upstream_failed"]);
    assert_eq!(run["generation"], 2, "the day was in gold again: {run}");
    assert_eq!(versions(), before);
    service.signal(Signal::TERM);
    service.answer().exits(0);
}

#[test]
fn gold_reads_curated_and_nothing_before_it() {
    if !has_worker() {
        return;
    }
    let project = Project::copy_of(&["ventas"]);
    day(&project, "1997-01-05", 0);
    fs::remove_dir_all(project.path(".cauce/objects/ecommerce-lake/curated")).unwrap();
    // Its retries wait for minutes: here they would only wait longer for the same.
    let batch = project.read("ventas_batch.yaml").replace("retries: 3, delay: 5m", "retries: 0, delay: 5m");
    project.write("ventas_batch.yaml", batch);
    let gold = ["run", "ventas_batch.yaml", "--logical-date", "1997-01-05", "--only", "oro_region"];
    project.cauce(&gold).exits(1).says("oro_region");
    let log = project.cauce(&["logs", "ventas_batch/@latest", "oro_region"]).exits(0).data;
    assert!(log.contains("curated/ventas"), "the log names what is missing: {log}");
}

/// Holds the exported gold, and weeks where there are some, against the purchases as published, with a program that
/// knows no cauce.
fn verify(project: &Project, from: &str, to: &str) {
    project.cauce(&["run", "ventas_export.yaml"]).exits(0);
    let mut python = Command::new("python3");
    python.args(["verify/revenue.py", "data/cdnow_master.txt.gz"]);
    python.arg(".cauce/objects/ecommerce-lake/export/ventas_diarias_region.csv").args([from, to]);
    let weeks = project.path(".cauce/objects/ecommerce-lake/export/ventas_semanales_region");
    python.args(weeks.is_dir().then_some(&weeks));
    let Ok(sums) = python.current_dir(project.path("")).output() else {
        skipped("python3");
        return;
    };
    let told = String::from_utf8_lossy(&sums.stdout).into_owned();
    assert!(sums.status.success(), "{told}{}", String::from_utf8_lossy(&sums.stderr));
    assert_eq!(told.matches(" 0 differ").count(), if weeks.is_dir() { 2 } else { 1 }, "{told}");
}
