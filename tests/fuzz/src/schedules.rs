//! Schedules, dates, key patterns and parameters.

use cauce_model::Instant;
use cauce_model::params::{ParamSpec, validate};
use cauce_model::pattern::KeyPattern;
use cauce_model::plan::SchedulePlan;
use cauce_model::schedule::{Cron, Schedule};
use serde_json::Value;

use crate::{json, texts};

/// `<schedule of a plan as JSON, or a cron expression> CUT <moment> CUT <pattern, then a key> CUT <parameter
/// as JSON, then a value>`.
pub(crate) fn schedule(input: &[u8]) {
    let Some([text, moment, pattern, param]) = texts(input) else { return };
    if let Ok(cron) = Cron::parse(text) {
        assert_eq!(Cron::parse(text).as_ref(), Ok(&cron));
        assert!(!cron.to_eventbridge().is_empty(), "{text} is no schedule of EventBridge");
    }
    let at = Instant::parse(moment.trim()).unwrap_or_default();
    if let Ok(plan) = serde_json::from_str::<SchedulePlan>(text)
        && let Ok(schedule) = Schedule::new(&plan)
    {
        ticks(&schedule, at);
    }
    if let Some((pattern, key)) = pattern.split_once('\n') {
        keys(pattern, key);
    }
    if let Some((spec, value)) = param.split_once('\n')
        && let Ok(spec) = serde_json::from_str::<ParamSpec>(spec)
    {
        parameter(&spec, value);
    }
}

fn ticks(schedule: &Schedule, at: Instant) {
    let mut before = at;
    for tick in schedule.ticks(at, at.plus_seconds(40 * 86_400)).take(20) {
        assert!(tick > before, "{tick} after {before}");
        assert!(schedule.is_tick(tick), "{tick} is a tick of no schedule");
        assert!(schedule.opens_at(tick) >= tick, "a run opens before its tick");
        if let Some(interval) = schedule.interval_ending_at(tick) {
            assert!(interval.start <= interval.end && interval.end <= tick, "{interval:?}");
        }
        before = tick;
    }
    if let Some(tick) = schedule.previous_tick(at) {
        assert!(tick <= at, "{tick} is not before {at}");
        assert!(schedule.next_tick(tick).is_none_or(|next| next > at), "a tick between {tick} and {at}");
    }
}

fn keys(pattern: &str, key: &str) {
    let Ok(pattern) = KeyPattern::parse(pattern) else { return };
    if let Some(captures) = pattern.matches(key) {
        assert!(key.starts_with(pattern.literal_prefix()), "{key}");
        let names: Vec<&str> = pattern.captures().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| captures.contains_key(*name)), "{captures:?} of {names:?}");
        assert_eq!(captures.len(), names.len());
    }
}

fn parameter(spec: &ParamSpec, text: &str) {
    // What was accepted once is accepted as it is.
    for value in [spec.parse(text), spec.check(&json(text))].into_iter().flatten() {
        assert_eq!(spec.check(&value).as_ref(), Ok(&value));
        let given = serde_json::Map::from_iter([("p".to_owned(), value.clone())]);
        if !value.is_null() {
            let whole = validate([("p", spec)], &given).unwrap_or_else(|errors| panic!("{errors:?}"));
            assert_eq!(whole.get("p"), Some(&value));
        }
    }
    drop(validate([("p", spec)], &serde_json::Map::from_iter([("q".to_owned(), Value::Null)])));
}
