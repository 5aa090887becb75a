//! Ports that fail as real ones do: from a seed, or by a crash at a chosen call; and that keep a chosen
//! call waiting, so that somebody else comes between.
//!
//! All the ports of one test share one [`Faults`], which counts their calls together. A crash lets
//! the call never return, before or after its work was done, and no later call either: as far as
//! the outside can tell, the process is dead. [`Faults::survive`] runs the process under test and
//! tells when it died; after [`Faults::revive`] a new one may be started over the same ports.

use crate::prng::Prng;
use cauce_driver::TRIES_MAX;
use cauce_model::item::{Change, Item, Key, When, Write};
use cauce_model::record::Notice;
use cauce_model::{Json, RunKey};
use cauce_ports::{
    Answer, Answered, Compute, ComputeError, Cursor, Described, Notifier, NotifyError, ObjectError,
    ObjectInfo, Objects, Page, RunningTask, Started, StateMachineError, StateMachines, Table, TableError,
    TaskFailure, TaskRunner,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How often calls fail, in calls of 1,000.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Refused by the service's rate; nothing was done.
    pub throttled: u64,
    /// Writes of a table refused because others were under way; nothing was done.
    pub conflict: u64,
    /// The request was lost: an unknown outcome, nothing was done.
    pub lost_before: u64,
    /// The reply was lost: an unknown outcome, all was done.
    pub lost_after: u64,
    /// Reads of an index that show it as it was when last asked.
    pub stale: u64,
}

/// On which side of its work a call dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Nothing was done.
    Before,
    /// All was done, and nobody heard of it.
    After,
}

/// The process died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crashed;

/// What goes wrong, for all the ports of one test. Clones are the same.
#[derive(Clone)]
pub struct Faults {
    state: Rc<RefCell<State>>,
}

struct State {
    prng: Prng,
    rates: Rates,
    calls: u64,
    made: Made,
    fired: Fired,
    read: u64,
    crash: Option<(u64, Moment)>,
    lost: Option<(u64, Moment)>,
    held: Option<u64>,
    holder: Option<Waker>,
    dead: bool,
    watcher: Option<Waker>,
}

/// What happens to one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Throttled,
    Conflict,
    LostBefore,
    LostAfter,
    Stale,
    Dies(Moment),
    Held,
    Dead,
}

/// Which faults a call can meet besides the common ones, and whether it is made after a decision.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    IndexRead,
    TableWrite,
    Effect,
}

/// Calls, by kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Made {
    /// Reads of anything.
    pub reads: u64,
    /// Writes of a table.
    pub writes: u64,
    /// Whatever else changes something.
    pub effects: u64,
}

/// The faults that there were, by kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fired {
    /// Calls refused by a rate.
    pub throttled: u64,
    /// Writes refused because of others.
    pub conflict: u64,
    /// Requests that were lost.
    pub lost_before: u64,
    /// Replies that were lost.
    pub lost_after: u64,
    /// Reads of an index as it was.
    pub stale: u64,
    /// Calls at which the process died.
    pub died: u64,
    /// Of all these, those between a decision and its last effect: writes, and what follows them.
    pub after_decision: u64,
}

impl Fired {
    /// All faults.
    pub const fn total(&self) -> u64 {
        self.throttled + self.conflict + self.lost_before + self.lost_after + self.stale + self.died
    }

    fn count(&mut self, fate: Fate, kind: Kind) {
        let counter = match fate {
            Fate::Throttled => &mut self.throttled,
            Fate::Conflict => &mut self.conflict,
            Fate::LostBefore => &mut self.lost_before,
            Fate::LostAfter => &mut self.lost_after,
            Fate::Stale => &mut self.stale,
            Fate::Dies(_) => &mut self.died,
            Fate::Done | Fate::Held | Fate::Dead => return,
        };
        *counter += 1;
        self.after_decision += u64::from(matches!(kind, Kind::TableWrite | Kind::Effect));
    }
}

impl std::ops::AddAssign for Fired {
    fn add_assign(&mut self, other: Self) {
        self.throttled += other.throttled;
        self.conflict += other.conflict;
        self.lost_before += other.lost_before;
        self.lost_after += other.lost_after;
        self.stale += other.stale;
        self.died += other.died;
        self.after_decision += other.after_decision;
    }
}

impl Faults {
    /// Nothing goes wrong until [`Faults::crash_at`].
    pub fn none() -> Self {
        Self::seeded(0, Rates::default())
    }

    /// Calls fail at these rates, which ones the seed tells.
    pub fn seeded(seed: u64, rates: Rates) -> Self {
        Self {
            state: Rc::new(RefCell::new(State {
                prng: Prng::new(seed),
                rates,
                calls: 0,
                made: Made::default(),
                fired: Fired::default(),
                read: 0,
                crash: None,
                lost: None,
                held: None,
                holder: None,
                dead: false,
                watcher: None,
            })),
        }
    }

    /// The call of this number, counted from 1 over all ports since the beginning, dies.
    pub fn crash_at(&self, call: u64, moment: Moment) {
        self.state.borrow_mut().crash = Some((call, moment));
    }

    /// The call of this number is lost, before or after its work, and so are those by which whoever made it
    /// repeats it at once: it gives up.
    pub fn lose_at(&self, call: u64, moment: Moment) {
        self.state.borrow_mut().lost = Some((call, moment));
    }

    /// The call of this number waits before its work until [`Faults::release`]; other calls go on.
    pub fn hold_at(&self, call: u64) {
        self.state.borrow_mut().held = Some(call);
    }

    /// The call that is held goes on; one that was to be held is not.
    pub fn release(&self) {
        let mut state = self.state.borrow_mut();
        state.held = None;
        if let Some(holder) = state.holder.take() {
            holder.wake();
        }
    }

    /// Waits for [`Faults::release`].
    async fn held(&self) {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.held.is_none() {
                return Poll::Ready(());
            }
            state.holder = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Other rates from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.state.borrow_mut().rates = rates;
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.state.borrow().calls
    }

    /// The calls that there were, by kind.
    pub fn made(&self) -> Made {
        self.state.borrow().made
    }

    /// The faults that there were.
    pub fn fired(&self) -> Fired {
        self.state.borrow().fired
    }

    /// How many items the partitions of tables have shown.
    pub fn read(&self) -> u64 {
        self.state.borrow().read
    }

    /// A new process may use the ports.
    pub fn revive(&self) {
        let mut state = self.state.borrow_mut();
        state.dead = false;
        state.crash = None;
        state.lost = None;
    }

    /// Runs a process until it ends or dies. It must be dropped when it died, as this does.
    ///
    /// # Errors
    /// It died.
    pub async fn survive<T>(&self, process: impl Future<Output = T>) -> Result<T, Crashed> {
        let mut process = pin!(process);
        poll_fn(|context| {
            self.state.borrow_mut().watcher = Some(context.waker().clone());
            let polled = process.as_mut().poll(context);
            if self.state.borrow().dead {
                return Poll::Ready(Err(Crashed));
            }
            polled.map(Ok)
        })
        .await
    }

    fn fate(&self, kind: Kind) -> Fate {
        let mut state = self.state.borrow_mut();
        let fate = state.fate(kind);
        state.fired.count(fate, kind);
        fate
    }

    async fn die<T>(&self) -> T {
        {
            let mut state = self.state.borrow_mut();
            state.dead = true;
            if let Some(watcher) = state.watcher.take() {
                watcher.wake();
            }
        }
        pending().await
    }
}

impl State {
    fn fate(&mut self, kind: Kind) -> Fate {
        if self.dead {
            return Fate::Dead;
        }
        self.calls += 1;
        match kind {
            Kind::Read | Kind::IndexRead => self.made.reads += 1,
            Kind::TableWrite => self.made.writes += 1,
            Kind::Effect => self.made.effects += 1,
        }
        if let Some((call, moment)) = self.crash
            && call == self.calls
        {
            return Fate::Dies(moment);
        }
        if let Some((first, moment)) = self.lost
            && (first..first + u64::from(TRIES_MAX)).contains(&self.calls)
        {
            return match moment {
                Moment::Before => Fate::LostBefore,
                Moment::After => Fate::LostAfter,
            };
        }
        if self.held == Some(self.calls) {
            return Fate::Held;
        }
        let rates = self.rates;
        // One draw per call, so that changing one rate moves no other call's fate further than it
        // must.
        let mut drawn = self.prng.below(1000);
        for (rate, fate, applies) in [
            (rates.throttled, Fate::Throttled, true),
            (rates.lost_before, Fate::LostBefore, true),
            (rates.lost_after, Fate::LostAfter, true),
            (rates.conflict, Fate::Conflict, kind == Kind::TableWrite),
            (rates.stale, Fate::Stale, kind == Kind::IndexRead),
        ] {
            if applies {
                if drawn < rate {
                    return fate;
                }
                drawn -= rate;
            }
        }
        Fate::Done
    }
}

/// The errors with which a port tells of faults.
struct Errors<E> {
    throttled: E,
    lost: E,
}

/// A port whose calls meet [`Faults`].
pub struct Faulty<P> {
    port: P,
    faults: Faults,
    /// The last true answers of the index, by question.
    shown: RefCell<BTreeMap<String, Page>>,
}

impl<P> Faulty<P> {
    /// The port, made faulty.
    pub fn new(port: P, faults: &Faults) -> Self {
        Self { port, faults: faults.clone(), shown: RefCell::default() }
    }

    /// The port as it is, without faults.
    pub const fn port(&self) -> &P {
        &self.port
    }

    async fn call<T, E>(
        &self,
        fate: Fate,
        errors: Errors<E>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match fate {
            Fate::Throttled => Err(errors.throttled),
            Fate::LostBefore => Err(errors.lost),
            Fate::LostAfter => {
                // What it came to is what the caller never hears.
                drop(work.await);
                Err(errors.lost)
            }
            Fate::Dies(Moment::Before) => self.faults.die().await,
            Fate::Dies(Moment::After) => {
                drop(work.await);
                self.faults.die().await
            }
            Fate::Dead => pending().await,
            Fate::Held => {
                self.faults.held().await;
                work.await
            }
            Fate::Done | Fate::Conflict | Fate::Stale => work.await,
        }
    }

    async fn table<T>(
        &self,
        fate: Fate,
        work: impl Future<Output = Result<T, TableError>>,
    ) -> Result<T, TableError> {
        if fate == Fate::Conflict {
            return Err(TableError::Conflict);
        }
        let errors = Errors {
            throttled: TableError::Throttled,
            lost: TableError::Unknown("lost on purpose".to_owned()),
        };
        self.call(fate, errors, work).await
    }

    async fn machines<T>(
        &self,
        kind: Kind,
        work: impl Future<Output = Result<T, StateMachineError>>,
    ) -> Result<T, StateMachineError> {
        let errors = Errors {
            throttled: StateMachineError::Throttled,
            lost: StateMachineError::Unknown("lost on purpose".to_owned()),
        };
        self.call(self.faults.fate(kind), errors, work).await
    }

    async fn objects<T>(
        &self,
        kind: Kind,
        work: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        let errors = Errors {
            throttled: ObjectError::Throttled,
            lost: ObjectError::Unknown("lost on purpose".to_owned()),
        };
        self.call(self.faults.fate(kind), errors, work).await
    }

    async fn compute<T>(
        &self,
        kind: Kind,
        work: impl Future<Output = Result<T, ComputeError>>,
    ) -> Result<T, ComputeError> {
        let errors = Errors {
            throttled: ComputeError::Throttled,
            lost: ComputeError::Unknown("lost on purpose".to_owned()),
        };
        self.call(self.faults.fate(kind), errors, work).await
    }
}

impl<P: Table> Table for Faulty<P> {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.table(self.faults.fate(Kind::Read), self.port.get(key)).await
    }

    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        self.table(self.faults.fate(Kind::Read), self.port.batch_get(keys)).await
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        let query = self.port.query(partition, prefix, after, limit);
        let page = self.table(self.faults.fate(Kind::Read), query).await?;
        self.faults.state.borrow_mut().read += page.items.len() as u64;
        Ok(page)
    }

    async fn list(
        &self,
        list: &str,
        from: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        let question = format!("{list}\n{from}\n{after:?}\n{limit}");
        let fate = self.faults.fate(Kind::IndexRead);
        if fate == Fate::Stale {
            // Never asked before: as if everything had been written a moment ago.
            let shown = self.shown.borrow().get(&question).cloned();
            return Ok(shown.unwrap_or_default());
        }
        let page = self.table(fate, self.port.list(list, from, after, limit)).await?;
        self.shown.borrow_mut().insert(question, page.clone());
        Ok(page)
    }

    async fn write(&self, writes: &[Write], token: &str) -> Result<(), TableError> {
        self.table(self.faults.fate(Kind::TableWrite), self.port.write(writes, token)).await
    }

    async fn update(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        self.table(self.faults.fate(Kind::TableWrite), self.port.update(key, change, when)).await
    }
}

impl<P: StateMachines> StateMachines for Faulty<P> {
    async fn start(&self, machine: &str, name: &str, input: &Json) -> Result<Started, StateMachineError> {
        self.machines(Kind::Effect, self.port.start(machine, name, input)).await
    }

    async fn describe(&self, machine: &str, name: &str) -> Result<Option<Described>, StateMachineError> {
        self.machines(Kind::Read, self.port.describe(machine, name)).await
    }

    async fn stop(
        &self,
        machine: &str,
        name: &str,
        error: &str,
        cause: &str,
    ) -> Result<(), StateMachineError> {
        self.machines(Kind::Effect, self.port.stop(machine, name, error, cause)).await
    }

    async fn answer(&self, token: &str, answer: &Answer) -> Result<Answered, StateMachineError> {
        self.machines(Kind::Effect, self.port.answer(token, answer)).await
    }
}

impl<P: Objects> Objects for Faulty<P> {
    async fn get(&self, uri: &str, limit: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        self.objects(Kind::Read, self.port.get(uri, limit)).await
    }

    async fn put(&self, uri: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        self.objects(Kind::Effect, self.port.put(uri, bytes)).await
    }

    async fn list(&self, prefix: &str, limit: u32) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.objects(Kind::Read, self.port.list(prefix, limit)).await
    }
}

impl<P: Notifier> Notifier for Faulty<P> {
    async fn deliver(&self, notice: &Notice) -> Result<(), NotifyError> {
        let unreachable = || NotifyError::Unreachable {
            channel: notice.channel.clone(),
            reason: "lost on purpose".to_owned(),
        };
        let errors = Errors { throttled: unreachable(), lost: unreachable() };
        self.call(self.faults.fate(Kind::Effect), errors, self.port.deliver(notice)).await
    }
}

impl<P: Compute> Compute for Faulty<P> {
    async fn find(&self, run_key: &RunKey) -> Result<Vec<RunningTask>, ComputeError> {
        self.compute(Kind::Read, self.port.find(run_key)).await
    }

    async fn stop(&self, id: &str, reason: &str) -> Result<(), ComputeError> {
        self.compute(Kind::Effect, self.port.stop(id, reason)).await
    }
}

impl<P: TaskRunner> TaskRunner for Faulty<P> {
    async fn run(&self, request: &Json) -> Result<Json, TaskFailure> {
        let failure =
            |cause: &str| TaskFailure { error: "AmazonECS.Unknown".to_owned(), cause: cause.to_owned() };
        let errors = Errors {
            throttled: TaskFailure {
                error: "ECS.ThrottlingException".to_owned(),
                cause: "Rate exceeded".to_owned(),
            },
            lost: failure("lost on purpose"),
        };
        self.call(self.faults.fate(Kind::Effect), errors, self.port.run(request)).await
    }

    async fn call(&self, resource: &str, arguments: &Json) -> Result<Json, TaskFailure> {
        let lost =
            TaskFailure { error: "States.Http.Socket".to_owned(), cause: "lost on purpose".to_owned() };
        let throttled =
            TaskFailure { error: "States.Http.StatusCode.429".to_owned(), cause: "on purpose".to_owned() };
        let fate = self.faults.fate(Kind::Effect);
        Self::call(self, fate, Errors { throttled, lost }, self.port.call(resource, arguments)).await
    }
}
