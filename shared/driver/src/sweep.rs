//! The sweep: what nobody told is found out by looking.
//!
//! Every few minutes, and whenever somebody asks for it, it performs what is due, and looks at the runs that are
//! under way or may have left something behind. Looking costs calls of rate-limited services, so a sweep has a
//! [`Budget`]: so many at once, then so many each second while its caller gives it time; after that the next sweep
//! goes on from there. Everything is safe to do twice, also at once.

use crate::{Driver, DriverError, Ports, TRIES_MAX};
use cauce_engine::command::{Program, Reconcile};
use cauce_engine::reconcile::counted;
use cauce_engine::{Command, Reply};
use cauce_model::item::{Change, Step, When};
use cauce_model::record::ACTIVE_LIST;
use cauce_model::{Json, Key, RunKey};
use cauce_ports::{Clock, Compute, Page, RunningTask, Services, Table, TableError, with_sources};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What DescribeExecution takes at once, and again every second, where least is granted.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
pub const DESCRIBES_BURST: u32 = 250;

/// See [`DESCRIBES_BURST`].
pub const DESCRIBES_PER_SECOND: u32 = 10;

/// What reads of a cluster's resources (ListTasks, DescribeTasks) take at once.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>
pub const CLUSTER_READS_BURST: u32 = 100;

/// See [`CLUSTER_READS_BURST`].
pub const CLUSTER_READS_PER_SECOND: u32 = 20;

/// What one sweep may use. Half of what the services take is left to everybody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Executions to describe at once.
    pub describes: u32,
    /// Executions to describe with each second that the sweep rests.
    pub describes_per_second: u32,
    /// Runs whose programs are listed at once; each takes two calls.
    pub listings: u32,
    /// The same with each second that the sweep rests.
    pub listings_per_second: u32,
    /// Due items to perform.
    pub due: u32,
    /// Pools in use to look at for dead holders; each takes a few reads of the store.
    pub pools: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            describes: DESCRIBES_BURST / 2,
            describes_per_second: DESCRIBES_PER_SECOND / 2,
            listings: CLUSTER_READS_BURST / 4,
            listings_per_second: CLUSTER_READS_PER_SECOND / 4,
            due: 500,
            pools: 200,
        }
    }
}

impl Budget {
    /// Where executions and programs are this machine's own: looking costs next to nothing.
    pub const HERE: Self = Self {
        describes: 10_000,
        describes_per_second: 10_000,
        listings: 10_000,
        listings_per_second: 10_000,
        due: 500,
        pools: 200,
    };
}

/// What a sweep did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SweepReport {
    /// Due items performed.
    pub due: u32,
    /// Runs looked at.
    pub runs: u32,
    /// Runs started that nobody had started.
    pub started: u32,
    /// Runs closed whose execution was over.
    pub closed: u32,
    /// Task runs settled whose execution was over.
    pub settled: u32,
    /// Gates asked again.
    pub gates: u32,
    /// Programs stopped that nobody waited for.
    pub stopped: u32,
    /// Slots given back that the dead held.
    pub freed: u32,
    /// What could not be done; the next sweep tries again.
    pub troubles: u32,
    /// Whether everything due was performed and every run and every pool in use looked at; otherwise the next
    /// sweep goes on where this one stopped.
    pub complete: bool,
    /// Each repair and each trouble, in words.
    pub lines: Vec<String>,
}

/// Where the next sweep goes on.
fn cursor_item() -> Key {
    Key::new("sweep", "cursor")
}

/// The cursor's fields: the first due item's place that was not performed, the last run's place in the list, its
/// last task run that was looked at, and the first pool that was not.
const DUE: &str = "due";
const POSITION: &str = "position";
const AFTER: &str = "after";
const POOL: &str = "pool";

/// How long a sweep rests at a time, to have calls again.
const REST_SECONDS: u32 = 5;

/// The part of the executions to describe that is kept for holders of slots, as its divisor. They are few:
/// of those that have written down what they do, the look at their runs has asked before.
const POOLS_SHARE: u32 = 5;

/// Items of a list that are read at a time.
const PAGE: u32 = 100;

/// What of the budget is left, and how there is more of it.
struct Left<R> {
    describes: u32,
    listings: u32,
    /// With each rest, and never more than at once.
    again: (u32, u32),
    most: (u32, u32),
    rest: R,
    /// The pools of the runs that were looked at.
    in_use: BTreeSet<String>,
}

impl<R: AsyncFn(u32) -> bool> Left<R> {
    /// Whether there are this many executions to describe and runs to list; rests until there are.
    async fn has(&mut self, describes: u32, listings: u32) -> bool {
        while self.describes < describes || self.listings < listings {
            if self.most.0 < describes || self.most.1 < listings || !(self.rest)(REST_SECONDS).await {
                return false;
            }
            self.describes = (self.describes + self.again.0).min(self.most.0);
            self.listings = (self.listings + self.again.1).min(self.most.1);
        }
        true
    }
}

impl<P: Ports> Driver<P> {
    /// Repairs what was lost, with what its budget allows at once.
    ///
    /// # Errors
    /// The store does not answer. Trouble with a single run is reported, and stops no other.
    pub async fn sweep(&self, budget: &Budget) -> Result<SweepReport, DriverError> {
        self.sweep_on(budget, async |_| false).await
    }

    /// As [`Driver::sweep`], and goes on after its calls are used up: `rest` waits for so many seconds, or says
    /// that there is no time for that.
    ///
    /// # Errors
    /// As [`Driver::sweep`].
    pub async fn sweep_on(
        &self,
        budget: &Budget,
        rest: impl AsyncFn(u32) -> bool,
    ) -> Result<SweepReport, DriverError> {
        let mut report = SweepReport::default();
        let cursor = self.services().table().get(&cursor_item()).await?;
        let field = |name: &str| {
            let value = cursor.as_ref().and_then(|item| item.body.get(name)).and_then(Json::as_str);
            value.unwrap_or_default().to_owned()
        };
        let next_due = self.perform_due(&field(DUE), budget.due, &mut report).await?;
        let kept = budget.describes / POOLS_SHARE;
        let mut left = Left {
            describes: budget.describes - kept,
            listings: budget.listings,
            again: (budget.describes_per_second * REST_SECONDS, budget.listings_per_second * REST_SECONDS),
            most: (budget.describes, budget.listings),
            rest,
            in_use: BTreeSet::new(),
        };
        let (from, after) = (field(POSITION), field(AFTER));
        let mut stopped_at = self.look_at_runs(&from, None, &after, &mut left, &mut report).await?;
        if stopped_at.is_none() && !from.is_empty() {
            stopped_at = self.look_at_runs("", Some(&from), "", &mut left, &mut report).await?;
        }
        left.describes += kept;
        let next_pool = self.reclaim(&field(POOL), budget.pools, &mut left, &mut report).await?;
        report.complete = next_due.is_empty() && stopped_at.is_none() && next_pool.is_empty();
        let (position, after) = stopped_at.unwrap_or_default();
        let steps = vec![
            Step::Set(DUE.to_owned(), Json::from(next_due)),
            Step::Set(POSITION.to_owned(), Json::from(position)),
            Step::Set(AFTER.to_owned(), Json::from(after)),
            Step::Set(POOL.to_owned(), Json::from(next_pool)),
        ];
        self.services().table().update(&cursor_item(), &Change { steps }, &When::always()).await?;
        Ok(report)
    }

    /// Gives back what the dead hold in the pools of the runs that were looked at, from one pool on and
    /// around. Returns the pool to begin with next time, empty when all had their turn.
    async fn reclaim<R: AsyncFn(u32) -> bool>(
        &self,
        from: &str,
        most: u32,
        left: &mut Left<R>,
        report: &mut SweepReport,
    ) -> Result<String, DriverError> {
        let pools = std::mem::take(&mut left.in_use);
        let around = pools.range(from.to_owned()..).chain(pools.range(..from.to_owned()));
        for (pool, done) in around.zip(0..) {
            if done == most || !left.has(1, 0).await {
                return Ok(pool.clone());
            }
            let command = Command::Reclaim { pool: pool.clone(), all: false };
            match self.execute(&command).await {
                Ok(Reply::Ok(told)) => {
                    left.describes = left.describes.saturating_sub(counted(&told, "looked"));
                    let freed = counted(&told, "freed");
                    report.freed += freed;
                    if freed > 0 {
                        report
                            .lines
                            .push(format!("{pool}: {freed} slots given back, whose holders are dead"));
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    report.troubles += 1;
                    report.lines.push(format!("{pool}: {}", with_sources(&error)));
                }
            }
        }
        Ok(String::new())
    }

    pub(crate) async fn page(
        &self,
        list: &str,
        from: &str,
        after: Option<cauce_ports::Cursor>,
    ) -> Result<Page, TableError> {
        let mut left = TRIES_MAX;
        loop {
            left -= 1;
            match self.services().table().list(list, from, after.clone(), PAGE).await {
                Err(error) if error.retryable() && left > 0 => {}
                outcome => return outcome,
            }
        }
    }

    /// Performs what is due, from one place on and around: what cannot be performed stays, and keeps nothing
    /// else waiting for ever. Returns the place to begin with next time, empty when everything had its turn.
    async fn perform_due(
        &self,
        from: &str,
        most: u32,
        report: &mut SweepReport,
    ) -> Result<String, DriverError> {
        if most == 0 {
            return Ok(String::new());
        }
        let mut stopped_at = self.perform_due_between(from, None, most, report).await?;
        if stopped_at.is_none() && !from.is_empty() {
            stopped_at = self.perform_due_between("", Some(from), most, report).await?;
        }
        Ok(stopped_at.unwrap_or_default())
    }

    async fn perform_due_between(
        &self,
        from: &str,
        until: Option<&str>,
        most: u32,
        report: &mut SweepReport,
    ) -> Result<Option<String>, DriverError> {
        let now = self.services().clock().now();
        let mut after = None;
        loop {
            let (page, next) = self.due_from(from, after).await?;
            for due in page {
                if due.at > now || until.is_some_and(|until| due.position.as_str() >= until) {
                    return Ok(None);
                }
                if report.due == most {
                    return Ok(Some(due.position));
                }
                let Some(command) = due.command else {
                    report.due += 1;
                    report.troubles += 1;
                    report.lines.push(format!("{} is due, and not known to this version", due.key));
                    continue;
                };
                let mut again = true;
                while again && report.due < most {
                    report.due += 1;
                    let left = std::cell::Cell::new(most - report.due);
                    let outcome =
                        self.tick(&command, || left.replace(left.get().saturating_sub(1)) > 0).await;
                    report.due = most - left.get();
                    again = match outcome {
                        Ok(Reply::Ok(told)) => told["again"] == true,
                        Ok(_) => false,
                        Err(error) => {
                            report.troubles += 1;
                            report.lines.push(format!("{} is due: {}", due.key, with_sources(&error)));
                            false
                        }
                    };
                }
                if again {
                    return Ok(Some(due.position));
                }
            }
            after = next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    /// Looks at the runs of the list from one place to before another. Where the budget ends: the place
    /// of the run and the task run after which to go on.
    async fn look_at_runs<R: AsyncFn(u32) -> bool>(
        &self,
        from: &str,
        until: Option<&str>,
        first_after: &str,
        left: &mut Left<R>,
        report: &mut SweepReport,
    ) -> Result<Option<(String, String)>, DriverError> {
        let mut cursor = None;
        loop {
            let page = self.page(ACTIVE_LIST, from, cursor).await?;
            for item in &page.items {
                let position = item.index.as_ref().map_or("", |entry| entry.position.as_str());
                if until.is_some_and(|until| position >= until) {
                    return Ok(None);
                }
                let Some(run_key) = item.body.get("run_key").and_then(Json::as_str) else { continue };
                let run_key = RunKey::from_text(run_key);
                if self.ports().leaves(&run_key) {
                    continue;
                }
                let mut after = if position == from { first_after.to_owned() } else { String::new() };
                loop {
                    // One is for the run's own execution. Programs are listed once, before its task runs.
                    if !left.has(2, u32::from(after.is_empty())).await {
                        return Ok(Some((position.to_owned(), after)));
                    }
                    match self.look_at(&run_key, &after, left, report).await {
                        Ok(Some(next)) => after = next,
                        Ok(None) => break,
                        Err(error) => {
                            report.troubles += 1;
                            report.lines.push(format!("{run_key}: {}", with_sources(&error)));
                            break;
                        }
                    }
                }
                report.runs += 1;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(None);
            }
        }
    }

    /// Looks at one run. Returns the task run after which to go on, if there are more.
    async fn look_at<R>(
        &self,
        run_key: &RunKey,
        after: &str,
        left: &mut Left<R>,
        report: &mut SweepReport,
    ) -> Result<Option<String>, DriverError> {
        let mut programs = None;
        if after.is_empty() {
            left.listings -= 1;
            programs = match self.services().compute().find(run_key).await {
                Ok(found) => Some(found.into_iter().map(program).collect()),
                // What its executions tell is worth as much without them. The run stays in the list.
                Err(error) => {
                    report.troubles += 1;
                    report.lines.push(format!("{run_key}: {}", with_sources(&DriverError::from(error))));
                    None
                }
            };
        }
        left.describes -= 1;
        let command = Command::Reconcile(Reconcile {
            run_key: run_key.clone(),
            look: left.describes,
            after: after.to_owned(),
            programs,
        });
        let Reply::Ok(told) = self.execute(&command).await? else { return Ok(None) };
        let count = |name: &str| counted(&told, name);
        left.describes = left.describes.saturating_sub(count("looked"));
        report.started += count("started");
        report.closed += count("closed");
        report.settled += count("settled");
        report.gates += count("gates");
        report.stopped += count("stopped");
        let pools = told.get("pools").and_then(Json::as_array).into_iter().flatten();
        left.in_use.extend(pools.filter_map(Json::as_str).map(str::to_owned));
        let lines = told.get("lines").and_then(Json::as_array).into_iter().flatten();
        report.lines.extend(lines.filter_map(Json::as_str).map(str::to_owned));
        Ok(told.get("next").and_then(Json::as_str).map(str::to_owned))
    }
}

fn program(task: RunningTask) -> Program {
    Program { id: task.id, task: task.task, index: task.index, attempt: task.attempt }
}
