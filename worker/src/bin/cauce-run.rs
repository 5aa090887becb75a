//! `cauce-run PROGRAM ARGUMENT...`: the entrypoint of a container task.
//!
//! It starts the program in a process group of its own, passes SIGTERM and SIGINT on to the whole group, uploads the
//! program's `CAUCE_OUTPUT_FILE` to `CAUCE_OUTPUT_URI`, and ends with the program's own exit code (128 + n after death
//! by signal n). It adds no retry and no shell: those belong to the engine, to nobody.
//!
//! `cauce-run limits take NAME` is a call inside a task: it returns when tokens of a rate limit may be used (see `limits`).
//! A program of the name `limits` is started by `cauce-run -- limits`.
//!
//! `CAUCE_TIMEOUT_SECONDS` is how long the program may run. Only here is known when it started: the state that waits for
//! the container counts the time that the platform needs to start it too.

#[path = "../storage.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "compiled in so that this program does not link the query engine; it only puts one object"
)]
mod storage;

#[path = "../limits.rs"]
mod limits;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use storage::Storage;

/// The program was not found, as shells say it.
const NOT_FOUND: u8 = 127;
/// The program ran for longer than it may, as `timeout` of coreutils says it. The engine reads it as class `timeout`.
const OVER_TIME: u8 = 124;
/// How long a program is waited for after SIGTERM where nobody says: what ECS gives a container.
const STOP_SECONDS: u64 = 30;
/// The output could not be delivered.
const SYSTEM: u8 = 3;
/// More than this is no task output (`docs/`: 256 KiB), and is not sent.
const OUTPUT_BYTES: u64 = 256 * 1024;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let is_program = arguments.peek().is_some_and(|first| first == "--");
    if is_program {
        arguments.next();
    }
    let arguments: Vec<OsString> = arguments.collect();
    let variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    let Some((program, rest)) = arguments.split_first() else {
        say("usage: cauce-run PROGRAM ARGUMENT...");
        return ExitCode::from(2);
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("cannot start: {error}"));
            return ExitCode::from(SYSTEM);
        }
    };
    if !is_program && limits::is_meant(&arguments) {
        let (code, problem) = runtime.block_on(limits::take(&arguments, &variables));
        if let Some(problem) = problem {
            say(&problem);
        }
        return ExitCode::from(code);
    }
    ExitCode::from(runtime.block_on(run(program, rest, &variables)))
}

async fn run(program: &OsString, rest: &[OsString], variables: &BTreeMap<OsString, OsString>) -> u8 {
    let variable = |name: &str| variables.get(&OsString::from(name)).cloned();
    let uri = variable("CAUCE_OUTPUT_URI").map(|uri| uri.to_string_lossy().into_owned());
    let file: Option<PathBuf> = match (variable("CAUCE_OUTPUT_FILE"), &uri) {
        (Some(path), _) => Some(path.into()),
        (None, Some(_)) => {
            Some(std::env::temp_dir().join(format!("cauce-output-{}.json", std::process::id())))
        }
        (None, None) => None,
    };
    let seconds = |name: &str| match variable(name).map(|value| value.to_string_lossy().parse::<u64>()) {
        None => Ok(None),
        Some(Ok(seconds)) => Ok(Some(seconds)),
        Some(Err(error)) => Err(format!("{name}: {error}")),
    };
    let (limit, stop) = match (seconds("CAUCE_TIMEOUT_SECONDS"), seconds("CAUCE_STOP_TIMEOUT_SECONDS")) {
        (Ok(limit), Ok(stop)) => (limit, stop.unwrap_or(STOP_SECONDS)),
        (Err(message), _) | (_, Err(message)) => {
            say(&message);
            return SYSTEM;
        }
    };
    // Handlers stand before the program does: a stop that arrives in between is then passed on, not lost.
    let handlers = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = handlers else {
        say("cannot listen for signals");
        return SYSTEM;
    };
    let mut command = Command::new(program);
    command.args(rest).process_group(0);
    if let Some(path) = with_own_folder(variable("PATH")) {
        command.env("PATH", path);
    }
    if let Some(file) = &file {
        command.env("CAUCE_OUTPUT_FILE", file);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            say(&format!("cannot start {}: {error}", program.to_string_lossy()));
            return NOT_FOUND;
        }
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (mut end, mut is_over, mut is_stopping, mut is_killed) = (pin!(after(limit)), false, false, false);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            _ = terminate.recv() => {
                pass_on(group, Signal::TERM);
                if !is_stopping {
                    // The platform waits as long as the most patient task of the same image wants it to.
                    end.set(after(Some(stop)));
                    is_stopping = true;
                }
            }
            _ = interrupt.recv() => pass_on(group, Signal::INT),
            () = &mut end, if !is_killed => {
                if is_stopping {
                    pass_on(group, Signal::KILL);
                    is_killed = true;
                } else {
                    say(&format!("over its time of {} s: SIGTERM, in {stop} s SIGKILL", limit.unwrap_or(0)));
                    pass_on(group, Signal::TERM);
                    end.set(after(Some(stop)));
                    (is_over, is_stopping) = (true, true);
                }
            }
        }
    };
    if is_over {
        // Whatever it made of the signal: what it did not do in time is not done. What it may have left goes too.
        pass_on(group, Signal::KILL);
        return OVER_TIME;
    }
    let code = match status {
        Ok(status) => exit_code(status),
        Err(error) => {
            say(&format!("cannot wait for {}: {error}", program.to_string_lossy()));
            return SYSTEM;
        }
    };
    match (&file, &uri) {
        (Some(file), Some(uri)) => match deliver(file, uri).await {
            Ok(()) => code,
            Err(message) => {
                say(&message);
                // The program's own failure says more than ours.
                if code == 0 { SYSTEM } else { code }
            }
        },
        _ => code,
    }
}

/// The search path with the folder of this program behind all others, so that a task can call it: where it is added
/// to an image, no path of the image leads to it.
fn with_own_folder(path: Option<OsString>) -> Option<OsString> {
    let own = std::env::current_exe().ok()?;
    let path = path?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let folder = own.parent()?.to_owned();
    if folders.contains(&folder) {
        return None;
    }
    std::env::join_paths(folders.into_iter().chain([folder])).ok()
}

/// Ends after so many seconds; without a number, never.
#[expect(clippy::disallowed_methods, reason = "the one clock of this program: how long its child may run")]
async fn after(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn pass_on(group: Option<Pid>, what: Signal) {
    // A group that is gone has heard enough.
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, what)
        && error != Errno::SRCH
    {
        say(&format!("cannot signal the program: {error}"));
    }
}

/// A death by signal n is 128 + n; a status that is neither is a failure, never 0.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// Sends the output, if the program wrote one.
async fn deliver(file: &Path, uri: &str) -> Result<(), String> {
    let bytes = match std::fs::metadata(file) {
        Ok(found) if found.len() > OUTPUT_BYTES => {
            return Err(format!(
                "the output has {} bytes, more than {OUTPUT_BYTES}; it is not delivered",
                found.len()
            ));
        }
        Ok(_) => std::fs::read(file).map_err(|error| format!("cannot read the output: {error}"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot read the output: {error}")),
    };
    let folder =
        std::env::current_dir().map_err(|error| format!("cannot see the working folder: {error}"))?;
    let storage = Storage::new(folder);
    let target = storage.locate(uri).map_err(|error| error.to_string())?;
    storage.put(&target, bytes).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}")
    })
}

/// One line for the task's log. Nobody may be listening; that must not change how the task ends.
fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "cauce-run: {message}");
}
