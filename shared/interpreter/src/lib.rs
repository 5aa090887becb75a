//! Executes Amazon States Language, without input or output of its own.
