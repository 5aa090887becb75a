//! `cauce cancel` and `cauce mark`: what people say about a run.

use cauce_engine::Command;

use crate::args::{CancelArgs, MarkArgs, MarkAs};
use crate::context::Context;
use crate::engine::assemble::local;
use crate::engine::start::resolve;
use crate::engine::start::{drive, execute, find_run};
use crate::error::{Exit, Failure};
use crate::project::ProjectFolder;

/// `cauce cancel`: of a run whose engine is gone, here and now. A run under way belongs to the process
/// that runs it, and that is who has to be told.
pub(crate) fn cancel(args: &CancelArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let (name, run) = resolve(&args.run, context)?;
    let local = local(&folder, context, false, Box::new(|_, _| {}))?;
    context.block_on(async {
        let key = name.key();
        let _lock = match local.state.lock_run(&key, &name.to_string()) {
            Ok(lock) => lock,
            Err(error) => {
                let failure = Failure::from(error);
                return Err(failure.help("stop that process (SIGINT), then cancel the run"));
            }
        };
        let survivors = local.host.world().processes.end_survivors(&key).await;
        survivors.map_err(|error| Failure::from_error(&error))?;
        let pinned = local.host.deployed(&name.pipeline, &run.version).await?;
        local.host.load(&pinned).await?;
        let reason =
            args.reason.clone().unwrap_or_else(|| format!("cancelled by {}", context.environment.by()));
        execute(&local, &Command::Cancel { run_key: key.clone(), reason }).await?;
        let generation = run.generation;
        // Nobody else closes a run whose engine is gone.
        let close = Command::Close(cauce_engine::command::Close { run_key: key.clone(), generation });
        let _: cauce_engine::Reply = local.host.execute(&close).await?;
        drive(&local, None).await?;
        let status = find_run(&local, &key).await?.map(|run| run.status.to_string()).unwrap_or_default();
        context.output.talk(&format!("{name} is {status}"));
        Ok(Exit::Good)
    })
}

/// `cauce mark`
pub(crate) fn mark(args: &MarkArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let (name, run) = resolve(&args.run, context)?;
    let local = local(&folder, context, false, Box::new(|_, _| {}))?;
    context.block_on(async {
        let _lock = local.state.lock_run(&name.key(), &name.to_string())?;
        let pinned = local.host.deployed(&name.pipeline, &run.version).await?;
        local.host.load(&pinned).await?;
        crate::engine::start::check_task(&pinned.plan, Some(&args.task))?;
        let success = args.as_status == MarkAs::Success;
        let command = Command::Mark {
            run_key: name.key(),
            task: args.task.clone(),
            success,
            by: context.environment.by(),
        };
        execute(&local, &command).await?;
        let word = if success { "success" } else { "failed" };
        context
            .output
            .talk(&format!("{name} {} is marked as {word}; what is below it: cauce rerun {name}", args.task));
        Ok(Exit::Good)
    })
}
