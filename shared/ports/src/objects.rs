//! Objects: documents and data under URIs (`s3://bucket/key`).

use cauce_model::Instant;
use std::future::Future;

/// An object, without its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectInfo {
    /// Its URI.
    pub uri: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last written.
    pub modified_at: Instant,
    /// Its entity tag, where the store has one, without quotes.
    pub etag: Option<String>,
}

/// Why objects could not be read or written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ObjectError {
    /// The URI is not one this port serves.
    #[error("'{0}' is not the address of an object")]
    BadUri(String),
    /// Not permitted.
    #[error("no access to '{0}'")]
    Denied(String),
    /// Over the service's rate.
    #[error("the object store is over its rate")]
    Throttled,
    /// The object is larger than the caller takes.
    #[error("'{uri}' has {bytes} bytes, more than the {limit} that are read")]
    TooLarge {
        /// Which object.
        uri: String,
        /// Its size.
        bytes: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// The reply was lost or the service failed.
    #[error("the object store did not answer: {0}")]
    Unknown(String),
}

impl ObjectError {
    /// Whether the same call may succeed later.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Throttled | Self::Unknown(_))
    }
}

/// Documents and data under URIs.
pub trait Objects {
    /// Reads an object of at most `limit` bytes; `None` when there is none.
    fn get(&self, uri: &str, limit: u64) -> impl Future<Output = Result<Option<Vec<u8>>, ObjectError>>;

    /// Writes an object whole: readers see the old one or the new one. Durable when it returns.
    fn put(&self, uri: &str, bytes: &[u8]) -> impl Future<Output = Result<(), ObjectError>>;

    /// The objects whose URI begins with `prefix`, in order, `limit` at most.
    fn list(&self, prefix: &str, limit: u32) -> impl Future<Output = Result<Vec<ObjectInfo>, ObjectError>>;
}
