//! Parts: a nest too large for one machine becomes several.
//!
//! Every subtree of the nest has one entry and one exit, and gates go through the store, so any run
//! of children of a sequence and any set of children of a `Par` can be a machine of its own that the
//! machine above starts as one state. Children are packed bottom-up, each into the present part
//! while it fits (next-fit), so that parts are contiguous and a task's place is easy to find.

use crate::nest::{Nest, Node};

/// What one machine holds at most, in weight: as many ordinary tasks.
pub const WEIGHT_LIMIT: usize = 400;

/// How many `Parallel` states stand inside each other in one machine at most. Every level is four
/// levels of JSON, and parsers stop at 128.
pub const HEIGHT_LIMIT: usize = 20;

/// Index of a node in [`Layout`].
pub type BlockId = usize;

/// A node of what a machine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A task, by its index in the graph.
    Task(usize),
    /// One after the other.
    Seq(Vec<BlockId>),
    /// Side by side.
    Par(Vec<BlockId>),
    /// The machine of this number.
    Part(usize),
}

/// The nest, cut into machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    blocks: Vec<Block>,
    /// What the pipeline's own machine holds; `None` without tasks.
    pub root: Option<BlockId>,
    /// What each part holds, innermost first.
    pub parts: Vec<BlockId>,
}

/// A node as its parent sees it.
#[derive(Clone, Copy)]
struct Packed {
    block: BlockId,
    weight: usize,
    height: usize,
}

impl Layout {
    /// Cuts a nest, given what each task weighs (at least 1, at most [`WEIGHT_LIMIT`]).
    pub fn new(nest: &Nest, weight: impl Fn(usize) -> usize) -> Self {
        let mut layout = Self { blocks: Vec::new(), root: None, parts: Vec::new() };
        // Children come before their parents, so one pass is bottom-up.
        let mut packed: Vec<Packed> = Vec::with_capacity(nest.len());
        for id in 0..nest.len() {
            let children: Vec<Packed> = nest.children(id).iter().map(|&c| packed[c]).collect();
            let node = match nest.node(id) {
                Node::Task(task) => {
                    Packed { block: layout.add(Block::Task(*task)), weight: weight(*task), height: 0 }
                }
                Node::Seq(_) => layout.pack(children, Block::Seq),
                Node::Par(_) => layout.pack(children, Block::Par),
            };
            packed.push(node);
        }
        layout.root = packed.last().map(|node| node.block);
        layout
    }

    /// A block.
    pub fn block(&self, id: BlockId) -> &Block {
        &self.blocks[id]
    }

    fn add(&mut self, block: Block) -> BlockId {
        self.blocks.push(block);
        self.blocks.len() - 1
    }

    /// A list of these children, as parts where they are too heavy or too high together.
    fn pack(&mut self, mut children: Vec<Packed>, list: fn(Vec<BlockId>) -> Block) -> Packed {
        for child in &mut children {
            if child.height >= HEIGHT_LIMIT {
                *child = self.part(child.block);
            }
        }
        while children.iter().map(|child| child.weight).sum::<usize>() > WEIGHT_LIMIT {
            children = self.next_fit(children, list);
        }
        self.list(children, list)
    }

    fn next_fit(&mut self, children: Vec<Packed>, list: fn(Vec<BlockId>) -> Block) -> Vec<Packed> {
        let mut groups: Vec<Vec<Packed>> = Vec::new();
        let mut room = 0;
        for child in children {
            match groups.last_mut() {
                Some(group) if child.weight <= room => group.push(child),
                _ => {
                    room = WEIGHT_LIMIT;
                    groups.push(vec![child]);
                }
            }
            room -= child.weight.min(room);
        }
        groups
            .into_iter()
            .map(|group| match group[..] {
                // Alone and light: a machine of its own would save nothing.
                [single] if single.weight == 1 => single,
                _ => {
                    let together = self.list(group, list);
                    self.part(together.block)
                }
            })
            .collect()
    }

    fn list(&mut self, children: Vec<Packed>, list: fn(Vec<BlockId>) -> Block) -> Packed {
        if let [single] = children[..] {
            return single;
        }
        let weight = children.iter().map(|child| child.weight).sum();
        let height = children.iter().map(|child| child.height).max();
        let block = list(children.iter().map(|child| child.block).collect());
        let own = usize::from(matches!(block, Block::Par(_)));
        Packed { block: self.add(block), weight, height: height.unwrap_or(0) + own }
    }

    /// A machine of its own for a block, seen as one light state.
    fn part(&mut self, block: BlockId) -> Packed {
        self.parts.push(block);
        Packed { block: self.add(Block::Part(self.parts.len() - 1)), weight: 1, height: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Firing, Graph, Order};

    /// Every task below a block, entering parts, and the weight of each machine.
    fn tasks(layout: &Layout, block: BlockId, weight: usize, found: &mut Vec<usize>) -> usize {
        match layout.block(block) {
            Block::Task(task) => {
                found.push(*task);
                weight
            }
            Block::Part(part) => {
                assert!(tasks(layout, layout.parts[*part], weight, found) <= WEIGHT_LIMIT);
                1
            }
            Block::Seq(children) | Block::Par(children) => {
                children.iter().map(|&child| tasks(layout, child, weight, found)).sum()
            }
        }
    }

    fn assert_whole(graph: &Graph, weight: usize) -> Layout {
        let nest = Nest::build(&Order::new(graph).unwrap());
        let layout = Layout::new(&nest, |_| weight);
        let mut found = Vec::new();
        assert!(tasks(&layout, layout.root.unwrap(), weight, &mut found) <= WEIGHT_LIMIT);
        found.sort_unstable();
        assert_eq!(found, (0..graph.len()).collect::<Vec<_>>());
        layout
    }

    #[test]
    fn a_chain_just_too_long_becomes_two_parts_in_its_order() {
        let mut graph = Graph::new();
        for task in 0..=WEIGHT_LIMIT {
            graph.add(task.checked_sub(1), Firing::AllEnded);
        }
        let layout = assert_whole(&graph, 1);
        // The last task alone stays in the machine above.
        assert_eq!(layout.parts.len(), 1);
    }

    #[test]
    fn a_fan_larger_than_a_machine_of_parts_becomes_parts_of_parts() {
        let mut graph = Graph::new();
        // Two fit a part, so there are more parts than one machine can start.
        for _ in 0..2 * WEIGHT_LIMIT + 1 {
            graph.add([], Firing::AllEnded);
        }
        let layout = assert_whole(&graph, WEIGHT_LIMIT / 2);
        assert_eq!(layout.parts.len(), WEIGHT_LIMIT + 2);
    }

    #[test]
    fn a_comb_is_cut_before_it_is_too_deep_to_parse() {
        let mut graph = Graph::new();
        let mut spine = graph.add([], Firing::AllEnded);
        for _ in 0..150 {
            graph.add([spine], Firing::AllEnded);
            spine = graph.add([spine], Firing::AllEnded);
        }
        let layout = assert_whole(&graph, 1);
        assert!(layout.parts.len() >= 150 / HEIGHT_LIMIT);
    }
}
