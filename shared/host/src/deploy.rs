//! Making a compiled pipeline known to a host: its machines, its plan, its record.

use crate::{Host, HostError, World};
use cauce_driver::{DriverError, plan_uri};
use cauce_engine::{Command, Prepared, slots};
use cauce_model::deployment::{PLAN_BYTES_MAX, VersionRecord, version_item};
use cauce_model::item::{Expect, Item, Write};
use cauce_model::plan::Plan;
use cauce_model::record::{PipelineRecord, Record, pipeline_item};
use cauce_model::{Json, ids::sha256_hex};
use cauce_ports::{Objects, Table, TableError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A compiled pipeline version. Stored whole, so that a run can go on with its own version after the
/// pipeline's file has changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// The plan.
    pub plan: Plan,
    /// Its version.
    pub version: String,
    /// Its machines, the pipeline's own first.
    pub machines: Vec<DeployedMachine>,
}

/// One machine of a deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeployedMachine {
    /// Its name.
    pub name: String,
    /// What `$machines` calls it, for a part.
    pub part: Option<String>,
    /// Its definition, with placeholders.
    pub definition: Json,
}

/// Largest deployment that is read, in bytes.
const DEPLOYMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

fn deployment_uri(documents: &str, pipeline: &str, version: &str) -> String {
    format!("{documents}/deployments/{pipeline}/{version}.json")
}

impl Deployment {
    /// The machine's name in the host: with its version, as an ARN has it on AWS, so that runs of an
    /// earlier version keep their own.
    pub(crate) fn machine(&self, name: &str) -> String {
        format!("{name}:{}", &self.version[..12.min(self.version.len())])
    }
}

impl<W: World + 'static> Host<W> {
    /// Deploys a pipeline version: new runs take it. Where a service has deployed one, that stays what its
    /// triggers start, and this one is known beside it.
    ///
    /// # Errors
    /// A definition that cannot be run; a store or a document store that does not answer.
    pub async fn deploy(&self, deployment: &Deployment) -> Result<(), HostError> {
        let fatal = |error: DriverError| HostError::Fatal(cauce_ports::with_sources(&error));
        let record = self.load(deployment).await?;
        let subscribe = Command::Subscribe { pipeline: record.pipeline.clone() };
        let kept = self.write_record(record).await.map_err(fatal)?;
        // What is deployed listens, whichever version that is.
        self.execute(&subscribe).await.map_err(fatal)?;
        let Some(kept) = kept else { return Ok(()) };
        if kept.version != deployment.version {
            self.write_version(deployment).await.map_err(fatal)?;
            // Tasks of this one's runs may start that one.
            self.load(&self.deployed(&kept.pipeline, &kept.version).await?).await?;
        }
        Ok(())
    }

    /// Gives back what the dead hold in the pools that runs of a plan take slots of. An engine that is killed
    /// after a run's end was written and before its slot was given back leaves nobody who would ever do it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn give_back(&self, plan: &Plan) -> Result<(), DriverError> {
        let pools = slots::of_plan(plan).into_iter().chain([slots::active_runs_pool(&plan.pipeline)]);
        for pool in pools {
            self.execute(&Command::Reclaim { pool, all: false }).await?;
        }
        Ok(())
    }

    /// Writes what runs of a version find that is not the one that new runs take.
    async fn write_version(&self, deployment: &Deployment) -> Result<(), DriverError> {
        let settings = self.driver().settings();
        let pinned = deployment.pinned(settings, &settings.env);
        let record = VersionRecord {
            version: pinned.version.clone(),
            machine: pinned.machine.clone(),
            parts: pinned.parts(),
            deployment: pinned.uri(&settings.documents),
        };
        self.world().objects().put(&record.deployment, &pinned.to_bytes()).await?;
        let item = Item::new(version_item(&pinned.pipeline, &pinned.version), record.to_body());
        let write = Write::Put { item, expect: Expect::Any };
        let token = sha256_hex(serde_json::to_vec(&write).unwrap_or_default());
        Ok(self.world().table().write(&[write], &token[..36]).await?)
    }

    /// Makes a version's machines and plan known without making it the one that new runs take.
    ///
    /// # Errors
    /// As [`Host::deploy`].
    pub async fn load(&self, deployment: &Deployment) -> Result<PipelineRecord, HostError> {
        let fatal = |error: &dyn std::error::Error| HostError::Fatal(cauce_ports::with_sources(error));
        let pipeline = deployment.plan.pipeline.clone();
        let machine = deployment.machine(&pipeline);
        let mut record = PipelineRecord::new(pipeline, deployment.version.clone(), machine);
        for machine in &deployment.machines {
            let name = deployment.machine(&machine.name);
            self.machines().add(&name, &machine.definition).map_err(|error| fatal(&error))?;
            if let Some(part) = &machine.part {
                record.parts.insert(part.clone(), name);
            }
        }
        let prepared = Arc::new(Prepared::new(deployment.plan.clone(), deployment.version.clone()));
        self.driver().plans().keep(prepared);
        self.world().loaded(&deployment.plan);
        let documents = &self.driver().settings().documents;
        let objects = self.world().objects();
        // The plan apart: functions read it without the definitions. A version has one plan: where another
        // one lies, the disk has not kept it.
        let plan = serde_json::to_vec(&deployment.plan).map_err(|error| fatal(&error))?;
        let uri = plan_uri(documents, &record.pipeline, &record.version);
        match objects.get(&uri, PLAN_BYTES_MAX).await {
            Ok(Some(kept)) if kept == plan => {}
            // What cannot be read now is written again, which is safe to repeat.
            Ok(_) | Err(_) => objects.put(&uri, &plan).await.map_err(|error| fatal(&error))?,
        }
        // The same of the whole.
        let bytes = serde_json::to_vec(deployment).map_err(|error| fatal(&error))?;
        let whole = deployment_uri(documents, &record.pipeline, &record.version);
        match objects.get(&whole, DEPLOYMENT_BYTES_MAX).await {
            Ok(Some(kept)) if kept == bytes => {}
            Ok(_) | Err(_) => objects.put(&whole, &bytes).await.map_err(|error| fatal(&error))?,
        }
        Ok(record)
    }

    /// Reads a version that was deployed here before.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn deployed(&self, pipeline: &str, version: &str) -> Result<Deployment, HostError> {
        let uri = deployment_uri(&self.driver().settings().documents, pipeline, version);
        let fatal = |reason: String| HostError::Fatal(format!("version {version} of {pipeline}: {reason}"));
        let bytes = self.world().objects().get(&uri, DEPLOYMENT_BYTES_MAX).await;
        let bytes = bytes.map_err(|error| fatal(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| fatal(format!("there is no {uri}")))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            fatal(format!(
                "{uri} is damaged ({error}); restore it from a copy, or start a run of the pipeline's file as it was \
                 for this version, which writes it anew"
            ))
        })
    }

    /// Writes the pipeline's record unless it says the same already; whether it is paused is kept. Returns
    /// what a service has deployed, which is left as it is.
    async fn write_record(&self, mut record: PipelineRecord) -> Result<Option<PipelineRecord>, DriverError> {
        let key = pipeline_item(&record.pipeline);
        loop {
            let item = self.world().table().get(&key).await?;
            let known = item.as_ref().and_then(|item| PipelineRecord::from_item(item).ok());
            if let Some(kept) = known.as_ref().filter(|known| known.deployment.is_some()) {
                return Ok(Some(kept.clone()));
            }
            record.paused = known.as_ref().is_some_and(|known| known.paused);
            record.paused_because = known.as_ref().and_then(|known| known.paused_because.clone());
            if known.as_ref() == Some(&record) {
                return Ok(None);
            }
            let expect = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
            let write = Write::Put { item: record.row(), expect };
            let token = sha256_hex(serde_json::to_vec(&write).unwrap_or_default());
            match self.world().table().write(&[write], &token[..36]).await {
                Ok(()) => return Ok(None),
                // Another process deployed at the same time: the later word counts.
                Err(TableError::Condition { .. } | TableError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
