//! The system's clock: the one place that reads it.

use cauce_model::Instant;
use cauce_ports::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The latest moment that anybody in this process was told.
static LATEST: AtomicI64 = AtomicI64::new(i64::MIN);

/// The system's clock. When the system sets its clock back, this one stands still until the other
/// has caught up: within one process, and for all its copies, it never goes back.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        #[expect(clippy::disallowed_methods, reason = "this is the Clock port that everything else asks")]
        let now = SystemTime::now();
        let micros = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        };
        Instant::from_micros(LATEST.fetch_max(micros, Ordering::Relaxed).max(micros))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back_when_the_system_s_does() {
        let before = SystemClock.now();
        let ahead = before.plus_seconds(3600);
        LATEST.fetch_max(ahead.micros(), Ordering::Relaxed);
        assert_eq!(SystemClock.now(), ahead);
    }
}
