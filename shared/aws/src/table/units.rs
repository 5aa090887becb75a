//! What the table cost.

use aws_sdk_dynamodb::types::ConsumedCapacity;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Capacity units of some calls.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Units {
    /// Read units: 4 KiB consistent, 8 KiB from the index.
    pub read: f64,
    /// Write units: 1 KiB, twice that in a transaction.
    pub written: f64,
}

impl Units {
    /// What was consumed since there were those.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { read: self.read - before.read, written: self.written - before.written }
    }
}

/// Capacity units that calls of one table, and its copies, consumed, as DynamoDB reported them; the
/// index included. Not counted, for DynamoDB reports nothing with an error: writes whose condition does
/// not hold, which are billed as well. Units are what on-demand tables are billed by.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-mode.html>
#[derive(Clone, Debug, Default)]
pub struct ConsumedUnits {
    counters: Arc<Counters>,
}

/// In halves, the smallest part of a unit that a call consumes.
#[derive(Debug, Default)]
struct Counters {
    read: AtomicU64,
    written: AtomicU64,
}

impl ConsumedUnits {
    /// All that was consumed so far.
    pub fn so_far(&self) -> Units {
        Units { read: units(&self.counters.read), written: units(&self.counters.written) }
    }

    /// Counts what a read reported.
    pub(super) fn add_read(&self, consumed: &[ConsumedCapacity]) {
        add(&self.counters.read, consumed);
    }

    /// Counts what a write reported.
    pub(super) fn add_written(&self, consumed: &[ConsumedCapacity]) {
        add(&self.counters.written, consumed);
    }
}

fn add(counter: &AtomicU64, consumed: &[ConsumedCapacity]) {
    let units: f64 = consumed.iter().filter_map(|part| part.capacity_units).sum();
    // Whole and not negative by then; a float's cast saturates.
    counter.fetch_add((units * 2.0).round() as u64, Ordering::Relaxed);
}

fn units(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_count_together() {
        let units = ConsumedUnits::default();
        let part = |units| ConsumedCapacity::builder().capacity_units(units).build();
        units.clone().add_read(&[part(0.5), part(2.0)]);
        units.add_written(&[part(3.0)]);
        let before = units.so_far();
        assert_eq!(before, Units { read: 2.5, written: 3.0 });
        units.add_read(&[part(1.0)]);
        assert_eq!(units.so_far().since(before), Units { read: 1.0, written: 0.0 });
    }
}
