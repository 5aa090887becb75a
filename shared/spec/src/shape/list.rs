//! Lists, mappings of names, and what may be missing.

use std::ops::Deref;

use cauce_template::Template;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::diagnostic::Code;
use crate::shape::{Definitions, Name, PoolName, Reader, Shape, leaf};
use crate::tree::{Node, Value};

impl<T: Shape> Shape for Option<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        T::decode(node, reader).map(Some)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        T::schema(definitions)
    }

    fn magnitude(&self) -> Option<f64> {
        self.as_ref().and_then(T::magnitude)
    }
}

impl<T: Shape> Shape for Box<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        T::decode(node, reader).map(Box::new)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        T::schema(definitions)
    }
}

/// A list; a single value stands for a list of one.
impl<T: Shape> Shape for Vec<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .filter_map(|(at, item)| reader.item(at, |reader| T::decode(item, reader)))
                    .collect(),
            ),
            Value::Null => {
                reader.wrong_type(node, "a list");
                None
            }
            _ => T::decode(node, reader).map(|item| vec![item]),
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let item = T::schema(definitions);
        json!({"anyOf": [{"type": "array", "items": item}, item]})
    }
}

/// What keys a mapping of free keys may have.
pub(crate) trait KeyShape: Sized + std::hash::Hash + Eq {
    fn read(key: &str) -> Result<Self, String>;
    fn pattern() -> Option<&'static str>;
}

impl KeyShape for Name {
    fn read(key: &str) -> Result<Self, String> {
        Self::new(key).ok_or_else(|| {
            let rule = "names are lower-case letters, digits and underscores, at most 63, from a letter";
            leaf::as_name(key).map_or_else(|| rule.to_owned(), |near| format!("{rule}: `{near}`"))
        })
    }

    fn pattern() -> Option<&'static str> {
        Some(Self::PATTERN)
    }
}

impl KeyShape for PoolName {
    fn read(key: &str) -> Result<Self, String> {
        if !key.contains("{{") {
            return Name::read(key).and_then(|name| Self::parse(&name));
        }
        Self::parse(key)
    }

    fn pattern() -> Option<&'static str> {
        None
    }
}

impl KeyShape for String {
    fn read(key: &str) -> Result<Self, String> {
        Ok(key.to_owned())
    }

    fn pattern() -> Option<&'static str> {
        None
    }
}

impl<K: KeyShape, T: Shape> Shape for IndexMap<K, T> {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Some(entries) = node.entries() else {
            reader.wrong_type(node, "a mapping");
            return None;
        };
        let mut out = Self::with_capacity(entries.len());
        for entry in entries {
            reader.under(&entry.key, |reader| {
                let value = T::decode(&entry.value, reader);
                match K::read(&entry.key) {
                    Ok(key) => {
                        if let Some(value) = value {
                            out.insert(key, value);
                        }
                    }
                    Err(help) => {
                        reader.error(
                            Code::BadName,
                            entry.key_span,
                            format!("`{}` is not a valid name", entry.key),
                            help,
                        );
                    }
                }
            });
        }
        Some(out)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let value = T::schema(definitions);
        let mut schema = json!({"type": "object", "additionalProperties": value});
        if let Some(pattern) = K::pattern() {
            schema["propertyNames"] = json!({"pattern": pattern});
        }
        schema
    }
}

/// The arguments of a program. There is no shell: a list, never one string.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Argv(pub Vec<Template>);

impl Deref for Argv {
    type Target = [Template];
    fn deref(&self) -> &[Template] {
        &self.0
    }
}

impl Shape for Argv {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if let Value::Text { text, .. } = &node.value {
            let list = text.split_whitespace().collect::<Vec<_>>().join(", ");
            reader.error(
                Code::WrongType,
                node.span,
                "expected a list of arguments, found a string".to_owned(),
                format!("no shell splits it: write [{list}]"),
            );
            return None;
        }
        if !matches!(node.value, Value::List(_)) {
            reader.wrong_type(node, "a list of arguments");
            return None;
        }
        Vec::decode(node, reader).map(Self)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({"type": "array", "items": Template::schema(definitions)})
    }
}
