//! What people ask for, as commands: a new run, the next generation of one. The command line and the API
//! ask in the same words.

use cauce_engine::Command;
use cauce_engine::command::{Existing, Trigger};
use cauce_engine::schedule::Dating;
use cauce_engine::trigger::{NewRun, dated_in, of_interval};
use cauce_model::plan::Plan;
use cauce_model::record::{PipelineRecord, RunRecord, TriggerRecord};
use cauce_model::{Instant, Json, RunRef};

/// The version that a new run takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is the canary of what is deployed.
    pub canary: bool,
}

impl<'a> Version<'a> {
    /// The only one there is: a file's.
    pub const fn only(name: &'a str) -> Self {
        Self { name, canary: false }
    }

    /// What a run of this id takes of what is deployed.
    pub fn deployed(record: &'a PipelineRecord, run_id: &str) -> Self {
        match record.canary_of(run_id) {
            Some(canary) => Self { name: &canary.version, canary: true },
            None => Self::only(&record.version),
        }
    }
}

/// A run to be made.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// What identifies and dates it.
    pub new: NewRun,
    /// Its parameters; `None` takes those of the run that exists, or the defaults.
    pub params: Option<Json>,
    /// Why, and for whom.
    pub trigger: TriggerRecord,
    /// What if it exists.
    pub existing: Existing,
    /// Run this task alone.
    pub only: Option<String>,
}

impl Request {
    /// The run's name.
    pub fn name(&self, pipeline: &str) -> RunRef {
        RunRef { pipeline: pipeline.to_owned(), run_id: self.new.run_id.clone() }
    }

    /// The command that brings a run of a pipeline's version into being and starts it.
    pub fn command(self, pipeline: &str, version: &Version<'_>) -> Command {
        Command::Trigger(Box::new(Trigger {
            pipeline: pipeline.to_owned(),
            version: version.name.to_owned(),
            run_id: self.new.run_id,
            trigger: self.trigger,
            params: self.params,
            logical_date: self.new.logical_date,
            data_interval: self.new.data_interval,
            timezone: self.new.timezone,
            scheduled_at: self.new.scheduled_at,
            existing: self.existing,
            only: self.only,
            force: false,
            latest: false,
            canary: version.canary,
            start: true,
        }))
    }
}

/// How the next generation comes to be.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct How {
    /// Tasks that a branch skips run all the same.
    pub force: bool,
    /// On the newest deployment, not the run's own.
    pub latest: bool,
    /// Its execution is started; without, somebody else starts it.
    pub start: bool,
}

/// The command for the next generation of a run, on a version.
pub fn next(run: &RunRecord, version: &Version<'_>, existing: Existing, how: How, by: String) -> Command {
    Command::Trigger(Box::new(Trigger {
        pipeline: run.run.pipeline.clone(),
        version: version.name.to_owned(),
        run_id: run.run.run_id.clone(),
        trigger: TriggerRecord { by: Some(by), ..run.trigger.clone() },
        params: None,
        logical_date: run.logical_date,
        data_interval: (run.data_interval_start, run.data_interval_end),
        timezone: run.timezone.clone(),
        scheduled_at: Some(run.data_interval_end),
        existing,
        only: None,
        force: how.force,
        latest: how.latest,
        canary: version.canary,
        start: how.start,
    }))
}

/// Why nobody can tell which run is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WhichError {
    /// In words.
    Wrong(String),
    /// No data interval of the schedule is complete yet.
    NoneComplete,
}

/// The run of a date or moment; without one that of the schedule's newest complete data interval, and of a
/// pipeline without a schedule one under the id that `id` makes, at this moment.
///
/// # Errors
/// A date that names no data interval; a schedule that cannot be read or has none yet.
pub fn which<E>(
    plan: &Plan,
    logical_date: Option<&str>,
    now: Instant,
    id: impl FnOnce() -> Result<String, E>,
) -> Result<Result<NewRun, WhichError>, E> {
    let first = plan.schedules.first().and_then(|schedule| schedule.case.as_deref());
    which_of_case(plan, first, logical_date, now, id)
}

/// The same for an item of a case of a matrix. Its key is not part of the id yet.
///
/// # Errors
/// As above.
pub fn which_of_case<E>(
    plan: &Plan,
    case: Option<&str>,
    logical_date: Option<&str>,
    now: Instant,
    id: impl FnOnce() -> Result<String, E>,
) -> Result<Result<NewRun, WhichError>, E> {
    if let Some(date) = logical_date {
        return Ok(dated_in(plan, case, Some(date), now).map_err(WhichError::Wrong));
    }
    let dating = match Dating::of_case(plan, case) {
        Ok(dating) => dating,
        Err(error) => return Ok(Err(WhichError::Wrong(error.to_string()))),
    };
    if let Some(schedule) = dating.schedule() {
        let newest = schedule.newest_complete(now).ok_or(WhichError::NoneComplete);
        return Ok(newest.map(|newest| of_interval(&dating, newest)));
    }
    Ok(Ok(NewRun {
        run_id: id()?,
        logical_date: now,
        data_interval: (now, now),
        timezone: plan.timezone.clone(),
        scheduled_at: None,
    }))
}
