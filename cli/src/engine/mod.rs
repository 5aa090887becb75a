//! The embedded engine behind `run`, `backfill`, `resume`, `rerun`, `cancel`, `mark`, `simulate`.
//!
//! What this is: a host in one of two worlds, this machine ([`world`]) or virtual time
//! ([`simulate`]), with the pipelines of the project deployed to it. Decisions are made by the same
//! drivers that run on AWS; here they are only brought together with people and files.
//! Where to start reading: [`assemble`], then [`start`].

mod assemble;

mod world;

mod dates;

mod watch;

mod start;

mod again;

mod operate;

mod simulate;

pub(crate) use again::{rerun, resume};
pub(crate) use operate::{cancel, mark};
pub(crate) use simulate::simulate;
pub(crate) use start::{backfill, run};
