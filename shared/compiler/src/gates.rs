//! Gates: the edges that the nest leaves out.

use crate::nest::Nest;
use crate::order::{Graph, Order};

/// What every task waits for at its gate, and where it arrives; tasks by index in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gates {
    /// The members of a task's gate, ascending; empty for a task without one.
    pub waits: Vec<Vec<usize>>,
    /// The gates at which a task arrives when it ends, ascending.
    pub opens: Vec<Vec<usize>>,
}

impl Gates {
    /// The gates that make a nest exact.
    ///
    /// A task that can fire early waits for all its declared upstreams; any other waits for the
    /// cover parents that the nest does not put before it.
    pub fn new(graph: &Graph, order: &Order, nest: &Nest) -> Self {
        let mut gates = Self { waits: vec![Vec::new(); graph.len()], opens: vec![Vec::new(); graph.len()] };
        for (position, &task) in order.sequence().iter().enumerate() {
            let position = position as u32;
            let mut waits: Vec<usize> = if order.is_early(position) {
                graph.needs(task).to_vec()
            } else {
                let covers = order.covers(position).iter();
                covers
                    .map(|&parent| order.sequence()[parent as usize])
                    .filter(|&parent| !nest.precedes(parent, task))
                    .collect()
            };
            waits.sort_unstable();
            gates.waits[task] = waits;
        }
        for (task, waits) in gates.waits.iter().enumerate() {
            for &upstream in waits {
                gates.opens[upstream].push(task);
            }
        }
        gates
    }

    /// How many tasks have a gate.
    pub fn gated(&self) -> usize {
        self.waits.iter().filter(|waits| !waits.is_empty()).count()
    }
}
