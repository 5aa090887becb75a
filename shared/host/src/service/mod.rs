//! The service: a host that goes on for as long as the machine does, and starts runs by itself.
//!
//! What this is: the body of `cauce up`. It deploys the pipelines of a project, goes on with what an earlier
//! process left, performs what is due when it is due (ticks of schedules, deadlines, sets of files), looks
//! after runs like the sweep on AWS, and answers requests of others. Time, files and programs come from its
//! world and its [`Project`], so that the simulation tests run this very loop in virtual time.
//! What it never does: decide (a tick that this process did not see is decided by the clock of its pipeline,
//! see `cauce_engine`'s ticks), wait in any other way than through its world.
//! Where to start reading: [`Service::run`].
//!
//! Invariants. What is due lies in the store: a service that dies at any moment loses nothing but time. Of one
//! run, one process has executions (`World::claim`). One pipeline that cannot be read, deployed or decided on
//! keeps no other waiting.

mod deploy;

mod due;

mod files;

mod letters;

mod requests;

mod revive;

use crate::World;
use crate::run::{Host, HostError};
use cauce_driver::{Budget, DriverError};
use cauce_engine::Command;
use cauce_model::event::Object;
use cauce_model::record::{ACTIVE_LIST, RunRecord};
use cauce_model::{Instant, Json, RunKey, RunStatus};
use cauce_ports::with_sources;
use cauce_ports::{Clock, Table};
use futures_util::future::{Either, join, join5, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;

pub use deploy::Offer;
pub use letters::Letter;
pub use requests::{Inbox, Requests, Unanswered, requests};
pub use revive::ReviveError;

/// A run that was written this long ago and has no execution anywhere was left behind. Whoever wrote it
/// starts it at once.
const LEFT_SECONDS: u64 = 60;

/// What a service needs besides its world: the project whose pipelines it runs, and somebody to tell.
pub trait Project {
    /// What the project offers now.
    ///
    /// # Errors
    /// The project as a whole cannot be read: everything stays as it is.
    fn read(&self) -> Result<Offer, String>;
    /// Waits until the project may offer something else.
    fn changed(&self) -> impl Future<Output = ()>;
    /// From now on arrivals in these buckets count, and no others. What is in a new one already has arrived
    /// too.
    fn watch(&self, _: &BTreeSet<String>) {}
    /// Waits for files that arrived in the watched buckets. Any of them may be told of any number of times, and
    /// never before it is complete.
    fn arrived(&self) -> impl Future<Output = Vec<Object>> {
        std::future::pending()
    }
    /// Something happened that a person cares for.
    fn tell(&self, told: &Told);
}

/// What a service tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// A pipeline's version was deployed: new runs take it.
    Deployed {
        /// The pipeline.
        pipeline: String,
        /// The version.
        version: String,
    },
    /// The items of a pipeline's matrix are those of its list again.
    Synced {
        /// The pipeline.
        pipeline: String,
        /// How many came.
        added: usize,
        /// How many are other than before.
        changed: usize,
        /// How many went.
        removed: usize,
    },
    /// A pipeline is no longer in the project: nothing starts it any more.
    Undeployed {
        /// The pipeline.
        pipeline: String,
    },
    /// A pipeline cannot be deployed; what was deployed before stays.
    Broken {
        /// The pipeline.
        pipeline: String,
        /// Why, in words.
        problem: String,
    },
    /// The project cannot be read; everything stays as it is.
    Unreadable {
        /// Why, in words.
        problem: String,
    },
    /// A run whose engine was gone goes on.
    Resumed {
        /// The run, `pipeline/run_id`.
        run: String,
        /// How many programs of it were left and have been ended.
        survivors: usize,
    },
    /// A run whose engine was gone could not go on; it is tried again.
    Left {
        /// The run, `pipeline/run_id`.
        run: String,
        /// Why, in words.
        problem: String,
    },
    /// The sweep mended something.
    Mended {
        /// What, in words.
        line: String,
    },
    /// Everything is deployed, what was left goes on: from now on runs start by themselves.
    Ready {
        /// How many pipelines are deployed.
        pipelines: usize,
    },
}

/// How often a service looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// For letters of other processes.
    pub look_seconds: u64,
    /// For what nobody told.
    pub sweep_seconds: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { look_seconds: 1, sweep_seconds: 60 }
    }
}

/// A host that goes on.
pub struct Service<W: World, P> {
    host: Host<W>,
    project: P,
    pace: Pace,
    inbox: RefCell<Option<Inbox>>,
    resting: RefCell<due::Resting>,
    /// The problems that were told of, by pipeline.
    problems: RefCell<BTreeMap<String, String>>,
    /// What is deployed, by pipeline: what was offered.
    deployed: RefCell<BTreeMap<String, String>>,
    /// The items that are stored, by pipeline.
    synced: RefCell<BTreeMap<String, Vec<cauce_engine::matrix::Listed>>>,
    wanted: RefCell<files::Wanted>,
}

impl<W: World + 'static, P: Project> Service<W, P> {
    /// A service of a host without pipelines.
    pub fn new(host: Host<W>, project: P, inbox: Inbox, pace: Pace) -> Self {
        Self {
            host,
            project,
            pace,
            inbox: RefCell::new(Some(inbox)),
            resting: RefCell::default(),
            problems: RefCell::default(),
            deployed: RefCell::default(),
            synced: RefCell::default(),
            wanted: RefCell::default(),
        }
    }

    /// The host.
    pub const fn host(&self) -> &Host<W> {
        &self.host
    }

    /// The project.
    pub const fn project(&self) -> &P {
        &self.project
    }

    /// Goes on until it is told to stop. What is under way then stays so in the store, and goes on with the
    /// next service.
    ///
    /// # Errors
    /// A store that cannot be used any more.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Result<(), HostError> {
        let work = async {
            let host = self.host.serve();
            let work = async {
                self.begin().await;
                let time = join(self.keep_time(), self.keep_receiving());
                join5(time, self.keep_sweeping(), self.keep_looking(), self.keep_deployed(), self.answer())
                    .await
                    .0
                    .0
            };
            match select(pin!(work), pin!(host)).await {
                Either::Left((never, _)) => match never {},
                Either::Right((error, _)) => error,
            }
        };
        match select(pin!(stop), pin!(work)).await {
            Either::Left(((), _)) => Ok(()),
            Either::Right((error, _)) => Err(error),
        }
    }

    fn now(&self) -> Instant {
        self.host.world().clock().now()
    }

    async fn rest(&self, seconds: u64) {
        self.host.world().until(self.now().plus_seconds(seconds)).await;
    }

    /// Trouble that does not stop the work, unless no repetition mends it.
    fn trouble(&self, what: &str, error: &DriverError) {
        self.host.note(error);
        self.host.world().warn(&format!("{what}: {}", with_sources(error)));
    }

    /// First what an earlier process left, then what is new: what was missed meanwhile waits behind the runs
    /// that were under way.
    async fn begin(&self) {
        while let Err(error) = self.adopt(0).await {
            self.trouble("the runs under way could not be read", &error);
            self.rest(1).await;
        }
        self.deploy().await;
        let pipelines = self.deployed.borrow().len();
        self.project.tell(&Told::Ready { pipelines });
    }

    /// Deploys what changes, for ever.
    async fn keep_deployed(&self) -> Infallible {
        loop {
            self.project.changed().await;
            self.deploy().await;
        }
    }

    /// Looks after what nobody told, for ever.
    async fn keep_sweeping(&self) -> Infallible {
        // What is due has its own time.
        let budget = Budget { due: 0, ..Budget::HERE };
        loop {
            if let Err(error) = self.adopt(LEFT_SECONDS).await {
                self.trouble("the runs under way could not be read", &error);
            }
            match self.host.driver().sweep(&budget).await {
                Ok(report) => {
                    report.lines.into_iter().for_each(|line| self.project.tell(&Told::Mended { line }))
                }
                Err(error) => self.trouble("the sweep could not look", &error),
            }
            self.rest(self.pace.sweep_seconds).await;
        }
    }

    /// Looks for letters, and whether the clock jumped, for ever.
    async fn keep_looking(&self) -> Infallible {
        loop {
            let before = self.now();
            self.rest(self.pace.look_seconds).await;
            // A machine that slept, or whose clock was set: timers count otherwise.
            if self.now().micros_since(before.plus_seconds(2 * self.pace.look_seconds)) > 0
                || self.now() < before
            {
                self.host.ring_now();
            }
            if let Err(error) = self.read_letters().await {
                self.trouble("requests of other processes could not be read", &error);
            }
        }
    }

    /// A run of which somebody wrote something.
    async fn look_at(&self, key: &RunKey) -> Result<(), DriverError> {
        let Some(run) = self.host.run_record(key).await? else { return Ok(()) };
        let is_refused = run.awaits_refusal() && self.host.drives(key);
        if run.status.is_terminal() && !is_refused {
            return Ok(());
        }
        if !self.host.drives(key) {
            self.go_on(&run).await;
        }
        if let Some(cancel) = &run.cancel {
            let (reason, by) = (cancel.reason.clone(), cancel.by.clone());
            let (run_key, generation) = (key.clone(), Some(run.generation));
            self.host.execute(&Command::Cancel { run_key, generation, reason, by }).await?;
        }
        Ok(())
    }

    /// Goes on with runs that are under way in no process, if they have been so for a while.
    async fn adopt(&self, seconds: u64) -> Result<(), DriverError> {
        let (mut left, mut children, mut after) = (Vec::new(), BTreeSet::new(), None);
        loop {
            let page = self.host.world().table().list(ACTIVE_LIST, "", after, 1000).await?;
            for item in &page.items {
                let Some(key) = item.body.get("run_key").and_then(Json::as_str).map(RunKey::from_text) else {
                    continue;
                };
                if self.host.drives(&key) {
                    continue;
                }
                let Some(run) = self.host.run_record(&key).await?.filter(|run| !run.status.is_terminal())
                else {
                    continue;
                };
                children.extend(self.host.children(&key).await?.iter().map(RunRecord::key));
                let since = cauce_engine::trigger::active_since(item);
                if since.is_none_or(|since| since.plus_seconds(seconds) <= self.now()) {
                    left.push(run);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // With one that is to end, others end.
        left.sort_by_key(|run| run.cancel.is_none());
        // A run that another one's task started goes on with that one.
        for key in left.iter().map(RunRecord::key).filter(|key| !children.contains(key)) {
            let run = self.host.run_record(&key).await?;
            if let Some(run) = run.filter(|run| !run.status.is_terminal()) {
                self.go_on(&run).await;
            }
        }
        Ok(())
    }

    /// Goes on with a run that has no execution here.
    async fn go_on(&self, run: &RunRecord) {
        let name = run.run.to_string();
        // Nothing of it has begun: its start is all that is missing.
        let outcome = if run.status == RunStatus::Queued && run.token.is_none() {
            match self.host.load_pinned(run).await {
                Ok(()) => self.host.driver().start(run).await.map(|()| None).map_err(ReviveError::from),
                Err(error) => Err(error.into()),
            }
        } else if run.cancel.is_some() {
            self.host.end_left(run).await.map(|()| None)
        } else {
            self.host.revive(run).await.map(|ended| Some(ended.len()))
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(survivors)) => self.project.tell(&Told::Resumed { run: name, survivors }),
            Err(ReviveError::Driven(_)) => {}
            Err(error) => {
                if let ReviveError::Driver(error) = &error {
                    self.host.note(error);
                }
                let problem = with_sources(&error);
                // Said once, tried again with each sweep.
                let known = self.problems.borrow_mut().insert(name.clone(), problem.clone());
                if known.as_ref() != Some(&problem) {
                    self.project.tell(&Told::Left { run: name, problem });
                }
            }
        }
    }

    /// Answers requests, for ever, several at once.
    async fn answer(&self) -> Infallible {
        let inbox = self.inbox.borrow_mut().take();
        let Some(Inbox(mut inbox)) = inbox else { return std::future::pending().await };
        let mut open = true;
        let mut under_way = FuturesUnordered::new();
        loop {
            let asked = async {
                match open {
                    true => inbox.next().await,
                    false => std::future::pending().await,
                }
            };
            let done = async {
                match under_way.is_empty() {
                    true => std::future::pending().await,
                    false => under_way.next().await,
                }
            };
            match select(pin!(asked), pin!(done)).await {
                Either::Left((Some(asked), _)) => under_way.push(async {
                    let asked: requests::Asked = asked;
                    let outcome = self.host.execute(&asked.command).await;
                    let outcome = outcome.map_err(|error| {
                        self.host.note(&error);
                        with_sources(&error)
                    });
                    // Whoever asked may not wait any more.
                    let _ = asked.reply.send(outcome);
                }),
                Either::Left((None, _)) => open = false,
                Either::Right(_) => {}
            }
        }
    }
}
