//! The store: one table of items, atomic writes, one stale index.

use cauce_model::item::{Change, Item, Key, When, Write};
use std::future::Future;

/// Where to go on reading: opaque, made by the store that returned it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(pub String);

/// Some items, in order, and where the rest begins.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    /// In the order of the read.
    pub items: Vec<Item>,
    /// Present when there may be more.
    pub next: Option<Cursor>,
}

/// Why a store did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TableError {
    /// An expectation did not hold; nothing was changed. A decision to be made anew, never a retry.
    #[error("{} of the conditions did not hold", failed.len())]
    Condition {
        /// Positions of the writes whose expectation failed.
        failed: Vec<usize>,
    },
    /// Another transaction touched the same items at the same time; nothing was changed.
    #[error("another write was under way on the same items")]
    Conflict,
    /// Over the store's rate; nothing was changed.
    #[error("the store is over its rate")]
    Throttled,
    /// An item or a transaction is larger than the store takes; nothing was changed.
    #[error("too large for the store: {bytes} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The store's folder or table was written by a newer version of this program.
    #[error("{0}")]
    NewerFormat(String),
    /// The caller broke a rule of [`Table`]: too many writes, one key twice, a token used before by
    /// other writes. A bug of the caller's; nothing was changed.
    #[error("not a request the store takes: {0}")]
    Refused(String),
    /// The store cannot be used as it is: no room left, damaged, not permitted. Nothing was changed,
    /// and nothing will be until somebody helps.
    #[error("{0}")]
    Unusable(String),
    /// The reply was lost or the store failed: the write may or may not have been applied.
    #[error("the store did not answer: {0}")]
    Unknown(String),
}

impl TableError {
    /// Whether the same call, made again with the same token, may succeed.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Conflict | Self::Throttled | Self::Unknown(_))
    }
}

/// The store.
///
/// Reads of single items, batches and partitions see every write acknowledged before they began.
/// A write is durable when it returns `Ok`; a crash while it is under way leaves all of it or none.
pub trait Table {
    /// Reads one item.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Item>, TableError>>;

    /// Reads many items, at one moment each, not all at the same one. Absent ones are left out; the
    /// order is that of `keys`.
    fn batch_get(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<Item>, TableError>>;

    /// Reads the items of a partition whose sort key begins with `prefix`, in order of sort key,
    /// `limit` at most.
    fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page, TableError>>;

    /// Reads a list of the index from position `from` on, in order. Stale: an item may be missing
    /// that was just written, or shown as it was before. For discovery only.
    fn list(
        &self,
        list: &str,
        from: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page, TableError>>;

    /// Applies all the writes or none. `token` names the request: a repeat of the same writes under
    /// the same token within ten minutes is applied once and answers as the first did. At most
    /// [`cauce_model::item::TRANSACTION_MAX`] writes, on different keys.
    fn write(&self, writes: &[Write], token: &str) -> impl Future<Output = Result<(), TableError>>;

    /// Changes one item's fields atomically and returns the new item. A condition that does not hold
    /// is `Condition { failed: [0] }`. Repeating it is the caller's to make safe: sets are, sums are
    /// only under a condition.
    fn update(
        &self,
        key: &Key,
        change: &Change,
        when: &When,
    ) -> impl Future<Output = Result<Item, TableError>>;
}
