//! The host's loop: let executions go on, do what they ask, wait for what comes first.

use crate::calls::{self, Done};
use crate::state::{Engine, Live, Past};
use crate::{Machines, World};
use cauce_driver::{Driver, DriverError, Ports};
use cauce_engine::command::Event;
use cauce_engine::{Command, Decision, Reply, Settings};
use cauce_interpreter::{Ended, Request, Status};
use cauce_model::{Instant, RunKey};
use cauce_ports::{Clock, Compute, Described, ExecutionStatus, Services, TableError, with_sources};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

/// Why a host cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostError {
    /// A port failed in a way that no repetition mends.
    #[error("{0}")]
    Fatal(String),
    /// Nothing is under way, nothing will happen, and what was waited for has not come. A bug of the
    /// product's.
    #[error("nothing can happen any more, and {0}")]
    Stuck(String),
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// What was waited for has come.
    Reached,
    /// It was told to stop.
    Stopped,
}

/// The ports of a host's drivers: the world's, and the host itself as the state machine service.
pub struct HostPorts<W> {
    pub(crate) world: Rc<W>,
    engine: Engine,
}

impl<W: World> Services for HostPorts<W> {
    type Table = W::Table;
    type StateMachines = Engine;
    type Objects = W::Objects;
    type Compute = W::Programs;
    type Notifier = W::Notifier;
    type Clock = W::Clock;

    fn table(&self) -> &W::Table {
        self.world.table()
    }
    fn machines(&self) -> &Engine {
        &self.engine
    }
    fn objects(&self) -> &W::Objects {
        self.world.objects()
    }
    fn compute(&self) -> &W::Programs {
        self.world.programs()
    }
    fn notifier(&self) -> &W::Notifier {
        self.world.notifier()
    }
    fn clock(&self) -> &W::Clock {
        self.world.clock()
    }
}

impl<W: World> Ports for HostPorts<W> {
    type Services = Self;

    fn services(&self) -> &Self {
        self
    }
    fn at(&self, at: Instant, command: Command) {
        self.engine.state.borrow_mut().set_timer(at, command);
    }
    async fn post(&self, event: &Event) {
        if self.world.hears(event) {
            let command = Command::Event(Box::new(event.clone()));
            self.engine.state.borrow_mut().set_timer(self.world.clock().now(), command);
        }
    }
    fn decided(&self, command: &Command, decision: &Decision) {
        self.world.decided(command, decision);
    }
    fn warn(&self, message: &str) {
        self.world.warn(message);
    }
    fn leaves(&self, run: &RunKey) -> bool {
        if self.engine.state.borrow().claimed.contains_key(run) {
            return false;
        }
        let free = self.world.claim(run);
        if free {
            self.world.release(run);
        }
        !free
    }
    fn drives(&self, run: &RunKey) -> bool {
        self.engine.state.borrow().claimed.contains_key(run) || !self.world.is_left(run)
    }
}

/// The shared core of a host: what the futures of its calls hold on to.
pub(crate) struct Core<W: World> {
    pub(crate) world: Rc<W>,
    pub(crate) engine: Engine,
    pub(crate) driver: Driver<HostPorts<W>>,
    pub(crate) fatal: RefCell<Option<String>>,
}

impl<W: World> Core<W> {
    /// Keeps an error that no repetition mends.
    pub(crate) fn note(&self, error: &DriverError) {
        let stops = match error {
            DriverError::Table(error) => {
                matches!(error, TableError::Unusable(_) | TableError::NewerFormat(_) | TableError::Refused(_))
            }
            // Who serves many pipelines goes on with the others.
            DriverError::Plan { .. } => !self.engine.state.borrow().serves,
            _ => false,
        };
        if stops {
            self.fatal.borrow_mut().get_or_insert_with(|| with_sources(error));
        }
    }
}

/// The embedded engine.
pub struct Host<W: World> {
    core: Rc<Core<W>>,
    calls: RefCell<FuturesUnordered<LocalBoxFuture<'static, Done>>>,
}

impl<W: World + 'static> Host<W> {
    /// A host in a world. `seed` makes retries' jitter and JSONata's random numbers reproducible.
    pub fn new(world: W, settings: Settings, seed: u64) -> Self {
        let world = Rc::new(world);
        let (clock, claims) = (Rc::clone(&world), Rc::clone(&world));
        let engine = Engine::new(move || clock.clock().now(), move |run| claims.claim(run), seed);
        let ports = HostPorts { world: Rc::clone(&world), engine: engine.clone() };
        let driver = Driver::new(ports, settings);
        let core = Rc::new(Core { world, engine, driver, fatal: RefCell::new(None) });
        Self { core, calls: RefCell::new(FuturesUnordered::new()) }
    }

    /// The machines it can start.
    pub fn machines(&self) -> &Machines {
        &self.core.engine.machines
    }

    /// The driver, for commands from outside.
    pub fn driver(&self) -> &Driver<HostPorts<W>> {
        &self.core.driver
    }

    /// The world.
    pub fn world(&self) -> &W {
        &self.core.world
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// A port that does not answer.
    pub async fn execute(&self, command: &Command) -> Result<Reply, DriverError> {
        self.core.driver.execute(command).await
    }

    /// States entered so far by executions that have ended: what AWS bills as transitions.
    pub fn transitions(&self) -> u64 {
        self.core.engine.state.borrow().transitions
    }

    /// How often executions were asked about so far: what AWS limits to a rate.
    pub fn described(&self) -> u64 {
        self.core.engine.state.borrow().described
    }

    /// How an execution stands.
    pub fn execution(&self, machine: &str, name: &str) -> Option<ExecutionStatus> {
        let state = self.core.engine.state.borrow();
        let key = (machine.to_owned(), name.to_owned());
        if state.by_name.contains_key(&key) {
            return Some(ExecutionStatus::Running);
        }
        state.past.get(&key).map(|past| past.described.status)
    }

    /// Every execution that has ended: its machine, its name, and what became of it.
    pub fn ended(&self) -> Vec<(String, String, Described)> {
        let state = self.core.engine.state.borrow();
        let ended = state.past.iter();
        ended.map(|((machine, name), past)| (machine.clone(), name.clone(), past.described.clone())).collect()
    }

    /// Whether executions of a run are under way here.
    pub fn drives(&self, run: &RunKey) -> bool {
        self.core.engine.state.borrow().claimed.contains_key(run)
    }

    /// The runs of which executions are under way here, also those that tasks have started.
    pub fn driven(&self) -> Vec<RunKey> {
        self.core.engine.state.borrow().claimed.keys().cloned().collect()
    }

    /// Runs until every execution has ended, or `stop` does.
    ///
    /// # Errors
    /// A store that cannot be used any more; a state in which nothing can happen.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Result<Outcome, HostError> {
        self.run_until(stop, |core| core.engine.state.borrow().live.is_empty()).await
    }

    /// Runs whatever comes, for ever.
    pub(crate) async fn serve(&self) -> HostError {
        self.core.engine.state.borrow_mut().serves = true;
        match self.run_until(std::future::pending(), |_| false).await {
            Err(error) => error,
            Ok(outcome) => HostError::Stuck(format!("a service came to an end: {outcome:?}")),
        }
    }

    /// Ends when something is due that is sooner than what is known, or at that moment.
    pub(crate) async fn until_due(&self, known: Option<Instant>) {
        let mut timer = pin!(async {
            match known {
                Some(at) => self.core.world.until(at).await,
                None => std::future::pending().await,
            }
        });
        poll_fn(|cx| {
            let mut state = self.core.engine.state.borrow_mut();
            if let Some(due) = state.due.take()
                && known.is_none_or(|known| due < known)
            {
                return Poll::Ready(());
            }
            state.due_waker = Some(cx.waker().clone());
            drop(state);
            timer.as_mut().poll(cx)
        })
        .await;
    }

    /// Whether anything became due since it was last asked, which only who serves this store will do in time.
    #[must_use]
    pub fn take_due(&self) -> bool {
        self.core.engine.state.borrow_mut().due.take().is_some()
    }

    /// Something is due now: the list is looked at.
    pub(crate) fn ring_now(&self) {
        let now = self.core.world.clock().now();
        self.core.engine.state.borrow_mut().ring(now);
    }

    /// Keeps an error that no repetition mends: then [`Host::serve`] ends with it.
    pub(crate) fn note(&self, error: &DriverError) {
        self.core.note(error);
        if self.core.fatal.borrow().is_some()
            && let Some(waker) = self.core.engine.state.borrow_mut().waker.take()
        {
            waker.wake();
        }
    }

    async fn run_until(
        &self,
        stop: impl Future<Output = ()>,
        is_reached: impl Fn(&Core<W>) -> bool,
    ) -> Result<Outcome, HostError> {
        let mut stop = pin!(stop);
        loop {
            self.pump();
            if let Some(fatal) = self.core.fatal.borrow_mut().take() {
                return Err(HostError::Fatal(fatal));
            }
            let idle = self.calls.borrow().is_empty();
            if idle && !self.core.engine.state.borrow().has_work() && is_reached(&self.core) {
                return Ok(Outcome::Reached);
            }
            let wakes_at = self.core.engine.state.borrow().wakes_at();
            let serves = self.core.engine.state.borrow().serves;
            if idle && !serves && wakes_at.is_none() && !self.core.engine.state.borrow().has_work() {
                let names: Vec<String> = self
                    .core
                    .engine
                    .state
                    .borrow()
                    .live
                    .values()
                    .take(5)
                    .map(|live| live.name.clone())
                    .collect();
                return Err(HostError::Stuck(format!("these executions wait: {}", names.join(", "))));
            }
            let mut timer = pin!(async {
                match wakes_at {
                    Some(at) => self.core.world.until(at).await,
                    None => std::future::pending().await,
                }
            });
            let stopped = poll_fn(|cx| {
                if stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                let mut progress = false;
                loop {
                    // Polling a call may start another one, so the list is not borrowed meanwhile.
                    let next = Pin::new(&mut *self.calls.borrow_mut()).poll_next(cx);
                    match next {
                        Poll::Ready(Some(done)) => {
                            if let Some((execution, reply)) = done {
                                self.core.engine.state.borrow_mut().tell(execution, reply);
                            }
                            progress = true;
                        }
                        Poll::Ready(None) | Poll::Pending => break,
                    }
                }
                let mut state = self.core.engine.state.borrow_mut();
                // What others do meanwhile may bring work, or a timer before this one.
                let sooner = state.wakes_at().is_some_and(|at| wakes_at.is_none_or(|known| at < known));
                if progress || sooner || state.has_work() || self.core.fatal.borrow().is_some() {
                    return Poll::Ready(false);
                }
                state.waker = Some(cx.waker().clone());
                drop(state);
                timer.as_mut().poll(cx).map(|()| false)
            })
            .await;
            self.core.engine.state.borrow_mut().waker = None;
            if stopped {
                return Ok(Outcome::Stopped);
            }
        }
    }

    /// Stops every program under way and waits until all of them have ended. What the store knows
    /// stays as it is: the run can be resumed.
    pub async fn stop_programs(&self, reason: &str) {
        let programs: Vec<String> = {
            let state = self.core.engine.state.borrow();
            state
                .live
                .values()
                .flat_map(|live| live.under_way.values())
                .filter_map(|under_way| match under_way {
                    crate::state::UnderWay::Program(id) => Some(id.clone()),
                    _ => None,
                })
                .collect()
        };
        let stops = programs.iter().map(|id| self.core.world.programs().stop(id, reason));
        for outcome in futures_util::future::join_all(stops).await {
            if let Err(error) = outcome {
                self.core.world.warn(&error.to_string());
            }
        }
    }

    /// Lets every execution go as far as it can without waiting.
    fn pump(&self) {
        let now = self.core.world.clock().now();
        self.ring(now);
        loop {
            let told = self.core.engine.state.borrow_mut().replies.pop_front();
            if let Some((id, reply)) = told {
                self.with_live(id, |live| live.execution.handle(now.to_timestamp(), reply));
                self.advance(id, now);
                continue;
            }
            let ready = self.core.engine.state.borrow_mut().ready.pop_front();
            match ready {
                Some(id) => self.advance(id, now),
                None => break,
            }
        }
    }

    fn with_live<T>(&self, id: u64, with: impl FnOnce(&mut Live) -> T) -> Option<T> {
        self.core.engine.state.borrow_mut().live.get_mut(&id).map(with)
    }

    /// Wakes what is due.
    fn ring(&self, now: Instant) {
        let mut state = self.core.engine.state.borrow_mut();
        while let Some((at, id)) = state.alarms.first().copied() {
            if at > now {
                break;
            }
            state.alarms.remove(&(at, id));
            if let Some(live) = state.live.get_mut(&id) {
                live.wakes_at = None;
            }
            state.ready.push_back(id);
        }
        while let Some(command) = state.take_timer(now) {
            self.calls.borrow_mut().push(calls::timer(Rc::clone(&self.core), command));
        }
    }

    fn advance(&self, id: u64, now: Instant) {
        loop {
            let request = self.with_live(id, |live| live.execution.advance(now.to_timestamp())).flatten();
            match request {
                Some(Request::Ended(ended)) => {
                    self.end(id, ended, now);
                    return;
                }
                Some(request) => {
                    if let Some(call) = calls::serve(&self.core, id, request) {
                        self.calls.borrow_mut().push(call);
                    }
                }
                None => break,
            }
        }
        let mut state = self.core.engine.state.borrow_mut();
        let state = &mut *state;
        if let Some(live) = state.live.get_mut(&id) {
            let wakes_at = live.execution.wakes_at().map(Instant::from_timestamp_up);
            if wakes_at != live.wakes_at {
                if let Some(before) = live.wakes_at {
                    state.alarms.remove(&(before, id));
                }
                live.wakes_at = wakes_at;
                state.alarms.extend(wakes_at.map(|at| (at, id)));
            }
        }
    }

    fn end(&self, id: u64, ended: Ended, now: Instant) {
        let mut state = self.core.engine.state.borrow_mut();
        let state = &mut *state;
        let Some(live) = state.live.remove(&id) else { return };
        if let Some(at) = live.wakes_at {
            state.alarms.remove(&(at, id));
        }
        let entered =
            live.execution.history().iter().filter(|event| event.event_type().ends_with("StateEntered"));
        state.transitions += entered.count() as u64;
        let key = (live.machine.clone(), live.name.clone());
        state.by_name.remove(&key);
        let (status, result) = nested_result(&live, &ended, now);
        for waiter in &live.waiters {
            if let Some(parent) = state.live.get_mut(&waiter.execution) {
                parent.under_way.remove(&waiter.call);
            }
            state.tell(waiter.execution, cauce_interpreter::Reply::Returned(waiter.call, result.clone()));
        }
        let last = live.run.as_ref().is_some_and(|run| state.left(run));
        if state.serves {
            // Names carry the generation, so no later execution has this one's.
            if let (true, Some(run)) = (last, &live.run) {
                self.core.world.release(run);
                state.past.retain(|_, past| past.run.as_ref() != Some(run));
                return;
            }
        }
        state.past.insert(
            key,
            Past {
                run: live.run,
                described: Described {
                    status,
                    input: live.input,
                    started_at: live.started_at,
                    error: ended.error,
                    cause: ended.cause,
                },
            },
        );
    }
}

/// A nested execution as `startExecution.sync:2` shows it.
fn nested_result(
    live: &Live,
    ended: &Ended,
    now: Instant,
) -> (ExecutionStatus, Result<Json, cauce_interpreter::Failure>) {
    let status = match ended.status {
        Status::Succeeded => ExecutionStatus::Succeeded,
        Status::Failed => ExecutionStatus::Failed,
        Status::Aborted => ExecutionStatus::Aborted,
        Status::TimedOut => ExecutionStatus::TimedOut,
    };
    if live.waiters.is_empty() {
        return (status, Ok(Json::Null));
    }
    let mut object = json!({
        "ExecutionArn": format!("arn:aws:states:us-east-1:000000000000:execution:{}:{}", live.machine, live.name),
        "Input": live.input,
        "InputDetails": {"Included": true},
        "Name": live.name,
        "StartDate": live.started_at.micros() / 1000,
        "StateMachineArn": format!("arn:aws:states:us-east-1:000000000000:stateMachine:{}", live.machine),
        "Status": ended.status.name(),
        "StopDate": now.micros() / 1000,
    });
    if ended.status == Status::Succeeded {
        object["Output"] = ended.output.as_deref().cloned().unwrap_or(Json::Null);
        object["OutputDetails"] = json!({"Included": true});
        return (status, Ok(object));
    }
    if let Some(error) = &ended.error {
        object["Error"] = Json::from(error.as_str());
    }
    if let Some(cause) = &ended.cause {
        object["Cause"] = Json::from(cause.as_str());
    }
    (status, Err(cauce_interpreter::Failure::new("States.TaskFailed", object.to_string())))
}
