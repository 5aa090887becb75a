//! What the project says of its breakers and rate limits, and what programs ask of a limit.

use crate::command::{Decision, Reply};
use crate::stop::Stop;
use crate::{View, rate};
use cauce_model::control::{Controls, breaker_item, rate_item};
use cauce_model::item::{Change, Cond, Step, When};
use cauce_model::{Instant, Json, Key, names};
use serde_json::json;

/// Breakers and rate limits have these figures from now on. What they have counted stays.
pub(crate) fn define(controls: &Controls, view: &View) -> Result<Decision, Stop> {
    for (name, settings) in &controls.breakers {
        store(format!("breaker:{name}"), breaker_item(name), json!(settings), view)?;
    }
    for (name, settings) in &controls.rate_limits {
        store(format!("rate:{name}"), rate_item(name), json!(settings), view)?;
    }
    Ok(Decision::default())
}

fn store(name: String, key: Key, settings: Json, view: &View) -> Result<(), Stop> {
    let field = rate::SETTINGS;
    let when = When { all: vec![Cond::Differs(field.into(), settings.clone())] };
    let change = Change { steps: vec![Step::Set(field.into(), settings)] };
    view.update(name, key, change, when)?;
    Ok(())
}

/// Takes tokens of a limit for a call that a program makes.
pub(crate) fn take(limit: &str, tokens: u32, view: &View, now: Instant) -> Result<Decision, Stop> {
    let Some(start) = rate::take(limit, tokens, view, now)? else {
        return Err(Stop::refuse(names::DENIED, format!("there is no rate limit '{limit}'")));
    };
    let wait_micros = start.micros_since(now).max(0);
    let reply = Reply::Ok(json!({"limit": limit, "start_at": start, "wait_micros": wait_micros}));
    Ok(Decision { reply, ..Decision::default() })
}
