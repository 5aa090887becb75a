//! Delimited text and JSON lines into typed rows, in one pass and constant memory. A row that is not exactly what its
//! columns say becomes a reject with its line and reason; the rows around it are read on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use flate2::read::MultiGzDecoder;
use indexmap::IndexMap;
use serde_json::Value;

use crate::config::{Compression, Delimiter, Format, Input};
use crate::failure::{Failure, Result};
use crate::rows::columns::{Builder, Cell, ColumnType};
use crate::rows::rejects::{Reject, Rejects};

/// Rows per batch: enough to amortise, small enough to be nothing.
const BATCH_ROWS: usize = 8_192;

/// Where finished batches go.
pub type Sink<'a> = &'a mut dyn FnMut(RecordBatch) -> Result<()>;

/// What is done with one line: its text, its number, and where batches go.
type EachLine<'a, R> = &'a mut dyn FnMut(&mut R, &[u8], u64, Sink<'_>) -> Result<()>;

/// Reads text files of one input, one after the other, into one table.
pub struct TextReader<'a> {
    input: &'a Input,
    format: Format,
    rejects: &'a Rejects,
    columns: Option<IndexMap<String, ColumnType>>,
    builders: Vec<Builder>,
    pending: usize,
    /// Rows read so far, rejects not counted.
    pub rows: u64,
}

impl<'a> TextReader<'a> {
    /// A reader for one input of format csv or json.
    pub fn new(input: &'a Input, format: Format, rejects: &'a Rejects) -> Result<Self> {
        if input.columns.is_none() && (format == Format::Json || !input.header) {
            return Err(Failure::Config(format!(
                "{}: `columns` must name the columns and their types",
                input.uri
            )));
        }
        let columns = input.columns.clone();
        let mut reader =
            Self { input, format, rejects, columns: None, builders: Vec::new(), pending: 0, rows: 0 };
        if let Some(columns) = columns {
            reader.settle(columns);
        }
        Ok(reader)
    }

    /// The columns, once they are known: from the configuration or the first header.
    pub fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().flatten().map(|(name, kind)| Field::new(name, kind.arrow(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn settle(&mut self, columns: IndexMap<String, ColumnType>) {
        self.builders = columns.values().map(|kind| Builder::new(*kind)).collect();
        self.columns = Some(columns);
    }

    /// Reads one file. `name` is its location, for rejects and errors.
    pub fn read(&mut self, bytes: impl Read, name: &str, sink: Sink<'_>) -> Result<()> {
        match self.input.compression(name) {
            Compression::None => self.read_plain(bytes, name, sink),
            Compression::Gzip => self.read_plain(MultiGzDecoder::new(bytes), name, sink),
        }
    }

    fn read_plain(&mut self, bytes: impl Read, name: &str, sink: Sink<'_>) -> Result<()> {
        match (self.format, self.input.delimiter) {
            (Format::Json, _) => self.read_json(bytes, name, sink),
            (_, Delimiter::Whitespace) => self.read_blanks(bytes, name, sink),
            (_, Delimiter::Byte(delimiter)) => self.read_csv(bytes, name, delimiter, sink),
        }
    }

    fn read_csv(&mut self, bytes: impl Read, name: &str, delimiter: u8, sink: Sink<'_>) -> Result<()> {
        // The reader is told there is no header and to accept any width: both are ours to judge, with a line number.
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(bytes);
        let mut record = csv::ByteRecord::new();
        let mut layout = Layout::default();
        let mut first = true;
        loop {
            let more = reader.read_byte_record(&mut record).map_err(|error| unreadable(name, error))?;
            if !more {
                break;
            }
            let line = record.position().map_or(0, csv::Position::line);
            let fields: Vec<&[u8]> = record.iter().collect();
            if std::mem::take(&mut first) {
                layout = self.layout(&fields, name)?;
                if self.input.header {
                    continue;
                }
            }
            self.row(&fields, &layout, name, line, sink)?;
        }
        self.flush(sink)
    }

    fn read_blanks(&mut self, bytes: impl Read, name: &str, sink: Sink<'_>) -> Result<()> {
        let mut layout = Layout::default();
        let mut first = true;
        self.lines(bytes, name, sink, &mut |reader, text, line, sink| {
            let fields: Vec<&[u8]> =
                text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
            if fields.is_empty() {
                return Ok(());
            }
            if std::mem::take(&mut first) {
                layout = reader.layout(&fields, name)?;
                if reader.input.header {
                    return Ok(());
                }
            }
            reader.row(&fields, &layout, name, line, sink)
        })
    }

    fn read_json(&mut self, bytes: impl Read, name: &str, sink: Sink<'_>) -> Result<()> {
        self.lines(bytes, name, sink, &mut |reader, text, line, sink| {
            if text.iter().all(u8::is_ascii_whitespace) {
                return Ok(());
            }
            let columns = reader.columns.as_ref().into_iter().flatten();
            let cells: std::result::Result<Vec<Cell>, String> = match serde_json::from_slice::<Value>(text) {
                Ok(Value::Object(object)) => columns
                    .map(|(column, kind)| {
                        let value = object.get(column).unwrap_or(&Value::Null);
                        kind.read_json(value).map_err(|reason| format!("{column}: {reason}"))
                    })
                    .collect(),
                Ok(_) => Err("the line is not a JSON object".to_owned()),
                Err(error) => Err(format!("the line is not JSON: {error}")),
            };
            match cells {
                Ok(cells) => reader.push(cells, sink),
                Err(reason) => {
                    let record = String::from_utf8_lossy(text).into_owned().into();
                    reader.rejects.add(&Reject { source: name, line: Some(line), reason: &reason, record })
                }
            }
        })
    }

    /// Calls `each` with every line, its end taken off, and its number from 1.
    fn lines(
        &mut self,
        bytes: impl Read,
        name: &str,
        sink: Sink<'_>,
        each: EachLine<'_, Self>,
    ) -> Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, bytes);
        let mut text = Vec::new();
        let mut line = 0;
        while reader.read_until(b'\n', &mut text).map_err(|error| unreadable(name, error))? > 0 {
            line += 1;
            let content = text.strip_suffix(b"\n").unwrap_or(&text);
            each(self, content.strip_suffix(b"\r").unwrap_or(content), line, sink)?;
            text.clear();
        }
        self.flush(sink)
    }

    /// Where each column stands in the lines of one file.
    fn layout(&mut self, first: &[&[u8]], name: &str) -> Result<Layout> {
        if !self.input.header {
            let width = self.columns.as_ref().map_or(0, IndexMap::len);
            return Ok(Layout { width, places: (0..width).collect(), names: Vec::new() });
        }
        let names: Vec<String> = first
            .iter()
            .map(|field| String::from_utf8_lossy(field).trim_start_matches('\u{feff}').to_owned())
            .collect();
        let mut place_of = BTreeMap::new();
        for (place, column) in names.iter().enumerate() {
            if place_of.insert(column.as_str(), place).is_some() {
                return Err(Failure::Data(format!("{name}: the header names `{column}` twice")));
            }
        }
        if self.columns.is_none() {
            self.settle(names.iter().map(|column| (column.clone(), ColumnType::String)).collect());
        }
        let columns = self.columns.iter().flat_map(IndexMap::keys);
        let places = columns
            .map(|column| {
                place_of.get(column.as_str()).copied().ok_or_else(|| {
                    Failure::Data(format!("{name}: no column `{column}`; the header is {}", names.join(", ")))
                })
            })
            .collect::<Result<Vec<usize>>>()?;
        Ok(Layout { width: names.len(), places, names })
    }

    fn row(
        &mut self,
        fields: &[&[u8]],
        layout: &Layout,
        name: &str,
        line: u64,
        sink: Sink<'_>,
    ) -> Result<()> {
        match self.cells(fields, layout) {
            Ok(cells) => self.push(cells, sink),
            Err(reason) => {
                let text = |field: &&[u8]| Value::from(String::from_utf8_lossy(field).into_owned());
                let record = if layout.names.len() == fields.len() {
                    Value::Object(layout.names.iter().cloned().zip(fields.iter().map(text)).collect())
                } else {
                    Value::Array(fields.iter().map(text).collect())
                };
                self.rejects.add(&Reject { source: name, line: Some(line), reason: &reason, record })
            }
        }
    }

    fn cells(&self, fields: &[&[u8]], layout: &Layout) -> std::result::Result<Vec<Cell>, String> {
        if fields.len() != layout.width {
            return Err(format!("{} fields instead of {}", fields.len(), layout.width));
        }
        let columns = self.columns.iter().flatten();
        columns
            .zip(&layout.places)
            .map(|((column, kind), place)| {
                let text = str::from_utf8(fields[*place]).map_err(|_| format!("{column}: not UTF-8"))?;
                if text == self.input.null {
                    return Ok(Cell::Null);
                }
                kind.read(text).map_err(|reason| format!("{column}: {reason}"))
            })
            .collect()
    }

    fn push(&mut self, cells: Vec<Cell>, sink: Sink<'_>) -> Result<()> {
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            builder.push(cell);
        }
        self.pending += 1;
        self.rows += 1;
        if self.pending == BATCH_ROWS { self.flush(sink) } else { Ok(()) }
    }

    fn flush(&mut self, sink: Sink<'_>) -> Result<()> {
        if self.pending == 0 {
            return Ok(());
        }
        self.pending = 0;
        let arrays: Vec<ArrayRef> = self.builders.iter_mut().map(Builder::finish).collect();
        let batch = RecordBatch::try_new(self.schema(), arrays)
            .map_err(|error| Failure::system("cannot build a batch of rows", error))?;
        sink(batch)
    }
}

/// How the fields of a line map to columns.
#[derive(Default)]
struct Layout {
    width: usize,
    places: Vec<usize>,
    names: Vec<String>,
}

fn unreadable(name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::system(format!("cannot read {name}"), error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use datafusion::arrow::util::pretty::pretty_format_batches;
    use serde_json::json;

    use super::*;
    use crate::config::Located;
    use crate::files;
    use crate::storage::Storage;

    /// Reads `text` and returns the printed table and the rejects.
    fn read(input: Value, text: &[u8]) -> Result<(String, Vec<Value>)> {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path().to_owned());
        let input: Located<Input> = serde_json::from_value(input).unwrap();
        let rejects = Rejects::new(&storage, Some("rejects.json"), None)?;
        let mut reader = TextReader::new(&input, input.format()?, &rejects)?;
        let mut batches = Vec::new();
        reader.read(text, &input.uri, &mut |batch| {
            batches.push(batch);
            Ok(())
        })?;
        let table = pretty_format_batches(&batches).unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rejected = runtime.block_on(async {
            let count = rejects.deliver(&storage).await.unwrap();
            let bytes =
                files::read_small(&storage, &storage.locate("rejects.json").unwrap()).await.unwrap().unwrap();
            let rows: Vec<Value> = String::from_utf8(bytes)
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(rows.len() as u64, count);
            rows
        });
        Ok((table, rejected))
    }

    #[test]
    fn bad_rows_are_rejected_with_line_and_reason_and_good_ones_kept() {
        let columns = json!({"total": "decimal(8,2)", "id": "integer"});
        let text = b"id,name,total\n1,a,2.50\nx,b,1.00\n3,\"two\nlines\",4.00\n4,c\n5,\xff,1.005\n6,,\n";
        let (table, rejects) = read(json!({"uri": "v.csv", "columns": columns}), text).unwrap();
        let expected = "\
+-------+----+
| total | id |
+-------+----+
| 2.50  | 1  |
| 4.00  | 3  |
|       | 6  |
+-------+----+";
        assert_eq!(table, expected);
        let seen: Vec<(u64, &str)> = rejects
            .iter()
            .map(|row| (row["line"].as_u64().unwrap(), row["reason"].as_str().unwrap()))
            .collect();
        assert_eq!(
            seen,
            [
                (3, "id: `x` is not an integer"),
                (6, "2 fields instead of 3"),
                (7, "total: `1.005` is not a decimal(8,2)"),
            ]
        );
        assert_eq!(rejects[0]["record"], json!({"id": "x", "name": "b", "total": "1.00"}));
        assert_eq!(rejects[1]["record"], json!(["4", "c"]));
    }

    #[test]
    fn blanks_separate_and_columns_without_types_are_text() {
        let (table, _) = read(
            json!({"uri": "c.txt", "format": "csv", "delimiter": "whitespace"}),
            b" a  b\n 01 x\n\n 02\ty\n",
        )
        .unwrap();
        assert!(table.contains("| 01 | x |") && table.contains("| 02 | y |"), "{table}");
    }

    #[test]
    fn gzip_with_several_members_is_one_text() {
        let mut packed = Vec::new();
        for part in [&b"a\n1\n"[..], b"2\n"] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part).unwrap();
            packed.extend(encoder.finish().unwrap());
        }
        let (table, _) = read(json!({"uri": "c.csv.gz", "columns": {"a": "integer"}}), &packed).unwrap();
        assert!(table.contains("| 1 |") && table.contains("| 2 |"), "{table}");
    }

    #[test]
    fn json_lines_are_rows_and_missing_members_null() {
        let text = b"{\"a\":1,\"b\":\"x\"}\n[1]\n{\"a\":\n{\"b\":null}\n{\"a\":true}\n";
        let (table, rejects) =
            read(json!({"uri": "c.json", "columns": {"a": "integer", "b": "string"}}), text).unwrap();
        assert!(table.contains("| 1 | x |") && table.contains("|   |   |"), "{table}");
        let lines: Vec<u64> = rejects.iter().map(|row| row["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [2, 3, 5]);
    }

    #[test]
    fn a_header_that_cannot_be_used_fails_the_data_not_the_configuration() {
        let missing = read(json!({"uri": "v.csv", "columns": {"z": "string"}}), b"a,b\n1,2\n").unwrap_err();
        assert_eq!(missing.to_string(), "v.csv: no column `z`; the header is a, b");
        assert_eq!(missing.exit_code(), 1);
        assert_eq!(read(json!("v.csv"), b"a,a\n").unwrap_err().exit_code(), 1);
        assert_eq!(read(json!("v.json"), b"{}\n").unwrap_err().exit_code(), 2);
    }
}
