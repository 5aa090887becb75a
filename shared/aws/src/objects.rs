//! Objects in S3.

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::DateTime;
use cauce_model::Instant;
use cauce_ports::{ObjectError, ObjectInfo, Objects};

/// Most objects in one answer of a listing.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
const LISTED_MAX: u32 = 1_000;

/// Objects under `s3://bucket/key`. Reads after a write see it: S3 is strongly consistent.
#[derive(Clone, Debug)]
pub struct S3Objects {
    client: Client,
}

/// An object's address, taken apart.
struct Place<'a> {
    bucket: &'a str,
    key: &'a str,
}

impl S3Objects {
    /// The objects that this connection may reach.
    pub fn new(connection: &Connection) -> Self {
        // An emulator answers under one host name: the bucket goes into the path.
        let config = aws_sdk_s3::config::Builder::from(connection.config())
            .force_path_style(connection.is_emulated())
            .build();
        Self { client: Client::from_conf(config) }
    }
}

fn place(uri: &str) -> Result<Place<'_>, ObjectError> {
    match uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
        Some((bucket, key)) if !bucket.is_empty() => Ok(Place { bucket, key }),
        _ => Err(ObjectError::BadUri(uri.to_owned())),
    }
}

/// The place of one object, whose key cannot be empty.
fn object(uri: &str) -> Result<Place<'_>, ObjectError> {
    place(uri).and_then(|place| {
        if place.key.is_empty() { Err(ObjectError::BadUri(uri.to_owned())) } else { Ok(place) }
    })
}

fn failed(uri: &str, failure: &Failure) -> ObjectError {
    match failure.kind {
        Kind::Throttled => ObjectError::Throttled,
        Kind::Denied => ObjectError::Denied(uri.to_owned()),
        // There is no such bucket, or its name or the key is none: nothing that time mends.
        Kind::Refused
            if matches!(failure.code.as_str(), "NoSuchBucket" | "InvalidBucketName" | "KeyTooLongError") =>
        {
            ObjectError::BadUri(uri.to_owned())
        }
        Kind::Refused | Kind::Unanswered => ObjectError::Unknown(format!("{uri}: {}", failure.text())),
    }
}

fn instant(at: &DateTime) -> Instant {
    Instant::from_micros(
        at.secs().saturating_mul(1_000_000).saturating_add(i64::from(at.subsec_nanos() / 1_000)),
    )
}

impl Objects for S3Objects {
    async fn get(&self, uri: &str, limit: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let Place { bucket, key } = object(uri)?;
        let found = match self.client.get_object().bucket(bucket).key(key).send().await {
            Ok(found) => found,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(uri, &Failure::of(&error))),
        };
        let bytes = found.content_length.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        if bytes > limit {
            return Err(ObjectError::TooLarge { uri: uri.to_owned(), bytes, limit });
        }
        let bytes =
            found.body.collect().await.map_err(|error| ObjectError::Unknown(format!("{uri}: {error}")))?;
        Ok(Some(bytes.to_vec()))
    }

    async fn put(&self, uri: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let Place { bucket, key } = object(uri)?;
        let body = ByteStream::from(bytes.to_vec());
        match self.client.put_object().bucket(bucket).key(key).body(body).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(uri, &Failure::of(&error))),
        }
    }

    async fn list(&self, prefix: &str, limit: u32) -> Result<Vec<ObjectInfo>, ObjectError> {
        let Place { bucket, key } = place(prefix)?;
        let mut listed = Vec::new();
        let mut after: Option<String> = None;
        while listed.len() < limit as usize {
            let left = limit.saturating_sub(u32::try_from(listed.len()).unwrap_or(limit));
            let page = self
                .client
                .list_objects_v2()
                .bucket(bucket)
                .prefix(key)
                .max_keys(i32::try_from(left.min(LISTED_MAX)).unwrap_or(i32::MAX))
                .set_continuation_token(after)
                .send()
                .await
                .map_err(|error| failed(prefix, &Failure::of(&error)))?;
            listed.extend(page.contents.unwrap_or_default().into_iter().filter_map(|found| {
                Some(ObjectInfo {
                    uri: format!("s3://{bucket}/{}", found.key?),
                    bytes: found.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
                    modified_at: found.last_modified.as_ref().map(instant).unwrap_or_default(),
                    // Events have it bare. https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
                    etag: found.e_tag.map(|tag| tag.trim_matches('"').to_owned()),
                })
            }));
            after = page.next_continuation_token;
            if after.is_none() {
                break;
            }
        }
        listed.truncate(limit as usize);
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_bucket_and_a_key() {
        let at = object("s3://lake/a b+c/ñ.csv").map(|place| (place.bucket, place.key));
        assert_eq!(at, Ok(("lake", "a b+c/ñ.csv")));
        for bad in ["", "s3://", "s3://lake", "s3://lake/", "s3:///x", "file:///x", "data/x.csv"] {
            assert_eq!(object(bad).map(|_| ()), Err(ObjectError::BadUri(bad.to_owned())), "{bad}");
        }
        assert!(place("s3://lake/").is_ok_and(|place| place.key.is_empty()), "a whole bucket can be listed");
    }

    #[test]
    fn failures_say_whether_time_mends_them() {
        let of = |code, status| failed("s3://b/k", &Failure::answered(Some(code), None, status));
        assert_eq!(of("SlowDown", 503), ObjectError::Throttled);
        assert_eq!(of("AccessDenied", 403), ObjectError::Denied("s3://b/k".into()));
        assert!(!of("NoSuchBucket", 404).retryable());
        assert!(of("InternalError", 500).retryable());
    }
}
