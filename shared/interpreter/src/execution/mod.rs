//! One execution: a queue of paths through the machine, and the timers they wait for.
//!
//! A [`Flow`] is one path: the execution itself, a branch or an iteration. Flows that can go on stand
//! in a queue and each takes one state at a time, so that branches interleave as they do on AWS and
//! a machine of any length needs no stack. Everything a flow waits for is in its [`Phase`].

mod choice;
mod data;
mod distributed;
mod flow;
mod fork;
mod step;
mod task;
pub(crate) mod test_state;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cauce_asl::{error_name, limits};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::history::EventKind;
use crate::intrinsics::SplitMix;
use crate::template::Variables;
use crate::{CallId, Definition, Ended, Failure, HistoryEvent, Reply, Request, Status};

use flow::{Flow, FlowId, Flows, Phase};

/// What the host says about an execution; it appears in the context object.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The execution's ARN.
    pub execution_arn: String,
    /// Its name.
    pub execution_name: String,
    /// The role it runs as.
    pub role_arn: String,
    /// The state machine's ARN.
    pub state_machine_arn: String,
    /// Its name.
    pub state_machine_name: String,
}

impl Context {
    /// A context made of two names, in region `us-east-1` of the account of zeros.
    pub fn named(state_machine: &str, execution: &str) -> Self {
        let account = "us-east-1:000000000000";
        Self {
            execution_arn: format!("arn:aws:states:{account}:execution:{state_machine}:{execution}"),
            execution_name: execution.to_owned(),
            role_arn: "arn:aws:iam::000000000000:role/execution".to_owned(),
            state_machine_arn: format!("arn:aws:states:{account}:stateMachine:{state_machine}"),
            state_machine_name: state_machine.to_owned(),
        }
    }
}

/// One execution of a definition.
///
/// The host's loop: `start`; then call `advance` until it yields nothing, doing what it asks; then wait
/// for a reply or for `wakes_at`, tell it with `handle` (a passed time needs no call), and advance again.
#[derive(Debug)]
pub struct Execution {
    context: Context,
    region: Arc<str>,
    /// The execution, then one for each child execution of a distributed Map.
    scopes: Vec<Scope>,
    flows: Flows,
    ready: VecDeque<FlowId>,
    alarms: BTreeMap<(Timestamp, u64), Alarm>,
    alarms_set: u64,
    calls: BTreeMap<CallId, FlowId>,
    calls_made: u64,
    requests: VecDeque<Request>,
    history: Vec<HistoryEvent>,
    rng: SplitMix,
    now: Timestamp,
    ended: Option<Ended>,
}

/// What the context object and the event ids belong to.
#[derive(Debug)]
struct Scope {
    /// `Execution` and `StateMachine`; the rest is set before each use.
    context: Value,
    last_event: u64,
    /// A context object that was given whole is not added to.
    is_given: bool,
    /// Child executions count their events, which cause texts embed, but keep none.
    is_recorded: bool,
}

#[derive(Debug, Clone, Copy)]
enum Alarm {
    Flow(FlowId, Ring),
    ExecutionTimeout,
}

/// Why a flow's alarm was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ring {
    /// A Wait state or the pause before a retry is over.
    Resume,
    /// The task took too long.
    Timeout,
    /// The task may have been silent for too long.
    Heartbeat,
}

impl Execution {
    /// Begins an execution at `now`. Equal seeds, inputs and replies give equal executions.
    pub fn start(
        definition: Arc<Definition>,
        context: Context,
        input: Value,
        now: Timestamp,
        seed: u64,
    ) -> Self {
        let input = Arc::new(input);
        let region = context.execution_arn.split(':').nth(3).unwrap_or_default();
        let mut execution = Self {
            region: Arc::from(region),
            scopes: vec![Scope {
                context: json!({
                    "Execution": {
                        "Id": context.execution_arn,
                        "Input": *input,
                        "StartTime": milliseconds(now),
                        "Name": context.execution_name,
                        "RoleArn": context.role_arn,
                        "RedriveCount": 0,
                    },
                    "StateMachine": {"Id": context.state_machine_arn, "Name": context.state_machine_name},
                }),
                last_event: 0,
                is_given: false,
                is_recorded: true,
            }],
            flows: Flows::default(),
            ready: VecDeque::new(),
            alarms: BTreeMap::new(),
            alarms_set: 0,
            calls: BTreeMap::new(),
            calls_made: 0,
            requests: VecDeque::new(),
            history: Vec::new(),
            rng: SplitMix::new(seed),
            now,
            ended: None,
            context,
        };
        let role_arn = Arc::from(execution.context.role_arn.as_str());
        execution.record(0, 0, EventKind::ExecutionStarted { input: Arc::clone(&input), role_arn });
        if let Some(seconds) = definition.timeout_seconds {
            execution.set_alarm(after(now, seconds), Alarm::ExecutionTimeout);
        }
        let root = Flow::new(Arc::clone(&definition.machine), input, Arc::new(Variables::new()), 0);
        let root = execution.flows.insert(root);
        execution.ready.push_back(root);
        execution
    }

    /// Takes in what the host has to say. Follow it with [`Execution::advance`].
    pub fn handle(&mut self, now: Timestamp, reply: Reply) {
        self.set_now(now);
        if self.ended.is_some() {
            return;
        }
        // What was due before the reply arrived happens before it.
        self.ring_alarms();
        if self.ended.is_some() {
            return;
        }
        match reply {
            Reply::Returned(id, result) => self.returned(id, result),
            Reply::Submitted(id, answer) => self.submitted(id, answer),
            Reply::Started(id) => self.activity_started(id),
            Reply::Answered(id, result) => self.answered(id, result),
            Reply::Heartbeat(id) => self.heartbeat(id),
            Reply::Abort(failure) => self.end(Status::Aborted, None, failure),
        }
    }

    /// Goes on as far as possible and yields the next thing to do; nothing when all there is left is
    /// to wait. After [`Request::Ended`] it yields nothing.
    pub fn advance(&mut self, now: Timestamp) -> Option<Request> {
        self.set_now(now);
        loop {
            if let Some(request) = self.requests.pop_front() {
                return Some(request);
            }
            if self.ended.is_some() {
                return None;
            }
            if self.scopes[0].last_event + 1 >= limits::HISTORY_EVENTS as u64 {
                self.end(Status::Failed, None, history_is_full());
                continue;
            }
            self.ring_alarms();
            match self.ready.pop_front() {
                Some(flow) => self.step(flow),
                None if self.requests.is_empty() => return None,
                None => {}
            }
        }
    }

    /// When to call [`Execution::advance`] even if no reply arrives.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.alarms.first_key_value().map(|((at, _), _)| *at)
    }

    /// Every event so far, in the order of its ids.
    pub fn history(&self) -> &[HistoryEvent] {
        &self.history
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Time never runs backwards here, whatever the host's clock does.
    fn set_now(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    fn set_alarm(&mut self, at: Timestamp, alarm: Alarm) -> (Timestamp, u64) {
        self.alarms_set += 1;
        let key = (at, self.alarms_set);
        self.alarms.insert(key, alarm);
        key
    }

    fn set_flow_alarm(&mut self, id: FlowId, at: Timestamp, ring: Ring) {
        let key = self.set_alarm(at, Alarm::Flow(id, ring));
        self.flows[id].alarms.push(key);
    }

    fn ring_alarms(&mut self) {
        let mut timed_out = Vec::new();
        while let Some((&key, &alarm)) = self.alarms.first_key_value()
            && key.0 <= self.now
        {
            self.alarms.remove(&key);
            let Alarm::Flow(id, ring) = alarm else {
                return self.end(Status::TimedOut, None, Failure { error: None, cause: None });
            };
            self.flows[id].alarms.retain(|set| *set != key);
            let failure = match ring {
                Ring::Resume => {
                    self.ready.push_back(id);
                    continue;
                }
                Ring::Timeout => Failure::timeout(),
                Ring::Heartbeat if self.is_silent(id) => Failure::heartbeat_timeout(),
                Ring::Heartbeat => continue,
            };
            self.task_timed_out(id, &failure);
            timed_out.push((id, failure));
        }
        for (id, failure) in timed_out {
            if self.ended.is_none() && self.flows.lives(id) {
                self.fail_state(id, failure);
            }
        }
    }

    /// Forgets everything a flow waits for, telling the host to stop what it does for it.
    fn release(&mut self, id: FlowId) {
        for key in std::mem::take(&mut self.flows[id].alarms) {
            self.alarms.remove(&key);
        }
        if let Phase::Calling(call) | Phase::Scheduled(_, call) = &self.flows[id].phase {
            let call = call.id;
            self.calls.remove(&call);
        }
    }

    fn record(&mut self, scope: usize, previous_id: u64, kind: EventKind) -> u64 {
        let scope = &mut self.scopes[scope];
        scope.last_event += 1;
        let id = scope.last_event;
        if scope.is_recorded {
            self.history.push(HistoryEvent { id, previous_id, timestamp: self.now, kind });
        }
        id
    }

    /// Records an event on a flow's path: the next one there follows it.
    fn record_on(&mut self, id: FlowId, kind: EventKind) -> u64 {
        let (scope, previous) = (self.flows[id].scope, self.flows[id].previous);
        let event = self.record(scope, previous, kind);
        self.flows[id].previous = event;
        event
    }

    /// Ends the execution and everything in it.
    fn end(&mut self, status: Status, output: Option<Arc<Value>>, failure: Failure) {
        let previous = self.flows.root().map_or(0, |root| root.previous);
        let kind = match (status, &output) {
            (Status::Succeeded, Some(output)) => EventKind::ExecutionSucceeded { output: Arc::clone(output) },
            (Status::TimedOut, _) => EventKind::ExecutionTimedOut,
            (Status::Aborted, _) => EventKind::ExecutionAborted(failure.clone()),
            _ => EventKind::ExecutionFailed(failure.clone()),
        };
        // Recorded on AWS: what ends an execution from outside follows no event.
        let previous = if matches!(status, Status::Aborted | Status::TimedOut) { 0 } else { previous };
        self.record(0, previous, kind);
        for (id, flow) in std::mem::take(&mut self.calls) {
            // What was only scheduled was never asked for, and a read stops by itself.
            if matches!(self.flows[flow].phase, Phase::Calling(_)) {
                self.requests.push_back(Request::Cancel { id });
            }
        }
        self.alarms.clear();
        self.ready.clear();
        let ended = Ended { status, output, error: failure.error, cause: failure.cause };
        self.ended = Some(ended.clone());
        self.requests.push_back(Request::Ended(ended));
    }

    fn next_call(&mut self, id: FlowId) -> CallId {
        self.calls_made += 1;
        let call = CallId(self.calls_made);
        self.calls.insert(call, id);
        call
    }
}

/// The sentence is known from reports; that the name goes with it was not verified on AWS.
fn history_is_full() -> Failure {
    let most = limits::HISTORY_EVENTS;
    let cause = format!("The execution reached the maximum number of history events ({most}).");
    Failure::new(error_name::RUNTIME, cause)
}

/// An instant as the context object writes it: `2025-01-31T12:00:00.123Z`.
fn milliseconds(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The instant some seconds later, or the end of time.
fn after(now: Timestamp, seconds: u64) -> Timestamp {
    let duration = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}
