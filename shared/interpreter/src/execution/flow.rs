//! Paths through a machine.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::definition::Machine;
use crate::template::Variables;
use crate::{Call, CallId};

use super::distributed::Finish;
use super::fork::Fork;

/// Names a flow while it lives; the second part tells it from an earlier one in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowId(usize, u64);

/// One path through a machine: the execution, a branch or an iteration.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) machine: Arc<Machine>,
    /// The index of the state it is in.
    pub(crate) state: usize,
    /// Which execution it belongs to: an index into the scopes.
    pub(crate) scope: usize,
    /// The flow that forked it, and which branch or iteration of it this is.
    pub(crate) parent: Option<(FlowId, usize)>,
    /// What the state was entered with.
    pub(crate) input: Arc<Value>,
    pub(crate) variables: Arc<Variables>,
    pub(crate) item: Option<Arc<MapItem>>,
    /// The last event on this path.
    pub(crate) previous: u64,
    /// The event with which the state was entered, and the one before it.
    pub(crate) entered: u64,
    pub(crate) before_entered: u64,
    pub(crate) entered_at: Timestamp,
    /// How often each retrier of the state was used, and all together.
    pub(crate) retries: Vec<u64>,
    pub(crate) retry_count: u64,
    pub(crate) token: Option<String>,
    pub(crate) phase: Phase,
    pub(crate) alarms: Vec<(Timestamp, u64)>,
}

/// What a flow does or waits for.
#[derive(Debug)]
pub(crate) enum Phase {
    /// It enters its state next.
    Enter,
    /// It waits before it tries its state again.
    Backoff,
    /// A Wait state: it goes on with this input when its alarm rings.
    Waiting(Arc<Value>),
    /// A Task state is about to call its resource.
    Scheduled(Box<Call>, CallState),
    /// A Task state has called its resource.
    Calling(CallState),
    /// A distributed Map waits for its items.
    Reading { call: CallId, input: Arc<Value> },
    /// A distributed Map waits for its results to be written.
    Writing(Box<Finish>),
    /// A Parallel or Map state waits for its branches or iterations.
    Forked(Box<Fork>),
}

/// A call in flight.
#[derive(Debug)]
pub(crate) struct CallState {
    pub(crate) id: CallId,
    pub(crate) heartbeat_seconds: Option<u64>,
    /// The last sign of life.
    pub(crate) alive_at: Timestamp,
    pub(crate) is_started: bool,
    pub(crate) is_submitted: bool,
}

/// `$$.Map.Item`.
#[derive(Debug)]
pub(crate) struct MapItem {
    pub(crate) index: usize,
    pub(crate) value: Arc<Value>,
    /// The key, when the items are the members of an object.
    pub(crate) key: Option<String>,
}

impl Flow {
    pub(crate) fn new(
        machine: Arc<Machine>,
        input: Arc<Value>,
        variables: Arc<Variables>,
        scope: usize,
    ) -> Self {
        Self {
            state: machine.start,
            machine,
            scope,
            parent: None,
            input,
            variables,
            item: None,
            previous: 0,
            entered: 0,
            before_entered: 0,
            entered_at: Timestamp::UNIX_EPOCH,
            retries: Vec::new(),
            retry_count: 0,
            token: None,
            phase: Phase::Enter,
            alarms: Vec::new(),
        }
    }
}

/// The flows that live, the root first; places are used again.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    places: Vec<(u64, Option<Flow>)>,
    free: Vec<usize>,
}

impl Flows {
    pub(crate) fn insert(&mut self, flow: Flow) -> FlowId {
        match self.free.pop() {
            Some(place) => {
                let (uses, slot) = &mut self.places[place];
                *uses += 1;
                *slot = Some(flow);
                FlowId(place, *uses)
            }
            None => {
                self.places.push((0, Some(flow)));
                FlowId(self.places.len() - 1, 0)
            }
        }
    }

    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Flow> {
        if !self.lives(id) {
            return None;
        }
        self.free.push(id.0);
        self.places[id.0].1.take()
    }

    pub(crate) fn lives(&self, id: FlowId) -> bool {
        self.places.get(id.0).is_some_and(|(uses, flow)| *uses == id.1 && flow.is_some())
    }

    pub(crate) fn root(&self) -> Option<&Flow> {
        self.places.first()?.1.as_ref()
    }
}

impl Index<FlowId> for Flows {
    type Output = Flow;

    fn index(&self, id: FlowId) -> &Flow {
        self.places[id.0].1.as_ref().expect("a flow is named only while it lives")
    }
}

impl IndexMut<FlowId> for Flows {
    fn index_mut(&mut self, id: FlowId) -> &mut Flow {
        self.places[id.0].1.as_mut().expect("a flow is named only while it lives")
    }
}
