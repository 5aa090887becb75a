//! Rows into places. Every result is first staged in a Parquet file of this machine, in constant memory: rows are
//! counted there, a writer that loses a race starts again from there, and nothing is visible before it is complete.

pub mod delta;
pub mod encode;
pub mod folder;

#[cfg(test)]
mod crash;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::ident;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use datafusion::prelude::DataFrame;
use futures_util::StreamExt;
use serde::Serialize;

use crate::config::{Format, Output};
use crate::failure::{Failure, Result};
use crate::files;
use crate::rows::inputs::properties;
use crate::session::Session;

/// What a write did.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Rows written.
    pub rows: u64,
    /// Files added.
    pub files: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
    /// The place, absolute.
    pub uri: String,
    /// The Delta version that made them visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// A complete result, in a scratch file.
#[derive(Debug)]
pub struct Staged {
    /// The Parquet file.
    pub path: PathBuf,
    /// Its name in the scratch folder.
    pub name: String,
    /// Its columns; every one may hold null, so that two days of one table agree.
    pub schema: SchemaRef,
    /// Its rows.
    pub rows: u64,
}

/// Runs a query and writes its rows where `output` says.
pub async fn write(session: &Session, frame: DataFrame, output: &Output) -> Result<Written> {
    output.check()?;
    let staged = stage(session, frame, "result", &output.partition_by).await?;
    deliver(session, &staged, output).await
}

/// Writes staged rows where `output` says.
pub async fn deliver(session: &Session, staged: &Staged, output: &Output) -> Result<Written> {
    let location = session.storage.locate(&output.uri)?;
    let format = output.format();
    if format == Format::Delta {
        return delta::write(session, staged, output, &location).await;
    }
    if !output.is_file() {
        return folder::write(session, staged, output, &location).await;
    }
    let path = match format {
        Format::Parquet => staged.path.clone(),
        _ => {
            let path = session.scratch("encoded");
            encode::encode(staged.batches()?, format, &path)?;
            path
        }
    };
    let bytes = files::upload(&session.storage, &path, &location).await?;
    Ok(Written { rows: staged.rows, files: 1, bytes, uri: location.to_string(), version: None })
}

/// Runs a query into a scratch file, sorted by `partition_by` where that is not empty.
pub async fn stage(
    session: &Session,
    frame: DataFrame,
    name: &str,
    partition_by: &[String],
) -> Result<Staged> {
    let doing = "cannot run the query";
    let fail = |error| Failure::query(doing, error);
    let mut names = BTreeSet::new();
    for field in frame.schema().fields() {
        if !names.insert(field.name().clone()) {
            return Err(Failure::Config(format!(
                "the result has two columns `{}`: name one with AS",
                field.name()
            )));
        }
    }
    if let Some(missing) = partition_by.iter().find(|column| !names.contains(*column)) {
        return Err(Failure::Config(format!(
            "`partition_by` names `{missing}`, which the result does not have"
        )));
    }
    let frame = match partition_by {
        [] => frame,
        columns => frame.sort_by(columns.iter().map(ident).collect()).map_err(fail)?,
    };
    let mut stream = frame.execute_stream().await.map_err(fail)?;
    let schema = storable(stream.schema().as_ref());
    let path = session.scratch(name);
    let unwritable =
        |error: Box<dyn std::error::Error + Send + Sync>| Failure::system("cannot stage rows", error);
    let file = File::create(&path).map_err(|error| unwritable(error.into()))?;
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties()))
        .map_err(|error| unwritable(error.into()))?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = convert(&batch.map_err(fail)?, &schema)
            .map_err(|error| fail(DataFusionError::ArrowError(Box::new(error), None)))?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(|error| unwritable(error.into()))?;
    }
    writer.close().map_err(|error| unwritable(error.into()))?;
    Ok(Staged { path, name: name.to_owned(), schema, rows })
}

impl Staged {
    /// The rows, in order.
    pub fn batches(&self) -> Result<ParquetRecordBatchReader> {
        let fail = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::system("cannot read staged rows", error)
        };
        let file = File::open(&self.path).map_err(|error| fail(error.into()))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| fail(error.into()))?;
        builder.build().map_err(|error| fail(error.into()))
    }
}

/// The columns as every format can hold them: plain strings, signed integers, microseconds, null allowed.
fn storable(schema: &Schema) -> SchemaRef {
    let fields =
        schema.fields().iter().map(|field| Field::new(field.name(), storable_type(field.data_type()), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn storable_type(of: &DataType) -> DataType {
    match of {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Dictionary(_, value) => storable_type(value),
        other => other.clone(),
    }
}

fn convert(batch: &RecordBatch, schema: &SchemaRef) -> std::result::Result<RecordBatch, ArrowError> {
    // A value that does not fit its stored type is an error, never null.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: std::result::Result<Vec<_>, _> =
        columns.map(|(column, field)| cast_with_options(column, field.data_type(), &strict)).collect();
    RecordBatch::try_new(schema.clone(), columns?)
}
