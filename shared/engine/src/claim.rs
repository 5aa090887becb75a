//! What an attempt asks for before it starts: slots of its task's pools, its lock, and a slot of
//! `max_active_tasks`. All of it or nothing, and by every attempt anew.

use crate::View;
use crate::context::{Renderer, Unrendered};
use crate::ending::Case;
use crate::slots::{self, Grant, Holder, Request, Want};
use crate::stop::Stop;
use cauce_model::Write;
use cauce_model::plan::TaskKind;

/// Longest name of a lock, in bytes. A partition key of DynamoDB takes 2,048.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub(crate) const LOCK_BYTES_MAX: usize = 512;

/// What came of it.
pub(crate) enum Claim {
    /// Everything is held once these writes are made, with the attempt's own.
    Held(Vec<Write>),
    /// It has to stand in line.
    Waits(Request),
    /// It can never be had.
    Never(Unrendered),
}

/// Asks for what an attempt needs, and notes in the record what it holds.
pub(crate) fn claim(
    view: &View,
    case: &mut Case<'_>,
    index: Option<u32>,
    attempt: u32,
    renderer: &Renderer<'_>,
) -> Result<Claim, Stop> {
    let wants = match wants(view, case, renderer)? {
        Ok(wants) => wants,
        Err(error) => return Ok(Claim::Never(error)),
    };
    let plan = case.plan();
    let holder = Holder {
        run_key: case.run.key(),
        generation: case.run.generation,
        attempt: Some((plan.name.clone(), index, attempt)),
    };
    let request = Request { wants, standing: case.standing(), holder: holder.name() };
    let waited = !case.loaded.record.waits_for.is_empty();
    Ok(match slots::acquire(&request, waited, view, case.now)? {
        Grant::Held { holds, writes } => {
            case.record().holds = holds;
            Claim::Held(writes)
        }
        Grant::Waits => Claim::Waits(request),
    })
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
        if name.trim().is_empty() || name.len() > LOCK_BYTES_MAX {
            let what = if name.trim().is_empty() {
                "an empty text".to_owned()
            } else {
                format!("{} bytes, more than {LOCK_BYTES_MAX}", name.len())
            };
            return Ok(Err(Unrendered(format!("lock: {template} renders to {what}; a lock needs a name"))));
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
