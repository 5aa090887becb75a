//! Arrays, objects, and functions that take functions.

use indexmap::IndexMap;

use super::super::error::JsonataError;
use super::super::evaluate::{Evaluator, Outcome};
use super::super::value::{Array, Item, Object, Text};
use super::{Arguments, failure};

pub(super) fn count<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    Ok(Item::count(arguments.array(0).map_or(0, |array| array.len())))
}

pub(super) fn boolean<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    match arguments.item(0) {
        Item::Undefined => Ok(Item::Undefined),
        item => Ok(Item::Bool(arguments.evaluator.truth(&item)?)),
    }
}

pub(super) fn not<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    match arguments.item(0) {
        Item::Undefined => Ok(Item::Undefined),
        item => Ok(Item::Bool(!arguments.evaluator.truth(&item)?)),
    }
}

pub(super) fn exists<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    Ok(Item::Bool(!arguments.item(0).is_undefined()))
}

pub(super) fn type_of<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    Ok(match arguments.item(0) {
        Item::Undefined => Item::Undefined,
        item => Item::Text(Text::Borrowed(item.type_name())),
    })
}

pub(super) fn map<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    let function = arguments.item(1);
    let mut results = Vec::with_capacity(array.len());
    for (at, item) in array.iter().enumerate() {
        let given = vec![item, Item::count(at), Item::Array(array.clone())];
        let result = arguments.call_with(&function, given)?;
        if !result.is_undefined() {
            results.push(result);
        }
    }
    Ok(Item::sequence(results))
}

pub(super) fn filter<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    let function = arguments.item(1);
    let mut kept = Vec::new();
    for (at, item) in array.iter().enumerate() {
        let given = vec![item.clone(), Item::count(at), Item::Array(array.clone())];
        let verdict = arguments.call_with(&function, given)?;
        if arguments.evaluator.truth(&verdict)? {
            kept.push(item);
        }
    }
    Ok(Item::sequence(kept))
}

pub(super) fn single<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    let function = arguments.item(1);
    let mut found = None;
    for (at, item) in array.iter().enumerate() {
        let matches = if function.is_undefined() {
            true
        } else {
            let given = vec![item.clone(), Item::count(at), Item::Array(array.clone())];
            let verdict = arguments.call_with(&function, given)?;
            arguments.evaluator.truth(&verdict)?
        };
        if matches && found.replace(item).is_some() {
            return Err(failure(
                "D3138",
                "The $single() function expected exactly 1 matching result.  Instead it matched more.",
            ));
        }
    }
    found.ok_or_else(|| {
        failure("D3139", "The $single() function expected exactly 1 matching result.  Instead it matched 0.")
    })
}

pub(super) fn reduce<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    let function = arguments.item(1);
    let arity = match &function {
        Item::Function(function) => function.arity(),
        _ => 0,
    };
    if arity < 2 {
        return Err(failure(
            "D3050",
            "The second argument of reduce function must be a function with at least two arguments",
        ));
    }
    let mut items = array.iter().enumerate();
    let mut result = arguments.item(2);
    if result.is_undefined() {
        result = items.next().map_or(Item::Undefined, |(_, first)| first);
    }
    for (at, item) in items {
        let given = vec![result, item, Item::count(at), Item::Array(array.clone())];
        result = arguments.call_with(&function, given)?;
    }
    Ok(result)
}

pub(super) fn sift<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(object) = arguments.object(0) else { return Ok(Item::Undefined) };
    let function = arguments.item(1);
    let mut kept = IndexMap::new();
    for (name, item) in object.entries() {
        let given = vec![item.clone(), Item::Text(name.clone()), Item::Object(object.clone())];
        let verdict = arguments.call_with(&function, given)?;
        if arguments.evaluator.truth(&verdict)? {
            kept.insert(name, item);
        }
    }
    Ok(if kept.is_empty() { Item::Undefined } else { Item::object(kept) })
}

pub(super) fn each<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(object) = arguments.object(0) else { return Ok(Item::Undefined) };
    let function = arguments.item(1);
    let mut results = Vec::new();
    for (name, item) in object.entries() {
        let given = vec![item, Item::Text(name), Item::Object(object.clone())];
        let result = arguments.call_with(&function, given)?;
        if !result.is_undefined() {
            results.push(result);
        }
    }
    Ok(Item::sequence(results))
}

pub(super) fn zip<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let arrays: Option<Vec<Array<'a>>> = (0..arguments.given.len()).map(|at| arguments.array(at)).collect();
    let arrays = arrays.unwrap_or_default();
    let shortest = arrays.iter().map(Array::len).min().unwrap_or(0);
    arguments.evaluator.charge(shortest.saturating_mul(arrays.len()))?;
    let rows = (0..shortest)
        .map(|at| Item::array(arrays.iter().filter_map(|array| array.get(at)).collect()))
        .collect();
    Ok(Item::array(rows))
}

pub(super) fn keys<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let mut names = IndexMap::new();
    gather_keys(arguments.evaluator, &arguments.item(0), &mut names)?;
    Ok(Item::sequence(names.into_keys().map(Item::Text).collect()))
}

fn gather_keys<'a>(
    evaluator: &Evaluator<'a>,
    item: &Item<'a>,
    names: &mut IndexMap<Text<'a>, ()>,
) -> Result<(), JsonataError> {
    evaluator.charge(1)?;
    match item {
        Item::Array(array) => array.iter().try_for_each(|item| gather_keys(evaluator, &item, names)),
        Item::Object(object) => {
            names.extend(object.entries().into_iter().map(|(name, _)| (name, ())));
            Ok(())
        }
        _ => Ok(()),
    }
}

pub(super) fn lookup<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(name) = arguments.text(1) else { return Ok(Item::Undefined) };
    arguments.evaluator.member(&arguments.item(0), &name)
}

pub(super) fn append<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    match (arguments.item(0), arguments.item(1)) {
        (Item::Undefined, other) | (other, Item::Undefined) => Ok(other),
        (first, second) => {
            let mut items = first.into_items();
            items.extend(second.into_items());
            arguments.evaluator.charge(items.len())?;
            Ok(Item::array(items))
        }
    }
}

pub(super) fn spread<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    match arguments.item(0) {
        item @ (Item::Array(_) | Item::Object(_)) => {
            let mut parts = Vec::new();
            spread_into(arguments.evaluator, item, &mut parts)?;
            Ok(Item::sequence(parts))
        }
        other => Ok(other),
    }
}

fn spread_into<'a>(
    evaluator: &Evaluator<'a>,
    item: Item<'a>,
    parts: &mut Vec<Item<'a>>,
) -> Result<(), JsonataError> {
    evaluator.charge(1)?;
    match item {
        Item::Array(array) => array.iter().try_for_each(|item| spread_into(evaluator, item, parts)),
        Item::Object(object) => {
            for entry in object.entries() {
                evaluator.charge(1)?;
                parts.push(Item::object(IndexMap::from([entry])));
            }
            Ok(())
        }
        other => {
            parts.push(other);
            Ok(())
        }
    }
}

pub(super) fn merge<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    let mut merged = IndexMap::new();
    for item in array.iter() {
        if let Item::Object(object) = item {
            arguments.evaluator.charge(1 + object.len())?;
            merged.extend(object.entries());
        }
    }
    Ok(Item::object(merged))
}

pub(super) fn reverse<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    if array.len() <= 1 {
        return Ok(Item::Array(array));
    }
    arguments.evaluator.charge(array.len())?;
    let mut items = array.into_vec();
    items.reverse();
    Ok(Item::array(items))
}

pub(super) fn sort<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let Some(array) = arguments.array(0) else { return Ok(Item::Undefined) };
    if array.len() <= 1 {
        return Ok(Item::Array(array));
    }
    let comparator = arguments.item(1);
    let numbers = array.iter().all(|item| matches!(item, Item::Number(_)));
    let texts = array.iter().all(|item| matches!(item, Item::Text(_)));
    if comparator.is_undefined() && !numbers && !texts {
        return Err(failure(
            "D3070",
            "The single argument form of the sort function can only be applied to an array of \
             strings or an array of numbers.  Use the second argument to specify a comparison \
             function",
        ));
    }
    let evaluator = arguments.evaluator;
    let sorted = evaluator.merge_sort(array.into_vec(), &mut |left, right| match (left, right) {
        _ if !comparator.is_undefined() => {
            let swap = evaluator.call(&comparator, vec![left.clone(), right.clone()])?;
            evaluator.truth(&swap)
        }
        (Item::Text(left), Item::Text(right)) => {
            evaluator.charge(1)?;
            Ok(left.encode_utf16().gt(right.encode_utf16()))
        }
        _ => {
            evaluator.charge(1)?;
            Ok(left.as_f64() > right.as_f64())
        }
    })?;
    Ok(Item::array(sorted))
}

pub(super) fn distinct<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let array = match arguments.item(0) {
        Item::Array(array) if array.len() > 1 => array,
        other => return Ok(other),
    };
    let mut kept: Vec<Item<'a>> = Vec::new();
    'items: for item in array.iter() {
        for other in &kept {
            if arguments.evaluator.equal(&item, other)? {
                continue 'items;
            }
        }
        kept.push(item);
    }
    Ok(Item::Array(Array::new(kept, array.sequence)))
}

pub(super) fn error<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    let message = arguments.text(0);
    Err(failure("D3137", message.as_deref().unwrap_or("$error() function evaluated")))
}

pub(super) fn assert<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    if arguments.evaluator.truth(&arguments.item(0))? {
        return Ok(Item::Undefined);
    }
    let message = arguments.text(1);
    Err(failure("D3141", message.as_deref().unwrap_or("$assert() statement failed")))
}

/// An object from its members.
pub(super) fn object_of<'a>(members: Vec<(&'static str, Item<'a>)>) -> Item<'a> {
    Item::object(members.into_iter().map(|(name, item)| (Text::Borrowed(name), item)).collect())
}

/// A member of an object value; undefined for anything else.
pub(super) fn member_of<'a>(item: &Item<'a>, name: &str) -> Item<'a> {
    match item {
        Item::Object(object) => Object::get(object, name),
        _ => Item::Undefined,
    }
}
