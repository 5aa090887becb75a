//! The sweep's look at one run: is what the store says of it still true? Whatever an event should have
//! told, and did not, is found out here by asking the platform, within a budget of questions.

use crate::close::again_after_close;
use crate::command::{Command, Decision, Effect, Finish, Observed, Outcome, Program, Reconcile, Reply};
use crate::status::{Loaded, effective, load_run, task_records};
use crate::stop::Stop;
use crate::view::Liveness;
use crate::{Prepared, Settings, View, approval, gate, observed, slots, trigger};
use cauce_model::ids::child_execution_name;
use cauce_model::record::{
    GATE_PREFIX, RunRecord, TASK_PREFIX, TaskRecord, active_item, run_item, run_partition, task_item,
};
use cauce_model::{Expect, Instant, Json, RunKey, RunStatus, TaskStatus, Write};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A run that was written and whose execution was not seen after this time is started again. Whoever wrote
/// it starts it at once; a state that starts a nested run tries for about ten minutes.
pub const START_AGAIN_SECONDS: u64 = 1800;

/// A task run all of whose upstreams ended this long ago, and which nobody has asked about, was lost on
/// the way: the state that was to start it gave up. States try for less than half of this.
const LOST_SECONDS: u64 = 3600;

/// What still runs of a run this long after it was cancelled, nobody is about to stop.
const CANCELLED_SECONDS: u64 = 60;

/// What was repaired.
#[derive(Default)]
struct Repairs {
    lines: Vec<String>,
    started: u32,
    closed: u32,
    settled: u32,
    gates: u32,
    stopped: u32,
}

impl Repairs {
    fn say(&mut self, run: &RunRecord, what: &str) {
        self.lines.push(format!("{}: {what}", run.run));
    }
}

pub(crate) fn decide(
    reconcile: &Reconcile,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let run_key = &reconcile.run_key;
    if view.item(&run_item(run_key))?.is_none() {
        return Ok(Decision { writes: out_of_list(run_key, Expect::Absent), ..Decision::default() });
    }
    let Loaded { record: run, expect } = load_run(view, run_key)?;
    let records = task_records(view.range(run_partition(run_key), TASK_PREFIX.to_owned())?)?;
    let mut repairs = Repairs::default();
    let mut decision = Decision::default();
    let mut looked = Looked::default();

    if run.status.is_terminal() {
        let is_told = run.outbox.is_empty() && records.iter().all(|record| record.outbox.is_empty());
        let is_quiet = is_told && run.next.is_none();
        let mut effects = again_after_close(&run, &records);
        // It leaves the list when all that has been done again: what whoever ended it did not live to do
        // would be lost otherwise with whoever sweeps.
        if let Expect::Version(version) = expect
            && is_quiet
            && reconcile.programs.as_ref().is_some_and(Vec::is_empty)
        {
            let mut commands = Vec::new();
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Command(command) => commands.push(*command),
                    other => effects.push(other),
                }
            }
            let then = Box::new(Command::Retire { run_key: run_key.clone(), version });
            effects.push(Effect::Each { commands, then });
        }
        decision.effects.extend(effects);
    } else {
        decision.effects.extend(deliveries(&run, &records));
        match view.execution(&run.machine, &run.execution)?.clone() {
            Liveness::Running => {
                looked =
                    under_way(reconcile, &run, &records, view, settings, now, &mut repairs, &mut decision)?;
            }
            Liveness::Closed(end) => {
                repairs.closed += 1;
                repairs.say(&run, "closed, since its execution is over");
                decision.effects.push(observe(&run, end));
                let prepared = view.plan(&run.run.pipeline, &run.version)?;
                looked.pools = in_use(&run, &prepared, &records);
            }
            Liveness::Never if run.status == RunStatus::Queued => {
                let since = view.item(&active_item(run_key))?.and_then(trigger::active_since);
                if since.is_none_or(|since| since.plus_seconds(START_AGAIN_SECONDS) <= now) {
                    repairs.started += 1;
                    repairs.say(&run, "started, since nobody had");
                    decision.effects.push(trigger::start(&run));
                }
            }
            // On one machine executions die with their process, and `cauce resume` goes on. Meanwhile it waits in no line.
            Liveness::Never if settings.one_machine => {
                let prepared = view.plan(&run.run.pipeline, &run.version)?;
                looked.pools = in_use(&run, &prepared, &records);
            }
            Liveness::Never => {
                repairs.closed += 1;
                repairs.say(&run, "closed, since its execution is gone");
                let error = "ExecutionDoesNotExist".to_owned();
                let cause = "the platform does not know it any more".to_owned();
                decision.effects.push(observe(&run, crate::command::ExecutionEnd::Failed { error, cause }));
            }
        }
    }
    // With what has just been found out to be over: nobody waits for its programs any more.
    let programs = reconcile.programs.as_deref().unwrap_or_default();
    let is_over = run.status.is_terminal() || repairs.closed > 0;
    for program in programs {
        let is_settled = looked.settled.contains(&(program.task.clone(), program.index));
        if !(is_over || is_settled || is_orphan(program, &run, &records)) {
            continue;
        }
        repairs.stopped += 1;
        let what = format!("stopped attempt {} of {}, which nobody waits for", program.attempt, program.task);
        repairs.say(&run, &what);
        let reason = "its attempt is over".to_owned();
        decision.effects.push(Effect::StopProgram { id: program.id.clone(), reason });
    }
    decision.reply = Reply::Ok(json!({
        "lines": repairs.lines,
        "started": repairs.started,
        "closed": repairs.closed,
        "settled": repairs.settled,
        "gates": repairs.gates,
        "stopped": repairs.stopped,
        "looked": looked.count,
        "next": looked.next,
        "pools": looked.pools,
    }));
    Ok(decision)
}

/// Takes a run out of the list of those to look at, while it is as expected: its next generation enters the list
/// again.
fn out_of_list(run_key: &RunKey, expect: Expect) -> Vec<Write> {
    let gone = Write::Delete { key: active_item(run_key), expect: Expect::Any };
    vec![gone, Write::Check { key: run_item(run_key), expect }]
}

/// Nobody needs to look at a run any more, unless something has become of it since.
pub(crate) fn retire(run_key: &RunKey, version: u64, view: &View) -> Result<Decision, Stop> {
    let is_as_then = view.item(&run_item(run_key))?.is_some_and(|item| item.version == version);
    let writes = if is_as_then { out_of_list(run_key, Expect::Version(version)) } else { Vec::new() };
    Ok(Decision { writes, ..Decision::default() })
}

/// How many executions were looked at, and after which one to go on; the task runs that are settled, and the pools
/// in use.
#[derive(Default)]
struct Looked {
    count: u32,
    next: Option<String>,
    settled: BTreeSet<(String, Option<u32>)>,
    pools: BTreeSet<String>,
}

fn observe(run: &RunRecord, end: crate::command::ExecutionEnd) -> Effect {
    let (run_key, execution) = (run.key(), run.execution.clone());
    let observed = Observed::Run { run_key, generation: run.generation, execution, end };
    Effect::Command(Box::new(Command::Observed(Box::new(observed))))
}

/// Whether a program of a run under way belongs to an attempt that is over.
fn is_orphan(program: &Program, run: &RunRecord, records: &[TaskRecord]) -> bool {
    let record = records.iter().find(|record| record.task == program.task && record.index == program.index);
    !record.is_some_and(|record| {
        record.generation == run.generation
            && record.status == TaskStatus::Running
            && record.attempts.len() as u32 == program.attempt
    })
}

fn deliveries(run: &RunRecord, records: &[TaskRecord]) -> Vec<Effect> {
    let of_run = run.outbox.iter().map(|notice| (run_item(&run.key()), notice));
    let of_tasks = records.iter().flat_map(|record| {
        let key = task_item(&run.key(), &record.task, record.index);
        record.outbox.iter().map(move |notice| (key.clone(), notice))
    });
    of_run
        .chain(of_tasks)
        .map(|(key, notice)| Effect::Deliver { key, notice: Box::new(notice.clone()) })
        .collect()
}

/// The run's own execution goes on. Do its task runs?
#[expect(clippy::too_many_arguments, reason = "what was read, and what is being decided")]
fn under_way(
    reconcile: &Reconcile,
    run: &RunRecord,
    records: &[TaskRecord],
    view: &View,
    settings: &Settings,
    now: Instant,
    repairs: &mut Repairs,
    decision: &mut Decision,
) -> Result<Looked, Stop> {
    let run_key = run.key();
    let settings = view.settings(run, settings)?;
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let by_name: BTreeMap<&str, &TaskRecord> =
        records.iter().filter(|r| r.index.is_none()).map(|r| (r.task.as_str(), r)).collect();
    // Whoever gave back a slot may have died before it told those who wait.
    let mut pools = Vec::new();
    if run.status == RunStatus::Queued {
        pools.push(slots::pool_of_run(run));
    }
    if records.iter().any(|record| record.status == TaskStatus::Queued) {
        pools.extend(slots::of_run(&prepared.plan, run));
    }
    for pool in pools {
        decision.effects.push(slots::look_once(&pool));
    }

    // A task that had read the run before it was cancelled, and began after, was not there to be stopped.
    let is_under_way = |record: &TaskRecord| {
        record.generation == run.generation
            && matches!(record.status, TaskStatus::Running | TaskStatus::Retrying)
            && prepared.find(&record.task).is_some_and(|(_, plan)| !plan.is_teardown())
    };
    if let Some(cancel) = &run.cancel
        && cancel.at.plus_seconds(CANCELLED_SECONDS) <= now
        && let late @ 1.. = records.iter().filter(|record| is_under_way(record)).count()
    {
        repairs.stopped += late as u32;
        repairs.say(run, &format!("stopped {late} that had begun while it was cancelled"));
        let (run_key, reason) = (run.key(), cancel.reason.clone());
        let generation = Some(run.generation);
        let again = Command::Cancel { run_key, generation, reason, by: None };
        decision.effects.push(Effect::Command(Box::new(again)));
    }

    // Whoever answered may have died before the token heard of it.
    for record in records {
        let told = approval::told(run, record);
        if !told.is_empty() {
            repairs.say(run, &format!("told {} its answer again", record.task));
            decision.effects.extend(told);
        }
    }

    let prefix = format!("{GATE_PREFIX}{}#", run.generation);
    let gates = view.range(run_partition(&run_key), prefix)?;
    let statuses = crate::close::statuses(run, &prepared, &by_name);
    for (task, index) in prepared.plan.tasks.iter().zip(0..) {
        let is_asked = by_name.get(task.name.as_str()).is_some_and(|r| r.generation == run.generation);
        if is_asked {
            continue;
        }
        let effects = gate::retest(run, &prepared, index, gates, &statuses);
        if !effects.is_empty() {
            repairs.gates += 1;
            repairs.say(run, &format!("asked the gate of {} again", task.name));
            decision.effects.extend(effects);
        }
    }

    let mut looked = Looked { pools: in_use(run, &prepared, records), ..Looked::default() };
    let mut last = String::new();
    for suspect in suspects(run, &prepared, records, &by_name, &statuses, gates, now) {
        let key = task_item(&run_key, &suspect.task, suspect.index).sort;
        if key <= reconcile.after {
            continue;
        }
        if looked.count == reconcile.look {
            looked.next = Some(last);
            break;
        }
        last = key;
        let Some((_, plan)) = prepared.find(&suspect.task) else { continue };
        let end = match observed::machine(plan, suspect.index, settings) {
            None if suspect.is_lost => None,
            // It has no execution of its own that could be asked about.
            None => continue,
            Some(machine) => {
                looked.count += 1;
                let name = child_execution_name(&run_key, run.generation, &suspect.task, suspect.index);
                match view.execution(machine, &name)? {
                    Liveness::Running => continue,
                    Liveness::Never if !suspect.is_lost => continue,
                    Liveness::Never => None,
                    Liveness::Closed(end) => Some(end.clone()),
                }
            }
        };
        repairs.settled += 1;
        repairs.say(run, &format!("settled {}, since its execution is over", suspect.shown()));
        looked.settled.insert((suspect.task.clone(), suspect.index));
        decision.effects.push(Effect::Command(Box::new(Command::Finish(Finish {
            run_key: run_key.clone(),
            generation: run.generation,
            task: suspect.task,
            index: suspect.index,
            fence: suspect.fence,
            outcome: Outcome::Died(end),
        }))));
    }
    Ok(looked)
}

/// The pools whose slots a run has or wants that is not closed yet: those that its plan names, and those that its
/// unfinished task runs hold or wait for, locks among them.
fn in_use(run: &RunRecord, prepared: &Prepared, records: &[TaskRecord]) -> BTreeSet<String> {
    let mut pools = slots::of_run(&prepared.plan, run);
    pools.insert(slots::pool_of_run(run));
    for record in records.iter().filter(|record| !record.status.is_terminal()) {
        pools.extend(record.holds.iter().map(|hold| hold.pool.clone()));
        pools.extend(record.waits_for.iter().cloned());
    }
    pools
}

/// A task run that may have died.
struct Suspect {
    task: String,
    index: Option<u32>,
    fence: u64,
    /// Nobody has asked about it long after everything above it ended.
    is_lost: bool,
}

impl Suspect {
    fn shown(&self) -> String {
        match self.index {
            Some(index) => format!("{}[{index}]", self.task),
            None => self.task.clone(),
        }
    }
}

/// Whatever is not ended and may have an execution, in order of sort key.
fn suspects(
    run: &RunRecord,
    prepared: &Prepared,
    records: &[TaskRecord],
    by_name: &BTreeMap<&str, &TaskRecord>,
    statuses: &[TaskStatus],
    gates: &[cauce_model::Item],
    now: Instant,
) -> Vec<Suspect> {
    let present = |record: &&TaskRecord| record.generation == run.generation;
    let mut found: Vec<Suspect> = records
        .iter()
        .filter(present)
        .filter(|record| !record.status.is_terminal())
        .map(|record| Suspect {
            task: record.task.clone(),
            index: record.index,
            fence: record.fence,
            is_lost: false,
        })
        .collect();
    let began_long_ago = is_long_ago(run.started_at, now);
    let passed = passed_long_ago(run, prepared, by_name, statuses, now);
    for (task, index) in prepared.plan.tasks.iter().zip(0..) {
        let record = by_name.get(task.name.as_str()).copied();
        if record.as_ref().is_some_and(present) || statuses[index as usize].is_terminal() {
            continue;
        }
        let waits = gate::token(run, prepared, index, gates).is_some();
        // Nobody has asked about it, though everything above it ended long ago and the run began long ago.
        let is_lost = !waits && began_long_ago && task.needs.iter().all(|up| passed[*up as usize]);
        if waits || is_lost {
            let fence = record.map_or(0, |record| record.fence);
            found.push(Suspect { task: task.name.clone(), index: None, fence, is_lost });
        }
    }
    found.sort_by_key(|suspect| task_item(&run.key(), &suspect.task, suspect.index).sort);
    found
}

fn is_long_ago(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at.plus_seconds(LOST_SECONDS) <= now)
}

/// Which tasks the run's machine passed long ago. One that keeps its ending is passed after what is above it: that may
/// be a setup that makes anew what it worked on.
fn passed_long_ago(
    run: &RunRecord,
    prepared: &Prepared,
    by_name: &BTreeMap<&str, &TaskRecord>,
    statuses: &[TaskStatus],
    now: Instant,
) -> Vec<bool> {
    let mut passed = Vec::with_capacity(statuses.len());
    // Tasks are in topological order: the answer for every upstream is known.
    for (task, index) in prepared.plan.tasks.iter().zip(0..) {
        let record = by_name.get(task.name.as_str()).copied();
        let status = statuses[index as usize];
        let ended = effective(run, index, record) == status
            && status.is_terminal()
            && is_long_ago(record.and_then(|record| record.ended_at), now);
        let kept = run.carries(index as usize);
        passed.push(ended && (!kept || task.needs.iter().all(|up| passed[*up as usize])));
    }
    passed
}

/// What a reply of this decision counts under a name.
pub fn counted(reply: &Json, name: &str) -> u32 {
    reply.get(name).and_then(Json::as_u64).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
}
