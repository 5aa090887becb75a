//! The subscriptions: a daily pipeline, a model on demand, and the pipeline that starts both.

use serde_json::{Value, json};

use crate::harness::{Project, has_worker};

const LAKE: &str = ".cauce/objects/datavision-lake";

fn project() -> Option<Project> {
    has_worker().then(|| Project::copy_of(&["datavision", "ventas"]))
}

fn rows(run: &Value, task: &str) -> u64 {
    run["tasks"][task]["output"]["rows"].as_u64().unwrap_or_else(|| panic!("{}", run["tasks"][task]))
}

#[test]
fn the_daily_pipeline_then_the_model_on_demand() {
    let Some(project) = project() else { return };
    let daily = ["run", "pipeline_suscripciones.yaml", "--logical-date", "1997-06-30", "--param", "dias=30"];
    project.cauce(&daily).exits(0);
    let run = project.show("pipeline_suscripciones");
    assert_eq!(run["status"], "success");
    assert_eq!(run["logical_date"], "1997-06-30T12:00:00.000000Z", "09:00 in Buenos Aires");
    let customers = rows(&run, "dim_cliente");
    assert!(customers > 100 && rows(&run, "stg_suscripciones") >= customers, "{customers}");

    let model =
        ["run", "pipeline_fact_rfm.yaml", "--param", "fecha_corte=1997-06-30", "--param", "ventana_dias=30"];
    project.cauce(&model).exits(0);
    let all = project.show("pipeline_fact_rfm");
    assert_eq!(all["params"]["ventana_dias"], 30, "a number, not its text");
    assert_eq!(all["params"]["segmento"], "todos");
    assert!(all["run_id"].as_str().unwrap().starts_with("manual-"), "it has no schedule");
    // The model's own sum: each customer is in one segment.
    let summary = project.read(&format!("{LAKE}/marts/resumen_segmentos/1997-06-30.csv"));
    assert_eq!(summary.lines().count() as u64, rows(&all, "resumen") + 1, "{summary}");

    // Another parameter, another answer, in the same table.
    project.cauce(&[&model[..], &["--param", "monto_minimo=100"]].concat()).exits(0);
    let few = project.show("pipeline_fact_rfm");
    assert!(rows(&few, "fact_rfm") < rows(&all, "fact_rfm"));
}

#[test]
fn parameters_are_checked_before_anything_runs() {
    let Some(project) = project() else { return };
    let model = |params: &[&str]| {
        let mut args = vec!["run", "pipeline_fact_rfm.yaml"];
        args.extend(params.iter().flat_map(|param| ["--param", param]));
        project.cauce(&args)
    };
    model(&[]).exits(2).says("fecha_corte");
    model(&["fecha_corte=30/06/1997"]).exits(2).says("fecha_corte");
    model(&["fecha_corte=1996-12-31"]).exits(2).says("1997-01-01");
    model(&["fecha_corte=1997-06-30", "ventana_dias=noventa"]).exits(2).says("ventana_dias");
    model(&["fecha_corte=1997-06-30", "ventana_dias=7"]).exits(2).says("30");
    model(&["fecha_corte=1997-06-30", "segmento=nadie"]).exits(2).says("campeones");
    model(&["fecha_corte=1997-06-30", "ventana=90"]).exits(2).says("ventana_dias");
    assert!(!project.path(".cauce").exists());
}

#[test]
fn the_complete_pipeline_starts_the_others_and_waits() {
    let Some(project) = project() else { return };
    project.cauce(&["run", "pipeline_completo.yaml", "--logical-date", "1997-07-01"]).exits(0);
    let complete = project.show("pipeline_completo");
    let daily = project.show("pipeline_suscripciones");
    let model = project.show("pipeline_fact_rfm");
    for run in [&complete, &daily, &model] {
        assert_eq!(run["status"], "success", "{run}");
    }
    assert_eq!((&daily["run_id"], &daily["params"]), (&json!("1997-06-30"), &json!({"dias": 184})));
    assert_eq!(model["params"]["fecha_corte"], "1997-06-30");
    // Instants are text of one width: they sort as time does.
    let at = |value: &Value| value.as_str().unwrap().to_owned();
    assert!(at(&daily["ended_at"]) <= at(&model["started_at"]), "the model is on what was ingested");
    assert!(at(&model["ended_at"]) <= at(&complete["ended_at"]), "its starter waits for it");
    assert!(rows(&model, "fact_rfm") > 10_000, "half a year of customers");
}
