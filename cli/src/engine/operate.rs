//! `cauce cancel`, `cauce mark`, `cauce approve` and `cauce reject`: what people say about a run.

use cauce_engine::Command;
use cauce_engine::command::{Approve, ExecutionEnd, Observed};
use cauce_host::Deployment;
use cauce_host::service::Letter;
use cauce_local::state::StateError;
use cauce_model::ids::RunRef;
use cauce_model::record::RunRecord;

use crate::args::{AnswerArgs, CancelArgs, MarkArgs, MarkAs};
use crate::context::Context;
use crate::engine::actor::Actor;
use crate::engine::assemble::{Local, deployment};
use crate::engine::start::{check_task, drive, resolve};
use crate::error::{Exit, Failure};
use crate::project::{ProjectFolder, compiled};
use crate::store::Store;
use crate::time;

/// `cauce cancel`. A run under way here is told through the store: the process that runs it looks
/// there every second. A run whose engine is gone is closed here and now. There, its executions are
/// stopped, and its own Close ends it.
pub(crate) fn cancel(args: &CancelArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let (name, run) = resolve(&args.run, context)?;
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    context.block_on(async {
        let by = actor.by(context).await?;
        let reason = args.reason.clone().unwrap_or_else(|| format!("cancelled by {by}"));
        let command = Command::Cancel { run_key: name.key(), generation: None, reason, by: Some(by) };
        let said = match &actor {
            Actor::Here(local) => cancel_here(&actor, local, &name, &run, &command, context).await?,
            Actor::There(_) => {
                actor.execute(&command).await?;
                let env = context.env_option();
                format!("{name} is being cancelled; 'cauce show {name}{env}' tells when it has ended")
            }
        };
        context.output.talk(&said);
        Ok(Exit::Good)
    })
}

async fn cancel_here(
    actor: &Actor,
    local: &Local,
    name: &RunRef,
    run: &RunRecord,
    command: &Command,
    context: &Context,
) -> Result<String, Failure> {
    let key = name.key();
    let is_driven = !is_left(local, name)?;
    let mut left = Vec::new();
    if !is_driven {
        left.push(run.clone());
        // With it end the runs that its tasks have started: their engine was the same.
        let mut next = 0;
        while let Some(run) = left.get(next) {
            for own in local.host.own_runs(&run.key()).await? {
                if is_left(local, &own.run)? {
                    left.push(own);
                }
            }
            next += 1;
        }
    }
    for run in &left {
        let survivors = local.host.world().processes.end_survivors(&run.key()).await;
        survivors.map_err(|error| Failure::from_error(&error))?;
    }
    for run in if is_driven { std::slice::from_ref(run) } else { &left } {
        if let Some(pinned) = pinned(local, &run.run, &run.version, context).await? {
            local.host.load(&pinned).await?;
        }
    }
    actor.execute(command).await?;
    if is_driven {
        local.host.leave(&Letter::Run(key)).await?;
        return Ok(format!("{name} is being cancelled by the process that runs it"));
    }
    // Nobody else closes a run whose engine is gone, or takes away what it has set up.
    for key in left.iter().map(RunRecord::key) {
        // Of one that a task had started somebody may have asked for more since: that is not cancelled.
        let Some(run) = actor.find_run(&key).await?.filter(|run| run.cancel.is_some()) else { continue };
        let gone = Observed::Run {
            run_key: key,
            generation: run.generation,
            execution: run.execution.clone(),
            end: ExecutionEnd::Aborted { cause: String::new() },
        };
        local.host.execute(&Command::Observed(Box::new(gone))).await?;
    }
    let names: Vec<RunRef> = left.into_iter().map(|run| run.run).collect();
    drive(local, &names, None).await?;
    let status = actor.find_run(&key).await?.map(|run| run.status.to_string()).unwrap_or_default();
    Ok(format!("{name} is {status}"))
}

/// Whether no process drives a run. Then it is this one's from now on.
fn is_left(local: &Local, name: &RunRef) -> Result<bool, Failure> {
    match local.claim(name) {
        Ok(()) => Ok(true),
        Err(StateError::Running { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The version of a run that is to end. Where its definitions are damaged, those of the pipeline's file, if that
/// is still the same version; `None` where they are not needed to end it.
async fn pinned(
    local: &Local,
    name: &RunRef,
    version: &str,
    context: &Context,
) -> Result<Option<Deployment>, Failure> {
    let damaged = match local.host.deployed(&name.pipeline, version).await {
        Ok(pinned) => return Ok(Some(pinned)),
        Err(damaged) => Failure::from(damaged),
    };
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    for found in folder.pipelines()?.iter().filter(|found| found.name == name.pipeline) {
        if let Some((_, compiled)) = compiled(&found.path, &folder, context)?
            && compiled.version() == version
        {
            return Ok(Some(deployment(&compiled)?));
        }
    }
    // Only what a cancel takes away again has to be run.
    let plan = local.host.driver().plan(&name.pipeline, version).await?;
    if plan.plan.tasks.iter().any(cauce_model::plan::TaskPlan::is_teardown) {
        return Err(damaged);
    }
    context.output.talk(&format!("warning: {}", damaged.message));
    Ok(None)
}

/// `cauce mark`
pub(crate) fn mark(args: &MarkArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let (name, run) = resolve(&args.run, context)?;
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    context.block_on(async {
        actor.claim(&name)?;
        check_task(&actor.plan(&name.pipeline, &run.version).await?.plan, Some(&args.task))?;
        let success = args.as_status == MarkAs::Success;
        let by = actor.by(context).await?;
        let command = Command::Mark { run_key: name.key(), task: args.task.clone(), success, by };
        actor.execute(&command).await?;
        let word = if success { "success" } else { "failed" };
        let env = context.env_option();
        context.output.talk(&format!(
            "{name} {} is marked as {word}; what is below it: cauce rerun {name}{env}",
            args.task
        ));
        Ok(Exit::Good)
    })
}

/// Most bytes of a comment: it lies in the task's record, in its output and in the audit.
const COMMENT_BYTES_MAX: usize = 2048;

/// `cauce approve` and `cauce reject`. Here, the answer is written into the store, where the process that
/// runs the run looks for it every second; there, the token that waits is answered at once.
pub(crate) fn answer(args: &AnswerArgs, approved: bool, context: &Context) -> Result<Exit, Failure> {
    let comment = args.comment.clone().unwrap_or_default();
    if comment.len() > COMMENT_BYTES_MAX {
        let bytes = comment.len();
        return Err(Failure::bad_input(format!(
            "the comment has {bytes} bytes, more than {COMMENT_BYTES_MAX}"
        ))
        .help("say it shorter, or name a place where it is written"));
    }
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let (name, run) = resolve(&args.run, context)?;
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    context.block_on(async {
        check_task(&actor.plan(&name.pipeline, &run.version).await?.plan, Some(&args.task))?;
        let (task, by) = (args.task.clone(), actor.by(context).await?);
        let command = Command::Approve(Approve { run_key: name.key(), task, approved, by, comment });
        let told = actor.execute(&command).await?;
        if context.json {
            context.output.json(&told)?;
            return Ok(Exit::Good);
        }
        let told = |field: &str| told.get(field).and_then(|value| value.as_str()).unwrap_or_default();
        let at = cauce_model::Instant::parse(told("at")).map(time::moment).unwrap_or_default();
        let words = format!("{name} {} is {} by {}, at {at}", args.task, told("decision"), told("by"));
        context.output.talk(&words);
        let store = Store::require(context)?;
        if store.view(store.run(&name).await?).await?.is_interrupted() {
            context.output.talk(&format!("the engine that ran it is gone; go on with: cauce resume {name}"));
        }
        Ok(Exit::Good)
    })
}
