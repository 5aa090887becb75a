//! Calendars: [`Calendar`], and the files of dates that they name.

use indexmap::IndexMap;

use crate::shape::{Day, Hours, TimeZoneName, Weekdays, record};

record! {
    /// Calendar: on which days, and from when to when, something is open.
    pub struct Calendar {
        /// Weekdays: the days of the week on which it is open; all of them where it does not say.
        weekdays: Weekdays = Weekdays::all();
        /// Without: dates on which it is closed.
        without: Vec<Day> = Vec::new();
        /// With: dates on which it is open whatever the weekday.
        with: Vec<Day> = Vec::new();
        /// Holidays: a file of dates on which it is closed, from the folder of the project file: iCalendar (`.ics`), or one date a line.
        holidays: Option<String> = None;
        /// Time zone: the zone of its days and hours; the schedule's where it does not say.
        timezone: Option<TimeZoneName> = None;
        /// Hours: from when to when it is open, such as `09:30-16:00`.
        hours: Option<Hours> = None;
        /// Special: dates with other hours.
        special: IndexMap<Day, Hours> = IndexMap::new();
    }
}

/// Most dates that a calendar's file may name: holidays of a few hundred years.
const HOLIDAYS_MAX: usize = 10_000;

/// Most days of one event: longer ones are no holiday.
const EVENT_DAYS_MAX: usize = 366;

/// The dates in a file of holidays: an iCalendar's all-day events, or one date a line, `#` begins a
/// comment, and what follows a date is its name.
///
/// # Errors
/// In words, with the line: a line that is no date; an event that recurs, since its dates are not
/// written there; too many.
pub fn holidays(text: &str) -> Result<Vec<Day>, String> {
    let days = match text.trim_start_matches('\u{feff}').trim_start().starts_with("BEGIN:VCALENDAR") {
        true => icalendar(text)?,
        false => lines(text)?,
    };
    match days.len() {
        0 => Err("no date stands in it".to_owned()),
        count if count > HOLIDAYS_MAX => Err(format!("{count} dates are more than {HOLIDAYS_MAX}")),
        _ => Ok(days),
    }
}

fn lines(text: &str) -> Result<Vec<Day>, String> {
    let mut days = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(word) = line.split([',', ';', ' ', '\t']).next().filter(|word| !word.is_empty()) else {
            continue;
        };
        let day = Day::parse(word.trim_matches('"'));
        days.push(day.ok_or_else(|| format!("line {number}: `{word}` is no date; write `1997-01-05`"))?);
    }
    Ok(days)
}

/// All-day events of an iCalendar. The end of an event is not part of it; without one it is a day long.
/// Source: <https://www.rfc-editor.org/rfc/rfc5545#section-3.6.1>.
fn icalendar(text: &str) -> Result<Vec<Day>, String> {
    let mut days = Vec::new();
    let (mut start, mut end): (Option<Day>, Option<Day>) = (None, None);
    for (number, line) in unfolded(text) {
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let name = name.split(';').next().unwrap_or_default();
        match name.to_ascii_uppercase().as_str() {
            "BEGIN" if value.eq_ignore_ascii_case("VEVENT") => (start, end) = (None, None),
            "DTSTART" => start = Some(date(value, number)?),
            "DTEND" => end = Some(date(value, number)?),
            "RRULE" | "RDATE" => {
                return Err(format!(
                    "line {number}: the event recurs, and its dates are not written there: export each year's events"
                ));
            }
            "END" if value.eq_ignore_ascii_case("VEVENT") => {
                let first = start.ok_or_else(|| format!("line {number}: an event without DTSTART"))?;
                let event = first.0.series(jiff::Span::new().days(1));
                let until = end.filter(|end| *end > first);
                days.extend(
                    event
                        .map(Day)
                        .take_while(|day| until.map_or(*day == first, |until| *day < until))
                        .take(EVENT_DAYS_MAX),
                );
            }
            _ => {}
        }
    }
    Ok(days)
}

/// `20261225`; an event with a time of day is on the day on which it begins.
fn date(value: &str, number: usize) -> Result<Day, String> {
    let digits = value.trim().get(..8).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let day = digits.and_then(|d| Day::parse(&format!("{}-{}-{}", &d[..4], &d[4..6], &d[6..])));
    day.ok_or_else(|| format!("line {number}: `{value}` is no date of an iCalendar"))
}

/// Lines with those joined that begin with a space, and the number of the first of each.
/// Source: <https://www.rfc-editor.org/rfc/rfc5545#section-3.1>.
fn unfolded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some((_, last))) => last.push_str(rest),
            _ => lines.push((number, line.trim_start_matches('\u{feff}').to_owned())),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        holidays(text).map(|days| days.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn dates_stand_one_a_line_with_names_and_comments() {
        let text = "# closed\n2026-12-25 Christmas\n\n\"2026-01-01\",New Year # both\r\n";
        assert_eq!(read(text).unwrap(), ["2026-12-25", "2026-01-01"]);
        assert_eq!(
            read("2026-12-25\n25/12/2026\n").unwrap_err(),
            "line 2: `25/12/2026` is no date; write `1997-01-05`"
        );
        assert!(read("# nothing\n").unwrap_err().contains("no date"));
    }

    #[test]
    fn an_icalendar_gives_the_days_of_its_events() {
        let text = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261126\r\nDTEND;VALUE=DATE:20261128\r\nSUMMARY:Thanks\r\n giving\r\nEND:VEVENT\r\n\
                    BEGIN:VEVENT\r\nDTSTART:20261225T093000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        assert_eq!(read(text).unwrap(), ["2026-11-26", "2026-11-27", "2026-12-25"]);
        let folded = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:2026\n 1126\nEND:VEVENT\n";
        assert_eq!(read(folded).unwrap(), ["2026-11-26"]);
        let recurring = text.replace("SUMMARY", "RRULE:FREQ=YEARLY\r\nSUMMARY");
        assert!(read(&recurring).unwrap_err().starts_with("line 5: the event recurs"));
        assert!(read("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT\n").unwrap_err().contains("DTSTART"));
    }
}
