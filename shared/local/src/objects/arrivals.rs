//! Objects of a folder as events that may start runs: what tells one arrival from every other, wherever it was
//! seen.
//!
//! An arrival is told by its entity tag, which changes with every content that is put (see `folder`). It has no
//! sequencer: whoever looks at a file sees it as it is now, so nothing older comes later. It arrived when the
//! system last changed its entry, whatever time of modification it was given: a copy that keeps old times
//! arrives now.

use super::FolderObjects;
use super::folder::{self, Folder, Found, Met};
use cauce_model::Instant;
use cauce_model::event::Object;
use std::io;
use std::path::{Path, PathBuf};

impl FolderObjects {
    /// The folder of a bucket, which is made when there is none. `None` for what is no bucket.
    ///
    /// # Errors
    /// Whatever the file system refuses.
    pub fn bucket(&self, bucket: &str) -> io::Result<Option<PathBuf>> {
        if !folder::is_bucket(bucket) {
            return Ok(None);
        }
        self.buckets.make_bucket(bucket)?;
        Ok(Some(self.buckets.root().join(bucket)))
    }

    /// The bucket and the key of a file; `None` for one that is no object.
    pub fn key_of(&self, path: &Path) -> Option<(String, String)> {
        self.buckets.key_of(path)
    }

    /// What stands under a key now; `None` when nothing does.
    ///
    /// # Errors
    /// Whatever the file system refuses.
    pub fn arrival(&self, bucket: &str, key: &str) -> io::Result<Option<Object>> {
        let Some(path) = self.buckets.path(bucket, key) else { return Ok(None) };
        let found = Folder::open(&path)?.map(|(_, found)| found);
        Ok(found.map(|found| object(bucket, Found { key: key.to_owned(), ..found })))
    }

    /// Everything that stands below a prefix now.
    ///
    /// # Errors
    /// Whatever the file system refuses.
    pub fn arrivals(&self, bucket: &str, prefix: &str) -> io::Result<Vec<Object>> {
        let mut all = Vec::new();
        self.buckets.walk(bucket, prefix, "", false, &mut |met| {
            if let Met::Object(found) = met {
                all.push(object(bucket, found));
            }
            true
        })?;
        Ok(all)
    }
}

fn object(bucket: &str, found: Found) -> Object {
    Object {
        bucket: bucket.to_owned(),
        key: found.key,
        version_id: None,
        etag: Some(found.etag),
        sequencer: None,
        size: found.bytes,
        at: Instant::from_micros(found.changed_micros),
    }
}
