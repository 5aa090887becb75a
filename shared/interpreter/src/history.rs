//! What happened, in the shape of `GetExecutionHistory`.
//!
//! Source: <https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html>.

use std::sync::Arc;

use cauce_asl::State;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Failure;

/// One event of an execution.
#[derive(Debug, Clone)]
pub struct HistoryEvent {
    /// From 1, without gaps; cause texts embed it.
    pub id: u64,
    /// The event before it on the same path through the machine; 0 for the first ones.
    pub previous_id: u64,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// The type of a state, for event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the state type of the same name")]
pub enum StateType {
    Task,
    Pass,
    Choice,
    Wait,
    Succeed,
    Fail,
    Parallel,
    Map,
}

/// What happened in an event.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant is the AWS event of the same name, each field its detail")]
pub enum EventKind {
    ExecutionStarted {
        input: Arc<Value>,
        role_arn: Arc<str>,
    },
    ExecutionSucceeded {
        output: Arc<Value>,
    },
    ExecutionFailed(Failure),
    ExecutionTimedOut,
    ExecutionAborted(Failure),
    /// `PassStateEntered` and its like.
    StateEntered {
        state_type: StateType,
        name: Arc<str>,
        input: Arc<Value>,
    },
    /// `PassStateExited` and its like.
    StateExited {
        state_type: StateType,
        name: Arc<str>,
        output: Arc<Value>,
        assigned: Option<Arc<Map<String, Value>>>,
    },
    /// `TaskStateAborted` and its like.
    StateAborted {
        state_type: StateType,
    },
    EvaluationFailed {
        failure: Failure,
        location: Option<String>,
        state: Arc<str>,
    },
    TaskScheduled {
        target: Arc<Target>,
        region: Arc<str>,
        parameters: Arc<Value>,
        timeout_seconds: Option<u64>,
        heartbeat_seconds: Option<u64>,
    },
    TaskStarted {
        target: Arc<Target>,
    },
    TaskSubmitted {
        target: Arc<Target>,
        output: Arc<Value>,
    },
    TaskSucceeded {
        target: Arc<Target>,
        output: Arc<Value>,
    },
    TaskFailed {
        target: Arc<Target>,
        failure: Failure,
    },
    TaskTimedOut {
        target: Arc<Target>,
        failure: Failure,
    },
    ParallelStateStarted,
    ParallelStateSucceeded,
    ParallelStateFailed,
    MapStateStarted {
        length: usize,
    },
    MapStateSucceeded,
    MapStateFailed,
    MapIterationStarted {
        name: Arc<str>,
        index: usize,
    },
    MapIterationSucceeded {
        name: Arc<str>,
        index: usize,
    },
    MapIterationFailed {
        name: Arc<str>,
        index: usize,
    },
    MapIterationAborted {
        name: Arc<str>,
        index: usize,
    },
    MapRunStarted {
        map_run_arn: String,
    },
    MapRunSucceeded,
    MapRunFailed(Failure),
}

/// What a task calls, as the history names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A Lambda function named by its ARN: `LambdaFunction...` events.
    Lambda {
        /// The function's ARN.
        arn: String,
    },
    /// An activity: `Activity...` events.
    Activity {
        /// The activity's ARN.
        arn: String,
    },
    /// A service integration: `Task...` events.
    Service {
        /// For example `sqs` or `aws-sdk:s3`.
        resource_type: String,
        /// For example `sendMessage.waitForTaskToken`.
        resource: String,
    },
}

impl Target {
    /// Reads a `Resource` field.
    pub fn of_resource(resource: &str) -> Self {
        if let Some((_, service)) =
            resource.strip_prefix("arn:").and_then(|rest| rest.split_once(":states:::"))
        {
            // The version in `startExecution.sync:2` is no separator.
            let end = service.strip_suffix(":2").unwrap_or(service).rfind(':').unwrap_or(service.len());
            let (resource_type, action) = (&service[..end], service[end..].trim_start_matches(':'));
            return Self::Service { resource_type: resource_type.to_owned(), resource: action.to_owned() };
        }
        if resource.contains(":states:") && resource.contains(":activity:") {
            return Self::Activity { arn: resource.to_owned() };
        }
        Self::Lambda { arn: resource.to_owned() }
    }

    fn prefix(&self) -> &'static str {
        match self {
            Self::Lambda { .. } => "LambdaFunction",
            Self::Activity { .. } => "Activity",
            Self::Service { .. } => "Task",
        }
    }
}

impl StateType {
    /// The type of a state of a definition.
    pub fn of(state: &State) -> Self {
        match state {
            State::Task(_) => Self::Task,
            State::Pass(_) => Self::Pass,
            State::Choice(_) => Self::Choice,
            State::Wait(_) => Self::Wait,
            State::Succeed(_) => Self::Succeed,
            State::Fail(_) => Self::Fail,
            State::Parallel(_) => Self::Parallel,
            State::Map(_) => Self::Map,
        }
    }

    /// The type's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "Task",
            Self::Pass => "Pass",
            Self::Choice => "Choice",
            Self::Wait => "Wait",
            Self::Succeed => "Succeed",
            Self::Fail => "Fail",
            Self::Parallel => "Parallel",
            Self::Map => "Map",
        }
    }
}

impl HistoryEvent {
    /// The event's `type`, for example `TaskStateEntered`.
    pub fn event_type(&self) -> String {
        self.describe().0
    }

    /// The event as `GetExecutionHistory` returns it; `input` and `output` are JSON as text.
    pub fn to_json(&self) -> Value {
        let (event_type, details) = self.describe();
        let mut event = Map::new();
        event.insert("timestamp".to_owned(), json!(self.timestamp.to_string()));
        event.insert("type".to_owned(), json!(event_type));
        event.insert("id".to_owned(), json!(self.id));
        event.insert("previousEventId".to_owned(), json!(self.previous_id));
        if let Some((name, value)) = details {
            event.insert(name, value);
        }
        Value::Object(event)
    }

    fn describe(&self) -> (String, Option<(String, Value)>) {
        let plain = |name: &str| (name.to_owned(), None);
        let with = |name: &str, details: Value| (name.to_owned(), Some((details_field(name), details)));
        let task = |target: &Target, suffix: &str, details: Value| {
            let name = format!("{}{suffix}", target.prefix());
            let field = details_field(&name);
            (name, Some((field, merge(target_details(target), details))))
        };
        match &self.kind {
            EventKind::ExecutionStarted { input, role_arn } => {
                with("ExecutionStarted", json!({"input": input.to_string(), "roleArn": **role_arn}))
            }
            EventKind::ExecutionSucceeded { output } => {
                with("ExecutionSucceeded", json!({"output": output.to_string()}))
            }
            EventKind::ExecutionFailed(failure) => with("ExecutionFailed", failure_details(failure)),
            EventKind::ExecutionTimedOut => with("ExecutionTimedOut", json!({})),
            EventKind::ExecutionAborted(failure) => with("ExecutionAborted", failure_details(failure)),
            EventKind::StateEntered { state_type, name, input } => (
                format!("{}StateEntered", state_type.name()),
                Some((
                    "stateEnteredEventDetails".to_owned(),
                    json!({"name": **name, "input": input.to_string()}),
                )),
            ),
            EventKind::StateExited { state_type, name, output, assigned } => {
                let mut details = json!({"name": **name, "output": output.to_string()});
                if let (Some(assigned), Some(details)) = (assigned, details.as_object_mut()) {
                    let texts = assigned.iter().map(|(name, value)| (name.clone(), json!(value.to_string())));
                    details.insert("assignedVariables".to_owned(), Value::Object(texts.collect()));
                }
                (
                    format!("{}StateExited", state_type.name()),
                    Some(("stateExitedEventDetails".to_owned(), details)),
                )
            }
            EventKind::StateAborted { state_type } => plain(&format!("{}StateAborted", state_type.name())),
            EventKind::EvaluationFailed { failure, location, state } => {
                let mut details = failure_details(failure);
                if let Some(details) = details.as_object_mut() {
                    if let Some(location) = location {
                        details.insert("location".to_owned(), json!(location));
                    }
                    details.insert("state".to_owned(), json!(**state));
                }
                with("EvaluationFailed", details)
            }
            EventKind::TaskScheduled { target, region, parameters, timeout_seconds, heartbeat_seconds } => {
                let content = match **target {
                    Target::Service { .. } => {
                        json!({"region": **region, "parameters": parameters.to_string()})
                    }
                    Target::Lambda { ref arn } | Target::Activity { ref arn } => {
                        json!({"resource": arn, "input": parameters.to_string()})
                    }
                };
                let mut content = content;
                if let Some(content) = content.as_object_mut() {
                    for (name, seconds) in
                        [("timeoutInSeconds", timeout_seconds), ("heartbeatInSeconds", heartbeat_seconds)]
                    {
                        if let Some(seconds) = seconds {
                            content.insert(name.to_owned(), json!(seconds));
                        }
                    }
                }
                task(target, "Scheduled", content)
            }
            EventKind::TaskStarted { target } => match **target {
                Target::Lambda { .. } => plain("LambdaFunctionStarted"),
                _ => task(target, "Started", json!({})),
            },
            EventKind::TaskSubmitted { target, output } => {
                task(target, "Submitted", json!({"output": output.to_string()}))
            }
            EventKind::TaskSucceeded { target, output } => {
                task(target, "Succeeded", json!({"output": output.to_string()}))
            }
            EventKind::TaskFailed { target, failure } => task(target, "Failed", failure_details(failure)),
            EventKind::TaskTimedOut { target, failure } => task(target, "TimedOut", failure_details(failure)),
            EventKind::ParallelStateStarted => plain("ParallelStateStarted"),
            EventKind::ParallelStateSucceeded => plain("ParallelStateSucceeded"),
            EventKind::ParallelStateFailed => plain("ParallelStateFailed"),
            EventKind::MapStateStarted { length } => with("MapStateStarted", json!({"length": length})),
            EventKind::MapStateSucceeded => plain("MapStateSucceeded"),
            EventKind::MapStateFailed => plain("MapStateFailed"),
            EventKind::MapIterationStarted { name, index } => {
                with("MapIterationStarted", json!({"name": **name, "index": index}))
            }
            EventKind::MapIterationSucceeded { name, index } => {
                with("MapIterationSucceeded", json!({"name": **name, "index": index}))
            }
            EventKind::MapIterationFailed { name, index } => {
                with("MapIterationFailed", json!({"name": **name, "index": index}))
            }
            EventKind::MapIterationAborted { name, index } => {
                with("MapIterationAborted", json!({"name": **name, "index": index}))
            }
            EventKind::MapRunStarted { map_run_arn } => {
                with("MapRunStarted", json!({"mapRunArn": map_run_arn}))
            }
            EventKind::MapRunSucceeded => plain("MapRunSucceeded"),
            EventKind::MapRunFailed(failure) => with("MapRunFailed", failure_details(failure)),
        }
    }
}

/// `TaskFailed` has its details under `taskFailedEventDetails`.
fn details_field(event_type: &str) -> String {
    let (first, rest) = event_type.split_at(1);
    format!("{}{rest}EventDetails", first.to_ascii_lowercase())
}

fn target_details(target: &Target) -> Value {
    match target {
        Target::Service { resource_type, resource } => {
            json!({"resourceType": resource_type, "resource": resource})
        }
        Target::Lambda { .. } | Target::Activity { .. } => json!({}),
    }
}

fn failure_details(failure: &Failure) -> Value {
    let mut details = Map::new();
    for (name, text) in [("error", &failure.error), ("cause", &failure.cause)] {
        if let Some(text) = text {
            details.insert(name.to_owned(), json!(text));
        }
    }
    Value::Object(details)
}

fn merge(mut first: Value, second: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (first.as_object_mut(), second) {
        fields.extend(more);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_named_as_the_history_names_them() {
        let service = |resource_type: &str, resource: &str| Target::Service {
            resource_type: resource_type.to_owned(),
            resource: resource.to_owned(),
        };
        assert_eq!(
            Target::of_resource("arn:aws:states:::aws-sdk:s3:getObject"),
            service("aws-sdk:s3", "getObject")
        );
        assert_eq!(Target::of_resource("arn:aws:states:::ecs:runTask.sync"), service("ecs", "runTask.sync"));
        assert_eq!(
            Target::of_resource("arn:aws:states:::states:startExecution.sync:2"),
            service("states", "startExecution.sync:2")
        );
        let activity = "arn:aws:states:us-east-1:111111111111:activity:a";
        assert_eq!(Target::of_resource(activity), Target::Activity { arn: activity.to_owned() });
        let function = "arn:aws:lambda:us-east-1:111111111111:function:f";
        assert_eq!(Target::of_resource(function), Target::Lambda { arn: function.to_owned() });
    }
}
