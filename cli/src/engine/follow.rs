//! Waiting for runs that go on without this process: the table is looked at now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use cauce_driver::look::summary;
use cauce_model::TaskStatus;
use cauce_model::ids::RunRef;
use cauce_model::plan::Plan;
use cauce_model::record::{PipelineRecord, TaskRecord};
use serde_json::json;

use crate::context::Context;
use crate::engine::actor::Actor;
use crate::engine::start::{conclude, signalled};
use crate::engine::watch::Watching;
use crate::error::{Exit, Failure};
use crate::store::Store;

/// How often runs of a deployed environment are looked at. A look at one run reads its partition:
/// a few read units.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A pipeline's record in a deployed environment.
///
/// # Errors
/// It is not deployed there, or the table cannot be read.
pub(crate) async fn deployed(
    store: &Store,
    pipeline: &str,
    context: &Context,
) -> Result<PipelineRecord, Failure> {
    store.pipeline(pipeline).await?.ok_or_else(|| {
        let failure =
            Failure::bad_input(format!("the pipeline '{pipeline}' is not deployed to '{}'", context.env));
        failure.help(match context.env_option().as_str() {
            "" => "'cauce up' deploys the pipelines of its project; its log tells why one is left out"
                .to_owned(),
            option => format!("'cauce deploy{option}' deploys the pipelines of the project"),
        })
    })
}

/// After runs were started: tells that they were, or waits for their end when that is wanted.
///
/// # Errors
/// A table that cannot be read.
pub(crate) async fn settle(
    actor: &Actor,
    names: &[RunRef],
    plan: &Plan,
    wait: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let store = actor.store()?;
    if wait {
        return follow(&store, names, plan, context).await;
    }
    if context.json {
        let mut documents = Vec::new();
        for name in names {
            documents.push(summary(&store.run(name).await?));
        }
        context.output.json(&json!({"schema": 1, "runs": documents}))?;
        return Ok(Exit::Good);
    }
    for name in names {
        context.output.line(&name.to_string())?;
    }
    if let [name] = names {
        context.output.talk(&format!("started; how it stands: cauce show {name}{}", context.env_option()));
    }
    Ok(Exit::Good)
}

/// Watches runs until all have ended, or until a signal: they go on all the same.
async fn follow(store: &Store, names: &[RunRef], plan: &Plan, context: &Context) -> Result<Exit, Failure> {
    let (_, progress) = Watching::new(context);
    progress.plan(plan);
    progress.begin(names);
    let outcome = tokio::select! {
        biased;
        outcome = look_until_ended(store, names, &progress) => outcome.map(|()| true),
        () = signalled() => Ok(false),
    };
    progress.end();
    if outcome? {
        return conclude(store, names, context).await;
    }
    context
        .output
        .talk("no longer watched; the runs go on: 'cauce show' and 'cauce runs' tell how they stand");
    Ok(Exit::Interrupted)
}

/// Task runs in the order of what became of them last.
fn in_order<'a>(tasks: impl Iterator<Item = &'a TaskRecord>) -> Vec<&'a TaskRecord> {
    let mut tasks: Vec<&TaskRecord> = tasks.collect();
    tasks.sort_by_key(|task| task.ended_at.or(task.started_at).or(task.queued_at));
    tasks
}

async fn look_until_ended(store: &Store, names: &[RunRef], progress: &Watching) -> Result<(), Failure> {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    let mut seen: BTreeMap<(String, Option<u32>), (TaskStatus, usize)> = BTreeMap::new();
    let mut left: Vec<&RunRef> = names.iter().collect();
    while !left.is_empty() {
        interval.tick().await;
        let mut open = Vec::new();
        for name in left {
            let run = store.run(name).await?;
            let ended = run.status.is_terminal();
            if names.len() == 1 {
                let view = store.view(run).await?;
                let generation = view.run.generation;
                let items = view.items.values().flatten();
                let current = view.tasks.values().chain(items).filter(|task| task.generation == generation);
                for task in in_order(current) {
                    let now = (task.status, task.attempts.len());
                    if seen.insert((task.task.clone(), task.index), now) != Some(now) {
                        progress.tell(task);
                    }
                }
                progress.tick();
            } else if ended {
                progress.tell_run(&run);
            }
            if !ended {
                open.push(name);
            }
        }
        left = open;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::Instant;

    #[test]
    fn what_was_seen_at_one_look_is_told_in_the_order_in_which_it_happened() {
        let record = |name: &str, started: i64, ended: Option<i64>| TaskRecord {
            started_at: Some(Instant::from_micros(started)),
            ended_at: ended.map(Instant::from_micros),
            ..TaskRecord::new(name.to_owned(), None, 1)
        };
        let tasks = [record("above", 3, None), record("below", 2, Some(4)), record("fetch", 1, Some(2))];
        let names: Vec<&str> = in_order(tasks.iter()).iter().map(|task| task.task.as_str()).collect();
        assert_eq!(names, ["fetch", "above", "below"]);
    }
}
