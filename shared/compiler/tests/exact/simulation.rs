//! An event simulation of a nest with gates, and what the rules alone demand.
//!
//! Neither asks the compiler what precedes what: the one plays the nest and the gates, the other
//! reads the declared upstreams.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use cauce_compiler::gates::Gates;
use cauce_compiler::nest::{Nest, Node, NodeId};
use cauce_compiler::order::{Firing, Graph};
use cauce_model::TriggerRule;

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Success,
    Failed,
    Skipped,
    UpstreamFailed,
}

/// A task, and what happens when it runs.
#[derive(Clone, Debug)]
pub(crate) struct TaskCase {
    pub(crate) needs: Vec<usize>,
    pub(crate) rule: TriggerRule,
    pub(crate) duration: u64,
    pub(crate) succeeds: bool,
}

/// The compiler's input for some tasks.
pub(crate) fn graph(tasks: &[TaskCase]) -> Graph {
    let mut graph = Graph::new();
    for task in tasks {
        let firing = match task.rule {
            TriggerRule::Always => Firing::AtOnce,
            rule if rule.is_early() => Firing::Early,
            _ => Firing::AllEnded,
        };
        graph.add(task.needs.iter().copied(), firing);
    }
    graph
}

/// Whether an upstream that ended so decides an early rule by itself.
fn decides(rule: TriggerRule, ended: Ended) -> bool {
    match rule {
        TriggerRule::OneSuccess => ended == Ended::Success,
        TriggerRule::OneFailed => matches!(ended, Ended::Failed | Ended::UpstreamFailed),
        TriggerRule::OneDone => matches!(ended, Ended::Success | Ended::Failed),
        _ => false,
    }
}

/// What a rule makes of how the upstreams ended: `None` runs the task.
fn judge(rule: TriggerRule, upstreams: &[Ended]) -> Option<Ended> {
    use Ended::{Failed, Skipped, Success, UpstreamFailed};
    let n = upstreams.len();
    let count = |wanted: Ended| upstreams.iter().filter(|&&ended| ended == wanted).count();
    let (s, f, k) = (count(Success), count(Failed) + count(UpstreamFailed), count(Skipped));
    if n == 0 {
        return None;
    }
    match rule {
        TriggerRule::AllSuccess if s == n => None,
        TriggerRule::AllSuccess if f > 0 => Some(UpstreamFailed),
        TriggerRule::AllFailed if f == n => None,
        TriggerRule::AllDone | TriggerRule::Always => None,
        TriggerRule::AllDoneMinOneSuccess if k > 0 => Some(Skipped),
        TriggerRule::AllDoneMinOneSuccess if s > 0 => None,
        TriggerRule::AllDoneMinOneSuccess => Some(UpstreamFailed),
        TriggerRule::AllSkipped if k == n => None,
        TriggerRule::OneSuccess if s > 0 => None,
        TriggerRule::OneSuccess if k < n => Some(UpstreamFailed),
        TriggerRule::OneFailed if f > 0 => None,
        TriggerRule::OneDone if upstreams.iter().any(|&e| decides(rule, e)) => None,
        TriggerRule::NoneFailed if f == 0 => None,
        TriggerRule::NoneFailed => Some(UpstreamFailed),
        TriggerRule::NoneFailedMinOneSuccess if f > 0 => Some(UpstreamFailed),
        TriggerRule::NoneFailedMinOneSuccess if s > 0 => None,
        TriggerRule::NoneSkipped if k == 0 => None,
        _ => Some(Skipped),
    }
}

/// When every task is decided and how it ends, from the declared upstreams alone.
pub(crate) fn demanded(tasks: &[TaskCase]) -> Vec<(u64, Ended)> {
    let mut known: Vec<Option<(u64, u64, Ended)>> = vec![None; tasks.len()];
    let mut left: Vec<usize> = (0..tasks.len()).collect();
    while !left.is_empty() {
        left.retain(|&v| {
            let task = &tasks[v];
            let Some(upstreams) = task.needs.iter().map(|&u| known[u]).collect::<Option<Vec<_>>>() else {
                return true;
            };
            let all = upstreams.iter().map(|&(_, end, _)| end).max().unwrap_or(0);
            let first = upstreams
                .iter()
                .filter(|&&(_, _, ended)| decides(task.rule, ended))
                .map(|&(_, end, _)| end)
                .min();
            let start = match task.rule {
                TriggerRule::Always => 0,
                _ => first.unwrap_or(all),
            };
            let statuses: Vec<Ended> = upstreams.iter().map(|&(_, _, ended)| ended).collect();
            let (ended, duration) = ending(task, &statuses);
            known[v] = Some((start, start + duration, ended));
            false
        });
    }
    let known = known.into_iter().flatten();
    known.map(|(start, _, ended)| (start, ended)).collect()
}

fn ending(task: &TaskCase, upstreams: &[Ended]) -> (Ended, u64) {
    match judge(task.rule, upstreams) {
        Some(ended) => (ended, 0),
        None if task.succeeds => (Ended::Success, task.duration),
        None => (Ended::Failed, task.duration),
    }
}

/// What a player of the nest knows.
struct Player<'a> {
    tasks: &'a [TaskCase],
    nest: &'a Nest,
    gates: &'a Gates,
    above: Vec<Option<(NodeId, usize)>>,
    leaves: Vec<NodeId>,
    running_children: Vec<usize>,
    arrived: Vec<BTreeSet<usize>>,
    entered: Vec<bool>,
    decided: Vec<Option<(u64, Ended)>>,
    ended: Vec<Option<Ended>>,
    /// Tasks under way: when they end.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
}

/// Plays the nest: when every task is decided and how it ends.
///
/// # Errors
///
/// A task that is decided before it may be, or never.
pub(crate) fn play(tasks: &[TaskCase], nest: &Nest, gates: &Gates) -> Result<Vec<(u64, Ended)>, String> {
    let mut player = Player {
        tasks,
        nest,
        gates,
        above: vec![None; nest.len()],
        leaves: vec![0; tasks.len()],
        running_children: vec![0; nest.len()],
        arrived: vec![BTreeSet::new(); tasks.len()],
        entered: vec![false; tasks.len()],
        decided: vec![None; tasks.len()],
        ended: vec![None; tasks.len()],
        ends: BinaryHeap::new(),
    };
    for id in 0..nest.len() {
        if let Node::Task(task) = nest.node(id) {
            player.leaves[*task] = id;
        }
        for (slot, &child) in nest.children(id).iter().enumerate() {
            player.above[child] = Some((id, slot));
        }
    }
    if let Some(root) = nest.root() {
        player.enter(root, 0)?;
    }
    while let Some(Reverse((now, task))) = player.ends.pop() {
        player.end(task, now)?;
    }
    let decided = player.decided.into_iter().enumerate();
    decided.map(|(task, decided)| decided.ok_or_else(|| format!("task {task} is never decided"))).collect()
}

impl Player<'_> {
    fn enter(&mut self, root: NodeId, now: u64) -> Result<(), String> {
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            match self.nest.node(id) {
                Node::Seq(children) => stack.push(children[0]),
                Node::Par(children) => {
                    self.running_children[id] = children.len();
                    stack.extend_from_slice(children);
                }
                Node::Task(task) => {
                    self.entered[*task] = true;
                    self.begin(*task, now)?;
                }
            }
        }
        Ok(())
    }

    /// Begins a task that the nest has reached, if its gate is open.
    fn begin(&mut self, task: usize, now: u64) -> Result<(), String> {
        if !self.entered[task] || self.decided[task].is_some() {
            return Ok(());
        }
        let case = &self.tasks[task];
        let arrived = &self.arrived[task];
        let decisive = arrived.iter().any(|&u| self.ended[u].is_some_and(|ended| decides(case.rule, ended)));
        if arrived.len() < self.gates.waits[task].len() && !decisive {
            return Ok(());
        }
        let upstreams: Vec<Ended> = case.needs.iter().filter_map(|&u| self.ended[u]).collect();
        if upstreams.len() < case.needs.len() && !decisive && case.rule != TriggerRule::Always {
            return Err(format!("task {task} is decided at {now}, before an upstream ended"));
        }
        let (ended, duration) = ending(case, &upstreams);
        self.decided[task] = Some((now, ended));
        self.ends.push(Reverse((now + duration, task)));
        Ok(())
    }

    fn end(&mut self, task: usize, now: u64) -> Result<(), String> {
        self.ended[task] = self.decided[task].map(|(_, ended)| ended);
        for &gated in &self.gates.opens[task] {
            self.arrived[gated].insert(task);
            self.begin(gated, now)?;
        }
        let mut leave = Some(self.leaves[task]);
        while let Some((parent, slot)) = leave.and_then(|id| self.above[id]) {
            match self.nest.node(parent) {
                Node::Seq(children) if slot + 1 < children.len() => {
                    return self.enter(children[slot + 1], now);
                }
                Node::Par(_) => {
                    self.running_children[parent] -= 1;
                    if self.running_children[parent] > 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
            leave = Some(parent);
        }
        Ok(())
    }
}
