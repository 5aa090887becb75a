//! A request in, a response out; between them the same router and desk as on one machine.

use crate::payload;
use crate::place::{Caches, Deployed};
use cauce_api::{Desk, Memory, to_bytes};
use cauce_lambda::{Failure, Function};
use serde_json::Value as Json;
use std::rc::Rc;

/// Most bytes of a response: what Lambda takes.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const RESPONSE_MAX: usize = 6 * 1024 * 1024;

/// What a process keeps between two requests: nothing that a new process would not find again.
#[derive(Default)]
pub(crate) struct Kept {
    memory: Rc<Memory>,
    caches: Caches,
}

pub(crate) async fn handle(function: &Function, kept: &Kept, event: Json) -> Result<Json, Failure> {
    let request = payload::request(&event).map_err(Failure::poison)?;
    let desk = Desk::new(Deployed::new(function, &kept.caches), Rc::clone(&kept.memory));
    let (head, body) = desk.respond(request).await.into_parts();
    let bytes =
        to_bytes(body, RESPONSE_MAX).await.map_err(|error| Failure::unavailable(error.to_string()))?;
    Ok(payload::response(&head, &bytes))
}
