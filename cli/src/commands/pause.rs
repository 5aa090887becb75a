//! `cauce pause` and `cauce unpause`: whether a pipeline's triggers start runs.

use cauce_local::clock::SystemClock;
use cauce_model::ids::sha256_hex;
use cauce_model::item::Expect;
use cauce_model::record::{PipelineRecord, Record, pipeline_item};
use cauce_model::{AuditRecord, Item, Write};
use cauce_ports::{Clock, Table, TableError};

use crate::args::PauseArgs;
use crate::context::Context;
use crate::engine::deployed;
use crate::error::{Exit, Failure};
use crate::project::{Loaded, ProjectFolder, find_pipeline};
use crate::store::Store;

/// Pauses a pipeline, or lets it go on. Runs that people start are not held back.
pub(crate) fn pause(args: &PauseArgs, paused: bool, context: &Context) -> Result<Exit, Failure> {
    let there = context.there()?;
    // In a deployed environment the file is not needed: what is deployed counts.
    let loaded = match there {
        Some(_) => None,
        None => {
            let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
            Some(find_pipeline(&args.pipeline, &folder, context)?)
        }
    };
    let store = match (&there, &loaded) {
        (Some(there), _) => Store::there(there),
        // The mark has to be kept somewhere, so this makes the state folder when there is none.
        (None, Some(loaded)) => Store::at(cauce_local::state::StateDir::open(&loaded.folder.state_dir)?)?,
        (None, None) => Store::require(context)?,
    };
    context.block_on(mark(&store, &args.pipeline, paused, loaded.as_ref(), context))?;
    if let Some(loaded) = loaded.filter(|loaded| loaded.pipeline.paused && !paused) {
        context.output.warn(&format!("{} says 'paused: true', which holds as well", loaded.path.display()));
    }
    if context.json {
        context.output.json(&serde_json::json!({"pipeline": args.pipeline, "paused": paused}))?;
    } else {
        let word = if paused { "paused: its triggers start nothing" } else { "no longer paused" };
        context.output.talk(&format!("{} is {word}", args.pipeline));
    }
    Ok(Exit::Good)
}

/// Writes the mark, and who did. A pipeline of this machine that has never run gets a record: its
/// first run replaces it and keeps the mark.
async fn mark(
    store: &Store,
    pipeline: &str,
    paused: bool,
    loaded: Option<&Loaded>,
    context: &Context,
) -> Result<(), Failure> {
    let key = pipeline_item(pipeline);
    let by = match context.there()? {
        Some(there) => there.by().await?,
        None => context.environment.by(),
    };
    loop {
        let item = store.table().get(&key).await?;
        let mut record = match (&item, loaded) {
            (Some(item), _) => PipelineRecord::from_item(item)?,
            (None, Some(loaded)) => PipelineRecord {
                pipeline: pipeline.to_owned(),
                version: loaded.compiled.version().to_owned(),
                machine: pipeline.to_owned(),
                parts: std::collections::BTreeMap::new(),
                paused: !paused,
                deployment: None,
                buckets: Vec::new(),
            },
            (None, None) => deployed(store, pipeline, context).await?,
        };
        if record.paused == paused {
            return Ok(());
        }
        record.paused = paused;
        let mut entry = AuditRecord::new(SystemClock.now(), if paused { "pause" } else { "unpause" });
        entry.by = Some(by.clone());
        entry.pipeline = Some(pipeline.to_owned());
        entry.version = Some(record.version.clone());
        let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
        let writes = [Write::Put { item: Item::new(key.clone(), record.to_body()), expect }, entry.write()];
        let token = sha256_hex(serde_json::to_vec(&writes).map_err(|error| Failure::from_error(&error))?);
        match store.table().write(&writes, &token[..36]).await {
            Ok(()) => return Ok(()),
            // Somebody else wrote first, a deployment or another person: what they wrote is kept.
            Err(TableError::Condition { .. } | TableError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
