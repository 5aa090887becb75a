//! The ports that every process has by itself: its clock, and ids made of the system's randomness.
//!
//! What this is: `Clock` and `Ids` of `cauce-ports`, the same on one machine and in a Lambda
//! function.
//! What it never does: touch anything else of the outside; wait.
//! Where to start reading: [`clock::SystemClock`].

pub mod clock;

pub mod ids;
