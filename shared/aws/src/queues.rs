//! The queues: notices on their way to their channels, events that decisions post, and what nobody could
//! work on.

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use cauce_model::record::Notice;
use cauce_ports::{Notifier, NotifyError};

/// The attribute of a dead letter that says why it is one.
pub const REASON: &str = "reason";

/// Most characters of a dead letter's reason: the rest of a message's 256 KiB is for its body.
const REASON_MAX: usize = 1_000;

/// Puts notices into the queue that the function `notify` reads. What is in the queue is durable, so
/// a notice counts as delivered: the queue repeats it until `notify` has it, and then hands it to the
/// dead letters.
#[derive(Clone, Debug)]
pub struct QueueNotifier {
    client: Client,
    queue: String,
}

impl QueueNotifier {
    /// Notices go to the queue with this URL.
    pub fn new(connection: &Connection, queue: impl Into<String>) -> Self {
        Self { client: Client::new(connection.config()), queue: queue.into() }
    }
}

impl Notifier for QueueNotifier {
    async fn deliver(&self, notice: &Notice) -> Result<(), NotifyError> {
        let channel = notice.channel.clone();
        let body = serde_json::to_string(notice)
            .map_err(|error| NotifyError::Refused { channel: channel.clone(), reason: error.to_string() })?;
        let send = self.client.send_message().queue_url(&self.queue).message_body(allowed(&body));
        match send.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(channel, &Failure::of(&error))),
        }
    }
}

fn failed(channel: String, failure: &Failure) -> NotifyError {
    let reason = format!("the queue of notices: {}", failure.text());
    match failure.kind {
        Kind::Throttled | Kind::Unanswered => NotifyError::Unreachable { channel, reason },
        Kind::Denied | Kind::Refused => NotifyError::Refused { channel, reason },
    }
}

/// A text with nothing in it that a queue refuses: what was quoted from a bad event may hold anything.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn allowed(text: &str) -> String {
    let takes = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if takes(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Puts events into the queue that the function `trigger-run` reads. Who sends one has what it tells of in
/// the store, among what is due: one that is lost costs time.
#[derive(Clone, Debug)]
pub struct Triggers {
    client: Client,
    queue: String,
}

/// An event could not be put into its queue.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an event could not be put into the queue of triggers; the sweep finds what it tells of: {0}")]
pub struct TriggersError(pub String);

impl Triggers {
    /// They go to the queue with this URL.
    pub fn new(connection: &Connection, queue: impl Into<String>) -> Self {
        Self { client: Client::new(connection.config()), queue: queue.into() }
    }

    /// Sends an event; a repeat makes another, which finds nothing new.
    ///
    /// # Errors
    /// The queue did not take it.
    pub async fn send(&self, event: &cauce_model::Json) -> Result<(), TriggersError> {
        let call =
            self.client.send_message().queue_url(&self.queue).message_body(allowed(&event.to_string()));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(TriggersError(Failure::of(&error).text())),
        }
    }
}

/// Where messages go that nobody could work on, each with the reason.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    client: Client,
    queue: String,
}

/// A message could not even be put among the dead letters; whoever holds it keeps it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a message could not be put among the dead letters: {0}")]
pub struct DeadLettersError(pub String);

impl DeadLetters {
    /// They go to the queue with this URL.
    pub fn new(connection: &Connection, queue: impl Into<String>) -> Self {
        Self { client: Client::new(connection.config()), queue: queue.into() }
    }

    /// Puts a message there, as it came, with the reason as its attribute [`REASON`]. Durable when it
    /// returns; repeats make copies.
    ///
    /// # Errors
    /// The queue did not take it.
    pub async fn put(&self, body: &str, reason: &str) -> Result<(), DeadLettersError> {
        let reason: String = allowed(reason).chars().take(REASON_MAX).collect();
        let reason = if reason.is_empty() { "unknown".to_owned() } else { reason };
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(reason)
            .build()
            .map_err(|error| DeadLettersError(error.to_string()))?;
        let call = self
            .client
            .send_message()
            .queue_url(&self.queue)
            .message_body(body)
            .message_attributes(REASON, attribute);
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(DeadLettersError(Failure::of(&error).text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_queue_refuses_is_replaced_and_nothing_else() {
        assert_eq!(allowed("a\u{0}b\u{b}c\u{ffff}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        let kept = "tab\t line\n ñ 🦀 \u{7f} {\"n\": 1}";
        assert_eq!(allowed(kept), kept);
    }
}
