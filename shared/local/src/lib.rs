//! The ports on one machine.
//!
//! What this is: each trait of `cauce-ports` over what a laptop has. Tables in memory and in SQLite,
//! objects in a folder (served to tasks as S3), programs as process groups or containers, notices to
//! a terminal, a file or a URL, the system's clock.
//! What it never does: decide anything; talk to AWS; read the environment (a binary's `main` does,
//! and hands values in).
//! Where to start reading: [`state::StateDir`], the folder that all of it lives in, then
//! [`processes::Processes`].

pub mod state;

pub mod watch;

mod rows;

pub mod memory;

pub mod sqlite;

pub mod objects;

pub mod s3;

pub mod secrets;

pub mod processes;

pub mod notify;

pub mod http;

/// The system's clock.
pub use cauce_system::clock;

/// Unique names.
pub use cauce_system::ids;
