//! Load, decide, write, perform: the body of every function.
//!
//! What this is: the one loop around `cauce_engine::decide`. It shows the decision what it asks for,
//! writes what it decides, performs the effects, and starts over when somebody else wrote first.
//! What it never does: decide anything, name an SDK, read a clock but through its port.
//! Where to start reading: [`Driver::execute`], then `load` (how needs are met) and `perform` (how
//! effects are).
//!
//! What a crash means, at any point: before the write, nothing happened but updates and documents
//! that are safe to repeat; after it, the effects are missing. In both cases whoever asked asks again,
//! and the second time the decision finds what the first one did and gives the same effects. Nobody
//! asks again for notices and deadlines: they lie in an outbox and in the due list, where the sweep
//! finds them.

mod load;

mod perform;

mod plans;

pub mod payload;

pub mod observed;

mod due;

mod sweep;

mod items;

pub mod look;

pub mod look_datasets;

pub mod ask;

pub use due::Due;
pub use sweep::{
    Budget, CLUSTER_READS_BURST, CLUSTER_READS_PER_SECOND, DESCRIBES_BURST, DESCRIBES_PER_SECOND, SweepReport,
};

pub use items::Synced;

pub use plans::{Plans, plan_uri};

use cauce_engine::command::Event;
use cauce_engine::{Command, Decision, Effect, Reply, Settings, View, decide};
use cauce_model::ids::sha256_hex;
use cauce_model::record::RunRecord;
use cauce_model::{Instant, RunKey, Write};
use cauce_ports::{
    Clock, ComputeError, ObjectError, Objects, Services, StateMachineError, Table, TableError,
};
use futures_util::future::join_all;
use std::future::Future;
use std::pin::Pin;

/// How often a decision is made anew because somebody else wrote first. Each round somebody made
/// progress, so this is reached only when a store lies.
pub const ROUNDS_MAX: u32 = 64;

/// How often one call of a port is repeated at once. Longer troubles are the caller's to wait out:
/// a state machine retries with growing pauses, which cost nothing.
pub const TRIES_MAX: u32 = 4;

/// The outside that a driver acts through, and that hears what it does.
pub trait Ports {
    /// The ports.
    type Services: Services;

    /// The ports.
    fn services(&self) -> &Self::Services;
    /// Wakes somebody at that moment to decide this. Losing it loses time only: what is due is in
    /// the store's due list.
    fn at(&self, at: Instant, command: Command);
    /// Has an event decided by whoever hears events. Losing it loses time only, as above.
    fn post(&self, event: &Event) -> impl Future<Output = ()>;
    /// Sees every decision once it is written. For people: progress, `--dry-run`, logs.
    fn decided(&self, command: &Command, decision: &Decision);
    /// Hears of trouble that does not stop the work, such as a channel that does not answer.
    fn warn(&self, message: &str);
    /// Whether somebody else looks after a run: the sweep passes it over.
    fn leaves(&self, _: &RunKey) -> bool {
        false
    }
    /// Whether somebody has executions of a run that is under way. Where executions outlive processes, they do.
    fn drives(&self, _: &RunKey) -> bool {
        true
    }
}

/// Why a command could not be carried out. Nothing is half done: it can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The store.
    #[error("the store could not be used")]
    Table(#[from] TableError),
    /// The engine of state machines.
    #[error("the state machines could not be reached")]
    StateMachines(#[from] StateMachineError),
    /// Programs under way.
    #[error("the compute platform could not be reached")]
    Compute(#[from] ComputeError),
    /// Documents.
    #[error("a document could not be read or written")]
    Objects(#[from] ObjectError),
    /// A plan that is not there, or cannot be read.
    #[error("the plan of {pipeline} {version} cannot be used: {reason}")]
    Plan {
        /// The pipeline.
        pipeline: String,
        /// The version.
        version: String,
        /// Why.
        reason: String,
    },
    /// A deployment that is not there, or cannot be read.
    #[error("the deployment {uri} cannot be used: {reason}")]
    Deployment {
        /// Where its document should be.
        uri: String,
        /// Why.
        reason: String,
    },
    /// An item that does not hold what it should.
    #[error("an item of the store could not be read")]
    Record(#[from] cauce_model::record::RecordError),
    /// Others wrote first, every time.
    #[error("others changed the same items {ROUNDS_MAX} times in a row")]
    Busy,
}

/// Carries out commands against ports.
pub struct Driver<P> {
    ports: P,
    settings: Settings,
    plans: Plans,
    deployments: plans::Deployments,
}

impl<P: Ports> Driver<P> {
    /// A driver of one environment.
    pub fn new(ports: P, settings: Settings) -> Self {
        Self { ports, settings, plans: Plans::default(), deployments: plans::Deployments::default() }
    }

    /// The outside.
    pub const fn ports(&self) -> &P {
        &self.ports
    }

    /// The ports.
    pub fn services(&self) -> &P::Services {
        self.ports.services()
    }

    /// The environment.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The plans read so far.
    pub const fn plans(&self) -> &Plans {
        &self.plans
    }

    /// Carries out a command and everything that follows from it.
    ///
    /// # Errors
    /// A port that does not answer. The command may be repeated as it is.
    pub async fn execute(&self, command: &Command) -> Result<Reply, DriverError> {
        for _ in 0..ROUNDS_MAX {
            let now = self.services().clock().now();
            let mut view = View::default();
            let decision = loop {
                match decide(command, &view, &self.settings, now) {
                    Ok(decision) => break decision,
                    Err(need) => self.show(&mut view, need).await?,
                }
            };
            debug_assert_eq!(view.written_blindly(&decision.writes), None, "{}", command.name());
            for (uri, bytes) in &decision.documents {
                self.put(uri, bytes).await?;
            }
            if !self.write(&decision.writes, now).await? {
                continue;
            }
            self.ports.decided(command, &decision);
            self.perform(&decision.effects).await?;
            return Ok(decision.reply);
        }
        Err(DriverError::Busy)
    }

    /// Starts the execution of a run's present generation, unless it was.
    ///
    /// # Errors
    /// The engine of state machines does not answer.
    pub async fn start(&self, run: &RunRecord) -> Result<(), DriverError> {
        self.effect(&cauce_engine::trigger::start(run)).await
    }

    /// Effects lead to commands and those to effects: the recursion needs a box somewhere.
    fn follow<'a>(
        &'a self,
        command: &'a Command,
    ) -> Pin<Box<dyn Future<Output = Result<(), DriverError>> + 'a>> {
        Box::pin(async move {
            // A refusal means that what was to follow has been overtaken.
            self.execute(command).await.map(|_: Reply| ())
        })
    }

    /// Writes what was decided at a moment. False: somebody else wrote first, and the decision has to be made anew.
    async fn write(&self, writes: &[Write], at: Instant) -> Result<bool, DriverError> {
        if writes.is_empty() {
            return Ok(true);
        }
        // The same writes under the same token are applied once, so a lost reply can be asked for
        // again without knowing whether they were. Decided again later they are others: who leaves a line
        // twice in ten minutes leaves it twice.
        let token = sha256_hex(serde_json::to_vec(&(writes, at)).unwrap_or_default())[..36].to_owned();
        for left in (0..TRIES_MAX).rev() {
            match self.services().table().write(writes, &token).await {
                Ok(()) => return Ok(true),
                Err(TableError::Condition { .. } | TableError::Conflict) => return Ok(false),
                Err(error) if error.retryable() && left > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    async fn put(&self, uri: &str, bytes: &[u8]) -> Result<(), DriverError> {
        for left in (0..TRIES_MAX).rev() {
            match self.services().objects().put(uri, bytes).await {
                Ok(()) => break,
                Err(error) if error.retryable() && left > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn perform(&self, effects: &[Effect]) -> Result<(), DriverError> {
        // Answers last: once its own token is answered nobody asks this function again, and what had
        // not been performed by then would be lost.
        let is_answer = |effect: &&Effect| matches!(effect, Effect::Answer { .. } | Effect::Refuse { .. });
        let (answers, works): (Vec<&Effect>, Vec<&Effect>) = effects.iter().partition(is_answer);
        for group in [works, answers] {
            // Effects of one group do not depend on each other; on a durable store they then share
            // one commit.
            let outcomes = join_all(group.into_iter().map(|effect| self.effect(effect))).await;
            outcomes.into_iter().collect::<Result<(), DriverError>>()?;
        }
        Ok(())
    }
}
