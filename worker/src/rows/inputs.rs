//! An input becomes a table of the session. Text is read once, into a typed scratch file, so that every row is judged
//! and counted exactly once however often the query scans it; Parquet and Delta are scanned where they are.

use std::fs::File as OsFile;
use std::io::{self, Read};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ExprSchemable, cast, ident, lit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression as Packing;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{DataFrame, ParquetReadOptions};
use datafusion::scalar::ScalarValue;
use futures_util::StreamExt;
use object_store::ObjectStoreExt;
use tokio::sync::mpsc;

use crate::config::{Format, Input};
use crate::failure::{Failure, Result};
use crate::files::{self, File};
use crate::rows::rejects::Rejects;
use crate::rows::text::TextReader;
use crate::session::Session;
use crate::storage::{Location, Storage};
use crate::write::folder;

/// Rows of one group of a Parquet file: what the writer holds in memory before it writes.
pub const GROUP_ROWS: usize = 65_536;

/// How scratch and output Parquet is written.
pub fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Packing::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build()
}

/// Makes `input` the table `name`. Returns the number of its rows where reading them was needed anyway.
pub async fn register(
    session: &Session,
    name: &str,
    input: &Input,
    rejects: &Rejects,
) -> Result<Option<u64>> {
    let location = session.storage.locate(&input.uri)?;
    let format = input.format()?;
    let (table, rows) = match format {
        Format::Delta => (delta(session, &location, input).await?, None),
        Format::Csv | Format::Json => {
            let (table, rows) = text(session, name, &location, input, format, rejects).await?;
            (table, Some(rows))
        }
        Format::Parquet => (parquet(session, &location, input).await?, None),
    };
    // Text was read as its columns; tables that know their own types are cast to them.
    let table = match (&input.columns, format) {
        (Some(_), Format::Delta | Format::Parquet) => select(table, input)?,
        _ => table,
    };
    let doing = || format!("cannot name {location} `{name}`");
    session
        .context
        .register_table(name, table.into_view())
        .map_err(|error| Failure::query(doing(), error))?;
    Ok(rows)
}

fn select(table: DataFrame, input: &Input) -> Result<DataFrame> {
    let fail = |error| Failure::query(format!("cannot read the columns of {}", input.uri), error);
    let schema = table.schema().clone();
    let mut columns = Vec::new();
    for (name, kind) in input.columns.iter().flatten() {
        let column = ident(name);
        let from = column.get_type(&schema).map_err(fail)?;
        let column = if from == kind.arrow() { column } else { cast(column, kind.arrow()) };
        columns.push(column.alias(name));
    }
    table.select(columns).map_err(fail)
}

/// What an input with nothing there is: a failure of the data, or, where allowed, no rows.
fn nothing(session: &Session, location: &Location, input: &Input) -> Result<DataFrame> {
    let schema: SchemaRef = match (&input.columns, input.optional) {
        (_, false) => return Err(Failure::Data(format!("nothing to read at {location}"))),
        (None, true) => {
            return Err(Failure::Config(format!(
                "{location} is optional: say its `columns`, for when it is not there"
            )));
        }
        (Some(columns), true) => {
            let fields = columns.iter().map(|(name, kind)| Field::new(name, kind.arrow(), true));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        }
    };
    let empty: Arc<dyn TableProvider> = Arc::new(
        MemTable::try_new(schema, vec![vec![]])
            .map_err(|error| Failure::query("cannot make an empty table", error))?,
    );
    session.context.read_table(empty).map_err(|error| Failure::query("cannot read an empty table", error))
}

async fn delta(session: &Session, location: &Location, input: &Input) -> Result<DataFrame> {
    let fail = |error| Failure::delta(format!("cannot read {location}"), error);
    let Some(mut table) = crate::write::delta::open(&session.storage, location).await? else {
        return nothing(session, location, input);
    };
    if let Some(version) = input.version {
        table.load_version(version).await.map_err(fail)?;
    }
    session.open(location)?;
    let state = session.context.state();
    table.update_datafusion_session(&state).map_err(fail)?;
    let provider = table.table_provider().await;
    let provider = provider.map_err(|error| Failure::query(format!("cannot read {location}"), error))?;
    session
        .context
        .read_table(provider)
        .map_err(|error| Failure::query(format!("cannot read {location}"), error))
}

async fn parquet(session: &Session, location: &Location, input: &Input) -> Result<DataFrame> {
    let found = folder::committed(&session.storage, location, Format::Parquet.endings()).await?;
    if found.is_empty() {
        return nothing(session, location, input);
    }
    session.open(location)?;
    // Files of one partition are read together; its values, which stand only in their paths, become columns again.
    let mut table: Option<DataFrame> = None;
    for (partition, files) in folder::by_partition(found) {
        let part =
            scan(session, files.iter().map(|placed| placed.file.location.url().to_string()).collect()).await;
        let mut part = part.map_err(|error| Failure::query(format!("cannot read {location}"), error))?;
        for (column, value) in &partition {
            let value = value.as_deref().map_or_else(|| cast(lit(ScalarValue::Null), DataType::Utf8), lit);
            part = part
                .with_column(column, value)
                .map_err(|error| Failure::query(format!("cannot read {location}"), error))?;
        }
        table = Some(match table {
            None => part,
            Some(before) => before
                .union_by_name(part)
                .map_err(|error| Failure::query(format!("the files of {location} do not agree"), error))?,
        });
    }
    table.ok_or_else(|| Failure::Data(format!("nothing to read at {location}")))
}

/// Scans Parquet files by URL.
pub async fn scan(session: &Session, urls: Vec<String>) -> std::result::Result<DataFrame, DataFusionError> {
    let options = ParquetReadOptions { file_extension: "", ..ParquetReadOptions::default() };
    session.context.read_parquet(urls, options).await
}

async fn text(
    session: &Session,
    name: &str,
    location: &Location,
    input: &Input,
    format: Format,
    rejects: &Rejects,
) -> Result<(DataFrame, u64)> {
    let found = files::list(&session.storage, location, format.endings()).await?;
    if found.is_empty() {
        return Ok((nothing(session, location, input)?, 0));
    }
    let staged = format!("{name}.parquet");
    let path = session.scratch(&staged);
    // The parser blocks on the stream it is fed, so this worker thread of the runtime is given up to it.
    let rows =
        tokio::task::block_in_place(|| stage_text(&session.storage, found, input, format, rejects, &path))?;
    let table = scan(session, vec![session.scratch_url(&staged)?.to_string()]).await;
    Ok((table.map_err(|error| Failure::query(format!("cannot read {location}"), error))?, rows))
}

fn stage_text(
    storage: &Arc<Storage>,
    found: Vec<File>,
    input: &Input,
    format: Format,
    rejects: &Rejects,
    path: &std::path::Path,
) -> Result<u64> {
    let fail = |error: Box<dyn std::error::Error + Send + Sync>| Failure::system("cannot stage rows", error);
    let mut reader = TextReader::new(input, format, rejects)?;
    let mut writer: Option<ArrowWriter<OsFile>> = None;
    let open = |schema: SchemaRef| -> Result<ArrowWriter<OsFile>> {
        let file = OsFile::create(path).map_err(|error| fail(error.into()))?;
        ArrowWriter::try_new(file, schema, Some(properties())).map_err(|error| fail(error.into()))
    };
    for file in found {
        let name = file.location.to_string();
        reader.read(Feed::open(storage.clone(), file.location), &name, &mut |batch| {
            if writer.is_none() {
                writer = Some(open(batch.schema())?);
            }
            match &mut writer {
                Some(writer) => writer.write(&batch).map_err(|error| fail(error.into())),
                None => Ok(()),
            }
        })?;
    }
    // Files with a header and no rows are a table too, with its columns.
    let writer = match writer {
        Some(writer) => writer,
        None => open(reader.schema())?,
    };
    writer.close().map_err(|error| fail(error.into()))?;
    Ok(reader.rows)
}

/// A store's byte stream as a blocking reader: a few chunks are in flight, never the whole object.
struct Feed {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Feed {
    fn open(storage: Arc<Storage>, location: Location) -> Self {
        let (sender, chunks) = mpsc::channel(4);
        tokio::runtime::Handle::current().spawn(async move {
            let get = async {
                let store = storage.store(&location).map_err(io::Error::other)?;
                store.get(&location.path()).await.map_err(io::Error::other)
            };
            let mut stream = match get.await {
                Ok(found) => found.into_stream(),
                // A reader that is gone has its own failure to report.
                Err(error) => return drop(sender.send(Err(error)).await),
            };
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map(|bytes| bytes.to_vec()).map_err(io::Error::other);
                if sender.send(chunk).await.is_err() {
                    break;
                }
            }
        });
        Self { chunks, chunk: Vec::new(), at: 0 }
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => {
                    self.chunk = chunk?;
                    self.at = 0;
                }
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
