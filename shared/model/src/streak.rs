//! Runs of a pipeline that failed one after the other.

use crate::item::{Item, Key};
use crate::record::{Record, pipeline_item};
use serde::{Deserialize, Serialize};

/// The key of a pipeline's streak.
pub fn streak_item(pipeline: &str) -> Key {
    Key::new(pipeline_item(pipeline).partition, "F")
}

/// The runs of a pipeline that failed since one succeeded, or since it was last let go on. Kept only where
/// the pipeline says how many are too many.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreakRecord {
    /// Their ids in the order of their ends, each once, the newest of them.
    pub failed: Vec<String>,
}

impl Record for StreakRecord {}

impl StreakRecord {
    /// The record's item.
    pub fn row(&self, pipeline: &str) -> Item {
        Item::new(streak_item(pipeline), self.to_body())
    }
}
