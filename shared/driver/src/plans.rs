//! Plans by version and deployments by place: read once, kept, since neither ever changes.

use crate::{Driver, DriverError, Ports};
use cauce_engine::{Prepared, Settings};
use cauce_model::Deployment;
use cauce_model::deployment::{DEPLOYMENT_BYTES_MAX, DEPLOYMENT_SCHEMA, PLAN_BYTES_MAX};
use cauce_model::plan::{PLAN_SCHEMA, Plan};
use cauce_ports::{Objects, Services};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use cauce_model::deployment::plan_uri;

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
        let bytes = self.services().objects().get(&uri, PLAN_BYTES_MAX).await?;
        let bytes = bytes.ok_or_else(|| unusable(format!("there is no {uri}")))?;
        let plan: Plan = serde_json::from_slice(&bytes)
            .map_err(|error| unusable(format!("{uri} is damaged ({error})")))?;
        if plan.schema > PLAN_SCHEMA {
            return Err(unusable(format!("its schema {} is newer than {PLAN_SCHEMA}", plan.schema)));
        }
        let prepared = Arc::new(Prepared::new(plan, version));
        self.plans().keep(Arc::clone(&prepared));
        Ok(prepared)
    }

    /// The settings that a deployment pins, read when they are not at hand.
    ///
    /// # Errors
    /// There is no such document, or it was written by a newer version of this program.
    pub async fn deployment(&self, uri: &str) -> Result<Arc<Settings>, DriverError> {
        if let Some(pinned) = self.deployments.0.borrow().get(uri) {
            return Ok(Arc::clone(pinned));
        }
        let unusable = |reason: String| DriverError::Deployment { uri: uri.to_owned(), reason };
        let bytes = self.services().objects().get(uri, DEPLOYMENT_BYTES_MAX).await?;
        let bytes = bytes.ok_or_else(|| unusable("there is no such document".to_owned()))?;
        let deployment: Deployment =
            serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        if deployment.schema > DEPLOYMENT_SCHEMA {
            let schema = deployment.schema;
            return Err(unusable(format!("its schema {schema} is newer than {DEPLOYMENT_SCHEMA}")));
        }
        let pinned = Arc::new(self.settings().pinned(&deployment));
        self.deployments.0.borrow_mut().insert(uri.to_owned(), Arc::clone(&pinned));
        Ok(pinned)
    }
}

/// The deployments in memory: the settings that each pins.
#[derive(Default)]
pub(crate) struct Deployments(RefCell<BTreeMap<String, Arc<Settings>>>);
