//! Evaluation of a [`Path`]: the steps applied to a value, and the functions.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::{Function, MAX_VISITS, Path, PathError, Step};

/// See [`Path::select`].
pub(super) fn select<'a>(path: &Path, root: &'a Value) -> Result<Cow<'a, Value>, PathError> {
    select_within(path, root, root, &mut 0)
}

/// Evaluates `path` from `start`, where filters see `root` as `$`; `visits` counts the work of
/// the whole evaluation.
pub(super) fn select_within<'a>(
    path: &Path,
    start: &'a Value,
    root: &'a Value,
    visits: &mut usize,
) -> Result<Cow<'a, Value>, PathError> {
    let found = if path.is_definite() {
        definite(path, start)?
    } else {
        let mut walk = Walk { root, visits, found: Vec::new() };
        walk.step(&path.steps, start)?;
        let found = walk.found.into_iter().map(Cow::into_owned).collect();
        Cow::Owned(Value::Array(found))
    };
    match path.function {
        None => Ok(found),
        Some(function) => apply(function, &found).map(Cow::Owned),
    }
}

fn definite<'a>(path: &Path, start: &'a Value) -> Result<Cow<'a, Value>, PathError> {
    let mut place = start;
    let last = path.steps.len().saturating_sub(1);
    for (at, step) in path.steps.iter().enumerate() {
        let next = match step {
            Step::Name(name) => match place {
                Value::Object(members) => members.get(name),
                _ => return Err(not_an_object(name, &canonical(&path.steps[..at]), place)),
            },
            Step::Index(index) => match place {
                Value::Array(items) => item(items, *index),
                _ => return Err(not_an_array(step, place)),
            },
            Step::Names(names) => return Ok(Cow::Owned(merged(names, place, &path.steps[..at])?)),
            _ => None,
        };
        // Jayway swallows an index out of bounds and then reports an empty result.
        place = next.ok_or_else(|| match step {
            Step::Name(_) if at < last => {
                PathError::not_found(format!("Missing property in path {}", canonical(&path.steps[..=at])))
            }
            _ => PathError::not_found(format!("No results for path: {}", canonical(&path.steps))),
        })?;
    }
    Ok(Cow::Borrowed(place))
}

fn merged(names: &[String], place: &Value, above: &[Step]) -> Result<Value, PathError> {
    let Value::Object(members) = place else {
        return Err(not_an_object(&names.join("','"), &canonical(above), place));
    };
    let kept: Map<String, Value> =
        names.iter().filter_map(|name| Some((name.clone(), members.get(name)?.clone()))).collect();
    Ok(Value::Object(kept))
}

fn item(items: &[Value], index: i64) -> Option<&Value> {
    let index = if index < 0 { index + i64::try_from(items.len()).ok()? } else { index };
    items.get(usize::try_from(index).ok()?)
}

/// One indefinite evaluation under way. What a step does not find or does not suit is passed
/// over: recorded executions yield `[]` for `$.no.such[1:]`, where the library alone would fail.
struct Walk<'w, 'a> {
    root: &'a Value,
    visits: &'w mut usize,
    found: Vec<Cow<'a, Value>>,
}

impl<'a> Walk<'_, 'a> {
    /// Applies the remaining steps to `place`.
    fn step(&mut self, steps: &[Step], place: &'a Value) -> Result<(), PathError> {
        *self.visits += 1;
        if *self.visits > MAX_VISITS {
            return Err(PathError::unsuitable(format!("the path visits more than {MAX_VISITS} nodes")));
        }
        let Some((step, rest)) = steps.split_first() else {
            self.found.push(Cow::Borrowed(place));
            return Ok(());
        };
        match (step, place) {
            (Step::Name(name), Value::Object(members)) => {
                members.get(name).map_or(Ok(()), |next| self.step(rest, next))
            }
            (Step::Names(names), Value::Object(_)) if rest.is_empty() => {
                self.found.push(Cow::Owned(merged(names, place, &[])?));
                Ok(())
            }
            (Step::Names(names), Value::Object(members)) => {
                names.iter().filter_map(|name| members.get(name)).try_for_each(|next| self.step(rest, next))
            }
            (Step::Index(index), Value::Array(items)) => {
                item(items, *index).map_or(Ok(()), |next| self.step(rest, next))
            }
            (Step::Indices(indices), Value::Array(items)) => indices
                .iter()
                .filter_map(|index| item(items, *index))
                .try_for_each(|next| self.step(rest, next)),
            (Step::Slice(from, to), Value::Array(items)) => {
                slice(items, *from, *to).iter().try_for_each(|next| self.step(rest, next))
            }
            (Step::Wildcard, Value::Array(items)) => items.iter().try_for_each(|next| self.step(rest, next)),
            (Step::Wildcard, Value::Object(members)) => {
                members.values().try_for_each(|next| self.step(rest, next))
            }
            (Step::Filter(filter), Value::Array(items)) => items.iter().try_for_each(|next| {
                if filter.accepts(next, self.root, self.visits)? { self.step(rest, next) } else { Ok(()) }
            }),
            (Step::Filter(filter), Value::Object(_)) => {
                if filter.accepts(place, self.root, self.visits)? {
                    self.step(rest, place)
                } else {
                    Ok(())
                }
            }
            (Step::Descend, _) => self.descend(rest, place),
            _ => Ok(()),
        }
    }

    /// `..`: the remaining steps at this value and at every value below it, outermost first.
    fn descend(&mut self, rest: &[Step], place: &'a Value) -> Result<(), PathError> {
        // A filter asks each item of an array once: objects met on the way are not asked again.
        let again = matches!(rest.first(), Some(Step::Filter(_))) && place.is_object();
        if !again {
            self.step(rest, place)?;
        }
        let mut below = |next: &'a Value| {
            if next.is_object() || next.is_array() { self.descend(rest, next) } else { Ok(()) }
        };
        match place {
            Value::Array(items) => items.iter().try_for_each(&mut below),
            Value::Object(members) => members.values().try_for_each(&mut below),
            _ => Ok(()),
        }
    }
}

/// The items `[from:to]`; negative positions count from the end, and both are cut to the array.
fn slice(items: &[Value], from: Option<i64>, to: Option<i64>) -> &[Value] {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let place = |position: i64| {
        let position = if position < 0 { length.saturating_add(position) } else { position };
        usize::try_from(position.clamp(0, length)).unwrap_or(0)
    };
    let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)));
    if from < to { &items[from..to] } else { &[] }
}

/// The path as Jayway prints it: `$['a'][0]`.
fn canonical(steps: &[Step]) -> String {
    let mut text = String::from("$");
    for step in steps {
        match step {
            Step::Name(name) => text.push_str(&format!("['{name}']")),
            Step::Names(names) => text.push_str(&format!("['{}']", names.join("','"))),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
            _ => text.push_str("[*]"),
        }
    }
    text
}

/// The class names that Jayway would add were not verified on AWS, so the JSON type is named.
fn not_an_object(name: &str, route: &str, place: &Value) -> PathError {
    PathError::not_found(format!(
        "Expected to find an object with property ['{name}'] in path {route} but found '{}'.",
        type_name(place)
    ))
}

fn not_an_array(step: &Step, place: &Value) -> PathError {
    let step = canonical(std::slice::from_ref(step));
    PathError::not_found(format!(
        "Filter: {} can only be applied to arrays. Current context is: {place}",
        step.trim_start_matches('$')
    ))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn apply(function: Function, value: &Value) -> Result<Value, PathError> {
    match function {
        Function::Length => Ok(match value {
            Value::Array(items) => items.len().into(),
            Value::Object(members) => members.len().into(),
            _ => Value::Null,
        }),
        Function::Keys => Ok(match value {
            Value::Object(members) => members.keys().map(String::as_str).collect(),
            _ => Value::Null,
        }),
        Function::First | Function::Last => {
            let Value::Array(items) = value else {
                return Err(aggregation());
            };
            let end = if function == Function::First { items.first() } else { items.last() };
            end.cloned().ok_or_else(aggregation)
        }
        _ => aggregate(function, value),
    }
}

fn aggregate(function: Function, value: &Value) -> Result<Value, PathError> {
    let Value::Array(items) = value else {
        return Err(aggregation());
    };
    let numbers: Vec<f64> = items.iter().filter_map(Value::as_f64).collect();
    if numbers.is_empty() {
        return Err(aggregation());
    }
    let count = numbers.len() as f64;
    let sum: f64 = numbers.iter().sum();
    let result = match function {
        Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Function::Average => sum / count,
        Function::StandardDeviation => {
            let squares: f64 = numbers.iter().map(|number| number * number).sum();
            (squares / count - (sum / count).powi(2)).max(0.0).sqrt()
        }
        _ => sum,
    };
    // Jayway computes in doubles, so the result keeps its decimal point.
    Number::from_f64(result).map(Value::Number).ok_or_else(aggregation)
}

fn aggregation() -> PathError {
    PathError::unsuitable("Aggregation function attempted to calculate value using empty array")
}
