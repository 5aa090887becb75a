//! A project in a temporary folder, the program under test, and FIFOs to meet tasks at.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The longest that anything is waited for. Nothing comes near it: it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// The day of a run whose date does not matter.
pub(crate) const DAY: &str = "2026-01-05";

/// A project of its own.
pub(crate) struct Project {
    /// Removed with the project.
    folder: tempfile::TempDir,
    /// Where `cauce.yaml` is, in it.
    root: PathBuf,
}

impl Project {
    /// A project whose image `host` runs commands as they are.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let project = Self { folder, root };
        project.write("cauce.yaml", "images:\n  host: {local: []}\n");
        project
    }

    /// A project with one pipeline, whose file is `p.yaml` and whose name has to be `p`.
    pub(crate) fn of(pipeline: &str) -> Self {
        let project = Self::new();
        project.write("p.yaml", pipeline);
        project
    }

    /// Copies of the repository's pipelines; the current folder is the first one's.
    pub(crate) fn copy_of(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines");
        for name in names {
            copy(&pipelines.join(name), &folder.path().join(name));
        }
        let root = folder.path().join(names[0]);
        Self { folder, root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    /// The text of a file.
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The lines of a file that tasks append to; none when nothing has been appended yet.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// A FIFO in the folder.
    pub(crate) fn fifo(&self, name: &str) -> Fifo {
        let path = self.path(name);
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success(), "mkfifo {}", path.display());
        Fifo { path }
    }

    /// The program, about to be started in the folder.
    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program("cauce"));
        command.args(args).current_dir(&self.root).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts the program and goes on.
    pub(crate) fn start(&self, args: &[&str]) -> Started {
        self.start_with(&[], args)
    }

    /// The same with more variables in its environment.
    pub(crate) fn start_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Started {
        let mut child = self.command(args).envs(variables.iter().copied()).spawn().unwrap();
        let talk = child.stderr.take().map(BufReader::new);
        Started { child: Ended(child), talk }
    }

    /// Runs the program to its end.
    pub(crate) fn cauce(&self, args: &[&str]) -> Answer {
        self.start(args).answer()
    }

    /// Runs the pipeline `p.yaml` for [`DAY`].
    pub(crate) fn run(&self) -> Answer {
        self.cauce(&["run", "p.yaml", "--logical-date", DAY])
    }

    /// The newest run of a pipeline, as `cauce show --json` tells it.
    pub(crate) fn show(&self, pipeline: &str) -> Value {
        self.cauce(&["show", &format!("{pipeline}/@latest"), "--json"]).exits(0).json()
    }

    /// The mount point of a file system of so many bytes, when this machine allows one.
    pub(crate) fn small_disk(&self, bytes: u32) -> Option<SmallDisk> {
        let path = self.folder.path().join("small");
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(&path);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(SmallDisk { path })
    }
}

/// A mounted file system; taken away in the end.
pub(crate) struct SmallDisk {
    pub(crate) path: PathBuf,
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what is left of a failed test may still stand in it.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// Where a test and a task wait for each other: each side's opening waits for the other's.
pub(crate) struct Fifo {
    path: PathBuf,
}

impl Fifo {
    /// Waits until a task writes into it; what it wrote, to its closing.
    pub(crate) fn hear(&self) -> String {
        let path = self.path.clone();
        let name = format!("a task to write into {}", path.display());
        within(&name, move || fs::read_to_string(path).unwrap()).trim().to_owned()
    }

    /// Waits until a task reads from it, and says something.
    pub(crate) fn say(&self, word: &str) {
        let (path, line) = (self.path.clone(), format!("{word}\n"));
        let name = format!("a task to read from {}", path.display());
        within(&name, move || {
            let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        });
    }
}

/// The program, under way. A test that fails leaves none behind.
pub(crate) struct Started {
    child: Ended,
    /// Its stderr: taken only while it is read.
    talk: Option<BufReader<ChildStderr>>,
}

/// A process that goes with whoever waits for it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // One that was waited for is not sent anything.
        if self.0.kill().is_ok() {
            let _ = self.0.wait();
        }
    }
}

impl Started {
    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    /// Waits until it has said so many lines on stderr, or ends before.
    pub(crate) fn talks(&mut self, lines: usize) -> Vec<String> {
        let mut talk = self.talk.take().unwrap();
        let (heard, talk) = within("lines of cauce", move || {
            let heard: Vec<String> = talk.by_ref().lines().take(lines).map(Result::unwrap).collect();
            (heard, talk)
        });
        self.talk = Some(talk);
        heard
    }

    /// Waits until it has said so many lines, then for the next one or so long, whichever is first, and kills
    /// it with all the suddenness there is. What it said by then, and whether it had ended before.
    pub(crate) fn killed_after(mut self, lines: usize, then: Duration) -> (Vec<String>, Option<i32>) {
        let talk = self.talk.take().unwrap();
        let (sender, said) = channel();
        let reading = thread::spawn(move || {
            talk.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let mut heard = Vec::new();
        while heard.len() < lines {
            match said.recv_timeout(PATIENCE) {
                Ok(line) => heard.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("waited for line {lines} of cauce: {heard:#?}"),
            }
        }
        heard.extend(said.recv_timeout(then));
        // It has not been waited for, so that the number is still its own.
        self.signal(Signal::KILL);
        let ended = self.child.0.wait().unwrap();
        reading.join().unwrap();
        heard.extend(said.try_iter());
        (heard, ended.code())
    }

    /// Waits until it has said a line with these words on stderr; all lines up to that one.
    pub(crate) fn hears(&mut self, words: &str) -> Vec<String> {
        let (mut talk, wanted) = (self.talk.take().unwrap(), words.to_owned());
        let (heard, talk) = within(&format!("cauce to say '{words}'"), move || {
            let mut heard: Vec<String> = Vec::new();
            while heard.last().is_none_or(|line| !line.contains(&wanted)) {
                let next = talk.by_ref().lines().next().map(Result::unwrap);
                heard.push(next.unwrap_or_else(|| panic!("it ended without '{wanted}': {heard:#?}")));
            }
            (heard, talk)
        });
        self.talk = Some(talk);
        heard
    }

    /// Waits for its end.
    pub(crate) fn answer(mut self) -> Answer {
        let pid = Pid::from_child(&self.child.0);
        let (mut stdout, mut stderr) = (self.child.0.stdout.take().unwrap(), self.talk.take().unwrap());
        let data = thread::spawn(move || text(&mut stdout));
        let talk = thread::spawn(move || text(&mut stderr));
        let (sender, ended) = channel();
        let waiting = thread::spawn(move || sender.send(self.child.0.wait().unwrap()));
        let status = ended.recv_timeout(PATIENCE);
        if status.is_err() {
            // It has not been waited for, so that the number is still its own.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = waiting.join().unwrap();
        let (data, talk) = (data.join().unwrap(), talk.join().unwrap());
        let Ok(status) = status else { panic!("cauce went on for {PATIENCE:?}: {data}{talk}") };
        Answer { exit: status.code(), data, talk }
    }
}

fn text(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// What the program answered.
pub(crate) struct Answer {
    /// Absent when a signal ended it.
    pub(crate) exit: Option<i32>,
    /// Its stdout.
    pub(crate) data: String,
    /// Its stderr.
    pub(crate) talk: String,
}

impl Answer {
    /// The answer, whose exit code has to be this.
    pub(crate) fn exits(self, exit: i32) -> Self {
        assert_eq!(self.exit, Some(exit), "stdout: {}\nstderr: {}", self.data, self.talk);
        self
    }

    /// The answer, whose stderr has to hold these words.
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.talk.contains(words), "no '{words}' in: {}", self.talk);
        self
    }

    /// The answer, whose stdout has to hold these words.
    pub(crate) fn shows(self, words: &str) -> Self {
        assert!(self.data.contains(words), "no '{words}' in: {}", self.data);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {}{}", self.data, self.talk))
    }
}

/// Does something that may wait for another process, and fails when it takes too long.
fn within<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = channel();
    thread::spawn(move || sender.send(work()));
    done.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("waited for {what}: {error}"))
}

/// A program of this workspace. Cargo puts it one folder above the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().to_owned()
    });
    let path = FOLDER.join(name);
    assert!(name != "cauce" || path.is_file(), "{} is not built: cargo build -p cauce", path.display());
    path
}

/// Whether the programs of the data kinds are there; says once that they are not.
pub(crate) fn has_worker() -> bool {
    let there = ["cauce-worker", "ventas-drop"].iter().all(|name| program(name).is_file());
    if !there {
        skipped("cauce-worker (cargo build -p cauce-worker)");
    }
    there
}

/// Says once what this machine lacks, past the capture of what tests print.
pub(crate) fn skipped(needs: &'static str) {
    static SAID: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap();
    if !said.contains(&needs) {
        said.push(needs);
        let mut past_capture = io::stderr();
        writeln!(past_capture, "skipped: needs {needs}").unwrap();
    }
}

/// Whether a process is there and has not ended.
pub(crate) fn is_alive(pid: &str) -> bool {
    // The state follows the name, which ends with the last parenthesis: proc_pid_stat(5).
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()))
        .is_some_and(|state| state != 'Z' && state != 'X')
}

/// Copies a folder, without what runs have left in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == ".cauce" => {}
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
