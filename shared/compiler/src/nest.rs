//! The nest: every task once, in a tree of sequences and `Par`.
//!
//! In a `Par` the children run side by side and all of them end before it does; that is what the
//! language's `Parallel` state does, as task failures are caught inside. The nest enforces an order
//! that lies inside the true one, so it never delays a task; what it leaves out is in
//! [`crate::gates`].

use crate::build::Builder;
use crate::draft::{DraftId, Drafts, Kind};
use crate::order::Order;

/// Index of a node in a [`Nest`].
pub type NodeId = usize;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A task, by its index in the graph.
    Task(usize),
    /// At least two children, one after the other; none of them is a sequence.
    Seq(Vec<NodeId>),
    /// At least two children, side by side; none of them is a `Par`.
    Par(Vec<NodeId>),
}

/// A series-parallel tree over all tasks of a graph. A child's index is lower than its parent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nest {
    nodes: Vec<Node>,
    /// Parent and place among its children; the root is its own parent.
    above: Vec<(NodeId, usize)>,
    /// The leaf of a task, by index.
    leaves: Vec<NodeId>,
}

impl Nest {
    /// Builds the nest of an order.
    pub fn build(order: &Order) -> Self {
        let mut builder = Builder::new(order);
        let root = builder.build_all();
        Self::tidy(&builder.drafts, root, order)
    }

    /// The node that holds all others; `None` without tasks.
    pub fn root(&self) -> Option<NodeId> {
        self.nodes.len().checked_sub(1)
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The children of a node, none for a task.
    pub fn children(&self, id: NodeId) -> &[NodeId] {
        match &self.nodes[id] {
            Node::Task(_) => &[],
            Node::Seq(children) | Node::Par(children) => children,
        }
    }

    /// Whether the nest makes `first` end before `second` starts; both by index in the graph.
    pub fn precedes(&self, first: usize, second: usize) -> bool {
        let (mut a, mut b) = (self.leaves[first], self.leaves[second]);
        let (mut slot_a, mut slot_b) = (0, 0);
        // A parent's index is higher than its children's, so the lower of the two climbs.
        while a != b {
            if a < b {
                (a, slot_a) = self.above[a];
            } else {
                (b, slot_b) = self.above[b];
            }
        }
        matches!(self.nodes[a], Node::Seq(_)) && slot_a < slot_b
    }

    /// How many `Par` stand above the deepest task.
    pub fn depth(&self) -> usize {
        let mut heights = vec![0; self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate() {
            let below = self.children(id).iter().map(|&child| heights[child]).max();
            heights[id] = below.unwrap_or(0) + usize::from(matches!(node, Node::Par(_)));
        }
        heights.last().copied().unwrap_or(0)
    }

    /// Merges sequences into sequences and `Par` into `Par`, leaves out lists of one.
    fn tidy(drafts: &Drafts, root: DraftId, order: &Order) -> Self {
        let mut nest = Self { nodes: Vec::new(), above: Vec::new(), leaves: vec![0; order.len()] };
        // Children first, without recursion: a node is opened, its children follow, it is closed.
        enum Step {
            Open(DraftId),
            Close(DraftId, usize),
        }
        let mut finished: Vec<NodeId> = Vec::new();
        let mut stack = vec![Step::Open(root)];
        while let Some(step) = stack.pop() {
            match step {
                Step::Open(id) => match drafts.kind(id) {
                    Kind::Task(position) => {
                        let task = order.sequence()[position as usize];
                        nest.leaves[task] = nest.push(Node::Task(task));
                        finished.push(nest.leaves[task]);
                    }
                    Kind::Seq | Kind::Par => {
                        stack.push(Step::Close(id, finished.len()));
                        stack.extend(drafts.children(id).iter().rev().map(|&c| Step::Open(c)));
                    }
                },
                Step::Close(id, start) => {
                    let children = finished.split_off(start);
                    finished.extend(nest.join(drafts.kind(id), children));
                }
            }
        }
        nest.compact(finished.pop());
        nest
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// A list node of these children, merged with those of its own kind.
    fn join(&mut self, kind: Kind, children: Vec<NodeId>) -> Option<NodeId> {
        let mut merged = Vec::with_capacity(children.len());
        for child in children {
            match &mut self.nodes[child] {
                Node::Seq(inner) if kind == Kind::Seq => merged.append(inner),
                Node::Par(inner) if kind == Kind::Par => merged.append(inner),
                _ => merged.push(child),
            }
        }
        match merged[..] {
            [] => None,
            [single] => Some(single),
            _ if kind == Kind::Seq => Some(self.push(Node::Seq(merged))),
            _ => Some(self.push(Node::Par(merged))),
        }
    }

    /// Drops the lists that were merged away and notes what is above what.
    fn compact(&mut self, root: Option<NodeId>) {
        let mut place = vec![0; self.nodes.len()];
        let mut kept = Vec::with_capacity(self.nodes.len());
        for (id, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            let node = match node {
                Node::Seq(children) | Node::Par(children) if children.is_empty() => continue,
                Node::Seq(children) => Node::Seq(children.iter().map(|&c| place[c]).collect()),
                Node::Par(children) => Node::Par(children.iter().map(|&c| place[c]).collect()),
                task => task,
            };
            place[id] = kept.len();
            kept.push(node);
        }
        debug_assert!(root.is_none_or(|root| place[root] + 1 == kept.len()));
        self.above = vec![(kept.len().saturating_sub(1), 0); kept.len()];
        for (id, node) in kept.iter().enumerate() {
            match node {
                Node::Task(task) => self.leaves[*task] = id,
                Node::Seq(children) | Node::Par(children) => {
                    for (slot, &child) in children.iter().enumerate() {
                        self.above[child] = (id, slot);
                    }
                }
            }
        }
        self.nodes = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Firing, Graph};

    /// The nest in letters: `ab` one after the other, `(a|b)` side by side.
    fn show(needs: &[&[usize]]) -> String {
        let mut graph = Graph::new();
        for needs in needs {
            graph.add(needs.iter().copied(), Firing::AllEnded);
        }
        let nest = Nest::build(&Order::new(&graph).unwrap());
        let mut texts: Vec<String> = Vec::new();
        for id in 0..nest.len() {
            let children: Vec<&str> = nest.children(id).iter().map(|&c| texts[c].as_str()).collect();
            texts.push(match nest.node(id) {
                Node::Task(task) => char::from(b'a' + *task as u8).to_string(),
                Node::Seq(_) => children.concat(),
                Node::Par(_) => format!("({})", children.join("|")),
            });
        }
        texts.pop().unwrap_or_default()
    }

    #[test]
    fn no_tasks_are_no_nest() {
        assert_eq!(show(&[]), "");
    }

    #[test]
    fn series_parallel_graphs_keep_their_shape() {
        assert_eq!(show(&[&[], &[0], &[0], &[1, 2]]), "a(b|c)d");
        assert_eq!(show(&[&[], &[0], &[], &[2]]), "(ab|cd)");
        // Every one of two layers needs every one of the layer above.
        assert_eq!(show(&[&[], &[], &[0, 1], &[0, 1]]), "(a|b)(c|d)");
        // An edge that others imply changes nothing.
        assert_eq!(show(&[&[], &[0], &[0, 1]]), "abc");
    }

    #[test]
    fn a_gated_join_follows_one_of_its_parents() {
        // c needs a, d needs both a and b: d follows b and is gated on a.
        assert_eq!(show(&[&[], &[], &[0], &[0, 1]]), "(ac|bd)");
    }

    #[test]
    fn precedence_is_read_across_levels() {
        let mut graph = Graph::new();
        for needs in [vec![], vec![0], vec![0], vec![1, 2]] {
            graph.add(needs, Firing::AllEnded);
        }
        let nest = Nest::build(&Order::new(&graph).unwrap());
        assert!(nest.precedes(0, 2) && nest.precedes(2, 3) && nest.precedes(0, 3));
        assert!(!nest.precedes(1, 2) && !nest.precedes(3, 1) && !nest.precedes(1, 1));
    }
}
