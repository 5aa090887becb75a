//! `cauce run`: a run that begins on this machine, and how runs are driven here and told of.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use cauce_driver::DriverError;
use cauce_driver::ask::{Request, Version};
use cauce_engine::Command;
use cauce_engine::command::{Again, Existing};
use cauce_host::{HostError, Outcome};
use cauce_model::ids::RunRef;
use cauce_model::plan::Plan;
use cauce_model::record::{Record, RunRecord, TaskRecord, TriggerRecord, run_item};
use cauce_model::{Json, RunStatus, TriggerKind};
use cauce_ports::{Clock, Table as _, with_sources};

use crate::args::RunArgs;
use crate::commands::show::tasks;
use crate::context::Context;
use crate::engine::actor::{accept, find_run};
use crate::engine::assemble::{Local, deployment, local, shared, started_pipelines};
use crate::engine::consumers::{subscribe_all, tell_updates, updates};
use crate::engine::dates::{self, new_run};
use crate::engine::item;
use crate::engine::simulate;
use crate::engine::watch::Watching;
use crate::engine::world::Watch;
use crate::error::{Exit, Failure};
use crate::project::{self, Loaded};
use crate::store::Store;

/// `cauce run`
pub(crate) fn run(args: &RunArgs, context: &Context) -> Result<Exit, Failure> {
    let loaded = project::load(&args.file, context)?;
    let plan = &loaded.compiled.plan;
    check_task(plan, args.only.as_deref())?;
    let params = dates::params(&plan.params, &args.params, args.params_file.as_deref(), context)?;
    let now = cauce_local::clock::SystemClock.now();
    let chosen = item::of_file(plan, loaded.items.as_ref(), args.item.as_deref())?;
    let new = new_run(plan, chosen.as_ref(), args.logical_date.as_deref(), args.interval.as_deref(), now)?;
    let item = chosen.map(|chosen| chosen.item);
    if args.dry_run {
        return simulate::dry_run(&loaded, args, (new, item), params, context);
    }
    let request = Request {
        new,
        params: Some(params),
        trigger: TriggerRecord {
            kind: TriggerKind::Manual,
            by: Some(context.environment.by()),
            detail: Json::Null,
            item,
        },
        existing: Existing::Next(Again::All),
        only: args.only.clone(),
    };
    let (watch, progress) = Watching::new(context);
    progress.plan(plan);
    let local = prepare(&loaded, context, args.host_credentials, watch)?;
    context.block_on(async {
        let name = request.name(&plan.pipeline);
        local.claim(&name)?;
        if let Some(known) = find_run(&local.host.world().table, &name.key()).await? {
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
        let command = request.command(&plan.pipeline, &Version::only(loaded.compiled.version()));
        accept(local.host.execute(&command).await?)?;
        progress.begin(std::slice::from_ref(&name));
        let outcome = drive(&local, std::slice::from_ref(&name), Some(&progress)).await;
        finish(&local, &[name], outcome, &progress, context).await
    })
}

pub(crate) fn check_task(plan: &Plan, task: Option<&str>) -> Result<(), Failure> {
    let Some(task) = task else { return Ok(()) };
    if plan.index_of(task).is_some() {
        return Ok(());
    }
    let failure = Failure::bad_input(format!("the pipeline {} has no task '{task}'", plan.pipeline));
    Err(match crate::suggest::nearest(task, plan.tasks.iter().map(|t| t.name.as_str())) {
        Some(near) => failure.help(format!("did you mean '{near}'?")),
        None => {
            let known: Vec<&str> = plan.tasks.iter().map(|task| task.name.as_str()).collect();
            failure.help(format!("its tasks are {}", known.join(", ")))
        }
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
        for command in shared(&loaded.folder) {
            accept(local.host.execute(&command).await?)?;
        }
        for compiled in others.iter().chain([&loaded.compiled]) {
            local.host.deploy(&deployment(compiled)?).await?;
        }
        if others.iter().chain([&loaded.compiled]).any(|compiled| updates(&compiled.plan)) {
            subscribe_all(&local, &loaded.folder, context).await?;
        }
        Ok(())
    })?;
    Ok(local)
}

/// Makes a pipeline known to this machine's store, as its first run would.
pub(crate) async fn deploy_here(local: &Local, loaded: &Loaded) -> Result<(), Failure> {
    Ok(local.host.deploy(&deployment(&loaded.compiled)?).await?)
}

/// The run that a person means.
pub(crate) fn resolve(named: &str, context: &Context) -> Result<(RunRef, RunRecord), Failure> {
    let store = Store::require(context)?;
    let run = context.block_on(store.find(named))?;
    Ok((run.run.clone(), run))
}

/// Runs everything under way to its end, or until a signal.
pub(crate) async fn drive(
    local: &Local,
    names: &[RunRef],
    progress: Option<&Watching>,
) -> Result<Outcome, HostError> {
    let given = give_back(local, names).await;
    given.map_err(|error| HostError::Fatal(with_sources(&error)))?;
    let outcome = tokio::select! {
        biased;
        outcome = local.host.run(signalled()) => outcome,
        never = ticks(progress) => match never {},
        never = heed_cancels(local) => match never {},
    };
    // Also after a failure of the store: programs do not outlive their engine.
    if !matches!(outcome, Ok(Outcome::Reached)) {
        local.host.world().processes.stop_all("the engine was told to stop").await;
    }
    outcome
}

/// Gives back what engines that were killed held of the pools of these runs' pipelines: nobody else does, and
/// these runs would wait until somebody in line looks for the dead.
async fn give_back(local: &Local, names: &[RunRef]) -> Result<(), DriverError> {
    let mut plans = BTreeMap::new();
    for name in names {
        if plans.contains_key(&name.pipeline) {
            continue;
        }
        let item = local.host.world().table.get(&run_item(&name.key())).await?;
        let Some(run) = item.as_ref().map(RunRecord::from_item).transpose()? else { continue };
        let plan = local.host.driver().plan(&run.run.pipeline, &run.version).await?;
        local.host.give_back(&plan.plan).await?;
        plans.insert(&name.pipeline, plan);
    }
    Ok(())
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

/// Carries out what `cauce cancel` of another process has asked of the runs under way here, for ever.
async fn heed_cancels(local: &Local) -> Infallible {
    let mut interval = tokio::time::interval(HEED);
    let mut heeded = BTreeSet::new();
    loop {
        interval.tick().await;
        for key in local.host.driven() {
            // A store that cannot be read stops the run by itself; here it is only asked again.
            let Ok(Some(run)) = find_run(&local.host.world().table, &key).await else { continue };
            let is_due = !run.status.is_terminal() || run.awaits_refusal();
            let generation = run.generation;
            let is_new = !heeded.contains(&(key.clone(), generation));
            let Some(cancel) = run.cancel.filter(|_| is_due && is_new) else { continue };
            let command = Command::Cancel {
                run_key: key.clone(),
                generation: Some(generation),
                reason: cancel.reason,
                by: cancel.by,
            };
            if local.host.execute(&command).await.is_ok() {
                heeded.insert((key, generation));
            }
        }
    }
}

/// Ends at SIGINT, SIGTERM or SIGHUP.
pub(crate) async fn signalled() {
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
            if find_run(&local.host.world().table, &name.key())
                .await?
                .is_some_and(|run| !run.status.is_terminal())
            {
                context.output.talk(&format!("interrupted; go on with: cauce resume {name}"));
            }
        }
        return Ok(Exit::Interrupted);
    }
    let exit = conclude(&Store::at(local.state.clone())?, names, context).await?;
    tell_updates(local, names, context).await?;
    Ok(exit)
}

/// Tells how runs ended that have, wherever they ran.
pub(crate) async fn conclude(store: &Store, names: &[RunRef], context: &Context) -> Result<Exit, Failure> {
    let mut exit = Exit::Good;
    let mut documents = Vec::new();
    for name in names {
        let view = store.view(store.run(name).await?).await?;
        let (status, message) = (view.run.status, view.run.message.clone());
        let good = matches!(status, RunStatus::Success | RunStatus::Skipped);
        if !good {
            exit = Exit::RunFailed;
        }
        if context.json {
            documents.push(store.document(&view).await?);
            continue;
        }
        if names.len() == 1 {
            context.output.table(&tasks(&view))?;
            if let Some(message) = message {
                context.output.talk(&format!("{name} {status}: {message}"));
                let env = context.env_option();
                if !good || view.never_began() {
                    context
                        .output
                        .talk(&format!("why: cauce why {name}{env}; again: cauce rerun {name}{env}"));
                }
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

/// Every task of a plan by name: those without a record have not been reached.
pub(crate) fn by_name(tasks: &[TaskRecord]) -> BTreeMap<&str, &TaskRecord> {
    tasks.iter().filter(|task| task.index.is_none()).map(|task| (task.task.as_str(), task)).collect()
}
