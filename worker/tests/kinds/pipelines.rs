//! The real pipelines' data tasks, as their files say, in the order of the files.
//!
//! The engine is not here: what it would decide is one branch. Files are checked and templates rendered by the crates
//! that the compiler uses, and `s3://bucket/` is a folder `bucket/` of the test's lake.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cauce_spec::{Kind, Pipeline, Project, Task, check, check_project};
use cauce_template::{Context, TemplateValue};
use serde_json::{Map, Value, json};

use crate::lake::{Lake, Ran, tree};

/// One system of `pipelines/`, with a lake of its own.
struct System {
    folder: PathBuf,
    project: Project,
    lake: Lake,
}

/// How the tasks of one run ended: outputs of those that succeeded, and the first failure.
struct Run {
    outputs: Map<String, Value>,
    failed: Option<(String, Ran)>,
}

impl System {
    fn open(name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines").join(name).canonicalize().unwrap();
        let (project, diagnostics) = check_project(&std::fs::read(folder.join("cauce.yaml")).unwrap());
        assert_eq!(diagnostics, [], "{name}/cauce.yaml");
        Self { folder, project: project.unwrap(), lake: Lake::new() }
    }

    fn pipeline(&self, file: &str) -> Pipeline {
        let (pipeline, diagnostics) = check(&std::fs::read(self.folder.join(file)).unwrap(), &self.project);
        assert_eq!(diagnostics, [], "{file}");
        pipeline.unwrap()
    }

    /// The lake's folder for a bucket of the local environment.
    fn bucket(&self, name: &str) -> PathBuf {
        self.lake.path(self.project.env("local").unwrap()[name].as_str().unwrap())
    }

    /// Runs a file's tasks for a day, leaving out those `without` names and all that need them.
    fn run(&self, file: &str, ds: &str, params: Value, without: &[&str]) -> Run {
        let pipeline = self.pipeline(file);
        let env = self.project.env("local").unwrap();
        let mut params = params.as_object().unwrap().clone();
        for (name, spec) in &pipeline.params {
            params.entry(name.to_string()).or_insert(spec.default.clone().unwrap_or_default());
        }
        let mut run = Run { outputs: Map::new(), failed: None };
        let mut gone: BTreeSet<String> = without.iter().map(|name| (*name).to_owned()).collect();
        for (name, task) in &pipeline.tasks {
            let name = name.to_string();
            if gone.contains(&name) || task.settings.needs.iter().any(|need| gone.contains(need.as_str())) {
                gone.insert(name);
                continue;
            }
            let context = Context::new(
                json!({"ds": ds, "run_id": ds, "logical_date": format!("{ds}T02:00:00Z"), "params": params,
                       "outputs": run.outputs})
                .as_object()
                .unwrap(),
            );
            let render = |config: &TemplateValue| config.fill_env(&env).unwrap().render(&context).unwrap();
            let ran = match task_of(task) {
                Work::Branch => {
                    let Kind::Branch(branch) = &task.kind else { unreachable!() };
                    let holds =
                        |condition: &cauce_template::Template| condition.render(&context).unwrap() == true;
                    let taken =
                        branch.0.iter().position(|choice| choice.condition.as_ref().is_none_or(holds));
                    let others = branch.0.iter().enumerate().filter(|(at, _)| Some(*at) != taken);
                    gone.extend(others.flat_map(|(_, choice)| &choice.to).map(ToString::to_string));
                    continue;
                }
                Work::Nothing => continue,
                Work::Data(kind, config) => self.work(kind, &render(config), &name, ds),
                Work::Program(command) => {
                    let command: Vec<String> = command.iter().map(|item| self.place(&render(item))).collect();
                    self.program(&command)
                }
            };
            if ran.code != 0 {
                gone.insert(name.clone());
                run.failed = run.failed.or(Some((name, ran)));
                continue;
            }
            run.outputs.insert(name, ran.answer);
        }
        run
    }

    /// Buckets become folders; paths of the project stay in the project.
    fn place(&self, value: &Value) -> String {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.replace(
            "s3://",
            &format!("file://{}/", self.lake.path("").to_str().unwrap().trim_end_matches('/')),
        )
    }

    fn work(&self, kind: &str, config: &Value, task: &str, ds: &str) -> Ran {
        let config = serde_json::from_str(&self.place(config)).unwrap();
        self.lake.run_in(&self.folder, kind, config, &[("CAUCE_TASK", task), ("CAUCE_RUN_ID", ds)])
    }

    fn program(&self, command: &[String]) -> Ran {
        assert_eq!(command[0], "ventas-drop");
        let done = Command::new(env!("CARGO_BIN_EXE_ventas-drop"))
            .args(&command[1..])
            .current_dir(&self.folder)
            .output()
            .unwrap();
        Ran {
            code: done.status.code().unwrap(),
            answer: Value::Null,
            log: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    fn good(&self, file: &str, ds: &str, params: Value) -> Map<String, Value> {
        let run = self.run(file, ds, params, &[]);
        assert!(run.failed.is_none(), "{file} {ds}: {:?}", run.failed);
        run.outputs
    }

    fn query(&self, table: &str, query: &str) -> Vec<String> {
        let uri = self.bucket("lake").join(table);
        self.lake.query(json!({"uri": uri, "format": "delta"}), query)
    }
}

enum Work<'a> {
    Data(&'static str, &'a TemplateValue),
    Program(Vec<TemplateValue>),
    Branch,
    Nothing,
}

fn task_of(task: &Task) -> Work<'_> {
    match &task.kind {
        Kind::Quality(data) => Work::Data("quality", &data.config),
        Kind::Sql(data) => Work::Data("sql", &data.config),
        Kind::Mask(data) => Work::Data("mask", &data.config),
        Kind::Copy(data) => Work::Data("copy", &data.config),
        Kind::Container(container) => {
            let written = serde_json::to_value(&container.command).unwrap();
            Work::Program(
                written.as_array().unwrap().iter().map(|item| TemplateValue::parse(item).unwrap()).collect(),
            )
        }
        Kind::Branch(_) => Work::Branch,
        _ => Work::Nothing,
    }
}

fn drop_and_run(ventas: &System, ds: &str) -> Run {
    ventas.good("ventas_drop.yaml", ds, json!({}));
    ventas.run("ventas_batch.yaml", ds, json!({}), &[])
}

#[test]
fn ventas_takes_a_day_from_the_drop_to_gold_to_the_cent() {
    let ventas = System::open("ventas");
    for ds in ["1997-01-02", "1997-01-01", "1997-01-02", "1997-01-03"] {
        let run = drop_and_run(&ventas, ds);
        assert!(run.failed.is_none(), "{ds}: {:?}", run.failed);
        assert_eq!(run.outputs["calidad"]["passed"], true);
        assert_eq!(run.outputs["linaje"]["rows"], 1);
    }
    // Three days, one of them run twice: 212 + 247 + 236 purchases, less those of amount 0.
    let curated = "SELECT count(*), count(DISTINCT transaccion_id), count(nombre_check) FROM (SELECT *, producto_nombre AS nombre_check FROM t)";
    let counts = ventas.query("curated/ventas", curated);
    let [rows, distinct, joined] = counts[0].split(',').collect::<Vec<_>>()[..] else { unreachable!() };
    assert!(rows == distinct && rows == joined, "{counts:?}");
    let totals = ventas.query("gold/ventas_diarias_region", "SELECT sum(num_transacciones), count(*) FROM t");
    assert_eq!(totals, [format!("{rows},12")]);
    // Nothing personal is left in the curated files.
    let personal = ventas.query("curated/ventas", "SELECT count(*) FROM t WHERE email_masked NOT LIKE '__****@example.com' OR tarjeta_masked NOT LIKE '****-____'");
    assert_eq!(personal, ["0"]);
    // The recency of a customer seen on the day itself is 0 days.
    let rfm = "SELECT min(recencia_dias), max(recencia_dias), max(fecha_corte) FROM t WHERE fecha_corte = '1997-01-03'";
    assert_eq!(ventas.query("gold/customer_rfm", rfm), ["0,2,1997-01-03"]);
    let metrics: Value = serde_json::from_slice(
        &std::fs::read(ventas.bucket("lake").join("metrics/ventas_batch/dt=1997-01-02/metrics.json"))
            .unwrap(),
    )
    .unwrap();
    assert_eq!((&metrics["rows_raw"], &metrics["rows_region"]), (&json!(247), &json!(4)));

    let gold = ventas.bucket("lake").join("gold/ventas_diarias_region");
    ventas.lake.done(
        "sql",
        json!({"inputs": {"t": {"uri": gold, "format": "delta"}}, "output": "gold.csv",
               "query": "SELECT fecha_transaccion, revenue_total FROM t"}),
    );
    let python = Command::new("python3")
        .arg(ventas.folder.join("verify/revenue.py"))
        .arg(ventas.folder.join("data/cdnow_master.txt.gz"))
        .arg(ventas.lake.path("gold.csv"))
        .args(["1997-01-01", "1997-01-03"])
        .output();
    match python {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => eprintln!("skipped: needs python3"),
        done => {
            let done = done.unwrap();
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success() && said.starts_with("3 days, 0 differ"), "{said}");
        }
    }
}

#[test]
fn a_dirty_day_takes_the_failing_branch_and_its_rows_are_written_down() {
    let ventas = System::open("ventas");
    let run = drop_and_run(&ventas, "1997-02-14");
    assert!(run.failed.is_none(), "{:?}", run.failed);
    let quality = &run.outputs["calidad"];
    assert_eq!(quality["passed"], false);
    let failed: BTreeSet<&str> =
        quality["failed"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    let expected =
        ["readable", "not_null(cliente_id)", "between(total)", "unique(transaccion_id)", "in_set(region)"];
    assert_eq!(failed, BTreeSet::from(expected));
    assert!(!run.outputs.contains_key("enmascarar") && !run.outputs.contains_key("curar"));
    assert!(!ventas.bucket("lake").join("curated").exists());
    let rejects = ventas.bucket("lake").join("quality/ventas/dt=1997-02-14/rejects.json");
    let written = std::fs::read_to_string(rejects).unwrap().lines().count();
    assert_eq!(quality["rejected"], written);
    // Every twelfth of 338 rows is spoiled; a repeated transaction spoils the row it repeats as well.
    assert!(written >= 28, "{written}");
}

#[test]
fn gold_reads_curated_and_fails_without_it() {
    let ventas = System::open("ventas");
    assert!(drop_and_run(&ventas, "1997-01-05").failed.is_none());
    std::fs::remove_dir_all(ventas.bucket("lake").join("curated")).unwrap();
    let run = ventas.run("ventas_batch.yaml", "1997-01-05", json!({}), &["curar"]);
    assert!(run.failed.is_none(), "tasks below a missing one do not run");
    let pipeline = ventas.pipeline("ventas_batch.yaml");
    for gold in ["oro_region", "oro_productos", "oro_rfm"] {
        let (name, task) = pipeline.tasks.iter().find(|(name, _)| name.as_str() == gold).unwrap();
        let Work::Data(kind, config) = task_of(task) else { unreachable!() };
        let context = Context::new(json!({"ds": "1997-01-05"}).as_object().unwrap());
        let config =
            config.fill_env(&ventas.project.env("local").unwrap()).unwrap().render(&context).unwrap();
        let ran = ventas.work(kind, &config, name.as_str(), "1997-01-05");
        assert_eq!(ran.code, 1, "{gold}: {}", ran.log);
        assert!(ran.log.contains("nothing to read at") && ran.log.contains("curated/ventas"), "{}", ran.log);
    }
}

#[test]
fn the_drop_is_the_same_every_time() {
    let ventas = System::open("ventas");
    let exports = || {
        ventas.good("ventas_drop.yaml", "1997-01-05", json!({}));
        let folder = ventas.bucket("landing").join("exports");
        let names = tree(&folder);
        names.into_iter().map(|name| (std::fs::read(folder.join(&name)).unwrap(), name)).collect::<Vec<_>>()
    };
    let first = exports();
    assert_eq!(first.len(), 3);
    assert!(first == exports());
}

#[test]
fn datavision_builds_its_models_and_scores_customers() {
    let datavision = System::open("datavision");
    datavision.pipeline("pipeline_completo.yaml");
    datavision.good("pipeline_suscripciones.yaml", "1997-01-31", json!({"dias": 31}));
    let twice = datavision.good("pipeline_suscripciones.yaml", "1997-01-31", json!({}));
    // 8,928 purchases in January, whether the last day came once or twice.
    assert_eq!(twice["calidad"]["rows"], 8928);
    assert_eq!(
        datavision.query("dimensions/dim_fecha", "SELECT count(*), min(dia_semana), max(dia_semana) FROM t"),
        ["31,1,7"]
    );
    let params = json!({"fecha_corte": "1997-01-31", "ventana_dias": 30});
    let rfm = datavision.good("pipeline_fact_rfm.yaml", "1997-01-31", params);
    let scored = rfm["fact_rfm"]["rows"].as_u64().unwrap();
    let sizes = datavision.query("marts/fact_rfm", "SELECT r, count(*) FROM t GROUP BY r ORDER BY r");
    assert_eq!(sizes.len(), 5);
    let (least, most) = (scored / 5, scored.div_ceil(5));
    for line in &sizes {
        let size: u64 = line.split_once(',').unwrap().1.parse().unwrap();
        assert!((least..=most).contains(&size), "{sizes:?}");
    }
    // Champions bought late, often and much; the sleeping did not.
    let best = "SELECT min(r), min(f), min(m) FROM t WHERE segmento = 'campeones'";
    assert_eq!(datavision.query("marts/fact_rfm", best), ["4,4,4"]);
    let one = json!({"fecha_corte": "1997-01-31", "ventana_dias": 30, "segmento": "campeones"});
    let only = datavision.good("pipeline_fact_rfm.yaml", "1997-01-31", one);
    assert!(only["fact_rfm"]["rows"].as_u64().unwrap() < scored);
    assert_eq!(only["resumen"]["rows"], 1);
}
