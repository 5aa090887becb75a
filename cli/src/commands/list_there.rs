//! `cauce list --env`: the pipelines that are deployed, and how the files here stand to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use cauce_compiler::Compiled;
use cauce_driver::look::next_tick;
use cauce_local::clock::SystemClock;
use cauce_model::Instant;
use cauce_model::record::{Canary, PipelineRecord, RunRecord};
use cauce_ports::Clock;
use serde_json::json;

use super::runs::newest;
use super::schedule::local;
use super::short;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table};
use crate::project::{self, ProjectFolder};
use crate::store::Store;
use crate::there::There;

/// A pipeline's file in the working tree, with what it compiles to; `None` when it does not.
type File = (PathBuf, Option<Compiled>);

/// What is shown of a pipeline.
struct Listed {
    name: String,
    file: Option<File>,
    deployed: Option<Deployed>,
    last: Option<RunRecord>,
}

/// What is deployed of it.
struct Deployed {
    version: String,
    tasks: usize,
    canary: Option<Canary>,
    paused: bool,
    /// Why, where no person paused it and its file does not.
    paused_because: Option<String>,
    next_tick: Option<(Instant, String)>,
}

impl Listed {
    /// How the file here stands to what is deployed.
    fn stands(&self) -> &'static str {
        match (&self.file, &self.deployed) {
            (None, _) => "no file here",
            (Some((_, None)), _) => "does not pass 'cauce check'",
            (Some(_), None) => "not deployed",
            (Some((_, Some(here))), Some(there)) if here.version() == there.version => "as deployed",
            (Some((_, Some(here))), Some(Deployed { canary: Some(canary), .. }))
                if here.version() == canary.of.version =>
            {
                "as the canary"
            }
            (Some(_), Some(_)) => "differs",
        }
    }
}

pub(super) fn list(folder: &ProjectFolder, there: &Rc<There>, context: &Context) -> Result<Exit, Failure> {
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    for found in folder.pipelines()? {
        let compiled = project::compiled(&found.path, folder, context)?.map(|(_, compiled)| compiled);
        files.insert(found.name, (found.path, compiled));
    }
    let store = Store::there(there);
    let listed = context.block_on(async {
        let mut records: BTreeMap<String, PipelineRecord> =
            store.pipelines().await?.into_iter().map(|record| (record.pipeline.clone(), record)).collect();
        // The list is an index, which may be late; a record is what it is.
        for name in files.keys() {
            if let Some(record) = store.pipeline(name).await? {
                records.insert(name.clone(), record);
            }
        }
        let mut last = newest(&store).await?;
        let mut listed = Vec::new();
        for (name, record) in records {
            let deployed = Some(deployed(&store, &record).await?);
            listed.push(Listed { file: files.remove(&name), deployed, last: last.remove(&name), name });
        }
        for (name, file) in files {
            listed.push(Listed { file: Some(file), deployed: None, last: last.remove(&name), name });
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    })?;
    tell(&listed, folder, context)?;
    Ok(Exit::Good)
}

async fn deployed(store: &Store, record: &PipelineRecord) -> Result<Deployed, Failure> {
    let prepared = store.plan_of(&record.pipeline, &record.version).await?;
    Ok(Deployed {
        version: record.version.clone(),
        canary: record.canary.clone(),
        tasks: prepared.plan.tasks.len(),
        paused: record.paused || prepared.plan.paused,
        paused_because: record.paused_because.clone(),
        next_tick: next_tick(&prepared.plan, SystemClock.now()),
    })
}

fn tell(listed: &[Listed], folder: &ProjectFolder, context: &Context) -> Result<(), Failure> {
    if context.json {
        let documents: Vec<_> = listed
            .iter()
            .map(|one| {
                let deployed = one.deployed.as_ref();
                json!({
                    "pipeline": one.name,
                    "file": one.file.as_ref().map(|(path, _)| path),
                    "ok": deployed.is_some(),
                    "here": one.stands(),
                    "version": deployed.map(|there| &there.version),
                    "canary": deployed.and_then(|there| there.canary.as_ref()).map(|canary| {
                        json!({"version": canary.of.version, "percent": canary.percent})
                    }),
                    "tasks": deployed.map(|there| there.tasks),
                    "next_tick": deployed.and_then(|there| there.next_tick.as_ref()).map(|(at, _)| at),
                    "paused": deployed.is_some_and(|there| there.paused),
                    "paused_because": deployed.and_then(|there| there.paused_because.as_ref()),
                    "last_run": one.last.as_ref().map(cauce_driver::look::summary),
                })
            })
            .collect();
        return context.output.json(&json!({
            "schema": 1, "project": folder.project.project, "environment": context.env, "pipelines": documents,
        }));
    }
    if listed.is_empty() {
        context.output.talk(&format!("nothing is deployed to '{}'", context.env));
        return Ok(());
    }
    let mut table = Table::new(["PIPELINE", "VERSION", "TASKS", "NEXT TICK", "LAST RUN", "STATUS", "FILE"]);
    for one in listed {
        let (version, tasks, next) = match &one.deployed {
            None => ("-".to_owned(), "-".to_owned(), format!("not deployed to '{}'", context.env)),
            Some(there) => {
                let next = match &there.next_tick {
                    _ if there.paused => "paused".to_owned(),
                    Some((at, zone)) => local(*at, zone),
                    None => "-".to_owned(),
                };
                let version = match &there.canary {
                    None => short(&there.version).to_owned(),
                    Some(canary) => {
                        let (stable, trial) = (short(&there.version), short(&canary.of.version));
                        format!("{stable}, {} % {trial}", canary.percent)
                    }
                };
                (version, there.tasks.to_string(), next)
            }
        };
        let file = match &one.file {
            None => one.stands().to_owned(),
            Some((path, _)) if one.stands() == "as deployed" => project::shown(path, context),
            Some((path, _)) => format!("{} ({})", project::shown(path, context), one.stands()),
        };
        table.row([
            one.name.as_str().into(),
            version.into(),
            tasks.into(),
            next.into(),
            one.last.as_ref().map_or("-", |run| run.run.run_id.as_str()).into(),
            Cell::status(one.last.as_ref().map_or("-", |run| run.status.as_str())),
            file.into(),
        ]);
    }
    context.output.table(&table)?;
    for one in listed {
        if let Some(because) = one.deployed.as_ref().and_then(|there| there.paused_because.as_ref()) {
            super::runs::say_paused(&one.name, because, &context.env_option(), context);
        }
    }
    let differ = listed.iter().filter(|one| one.stands() == "differs" || one.stands() == "not deployed");
    match differ.count() {
        0 => {}
        count => context.output.talk(&format!(
            "{} here {} not as deployed: cauce deploy --env {}",
            super::check::count(count as u64, "pipeline"),
            if count == 1 { "is" } else { "are" },
            context.env
        )),
    }
    Ok(())
}
