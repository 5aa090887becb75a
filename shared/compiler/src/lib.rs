//! A pipeline to its plan, its state machines and its forecast.
//!
//! Amazon States Language offers sequence and `Parallel`; a pipeline is any acyclic graph under any
//! trigger rules. This crate finds a *nest* of sequence and `Parallel` inside the true order of the
//! tasks, and leaves to *gates* the few edges that the nest does not imply. The result is exact: no
//! task ever waits for one that it does not need.
//!
//! It never runs anything, reads no file, clock or environment, and answers the same input with the
//! same bytes.
//!
//! Start at [`compile`], which is [`order`] (what must end before what), [`nest`] (the
//! series-parallel tree), [`gates`] (what is left to the store), [`split`] (which machine holds
//! what), [`machine`] (states) and [`forecast`], in this order.

mod assemble;
mod compile;
mod lower;
mod lower_services;
mod manifest;
mod task_definitions;

mod bits;
pub mod order;

mod build;
mod draft;
pub mod nest;
mod relax;

pub mod gates;
pub mod split;

pub mod lifecycle;
pub mod machine;
mod resource;

mod calendar;
pub mod forecast;
pub mod prices;

pub use assemble::{CompileError, Compiled, ITEMS_MAX, assemble};
pub use compile::compile;
pub use manifest::{
    MANIFEST_SCHEMA, Manifest, ManifestMachine, ManifestSchedule, ManifestTrigger, definition_file,
};
pub use resource::{GATE_WAIT_MAX_SECONDS, PLACEHOLDERS};
pub use task_definitions::ManifestTaskDefinition;
