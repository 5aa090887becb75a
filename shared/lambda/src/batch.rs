//! Messages of a queue, in batches: each is handled by itself, and only those that may succeed later
//! go back to the queue.
//!
//! What no later try can make sense of (poison) goes to the dead-letter queue at once, with its
//! reason, instead of coming back until the queue gives it up without one.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>

use crate::{Failure, Function};
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use cauce_model::Json;

/// The messages of an event, when it is a batch of a queue.
///
/// # Errors
/// A batch that cannot be read: it can only be answered as a whole.
fn messages(event: &Json) -> Result<Option<Vec<SqsMessage>>, Failure> {
    let of_a_queue = |record: &Json| record["eventSource"] == "aws:sqs";
    // S3's own notifications have records too.
    if !event["Records"].as_array().is_some_and(|records| records.iter().all(of_a_queue)) {
        return Ok(None);
    }
    let batch: SqsEvent = serde_json::from_value(event.clone())
        .map_err(|error| Failure::poison(format!("not a batch of a queue: {error}")))?;
    Ok(Some(batch.records))
}

/// Handles an event that is a batch of a queue, or a single event sent directly. The failure of a direct
/// one is its caller's: Terraform stops by it, and for what is sent without waiting Lambda tries again
/// and then hands event and error to the function's failure destination, which is the dead letters.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>
///
/// # Errors
/// A direct event that failed. A batch never fails: its answer names the messages that did.
pub async fn each(
    function: &Function,
    event: Json,
    handle: impl AsyncFn(&Function, Json) -> Result<Json, Failure>,
) -> Result<Json, Failure> {
    let Some(messages) = messages(&event)? else {
        return handle(function, event).await;
    };
    let mut failed = Vec::new();
    for message in messages {
        let body = message.body.unwrap_or_default();
        let outcome = match serde_json::from_str(&body) {
            Ok(event) => handle(function, event).await.map(|_| ()),
            Err(error) => Err(Failure::poison(format!("the message is not JSON: {error}"))),
        };
        let outcome = match outcome {
            Err(failure) if !failure.retryable => function.bury(&body, &failure).await,
            outcome => outcome,
        };
        if let Err(failure) = outcome {
            let id = message.message_id.unwrap_or_default();
            tracing::warn!(message_id = id, "goes back to its queue: {failure}");
            failed.push(id);
        }
    }
    Ok(answer(failed))
}

/// The answer to a batch: the messages to be delivered again.
fn answer(failed: Vec<String>) -> Json {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed
        .into_iter()
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
        .collect();
    // Plain texts always serialise.
    serde_json::to_value(response).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_batch_is_told_from_a_direct_event() {
        let batch = json!({"Records": [{"messageId": "m1", "body": "{}", "eventSource": "aws:sqs"}]});
        assert_eq!(messages(&batch).unwrap().unwrap().len(), 1);
        assert!(messages(&json!({"source": "aws.s3", "detail": {}})).unwrap().is_none());
        let classic = json!({"Records": [{"eventSource": "aws:s3", "s3": {}}]});
        assert!(messages(&classic).unwrap().is_none());
        assert!(messages(&json!({"Records": [{"eventSource": "aws:sqs", "body": 7}]})).is_err());
        for odd in [json!(null), json!([1]), json!("Records"), json!({"Records": "x"})] {
            assert!(messages(&odd).unwrap().is_none());
        }
    }

    #[test]
    fn the_answer_names_the_messages_to_come_again() {
        assert_eq!(answer(Vec::new()), json!({"batchItemFailures": []}));
        let wanted = json!({"batchItemFailures": [{"itemIdentifier": "m2"}]});
        assert_eq!(answer(vec!["m2".into()]), wanted);
    }
}
