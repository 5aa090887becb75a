//! The program inside a data task.
