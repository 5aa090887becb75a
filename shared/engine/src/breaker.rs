//! Circuit breakers: closed, open, half-open. Shared by name over pipelines.
//!
//! A breaker is one item. Attempts that failed are told to it after they ended (`Report`), each under
//! its own name, so that a failure told twice counts once. The attempt that a half-open breaker lets
//! through is noted in the very write that starts it, at the version that was read: it is one, however
//! many ask at the same moment.

use crate::View;
use crate::command::{Command, Decision, Effect, Reply};
use crate::context::Unrendered;
use crate::ending::Case;
use crate::slots::Holder;
use crate::status::under_way;
use crate::stop::Stop;
use cauce_model::control::{
    BREAKER_THRESHOLD_MAX, BreakerRecord, BreakerUse, OpenRecord, ProbeRecord, breaker_item, failed_at,
    failure_mark,
};
use cauce_model::item::Expect;
use cauce_model::record::{AttemptRecord, Record};
use cauce_model::{AuditRecord, FailureClass, Instant, Item, TaskStatus, Write, names};
use serde_json::json;

/// What became of an attempt, as far as a breaker cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It did its work.
    Good,
    /// What it depends on may be broken.
    Bad,
    /// It says nothing of what it depends on: it never started, or was stopped.
    Neither,
}

/// What a breaker says to one that asks.
pub(crate) enum Asked {
    /// It may start, with this write.
    Passes(Option<Write>),
    /// Not now.
    Open {
        /// Until when, as far as is known.
        until: Option<Instant>,
        /// In words.
        reason: String,
    },
    /// There is none of that name.
    Unknown(Unrendered),
}

/// Asks whether an attempt may start.
pub(crate) fn ask(used: &BreakerUse, holder: &str, view: &View, now: Instant) -> Result<Asked, Stop> {
    let key = breaker_item(&used.name);
    let Some(item) = view.item(&key)? else {
        return Ok(Asked::Unknown(Unrendered(format!(
            "the breaker '{}' is not known here: declare it under breakers in cauce.yaml, and deploy that",
            used.name
        ))));
    };
    let mut record = BreakerRecord::from_item(item)?;
    let Some(open) = &mut record.open else { return Ok(Asked::Passes(None)) };
    let reason = |rest: String| format!("the breaker '{}' is open: {rest}", used.name);
    match (&open.by, open.until) {
        (_, Some(until)) if now < until => {
            let why = open.reason.clone().unwrap_or_default();
            return Ok(Asked::Open { until: Some(until), reason: reason(why) });
        }
        (by, None) => {
            let by = by.as_deref().unwrap_or("somebody");
            return Ok(Asked::Open { until: None, reason: reason(format!("{by} opened it")) });
        }
        _ => {}
    }
    if let Some(probe) = &open.probe
        && probe.holder != holder
        && is_under_way(&probe.holder, view)?
    {
        return Ok(Asked::Open { until: None, reason: reason("an attempt tries it out".to_owned()) });
    }
    open.probe = Some(ProbeRecord { holder: holder.to_owned(), since: now });
    let probe = Write::Put { item: Item::new(key, record.to_body()), expect: Expect::Version(item.version) };
    Ok(Asked::Passes(Some(probe)))
}

/// Whether an attempt that was let through has not ended. One whose execution died without a word is
/// settled by the sweep, and is over then.
fn is_under_way(holder: &str, view: &View) -> Result<bool, Stop> {
    let number = Holder::parse(holder).and_then(|holder| holder.attempt).map(|(_, _, number)| number);
    let record = under_way(holder, view)?;
    let attempt = record.as_ref().and_then(|record| record.attempts.get(number?.wrapping_sub(1) as usize));
    Ok(attempt.is_some_and(|attempt| attempt.ended_at.is_none()))
}

/// The effect that tells a task's breaker how its newest attempt ended. The same attempt always tells the
/// same.
pub(crate) fn report(case: &Case<'_>) -> Option<Effect> {
    let used = case.plan().breaker.as_ref()?;
    let record = &case.loaded.record;
    let attempt = record.attempts.last()?;
    let holder = Holder {
        run_key: case.run.key(),
        generation: attempt.generation,
        attempt: Some((record.task.clone(), record.index, attempt.number)),
    };
    Some(Effect::Command(Box::new(Command::Report {
        breaker: used.name.clone(),
        holder: holder.name(),
        verdict: verdict(case, attempt),
        at: attempt.ended_at?,
        reason: format!(
            "{} task {}: {}",
            case.run.run,
            record.task,
            attempt.message.as_deref().unwrap_or("")
        ),
    })))
}

fn verdict(case: &Case<'_>, attempt: &AttemptRecord) -> Verdict {
    let retry = &case.plan().retry;
    // Codes that are an answer about the data, not a failure of what was asked.
    let is_answer = attempt.exit_code.is_some_and(|code| {
        retry.skip_on_exit_code.contains(&code) || retry.final_exit_codes.contains(&code)
    });
    match attempt.class {
        None if case.loaded.record.status == TaskStatus::Success => Verdict::Good,
        Some(
            FailureClass::Exit | FailureClass::Timeout | FailureClass::Heartbeat | FailureClass::Unknown,
        ) if !is_answer => Verdict::Bad,
        _ => Verdict::Neither,
    }
}

/// A breaker hears how an attempt ended.
pub(crate) fn hear(
    breaker: &str,
    holder: &str,
    verdict: Verdict,
    at: Instant,
    reason: &str,
    view: &View,
) -> Result<Decision, Stop> {
    let key = breaker_item(breaker);
    let Some(item) = view.item(&key)? else { return Ok(Decision::default()) };
    let before = BreakerRecord::from_item(item)?;
    let after = heard(before.clone(), holder, verdict, at, reason);
    let writes = (after != before)
        .then(|| Write::Put { item: Item::new(key, after.to_body()), expect: Expect::Version(item.version) });
    Ok(Decision { writes: writes.into_iter().collect(), ..Decision::default() })
}

fn heard(
    mut record: BreakerRecord,
    holder: &str,
    verdict: Verdict,
    at: Instant,
    reason: &str,
) -> BreakerRecord {
    let reset = record.settings.reset_seconds;
    if let Some(open) = &mut record.open {
        // What was under way when it opened has no say; the one that was let through has.
        if open.probe.as_ref().is_none_or(|probe| probe.holder != holder) {
            return record;
        }
        open.probe = None;
        match verdict {
            Verdict::Good => {
                record.open = None;
                record.closed_at = Some(at);
                record.failures.clear();
            }
            Verdict::Bad => {
                open.until = Some(at.plus_seconds(reset));
                open.reason = Some(reason.to_owned());
            }
            Verdict::Neither => {}
        }
        return record;
    }
    if verdict != Verdict::Bad || record.closed_at.is_some_and(|closed| at <= closed) {
        return record;
    }
    let threshold = record.settings.threshold.clamp(1, BREAKER_THRESHOLD_MAX) as usize;
    let mark = failure_mark(at, holder);
    if let Err(place) = record.failures.binary_search(&mark) {
        record.failures.insert(place, mark);
    }
    let newest = record.failures.last().and_then(|mark| failed_at(mark)).unwrap_or(at);
    let window = i64::try_from(record.settings.window_seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    record.failures.retain(|mark| failed_at(mark).is_some_and(|at| newest.micros_since(at) <= window));
    if record.failures.len() >= threshold {
        record.failures.clear();
        record.opened += 1;
        record.open = Some(OpenRecord {
            at: newest,
            until: Some(newest.plus_seconds(reset)),
            by: None,
            reason: Some(reason.to_owned()),
            probe: None,
        });
    }
    record
}

/// A person opens a breaker, until a person resets it; or resets it, which closes it and forgets its
/// failures.
pub(crate) fn set(
    breaker: &str,
    open: bool,
    by: Option<&str>,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let key = breaker_item(breaker);
    let Some(item) = view.item(&key)? else {
        return Err(Stop::refuse(names::UNDECLARED, format!("there is no breaker '{breaker}'")));
    };
    let mut record = BreakerRecord::from_item(item)?;
    let reply = Reply::Ok(json!({"breaker": breaker, "open": open}));
    let unchanged = match &record.open {
        Some(found) => open && found.until.is_none(),
        None => !open && record.failures.is_empty(),
    };
    if unchanged {
        return Ok(Decision { reply, ..Decision::default() });
    }
    let mut entry = AuditRecord::new(now, if open { "open_breaker" } else { "reset_breaker" });
    entry.by = by.map(str::to_owned);
    entry.detail = json!({"breaker": breaker});
    record.failures.clear();
    if open {
        let by = by.map(str::to_owned);
        record.opened += 1;
        record.open = Some(OpenRecord { at: now, until: None, by, reason: None, probe: None });
    } else {
        record.open = None;
        record.closed_at = Some(now);
    }
    let put = Write::Put { item: Item::new(key, record.to_body()), expect: Expect::Version(item.version) };
    Ok(Decision { writes: vec![put, entry.write()], reply, ..Decision::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::control::BreakerSettings;

    fn at(seconds: i64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn breaker(threshold: u32) -> BreakerRecord {
        BreakerRecord::new(BreakerSettings { threshold, window_seconds: 60, reset_seconds: 300 })
    }

    fn bad(record: BreakerRecord, holder: &str, seconds: i64) -> BreakerRecord {
        heard(record, holder, Verdict::Bad, at(seconds), "exit 1")
    }

    #[test]
    fn it_opens_at_the_threshold_within_the_window_and_counts_an_attempt_once() {
        let mut record = breaker(3);
        for (holder, seconds) in [("a", 0), ("a", 0), ("b", 61), ("c", 100), ("c", 100)] {
            record = bad(record, holder, seconds);
            assert!(record.open.is_none(), "{holder} at {seconds}");
        }
        record = bad(record, "d", 121);
        let open = record.open.clone().unwrap();
        assert_eq!((open.at, open.until, record.opened), (at(121), Some(at(421)), 1));
        // Told late, of before: it is open and stays as it is.
        assert_eq!(bad(record.clone(), "e", 122), record);
    }

    #[test]
    fn failures_told_out_of_order_are_those_of_their_times() {
        let record = bad(bad(bad(breaker(3), "c", 100), "a", 50), "b", 70);
        assert_eq!(record.open.unwrap().at, at(100));
        // The oldest lies too far before the newest, whenever it is told.
        let record = bad(bad(bad(breaker(3), "c", 100), "b", 70), "a", 39);
        assert!(record.open.is_none());
    }

    #[test]
    fn only_the_attempt_that_was_let_through_closes_it_or_opens_it_again() {
        let mut record = bad(breaker(1), "a", 0);
        record.open.as_mut().unwrap().probe = Some(ProbeRecord { holder: "p".into(), since: at(300) });
        let told = |verdict| heard(record.clone(), "p", verdict, at(310), "exit 2");
        assert_eq!(heard(record.clone(), "q", Verdict::Good, at(310), ""), record);
        let closed = told(Verdict::Good);
        assert_eq!((closed.open.clone(), closed.closed_at), (None, Some(at(310))));
        assert_eq!(bad(closed, "late", 305).failures, [""; 0], "it failed before it closed");
        let open = told(Verdict::Bad).open.unwrap();
        assert_eq!((open.until, open.probe, open.at), (Some(at(610)), None, at(0)));
        let again = told(Verdict::Neither).open.unwrap();
        assert_eq!((again.until, again.probe), (Some(at(300)), None));
    }
}
