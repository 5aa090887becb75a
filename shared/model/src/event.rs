//! Events that may start runs, what became of them (the ledger), and what is kept of files.

use crate::Json;
use crate::ids::sha256_hex;
use crate::item::{Expect, IndexEntry, Item, Key, Write};
use crate::record::{DUE_LIST, Notice, Record, pipeline_item};
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// How long the store keeps the entry of an event, in seconds. A queue redelivers for fourteen days at
/// most. <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-basic-architecture.html>
pub const LEDGER_KEPT_SECONDS: u64 = 90 * 86_400;

/// An object that arrived in a bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// The bucket's name.
    pub bucket: String,
    /// The key, raw: a plus sign is a plus sign.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Its entity tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Orders the events of one key; see [`sequence`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// When it arrived.
    pub at: Instant,
}

impl Object {
    /// What tells this arrival from every other: bucket, key and version; without versions, entity tag
    /// and sequencer. In hex.
    pub fn identity(&self) -> String {
        let which = match &self.version_id {
            Some(version) => vec!["version", version.as_str()],
            None => {
                vec!["etag", self.etag.as_deref().unwrap_or(""), self.sequencer.as_deref().unwrap_or("")]
            }
        };
        // As JSON, so that no two lists of texts are the same text.
        sha256_hex(serde_json::json!([self.bucket, self.key, which]).to_string())
    }
}

/// How two sequencers of one key stand: the shorter one is filled up with zeros on its right, then they
/// are compared as text. <https://repost.aws/knowledge-center/s3-duplicate-sqs-messages>
pub fn sequence(one: &str, other: &str) -> Ordering {
    let length = one.len().max(other.len());
    format!("{one:0<length$}").cmp(&format!("{other:0<length$}"))
}

/// The key under which a pipeline's interest in a bucket is kept.
pub fn interest_item(bucket: &str, pipeline: &str) -> Key {
    Key::new(interest_partition(bucket), pipeline)
}

/// The partition of all pipelines that want objects of a bucket.
pub fn interest_partition(bucket: &str) -> String {
    format!("trigger#{bucket}")
}

/// A pipeline's interest in a bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterestRecord {
    /// The pipeline.
    pub pipeline: String,
    /// Patterns of the keys that it wants.
    pub keys: Vec<String>,
}

impl Record for InterestRecord {}

fn files_partition(pipeline: &str) -> String {
    format!("files#{pipeline}")
}

/// The key of what a pipeline knows of one object key.
pub fn file_item(pipeline: &str, object: &Object) -> Key {
    let digest = sha256_hex(serde_json::json!([object.bucket, object.key]).to_string());
    Key::new(files_partition(pipeline), format!("K#{}", &digest[..32]))
}

/// The newest arrival of one object key that a pipeline has heard of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// The arrival.
    pub object: Object,
}

impl Record for FileRecord {}

/// The key of a set of files.
pub fn set_item(pipeline: &str, set: &str) -> Key {
    Key::new(files_partition(pipeline), format!("S#{set}"))
}

/// Files that start a run together. In the list of what is due while something is to be decided about it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRecord {
    /// Which command is due, for the sweep.
    #[serde(default)]
    pub command: String,
    /// The pipeline.
    #[serde(default)]
    pub pipeline: String,
    /// Its name.
    #[serde(default)]
    pub set: String,
    /// The position of its trigger in the plan.
    #[serde(default)]
    pub trigger: usize,
    /// What their keys have in common.
    #[serde(default)]
    pub captures: BTreeMap<String, String>,
    /// The newest arrival for each pattern, by the pattern's position. Of a set that collects, files are
    /// items of their own: [`MemberRecord`].
    #[serde(default)]
    pub members: BTreeMap<u32, Object>,
    /// The newest marker of a set that collects: files that were there before it need no further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<Object>,
    /// When its first file was heard of; absent once it was complete, or nobody waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Instant>,
    /// Whether somebody was told that it is incomplete.
    #[serde(default, skip_serializing_if = "is_false")]
    pub told: bool,
    /// From when on it may start, if no further file comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles_at: Option<Instant>,
    /// How often it has collected before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub round: u32,
    /// The collection whose runs are being started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<Firing>,
    /// Notices that were decided and not yet delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Notice>,
}

/// A collection whose runs are being started, some files each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firing {
    /// Its round.
    pub round: u32,
    /// Files that runs have.
    pub taken: usize,
    /// Where the store goes on after those. Versions that took files by their number wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Since when.
    pub at: Instant,
}

const fn is_false(value: &bool) -> bool {
    !*value
}

const fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl SetRecord {
    /// The word by which the sweep knows a set among what is due.
    pub const COMMAND: &str = "set";

    /// A set without files.
    pub fn new(pipeline: &str, set: &str, trigger: usize, captures: BTreeMap<String, String>) -> Self {
        Self {
            command: Self::COMMAND.to_owned(),
            pipeline: pipeline.to_owned(),
            set: set.to_owned(),
            trigger,
            captures,
            members: BTreeMap::new(),
            marker: None,
            opened_at: None,
            told: false,
            settles_at: None,
            round: 0,
            firing: None,
            outbox: Vec::new(),
        }
    }

    /// The item, in the list of what is due from a moment on.
    pub fn row(&self, due: Option<Instant>) -> Item {
        let mut item = Item::new(set_item(&self.pipeline, &self.set), self.to_body());
        item.index = due.map(|at| IndexEntry {
            list: DUE_LIST.to_owned(),
            position: format!("{:020}#{}#{}", at.micros(), self.pipeline, self.set),
        });
        item
    }
}

impl Record for SetRecord {}

/// The partition of what a pipeline knows of files, and what the keys of the files of a collection begin with.
pub fn members(pipeline: &str, set: &str, round: u32) -> (String, String) {
    (files_partition(pipeline), format!("M#{set}#{round:08}#"))
}

/// A file that was collected.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRecord {
    /// The arrival.
    pub object: Object,
    /// When it was heard of.
    pub heard_at: Instant,
}

impl Record for MemberRecord {}

impl MemberRecord {
    /// The write that adds it to a collection, in which files stand by the time of their object. It goes by
    /// itself, long after its run has started.
    pub fn write(&self, pipeline: &str, set: &str, round: u32) -> Write {
        let (partition, prefix) = members(pipeline, set, round);
        let place = format!("{:020}#{}", self.object.at.micros().max(0), &self.object.identity()[..32]);
        let key = Key::new(partition, format!("{prefix}{place}"));
        let mut item = Item::new(key, self.to_body());
        item.expires_at = Some(self.heard_at.plus_seconds(LEDGER_KEPT_SECONDS));
        Write::Put { item, expect: Expect::Any }
    }
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It started a run or a generation, or will once the present one has ended.
    Run,
    /// It brought nothing new.
    Duplicate,
    /// A newer arrival of the same key was known.
    Stale,
    /// It is handed out to the items of a matrix, each of which has an entry of its own.
    Items,
    /// The pipeline is paused.
    Paused,
    /// The schedule's calendar is closed.
    Closed,
    /// Other files of its set are missing, or may still come.
    Waiting,
    /// A set of files is not complete in time.
    Incomplete,
    /// Nobody told of it in time, and its schedule does not make up for it.
    Missed,
    /// It cannot start anything; the reason says why.
    Rejected,
}

impl Became {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Run,
        Self::Duplicate,
        Self::Stale,
        Self::Items,
        Self::Paused,
        Self::Closed,
        Self::Waiting,
        Self::Incomplete,
        Self::Missed,
        Self::Rejected,
    ];

    /// Its word, as records have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Items => "items",
            Self::Paused => "paused",
            Self::Closed => "closed",
            Self::Waiting => "waiting",
            Self::Incomplete => "incomplete",
            Self::Missed => "missed",
            Self::Rejected => "rejected",
        }
    }
}

/// What became of one event for one pipeline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerRecord {
    /// When the event happened.
    pub at: Instant,
    /// When it was first decided about.
    pub decided_at: Instant,
    /// `schedule`, `file`, `set` or `webhook`.
    pub kind: String,
    /// What tells the event from every other.
    pub identity: String,
    /// The pipeline; absent when none wanted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// The event.
    pub event: Json,
    /// What became of it.
    pub became: Became,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The run, as `pipeline/run_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl Record for LedgerRecord {}

/// The key of an event's entry: in the partition of the day on which it happened, so that a repeat finds
/// it however late it comes.
pub fn ledger_item(at: Instant, identity: &str, pipeline: Option<&str>) -> Key {
    let day = at.to_timestamp().strftime("%Y-%m-%d").to_string();
    Key::new(
        ledger_partition(&day),
        format!("{}#{}", &identity[..identity.len().min(64)], pipeline.unwrap_or("")),
    )
}

/// The partition of the events of a day in UTC, `1997-01-05`.
pub fn ledger_partition(day: &str) -> String {
    format!("ledger#{day}")
}

impl LedgerRecord {
    /// An event's entry before it is known what becomes of it.
    pub fn new(
        (at, decided_at): (Instant, Instant),
        kind: &str,
        identity: String,
        pipeline: Option<&str>,
        event: Json,
    ) -> Self {
        Self {
            at,
            decided_at,
            kind: kind.to_owned(),
            identity,
            pipeline: pipeline.map(str::to_owned),
            event,
            became: Became::Rejected,
            reason: None,
            run: None,
        }
    }

    /// The write that appends it, or that replaces what a pause left. Who finds another there decides
    /// anew, as for a repeat.
    pub fn write(&self, expect: Expect) -> Write {
        let key = ledger_item(self.at, &self.identity, self.pipeline.as_deref());
        let mut item = Item::new(key, self.to_body());
        item.expires_at = Some(self.decided_at.plus_seconds(LEDGER_KEPT_SECONDS));
        Write::Put { item, expect }
    }
}

/// The key of a pipeline's clock.
pub fn clock_item(pipeline: &str) -> Key {
    Key::new(pipeline_item(pipeline).partition, "T")
}

/// The clock of a pipeline with schedules: up to where its ticks were seen to. In the list of what is
/// due, unless the pipeline is paused or its schedules have ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRecord {
    /// Which command is due, for the sweep.
    pub command: String,
    /// The pipeline.
    pub pipeline: String,
    /// The moment up to which every tick was seen to, by a digest of the schedule.
    pub seen: BTreeMap<String, Instant>,
}

impl ClockRecord {
    /// The word by which the sweep knows a clock among what is due.
    pub const COMMAND: &str = "ticks";

    /// A clock that has seen nothing.
    pub fn new(pipeline: &str) -> Self {
        Self { command: Self::COMMAND.to_owned(), pipeline: pipeline.to_owned(), seen: BTreeMap::new() }
    }
}

impl Record for ClockRecord {}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str) -> Object {
        Object {
            bucket: "drop".into(),
            key: key.into(),
            version_id: None,
            etag: Some("e".into()),
            sequencer: Some("0055".into()),
            size: 1,
            at: Instant::from_micros(0),
        }
    }

    #[test]
    fn sequencers_of_different_lengths_are_filled_on_the_right() {
        assert_eq!(sequence("0055AED6DCD90281E5", "0055AED6DCD90281E500"), Ordering::Equal);
        assert_eq!(sequence("0055", "00550001"), Ordering::Less);
        assert_eq!(sequence("0056", "00550001"), Ordering::Greater);
    }

    #[test]
    fn an_arrival_is_told_by_its_version_else_by_tag_and_sequencer() {
        let plain = object("a b+ñ");
        assert_eq!(plain.identity(), object("a b+ñ").identity());
        assert_ne!(plain.identity(), object("a b ñ").identity());
        assert_ne!(plain.identity(), Object { sequencer: Some("0056".into()), ..plain.clone() }.identity());
        let one = Object { version_id: Some("v1".into()), ..plain.clone() };
        assert_eq!(one.identity(), Object { sequencer: Some("0056".into()), ..one.clone() }.identity());
        assert_ne!(one.identity(), Object { version_id: Some("v2".into()), ..one.clone() }.identity());
    }
}
