//! How parameters are declared in the file. What values they take is `cauce_model::params`.

use cauce_model::params::{ParamSpec, ParamType, compile_pattern};
use serde_json::{Value as Json, json};

use crate::diagnostic::{Code, Span};
use crate::shape::{Definitions, Fields, Reader, Shape, choice, document, record};
use crate::tree::Node;

choice! {
    /// Parameter type: which values a parameter takes.
    pub enum TypeWord {
        /// Text.
        String = "string";
        /// A whole number.
        Integer = "integer";
        /// Any number.
        Number = "number";
        /// True or false.
        Boolean = "boolean";
        /// A day, 1997-01-05.
        Date = "date";
        /// A list.
        List = "list";
        /// An object.
        Object = "object";
    }
}

record! {
    /// Parameter: a value that a run takes.
    pub struct Declaration {
        /// Type: which values it takes.
        kind as "type": TypeWord;
        /// Description: what it means.
        description: Option<String> = None;
        /// Default: the value used when none is given.
        default: Option<Json> = None;
        /// Required: whether a run without it is refused.
        required: bool = false;
        /// Values: those allowed, where not all of the type are.
        allowed as "enum": Option<Vec<Json>> = None;
        /// Minimum: the least number, or the earliest date.
        minimum: Option<Json> = None;
        /// Maximum: the greatest number, or the latest date.
        maximum: Option<Json> = None;
        /// Pattern: a regular expression that the whole text must match.
        pattern: Option<String> = None;
        /// Secret: whether its value is kept out of logs and pages.
        secret: bool = false => later;
    }
}

impl Shape for ParamSpec {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = Fields::open(node, reader, "a declaration such as {type: string}")?;
        let declared = Declaration::take(&mut fields, reader);
        fields.close(Declaration::KEYS, reader);
        let declared = declared?;
        let kind = ParamType::ALL[declared.kind as usize];
        let spec = Self {
            kind,
            description: declared.description,
            default: declared.default,
            required: declared.required,
            allowed: declared.allowed.unwrap_or_default(),
            minimum: declared.minimum,
            maximum: declared.maximum,
            pattern: declared.pattern,
            secret: declared.secret,
        };
        contradictions(&spec, node, reader);
        Some(spec)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Parameter", |definitions| {
            let mut schema = Declaration::schema(definitions);
            if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
                schema = definitions.0.remove(name).unwrap_or_else(|| json!({}));
            }
            document(schema, "Parameter: a value that a run takes.")
        })
    }
}

/// Reports a declaration that no value, or not its own default, can satisfy.
fn contradictions(spec: &ParamSpec, node: &Node, reader: &mut Reader) {
    let span = |key: &str| -> Span { node.get(key).map_or(node.span, |entry| entry.value.span) };
    let before = reader.diagnostics.len();
    let report = |reader: &mut Reader, key: &str, code: Code, message: String, help: &str| {
        reader.under(key, |reader| reader.error(code, span(key), message, help));
    };
    let ordered = matches!(spec.kind, ParamType::Integer | ParamType::Number | ParamType::Date);
    let bare = ParamSpec { kind: spec.kind, ..ParamSpec::default() };
    for (key, bound) in [("minimum", &spec.minimum), ("maximum", &spec.maximum)] {
        let Some(bound) = bound else { continue };
        if !ordered {
            report(
                reader,
                key,
                Code::ParamDeclaration,
                format!("`{key}` does not go with type {}", spec.kind.as_str()),
                "bounds go with integer, number and date",
            );
        } else if let Err(message) = bare.check(bound) {
            report(reader, key, Code::ParamDeclaration, message, "");
        }
    }
    if let (Some(minimum), Some(_)) = (&spec.minimum, &spec.maximum) {
        let upper = ParamSpec { kind: spec.kind, maximum: spec.maximum.clone(), ..ParamSpec::default() };
        if let Err(message) = upper.check(minimum)
            && message.contains("above the maximum")
        {
            report(
                reader,
                "minimum",
                Code::ParamDeclaration,
                "the minimum is above the maximum".to_owned(),
                "no value can be both",
            );
        }
    }
    if let Some(pattern) = &spec.pattern {
        if spec.kind != ParamType::String {
            report(
                reader,
                "pattern",
                Code::ParamDeclaration,
                format!("`pattern` does not go with type {}", spec.kind.as_str()),
                "patterns go with string",
            );
        } else if let Err(message) = compile_pattern(pattern) {
            report(reader, "pattern", Code::BadPattern, message, "");
        }
    }
    for value in &spec.allowed {
        if let Err(message) = bare.check(value) {
            report(
                reader,
                "enum",
                Code::ParamDeclaration,
                message,
                "every value listed needs the parameter's type",
            );
        }
    }
    if spec.required && spec.default.is_some() {
        report(
            reader,
            "required",
            Code::ParamDeclaration,
            "a parameter with a default is never missing".to_owned(),
            "drop `required` or `default`",
        );
    }
    let sound = reader.diagnostics.len() == before;
    if let Some(default) = spec.default.as_ref().filter(|default| sound && !default.is_null())
        && let Err(message) = spec.check(default)
    {
        report(
            reader,
            "default",
            Code::ParamDefault,
            format!("the default does not fit: {message}"),
            "change the default or the declaration",
        );
    }
}
