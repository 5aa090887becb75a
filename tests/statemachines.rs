//! The compiled pipelines of this repository stand under statemachines/: reviewed in diffs, and never
//! stale. `make bless` rewrites them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]

use cauce_compiler::compile;
use std::path::{Path, PathBuf};

#[test]
fn the_committed_state_machines_are_those_of_the_pipelines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test reads whether it is to rewrite")]
    let bless = std::env::var_os("CAUCE_BLESS").is_some();
    let mut stale = Vec::new();
    let mut seen = 0;
    for (folder, file) in pipelines(&root.join("pipelines")) {
        let text = std::fs::read(folder.join("cauce.yaml")).unwrap();
        let (project, diagnostics) = cauce_spec::check_project(&text);
        let project = project.unwrap_or_else(|| panic!("{}: {diagnostics:?}", folder.display()));
        let text = std::fs::read(&file).unwrap();
        let (pipeline, diagnostics) = cauce_spec::check(&text, &project);
        let mut pipeline = pipeline.unwrap_or_else(|| panic!("{}: {diagnostics:?}", file.display()));
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
        pipeline.inline_files(read).unwrap();
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
