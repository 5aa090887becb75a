//! The function `sweep`. Every few minutes it repairs what a dead execution, a lost event or an
//! expired lease left.

mod handler;

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_lambda::serve("sweep", handler::handle)
}
