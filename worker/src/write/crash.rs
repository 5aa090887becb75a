//! Writes cut off at every instant: a store that stops working after so many changes, and what readers then see.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, once};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use crate::config::{Format, Located, MemoryMib, Output};
use crate::failure::Result;
use crate::rows::inputs::register;
use crate::rows::rejects::Rejects;
use crate::session::Session;
use crate::storage::Storage;
use crate::write::{self, Written};

/// A store that performs so many changes and then refuses every request, as after a crash.
#[derive(Debug)]
struct Failing {
    inner: Arc<InMemory>,
    left: AtomicUsize,
}

impl fmt::Display for Failing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a failing store")
    }
}

fn refused() -> Error {
    Error::Generic { store: "failing", source: "crashed".into() }
}

impl Failing {
    fn new(inner: Arc<InMemory>, left: usize) -> Arc<Self> {
        Arc::new(Self { inner, left: AtomicUsize::new(left) })
    }

    /// Takes one change from what is left.
    fn change(&self) -> StoreResult<()> {
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        taken.map(drop).map_err(|_| refused())
    }

    fn read(&self) -> StoreResult<()> {
        if self.left.load(Ordering::SeqCst) == 0 { Err(refused()) } else { Ok(()) }
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.change()?;
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.change()?;
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.read()?;
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        of: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        match self.change() {
            Ok(()) => self.inner.delete_stream(of),
            Err(error) => once(std::future::ready(Err(error))).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        match self.read() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => once(std::future::ready(Err(error))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.read()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.change()?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// A session whose bucket `b` is `store`. `writer` stands for the run.
fn session(store: Arc<dyn ObjectStore>, writer: &str) -> Session {
    Session::new(Arc::new(Storage::with_store("b", store)), MemoryMib::default(), writer.to_owned()).unwrap()
}

fn output(format: Format) -> Output {
    let json = match format {
        Format::Delta => serde_json::json!({
            "uri": "s3://b/t", "format": "delta", "partition_by": ["p"], "mode": "overwrite_partitions",
            "replace": {"day": "1997-01-01"},
        }),
        _ => serde_json::json!({
            "uri": "s3://b/t/", "partition_by": ["p"], "mode": "overwrite_partitions",
        }),
    };
    serde_json::from_value::<Located<Output>>(json).unwrap().0
}

/// Replaces the day with two rows whose amount is `amount`, in partitions a and b.
async fn write(store: Arc<dyn ObjectStore>, format: Format, amount: i64) -> Result<Written> {
    let session = session(store, &format!("run{amount}"));
    let query = format!(
        "SELECT '1997-01-01' AS day, 'a' AS p, {amount} AS amount UNION ALL SELECT '1997-01-01', 'b', {amount}"
    );
    let frame = session.context.sql(&query).await.unwrap();
    write::write(&session, frame, &output(format)).await
}

/// The amounts a reader sees.
async fn amounts(store: Arc<dyn ObjectStore>, format: Format) -> Vec<i64> {
    let session = session(store, "reader");
    let rejects = Rejects::new(&session.storage, None, None).unwrap();
    let uri = output(format).uri;
    let name = if format == Format::Delta { "delta" } else { "parquet" };
    let input = serde_json::json!({"uri": uri, "format": name});
    let input: Located<crate::config::Input> = serde_json::from_value(input).unwrap();
    register(&session, "t", &input, &rejects).await.unwrap();
    let found =
        session.context.sql("SELECT amount FROM t ORDER BY amount").await.unwrap().collect().await.unwrap();
    let columns =
        found.iter().map(|batch| datafusion::common::cast::as_int64_array(batch.column(0)).unwrap());
    columns.flat_map(|column| column.values().to_vec()).collect()
}

/// Cuts the second write off after every number of changes and returns what a reader saw after each.
async fn cut_off_everywhere(format: Format) -> Vec<Vec<i64>> {
    let mut seen = Vec::new();
    for changes in 0.. {
        let inner = Arc::new(InMemory::new());
        write(inner.clone(), format, 1).await.unwrap();
        let failing = Failing::new(inner.clone(), changes);
        let outcome = write(failing.clone(), format, 2).await;
        let read = amounts(inner.clone(), format).await;
        assert!(
            read == [1, 1] || read == [2, 2],
            "half a write is visible after {changes} changes: {read:?}"
        );
        if outcome.is_ok() {
            assert_eq!(read, [2, 2], "a write that succeeded is visible, {changes} changes");
        }
        seen.push(read);
        // Whatever was left behind, the next run puts its state there and nothing else.
        write(inner.clone(), format, 3).await.unwrap();
        assert_eq!(amounts(inner, format).await, [3, 3], "after a crash at {changes} changes");
        if outcome.is_ok() {
            return seen;
        }
    }
    unreachable!("the changes of one write are finite")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_write_cut_off_anywhere_leaves_the_old_version_or_the_new_one() {
    let seen = cut_off_everywhere(Format::Delta).await;
    // Data files are written before the commit: a crash in between is the case that matters, and it shows the old rows.
    let commit = seen.iter().position(|read| read == &[2, 2]).unwrap();
    assert!(commit >= 3, "two data files come before the commit: {seen:?}");
    assert!(seen[commit..].iter().all(|read| read == &[2, 2]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_write_cut_off_anywhere_shows_one_whole_state() {
    let seen = cut_off_everywhere(Format::Parquet).await;
    let commit =
        seen.iter().position(|read| read == &[2, 2]).unwrap_or_else(|| panic!("never committed: {seen:?}"));
    // Two staged files and the commit document; after it copies, deletions and the document's own removal follow.
    assert_eq!(commit, 3, "{seen:?}");
    assert!(seen.len() > commit + 4, "{seen:?}");
    assert!(seen[commit..].iter().all(|read| read == &[2, 2]), "{seen:?}");
}

#[tokio::test]
async fn a_relative_location_is_below_the_working_folder() {
    let storage = Storage::new(PathBuf::from("/srv/project"));
    for (text, shown) in [
        ("a/b.csv", "file:///srv/project/a/b.csv"),
        ("../ventas/x", "file:///srv/ventas/x"),
        ("./a/", "file:///srv/project/a/"),
        ("file:///srv/x", "file:///srv/x"),
        ("s3://bucket/k/*.csv", "s3://bucket/k/*.csv"),
    ] {
        assert_eq!(storage.locate(text).unwrap().to_string(), shown);
    }
    for wrong in ["", "s3://", "s3:///k", "s3://a b/k", "http://x/y", "file://x/y"] {
        assert!(storage.locate(wrong).is_err(), "{wrong}");
    }
}
