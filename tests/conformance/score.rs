//! The scores reached, and the committed ones, which only rise.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How many cases of one kind passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Score {
    passed: u32,
    total: u32,
}

/// Scores by kind, for example `local_exact`.
pub(crate) struct Scores {
    committed: BTreeMap<String, Score>,
    reached: BTreeMap<String, Score>,
}

impl Scores {
    pub(crate) fn load() -> Self {
        let text = fs::read_to_string(file()).unwrap_or_else(|_| "{}".to_owned());
        Self { committed: serde_json::from_str(&text).expect("scores.json"), reached: BTreeMap::new() }
    }

    pub(crate) fn count(&mut self, kind: &str, has_passed: bool) {
        let score = self.reached.entry(kind.to_owned()).or_default();
        score.passed += u32::from(has_passed);
        score.total += 1;
    }

    /// Prints the scores, and fails when one is below the committed one.
    #[expect(clippy::disallowed_methods, reason = "a test has no main to read the environment in")]
    pub(crate) fn finish(mut self) {
        let mut lost = Vec::new();
        for (kind, score) in &self.reached {
            let share = 100.0 * f64::from(score.passed) / f64::from(score.total.max(1));
            println!("{kind}: {}/{} ({share:.1}%)", score.passed, score.total);
            let committed = self.committed.entry(kind.clone()).or_default();
            // Shares are compared, so that a longer list of cases does not count as a rise.
            let (ours, theirs) = (score.passed * committed.total, committed.passed * score.total);
            if ours < theirs {
                lost.push(format!(
                    "{kind}: {}/{} is below {}/{}",
                    score.passed, score.total, committed.passed, committed.total
                ));
            } else {
                *committed = *score;
            }
        }
        if std::env::var("CAUCE_BLESS").is_ok_and(|bless| bless == "1") {
            let text = serde_json::to_string_pretty(&self.committed).expect("scores are JSON");
            fs::write(file(), text + "\n").expect("scores.json can be written");
        }
        assert!(lost.is_empty(), "scores fell: {lost:?}");
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/scores.json")
}
