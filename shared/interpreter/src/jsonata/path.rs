//! Paths: steps, filters, grouping, sorting, and the tuples that carry `@`, `#` and `%`.

use std::cmp::Ordering;
use std::rc::Rc;

use indexmap::IndexMap;

use super::ast::{Kind, Node, Stage, Term};
use super::error::JsonataError;
use super::evaluate::{Evaluator, Key, Outcome, ScopeId, Tuple};
use super::value::{Array, Item, Text};

impl<'a> Evaluator<'a> {
    /// Names only, perhaps behind a variable, while every value on the way is an object.
    /// `None` when the general way is needed.
    pub(super) fn plain_path(
        &self,
        steps: &'a [Node],
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Option<Item<'a>> {
        let (mut place, names) = match &steps.first()?.kind {
            Kind::Variable(name, builtin) => (self.variable(name, *builtin, context, scope), &steps[1..]),
            _ => (context.clone(), steps),
        };
        for step in names {
            let Kind::Name(name) = &step.kind else { return None };
            place = match &place {
                Item::Object(object) => object.get(name),
                Item::Array(_) | Item::Tuples(_) => return None,
                _ => Item::Undefined,
            };
        }
        Some(place)
    }

    /// A path in general.
    pub(super) fn path(
        &self,
        node: &'a Node,
        steps: &'a [Node],
        keep_singleton: bool,
        context: &Item<'a>,
        scope: ScopeId,
    ) -> Outcome<'a> {
        let absolute = matches!(steps.first().map(|step| &step.kind), Some(Kind::Variable(..)));
        let mut input = match context {
            Item::Array(array) if !absolute => array.clone().into_vec(),
            Item::Undefined => vec![Item::Undefined],
            other => vec![other.clone()],
        };
        let mut result = Item::Undefined;
        let mut tuples: Option<Vec<Tuple<'a>>> = None;
        for (at, step) in steps.iter().enumerate() {
            let carrying = tuples.is_some() || step.tuple;
            if at == 0 && step.constructs {
                // A constructor at the front is evaluated once, not once per item of the context.
                result = self.eval(step, &Item::sequence(input.clone()), scope)?;
            } else if carrying {
                tuples = Some(self.tuple_step(step, &input, tuples.take(), scope)?);
                continue;
            } else {
                result = self.step(step, input, scope, at + 1 == steps.len())?;
            }
            input = match &result {
                Item::Undefined => break,
                Item::Array(array) if array.len() == 0 => break,
                Item::Array(array) => array.clone().into_vec(),
                other => vec![other.clone()],
            };
        }
        let group = node.trimmings.as_deref().and_then(|trimmings| trimmings.group.as_ref());
        if let Some(tuples) = tuples {
            if let Some(group) = group {
                return self.group(group, node.position, Item::Tuples(Rc::new(tuples)), scope);
            }
            if node.tuple {
                return Ok(Item::Tuples(Rc::new(tuples)));
            }
            result = Item::sequence(tuples.into_iter().map(|tuple| tuple.value).collect());
        }
        if keep_singleton && let Item::Array(array) = &mut result {
            if array.constructed && !array.sequence {
                *array = Array::new(vec![Item::Array(array.clone())], true);
            }
            array.keep_singleton = true;
        }
        match group {
            Some(group) => self.group(group, node.position, result, scope),
            None => Ok(result),
        }
    }

    fn step(&self, step: &'a Node, input: Vec<Item<'a>>, scope: ScopeId, last: bool) -> Outcome<'a> {
        let stages = step.trimmings.as_deref().map_or(&[][..], |trimmings| &trimmings.stages);
        if let Kind::Sort(terms) = &step.kind {
            let mut result = self.sort_items(terms, step.position, input, scope)?;
            for stage in stages {
                if let Stage::Filter(filter) = stage {
                    result = self.filter(filter, result, scope)?;
                }
            }
            return Ok(result);
        }
        let mut results = Vec::new();
        for item in input {
            let mut result = self.eval(step, &item, scope)?;
            for stage in stages {
                if let Stage::Filter(filter) = stage {
                    result = self.filter(filter, result, scope)?;
                }
            }
            if !result.is_undefined() {
                results.push(result);
            }
        }
        if last
            && let [Item::Array(array)] = results.as_slice()
            && !array.sequence
        {
            return Ok(Item::Array(array.clone()));
        }
        let mut flat = Vec::with_capacity(results.len());
        for result in results {
            match result {
                Item::Array(array) if !array.constructed => {
                    self.charge(array.len())?;
                    flat.extend(array.into_vec());
                }
                other => flat.push(other),
            }
        }
        Ok(Item::sequence(flat))
    }

    fn tuple_step(
        &self,
        step: &'a Node,
        input: &[Item<'a>],
        tuples: Option<Vec<Tuple<'a>>>,
        scope: ScopeId,
    ) -> Result<Vec<Tuple<'a>>, JsonataError> {
        let trimmings = step.trimmings.as_deref();
        let stages = trimmings.map_or(&[][..], |trimmings| &trimmings.stages);
        let index = trimmings.and_then(|trimmings| trimmings.index.as_deref());
        let plain = |value: Item<'a>| Tuple { value, bindings: Vec::new() };
        if let Kind::Sort(terms) = &step.kind {
            let result = match tuples {
                Some(tuples) => self.sort_tuples(terms, step.position, tuples, scope)?,
                None => {
                    let sorted = self.sort_items(terms, step.position, input.to_vec(), scope)?;
                    let mut result: Vec<Tuple<'a>> = sorted.into_items().into_iter().map(plain).collect();
                    if let Some(index) = index {
                        number(&mut result, index);
                    }
                    result
                }
            };
            return self.tuple_stages(stages, result, scope);
        }
        let focus = trimmings.and_then(|trimmings| trimmings.focus.as_deref());
        let ancestor = trimmings.and_then(|trimmings| trimmings.ancestor);
        let tuples = tuples.unwrap_or_else(|| input.iter().cloned().map(plain).collect());
        let mut result = Vec::new();
        for tuple in tuples {
            let found =
                self.scoped(scope, tuple.bindings.clone(), |scope| self.eval(step, &tuple.value, scope))?;
            if let Item::Tuples(inner) = &found {
                for inner in inner.iter() {
                    self.charge(1 + tuple.bindings.len())?;
                    let mut next = tuple.clone();
                    next.value = inner.value.clone();
                    for (key, value) in &inner.bindings {
                        next.set(*key, value.clone());
                    }
                    result.push(next);
                }
                continue;
            }
            for (at, item) in found.into_items().into_iter().enumerate() {
                self.charge(1 + tuple.bindings.len())?;
                let mut next = tuple.clone();
                match focus {
                    Some(focus) => next.set(Key::Name(focus), item),
                    None => next.value = item,
                }
                if let Some(index) = index {
                    next.set(Key::Name(index), Item::count(at));
                }
                if let Some(slot) = ancestor {
                    next.set(self.label(slot), tuple.value.clone());
                }
                result.push(next);
            }
        }
        self.tuple_stages(stages, result, scope)
    }

    fn tuple_stages(
        &self,
        stages: &'a [Stage],
        mut tuples: Vec<Tuple<'a>>,
        scope: ScopeId,
    ) -> Result<Vec<Tuple<'a>>, JsonataError> {
        for stage in stages {
            match stage {
                Stage::Filter(filter) => tuples = self.filter_tuples(filter, tuples, scope)?,
                Stage::Index(name) => number(&mut tuples, name),
            }
        }
        Ok(tuples)
    }

    /// `input[filter]`: a number selects by position, anything else by its truth.
    pub(super) fn filter(&self, filter: &'a Node, input: Item<'a>, scope: ScopeId) -> Outcome<'a> {
        if let Item::Tuples(tuples) = input {
            let tuples = Rc::try_unwrap(tuples).unwrap_or_else(|tuples| (*tuples).clone());
            let kept = self.filter_tuples(filter, tuples, scope)?;
            return Ok(Item::Tuples(Rc::new(kept)));
        }
        let items = match input {
            Item::Undefined => return Ok(Item::Undefined),
            Item::Array(array) => array,
            other => Array::new(vec![other], true),
        };
        if let Kind::Number(number) = &filter.kind {
            let place = position(number.as_f64().unwrap_or(0.0), items.len());
            return Ok(place.and_then(|at| items.get(at)).unwrap_or(Item::Undefined));
        }
        let mut kept = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let verdict = self.eval(filter, &item, scope)?;
            for _ in 0..self.times_selected(&verdict, at, items.len())? {
                kept.push(item.clone());
            }
        }
        Ok(Item::sequence(kept))
    }

    fn filter_tuples(
        &self,
        filter: &'a Node,
        tuples: Vec<Tuple<'a>>,
        scope: ScopeId,
    ) -> Result<Vec<Tuple<'a>>, JsonataError> {
        let length = tuples.len();
        if let Kind::Number(number) = &filter.kind {
            let place = position(number.as_f64().unwrap_or(0.0), length);
            return Ok(place.and_then(|at| tuples.into_iter().nth(at)).into_iter().collect());
        }
        let mut kept = Vec::new();
        for (at, tuple) in tuples.into_iter().enumerate() {
            let verdict =
                self.scoped(scope, tuple.bindings.clone(), |scope| self.eval(filter, &tuple.value, scope))?;
            for _ in 0..self.times_selected(&verdict, at, length)? {
                kept.push(tuple.clone());
            }
        }
        Ok(kept)
    }

    /// How often a filter's verdict selects the item at `at` of `length`.
    fn times_selected(&self, verdict: &Item<'a>, at: usize, length: usize) -> Result<usize, JsonataError> {
        match verdict {
            Item::Number(number) => {
                Ok(usize::from(position(number.as_f64().unwrap_or(0.0), length) == Some(at)))
            }
            Item::Array(array)
                if array.len() > 0 && array.iter().all(|item| matches!(item, Item::Number(_))) =>
            {
                self.charge(array.len())?;
                Ok(array
                    .iter()
                    .filter(|item| position(item.as_f64().unwrap_or(0.0), length) == Some(at))
                    .count())
            }
            // An empty array of positions selects nothing.
            other => Ok(usize::from(self.truth(other)?)),
        }
    }

    /// `{key: value}` over the items of the input, one member per distinct key.
    pub(super) fn group(
        &self,
        pairs: &'a [(Node, Node)],
        at: usize,
        input: Item<'a>,
        scope: ScopeId,
    ) -> Outcome<'a> {
        let (reduce, tuples) = match input {
            Item::Tuples(tuples) => (true, Rc::try_unwrap(tuples).unwrap_or_else(|tuples| (*tuples).clone())),
            Item::Undefined => (false, vec![bare(Item::Undefined)]),
            Item::Array(array) if array.len() == 0 => (false, vec![bare(Item::Undefined)]),
            other => (false, other.into_items().into_iter().map(bare).collect()),
        };
        let mut groups: IndexMap<Text<'a>, (usize, Vec<Tuple<'a>>)> = IndexMap::new();
        for tuple in tuples {
            for (pair, (key, _)) in pairs.iter().enumerate() {
                let key =
                    self.scoped_in(reduce, &tuple, scope, |scope| self.eval(key, &tuple.value, scope))?;
                let key = match key {
                    Item::Undefined => continue,
                    Item::Text(key) => key,
                    other => {
                        return Err(JsonataError::evaluation(
                            "T1003",
                            at,
                            format!(
                                "Key in object structure must evaluate to a string; got: {}",
                                self.inserted(&other)?
                            ),
                        ));
                    }
                };
                self.charge(1)?;
                let (owner, members) = groups.entry(key.clone()).or_insert_with(|| (pair, Vec::new()));
                if *owner != pair {
                    return Err(JsonataError::evaluation(
                        "D1009",
                        at,
                        format!(
                            "Multiple key definitions evaluate to same key: {}",
                            self.inserted(&Item::Text(key))?
                        ),
                    ));
                }
                members.push(tuple.clone());
            }
        }
        let mut result = IndexMap::with_capacity(groups.len());
        for (key, (pair, members)) in groups {
            let whole = merged(members);
            let value = self
                .scoped_in(reduce, &whole, scope, |scope| self.eval(&pairs[pair].1, &whole.value, scope))?;
            if !value.is_undefined() {
                result.insert(key, value);
            }
        }
        Ok(Item::object(result))
    }

    /// Runs `inner` in the tuple's own scope, if the tuples carry anything.
    fn scoped_in(
        &self,
        carries: bool,
        tuple: &Tuple<'a>,
        scope: ScopeId,
        inner: impl FnOnce(ScopeId) -> Outcome<'a>,
    ) -> Outcome<'a> {
        if carries { self.scoped(scope, tuple.bindings.clone(), inner) } else { inner(scope) }
    }

    fn sort_items(&self, terms: &'a [Term], at: usize, input: Vec<Item<'a>>, scope: ScopeId) -> Outcome<'a> {
        let sorted = self.sort_tuples(terms, at, input.into_iter().map(bare).collect(), scope)?;
        Ok(Item::sequence(sorted.into_iter().map(|tuple| tuple.value).collect()))
    }

    fn sort_tuples(
        &self,
        terms: &'a [Term],
        at: usize,
        tuples: Vec<Tuple<'a>>,
        scope: ScopeId,
    ) -> Result<Vec<Tuple<'a>>, JsonataError> {
        if tuples.len() <= 1 {
            return Ok(tuples);
        }
        let mut keyed = Vec::with_capacity(tuples.len());
        for tuple in tuples {
            let mut keys = Vec::with_capacity(terms.len());
            for term in terms {
                keys.push(self.scoped(scope, tuple.bindings.clone(), |scope| {
                    self.eval(&term.expression, &tuple.value, scope)
                })?);
            }
            keyed.push((keys, tuple));
        }
        self.merge_sort(keyed, &mut |(left, _), (right, _)| {
            for (term, (left, right)) in terms.iter().zip(left.iter().zip(right)) {
                let order = self.sort_order(left, right, at)?;
                let undefined = left.is_undefined() || right.is_undefined();
                match order {
                    Ordering::Equal => {}
                    // Undefined comes last in either direction.
                    order if term.descending && !undefined => return Ok(order.is_lt()),
                    order => return Ok(order.is_gt()),
                }
            }
            Ok(false)
        })
        .map(|sorted| sorted.into_iter().map(|(_, tuple)| tuple).collect())
    }

    fn sort_order(&self, left: &Item<'a>, right: &Item<'a>, at: usize) -> Result<Ordering, JsonataError> {
        match (left, right) {
            (Item::Undefined, Item::Undefined) => Ok(Ordering::Equal),
            (Item::Undefined, _) => Ok(Ordering::Greater),
            (_, Item::Undefined) => Ok(Ordering::Less),
            (Item::Text(left), Item::Text(right)) => Ok(left.encode_utf16().cmp(right.encode_utf16())),
            (Item::Number(left), Item::Number(right)) => {
                Ok(left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal))
            }
            (Item::Text(_) | Item::Number(_), Item::Text(_) | Item::Number(_)) => {
                Err(JsonataError::evaluation(
                    "T2007",
                    at,
                    format!(
                        "Type mismatch when comparing values {} and {} in order-by clause",
                        self.inserted(left)?,
                        self.inserted(right)?
                    ),
                ))
            }
            _ => Err(JsonataError::evaluation(
                "T2008",
                at,
                "The expressions within an order-by clause must evaluate to numeric or string values",
            )),
        }
    }

    /// A stable merge sort; `swap` says whether the first argument comes behind the second.
    pub(super) fn merge_sort<T>(
        &self,
        mut items: Vec<T>,
        swap: &mut dyn FnMut(&T, &T) -> Result<bool, JsonataError>,
    ) -> Result<Vec<T>, JsonataError> {
        if items.len() <= 1 {
            return Ok(items);
        }
        self.charge(items.len())?;
        let right = items.split_off(items.len() / 2);
        let mut left = self.merge_sort(items, swap)?.into_iter().peekable();
        let mut right = self.merge_sort(right, swap)?.into_iter().peekable();
        let mut merged = Vec::with_capacity(left.len() + right.len());
        while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
            let next = if swap(first, second)? { right.next() } else { left.next() };
            merged.extend(next);
        }
        merged.extend(left);
        merged.extend(right);
        Ok(merged)
    }

    // ---- names

    /// `name` in an object, or in every object of an array.
    pub(super) fn member(&self, context: &Item<'a>, name: &str) -> Outcome<'a> {
        match context {
            Item::Object(object) => Ok(object.get(name)),
            Item::Array(array) => {
                let mut found = Vec::new();
                for item in array.iter() {
                    self.charge(1)?;
                    match self.member(&item, name)? {
                        Item::Undefined => {}
                        Item::Array(inner) => {
                            self.charge(inner.len())?;
                            found.extend(inner.into_vec());
                        }
                        other => found.push(other),
                    }
                }
                Ok(Item::sequence(found))
            }
            _ => Ok(Item::Undefined),
        }
    }

    /// `*`: the values of an object's members, or an array's items, flattened.
    pub(super) fn wildcard(&self, context: &Item<'a>) -> Outcome<'a> {
        let values = match context {
            Item::Object(object) => object.entries().into_iter().map(|(_, value)| value).collect(),
            Item::Array(array) => array.clone().into_vec(),
            _ => Vec::new(),
        };
        let mut found = Vec::new();
        for value in &values {
            self.flatten(value, &mut found)?;
        }
        Ok(Item::sequence(found))
    }

    fn flatten(&self, item: &Item<'a>, found: &mut Vec<Item<'a>>) -> Result<(), JsonataError> {
        self.charge(1)?;
        match item {
            Item::Array(array) => array.iter().try_for_each(|item| self.flatten(&item, found)),
            other => {
                found.push(other.clone());
                Ok(())
            }
        }
    }

    /// `**`: the value and everything below it.
    pub(super) fn descendants(&self, context: &Item<'a>) -> Outcome<'a> {
        if context.is_undefined() {
            return Ok(Item::Undefined);
        }
        let mut found = Vec::new();
        self.descend(context, &mut found)?;
        Ok(Item::sequence(found))
    }

    fn descend(&self, item: &Item<'a>, found: &mut Vec<Item<'a>>) -> Result<(), JsonataError> {
        self.charge(1)?;
        match item {
            Item::Array(array) => array.iter().try_for_each(|item| self.descend(&item, found)),
            Item::Object(object) => {
                found.push(item.clone());
                object.entries().iter().try_for_each(|(_, value)| self.descend(value, found))
            }
            other => {
                found.push(other.clone());
                Ok(())
            }
        }
    }
}

impl<'a> Tuple<'a> {
    fn set(&mut self, key: Key<'a>, value: Item<'a>) {
        match self.bindings.iter_mut().find(|(bound, _)| *bound == key) {
            Some((_, bound)) => *bound = value,
            None => self.bindings.push((key, value)),
        }
    }
}

fn bare(value: Item<'_>) -> Tuple<'_> {
    Tuple { value, bindings: Vec::new() }
}

/// The tuples of a group as one: values with the same name are gathered into arrays.
fn merged(tuples: Vec<Tuple<'_>>) -> Tuple<'_> {
    let mut rest = tuples.into_iter();
    let Some(first) = rest.next() else { return bare(Item::Undefined) };
    let mut values = Vec::new();
    let mut bindings: Vec<(Key<'_>, Vec<Item<'_>>)> =
        first.bindings.into_iter().map(|(key, value)| (key, vec![value])).collect();
    values.push(first.value);
    for tuple in rest {
        values.push(tuple.value);
        for (key, value) in tuple.bindings {
            match bindings.iter_mut().find(|(bound, _)| *bound == key) {
                Some((_, gathered)) => gathered.push(value),
                None => bindings.push((key, vec![value])),
            }
        }
    }
    Tuple {
        value: gathered(values),
        bindings: bindings.into_iter().map(|(key, values)| (key, gathered(values))).collect(),
    }
}

/// One value alone, several appended to one another.
fn gathered(mut values: Vec<Item<'_>>) -> Item<'_> {
    if values.len() == 1 {
        return values.remove(0);
    }
    Item::sequence(values.into_iter().flat_map(Item::into_items).collect())
}

/// Binds each tuple's position to `name`.
fn number<'a>(tuples: &mut [Tuple<'a>], name: &'a str) {
    for (at, tuple) in tuples.iter_mut().enumerate() {
        tuple.set(Key::Name(name), Item::count(at));
    }
}

/// The position that a number selects among `length` items; negative ones count from the end.
fn position(number: f64, length: usize) -> Option<usize> {
    let number = number.floor();
    let number = if number < 0.0 { number + length as f64 } else { number };
    (number >= 0.0 && number < length as f64).then_some(number as usize)
}
