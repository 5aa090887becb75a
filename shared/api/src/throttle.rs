//! What a flood of refused calls may write: one entry a minute for each thing that is refused.
//!
//! Entries hold nothing that a caller without a key has chosen, and are dated to the minute, so the same
//! refusal is the same item in the store however many processes write it. This only spares the writes.

use cauce_model::Instant;
use cauce_model::time::MICROS;
use std::collections::BTreeSet;

/// Most refusals that one process writes down in a minute.
const ENTRIES_MAX: usize = 64;

/// What was written down in the present minute.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    minute: i64,
    told: BTreeSet<String>,
}

/// The beginning of a moment's minute.
pub(crate) fn minute(now: Instant) -> Instant {
    Instant::from_micros(now.micros().div_euclid(60 * MICROS) * 60 * MICROS)
}

impl Throttle {
    /// Whether this is to be written down: it is the first of its minute.
    pub(crate) fn first(&mut self, now: Instant, what: String) -> bool {
        let minute = minute(now).micros();
        if minute != self.minute {
            self.minute = minute;
            self.told.clear();
        }
        self.told.len() < ENTRIES_MAX && self.told.insert(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_written_once_a_minute_and_a_flood_of_them_not_at_all() {
        let mut throttle = Throttle::default();
        let at = |seconds: i64| Instant::from_micros(seconds * MICROS);
        assert!(throttle.first(at(0), "a".into()));
        assert!(!throttle.first(at(59), "a".into()));
        assert!(throttle.first(at(59), "b".into()));
        assert!(throttle.first(at(60), "a".into()));
        let written = (0..1000).filter(|n| throttle.first(at(61), n.to_string())).count();
        assert_eq!(written, ENTRIES_MAX - 1);
        assert_eq!(minute(at(119)), at(60));
    }
}
