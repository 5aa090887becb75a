//! Pipeline files through the whole compiler: every accepted case of `pipelines/` compiles to the
//! same bytes twice, every machine starts what it refers to, and the committed task machines under
//! `statemachines/system/` are what the compiler writes. `CAUCE_BLESS=1` rewrites those.

mod project;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cauce_compiler::{Compiled, Manifest, PLACEHOLDERS, compile, definition_file, lifecycle};
use cauce_model::plan::{DeadlineAction, TaskKind};
use cauce_spec::{Project, check_with};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[expect(clippy::disallowed_methods, reason = "the switch that rewrites expected files")]
fn bless() -> bool {
    std::env::var_os("CAUCE_BLESS").is_some()
}

fn compile_file(path: &Path) -> Compiled {
    let project = project::of(path.parent().expect("a folder"));
    let text = fs::read(path).expect("a readable pipeline file");
    let folder = path.parent().expect("a folder");
    let checked = check_with(&text, &project, Project::LOCAL, &|file| project::text(folder, file));
    let pipeline =
        checked.pipeline.unwrap_or_else(|| panic!("{}: {:?}", path.display(), checked.diagnostics));
    compile(&pipeline, &project).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cases that the checker accepts without a word.
fn accepted() -> Vec<PathBuf> {
    let folder = root().join("tests/pipelines");
    let entries = fs::read_dir(folder).expect("the folder of cases");
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|case| case.join("ok").exists() && case.join("pipeline.yaml").exists())
        .map(|case| case.join("pipeline.yaml"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// Every text in a definition.
fn texts(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, see)),
        Value::Object(fields) => {
            for (name, field) in fields {
                see(name);
                texts(field, see);
            }
        }
        _ => {}
    }
}

#[test]
fn accepted_pipelines_compile_to_the_same_bytes_twice() {
    for case in accepted() {
        let compiled = compile_file(&case);
        assert_eq!(compiled.files(), compile_file(&case).files(), "{}", case.display());
        let own: Value =
            serde_json::from_str(&compiled.machines[0].definition.to_compact_json()).expect("JSON");
        let mut calls = BTreeSet::new();
        texts(&own, &mut |text| {
            if text.starts_with("${") {
                assert!(PLACEHOLDERS.contains(&text), "{text} in {}", case.display());
            }
            if let Some(machine) = text.strip_prefix("{% $machines.") {
                calls.insert(machine.trim_end_matches(" %}").to_owned());
            }
        });
        // A distributed map holds its lifecycle itself, so a kind may be used and not started.
        assert!(calls.iter().all(|kind| compiled.manifest.kinds.contains(kind)), "{calls:?}");
    }
}

#[test]
fn the_design_pipeline_becomes_the_plan_it_says() {
    let compiled = compile_file(&root().join("tests/pipelines/ok_design/pipeline.yaml"));
    let plan = &compiled.plan;
    let task = |name: &str| &plan.tasks[plan.index_of(name).expect("a task of the file") as usize];
    let index = |name: &str| plan.index_of(name).expect("a task of the file");

    // Every task stands after those it needs.
    for (at, task) in plan.tasks.iter().enumerate() {
        assert!(task.needs.iter().all(|&need| (need as usize) < at), "{}", task.name);
    }
    let TaskKind::Branch { choices } = &task("decide").kind else { panic!("decide is a branch") };
    assert_eq!(choices[0].to, [index("curated")]);
    assert_eq!(choices[0].skips, [index("alert")]);
    assert_eq!(choices[1].condition, None);
    assert_eq!(choices[1].skips, [index("curated")]);

    let TaskKind::Container(worker) = &task("mask").kind else { panic!("mask is run by the worker") };
    assert_eq!(worker.command, ["cauce-worker", "mask"]);
    assert_eq!(worker.memory, 1024);
    assert!(worker.task_definition.starts_with("worker-"), "{}", worker.task_definition);
    let config = worker.config.as_ref().expect("a configuration");
    assert_eq!(config["output"]["format"], "delta");

    assert_eq!(task("curated").outputs, [index("extract")]);
    assert_eq!(task("alert").outputs, [index("quality")]);
    assert_eq!(task("extract").timeout_seconds, 1800);
    assert_eq!(task("extract").retry.retries, 3);
    assert_eq!(plan.schedules.len(), 1);
    assert_eq!(compiled.manifest.kinds, ["container", "pipeline", "wait_for"]);
    // The line of the file, so that a person finds it from the console.
    let line = compiled.source_map["ventas_batch"]["extract"];
    let text = fs::read_to_string(root().join("tests/pipelines/ok_design/pipeline.yaml")).expect("the file");
    assert_eq!(text.lines().nth(line as usize - 1).map(str::trim), Some("extract:"));
}

#[test]
fn a_task_of_a_template_is_the_task_that_its_author_would_have_written() {
    let of = |name: &str| compile_file(&root().join("tests/pipelines/ok_templates").join(name));
    let (filled, by_hand) = (of("pipeline.yaml"), of("by_hand.yaml"));
    assert_eq!(filled.plan, by_hand.plan);
    assert_eq!(filled.version(), by_hand.version());
}

#[test]
fn an_environment_sets_settings_anew_and_the_version_is_another_only_where_the_plan_is() {
    let folder = root().join("tests/pipelines/ok_overrides");
    let (text, project) = (fs::read(folder.join("pipeline.yaml")).expect("a file"), project::of(&folder));
    let compiled = |environment: &str| {
        let (pipeline, found) = cauce_spec::check_in(&text, &project, environment);
        compile(&pipeline.unwrap_or_else(|| panic!("{found:?}")), &project).expect("a plan")
    };
    let (here, there) = (compiled("local").plan, compiled("prod").plan);
    assert!(here.paused && !there.paused);
    assert_eq!((here.max_active_runs, there.max_active_runs), (2, 16));
    assert_eq!((here.tasks[0].priority, there.tasks[0].priority), (8, 1));
    assert_eq!((here.tasks[1].priority, there.tasks[1].priority), (1, 1));
    assert_eq!(here.schedules[0].timezone, "UTC", "a schedule of another kind replaces the file's");
    let deadline = here.deadline.as_ref().expect("a deadline");
    assert_eq!((deadline.after_seconds, deadline.action), (7200, DeadlineAction::Cancel));
    assert_eq!(there.version, compiled("dev").plan.version);
    assert_ne!(here.version, there.version);
}

#[test]
fn the_committed_schema_of_manifests_is_current() {
    let path = root().join("docs/reference/manifest.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Manifest)).expect("JSON") + "\n";
    if bless() {
        fs::write(&path, &schema).expect("a writable folder");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == schema, "{} is stale: CAUCE_BLESS=1 rewrites it", path.display());
}

#[test]
fn the_committed_task_machines_are_current() {
    let folder = root().join("statemachines/system");
    for (kind, machine) in lifecycle::machines() {
        let path = folder.join(definition_file(kind));
        let text = machine.to_pretty_json() + "\n";
        if bless() {
            fs::write(&path, &text).expect("a writable folder");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{} is stale: CAUCE_BLESS=1 rewrites it", path.display());
    }
}
