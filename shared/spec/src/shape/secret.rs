//! References of secrets, where nothing else may stand.

use std::fmt;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::diagnostic::Code;
use crate::shape::{Definitions, Reader, Shape};
use crate::tree::Node;

/// What precedes a secret's name.
const PREFIX: &str = "secret:";

/// The reference of a secret: `secret:` and its name. Its value is never in a file of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretRef(String);

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Shape for SecretRef {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = String::decode(node, reader)?;
        let named = text.strip_prefix(PREFIX).is_some_and(|name| !name.is_empty() && !name.contains("{{"));
        if !named {
            // What stands there may be the secret itself: it is not repeated.
            let message = "a secret is named here, never written".to_owned();
            reader.error(
                Code::BadName,
                node.span,
                message,
                "write its reference, such as `secret:hooks/shop`",
            );
        }
        named.then_some(Self(text))
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "pattern": "^secret:.+$"})
    }
}
