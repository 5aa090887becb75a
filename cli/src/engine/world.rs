//! One machine as a host's world: SQLite, folders, processes, the system's clock.

use std::time::Duration;

use cauce_engine::{Command, Decision};
use cauce_host::World;
use cauce_local::clock::SystemClock;
use cauce_local::notify::Channels;
use cauce_local::objects::FolderObjects;
use cauce_local::processes::Processes;
use cauce_local::sqlite::SqliteTable;
use cauce_model::Instant;
use cauce_ports::Clock;

use crate::output::Output;

/// Sees what is decided, for people.
pub(crate) type Watch = Box<dyn Fn(&Command, &Decision)>;

/// The world of `cauce run`.
pub(crate) struct Machine {
    pub(crate) table: SqliteTable,
    pub(crate) objects: FolderObjects,
    pub(crate) channels: Channels,
    pub(crate) clock: SystemClock,
    pub(crate) processes: Processes<FolderObjects, SystemClock>,
    pub(crate) watch: Watch,
    pub(crate) output: Output,
}

impl World for Machine {
    type Table = SqliteTable;
    type Objects = FolderObjects;
    type Notifier = Channels;
    type Clock = SystemClock;
    type Programs = Processes<FolderObjects, SystemClock>;

    fn table(&self) -> &SqliteTable {
        &self.table
    }
    fn objects(&self) -> &FolderObjects {
        &self.objects
    }
    fn notifier(&self) -> &Channels {
        &self.channels
    }
    fn clock(&self) -> &SystemClock {
        &self.clock
    }
    fn programs(&self) -> &Processes<FolderObjects, SystemClock> {
        &self.processes
    }
    async fn until(&self, at: Instant) {
        let left = at.micros_since(self.clock.now()).max(0).unsigned_abs();
        #[expect(clippy::disallowed_methods, reason = "this is the timer that everything else waits with")]
        tokio::time::sleep(Duration::from_micros(left)).await;
    }
    fn decided(&self, command: &Command, decision: &Decision) {
        (self.watch)(command, decision);
    }
    fn warn(&self, message: &str) {
        self.output.talk(&format!("warning: {message}"));
    }
}
