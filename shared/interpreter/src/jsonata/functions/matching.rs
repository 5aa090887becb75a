//! Searching in texts, by a text or by a matcher: a regular expression, or any function that
//! returns `{match, start, end, groups, next}`.

use super::super::evaluate::Outcome;
use super::super::value::{Item, Text};
use super::collections::{member_of, object_of};
use super::{Arguments, JsonataError, failure};

/// One match; positions count UTF-16 units, as in the reference.
struct Match<'a> {
    text: Item<'a>,
    start: Item<'a>,
    end: Item<'a>,
    groups: Item<'a>,
    next: Item<'a>,
}

impl<'a> Arguments<'_, 'a> {
    /// Applies a matcher; `None` when it found nothing.
    fn matched(
        &self,
        matcher: &Item<'a>,
        given: Vec<Item<'a>>,
        name: &str,
    ) -> Result<Option<Match<'a>>, JsonataError> {
        let found = self.evaluator.call(matcher, given)?;
        if found.is_undefined() || matches!(found, Item::Null) {
            return Ok(None);
        }
        let found = Match {
            text: member_of(&found, "match"),
            start: member_of(&found, "start"),
            end: member_of(&found, "end"),
            groups: member_of(&found, "groups"),
            next: member_of(&found, "next"),
        };
        let right = matches!(found.start, Item::Number(_))
            || matches!(found.end, Item::Number(_))
            || matches!(found.groups, Item::Array(_))
            || matches!(found.next, Item::Function(_));
        if !right {
            return Err(failure(
                "T1010",
                format!(
                    "The matcher function argument passed to function \"{name}\" does not return \
                     the correct object structure"
                ),
            ));
        }
        Ok(Some(found))
    }

    /// The limit in argument `at`, which must not be negative.
    fn limit(&self, at: usize, code: &'static str, message: &str) -> Result<usize, JsonataError> {
        match self.number(at) {
            None => Ok(usize::MAX),
            Some(limit) if limit < 0.0 => Err(failure(code, message)),
            Some(limit) => Ok(limit as usize),
        }
    }
}

pub(super) fn contains<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    match arguments.item(1) {
        Item::Text(part) => {
            arguments.evaluator.charge_text(text.len())?;
            Ok(Item::Bool(text.contains(&*part)))
        }
        matcher @ Item::Function(_) => {
            let found = arguments.matched(&matcher, vec![Item::Text(text)], "contains")?;
            Ok(Item::Bool(found.is_some()))
        }
        _ => Ok(Item::Undefined),
    }
}

pub(super) fn matches<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    let limit =
        arguments.limit(2, "D3040", "Third argument of match function must evaluate to a positive number")?;
    let mut results = Vec::new();
    let mut matcher = arguments.item(1);
    let mut given = vec![Item::Text(text)];
    while results.len() < limit {
        let Some(found) = arguments.matched(&matcher, given, "match")? else { break };
        results.push(object_of(vec![
            ("match", found.text),
            ("index", found.start),
            ("groups", found.groups),
        ]));
        (matcher, given) = (found.next, Vec::new());
    }
    Ok(Item::sequence(results))
}

pub(super) fn split<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    let limit =
        arguments.limit(2, "D3020", "Third argument of split function must evaluate to a positive number")?;
    arguments.evaluator.charge_text(text.len())?;
    let mut parts: Vec<Item<'a>> = Vec::new();
    match arguments.item(1) {
        Item::Text(separator) if separator.is_empty() => {
            arguments.evaluator.charge(text.len())?;
            parts.extend(text.chars().take(limit).map(|c| Item::text(c.to_string())));
        }
        Item::Text(separator) => {
            for part in text.split(&*separator).take(limit) {
                arguments.evaluator.charge(1)?;
                parts.push(Item::text(part));
            }
        }
        mut matcher => {
            let units = Units::new(&text);
            let mut given = vec![Item::Text(text.clone())];
            let mut start = 0;
            let mut ended = false;
            while parts.len() < limit && !ended {
                match arguments.matched(&matcher, given, "split")? {
                    Some(found) => {
                        parts.push(Item::text(units.between(start, unit(&found.start))));
                        start = unit(&found.end);
                        (matcher, given) = (found.next, Vec::new());
                    }
                    None => {
                        parts.push(Item::text(units.between(start, usize::MAX)));
                        ended = true;
                        given = Vec::new();
                    }
                }
            }
        }
    }
    Ok(Item::array(parts))
}

pub(super) fn replace<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(text) = arguments.text(0) else { return Ok(Item::Undefined) };
    let limit = arguments.limit(
        3,
        "D3011",
        "Fourth argument of replace function must evaluate to a positive number",
    )?;
    let replacement = arguments.item(2);
    match arguments.item(1) {
        Item::Text(pattern) if pattern.is_empty() => {
            Err(failure("D3010", "Second argument of replace function cannot be an empty string"))
        }
        Item::Text(pattern) => {
            let with = arguments.evaluator.string(&replacement, false)?.unwrap_or_default();
            let mut result = String::new();
            let mut rest: &str = &text;
            for _ in 0..limit {
                let Some(at) = rest.find(&*pattern) else { break };
                arguments.evaluator.charge_text(at + with.len())?;
                result.push_str(&rest[..at]);
                result.push_str(&with);
                rest = &rest[at + pattern.len()..];
            }
            result.push_str(rest);
            arguments.made(result)
        }
        matcher => replace_matches(arguments, &text, matcher, &replacement, limit),
    }
}

fn replace_matches<'a>(
    arguments: &Arguments<'_, 'a>,
    text: &Text<'a>,
    mut matcher: Item<'a>,
    replacement: &Item<'a>,
    limit: usize,
) -> Outcome<'a> {
    let units = Units::new(text);
    let mut result = String::new();
    let mut position = 0;
    let mut given = vec![Item::Text(text.clone())];
    for _ in 0..limit {
        let Some(found) = arguments.matched(&matcher, given, "replace")? else { break };
        let start = unit(&found.start);
        result.push_str(&units.between(position, start));
        let matched = found.text.as_str().unwrap_or_default().to_owned();
        let with = match replacement {
            Item::Text(template) => substituted(template, &matched, &found.groups),
            function => {
                let object = object_of(vec![
                    ("match", found.text),
                    ("start", found.start),
                    ("end", found.end),
                    ("groups", found.groups),
                    ("next", found.next.clone()),
                ]);
                match arguments.evaluator.call(function, vec![object])? {
                    Item::Text(text) => text.to_string(),
                    _ => {
                        return Err(failure(
                            "D3012",
                            "Attempted to replace a matched string with a non-string value",
                        ));
                    }
                }
            }
        };
        arguments.evaluator.charge_text(result.len().min(64) + with.len())?;
        result.push_str(&with);
        position = start + matched.encode_utf16().count();
        (matcher, given) = (found.next, Vec::new());
    }
    result.push_str(&units.between(position, usize::MAX));
    arguments.made(result)
}

/// The replacement text with `$$`, `$0` and `$1`... resolved.
fn substituted(template: &str, matched: &str, groups: &Item<'_>) -> String {
    let groups: Vec<String> = match groups {
        Item::Array(groups) => {
            groups.iter().map(|group| group.as_str().unwrap_or_default().to_owned()).collect()
        }
        _ => Vec::new(),
    };
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            text.push('$');
            rest = behind;
            continue;
        }
        if let Some(behind) = rest.strip_prefix('0') {
            text.push_str(matched);
            rest = behind;
            continue;
        }
        // As many digits as the number of groups has, one fewer when that is no group.
        let longest = groups.len().max(1).ilog10() as usize + 1;
        let digits = rest.bytes().take(longest).take_while(u8::is_ascii_digit).count();
        let numbered = |digits: usize| rest[..digits].parse::<usize>().ok();
        let (digits, number) = match numbered(digits) {
            Some(number) if longest > 1 && digits > 1 && number > groups.len() => {
                (digits - 1, numbered(digits - 1))
            }
            number => (digits, number),
        };
        match number {
            Some(number) => {
                if let Some(group) = number.checked_sub(1).and_then(|at| groups.get(at)) {
                    text.push_str(group);
                }
                rest = &rest[digits..];
            }
            None => text.push('$'),
        }
    }
    text.push_str(rest);
    text
}

/// A text cut at UTF-16 positions.
struct Units(Vec<u16>);

impl Units {
    fn new(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }

    fn between(&self, start: usize, end: usize) -> String {
        let end = end.min(self.0.len());
        String::from_utf16_lossy(self.0.get(start..end).unwrap_or_default())
    }
}

fn unit(item: &Item<'_>) -> usize {
    item.as_f64().filter(|number| *number >= 0.0).unwrap_or(0.0) as usize
}
