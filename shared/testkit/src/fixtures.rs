//! Recorded inputs, read from a folder.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read fails its test by panicking")]

use cauce_model::Json;
use std::path::Path;

/// The JSON files of a folder by their names without the ending, in order of name.
///
/// # Panics
/// The folder cannot be read, holds none, or holds one that is not JSON.
pub fn fixtures(folder: impl AsRef<Path>) -> Vec<(String, Json)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.as_ref()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            found.push((name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()));
        }
    }
    assert!(!found.is_empty(), "there are no fixtures in {}", folder.as_ref().display());
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}
