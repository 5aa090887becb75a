//! Field types that several states share.

use serde::{Deserialize, Deserializer, Serialize};

/// A number, or a JSONata expression that yields one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// The number itself.
    Literal(serde_json::Number),
    /// A JSONata string, with its `{% %}`.
    Expression(String),
}

/// A text, which in a JSONata state may be an expression (`{% %}`).
pub type Text = String;

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Literal(value.into())
    }
}

impl From<&str> for Number {
    fn from(expression: &str) -> Self {
        Self::Expression(expression.to_owned())
    }
}

/// Keeps an explicit `null` apart from an absent field: `"ResultPath": null` discards a result,
/// while no `ResultPath` replaces the input with it.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// For fields that are written only when true.
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
