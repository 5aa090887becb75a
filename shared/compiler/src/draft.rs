//! A nest under construction: an arena of nodes that can still be moved.

use crate::bits;

/// Index of a node in a [`Drafts`].
pub(crate) type DraftId = u32;

const NONE: DraftId = u32::MAX;

/// What a node under construction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The task at this position.
    Task(u32),
    /// Children one after the other.
    Seq,
    /// Children side by side.
    Par,
}

#[derive(Clone, Debug)]
struct Draft {
    kind: Kind,
    parent: DraftId,
    children: Vec<DraftId>,
}

/// The arena. Sequences may hold sequences and lists may hold one child until the end:
/// [`crate::nest::Nest`] is the tidy form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drafts {
    nodes: Vec<Draft>,
    /// The leaf of a task, by position; stale for tasks of a truncated trial.
    leaves: Vec<DraftId>,
}

impl Drafts {
    pub(crate) fn new(tasks: usize) -> Self {
        Self { nodes: Vec::new(), leaves: vec![NONE; tasks] }
    }

    /// A mark to return to with [`Self::truncate`].
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Forgets every node made since `len` was taken. No older node may refer to them.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.nodes.truncate(len);
    }

    /// A node without parent or children.
    pub(crate) fn add(&mut self, kind: Kind) -> DraftId {
        let id = self.nodes.len() as DraftId;
        self.nodes.push(Draft { kind, parent: NONE, children: Vec::new() });
        if let Kind::Task(task) = kind {
            self.leaves[task as usize] = id;
        }
        id
    }

    /// Decides what a node is that was added before that was known.
    pub(crate) fn set_kind(&mut self, id: DraftId, kind: Kind) {
        self.nodes[id as usize].kind = kind;
        if let Kind::Task(task) = kind {
            self.leaves[task as usize] = id;
        }
    }

    /// Makes `child` the last child of `parent`.
    pub(crate) fn append(&mut self, parent: DraftId, child: DraftId) {
        self.nodes[child as usize].parent = parent;
        self.nodes[parent as usize].children.push(child);
    }

    pub(crate) fn kind(&self, id: DraftId) -> Kind {
        self.nodes[id as usize].kind
    }

    pub(crate) fn children(&self, id: DraftId) -> &[DraftId] {
        &self.nodes[id as usize].children
    }

    pub(crate) fn parent(&self, id: DraftId) -> Option<DraftId> {
        let parent = self.nodes[id as usize].parent;
        (parent != NONE).then_some(parent)
    }

    pub(crate) fn leaf(&self, task: u32) -> DraftId {
        self.leaves[task as usize]
    }

    /// Where a node stands among its parent's children.
    pub(crate) fn slot(&self, parent: DraftId, child: DraftId) -> usize {
        self.children(parent).iter().position(|&id| id == child).unwrap_or(0)
    }

    /// Whether every task below a node is in the set.
    pub(crate) fn all_in(&self, id: DraftId, set: &[u64]) -> bool {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            match self.kind(id) {
                Kind::Task(task) if !bits::has(set, task) => return false,
                _ => stack.extend_from_slice(self.children(id)),
            }
        }
        true
    }

    /// The last task below a node.
    pub(crate) fn last_task(&self, mut id: DraftId) -> Option<u32> {
        loop {
            match self.kind(id) {
                Kind::Task(task) => return Some(task),
                _ => id = *self.children(id).last()?,
            }
        }
    }

    /// The nearest sequence that holds a leaf directly; a sequence of one is made where there is
    /// none.
    pub(crate) fn sequence_of(&mut self, leaf: DraftId) -> DraftId {
        match self.parent(leaf) {
            Some(parent) if self.kind(parent) == Kind::Seq => parent,
            parent => {
                let seq = self.add(Kind::Seq);
                if let Some(parent) = parent {
                    let slot = self.slot(parent, leaf);
                    self.nodes[parent as usize].children[slot] = seq;
                    self.nodes[seq as usize].parent = parent;
                }
                self.append(seq, leaf);
                seq
            }
        }
    }

    /// Puts `node` beside the children `from..to` of a sequence: after what comes before them,
    /// before what comes after them.
    pub(crate) fn put_beside(&mut self, seq: DraftId, from: usize, to: usize, node: DraftId) {
        let beside: Vec<DraftId> = self.nodes[seq as usize].children[from..to].to_vec();
        let place = match beside[..] {
            [] => {
                self.nodes[seq as usize].children.insert(from, node);
                self.nodes[node as usize].parent = seq;
                return;
            }
            [single] if self.kind(single) == Kind::Par => {
                self.append(single, node);
                return;
            }
            [single] => single,
            _ => {
                let rest = self.add(Kind::Seq);
                for child in beside {
                    self.append(rest, child);
                }
                rest
            }
        };
        let par = self.add(Kind::Par);
        self.append(par, place);
        self.append(par, node);
        self.nodes[par as usize].parent = seq;
        self.nodes[seq as usize].children.splice(from..to, [par]);
    }

    /// How many `Par` stand on the longest way down from a node, itself included.
    pub(crate) fn height(&self, id: DraftId) -> usize {
        let mut deepest = 0;
        let mut stack = vec![(id, 0)];
        while let Some((id, above)) = stack.pop() {
            let level = above + usize::from(self.kind(id) == Kind::Par);
            deepest = deepest.max(level);
            stack.extend(self.children(id).iter().map(|&child| (child, level)));
        }
        deepest
    }
}
