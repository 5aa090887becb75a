//! The plan: what the decisions need to know of a pipeline, immutable per version and free of any
//! environment (`${{ env.x }}` stays a placeholder until the host or Terraform fills it).
//!
//! Tasks are in topological order and named by their position, a [`TaskIndex`]. Every string that
//! a run can fill is a Jinja template as written in the pipeline file.

use crate::Json;
use crate::control::{BreakerUse, IdempotencyPlan, RateLimitUse};
use crate::dataset::DatasetTriggerPlan;
use crate::files::FileTriggerPlan;
use crate::matrix::MatrixPlan;
use crate::params::ParamSpec;
pub use crate::retry::RetryPlan;
use crate::rule::TriggerRule;
use crate::services::CallPlan;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The shape of `plan.json` that this code writes and reads.
pub const PLAN_SCHEMA: u32 = 1;

/// A task's position in [`Plan::tasks`].
pub type TaskIndex = u32;

/// A compiled pipeline, as the decisions see it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_SCHEMA`].
    pub schema: u32,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline version: the hash of this plan without it, and of the definitions. Empty until the
    /// compiler has computed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Declared parameters, in the order of the file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamSpec>,
    /// Its schedules; the first one gives runs their data interval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<SchedulePlan>,
    /// IANA zone of `ds` and of dates without a time, where no schedule says otherwise.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Runs that may be let in at once.
    pub max_active_runs: u32,
    /// What becomes of a new run that finds as many let in.
    #[serde(default, skip_serializing_if = "Overlap::is_queue")]
    pub overlap: Overlap,
    /// Tasks of one pipeline that may hold a slot at once, over all its runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_active_tasks: Option<u32>,
    /// It is paused after so many runs that failed one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_consecutive_failed_runs: Option<u32>,
    /// When a run is late, and what then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DeadlinePlan>,
    /// Who is told of what.
    #[serde(default, skip_serializing_if = "NotifyPlan::is_empty")]
    pub notify: NotifyPlan,
    /// Whether its file says that schedules and triggers start nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
    /// The list for each of whose items it has runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<MatrixPlan>,
    /// Events that start it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerPlan>,
    /// The tasks, every one after those it needs.
    pub tasks: Vec<TaskPlan>,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Plan {
    /// The position of a task.
    pub fn index_of(&self, task: &str) -> Option<TaskIndex> {
        self.tasks.iter().position(|t| t.name == task).map(|i| i as TaskIndex)
    }

    /// The datasets that start it.
    pub fn dataset_trigger(&self) -> Option<&DatasetTriggerPlan> {
        self.triggers.iter().find_map(TriggerPlan::dataset)
    }
}

/// What becomes of a new run that finds `max_active_runs` let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It waits in line.
    #[default]
    Queue,
    /// It does not happen.
    Skip,
    /// It waits in line, and has those cancelled that came before it.
    CancelPrevious,
}

impl Overlap {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    const fn is_queue(&self) -> bool {
        matches!(self, Self::Queue)
    }
}

/// An event that starts runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerPlan {
    /// Objects that arrive in a bucket.
    File(FileTriggerPlan),
    /// A signed call.
    Webhook(crate::webhook::WebhookPlan),
    /// Updates of datasets.
    Dataset(DatasetTriggerPlan),
}

impl TriggerPlan {
    /// What it waits for, when that is files.
    pub const fn file(&self) -> Option<&FileTriggerPlan> {
        match self {
            Self::File(file) => Some(file),
            Self::Webhook(_) | Self::Dataset(_) => None,
        }
    }

    /// What it waits for, when that is datasets.
    pub const fn dataset(&self) -> Option<&DatasetTriggerPlan> {
        match self {
            Self::Dataset(dataset) => Some(dataset),
            Self::File(_) | Self::Webhook(_) => None,
        }
    }
}

/// One schedule of a pipeline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulePlan {
    /// The items of a matrix that it is for: those of this case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// When it ticks.
    pub every: Tick,
    /// IANA zone in which cron and `ds` are read.
    pub timezone: String,
    /// False for snapshot pipelines: the logical date is the tick itself.
    pub data_interval: bool,
    /// No tick before this moment (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<crate::Instant>,
    /// No tick from this moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<crate::Instant>,
    /// Which missed ticks are made up for: `none`, `last`, `all` or a count.
    pub catchup: Catchup,
    /// What becomes of a local time that a clock change skips.
    pub dst_gap: DstGap,
    /// On which days, or at which times, runs happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarPlan>,
    /// How much later than its tick a run may start, in seconds, whole minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_seconds: Option<u64>,
    /// The only hours in which runs start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_peak: Option<OffPeakPlan>,
}

/// Hours in which runs start, in the schedule's zone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffPeakPlan {
    /// From when to when; over midnight where the first is the later one.
    pub hours: HoursPlan,
    /// Days of the week that belong to them as a whole, 0 is Sunday.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub all_day: BTreeSet<u8>,
}

/// A calendar, whole, as it was when the pipeline was compiled.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarPlan {
    /// What the calendar is asked about.
    pub filters: CalendarFilter,
    /// IANA zone of its days and hours; the schedule's where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Days of the week on which it is open, 0 is Sunday.
    pub weekdays: BTreeSet<u8>,
    /// Dates on which it is closed (`1997-01-05`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<String>,
    /// Dates on which it is open besides.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub with: BTreeSet<String>,
    /// From when to when it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<HoursPlan>,
    /// Dates with other hours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub special: BTreeMap<String, HoursPlan>,
}

/// What a calendar is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarFilter {
    /// The first day of the data.
    DataDay,
    /// The moment of firing.
    FireTime,
}

/// Opening and closing, in minutes of the local day; 1440 is midnight at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoursPlan(pub u16, pub u16);

/// An end of a calendar's hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// The opening.
    Open,
    /// The closing.
    Close,
}

/// The name of a pipeline's schedule where something outside ticks for it: by its position from 1; a
/// schedule that takes two of them there has a second name.
pub fn schedule_name(index: usize, second: bool) -> String {
    format!("schedule-{}{}", index + 1, if second { "-b" } else { "" })
}

/// The position of the schedule that a name of [`schedule_name`] stands for.
pub fn schedule_index(name: &str) -> Option<usize> {
    let number = name.strip_prefix("schedule-")?;
    number.strip_suffix("-b").unwrap_or(number).parse::<usize>().ok()?.checked_sub(1)
}

/// What makes a schedule tick.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tick {
    /// Five fields of Unix cron.
    Cron(String),
    /// Every so many seconds, counted from the epoch in UTC.
    RateSeconds(u64),
    /// Once.
    Once(crate::Instant),
    /// At an edge of the calendar's open days.
    Calendar {
        /// Which edge.
        edge: Edge,
        /// How much later than the edge, in minutes of local time; negative is earlier.
        minutes: i32,
    },
}

/// Which missed ticks are made up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Catchup {
    /// None of them.
    None,
    /// The newest.
    #[default]
    Last,
    /// All of them.
    All,
    /// The newest so many.
    Newest(u32),
}

/// What becomes of a local time that a clock change skips.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstGap {
    /// The tick fires at the first moment after the gap.
    #[default]
    RunAfter,
    /// The tick is left out, as EventBridge Scheduler does.
    Skip,
}

/// When a run is late.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadlinePlan {
    /// So long after `from`.
    pub after_seconds: u64,
    /// What the time is counted from.
    pub from: DeadlineFrom,
    /// What then.
    pub action: DeadlineAction,
}

/// What a deadline is counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineFrom {
    /// The tick (the end of the data interval); the run's creation where there is none.
    #[default]
    Scheduled,
    /// The moment the run was let in.
    Started,
}

/// What happens when a deadline passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineAction {
    /// The `deadline` channels are told.
    #[default]
    Notify,
    /// They are told and the run is cancelled.
    Cancel,
}

/// Channel names by what is told.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyPlan {
    /// The run (or task) failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// An attempt failed and another follows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retrying: Vec<String>,
    /// The deadline passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deadline: Vec<String>,
    /// The run (or task) succeeded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<String>,
}

impl NotifyPlan {
    /// Whether nobody is told of anything.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// One task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskPlan {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: TaskKind,
    /// Declared upstreams, as written; rules are evaluated on these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<TaskIndex>,
    /// Which endings of its upstreams let it run.
    #[serde(default)]
    pub rule: TriggerRule,
    /// The gate it waits behind, when the nest of its machine does not already order it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GatePlan>,
    /// The gates at which it arrives when it ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opens: Vec<Arrival>,
    /// The `if` template; a false value skips the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Tasks whose outputs its templates read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<TaskIndex>,
    /// How it fans out over items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapPlan>,
    /// Longest time of one attempt, from the moment it runs.
    pub timeout_seconds: u64,
    /// Longest time to get an attempt running, where the platform provisions.
    pub start_timeout_seconds: u64,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout_seconds: u64,
    /// What follows a failed attempt.
    pub retry: RetryPlan,
    /// A failure of this task counts as success below it and for the run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_failure: bool,
    /// The setups that it takes away again: it runs once everything between has ended, however that
    /// went, when at least one of them succeeded. A failure of it does not fail the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teardown_of: Vec<TaskIndex>,
    /// The task whose failure it makes good: it runs when that one failed or could not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_for: Option<TaskIndex>,
    /// Datasets it reads (templates), for lineage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// Datasets it writes (templates).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
    /// Declared fields of its output.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub returns: BTreeMap<String, ReturnType>,
    /// Slots that an attempt holds, by pool of the project; a name may be a template of the run's item.
    /// How many a pool has is no part of a plan: the store knows it, so that all pipelines agree and a
    /// resize compiles nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<String, u32>,
    /// A template: the name of the lock that an attempt holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The circuit breaker that its attempts stand behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerUse>,
    /// What an attempt takes of a rate limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitUse>,
    /// When an earlier result is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<IdempotencyPlan>,
    /// Who goes first where slots are short, higher first: the task's own priority and those of all
    /// tasks below it, each counted once. Nothing for a task that asks for no slots.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i64,
    /// Who is told of this task, besides the pipeline's own channels.
    #[serde(default, skip_serializing_if = "NotifyPlan::is_empty")]
    pub notify: NotifyPlan,
}

impl TaskPlan {
    /// Whether it takes away what another task set up.
    pub const fn is_teardown(&self) -> bool {
        !self.teardown_of.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// The gate of one task: it opens once every member has arrived, or once one decides an early rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatePlan {
    /// The tasks whose ends are waited for. For an early rule: all declared upstreams.
    pub waits: Vec<TaskIndex>,
}

/// A gate keeps its members in one item up to this many; above, in leaves of this many each that
/// arrive at the root as one member.
pub const GATE_LEAF_MEMBERS: usize = 64;

/// An edge that the nest does not imply: the task arrives at `task`'s gate as member number `member`
/// (its position in that gate's `waits`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    /// The gated task.
    pub task: TaskIndex,
    /// The arriving task's position in its `waits`.
    pub member: u32,
}

/// How a task fans out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapPlan {
    /// A template that renders to a list, or a literal list.
    pub over: Json,
    /// More items than this fail the task.
    pub max_items: u32,
    /// Items under way at once.
    pub max_concurrency: u32,
    /// Failed items that the task survives.
    #[serde(default)]
    pub tolerated_failures: u32,
    /// Whether the machine fans out by Distributed Map.
    #[serde(default, skip_serializing_if = "is_false")]
    pub distributed: bool,
}

/// The type of a declared output field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
    /// Anything.
    Any,
}

/// What a task does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum TaskKind {
    /// A program in a container (a data task is one whose program is the worker).
    Container(ContainerPlan),
    /// Waits until every object exists.
    WaitFor(WaitForPlan),
    /// Chooses which of its direct downstreams run.
    Branch {
        /// In order; the first whose condition holds is taken.
        choices: Vec<BranchChoice>,
    },
    /// Fails.
    Fail {
        /// Why: a template.
        message: String,
    },
    /// Tells channels.
    Notify {
        /// Channel names of the project file.
        channels: Vec<String>,
        /// A template.
        subject: String,
        /// A template.
        message: String,
    },
    /// Does nothing; may give an output.
    Pass {
        /// The output, a JSON tree of templates.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Json>,
    },
    /// Starts a run of another pipeline.
    Pipeline(PipelineTaskPlan),
    /// Asks another service.
    Call(CallPlan),
    /// Asks a person.
    Approval(ApprovalPlan),
}

impl TaskKind {
    /// Whether an attempt can hold slots. One that ends in the moment it begins holds nothing, and one
    /// that only looks again and again would hold what it does not use.
    pub const fn holds_slots(&self) -> bool {
        match self {
            Self::Container(_) | Self::Pipeline(_) | Self::Call(_) => true,
            Self::WaitFor(_)
            | Self::Approval(_)
            | Self::Branch { .. }
            | Self::Fail { .. }
            | Self::Notify { .. }
            | Self::Pass { .. } => false,
        }
    }

    /// The lifecycle machine that runs it, or `None` for kinds that begin-task performs itself.
    pub const fn machine(&self) -> Option<&'static str> {
        match self {
            Self::Container(_) => Some("container"),
            Self::WaitFor(_) => Some("wait_for"),
            Self::Pipeline(_) => Some("pipeline"),
            Self::Call(call) => Some(call.service.machine()),
            Self::Approval(_) => Some("approval"),
            Self::Branch { .. } | Self::Fail { .. } | Self::Notify { .. } | Self::Pass { .. } => None,
        }
    }
}

/// A container task. All values are templates; they reach the program as argv items and environment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerPlan {
    /// The image's name in the project file.
    pub image: String,
    /// The argv; an item that renders to a list is spliced in.
    pub command: Vec<Json>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Json>,
    /// Environment variables whose values are secret references, resolved at launch by the platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// A data task's configuration, rendered into `CAUCE_CONFIG` or the input document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Json>,
    /// The task definition's family: one per image, role, secrets and architecture.
    pub task_definition: String,
    /// The ARN of the role that the program has; the environment's default without it. May hold
    /// `${{ env.x }}` and no other template: it belongs to the task definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The processor that the image is built for.
    #[serde(default, skip_serializing_if = "Architecture::is_usual")]
    pub architecture: Architecture,
    /// CPU units of 1/1024 vCPU.
    pub cpu: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// What it runs on.
    #[serde(default)]
    pub capacity: Capacity,
    /// Ephemeral storage in GiB beyond the platform's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_gib: Option<u32>,
    /// What to run instead on one machine: an argv of templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Vec<Json>>,
}

/// The processor that an image is built for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Intel and AMD.
    #[default]
    X86_64,
    /// Graviton.
    Arm64,
}

impl Architecture {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    fn is_usual(&self) -> bool {
        *self == Self::X86_64
    }
}

/// What a container runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capacity {
    /// On-demand only.
    #[default]
    OnDemand,
    /// Spot only.
    Spot,
    /// Spot first, on-demand after an interruption or without capacity.
    SpotThenOnDemand,
}

/// Waiting for objects.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitForPlan {
    /// Object URIs, templates; `*` in the last segment matches any object there.
    pub files: Vec<String>,
    /// Seconds between looks.
    pub poll_seconds: u64,
    /// Objects smaller than this are not there yet.
    #[serde(default)]
    pub min_bytes: u64,
}

/// One way out of a branch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchChoice {
    /// The condition; `None` is `else`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The direct downstreams that go on.
    pub to: Vec<TaskIndex>,
    /// The direct downstreams that are skipped: not chosen, and not below a chosen one.
    pub skips: Vec<TaskIndex>,
}

/// Starting a run of another pipeline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineTaskPlan {
    /// The other pipeline.
    pub pipeline: String,
    /// Its parameters: an object of templates.
    pub params: Json,
    /// The logical date of its run, a template; without it, this run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<String>,
    /// Whether the task waits for that run's end, and fails with it.
    pub wait: bool,
    /// What if that run exists.
    #[serde(default)]
    pub on_existing: OnExisting,
}

/// What a pipeline task does when the run it would start exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    /// Take its result; wait for it when it is under way.
    #[default]
    Join,
    /// Start its next generation, from its failed tasks.
    Rerun,
    /// Fail.
    Fail,
}

/// Asking a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalPlan {
    /// What is asked: a template.
    pub message: String,
    /// Channel names of the project file: who is told that it waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
    /// What becomes of the task when the answer is no.
    #[serde(default)]
    pub on_reject: OnReject,
    /// What counts as the answer when there is none in time.
    #[serde(default)]
    pub on_timeout: OnTimeout,
}

/// What the output of an approval holds.
pub const APPROVAL_OUTPUT: [&str; 4] = ["decision", "by", "at", "comment"];

/// What becomes of an approval task when the answer is no.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// It fails.
    #[default]
    Fail,
    /// It is skipped.
    Skip,
    /// It succeeds, and what is below reads the decision in its output.
    Continue,
}

/// What becomes of an approval task that nobody answers in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// It fails.
    #[default]
    Fail,
    /// It is approved.
    Approve,
    /// It is rejected.
    Reject,
}
