//! The program as a person meets it: arguments in, words and exit codes out. Each test is a project
//! of its own in a temporary folder.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod definitions;
mod files;
mod runs;
mod there;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A project in a temporary folder.
struct Project {
    folder: tempfile::TempDir,
}

/// What the program answered.
struct Answer {
    exit: i32,
    data: String,
    talk: String,
}

impl Project {
    /// An empty folder.
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A project whose tasks run commands as they are.
    fn local() -> Self {
        let project = Self::new();
        project.write("cauce.yaml", "images:\n  host: {local: []}\n");
        project
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cauce"));
        command.args(args).current_dir(self.path()).env_remove("NO_COLOR");
        command
    }

    /// Runs the program in the folder.
    fn cauce(&self, args: &[&str]) -> Answer {
        Answer::of(self.command(args).output().unwrap())
    }
}

impl Answer {
    fn of(output: Output) -> Self {
        Self {
            exit: output.status.code().unwrap_or(-1),
            data: String::from_utf8(output.stdout).unwrap(),
            talk: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The answer, which has to be this exit code.
    fn exits(self, exit: i32) -> Self {
        assert_eq!(self.exit, exit, "{}{}", self.data, self.talk);
        self
    }

    /// The answer, whose talk has to hold these words.
    fn says(self, words: &str) -> Self {
        assert!(self.talk.contains(words), "no '{words}' in: {}", self.talk);
        self
    }

    /// The answer, whose data has to hold these words.
    fn shows(self, words: &str) -> Self {
        assert!(self.data.contains(words), "no '{words}' in: {}", self.data);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {}", self.data))
    }
}
