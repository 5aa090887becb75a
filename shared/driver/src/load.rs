//! Meeting needs: reading what a decision asks for into its view.

use crate::{Driver, DriverError, Ports, TRIES_MAX};
use cauce_engine::command::ExecutionEnd;
use cauce_engine::view::{Document, Liveness, Seen};
use cauce_engine::{Need, View};
use cauce_ports::{
    Cursor, Described, ExecutionStatus, Notifier, ObjectError, Objects, Services, StateMachines, Table,
    TableError,
};

/// Items read at a time from a range.
const RANGE_PAGE: u32 = 1000;

/// Objects read of one listing: a pattern that has more candidates is answered by the first of them.
const LISTING_MAX: u32 = 10_000;

/// How an execution ended; `None` while it is under way.
fn end_of(described: Described) -> Option<ExecutionEnd> {
    let cause = described.cause.unwrap_or_default();
    match described.status {
        ExecutionStatus::Running => None,
        ExecutionStatus::Succeeded => Some(ExecutionEnd::Succeeded),
        ExecutionStatus::Failed => {
            Some(ExecutionEnd::Failed { error: described.error.unwrap_or_default(), cause })
        }
        ExecutionStatus::TimedOut => Some(ExecutionEnd::TimedOut),
        ExecutionStatus::Aborted => Some(ExecutionEnd::Aborted { cause }),
    }
}

/// Repeats a port's call while it may help.
macro_rules! patiently {
    ($call:expr) => {{
        let mut left = TRIES_MAX;
        loop {
            left -= 1;
            match $call.await {
                Err(error) if error.retryable() && left > 0 => {}
                outcome => break outcome,
            }
        }
    }};
}

impl<P: Ports> Driver<P> {
    /// Reads what is needed.
    pub(crate) async fn show(&self, view: &mut View, need: Need) -> Result<(), DriverError> {
        match need {
            Need::Items(keys) => {
                let found = patiently!(self.services().table().batch_get(&keys))?;
                for key in keys {
                    view.items.insert(key, None);
                }
                for item in found {
                    view.items.insert(item.key.clone(), Some(item));
                }
            }
            Need::Range { partition, prefix } => {
                let mut items = Vec::new();
                let mut after = None;
                loop {
                    let table = self.services().table();
                    let page = patiently!(table.query(&partition, &prefix, after.clone(), RANGE_PAGE))?;
                    items.extend(page.items);
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                view.ranges.insert((partition, prefix), items);
            }
            Need::Page { partition, prefix, after, limit } => {
                let cursor = after.clone().map(Cursor);
                let table = self.services().table();
                let page = patiently!(table.query(&partition, &prefix, cursor.clone(), limit))?;
                let next = page.next.map(|cursor| cursor.0);
                view.pages.insert((partition, prefix, after), (page.items, next));
            }
            Need::Update { name, key, change, when } => {
                // Every update of the engine is one that may be repeated: its conditions see what
                // an earlier try did.
                let outcome = match patiently!(self.services().table().update(&key, &change, &when)) {
                    Ok(item) => Some(item),
                    Err(TableError::Condition { .. }) => None,
                    Err(error) => return Err(error.into()),
                };
                // Items of the view stay as they were read, even if this update changed them: what a
                // decision has seen once it sees again, or it could not get past that point.
                view.updates.insert(name, outcome);
            }
            Need::Plan { pipeline, version } => {
                let plan = self.plan(&pipeline, &version).await?;
                view.plans.insert(version, plan);
            }
            Need::Deployment { uri } => {
                let pinned = self.deployment(&uri).await?;
                view.deployments.insert(uri, pinned);
            }
            Need::Document { uri, limit } => {
                let document = match patiently!(self.services().objects().get(&uri, limit)) {
                    Ok(Some(bytes)) => Document::Bytes(bytes),
                    Ok(None) => Document::Absent,
                    Err(ObjectError::TooLarge { bytes, .. }) => Document::TooLarge(bytes),
                    Err(error) => return Err(error.into()),
                };
                view.documents.insert(uri, document);
            }
            Need::Listing { prefix } => {
                let objects = patiently!(self.services().objects().list(&prefix, LISTING_MAX))?;
                let seen = objects.into_iter().map(|object| Seen { uri: object.uri, bytes: object.bytes });
                view.listings.insert(prefix, seen.collect());
            }
            Need::Execution { machine, name } => {
                let described = patiently!(self.services().machines().describe(&machine, &name))?;
                let liveness = described.map_or(Liveness::Never, |described| match end_of(described) {
                    None => Liveness::Running,
                    Some(end) => Liveness::Closed(end),
                });
                view.executions.insert(name, liveness);
            }
            Need::Driven(runs) => {
                for run in runs {
                    let driven = self.ports().drives(&run);
                    view.driven.insert(run, driven);
                }
            }
            Need::Delivery(notice) => {
                let outcome = patiently!(self.services().notifier().deliver(&notice));
                view.deliveries.insert(notice.id.clone(), outcome.map_err(|error| error.to_string()));
            }
        }
        Ok(())
    }
}
