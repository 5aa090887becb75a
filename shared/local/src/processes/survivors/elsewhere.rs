//! Systems that do not tell enough about a process to signal it safely after the fact.

use super::{Record, Start, SurvivorsError};
use crate::state::StateDir;
use cauce_model::RunKey;
use cauce_ports::RunningTask;
use rustix::process::{Pid, test_kill_process_group};
use std::collections::BTreeMap;
use std::path::Path;

/// Not told here.
pub(crate) fn start_of(_pid: u32) -> Option<Start> {
    None
}

/// Processes that left their group are not found here.
pub(crate) fn kill_marked(_state: &Path, _token: &str) {}

/// Refuses to go on while a group of the run's may still be there: the number may also belong to a
/// stranger by now, and only a person can tell.
pub(super) async fn end_processes(
    _state: &StateDir,
    _run_key: &RunKey,
    records: &[Record],
) -> Result<BTreeMap<String, RunningTask>, SurvivorsError> {
    let left: Vec<u32> = records
        .iter()
        .map(|record| record.pid)
        .filter(|pid| {
            i32::try_from(*pid)
                .ok()
                .and_then(Pid::from_raw)
                .is_some_and(|group| test_kill_process_group(group).is_ok())
        })
        .collect();
    if left.is_empty() { Ok(()) } else { Err(SurvivorsError::Left(left)) }
}
