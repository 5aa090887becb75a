//! Where the API is served: what it needs of that place.

use cauce_driver::look::RunTasks;
use cauce_engine::{Command, Prepared, Reply};
use cauce_model::Instant;
use cauce_model::access::Access;
use cauce_model::record::{AttemptRecord, TaskRecord};
use cauce_ports::{Clock, Objects, Table, with_sources};
use std::error::Error;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

/// Something that does not answer, in words for the one who runs it. Never a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble(pub String);

impl Trouble {
    /// The words of an error and of all that lies behind it.
    pub fn of(error: &dyn Error) -> Self {
        Self(with_sources(error))
    }
}

/// Whose log is wanted, and from where on.
pub struct LogRequest<'a> {
    /// The run.
    pub view: &'a RunTasks,
    /// The task, or the item of it.
    pub record: &'a TaskRecord,
    /// The attempt.
    pub attempt: &'a AttemptRecord,
    /// Where the part before ended; `None`: from the beginning.
    pub after: Option<&'a str>,
}

/// A part of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPart {
    /// What was printed.
    pub text: String,
    /// Where to go on reading.
    pub next: String,
    /// Whether there is more at this moment.
    pub more: bool,
}

/// The place that the API is served in.
pub trait Place {
    /// The store.
    type Table: Table;
    /// Documents.
    type Objects: Objects;
    /// Time.
    type Clock: Clock;

    /// The store.
    fn table(&self) -> &Self::Table;
    /// Documents.
    fn objects(&self) -> &Self::Objects;
    /// Time.
    fn clock(&self) -> &Self::Clock;
    /// A unique name for a moment: 26 letters and digits, later ones sort later.
    fn unique(&self, now: Instant) -> String;
    /// Has a command decided and carried out. Safe to repeat.
    fn execute(&self, command: Command) -> impl Future<Output = Result<Reply, Trouble>>;
    /// The plan of a version.
    fn plan(&self, pipeline: &str, version: &str) -> impl Future<Output = Result<Arc<Prepared>, Trouble>>;
    /// The keys, as they are now or were within the last minutes.
    fn access(&self) -> impl Future<Output = Result<Rc<Access>, Trouble>>;
    /// The value of a secret, as it is now or was within the last minutes; `None` when there is none.
    fn secret(&self, reference: &str) -> impl Future<Output = Result<Option<String>, Trouble>>;
    /// A part of what an attempt printed; `None` when it left no log, or none yet.
    fn log(&self, request: LogRequest<'_>) -> impl Future<Output = Result<Option<LogPart>, Trouble>>;
    /// Where a log is, as the document of a run names it.
    fn log_place(&self, log: &str) -> String {
        log.to_owned()
    }
    /// Tells whoever runs this of something that did not answer.
    fn warn(&self, message: &str);
}
