//! What must have ended before what.
//!
//! M(v) is the set of tasks that must have ended before v may be decided:
//!
//! - under an ordinary rule, everything that any upstream needs, and the upstreams;
//! - under an early rule with two or more upstreams, only what all of them have in common;
//! - at once, nothing.
//!
//! The order P that M defines is transitive; `cov(v)` are the parents that it does not imply.
//! Inside this crate a task is known by its *position* in one topological order of the whole
//! pipeline, so that sets of tasks are rows of bits and a set in order is a sorted list.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use crate::bits::{self, Matrix};

/// When a task may be decided, as far as order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firing {
    /// When every upstream has ended.
    AllEnded,
    /// As soon as the upstreams that ended decide it: `one_success`, `one_failed`, `one_done`.
    Early,
    /// At once, whatever the upstreams do: `always`.
    AtOnce,
}

/// A task graph as the compiler needs it: tasks are indices, in any order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    needs: Vec<Vec<usize>>,
    firing: Vec<Firing>,
}

impl Graph {
    /// A graph without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task and returns its index. `needs` may name tasks that are added later.
    pub fn add(&mut self, needs: impl IntoIterator<Item = usize>, firing: Firing) -> usize {
        let mut needs: Vec<usize> = needs.into_iter().collect();
        needs.sort_unstable();
        needs.dedup();
        self.needs.push(needs);
        self.firing.push(firing);
        self.needs.len() - 1
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// The declared upstreams of a task, ascending.
    pub fn needs(&self, task: usize) -> &[usize] {
        &self.needs[task]
    }

    /// When a task may be decided.
    pub fn firing(&self, task: usize) -> Firing {
        self.firing[task]
    }

    /// Whether the task can be decided before all its upstreams have ended, and so is always
    /// gated on all of them. With one upstream an early rule is an ordinary one.
    pub fn fires_early(&self, task: usize) -> bool {
        self.firing[task] == Firing::Early && self.needs[task].len() > 1
    }
}

/// A graph whose tasks wait for each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The tasks on one circle, each an upstream of the next, and the last of the first.
    pub tasks: Vec<usize>,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tasks wait for each other in a circle: {:?}", self.tasks)
    }
}

impl std::error::Error for Cycle {}

/// The true order of a graph's tasks.
#[derive(Clone, Debug)]
pub struct Order {
    /// Task index by position.
    sequence: Vec<usize>,
    /// Row v: M(v), by position.
    before: Matrix,
    /// The transpose of `before`.
    after: Matrix,
    /// cov(v), ascending, by position.
    covers: Vec<Vec<u32>>,
    /// Length of the longest chain of covers that ends at v, by position.
    levels: Vec<u32>,
    /// Whether v is gated whatever the nest, by position.
    early: Vec<bool>,
}

impl Order {
    /// Computes the order.
    ///
    /// # Errors
    ///
    /// The tasks of one circle, if there is one.
    pub fn new(graph: &Graph) -> Result<Self, Cycle> {
        let sequence = topological(graph)?;
        let len = sequence.len();
        let mut position = vec![0_u32; len];
        for (at, &task) in sequence.iter().enumerate() {
            position[task] = at as u32;
        }

        let mut before = Matrix::new(len);
        let mut covers: Vec<Vec<u32>> = Vec::with_capacity(len);
        let mut levels = Vec::with_capacity(len);
        let mut early = Vec::with_capacity(len);
        for (v, &task) in sequence.iter().enumerate() {
            let v = v as u32;
            early.push(graph.fires_early(task));
            let upstreams = graph.needs(task).iter().map(|&u| position[u]);
            let mut cover: Vec<u32> = Vec::new();
            if graph.fires_early(task) {
                let common = common_ancestors(&before, upstreams);
                before.set(v, &common);
                for p in bits::descending(&common) {
                    // The later ones come first, so one implied by another meets it here.
                    if !cover.iter().any(|&q| before.has(q, p)) {
                        cover.push(p);
                    }
                }
            } else if graph.firing(task) != Firing::AtOnce {
                upstreams.clone().for_each(|p| before.unite(v, p));
                cover.extend(upstreams.clone().filter(|&p| !before.has(v, p)));
                upstreams.for_each(|p| before.insert(v, p));
            }
            cover.sort_unstable();
            levels.push(cover.iter().map(|&p| levels[p as usize] + 1).max().unwrap_or(0));
            covers.push(cover);
        }

        let mut after = Matrix::new(len);
        for v in (0..len as u32).rev() {
            for &p in &covers[v as usize] {
                after.unite(p, v);
                after.insert(p, v);
            }
        }
        Ok(Self { sequence, before, after, covers, levels, early })
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.sequence.is_empty()
    }

    /// The tasks in topological order; among those that are free, the lowest index first.
    pub fn sequence(&self) -> &[usize] {
        &self.sequence
    }

    /// Whether the task at position `u` must have ended before the one at `v` is decided.
    pub(crate) fn precedes(&self, u: u32, v: u32) -> bool {
        self.before.has(v, u)
    }

    /// M(v), by position.
    pub(crate) fn before(&self, v: u32) -> &[u64] {
        self.before.row(v)
    }

    /// Everything that has `v` in its M, by position.
    pub(crate) fn after(&self, v: u32) -> &[u64] {
        self.after.row(v)
    }

    /// cov(v), ascending, by position.
    pub(crate) fn covers(&self, v: u32) -> &[u32] {
        &self.covers[v as usize]
    }

    /// Length of the longest chain of covers that ends at `v`.
    pub(crate) fn level(&self, v: u32) -> u32 {
        self.levels[v as usize]
    }

    /// Whether the task at position `v` is gated whatever the nest.
    pub(crate) fn is_early(&self, v: u32) -> bool {
        self.early[v as usize]
    }
}

/// What every parent has in common: the intersection of `{p} ∪ M(p)`.
fn common_ancestors(before: &Matrix, parents: impl Iterator<Item = u32>) -> Vec<u64> {
    let with_itself = |p: u32| {
        let mut row = before.row(p).to_vec();
        bits::insert(&mut row, p);
        row
    };
    let mut rows = parents.map(with_itself);
    let mut common = rows.next().unwrap_or_default();
    for row in rows {
        bits::intersect(&mut common, &row);
    }
    common
}

/// Kahn's order, the lowest free index first: it stays close to the order of the file.
fn topological(graph: &Graph) -> Result<Vec<usize>, Cycle> {
    let mut downstream = vec![Vec::new(); graph.len()];
    let mut missing: Vec<usize> = graph.needs.iter().map(Vec::len).collect();
    for (task, needs) in graph.needs.iter().enumerate() {
        for &upstream in needs {
            downstream[upstream].push(task);
        }
    }
    let mut free: BinaryHeap<Reverse<usize>> =
        (0..graph.len()).filter(|&task| missing[task] == 0).map(Reverse).collect();
    let mut sequence = Vec::with_capacity(graph.len());
    while let Some(Reverse(task)) = free.pop() {
        sequence.push(task);
        for &next in &downstream[task] {
            missing[next] -= 1;
            if missing[next] == 0 {
                free.push(Reverse(next));
            }
        }
    }
    if sequence.len() == graph.len() {
        return Ok(sequence);
    }
    Err(find_cycle(graph, &missing))
}

/// Walks upstream among the tasks that never became free until one repeats.
fn find_cycle(graph: &Graph, missing: &[usize]) -> Cycle {
    let mut seen = vec![None; graph.len()];
    let mut path = Vec::new();
    let mut task = missing.iter().position(|&count| count > 0);
    while let Some(at) = task {
        if let Some(start) = seen[at] {
            let mut tasks: Vec<usize> = path.split_off(start);
            tasks.reverse();
            return Cycle { tasks };
        }
        seen[at] = Some(path.len());
        path.push(at);
        task = graph.needs(at).iter().copied().find(|&upstream| missing[upstream] > 0);
    }
    Cycle { tasks: path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(order: &Order, v: u32) -> Vec<u32> {
        let mut tasks: Vec<u32> = bits::descending(order.before(v)).collect();
        tasks.reverse();
        tasks
    }

    #[test]
    fn an_early_rule_keeps_only_what_all_upstreams_share() {
        let mut graph = Graph::new();
        let root = graph.add([], Firing::AllEnded);
        let a = graph.add([root], Firing::AllEnded);
        let b = graph.add([root], Firing::AllEnded);
        let first = graph.add([a, b], Firing::Early);
        let last = graph.add([first, b], Firing::AllEnded);
        let free = graph.add([last], Firing::AtOnce);
        let order = Order::new(&graph).unwrap();
        assert_eq!(before(&order, first as u32), [0]);
        assert_eq!(before(&order, last as u32), [0, 2, 3]);
        assert_eq!(order.covers(last as u32), [2, 3]);
        assert_eq!(before(&order, free as u32), [0_u32; 0]);
        assert!(order.is_early(first as u32));
    }

    #[test]
    fn an_early_rule_over_a_chain_waits_for_its_head() {
        let mut graph = Graph::new();
        let a = graph.add([], Firing::AllEnded);
        let b = graph.add([a], Firing::AllEnded);
        let early = graph.add([a, b], Firing::Early);
        let single = graph.add([b], Firing::Early);
        let order = Order::new(&graph).unwrap();
        assert_eq!(before(&order, early as u32), [0]);
        assert_eq!(before(&order, single as u32), [0, 1]);
        assert!(!order.is_early(single as u32));
    }

    #[test]
    fn a_declared_upstream_that_another_implies_is_no_cover() {
        let mut graph = Graph::new();
        let last = graph.add([1, 2], Firing::AllEnded);
        graph.add([2], Firing::AllEnded);
        graph.add([], Firing::AllEnded);
        let order = Order::new(&graph).unwrap();
        assert_eq!(order.sequence(), [2, 1, last]);
        assert_eq!(order.covers(2), [1]);
        assert_eq!(order.level(2), 2);
        assert_eq!(bits::descending(order.after(0)).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_cycle_is_named_in_its_own_order() {
        let mut graph = Graph::new();
        graph.add([], Firing::AllEnded);
        graph.add([0, 3], Firing::AllEnded);
        graph.add([1], Firing::AllEnded);
        graph.add([2], Firing::AllEnded);
        graph.add([3], Firing::AllEnded);
        let mut tasks = Order::new(&graph).unwrap_err().tasks;
        let lowest = tasks.iter().position(|&task| task == 1).unwrap();
        tasks.rotate_left(lowest);
        assert_eq!(tasks, [1, 2, 3]);
    }
}
