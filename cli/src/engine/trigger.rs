//! `cauce trigger`: a run of a deployed pipeline. The decision is made here; the run runs there, or in the
//! service of this machine.

use cauce_driver::ask::{Request, Version};
use cauce_engine::command::{Again, Existing};
use cauce_model::record::TriggerRecord;
use cauce_model::{Json, TriggerKind};
use cauce_ports::Clock;

use crate::args::TriggerArgs;
use crate::context::Context;
use crate::engine::actor::Actor;
use crate::engine::dates::{self, new_run};
use crate::engine::follow::{deployed, settle};
use crate::engine::item;
use crate::engine::start::check_task;
use crate::error::{Exit, Failure};
use crate::project::ProjectFolder;

/// `cauce trigger`
pub(crate) fn trigger(args: &TriggerArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let actor = Actor::served(&folder, context, Box::new(|_, _| {}))?;
    context.block_on(async {
        let record = deployed(&actor.store()?, &args.pipeline, context).await?;
        let on_trial = record.canary.as_ref().filter(|_| args.canary).map(|canary| &*canary.of.version);
        if args.canary && on_trial.is_none() {
            return Err(Failure::bad_input(format!("{} has no canary in '{}'", args.pipeline, context.env))
                .help("leave --canary out: the run takes what is deployed"));
        }
        let prepared = actor.plan(&record.pipeline, on_trial.unwrap_or(&record.version)).await?;
        let plan = &prepared.plan;
        let params = dates::params(&plan.params, &args.params, args.params_file.as_deref(), context)?;
        let now = cauce_local::clock::SystemClock.now();
        let chosen = item::stored(plan, &actor, args.item.as_deref()).await?;
        let new =
            new_run(plan, chosen.as_ref(), args.logical_date.as_deref(), args.interval.as_deref(), now)?;
        let request = Request {
            new,
            params: Some(params),
            trigger: TriggerRecord {
                kind: TriggerKind::Manual,
                by: Some(actor.by(context).await?),
                detail: Json::Null,
                item: chosen.map(|chosen| chosen.item),
            },
            existing: if args.again { Existing::Next(Again::All) } else { Existing::Refuse },
            only: args.only.clone(),
        };
        let name = request.name(&record.pipeline);
        let version = match on_trial {
            Some(version) => Version { name: version, canary: true },
            None => Version::deployed(&record, &name.run_id),
        };
        let prepared = actor.plan(&record.pipeline, version.name).await?;
        check_task(&prepared.plan, args.only.as_deref())?;
        if let Some(known) = actor.find_run(&name.key()).await? {
            if !known.status.is_terminal() {
                return Err(Failure::bad_input(format!("{name} is {}", known.status))
                    .help(format!("'cauce show {name}{}' tells how it stands", context.env_option())));
            }
            if !args.again {
                return Err(Failure::bad_input(format!("{name} has ended before ({})", known.status)).help(
                    "--again runs all its tasks again; 'cauce rerun' those that did not succeed; \
                     --logical-date names another run",
                ));
            }
        }
        actor.execute(&request.command(&record.pipeline, &version)).await?;
        if record.paused {
            let text = format!("{} is paused: its triggers start nothing, but this run was", record.pipeline);
            context.output.talk(&text);
        }
        settle(&actor, &[name], &prepared.plan, args.wait, context).await
    })
}
