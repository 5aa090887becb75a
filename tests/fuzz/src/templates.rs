//! Templates.

use cauce_template::{Context, MAX_OUTPUT_BYTES, Template, TemplateError, TemplateValue};
use serde_json::Value;

use crate::{json, texts};

/// `<template> CUT <context as JSON> CUT <values of the environment as JSON>`.
pub(crate) fn template(input: &[u8]) {
    let Some([text, context, environment]) = texts(input) else { return };
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return placed(text, &error),
    };
    assert_eq!(template.source(), text);
    for name in template.names() {
        assert!(name.offset + name.length <= text.len(), "{name:?} is outside of {} bytes", text.len());
        assert!(!name.path.is_empty(), "{name:?}");
    }
    let stored = serde_json::to_string(&template).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(serde_json::from_str::<Template>(&stored).ok().as_ref(), Some(&template), "{stored}");

    let values = object(context);
    let known = Context::new(&values);
    let rendered = template.render(&known);
    assert_eq!(rendered, template.render(&known), "two renderings of one template differ");
    match &rendered {
        Ok(value) => {
            assert!(value.to_string().len() <= 8 * MAX_OUTPUT_BYTES, "more than may be produced");
            if let Some(constant) = template.as_constant() {
                assert_eq!(value, &Value::String(constant.to_owned()));
            }
            // What reads no name is the same among other values.
            if template.names().is_empty() {
                let other = Context::new(&serde_json::Map::new());
                assert_eq!(template.render(&other).as_ref(), Ok(value), "it reads no name, and yet");
            }
        }
        Err(error) => placed(text, error),
    }
    if let Ok(whole) = TemplateValue::parse(&Value::String(text.to_owned())) {
        assert_eq!(whole.render(&known), rendered, "a template as a value is another one");
    }
    let environment = object(environment);
    match template.fill_env(&environment) {
        Ok(filled) => {
            // What was filled in is text, which may be a placeholder itself.
            drop(filled.render(&known));
        }
        Err(error) => assert!(!error.message.is_empty()),
    }
}

fn object(text: &str) -> serde_json::Map<String, Value> {
    match json(text) {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    }
}

fn placed(text: &str, error: &TemplateError) {
    assert!(
        text.is_char_boundary(error.offset),
        "{error:?} is outside of {} bytes, or in a letter",
        text.len()
    );
    assert!(!error.message.is_empty(), "{error:?}");
}
