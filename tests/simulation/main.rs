//! Whole runs in virtual time: the compiled machines, the real drivers, scripted programs.

mod faults;
mod semantics;
mod world;
