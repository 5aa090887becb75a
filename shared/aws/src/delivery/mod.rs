//! The last stretch of a notice: from the queue to its channel.
//!
//! Delivery is at least once. A notice's id goes along everywhere, so that the other end can drop a
//! repeat.

mod channels;

mod http;

mod secrets;

mod words;

pub use channels::{Channel, Channels, ChannelsError, DOCUMENT};
pub use secrets::{SECRET_PREFIX, SecretError, Secrets};

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};
use cauce_model::record::Notice;
use cauce_ports::NotifyError;
use http::{Post, Poster};
use secrets::Value;
use std::collections::BTreeMap;
use std::io::Write;

/// The source of the events that a channel of kind `eventbridge` gets.
pub const EVENT_SOURCE: &str = "cauce";

/// The detail type of those events.
pub const EVENT_DETAIL_TYPE: &str = "cauce notice";

/// Delivers notices to channels. Made once per process: it keeps connections and, for minutes, the
/// values of secrets.
pub struct Delivery {
    events: aws_sdk_eventbridge::Client,
    mail: aws_sdk_sesv2::Client,
    topics: aws_sdk_sns::Client,
    secrets: Secrets,
    poster: Poster,
}

impl Delivery {
    /// Delivers with what this connection may do. Calls nothing.
    pub fn new(connection: &Connection) -> Self {
        let config = connection.config();
        Self {
            events: aws_sdk_eventbridge::Client::new(config),
            mail: aws_sdk_sesv2::Client::new(config),
            topics: aws_sdk_sns::Client::new(config),
            secrets: Secrets::new(connection),
            poster: Poster::new(),
        }
    }

    /// Delivers a notice to its channel. Repeats are the other end's to recognise, by the notice's id.
    ///
    /// # Errors
    /// There is no such channel; its other end refused the notice for good, or did not answer. No
    /// value of a secret is ever part of an error.
    pub async fn deliver(&self, channels: &Channels, notice: &Notice) -> Result<(), NotifyError> {
        let channel =
            channels.get(&notice.channel).ok_or_else(|| NotifyError::NoChannel(notice.channel.clone()))?;
        match channel {
            Channel::Stderr => to_stderr(notice),
            Channel::File { .. } => {
                Err(refused(notice, "files are written on one machine only: choose another kind for AWS"))
            }
            Channel::Http { url, headers } => self.http(notice, url, headers).await,
            Channel::Slack { webhook } => self.webhook(notice, webhook, words::slack(notice)).await,
            Channel::Teams { webhook } => self.webhook(notice, webhook, words::teams(notice)).await,
            Channel::Email { from, to } => self.email(notice, from, to).await,
            Channel::Sns { topic } => self.sns(notice, topic).await,
            Channel::Eventbridge { bus } => self.eventbridge(notice, bus).await,
        }
    }

    /// The value of a setting: itself, or of the secret that it names.
    async fn value(&self, notice: &Notice, setting: &str) -> Result<Value, NotifyError> {
        self.secrets.resolve(setting).await.map_err(|error| {
            if error.is_for_good() {
                refused(notice, error.to_string())
            } else {
                unreachable(notice, error.to_string())
            }
        })
    }

    async fn http(
        &self,
        notice: &Notice,
        url: &str,
        headers: &BTreeMap<String, String>,
    ) -> Result<(), NotifyError> {
        let mut given = Vec::new();
        for (name, value) in headers {
            given.push((name.clone(), self.value(notice, value).await?));
        }
        let body = serde_json::to_string(notice).map_err(|error| refused(notice, error.to_string()))?;
        let url = self.value(notice, url).await?;
        self.poster.post(notice, Post { url, headers: given, body }).await
    }

    async fn webhook(&self, notice: &Notice, webhook: &str, body: String) -> Result<(), NotifyError> {
        let url = self.value(notice, webhook).await?;
        self.poster.post(notice, Post { url, headers: Vec::new(), body }).await
    }

    async fn email(&self, notice: &Notice, from: &str, to: &[String]) -> Result<(), NotifyError> {
        let content = |text: String| {
            Content::builder()
                .data(text)
                .charset("UTF-8")
                .build()
                .map_err(|error| refused(notice, error.to_string()))
        };
        let message = Message::builder()
            .subject(content(words::subject(notice))?)
            .body(Body::builder().text(content(words::text(notice))?).build())
            .build();
        let call = self
            .mail
            .send_email()
            .from_email_address(from)
            .destination(Destination::builder().set_to_addresses(Some(to.to_vec())).build())
            .content(EmailContent::builder().simple(message).build());
        call.send().await.map(drop).map_err(|error| failed(notice, &Failure::of(&error)))
    }

    async fn sns(&self, notice: &Notice, topic: &str) -> Result<(), NotifyError> {
        let call = self
            .topics
            .publish()
            .topic_arn(topic)
            .subject(words::sns_subject(notice))
            .message(words::text(notice));
        call.send().await.map(drop).map_err(|error| failed(notice, &Failure::of(&error)))
    }

    async fn eventbridge(&self, notice: &Notice, bus: &str) -> Result<(), NotifyError> {
        let detail = serde_json::to_string(notice).map_err(|error| refused(notice, error.to_string()))?;
        let entry = PutEventsRequestEntry::builder()
            .source(EVENT_SOURCE)
            .detail_type(EVENT_DETAIL_TYPE)
            .detail(detail)
            .event_bus_name(bus)
            .build();
        let answer = self
            .events
            .put_events()
            .entries(entry)
            .send()
            .await
            .map_err(|error| failed(notice, &Failure::of(&error)))?;
        // The call succeeds also where the only entry did not.
        // <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
        match answer.entries.unwrap_or_default().into_iter().find(|entry| entry.error_code.is_some()) {
            None if answer.failed_entry_count == 0 => Ok(()),
            None => Err(unreachable(notice, "the bus did not take the event")),
            Some(entry) => {
                let (code, message) = (entry.error_code.as_deref(), entry.error_message.as_deref());
                let status = if code == Some("InternalFailure") { 500 } else { 400 };
                Err(failed(notice, &Failure::answered(code, message, status)))
            }
        }
    }
}

/// A line in the log of the function that delivers.
fn to_stderr(notice: &Notice) -> Result<(), NotifyError> {
    let line = serde_json::to_string(notice).map_err(|error| refused(notice, error.to_string()))?;
    writeln!(std::io::stderr().lock(), "{line}").map_err(|error| unreachable(notice, error.to_string()))
}

fn failed(notice: &Notice, failure: &Failure) -> NotifyError {
    match failure.kind {
        Kind::Throttled | Kind::Unanswered => unreachable(notice, failure.text()),
        Kind::Denied | Kind::Refused => refused(notice, failure.text()),
    }
}

fn refused(notice: &Notice, reason: impl Into<String>) -> NotifyError {
    NotifyError::Refused { channel: notice.channel.clone(), reason: reason.into() }
}

fn unreachable(notice: &Notice, reason: impl Into<String>) -> NotifyError {
    NotifyError::Unreachable { channel: notice.channel.clone(), reason: reason.into() }
}
