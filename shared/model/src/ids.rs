//! Names and keys, and how each is made. CONTRACTS calls these shapes law: two programs that
//! compute the same key must agree to the byte.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Longest task or pipeline name, in bytes.
pub const NAME_MAX: usize = 63;

/// Longest name of an execution.
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>
pub const EXECUTION_NAME_MAX: usize = 80;

/// Longest run id that still fits an execution name together with its generation.
pub const RUN_ID_IN_NAME_MAX: usize = 72;

/// Whether the text is a task or pipeline name: `[a-z][a-z0-9_]{0,62}`.
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'a'..=b'z'))
        && bytes.len() <= NAME_MAX
        && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Names one run of one pipeline in the store: the first 20 characters of the lower-case base32
/// of sha256(`pipeline/run_id`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunKey(String);

impl RunKey {
    /// The key of a run.
    pub fn new(pipeline: &str, run_id: &str) -> Self {
        let digest = Sha256::digest(format!("{pipeline}/{run_id}"));
        let mut text = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
        text.truncate(20);
        Self(text)
    }

    /// A key that came back from a store or an execution's input.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The twenty characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run as people write it: `pipeline/run_id`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunRef {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's id inside the pipeline.
    pub run_id: String,
}

impl RunRef {
    /// The run's key in the store.
    pub fn key(&self) -> RunKey {
        RunKey::new(&self.pipeline, &self.run_id)
    }
}

impl fmt::Display for RunRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pipeline, self.run_id)
    }
}

/// The name of the execution of a run's n-th generation: `<run_id>-g<n>`, where a run id too long
/// for an execution name is replaced by its key.
pub fn run_execution_name(run_id: &str, run_key: &RunKey, generation: u32) -> String {
    if run_id.len() > RUN_ID_IN_NAME_MAX {
        format!("{run_key}-g{generation}")
    } else {
        format!("{run_id}-g{generation}")
    }
}

/// What follows `<run_key>-g<generation>-` in a child execution's name: the task's name, cut at 32,
/// and the first eight hex digits of its sha256, so that two long names never meet.
pub fn child_suffix(task: &str) -> String {
    let cut = task.get(..32).unwrap_or(task);
    format!("{cut}-{}", &sha256_hex(task)[..8])
}

/// The name of the execution of one task (of one item of it, when mapped) in one generation.
pub fn child_execution_name(run_key: &RunKey, generation: u32, task: &str, index: Option<u32>) -> String {
    let mut name = format!("{run_key}-g{generation}-{}", child_suffix(task));
    if let Some(index) = index {
        name.push_str(&format!("-{index}"));
    }
    name
}

/// The name of an attempt's log: a path below the log root of one machine, and the log stream's
/// name on AWS.
pub fn log_name(run: &RunRef, task: &str, index: Option<u32>, attempt: u32) -> String {
    let item = index.map(|index| format!("-{index}")).unwrap_or_default();
    format!("{}/{}/{task}{item}/{attempt}.log", run.pipeline, run.run_id)
}

/// The name of the container in every task definition.
pub const CONTAINER_NAME: &str = "task";

/// The log stream in which ECS keeps what a container printed: the prefix that its task definition
/// gives (the family), the container's name, the task's id.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html>
pub fn log_stream(family: &str, task_id: &str) -> String {
    format!("{family}/{CONTAINER_NAME}/{task_id}")
}

/// The base64 of the sha256 of bytes, as Lambda tells that of a package.
pub fn sha256_base64(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::BASE64.encode(&Sha256::digest(bytes))
}

/// The lower-case hex of the sha256 of a text.
pub fn sha256_hex(text: impl AsRef<[u8]>) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_both_ends() {
        assert!(is_name("extract_2"));
        assert!(is_name(&format!("a{}", "b".repeat(62))));
        for bad in ["", "2x", "_x", "Extract", "a-b", "añ", &format!("a{}", "b".repeat(63))] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_run_key_is_twenty_base32_characters() {
        let key = RunKey::new("ventas_batch", "1997-01-05");
        // sha256("ventas_batch/1997-01-05") in base32, computed with coreutils.
        assert_eq!(key.as_str(), "b4uztrhrmmq5w7z6e3zh");
    }

    #[test]
    fn child_names_fit_and_differ_for_long_tasks() {
        let key = RunKey::new("p", "r");
        let a = child_execution_name(&key, 12, &format!("t{}", "a".repeat(62)), Some(1023));
        let b = child_execution_name(&key, 12, &format!("t{}b", "a".repeat(61)), Some(1023));
        assert!(a.len() <= EXECUTION_NAME_MAX, "{a}");
        assert_ne!(a, b);
    }

    #[test]
    fn a_run_id_too_long_for_an_execution_name_gives_way_to_its_key() {
        let long = "x".repeat(73);
        let key = RunKey::new("p", &long);
        assert_eq!(run_execution_name(&long, &key, 2), format!("{key}-g2"));
        assert_eq!(run_execution_name("1997-01-05", &key, 1), "1997-01-05-g1");
    }
}
