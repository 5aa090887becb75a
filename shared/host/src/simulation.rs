//! A host in virtual time: programs that end after given times in given ways, a clock that jumps to
//! the next moment at which anything happens, and nothing called outside.

use crate::World;
use cauce_engine::command::Event;
use cauce_engine::{Command, Decision};
use cauce_model::record::Notice;
use cauce_model::{FailureClass, Instant, Json, RunKey};
use cauce_ports::{
    Clock, Compute, ComputeError, Notifier, NotifyError, ObjectError, ObjectInfo, Objects, RunningTask,
    Table, TaskFailure, TaskRunner,
};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Time that stands still while anything can happen, then jumps.
#[derive(Clone)]
pub struct VirtualClock(Rc<Timeline>);

struct Timeline {
    now: Cell<Instant>,
    sleepers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    count: Cell<u64>,
}

impl VirtualClock {
    /// A clock that shows this moment.
    pub fn starting_at(now: Instant) -> Self {
        Self(Rc::new(Timeline { now: Cell::new(now), sleepers: RefCell::default(), count: Cell::new(0) }))
    }

    /// Ends at that moment.
    pub async fn until(&self, at: Instant) {
        let mut key = None;
        poll_fn(|cx| {
            if self.0.now.get() >= at {
                return Poll::Ready(());
            }
            let key = *key.get_or_insert_with(|| {
                self.0.count.set(self.0.count.get() + 1);
                (at, self.0.count.get())
            });
            self.0.sleepers.borrow_mut().insert(key, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Runs a future to its end, jumping to the next sleeper's moment whenever nothing else moves.
    /// `None`: nothing can ever move again.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                    return Some(value);
                }
                continue;
            }
            let next = self.0.sleepers.borrow_mut().pop_first();
            let ((at, _), sleeper) = next?;
            if at > self.0.now.get() {
                self.0.now.set(at);
            }
            sleeper.wake();
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.0.now.get()
    }
}

/// How one attempt of a task ends.
#[derive(Clone, PartialEq, Debug)]
pub enum Ending {
    /// Well, with this output.
    Success(Json),
    /// With an exit code.
    Exit(i32),
    /// In the manner of a failure class.
    Class(FailureClass),
}

/// How long attempts take and how they end: per task, the last entry repeats.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Script {
    /// Microseconds, by task or `task[3]`.
    pub durations: BTreeMap<String, Vec<i64>>,
    /// Endings, by task or `task[3]`.
    pub outcomes: BTreeMap<String, Vec<Ending>>,
}

/// Why a file of durations or outcomes cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScriptError {
    /// It names a task that the pipeline does not have.
    #[error("the pipeline has no task '{0}'")]
    NoTask(String),
    /// A value that is not of the documented form.
    #[error("'{task}': {problem}")]
    Value {
        /// The task.
        task: String,
        /// What is wrong.
        problem: String,
    },
    /// It is not an object.
    #[error("the file is not an object of tasks")]
    NotAnObject,
}

impl Script {
    /// Reads `{task: seconds | [seconds, ...]}`. Decimals are kept to the microsecond.
    ///
    /// # Errors
    /// An unknown task, a value that is not a number of seconds.
    pub fn read_durations(&mut self, file: &Json, is_task: impl Fn(&str) -> bool) -> Result<(), ScriptError> {
        for (task, value) in entries(file, is_task)? {
            let list = value.as_array().map_or_else(|| vec![value], |list| list.iter().collect());
            let micros = list.iter().map(|seconds| micros(seconds)).collect::<Option<Vec<i64>>>();
            let micros = micros.filter(|list| !list.is_empty()).ok_or_else(|| ScriptError::Value {
                task: task.clone(),
                problem: format!("{value} is not a number of seconds, nor a list of them"),
            })?;
            self.durations.insert(task.clone(), micros);
        }
        Ok(())
    }

    /// Reads `{task: "success" | "failed" | code | {status, exit_code, class, output} | [...]}`.
    ///
    /// # Errors
    /// An unknown task, a value that is none of these.
    pub fn read_outcomes(&mut self, file: &Json, is_task: impl Fn(&str) -> bool) -> Result<(), ScriptError> {
        for (task, value) in entries(file, is_task)? {
            let list = value.as_array().map_or_else(|| vec![value], |list| list.iter().collect());
            let endings = list.iter().map(|value| ending(value)).collect::<Result<Vec<_>, _>>();
            let endings = endings
                .and_then(|list| if list.is_empty() { Err("an empty list".to_owned()) } else { Ok(list) });
            let endings = endings.map_err(|problem| ScriptError::Value { task: task.clone(), problem })?;
            self.outcomes.insert(task.clone(), endings);
        }
        Ok(())
    }

    fn look<'a, T>(
        map: &'a BTreeMap<String, Vec<T>>,
        task: &str,
        index: Option<&str>,
        attempt: usize,
    ) -> Option<&'a T> {
        let of_item = index.and_then(|index| map.get(&format!("{task}[{index}]")));
        let list = of_item.or_else(|| map.get(task))?;
        list.get(attempt.saturating_sub(1)).or_else(|| list.last())
    }
}

fn entries(file: &Json, is_task: impl Fn(&str) -> bool) -> Result<Vec<(&String, &Json)>, ScriptError> {
    let fields = file.as_object().ok_or(ScriptError::NotAnObject)?;
    for name in fields.keys() {
        let task = name
            .split_once('[')
            .filter(|(_, rest)| rest.ends_with(']'))
            .map_or(name.as_str(), |(task, _)| task);
        if !is_task(task) {
            return Err(ScriptError::NoTask(name.clone()));
        }
    }
    Ok(fields.iter().collect())
}

/// Seconds to microseconds by their decimal text, so that 0.1 is exactly 100,000.
fn micros(seconds: &Json) -> Option<i64> {
    let number = seconds.as_number()?;
    let text = number.to_string();
    if text.starts_with('-') {
        return None;
    }
    if text.contains('e') {
        // Such as 1e-6: very small and very large numbers are written so, whatever the file says.
        let micros = (number.as_f64()? * 1e6).round();
        return (micros <= i64::MAX as f64).then_some(micros as i64);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let digits: String = decimals.chars().chain("000000".chars()).take(6).collect();
    whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(digits.parse().ok()?)
}

/// Largest exit code: that of a call is the status of its answer.
const EXIT_CODE_MAX: i64 = 599;

fn exit_code(value: &Json) -> Result<i32, String> {
    let code = value.as_i64().filter(|code| (0..=EXIT_CODE_MAX).contains(code));
    code.and_then(|code| i32::try_from(code).ok()).ok_or_else(|| format!("{value} is not an exit code"))
}

fn ending(value: &Json) -> Result<Ending, String> {
    let empty = || json!({});
    match value {
        Json::String(word) => match word.as_str() {
            "success" => Ok(Ending::Success(empty())),
            "failed" => Ok(Ending::Exit(1)),
            class => FailureClass::parse(class)
                .map(Ending::Class)
                .ok_or_else(|| format!("'{class}' is neither success, failed nor a failure class")),
        },
        Json::Number(_) => match exit_code(value)? {
            0 => Ok(Ending::Success(empty())),
            code => Ok(Ending::Exit(code)),
        },
        Json::Object(fields) => {
            if let Some(unknown) =
                fields.keys().find(|k| !matches!(k.as_str(), "status" | "exit_code" | "class" | "output"))
            {
                return Err(format!("unknown field '{unknown}'; known are status, exit_code, class, output"));
            }
            let class = match fields.get("class") {
                None => None,
                Some(class) => Some(
                    class
                        .as_str()
                        .and_then(FailureClass::parse)
                        .ok_or_else(|| format!("{class} is not a failure class"))?,
                ),
            };
            let code = fields.get("exit_code").map(exit_code).transpose()?;
            let succeeds = match fields.get("status").map(|status| (status, status.as_str())) {
                None => class.is_none() && code.unwrap_or(0) == 0,
                Some((_, Some("success"))) => true,
                Some((_, Some("failed"))) => false,
                Some((other, _)) => return Err(format!("status {other} is neither success nor failed")),
            };
            match (succeeds, class, code) {
                (true, None, None | Some(0)) => {
                    Ok(Ending::Success(fields.get("output").cloned().unwrap_or_else(empty)))
                }
                (true, ..) => Err("a success has no class and no exit code but 0".to_owned()),
                (false, ..) if fields.contains_key("output") => Err("a failure has no output".to_owned()),
                (false, Some(class), _) => Ok(Ending::Class(class)),
                (false, None, Some(0)) => Err("a failure has no exit code 0".to_owned()),
                (false, None, code) => Ok(Ending::Exit(code.unwrap_or(1))),
            }
        }
        other => Err(format!("{other} is not an outcome")),
    }
}

/// When an attempt ran, for those who check the order of things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// The task.
    pub task: String,
    /// The item of a mapped one.
    pub index: Option<u32>,
    /// The attempt's number.
    pub attempt: u32,
    /// When its program started.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Instant,
    /// The RunTask request that started it.
    pub request: Json,
}

/// Programs that follow a script. Clones are the same.
pub struct ScriptedPrograms<O>(Rc<Machinery<O>>);

impl<O> Clone for ScriptedPrograms<O> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

struct Machinery<O> {
    clock: VirtualClock,
    objects: O,
    script: Script,
    ran: RefCell<Vec<Ran>>,
    asleep: RefCell<BTreeMap<String, Waker>>,
    /// Why programs that are asleep are ended before their time.
    ends: RefCell<BTreeMap<String, Early>>,
    running: RefCell<BTreeMap<String, RunningTask>>,
    deaf: Cell<u32>,
    lingers: Cell<u64>,
    unlisted: Cell<bool>,
    none_before: Cell<Option<Instant>>,
    unheld: Cell<bool>,
}

/// Why a program ends before its time.
#[derive(Clone, Copy)]
enum Early {
    Stopped,
    Interrupted,
}

impl<O: Objects> ScriptedPrograms<O> {
    /// Programs of one script.
    pub fn new(clock: VirtualClock, objects: O, script: Script) -> Self {
        Self(Rc::new(Machinery {
            clock,
            objects,
            script,
            ran: RefCell::default(),
            asleep: RefCell::default(),
            ends: RefCell::default(),
            running: RefCell::default(),
            deaf: Cell::new(0),
            lingers: Cell::new(0),
            unlisted: Cell::new(false),
            none_before: Cell::new(None),
            unheld: Cell::new(false),
        }))
    }

    /// The next so many requests to stop a program are not heard.
    pub fn ignore_stops(&self, count: u32) {
        self.0.deaf.set(count);
    }

    /// From now on a program that is told to stop goes on for so long.
    pub fn linger(&self, seconds: u64) {
        self.0.lingers.set(seconds);
    }

    /// From now on no program is held to its time by what starts it: an image without our entrypoint.
    pub fn hold_none(&self) {
        self.0.unheld.set(true);
    }

    /// From now on nobody is told which programs run, or is again.
    pub fn unlist(&self, unlisted: bool) {
        self.0.unlisted.set(unlisted);
    }

    /// Before that moment there is no capacity: nothing starts.
    pub fn none_before(&self, moment: Instant) {
        self.0.none_before.set(Some(moment));
    }

    /// The platform takes back the capacity of every program that runs, as it does with Spot. Returns how
    /// many there were.
    pub fn interrupt(&self) -> usize {
        let asleep = std::mem::take(&mut *self.0.asleep.borrow_mut());
        let count = asleep.len();
        for (id, waker) in asleep {
            self.0.ends.borrow_mut().insert(id, Early::Interrupted);
            waker.wake();
        }
        count
    }

    /// Every attempt that ran, in order of its end.
    pub fn ran(&self) -> Vec<Ran> {
        self.0.ran.borrow().clone()
    }

    /// Ends at that moment, or before, and then says why.
    async fn sleep(&self, id: &str, until: Instant) -> Option<Early> {
        let mut timer = pin!(self.0.clock.until(until));
        let early = poll_fn(|cx| {
            if let Some(early) = self.0.ends.borrow_mut().remove(id) {
                return Poll::Ready(Some(early));
            }
            self.0.asleep.borrow_mut().insert(id.to_owned(), cx.waker().clone());
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await;
        self.0.asleep.borrow_mut().remove(id);
        early
    }
}

impl<O: Objects> TaskRunner for ScriptedPrograms<O> {
    async fn run(&self, request: &Json) -> Result<Json, TaskFailure> {
        let container = &request["Overrides"]["ContainerOverrides"][0];
        let variable = |name: &str| {
            let all = container["Environment"].as_array();
            let found = all.into_iter().flatten().find(|variable| variable["Name"] == name);
            found.and_then(|variable| variable["Value"].as_str()).map(str::to_owned)
        };
        let id = request["ClientToken"].as_str().unwrap_or_default().to_owned();
        let task = variable("CAUCE_TASK").unwrap_or_default();
        let index = variable("CAUCE_INDEX");
        let attempt: u32 = variable("CAUCE_ATTEMPT").and_then(|n| n.parse().ok()).unwrap_or(1);
        let started_at = self.0.clock.now();
        if self.0.none_before.get().is_some_and(|moment| started_at < moment) {
            return Err(of_class(FailureClass::Capacity));
        }
        let lasts = Script::look(&self.0.script.durations, &task, index.as_deref(), attempt as usize)
            .copied()
            .unwrap_or(0);
        let index_number = index.as_deref().and_then(|index| index.parse().ok());
        let run_key = RunKey::new(
            &variable("CAUCE_PIPELINE").unwrap_or_default(),
            &variable("CAUCE_RUN_ID").unwrap_or_default(),
        );
        let running =
            RunningTask { id: id.clone(), run_key, task: task.clone(), index: index_number, attempt };
        self.0.running.borrow_mut().insert(id.clone(), running);
        // As the entrypoint does: at once, where a real program would take its time.
        let limit = variable("CAUCE_TIMEOUT_SECONDS").filter(|_| !self.0.unheld.get());
        let limit = limit.and_then(|seconds| seconds.parse::<u64>().ok());
        let ends_at = started_at.plus_micros(lasts);
        let over_at = limit.map(|seconds| started_at.plus_seconds(seconds)).filter(|at| *at < ends_at);
        let early = self.sleep(&id, over_at.unwrap_or(ends_at)).await;
        if matches!(early, Some(Early::Stopped)) {
            self.0.clock.until(self.0.clock.now().plus_seconds(self.0.lingers.get())).await;
        }
        self.0.running.borrow_mut().remove(&id);
        let ended_at = self.0.clock.now();
        self.0.ran.borrow_mut().push(Ran {
            task: task.clone(),
            index: index_number,
            attempt,
            started_at,
            ended_at,
            request: request.clone(),
        });
        match early {
            Some(Early::Stopped) => return Err(ended("UserInitiated", Some(143), "stopped")),
            Some(Early::Interrupted) => return Err(of_class(FailureClass::SpotInterruption)),
            None if over_at.is_some() => {
                return Err(ended(
                    "EssentialContainerExited",
                    Some(FailureClass::OVER_TIME_CODE),
                    "over its time",
                ));
            }
            None => {}
        }
        let success = Ending::Success(json!({}));
        let ending = Script::look(&self.0.script.outcomes, &task, index.as_deref(), attempt as usize)
            .unwrap_or(&success);
        match ending {
            Ending::Success(output) => {
                if let Some(uri) = variable("CAUCE_OUTPUT_URI").filter(|_| *output != json!({})) {
                    let written = self.0.objects.put(&uri, output.to_string().as_bytes()).await;
                    written.map_err(|error| ended("TaskFailedToStart", None, &error.to_string()))?;
                }
                Ok(stopped_task("EssentialContainerExited", Some(0), "Essential container in task exited"))
            }
            Ending::Exit(code) => {
                Err(ended("EssentialContainerExited", Some(*code), "Essential container in task exited"))
            }
            Ending::Class(class) => Err(of_class(*class)),
        }
    }
}

fn stopped_task(stop_code: &str, exit_code: Option<i32>, reason: &str) -> Json {
    let mut container = json!({"Name": "task", "LastStatus": "STOPPED"});
    if let Some(code) = exit_code {
        container["ExitCode"] = json!(code);
    }
    json!({"LastStatus": "STOPPED", "StopCode": stop_code, "StoppedReason": reason, "Containers": [container]})
}

fn ended(stop_code: &str, exit_code: Option<i32>, reason: &str) -> TaskFailure {
    TaskFailure {
        error: "States.TaskFailed".to_owned(),
        cause: stopped_task(stop_code, exit_code, reason).to_string(),
    }
}

/// A failure as the platform would show it.
fn of_class(class: FailureClass) -> TaskFailure {
    let never = |reason: &str| ended("TaskFailedToStart", None, reason);
    let named = |error: &str, cause: &str| TaskFailure { error: error.to_owned(), cause: cause.to_owned() };
    match class {
        FailureClass::SpotInterruption => {
            ended("SpotInterruption", Some(143), "Your Spot Task was interrupted.")
        }
        FailureClass::TerminationNotice => ended("TerminationNotice", Some(143), "termination notice"),
        FailureClass::UserInitiated => ended("UserInitiated", Some(143), "stopped"),
        FailureClass::Capacity => never("Capacity is unavailable at this time. Please try again later"),
        FailureClass::Throttled => named("ECS.ThrottlingException", "Rate exceeded"),
        FailureClass::ImageMissing => never("CannotPullContainerError: manifest unknown: not found"),
        FailureClass::ImagePull => never("CannotPullContainerError: i/o timeout"),
        FailureClass::ResourceInit => never("ResourceInitializationError: unable to pull secrets"),
        FailureClass::OutOfMemory => {
            let mut task =
                stopped_task("EssentialContainerExited", Some(137), "Essential container in task exited");
            task["Containers"][0]["Reason"] = json!("OutOfMemoryError: Container killed due to memory usage");
            TaskFailure { error: "States.TaskFailed".to_owned(), cause: task.to_string() }
        }
        FailureClass::Killed => {
            ended("EssentialContainerExited", Some(137), "Essential container in task exited")
        }
        FailureClass::Exit => {
            ended("EssentialContainerExited", Some(1), "Essential container in task exited")
        }
        FailureClass::Timeout => named("States.Timeout", ""),
        FailureClass::Heartbeat => named("States.HeartbeatTimeout", ""),
        FailureClass::Config => named("ECS.InvalidParameterException", "invalid"),
        // What no program ends with.
        FailureClass::Aborted | FailureClass::Dependency | FailureClass::Rejected | FailureClass::Unknown => {
            ended("EssentialContainerExited", None, "")
        }
    }
}

impl<O: Objects> Compute for ScriptedPrograms<O> {
    async fn find(&self, run_key: &RunKey) -> Result<Vec<RunningTask>, ComputeError> {
        if self.0.unlisted.get() {
            return Err(ComputeError::Throttled);
        }
        // As ECS lists them: one that is told to stop is no more among those that shall run.
        let (running, ends) = (self.0.running.borrow(), self.0.ends.borrow());
        let found = running.values().filter(|task| task.run_key == *run_key && !ends.contains_key(&task.id));
        Ok(found.cloned().collect())
    }

    async fn stop(&self, id: &str, _: &str) -> Result<(), ComputeError> {
        if self.0.deaf.get() > 0 {
            self.0.deaf.set(self.0.deaf.get() - 1);
            return Ok(());
        }
        // Also one that is about to start: it was decided upon before whoever stops it looked.
        self.0.ends.borrow_mut().insert(id.to_owned(), Early::Stopped);
        if let Some(waker) = self.0.asleep.borrow_mut().remove(id) {
            waker.wake();
        }
        Ok(())
    }
}

/// Objects in memory.
#[derive(Clone, Default)]
pub struct MemoryObjects(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl Objects for MemoryObjects {
    async fn get(&self, uri: &str, limit: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let objects = self.0.borrow();
        let Some(bytes) = objects.get(uri) else { return Ok(None) };
        if bytes.len() as u64 > limit {
            return Err(ObjectError::TooLarge { uri: uri.to_owned(), bytes: bytes.len() as u64, limit });
        }
        Ok(Some(bytes.clone()))
    }

    async fn put(&self, uri: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        self.0.borrow_mut().insert(uri.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn list(&self, prefix: &str, limit: u32) -> Result<Vec<ObjectInfo>, ObjectError> {
        let objects = self.0.borrow();
        let found = objects.range(prefix.to_owned()..).take_while(|(uri, _)| uri.starts_with(prefix));
        Ok(found
            .take(limit as usize)
            .map(|(uri, bytes)| ObjectInfo {
                uri: uri.clone(),
                bytes: bytes.len() as u64,
                modified_at: Instant::default(),
                etag: None,
            })
            .collect())
    }
}

/// A notifier that keeps what it is given.
#[derive(Clone, Default)]
pub struct Collected(Rc<RefCell<Vec<Notice>>>);

impl Collected {
    /// Everything delivered, in order.
    pub fn notices(&self) -> Vec<Notice> {
        self.0.borrow().clone()
    }
}

impl Notifier for Collected {
    async fn deliver(&self, notice: &Notice) -> Result<(), NotifyError> {
        self.0.borrow_mut().push(notice.clone());
        Ok(())
    }
}

/// Whether an event that is posted reaches anybody.
pub type OnPost = Box<dyn Fn(&Event) -> bool>;

/// A world in virtual time, over any table and objects.
pub struct Simulated<T, O> {
    /// The store.
    pub table: T,
    /// Documents.
    pub objects: O,
    /// What was told to people.
    pub notices: Collected,
    /// Time.
    pub clock: VirtualClock,
    /// Programs.
    pub programs: ScriptedPrograms<O>,
    /// Sees decisions.
    #[expect(clippy::type_complexity, reason = "a hook is spelled out where it is kept")]
    pub on_decision: Option<Box<dyn Fn(&Command, &Decision)>>,
    /// Says whether an event that is posted is heard.
    pub on_post: Option<OnPost>,
    /// Troubles heard of.
    pub warnings: RefCell<Vec<String>>,
    /// Runs whose process is gone.
    pub left: RefCell<BTreeSet<RunKey>>,
}

impl<T: Table, O: Objects + Clone> Simulated<T, O> {
    /// A world at a moment.
    pub fn new(table: T, objects: O, script: Script, now: Instant) -> Self {
        let clock = VirtualClock::starting_at(now);
        let programs = ScriptedPrograms::new(clock.clone(), objects.clone(), script);
        Self {
            table,
            objects,
            notices: Collected::default(),
            clock,
            programs,
            on_decision: None,
            on_post: None,
            warnings: RefCell::default(),
            left: RefCell::default(),
        }
    }
}

impl<T: Table, O: Objects> World for Simulated<T, O> {
    type Table = T;
    type Objects = O;
    type Notifier = Collected;
    type Clock = VirtualClock;
    type Programs = ScriptedPrograms<O>;

    fn table(&self) -> &T {
        &self.table
    }
    fn objects(&self) -> &O {
        &self.objects
    }
    fn notifier(&self) -> &Collected {
        &self.notices
    }
    fn clock(&self) -> &VirtualClock {
        &self.clock
    }
    fn programs(&self) -> &ScriptedPrograms<O> {
        &self.programs
    }
    async fn until(&self, at: Instant) {
        self.clock.until(at).await;
    }
    fn hears(&self, event: &Event) -> bool {
        self.on_post.as_ref().is_none_or(|hook| hook(event))
    }
    fn decided(&self, command: &Command, decision: &Decision) {
        if let Some(hook) = &self.on_decision {
            hook(command, decision);
        }
    }
    fn warn(&self, message: &str) {
        self.warnings.borrow_mut().push(message.to_owned());
    }
    fn is_left(&self, run: &RunKey) -> bool {
        self.left.borrow().contains(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_by_their_digits() {
        let of = |text: &str| micros(&serde_json::from_str(text).unwrap());
        assert_eq!(of("0.1"), Some(100_000));
        assert_eq!(of("12"), Some(12_000_000));
        assert_eq!(of("1.0000019"), Some(1_000_001));
        assert_eq!(of("1e-3"), Some(1000));
        assert_eq!(of("1e-6"), Some(1));
        assert_eq!(of("1e300"), None);
        assert_eq!(of("-1"), None);
        assert_eq!(of("\"1\""), None);
    }

    #[test]
    fn time_jumps_to_the_next_sleeper() {
        let clock = VirtualClock::starting_at(Instant::from_micros(0));
        let at = |seconds| Instant::from_micros(0).plus_seconds(seconds);
        let order = clock.block_on(async {
            let order = RefCell::new(Vec::new());
            futures_util::future::join(
                async {
                    clock.until(at(20)).await;
                    order.borrow_mut().push(20);
                },
                async {
                    clock.until(at(10)).await;
                    order.borrow_mut().push(10);
                },
            )
            .await;
            order.into_inner()
        });
        assert_eq!(order, Some(vec![10, 20]));
        assert_eq!(clock.now(), at(20));
        assert_eq!(clock.block_on(std::future::pending::<()>()), None);
    }
}
