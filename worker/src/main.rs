//! The program inside a data task.
fn main() {}
