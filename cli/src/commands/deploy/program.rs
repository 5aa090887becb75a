//! Programs that a deployment starts: found on `PATH`, shown, run by their arguments.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::signal::unix::{SignalKind, signal};

use super::others;
use crate::context::Context;
use crate::error::Failure;
use crate::output::Output;

/// Characters that need no quotes when a line is shown.
const PLAIN: &str = "-_./=:,@%+";

/// Finds programs.
pub(super) struct Programs<'a> {
    context: &'a Context,
}

/// A program.
pub(super) struct Program {
    name: String,
    path: PathBuf,
    output: Output,
}

/// How a program ended.
pub(super) struct Ended {
    pub(super) code: i32,
    /// What it said on standard error.
    said: String,
}

impl<'a> Programs<'a> {
    /// The programs of this process's `PATH`.
    pub(super) const fn new(context: &'a Context) -> Self {
        Self { context }
    }

    /// A program, if it is on `PATH`.
    pub(super) fn find(&self, name: &str) -> Option<Program> {
        let path = self.context.environment.path.as_ref()?;
        let found =
            std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| is_program(file))?;
        Some(Program { name: name.to_owned(), path: found, output: self.context.output })
    }

    /// A program that there must be.
    ///
    /// # Errors
    /// It is not on `PATH`; `help` says where it comes from.
    pub(super) fn need(&self, name: &str, help: &str) -> Result<Program, Failure> {
        self.find(name).ok_or_else(|| Failure::bad_input(format!("there is no '{name}' on PATH")).help(help))
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

impl Program {
    /// The program's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs it on this terminal.
    ///
    /// # Errors
    /// It could not be started, or failed.
    pub(super) fn run(&self, args: &[&str]) -> Result<(), Failure> {
        let ended = self.end(args)?;
        match ended.code {
            0 => Ok(()),
            _ => Err(self.failed(&ended)),
        }
    }

    /// Runs it on this terminal; what it prints as data is talk here.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) fn end(&self, args: &[&str]) -> Result<Ended, Failure> {
        self.show(args);
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(std::io::stderr()).stderr(Stdio::piped());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.and_then(|runtime| runtime.block_on(outlived(command)));
        ended.map_err(|error| self.not_started(&error))
    }

    /// Runs it and takes what it prints; `None` when it failed. What it says is shown.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) fn ask(&self, args: &[&str]) -> Result<Option<Vec<u8>>, Failure> {
        self.show(args);
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| self.not_started(&error))?;
        Ok(output.status.success().then_some(output.stdout))
    }

    /// Whether it succeeds; it says nothing.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) fn succeeds(&self, args: &[&str]) -> Result<bool, Failure> {
        self.show(args);
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().map_err(|error| self.not_started(&error))?.success())
    }

    /// Runs it with a secret on its standard input, where no list of processes shows it.
    ///
    /// # Errors
    /// It could not be started, or failed.
    pub(super) fn run_with_secret(&self, args: &[&str], secret: &[u8]) -> Result<(), Failure> {
        self.show(args);
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(std::io::stderr());
        let mut child = command.spawn().map_err(|error| self.not_started(&error))?;
        if let Some(mut input) = child.stdin.take() {
            // A program that does not read it says itself what it lacks.
            let _ = input.write_all(secret);
        }
        let status = child.wait().map_err(|error| self.not_started(&error))?;
        let ended = Ended { code: status.code().unwrap_or(-1), said: String::new() };
        if ended.code == 0 { Ok(()) } else { Err(self.failed(&ended)) }
    }

    /// That it failed. It has said itself why.
    pub(super) fn failed(&self, ended: &Ended) -> Failure {
        if let Some(known) = others::problem(&ended.said) {
            return known;
        }
        Failure::system(format!("{} failed with exit code {}", self.name, ended.code))
            .help("what it said is above; nothing of the deployment goes on, and deploying again is safe")
    }

    fn not_started(&self, error: &std::io::Error) -> Failure {
        Failure::system(format!("could not start {}: {error}", self.path.display()))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(args);
        command
    }

    fn show(&self, args: &[&str]) {
        let words: Vec<String> =
            [self.name.clone()].into_iter().chain(args.iter().map(|arg| quoted(arg))).collect();
        self.output.talk(&format!("$ {}", words.join(" ")));
    }
}

/// Runs a program to its end, whatever signals come: one that is left in the middle of a deployment would
/// leave its lock behind. An interrupt of the terminal reaches the program as well; a SIGTERM is handed on.
async fn outlived(command: Command) -> std::io::Result<Ended> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut child = tokio::process::Command::from(command).spawn()?;
    let stderr = child.stderr.take();
    let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    let end = async {
        let said = pass_on(stderr).await;
        child.wait().await.map(|status| Ended { code: status.code().unwrap_or(-1), said })
    };
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            ended = &mut end => return ended,
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {
                if let Some(pid) = pid {
                    // It may have ended by itself.
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
            }
        }
    }
}

/// Shows what a program says as it says it, and keeps it.
async fn pass_on(stream: Option<ChildStderr>) -> String {
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    let Some(mut stream) = stream else { return String::new() };
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        let piece = piece.get(..length).unwrap_or_default();
        // A terminal that is gone is no reason to leave the program alone.
        let _ = std::io::stderr().write_all(piece);
        said.extend_from_slice(piece);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// A word as a shell would take it: what is shown can be repeated by hand.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || PLAIN.contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_as_a_shell_takes_them() {
        assert_eq!(quoted("-chdir=/a/b"), "-chdir=/a/b");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("$(rm)"), "'$(rm)'");
        assert_eq!(quoted(""), "''");
    }
}
