//! `cauce run` and `cauce backfill`: runs that begin.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::Path;

use cauce_engine::command::{Again, Existing, Trigger};
use cauce_engine::trigger::{NewRun, of_interval};
use cauce_engine::{Command, Reply};
use cauce_host::{HostError, Outcome};
use cauce_local::state::RunLock;
use cauce_model::ids::RunRef;
use cauce_model::plan::Plan;
use cauce_model::record::{
    Record, RunRecord, TASK_PREFIX, TaskRecord, TriggerRecord, run_item, run_partition,
};
use cauce_model::{Json, RunKey, RunStatus, TriggerKind};
use cauce_ports::{Clock, Table};

use crate::args::{BackfillArgs, ExistingRuns, RunArgs};
use crate::commands::show::{document, tasks};
use crate::context::Context;
use crate::engine::assemble::{Local, deployment, local, register, resize, started_pipelines};
use crate::engine::dates::{self, new_run};
use crate::engine::simulate;
use crate::engine::watch::Watching;
use crate::engine::world::Watch;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table as Shown, Tone};
use crate::project::{self, Loaded};
use crate::store::Store;

/// `cauce run`
pub(crate) fn run(args: &RunArgs, context: &Context) -> Result<Exit, Failure> {
    let loaded = project::load(&args.file, context)?;
    let plan = &loaded.compiled.plan;
    check_task(plan, args.only.as_deref())?;
    let params = dates::params(&plan.params, &args.params, args.params_file.as_deref(), context)?;
    let now = cauce_local::clock::SystemClock.now();
    let new = new_run(plan, args.logical_date.as_deref(), args.interval.as_deref(), now)?;
    if args.dry_run {
        return simulate::dry_run(&loaded, args, new, params, context);
    }
    let request = Request {
        new,
        params: Some(params),
        kind: TriggerKind::Manual,
        existing: Existing::Next(Again::All),
        only: args.only.clone(),
    };
    let (watch, progress) = Watching::new(context);
    progress.plan(plan);
    let local = prepare(&loaded, context, args.host_credentials, watch)?;
    context.block_on(async {
        let (name, _lock) = claim(&local, &loaded.compiled.plan.pipeline, &request).await?;
        if let Some(known) = find_run(&local, &name.key()).await? {
            if !known.status.is_terminal() {
                return Err(Failure::bad_input(format!("{name} was interrupted"))
                    .help(format!("go on with it: cauce resume {name}")));
            }
            context.output.talk(&format!(
                "{name} ended before ({}); this is generation {}, with all tasks",
                known.status,
                known.generation + 1
            ));
        }
        trigger(&local, &loaded, request, context).await?;
        progress.begin(std::slice::from_ref(&name));
        let outcome = drive(&local, std::slice::from_ref(&name), Some(&progress)).await;
        finish(&local, &[name], outcome, &progress, context).await
    })
}

/// What a run is triggered with.
pub(crate) struct Request {
    pub(crate) new: NewRun,
    pub(crate) params: Option<Json>,
    pub(crate) kind: TriggerKind,
    pub(crate) existing: Existing,
    pub(crate) only: Option<String>,
}

pub(crate) fn check_task(plan: &Plan, task: Option<&str>) -> Result<(), Failure> {
    let Some(task) = task else { return Ok(()) };
    if plan.index_of(task).is_some() {
        return Ok(());
    }
    let failure = Failure::bad_input(format!("the pipeline {} has no task '{task}'", plan.pipeline));
    Err(match crate::suggest::nearest(task, plan.tasks.iter().map(|t| t.name.as_str())) {
        Some(near) => failure.help(format!("did you mean '{near}'?")),
        None => failure,
    })
}

/// A host with a pipeline and those that it starts.
pub(crate) fn prepare(
    loaded: &Loaded,
    context: &Context,
    host_credentials: bool,
    watch: Watch,
) -> Result<Local, Failure> {
    let local = local(&loaded.folder, context, host_credentials, watch)?;
    let others = started_pipelines(&loaded.compiled.plan, &loaded.folder, context)?;
    context.block_on(async {
        execute(&local, &resize(&loaded.folder)).await?;
        for compiled in others.iter().chain([&loaded.compiled]) {
            register(&local, &compiled.plan, &loaded.folder);
            local.host.deploy(&deployment(compiled)?).await?;
        }
        Ok(())
    })?;
    Ok(local)
}

async fn claim(local: &Local, pipeline: &str, request: &Request) -> Result<(RunRef, RunLock), Failure> {
    let name = RunRef { pipeline: pipeline.to_owned(), run_id: request.new.run_id.clone() };
    let lock = local.state.lock_run(&name.key(), &name.to_string())?;
    Ok((name, lock))
}

/// The run that a person means.
pub(crate) fn resolve(named: &str, context: &Context) -> Result<(RunRef, RunRecord), Failure> {
    let store = Store::require(context)?;
    let run = context.block_on(store.find(named))?;
    Ok((run.run.clone(), run))
}

/// A run's record.
pub(crate) async fn find_run(local: &Local, key: &RunKey) -> Result<Option<RunRecord>, Failure> {
    let item = local.host.world().table.get(&run_item(key)).await?;
    Ok(item.as_ref().map(RunRecord::from_item).transpose()?)
}

/// The records of a run's tasks and of the items of its mapped ones.
pub(crate) async fn find_tasks(local: &Local, key: &RunKey) -> Result<Vec<TaskRecord>, Failure> {
    let mut tasks = Vec::new();
    let mut after = None;
    loop {
        let page = local.host.world().table.query(&run_partition(key), TASK_PREFIX, after, 1000).await?;
        for item in &page.items {
            tasks.push(TaskRecord::from_item(item)?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(tasks);
        }
    }
}

/// Brings a run into being and starts it.
pub(crate) async fn trigger(
    local: &Local,
    loaded: &Loaded,
    request: Request,
    context: &Context,
) -> Result<(), Failure> {
    let by = Some(context.environment.by());
    let command = Command::Trigger(Box::new(Trigger {
        pipeline: loaded.compiled.plan.pipeline.clone(),
        version: loaded.compiled.version().to_owned(),
        run_id: request.new.run_id,
        trigger: TriggerRecord { kind: request.kind, by, detail: Json::Null },
        params: request.params,
        logical_date: request.new.logical_date,
        data_interval: request.new.data_interval,
        timezone: request.new.timezone,
        scheduled_at: request.new.scheduled_at,
        existing: request.existing,
        only: request.only,
        force: false,
        latest: false,
        start: true,
    }));
    execute(local, &command).await.map(|_| ())
}

/// Carries out a command; a refusal is bad input.
pub(crate) async fn execute(local: &Local, command: &Command) -> Result<Json, Failure> {
    match local.host.execute(command).await? {
        Reply::Ok(result) => Ok(result),
        Reply::None => Ok(Json::Null),
        Reply::Failure { error, cause } if error == cauce_model::names::UNAVAILABLE => {
            Err(Failure::system(cause))
        }
        Reply::Failure { cause, .. } => Err(Failure::bad_input(cause)),
    }
}

/// Runs everything under way to its end, or until a signal.
pub(crate) async fn drive(
    local: &Local,
    names: &[RunRef],
    progress: Option<&Watching>,
) -> Result<Outcome, HostError> {
    let outcome = tokio::select! {
        biased;
        outcome = local.host.run(signalled()) => outcome,
        never = ticks(progress) => match never {},
        never = heed_cancels(local, names) => match never {},
    };
    // Also after a failure of the store: programs do not outlive their engine.
    if !matches!(outcome, Ok(Outcome::Reached)) {
        local.host.world().processes.stop_all("the engine was told to stop").await;
    }
    outcome
}

/// How often a display looks at the clock.
const TICK: std::time::Duration = std::time::Duration::from_millis(100);

/// Lets a display draw itself, for ever.
async fn ticks(progress: Option<&Watching>) -> Infallible {
    let Some(progress) = progress else { return std::future::pending().await };
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        progress.tick();
    }
}

/// How often an engine looks whether somebody asked for the end of one of its runs.
const HEED: std::time::Duration = std::time::Duration::from_secs(1);

/// Carries out what `cauce cancel` of another process has asked of these runs, for ever.
async fn heed_cancels(local: &Local, names: &[RunRef]) -> Infallible {
    let mut interval = tokio::time::interval(HEED);
    let mut heeded = BTreeSet::new();
    loop {
        interval.tick().await;
        for key in names.iter().map(RunRef::key) {
            // A store that cannot be read stops the run by itself; here it is only asked again.
            let Ok(Some(run)) = find_run(local, &key).await else { continue };
            let Some(cancel) = run.cancel.filter(|_| !run.status.is_terminal() && !heeded.contains(&key))
            else {
                continue;
            };
            let command = Command::Cancel { run_key: key.clone(), reason: cancel.reason };
            if local.host.execute(&command).await.is_ok() {
                heeded.insert(key);
            }
        }
    }
}

/// Ends at SIGINT, SIGTERM or SIGHUP.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let of = |kind| signal(kind);
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
        (of(SignalKind::interrupt()), of(SignalKind::terminate()), of(SignalKind::hangup()))
    else {
        // Without handlers the signals keep their own meaning.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Tells how runs ended.
pub(crate) async fn finish(
    local: &Local,
    names: &[RunRef],
    outcome: Result<Outcome, HostError>,
    progress: &Watching,
    context: &Context,
) -> Result<Exit, Failure> {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            progress.end();
            let help = names.first().map(|name| format!("mend that, then go on: cauce resume {name}"));
            let failure = Failure::from(error);
            return Err(match help {
                Some(help) => failure.help(help),
                None => failure,
            });
        }
    };
    progress.end();
    if outcome == Outcome::Stopped {
        for name in names {
            if find_run(local, &name.key()).await?.is_some_and(|run| !run.status.is_terminal()) {
                context.output.talk(&format!("interrupted; go on with: cauce resume {name}"));
            }
        }
        return Ok(Exit::Interrupted);
    }
    let mut exit = Exit::Good;
    let mut documents = Vec::new();
    let store = Store::at(local.state.clone())?;
    for name in names {
        let view = store.view(store.run(name).await?).await?;
        let (status, message) = (view.run.status, view.run.message.clone());
        let good = matches!(status, RunStatus::Success | RunStatus::Skipped);
        if !good {
            exit = Exit::RunFailed;
        }
        if context.json {
            documents.push(document(&view, &store).await?);
            continue;
        }
        if names.len() == 1 {
            context.output.table(&tasks(&view))?;
            if let Some(message) = message.filter(|_| !good) {
                context.output.talk(&format!("{name} {status}: {message}"));
                context.output.talk(&format!("why: cauce why {name}; again: cauce rerun {name}"));
            }
        }
    }
    if context.json {
        match documents.len() {
            1 => context.output.json(&documents[0])?,
            _ => context.output.json(&documents)?,
        }
    }
    Ok(exit)
}

/// `cauce backfill`
pub(crate) fn backfill(args: &BackfillArgs, context: &Context) -> Result<Exit, Failure> {
    let loaded = find(&args.pipeline, context)?;
    let plan = &loaded.compiled.plan;
    let params = dates::params(&plan.params, &args.params, None, context)?;
    let dating = dates::dating(plan)?;
    let (from, to) = (dates::date(&args.from)?, dates::date(&args.to)?);
    if to < from {
        return Err(Failure::bad_input(format!("the range ends ({to}) before it starts ({from})")));
    }
    let mut news: Vec<NewRun> = dating
        .intervals_between(from, to)
        .into_iter()
        .map(|interval| of_interval(&dating, interval))
        .collect();
    if news.is_empty() {
        return Err(Failure::bad_input(format!(
            "no data interval of {} starts from {from} to {to}",
            plan.pipeline
        )));
    }
    if args.reverse {
        news.reverse();
    }
    let (watch, progress) = Watching::new(context);
    progress.plan(plan);
    let local = prepare(&loaded, context, args.host_credentials, watch)?;
    if let Some(most) = args.max_active {
        // The word of the caller, for this process: the plan's version stays what it is.
        let mut plan = plan.clone();
        plan.max_active_runs = most;
        let prepared = cauce_engine::Prepared::new(plan, loaded.compiled.version());
        local.host.driver().plans().keep(std::sync::Arc::new(prepared));
    }
    context.block_on(async {
        let mut names = Vec::new();
        let mut locks = Vec::new();
        let mut table = Shown::new(["run", "data from", "data to", "what"]);
        for new in news {
            let name = RunRef { pipeline: plan.pipeline.clone(), run_id: new.run_id.clone() };
            let known = find_run(&local, &name.key()).await?;
            let (what, existing) = choose(known.as_ref(), args.existing);
            let at = |instant: cauce_model::Instant| Cell::new(cauce_engine::moment(instant), Tone::Plain);
            table.row([
                Cell::new(name.to_string(), Tone::Plain),
                at(new.data_interval.0),
                at(new.data_interval.1),
                Cell::new(what, Tone::Plain),
            ]);
            let Some(existing) = existing else { continue };
            if args.dry_run {
                continue;
            }
            locks.push(local.state.lock_run(&name.key(), &name.to_string())?);
            let request = Request {
                new,
                params: Some(params.clone()),
                kind: TriggerKind::Backfill,
                existing,
                only: None,
            };
            trigger(&local, &loaded, request, context).await?;
            names.push(name);
        }
        if args.dry_run {
            context.output.table(&table)?;
            return Ok(Exit::Good);
        }
        progress.begin(&names);
        let outcome = drive(&local, &names, Some(&progress)).await;
        let exit = finish(&local, &names, outcome, &progress, context).await?;
        if !context.json {
            summary(&local, &names, context).await?;
        }
        drop(locks);
        Ok(exit)
    })
}

/// What a backfill does about a run.
fn choose(known: Option<&RunRecord>, existing: ExistingRuns) -> (String, Option<Existing>) {
    let Some(run) = known else { return ("new".to_owned(), Some(Existing::Refuse)) };
    let next = |again: Again| Existing::Next(again);
    if !run.status.is_terminal() {
        // Interrupted, or another process's: its lock tells.
        return (format!("{}: resumed", run.status), Some(Existing::Resume));
    }
    let good = matches!(run.status, RunStatus::Success | RunStatus::Skipped);
    match existing {
        ExistingRuns::All => (format!("{}: again, all tasks", run.status), Some(next(Again::All))),
        ExistingRuns::Failed if !good => {
            (format!("{}: again, from its failed tasks", run.status), Some(next(Again::Failed)))
        }
        _ => (format!("{}: kept", run.status), None),
    }
}

async fn summary(local: &Local, names: &[RunRef], context: &Context) -> Result<(), Failure> {
    let mut table = Shown::new(["run", "status", "seconds", "note"]);
    for name in names {
        let Some(run) = find_run(local, &name.key()).await? else { continue };
        let seconds = match (run.started_at, run.ended_at) {
            (Some(from), Some(to)) => format!("{:.1}", to.micros_since(from) as f64 / 1e6),
            _ => String::new(),
        };
        table.row([
            Cell::new(name.to_string(), Tone::Plain),
            Cell::status(run.status.as_str()),
            Cell::new(seconds, Tone::Plain),
            Cell::new(run.message.unwrap_or_default(), Tone::Faint),
        ]);
    }
    context.output.table(&table)
}

/// A pipeline by its file, or by its name in the project around the current folder.
fn find(pipeline: &str, context: &Context) -> Result<Loaded, Failure> {
    let path = Path::new(pipeline);
    if context.absolute(path).is_file() || pipeline.contains(['/', '.']) {
        return project::load(path, context);
    }
    let folder = project::ProjectFolder::around(&context.environment.current_dir, context)?;
    project::find_pipeline(pipeline, &folder, context)
}

/// Every task of a plan by name: those without a record have not been reached.
pub(crate) fn by_name(tasks: &[TaskRecord]) -> BTreeMap<&str, &TaskRecord> {
    tasks.iter().filter(|task| task.index.is_none()).map(|task| (task.task.as_str(), task)).collect()
}
