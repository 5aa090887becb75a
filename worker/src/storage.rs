//! Where bytes live: `s3://`, `file://` and paths relative to a folder, behind one object store interface.
//!
//! The two small programs beside the worker compile this file into themselves instead of linking the library, so that
//! they stay free of DataFusion; it therefore knows nothing of tables.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use thiserror::Error;
use url::Url;

/// One place in one store. Displays as the URI it was written as, made absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// `None` is this machine's files, otherwise the bucket.
    bucket: Option<String>,
    /// The key below the bucket, or the absolute path without its first `/`. May end in `/`, may hold patterns.
    key: String,
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bucket {
            Some(bucket) => write!(out, "s3://{bucket}/{}", self.key),
            None => write!(out, "file:///{}", self.key),
        }
    }
}

/// What went wrong with a place, not with what is in it.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The text is no location.
    #[error("`{0}` is not a location: write s3://bucket/key, file:///path or a relative path")]
    NotALocation(String),
    /// A store could not be set up: a missing region, a wrong endpoint.
    #[error("cannot open the store of {location}")]
    Open {
        /// Which place was wanted.
        location: String,
        /// What the store's client said.
        #[source]
        source: object_store::Error,
    },
    /// A store refused or could not be reached.
    #[error("cannot {doing} {location}")]
    Access {
        /// The verb: read, write, list, delete.
        doing: &'static str,
        /// Which place.
        location: String,
        /// What the store's client said.
        #[source]
        source: object_store::Error,
    },
}

impl StorageError {
    /// True when the place is simply not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Access { source: object_store::Error::NotFound { .. }, .. })
    }
}

/// The stores of this process, opened once per bucket.
///
/// S3 is configured as every AWS tool is: `AWS_REGION`, `AWS_ENDPOINT_URL`, the key pair, or the role of the task.
#[derive(Debug)]
pub struct Storage {
    folder: PathBuf,
    stores: Mutex<BTreeMap<Option<String>, Arc<dyn ObjectStore>>>,
}

impl Storage {
    /// Relative locations are below `folder`, which must be absolute.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, stores: Mutex::default() }
    }

    /// Puts a store of the test's own in the place of a bucket.
    #[cfg(test)]
    pub fn with_store(bucket: &str, store: Arc<dyn ObjectStore>) -> Self {
        let stores = BTreeMap::from([(Some(bucket.to_owned()), store)]);
        Self { folder: PathBuf::from("/"), stores: Mutex::new(stores) }
    }

    /// Reads a location as a person writes it.
    pub fn locate(&self, text: &str) -> Result<Location, StorageError> {
        let wrong = || StorageError::NotALocation(text.to_owned());
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').ok_or_else(wrong)?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if bucket.is_empty()
                || !bucket.bytes().all(plain)
                || Path::parse(key.trim_end_matches('/')).is_err()
            {
                return Err(wrong());
            }
            return Ok(Location { bucket: Some(bucket.to_owned()), key: key.to_owned() });
        }
        let path = match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => FilePath::new(path),
            Some(_) => return Err(wrong()),
            None if text.is_empty() || text.contains("://") => return Err(wrong()),
            None => FilePath::new(text),
        };
        let mut parts: Vec<&str> = Vec::new();
        let whole = self.folder.join(path);
        for part in whole.components() {
            match part {
                Component::Normal(name) => parts.push(name.to_str().ok_or_else(wrong)?),
                Component::ParentDir => {
                    parts.pop();
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        let mut key = parts.join("/");
        if text.ends_with('/') {
            key.push('/');
        }
        Ok(Location { bucket: None, key })
    }

    /// The store that holds a location, rooted at its bucket or at `/`.
    pub fn store(&self, location: &Location) -> Result<Arc<dyn ObjectStore>, StorageError> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&location.bucket) {
            return Ok(store.clone());
        }
        let store: Arc<dyn ObjectStore> = match &location.bucket {
            None => Arc::new(LocalFileSystem::new()),
            Some(bucket) => {
                // Plain http is what a local endpoint speaks; against AWS the default endpoint is https anyway.
                let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_allow_http(true);
                let open = |source| StorageError::Open { location: location.to_string(), source };
                Arc::new(builder.build().map_err(open)?)
            }
        };
        stores.insert(location.bucket.clone(), store.clone());
        Ok(store)
    }

    /// The bytes of a small object.
    pub async fn get(&self, location: &Location) -> Result<Vec<u8>, StorageError> {
        let get = async {
            self.store(location)?.get(&location.path()).await.map_err(|e| location.failed("read", e))
        };
        let bytes = get.await?.bytes().await.map_err(|source| location.failed("read", source))?;
        Ok(bytes.to_vec())
    }

    /// Stores a small object whole: it is there afterwards, or the old one is untouched.
    pub async fn put(&self, location: &Location, bytes: Vec<u8>) -> Result<(), StorageError> {
        let put = self.store(location)?.put(&location.path(), bytes.into()).await;
        put.map(drop).map_err(|source| location.failed("write", source))
    }
}

impl Location {
    /// The path inside the store. Patterns and the trailing `/` are the caller's to take off first.
    pub fn path(&self) -> Path {
        // `locate` has parsed it, and joining keeps it valid, so the fallback's escaping is never reached.
        Path::parse(self.key.trim_end_matches('/')).unwrap_or_else(|_| Path::from(self.key.as_str()))
    }

    /// The location of `name` below this folder.
    pub fn join(&self, name: &str) -> Self {
        let key = format!("{}/{}", self.key.trim_end_matches('/'), name);
        Self { bucket: self.bucket.clone(), key: key.trim_start_matches('/').to_owned() }
    }

    /// Words a refusal of the store.
    pub fn failed(&self, doing: &'static str, source: object_store::Error) -> StorageError {
        StorageError::Access { doing, location: self.to_string(), source }
    }

    /// The key as written.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Another key in the same store.
    pub fn with_key(&self, key: &str) -> Self {
        Self { bucket: self.bucket.clone(), key: key.to_owned() }
    }

    /// The store's root as a URL, by which DataFusion and Delta know it.
    pub fn root(&self) -> Url {
        let text =
            self.bucket.as_ref().map_or_else(|| "file:///".to_owned(), |bucket| format!("s3://{bucket}/"));
        Url::parse(&text).unwrap_or_else(|_| unreachable!("`locate` lets only plain bucket names pass"))
    }

    /// This place as a URL, percent-encoded.
    pub fn url(&self) -> Url {
        let mut url = self.root();
        // `set_path` escapes what a path cannot hold, but takes a `%` for an escape that is already there.
        url.set_path(&self.key.replace('%', "%25"));
        url
    }
}
