//! The function `finish-task`. An attempt ended, well or badly; the reply says what follows.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("finish-task", handler::handle)
}
