//! Task states: the call, its replies, its time limits.

use std::sync::Arc;

use cauce_asl::{error_name, limits};
use serde_json::Value;

use crate::definition::{Kind, Mode, Node, TaskNode};
use crate::history::{EventKind, Target};
use crate::intrinsics::Random;
use crate::protocol::Call;
use crate::template::{Payload, Trouble};
use crate::{CallId, Failure, Request};

use super::data::{Extra, is_within};
use super::flow::{CallState, FlowId, Phase};
use super::{Execution, Ring, after};

impl Execution {
    /// Calls a task's resource.
    pub(crate) fn call(&mut self, id: FlowId, node: &Node, task: &TaskNode) -> Result<(), Trouble> {
        let has_token = matches!(task.mode, Mode::WaitForTaskToken | Mode::Activity);
        // The token must exist before the arguments are rendered: they carry it.
        self.flows[id].token = has_token.then(|| self.rng.uuid());
        let raw = Arc::clone(&self.flows[id].input);
        let input = self.select(id, &node.io.input_path, &raw)?;
        let timeout_seconds = self.whole(id, &task.timeout, "TimeoutSeconds", &input)?;
        let heartbeat_seconds = self.whole(id, &task.heartbeat, "HeartbeatSeconds", &input)?;
        let credentials = self.render_optional(id, task.credentials.as_ref(), &input)?;
        let arguments = self.arguments(id, &node.io)?;
        let scheduled = EventKind::TaskScheduled {
            target: Arc::clone(&task.target),
            region: Arc::clone(&self.region),
            parameters: Arc::clone(&arguments),
            timeout_seconds,
            heartbeat_seconds,
        };
        self.record_on(id, scheduled);
        let call_id = self.next_call(id);
        let flow = &mut self.flows[id];
        let call = Call {
            id: call_id,
            state: Arc::clone(&node.name),
            resource: Arc::clone(&task.resource),
            arguments,
            mode: task.mode,
            token: flow.token.clone(),
            credentials,
            retry_count: flow.retry_count,
            timeout_seconds,
        };
        let state = CallState {
            id: call_id,
            heartbeat_seconds,
            alive_at: self.now,
            is_started: false,
            is_submitted: false,
        };
        // Recorded on AWS: what other branches schedule comes before this one starts.
        flow.phase = Phase::Scheduled(Box::new(call), state);
        self.ready.push_back(id);
        Ok(())
    }

    /// Makes the call that was scheduled; its time limits begin.
    pub(crate) fn start_task(&mut self, id: FlowId, call: Call, state: CallState) {
        let (timeout, heartbeat) = (call.timeout_seconds, state.heartbeat_seconds);
        self.flows[id].phase = Phase::Calling(state);
        // An activity starts when a worker takes its task.
        if call.mode != Mode::Activity {
            self.mark_started(id);
        }
        if let Some(seconds) = timeout {
            self.set_flow_alarm(id, after(self.now, seconds), Ring::Timeout);
        }
        if let Some(seconds) = heartbeat {
            self.set_flow_alarm(id, after(self.now, seconds), Ring::Heartbeat);
        }
        self.requests.push_back(Request::Call(call));
    }

    pub(crate) fn render_optional(
        &mut self,
        id: FlowId,
        payload: Option<&Payload>,
        input: &Value,
    ) -> Result<Option<Arc<Value>>, Trouble> {
        payload.map(|payload| self.render(id, payload, input, Extra::default())).transpose()
    }

    /// The target and mode of the task a flow is in.
    fn task_of(&self, id: FlowId) -> Option<(Arc<Target>, Mode)> {
        let flow = &self.flows[id];
        match &flow.machine.nodes[flow.state].kind {
            Kind::Task(task) => Some((Arc::clone(&task.target), task.mode)),
            _ => None,
        }
    }

    pub(crate) fn returned(&mut self, call: CallId, result: Result<Value, Failure>) {
        let Some(&id) = self.calls.get(&call) else { return };
        match &self.flows[id].phase {
            Phase::Reading { .. } => return self.items_were_read(id, result),
            Phase::Writing(_) => return self.result_was_written(id, call, result),
            _ => {}
        }
        match (self.task_of(id), result) {
            // The call with the token was delivered; the task goes on until somebody answers.
            (Some((_, Mode::WaitForTaskToken)), Ok(answer)) => self.submitted(call, answer),
            (_, result) => self.finish_task(id, result),
        }
    }

    pub(crate) fn submitted(&mut self, call: CallId, answer: Value) {
        let Some(&id) = self.calls.get(&call) else { return };
        let Some((target, _)) = self.task_of(id) else { return };
        let Phase::Calling(state) = &mut self.flows[id].phase else { return };
        if !std::mem::replace(&mut state.is_submitted, true) {
            self.record_on(id, EventKind::TaskSubmitted { target, output: Arc::new(answer) });
        }
    }

    pub(crate) fn activity_started(&mut self, call: CallId) {
        let Some(&id) = self.calls.get(&call) else { return };
        self.mark_started(id);
    }

    fn mark_started(&mut self, id: FlowId) {
        let Some((target, _)) = self.task_of(id) else { return };
        let now = self.now;
        let Phase::Calling(state) = &mut self.flows[id].phase else { return };
        if !std::mem::replace(&mut state.is_started, true) {
            // An activity's poll is its first sign of life.
            state.alive_at = now;
            self.record_on(id, EventKind::TaskStarted { target });
        }
    }

    pub(crate) fn answered(&mut self, call: CallId, result: Result<Value, Failure>) {
        let Some(&id) = self.calls.get(&call) else { return };
        self.finish_task(id, result);
    }

    fn finish_task(&mut self, id: FlowId, result: Result<Value, Failure>) {
        let Some((target, _)) = self.task_of(id) else { return };
        self.mark_started(id);
        self.release(id);
        self.flows[id].phase = Phase::Enter;
        match result {
            Ok(output) => {
                let output = Arc::new(output);
                if !is_within(&output, limits::PAYLOAD_BYTES) {
                    return self.task_failed(id, target, too_large(&self.resource_of(id)));
                }
                self.record_on(id, EventKind::TaskSucceeded { target, output: Arc::clone(&output) });
                self.complete_later(id, output);
            }
            Err(failure) => self.task_failed(id, target, failure),
        }
    }

    fn resource_of(&self, id: FlowId) -> String {
        let flow = &self.flows[id];
        match &flow.machine.nodes[flow.state].kind {
            Kind::Task(task) => task.resource.to_string(),
            _ => String::new(),
        }
    }

    fn task_failed(&mut self, id: FlowId, target: Arc<Target>, failure: Failure) {
        let is_timeout = failure.error.as_deref() == Some(error_name::TIMEOUT);
        let event = if is_timeout {
            EventKind::TaskTimedOut { target, failure: failure.clone() }
        } else {
            EventKind::TaskFailed { target, failure: failure.clone() }
        };
        self.record_on(id, event);
        self.fail_state(id, failure);
    }

    /// The state a flow is in has failed.
    pub(crate) fn fail_state(&mut self, id: FlowId, failure: Failure) {
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        self.handle_failure(id, node, failure);
    }

    /// Ends a task whose time is up. [`Execution::fail_state`] follows: several tasks
    /// may time out in the same instant, and AWS records them all before it acts on the first.
    pub(crate) fn task_timed_out(&mut self, id: FlowId, failure: &Failure) {
        let Some((target, _)) = self.task_of(id) else { return };
        let Phase::Calling(state) = &self.flows[id].phase else { return };
        self.requests.push_back(Request::Cancel { id: state.id });
        self.mark_started(id);
        self.release(id);
        self.flows[id].phase = Phase::Enter;
        self.record_on(id, EventKind::TaskTimedOut { target, failure: failure.clone() });
    }

    pub(crate) fn heartbeat(&mut self, call: CallId) {
        let Some(&id) = self.calls.get(&call) else { return };
        let now = self.now;
        if let Phase::Calling(state) = &mut self.flows[id].phase {
            state.alive_at = now;
        }
    }

    /// Whether a task has been silent for too long. The alarm was set for the oldest possible silence; a
    /// later sign of life moves it.
    pub(crate) fn is_silent(&mut self, id: FlowId) -> bool {
        let Phase::Calling(state) = &self.flows[id].phase else { return false };
        let Some(seconds) = state.heartbeat_seconds else { return false };
        let silent_until = after(state.alive_at, seconds);
        if silent_until > self.now {
            self.set_flow_alarm(id, silent_until, Ring::Heartbeat);
            return false;
        }
        true
    }
}

fn too_large(resource: &str) -> Failure {
    Failure::new(
        error_name::DATA_LIMIT_EXCEEDED,
        format!(
            "The state/task '{resource}' returned a result with a size exceeding the maximum number of bytes service \
             limit."
        ),
    )
}
