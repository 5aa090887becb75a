//! The program inside a data task: `quality`, `sql`, `mask` and `copy` over files and Delta tables.
//!
//! It reads the task contract (environment, input document), does one thing to rows or files, and answers with one JSON
//! object and an exit code. It never guesses a type, never drops a row without writing down why, never shows half a
//! result, and never prints a cell of data to its log. It decides nothing about runs: retries, branches and schedules
//! are the engine's.
//!
//! Start at [`run`]; then the kinds [`quality`], [`sql`], [`mask`], [`copy`]; then how rows come in ([`rows`]) and go
//! out ([`write`]). `docs/data-kinds.md` is the user's page.

pub mod failure;
pub mod storage;
pub mod task;

pub mod copy;
pub mod mask;
pub mod quality;
pub mod sql;

pub mod config;
pub mod files;
pub mod rows;
pub mod session;
pub mod write;

use serde_json::Value;

use failure::{Failure, Result};
use task::Task;

/// The kinds this program runs, as the pipeline file names them.
pub const KINDS: [&str; 4] = ["quality", "sql", "mask", "copy"];

/// What a task did: its answer, and, when rows failed a gate, why it must exit with 1 all the same.
#[derive(Debug)]
pub struct Outcome {
    /// The task's return.
    pub answer: Value,
    /// The reason the data failed, when it did after everything was written.
    pub failed: Option<String>,
}

/// Runs a task of one kind.
pub async fn run(kind: &str, task: &Task) -> Result<Outcome> {
    let answer = match kind {
        "quality" => return quality::run(task).await,
        "sql" => sql::run(task).await?,
        "mask" => mask::run(task).await?,
        "copy" => copy::run(task).await?,
        other => {
            return Err(Failure::Config(format!(
                "`{other}` is not a data kind; there are {}",
                KINDS.join(", ")
            )));
        }
    };
    Ok(Outcome { answer, failed: None })
}
