//! Whole runs in virtual time: the compiled machines, the real drivers, scripted programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]
#![expect(clippy::print_stderr, reason = "what cannot run here is said")]

mod approvals;
mod datasets;
mod datasets_model;
mod deployments;
mod events;
mod faults;

mod graphs;
mod interventions;
mod items;
mod lines;
mod markers;
mod matrix;
mod pools;
mod reference;
mod repair;
mod semantics;
mod service;
mod services;
mod sets;
mod strangers;
mod sweeps;
mod teardown;
mod ticks;
mod world;
