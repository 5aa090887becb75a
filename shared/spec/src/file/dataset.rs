//! Datasets that start runs: [`DatasetTrigger`].

use cauce_template::Template;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::diagnostic::Code;
use crate::shape::{Definitions, Fields, Reader, Seconds, Shape, choice, document, object, record};
use crate::tree::{Node, Value};

record! {
    /// Dataset trigger: updates of datasets, which tasks make that name them in `writes`. A name alone, or a list of them, is `any`.
    pub struct DatasetTrigger (short "any") {
        /// Any: an update of one of these starts a run.
        any: Vec<DatasetCondition> = Vec::new();
        /// All: a run starts once each of these was updated.
        all: Vec<DatasetCondition> = Vec::new();
        /// Partitioned by: whether each partition that was updated has a run of its own, with its date.
        partitioned_by: Option<DatasetPartition> = None;
        /// Fresh within: an update does not count that is so much older than the newest of the others.
        fresh_within: Option<Seconds> = None, within 1..=31_536_000;
        /// Deadline: how long updates may stay away; then the deadline's channels hear what is missing.
        deadline: Option<Seconds> = None, within 60..=31_536_000;
    }
}

choice! {
    /// Partition: what a run of its own covers.
    pub enum DatasetPartition {
        /// A day: the logical date of the run that made the update.
        Day = "day";
    }
}

/// One of the things that a dataset trigger waits for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetCondition {
    /// A dataset.
    Dataset(Template),
    /// One of these.
    Any(Vec<DatasetCondition>),
    /// Each of these.
    All(Vec<DatasetCondition>),
}

impl DatasetCondition {
    /// The names in it, in the order of the file.
    pub fn names(&self) -> Vec<&Template> {
        match self {
            Self::Dataset(name) => vec![name],
            Self::Any(inner) | Self::All(inner) => inner.iter().flat_map(Self::names).collect(),
        }
    }
}

impl DatasetTrigger {
    /// Its condition: `any` or `all`, of which the checks let only one stand.
    pub fn condition(&self) -> DatasetCondition {
        match self.all.is_empty() {
            true => DatasetCondition::Any(self.any.clone()),
            false => DatasetCondition::All(self.all.clone()),
        }
    }
}

impl Shape for DatasetCondition {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            return Template::decode(node, reader).map(Self::Dataset);
        }
        let mut fields = Fields::open(node, reader, "a dataset, `any` or `all`")?;
        let any: Option<Vec<Self>> = fields.optional("any", reader);
        let all: Option<Vec<Self>> = fields.optional("all", reader);
        fields.close(&["any", "all"], reader);
        match (any, all) {
            (Some(any), None) => Some(Self::Any(any)),
            (None, Some(all)) => Some(Self::All(all)),
            _ => {
                reader.error(
                    Code::Conflict,
                    node.span,
                    "a condition says either `any` or `all`",
                    "nest them: `any: [a, {all: [b, c]}]`",
                );
                None
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("DatasetCondition", |definitions| {
            let name = Template::schema(definitions);
            let list = Vec::<Self>::schema(definitions);
            let of = |key: &str, doc: &str| {
                let field = document(list.clone(), doc);
                object([(key.to_owned(), field)].into_iter().collect(), &[key], true)
            };
            let any = of("any", "Any: one of these was updated.");
            let all = of("all", "All: each of these was updated.");
            document(json!({"anyOf": [name, any, all]}), "Condition: a dataset, or what is made of several.")
        })
    }
}
