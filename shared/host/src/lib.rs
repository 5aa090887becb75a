//! Interpreter, driver and ports together: executions, tokens, timers.
//!
//! What this is: the embedded engine. It runs state machines as Step Functions would, calls the
//! drivers where a state calls a function, the task runner where it calls ECS, itself where it
//! starts a nested execution. `cauce run`, `cauce up`, `cauce simulate` and the simulation tests are
//! this with different ports.
//! What it never does: decide (that is the driver's engine), keep an execution beyond the process
//! (a crash is answered by the next generation), read a clock but through its world.
//! Where to start reading: [`World`], what a host needs; [`Host::run`], its loop; `calls`, what a
//! state may call.
//!
//! One thread: executions, drivers and tokens share their state without locks, and a host in virtual
//! time is deterministic.

mod calls;

mod deploy;

mod machines;

mod run;

pub mod service;

pub mod simulation;

mod state;

mod world;

pub use deploy::{DeployedMachine, Deployment};
pub use machines::{Machines, MachinesError};
pub use run::{Host, HostError, Outcome};
pub use service::ReviveError;
pub use state::Engine;
pub use world::World;
