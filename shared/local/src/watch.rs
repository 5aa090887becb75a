//! Objects that arrive in folders: told by the system, and found by looking.
//!
//! When is a file complete? On Linux the system tells: whoever wrote it has closed it, or it was renamed into
//! its place, or it got a further name. Elsewhere, and for files that are found by looking, nobody tells: a file
//! counts once it has stood unchanged for [`SETTLED_SECONDS`]. Objects that come through the S3 endpoint are
//! written aside and renamed, so they are complete at once.
//!
//! The system forgets when too much happens: then everything is looked at. It is safe to tell of an arrival any
//! number of times.

use crate::objects::FolderObjects;
use cauce_model::event::Object;
use cauce_model::{Instant, time::MICROS};
use cauce_ports::Clock;
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long a file stands unchanged before it counts as complete where nobody tells that it is.
pub const SETTLED_SECONDS: u64 = 2;

/// Most arrivals that are handed on at once.
const BATCH: usize = 1000;

/// What the system, or somebody else, says.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    /// A file is complete.
    Complete(PathBuf),
    /// A file may be complete.
    Touched(PathBuf),
    /// A folder came, with whatever is in it.
    Folder(PathBuf),
    /// A bucket is to be looked through.
    Bucket(String),
    /// Something was not told.
    Lost,
}

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The system does not watch.
    #[error("the folder {} could not be watched", .path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: notify::Error,
    },
    /// The bucket's folder could not be made.
    #[error("the folder of the bucket {bucket} could not be made")]
    Folder {
        /// The bucket.
        bucket: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Buckets that are watched, and what arrives in them.
pub struct Arrivals<C> {
    objects: FolderObjects,
    clock: C,
    watcher: RefCell<RecommendedWatcher>,
    watched: RefCell<BTreeMap<String, PathBuf>>,
    seen: RefCell<UnboundedReceiver<Seen>>,
    say: UnboundedSender<Seen>,
    /// Files that have not stood long enough, and since when each stands as it is.
    young: RefCell<BTreeMap<(String, String), Instant>>,
    troubles: RefCell<Vec<WatchError>>,
}

impl<C: Clock> Arrivals<C> {
    /// Nothing is watched yet.
    ///
    /// # Errors
    /// A system that gives no watcher.
    pub fn new(objects: FolderObjects, clock: C) -> Result<Self, WatchError> {
        let (say, seen) = unbounded_channel();
        let from_system = say.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            for seen in translate(event) {
                // Nobody listens any more when the service has ended.
                let _ = from_system.send(seen);
            }
        });
        let watcher = watcher.map_err(|source| WatchError::Watch { path: PathBuf::new(), source })?;
        Ok(Self {
            objects,
            clock,
            watcher: RefCell::new(watcher),
            watched: RefCell::default(),
            seen: RefCell::new(seen),
            say,
            young: RefCell::default(),
            troubles: RefCell::default(),
        })
    }

    /// From now on these buckets are watched and no others. What is in a new one already is looked at too.
    ///
    /// # Errors
    /// Those that cannot be watched; the others are.
    pub fn watch(&self, buckets: &BTreeSet<String>) -> Vec<WatchError> {
        let mut watched = self.watched.borrow_mut();
        let mut watcher = self.watcher.borrow_mut();
        let gone: Vec<String> = watched.keys().filter(|bucket| !buckets.contains(*bucket)).cloned().collect();
        for bucket in gone {
            if let Some(path) = watched.remove(&bucket) {
                // A folder that is gone is not watched any more anyway.
                let _ = watcher.unwatch(&path);
            }
        }
        let mut errors = Vec::new();
        for bucket in buckets {
            if watched.contains_key(bucket) {
                continue;
            }
            let path = match self.objects.bucket(bucket) {
                Ok(Some(path)) => path,
                Ok(None) => continue,
                Err(source) => {
                    errors.push(WatchError::Folder { bucket: bucket.clone(), source });
                    continue;
                }
            };
            match watcher.watch(&path, RecursiveMode::Recursive) {
                Ok(()) => drop(watched.insert(bucket.clone(), path)),
                Err(source) => errors.push(WatchError::Watch { path, source }),
            }
            // Watched first, then looked at: what comes between is seen twice, not missed.
            let _ = self.say.send(Seen::Bucket(bucket.clone()));
        }
        errors
    }

    /// What has arrived since it was last asked, as it stands now; waits for the first.
    pub async fn next(&self) -> Vec<Object> {
        loop {
            let mut heard = Vec::new();
            match self.grown_at() {
                None => heard.extend(self.hear().await),
                Some(at) => tokio::select! {
                    biased;
                    seen = self.hear() => heard.extend(seen),
                    () = self.until(at) => {}
                },
            }
            {
                let mut seen = self.seen.borrow_mut();
                while heard.len() < BATCH
                    && let Ok(next) = seen.try_recv()
                {
                    heard.push(next);
                }
            }
            let mut found: BTreeMap<(String, String), Object> = BTreeMap::new();
            for seen in heard {
                self.take(seen, &mut found);
            }
            for key in self.grown() {
                self.look(key, false, &mut found);
            }
            if !found.is_empty() {
                return found.into_values().collect();
            }
        }
    }

    async fn hear(&self) -> Option<Seen> {
        poll_fn(|cx| self.seen.borrow_mut().poll_recv(cx)).await
    }

    async fn until(&self, at: Instant) {
        let left = at.micros_since(self.clock.now()).max(0).unsigned_abs();
        #[expect(
            clippy::disallowed_methods,
            reason = "files are looked at again after a while of real time"
        )]
        tokio::time::sleep(std::time::Duration::from_micros(left)).await;
    }

    fn take(&self, seen: Seen, found: &mut BTreeMap<(String, String), Object>) {
        match seen {
            Seen::Complete(path) => {
                if let Some(key) = self.objects.key_of(&path) {
                    self.young.borrow_mut().remove(&key);
                    self.look(key, true, found);
                }
            }
            Seen::Touched(path) => {
                if let Some(key) = self.objects.key_of(&path) {
                    self.look(key, false, found);
                }
            }
            Seen::Folder(path) => {
                if let Some((bucket, prefix)) = self.objects.key_of(&path) {
                    self.watch_folder(&path);
                    self.look_through(&bucket, &format!("{prefix}/"), found);
                }
            }
            Seen::Bucket(bucket) => self.look_through(&bucket, "", found),
            Seen::Lost => {
                let buckets: Vec<String> = self.watched.borrow().keys().cloned().collect();
                for bucket in buckets {
                    self.look_through(&bucket, "", found);
                }
            }
        }
    }

    /// Returns once a folder that has just come is watched. The system tells of a folder before it watches it,
    /// and not of what was put in between: looking must come after watching.
    fn watch_folder(&self, path: &Path) {
        if !cfg!(target_os = "linux") {
            return;
        }
        match self.watcher.borrow_mut().watch(path, RecursiveMode::Recursive) {
            // One that is gone again holds nothing.
            Err(source) if path.exists() => {
                self.troubles.borrow_mut().push(WatchError::Watch { path: path.to_owned(), source });
            }
            _ => {}
        }
    }

    /// Folders that came and could not be watched, since it was last asked.
    pub fn troubles(&self) -> Vec<WatchError> {
        self.troubles.take()
    }

    /// Looks at everything below a prefix. A folder that cannot be read holds nothing for us; it is looked at
    /// again when the system says something of it.
    fn look_through(&self, bucket: &str, prefix: &str, found: &mut BTreeMap<(String, String), Object>) {
        for object in self.objects.arrivals(bucket, prefix).unwrap_or_default() {
            self.judge((bucket.to_owned(), object.key.clone()), object, false, found);
        }
    }

    fn look(&self, key: (String, String), complete: bool, found: &mut BTreeMap<(String, String), Object>) {
        // One that is gone again, or cannot be read, has not arrived.
        if let Ok(Some(object)) = self.objects.arrival(&key.0, &key.1) {
            self.judge(key, object, complete, found);
        }
    }

    fn judge(
        &self,
        key: (String, String),
        object: Object,
        complete: bool,
        found: &mut BTreeMap<(String, String), Object>,
    ) {
        if complete || object.at.plus_seconds(SETTLED_SECONDS) <= self.clock.now() {
            found.insert(key, object);
        } else {
            self.young.borrow_mut().insert(key, object.at);
        }
    }

    /// When the first of the young files is to be looked at again.
    fn grown_at(&self) -> Option<Instant> {
        let oldest = self.young.borrow().values().min().copied()?;
        Some(oldest.plus_micros(SETTLED_SECONDS as i64 * MICROS))
    }

    fn grown(&self) -> Vec<(String, String)> {
        let now = self.clock.now();
        let mut young = self.young.borrow_mut();
        let grown = young.iter().filter(|(_, at)| at.plus_seconds(SETTLED_SECONDS) <= now);
        let grown: Vec<(String, String)> = grown.map(|(key, _)| key.clone()).collect();
        young.retain(|key, _| !grown.contains(key));
        grown
    }
}

/// What an event of the system means.
fn translate(event: notify::Result<Event>) -> Vec<Seen> {
    let Ok(event) = event else { return vec![Seen::Lost] };
    if event.need_rescan() {
        return vec![Seen::Lost];
    }
    let each = |kind: fn(PathBuf) -> Seen| event.paths.iter().cloned().map(kind).collect();
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => each(Seen::Complete),
        EventKind::Create(CreateKind::Folder) => each(Seen::Folder),
        EventKind::Modify(ModifyKind::Name(_)) => event.paths.iter().filter_map(|path| moved(path)).collect(),
        // The system tells of a further name as of a new file that nobody closes.
        EventKind::Create(_) if cfg!(target_os = "linux") => {
            event.paths.iter().filter(|path| has_names(path)).cloned().map(Seen::Complete).collect()
        }
        EventKind::Create(_) | EventKind::Modify(_) if !cfg!(target_os = "linux") => each(Seen::Touched),
        _ => Vec::new(),
    }
}

/// What came to a place by its renaming; `None` for the place that it left.
fn moved(path: &Path) -> Option<Seen> {
    let metadata = path.symlink_metadata().ok()?;
    Some(match metadata.is_dir() {
        true => Seen::Folder(path.to_owned()),
        false => Seen::Complete(path.to_owned()),
    })
}

fn has_names(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) > 1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;

    /// A clock by which every file has stood long enough.
    struct Later;

    impl Clock for Later {
        fn now(&self) -> Instant {
            Instant::from_micros(i64::MAX / 2)
        }
    }

    /// What the system does between telling of a folder and watching it lasts here for ever: it watches the
    /// bucket's own folder and none below.
    #[tokio::test]
    async fn what_is_put_into_a_folder_before_the_system_watches_it_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let arrivals = Arrivals::new(FolderObjects::fast(dir.path(), dir.path()), Later).unwrap();
        let bucket = arrivals.objects.bucket("drop").unwrap().unwrap();
        arrivals.watcher.borrow_mut().watch(&bucket, RecursiveMode::NonRecursive).unwrap();
        // The system tells in order: once the end of a part is seen, nothing of it is still to come.
        let until = async |end: &str| {
            fs::write(bucket.join(end), "x").unwrap();
            let mut seen = BTreeSet::new();
            while !seen.contains(end) {
                seen.extend(arrivals.next().await.into_iter().map(|object| object.key));
            }
            seen
        };
        fs::create_dir_all(bucket.join("prices/day")).unwrap();
        assert_eq!(until("1").await, BTreeSet::from(["1".to_owned()]));
        fs::write(bucket.join("prices/day/a.csv"), "x").unwrap();
        assert!(until("2").await.contains("prices/day/a.csv"));
        fs::create_dir(bucket.join("prices/next")).unwrap();
        until("3").await;
        fs::write(bucket.join("prices/next/b.csv"), "x").unwrap();
        assert!(until("4").await.contains("prices/next/b.csv"));
        assert!(arrivals.troubles().is_empty());
    }
}
