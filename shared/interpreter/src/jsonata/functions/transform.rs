//! `$clone` and the transform operator `|pattern|update,delete|`.
//!
//! The reference copies the object and changes the matches in place. Values here are shared and
//! never change, so the matches are told apart by identity: the copy is made with every object
//! distinct, and rebuilt with the changed ones in their places.

use std::rc::Rc;

use indexmap::IndexMap;

use super::super::ast::Transform;
use super::super::error::JsonataError;
use super::super::evaluate::{Evaluator, Outcome, ScopeId};
use super::super::value::{Array, Item, Members, Object, Text};
use super::Arguments;

pub(super) fn clone<'a>(arguments: &Arguments<'_, 'a>) -> Outcome<'a> {
    arguments.evaluator.copy(&arguments.item(0))
}

/// What became of a match: its object before, and after.
type Change<'a> = (Rc<Members<'a>>, Item<'a>);

impl<'a> Evaluator<'a> {
    /// A deep copy in which no two objects are shared.
    fn copy(&self, item: &Item<'a>) -> Outcome<'a> {
        self.charge(1)?;
        match item {
            Item::Array(array) => {
                let items = array.iter().map(|item| self.copy(&item)).collect::<Result<_, _>>()?;
                Ok(Item::Array(Array::new(items, false)))
            }
            Item::Object(object) => {
                let mut members = IndexMap::with_capacity(object.len());
                for (name, item) in object.entries() {
                    members.insert(name, self.copy(&item)?);
                }
                Ok(Item::object(members))
            }
            other => Ok(other.clone()),
        }
    }

    pub(in super::super) fn transform(
        &self,
        transform: &'a Transform,
        position: usize,
        subject: Item<'a>,
        scope: ScopeId,
    ) -> Outcome<'a> {
        if !matches!(subject, Item::Object(_) | Item::Array(_)) {
            if subject.is_undefined() {
                return Ok(Item::Undefined);
            }
            return Err(JsonataError::evaluation(
                "T0410",
                position,
                "Argument 1 of function \"transform\" does not match function signature",
            ));
        }
        let copy = self.copy(&subject)?;
        let matches = self.eval(&transform.pattern, &copy, scope)?.into_items();
        let mut changes: Vec<Change<'a>> = Vec::new();
        for found in matches {
            let Item::Object(Object::Shared(before)) = &found else { continue };
            self.charge(1 + changes.len())?;
            let known = changes.iter().position(|(object, _)| Rc::ptr_eq(object, before));
            let current = known.map_or_else(|| found.clone(), |at| changes[at].1.clone());
            let after = self.changed(transform, current, scope)?;
            match known {
                Some(at) => changes[at].1 = after,
                None => changes.push((Rc::clone(before), after)),
            }
        }
        self.rebuilt(&copy, &changes)
    }

    /// One match with the update merged in and the deleted members gone.
    fn changed(&self, transform: &'a Transform, found: Item<'a>, scope: ScopeId) -> Outcome<'a> {
        let Item::Object(object) = &found else { return Ok(found) };
        let mut members: IndexMap<Text<'a>, Item<'a>> = object.entries().into_iter().collect();
        match self.eval(&transform.update, &found, scope)? {
            Item::Undefined => {}
            Item::Object(update) => members.extend(update.entries()),
            other => {
                return Err(JsonataError::evaluation(
                    "T2011",
                    transform.update.position,
                    format!(
                        "The insert/update clause of the transform expression must evaluate to an \
                         object: {}",
                        self.inserted(&other)?
                    ),
                ));
            }
        }
        if let Some(delete) = &transform.delete {
            let updated = Item::object(members.clone());
            let names = self.eval(delete, &updated, scope)?;
            for name in names.clone().into_items() {
                let Item::Text(name) = name else {
                    return Err(JsonataError::evaluation(
                        "T2012",
                        delete.position,
                        format!(
                            "The delete clause of the transform expression must evaluate to a \
                             string or array of strings: {}",
                            self.inserted(&names)?
                        ),
                    ));
                };
                members.shift_remove(&*name);
            }
        }
        Ok(Item::object(members))
    }

    fn rebuilt(&self, item: &Item<'a>, changes: &[Change<'a>]) -> Outcome<'a> {
        self.charge(1 + changes.len())?;
        match item {
            Item::Array(array) => {
                let items =
                    array.iter().map(|item| self.rebuilt(&item, changes)).collect::<Result<_, _>>()?;
                Ok(Item::Array(Array::new(items, false)))
            }
            Item::Object(Object::Shared(members)) => {
                let changed = changes.iter().find(|(before, _)| Rc::ptr_eq(before, members));
                let object = match changed {
                    Some((_, after)) => after,
                    None => item,
                };
                let Item::Object(object) = object else { return Ok(object.clone()) };
                let mut rebuilt = IndexMap::with_capacity(object.len());
                for (name, item) in object.entries() {
                    rebuilt.insert(name, self.rebuilt(&item, changes)?);
                }
                Ok(Item::object(rebuilt))
            }
            other => Ok(other.clone()),
        }
    }
}
