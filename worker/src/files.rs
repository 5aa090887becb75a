//! Files in stores: which ones a location names, reading them as streams, arriving whole.

use std::path::Path as FilePath;

use futures_util::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::{ObjectMeta, ObjectStoreExt};
use regex::Regex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::failure::{Failure, Result};
use crate::storage::{Location, Storage};

/// One file that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Where it is; no pattern, no trailing `/`.
    pub location: Location,
    /// Its size in bytes.
    pub bytes: u64,
}

impl File {
    /// The last part of its key.
    pub fn name(&self) -> &str {
        name(&self.location)
    }

    fn of(near: &Location, meta: &ObjectMeta) -> Self {
        Self { location: near.with_key(meta.location.as_ref()), bytes: meta.size }
    }
}

/// The last part of a location's key.
pub fn name(location: &Location) -> &str {
    location.key().trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// True when the location is written with `*` or `?`.
pub fn has_pattern(location: &Location) -> bool {
    location.key().contains(['*', '?'])
}

/// The files a location names, in key order, so that the same files always give the same rows.
///
/// A plain name is itself, if it exists; a pattern is every match; a folder (trailing `/`, or a name that is no file) is
/// everything below it that ends in one of `endings` (all files when there are none).
pub async fn list(storage: &Storage, location: &Location, endings: &[&str]) -> Result<Vec<File>> {
    let store = storage.store(location)?;
    let pattern = has_pattern(location);
    if !pattern && !location.key().ends_with('/') {
        match store.head(&location.path()).await {
            Ok(meta) => return Ok(vec![File::of(location, &meta)]),
            // A local folder answers as "not found" too, and is listed below.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(location.failed("read", error).into()),
        }
    }
    let folder = match location.key().find(['*', '?']) {
        Some(at) => location.key()[..at].rfind('/').map_or("", |slash| &location.key()[..slash]),
        None => location.key().trim_end_matches('/'),
    };
    let folder_location = location.with_key(folder);
    let matcher = pattern.then(|| matcher(location.key())).transpose()?;
    let mut found: Vec<File> = store
        .list(Some(&folder_location.path()))
        .try_filter_map(|meta| {
            let key = meta.location.as_ref();
            let below = key[folder.len().min(key.len())..].trim_start_matches('/');
            let hidden = below.split('/').any(|part| part.starts_with(['_', '.']));
            let wanted = match &matcher {
                Some(matcher) => matcher.is_match(key),
                None => endings.is_empty() || endings.iter().any(|ending| key.ends_with(ending)),
            };
            let file = (!hidden && wanted).then(|| File::of(location, &meta));
            std::future::ready(Ok(file))
        })
        .try_collect()
        .await
        .map_err(|source| location.failed("list", source))?;
    found.sort();
    Ok(found)
}

/// `*` within one level, `?` one character of it, `**` across levels.
fn matcher(pattern: &str) -> Result<Regex> {
    let mut text = String::from("^");
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            text.push_str("(?:.*/)?");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("**") {
            text.push_str(".*");
            rest = after;
        } else {
            match next {
                '*' => text.push_str("[^/]*"),
                '?' => text.push_str("[^/]"),
                other => text.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
            rest = &rest[next.len_utf8()..];
        }
    }
    text.push('$');
    Regex::new(&text).map_err(|error| Failure::Config(format!("the pattern `{pattern}` is not one: {error}")))
}

/// The whole of a small object, or `None` when it is not there.
pub async fn read_small(storage: &Storage, location: &Location) -> Result<Option<Vec<u8>>> {
    match storage.get(location).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sends a file of this machine to a location; it appears there whole or not at all. Returns its size.
pub async fn upload(storage: &Storage, from: &FilePath, to: &Location) -> Result<u64> {
    let doing = || format!("cannot read the staged file {}", from.display());
    let mut source = tokio::fs::File::open(from).await.map_err(|error| Failure::system(doing(), error))?;
    let mut target = BufWriter::new(storage.store(to)?, to.path());
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = source.read(&mut buffer).await.map_err(|error| Failure::system(doing(), error))?;
        if read == 0 {
            break;
        }
        target.put(buffer[..read].to_vec().into()).await.map_err(|error| to.failed("write", error))?;
        bytes += read as u64;
    }
    // Until the shutdown nothing is visible: a local file is renamed into place, an upload completed.
    target.shutdown().await.map_err(|error| Failure::system(format!("cannot write {to}"), error))?;
    Ok(bytes)
}

/// Deletes an object; one that is gone already is fine.
pub async fn delete(storage: &Storage, location: &Location) -> Result<()> {
    match storage.store(location)?.delete(&location.path()).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(location.failed("delete", source).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_within_their_level() {
        let cases = [
            ("raw/*.csv", "raw/a.csv", true),
            ("raw/*.csv", "raw/deep/a.csv", false),
            ("raw/**/*.csv", "raw/deep/er/a.csv", true),
            ("raw/**/*.csv", "raw/a.csv", true),
            ("raw/v?.csv", "raw/v1.csv", true),
            ("raw/v?.csv", "raw/v12.csv", false),
            ("raw/a+b.csv", "raw/aab.csv", false),
        ];
        for (pattern, key, expected) in cases {
            assert_eq!(matcher(pattern).unwrap().is_match(key), expected, "{pattern} against {key}");
        }
    }

    #[tokio::test]
    async fn a_folder_lists_its_files_in_order_and_never_hidden_ones() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path().to_owned());
        for name in ["t/b.csv", "t/a.csv", "t/_staging/c.csv", "t/.d.csv", "t/notes.txt", "t/x=1/e.csv"] {
            storage.put(&storage.locate(name).unwrap(), b"x".to_vec()).await.unwrap();
        }
        let found = list(&storage, &storage.locate("t").unwrap(), &[".csv"]).await.unwrap();
        let names: Vec<&str> = found.iter().map(File::name).collect();
        assert_eq!(names, ["a.csv", "b.csv", "e.csv"]);
        let one = list(&storage, &storage.locate("t/a.csv").unwrap(), &[]).await.unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(list(&storage, &storage.locate("t/z*.csv").unwrap(), &[]).await.unwrap(), []);
    }

    #[tokio::test]
    async fn an_upload_arrives_whole() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path().to_owned());
        let from = folder.path().join("from");
        let content: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        std::fs::write(&from, &content).unwrap();
        let to = storage.locate("deep/er/to.bin").unwrap();
        assert_eq!(upload(&storage, &from, &to).await.unwrap(), 3_000_000);
        assert_eq!(read_small(&storage, &to).await.unwrap().unwrap(), content);
        delete(&storage, &to).await.unwrap();
        delete(&storage, &to).await.unwrap();
        assert_eq!(read_small(&storage, &to).await.unwrap(), None);
    }
}
