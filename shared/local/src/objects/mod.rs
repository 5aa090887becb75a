//! Objects in folders: `s3://bucket/key` below the state folder, `file:///path` and plain paths
//! where they say.

mod arrivals;

pub(crate) mod folder;

use cauce_model::Instant;
use cauce_ports::{ObjectError, ObjectInfo, Objects};
use folder::{Expect, Folder, Met};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Objects on one machine.
#[derive(Clone, Debug)]
pub struct FolderObjects {
    buckets: Folder,
    /// Plain paths begin here.
    project: PathBuf,
}

/// What a URI names.
enum Place {
    Bucket { bucket: String, key: String },
    File(PathBuf),
}

impl FolderObjects {
    /// The objects of a state folder's `objects`. What is put is on the disk when the put returns:
    /// for documents that the engine needs after a crash of the machine.
    pub fn durable(buckets: impl Into<PathBuf>, project: impl Into<PathBuf>) -> Self {
        Self { buckets: Folder::new(buckets.into(), true), project: project.into() }
    }

    /// The same, but what is put survives a crash of the process only: for tests, and for what can
    /// be made again.
    pub fn fast(buckets: impl Into<PathBuf>, project: impl Into<PathBuf>) -> Self {
        Self { buckets: Folder::new(buckets.into(), false), project: project.into() }
    }

    fn place(&self, uri: &str) -> Result<Place, ObjectError> {
        let bad = || ObjectError::BadUri(uri.to_owned());
        if let Some(rest) = uri.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            if !folder::is_bucket(bucket) {
                return Err(bad());
            }
            return Ok(Place::Bucket { bucket: bucket.to_owned(), key: key.to_owned() });
        }
        let path = match uri.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => path,
            Some(_) => return Err(bad()),
            None if uri.contains("://") => return Err(bad()),
            None => uri,
        };
        if path.is_empty() || path.contains('\0') {
            return Err(bad());
        }
        Ok(Place::File(self.project.join(path)))
    }

    fn path(&self, uri: &str) -> Result<PathBuf, ObjectError> {
        match self.place(uri)? {
            Place::File(path) => Ok(path),
            Place::Bucket { bucket, key } => {
                self.buckets.path(&bucket, &key).ok_or_else(|| ObjectError::BadUri(uri.to_owned()))
            }
        }
    }
}

fn failed(uri: &str) -> impl FnOnce(io::Error) -> ObjectError {
    let uri = uri.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ObjectError::Denied(uri),
        _ => ObjectError::Unknown(format!("{uri}: {error}")),
    }
}

impl Objects for FolderObjects {
    async fn get(&self, uri: &str, limit: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let path = self.path(uri)?;
        let Some((file, found)) = Folder::open(&path).map_err(failed(uri))? else {
            return Ok(None);
        };
        let too_large = |bytes| ObjectError::TooLarge { uri: uri.to_owned(), bytes, limit };
        if found.bytes > limit {
            return Err(too_large(found.bytes));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(found.bytes).unwrap_or(0));
        // It may grow while it is read.
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed(uri))?;
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(Some(bytes))
    }

    async fn put(&self, uri: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        match self.place(uri)? {
            Place::Bucket { .. } => self.buckets.put(&self.path(uri)?, bytes, Expect::Any),
            Place::File(path) => put_file(&path, bytes),
        }
        .map_err(failed(uri))
    }

    async fn list(&self, prefix: &str, limit: u32) -> Result<Vec<ObjectInfo>, ObjectError> {
        let limit = limit as usize;
        let mut listed = Vec::new();
        match self.place(prefix)? {
            Place::Bucket { bucket, key } => {
                self.buckets
                    .walk(&bucket, &key, "", false, &mut |met| {
                        if listed.len() < limit
                            && let Met::Object(found) = met
                        {
                            listed.push(ObjectInfo {
                                uri: format!("s3://{bucket}/{}", found.key),
                                bytes: found.bytes,
                                modified_at: instant(found.modified),
                                etag: None,
                            });
                        }
                        listed.len() < limit
                    })
                    .map_err(failed(prefix))?;
            }
            Place::File(_) => {
                self.list_files(prefix, &mut listed).map_err(failed(prefix))?;
                listed.sort_by(|a, b| a.uri.cmp(&b.uri));
                listed.truncate(limit);
            }
        }
        Ok(listed)
    }
}

impl FolderObjects {
    /// The files whose URI begins with `prefix`. Only the folder that the prefix ends in is read,
    /// and what is below it.
    fn list_files(&self, prefix: &str, listed: &mut Vec<ObjectInfo>) -> io::Result<()> {
        let folder = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let path = self.project.join(folder.strip_prefix("file://").unwrap_or(&folder));
            let entries = match path.read_dir() {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let uri = format!("{folder}{name}");
                let metadata = match entry.path().metadata() {
                    Ok(metadata) => metadata,
                    // Gone meanwhile, or a link to nowhere.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let below = format!("{uri}/");
                // A link to a folder could lead round in a circle.
                if entry.file_type()?.is_dir() && (below.starts_with(prefix) || prefix.starts_with(&below)) {
                    folders.push(below);
                } else if metadata.is_file() && uri.starts_with(prefix) {
                    listed.push(ObjectInfo {
                        uri,
                        bytes: metadata.len(),
                        modified_at: instant(metadata.modified()?),
                        etag: None,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Writes a file that somebody named by its path.
fn put_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    crate::state::replace(path, bytes, true)
}

fn instant(time: SystemTime) -> Instant {
    let micros = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros());
    Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> (tempfile::TempDir, FolderObjects) {
        let temp = tempfile::tempdir().unwrap();
        let objects = FolderObjects::durable(temp.path().join("objects"), temp.path());
        (temp, objects)
    }

    #[tokio::test]
    async fn objects_are_read_back_by_their_uri() {
        let (temp, objects) = objects();
        let file = format!("file://{}/out/b c.json", temp.path().display());
        for uri in ["s3://lake/a b+c/ñ.csv", "data/x.csv", &file] {
            assert_eq!(objects.get(uri, 10).await, Ok(None), "{uri}");
            objects.put(uri, b"old").await.unwrap();
            objects.put(uri, b"new!").await.unwrap();
            assert_eq!(objects.get(uri, 4).await, Ok(Some(b"new!".to_vec())), "{uri}");
            assert!(
                matches!(objects.get(uri, 3).await, Err(ObjectError::TooLarge { bytes: 4, .. })),
                "{uri}"
            );
        }
        assert!(temp.path().join("data/x.csv").exists());
        assert!(temp.path().join("objects/lake/a b+c/ñ.csv").exists());
        assert_eq!(objects.get("data", 10).await, Ok(None), "a folder is no object");
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused() {
        let (_temp, objects) = objects();
        for uri in [
            "",
            "s3://",
            "s3://lake",
            "s3://lake/",
            "s3://../x",
            "s3://Lake/x",
            "gs://lake/x",
            "file://host/x",
        ] {
            assert_eq!(objects.put(uri, b"").await, Err(ObjectError::BadUri(uri.into())), "{uri}");
        }
        objects.put("s3://lake/../../escape", b"x").await.unwrap();
        let listed = objects.list("s3://lake/", 10).await.unwrap();
        assert_eq!(listed[0].uri, "s3://lake/../../escape");
    }

    #[tokio::test]
    async fn lists_are_in_order_and_bounded() {
        let (temp, objects) = objects();
        let base = format!("file://{}/f/", temp.path().display());
        for prefix in ["s3://lake/", "data/", &base] {
            for key in ["b/x", "a", "b.c", "b/a/y", "c"] {
                objects.put(&format!("{prefix}{key}"), b"12").await.unwrap();
            }
            let listed = async |prefix: &str, limit| {
                let found = objects.list(prefix, limit).await.unwrap();
                assert!(found.iter().all(|info| info.bytes == 2));
                found.into_iter().map(|info| info.uri).collect::<Vec<_>>()
            };
            let uris =
                |keys: &[&str]| -> Vec<String> { keys.iter().map(|key| format!("{prefix}{key}")).collect() };
            let all = uris(&["a", "b.c", "b/a/y", "b/x", "c"]);
            assert_eq!(listed(prefix, 10).await, all);
            assert_eq!(listed(prefix, 2).await, all[..2]);
            assert_eq!(listed(&format!("{prefix}b/"), 10).await, uris(&["b/a/y", "b/x"]));
            assert_eq!(listed(&format!("{prefix}b"), 10).await, uris(&["b.c", "b/a/y", "b/x"]));
            assert_eq!(listed(&format!("{prefix}zz/"), 10).await, uris(&[]));
        }
    }
}
