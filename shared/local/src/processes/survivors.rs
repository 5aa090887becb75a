//! Programs that outlived the engine which started them.
//!
//! While a program runs, a file in `running/` tells its process and what it works on. It is written
//! right after the spawn, without waiting for the disk: it must survive `kill -9` of the engine, not
//! a crash of the machine, which survives no program either. An engine that dies between spawn and
//! file leaves a program without one; and a program's leader may end and leave children. Both are
//! found by the marks in their environment.
//!
//! Nothing is signalled on the word of a number alone, for the system gives numbers anew: a process
//! is held by a descriptor first, then looked at (its marks, or that it started when the file says),
//! and only then signalled through the descriptor.

use super::launch::Container;
use super::request::Identity;
use crate::state::StateDir;
use cauce_model::{RunKey, RunRef};
use cauce_ports::RunningTask;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(super) use linux::{kill_marked, start_of};

#[cfg(target_os = "linux")]
use linux::end_processes;

#[cfg(not(target_os = "linux"))]
mod elsewhere;

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{kill_marked, start_of};

#[cfg(not(target_os = "linux"))]
use elsewhere::end_processes;

/// Why survivors of an engine could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum SurvivorsError {
    /// Some did not go, or could not be told from others.
    #[error(
        "processes of the run are still there: {}; end them by hand, then resume",
        list(.0)
    )]
    Left(Vec<u32>),
    /// The state folder or the system's list of processes cannot be read.
    #[error("could not look for processes of the run in {}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn list(ids: &[u32]) -> String {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    ids.join(", ")
}

/// When a process started, so that its number can be told from the same number given anew.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// Names the boot of the machine.
    boot: String,
    /// Clock ticks since then.
    ticks: u64,
}

/// A file of `running/`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) token: String,
    pub(super) pid: u32,
    /// Absent where the system does not tell.
    pub(super) start: Option<Start>,
    pub(super) pipeline: String,
    pub(super) run_id: String,
    pub(super) task: String,
    pub(super) index: Option<u32>,
    pub(super) attempt: u32,
    pub(super) stop_timeout_seconds: u32,
    pub(super) container: Option<Container>,
}

impl Record {
    pub(super) fn identity(&self) -> Identity {
        Identity {
            run_key: RunKey::new(&self.pipeline, &self.run_id),
            run: RunRef { pipeline: self.pipeline.clone(), run_id: self.run_id.clone() },
            task: self.task.clone(),
            index: self.index,
            attempt: self.attempt,
        }
    }

    fn path(state: &StateDir, token: &str) -> PathBuf {
        state.running().join(format!("{token}.json"))
    }

    pub(super) fn save(&self, state: &StateDir) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        // A reader that meets half a file finds the process by its marks.
        std::fs::write(Self::path(state, &self.token), text)
    }

    /// Forgets the program: it has ended.
    pub(super) fn remove(state: &StateDir, token: &str) {
        // A file that stays tells of a process that is found not to be there any more.
        let _ = std::fs::remove_file(Self::path(state, token));
    }

    /// All records of a run. Files that cannot be understood are passed over.
    fn of_run(state: &StateDir, run_key: &RunKey) -> io::Result<Vec<Self>> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(state.running())? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let record =
                std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
            records.extend(record.filter(|record| record.identity().run_key == *run_key));
        }
        records.sort_by(|a, b| a.token.cmp(&b.token));
        Ok(records)
    }
}

/// Ends every program of a run that an engine left behind, and waits until all are gone: SIGTERM,
/// the stop timeout, SIGKILL. Returns them, and those that a file tells of and that had ended.
///
/// Call it with the run's lock held: the programs of a living engine look the same.
///
/// # Errors
/// Some processes stayed, or could not be looked for.
pub(super) async fn end(state: &StateDir, run_key: &RunKey) -> Result<Vec<RunningTask>, SurvivorsError> {
    let records = Record::of_run(state, run_key)
        .map_err(|source| SurvivorsError::Io { path: state.running(), source })?;
    let mut ended = end_processes(state, run_key, &records).await?;
    for record in records {
        if let Some(container) = &record.container {
            container.remove();
        }
        ended.insert(record.token.clone(), record.identity().running(&record.token));
        Record::remove(state, &record.token);
    }
    Ok(ended.into_values().collect())
}
