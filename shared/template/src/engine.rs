//! Compiling and evaluating with minijinja: strict, with a fuel limit and a size limit.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::{fmt, io};

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Serde};
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior, Value};
use serde_json::Value as Json;

use crate::filters;
use crate::text::{Part, TemplateError};

/// Instructions that one rendering may take. A loop over 10,000 items fits; an endless one ends
/// with an error after some milliseconds.
pub const FUEL: u64 = 400_000;

/// The most bytes that one template may produce; a task's arguments and environment are
/// kilobytes, and a task's output document ends at 256 KiB.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// The names and values that templates are rendered against. Building it costs as much as the
/// values are large, rendering against it does not: build it once for all templates of a task.
#[derive(Debug, Clone)]
pub struct Context(Value);

impl Context {
    /// A context of the given top-level names: `params`, `outputs`, `ds`, ...
    pub fn new(values: &serde_json::Map<String, Json>) -> Self {
        Self(Value::from(Serde(values)))
    }

    /// The same, where these names below one of them are known and have no value, as the outputs of tasks that did
    /// not succeed. They and all that is looked up in them, however deep, are undefined for `default` and `is defined`,
    /// and false; to print one is the error that an undefined name is.
    pub fn with_absent(values: &serde_json::Map<String, Json>, below: &str, names: &[String]) -> Self {
        if names.is_empty() {
            return Self::new(values);
        }
        let top = values.iter().map(|(name, value)| match value {
            Json::Object(fields) if name == below => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value))));
                let absent = names.iter().map(|name| (name.clone(), Value::from_object(Absent)));
                (name.clone(), Value::from(fields.chain(absent).collect::<BTreeMap<_, _>>()))
            }
            _ => (name.clone(), Value::from(Serde(value))),
        });
        Self(Value::from(top.collect::<BTreeMap<_, _>>()))
    }

    /// Whether every part of the path leads to a value.
    pub(crate) fn has(&self, path: &[String]) -> bool {
        let mut value = self.0.clone();
        path.iter().all(|part| {
            value = value.get_item(&Value::from(part.as_str())).unwrap_or(Value::UNDEFINED);
            !is_absent(&value)
        })
    }
}

/// What stands for a value that is not there.
#[derive(Debug)]
struct Absent;

impl Object for Absent {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    // An error would be a panic of whoever makes text of it: an operator, a filter. Who rendered asks afterwards.
    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        MADE_TEXT.set(true);
        Ok(())
    }
}

thread_local! {
    /// Whether text was made of a value that is not there, since somebody last asked.
    static MADE_TEXT: Cell<bool> = const { Cell::new(false) };
}

/// Renders, and says whether that made text of a value that is not there: no word of the result can be trusted then.
fn rendering<T>(render: impl FnOnce() -> T) -> (T, bool) {
    MADE_TEXT.set(false);
    let rendered = render();
    (rendered, MADE_TEXT.take())
}

/// Whether there is no value.
pub(crate) fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.downcast_object_ref::<Absent>().is_some()
}

/// The functions that templates may call. All of them are bounded: `range` refuses more than
/// 100,000 numbers.
pub(crate) const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    for name in ["debug", "cycler", "joiner", "lipsum"] {
        environment.remove_global(name);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_syntax(syntax());
    environment.set_formatter(|out, state, value| match is_absent(value) {
        true => Err(Error::from(ErrorKind::UndefinedError)),
        false => minijinja::escape_formatter(out, state, value),
    });
    environment.set_fuel(Some(FUEL));
    filters::install(&mut environment);
    environment
}

/// Jinja's own delimiters; text keeps its last line break, as YAML gives it.
pub(crate) fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.keep_trailing_newline(true);
    builder.build().unwrap_or_default()
}

/// Whether templates may use this filter.
pub(crate) fn has_filter(name: &str) -> bool {
    static NAMES: LazyLock<BTreeMap<&'static str, ()>> =
        LazyLock::new(|| filters::names().map(|name| (name, ())).collect());
    NAMES.contains_key(name)
}

/// A compiled piece of a template, with the place of its text in the whole.
pub(crate) struct Program {
    offset: usize,
    code: Code,
}

enum Code {
    Expression(Expression<'static, 'static>),
    /// Text with statements: one template in an environment of its own.
    Document(Box<Environment<'static>>),
}

const DOCUMENT: &str = "template";

/// Cuts `source` into text and expressions, or takes it whole where it has statements.
pub(crate) fn compile(source: &str, offset: usize, parts: &mut Vec<Part>) -> Result<(), TemplateError> {
    let fail = |error: &Error, base: usize| {
        TemplateError::new(base + error.range().map_or(0, |range| range.start), describe(error))
    };
    let mut found = Vec::new();
    let mut opened = None;
    for token in tokenize(source, false, syntax()) {
        let (token, span) = token.map_err(|error| fail(&error, offset))?;
        match token {
            Token::TemplateData("") => {}
            Token::TemplateData(text) => found.push(Part::Text(text.to_owned())),
            Token::VariableStart => opened = Some(span.end_offset as usize),
            Token::VariableEnd => {
                let Some(start) = opened.take() else { continue };
                let text = &source[start..span.start_offset as usize];
                let expression = ENVIRONMENT
                    .compile_expression_owned(text.to_owned())
                    .map_err(|error| fail(&error, offset + start))?;
                found.push(Part::Program(Program {
                    offset: offset + start,
                    code: Code::Expression(expression),
                }));
            }
            Token::BlockStart => {
                let mut environment = ENVIRONMENT.clone();
                environment
                    .add_template_owned(DOCUMENT, source.to_owned())
                    .map_err(|error| fail(&error, offset))?;
                parts.push(Part::Program(Program { offset, code: Code::Document(Box::new(environment)) }));
                return Ok(());
            }
            _ => {}
        }
    }
    parts.append(&mut found);
    Ok(())
}

/// Why a program gave no value.
pub(crate) struct Failure {
    pub(crate) offset: usize,
    pub(crate) undefined: bool,
    pub(crate) message: String,
}

impl Program {
    /// The value of an expression with its type, or the text of a document.
    pub(crate) fn value(&self, context: &Context) -> Result<Json, Failure> {
        match &self.code {
            Code::Document(_) => {
                let mut out = String::new();
                self.append(context, &mut out)?;
                Ok(Json::String(out))
            }
            Code::Expression(expression) => {
                let value = self.evaluate(expression, context)?;
                let (json, of_absent) = rendering(|| serde_json::to_value(&value));
                let json = json.map_err(|error| Failure {
                    offset: self.offset,
                    undefined: false,
                    message: format!("the value is not JSON: {error}"),
                })?;
                if of_absent {
                    return Err(self.absent());
                }
                if exceeds(&json, &mut MAX_OUTPUT_BYTES.clone()) {
                    return Err(self.too_long());
                }
                Ok(json)
            }
        }
    }

    /// Appends the text of the value: a string as it is, anything else as Jinja prints it.
    pub(crate) fn append(&self, context: &Context, out: &mut String) -> Result<(), Failure> {
        match &self.code {
            Code::Expression(expression) => {
                let value = self.evaluate(expression, context)?;
                match value.as_str() {
                    Some(text) => out.push_str(text),
                    None => {
                        let (text, of_absent) = rendering(|| value.to_string());
                        if of_absent {
                            return Err(self.absent());
                        }
                        out.push_str(&text);
                    }
                }
                Ok(())
            }
            Code::Document(environment) => {
                let mut limited = Limited { bytes: Vec::new(), full: false };
                let (rendered, of_absent) = rendering(|| {
                    environment.get_template(DOCUMENT).and_then(|template| {
                        template.render_captured_to(context.0.clone(), &mut limited).map(|_| ())
                    })
                });
                if limited.full {
                    return Err(self.too_long());
                }
                rendered.map_err(|error| self.failure(&error))?;
                if of_absent {
                    return Err(self.absent());
                }
                out.push_str(&String::from_utf8_lossy(&limited.bytes));
                Ok(())
            }
        }
    }

    fn evaluate(&self, expression: &Expression<'_, '_>, context: &Context) -> Result<Value, Failure> {
        let (value, of_absent) = rendering(|| expression.eval(context.0.clone()));
        let value = value.map_err(|error| self.failure(&error))?;
        if of_absent || is_absent(&value) { Err(self.absent()) } else { Ok(value) }
    }

    fn absent(&self) -> Failure {
        let message = "the expression has no value".to_owned();
        Failure { offset: self.offset, undefined: true, message }
    }

    fn failure(&self, error: &Error) -> Failure {
        Failure {
            offset: self.offset + error.range().map_or(0, |range| range.start),
            // An operator that meets a missing value is reported as an invalid operation.
            undefined: error.kind() == ErrorKind::UndefinedError
                || error.detail().is_some_and(|detail| detail.contains("is undefined")),
            message: describe(error),
        }
    }

    fn too_long(&self) -> Failure {
        Failure { offset: self.offset, undefined: false, message: too_long() }
    }
}

pub(crate) fn too_long() -> String {
    format!("the template produces more than {MAX_OUTPUT_BYTES} bytes")
}

/// The error in one lowercase phrase.
pub(crate) fn describe(error: &Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("the template takes more than {FUEL} instructions: a loop in it is too long");
    }
    let what = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    match std::error::Error::source(error) {
        Some(source) => format!("{what}: {source}"),
        None => what,
    }
}

/// Whether the compact text of `value` is longer than what is left.
fn exceeds(value: &Json, left: &mut usize) -> bool {
    let own = match value {
        Json::String(text) => text.len() + 2,
        Json::Array(items) => {
            if items.iter().any(|item| exceeds(item, left)) {
                return true;
            }
            2 + items.len()
        }
        Json::Object(fields) => {
            if fields.iter().any(|(key, item)| {
                *left = left.saturating_sub(key.len() + 4);
                exceeds(item, left)
            }) {
                return true;
            }
            2
        }
        _ => 4,
    };
    if own > *left {
        return true;
    }
    *left -= own;
    false
}

/// A writer that refuses everything past the size limit.
struct Limited {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT_BYTES {
            self.full = true;
            return Err(io::Error::other("the output limit is reached"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
