//! `cauce resume` and `cauce rerun`: the next generation of a run that exists.

use std::future::Future;
use std::pin::Pin;

use cauce_driver::ask::{How, Version, next};
use cauce_engine::command::{Again, Existing};
use cauce_host::Deployment;
use cauce_local::state::RunLock;
use cauce_model::RunKey;
use cauce_model::ids::RunRef;
use cauce_model::record::RunRecord;

use crate::args::{RerunArgs, ResumeArgs};
use crate::context::Context;
use crate::engine::actor::{Actor, accept, find_run, find_tasks};
use crate::engine::assemble::{Local, deployment, local, register, resize, started_pipelines};
use crate::engine::follow::{deployed, settle};
use crate::engine::start::{check_task, drive, finish, resolve};
use crate::engine::watch::Watching;
use crate::error::{Exit, Failure};
use crate::project::{ProjectFolder, find_pipeline};

/// `cauce resume`
pub(crate) fn resume(args: &ResumeArgs, context: &Context) -> Result<Exit, Failure> {
    if context.there()?.is_some() {
        return Err(Failure::bad_input("'resume' is for runs of this machine, whose engine can be gone")
            .help(
                "there, Step Functions goes on by itself; a run that ended badly: cauce rerun RUN --env ENV",
            ));
    }
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let (name, run) = resolve(&args.run, context)?;
    if run.status.is_terminal() {
        return Err(Failure::bad_input(format!(
            "{name} has ended ({}): there is nothing to resume",
            run.status
        ))
        .help(format!("to run it again: cauce rerun {name}")));
    }
    go_on(&folder, &name, &run, None, args.host_credentials, context)
}

/// `cauce rerun`
pub(crate) fn rerun(args: &RerunArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let (name, run) = resolve(&args.run, context)?;
    if !run.status.is_terminal() {
        let failure = Failure::bad_input(format!("{name} is {}", run.status));
        return Err(match context.there()? {
            None => failure.help(format!("if its engine is gone, go on with: cauce resume {name}")),
            Some(there) => failure.help(format!(
                "wait until it has ended, or end it: cauce cancel {name}{}",
                there.env_option()
            )),
        });
    }
    let again = match (&args.task, &args.only) {
        (Some(task), _) => Again::Task { task: task.clone(), downstream: args.downstream },
        (None, Some(task)) => Again::Only { task: task.clone() },
        (None, None) => Again::Failed,
    };
    let selection = Selection { again, latest_version: args.latest_version, force: args.force };
    match context.there()? {
        Some(there) => again_there(Actor::There(there), &name, &run, selection, args.wait, context),
        None => go_on(&folder, &name, &run, Some(selection), args.host_credentials, context),
    }
}

/// The next generation in a deployed environment: decided here, run there.
fn again_there(
    actor: Actor,
    name: &RunRef,
    run: &RunRecord,
    selection: Selection,
    wait: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    context.block_on(async {
        let newest = match selection.latest_version {
            true => Some(deployed(&actor.store()?, &name.pipeline, context).await?),
            false => None,
        };
        let version = match &newest {
            Some(record) => Version::deployed(record, &name.run_id),
            None => Version::only(&run.version),
        };
        let plan = actor.plan(&name.pipeline, version.name).await?;
        if let Again::Task { task, .. } | Again::Only { task } = &selection.again {
            check_task(&plan.plan, Some(task))?;
        }
        let by = actor.by(context).await?;
        let existing = Existing::Next(selection.again);
        let how = How { force: selection.force, latest: selection.latest_version, start: true };
        let reply = actor.execute(&next(run, &version, existing, how, by)).await?;
        context.output.talk(&format!("{name}: generation {}", generation(&reply)));
        settle(&actor, std::slice::from_ref(name), &plan.plan, wait, context).await
    })
}

fn generation(reply: &cauce_model::Json) -> u64 {
    reply.get("generation").and_then(cauce_model::Json::as_u64).unwrap_or_default()
}

/// What a rerun runs.
struct Selection {
    again: Again,
    latest_version: bool,
    force: bool,
}

/// The next generation. Without a selection: of a run whose engine is gone.
fn go_on(
    folder: &ProjectFolder,
    name: &RunRef,
    run: &RunRecord,
    selection: Option<Selection>,
    host_credentials: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let latest = selection.as_ref().is_some_and(|selection| selection.latest_version);
    let newest = if latest { Some(find_pipeline(&name.pipeline, folder, context)?.compiled) } else { None };
    let (watch, progress) = Watching::new(context);
    let local = local(folder, context, host_credentials, watch)?;
    context.block_on(async {
        let mut locks = Vec::new();
        accept(local.host.execute(&resize(folder)).await?)?;
        let pinned: Deployment = match &newest {
            Some(compiled) => {
                let deployment = deployment(compiled)?;
                local.host.deploy(&deployment).await?;
                deployment
            }
            None => {
                let deployment = local.host.deployed(&name.pipeline, &run.version).await?;
                local.host.load(&deployment).await?;
                deployment
            }
        };
        progress.plan(&pinned.plan);
        register(&local, &pinned.plan, folder);
        for compiled in started_pipelines(&pinned.plan, folder, context)? {
            register(&local, &compiled.plan, folder);
            local.host.deploy(&deployment(&compiled)?).await?;
        }
        let existing = match &selection {
            None => {
                revive(&local, &name.key(), folder, &mut locks, context).await?;
                Existing::Resume
            }
            Some(selection) => {
                if let Again::Task { task, .. } | Again::Only { task } = &selection.again {
                    check_task(&pinned.plan, Some(task))?;
                }
                locks.push(local.state.lock_run(&name.key(), &name.to_string())?);
                Existing::Next(selection.again.clone())
            }
        };
        let force = selection.as_ref().is_some_and(|selection| selection.force);
        let how = How { force, latest, start: true };
        let command = next(run, &Version::only(&pinned.version), existing, how, context.environment.by());
        let reply = accept(local.host.execute(&command).await?)?;
        context.output.talk(&format!("{name}: generation {}", generation(&reply)));
        progress.begin(std::slice::from_ref(name));
        let outcome = drive(&local, std::slice::from_ref(name), Some(&progress)).await;
        let exit = finish(&local, std::slice::from_ref(name), outcome, &progress, context).await;
        drop(locks);
        exit
    })
}

/// Makes a run ready whose engine is gone: nobody else has it, no program of it is left, and the runs
/// that its tasks had started are in their next generation as well.
fn revive<'a>(
    local: &'a Local,
    key: &'a RunKey,
    folder: &'a ProjectFolder,
    locks: &'a mut Vec<RunLock>,
    context: &'a Context,
) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
    Box::pin(async move {
        let Some(run) = find_run(&local.host.world().table, key).await? else { return Ok(()) };
        locks.push(local.state.lock_run(key, &run.run.to_string())?);
        let survivors = local.host.world().processes.end_survivors(key).await;
        for program in survivors.map_err(|error| Failure::from_error(&error))? {
            context
                .output
                .talk(&format!("ended what was left of {} attempt {}", program.task, program.attempt));
        }
        for task in
            find_tasks(&local.host.world().table, key).await?.iter().filter(|task| !task.status.is_terminal())
        {
            let Some((pipeline, run_id)) = task.started_run.as_deref().and_then(|run| run.split_once('/'))
            else {
                continue;
            };
            let child = RunKey::new(pipeline, run_id);
            let Some(record) =
                find_run(&local.host.world().table, &child).await?.filter(|run| !run.status.is_terminal())
            else {
                continue;
            };
            revive(local, &child, folder, locks, context).await?;
            let pinned = local.host.deployed(pipeline, &record.version).await?;
            local.host.load(&pinned).await?;
            register(local, &pinned.plan, folder);
            let by = context.environment.by();
            let command =
                next(&record, &Version::only(&record.version), Existing::Resume, How::default(), by);
            accept(local.host.execute(&command).await?)?;
        }
        Ok(())
    })
}
