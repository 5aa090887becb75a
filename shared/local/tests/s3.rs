//! The S3 endpoint, as the clients that tasks use see it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use cauce_local::objects::FolderObjects;
use cauce_local::s3::Endpoint;
use cauce_ports::Objects;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    WriteMultipart,
};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

struct Lake {
    folder: tempfile::TempDir,
    endpoint: Endpoint,
}

impl Lake {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::new(folder.path());
        Self { folder, endpoint }
    }

    /// A client set up as a task sets one up: from its environment.
    fn client(&self) -> AmazonS3 {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name("lake")
            .with_copy_if_not_exists(S3CopyIfNotExists::Header("if-none-match".into(), "*".into()));
        for (name, value) in self.endpoint.variables().unwrap() {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        builder.build().unwrap()
    }
}

async fn keys(store: &AmazonS3, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    store.list(prefix.as_ref()).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

#[tokio::test]
async fn objects_are_put_read_listed_and_deleted() {
    let lake = Lake::new();
    let store = lake.client();
    for key in ["raw/b.csv", "raw/a b+c%20é.csv", "raw/2/x", "other"] {
        store.put(&Path::from(key), PutPayload::from_static(b"0123456789")).await.unwrap();
    }
    let path = Path::from("raw/a b+c%20é.csv");
    let whole = store.get(&path).await.unwrap();
    assert_eq!(whole.meta.size, 10);
    let etag = whole.meta.e_tag.clone();
    assert_eq!(whole.bytes().await.unwrap(), &b"0123456789"[..]);
    let ranges: [(GetRange, &[u8]); 4] = [
        (GetRange::Bounded(2..5), b"234"),
        (GetRange::Bounded(8..99), b"89"),
        (GetRange::Offset(7), b"789"),
        (GetRange::Suffix(3), b"789"),
    ];
    for (range, expected) in ranges {
        let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
        let part = store.get_opts(&path, options).await.unwrap();
        assert_eq!(part.bytes().await.unwrap(), expected, "{range:?}");
    }
    let unchanged = GetOptions { if_none_match: etag.clone(), ..GetOptions::default() };
    assert!(matches!(store.get_opts(&path, unchanged).await, Err(Error::NotModified { .. })));
    let head = store.head(&path).await.unwrap();
    assert_eq!((head.size, head.e_tag), (10, etag));
    assert!(matches!(store.head(&Path::from("raw")).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.get(&Path::from("none")).await, Err(Error::NotFound { .. })));

    assert_eq!(keys(&store, Some("raw")).await.len(), 3);
    let listed = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(listed.common_prefixes, [Path::from("raw")]);
    assert_eq!(listed.objects.len(), 1);

    // The engine reads what tasks write, and the other way round.
    let objects = FolderObjects::fast(lake.folder.path(), lake.folder.path());
    // object_store escapes % and what is not ASCII in its paths by itself.
    let uris: Vec<String> =
        objects.list("s3://lake/raw/", 10).await.unwrap().into_iter().map(|o| o.uri).collect();
    assert_eq!(uris, ["s3://lake/raw/2/x", "s3://lake/raw/a b+c%2520%C3%A9.csv", "s3://lake/raw/b.csv"]);
    objects.put("s3://lake/raw/engine", b"engine's").await.unwrap();
    let read = store.get(&Path::from("raw/engine")).await.unwrap().bytes().await.unwrap();
    assert_eq!(read, &b"engine's"[..]);

    store.delete(&path).await.unwrap();
    let rest = futures_util::stream::iter(["raw/b.csv", "raw/2/x", "other", "raw/engine", "never-was"])
        .map(|key| Ok(Path::from(key)))
        .boxed();
    store.delete_stream(rest).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(keys(&store, None).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_listing_of_many_pages_is_whole_and_in_order() {
    let lake = Lake::new();
    let objects = FolderObjects::fast(lake.folder.path(), lake.folder.path());
    let mut expected = BTreeSet::new();
    for number in 0..2_345 {
        let key = format!("t/part={}/{number:05}.parquet", number % 7);
        objects.put(&format!("s3://lake/{key}"), b"x").await.unwrap();
        expected.insert(key);
    }
    let store = lake.client();
    let expected: Vec<String> = expected.into_iter().collect();
    assert_eq!(keys(&store, None).await, expected);
    let after = Path::from("t/part=3/00010.parquet");
    let rest: Vec<String> = store
        .list_with_offset(None, &after)
        .map_ok(|meta| meta.location.to_string())
        .try_collect()
        .await
        .unwrap();
    let from = expected.iter().position(|key| key.as_str() > after.as_ref()).unwrap();
    assert_eq!(rest, expected[from..]);
}

#[tokio::test]
async fn of_many_writers_of_one_version_one_wins() {
    let lake = Lake::new();
    let store = lake.client();
    let log = Path::from("table/_delta_log/00000000000000000001.json");
    let commits = (0..16).map(|writer: u32| {
        let (store, log) = (&store, &log);
        async move {
            store
                .put_opts(log, PutPayload::from(writer.to_string().into_bytes()), PutMode::Create.into())
                .await
        }
    });
    let outcomes = futures_util::future::join_all(commits).await;
    let winners: Vec<usize> = (0..16).filter(|writer| outcomes[*writer].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    for outcome in outcomes {
        assert!(matches!(outcome, Ok(_) | Err(Error::AlreadyExists { .. })), "{outcome:?}");
    }
    let kept = store.get(&log).await.unwrap().bytes().await.unwrap();
    assert_eq!(kept, winners[0].to_string().as_bytes());
    let create = || CopyOptions { mode: CopyMode::Create, ..CopyOptions::default() };
    let copy = Path::from("table/copy");
    store.copy_opts(&log, &copy, create()).await.unwrap();
    let again = store.copy_opts(&log, &copy, create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    store.copy(&log, &copy).await.unwrap();
}

#[tokio::test]
async fn large_objects_come_in_parts() {
    let lake = Lake::new();
    let store = lake.client();
    let path = Path::from("large");
    let bytes: Vec<u8> =
        (0..12_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let mut upload = WriteMultipart::new(store.put_multipart(&path).await.unwrap());
    for chunk in bytes.chunks(1_000_003) {
        upload.write(chunk);
    }
    upload.finish().await.unwrap();
    let read = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert!(read == bytes, "{} bytes of {}", read.len(), bytes.len());
    let mut given_up = store.put_multipart(&Path::from("given-up")).await.unwrap();
    given_up.put_part(PutPayload::from_static(b"part")).await.unwrap();
    given_up.abort().await.unwrap();
    assert_eq!(keys(&store, None).await, ["large"]);
    let staged: Vec<_> = lake.folder.path().join(".staging").read_dir().unwrap().collect();
    assert!(staged.is_empty(), "{staged:?}");
}

#[tokio::test]
async fn without_the_keys_there_is_no_access_and_no_real_lake() {
    let lake = Lake::new();
    lake.client().put(&Path::from("x"), PutPayload::from_static(b"x")).await.unwrap();
    let variables = lake.endpoint.variables().unwrap();
    let url = &variables["AWS_ENDPOINT_URL"];
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let stranger = AmazonS3Builder::new()
        .with_bucket_name("lake")
        .with_endpoint(url)
        .with_allow_http(true)
        .with_access_key_id(&variables["AWS_ACCESS_KEY_ID"])
        .with_secret_access_key("wrong")
        .build()
        .unwrap();
    assert!(stranger.get(&Path::from("x")).await.is_err());
    let anonymous = AmazonS3Builder::new()
        .with_bucket_name("lake")
        .with_endpoint(url)
        .with_allow_http(true)
        .with_skip_signature(true)
        .build()
        .unwrap();
    assert!(anonymous.get(&Path::from("x")).await.is_err());
    let address = url.trim_start_matches("http://").to_owned();
    drop(lake);
    assert!(std::net::TcpStream::connect(address).is_err(), "it ends with its owner");
}

/// What Python's client does by default: streamed checksums, encoded listings, parts, copies.
const BOTO3: &str = r#"
import io, boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
s3 = boto3.client("s3")
s3.create_bucket(Bucket="lake")
key = "raw/a b+c%20d&<é>.csv"
s3.put_object(Bucket="lake", Key=key, Body=b"0123456789")
assert s3.get_object(Bucket="lake", Key=key)["Body"].read() == b"0123456789"
assert s3.get_object(Bucket="lake", Key=key, Range="bytes=2-4")["Body"].read() == b"234"
assert s3.head_object(Bucket="lake", Key=key)["ContentLength"] == 10
assert [o["Key"] for o in s3.list_objects_v2(Bucket="lake", Prefix="raw/")["Contents"]] == [key]
assert [p["Prefix"] for p in s3.list_objects_v2(Bucket="lake", Delimiter="/")["CommonPrefixes"]] == ["raw/"]
try:
    s3.put_object(Bucket="lake", Key=key, Body=b"x", IfNoneMatch="*")
    raise SystemExit("If-None-Match was ignored")
except ClientError as error:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 412, error
big = bytes(range(256)) * 50_000
config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
s3.upload_fileobj(io.BytesIO(big), "lake", "big", Config=config)
s3.copy({"Bucket": "lake", "Key": "big"}, "lake", "big copy", Config=config)
out = io.BytesIO()
s3.download_fileobj("lake", "big copy", out)
assert out.getvalue() == big
s3.put_object(Bucket="lake", Key="page/", Body=b"")
for n in range(5):
    s3.put_object(Bucket="lake", Key=f"page/{n}", Body=b"x")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix="page/", PaginationConfig={"PageSize": 2})
assert [o["Key"] for page in pages for o in page["Contents"]] == ["page/"] + [f"page/{n}" for n in range(5)]
done = s3.delete_objects(Bucket="lake", Delete={"Objects": [{"Key": f"page/{n}"} for n in range(5)]})
assert len(done["Deleted"]) == 5
try:
    s3.get_object(Bucket="lake", Key="page/0")
    raise SystemExit("deleted and still there")
except s3.exceptions.NoSuchKey:
    pass
print("boto3 is content")
"#;

#[test]
fn boto3_is_served() {
    let python = "python3";
    let has_boto3 = Command::new(python)
        .args(["-c", "import boto3"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_boto3 {
        println!("skipped: needs python3 with boto3");
        return;
    }
    let lake = Lake::new();
    let mut child = Command::new(python)
        .arg("-")
        .envs(lake.endpoint.variables().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(BOTO3.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "boto3 is content");
}
