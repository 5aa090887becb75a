//! Folders of files, overwritten so that a crash leaves one whole state.
//!
//! Protocol, in order, each step safe to repeat:
//! 1. a commit document that an earlier write left is finished first, and stale staging removed;
//! 2. new files go below `_staging/`, which no reader looks into;
//! 3. `_commit.json` names the files to add and to remove: the commit point, one atomic put;
//! 4. staged files are copied into place, removed ones deleted, and last the document.
//!
//! Before 3 the old state stands, after it the new one: [`committed`] reads through an unfinished document. A file's
//! name holds the identity of the task run that wrote it, so a retry, or a rerun, replaces its own appended files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::array_value_to_string;
use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

use crate::config::{Mode, Output};
use crate::failure::{Failure, Result};
use crate::files::{self, File};
use crate::session::Session;
use crate::storage::{Location, Storage};
use crate::write::encode::Encoder;
use crate::write::{Staged, Written};

const COMMIT: &str = "_commit.json";
const STAGING: &str = "_staging";
/// What Hive writes for a null partition value.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// A partition: its columns and values as text, in folder order; `None` is null.
pub type Partition = Vec<(String, Option<String>)>;

/// A file and the place it has, or is about to have, below its folder.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Where its bytes are now.
    pub file: File,
    /// Its place below the folder, such as `year=1997/part-a.parquet`.
    pub place: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Commit {
    /// Staged name to final place, both below the folder.
    add: BTreeMap<String, String>,
    /// Places that are no longer part of it.
    remove: BTreeSet<String>,
}

/// The files that make up a location now: a pattern's or a file's matches, or a folder's committed state.
pub async fn committed(storage: &Storage, location: &Location, endings: &[&str]) -> Result<Vec<Placed>> {
    let found = files::list(storage, location, endings).await?;
    let root = match location.key().find(['*', '?']) {
        Some(at) => location.key()[..at].rfind('/').map_or("", |slash| &location.key()[..slash]),
        None => location.key().trim_end_matches('/'),
    };
    let place = |file: &File| {
        file.location.key()[root.len().min(file.location.key().len())..].trim_start_matches('/').to_owned()
    };
    let mut placed: BTreeMap<String, File> = found.into_iter().map(|file| (place(&file), file)).collect();
    let one_file = placed.values().any(|file| file.location.key() == location.key());
    if !files::has_pattern(location)
        && !one_file
        && let Some(commit) = read_commit(storage, location).await?
    {
        for gone in &commit.remove {
            placed.remove(gone);
        }
        for (staged, place) in &commit.add {
            // Not there any more means that it has been moved, and the file in place is the new one.
            if let Some(file) = files::list(storage, &location.join(staged), &[]).await?.pop() {
                placed.insert(place.clone(), file);
            }
        }
    }
    Ok(placed.into_iter().map(|(place, file)| Placed { file, place }).collect())
}

/// Groups files by the `column=value` levels of their places.
pub fn by_partition(found: Vec<Placed>) -> BTreeMap<Partition, Vec<Placed>> {
    let mut groups: BTreeMap<Partition, Vec<Placed>> = BTreeMap::new();
    for placed in found {
        groups.entry(partition_of(&placed.place)).or_default().push(placed);
    }
    groups
}

/// Writes staged rows into a folder.
pub async fn write(
    session: &Session,
    staged: &Staged,
    output: &Output,
    folder: &Location,
) -> Result<Written> {
    let storage = &session.storage;
    if let Some(commit) = read_commit(storage, folder).await? {
        finish(storage, folder, &commit).await?;
    }
    clear_staging(storage, folder).await?;

    let format = output.format();
    let parts = split(session, staged, output)?;
    let mut commit = Commit::default();
    let mut bytes = 0;
    for (number, part) in parts.iter().enumerate() {
        let extension = format.endings().first().copied().unwrap_or_default();
        let name = format!("part-{}-{number:05}{extension}", session.writer);
        let place = match folder_of(&part.partition) {
            levels if levels.is_empty() => name,
            levels => format!("{levels}/{name}"),
        };
        let staging = format!("{STAGING}/{place}");
        bytes += files::upload(storage, &part.path, &folder.join(&staging)).await?;
        commit.add.insert(staging, place);
    }
    let added: BTreeSet<&Partition> = parts.iter().map(|part| &part.partition).collect();
    let replace: BTreeMap<&str, String> =
        output.replace.iter().map(|(column, value)| (column.as_str(), plain(value))).collect();
    let own = format!("part-{}-", session.writer);
    for placed in committed(storage, folder, format.endings()).await? {
        let partition = partition_of(&placed.place);
        let goes = match output.mode {
            Mode::Overwrite => true,
            Mode::Append => placed.file.name().starts_with(&own),
            Mode::OverwritePartitions if replace.is_empty() => added.contains(&partition),
            Mode::OverwritePartitions => replace.iter().all(|(column, value)| {
                partition.iter().any(|(name, text)| name == column && text.as_ref() == Some(value))
            }),
        };
        if goes && !commit.add.values().any(|place| *place == placed.place) {
            commit.remove.insert(placed.place);
        }
    }
    let document =
        serde_json::to_vec(&commit).map_err(|error| Failure::system("cannot write a commit", error))?;
    storage.put(&folder.join(COMMIT), document).await?;
    finish(storage, folder, &commit).await?;
    Ok(Written {
        rows: staged.rows,
        files: parts.len() as u64,
        bytes,
        uri: folder.to_string(),
        version: None,
    })
}

async fn read_commit(storage: &Storage, folder: &Location) -> Result<Option<Commit>> {
    let location = folder.join(COMMIT);
    let Some(bytes) = files::read_small(storage, &location).await? else {
        return Ok(None);
    };
    let commit = serde_json::from_slice(&bytes);
    commit.map(Some).map_err(|error| Failure::Data(format!("{location} is not a commit document: {error}")))
}

async fn finish(storage: &Storage, folder: &Location, commit: &Commit) -> Result<()> {
    let store = storage.store(folder)?;
    for (staged, place) in &commit.add {
        let (from, to) = (folder.join(staged), folder.join(place));
        match store.copy(&from.path(), &to.path()).await {
            Ok(()) => files::delete(storage, &from).await?,
            // An earlier passage has moved it.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(to.failed("write", error).into()),
        }
    }
    for place in &commit.remove {
        files::delete(storage, &folder.join(place)).await?;
    }
    files::delete(storage, &folder.join(COMMIT)).await
}

async fn clear_staging(storage: &Storage, folder: &Location) -> Result<()> {
    let store = storage.store(folder)?;
    let staging = folder.join(STAGING);
    let stale: Vec<_> = store
        .list(Some(&staging.path()))
        .try_collect()
        .await
        .map_err(|source| staging.failed("list", source))?;
    for meta in stale {
        files::delete(storage, &folder.with_key(meta.location.as_ref())).await?;
    }
    Ok(())
}

/// A file of this machine that holds one partition's rows.
struct Part {
    partition: Partition,
    path: PathBuf,
}

/// Splits staged rows, sorted by partition, into one file per partition. One writer is open at a time.
fn split(session: &Session, staged: &Staged, output: &Output) -> Result<Vec<Part>> {
    let fail = |error| Failure::system("cannot split rows into partitions", error);
    let kept: Vec<usize> = (0..staged.schema.fields().len())
        .filter(|at| !output.partition_by.contains(staged.schema.field(*at).name()))
        .collect();
    if kept.is_empty() {
        return Err(Failure::Config("`partition_by` names every column of the result".to_owned()));
    }
    let schema: SchemaRef =
        Arc::new(Schema::new(kept.iter().map(|at| staged.schema.field(*at).clone()).collect::<Vec<_>>()));
    let mut parts: Vec<Part> = Vec::new();
    let mut open: Option<Encoder> = None;
    let mut start = |partition: Partition, open: &mut Option<Encoder>| -> Result<()> {
        check_replaced(&partition, output)?;
        if let Some(finished) = open.take() {
            finished.finish()?;
        }
        let path = session.scratch(&format!("part-{}", parts.len()));
        *open = Some(Encoder::create(&path, output.format(), &schema)?);
        parts.push(Part { partition, path });
        Ok(())
    };
    let mut current: Option<Partition> = None;
    if output.partition_by.is_empty() {
        start(Vec::new(), &mut open)?;
        current = Some(Vec::new());
    }
    for batch in staged.batches()? {
        let batch = batch.map_err(fail)?;
        for range in ranges(&batch, &output.partition_by)? {
            let slice = batch.slice(range.start, range.end - range.start);
            let partition = first_partition(&slice, &output.partition_by)?;
            if current.as_ref() != Some(&partition) {
                start(partition.clone(), &mut open)?;
                current = Some(partition);
            }
            if let Some(encoder) = &mut open {
                encoder.write(&slice.project(&kept).map_err(fail)?)?;
            }
        }
    }
    if let Some(finished) = open {
        finished.finish()?;
    }
    Ok(parts)
}

fn ranges(batch: &RecordBatch, by: &[String]) -> Result<Vec<std::ops::Range<usize>>> {
    if by.is_empty() || batch.num_rows() == 0 {
        return Ok(std::iter::once(0..batch.num_rows()).filter(|range| !range.is_empty()).collect());
    }
    let columns: Vec<ArrayRef> = by.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
    let found =
        partition(&columns).map_err(|error| Failure::system("cannot split rows into partitions", error))?;
    Ok(found.ranges())
}

fn first_partition(batch: &RecordBatch, by: &[String]) -> Result<Partition> {
    by.iter()
        .map(|name| {
            let column = batch.column_by_name(name).ok_or_else(|| {
                Failure::Config(format!("`partition_by` names `{name}`, which the result lacks"))
            })?;
            if column.is_null(0) {
                return Ok((name.clone(), None));
            }
            let text = array_value_to_string(column, 0).map_err(|error| {
                Failure::Config(format!("`{name}` cannot be a partition column: {error}"))
            })?;
            Ok((name.clone(), Some(text)))
        })
        .collect()
}

fn check_replaced(partition: &Partition, output: &Output) -> Result<()> {
    for (column, value) in &output.replace {
        let found = partition.iter().find(|(name, _)| name == column).and_then(|(_, text)| text.as_deref());
        if found != Some(plain(value).as_str()) {
            return Err(Failure::Data(format!(
                "the result has `{column}` = {}, outside the replaced {}",
                found.unwrap_or("null"),
                plain(value)
            )));
        }
    }
    Ok(())
}

/// A scalar as it stands in a folder name.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn folder_of(partition: &Partition) -> String {
    let level = |(name, value): &(String, Option<String>)| {
        format!("{name}={}", value.as_deref().map_or_else(|| NULL_PARTITION.to_owned(), escape))
    };
    partition.iter().map(level).collect::<Vec<_>>().join("/")
}

fn partition_of(place: &str) -> Partition {
    let (levels, _) = place.rsplit_once('/').unwrap_or(("", place));
    let level = |level: &str| {
        let (name, value) = level.split_once('=')?;
        Some((name.to_owned(), (value != NULL_PARTITION).then(|| unescape(value))))
    };
    levels.split('/').filter_map(level).collect()
}

/// Bytes that mean something in a key are written as `%XX`, as Hive does.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || "-_.".contains(character) || !character.is_ascii() {
            out.push(character);
        } else {
            out.push_str(&format!("%{:02X}", u32::from(character)));
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = (*byte == b'%').then(|| after.get(..2)).flatten();
        let code = code
            .and_then(|code| str::from_utf8(code).ok())
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}
