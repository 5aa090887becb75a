//! The function `trigger-run`. Schedules tick and files arrive; each becomes at most one run.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("trigger-run", handler::handle)
}
