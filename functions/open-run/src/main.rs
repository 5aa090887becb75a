//! The function `open-run`. An execution of a pipeline's machine began: let it in, or have it wait with its token.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("open-run", handler::handle)
}
