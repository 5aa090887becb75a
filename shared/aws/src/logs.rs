//! What tasks and functions wrote, from CloudWatch Logs.

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use aws_sdk_cloudwatchlogs::Client;
use cauce_model::Instant;

/// Most events in one page.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html>
const EVENTS_MAX: u32 = 10_000;

/// One line that a program wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEvent {
    /// When it was written, to the millisecond.
    pub at: Instant,
    /// The line, without its end.
    pub text: String,
}

/// Some events, in order, and where to go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPage {
    /// Oldest first; may be empty while there is more.
    pub events: Vec<LogEvent>,
    /// Where to go on reading: now for the next page, later for what has been written meanwhile.
    pub next: String,
    /// There is nothing more at this moment. A program under way may still write.
    pub at_end: bool,
}

/// Why a log could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LogsError {
    /// Nothing has been written: there is no such group or stream yet.
    #[error("there is no log '{stream}' in '{group}'")]
    NoLog {
        /// The log group.
        group: String,
        /// The log stream.
        stream: String,
    },
    /// Over the service's rate.
    #[error("the log service is over its rate")]
    Throttled,
    /// It did not answer, or may not answer us.
    #[error("the log service: {0}")]
    Failed(String),
}

/// The logs that a connection may read.
#[derive(Clone, Debug)]
pub struct Logs {
    client: Client,
}

impl Logs {
    /// The logs that this connection may read.
    pub fn new(connection: &Connection) -> Self {
        Self { client: Client::new(connection.config()) }
    }

    /// Reads at most `limit` events of a stream, from its beginning or from where a page ended.
    ///
    /// # Errors
    /// There is no such log, or the service did not answer.
    pub async fn read(
        &self,
        group: &str,
        stream: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<LogPage, LogsError> {
        let call = self
            .client
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .start_from_head(true)
            .set_next_token(after.map(str::to_owned))
            .limit(i32::try_from(limit.clamp(1, EVENTS_MAX)).unwrap_or(i32::MAX));
        let page = call.send().await.map_err(|error| {
            let failure = Failure::of(&error);
            match (failure.kind, failure.code.as_str()) {
                (_, "ResourceNotFoundException") => {
                    LogsError::NoLog { group: group.to_owned(), stream: stream.to_owned() }
                }
                (Kind::Throttled, _) => LogsError::Throttled,
                _ => LogsError::Failed(failure.text()),
            }
        })?;
        let events = page.events.unwrap_or_default().into_iter().map(|event| LogEvent {
            at: Instant::from_micros(event.timestamp.unwrap_or_default().saturating_mul(1_000)),
            text: event.message.unwrap_or_default(),
        });
        let next = page
            .next_forward_token
            .ok_or_else(|| LogsError::Failed("a page that does not say where it ends".to_owned()))?;
        // At the end of the stream the token that came is given back.
        Ok(LogPage { events: events.collect(), at_end: after == Some(next.as_str()), next })
    }
}
