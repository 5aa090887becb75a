//! Run parameters: their declarations, and the check of given values against them.
//!
//! The file's defaults are checked by the same code when a pipeline is built as a run's values when
//! it is opened.

use std::fmt;

use crate::Json;
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// One declared parameter.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamSpec {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// What it means, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value used when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
    /// Whether a run without it is refused. Without `required` and `default` the value is null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The values allowed, where not all of the type are.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Json>,
    /// The least number, or the earliest date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Json>,
    /// The greatest number, or the latest date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Json>,
    /// A regular expression that the whole text must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Whether its value is kept out of logs and pages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// The type of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Text.
    #[default]
    String,
    /// A whole number of 64 bits.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A day, `1997-01-05`.
    Date,
    /// A list of anything.
    List,
    /// An object of anything.
    Object,
}

impl ParamType {
    /// Every type, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::String, Self::Integer, Self::Number, Self::Boolean, Self::Date, Self::List, Self::Object];

    /// The word in the pipeline file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::List => "list",
            Self::Object => "object",
        }
    }

    /// The word with its article, for sentences.
    const fn described(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Date => "a date",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// What is wrong with one given value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ParamError {
    /// The parameter's name.
    pub name: String,
    /// What is wrong, as a lowercase phrase; never holds the value of a secret parameter.
    pub message: String,
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parameter `{}`: {}", self.name, self.message)
    }
}

impl std::error::Error for ParamError {}

/// Completes the given values with defaults and checks all of them. Every declared parameter is in
/// the result, in the order of the declarations; one without a value is null. Unknown names and
/// unfit values are all reported.
pub fn validate<'a>(
    declared: impl IntoIterator<Item = (&'a str, &'a ParamSpec)>,
    given: &Map<String, Json>,
) -> Result<Map<String, Json>, Vec<ParamError>> {
    let mut out = Map::new();
    let mut errors = Vec::new();
    for (name, spec) in declared {
        let fail = |message: String| ParamError { name: name.to_owned(), message };
        let value = given.get(name).filter(|value| !value.is_null());
        match value.or(spec.default.as_ref()) {
            None if spec.required => {
                errors.push(fail(format!("a value is required, {}", spec.kind.described())));
                out.insert(name.to_owned(), Json::Null);
            }
            None => {
                out.insert(name.to_owned(), Json::Null);
            }
            Some(value) => match spec.check(value) {
                Ok(value) => {
                    out.insert(name.to_owned(), value);
                }
                Err(message) => {
                    errors.push(fail(message));
                    out.insert(name.to_owned(), Json::Null);
                }
            },
        }
    }
    for name in given.keys().filter(|name| !out.contains_key(name.as_str())) {
        let known: Vec<&str> = out.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        errors
            .push(ParamError { name: name.clone(), message: format!("not declared; declared are: {known}") });
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

impl ParamSpec {
    /// Checks one value. The result is the value, a whole number of type `integer` always
    /// written without a decimal point.
    pub fn check(&self, value: &Json) -> Result<Json, String> {
        let value = self.typed(value)?;
        if !self.allowed.is_empty()
            && !self.allowed.iter().any(|allowed| self.typed(allowed).as_ref() == Ok(&value))
        {
            let allowed: Vec<String> = self.allowed.iter().map(shown).collect();
            return Err(format!("{} is not one of {}", self.show(&value), allowed.join(", ")));
        }
        if let Some(minimum) = &self.minimum
            && less(&value, minimum)
        {
            return Err(format!("{} is below the minimum {}", self.show(&value), shown(minimum)));
        }
        if let Some(maximum) = &self.maximum
            && less(maximum, &value)
        {
            return Err(format!("{} is above the maximum {}", self.show(&value), shown(maximum)));
        }
        if let (Some(pattern), Some(text)) = (&self.pattern, value.as_str()) {
            let regex = compile_pattern(pattern)?;
            if !regex.is_match(text) {
                return Err(format!("{} does not match {pattern}", self.show(&value)));
            }
        }
        Ok(value)
    }

    /// Reads a value from text, as a command line gives it: a string is taken as it is, lists and
    /// objects as JSON. Then [`ParamSpec::check`].
    pub fn parse(&self, text: &str) -> Result<Json, String> {
        let value = match self.kind {
            ParamType::String | ParamType::Date => Json::from(text),
            _ => serde_json::from_str(text).unwrap_or_else(|_| Json::from(text)),
        };
        self.check(&value)
    }

    fn typed(&self, value: &Json) -> Result<Json, String> {
        let fits = match self.kind {
            ParamType::String => value.is_string(),
            ParamType::Number => value.is_number(),
            ParamType::Boolean => value.is_boolean(),
            ParamType::List => value.is_array(),
            ParamType::Object => value.is_object(),
            ParamType::Date => value
                .as_str()
                .is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10),
            ParamType::Integer => {
                if let Some(whole) = value.as_f64().filter(|number| number.fract() == 0.0)
                    && value.as_i64().is_none()
                    && whole.abs() < 9_007_199_254_740_992.0
                {
                    return Ok(Json::from(whole as i64));
                }
                value.as_i64().is_some()
            }
        };
        if fits {
            Ok(value.clone())
        } else {
            let hint = if self.kind == ParamType::Date { " (1997-01-05)" } else { "" };
            Err(format!("{} is not {}{hint}", self.show(value), self.kind.described()))
        }
    }

    fn show(&self, value: &Json) -> String {
        if self.secret { "the value".to_owned() } else { shown(value) }
    }
}

/// Compiles a pattern that the whole text must match.
pub fn compile_pattern(pattern: &str) -> Result<regex_lite::Regex, String> {
    regex_lite::Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|error| format!("the pattern `{pattern}` cannot be read: {error}"))
}

/// Numbers by value, dates by day; other values are never less than each other.
fn less(a: &Json, b: &Json) -> bool {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a < b;
    }
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() < b.as_f64(),
        (Json::String(a), Json::String(b)) => a < b,
        _ => false,
    }
}

/// A value in a message, cut where it is long.
fn shown(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: Json) -> ParamSpec {
        serde_json::from_value(value).expect("a declaration")
    }

    fn validate_one(declared: Json, given: Json) -> Result<Json, String> {
        let spec = spec(declared);
        let given = json!({"x": given});
        validate([("x", &spec)], given.as_object().expect("an object"))
            .map(|values| values["x"].clone())
            .map_err(|errors| errors[0].to_string())
    }

    #[test]
    fn values_are_held_to_their_type() {
        for (kind, good, bad) in [
            ("string", json!("a"), json!(1)),
            ("integer", json!(-3), json!(1.5)),
            ("number", json!(1.5), json!("1.5")),
            ("boolean", json!(false), json!(0)),
            ("date", json!("1997-01-05"), json!("1997-02-30")),
            ("list", json!([1]), json!({})),
            ("object", json!({"a": 1}), json!([])),
        ] {
            assert_eq!(validate_one(json!({"type": kind}), good.clone()), Ok(good), "{kind}");
            let error = validate_one(json!({"type": kind}), bad).expect_err(kind);
            assert!(error.contains(" is not a") && error.contains(kind), "{error}");
        }
    }

    #[test]
    fn a_whole_number_written_as_a_float_is_an_integer() {
        assert_eq!(validate_one(json!({"type": "integer"}), json!(3.0)), Ok(json!(3)));
    }

    #[test]
    fn bounds_enumerations_and_patterns_hold_at_their_edges() {
        let bounded = json!({"type": "integer", "minimum": 1, "maximum": 3});
        assert!(validate_one(bounded.clone(), json!(1)).is_ok());
        assert!(validate_one(bounded.clone(), json!(3)).is_ok());
        assert_eq!(
            validate_one(bounded.clone(), json!(0)),
            Err("parameter `x`: 0 is below the minimum 1".to_owned())
        );
        assert!(validate_one(bounded, json!(4)).is_err());
        let named = json!({"type": "string", "enum": ["NA", "EU"]});
        assert!(validate_one(named.clone(), json!("EU")).is_ok());
        assert!(validate_one(named, json!("eu")).is_err());
        let dated = json!({"type": "date", "minimum": "1997-01-01"});
        assert!(validate_one(dated.clone(), json!("1997-01-01")).is_ok());
        assert!(validate_one(dated, json!("1996-12-31")).is_err());
        let matched = json!({"type": "string", "pattern": "[a-z]+|[0-9]+"});
        assert!(validate_one(matched.clone(), json!("abc")).is_ok());
        assert!(validate_one(matched, json!("abc1")).is_err(), "the whole text must match");
    }

    #[test]
    fn every_problem_is_reported_at_once_and_secrets_stay_out() {
        let (rows, token) = (
            spec(json!({"type": "integer", "required": true})),
            spec(json!({"type": "integer", "secret": true})),
        );
        let given = json!({"token": "hunter2", "other": 1});
        let errors = validate([("rows", &rows), ("token", &token)], given.as_object().expect("an object"))
            .expect_err("three problems");
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 3, "{text:?}");
        assert!(text[0].contains("`rows`: a value is required"));
        assert!(!text[1].contains("hunter2"));
        assert!(text[2].contains("declared are: rows, token"));
    }

    #[test]
    fn defaults_fill_in_and_text_is_read_by_type() {
        let spec = spec(json!({"type": "integer", "default": 7}));
        let values = validate([("n", &spec)], &Map::new()).expect("the default");
        assert_eq!(values["n"], json!(7));
        assert_eq!(spec.parse("12"), Ok(json!(12)));
        assert!(spec.parse("twelve").is_err());
    }
}
