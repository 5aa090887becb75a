//! Texts: the escapes of quoted arguments, `States.Format`, and how values print inside it.

use serde_json::Value;

/// A quoted text with its escapes `\'`, `\{`, `\}` and `\\` resolved; any other is kept as it is.
pub(super) fn unescape(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some(next @ ('\'' | '{' | '}' | '\\'))) => {
                text.push(*next);
                rest.next();
            }
            _ => text.push(c),
        }
    }
    text
}

/// The template with each `{}` replaced by the next value.
pub(super) fn format<'v>(
    template: &str,
    mut values: impl ExactSizeIterator<Item = String> + 'v,
) -> Result<String, String> {
    let wanted = "the number of occurrences of {} in the template must equal the number of values";
    let mut text = String::with_capacity(template.len());
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some(next @ ('\'' | '{' | '}' | '\\'))) => {
                text.push(*next);
                rest.next();
            }
            ('{', Some('}')) => {
                rest.next();
                text.push_str(&values.next().ok_or(wanted)?);
            }
            ('{', _) => return Err("a '{' in the template must be escaped as '\\{'".to_owned()),
            ('}', _) => return Err("a '}' in the template must be escaped as '\\}'".to_owned()),
            _ => text.push(c),
        }
    }
    if values.next().is_some() {
        return Err(wanted.to_owned());
    }
    Ok(text)
}

/// A value as `States.Format` prints it: recorded executions show objects in the manner of a Java
/// map, `{Arg1=1, Arg2=[]}`, with texts unquoted.
pub(super) fn printed(value: &Value) -> String {
    let mut text = String::new();
    print(value, &mut text);
    text
}

fn print(value: &Value, text: &mut String) {
    match value {
        Value::String(inner) => text.push_str(inner),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                print(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                text.push_str(name);
                text.push('=');
                print(member, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}
