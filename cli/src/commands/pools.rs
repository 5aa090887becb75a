//! `cauce pools`: slots, who holds them, who waits for them.

use std::collections::BTreeSet;

use cauce_driver::look::Pool;
use serde_json::json;

use super::why::way_out;
use crate::args::PoolsArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::project::ProjectFolder;
use crate::store::{Store, is_here};
use crate::time;

pub(crate) fn pools(args: &PoolsArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let declared = |name: &str| folder.project.pools.get(name).map(|pool| i64::from(pool.slots));
    let store = Store::open(context)?;
    let names = context.block_on(async {
        if let Some(name) = &args.name {
            return Ok::<_, Failure>(std::iter::once(name.clone()).collect());
        }
        let mut names = match &store {
            Some(store) => store.pools_in_use().await?,
            None => std::collections::BTreeSet::new(),
        };
        names.extend(folder.project.pools.keys().map(|name| name.to_string()));
        Ok(names)
    })?;
    let mut table = Table::new(["POOL", "USED", "SLOTS", "WHO", "HAS", "PRIORITY", "SINCE"]);
    let mut documents = Vec::new();
    let mut interrupted = BTreeSet::new();
    for name in names {
        let stored = match &store {
            Some(store) => context.block_on(store.pool(&name))?,
            None => None,
        };
        // Locks, and limits of pipelines, are no pools of the project.
        let is_here = is_here(store.as_ref());
        let is_gone = is_here && !name.contains(':') && declared(&name).is_none();
        let pool = match (stored, declared(&name)) {
            // The next run tells the store.
            (Some(pool), Some(slots)) if is_here => Pool { slots, ..pool },
            (Some(pool), _) if !is_gone || !pool.holders.is_empty() || !pool.line.is_empty() => pool,
            (None, Some(slots)) => Pool { slots, used: 0, holders: Vec::new(), line: Vec::new() },
            (Some(_) | None, _) => {
                return Err(Failure::bad_input(format!("there is no pool '{name}'"))
                    .help("pools are declared in cauce.yaml; 'cauce pools' lists them and those in use"));
            }
        };
        let (mut holders, mut line) = (Vec::new(), Vec::new());
        table.row([
            name.as_str().into(),
            pool.used.to_string().into(),
            if is_gone { format!("{}, not in cauce.yaml", pool.slots) } else { pool.slots.to_string() }
                .into(),
            "".into(),
            "".into(),
            "".into(),
            "".into(),
        ]);
        if let Some(store) = &store {
            for (holder, slots) in &pool.holders {
                let who = context.block_on(store.holder(holder))?;
                let since = context.block_on(store.held_since(holder))?;
                let attempt = cauce_engine::slots::Holder::parse(holder).and_then(|holder| holder.attempt);
                let has = format!("holds {slots}");
                let since_text = since.map(time::moment).unwrap_or_default();
                let left = context.block_on(store.interrupted(holder))?;
                let shown = if left.is_some() { format!("{who} (interrupted)") } else { who.clone() };
                let is_left = left.is_some();
                interrupted.extend(left.map(|run| run.to_string()));
                let row = ["", "", "", shown.as_str(), has.as_str(), "", since_text.as_str()];
                table.row(row.map(Into::into));
                let number = attempt.map(|(_, _, number)| number);
                holders.push(json!({"holder": who, "attempt": number, "slots": slots, "since": since,
                    "interrupted": is_left}));
            }
            for (place, position) in pool.line.iter().zip(1..) {
                let who = context.block_on(store.holder(&place.holder))?;
                let has = format!("wants {}, number {position}", place.slots);
                let priority = place.priority.to_string();
                let since = place.since.map(time::moment).unwrap_or_default();
                let row = ["", "", "", who.as_str(), has.as_str(), priority.as_str(), since.as_str()];
                table.row(row.map(Into::into));
                line.push(json!({
                    "position": position, "waiter": who, "slots": place.slots,
                    "priority": place.priority, "since": place.since,
                }));
            }
        }
        documents.push(json!({
            "pool": name, "slots": pool.slots, "used": pool.used, "holders": holders, "waiting": line,
        }));
    }
    if context.json {
        context.output.json(&json!({"schema": 1, "pools": documents}))?;
    } else if table.is_empty() {
        context.output.talk("no pool is declared in cauce.yaml, and none is in use");
    } else {
        context.output.table(&table)?;
        for run in &interrupted {
            context.output.talk(&way_out(run));
        }
    }
    Ok(Exit::Good)
}
