//! `cauce resume` and `cauce rerun`: the next generation of a run that exists.

use cauce_driver::ask::{How, Version, next};
use cauce_engine::command::{Again, Existing};
use cauce_host::Deployment;
use cauce_model::ids::RunRef;
use cauce_model::record::RunRecord;

use crate::args::{RerunArgs, ResumeArgs};
use crate::context::Context;
use crate::engine::actor::{Actor, accept, find_run};
use crate::engine::assemble::{deployment, local, shared, started_pipelines};
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
        (Some(task), _) => {
            let items = args.item.clone();
            Again::Task { task: task.clone(), items, downstream: args.downstream }
        }
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
        for command in shared(folder) {
            accept(local.host.execute(&command).await?)?;
        }
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
        for compiled in started_pipelines(&pinned.plan, folder, context)? {
            local.host.deploy(&deployment(&compiled)?).await?;
        }
        local.claim(name)?;
        match &selection {
            None => {
                for program in local.host.resume(run, &context.environment.by()).await? {
                    let (task, attempt) = (program.task, program.attempt);
                    context.output.talk(&format!("ended what was left of {task} attempt {attempt}"));
                }
            }
            Some(selection) => {
                if let Again::Task { task, .. } | Again::Only { task } = &selection.again {
                    check_task(&pinned.plan, Some(task))?;
                }
                let existing = Existing::Next(selection.again.clone());
                let how = How { force: selection.force, latest, start: true };
                let by = context.environment.by();
                let command = next(run, &Version::only(&pinned.version), existing, how, by);
                accept(local.host.execute(&command).await?)?;
            }
        }
        let now = find_run(&local.host.world().table, &name.key()).await?;
        let generation = now.map_or(run.generation, |run| run.generation);
        context.output.talk(&format!("{name}: generation {generation}"));
        progress.begin(std::slice::from_ref(name));
        let outcome = drive(&local, std::slice::from_ref(name), Some(&progress)).await;
        finish(&local, std::slice::from_ref(name), outcome, &progress, context).await
    })
}
