//! Signed calls from outside that start runs.

use crate::Json;
use crate::event::LEDGER_KEPT_SECONDS;
use crate::item::{Expect, Item, Key, Write};
use crate::record::Record;
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A webhook of a pipeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookPlan {
    /// The last part of its address, where the pipeline has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The reference of the secret that signs calls.
    pub key: String,
    /// The reference of a second one that is as good, while one takes the place of the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_key: Option<String>,
    /// The reference of the text that proves who asks for the address to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_token: Option<String>,
    /// How calls are signed.
    pub style: WebhookStyle,
    /// What becomes of the body: values by parameter; their texts are templates over `body`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Json>,
    /// The run's date: a template over `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<String>,
}

/// How calls are signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookStyle {
    /// Our own: time stamp and body.
    #[default]
    Generic,
    /// As GitHub does.
    Github,
    /// As Slack does.
    Slack,
    /// As Meta does.
    Meta,
}

impl WebhookStyle {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Github => "github",
            Self::Slack => "slack",
            Self::Meta => "meta",
        }
    }
}

/// The key of what is known of one call.
pub fn call_item(pipeline: &str, identity: &str) -> Key {
    Key::new(format!("hooks#{pipeline}"), identity)
}

/// A signed call that came: whoever sends it again is told what became of it, however much later. Not every
/// sender signs a moment, so this and not the ledger's day is what tells a repeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRecord {
    /// The moment under which its ledger entry is kept.
    pub at: Instant,
}

impl Record for CallRecord {}

impl CallRecord {
    /// The write that remembers it, for as long as its ledger entry is kept.
    pub fn write(self, pipeline: &str, identity: &str, now: Instant) -> Write {
        let mut item = Item::new(call_item(pipeline, identity), self.to_body());
        item.expires_at = Some(now.plus_seconds(LEDGER_KEPT_SECONDS));
        Write::Put { item, expect: Expect::Absent }
    }
}
