//! One program, from spawn to the end of its whole process group.
//!
//! Invariants:
//! - The group's id is in use until the leader is reaped, and the leader is reaped last: a signal to
//!   the group never reaches a stranger.
//! - When the leader has ended, what it left behind in its group is killed at once, as the end of a
//!   container's first process ends all the others.
//! - The end of the log is never waited for: a process that left the group may hold it open.
//! - However this value goes, the group goes with it.

use super::Setup;
use super::launch::{Container, Launch};
use super::log::Log;
use super::redact::Redactor;
use super::report::{CANNOT_PULL, CANNOT_START, RESOURCE_INIT, SIGNAL_BASE, cannot_exec};
use super::survivors;
use cauce_model::FailureClass;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::future::pending;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Sleep;

/// How much is read from a program's pipe at once.
const CHUNK: usize = 64 * 1024;

/// How often [`CHUNK`] is read before others get their turn.
const CHUNKS: usize = 8;

/// The largest pipe that a process without privileges can make, on Linux as it comes: no more can
/// have been printed before the end and not been read yet.
/// <https://man7.org/linux/man-pages/man7/pipe.7.html>
const PIPE_MAX: usize = 1024 * 1024;

/// Most bytes of an output that are read: more than any output may have, so that its reader can
/// tell that it is too large.
pub(super) const OUTPUT_READ_MAX: u64 = 1024 * 1024 + 1;

/// With this code `podman run` and `docker run` tell that they themselves failed.
/// <https://docs.podman.io/en/latest/markdown/podman-run.1.html#exit-status>
const ENGINE_FAILED: i32 = 125;

/// A program under way.
pub(super) struct Program {
    child: Child,
    group: Pid,
    /// Whether the leader has been reaped: its id may then belong to anybody.
    reaped: bool,
    pipe: Receiver,
    log: Log,
    launch: Launch,
    state: PathBuf,
    token: String,
}

/// How much time a program has.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// To run; for ever without.
    pub(super) runs: Option<Duration>,
    /// Between SIGTERM and SIGKILL.
    pub(super) stops: Duration,
}

/// How a program ended.
pub(super) struct Ending {
    /// The exit code, 128 and the signal's number, or that of one that was over its time.
    pub(super) code: i32,
    /// Why it was stopped, when it was.
    pub(super) stopped: Option<String>,
    /// What it wrote to its output file, at most [`OUTPUT_READ_MAX`] bytes of it.
    pub(super) output: Option<Vec<u8>>,
    /// Why it in fact never ran: an engine of containers found that out.
    pub(super) not_started: Option<String>,
    /// What went wrong with its log, or its output file.
    pub(super) remark: Option<String>,
}

impl Program {
    /// Starts it. The error is the `StoppedReason` of a task that never ran.
    pub(super) fn start(launch: Launch, token: &str, setup: &Setup, log_file: &Path) -> Result<Self, String> {
        let unprepared = |what: &str, error: io::Error| format!("{RESOURCE_INIT}: {what}: {error}");
        let redactor = Redactor::new(launch.secrets.iter().map(String::as_str));
        let log = Log::create(log_file, setup.log_bytes_max, redactor)
            .map_err(|error| unprepared(&format!("no log {}", log_file.display()), error))?;
        if let (Some(_), Some(folder)) = (&launch.container, launch.output_file.parent()) {
            std::fs::create_dir_all(folder).map_err(|error| unprepared("no folder for the output", error))?;
        }
        // What an earlier attempt of the same token may have left.
        match std::fs::remove_file(&launch.output_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unprepared("an old output file", error));
            }
            _ => {}
        }
        let (reader, writer) = io::pipe().map_err(|error| unprepared("no pipe", error))?;
        let pipe =
            Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(|error| unprepared("no pipe", error))?;
        let also = writer.try_clone().map_err(|error| unprepared("no pipe", error))?;
        let name = launch.argv.first().map_or("", String::as_str);
        let mut command = Command::new(&launch.program);
        command
            .arg0(name)
            .args(launch.argv.iter().skip(1))
            .env_clear()
            .envs(&launch.environment)
            .current_dir(&setup.project)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(also)
            .process_group(0);
        let child = command.spawn().map_err(|error| cannot_exec(name, &error))?;
        // The parent's ends of the pipe close here, so that the pipe ends with the program.
        drop(command);
        let group = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| format!("{CANNOT_START}: exec: \"{name}\": no process id"))?;
        Ok(Self {
            child,
            group,
            reaped: false,
            pipe,
            log,
            launch,
            state: setup.state.root().to_owned(),
            token: token.to_owned(),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) const fn container(&self) -> Option<&Container> {
        self.launch.container.as_ref()
    }

    /// Runs it to its end, which comes soon after its time is over. `stop` tells when to stop it before, and why; when
    /// nobody is left to tell, it is stopped as well.
    pub(super) async fn run(
        mut self,
        mut stop: watch::Receiver<Option<String>>,
        limits: Limits,
    ) -> io::Result<Ending> {
        // Listens before it looks: an end between the two is not missed.
        let mut children = signal(SignalKind::child())?;
        let mut stopped: Option<String> = None;
        let mut time = limits.runs.map(sleep);
        let mut patience: Option<Pin<Box<Sleep>>> = None;
        let mut is_over_time = false;
        let mut open = true;
        while !self.has_ended()? {
            tokio::select! {
                biased;
                _ = children.recv() => {}
                changed = stop.changed(), if stopped.is_none() && !is_over_time => {
                    let reason = stop.borrow_and_update().clone();
                    stopped = match changed {
                        Ok(()) => reason,
                        Err(_) => Some("its engine ended".to_owned()),
                    };
                    if stopped.is_some() {
                        self.signal_group(Signal::TERM);
                        time = None;
                        patience = Some(sleep(limits.stops));
                    }
                }
                () = elapsed(&mut time) => {
                    time = None;
                    is_over_time = true;
                    self.signal_group(Signal::TERM);
                    patience = Some(sleep(limits.stops));
                }
                () = elapsed(&mut patience) => {
                    patience = None;
                    self.signal_group(Signal::KILL);
                    self.remove_container();
                }
                ready = self.pipe.readable(), if open => {
                    open = ready.is_ok() && self.read(CHUNKS) != Pipe::Closed;
                }
            }
        }
        self.signal_group(Signal::KILL);
        let code = exit_code(self.reap()?);
        // Whatever it made of the signal: what it did not do in time is not done.
        let code = if is_over_time { FailureClass::OVER_TIME_CODE } else { code };
        if open && self.read_rest() != Pipe::Closed {
            // Somebody still holds the pipe: dying, or gone from the group.
            survivors::kill_marked(&self.state, &self.token);
        }
        Ok(self.close(code, stopped))
    }

    /// Whether the leader has ended. It is left unreaped.
    fn has_ended(&self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.group), look)?.is_some())
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(status)
    }

    /// Sends a signal to every process of the group. Sending it to none is fine.
    fn signal_group(&self, signal: Signal) {
        if !self.reaped {
            // It fails only where nobody is left to hear it.
            let _ = kill_process_group(self.group, signal);
        }
    }

    /// Reads what is there, at most so many chunks.
    fn read(&mut self, chunks: usize) -> Pipe {
        let mut chunk = [0; CHUNK];
        for _ in 0..chunks {
            match self.pipe.try_read(&mut chunk) {
                Ok(0) => return Pipe::Closed,
                Ok(length) => self.log.push(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Pipe::Drained,
                Err(_) => return Pipe::Closed,
            }
        }
        Pipe::Full
    }

    /// Reads what was printed before the end. The runtime may not have heard yet that there is
    /// something to read, so the pipe itself is asked.
    fn read_rest(&mut self) -> Pipe {
        let mut chunk = [0; CHUNK];
        for _ in 0..PIPE_MAX.div_ceil(CHUNK) {
            match rustix::io::read(&self.pipe, &mut chunk) {
                Ok(0) => return Pipe::Closed,
                Ok(length) => self.log.push(&chunk[..length]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Pipe::Drained,
                Err(_) => return Pipe::Closed,
            }
        }
        Pipe::Full
    }

    /// An engine of containers that is killed leaves its container behind.
    fn remove_container(&self) {
        if let Some(container) = &self.launch.container {
            container.remove();
        }
    }

    /// Gathers what the program left.
    fn close(mut self, code: i32, stopped: Option<String>) -> Ending {
        let not_started = match self.container() {
            Some(container) if code == ENGINE_FAILED => Some(container.diagnose()),
            _ => None,
        };
        let (output, unread) = match take_output(&self.launch.output_file) {
            Ok(output) => (output, None),
            Err(error) => (None, Some(format!("the output file cannot be read: {error}"))),
        };
        if let (Some(_), Some(folder)) = (self.container(), self.launch.output_file.parent()) {
            // Left behind it takes a little room and does no harm.
            let _ = std::fs::remove_dir_all(folder);
        }
        Ending { code, stopped, output, not_started, remark: self.log.finish().or(unread) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal_group(Signal::KILL);
            self.remove_container();
            // A killed leader ends at once; left unreaped it would stay as a zombie.
            let _ = self.child.wait();
        }
    }
}

impl Container {
    /// Ends and removes the container, whatever its state; one that is gone is fine.
    pub(super) fn remove(&self) {
        // An engine that is gone or refuses has nothing to be told a second time.
        let _ = Command::new(&self.engine)
            .args(["rm", "--force", &self.name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }

    /// Why the engine did not run the image, as a `StoppedReason`.
    fn diagnose(&self) -> String {
        let image = &self.image;
        let looked = Command::new(&self.engine)
            .args(["image", "inspect", image])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output();
        let said = match looked {
            Ok(found) if found.status.success() => {
                return format!(
                    "{CANNOT_START}: image '{image}' could not be started; its engine's words are \
                     in the log"
                );
            }
            Ok(missing) => String::from_utf8_lossy(&missing.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let lower = said.to_lowercase();
        if ["no such image", "not known", "not found"].iter().any(|words| lower.contains(words)) {
            format!("{CANNOT_PULL}: image '{image}' not found on this machine: {said}")
        } else {
            format!("{RESOURCE_INIT}: {said}")
        }
    }
}

/// What a reading of the pipe came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pipe {
    /// Nobody can write to it any more.
    Closed,
    /// All that was there has been read.
    Drained,
    /// There may be more.
    Full,
}

#[expect(clippy::disallowed_methods, reason = "a real program gets this much real time to run, and to stop")]
fn sleep(duration: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(duration))
}

async fn elapsed(sleep: &mut Option<Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => pending().await,
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => SIGNAL_BASE + signal,
        (None, None) => SIGNAL_BASE,
    }
}

/// Reads and removes the output file, when the program left one.
fn take_output(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        // Reading a pipe or a device could take for ever.
        Ok(found) if !found.is_file() => {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(OUTPUT_READ_MAX).read_to_end(&mut bytes)?;
    std::fs::remove_file(path)?;
    Ok(Some(bytes))
}
