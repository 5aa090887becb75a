//! Plans by version: read once, kept, since a version never changes.

use crate::{Driver, DriverError, Ports};
use cauce_engine::Prepared;
use cauce_model::plan::{PLAN_SCHEMA, Plan};
use cauce_ports::Objects;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest plan that is read, in bytes: 10,000 tasks of a few kilobytes.
const PLAN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the plan of a version is stored.
pub fn plan_uri(documents: &str, pipeline: &str, version: &str) -> String {
    format!("{documents}/plans/{pipeline}/{version}.json")
}

/// The plans in memory.
#[derive(Default)]
pub struct Plans(RefCell<BTreeMap<String, Arc<Prepared>>>);

impl Plans {
    /// Keeps a plan that is at hand.
    pub fn keep(&self, prepared: Arc<Prepared>) {
        self.0.borrow_mut().insert(prepared.version.clone(), prepared);
    }

    /// A kept plan.
    pub fn find(&self, version: &str) -> Option<Arc<Prepared>> {
        self.0.borrow().get(version).cloned()
    }
}

impl<P: Ports> Driver<P> {
    /// The plan of a version, read when it is not at hand.
    ///
    /// # Errors
    /// There is none, or it was written by a newer version of this program.
    pub async fn plan(&self, pipeline: &str, version: &str) -> Result<Arc<Prepared>, DriverError> {
        if let Some(plan) = self.plans().find(version) {
            return Ok(plan);
        }
        let unusable = |reason: String| DriverError::Plan {
            pipeline: pipeline.to_owned(),
            version: version.to_owned(),
            reason,
        };
        let uri = plan_uri(&self.settings().documents, pipeline, version);
        let bytes = self.ports().objects().get(&uri, PLAN_BYTES_MAX).await?;
        let bytes = bytes.ok_or_else(|| unusable(format!("there is no {uri}")))?;
        let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        if plan.schema > PLAN_SCHEMA {
            return Err(unusable(format!("its schema {} is newer than {PLAN_SCHEMA}", plan.schema)));
        }
        let prepared = Arc::new(Prepared::new(plan, version));
        self.plans().keep(Arc::clone(&prepared));
        Ok(prepared)
    }
}
