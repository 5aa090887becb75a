//! JSONPath, and the intrinsic functions that read by it.

use cauce_interpreter::intrinsics::{Call, Random, Scope};
use cauce_interpreter::jsonpath::{Path, PathErrorKind, Reference};
use serde_json::{Value, json as value};

use crate::{json, texts};

/// `<path> CUT <document> CUT <what to write there>`.
pub(crate) fn path(input: &[u8]) {
    let Some([text, document, written]) = texts(input) else { return };
    if let Ok(reference) = Reference::parse(text) {
        let again = Path::parse(reference.path().as_str());
        assert_eq!(again.as_ref(), Ok(reference.path()), "the path below a root is a path by itself");
    }
    let path = match Path::parse(text) {
        Ok(path) => path,
        Err(error) => return assert_eq!(error.kind, PathErrorKind::Syntax, "{error}"),
    };
    assert_eq!(path.as_str(), text);
    assert!(!path.is_reference() || path.is_definite(), "what can be written to is one place");
    let document = json(document);
    let found = path.eval(&document);
    assert_eq!(found, path.select(&document).map(std::borrow::Cow::into_owned));
    assert_eq!(found, path.eval(&document), "two readings differ");
    if let Some(steps) = plain(text) {
        let reference = steps.iter().try_fold(&document, |value, step| step.of(value));
        assert_eq!(found.as_ref().ok(), reference, "{text} of {document}");
    }
    if !path.is_reference() {
        return;
    }
    let written = json(written);
    if let Ok(changed) = path.set(document.clone(), written.clone()) {
        assert_eq!(path.eval(&changed).as_ref(), Ok(&written), "what was written is read");
        let again = path.set(changed.clone(), written);
        assert_eq!(again.as_ref(), Ok(&changed), "writing the same again changes nothing");
        if let Ok(before) = found {
            assert_eq!(path.set(changed, before).as_ref(), Ok(&document), "nothing else was changed");
        }
    } else {
        assert!(found.is_err(), "what can be read at a reference path can be written there");
    }
}

enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl Step<'_> {
    fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Name(name) => value.as_object()?.get(*name),
            Self::Index(index) => value.as_array()?.get(*index),
        }
    }
}

/// The steps of a path that is so plain that anybody reads it alike: `$.a.b[0]`.
fn plain(text: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
            steps.push(Step::Name(name));
            rest = is_name.then_some(&after[end..])?;
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            let is_index = index.len() <= 4 && index.bytes().all(|byte| byte.is_ascii_digit());
            steps.push(Step::Index(index.parse().ok().filter(|_| is_index)?));
            rest = after;
        }
    }
    Some(steps)
}

struct Documents {
    input: Value,
    context: Value,
    variable: Value,
}

impl Scope for Documents {
    fn input(&self) -> &Value {
        &self.input
    }

    fn context(&self) -> &Value {
        &self.context
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        (name == "v").then_some(&self.variable)
    }
}

/// Numbers that say nothing: each the one before and some.
struct Steady(u64);

impl Random for Steady {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0
    }
}

/// `<call> CUT <input> CUT <the variable v>`.
pub(crate) fn intrinsic(input: &[u8]) {
    let Some([text, document, variable]) = texts(input) else { return };
    let Ok(call) = Call::parse(text) else { return };
    assert_eq!(call.as_str(), text.trim());
    assert_eq!(Call::parse(call.as_str()).as_ref(), Ok(&call));
    assert!(Call::is_call(text), "what is a call is told from a path by its beginning");
    let scope = Documents {
        input: json(document),
        context: value!({"Execution": {"Name": "e"}}),
        variable: json(variable),
    };
    let result = call.eval(&scope, &mut Steady(7));
    assert_eq!(result, call.eval(&scope, &mut Steady(7)), "two evaluations differ");
    if let Ok(result) = result {
        // There is no call without a reader of its result, which is JSON text on the wire.
        let text = result.to_string();
        assert_eq!(serde_json::from_str::<Value>(&text).ok().as_ref(), Some(&result), "{text}");
    }
}
