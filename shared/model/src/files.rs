//! File triggers: which objects start runs, and which of them belong together.

use serde::{Deserialize, Serialize};

/// Objects that start runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTriggerPlan {
    /// The bucket's name; `${{ env.x }}` stays in it.
    pub bucket: String,
    /// Patterns of keys; see [`crate::pattern::KeyPattern`].
    pub keys: Vec<String>,
    /// Whether a run needs a file for each pattern, else for one.
    pub all: bool,
    /// The pattern of the file that says that the others are all there; it is no file of the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// The key of the run's item, made of captures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The run's date, made of captures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<String>,
    /// Smaller objects start nothing.
    #[serde(default)]
    pub min_bytes: u64,
    /// How long after its first file a set may be incomplete before somebody is told, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
    /// How long no further file may have come before the run starts, in seconds. Without `all` it collects
    /// files into one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle_seconds: Option<u64>,
    /// Most files of one run that collects them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
}

impl FileTriggerPlan {
    /// All patterns, the marker's after those of the files.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().chain(&self.marker).map(String::as_str)
    }

    /// How long no further file may have come, in seconds, where files are collected into one run.
    pub fn collects(&self) -> Option<u64> {
        if self.all {
            return None;
        }
        self.settle_seconds.or_else(|| self.marker.as_ref().map(|_| MARKER_SETTLE_SECONDS))
    }
}

/// How long a marker waits for files whose events come after its own, where nobody says. S3 tells of objects
/// in any order: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html>
pub const MARKER_SETTLE_SECONDS: u64 = 10;
