//! The function `close-run`. All tasks of a run were passed; the reply is the run's end, and its failure where it failed.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("close-run", handler::handle)
}
