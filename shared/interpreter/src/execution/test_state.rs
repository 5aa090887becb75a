//! One state run by itself, as the `TestState` API does it.
//!
//! Source: <https://docs.aws.amazon.com/step-functions/latest/apireference/API_TestState.html>. Which
//! steps of the data flow are shown for which type of state is as recorded on AWS.

use std::sync::Arc;

use cauce_asl::{Diagnostic, QueryLanguage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::definition::{Kind, MapNode, Node};
use crate::template::Trouble;
use crate::{Context, Definition, Failure};

use super::data::{Extra, place};
use super::distributed::threshold_exceeded;
use super::flow::FlowId;
use super::step::DEFAULT_MAX_ATTEMPTS;
use super::{Execution, Status};

/// What to test, in the shape of the API's request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestRequest {
    /// A state, or a machine with `state_name`.
    pub definition: Value,
    /// The state of the machine to test, wherever it is nested.
    #[serde(default)]
    pub state_name: Option<String>,
    /// The state's input.
    #[serde(default)]
    pub input: Value,
    /// What stands for the service, the branches or the iterations.
    #[serde(default)]
    pub mock: Option<TestMock>,
    /// The context object, as JSON or as its text, instead of one made up.
    #[serde(default)]
    pub context: Option<Value>,
    /// Variables that were assigned before, by name.
    #[serde(default)]
    pub variables: Map<String, Value>,
    /// What came before.
    #[serde(default)]
    pub state_configuration: Configuration,
    /// `INFO`, `DEBUG` or `TRACE`: `INFO` shows no steps.
    #[serde(default)]
    pub inspection_level: Option<String>,
}

/// Fields that the API takes as the text of JSON.
const TEXTS: [&str; 3] = ["definition", "input", "variables"];

/// Levels of [`TestRequest::inspection_level`].
const LEVELS: [&str; 3] = ["INFO", "DEBUG", "TRACE"];

impl TestRequest {
    /// Reads a request as the API takes it, in which definition, input and variables are the texts of JSON,
    /// or with JSON itself in their places. What only AWS can do with it (`roleArn`, `revealSecrets`) is not
    /// looked at.
    ///
    /// # Errors
    /// It is not such a request.
    pub fn read(mut request: Value) -> Result<Self, TestError> {
        for field in TEXTS {
            let Some(Value::String(text)) = request.get(field) else { continue };
            let read = serde_json::from_str(text)
                .map_err(|error| TestError::Request(format!("`{field}` is not JSON: {error}")))?;
            request[field] = read;
        }
        let read = Self::deserialize(request).map_err(|error| TestError::Request(error.to_string()))?;
        match read.inspection_level.as_deref() {
            Some(level) if !LEVELS.contains(&level) => Err(TestError::Request(format!(
                "`inspectionLevel` is '{level}'; it may be {}",
                LEVELS.join(", ")
            ))),
            _ => Ok(read),
        }
    }
}

/// What a Task, Parallel or Map state is given instead of running.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestMock {
    /// The result, as JSON text.
    #[serde(default)]
    pub result: Option<String>,
    /// The error.
    #[serde(default)]
    pub error_output: Option<MockedError>,
}

/// The error of a [`TestMock`].
#[derive(Debug, Clone, Deserialize)]
pub struct MockedError {
    /// The error name.
    #[serde(default)]
    error: Option<String>,
    /// What happened.
    #[serde(default)]
    cause: Option<String>,
}

/// What happened before the state is tested.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// How often the retrier that serves the error was used.
    #[serde(default)]
    retrier_retry_count: u64,
    /// How many iterations of a Map failed.
    #[serde(default)]
    map_iteration_failure_count: usize,
    /// What a Map's reader read, as JSON text.
    #[serde(default)]
    map_item_reader_data: Option<String>,
}

/// What came of it, in the shape of the API's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// How the state ended.
    pub status: TestStatus,
    /// What it passed on, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The error name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The state that would come next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_state: Option<String>,
    /// The steps of the data flow, each as JSON text.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub inspection_data: Map<String, Value>,
}

/// How a tested state ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TestStatus {
    /// With an output.
    Succeeded,
    /// With an error nothing serves.
    Failed,
    /// With an error that a retrier serves.
    Retriable,
    /// With an error that a catcher serves.
    CaughtError,
}

/// Why a state could not be tested at all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TestError {
    /// It is not a request.
    #[error("not a request of TestState: {0}")]
    Request(String),
    /// The definition has no such state, or is neither a state nor a machine.
    #[error("the definition has no state '{0}' to test")]
    NoState(String),
    /// The definition is wrong.
    #[error("the definition cannot run: {}", .0.iter().map(|found| found.message.as_str()).collect::<Vec<_>>().join("; "))]
    Definition(Vec<Diagnostic>),
    /// A Task, Parallel or Map state without a mock: nothing is called here.
    #[error(
        "the state '{0}' calls something and no \"mock\" stands for it; add mock.result or mock.errorOutput"
    )]
    NoMock(String),
    /// The mocked result is not JSON.
    #[error("mock.result is not JSON: {0}")]
    BadMock(String),
    /// The context object is not JSON.
    #[error("context is not JSON: {0}")]
    BadContext(String),
}

/// The name AWS gives a state that is tested without a machine.
const LONE_STATE: &str = "StateName";

/// Runs one state.
pub fn test_state(
    request: &TestRequest,
    context: Context,
    now: Timestamp,
    seed: u64,
) -> Result<TestResult, TestError> {
    let (name, definition) = machine_of(request)?;
    let definition = Arc::new(Definition::parse_value(&definition).map_err(TestError::Definition)?);
    let mut execution = Execution::start(Arc::clone(&definition), context, request.input.clone(), now, seed);
    if let Some(context) = &request.context {
        execution.scopes[0].is_given = true;
        execution.scopes[0].context = match context {
            Value::String(text) => {
                serde_json::from_str(text).map_err(|error| TestError::BadContext(error.to_string()))?
            }
            context => context.clone(),
        };
    } else if let Some(execution) = execution.scopes[0].context["Execution"].as_object_mut() {
        execution.shift_remove("RedriveCount");
    }
    let node = &definition.machine.nodes[definition.machine.start];
    let id = execution.ready.pop_front().ok_or_else(|| TestError::NoState(name.clone()))?;
    execution.flows[id].entered_at = now;
    let variables = request.variables.iter().map(|(name, value)| (name.clone(), Arc::new(value.clone())));
    execution.flows[id].variables = Arc::new(variables.collect());
    execution.flows[id].retries.resize(node.retry.len(), 0);
    let mut test = Test { request, execution, id, seen: Map::new() };
    test.show("input", &request.input);
    let mut result = match test.run(node, &name)? {
        Outcome::Passed { output, next } => test.result(
            TestStatus::Succeeded,
            Some(&output),
            None,
            next.map(|next| name_of(&definition, next)),
        ),
        Outcome::Failed(failure) => test.failed(node, failure, &definition),
    };
    if request.inspection_level.as_deref().is_none_or(|level| level == "INFO") {
        result.inspection_data.clear();
    }
    Ok(result)
}

enum Outcome {
    Passed { output: Arc<Value>, next: Option<usize> },
    Failed(Failure),
}

/// A test under way.
struct Test<'a> {
    request: &'a TestRequest,
    execution: Execution,
    id: FlowId,
    seen: Map<String, Value>,
}

impl Test<'_> {
    fn show(&mut self, step: &str, value: &Value) {
        self.seen.insert(step.to_owned(), json!(value.to_string()));
    }

    fn result(
        &mut self,
        status: TestStatus,
        output: Option<&Value>,
        failure: Option<Failure>,
        next_state: Option<String>,
    ) -> TestResult {
        let (error, cause) = failure.map_or((None, None), |failure| (failure.error, failure.cause));
        let inspection_data = std::mem::take(&mut self.seen);
        TestResult { status, output: output.map(Value::to_string), error, cause, next_state, inspection_data }
    }

    fn run(&mut self, node: &Node, name: &str) -> Result<Outcome, TestError> {
        let mocked = match &node.kind {
            Kind::Task(_) | Kind::Parallel { .. } | Kind::Map(_) => {
                let mock = self.request.mock.as_ref().ok_or_else(|| TestError::NoMock(name.to_owned()))?;
                Some(mocked(mock, name)?)
            }
            _ => None,
        };
        Ok(self.flow(node, mocked).unwrap_or_else(|trouble| {
            // Unlike in an execution, the cause does not say in which state it happened.
            Outcome::Failed(Failure::new(trouble.error, trouble.message))
        }))
    }

    fn flow(&mut self, node: &Node, mocked: Option<Result<Value, Failure>>) -> Result<Outcome, Trouble> {
        let id = self.id;
        let raw = Arc::clone(&self.execution.flows[id].input);
        let is_jsonpath = node.language == QueryLanguage::JSONPath;
        let input = self.execution.select(id, &node.io.input_path, &raw)?;
        let has_constant = matches!(node.kind, Kind::Pass { result: Some(_) });
        if is_jsonpath && !has_constant && !matches!(node.kind, Kind::Parallel { .. }) {
            self.show("afterInputPath", &input);
        }
        let result = match (&node.kind, mocked) {
            (Kind::Pass { result }, _) => match result {
                Some(result) if is_jsonpath => {
                    self.show("result", result);
                    Arc::clone(result)
                }
                _ => self.arguments(node, is_jsonpath)?,
            },
            (Kind::Task(_), Some(mocked)) => {
                self.arguments(node, is_jsonpath)?;
                match mocked {
                    Ok(result) => {
                        self.show("result", &result);
                        Arc::new(result)
                    }
                    Err(failure) => return Ok(Outcome::Failed(failure)),
                }
            }
            (Kind::Map(map), Some(mocked)) => {
                let is_exceeded = self.iterate(node, map, &input, is_jsonpath)?;
                match mocked {
                    Err(failure) => return Ok(Outcome::Failed(failure)),
                    Ok(_) if is_exceeded => return Ok(Outcome::Failed(threshold_exceeded())),
                    Ok(result) => Arc::new(result),
                }
            }
            (_, Some(mocked)) => {
                self.execution.arguments(id, &node.io)?;
                match mocked {
                    Ok(result) => Arc::new(result),
                    Err(failure) => return Ok(Outcome::Failed(failure)),
                }
            }
            _ => return self.without_result(node),
        };
        let output = self.place(node, &raw, result, is_jsonpath)?;
        Ok(Outcome::Passed { output, next: node.next })
    }

    fn arguments(&mut self, node: &Node, is_jsonpath: bool) -> Result<Arc<Value>, Trouble> {
        let arguments = self.execution.arguments(self.id, &node.io)?;
        if is_jsonpath {
            self.show("afterParameters", &arguments);
        } else if node.io.arguments.is_some() {
            self.show("afterArguments", &arguments);
        }
        Ok(arguments)
    }

    /// Looks at what a Map would iterate over; yields whether more iterations failed than it tolerates.
    fn iterate(
        &mut self,
        node: &Node,
        map: &MapNode,
        input: &Arc<Value>,
        is_jsonpath: bool,
    ) -> Result<bool, Trouble> {
        let id = self.id;
        let length = match &self.request.state_configuration.map_item_reader_data {
            Some(read) => serde_json::from_str::<Vec<Value>>(read).map_or(0, |items| items.len()),
            None if map.reader.is_some() => 0,
            None => {
                let items = self.execution.items_of(id, node, map, input)?;
                if is_jsonpath {
                    let items: Vec<&Value> = items.iter().map(|item| &*item.value).collect();
                    self.show("afterItemsPath", &json!(items));
                }
                items.len()
            }
        };
        let concurrency = self.execution.whole(id, &map.max_concurrency, "MaxConcurrency", input)?;
        self.seen.insert("maxConcurrency".to_owned(), json!(concurrency.unwrap_or(0)));
        let tolerance = self.execution.tolerance(id, map, input)?;
        if let Some(count) = tolerance.count {
            self.seen.insert("toleratedFailureCount".to_owned(), json!(count));
        }
        if let Some(percentage) = tolerance.percentage {
            self.seen.insert("toleratedFailurePercentage".to_owned(), json!(percentage));
        }
        // Recorded on AWS: here a Map that names no tolerance is not failed by iterations.
        let is_set = tolerance.count.is_some() || tolerance.percentage.is_some();
        Ok(is_set
            && tolerance.is_exceeded(self.request.state_configuration.map_iteration_failure_count, length))
    }

    fn place(
        &mut self,
        node: &Node,
        raw: &Arc<Value>,
        result: Arc<Value>,
        is_jsonpath: bool,
    ) -> Result<Arc<Value>, Trouble> {
        if !is_jsonpath {
            return self.execution.output_of(self.id, node, result).map(|(output, _)| output);
        }
        let selected = match &node.io.result_selector {
            Some(payload) => self.execution.render(self.id, payload, &result, Extra::default())?,
            None => result,
        };
        self.show("afterResultSelector", &selected);
        let placed = place(&node.io.result_path, raw, selected)?;
        self.show("afterResultPath", &placed);
        self.execution.select(self.id, &node.io.output_path, &placed)
    }

    /// States that produce no result run as they are.
    fn without_result(&mut self, node: &Node) -> Result<Outcome, Trouble> {
        let id = self.id;
        let before = self.execution.flows[id].state;
        if let Kind::Wait(_) = node.kind {
            // Nobody waits in a test.
            let raw = Arc::clone(&self.execution.flows[id].input);
            let input = self.execution.select(id, &node.io.input_path, &raw)?;
            self.execution.wait_is_over(id, &input);
        } else {
            self.execution.run(id, node)?;
        }
        match &self.execution.ended {
            Some(ended) if ended.status == Status::Succeeded => {
                Ok(Outcome::Passed { output: ended.output.clone().unwrap_or_default(), next: None })
            }
            Some(ended) => {
                Ok(Outcome::Failed(Failure { error: ended.error.clone(), cause: ended.cause.clone() }))
            }
            None => {
                let flow = &self.execution.flows[id];
                let next = (flow.state != before || node.next == Some(before)).then_some(flow.state);
                Ok(Outcome::Passed { output: Arc::clone(&flow.input), next })
            }
        }
    }

    /// Says what a failure would lead to: a retry, a catcher, or the end.
    fn failed(&mut self, node: &Node, failure: Failure, definition: &Definition) -> TestResult {
        let mut details = Map::new();
        let retrier = node.retry.iter().position(|retrier| failure.is_served_by(&retrier.error_equals));
        if let Some(index) = retrier {
            let used = self.request.state_configuration.retrier_retry_count;
            details.insert("retryIndex".to_owned(), json!(index));
            if used < node.retry[index].max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS) {
                let delay = self.execution.delay(&node.retry[index], used);
                details.insert("retryBackoffIntervalSeconds".to_owned(), json!(delay.as_secs()));
                self.seen.insert("errorDetails".to_owned(), Value::Object(details));
                return self.result(TestStatus::Retriable, None, Some(failure), None);
            }
        }
        let catcher = node.catch.iter().position(|catcher| failure.is_served_by(&catcher.names));
        if let Some(index) = catcher {
            details.insert("catchIndex".to_owned(), json!(index));
        }
        if !details.is_empty() {
            self.seen.insert("errorDetails".to_owned(), Value::Object(details));
        }
        let Some(catcher) = catcher.map(|index| &node.catch[index]) else {
            return self.result(TestStatus::Failed, None, Some(failure), None);
        };
        match self.execution.caught(self.id, node, catcher, &failure) {
            Ok((output, _)) => {
                let next = name_of(definition, catcher.next);
                self.result(TestStatus::CaughtError, Some(&output), Some(failure), Some(next))
            }
            Err(trouble) => {
                let failure = Failure::new(trouble.error, trouble.message);
                self.result(TestStatus::Failed, None, Some(failure), None)
            }
        }
    }
}

fn mocked(mock: &TestMock, name: &str) -> Result<Result<Value, Failure>, TestError> {
    match (&mock.result, &mock.error_output) {
        (_, Some(error)) => Ok(Err(Failure { error: error.error.clone(), cause: error.cause.clone() })),
        (Some(text), None) => {
            serde_json::from_str(text).map(Ok).map_err(|error| TestError::BadMock(error.to_string()))
        }
        (None, None) => Err(TestError::NoMock(name.to_owned())),
    }
}

fn name_of(definition: &Definition, state: usize) -> String {
    definition.machine.nodes[state].name.to_string()
}

/// A machine that begins with the state to test; what it leads to merely exists.
fn machine_of(request: &TestRequest) -> Result<(String, Value), TestError> {
    let definition = &request.definition;
    let (name, state) = match &request.state_name {
        Some(name) => (name.clone(), find(definition, name)),
        None if definition.get("States").is_some() => {
            let start = definition["StartAt"].as_str().unwrap_or_default();
            (start.to_owned(), find(definition, start))
        }
        None => (LONE_STATE.to_owned(), Some(definition)),
    };
    let state = state.ok_or_else(|| TestError::NoState(name.clone()))?;
    let mut states = Map::new();
    states.insert(name.clone(), state.clone());
    let rules =
        ["Choices", "Catch"].into_iter().flat_map(|field| state[field].as_array().into_iter().flatten());
    let targets = rules.map(|rule| &rule["Next"]).chain([&state["Next"], &state["Default"]]);
    for target in targets.filter_map(Value::as_str) {
        states.entry(target).or_insert_with(|| json!({"Type": "Succeed"}));
    }
    let mut machine = json!({"StartAt": name, "States": states});
    if let Some(language) = definition.get("QueryLanguage").filter(|_| definition.get("States").is_some()) {
        machine["QueryLanguage"] = language.clone();
    }
    Ok((name, machine))
}

/// The state of this name, however deep it is.
fn find<'a>(definition: &'a Value, name: &str) -> Option<&'a Value> {
    match definition {
        Value::Object(fields) => {
            let here = fields.get("States").and_then(|states| states.get(name));
            here.or_else(|| fields.values().find_map(|value| find(value, name)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}
