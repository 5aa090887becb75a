//! An outside that is played: a store that is put in, a clock that the test moves, state machines that
//! only hear answers, and documents in memory. The decisions and the loop around them are real.

use cauce_driver::Ports;
use cauce_engine::command::Event;
use cauce_engine::{Command, Decision};
use cauce_model::record::Notice;
use cauce_model::{Instant, Json, RunKey};
use cauce_ports::{
    Answer, Answered, Clock, Compute, ComputeError, Described, ExecutionStatus, Notifier, NotifyError,
    ObjectError, ObjectInfo, Objects, RunningTask, Services, Started, StateMachineError, StateMachines,
    Table,
};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// The outside of a driver. Every execution runs until [`Stage::close`] says otherwise.
pub struct Stage<T> {
    table: T,
    now: Cell<Instant>,
    answers: RefCell<BTreeMap<String, Answer>>,
    closed: RefCell<BTreeSet<String>>,
    timers: RefCell<Vec<(Instant, Command)>>,
    documents: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl<T> Stage<T> {
    /// An outside around a store, at this moment.
    pub fn new(table: T, now: Instant) -> Self {
        Self {
            table,
            now: Cell::new(now),
            answers: RefCell::default(),
            closed: RefCell::default(),
            timers: RefCell::default(),
            documents: RefCell::default(),
        }
    }

    /// The moment that the clock shows.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Moves the clock on; the commands whose time has come, each once.
    pub fn pass(&self, seconds: u64) -> Vec<Command> {
        self.now.set(self.now.get().plus_seconds(seconds));
        let mut due = Vec::new();
        self.timers.borrow_mut().retain(|(at, command)| {
            let waits = *at > self.now.get();
            if !waits && !due.contains(command) {
                due.push(command.clone());
            }
            waits
        });
        due
    }

    /// Takes the first answer that was given to a token.
    pub fn answer_to(&self, token: &str) -> Option<Answer> {
        self.answers.borrow_mut().remove(token)
    }

    /// From now on the execution of this name is over.
    pub fn close(&self, execution: String) {
        self.closed.borrow_mut().insert(execution);
    }
}

impl<T: Table> Services for Stage<T> {
    type Table = T;
    type StateMachines = Self;
    type Objects = Self;
    type Compute = Self;
    type Notifier = Self;
    type Clock = Self;

    fn table(&self) -> &T {
        &self.table
    }
    fn machines(&self) -> &Self {
        self
    }
    fn objects(&self) -> &Self {
        self
    }
    fn compute(&self) -> &Self {
        self
    }
    fn notifier(&self) -> &Self {
        self
    }
    fn clock(&self) -> &Self {
        self
    }
}

impl<T: Table> Ports for Stage<T> {
    type Services = Self;

    fn services(&self) -> &Self {
        self
    }
    fn at(&self, at: Instant, command: Command) {
        self.timers.borrow_mut().push((at, command));
    }
    async fn post(&self, _event: &Event) {}
    fn decided(&self, _: &Command, _: &Decision) {}
    fn warn(&self, message: &str) {
        panic!("{message}");
    }
}

impl<T> Clock for Stage<T> {
    fn now(&self) -> Instant {
        self.now.get()
    }
}

impl<T> Notifier for Stage<T> {
    async fn deliver(&self, _: &Notice) -> Result<(), NotifyError> {
        Ok(())
    }
}

impl<T> Compute for Stage<T> {
    async fn find(&self, _: &RunKey) -> Result<Vec<RunningTask>, ComputeError> {
        Ok(Vec::new())
    }
    async fn stop(&self, _: &str, _: &str) -> Result<(), ComputeError> {
        Ok(())
    }
}

impl<T> Objects for Stage<T> {
    async fn get(&self, uri: &str, _: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(self.documents.borrow().get(uri).cloned())
    }
    async fn put(&self, uri: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        self.documents.borrow_mut().insert(uri.to_owned(), bytes.to_vec());
        Ok(())
    }
    async fn list(&self, _: &str, _: u32) -> Result<Vec<ObjectInfo>, ObjectError> {
        Ok(Vec::new())
    }
}

impl<T> StateMachines for Stage<T> {
    async fn start(&self, _: &str, _: &str, _: &Json) -> Result<Started, StateMachineError> {
        Ok(Started::Started)
    }
    async fn describe(&self, _: &str, name: &str) -> Result<Option<Described>, StateMachineError> {
        let closed = self.closed.borrow().contains(name);
        let status = if closed { ExecutionStatus::Aborted } else { ExecutionStatus::Running };
        let started_at = self.now.get();
        Ok(Some(Described { status, input: Json::Null, started_at, error: None, cause: None }))
    }
    async fn stop(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), StateMachineError> {
        Ok(())
    }
    async fn answer(&self, token: &str, answer: &Answer) -> Result<Answered, StateMachineError> {
        self.answers.borrow_mut().entry(token.to_owned()).or_insert_with(|| answer.clone());
        Ok(Answered::Yes)
    }
}
