//! Parallel states and the iterations of Map states.

use std::collections::VecDeque;
use std::sync::Arc;

use cauce_asl::{QueryLanguage, error_name, limits};
use serde_json::{Value, json};

use crate::definition::{Kind, Machine, MapNode, Node, Selector};
use crate::history::{EventKind, StateType};
use crate::template::Trouble;
use crate::{Failure, Request};

use super::Execution;
use super::data::Extra;
use super::distributed::MapRun;
use super::flow::{Flow, FlowId, MapItem, Phase};

/// A Parallel or Map state whose branches or iterations run.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) children: Vec<Option<FlowId>>,
    pub(crate) results: Vec<Option<Arc<Value>>>,
    /// How many have not ended.
    pub(crate) pending: usize,
    /// Map: the items whose iterations have not begun.
    pub(crate) waiting: VecDeque<MapItem>,
    /// Map: the effective input, which the item selector reads.
    pub(crate) input: Arc<Value>,
    pub(crate) kind: ForkKind,
}

#[derive(Debug)]
pub(crate) enum ForkKind {
    Parallel,
    Inline,
    Distributed(Box<MapRun>),
}

impl Execution {
    pub(crate) fn fork_branches(
        &mut self,
        id: FlowId,
        node: &Node,
        branches: &[Arc<Machine>],
    ) -> Result<(), Trouble> {
        let input = self.arguments(id, &node.io)?;
        self.record_on(id, EventKind::ParallelStateStarted);
        if branches.is_empty() {
            self.record_aside(id, EventKind::ParallelStateSucceeded);
            return self.complete(id, node, Arc::new(json!([])));
        }
        let mut children = Vec::with_capacity(branches.len());
        for (slot, branch) in branches.iter().enumerate() {
            let parent = &self.flows[id];
            let mut child = Flow::new(
                Arc::clone(branch),
                Arc::clone(&input),
                Arc::clone(&parent.variables),
                parent.scope,
            );
            child.parent = Some((id, slot));
            child.previous = parent.previous;
            child.item = parent.item.clone();
            let child = self.flows.insert(child);
            self.ready.push_back(child);
            children.push(Some(child));
        }
        self.flows[id].phase = Phase::Forked(Box::new(Fork {
            results: vec![None; children.len()],
            pending: children.len(),
            children,
            waiting: VecDeque::new(),
            input,
            kind: ForkKind::Parallel,
        }));
        Ok(())
    }

    pub(crate) fn start_map(&mut self, id: FlowId, node: &Node, map: &MapNode) -> Result<(), Trouble> {
        let raw = Arc::clone(&self.flows[id].input);
        let input = self.select(id, &node.io.input_path, &raw)?;
        if map.is_distributed {
            return self.start_map_run(id, node, map, input);
        }
        let items = self.items_of(id, node, map, &input)?;
        self.record_on(id, EventKind::MapStateStarted { length: items.len() });
        // Recorded on AWS: an inline Map computes what it tolerates, and tolerates nothing.
        self.tolerance(id, map, &input)?;
        let cap = self.concurrency(id, map, &input, limits::INLINE_MAP_CONCURRENCY)?;
        self.iterate(id, items, input, ForkKind::Inline, cap)
    }

    /// How many iterations may run at once; 0, or nothing, leaves it to the limit.
    pub(crate) fn concurrency(
        &mut self,
        id: FlowId,
        map: &MapNode,
        input: &Value,
        limit: usize,
    ) -> Result<usize, Trouble> {
        let wanted = self.whole(id, &map.max_concurrency, "MaxConcurrency", input)?.unwrap_or(0);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        Ok(if wanted == 0 { limit } else { wanted.min(limit) })
    }

    /// The items of a Map state that finds them in its input.
    pub(crate) fn items_of(
        &mut self,
        id: FlowId,
        node: &Node,
        map: &MapNode,
        input: &Arc<Value>,
    ) -> Result<VecDeque<MapItem>, Trouble> {
        let found = match node.language {
            QueryLanguage::JSONata => match &map.items {
                Some(payload) => self.render(id, payload, input, Extra::default())?,
                None => Arc::clone(input),
            },
            QueryLanguage::JSONPath => self.select(id, &map.items_path, input)?,
        };
        match &*found {
            Value::Array(_) => {}
            // Recorded on AWS: the context object and what is in it are no items.
            Value::Object(_) if map.is_distributed && !map.reads_context() => {}
            other => {
                return Err(match (node.language, map.items.as_ref().and_then(|items| items.as_jsonata())) {
                    (QueryLanguage::JSONata, Some(expression)) => {
                        expression.unexpected("Items", "array", other)
                    }
                    (QueryLanguage::JSONata, None) => {
                        Trouble::query(format!("Map state input must be an array but was: {other}"), None)
                    }
                    // Recorded on AWS: the path is printed below its root.
                    (QueryLanguage::JSONPath, _) => {
                        let path = match &map.items_path {
                            Some(Selector::At { reference, .. }) => reference.path().as_str(),
                            _ => "$",
                        };
                        Trouble::runtime(format!("Reference path \"{path}\" must point to array."))
                    }
                });
            }
        }
        Ok(map_items(Arc::unwrap_or_clone(found)))
    }

    /// Starts the iterations of a Map state, as many as may run at once.
    pub(crate) fn iterate(
        &mut self,
        id: FlowId,
        items: VecDeque<MapItem>,
        input: Arc<Value>,
        kind: ForkKind,
        cap: usize,
    ) -> Result<(), Trouble> {
        let length = items.len();
        self.flows[id].phase = Phase::Forked(Box::new(Fork {
            children: vec![None; length],
            results: vec![None; length],
            pending: length,
            waiting: items,
            input,
            kind,
        }));
        if length == 0 {
            self.join(id);
            return Ok(());
        }
        for _ in 0..cap.min(length) {
            self.start_iteration(id)?;
        }
        Ok(())
    }

    fn fork_of(&mut self, id: FlowId) -> Option<&mut Fork> {
        match &mut self.flows[id].phase {
            Phase::Forked(fork) => Some(fork),
            _ => None,
        }
    }

    /// Starts the iteration of the next item, if one waits.
    fn start_iteration(&mut self, id: FlowId) -> Result<(), Trouble> {
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        let Kind::Map(map) = &node.kind else { return Ok(()) };
        let Some(fork) = self.fork_of(id) else { return Ok(()) };
        let Some(item) = fork.waiting.pop_front() else { return Ok(()) };
        let (input, is_inline) = (Arc::clone(&fork.input), matches!(fork.kind, ForkKind::Inline));
        let (slot, item) = (item.index, Arc::new(item));
        // Batches were selected item by item before they were made.
        let selected = match &map.selector {
            Some(selector) if map.batcher.is_none() => {
                self.with_item(id, &item, |this| this.render(id, selector, &input, Extra::default()))?
            }
            _ => Arc::clone(&item.value),
        };
        if is_inline {
            let started = EventKind::MapIterationStarted { name: Arc::clone(&node.name), index: slot };
            let event = self.record_aside(id, started);
            let parent = &self.flows[id];
            let mut child =
                Flow::new(Arc::clone(&map.processor), selected, Arc::clone(&parent.variables), parent.scope);
            child.previous = event;
            self.adopt(id, slot, item, child);
        } else {
            let child = self.child_execution(id, map, &item, selected);
            self.adopt(id, slot, item, child);
        }
        Ok(())
    }

    /// Runs something that sees `$$.Map.Item`.
    pub(crate) fn with_item<T>(
        &mut self,
        id: FlowId,
        item: &Arc<MapItem>,
        run: impl FnOnce(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let outer = self.flows[id].item.replace(Arc::clone(item));
        let outcome = run(self);
        self.flows[id].item = outer;
        outcome
    }

    fn adopt(&mut self, id: FlowId, slot: usize, item: Arc<MapItem>, mut child: Flow) {
        child.parent = Some((id, slot));
        child.item = Some(item);
        let child = self.flows.insert(child);
        if let Some(fork) = self.fork_of(id) {
            fork.children[slot] = Some(child);
        }
        self.ready.push_back(child);
    }

    /// Records an event that does not become the last one of the flow's path.
    pub(crate) fn record_aside(&mut self, id: FlowId, kind: EventKind) -> u64 {
        let (scope, previous) = (self.flows[id].scope, self.flows[id].previous);
        self.record(scope, previous, kind)
    }

    pub(crate) fn child_succeeded(&mut self, child: FlowId, output: Arc<Value>) {
        let Some(flow) = self.flows.remove(child) else { return };
        let Some((id, slot)) = flow.parent else { return };
        let is_inline = match self.fork_of(id) {
            Some(fork) => matches!(fork.kind, ForkKind::Inline),
            None => return,
        };
        let is_distributed = flow.scope != self.flows[id].scope;
        if !is_distributed {
            self.flows[id].previous = flow.previous;
        }
        let mut last = self.flows[id].previous;
        if is_inline {
            let name = Arc::clone(&self.flows[id].machine.nodes[self.flows[id].state].name);
            last = self.record_aside(id, EventKind::MapIterationSucceeded { name, index: slot });
        }
        if is_distributed {
            self.child_execution_ended(id, &flow, Ok(&output));
        }
        self.iteration_ended(id, slot, output, last);
    }

    /// A branch or iteration has its result; the next item begins, or the state is complete.
    ///
    /// Recorded on AWS: what completes the state follows `last`, the event that the iteration succeeded,
    /// but the next iteration follows the one before it.
    pub(crate) fn iteration_ended(&mut self, id: FlowId, slot: usize, output: Arc<Value>, last: u64) {
        let Some(fork) = self.fork_of(id) else { return };
        fork.children[slot] = None;
        fork.results[slot] = Some(output);
        fork.pending -= 1;
        if fork.pending == 0 {
            self.flows[id].previous = last;
            return self.join(id);
        }
        if let Err(trouble) = self.start_iteration(id) {
            self.abandon(id, self.flows[id].previous);
            let machine = Arc::clone(&self.flows[id].machine);
            let node = &machine.nodes[self.flows[id].state];
            self.trouble(id, node, &trouble);
        }
    }

    /// Every branch or iteration has ended.
    fn join(&mut self, id: FlowId) {
        let Phase::Forked(fork) = std::mem::replace(&mut self.flows[id].phase, Phase::Enter) else { return };
        let fork = *fork;
        let results = fork.results.into_iter().map(|result| result.map_or(Value::Null, Arc::unwrap_or_clone));
        let result = Arc::new(Value::Array(results.collect()));
        match fork.kind {
            ForkKind::Parallel => {
                self.record_aside(id, EventKind::ParallelStateSucceeded);
                self.complete_later(id, result);
            }
            ForkKind::Inline => {
                self.record_aside(id, EventKind::MapStateSucceeded);
                self.complete_later(id, result);
            }
            ForkKind::Distributed(run) => self.finish_map_run(id, *run, result),
        }
    }

    pub(crate) fn child_failed(&mut self, child: FlowId, failure: Failure) {
        let Some((id, slot)) = self.flows[child].parent else { return };
        let last = self.flows[child].previous;
        let (is_inline, is_distributed) = match self.fork_of(id) {
            Some(fork) => {
                (matches!(fork.kind, ForkKind::Inline), matches!(fork.kind, ForkKind::Distributed(_)))
            }
            None => return,
        };
        if is_distributed {
            let Some(flow) = self.flows.remove(child) else { return };
            return self.child_execution_failed(id, slot, &flow, failure);
        }
        let machine = Arc::clone(&self.flows[id].machine);
        let node = &machine.nodes[self.flows[id].state];
        let scope = self.flows[id].scope;
        // The order of what follows, and that it all follows the failing event, is as recorded on AWS.
        if is_inline {
            let failed = EventKind::MapIterationFailed { name: Arc::clone(&node.name), index: slot };
            self.record(scope, last, failed);
        }
        if failure.error.as_deref() != Some(error_name::RUNTIME) {
            self.record_aborted(child, last);
        }
        if let Some(fork) = self.fork_of(id) {
            fork.children[slot] = None;
        }
        self.flows.remove(child);
        self.abandon(id, last);
        self.flows[id].previous = last;
        self.handle_failure(id, node, failure);
    }

    /// Ends every branch or iteration that still runs. `last` is the event they follow.
    pub(crate) fn abandon(&mut self, id: FlowId, last: u64) {
        // Only a fork is taken out: what else the flow waits for is its own to give up.
        if !matches!(self.flows[id].phase, Phase::Forked(_)) {
            return;
        }
        let Phase::Forked(fork) = std::mem::replace(&mut self.flows[id].phase, Phase::Enter) else { return };
        let name = Arc::clone(&self.flows[id].machine.nodes[self.flows[id].state].name);
        let scope = self.flows[id].scope;
        for (index, child) in fork.children.iter().enumerate() {
            let Some(child) = *child else { continue };
            if matches!(fork.kind, ForkKind::Inline) {
                let aborted = EventKind::MapIterationAborted { name: Arc::clone(&name), index };
                self.record(scope, last, aborted);
            }
            self.cancel(child, last);
        }
    }

    /// Ends a flow and all it forked from outside.
    fn cancel(&mut self, id: FlowId, last: u64) {
        self.abandon(id, last);
        self.record_aborted(id, last);
        match &self.flows[id].phase {
            Phase::Calling(call) => self.requests.push_back(Request::Cancel { id: call.id }),
            Phase::Reading { call, .. } => {
                self.calls.remove(call);
            }
            Phase::Writing(finish) => {
                let call = finish.call;
                self.calls.remove(&call);
            }
            _ => {}
        }
        self.release(id);
        self.flows.remove(id);
    }

    fn record_aborted(&mut self, id: FlowId, last: u64) {
        let flow = &self.flows[id];
        let state_type = flow.machine.nodes[flow.state].state_type;
        let is_inside = flow.entered > 0 && flow.previous >= flow.entered;
        if is_inside
            && matches!(state_type, StateType::Task | StateType::Wait | StateType::Parallel | StateType::Map)
        {
            self.record(flow.scope, last, EventKind::StateAborted { state_type });
        }
    }
}

/// The items of an array, or the members of an object as `{Key, Value}`.
pub(crate) fn map_items(found: Value) -> VecDeque<MapItem> {
    match found {
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, value)| MapItem { index, value: Arc::new(value), key: None })
            .collect(),
        Value::Object(fields) => fields
            .into_iter()
            .enumerate()
            .map(|(index, (key, value))| {
                let value = Arc::new(json!({"Key": key.as_str(), "Value": value}));
                MapItem { index, value, key: Some(key) }
            })
            .collect(),
        _ => VecDeque::new(),
    }
}
