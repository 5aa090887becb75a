//! Distributed Map: child executions, items read from objects, batches, tolerated failures, written results.
//!
//! Source: <https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html>.

use std::collections::VecDeque;
use std::sync::Arc;

use cauce_asl::{error_name, limits};
use serde_json::{Map, Value, json};

use crate::definition::{Amount, Batcher, Kind, MapNode, Node, Writer};
use crate::history::EventKind;
use crate::intrinsics::Random;
use crate::items;
use crate::template::{Trouble, Variables};
use crate::{CallId, Failure, Request};

use super::data::{Extra, plain};
use super::flow::{Flow, FlowId, MapItem, Phase};
use super::fork::{ForkKind, map_items};
use super::{Execution, Scope, milliseconds};

/// What a distributed Map remembers while its child executions run.
#[derive(Debug)]
pub(crate) struct MapRun {
    /// The last part of the map run's ARN.
    name: String,
    arn: String,
    tolerance: Tolerance,
    length: usize,
    failed: usize,
    /// One record per child that ended, when a result writer wants them.
    records: Option<Records>,
}

/// What child executions left behind: `(has succeeded, record)`.
type Records = Vec<(bool, Value)>;

/// How many items may fail.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tolerance {
    pub(crate) count: Option<u64>,
    pub(crate) percentage: Option<f64>,
}

impl Tolerance {
    /// With neither limit set, nothing may fail. A limit that is set is not exceeded by meeting it.
    pub(crate) fn is_exceeded(self, failed: usize, length: usize) -> bool {
        let failed = failed as f64;
        match (self.count, self.percentage) {
            (None, None) => failed > 0.0,
            (count, percentage) => {
                count.is_some_and(|count| failed > count as f64)
                    || percentage.is_some_and(|percentage| failed * 100.0 > percentage * length.max(1) as f64)
            }
        }
    }
}

/// What is left to do once all child executions have ended and results are being written.
#[derive(Debug)]
pub(crate) struct Finish {
    pub(crate) call: CallId,
    /// `(key, body)` of the objects still to be written.
    objects: VecDeque<(String, String)>,
    bucket: String,
    resource: Arc<str>,
    result: Arc<Value>,
}

impl Execution {
    pub(crate) fn start_map_run(
        &mut self,
        id: FlowId,
        node: &Node,
        map: &MapNode,
        input: Arc<Value>,
    ) -> Result<(), Trouble> {
        let Some(reader) = &map.reader else {
            let items = self.items_of(id, node, map, &input)?;
            self.record_on(id, EventKind::MapStateStarted { length: items.len() });
            let tolerance = self.tolerance(id, map, &input)?;
            let run = self.map_run(id, map, tolerance);
            return self.run_items(id, map, items, input, run);
        };
        let arguments = self.render_optional(id, reader.arguments.as_ref(), &input)?;
        self.record_on(id, EventKind::MapStateStarted { length: 0 });
        self.tolerance(id, map, &input)?;
        if let Err(message) = self.max_items(id, map, &input)?.and_then(|_| items::check(&reader.config)) {
            let tolerance = Tolerance::default();
            self.map_run(id, map, tolerance);
            self.map_run_failed(id, node, Failure::new(error_name::ITEM_READER_FAILED, message));
            return Ok(());
        }
        let call = self.next_call(id);
        self.flows[id].phase = Phase::Reading { call, input };
        self.requests.push_back(Request::Read {
            id: call,
            state: Arc::clone(&node.name),
            resource: Arc::clone(&reader.resource),
            arguments: arguments.map_or(Value::Null, Arc::unwrap_or_clone),
        });
        Ok(())
    }

    fn map_run(&mut self, id: FlowId, map: &MapNode, tolerance: Tolerance) -> MapRun {
        let name = self.rng.uuid();
        let machine = self.context.state_machine_arn.replacen(":stateMachine:", ":mapRun:", 1);
        let label = map.label.clone().unwrap_or_else(|| self.rng.uuid());
        let arn = format!("{machine}/{label}:{name}");
        self.record_on(id, EventKind::MapRunStarted { map_run_arn: arn.clone() });
        let records = map.writer.is_some().then(Vec::new);
        MapRun { name, arn, tolerance, length: 0, failed: 0, records }
    }

    fn run_items(
        &mut self,
        id: FlowId,
        map: &MapNode,
        items: VecDeque<MapItem>,
        input: Arc<Value>,
        mut run: MapRun,
    ) -> Result<(), Trouble> {
        run.length = items.len();
        let items = match &map.batcher {
            Some(batcher) => self.batches(id, map, batcher, items, &input)?,
            None => items,
        };
        let cap = self.concurrency(id, map, &input, limits::DISTRIBUTED_MAP_CONCURRENCY)?;
        self.iterate(id, items, input, ForkKind::Distributed(Box::new(run)), cap)
    }

    /// The causes are as recorded on AWS.
    pub(crate) fn tolerance(
        &mut self,
        id: FlowId,
        map: &MapNode,
        input: &Value,
    ) -> Result<Tolerance, Trouble> {
        let count = self.whole(id, &map.tolerated_count, "ToleratedFailureCount", input)?;
        let percentage = match self.amount(id, &map.tolerated_percentage, input)? {
            None => None,
            Some(value) => {
                let number = match &value {
                    Value::Number(number) => number.as_f64(),
                    Value::String(text) => text.parse().ok(),
                    _ => None,
                };
                let Some(number) = number else {
                    let path = match &map.tolerated_percentage {
                        Some(Amount::Path { text, .. }) => format!(": {text}"),
                        _ => String::new(),
                    };
                    return Err(Trouble::runtime(format!(
                        "The ToleratedFailurePercentagePath field refers to value \"{}\" which is not a valid \
                         float{path}",
                        plain(&value)
                    )));
                };
                if !(0.0..=100.0).contains(&number) {
                    return Err(Trouble::runtime("ToleratedFailurePercentage must be between 0 and 100."));
                }
                Some(number)
            }
        };
        Ok(Tolerance { count, percentage })
    }

    pub(crate) fn items_were_read(&mut self, id: FlowId, result: Result<Value, Failure>) {
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        let Phase::Reading { call, input } = std::mem::replace(&mut self.flows[id].phase, Phase::Enter)
        else {
            return;
        };
        self.calls.remove(&call);
        let Kind::Map(map) = &node.kind else { return };
        if let Err(trouble) = self.run_read_items(id, node, map, input, result) {
            self.trouble(id, node, &trouble);
        }
    }

    fn run_read_items(
        &mut self,
        id: FlowId,
        node: &Node,
        map: &MapNode,
        input: Arc<Value>,
        result: Result<Value, Failure>,
    ) -> Result<(), Trouble> {
        let Some(reader) = &map.reader else { return Ok(()) };
        let tolerance = self.tolerance(id, map, &input)?;
        let max_items = self.max_items(id, map, &input)?;
        let run = self.map_run(id, map, tolerance);
        let items = match (max_items, result) {
            (Ok(max_items), Ok(content)) => items::read(&reader.config, max_items, content),
            (Err(message), _) => Err(message),
            (_, Err(failure)) => Err(failure.cause.or(failure.error).unwrap_or_default()),
        };
        match items {
            Ok(items) => self.run_items(id, map, map_items(Value::Array(items)), input, run),
            Err(message) => {
                self.map_run_failed(id, node, Failure::new(error_name::ITEM_READER_FAILED, message));
                Ok(())
            }
        }
    }

    /// How many items to take at most; the inner error is the reader's failure, not the state's.
    fn max_items(
        &mut self,
        id: FlowId,
        map: &MapNode,
        input: &Value,
    ) -> Result<Result<Option<u64>, String>, Trouble> {
        let Some(reader) = &map.reader else { return Ok(Ok(None)) };
        match self.whole(id, &reader.max_items, "MaxItems", input) {
            Ok(most) => Ok(Ok(most.filter(|most| *most > 0))),
            // Recorded on AWS.
            Err(trouble) if trouble.message == "MaxItems cannot be negative." => {
                Ok(Err("field MaxItems must be positive".to_owned()))
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn map_run_failed(&mut self, id: FlowId, node: &Node, failure: Failure) {
        self.record_on(id, EventKind::MapRunFailed(failure.clone()));
        self.handle_failure(id, node, failure);
    }

    /// Groups items: each batch is `{BatchInput, Items}`.
    /// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itembatcher.html>.
    fn batches(
        &mut self,
        id: FlowId,
        map: &MapNode,
        batcher: &Batcher,
        items: VecDeque<MapItem>,
        input: &Arc<Value>,
    ) -> Result<VecDeque<MapItem>, Trouble> {
        let batch_input = self.render_optional(id, batcher.batch_input.as_ref(), input)?;
        let max_items =
            self.whole(id, &batcher.max_items, "MaxItemsPerBatch", input)?.filter(|most| *most > 0);
        let max_bytes =
            self.whole(id, &batcher.max_bytes, "MaxInputBytesPerBatch", input)?.filter(|most| *most > 0);
        let max_items = max_items.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let max_bytes =
            max_bytes.and_then(|most| usize::try_from(most).ok()).unwrap_or(limits::PAYLOAD_BYTES);
        let batch = |items: Vec<Value>| {
            let mut batch = Map::new();
            if let Some(input) = &batch_input {
                batch.insert("BatchInput".to_owned(), (**input).clone());
            }
            batch.insert("Items".to_owned(), Value::Array(items));
            Value::Object(batch)
        };
        let overhead = batch(Vec::new()).to_string().len();
        let mut batches = Vec::new();
        let (mut group, mut bytes) = (Vec::new(), overhead);
        for item in items {
            let item = Arc::new(item);
            let value = match &map.selector {
                Some(selector) => {
                    self.with_item(id, &item, |this| this.render(id, selector, input, Extra::default()))?
                }
                None => Arc::clone(&item.value),
            };
            let size = value.to_string().len() + 1;
            if !group.is_empty() && (group.len() >= max_items || bytes + size > max_bytes) {
                batches.push(batch(std::mem::take(&mut group)));
                bytes = overhead;
            }
            bytes += size;
            drop(item);
            group.push(Arc::unwrap_or_clone(value));
        }
        if !group.is_empty() {
            batches.push(batch(group));
        }
        Ok(map_items(Value::Array(batches)))
    }

    /// The root flow of a child execution: its own context, its own event ids, no variables of its parent.
    pub(crate) fn child_execution(
        &mut self,
        id: FlowId,
        map: &MapNode,
        item: &Arc<MapItem>,
        input: Arc<Value>,
    ) -> Flow {
        let name = self.rng.uuid();
        let label = map
            .label
            .clone()
            .unwrap_or_else(|| self.flows[id].machine.nodes[self.flows[id].state].name.to_string());
        let kind = if map.is_express { "express" } else { "execution" };
        let prefix = self.context.state_machine_arn.replacen(":stateMachine:", &format!(":{kind}:"), 1);
        let context = json!({
            "Execution": {
                "Id": format!("{prefix}/{label}:{name}"),
                "Input": *input,
                "StartTime": milliseconds(self.now),
                "Name": name,
                "RoleArn": self.context.role_arn,
                "RedriveCount": 0,
            },
            "StateMachine": {
                "Id": format!("{}/{label}", self.context.state_machine_arn),
                "Name": format!("{}/{label}", self.context.state_machine_name),
            },
        });
        // The child's own ExecutionStarted is event 1.
        self.scopes.push(Scope { context, last_event: 1, is_given: false, is_recorded: false });
        let scope = self.scopes.len() - 1;
        let mut child = Flow::new(Arc::clone(&map.processor), input, Arc::new(Variables::new()), scope);
        child.item = Some(Arc::clone(item));
        child
    }

    /// Keeps a record of a child execution for the result writer, and forgets its context.
    pub(crate) fn child_execution_ended(
        &mut self,
        id: FlowId,
        flow: &Flow,
        outcome: Result<&Arc<Value>, &Failure>,
    ) {
        let context = std::mem::take(&mut self.scopes[flow.scope].context);
        let stopped_at = milliseconds(self.now);
        let Phase::Forked(fork) = &mut self.flows[id].phase else { return };
        let ForkKind::Distributed(run) = &mut fork.kind else { return };
        let Some(records) = &mut run.records else { return };
        let execution = &context["Execution"];
        let mut record = json!({
            "ExecutionArn": execution["Id"],
            "Input": execution["Input"].to_string(),
            "InputDetails": {"Included": true},
            "Name": execution["Name"],
        });
        if let Some(record) = record.as_object_mut() {
            match outcome {
                Ok(output) => {
                    record.insert("Output".to_owned(), json!(output.to_string()));
                    record.insert("OutputDetails".to_owned(), json!({"Included": true}));
                }
                Err(failure) => {
                    record.insert("Error".to_owned(), json!(failure.error));
                    record.insert("Cause".to_owned(), json!(failure.cause));
                }
            }
            record.insert("RedriveCount".to_owned(), json!(0));
            record.insert("StartDate".to_owned(), execution["StartTime"].clone());
            record.insert("StateMachineArn".to_owned(), context["StateMachine"]["Id"].clone());
            record.insert("Status".to_owned(), json!(if outcome.is_ok() { "SUCCEEDED" } else { "FAILED" }));
            record.insert("StopDate".to_owned(), json!(stopped_at));
        }
        records.push((outcome.is_ok(), record));
    }

    pub(crate) fn child_execution_failed(&mut self, id: FlowId, slot: usize, flow: &Flow, failure: Failure) {
        self.child_execution_ended(id, flow, Err(&failure));
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        let Phase::Forked(fork) = &mut self.flows[id].phase else { return };
        fork.children[slot] = None;
        let Some(run) = fork.run() else { return };
        run.failed += 1;
        if run.tolerance.is_exceeded(run.failed, run.length) {
            let last = self.flows[id].previous;
            self.abandon(id, last);
            let failure = threshold_exceeded();
            return self.map_run_failed(id, node, failure);
        }
        let last = self.flows[id].previous;
        self.iteration_ended(id, slot, Arc::new(failure.output()), last);
    }

    /// All child executions have ended, and few enough have failed.
    pub(crate) fn finish_map_run(&mut self, id: FlowId, mut run: MapRun, result: Arc<Value>) {
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        let Kind::Map(map) = &node.kind else { return };
        let (Some(writer), Some(records)) = (&map.writer, run.records.take()) else {
            return self.map_run_succeeded(id, result);
        };
        if let Err(trouble) = self.write_results(id, node, writer, &run, records, result) {
            self.trouble(id, node, &trouble);
        }
    }

    fn map_run_succeeded(&mut self, id: FlowId, result: Arc<Value>) {
        self.record_on(id, EventKind::MapRunSucceeded);
        self.record_aside(id, EventKind::MapStateSucceeded);
        self.complete_later(id, result);
    }

    /// Writes one object of the children that succeeded, one of those that failed, and the manifest.
    /// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html>.
    fn write_results(
        &mut self,
        id: FlowId,
        node: &Node,
        writer: &Writer,
        run: &MapRun,
        records: Records,
        result: Arc<Value>,
    ) -> Result<(), Trouble> {
        let Some(resource) = &writer.resource else {
            let outputs: Vec<Value> = match &*result {
                Value::Array(outputs) => outputs.clone(),
                _ => Vec::new(),
            };
            let result = transform(
                writer.transformation.as_deref(),
                records.into_iter().map(|(_, record)| record).collect(),
                outputs,
            );
            self.map_run_succeeded(id, Arc::new(Value::Array(result)));
            return Ok(());
        };
        let raw = Arc::clone(&self.flows[id].input);
        let input = self.select(id, &node.io.input_path, &raw)?;
        let arguments = self.render_optional(id, writer.arguments.as_ref(), &input)?;
        let text = |name: &str| {
            arguments.as_ref().and_then(|arguments| arguments[name].as_str()).unwrap_or_default().to_owned()
        };
        let (bucket, prefix) = (text("Bucket"), text("Prefix"));
        let folder = match prefix.trim_end_matches('/') {
            "" => run.name.clone(),
            prefix => format!("{prefix}/{}", run.name),
        };
        let manifest_key = format!("{folder}/manifest.json");
        let mut objects = VecDeque::new();
        let mut files = json!({"FAILED": [], "PENDING": [], "SUCCEEDED": []});
        let (succeeded, failed): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(has_succeeded, _)| *has_succeeded);
        for (status, records) in [("SUCCEEDED", succeeded), ("FAILED", failed)] {
            if records.is_empty() {
                continue;
            }
            let records: Vec<Value> = records.into_iter().map(|(_, record)| record).collect();
            let outputs = records.iter().map(output_of).collect();
            let body = serialize(writer, transform(writer.transformation.as_deref(), records, outputs));
            let extension = if writer.is_lines { "jsonl" } else { "json" };
            let key = format!("{folder}/{status}_0.{extension}");
            files[status] = json!([{"Key": key, "Size": body.len()}]);
            objects.push_back((key, body));
        }
        let manifest = json!({"DestinationBucket": bucket, "MapRunArn": run.arn, "ResultFiles": files});
        objects.push_back((manifest_key.clone(), manifest.to_string()));
        let result = json!({
            "MapRunArn": run.arn,
            "ResultWriterDetails": {"Bucket": bucket, "Key": manifest_key},
        });
        let call = self.next_call(id);
        let finish =
            Finish { call, objects, bucket, resource: Arc::clone(resource), result: Arc::new(result) };
        self.flows[id].phase = Phase::Writing(Box::new(finish));
        self.write_next(id);
        Ok(())
    }

    fn write_next(&mut self, id: FlowId) {
        let state = Arc::clone(&self.flows[id].machine.nodes[self.flows[id].state].name);
        let Phase::Writing(finish) = &mut self.flows[id].phase else { return };
        let Some((key, body)) = finish.objects.pop_front() else { return };
        self.requests.push_back(Request::Write {
            id: finish.call,
            state,
            resource: Arc::clone(&finish.resource),
            bucket: finish.bucket.clone(),
            key,
            body,
        });
    }

    pub(crate) fn result_was_written(&mut self, id: FlowId, call: CallId, result: Result<Value, Failure>) {
        self.calls.remove(&call);
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        let Phase::Writing(mut finish) = std::mem::replace(&mut self.flows[id].phase, Phase::Enter) else {
            return;
        };
        if let Err(failure) = result {
            let cause = failure.cause.or(failure.error).unwrap_or_default();
            return self.map_run_failed(id, node, Failure::new(error_name::RESULT_WRITER_FAILED, cause));
        }
        if finish.objects.is_empty() {
            return self.map_run_succeeded(id, finish.result);
        }
        finish.call = self.next_call(id);
        self.flows[id].phase = Phase::Writing(finish);
        self.write_next(id);
    }
}

impl super::fork::Fork {
    fn run(&mut self) -> Option<&mut MapRun> {
        match &mut self.kind {
            ForkKind::Distributed(run) => Some(run),
            _ => None,
        }
    }
}

/// The sentence is recorded on AWS, where a state is tested by itself.
pub(crate) fn threshold_exceeded() -> Failure {
    Failure::new(
        error_name::EXCEED_TOLERATED_FAILURE_THRESHOLD,
        "The specified tolerated failure threshold was exceeded",
    )
}

/// The output inside a record, as JSON.
fn output_of(record: &Value) -> Value {
    let text = record["Output"].as_str().unwrap_or("null");
    serde_json::from_str(text).unwrap_or_default()
}

fn transform(transformation: Option<&str>, records: Vec<Value>, outputs: Vec<Value>) -> Vec<Value> {
    match transformation {
        Some("COMPACT") => outputs,
        Some("FLATTEN") => outputs
            .into_iter()
            .flat_map(|output| match output {
                Value::Array(items) => items,
                other => vec![other],
            })
            .collect(),
        _ => records,
    }
}

fn serialize(writer: &Writer, results: Vec<Value>) -> String {
    if writer.is_lines {
        results.iter().map(|result| format!("{result}\n")).collect()
    } else {
        Value::Array(results).to_string()
    }
}
