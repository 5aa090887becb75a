//! Which ticks are made up for after a pause.

use super::Schedule;
use crate::Instant;
use crate::plan::Catchup;

impl Schedule {
    /// The moment after which ticks are fired at `now`, when every tick up to and with `seen` was seen
    /// to. Those that are less than `late_micros` old always are; of the older ones, as many of the
    /// newest as `catchup` asks for. The newest so many count ticks that are on time.
    ///
    /// A schedule deployed for the first time passes the moment of its deployment as `seen`, so that it
    /// makes up for nothing before.
    pub fn caught_up_after(&self, seen: Instant, now: Instant, late_micros: i64) -> Instant {
        let on_time = now.plus_micros(-late_micros);
        let wanted = match self.catchup {
            Catchup::None => 0,
            Catchup::Last => 1,
            Catchup::Newest(count) => count as usize,
            Catchup::All => return seen,
        };
        let ticks = self.ticks_back(now).take_while(|tick| *tick > seen);
        let mut firing = ticks.filter(|tick| self.interval_ending_at(*tick).is_some());
        firing.nth(wanted).unwrap_or(seen).min(on_time).max(seen)
    }
}
