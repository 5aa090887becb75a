//! From checks to figures: truth columns on the rows, one aggregate over them, one finding per check.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::JoinType;
use datafusion::error::DataFusionError;
use datafusion::functions::regex::expr_fn::regexp_like;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::expr_fn::{count, max, sum};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, ExprFunctionExt, cast, ident, lit, when};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::quality::checks::{Check, Columns, Freshness, RowRule, Rule, Severity, TableRule};
use crate::quality::{Finding, outlier, reference_table};
use crate::rows::inputs::scan;
use crate::session::Session;
use crate::sql::bind;
use crate::task::Task;
use crate::write::Staged;

/// How the names of the columns that checking adds begin.
pub const ADDED: &str = "__cauce_";

/// The column that says whether a row violates check `number`.
pub fn flag_column(number: usize) -> String {
    format!("{ADDED}violates_{number}")
}

/// Rounds a share for people; figures of two runs then compare equal.
pub fn four_decimals(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}

/// Adds one truth column per row check.
pub async fn flag(session: &Session, source: DataFrame, checks: &[Check]) -> Result<DataFrame> {
    let mut frame = source;
    for (number, check) in checks.iter().enumerate() {
        let Rule::Row(rule) = &check.rule else {
            continue;
        };
        let wrong = |error: DataFusionError| Failure::query(format!("check {}", check.name), error);
        let (with, violates) = match rule {
            RowRule::Referential(reference) => {
                let other = session.context.table(reference_table(&reference.to)).await.map_err(|_| {
                    Failure::Config(format!("check {}: `references` has no `{}`", check.name, reference.to))
                })?;
                let found = format!("{ADDED}found_{number}");
                let keys: Vec<String> =
                    (0..reference.key.len()).map(|at| format!("{ADDED}key_{number}_{at}")).collect();
                let wanted = reference.key.iter().zip(&keys).map(|(column, key)| ident(column).alias(key));
                let other =
                    other.select(wanted.collect::<Vec<_>>()).and_then(DataFrame::distinct).map_err(wrong)?;
                let other = other.with_column(&found, lit(true)).map_err(wrong)?;
                let here: Vec<&str> = reference.columns.iter().map(String::as_str).collect();
                let there: Vec<&str> = keys.iter().map(String::as_str).collect();
                let joined = frame.join(other, JoinType::Left, &here, &there, None).map_err(wrong)?;
                (joined, all_present(&reference.columns).and(ident(found).is_null()))
            }
            RowRule::Unique(columns) => {
                let same = format!("{ADDED}same_{number}");
                let window = Expr::from(WindowFunction::new(count_udaf(), vec![lit(1i64)]))
                    .partition_by(columns.iter().map(ident).collect())
                    .build()
                    .map_err(wrong)?
                    .alias(&same);
                let counted = frame.window(vec![window]).map_err(wrong)?;
                (counted, all_present(columns).and(ident(same).gt(lit(1i64))))
            }
            RowRule::Outlier(rule) => {
                let far = format!("{ADDED}far_{number}");
                let function = Arc::new(outlier::window_function(rule));
                let value = cast(ident(&rule.column), DataType::Float64);
                let window = Expr::from(WindowFunction::new(function, vec![value]))
                    .partition_by(rule.per.iter().map(ident).collect())
                    .order_by(vec![ident(&rule.order_by).sort(true, false)])
                    .build()
                    .map_err(wrong)?
                    .alias(&far);
                (frame.window(vec![window]).map_err(wrong)?, ident(far))
            }
            other => {
                let violates = violates(session, &frame, other).map_err(wrong)?;
                (frame, violates)
            }
        };
        frame = with.with_column(&flag_column(number), violates.is_true()).map_err(wrong)?;
    }
    Ok(frame)
}

fn all_present(columns: &[String]) -> Expr {
    columns.iter().map(|column| ident(column).is_not_null()).fold(lit(true), Expr::and)
}

fn violates(
    session: &Session,
    frame: &DataFrame,
    rule: &RowRule,
) -> std::result::Result<Expr, DataFusionError> {
    Ok(match rule {
        RowRule::NotNull(columns) => {
            columns.iter().map(|column| ident(column).is_null()).fold(lit(false), Expr::or)
        }
        RowRule::Between(rule) => {
            let column = || ident(&rule.column);
            let below = rule.min.as_ref().map(|min| {
                let min = lit(typed(frame, &rule.column, min)?);
                Ok::<_, DataFusionError>(if rule.exclusive { column().lt_eq(min) } else { column().lt(min) })
            });
            let above = rule.max.as_ref().map(|max| {
                let max = lit(typed(frame, &rule.column, max)?);
                Ok::<_, DataFusionError>(if rule.exclusive { column().gt_eq(max) } else { column().gt(max) })
            });
            below.transpose()?.into_iter().chain(above.transpose()?).fold(lit(false), Expr::or)
        }
        RowRule::InSet(rule) => {
            let values: std::result::Result<Vec<Expr>, _> =
                rule.values.iter().map(|value| typed(frame, &rule.column, value).map(lit)).collect();
            ident(&rule.column).in_list(values?, true)
        }
        RowRule::Regex(rule) => {
            let text = cast(ident(&rule.column), DataType::Utf8);
            Expr::Not(Box::new(regexp_like(text, lit(rule.pattern.clone()), None)))
        }
        RowRule::Expression(rule) => {
            let holds = session.context.parse_sql_expr(&rule.sql, frame.schema())?;
            let bound =
                frame.clone().select(vec![holds.alias("holds")])?.with_param_values(bind(&rule.params)?)?;
            let exprs = bound.logical_plan().expressions();
            let holds = exprs.into_iter().next().unwrap_or_else(|| lit(false)).unalias();
            holds.is_not_true()
        }
        RowRule::Unique(_) | RowRule::Referential(_) | RowRule::Outlier(_) => {
            unreachable!("`flag` adds the columns these need and builds their conditions itself")
        }
    })
}

/// A configured value as the column's own type, so that `10` is compared with decimals as a decimal.
fn typed(
    frame: &DataFrame,
    column: &str,
    value: &Value,
) -> std::result::Result<ScalarValue, DataFusionError> {
    let field = frame.schema().field_with_unqualified_name(column)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    ScalarValue::try_from_string(text.clone(), field.data_type()).map_err(|_| {
        DataFusionError::Plan(format!("`{text}` is not a {} like `{column}`", field.data_type()))
    })
}

/// Counts over the flagged rows and holds every check against the counts.
pub async fn judge(
    session: &Session,
    staged: &Staged,
    schema: &Schema,
    checks: &[Check],
    task: &Task,
) -> Result<Vec<Finding>> {
    let mut wanted: Vec<Expr> = vec![count(lit(1i64)).alias("rows")];
    for (number, check) in checks.iter().enumerate() {
        let figure = match &check.rule {
            Rule::Row(_) => {
                let one = when(ident(flag_column(number)), lit(1i64)).otherwise(lit(0i64));
                sum(one.map_err(|error| Failure::query("cannot count violations", error))?)
            }
            Rule::Table(TableRule::NullRate(rule)) => count(column(schema, &rule.column, check)?),
            Rule::Table(TableRule::Freshness(rule)) => {
                let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
                max(cast(column(schema, &rule.column, check)?, instant))
            }
            Rule::Table(TableRule::RowCount(_) | TableRule::Schema(_)) => continue,
        };
        wanted.push(figure.alias(format!("figure_{number}")));
    }
    let fail = |error| Failure::query("cannot count the checked rows", error);
    let url = session.scratch_url(&staged.name)?;
    let figures = scan(session, vec![url.to_string()])
        .await
        .and_then(|frame| frame.aggregate(vec![], wanted))
        .map_err(fail)?
        .collect()
        .await
        .map_err(fail)?;
    let figure = |number: usize| -> Option<i64> {
        let batch = figures.iter().find(|batch| batch.num_rows() > 0)?;
        let column = batch.column_by_name(&format!("figure_{number}"))?;
        match ScalarValue::try_from_array(column, 0).ok()? {
            ScalarValue::Int64(value) | ScalarValue::TimestampMicrosecond(value, _) => value,
            _ => None,
        }
    };
    let mut findings = Vec::new();
    for (number, check) in checks.iter().enumerate() {
        let measured = match &check.rule {
            Rule::Row(_) => {
                row_finding(staged.rows, figure(number).unwrap_or(0).unsigned_abs(), check.tolerance)
            }
            Rule::Table(rule) => table_finding(rule, staged.rows, figure(number), schema, task, check)?,
        };
        let Measured { passed, score, violations, detail } = measured;
        findings.push(Finding {
            name: check.name.clone(),
            severity: check.severity,
            passed,
            score: four_decimals(score),
            violations,
            detail,
            weight: check.weight,
        });
    }
    Ok(findings)
}

/// The check that is in every suite with unreadable rows: at most `allowed` of them may be.
pub fn readable(rows: u64, unreadable: u64, allowed: u64) -> Finding {
    Finding {
        name: "readable".to_owned(),
        severity: Severity::Error,
        passed: unreadable <= allowed,
        score: four_decimals(1.0 - share(unreadable, rows + unreadable)),
        violations: Some(unreadable),
        detail: format!(
            "{unreadable} of {} rows cannot be read, at most {allowed} may be",
            rows + unreadable
        ),
        weight: 1.0,
    }
}

struct Measured {
    passed: bool,
    score: f64,
    violations: Option<u64>,
    detail: String,
}

fn verdict(passed: bool, detail: String) -> Measured {
    Measured { passed, score: if passed { 1.0 } else { 0.0 }, violations: None, detail }
}

fn row_finding(rows: u64, violations: u64, tolerance: f64) -> Measured {
    let rate = share(violations, rows);
    Measured {
        passed: rate <= tolerance,
        score: 1.0 - rate,
        violations: Some(violations),
        detail: format!("{violations} of {rows} rows violate it"),
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn table_finding(
    rule: &TableRule,
    rows: u64,
    figure: Option<i64>,
    schema: &Schema,
    task: &Task,
    check: &Check,
) -> Result<Measured> {
    Ok(match rule {
        TableRule::RowCount(bounds) => {
            let enough = bounds.min.is_none_or(|min| rows >= min);
            let few = bounds.max.is_none_or(|max| rows <= max);
            let side =
                |bound: Option<u64>, none: &str| bound.map_or_else(|| none.to_owned(), |n| n.to_string());
            let wanted = format!("{} to {}", side(bounds.min, "0"), side(bounds.max, "any number"));
            verdict(enough && few, format!("{rows} rows, wanted {wanted}"))
        }
        TableRule::NullRate(rule) => {
            let nulls = rows - figure.unwrap_or(0).unsigned_abs().min(rows);
            let rate = share(nulls, rows);
            let detail = format!("{nulls} of {rows} are null, at most {} may be", rule.max);
            Measured { passed: rate <= rule.max, score: 1.0 - rate, violations: None, detail }
        }
        TableRule::Freshness(rule) => freshness(rule, figure, task, check)?,
        TableRule::Schema(rule) => columns(rule, schema),
    })
}

fn freshness(rule: &Freshness, newest: Option<i64>, task: &Task, check: &Check) -> Result<Measured> {
    let wrong = |text: String| Failure::Config(format!("check {}: {text}", check.name));
    let at = match &rule.at {
        None => task.interval_end()?,
        Some(text) => {
            instant(text).ok_or_else(|| wrong(format!("`at: {text}` is neither a date nor an instant")))?
        }
    };
    let age = duration(&rule.max_age)
        .ok_or_else(|| wrong(format!("`max_age: {}` is not a duration", rule.max_age)))?;
    let oldest =
        at.checked_sub(age).map_err(|_| wrong(format!("`max_age: {}` is too long", rule.max_age)))?;
    let Some(newest) = newest.and_then(|micros| Timestamp::from_microsecond(micros).ok()) else {
        return Ok(verdict(false, "no value at all".to_owned()));
    };
    let passed = newest >= oldest && newest < at;
    Ok(verdict(passed, format!("the newest is {newest}, wanted from {oldest} to before {at}")))
}

/// An instant, or the first one of a date in UTC.
fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let day: Date = text.parse().ok()?;
    day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// A duration as pipelines write it: `90m`, `36h`, `7d`, `1h30m`.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut seconds: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        let amount: i64 = rest[..end].parse().ok()?;
        let unit = match rest.as_bytes()[end] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(amount.checked_mul(unit)?)?;
        rest = &rest[end + 1..];
    }
    (!text.is_empty()).then(|| SignedDuration::from_secs(seconds))
}

fn columns(rule: &Columns, schema: &Schema) -> Measured {
    let mut wrong: Vec<String> = Vec::new();
    for (name, kind) in &rule.columns {
        match schema.field_with_name(name) {
            Err(_) => wrong.push(format!("`{name}` is missing")),
            Ok(field) if !same_type(field.data_type(), &kind.arrow()) => {
                wrong.push(format!("`{name}` is {}", field.data_type()));
            }
            Ok(_) => {}
        }
    }
    if rule.strict {
        let extra = schema.fields().iter().filter(|field| !rule.columns.contains_key(field.name()));
        wrong.extend(extra.map(|field| format!("`{}` is not wanted", field.name())));
    }
    if wrong.is_empty() { verdict(true, "as wanted".to_owned()) } else { verdict(false, wrong.join(", ")) }
}

fn same_type(found: &DataType, wanted: &DataType) -> bool {
    match (found, wanted) {
        (DataType::Utf8View | DataType::LargeUtf8, DataType::Utf8) => true,
        (DataType::Int8 | DataType::Int16 | DataType::Int32, DataType::Int64) => true,
        (DataType::Float32, DataType::Float64) => true,
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(..)) => true,
        _ => found == wanted,
    }
}

fn column(schema: &Schema, name: &str, check: &Check) -> Result<Expr> {
    match schema.field_with_name(name) {
        Ok(_) => Ok(ident(name)),
        Err(_) => Err(Failure::Config(format!("check {}: the source has no column `{name}`", check.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_pipelines_write_them() {
        for (text, seconds) in [("90m", 5_400), ("1h30m", 5_400), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(duration(text), Some(SignedDuration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "5", "h", "1w", "-1h", "1.5h", "99999999999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_row_check_passes_up_to_its_tolerance() {
        let at = row_finding(200, 2, 0.01);
        assert!(at.passed && (at.score - 0.99).abs() < 1e-9);
        assert!(!row_finding(200, 3, 0.01).passed);
        assert!(row_finding(0, 0, 0.0).passed, "an empty table holds");
    }

    #[test]
    fn scores_have_four_decimals() {
        assert_eq!(four_decimals(2.0 / 3.0), 0.6667);
    }
}
