//! `cauce show`: a run and its tasks.

use cauce_engine::status::made_good;
use cauce_model::TaskStatus;
use cauce_model::plan::{TaskIndex, TaskPlan};
use cauce_model::record::TaskRecord;

use super::runs::{message, spent};
use crate::args::ShowArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table};
use crate::store::{RunView, Store};
use crate::time;

pub(crate) fn show(args: &ShowArgs, context: &Context) -> Result<Exit, Failure> {
    let store = Store::require(context)?;
    context.block_on(async {
        let run = store.find(&args.run).await?;
        let view = store.view(run).await?;
        if context.json {
            context.output.json(&store.document(&view).await?)?;
        } else {
            tell(&view, &store, context)?;
        }
        Ok(Exit::Good)
    })
}

pub(crate) fn tell(view: &RunView, store: &Store, context: &Context) -> Result<(), Failure> {
    let run = &view.run;
    let mut head = Table::new(["RUN", &run.run.to_string()]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            head.row([name.into(), value.into()]);
        }
    };
    fact("status", view.status());
    fact("message", message(run));
    fact("generation", run.generation.to_string());
    fact("version", run.version.chars().take(12).collect());
    let by = run.trigger.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    fact("trigger", format!("{}{by}", run.trigger.kind.as_str()));
    fact("logical date", time::moment(run.logical_date));
    if run.data_interval_start != run.data_interval_end {
        let (from, to) = (time::moment(run.data_interval_start), time::moment(run.data_interval_end));
        fact("data", format!("{from} to {to}"));
    }
    if run.params.as_object().is_some_and(|params| !params.is_empty()) {
        fact("params", run.params.to_string());
    }
    fact("started", run.started_at.map(time::moment).unwrap_or_default());
    if !view.is_interrupted() {
        // Nobody knows until when it went on.
        fact("took", spent(run));
    }
    if let Some(state) = store.state() {
        let logs = state.logs().join(&run.run.pipeline).join(&run.run.run_id);
        fact("logs", logs.display().to_string());
    }
    context.output.table(&head)?;
    context.output.line("")?;
    context.output.table(&tasks(view))?;
    if view.is_interrupted() {
        context.output.talk(&format!(
            "the engine that ran it is gone; 'cauce resume {}' goes on and keeps what succeeded",
            run.run
        ));
    }
    Ok(())
}

/// The table of a run's tasks.
pub(crate) fn tasks(view: &RunView) -> Table {
    let mut table = Table::new(["TASK", "STATUS", "ATTEMPTS", "DURATION", "NOTE"]);
    for (index, (plan, status, record)) in (0..).zip(view.each()) {
        let current = record.filter(|_| status != TaskStatus::Waiting);
        let allowed = if current.is_some_and(|record| record.allowed_failure) {
            " (allowed)"
        } else if made_good(&view.prepared, index, |task| view.status_of(task)).is_some() {
            " (made good)"
        } else {
            ""
        };
        let took = current.and_then(|record| {
            let (from, to) = (record.started_at?, record.ended_at?);
            Some(time::duration(to.micros_since(from)))
        });
        let attempts = record.map_or(0, |record| record.attempts.len());
        table.row([
            plan.name.as_str().into(),
            Cell::status(format!("{}{allowed}", view.task_status(index))),
            if attempts == 0 { "".into() } else { attempts.to_string().into() },
            took.unwrap_or_default().into(),
            note(view, plan, index, record).into(),
        ]);
        // Items that went well are counted; the others are named.
        for item in view.items.get(&plan.name).into_iter().flatten() {
            if item.status != TaskStatus::Success && current.is_some() {
                let reason = item.reason.clone().or_else(|| item.attempts.last()?.message.clone());
                let reason = reason.map(|reason| in_its_words(view, item, reason));
                table.row([
                    format!("  {}[{}]", plan.name, item.index.unwrap_or_default()).into(),
                    Cell::status(item.status.as_str()),
                    item.attempts.len().to_string().into(),
                    "".into(),
                    reason.unwrap_or_default().into(),
                ]);
            }
        }
    }
    table
}

/// A reason, and what a data task that has failed said of it.
fn in_its_words(view: &RunView, record: &TaskRecord, reason: String) -> String {
    let failed = matches!(record.status, TaskStatus::Failed | TaskStatus::Retrying);
    match view.last_word(record).filter(|_| failed) {
        Some(said) => format!("{reason}: {said}"),
        None => reason,
    }
}

fn note(view: &RunView, plan: &TaskPlan, task: TaskIndex, record: Option<&TaskRecord>) -> String {
    let status = view.status_of(task);
    if view.did_not_run(task) {
        // The run says why, once for all of them.
        return String::new();
    }
    if status == TaskStatus::Waiting {
        let open = plan.needs.iter().filter(|up| !view.status_of(**up).is_terminal());
        let names: Vec<&str> = open.map(|up| view.prepared.task(*up).name.as_str()).collect();
        return match names.len() {
            0 => String::new(),
            _ => format!("waits for {}", names.join(", ")),
        };
    }
    let Some(record) = record else { return String::new() };
    if let Some(reason) = &record.reason {
        return in_its_words(view, record, reason.clone());
    }
    if plan.map.is_some() {
        let items = view.items.get(&plan.name).map(Vec::as_slice).unwrap_or_default();
        let good = items.iter().filter(|item| item.status == TaskStatus::Success).count();
        return format!("{good} of {} items succeeded", record.item_count.unwrap_or(items.len() as u32));
    }
    // Its memory is no longer what the file says.
    if let Some(size) = record.attempts.last().and_then(|attempt| attempt.size)
        && record.attempts.iter().any(|attempt| attempt.size.is_some_and(|before| before != size))
    {
        return format!("attempt {} had {size}", record.attempts.len());
    }
    match (&record.started_run, status) {
        (Some(run), _) => format!("run {run}"),
        (None, TaskStatus::Success) => String::new(),
        (None, _) => record.attempts.last().and_then(|attempt| attempt.message.clone()).unwrap_or_default(),
    }
}
