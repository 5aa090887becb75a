//! The audit: who had what done, append-only, written in the transaction of the decision it tells of.

use crate::Json;
use crate::ids::sha256_hex;
use crate::item::{Expect, Item, Key, Write};
use crate::record::Record;
use crate::time::Instant;
use serde::{Deserialize, Serialize};

/// The partition of the entries of one day in UTC, `1997-01-05`.
pub fn audit_partition(day: &str) -> String {
    format!("audit#{day}")
}

/// Something that a person or a trigger had done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// When it was decided.
    pub at: Instant,
    /// Who, as far as is known: a user, a schedule, a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What: `deploy`, `undeploy`, `trigger`, `rerun`, `resume`, `cancel`, `mark`, `approve`, `reject`, `pause`, ...
    pub action: String,
    /// The pipeline concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// The run concerned, as `pipeline/run_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The task concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The pipeline version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The parameters of a run that was asked for.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub params: Json,
    /// What else belongs to the action.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub detail: Json,
}

impl Record for AuditRecord {}

impl AuditRecord {
    /// An entry that says when and what; the rest is the caller's to fill.
    pub fn new(at: Instant, action: &str) -> Self {
        Self {
            at,
            by: None,
            action: action.to_owned(),
            pipeline: None,
            run: None,
            task: None,
            version: None,
            params: Json::Null,
            detail: Json::Null,
        }
    }

    /// Where it is kept: sorted by time within its day, apart from every other entry of that moment.
    pub fn key(&self) -> Key {
        let digest = sha256_hex(Json::Object(self.to_body()).to_string());
        let sort = format!("{:020}#{}#{}", self.at.micros(), self.action, &digest[..12]);
        Key::new(audit_partition(&self.at.to_timestamp().strftime("%Y-%m-%d").to_string()), sort)
    }

    /// The write that appends it. Its key holds its content, so the same entry may be written again.
    pub fn write(&self) -> Write {
        Write::Put { item: Item::new(self.key(), self.to_body()), expect: Expect::Any }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_moment_do_not_meet_and_lie_in_their_day() {
        let at = Instant::parse("1997-01-05T23:59:59.999999Z").unwrap();
        let mut one = AuditRecord::new(at, "cancel");
        one.by = Some("ana".into());
        let mut other = AuditRecord::new(at, "cancel");
        other.by = Some("eva".into());
        assert_ne!(one.key(), other.key());
        assert_eq!(one.key().partition, "audit#1997-01-05");
        let item = Item::new(one.key(), one.to_body());
        assert_eq!(AuditRecord::from_item(&item).unwrap(), one);
    }
}
