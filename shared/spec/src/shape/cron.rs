//! Five-field Unix cron, checked field by field.

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::diagnostic::{Code, Span};
use crate::shape::{Definitions, Reader, Shape, suggest};
use crate::tree::{Node, Value};

/// A cron expression of five fields: minute, hour, day of month, month, day of week. Presets are
/// expanded. A day matches when either day field does, if both are restricted, as in Vixie cron.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cron(String);

/// Presets and what they stand for.
/// Source: <https://man7.org/linux/man-pages/man5/crontab.5.html>.
const PRESETS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, words: &[] },
    Field { name: "hour", low: 0, high: 23, words: &[] },
    Field { name: "day of month", low: 1, high: 31, words: &[] },
    Field { name: "month", low: 1, high: 12, words: &MONTHS },
    Field { name: "day of week", low: 0, high: 7, words: &DAYS },
];

impl Cron {
    /// The five fields, separated by single spaces; words are replaced by numbers.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads an expression or a preset. The error is what is wrong and the
    /// offset of the field it is about, where it is about one.
    pub fn parse(text: &str) -> Result<Self, (Option<usize>, String)> {
        let trimmed = text.trim();
        if trimmed.starts_with('@') {
            return PRESETS
                .iter()
                .find(|(preset, _)| *preset == trimmed)
                .map(|(_, cron)| Self((*cron).to_owned()))
                .ok_or_else(|| {
                    let help = suggest::help(trimmed, PRESETS.iter().map(|(preset, _)| *preset));
                    (None, format!("there is no preset `{trimmed}`; {help}"))
                });
        }
        let parts: Vec<&str> = trimmed.split_whitespace().collect();
        if parts.len() != FIELDS.len() {
            return Err((
                None,
                format!(
                    "cron has five fields (minute, hour, day of month, month, day of week), this has {}",
                    parts.len()
                ),
            ));
        }
        let mut written = Vec::new();
        let mut values = Vec::new();
        for (part, field) in parts.iter().zip(&FIELDS) {
            let at = part.as_ptr() as usize - text.as_ptr() as usize;
            let (normal, set) = field.parse(part).map_err(|message| (Some(at), message))?;
            written.push(normal);
            values.push(set);
        }
        if parts[4] == "*" && never(&values[2], &values[3]) {
            return Err((None, "no month that is named has such a day, so it never fires".to_owned()));
        }
        Ok(Self(written.join(" ")))
    }
}

/// Whether no month has one of the days; February is taken with 29.
fn never(days: &[u32], months: &[u32]) -> bool {
    const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let first = days.first().copied().unwrap_or(1);
    months.iter().all(|month| LENGTHS[*month as usize - 1] < first)
}

impl Field {
    fn parse(&self, text: &str) -> Result<(String, Vec<u32>), String> {
        let mut normal = Vec::new();
        let mut set = Vec::new();
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => {
                    let step = step.parse::<u32>().ok().filter(|step| *step > 0);
                    let step = step.ok_or_else(|| {
                        format!("the step of {} `{item}` is not a number above 0", self.name)
                    })?;
                    (range, Some(step))
                }
                None => (item, None),
            };
            let (low, high, mut shown) = if range == "*" {
                (self.low, self.high, "*".to_owned())
            } else if let Some((low, high)) = range.split_once('-') {
                let (low, high) = (self.number(low)?, self.number(high)?);
                if low > high {
                    return Err(format!("the range `{range}` of {} runs backwards", self.name));
                }
                (low, high, format!("{low}-{high}"))
            } else {
                let low = self.number(range)?;
                let high = if step.is_some() { self.high } else { low };
                (low, high, if step.is_some() { format!("{low}-{high}") } else { low.to_string() })
            };
            if let Some(step) = step {
                shown.push_str(&format!("/{step}"));
            }
            normal.push(shown);
            set.extend((low..=high).step_by(step.unwrap_or(1) as usize));
        }
        set.sort_unstable();
        Ok((normal.join(","), set))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let word = text.to_ascii_lowercase();
        let number = match self.words.iter().position(|known| *known == word) {
            Some(at) => Some(at as u32 + self.low),
            None => text.parse().ok(),
        };
        number.filter(|number| (self.low..=self.high).contains(number)).ok_or_else(|| {
            format!("`{text}` is not a valid {}: it goes from {} to {}", self.name, self.low, self.high)
        })
    }
}

impl Shape for Cron {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Value::Text { text, content_at } = &node.value else {
            reader.wrong_type(node, "a cron expression");
            return None;
        };
        match Self::parse(text) {
            Ok(cron) => Some(cron),
            Err((offset, message)) => {
                let span = match (content_at, offset) {
                    (Some(at), Some(offset)) => {
                        let length = text[offset..].find(' ').unwrap_or(text.len() - offset);
                        Span::new(at + offset, at + offset + length)
                    }
                    _ => node.span,
                };
                reader.error(
                    Code::BadCron,
                    span,
                    message,
                    "for example `0 2 * * *` (every day at 02:00), `*/15 * * * *`, `0 9 * * 1-5`, `@monthly`",
                );
                None
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Cron", |_| {
            crate::shape::document(
                json!({"type": "string", "examples": ["0 2 * * *", "@daily"]}),
                "Cron: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly.",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_brought_to_one_form() {
        for (text, normal) in [
            ("0 2 * * *", "0 2 * * *"),
            ("  0   2 * * * ", "0 2 * * *"),
            ("@daily", "0 0 * * *"),
            ("*/15 9-17 * * mon-fri", "*/15 9-17 * * 1-5"),
            ("0 0 1 JAN,Jul *", "0 0 1 1,7 *"),
            ("5/20 * * * 7", "5-59/20 * * * 7"),
            ("0 0 29 2 *", "0 0 29 2 *"),
            ("0 0 31 4,5 *", "0 0 31 4,5 *"),
            ("0 0 31 2 1", "0 0 31 2 1"),
        ] {
            assert_eq!(Cron::parse(text).map(|cron| cron.0), Ok(normal.to_owned()), "{text}");
        }
    }

    #[test]
    fn wrong_fields_are_named_with_their_place() {
        for (text, at) in [
            ("60 * * * *", Some(0)),
            ("* 24 * * *", Some(2)),
            ("* * 0 * *", Some(4)),
            ("* * * 13 *", Some(6)),
            ("* * * * 8", Some(8)),
            ("* * * * sunday", Some(8)),
            ("5-1 * * * *", Some(0)),
            ("*/0 * * * *", Some(0)),
            ("1,,2 * * * *", Some(0)),
            ("* * * *", None),
            ("* * * * * *", None),
            ("", None),
            ("@never", None),
            ("0 0 30 2 *", None),
            ("0 0 31 4,6,9,11 *", None),
        ] {
            assert_eq!(Cron::parse(text).map_err(|(at, _)| at), Err(at), "{text}");
        }
    }
}
