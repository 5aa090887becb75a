//! What a host keeps while it runs: executions, tokens, timers. And the port through which its
//! drivers reach them.

use crate::Machines;
use cauce_engine::Command;
use cauce_interpreter::{CallId, Context, Execution, Failure, Reply};
use cauce_model::{Instant, Json, RunKey};
use cauce_ports::{Answer, Answered, Described, ExecutionStatus, Started, StateMachineError, StateMachines};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::task::Waker;

/// Names an execution inside the host.
pub(crate) type ExecutionId = u64;

/// Who waits for a nested execution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) execution: ExecutionId,
    pub(crate) call: CallId,
}

/// An execution under way.
pub(crate) struct Live {
    pub(crate) execution: Execution,
    pub(crate) machine: String,
    pub(crate) name: String,
    pub(crate) input: Json,
    pub(crate) started_at: Instant,
    /// The run that it is of, when its input says so.
    pub(crate) run: Option<RunKey>,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) wakes_at: Option<Instant>,
    /// What a call started, to stop it when nobody waits for it any more.
    pub(crate) under_way: BTreeMap<CallId, UnderWay>,
}

/// What a call started.
#[derive(Clone, Debug)]
pub(crate) enum UnderWay {
    Program(String),
    Nested(ExecutionId),
    Token(String),
}

/// An execution that ended.
pub(crate) struct Past {
    pub(crate) run: Option<RunKey>,
    pub(crate) described: Described,
}

#[derive(Default)]
pub(crate) struct State {
    next_id: ExecutionId,
    pub(crate) live: BTreeMap<ExecutionId, Live>,
    pub(crate) by_name: BTreeMap<(String, String), ExecutionId>,
    pub(crate) past: BTreeMap<(String, String), Past>,
    pub(crate) tokens: BTreeMap<String, Waiter>,
    /// Executions that can go on.
    pub(crate) ready: VecDeque<ExecutionId>,
    /// What is told to executions, in order.
    pub(crate) replies: VecDeque<(ExecutionId, Reply)>,
    /// When executions wake.
    pub(crate) alarms: BTreeSet<(Instant, ExecutionId)>,
    /// What is decided later.
    pub(crate) timers: BTreeMap<(Instant, u64), Command>,
    timers_set: u64,
    /// The next look at each pool's line, and the pause after it. One look serves all who stand there.
    looks: BTreeMap<String, (Instant, u64)>,
    /// States entered by executions that ended: what AWS bills as transitions.
    pub(crate) transitions: u64,
    /// How often executions were asked about: what AWS limits to a rate.
    pub(crate) described: u64,
    /// The runs that have executions here, and how many each.
    pub(crate) claimed: BTreeMap<RunKey, usize>,
    /// Whether it serves for as long as the machine runs: then what is due is left to the store's list, and
    /// what has ended is forgotten.
    pub(crate) serves: bool,
    /// The soonest moment at which something became due that the list did not have.
    pub(crate) due: Option<Instant>,
    /// Who waits for something to do, and who for what is due.
    pub(crate) waker: Option<Waker>,
    pub(crate) due_waker: Option<Waker>,
}

impl State {
    pub(crate) fn set_timer(&mut self, at: Instant, command: Command) {
        let in_list =
            matches!(command, Command::Deadline { .. } | Command::Ticks { .. } | Command::Set { .. });
        if in_list {
            self.ring(at);
            if self.serves {
                return;
            }
        }
        if let Command::Look { pool, seconds, .. } = &command {
            let (next, pause) = self.looks.entry(pool.clone()).or_insert((at, *seconds));
            *pause = (*pause).min(*seconds);
            if *next < at {
                return;
            }
            *next = at;
        }
        self.timers_set += 1;
        self.timers.insert((at, self.timers_set), command);
        self.wake();
    }

    /// The timer that is over at a moment, if one is: a look that a sooner one has taken the place of does
    /// nothing.
    pub(crate) fn take_timer(&mut self, now: Instant) -> Option<Command> {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            let at = entry.key().0;
            match entry.remove() {
                Command::Look { pool, own, .. } => {
                    if let Some((next, seconds)) = self.looks.get(&pool).copied()
                        && next == at
                    {
                        self.looks.remove(&pool);
                        return Some(Command::Look { pool, own, seconds });
                    }
                }
                command => return Some(command),
            }
        }
        None
    }

    /// Something is due at that moment.
    pub(crate) fn ring(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
        if let Some(waker) = self.due_waker.take() {
            waker.wake();
        }
    }

    /// There is something to do.
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Counts one execution of a run less. True: it was the last.
    pub(crate) fn left(&mut self, run: &RunKey) -> bool {
        let count = self.claimed.get_mut(run);
        let last = count.is_none_or(|count| {
            *count -= 1;
            *count == 0
        });
        if last {
            self.claimed.remove(run);
        }
        last
    }

    /// The next moment at which something happens by itself.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        match (alarm, timer) {
            (Some(alarm), Some(timer)) => Some(alarm.min(timer)),
            (alarm, timer) => alarm.or(timer),
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.replies.is_empty()
    }

    pub(crate) fn tell(&mut self, execution: ExecutionId, reply: Reply) {
        self.replies.push_back((execution, reply));
        self.wake();
    }
}

/// The host's machines and executions: what its drivers know as the state machine service.
#[derive(Clone)]
pub struct Engine {
    pub(crate) state: Rc<RefCell<State>>,
    pub(crate) machines: Rc<Machines>,
    now: Rc<dyn Fn() -> Instant>,
    claim: Rc<dyn Fn(&RunKey) -> bool>,
    seed: u64,
}

/// What came of a request to start.
pub(crate) enum Begun {
    New(ExecutionId),
    Joined(ExecutionId),
    Taken,
    /// Another process drives the run.
    Elsewhere,
}

impl Engine {
    pub(crate) fn new(
        now: impl Fn() -> Instant + 'static,
        claim: impl Fn(&RunKey) -> bool + 'static,
        seed: u64,
    ) -> Self {
        let (now, claim) = (Rc::new(now), Rc::new(claim));
        Self { state: Rc::default(), machines: Rc::default(), now, claim, seed }
    }

    pub(crate) fn begin(&self, machine: &str, name: &str, input: &Json) -> Result<Begun, StateMachineError> {
        let mut state = self.state.borrow_mut();
        let key = (machine.to_owned(), name.to_owned());
        if let Some(id) = state.by_name.get(&key).copied() {
            let same = state.live.get(&id).is_some_and(|live| live.input == *input);
            return Ok(if same { Begun::Joined(id) } else { Begun::Taken });
        }
        if state.past.contains_key(&key) {
            return Ok(Begun::Taken);
        }
        let run = input.get("run_key").and_then(Json::as_str).map(RunKey::from_text);
        if let Some(run) = &run
            && !state.claimed.contains_key(run)
            && !(self.claim)(run)
        {
            return Ok(Begun::Elsewhere);
        }
        let definition =
            self.machines.find(machine).ok_or_else(|| StateMachineError::NoMachine(machine.to_owned()))?;
        if let Some(run) = &run {
            *state.claimed.entry(run.clone()).or_default() += 1;
        }
        state.next_id += 1;
        let id = state.next_id;
        let now = (self.now)();
        let context = Context::named(machine, name);
        let seed = scatter(self.seed ^ scatter(id));
        let execution = Execution::start(definition, context, input.clone(), now.to_timestamp(), seed);
        let live = Live {
            execution,
            machine: machine.to_owned(),
            name: name.to_owned(),
            input: input.clone(),
            started_at: now,
            run,
            waiters: Vec::new(),
            wakes_at: None,
            under_way: BTreeMap::new(),
        };
        state.live.insert(id, live);
        state.by_name.insert(key, id);
        state.ready.push_back(id);
        state.wake();
        Ok(Begun::New(id))
    }
}

/// A number that has nothing in common with its neighbours': executions draw their tokens from streams
/// that such numbers begin, and streams begun by neighbours would overlap. The finaliser of MurmurHash3.
const fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

impl StateMachines for Engine {
    async fn start(&self, machine: &str, name: &str, input: &Json) -> Result<Started, StateMachineError> {
        Ok(match self.begin(machine, name, input)? {
            Begun::New(_) => Started::Started,
            Begun::Joined(_) | Begun::Elsewhere => Started::AlreadyRunning,
            Begun::Taken => Started::NameTaken,
        })
    }

    async fn describe(&self, machine: &str, name: &str) -> Result<Option<Described>, StateMachineError> {
        let mut state = self.state.borrow_mut();
        state.described += 1;
        let key = (machine.to_owned(), name.to_owned());
        if let Some(live) = state.by_name.get(&key).and_then(|id| state.live.get(id)) {
            return Ok(Some(Described {
                status: ExecutionStatus::Running,
                input: live.input.clone(),
                started_at: live.started_at,
                error: None,
                cause: None,
            }));
        }
        Ok(state.past.get(&key).map(|past| past.described.clone()))
    }

    async fn stop(
        &self,
        machine: &str,
        name: &str,
        error: &str,
        cause: &str,
    ) -> Result<(), StateMachineError> {
        let mut state = self.state.borrow_mut();
        if let Some(id) = state.by_name.get(&(machine.to_owned(), name.to_owned())).copied() {
            state.tell(id, Reply::Abort(Failure::new(error, cause)));
        }
        Ok(())
    }

    async fn answer(&self, token: &str, answer: &Answer) -> Result<Answered, StateMachineError> {
        let mut state = self.state.borrow_mut();
        let Some(waiter) = state.tokens.remove(token) else { return Ok(Answered::TokenClosed) };
        let outcome = match answer {
            Answer::Success(result) => Ok(result.clone()),
            Answer::Failure { error, cause } => Err(Failure::new(error.clone(), cause.clone())),
        };
        state.tell(waiter.execution, Reply::Answered(waiter.call, outcome));
        Ok(Answered::Yes)
    }
}
