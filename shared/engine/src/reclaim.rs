//! Reclaim: who holds slots of a pool or stands in its line, and does not live any more?
//!
//! Slots come back when an attempt ends, whoever tells. This is for the case that nobody does: the
//! execution died and its event was lost. The sweep asks, pool by pool. A lease names one attempt of
//! one generation, so taking back that of a dead attempt never touches the one of a living attempt;
//! the dead one's task is settled under its fence, so that nothing it still says counts.

use crate::command::{Command, Decision, Effect, Finish, Outcome, Reply};
use crate::line::{self, LINE, Waiter, stands_for};
use crate::slots::{self, Holder, leases, pool_item};
use crate::stop::Stop;
use crate::view::Liveness;
use crate::{Settings, View, observed};
use cauce_model::ids::child_execution_name;
use cauce_model::item::TRANSACTION_MAX;
use cauce_model::record::{Record, RunRecord, TaskRecord, run_item, task_item};
use cauce_model::{Expect, Write};
use serde_json::json;
use std::collections::BTreeSet;

/// Gives back what dead holders hold, and settles their tasks.
///
/// Unless it is about `all` holders, one whose attempt is written down counts as alive until that says
/// otherwise: whoever looks at its run asks about its execution.
pub(crate) fn decide(pool: &str, all: bool, view: &View, settings: &Settings) -> Result<Decision, Stop> {
    let mut decision = Decision::default();
    let mut looks = Looks { all, count: 0 };
    let mut freed = 0_u32;
    let Some(item) = view.item(&pool_item(pool))? else {
        return Ok(decision);
    };
    let held: Vec<(&str, u32, Holder)> =
        leases(item).filter_map(|(name, slots)| Some((name, slots, Holder::parse(name)?))).collect();
    view.want(held.iter().map(|(_, _, holder)| run_item(&holder.run_key)))?;
    let unheard: BTreeSet<&str> = slots::texts(item, slots::GRANTED).collect();
    let granted = held.iter().filter(|(name, ..)| unheard.contains(name));
    let left = view.left(granted.map(|(.., holder)| holder.run_key.clone()))?;
    for (name, slots, holder) in held {
        let dead = match fate(&holder, &mut looks, view, settings)? {
            // Whoever was granted and died before it knew has started nothing.
            Fate::Lives if unheard.contains(name) && left.contains(&holder.run_key) => None,
            Fate::Lives => continue,
            Fate::Over => None,
            Fate::Died(finish) => Some(finish),
        };
        freed += slots;
        decision.effects.push(slots::give_back(pool, name, slots));
        if let Some(finish) = dead {
            decision.effects.push(Effect::Command(Box::new(Command::Finish(*finish))));
        }
    }
    // Those who died in line: their places go, and what was kept for them goes to others.
    let mut went = false;
    let line = view.range(pool_item(pool).partition, LINE.to_owned())?;
    let waiters: Vec<Holder> = line.iter().filter_map(stands_for).filter_map(Holder::parse).collect();
    line::want(&waiters, view)?;
    for place in line {
        let Some(holder) = stands_for(place).and_then(Holder::parse) else { continue };
        if line::waiter(&holder, view)? == Waiter::Gone {
            if decision.writes.len() < TRANSACTION_MAX {
                decision.writes.push(Write::Delete { key: place.key.clone(), expect: Expect::Any });
            }
            went = true;
        } else if let Fate::Died(finish) = fate(&holder, &mut looks, view, settings)? {
            decision.effects.push(Effect::Command(Box::new(Command::Finish(*finish))));
        }
    }
    if went {
        decision.effects.push(slots::look_once(pool));
    }
    decision.reply = Reply::Ok(json!({"looked": looks.count, "freed": freed}));
    Ok(decision)
}

/// Whose executions are asked about, and how many were.
struct Looks {
    all: bool,
    count: u32,
}

enum Fate {
    Lives,
    /// It ended, and its record says so.
    Over,
    /// It ended without a word.
    Died(Box<Finish>),
}

fn fate(holder: &Holder, looks: &mut Looks, view: &View, settings: &Settings) -> Result<Fate, Stop> {
    let Some(run) = view.item(&run_item(&holder.run_key))? else {
        return Ok(Fate::Over);
    };
    let run = RunRecord::from_item(run)?;
    if run.generation > holder.generation || run.status.is_terminal() {
        return Ok(Fate::Over);
    }
    let Some((task, index, number)) = &holder.attempt else {
        // A run that is under way ends by its Close, or is closed by the sweep of runs.
        return Ok(Fate::Lives);
    };
    let item = view.item(&task_item(&holder.run_key, task, *index))?;
    let record = match item {
        Some(item) => TaskRecord::from_item(item)?,
        None => TaskRecord::new(task.clone(), *index, run.generation),
    };
    let number = *number as usize;
    let ended = record.attempts.get(number.wrapping_sub(1)).is_some_and(|attempt| attempt.ended_at.is_some());
    let present = record.generation == run.generation;
    if present && (record.status.is_terminal() || ended) {
        return Ok(Fate::Over);
    }
    if !looks.all && present && item.is_some() {
        return Ok(Fate::Lives);
    }
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let settings = view.settings(&run, settings)?;
    let machine = prepared.find(task).and_then(|(_, plan)| observed::machine(plan, *index, settings));
    let Some(machine) = machine else { return Ok(Fate::Lives) };
    looks.count += 1;
    let name = child_execution_name(&holder.run_key, holder.generation, task, *index);
    Ok(match view.execution(machine, &name)? {
        Liveness::Closed(end) => Fate::Died(Box::new(Finish {
            run_key: holder.run_key.clone(),
            generation: holder.generation,
            task: task.clone(),
            index: *index,
            fence: record.fence,
            outcome: Outcome::Died(Some(end.clone())),
        })),
        // An execution that is unknown here may be another process's.
        Liveness::Running | Liveness::Never => Fate::Lives,
    })
}
