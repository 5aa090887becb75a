//! Ticks sent by EventBridge Scheduler, and S3's events of EventBridge in a queue's batches.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>,
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>

use cauce_driver::payload;
use cauce_lambda::{Command, Failure, Function, answer, batch};
use serde_json::{Value as Json, json};

pub(crate) async fn handle(function: &Function, event: Json) -> Result<Json, Failure> {
    batch::each(function, event, async |function, event| match read(&event)? {
        // A tick of a matrix is handed out to its items while there is time; the sweep does the rest.
        Some(command) => answer(function.driver().tick(&command, || function.has_time()).await?),
        // Rules match a little more than what starts runs.
        None => Ok(json!({"ignored": true})),
    })
    .await
}

/// What an event asks for; `None` when it starts nothing.
fn read(event: &Json) -> Result<Option<Command>, Failure> {
    if event["source"] == "aws.s3" && event["detail-type"] != "Object Created" {
        return Ok(None);
    }
    Ok(Some(payload::event(event)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_others_are_let_be_and_bad_ones_are_refused() {
        for (name, event) in cauce_testkit::fixtures(concat!(env!("CARGO_MANIFEST_DIR"), "/events")) {
            let read = read(&event);
            assert_eq!(read.is_err(), name.starts_with("bad-"), "{name}: {read:?}");
            assert_eq!(matches!(read, Ok(None)), name.starts_with("other-"), "{name}: {read:?}");
        }
    }
}
