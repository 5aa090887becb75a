//! The state machines that a host can start.

use cauce_driver::payload::FUNCTIONS;
use cauce_interpreter::Definition;
use cauce_model::Json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A definition that cannot be run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the definition of {machine} cannot be run: {problems}")]
pub struct MachinesError {
    /// The machine.
    pub machine: String,
    /// What is wrong with it.
    pub problems: String,
}

/// Machines by name.
#[derive(Default)]
pub struct Machines(RefCell<BTreeMap<String, Arc<Definition>>>);

impl Machines {
    /// Adds a machine, its placeholders filled with the names of functions and with `values`
    /// (`${env.x}` of the environment).
    ///
    /// # Errors
    /// A definition that is not valid.
    pub fn add(&self, name: &str, definition: &Json) -> Result<(), MachinesError> {
        let mut definition = definition.clone();
        fill(&mut definition);
        let parsed = Definition::parse_value(&definition).map_err(|problems| MachinesError {
            machine: name.to_owned(),
            problems: problems
                .iter()
                .map(|problem| {
                    format!("{} at {}", problem.message, problem.location.as_deref().unwrap_or("/"))
                })
                .collect::<Vec<_>>()
                .join("; "),
        })?;
        self.0.borrow_mut().insert(name.to_owned(), Arc::new(parsed));
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Definition>> {
        self.0.borrow().get(name).cloned()
    }
}

/// A placeholder is always a whole text.
fn fill(value: &mut Json) {
    match value {
        Json::String(text) => {
            if let Some((_, name)) = FUNCTIONS.iter().find(|(placeholder, _)| placeholder == text) {
                *text = (*name).to_owned();
            }
        }
        Json::Array(items) => items.iter_mut().for_each(fill),
        Json::Object(fields) => fields.values_mut().for_each(fill),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}
