//! Updates of datasets: a task that succeeds makes them, whoever is started by them is told.
//!
//! The update is in the very write that ends the task, with a number of its own. That write also puts the
//! dataset among what is due, and it stays there until all whom it starts were told: a crash in between,
//! or an event that is lost, costs time and nothing else. What they then do is [`crate::consumers`].

use crate::command::{Command, Decision, Effect, Event, Reply};
use crate::context::{Renderer, Unrendered, date_in};
use crate::ending::Case;
use crate::stop::Stop;
use crate::{View, trigger};
use cauce_model::dataset::{
    DatasetRecord, READER_PREFIX, UpdateRecord, WRITTEN_MAX, dataset_item, dataset_partition, listed,
    normal_name, update_item,
};
use cauce_model::item::Expect;
use cauce_model::record::{Record, TaskRecord, WrittenRecord};
use cauce_model::{AuditRecord, Instant, Item, TaskStatus, Write, names};
use serde_json::json;

/// Names the datasets that a task will have updated, before it does anything.
pub(crate) fn render(case: &mut Case<'_>, renderer: &Renderer<'_>) -> Result<(), Unrendered> {
    let mut written: Vec<WrittenRecord> = Vec::new();
    for template in &case.plan().writes {
        let name = normal_name(&renderer.text(template)?)
            .map_err(|problem| Unrendered(format!("writes: '{template}' is no dataset: {problem}")))?;
        if written.iter().all(|known| known.dataset != name) {
            written.push(WrittenRecord { dataset: name, number: None });
        }
    }
    written.truncate(WRITTEN_MAX);
    case.record().datasets = written;
    Ok(())
}

/// Adds the updates of a task that has just succeeded to the decision that ends it. Its items update
/// nothing: the whole of them does, once.
pub(crate) fn wrote(case: &mut Case<'_>, decision: &mut Decision, view: &View) -> Result<(), Stop> {
    let record = &case.loaded.record;
    if record.status != TaskStatus::Success || record.index.is_some() || record.datasets.is_empty() {
        return Ok(());
    }
    view.want(record.datasets.iter().map(|written| dataset_item(&written.dataset)))?;
    let run = case.run;
    let update = UpdateRecord {
        dataset: String::new(),
        number: 0,
        at: case.now,
        partition: Some(date_in(run.logical_date, &run.timezone)),
        logical_date: Some(run.logical_date),
        data_interval: Some((run.data_interval_start, run.data_interval_end)),
        run: Some(run.run.to_string()),
        generation: Some(run.generation),
        task: Some(record.task.clone()),
        fence: Some(record.fence),
        by: None,
    };
    let mut writes = Vec::new();
    for written in &mut case.record().datasets {
        let update = UpdateRecord { dataset: written.dataset.clone(), ..update.clone() };
        written.number = Some(mint(update, view, &mut writes)?);
    }
    // The record as it was ended does not say the numbers.
    let own = case.write();
    for write in &mut decision.writes {
        if write.key() == own.key() {
            write.clone_from(&own);
        }
    }
    decision.writes.extend(writes);
    decision.effects.extend(posts(&case.loaded.record));
    Ok(())
}

/// What follows the write of a task run that updated datasets, and may follow again.
pub(crate) fn posts(record: &TaskRecord) -> impl Iterator<Item = Effect> + '_ {
    record.datasets.iter().filter(|written| written.number.is_some()).map(|written| post(&written.dataset))
}

fn post(dataset: &str) -> Effect {
    Effect::Post(Event::Dataset { dataset: dataset.to_owned() })
}

/// The writes of one more update of a dataset. Returns its number.
fn mint(mut update: UpdateRecord, view: &View, writes: &mut Vec<Write>) -> Result<u64, Stop> {
    let item = view.item(&dataset_item(&update.dataset))?;
    let known = item.map(DatasetRecord::from_item).transpose()?;
    update.number = known.as_ref().map_or(0, |known| known.newest.number) + 1;
    let number = update.number;
    let key = update_item(&update.dataset, number);
    writes.push(Write::Put { item: Item::new(key, update.to_body()), expect: Expect::Any });
    if known.is_none() {
        writes.push(Write::Put { item: listed(&update.dataset), expect: Expect::Any });
    }
    let record = DatasetRecord {
        command: DatasetRecord::COMMAND.to_owned(),
        dataset: update.dataset.clone(),
        told: known.map_or(0, |known| known.told),
        newest: update,
    };
    let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
    writes.push(Write::Put { item: record.row(), expect });
    Ok(number)
}

/// Somebody outside has updated a dataset.
pub(crate) fn update(
    dataset: &str,
    partition: Option<&str>,
    by: Option<&str>,
    view: &View,
    now: Instant,
) -> Result<Decision, Stop> {
    let refused = |cause: String| Stop::refuse(names::DENIED, cause);
    let dataset = normal_name(dataset).map_err(refused)?;
    let day = partition.map(|text| text.parse::<jiff::civil::Date>().map(|day| day.to_string()));
    let partition = day
        .transpose()
        .map_err(|_| refused(format!("'{}' is no day (1997-01-05)", partition.unwrap_or_default())))?;
    view.want([dataset_item(&dataset)])?;
    let update = UpdateRecord {
        dataset: dataset.clone(),
        number: 0,
        at: now,
        partition: partition.clone(),
        logical_date: None,
        data_interval: None,
        run: None,
        generation: None,
        task: None,
        fence: None,
        by: by.map(str::to_owned),
    };
    let mut writes = Vec::new();
    let number = mint(update, view, &mut writes)?;
    let mut entry = AuditRecord::new(now, "update");
    entry.by = by.map(str::to_owned);
    entry.detail = json!({"dataset": dataset, "partition": partition, "number": number});
    writes.push(entry.write());
    let reply = Reply::Ok(json!({"dataset": dataset, "number": number, "partition": partition}));
    Ok(Decision { writes, effects: vec![post(&dataset)], reply, ..Decision::default() })
}

/// Tells everybody whom a dataset starts that there is something new.
pub(crate) fn tell(dataset: &str, view: &View) -> Result<Decision, Stop> {
    let known = view.item(&dataset_item(dataset))?.map(DatasetRecord::from_item).transpose()?;
    let Some(known) = known.filter(|known| known.told < known.newest.number) else {
        return Ok(Decision { reply: Reply::Ok(json!({"consumers": []})), ..Decision::default() });
    };
    let readers = view.range(dataset_partition(dataset), READER_PREFIX.to_owned())?;
    let readers: Vec<&str> =
        readers.iter().filter_map(|item| item.key.sort.strip_prefix(READER_PREFIX)).collect();
    let look =
        |pipeline: &&str| Command::Event(Box::new(Event::Consumer { pipeline: (*pipeline).to_owned() }));
    let told = Command::Told { dataset: dataset.to_owned(), number: known.newest.number };
    let effects = vec![Effect::Each { commands: readers.iter().map(look).collect(), then: Box::new(told) }];
    Ok(Decision { effects, reply: Reply::Ok(json!({"consumers": readers})), ..Decision::default() })
}

/// Everybody was told up to an update. A later one is told of by its own event.
pub(crate) fn told(dataset: &str, number: u64, view: &View) -> Result<Decision, Stop> {
    let Some(item) = view.item(&dataset_item(dataset))? else { return Ok(Decision::default()) };
    let mut record = DatasetRecord::from_item(item)?;
    if record.told >= number {
        return Ok(Decision::default());
    }
    record.told = number;
    let write = Write::Put { item: record.row(), expect: Expect::Version(item.version) };
    Ok(Decision { writes: vec![write], ..Decision::default() })
}

/// The dates of a run of these updates: the moment of the newest, over the data of all of them.
pub(crate) fn dates(
    updates: &[UpdateRecord],
    run_id: String,
    timezone: &str,
    now: Instant,
) -> trigger::NewRun {
    let at = updates.iter().map(|update| update.at).max().unwrap_or(now);
    let intervals = || updates.iter().filter_map(|update| update.data_interval);
    let start = intervals().map(|(start, _)| start).min().unwrap_or(at);
    let end = intervals().map(|(_, end)| end).max().unwrap_or(at);
    trigger::NewRun {
        run_id,
        logical_date: at,
        data_interval: (start, end),
        timezone: timezone.to_owned(),
        scheduled_at: None,
    }
}
