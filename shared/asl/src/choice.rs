//! The rules of a Choice state.

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map as JsonMap, Value};

/// One rule: a condition, and what happens when it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ChoiceRule {
    /// When the rule matches.
    pub condition: Condition,
    /// The state to go on with.
    pub next: String,
    /// Variables to set.
    pub assign: Option<Value>,
    /// JSONata: what goes on.
    pub output: Option<Value>,
    /// Free text.
    pub comment: Option<String>,
}

/// What a rule asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A JSONata expression, with its `{% %}`, or a plain boolean.
    Jsonata(Value),
    /// All of these hold.
    And(Vec<Condition>),
    /// One of these holds.
    Or(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
    /// The value at a path compares so.
    Compare(Comparison),
}

/// A comparison of the value at a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The path of the left side.
    pub variable: String,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub operand: Operand,
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A value of the definition.
    Literal(Value),
    /// A path: the operator's name ends in `Path`.
    Path(String),
}

macro_rules! operators {
    ($( $name:ident )*) => {
        /// How two values are compared. Source:
        /// <https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html>.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is the operator of the same name")]
        pub enum Operator { $( $name, )* }

        impl Operator {
            /// Every operator, in the order of the AWS documentation.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// The operator's field name, without `Path`.
            pub fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )* }
            }
        }
    };
}

operators! {
    BooleanEquals
    IsBoolean IsNull IsNumeric IsPresent IsString IsTimestamp
    NumericEquals NumericGreaterThan NumericGreaterThanEquals NumericLessThan NumericLessThanEquals
    StringEquals StringGreaterThan StringGreaterThanEquals StringLessThan StringLessThanEquals StringMatches
    TimestampEquals TimestampGreaterThan TimestampGreaterThanEquals TimestampLessThan TimestampLessThanEquals
}

impl Operator {
    /// The operator of a field, and whether the field names a path.
    pub fn of_field(field: &str) -> Option<(Self, bool)> {
        let find = |name: &str| Self::ALL.iter().copied().find(|operator| operator.name() == name);
        match find(field) {
            Some(operator) => Some((operator, false)),
            None => {
                let operator = find(field.strip_suffix("Path")?)?;
                operator.takes_path().then_some((operator, true))
            }
        }
    }

    /// Whether the operator also exists with a path on its right side.
    pub fn takes_path(self) -> bool {
        !matches!(
            self,
            Self::IsBoolean
                | Self::IsNull
                | Self::IsNumeric
                | Self::IsPresent
                | Self::IsString
                | Self::IsTimestamp
                | Self::StringMatches
        )
    }
}

impl ChoiceRule {
    /// A JSONata rule: the expression with its `{% %}`, and where to go when it is true.
    pub fn jsonata(expression: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Condition::Jsonata(Value::String(expression.into())), next)
    }

    /// A JSONPath rule: `variable` compared with a literal.
    pub fn compare(
        variable: impl Into<String>,
        operator: Operator,
        literal: impl Into<Value>,
        next: impl Into<String>,
    ) -> Self {
        let operand = Operand::Literal(literal.into());
        Self::new(Condition::Compare(Comparison { variable: variable.into(), operator, operand }), next)
    }

    /// A rule of any condition.
    pub fn new(condition: Condition, next: impl Into<String>) -> Self {
        Self { condition, next: next.into(), assign: None, output: None, comment: None }
    }
}

impl Condition {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match self {
            Self::Jsonata(value) => map.serialize_entry("Condition", value),
            Self::And(conditions) => map.serialize_entry("And", conditions),
            Self::Or(conditions) => map.serialize_entry("Or", conditions),
            Self::Not(condition) => map.serialize_entry("Not", condition),
            Self::Compare(comparison) => {
                map.serialize_entry("Variable", &comparison.variable)?;
                let name = comparison.operator.name();
                match &comparison.operand {
                    Operand::Literal(value) => map.serialize_entry(name, value),
                    Operand::Path(path) => map.serialize_entry(&format!("{name}Path"), path),
                }
            }
        }
    }

    /// Takes the condition out of a rule, leaving the rule's other fields.
    fn take(fields: &mut JsonMap<String, Value>) -> Result<Self, String> {
        let list = |value: Value| -> Result<Vec<Self>, String> {
            let Value::Array(rules) = value else {
                return Err("a list of rules is expected".to_owned());
            };
            rules.into_iter().map(Self::of_value).collect()
        };
        if let Some(value) = fields.shift_remove("Condition") {
            return Ok(Self::Jsonata(value));
        }
        if let Some(value) = fields.shift_remove("And") {
            return Ok(Self::And(list(value)?));
        }
        if let Some(value) = fields.shift_remove("Or") {
            return Ok(Self::Or(list(value)?));
        }
        if let Some(value) = fields.shift_remove("Not") {
            return Ok(Self::Not(Box::new(Self::of_value(value)?)));
        }
        let Some(Value::String(variable)) = fields.shift_remove("Variable") else {
            return Err("a choice rule needs Condition, And, Or, Not, or Variable and an operator".to_owned());
        };
        let found = fields.keys().find_map(|field| Some((field.clone(), Operator::of_field(field)?)));
        let Some((field, (operator, is_path))) = found else {
            return Err(format!("the choice rule on '{variable}' has no known operator"));
        };
        let operand = match (fields.shift_remove(&field), is_path) {
            (Some(Value::String(path)), true) => Operand::Path(path),
            (Some(value), false) => Operand::Literal(value),
            _ => return Err(format!("'{field}' must be a string that holds a path")),
        };
        Ok(Self::Compare(Comparison { variable, operator, operand }))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Object(mut fields) => Self::take(&mut fields),
            _ => Err("a choice rule is an object".to_owned()),
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_value(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for ChoiceRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.condition.write(&mut map)?;
        map.serialize_entry("Next", &self.next)?;
        for (name, value) in [("Assign", &self.assign), ("Output", &self.output)] {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        if let Some(comment) = &self.comment {
            map.serialize_entry("Comment", comment)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ChoiceRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Value::Object(mut fields) = Value::deserialize(deserializer)? else {
            return Err(D::Error::custom("a choice rule is an object"));
        };
        let condition = Condition::take(&mut fields).map_err(D::Error::custom)?;
        let Some(Value::String(next)) = fields.shift_remove("Next") else {
            return Err(D::Error::custom("a choice rule needs Next"));
        };
        let comment = match fields.shift_remove("Comment") {
            Some(Value::String(comment)) => Some(comment),
            _ => None,
        };
        let (assign, output) = (fields.shift_remove("Assign"), fields.shift_remove("Output"));
        Ok(Self { condition, next, assign, output, comment })
    }
}
