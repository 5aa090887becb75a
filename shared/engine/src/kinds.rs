//! The kinds that Begin itself performs, or prepares otherwise than by RunTask.

use crate::classify::Failure;
use crate::command::{Again, Decision, Existing};
use crate::context::{Renderer, Unrendered};
use crate::ending::{Case, notice};
use crate::retry::Next;
use crate::stop::Stop;
use crate::trigger::{self, NewRun};
use crate::{Settings, View};
use cauce_model::ids::{RunRef, sha256_hex};
use cauce_model::plan::{OnExisting, PipelineTaskPlan, TaskKind, WaitForPlan};
use cauce_model::record::{
    OwnRunRecord, PipelineRecord, Record, RunRecord, TriggerRecord, pipeline_item, run_item,
};
use cauce_model::{FailureClass, Json, RunStatus, TaskStatus, TriggerKind};
use serde_json::{Map, json};

/// Performs a task that needs no machine of its own.
pub(crate) fn inline(
    view: &View,
    settings: &Settings,
    case: &mut Case<'_>,
    kind: &TaskKind,
    renderer: &Renderer<'_>,
) -> Result<Result<Decision, Unrendered>, Stop> {
    let now = case.now;
    case.record().started_at.get_or_insert(now);
    Ok(match kind {
        TaskKind::Pass { output } => pass(settings, case, output.as_ref(), renderer),
        TaskKind::Fail { message } => {
            renderer.text(message).map(|message| case.end(TaskStatus::Failed, Some(message)))
        }
        TaskKind::Branch { choices } => branch(case, choices, renderer),
        TaskKind::Notify { channels, subject, message } => {
            let texts = renderer.text(subject).and_then(|s| renderer.text(message).map(|m| (s, m)));
            let (subject, message) = match texts {
                Ok(texts) => texts,
                Err(error) => return Ok(Err(error)),
            };
            let mut problems = Vec::new();
            for channel in channels {
                let name = case.plan().name.as_str();
                let notice =
                    notice(case.run, Some((name, 1)), channel, "message", &subject, &message, case.now);
                if let Err(problem) = view.delivery(notice)? {
                    problems.push(problem.clone());
                }
            }
            Ok(if problems.is_empty() {
                case.end(TaskStatus::Success, None)
            } else {
                case.end(TaskStatus::Failed, Some(problems.join("; ")))
            })
        }
        TaskKind::Container(_)
        | TaskKind::WaitFor(_)
        | TaskKind::Pipeline(_)
        | TaskKind::Call(_)
        | TaskKind::Approval(_) => {
            unreachable!("a kind with a machine is not performed by Begin")
        }
    })
}

fn pass(
    settings: &Settings,
    case: &mut Case<'_>,
    output: Option<&Json>,
    renderer: &Renderer<'_>,
) -> Result<Decision, Unrendered> {
    let mut documents = None;
    if let Some(output) = output {
        let value = renderer.tree(output)?;
        let uri = format!("{}/outputs/{}/{}/pass.json", settings.documents, case.run.key(), case.plan().name);
        documents = case.set_output(value, || uri);
    }
    let mut decision = case.end(TaskStatus::Success, None);
    decision.documents.extend(documents);
    Ok(decision)
}

fn branch(
    case: &mut Case<'_>,
    choices: &[cauce_model::plan::BranchChoice],
    renderer: &Renderer<'_>,
) -> Result<Decision, Unrendered> {
    for choice in choices {
        let taken = match &choice.condition {
            None => true,
            Some(condition) => renderer.truth(condition)?,
        };
        if !taken {
            continue;
        }
        let names = |tasks: &[u32]| {
            tasks.iter().map(|task| case.prepared.task(*task).name.clone()).collect::<Vec<_>>()
        };
        let (chosen, skips) = (names(&choice.to), names(&choice.skips));
        let record = case.record();
        record.skips = skips;
        record.output = Some(cauce_model::record::OutputRecord::Inline(json!({"chosen": chosen})));
        return Ok(case.end(TaskStatus::Success, None));
    }
    Err(Unrendered("no condition of the branch holds, and it has no else".to_owned()))
}

/// What a look for files found.
pub(crate) enum Look {
    /// The task ended.
    Ended(Decision),
    /// Look again in so many seconds.
    Again {
        /// The wait.
        seconds: u64,
        /// What to store of the look.
        decision: Decision,
    },
}

/// Looks for files.
pub(crate) fn wait_for(
    view: &View,
    case: &mut Case<'_>,
    wait: &WaitForPlan,
    renderer: &Renderer<'_>,
) -> Result<Result<Look, Unrendered>, Stop> {
    let began = case.loaded.record.status != TaskStatus::Running;
    let first_look = case.loaded.record.attempts.last().filter(|_| !began).map_or(case.now, |a| a.started_at);
    let arrives_at = renderer
        .settings
        .arrivals
        .as_ref()
        .map(|arrivals| first_look.plus_micros(arrivals.get(&case.plan().name).copied().unwrap_or(0)));
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for file in &wait.files {
        let pattern = match renderer.text(file) {
            Ok(pattern) => pattern,
            Err(error) => return Ok(Err(error)),
        };
        let mut there: Vec<String> = match arrives_at {
            Some(at) if at <= case.now => vec![pattern.clone()],
            Some(_) => Vec::new(),
            None => {
                let prefix = pattern.split('*').next().unwrap_or(&pattern);
                let seen = view.listing(prefix)?.iter();
                seen.filter(|seen| matches_glob(&pattern, &seen.uri) && seen.bytes >= wait.min_bytes)
                    .map(|seen| seen.uri.clone())
                    .collect()
            }
        };
        if there.is_empty() {
            missing.push(pattern);
        }
        found.append(&mut there);
    }
    if began {
        case.start_attempt(false);
    }
    if missing.is_empty() {
        case.record().output = Some(cauce_model::record::OutputRecord::Inline(json!({"files": found})));
        return Ok(Ok(Look::Ended(case.end(TaskStatus::Success, None))));
    }
    let until = first_look.plus_seconds(case.plan().timeout_seconds);
    if case.now >= until {
        let failure =
            Failure::new(FailureClass::Timeout, format!("not there in time: {}", missing.join(", ")));
        let (next, decision) = case.fail_attempt(&failure);
        return Ok(Ok(match next {
            Next::Retry { seconds } => Look::Again { seconds, decision },
            Next::Fail | Next::TooLate | Next::Skip => Look::Ended(decision),
        }));
    }
    let next = arrives_at.map_or(until, |at| at.min(until));
    let left = seconds_up(next.micros_since(case.now));
    let mut decision = Decision::default();
    let reason = format!("waits for {}", missing.join(", "));
    if began || case.loaded.record.reason.as_deref() != Some(reason.as_str()) {
        case.record().reason = Some(reason);
        decision.writes.push(case.write());
    }
    Ok(Ok(Look::Again { seconds: wait.poll_seconds.clamp(1, left.max(1)), decision }))
}

fn seconds_up(micros: i64) -> u64 {
    u64::try_from(micros.max(0)).unwrap_or(0).div_ceil(1_000_000)
}

/// `*` stands for any characters but a slash.
fn matches_glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .take_while(|at| !rest[..*at].contains('/'))
                .any(|at| matches_glob(after, &rest[at..]))
        }),
    }
}

/// How a pipeline task goes on.
pub(crate) enum PipelineStart {
    /// Start (or join) that execution and wait for its end.
    Launch {
        /// The StartExecution request.
        request: Json,
        /// What to store and do besides.
        decision: Decision,
    },
    /// The task ended.
    Ended(Decision),
}

/// The run that a task started earlier and that does nothing any more but end: an attempt that was over its time has
/// cancelled it, for one. The next attempt goes on with it, and cannot before that.
pub(crate) fn ending_run(view: &View, case: &Case<'_>) -> Result<Option<RunRecord>, Stop> {
    let Some(own) = &case.loaded.record.own_run else { return Ok(None) };
    let run = view.item(&run_item(&own.run.key()))?.map(RunRecord::from_item).transpose()?;
    Ok(run.filter(|run| !run.status.is_terminal() && (run.cancel.is_some() || run.teardown.is_some())))
}

/// Prepares the start of another pipeline's run.
pub(crate) fn pipeline(
    view: &View,
    case: &mut Case<'_>,
    other: &PipelineTaskPlan,
    renderer: &Renderer<'_>,
) -> Result<Result<PipelineStart, Unrendered>, Stop> {
    let Some(deployed) =
        view.item(&pipeline_item(&other.pipeline))?.map(PipelineRecord::from_item).transpose()?
    else {
        return Ok(Err(Unrendered(format!("there is no pipeline '{}'", other.pipeline))));
    };
    let target = view.plan(&other.pipeline, &deployed.version)?;
    let rendered = renderer.tree(&other.params).and_then(|params| {
        let date = other.logical_date.as_deref().map(|date| renderer.text(date)).transpose()?;
        Ok((params, date))
    });
    let (params, date) = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return Ok(Err(error)),
    };
    let dated = date.is_some() || !target.plan.schedules.is_empty();
    let new = if dated {
        match trigger::dated(&target.plan, date.as_deref(), case.run.logical_date) {
            Ok(new) => new,
            Err(problem) => return Ok(Err(Unrendered(problem))),
        }
    } else {
        // A target without dates still gets one id per caller, so that a repeat finds it.
        let item = case.loaded.record.index.map(|index| format!("-{index}")).unwrap_or_default();
        let task = &sha256_hex(&case.plan().name)[..8];
        NewRun {
            run_id: format!("manual-{}-{task}{item}", case.run.key()),
            logical_date: case.run.logical_date,
            data_interval: (case.run.data_interval_start, case.run.data_interval_end),
            timezone: target.plan.timezone.clone(),
            scheduled_at: None,
        }
    };
    let name = RunRef { pipeline: other.pipeline.clone(), run_id: new.run_id.clone() };
    let existing = view.item(&run_item(&name.key()))?.map(RunRecord::from_item).transpose()?;
    // What becomes of a run that exists is said for those of others: with its own it goes on.
    let is_own = case.loaded.record.own_run.as_ref().is_some_and(|own| own.run == name);
    let is_others =
        !is_own && case.loaded.record.attempts.len() as u32 == case.loaded.record.settled_attempts;
    let by = format!("{} task {}", case.run.run, case.plan().name);

    let existing_policy = match &existing {
        None => Existing::Refuse,
        Some(_) if other.on_existing == OnExisting::Fail && is_others => {
            return Ok(Ok(PipelineStart::Ended(
                case.end(TaskStatus::Failed, Some(format!("{name} exists"))),
            )));
        }
        Some(run) if !run.status.is_terminal() => Existing::Refuse,
        Some(run) => match other.on_existing {
            OnExisting::Join if is_others => return Ok(Ok(PipelineStart::Ended(take_over(case, run)))),
            OnExisting::Join | OnExisting::Fail if run.status == RunStatus::Success => {
                return Ok(Ok(PipelineStart::Ended(take_over(case, run))));
            }
            _ => Existing::Next(Again::Failed),
        },
    };
    let under_way = existing.as_ref().filter(|run| !run.status.is_terminal());
    let mut decision = Decision::default();
    let (execution, machine, generation) = match under_way {
        Some(run) => (run.execution.clone(), run.machine.clone(), run.generation),
        None => {
            let canary = deployed.canary_of(&new.run_id);
            let request = crate::command::Trigger {
                pipeline: other.pipeline.clone(),
                version: canary.map_or(&deployed.version, |canary| &canary.version).clone(),
                run_id: new.run_id.clone(),
                trigger: TriggerRecord {
                    kind: TriggerKind::Manual,
                    by: Some(by),
                    detail: Json::Null,
                    item: None,
                },
                params: Some(params),
                logical_date: new.logical_date,
                data_interval: new.data_interval,
                timezone: new.timezone,
                scheduled_at: new.scheduled_at,
                existing: existing_policy,
                only: None,
                force: false,
                latest: false,
                canary: canary.is_some(),
                // With `wait` the state machine starts the execution and waits for it.
                start: !other.wait,
            };
            match trigger::plan_run(&request, view, case.now)? {
                Err(refusal) => return Ok(Err(Unrendered(refusal.message()))),
                Ok(planned) => {
                    let out =
                        (planned.run.execution.clone(), planned.run.machine.clone(), planned.run.generation);
                    decision.writes.extend(planned.writes);
                    decision.effects.extend(planned.effects);
                    out
                }
            }
        }
    };
    case.start_attempt(false);
    case.record().started_run = Some(name.to_string());
    if !other.wait {
        case.record().output =
            Some(cauce_model::record::OutputRecord::Inline(json!({"run": name.to_string()})));
        let ended = case.end(TaskStatus::Success, None);
        decision.writes.extend(ended.writes);
        decision.effects.extend(ended.effects);
        return Ok(Ok(PipelineStart::Ended(decision)));
    }
    if under_way.is_none() || is_own {
        case.record().own_run = Some(OwnRunRecord { run: name.clone(), generation });
    }
    let request = json!({
        "StateMachineArn": machine,
        "Name": execution,
        "Input": trigger::execution_input(&name.key(), generation),
    });
    Ok(Ok(PipelineStart::Launch { request, decision }))
}

/// The task ends as the run that it joined did.
fn take_over(case: &mut Case<'_>, run: &RunRecord) -> Decision {
    let mut output = Map::new();
    output.insert("run".into(), Json::from(run.run.to_string()));
    output.insert("status".into(), Json::from(run.status.as_str()));
    case.record().started_run = Some(run.run.to_string());
    case.record().output = Some(cauce_model::record::OutputRecord::Inline(Json::Object(output)));
    match run.status {
        RunStatus::Success | RunStatus::Skipped => case.end(TaskStatus::Success, None),
        status => case.end(TaskStatus::Failed, Some(format!("{} ended {status}", run.run))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_inside_one_segment() {
        assert!(matches_glob("s3://b/in/*.csv", "s3://b/in/a.csv"));
        assert!(matches_glob("s3://b/in/ventas_*_1.csv", "s3://b/in/ventas_x_1.csv"));
        assert!(!matches_glob("s3://b/in/*.csv", "s3://b/in/old/a.csv"));
        assert!(!matches_glob("s3://b/in/*.csv", "s3://b/in/a.csv.part"));
        assert!(matches_glob("s3://b/in/a.csv", "s3://b/in/a.csv"));
        assert!(!matches_glob("s3://b/in/a.csv", "s3://b/in/a.csvx"));
    }
}
