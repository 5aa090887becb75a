//! Objects that arrive: which pipelines want them, which of them belong together, and what is new.
//!
//! S3 delivers at least once and in any order. One arrival is one identity, so a repeat is found; of one
//! key, only what is newer than what is known counts; a set is complete once each pattern has a file.

use crate::command::{Again, Command, Decision, Effect, Existing, Reply};
use crate::context::Renderer;
use crate::event::{booked, deployed, pinned, rejected, repeated, start};
use crate::stop::Stop;
use crate::trigger::{self, NewRun, run_row};
use crate::{Prepared, Settings, View, matrix, sets, streak};
use cauce_model::event::{
    Became, FileRecord, InterestRecord, LedgerRecord, Object, file_item, interest_partition, ledger_item,
    sequence,
};
use cauce_model::files::FileTriggerPlan;
use cauce_model::ids::sha256_hex;
use cauce_model::item::Expect;
use cauce_model::matrix::{ItemRecord, is_key};
use cauce_model::pattern::KeyPattern;
use cauce_model::record::{PipelineRecord, Record, RunRecord, TriggerRecord, pipeline_item, run_item};
use cauce_model::{Instant, Item, Json, RunKey, TriggerKind, Write};
use cauce_template::Context;
use serde_json::{Map, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Events that a run's trigger lists; of further ones it gives the number.
pub(crate) const LISTED_MAX: usize = 32;

fn entry(object: &Object, pipeline: Option<&str>, now: Instant) -> LedgerRecord {
    LedgerRecord::new((object.at, now), "file", object.identity(), pipeline, json!(object))
}

/// An object arrived: every pipeline that wants it decides for itself.
pub(crate) fn object(object: &Object, view: &View, now: Instant) -> Result<Decision, Stop> {
    let mut wanted = Vec::new();
    for item in view.range(interest_partition(&object.bucket), String::new())? {
        let interest = InterestRecord::from_item(item)?;
        let wants = |key: &String| KeyPattern::parse(key).is_ok_and(|key| key.matches(&object.key).is_some());
        if interest.keys.iter().any(wants) {
            wanted.push(interest.pipeline);
        }
    }
    if wanted.is_empty() {
        let entry = entry(object, None, now);
        view.want([ledger_item(entry.at, &entry.identity, None)])?;
        return Ok(match repeated(&entry, view)? {
            Some(decision) => decision,
            None => rejected(entry, "no pipeline wants this key".to_owned()),
        });
    }
    let reply = Reply::Ok(json!({"pipelines": wanted}));
    let command = |pipeline| Command::File { pipeline, object: Box::new(object.clone()), asked: false };
    let effects = wanted.into_iter().map(|pipeline| Effect::Command(Box::new(command(pipeline)))).collect();
    Ok(Decision { effects, reply, ..Decision::default() })
}

/// The trigger that an object meets.
pub(crate) struct Met<'a> {
    pub(crate) trigger: &'a FileTriggerPlan,
    /// Its position among the pipeline's triggers.
    pub(crate) position: usize,
    /// The position of the pattern; the marker's follows those of the files.
    pub(crate) key: u32,
    /// What all of its patterns capture, as this object has it.
    pub(crate) captures: BTreeMap<String, String>,
}

impl Met<'_> {
    /// Whether the object says that the files are all there.
    pub(crate) fn is_marker(&self) -> bool {
        self.key as usize == self.trigger.keys.len()
    }
}

/// One pipeline decides about an object. Where somebody `asked` for it, an entry that says `paused` or `rejected`
/// gives way to the new one.
pub(crate) fn file(
    pipeline: &str,
    object: &Object,
    asked: bool,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let entry = entry(object, Some(pipeline), now);
    let key = ledger_item(entry.at, &entry.identity, Some(pipeline));
    view.want([key.clone(), pipeline_item(pipeline), file_item(pipeline, object)])?;
    let before = view.item(&key)?.filter(|_| asked);
    let before =
        before.map(|item| Ok::<_, Stop>((LedgerRecord::from_item(item)?, item.version))).transpose()?;
    let gives_way = before.filter(|(was, _)| matches!(was.became, Became::Paused | Became::Rejected));
    if gives_way.is_none()
        && let Some(decision) = repeated(&entry, view)?
    {
        return Ok(decision);
    }
    let mut decision = decided(pipeline, object, entry, view, settings, now)?;
    if let Some((_, version)) = gives_way {
        for write in &mut decision.writes {
            if let Write::Put { item, expect } = write
                && item.key == key
            {
                *expect = Expect::Version(version);
            }
        }
    }
    Ok(decision)
}

/// What becomes of an object that is not decided on yet.
fn decided(
    pipeline: &str,
    object: &Object,
    entry: LedgerRecord,
    view: &View,
    settings: &Settings,
    now: Instant,
) -> Result<Decision, Stop> {
    let known_key = file_item(pipeline, object);
    let Some(deployed) = deployed(pipeline, view)? else {
        return Ok(rejected(entry, format!("there is no pipeline '{pipeline}'")));
    };
    let settings = pinned(&deployed, view, settings)?;
    let prepared = view.plan(pipeline, &deployed.version)?;
    let met = match met(&prepared, object, settings) {
        Ok(Some(met)) => met,
        Ok(None) => {
            return Ok(rejected(entry, format!("version {} waits for no such key", deployed.version)));
        }
        Err(problem) => return Ok(rejected(entry, problem)),
    };
    if object.size < met.trigger.min_bytes && !met.is_marker() {
        let least = met.trigger.min_bytes;
        return Ok(rejected(entry, format!("{} bytes are fewer than min_bytes, {least}", object.size)));
    }
    if deployed.paused || prepared.plan.paused {
        return Ok(booked(entry, Became::Paused, streak::held_back(&deployed)));
    }
    let known_item = view.item(&known_key)?;
    if let Some(known) = known_item.map(FileRecord::from_item).transpose()?
        && let Some(became) = compared(&known.object, object)
    {
        return Ok(booked(entry, became, Some("a newer or equal arrival of this key is known".to_owned())));
    }
    let heard = Write::Put {
        item: Item::new(known_key, FileRecord { object: object.clone() }.to_body()),
        expect: known_item.map_or(Expect::Absent, |item| Expect::Version(item.version)),
    };
    let arrival = Arrival { deployed: &deployed, prepared: &prepared, settings, view, now };
    let decision = if met.trigger.all {
        sets::complete(&arrival, entry, met, object)?
    } else if let Some(settle) = met.trigger.collects() {
        sets::collect(&arrival, entry, met, object, settle)?
    } else {
        let id = json!([pipeline, object.identity()]);
        let (by, events) = (by(object), vec![object.clone()]);
        let files = Files { events, uri: None, marker: None, captures: met.captures, by };
        arrival.run(entry, met.trigger, &id, object.at, files)?
    };
    Ok(decision.map_or_else(
        |refused| refused,
        |mut decision| {
            decision.writes.push(heard);
            decision
        },
    ))
}

/// Who starts a run for an object.
pub(crate) fn by(object: &Object) -> String {
    format!("s3://{}/{}", object.bucket, object.key)
}

/// What a decision about files is made with.
pub(crate) struct Arrival<'a> {
    pub(crate) deployed: &'a PipelineRecord,
    pub(crate) prepared: &'a Prepared,
    /// Of what is deployed.
    pub(crate) settings: &'a Settings,
    pub(crate) view: &'a View,
    pub(crate) now: Instant,
}

/// The files of a run.
pub(crate) struct Files {
    /// Those that its trigger tells of: all, or the newest.
    pub(crate) events: Vec<Object>,
    /// Where all of them are written down, and how many they are, when they are many.
    pub(crate) uri: Option<(String, usize)>,
    /// The file that said that they are all there.
    pub(crate) marker: Option<Object>,
    /// What their keys have in common.
    pub(crate) captures: BTreeMap<String, String>,
    /// Who started it.
    pub(crate) by: String,
}

/// A decision, or one that refuses: then the files are as if they had not come.
pub(crate) type Taken = Result<Decision, Decision>;

impl Arrival<'_> {
    /// A run of some files, or a further generation of it. Its id is that of its date, else made of `id`.
    pub(crate) fn run(
        &self,
        entry: LedgerRecord,
        trigger: &FileTriggerPlan,
        id: &Json,
        at: Instant,
        files: Files,
    ) -> Result<Taken, Stop> {
        let pipeline = &self.deployed.pipeline;
        let item = match self.item(trigger, &files.captures)? {
            Ok(item) => item,
            Err(problem) => return Ok(Err(rejected(entry, problem))),
        };
        let case = item.as_ref().and_then(|item| item.case.as_deref());
        let mut new = match dated(trigger, &files.captures, id, at, (self.prepared, case)) {
            Ok(new) => new,
            Err(problem) => return Ok(Err(rejected(entry, problem))),
        };
        if let Some(item) = &item {
            new.run_id = format!("{}-{}", item.key, new.run_id);
        }
        let item = item.zip(self.prepared.plan.matrix.as_ref()).map(|(item, matrix)| item.of_run(matrix));
        let mut detail = detail(&files.events, 0, &files.captures);
        if let Some((uri, count)) = &files.uri {
            detail["more_events"] = json!(count - files.events.len().min(LISTED_MAX));
            detail["events_uris"] = json!([uri]);
        }
        if let Some(marker) = &files.marker {
            detail["marker"] = json!(marker);
        }
        let cause = TriggerRecord { kind: TriggerKind::File, by: Some(files.by), detail, item };
        let known = self.view.item(&run_item(&RunKey::new(pipeline, &new.run_id)))?;
        let known =
            known.map(|item| Ok::<_, Stop>((RunRecord::from_item(item)?, item.version))).transpose()?;
        let existing = match known {
            None => Existing::Refuse,
            Some((run, _)) if run.status.is_terminal() => Existing::Next(Again::All),
            Some((mut run, version)) => {
                // Under way: the data waits for the present generation's end, together with what else comes.
                run.next = Some(merged(run.next.take(), cause));
                let mut entry = entry;
                entry.run = Some(run.run.to_string());
                let mut decision =
                    booked(entry, Became::Run, Some("a generation follows the present one".to_owned()));
                decision.writes.push(Write::Put { item: run_row(&run), expect: Expect::Version(version) });
                return Ok(Ok(decision));
            }
        };
        start(entry, self.deployed, new, cause, existing, self.view, self.now).map(Ok)
    }

    /// The item of the matrix that the files are of; why they are of none.
    fn item(
        &self,
        trigger: &FileTriggerPlan,
        captures: &BTreeMap<String, String>,
    ) -> Result<Result<Option<ItemRecord>, String>, Stop> {
        let plan = &self.prepared.plan;
        let Some(template) = trigger.item.as_ref().filter(|_| plan.matrix.is_some()) else {
            return Ok(Ok(None));
        };
        let key = filled(template, captures);
        if !is_key(&key) {
            return Ok(Err(format!("'{key}' cannot be the key of an item")));
        }
        let item = matrix::find(plan, &key, self.view)?;
        Ok(item.map(Some).ok_or_else(|| format!("the list of {} has no item '{key}'", plan.pipeline)))
    }
}

/// The first trigger of the plan whose bucket and keys fit.
fn met<'a>(prepared: &'a Prepared, object: &Object, settings: &Settings) -> Result<Option<Met<'a>>, String> {
    for (position, trigger) in prepared.plan.triggers.iter().enumerate() {
        let Some(trigger) = trigger.file() else { continue };
        if bucket(trigger, settings)? != object.bucket {
            continue;
        }
        let patterns: Vec<KeyPattern> =
            trigger.patterns().map(KeyPattern::parse).collect::<Result<_, _>>()?;
        let mut ranked: Vec<(u32, &KeyPattern)> = (0..).zip(&patterns).collect();
        if trigger.marker.is_some() {
            // A marker among the files fits their patterns as well: it is looked for first.
            ranked.rotate_right(1);
        }
        for (key, pattern) in ranked {
            let Some(mut captures) = pattern.matches(&object.key) else { continue };
            let everywhere =
                |name: &str| patterns.iter().all(|p| p.captures().any(|(other, _)| other == name));
            captures.retain(|name, _| everywhere(name));
            return Ok(Some(Met { trigger, position, key, captures }));
        }
    }
    Ok(None)
}

/// The bucket of a trigger in an environment.
pub(crate) fn bucket(trigger: &FileTriggerPlan, settings: &Settings) -> Result<String, String> {
    filled_in(&trigger.bucket, settings)
}

/// A text that is known before there is a run, with the environment's values filled in.
pub(crate) fn filled_in(text: &str, settings: &Settings) -> Result<String, String> {
    let context = Context::new(&Map::new());
    Renderer { context: &context, settings }.text(text).map_err(|error| error.0)
}

/// What an arrival is beside the newest known of its key; `None` when it is newer.
fn compared(known: &Object, object: &Object) -> Option<Became> {
    if known.identity() == object.identity() {
        return Some(Became::Duplicate);
    }
    match (&known.sequencer, &object.sequencer) {
        // Who looks into the bucket sees neither version nor sequencer; the same content is the same arrival.
        (None, _) | (_, None) if known.etag.is_some() && known.etag == object.etag => Some(Became::Duplicate),
        (Some(known), Some(new)) if sequence(known, new) == Ordering::Greater => Some(Became::Stale),
        _ => None,
    }
}

/// The run of some files: that of the date that their keys say, else one of its own.
fn dated(
    trigger: &FileTriggerPlan,
    captures: &BTreeMap<String, String>,
    id: &Json,
    at: Instant,
    (prepared, case): (&Prepared, Option<&str>),
) -> Result<NewRun, String> {
    if let Some(template) = &trigger.logical_date {
        return trigger::dated_in(&prepared.plan, case, Some(&filled(template, captures)), at);
    }
    Ok(NewRun {
        run_id: format!("file-{}", &sha256_hex(id.to_string())[..26]),
        logical_date: at,
        data_interval: (at, at),
        timezone: prepared.plan.timezone.clone(),
        scheduled_at: None,
    })
}

/// A text with captures in the places that name them.
fn filled(template: &str, captures: &BTreeMap<String, String>) -> String {
    let mut text = template.to_owned();
    for (name, value) in captures {
        for written in [format!("{{{name}}}"), format!("{{{name}:date}}"), format!("{{{name}:int}}")] {
            text = text.replace(&written, value);
        }
    }
    text
}

/// What templates read as `trigger`: the newest events, how many more there were, and the captures.
fn detail(events: &[Object], more: usize, captures: &BTreeMap<String, String>) -> Json {
    let listed = events.len().min(LISTED_MAX);
    let more = more + events.len() - listed;
    let mut detail = Map::new();
    detail.insert("events".into(), json!(events[events.len() - listed..]));
    if more > 0 {
        detail.insert("more_events".into(), Json::from(more));
    }
    detail.insert("captures".into(), json!(captures));
    Json::Object(detail)
}

/// Two requests for one further generation: the later one's words, the events of both.
fn merged(earlier: Option<TriggerRecord>, mut later: TriggerRecord) -> TriggerRecord {
    let Some(earlier) = earlier else { return later };
    let list = |record: &TriggerRecord| -> Vec<Object> {
        let events = record.detail.get("events").cloned().unwrap_or_default();
        serde_json::from_value(events).unwrap_or_default()
    };
    let unlisted = |record: &TriggerRecord| {
        record.detail.get("more_events").and_then(Json::as_u64).unwrap_or_default() as usize
    };
    let more = unlisted(&earlier) + unlisted(&later);
    let new = list(&later);
    let mut events: Vec<Object> = list(&earlier);
    events.retain(|known| new.iter().all(|object| object.key != known.key || object.bucket != known.bucket));
    events.extend(new);
    let captures = later.detail.get("captures").cloned().unwrap_or_default();
    let captures: BTreeMap<String, String> = serde_json::from_value(captures).unwrap_or_default();
    let uris: Vec<Json> = [&earlier, &later]
        .iter()
        .filter_map(|record| record.detail.get("events_uris")?.as_array())
        .flatten()
        .cloned()
        .collect();
    later.detail = detail(&events, more, &captures);
    if !uris.is_empty() {
        later.detail["events_uris"] = Json::Array(uris);
    }
    later
}
