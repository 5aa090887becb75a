//! `cauce runs` and `cauce list`: what has run, and what there is to run.

use std::collections::{BTreeMap, VecDeque};

use cauce_driver::look::{next_tick, summary};
use cauce_local::clock::SystemClock;
use cauce_model::plan::Plan;
use cauce_model::record::RunRecord;
use cauce_model::{Instant, RunStatus};
use cauce_ports::Clock;
use serde_json::json;

use super::schedule::local;
use crate::args::{ListArgs, RunStatusArg, RunsArgs};
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table};
use crate::project::{self, Found, ProjectFolder};
use crate::store::{Store, say_nothing_yet};
use crate::time;

pub(crate) fn runs(args: &RunsArgs, context: &Context) -> Result<Exit, Failure> {
    let since = args.since.as_deref().map(|text| time::read("--since", text)).transpose()?;
    let Some(store) = Store::open(context)? else {
        return none_yet(context);
    };
    let limit = args.limit as usize;
    let mut newest: VecDeque<RunRecord> = VecDeque::new();
    context.block_on(store.runs(since, |run| {
        let of_pipeline = args.pipeline.as_ref().is_none_or(|name| *name == run.run.pipeline);
        let of_item = |key: &String| run.trigger.item.as_ref().is_some_and(|item| item.key == *key);
        if of_pipeline
            && args.item.as_ref().is_none_or(of_item)
            && args.status.is_none_or(|status| status.is(run.status))
        {
            if newest.len() == limit {
                newest.pop_front();
            }
            newest.push_back(run);
        }
    }))?;
    if context.json {
        let document = |run| {
            let mut document = summary(run);
            document["interrupted"] = json!(store.is_interrupted(run)?);
            Ok(document)
        };
        let documents = newest.iter().rev().map(document).collect::<Result<Vec<_>, Failure>>()?;
        context.output.json(&json!({"schema": 1, "runs": documents}))?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new(["RUN", "STATUS", "GENERATION", "TRIGGER", "STARTED", "DURATION", "NOTE"]);
    for run in newest.iter().rev() {
        let is_left = store.is_interrupted(run)?;
        table.row([
            run.run.to_string().into(),
            Cell::status(if is_left { "interrupted" } else { run.status.as_str() }),
            run.generation.to_string().into(),
            run.trigger.kind.as_str().into(),
            run.started_at.map(time::moment).unwrap_or_default().into(),
            // Nobody knows until when it went on.
            if is_left { String::new() } else { spent(run) }.into(),
            message(run).into(),
        ]);
    }
    if table.is_empty() {
        context.output.talk("no run is like that");
    } else {
        context.output.table(&table)?;
    }
    Ok(Exit::Good)
}

fn none_yet(context: &Context) -> Result<Exit, Failure> {
    if context.json {
        context.output.json(&json!({"schema": 1, "runs": []}))?;
    } else {
        say_nothing_yet(context);
    }
    Ok(Exit::Good)
}

impl RunStatusArg {
    fn is(self, status: RunStatus) -> bool {
        status
            == match self {
                Self::Queued => RunStatus::Queued,
                Self::Running => RunStatus::Running,
                Self::Success => RunStatus::Success,
                Self::Failed => RunStatus::Failed,
                Self::Skipped => RunStatus::Skipped,
                Self::Cancelled => RunStatus::Cancelled,
            }
    }
}

/// How a run ended, in words; what is about to end it where it is under way.
pub(crate) fn message(run: &RunRecord) -> String {
    match (&run.message, &run.cancel) {
        (None, Some(cancel)) if !run.status.is_terminal() => format!("being cancelled: {}", cancel.reason),
        (message, _) => message.clone().unwrap_or_default(),
    }
}

/// How long a run's present generation took, or has taken.
pub(crate) fn spent(run: &RunRecord) -> String {
    let ended = run.ended_at.or_else(|| (!run.status.is_terminal()).then(|| SystemClock.now()));
    match (run.started_at, ended) {
        (Some(started), Some(ended)) => time::duration(ended.micros_since(started)),
        _ => String::new(),
    }
}

/// What is shown of a pipeline.
struct Listed {
    found: Found,
    plan: Option<Plan>,
    paused: bool,
    /// Why, where no person paused it and its file does not.
    paused_because: Option<String>,
    next_tick: Option<(Instant, String)>,
    last: Option<RunRecord>,
}

pub(crate) fn list(_: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    if let Some(there) = context.there()? {
        return super::list_there::list(&folder, &there, context);
    }
    let store = Store::open(context)?;
    let now = SystemClock.now();
    let mut last = match &store {
        Some(store) => context.block_on(newest(store))?,
        None => BTreeMap::new(),
    };
    let mut listed = Vec::new();
    for found in folder.pipelines()? {
        let compiled = project::compiled(&found.path, &folder, context)?;
        let record = match &store {
            Some(store) => context.block_on(store.pipeline(&found.name))?,
            None => None,
        };
        let plan = compiled.map(|(_, compiled)| compiled.plan);
        let paused_because = record.as_ref().and_then(|record| record.paused_because.clone());
        let paused = record.is_some_and(|r| r.paused) || plan.as_ref().is_some_and(|plan| plan.paused);
        let next_tick = plan.as_ref().and_then(|plan| next_tick(plan, now));
        let last = last.remove(&found.name);
        listed.push(Listed { found, plan, paused, paused_because, next_tick, last });
    }
    if listed.is_empty() {
        context.output.talk(&format!("no file of {} defines a pipeline", folder.root.display()));
        context.output.talk("'cauce init DIR' makes a small project; other folders: cd there first");
    }
    tell(&listed, &folder, context)?;
    Ok(Exit::Good)
}

/// The newest run of each pipeline.
pub(super) async fn newest(store: &Store) -> Result<BTreeMap<String, RunRecord>, Failure> {
    let mut last: BTreeMap<String, RunRecord> = BTreeMap::new();
    store.runs(None, |run| drop(last.insert(run.run.pipeline.clone(), run))).await?;
    Ok(last)
}

fn tell(listed: &[Listed], folder: &ProjectFolder, context: &Context) -> Result<(), Failure> {
    if context.json {
        let documents: Vec<_> = listed
            .iter()
            .map(|one| {
                json!({
                    "pipeline": one.found.name,
                    "file": one.found.path,
                    "ok": one.plan.is_some(),
                    "tasks": one.plan.as_ref().map(|plan| plan.tasks.len()),
                    "next_tick": one.next_tick.as_ref().map(|(at, _)| at),
                    "paused": one.paused,
                    "paused_because": one.paused_because,
                    "last_run": one.last.as_ref().map(summary),
                })
            })
            .collect();
        return context
            .output
            .json(&json!({"schema": 1, "project": folder.project.project, "pipelines": documents}));
    }
    if listed.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["PIPELINE", "FILE", "TASKS", "NEXT TICK", "LAST RUN", "STATUS"]);
    for one in listed {
        let next = match (&one.plan, &one.next_tick) {
            (None, _) => "does not pass 'cauce check'".to_owned(),
            (Some(_), _) if one.paused => "paused".to_owned(),
            (Some(_), Some((at, zone))) => local(*at, zone),
            (Some(_), None) => "-".to_owned(),
        };
        table.row([
            one.found.name.as_str().into(),
            project::shown(&one.found.path, context).into(),
            one.plan.as_ref().map_or_else(|| "-".to_owned(), |plan| plan.tasks.len().to_string()).into(),
            next.into(),
            one.last.as_ref().map_or("-", |run| run.run.run_id.as_str()).into(),
            Cell::status(one.last.as_ref().map_or("-", |run| run.status.as_str())),
        ]);
    }
    context.output.table(&table)?;
    for one in listed {
        if let Some(because) = &one.paused_because {
            say_paused(&one.found.name, because, "", context);
        }
    }
    Ok(())
}

/// Why a pipeline is paused that no person paused, and how it goes on.
pub(super) fn say_paused(pipeline: &str, because: &str, env: &str, context: &Context) {
    context.output.talk(&format!("{pipeline} is paused: {because}; cauce unpause {pipeline}{env}"));
}
