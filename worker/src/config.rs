//! The shapes every kind shares: inputs, outputs and what stands for a location in either. `docs/data-kinds.md` is the
//! user's page of the same fields.

use std::ops::Deref;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::rows::columns::ColumnType;

/// How bytes hold rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Delimited text.
    Csv,
    /// One JSON object per line.
    Json,
    /// Apache Parquet.
    Parquet,
    /// A Delta table.
    Delta,
}

impl Format {
    /// The extensions files of this format have, compressed ones included.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Csv => &[".csv", ".csv.gz", ".txt", ".txt.gz"],
            Self::Json => &[".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz"],
            Self::Parquet => &[".parquet"],
            Self::Delta => &[],
        }
    }

    /// The format a name says, or none. Delta tables are folders and must be said.
    pub fn of_name(uri: &str) -> Option<Self> {
        let plain = uri.strip_suffix(".gz").unwrap_or(uri);
        match plain.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// How text is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    None,
    /// Gzip, several members allowed.
    Gzip,
}

/// What separates the fields of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Delimiter {
    /// One byte; quotes are understood.
    Byte(u8),
    /// Runs of blanks; quotes are not understood.
    Whitespace,
}

impl TryFrom<String> for Delimiter {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        match text.as_bytes() {
            _ if text == "whitespace" => Ok(Self::Whitespace),
            [byte] => Ok(Self::Byte(*byte)),
            _ => Err(format!("`{text}` is no delimiter: write one ASCII character, or whitespace")),
        }
    }
}

/// Rows to read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The location; patterns allowed.
    pub uri: String,
    /// The format; from the name when absent.
    pub format: Option<Format>,
    /// The columns to read and their types.
    pub columns: Option<IndexMap<String, ColumnType>>,
    /// The first line of each csv file names the columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// What separates csv fields.
    #[serde(default = "comma")]
    pub delimiter: Delimiter,
    /// The csv text that means null.
    #[serde(default)]
    pub null: String,
    /// The packing; from the name when absent.
    pub compression: Option<Compression>,
    /// The Delta version to read; the newest when absent.
    pub version: Option<u64>,
    /// Nothing there is an empty table.
    #[serde(default)]
    pub optional: bool,
}

/// What happens to the rows that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All of them are replaced.
    #[default]
    Overwrite,
    /// All of them stay.
    Append,
    /// Those of some partitions are replaced.
    OverwritePartitions,
}

/// Where rows go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The location.
    pub uri: String,
    /// The format; from the name when absent, else parquet.
    pub format: Option<Format>,
    /// What happens to the rows that are there.
    #[serde(default)]
    pub mode: Mode,
    /// The columns whose values are folder levels.
    #[serde(default)]
    pub partition_by: Vec<String>,
    /// The values whose rows are replaced.
    #[serde(default)]
    pub replace: IndexMap<String, Value>,
}

/// Something that can be written as a bare location.
pub trait AtUri: DeserializeOwned {
    /// The defaults at a location.
    fn at(uri: String) -> Self;
}

impl AtUri for Input {
    fn at(uri: String) -> Self {
        Self {
            uri,
            format: None,
            columns: None,
            header: true,
            delimiter: comma(),
            null: String::new(),
            compression: None,
            version: None,
            optional: false,
        }
    }
}

impl AtUri for Output {
    fn at(uri: String) -> Self {
        Self { uri, format: None, mode: Mode::Overwrite, partition_by: Vec::new(), replace: IndexMap::new() }
    }
}

/// Either a bare location or the whole mapping.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value", bound = "T: AtUri")]
pub struct Located<T>(pub T);

impl<T: AtUri> TryFrom<Value> for Located<T> {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::String(uri) => Ok(Self(T::at(uri))),
            mapping @ Value::Object(_) => {
                serde_json::from_value(mapping).map(Self).map_err(|error| error.to_string())
            }
            other => Err(format!("expected a location or a mapping, found {other}")),
        }
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Input {
    /// The format said or shown by the name.
    pub fn format(&self) -> Result<Format> {
        self.format.or_else(|| Format::of_name(&self.uri)).ok_or_else(|| {
            Failure::Config(format!("the format of {} cannot be seen from its name: say `format`", self.uri))
        })
    }

    /// The packing of one of its files.
    pub fn compression(&self, name: &str) -> Compression {
        let shown = if name.ends_with(".gz") { Compression::Gzip } else { Compression::None };
        self.compression.unwrap_or(shown)
    }
}

impl Output {
    /// The format said or shown by the name, else parquet.
    pub fn format(&self) -> Format {
        self.format.or_else(|| Format::of_name(&self.uri)).unwrap_or(Format::Parquet)
    }

    /// True when the location is one file rather than a folder of parts.
    pub fn is_file(&self) -> bool {
        self.format() != Format::Delta && Format::of_name(&self.uri).is_some()
    }

    /// Refuses settings that cannot go together, before anything is read.
    pub fn check(&self) -> Result<()> {
        let wrong = |text: String| Err(Failure::Config(format!("output {}: {text}", self.uri)));
        let format = self.format();
        if self.is_file() && self.mode != Mode::Overwrite {
            return wrong(
                "one file can only be overwritten; end the location in `/` for a folder".to_owned(),
            );
        }
        let partitions = matches!(format, Format::Delta | Format::Parquet) && !self.is_file();
        if !self.partition_by.is_empty() && !partitions {
            return wrong("`partition_by` needs a delta table or a parquet folder".to_owned());
        }
        if self.mode == Mode::OverwritePartitions {
            if !partitions {
                return wrong("`overwrite_partitions` needs a delta table or a parquet folder".to_owned());
            }
            if self.replace.is_empty() && self.partition_by.is_empty() {
                return wrong("`overwrite_partitions` needs `partition_by`, or `replace`".to_owned());
            }
        } else if !self.replace.is_empty() {
            return wrong("`replace` needs `mode: overwrite_partitions`".to_owned());
        }
        for (column, value) in &self.replace {
            if format == Format::Parquet && !self.partition_by.contains(column) {
                return wrong(format!("`replace` names `{column}`, which is not in `partition_by`"));
            }
            if value.is_array() || value.is_object() || value.is_null() {
                return wrong(format!("`replace.{column}` must be a string, a number or a boolean"));
            }
        }
        Ok(())
    }
}

/// The memory a task may use for sorts, joins and groups before it spills, in MiB.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
pub struct MemoryMib(pub usize);

impl Default for MemoryMib {
    fn default() -> Self {
        Self(256)
    }
}

impl TryFrom<u64> for MemoryMib {
    type Error = String;

    fn try_from(mib: u64) -> std::result::Result<Self, String> {
        // Below this a sort cannot hold the two batches it merges.
        match usize::try_from(mib) {
            Ok(mib) if mib >= 32 => Ok(Self(mib)),
            _ => Err(format!("memory_mib is {mib}; it must be at least 32")),
        }
    }
}

fn yes() -> bool {
    true
}

fn comma() -> Delimiter {
    Delimiter::Byte(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(json: Value) -> Output {
        serde_json::from_value::<Located<Output>>(json).unwrap().0
    }

    #[test]
    fn a_bare_location_is_the_mapping_with_defaults() {
        let input: Located<Input> = serde_json::from_value("raw/a.csv.gz".into()).unwrap();
        assert_eq!(input.format().unwrap(), Format::Csv);
        assert_eq!(input.compression("a.csv.gz"), Compression::Gzip);
        let error = serde_json::from_value::<Located<Input>>(serde_json::json!({"uri": "x", "kolumns": {}}));
        assert!(error.unwrap_err().to_string().contains("unknown field `kolumns`"));
        let unsaid: Located<Input> = serde_json::from_value("raw/table".into()).unwrap();
        assert!(matches!(unsaid.format(), Err(Failure::Config(_))));
    }

    #[test]
    fn outputs_refuse_what_cannot_go_together() {
        use serde_json::json;
        for wrong in [
            json!({"uri": "a.csv", "mode": "append"}),
            json!({"uri": "a/", "format": "csv", "partition_by": ["x"]}),
            json!({"uri": "a/", "mode": "overwrite_partitions"}),
            json!({"uri": "a/", "replace": {"x": 1}}),
            json!({"uri": "a/", "mode": "overwrite_partitions", "partition_by": ["y"], "replace": {"x": 1}}),
            json!({"uri": "a", "format": "delta", "mode": "overwrite_partitions", "replace": {"x": [1]}}),
        ] {
            assert!(matches!(output(wrong.clone()).check(), Err(Failure::Config(_))), "{wrong}");
        }
        for right in [
            json!("a.csv"),
            json!({"uri": "a", "format": "delta", "mode": "overwrite_partitions", "replace": {"x": 1}}),
            json!({"uri": "a/", "mode": "overwrite_partitions", "partition_by": ["x"]}),
        ] {
            output(right).check().unwrap();
        }
    }
}
