//! The function `notify`. Notices come from their queue and go to people.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("notify", handler::handle)
}
