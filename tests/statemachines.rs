//! The compiled pipelines of this repository stand under statemachines/: reviewed in diffs, and never
//! stale. `make bless` rewrites them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]

mod project;

use cauce_compiler::compile;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_committed_state_machines_are_those_of_the_pipelines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test reads whether it is to rewrite")]
    let bless = std::env::var_os("CAUCE_BLESS").is_some();
    let mut stale = Vec::new();
    let mut seen = 0;
    for (folder, file) in pipelines(&root.join("pipelines")) {
        let project = project::of(&folder);
        let text = std::fs::read(&file).unwrap();
        let (pipeline, diagnostics) = cauce_spec::check(&text, &project);
        let mut pipeline = pipeline.unwrap_or_else(|| panic!("{}: {diagnostics:?}", file.display()));
        pipeline.inline_files(|file| project::text(&folder, file)).unwrap();
        let compiled = compile(&pipeline, &project).unwrap();
        let out = root.join("statemachines").join(&compiled.plan.pipeline);
        for (name, content) in compiled.files() {
            let path = out.join(&name);
            seen += 1;
            if std::fs::read_to_string(&path).is_ok_and(|committed| committed == content) {
                continue;
            }
            if bless {
                std::fs::create_dir_all(&out).unwrap();
                std::fs::write(&path, content).unwrap();
            } else {
                stale.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    assert!(seen >= 20, "only {seen} files were compared");
    assert!(stale.is_empty(), "stale, run 'make bless':\n{}", stale.join("\n"));
}

/// A validator of other hands agrees with every definition, those of the launch kinds included.
#[test]
fn asl_validator_finds_nothing_wrong() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let installed = cache().join("node/node_modules");
    let node = Command::new("node").arg("--version").output();
    if !installed.join("asl-validator").is_dir() || node.is_err() {
        println!("skipped: needs asl-validator (make tools)");
        return;
    }
    let mut definitions = Vec::new();
    for folder in std::fs::read_dir(root.join("statemachines")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            if file.to_string_lossy().ends_with(".asl.json") {
                definitions.push(file);
            }
        }
    }
    assert!(definitions.len() >= 15, "only {} definitions", definitions.len());
    let validate = |definitions: &[PathBuf]| {
        let mut command = Command::new("node");
        command.arg(root.join("infra/tools/asl-validator/validate.js")).args(definitions);
        command.env("NODE_PATH", &installed).output().unwrap()
    };
    let output = validate(&definitions);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // It can tell: a definition that nothing starts is refused.
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.asl.json");
    std::fs::write(&wrong, r#"{"StartAt": "A", "States": {"B": {"Type": "Pass", "End": true}}}"#).unwrap();
    assert!(!validate(&[wrong]).status.success());
}

#[expect(clippy::disallowed_methods, reason = "a test looks for tools where make puts them")]
fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("cauce")
}

/// The pipeline files below a folder, each with the folder of its project.
fn pipelines(root: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for project in std::fs::read_dir(root).unwrap() {
        let folder = project.unwrap().path();
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let is_yaml = file.extension().is_some_and(|extension| extension == "yaml");
            if is_yaml && !file.ends_with("cauce.yaml") {
                found.push((folder.clone(), file));
            }
        }
    }
    found.sort();
    found
}
