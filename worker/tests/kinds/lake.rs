//! A folder of files and tables, and the programs run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A working folder of one test.
pub(crate) struct Lake {
    folder: TempDir,
}

/// How one task ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it wrote into its output file; null when it wrote nothing.
    pub(crate) answer: Value,
    /// Its standard error.
    pub(crate) log: String,
}

impl Lake {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The lines of a file as JSON objects.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs one data task with the contract's environment and `more`.
    pub(crate) fn run_with(&self, kind: &str, config: Value, more: &[(&str, &str)]) -> Ran {
        self.run_in(self.folder.path(), kind, config, more)
    }

    /// The same in another working folder.
    pub(crate) fn run_in(&self, folder: &Path, kind: &str, config: Value, more: &[(&str, &str)]) -> Ran {
        let answer = self.path("answer.json");
        let _ = std::fs::remove_file(&answer);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cauce-worker"));
        command
            .arg(kind)
            .current_dir(folder)
            .env_clear()
            .env("CAUCE_CONFIG", config.to_string())
            .env("CAUCE_OUTPUT_FILE", &answer)
            .env("CAUCE_PIPELINE", "test")
            .env("CAUCE_RUN_ID", "1997-01-05")
            .env("CAUCE_TASK", "task")
            .env("CAUCE_ATTEMPT", "1")
            .env("CAUCE_LOGICAL_DATE", "1997-01-05T00:00:00Z")
            .env("CAUCE_DATA_INTERVAL_START", "1997-01-05T00:00:00Z")
            .env("CAUCE_DATA_INTERVAL_END", "1997-01-06T00:00:00Z")
            .envs(more.iter().copied());
        let Output { status, stderr, .. } = command.output().unwrap();
        let answer =
            std::fs::read_to_string(&answer).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        Ran { code: status.code().unwrap(), answer, log: String::from_utf8(stderr).unwrap() }
    }

    pub(crate) fn run(&self, kind: &str, config: Value) -> Ran {
        self.run_with(kind, config, &[])
    }

    /// Runs a task that must succeed and returns its answer.
    pub(crate) fn done(&self, kind: &str, config: Value) -> Value {
        let ran = self.run(kind, config);
        assert_eq!(ran.code, 0, "{}", ran.log);
        ran.answer
    }

    /// The rows of a query over one table `t`, as csv without its header.
    pub(crate) fn query(&self, input: Value, query: &str) -> Vec<String> {
        let output = self.path("query.csv");
        let _ = std::fs::remove_file(&output);
        self.done("sql", json!({"inputs": {"t": input}, "query": query, "output": "query.csv"}));
        self.read("query.csv").lines().skip(1).map(str::to_owned).collect()
    }
}

/// Every file below a folder, by its path from there, sorted.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
