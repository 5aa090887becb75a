//! Open: an execution of a pipeline's machine began. Is it a run we know, and may it go on now?

use crate::command::{Command, Decision, Effect, Existing, Open, Trigger};
use crate::line::{LINE, Standing, is_granted, stands_for};
use crate::slots::{self, Grant, Holder, Request, Want};
use crate::status::load_run;
use crate::stop::Stop;
use crate::trigger::{self, deadline, run_row};
use crate::{Prepared, Settings, View, operate};
use cauce_model::ids::RunRef;
use cauce_model::item::Expect;
use cauce_model::plan::{DeadlineFrom, Overlap};
use cauce_model::record::{Record, RunRecord, TriggerRecord, run_item};
use cauce_model::{Instant, Json, Key, RunKey, RunStatus, TriggerKind, Write, names};
use serde_json::json;

pub(crate) fn decide(open: &Open, view: &View, settings: &Settings, now: Instant) -> Result<Decision, Stop> {
    let refuse = |cause: String| {
        let effects = vec![Effect::Refuse { token: open.token.clone(), error: names::RUN_REJECTED, cause }];
        Decision { effects, ..Decision::default() }
    };
    let mut decision = Decision::default();
    let (mut run, expect) = match open.input.get("run_key").and_then(Json::as_str) {
        Some(run_key) => {
            let loaded = load_run(view, &RunKey::from_text(run_key))?;
            let generation = open.input.get("generation").and_then(Json::as_u64);
            if generation != Some(u64::from(loaded.record.generation)) {
                return Ok(refuse(format!(
                    "{} is in generation {} now",
                    loaded.record.run, loaded.record.generation
                )));
            }
            (loaded.record, loaded.expect)
        }
        None => match by_hand(open, view, now)? {
            Ok((run, expect, writes, effects)) => {
                decision.writes = writes;
                decision.effects = effects;
                (run, expect)
            }
            Err(cause) => return Ok(refuse(cause)),
        },
    };
    if run.execution != open.execution || run.run.pipeline != open.pipeline {
        // Two executions of one run would race each other through its tasks. The console's "New execution"
        // copies an input, and a name may be that of a run which something else had started.
        return Ok(refuse(another(open, &run)));
    }
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let settings = view.settings(&run, settings)?;
    match run.status {
        // Asked again after the answer was lost.
        RunStatus::Running => {
            decision.effects.push(let_in(open, &run, settings));
            return Ok(decision);
        }
        RunStatus::Queued => {}
        status => {
            // What follows the end may have been lost with whoever wrote it.
            let mut decision = refuse(format!("{} is {status}", run.run));
            decision.effects.extend(operate::after_refusal(&run));
            return Ok(decision);
        }
    }
    if let Some(cancel) = &run.cancel {
        // Nothing of it has run: Close books the cancellation.
        return Ok(refuse(cancel.reason.clone()));
    }

    if run.teardown.is_some() {
        // What is to be taken away belongs to a run that had been let in: it waits for nobody.
        start(&mut run, &prepared, now, &mut decision);
        decision.effects.push(let_in(open, &run, settings));
        decision.writes.push(Write::Put { item: run_row(&run), expect });
        return Ok(decision);
    }
    let pool = slots::pool_of_run(&run);
    let holder = Holder { run_key: run.key(), generation: run.generation, attempt: None };
    let want = Want { pool, slots: 1, capacity: prepared.plan.max_active_runs, says: true };
    let request = Request { wants: vec![want], standing: Standing::of_run(&run), holder: holder.name() };
    match slots::acquire(&request, run.token.is_some(), view, now)? {
        Grant::Held { writes, .. } => {
            decision.writes.extend(writes);
            start(&mut run, &prepared, now, &mut decision);
            decision.effects.push(let_in(open, &run, settings));
        }
        Grant::Waits => match overlap(&run, &prepared) {
            Overlap::Skip => {
                let (most, pipeline) = (prepared.plan.max_active_runs, &run.run.pipeline);
                let before = match most {
                    1 => format!("1 run of {pipeline} was"),
                    _ => format!("{most} runs of {pipeline} were"),
                };
                let reason = format!("{before} let in when it came (max_active_runs), and overlap is skip");
                run.status = RunStatus::Skipped;
                run.ended_at = Some(now);
                run.message = Some(reason.clone());
                decision.effects.extend(refuse(reason).effects);
                decision.effects.extend(operate::after_refusal(&run));
            }
            how => {
                run.token = Some(open.token.clone());
                let pool = slots::pool_of_run(&run);
                let stand = Command::Stand(Box::new(request));
                decision.effects.push(match how {
                    // Once it stands there: of two that come at once, one sees the other.
                    Overlap::CancelPrevious => {
                        Effect::Each { commands: vec![stand], then: Box::new(Command::Replace { pool }) }
                    }
                    _ => Effect::Command(Box::new(stand)),
                });
            }
        },
    }
    decision.writes.push(Write::Put { item: run_row(&run), expect });
    Ok(decision)
}

/// What becomes of a run that finds others let in.
fn overlap(run: &RunRecord, prepared: &Prepared) -> Overlap {
    if is_asked_for(run) { Overlap::Queue } else { prepared.plan.overlap }
}

/// Whether somebody wants a run once more, or for the past: it waits whatever new runs do, and ends for
/// none of them.
fn is_asked_for(run: &RunRecord) -> bool {
    run.generation > 1 || run.trigger.kind == TriggerKind::Backfill
}

/// The newest run takes the place of those before it: all others that wait end, and, where it waits
/// itself, the oldest of those let in, unless one of these is being cancelled already.
pub(crate) fn replace(pool: &str, view: &View) -> Result<Decision, Stop> {
    let Some(item) = view.item(&slots::pool_item(pool))? else { return Ok(Decision::default()) };
    let places = view.range(item.key.partition.clone(), LINE.to_owned())?;
    let waits = runs(places.iter().filter(|place| !is_granted(place, item)).filter_map(stands_for), view)?;
    let held = runs(slots::leases(item).map(|(name, _)| name), view)?;
    let is_free_soon = held.iter().any(|run| run.cancel.is_some());
    let [waits, held] =
        [waits, held].map(|runs| runs.into_iter().filter(|run| !is_asked_for(run)).collect::<Vec<_>>());
    let age = |run: &&RunRecord| (run.created_at, run.run.run_id.clone());
    // One that came first may be late to wait.
    let Some(newest) = waits.iter().chain(&held).max_by_key(age) else { return Ok(Decision::default()) };
    let others = waits.iter().filter(|run| run.run != newest.run && run.cancel.is_none());
    let it_waits = waits.iter().any(|run| run.run == newest.run);
    let oldest = held.iter().min_by_key(age).filter(|_| it_waits && !is_free_soon);
    let ended = others.chain(oldest);
    let cancel = |run: &RunRecord| {
        Effect::Command(Box::new(Command::Cancel {
            run_key: run.key(),
            generation: Some(run.generation),
            reason: format!("{} takes its place (overlap: cancel_previous)", newest.run),
            by: Some("overlap".to_owned()),
        }))
    };
    Ok(Decision { effects: ended.map(cancel).collect(), ..Decision::default() })
}

/// The runs of these holders that have not ended.
fn runs<'a>(holders: impl Iterator<Item = &'a str>, view: &View) -> Result<Vec<RunRecord>, Stop> {
    let keys: Vec<Key> = holders.filter_map(Holder::parse).map(|holder| run_item(&holder.run_key)).collect();
    view.want(keys.iter().cloned())?;
    let mut runs = Vec::new();
    for key in &keys {
        if let Some(item) = view.item(key)? {
            runs.push(RunRecord::from_item(item)?);
        }
    }
    runs.retain(|run| !run.status.is_terminal());
    Ok(runs)
}

fn start(run: &mut RunRecord, prepared: &Prepared, now: Instant, decision: &mut Decision) {
    run.status = RunStatus::Running;
    run.started_at = Some(now);
    run.token = None;
    if let Some(plan) = prepared.plan.deadline.as_ref().filter(|plan| plan.from == DeadlineFrom::Started) {
        let at = now.plus_seconds(plan.after_seconds);
        run.deadline_at = Some(at);
        let (write, effect) = deadline(run, at);
        decision.writes.push(write);
        decision.effects.push(effect);
    }
}

/// The answer that lets an execution in: its ids and the machines of its task runs, pinned.
fn let_in(open: &Open, run: &RunRecord, settings: &Settings) -> Effect {
    let mut machines = settings.machines.clone();
    machines.extend(run.parts.clone());
    Effect::Answer {
        token: open.token.clone(),
        result: json!({
            "run_key": run.key(),
            "generation": run.generation,
            "version": run.version,
            "machines": machines,
        }),
    }
}

/// Why an execution that is not the run's own may not go on, and what to do instead.
fn another(open: &Open, run: &RunRecord) -> String {
    let way_out = if open.input.get("run_key").is_some() {
        "start the machine with {} or {\"params\": {...}} for a run of its own"
    } else {
        "start the machine under another name for a run of its own"
    };
    format!(
        "{} exists, is {} and is executed by '{}', not by '{}'; {way_out}, or use `cauce rerun` for a further \
         generation",
        run.run, run.status, run.execution, open.execution
    )
}

type ByHand = Result<(RunRecord, Expect, Vec<Write>, Vec<Effect>), String>;

/// An execution that a person started from the console or the AWS CLI: the execution's own name is
/// the run's id, its input `{}` or `{params, logical_date}`.
fn by_hand(open: &Open, view: &View, now: Instant) -> Result<ByHand, Stop> {
    let prepared = view.plan(&open.pipeline, &open.version)?;
    let Some(input) = open.input.as_object() else {
        return Ok(Err(
            "the input is not an object; write {} or {\"params\": {...}, \"logical_date\": \"...\"}"
                .to_owned(),
        ));
    };
    if let Some(unknown) = input.keys().find(|key| !matches!(key.as_str(), "params" | "logical_date")) {
        return Ok(Err(format!(
            "the input has an unknown field '{unknown}'; params and logical_date are known"
        )));
    }
    let date = match input.get("logical_date") {
        None => None,
        Some(Json::String(date)) => Some(date.as_str()),
        Some(_) => return Ok(Err("logical_date is not a text".to_owned())),
    };
    let dated = match date {
        Some(date) => match trigger::dated(&prepared.plan, Some(date), now) {
            Ok(new) => Some(new),
            Err(problem) => return Ok(Err(problem)),
        },
        None => None,
    };
    // A name that is the id of a date's run takes the place of that run, which then nothing else makes: it
    // has to be that run.
    let named = trigger::dated(&prepared.plan, Some(&open.execution), now)
        .ok()
        .filter(|new| new.run_id == open.execution);
    if let (Some(named), Some(dated)) = (&named, &dated)
        && named.logical_date != dated.logical_date
    {
        return Ok(Err(format!(
            "the name '{}' is that of the run for {}, and logical_date asks for {}: name the execution otherwise",
            open.execution, named.logical_date, dated.logical_date
        )));
    }
    let (logical_date, data_interval, timezone, scheduled_at) = match dated.or(named) {
        Some(new) => (new.logical_date, new.data_interval, new.timezone, new.scheduled_at),
        None => (now, (now, now), prepared.plan.timezone.clone(), None),
    };
    let request = Trigger {
        pipeline: open.pipeline.clone(),
        version: open.version.clone(),
        run_id: open.execution.clone(),
        trigger: TriggerRecord {
            kind: TriggerKind::Manual,
            by: Some("console".to_owned()),
            detail: Json::Null,
            item: None,
        },
        params: input.get("params").cloned(),
        logical_date,
        data_interval,
        timezone,
        scheduled_at,
        existing: Existing::Refuse,
        only: None,
        force: false,
        latest: false,
        canary: false,
        start: false,
    };
    let name = RunRef { pipeline: open.pipeline.clone(), run_id: open.execution.clone() };
    let known = view.item(&cauce_model::record::run_item(&name.key()))?;
    if let Some(item) = known {
        // This very Open, repeated; or somebody else's run, which the caller tells from this one.
        let run = <RunRecord as cauce_model::record::Record>::from_item(item)?;
        return Ok(Ok((run, Expect::Version(item.version), Vec::new(), Vec::new())));
    }
    Ok(match trigger::plan_run(&request, view, now)? {
        Ok(planned) => {
            let mut run = planned.run;
            // The execution exists already, under its own name.
            run.execution.clone_from(&open.execution);
            // The run itself is written once it is known whether it may go on.
            let row = cauce_model::record::run_item(&run.key());
            let writes = planned.writes.into_iter().filter(|write| *write.key() != row).collect();
            Ok((run, Expect::Absent, writes, planned.effects))
        }
        Err(refusal) => Err(refusal.message()),
    })
}
