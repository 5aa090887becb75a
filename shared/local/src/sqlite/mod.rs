//! The table of one machine: a SQLite file, written by one thread, shared by processes.
//!
//! Invariants:
//! - `Ok` from a write means committed with `synchronous = FULL`: it survives a crash of the
//!   process and of the machine.
//! - Operations that arrive while a commit is under way are applied together in the next one
//!   (group commit), each under its own conditions; a refused one leaves the others alone.
//! - Nothing is half applied: an error of the file undoes the whole group, and each of its callers
//!   hears it.
//! - Several processes may use the same file. SQLite lets one of them write at a time.

mod connection;

mod writer;

use crate::rows::{ListPlace, Transaction, page};
use cauce_model::item::{Change, Item, Key, When, Write};
use cauce_ports::{Clock, Cursor, Page, Table, TableError};
use connection::{Failure, item_of};
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use writer::{Operation, Writer};

// Each with the columns of `connection::COLUMNS`.
const QUERY_FROM: &str = "SELECT partition, sort, version, body, list, position, expires_at, sum FROM item
    WHERE partition = ?1 AND sort >= ?2 ORDER BY sort LIMIT ?3";

const QUERY_AFTER: &str = "SELECT partition, sort, version, body, list, position, expires_at, sum FROM item
    WHERE partition = ?1 AND sort > ?2 ORDER BY sort LIMIT ?3";

const LIST_FROM: &str = "SELECT partition, sort, version, body, list, position, expires_at, sum FROM item
    WHERE list = ?1 AND position >= ?2 ORDER BY position, partition, sort LIMIT ?3";

const LIST_AFTER: &str = "SELECT partition, sort, version, body, list, position, expires_at, sum FROM item
    WHERE list = ?1 AND (position, partition, sort) > (?2, ?3, ?4)
    ORDER BY position, partition, sort LIMIT ?5";

/// A table in a SQLite file. Clones share it; the file is closed with the last one.
#[derive(Clone)]
pub struct SqliteTable {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// Reads have a connection of their own: in WAL mode they see the last commit and wait for
    /// nobody. What was acknowledged is committed, so they see every acknowledged write.
    reader: Mutex<Connection>,
    writer: Writer,
}

impl SqliteTable {
    /// Opens the file, creating it when there is none. The clock tells how old idempotency tokens
    /// are, and which items have expired: those are forgotten now and then.
    ///
    /// # Errors
    /// [`TableError::NewerFormat`] for a file of a newer version, [`TableError::Unusable`] for one
    /// that is damaged, not permitted, or on a full disk.
    pub fn open<C: Clock + Send + 'static>(path: &Path, clock: C) -> Result<Self, TableError> {
        let writing = connection::open(path)?;
        let reader = connection::open_reader(path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                reader: Mutex::new(reader),
                writer: Writer::spawn(path, writing, clock)?,
            }),
        })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        // A panic in another thread's read leaves a connection that is as good as before.
        self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self, source: rusqlite::Error) -> TableError {
        Failure::new(&self.inner.path, source).before_commit()
    }
}

impl Table for SqliteTable {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        let reader = self.reader();
        connection::read(&reader, key).map_err(|error| self.failure(error))
    }

    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        let reader = self.reader();
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            items.extend(connection::read(&reader, key).map_err(|error| self.failure(error))?);
        }
        Ok(items)
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        let reader = self.reader();
        // Where a page ends is told by reading one item more. A prefix ends where the first sort key
        // without it appears, which no SQL pattern says as exactly.
        let (sql, from) = match after {
            Some(Cursor(sort)) => (QUERY_AFTER, sort),
            None => (QUERY_FROM, prefix.to_owned()),
        };
        let read = || {
            let mut statement = reader.prepare_cached(sql)?;
            statement
                .query_map(params![partition, from, u64::from(limit) + 1], item_of)?
                .take_while(|item| item.as_ref().map_or(true, |item| item.key.sort.starts_with(prefix)))
                .collect::<Result<Vec<Item>, _>>()
        };
        let found = read().map_err(|error| self.failure(error))?;
        Ok(page(found.into_iter(), limit, |item| Cursor(item.key.sort.clone())))
    }

    async fn list(
        &self,
        list: &str,
        from: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        let after = after.map(|cursor| ListPlace::read(&cursor)).transpose()?;
        let reader = self.reader();
        let limit_and_one = u64::from(limit) + 1;
        let read = || match after {
            None => reader
                .prepare_cached(LIST_FROM)?
                .query_map(params![list, from, limit_and_one], item_of)?
                .collect::<Result<Vec<Item>, _>>(),
            Some(place) => {
                let (position, key) = place.into_parts();
                reader
                    .prepare_cached(LIST_AFTER)?
                    .query_map(params![list, position, key.partition, key.sort, limit_and_one], item_of)?
                    .collect()
            }
        };
        let found = read().map_err(|error| self.failure(error))?;
        Ok(page(found.into_iter(), limit, |item| ListPlace::of(item).cursor()))
    }

    async fn write(&self, writes: &[Write], token: &str) -> Result<(), TableError> {
        // Checked here, so that a request against the rules costs the writer nothing.
        Transaction::new(writes, token)?;
        self.inner
            .writer
            .ask(|reply| Operation::Write { writes: writes.to_vec(), token: token.to_owned(), reply })
            .await
    }

    async fn update(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        self.inner
            .writer
            .ask(|reply| Operation::Update {
                key: key.clone(),
                change: change.clone(),
                when: when.clone(),
                reply,
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(connection: &Connection, sql: &str) -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let details = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        details.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    }

    #[test]
    fn no_read_goes_through_the_whole_table() {
        let folder = tempfile::tempdir().unwrap();
        let table =
            SqliteTable::open(&folder.path().join("table.sqlite"), crate::clock::SystemClock).unwrap();
        let reader = table.reader();
        for (sql, expected) in [
            (QUERY_FROM, "SEARCH item USING PRIMARY KEY (partition=? AND sort>?)"),
            (QUERY_AFTER, "SEARCH item USING PRIMARY KEY (partition=? AND sort>?)"),
            (LIST_FROM, "SEARCH item USING INDEX item_by_list (list=? AND position>?)"),
            (
                LIST_AFTER,
                "SEARCH item USING INDEX item_by_list (list=? AND (position,partition,sort)>(?,?,?))",
            ),
        ] {
            assert_eq!(plan_of(&reader, sql), expected, "{sql}");
        }
    }
}
