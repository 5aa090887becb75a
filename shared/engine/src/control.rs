//! What the project says of its breakers and rate limits, and what programs ask of a limit.

use crate::View;
use crate::command::{Decision, Reply};
use crate::rate::{self, NoTurn, Turn};
use crate::stop::Stop;
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

/// Takes tokens of a limit for a call that a program makes, unless their turn comes later than it waits.
pub(crate) fn take(
    limit: &str,
    tokens: u32,
    within_seconds: Option<u64>,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let latest = within_seconds.map(|seconds| now.plus_seconds(seconds));
    let (start, taken) = match rate::take(limit, tokens, latest, view, now)? {
        Ok(Turn { at, taken }) => (at, taken),
        Err(NoTurn::Unknown) => {
            return Err(Stop::refuse(names::UNDECLARED, format!("there is no rate limit '{limit}'")));
        }
        Err(NoTurn::TooMany { most }) => {
            let why = format!(
                "nothing is taken: {tokens} tokens are asked for, and the rate limit '{limit}' gives {most} at once \
                 at most"
            );
            return Err(Stop::refuse(names::DENIED, why));
        }
    };
    let wait_micros = start.micros_since(now).max(0);
    let told = json!({"limit": limit, "taken": taken, "start_at": start, "wait_micros": wait_micros});
    Ok(Decision { reply: Reply::Ok(told), ..Decision::default() })
}
