//! How a task run ends, whoever decides it: its record, its arrivals, its slots, its notices.

use crate::classify::Failure;
use crate::command::{Command, Decision, Effect};
use crate::line::Standing;
use crate::retry::{self, Next};
use crate::slots::{self, Holder};
use crate::status::Loaded;
use crate::{Prepared, breaker, datasets, gate};
use cauce_model::ids::sha256_hex;
use cauce_model::plan::{TaskIndex, TaskKind, TaskPlan};
use cauce_model::record::{
    AttemptRecord, EarlierRecord, Notice, OUTPUT_INLINE_MAX, OutputRecord, Record, RunRecord, TaskRecord,
    task_item,
};
use cauce_model::{FailureClass, Instant, Item, Json, TaskStatus, Write, names};

/// One task run in one run, about to be decided.
pub(crate) struct Case<'a> {
    pub(crate) run: &'a RunRecord,
    pub(crate) prepared: &'a Prepared,
    pub(crate) task: TaskIndex,
    pub(crate) loaded: Loaded<TaskRecord>,
    pub(crate) now: Instant,
}

impl<'a> Case<'a> {
    pub(crate) fn plan(&self) -> &'a TaskPlan {
        self.prepared.task(self.task)
    }

    pub(crate) const fn record(&mut self) -> &mut TaskRecord {
        &mut self.loaded.record
    }

    /// Why the task shall not go on, whatever it has reached: its run was cancelled, or is over but for its
    /// teardowns. Teardowns go on all the same.
    pub(crate) fn stopped(&self) -> Option<String> {
        if self.plan().is_teardown() {
            return None;
        }
        let cancelled = self.run.cancel.as_ref().map(|cancel| cancel.reason.clone());
        let torn_down =
            || self.run.teardown.as_ref().map(|_| "only teardowns run in this generation".to_owned());
        cancelled.or_else(torn_down)
    }

    /// Whether an attempt does work that happens again with the next one.
    pub(crate) fn does_work(&self) -> bool {
        matches!(self.plan().kind, TaskKind::Container(_) | TaskKind::Call(_))
    }

    /// The write that stores the record.
    pub(crate) fn write(&self) -> Write {
        let record = &self.loaded.record;
        let key = task_item(&self.run.key(), &record.task, record.index);
        Write::Put { item: Item::new(key, record.to_body()), expect: self.loaded.expect }
    }

    /// What follows the write of a terminal record, and may follow again when its caller repeats.
    pub(crate) fn after_end(&self) -> Vec<Effect> {
        self.after_end_as(self.loaded.record.status)
    }

    /// The same, where those below count another status than the record's.
    pub(crate) fn after_end_as(&self, status: TaskStatus) -> Vec<Effect> {
        let record = &self.loaded.record;
        let mut effects = Vec::new();
        if record.index.is_none() {
            effects.extend(gate::arrivals(self.run, self.prepared, self.task, status));
        }
        effects.extend(record.waits_for.iter().map(|pool| self.leave_line(pool)));
        effects.extend(datasets::posts(record));
        effects.extend(self.after_retry());
        effects
    }

    /// Who asks for slots: the attempt that is the next.
    pub(crate) fn next_holder(&self) -> Holder {
        let record = &self.loaded.record;
        let next = u32::try_from(record.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        Holder {
            run_key: self.run.key(),
            generation: self.run.generation,
            attempt: Some((record.task.clone(), record.index, next)),
        }
    }

    /// Takes the attempt that would have been the next out of the line of a pool in which it may stand, with what it
    /// was granted there and could not take any more.
    fn leave_line(&self, pool: &str) -> Effect {
        let asked = slots::of_task(self.plan(), self.run).unwrap_or_default();
        let slots = asked.get(pool).copied().unwrap_or(1);
        slots::leave(pool, &self.next_holder().name(), slots, &self.standing())
    }

    /// Where the task run stands in the lines of the pools that it wants slots of.
    pub(crate) fn standing(&self) -> Standing {
        let record = &self.loaded.record;
        Standing {
            priority: self.plan().priority.saturating_add(slots::priority(self.run)),
            since: record.queued_at.unwrap_or(self.now),
            tie: format!("{:06}#{:06}", self.task, record.index.unwrap_or(0)),
        }
    }

    /// The notices in the record's outbox, to be delivered.
    pub(crate) fn deliveries(&self) -> Vec<Effect> {
        let record = &self.loaded.record;
        let key = task_item(&self.run.key(), &record.task, record.index);
        record
            .outbox
            .iter()
            .map(|notice| Effect::Deliver { key: key.clone(), notice: Box::new(notice.clone()) })
            .collect()
    }

    /// Gives back the slots of the newest attempt. The record keeps what it held: a caller that repeats
    /// gives back again, which changes nothing the second time.
    fn release(&self) -> impl Iterator<Item = Effect> + '_ {
        self.loaded.record.holds.iter().map(|hold| slots::give_back(&hold.pool, &hold.holder, hold.slots))
    }

    /// What follows the write of a failed attempt that another one follows.
    pub(crate) fn after_retry(&self) -> Vec<Effect> {
        let own = abandoned(self.run, &self.loaded.record);
        self.release().chain(self.deliveries()).chain(breaker::report(self)).chain(own).collect()
    }

    /// Ends the task run. Returns the decision without an answer to anybody.
    pub(crate) fn end(&mut self, status: TaskStatus, reason: Option<String>) -> Decision {
        let now = self.now;
        let plan = self.plan();
        let generation = self.run.generation;
        let record = self.record();
        record.status = status;
        record.generation = generation;
        record.ended_at = Some(now);
        record.reason = reason;
        record.token = None;
        record.launch = None;
        record.retry_at = None;
        record.held_back = None;
        record.allowed_failure =
            plan.allow_failure && matches!(status, TaskStatus::Failed | TaskStatus::UpstreamFailed);
        if let Some(attempt) = record.attempts.last_mut()
            && attempt.ended_at.is_none()
        {
            attempt.ended_at = Some(now);
        }
        if record.index.is_none() {
            self.announce(status);
        }
        Decision { writes: vec![self.write()], effects: self.after_end(), ..Decision::default() }
    }

    fn announce(&mut self, status: TaskStatus) {
        let plan = self.plan();
        let (event, channels) = match status {
            TaskStatus::Failed => ("failed", &plan.notify.failed),
            TaskStatus::Success => ("success", &plan.notify.success),
            _ => return,
        };
        let subject = format!("{}: task {} {}", self.run.run, plan.name, event_words(event));
        let message = self.loaded.record.reason.clone().unwrap_or_default();
        self.post(event, channels, &subject, &message);
    }

    /// Puts a notice for each channel into the record's outbox.
    pub(crate) fn post(&mut self, event: &str, channels: &[String], subject: &str, message: &str) {
        let plan = self.plan();
        let attempt = self.loaded.record.attempts.len();
        for channel in channels {
            let notice =
                notice(self.run, Some((&plan.name, attempt)), channel, event, subject, message, self.now);
            self.loaded.record.outbox.push(notice);
        }
    }

    fn book(&mut self, failure: &Failure) {
        let now = self.now;
        if let Some(attempt) = self.record().attempts.last_mut().filter(|attempt| attempt.ended_at.is_none())
        {
            attempt.ended_at = Some(now);
            attempt.exit_code = failure.exit_code;
            attempt.class = Some(failure.class);
            attempt.message = Some(failure.message.clone());
        }
    }

    /// Ends a task run that failed and cannot be tried again.
    pub(crate) fn end_badly(&mut self, failure: &Failure) -> Decision {
        self.book(failure);
        match self.stopped() {
            Some(reason) => self.end(TaskStatus::Cancelled, Some(reason)),
            None => self.end(TaskStatus::Failed, Some(failure.message.clone())),
        }
    }

    /// Ends a task run whose whole run was cut off. A teardown is made up for in the next generation.
    pub(crate) fn cut_off(&mut self, failure: &Failure) -> Decision {
        if !self.plan().is_teardown() {
            return self.end_badly(failure);
        }
        self.book(failure);
        self.end(TaskStatus::Cancelled, Some(failure.message.clone()))
    }

    /// Books a failed attempt and decides what follows.
    pub(crate) fn fail_attempt(&mut self, failure: &Failure) -> (Next, Decision) {
        let now = self.now;
        let run_key = self.run.key();
        let plan = self.plan();
        self.book(failure);
        let next = if self.stopped().is_some() {
            Next::Fail
        } else {
            retry::next(&plan.retry, &run_key, &self.loaded.record, failure, now)
        };
        let decision = match next {
            Next::Skip => {
                self.end(TaskStatus::Skipped, Some(format!("{}: skipped on this code", failure.message)))
            }
            Next::Fail => self.end_badly(failure),
            Next::TooLate => {
                let reason = retry::too_late(&plan.retry, &failure.message);
                self.end(TaskStatus::Failed, Some(reason))
            }
            Next::Retry { seconds } => {
                let record = self.record();
                record.status = TaskStatus::Retrying;
                record.launch = None;
                record.reason = Some(failure.message.clone());
                record.retry_at = Some(now.plus_seconds(seconds));
                let mut channels = self.prepared.plan.notify.retrying.clone();
                channels.extend(
                    plan.notify
                        .retrying
                        .iter()
                        .filter(|c| !channels.contains(c))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
                let attempts = self.loaded.record.attempts.len();
                let subject = format!(
                    "{}: task {} failed, attempt {} follows in {seconds} s",
                    self.run.run,
                    plan.name,
                    attempts + 1
                );
                self.post("retrying", &channels, &subject, &failure.message);
                Decision { writes: vec![self.write()], effects: self.after_retry(), ..Decision::default() }
            }
        };
        (next, decision)
    }

    /// Stores an output: in the record when small, else at a place of its own.
    pub(crate) fn set_output(
        &mut self,
        output: Json,
        uri: impl FnOnce() -> String,
    ) -> Option<(String, Vec<u8>)> {
        let text = output.to_string();
        if text.len() <= OUTPUT_INLINE_MAX {
            self.record().output = Some(OutputRecord::Inline(output));
            return None;
        }
        let uri = uri();
        self.record().output = Some(OutputRecord::Uri(uri.clone()));
        Some((uri, text.into_bytes()))
    }

    /// A new attempt, from now on.
    pub(crate) fn start_attempt(&mut self, with_log: bool) {
        let now = self.now;
        let run = self.run;
        let record = self.record();
        let number = record.attempts.len() as u32 + 1;
        record.attempts.push(AttemptRecord {
            number,
            generation: run.generation,
            started_at: now,
            ended_at: None,
            exit_code: None,
            class: None,
            message: None,
            size: None,
            log: with_log.then(|| cauce_model::ids::log_name(&run.run, &record.task, record.index, number)),
        });
        record.fence += 1;
        record.status = TaskStatus::Running;
        record.generation = run.generation;
        record.token = None;
        record.retry_at = None;
        record.waits_for.clear();
        record.held_back = None;
        record.reason = None;
        record.started_at.get_or_insert(now);
    }

    /// Makes an earlier generation's record ready for the present one; slots that a dead engine left
    /// taken are given back.
    pub(crate) fn renew(&mut self) -> Vec<Effect> {
        let now = self.now;
        let effects = self.release().collect();
        let record = self.record();
        if let Some(attempt) = record.attempts.last_mut()
            && attempt.ended_at.is_none()
        {
            attempt.ended_at = Some(now);
            attempt.class = Some(FailureClass::Aborted);
            attempt.message = Some("the engine ended before it did".to_owned());
        }
        let fresh = TaskRecord::new(record.task.clone(), record.index, self.run.generation);
        let is_same_work = self.run.revived && self.does_work();
        let is_setup = self.prepared.plan.tasks.iter().any(|task| task.teardown_of.contains(&self.task));
        let record = std::mem::replace(self.record(), fresh);
        let fresh = self.record();
        fresh.fence = record.fence;
        // What nobody asked for has no retries of its own.
        fresh.settled_attempts = match is_same_work && !record.status.is_terminal() {
            true => record.settled_attempts,
            false => record.attempts.len() as u32,
        };
        fresh.attempts = record.attempts;
        fresh.earlier = record.earlier;
        if is_setup && record.status.is_terminal() {
            fresh.earlier.push(EarlierRecord { generation: record.generation, status: record.status });
        }
        fresh.own_run = record.own_run;
        fresh.outbox = record.outbox;
        // An answer that the engine did not live to use stands; one that was used belongs to its generation.
        fresh.approval = record.approval.filter(|_| !record.status.is_terminal());
        effects
    }
}

/// A run that a task started ends with the attempt that waits for it. Of one that has ended by itself, or goes on in a
/// generation that somebody else asked for, nothing is asked.
pub(crate) fn abandoned(run: &RunRecord, record: &TaskRecord) -> Option<Effect> {
    let own = record.own_run.as_ref().filter(|_| record.status != TaskStatus::Success)?;
    let cancel = run.cancel.as_ref();
    let reason = match cancel {
        Some(cancel) => cancel.reason.clone(),
        None => {
            let why = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("task {} of {}, which started it, waits no more{why}", record.task, run.run)
        }
    };
    Some(Effect::Command(Box::new(Command::Cancel {
        run_key: own.run.key(),
        generation: Some(own.generation),
        reason,
        by: cancel.and_then(|cancel| cancel.by.clone()),
    })))
}

/// The words for an event in a subject line.
fn event_words(event: &str) -> &str {
    if event == "success" { "succeeded" } else { event }
}

/// A notice whose id depends only on what it tells.
pub(crate) fn notice(
    run: &RunRecord,
    task: Option<(&str, usize)>,
    channel: &str,
    event: &str,
    subject: &str,
    message: &str,
    now: Instant,
) -> Notice {
    let of_task = task.map(|(task, attempt)| format!("/{task}/{attempt}")).unwrap_or_default();
    let identity = format!("{}/{}{of_task}/{event}/{channel}", run.key(), run.generation);
    Notice {
        id: sha256_hex(identity)[..32].to_owned(),
        channel: channel.to_owned(),
        event: event.to_owned(),
        subject: subject.to_owned(),
        message: message.to_owned(),
        run: run.run.to_string(),
        task: task.map(|(task, _)| task.to_owned()),
        at: now,
    }
}

/// What a waiting token hears of a task run that ended. `None`: it ended well, here and now.
pub(crate) fn refusal(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Skipped => names::SKIPPED,
        TaskStatus::UpstreamFailed => names::UPSTREAM_FAILED,
        TaskStatus::Failed => names::TASK_FAILED,
        TaskStatus::Cancelled => names::DENIED,
        _ => names::DONE,
    }
}
