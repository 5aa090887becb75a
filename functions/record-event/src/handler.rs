//! Events of EventBridge in a queue's batches, and what Terraform has deployed, sent directly.

use cauce_driver::{observed, payload};
use cauce_lambda::{Command, Failure, Function, answer, batch};
use serde_json::{Value as Json, json};

pub(crate) async fn handle(function: &Function, event: Json) -> Result<Json, Failure> {
    batch::each(function, event, async |function, event| match command(function.prefix(), &event)? {
        Some(command) => answer(function.execute(&command).await?),
        // Rules let through a little more than concerns us, such as a machine of the same name's
        // beginning.
        None => Ok(json!({"ignored": true})),
    })
    .await
}

/// What an event asks for; `None` when it is nobody's business.
fn command(prefix: &str, event: &Json) -> Result<Option<Command>, Failure> {
    match event["source"].as_str() {
        Some("cauce.deployment") => Ok(Some(payload::deployment(event)?)),
        Some("cauce.pools") => Ok(Some(payload::pools(event)?)),
        Some("cauce.controls") => Ok(Some(payload::controls(event)?)),
        Some("aws.states" | "aws.ecs") => {
            observed::command(event, prefix).map_err(|error| Failure::poison(error.to_string()))
        }
        Some(other) => Err(Failure::poison(format!("nothing is known of events from '{other}'"))),
        None => Err(Failure::poison("the event has no source")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_commands_others_are_let_be_and_bad_ones_are_refused() {
        for (name, event) in cauce_testkit::fixtures(concat!(env!("CARGO_MANIFEST_DIR"), "/events")) {
            let read = command("cauce-dev", &event);
            assert_eq!(read.is_err(), name.starts_with("bad-"), "{name}: {read:?}");
            let ignored = matches!(read, Ok(None));
            assert_eq!(ignored, name.starts_with("other-"), "{name}: {read:?}");
        }
    }
}
