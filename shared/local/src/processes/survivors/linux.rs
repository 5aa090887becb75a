//! Finding and ending processes on Linux, through `/proc` and process descriptors.

use super::super::launch::{STATE_MARK, TOKEN_MARK};
use super::super::request::{self, Identity};
use super::{Record, Start, SurvivorsError};
use crate::clock::SystemClock;
use crate::state::StateDir;
use cauce_model::time::MICROS;
use cauce_model::{Instant, RunKey};
use cauce_ports::{Clock, RunningTask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// How long programs that no file tells of get to stop: CONTRACTS' default.
const STOP_TIMEOUT_SECONDS: u32 = 30;

/// How often the processes are looked for anew: those that are ended may have started others.
const ROUNDS: usize = 100;

/// How long a killed process may take to go. Only one that waits for broken hardware takes longer.
const KILLED_SECONDS: u64 = 10;

/// What `/proc/<pid>/stat` tells.
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
struct Stat {
    zombie: bool,
    group: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses included.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        zombie: matches!(*fields.first()?, "Z" | "X"),
        group: fields.get(2)?.parse().ok()?,
        ticks: fields.get(19)?.parse().ok()?,
    })
}

fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default()
    })
}

/// When a process started.
pub(crate) fn start_of(pid: u32) -> Option<Start> {
    Some(Start { boot: boot().to_owned(), ticks: stat(pid)?.ticks })
}

/// A process, held so that its number cannot come to mean another one.
struct Held {
    pid: u32,
    descriptor: OwnedFd,
}

impl Held {
    /// Holds a process if it is one that is looked for. A process of another user, or one that has
    /// ended, is not.
    fn new(pid: u32, wanted: impl FnOnce(&Stat) -> bool) -> Option<Self> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        let descriptor = pidfd_open(raw, PidfdFlags::empty()).ok()?;
        let stat = stat(pid).filter(|stat| !stat.zombie)?;
        wanted(&stat).then_some(Self { pid, descriptor })
    }

    fn signal(&self, signal: Signal) {
        // It fails where the process has gone meanwhile; the next look tells.
        let _ = pidfd_send_signal(&self.descriptor, signal);
    }

    /// Blocks until the process has ended, or the time is over.
    fn wait(&self, until: Instant) -> io::Result<()> {
        loop {
            let left = until.micros_since(SystemClock.now()).max(0);
            let left = Timespec { tv_sec: left / MICROS, tv_nsec: left % MICROS * 1000 };
            // A descriptor of a process is readable from its end on.
            let mut ends = [PollFd::new(&self.descriptor, PollFlags::IN)];
            match poll(&mut ends, Some(&left)) {
                Err(Errno::INTR) => {}
                done => return done.map(drop).map_err(io::Error::from),
            }
        }
    }
}

/// The environment a process was started with. What is not UTF-8 in it is none of ours.
fn environment(pid: u32) -> BTreeMap<String, String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The token and the work of a process that carries the marks of a state folder.
fn marked(pid: u32, state: &Path) -> Option<(String, Identity)> {
    let mut environment = environment(pid);
    if Path::new(environment.get(STATE_MARK)?) != state {
        return None;
    }
    let identity = request::identity(&environment).ok()?;
    Some((environment.remove(TOKEN_MARK)?, identity))
}

fn all_processes() -> io::Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        ids.extend(entry?.file_name().to_str().and_then(|id| id.parse::<u32>().ok()));
    }
    Ok(ids)
}

/// Kills every process of an attempt, wherever it went.
pub(crate) fn kill_marked(state: &Path, token: &str) {
    let is_marked = |pid: u32| marked(pid, state).is_some_and(|(found, _)| found == token);
    // Without /proc there is nothing to look at, and the group has been killed anyway.
    for pid in all_processes().unwrap_or_default() {
        if pid != std::process::id()
            && is_marked(pid)
            && let Some(held) = Held::new(pid, |_| is_marked(pid))
        {
            held.signal(Signal::KILL);
        }
    }
}

/// The processes of a run, held, and the work of those that carry marks.
fn of_run(
    state: &Path,
    run_key: &RunKey,
    records: &[Record],
) -> io::Result<(Vec<Held>, BTreeMap<String, RunningTask>)> {
    let ours = ancestry();
    // Groups whose leader is the process that a file tells of.
    let groups: Vec<u32> = records
        .iter()
        .filter(|record| record.start.is_some() && start_of(record.pid) == record.start)
        .map(|record| record.pid)
        .collect();
    let (mut all, mut tasks) = (Vec::new(), BTreeMap::new());
    for pid in all_processes()? {
        if ours.contains(&pid) {
            continue;
        }
        let mut work = None;
        let held = Held::new(pid, |stat| {
            work = marked(pid, state).filter(|(_, identity)| identity.run_key == *run_key);
            work.is_some() || groups.contains(&stat.group)
        });
        if let (Some(_), Some((token, identity))) = (&held, work) {
            tasks.insert(token.clone(), identity.running(&token));
        }
        all.extend(held);
    }
    Ok((all, tasks))
}

/// This process and those it descends from: a `cauce` that a task started is no survivor of it.
fn ancestry() -> Vec<u32> {
    let mut ids = vec![std::process::id()];
    while let Some(parent) = ids.last().and_then(|pid| parent(*pid)) {
        ids.push(parent);
    }
    ids
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent = text.rsplit_once(')')?.1.split_whitespace().nth(1)?;
    parent.parse().ok().filter(|parent| *parent != 0)
}

/// Ends the processes of a run, and returns the work of those that carried marks.
pub(super) async fn end_processes(
    state: &StateDir,
    run_key: &RunKey,
    records: &[Record],
) -> Result<BTreeMap<String, RunningTask>, SurvivorsError> {
    let failed = |source| SurvivorsError::Io { path: PathBuf::from("/proc"), source };
    let look = || of_run(state.root(), run_key, records).map_err(failed);
    let patience =
        records.iter().map(|record| record.stop_timeout_seconds).max().unwrap_or(STOP_TIMEOUT_SECONDS);
    let (found, tasks) = look()?;
    for held in &found {
        held.signal(Signal::TERM);
    }
    wait(found, Duration::from_secs(patience.into())).await.map_err(failed)?;
    for _ in 0..ROUNDS {
        let (left, _) = look()?;
        if left.is_empty() {
            return Ok(tasks);
        }
        for held in &left {
            held.signal(Signal::KILL);
        }
        wait(left, Duration::from_secs(KILLED_SECONDS)).await.map_err(failed)?;
    }
    let (left, _) = look()?;
    if left.is_empty() {
        return Ok(tasks);
    }
    Err(SurvivorsError::Left(left.iter().map(|held| held.pid).collect()))
}

/// Waits until all have ended, or the time is over.
async fn wait(processes: Vec<Held>, time: Duration) -> io::Result<()> {
    let until = SystemClock.now().plus_seconds(time.as_secs());
    let waited = tokio::task::spawn_blocking(move || {
        for held in processes {
            held.wait(until)?;
        }
        Ok(())
    });
    waited.await.map_err(io::Error::other)?
}
