//! The one thread that writes, and its group commit.

use super::connection::{self, Failure};
use crate::rows::{Rows, Transaction, update};
use cauce_model::item::{Change, Item, Key, When, Write};
use cauce_model::time::MICROS;
use cauce_ports::{Clock, TableError};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// How long a token is remembered in microseconds: ten minutes, as DynamoDB does.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const TOKEN_MICROS: i64 = 600 * MICROS;

/// Most operations of one commit: bounds how long the first of them waits.
const GROUP_MAX: usize = 512;

/// Old tokens and expired items are looked for once in so many commits, and at the first one.
const TIDY_EVERY: u64 = 1024;

/// Most expired items that one commit forgets.
const TIDY_MAX: u32 = 256;

pub(super) type Reply<T> = oneshot::Sender<Result<T, TableError>>;

/// Something to be done in the next commit.
pub(super) enum Operation {
    Write { writes: Vec<Write>, token: String, reply: Reply<()> },
    Update { key: Key, change: Change, when: When, reply: Reply<Item> },
}

/// The way to the writing thread.
pub(super) struct Writer {
    /// Both are there until the drop.
    queue: Option<Sender<Operation>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn spawn<C: Clock + Send + 'static>(
        path: &Path,
        connection: Connection,
        clock: C,
    ) -> Result<Self, TableError> {
        let (queue, operations) = channel();
        let committer = Committer { path: path.to_owned(), connection, clock, commits: 0 };
        let thread = std::thread::Builder::new()
            .name("cauce-table".to_owned())
            .spawn(move || committer.run(&operations))
            .map_err(|error| TableError::Unusable(format!("no thread for the table: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues an operation and waits for its outcome. Dropped before that, the operation is done
    /// all the same.
    pub(super) async fn ask<T>(
        &self,
        operation: impl FnOnce(Reply<T>) -> Operation,
    ) -> Result<T, TableError> {
        let gone = || TableError::Unknown("the table's writer has ended".to_owned());
        let (reply, outcome) = oneshot::channel();
        self.queue.as_ref().ok_or_else(gone)?.send(operation(reply)).map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a queue the thread finishes what was asked and closes the file.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It panics only by a bug, and then its callers have heard of it.
            let _ = thread.join();
        }
    }
}

struct Committer<C> {
    path: PathBuf,
    connection: Connection,
    clock: C,
    commits: u64,
}

/// An operation whose changes are in the open transaction, and what its caller will hear once they
/// are committed.
enum Pending {
    Write(Reply<()>, Result<(), TableError>),
    Update(Reply<Item>, Result<Item, TableError>),
}

impl<C: Clock> Committer<C> {
    fn run(mut self, operations: &Receiver<Operation>) {
        while let Ok(first) = operations.recv() {
            let rest = operations.try_iter().take(GROUP_MAX - 1);
            self.commit(std::iter::once(first).chain(rest));
        }
    }

    /// Applies a group in one transaction and answers each of its callers. Operations that arrive
    /// while others are being applied still join the group.
    fn commit(&mut self, operations: impl Iterator<Item = Operation>) {
        let mut broken = self.begin().err();
        let pending: Vec<Pending> = operations.map(|operation| self.apply(operation, &mut broken)).collect();
        match broken {
            Some(_) => self.undo(),
            None => broken = self.end().err(),
        }
        for done in pending {
            done.answer(broken.as_ref());
        }
    }

    fn begin(&self) -> Result<(), TableError> {
        self.execute("BEGIN IMMEDIATE").map_err(|source| Failure::new(&self.path, source).before_commit())
    }

    fn end(&mut self) -> Result<(), TableError> {
        if self.commits.is_multiple_of(TIDY_EVERY) {
            self.tidy()
                .map_err(|source| Failure::new(&self.path, source).before_commit())
                .inspect_err(|_| self.undo())?;
        }
        self.commits += 1;
        self.execute("COMMIT").map_err(|source| {
            let error = Failure::new(&self.path, source).at_commit();
            self.undo();
            error
        })
    }

    /// Ends a transaction that failed. Some errors have ended it already.
    fn undo(&self) {
        if !self.connection.is_autocommit() {
            // When this fails too, the next BEGIN fails and tells its callers.
            let _ = self.execute("ROLLBACK");
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Applies one operation. A failure of the file breaks the transaction: `broken` tells, and
    /// nothing more is tried in it.
    fn apply(&self, operation: Operation, broken: &mut Option<TableError>) -> Pending {
        let mut rows = Open { connection: &self.connection, now: self.clock.now().micros() };
        match operation {
            Operation::Write { writes, token, reply } => Pending::Write(
                reply,
                self.attempt(broken, || match Transaction::new(&writes, &token) {
                    Ok(transaction) => transaction.apply(&mut rows),
                    Err(error) => Ok(Err(error)),
                }),
            ),
            Operation::Update { key, change, when, reply } => {
                Pending::Update(reply, self.attempt(broken, || update(&mut rows, &key, &change, &when)))
            }
        }
    }

    fn attempt<T>(
        &self,
        broken: &mut Option<TableError>,
        operation: impl FnOnce() -> rusqlite::Result<Result<T, TableError>>,
    ) -> Result<T, TableError> {
        if let Some(error) = broken {
            return Err(error.clone());
        }
        operation().unwrap_or_else(|source| {
            let error = Failure::new(&self.path, source).before_commit();
            *broken = Some(error.clone());
            Err(error)
        })
    }

    /// Forgets old tokens and some of the expired items.
    fn tidy(&self) -> rusqlite::Result<()> {
        let now = self.clock.now();
        self.connection
            .execute("DELETE FROM token WHERE used_at < ?1", [now.plus_micros(-TOKEN_MICROS).micros()])?;
        self.connection.execute(
            "DELETE FROM item WHERE (partition, sort) IN
               (SELECT partition, sort FROM item WHERE expires_at < ?1 LIMIT ?2)",
            params![now.micros(), TIDY_MAX],
        )?;
        Ok(())
    }
}

impl Pending {
    /// Tells the caller. A broken commit outweighs what the operation came to, a refusal included:
    /// that was decided on changes of others in the group which now never happened.
    fn answer(self, broken: Option<&TableError>) {
        // A caller that went away does not want to know.
        match self {
            Self::Write(reply, outcome) => drop(reply.send(settle(outcome, broken))),
            Self::Update(reply, outcome) => drop(reply.send(settle(outcome, broken))),
        }
    }
}

fn settle<T>(outcome: Result<T, TableError>, broken: Option<&TableError>) -> Result<T, TableError> {
    match broken {
        Some(error) => Err(error.clone()),
        None => outcome,
    }
}

/// The rows of the transaction that is open.
struct Open<'a> {
    connection: &'a Connection,
    now: i64,
}

impl Rows for Open<'_> {
    type Error = rusqlite::Error;

    fn version(&mut self, key: &Key) -> rusqlite::Result<Option<u64>> {
        self.connection
            .prepare_cached("SELECT version FROM item WHERE partition = ?1 AND sort = ?2")?
            .query_row(params![key.partition, key.sort], |row| row.get(0))
            .optional()
    }

    fn read(&mut self, key: &Key) -> rusqlite::Result<Option<Item>> {
        connection::read(self.connection, key)
    }

    fn store(&mut self, item: &Item) -> rusqlite::Result<()> {
        let body = serde_json::to_string(&item.body)
            .map_err(|source| rusqlite::Error::ToSqlConversionFailure(source.into()))?;
        let index = item.index.as_ref().map(|entry| (entry.list.as_str(), entry.position.as_str()));
        let expires_at = item.expires_at.map(|at| at.micros());
        let sum =
            connection::sum(&item.key.partition, &item.key.sort, item.version, &body, index, expires_at);
        self.connection
            .prepare_cached(
                "INSERT INTO item (partition, sort, version, body, list, position, expires_at, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (partition, sort) DO UPDATE SET
                   version = excluded.version, body = excluded.body, list = excluded.list,
                   position = excluded.position, expires_at = excluded.expires_at, sum = excluded.sum",
            )?
            .execute(params![
                item.key.partition,
                item.key.sort,
                item.version,
                body,
                index.map(|(list, _)| list),
                index.map(|(_, position)| position),
                expires_at,
                sum,
            ])
            .map(drop)
    }

    fn remove(&mut self, key: &Key) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM item WHERE partition = ?1 AND sort = ?2")?
            .execute(params![key.partition, key.sort])
            .map(drop)
    }

    fn token(&mut self, token: &str) -> rusqlite::Result<Option<i64>> {
        let oldest = self.now.saturating_sub(TOKEN_MICROS);
        self.connection
            .prepare_cached("SELECT digest FROM token WHERE token = ?1 AND used_at >= ?2")?
            .query_row(params![token, oldest], |row| row.get(0))
            .optional()
    }

    fn remember(&mut self, token: &str, digest: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO token (token, digest, used_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (token) DO UPDATE SET
                   digest = excluded.digest, used_at = excluded.used_at",
            )?
            .execute(params![token, digest, self.now])
            .map(drop)
    }
}
