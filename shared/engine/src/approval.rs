//! Approvals: a person is asked, a token waits, an answer is written once.
//!
//! ```text
//! Begin asks (tells the channels) ─► the state Ask leaves its token ─► Approve writes the answer, and answers it
//!                                          └─ nobody in time ─► Settle: on_timeout
//! ```
//!
//! Invariants. The answer is in the task's record before any token hears of it, together with its audit
//! entry, and is never changed: who comes second hears who was first. The token only wakes: Finish and
//! Settle read the answer from the record, so that a token that was lost, answered late or answered by
//! somebody else changes nothing. A token that comes after the answer hears it at once; of two tokens the
//! newer one is kept.

use crate::classify::{self, Failure};
use crate::command::{Approve, Ask, Command, Decision, Effect, Outcome, Reply};
use crate::context::{Renderer, Unrendered};
use crate::ending::Case;
use crate::operate::entry;
use crate::status::{Loaded, effective, load_run, load_task};
use crate::stop::Stop;
use crate::{Settings, View};
use cauce_model::plan::{ApprovalPlan, OnReject, OnTimeout, TaskKind};
use cauce_model::record::{
    AnswerRecord, ApprovalRecord, OutputRecord, Record, RunRecord, TaskRecord, run_item, task_item,
};
use cauce_model::{FailureClass, Instant, Item, Json, RunKey, TaskStatus, Write, names};
use serde_json::json;

/// On one machine an answer may be given by another process, which cannot reach the token: the engine that
/// has it looks this often.
const HEED_SECONDS: u64 = 1;

/// Who answered, where `on_timeout` did.
const NOBODY: &str = "on_timeout";

/// Asks: the attempt begins, and the channels are told. An answer that an earlier generation was given, and
/// died before it could use, stands: nobody is asked again.
pub(crate) fn ask(
    case: &mut Case<'_>,
    plan: &ApprovalPlan,
    renderer: &Renderer<'_>,
) -> Result<(), Unrendered> {
    let answered = case.record().approval.take().filter(|approval| approval.answer.is_some());
    if let Some(answered) = answered {
        case.start_attempt(false);
        case.record().approval = Some(ApprovalRecord { token_order: None, ..answered });
        return Ok(());
    }
    let message = renderer.text(&plan.message)?;
    let now = case.now;
    let until = now.plus_seconds(case.plan().timeout_seconds);
    case.start_attempt(false);
    let env = renderer.settings.environment.as_ref().map(|env| format!(" --env {env}")).unwrap_or_default();
    let (run, task) = (&case.run.run, &case.plan().name);
    let subject = format!("{run}: task {task} waits for approval");
    let how = format!(
        "approve: cauce approve {run} {task}{env}\nreject:  cauce reject {run} {task}{env}\nuntil:   {until}"
    );
    let text = if message.is_empty() { how } else { format!("{message}\n\n{how}") };
    let waits = format!("waits for approval (cauce approve {run} {task}{env}): {message}");
    case.post("approval", &plan.notify, &subject, &text);
    let record = case.record();
    record.reason = Some(waits);
    record.approval = Some(ApprovalRecord { message, asked_at: now, until, token_order: None, answer: None });
    Ok(())
}

/// The state that waits leaves its token, or hears the answer.
pub(crate) fn wait(ask: &Ask, view: &View, settings: &Settings, now: Instant) -> Result<Decision, Stop> {
    let refused = |cause: String| Decision {
        effects: vec![Effect::Refuse { token: ask.token.clone(), error: names::DENIED, cause }],
        ..Decision::default()
    };
    let (run, mut loaded) = load(&ask.run_key, &ask.task, view)?;
    // No two attempts have one fence, of whatever generations.
    if loaded.record.fence != ask.fence || !is_asked(&run, &loaded.record) {
        return Ok(refused(format!("{} {} waits for no answer", run.run, ask.task)));
    }
    if let Some(cancel) = &run.cancel {
        return Ok(refused(cancel.reason.clone()));
    }
    let Some(approval) = &mut loaded.record.approval else {
        unreachable!("an approval that is asked has its question")
    };
    if let Some(answer) = &approval.answer {
        return Ok(Decision { effects: vec![tell(&ask.token, answer)], ..Decision::default() });
    }
    let later = later(ask, settings, now);
    match approval.token_order.as_deref() {
        // A late repeat of an older request must not take the place of the newer token.
        Some(order) if order > ask.token_order.as_str() => return Ok(Decision::default()),
        Some(order) if order == ask.token_order => {
            return Ok(Decision { effects: later, ..Decision::default() });
        }
        _ => {}
    }
    approval.token_order = Some(ask.token_order.clone());
    loaded.record.token = Some(ask.token.clone());
    Ok(Decision { writes: vec![write(&run, &loaded)], effects: later, ..Decision::default() })
}

/// What happens while it waits, where nobody else sees to that: in a simulation its answer comes, on one
/// machine an answer is looked for.
fn later(ask: &Ask, settings: &Settings, now: Instant) -> Vec<Effect> {
    if let Some(answers) = &settings.answers {
        let answer = answers.get(&ask.task).map(|answer| {
            let command = Command::Approve(Approve {
                run_key: ask.run_key.clone(),
                task: ask.task.clone(),
                approved: answer.approved,
                by: "simulation".to_owned(),
                comment: String::new(),
            });
            Effect::At { at: now.plus_micros(answer.after_micros), command: Box::new(command) }
        });
        return answer.into_iter().collect();
    }
    if !settings.one_machine {
        return Vec::new();
    }
    vec![heed_again(&ask.run_key, ask.generation, &ask.task, now)]
}

fn heed_again(run_key: &RunKey, generation: u32, task: &str, now: Instant) -> Effect {
    let command = Command::Heed { run_key: run_key.clone(), generation, task: task.to_owned() };
    Effect::At { at: now.plus_seconds(HEED_SECONDS), command: Box::new(command) }
}

/// Looks whether somebody else has written the answer, and again later while nobody has.
pub(crate) fn heed(
    run_key: &RunKey,
    generation: u32,
    task: &str,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let (run, loaded) = load(run_key, task, view)?;
    if run.generation != generation || !is_asked(&run, &loaded.record) {
        return Ok(Decision::default());
    }
    let mut effects = told(&run, &loaded.record);
    if effects.is_empty() {
        effects.push(heed_again(run_key, generation, task, now));
    }
    Ok(Decision { effects, ..Decision::default() })
}

/// A person answers.
pub(crate) fn answer(approve: &Approve, view: &View, now: Instant) -> Result<Decision, Stop> {
    let Approve { run_key, task, approved, by, comment } = approve;
    let expect = load_run(view, run_key)?.expect;
    let (run, mut loaded) = load(run_key, task, view)?;
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let refuse = |cause: String| Err(Stop::refuse(names::DENIED, format!("{} {task} {cause}", run.run)));
    let Some((index, plan)) = prepared.find(task) else {
        return Err(Stop::refuse(names::DENIED, format!("{} has no task '{task}'", run.run)));
    };
    if !matches!(plan.kind, TaskKind::Approval(_)) {
        return refuse("is no approval: it asks nobody".to_owned());
    }
    let record = &loaded.record;
    let status = effective(&run, index, Some(record));
    let given = record.approval.as_ref().and_then(|approval| approval.answer.as_ref());
    if let Some(given) = given.filter(|_| status != TaskStatus::Waiting) {
        if given.approved != *approved {
            let at = given.at.shown();
            return refuse(format!("was {given}, at {at}"));
        }
        return Ok(Decision {
            effects: told(&run, record),
            reply: Reply::Ok(told_of(given)),
            ..Decision::default()
        });
    }
    if !is_asked(&run, record) {
        let why = record.reason.as_ref().filter(|_| status.is_terminal());
        let why = why.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let when = if status.is_terminal() { "no longer" } else { "not yet" };
        return refuse(format!("is {status}{why}: it does {when} wait for an answer"));
    }
    if let Some(cancel) = &run.cancel {
        return refuse(format!("waits no longer, its run is being cancelled: {}", cancel.reason));
    }
    let answer = AnswerRecord { approved: *approved, by: by.clone(), at: now, comment: comment.clone() };
    let audited = audit(&run, task, &answer);
    let reply = Reply::Ok(told_of(&answer));
    give(&mut loaded.record, answer);
    let is_as_read = Write::Check { key: run_item(run_key), expect };
    Ok(Decision {
        writes: vec![write(&run, &loaded), audited, is_as_read],
        effects: told(&run, &loaded.record),
        reply,
        ..Decision::default()
    })
}

/// An answer as outputs have it; its fields are those of `APPROVAL_OUTPUT`.
fn told_of(answer: &AnswerRecord) -> Json {
    json!({"decision": answer.decision(), "by": answer.by, "at": answer.at, "comment": answer.comment})
}

/// When nobody answered in time, the plan may. Gives the write of its audit entry.
pub(crate) fn answer_for_nobody(
    case: &mut Case<'_>,
    plan: &ApprovalPlan,
    outcome: &Outcome,
) -> Option<Write> {
    let approved = match plan.on_timeout {
        OnTimeout::Fail => return None,
        OnTimeout::Approve => true,
        OnTimeout::Reject => false,
    };
    let is_open = case.loaded.record.approval.as_ref().is_some_and(|approval| approval.answer.is_none());
    if case.stopped().is_some() || !is_open || failure(outcome).class != FailureClass::Timeout {
        return None;
    }
    let answer = AnswerRecord { approved, by: NOBODY.into(), at: case.now, comment: String::new() };
    let audited = audit(case.run, &case.plan().name, &answer);
    give(case.record(), answer);
    Some(audited)
}

/// How the attempt ends once its state has ended: as the record's answer says, whatever the state was told.
pub(crate) fn settle(
    case: &mut Case<'_>,
    plan: &ApprovalPlan,
    outcome: &Outcome,
) -> Result<Decision, Failure> {
    if let Some(reason) = case.stopped() {
        return Ok(case.end(TaskStatus::Cancelled, Some(reason)));
    }
    let record = case.record();
    let Some(answer) = record.approval.as_ref().and_then(|approval| approval.answer.clone()) else {
        return Err(failure(outcome));
    };
    match (answer.approved, plan.on_reject) {
        (false, OnReject::Fail) => Err(Failure::new(FailureClass::Rejected, answer.to_string())),
        (false, OnReject::Skip) => Ok(case.end(TaskStatus::Skipped, Some(answer.to_string()))),
        (true, _) | (false, OnReject::Continue) => {
            record.output = Some(OutputRecord::Inline(told_of(&answer)));
            Ok(case.end(TaskStatus::Success, Some(answer.to_string())))
        }
    }
}

/// Why a state that waited ended without an answer in the record.
fn failure(outcome: &Outcome) -> Failure {
    let Outcome::Failed { error, cause } = outcome else {
        return Failure::new(FailureClass::Unknown, "its token was answered, but not by an approval");
    };
    let failure = classify::failure(error, cause);
    if failure.class == FailureClass::Timeout {
        return Failure::new(FailureClass::Timeout, "nobody answered in time");
    }
    failure
}

/// What the token that waits hears of an answer, as often as somebody asks.
pub(crate) fn told(run: &RunRecord, record: &TaskRecord) -> Vec<Effect> {
    let answer = record.approval.as_ref().and_then(|approval| approval.answer.as_ref());
    let waits = answer.zip(record.token.as_ref()).filter(|_| is_asked(run, record));
    waits.map(|(answer, token)| tell(token, answer)).into_iter().collect()
}

fn tell(token: &str, answer: &AnswerRecord) -> Effect {
    let token = token.to_owned();
    if answer.approved {
        return Effect::Answer { token, result: json!({"decision": answer.decision()}) };
    }
    Effect::Refuse { token, error: names::REJECTED, cause: answer.to_string() }
}

/// Whether the question stands in the run's present generation.
fn is_asked(run: &RunRecord, record: &TaskRecord) -> bool {
    record.generation == run.generation && record.status == TaskStatus::Running && record.approval.is_some()
}

fn give(record: &mut TaskRecord, answer: AnswerRecord) {
    record.reason = Some(answer.to_string());
    if let Some(approval) = &mut record.approval {
        approval.answer = Some(answer);
    }
}

fn audit(run: &RunRecord, task: &str, answer: &AnswerRecord) -> Write {
    let action = if answer.approved { "approve" } else { "reject" };
    let mut entry = entry(answer.at, action, Some(&answer.by), run);
    entry.task = Some(task.to_owned());
    entry.detail = json!({"comment": answer.comment, "generation": run.generation});
    entry.write()
}

fn load(run_key: &RunKey, task: &str, view: &View) -> Result<(RunRecord, Loaded<TaskRecord>), Stop> {
    view.want([run_item(run_key), task_item(run_key, task, None)])?;
    let run = load_run(view, run_key)?.record;
    let loaded = load_task(view, run_key, run.generation, task, None)?;
    Ok((run, loaded))
}

fn write(run: &RunRecord, loaded: &Loaded<TaskRecord>) -> Write {
    let key = task_item(&run.key(), &loaded.record.task, None);
    Write::Put { item: Item::new(key, loaded.record.to_body()), expect: loaded.expect }
}
