//! Watching runs: what is decided, told to people as it happens.

use std::cell::RefCell;
use std::rc::Rc;

use cauce_engine::Decision;
use cauce_local::clock::SystemClock;
use cauce_model::Json;
use cauce_model::ids::RunRef;
use cauce_model::plan::Plan;
use cauce_model::record::{Record, RunRecord, TASK_PREFIX, TaskRecord};
use cauce_ports::Clock;

use crate::context::Context;
use crate::engine::world::Watch;
use crate::progress::{Change, Progress};

/// A display that decisions are fed to.
#[derive(Clone)]
pub(crate) struct Watching(Rc<RefCell<State>>);

struct State {
    context: Context,
    plan: Option<Plan>,
    display: Display,
}

enum Display {
    /// Nothing has begun.
    Nothing,
    /// One run, task by task. Runs that its tasks start are not shown.
    One { key: String, progress: Box<Progress> },
    /// Several runs, a line for each change of theirs.
    Many,
}

impl Watching {
    /// A display, and the hook through which a host feeds it.
    pub(crate) fn new(context: &Context) -> (Watch, Self) {
        let state = State { context: context.clone(), plan: None, display: Display::Nothing };
        let watching = Self(Rc::new(RefCell::new(state)));
        let fed = watching.clone();
        let watch: Watch = Box::new(move |_, decision| fed.0.borrow_mut().see(decision));
        (watch, watching)
    }

    /// Tells which tasks there are.
    pub(crate) fn plan(&self, plan: &Plan) {
        self.0.borrow_mut().plan = Some(plan.clone());
    }

    /// Runs begin.
    pub(crate) fn begin(&self, names: &[RunRef]) {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        state.display = match (names, &state.plan) {
            ([name], Some(plan)) => {
                let (output, quiet) = (state.context.output, state.context.json);
                let progress = Progress::new(output, &name.to_string(), plan, SystemClock.now(), quiet);
                Display::One {
                    key: cauce_model::record::run_partition(&name.key()),
                    progress: Box::new(progress),
                }
            }
            _ => Display::Many,
        };
    }

    /// Time passed: a display on a terminal is drawn anew.
    pub(crate) fn tick(&self) {
        if let Display::One { progress, .. } = &mut self.0.borrow_mut().display {
            progress.tick(SystemClock.now());
        }
    }

    /// A task run of the one run that is shown, as the store has it.
    pub(crate) fn tell(&self, record: &TaskRecord) {
        if let Display::One { progress, .. } = &mut self.0.borrow_mut().display {
            progress.update(&change(record));
        }
    }

    /// One of several runs ended.
    pub(crate) fn tell_run(&self, run: &RunRecord) {
        let state = self.0.borrow();
        if !state.context.json {
            let note = run.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            state.context.output.talk(&format!("{} {}{note}", run.run, run.status));
        }
    }

    /// Nothing follows: the display is taken away.
    pub(crate) fn end(&self) {
        if let Display::One { progress, .. } = &mut self.0.borrow_mut().display {
            progress.finish();
        }
    }
}

/// Whether the decision puts the run of this partition in line.
fn is_queued(decision: &Decision, partition: &str) -> bool {
    decision.writes.iter().any(|write| match write {
        cauce_model::Write::Put { item, .. } => {
            item.key.partition == partition && item.key.sort == "R" && item.body.contains_key("token")
        }
        _ => false,
    })
}

impl State {
    fn see(&mut self, decision: &Decision) {
        match &mut self.display {
            Display::Nothing => {}
            Display::One { key, progress } => {
                if is_queued(decision, key) {
                    let words = "waits for a slot of max_active_runs; who holds it: cauce why";
                    self.context.output.talk(&format!("{words} {}", progress.run()));
                }
                for record in task_changes(decision, key) {
                    progress.update(&change(&record));
                }
            }
            Display::Many => self.tell_runs(decision),
        }
    }

    fn tell_runs(&self, decision: &Decision) {
        if self.context.json {
            return;
        }
        for write in &decision.writes {
            let cauce_model::Write::Put { item, .. } = write else { continue };
            let field = |name: &str| item.body.get(name).and_then(Json::as_str);
            let run = item.body.get("run");
            let part = |name: &str| run.and_then(|run| run.get(name)).and_then(Json::as_str);
            if let (Some(pipeline), Some(run_id), Some(status)) =
                (part("pipeline"), part("run_id"), field("status"))
                && status != "queued"
            {
                let note = field("message").map(|message| format!(": {message}")).unwrap_or_default();
                self.context.output.talk(&format!("{pipeline}/{run_id} {status}{note}"));
            }
        }
    }
}

fn change(record: &TaskRecord) -> Change<'_> {
    Change {
        task: &record.task,
        index: record.index,
        status: record.status,
        attempt: record.attempts.len() as u32,
        note: record.reason.as_deref(),
        allowed: record.allowed_failure,
        at: SystemClock.now(),
    }
}

/// What a decision writes about tasks of the run whose partition begins so.
pub(crate) fn task_changes<'a>(
    decision: &'a Decision,
    partition: &'a str,
) -> impl Iterator<Item = TaskRecord> + 'a {
    decision.writes.iter().filter_map(move |write| match write {
        cauce_model::Write::Put { item, .. }
            if item.key.partition.starts_with(partition) && item.key.sort.starts_with(TASK_PREFIX) =>
        {
            TaskRecord::from_item(item).ok()
        }
        _ => None,
    })
}
