//! Which item of a matrix is meant: by its key, from the list of the file or from the store.

use cauce_driver::look;
use cauce_engine::schedule::Dating;
use cauce_model::matrix::{ItemRecord, RunItem};
use cauce_model::plan::Plan;
use cauce_ports::Services;
use cauce_spec::{Items, MatrixItem};

use crate::engine::actor::Actor;
use crate::error::Failure;
use crate::suggest::nearest;

/// An item that a run is for, and the case whose schedule dates it.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) item: RunItem,
    pub(crate) case: Option<String>,
}

/// The dating of an item's runs; without an item, of the pipeline's.
///
/// # Errors
/// A schedule that cannot be.
pub(crate) fn dating(plan: &Plan, chosen: Option<&Chosen>) -> Result<Dating, Failure> {
    let dating = match chosen {
        None => Dating::of(plan),
        Some(chosen) => Dating::of_case(plan, chosen.case.as_deref()),
    };
    dating.map_err(|error| Failure::bad_input(cauce_ports::with_sources(&error)))
}

/// Whether an item has to be named, and none may be.
///
/// # Errors
/// It is named and there is no matrix, or the other way round.
fn wanted<'a>(plan: &Plan, key: Option<&'a str>) -> Result<Option<&'a str>, Failure> {
    match (&plan.matrix, key) {
        (None, None) => Ok(None),
        (Some(_), Some(key)) => Ok(Some(key)),
        (None, Some(_)) => {
            Err(Failure::bad_input(format!("{} has no matrix, so there are no items", plan.pipeline))
                .help("leave --item out"))
        }
        (Some(_), None) => Err(Failure::bad_input(format!(
            "the runs of {} are each for an item of its matrix, and none is named",
            plan.pipeline
        ))
        .help("name one: --item KEY; 'cauce sync --dry-run' lists what is new among them")),
    }
}

fn unknown<'a>(plan: &Plan, key: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    let failure = Failure::bad_input(format!("the list of {} has no item '{key}'", plan.pipeline));
    match nearest(key, known) {
        Some(near) => failure.help(format!("did you mean '{near}'?")),
        None => failure.help("add it to the file of the matrix; where the pipeline is deployed: cauce sync"),
    }
}

/// An item of the list that a file names.
///
/// # Errors
/// There is none of that key, or no list.
pub(crate) fn of_file(
    plan: &Plan,
    items: Option<&Items>,
    key: Option<&str>,
) -> Result<Option<Chosen>, Failure> {
    let Some(key) = wanted(plan, key)? else { return Ok(None) };
    let items = items.map_or(&[][..], |items| &items.items);
    let found = items.iter().find(|item| item.key == key);
    let found = found.ok_or_else(|| unknown(plan, key, items.iter().map(|item| item.key.as_str())))?;
    let MatrixItem { key, case, fields } = found.clone();
    Ok(chosen(plan, ItemRecord { key, case, fields, since: cauce_model::Instant::from_micros(0) }))
}

/// An item as the store has it.
///
/// # Errors
/// There is none of that key, or the store cannot be read.
pub(crate) async fn stored(plan: &Plan, actor: &Actor, key: Option<&str>) -> Result<Option<Chosen>, Failure> {
    let Some(key) = wanted(plan, key)? else { return Ok(None) };
    let found = match actor {
        Actor::Here(local) => look::matrix_item(local.host.driver().services().table(), plan, key).await?,
        Actor::There(there) => look::matrix_item(there.driver().services().table(), plan, key).await?,
    };
    let found = found.ok_or_else(|| unknown(plan, key, []))?;
    Ok(chosen(plan, found))
}

fn chosen(plan: &Plan, item: ItemRecord) -> Option<Chosen> {
    let matrix = plan.matrix.as_ref()?;
    Some(Chosen { case: item.case.clone(), item: item.of_run(matrix) })
}
