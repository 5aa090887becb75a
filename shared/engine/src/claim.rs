//! What an attempt asks before it starts, in this order: is the run that it started before still ending, was it done
//! before (idempotency), may it (breaker), is there room (pools, lock, `max_active_tasks`), and when (rate limit)? The
//! limit is last, so that a start that was reserved is used when it comes; the breaker is asked again then.

use crate::command::{Decision, Effect};
use crate::context::{Renderer, Unrendered};
use crate::ending::Case;
use crate::rate::{self, NoTurn, Turn};
use crate::slots::{self, Grant, Holder, Request, Want};
use crate::stop::Stop;
use crate::{View, breaker, idempotency, kinds};
use cauce_model::control::{HeldBackBy, HeldBackRecord, OnOpen};
use cauce_model::plan::TaskKind;
use cauce_model::{Instant, Json, TaskStatus, Write};

/// Longest name of a lock, in bytes. A partition key of DynamoDB takes 2,048.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub(crate) const LOCK_BYTES_MAX: usize = 512;

/// What came of it.
pub(crate) enum Claim {
    /// Everything is held once these writes are made, with the attempt's own.
    Held(Vec<Write>),
    /// It has to stand in line.
    Waits(Request),
    /// Not yet, and there is no line: it looks again by itself.
    Later {
        /// What holds it back.
        by: HeldBackBy,
        /// Its name.
        name: String,
        /// Until when, as far as is known.
        until: Option<Instant>,
        /// What keeps what it has got so far.
        writes: Vec<Write>,
        /// What gives up what it does not need meanwhile.
        effects: Vec<Effect>,
    },
    /// The task run ends, without an attempt.
    Ends(Box<Decision>),
    /// It can never be had.
    Never(Unrendered),
}

/// Asks for what an attempt needs, and notes in the record what it holds.
pub(crate) fn claim(
    view: &View,
    case: &mut Case<'_>,
    item: Option<&Json>,
    renderer: &Renderer<'_>,
) -> Result<Claim, Stop> {
    let wants = match wants(view, case, renderer)? {
        Ok(wants) => wants,
        Err(error) => return Ok(Claim::Never(error)),
    };
    let plan = case.plan();
    let holder = case.next_holder();
    let mut writes = Vec::new();
    // What is claimed here counts from the attempt's start; whoever waits has claimed nothing.
    let claimed_before = case.loaded.record.claim.clone();
    if let Some(run) = kinds::ending_run(view, case)? {
        let effects = let_go(&wants, &holder, case, view)?;
        let (by, name) = (HeldBackBy::OwnRun, run.run.to_string());
        return Ok(Claim::Later { by, name, until: None, writes: Vec::new(), effects });
    }
    match idempotency::ask(case, item, renderer, view)? {
        idempotency::Asked::Runs(claim, write) => {
            case.record().claim = claim;
            writes.extend(write);
        }
        idempotency::Asked::Done { output, reason } => {
            let mut ended = idempotency::reuse(case, output, reason);
            ended.effects.extend(let_go(&wants, &holder, case, view)?);
            return Ok(Claim::Ends(Box::new(ended)));
        }
        idempotency::Asked::Refused(reason) => {
            let mut ended = case.end(TaskStatus::Failed, Some(reason));
            ended.effects.extend(let_go(&wants, &holder, case, view)?);
            return Ok(Claim::Ends(Box::new(ended)));
        }
        idempotency::Asked::UnderWay(run) => {
            let effects = let_go(&wants, &holder, case, view)?;
            let by = HeldBackBy::Idempotency;
            return Ok(Claim::Later { by, name: run, until: None, writes: Vec::new(), effects });
        }
        idempotency::Asked::Never(error) => return Ok(Claim::Never(error)),
    }
    if let Some(used) = &plan.breaker {
        match breaker::ask(used, &holder.name(), view, case.now)? {
            breaker::Asked::Passes(probe) => writes.extend(probe),
            breaker::Asked::Unknown(error) => return Ok(Claim::Never(error)),
            breaker::Asked::Open { until, reason } => {
                let effects = let_go(&wants, &holder, case, view)?;
                let (by, name) = (HeldBackBy::Breaker, used.name.clone());
                let mut ended = match used.on_open {
                    OnOpen::Wait => {
                        case.record().claim = claimed_before;
                        return Ok(Claim::Later { by, name, until, writes: Vec::new(), effects });
                    }
                    OnOpen::Fail => case.end(TaskStatus::Failed, Some(format!("dependency: {reason}"))),
                    OnOpen::Skip => case.end(TaskStatus::Skipped, Some(reason)),
                };
                ended.effects.extend(effects);
                return Ok(Claim::Ends(Box::new(ended)));
            }
        }
    }
    let waited = !case.loaded.record.waits_for.is_empty();
    let request = Request { wants, standing: case.standing(), holder: holder.name() };
    let slots = match slots::acquire(&request, waited, view, case.now)? {
        Grant::Held { holds, writes } => {
            case.record().holds = holds;
            writes
        }
        Grant::Waits => {
            case.record().claim = claimed_before;
            return Ok(Claim::Waits(request));
        }
    };
    if let Some(used) = &plan.rate_limit {
        let by = HeldBackBy::RateLimit;
        let reserved = case.loaded.record.held_back.as_ref();
        let reserved = reserved.filter(|held| held.by == by && held.name == used.name);
        let start = match reserved.and_then(|held| held.until) {
            Some(start) => start,
            None => match rate::take(&used.name, used.tokens, None, view, case.now)? {
                // Whoever waits as long as it takes always has its tokens taken.
                Ok(Turn { at, .. }) => at,
                Err(NoTurn::Unknown) => {
                    return Ok(Claim::Never(Unrendered(format!(
                        "the rate limit '{}' is not known here: declare it under rate_limits in cauce.yaml, and \
                         deploy that",
                        used.name
                    ))));
                }
                Err(NoTurn::TooMany { most }) => {
                    return Ok(Claim::Never(Unrendered(format!(
                        "it asks for {} tokens of the rate limit '{}', which gives {most} at once at most: ask for \
                         fewer, or let it give more",
                        used.tokens, used.name
                    ))));
                }
            },
        };
        if case.now < start {
            case.record().claim = claimed_before;
            let (name, until) = (used.name.clone(), Some(start));
            return Ok(Claim::Later { by, name, until, writes: slots, effects: Vec::new() });
        }
    }
    writes.extend(slots);
    Ok(Claim::Held(writes))
}

/// Gives back what an earlier look of this attempt has got, and its places in lines: it waits for
/// something else now, or not at all. The store is asked what it has, not its record: whoever looked
/// before may have died before it let go.
fn let_go(wants: &[Want], holder: &Holder, case: &Case<'_>, view: &View) -> Result<Vec<Effect>, Stop> {
    let name = holder.name();
    let place = |want: &Want| case.standing().place(&want.pool, &name);
    view.want(wants.iter().flat_map(|want| [slots::pool_item(&want.pool), place(want)]))?;
    let mut effects = Vec::new();
    for want in wants {
        let item = view.item(&slots::pool_item(&want.pool))?;
        let holds = item.is_some_and(|item| slots::is_held(item, &name, i64::from(want.slots)));
        if holds || view.item(&place(want))?.is_some() {
            effects.push(slots::leave(&want.pool, &name, want.slots, &case.standing()));
        }
    }
    Ok(effects)
}

/// How long one that is held back pauses before it looks again, in seconds. What has a time is looked at
/// then, but for a breaker not much later than a person may have reset it.
pub(crate) fn pause(held: &HeldBackRecord, now: Instant) -> u64 {
    let left = held.until.map(|until| until.micros_since(now)).filter(|left| *left > 0);
    let Some(left) = left else { return idempotency::pause(held.since, now) };
    let seconds = u64::try_from(left).unwrap_or(0).div_ceil(1_000_000);
    let most = if held.by == HeldBackBy::Breaker { BREAKER_PAUSE_SECONDS_MAX } else { WAIT_SECONDS_MAX };
    seconds.clamp(1, most)
}

/// After so many seconds at most, one that waits for a breaker looks whether a person has reset it.
const BREAKER_PAUSE_SECONDS_MAX: u64 = 300;

/// A day: a longer wait is taken in parts. A Wait state takes 99,999,999 seconds.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html>
const WAIT_SECONDS_MAX: u64 = 86_400;

/// Why what the template of a setting renders to is no name of a lock or a key: it is empty or too long.
pub(crate) fn misnamed(
    (setting, thing): (&str, &str),
    (template, text): (&str, &str),
    bytes_max: usize,
) -> Option<Unrendered> {
    let bytes = text.len();
    let why = if text.trim().is_empty() {
        format!("an empty text; a {thing} needs a name")
    } else if bytes > bytes_max {
        format!("a text of {bytes} bytes; the text of a {thing} has at most {bytes_max}")
    } else {
        return None;
    };
    Some(Unrendered(format!("{setting}: {template} renders to {why}")))
}

/// What is wanted, in order of the pools' names.
fn wants(
    view: &View,
    case: &Case<'_>,
    renderer: &Renderer<'_>,
) -> Result<Result<Vec<Want>, Unrendered>, Stop> {
    let plan = case.plan();
    let mut wants = Vec::new();
    if !plan.kind.holds_slots() {
        return Ok(Ok(wants));
    }
    let pools = match slots::of_task(plan, case.run) {
        Ok(pools) => pools,
        Err(error) => return Ok(Err(error)),
    };
    view.want(pools.keys().map(|pool| slots::pool_item(pool)))?;
    for (pool, asked) in &pools {
        let Some(capacity) = slots::capacity(pool, view)? else {
            return Ok(Err(Unrendered(format!(
                "the pool '{pool}' has no slots here: declare it under pools in cauce.yaml, and deploy that"
            ))));
        };
        if *asked > capacity {
            return Ok(Err(Unrendered(format!(
                "it asks for {asked} slots of the pool '{pool}', which has {capacity}: ask for fewer, or resize the pool"
            ))));
        }
        wants.push(Want { pool: pool.clone(), slots: *asked, capacity, says: false });
    }
    if let Some(template) = &plan.lock {
        let name = match renderer.text(template) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(error) = misnamed(("lock", "lock"), (template, &name), LOCK_BYTES_MAX) {
            return Ok(Err(error));
        }
        wants.push(Want { pool: slots::lock_pool(&name), slots: 1, capacity: 1, says: true });
    }
    if let (Some(capacity), TaskKind::Container(_)) = (case.prepared.plan.max_active_tasks, &plan.kind) {
        let pool = slots::active_tasks_pool(&case.run.run.pipeline);
        wants.push(Want { pool, slots: 1, capacity, says: true });
    }
    wants.sort_by(|a, b| a.pool.cmp(&b.pool));
    Ok(Ok(wants))
}
