//! Whole runs in virtual time: the compiled machines, the real drivers, scripted programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what cannot run here is said, and what a proof has seen"
)]

mod approvals;
mod by_hand;
mod controls;
mod datasets;
mod datasets_model;
mod deployments;
mod documents;
mod events;
mod faults;

mod graphs;
mod interventions;
mod items;
mod items_again;
mod late;
mod lines;
mod markers;
mod matrix;
mod model;
mod nested;
mod overlaps;
mod policies;
mod pools;
mod reference;
mod repair;
mod rivals;
mod scenarios;
mod seeds;
mod semantics;
mod service;
mod services;
mod sets;
mod storm;
mod strangers;
mod streaks;
mod sweep_laws;
mod sweeps;
mod teardown;
mod ticks;
mod world;
