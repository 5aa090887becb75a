//! Deploying what a project offers: new versions, changed ones, none any more.

use super::{Project, Service, Told};
use crate::{Deployment, Host, HostError, World};
use cauce_driver::{DriverError, Synced};
use cauce_engine::matrix::Listed;
use cauce_engine::{Command, Reply, Settings};
use cauce_model::deployment::{DEPLOYMENT_BYTES_MAX, DEPLOYMENT_SCHEMA, plan_uri};
use cauce_model::plan::TaskKind;
use cauce_model::record::{PIPELINES_LIST, PipelineRecord, Record};
use cauce_model::{Deployment as Pinned, Json};
use cauce_ports::with_sources;
use cauce_ports::{Objects, Table};
use serde_json::Map;
use std::collections::BTreeMap;

/// Who deploys, for the audit.
const BY: &str = "cauce up";

/// What a project offers.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// What tells the store the sizes of its pools, and the figures of its breakers and rate limits.
    pub shared: Vec<Command>,
    /// The values that `${{ env.x }}` reads.
    pub values: Map<String, Json>,
    /// Its pipelines by name, or why one cannot be had.
    pub pipelines: BTreeMap<String, Result<Deployment, String>>,
    /// The items of their matrices, by pipeline.
    pub items: BTreeMap<String, Vec<Listed>>,
}

impl Deployment {
    /// What runs of it are pinned to on this machine: everything by its own name.
    pub(crate) fn pinned(&self, settings: &Settings, values: &Map<String, Json>) -> Pinned {
        let mut machines = settings.machines.clone();
        for machine in &self.machines {
            machines.extend(machine.part.clone().map(|part| (part, self.machine(&machine.name))));
        }
        let families = self.plan.tasks.iter().filter_map(|task| match &task.kind {
            TaskKind::Container(container) => Some(container.task_definition.clone()),
            _ => None,
        });
        Pinned {
            schema: DEPLOYMENT_SCHEMA,
            environment: String::new(),
            pipeline: self.plan.pipeline.clone(),
            version: self.version.clone(),
            machine: self.machine(&self.plan.pipeline),
            machines,
            cluster: settings.cluster.clone(),
            run_task: settings.run_task.clone(),
            task_definitions: families.map(|family| (family.clone(), family)).collect(),
            values: values.clone(),
        }
    }
}

impl<W: World + 'static> Host<W> {
    /// Makes a version the one that new runs take, with its clocks and what it waits for. Returns a
    /// refusal's words, if it was refused.
    pub(crate) async fn release(
        &self,
        deployment: &Deployment,
        values: &Map<String, Json>,
    ) -> Result<Option<String>, HostError> {
        self.load(deployment).await?;
        let given = self.give_back(&deployment.plan).await;
        given.map_err(|error| HostError::Fatal(with_sources(&error)))?;
        let settings = self.driver().settings();
        let request = cauce_engine::command::Deploy {
            plan: plan_uri(&settings.documents, &deployment.plan.pipeline, &deployment.version),
            deployment: deployment.pinned(settings, values),
            canary: None,
            new_paused: false,
            by: Some(BY.to_owned()),
        };
        let told = self.execute(&Command::Deploy(Box::new(request))).await;
        match told.map_err(|error| HostError::Fatal(with_sources(&error)))? {
            Reply::Failure { cause, .. } => Ok(Some(cause)),
            Reply::Ok(_) | Reply::None => Ok(None),
        }
    }

    /// The records of all pipelines.
    async fn pipelines(&self) -> Result<Vec<PipelineRecord>, DriverError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.world().table().list(PIPELINES_LIST, "", after, 1000).await?;
            for item in &page.items {
                found.push(PipelineRecord::from_item(item)?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Takes away what was deployed of a pipeline.
    async fn withdraw(&self, uri: &str) -> Result<(), DriverError> {
        let bytes = self.world().objects().get(uri, DEPLOYMENT_BYTES_MAX).await?;
        let unusable = |reason: String| DriverError::Deployment { uri: uri.to_owned(), reason };
        let bytes = bytes.ok_or_else(|| unusable("it is gone".to_owned()))?;
        let deployment: Pinned =
            serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        let command = Command::Undeploy { deployment: Box::new(deployment), by: Some(BY.to_owned()) };
        self.execute(&command).await.map(|_: Reply| ())
    }
}

impl<W: World + 'static, P: Project> Service<W, P> {
    /// Deploys what the project offers now, as far as it is new. One pipeline's trouble is its own.
    pub(super) async fn deploy(&self) {
        let offer = match self.project.read() {
            Ok(offer) => offer,
            Err(problem) => {
                if self.is_new("", &problem) {
                    self.project.tell(&Told::Unreadable { problem });
                }
                return;
            }
        };
        self.problems.borrow_mut().remove("");
        for command in &offer.shared {
            if let Err(error) = self.host.execute(command).await {
                self.trouble("the sizes of pools and the figures of limits could not be written", &error);
            }
        }
        let known = match self.host.pipelines().await {
            Ok(known) => known,
            Err(error) => return self.trouble("the pipelines could not be read", &error),
        };
        for (pipeline, offered) in &offer.pipelines {
            let problem = match offered {
                Ok(deployment) => match self.deploy_one(pipeline, deployment, &offer.values).await {
                    None => self.sync(deployment, offer.items.get(pipeline)).await,
                    problem => problem,
                },
                Err(problem) => Some(problem.clone()),
            };
            match problem {
                None => drop(self.problems.borrow_mut().remove(pipeline)),
                Some(problem) if self.is_new(pipeline, &problem) => {
                    self.project.tell(&Told::Broken { pipeline: pipeline.clone(), problem });
                }
                Some(_) => {}
            }
        }
        // What somebody ran by hand and was never offered is nobody's to take away.
        let gone = known.into_iter().filter(|record| !offer.pipelines.contains_key(&record.pipeline));
        for record in gone {
            let Some(uri) = &record.deployment else { continue };
            match self.host.withdraw(uri).await {
                Ok(()) => {
                    self.deployed.borrow_mut().remove(&record.pipeline);
                    self.project.tell(&Told::Undeployed { pipeline: record.pipeline });
                }
                Err(error) => self.trouble(&format!("{} could not be undeployed", record.pipeline), &error),
            }
        }
        let wanted = match self.host.pipelines().await {
            Ok(records) => self.want(&records).await,
            Err(error) => Err(error),
        };
        if let Err(error) = wanted {
            self.trouble("what pipelines wait for could not be read", &error);
        }
    }

    /// Makes the items of a matrix those of its list, if that is another than before. Returns what is wrong.
    async fn sync(&self, deployment: &Deployment, items: Option<&Vec<Listed>>) -> Option<String> {
        let (matrix, items) = (deployment.plan.matrix.as_ref()?, items?);
        let pipeline = &deployment.plan.pipeline;
        if self.synced.borrow().get(pipeline) == Some(items) {
            return None;
        }
        match self.host.driver().sync(pipeline, matrix, items, Some(BY), false).await {
            Ok(Synced::Done(found)) => {
                self.synced.borrow_mut().insert(pipeline.clone(), items.clone());
                if !found.changes.is_empty() {
                    self.project.tell(&Told::Synced {
                        pipeline: pipeline.clone(),
                        added: found.added.len(),
                        changed: found.changed.len(),
                        removed: found.removed.len(),
                    });
                }
                None
            }
            Ok(Synced::Refused(cause)) => Some(cause),
            Err(error) => Some(with_sources(&error)),
        }
    }

    fn is_new(&self, of: &str, problem: &str) -> bool {
        self.problems.borrow_mut().insert(of.to_owned(), problem.to_owned()).as_deref() != Some(problem)
    }

    /// Returns what is wrong.
    async fn deploy_one(
        &self,
        pipeline: &str,
        deployment: &Deployment,
        values: &Map<String, Json>,
    ) -> Option<String> {
        let offered = deployment.pinned(self.host.driver().settings(), values).uri("");
        if self.deployed.borrow().get(pipeline) == Some(&offered) {
            return None;
        }
        match self.host.release(deployment, values).await {
            Ok(None) => {
                self.deployed.borrow_mut().insert(pipeline.to_owned(), offered);
                let (pipeline, version) = (pipeline.to_owned(), deployment.version.clone());
                self.project.tell(&Told::Deployed { pipeline, version });
                None
            }
            Ok(Some(refusal)) => Some(refusal),
            Err(error) => Some(error.to_string()),
        }
    }
}
