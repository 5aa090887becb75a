//! How settings are read and described: every type of the file says in one place how it is decoded
//! from the tree and what it looks like in the JSON Schema, so that the two cannot differ.
//!
//! Decoding never stops at the first error: a wrong value is reported and its default taken, and
//! the pipeline is withheld at the end when anything was reported.

mod cron;
mod day;
mod leaf;
mod list;
mod reader;
mod record;
mod secret;
pub(crate) mod suggest;

pub use cron::Cron;
pub use day::{Day, Hours, Offset, Stretch, Weekdays};
pub(crate) use leaf::Factor;
pub(crate) use leaf::variants;
pub use leaf::{Moment, Name, PoolName, Seconds, TimeZoneName};
pub use list::Argv;
pub(crate) use reader::{Fields, Reader, TemplateUse};
pub(crate) use record::{choice, record};
pub use secret::SecretRef;

use serde_json::{Value as Json, json};

use crate::tree::{Entry, Node, Value};

/// A type of the pipeline file.
pub(crate) trait Shape: Sized {
    /// Reads a value; reports what is wrong with it and then gives none.
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self>;

    /// The JSON Schema of the type. Named types go to `definitions` and are referred to.
    fn schema(definitions: &mut Definitions) -> Json;

    /// The value as a number, for types that have bounds.
    fn magnitude(&self) -> Option<f64> {
        None
    }
}

/// Named schemas, in the order in which they were first met.
#[derive(Default)]
pub(crate) struct Definitions(pub(crate) serde_json::Map<String, Json>);

impl Definitions {
    /// A reference to `name`, whose schema is made once.
    pub(crate) fn refer(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Json) -> Json {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Json::Null);
            let schema = make(self);
            self.0.insert(name.to_owned(), schema);
        }
        json!({"$ref": format!("#/$defs/{name}")})
    }
}

/// A field's documentation, `Title: prose.`, as the schema shows it.
pub(crate) fn document(schema: Json, doc: &str) -> Json {
    let doc = doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "");
    let (title, prose) = doc.split_once(": ").unwrap_or((&doc, ""));
    let mut prose = prose.to_owned();
    if let Some(first) = prose.get(..1) {
        let upper = first.to_uppercase();
        prose.replace_range(..1, &upper);
    }
    let mut out = serde_json::Map::new();
    out.insert("title".to_owned(), json!(title));
    if !prose.is_empty() {
        out.insert("description".to_owned(), json!(prose));
    }
    if let Json::Object(fields) = schema {
        for (key, value) in fields {
            out.entry(key).or_insert(value);
        }
    }
    Json::Object(out)
}

/// An object schema of known properties.
pub(crate) fn object(properties: serde_json::Map<String, Json>, required: &[&str], closed: bool) -> Json {
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if closed {
        schema["additionalProperties"] = json!(false);
    }
    schema
}

/// Bounds of a number, written where the schema is one of a number.
pub(crate) fn bounds(schema: &mut Json, low: f64, high: f64) {
    if matches!(schema["type"].as_str(), Some("integer" | "number")) {
        let number = |value: f64| {
            if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
        };
        schema["minimum"] = number(low);
        schema["maximum"] = number(high);
    }
}

/// A schema of words with a sentence on each.
pub(crate) fn words(doc: &str, words: &[(&str, &str)]) -> Json {
    let list: Vec<Json> = words
        .iter()
        .map(|(word, doc)| json!({"const": word, "description": doc.trim().replace('`', "")}))
        .collect();
    document(json!({"oneOf": list}), doc)
}

/// A value that is no mapping, put under the key that it stands for.
pub(crate) fn wrap(node: &Node, key: &str) -> Option<Node> {
    if matches!(node.value, Value::Map(_) | Value::Null) {
        return None;
    }
    let entry = Entry { key: key.to_owned(), key_span: node.span, value: node.clone() };
    Some(Node { value: Value::Map(vec![entry]), span: node.span })
}
