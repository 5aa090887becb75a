//! Calendars: on which days something is open, and from when to when.
//!
//! A calendar can filter the ticks of a schedule, by the day of their data or by the moment of firing, or
//! be the rhythm itself: a tick at each opening or closing, moved by so many minutes of local time.

use super::set::Set;
use super::zone::Place;
use super::{Interval, Schedule, ScheduleError, Zone};
use crate::Instant;
use crate::plan::{CalendarFilter, CalendarPlan, Edge, HoursPlan};
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Span};
use std::collections::{BTreeMap, BTreeSet};

/// The longest stretch in which a calendar may be closed before its schedule counts as ended: nobody's
/// next day of business is further away.
pub(super) const CLOSED_DAYS_MAX: u64 = 1_100;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 1_440;

/// A calendar, ready to be asked.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Calendar {
    zone: Zone,
    weekdays: Set,
    with: BTreeSet<Date>,
    without: BTreeSet<Date>,
    hours: Option<Hours>,
    special: BTreeMap<Date, Hours>,
}

/// From one minute of the day to a later one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Hours {
    open: u16,
    close: u16,
}

impl Hours {
    fn of(plan: HoursPlan) -> Result<Self, ScheduleError> {
        let HoursPlan(open, close) = plan;
        if open < close && close <= DAY_MINUTES {
            Ok(Self { open, close })
        } else {
            Err(ScheduleError::Hours)
        }
    }

    const fn at(self, edge: Edge) -> u16 {
        match edge {
            Edge::Open => self.open,
            Edge::Close => self.close,
        }
    }
}

impl Calendar {
    /// Checks a planned calendar. `zone` is the schedule's, for a calendar without its own.
    pub(super) fn new(plan: &CalendarPlan, zone: &Zone) -> Result<Self, ScheduleError> {
        let dates = |texts: &BTreeSet<String>| -> Result<BTreeSet<Date>, ScheduleError> {
            texts.iter().map(|text| date(text)).collect()
        };
        let special = plan.special.iter().map(|(text, hours)| Ok((date(text)?, Hours::of(*hours)?)));
        Ok(Self {
            zone: plan.timezone.as_ref().map_or_else(|| Ok(zone.clone()), |name| Zone::named(name))?,
            weekdays: plan.weekdays.iter().fold(Set::EMPTY, |set, day| set.with(*day)),
            with: dates(&plan.with)?,
            without: dates(&plan.without)?,
            hours: plan.hours.map(Hours::of).transpose()?,
            special: special.collect::<Result<_, ScheduleError>>()?,
        })
    }

    /// Whether any day of it has hours.
    pub(super) fn has_hours(&self) -> bool {
        self.hours.is_some() || !self.special.is_empty()
    }

    /// The zone in which its days and hours are read.
    pub(super) const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether it is open on a day. A date that is named beats its weekday; one that is named twice is
    /// open.
    pub(super) fn is_open_on(&self, date: Date) -> bool {
        let named = self.with.contains(&date) || self.special.contains_key(&date);
        let weekday = date.weekday().to_sunday_zero_offset() as u8;
        named || self.weekdays.contains(weekday) && !self.without.contains(&date)
    }

    /// Whether it is open at a moment: within the hours of an open day, or on the day where it has none.
    pub(super) fn is_open_at(&self, at: Instant) -> bool {
        let local = self.zone.local(at);
        if !self.is_open_on(local.date()) {
            return false;
        }
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        self.hours_on(local.date()).is_none_or(|hours| (hours.open..hours.close).contains(&minute))
    }

    fn hours_on(&self, date: Date) -> Option<Hours> {
        self.special.get(&date).copied().or(self.hours)
    }

    /// The moment of a day's opening or closing, moved by minutes of local time. `None` on a closed day,
    /// for a calendar without hours, and where a clock change leaves no such moment on that day.
    fn moment(&self, date: Date, edge: Edge, minutes: i32) -> Option<Instant> {
        let hours = self.hours_on(date).filter(|_| self.is_open_on(date))?;
        let minute = i64::from(hours.at(edge)) + i64::from(minutes);
        let local: DateTime = date.to_datetime(Time::midnight());
        let local = local.checked_add(SignedDuration::from_mins(minute)).ok()?;
        let moment = match self.zone.place(local)? {
            Place::At(at) => at,
            Place::Skipped { ends_at, .. } => ends_at,
        };
        Some(Instant::from_timestamp(moment))
    }

    /// The first moment of its edge later than `after`.
    pub(super) fn next(&self, edge: Edge, minutes: i32, after: Instant) -> Option<Instant> {
        // An edge may be moved by up to a day, and hours end at midnight of the next.
        let mut day = self.zone.date_of(after).checked_sub(Span::new().days(2)).ok()?;
        for _ in 0..CLOSED_DAYS_MAX {
            if let Some(at) = self.moment(day, edge, minutes).filter(|at| *at > after) {
                return Some(at);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// The last moment of its edge at `at` or before.
    pub(super) fn previous(&self, edge: Edge, minutes: i32, at: Instant) -> Option<Instant> {
        let mut day = self.zone.date_of(at).checked_add(Span::new().days(2)).ok()?;
        for _ in 0..CLOSED_DAYS_MAX {
            if let Some(moment) = self.moment(day, edge, minutes).filter(|moment| *moment <= at) {
                return Some(moment);
            }
            day = day.yesterday().ok()?;
        }
        None
    }

    /// Whether every edge, moved, stays within its own day, so that no local day has two.
    pub(super) fn stays_in_its_day(&self, edge: Edge, minutes: i32) -> bool {
        let mut all = self.special.values().copied().chain(self.hours);
        all.all(|hours| (0..i32::from(DAY_MINUTES)).contains(&(i32::from(hours.at(edge)) + minutes)))
    }

    /// Its days of the week, and the minute of local time at which the edge ticks on ordinary days, with
    /// the days that the move takes them to. `None` without hours.
    pub(super) fn ordinary(&self, edge: Edge, minutes: i32) -> Option<(Set, u16)> {
        let minute = i32::from(self.hours?.at(edge)) + minutes;
        let shift = minute.div_euclid(i32::from(DAY_MINUTES)).rem_euclid(7) as u8;
        let days = self.weekdays.iter().fold(Set::EMPTY, |days, day| days.with((day + shift) % 7));
        Some((days, minute.rem_euclid(i32::from(DAY_MINUTES)) as u16))
    }
}

fn date(text: &str) -> Result<Date, ScheduleError> {
    text.parse().map_err(|_| ScheduleError::Date { text: text.to_owned() })
}

impl Schedule {
    /// Whether the calendar lets the run of an interval happen.
    pub(super) fn admits(&self, interval: &Interval) -> bool {
        match &self.filter {
            None => true,
            Some((calendar, CalendarFilter::DataDay)) => calendar.is_open_on(self.ds(interval.logical_date)),
            Some((calendar, CalendarFilter::FireTime)) => calendar.is_open_at(interval.end),
        }
    }

    /// Whether a calendar decides when this schedule is silent.
    pub fn has_calendar(&self) -> bool {
        self.filter.is_some() || matches!(self.rhythm, super::Rhythm::Calendar { .. })
    }
}
