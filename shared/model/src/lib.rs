//! Words everyone shares: ids, statuses, time, the plan, store items, error names.
//!
//! What this is: plain data with its laws (which transition is allowed, how an id is made).
//! What it never does: read a clock, an environment or a file, draw a random number, decide anything.
//! Where to start reading: [`plan`] for what a compiled pipeline is, [`status`] for what a run can be,
//! [`item`] for what the store holds, [`record`] for how runs and tasks lie in it.

pub mod time;

pub mod ids;

pub mod status;

pub mod rule;

pub mod names;

pub mod plan;

pub mod services;

pub mod fargate;

pub mod retry;

pub mod streak;

pub mod item;

pub mod record;

pub mod audit;

pub mod control;

pub mod deployment;

pub mod event;

pub mod files;

pub mod webhook;

pub mod access;

pub mod dataset;

pub mod matrix;

pub mod pattern;

pub mod schedule;

pub mod params;

pub use audit::AuditRecord;
pub use deployment::Deployment;
pub use ids::{RunKey, RunRef};
pub use item::{Expect, Item, Key, Write};
pub use plan::Plan;
pub use rule::TriggerRule;
pub use status::{FailureClass, RunStatus, TaskStatus, TriggerKind};
pub use time::Instant;

/// A JSON document. Objects keep the order in which their fields were written.
pub type Json = serde_json::Value;
