//! Payload templates and JSONata fields, parsed once and rendered many times.

use std::sync::Arc;

use cauce_asl::{QueryLanguage, error_name};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::intrinsics::{Call, IntrinsicError, Random, Scope, SplitMix};
use crate::jsonata::{self, Environment, Expression, JsonataError, JsonataErrorKind};
use crate::jsonpath::{PathError, PathErrorKind, Reference};

/// The variables a path through the machine can see. Copied only when one is assigned.
pub(crate) type Variables = IndexMap<String, Arc<Value>>;

/// Why an expression of a state could not be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trouble {
    /// The error name.
    pub(crate) error: &'static str,
    /// The cause, without the sentence that names the state.
    pub(crate) message: String,
    /// JSONata: the field, for the `EvaluationFailed` event.
    pub(crate) location: Option<String>,
}

impl Trouble {
    pub(crate) fn runtime(message: impl Into<String>) -> Self {
        Self { error: error_name::RUNTIME, message: message.into(), location: None }
    }

    pub(crate) fn query(message: impl Into<String>, location: Option<&str>) -> Self {
        let location = location.map(str::to_owned);
        Self { error: error_name::QUERY_EVALUATION_ERROR, message: message.into(), location }
    }
}

/// Which costly parts of the surroundings an expression reads; what nobody reads is not built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The context object.
    pub(crate) context: bool,
}

impl Needs {
    pub(crate) fn join(&mut self, other: Self) {
        self.context |= other.context;
    }

    pub(crate) fn of_reference(reference: &Reference) -> Self {
        Self { context: matches!(reference, Reference::Context(_)) }
    }

    /// Reads off the text whether an expression can reach `$states.context`.
    fn of_jsonata(text: &str) -> Self {
        let harmless = [".input", ".result", ".errorOutput"];
        let mut uses = text.match_indices("$states").map(|(at, found)| &text[at + found.len()..]);
        Self { context: uses.any(|rest| !harmless.iter().any(|member| rest.starts_with(member))) }
    }
}

/// What an expression is evaluated in.
pub(crate) struct Frame<'a> {
    /// `$`, or `$states.input`.
    pub(crate) input: &'a Value,
    /// `$$`, or `$states.context`; null when nobody needs it.
    pub(crate) context: &'a Value,
    pub(crate) variables: &'a Variables,
    /// `$states.result`.
    pub(crate) result: Option<&'a Value>,
    /// `$states.errorOutput`.
    pub(crate) error_output: Option<&'a Value>,
    pub(crate) now: Timestamp,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(
        input: &'a Value,
        context: &'a Value,
        variables: &'a Variables,
        now: Timestamp,
    ) -> Self {
        Self { input, context, variables, result: None, error_output: None, now }
    }

    /// The value at a reference.
    pub(crate) fn read(&self, reference: &Reference) -> Result<Value, PathError> {
        match reference {
            Reference::Input(path) => path.eval(self.input),
            Reference::Context(path) => path.eval(self.context),
            Reference::Variable(name, path) => match self.variables.get(name) {
                Some(value) => path.eval(value),
                None => Err(PathError {
                    kind: PathErrorKind::NotFound,
                    message: format!("the variable '${name}' is not defined"),
                }),
            },
        }
    }
}

/// The same variables, as JSONata reads them.
struct Named<'a>(&'a Variables);

impl jsonata::Variables for Named<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|value| &**value)
    }
}

impl Scope for Frame<'_> {
    fn input(&self) -> &Value {
        self.input
    }

    fn context(&self) -> &Value {
        self.context
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name).map(|value| &**value)
    }
}

/// A compiled JSONata expression with the text between its `{%` and `%}`.
#[derive(Debug)]
pub(crate) struct Jsonata {
    expression: Expression,
    source: String,
    needs: Needs,
}

/// The text between `{%` and `%}` when the whole string is one expression.
pub(crate) fn jsonata_source(text: &str) -> Option<&str> {
    text.strip_prefix("{%")?.strip_suffix("%}").map(str::trim)
}

impl Jsonata {
    fn compile(source: &str) -> Result<Self, String> {
        let expression = Expression::compile(source)
            .map_err(|error| format!("the JSONata expression '{source}' does not compile: {error}"))?;
        Ok(Self { expression, source: source.to_owned(), needs: Needs::of_jsonata(source) })
    }

    fn evaluate(&self, frame: &Frame<'_>, rng: &mut SplitMix, location: &str) -> Result<Value, Trouble> {
        let environment = Environment {
            input: frame.input,
            context: frame.context,
            result: frame.result,
            error_output: frame.error_output,
            variables: &Named(frame.variables),
            now: frame.now,
            seed: rng.next_u64(),
        };
        match self.expression.evaluate(&environment) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.trouble(location, "returned nothing (undefined).")),
            Err(JsonataError { kind: JsonataErrorKind::UnsupportedResult, .. }) => {
                Err(self.trouble(location, "returned an unsupported result type."))
            }
            Err(error) => Err(self.trouble(
                location,
                &format!("threw an error during evaluation. {}: {}", error.code, error.message),
            )),
        }
    }

    fn trouble(&self, location: &str, what: &str) -> Trouble {
        let message =
            format!("The JSONata expression '{}' specified for the field '{location}' {what}", self.source);
        Trouble::query(message, Some(location))
    }

    /// The error of a value of the wrong type. `expected` is `array`, `boolean`, ...
    pub(crate) fn unexpected(&self, location: &str, expected: &str, value: &Value) -> Trouble {
        let found = type_name(value);
        let what = format!(
            "returned an unexpected result type. Expected '{expected}', but was '{found}' for value: {value}"
        );
        self.trouble(location, &what)
    }
}

/// A JSON type as AWS names it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A field that is rendered when its state runs.
#[derive(Debug)]
pub(crate) struct Payload {
    template: Template,
    pub(crate) needs: Needs,
    /// The field's name, the root of locations.
    field: &'static str,
}

#[derive(Debug)]
enum Template {
    Literal(Arc<Value>),
    Path { reference: Reference, text: String },
    Call(Box<Call>),
    Jsonata(Box<Jsonata>),
    Array(Vec<Template>),
    Object(Vec<Entry>),
}

#[derive(Debug)]
struct Entry {
    /// The name it has in the result.
    key: String,
    /// The name it has in the definition.
    field: String,
    value: Template,
}

impl Payload {
    /// Parses the value of a field in either language.
    pub(crate) fn parse(field: &'static str, value: &Value, language: QueryLanguage) -> Result<Self, String> {
        let mut needs = Needs::default();
        let template = match language {
            QueryLanguage::JSONPath => Template::of_jsonpath(value, &mut needs)?,
            QueryLanguage::JSONata => Template::of_jsonata(value, &mut needs)?,
        };
        Ok(Self { template, needs, field })
    }

    /// Parses a string that is itself a path or an intrinsic function, such as `ErrorPath`.
    pub(crate) fn of_path(field: &'static str, text: &str) -> Result<Self, String> {
        let mut needs = Needs::default();
        let template = Template::of_reference(text, &mut needs)?;
        Ok(Self { template, needs, field })
    }

    /// The value; shared, not copied, when the definition holds it whole.
    pub(crate) fn render(&self, frame: &Frame<'_>, rng: &mut SplitMix) -> Result<Arc<Value>, Trouble> {
        match &self.template {
            Template::Literal(value) => Ok(Arc::clone(value)),
            template => template.render(frame, rng, self.field, self.field).map(Arc::new),
        }
    }

    /// The expression, when the field is one as a whole.
    pub(crate) fn as_jsonata(&self) -> Option<&Jsonata> {
        match &self.template {
            Template::Jsonata(expression) => Some(expression),
            _ => None,
        }
    }
}

impl Template {
    fn of_jsonata(value: &Value, needs: &mut Needs) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => match jsonata_source(text) {
                Some(source) => {
                    let expression = Jsonata::compile(source)?;
                    needs.join(expression.needs);
                    Self::Jsonata(Box::new(expression))
                }
                None => Self::Literal(Arc::new(value.clone())),
            },
            Value::Array(items) => {
                let items =
                    items.iter().map(|item| Self::of_jsonata(item, needs)).collect::<Result<Vec<_>, _>>()?;
                Self::fold_array(value, items)
            }
            Value::Object(fields) => {
                let entries = fields
                    .iter()
                    .map(|(key, value)| {
                        Ok(Entry {
                            key: key.clone(),
                            field: key.clone(),
                            value: Self::of_jsonata(value, needs)?,
                        })
                    })
                    .collect::<Result<Vec<_>, String>>()?;
                Self::fold_object(value, entries)
            }
            _ => Self::Literal(Arc::new(value.clone())),
        })
    }

    fn of_jsonpath(value: &Value, needs: &mut Needs) -> Result<Self, String> {
        Ok(match value {
            Value::Array(items) => {
                let items =
                    items.iter().map(|item| Self::of_jsonpath(item, needs)).collect::<Result<Vec<_>, _>>()?;
                Self::fold_array(value, items)
            }
            Value::Object(fields) => {
                let entries = fields
                    .iter()
                    .map(|(field, value)| {
                        let (key, value) = match (field.strip_suffix(".$"), value) {
                            (Some(key), Value::String(text)) => (key, Self::of_reference(text, needs)?),
                            (Some(_), _) => {
                                return Err(format!(
                                    "the field '{field}' must be a string that is a path or an intrinsic function"
                                ));
                            }
                            (None, value) => (field.as_str(), Self::of_jsonpath(value, needs)?),
                        };
                        Ok(Entry { key: key.to_owned(), field: field.clone(), value })
                    })
                    .collect::<Result<Vec<_>, String>>()?;
                Self::fold_object(value, entries)
            }
            _ => Self::Literal(Arc::new(value.clone())),
        })
    }

    fn of_reference(text: &str, needs: &mut Needs) -> Result<Self, String> {
        if Call::is_call(text) {
            let call = Call::parse(text).map_err(|error| error.to_string())?;
            for reference in call.references() {
                needs.join(Needs::of_reference(reference));
            }
            return Ok(Self::Call(Box::new(call)));
        }
        let reference = Reference::parse(text).map_err(|error| error.to_string())?;
        needs.join(Needs::of_reference(&reference));
        Ok(Self::Path { reference, text: text.to_owned() })
    }

    /// An array without expressions is one literal, shared by every rendering.
    fn fold_array(value: &Value, items: Vec<Self>) -> Self {
        if items.iter().all(|item| matches!(item, Self::Literal(_))) {
            return Self::Literal(Arc::new(value.clone()));
        }
        Self::Array(items)
    }

    fn fold_object(value: &Value, entries: Vec<Entry>) -> Self {
        if entries.iter().all(|entry| matches!(entry.value, Self::Literal(_))) {
            return Self::Literal(Arc::new(value.clone()));
        }
        Self::Object(entries)
    }

    /// `location` is the whole path of field names, `field` the last of them.
    fn render(
        &self,
        frame: &Frame<'_>,
        rng: &mut SplitMix,
        location: &str,
        field: &str,
    ) -> Result<Value, Trouble> {
        match self {
            Self::Literal(value) => Ok((**value).clone()),
            Self::Path { reference, text } => match frame.read(reference) {
                // Recorded on AWS: a slice or wildcard of what is not there is empty.
                Err(error) if error.kind == PathErrorKind::NotFound && !reference.path().is_definite() => {
                    Ok(Value::Array(Vec::new()))
                }
                Err(error) => Err(path_trouble(&error, text, field, frame)),
                Ok(value) => Ok(value),
            },
            Self::Call(call) => call.eval(frame, rng).map_err(|error| intrinsic_trouble(&error, frame)),
            Self::Jsonata(expression) => expression.evaluate(frame, rng, location),
            Self::Array(items) => {
                let items = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| item.render(frame, rng, &format!("{location}[{index}]"), field));
                items.collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            Self::Object(entries) => {
                let mut fields = Map::with_capacity(entries.len());
                for entry in entries {
                    let inner = match entry.value {
                        // Only JSONata names the whole way, so the others need not spell it.
                        Self::Literal(_) | Self::Path { .. } | Self::Call(_) => String::new(),
                        _ => format!("{location}/{}", entry.field),
                    };
                    fields.insert(entry.key.clone(), entry.value.render(frame, rng, &inner, &entry.field)?);
                }
                Ok(Value::Object(fields))
            }
        }
    }
}

fn path_trouble(error: &PathError, text: &str, field: &str, frame: &Frame<'_>) -> Trouble {
    match error.kind {
        PathErrorKind::NotFound => Trouble::runtime(format!(
            "The JSONPath '{text}' specified for the field '{field}' could not be found in the input '{}'",
            frame.input
        )),
        _ => Trouble::runtime(format!("Invalid path '{text}' : {}", error.message)),
    }
}

fn intrinsic_trouble(error: &IntrinsicError, frame: &Frame<'_>) -> Trouble {
    match error {
        // The wording and the name `States.Runtime` are known from reports, not verified on AWS.
        IntrinsicError::Path { function, path, .. } => Trouble::runtime(format!(
            "The function '{function}' had the following error: The JsonPath argument for the field '{path}' could \
             not be found in the input '{}'",
            frame.input
        )),
        _ => Trouble { error: error_name::INTRINSIC_FAILURE, message: error.to_string(), location: None },
    }
}
