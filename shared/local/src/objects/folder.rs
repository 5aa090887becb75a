//! Buckets in a folder: how a key becomes a path and back, and how objects come and go.
//!
//! ```text
//! <root>/<bucket>/<key>      the key's parts are folders; odd parts are escaped, see below
//! <root>/.staging/           objects that are being written, uploads in parts
//! ```
//! Invariants:
//! - A key and its path determine each other: no two keys share a file, no key leaves its bucket.
//! - An object appears, is replaced and goes at once: it is written aside and renamed.
//! - Of several writers that each want to be the first (`IfNew`), one is. Delta tables rely on it.
//!
//! Escapes: in a part, `%` and control characters become `%` and two hex digits; so does the first
//! dot of a part that begins with one. An empty part, as in `a//b` or `a/`, is a lone `%`.
//!
//! What S3 has and a folder has not: an object `a` beside objects below `a/`, parts longer than 255
//! bytes, and on some systems keys that differ only in case. The first two are errors.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::NamedTempFile;

/// Longest key. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
const KEY_MAX: usize = 1024;

/// Longest name of a file, on every common file system.
const PART_MAX: usize = 255;

/// How often a folder that vanished under an object being put is made again: somebody removed the
/// last object in it at the same moment.
const ATTEMPTS: usize = 100;

/// A folder of buckets.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Whether objects are on the disk, not only in the system's memory, before a put returns.
    durable: bool,
}

/// What a put expects to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expect {
    /// Anything.
    Any,
    /// Nothing: else [`io::ErrorKind::AlreadyExists`].
    New,
}

/// An object found by a walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
    /// When the system last changed its entry, in microseconds since 1970.
    pub(crate) changed_micros: i64,
    pub(crate) etag: String,
}

/// What a walk meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Met {
    Object(Found),
    /// The beginning that keys have in common up to a delimiter.
    Common(String),
}

impl Folder {
    pub(crate) const fn new(root: PathBuf, durable: bool) -> Self {
        Self { root, durable }
    }

    /// The file of an object; `None` for what is no bucket or no key here.
    pub(crate) fn path(&self, bucket: &str, key: &str) -> Option<PathBuf> {
        if !is_bucket(bucket) || key.is_empty() || key.len() > KEY_MAX {
            return None;
        }
        let mut path = self.root.join(bucket);
        for part in key.split('/') {
            let part = escape(part);
            if part.len() > PART_MAX {
                return None;
            }
            path.push(part);
        }
        Some(path)
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The bucket and key of a file; `None` for one that is no object.
    pub(crate) fn key_of(&self, path: &Path) -> Option<(String, String)> {
        let mut parts = path.strip_prefix(&self.root).ok()?.iter().map(|part| part.to_str());
        let bucket = parts.next()??;
        let key: Option<Vec<String>> = parts.map(|part| unescape(part?)).collect();
        let key = key?.join("/");
        (is_bucket(bucket) && !key.is_empty()).then(|| (bucket.to_owned(), key))
    }

    /// Opens an object for reading; `None` when there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Option<(File, Found)>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = found(String::new(), &file.metadata()?)?;
        // A folder can be opened as well.
        Ok(found.map(|found| (file, found)))
    }

    /// A file in which an object can be written aside.
    pub(crate) fn stage(&self) -> io::Result<NamedTempFile> {
        let staging = self.staging();
        fs::create_dir_all(&staging)?;
        tempfile::Builder::new().prefix("put-").tempfile_in(staging)
    }

    /// Where objects are written aside.
    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join(".staging")
    }

    /// Makes a staged file the object.
    pub(crate) fn publish(&self, mut staged: NamedTempFile, path: &Path, expect: Expect) -> io::Result<()> {
        if self.durable {
            staged.as_file().sync_data()?;
        }
        let parent = path.parent().unwrap_or(&self.root);
        for _ in 0..ATTEMPTS {
            let made = self.make_folder(parent)?;
            let persisted = match expect {
                Expect::Any => staged.persist(path),
                Expect::New => staged.persist_noclobber(path),
            };
            match persisted {
                Ok(_) => {
                    if self.durable {
                        self.sync_upwards(parent, &made)?;
                    }
                    return Ok(());
                }
                Err(error) if error.error.kind() == io::ErrorKind::NotFound => {
                    staged = error.file;
                }
                Err(error) => return Err(error.error),
            }
        }
        Err(io::Error::other("its folder is removed again and again"))
    }

    /// Writes an object.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8], expect: Expect) -> io::Result<()> {
        let mut staged = self.stage()?;
        staged.write_all(bytes)?;
        self.publish(staged, path, expect)
    }

    /// Makes a folder and says where it began to be made.
    fn make_folder(&self, folder: &Path) -> io::Result<PathBuf> {
        let mut above = folder;
        while !above.is_dir() {
            match above.parent() {
                Some(parent) if above != self.root => above = parent,
                _ => break,
            }
        }
        fs::create_dir_all(folder).map_err(|error| match error.kind() {
            // What is in the way is an object.
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        })?;
        Ok(above.to_owned())
    }

    /// Makes the names durable from a folder up to one that was there before.
    fn sync_upwards(&self, from: &Path, to: &Path) -> io::Result<()> {
        for folder in from.ancestors() {
            crate::state::sync_dir(folder)?;
            if folder == to {
                break;
            }
        }
        Ok(())
    }

    /// Removes an object, and the folders that are empty without it. Removing none is fine.
    pub(crate) fn delete(&self, bucket: &str, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::IsADirectory => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let bucket = self.root.join(bucket);
        for folder in path.ancestors().skip(1) {
            // Only an empty folder can be removed, and only those below the bucket are ours to.
            if !folder.starts_with(&bucket) || folder == bucket || fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The names of the buckets, in order.
    pub(crate) fn buckets(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = read_dir(&self.root)?
            .into_iter()
            .filter(|(name, is_folder)| *is_folder && is_bucket(name))
            .map(|(name, _)| name)
            .collect();
        names.sort();
        Ok(names)
    }

    /// Makes a bucket; buckets are also made by the first object in them.
    pub(crate) fn make_bucket(&self, bucket: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(bucket))
    }

    /// Walks the keys of a bucket that begin with `prefix` and come after `after`, in the order of
    /// their bytes, until `visit` says stop (`false`). With a delimiter (`/`), what lies below one
    /// is met as one.
    pub(crate) fn walk(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        delimited: bool,
        visit: &mut dyn FnMut(Met) -> bool,
    ) -> io::Result<()> {
        if !is_bucket(bucket) {
            return Ok(());
        }
        let walk = Walk { prefix, after, delimited };
        walk.folder(&self.root.join(bucket), "", visit).map(drop)
    }
}

struct Walk<'a> {
    prefix: &'a str,
    after: &'a str,
    delimited: bool,
}

impl Walk<'_> {
    /// Walks one folder, whose keys begin with `above`. Returns whether to go on.
    fn folder(&self, folder: &Path, above: &str, visit: &mut dyn FnMut(Met) -> bool) -> io::Result<bool> {
        // A folder sorts where its keys do: by its name and the slash behind it.
        let mut entries: Vec<(String, PathBuf, bool)> = read_dir(folder)?
            .into_iter()
            .filter_map(|(name, is_folder)| {
                let slash = if is_folder { "/" } else { "" };
                let key = format!("{above}{}{slash}", unescape(&name)?);
                Some((key, folder.join(name), is_folder))
            })
            .collect();
        entries.sort();
        for (key, path, is_folder) in entries {
            let go_on =
                if is_folder { self.enter(&key, &path, visit)? } else { self.object(key, &path, visit)? };
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn enter(&self, key: &str, path: &Path, visit: &mut dyn FnMut(Met) -> bool) -> io::Result<bool> {
        let within = key.starts_with(self.prefix);
        if !within && !self.prefix.starts_with(key) {
            return Ok(true);
        }
        // All keys below begin with `key`: they all come before `after`, unless it begins so too.
        if key <= self.after && !self.after.starts_with(key) {
            return Ok(true);
        }
        if !(self.delimited && within && key.len() > self.prefix.len()) {
            return self.folder(path, key, visit);
        }
        if key <= self.after {
            // Met before.
            return Ok(true);
        }
        // Folders without an object in them are no part of any key.
        let mut inhabited = false;
        let any = Walk { prefix: "", after: "", delimited: false };
        any.folder(path, key, &mut |_| {
            inhabited = true;
            false
        })?;
        Ok(!inhabited || visit(Met::Common(key.to_owned())))
    }

    fn object(&self, key: String, path: &Path, visit: &mut dyn FnMut(Met) -> bool) -> io::Result<bool> {
        if !key.starts_with(self.prefix) || key.as_str() <= self.after {
            return Ok(true);
        }
        match path.metadata() {
            Ok(metadata) => match found(key, &metadata)? {
                Some(found) => Ok(visit(Met::Object(found))),
                None => Ok(true),
            },
            // Removed meanwhile.
            Err(error) if is_absent(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// The entries of a folder and whether each is one itself; none when there is no such folder.
fn read_dir(folder: &Path) -> io::Result<Vec<(String, bool)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        // No key has a name that is not UTF-8.
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.file_type()?.is_dir()));
        }
    }
    Ok(found)
}

fn found(key: String, metadata: &fs::Metadata) -> io::Result<Option<Found>> {
    if !metadata.is_file() {
        return Ok(None);
    }
    let modified = metadata.modified()?;
    let nanos = modified.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    // Every put makes a new file, so its number, time and size change with every new content.
    let inode = metadata.ino();
    Ok(Some(Found {
        key,
        bytes: metadata.len(),
        modified,
        changed_micros: metadata.ctime() * 1_000_000 + metadata.ctime_nsec() / 1000,
        etag: format!("{inode:x}-{nanos:x}-{:x}", metadata.len()),
    }))
}

/// Whether the error says that there is no such object: a part of its path may be another object.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether a text names a bucket.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
pub(crate) fn is_bucket(text: &str) -> bool {
    (3..=63).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
}

fn escape(part: &str) -> String {
    if part.is_empty() {
        return "%".to_owned();
    }
    let mut escaped = String::with_capacity(part.len());
    for (at, character) in part.char_indices() {
        if character == '%' || character.is_ascii_control() || (at == 0 && character == '.') {
            escaped.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The part that a name stands for; `None` for a name that no key has.
fn unescape(name: &str) -> Option<String> {
    if name == "%" {
        return Some(String::new());
    }
    let mut pieces = name.split('%');
    let mut part = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = u8::from_str_radix(piece.get(..2)?, 16).ok()?;
        part.push(char::from(code));
        part.push_str(&piece[2..]);
    }
    (escape(&part) == name).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 21] = [
        "a b+c/d%20e.csv",
        "%",
        "%25",
        "a//b",
        "a//",
        "/a",
        "//",
        "...",
        "../x",
        "x/../y",
        "x/./y",
        ".hidden",
        ".staging/x",
        "tab\there",
        "nul\0here",
        "ñandú/\u{1F980}",
        "e\u{301}",
        "é",
        "back\\slash",
        "CON",
        "q/year=1997/month=01/part-0.parquet",
    ];

    fn folder() -> (tempfile::TempDir, Folder) {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::new(temp.path().join("objects"), false);
        (temp, folder)
    }

    fn keys(folder: &Folder, prefix: &str, after: &str, delimited: bool) -> Vec<String> {
        let mut keys = Vec::new();
        folder
            .walk("lake", prefix, after, delimited, &mut |met| {
                keys.push(match met {
                    Met::Object(found) => found.key,
                    Met::Common(prefix) => format!("{prefix}*"),
                });
                true
            })
            .unwrap();
        keys
    }

    #[test]
    fn every_key_has_a_file_of_its_own_inside_its_bucket() {
        let (_temp, folder) = folder();
        for key in KEYS {
            let path = folder.path("lake", key).unwrap();
            assert!(path.starts_with(folder.root.join("lake")), "{key}");
            assert!(path.components().all(|part| !matches!(part, std::path::Component::ParentDir)), "{key}");
            folder.put(&path, key.as_bytes(), Expect::New).unwrap();
        }
        for key in KEYS {
            let path = folder.path("lake", key).unwrap();
            assert_eq!(folder.key_of(&path), Some(("lake".to_owned(), key.to_owned())));
            assert_eq!(fs::read(path).unwrap(), key.as_bytes(), "{key}");
        }
        let mut expected: Vec<String> = KEYS.iter().map(|key| (*key).to_owned()).collect();
        expected.sort();
        assert_eq!(keys(&folder, "", "", false), expected);
    }

    #[test]
    fn an_object_has_none_below_it() {
        let (_temp, folder) = folder();
        let put = |key: &str| {
            let path = folder.path("lake", key).unwrap();
            folder.put(&path, b"x", Expect::Any).map_err(|error| error.kind())
        };
        put("a/b").unwrap();
        assert_eq!(put("a/b/c"), Err(io::ErrorKind::NotADirectory));
        assert_eq!(put("a"), Err(io::ErrorKind::IsADirectory));
        assert_eq!(keys(&folder, "", "", false), ["a/b"]);
        let below = folder.path("lake", "a/b/c").unwrap();
        assert!(Folder::open(&below).unwrap().is_none());
        folder.delete("lake", &below).unwrap();
    }

    #[test]
    fn what_is_no_key_has_no_path() {
        let (_temp, folder) = folder();
        let long = "x".repeat(256);
        for (bucket, key) in [
            ("lake", ""),
            ("lake", long.as_str()),
            ("lake", "x/".repeat(513).as_str()),
            ("..", "x"),
            (".staging", "x"),
            ("a/b", "x"),
            ("Lake", "x"),
            ("ab", "x"),
        ] {
            assert_eq!(folder.path(bucket, key), None, "{bucket} {key}");
        }
    }

    #[test]
    fn a_walk_is_in_the_order_of_keys_and_goes_on_from_any() {
        let (_temp, folder) = folder();
        let mut all = ["a", "b.c", "b/c", "b/d/e", "b/d/f", "b0", "c/x", "d"];
        for key in all {
            let path = folder.path("lake", key).unwrap();
            folder.put(&path, b"", Expect::Any).unwrap();
        }
        all.sort_unstable();
        assert_eq!(keys(&folder, "", "", false), all);
        for after in ["a", "b", "b/", "b/c", "b/d", "b/d/", "b/d/e", "b/d/zzz", "b0", "zz"] {
            let expected: Vec<&str> = all.iter().copied().filter(|key| *key > after).collect();
            assert_eq!(keys(&folder, "", after, false), expected, "after {after}");
        }
        for prefix in ["b", "b/", "b/d", "b/d/", "b/d/e", "x", "b."] {
            let expected: Vec<&str> = all.iter().copied().filter(|key| key.starts_with(prefix)).collect();
            assert_eq!(keys(&folder, prefix, "", false), expected, "{prefix}");
        }
        assert_eq!(keys(&folder, "", "", true), ["a", "b.c", "b/*", "b0", "c/*", "d"]);
        assert_eq!(keys(&folder, "b/", "", true), ["b/c", "b/d/*"]);
        assert_eq!(keys(&folder, "b", "", true), ["b.c", "b/*", "b0"]);
        assert_eq!(keys(&folder, "", "b/", true), ["b0", "c/*", "d"]);
    }

    #[test]
    fn of_many_first_writers_one_is_first() {
        let (_temp, folder) = folder();
        let path = folder.path("lake", "_delta_log/0.json").unwrap();
        let first = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|n| {
                    let (folder, path) = (&folder, &path);
                    scope.spawn(move || folder.put(path, &[n], Expect::New))
                })
                .collect();
            let outcomes: Vec<io::Result<()>> = writers.into_iter().map(|w| w.join().unwrap()).collect();
            for outcome in &outcomes {
                if let Err(error) = outcome {
                    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
                }
            }
            outcomes.iter().position(Result::is_ok).unwrap()
        });
        assert_eq!(usize::from(fs::read(&path).unwrap()[0]), first);
        folder.put(&path, b"new", Expect::Any).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn deleting_leaves_no_empty_folders_and_nothing_half_done() {
        let (_temp, folder) = folder();
        let put = |key: &str| {
            let path = folder.path("lake", key).unwrap();
            folder.put(&path, b"x", Expect::Any).unwrap();
            path
        };
        let (deep, other) = (put("a/b/c"), put("a/d"));
        folder.delete("lake", &deep).unwrap();
        folder.delete("lake", &deep).unwrap();
        assert!(!folder.root.join("lake/a/b").exists());
        folder.delete("lake", &folder.path("lake", "a").unwrap()).unwrap();
        assert_eq!(keys(&folder, "", "", true), ["a/*"]);
        folder.delete("lake", &other).unwrap();
        assert!(folder.root.join("lake").exists());
        assert_eq!(keys(&folder, "", "", true), Vec::<String>::new());
        assert_eq!(folder.buckets().unwrap(), ["lake"]);
        assert_eq!(fs::read_dir(folder.staging()).unwrap().count(), 0);
    }
}
