//! What tests of several crates share.
//!
//! What this is: contract suites that every implementation of a port passes, ports that fail on
//! purpose, from a seed or at a chosen call, and an outside that is played.
//! What it never does: appear in a program (it is a dev-dependency only); sleep; read a clock.
//! Where to start reading: [`faulty::Faults`]; then [`table::table_contract`], which is the meaning
//! of the store in executable form.

mod fixtures;

pub mod prng;

pub mod faulty;

pub mod table;

pub mod stage;

pub mod pools;

pub use fixtures::fixtures;
