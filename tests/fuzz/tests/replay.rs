//! All that fuzzers have kept, once more: the corpora and every past finding, through the same functions.
//! A finding is a file in `fuzz/findings/<target>`, named after what was wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use cauce_fuzz::TARGETS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of a folder by name; none where it is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn names(folder: &Path) -> BTreeSet<String> {
    files(folder).iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn nothing_that_was_kept_breaks_a_promise() {
    let mut broken = Vec::new();
    for (target, promise) in TARGETS {
        let kept: Vec<PathBuf> =
            ["corpus", "findings"].into_iter().flat_map(|of| files(&root().join(of).join(target))).collect();
        assert!(kept.len() >= 10, "{target} has a corpus of {} files", kept.len());
        for file in kept {
            let input = fs::read(&file).unwrap();
            if catch_unwind(AssertUnwindSafe(|| promise(&input))).is_err() {
                broken.push(file.display().to_string());
            }
        }
    }
    assert!(broken.is_empty(), "see above why; by these inputs:\n{}", broken.join("\n"));
}

#[test]
fn there_is_a_target_for_each_function_and_a_corpus_for_no_other() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&root().join("fuzz_targets")), targets);
    assert_eq!(names(&root().join("corpus")), targets);
    assert!(names(&root().join("findings")).is_subset(&targets));
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is no program of the manifest");
    }
}
