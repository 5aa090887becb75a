//! The function `expand-map`. A mapped task asks for its items; the answer, their numbers, goes to its token.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("expand-map", handler::handle)
}
