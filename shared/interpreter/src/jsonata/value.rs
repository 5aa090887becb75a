//! Values during an evaluation. What comes from the environment is borrowed, what an expression
//! builds is shared, so that passing a value on never copies it.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

use indexmap::IndexMap;
use serde_json::{Map, Number, Value};

use super::Environment;
use super::evaluate::{Function, Tuple};

/// Any value of the language.
#[derive(Clone, Debug)]
pub(super) enum Item<'a> {
    Undefined,
    Null,
    Bool(bool),
    Number(Number),
    Text(Text<'a>),
    Array(Array<'a>),
    Object(Object<'a>),
    Function(Rc<Function<'a>>),
    /// A path under way whose values carry variables; only paths see it.
    Tuples(Rc<Vec<Tuple<'a>>>),
}

/// A text, borrowed or shared.
#[derive(Clone, Debug)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

/// An array with the marks that decide whether it is unwrapped or flattened.
#[derive(Clone, Debug)]
pub(super) struct Array<'a> {
    items: Items<'a>,
    /// The result of a query: one item stands for itself, none for undefined.
    pub(super) sequence: bool,
    /// A sequence that keeps its single item wrapped (`[]`).
    pub(super) keep_singleton: bool,
    /// Built by `[...]` at the end of a path: never flattened.
    pub(super) constructed: bool,
    depth: u16,
}

#[derive(Clone, Debug)]
enum Items<'a> {
    Borrowed(&'a [Value]),
    Shared(Rc<Vec<Item<'a>>>),
}

/// An object; its members keep their order.
#[derive(Clone, Debug)]
pub(super) enum Object<'a> {
    /// `$states`: the members are looked up in the environment.
    States(&'a Environment<'a>),
    Borrowed(&'a Map<String, Value>),
    Shared(Rc<Members<'a>>),
}

/// The members of an object that an expression built.
#[derive(Debug)]
pub(super) struct Members<'a> {
    map: IndexMap<Text<'a>, Item<'a>>,
    depth: u16,
}

impl<'a> From<&'a Value> for Item<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(Text::Borrowed(text)),
            Value::Array(items) => Self::Array(Array {
                items: Items::Borrowed(items),
                sequence: false,
                keep_singleton: false,
                constructed: false,
                depth: 1,
            }),
            Value::Object(members) => Self::Object(Object::Borrowed(members)),
        }
    }
}

impl<'a> Item<'a> {
    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined)
    }

    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    /// A plain array.
    pub(super) fn array(items: Vec<Item<'a>>) -> Self {
        Self::Array(Array::new(items, false))
    }

    /// A sequence, not yet unwrapped.
    pub(super) fn sequence(items: Vec<Item<'a>>) -> Self {
        Self::Array(Array::new(items, true))
    }

    pub(super) fn object(map: IndexMap<Text<'a>, Item<'a>>) -> Self {
        let depth = deepest(map.values());
        Self::Object(Object::Shared(Rc::new(Members { map, depth })))
    }

    /// A whole number becomes an integer, as JSON.stringify would print it.
    pub(super) fn number(number: f64) -> Self {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && number.abs() <= EXACT {
            return Self::Number(Number::from(number as i64));
        }
        Number::from_f64(number).map_or(Self::Null, Self::Number)
    }

    pub(super) fn count(count: usize) -> Self {
        Self::Number(Number::from(count))
    }

    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many arrays and objects built by this evaluation are nested in the value.
    pub(super) fn depth(&self) -> u16 {
        match self {
            Self::Array(array) => array.depth,
            Self::Object(Object::Shared(members)) => members.depth,
            Self::Object(_) => 1,
            Self::Function(function) => function.depth(),
            _ => 0,
        }
    }

    /// The items of an array, or the value itself as the only item; undefined has none.
    pub(super) fn into_items(self) -> Vec<Item<'a>> {
        match self {
            Self::Undefined => Vec::new(),
            Self::Array(array) => array.into_vec(),
            other => vec![other],
        }
    }

    /// The value's type as an error message names it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) | Self::Tuples(_) => "array",
            Self::Object(_) => "object",
            Self::Function(_) => "function",
        }
    }
}

fn deepest<'i, 'a: 'i>(items: impl Iterator<Item = &'i Item<'a>>) -> u16 {
    items.map(Item::depth).max().unwrap_or(0).saturating_add(1)
}

impl<'a> Array<'a> {
    pub(super) fn new(items: Vec<Item<'a>>, sequence: bool) -> Self {
        let depth = deepest(items.iter());
        Self {
            items: Items::Shared(Rc::new(items)),
            sequence,
            keep_singleton: false,
            constructed: false,
            depth,
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.items {
            Items::Borrowed(items) => items.len(),
            Items::Shared(items) => items.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Item<'a>> {
        match &self.items {
            Items::Borrowed(items) => items.get(index).map(Item::from),
            Items::Shared(items) => items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Item<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(super) fn into_vec(self) -> Vec<Item<'a>> {
        match self.items {
            Items::Shared(items) => Rc::try_unwrap(items).unwrap_or_else(|items| (*items).clone()),
            Items::Borrowed(items) => items.iter().map(Item::from).collect(),
        }
    }
}

impl<'a> Object<'a> {
    pub(super) fn get(&self, name: &str) -> Item<'a> {
        match self {
            Self::States(environment) => environment.member(name).map_or(Item::Undefined, Item::from),
            Self::Borrowed(members) => members.get(name).map_or(Item::Undefined, Item::from),
            Self::Shared(members) => members.map.get(name).cloned().unwrap_or(Item::Undefined),
        }
    }

    pub(super) fn entries(&self) -> Vec<(Text<'a>, Item<'a>)> {
        match self {
            Self::States(environment) => super::STATES_MEMBERS
                .into_iter()
                .filter_map(|name| Some((Text::Borrowed(name), environment.member(name)?.into())))
                .collect(),
            Self::Borrowed(members) => {
                members.iter().map(|(name, value)| (Text::Borrowed(name.as_str()), value.into())).collect()
            }
            Self::Shared(members) => {
                members.map.iter().map(|(name, item)| (name.clone(), item.clone())).collect()
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::States(_) => self.entries().len(),
            Self::Borrowed(members) => members.len(),
            Self::Shared(members) => members.map.len(),
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

/// A number as JavaScript prints it: the shortest digits that read back as the same number.
pub(super) fn number_text(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    if number == 0.0 { "0".to_owned() } else { format!("{number}") }
}

/// A number as `$string` prints it: rounded to 15 significant digits, integers exactly.
pub(super) fn display_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() != 0.0 => {
            let rounded: f64 = format!("{float:.14e}").parse().unwrap_or(float);
            number_text(rounded)
        }
        Some(float) if number.is_f64() => number_text(float),
        _ => number.to_string(),
    }
}
