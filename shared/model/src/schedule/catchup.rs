//! Which ticks are made up for after a pause.

use super::{Interval, Schedule};
use crate::Instant;
use crate::plan::Catchup;
use crate::time::MICROS;

/// A tick younger than this is on time, not missed: EventBridge Scheduler fires within the minute.
/// Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>.
pub(super) const ON_TIME_SECONDS: i64 = 60;

impl Schedule {
    /// What is to be fired at `now`, oldest first, when every tick up to and with `last_fired` was
    /// seen to. Ticks less than a minute old always are; of the older ones, as many of the newest as
    /// `catchup` asks for. The newest so many count ticks that are on time.
    ///
    /// A schedule deployed for the first time passes the moment of its deployment as `last_fired`,
    /// so that it makes up for nothing before.
    pub fn due(&self, last_fired: Instant, now: Instant) -> Vec<Interval> {
        let wanted = match self.catchup {
            Catchup::None => 0,
            Catchup::Last => 1,
            Catchup::Newest(count) => count as usize,
            Catchup::All => usize::MAX,
        };
        let mut due: Vec<Interval> = self
            .ticks_back(now)
            .take_while(|tick| *tick > last_fired)
            .enumerate()
            .take_while(|(newer, tick)| *newer < wanted || now.micros_since(*tick) < ON_TIME_SECONDS * MICROS)
            .filter_map(|(_, tick)| self.interval_ending_at(tick))
            .collect();
        due.reverse();
        due
    }
}
