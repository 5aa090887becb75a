//! The checks as pipelines write them: one key that says what, beside a name, a severity, a tolerance and a weight.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::{Failure, Result};
use crate::rows::columns::ColumnType;

/// What a failed check means for the suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The suite does not pass.
    #[default]
    Error,
    /// It is told, and counts in the score.
    Warning,
}

/// One check of a suite.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub struct Check {
    /// Unique in the suite.
    pub name: String,
    /// What its failing means.
    pub severity: Severity,
    /// The share of rows that may violate it.
    pub tolerance: f64,
    /// Its part in the suite's score.
    pub weight: f64,
    /// What must hold.
    pub rule: Rule,
}

/// What a check looks at.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Each row.
    Row(RowRule),
    /// The table as a whole.
    Table(TableRule),
}

/// What must hold for each row.
#[derive(Clone, Debug)]
pub enum RowRule {
    /// Columns are not null.
    NotNull(Vec<String>),
    /// No other row has the same values.
    Unique(Vec<String>),
    /// A value is within bounds.
    Between(Between),
    /// A value is one of a list.
    InSet(InSet),
    /// A text matches.
    Regex(Pattern),
    /// Values occur in another table.
    Referential(Reference),
    /// SQL is true.
    Expression(Expression),
    /// A value is not far from those before it.
    Outlier(Outlier),
}

/// What must hold for the table.
#[derive(Clone, Debug)]
pub enum TableRule {
    /// The number of rows is within bounds.
    RowCount(Bounds),
    /// Not too many nulls.
    NullRate(NullRate),
    /// New enough.
    Freshness(Freshness),
    /// The columns are there.
    Schema(Columns),
}

/// The bounds of `between`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// The column.
    pub column: String,
    /// The least value.
    pub min: Option<Value>,
    /// The greatest value.
    pub max: Option<Value>,
    /// The bounds themselves are outside.
    #[serde(default)]
    pub exclusive: bool,
}

/// The list of `in_set`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InSet {
    /// The column.
    pub column: String,
    /// What it may be.
    pub values: Vec<Value>,
}

/// The pattern of `regex`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// The column.
    pub column: String,
    /// The regular expression.
    pub pattern: String,
}

/// The other table of `referential`.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The columns here.
    pub columns: Vec<String>,
    /// The reference's name.
    pub to: String,
    /// The columns there.
    pub key: Vec<String>,
}

/// The SQL of `expression`.
#[derive(Clone, Debug)]
pub struct Expression {
    /// A boolean expression over the columns.
    pub sql: String,
    /// Values bound to its `$name` places.
    pub params: IndexMap<String, Value>,
}

/// The measure of `outlier`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outlier {
    /// The column.
    pub column: String,
    /// The column that orders the rows.
    pub order_by: String,
    /// Columns whose values tell series apart.
    #[serde(default)]
    pub per: Vec<String>,
    /// How many values before a value it is held against.
    #[serde(default = "sixty")]
    pub window: usize,
    /// The modified z-score above which, either way, it is far.
    #[serde(default = "three_and_a_half")]
    pub threshold: f64,
    /// What is measured of neighbouring values.
    #[serde(default)]
    pub change: Change,
}

const fn sixty() -> usize {
    60
}

/// What the score's authors recommend.
const fn three_and_a_half() -> f64 {
    3.5
}

/// What `outlier` measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The values themselves.
    #[default]
    None,
    /// The logarithm of the ratio to the value before: returns.
    Log,
}

/// The bounds of `row_count`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The fewest rows.
    pub min: Option<u64>,
    /// The most rows.
    pub max: Option<u64>,
}

/// The limit of `null_rate`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NullRate {
    /// The column.
    pub column: String,
    /// The greatest share of nulls, 0 to 1.
    pub max: f64,
}

/// The age of `freshness`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// A date or timestamp column.
    pub column: String,
    /// How old its newest value may be.
    pub max_age: String,
    /// Against which instant; the end of the data interval when absent.
    pub at: Option<String>,
}

/// The columns of `schema`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Names and types.
    pub columns: IndexMap<String, ColumnType>,
    /// No others may be there.
    #[serde(default)]
    pub strict: bool,
}

/// One name or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn list(self) -> std::result::Result<Vec<String>, String> {
        match self {
            Self::One(name) => Ok(vec![name]),
            Self::Many(names) if names.is_empty() => Err("an empty list of columns".to_owned()),
            Self::Many(names) => Ok(names),
        }
    }
}

fn read<T: DeserializeOwned>(value: Value) -> std::result::Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

impl TryFrom<Value> for Check {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let Value::Object(mut fields) = value else {
            return Err(format!("a check is a mapping such as `not_null: [id]`, not {value}"));
        };
        let name: Option<String> = fields.remove("name").map(read).transpose()?;
        let severity = fields.remove("severity").map(read).transpose()?.unwrap_or_default();
        let tolerance: f64 = fields.remove("tolerance").map(read).transpose()?.unwrap_or(0.0);
        let weight: f64 = fields.remove("weight").map(read).transpose()?.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&tolerance) {
            return Err(format!("tolerance is {tolerance}; it must be from 0 to 1"));
        }
        if !weight.is_finite() || weight <= 0.0 {
            return Err(format!("weight is {weight}; it must be greater than 0"));
        }
        let mut rest = fields.into_iter();
        let (Some((key, value)), None) = (rest.next(), rest.next()) else {
            return Err("a check has exactly one of its kinds' keys, such as `not_null`".to_owned());
        };
        let (rule, about) = rule(&key, value).map_err(|error| format!("{key}: {error}"))?;
        if tolerance > 0.0 && matches!(rule, Rule::Table(_)) {
            return Err(format!("{key}: `tolerance` is for checks of rows"));
        }
        let name = name.unwrap_or_else(|| if about.is_empty() { key } else { format!("{key}({about})") });
        Ok(Self { name, severity, tolerance, weight, rule })
    }
}

/// The rule of one key, and the columns it is about, for its name.
fn rule(key: &str, value: Value) -> std::result::Result<(Rule, String), String> {
    let row = |rule, about: &[String]| Ok((Rule::Row(rule), about.join(", ")));
    match key {
        "not_null" => {
            let columns = read::<OneOrMany>(value)?.list()?;
            row(RowRule::NotNull(columns.clone()), &columns)
        }
        "unique" => {
            let columns = read::<OneOrMany>(value)?.list()?;
            row(RowRule::Unique(columns.clone()), &columns)
        }
        "between" => {
            let rule: Between = read(value)?;
            if rule.min.is_none() && rule.max.is_none() {
                return Err("say `min`, `max` or both".to_owned());
            }
            row(RowRule::Between(rule.clone()), &[rule.column])
        }
        "in_set" => {
            let rule: InSet = read(value)?;
            row(RowRule::InSet(rule.clone()), &[rule.column])
        }
        "regex" => {
            let rule: Pattern = read(value)?;
            regex::Regex::new(&rule.pattern).map_err(|error| error.to_string())?;
            row(RowRule::Regex(rule.clone()), &[rule.column])
        }
        "referential" => {
            let rule = reference(value)?;
            let about = format!("{} -> {}", rule.columns.join(", "), rule.to);
            row(RowRule::Referential(rule), &[about])
        }
        "expression" => {
            let rule = expression(value)?;
            row(RowRule::Expression(rule.clone()), &[rule.sql])
        }
        "outlier" => {
            let rule: Outlier = read(value)?;
            if !(3..=10_000).contains(&rule.window) {
                return Err(format!("window is {}; it must be from 3 to 10000", rule.window));
            }
            if !rule.threshold.is_finite() || rule.threshold <= 0.0 {
                return Err(format!("threshold is {}; it must be greater than 0", rule.threshold));
            }
            row(RowRule::Outlier(rule.clone()), &[rule.column])
        }
        "row_count" => {
            let rule: Bounds = read(value)?;
            if rule.min.is_none() && rule.max.is_none() {
                return Err("say `min`, `max` or both".to_owned());
            }
            Ok((Rule::Table(TableRule::RowCount(rule)), String::new()))
        }
        "null_rate" => {
            let rule: NullRate = read(value)?;
            let column = rule.column.clone();
            Ok((Rule::Table(TableRule::NullRate(rule)), column))
        }
        "freshness" => {
            let rule: Freshness = read(value)?;
            let column = rule.column.clone();
            Ok((Rule::Table(TableRule::Freshness(rule)), column))
        }
        "schema" => Ok((Rule::Table(TableRule::Schema(read(value)?)), String::new())),
        other => Err(format!(
            "`{other}` is not a check; there are not_null, unique, between, in_set, regex, referential, expression, \
             outlier, row_count, null_rate, freshness, schema"
        )),
    }
}

fn reference(value: Value) -> std::result::Result<Reference, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        column: Option<String>,
        columns: Option<OneOrMany>,
        to: String,
        key: Option<OneOrMany>,
    }
    let Whole { column, columns, to, key } = read(value)?;
    let columns = match (column, columns) {
        (Some(column), None) => vec![column],
        (None, Some(columns)) => columns.list()?,
        _ => return Err("say either `column` or `columns`".to_owned()),
    };
    let key = match key {
        Some(key) => key.list()?,
        None => columns.clone(),
    };
    if key.len() != columns.len() {
        return Err(format!("{} columns here, {} there", columns.len(), key.len()));
    }
    Ok(Reference { columns, to, key })
}

fn expression(value: Value) -> std::result::Result<Expression, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        sql: String,
        #[serde(default)]
        params: IndexMap<String, Value>,
    }
    let whole = match value {
        Value::String(_) => Value::Object(Map::from_iter([("sql".to_owned(), value)])),
        other => other,
    };
    let Whole { sql, params } = read(whole)?;
    Ok(Expression { sql, params })
}

/// Refuses a suite without checks or with two of one name.
pub fn distinct(checks: &[Check]) -> Result<()> {
    let mut names = BTreeSet::new();
    if checks.is_empty() {
        return Err(Failure::Config("`checks` is empty".to_owned()));
    }
    match checks.iter().find(|check| !names.insert(check.name.as_str())) {
        Some(again) => {
            Err(Failure::Config(format!("two checks are named `{}`: give one a `name`", again.name)))
        }
        None => Ok(()),
    }
}
