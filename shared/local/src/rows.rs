//! What a table does with a request, said once for every store that keeps whole items in rows.
//!
//! A store gives four verbs over single rows ([`Rows`]); conditions, versions and idempotency tokens
//! are decided here. Nothing is stored before every condition of a request is known to hold, so a
//! refused request needs no undoing.

use cauce_model::item::{Change, Expect, ITEM_BYTES_MAX, Item, Key, TRANSACTION_MAX, When, Write};
use cauce_ports::{Cursor, Page, TableError};
use std::collections::BTreeSet;
use std::io;

/// Most bytes of all the items of one transaction.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
pub(crate) const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Single rows, inside a transaction that the caller opened.
pub(crate) trait Rows {
    /// Why rows could not be read or written.
    type Error;

    /// The version of an item, when there is one.
    fn version(&mut self, key: &Key) -> Result<Option<u64>, Self::Error>;

    /// An item.
    fn read(&mut self, key: &Key) -> Result<Option<Item>, Self::Error>;

    /// Creates or replaces an item, its version included.
    fn store(&mut self, item: &Item) -> Result<(), Self::Error>;

    /// Removes an item; removing nothing is fine.
    fn remove(&mut self, key: &Key) -> Result<(), Self::Error>;

    /// The digest of the writes that were applied under a token, while it is remembered.
    fn token(&mut self, token: &str) -> Result<Option<i64>, Self::Error>;

    /// Remembers that the writes with this digest were applied under a token.
    fn remember(&mut self, token: &str, digest: i64) -> Result<(), Self::Error>;
}

/// A list of writes that keeps the rules of `Table::write`.
pub(crate) struct Transaction<'a> {
    writes: &'a [Write],
    token: &'a str,
    digest: i64,
}

impl<'a> Transaction<'a> {
    /// Checks what can be checked without the store: count, keys, sizes.
    pub(crate) fn new(writes: &'a [Write], token: &'a str) -> Result<Self, TableError> {
        if writes.len() > TRANSACTION_MAX {
            return Err(TableError::Refused(format!(
                "{} writes in one transaction, {TRANSACTION_MAX} at most",
                writes.len()
            )));
        }
        let mut keys = BTreeSet::new();
        for write in writes {
            if !keys.insert(write.key()) {
                return Err(TableError::Refused(format!(
                    "{} is written twice in one transaction",
                    write.key()
                )));
            }
        }
        let mut total = 0;
        for write in writes {
            if let Write::Put { item, .. } = write {
                total += check_item(item)?;
            }
        }
        if total > TRANSACTION_BYTES_MAX {
            return Err(TableError::TooLarge { bytes: total });
        }
        Ok(Self { writes, token, digest: measure(writes).digest })
    }

    /// Applies all the writes or, with an inner error, none.
    pub(crate) fn apply<R: Rows>(&self, rows: &mut R) -> Result<Result<(), TableError>, R::Error> {
        if let Some(digest) = rows.token(self.token)? {
            return Ok(if digest == self.digest {
                Ok(())
            } else {
                Err(TableError::Refused(format!("the token '{}' was used for other writes", self.token)))
            });
        }
        let mut failed = Vec::new();
        let mut versions = Vec::with_capacity(self.writes.len());
        for (position, write) in self.writes.iter().enumerate() {
            let version = rows.version(write.key())?;
            let holds = match write.expect() {
                Expect::Absent => version.is_none(),
                Expect::Version(expected) => version == Some(expected),
                Expect::Any => true,
            };
            if !holds {
                failed.push(position);
            }
            versions.push(version);
        }
        if !failed.is_empty() {
            return Ok(Err(TableError::Condition { failed }));
        }
        for (write, version) in self.writes.iter().zip(versions) {
            match write {
                Write::Put { item, .. } => {
                    let mut item = item.clone();
                    item.version = version.unwrap_or(0) + 1;
                    rows.store(&item)?;
                }
                Write::Delete { key, .. } if version.is_some() => rows.remove(key)?,
                Write::Delete { .. } | Write::Check { .. } => {}
            }
        }
        rows.remember(self.token, self.digest)?;
        Ok(Ok(()))
    }
}

/// Changes one item's fields, creating it where the conditions allow.
pub(crate) fn update<R: Rows>(
    rows: &mut R,
    key: &Key,
    change: &Change,
    when: &When,
) -> Result<Result<Item, TableError>, R::Error> {
    let found = rows.read(key)?;
    if !when.holds(found.as_ref().map(|item| &item.body)) {
        return Ok(Err(TableError::Condition { failed: vec![0] }));
    }
    let mut item = found.unwrap_or_else(|| Item::new(key.clone(), Default::default()));
    change.apply(&mut item.body);
    item.version += 1;
    if let Err(error) = check_item(&item) {
        return Ok(Err(error));
    }
    rows.store(&item)?;
    Ok(Ok(item))
}

/// The first `limit` of the items found, and the cursor of the last one when there are more.
pub(crate) fn page(
    mut found: impl Iterator<Item = Item>,
    limit: u32,
    cursor: impl Fn(&Item) -> Cursor,
) -> Page {
    let items: Vec<Item> = found.by_ref().take(limit as usize).collect();
    let more = !items.is_empty() && found.next().is_some();
    Page { next: items.last().filter(|_| more).map(cursor), items }
}

/// Where a reading of a list stopped: position, partition and sort key of the last item shown.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct ListPlace(String, String, String);

impl ListPlace {
    /// The place of an item; without an entry it is in no list, and the place is never used.
    pub(crate) fn of(item: &Item) -> Self {
        let position = item.index.as_ref().map(|entry| entry.position.clone());
        Self(position.unwrap_or_default(), item.key.partition.clone(), item.key.sort.clone())
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor(serde_json::json!([self.0, self.1, self.2]).to_string())
    }

    pub(crate) fn read(cursor: &Cursor) -> Result<Self, TableError> {
        serde_json::from_str(&cursor.0)
            .map_err(|_| TableError::Refused("a cursor of another reading".to_owned()))
    }

    pub(crate) fn into_parts(self) -> (String, Key) {
        (self.0, Key::new(self.1, self.2))
    }
}

/// The size of an item as the limit counts it, when it keeps the limit.
fn check_item(item: &Item) -> Result<usize, TableError> {
    // DynamoDB counts names and values without JSON's punctuation: what passes here passes there.
    // <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
    let bytes = item.key.partition.len() + item.key.sort.len() + measure(&item.body).bytes;
    if bytes > ITEM_BYTES_MAX {
        return Err(TableError::TooLarge { bytes });
    }
    Ok(bytes)
}

/// An FNV-1a hash. It tells a repeat from a mistake, and what was kept from what the disk made of it; it
/// guards against no attacker, and must be the same in every build, so that two processes agree.
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) const fn value(&self) -> u64 {
        self.0
    }
}

/// Takes in JSON and keeps its length and its hash.
struct Measure {
    bytes: usize,
    hash: Fnv,
}

struct Measured {
    bytes: usize,
    digest: i64,
}

fn measure<T: serde::Serialize + ?Sized>(value: &T) -> Measured {
    let mut measure = Measure { bytes: 0, hash: Fnv::new() };
    // Only a map with keys that are not text, or the writer, could fail: there is neither.
    if let Err(error) = serde_json::to_writer(&mut measure, value) {
        unreachable!("items are JSON: {error}");
    }
    Measured { bytes: measure.bytes, digest: measure.hash.value().cast_signed() }
}

impl io::Write for Measure {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes += buffer.len();
        self.hash.take(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
