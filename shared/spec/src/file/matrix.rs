//! A pipeline for each item of a list: [`Matrix`].

use cauce_model::params::ParamSpec;
use indexmap::IndexMap;

use crate::shape::{Name, choice, record};

record! {
    /// Matrix: one series of runs per item of a list.
    pub struct Matrix {
        /// As: the word under which templates read the item.
        name as "as": Name;
        /// From: the file of items, CSV, YAML or JSON, from the folder of the project file.
        from: String;
        /// Key: the column that identifies an item; it begins the ids of its runs.
        key: String;
        /// Columns: types of columns; of a CSV file the others are text.
        columns: IndexMap<String, ParamSpec> = IndexMap::new();
        /// Priority: the column of whole numbers by which items go first where slots are short, higher first.
        priority: Option<String> = None;
        /// Per: whether the active runs of the pipeline count over all items, or for each by itself.
        per: Per = Per::Pipeline;
    }
}

choice! {
    /// Per: what the limit of active runs counts.
    pub enum Per {
        /// The runs of all items together.
        Pipeline = "pipeline";
        /// The runs of each item by themselves.
        Item = "item";
    }
}
