//! The outside of a host.

use cauce_engine::command::Event;
use cauce_engine::{Command, Decision};
use cauce_model::plan::Plan;
use cauce_model::{Instant, RunKey};
use cauce_ports::{Clock, Compute, Notifier, Objects, RunningTask, Table, TaskRunner};
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
    /// Whether somebody here hears an event that a decision posts. Without, it lies in the store until
    /// somebody looks for what is due.
    fn hears(&self, _event: &Event) -> bool {
        true
    }
    /// Sees every decision once it is written.
    fn decided(&self, command: &Command, decision: &Decision);
    /// Hears of trouble that does not stop the work.
    fn warn(&self, message: &str);
    /// Claims a run for this process, before its first execution begins here. False: another process
    /// drives it, and nothing of it begins here.
    fn claim(&self, _: &RunKey) -> bool {
        true
    }
    /// Nothing of a run is under way here any more.
    fn release(&self, _: &RunKey) {}
    /// Whether no process drives a run that has no execution here: the one that did is gone.
    fn is_left(&self, _: &RunKey) -> bool {
        false
    }
    /// Ends the programs of a run that a process left behind when it died, and waits until they are
    /// gone. The run is claimed. Returns them, or why some stayed.
    fn end_survivors(&self, _: &RunKey) -> impl Future<Output = Result<Vec<RunningTask>, String>> {
        std::future::ready(Ok(Vec::new()))
    }
    /// A pipeline version was loaded: runs of it may come.
    fn loaded(&self, _: &Plan) {}
}
