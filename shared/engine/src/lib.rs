//! Every decision: rules, retries, slots, schedules. Pure.
//!
//! What this is: functions from what is known to what shall be. A [`Command`] and a [`View`] go in; a
//! [`Decision`] (one write, some effects, a reply) or a [`Need`] (what is not known yet) comes out.
//! The Lambdas on AWS, the embedded engine and the simulator all run exactly this.
//! What it never does: read a clock, an environment or a file, draw a random number, wait, perform
//! an effect, depend on hash order.
//! Where to start reading: [`decide`], then `begin` (may a task run, and with what?) and `finish`
//! (how did it end, and what follows?). [`rules`] is the table of trigger rules, `gate` the order
//! that state machines cannot express, [`slots`] the limits, [`schedule`] the time.
//!
//! Invariants. One decision is one write, conditional on what was read. Updates that happen before
//! it (gates, slots) are safe to repeat. Effects happen after it and are safe to repeat. Every
//! command may be repeated at any time: the second time it finds what the first one did.

mod decide;

mod stop;

pub mod command;

mod decision;

pub mod view;

pub mod prepared;

pub mod rules;

mod begin;

mod gate;

mod context;

pub mod launch;

mod kinds;

mod approval;

mod finish;

mod ending;

pub mod classify;

pub mod retry;

pub mod slots;

mod grant;

mod line;

mod claim;

pub mod breaker;

pub mod rate;

mod idempotency;

mod control;

mod reclaim;

mod open;

mod close;

mod observed;

mod streak;

pub mod reconcile;

pub mod trigger;

mod operate;

mod deploy;

mod canary;

mod event;

mod files;

pub mod webhook;

mod sets;

mod datasets;

mod consumers;

mod ticks;

pub mod matrix;

pub mod status;

pub use cauce_model::schedule;

pub use close::statuses;
pub use command::{Command, Decision, Effect, Reply};
pub use context::{date_in, moment};
pub use decide::decide;
pub use prepared::{Patience, Prepared, Settings};
pub use view::{Need, View};
