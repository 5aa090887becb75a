//! The operations of S3 that tasks use, over a folder.
//!
//! There: ListBuckets, CreateBucket, HeadBucket, GetBucketLocation, ListObjects and V2, GetObject
//! (ranges, If-Match, If-None-Match), HeadObject, PutObject (If-None-Match: *, If-Match), CopyObject,
//! DeleteObject and DeleteObjects, uploads in parts. Everything else answers NotImplemented.
//! Not kept: metadata and content types, versions, access control. An ETag changes with the content
//! and is no MD5.

use super::upload::Uploads;
use crate::objects::folder::{Expect, Folder, Found, Met, is_bucket};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Most keys of one page. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
const PAGE_MAX: i32 = 1000;

/// How much of an object is read at once.
const CHUNK: u64 = 256 * 1024;

/// A folder, seen as S3.
pub(super) struct FolderService {
    folder: Folder,
    uploads: Uploads,
}

impl FolderService {
    pub(super) fn new(folder: Folder) -> Self {
        Self { uploads: Uploads::new(&folder), folder }
    }

    fn path(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        self.folder.path(bucket, key).ok_or_else(|| {
            if is_bucket(bucket) {
                s3_error!(KeyTooLongError, "this key cannot be kept in a folder")
            } else {
                s3_error!(InvalidBucketName)
            }
        })
    }

    fn open(&self, bucket: &str, key: &str) -> S3Result<(File, Found)> {
        Folder::open(&self.path(bucket, key)?).map_err(failed)?.ok_or_else(|| s3_error!(NoSuchKey))
    }

    /// The source of a copy.
    fn source(&self, source: &CopySource) -> S3Result<(File, Found)> {
        match source {
            CopySource::Bucket { bucket, key, .. } => self.open(bucket, key),
            _ => Err(s3_error!(NotImplemented, "copies are made between buckets")),
        }
    }

    /// Makes a staged file the object, under the conditions of its request.
    fn publish(
        &self,
        staged: NamedTempFile,
        path: &Path,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<ETag> {
        let expect = match if_none_match {
            Some(ETagCondition::Any) => Expect::New,
            Some(ETagCondition::ETag(_)) => {
                return Err(s3_error!(NotImplemented, "If-None-Match of a put is *"));
            }
            None => Expect::Any,
        };
        if let Some(condition) = if_match {
            // Between this look and the rename another writer may come: a folder has no such lock.
            let found = Folder::open(path).map_err(failed)?;
            let (_, found) = found.ok_or_else(|| s3_error!(NoSuchKey))?;
            if !is_met(condition, &found) {
                return Err(s3_error!(PreconditionFailed));
            }
        }
        self.folder.publish(staged, path, expect).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => s3_error!(PreconditionFailed),
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
                s3_error!(InvalidArgument, "a folder cannot hold both an object and objects below it")
            }
            _ => failed(error),
        })?;
        let (_, found) = Folder::open(path).map_err(failed)?.ok_or_else(|| s3_error!(NoSuchKey))?;
        Ok(ETag::Strong(found.etag))
    }
}

pub(super) fn failed(error: io::Error) -> S3Error {
    S3Error::with_source(s3s::S3ErrorCode::InternalError, Box::new(error))
}

fn is_met(condition: &ETagCondition, found: &Found) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == found.etag,
    }
}

/// Writes the body of a request aside.
pub(super) async fn receive(
    body: Option<StreamingBlob>,
    length: Option<i64>,
    file: &mut File,
) -> S3Result<()> {
    let mut written: i64 = 0;
    if let Some(mut body) = body {
        while let Some(chunk) = body
            .try_next()
            .await
            .map_err(|error| S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, error))?
        {
            file.write_all(&chunk).map_err(failed)?;
            written += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
        }
    }
    match length {
        Some(length) if length != written => Err(s3_error!(IncompleteBody)),
        _ => Ok(()),
    }
}

/// Sends a range of a file.
fn send(file: File, length: u64) -> StreamingBlob {
    StreamingBlob::wrap(stream::iter(Chunks { file, left: length }))
}

/// The next bytes of a file, chunk by chunk.
struct Chunks {
    file: File,
    left: u64,
}

impl Iterator for Chunks {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let length = usize::try_from(self.left.min(CHUNK)).ok().filter(|length| *length > 0)?;
        self.left -= length as u64;
        let mut chunk = vec![0; length];
        // An object is never changed in place: it has all the bytes it had when it was opened.
        Some(self.file.read_exact(&mut chunk).map(|()| Bytes::from(chunk)))
    }
}

fn length(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok()
}

/// A page of a listing.
struct Page {
    objects: Vec<Found>,
    common: Vec<String>,
    /// The last key or common beginning shown, when there are more.
    next: Option<String>,
    most: i32,
}

impl FolderService {
    fn page(
        &self,
        bucket: &str,
        prefix: Option<&str>,
        delimiter: Option<&str>,
        after: &str,
        most: Option<i32>,
    ) -> S3Result<Page> {
        if !is_bucket(bucket) {
            return Err(s3_error!(InvalidBucketName));
        }
        if !matches!(delimiter, None | Some("" | "/")) {
            return Err(s3_error!(NotImplemented, "the delimiter of a listing is /"));
        }
        let most = most.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX);
        let mut page = Page { objects: Vec::new(), common: Vec::new(), next: None, most };
        if most == 0 {
            return Ok(page);
        }
        let mut shown = 0;
        let mut last = String::new();
        let delimited = delimiter == Some("/");
        self.folder
            .walk(bucket, prefix.unwrap_or(""), after, delimited, &mut |met| {
                if shown == most {
                    page.next = Some(std::mem::take(&mut last));
                    return false;
                }
                shown += 1;
                match met {
                    Met::Object(found) => {
                        last.clone_from(&found.key);
                        page.objects.push(found);
                    }
                    Met::Common(prefix) => {
                        last.clone_from(&prefix);
                        page.common.push(prefix);
                    }
                }
                true
            })
            .map_err(failed)?;
        Ok(page)
    }
}

impl Page {
    fn contents(&self) -> Option<Vec<Object>> {
        let objects = self.objects.iter().map(|found| Object {
            key: Some(found.key.clone()),
            size: length(found.bytes),
            last_modified: Some(found.modified.into()),
            e_tag: Some(ETag::Strong(found.etag.clone())),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            ..Default::default()
        });
        (!self.objects.is_empty()).then(|| objects.collect())
    }

    fn common_prefixes(&self) -> Option<Vec<CommonPrefix>> {
        let common = self.common.iter().map(|prefix| CommonPrefix { prefix: Some(prefix.clone()) });
        (!self.common.is_empty()).then(|| common.collect())
    }
}

#[async_trait::async_trait]
impl S3 for FolderService {
    async fn list_buckets(
        &self,
        _request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let buckets = self.folder.buckets().map_err(failed)?;
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(
                buckets.into_iter().map(|name| Bucket { name: Some(name), ..Default::default() }).collect(),
            ),
            ..Default::default()
        }))
    }

    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        if !is_bucket(&request.input.bucket) {
            return Err(s3_error!(InvalidBucketName));
        }
        self.folder.make_bucket(&request.input.bucket).map_err(failed)?;
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        // Every bucket is there: the first object makes its folder.
        if !is_bucket(&request.input.bucket) {
            return Err(s3_error!(NoSuchBucket));
        }
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        _request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let after = input.marker.clone().unwrap_or_default();
        let page = self.page(
            &input.bucket,
            input.prefix.as_deref(),
            input.delimiter.as_deref(),
            &after,
            input.max_keys,
        )?;
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: input.prefix,
            marker: input.marker,
            delimiter: input.delimiter,
            max_keys: Some(page.most),
            contents: page.contents(),
            common_prefixes: page.common_prefixes(),
            is_truncated: Some(page.next.is_some()),
            next_marker: page.next,
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let after =
            input.continuation_token.as_ref().or(input.start_after.as_ref()).cloned().unwrap_or_default();
        let page = self.page(
            &input.bucket,
            input.prefix.as_deref(),
            input.delimiter.as_deref(),
            &after,
            input.max_keys,
        )?;
        let count = page.objects.len() + page.common.len();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: Some(page.most),
            key_count: i32::try_from(count).ok(),
            contents: page.contents(),
            common_prefixes: page.common_prefixes(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let (mut file, found) = self.open(&input.bucket, &input.key)?;
        check_read(&found, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let range = match &input.range {
            Some(range) => range.check(found.bytes)?,
            None => 0..found.bytes,
        };
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        let bytes = range.end - range.start;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(send(file, bytes)),
            content_length: length(bytes),
            content_range: input
                .range
                .is_some()
                .then(|| format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), found.bytes)),
            e_tag: Some(ETag::Strong(found.etag)),
            last_modified: Some(found.modified.into()),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let (_, found) = self.open(&input.bucket, &input.key)?;
        check_read(&found, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: length(found.bytes),
            e_tag: Some(ETag::Strong(found.etag)),
            last_modified: Some(found.modified.into()),
            ..Default::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let path = self.path(&input.bucket, &input.key)?;
        let mut staged = self.folder.stage().map_err(failed)?;
        receive(input.body, input.content_length, staged.as_file_mut()).await?;
        let etag = self.publish(staged, &path, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag), ..Default::default() }))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        // A condition that S3 itself has only for puts; object_store can be told to send it.
        let new_only = request.headers.get("if-none-match").is_some_and(|value| value == "*");
        let input = request.input;
        let (mut source, found) = self.source(&input.copy_source)?;
        check_read(&found, input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref())?;
        let path = self.path(&input.bucket, &input.key)?;
        let mut staged = self.folder.stage().map_err(failed)?;
        io::copy(&mut source, staged.as_file_mut()).map_err(failed)?;
        let etag = self.publish(staged, &path, None, new_only.then_some(&ETagCondition::Any))?;
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(etag),
                last_modified: Some(found.modified.into()),
                ..Default::default()
            }),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let path = self.path(&input.bucket, &input.key)?;
        self.folder.delete(&input.bucket, &path).map_err(failed)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let mut deleted = Vec::new();
        let mut errors = Vec::new();
        for object in input.delete.objects {
            let done = self
                .path(&input.bucket, &object.key)
                .and_then(|path| self.folder.delete(&input.bucket, &path).map_err(failed));
            match done {
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..Default::default() }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    ..Default::default()
                }),
            }
        }
        let quiet = input.delete.quiet.unwrap_or(false);
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        self.path(&input.bucket, &input.key)?;
        let id = self.uploads.begin().map_err(failed)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let mut part = self.uploads.stage(&input.upload_id)?;
        receive(input.body, input.content_length, part.as_file_mut()).await?;
        let etag = self.uploads.keep(part, &input.upload_id, input.part_number)?;
        Ok(S3Response::new(UploadPartOutput { e_tag: Some(etag), ..Default::default() }))
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = request.input;
        let (mut source, found) = self.source(&input.copy_source)?;
        let range = match &input.copy_source_range {
            Some(range) => Range::parse(range).map_err(|_| s3_error!(InvalidArgument))?.check(found.bytes)?,
            None => 0..found.bytes,
        };
        source.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        let mut part = self.uploads.stage(&input.upload_id)?;
        let mut source = source.take(range.end - range.start);
        io::copy(&mut source, part.as_file_mut()).map_err(failed)?;
        let etag = self.uploads.keep(part, &input.upload_id, input.part_number)?;
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(etag),
                last_modified: Some(found.modified.into()),
                ..Default::default()
            }),
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let path = self.path(&input.bucket, &input.key)?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut whole = self.folder.stage().map_err(failed)?;
        self.uploads.join(&input.upload_id, &parts, whole.as_file_mut())?;
        let etag = self.publish(whole, &path, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        self.uploads.end(&input.upload_id)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(etag),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.uploads.end(&request.input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// The conditions under which an object is read.
fn check_read(
    found: &Found,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    if if_match.is_some_and(|condition| !is_met(condition, found)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(|condition| is_met(condition, found)) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}
