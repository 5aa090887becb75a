//! A template and how it is taken apart: constant text, expressions, placeholders.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::engine::{self, Context, Failure, MAX_OUTPUT_BYTES, Program};
use crate::names::{self, NameUse};

/// The longest template, in bytes. A longer text belongs in a file of its own.
pub const MAX_TEMPLATE_BYTES: usize = 64 * 1024;

/// A parsed template. Cloning is cheap.
#[derive(Clone)]
pub struct Template {
    inner: Arc<Inner>,
}

struct Inner {
    source: String,
    parts: Vec<Part>,
    names: Vec<NameUse>,
}

/// A piece of a template, in the order of the text.
pub(crate) enum Part {
    Text(String),
    /// `${{ env.x }}`: the dotted name inside and where it stands.
    Placeholder {
        name: String,
        offset: usize,
    },
    Program(Program),
}

/// Why a template cannot be parsed or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Where in the template's text, in bytes from its start.
    pub offset: usize,
    /// What is wrong, as a lowercase phrase.
    pub message: String,
}

impl TemplateError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

impl Template {
    /// Parses a template. Fails on a syntax error, on a filter, test or function that does not
    /// exist, and on a placeholder that is neither `env.<name>` nor `matrix.<name>`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::new(
                0,
                format!("the template has {} bytes, the limit is {MAX_TEMPLATE_BYTES}", text.len()),
            ));
        }
        if !text.contains('{') {
            return Ok(Self::constant(text));
        }
        let mut parts = Vec::new();
        let mut names = Vec::new();
        for (piece, offset) in split_placeholders(text)? {
            match piece {
                Piece::Placeholder(name) => {
                    names.push(NameUse {
                        path: name.split('.').map(str::to_owned).collect(),
                        offset,
                        length: name.len(),
                        optional: false,
                        placeholder: true,
                    });
                    parts.push(Part::Placeholder { name, offset });
                }
                Piece::Jinja(source) => {
                    names.extend(names::find(source, offset)?);
                    engine::compile(source, offset, &mut parts)?;
                }
            }
        }
        Ok(Self { inner: Arc::new(Inner { source: text.to_owned(), parts, names }) })
    }

    /// A template that always renders as `text`, whatever braces are in it.
    pub fn constant(text: &str) -> Self {
        Self {
            inner: Arc::new(Inner {
                source: text.to_owned(),
                parts: vec![Part::Text(text.to_owned())],
                names: Vec::new(),
            }),
        }
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// The names read, in the order of the text; a name read twice stands twice.
    pub fn names(&self) -> &[NameUse] {
        &self.inner.names
    }

    /// The text, where rendering cannot change it.
    pub fn as_constant(&self) -> Option<&str> {
        match self.inner.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Renders against a context. One whole expression keeps its type, everything else is text.
    /// Fails on a name without a value, on a filter that refuses its input, past [`crate::FUEL`] or
    /// [`crate::MAX_OUTPUT_BYTES`], and on a placeholder that was not filled.
    pub fn render(&self, context: &Context) -> Result<Json, TemplateError> {
        match self.inner.parts.as_slice() {
            [] => Ok(Json::String(String::new())),
            [Part::Text(text)] => Ok(Json::String(text.clone())),
            [Part::Program(program)] => {
                program.value(context).map_err(|failure| self.explain(failure, context))
            }
            parts => {
                let mut out = String::new();
                for part in parts {
                    match part {
                        Part::Text(text) => out.push_str(text),
                        Part::Program(program) => program
                            .append(context, &mut out)
                            .map_err(|failure| self.explain(failure, context))?,
                        Part::Placeholder { name, offset } => {
                            return Err(TemplateError::new(
                                *offset,
                                format!(
                                    "`${{{{ {name} }}}}` has no value here: it is filled when an environment is chosen"
                                ),
                            ));
                        }
                    }
                    if out.len() > MAX_OUTPUT_BYTES {
                        return Err(TemplateError::new(0, engine::too_long()));
                    }
                }
                Ok(Json::String(out))
            }
        }
    }

    /// Names the first value that is missing, which minijinja's own message does not.
    fn explain(&self, failure: Failure, context: &Context) -> TemplateError {
        if failure.undefined {
            let missing = self.names().iter().find(|name| !name.optional && !context.has(&name.path));
            if let Some(name) = missing {
                return TemplateError::new(name.offset, format!("`{}` has no value", name.dotted()));
            }
        }
        TemplateError::new(failure.offset, failure.message)
    }

    /// Renders to text: a string as it is, anything else as compact JSON.
    pub fn render_text(&self, context: &Context) -> Result<String, TemplateError> {
        Ok(match self.render(context)? {
            Json::String(text) => text,
            other => other.to_string(),
        })
    }

    /// Replaces every `${{ env.x }}` by the value of `x`. Fails on a name without a value.
    pub fn fill_env(&self, values: &Map<String, Json>) -> Result<Self, TemplateError> {
        let placeholders = self.inner.parts.iter().any(|part| matches!(part, Part::Placeholder { .. }));
        if !placeholders {
            return Ok(self.clone());
        }
        Self::parse(&fill(self.source(), "env", values)?)
    }
}

/// Replaces the placeholders of one namespace (`env` or `matrix`) in any text.
pub(crate) fn fill(text: &str, namespace: &str, values: &Map<String, Json>) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        let offset = text.len() - rest.len() + at;
        let Some(length) = rest[at..].find("}}") else {
            break;
        };
        let name = rest[at + 3..at + length].trim();
        out.push_str(&rest[..at]);
        match name.strip_prefix(namespace).and_then(|name| name.strip_prefix('.')) {
            None => out.push_str(&rest[at..at + length + 2]),
            Some(key) => match values.get(key) {
                Some(Json::String(value)) => out.push_str(value),
                Some(value) => out.push_str(&value.to_string()),
                None => {
                    return Err(TemplateError::new(
                        offset,
                        format!("`{name}` has no value in this environment"),
                    ));
                }
            },
        }
        rest = &rest[at + length + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

enum Piece<'a> {
    Jinja(&'a str),
    Placeholder(String),
}

/// Cuts the text at its placeholders. The offset of a placeholder is that of its name.
fn split_placeholders(text: &str) -> Result<Vec<(Piece<'_>, usize)>, TemplateError> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("${{").map(|at| at + from) {
        if at > from {
            pieces.push((Piece::Jinja(&text[from..at]), from));
        }
        let Some(end) = text[at..].find("}}").map(|end| end + at) else {
            return Err(TemplateError::new(at, "`${{` is not closed: expected `}}`"));
        };
        let inside = &text[at + 3..end];
        let name = inside.trim();
        let offset = at + 3 + (inside.len() - inside.trim_start().len());
        let known = name.split_once('.').is_some_and(|(namespace, key)| {
            matches!(namespace, "env" | "matrix") && names::is_identifier(key)
        });
        if !known {
            return Err(TemplateError::new(
                offset,
                format!(
                    "`${{{{ {name} }}}}` is neither `env.<name>` nor `matrix.<name>`; run-time values are written `{{{{ }}}}`, without the dollar"
                ),
            ));
        }
        pieces.push((Piece::Placeholder(name.to_owned()), offset));
        from = end + 2;
    }
    if from < text.len() {
        pieces.push((Piece::Jinja(&text[from..]), from));
    }
    Ok(pieces)
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.inner.source).finish()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.inner.source == other.inner.source
    }
}

impl Eq for Template {}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.source())
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
