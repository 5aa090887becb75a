//! Parts of a pipeline that are written elsewhere: task templates, and what an environment sets anew.
//! They are kept as they were written and become part of a pipeline's tree when it is checked, so that
//! an error in them is shown where they stand.

use std::sync::Arc;

use cauce_model::params::ParamSpec;
use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::shape::{Definitions, Name, Reader, Shape, record};
use crate::tree::{Node, Value};

/// A file that parts of pipelines come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The file, as people shall read it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A mapping as it was written.
#[derive(Debug, Clone)]
pub struct Fragment {
    pub(crate) node: Node,
    pub(crate) source: Arc<Source>,
}

impl PartialEq for Fragment {
    fn eq(&self, other: &Self) -> bool {
        self.node.to_json() == other.node.to_json()
    }
}

impl Serialize for Fragment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.node.to_json().serialize(serializer)
    }
}

impl Shape for Fragment {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            reader.wrong_type(node, "a mapping");
            return None;
        }
        Some(Self { node: node.clone(), source: Arc::default() })
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "object"})
    }
}

record! {
    /// Task template: a task that others fill in with `uses` and `with`.
    pub struct TaskTemplate {
        /// Documentation: what it does, in Markdown.
        docs: Option<String> = None;
        /// Parameters: what a task gives it under `with`; one without a default must be given.
        params: IndexMap<Name, ParamSpec> = IndexMap::new();
        /// Task: the task, in which `with` placeholders stand for the parameters.
        task: Fragment;
    }
}

record! {
    /// Task template file: one task template, in the folder `templates` beside the project file.
    pub struct TaskTemplateFile {
        /// Name: the template's name, unique in the project.
        name as "template": Name;
        /// Documentation: what it does, in Markdown.
        docs: Option<String> = None;
        /// Parameters: what a task gives it under `with`; one without a default must be given.
        params: IndexMap<Name, ParamSpec> = IndexMap::new();
        /// Task: the task, in which `with` placeholders stand for the parameters.
        task: Fragment;
    }
}

record! {
    /// Pipeline settings: what an environment sets anew for one pipeline, without touching what its tasks do.
    pub struct Overrides {
        /// Paused: whether schedules and triggers start nothing for now.
        paused: Option<bool> = None;
        /// Schedule: merged into the pipeline's schedule, key by key; a list replaces it.
        schedule: Option<Json> = None;
        /// Active runs: how many runs may be under way at once.
        max_active_runs: Option<Json> = None;
        /// Active tasks: how many tasks of this pipeline may run at once, over all its runs.
        max_active_tasks: Option<Json> = None;
        /// Failed runs: the pipeline is paused after so many runs that failed one after the other.
        max_consecutive_failed_runs: Option<Json> = None;
        /// Deadline: how long a run may take before somebody is told or it is cancelled.
        deadline: Option<Json> = None;
        /// Notifications: which channels hear of what.
        notify: Option<Json> = None;
        /// Priority: who is first where slots are short, for every task that has none of its own.
        priority: Option<Json> = None;
    }
}

/// What an environment sets anew for one pipeline, checked for its keys and kept as it was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PipelineOverrides(pub(crate) Fragment);

impl Shape for PipelineOverrides {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        Overrides::decode(node, reader)?;
        Fragment::decode(node, reader).map(Self)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        Overrides::schema(definitions)
    }
}
