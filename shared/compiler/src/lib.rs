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
//! Start at [`order`] (what must end before what), then [`nest`] (the series-parallel tree),
//! [`gates`] (what is left).

pub mod order;

mod bits;
mod build;
mod draft;
mod relax;

pub mod nest;

pub mod gates;

pub mod split;

mod resource;

pub mod lifecycle;

pub mod machine;

mod calendar;

pub mod forecast;

mod assemble;

pub use assemble::{
    CompileError, Compiled, MANIFEST_SCHEMA, Manifest, ManifestMachine, assemble, definition_file,
};
pub use resource::{GATE_WAIT_MAX_SECONDS, PLACEHOLDERS};
