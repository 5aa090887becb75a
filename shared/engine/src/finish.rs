//! Finish and Settle: an attempt ended; what did it leave, and what follows? And the end of a
//! mapped task, once all its items were passed.

use crate::classify::{self, Failure};
use crate::command::{Decision, Finish, Outcome, Reply};
use crate::context::read_output;
use crate::ending::Case;
use crate::retry::Next;
use crate::status::{load_run, load_task, task_records};
use crate::stop::Stop;
use crate::{Settings, View, approval, datasets, idempotency, launch, observed};
use cauce_model::plan::{ReturnType, TaskKind, TaskPlan};
use cauce_model::record::{OutputRecord, TASK_PREFIX, TaskRecord, run_item, run_partition, task_item};
use cauce_model::services::Service;
use cauce_model::{FailureClass, Instant, Json, TaskStatus, names};
use serde_json::{Map, json};
use std::collections::BTreeMap;

pub(crate) fn decide(
    finish: &Finish,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let mut decision = ending(finish, view, settings, now)?;
    if matches!(finish.outcome, Outcome::Succeeded(_)) {
        decision.reply = by_name(decision.reply);
    }
    Ok(decision)
}

/// Finish is the last state on the way that succeeds, so that success takes no state to read a
/// decision: whatever else was decided is a named failure, which it catches.
fn by_name(reply: Reply) -> Reply {
    let Reply::Ok(told) = &reply else { return reply };
    match told["decision"].as_str() {
        Some("retry") => {
            Reply::Failure { error: names::WAIT, cause: json!({"seconds": told["seconds"]}).to_string() }
        }
        Some("fail") => {
            let denied = told["error"] == names::DENIED;
            let error = if denied { names::DENIED } else { names::TASK_FAILED };
            Reply::Failure { error, cause: told["cause"].as_str().unwrap_or_default().to_owned() }
        }
        _ => reply,
    }
}

fn ending(finish: &Finish, view: &View, settings: &Settings, now: Instant) -> Result<Decision, Stop> {
    view.want([run_item(&finish.run_key), task_item(&finish.run_key, &finish.task, finish.index)])?;
    let run = load_run(view, &finish.run_key)?.record;
    if run.generation != finish.generation {
        return Ok(replaced(format!("generation {} of {} is over", finish.generation, run.run)));
    }
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let Some((task, plan)) = prepared.find(&finish.task) else {
        return Err(Stop::refuse(
            names::DENIED,
            format!("version {} has no task '{}'", run.version, finish.task),
        ));
    };
    let loaded = load_task(view, &finish.run_key, run.generation, &finish.task, finish.index)?;
    let mut case = Case { run: &run, prepared: &prepared, task, loaded, now };
    let record = &case.loaded.record;

    if record.generation == run.generation {
        let joined = finish.outcome == Outcome::Joined;
        if record.status.is_terminal() && (joined || record.fence == finish.fence) {
            // A repeat: everything that belongs to the ending happens again.
            let effects = case.after_end();
            return Ok(Decision { effects, reply: reply(&case, None), ..Decision::default() });
        }
        // Of an execution that died there is nobody left to try again.
        let died = matches!(finish.outcome, Outcome::Died(_));
        if record.status == TaskStatus::Retrying && record.fence == finish.fence && !died {
            let left = record
                .retry_at
                .map_or(0, |at| at.micros_since(now).max(0).unsigned_abs().div_ceil(1_000_000));
            let effects = case.after_retry();
            return Ok(Decision { effects, reply: retry_reply(left), ..Decision::default() });
        }
    }
    if finish.outcome != Outcome::Joined && record.fence != finish.fence {
        // A late attempt: another one has taken over, and what this one says no longer counts.
        return Ok(replaced(format!(
            "attempt with fence {} of {} was replaced by {}",
            finish.fence, finish.task, record.fence
        )));
    }
    if record.generation < run.generation {
        case.renew();
    }
    if finish.outcome == Outcome::Joined {
        return join(case, view, settings);
    }

    if let TaskKind::Container(container) = &plan.kind
        && let Some(stream) = log_stream(&finish.outcome, &container.task_definition)
        && let Some(attempt) = case.record().attempts.last_mut()
    {
        attempt.log = Some(stream);
    }
    let asked = match (&plan.kind, &finish.outcome) {
        (TaskKind::Approval(asked), Outcome::Succeeded(_) | Outcome::Failed { .. }) => Some(asked),
        _ => None,
    };
    let audited = asked.and_then(|asked| approval::answer_for_nobody(&mut case, asked, &finish.outcome));
    let failure = match &finish.outcome {
        outcome if let Some(asked) = asked => match approval::settle(&mut case, asked, outcome) {
            Ok(mut decision) => {
                datasets::wrote(&mut case, &mut decision, view)?;
                decision.writes.extend(audited);
                decision.reply = reply(&case, None);
                return Ok(decision);
            }
            Err(failure) => failure,
        },
        Outcome::Succeeded(result) => match succeed(&mut case, view, result)? {
            Ok(decision) => return Ok(decision),
            Err(failure) => failure,
        },
        Outcome::Failed { error, cause } => match launch::expected(&plan.kind, error, cause) {
            Some(result) => match succeed(&mut case, view, &result)? {
                Ok(decision) => return Ok(decision),
                Err(failure) => failure,
            },
            None => {
                classify::over_time(classify::of_kind(&plan.kind, error, cause), is_time_over(&case, now))
            }
        },
        Outcome::Died(end) => {
            let failure = observed::failure(end.as_ref());
            let mut decision = case.end_badly(&failure);
            decision.reply = reply(&case, Some(&failure));
            return Ok(decision);
        }
        Outcome::Joined => unreachable!("handled above"),
    };
    let (next, mut decision) = case.fail_attempt(&failure);
    decision.writes.extend(audited);
    decision.reply = match next {
        Next::Retry { seconds } => retry_reply(seconds),
        Next::Fail | Next::TooLate | Next::Skip => reply(&case, Some(&failure)),
    };
    Ok(decision)
}

/// Whether the newest attempt of a program may be over its time: it began after the attempt did.
fn is_time_over(case: &Case<'_>, now: Instant) -> bool {
    let record = &case.loaded.record;
    let began = record.attempts.last().map(|attempt| attempt.started_at);
    record.launch.as_ref().is_some_and(|answer| launch::is_program(&answer["launch"]))
        && began.is_some_and(|began| began.plus_seconds(case.plan().timeout_seconds) <= now)
}

/// The log stream of a container that ran on ECS: prefix, container, id of the task. The prefix is the
/// family, as the task definitions are made. On one machine a task has no ARN, and keeps its file's name.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html>
fn log_stream(outcome: &Outcome, family: &str) -> Option<String> {
    let of = |task: &Json| {
        let arn = task.get("TaskArn")?.as_str().filter(|arn| arn.starts_with("arn:"))?;
        Some(stream_of(arn, family))
    };
    match outcome {
        Outcome::Succeeded(task) => of(task),
        Outcome::Failed { cause, .. } => of(&serde_json::from_str(cause).ok()?),
        Outcome::Joined | Outcome::Died(_) => None,
    }
}

/// The log stream of the ECS task with this ARN.
pub(crate) fn stream_of(arn: &str, family: &str) -> String {
    cauce_model::ids::log_stream(family, arn.rsplit('/').next().unwrap_or(arn))
}

/// What an attempt hears that no longer counts: its execution ends, and nothing else does.
fn replaced(cause: String) -> Decision {
    let reply = json!({"decision": "fail", "seconds": 0, "error": names::DENIED, "cause": cause});
    Decision { reply: Reply::Ok(reply), ..Decision::default() }
}

fn retry_reply(seconds: u64) -> Reply {
    Reply::Ok(json!({"decision": "retry", "seconds": seconds}))
}

/// What the lifecycle machine hears of a task run that ended.
fn reply(case: &Case<'_>, failure: Option<&Failure>) -> Reply {
    let record = &case.loaded.record;
    match record.status {
        TaskStatus::Failed | TaskStatus::Cancelled | TaskStatus::UpstreamFailed => {
            let words = failure.map(|f| format!("{}: {}", f.class, f.message));
            Reply::Ok(json!({
                "decision": "fail",
                "seconds": 0,
                "error": names::TASK_FAILED,
                "cause": words.or_else(|| record.reason.clone()).unwrap_or_default(),
            }))
        }
        _ => Reply::Ok(json!({"decision": "succeed", "seconds": 0})),
    }
}

/// The state succeeded; did the task? Its stop code, its output and its declared fields decide.
fn succeed(case: &mut Case<'_>, view: &View, result: &Json) -> Result<Result<Decision, Failure>, Stop> {
    let TaskPlan { kind, returns, .. } = case.plan();
    let launched = case.loaded.record.launch.as_ref().map(|answer| &answer["launch"]);
    let service = match kind {
        TaskKind::Call(call) if !launched.is_some_and(launch::is_program) => Some(&call.service),
        _ => None,
    };
    // A pipeline's answer is its own end, which is read below.
    if service.is_none()
        && !matches!(kind, TaskKind::Pipeline(_))
        && let Some(failure) = classify::container(result)
    {
        return Ok(Err(failure));
    }
    if let Some(reason) = case.stopped() {
        let mut decision = case.end(TaskStatus::Cancelled, Some(reason));
        decision.reply = reply(case, None);
        return Ok(Ok(decision));
    }
    let mut document = None;
    if matches!(kind, TaskKind::Pipeline(_)) {
        let run = case.loaded.record.started_run.clone().unwrap_or_default();
        case.record().output = Some(OutputRecord::Inline(json!({"run": run, "status": "success"})));
    } else {
        let Some(uri) = case.loaded.record.output_uri.clone() else {
            return Ok(Err(Failure::new(FailureClass::Unknown, "the attempt was never launched")));
        };
        let told = match service.map(|service| launch::output(service, result)).transpose() {
            Ok(told) => told,
            Err(failure) => return Ok(Err(failure)),
        };
        // A job's program may leave an output as a container's does.
        let leaves_output = matches!(service, None | Some(Service::Batch(_)));
        let left = if leaves_output { read_output(view, &uri)? } else { Ok(None) };
        let left = match left {
            Ok(left) => left,
            Err(problem) => return Ok(Err(Failure::new(FailureClass::Config, problem))),
        };
        // A large output of a program lies at its own place already.
        let lies_there = told.is_none();
        let fields = match (told, left) {
            (Some(mut told), left) => {
                told.extend(left.into_iter().flatten());
                Some(told)
            }
            (None, left) => left,
        };
        if let Err(problem) = check_returns(returns, fields.as_ref()) {
            return Ok(Err(Failure::new(FailureClass::Config, problem)));
        }
        if let Some(fields) = fields {
            document = case.set_output(Json::Object(fields), || uri).filter(|_| !lies_there);
        }
    }
    let attempt = case.record().attempts.last_mut();
    if let (Some(attempt), TaskKind::Container(_) | TaskKind::Call(_), true) =
        (attempt, kind, service.is_none())
    {
        attempt.exit_code = Some(0);
    }
    let mut decision = case.end(TaskStatus::Success, None);
    datasets::wrote(case, &mut decision, view)?;
    idempotency::completed(case, &mut decision, view)?;
    decision.documents.extend(document);
    decision.reply = reply(case, None);
    Ok(Ok(decision))
}

fn check_returns(
    returns: &BTreeMap<String, ReturnType>,
    fields: Option<&Map<String, Json>>,
) -> Result<(), String> {
    for (name, wanted) in returns {
        let Some(value) = fields.and_then(|fields| fields.get(name)) else {
            return Err(format!("the output has no field '{name}', which the task declares in returns"));
        };
        let fits = match wanted {
            ReturnType::String => value.is_string(),
            ReturnType::Integer => value.is_i64() || value.is_u64(),
            ReturnType::Number => value.is_number(),
            ReturnType::Boolean => value.is_boolean(),
            ReturnType::List => value.is_array(),
            ReturnType::Object => value.is_object(),
            ReturnType::Any => true,
        };
        if !fits {
            return Err(format!(
                "the output's field '{name}' is not of the type that returns declares ({wanted:?})"
            )
            .to_lowercase());
        }
    }
    Ok(())
}

fn bad_items(failed: u32, cancelled: u32, count: u32) -> String {
    match (failed, cancelled) {
        (_, 0) => format!("{failed} of {count} items failed"),
        (0, _) => format!("{cancelled} of {count} items have not run"),
        _ => format!("{failed} of {count} items failed, {cancelled} have not run"),
    }
}

/// All items were passed: the mapped task ends as they did.
fn join(mut case: Case<'_>, view: &View, settings: &Settings) -> Result<Decision, Stop> {
    let run = case.run;
    let plan = case.plan();
    let run_key = run.key();
    let count = case.loaded.record.item_count.unwrap_or(0);
    let prefix = format!("{TASK_PREFIX}{}#", plan.name);
    let records = task_records(view.range(run_partition(&run_key), prefix)?)?;
    let by_index: BTreeMap<u32, &TaskRecord> = records
        .iter()
        .filter(|r| r.generation == run.generation)
        .filter_map(|r| Some((r.index?, r)))
        .collect();
    // Those that were not named where others were count as failed: the task's work is not done.
    let (mut failed, mut cancelled) = (0, 0);
    let mut list = Vec::with_capacity(count as usize);
    let mut lost = Vec::new();
    for index in 0..count {
        let record = by_index.get(&index);
        // An item whose execution died without a word has no ending: it failed.
        let status = record.map_or(TaskStatus::Failed, |r| {
            if r.status.is_terminal() { r.status } else { TaskStatus::Failed }
        });
        if matches!(status, TaskStatus::Failed | TaskStatus::Cancelled | TaskStatus::UpstreamFailed) {
            failed += 1;
            cancelled += u32::from(status == TaskStatus::Cancelled);
        }
        let output = match record.and_then(|r| r.output.as_ref()) {
            Some(output) => match crate::context::stored(view, output)? {
                Ok(output) => output,
                Err(problem) => {
                    lost.push(format!("the output of {}[{index}]: {problem}", plan.name));
                    Json::Null
                }
            },
            None => Json::Null,
        };
        list.push(json!({"index": index, "status": status, "output": output}));
    }
    let tolerated = plan.map.as_ref().map_or(0, |map| map.tolerated_failures);
    let uri =
        format!("{}/outputs/{run_key}/{}/joined-{}.json", settings.documents, plan.name, run.generation);
    // A list with holes would be taken for what the items said.
    let document = if lost.is_empty() { case.set_output(Json::Array(list), || uri) } else { None };
    let mut decision = if let Some(reason) = case.stopped() {
        case.end(TaskStatus::Cancelled, Some(reason))
    } else if let Some(first) = lost.first() {
        let others = match lost.len() - 1 {
            0 => String::new(),
            more => format!("; so are those of {more} more items"),
        };
        case.end(TaskStatus::Failed, Some(format!("{first}{others}; run {} again", plan.name)))
    } else if failed > tolerated {
        case.end(TaskStatus::Failed, Some(bad_items(failed - cancelled, cancelled, count)))
    } else {
        let bad =
            || format!("{}, {tolerated} are tolerated", bad_items(failed - cancelled, cancelled, count));
        let note = (failed > 0).then(bad);
        case.end(TaskStatus::Success, note)
    };
    datasets::wrote(&mut case, &mut decision, view)?;
    decision.documents.extend(document);
    decision.reply = reply(&case, None);
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_container_on_ecs_is_named_after_its_task() {
        let task = json!({"TaskArn": "arn:aws:ecs:eu-west-1:1:task/shop-dev/0a1b"});
        let stream = Some("load/task/0a1b".to_owned());
        assert_eq!(log_stream(&Outcome::Succeeded(task.clone()), "load"), stream);
        let failed = |cause: String| Outcome::Failed { error: "States.TaskFailed".to_owned(), cause };
        assert_eq!(log_stream(&failed(task.to_string()), "load"), stream);
        assert_eq!(log_stream(&failed("no JSON".to_owned()), "load"), None);
        // A token is no ARN: on one machine the log is a file.
        assert_eq!(log_stream(&Outcome::Succeeded(json!({"TaskArn": "token"})), "load"), None);
    }

    #[test]
    fn a_success_that_is_none_is_told_by_name() {
        let told = by_name(retry_reply(7));
        assert_eq!(told, Reply::Failure { error: names::WAIT, cause: r#"{"seconds":7}"#.to_owned() });
        let Reply::Failure { error, cause } = by_name(replaced("over".to_owned()).reply) else {
            panic!("a failure")
        };
        assert_eq!((error, cause.as_str()), (names::DENIED, "over"));
        let good = Reply::Ok(json!({"decision": "succeed", "seconds": 0}));
        assert_eq!(by_name(good.clone()), good);
    }
}
