//! What a later release brings: in the schema, read and checked for its types, and reported as not
//! supported yet wherever a file uses it.

use cauce_template::{Template, TemplateValue};
use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::shape::{Name, Seconds, choice, record};

record! {
    /// Idempotency: when an earlier result is used again.
    pub struct Idempotency (short "key") {
        /// Key: the name of "the same request".
        key: Template;
        /// Time to live: how long a result counts.
        ttl: Seconds = Seconds(86_400);
        /// On duplicate: what happens when the key is known.
        on_duplicate: OnDuplicate = OnDuplicate::Reuse;
    }
}

choice! {
    /// On duplicate: what happens when an idempotency key is known.
    pub enum OnDuplicate {
        /// The recorded outputs are used.
        Reuse = "reuse";
        /// The task fails.
        Fail = "fail";
        /// The task runs and its result replaces the recorded one.
        Overwrite = "overwrite";
    }
}

record! {
    /// Breaker: the circuit breaker that a task stands behind.
    pub struct BreakerUse (short "name") {
        /// Name: under `breakers` of the project file.
        name: Name;
        /// On open: what happens while it is open.
        on_open: OnOpen = OnOpen::Wait;
    }
}

choice! {
    /// On open: what happens while a breaker is open.
    pub enum OnOpen {
        /// The task fails.
        Fail = "fail";
        /// The task waits.
        Wait = "wait";
        /// The task is skipped.
        Skip = "skip";
    }
}

record! {
    /// Rate limit: what an attempt takes.
    pub struct RateLimitUse (short "name") {
        /// Name: under `rate_limits` of the project file.
        name: Name;
        /// Tokens: how many it takes.
        tokens: u32 = 1, within 1..=1_000_000;
    }
}

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
