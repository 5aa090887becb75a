//! A host that answers an execution from a list of recorded replies, in virtual time.
//!
//! `cauce asl run --mocks` and the conformance test run definitions with it. Time jumps from one timer
//! to the next, so that a Wait of a year takes none. Nothing is guessed: a call without a reply left
//! is an error that names the state and the resource.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Call, CallId, Context, Definition, Ended, Execution, Failure, HistoryEvent, Mode, Reply, Request,
};

/// One recorded reply: what a state's call brought.
#[derive(Debug, Clone, Deserialize)]
pub struct Mock {
    /// The state that called.
    pub after_state: String,
    /// The history event the reply became: `TaskSucceeded`, `TaskFailed`, `TaskSubmitted`, `TaskTimedOut`,
    /// and the same for `LambdaFunction` and `Activity`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The result.
    #[serde(default)]
    pub output: Value,
    /// The error name.
    #[serde(default)]
    pub error: Option<String>,
    /// The cause: a text, or JSON that stands for its text.
    #[serde(default)]
    pub cause: Option<Value>,
}

/// Replies by state, and objects by URL.
#[derive(Debug, Clone, Default)]
pub struct Mocks {
    replies: BTreeMap<String, VecDeque<Mock>>,
    objects: BTreeMap<String, Value>,
    /// What the execution wrote, by URL.
    pub written: BTreeMap<String, String>,
}

/// Why a run with mocks could not go on. The execution itself is not at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MockError {
    /// A state called and no reply is left for it.
    #[error("no reply is mocked for the state '{state}', which calls {resource}; add one to the mocks")]
    Unmocked {
        /// The state.
        state: String,
        /// What it calls.
        resource: String,
    },
    /// A reader asked for an object that is not there.
    #[error("no object is mocked at {url}, which the state '{state}' reads; add it under \"objects\"")]
    NoObject {
        /// The state.
        state: String,
        /// Where it reads.
        url: String,
    },
    /// The execution waits for a token or a job and nothing will answer it.
    #[error("the state '{state}' waits for ever: no mocked reply finishes it and it has no timeout")]
    Stuck {
        /// The state.
        state: String,
    },
    /// The mocks are not of the expected shape.
    #[error("the mocks are neither a list of replies nor an object with \"replies\" and \"objects\": {0}")]
    Shape(String),
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub ended: Ended,
    /// What happened.
    pub history: Vec<HistoryEvent>,
    /// The virtual time at the end.
    pub ended_at: Timestamp,
}

impl Mocks {
    /// Reads mocks: `[{after_state, type, output | error, cause}]`, or
    /// `{"replies": [...], "objects": {"s3://bucket/key": text or JSON}}`.
    pub fn parse(value: &Value) -> Result<Self, MockError> {
        let (replies, objects) = match value {
            Value::Array(_) => (Some(value), None),
            Value::Object(fields) => (fields.get("replies"), fields.get("objects")),
            _ => return Err(MockError::Shape(value.to_string())),
        };
        let replies = match replies {
            Some(replies) => {
                Vec::<Mock>::deserialize(replies).map_err(|error| MockError::Shape(error.to_string()))?
            }
            None => Vec::new(),
        };
        let mut mocks = Self::default();
        for reply in replies {
            mocks.replies.entry(reply.after_state.clone()).or_default().push_back(reply);
        }
        match objects {
            Some(Value::Object(objects)) => {
                mocks.objects = objects.iter().map(|(url, object)| (url.clone(), object.clone())).collect();
            }
            Some(other) => return Err(MockError::Shape(other.to_string())),
            None => {}
        }
        Ok(mocks)
    }

    /// Runs an execution to its end, or to `stop_at`, when it is aborted from outside.
    pub fn run(
        &mut self,
        definition: Arc<Definition>,
        context: Context,
        input: Value,
        started_at: Timestamp,
        stop_at: Option<Timestamp>,
        seed: u64,
    ) -> Result<Run, MockError> {
        let mut now = started_at;
        let mut execution = Execution::start(definition, context, input, now, seed);
        // Calls that only an alarm can end, by state, for the message when there is none.
        let mut waiting: BTreeMap<CallId, String> = BTreeMap::new();
        loop {
            while let Some(request) = execution.advance(now) {
                match request {
                    Request::Call(call) => {
                        for reply in self.replies_to(&call)? {
                            execution.handle(now, reply);
                        }
                        waiting.insert(call.id, call.state.to_string());
                    }
                    Request::Cancel { id } => {
                        waiting.remove(&id);
                    }
                    Request::Read { id, state, resource, arguments } => {
                        let content = self.object(&state, &resource, &arguments)?;
                        execution.handle(now, Reply::Returned(id, Ok(content)));
                    }
                    Request::Write { id, bucket, key, body, .. } => {
                        self.written.insert(format!("s3://{bucket}/{key}"), body);
                        execution.handle(now, Reply::Returned(id, Ok(Value::Null)));
                    }
                    Request::Ended(ended) => {
                        return Ok(Run { ended, history: execution.history().to_vec(), ended_at: now });
                    }
                }
            }
            match (execution.wakes_at(), stop_at) {
                (Some(at), Some(stop)) if at > stop => {
                    now = stop;
                    execution.handle(now, Reply::Abort(Failure { error: None, cause: None }));
                }
                (Some(at), _) => now = at.max(now),
                (None, _) => {
                    let state = waiting.into_values().last().unwrap_or_default();
                    return Err(MockError::Stuck { state });
                }
            }
        }
    }

    /// What the next recorded events of a state say about its call.
    fn replies_to(&mut self, call: &Call) -> Result<Vec<Reply>, MockError> {
        let unmocked =
            || MockError::Unmocked { state: call.state.to_string(), resource: call.resource.to_string() };
        let queue = self.replies.get_mut(&*call.state).ok_or_else(unmocked)?;
        let mut replies = Vec::new();
        loop {
            let Some(mock) = queue.pop_front() else {
                // A call that was submitted and never finished is waited for; its timeout may end it.
                return if replies.is_empty() { Err(unmocked()) } else { Ok(replies) };
            };
            if mock.event_type.ends_with("Submitted") {
                replies.push(Reply::Submitted(call.id, mock.output));
                continue;
            }
            let is_token = matches!(call.mode, Mode::WaitForTaskToken | Mode::Activity)
                && !replies.is_empty()
                || call.mode == Mode::Activity;
            let result = if mock.event_type.ends_with("Succeeded") {
                Ok(mock.output)
            } else if mock.event_type.ends_with("TimedOut") && call.timeout_seconds.is_some() {
                // The execution watches its own time limits.
                return Ok(replies);
            } else {
                Err(Failure { error: mock.error, cause: mock.cause.map(text) })
            };
            let is_token = is_token || (call.mode == Mode::WaitForTaskToken && result.is_ok());
            replies.push(if is_token {
                Reply::Answered(call.id, result)
            } else {
                Reply::Returned(call.id, result)
            });
            return Ok(replies);
        }
    }

    fn object(&self, state: &str, resource: &str, arguments: &Value) -> Result<Value, MockError> {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let bucket = text("Bucket");
        if resource.ends_with("listObjectsV2") {
            let prefix = format!("s3://{bucket}/{}", text("Prefix"));
            let root = format!("s3://{bucket}/");
            let found = self.objects.iter().filter(|(url, _)| url.starts_with(&prefix));
            let list = found.map(|(url, object)| {
                let size = content(object).as_str().map_or(0, str::len);
                serde_json::json!({"Key": url.trim_start_matches(&root), "Size": size})
            });
            return Ok(Value::Array(list.collect()));
        }
        let url = format!("s3://{bucket}/{}", text("Key"));
        match self.objects.get(&url) {
            Some(object) => Ok(content(object)),
            None => Err(MockError::NoObject { state: state.to_owned(), url }),
        }
    }
}

/// An object's text; one given as JSON stands for its text.
fn content(object: &Value) -> Value {
    match object {
        Value::String(_) => object.clone(),
        other => Value::String(other.to_string()),
    }
}

fn text(cause: Value) -> String {
    match cause {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
