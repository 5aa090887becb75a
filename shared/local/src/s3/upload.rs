//! Uploads in parts: a folder each, a file a part, joined at the end.

use super::service::failed;
use crate::objects::folder::Folder;
use s3s::dto::{CompletedPart, ETag};
use s3s::{S3Result, s3_error};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Most parts. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const PARTS_MAX: i32 = 10_000;

/// What the folders of uploads are called.
const PREFIX: &str = "upload-";

/// The uploads of a folder of buckets.
pub(super) struct Uploads {
    staging: PathBuf,
}

impl Uploads {
    pub(super) fn new(folder: &Folder) -> Self {
        Self { staging: folder.staging() }
    }

    /// Begins an upload and returns its id.
    pub(super) fn begin(&self) -> io::Result<String> {
        fs::create_dir_all(&self.staging)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).rand_bytes(16).tempdir_in(&self.staging)?;
        let name = folder.keep();
        Ok(name.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
    }

    fn folder(&self, id: &str) -> S3Result<PathBuf> {
        let is_ours =
            id.strip_prefix(PREFIX).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let folder = self.staging.join(id);
        if is_ours && folder.is_dir() { Ok(folder) } else { Err(s3_error!(NoSuchUpload)) }
    }

    /// A file for a part that is being received.
    pub(super) fn stage(&self, id: &str) -> S3Result<NamedTempFile> {
        tempfile::Builder::new().prefix("receiving-").tempfile_in(self.folder(id)?).map_err(failed)
    }

    /// Keeps a part; the last one of a number counts.
    pub(super) fn keep(&self, part: NamedTempFile, id: &str, number: i32) -> S3Result<ETag> {
        if !(1..=PARTS_MAX).contains(&number) {
            return Err(s3_error!(InvalidArgument, "parts are numbered from 1 to 10,000"));
        }
        let path = part_path(&self.folder(id)?, number);
        part.persist(&path).map_err(|error| failed(error.error))?;
        etag(&path)?.ok_or_else(|| s3_error!(NoSuchUpload))
    }

    /// Writes the parts one after the other.
    pub(super) fn join(&self, id: &str, parts: &[CompletedPart], whole: &mut File) -> S3Result<()> {
        let folder = self.folder(id)?;
        if parts.is_empty() {
            return Err(s3_error!(MalformedXML, "an upload has at least one part"));
        }
        let mut last = 0;
        for part in parts {
            let number = part.part_number.unwrap_or(0);
            if number <= last {
                return Err(s3_error!(InvalidPartOrder));
            }
            last = number;
            let path = part_path(&folder, number);
            let found = etag(&path)?.ok_or_else(|| s3_error!(InvalidPart))?;
            if part.e_tag.as_ref().is_some_and(|etag| etag.value() != found.value()) {
                return Err(s3_error!(InvalidPart));
            }
            let mut file = File::open(path).map_err(failed)?;
            io::copy(&mut file, whole).map_err(failed)?;
        }
        Ok(())
    }

    /// Forgets an upload and its parts.
    pub(super) fn end(&self, id: &str) -> S3Result<()> {
        fs::remove_dir_all(self.folder(id)?).map_err(failed)
    }
}

fn part_path(folder: &Path, number: i32) -> PathBuf {
    folder.join(number.to_string())
}

fn etag(path: &Path) -> S3Result<Option<ETag>> {
    let opened = Folder::open(path).map_err(failed)?;
    Ok(opened.map(|(_, found)| ETag::Strong(found.etag)))
}
