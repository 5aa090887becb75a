//! Entering and leaving states, and what happens when one fails.

use std::sync::Arc;

use cauce_asl::{QueryLanguage, Retrier, error_name, limits};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::definition::{Kind, Node, PreparedCatcher, WaitNode, is_jittered};
use crate::history::{EventKind, StateType};
use crate::intrinsics::Random;
use crate::template::{Needs, Trouble};
use crate::{Failure, Status};

use super::data::{Assigned, Extra, place, plain, whole_number};
use super::flow::{FlowId, Phase};
use super::{Execution, Ring, after};

/// What AWS takes for fields a retrier leaves out.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
const DEFAULT_INTERVAL_SECONDS: u64 = 1;
pub(crate) const DEFAULT_MAX_ATTEMPTS: u64 = 3;
const DEFAULT_BACKOFF_RATE: f64 = 2.0;

impl Execution {
    /// Lets a flow take one step.
    pub(crate) fn step(&mut self, id: FlowId) {
        if !self.flows.lives(id) {
            return;
        }
        match std::mem::replace(&mut self.flows[id].phase, Phase::Enter) {
            Phase::Enter => self.enter(id),
            Phase::Backoff => self.attempt(id),
            Phase::Waiting(input) => self.wait_is_over(id, &input),
            Phase::Scheduled(call, state) => self.start_task(id, *call, state),
            // A flow that waits for something else is never in the queue.
            other => self.flows[id].phase = other,
        }
    }

    fn enter(&mut self, id: FlowId) {
        let now = self.now;
        let flow = &mut self.flows[id];
        let machine = Arc::clone(&flow.machine);
        let node = &machine.nodes[flow.state];
        flow.before_entered = flow.previous;
        flow.entered_at = now;
        flow.retry_count = 0;
        flow.retries.clear();
        flow.retries.resize(node.retry.len(), 0);
        let (name, input) = (Arc::clone(&node.name), Arc::clone(&flow.input));
        let event = self.record_on(id, EventKind::StateEntered { state_type: node.state_type, name, input });
        self.flows[id].entered = event;
        self.attempt(id);
    }

    fn attempt(&mut self, id: FlowId) {
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        if let Err(trouble) = self.run(id, node) {
            self.trouble(id, node, &trouble);
        }
    }

    pub(crate) fn run(&mut self, id: FlowId, node: &Node) -> Result<(), Trouble> {
        match &node.kind {
            Kind::Task(task) => self.call(id, node, task),
            Kind::Pass { result } => {
                let result = match result {
                    Some(result) if node.language == QueryLanguage::JSONPath => Arc::clone(result),
                    _ => self.arguments(id, &node.io)?,
                };
                self.complete(id, node, result)
            }
            Kind::Choice { rules, default } => self.choose(id, node, rules, *default),
            Kind::Wait(wait) => self.wait(id, node, wait),
            Kind::Succeed => {
                let raw = Arc::clone(&self.flows[id].input);
                let input = self.select(id, &node.io.input_path, &raw)?;
                let (output, assigned) =
                    self.output_without_result(id, node, &input, node.io.output.as_ref(), None)?;
                self.leave(id, node, output, &assigned, None);
                Ok(())
            }
            Kind::Fail { error, cause } => {
                let input = Arc::clone(&self.flows[id].input);
                let mut text =
                    |payload: &Option<crate::template::Payload>| -> Result<Option<String>, Trouble> {
                        let Some(payload) = payload else { return Ok(None) };
                        let value = self.render(id, payload, &input, Extra::default())?;
                        Ok(Some(plain(&value).into_owned()))
                    };
                let failure = Failure { error: text(error)?, cause: text(cause)? };
                self.fail_flow(id, failure);
                Ok(())
            }
            Kind::Parallel { branches } => self.fork_branches(id, node, branches),
            Kind::Map(map) => self.start_map(id, node, map),
        }
    }

    /// A state has its result: it is placed, checked, and the flow goes on.
    pub(crate) fn complete(&mut self, id: FlowId, node: &Node, result: Arc<Value>) -> Result<(), Trouble> {
        let (output, assigned) = self.output_of(id, node, result)?;
        self.leave(id, node, output, &assigned, node.next);
        Ok(())
    }

    /// As [`Execution::complete`], for results that arrive later: its troubles are the state's.
    pub(crate) fn complete_later(&mut self, id: FlowId, result: Arc<Value>) {
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        if let Err(trouble) = self.complete(id, node, result) {
            self.trouble(id, node, &trouble);
        }
    }

    /// Leaves a state for the next one, or ends the flow.
    pub(crate) fn leave(
        &mut self,
        id: FlowId,
        node: &Node,
        output: Arc<Value>,
        assigned: &Assigned,
        next: Option<usize>,
    ) {
        if let Err(failure) = self.check_size(id, &output) {
            return self.handle_failure(id, node, failure);
        }
        self.assign(id, assigned);
        let exited = EventKind::StateExited {
            state_type: node.state_type,
            name: Arc::clone(&node.name),
            output: Arc::clone(&output),
            assigned: assigned.clone(),
        };
        self.record_on(id, exited);
        let flow = &mut self.flows[id];
        flow.token = None;
        flow.phase = Phase::Enter;
        match next {
            Some(next) => {
                flow.state = next;
                flow.input = output;
                self.ready.push_back(id);
            }
            None if flow.parent.is_some() => self.child_succeeded(id, output),
            None => self.end(Status::Succeeded, Some(output), Failure { error: None, cause: None }),
        }
    }

    /// A field could not be evaluated.
    pub(crate) fn trouble(&mut self, id: FlowId, node: &Node, trouble: &Trouble) {
        let failure = self.failure_of(id, trouble);
        if trouble.error == error_name::QUERY_EVALUATION_ERROR {
            // Recorded on AWS: the event follows the one before the state was entered, unless the value
            // that is wrong is an instant to wait for.
            let flow = &self.flows[id];
            let is_instant = trouble.location.as_deref() == Some("Timestamp");
            let before = if is_instant { flow.previous } else { flow.before_entered };
            let scope = flow.scope;
            let event = EventKind::EvaluationFailed {
                failure: failure.clone(),
                location: trouble.location.clone(),
                state: Arc::clone(&node.name),
            };
            self.flows[id].previous = self.record(scope, before, event);
        }
        self.handle_failure(id, node, failure);
    }

    /// Retries, catches, or fails the flow.
    pub(crate) fn handle_failure(&mut self, id: FlowId, node: &Node, failure: Failure) {
        if self.retries(id, node, &failure) {
            return;
        }
        let is_runtime = failure.error.as_deref() == Some(error_name::RUNTIME);
        match node.state_type {
            StateType::Parallel if !is_runtime => {
                self.record_on(id, EventKind::ParallelStateFailed);
            }
            StateType::Map if !is_runtime => {
                self.record_on(id, EventKind::MapStateFailed);
            }
            _ => {}
        }
        let Some(catcher) = node.catch.iter().find(|catcher| failure.is_served_by(&catcher.names)) else {
            return self.fail_flow(id, failure);
        };
        match self.caught(id, node, catcher, &failure) {
            Ok((output, assigned)) => self.leave(id, node, output, &assigned, Some(catcher.next)),
            Err(trouble) => {
                let failure = self.failure_of(id, &trouble);
                self.fail_flow(id, failure);
            }
        }
    }

    /// What a catcher passes on and sets.
    pub(crate) fn caught(
        &mut self,
        id: FlowId,
        node: &Node,
        catcher: &PreparedCatcher,
        failure: &Failure,
    ) -> Result<(Arc<Value>, Assigned), Trouble> {
        let raw = Arc::clone(&self.flows[id].input);
        let error_output = Arc::new(failure.output());
        let extra = Extra { error_output: Some(&error_output), ..Extra::default() };
        match node.language {
            QueryLanguage::JSONata => {
                let assigned = self.assigned(id, catcher.assign.as_ref(), &raw, extra)?;
                let output = match &catcher.output {
                    Some(payload) => self.render(id, payload, &raw, extra)?,
                    None => Arc::clone(&error_output),
                };
                Ok((output, assigned))
            }
            QueryLanguage::JSONPath => {
                let assigned = self.assigned(id, catcher.assign.as_ref(), &error_output, extra)?;
                Ok((place(&catcher.result_path, &raw, Arc::clone(&error_output))?, assigned))
            }
        }
    }

    /// Whether the first retrier that serves the error has an attempt left; then it is waited for.
    fn retries(&mut self, id: FlowId, node: &Node, failure: &Failure) -> bool {
        let found = node.retry.iter().position(|retrier| failure.is_served_by(&retrier.error_equals));
        let Some(index) = found else { return false };
        let retrier = &node.retry[index];
        let used = self.flows[id].retries[index];
        if used >= retrier.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS) {
            return false;
        }
        let delay = self.delay(retrier, used);
        let flow = &mut self.flows[id];
        flow.retries[index] += 1;
        flow.retry_count += 1;
        flow.token = None;
        flow.phase = Phase::Backoff;
        let at = self.now.checked_add(delay).unwrap_or(Timestamp::MAX);
        self.set_flow_alarm(id, at, Ring::Resume);
        true
    }

    /// The pause before the retry after `used` retries.
    pub(crate) fn delay(&mut self, retrier: &Retrier, used: u64) -> SignedDuration {
        let interval = retrier.interval_seconds.unwrap_or(DEFAULT_INTERVAL_SECONDS) as f64;
        let rate = retrier.backoff_rate.unwrap_or(DEFAULT_BACKOFF_RATE);
        let exponent = i32::try_from(used).unwrap_or(i32::MAX);
        let longest = retrier.max_delay_seconds.map_or(limits::EXECUTION_SECONDS as f64, |most| most as f64);
        let mut seconds = (interval * rate.powi(exponent)).min(longest);
        if is_jittered(retrier) {
            seconds *= self.rng.unit();
        }
        SignedDuration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(SignedDuration::ZERO)
    }

    /// Nothing in this flow serves the failure.
    pub(crate) fn fail_flow(&mut self, id: FlowId, failure: Failure) {
        if self.flows[id].parent.is_some() {
            self.child_failed(id, failure);
        } else {
            self.end(Status::Failed, None, failure);
        }
    }

    fn wait(&mut self, id: FlowId, node: &Node, wait: &WaitNode) -> Result<(), Trouble> {
        let raw = Arc::clone(&self.flows[id].input);
        let input = self.select(id, &node.io.input_path, &raw)?;
        let until = self.wait_until(id, wait, &input)?;
        if until > after(self.now, limits::WAIT_LONGEST_SECONDS) {
            return Err(Trouble::runtime("Wait state delay is too long."));
        }
        self.flows[id].phase = Phase::Waiting(input);
        self.set_flow_alarm(id, until, Ring::Resume);
        Ok(())
    }

    /// The causes are as recorded on AWS, save those of JSONata's `Seconds`.
    fn wait_until(&mut self, id: FlowId, wait: &WaitNode, input: &Value) -> Result<Timestamp, Trouble> {
        match wait {
            WaitNode::Seconds(amount) => {
                let amount = self.amount_of(id, amount, input)?;
                let seconds = match &amount {
                    Value::Number(number) => whole_number(number),
                    _ => None,
                };
                match seconds.map(u64::try_from) {
                    Some(Ok(seconds)) => Ok(after(self.now, seconds)),
                    _ => Err(Trouble::query(
                        format!("The Seconds field must be a non-negative integer but was: {amount}"),
                        Some("Seconds"),
                    )),
                }
            }
            WaitNode::SecondsPath { reference, text } => {
                let value = self.evaluate(
                    id,
                    Needs::of_reference(reference),
                    input,
                    Extra::default(),
                    |frame, _| Ok(frame.read(reference).unwrap_or(Value::Null)),
                )?;
                let Value::Number(number) = &value else {
                    return Err(Trouble::runtime(format!(
                        "The SecondsPath parameter does not reference an input value: {text}"
                    )));
                };
                match number.as_i64().map(u64::try_from) {
                    Some(Ok(seconds)) => Ok(after(self.now, seconds)),
                    Some(Err(_)) => Err(Trouble::runtime(format!(
                        "The SecondsPath parameter references a negative value: {text} == {value}"
                    ))),
                    None => Err(Trouble::runtime(format!(
                        "The SecondsPath parameter cannot be parsed as a long value: {text} == {value}"
                    ))),
                }
            }
            WaitNode::Timestamp(payload) => {
                let value = self.render(id, payload, input, Extra::default())?;
                timestamp(&value).ok_or_else(|| {
                    let message = format!(
                        "The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format \
                         string: {}",
                        plain(&value)
                    );
                    Trouble::query(message, Some("Timestamp"))
                })
            }
            WaitNode::TimestampPath { reference, text } => {
                let value = self.evaluate(
                    id,
                    Needs::of_reference(reference),
                    input,
                    Extra::default(),
                    |frame, _| Ok(frame.read(reference).unwrap_or(Value::Null)),
                )?;
                timestamp(&value).ok_or_else(|| {
                    Trouble::runtime(format!(
                        "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time \
                         format string: {text} == {}",
                        plain(&value)
                    ))
                })
            }
        }
    }

    fn amount_of(
        &mut self,
        id: FlowId,
        amount: &crate::definition::Amount,
        input: &Value,
    ) -> Result<Value, Trouble> {
        use crate::definition::Amount;
        match amount {
            Amount::Literal(number) => Ok(Value::Number(number.clone())),
            Amount::Expression { payload, .. } => {
                Ok((*self.render(id, payload, input, Extra::default())?).clone())
            }
            Amount::Path { .. } => Ok(Value::Null),
        }
    }

    pub(crate) fn wait_is_over(&mut self, id: FlowId, input: &Arc<Value>) {
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        let io = &node.io;
        match self.output_without_result(id, node, input, io.output.as_ref(), io.assign.as_ref()) {
            Ok((output, assigned)) => self.leave(id, node, output, &assigned, node.next),
            Err(trouble) => self.trouble(id, node, &trouble),
        }
    }
}

/// An instant as Step Functions accepts it: a date, `T`, a time with seconds, and an offset.
pub(crate) fn timestamp(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    // jiff also reads forms without the `T`, which Step Functions refuses.
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[10] != b'T' || bytes[13] != b':' {
        return None;
    }
    text.parse().ok()
}
