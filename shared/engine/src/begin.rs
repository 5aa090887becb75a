//! Begin: may this task run, and with what? The order of the questions is the specification:
//! generation, repeat, cancel, gate, upstreams, rule, `if`, what `claim` asks, launch.

use crate::claim::{self, Claim};
use crate::command::{Begin, Command, Decision, Effect, Finish, Outcome, Reply};
use crate::context::{self, Renderer, Unrendered};
use crate::ending::{Case, refusal};
use crate::gate::Passage;
use crate::kinds;
use crate::rules::{Verdict, evaluate};
use crate::slots;
use crate::status::{
    Upstreams, effective, kept_status, load_run, load_task, upstreams, works_on_what_is_set_up,
};
use crate::stop::Stop;
use crate::view::Liveness;
use crate::{Settings, View, approval, datasets, gate, launch, retry};
use cauce_model::control::{HeldBackBy, HeldBackRecord};
use cauce_model::ids::{child_execution_name, sha256_hex};
use cauce_model::plan::{MapPlan, TaskKind, TaskPlan};
use cauce_model::record::{OutputRecord, Record, RunRecord, TaskRecord, run_item, task_item};
use cauce_model::{Instant, Json, TaskStatus, names};
use serde_json::{Map, json};

pub(crate) fn decide(
    begin: &Begin,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let parent = begin.index.map(|_| task_item(&begin.run_key, &begin.task, None));
    let own = task_item(&begin.run_key, &begin.task, begin.index);
    view.want([run_item(&begin.run_key), own].into_iter().chain(parent))?;
    let run = load_run(view, &begin.run_key)?.record;
    if run.generation != begin.generation || run.status.is_terminal() {
        return Ok(refuse(
            begin,
            names::DENIED,
            format!("generation {} of {} is over", begin.generation, run.run),
        ));
    }
    let prepared = view.plan(&run.run.pipeline, &run.version)?;
    let settings = view.settings(&run, settings)?;
    let Some((task, plan)) = prepared.find(&begin.task) else {
        return Ok(refuse(
            begin,
            names::DENIED,
            format!("version {} has no task '{}'", run.version, begin.task),
        ));
    };
    let loaded = load_task(view, &begin.run_key, run.generation, &begin.task, begin.index)?;
    let mut case = Case { run: &run, prepared: &prepared, task, loaded, now };

    // A repeat: the answer is the stored one, and everything that belongs to it happens again.
    let record = &case.loaded.record;
    let is_kept = kept(&case);
    if record.generation == run.generation && record.status.is_terminal() || is_kept {
        // What its setups make anew is made before anything below it begins.
        if is_kept
            && works_on_what_is_set_up(&run, &prepared, task)
            && at_gate(begin, view, case.plan())? == Passage::Stays
        {
            return Ok(Decision::default());
        }
        let effects = match is_kept {
            true => case.after_end_as(kept_status(view, &run, &prepared, task, &case.loaded.record)?),
            false => case.after_end(),
        };
        return Ok(with_answer(begin, &case, Decision { effects, ..Decision::default() }));
    }
    if record.generation == run.generation
        && record.status == TaskStatus::Running
        && let Some(launch) = &record.launch
    {
        let effects = case.deliveries();
        return Ok(answered(begin, launch.clone(), Decision { effects, ..Decision::default() }));
    }
    let mut renewed = Vec::new();
    let mut interrupted = false;
    if record.generation < run.generation {
        interrupted = run.revived && is_interrupted(&case);
        renewed = case.renew();
    }
    let mut decision = fresh(begin, view, settings, case, (plan.map.as_ref(), interrupted))?;
    decision.effects.append(&mut renewed);
    Ok(decision)
}

/// Whether the newest attempt of an earlier generation had started work when its engine ended.
fn is_interrupted(case: &Case<'_>) -> bool {
    let record = &case.loaded.record;
    let is_open = record.attempts.last().is_some_and(|attempt| attempt.ended_at.is_none());
    case.does_work() && is_open && record.status == TaskStatus::Running
}

/// How it fares at its gate. Where it has none, the order of the machine has let everything above it end.
fn at_gate(begin: &Begin, view: &View, plan: &TaskPlan) -> Result<Passage, Stop> {
    let token = (begin.token.as_str(), begin.token_order.as_str());
    match &plan.gate {
        Some(gate) => gate::pass(view, &begin.run_key, begin.generation, plan, gate, token),
        None => Ok(Passage::Whole),
    }
}

/// Whether an earlier generation's ending stands.
fn kept(case: &Case<'_>) -> bool {
    let record = &case.loaded.record;
    record.index.is_none() && record.status.is_terminal() && case.run.carries(case.task as usize)
}

/// Answers the token with the end that the record has reached.
fn with_answer(begin: &Begin, case: &Case<'_>, mut decision: Decision) -> Decision {
    let record = &case.loaded.record;
    if record.status == TaskStatus::Success && case.plan().kind.machine().is_none() {
        return answered(begin, json!({}), decision);
    }
    decision.effects.push(Effect::Refuse {
        token: begin.token.clone(),
        error: refusal(record.status),
        cause: record.reason.clone().unwrap_or_else(|| record.status.to_string()),
    });
    decision
}

fn answered(begin: &Begin, result: Json, mut decision: Decision) -> Decision {
    decision.effects.push(Effect::Answer { token: begin.token.clone(), result });
    decision
}

fn refuse(begin: &Begin, error: &'static str, cause: String) -> Decision {
    let effects = vec![Effect::Refuse { token: begin.token.clone(), error, cause }];
    Decision { effects, ..Decision::default() }
}

fn fresh(
    begin: &Begin,
    view: &View,
    settings: &Settings,
    mut case: Case<'_>,
    (map, interrupted): (Option<&MapPlan>, bool),
) -> Result<Decision, Stop> {
    let (run, now) = (case.run, case.now);
    let plan = case.plan();
    if let Some(index) = begin.index
        && let Some(decision) = without_running(begin, view, &mut case, index)?
    {
        return Ok(decision);
    }
    if let Some(reason) = case.stopped() {
        let decision = case.end(TaskStatus::Cancelled, Some(reason));
        return Ok(with_answer(begin, &case, decision));
    }
    if begin.index.is_none() && case.loaded.record.status == TaskStatus::Waiting {
        match admitted(begin, view, settings, &case)? {
            Admission::Runs => {}
            Admission::Stays => return Ok(Decision::default()),
            Admission::NotYet(decision) => return Ok(decision),
            Admission::Ends(status, reason) => {
                let decision = case.end(status, Some(reason));
                return Ok(with_answer(begin, &case, decision));
            }
            Admission::LeftOut(reason) => {
                case.record().left_out = true;
                let decision = case.end(TaskStatus::Skipped, Some(reason));
                return Ok(with_answer(begin, &case, decision));
            }
        }
    }

    if interrupted && let Some(reason) = retry::after_interruption(plan, &run.key(), &case.loaded.record, now)
    {
        let decision = case.end(TaskStatus::Failed, Some(reason));
        return Ok(with_answer(begin, &case, decision));
    }
    // One that waits for objects looks again in the same attempt.
    if case.loaded.record.status != TaskStatus::Running
        && let Some(reason) = retry::over(&plan.retry, &case.loaded.record, now)
    {
        let decision = case.end(TaskStatus::Failed, Some(reason));
        return Ok(with_answer(begin, &case, decision));
    }

    let outputs = match context::outputs(view, run, case.prepared, plan)? {
        Ok(outputs) => outputs,
        Err(error) => return Ok(misconfigured(begin, case, error)),
    };
    let number = case.loaded.record.attempts.len() as u32 + 1;
    let item = match begin.index {
        None => None,
        Some(index) => match item_value(view, run, begin, index)? {
            Ok(value) => Some((value, index)),
            Err(error) => return Ok(misconfigured(begin, case, error)),
        },
    };
    if let Some((value, _)) = &item {
        case.record().item_hash = Some(sha256_hex(value.to_string()));
    }
    let attempt = context::Attempt { number, item: item.as_ref().map(|(value, index)| (value, *index)) };
    let context = context::context(run, &outputs, &attempt);
    let renderer = Renderer { context: &context, settings };

    let condition = plan
        .condition
        .as_deref()
        .filter(|_| begin.index.is_none() && case.loaded.record.status == TaskStatus::Waiting);
    if let Some(condition) = condition {
        match renderer.truth(condition) {
            Ok(true) => {}
            Ok(false) => {
                let decision = case.end(TaskStatus::Skipped, Some(format!("if: {condition} is false")));
                return Ok(with_answer(begin, &case, decision));
            }
            Err(error) => return Ok(misconfigured(begin, case, error)),
        }
    }
    if begin.index.is_none()
        && let Err(error) = datasets::render(&mut case, &renderer)
    {
        return Ok(misconfigured(begin, case, error));
    }
    if let Some(map) = map.filter(|_| begin.index.is_none()) {
        return Ok(expand(begin, settings, case, map, &renderer));
    }
    let value = item.as_ref().map(|(value, _)| value);
    let mut held = match claim::claim(view, &mut case, value, &renderer)? {
        Claim::Held(writes) => writes,
        Claim::Waits(request) => return Ok(queue(begin, case, request)),
        Claim::Later { by, name, until, writes, effects } => {
            let decision = Decision { writes, effects, ..Decision::default() };
            return Ok(hold_back(begin, case, (by, name, until), decision));
        }
        Claim::Ends(ended) => return Ok(with_answer(begin, &case, *ended)),
        Claim::Never(error) => return Ok(misconfigured(begin, case, error)),
    };
    match &plan.kind {
        TaskKind::Container(_) | TaskKind::Call(_) => {
            let avoid_spot = case.loaded.record.attempts.iter().any(|a| {
                matches!(
                    a.class,
                    Some(cauce_model::FailureClass::SpotInterruption | cauce_model::FailureClass::Capacity)
                )
            });
            let attempt = launch::Attempt {
                number,
                index: begin.index,
                fence: case.loaded.record.fence + 1,
                item: value,
                outputs: &outputs.values,
                size: retry::size(plan, &case.loaded.record),
                avoid_spot,
            };
            match launch::render(run, plan, &attempt, &renderer) {
                Err(error) => Ok(misconfigured(begin, case, error)),
                Ok(launch) => {
                    case.start_attempt(launch::is_program(&launch.request));
                    if let Some(newest) = case.record().attempts.last_mut() {
                        newest.size = attempt.size;
                    }
                    case.record().output_uri = Some(launch.output_uri);
                    let documents = launch.document.into_iter().collect();
                    let decision = Decision { documents, writes: held, ..Decision::default() };
                    Ok(launched(begin, settings, case, launch.request, decision))
                }
            }
        }
        TaskKind::Pipeline(other) => match kinds::pipeline(view, &mut case, other, &renderer)? {
            Err(error) => Ok(misconfigured(begin, case, error)),
            Ok(kinds::PipelineStart::Launch { request, mut decision }) => {
                decision.writes.append(&mut held);
                Ok(launched(begin, settings, case, request, decision))
            }
            Ok(kinds::PipelineStart::Ended(mut decision)) => {
                datasets::wrote(&mut case, &mut decision, view)?;
                decision.writes.append(&mut held);
                let answer = with_answer(begin, &case, Decision::default());
                decision.effects.extend(answer.effects);
                Ok(decision)
            }
        },
        TaskKind::Approval(asked) => match approval::ask(&mut case, asked, &renderer) {
            Err(error) => Ok(misconfigured(begin, case, error)),
            Ok(()) => {
                let decision = Decision { writes: held, effects: case.deliveries(), ..Decision::default() };
                Ok(launched(begin, settings, case, json!({}), decision))
            }
        },
        TaskKind::WaitFor(wait) => match kinds::wait_for(view, &mut case, wait, &renderer)? {
            Err(error) => Ok(misconfigured(begin, case, error)),
            Ok(kinds::Look::Ended(mut decision)) => {
                datasets::wrote(&mut case, &mut decision, view)?;
                Ok(with_answer(begin, &case, decision))
            }
            Ok(kinds::Look::Again { seconds, decision }) => Ok(look_again(begin, seconds, decision)),
        },
        kind => match kinds::inline(view, settings, &mut case, kind, &renderer)? {
            Err(error) => Ok(misconfigured(begin, case, error)),
            Ok(mut decision) => {
                datasets::wrote(&mut case, &mut decision, view)?;
                Ok(with_answer(begin, &case, decision))
            }
        },
    }
}

/// Whether a task may go on to its `if`.
enum Admission {
    Runs,
    /// The token stays with the gate.
    Stays,
    /// To be asked again.
    NotYet(Decision),
    Ends(TaskStatus, String),
    /// Another task is to run alone.
    LeftOut(String),
}

fn admitted(begin: &Begin, view: &View, settings: &Settings, case: &Case<'_>) -> Result<Admission, Stop> {
    let (run, plan) = (case.run, case.plan());
    match &run.only {
        Some(only) if *only == plan.name => return Ok(Admission::Runs),
        Some(only) => {
            return Ok(Admission::LeftOut(format!("only {only} runs in this generation")));
        }
        None => {}
    }
    let passage = at_gate(begin, view, plan)?;
    if passage == Passage::Stays {
        return Ok(Admission::Stays);
    }
    let ups = upstreams(view, run, case.prepared, case.task)?;
    if let Some(branch) = &ups.skipped_by {
        return Ok(Admission::Ends(TaskStatus::Skipped, format!("branch {branch} took another way")));
    }
    if plan.is_teardown() && ups.tally.all_ended() && !made(view, case)? {
        let reason = "none of what it takes away was set up".to_owned();
        return Ok(Admission::Ends(TaskStatus::Skipped, reason));
    }
    Ok(match evaluate(plan.rule, ups.tally) {
        Verdict::Run => Admission::Runs,
        Verdict::Skip => Admission::Ends(TaskStatus::Skipped, because(plan.rule.as_str(), &ups)),
        Verdict::UpstreamFailed => {
            Admission::Ends(TaskStatus::UpstreamFailed, because(plan.rule.as_str(), &ups))
        }
        // One that had arrived counts otherwise by now, and others have not arrived.
        Verdict::Wait if passage == Passage::Early => Admission::Stays,
        Verdict::Wait => Admission::NotYet(settle_upstreams(view, settings, case, &ups)?),
    })
}

/// Whether one of a teardown's setups succeeded.
fn made(view: &View, case: &Case<'_>) -> Result<bool, Stop> {
    for setup in &case.plan().teardown_of {
        let key = task_item(&case.run.key(), &case.prepared.task(*setup).name, None);
        let record = view.item(&key)?.map(TaskRecord::from_item).transpose()?;
        if effective(case.run, *setup, record.as_ref()) == TaskStatus::Success {
            return Ok(true);
        }
    }
    Ok(false)
}

fn because(rule: &str, ups: &Upstreams) -> String {
    let tally = ups.tally;
    let counted = [
        (tally.success, "succeeded", "succeeded"),
        (tally.failed, "failed", "failed"),
        (tally.skipped, "was skipped", "skipped"),
        (tally.upstream_failed, "could not run", "could not run"),
    ];
    let mut parts = counted.into_iter().filter(|(count, ..)| *count > 0);
    if tally.total == 1 {
        let word = parts.next().map_or("has not ended", |(_, word, _)| word);
        return format!("{rule}: its upstream {word}");
    }
    let parts: Vec<String> = parts.map(|(count, _, word)| format!("{count} {word}")).collect();
    format!("{rule}: of {} upstreams {}", tally.total, parts.join(", "))
}

/// The machine's order says that every upstream was passed, yet some have no ending: their
/// executions died without a word (States.Runtime cannot be caught). They are settled as failed, and
/// this Begin is asked again.
fn settle_upstreams(
    view: &View,
    settings: &Settings,
    case: &Case<'_>,
    ups: &Upstreams,
) -> Result<Decision, Stop> {
    let run_key = case.run.key();
    let mut effects = Vec::new();
    let mut cause = String::from("settled upstreams that ended without a word:");
    for up in &ups.open {
        let plan = case.prepared.task(*up);
        let machine = plan.kind.machine().and_then(|kind| settings.machines.get(kind));
        if let (Some(machine), None) = (machine, &plan.map) {
            let name = child_execution_name(&run_key, case.run.generation, &plan.name, None);
            if *view.execution(machine, &name)? == Liveness::Running {
                return Err(Stop::refuse(
                    names::UNAVAILABLE,
                    format!("upstream {} has not ended", plan.name),
                ));
            }
        }
        let fence =
            view.item(&task_item(&run_key, &plan.name, None))?.map(TaskRecord::from_item).transpose()?;
        effects.push(Effect::Command(Box::new(Command::Finish(Finish {
            run_key: run_key.clone(),
            generation: case.run.generation,
            task: plan.name.clone(),
            index: None,
            fence: fence.map_or(0, |record| record.fence),
            outcome: Outcome::Died(None),
        }))));
        cause.push(' ');
        cause.push_str(&plan.name);
    }
    Ok(Decision {
        effects,
        reply: Reply::Failure { error: names::UNAVAILABLE, cause },
        ..Decision::default()
    })
}

/// The value of one item, from the list that the mapped task's expansion stored.
fn item_value(
    view: &View,
    run: &cauce_model::record::RunRecord,
    begin: &Begin,
    index: u32,
) -> Result<Result<Json, Unrendered>, Stop> {
    let parent =
        view.item(&task_item(&begin.run_key, &begin.task, None))?.map(TaskRecord::from_item).transpose()?;
    let items = parent.filter(|record| record.generation == run.generation).and_then(|record| record.items);
    let Some(items) = items else {
        return Err(Stop::from(refuse(
            begin,
            names::DENIED,
            format!("{} has no items in this generation", begin.task),
        )));
    };
    let list = match context::stored(view, &items)? {
        Ok(list) => list,
        Err(problem) => {
            let task = &begin.task;
            return Ok(Err(Unrendered(format!("the items of {task}: {problem}; run {task} again"))));
        }
    };
    match list.get(index as usize) {
        Some(value) => Ok(Ok(value.clone())),
        None => Err(Stop::from(refuse(begin, names::DENIED, format!("{} has no item {index}", begin.task)))),
    }
}

/// What becomes of an item without running. What an earlier generation made of the same value stands, also where
/// the run is cancelled by now; and beside items that were named to run again, no other does.
fn without_running(
    begin: &Begin,
    view: &View,
    case: &mut Case<'_>,
    index: u32,
) -> Result<Option<Decision>, Stop> {
    let run = case.run;
    let before = load_task(view, &begin.run_key, 0, &begin.task, begin.index)?.record;
    if run.generation == 1 || before.generation == run.generation {
        return Ok(None);
    }
    let (is_wanted, since) = wanted_item(run, &begin.task, index);
    if stands(run, &before, since)
        && let Ok(value) = item_value(view, run, begin, index)?
        && before.item_hash == Some(sha256_hex(value.to_string()))
    {
        let ran_in = Some(before.ran_in.unwrap_or(before.generation));
        *case.record() = TaskRecord { generation: run.generation, ran_in, ..before };
        let decision = Decision { writes: vec![case.write()], ..Decision::default() };
        return Ok(Some(with_answer(begin, case, decision)));
    }
    if is_wanted {
        return Ok(None);
    }
    let decision =
        case.end(TaskStatus::Cancelled, Some("only the items that were named run again".to_owned()));
    Ok(Some(with_answer(begin, case, decision)))
}

/// Whether the present generation runs an item that has nothing to keep, and the generation since which what it has
/// counts.
fn wanted_item(run: &RunRecord, task: &str, index: u32) -> (bool, u32) {
    let item_since =
        run.item_since.get(task).and_then(|items| items.get(&index)).copied().unwrap_or_default();
    match run.items_of.as_ref().filter(|named| named.task == task) {
        Some(named) if item_since >= named.since => (true, item_since),
        Some(_) => (false, 0),
        None => (true, run.items_since.get(task).copied().unwrap_or_default().max(item_since)),
    }
}

/// The items of the task that were named to run again in the present generation.
fn named_items(run: &RunRecord, begin: &Begin) -> Vec<u32> {
    let Some(named) = run.items_of.as_ref().filter(|named| named.task == begin.task) else {
        return Vec::new();
    };
    let since = run.item_since.get(&begin.task).into_iter().flatten();
    since.filter(|(_, since)| **since >= named.since).map(|(item, _)| *item).collect()
}

/// Whether what an item has ended as stands. A failure does so beside named items, and where it is of an interrupted
/// generation that is resumed.
fn stands(run: &RunRecord, before: &TaskRecord, since: u32) -> bool {
    let ran_in = before.ran_in.unwrap_or(before.generation);
    let is_alone = run.items_of.as_ref().is_some_and(|named| named.task == before.task);
    let has_ended = match before.status {
        TaskStatus::Success | TaskStatus::Skipped => true,
        TaskStatus::Cancelled => false,
        other => {
            other.is_terminal() && (is_alone || run.stands_since.is_some_and(|resumed| ran_in >= resumed))
        }
    };
    has_ended && ran_in >= since
}

fn misconfigured(begin: &Begin, mut case: Case<'_>, error: Unrendered) -> Decision {
    let decision = case.end(TaskStatus::Failed, Some(error.0));
    with_answer(begin, &case, decision)
}

fn queue(begin: &Begin, mut case: Case<'_>, request: slots::Request) -> Decision {
    let now = case.now;
    let generation = case.run.generation;
    let record = case.record();
    record.status = TaskStatus::Queued;
    record.generation = generation;
    record.token = Some(begin.token.clone());
    record.waits_for = request.wants.iter().map(|want| want.pool.clone()).collect();
    record.held_back = None;
    record.queued_at.get_or_insert(now);
    let effects = vec![slots::stand_in_line(request)];
    Decision { writes: vec![case.write()], effects, ..Decision::default() }
}

/// The attempt looks again by itself, after a pause that its machine makes.
fn hold_back(
    begin: &Begin,
    mut case: Case<'_>,
    (by, name, until): (HeldBackBy, String, Option<Instant>),
    mut decision: Decision,
) -> Decision {
    let now = case.now;
    let generation = case.run.generation;
    let before = case.loaded.record.clone();
    let since = before.held_back.as_ref().filter(|held| held.by == by).map_or(now, |held| held.since);
    let held = HeldBackRecord { by, name, since, until };
    let seconds = claim::pause(&held, now);
    let record = case.record();
    record.status = TaskStatus::Queued;
    record.generation = generation;
    record.token = None;
    record.waits_for.clear();
    record.held_back = Some(held);
    record.queued_at.get_or_insert(now);
    if *record != before || !decision.writes.is_empty() {
        decision.writes.push(case.write());
    }
    look_again(begin, seconds, decision)
}

/// The machine pauses, and asks again.
fn look_again(begin: &Begin, seconds: u64, mut decision: Decision) -> Decision {
    decision.effects.push(Effect::Refuse {
        token: begin.token.clone(),
        error: names::WAIT,
        cause: json!({"seconds": seconds}).to_string(),
    });
    decision
}

/// Whether the platform first finds machines for a task.
fn provisions(kind: &TaskKind) -> bool {
    match kind {
        TaskKind::Call(call) => call.service.provisions(),
        TaskKind::Approval(_) | TaskKind::Pipeline(_) => false,
        _ => true,
    }
}

/// What a program that is over its time takes to end, beyond its `stop_timeout`, until the state that waits for it
/// hears of that.
const TOLD_SECONDS: u64 = 60;

/// Stores the launch and answers with it.
fn launched(
    begin: &Begin,
    settings: &Settings,
    mut case: Case<'_>,
    request: Json,
    mut decision: Decision,
) -> Decision {
    let plan = case.plan();
    let start = if settings.one_machine || !provisions(&plan.kind) { 0 } else { plan.start_timeout_seconds };
    let stop = if launch::is_program(&request) { plan.stop_timeout_seconds + TOLD_SECONDS } else { 0 };
    let record = case.record();
    let answer = json!({
        "launch": request,
        "timeout_seconds": plan.timeout_seconds + start + stop,
        "attempt": record.attempts.len(),
        "fence": record.fence,
    });
    record.launch = Some(answer.clone());
    decision.writes.push(case.write());
    answered(begin, answer, decision)
}

/// Resolves the items of a mapped task.
fn expand(
    begin: &Begin,
    settings: &Settings,
    mut case: Case<'_>,
    map: &MapPlan,
    renderer: &Renderer<'_>,
) -> Decision {
    let items = match renderer.tree(&map.over) {
        Ok(Json::Array(items)) => items,
        Ok(other) => {
            let kind = match other {
                Json::Object(_) => "an object",
                Json::String(_) => "a text",
                Json::Number(_) => "a number",
                Json::Bool(_) => "a truth value",
                _ => "nothing",
            };
            return misconfigured(
                begin,
                case,
                Unrendered(format!("map.over renders to {kind}, not to a list")),
            );
        }
        Err(error) => return misconfigured(begin, case, error),
    };
    let count = items.len();
    if count > map.max_items as usize {
        let text = format!("map.over has {count} items, more than max_items ({})", map.max_items);
        return misconfigured(begin, case, Unrendered(text));
    }
    if let Some(gone) = named_items(case.run, begin).into_iter().find(|item| *item as usize >= count) {
        let text = format!("map.over has no item {gone}, which was to run again: it has {count}");
        return misconfigured(begin, case, Unrendered(text));
    }
    if items.is_empty() {
        let decision = case.end(TaskStatus::Skipped, Some("map.over is empty".to_owned()));
        return with_answer(begin, &case, decision);
    }
    let list = Json::Array(items);
    let text = list.to_string();
    let run_key = case.run.key();
    let generation = case.run.generation;
    let mut decision = Decision::default();
    let now = case.now;
    let name = case.plan().name.clone();
    let record = case.record();
    if text.len() <= cauce_model::record::OUTPUT_INLINE_MAX {
        record.items = Some(OutputRecord::Inline(list));
    } else {
        let uri = format!("{}/items/{run_key}/{name}/{generation}.json", settings.documents);
        record.items = Some(OutputRecord::Uri(uri.clone()));
        decision.documents.push((uri, text.into_bytes()));
    }
    record.item_count = Some(count as u32);
    record.status = TaskStatus::Running;
    record.generation = generation;
    record.started_at.get_or_insert(now);
    record.fence += 1;
    let mut answer = Map::new();
    answer.insert("count".into(), Json::from(count));
    answer.insert("indices".into(), (0..count).collect());
    answer.insert("fence".into(), Json::from(record.fence));
    let answer = Json::Object(answer);
    record.launch = Some(answer.clone());
    decision.writes.push(case.write());
    answered(begin, answer, decision)
}
