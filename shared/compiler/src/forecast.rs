//! What a compiled pipeline will ask of AWS: states, history, size, bursts, transitions, price.
//!
//! Prices are those of us-east-1 in US dollars, without free tiers; what the tasks themselves cost
//! (Fargate, queries) is not in them.

use cauce_asl::{State, States, Task, limits};
use cauce_model::names;
use cauce_model::plan::{Plan, TaskKind, TaskPlan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::calendar;
use crate::machine::{ITEMS_SUFFIX, Machine};
use crate::nest::{Nest, Node};
use crate::prices::Calls;

/// The escaped request size that a machine stays below: UpdateStateMachine takes a request of one
/// MiB, and the definition is a JSON string inside it.
pub const REQUEST_BYTES_MAX: usize = 900_000;

/// StartExecution: a bucket, and what refills it each second, in most regions.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
const EXECUTION_BURST: u64 = 800;
const EXECUTIONS_PER_SECOND: u64 = 150;

/// Fargate on-demand launches: a bucket, and what refills it each second.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html>
const FARGATE_BURST: u64 = 100;
const FARGATE_PER_SECOND: u64 = 20;

/// How often a state that hands out its token is entered anew in the worst case: once for its
/// gate, once for a slot.
const AGAIN_ROUNDS: u64 = 2;

/// ExecutionStarted and ExecutionSucceeded.
const EXECUTION_EVENTS: u64 = 2;

/// TaskScheduled, TaskStarted, TaskFailed: what one more call of a state adds.
const RETRY_EVENTS: u64 = 3;

/// A forecast of one machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MachineForecast {
    /// Its name.
    pub machine: String,
    /// States, nested ones included.
    pub states: u64,
    /// History events of one execution in the worst case: every throttle retried, every wait had.
    pub worst_events: u64,
    /// The definition as a JSON string, in bytes: what UpdateStateMachine sends.
    pub request_bytes: u64,
}

/// A forecast of a pipeline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// Its machines.
    pub machines: Vec<MachineForecast>,
    /// Tasks.
    pub tasks: u64,
    /// Tasks behind a gate.
    pub gated: u64,
    /// Tasks entered in the moment the run starts: executions and Lambda calls at once.
    pub start_burst: u64,
    /// Tasks that can be under way at once.
    pub widest: u64,
    /// Seconds until the last of that many containers is launched, all at once and alone in the
    /// account.
    pub launch_seconds: u64,
    /// State transitions of a run in which everything succeeds at once and every gate was waited
    /// at; items of mapped tasks left out.
    pub transitions: u64,
    /// State transitions for each item of a mapped task, the dearest one's.
    pub transitions_per_item: u64,
    /// Lambda invocations of that run, its trigger's and those of events among them; items left out.
    pub invocations: u64,
    /// What it costs.
    pub price: Price,
}

/// Orchestration alone, in US dollars. Left out: what is billed whether anything runs or not (alarms, the
/// sweep, the queues' polling, storage), gates and pools that are waited at in the table, and notices.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// A run, items of mapped tasks left out.
    pub run_usd: f64,
    /// The same by service.
    #[serde(default)]
    pub run_usd_by_service: BTreeMap<String, f64>,
    /// One item of a mapped task.
    pub item_usd: f64,
    /// Runs that the schedules start in an average month; absent without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_per_month: Option<f64>,
    /// Those runs together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month_usd: Option<f64>,
}

impl Forecast {
    pub(crate) fn new(plan: &Plan, nest: &Nest, machines: &[Machine], texts: &[String]) -> Self {
        let machine_forecast = |(machine, text): (&Machine, &String)| MachineForecast {
            machine: machine.name.clone(),
            states: count_states(&machine.definition.states),
            worst_events: EXECUTION_EVENTS
                + worst_events(&machine.definition.states, |map| most_items(plan, map)),
            request_bytes: request_bytes(text) as u64,
        };
        let gated = plan.tasks.iter().filter(|task| task.gate.is_some()).count() as u64;
        let states = Calls { transitions: outer_transitions(machines), ..Calls::default() };
        // A gate that was waited at is one more Begin.
        let again = Calls { transitions: gated, invocations: gated, ..Calls::default() };
        let mut run = Calls::RUN.and(states).and(again);
        let mut item = Calls::default();
        for task in &plan.tasks {
            let each = lifecycle_calls(task);
            if task.map.is_some() {
                // Expand and join are states of the pipeline's machine.
                run = run.and(Calls { transitions: 0, ..Calls::CALL });
                // The state that starts an item, and its lifecycle.
                let each = each.and(Calls { transitions: 1, ..Calls::default() });
                item = if each.nano_usd() > item.nano_usd() { each } else { item };
            } else {
                run = run.and(each);
            }
        }
        let runs_per_month = calendar::runs_per_month(&plan.schedules);
        let run_usd = usd(run.nano_usd());
        let widest = width(nest, false);
        Self {
            machines: machines.iter().zip(texts).map(machine_forecast).collect(),
            tasks: plan.tasks.len() as u64,
            gated,
            start_burst: width(nest, true),
            widest,
            launch_seconds: launch_seconds(widest),
            transitions: run.transitions,
            transitions_per_item: item.transitions,
            invocations: run.invocations,
            price: Price {
                run_usd,
                run_usd_by_service: by_service(run),
                item_usd: usd(item.nano_usd()),
                runs_per_month,
                month_usd: runs_per_month.map(|runs| round(runs * run_usd)),
            },
        }
    }
}

fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

/// To a ten-thousandth of a cent.
fn round(usd: f64) -> f64 {
    (usd * 1e6).round() / 1e6
}

fn by_service(calls: Calls) -> BTreeMap<String, f64> {
    calls.nano_usd_by_service().map(|(service, nano)| (service.to_owned(), usd(nano))).into()
}

/// What happens in a task's own machine, and because of it, when its first attempt succeeds.
fn lifecycle_calls(task: &TaskPlan) -> Calls {
    match &task.kind {
        TaskKind::Container(_) => Calls::CONTAINER,
        TaskKind::Pipeline(_) | TaskKind::Call(_) => Calls::CALL,
        // The wait between Begin and Finish is begin-task's too.
        TaskKind::Approval(_) => Calls { invocations: Calls::CALL.invocations + 1, ..Calls::CALL },
        // Begin finds everything there, in a machine of its own.
        TaskKind::WaitFor(_) => Calls { transitions: 1, ..Calls::AT_ONCE },
        TaskKind::Branch { .. } | TaskKind::Fail { .. } | TaskKind::Notify { .. } | TaskKind::Pass { .. } => {
            Calls::AT_ONCE
        }
    }
}

/// Transitions in the pipeline's own machines when nothing fails: every state but those that only
/// a failure or an item reaches.
fn outer_transitions(machines: &[Machine]) -> u64 {
    fn passed(states: &States) -> u64 {
        let states = states.iter().filter(|(name, _)| !name.ends_with(".passed"));
        states
            .map(|(_, state)| match state {
                State::Parallel(parallel) => {
                    1 + parallel.branches.iter().map(|b| passed(&b.states)).sum::<u64>()
                }
                _ => 1,
            })
            .sum()
    }
    machines.iter().map(|machine| passed(&machine.definition.states)).sum()
}

/// The items that a Map state has at most.
fn most_items(plan: &Plan, state: &str) -> u64 {
    let task = state.strip_suffix(ITEMS_SUFFIX).and_then(|task| plan.index_of(task));
    let map = task.and_then(|task| plan.tasks[task as usize].map.as_ref());
    map.map_or(0, |map| u64::from(map.max_items))
}

/// The length of a compact definition as a JSON string.
pub(crate) fn request_bytes(definition: &str) -> usize {
    // Quotes and backslashes are escaped; a definition written here has no control characters.
    let escaped = definition.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    2 + definition.len() + escaped
}

fn count_states(states: &States) -> u64 {
    let nested = |state: &State| match state {
        State::Parallel(parallel) => parallel.branches.iter().map(|b| count_states(&b.states)).sum(),
        State::Map(map) => map.processor().map_or(0, |p| count_states(&p.states)),
        _ => 0,
    };
    states.values().map(|state| 1 + nested(state)).sum()
}

/// History events of some states, each passed once, in the worst case. `items` says how many items
/// a Map of this name has at most.
///
/// Which events a state writes:
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html>
pub(crate) fn worst_events(states: &States, items: impl Fn(&str) -> u64 + Copy) -> u64 {
    states
        .iter()
        .map(|(name, state)| match state {
            State::Task(task) => task_events(name, task),
            // Entered, started, succeeded, exited.
            State::Parallel(parallel) => {
                let branches = parallel.branches.iter();
                4 + branches.map(|b| worst_events(&b.states, items)).sum::<u64>()
            }
            // A distributed one also starts and ends its map run; its items have histories of
            // their own. An inline item is started and succeeds.
            State::Map(map) if map.is_distributed() => 6,
            State::Map(map) => {
                let item = map.processor().map_or(0, |p| worst_events(&p.states, items));
                4 + items(name) * (2 + item)
            }
            State::Fail(_) => 1,
            State::Pass(_) | State::Choice(_) | State::Wait(_) | State::Succeed(_) => 2,
        })
        .sum()
}

fn task_events(name: &str, task: &Task) -> u64 {
    // Entered, scheduled, started, succeeded, exited; and submitted where something is waited for.
    let waits = !task.resource.ends_with(":invoke");
    let once = 5 + u64::from(waits);
    let retries = task.retry.iter().map(|retry| retry.max_attempts.unwrap_or(3)).sum::<u64>();
    let comes_back = task
        .catch
        .iter()
        .any(|catch| catch.next == name && catch.error_equals.iter().any(|error| error == names::AGAIN));
    let rounds = if comes_back { AGAIN_ROUNDS } else { 0 };
    once * (1 + rounds) + retries * RETRY_EVENTS
}

/// When the last of so many containers is launched: executions start at one rate, Fargate launches
/// at another, and the slower one counts.
fn launch_seconds(containers: u64) -> u64 {
    let rates = [(EXECUTION_BURST, EXECUTIONS_PER_SECOND), (FARGATE_BURST, FARGATE_PER_SECOND)];
    let times = rates.map(|(burst, rate)| containers.saturating_sub(burst).div_ceil(rate));
    times.into_iter().max().unwrap_or(0)
}

/// How many tasks stand side by side: at the start, or anywhere.
fn width(nest: &Nest, at_start: bool) -> u64 {
    let mut widths: Vec<u64> = Vec::with_capacity(nest.len());
    for id in 0..nest.len() {
        let mut children = nest.children(id).iter().map(|&child| widths[child]);
        let width = match nest.node(id) {
            Node::Task(_) => 1,
            Node::Par(_) => children.sum(),
            Node::Seq(_) if at_start => children.next().unwrap_or(0),
            Node::Seq(_) => children.max().unwrap_or(0),
        };
        widths.push(width);
    }
    widths.last().copied().unwrap_or(0)
}

/// History events that an execution stays below.
pub(crate) const EVENTS_MAX: u64 = limits::HISTORY_EVENTS as u64;
