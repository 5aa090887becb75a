//! The list of a matrix: CSV with a header, or YAML or JSON with a list of mappings. What is wrong with it
//! is shown where it stands there.

use std::collections::BTreeMap;
use std::sync::Arc;

use cauce_model::Json;
use cauce_model::matrix::{ITEM_BYTES_MAX, ITEMS_MAX, KEY_MAX, PRIORITY_MAX, is_key, is_priority};
use serde_json::Map;

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::expand::{Texts, shift};
use crate::file::fragment::Source;
use crate::file::matrix::Matrix;
use crate::shape::{Name, Reader, suggest};
use crate::tree::{self, Node, Value};

/// The list of a matrix, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Items {
    /// Its columns, in the order of the file.
    pub columns: Vec<String>,
    /// Its items, in the order of the file.
    pub items: Vec<MatrixItem>,
}

/// One item of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixItem {
    /// Its key.
    pub key: String,
    /// The case whose schedule it follows, where the schedule chooses.
    pub case: Option<String>,
    /// Its columns.
    pub fields: Map<String, Json>,
}

/// A row as it stands in the file.
struct Row {
    span: Span,
    cells: Vec<Cell>,
}

struct Cell {
    column: String,
    value: Json,
    span: Span,
    /// Whether it is text because the file knows nothing else.
    untyped: bool,
}

/// What the schedule says about items: the column that chooses and the cases there are.
pub(crate) struct Choice<'a> {
    pub(crate) select: &'a Name,
    pub(crate) cases: Vec<&'a str>,
}

/// Reads the list of a matrix. `place` is where the pipeline names the file.
pub(crate) fn read(
    matrix: &Matrix,
    choice: Option<&Choice<'_>>,
    source: Source,
    place: Span,
    texts: &mut Texts,
    reader: &mut Reader,
) -> Option<Items> {
    let source = Arc::new(source);
    let base = texts.base(&source);
    let before = reader.diagnostics.len();
    let delimited = source.name.to_ascii_lowercase().ends_with(".csv");
    let rows = if delimited { csv(&source.text, base, reader) } else { tree(&source.text, base, reader) };
    let (columns, rows) = rows?;
    let whole = Span::new(base, base);
    if rows.is_empty() {
        report(
            reader,
            Code::MatrixList,
            whole,
            "the list has no items",
            "a matrix of nothing runs nothing: add one",
        );
        return None;
    }
    if rows.len() > ITEMS_MAX {
        let message = format!("the list has {} items, the limit is {ITEMS_MAX}", rows.len());
        report(reader, Code::MatrixList, rows[ITEMS_MAX].span, &message, "split it among several pipelines");
        return None;
    }
    let wanted = [
        ("key", Some(matrix.key.as_str())),
        ("select", choice.map(|choice| choice.select.as_str())),
        ("priority", matrix.priority.as_deref()),
    ];
    let declared = matrix.columns.keys().map(|name| ("columns", Some(name.as_str())));
    for (setting, column) in wanted.into_iter().chain(declared) {
        let Some(column) = column.filter(|column| !columns.iter().any(|known| known == column)) else {
            continue;
        };
        let help = suggest::help(column, columns.iter().map(String::as_str));
        let route = if setting == "select" { "schedule.select" } else { "matrix" };
        reader.report(
            Diagnostic::error(
                Code::MatrixColumn,
                place,
                format!("`{}` has no column `{column}`", source.name),
            )
            .help(help)
            .at(if setting == "select" {
                route.to_owned()
            } else {
                format!("{route}.{setting}")
            }),
        );
    }
    if reader.diagnostics.len() > before {
        return None;
    }
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(item) = item(matrix, choice, row, &mut seen, (&source.text, base), reader) {
            items.push(item);
        }
    }
    (reader.diagnostics.len() == before).then_some(Items { columns, items })
}

fn report(reader: &mut Reader, code: Code, span: Span, message: &str, help: &str) {
    reader.report(Diagnostic::error(code, span, message.to_owned()).help(help).at("matrix.from"));
}

fn item(
    matrix: &Matrix,
    choice: Option<&Choice<'_>>,
    row: Row,
    seen: &mut BTreeMap<String, Span>,
    (text, base): (&str, usize),
    reader: &mut Reader,
) -> Option<MatrixItem> {
    let of = |column: &str| row.cells.iter().find(|cell| cell.column == column);
    let Some(cell) = of(&matrix.key) else {
        let message = format!("the item has no `{}`", matrix.key);
        report(reader, Code::MatrixKey, row.span, &message, "every item needs its key");
        return None;
    };
    let key = word(&cell.value);
    if !is_key(&key) {
        let message = format!("`{key}` cannot be the key of an item: it is part of the ids of runs");
        let help = format!(
            "keys are letters, digits, `.`, `_` and `-`, at most {KEY_MAX}, from a letter or a digit; keep the \
             other name in a column of its own"
        );
        report(reader, Code::MatrixKey, cell.span, &message, &help);
        return None;
    }
    if let Some(first) = seen.get(&key) {
        let line = 1 + text[..first.start.saturating_sub(base).min(text.len())].matches('\n').count();
        let message = format!("`{key}` is already an item, on line {line}");
        report(reader, Code::MatrixKey, cell.span, &message, "a key names one item: remove one of the two");
        return None;
    }
    seen.insert(key.clone(), cell.span);
    let case = match choice {
        None => None,
        Some(choice) => {
            let cell = of(choice.select);
            let value = cell.map(|cell| word(&cell.value)).unwrap_or_default();
            if !choice.cases.contains(&value.as_str()) {
                let span = cell.map_or(row.span, |cell| cell.span);
                let message = format!("the schedule has no case `{value}`, so `{key}` would never run");
                let help = format!("its cases: {}", choice.cases.join(", "));
                report(reader, Code::MatrixCase, span, &message, &help);
                return None;
            }
            Some(value)
        }
    };
    let mut fields = Map::new();
    let mut good = true;
    for cell in row.cells {
        let value = match matrix.columns.get(cell.column.as_str()) {
            None => Ok(cell.value),
            Some(spec) => match &cell.value {
                Json::String(text) if text.is_empty() && !spec.required => {
                    Ok(spec.default.clone().unwrap_or(Json::Null))
                }
                Json::String(text) if cell.untyped => spec.parse(text),
                value => spec.check(value),
            },
        };
        match value {
            Ok(value) => {
                fields.insert(cell.column, value);
            }
            Err(problem) => {
                good = false;
                let message = format!("`{}` of `{key}` does not fit: {problem}", cell.column);
                let help = format!("`matrix.columns.{}` says what it may be", cell.column);
                report(reader, Code::MatrixValue, cell.span, &message, &help);
            }
        }
    }
    if let Some(column) = &matrix.priority
        && let Some(value) = fields.get(column).filter(|value| !is_priority(value))
    {
        let message = format!("`{column}` of `{key}` is {value}, which is no priority");
        let help = format!(
            "a priority is a whole number from -{PRIORITY_MAX} to {PRIORITY_MAX}: \
             `columns: {{{column}: {{type: integer, default: 0}}}}`"
        );
        report(reader, Code::MatrixValue, row.span, &message, &help);
        return None;
    }
    // The key is text, whatever the file thinks of digits.
    fields.insert(matrix.key.to_string(), Json::String(key.clone()));
    let bytes = serde_json::to_vec(&fields).map_or(0, |text| text.len());
    if bytes > ITEM_BYTES_MAX {
        let message = format!("the item `{key}` has {bytes} bytes, the limit is {ITEM_BYTES_MAX}");
        report(
            reader,
            Code::MatrixValue,
            row.span,
            &message,
            "each of its runs carries it: keep what is long in a file",
        );
        return None;
    }
    good.then_some(MatrixItem { key, case, fields })
}

fn word(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

type Rows = Option<(Vec<String>, Vec<Row>)>;

/// A list of mappings.
fn tree(text: &str, base: usize, reader: &mut Reader) -> Rows {
    let mut found = Vec::new();
    let root = tree::parse(text.as_bytes(), &mut found);
    for mut diagnostic in found {
        diagnostic.span = Span::new(diagnostic.span.start + base, diagnostic.span.end + base);
        reader.report(diagnostic.at("matrix.from"));
    }
    let mut root = root?;
    shift(&mut root, base);
    let Value::List(nodes) = root.value else {
        let message = format!("expected a list of items, found {}", root.kind());
        report(
            reader,
            Code::MatrixList,
            root.span,
            &message,
            "write one mapping per item: `- {ticker: ACME, risk: high}`",
        );
        return None;
    };
    let mut columns: Vec<String> = Vec::new();
    let mut rows = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Node { value: Value::Map(entries), span } = node else {
            report(
                reader,
                Code::MatrixList,
                node.span,
                "the item is no mapping",
                "write `- {ticker: ACME, risk: high}`",
            );
            return None;
        };
        let mut cells = Vec::with_capacity(entries.len());
        for entry in entries {
            if !columns.contains(&entry.key) {
                columns.push(entry.key.clone());
            }
            let (value, span) = (entry.value.to_json(), entry.value.span);
            cells.push(Cell { column: entry.key, value, span, untyped: false });
        }
        rows.push(Row { span, cells });
    }
    Some((columns, rows))
}

/// Comma-separated values with a header, as RFC 4180 has them.
/// <https://www.rfc-editor.org/rfc/rfc4180>
fn csv(text: &str, base: usize, reader: &mut Reader) -> Rows {
    let mut records = records(text, base, reader)?.into_iter();
    let Some(header) = records.next() else {
        report(
            reader,
            Code::MatrixList,
            Span::new(base, base),
            "the list is empty",
            "its first line names the columns",
        );
        return None;
    };
    let columns: Vec<String> = header.iter().map(|(name, _)| name.trim().to_owned()).collect();
    for (at, (name, span)) in header.iter().enumerate() {
        let name = name.trim();
        if name.is_empty() || columns[..at].iter().any(|before| before == name) {
            let message = if name.is_empty() {
                "a column has no name".to_owned()
            } else {
                format!("two columns are named `{name}`")
            };
            report(reader, Code::MatrixList, *span, &message, "the first line names each column once");
            return None;
        }
    }
    let mut rows = Vec::new();
    for record in records {
        let span = record.first().map_or(Span::new(base, base), |(_, span)| *span);
        if record.len() != columns.len() {
            let message = format!("the line has {} values, the header {}", record.len(), columns.len());
            report(
                reader,
                Code::MatrixList,
                span,
                &message,
                "put a value that holds a comma into double quotes",
            );
            return None;
        }
        let cells = columns.iter().zip(record).map(|(column, (text, span))| Cell {
            column: column.clone(),
            value: Json::String(text.trim().to_owned()),
            span,
            untyped: true,
        });
        rows.push(Row { span, cells: cells.collect() });
    }
    Some((columns, rows))
}

/// The lines of a file with their values; empty ones are left out.
fn records(text: &str, base: usize, reader: &mut Reader) -> Option<Vec<Vec<(String, Span)>>> {
    let mut records = Vec::new();
    let mut record: Vec<(String, Span)> = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < text.len() {
        let start = at;
        let mut value = String::new();
        if text[at..].starts_with('"') {
            at += 1;
            loop {
                let Some(length) = text[at..].find('"') else {
                    let span = Span::new(base + start, base + start + 1);
                    report(
                        reader,
                        Code::MatrixList,
                        span,
                        "the quotes are not closed",
                        "write a quote within quotes twice",
                    );
                    return None;
                };
                value.push_str(&text[at..at + length]);
                at += length + 1;
                if !text[at..].starts_with('"') {
                    break;
                }
                value.push('"');
                at += 1;
            }
        }
        let length = text[at..].find([',', '\n']).unwrap_or(text.len() - at);
        value.push_str(text[at..at + length].trim_end_matches('\r'));
        at += length;
        record.push((value, Span::new(base + start, base + at)));
        let ends = !text[at..].starts_with(',');
        at += 1;
        if ends || at >= text.len() {
            let blank = record.len() == 1 && record[0].0.trim().is_empty();
            let whole = std::mem::take(&mut record);
            if !blank {
                records.push(whole);
            }
        }
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_at_commas_outside_of_quotes() {
        let text = "\u{feff}a,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n\n 2 ,\n";
        let records = records(text, 100, &mut Reader::default()).unwrap();
        let values = |at: usize| -> Vec<&str> { records[at].iter().map(|(text, _)| text.as_str()).collect() };
        assert_eq!(values(0), ["a", "b"]);
        assert_eq!(values(1), ["1", "x, \"y\"\nz"]);
        assert_eq!(values(2), [" 2 ", ""]);
        assert_eq!(records.len(), 3);
        let (_, span) = records[0][1];
        assert_eq!(&text[span.start - 100..span.end - 100], "b\r");
    }
}
