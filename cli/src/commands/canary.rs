//! `cauce canary`: what becomes of the deployment on trial.

use cauce_engine::Command;
use cauce_engine::command::{Canary, CanaryStep};

use crate::args::CanaryArgs;
use crate::context::Context;
use crate::engine::{Actor, deployed};
use crate::error::{Exit, Failure};

/// Gives a pipeline's canary another share, promotes it, or aborts it. Runs under way are left as they are.
pub(crate) fn canary(args: &CanaryArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(there) = context.there()? else {
        return Err(Failure::bad_input("a canary is of a deployed environment, and none is named")
            .help("name one with --env; on this machine a run takes what its file says"));
    };
    let pipeline = &args.pipeline;
    let actor = Actor::There(there);
    let (told, version) = context.block_on(async {
        let record = deployed(&actor.store()?, pipeline, context).await?;
        let Some(canary) = record.canary else {
            return Err(Failure::bad_input(format!("{pipeline} has no canary in '{}'", context.env)).help(
                format!(
                    "'cauce deploy --env {} --canary PERCENT' deploys what changed as canaries",
                    context.env
                ),
            ));
        };
        let by = Some(actor.by(context).await?);
        let request = Canary { pipeline: pipeline.clone(), step: args.step, by };
        Ok((actor.execute(&Command::Canary(request)).await?, canary.of.version))
    })?;
    if context.json {
        context.output.json(&told)?;
        return Ok(Exit::Good);
    }
    let version = super::short(&version);
    let env = &context.env;
    context.output.talk(&match args.step {
        CanaryStep::Share(percent) => {
            format!("of the new runs of {pipeline} {percent} % take its canary {version}")
        }
        CanaryStep::Promote => format!("new runs of {pipeline} take {version}"),
        CanaryStep::Abort => format!(
            "no new run of {pipeline} takes {version}; its file still says so: revert it, or the next \
             'cauce deploy --env {env}' brings it back"
        ),
    });
    Ok(Exit::Good)
}
