//! Rows from bytes: the types of columns, text into typed rows, and the rows that could not be read.

pub mod columns;
pub mod inputs;
pub mod rejects;
pub mod text;
