//! Delta tables: staged rows become visible by one commit to the table's log, or not at all.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::scalar::ScalarValue;
use deltalake_core::kernel::transaction::{CommitProperties, TransactionError};
use deltalake_core::logstore::{StorageConfig, default_logstore};
use deltalake_core::operations::write::{SchemaMode, WriteBuilder};
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaTable, DeltaTableError};
use object_store::prefix::PrefixStore;
use serde_json::Value;
use url::Url;

use crate::config::{Mode, Output};
use crate::failure::{Failure, Result};
use crate::rows::inputs::scan;
use crate::session::Session;
use crate::storage::{Location, Storage};
use crate::write::{Staged, Written};

/// How often a write that lost a race is tried on the newer version.
const ATTEMPTS: u32 = 5;

/// The table at a location, at its newest version; `None` where there is none.
pub async fn open(storage: &Storage, location: &Location) -> Result<Option<DeltaTable>> {
    let mut table = handle(storage, location)?;
    let fail = |error| Failure::delta(format!("cannot open {location}"), error);
    if !table.verify_deltatable_existence().await.map_err(fail)? {
        return Ok(None);
    }
    table.load().await.map_err(fail)?;
    Ok(Some(table))
}

fn handle(storage: &Storage, location: &Location) -> Result<DeltaTable> {
    let mut url: Url = location.url();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", location.key()));
    }
    // The log's commits are put-if-absent, which local files and S3 both have, so the plain log store serves both and no
    // lock table is needed beside the bucket.
    let root = storage.store(location)?;
    let below = Arc::new(PrefixStore::new(root.clone(), location.path()));
    let log = default_logstore(below, root, &url, &StorageConfig::default());
    Ok(DeltaTable::new(log))
}

/// Writes staged rows. A crash at any instant leaves the old version or the new one.
pub async fn write(
    session: &Session,
    staged: &Staged,
    output: &Output,
    location: &Location,
) -> Result<Written> {
    let fail = |error| Failure::delta(format!("cannot write {location}"), error);
    let replaced = replaced(session, staged, output).await?;
    if let Replaced::Rows(predicate) = &replaced {
        check_replaced(session, staged, predicate, output).await?;
    }
    let mut attempt = 1;
    loop {
        let table = match open(&session.storage, location).await? {
            Some(table) => table,
            None => handle(&session.storage, location)?,
        };
        match commit(session, staged, output, &replaced, table).await {
            Ok(table) => return written(&table, staged, location).await,
            Err(error) if attempt < ATTEMPTS && lost_a_race(&error) => attempt += 1,
            Err(error) => return Err(fail(error)),
        }
    }
}

fn lost_a_race(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => {
            matches!(source, TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_))
        }
        _ => false,
    }
}

async fn commit(
    session: &Session,
    staged: &Staged,
    output: &Output,
    replaced: &Replaced,
    table: DeltaTable,
) -> std::result::Result<DeltaTable, DeltaTableError> {
    let url =
        session.scratch_url(&staged.name).map_err(|error| DeltaTableError::generic(error.to_string()))?;
    let plan = scan(session, vec![url.to_string()]).await?.into_unoptimized_plan();
    let snapshot = match table.version() {
        Some(_) => Some(table.snapshot()?.snapshot().clone()),
        None => None,
    };
    let exists = snapshot.is_some();
    let by = CommitProperties::default()
        .with_metadata([("cauceWriter".to_owned(), session.writer.clone().into())]);
    let mut builder = WriteBuilder::new(table.log_store(), snapshot)
        .with_input_plan(plan)
        .with_session_state(Arc::new(session.context.state()))
        .with_commit_properties(by);
    // A whole overwrite may also change how a table is partitioned; anything else keeps it.
    if !output.partition_by.is_empty() || output.mode == Mode::Overwrite {
        builder = builder.with_partition_columns(output.partition_by.iter().cloned());
    }
    builder = match (output.mode, replaced) {
        (Mode::Append, _) | (Mode::OverwritePartitions, Replaced::Nothing) => {
            builder.with_save_mode(SaveMode::Append)
        }
        (Mode::OverwritePartitions, Replaced::Rows(predicate)) if exists => {
            builder.with_save_mode(SaveMode::Overwrite).with_replace_where(predicate.clone())
        }
        (Mode::Overwrite, _) if exists => {
            builder.with_save_mode(SaveMode::Overwrite).with_schema_mode(SchemaMode::Overwrite)
        }
        // There is nothing to replace yet.
        _ => builder.with_save_mode(SaveMode::Append),
    };
    builder.await
}

async fn written(table: &DeltaTable, staged: &Staged, location: &Location) -> Result<Written> {
    use futures_util::TryStreamExt;
    let fail = |error| Failure::delta(format!("cannot read the commit to {location}"), error);
    let version = table.version();
    let mut history = table.history(Some(1));
    let info = history.try_next().await.map_err(fail)?;
    let metrics = info.and_then(|info| info.info.get("operationMetrics").cloned()).unwrap_or_default();
    let files = metrics.get("num_added_files").and_then(Value::as_u64).unwrap_or_default();
    let log = table.log_store();
    let bytes = match version {
        Some(version) => {
            added_bytes(log.read_commit_entry(version).await.map_err(fail)?.unwrap_or_default().as_ref())
        }
        None => 0,
    };
    Ok(Written { rows: staged.rows, files, bytes, uri: location.to_string(), version })
}

/// The sizes in a commit's `add` actions.
fn added_bytes(commit: &[u8]) -> u64 {
    let lines = commit.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter_map(|action| action.pointer("/add/size").and_then(Value::as_u64))
        .sum()
}

/// What an overwrite of partitions takes away.
enum Replaced {
    /// The rows for which this is true.
    Rows(Expr),
    /// Nothing: the result is empty and names no partition.
    Nothing,
}

async fn replaced(session: &Session, staged: &Staged, output: &Output) -> Result<Replaced> {
    if output.mode != Mode::OverwritePartitions {
        return Ok(Replaced::Nothing);
    }
    if !output.replace.is_empty() {
        let mut predicate: Option<Expr> = None;
        for (column, value) in &output.replace {
            let field = staged.schema.field_with_name(column).map_err(|_| {
                Failure::Config(format!("`replace` names `{column}`, which the result does not have"))
            })?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let value = ScalarValue::try_from_string(text, field.data_type()).map_err(|error| {
                Failure::Config(format!("`replace.{column}`: {}", error.strip_backtrace()))
            })?;
            let equal = ident(column).eq(lit(value));
            predicate = Some(match predicate {
                Some(before) => before.and(equal),
                None => equal,
            });
        }
        return Ok(predicate.map_or(Replaced::Nothing, Replaced::Rows));
    }
    let fail = |error| Failure::query("cannot list the partitions of the result", error);
    let url = session.scratch_url(&staged.name)?;
    let tuples = scan(session, vec![url.to_string()])
        .await
        .and_then(|frame| frame.select(output.partition_by.iter().map(ident).collect::<Vec<_>>()))
        .and_then(|frame| frame.distinct())
        .and_then(|frame| frame.sort_by(output.partition_by.iter().map(ident).collect()))
        .map_err(fail)?
        .collect()
        .await
        .map_err(fail)?;
    let mut predicate: Option<Expr> = None;
    for batch in &tuples {
        for row in 0..batch.num_rows() {
            let mut tuple: Option<Expr> = None;
            for (name, column) in output.partition_by.iter().zip(batch.columns()) {
                let value = ScalarValue::try_from_array(column, row).map_err(fail)?;
                let equal = if value.is_null() { ident(name).is_null() } else { ident(name).eq(lit(value)) };
                tuple = Some(match tuple {
                    Some(before) => before.and(equal),
                    None => equal,
                });
            }
            predicate = match (predicate, tuple) {
                (Some(before), Some(tuple)) => Some(before.or(tuple)),
                (before, tuple) => before.or(tuple),
            };
        }
    }
    Ok(predicate.map_or(Replaced::Nothing, Replaced::Rows))
}

/// Refuses rows outside what is replaced: a second run would add them again.
async fn check_replaced(session: &Session, staged: &Staged, predicate: &Expr, output: &Output) -> Result<()> {
    if output.replace.is_empty() {
        return Ok(());
    }
    let fail = |error| Failure::query("cannot check the replaced rows", error);
    let url = session.scratch_url(&staged.name)?;
    let outside = scan(session, vec![url.to_string()])
        .await
        .and_then(|frame| frame.filter(predicate.clone().is_not_true()))
        .map_err(fail)?
        .count()
        .await
        .map_err(fail)?;
    match outside {
        0 => Ok(()),
        rows => {
            Err(Failure::Data(format!("{rows} rows of the result are outside the rows that `replace` names")))
        }
    }
}
