//! Events that start runs: [`Trigger`].

use cauce_template::Template;

use crate::file::dataset::DatasetTrigger;
use crate::file::webhook::WebhookTrigger;
use crate::shape::{Seconds, choice, record};

record! {
    /// Trigger: one event that starts runs.
    pub struct Trigger {
        /// File: objects that arrive in a bucket.
        file: Option<FileTrigger> = None;
        /// Dataset: datasets that other tasks write.
        dataset: Option<DatasetTrigger> = None;
        /// Webhook: a signed call from outside.
        webhook: Option<WebhookTrigger> = None;
    }
}

record! {
    /// File trigger: objects that arrive in a bucket.
    pub struct FileTrigger {
        /// Bucket: the bucket's name.
        bucket: Template;
        /// Keys: patterns of object keys; `{name}`, `{name:int}` and `{name:date}` capture a part, `*` matches within one folder.
        keys: Vec<String>;
        /// Wait for: whether all patterns must have a file, or one is enough.
        wait_for: Quorum = Quorum::Any;
        /// Marker: the pattern of a file that says that the others are all there, such as `{date}/_SUCCESS`.
        marker: Option<String> = None;
        /// Logical date: the run's date, made of captures, such as `{date}`.
        logical_date: Option<String> = None;
        /// Item: the key of the item of the matrix whose run it is, made of captures, such as `{ticker}`.
        item: Option<String> = None;
        /// Least bytes: smaller objects start nothing.
        min_bytes: u64 = 0;
        /// Deadline: how long after its first file a set must be complete; then the deadline's channels hear what is missing.
        deadline: Option<Seconds> = None, within 60..=31_536_000;
        /// Settle: how long no further file may have come before the run starts. Files of one set are one run then.
        settle: Option<Seconds> = None, within 1..=86_400;
        /// Batch: the most files of one run; further ones go into further runs.
        batch: Option<u32> = None, within 1..=10_000;
    }
}

choice! {
    /// Quorum: how many of several things are needed.
    pub enum Quorum {
        /// Each of them.
        All = "all";
        /// One of them.
        Any = "any";
    }
}
