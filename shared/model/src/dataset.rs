//! Datasets: what tasks write, who is started by it, and how that lies in the store.
//!
//! Every update of a dataset has a number, one more than the one before it. A pipeline that is started by
//! datasets knows up to which number it has heard of each; updates that it has heard of and not used yet wait,
//! by partition. So whoever tells it of an update only makes it look.

use crate::ids::sha256_hex;
use crate::item::{IndexEntry, Item, Key};
use crate::record::{DUE_LIST, Notice, Record};
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Longest name of a dataset, in bytes. It is part of a key, of which DynamoDB takes 2,048.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const NAME_BYTES_MAX: usize = 512;

/// Most datasets that one task writes: all of them are updated in the transaction that ends it.
pub const WRITTEN_MAX: usize = 20;

/// Most datasets that one trigger names: a deployment subscribes to all of them in one transaction.
pub const NAMED_MAX: usize = 20;

/// Updates of one dataset that are kept; a further one takes the place of the oldest.
pub const UPDATES_KEPT: u64 = 1_000;

/// A dataset's name as it is compared: the scheme in lower case, no slash at the end.
///
/// # Errors
/// In words: what no name may be.
pub fn normal_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let name = match text.split_once("://") {
        Some((scheme, rest)) => {
            let rest = rest.trim_end_matches('/');
            if rest.is_empty() {
                return Err(format!("'{text}' names a scheme and nothing in it"));
            }
            format!("{}://{rest}", scheme.to_ascii_lowercase())
        }
        None => text.trim_end_matches('/').to_owned(),
    };
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("the name has {} bytes; at most {NAME_BYTES_MAX} are taken", name.len()));
    }
    if let Some(bad) = name.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("'{name}' holds {bad:?}; a name has no blanks"));
    }
    Ok(name)
}

/// The same of a template: what is filled in later keeps its place, with the blanks inside it left out.
pub fn normal_template(source: &str) -> String {
    let mut name = String::new();
    let mut rest = source.trim();
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inside, left)) = after.split_once("}}") else { break };
        name.push_str(before);
        name.push_str("{{");
        name.extend(inside.chars().filter(|c| !c.is_whitespace()));
        name.push_str("}}");
        rest = left;
    }
    name.push_str(rest);
    match name.split_once("://") {
        Some((scheme, rest)) => format!("{}://{}", scheme.to_ascii_lowercase(), rest.trim_end_matches('/')),
        None => name.trim_end_matches('/').to_owned(),
    }
}

/// Which datasets have to be updated for a run to start.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// One of these.
    Any(Vec<Self>),
    /// Each of these.
    All(Vec<Self>),
    /// This dataset.
    #[serde(untagged)]
    Dataset(String),
}

impl Condition {
    /// The datasets that it names.
    pub fn names(&self) -> BTreeSet<&str> {
        match self {
            Self::Dataset(name) => BTreeSet::from([name.as_str()]),
            Self::Any(inner) | Self::All(inner) => inner.iter().flat_map(Self::names).collect(),
        }
    }

    /// Whether it holds, given which datasets have what it asks for.
    pub fn holds(&self, has: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Dataset(name) => has(name),
            Self::Any(inner) => inner.iter().any(|one| one.holds(has)),
            Self::All(inner) => inner.iter().all(|one| one.holds(has)),
        }
    }

    /// What it lacks, in words: `a and (b or c)`. `None` when it holds.
    pub fn lacks(&self, has: &impl Fn(&str) -> bool) -> Option<String> {
        if self.holds(has) {
            return None;
        }
        let (inner, word) = match self {
            Self::Dataset(name) => return Some(name.clone()),
            Self::Any(inner) => (inner, " or "),
            Self::All(inner) => (inner, " and "),
        };
        let words: Vec<String> = inner.iter().filter_map(|one| one.lacks(has)).collect();
        if let [one] = words.as_slice() {
            return Some(one.clone());
        }
        let mixed = |text: &String| match text.contains(" and ") || text.contains(" or ") {
            true => format!("({text})"),
            false => text.clone(),
        };
        Some(words.iter().map(mixed).collect::<Vec<_>>().join(word))
    }

    /// When it is late, given when each dataset is: with its first for `all`, with its last for `any`.
    pub fn late_at(&self, of: &impl Fn(&str) -> Instant) -> Instant {
        let inner = |inner: &[Self]| inner.iter().map(|one| one.late_at(of)).collect::<Vec<_>>();
        let never = Instant::from_micros(i64::MAX);
        match self {
            Self::Dataset(name) => of(name),
            Self::Any(any) => inner(any).into_iter().max().unwrap_or(never),
            Self::All(all) => inner(all).into_iter().min().unwrap_or(never),
        }
    }

    /// The same with each name changed.
    ///
    /// # Errors
    /// The first that `change` gives.
    pub fn rename<E>(&self, change: &impl Fn(&str) -> Result<String, E>) -> Result<Self, E> {
        let inner = |inner: &[Self]| inner.iter().map(|one| one.rename(change)).collect::<Result<_, _>>();
        Ok(match self {
            Self::Dataset(name) => Self::Dataset(change(name)?),
            Self::Any(any) => Self::Any(inner(any)?),
            Self::All(all) => Self::All(inner(all)?),
        })
    }
}

/// `any of (a, all of (b, c))`.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, inner) = match self {
            Self::Dataset(name) => return f.write_str(name),
            Self::Any(inner) | Self::All(inner) if inner.len() == 1 => return inner[0].fmt(f),
            Self::Any(inner) => ("any", inner),
            Self::All(inner) => ("all", inner),
        };
        let inner: Vec<String> = inner.iter().map(ToString::to_string).collect();
        write!(f, "{word} of ({})", inner.join(", "))
    }
}

/// What a run covers that datasets start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioning {
    /// A day of data: a run for each day that was updated.
    Day,
}

/// Datasets that start runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetTriggerPlan {
    /// Which of them have to be updated; `${{ env.x }}` stays in the names.
    pub on: Condition,
    /// Whether each partition has a run of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioned_by: Option<Partitioning>,
    /// An update does not count that was so much older than the newest, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_within_seconds: Option<u64>,
    /// How long updates may stay away before somebody is told, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
}

impl DatasetTriggerPlan {
    /// The newest updates that count: not those that were too old when the newest of all came. What counts
    /// does not depend on when somebody looks.
    fn fresh<'a>(&'a self, waiting: &'a WaitingRecord) -> impl Fn(&str) -> bool + 'a {
        let names = self.on.names();
        let known = waiting.updates.iter().filter(|(name, _)| names.contains(name.as_str()));
        let newest = known.map(|(_, updates)| updates.at).max();
        move |name| {
            let update = waiting.updates.get(name);
            update.is_some_and(|update| {
                self.fresh_within_seconds.is_none_or(|within| newest <= Some(update.at.plus_seconds(within)))
            })
        }
    }

    /// Whether what waits is enough for a run.
    pub fn holds(&self, waiting: &WaitingRecord) -> bool {
        self.on.holds(&self.fresh(waiting))
    }

    /// What is missing for one, in words.
    pub fn lacks(&self, waiting: &WaitingRecord) -> Option<String> {
        self.on.lacks(&self.fresh(waiting))
    }
}

/// The index list of all datasets, by name.
pub const DATASETS_LIST: &str = "datasets";

/// The partition of a dataset: its record, its updates, who is started by it.
pub fn dataset_partition(dataset: &str) -> String {
    format!("dataset#{dataset}")
}

/// The key of a dataset's record.
pub fn dataset_item(dataset: &str) -> Key {
    Key::new(dataset_partition(dataset), "D")
}

/// The item that shows a dataset in the list of all. Written with its first update: the record's own place
/// in a list is among what is due.
pub fn listed(dataset: &str) -> Item {
    let mut item = Item::new(Key::new(dataset_partition(dataset), "N"), crate::item::Body::new());
    item.body.insert("dataset".to_owned(), dataset.into());
    item.index = Some(IndexEntry { list: DATASETS_LIST.to_owned(), position: dataset.to_owned() });
    item
}

/// The key of one update: it has the place of the one [`UPDATES_KEPT`] before it.
pub fn update_item(dataset: &str, number: u64) -> Key {
    Key::new(dataset_partition(dataset), format!("U#{:04}", number % UPDATES_KEPT))
}

/// What the sort keys of those begin with whom a dataset starts; the pipeline follows.
pub const READER_PREFIX: &str = "C#";

/// The key that says that a dataset starts a pipeline.
pub fn reader_item(dataset: &str, pipeline: &str) -> Item {
    let key = Key::new(dataset_partition(dataset), format!("{READER_PREFIX}{pipeline}"));
    let mut item = Item::new(key, crate::item::Body::new());
    item.body.insert("pipeline".to_owned(), pipeline.into());
    item
}

/// One update of a dataset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateRecord {
    /// The dataset.
    pub dataset: String,
    /// Orders the updates of one dataset: one more than the one before.
    pub number: u64,
    /// When it was written.
    pub at: Instant,
    /// The day of the data (`1997-01-05`): of the run that wrote it, in its time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The logical date of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<Instant>,
    /// The range of the run's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_interval: Option<(Instant, Instant)>,
    /// The run, as `pipeline/run_id`; absent for one from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// Its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The task's fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// Who told of it, for one from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Record for UpdateRecord {}

impl UpdateRecord {
    /// What tells it from every other event, in hex.
    pub fn identity(&self) -> String {
        sha256_hex(serde_json::json!(["dataset", self.dataset, self.number]).to_string())
    }
}

/// A dataset that was updated. In the list of what is due until everybody was told whom it starts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRecord {
    /// Which command is due, for the sweep.
    pub command: String,
    /// The dataset.
    pub dataset: String,
    /// Up to which update everybody was told.
    pub told: u64,
    /// The newest update.
    pub newest: UpdateRecord,
}

impl Record for DatasetRecord {}

impl DatasetRecord {
    /// The word by which the sweep knows a dataset among what is due.
    pub const COMMAND: &str = "dataset";

    /// The item. It is due while somebody is still to be told.
    pub fn row(&self) -> Item {
        let mut item = Item::new(dataset_item(&self.dataset), self.to_body());
        item.index = (self.told < self.newest.number).then(|| IndexEntry {
            list: DUE_LIST.to_owned(),
            position: format!("{:020}#{}", self.newest.at.micros(), self.dataset),
        });
        item
    }
}

/// The partition of what a pipeline knows of the datasets that start it.
pub fn consumer_partition(pipeline: &str) -> String {
    format!("consumer#{pipeline}")
}

/// The key of a consumer's record.
pub fn consumer_item(pipeline: &str) -> Key {
    Key::new(consumer_partition(pipeline), "C")
}

/// A pipeline that datasets start. In the list of what is due while something is to be decided about it that
/// nobody may tell of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerRecord {
    /// Which command is due, for the sweep.
    pub command: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its trigger, as it is deployed: names without placeholders.
    pub trigger: DatasetTriggerPlan,
    /// Tells what waits for this trigger from what waited for one that read partitions otherwise.
    pub epoch: i64,
    /// What it has heard of each dataset.
    pub heard: BTreeMap<String, HeardRecord>,
    /// The partitions of which enough waits for a run, the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ready: Vec<String>,
    /// Whether the trigger was changed since anybody looked at all that waits.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recheck: bool,
    /// The newest run of all datasets together; those of partitions have their dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The deadline of which somebody was told that it has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Instant>,
    /// Notices that were decided and not yet delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Notice>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Record for ConsumerRecord {}

impl ConsumerRecord {
    /// The word by which the sweep knows a consumer among what is due.
    pub const COMMAND: &str = "consumer";

    /// The item, in the list of what is due from a moment on.
    pub fn row(&self, due: Option<Instant>) -> Item {
        let mut item = Item::new(consumer_item(&self.pipeline), self.to_body());
        item.index = due.map(|at| IndexEntry {
            list: DUE_LIST.to_owned(),
            position: format!("{:020}#{}", at.micros(), self.pipeline),
        });
        item
    }

    /// When its deadline passes, unless another update comes.
    pub fn late_at(&self) -> Option<Instant> {
        let deadline = self.trigger.deadline_seconds?;
        let of = |name: &str| {
            let heard = self.heard.get(name);
            heard.map_or(Instant::from_micros(i64::MAX), |heard| heard.at.plus_seconds(deadline))
        };
        Some(self.trigger.on.late_at(&of))
    }
}

/// What a consumer has heard of one dataset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeardRecord {
    /// Up to which update.
    pub seen: u64,
    /// When that was written; before the first, since when it listens.
    pub at: Instant,
}

/// What the sort keys of that begin with which waits for a consumer's trigger; the partition follows.
pub fn waiting_prefix(epoch: i64) -> String {
    format!("W#{epoch}#")
}

/// The key of what waits of one partition.
pub fn waiting_item(pipeline: &str, epoch: i64, partition: &str) -> Key {
    Key::new(consumer_partition(pipeline), format!("{}{partition}", waiting_prefix(epoch)))
}

/// Updates of one partition that no run has used yet. The partition of a trigger that does not tell them
/// apart is the empty text.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingRecord {
    /// The partition.
    pub partition: String,
    /// The updates of each dataset.
    pub updates: BTreeMap<String, WaitingUpdates>,
}

impl Record for WaitingRecord {}

/// Updates of one dataset that wait.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingUpdates {
    /// When the newest was written.
    pub at: Instant,
    /// Their numbers, ascending, as ranges with both ends.
    pub numbers: Vec<(u64, u64)>,
}

impl WaitingRecord {
    /// Adds an update. They come in the order of their numbers.
    pub fn add(&mut self, update: &UpdateRecord) {
        let known = self
            .updates
            .entry(update.dataset.clone())
            .or_insert_with(|| WaitingUpdates { at: update.at, numbers: Vec::new() });
        known.at = known.at.max(update.at);
        match known.numbers.last_mut() {
            Some((_, last)) if *last + 1 == update.number => *last = update.number,
            _ => known.numbers.push((update.number, update.number)),
        }
    }

    /// Every update: dataset and number.
    pub fn each(&self) -> impl Iterator<Item = (&str, u64)> {
        let ranges =
            self.updates.iter().flat_map(|(name, updates)| updates.numbers.iter().map(move |r| (name, r)));
        ranges.flat_map(|(name, (first, last))| (*first..=*last).map(move |number| (name.as_str(), number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_that_mean_the_same_are_the_same() {
        for text in ["s3://lake/gold", "S3://lake/gold/", " s3://lake/gold// "] {
            assert_eq!(normal_name(text).unwrap(), "s3://lake/gold");
        }
        // A key of S3 is told by its case.
        assert_eq!(normal_name("s3://lake/Gold").unwrap(), "s3://lake/Gold");
        assert_eq!(normal_name("prices/").unwrap(), "prices");
        for bad in ["", "/", "s3://", "a b", "s3://lake/a\u{7}", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(normal_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(normal_template("S3://${{ env.lake }}/gold/{{ ds }}/"), "s3://${{env.lake}}/gold/{{ds}}");
        assert_eq!(normal_template("s3://${{env.lake}}/gold/{{ds}}"), "s3://${{env.lake}}/gold/{{ds}}");
    }

    #[test]
    fn a_condition_says_what_it_lacks_and_when_it_is_late() {
        let condition: Condition =
            serde_json::from_value(json!({"any": ["a", {"all": ["b", "c"]}]})).unwrap();
        assert_eq!(serde_json::to_value(&condition).unwrap(), json!({"any": ["a", {"all": ["b", "c"]}]}));
        assert_eq!(condition.to_string(), "any of (a, all of (b, c))");
        let lacks = |have: &[&str]| condition.lacks(&|name| have.contains(&name));
        assert_eq!(lacks(&[]).unwrap(), "a or (b and c)");
        assert_eq!(lacks(&["b"]).unwrap(), "a or c");
        assert_eq!(lacks(&["b", "c"]), None);
        assert_eq!(lacks(&["a"]), None);
        let late = |times: [i64; 3]| {
            let of = |name: &str| Instant::from_micros(times["abc".find(name).unwrap()]);
            condition.late_at(&of).micros()
        };
        assert_eq!(late([1, 5, 9]), 5);
        assert_eq!(late([7, 5, 9]), 7);
    }

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        let update = |number, micros| UpdateRecord {
            dataset: "a".into(),
            number,
            at: Instant::from_micros(micros),
            partition: None,
            logical_date: None,
            data_interval: None,
            run: None,
            generation: None,
            task: None,
            fence: None,
            by: None,
        };
        let mut waiting = WaitingRecord::default();
        for (number, at) in [(3, 5), (4, 9), (7, 8)] {
            waiting.add(&update(number, at));
        }
        assert_eq!(waiting.updates["a"].numbers, [(3, 4), (7, 7)]);
        assert_eq!(waiting.updates["a"].at.micros(), 9);
        assert_eq!(waiting.each().collect::<Vec<_>>(), [("a", 3), ("a", 4), ("a", 7)]);
    }

    #[test]
    fn what_is_too_old_beside_the_newest_does_not_count() {
        let trigger = DatasetTriggerPlan {
            on: Condition::All(vec![Condition::Dataset("a".into()), Condition::Dataset("b".into())]),
            partitioned_by: None,
            fresh_within_seconds: Some(60),
            deadline_seconds: None,
        };
        let waiting = |a: i64, b: i64| WaitingRecord {
            partition: String::new(),
            updates: [("a", a), ("b", b)]
                .map(|(name, seconds)| {
                    let at = Instant::from_micros(seconds * 1_000_000);
                    (name.to_owned(), WaitingUpdates { at, numbers: vec![(1, 1)] })
                })
                .into(),
        };
        assert!(trigger.holds(&waiting(0, 60)));
        assert!(!trigger.holds(&waiting(0, 61)));
        assert_eq!(trigger.lacks(&waiting(0, 61)).unwrap(), "a");
    }
}
