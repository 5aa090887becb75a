//! Whole runs on one machine: each test is a project in a temporary folder and the real programs,
//! `cauce`, `cauce-worker` and `ventas-drop`, met as a person and a shell meet them.
//!
//! Nothing here sleeps. A test waits for a task by opening a FIFO that the task opens too, and for
//! a program by waiting on it; each wait has an end, after which the test fails instead of hanging.
//! Start reading at [`harness`].

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod harness;

mod approvals;
mod asl;
mod cerverus;
mod controls;
mod datavision;
mod endings;
mod http;
mod interruption;
mod killed;
mod lying;
mod operations;
mod outputs;
mod pools;
mod starting;
mod time;
mod twice;
mod unruly;
mod up;
mod ventas;
mod why;
