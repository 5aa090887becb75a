//! Calendars: known, open at some time, and with hours where a schedule follows them.

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::calendar::Calendar;
use crate::file::pipeline::Schedule;
use crate::file::project::Project;
use crate::shape::Reader;
use crate::tree::{Entry, Value};

/// Checks the calendar that a schedule names, or lacks. `entry` is the file's list of schedules with the
/// position of this one, `place` where it stands.
pub(super) fn used(
    schedule: &Schedule,
    (entry, at): (&Entry, usize),
    (span, route): (Span, &str),
    project: &Project,
    reader: &mut Reader,
) {
    let node = match &entry.value.value {
        Value::List(items) => items.get(at).unwrap_or(&entry.value),
        _ => &entry.value,
    };
    let edge = [("open", schedule.open.is_some()), ("close", schedule.close.is_some())];
    let edge = edge.into_iter().find_map(|(key, given)| given.then_some(key));
    let place = |key: &str| {
        let span = node.get(key).map_or(span, |entry| entry.value.span);
        (span, format!("{route}.{key}"))
    };
    let mut report = |code, (span, route): (Span, String), message: String, help: String| {
        reader.report(Diagnostic::error(code, span, message).help(help).at(route));
    };
    let Some(name) = &schedule.calendar else {
        if let Some(key) = edge {
            report(
                Code::CalendarUse,
                place(key),
                format!("nothing says whose `{key}` is meant"),
                "name a calendar with hours: `calendar: exchange`".to_owned(),
            );
        }
        return;
    };
    let Some(calendar) = project.calendars.get(name.as_str()) else {
        let help = crate::shape::suggest::help(name, project.calendars.keys().map(|name| name.as_str()));
        report(
            Code::UnknownCalendar,
            place("calendar"),
            format!("the project file has no calendar `{name}`"),
            format!("add it under `calendars`; {help}"),
        );
        return;
    };
    if never_opens(calendar) {
        report(
            Code::CalendarUse,
            place("calendar"),
            format!("the calendar `{name}` is open on no day, so the schedule never starts a run"),
            "give it `weekdays`, or dates under `with`".to_owned(),
        );
    } else if let Some(key) = edge.filter(|_| calendar.hours.is_none() && calendar.special.is_empty()) {
        report(
            Code::CalendarUse,
            place(key),
            format!("the calendar `{name}` has no hours, so there is no `{key}`"),
            "give it some: `hours: \"09:30-16:00\"`".to_owned(),
        );
    }
}

fn never_opens(calendar: &Calendar) -> bool {
    calendar.weekdays.0.is_empty() && calendar.with.is_empty() && calendar.special.is_empty()
}
