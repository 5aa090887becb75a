//! Idempotency keys: the same request again uses the recorded result.
//!
//! A key is claimed in the write that starts the first attempt, and its result recorded in the write that
//! ends the task well, if the claim still stands: a claim has a fence, and whoever takes the key over
//! mints the next one. A claim whose task run is over without a result stands in nobody's way.

use crate::View;
use crate::claim;
use crate::command::{Decision, Reply};
use crate::context::{Renderer, Unrendered};
use crate::ending::Case;
use crate::slots::Holder;
use crate::status::under_way;
use crate::stop::Stop;
use cauce_model::control::{
    ClaimRecord, IDEMPOTENCY_KEY_BYTES_MAX, IdempotencyPlan, IdempotencyRecord, OnDuplicate, ResultRecord,
    idempotency_item,
};
use cauce_model::ids::sha256_hex;
use cauce_model::item::Expect;
use cauce_model::record::{OutputRecord, Record};
use cauce_model::{AuditRecord, Instant, Json, TaskStatus, TriggerKind, Write, names};
use serde_json::json;

/// What becomes of a request.
pub(crate) enum Asked {
    /// It runs, under this claim, made by this write. Neither where the task has no key, and no write where
    /// it has claimed it.
    Runs(Option<ClaimRecord>, Option<Write>),
    /// It was done.
    Done {
        /// With this output.
        output: Option<OutputRecord>,
        /// In words.
        reason: String,
    },
    /// It shall not be done again.
    Refused(String),
    /// It is being done.
    UnderWay(String),
    /// It has no usable key.
    Never(Unrendered),
}

/// Asks whether an attempt of a task is a new request.
pub(crate) fn ask(
    case: &Case<'_>,
    item: Option<&Json>,
    renderer: &Renderer<'_>,
    view: &View,
) -> Result<Asked, Stop> {
    let Some(plan) = &case.plan().idempotency else { return Ok(Asked::Runs(None, None)) };
    let record = &case.loaded.record;
    if let Some(claim) = &record.claim {
        return Ok(Asked::Runs(Some(claim.clone()), None));
    }
    let (key, payload) = match request(case, plan, item, renderer) {
        Ok(request) => request,
        Err(error) => return Ok(Asked::Never(error)),
    };
    let place = idempotency_item(&case.run.run.pipeline, &case.plan().name, &key);
    let mut claimed = IdempotencyRecord {
        payload,
        holder: claimant(case).name(),
        run: case.run.run.to_string(),
        fence: 1,
        claimed_at: case.now,
        why: None,
        result: None,
    };
    let mut expect = Expect::Absent;
    if let Some(found) = view.item(&place)? {
        expect = Expect::Version(found.version);
        let known = IdempotencyRecord::from_item(found)?;
        claimed.fence = known.fence + 1;
        match against(case, plan, &key, &known, &claimed, view)? {
            Found::Free => {}
            Found::Again(why) => claimed.why = Some(why.to_owned()),
            Found::Stands(asked) => return Ok(*asked),
        }
    }
    let claim = ClaimRecord { key, fence: claimed.fence };
    Ok(Asked::Runs(Some(claim), Some(Write::Put { item: claimed.row(place), expect })))
}

/// Who claims: the task run in this generation, whichever attempt.
fn claimant(case: &Case<'_>) -> Holder {
    let record = &case.loaded.record;
    Holder {
        run_key: case.run.key(),
        generation: case.run.generation,
        attempt: Some((record.task.clone(), record.index, 1)),
    }
}

/// What an earlier claim means to a new one.
enum Found {
    /// Nothing.
    Free,
    /// It is replaced, for this reason.
    Again(&'static str),
    /// It decides.
    Stands(Box<Asked>),
}

fn against(
    case: &Case<'_>,
    plan: &IdempotencyPlan,
    key: &str,
    known: &IdempotencyRecord,
    claimed: &IdempotencyRecord,
    view: &View,
) -> Result<Found, Stop> {
    let result = known.result.as_ref().filter(|result| case.now < result.until);
    if known.result.is_some() && result.is_none() || known.holder == claimed.holder {
        return Ok(Found::Free);
    }
    if result.is_none() && under_way(&known.holder, view)?.is_none() {
        return Ok(Found::Free);
    }
    if let Some(why) = asked_for(case) {
        return Ok(Found::Again(why));
    }
    if plan.on_duplicate == OnDuplicate::Overwrite {
        return Ok(Found::Again("overwrite"));
    }
    if known.payload != claimed.payload {
        let reason = format!(
            "idempotency: '{key}' was used by {} for something else: the task's settings or its item, filled in, \
             were others",
            known.run
        );
        return Ok(Found::Stands(Box::new(Asked::Refused(reason))));
    }
    Ok(Found::Stands(Box::new(match (plan.on_duplicate, result) {
        (OnDuplicate::Fail, Some(result)) => {
            Asked::Refused(format!("idempotency: {} did '{key}' at {}", known.run, result.at))
        }
        (OnDuplicate::Fail, None) => Asked::Refused(format!("idempotency: {} is doing '{key}'", known.run)),
        (_, Some(result)) => Asked::Done {
            output: result.output.clone(),
            reason: format!("idempotency: {} did '{key}' at {}", known.run, result.at),
        },
        (_, None) => Asked::UnderWay(known.run.clone()),
    })))
}

/// Why the task runs whatever was done before: somebody asked for just that.
fn asked_for(case: &Case<'_>) -> Option<&'static str> {
    // A generation that follows one that had ended is a rerun; one that follows a crash is not.
    if case.run.history.iter().any(|before| before.status.is_terminal()) {
        return Some("rerun");
    }
    (case.run.trigger.kind == TriggerKind::Backfill).then_some("backfill")
}

/// The key and the hash of what is asked under it.
fn request(
    case: &Case<'_>,
    plan: &IdempotencyPlan,
    item: Option<&Json>,
    renderer: &Renderer<'_>,
) -> Result<(String, String), Unrendered> {
    let key = renderer.text(&plan.key)?;
    let key = key.trim();
    if let Some(error) = claim::misnamed(("idempotency", "key"), (&plan.key, key), IDEMPOTENCY_KEY_BYTES_MAX)
    {
        return Err(error);
    }
    let kind = serde_json::to_value(&case.plan().kind)
        .map_err(|error| Unrendered(format!("the task cannot be written as JSON: {error}")))?;
    let payload = json!([renderer.tree(&kind)?, item]);
    Ok((key.to_owned(), sha256_hex(payload.to_string())))
}

/// Records the result of a task run that ended well, in the write that ends it, if its claim still stands.
pub(crate) fn completed(case: &mut Case<'_>, decision: &mut Decision, view: &View) -> Result<(), Stop> {
    let (Some(plan), Some(claim)) = (&case.plan().idempotency, &case.loaded.record.claim) else {
        return Ok(());
    };
    if case.loaded.record.status != TaskStatus::Success {
        return Ok(());
    }
    let place = idempotency_item(&case.run.run.pipeline, &case.plan().name, &claim.key);
    let Some(item) = view.item(&place)? else { return Ok(()) };
    let mut record = IdempotencyRecord::from_item(item)?;
    if record.fence != claim.fence || record.holder != claimant(case).name() {
        // Somebody has taken the key over since: theirs is the result that counts.
        return Ok(());
    }
    record.result = Some(ResultRecord {
        at: case.now,
        until: case.now.plus_seconds(plan.ttl_seconds),
        output: case.loaded.record.output.clone(),
    });
    decision.writes.push(Write::Put { item: record.row(place), expect: Expect::Version(item.version) });
    Ok(())
}

/// A person has a key forgotten: the next request under it runs.
pub(crate) fn forget(
    (pipeline, task, key): (&str, &str, &str),
    by: Option<&str>,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let place = idempotency_item(pipeline, task, key);
    let Some(item) = view.item(&place)? else {
        let what = format!("no idempotency key '{key}' of task {task} of {pipeline} is known");
        return Err(Stop::refuse(names::DENIED, what));
    };
    let known = IdempotencyRecord::from_item(item)?;
    let mut entry = AuditRecord::new(now, "clear_idempotency");
    entry.by = by.map(str::to_owned);
    entry.pipeline = Some(pipeline.to_owned());
    entry.task = Some(task.to_owned());
    entry.detail = json!({"key": key, "of": known.run});
    let gone = Write::Delete { key: place, expect: Expect::Version(item.version) };
    let reply = Reply::Ok(json!({"pipeline": pipeline, "task": task, "key": key, "of": known.run}));
    Ok(Decision { writes: vec![gone, entry.write()], reply, ..Decision::default() })
}

/// The longest pause of one that looks again by itself, in seconds.
const PAUSE_SECONDS_MAX: i64 = 900;

/// How long one that has waited since then pauses before it looks again, in seconds: an eighth of the
/// time that it has waited, so that a short wait ends soon and a long one costs little.
pub(crate) fn pause(since: Instant, now: Instant) -> u64 {
    let waited = now.micros_since(since).max(0) / 1_000_000;
    (waited / 8).clamp(5, PAUSE_SECONDS_MAX).unsigned_abs()
}

/// Puts `case` to where a known result ends it.
pub(crate) fn reuse(case: &mut Case<'_>, output: Option<OutputRecord>, reason: String) -> Decision {
    case.record().output = output;
    case.end(TaskStatus::Success, Some(reason))
}
