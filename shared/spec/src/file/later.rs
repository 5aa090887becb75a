//! What a later release brings: in the schema, read and checked for its types, and reported as not
//! supported yet wherever a file uses it.

use cauce_template::{Template, TemplateValue};
use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::shape::{Name, record};

record! {
    /// Extract: rows of a database.
    pub struct Extract {
        /// Connection: its name in the project file.
        connection: Name;
        /// Query: one SELECT; values are bound, never written into it.
        query: String;
        /// Parameters: values to bind.
        params: IndexMap<Name, TemplateValue> = IndexMap::new();
        /// Output: where the rows go.
        output: Json;
    }
}

record! {
    /// Upsert: rows merged into a table.
    pub struct Upsert {
        /// Source: the rows.
        source: Json;
        /// Target: the table.
        target: Json;
        /// Keys: the columns that identify a row.
        keys: Vec<String>;
        /// Order by: of two rows with the same keys, the greater here wins.
        order_by: Option<String> = None;
    }
}

record! {
    /// Chunk: parts of a source.
    pub struct Chunk {
        /// Source: what is cut.
        source: Template;
        /// Size: rows per part.
        size: u32 = 10_000, within 1..=100_000_000;
    }
}
