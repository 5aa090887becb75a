//! What the platform tells of executions and programs that ended, for when nobody of ours could say it.
//!
//! Such events are best-effort, repeated and unordered. None of them is needed while everything goes
//! well, and each is safe whenever it comes: a terminal status absorbs, a generation that is over is
//! nobody's business, and a program's end counts only once its execution is closed, so that the normal
//! path is never raced. Nor is an execution of another name than ours, though its input be the same: the
//! console's "New execution" copies that.

use crate::classify::{self, Failure};
use crate::close::{self, Cut};
use crate::command::{Command, Decision, Effect, ExecutionEnd, Finish, Observed, Outcome, Reply};
use crate::status::{Loaded, effective, load_run, load_task};
use crate::stop::Stop;
use crate::view::Liveness;
use crate::{Settings, View, finish};
use cauce_model::ids::child_execution_name;
use cauce_model::plan::{TaskKind, TaskPlan};
use cauce_model::record::{Record, RunRecord, TaskRecord, run_item, task_item};
use cauce_model::{FailureClass, Instant, Item, RunKey, Write, names};

pub(crate) fn decide(
    observed: &Observed,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    match observed {
        Observed::Task { run_key, generation, task, index, execution, end } => {
            let Some(run) = of_generation(run_key, *generation, view)? else {
                return Ok(Decision::default());
            };
            let prepared = view.plan(&run.record.run.pipeline, &run.record.version)?;
            let pinned = view.settings(&run.record, settings)?;
            let is_named =
                prepared.find(task).is_some_and(|(_, plan)| machine(plan, *index, pinned).is_some());
            if is_named && *execution != child_execution_name(run_key, *generation, task, *index) {
                return Ok(Decision::default());
            }
            settle(&run.record, task, *index, Some(end.clone()), view, settings, now)
        }
        Observed::Run { run_key, generation, execution, end } => {
            let Some(run) = of_generation(run_key, *generation, view)? else {
                return Ok(Decision::default());
            };
            if run.record.status.is_terminal() || run.record.execution != *execution {
                return Ok(Decision::default());
            }
            let mut decision = close::conclude(run, cut(end).as_ref(), view, settings, now)?;
            if matches!(decision.reply, Reply::Failure { error: names::UNAVAILABLE, .. }) {
                // More task runs than one transaction settles: on with the next ones.
                decision
                    .effects
                    .push(Effect::Command(Box::new(Command::Observed(Box::new(observed.clone())))));
            }
            decision.reply = Reply::None;
            Ok(decision)
        }
        Observed::Part { run_key, generation, end } => {
            let run = of_generation(run_key, *generation, view)?.map(|run| run.record);
            let Some(run) = run.filter(|run| !run.status.is_terminal() && *end != ExecutionEnd::Succeeded)
            else {
                return Ok(Decision::default());
            };
            // The tasks in it were neither run nor decided, and others may wait for them at gates: the run
            // cannot go on as it should.
            let cause = "a part of it ended before its end".to_owned();
            Ok(Decision {
                effects: vec![
                    Effect::Stop { machine: run.machine.clone(), name: run.execution.clone(), cause },
                    Effect::Command(Box::new(Command::Observed(Box::new(Observed::Run {
                        run_key: run_key.clone(),
                        generation: *generation,
                        execution: run.execution.clone(),
                        end: end.clone(),
                    })))),
                ],
                ..Decision::default()
            })
        }
        Observed::Program { run_key, task, index, attempt, program } => {
            let Some(item) = view.item(&run_item(run_key))? else { return Ok(Decision::default()) };
            let run = RunRecord::from_item(item)?;
            let loaded = load_task(view, run_key, run.generation, task, *index)?;
            let record = &loaded.record;
            let newest = record.attempts.len() as u32 == *attempt;
            if record.status.is_terminal() || !newest {
                return log(loaded, &run, *attempt, program, view);
            }
            let prepared = view.plan(&run.run.pipeline, &run.version)?;
            let pinned = view.settings(&run, settings)?;
            let Some(machine) = prepared.find(task).and_then(|(_, plan)| machine(plan, *index, pinned))
            else {
                return Ok(Decision::default());
            };
            let name = child_execution_name(run_key, run.generation, task, *index);
            match view.execution(machine, &name)?.clone() {
                // Its execution hears of the end by itself.
                Liveness::Running | Liveness::Never => Ok(Decision::default()),
                Liveness::Closed(end) => settle(&run, task, *index, Some(end), view, settings, now),
            }
        }
    }
}

/// Notes the log of a program whose attempt ended before it did: one that was cancelled or ran out of
/// time says something too. Who finishes in the ordinary way has named its log already.
fn log(
    mut loaded: Loaded<TaskRecord>,
    run: &RunRecord,
    number: u32,
    program: &str,
    view: &View,
) -> Result<Decision, Stop> {
    let record = &mut loaded.record;
    let attempt = record.attempts.iter_mut().find(|attempt| attempt.number == number);
    let Some(attempt) = attempt.filter(|attempt| attempt.ended_at.is_some()) else {
        return Ok(Decision::default());
    };
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let kind = prepared.find(&record.task).map(|(_, plan)| &plan.kind);
    let Some(TaskKind::Container(container)) = kind else { return Ok(Decision::default()) };
    let stream = finish::stream_of(program, &container.task_definition);
    if attempt.log.as_ref() == Some(&stream) {
        return Ok(Decision::default());
    }
    attempt.log = Some(stream);
    let key = task_item(&run.key(), &record.task, record.index);
    let write = Write::Put { item: Item::new(key, record.to_body()), expect: loaded.expect };
    Ok(Decision { writes: vec![write], ..Decision::default() })
}

/// A run in the generation that is spoken of; `None` when there is no such run, or it is in another one.
fn of_generation(run_key: &RunKey, generation: u32, view: &View) -> Result<Option<Loaded<RunRecord>>, Stop> {
    if view.item(&run_item(run_key))?.is_none() {
        return Ok(None);
    }
    let loaded = load_run(view, run_key)?;
    Ok((loaded.record.generation == generation).then_some(loaded))
}

/// Ends a task run whose execution is over. Nothing happens when it has ended already.
fn settle(
    run: &RunRecord,
    task: &str,
    index: Option<u32>,
    end: Option<ExecutionEnd>,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let Some((number, plan)) = prepared.find(task) else { return Ok(Decision::default()) };
    let record = load_task(view, &run.key(), run.generation, task, index)?.record;
    let is_over = match index {
        None => effective(run, number, Some(&record)).is_terminal(),
        Some(_) => record.generation == run.generation && record.status.is_terminal(),
    };
    // A mapped task as a whole has no execution of its own: its join says how it ended.
    if is_over || plan.map.is_some() && index.is_none() {
        return Ok(Decision::default());
    }
    let finish = Finish {
        run_key: run.key(),
        generation: run.generation,
        task: task.to_owned(),
        index,
        fence: record.fence,
        outcome: Outcome::Died(end),
    };
    let decision = finish::decide(&finish, view, settings, now)?;
    Ok(Decision { reply: Reply::None, ..decision })
}

/// What a run is closed with when its execution ended in this manner and it was not closed.
fn cut(end: &ExecutionEnd) -> Option<Cut> {
    match end {
        ExecutionEnd::Succeeded => None,
        ExecutionEnd::Aborted { cause } if cause.is_empty() => {
            Some(Cut::Stopped("stopped from outside".to_owned()))
        }
        ExecutionEnd::Aborted { cause } => Some(Cut::Stopped(format!("stopped from outside: {cause}"))),
        ExecutionEnd::TimedOut => Some(Cut::Failed("its execution ran out of time".to_owned())),
        ExecutionEnd::Failed { error, cause } => Some(Cut::Failed(format!(
            "its execution failed: {}",
            classify::shown(&format!("{error}: {}", classify::plain(cause)))
        ))),
    }
}

/// The failure of a task run whose execution ended so.
pub(crate) fn failure(end: Option<&ExecutionEnd>) -> Failure {
    match end {
        None | Some(ExecutionEnd::Succeeded) => {
            Failure::new(FailureClass::Aborted, "its execution ended without a word")
        }
        Some(ExecutionEnd::Aborted { cause }) if cause.is_empty() => {
            Failure::new(FailureClass::Aborted, "its execution was stopped from outside")
        }
        Some(ExecutionEnd::Aborted { cause }) => {
            let message = format!("its execution was stopped from outside: {}", classify::shown(cause));
            Failure::new(FailureClass::Aborted, message)
        }
        Some(ExecutionEnd::TimedOut) => Failure::new(FailureClass::Timeout, "its execution ran out of time"),
        // Names of our own say what our functions could not do, not what became of the attempt.
        Some(ExecutionEnd::Failed { error, cause }) if error.starts_with(names::PREFIX) => {
            Failure::new(FailureClass::Aborted, classify::shown(&classify::plain(cause)))
        }
        Some(ExecutionEnd::Failed { error, cause }) => classify::failure(error, cause),
    }
}

/// The machine in which a task run is executed. `None`: in its parent's own, or in an execution without
/// a name of ours (an item of a distributed Map).
pub(crate) fn machine<'a>(plan: &TaskPlan, index: Option<u32>, settings: &'a Settings) -> Option<&'a str> {
    let is_nameless = match &plan.map {
        None => index.is_some(),
        Some(map) => index.is_none() || map.distributed,
    };
    if is_nameless {
        return None;
    }
    settings.machines.get(plan.kind.machine()?).map(String::as_str)
}
