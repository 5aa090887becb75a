//! The entrance: a checked pipeline to everything that is built from it.

use std::collections::BTreeMap;

use cauce_spec::{Pipeline, Project};

use crate::assemble::{CompileError, Compiled, assemble, firing};
use crate::lower::lower;
use crate::order::{Cycle, Graph, Order};

/// Compiles a pipeline that passed its checks.
///
/// Equal pipelines and projects give equal bytes. Of the project only its images are read:
/// their `local` commands, and where they lie.
///
/// # Errors
///
/// What keeps the pipeline from becoming machines that AWS takes.
pub fn compile(pipeline: &Pipeline, project: &Project) -> Result<Compiled, CompileError> {
    let mut graph = Graph::new();
    let needs = cauce_spec::teardown::needs(pipeline);
    for (task, needs) in pipeline.tasks.values().zip(&needs) {
        graph.add(needs.iter().copied(), firing(task.settings.rule()));
    }
    let order = Order::new(&graph).map_err(|Cycle { tasks }| {
        let names = tasks.iter().filter_map(|&task| pipeline.tasks.get_index(task));
        CompileError::Cycle { tasks: names.map(|(name, _)| name.to_string()).collect() }
    })?;
    let lines: BTreeMap<String, u32> =
        pipeline.tasks.iter().map(|(name, task)| (name.to_string(), task.position.line as u32)).collect();
    let mut compiled = assemble(lower(pipeline, project, order.sequence(), &needs), &lines)?;
    compiled.manifest.owner.clone_from(&pipeline.owner);
    compiled.manifest.tags.clone_from(&pipeline.tags);
    for definition in &mut compiled.manifest.task_definitions {
        let image = project.images.get(definition.image.as_str());
        definition.ecr = image.and_then(|image| image.ecr.clone());
    }
    Ok(compiled)
}
