//! The outside of a host.

use cauce_engine::{Command, Decision};
use cauce_model::Instant;
use cauce_ports::{Clock, Compute, Notifier, Objects, Table, TaskRunner};
use std::future::Future;

/// What a host needs: the ports of its drivers, a runner of programs, and a way to wait.
pub trait World {
    /// The store.
    type Table: Table;
    /// Documents, and the objects that states read.
    type Objects: Objects;
    /// People.
    type Notifier: Notifier;
    /// Time.
    type Clock: Clock;
    /// Programs.
    type Programs: TaskRunner + Compute;

    /// The store.
    fn table(&self) -> &Self::Table;
    /// Documents.
    fn objects(&self) -> &Self::Objects;
    /// People.
    fn notifier(&self) -> &Self::Notifier;
    /// Time.
    fn clock(&self) -> &Self::Clock;
    /// Programs.
    fn programs(&self) -> &Self::Programs;
    /// Ends at that moment, or soon after. In virtual time the moment comes once nothing else can
    /// happen before it.
    fn until(&self, at: Instant) -> impl Future<Output = ()>;
    /// Sees every decision once it is written.
    fn decided(&self, command: &Command, decision: &Decision);
    /// Hears of trouble that does not stop the work.
    fn warn(&self, message: &str);
}
