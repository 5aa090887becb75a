//! The function `record-event`. The platform tells what ended and what was deployed; a decision
//! repairs what the normal path left undone.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("record-event", handler::handle)
}
