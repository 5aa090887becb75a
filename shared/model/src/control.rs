//! Shared controls besides pools: circuit breakers, rate limits, idempotency keys. What a plan says of
//! them, what the project says of them, and how they lie in the store.
//!
//! A plan names a breaker or a limit and gives no figures: the store has those of the project file, so
//! that all pipelines agree and a change of figures compiles nothing.

use crate::ids::sha256_hex;
use crate::item::{IndexEntry, Item, Key};
use crate::record::{OutputRecord, Record};
use crate::time::{Instant, MICROS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most tokens of a rate limit that are taken at once, that come by in its time, and that it saves up.
pub const TOKENS_MAX: u32 = 1_000_000;

/// The circuit breaker that a task stands behind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerUse {
    /// Its name in the project file.
    pub name: String,
    /// What becomes of an attempt while it is open.
    pub on_open: OnOpen,
}

/// What becomes of an attempt that finds its breaker open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOpen {
    /// Its task fails, whatever retries it has.
    Fail,
    /// It waits.
    #[default]
    Wait,
    /// Its task is skipped.
    Skip,
}

/// What an attempt takes of a rate limit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitUse {
    /// The limit's name in the project file.
    pub name: String,
    /// How many tokens.
    pub tokens: u32,
}

/// When an earlier result is used again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyPlan {
    /// A template: what makes two requests the same one, among those of this task.
    pub key: String,
    /// How long a result counts.
    pub ttl_seconds: u64,
    /// What becomes of a further request under the key.
    pub on_duplicate: OnDuplicate,
}

/// What becomes of a request whose idempotency key is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// It succeeds with the recorded output.
    #[default]
    Reuse,
    /// Its task fails.
    Fail,
    /// It runs, and its result replaces the recorded one.
    Overwrite,
}

/// The figures of a breaker, as the project file has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// So many failures open it, at least 1.
    pub threshold: u32,
    /// Within so many seconds.
    #[serde(rename = "window")]
    pub window_seconds: u64,
    /// So many seconds after it opened, one attempt is let through.
    #[serde(rename = "reset_after")]
    pub reset_seconds: u64,
}

/// The figures of a rate limit, as the project file has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSettings {
    /// So many tokens, at least 1.
    pub tokens: u32,
    /// In so many seconds, at least 1.
    #[serde(rename = "per")]
    pub per_seconds: u64,
    /// So many of them may be taken at one moment after a pause, at least 1.
    pub burst: u32,
}

impl RateSettings {
    /// The time that a token stands for, in microseconds; rounded up, so never faster than the limit.
    pub fn interval_micros(self) -> i64 {
        let per = i64::try_from(self.per_seconds).unwrap_or(i64::MAX / MICROS).saturating_mul(MICROS);
        let tokens = i64::from(self.tokens.max(1));
        per.saturating_add(tokens - 1) / tokens
    }

    /// The most tokens that one may take: as many as come by in its time, or as it saves up. Who took more would
    /// use them all at one moment, which is more than the limit lets through.
    pub fn most_at_once(self) -> u32 {
        self.tokens.max(self.burst)
    }
}

/// What a project file says of its breakers and rate limits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Controls {
    /// Breakers by name.
    pub breakers: BTreeMap<String, BreakerSettings>,
    /// Rate limits by name.
    pub rate_limits: BTreeMap<String, RateSettings>,
}

/// Failures of a breaker are kept in its item: so many at most.
pub const BREAKER_THRESHOLD_MAX: u32 = 1000;

/// The key of a breaker.
pub fn breaker_item(name: &str) -> Key {
    Key::new(format!("breaker#{name}"), "B")
}

/// A breaker, as the store has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerRecord {
    /// Its figures.
    pub settings: BreakerSettings,
    /// Failures while it is closed, oldest first, as [`failure_mark`] writes them: the newest
    /// `threshold` of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// Since when and until when it is open; absent while it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenRecord>,
    /// When it was closed last: what failed before counts no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Instant>,
    /// How often it has opened.
    #[serde(default)]
    pub opened: u64,
}

impl Record for BreakerRecord {}

impl BreakerRecord {
    /// A breaker that is closed.
    pub const fn new(settings: BreakerSettings) -> Self {
        Self { settings, failures: Vec::new(), open: None, closed_at: None, opened: 0 }
    }
}

/// That a breaker is open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRecord {
    /// Since when.
    pub at: Instant,
    /// From when on one attempt is let through; absent where a person opened it, until a person resets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
    /// Who opened it, where it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The failure that opened it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The attempt that was let through, and has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeRecord>,
}

/// The one attempt that a half-open breaker lets through.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRecord {
    /// Its name, as holders of slots have it.
    pub holder: String,
    /// When it was let through.
    pub since: Instant,
}

/// A failure in a breaker's record: when, and whose. The same attempt always gives the same text, so a
/// failure that is told twice counts once.
pub fn failure_mark(at: Instant, holder: &str) -> String {
    format!("{:020}#{}", at.micros().max(0), &sha256_hex(holder)[..12])
}

/// When a failure was, of [`failure_mark`].
pub fn failed_at(mark: &str) -> Option<Instant> {
    mark.split('#').next()?.parse().ok().map(Instant::from_micros)
}

/// The key of a rate limit. Its item has the fields of [`RateSettings`] under `settings`, and `next`: the
/// moment, in microseconds, at which everything that was taken would have come by at the limit's rate.
pub fn rate_item(name: &str) -> Key {
    Key::new(format!("rate#{name}"), "R")
}

/// Longest idempotency key, in bytes: with pipeline and task it is a partition key of DynamoDB, which
/// takes 2,048.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 1024;

/// The list of idempotency keys, by the time of their claims.
pub const IDEMPOTENCY_LIST: &str = "idempotency";

/// Where an idempotency key of a task lies.
pub fn idempotency_item(pipeline: &str, task: &str, key: &str) -> Key {
    Key::new(format!("idem#{pipeline}/{task}/{key}"), "I")
}

/// The pipeline, the task and the key of an idempotency item.
pub fn idempotency_name(item: &Key) -> Option<(&str, &str, &str)> {
    let mut parts = item.partition.strip_prefix("idem#")?.splitn(3, '/');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// An idempotency key: who has it, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyRecord {
    /// The sha256 of what was asked under the key: the task's rendered settings, and its item.
    pub payload: String,
    /// Who has it: run, generation, task and item, as holders of slots are named, with the first attempt.
    pub holder: String,
    /// The run, for people.
    pub run: String,
    /// Grows with every claim of the key; a result counts only under the fence of its claim.
    pub fence: u64,
    /// When it was claimed.
    pub claimed_at: Instant,
    /// Why it was claimed although it had been used: `rerun`, `backfill`, `overwrite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What came of it; absent while its holder is under way, and after it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultRecord>,
}

impl Record for IdempotencyRecord {}

impl IdempotencyRecord {
    /// Its item. The store may forget it once its result counts no more.
    pub fn row(&self, key: Key) -> Item {
        let position = format!("{:020}#{}", self.claimed_at.micros().max(0), key.partition);
        let mut item = Item::new(key, self.to_body());
        item.index = Some(IndexEntry { list: IDEMPOTENCY_LIST.to_owned(), position });
        item.expires_at = self.result.as_ref().map(|result| result.until);
        item
    }
}

/// A result that may be used again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultRecord {
    /// When it came.
    pub at: Instant,
    /// Until when it counts.
    pub until: Instant,
    /// The output; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputRecord>,
}

/// What a task run waits for that has no line: it looks again by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldBackRecord {
    /// By what.
    pub by: HeldBackBy,
    /// Its name.
    pub name: String,
    /// Since when.
    pub since: Instant,
    /// Until when, as far as is known. For a rate limit: the start that is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
}

/// What holds a task run back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBackBy {
    /// An open breaker.
    Breaker,
    /// A rate limit.
    RateLimit,
    /// Another task run under way with the same idempotency key.
    Idempotency,
    /// The run that it started before, which is being cancelled.
    OwnRun,
}

/// The idempotency key that a task run has claimed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRecord {
    /// The key, rendered.
    pub key: String,
    /// The fence of the claim.
    pub fence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_token_is_never_shorter_than_the_limit_says() {
        let micros = |tokens, per_seconds| RateSettings { tokens, per_seconds, burst: 1 }.interval_micros();
        assert_eq!(micros(10, 60), 6_000_000);
        assert_eq!(micros(3, 1), 333_334);
        assert_eq!(micros(1_000_000, 1), 1);
        assert_eq!(micros(1, u64::MAX), (i64::MAX / MICROS) * MICROS);
    }

    #[test]
    fn failures_are_ordered_by_their_time_and_told_apart() {
        let at = Instant::from_micros(7_000_001);
        let mark = failure_mark(at, "k/1/t//1");
        assert_eq!(failed_at(&mark), Some(at));
        assert_eq!(mark, failure_mark(at, "k/1/t//1"));
        assert_ne!(mark, failure_mark(at, "k/1/t//2"));
        assert!(mark < failure_mark(Instant::from_micros(10_000_000), ""));
    }
}
