//! The state folder: `.cauce/` beside `cauce.yaml`.
//!
//! ```text
//! .cauce/
//!   .gitignore                 keeps all of it out of version control
//!   format                     the version of this layout
//!   secrets.env                local secret values, written by people
//!   table.sqlite               the store: runs, task runs, gates, leases
//!   objects/<bucket>/<key>     what is s3://<bucket>/<key> elsewhere
//!   logs/<pipeline>/<run id>/<task>/<attempt>.log
//!   locks/<run key>            held by the process that drives the run
//!   up.lock                    held by the `cauce up` that serves the folder
//!   running/<token>.json       a program under way, to be found after a crash
//! ```
//! Several processes may use it at once; one at a time drives a run.

use cauce_model::RunKey;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The version of the layout above.
const FORMAT: u32 = 1;

/// The file that tells it.
const FORMAT_FILE: &str = "format";

/// The file of the store.
const TABLE_FILE: &str = "table.sqlite";

/// The folder's name.
pub const STATE_DIR_NAME: &str = ".cauce";

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A newer version made it.
    #[error(
        "the state folder {} was written by a newer version of cauce (format {found}, this version \
         knows {FORMAT}); use that version, or another folder with --state-dir", .path.display()
    )]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The folder's `format` is not one.
    #[error(
        "{} does not hold the number of a format; is this a state folder of cauce? choose another \
         with --state-dir", .path.display()
    )]
    BadFormat {
        /// The file.
        path: PathBuf,
    },
    /// Another process drives the run.
    #[error("run {run} is being driven by {}; wait for it, or stop it", holder(*.pid))]
    Running {
        /// The run, as people write it.
        run: String,
        /// That process, when it has said so already.
        pid: Option<u32>,
    },
    /// Another process serves the folder.
    #[error("'cauce up' runs already on {}: {}", .path.display(), holder(*.pid))]
    Serving {
        /// The folder.
        path: PathBuf,
        /// That process, when it has said so already.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("could not {attempted} {}{}", .path.display(), hint(source))]
    Io {
        /// What was tried, such as `create`.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// What a person can do about a failure of the file system.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": the disk is full; make room and try again"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            ": it is read-only here; choose another state folder with --state-dir"
        }
        _ => "",
    }
}

/// The state folder, there and of a format that is understood.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Whether there is a state folder: one that tells its format, or one with a store.
    pub fn exists(root: &Path) -> bool {
        root.join(FORMAT_FILE).exists() || root.join(TABLE_FILE).exists()
    }

    /// The file that is missing from a folder that has a store, or is empty in it: [`Self::open`] writes it again,
    /// and does not know what else was lost with it.
    pub fn not_whole(root: &Path) -> Option<PathBuf> {
        let format = root.join(FORMAT_FILE);
        let is_whole = format.metadata().is_ok_and(|found| found.len() > 0);
        (!is_whole && root.join(TABLE_FILE).exists()).then_some(format)
    }

    /// Opens the folder, creating it when there is none.
    ///
    /// # Errors
    /// One that a newer version made, and whatever the file system refuses.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StateError> {
        let mut state = Self { root: root.into() };
        let format = state.root.join(FORMAT_FILE);
        match fs::read_to_string(&format) {
            // Its name outlived a crash of the machine, and what was written into it did not.
            Ok(text) if text.is_empty() => state.create()?,
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(found) if found > FORMAT => {
                    return Err(StateError::NewerFormat { path: state.root, found });
                }
                Ok(_) => state.make_parts()?,
                Err(_) => return Err(StateError::BadFormat { path: format }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => state.create()?,
            Err(source) => return Err(failed("read", &format)(source)),
        }
        // One folder has one name, however it was reached: programs carry it as a mark.
        state.root = fs::canonicalize(&state.root).map_err(failed("open", &state.root))?;
        Ok(state)
    }

    /// Makes what is not there yet: all of it, or a part that somebody removed.
    fn make_parts(&self) -> Result<(), StateError> {
        for part in ["", "objects", "logs", "locks", "running"] {
            let path = self.root.join(part);
            fs::create_dir_all(&path).map_err(failed("create", &path))?;
        }
        Ok(())
    }

    /// Makes the folder. The format is written last: a folder without it is made again.
    fn create(&self) -> Result<(), StateError> {
        self.make_parts()?;
        let gitignore = self.root.join(".gitignore");
        fs::write(&gitignore, "*\n").map_err(failed("write", &gitignore))?;
        let format = self.root.join(FORMAT_FILE);
        // Lost in a crash of the machine it is written again; the folder itself must stay, for what
        // is made durable in it.
        replace(&format, format!("{FORMAT}\n").as_bytes(), false).map_err(failed("write", &format))?;
        if let Some(parent) = self.root.parent() {
            sync_dir(parent).map_err(failed("write", parent))?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store's file.
    pub fn table(&self) -> PathBuf {
        self.root.join(TABLE_FILE)
    }

    /// The folder of objects.
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// The folder of logs, which `cauce_model::ids::log_name` continues.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The folder that tells which programs are under way.
    pub fn running(&self) -> PathBuf {
        self.root.join("running")
    }

    /// The file of secret values.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets.env")
    }

    /// Claims a run for this process, until the lock is dropped or the process ends, however.
    ///
    /// # Errors
    /// [`StateError::Running`] while another process, or another lock of this one, has it.
    pub fn lock_run(&self, key: &RunKey, run: &str) -> Result<RunLock, StateError> {
        let path = self.root.join("locks").join(key.as_str());
        match Held::claim(&path, false)? {
            Ok(lock) => Ok(RunLock { _lock: lock }),
            Err(pid) => Err(StateError::Running { run: run.to_owned(), pid }),
        }
    }

    /// Claims the folder for a service, which starts runs by itself, until the lock is dropped or the process
    /// ends, however. With `wait`, this waits until the one that has it has ended.
    ///
    /// # Errors
    /// [`StateError::Serving`] while another process has it and nobody waits.
    pub fn lock_service(&self, wait: bool) -> Result<ServiceLock, StateError> {
        match Held::claim(&self.root.join("up.lock"), wait)? {
            Ok(lock) => Ok(ServiceLock { _lock: lock }),
            Err(pid) => Err(StateError::Serving { path: self.root.clone(), pid }),
        }
    }

    /// Whether a service has a folder, which need not be there.
    ///
    /// # Errors
    /// Whatever the file system refuses.
    pub fn is_served(root: &Path) -> Result<bool, StateError> {
        let path = root.join("up.lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }
}

/// A file that one process at a time holds, and in which it says who it is.
#[derive(Debug)]
struct Held {
    _file: File,
}

impl Held {
    /// Claims it, or tells which process has it, when that has said so already.
    fn claim(path: &Path, wait: bool) -> Result<Result<Self, Option<u32>>, StateError> {
        // The file stays when the lock goes: removing it could take it from under a process that
        // has opened it and not yet locked it.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open", path))?;
        let locked = if wait { file.lock().map_err(TryLockError::Error) } else { file.try_lock() };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // What cannot be read names nobody: the process may be about to write it.
                return Ok(Err(file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok())));
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", path)(source)),
        }
        let mut claim = || {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        claim().map_err(failed("write", path))?;
        Ok(Ok(Self { _file: file }))
    }
}

/// A run claimed. The system gives the claim up when the process ends, also by `kill -9`; programs
/// it started do not inherit it.
#[derive(Debug)]
pub struct RunLock {
    _lock: Held,
}

/// A folder claimed by a service. The system gives the claim up when the process ends, as with [`RunLock`].
#[derive(Debug)]
pub struct ServiceLock {
    _lock: Held,
}

fn failed(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { attempted, path, source }
}

/// Writes a file whole: readers see the old bytes or the new ones. With `durable` they also survive
/// a crash of the machine once this returns.
pub(crate) fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(parent)?;
    file.write_all(bytes)?;
    if durable {
        file.as_file().sync_data()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durable {
        sync_dir(parent)?;
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RunKey {
        RunKey::new("p", "r")
    }

    #[test]
    fn a_new_folder_is_made_and_opened_again() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("project").join(STATE_DIR_NAME);
        fs::create_dir_all(root.parent().unwrap()).unwrap();
        StateDir::open(&root).unwrap();
        fs::remove_dir(root.join("running")).unwrap();
        let state = StateDir::open(&root).unwrap();
        assert_eq!(fs::read_to_string(root.join(".gitignore")).unwrap(), "*\n");
        assert!(state.logs().is_dir() && state.running().is_dir() && state.objects().is_dir());
    }

    #[test]
    fn a_folder_whose_format_is_lost_is_one_all_the_same_while_it_has_a_store() {
        let temp = tempfile::tempdir().unwrap();
        assert!(!StateDir::exists(temp.path()) && StateDir::not_whole(temp.path()).is_none());
        let state = StateDir::open(temp.path()).unwrap();
        assert!(StateDir::exists(temp.path()) && StateDir::not_whole(temp.path()).is_none());
        fs::write(state.table(), "rows").unwrap();
        let format = temp.path().join("format");
        for lose in [|path: &Path| fs::remove_file(path), |path: &Path| fs::write(path, "")] {
            lose(&format).unwrap();
            assert!(StateDir::exists(temp.path()));
            assert_eq!(StateDir::not_whole(temp.path()), Some(format.clone()));
            StateDir::open(temp.path()).unwrap();
            assert_eq!(fs::read_to_string(&format).unwrap(), "1\n");
            assert!(StateDir::not_whole(temp.path()).is_none());
        }
        assert_eq!(fs::read_to_string(state.table()).unwrap(), "rows");
    }

    #[test]
    fn a_folder_has_one_name() {
        let temp = tempfile::tempdir().unwrap();
        let (real, link) = (temp.path().join("real"), temp.path().join("link"));
        let by_name = StateDir::open(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(StateDir::open(&link).unwrap().root(), by_name.root());
        assert!(by_name.root().is_absolute());
    }

    #[test]
    fn a_folder_of_a_newer_version_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("format"), "2\n").unwrap();
        let error = StateDir::open(temp.path()).unwrap_err();
        assert!(matches!(error, StateError::NewerFormat { found: 2, .. }));
        assert!(error.to_string().contains("newer version"), "{error}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_run_has_one_driver_and_the_second_hears_its_name() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::open(temp.path()).unwrap();
        let held = state.lock_run(&key(), "p/r").unwrap();
        let error = state.lock_run(&key(), "p/r").unwrap_err();
        assert!(
            error.to_string().contains(&format!("p/r is being driven by process {}", std::process::id())),
            "{error}"
        );
        state.lock_run(&RunKey::new("p", "other"), "p/other").unwrap();
        drop(held);
        state.lock_run(&key(), "p/r").unwrap();
    }

    #[test]
    fn a_folder_has_one_service_and_the_next_waits_for_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::open(temp.path()).unwrap();
        assert!(!StateDir::is_served(state.root()).unwrap());
        let held = state.lock_service(false).unwrap();
        assert!(StateDir::is_served(state.root()).unwrap());
        let error = state.lock_service(false).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        let second = state.clone();
        let waiting = std::thread::spawn(move || second.lock_service(true).map(drop));
        drop(held);
        waiting.join().unwrap().unwrap();
        assert!(!StateDir::is_served(state.root()).unwrap());
    }

    #[test]
    fn a_file_where_the_folder_should_be_is_a_clear_error() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("file");
        fs::write(&root, "").unwrap();
        let error = StateDir::open(&root).unwrap_err();
        assert!(error.to_string().starts_with("could not read"), "{error}");
    }
}
