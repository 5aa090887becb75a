//! All ports of one place, together.

use crate::{Clock, Compute, Notifier, Objects, StateMachines, Table};

/// The outside that decisions are carried out in: one of each port.
pub trait Services {
    /// The store.
    type Table: Table;
    /// The engine of state machines.
    type StateMachines: StateMachines;
    /// Documents.
    type Objects: Objects;
    /// Programs under way.
    type Compute: Compute;
    /// People.
    type Notifier: Notifier;
    /// Time.
    type Clock: Clock;

    /// The store.
    fn table(&self) -> &Self::Table;
    /// The engine of state machines.
    fn machines(&self) -> &Self::StateMachines;
    /// Documents.
    fn objects(&self) -> &Self::Objects;
    /// Programs under way.
    fn compute(&self) -> &Self::Compute;
    /// People.
    fn notifier(&self) -> &Self::Notifier;
    /// Time.
    fn clock(&self) -> &Self::Clock;
}
