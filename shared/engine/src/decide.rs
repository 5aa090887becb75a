//! The one door: a command and a view in, a decision or a need out.

use crate::command::{Command, Decision};
use crate::stop::Stop;
use crate::{Need, Settings, View};
use crate::{
    approval, begin, breaker, canary, close, consumers, control, datasets, deploy, event, files, finish,
    gate, idempotency, matrix, observed, open, operate, reclaim, reconcile, sets, slots, ticks, trigger,
};
use cauce_model::Instant;

/// Decides. `now` is the caller's clock; nothing else comes from outside the arguments.
///
/// # Errors
/// What the view lacks: show it and ask again.
pub fn decide(command: &Command, view: &View, settings: &Settings, now: Instant) -> Result<Decision, Need> {
    let decided = match command {
        Command::Trigger(trigger) => trigger::decide(trigger, view, now),
        Command::Open(open) => open::decide(open, view, settings, now),
        Command::Begin(begin) => begin::decide(begin, view, settings, now),
        Command::Finish(finish) => finish::decide(finish, view, settings, now),
        Command::Close(close) => close::decide(close, view, settings, now),
        Command::Arrive(arrive) => gate::arrive(arrive, view),
        Command::Release { pool, holder, slots, place } => {
            slots::release(pool, holder, *slots, place.as_deref(), view, now)
        }
        Command::Stand(request) => slots::stand(request, view, now),
        Command::Look { pool, own, seconds } => slots::look_again(pool, own, *seconds, view, now),
        Command::Resize { pools } => slots::resize(pools, view),
        Command::Replace { pool } => open::replace(pool, view),
        Command::Define(controls) => control::define(controls, view),
        Command::Report { breaker, holder, verdict, at, reason } => {
            breaker::hear(breaker, holder, *verdict, *at, reason, view)
        }
        Command::SetBreaker { breaker, open, by } => breaker::set(breaker, *open, by.as_deref(), view, now),
        Command::Take { limit, tokens, within_seconds } => {
            control::take(limit, *tokens, *within_seconds, view, now)
        }
        Command::Forget { pipeline, task, key, by } => {
            idempotency::forget((pipeline, task, key), by.as_deref(), view, now)
        }
        Command::Retire { run_key, version } => reconcile::retire(run_key, *version, view),
        Command::Reclaim { pool, all } => reclaim::decide(pool, *all, view, settings),
        Command::Cancel { run_key, generation, reason, by } => {
            operate::cancel((run_key, *generation), (reason, by.as_deref()), view, settings, now)
        }
        Command::Mark { run_key, task, success, by } => operate::mark(run_key, task, *success, by, view, now),
        Command::Pause(pause) => operate::pause(pause, view, now),
        Command::Observed(observed) => observed::decide(observed, view, settings, now),
        Command::Reconcile(reconcile) => reconcile::decide(reconcile, view, settings, now),
        Command::Ask(ask) => approval::wait(ask, view, settings, now),
        Command::Approve(approve) => approval::answer(approve, view, now),
        Command::Heed { run_key, generation, task } => approval::heed(run_key, *generation, task, view, now),
        Command::Deadline { run_key } => operate::deadline(run_key, view, now),
        Command::Event(event) => event::decide(event, view, settings, now),
        Command::Ticks { pipeline } => ticks::decide(pipeline, view, settings, now),
        Command::Fan { pipeline, schedule, scheduled_at } => {
            matrix::step(pipeline, schedule, *scheduled_at, view, settings, now)
        }
        Command::Sync(request) => matrix::sync(request, view, now),
        Command::File { pipeline, object, asked } => {
            files::file(pipeline, object, *asked, view, settings, now)
        }
        Command::Set { pipeline, set } => sets::due(pipeline, set, view, settings, now),
        Command::Update { dataset, partition, by } => {
            datasets::update(dataset, partition.as_deref(), by.as_deref(), view, now)
        }
        Command::Told { dataset, number } => datasets::told(dataset, *number, view),
        Command::Subscribe { pipeline } => consumers::subscribe(pipeline, view, settings, now),
        Command::Again { run_key } => event::again(run_key, view, now),
        Command::Deploy(request) => deploy::deploy(request, view, settings, now),
        Command::Canary(request) => canary::decide(request, view, now),
        Command::Undeploy { deployment, by } => {
            deploy::undeploy(deployment, by.as_deref(), view, settings, now)
        }
        Command::Delivered { key, notice } => operate::delivered(key, notice, view),
    };
    match decided {
        Ok(decision) => Ok(decision),
        Err(Stop::Need(need)) => Err(*need),
        Err(Stop::Refused(decision)) => Ok(*decision),
    }
}
