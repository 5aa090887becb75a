//! A plan made ready for decisions, and the settings of the environment it runs in.

use crate::schedule::Schedule;
use cauce_model::plan::{Plan, TaskIndex, TaskPlan};
use cauce_model::time::MICROS;
use cauce_model::{Deployment, Instant};
use serde_json::Map;
use std::collections::BTreeMap;

/// What a decision knows of its environment. Nothing in a plan depends on it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Settings {
    /// Root URI of input documents, outputs and plans, without a slash at its end.
    pub documents: String,
    /// The ECS cluster, as RunTask wants it.
    pub cluster: String,
    /// Whether tasks run on this machine: `local` commands are used and nothing is provisioned.
    pub one_machine: bool,
    /// The environment's values, for `${{ env.x }}`.
    pub env: Map<String, cauce_model::Json>,
    /// Task machines by launch kind, as Open hands them to a run.
    pub machines: BTreeMap<String, String>,
    /// In a simulation nothing is looked for: the files of a waiting task are there so many
    /// microseconds after its first look, at once where it is not named.
    pub arrivals: Option<BTreeMap<String, i64>>,
    /// In a simulation nobody is asked: how each approval is answered. One that is not named is not.
    pub answers: Option<BTreeMap<String, ScriptedAnswer>>,
    /// The name of the deployed environment; absent on one machine. It is part of what people are told to type.
    pub environment: Option<String>,
    /// Fields that every RunTask request of this environment carries: network, launch type.
    pub run_task: Map<String, cauce_model::Json>,
    /// The pinned revision of each task definition, by the family that plans name. A family that is
    /// not listed is asked for by its name, which means its newest revision.
    pub task_definitions: BTreeMap<String, String>,
    /// How long is waited for who else tells of a schedule's ticks.
    pub patience: Patience,
}

/// How long the clock of a pipeline leaves its ticks to others, and when a tick counts as missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    grace_seconds: u32,
    late_seconds: u32,
}

impl Patience {
    /// Nobody else tells of ticks. Less than a minute late is on time.
    pub const ALONE: Self = Self { grace_seconds: 0, late_seconds: 60 };

    /// EventBridge Scheduler does, within the minute, and its message may be tried again; the sweep that
    /// asks comes every five minutes, and may come late itself.
    /// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>
    pub const SCHEDULER: Self = Self { grace_seconds: 120, late_seconds: 900 };

    /// When the clock starts the run of a tick if nobody else has: at once where nobody else tells of it,
    /// which holds for ticks that wait for off-peak hours everywhere.
    pub fn due_at(self, schedule: &Schedule, pipeline: &str, tick: Instant) -> Instant {
        let opens_at = schedule.opens_at(tick);
        if self == Self::ALONE || opens_at > tick {
            return opens_at.plus_micros(schedule.offset_micros(pipeline));
        }
        tick.plus_seconds(u64::from(self.grace_seconds)).plus_micros(schedule.jitter_micros())
    }

    /// From when on somebody else goes on with what an event began, if whoever heard of it does not.
    pub fn left_alone_until(self, now: Instant) -> Instant {
        now.plus_seconds(u64::from(self.grace_seconds))
    }

    /// A tick younger than this is on time, whatever the schedule's catch-up; in microseconds.
    pub const fn late_micros(self) -> i64 {
        self.late_seconds as i64 * MICROS
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::ALONE
    }
}

/// How an approval is answered in a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScriptedAnswer {
    /// After so many microseconds.
    pub after_micros: i64,
    /// Yes or no.
    pub approved: bool,
}

impl Settings {
    /// These settings with what a deployment pins in place of the environment's own.
    #[must_use]
    pub fn pinned(&self, deployment: &Deployment) -> Self {
        Self {
            documents: self.documents.clone(),
            cluster: deployment.cluster.clone(),
            one_machine: self.one_machine,
            env: deployment.values.clone(),
            machines: deployment.machines.clone(),
            arrivals: self.arrivals.clone(),
            answers: self.answers.clone(),
            environment: Some(deployment.environment.clone()).filter(|name| !name.is_empty()),
            run_task: deployment.run_task.clone(),
            task_definitions: deployment.task_definitions.clone(),
            patience: self.patience,
        }
    }

    /// The task definition that RunTask is asked for.
    pub fn task_definition<'a>(&'a self, family: &'a str) -> &'a str {
        self.task_definitions.get(family).map_or(family, String::as_str)
    }
}

/// A plan with what is looked up in it often.
#[derive(Debug)]
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// Its version.
    pub version: String,
    by_name: BTreeMap<String, TaskIndex>,
    /// By the task that they make good.
    fallbacks: BTreeMap<TaskIndex, TaskIndex>,
}

impl Prepared {
    /// Makes a plan ready.
    pub fn new(plan: Plan, version: impl Into<String>) -> Self {
        let by_name = plan.tasks.iter().zip(0..).map(|(task, index)| (task.name.clone(), index)).collect();
        let fallback = |(task, index): (&TaskPlan, TaskIndex)| Some((task.fallback_for?, index));
        let fallbacks = plan.tasks.iter().zip(0..).filter_map(fallback).collect();
        Self { plan, version: version.into(), by_name, fallbacks }
    }

    /// A task by name.
    pub fn find(&self, name: &str) -> Option<(TaskIndex, &TaskPlan)> {
        let index = *self.by_name.get(name)?;
        Some((index, self.task(index)))
    }

    /// The task that runs when this one fails, if one does.
    pub fn fallback(&self, task: TaskIndex) -> Option<TaskIndex> {
        self.fallbacks.get(&task).copied()
    }

    /// A task by position.
    pub fn task(&self, index: TaskIndex) -> &TaskPlan {
        &self.plan.tasks[index as usize]
    }

    /// For every task, whether it is one of `from` or below one of them.
    pub fn below(&self, from: &[bool]) -> Vec<bool> {
        let mut below = from.to_vec();
        for (index, task) in self.plan.tasks.iter().enumerate() {
            // Tasks are in topological order: the answer for every upstream is known.
            below[index] = below[index] || task.needs.iter().any(|up| below[*up as usize]);
        }
        below
    }
}
