//! The direction between the rooms, read from the manifests: who may know whom, and which crates from
//! elsewhere each room may name. docs/architecture.md draws the same picture.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every room with the rooms it may depend on. A room that is not listed fails the test.
const MAY_KNOW: [(&str, &[&str]); 32] = [
    ("cauce-model", &[]),
    ("cauce-template", &["cauce-model"]),
    ("cauce-ports", &["cauce-model"]),
    ("cauce-spec", &["cauce-model", "cauce-template"]),
    ("cauce-engine", &["cauce-model", "cauce-template"]),
    ("cauce-asl", &[]),
    ("cauce-compiler", &["cauce-model", "cauce-spec", "cauce-template", "cauce-asl"]),
    ("cauce-driver", &["cauce-model", "cauce-engine", "cauce-ports"]),
    ("cauce-interpreter", &["cauce-asl"]),
    (
        "cauce-host",
        &["cauce-model", "cauce-asl", "cauce-interpreter", "cauce-engine", "cauce-driver", "cauce-ports"],
    ),
    ("cauce-system", &["cauce-model", "cauce-ports"]),
    ("cauce-local", &["cauce-model", "cauce-ports", "cauce-system"]),
    ("cauce-aws", &["cauce-model", "cauce-ports", "cauce-system"]),
    (
        "cauce-lambda",
        &["cauce-model", "cauce-engine", "cauce-ports", "cauce-driver", "cauce-aws", "cauce-system"],
    ),
    ("cauce-api", &["cauce-model", "cauce-engine", "cauce-ports", "cauce-driver"]),
    // The contract of pools is one of decisions on a store: it runs the engine's through the driver.
    ("cauce-testkit", &["cauce-model", "cauce-ports", "cauce-engine", "cauce-driver"]),
    (
        "cauce-api-function",
        &["cauce-api", "cauce-lambda", "cauce-driver", "cauce-engine", "cauce-model", "cauce-ports"],
    ),
    ("cauce-begin-task", &["cauce-lambda", "cauce-driver"]),
    ("cauce-close-run", &["cauce-lambda", "cauce-driver"]),
    ("cauce-expand-map", &["cauce-lambda", "cauce-driver"]),
    ("cauce-finish-task", &["cauce-lambda", "cauce-driver"]),
    ("cauce-notify", &["cauce-lambda", "cauce-model", "cauce-ports"]),
    ("cauce-open-run", &["cauce-lambda", "cauce-driver"]),
    ("cauce-record-event", &["cauce-lambda", "cauce-driver"]),
    ("cauce-sweep", &["cauce-lambda", "cauce-driver"]),
    ("cauce-take-tokens", &["cauce-lambda", "cauce-driver"]),
    ("cauce-trigger-run", &["cauce-lambda", "cauce-driver"]),
    ("cauce-worker", &[]),
    (
        "cauce",
        &[
            "cauce-api",
            "cauce-model",
            "cauce-template",
            "cauce-spec",
            "cauce-asl",
            "cauce-compiler",
            "cauce-engine",
            "cauce-ports",
            "cauce-driver",
            "cauce-interpreter",
            "cauce-host",
            "cauce-local",
            "cauce-aws",
        ],
    ),
    (
        "cauce-fuzz",
        &[
            "cauce-api",
            "cauce-asl",
            "cauce-compiler",
            "cauce-driver",
            "cauce-engine",
            "cauce-interpreter",
            "cauce-model",
            "cauce-spec",
            "cauce-template",
        ],
    ),
    // It reads sources; it knows nothing of what they do.
    ("cauce-guards", &[]),
    ("cauce-tests", &[]),
];

/// Rooms that must give the same answer for the same question, always and everywhere.
const PURE: [&str; 7] = [
    "cauce-model",
    "cauce-template",
    "cauce-spec",
    "cauce-asl",
    "cauce-compiler",
    "cauce-engine",
    "cauce-interpreter",
];

/// Words of the standard library that a pure room may not say, with what they bring in.
const IMPURE_WORDS: [(&str, &str); 10] = [
    ("std::fs", "files"),
    ("std::env", "the environment"),
    ("std::net", "the network"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("SystemTime", "the clock"),
    ("Instant::now", "the clock"),
    ("Timestamp::now", "the clock"),
    ("HashMap", "hash order"),
    ("HashSet", "hash order"),
];

/// Crates that only one room may name. A name that ends in `-` stands for all that begin with it.
const HOMES: [(&str, &str); 10] = [
    ("axum", "cauce-api"),
    ("datafusion", "cauce-worker"),
    ("deltalake", "cauce-worker"),
    ("rusqlite", "cauce-local"),
    ("minijinja", "cauce-template"),
    ("ureq", "cauce-local"),
    ("granit-parser", "cauce-spec"),
    ("aws-config", "cauce-aws"),
    ("aws-sdk-", "cauce-aws"),
    ("aws-smithy-", "cauce-aws"),
];

/// The room that a crate belongs to, if only one may name it.
fn home(dependency: &str) -> Option<&'static str> {
    HOMES
        .into_iter()
        .find(|(name, _)| *name == dependency || (name.ends_with('-') && dependency.starts_with(name)))
        .map(|(_, home)| home)
}

#[test]
fn a_home_may_be_given_to_a_family_of_crates() {
    assert_eq!(home("aws-sdk-dynamodb"), Some("cauce-aws"));
    assert_eq!(home("rusqlite"), Some("cauce-local"));
    assert_eq!(home("rusqlite-more"), None);
}

fn packages() -> Vec<Json> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Json = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Names of a package's dependencies that are built into it.
fn dependencies(package: &Json) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().unwrap();
    all.iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_room_knows_only_those_below_it() {
    let rules: BTreeMap<&str, &[&str]> = MAY_KNOW.into_iter().collect();
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut problems = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = rules.get(name) else {
            problems.push(format!("{name} is a new room: say here what it may know"));
            continue;
        };
        for dependency in dependencies(package) {
            if ours.contains(dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                problems.push(format!("{name} may not know {dependency}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn crates_from_elsewhere_stay_in_their_rooms() {
    let mut problems = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        for dependency in dependencies(&package) {
            if let Some(home) = home(&dependency)
                && home != name
            {
                problems.push(format!("{name} names {dependency}, which belongs to {home}"));
            }
            let is_async = ["tokio", "futures-util", "futures"].contains(&dependency.as_str());
            if PURE.contains(&name) && is_async {
                problems.push(format!("{name} is pure and names {dependency}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn pure_rooms_touch_no_time_randomness_environment_files_or_hash_order() {
    let mut problems = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        if !PURE.contains(&name) {
            continue;
        }
        let manifest = std::path::Path::new(package["manifest_path"].as_str().unwrap());
        for file in rust_files(&manifest.parent().unwrap().join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            // Tests may read files and the clock; they stand at the end of a file or in their own.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            if is_test_module(&file) {
                continue;
            }
            for (number, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap_or_default();
                for (word, what) in IMPURE_WORDS {
                    if line.contains(word) {
                        problems.push(format!("{}:{}: {word} brings in {what}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Whether the file is a module that its parent declares for tests only, or lies in one.
fn is_test_module(file: &std::path::Path) -> bool {
    let folder = file.parent().unwrap();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let declared = |folder: &std::path::Path, name: &str| {
        let parents = ["mod.rs", "lib.rs"].map(|parent| folder.join(parent));
        let texts = parents.into_iter().chain([folder.with_extension("rs")]);
        texts.filter_map(|path| std::fs::read_to_string(path).ok()).any(|text| {
            text.contains(&format!("#[cfg(test)]\nmod {name};"))
                || text.contains(&format!("#[cfg(test)]\npub(crate) mod {name};"))
        })
    };
    let own_folder = folder.file_name().unwrap().to_str().unwrap();
    declared(folder, name) || declared(folder.parent().unwrap(), own_folder)
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// No source file is so long that nobody reads it.
#[test]
fn no_source_file_is_longer_than_800_lines() {
    let mut long = Vec::new();
    for package in packages() {
        let manifest = std::path::Path::new(package["manifest_path"].as_str().unwrap());
        for file in rust_files(manifest.parent().unwrap()) {
            let lines = std::fs::read_to_string(&file).unwrap().lines().count();
            if lines > 800 {
                long.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// What judges the product's decisions shall not be made of them.
#[test]
fn the_reference_model_of_the_simulation_names_no_crate_of_ours() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/simulation/model.rs");
    let code = std::fs::read_to_string(path).unwrap();
    for word in ["cauce_", "crate::", "super::"] {
        assert!(!code.contains(word), "{path} says {word}");
    }
}
