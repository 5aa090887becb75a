//! How runs and task runs lie in the store: the fields of their items, and where they are.

use crate::Json;
use crate::control::{ClaimRecord, HeldBackRecord};
use crate::deployment::VersionRecord;
use crate::fargate::Size;
use crate::ids::{RunKey, RunRef, sha256_hex};
use crate::item::{Body, IndexEntry, Item, Key};
use crate::matrix::RunItem;
use crate::status::{FailureClass, RunStatus, TaskStatus, TriggerKind};
use crate::time::Instant;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A record that is stored as one item.
pub trait Record: Serialize + DeserializeOwned {
    /// The item's fields.
    fn to_body(&self) -> Body {
        match serde_json::to_value(self) {
            Ok(Json::Object(body)) => body,
            // A record is a struct with text keys: it always serialises to an object.
            other => unreachable!("a record is an object: {other:?}"),
        }
    }

    /// Reads an item's fields.
    ///
    /// # Errors
    /// Fields that a newer version wrote and this one does not know how to read.
    fn from_item(item: &Item) -> Result<Self, RecordError> {
        serde_json::from_value(Json::Object(item.body.clone()))
            .map_err(|source| RecordError { key: item.key.clone(), source })
    }
}

/// An item that does not hold the record expected there.
#[derive(Debug, thiserror::Error)]
#[error("the stored item {key} cannot be read")]
pub struct RecordError {
    /// Which item.
    pub key: Key,
    /// What is wrong with it.
    #[source]
    pub source: serde_json::Error,
}

/// The partition of a run: its record, its task runs, its gates.
pub fn run_partition(run_key: &RunKey) -> String {
    format!("run#{run_key}")
}

/// The key of a run's record.
pub fn run_item(run_key: &RunKey) -> Key {
    Key::new(run_partition(run_key), "R")
}

/// What the sort keys of task runs begin with.
pub const TASK_PREFIX: &str = "T#";

/// The key of a task run, or of one item of a mapped one.
pub fn task_item(run_key: &RunKey, task: &str, index: Option<u32>) -> Key {
    let sort = match index {
        // Padded, so that items sort by their number.
        Some(index) => format!("{TASK_PREFIX}{task}#{index:06}"),
        None => format!("{TASK_PREFIX}{task}"),
    };
    Key::new(run_partition(run_key), sort)
}

/// What the sort keys of gates begin with; the generation follows.
pub const GATE_PREFIX: &str = "G#";

/// The key of a task's gate in one generation; `leaf` for a gate kept in several items.
pub fn gate_item(run_key: &RunKey, generation: u32, task: &str, leaf: Option<u32>) -> Key {
    let sort = match leaf {
        Some(leaf) => format!("{GATE_PREFIX}{generation}#{task}#{leaf}"),
        None => format!("{GATE_PREFIX}{generation}#{task}"),
    };
    Key::new(run_partition(run_key), sort)
}

/// The index list of all runs, newest last by their creation.
pub const RUNS_LIST: &str = "runs";

/// The index list of what is due at a moment: deadlines and other timers.
pub const DUE_LIST: &str = "due";

/// The index list of runs that the sweep looks at: those under way, and those that ended in a way that
/// may have left something behind.
pub const ACTIVE_LIST: &str = "active";

/// The key of a run's entry in [`ACTIVE_LIST`].
pub fn active_item(run_key: &RunKey) -> Key {
    Key::new(run_partition(run_key), "A")
}

/// The index list of deployed pipelines, by name.
pub const PIPELINES_LIST: &str = "pipelines";

/// The key of a deployed pipeline's record.
pub fn pipeline_item(pipeline: &str) -> Key {
    Key::new(format!("pipeline#{pipeline}"), "P")
}

/// A pipeline as it is deployed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineRecord {
    /// Its name.
    pub pipeline: String,
    /// The version that new runs take.
    pub version: String,
    /// The state machine of that version: an ARN with its version on AWS, a name on one machine.
    pub machine: String,
    /// The machines of its parts, when it is split, by what `$machines` calls them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// Whether its triggers are held back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
    /// Why, where no person paused it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_because: Option<String>,
    /// Where the document of its deployment is; absent on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The buckets in whose partitions its file triggers are kept, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<String>,
    /// What takes a share of the new runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// The largest share of a canary, in hundredths of the new runs. All of them is a promotion.
pub const CANARY_PERCENT_MAX: u8 = 99;

/// A deployment on trial beside the one that most new runs take.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Its share of new runs, 0 to [`CANARY_PERCENT_MAX`].
    pub percent: u8,
    /// The deployment.
    pub of: VersionRecord,
}

impl Record for PipelineRecord {}

impl PipelineRecord {
    /// A version on one machine, which is whole, not paused, and the only one.
    pub const fn new(pipeline: String, version: String, machine: String) -> Self {
        Self {
            pipeline,
            version,
            machine,
            parts: BTreeMap::new(),
            paused: false,
            paused_because: None,
            deployment: None,
            buckets: Vec::new(),
            canary: None,
        }
    }

    /// The deployment on trial, where a run of this id falls into its share. The share is counted by a hash
    /// of the id: an event that comes twice, and a later generation, fall where the first did.
    pub fn canary_of(&self, run_id: &str) -> Option<&VersionRecord> {
        let canary = self.canary.as_ref()?;
        let hash = sha256_hex(format!("{}/{run_id}", self.pipeline));
        // 32 bits are plenty for hundredths.
        let place = u32::from_str_radix(&hash[..8], 16).unwrap_or_default() % 100;
        (place < u32::from(canary.percent)).then_some(&canary.of)
    }

    /// The record's item, with its place in the list of pipelines.
    pub fn row(&self) -> Item {
        let mut item = Item::new(pipeline_item(&self.pipeline), self.to_body());
        item.index = Some(IndexEntry { list: PIPELINES_LIST.to_owned(), position: self.pipeline.clone() });
        item
    }
}

/// A run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Pipeline and run id.
    pub run: RunRef,
    /// The present generation, from 1.
    pub generation: u32,
    /// The pipeline version it is pinned to.
    pub version: String,
    /// The present generation's status.
    pub status: RunStatus,
    /// Why it exists.
    pub trigger: TriggerRecord,
    /// Validated parameters, defaults filled in.
    pub params: Json,
    /// Start of the data covered, or the moment itself for a run without a data interval.
    pub logical_date: Instant,
    /// The half-open range of the data covered; empty when both are equal.
    pub data_interval_start: Instant,
    /// Its end.
    pub data_interval_end: Instant,
    /// IANA zone in which `ds` is read.
    pub timezone: String,
    /// When the run was first written.
    pub created_at: Instant,
    /// When the present generation was asked for: what goes on with an interrupted one was when that one was. Absent:
    /// when the run was first written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Instant>,
    /// When the present generation was let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Instant>,
    /// When the present generation ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    /// Name of the present generation's execution.
    pub execution: String,
    /// The machine that it executes.
    pub machine: String,
    /// The machines of the pipeline's parts, pinned like `machine`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// Where the document of the deployment is that it is pinned to; absent on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The token with which Open waits to be let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Tasks that keep their status and output in the present generation: a bitmap over the plan's
    /// tasks in hex, lowest task first, four to a digit. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<String>,
    /// Whether tasks that a branch decision skips run all the same.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
    /// For each task whose items had to run again, the generation since which they count: an item that succeeded in
    /// it or later, for the same value, keeps its result. Of the others, all count. Where the version changed, also
    /// tasks that were not mapped then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items_since: BTreeMap<String, u32>,
    /// The same for items that were named and had to run again: by task and index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub item_since: BTreeMap<String, BTreeMap<u32, u32>>,
    /// The mapped task of which the present generation runs named items, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_of: Option<NamedItemsRecord>,
    /// Of a generation that resumes an interrupted one: the generation since which also a failed item stands as it
    /// ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_since: Option<u32>,
    /// Whether the present generation goes on with an interrupted one without anybody's asking: attempts count as if
    /// it were that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revived: bool,
    /// The one task that the present generation runs, whatever its upstreams; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Set once somebody asked for the run's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelRecord>,
    /// Set when the present generation only runs the teardowns that an earlier one, cut off from outside,
    /// left undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<TeardownRecord>,
    /// When the present generation is late, if its pipeline has a deadline that has not passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Instant>,
    /// Why it failed or was rejected, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Notices not yet delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Notice>,
    /// A further generation that new data asked for while this one was under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TriggerRecord>,
    /// How earlier generations ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<GenerationRecord>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Record for RunRecord {}

impl RunRecord {
    /// The run's key.
    pub fn key(&self) -> RunKey {
        self.run.key()
    }

    /// Since when the present generation is wanted.
    pub fn wanted_since(&self) -> Instant {
        self.asked_at.unwrap_or(self.created_at)
    }

    /// Whether it was cancelled before it was let in: the token with which it waits has to hear of that.
    pub fn awaits_refusal(&self) -> bool {
        self.status == RunStatus::Cancelled && self.started_at.is_none() && self.token.is_some()
    }

    /// Whether a task keeps its earlier ending in the present generation.
    pub fn carries(&self, task: usize) -> bool {
        let bits = self.carried.as_deref();
        let digit = bits.and_then(|bits| bits.as_bytes().get(task / 4)).map(|digit| *digit as char);
        digit.and_then(|digit| digit.to_digit(16)).is_some_and(|digit| digit >> (task % 4) & 1 == 1)
    }

    /// Writes a bitmap for [`RunRecord::carried`].
    pub fn carry_bits(tasks: &[bool]) -> Option<String> {
        tasks.iter().any(|carried| *carried).then(|| {
            tasks
                .chunks(4)
                .map(|four| {
                    let digit = four.iter().enumerate().map(|(i, set)| u32::from(*set) << i).sum::<u32>();
                    char::from_digit(digit, 16).unwrap_or('0')
                })
                .collect()
        })
    }
}

/// Items of a mapped task that run again alone: those that [`RunRecord::item_since`] names since this generation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedItemsRecord {
    /// The task.
    pub task: String,
    /// The generation that was asked for.
    pub since: u32,
}

/// Why a run exists, in detail.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerRecord {
    /// The kind of trigger.
    pub kind: TriggerKind,
    /// Who or what: a user, a schedule, a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What the trigger brought (events, captures).
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub detail: Json,
    /// The item of a matrix that the run is for, as it was then. Further generations keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<RunItem>,
}

/// A request to end a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRecord {
    /// When.
    pub at: Instant,
    /// Why, in words.
    pub reason: String,
    /// Who, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How the generation ended whose teardowns are made up for: the run ends so again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeardownRecord {
    /// As what.
    pub status: RunStatus,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How an earlier generation of a run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationRecord {
    /// Which.
    pub generation: u32,
    /// The version it ran.
    pub version: String,
    /// How it ended; a generation cut off by a crash keeps the status it had.
    pub status: RunStatus,
    /// When it was let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Instant>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
}

/// A message for a channel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Unique for what it tells, so that a repeat can be recognised.
    pub id: String,
    /// The channel's name in the project file.
    pub channel: String,
    /// `failed`, `retrying`, `deadline`, `success`, `paused`, `approval` or `message`.
    pub event: String,
    /// One line.
    pub subject: String,
    /// The rest.
    pub message: String,
    /// The run concerned.
    pub run: String,
    /// The task concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// When it was decided.
    pub at: Instant,
}

/// A task run, or one item of a mapped one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRecord {
    /// The task's name.
    pub task: String,
    /// The item's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Its status in `generation`.
    pub status: TaskStatus,
    /// The last generation that decided about it.
    pub generation: u32,
    /// Grows with every attempt and every takeover; every later write must bring it.
    pub fence: u64,
    /// All attempts, of all generations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
    /// Attempts of earlier generations, which no longer count against its budgets.
    #[serde(default)]
    pub settled_attempts: u32,
    /// For a setup: how it ended in earlier generations, oldest first. Tells on what a task stood that keeps its ending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierRecord>,
    /// Begin's stored answer for the attempt under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Json>,
    /// Where the attempt under way will leave its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_uri: Option<String>,
    /// The token with which Begin waits for slots, or with which an approval waits for its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Pools in which the attempt under way holds slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<HoldRecord>,
    /// Pools in whose lines the next attempt stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// What holds the next attempt back and has no line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBackRecord>,
    /// The idempotency key that it has claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimRecord>,
    /// Its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputRecord>,
    /// For a branch: the direct downstreams it skips.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skips: Vec<String>,
    /// Why it was skipped or failed without an attempt, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it was skipped because another task was to run alone: nothing of the pipeline has decided that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left_out: bool,
    /// For a mapped task: its items, or the URI of the document that holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<OutputRecord>,
    /// For a mapped task: how many items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_count: Option<u32>,
    /// When it came to wait for slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Instant>,
    /// When it was decided to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Instant>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    /// When a person said how it ended, after its run had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_at: Option<Instant>,
    /// A failure that `allow_failure` excuses.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allowed_failure: bool,
    /// When the next attempt may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Instant>,
    /// For an item of a mapped task: the sha256 of its value, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_hash: Option<String>,
    /// For an item that kept its ending: the generation in which it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_in: Option<u32>,
    /// For a pipeline task: the run it started, as `pipeline/run_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_run: Option<String>,
    /// For a pipeline task that waits: the run that it started itself, in whatever generation of its own run, and did
    /// not only join. It ends with the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_run: Option<OwnRunRecord>,
    /// For an approval: what is asked, and what was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRecord>,
    /// The datasets that it writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<WrittenRecord>,
    /// Notices not yet delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Notice>,
}

impl Record for TaskRecord {}

impl TaskRecord {
    /// A task run about which nothing is decided.
    pub const fn new(task: String, index: Option<u32>, generation: u32) -> Self {
        Self {
            task,
            index,
            status: TaskStatus::Waiting,
            generation,
            fence: 0,
            attempts: Vec::new(),
            settled_attempts: 0,
            earlier: Vec::new(),
            launch: None,
            output_uri: None,
            token: None,
            holds: Vec::new(),
            waits_for: Vec::new(),
            held_back: None,
            claim: None,
            output: None,
            skips: Vec::new(),
            reason: None,
            left_out: false,
            items: None,
            item_count: None,
            queued_at: None,
            started_at: None,
            ended_at: None,
            marked_at: None,
            allowed_failure: false,
            retry_at: None,
            item_hash: None,
            ran_in: None,
            started_run: None,
            own_run: None,
            approval: None,
            datasets: Vec::new(),
            outbox: Vec::new(),
        }
    }
}

/// How a task ended in an earlier generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierRecord {
    /// Which.
    pub generation: u32,
    /// How.
    pub status: TaskStatus,
}

/// A run that a task started and waits for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRunRecord {
    /// Which, as `pipeline/run_id`.
    pub run: RunRef,
    /// The generation of it that the task waits for: what others ask of it later is theirs.
    pub generation: u32,
}

/// A dataset that a task writes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenRecord {
    /// Its name.
    pub dataset: String,
    /// The number of the update; absent before the task has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
}

/// A question to a person, and its answer. An answer is written once and stands: whatever becomes of the
/// token that waits for it, the task ends as the answer says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRecord {
    /// What is asked.
    pub message: String,
    /// When it was asked.
    pub asked_at: Instant,
    /// Until when an answer is waited for.
    pub until: Instant,
    /// Orders the tokens that wait for the answer: later ones sort later. Absent before the first came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_order: Option<String>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerRecord>,
}

/// The answer to an approval.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRecord {
    /// Yes or no.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// When.
    pub at: Instant,
    /// What they said of it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

impl AnswerRecord {
    /// The decision in one word, as outputs and sentences have it.
    pub const fn decision(&self) -> &'static str {
        if self.approved { "approved" } else { "rejected" }
    }
}

/// Who and why, as a sentence goes on after "approved" or "rejected".
impl std::fmt::Display for AnswerRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}", self.decision(), self.by)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, ": {}", self.comment) }
    }
}

/// Slots held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRecord {
    /// The pool.
    pub pool: String,
    /// How many of its slots.
    pub slots: u32,
    /// The name under which they are held.
    pub holder: String,
    /// The fence minted with the grant.
    pub fence: u64,
}

/// One attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptRecord {
    /// From 1, over all generations.
    pub number: u32,
    /// The generation it belongs to.
    pub generation: u32,
    /// When Begin let it start.
    pub started_at: Instant,
    /// When Finish or Settle heard of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    /// The exit code, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it failed; absent while it runs and when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// The failure in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What its program was launched with, where that can differ from one attempt to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Where its log is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// An output: kept in the item when small, else in Objects.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputRecord {
    /// The value.
    Inline(Json),
    /// Where the value is.
    Uri(String),
}

/// Outputs up to this many bytes are kept in the item.
pub const OUTPUT_INLINE_MAX: usize = 8 * 1024;

/// Largest output of a task.
pub const OUTPUT_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carried_tasks_are_read_back_from_their_bitmap() {
        let tasks: Vec<bool> = (0..11).map(|i| i % 3 == 0).collect();
        let bits = RunRecord::carry_bits(&tasks);
        let mut run = sample();
        run.carried = bits;
        for (task, carried) in tasks.iter().enumerate() {
            assert_eq!(run.carries(task), *carried, "{task}");
        }
        assert!(!run.carries(400));
        assert_eq!(RunRecord::carry_bits(&[false, false]), None);
    }

    #[test]
    fn a_run_record_is_read_back() {
        let run = sample();
        let item = Item::new(run_item(&run.key()), run.to_body());
        assert_eq!(RunRecord::from_item(&item).unwrap(), run);
    }

    #[test]
    fn a_field_of_a_newer_version_is_an_error_not_a_loss() {
        let mut item = Item::new(run_item(&sample().key()), sample().to_body());
        item.body.insert("invented_later".into(), Json::from(1));
        assert!(RunRecord::from_item(&item).is_err());
    }

    fn sample() -> RunRecord {
        let at = Instant::from_micros(1);
        RunRecord {
            run: RunRef { pipeline: "p".into(), run_id: "r".into() },
            generation: 1,
            version: "v".into(),
            status: RunStatus::Queued,
            trigger: TriggerRecord { kind: TriggerKind::Manual, by: None, detail: Json::Null, item: None },
            params: Json::Null,
            logical_date: at,
            data_interval_start: at,
            data_interval_end: at,
            timezone: "UTC".into(),
            created_at: at,
            asked_at: None,
            started_at: None,
            ended_at: None,
            execution: "r-g1".into(),
            machine: "p".into(),
            parts: BTreeMap::new(),
            deployment: None,
            token: None,
            carried: None,
            force: false,
            items_since: BTreeMap::new(),
            item_since: BTreeMap::new(),
            items_of: None,
            stands_since: None,
            revived: false,
            only: None,
            cancel: None,
            teardown: None,
            deadline_at: None,
            message: None,
            outbox: Vec::new(),
            next: None,
            history: Vec::new(),
        }
    }
}
