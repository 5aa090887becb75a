//! Opening the file, reading items from it, and what its errors mean.
//!
//! SQLite believes what the disk gives it: its pages carry no checksum. So every row carries one of its own,
//! over all its columns, and a row that does not add up is an error, never an item.

use crate::rows::Fnv;
use cauce_model::Instant;
use cauce_model::item::{IndexEntry, Item, Key};
use cauce_ports::TableError;
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The format that this version reads and writes, kept in the file's `user_version`.
const FORMAT: i64 = 2;

/// The format before rows had sums.
const FORMAT_WITHOUT_SUMS: i64 = 1;

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
    sum INTEGER NOT NULL,
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

/// A file up to this size is checked as a whole when it is opened, which takes some milliseconds: what lies
/// between rows, the trees and the indexes that lead to them, carries no sum.
const CHECKED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Connections are used by one thread at a time and never make files.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens the connection that writes, on a file that is made when there is none.
pub(super) fn open(path: &Path) -> Result<Connection, TableError> {
    if !path.exists() {
        if let Some(log) = orphan(path) {
            return Err(TableError::Unusable(format!(
                "{} is gone, and {}, which belongs to it, is still there; restore the one, or move the other away \
                 to begin anew without its runs",
                path.display(),
                log.display()
            )));
        }
        create(path)?;
    }
    let try_open = || {
        let connection = Connection::open_with_flags(path, FLAGS)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let mut format = format_of(&connection)?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if format == FORMAT_WITHOUT_SUMS && application == APPLICATION_ID {
            add_sums(&connection)?;
            format = format_of(&connection)?;
        }
        if format == FORMAT && application == APPLICATION_ID {
            // Files of this format are in WAL mode already.
            connection.pragma_update(None, "synchronous", "FULL")?;
        }
        let is_checked = path.metadata().is_ok_and(|found| found.len() <= CHECKED_BYTES_MAX);
        let check =
            if is_checked && format == FORMAT { integrity_of(&connection)? } else { SOUND.to_owned() };
        Ok((connection, format, application, check))
    };
    let (connection, format, application, check) =
        try_open().map_err(|source| Failure::new(path, source).before_commit())?;
    let file = path.display();
    if application == 0 && path.metadata().is_ok_and(|found| found.len() == 0) {
        return Err(damaged(path, "it is empty"));
    }
    if application != APPLICATION_ID {
        return Err(TableError::Unusable(format!(
            "{file} is a database of another program; move it away, or use another folder with --state-dir"
        )));
    }
    if format != FORMAT {
        return Err(TableError::NewerFormat(format!(
            "{file} was written by a newer version of cauce (format {format}, this version knows {FORMAT}); \
             use that version, or another folder with --state-dir"
        )));
    }
    if check != SOUND {
        return Err(damaged(path, &format!("it is damaged ({check})")));
    }
    Ok(connection)
}

/// SQLite's log of a file that is gone, which it would write into the next file of that name.
/// <https://www.sqlite.org/howtocorrupt.html>, mispairing database files and hot journals.
fn orphan(path: &Path) -> Option<PathBuf> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    // In this order: another process that makes the file now makes its log after it.
    (log.exists() && !path.exists()).then_some(log)
}

/// What SQLite says of a file in which it finds nothing wrong.
const SOUND: &str = "ok";

/// The first thing that SQLite finds wrong with the whole file.
/// <https://www.sqlite.org/pragma.html#pragma_integrity_check>
fn integrity_of(connection: &Connection) -> rusqlite::Result<String> {
    let found = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == SOUND {
        // An item whose key has changed is found by nobody who looks for it.
        let mut read = connection.prepare(&format!("SELECT {COLUMNS} FROM item"))?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            summed(row)?;
        }
    }
    Ok(found)
}

fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Gives every row of an older file its sum. Of several processes one does it.
fn add_sums(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if format_of(&transaction)? == FORMAT_WITHOUT_SUMS {
        transaction.execute_batch("ALTER TABLE item ADD COLUMN sum INTEGER NOT NULL DEFAULT 0")?;
        {
            let mut read = transaction.prepare(&format!("SELECT {COLUMNS} FROM item"))?;
            let mut write =
                transaction.prepare("UPDATE item SET sum = ?3 WHERE partition = ?1 AND sort = ?2")?;
            let mut rows = read.query([])?;
            let mut sums = Vec::new();
            while let Some(row) = rows.next()? {
                let columns = Columns::of(row)?;
                sums.push((columns.partition.to_owned(), columns.sort.to_owned(), columns.sum()));
            }
            for (partition, sort, sum) in sums {
                write.execute(params![partition, sort, sum])?;
            }
        }
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    transaction.commit()
}

/// Makes a file with empty tables. It is made aside and appears whole, so that the many small syncs
/// of SQLite are one, and of several processes the first wins.
fn create(path: &Path) -> Result<(), TableError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let unwritten = |error: std::io::Error| {
        let file = path.display();
        match error.kind() {
            std::io::ErrorKind::StorageFull => full(path),
            std::io::ErrorKind::NotFound => TableError::Unusable(format!("there is no folder for {file}")),
            _ => unwritable(path, &error),
        }
    };
    let aside = tempfile::Builder::new().prefix("new-").tempfile_in(folder).map_err(unwritten)?;
    let fill = || {
        let connection = Connection::open(aside.path())?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.close().map_err(|(_, source)| source)
    };
    fill().map_err(|source| Failure::new(path, source).before_commit())?;
    aside.as_file().sync_all().map_err(unwritten)?;
    match aside.persist_noclobber(path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(unwritten(error.error));
        }
        _ => {}
    }
    crate::state::sync_dir(folder).map_err(unwritten)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, TableError> {
    let try_open = || {
        // Reading in WAL mode writes the index file beside the database, so the file is opened for
        // writing and the connection forbidden to.
        let connection = Connection::open_with_flags(path, FLAGS)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    try_open().map_err(|source| Failure::new(path, source).before_commit())
}

/// The columns of a row that [`item_of`] reads, in its order.
pub(super) const COLUMNS: &str = "partition, sort, version, body, list, position, expires_at, sum";

/// Reads one item.
pub(super) fn read(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Item>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM item WHERE partition = ?1 AND sort = ?2"))?
        .query_row(params![key.partition, key.sort], item_of)
        .optional()
}

/// What a row says, before anybody believes it.
struct Columns<'a> {
    partition: &'a str,
    sort: &'a str,
    version: u64,
    body: &'a str,
    list: Option<&'a str>,
    position: Option<&'a str>,
    expires_at: Option<i64>,
}

impl<'a> Columns<'a> {
    fn of(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            partition: row.get_ref(0)?.as_str()?,
            sort: row.get_ref(1)?.as_str()?,
            version: row.get(2)?,
            body: row.get_ref(3)?.as_str()?,
            list: row.get_ref(4)?.as_str_or_null()?,
            position: row.get_ref(5)?.as_str_or_null()?,
            expires_at: row.get(6)?,
        })
    }

    fn sum(&self) -> i64 {
        sum(self.partition, self.sort, self.version, self.body, self.list.zip(self.position), self.expires_at)
    }
}

/// The sum over all columns of a row. One changed byte always changes it.
pub(super) fn sum(
    partition: &str,
    sort: &str,
    version: u64,
    body: &str,
    index: Option<(&str, &str)>,
    expires_at: Option<i64>,
) -> i64 {
    // Each with its length, so that no column runs into the next.
    let index = index.map_or([None, None], |(list, position)| [Some(list), Some(position)]);
    let texts = [Some(partition), Some(sort), Some(body), index[0], index[1]];
    let mut hash = Fnv::new();
    for text in texts {
        hash.take(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hash.take(text.unwrap_or_default().as_bytes());
    }
    hash.take(&version.to_le_bytes());
    hash.take(&[u8::from(expires_at.is_some())]);
    hash.take(&expires_at.unwrap_or_default().to_le_bytes());
    hash.value().cast_signed()
}

/// A row that is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("the item {key} is damaged ({why})")]
struct Damaged {
    key: String,
    why: String,
}

fn damaged_row(row: &Row<'_>, why: String) -> rusqlite::Error {
    let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok()).unwrap_or("?");
    let key = Key::new(text(0), text(1)).to_string();
    rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Damaged { key, why }.into())
}

/// The columns of a row, which add up.
fn summed<'a>(row: &'a Row<'_>) -> rusqlite::Result<Columns<'a>> {
    let columns = Columns::of(row).map_err(|error| damaged_row(row, error.to_string()))?;
    let kept: i64 = row.get(7).map_err(|error| damaged_row(row, error.to_string()))?;
    if columns.sum() != kept {
        return Err(damaged_row(row, "its checksum is another".to_owned()));
    }
    Ok(columns)
}

/// The item in a row of [`COLUMNS`].
pub(super) fn item_of(row: &Row<'_>) -> rusqlite::Result<Item> {
    let columns = summed(row)?;
    Ok(Item {
        key: Key::new(columns.partition, columns.sort),
        version: columns.version,
        body: serde_json::from_str(columns.body).map_err(|error| damaged_row(row, error.to_string()))?,
        index: columns
            .list
            .zip(columns.position)
            .map(|(list, position)| IndexEntry { list: list.to_owned(), position: position.to_owned() }),
        expires_at: columns.expires_at.map(Instant::from_micros),
    })
}

/// The disk does not give back what was written.
fn damaged(path: &Path, what: &str) -> TableError {
    TableError::Unusable(format!(
        "{}: {what}; restore the file from a copy, or move it away to begin anew without its runs",
        path.display()
    ))
}

fn full(path: &Path) -> TableError {
    TableError::Unusable(format!(
        "no room left on the disk of {}: nothing was written; make room and try again",
        path.display()
    ))
}

fn unwritable(path: &Path, error: &dyn std::error::Error) -> TableError {
    TableError::Unusable(format!(
        "{} cannot be written ({error}); check the permissions of its folder",
        path.display()
    ))
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
            Some(ErrorCode::DiskFull) => full(self.path),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                unwritable(self.path, &self.source)
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                damaged(self.path, &format!("it is damaged ({})", self.source))
            }
            _ => match &self.source {
                rusqlite::Error::FromSqlConversionFailure(_, _, source) => {
                    damaged(self.path, &source.to_string())
                }
                // Our statements are always the same: tables that do not fit them are not as we made them.
                rusqlite::Error::SqlInputError { msg, .. } => {
                    damaged(self.path, &format!("its tables are damaged ({msg})"))
                }
                _ => TableError::Unknown(format!("{file}: {}", self.source)),
            },
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
