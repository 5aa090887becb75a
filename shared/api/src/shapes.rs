//! The bodies of requests. What a test makes the OpenAPI document of is what is read here.

use cauce_model::Json;
use serde::Deserialize;
use serde_json::Map;

/// What starts a run.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRun {
    /// Parameters by name, as the pipeline declares them.
    #[serde(default)]
    pub(crate) params: Map<String, Json>,
    /// A date (`1997-01-05`: the data interval that starts on that day) or a moment. Without one: the newest
    /// complete data interval of the schedule; without a schedule, now.
    #[serde(default)]
    pub(crate) logical_date: Option<String>,
    /// The key of the item of the matrix whose run it is.
    #[serde(default)]
    pub(crate) item: Option<String>,
    /// Run this task alone.
    #[serde(default)]
    pub(crate) only: Option<String>,
    /// Run a run that has ended again, with all tasks.
    #[serde(default)]
    pub(crate) again: bool,
}

/// What ends a run.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRun {
    /// Why, in words.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(max = 2048)))]
    pub(crate) reason: Option<String>,
}

/// What the next generation of a run consists of: what failed and all below it, unless tasks are named.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RerunRun {
    /// This task.
    #[serde(default)]
    pub(crate) task: Option<String>,
    /// Of a mapped task only these of its items, by index, at least one; the others stay as they are.
    #[serde(default)]
    pub(crate) items: Option<Vec<u32>>,
    /// With all tasks below it.
    #[serde(default)]
    pub(crate) downstream: bool,
    /// This task alone, whatever its upstreams.
    #[serde(default)]
    pub(crate) only: Option<String>,
    /// On the version that new runs take.
    #[serde(default)]
    pub(crate) latest_version: bool,
    /// Tasks that a branch skips run all the same.
    #[serde(default)]
    pub(crate) force: bool,
}

/// How a task counts.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkTask {
    /// As what.
    pub(crate) status: MarkAs,
}

/// A status that a person can give.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum MarkAs {
    /// It counts as done.
    Success,
    /// It counts as failed.
    Failed,
}

/// An answer to an approval.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerTask {
    /// What there is to say of it.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(max = 2048)))]
    pub(crate) comment: String,
}

/// Most bytes of a comment or a reason: it lies in records and in the audit.
pub(crate) const COMMENT_BYTES_MAX: usize = 2048;
