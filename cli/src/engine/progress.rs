//! Progress of runs, a line per change.

use cauce_model::TaskStatus;
use cauce_model::ids::RunRef;
use cauce_model::plan::Plan;
use cauce_model::record::TaskRecord;

use crate::context::Context;

/// A change of a task run.
pub(crate) struct Change {
    task: String,
    status: TaskStatus,
    attempt: usize,
    note: Option<String>,
}

impl Change {
    pub(crate) fn of(record: &TaskRecord) -> Self {
        let task = match record.index {
            Some(index) => format!("{}[{index}]", record.task),
            None => record.task.clone(),
        };
        Self { task, status: record.status, attempt: record.attempts.len(), note: record.reason.clone() }
    }
}

/// Tells changes as they come.
pub(crate) struct Progress {
    context: Context,
}

impl Progress {
    pub(crate) fn new(context: &Context) -> Self {
        Self { context: context.clone() }
    }
    pub(crate) fn plan(&mut self, _: &Plan) {}
    pub(crate) fn begin(&mut self, names: &[RunRef]) {
        for name in names {
            self.context.output.talk(&format!("run {name}"));
        }
    }
    pub(crate) fn tick(&mut self) {}
    pub(crate) fn wants_ticks(&self) -> bool {
        false
    }
    pub(crate) fn change(&mut self, change: Change) {
        if self.context.json {
            return;
        }
        let attempt = if change.attempt > 1 { format!(" (attempt {})", change.attempt) } else { String::new() };
        let note = change.note.map(|note| format!(": {note}")).unwrap_or_default();
        self.context.output.talk(&format!("  {} {}{attempt}{note}", change.task, change.status));
    }
    pub(crate) fn end(&mut self) {}
}
