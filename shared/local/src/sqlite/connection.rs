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

/// Connections are used by one thread at a time and never make files.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens the connection that writes, on a file that is made when there is none.
pub(super) fn open(path: &Path) -> Result<Connection, TableError> {
    if !path.exists() {
        create(path)?;
    }
    let try_open = || {
        let connection = Connection::open_with_flags(path, FLAGS)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if format == FORMAT && application == APPLICATION_ID {
            // Files of this format are in WAL mode already.
            connection.pragma_update(None, "synchronous", "FULL")?;
        }
        Ok((connection, format, application))
    };
    let (connection, format, application) =
        try_open().map_err(|source| Failure::new(path, source).before_commit())?;
    let file = path.display();
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
    Ok(connection)
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

/// Reads one item.
pub(super) fn read(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Item>> {
    connection
        .prepare_cached(
            "SELECT partition, sort, version, body, list, position, expires_at FROM item
             WHERE partition = ?1 AND sort = ?2",
        )?
        .query_row(params![key.partition, key.sort], item_of)
        .optional()
}

/// The item in a row of all columns, in the order of the schema.
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
