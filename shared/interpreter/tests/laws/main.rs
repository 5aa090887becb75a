//! The laws of the interpreter that recorded cases do not reach.

mod distributed;
mod forks;
mod length;
mod retries;
mod tasks;

use std::sync::Arc;

use cauce_interpreter::{Call, Context, Definition, Ended, Execution, Failure, Reply, Request};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// An execution with its clock, and whatever it asked for and was not yet given.
struct Host {
    execution: Execution,
    now: Timestamp,
    calls: Vec<Call>,
    cancelled: Vec<Call>,
    ended: Option<Ended>,
}

impl Host {
    fn start(definition: Value, input: Value) -> Self {
        let definition = Arc::new(Definition::parse_value(&definition).expect("a valid definition"));
        let now = Timestamp::UNIX_EPOCH;
        let execution = Execution::start(definition, Context::named("machine", "execution"), input, now, 1);
        let mut host = Self { execution, now, calls: Vec::new(), cancelled: Vec::new(), ended: None };
        host.settle();
        host
    }

    /// Lets the execution go on until it only waits.
    fn settle(&mut self) {
        while let Some(request) = self.execution.advance(self.now) {
            match request {
                Request::Call(call) => self.calls.push(call),
                Request::Cancel { id } => {
                    let found = self.calls.iter().position(|call| call.id == id);
                    self.cancelled
                        .push(self.calls.remove(found.expect("only a call in flight is cancelled")));
                }
                Request::Ended(ended) => self.ended = Some(ended),
                other => panic!("not expected here: {other:?}"),
            }
        }
    }

    fn tell(&mut self, reply: Reply) {
        self.execution.handle(self.now, reply);
        self.settle();
    }

    /// Answers the oldest call of a state.
    fn answer(&mut self, state: &str, result: Result<Value, Failure>) {
        let found = self.calls.iter().position(|call| &*call.state == state);
        let call = self.calls.remove(found.unwrap_or_else(|| panic!("no call of {state}: {:?}", self.calls)));
        self.tell(Reply::Returned(call.id, result));
    }

    fn fail(&mut self, state: &str, error: &str) {
        self.answer(state, Err(Failure::new(error, "because")));
    }

    /// Lets time pass.
    fn pass(&mut self, milliseconds: i64) {
        self.now += SignedDuration::from_millis(milliseconds);
        self.settle();
    }

    /// Seconds until the execution wants to be looked at.
    fn sleeps(&self) -> Option<f64> {
        self.execution.wakes_at().map(|at| (at - self.now).total(jiff::Unit::Second).expect("seconds"))
    }

    fn status(&self) -> &'static str {
        self.ended.as_ref().map_or("RUNNING", |ended| ended.status.name())
    }

    fn error(&self) -> Option<&str> {
        self.ended.as_ref()?.error.as_deref()
    }

    fn output(&self) -> Value {
        let ended = self.ended.as_ref().expect("ended");
        assert_eq!(self.status(), "SUCCEEDED", "{ended:?}");
        ended.output.as_deref().cloned().expect("an output")
    }

    fn events(&self, event_type: &str) -> usize {
        self.execution.history().iter().filter(|event| event.event_type() == event_type).count()
    }
}
