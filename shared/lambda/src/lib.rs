//! What every Lambda function of the control plane does around its handler: the environment to
//! adapters, an event in, a result or a named error out, one JSON line per thing worth telling.
//!
//! What this is: the shell of nine small programs. Each function's own crate says how its event
//! becomes a command and its reply an answer; everything else that they share is here.
//! What it never does: decide; name an AWS SDK; keep anything between two invocations but what is
//! immutable (plans, deployments, connections).
//! Where to start reading: [`serve`], then [`batch`] for the functions behind queues.

pub mod batch;
mod failure;
mod log;
mod outside;
mod serve;

pub use cauce_aws as aws;
pub use cauce_driver::Driver;
pub use cauce_engine::{Command, Reply};
pub use failure::{Failure, answer};
pub use outside::Deployed;
pub use serve::{Function, serve};
