//! Staged rows as csv, JSON lines or Parquet files of this machine.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use datafusion::arrow::csv;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::json::WriterBuilder as JsonBuilder;
use datafusion::arrow::json::writer::{LineDelimited, Writer as JsonWriter};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchReader};
use datafusion::parquet::arrow::ArrowWriter;

use crate::config::Format;
use crate::failure::{Failure, Result};
use crate::rows::inputs::properties;

/// A file that takes batches.
pub enum Encoder {
    /// Text with a header.
    Csv(Box<csv::Writer<BufWriter<File>>>),
    /// One object per line, nulls written out.
    Json(Box<JsonWriter<BufWriter<File>, LineDelimited>>),
    /// Columns.
    Parquet(Box<ArrowWriter<File>>),
}

impl Encoder {
    /// Opens a file. `format` is not delta, which writes its own files.
    pub fn create(path: &Path, format: Format, schema: &SchemaRef) -> Result<Self> {
        let file = File::create(path).map_err(fail)?;
        match format {
            Format::Csv => {
                let mut encoder = csv::WriterBuilder::new().with_header(true).build(BufWriter::new(file));
                // The header is written with the first batch, also when that is empty.
                encoder.write(&RecordBatch::new_empty(schema.clone())).map_err(fail)?;
                Ok(Self::Csv(Box::new(encoder)))
            }
            Format::Json => Ok(Self::Json(Box::new(
                JsonBuilder::new().with_explicit_nulls(true).build(BufWriter::new(file)),
            ))),
            Format::Parquet | Format::Delta => {
                let encoder = ArrowWriter::try_new(file, schema.clone(), Some(properties())).map_err(fail)?;
                Ok(Self::Parquet(Box::new(encoder)))
            }
        }
    }

    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Csv(encoder) => encoder.write(batch).map_err(fail),
            Self::Json(encoder) => encoder.write(batch).map_err(fail),
            Self::Parquet(encoder) => encoder.write(batch).map_err(fail),
        }
    }

    /// Closes the file; only then it is complete.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Csv(encoder) => encoder.into_inner().flush().map_err(fail),
            Self::Json(mut encoder) => {
                encoder.finish().map_err(fail)?;
                encoder.into_inner().flush().map_err(fail)
            }
            Self::Parquet(encoder) => encoder.close().map(drop).map_err(fail),
        }
    }
}

/// Writes all batches of a reader into one file.
pub fn encode(batches: impl RecordBatchReader, format: Format, path: &Path) -> Result<()> {
    let mut encoder = Encoder::create(path, format, &batches.schema())?;
    for batch in batches {
        encoder.write(&batch.map_err(fail)?)?;
    }
    encoder.finish()
}

fn fail(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::system("cannot encode rows", error)
}
