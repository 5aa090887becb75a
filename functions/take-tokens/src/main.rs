//! The function `take-tokens`. A program inside a task asks for tokens of a rate limit (`cauce-run limits take`);
//! the answer says when they may be used. Whoever asked waits, not this function.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("take-tokens", handler::handle)
}
