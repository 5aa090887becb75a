//! `cauce cancel` and `cauce mark`: what people say about a run.

use cauce_engine::Command;

use crate::args::{CancelArgs, MarkArgs, MarkAs};
use crate::context::Context;
use crate::engine::assemble::local;
use crate::engine::start::resolve;
use crate::engine::start::{drive, execute, find_run};
use crate::error::{Exit, Failure};
use crate::project::ProjectFolder;
use cauce_local::state::StateError;

/// `cauce cancel`. A run under way is told through the store: the process that runs it looks there
/// every second. A run whose engine is gone is closed here and now.
pub(crate) fn cancel(args: &CancelArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let (name, run) = resolve(&args.run, context)?;
    let local = local(&folder, context, false, Box::new(|_, _| {}))?;
    context.block_on(async {
        let key = name.key();
        let lock = match local.state.lock_run(&key, &name.to_string()) {
            Ok(lock) => Some(lock),
            Err(StateError::Running { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if lock.is_some() {
            let survivors = local.host.world().processes.end_survivors(&key).await;
            survivors.map_err(|error| Failure::from_error(&error))?;
        }
        let pinned = local.host.deployed(&name.pipeline, &run.version).await?;
        local.host.load(&pinned).await?;
        let reason =
            args.reason.clone().unwrap_or_else(|| format!("cancelled by {}", context.environment.by()));
        execute(&local, &Command::Cancel { run_key: key.clone(), reason }).await?;
        if lock.is_none() {
            context.output.talk(&format!("{name} is being cancelled by the process that runs it"));
            return Ok(Exit::Good);
        }
        // Nobody else closes a run whose engine is gone.
        let close =
            cauce_engine::command::Close { run_key: key.clone(), generation: run.generation, redrives: 0 };
        local.host.execute(&Command::Close(close)).await?;
        drive(&local, &[], None).await?;
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
