//! Rows that cannot be used: each is written down with its place and reason, and counted.

use std::io::{BufWriter, Write};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::failure::{Failure, Result};
use crate::files;
use crate::storage::{Location, Storage};

/// One row that is not used.
#[derive(Debug, Serialize)]
pub struct Reject<'a> {
    /// The file it came from.
    pub source: &'a str,
    /// Its line there, from 1; none for rows of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Why.
    pub reason: &'a str,
    /// The row: text as read, or its columns.
    pub record: Value,
}

/// Collects rejects in a file of this machine until [`Rejects::deliver`].
#[derive(Debug)]
pub struct Rejects {
    target: Option<Location>,
    limit: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    count: u64,
    file: BufWriter<NamedTempFile>,
}

impl Rejects {
    /// Rejects go to `target`, or, without one, fail the task. More than `limit` of them fail it in the end.
    pub fn new(storage: &Storage, target: Option<&str>, limit: Option<u64>) -> Result<Self> {
        if target.is_none() && limit.is_some() {
            return Err(Failure::Config("`max_rejects` needs `rejects`, the file they go to".to_owned()));
        }
        let target = target.map(|uri| storage.locate(uri)).transpose()?;
        let file =
            NamedTempFile::new().map_err(|error| Failure::system("cannot open a temporary file", error))?;
        Ok(Self { target, limit, state: Mutex::new(State { count: 0, file: BufWriter::new(file) }) })
    }

    /// True when there is a file for them to go to.
    pub fn wanted(&self) -> bool {
        self.target.is_some()
    }

    /// Writes one down. Without a place for it, it is the task's failure.
    pub fn add(&self, reject: &Reject<'_>) -> Result<()> {
        if self.target.is_none() {
            let line = reject.line.map(|line| format!(" line {line}")).unwrap_or_default();
            return Err(Failure::Data(format!(
                "{}{line}: {}; set `rejects` to collect such rows and go on",
                reject.source, reject.reason
            )));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error| Failure::system("cannot write a reject", std::io::Error::from(error));
        serde_json::to_writer(&mut state.file, reject).map_err(failed)?;
        state.file.write_all(b"\n").map_err(|error| Failure::system("cannot write a reject", error))?;
        state.count += 1;
        Ok(())
    }

    /// How many so far.
    pub fn count(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Sends the file to its place, also when it is empty, so that an earlier attempt's rejects do not stay. Then holds
    /// the count against the limit.
    pub async fn deliver(self, storage: &Storage) -> Result<u64> {
        let State { count, file } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(target) = self.target else {
            return Ok(0);
        };
        let file =
            file.into_inner().map_err(|error| Failure::system("cannot write rejects", error.into_error()))?;
        files::upload(storage, file.path(), &target).await?;
        match self.limit {
            Some(limit) if count > limit => Err(Failure::Data(format!(
                "{count} rows were rejected, more than max_rejects: {limit}; see {target}"
            ))),
            _ => Ok(count),
        }
    }
}
