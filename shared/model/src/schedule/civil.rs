//! The search for the local times at which a cron expression ticks, before any zone is involved.
//!
//! A month's days are worked out as bits, so a search looks at months, not at days or minutes.

use super::cron::Cron;
use super::set::Set;
use jiff::civil::{Date, DateTime, Time, Weekday};

/// The widest stretch without a tick: 29 February, around a century year that is no leap year.
const MONTHS_WITHOUT_TICK_MAX: u32 = 8 * 12;

/// Days 0, 7, 14, 21 and 28: raised by a weekday's first day, all its days in a month.
const EVERY_SEVENTH_DAY: Set = Set::EMPTY.with(0).with(7).with(14).with(21).with(28);

impl Cron {
    /// Whether it ticks at the minute of a local time.
    pub fn matches(&self, local: DateTime) -> bool {
        self.minutes.contains(local.minute() as u8)
            && self.hours.contains(local.hour() as u8)
            && self.months.contains(local.month() as u8)
            && self.days_of(local.date()).contains(local.day() as u8)
    }

    /// How many local times of a year tick.
    pub fn local_times_in(&self, year: i16) -> u64 {
        let months = self.months.iter().filter_map(|month| Date::new(year, month as i8, 1).ok());
        let days: u64 = months.map(|month| u64::from(self.days_of(month).len())).sum();
        days * u64::from(self.hours.len()) * u64::from(self.minutes.len())
    }

    /// The first local time that ticks and is not before `from`, a whole minute; `None` at the end
    /// of the calendar.
    pub(super) fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        let today = self.day_at_or_after(from.date())?;
        if today == from.date() {
            if let Some(time) = self.time_at_or_after(from.time()) {
                return Some(today.to_datetime(time));
            }
            let later = self.day_at_or_after(today.tomorrow().ok()?)?;
            return Some(later.to_datetime(self.first_time()?));
        }
        Some(today.to_datetime(self.first_time()?))
    }

    /// The last local time that ticks and is not after `from`, a whole minute; `None` at the start
    /// of the calendar.
    pub(super) fn at_or_before(&self, from: DateTime) -> Option<DateTime> {
        let today = self.day_at_or_before(from.date())?;
        if today == from.date() {
            if let Some(time) = self.time_at_or_before(from.time()) {
                return Some(today.to_datetime(time));
            }
            let earlier = self.day_at_or_before(today.yesterday().ok()?)?;
            return Some(earlier.to_datetime(self.last_time()?));
        }
        Some(today.to_datetime(self.last_time()?))
    }

    fn first_time(&self) -> Option<Time> {
        time(self.hours.first()?, self.minutes.first()?)
    }

    fn last_time(&self) -> Option<Time> {
        time(self.hours.last()?, self.minutes.last()?)
    }

    fn time_at_or_after(&self, from: Time) -> Option<Time> {
        let (hour, minute) = (from.hour() as u8, from.minute() as u8);
        if self.hours.contains(hour)
            && let Some(minute) = self.minutes.at_or_after(minute)
        {
            return time(hour, minute);
        }
        time(self.hours.at_or_after(hour + 1)?, self.minutes.first()?)
    }

    fn time_at_or_before(&self, from: Time) -> Option<Time> {
        let (hour, minute) = (from.hour() as u8, from.minute() as u8);
        if self.hours.contains(hour)
            && let Some(minute) = self.minutes.at_or_before(minute)
        {
            return time(hour, minute);
        }
        time(self.hours.at_or_before(hour.checked_sub(1)?)?, self.minutes.last()?)
    }

    fn day_at_or_after(&self, from: Date) -> Option<Date> {
        let mut month = from.first_of_month();
        let mut day = from.day() as u8;
        for _ in 0..=MONTHS_WITHOUT_TICK_MAX {
            if self.months.contains(month.month() as u8)
                && let Some(day) = self.days_of(month).at_or_after(day)
            {
                return Date::new(month.year(), month.month(), day as i8).ok();
            }
            month = match month.month() {
                12 => Date::new(month.year() + 1, 1, 1).ok()?,
                number => Date::new(month.year(), number + 1, 1).ok()?,
            };
            day = 1;
        }
        None
    }

    fn day_at_or_before(&self, from: Date) -> Option<Date> {
        let mut month = from.first_of_month();
        let mut day = from.day() as u8;
        for _ in 0..=MONTHS_WITHOUT_TICK_MAX {
            if self.months.contains(month.month() as u8)
                && let Some(day) = self.days_of(month).at_or_before(day)
            {
                return Date::new(month.year(), month.month(), day as i8).ok();
            }
            month = match month.month() {
                1 => Date::new(month.year() - 1, 12, 1).ok()?,
                number => Date::new(month.year(), number - 1, 1).ok()?,
            };
            day = 31;
        }
        None
    }

    /// The days of a date's month that tick, by both day fields; the month itself is not looked at.
    fn days_of(&self, date: Date) -> Set {
        let all = Set::range(1, date.days_in_month() as u8);
        let days = match (self.restricts_days(), self.restricts_weekdays()) {
            (true, true) => self.days.or(self.weekdays_of(date)),
            (_, false) => self.days,
            (false, true) => self.weekdays_of(date),
        };
        days.and(all)
    }

    fn weekdays_of(&self, date: Date) -> Set {
        let first = weekday(date.first_of_month().weekday());
        (0..7)
            .filter(|day| self.weekdays.contains(*day))
            .fold(Set::EMPTY, |days, day| days.or(EVERY_SEVENTH_DAY.raised(1 + (day + 7 - first) % 7)))
    }
}

fn weekday(weekday: Weekday) -> u8 {
    weekday.to_sunday_zero_offset() as u8
}

fn time(hour: u8, minute: u8) -> Option<Time> {
    Time::new(hour as i8, minute as i8, 0, 0).ok()
}
