//! Opening the file, reading items from it, and what its errors mean.

use cauce_model::Instant;
use cauce_model::item::{IndexEntry, Item, Key};
use cauce_ports::TableError;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};
use std::path::Path;
use std::time::Duration;

/// The format that this version reads and writes, kept in the file's `user_version`.
const FORMAT: i64 = 1;

/// Marks the file as ours (`cauc` in ASCII), for `file(1)` and for a glance at a stray file.
const APPLICATION_ID: i64 = 0x6361_7563;

/// How long to wait for another process that is writing. Its commits take well under a second, so
/// only a process that is stopped in the middle of one makes anybody wait this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
CREATE TABLE item (
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    list TEXT,
    position TEXT,
    expires_at INTEGER,
    PRIMARY KEY (partition, sort)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_by_list ON item (list, position) WHERE list IS NOT NULL;
CREATE INDEX item_by_expiry ON item (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE token (
    token TEXT PRIMARY KEY,
    digest INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// The columns that [`item_of`] reads, in its order.
pub(super) const ITEM_COLUMNS: &str = "partition, sort, version, body, list, position, expires_at";

/// Opens the connection that writes, and makes the tables of a new file.
pub(super) fn open(path: &Path) -> Result<Connection, TableError> {
    let try_open = || {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let format = format_of(&connection)?;
        if format > FORMAT {
            return Ok(Err(format));
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if format < FORMAT {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            // Another process may have been faster.
            if format_of(&transaction)? < FORMAT {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", FORMAT)?;
            }
            transaction.commit()?;
        }
        Ok(Ok(connection))
    };
    match try_open() {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(format)) => Err(TableError::NewerFormat(format!(
            "{} was written by a newer version of cauce (format {format}, this version knows \
             {FORMAT}); use that version, or another folder with --state-dir",
            path.display()
        ))),
        Err(source) => Err(Failure::new(path, source).before_commit()),
    }
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, TableError> {
    let try_open = || {
        // Reading in WAL mode writes the index file beside the database, so the file is opened for
        // writing and the connection forbidden to.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    try_open().map_err(|source| Failure::new(path, source).before_commit())
}

fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Reads one item.
pub(super) fn read(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Item>> {
    connection
        .prepare_cached(&format!("SELECT {ITEM_COLUMNS} FROM item WHERE partition = ?1 AND sort = ?2"))?
        .query_row(params![key.partition, key.sort], item_of)
        .optional()
}

/// The item in a row of [`ITEM_COLUMNS`].
pub(super) fn item_of(row: &Row<'_>) -> rusqlite::Result<Item> {
    let list: Option<String> = row.get(4)?;
    let position: Option<String> = row.get(5)?;
    let body = row.get_ref(3)?.as_str()?;
    let body = serde_json::from_str(body).map_err(|source| {
        rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, source.into())
    })?;
    Ok(Item {
        key: Key::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?),
        version: row.get(2)?,
        body,
        index: list.zip(position).map(|(list, position)| IndexEntry { list, position }),
        expires_at: row.get::<_, Option<i64>>(6)?.map(Instant::from_micros),
    })
}

/// An error of SQLite's, and the file it is about.
pub(super) struct Failure<'a> {
    path: &'a Path,
    source: rusqlite::Error,
}

impl<'a> Failure<'a> {
    pub(super) const fn new(path: &'a Path, source: rusqlite::Error) -> Self {
        Self { path, source }
    }

    /// What it means before a commit was tried: nothing was changed.
    pub(super) fn before_commit(&self) -> TableError {
        let file = self.path.display();
        match self.source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => TableError::Throttled,
            Some(ErrorCode::DiskFull) => TableError::Unusable(format!(
                "no room left on the disk of {file}: nothing was written; make room and try again"
            )),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                TableError::Unusable(format!(
                    "{file} cannot be written ({}); check the permissions of its folder",
                    self.source
                ))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => TableError::Unusable(format!(
                "{file} is damaged ({}); restore it from a copy, or move it away to begin anew \
                     without its runs",
                self.source
            )),
            _ => TableError::Unknown(format!("{file}: {}", self.source)),
        }
    }

    /// What it means when the commit itself failed.
    pub(super) fn at_commit(&self) -> TableError {
        match self.source.sqlite_error_code() {
            // SQLite tells these before the commit record is written.
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {
                self.before_commit()
            }
            // A failed fsync may have written everything.
            _ => TableError::Unknown(format!("{}: {}", self.path.display(), self.source)),
        }
    }
}
