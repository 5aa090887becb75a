//! What can be asked of the core.

use cauce_model::control::Controls;
use cauce_model::event::Object;
use cauce_model::record::{PipelineRecord, TriggerRecord};
use cauce_model::{Deployment, Instant, Json, Key, RunKey};
use std::collections::BTreeMap;

pub use crate::decision::{Decision, Effect, Reply};

/// A request to decide something.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Bring a run (or its next generation) into being and start it.
    Trigger(Box<Trigger>),
    /// An execution of a pipeline's machine began.
    Open(Open),
    /// A task (or an item of a mapped one) asks whether and how to run.
    Begin(Begin),
    /// An attempt ended, well or badly; or all items of a mapped task did.
    Finish(Finish),
    /// All tasks of a run have been passed.
    Close(Close),
    /// A task ended that a gate waits for.
    Arrive(Arrive),
    /// A holder gives back its slots of a pool, and its place in line.
    Release {
        /// The pool.
        pool: String,
        /// Who held; empty where the whole line is looked through and nothing given back.
        holder: String,
        /// How many.
        slots: u32,
        /// The sort key of the place in line where it may stand, which it leaves.
        place: Option<String>,
    },
    /// One that wants slots which are not free goes into the line.
    Stand(Box<crate::slots::Request>),
    /// Somebody stands in a pool's line: is there a slot by now? Asked again and again while somebody
    /// does, because whoever gives back may be another process, which cannot wake this one's waiters.
    Look {
        /// The pool.
        pool: String,
        /// Who has just joined it and looks for itself; empty where somebody looks for all.
        own: String,
        /// How long to wait before the next look; 0 looks once.
        seconds: u64,
    },
    /// The project's pools have these many slots from now on.
    Resize {
        /// Slots by pool.
        pools: BTreeMap<String, u32>,
    },
    /// The project's breakers and rate limits have these figures from now on.
    Define(Box<Controls>),
    /// An attempt ended whose task stands behind a breaker.
    Report {
        /// The breaker.
        breaker: String,
        /// The attempt, as holders of slots are named.
        holder: String,
        /// What it says of what it depends on.
        verdict: crate::breaker::Verdict,
        /// When it ended.
        at: Instant,
        /// The failure, in words.
        reason: String,
    },
    /// A person opens a breaker, or resets it.
    SetBreaker {
        /// Which.
        breaker: String,
        /// Open, until it is reset; else closed.
        open: bool,
        /// Who.
        by: Option<String>,
    },
    /// Tokens of a rate limit are taken, for a call that a program makes.
    Take {
        /// The limit.
        limit: String,
        /// How many.
        tokens: u32,
        /// How long the program can wait for its turn: nothing is taken where that comes later.
        within_seconds: Option<u64>,
    },
    /// All that a run's end was to do has been done, once more: nobody needs to look at it again, if it is still
    /// as it was then.
    Retire {
        /// The run.
        run_key: RunKey,
        /// Its record's version then.
        version: u64,
    },
    /// A person has an idempotency key forgotten.
    Forget {
        /// The pipeline.
        pipeline: String,
        /// Its task.
        task: String,
        /// The key.
        key: String,
        /// Who.
        by: Option<String>,
    },
    /// A run waits whose pipeline lets the newest take the place of those before it.
    Replace {
        /// The pool of its runs.
        pool: String,
    },
    /// Who holds slots of a pool, and does not live any more? What they hold is given back.
    Reclaim {
        /// The pool.
        pool: String,
        /// Whether to ask about every holder; else only about those whose attempt was never written down.
        /// About the others the look at their runs asks.
        all: bool,
    },
    /// A run shall end.
    Cancel {
        /// Which.
        run_key: RunKey,
        /// In which generation; whichever is the present one where it is absent.
        generation: Option<u32>,
        /// Why, in words.
        reason: String,
        /// Who, as far as is known.
        by: Option<String>,
    },
    /// A person says how a task ended.
    Mark {
        /// Of which run.
        run_key: RunKey,
        /// Which task.
        task: String,
        /// Whether it counts as success, else as failed.
        success: bool,
        /// Who.
        by: String,
    },
    /// A pipeline's triggers are held back, or let go on.
    Pause(Box<Pause>),
    /// The platform tells that something of ours ended.
    Observed(Box<Observed>),
    /// The sweep looks at a run: is all that is written of it still true?
    Reconcile(Reconcile),
    /// The state of an approval hands over the token that waits for the answer.
    Ask(Ask),
    /// A person answers an approval.
    Approve(Approve),
    /// Somebody may have answered an approval in another process, which cannot reach its token: has anybody?
    Heed {
        /// The run.
        run_key: RunKey,
        /// Its generation.
        generation: u32,
        /// The task.
        task: String,
    },
    /// A run's deadline passed.
    Deadline {
        /// Which run.
        run_key: RunKey,
    },
    /// Something happened that may start runs.
    Event(Box<Event>),
    /// Which ticks of a pipeline's schedules has nobody told of?
    Ticks {
        /// The pipeline.
        pipeline: String,
    },
    /// A tick is handed out to the items of a matrix: the next of them.
    Fan {
        /// The pipeline.
        pipeline: String,
        /// The schedule's name.
        schedule: String,
        /// The moment it was set to.
        scheduled_at: Instant,
    },
    /// The list of a matrix changes.
    Sync(Box<Sync>),
    /// An object arrived that a pipeline wants.
    File {
        /// The pipeline.
        pipeline: String,
        /// The object.
        object: Box<Object>,
        /// Whether somebody asks for it: then what was `paused` or `rejected` is decided on anew.
        asked: bool,
    },
    /// Something is due about a set of files: it may be late, or settled.
    Set {
        /// The pipeline.
        pipeline: String,
        /// The set's name.
        set: String,
    },
    /// Somebody outside has updated a dataset.
    Update {
        /// Its name.
        dataset: String,
        /// The day of the data.
        partition: Option<String>,
        /// Who says so.
        by: Option<String>,
    },
    /// Everybody was told of the updates of a dataset whom it starts.
    Told {
        /// The dataset.
        dataset: String,
        /// Up to which update.
        number: u64,
    },
    /// Which datasets shall start a pipeline, as it is deployed now?
    Subscribe {
        /// The pipeline.
        pipeline: String,
    },
    /// A run ended on which a further generation waits.
    Again {
        /// Which run.
        run_key: RunKey,
    },
    /// A pipeline version was deployed: new runs take it.
    Deploy(Box<Deploy>),
    /// What becomes of the deployment on trial.
    Canary(Canary),
    /// A pipeline is no longer deployed. Runs under way go on with what they are pinned to.
    Undeploy {
        /// What was deployed. One that has been replaced since is left alone.
        deployment: Box<Deployment>,
        /// Who.
        by: Option<String>,
    },
    /// A notice was delivered and may leave its outbox.
    Delivered {
        /// The item with the outbox.
        key: Key,
        /// The notice.
        notice: String,
    },
}

impl Command {
    /// Its kind in one word, for logs: what it carries may be nobody's business.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Trigger(_) => "trigger",
            Self::Open(_) => "open",
            Self::Begin(_) => "begin",
            Self::Finish(_) => "finish",
            Self::Close(_) => "close",
            Self::Arrive(_) => "arrive",
            Self::Release { .. } => "release",
            Self::Stand(_) => "stand",
            Self::Look { .. } => "look",
            Self::Resize { .. } => "resize",
            Self::Replace { .. } => "replace",
            Self::Define(_) => "define",
            Self::Report { .. } => "report",
            Self::SetBreaker { .. } => "set_breaker",
            Self::Take { .. } => "take",
            Self::Forget { .. } => "forget",
            Self::Retire { .. } => "retire",
            Self::Reclaim { .. } => "reclaim",
            Self::Cancel { .. } => "cancel",
            Self::Mark { .. } => "mark",
            Self::Pause(_) => "pause",
            Self::Observed(_) => "observed",
            Self::Reconcile(_) => "reconcile",
            Self::Ask(_) => "ask",
            Self::Approve(_) => "approve",
            Self::Heed { .. } => "heed",
            Self::Deadline { .. } => "deadline",
            Self::Event(_) => "event",
            Self::Ticks { .. } => "ticks",
            Self::Fan { .. } => "fan",
            Self::Sync(_) => "sync",
            Self::File { .. } => "file",
            Self::Set { .. } => "set",
            Self::Update { .. } => "update",
            Self::Told { .. } => "told",
            Self::Subscribe { .. } => "subscribe",
            Self::Again { .. } => "again",
            Self::Deploy(_) => "deploy",
            Self::Canary(_) => "canary",
            Self::Undeploy { .. } => "undeploy",
            Self::Delivered { .. } => "delivered",
        }
    }
}

/// Whether a pipeline's triggers start runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Pause {
    /// The pipeline.
    pub pipeline: String,
    /// Whether they are held back from now on.
    pub paused: bool,
    /// Who says so.
    pub by: Option<String>,
    /// The record that the pipeline gets when it has none: on one machine it has none before its first
    /// run. `None` refuses a pipeline that is not known.
    pub unknown: Option<PipelineRecord>,
}

/// A part of what a list changes.
#[derive(Clone, PartialEq, Debug)]
pub struct Sync {
    /// The pipeline.
    pub pipeline: String,
    /// The column that identifies an item, as the file has it: what is deployed must agree.
    pub key: String,
    /// The column that chooses the schedule.
    pub select: Option<String>,
    /// The revision of the list that this changes.
    pub revision: u64,
    /// At most [`SYNC_CHANGES_MAX`](crate::matrix::SYNC_CHANGES_MAX) of them.
    pub changes: Vec<ItemChange>,
    /// Whether this is the last part.
    pub last: bool,
    /// How many items there are then.
    pub items: usize,
    /// What is changed in all, for the audit.
    pub told: Json,
    /// Who.
    pub by: Option<String>,
}

/// What becomes of one item.
#[derive(Clone, PartialEq, Debug)]
pub struct ItemChange {
    /// Its key.
    pub key: String,
    /// The case with which it is stored; absent when it is not.
    pub before: Option<Option<String>>,
    /// Its case and columns from now on; absent when it is gone.
    pub after: Option<(Option<String>, serde_json::Map<String, Json>)>,
}

/// Something that may start runs.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A schedule ticked.
    Tick {
        /// The pipeline.
        pipeline: String,
        /// The schedule's name, as `cauce_model::plan::schedule_name` gives it.
        schedule: String,
        /// The moment it was set to.
        scheduled_at: Instant,
    },
    /// An object arrived in a bucket.
    Object(Object),
    /// A webhook was called.
    Webhook(crate::webhook::Webhook),
    /// A dataset was updated.
    Dataset {
        /// Its name.
        dataset: String,
    },
    /// Something may be new for a pipeline that datasets start.
    Consumer {
        /// The pipeline.
        pipeline: String,
    },
}

/// A pipeline version was deployed.
#[derive(Clone, PartialEq, Debug)]
pub struct Deploy {
    /// Where its plan was left; it is copied to the version's own place.
    pub plan: String,
    /// What runs of it are pinned to.
    pub deployment: Deployment,
    /// As a canary beside what is deployed: the share of new runs that take it, at most
    /// [`CANARY_PERCENT_MAX`](cauce_model::record::CANARY_PERCENT_MAX).
    pub canary: Option<u8>,
    /// Whether a pipeline that is not known yet is paused.
    pub new_paused: bool,
    /// Who.
    pub by: Option<String>,
}

/// What becomes of a pipeline's canary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Canary {
    /// The pipeline.
    pub pipeline: String,
    /// What.
    pub step: CanaryStep,
    /// Who.
    pub by: Option<String>,
}

/// A step in a canary's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CanaryStep {
    /// It takes this share of the new runs.
    Share(u8),
    /// It is what all new runs take.
    Promote,
    /// No new run takes it.
    Abort,
}

/// How a run shall treat one that exists under the same id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Existing {
    /// Leave it alone.
    Refuse,
    /// A next generation of an ended run, with these tasks.
    Next(Again),
    /// A next generation of a run whose engine died, keeping every task that ended. Somebody asks for it: what was
    /// under way starts anew.
    Resume,
    /// The same, and nobody asks for it: what was under way starts again within what its retries allow.
    Revive,
}

impl Existing {
    /// Whether it goes on with a run whose engine died.
    pub const fn goes_on(&self) -> bool {
        matches!(self, Self::Resume | Self::Revive)
    }
}

/// Which tasks the next generation runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Again {
    /// All.
    All,
    /// Those that did not end well, and all below them.
    Failed,
    /// One, and all below it if so wanted.
    Task {
        /// Which.
        task: String,
        /// Of a mapped task: only these of its items, by index; none: all.
        items: Vec<u32>,
        /// Whether with all below it.
        downstream: bool,
    },
    /// The teardowns that are due: what they take away is there, and they have not run.
    Teardowns,
    /// One, whatever its upstreams.
    Only {
        /// Which.
        task: String,
    },
}

impl Again {
    /// The mapped task of which only named items run, and those items.
    pub(crate) fn named_items(&self) -> Option<(&String, &[u32])> {
        match self {
            Self::Task { task, items, .. } if !items.is_empty() => Some((task, items)),
            _ => None,
        }
    }
}

/// Everything a new run needs.
#[derive(Clone, PartialEq, Debug)]
pub struct Trigger {
    /// The pipeline.
    pub pipeline: String,
    /// The version to run.
    pub version: String,
    /// The run's id.
    pub run_id: String,
    /// Why.
    pub trigger: TriggerRecord,
    /// Given parameters; `None` keeps those of the existing run.
    pub params: Option<Json>,
    /// Start of the data, or the moment itself.
    pub logical_date: Instant,
    /// The range of the data.
    pub data_interval: (Instant, Instant),
    /// Zone of `ds`.
    pub timezone: String,
    /// When the run was due; deadlines count from it.
    pub scheduled_at: Option<Instant>,
    /// What if the run exists.
    pub existing: Existing,
    /// Run this task alone.
    pub only: Option<String>,
    /// Whether tasks that a branch skips run all the same.
    pub force: bool,
    /// Whether an existing run gives up its own deployment for the newest of the version.
    pub latest: bool,
    /// Whether it takes the deployment on trial, which is then of this version.
    pub canary: bool,
    /// Whether to start the execution; without, somebody else does.
    pub start: bool,
}

/// An execution of a pipeline's machine began.
#[derive(Clone, PartialEq, Debug)]
pub struct Open {
    /// The pipeline.
    pub pipeline: String,
    /// The version its machine was compiled from.
    pub version: String,
    /// The execution's name.
    pub execution: String,
    /// Its input: `{run_key, generation}`, or what a person typed.
    pub input: Json,
    /// The token to answer.
    pub token: String,
}

/// A task asks.
#[derive(Clone, PartialEq, Debug)]
pub struct Begin {
    /// The run.
    pub run_key: RunKey,
    /// Its generation.
    pub generation: u32,
    /// The task.
    pub task: String,
    /// The item of a mapped task.
    pub index: Option<u32>,
    /// The token to answer.
    pub token: String,
    /// Orders the tokens of one task: later ones sort later.
    pub token_order: String,
}

/// The state of an approval waits.
#[derive(Clone, PartialEq, Debug)]
pub struct Ask {
    /// The run.
    pub run_key: RunKey,
    /// Its generation.
    pub generation: u32,
    /// The task.
    pub task: String,
    /// The fence that Begin gave.
    pub fence: u64,
    /// The token to answer.
    pub token: String,
    /// Orders the tokens of one task: later ones sort later.
    pub token_order: String,
}

/// A person answers an approval.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approve {
    /// The run.
    pub run_key: RunKey,
    /// The task.
    pub task: String,
    /// Yes or no.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// What they say of it; may be empty.
    pub comment: String,
}

/// Something of ours ended, as an event of the platform tells. Events may be lost, repeated and late:
/// each repairs what the normal path left undone, and changes nothing where that did its work.
#[derive(Clone, PartialEq, Debug)]
pub enum Observed {
    /// The execution of a task (or of one item of it).
    Task {
        /// The run.
        run_key: RunKey,
        /// The generation that the execution belongs to.
        generation: u32,
        /// The task.
        task: String,
        /// The item of a mapped task.
        index: Option<u32>,
        /// The execution's own name: anybody can start another one with the same input.
        execution: String,
        /// How it ended.
        end: ExecutionEnd,
    },
    /// The execution of a pipeline's own machine.
    Run {
        /// The run.
        run_key: RunKey,
        /// The generation that the execution belongs to.
        generation: u32,
        /// The execution's own name, as above.
        execution: String,
        /// How it ended.
        end: ExecutionEnd,
    },
    /// The execution of a part of a pipeline's machine.
    Part {
        /// The run.
        run_key: RunKey,
        /// The generation that the execution belongs to.
        generation: u32,
        /// How it ended.
        end: ExecutionEnd,
    },
    /// A program: an ECS task of ours.
    Program {
        /// The run.
        run_key: RunKey,
        /// The task.
        task: String,
        /// The item of a mapped task.
        index: Option<u32>,
        /// The attempt's number.
        attempt: u32,
        /// Its ARN.
        program: String,
    },
}

/// How an execution ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecutionEnd {
    /// Well.
    Succeeded,
    /// In a failure.
    Failed {
        /// The error's name.
        error: String,
        /// Its text.
        cause: String,
    },
    /// Over its time.
    TimedOut,
    /// Stopped from outside.
    Aborted {
        /// What was given as the reason; may be empty.
        cause: String,
    },
}

/// The sweep looks at a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Reconcile {
    /// The run.
    pub run_key: RunKey,
    /// How many executions of its tasks may be described.
    pub look: u32,
    /// Only those of task runs whose sort key comes after this one; empty: from the first.
    pub after: String,
    /// Its programs under way; `None` when nobody asked for them.
    pub programs: Option<Vec<Program>>,
}

/// A program under way, as its tags tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// The platform's id of it.
    pub id: String,
    /// The task.
    pub task: String,
    /// The item of a mapped task.
    pub index: Option<u32>,
    /// The attempt's number.
    pub attempt: u32,
}

/// How an attempt ended, as its state tells.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// The state's result.
    Succeeded(Json),
    /// The state's failure.
    Failed {
        /// The error's name.
        error: String,
        /// Its text.
        cause: String,
    },
    /// All items of a mapped task were passed.
    Joined,
    /// Its execution ended without a word to us, as far as known in this manner: nobody is left to
    /// make another attempt.
    Died(Option<ExecutionEnd>),
}

/// An attempt ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Finish {
    /// The run.
    pub run_key: RunKey,
    /// Its generation.
    pub generation: u32,
    /// The task.
    pub task: String,
    /// The item of a mapped task.
    pub index: Option<u32>,
    /// The fence that Begin gave; absent for a joined task.
    pub fence: u64,
    /// How.
    pub outcome: Outcome,
}

/// All tasks were passed.
#[derive(Clone, PartialEq, Debug)]
pub struct Close {
    /// The run.
    pub run_key: RunKey,
    /// Its generation.
    pub generation: u32,
    /// How often somebody had its execution go on after a failure (Redrive).
    pub redrives: u32,
}

/// A task ended that a gate waits for.
#[derive(Clone, PartialEq, Debug)]
pub struct Arrive {
    /// The run.
    pub run_key: RunKey,
    /// Its generation.
    pub generation: u32,
    /// The version of its plan.
    pub version: String,
    /// The pipeline.
    pub pipeline: String,
    /// The gated task's position.
    pub task: u32,
    /// The member's position in the gate's `waits`.
    pub member: u32,
    /// How the member ended, for early rules.
    pub status: cauce_model::TaskStatus,
}
