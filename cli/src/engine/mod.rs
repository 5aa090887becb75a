//! The engine behind `run`, `trigger`, `backfill`, `resume`, `rerun`, `cancel`, `mark`, `simulate`.
//!
//! What this is: a host in one of two worlds, this machine ([`world`]) or virtual time
//! ([`simulate`]), with the pipelines of the project deployed to it; or, with `--env`, the driver
//! alone against a deployed environment ([`actor`]). Decisions are made by the same drivers that run
//! on AWS; here they are only brought together with people and files.
//! Where to start reading: [`actor`], [`assemble`], then [`start`].

mod actor;

mod assemble;

mod consumers;

mod world;

mod dates;

mod item;

mod watch;

mod follow;

mod start;

mod trigger;

mod up;

mod backfill;

mod again;

mod operate;

mod simulate;

pub(crate) use actor::{Actor, accept};
pub(crate) use again::{rerun, resume};
pub(crate) use backfill::backfill;
pub(crate) use consumers::subscribe_all;
pub(crate) use follow::deployed;
pub(crate) use item::of_file as item_of_file;
pub(crate) use operate::{answer, cancel, mark};
pub(crate) use simulate::simulate;
pub(crate) use start::{deploy_here, run};
pub(crate) use trigger::trigger;
pub(crate) use up::up;
