//! Objects read by a distributed Map, as items.
//!
//! Source: <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html>.

use cauce_asl::ReaderConfig;
use serde_json::{Map, Value};

/// The items of an object, at most `max_items`.
///
/// `content` is the object's text, or, for a list of objects, the array itself. The error is the cause of
/// `States.ItemReaderFailed`.
pub(crate) fn read(
    config: &ReaderConfig,
    max_items: Option<u64>,
    content: Value,
) -> Result<Vec<Value>, String> {
    let mut items = match content {
        Value::Array(items) => items,
        Value::String(text) => match config.input_type.as_deref().unwrap_or("JSON") {
            "CSV" => csv(config, &text)?,
            "JSON" => json(config, &text)?,
            "JSONL" => lines(&text)?,
            other => return Err(format!("items of type {other} cannot be read here")),
        },
        other => return Err(format!("the items were read as {other}, which is neither text nor a list")),
    };
    if let Some(most) = max_items {
        items.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }
    Ok(items)
}

/// What is wrong with a configuration whatever the object holds.
pub(crate) fn check(config: &ReaderConfig) -> Result<(), String> {
    let headers = &config.csv_headers;
    match config.csv_header_location.as_deref() {
        Some("GIVEN") => check_headers(headers),
        _ => Ok(()),
    }
}

fn check_headers(headers: &[String]) -> Result<(), String> {
    let has_duplicate = headers.iter().enumerate().any(|(index, header)| headers[..index].contains(header));
    if has_duplicate { Err("CSV headers cannot contain duplicates.".to_owned()) } else { Ok(()) }
}

fn json(config: &ReaderConfig, text: &str) -> Result<Vec<Value>, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("Attempting to parse JSON: {error}"))?;
    let value = match &config.items_pointer {
        Some(pointer) => value
            .pointer(pointer)
            .cloned()
            .ok_or_else(|| format!("nothing is found at the pointer {pointer}"))?,
        None => value,
    };
    match value {
        Value::Array(items) => Ok(items),
        // The wording was not verified on AWS.
        _ => Err("Attempting to map over non-iterable node.".to_owned()),
    }
}

fn lines(text: &str) -> Result<Vec<Value>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).map_err(|error| format!("Attempting to parse JSON: {error}")))
        .collect()
}

fn csv(config: &ReaderConfig, text: &str) -> Result<Vec<Value>, String> {
    let delimiter = match config.csv_delimiter.as_deref().unwrap_or("COMMA") {
        "PIPE" => '|',
        "SEMICOLON" => ';',
        "SPACE" => ' ',
        "TAB" => '\t',
        _ => ',',
    };
    let mut rows = records(text, delimiter).into_iter();
    let headers = match config.csv_header_location.as_deref() {
        Some("GIVEN") => config.csv_headers.clone(),
        _ => rows.next().unwrap_or_default(),
    };
    check_headers(&headers)?;
    Ok(rows.map(|row| item(&headers, row)).collect())
}

/// A row as an object. Recorded on AWS: missing fields are empty, extra ones are dropped.
fn item(headers: &[String], row: Vec<String>) -> Value {
    let mut fields = row.into_iter();
    let members: Map<String, Value> = headers
        .iter()
        .map(|header| (header.clone(), Value::String(fields.next().unwrap_or_default())))
        .collect();
    Value::Object(members)
}

/// The rows of a CSV text. Quoted fields may hold delimiters, line ends and doubled quotes (RFC 4180).
fn records(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut field, mut is_quoted, mut has_content) = (Vec::new(), String::new(), false, false);
    let mut characters = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted => {
                if characters.next_if_eq(&'"').is_some() {
                    field.push('"');
                } else {
                    is_quoted = false;
                }
            }
            '"' if field.is_empty() => (is_quoted, has_content) = (true, true),
            other if is_quoted => field.push(other),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' => {
                // A line without any character is no row.
                if has_content {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                has_content = false;
            }
            other if other == delimiter => {
                has_content = true;
                row.push(std::mem::take(&mut field));
            }
            other => {
                has_content = true;
                field.push(other);
            }
        }
    }
    if has_content {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(input_type: &str) -> ReaderConfig {
        ReaderConfig { input_type: Some(input_type.to_owned()), ..ReaderConfig::default() }
    }

    #[test]
    fn csv_rows_are_objects_by_header() {
        let text = "a,b\n1,\"x, \"\"y\"\"\"\n2\n\n3,4,5\n";
        let items = read(&config("CSV"), None, json!(text)).expect("reads");
        assert_eq!(
            items,
            vec![json!({"a": "1", "b": "x, \"y\""}), json!({"a": "2", "b": ""}), json!({"a": "3", "b": "4"})]
        );
    }

    #[test]
    fn given_headers_take_every_row_and_may_not_repeat() {
        let mut config = config("CSV");
        config.csv_header_location = Some("GIVEN".to_owned());
        config.csv_headers = vec!["h".to_owned()];
        assert_eq!(read(&config, Some(1), json!("1\n2\n")), Ok(vec![json!({"h": "1"})]));
        config.csv_headers.push("h".to_owned());
        assert_eq!(
            read(&config, None, json!("1\n")),
            Err("CSV headers cannot contain duplicates.".to_owned())
        );
    }

    #[test]
    fn json_must_be_an_array_wherever_the_pointer_leads() {
        let mut config = config("JSON");
        assert_eq!(read(&config, None, json!("[1,2]")), Ok(vec![json!(1), json!(2)]));
        read(&config, None, json!("{\"a\":[3]}")).expect_err("an object");
        config.items_pointer = Some("/a".to_owned());
        assert_eq!(read(&config, None, json!("{\"a\":[3]}")), Ok(vec![json!(3)]));
    }

    #[test]
    fn json_lines_are_one_item_each() {
        assert_eq!(
            read(&config("JSONL"), None, json!("{\"a\":1}\n\n2\n")),
            Ok(vec![json!({"a": 1}), json!(2)])
        );
    }
}
