//! Sets of files: those that a run needs one of each, and those that it collects until no more come.
//!
//! A set of which each pattern must have a file keeps its files in its own item, and may be late. A set that
//! collects keeps each file as an item of its own, so that ten thousand arrivals do not write one item; they
//! only check that the collection has not been closed meanwhile.

use crate::command::{Command, Decision, Effect, Reply};
use crate::event::{booked, deployed, pinned};
use crate::files::{Arrival, Files, LISTED_MAX, Met, Taken, by};
use crate::stop::Stop;
use crate::{Settings, View};
use cauce_model::event::{Became, Firing, LedgerRecord, MemberRecord, Object, SetRecord, members, set_item};
use cauce_model::files::FileTriggerPlan;
use cauce_model::ids::sha256_hex;
use cauce_model::item::Expect;
use cauce_model::plan::TriggerPlan;
use cauce_model::record::{Notice, Record};
use cauce_model::time::MICROS;
use cauce_model::{Instant, Json, Write};
use serde_json::json;

/// Most files of one run where nobody says how many.
const FILES_MAX: u32 = 10_000;

/// A set is named by its trigger and by what its files have in common.
fn name(met: &Met<'_>) -> String {
    sha256_hex(json!([met.position, met.captures]).to_string())[..32].to_owned()
}

/// A set as the store has it, or a new one.
fn load(arrival: &Arrival<'_>, met: &Met<'_>) -> Result<(SetRecord, Expect), Stop> {
    let (pipeline, set) = (&arrival.deployed.pipeline, name(met));
    let item = arrival.view.item(&set_item(pipeline, &set))?;
    let mut record = SetRecord::new(pipeline, &set, met.position, met.captures.clone());
    if let Some(known) = item.map(SetRecord::from_item).transpose()? {
        // What an earlier version wrote does not say whose it is.
        record = SetRecord {
            command: record.command,
            pipeline: record.pipeline,
            set: record.set,
            trigger: record.trigger,
            captures: record.captures,
            ..known
        };
    }
    Ok((record, item.map_or(Expect::Absent, |item| Expect::Version(item.version))))
}

/// When something is to be decided about a set.
fn due_at(set: &SetRecord, trigger: &FileTriggerPlan) -> Option<Instant> {
    let late = set.opened_at.filter(|_| !set.told).zip(trigger.deadline_seconds);
    let late = late.map(|(from, seconds)| from.plus_seconds(seconds));
    set.firing.as_ref().map(|firing| firing.at).into_iter().chain(late).chain(set.settles_at).min()
}

/// The write of a set, and the timer for what is due about it.
fn put(set: &SetRecord, trigger: &FileTriggerPlan, expect: Expect) -> (Write, Option<Effect>) {
    let due = due_at(set, trigger);
    let command = || Command::Set { pipeline: set.pipeline.clone(), set: set.set.clone() };
    let effect = due.map(|at| Effect::At { at, command: Box::new(command()) });
    (Write::Put { item: set.row(due), expect }, effect)
}

/// The patterns without a file.
fn missing(set: &SetRecord, trigger: &FileTriggerPlan) -> Vec<String> {
    if !trigger.all {
        return trigger.marker.iter().cloned().collect();
    }
    let absent = (0..).zip(trigger.patterns()).filter(|(key, _)| !set.members.contains_key(key));
    absent.map(|(_, pattern)| pattern.to_owned()).collect()
}

/// Puts an object into its place in a set. Of two keys that fit one pattern the later counts, whichever
/// is heard of first.
fn join(set: &mut SetRecord, key: u32, object: &Object) {
    let later = |known: &Object| {
        known.key == object.key || (known.at, known.key.as_str()) < (object.at, object.key.as_str())
    };
    if set.members.get(&key).is_none_or(later) {
        set.members.insert(key, object.clone());
    }
}

/// A file of a set of which each pattern must have one. The last one starts the run, or begins the time in
/// which no further version of any may come.
pub(crate) fn complete(
    arrival: &Arrival<'_>,
    entry: LedgerRecord,
    met: Met<'_>,
    object: &Object,
) -> Result<Taken, Stop> {
    let (mut set, expect) = load(arrival, &met)?;
    join(&mut set, met.key, object);
    let missing = missing(&set, met.trigger);
    let mut decision = if !missing.is_empty() {
        set.opened_at = set.opened_at.or(Some(arrival.now));
        booked(entry, Became::Waiting, Some(format!("missing: {}", missing.join(", "))))
    } else if let Some(settle) = met.trigger.settle_seconds {
        (set.opened_at, set.told) = (None, false);
        set.settles_at = Some(arrival.now.plus_seconds(settle));
        booked(entry, Became::Waiting, Some(settles(settle)))
    } else {
        (set.opened_at, set.told) = (None, false);
        match run_of_set(arrival, entry, met.trigger, &set, by(object), object.at)? {
            Ok(decision) => decision,
            refused => return Ok(refused),
        }
    };
    let (write, effect) = put(&set, met.trigger, expect);
    decision.writes.push(write);
    decision.effects.extend(effect);
    Ok(Ok(decision))
}

fn settles(seconds: u64) -> String {
    format!("starts once no further file has come for {seconds} s")
}

fn run_of_set(
    arrival: &Arrival<'_>,
    entry: LedgerRecord,
    trigger: &FileTriggerPlan,
    set: &SetRecord,
    by: String,
    at: Instant,
) -> Result<Taken, Stop> {
    let id = json!([set.pipeline, set.trigger, set.captures]);
    let marker = trigger.marker.as_ref().and_then(|_| u32::try_from(trigger.keys.len()).ok());
    let is_marker = |key: &u32| Some(*key) == marker;
    let files = Files {
        events: set.members.iter().filter(|(key, _)| !is_marker(key)).map(|(_, file)| file.clone()).collect(),
        uri: None,
        marker: set.members.iter().find(|(key, _)| is_marker(key)).map(|(_, file)| file.clone()),
        captures: set.captures.clone(),
        by,
    };
    arrival.run(entry, trigger, &id, at, files)
}

/// A file of a set that collects, or its marker.
pub(crate) fn collect(
    arrival: &Arrival<'_>,
    entry: LedgerRecord,
    met: Met<'_>,
    object: &Object,
    settle: u64,
) -> Result<Taken, Stop> {
    let (mut set, expect) = load(arrival, &met)?;
    let now = arrival.now;
    let is_marker = met.is_marker();
    let is_marked = |marker: &Object| object.at <= marker.at;
    let waits =
        met.trigger.marker.as_ref().filter(|_| !is_marker && !set.marker.as_ref().is_some_and(is_marked));
    let reason = waits.map_or_else(|| settles(settle), |marker| format!("missing: {marker}"));
    let mut decision = booked(entry, Became::Waiting, Some(reason));
    if is_marker {
        set.marker = Some(object.clone());
        (set.opened_at, set.told) = (None, false);
    } else {
        let member = MemberRecord { object: object.clone(), heard_at: now };
        decision.writes.push(member.write(&set.pipeline, &set.set, set.round));
    }
    if waits.is_some() {
        // The first file opens the set; the others only check that it has not been closed meanwhile.
        let write = match set.opened_at {
            Some(_) => Write::Check { key: set_item(&set.pipeline, &set.set), expect },
            None => {
                set.opened_at = Some(now);
                let (write, effect) = put(&set, met.trigger, expect);
                decision.effects.extend(effect);
                write
            }
        };
        decision.writes.push(write);
        return Ok(Ok(decision));
    }
    // The time is moved when half of it is over: then a thousand arrivals write the set's item a few times.
    // What came last counts all the same, for it is looked at when the time is over.
    let half = i64::try_from(settle).unwrap_or(i64::MAX).saturating_mul(MICROS / 2);
    if !is_marker && set.settles_at.is_some_and(|at| at.micros_since(now) > half) {
        let key = set_item(&set.pipeline, &set.set);
        decision.writes.push(Write::Check { key, expect });
        return Ok(Ok(decision));
    }
    set.settles_at = Some(now.plus_seconds(settle));
    let (write, effect) = put(&set, met.trigger, expect);
    decision.writes.push(write);
    decision.effects.extend(effect);
    Ok(Ok(decision))
}

/// Something is due about a set: it is late, or settled.
pub(crate) fn due(
    pipeline: &str,
    set: &str,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let key = set_item(pipeline, set);
    let Some(item) = view.item(&key)? else { return Ok(Decision::default()) };
    let record = SetRecord::from_item(item)?;
    let expect = Expect::Version(item.version);
    let Some(deployed) = deployed(pipeline, view)? else {
        return Ok(Decision { writes: vec![Write::Delete { key, expect }], ..Decision::default() });
    };
    let settings = pinned(&deployed, view, settings)?;
    let prepared = view.plan(pipeline, &deployed.version)?;
    let Some(TriggerPlan::File(trigger)) = prepared.plan.triggers.get(record.trigger) else {
        // What is deployed now waits for nothing there.
        return Ok(Decision {
            writes: vec![Write::Put { item: record.row(None), expect }],
            ..Decision::default()
        });
    };
    if deployed.paused || prepared.plan.paused || due_at(&record, trigger).is_none_or(|at| now < at) {
        return Ok(Decision::default());
    }
    let arrival = Arrival { deployed: &deployed, prepared: &prepared, settings, view, now };
    let due = Due { arrival: &arrival, trigger, expect };
    let starts = record.firing.is_some() || record.settles_at.is_some_and(|at| at <= now);
    match (trigger.all, trigger.collects()) {
        (true, _) if starts => due.settled(record),
        (false, Some(settle)) if starts => match record.firing.clone() {
            None => due.quiet(record, settle),
            Some(firing) => due.collected(record, firing),
        },
        (true, _) | (false, Some(_)) => due.late(record),
        (false, None) => Ok(Decision {
            writes: vec![Write::Put { item: record.row(None), expect: due.expect }],
            ..Decision::default()
        }),
    }
}

/// What is due about a set is decided with it.
struct Due<'a> {
    arrival: &'a Arrival<'a>,
    trigger: &'a FileTriggerPlan,
    expect: Expect,
}

impl Due<'_> {
    /// The ledger's entry of a set, which is an event of its own.
    fn entry(&self, set: &SetRecord, what: &Json, at: Instant, files: usize) -> LedgerRecord {
        let identity = sha256_hex(json!([set.pipeline, set.set, what]).to_string());
        let event = json!({"captures": set.captures, "files": files});
        LedgerRecord::new((at, self.arrival.now), "set", identity, Some(&set.pipeline), event)
    }

    fn and_set(self, mut decision: Decision, set: &SetRecord) -> Decision {
        let (write, effect) = put(set, self.trigger, self.expect);
        decision.writes.push(write);
        decision.effects.extend(effect);
        decision
    }

    /// Somebody is told, once, what is missing.
    fn late(self, mut set: SetRecord) -> Result<Decision, Stop> {
        let Some(opened_at) = set.opened_at else { return Ok(Decision::default()) };
        let missing = missing(&set, self.trigger).join(", ");
        set.told = true;
        let what = json!(["late", opened_at]);
        let entry = self.entry(&set, &what, opened_at, set.members.len());
        let mut effects = Vec::new();
        for channel in &self.arrival.prepared.plan.notify.deadline {
            let captures: Vec<String> =
                set.captures.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let have: Vec<&str> = set.members.values().map(|object| object.key.as_str()).collect();
            let notice = Notice {
                id: sha256_hex(json!([entry.identity, channel]).to_string())[..32].to_owned(),
                channel: channel.clone(),
                event: "deadline".to_owned(),
                subject: format!("{}: files are missing for {}", set.pipeline, captures.join(" ")),
                message: match have.is_empty() {
                    true => format!("missing: {missing}"),
                    false => format!("missing: {missing}; there: {}", have.join(", ")),
                },
                run: set.pipeline.clone(),
                task: None,
                at: self.arrival.now,
            };
            let key = set_item(&set.pipeline, &set.set);
            effects.push(Effect::Deliver { key, notice: Box::new(notice.clone()) });
            set.outbox.push(notice);
        }
        let mut decision = booked(entry, Became::Incomplete, Some(format!("missing: {missing}")));
        decision.effects.extend(effects);
        Ok(self.and_set(decision, &set))
    }

    /// A complete set of which no file came anew for long enough.
    fn settled(self, mut set: SetRecord) -> Result<Decision, Stop> {
        let settles_at = set.settles_at.take();
        let newest = set.members.values().max_by_key(|object| object.at);
        let (at, by) = newest.map_or((self.arrival.now, String::new()), |object| (object.at, by(object)));
        let entry = self.entry(&set, &json!(["settled", settles_at]), at, set.members.len());
        let taken = run_of_set(self.arrival, entry, self.trigger, &set, by, at)?;
        Ok(self.and_set(taken.unwrap_or_else(|refused| refused), &set))
    }

    /// The time of a collection is over: it is closed, unless a file came since that time was set. No run
    /// starts in the same write: a file that came after the collection was read, and before it is closed,
    /// would be in none. Once it is closed nothing comes to it any more, and its runs read it bit by bit.
    fn quiet(self, mut set: SetRecord, settle: u64) -> Result<Decision, Stop> {
        let now = self.arrival.now;
        let (partition, prefix) = members(&set.pipeline, &set.set, set.round);
        let mut newest = None;
        for item in self.arrival.view.range(partition, prefix)? {
            let file = MemberRecord::from_item(item)?;
            // Those that came after the marker do not put it off.
            if set.marker.as_ref().is_none_or(|marker| file.object.at <= marker.at) {
                newest = newest.max(Some(file.heard_at));
            }
        }
        let quiet_at = newest.map(|at: Instant| at.plus_seconds(settle)).filter(|at| *at > now);
        if let Some(at) = quiet_at {
            set.settles_at = Some(at);
            return Ok(self.and_set(Decision::default(), &set));
        }
        set.firing = Some(Firing { round: set.round, taken: 0, after: None, at: now });
        // What comes from now on is of the next collection.
        set.round += 1;
        set.settles_at = None;
        let decision = Decision { reply: Reply::Ok(json!({"again": true})), ..Decision::default() };
        Ok(self.and_set(decision, &set))
    }

    /// The files of the next run of a closed collection, and where the store goes on after them if it does.
    fn files_of_run(
        &self,
        set: &SetRecord,
        firing: &Firing,
    ) -> Result<(Vec<Object>, Option<Option<String>>), Stop> {
        let (view, most) = (self.arrival.view, self.trigger.batch.unwrap_or(FILES_MAX));
        let (partition, prefix) = members(&set.pipeline, &set.set, firing.round);
        let object = |item| Ok::<_, Stop>(MemberRecord::from_item(item)?.object);
        if firing.taken > 0 && firing.after.is_none() {
            // An earlier version began with its runs: it took all files in order, by their number.
            let all = view.range(partition, prefix)?.iter().map(object);
            let mut files: Vec<Object> = all.collect::<Result<_, _>>()?;
            files.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
            let mut left = files.into_iter().skip(firing.taken);
            let of_run: Vec<Object> = left.by_ref().take(most as usize).collect();
            return Ok((of_run, left.next().map(|_| None)));
        }
        let (mut of_run, mut after) = (Vec::new(), firing.after.clone());
        loop {
            let left = most - u32::try_from(of_run.len()).unwrap_or(most);
            let (items, next) = view.page(partition.clone(), prefix.clone(), after, left)?;
            for item in items {
                of_run.push(object(item)?);
            }
            after = next.clone();
            if after.is_none() || of_run.len() >= most as usize {
                return Ok((of_run, after.map(Some)));
            }
        }
    }

    /// The next run of a collection that is closed.
    fn collected(self, mut set: SetRecord, firing: Firing) -> Result<Decision, Stop> {
        let round = firing.round;
        let (mut of_run, next) = self.files_of_run(&set, &firing)?;
        of_run.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        set.firing = None;
        let Some(newest) = of_run.last().cloned() else {
            let Some(marker) = set.marker.as_ref().filter(|_| firing.taken == 0) else {
                return Ok(self.and_set(Decision::default(), &set));
            };
            let entry = self.entry(&set, &json!(["collected", round, 0]), marker.at, 0);
            let reason = "the marker came, and no file with it".to_owned();
            return Ok(self.and_set(booked(entry, Became::Rejected, Some(reason)), &set));
        };
        let what = json!(["collected", round, firing.taken]);
        let entry = self.entry(&set, &what, newest.at, of_run.len());
        let id = json!([set.pipeline, set.trigger, set.captures, round, firing.taken]);
        let name = &sha256_hex(id.to_string())[..26];
        let uri = format!("{}/inputs/files/{}/{name}.json", self.arrival.settings.documents, set.pipeline);
        let events = of_run[of_run.len().saturating_sub(LISTED_MAX)..].to_vec();
        let files = Files {
            events,
            uri: Some((uri.clone(), of_run.len())),
            marker: set.marker.clone(),
            captures: set.captures.clone(),
            by: by(&newest),
        };
        let taken = self.arrival.run(entry, self.trigger, &id, newest.at, files)?;
        let mut decision = taken.unwrap_or_else(|refused| refused);
        let bytes =
            serde_json::to_vec(&of_run).map_err(|error| Stop::refuse("States.Runtime", error.to_string()))?;
        decision.documents.push((uri, bytes));
        if let Some(after) = next {
            set.firing = Some(Firing { taken: firing.taken + of_run.len(), after, ..firing });
            if let Reply::Ok(reply) = &mut decision.reply {
                reply["again"] = json!(true);
            }
        }
        Ok(self.and_set(decision, &set))
    }
}
