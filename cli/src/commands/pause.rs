//! `cauce pause` and `cauce unpause`: whether a pipeline's triggers start runs.

use cauce_model::item::{Change, Expect, Step, When};
use cauce_model::record::{PipelineRecord, Record, pipeline_item};
use cauce_model::{Item, Json, Write};
use cauce_ports::{Table, TableError};

use crate::args::PauseArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::project::{ProjectFolder, find_pipeline};
use crate::store::Store;

/// Pauses a pipeline, or lets it go on. Runs that people start are not held back.
pub(crate) fn pause(args: &PauseArgs, paused: bool, context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let loaded = find_pipeline(&args.pipeline, &folder, context)?;
    // The mark has to be kept somewhere, so this makes the state folder when there is none.
    let store = Store::at(cauce_local::state::StateDir::open(&folder.state_dir)?)?;
    let key = pipeline_item(&args.pipeline);
    let change = Change { steps: vec![Step::Set("paused".into(), Json::from(paused))] };
    let known = When { all: vec![cauce_model::item::Cond::Exists] };
    context.block_on(async {
        match store.table().update(&key, &change, &known).await {
            Ok(_) => Ok(()),
            Err(TableError::Condition { .. }) => {
                // It has never run here: its first run replaces the record and keeps the mark.
                let compiled = &loaded.compiled;
                let record = PipelineRecord {
                    pipeline: args.pipeline.clone(),
                    version: compiled.version().to_owned(),
                    machine: args.pipeline.clone(),
                    parts: std::collections::BTreeMap::new(),
                    paused,
                    deployment: None,
                    buckets: Vec::new(),
                };
                let item = Item::new(key.clone(), record.to_body());
                let write = Write::Put { item, expect: Expect::Absent };
                Ok(store.table().write(&[write], &format!("pause-{}", args.pipeline)).await?)
            }
            Err(error) => Err(error.into()),
        }
    })?;
    if loaded.pipeline.paused && !paused {
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
