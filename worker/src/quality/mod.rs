//! The kind `quality`: a suite of checks over one input, a stored report, and a verdict.
//!
//! Rows are read once. Every row check adds one truth column to them; the flagged rows are staged, then counted, and
//! the bad ones written to the rejects file with every reason they have.

pub mod checks;
pub mod measure;
pub mod outlier;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use datafusion::arrow::record_batch::RecordBatch;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Outcome;
use crate::config::{Input, Located, MemoryMib};
use crate::failure::{Failure, Result};
use crate::rows::inputs::register;
use crate::rows::rejects::{Reject, Rejects};
use crate::session::Session;
use crate::task::Task;
use crate::write::{self, Staged};
use checks::{Check, Rule, Severity};

/// The version of the report's shape.
const REPORT_SCHEMA: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    source: Located<Input>,
    checks: Vec<Check>,
    #[serde(default)]
    on_fail: OnFail,
    #[serde(default)]
    min_score: f64,
    report: Option<String>,
    rejects: Option<String>,
    max_rejects: Option<u64>,
    #[serde(default)]
    references: IndexMap<String, Located<Input>>,
    #[serde(default)]
    memory_mib: MemoryMib,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnFail {
    #[default]
    Fail,
    Record,
}

/// How one check came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The check's name.
    pub name: String,
    /// What its failing means.
    pub severity: Severity,
    /// Whether it held.
    pub passed: bool,
    /// How well, 0 to 1, four decimals.
    pub score: f64,
    /// Rows that violate it; none for checks of the whole table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<u64>,
    /// What was seen, in words.
    pub detail: String,
    /// Its part in the suite's score.
    #[serde(skip)]
    pub weight: f64,
}

/// Runs a `quality` task.
pub async fn run(task: &Task) -> Result<Outcome> {
    let config: Config = task.config()?;
    checks::distinct(&config.checks)?;
    if config.min_score.is_nan() || !(0.0..=1.0).contains(&config.min_score) {
        return Err(Failure::Config(format!("min_score is {}; it must be from 0 to 1", config.min_score)));
    }
    let session = task.session(config.memory_mib)?;
    let rejects = Rejects::new(&session.storage, config.rejects.as_deref(), config.max_rejects)?;
    register(&session, "source", &config.source, &rejects).await?;
    let unreadable = rejects.count();
    for (name, input) in &config.references {
        let strict = Rejects::new(&session.storage, None, None)?;
        register(&session, &reference_table(name), input, &strict).await?;
    }

    let source = session.context.table("source").await;
    let source = source.map_err(|error| Failure::query("cannot read the source", error))?;
    let schema = source.schema().as_arrow().clone();
    let flagged = measure::flag(&session, source, &config.checks).await?;
    let staged = write::stage(&session, flagged, "flagged", &[]).await?;
    let mut findings = measure::judge(&session, &staged, &schema, &config.checks, task).await?;
    if unreadable > 0 {
        findings.insert(0, measure::readable(staged.rows, unreadable, config.max_rejects.unwrap_or(0)));
    }
    if rejects.wanted() {
        reject_rows(&staged, &config, &rejects)?;
    }

    let score = overall(&findings);
    let failed: Vec<&str> = findings
        .iter()
        .filter(|found| !found.passed && found.severity == Severity::Error)
        .map(|f| f.name.as_str())
        .collect();
    let passed = failed.is_empty() && score >= config.min_score;
    let answer = json!({
        "passed": passed,
        "score": score,
        "rows": staged.rows,
        "rejected": rejects.count(),
        "unreadable": unreadable,
        "failed": failed,
        "checks": findings,
        "report": config.report,
        "rejects": config.rejects,
    });
    if let Some(report) = &config.report {
        store_report(task, &session, report, &config.source.uri, &answer).await?;
    }
    rejects.deliver(&session.storage).await?;
    let reason = match (passed, config.on_fail) {
        (true, _) | (false, OnFail::Record) => None,
        (false, OnFail::Fail) if failed.is_empty() => {
            Some(format!("the quality score {score} is below min_score: {}", config.min_score))
        }
        (false, OnFail::Fail) => Some(format!("quality checks failed: {}", failed.join(", "))),
    };
    Ok(Outcome { answer, failed: reason })
}

/// The session's name of a reference, so that it cannot be taken for the source.
pub fn reference_table(name: &str) -> String {
    format!("reference_{name}")
}

/// The weighted mean of the scores, four decimals.
fn overall(findings: &[Finding]) -> f64 {
    let weight: f64 = findings.iter().map(|found| found.weight).sum();
    let sum: f64 = findings.iter().map(|found| found.score * found.weight).sum();
    measure::four_decimals(sum / weight)
}

async fn store_report(
    task: &Task,
    session: &Session,
    report: &str,
    source: &str,
    answer: &Value,
) -> Result<()> {
    let mut document = json!({
        "schema": REPORT_SCHEMA,
        "pipeline": task.variable("CAUCE_PIPELINE"),
        "run_id": task.variable("CAUCE_RUN_ID"),
        "task": task.variable("CAUCE_TASK"),
        "logical_date": task.variable("CAUCE_LOGICAL_DATE"),
        "source": source,
    });
    if let (Some(document), Some(answer)) = (document.as_object_mut(), answer.as_object()) {
        document
            .extend(answer.iter().filter(|(name, _)| *name != "report").map(|(k, v)| (k.clone(), v.clone())));
    }
    let location = session.storage.locate(report)?;
    session.storage.put(&location, format!("{document:#}\n").into_bytes()).await?;
    Ok(())
}

/// Writes down the rows that violate a row check of severity `error`, each once, with all its reasons.
fn reject_rows(staged: &Staged, config: &Config, rejects: &Rejects) -> Result<()> {
    let fail = |error| Failure::system("cannot read the checked rows", error);
    let deciding: Vec<(String, &str)> = config
        .checks
        .iter()
        .enumerate()
        .filter(|(_, check)| matches!(check.rule, Rule::Row(_)) && check.severity == Severity::Error)
        .map(|(number, check)| (measure::flag_column(number), check.name.as_str()))
        .collect();
    for batch in staged.batches()? {
        let batch = batch.map_err(fail)?;
        for row in 0..batch.num_rows() {
            let reasons: Vec<&str> = deciding
                .iter()
                .filter(|(column, _)| {
                    batch.column_by_name(column).is_some_and(|flags| flags.as_boolean().value(row))
                })
                .map(|(_, name)| *name)
                .collect();
            if reasons.is_empty() {
                continue;
            }
            let record = record(&batch, row)?;
            rejects.add(&Reject {
                source: &config.source.uri,
                line: None,
                reason: &reasons.join("; "),
                record,
            })?;
        }
    }
    Ok(())
}

/// One row's own columns as JSON.
fn record(batch: &RecordBatch, row: usize) -> Result<Value> {
    let fail = |error: Box<dyn std::error::Error + Send + Sync>| Failure::system("cannot write a row", error);
    let own: Vec<usize> = (0..batch.num_columns())
        .filter(|at| !batch.schema_ref().field(*at).name().starts_with(measure::ADDED))
        .collect();
    let one = batch.slice(row, 1).project(&own).map_err(|error| fail(error.into()))?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(&one).and_then(|()| writer.finish()).map_err(|error| fail(error.into()))?;
    serde_json::from_slice(&writer.into_inner()).map_err(|error| fail(error.into()))
}
