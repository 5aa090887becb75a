//! Rate limits: who takes tokens hears when it may start.
//!
//! One number per limit: the moment at which all that was taken would have come by at the limit's rate
//! (the generic cell rate algorithm). Taking moves it on and so reserves a start: whoever takes waits
//! once, until then, and asks nobody again. A reply that is lost costs the limit a place, never gives one
//! twice.

use crate::View;
use crate::stop::Stop;
use cauce_model::control::{RateSettings, rate_item};
use cauce_model::item::{Change, Cond, Step, When};
use cauce_model::{Instant, Item, Json};

pub(crate) const SETTINGS: &str = "settings";
const NEXT: &str = "next";
const TAKEN: &str = "taken";

/// What the store says of a limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Its figures.
    pub settings: RateSettings,
    /// When it is as if nothing had been taken.
    pub idle_at: Instant,
    /// Tokens taken since it exists.
    pub taken: u64,
}

/// Reads a limit's item.
pub fn read(item: &Item) -> Option<RateLimit> {
    let settings = serde_json::from_value(item.body.get(SETTINGS)?.clone()).ok()?;
    let number = |field: &str| item.body.get(field).and_then(Json::as_i64).unwrap_or(0);
    Some(RateLimit {
        settings,
        idle_at: Instant::from_micros(number(NEXT)),
        taken: number(TAKEN).unsigned_abs(),
    })
}

/// What one who wants tokens hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Turn {
    /// When it may start, which is not before now.
    pub(crate) at: Instant,
    /// Whether they are taken. Otherwise that is later than it can wait, and nothing is.
    pub(crate) taken: bool,
}

/// Why one gets no turn at all, however long it waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoTurn {
    /// There is no such limit.
    Unknown,
    /// It wants more than anybody may take at once.
    TooMany {
        /// So many.
        most: u32,
    },
}

/// Takes tokens, where they may be used at `latest`.
pub(crate) fn take(
    limit: &str,
    tokens: u32,
    latest: Option<Instant>,
    view: &View,
    now: Instant,
) -> Result<Result<Turn, NoTurn>, Stop> {
    let key = rate_item(limit);
    let Some(RateLimit { settings, .. }) = view.item(&key)?.and_then(read) else {
        return Ok(Err(NoTurn::Unknown));
    };
    let most = settings.most_at_once();
    if tokens > most {
        return Ok(Err(NoTurn::TooMany { most }));
    }
    let interval = settings.interval_micros();
    let cost = interval.saturating_mul(i64::from(tokens));
    // What an idle limit gives at once beyond the first.
    let ahead = interval.saturating_mul(i64::from(settings.burst.saturating_sub(tokens)));
    let counted = Step::Add(TAKEN.into(), i64::from(tokens));
    let next_of = |item: &Item| item.body.get(NEXT).and_then(Json::as_i64).unwrap_or(0);
    let starts = |next: i64| now.max(Instant::from_micros(next.saturating_sub(ahead)));
    let bound = latest.map(|latest| latest.micros().saturating_add(ahead));
    // Either it is behind by now (too far, for one that cannot wait), or it is not; only between two looks can that
    // change.
    let mut look = 0_u32;
    loop {
        let busy = view.update(
            format!("rate:{limit}:{look}:busy"),
            key.clone(),
            Change { steps: vec![Step::Add(NEXT.into(), cost), counted.clone()] },
            When {
                all: std::iter::once(Cond::AtLeast(NEXT.into(), now.micros() + 1))
                    .chain(bound.map(|bound| Cond::AtMost(NEXT.into(), bound)))
                    .collect(),
            },
        )?;
        if let Some(item) = busy {
            return Ok(Ok(Turn { at: starts(next_of(item).saturating_sub(cost)), taken: true }));
        }
        let next = Json::from(now.micros().saturating_add(cost));
        let idle = view.update(
            format!("rate:{limit}:{look}:idle"),
            key.clone(),
            Change { steps: vec![Step::Set(NEXT.into(), next), counted.clone()] },
            When { all: vec![Cond::AtMost(NEXT.into(), now.micros())] },
        )?;
        if idle.is_some() {
            return Ok(Ok(Turn { at: now, taken: true }));
        }
        if let Some(bound) = bound {
            let late = view.update(
                format!("rate:{limit}:{look}:late"),
                key.clone(),
                Change { steps: vec![Step::Add(TAKEN.into(), 0)] },
                When { all: vec![Cond::AtLeast(NEXT.into(), bound.saturating_add(1))] },
            )?;
            if let Some(item) = late {
                return Ok(Ok(Turn { at: starts(next_of(item)), taken: false }));
            }
        }
        look += 1;
    }
}
