//! JSON whose strings are templates.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::engine::Context;
use crate::text::{Template, TemplateError};

/// A JSON value in which every string is a template.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateValue {
    /// Null, a boolean or a number.
    Constant(Json),
    /// A string.
    Text(Template),
    /// A list.
    List(Vec<TemplateValue>),
    /// An object, in the order of the text; its keys are not templates.
    Object(Vec<(String, TemplateValue)>),
}

impl TemplateValue {
    /// Parses every string of `value`. Fails with the first that is no template.
    pub fn parse(value: &Json) -> Result<Self, TemplateError> {
        Ok(match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => Self::Constant(value.clone()),
            Json::String(text) => Self::Text(Template::parse(text)?),
            Json::Array(items) => Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?),
            Json::Object(fields) => Self::Object(
                fields.iter().map(|(key, value)| Ok((key.clone(), Self::parse(value)?))).collect::<Result<
                    _,
                    TemplateError,
                >>(
                )?,
            ),
        })
    }

    /// Renders every string; an expression that stands alone keeps its type.
    pub fn render(&self, context: &Context) -> Result<Json, TemplateError> {
        Ok(match self {
            Self::Constant(value) => value.clone(),
            Self::Text(template) => template.render(context)?,
            Self::List(items) => {
                Json::Array(items.iter().map(|item| item.render(context)).collect::<Result<_, _>>()?)
            }
            Self::Object(fields) => {
                let mut out = Map::new();
                for (key, value) in fields {
                    out.insert(key.clone(), value.render(context)?);
                }
                Json::Object(out)
            }
        })
    }

    /// Replaces every `${{ env.x }}`, as [`Template::fill_env`] does.
    pub fn fill_env(&self, values: &Map<String, Json>) -> Result<Self, TemplateError> {
        Ok(match self {
            Self::Constant(value) => Self::Constant(value.clone()),
            Self::Text(template) => Self::Text(template.fill_env(values)?),
            Self::List(items) => {
                Self::List(items.iter().map(|item| item.fill_env(values)).collect::<Result<_, _>>()?)
            }
            Self::Object(fields) => Self::Object(
                fields
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), value.fill_env(values)?)))
                    .collect::<Result<_, TemplateError>>()?,
            ),
        })
    }

    /// The JSON as it was written, templates unrendered.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Text(template) => Json::String(template.source().to_owned()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Object(fields) => {
                Json::Object(fields.iter().map(|(key, value)| (key.clone(), value.to_json())).collect())
            }
        }
    }
}

impl Serialize for TemplateValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TemplateValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        Self::parse(&value).map_err(serde::de::Error::custom)
    }
}
