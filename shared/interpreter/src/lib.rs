//! Executes Amazon States Language as Step Functions does, without input or output of its own.
//!
//! An [`Execution`] is a value that its host drives: `advance` says what to do next (call a resource,
//! read an object), `handle` tells it what came of that, `wakes_at` says when it wants to be looked at
//! again. It never reads a clock, draws a random number that no seed explains, opens a file or starts
//! a thread, so a host may run thousands of executions, in real or in virtual time, and replay any.
//!
//! Behaviour, error names and the sentences of causes are those of executions recorded on AWS where
//! there are any; comments name what was not verified.
//!
//! Start reading at [`Execution`] and [`protocol`]; then `execution/step.rs`, what happens in a state.
//! [`Definition`] is a machine made ready to run, [`mocks`] a host that answers from a list.

mod definition;
mod execution;
mod failure;
mod history;
pub mod intrinsics;
mod items;
pub mod jsonata;
pub mod jsonpath;
pub mod mocks;
pub mod protocol;
mod template;

pub use definition::{Definition, Mode};
pub use execution::test_state::{TestError, TestMock, TestRequest, TestResult, TestStatus, test_state};
pub use execution::{Context, Execution};
pub use failure::Failure;
pub use history::{EventKind, HistoryEvent, StateType, Target};
pub use protocol::{Call, CallId, Ended, Reply, Request, Status};
