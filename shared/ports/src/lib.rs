//! What the drivers ask of the outside world, and how it may fail.
//!
//! What this is: one trait per kind of outside (`Table`, `StateMachines`, `Compute`, `Objects`,
//! `Notifier`, `Clock`, `Ids`), each method with what a crash before and after it means.
//! What it never does: implement one; name an SDK; decide.
//! Where to start reading: [`Table`], which carries all truth; [`Services`] is all of them together.
//!
//! The traits are used through generics, never as trait objects: a caller knows its ports when it
//! is built, so futures need no box.

mod table;

mod machines;

mod objects;

mod outside;

mod services;

mod failure;

pub use failure::with_sources;
pub use machines::{Answer, Answered, Described, ExecutionStatus, Started, StateMachineError, StateMachines};
pub use objects::{ObjectError, ObjectInfo, Objects};
pub use outside::{
    Clock, Compute, ComputeError, Ids, Notifier, NotifyError, RunningTask, TaskFailure, TaskRunner,
};
pub use services::Services;
pub use table::{Cursor, Page, Table, TableError};
