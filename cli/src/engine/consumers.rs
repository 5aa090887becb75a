//! Pipelines that datasets start, on this machine: they are made known before anything is updated, so that an
//! update waits for them although one command starts no other pipeline.

use cauce_driver::look::range;
use cauce_model::RunRef;
use cauce_model::dataset::{READER_PREFIX, dataset_partition};
use cauce_model::plan::Plan;
use cauce_model::record::{Record, TASK_PREFIX, TaskRecord, run_partition};
use cauce_ports::Table;

use crate::context::Context;
use crate::engine::assemble::{Local, deployment};
use crate::error::Failure;
use crate::project::{self, ProjectFolder};

/// Most readers of a dataset that are named.
const NAMED_MAX: u32 = 5;

/// Whether a pipeline updates anything.
pub(crate) fn updates(plan: &Plan) -> bool {
    plan.tasks.iter().any(|task| !task.writes.is_empty())
}

/// Deploys the project's pipelines that datasets start. One that does not pass its checks is left out: it is
/// told of where somebody uses it.
///
/// # Errors
/// A file or a store that cannot be read.
pub(crate) async fn subscribe_all(
    local: &Local,
    folder: &ProjectFolder,
    context: &Context,
) -> Result<(), Failure> {
    for found in folder.pipelines()? {
        // Compiling all to find few would make every run of a large project wait.
        let text = project::read(&found.path)?;
        if !text.windows(b"dataset".len()).any(|word| word == b"dataset") {
            continue;
        }
        let Some((_, compiled)) = project::compiled(&found.path, folder, context)? else { continue };
        if compiled.plan.dataset_trigger().is_some() {
            local.host.deploy(&deployment(&compiled)?).await?;
        }
    }
    Ok(())
}

/// Says which datasets runs have updated, and whom that would start.
///
/// # Errors
/// A table that cannot be read.
pub(crate) async fn tell_updates(local: &Local, names: &[RunRef], context: &Context) -> Result<(), Failure> {
    let table = &local.host.world().table;
    let mut told: Vec<String> = Vec::new();
    for name in names {
        let mut updates = Vec::new();
        for item in range(table, &run_partition(&name.key()), TASK_PREFIX).await? {
            updates.extend(TaskRecord::from_item(&item)?.datasets);
        }
        for written in updates {
            if written.number.is_none() || told.contains(&written.dataset) {
                continue;
            }
            let partition = dataset_partition(&written.dataset);
            let readers = table.query(&partition, READER_PREFIX, None, NAMED_MAX).await?;
            let readers: Vec<&str> =
                readers.items.iter().filter_map(|item| item.key.sort.strip_prefix(READER_PREFIX)).collect();
            if !readers.is_empty() {
                context.output.talk(&format!(
                    "{} was updated, which waits for {}: 'cauce up' starts it",
                    written.dataset,
                    readers.join(", ")
                ));
            }
            told.push(written.dataset);
        }
    }
    Ok(())
}
