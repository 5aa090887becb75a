//! What follows a failed attempt: another one after a delay, or the end.

use crate::classify::Failure;
use cauce_model::fargate::Size;
use cauce_model::ids::sha256_hex;
use cauce_model::plan::{RetryPlan, TaskKind, TaskPlan};
use cauce_model::record::TaskRecord;
use cauce_model::{FailureClass, Instant, RunKey};

/// What follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Another attempt after so many seconds.
    Retry {
        /// The delay.
        seconds: u64,
    },
    /// The task fails.
    Fail,
    /// The task fails: another attempt would begin too late.
    TooLate,
    /// The task is skipped: its exit code says so.
    Skip,
}

/// Decides what follows the newest failure of a task run. `record.attempts` already holds it.
pub fn next(
    plan: &RetryPlan,
    run_key: &RunKey,
    record: &TaskRecord,
    failure: &Failure,
    now: Instant,
) -> Next {
    let class = failure.class;
    // The program's own word: it ended by itself, and nobody says why it was killed where its code tells so. Of a
    // throttled call only a web service has a code: its status.
    let is_own_word = matches!(class, FailureClass::Exit | FailureClass::Killed | FailureClass::Throttled);
    let ended_with = failure.exit_code.filter(|_| is_own_word);
    if ended_with.is_some_and(|code| plan.skip_on_exit_code.contains(&code)) {
        return Next::Skip;
    }
    if ended_with.is_some_and(|code| plan.final_exit_codes.contains(&code)) {
        return Next::Fail;
    }
    let wanted =
        (plan.retry_on.is_empty() || plan.retry_on.contains(&class)) && !plan.no_retry_on.contains(&class);
    if class.is_final() || !wanted {
        return Next::Fail;
    }
    let Budget { charged, retries, .. } = budget(plan, record, class);
    if charged > retries {
        return Next::Fail;
    }
    let seconds = delay(plan, run_key, record, charged);
    if over(plan, record, now.plus_seconds(seconds)).is_some() {
        return Next::TooLate;
    }
    Next::Retry { seconds }
}

/// Why nothing starts again by itself what an engine's end has interrupted, if nothing does. `record.attempts` already
/// holds the interrupted attempt.
pub(crate) fn after_interruption(
    plan: &TaskPlan,
    run_key: &RunKey,
    record: &TaskRecord,
    now: Instant,
) -> Option<String> {
    if plan.retry.restartable {
        return None;
    }
    let what = "the engine ended before it did";
    match next(&plan.retry, run_key, record, &Failure::new(FailureClass::Aborted, what), now) {
        Next::Retry { .. } => None,
        Next::TooLate => Some(too_late(&plan.retry, what)),
        Next::Fail | Next::Skip => {
            Some(format!("{what}, and its retries allow no further attempt: `cauce rerun` makes one"))
        }
    }
}

/// What the failures of a task run are charged to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// How many failures of this generation were charged to it.
    pub charged: u32,
    /// So many of them are followed by another attempt.
    pub retries: u32,
    /// Whether it is the platform's, which `retries` of the file does not bound.
    pub is_platform: bool,
}

/// What a failure of a class is charged to: the platform's budget when the program never started, or may be
/// started again after an interruption; otherwise the user's, so that `retries: 0` means started at most once.
pub fn budget(plan: &RetryPlan, record: &TaskRecord, class: FailureClass) -> Budget {
    let to_platform =
        |class: FailureClass| class.never_started() || class.is_infrastructure() && plan.restartable;
    let is_platform = to_platform(class);
    let charged = record
        .attempts
        .iter()
        .skip(record.settled_attempts as usize)
        .filter_map(|attempt| attempt.class)
        .filter(|past| to_platform(*past) == is_platform)
        .count() as u32;
    let retries = if is_platform { plan.infrastructure_retries } else { plan.retries };
    Budget { charged, retries, is_platform }
}

/// Why an attempt after the first one of this generation may not begin at `moment` any more.
pub(crate) fn over(plan: &RetryPlan, record: &TaskRecord, moment: Instant) -> Option<String> {
    let longest = plan.max_duration_seconds?;
    let first = record.attempts.get(record.settled_attempts as usize)?;
    (moment > first.started_at.plus_seconds(longest)).then(|| {
        let last = record.attempts.last().and_then(|attempt| attempt.message.as_deref());
        too_late(plan, last.unwrap_or("it failed"))
    })
}

/// That no further attempt begins, after a failure in words.
pub(crate) fn too_late(plan: &RetryPlan, failure: &str) -> String {
    let longest = plan.max_duration_seconds.unwrap_or_default();
    format!("{failure}; retry.max_duration: no attempt begins later than {longest} s after the first")
}

/// What the next attempt's program is launched with, where the plan lets memory grow: more than any attempt
/// had that ran out of it, in whatever generation.
pub fn size(plan: &TaskPlan, record: &TaskRecord) -> Option<Size> {
    let growth = plan.retry.on_oom?;
    let TaskKind::Container(container) = &plan.kind else { return None };
    let first = Size { cpu: container.cpu, memory: container.memory };
    let ran_out = record.attempts.iter().filter(|past| past.class == Some(FailureClass::OutOfMemory));
    let grown = ran_out.map(|past| growth.after(past.size.unwrap_or(first)));
    Some(grown.fold(first, |most, size| if size.memory > most.memory { size } else { most }))
}

/// The delay before the attempt that follows the k-th failure charged to its budget: whole seconds,
/// since a Wait state takes no fraction.
fn delay(plan: &RetryPlan, run_key: &RunKey, record: &TaskRecord, k: u32) -> u64 {
    let exponent = i32::try_from(k.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = (plan.delay_seconds * plan.backoff.powi(exponent)).min(plan.max_delay_seconds);
    let name = format!("{run_key}/{}/{:?}/{}", record.task, record.index, record.attempts.len());
    let share = hash_share(&name);
    (grown * (1.0 + plan.jitter * (2.0 * share - 1.0))).round().max(0.0) as u64
}

/// A number in [0, 1) that depends on the text alone.
fn hash_share(text: &str) -> f64 {
    let digits = &sha256_hex(text)[..13];
    u64::from_str_radix(digits, 16).map_or(0.0, |n| n as f64 / (1_u64 << 52) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::fargate::GrowthPlan;
    use cauce_model::record::AttemptRecord;

    const NOW: Instant = Instant::from_micros(1);

    fn record(classes: &[FailureClass]) -> TaskRecord {
        let mut record = TaskRecord::new("extract".into(), None, 1);
        for (class, number) in classes.iter().zip(1..) {
            record.attempts.push(AttemptRecord {
                number,
                generation: 1,
                started_at: Instant::from_micros(0),
                ended_at: Some(Instant::from_micros(1)),
                exit_code: None,
                class: Some(*class),
                message: None,
                size: None,
                log: None,
            });
        }
        record
    }

    fn after(plan: &RetryPlan, classes: &[FailureClass]) -> Next {
        let class = *classes.last().unwrap();
        next(plan, &RunKey::new("p", "r"), &record(classes), &Failure::new(class, ""), NOW)
    }

    fn plan(retries: u32) -> RetryPlan {
        RetryPlan {
            retries,
            delay_seconds: 10.0,
            backoff: 3.0,
            max_delay_seconds: 60.0,
            jitter: 0.0,
            ..RetryPlan::default()
        }
    }

    #[test]
    fn delays_grow_to_their_bound_and_attempts_run_out() {
        use FailureClass::Exit;
        let plan = plan(3);
        assert_eq!(after(&plan, &[Exit]), Next::Retry { seconds: 10 });
        assert_eq!(after(&plan, &[Exit, Exit]), Next::Retry { seconds: 30 });
        assert_eq!(after(&plan, &[Exit, Exit, Exit]), Next::Retry { seconds: 60 });
        assert_eq!(after(&plan, &[Exit, Exit, Exit, Exit]), Next::Fail);
    }

    #[test]
    fn retries_0_means_started_at_most_once() {
        use FailureClass::{Capacity, Exit, SpotInterruption};
        assert_eq!(after(&plan(0), &[Exit]), Next::Fail);
        assert_eq!(after(&plan(0), &[SpotInterruption]), Next::Fail);
        // It never started: the platform's budget.
        assert_eq!(after(&plan(0), &[Capacity]), Next::Retry { seconds: 10 });
        assert_eq!(after(&plan(0), &[Capacity, Exit]), Next::Fail);
        let restartable = RetryPlan { restartable: true, ..plan(0) };
        assert_eq!(after(&restartable, &[SpotInterruption]), Next::Retry { seconds: 10 });
    }

    #[test]
    fn budgets_are_counted_apart() {
        use FailureClass::{Capacity, Exit};
        assert_eq!(after(&plan(1), &[Capacity, Capacity, Exit]), Next::Retry { seconds: 10 });
        assert_eq!(after(&plan(1), &[Exit, Capacity, Exit]), Next::Fail);
    }

    #[test]
    fn some_failures_are_never_retried() {
        assert_eq!(after(&plan(3), &[FailureClass::Config]), Next::Fail);
        assert_eq!(after(&plan(3), &[FailureClass::ImageMissing]), Next::Fail);
        let only = RetryPlan { retry_on: vec![FailureClass::Timeout], ..plan(3) };
        assert_eq!(after(&only, &[FailureClass::Exit]), Next::Fail);
        let not = RetryPlan { no_retry_on: vec![FailureClass::Exit], ..plan(3) };
        assert_eq!(after(&not, &[FailureClass::Exit]), Next::Fail);
    }

    #[test]
    fn final_exit_codes_end_the_task_and_others_do_not() {
        let with = RetryPlan { final_exit_codes: vec![1, 2], ..plan(3) };
        let after = |code| {
            let failure = Failure { exit_code: Some(code), ..Failure::new(FailureClass::Exit, "") };
            next(&with, &RunKey::new("p", "r"), &record(&[FailureClass::Exit]), &failure, NOW)
        };
        assert_eq!(after(2), Next::Fail);
        assert_eq!(after(3), Next::Retry { seconds: 10 });
    }

    #[test]
    fn an_exit_code_skips_whatever_its_class_is_where_the_program_ended_by_itself() {
        let with = RetryPlan { skip_on_exit_code: vec![99, 137], ..plan(3) };
        let after = |class, code| {
            let failure = Failure { exit_code: Some(code), ..Failure::new(class, "") };
            next(&with, &RunKey::new("p", "r"), &record(&[class]), &failure, NOW)
        };
        assert_eq!(after(FailureClass::Exit, 99), Next::Skip);
        assert_eq!(after(FailureClass::Killed, 137), Next::Skip);
        let again = Next::Retry { seconds: 10 };
        assert_eq!(after(FailureClass::Exit, 3), again);
        assert_eq!(after(FailureClass::OutOfMemory, 137), again);
        assert_eq!(after(FailureClass::Timeout, 137), again);
        assert_eq!(after(FailureClass::UserInitiated, 137), again);
        // A web service that asks for fewer calls.
        let with = RetryPlan { skip_on_exit_code: vec![429], ..plan(3) };
        let failure = Failure { exit_code: Some(429), ..Failure::new(FailureClass::Throttled, "") };
        let after = |plan: &RetryPlan| {
            next(plan, &RunKey::new("p", "r"), &record(&[FailureClass::Throttled]), &failure, NOW)
        };
        assert_eq!(after(&with), Next::Skip);
        assert!(matches!(after(&plan(3)), Next::Retry { .. }));
    }

    #[test]
    fn attempts_of_earlier_generations_do_not_count() {
        let mut record = record(&[FailureClass::Exit, FailureClass::Exit, FailureClass::Exit]);
        record.settled_attempts = 2;
        let failure = Failure::new(FailureClass::Exit, "");
        let next = next(&plan(1), &RunKey::new("p", "r"), &record, &failure, NOW);
        assert_eq!(next, Next::Retry { seconds: 10 });
    }

    #[test]
    fn no_attempt_begins_later_than_so_long_after_the_first() {
        let at = |seconds| Instant::from_micros(0).plus_seconds(seconds);
        let plan = RetryPlan { max_duration_seconds: Some(100), ..plan(9) };
        let mut record = record(&[FailureClass::Exit]);
        let failure = Failure::new(FailureClass::Exit, "");
        let after = |record: &TaskRecord, now| next(&plan, &RunKey::new("p", "r"), record, &failure, now);
        // The delay is 10 s: the next attempt would begin at 100 s, then at 101 s.
        assert_eq!(after(&record, at(90)), Next::Retry { seconds: 10 });
        assert_eq!(after(&record, at(91)), Next::TooLate);
        assert_eq!(over(&plan, &record, at(100)), None);
        assert!(over(&plan, &record, at(101)).is_some());
        // A later generation has its own time.
        record.settled_attempts = 1;
        assert_eq!(over(&plan, &record, at(101)), None);
    }

    #[test]
    fn memory_grows_by_every_attempt_that_ran_out_of_it_and_by_no_other() {
        use FailureClass::{Exit, Killed, OutOfMemory};
        let mut plan: TaskPlan = serde_json::from_value(serde_json::json!({
            "name": "extract", "timeout_seconds": 1, "start_timeout_seconds": 1, "stop_timeout_seconds": 1,
            "retry": plan(9), "kind": {"type": "container", "image": "x", "command": [], "task_definition": "x",
            "cpu": 256, "memory": 512},
        }))
        .unwrap();
        assert_eq!(size(&plan, &record(&[OutOfMemory])), None);
        plan.retry.on_oom = Some(GrowthPlan { factor: 2.0, max: 4096 });
        let mut past = TaskRecord::new("extract".into(), None, 1);
        let mut sizes = Vec::new();
        for class in [OutOfMemory, Exit, Killed, OutOfMemory, OutOfMemory, OutOfMemory, Exit] {
            let size = size(&plan, &past);
            sizes.extend(size.map(|size| (size.cpu, size.memory)));
            let attempt = record(&[class]).attempts.remove(0);
            past.attempts.push(AttemptRecord { size, ..attempt });
        }
        assert_eq!(
            sizes,
            [(256, 512), (256, 1024), (256, 1024), (256, 1024), (256, 2048), (512, 4096), (512, 4096)]
        );
        // Earlier generations count: what was too little then is too little now. A plan with more has its way.
        past.settled_attempts = 7;
        assert_eq!(size(&plan, &past), Some(Size { cpu: 512, memory: 4096 }));
        let TaskKind::Container(container) = &mut plan.kind else { panic!("a container") };
        container.memory = 8192;
        container.cpu = 1024;
        assert_eq!(size(&plan, &past), Some(Size { cpu: 1024, memory: 8192 }));
    }

    #[test]
    fn jitter_is_reproducible_and_bounded() {
        let jittered = RetryPlan { jitter: 0.5, delay_seconds: 1000.0, max_delay_seconds: 1000.0, ..plan(9) };
        let first = after(&jittered, &[FailureClass::Exit]);
        assert_eq!(first, after(&jittered, &[FailureClass::Exit]));
        let Next::Retry { seconds } = first else { panic!("{first:?}") };
        assert!((500..=1500).contains(&seconds), "{seconds}");
    }
}
