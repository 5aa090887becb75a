//! Pipelines that datasets start: what each has heard of, what waits, and when that is enough for a run.
//!
//! Nothing is taken from an event but that there may be something new. What a consumer has heard of is a
//! number for each dataset; it looks at what the store has above it, and the numbers move in the write that
//! books the updates: each is booked once, whoever looks and however often. Booked updates wait, by
//! partition, until the trigger's condition holds; the write that starts their run takes them away. So an
//! event that comes twice, late, in another order or never (the sweep looks then) leads to the same.

use crate::command::{Again, Command, Decision, Effect, Event, Existing, Reply};
use crate::event::{booked, deployed, pinned, start};
use crate::files::{LISTED_MAX, filled_in};
use crate::stop::Stop;
use crate::trigger::{self, NewRun};
use crate::{Prepared, Settings, View, datasets};
use cauce_model::dataset::{
    ConsumerRecord, DatasetRecord, DatasetTriggerPlan, HeardRecord, UPDATES_KEPT, UpdateRecord,
    WaitingRecord, consumer_item, consumer_partition, dataset_item, normal_name, reader_item, update_item,
    waiting_item, waiting_prefix,
};
use cauce_model::event::{Became, LedgerRecord};
use cauce_model::ids::{RunRef, sha256_hex};
use cauce_model::item::Expect;
use cauce_model::plan::Plan;
use cauce_model::record::{
    Notice, PipelineRecord, Record, RunRecord, TriggerRecord, pipeline_item, run_item,
};
use cauce_model::{Instant, Json, Key, TriggerKind, Write};
use serde_json::{Map, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most updates that one decision books: with their entries, what waits and a run they fit in one write.
const BOOKED_MAX: u64 = 16;

/// Most partitions whose runs one decision looks at.
const LOOKS_MAX: usize = 16;

/// When a consumer is looked at again whose run is under way, should nobody tell of its end.
const LOOK_AGAIN_SECONDS: u64 = 300;

/// The trigger of a plan, with its names as this deployment fills them in.
pub(crate) fn filled(plan: &Plan, settings: &Settings) -> Result<Option<DatasetTriggerPlan>, String> {
    let Some(trigger) = plan.dataset_trigger() else { return Ok(None) };
    let on = trigger.on.rename(&|name: &str| normal_name(&filled_in(name, settings)?))?;
    Ok(Some(DatasetTriggerPlan { on, ..trigger.clone() }))
}

fn look(pipeline: &str) -> Event {
    Event::Consumer { pipeline: pipeline.to_owned() }
}

/// A run has ended on which updates may wait.
pub(crate) fn ended(run: &RunRecord) -> Option<Effect> {
    let may_wait = run.status.is_terminal() && run.trigger.kind == TriggerKind::Dataset;
    may_wait.then(|| Effect::Post(look(&run.run.pipeline)))
}

/// What letting a pipeline go on does to it as a consumer: it is looked at now.
pub(crate) fn unpaused(pipeline: &str, view: &View, now: Instant) -> Result<Option<(Write, Effect)>, Stop> {
    let Some(item) = view.item(&consumer_item(pipeline))? else { return Ok(None) };
    let row = ConsumerRecord::from_item(item)?.row(Some(now));
    Ok(Some((Write::Put { item: row, expect: Expect::Version(item.version) }, Effect::Post(look(pipeline)))))
}

/// Has a pipeline listen to the datasets that its deployed trigger names, and to no others. Those that are
/// new to it count from now on; what waits of the others goes on waiting.
pub(crate) fn subscribe(
    pipeline: &str,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let key = consumer_item(pipeline);
    view.want([pipeline_item(pipeline), key.clone()])?;
    let item = view.item(&key)?;
    let known = item.map(ConsumerRecord::from_item).transpose()?;
    let wanted = match deployed(pipeline, view)? {
        None => None,
        Some(deployed) => {
            let prepared = view.plan(pipeline, &deployed.version)?;
            filled(&prepared.plan, pinned(&deployed, view, settings)?)
                .map_err(|problem| Stop::refuse(cauce_model::names::DEPLOYMENT_REJECTED, problem))?
        }
    };
    if known.as_ref().map(|known| &known.trigger) == wanted.as_ref() {
        return Ok(Decision::default());
    }
    let before: BTreeSet<String> = known.iter().flat_map(|known| known.heard.keys().cloned()).collect();
    let after: BTreeSet<String> =
        wanted.iter().flat_map(|trigger| trigger.on.names()).map(str::to_owned).collect();
    let mut writes: Vec<Write> = before
        .difference(&after)
        .map(|name| Write::Delete { key: reader_item(name, pipeline).key, expect: Expect::Any })
        .collect();
    let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
    let Some(trigger) = wanted else {
        writes.push(Write::Delete { key, expect });
        return Ok(Decision { writes, ..Decision::default() });
    };
    view.want(after.difference(&before).map(|name| dataset_item(name)))?;
    let mut heard = BTreeMap::new();
    for name in &after {
        let from = match known.as_ref().and_then(|known| known.heard.get(name)) {
            Some(known) => *known,
            None => {
                writes.push(Write::Put { item: reader_item(name, pipeline), expect: Expect::Any });
                let newest = view.item(&dataset_item(name))?.map(DatasetRecord::from_item).transpose()?;
                HeardRecord { seen: newest.map_or(0, |dataset| dataset.newest.number), at: now }
            }
        };
        heard.insert(name.clone(), from);
    }
    let same = known.filter(|known| known.trigger.partitioned_by == trigger.partitioned_by);
    let record = match same {
        Some(known) => ConsumerRecord { trigger, heard, recheck: true, ..known },
        None => ConsumerRecord {
            command: ConsumerRecord::COMMAND.to_owned(),
            pipeline: pipeline.to_owned(),
            trigger,
            epoch: now.micros(),
            heard,
            ready: Vec::new(),
            recheck: false,
            run: None,
            told: None,
            outbox: Vec::new(),
        },
    };
    writes.push(Write::Put { item: record.row(Some(now)), expect });
    Ok(Decision { writes, effects: vec![Effect::Post(look(pipeline))], ..Decision::default() })
}

/// Looks at what is new for a consumer: books it, and starts one run where enough waits for it.
pub(crate) fn consume(
    pipeline: &str,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let key = consumer_item(pipeline);
    view.want([pipeline_item(pipeline), key.clone()])?;
    let Some(item) = view.item(&key)? else {
        return Ok(Decision { reply: told(Became::Duplicate, None, false), ..Decision::default() });
    };
    let consumer = ConsumerRecord::from_item(item)?;
    let Some(deployed) = deployed(pipeline, view)? else {
        let gone = Command::Subscribe { pipeline: pipeline.to_owned() };
        return Ok(Decision { effects: vec![Effect::Command(Box::new(gone))], ..Decision::default() });
    };
    let prepared = view.plan(pipeline, &deployed.version)?;
    let paused = deployed.paused || prepared.plan.paused;
    let mut round = Round {
        deployed: &deployed,
        prepared: &prepared,
        settings,
        view,
        now,
        paused,
        consumer,
        waiting: BTreeMap::new(),
        new: Vec::new(),
        decision: Decision::default(),
    };
    let mut more = round.book()?;
    if !more && !paused {
        more = round.fire()?;
    }
    round.tell_late();
    Ok(round.written(item, more))
}

/// A reply in the shape of every event's.
fn told(became: Became, run: Option<&str>, again: bool) -> Reply {
    Reply::Ok(json!({"became": became, "run": run, "reason": null, "again": again}))
}

/// What waits of a partition, as it was read and as it is to be.
struct Waiting {
    record: WaitingRecord,
    /// How the store has it.
    expect: Expect,
    changed: bool,
}

/// One look at a consumer.
struct Round<'a> {
    deployed: &'a PipelineRecord,
    prepared: &'a Prepared,
    settings: &'a Settings,
    view: &'a View,
    now: Instant,
    paused: bool,
    consumer: ConsumerRecord,
    /// What waits, of the partitions looked at.
    waiting: BTreeMap<String, Waiting>,
    /// The updates heard of in this round, with the entries they will have.
    new: Vec<(UpdateRecord, LedgerRecord)>,
    decision: Decision,
}

impl Round<'_> {
    fn pipeline(&self) -> &str {
        &self.consumer.pipeline
    }

    /// The ledger's entry of something that concerns this consumer.
    fn entry(&self, at: Instant, identity: String, event: Json) -> LedgerRecord {
        LedgerRecord::new((at, self.now), "dataset", identity, Some(self.pipeline()), event)
    }

    fn waiting_key(&self, partition: &str) -> Key {
        waiting_item(self.pipeline(), self.consumer.epoch, partition)
    }

    /// The partition in which an update waits; `None` for one that has none where it needs one.
    fn partition_of(&self, update: &UpdateRecord) -> Option<String> {
        match self.consumer.trigger.partitioned_by {
            None => Some(String::new()),
            Some(_) => update.partition.clone(),
        }
    }

    fn load(&mut self, partition: &str) -> Result<&mut Waiting, Stop> {
        let item = self.view.item(&self.waiting_key(partition))?;
        let record = item.map(WaitingRecord::from_item).transpose()?;
        Ok(self.waiting.entry(partition.to_owned()).or_insert_with(|| Waiting {
            record: record.unwrap_or_else(|| WaitingRecord {
                partition: partition.to_owned(),
                ..WaitingRecord::default()
            }),
            expect: item.map_or(Expect::Absent, |item| Expect::Version(item.version)),
            changed: false,
        }))
    }

    /// Hears of the updates that are new. Returns whether there are more than one round takes.
    fn book(&mut self) -> Result<bool, Stop> {
        let names: Vec<String> = self.consumer.heard.keys().cloned().collect();
        self.view.want(names.iter().map(|name| dataset_item(name)))?;
        let mut taken: Vec<(String, u64)> = Vec::new();
        let mut lost = Vec::new();
        let mut more = false;
        for name in names {
            let Some(dataset) =
                self.view.item(&dataset_item(&name))?.map(DatasetRecord::from_item).transpose()?
            else {
                continue;
            };
            let (last, left) = (dataset.newest.number, BOOKED_MAX - taken.len() as u64);
            let Some(heard) = self.consumer.heard.get_mut(&name) else { continue };
            if last <= heard.seen {
                continue;
            }
            if left == 0 {
                more = true;
                continue;
            }
            // Those before were overwritten: nobody looked for a long time.
            let first = (heard.seen + 1).max((last + 1).saturating_sub(UPDATES_KEPT));
            if heard.seen + 1 < first {
                lost.push((name.clone(), heard.seen + 1, first - 1));
            }
            let upto = last.min(first + left - 1);
            heard.seen = upto;
            more |= upto < last;
            taken.extend((first..=upto).map(|number| (name.clone(), number)));
        }
        self.view.want(taken.iter().map(|(name, number)| update_item(name, *number)))?;
        let mut updates = Vec::new();
        for (name, number) in &taken {
            // One that was overwritten since is lost like those before it.
            match self.update(name, *number)? {
                Some(update) => updates.push(update),
                None => lost.push((name.clone(), *number, *number)),
            }
        }
        for (name, first, last) in lost {
            self.miss(&name, first, last);
        }
        let partitions: BTreeSet<String> =
            updates.iter().filter_map(|update| self.partition_of(update)).collect();
        self.view.want(partitions.iter().map(|partition| self.waiting_key(partition)))?;
        for update in updates {
            self.hear(update)?;
        }
        if self.consumer.recheck {
            let prefix = waiting_prefix(self.consumer.epoch);
            for item in self.view.range(consumer_partition(self.pipeline()), prefix)? {
                let partition = WaitingRecord::from_item(item)?.partition;
                self.load(&partition)?;
            }
            self.consumer.recheck = false;
        }
        for (partition, waiting) in &self.waiting {
            let holds = self.consumer.trigger.holds(&waiting.record);
            if holds && !self.consumer.ready.contains(partition) {
                self.consumer.ready.push(partition.clone());
            }
        }
        Ok(more)
    }

    /// An update, unless a later one has taken its place.
    fn update(&self, name: &str, number: u64) -> Result<Option<UpdateRecord>, Stop> {
        let item = self.view.item(&update_item(name, number))?;
        let update = item.map(UpdateRecord::from_item).transpose()?;
        Ok(update.filter(|update| update.number == number))
    }

    /// Updates that were overwritten before this consumer looked: they start nothing, and the ledger says so.
    fn miss(&mut self, name: &str, first: u64, last: u64) {
        let identity = sha256_hex(json!(["overwritten", self.pipeline(), name, first]).to_string());
        let event = json!({"dataset": name, "first": first, "last": last});
        let entry = self.entry(self.now, identity, event);
        let reason = format!(
            "{} before this pipeline looked: {UPDATES_KEPT} of a dataset are kept",
            match last - first {
                0 => format!("update {first} of {name} was overwritten"),
                more => format!("{} updates of {name}, from {first} on, were overwritten", more + 1),
            }
        );
        self.decision.writes.extend(booked(entry, Became::Missed, Some(reason)).writes);
    }

    fn hear(&mut self, update: UpdateRecord) -> Result<(), Stop> {
        let event =
            json!({"dataset": update.dataset, "number": update.number, "partition": update.partition});
        let mut entry = self.entry(update.at, update.identity(), event);
        entry.became = Became::Waiting;
        if let Some(heard) = self.consumer.heard.get_mut(&update.dataset) {
            heard.at = heard.at.max(update.at);
        }
        match self.partition_of(&update) {
            Some(partition) => {
                let waiting = self.load(&partition)?;
                waiting.record.add(&update);
                waiting.changed = true;
            }
            None => {
                entry.became = Became::Rejected;
                entry.reason = Some("it has no partition, and the trigger tells partitions apart".to_owned());
            }
        }
        self.new.push((update, entry));
        Ok(())
    }

    /// Starts one run, of the first partition that is ready and has none under way. Returns whether there
    /// are more to look at.
    fn fire(&mut self) -> Result<bool, Stop> {
        for looked in 0..self.consumer.ready.len() {
            if looked == LOOKS_MAX {
                return Ok(true);
            }
            let partition = self.consumer.ready.remove(0);
            let record = self.load(&partition)?.record.clone();
            // A trigger that was changed may ask for more than what waits.
            if !self.consumer.trigger.holds(&record) {
                continue;
            }
            match self.run_of(&record)? {
                // It is looked at again after the others.
                Start::UnderWay => self.consumer.ready.push(partition),
                Start::Started(id) => {
                    self.consumer.run = id.or(self.consumer.run.take());
                    return Ok(!self.consumer.ready.is_empty());
                }
            }
        }
        Ok(false)
    }

    /// The run of what waits of a partition, unless one is under way that it has to wait for.
    fn run_of(&mut self, waiting: &WaitingRecord) -> Result<Start, Stop> {
        let pipeline = self.pipeline().to_owned();
        let run_of = |id: &str| {
            let run = RunRef { pipeline: pipeline.clone(), run_id: id.to_owned() };
            Ok::<_, Stop>(self.view.item(&run_item(&run.key()))?.map(RunRecord::from_item).transpose()?)
        };
        let is_under_way =
            |run: &Option<RunRecord>| run.as_ref().is_some_and(|run| !run.status.is_terminal());
        let mut existing = Existing::Refuse;
        let of_all = waiting.partition.is_empty();
        let dated = if of_all {
            match &self.consumer.run {
                Some(id) if is_under_way(&run_of(id)?) => return Ok(Start::UnderWay),
                _ => None,
            }
        } else {
            let dated = trigger::dated(&self.prepared.plan, Some(&waiting.partition), self.now);
            if let Ok(new) = &dated {
                let run = run_of(&new.run_id)?;
                if is_under_way(&run) {
                    return Ok(Start::UnderWay);
                }
                if run.is_some() {
                    existing = Existing::Next(Again::All);
                }
            }
            Some(dated)
        };
        let mut updates = Vec::new();
        let named: Vec<(&str, u64)> =
            waiting.each().filter(|(name, _)| self.consumer.heard.contains_key(*name)).collect();
        self.view.want(named.iter().map(|(name, number)| update_item(name, *number)))?;
        for (name, number) in &named {
            updates.extend(self.update(name, *number)?);
        }
        updates.sort_by(|a, b| (a.at, &a.dataset, a.number).cmp(&(b.at, &b.dataset, b.number)));
        let what = sha256_hex(json!([pipeline, waiting.partition, waiting.updates]).to_string());
        let own = || {
            let id = format!("dataset-{}", &what[..26]);
            datasets::dates(&updates, id, &self.prepared.plan.timezone, self.now)
        };
        let new = dated.unwrap_or_else(|| Ok(own()));
        let run_id = new.as_ref().ok().filter(|_| of_all).map(|new| new.run_id.clone());
        let decision = self.started(&what, waiting, new, existing, &updates)?;
        self.decision.writes.extend(decision.writes);
        self.decision.effects.extend(decision.effects);
        self.decision.documents.extend(decision.documents);
        self.decision.reply = decision.reply;
        let known = self.waiting.remove(&waiting.partition);
        if let Some(Expect::Version(version)) = known.map(|known| known.expect) {
            let key = self.waiting_key(&waiting.partition);
            self.decision.writes.push(Write::Delete { key, expect: Expect::Version(version) });
        }
        Ok(Start::Started(run_id))
    }

    /// The decision that starts a run of these updates, or says why it cannot. Its entry is that of the newest
    /// update, where that was heard of just now.
    fn started(
        &mut self,
        what: &str,
        waiting: &WaitingRecord,
        new: Result<NewRun, String>,
        existing: Existing,
        updates: &[UpdateRecord],
    ) -> Result<Decision, Stop> {
        let partition = Some(waiting.partition.as_str()).filter(|partition| !partition.is_empty());
        let of_this =
            |update: &UpdateRecord| partition.is_none_or(|own| update.partition.as_deref() == Some(own));
        let position = self.new.iter().rposition(|(update, _)| of_this(update));
        let entry = match position {
            Some(at) => self.new.remove(at).1,
            None => {
                let at = updates.last().map_or(self.now, |update| update.at);
                let event = json!({"partition": partition, "updates": updates.len()});
                self.entry(at, what.to_owned(), event)
            }
        };
        let detail = self.detail(what, partition, updates);
        let newest = updates.last().map(|update| format!("{}#{}", update.dataset, update.number));
        let cause = TriggerRecord { kind: TriggerKind::Dataset, by: newest, detail: detail.0, item: None };
        let mut decision = match new {
            Ok(new) => start(entry, self.deployed, new, cause, existing, self.view, self.now)?,
            Err(problem) => crate::event::rejected(entry, problem),
        };
        decision.documents.extend(detail.1);
        // Those that came with it became what it became.
        if let Reply::Ok(reply) = &decision.reply {
            let became = serde_json::from_value(reply["became"].clone()).unwrap_or(Became::Run);
            let run = reply["run"].as_str().map(str::to_owned);
            for (_, entry) in self.new.iter_mut().filter(|(update, _)| of_this(update)) {
                (entry.became, entry.run) = (became, run.clone());
            }
        }
        Ok(decision)
    }

    /// What templates read as `trigger`, and the document with all updates where they are many.
    fn detail(
        &self,
        what: &str,
        partition: Option<&str>,
        updates: &[UpdateRecord],
    ) -> (Json, Option<(String, Vec<u8>)>) {
        let listed = &updates[updates.len().saturating_sub(LISTED_MAX)..];
        let mut detail = Map::new();
        detail.insert("events".into(), json!(listed));
        if let Some(partition) = partition {
            detail.insert("partition".into(), json!(partition));
        }
        let more = updates.len() - listed.len();
        let document = (more > 0).then(|| {
            let documents = &self.settings.documents;
            let uri = format!("{documents}/inputs/datasets/{}/{}.json", self.pipeline(), &what[..26]);
            detail.insert("more_events".into(), json!(more));
            detail.insert("events_uris".into(), json!([uri]));
            (uri, json!(updates).to_string().into_bytes())
        });
        (Json::Object(detail), document)
    }

    /// Tells once that no update came for longer than the trigger allows.
    fn tell_late(&mut self) {
        let late_at = self.consumer.late_at();
        let Some(late) =
            late_at.filter(|at| *at <= self.now && !self.paused && self.consumer.told != late_at)
        else {
            return;
        };
        self.consumer.told = Some(late);
        let trigger = &self.consumer.trigger;
        let deadline = trigger.deadline_seconds.unwrap_or_default();
        let is_there = |name: &str| {
            self.consumer.heard.get(name).is_some_and(|heard| heard.at.plus_seconds(deadline) > self.now)
        };
        let missing = trigger.on.lacks(&is_there).unwrap_or_default();
        let pipeline = self.pipeline().to_owned();
        let reason = format!("no update for {deadline} s: {missing}");
        let identity = sha256_hex(json!(["late", pipeline, late]).to_string());
        let entry = self.entry(late, identity, json!({"missing": missing}));
        for channel in &self.prepared.plan.notify.deadline {
            let notice = Notice {
                id: sha256_hex(json!([entry.identity, channel]).to_string())[..32].to_owned(),
                channel: channel.clone(),
                event: "deadline".to_owned(),
                subject: format!("{pipeline}: no update of {missing}"),
                message: reason.clone(),
                run: pipeline.clone(),
                task: None,
                at: self.now,
            };
            let key = consumer_item(&pipeline);
            self.decision.effects.push(Effect::Deliver { key, notice: Box::new(notice.clone()) });
            self.consumer.outbox.push(notice);
        }
        self.decision.writes.extend(booked(entry, Became::Incomplete, Some(reason)).writes);
    }

    /// The whole decision: what waits, the entries, and when to look again.
    fn written(mut self, item: &cauce_model::Item, more: bool) -> Decision {
        let pipeline = self.pipeline().to_owned();
        let mut became = (Became::Duplicate, None);
        for (update, mut entry) in std::mem::take(&mut self.new) {
            if entry.became == Became::Waiting {
                let partition = self.partition_of(&update).unwrap_or_default();
                let lacks =
                    self.waiting.get(&partition).and_then(|of| self.consumer.trigger.lacks(&of.record));
                (entry.became, entry.reason) = match lacks {
                    Some(lacks) => (Became::Waiting, Some(format!("missing: {lacks}"))),
                    None if self.paused => {
                        (Became::Paused, Some("it starts a run once that is over".to_owned()))
                    }
                    None => (Became::Waiting, Some("its run follows the present one".to_owned())),
                };
            }
            became = (entry.became, entry.run.clone());
            self.decision.writes.push(entry.write(Expect::Absent));
        }
        for (partition, waiting) in &self.waiting {
            if waiting.changed {
                let key = waiting_item(&pipeline, self.consumer.epoch, partition);
                let item = cauce_model::Item::new(key, waiting.record.to_body());
                self.decision.writes.push(Write::Put { item, expect: waiting.expect });
            }
        }
        let held = !self.consumer.ready.is_empty() && !self.paused;
        let again = held.then(|| self.now.plus_seconds(LOOK_AGAIN_SECONDS));
        let late = self.consumer.late_at().filter(|at| !self.paused && self.consumer.told != Some(*at));
        let due = if more { Some(self.now) } else { again.into_iter().chain(late).min() };
        let row = self.consumer.row(due);
        let is_changed = (&row.body, &row.index) != (&item.body, &item.index);
        if is_changed || !self.decision.writes.is_empty() {
            // Somebody who looks at the same time must not do the same.
            self.decision.writes.push(Write::Put { item: row, expect: Expect::Version(item.version) });
        }
        let event = look(&pipeline);
        self.decision.effects.extend(due.map(|at| match more {
            true => Effect::Post(event),
            false => Effect::At { at, command: Box::new(Command::Event(Box::new(event))) },
        }));
        match &mut self.decision.reply {
            Reply::Ok(reply) => reply["again"] = json!(more),
            reply => *reply = told(became.0, became.1.as_deref(), more),
        }
        self.decision
    }
}

/// What became of a partition that was ready.
enum Start {
    /// Its run is under way.
    UnderWay,
    /// A run was started, or cannot be; its id where it is of all partitions.
    Started(Option<String>),
}
