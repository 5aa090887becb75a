//! The worker as the engine sees it: a process with an environment, files around it, an answer and an exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stderr, reason = "figures and skipped tests are told")]

mod lake;
mod limits;

mod copy;
mod delta;
mod folder;
mod mask;
mod memory;
mod pipelines;
mod quality;
mod run;
mod sql;
