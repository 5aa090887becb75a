//! What the store holds and the ways to change it. The port that does it is `cauce_ports::Table`.

use crate::Json;
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::fmt;

/// Where an item lies. Items of one partition are sorted by `sort` and read together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Such as `run#<run key>`.
    pub partition: String,
    /// Such as `T#<task>`; compared by bytes.
    pub sort: String,
}

impl Key {
    /// A key.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.sort)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The fields of an item.
pub type Body = Map<String, Json>;

/// One item.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Where it lies.
    pub key: Key,
    /// Set by the store: 1 when created, one more at each change. Ignored in a put.
    pub version: u64,
    /// Its fields. Sets are sorted lists of strings without repeats.
    pub body: Body,
    /// Its entry in the sparse index, if it has one.
    pub index: Option<IndexEntry>,
    /// After this the store may forget it. Never part of a decision.
    pub expires_at: Option<Instant>,
}

impl Item {
    /// A new item, without index entry or expiry.
    pub const fn new(key: Key, body: Body) -> Self {
        Self { key, version: 0, body, index: None, expires_at: None }
    }
}

/// An item's place in the sparse index, for discovery only: reads of it are stale.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Which list: `runs`, `due`, ...
    pub list: String,
    /// Its place in the list; compared by bytes.
    pub position: String,
}

/// What a write expects to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expect {
    /// Nothing under the key.
    Absent,
    /// The item at this version.
    Version(u64),
    /// Anything or nothing.
    Any,
}

/// One part of a transaction.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Write {
    /// Create or replace.
    Put {
        /// The whole new item; its version is the store's to set.
        item: Item,
        /// What must be there.
        expect: Expect,
    },
    /// Remove. Removing nothing is fine with [`Expect::Any`] and [`Expect::Absent`].
    Delete {
        /// Which.
        key: Key,
        /// What must be there.
        expect: Expect,
    },
    /// Change nothing, but fail the transaction unless this holds.
    Check {
        /// Which.
        key: Key,
        /// What must be there.
        expect: Expect,
    },
}

impl Write {
    /// The key concerned.
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put { item, .. } => &item.key,
            Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    /// What it expects to find.
    pub const fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } | Self::Check { expect, .. } => *expect,
        }
    }
}

/// Most parts of one transaction.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
pub const TRANSACTION_MAX: usize = 100;

/// Most bytes of one item.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const ITEM_BYTES_MAX: usize = 400 * 1024;

/// An atomic change of one item's fields. The item is created when it does not exist and the
/// conditions allow it. The version grows by one.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// In order.
    pub steps: Vec<Step>,
}

/// One step of a [`Change`]. Fields are top-level names.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Adds to a number (absent counts as 0).
    Add(String, i64),
    /// Puts a text into a set (absent counts as empty).
    Insert(String, String),
    /// Takes a text out of a set.
    Take(String, String),
    /// Sets a field.
    Set(String, Json),
    /// Removes a field.
    Remove(String),
}

/// What must hold for a [`Change`], all of it. An absent item has no fields.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct When {
    /// Every one must hold.
    pub all: Vec<Cond>,
}

/// A condition on one item's fields.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Cond {
    /// The item exists.
    Exists,
    /// The field equals this value.
    Equals(String, Json),
    /// The field does not equal this value, or is absent.
    Differs(String, Json),
    /// The field is absent (or the item is).
    Missing(String),
    /// The number is at most this; absent counts as 0.
    AtMost(String, i64),
    /// The number is at least this; absent counts as 0.
    AtLeast(String, i64),
    /// The text field is absent or sorts before this text.
    Before(String, String),
    /// The set holds this text.
    Contains(String, String),
    /// The set does not hold this text, or is absent.
    Lacks(String, String),
    /// The set is empty or absent.
    Empty(String),
}

impl Change {
    /// Applies the steps to an item's fields: the one meaning that every store shares.
    pub fn apply(&self, body: &mut Body) {
        for step in &self.steps {
            match step {
                Step::Add(field, amount) => {
                    let sum = body.get(field).and_then(Json::as_i64).unwrap_or(0).saturating_add(*amount);
                    body.insert(field.clone(), Json::from(sum));
                }
                Step::Insert(field, text) => {
                    let mut set = take_set(body, field);
                    if let Err(at) =
                        set.binary_search_by(|have| have.as_str().unwrap_or("").cmp(text.as_str()))
                    {
                        set.insert(at, Json::from(text.as_str()));
                    }
                    body.insert(field.clone(), Json::Array(set));
                }
                Step::Take(field, text) => {
                    let mut set = take_set(body, field);
                    set.retain(|have| have.as_str() != Some(text));
                    body.insert(field.clone(), Json::Array(set));
                }
                Step::Set(field, value) => {
                    body.insert(field.clone(), value.clone());
                }
                Step::Remove(field) => {
                    body.shift_remove(field);
                }
            }
        }
    }
}

fn take_set(body: &mut Body, field: &str) -> Vec<Json> {
    match body.get_mut(field) {
        Some(Json::Array(set)) => std::mem::take(set),
        _ => Vec::new(),
    }
}

impl When {
    /// No condition.
    pub const fn always() -> Self {
        Self { all: Vec::new() }
    }

    /// Whether every condition holds for an item's fields (`None`: there is no item).
    pub fn holds(&self, body: Option<&Body>) -> bool {
        self.all.iter().all(|cond| cond.holds(body))
    }
}

impl Cond {
    fn holds(&self, body: Option<&Body>) -> bool {
        let field = |name: &str| body.and_then(|body| body.get(name));
        let set = |name: &str| field(name).and_then(Json::as_array);
        let has = |name: &str, text: &str| {
            set(name).is_some_and(|set| set.iter().any(|v| v.as_str() == Some(text)))
        };
        match self {
            Self::Exists => body.is_some(),
            Self::Equals(name, value) => field(name) == Some(value),
            Self::Differs(name, value) => field(name) != Some(value),
            Self::Missing(name) => field(name).is_none(),
            Self::AtMost(name, most) => field(name).and_then(Json::as_i64).unwrap_or(0) <= *most,
            Self::AtLeast(name, least) => field(name).and_then(Json::as_i64).unwrap_or(0) >= *least,
            Self::Before(name, text) => {
                field(name).and_then(Json::as_str).is_none_or(|have| have < text.as_str())
            }
            Self::Contains(name, text) => has(name, text),
            Self::Lacks(name, text) => !has(name, text),
            Self::Empty(name) => set(name).is_none_or(Vec::is_empty),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(json: Json) -> Body {
        json.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_change_adds_to_numbers_and_sets_without_repeats() {
        let mut fields = body(json!({"used": 1, "done": ["b"]}));
        let change = Change {
            steps: vec![
                Step::Add("used".into(), 2),
                Step::Insert("done".into(), "a".into()),
                Step::Insert("done".into(), "b".into()),
                Step::Set("token".into(), json!("t")),
                Step::Remove("gone".into()),
            ],
        };
        change.apply(&mut fields);
        assert_eq!(Json::Object(fields), json!({"used": 3, "done": ["a", "b"], "token": "t"}));
    }

    #[test]
    fn conditions_read_an_absent_item_as_empty() {
        let absent = |cond| When { all: vec![cond] }.holds(None);
        assert!(!absent(Cond::Exists));
        assert!(absent(Cond::AtMost("used".into(), 0)));
        assert!(!absent(Cond::AtMost("used".into(), -1)));
        assert!(absent(Cond::AtLeast("used".into(), 0)));
        assert!(!absent(Cond::AtLeast("used".into(), 1)));
        assert!(absent(Cond::Lacks("s".into(), "x".into())));
        assert!(absent(Cond::Before("order".into(), "1".into())));
        assert!(absent(Cond::Empty("s".into())));
        assert!(absent(Cond::Differs("s".into(), json!("open"))));
    }

    #[test]
    fn taking_from_a_set_leaves_the_rest() {
        let mut fields = body(json!({"s": ["a", "b"]}));
        Change { steps: vec![Step::Take("s".into(), "a".into())] }.apply(&mut fields);
        assert_eq!(fields["s"], json!(["b"]));
        assert!(When { all: vec![Cond::Contains("s".into(), "b".into())] }.holds(Some(&fields)));
    }
}
