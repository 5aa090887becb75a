//! `cauce-worker KIND`: runs one data task under the task contract.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use cauce_worker::failure::{Failure, Result};
use cauce_worker::task::Task;
use cauce_worker::{KINDS, Outcome, run};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind] = arguments.as_slice() else {
        log(json!({"event": "usage", "message": format!("cauce-worker {}", KINDS.join("|"))}));
        return ExitCode::from(2);
    };
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match work(kind, variables) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log(
                json!({"event": "failed", "kind": kind, "message": failure.explain(), "exit_code": failure.exit_code()}),
            );
            ExitCode::from(failure.exit_code())
        }
    }
}

fn work(kind: &str, variables: BTreeMap<String, String>) -> Result<()> {
    let answer_file = variables.get("CAUCE_OUTPUT_FILE").cloned();
    let folder =
        std::env::current_dir().map_err(|error| Failure::system("cannot see the working folder", error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot start the runtime", error))?;
    let Outcome { answer, failed } = runtime.block_on(async {
        let task = Task::read(variables, folder).await?;
        run(kind, &task).await
    })?;
    // A gate that fails answers too: whoever looks into the failure finds the figures.
    if let Some(path) = answer_file {
        std::fs::write(&path, answer.to_string())
            .map_err(|error| Failure::system(format!("cannot write CAUCE_OUTPUT_FILE {path}"), error))?;
    }
    log(json!({"event": "done", "kind": kind, "answer": answer, "peak_memory_kib": peak_memory_kib()}));
    failed.map_or(Ok(()), |reason| Err(Failure::Data(reason)))
}

/// The most memory this process has held, where the system tells: the figure to size the task's container by.
fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// One line of the task's log.
fn log(line: Value) {
    // Nobody may be listening; that must not change how the task ends.
    let _ = writeln!(std::io::stderr(), "{line}");
}
