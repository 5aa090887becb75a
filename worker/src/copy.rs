//! The kind `copy`: files as they are, or rows into another format.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::config::{AtUri, Input, MemoryMib, Output};
use crate::failure::{Failure, Result};
use crate::files::{self, File};
use crate::rows::inputs::register;
use crate::rows::rejects::Rejects;
use crate::storage::{Location, Storage};
use crate::task::Task;
use crate::write;

/// Checksums of more files than this are left out of the answer, which has a size limit.
const CHECKSUMS_SHOWN: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    from: From,
    to: To,
    #[serde(default = "one")]
    min_files: u64,
    rejects: Option<String>,
    max_rejects: Option<u64>,
    #[serde(default)]
    memory_mib: MemoryMib,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
enum From {
    Places(Vec<String>),
    Rows(Box<Input>),
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
enum To {
    Place(String),
    Rows(Box<Output>),
}

impl TryFrom<Value> for From {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let read =
            |value| serde_json::from_value(value).map_err(|error: serde_json::Error| error.to_string());
        match value {
            Value::String(place) => Ok(Self::Places(vec![place])),
            Value::Array(_) => {
                serde_json::from_value(value).map(Self::Places).map_err(|error| error.to_string())
            }
            other => read(other).map(|input| Self::Rows(Box::new(input))),
        }
    }
}

impl TryFrom<Value> for To {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::String(place) => Ok(Self::Place(place)),
            other => serde_json::from_value(other)
                .map(|output| Self::Rows(Box::new(output)))
                .map_err(|e| e.to_string()),
        }
    }
}

/// Runs a `copy` task and returns what it answers.
pub async fn run(task: &Task) -> Result<Value> {
    let config: Config = task.config()?;
    match (config.from, config.to) {
        (From::Places(from), To::Place(to)) if config.rejects.is_none() && config.max_rejects.is_none() => {
            raw(task.storage(), &from, &to, config.min_files).await
        }
        (From::Places(_), To::Place(_)) => {
            Err(Failure::Config("`rejects` is for rows: say `to: {uri, format}` to convert".to_owned()))
        }
        (from, to) => {
            let input = match from {
                From::Rows(input) => *input,
                From::Places(places) => match <[String; 1]>::try_from(places) {
                    Ok([place]) => Input::at(place),
                    Err(_) => {
                        return Err(Failure::Config(
                            "rows are read from one location; use a pattern".to_owned(),
                        ));
                    }
                },
            };
            let output = match to {
                To::Rows(output) => *output,
                To::Place(place) => Output::at(place),
            };
            output.check()?;
            let session = task.session(config.memory_mib)?;
            let rejects = Rejects::new(&session.storage, config.rejects.as_deref(), config.max_rejects)?;
            enough(&session.storage, &input, config.min_files).await?;
            register(&session, "source", &input, &rejects).await?;
            let table = session.context.table("source").await;
            let table = table.map_err(|error| Failure::query("cannot read the rows", error))?;
            let mut answer = json!(write::write(&session, table, &output).await?);
            answer["rejected"] = rejects.deliver(&session.storage).await?.into();
            Ok(answer)
        }
    }
}

async fn enough(storage: &Storage, input: &Input, min_files: u64) -> Result<()> {
    let location = storage.locate(&input.uri)?;
    let found = files::list(storage, &location, input.format()?.endings()).await?.len() as u64;
    if found < min_files && !input.optional {
        return Err(Failure::Data(format!("{found} files at {location}, fewer than {min_files}")));
    }
    Ok(())
}

async fn raw(storage: &Storage, from: &[String], to: &str, min_files: u64) -> Result<Value> {
    let target = storage.locate(to)?;
    let mut found: Vec<File> = Vec::new();
    let mut several = from.len() > 1;
    for place in from {
        let location = storage.locate(place)?;
        several |= files::has_pattern(&location) || place.ends_with('/');
        let files = files::list(storage, &location, &[]).await?;
        if files.is_empty() && min_files > 0 {
            return Err(Failure::Data(format!("nothing to copy at {location}")));
        }
        found.extend(files);
    }
    if (found.len() as u64) < min_files {
        return Err(Failure::Data(format!("{} files to copy, fewer than {min_files}", found.len())));
    }
    let folder = several || to.ends_with('/');
    let mut plan: BTreeMap<String, &File> = BTreeMap::new();
    for file in &found {
        if let Some(other) = plan.insert(file.name().to_owned(), file) {
            return Err(Failure::Data(format!(
                "{} and {} have the same name",
                other.location, file.location
            )));
        }
    }
    let (mut bytes, mut copied, mut unchanged) = (0, 0u64, 0u64);
    let mut checksums = serde_json::Map::new();
    for (name, file) in plan {
        let place = if folder { target.join(&name) } else { target.clone() };
        let checksum = checksum(storage, &file.location).await?;
        match files::list(storage, &place, &[]).await?.as_slice() {
            [there] if there.bytes == file.bytes && self::checksum(storage, &place).await? == checksum => {
                unchanged += 1
            }
            _ => {
                let arrived = send(storage, &file.location, &place).await?;
                if arrived != checksum {
                    // It changed under our hands: what arrived is whole, but not what was checked.
                    return Err(Failure::Data(format!("{} changed while it was copied", file.location)));
                }
                copied += 1;
            }
        }
        bytes += file.bytes;
        if checksums.len() < CHECKSUMS_SHOWN {
            checksums.insert(name, checksum.into());
        }
    }
    Ok(json!({
        "files": found.len(), "bytes": bytes, "copied": copied, "unchanged": unchanged,
        "uri": target.to_string(), "checksums": checksums,
    }))
}

/// The SHA-256 of an object, read as a stream.
async fn checksum(storage: &Storage, location: &Location) -> Result<String> {
    let fail = |source| Failure::from(location.failed("read", source));
    let mut stream = storage.store(location)?.get(&location.path()).await.map_err(fail)?.into_stream();
    let mut hash = Sha256::new();
    while let Some(chunk) = stream.try_next().await.map_err(fail)? {
        hash.update(&chunk);
    }
    Ok(HEXLOWER.encode(&hash.finalize()))
}

/// Copies one object, also between stores, and returns the SHA-256 of what was sent.
async fn send(storage: &Storage, from: &Location, to: &Location) -> Result<String> {
    let fail = |source| Failure::from(from.failed("read", source));
    let mut stream = storage.store(from)?.get(&from.path()).await.map_err(fail)?.into_stream();
    let mut target = BufWriter::new(storage.store(to)?, to.path());
    let mut hash = Sha256::new();
    while let Some(chunk) = stream.try_next().await.map_err(fail)? {
        hash.update(&chunk);
        target.put(chunk).await.map_err(|source| Failure::from(to.failed("write", source)))?;
    }
    target.shutdown().await.map_err(|error| Failure::system(format!("cannot write {to}"), error))?;
    Ok(HEXLOWER.encode(&hash.finalize()))
}

fn one() -> u64 {
    1
}
