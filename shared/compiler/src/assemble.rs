//! A plan without gates to everything that is built from it.

use std::collections::BTreeMap;
use std::fmt;

use cauce_model::TriggerRule;
use cauce_model::ids::sha256_hex;
use cauce_model::plan::{Arrival, GatePlan, Plan, TaskIndex, TaskKind, TaskPlan};
use serde::Serialize;

use crate::forecast::{EVENTS_MAX, Forecast, REQUEST_BYTES_MAX, request_bytes, worst_events};
use crate::gates::Gates;
use crate::machine::{self, Machine};
use crate::manifest::{Manifest, definition_file, manifest};
use crate::nest::Nest;
use crate::order::{Cycle, Firing, Graph, Order};
use crate::split::{Layout, WEIGHT_LIMIT};

/// An inline Map runs at most this many items at once.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html>
const INLINE_CONCURRENCY_MAX: u32 = cauce_asl::limits::INLINE_MAP_CONCURRENCY as u32;

/// The most items of a mapped task: expand-map answers with their indices, and the list of these
/// must fit the 256 KiB that a state's input may have.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
pub const ITEMS_MAX: u32 = 45_000;

/// What a task may take of a machine per unit of weight. Both leave a tenth of the budget to the
/// states around the tasks.
const BYTES_PER_WEIGHT: usize = REQUEST_BYTES_MAX * 9 / 10 / WEIGHT_LIMIT;
const EVENTS_PER_WEIGHT: u64 = EVENTS_MAX * 9 / 10 / WEIGHT_LIMIT as u64;

/// History events of one look of a `wait_for` task: Begin is entered, scheduled, started,
/// submitted, fails, is exited, and the pause after it is entered and exited.
const EVENTS_PER_LOOK: u64 = 8;

/// A compiled pipeline.
#[derive(Clone, PartialEq, Debug)]
pub struct Compiled {
    /// What decisions need.
    pub plan: Plan,
    /// The state machines, the pipeline's own first.
    pub machines: Vec<Machine>,
    /// What a deployment needs.
    pub manifest: Manifest,
    /// Where each state comes from: machine, then state, to a line of the pipeline file, from 1.
    pub source_map: BTreeMap<String, BTreeMap<String, u32>>,
    /// What it will ask of AWS.
    pub forecast: Forecast,
}

/// Why a plan cannot become machines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CompileError {
    /// Tasks wait for each other in a circle.
    Cycle {
        /// Their names, each an upstream of the next.
        tasks: Vec<String>,
    },
    /// A machine would be larger than AWS takes.
    TooLarge {
        /// Its name.
        machine: String,
        /// Its measure.
        bytes: u64,
    },
    /// An execution could write a longer history than AWS keeps.
    TooManyEvents {
        /// The machine's name.
        machine: String,
        /// Its measure.
        events: u64,
    },
    /// The indices of a mapped task would not fit a state's input.
    TooManyItems {
        /// The task.
        task: String,
    },
    /// A waiting task looks so often that its history would not hold all looks.
    TooManyLooks {
        /// The task.
        task: String,
        /// The shortest time between looks that fits its timeout, in seconds.
        poll_seconds_min: u64,
    },
}

impl CompileError {
    /// The task that it is about, where it is about one.
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::TooManyItems { task } | Self::TooManyLooks { task, .. } => Some(task),
            Self::Cycle { .. } | Self::TooLarge { .. } | Self::TooManyEvents { .. } => None,
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cycle { tasks } => {
                write!(f, "tasks wait for each other in a circle: {}", tasks.join(" -> "))
            }
            Self::TooLarge { machine, bytes } => write!(
                f,
                "the definition of {machine} takes {bytes} bytes of a request, \
                 more than {REQUEST_BYTES_MAX}; split the pipeline"
            ),
            Self::TooManyEvents { machine, events } => write!(
                f,
                "an execution of {machine} can write {events} history events, \
                 AWS keeps fewer than {EVENTS_MAX}; lower max_items or split the pipeline"
            ),
            Self::TooManyItems { task } => write!(
                f,
                "task {task} is mapped over more items than one state can be given; \
                 lower max_items to {ITEMS_MAX}, or give each item more work"
            ),
            Self::TooManyLooks { task, poll_seconds_min } => write!(
                f,
                "task {task} looks so often that its history would overflow before its timeout; \
                 look at most every {poll_seconds_min} s, or shorten the timeout"
            ),
        }
    }
}

impl std::error::Error for CompileError {}

/// Adds gates to a plan, writes its machines and forecasts them.
///
/// `plan` has its tasks in topological order, without gates; `lines` says where in the pipeline
/// file each task stands.
///
/// # Errors
///
/// What keeps the plan from becoming machines that AWS takes.
pub fn assemble(mut plan: Plan, lines: &BTreeMap<String, u32>) -> Result<Compiled, CompileError> {
    let graph = graph(&plan);
    let order = Order::new(&graph).map_err(|Cycle { tasks }| CompileError::Cycle {
        tasks: tasks.into_iter().map(|task| plan.tasks[task].name.clone()).collect(),
    })?;
    let nest = Nest::build(&order);
    add_gates(&mut plan, &Gates::new(&graph, &order, &nest));
    for task in &mut plan.tasks {
        check_looks(task)?;
        check_items(task)?;
        choose_map(task);
    }
    let weights: Vec<usize> = plan.tasks.iter().map(weight).collect();
    let layout = Layout::new(&nest, |task| weights[task]);

    let mut machines = machine::machines(&plan, &layout);
    // Written once: the version takes as many bytes as its placeholder.
    let texts: Vec<String> = machines.iter().map(|machine| machine.definition.to_compact_json()).collect();
    let version = version(&plan, &machines, &texts);
    if let Some(own) = machines.first_mut() {
        machine::set_version(own, &version);
    }
    plan.version.clone_from(&version);
    let forecast = Forecast::new(&plan, &nest, &machines, &texts);
    check_budgets(&forecast)?;
    let source_map = source_map(&machines, lines);
    Ok(Compiled {
        manifest: manifest(&plan, &machines, version, &forecast),
        plan,
        machines,
        source_map,
        forecast,
    })
}

/// When a task under a rule may be decided.
pub(crate) fn firing(rule: TriggerRule) -> Firing {
    match rule {
        TriggerRule::Always => Firing::AtOnce,
        rule if rule.is_early() => Firing::Early,
        _ => Firing::AllEnded,
    }
}

/// The order that a plan's rules make.
fn graph(plan: &Plan) -> Graph {
    let mut graph = Graph::new();
    for task in &plan.tasks {
        graph.add(task.needs.iter().map(|&need| need as usize), firing(task.rule));
    }
    graph
}

fn add_gates(plan: &mut Plan, gates: &Gates) {
    for (task, waits) in gates.waits.iter().enumerate() {
        if waits.is_empty() {
            continue;
        }
        for (member, &upstream) in waits.iter().enumerate() {
            plan.tasks[upstream].opens.push(Arrival { task: task as TaskIndex, member: member as u32 });
        }
        let waits = waits.iter().map(|&upstream| upstream as TaskIndex).collect();
        plan.tasks[task].gate = Some(GatePlan { waits });
    }
}

/// A task that polls must be able to do so until its timeout within one history.
fn check_looks(task: &TaskPlan) -> Result<(), CompileError> {
    let TaskKind::WaitFor(wait) = &task.kind else {
        return Ok(());
    };
    // A tenth is left to retries and to the execution itself.
    let most_looks = EVENTS_MAX * 9 / 10 / EVENTS_PER_LOOK;
    let poll_seconds_min = task.timeout_seconds.div_ceil(most_looks);
    if wait.poll_seconds < poll_seconds_min {
        return Err(CompileError::TooManyLooks { task: task.name.clone(), poll_seconds_min });
    }
    Ok(())
}

fn check_items(task: &TaskPlan) -> Result<(), CompileError> {
    match &task.map {
        Some(map) if map.max_items > ITEMS_MAX => Err(CompileError::TooManyItems { task: task.name.clone() }),
        _ => Ok(()),
    }
}

/// Runs items inside the machine where its history and concurrency allow that.
fn choose_map(task: &mut TaskPlan) {
    let Some(map) = &task.map else { return };
    let wide = map.max_concurrency > INLINE_CONCURRENCY_MAX;
    let distributed = wide || task_events(task) > EVENTS_PER_WEIGHT * WEIGHT_LIMIT as u64;
    if let Some(map) = &mut task.map {
        map.distributed = distributed;
    }
}

fn task_events(task: &TaskPlan) -> u64 {
    let items = task.map.as_ref().map_or(0, |map| u64::from(map.max_items));
    worst_events(&machine::task_states(task), |_| items)
}

/// What a task takes of its machine. One that is not mapped is a single state, and always light.
fn weight(task: &TaskPlan) -> usize {
    if task.map.is_none() {
        return 1;
    }
    measured_weight(task)
}

fn measured_weight(task: &TaskPlan) -> usize {
    let states =
        cauce_asl::StateMachine { states: machine::task_states(task), ..cauce_asl::StateMachine::default() };
    let by_bytes = request_bytes(&states.to_compact_json()).div_ceil(BYTES_PER_WEIGHT);
    let by_events = task_events(task).div_ceil(EVENTS_PER_WEIGHT) as usize;
    by_bytes.max(by_events).clamp(1, WEIGHT_LIMIT)
}

/// The sha256 of plan and definitions, with a placeholder where they name the version.
fn version(plan: &Plan, machines: &[Machine], texts: &[String]) -> String {
    let mut text = compact(plan);
    for (machine, definition) in machines.iter().zip(texts) {
        text.push('\n');
        text.push_str(&machine.name);
        text.push('\n');
        text.push_str(definition);
    }
    sha256_hex(text)
}

fn check_budgets(forecast: &Forecast) -> Result<(), CompileError> {
    for machine in &forecast.machines {
        if machine.request_bytes > REQUEST_BYTES_MAX as u64 {
            return Err(CompileError::TooLarge {
                machine: machine.machine.clone(),
                bytes: machine.request_bytes,
            });
        }
        if machine.worst_events >= EVENTS_MAX {
            return Err(CompileError::TooManyEvents {
                machine: machine.machine.clone(),
                events: machine.worst_events,
            });
        }
    }
    Ok(())
}

/// Every state that a task became, to the task's line. A part is where its first task is.
fn source_map(
    machines: &[Machine],
    lines: &BTreeMap<String, u32>,
) -> BTreeMap<String, BTreeMap<String, u32>> {
    let mut maps: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    // Parts are listed innermost first, and a machine is later than the parts it starts, except
    // the pipeline's own, which is the first of all.
    let (own, parts) = machines.split_at(machines.len().min(1));
    let mut part_lines: BTreeMap<String, u32> = BTreeMap::new();
    for machine in parts.iter().chain(own) {
        let mut map = BTreeMap::new();
        collect_lines(&machine.definition.states, &part_lines, lines, &mut map);
        if let (Some(part), Some(&line)) = (&machine.part, map.values().min()) {
            part_lines.insert(part.clone(), line);
        }
        maps.insert(machine.name.clone(), map);
    }
    maps
}

fn collect_lines(
    states: &cauce_asl::States,
    parts: &BTreeMap<String, u32>,
    lines: &BTreeMap<String, u32>,
    map: &mut BTreeMap<String, u32>,
) {
    for (name, state) in states {
        let task = name.split_once('.').map_or(name.as_str(), |(task, _)| task);
        if let Some(&line) = lines.get(task).or_else(|| parts.get(task)) {
            map.insert(name.clone(), line);
        }
        match state {
            cauce_asl::State::Parallel(parallel) => {
                for branch in &parallel.branches {
                    collect_lines(&branch.states, parts, lines, map);
                }
            }
            cauce_asl::State::Map(over) => {
                if let Some(processor) = over.processor() {
                    collect_lines(&processor.states, parts, lines, map);
                }
            }
            _ => {}
        }
    }
}

/// JSON in one line; a plan and a manifest hold text keys and finite numbers only.
fn compact<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("plain data: {error}"))
}

fn pretty<T: Serialize>(value: &T) -> String {
    let mut text =
        serde_json::to_string_pretty(value).unwrap_or_else(|error| unreachable!("plain data: {error}"));
    text.push('\n');
    text
}

impl Compiled {
    /// The files of `cauce build --out`: name and content.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files = vec![("plan.json".to_owned(), pretty(&self.plan))];
        for machine in &self.machines {
            let mut text = machine.definition.to_pretty_json();
            text.push('\n');
            files.push((definition_file(&machine.name), text));
        }
        files.push(("manifest.json".to_owned(), pretty(&self.manifest)));
        files.push(("source_map.json".to_owned(), pretty(&self.source_map)));
        files
    }

    /// The pipeline version.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::plan::ContainerPlan;

    #[test]
    fn the_indices_of_the_most_items_fit_a_state() {
        let indices: Vec<u32> = (0..ITEMS_MAX).collect();
        let answer = serde_json::json!({"count": ITEMS_MAX, "indices": indices, "fence": u64::MAX});
        assert!(answer.to_string().len() <= cauce_asl::limits::PAYLOAD_BYTES);
    }

    #[test]
    fn a_task_that_is_not_mapped_is_light_whatever_its_name_and_kind() {
        let kinds = [
            TaskKind::Container(ContainerPlan::default()),
            TaskKind::Pass { output: None },
            TaskKind::Fail { message: String::new() },
        ];
        for kind in kinds {
            let mut plan = serde_json::json!({
                "name": "t".repeat(63),
                "kind": kind,
                "timeout_seconds": 1,
                "start_timeout_seconds": 1,
                "stop_timeout_seconds": 1,
                "retry": cauce_model::plan::RetryPlan::default(),
            });
            let task: TaskPlan = serde_json::from_value(plan.take()).unwrap();
            assert_eq!(measured_weight(&task), 1, "{task:?}");
        }
    }
}
