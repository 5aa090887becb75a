//! Notices in a queue's batches.

use cauce_lambda::aws::delivery::Channels;
use cauce_lambda::{Failure, Function, batch};
use cauce_model::record::Notice;
use cauce_ports::{NotifyError, Services};
use serde_json::{Value as Json, json};

pub(crate) async fn handle(function: &Function, event: Json) -> Result<Json, Failure> {
    // Read with every batch: a deployment may have changed them.
    let adapters = function.adapters();
    let channels = Channels::load(adapters.objects(), adapters.environment()).await;
    let channels = channels.map_err(|error| Failure::unavailable(error.to_string()))?;
    let channels = &channels;
    batch::each(function, event, async |function, event| {
        let notice = read(event)?;
        match function.delivery().deliver(channels, &notice).await {
            Ok(()) => {
                tracing::info!(notice = notice.id, channel = notice.channel, run = notice.run, "delivered");
                Ok(json!({}))
            }
            Err(error) => Err(failure(&error)),
        }
    })
    .await
}

fn read(event: Json) -> Result<Notice, Failure> {
    serde_json::from_value(event).map_err(|error| Failure::poison(format!("not a notice: {error}")))
}

/// A channel that does not answer is tried again; one that refuses, or that is not there, needs a
/// person: its notice lies among the dead letters with the reason.
fn failure(error: &NotifyError) -> Failure {
    if error.retryable() {
        Failure::unavailable(error.to_string())
    } else {
        Failure::poison(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_read_and_what_is_none_is_refused() {
        for (name, event) in cauce_testkit::fixtures(concat!(env!("CARGO_MANIFEST_DIR"), "/events")) {
            let read = read(event);
            assert_eq!(read.is_err(), name.starts_with("bad-"), "{name}: {read:?}");
        }
    }

    #[test]
    fn only_what_may_answer_later_is_tried_again() {
        let (channel, reason) = ("mail".to_owned(), "timed out".to_owned());
        assert!(failure(&NotifyError::Unreachable { channel, reason }).retryable);
        assert!(!failure(&NotifyError::NoChannel("mail".to_owned())).retryable);
    }
}
