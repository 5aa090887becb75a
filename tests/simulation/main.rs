//! Whole runs in virtual time: the compiled machines, the real drivers, scripted programs.

mod faults;
mod graphs;
mod reference;
mod semantics;
mod world;
