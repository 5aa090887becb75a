//! What a run's records say about its tasks in its present generation.

use crate::rules::Tally;
use crate::slots::Holder;
use crate::{Prepared, View};
use cauce_model::item::Expect;
use cauce_model::plan::{TaskIndex, TaskPlan};
use cauce_model::record::{Record, RunRecord, TaskRecord, run_item, task_item};
use cauce_model::{Item, RunKey, TaskStatus};

use crate::stop::Stop;
use std::collections::{BTreeMap, BTreeSet};

/// A record together with what a write of it expects to find.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) record: T,
    pub(crate) expect: Expect,
}

/// The run's record, or a refusal when there is none.
pub(crate) fn load_run(view: &View, run_key: &RunKey) -> Result<Loaded<RunRecord>, Stop> {
    let item = view.item(&run_item(run_key))?.ok_or_else(|| Stop::no_run(run_key))?;
    Ok(Loaded { record: RunRecord::from_item(item)?, expect: Expect::Version(item.version) })
}

/// A task run's record, or a new one.
pub(crate) fn load_task(
    view: &View,
    run_key: &RunKey,
    generation: u32,
    task: &str,
    index: Option<u32>,
) -> Result<Loaded<TaskRecord>, Stop> {
    Ok(match view.item(&task_item(run_key, task, index))? {
        Some(item) => Loaded { record: TaskRecord::from_item(item)?, expect: Expect::Version(item.version) },
        None => {
            Loaded { record: TaskRecord::new(task.to_owned(), index, generation), expect: Expect::Absent }
        }
    })
}

/// The task run of a holder's name, while neither it nor its generation is over: it may still bring a
/// result, or end.
pub(crate) fn under_way(holder: &str, view: &View) -> Result<Option<TaskRecord>, Stop> {
    let Some(Holder { run_key, generation, attempt: Some((task, index, _)) }) = Holder::parse(holder) else {
        return Ok(None);
    };
    let (run, task) = (run_item(&run_key), task_item(&run_key, &task, index));
    view.want([run.clone(), task.clone()])?;
    let (Some(run), Some(task)) = (view.item(&run)?, view.item(&task)?) else { return Ok(None) };
    let (run, task) = (RunRecord::from_item(run)?, TaskRecord::from_item(task)?);
    Ok(is_under_way(generation, &run, &task).then_some(task))
}

/// Whether a task run of a generation is under way, by the records of its run and of itself.
pub fn is_under_way(generation: u32, run: &RunRecord, task: &TaskRecord) -> bool {
    let is_of_now = run.generation == generation && task.generation == generation;
    let is_over = run.status.is_terminal() || task.status.is_terminal();
    is_of_now && !is_over
}

/// A task's status in the run's present generation: what that generation decided, or what an
/// earlier one did and this one keeps, or nothing yet.
pub fn effective(run: &RunRecord, task: TaskIndex, record: Option<&TaskRecord>) -> TaskStatus {
    match record {
        Some(record) if record.generation == run.generation => record.status,
        Some(record) if record.status.is_terminal() && run.carries(task as usize) => record.status,
        _ => TaskStatus::Waiting,
    }
}

/// The reason of a task of which a person said how it ended.
pub(crate) fn marked(status: TaskStatus, by: &str) -> String {
    format!("marked as {status} by {by}")
}

/// Who said how a task ended, where a person did.
pub fn marked_by(record: &TaskRecord) -> Option<&str> {
    record.reason.as_deref()?.strip_prefix(marked(record.status, "").as_str())
}

/// The status as rules count it: an excused failure is a success.
pub fn counted(status: TaskStatus, allow_failure: bool) -> TaskStatus {
    if allow_failure && matches!(status, TaskStatus::Failed | TaskStatus::UpstreamFailed) {
        TaskStatus::Success
    } else {
        status
    }
}

/// The fallback that made the failure of a task good: its own, or that of the fallback where this one
/// failed too. None where the task did not fail, or where no fallback succeeded.
pub fn made_good(
    prepared: &Prepared,
    task: TaskIndex,
    status: impl Fn(TaskIndex) -> TaskStatus,
) -> Option<TaskIndex> {
    let failed = |task| matches!(status(task), TaskStatus::Failed | TaskStatus::UpstreamFailed);
    let mut task = task;
    while failed(task) {
        task = prepared.fallback(task)?;
        if status(task) == TaskStatus::Success {
            return Some(task);
        }
    }
    None
}

/// The endings of a task's upstreams, as its rule counts them: an excused failure is a success, and a
/// task counts as one with its fallbacks where all of them are upstreams. An early rule looks at each by
/// itself: it waits for nothing that could make a failure good.
pub fn tallied(
    prepared: &Prepared,
    plan: &TaskPlan,
    status: impl Fn(TaskIndex) -> TaskStatus,
) -> Vec<TaskStatus> {
    let is_early = plan.rule.is_early();
    let is_one_with = |up: &TaskIndex| {
        let other = prepared.task(*up).fallback_for;
        !is_early && other.is_some_and(|other| plan.needs.contains(&other))
    };
    let here = |task: TaskIndex| {
        // What is no upstream may not have ended.
        if plan.needs.contains(&task) { status(task) } else { TaskStatus::Waiting }
    };
    let ups = plan.needs.iter().filter(|up| !is_one_with(up));
    let counted = |up: &TaskIndex| {
        let may_be_good = !is_early && prepared.fallback(*up).is_some();
        if may_be_good && made_good(prepared, *up, here).is_some() {
            return TaskStatus::Success;
        }
        counted(status(*up), prepared.task(*up).allow_failure)
    };
    ups.map(counted).collect()
}

/// The declared upstreams of a task, as its rule sees them.
pub(crate) struct Upstreams {
    pub(crate) tally: Tally,
    /// The upstreams that have not ended.
    pub(crate) open: Vec<TaskIndex>,
    /// The branch that skips the task, if one does.
    pub(crate) skipped_by: Option<String>,
}

/// Reads the declared upstreams of a task.
pub(crate) fn upstreams(
    view: &View,
    run: &RunRecord,
    prepared: &Prepared,
    task: TaskIndex,
) -> Result<Upstreams, Stop> {
    let run_key = run.key();
    let plan = prepared.task(task);
    let key = |up: TaskIndex| task_item(&run_key, &prepared.task(up).name, None);
    view.want(plan.needs.iter().map(|up| key(*up)))?;
    let mut statuses = BTreeMap::new();
    let mut open = Vec::new();
    let mut skipped_by = None;
    let mut kept = Vec::new();
    for up in &plan.needs {
        let record = view.item(&key(*up))?.map(TaskRecord::from_item).transpose()?;
        let status = effective(run, *up, record.as_ref());
        if !status.is_terminal() {
            open.push(*up);
        } else if let Some(record) = &record
            && record.skips.contains(&plan.name)
            && !run.force
        {
            skipped_by = Some(record.task.clone());
        }
        if let Some(record) = record.filter(|_| run.carries(*up as usize)) {
            kept.push((*up, record.generation));
        }
        statuses.insert(*up, status);
    }
    for (up, status) in without_setup(view, run, prepared, &kept)? {
        statuses.insert(up, status);
    }
    let of = |up: TaskIndex| statuses.get(&up).copied().unwrap_or(TaskStatus::Waiting);
    Ok(Upstreams { tally: Tally::count(tallied(prepared, plan, of)), open, skipped_by })
}

/// What a task that keeps its ending counts as for those below it.
pub(crate) fn kept_status(
    view: &View,
    run: &RunRecord,
    prepared: &Prepared,
    task: TaskIndex,
    record: &TaskRecord,
) -> Result<TaskStatus, Stop> {
    let otherwise = without_setup(view, run, prepared, &[(task, record.generation)])?;
    Ok(otherwise.last().map_or(record.status, |(_, status)| *status))
}

/// Of upstreams that keep their ending: those that worked on what a setup had made, where that setup has run again and
/// made nothing. Whoever stands on them counts them as they would have ended now. Those that had run without it, by
/// their rules, stand on nothing that is gone.
fn without_setup(
    view: &View,
    run: &RunRecord,
    prepared: &Prepared,
    kept: &[(TaskIndex, u32)],
) -> Result<Vec<(TaskIndex, TaskStatus)>, Stop> {
    let mut found = Vec::new();
    if kept.is_empty() {
        return Ok(found);
    }
    for setup in setups_of(run, prepared) {
        let works = users(prepared, setup);
        let mut users = kept.iter().filter(|(up, _)| works[*up as usize]).peekable();
        if users.peek().is_none() {
            continue;
        }
        let record = view.item(&task_item(&run.key(), &prepared.task(setup).name, None))?;
        let record = record.map(TaskRecord::from_item).transpose()?;
        if let Some(record) = record {
            let counts = |(up, ran_in): &(TaskIndex, u32)| Some((*up, unmade(run, setup, &record, *ran_in)?));
            found.extend(users.filter_map(counts));
        }
    }
    Ok(found)
}

/// What those count as for the tasks below them that ran in an earlier generation on what a setup had made, where it
/// has made nothing in this one. None where it had made nothing then, or stands, or is not decided.
pub fn unmade(run: &RunRecord, setup: TaskIndex, record: &TaskRecord, ran_in: u32) -> Option<TaskStatus> {
    let before = record.earlier.iter().rfind(|ending| ending.generation <= ran_in)?;
    match effective(run, setup, Some(record)) {
        _ if before.status != TaskStatus::Success => None,
        TaskStatus::Failed | TaskStatus::UpstreamFailed | TaskStatus::Cancelled => {
            Some(TaskStatus::UpstreamFailed)
        }
        TaskStatus::Skipped => Some(TaskStatus::Skipped),
        _ => None,
    }
}

/// The setups that run in this generation.
pub fn setups_of(run: &RunRecord, prepared: &Prepared) -> BTreeSet<TaskIndex> {
    let all = prepared.plan.tasks.iter().flat_map(|task| task.teardown_of.iter().copied());
    all.filter(|setup| !run.carries(*setup as usize)).collect()
}

/// Whether a task works on what a setup makes in this generation.
pub(crate) fn works_on_what_is_set_up(run: &RunRecord, prepared: &Prepared, task: TaskIndex) -> bool {
    setups_of(run, prepared).into_iter().any(|setup| users(prepared, setup)[task as usize])
}

/// What a task waits for, in the order of the plan: upstreams that have not ended, and above those that keep their
/// ending what has not ended there, where that sets up anew what they worked on.
pub fn waits_for(
    run: &RunRecord,
    prepared: &Prepared,
    task: TaskIndex,
    status: impl Fn(TaskIndex) -> TaskStatus,
) -> BTreeSet<TaskIndex> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut next = vec![task];
    while let Some(task) = next.pop() {
        for up in prepared.task(task).needs.iter().copied().filter(|up| seen.insert(*up)) {
            if !status(up).is_terminal() {
                found.insert(up);
            } else if run.carries(up as usize)
                && !prepared.task(up).rule.is_early()
                && works_on_what_is_set_up(run, prepared, up)
            {
                next.push(up);
            }
        }
    }
    found
}

/// For every task, whether it works on what a setup makes. A fallback stands on its own, and a teardown takes away.
pub fn users(prepared: &Prepared, setup: TaskIndex) -> Vec<bool> {
    let mut users = vec![false; prepared.plan.tasks.len()];
    // Tasks are in topological order: the answer for every upstream is known.
    for (at, task) in prepared.plan.tasks.iter().enumerate().filter(|(_, task)| !task.is_teardown()) {
        let mut needs = task.needs.iter().filter(|up| task.fallback_for != Some(**up));
        users[at] = needs.any(|up| *up == setup || users[*up as usize]);
    }
    users
}

/// Reads task records out of the items of a run's partition, skipping items of mapped tasks.
pub fn task_records(items: &[Item]) -> Result<Vec<TaskRecord>, cauce_model::record::RecordError> {
    items.iter().map(TaskRecord::from_item).collect()
}
