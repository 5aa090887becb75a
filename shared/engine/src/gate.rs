//! Gates: what a task waits behind when its machine's shape does not already order it.
//!
//! Invariants. Never early: a member is in `done` only after its task run is terminal. Never lost:
//! both the arrival and the registration of a token are atomic changes of one item, so the later of
//! the two sees the other. Opened once: `closed` to `open` is one conditional change; its effect may
//! be repeated, and a token is answered once. Sets are idempotent, so everything here may be
//! repeated.

use crate::command::{Arrive, Command, Decision, Effect};
use crate::rules::{Tally, Verdict, evaluate};
use crate::stop::Stop;
use crate::{Prepared, View};
use cauce_model::item::{Change, Cond, Step, When};
use cauce_model::plan::{GATE_LEAF_MEMBERS, GatePlan, TaskIndex};
use cauce_model::record::{RunRecord, gate_item};
use cauce_model::{Item, Json, Key, RunKey, TaskStatus, TriggerRule, names};

const DONE: &str = "done";
const TOKEN: &str = "token";
const ORDER: &str = "token_order";
const STATUS: &str = "status";
const OPEN: &str = "open";

/// Which member arrived, and how: `<member>:<status>`. The status is what an early rule reads.
fn entry(member: u32, status: TaskStatus) -> String {
    format!("{member}:{status}")
}

/// What an item's members say. Leaves count as members once they are full; members that arrive
/// early under an early rule count besides.
struct State {
    members: usize,
    statuses: Vec<TaskStatus>,
}

fn read(item: &Item) -> State {
    let mut members = std::collections::BTreeSet::new();
    let mut statuses = Vec::new();
    for text in item.body.get(DONE).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
        let Some((member, status)) = text.split_once(':') else {
            continue;
        };
        // A leaf is a member of the root (`leaf3:full`); a member of a leaf that decided an early
        // rule is noted at the root beside it and is no member of the root.
        if !member.starts_with("early") {
            members.insert(member.to_owned());
        }
        statuses.extend(TaskStatus::parse(status));
    }
    State { members: members.len(), statuses }
}

/// Whether the gate's root lets its task through.
fn is_ready(item: &Item, rule: TriggerRule, gate: &GatePlan) -> bool {
    let state = read(item);
    if state.members >= root_members(gate) {
        return true;
    }
    // Not all are in: only an early rule can be decided by those that are. The ones that are not
    // count as open, so the tally is as long as the gate is wide.
    rule.is_early() && {
        let tally = Tally { total: gate.waits.len(), ..Tally::count(state.statuses) };
        evaluate(rule, tally) == Verdict::Run
    }
}

fn root_members(gate: &GatePlan) -> usize {
    if gate.waits.len() > GATE_LEAF_MEMBERS {
        gate.waits.len().div_ceil(GATE_LEAF_MEMBERS)
    } else {
        gate.waits.len()
    }
}

/// Whether a single ending can decide the rule.
fn decides(rule: TriggerRule, status: TaskStatus) -> bool {
    rule.is_early() && evaluate(rule, Tally { total: 2, ..Tally::count([status]) }) == Verdict::Run
}

/// The effects with which a task that ended arrives at the gates that wait for it.
pub(crate) fn arrivals(
    run: &RunRecord,
    prepared: &Prepared,
    task: TaskIndex,
    status: TaskStatus,
) -> Vec<Effect> {
    let plan = prepared.task(task);
    let status = crate::status::counted(status, plan.allow_failure);
    plan.opens
        .iter()
        .map(|opens| {
            Effect::Command(Box::new(Command::Arrive(Arrive {
                run_key: run.key(),
                generation: run.generation,
                version: prepared.version.clone(),
                pipeline: prepared.plan.pipeline.clone(),
                task: opens.task,
                member: opens.member,
                status,
            })))
        })
        .collect()
}

/// A member arrives.
pub(crate) fn arrive(arrive: &Arrive, view: &View) -> Result<Decision, Stop> {
    let prepared = view.plan(&arrive.pipeline, &arrive.version)?;
    let task = prepared.task(arrive.task);
    let Some(gate) = &task.gate else {
        return Ok(Decision::default());
    };
    let root = gate_item(&arrive.run_key, arrive.generation, &task.name, None);
    let insert = |name: &str, key: &Key, text: String| -> Result<Item, Stop> {
        let change = Change { steps: vec![Step::Insert(DONE.into(), text)] };
        // Without a condition an update always finds an item to return.
        view.update(name.to_owned(), key.clone(), change, When::always())?
            .cloned()
            .ok_or_else(|| Stop::refuse(names::UNAVAILABLE, "an unconditional change was refused"))
    };
    let at_root = if gate.waits.len() <= GATE_LEAF_MEMBERS {
        insert("root", &root, entry(arrive.member, arrive.status))?
    } else {
        let number = arrive.member / GATE_LEAF_MEMBERS as u32;
        let leaf_key = gate_item(&arrive.run_key, arrive.generation, &task.name, Some(number));
        let leaf = insert("leaf", &leaf_key, entry(arrive.member, arrive.status))?;
        let first = number as usize * GATE_LEAF_MEMBERS;
        let size = gate.waits.len().min(first + GATE_LEAF_MEMBERS) - first;
        let full = read(&leaf).members == size;
        match (full, decides(task.rule, arrive.status)) {
            (false, false) => return Ok(Decision::default()),
            (false, true) => insert("early", &root, format!("early{number}:{}", arrive.status))?,
            (true, false) => insert("full", &root, format!("leaf{number}:full"))?,
            (true, true) => {
                insert("early", &root, format!("early{number}:{}", arrive.status))?;
                insert("full", &root, format!("leaf{number}:full"))?
            }
        }
    };
    let mut decision = Decision::default();
    let waiting = at_root.body.get(TOKEN).and_then(Json::as_str);
    if let Some(token) = waiting
        && is_ready(&at_root, task.rule, gate)
    {
        open(view, &root)?;
        // Whoever opened it, repeating the effect is safe, and not repeating it could lose it.
        decision.effects.push(Effect::Refuse {
            token: token.to_owned(),
            error: names::AGAIN,
            cause: format!("the gate of {} is open", task.name),
        });
    }
    Ok(decision)
}

/// The token that waits at a task's gate.
pub(crate) fn token<'a>(
    run: &RunRecord,
    prepared: &Prepared,
    task: TaskIndex,
    gates: &'a [Item],
) -> Option<&'a str> {
    let root = gate_item(&run.key(), run.generation, &prepared.task(task).name, None);
    gates.iter().find(|item| item.key == root)?.body.get(TOKEN)?.as_str()
}

/// What has to happen again at the gate of a task that nobody has decided yet, as far as its members'
/// records tell: arrivals that are missing, and the answer to a token that waits before an open gate.
/// `gates` are the items of all gates of the generation.
pub(crate) fn retest(
    run: &RunRecord,
    prepared: &Prepared,
    task: TaskIndex,
    gates: &[Item],
    statuses: &[TaskStatus],
) -> Vec<Effect> {
    let plan = prepared.task(task);
    let (Some(gate), Some(token)) = (&plan.gate, token(run, prepared, task, gates)) else {
        return Vec::new();
    };
    let item_of = |leaf: Option<u32>| {
        let key = gate_item(&run.key(), run.generation, &plan.name, leaf);
        gates.iter().find(move |item| item.key == key)
    };
    let Some(root) = item_of(None) else { return Vec::new() };
    if root.body.get(STATUS).and_then(Json::as_str) == Some(OPEN) {
        let cause = format!("the gate of {} is open", plan.name);
        return vec![Effect::Refuse { token: token.to_owned(), error: names::AGAIN, cause }];
    }
    let is_ready = is_ready(root, plan.rule, gate);
    let mut missing = Vec::new();
    for (member, up) in (0..).zip(&gate.waits) {
        let status = statuses[*up as usize];
        if !status.is_terminal() {
            continue;
        }
        let leaf = (gate.waits.len() > GATE_LEAF_MEMBERS).then_some(member / GATE_LEAF_MEMBERS as u32);
        let has = |item: Option<&Item>, text: &str| {
            let done = item.and_then(|item| item.body.get(DONE)).and_then(Json::as_array);
            done.into_iter().flatten().filter_map(Json::as_str).any(|entry| entry.starts_with(text))
        };
        let noted = match leaf {
            None => has(Some(root), &format!("{member}:")),
            // A member of a leaf that the root does not know of arrives again: it may be the last one.
            Some(leaf) => {
                has(item_of(Some(leaf)), &format!("{member}:")) && has(Some(root), &format!("leaf{leaf}:"))
            }
        };
        // A gate that could be open and is not was left by somebody between two steps: any arrival opens it.
        if !noted || is_ready && missing.is_empty() {
            missing.push((member, crate::status::counted(status, prepared.task(*up).allow_failure)));
        }
    }
    let arrive = |(member, status)| {
        Effect::Command(Box::new(Command::Arrive(Arrive {
            run_key: run.key(),
            generation: run.generation,
            version: prepared.version.clone(),
            pipeline: prepared.plan.pipeline.clone(),
            task,
            member,
            status,
        })))
    };
    missing.into_iter().map(arrive).collect()
}

fn open(view: &View, root: &Key) -> Result<bool, Stop> {
    let change = Change { steps: vec![Step::Set(STATUS.into(), Json::from(OPEN))] };
    let when = When { all: vec![Cond::Differs(STATUS.into(), Json::from(OPEN))] };
    Ok(view.update("open".into(), root.clone(), change, when)?.is_some())
}

/// How a token fares at a gate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// The gate is closed. The token stays, and whoever opens the gate answers it.
    Stays,
    /// Those that have arrived let its early rule through. Whoever arrives later answers the token again.
    Early,
    /// All have arrived.
    Whole,
}

/// A token comes to the gate.
pub(crate) fn pass(
    view: &View,
    run_key: &RunKey,
    generation: u32,
    task: &cauce_model::plan::TaskPlan,
    gate: &GatePlan,
    token: (&str, &str),
) -> Result<Passage, Stop> {
    let root = gate_item(run_key, generation, &task.name, None);
    let (token, order) = token;
    let change = Change {
        steps: vec![Step::Set(TOKEN.into(), Json::from(token)), Step::Set(ORDER.into(), Json::from(order))],
    };
    // A late repeat of an older request must not take the place of the newer token.
    let when = When { all: vec![Cond::Before(ORDER.into(), format!("{order}\u{0}"))] };
    let Some(item) = view.update("token".into(), root.clone(), change, when)? else {
        return Ok(Passage::Stays);
    };
    let passage = match read(item).members >= root_members(gate) {
        true => Passage::Whole,
        false => Passage::Early,
    };
    if item.body.get(STATUS).and_then(Json::as_str) == Some(OPEN) {
        return Ok(passage);
    }
    if is_ready(item, task.rule, gate) {
        // Losing this race means that an arrival opened the gate and answers this very token; going
        // on all the same is safe, since the stored launch is replayed to the next one.
        open(view, &root)?;
        return Ok(passage);
    }
    Ok(Passage::Stays)
}
