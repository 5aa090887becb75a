//! A pipeline's items: how their list is written, and how a tick reaches each of them.
//!
//! A tick of a matrix is for all items of its case. It is handed out in steps: each is one write of some
//! runs with their entries in the ledger, and of how far it is. Whoever hears of the tick takes step after
//! step; what it leaves undone is due, and found by the sweep. Each (item, tick) has one entry in the
//! ledger, whose absence is a condition of the write: however many take steps, each happens once.
//!
//! An item hears of ticks from the moment on at which it joined its case.

use crate::command::{Command, Decision, Effect, Existing, ItemChange, Reply, Sync};
use crate::event::{booked, deployed, start};
use crate::stop::Stop;
use crate::trigger::NewRun;
use crate::{Prepared, Settings, View};
use cauce_model::event::{Became, LedgerRecord, ledger_item};
use cauce_model::item::Expect;
use cauce_model::matrix::{
    FanRecord, ItemRecord, MatrixPlan, MatrixRecord, RunItem, fan_item, item_item, items_range, matrix_item,
};
use cauce_model::plan::Plan;
use cauce_model::record::{PipelineRecord, Record, RunRecord, TriggerRecord, pipeline_item, run_item};
use cauce_model::{AuditRecord, Instant, Item, Key, RunKey, TriggerKind, Write, names};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Items of one step. A run is written as six items at most (its entry, record, audit, place in the list of
/// runs under way, deadline, and one to spare), and a transaction takes a hundred.
pub const STEP_ITEMS: u32 = 16;

/// Changes of a list that go into one write: a moved item takes two, and two are of the list itself.
pub const SYNC_CHANGES_MAX: usize = 48;

/// What a tick of a matrix becomes: its entry, and what is to be handed out.
pub(crate) fn open(
    mut entry: LedgerRecord,
    schedule: &str,
    case: Option<&str>,
    (new, suffix): (NewRun, String),
    settings: &Settings,
    now: Instant,
) -> Decision {
    let pipeline = entry.pipeline.clone().unwrap_or_default();
    let fan = FanRecord {
        command: FanRecord::COMMAND.to_owned(),
        pipeline: pipeline.clone(),
        schedule: schedule.to_owned(),
        scheduled_at: entry.at,
        case: case.map(str::to_owned),
        suffix,
        logical_date: new.logical_date,
        data_interval: new.data_interval,
        counts_from: new.scheduled_at.unwrap_or(entry.at),
        timezone: new.timezone,
        cursor: None,
    };
    let item = fan.row(due(settings, now));
    if let Some(case) = case {
        entry.event["case"] = json!(case);
    }
    let mut decision = booked(entry, Became::Items, None);
    // Two expressions of one schedule may tick at one moment: then it is being handed out already.
    decision.writes.push(Write::Put { item, expect: Expect::Any });
    decision.effects.push(wake(&fan, due(settings, now)));
    if let Reply::Ok(reply) = &mut decision.reply {
        reply["fan"] = json!({"pipeline": pipeline, "schedule": schedule, "scheduled_at": fan.scheduled_at});
    }
    decision
}

/// When somebody else takes the next step: not while whoever heard of the tick is at it.
fn due(settings: &Settings, now: Instant) -> Instant {
    settings.patience.left_alone_until(now)
}

fn command(fan: &FanRecord) -> Command {
    Command::Fan {
        pipeline: fan.pipeline.clone(),
        schedule: fan.schedule.clone(),
        scheduled_at: fan.scheduled_at,
    }
}

/// Never as a command that follows: a long list would follow itself as deep as it is long.
fn wake(fan: &FanRecord, at: Instant) -> Effect {
    Effect::At { at, command: Box::new(command(fan)) }
}

/// The next step of handing out a tick. The reply's `again` says whether there is a further one.
pub(crate) fn step(
    pipeline: &str,
    schedule: &str,
    scheduled_at: Instant,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let key = fan_item(pipeline, schedule, scheduled_at);
    view.want([key.clone(), pipeline_item(pipeline)])?;
    let Some(item) = view.item(&key)? else {
        return Ok(Decision { reply: Reply::Ok(json!({"again": false})), ..Decision::default() });
    };
    let expect = Expect::Version(item.version);
    let mut fan = FanRecord::from_item(item)?;
    let done = |key: Key, expect| Decision {
        writes: vec![Write::Delete { key, expect }],
        reply: Reply::Ok(json!({"again": false})),
        ..Decision::default()
    };
    let Some(deployed) = deployed(pipeline, view)? else { return Ok(done(key, expect)) };
    let prepared = view.plan(pipeline, &deployed.version)?;
    let Some(matrix) = &prepared.plan.matrix else { return Ok(done(key, expect)) };
    let (partition, prefix) = items_range(pipeline, Some(fan.case.as_deref()));
    let (items, next) = view.page(partition, prefix, fan.cursor.clone(), STEP_ITEMS)?;
    let items = items.iter().map(ItemRecord::from_item).collect::<Result<Vec<_>, _>>()?;
    let turns: Vec<Turn> = items
        .into_iter()
        .filter(|item| item.since <= scheduled_at)
        .map(|item| Turn::new(item, &fan, matrix))
        .collect();
    view.want(turns.iter().flat_map(|turn| {
        [
            ledger_item(scheduled_at, &turn.identity, Some(pipeline)),
            run_item(&RunKey::new(pipeline, &turn.run_id)),
        ]
    }))?;
    let mut decision = Decision::default();
    for turn in turns {
        let one = turn.decide(&fan, &deployed, view, now)?;
        decision.writes.extend(one.writes);
        decision.effects.extend(one.effects);
    }
    match next {
        None => decision.writes.push(Write::Delete { key, expect }),
        Some(_) => {
            fan.cursor.clone_from(next);
            decision.writes.push(Write::Put { item: fan.row(due(settings, now)), expect });
            decision.effects.push(wake(&fan, due(settings, now)));
        }
    }
    decision.reply = Reply::Ok(json!({"again": next.is_some()}));
    Ok(decision)
}

/// What tells the tick of an item from every other event, whichever case it was of then.
fn identity(pipeline: &str, item: &str, scheduled_at: Instant) -> String {
    cauce_model::ids::sha256_hex(json!(["tick", pipeline, {"item": item}, scheduled_at]).to_string())
}

/// An item whose tick it is.
struct Turn {
    item: RunItem,
    identity: String,
    run_id: String,
}

impl Turn {
    fn new(item: ItemRecord, fan: &FanRecord, matrix: &MatrixPlan) -> Self {
        Self {
            identity: identity(&fan.pipeline, &item.key, fan.scheduled_at),
            run_id: format!("{}-{}", item.key, fan.suffix),
            item: item.of_run(matrix),
        }
    }

    fn decide(
        self,
        fan: &FanRecord,
        deployed: &PipelineRecord,
        view: &View,
        now: Instant,
    ) -> Result<Decision, Stop> {
        let event = json!({
            "schedule": fan.schedule, "scheduled_at": fan.scheduled_at, "item": self.item.key,
        });
        let times = (fan.scheduled_at, now);
        let mut entry = LedgerRecord::new(times, "schedule", self.identity, Some(&fan.pipeline), event);
        if view.item(&ledger_item(entry.at, &entry.identity, Some(&fan.pipeline)))?.is_some() {
            // It had this tick as an item of another case, or by hand of a step that was not acknowledged.
            return Ok(Decision::default());
        }
        let known = view.item(&run_item(&RunKey::new(&fan.pipeline, &self.run_id)))?;
        if let Some(run) = known.map(RunRecord::from_item).transpose()? {
            entry.run = Some(run.run.to_string());
            return Ok(booked(entry, Became::Duplicate, Some("the run exists".to_owned())));
        }
        let cause = TriggerRecord {
            kind: TriggerKind::Schedule,
            by: Some(fan.schedule.clone()),
            detail: json!({"scheduled_at": fan.scheduled_at}),
            item: Some(self.item),
        };
        let new = NewRun {
            run_id: self.run_id,
            logical_date: fan.logical_date,
            data_interval: fan.data_interval,
            timezone: fan.timezone.clone(),
            scheduled_at: Some(fan.counts_from),
        };
        start(entry, deployed, new, cause, Existing::Refuse, view, now)
    }
}

/// The case of a schedule, by the schedule's name; none where the plan has no such schedule.
pub(crate) fn case_of<'a>(plan: &'a Plan, schedule: &str) -> Option<&'a str> {
    let index = cauce_model::plan::schedule_index(schedule)?;
    plan.schedules.get(index)?.case.as_deref()
}

/// Finds an item in the store, whichever of the plan's cases it is of.
pub(crate) fn find(plan: &Plan, key: &str, view: &View) -> Result<Option<ItemRecord>, Stop> {
    let keys = places(plan, key);
    view.want(keys.clone())?;
    for place in &keys {
        if let Some(item) = view.item(place)?.map(ItemRecord::from_item).transpose()? {
            return Ok(Some(item));
        }
    }
    Ok(None)
}

/// Where an item may lie: with each of the cases that a plan has.
pub fn places(plan: &Plan, key: &str) -> Vec<Key> {
    let mut cases: Vec<Option<&str>> =
        plan.schedules.iter().map(|schedule| schedule.case.as_deref()).collect();
    cases.push(None);
    cases.sort_unstable();
    cases.dedup();
    cases.into_iter().map(|case| item_item(&plan.pipeline, case, key)).collect()
}

/// An item as a list has it, without what the store knows besides.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// The case whose schedule it follows.
    pub case: Option<String>,
    /// Its columns.
    pub fields: Map<String, cauce_model::Json>,
}

/// What a list would change of what is stored.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Difference {
    /// Keys that are new, ascending.
    pub added: Vec<String>,
    /// Keys whose columns or case are others, ascending, each with the columns that are.
    pub changed: Vec<(String, Vec<String>)>,
    /// Keys that are gone, ascending.
    pub removed: Vec<String>,
    /// What is to be written.
    pub changes: Vec<ItemChange>,
}

/// Compares a list with what is stored.
pub fn difference(stored: &[ItemRecord], wanted: &[Listed]) -> Difference {
    let known: BTreeMap<&str, &ItemRecord> = stored.iter().map(|item| (item.key.as_str(), item)).collect();
    let new: BTreeMap<&str, &Listed> = wanted.iter().map(|item| (item.key.as_str(), item)).collect();
    let mut found = Difference::default();
    for (key, item) in &new {
        let before = known.get(key);
        match before {
            None => found.added.push((*key).to_owned()),
            Some(before) if before.fields == item.fields && before.case == item.case => continue,
            Some(before) => {
                let columns = before
                    .fields
                    .keys()
                    .chain(item.fields.keys().filter(|c| !before.fields.contains_key(*c)));
                let differ = columns.filter(|column| before.fields.get(*column) != item.fields.get(*column));
                found.changed.push(((*key).to_owned(), differ.cloned().collect()));
            }
        }
        found.changes.push(ItemChange {
            key: (*key).to_owned(),
            before: before.map(|before| before.case.clone()),
            after: Some((item.case.clone(), item.fields.clone())),
        });
    }
    for (key, item) in known.iter().filter(|(key, _)| !new.contains_key(*key)) {
        found.removed.push((*key).to_owned());
        found.changes.push(ItemChange {
            key: (*key).to_owned(),
            before: Some(item.case.clone()),
            after: None,
        });
    }
    // One that lay in two cases, because a change was cut off, is in one.
    for item in
        stored.iter().filter(|item| known.get(item.key.as_str()).is_some_and(|kept| kept.case != item.case))
    {
        if new.get(item.key.as_str()).is_none_or(|wanted| wanted.case != item.case) {
            let before = Some(item.case.clone());
            found.changes.push(ItemChange { key: item.key.clone(), before, after: None });
        }
    }
    found
}

/// Writes a part of what a list changes.
pub(crate) fn sync(sync: &Sync, view: &View, now: Instant) -> Result<Decision, Stop> {
    let refuse = |reason: String| Err(Stop::refuse(names::DEPLOYMENT_REJECTED, reason));
    let head = matrix_item(&sync.pipeline);
    view.want([head.clone(), pipeline_item(&sync.pipeline)])?;
    let Some(deployed) = deployed(&sync.pipeline, view)? else {
        return refuse(format!("there is no pipeline '{}'", sync.pipeline));
    };
    let prepared = view.plan(&sync.pipeline, &deployed.version)?;
    let Some(matrix) = &prepared.plan.matrix else {
        return refuse(format!("what is deployed of {} has no matrix: deploy it first", sync.pipeline));
    };
    if (&matrix.key, &matrix.select) != (&sync.key, &sync.select) {
        return refuse(format!("what is deployed of {} has another matrix: deploy it first", sync.pipeline));
    }
    for change in &sync.changes {
        if let Some((case, _)) = &change.after
            && !prepared.plan.schedules.is_empty()
            && prepared.plan.schedules.iter().all(|schedule| schedule.case != *case)
            && (case.is_some() || matrix.select.is_some())
        {
            let case = case.clone().unwrap_or_default();
            return refuse(format!("what is deployed has no case '{case}': deploy it first"));
        }
    }
    let known = view.item(&head)?;
    let expect = known.map_or(Expect::Absent, |item| Expect::Version(item.version));
    let mut record = known.map(MatrixRecord::from_item).transpose()?.unwrap_or_default();
    if record.revision != sync.revision {
        return refuse("somebody else is changing the list at this moment; try again".to_owned());
    }
    let place = |case: &Option<String>, key: &str| item_item(&sync.pipeline, case.as_deref(), key);
    let mut touched: Vec<Key> = Vec::new();
    for change in &sync.changes {
        touched.extend(change.before.iter().map(|case| place(case, &change.key)));
        touched.extend(change.after.iter().map(|(case, _)| place(case, &change.key)));
    }
    view.want(touched)?;
    let mut writes = Vec::new();
    for change in &sync.changes {
        let after = change.after.as_ref().map(|(case, fields)| (place(case, &change.key), case, fields));
        if let Some(before) = change.before.as_ref().map(|case| place(case, &change.key))
            && after.as_ref().is_none_or(|(after, ..)| *after != before)
            && let Some(item) = view.item(&before)?
        {
            writes.push(Write::Delete { key: before, expect: Expect::Version(item.version) });
        }
        if let Some((key, case, fields)) = after {
            let stored = view.item(&key)?;
            let since = stored.map(ItemRecord::from_item).transpose()?.map_or(now, |item| item.since);
            let item =
                ItemRecord { key: change.key.clone(), fields: fields.clone(), case: case.clone(), since };
            let expect = stored.map_or(Expect::Absent, |item| Expect::Version(item.version));
            writes.push(Write::Put { item: Item::new(key, item.to_body()), expect });
        }
    }
    record.revision += 1;
    record.partial = !sync.last;
    if sync.last {
        record.items = sync.items;
        record.synced_at = Some(now);
        record.by.clone_from(&sync.by);
        let mut entry = AuditRecord::new(now, "sync");
        entry.by.clone_from(&sync.by);
        entry.pipeline = Some(sync.pipeline.clone());
        entry.detail = sync.told.clone();
        writes.push(entry.write());
    }
    writes.push(Write::Put { item: Item::new(head, record.to_body()), expect });
    let reply = Reply::Ok(json!({"revision": record.revision}));
    Ok(Decision { writes, reply, ..Decision::default() })
}

/// Somebody hears of a tick once more: it may still have to be handed out.
pub(crate) fn repeated(
    decision: &mut Decision,
    prepared: Option<&Arc<Prepared>>,
    (pipeline, schedule, scheduled_at): (&str, &str, Instant),
    view: &View,
) -> Result<(), Stop> {
    if prepared.is_none_or(|prepared| prepared.plan.matrix.is_none()) {
        return Ok(());
    }
    if view.item(&fan_item(pipeline, schedule, scheduled_at))?.is_some()
        && let Reply::Ok(told) = &mut decision.reply
    {
        told["fan"] = json!({"pipeline": pipeline, "schedule": schedule, "scheduled_at": scheduled_at});
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;

    fn listed(key: &str, case: Option<&str>, limit: u32) -> Listed {
        let fields = json!({"ticker": key, "limit": limit}).as_object().cloned().unwrap_or_default();
        Listed { key: key.to_owned(), case: case.map(str::to_owned), fields }
    }

    fn stored(item: Listed) -> ItemRecord {
        ItemRecord { key: item.key, fields: item.fields, case: item.case, since: Instant::from_micros(0) }
    }

    #[test]
    fn a_difference_is_what_is_new_other_and_gone() {
        let before = ["a", "b", "c", "d"].map(|key| stored(listed(key, Some("low"), 1)));
        let wanted = [
            listed("b", Some("low"), 1),
            listed("c", Some("high"), 2),
            listed("d", Some("high"), 1),
            listed("e", None, 1),
        ];
        let found = difference(&before, &wanted);
        assert_eq!(found.added, ["e"]);
        assert_eq!(found.removed, ["a"]);
        assert_eq!(found.changed, [("c".to_owned(), vec!["limit".to_owned()]), ("d".to_owned(), Vec::new())]);
        assert_eq!(found.changes.len(), 4);
        let same = difference(&before, &["d", "c", "b", "a"].map(|key| listed(key, Some("low"), 1)));
        assert_eq!(same, Difference::default());
    }

    #[test]
    fn an_item_that_a_cut_off_change_left_in_two_cases_is_in_one_again() {
        let both = [stored(listed("a", Some("high"), 1)), stored(listed("a", Some("low"), 1))];
        for wanted in ["high", "low"] {
            let found = difference(&both, &[listed("a", Some(wanted), 1)]);
            let gone = found.changes.iter().filter(|change| change.after.is_none());
            let kept: Vec<_> = both
                .iter()
                .filter(|item| {
                    !found.changes.iter().any(|c| {
                        c.before == Some(item.case.clone())
                            && c.after.as_ref().is_none_or(|(case, _)| *case != item.case)
                    })
                })
                .collect();
            assert!(gone.count() <= 1, "{found:?}");
            assert!(kept.iter().all(|item| item.case.as_deref() == Some(wanted)), "{wanted}: {found:?}");
        }
    }

    #[test]
    fn ticks_of_items_are_told_apart_from_each_other_and_from_the_pipelines_own() {
        let at = Instant::from_micros(1);
        let all = [
            identity("p", "a", at),
            identity("p", "b", at),
            identity("q", "a", at),
            identity("p", "a", Instant::from_micros(2)),
            event::tick_identity("p", Some("a"), at),
            event::tick_identity("p", None, at),
        ];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
