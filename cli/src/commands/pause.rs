//! `cauce pause` and `cauce unpause`: whether a pipeline's triggers start runs.

use cauce_engine::Command;
use cauce_engine::command::Pause;
use cauce_model::record::PipelineRecord;

use crate::args::PauseArgs;
use crate::context::Context;
use crate::engine::{Actor, deployed};
use crate::error::{Exit, Failure};
use crate::project::{Loaded, ProjectFolder, find_pipeline};

/// Pauses a pipeline, or lets it go on. Runs that people start are not held back.
pub(crate) fn pause(args: &PauseArgs, paused: bool, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    // In a deployed environment the file is not needed: what is deployed counts.
    let loaded = match context.there()? {
        Some(_) => None,
        None => Some(find_pipeline(&args.pipeline, &folder, context)?),
    };
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    context.block_on(async {
        if loaded.is_none() {
            deployed(&actor.store()?, &args.pipeline, context).await?;
        }
        let pause = Pause {
            pipeline: args.pipeline.clone(),
            paused,
            by: Some(actor.by(context).await?),
            unknown: loaded.as_ref().map(before_its_first_run),
        };
        actor.execute(&Command::Pause(Box::new(pause))).await
    })?;
    if let Some(loaded) = loaded.filter(|loaded| loaded.pipeline.paused && !paused) {
        context.output.warn(&format!("{} says 'paused: true', which holds as well", loaded.path.display()));
    }
    if context.json {
        context.output.json(&serde_json::json!({"pipeline": args.pipeline, "paused": paused}))?;
    } else {
        let word = if paused { "paused: its triggers start nothing" } else { "no longer paused" };
        context.output.talk(&format!("{} is {word}", args.pipeline));
    }
    Ok(Exit::Good)
}

/// The record of a pipeline of this machine that has never run: its first run replaces it and keeps
/// whether it is paused.
fn before_its_first_run(loaded: &Loaded) -> PipelineRecord {
    let pipeline = loaded.compiled.plan.pipeline.clone();
    PipelineRecord::new(pipeline.clone(), loaded.compiled.version().to_owned(), pipeline)
}
