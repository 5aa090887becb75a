//! A matrix: one series of runs per item of a list, on one shared pipeline. What the plan says of it, how
//! its items lie in the store, and how far a tick has been handed out to them.
//!
//! Items are data: no plan names one, so another item is no other version.

use crate::Json;
use crate::item::{IndexEntry, Item, Key};
use crate::record::{DUE_LIST, Record};
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// Most items of one matrix.
pub const ITEMS_MAX: usize = 10_000;

/// Longest key of an item: with a date behind it, it is a run's id and part of an execution's name.
pub const KEY_MAX: usize = 40;

/// Most bytes of an item's columns, as JSON: they are in the record of each of its runs.
pub const ITEM_BYTES_MAX: usize = 8_192;

/// How far a priority goes, either way.
pub const PRIORITY_MAX: i64 = 1_000_000;

/// Whether a column's value can be a priority.
pub fn is_priority(value: &Json) -> bool {
    value.as_i64().is_some_and(|value| (-PRIORITY_MAX..=PRIORITY_MAX).contains(&value))
}

/// Whether a text can stand in run ids, and so in execution names and paths.
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html#API_StartExecution_RequestParameters>
pub fn is_key(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= KEY_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(plain)
        && !text.contains("..")
}

/// What a plan says of its matrix.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixPlan {
    /// The word under which templates read the item.
    #[serde(rename = "as")]
    pub name: String,
    /// The column that identifies an item.
    pub key: String,
    /// The column that chooses an item's schedule, where there is one for each of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<String>,
    /// Whether `max_active_runs` counts the runs of each item by themselves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_item: bool,
    /// The column whose number says which items' runs and tasks go first where slots are short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
}

impl MatrixPlan {
    /// The case that an item is of: the text of its column.
    pub fn case_of(&self, fields: &Map<String, Json>) -> Option<String> {
        let value = fields.get(self.select.as_ref()?)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// An item's priority. One that an earlier list left without a number has none.
    fn priority_of(&self, fields: &Map<String, Json>) -> i64 {
        let value = self.priority.as_ref().and_then(|column| fields.get(column));
        value.filter(|value| is_priority(value)).and_then(Json::as_i64).unwrap_or(0)
    }
}

/// An item, as its runs carry it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunItem {
    /// Its key.
    pub key: String,
    /// The word under which templates read it.
    #[serde(rename = "as")]
    pub name: String,
    /// Its columns.
    pub fields: Map<String, Json>,
    /// Whether `max_active_runs` counts its runs by themselves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// What is added to the priorities of its run and its tasks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn partition(pipeline: &str) -> String {
    format!("matrix#{pipeline}")
}

/// The key of what is known of a pipeline's list as a whole.
pub fn matrix_item(pipeline: &str) -> Key {
    Key::new(partition(pipeline), "M")
}

/// A pipeline's list as it was synchronised last.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixRecord {
    /// Counts the writes of the list, so that two who write it at once notice each other.
    pub revision: u64,
    /// How many items there are.
    pub items: usize,
    /// When somebody last changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_at: Option<Instant>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether a change of several writes has begun and not ended: the next one makes it whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

impl Record for MatrixRecord {}

/// The partition of a pipeline's items, and what their sort keys begin with: all, or those of a case.
pub fn items_range(pipeline: &str, case: Option<Option<&str>>) -> (String, String) {
    let prefix = case.map_or_else(|| "I#".to_owned(), |case| format!("I#{}#", case.unwrap_or_default()));
    (partition(pipeline), prefix)
}

/// The key of an item, which lies with the others of its case.
pub fn item_item(pipeline: &str, case: Option<&str>, key: &str) -> Key {
    let (partition, prefix) = items_range(pipeline, Some(case));
    Key::new(partition, format!("{prefix}{key}"))
}

/// An item of the list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// Its key.
    pub key: String,
    /// Its columns.
    pub fields: Map<String, Json>,
    /// The case whose schedule it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Since when it follows it: earlier ticks are none of its.
    pub since: Instant,
}

impl Record for ItemRecord {}

impl ItemRecord {
    /// The item as its runs carry it.
    pub fn of_run(self, matrix: &MatrixPlan) -> RunItem {
        RunItem {
            priority: matrix.priority_of(&self.fields),
            key: self.key,
            name: matrix.name.clone(),
            fields: self.fields,
            alone: matrix.per_item,
        }
    }
}

/// The key of a tick that is being handed out.
pub fn fan_item(pipeline: &str, schedule: &str, scheduled_at: Instant) -> Key {
    Key::new(partition(pipeline), format!("F#{:020}#{schedule}", scheduled_at.micros()))
}

/// A tick that is being handed out to the items of its case, some at a time. In the list of what is due
/// until the last of them has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanRecord {
    /// Which command is due, for the sweep.
    pub command: String,
    /// The pipeline.
    pub pipeline: String,
    /// The schedule's name.
    pub schedule: String,
    /// The moment it was set to.
    pub scheduled_at: Instant,
    /// The case whose items it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// What the ids of its runs end with.
    pub suffix: String,
    /// The runs' logical date.
    pub logical_date: Instant,
    /// The range of their data.
    pub data_interval: (Instant, Instant),
    /// When they are due: what their deadlines count from.
    pub counts_from: Instant,
    /// Zone of `ds`.
    pub timezone: String,
    /// Where the store goes on reading items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Record for FanRecord {}

impl FanRecord {
    /// The word by which the sweep knows it among what is due.
    pub const COMMAND: &str = "fan";

    /// The item, in the list of what is due from a moment on.
    pub fn row(&self, due: Instant) -> Item {
        let key = fan_item(&self.pipeline, &self.schedule, self.scheduled_at);
        let mut item = Item::new(key, self.to_body());
        item.index = Some(IndexEntry {
            list: DUE_LIST.to_owned(),
            position: format!("{:020}#{}#{}", due.micros(), self.pipeline, self.schedule),
        });
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_what_execution_names_and_paths_take() {
        for good in ["AAPL", "BRK.B", "7203", "sp500-index", &"x".repeat(KEY_MAX)] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "^GSPC", "BRK B", "a/b", "..", ".a", "a..b", "ñ", &"x".repeat(KEY_MAX + 1)] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn the_items_of_a_case_lie_together_and_apart_from_those_of_a_longer_name() {
        let (_, prefix) = items_range("p", Some(Some("high")));
        assert!(item_item("p", Some("high"), "AAPL").sort.starts_with(&prefix));
        assert!(!item_item("p", Some("high_risk"), "AAPL").sort.starts_with(&prefix));
        let (_, none) = items_range("p", Some(None));
        assert!(item_item("p", None, "AAPL").sort.starts_with(&none));
        assert!(!item_item("p", Some("high"), "AAPL").sort.starts_with(&none));
    }

    #[test]
    fn a_case_is_the_text_of_its_column() {
        let plan = MatrixPlan { select: Some("risk".into()), ..MatrixPlan::default() };
        let fields = |risk| json!({"risk": risk}).as_object().cloned().unwrap();
        assert_eq!(plan.case_of(&fields(json!("high"))).as_deref(), Some("high"));
        assert_eq!(plan.case_of(&fields(json!(3))).as_deref(), Some("3"));
        assert_eq!(plan.case_of(&Map::new()), None);
    }

    #[test]
    fn a_priority_is_the_whole_number_of_its_column() {
        let plan = MatrixPlan { priority: Some("rank".into()), ..MatrixPlan::default() };
        let of = |rank| plan.priority_of(json!({"rank": rank}).as_object().unwrap());
        assert_eq!((of(json!(7)), of(json!(-3))), (7, -3));
        for none in [json!("7"), json!(1.5), json!(PRIORITY_MAX + 1), Json::Null] {
            assert_eq!(of(none.clone()), 0, "{none}");
        }
        assert_eq!(MatrixPlan::default().priority_of(json!({"rank": 7}).as_object().unwrap()), 0);
    }
}
