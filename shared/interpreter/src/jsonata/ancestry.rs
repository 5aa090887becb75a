//! The parent operator `%`: which step of a path must remember its parent, and under what label.
//!
//! Each `%` is a slot that climbs `level` steps to its left. Where the steps on the left are not
//! known yet, the slot travels outwards in [`Node::seeking`] until a path resolves it.

use super::ast::{Kind, Node, Slot};
use super::error::JsonataError;

#[derive(Default)]
pub(super) struct Ancestry {
    pub(super) slots: Vec<Slot>,
}

impl Ancestry {
    /// A new parent operator.
    pub(super) fn parent(&mut self, position: usize) -> Node {
        let slot = self.slots.len();
        self.slots.push(Slot { label: slot, level: 1 });
        Node::new(Kind::Parent(slot), position)
    }

    /// Adds the slots that `part` leaves open.
    pub(super) fn collect(seeking: &mut Vec<usize>, part: &Node) {
        seeking.extend(&part.seeking);
        if let Kind::Parent(slot) = part.kind {
            seeking.push(slot);
        }
    }

    /// Resolves the slots of the last step in the steps before it; those left are returned.
    pub(super) fn resolve(&mut self, steps: &mut [Node]) -> Result<Vec<usize>, JsonataError> {
        let Some((last, before)) = steps.split_last_mut() else { return Ok(Vec::new()) };
        let mut open = Vec::new();
        Self::collect(&mut open, last);
        let mut left = Vec::new();
        for slot in open {
            let mut at = before.len();
            while self.slots[slot].level > 0 {
                if at == 0 {
                    left.push(slot);
                    break;
                }
                at -= 1;
                // Contiguous steps that bind the context count as one.
                while at > 0 && has_focus(&before[at]) && has_focus(&before[at - 1]) {
                    at -= 1;
                }
                self.seek(&mut before[at], slot)?;
            }
        }
        Ok(left)
    }

    /// Resolves the slots of a filter: the first level up is the step that it filters.
    pub(super) fn resolve_filter(
        &mut self,
        step: &mut Node,
        condition: &mut Node,
    ) -> Result<(), JsonataError> {
        let mut open = std::mem::take(&mut condition.seeking);
        for slot in &open {
            if self.slots[*slot].level == 1 {
                self.seek(step, *slot)?;
            } else {
                self.slots[*slot].level -= 1;
            }
        }
        if let Kind::Parent(slot) = condition.kind {
            open.push(slot);
        }
        step.seeking.extend(open);
        Ok(())
    }

    fn seek(&mut self, node: &mut Node, slot: usize) -> Result<(), JsonataError> {
        match &mut node.kind {
            Kind::Name(_) | Kind::Wildcard => {
                let level = &mut self.slots[slot].level;
                *level = level.saturating_sub(1);
                if *level == 0 {
                    node.tuple = true;
                    let trimmings = node.trimmings_mut();
                    // A second `%` that ends here shares the label of the first.
                    if let Some(first) = trimmings.ancestor {
                        self.slots[slot].label = self.slots[first].label;
                    }
                    trimmings.ancestor = Some(slot);
                }
            }
            Kind::Parent(_) => self.slots[slot].level += 1,
            Kind::Block(parts) => {
                if let Some(last) = parts.last_mut() {
                    node.tuple = true;
                    self.seek(last, slot)?;
                }
            }
            Kind::Path { steps, plain, .. } => {
                node.tuple = true;
                *plain = false;
                for step in steps.iter_mut().rev() {
                    self.seek(step, slot)?;
                    if self.slots[slot].level == 0 {
                        break;
                    }
                }
            }
            _ => return Err(Self::underivable(node.position)),
        }
        Ok(())
    }

    pub(super) fn underivable(position: usize) -> JsonataError {
        JsonataError::syntax(
            "S0217",
            position,
            "The object representing the 'parent' cannot be derived from this expression",
        )
    }
}

fn has_focus(node: &Node) -> bool {
    node.trimmings.as_ref().is_some_and(|trimmings| trimmings.focus.is_some())
}
