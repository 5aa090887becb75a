//! `cauce datasets`: what tasks write, what is started by it, and what is missing for that.

use std::collections::{BTreeMap, BTreeSet};

use cauce_engine::Command;
use cauce_local::clock::SystemClock;
use cauce_model::dataset::{ConsumerRecord, DatasetRecord, WaitingRecord, normal_name};
use cauce_model::plan::Plan;
use cauce_model::{Instant, Json};
use cauce_ports::Clock;
use serde_json::json;

use crate::args::{DatasetsArgs, DatasetsStep, UpdateArgs};
use crate::context::Context;
use crate::datasets::{Datasets, Uses};
use crate::engine::Actor;
use crate::error::{Exit, Failure};
use crate::output::Table;
use crate::project::{self, ProjectFolder};
use crate::store::Store;
use crate::suggest::nearest;
use crate::time;

/// How many names a column holds before it counts the rest.
const NAMED_MAX: usize = 3;

/// `cauce datasets`
pub(crate) fn datasets(args: &DatasetsArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(DatasetsStep::Update(args)) = &args.step {
        return update(args, context);
    }
    let now = SystemClock.now();
    let store = Store::open(context)?;
    let known = known(store.as_ref(), context)?;
    let wanted = args.name.as_deref().map(normal_name).transpose().map_err(Failure::bad_input)?;
    let (mut shown, consumers) = context.block_on(async {
        let mut names: BTreeSet<String> = known.by_name.keys().cloned().collect();
        let mut consumers = Vec::new();
        if let Some(store) = &store {
            names.extend(store.datasets().await?);
            for pipeline in known.pipelines() {
                consumers.extend(store.consumer(pipeline).await?);
            }
        }
        let mut shown = Vec::new();
        for name in names {
            let record = match &store {
                Some(store) => store.dataset(&name).await?,
                None => None,
            };
            shown.push(Shown { uses: known.uses(&name), name, record });
        }
        Ok::<_, Failure>((shown, consumers))
    })?;
    let all: BTreeMap<String, u64> = shown
        .iter()
        .filter_map(|dataset| Some((dataset.name.clone(), dataset.record.as_ref()?.newest.number)))
        .collect();
    if let Some(wanted) = &wanted {
        if shown.iter().all(|dataset| dataset.name != *wanted) {
            let failure = Failure::bad_input(format!("there is no dataset '{wanted}'"));
            let names = shown.iter().map(|dataset| dataset.name.as_str());
            return Err(match nearest(wanted, names) {
                Some(near) => failure.help(format!("did you mean '{near}'?")),
                None => failure.help("'cauce datasets' lists them"),
            });
        }
        shown.retain(|dataset| dataset.name == *wanted);
    }
    let concerned: Vec<Waits> = consumers
        .iter()
        .filter(|(consumer, _)| wanted.as_ref().is_none_or(|name| consumer.heard.contains_key(name)))
        .map(|(consumer, waiting)| {
            let newest = |name: &str| all.get(name).copied().unwrap_or_default();
            Waits { consumer, waiting, unheard: unheard(consumer, newest), now }
        })
        .collect();
    if context.json {
        context.output.json(&json!({
            "schema": 1,
            "datasets": shown.iter().map(|dataset| dataset.document(now)).collect::<Vec<_>>(),
            "consumers": concerned.iter().map(Waits::document).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Good);
    }
    if shown.is_empty() {
        context.output.talk("no task writes or reads a dataset, and none starts a pipeline");
        return Ok(Exit::Good);
    }
    let mut table =
        Table::new(["DATASET", "WRITTEN BY", "STARTS", "LAST UPDATE", "NUMBER", "PARTITION", "BY"]);
    for dataset in &shown {
        let newest = dataset.record.as_ref().map(|record| &record.newest);
        table.row([
            dataset.name.as_str().into(),
            some(&dataset.uses.writers).into(),
            some(&dataset.uses.starts).into(),
            newest.map(|update| time::moment(update.at)).unwrap_or_else(|| "never".to_owned()).into(),
            newest.map(|update| update.number.to_string()).unwrap_or_default().into(),
            newest.and_then(|update| update.partition.clone()).unwrap_or_default().into(),
            newest.and_then(|update| update.run.clone().or(update.by.clone())).unwrap_or_default().into(),
        ]);
    }
    context.output.table(&table)?;
    for waits in &concerned {
        for line in waits.lines() {
            context.output.line(&format!("{}: {line}", waits.consumer.pipeline))?;
        }
    }
    Ok(Exit::Good)
}

/// A dataset as it is shown.
struct Shown {
    name: String,
    uses: Uses,
    record: Option<DatasetRecord>,
}

impl Shown {
    fn document(&self, now: Instant) -> Json {
        let newest = self.record.as_ref().map(|record| &record.newest);
        json!({
            "dataset": self.name,
            "producers": self.uses.writers,
            "readers": self.uses.readers,
            "consumers": self.uses.starts,
            "last_update": newest,
            "age_seconds": newest.map(|update| now.micros_since(update.at) / 1_000_000),
            "told": self.record.as_ref().map(|record| record.told),
        })
    }
}

/// What a pipeline that datasets start waits for.
pub(crate) struct Waits<'a> {
    pub(crate) consumer: &'a ConsumerRecord,
    pub(crate) waiting: &'a [WaitingRecord],
    /// Datasets with updates that nobody has looked at for it, and how many they are.
    pub(crate) unheard: BTreeMap<String, u64>,
    pub(crate) now: Instant,
}

impl Waits<'_> {
    /// In sentences.
    pub(crate) fn lines(&self) -> Vec<String> {
        let trigger = &self.consumer.trigger;
        let mut lines = Vec::new();
        for waiting in self.waiting {
            let have: Vec<&str> = waiting.updates.keys().map(String::as_str).collect();
            let of = match waiting.partition.is_empty() {
                true => String::new(),
                false => format!("{}: ", waiting.partition),
            };
            lines.push(match trigger.lacks(waiting) {
                Some(lacks) => format!("{of}waits for {lacks}; there: {}", have.join(", ")),
                None => format!("{of}{} is there; its run starts once nothing bars the way", have.join(", ")),
            });
        }
        for (dataset, count) in &self.unheard {
            lines.push(format!(
                "{} of {dataset} not looked at yet: 'cauce up' does, or the sweep of a deployed environment",
                super::check::count(*count, "update")
            ));
        }
        if lines.is_empty() {
            lines.push(format!("nothing new since its last run; it starts by {}", trigger.on));
        }
        if let Some(late) = self.consumer.late_at() {
            let word = if late <= self.now { "late since" } else { "late from" };
            lines.push(format!("{word} {} on, unless an update comes", time::moment(late)));
        }
        lines
    }

    fn document(&self) -> Json {
        let trigger = &self.consumer.trigger;
        let waiting = self.waiting.iter().map(|waiting| {
            json!({
                "partition": Some(&waiting.partition).filter(|partition| !partition.is_empty()),
                "updates": waiting.updates,
                "lacks": trigger.lacks(waiting),
            })
        });
        let late_at = self.consumer.late_at();
        json!({
            "pipeline": self.consumer.pipeline,
            "condition": trigger.on,
            "partitioned_by": trigger.partitioned_by,
            "waiting": waiting.collect::<Vec<_>>(),
            "unheard": self.unheard,
            "late_at": late_at,
            "is_late": late_at.is_some_and(|at| at <= self.now),
        })
    }
}

/// How many updates of each dataset lie above what a consumer has heard of.
pub(crate) fn unheard(consumer: &ConsumerRecord, newest: impl Fn(&str) -> u64) -> BTreeMap<String, u64> {
    let left =
        consumer.heard.iter().map(|(name, heard)| (name.clone(), newest(name).saturating_sub(heard.seen)));
    left.filter(|(_, count)| *count > 0).collect()
}

fn some(names: &BTreeSet<String>) -> String {
    let mut words: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let more = format!("{more} more");
    if names.len() > NAMED_MAX {
        words.push(&more);
    }
    words.join(", ")
}

/// What the files here say, or what is deployed there.
fn known(store: Option<&Store>, context: &Context) -> Result<Datasets, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let values = folder.values(&context.env)?;
    let plans = match (context.there()?, store) {
        (Some(_), Some(store)) => context.block_on(async {
            let mut plans = Vec::new();
            for record in store.pipelines().await? {
                plans.push(store.plan_of(&record.pipeline, &record.version).await?.plan.clone());
            }
            Ok::<_, Failure>(plans)
        })?,
        _ => plans(&folder, context)?,
    };
    Ok(Datasets::of(plans, &values))
}

/// The plans of a project's files, those that pass their checks.
pub(crate) fn plans(folder: &ProjectFolder, context: &Context) -> Result<Vec<Plan>, Failure> {
    let mut plans = Vec::new();
    for found in folder.pipelines()? {
        plans.extend(project::compiled(&found.path, folder, context)?.map(|(_, compiled)| compiled.plan));
    }
    Ok(plans)
}

/// `cauce datasets update`: somebody outside has written a dataset.
fn update(args: &UpdateArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    let told = context.block_on(async {
        if let Actor::Here(local) = &actor {
            crate::engine::subscribe_all(local, &folder, context).await?;
        }
        let command = Command::Update {
            dataset: args.name.clone(),
            partition: args.partition.clone(),
            by: Some(actor.by(context).await?),
        };
        actor.execute(&command).await
    })?;
    if context.json {
        context.output.json(&told)?;
    } else {
        let (dataset, number) = (told["dataset"].as_str().unwrap_or_default(), &told["number"]);
        let of = told["partition"].as_str().map(|partition| format!(", of {partition}")).unwrap_or_default();
        context.output.talk(&format!("{dataset} was updated: number {number}{of}"));
    }
    Ok(Exit::Good)
}
