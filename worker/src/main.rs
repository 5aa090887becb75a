//! cauce-worker.
fn main() {}
