//! Patterns of object keys, with typed captures: `exports/sales_{date:date}.csv`.
//!
//! `{name}` captures one or more characters other than `/`, `{name:int}` digits, `{name:date}` a date
//! written `1997-01-05` or `19970105` (captured as the former), `*` matches any characters other than
//! `/` and captures nothing. Everything else stands for itself, byte by byte: keys are raw text, in
//! which a space, a plus sign or an `ñ` is nothing special.

use std::collections::BTreeMap;

/// What a capture takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CaptureKind {
    /// Any characters but `/`, at least one.
    Text,
    /// Digits, at most eighteen.
    Int,
    /// A date of the calendar.
    Date,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    Star,
    Capture(String, CaptureKind),
}

/// A pattern, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPattern {
    parts: Vec<Part>,
}

/// Most steps that matching one key may take; a key that needs more does not match. Keys have at most
/// 1,024 bytes, so only patterns made to be slow come near.
const STEPS_MAX: u32 = 100_000;

impl KeyPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// In words: an unclosed brace, a capture without a good name or of an unknown type, two of one name,
    /// two wildcards with nothing between them, an empty pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let part = match char {
                '*' => {
                    rest = &rest[1..];
                    Part::Star
                }
                '{' => {
                    let Some(end) = rest.find('}') else {
                        return Err("a `{` is not closed".to_owned());
                    };
                    let part = capture(&rest[1..end])?;
                    rest = &rest[end + 1..];
                    part
                }
                '}' => return Err("a `}` closes nothing".to_owned()),
                other => {
                    literal.push(other);
                    rest = &rest[other.len_utf8()..];
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            } else if parts.last().is_some() {
                return Err("two captures or stars touch, so nobody can tell where one ends".to_owned());
            }
            if let Part::Capture(name, _) = &part
                && parts.iter().any(|known| matches!(known, Part::Capture(other, _) if other == name))
            {
                return Err(format!("`{name}` is captured twice"));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if parts.is_empty() {
            return Err("the pattern is empty".to_owned());
        }
        Ok(Self { parts })
    }

    /// The names captured, in order.
    pub fn captures(&self) -> impl Iterator<Item = (&str, CaptureKind)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture(name, kind) => Some((name.as_str(), *kind)),
            _ => None,
        })
    }

    /// The text before the first capture or star: every key that matches begins so.
    pub fn literal_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// What is captured from a key; `None` when the key does not match.
    pub fn matches(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        let mut steps = 0;
        matches(&self.parts, key, &mut found, &mut steps).then_some(found)
    }
}

fn capture(inside: &str) -> Result<Part, String> {
    let (name, kind) = inside.split_once(':').unwrap_or((inside, "text"));
    if !crate::ids::is_name(name) {
        return Err(format!("`{{{inside}}}` has no good name: letters, digits and underscores"));
    }
    let kind = match kind {
        "text" => CaptureKind::Text,
        "int" => CaptureKind::Int,
        "date" => CaptureKind::Date,
        other => return Err(format!("there is no capture of type `{other}`: use text, int or date")),
    };
    Ok(Part::Capture(name.to_owned(), kind))
}

fn matches(parts: &[Part], key: &str, found: &mut BTreeMap<String, String>, steps: &mut u32) -> bool {
    *steps += 1;
    if *steps > STEPS_MAX {
        return false;
    }
    let Some((part, after)) = parts.split_first() else {
        return key.is_empty();
    };
    match part {
        Part::Literal(text) => {
            key.strip_prefix(text.as_str()).is_some_and(|rest| matches(after, rest, found, steps))
        }
        Part::Star => lengths(key, 0).any(|at| matches(after, &key[at..], found, steps)),
        Part::Capture(name, kind) => {
            for at in lengths(key, 1) {
                let Some(value) = value(*kind, &key[..at]) else { continue };
                found.insert(name.clone(), value);
                if matches(after, &key[at..], found, steps) {
                    return true;
                }
            }
            found.remove(name);
            false
        }
    }
}

/// Where something that begins at the start of `key` may end: at least `least` characters, no slash.
fn lengths(key: &str, least: usize) -> impl Iterator<Item = usize> {
    let end = key.find('/').unwrap_or(key.len());
    (least..=end).filter(move |at| key.is_char_boundary(*at))
}

fn value(kind: CaptureKind, text: &str) -> Option<String> {
    match kind {
        CaptureKind::Text => Some(text.to_owned()),
        CaptureKind::Int => {
            (text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
        }
        CaptureKind::Date => {
            let format = match text.len() {
                10 => "%Y-%m-%d",
                8 => "%Y%m%d",
                _ => return None,
            };
            let digits = |c: u8| c.is_ascii_digit() || (text.len() == 10 && c == b'-');
            let date = jiff::civil::Date::strptime(format, text).ok().filter(|_| text.bytes().all(digits))?;
            Some(date.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pattern: &str, key: &str) -> Option<String> {
        let found = KeyPattern::parse(pattern).unwrap().matches(key)?;
        Some(found.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn captures_take_what_their_type_says() {
        let date = "exports/sales_{date:date}.csv";
        assert_eq!(captured(date, "exports/sales_1997-01-05.csv").as_deref(), Some("date=1997-01-05"));
        assert_eq!(captured(date, "exports/sales_19970105.csv").as_deref(), Some("date=1997-01-05"));
        for wrong in [
            "exports/sales_1997-02-30.csv",
            "exports/sales_x.csv",
            "sales_1997-01-05.csv",
            "exports/sales_1997-01-05.csv.part",
        ] {
            assert_eq!(captured(date, wrong), None, "{wrong}");
        }
        let both = "{shop}/part-{n:int}-*.csv";
        assert_eq!(captured(both, "sur 1+ñ/part-07-x.csv").as_deref(), Some("n=07 shop=sur 1+ñ"));
        assert_eq!(captured(both, "sur/deep/part-07-x.csv"), None);
        assert_eq!(captured(both, "sur/part-x-x.csv"), None);
        assert_eq!(captured("{a}-{b}.csv", "x-y-z.csv").as_deref(), Some("a=x b=y-z"));
    }

    #[test]
    fn what_every_key_begins_with_is_known() {
        let prefix = |pattern: &str| KeyPattern::parse(pattern).unwrap().literal_prefix().to_owned();
        assert_eq!(prefix("in/a_{x}.csv"), "in/a_");
        assert_eq!(prefix("{x}.csv"), "");
        assert_eq!(prefix("in/whole.csv"), "in/whole.csv");
    }

    #[test]
    fn bad_patterns_are_told() {
        for (pattern, words) in [
            ("", "empty"),
            ("a{b", "not closed"),
            ("a}b", "closes nothing"),
            ("{A}", "no good name"),
            ("{a:float}", "no capture of type `float`"),
            ("{a}/{a}", "captured twice"),
            ("{a}{b}", "touch"),
            ("{a}*", "touch"),
        ] {
            let problem = KeyPattern::parse(pattern).unwrap_err();
            assert!(problem.contains(words), "{pattern}: {problem}");
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_ends() {
        let pattern = format!("{}!", "*a".repeat(30));
        assert_eq!(captured(&pattern, &"a".repeat(1024)), None);
    }
}
