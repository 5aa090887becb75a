//! Plays definitions as JSON, knowing the language but nothing of the compiler: when does each task
//! begin, if everything takes as long as given?

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use cauce_model::Plan;
use serde_json::Value;

/// One state's place: the states it stands among, and what goes on when they end.
#[derive(Clone)]
struct Scope<'a> {
    states: &'a Value,
    /// The `Parallel` (or part) that waits for this scope, and where that one stands.
    above: Option<usize>,
}

/// Something that waits for scopes to end, and then goes on with its own `Next`.
struct Waiter<'a> {
    open: usize,
    scope: usize,
    state: &'a Value,
}

/// Plays the machines of a pipeline.
pub(crate) struct Walk<'a> {
    plan: &'a Plan,
    machines: &'a BTreeMap<String, Value>,
    durations: &'a [u64],
    scopes: Vec<Scope<'a>>,
    waiters: Vec<Waiter<'a>>,
    /// What a running task goes on with when it ends.
    running: BTreeMap<usize, (usize, &'a Value)>,
    reached: BTreeMap<usize, (usize, &'a Value)>,
    arrived: Vec<BTreeSet<u32>>,
    began: Vec<Option<u64>>,
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    closed_at: Option<u64>,
}

impl<'a> Walk<'a> {
    /// When each task begins, and when the run closes. `machines` are definitions by the name of
    /// their part, the pipeline's own under the empty name.
    ///
    /// # Errors
    ///
    /// A state that does not exist, a task that begins too early, twice or never.
    pub(crate) fn play(
        plan: &'a Plan,
        machines: &'a BTreeMap<String, Value>,
        durations: &'a [u64],
    ) -> Result<(Vec<u64>, u64), String> {
        let mut walk = Self {
            plan,
            machines,
            durations,
            scopes: Vec::new(),
            waiters: Vec::new(),
            running: BTreeMap::new(),
            reached: BTreeMap::new(),
            arrived: vec![BTreeSet::new(); plan.tasks.len()],
            began: vec![None; plan.tasks.len()],
            ends: BinaryHeap::new(),
            closed_at: None,
        };
        walk.enter_machine("", None, 0)?;
        while let Some(Reverse((now, task))) = walk.ends.pop() {
            walk.end(task, now)?;
        }
        let began = walk
            .began
            .iter()
            .enumerate()
            .map(|(task, began)| began.ok_or_else(|| format!("{} never begins", plan.tasks[task].name)));
        let closed = walk.closed_at.ok_or("the run never closes")?;
        Ok((began.collect::<Result<_, String>>()?, closed))
    }

    fn enter_machine(&mut self, part: &str, above: Option<usize>, now: u64) -> Result<(), String> {
        let machine = self.machines.get(part).ok_or_else(|| format!("there is no machine {part:?}"))?;
        self.enter_scope(machine, above, now)
    }

    fn enter_scope(&mut self, machine: &'a Value, above: Option<usize>, now: u64) -> Result<(), String> {
        self.scopes.push(Scope { states: &machine["States"], above });
        let start = machine["StartAt"].as_str().unwrap_or_default();
        self.enter(self.scopes.len() - 1, start, now)
    }

    fn enter(&mut self, scope: usize, name: &str, now: u64) -> Result<(), String> {
        let states = self.scopes[scope].states;
        let state = states.get(name).ok_or_else(|| format!("there is no state {name:?}"))?;
        match state["Type"].as_str().unwrap_or_default() {
            "Parallel" => {
                let branches = state["Branches"].as_array().ok_or("a Parallel without branches")?;
                self.waiters.push(Waiter { open: branches.len(), scope, state });
                let waiter = self.waiters.len() - 1;
                branches.iter().try_for_each(|branch| self.enter_scope(branch, Some(waiter), now))
            }
            "Task" if name == "Close" => {
                self.closed_at = Some(now);
                self.go_on(scope, state, now)
            }
            "Task" if name.starts_with("part-") => {
                self.waiters.push(Waiter { open: 1, scope, state });
                self.enter_machine(name, Some(self.waiters.len() - 1), now)
            }
            "Task" => match self.plan.index_of(name) {
                Some(task) => {
                    if self.reached.insert(task as usize, (scope, state)).is_some() {
                        return Err(format!("{name} is reached twice"));
                    }
                    self.begin(task as usize, now)
                }
                None => self.go_on(scope, state, now),
            },
            "Pass" | "Succeed" | "Map" => self.go_on(scope, state, now),
            other => Err(format!("{name} is a {other}")),
        }
    }

    fn go_on(&mut self, scope: usize, state: &'a Value, now: u64) -> Result<(), String> {
        if let Some(next) = state["Next"].as_str() {
            return self.enter(scope, next, now);
        }
        if state["End"] != true && state["Type"] != "Succeed" {
            return Err(format!("a state goes nowhere: {state}"));
        }
        let Some(waiter) = self.scopes[scope].above else {
            return Ok(());
        };
        self.waiters[waiter].open -= 1;
        if self.waiters[waiter].open == 0 {
            let Waiter { scope, state, .. } = self.waiters[waiter];
            return self.go_on(scope, state, now);
        }
        Ok(())
    }

    fn begin(&mut self, task: usize, now: u64) -> Result<(), String> {
        let plan = &self.plan.tasks[task];
        let waits = plan.gate.as_ref().map_or(0, |gate| gate.waits.len());
        let Some(&place) = self.reached.get(&task) else {
            return Ok(());
        };
        if self.arrived[task].len() < waits {
            return Ok(());
        }
        let ended = |need: &u32| {
            self.began[*need as usize].is_some_and(|began| began + self.durations[*need as usize] <= now)
        };
        if !plan.needs.iter().all(ended) {
            return Err(format!("{} begins at {now}, before what it needs ended", plan.name));
        }
        self.began[task] = Some(now);
        self.running.insert(task, place);
        self.ends.push(Reverse((now + self.durations[task], task)));
        Ok(())
    }

    fn end(&mut self, task: usize, now: u64) -> Result<(), String> {
        for arrival in &self.plan.tasks[task].opens {
            let gated = arrival.task as usize;
            self.arrived[gated].insert(arrival.member);
            if self.began[gated].is_none() {
                self.begin(gated, now)?;
            }
        }
        match self.running.remove(&task) {
            Some((scope, state)) => self.go_on(scope, state, now),
            None => Ok(()),
        }
    }
}
