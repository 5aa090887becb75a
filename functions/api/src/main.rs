//! The function `api`. An HTTP API of API Gateway hands it every request.

mod handler;

mod payload;

mod place;

use std::process::ExitCode;

fn main() -> ExitCode {
    let kept = handler::Kept::default();
    cauce_lambda::serve("api", async |function, event| handler::handle(function, &kept, event).await)
}
