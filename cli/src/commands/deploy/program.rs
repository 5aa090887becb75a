//! Programs that a deployment starts: found on `PATH`, shown, run by their arguments.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::context::Context;
use crate::error::Failure;
use crate::output::Output;

/// Characters that need no quotes when a line is shown.
const PLAIN: &str = "-_./=:,@%+";

/// Finds programs.
pub(super) struct Programs<'a> {
    context: &'a Context,
    variables: Vec<(String, String)>,
}

/// A program, and the variables that it gets besides those of this process.
pub(super) struct Program {
    name: String,
    path: PathBuf,
    variables: Vec<(String, String)>,
    output: Output,
}

impl<'a> Programs<'a> {
    /// Programs that get these variables.
    pub(super) const fn new(context: &'a Context, variables: Vec<(String, String)>) -> Self {
        Self { context, variables }
    }

    /// A program, if it is on `PATH`.
    pub(super) fn find(&self, name: &str) -> Option<Program> {
        let path = self.context.environment.path.as_ref()?;
        let found =
            std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| is_program(file))?;
        let variables = self.variables.clone();
        Some(Program { name: name.to_owned(), path: found, variables, output: self.context.output })
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
        match self.code(args)? {
            0 => Ok(()),
            code => Err(self.failed(code)),
        }
    }

    /// Runs it on this terminal; what it prints as data is talk here.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) fn code(&self, args: &[&str]) -> Result<i32, Failure> {
        self.show(args);
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(std::io::stderr());
        let status = command.status().map_err(|error| self.not_started(&error))?;
        Ok(status.code().unwrap_or(-1))
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
        if status.success() { Ok(()) } else { Err(self.failed(status.code().unwrap_or(-1))) }
    }

    /// That it failed. It has said itself why.
    pub(super) fn failed(&self, code: i32) -> Failure {
        Failure::system(format!("{} failed with exit code {code}", self.name))
            .help("what it said is above; nothing of the deployment goes on, and deploying again is safe")
    }

    fn not_started(&self, error: &std::io::Error) -> Failure {
        Failure::system(format!("could not start {}: {error}", self.path.display()))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(args).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn show(&self, args: &[&str]) {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let variables = variables.filter(|_| self.name == "terraform");
        let words: Vec<String> =
            variables.chain([self.name.clone()]).chain(args.iter().map(|arg| quoted(arg))).collect();
        self.output.talk(&format!("$ {}", words.join(" ")));
    }
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
