//! The function `begin-task`. A task asks whether and how to run; the answer goes to its token.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("begin-task", handler::handle)
}
