//! The kinds that the worker runs. Their fields are explained in `docs/data-kinds.md`; here is what
//! can be checked before anything runs.

use cauce_template::{Template, TemplateValue};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::diagnostic::Code;
use crate::shape::{Definitions, Name, Reader, Seconds, Shape, choice, document, record};
use crate::tree::{Node, Value};

choice! {
    /// Format: how rows are written in files.
    pub enum Format {
        /// Comma-separated values.
        Csv = "csv";
        /// One JSON object per line.
        Json = "json";
        /// Apache Parquet.
        Parquet = "parquet";
        /// A Delta table.
        Delta = "delta";
    }
}

choice! {
    /// Compression: how a text file is packed.
    pub enum Compression {
        /// Not at all.
        None = "none";
        /// By gzip.
        Gzip = "gzip";
    }
}

choice! {
    /// Write mode: what becomes of rows that are there already.
    pub enum Mode {
        /// They are replaced.
        Overwrite = "overwrite";
        /// They stay.
        Append = "append";
        /// The partitions that the result touches are replaced.
        OverwritePartitions = "overwrite_partitions";
    }
}

/// The type of a column: `string`, `integer`, `number`, `boolean`, `date`, `timestamp` or
/// `decimal(precision, scale)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ColumnType(String);

impl ColumnType {
    const WORDS: [&'static str; 6] = ["string", "integer", "number", "boolean", "date", "timestamp"];
    /// The most digits that a decimal holds in 128 bits.
    const MAX_PRECISION: u32 = 38;

    fn parse(text: &str) -> Option<Self> {
        let known = Self::WORDS.contains(&text)
            || text
                .strip_prefix("decimal(")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|inside| inside.split_once(','))
                .and_then(|(precision, scale)| {
                    Some((precision.trim().parse::<u32>().ok()?, scale.trim().parse::<u32>().ok()?))
                })
                .is_some_and(|(precision, scale)| {
                    (1..=Self::MAX_PRECISION).contains(&precision) && scale <= precision
                });
        known.then(|| Self(text.to_owned()))
    }
}

impl Shape for ColumnType {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        let parsed = Self::parse(&text);
        if parsed.is_none() {
            reader.error(
                Code::NotAllowed,
                node.span,
                format!("`{text}` is not a column type"),
                format!("known here: {}, decimal(precision, scale)", Self::WORDS.join(", ")),
            );
        }
        parsed
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("ColumnType", |_| {
            document(
                json!({"type": "string", "pattern": r"^(string|integer|number|boolean|date|timestamp|decimal\(\s*[0-9]+\s*,\s*[0-9]+\s*\))$"}),
                "Column type: string, integer, number, boolean, date, timestamp, or decimal(precision, scale).",
            )
        })
    }
}

record! {
    /// Input: rows to read. A location alone is enough where the format is known from its name.
    pub struct Input (short "uri") {
        /// Location: an s3 or file URI, or a path in the project; patterns are allowed.
        uri: Template;
        /// Format: how the rows are written; known from the extension, except for delta.
        format: Option<Format> = None;
        /// Columns: the columns to read and their types.
        columns: IndexMap<String, ColumnType> = IndexMap::new();
        /// Header: whether the first line of every csv file names the columns.
        header: bool = true;
        /// Delimiter: what separates the fields of a csv line; `whitespace` splits at runs of blanks.
        delimiter: Option<Template> = None;
        /// Null: the csv text that means null.
        null: Option<Template> = None;
        /// Compression: how the file is packed.
        compression: Option<Compression> = None;
        /// Version: the version of a delta table.
        version: Option<TemplateValue> = None;
        /// Optional: whether nothing at the location is an empty table.
        optional: bool = false;
    }
}

record! {
    /// Output: where rows go. A location alone is enough where the format is known from its name.
    pub struct Output (short "uri") {
        /// Location: a file, a folder or a table.
        uri: Template;
        /// Format: how the rows are written.
        format: Option<Format> = None;
        /// Mode: what becomes of rows that are there already.
        mode: Mode = Mode::Overwrite;
        /// Partition by: columns that become folders.
        partition_by: Vec<String> = Vec::new();
        /// Replace: values of columns whose rows or partitions are replaced.
        replace: IndexMap<String, TemplateValue> = IndexMap::new();
    }
}

record! {
    /// Quality: checks over rows.
    pub struct Quality {
        /// Source: the rows to check.
        source: Input;
        /// Checks: what must hold.
        checks: Vec<Check>;
        /// On fail: whether a failed suite fails the task, or only says so in its output.
        on_fail: OnFail = OnFail::Fail;
        /// Least score: the suite's score below which it does not pass.
        min_score: Option<TemplateValue> = None;
        /// Report: where the whole result is stored as one JSON document.
        report: Option<Template> = None;
        /// Rejects: where rows go that cannot be read or violate a check.
        rejects: Option<Template> = None;
        /// Most rejects: more rejected rows than this fail the task.
        max_rejects: Option<TemplateValue> = None;
        /// References: tables that referential checks look into.
        references: IndexMap<Name, Input> = IndexMap::new();
        /// Memory: MiB for sorts and joins before they spill to disk.
        memory_mib: u32 = 256, within 32..=122_880;
    }
}

choice! {
    /// On fail: what a failed suite does.
    pub enum OnFail {
        /// The task fails.
        Fail = "fail";
        /// The task succeeds and its output says that the suite did not pass.
        Record = "record";
    }
}

record! {
    /// Check: exactly one rule, and how much it counts.
    pub struct Check {
        /// Name: shown in results; made from the rule when it is not said.
        name: Option<String> = None;
        /// Severity: whether a failed check fails the suite.
        severity: CheckSeverity = CheckSeverity::Error;
        /// Tolerance: the share of rows that may violate it.
        tolerance: Option<TemplateValue> = None;
        /// Weight: how much it counts in the score.
        weight: Option<TemplateValue> = None;
        /// Not null: columns without nulls.
        not_null: Option<Vec<String>> = None;
        /// Unique: columns whose values together never repeat.
        unique: Option<Vec<String>> = None;
        /// Between: a column's least and greatest value.
        between: Option<Between> = None;
        /// In set: a column's allowed values.
        in_set: Option<InSet> = None;
        /// Regex: the form of a column's text.
        regex: Option<Regex> = None;
        /// Referential: values that another table has.
        referential: Option<Referential> = None;
        /// Expression: SQL that is true for every row.
        expression: Option<Expression> = None;
        /// Outlier: values that are not far from those before them.
        outlier: Option<Outlier> = None;
        /// Row count: how many rows there are.
        row_count: Option<RowCount> = None;
        /// Null rate: the greatest share of nulls in a column.
        null_rate: Option<NullRate> = None;
        /// Freshness: how old the newest value may be.
        freshness: Option<Freshness> = None;
        /// Schema: the columns and their types.
        schema: Option<TableSchema> = None;
    }
}

impl Check {
    /// The rules of which a check has one.
    pub(crate) const RULES: [&'static str; 12] = [
        "not_null",
        "unique",
        "between",
        "in_set",
        "regex",
        "referential",
        "expression",
        "outlier",
        "row_count",
        "null_rate",
        "freshness",
        "schema",
    ];
}

choice! {
    /// Severity: whether a failed check fails the suite.
    pub enum CheckSeverity {
        /// It does.
        Error = "error";
        /// It is only reported.
        Warning = "warning";
    }
}

record! {
    /// Between: a column's bounds; one of them may be missing.
    pub struct Between {
        /// Column: its name.
        column: String;
        /// Least: the smallest value allowed.
        min: Option<TemplateValue> = None;
        /// Greatest: the largest value allowed.
        max: Option<TemplateValue> = None;
        /// Exclusive: whether the bounds themselves are outside.
        exclusive: bool = false;
    }
}

record! {
    /// In set: a column's allowed values.
    pub struct InSet {
        /// Column: its name.
        column: String;
        /// Values: those allowed.
        values: TemplateValue;
    }
}

record! {
    /// Regex: the form of a column's text.
    pub struct Regex {
        /// Column: its name.
        column: String;
        /// Pattern: a regular expression, found anywhere in the text unless anchored.
        pattern: String;
    }
}

record! {
    /// Referential: values that another table has.
    pub struct Referential {
        /// Column: its name.
        column: Option<String> = None;
        /// Columns: their names, where several make the key.
        columns: Vec<String> = Vec::new();
        /// To: a table under `references`.
        to: Name;
        /// Key: the columns there; the same names when it is not said.
        key: Vec<String> = Vec::new();
    }
}

record! {
    /// Expression: SQL that is true for every row.
    pub struct Expression (short "sql") {
        /// SQL: a boolean expression; values are bound by `$name`.
        sql: String;
        /// Parameters: the values to bind.
        params: IndexMap<String, TemplateValue> = IndexMap::new();
    }
}

record! {
    /// Row count: bounds of the number of rows.
    pub struct RowCount {
        /// Least: the fewest rows allowed.
        min: Option<TemplateValue> = None;
        /// Greatest: the most rows allowed.
        max: Option<TemplateValue> = None;
    }
}

record! {
    /// Null rate: the greatest share of nulls in a column.
    pub struct NullRate {
        /// Column: its name.
        column: String;
        /// Greatest: the share, from 0 to 1.
        max: TemplateValue;
    }
}

record! {
    /// Freshness: how old the newest value may be.
    pub struct Freshness {
        /// Column: a date or a timestamp.
        column: String;
        /// Greatest age: how old.
        max_age: Seconds;
        /// At: the instant that age is counted back from; the end of the data interval when it is not said.
        at: Option<Template> = None;
    }
}

record! {
    /// Outlier: a value is not far from those before it, by its modified z-score (median and MAD).
    pub struct Outlier {
        /// Column: a number.
        column: String;
        /// Order by: the column that orders the rows, such as a date.
        order_by: String;
        /// Per: columns whose values tell series apart.
        per: Vec<String> = Vec::new();
        /// Window: how many values before a value it is held against.
        window: u32 = 60, within 3..=10_000;
        /// Threshold: the score above which, either way, a value is far.
        threshold: Option<TemplateValue> = None;
        /// Change: what is measured: the values themselves, or `log`, the logarithm of the ratio to the value before.
        change: Change = Change::None;
    }
}

choice! {
    /// Change: what is measured of neighbouring values.
    pub enum Change {
        /// The values themselves.
        None = "none";
        /// The logarithm of the ratio to the value before.
        Log = "log";
    }
}

record! {
    /// Schema: the columns and their types.
    pub struct TableSchema {
        /// Columns: names and types.
        columns: IndexMap<String, ColumnType>;
        /// Strict: whether further columns fail the check.
        strict: bool = false;
    }
}

record! {
    /// SQL: one query over named inputs.
    pub struct Sql {
        /// Inputs: the tables of the query.
        inputs: IndexMap<Name, Input> = IndexMap::new();
        /// Query: one SELECT; values are bound by `$name`, never written into it.
        query: Option<String> = None;
        /// File: the SELECT, in a file of the project.
        file: Option<String> = None;
        /// Parameters: the values to bind.
        params: IndexMap<String, TemplateValue> = IndexMap::new();
        /// Output: where the rows go; without it the one row is the task's output.
        output: Option<Output> = None;
        /// Rejects: where rows go that cannot be read.
        rejects: Option<Template> = None;
        /// Most rejects: more rejected rows than this fail the task.
        max_rejects: Option<TemplateValue> = None;
        /// Memory: MiB for sorts and joins before they spill to disk.
        memory_mib: u32 = 256, within 32..=122_880;
    }
}

record! {
    /// Mask: rows copied with columns hidden.
    pub struct Mask {
        /// Source: the rows.
        source: Input;
        /// Columns: what is hidden, and how.
        columns: IndexMap<String, MaskColumn>;
        /// Drop: columns left out.
        drop: Vec<String> = Vec::new();
        /// Output: where the rows go.
        output: Output;
        /// Rejects: where rows go that cannot be read.
        rejects: Option<Template> = None;
        /// Most rejects: more rejected rows than this fail the task.
        max_rejects: Option<TemplateValue> = None;
        /// Memory: MiB for sorts and joins before they spill to disk.
        memory_mib: u32 = 256, within 32..=122_880;
    }
}

record! {
    /// Masked column: the rule, and what it needs.
    pub struct MaskColumn (short "rule") {
        /// Rule: how the value is hidden.
        rule: MaskRule;
        /// Key variable: the environment variable that holds the key of a hash.
        key_env: Option<String> = None;
        /// As: the masked column's new name.
        rename as "as": Option<String> = None;
    }
}

choice! {
    /// Mask rule: how a value is hidden.
    pub enum MaskRule {
        /// The first characters and the domain of an e-mail address stay.
        Email = "email";
        /// The last four digits of a card number stay.
        Card = "card";
        /// A keyed hash takes its place; equal values have equal hashes.
        Hash = "hash";
        /// Nothing of it stays.
        Redact = "redact";
    }
}

record! {
    /// Copy: files as they are, or rows into another format.
    pub struct Copy {
        /// From: a location, a list of locations, or rows to read.
        from: CopySource;
        /// To: a location, or how rows are written.
        to: Output;
        /// Fewest files: fewer matching files fail the task.
        min_files: Option<TemplateValue> = None;
        /// Rejects: where rows go that cannot be read.
        rejects: Option<Template> = None;
        /// Most rejects: more rejected rows than this fail the task.
        max_rejects: Option<TemplateValue> = None;
        /// Memory: MiB for sorts and joins before they spill to disk.
        memory_mib: u32 = 256, within 32..=122_880;
    }
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CopySource {
    /// Files, by location.
    Files(Vec<Template>),
    /// Rows, to be written in another format.
    Rows(Box<Input>),
}

impl Shape for CopySource {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.value {
            Value::Map(_) => Input::decode(node, reader).map(|input| Self::Rows(Box::new(input))),
            _ => Vec::decode(node, reader).map(Self::Files),
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let files = Vec::<Template>::schema(definitions);
        let rows = Input::schema(definitions);
        json!({"anyOf": [files, rows]})
    }
}
