//! `cauce backfill`: a run for every data interval of a range of dates.

use std::path::Path;
use std::sync::Arc;

use cauce_compiler::forecast::Forecast;
use cauce_driver::ask::{Request, Version};
use cauce_engine::Prepared;
use cauce_engine::command::{Again, Existing};
use cauce_engine::trigger::{NewRun, of_interval};
use cauce_model::ids::RunRef;
use cauce_model::matrix::RunItem;
use cauce_model::record::{PipelineRecord, RunRecord, TriggerRecord};
use cauce_model::{Json, TriggerKind};
use cauce_spec::Items;

use crate::args::{BackfillArgs, ExistingRuns};
use crate::context::Context;
use crate::engine::actor::Actor;
use crate::engine::dates;
use crate::engine::follow::{deployed, settle};
use crate::engine::item::{self, Chosen};
use crate::engine::start::{drive, finish, prepare};
use crate::engine::watch::Watching;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table as Shown, Tone};
use crate::project::{self, Loaded};

/// What is to be run, and who decides about it.
struct Target {
    actor: Actor,
    prepared: Arc<Prepared>,
    /// What is deployed, where the runs are made there.
    record: Option<PipelineRecord>,
    progress: Watching,
    /// Of the file, where the version that runs was compiled from it.
    forecast: Option<Forecast>,
    /// Of the file's matrix.
    items: Option<Items>,
}

/// `cauce backfill`
pub(crate) fn backfill(args: &BackfillArgs, context: &Context) -> Result<Exit, Failure> {
    let target = match context.there()? {
        Some(there) => target_there(args, Actor::There(there), context)?,
        None => target_here(args, context)?,
    };
    let plan = &target.prepared.plan;
    let params = dates::params(&plan.params, &args.params, None, context)?;
    let news = news(args, plan, &target, context)?;
    if plan.schedules.len() > 1 && plan.matrix.is_none() {
        // The others' runs have their own dates.
        context.output.talk(&format!(
            "{} has {} schedules; these are the data intervals of the first",
            plan.pipeline,
            plan.schedules.len()
        ));
    }
    context.block_on(async {
        let actor = &target.actor;
        let mut names = Vec::new();
        let by = if args.dry_run { String::new() } else { actor.by(context).await? };
        let mut table = Shown::new(["RUN", "DATA FROM", "DATA TO", "WHAT"]);
        for (new, item) in news {
            let request = Request {
                new,
                params: Some(params.clone()),
                trigger: TriggerRecord {
                    kind: TriggerKind::Backfill,
                    by: Some(by.clone()),
                    detail: Json::Null,
                    item,
                },
                existing: Existing::Refuse,
                only: None,
            };
            let name = request.name(&plan.pipeline);
            let known = actor.find_run(&name.key()).await?;
            let (what, existing) = choose(known.as_ref(), args.existing, matches!(actor, Actor::There(_)));
            let at = |instant: cauce_model::Instant| Cell::new(cauce_engine::moment(instant), Tone::Plain);
            table.row([
                Cell::new(name.to_string(), Tone::Plain),
                at(request.new.data_interval.0),
                at(request.new.data_interval.1),
                Cell::new(what, Tone::Plain),
            ]);
            let Some(existing) = existing else { continue };
            if !args.dry_run {
                actor.claim(&name)?;
                let request = Request { existing, ..request };
                let version = match &target.record {
                    Some(record) => Version::deployed(record, &name.run_id),
                    None => Version::only(&target.prepared.version),
                };
                actor.execute(&request.command(&plan.pipeline, &version)).await?;
            }
            names.push(name);
        }
        if args.dry_run {
            context.output.table(&table)?;
            price(&target, names.len(), context);
            return Ok(Exit::Good);
        }
        let exit = match actor {
            Actor::There(_) => {
                if names.is_empty() {
                    context.output.talk("nothing to run: every run of the range is kept as it is");
                }
                settle(actor, &names, plan, args.wait, context).await?
            }
            Actor::Here(local) => {
                target.progress.begin(&names);
                let outcome = drive(local, &names, Some(&target.progress)).await;
                finish(local, &names, outcome, &target.progress, context).await?
            }
        };
        let is_over = args.wait || matches!(actor, Actor::Here(_));
        if is_over && !context.json {
            summary(actor, &names, context).await?;
        }
        Ok(exit)
    })
}

fn target_here(args: &BackfillArgs, context: &Context) -> Result<Target, Failure> {
    let loaded = find(&args.pipeline, context)?;
    let compiled = &loaded.compiled;
    let (watch, progress) = Watching::new(context);
    progress.plan(&compiled.plan);
    let local = prepare(&loaded, context, args.host_credentials, watch)?;
    let mut plan = compiled.plan.clone();
    if let Some(most) = args.max_active {
        // The word of the caller, for this process: the plan's version stays what it is.
        plan.max_active_runs = most;
    }
    let prepared = Arc::new(Prepared::new(plan, compiled.version()));
    local.host.driver().plans().keep(Arc::clone(&prepared));
    let forecast = Some(compiled.forecast.clone());
    Ok(Target {
        actor: Actor::Here(Box::new(local)),
        prepared,
        record: None,
        progress,
        forecast,
        items: loaded.items,
    })
}

fn target_there(args: &BackfillArgs, actor: Actor, context: &Context) -> Result<Target, Failure> {
    if args.max_active.is_some() {
        return Err(Failure::bad_input("--max-active cannot change what is deployed")
            .help("the pipeline's own max_active_runs holds; change it in its file and deploy"));
    }
    if args.host_credentials {
        return Err(
            Failure::bad_input("--host-credentials is for tasks of this machine").help("leave it out")
        );
    }
    let pipeline = match Path::new(&args.pipeline) {
        path if context.absolute(path).is_file() => project::load(path, context)?.compiled.plan.pipeline,
        _ => args.pipeline.clone(),
    };
    let (prepared, record) = context.block_on(async {
        let record = deployed(&actor.store()?, &pipeline, context).await?;
        Ok((actor.plan(&record.pipeline, &record.version).await?, record))
    })?;
    let forecast = forecast_of_file(&prepared, context);
    let (_, progress) = Watching::new(context);
    progress.plan(&prepared.plan);
    Ok(Target { actor, prepared, record: Some(record), progress, forecast, items: None })
}

/// The forecast of the file, if it compiles to the very version that is deployed.
fn forecast_of_file(prepared: &Prepared, context: &Context) -> Option<Forecast> {
    let here = &context.environment.current_dir;
    let folder = project::ProjectFolder::around(here, context).ok()?;
    let found = folder.pipelines().ok()?.into_iter().find(|found| found.name == prepared.plan.pipeline)?;
    let (_, compiled) = project::compiled(&found.path, &folder, context).ok()??;
    (compiled.version() == prepared.version).then_some(compiled.forecast)
}

/// The runs of the range, in the order in which they start.
fn news(
    args: &BackfillArgs,
    plan: &cauce_model::plan::Plan,
    target: &Target,
    context: &Context,
) -> Result<Vec<(NewRun, Option<RunItem>)>, Failure> {
    let mut keys: Vec<Option<&str>> = args.items.iter().map(|key| Some(key.as_str())).collect();
    if keys.is_empty() {
        keys.push(None);
    }
    let mut news = Vec::new();
    for key in keys {
        let chosen = match &target.actor {
            Actor::Here(_) => item::of_file(plan, target.items.as_ref(), key)?,
            Actor::There(_) => context.block_on(item::stored(plan, &target.actor, key))?,
        };
        news.extend(of_item(args, plan, chosen.as_ref())?);
    }
    // Day after day, the items of each beside each other.
    news.sort_by_key(|(new, _)| new.logical_date);
    if args.reverse {
        news.reverse();
    }
    Ok(news)
}

/// The runs of an item, or of a pipeline without items.
fn of_item(
    args: &BackfillArgs,
    plan: &cauce_model::plan::Plan,
    chosen: Option<&Chosen>,
) -> Result<Vec<(NewRun, Option<RunItem>)>, Failure> {
    let dating = item::dating(plan, chosen)?;
    let (from, to) = (dates::date(&args.from)?, dates::date(&args.to)?);
    if to < from {
        return Err(Failure::bad_input(format!("the range ends ({to}) before it starts ({from})")));
    }
    let intervals = dating.intervals_between(from, to).into_iter();
    let named = |interval| {
        let mut new = of_interval(&dating, interval);
        if let Some(chosen) = chosen {
            new.run_id = format!("{}-{}", chosen.item.key, new.run_id);
        }
        (new, chosen.map(|chosen| chosen.item.clone()))
    };
    let news: Vec<(NewRun, Option<RunItem>)> = intervals.map(named).collect();
    if news.is_empty() {
        return Err(Failure::bad_input(format!(
            "no data interval of {} starts from {from} to {to}",
            plan.pipeline
        )));
    }
    Ok(news)
}

/// What a backfill does about a run.
fn choose(known: Option<&RunRecord>, existing: ExistingRuns, there: bool) -> (String, Option<Existing>) {
    let Some(run) = known else { return ("new".to_owned(), Some(Existing::Refuse)) };
    let next = |again: Again| Existing::Next(again);
    if !run.status.is_terminal() {
        return match there {
            // It goes on by itself.
            true => (format!("{}: left alone", run.status), None),
            // Interrupted, or another process's: its lock tells.
            false => (format!("{}: resumed", run.status), Some(Existing::Resume)),
        };
    }
    let good = matches!(run.status, cauce_model::RunStatus::Success | cauce_model::RunStatus::Skipped);
    match existing {
        ExistingRuns::All => (format!("{}: again, all tasks", run.status), Some(next(Again::All))),
        ExistingRuns::Failed if !good => {
            (format!("{}: again, from its failed tasks", run.status), Some(next(Again::Failed)))
        }
        _ => (format!("{}: kept", run.status), None),
    }
}

/// What the runs would cost on AWS, orchestration alone.
fn price(target: &Target, runs: usize, context: &Context) {
    // Here it costs nothing; what it would cost there is worth knowing all the same.
    let place = if matches!(target.actor, Actor::There(_)) { "" } else { "on AWS " };
    match &target.forecast {
        Some(forecast) => context.output.talk(&format!(
            "{runs} of them would run: {place}about {:.5} USD of orchestration each, {:.4} USD in all, at list \
             prices; what tasks themselves cost is not in it",
            forecast.price.run_usd,
            forecast.price.run_usd * runs as f64
        )),
        None => context.output.talk(&format!(
            "{runs} of them would run; no price, since no file here compiles to the deployed version"
        )),
    }
}

async fn summary(actor: &Actor, names: &[RunRef], context: &Context) -> Result<(), Failure> {
    let mut table = Shown::new(["RUN", "STATUS", "SECONDS", "NOTE"]);
    for name in names {
        let Some(run) = actor.find_run(&name.key()).await? else { continue };
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
