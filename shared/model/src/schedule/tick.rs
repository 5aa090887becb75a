//! The moments at which a schedule ticks.

use super::zone::{Place, last_minute_before, whole_minute_at_or_after};
use super::{Cron, Rhythm, Schedule, Zone};
use crate::Instant;
use crate::plan::DstGap;
use jiff::Timestamp;
use jiff::civil::Time;

impl Schedule {
    /// The first tick later than `after`.
    pub fn next_tick(&self, after: Instant) -> Option<Instant> {
        let after = match self.start {
            Some(start) => after.max(start.plus_micros(-1)),
            None => after,
        };
        let tick = match &self.rhythm {
            Rhythm::Cron(cron) => {
                cron.next(&self.zone, self.dst_gap, after.to_timestamp()).map(Instant::from_timestamp)
            }
            Rhythm::Rate(period) => {
                (after.micros().div_euclid(*period) + 1).checked_mul(*period).map(Instant::from_micros)
            }
            Rhythm::Once(at) => Some(*at).filter(|at| *at > after),
            Rhythm::Calendar { calendar, edge, minutes } => calendar.next(*edge, *minutes, after),
        };
        tick.filter(|tick| self.end.is_none_or(|end| *tick < end))
    }

    /// The last tick at `at` or before.
    pub fn previous_tick(&self, at: Instant) -> Option<Instant> {
        let at = match self.end {
            Some(end) => at.min(end.plus_micros(-1)),
            None => at,
        };
        let tick = match &self.rhythm {
            Rhythm::Cron(cron) => {
                cron.previous(&self.zone, self.dst_gap, at.to_timestamp()).map(Instant::from_timestamp)
            }
            Rhythm::Rate(period) => {
                at.micros().div_euclid(*period).checked_mul(*period).map(Instant::from_micros)
            }
            Rhythm::Once(once) => Some(*once).filter(|once| *once <= at),
            Rhythm::Calendar { calendar, edge, minutes } => calendar.previous(*edge, *minutes, at),
        };
        tick.filter(|tick| self.start.is_none_or(|start| *tick >= start))
    }

    /// The ticks later than `after`, up to and with `until`, in order.
    pub fn ticks(&self, after: Instant, until: Instant) -> impl Iterator<Item = Instant> + '_ {
        std::iter::successors(self.next_tick(after), |tick| self.next_tick(*tick))
            .take_while(move |tick| *tick <= until)
    }

    /// The ticks at `at` and before, latest first.
    pub fn ticks_back(&self, at: Instant) -> impl Iterator<Item = Instant> + '_ {
        std::iter::successors(self.previous_tick(at), |tick| self.previous_tick(tick.plus_micros(-1)))
    }

    /// Whether this very moment is a tick.
    pub fn is_tick(&self, at: Instant) -> bool {
        self.previous_tick(at) == Some(at)
    }

    /// Whether a tick exists only because a clock change skipped its local time. EventBridge
    /// Scheduler does not fire these, so whoever relies on it fires them from elsewhere.
    pub fn is_moved_by_clock_change(&self, tick: Instant) -> bool {
        match &self.rhythm {
            Rhythm::Cron(cron) => self.is_tick(tick) && !cron.matches(self.zone.local(tick)),
            Rhythm::Rate(_) | Rhythm::Once(_) | Rhythm::Calendar { .. } => false,
        }
    }
}

impl Cron {
    fn next(&self, zone: &Zone, gap: DstGap, after: Timestamp) -> Option<Timestamp> {
        let mut from = zone.first_local_after(after)?;
        loop {
            let local = self.at_or_after(from)?;
            match zone.place(local)? {
                Place::At(tick) => return Some(tick),
                Place::Skipped { ends_at, to, .. }
                    if gap == DstGap::RunAfter && to.date() == local.date() =>
                {
                    return Some(ends_at);
                }
                // Later times of the stretch may lie on the day on which it ends.
                Place::Skipped { to, .. } if gap == DstGap::RunAfter => {
                    from = to.date().to_datetime(Time::midnight());
                }
                Place::Skipped { to, .. } => from = whole_minute_at_or_after(to)?,
            }
        }
    }

    fn previous(&self, zone: &Zone, gap: DstGap, at: Timestamp) -> Option<Timestamp> {
        let mut until = zone.last_local_until(at)?;
        loop {
            let local = self.at_or_before(until)?;
            match zone.place(local)? {
                Place::At(tick) => return Some(tick),
                Place::Skipped { ends_at, to, .. }
                    if gap == DstGap::RunAfter && to.date() == local.date() =>
                {
                    return Some(ends_at);
                }
                // Earlier times of the stretch lie on this day or an earlier one, so are left out too.
                Place::Skipped { from, .. } => until = last_minute_before(from)?,
            }
        }
    }
}
