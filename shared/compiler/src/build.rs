//! Components and cuts: the part of the nest that is the graph's own shape.
//!
//! A set of tasks that falls apart without the required edges becomes a `Par`; a connected one in
//! which everything up to some place precedes everything after it becomes a `Seq`; a set with
//! neither is *prime*, and [`crate::relax`] decides which of its edges become gates.
//!
//! A cut is found by counting: the first i tasks all precede the others exactly when the pairs
//! (u among the first, v among the others, u before v) number i times the others, and that number
//! changes by v's descendants less v's ancestors as v crosses over.

use crate::bits;
use crate::draft::{DraftId, Drafts, Kind};
use crate::order::Order;
use crate::relax::Marks;

/// A connected set without a cut: no nest orders it as required.
#[derive(Debug)]
pub(crate) struct Prime;

/// Builds drafts over an order under required edges.
pub(crate) struct Builder<'o> {
    pub(crate) order: &'o Order,
    /// The parents that the nest shall enforce, by position.
    pub(crate) required: Vec<Vec<u32>>,
    pub(crate) drafts: Drafts,
    /// Words of bits touched so far by counting: a deterministic measure of work.
    pub(crate) work: u64,
    /// How many ancestors and descendants a task has inside the set it is in.
    ancestors: Vec<u32>,
    descendants: Vec<u32>,
    groups: Groups,
    pub(crate) marks: Marks,
}

/// A set still to be built into the node that stands for it.
struct Todo {
    node: DraftId,
    tasks: Vec<u32>,
    /// Known not to fall apart.
    connected: bool,
}

impl<'o> Builder<'o> {
    /// Everything required, nothing built.
    pub(crate) fn new(order: &'o Order) -> Self {
        let len = order.len();
        let tasks = 0..len as u32;
        Self {
            order,
            required: tasks.clone().map(|v| order.covers(v).to_vec()).collect(),
            drafts: Drafts::new(len),
            work: 0,
            ancestors: vec![0; len],
            descendants: vec![0; len],
            groups: Groups::new(len),
            marks: Marks::new(len),
        }
    }

    /// The nest of all tasks.
    pub(crate) fn build_all(&mut self) -> DraftId {
        let tasks: Vec<u32> = (0..self.order.len() as u32).collect();
        self.count(&tasks);
        let root = self.drafts.add(Kind::Par);
        let mut stack = vec![Todo { node: root, tasks, connected: false }];
        while let Some(todo) = stack.pop() {
            // Every edge is still required here, so no order crosses components and the counts
            // stay true as sets fall apart.
            if let Some(prime) = self.divide(todo, false, &mut stack) {
                let nest = self.relax(&prime.tasks);
                self.drafts.append(prime.node, nest);
            }
        }
        root
    }

    /// The nest of some tasks, ascending, as the required edges now are.
    pub(crate) fn build(&mut self, tasks: Vec<u32>) -> Result<DraftId, Prime> {
        self.count(&tasks);
        let root = self.drafts.add(Kind::Par);
        let mut stack = vec![Todo { node: root, tasks, connected: false }];
        while let Some(todo) = stack.pop() {
            if self.divide(todo, true, &mut stack).is_some() {
                return Err(Prime);
            }
        }
        Ok(root)
    }

    /// Splits a set once and leaves its parts on the stack; gives it back when it is prime.
    fn divide(&mut self, todo: Todo, recount: bool, stack: &mut Vec<Todo>) -> Option<Todo> {
        let Todo { node, tasks, connected } = todo;
        if let [task] = tasks[..] {
            self.drafts.set_kind(node, Kind::Task(task));
            return None;
        }
        let mut parts = Vec::new();
        let mut kind = Kind::Par;
        if !connected {
            parts = self.components(&tasks);
            if parts.len() > 1 && recount {
                for part in &parts {
                    self.count(part);
                }
            }
        }
        let connected = parts.len() > 1;
        if parts.len() <= 1 {
            kind = Kind::Seq;
            parts = self.cut(&tasks);
        }
        if parts.len() <= 1 && !tasks.is_empty() {
            return Some(Todo { node, tasks, connected: true });
        }
        self.drafts.set_kind(node, kind);
        for tasks in parts {
            let node_of_part = self.drafts.add(Kind::Par);
            self.drafts.append(node, node_of_part);
            stack.push(Todo { node: node_of_part, tasks, connected });
        }
        None
    }

    /// The parts that no required edge joins, in the order of their first tasks.
    pub(crate) fn components(&mut self, tasks: &[u32]) -> Vec<Vec<u32>> {
        self.groups.start(tasks);
        for &v in tasks {
            for &p in &self.required[v as usize] {
                self.groups.join(p, v);
            }
        }
        self.groups.collect(tasks)
    }

    /// The set cut wherever everything so far precedes everything to come.
    fn cut(&mut self, tasks: &[u32]) -> Vec<Vec<u32>> {
        let len = tasks.len();
        let mut parts = Vec::new();
        let mut start = 0;
        let mut pairs: i64 = 0;
        for (at, &v) in tasks.iter().enumerate() {
            pairs += i64::from(self.descendants[v as usize]) - i64::from(self.ancestors[v as usize]);
            let end = at + 1;
            if pairs == (end * (len - end)) as i64 {
                // Everything before the piece are ancestors, everything after it descendants.
                for &w in &tasks[start..end] {
                    self.ancestors[w as usize] -= start as u32;
                    self.descendants[w as usize] -= (len - end) as u32;
                }
                parts.push(tasks[start..end].to_vec());
                start = end;
            }
        }
        parts
    }

    /// Counts ancestors and descendants inside a set, ascending.
    fn count(&mut self, tasks: &[u32]) {
        let (Some(&first), Some(&last)) = (tasks.first(), tasks.last()) else {
            return;
        };
        let (low, high) = (bits::word_of(first), bits::word_of(last));
        let mut set = vec![0; high + 1];
        for &v in tasks {
            bits::insert(&mut set, v);
        }
        self.work += (tasks.len() * (high + 1 - low)) as u64;
        for &v in tasks {
            let at = bits::word_of(v);
            let ancestors = &self.order.before(v)[low..=at];
            let descendants = &self.order.after(v)[at..=high];
            self.ancestors[v as usize] = bits::count_common(ancestors, &set[low..=at]);
            self.descendants[v as usize] = bits::count_common(descendants, &set[at..=high]);
        }
    }
}

/// Union-find over the tasks of one set at a time.
struct Groups {
    leader: Vec<u32>,
    /// The round in which a task was last in the set; others are outside.
    round: Vec<u32>,
    now: u32,
    /// Where a leader's group is being collected.
    place: Vec<u32>,
}

impl Groups {
    fn new(len: usize) -> Self {
        Self { leader: vec![0; len], round: vec![0; len], now: 0, place: vec![0; len] }
    }

    fn start(&mut self, tasks: &[u32]) {
        self.now += 1;
        for &v in tasks {
            self.leader[v as usize] = v;
            self.round[v as usize] = self.now;
            self.place[v as usize] = u32::MAX;
        }
    }

    fn find(&mut self, mut v: u32) -> u32 {
        while self.leader[v as usize] != v {
            let above = self.leader[self.leader[v as usize] as usize];
            self.leader[v as usize] = above;
            v = above;
        }
        v
    }

    /// Joins two tasks' groups; a task outside the set joins nothing.
    fn join(&mut self, a: u32, b: u32) {
        if self.round[a as usize] != self.now || self.round[b as usize] != self.now {
            return;
        }
        let (a, b) = (self.find(a), self.find(b));
        self.leader[a.max(b) as usize] = a.min(b);
    }

    fn collect(&mut self, tasks: &[u32]) -> Vec<Vec<u32>> {
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for &v in tasks {
            let leader = self.find(v) as usize;
            if self.place[leader] == u32::MAX {
                self.place[leader] = groups.len() as u32;
                groups.push(Vec::new());
            }
            groups[self.place[leader] as usize].push(v);
        }
        groups
    }
}
