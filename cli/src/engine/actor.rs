//! Who carries out decisions: the embedded engine of this machine, which also has to run what they
//! start, or this process alone against a deployed environment, where Step Functions runs it.
//!
//! Both are the same driver. What differs is told apart by those who wait for a run to end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cauce_driver::{Budget, SweepReport};
use cauce_engine::{Command, Prepared, Reply};
use cauce_host::service::Letter;
use cauce_local::state::StateDir;
use cauce_model::ids::RunRef;
use cauce_model::record::{Record, RunRecord, run_item};
use cauce_model::{Json, RunKey};
use cauce_ports::{Services, Table};

use crate::context::Context;
use crate::engine::assemble::{Local, visitor};
use crate::engine::world::Watch;
use crate::error::Failure;
use crate::project::ProjectFolder;
use crate::store::Store;
use crate::there::There;

/// Who carries out decisions.
pub(crate) enum Actor {
    /// The embedded engine.
    Here(Box<Local>),
    /// A deployed environment.
    There(Rc<There>),
}

impl Actor {
    /// Whoever `--env` means. On this machine nothing of a run is loaded yet.
    ///
    /// # Errors
    /// A state folder that cannot be opened; an environment that cannot be reached.
    pub(crate) fn open(folder: &ProjectFolder, context: &Context, watch: Watch) -> Result<Self, Failure> {
        Ok(match context.there()? {
            Some(there) => Self::There(there),
            None => Self::Here(Box::new(visitor(folder, context, watch)?)),
        })
    }

    /// As [`Actor::open`], where somebody else runs what is decided here: on this machine that takes a
    /// service.
    ///
    /// # Errors
    /// Also that nobody does.
    pub(crate) fn served(folder: &ProjectFolder, context: &Context, watch: Watch) -> Result<Self, Failure> {
        if context.there()?.is_none() && !StateDir::is_served(&folder.state_dir)? {
            let state = folder.state_dir.display();
            let failure = format!("no 'cauce up' runs on {state}, and nobody else would run it");
            return Err(Failure::bad_input(failure).help(
                "start it: cauce up; or run the pipeline in this process: cauce run FILE; \
                 or name an environment with --env",
            ));
        }
        Self::open(folder, context, watch)
    }

    /// Carries out a command; a refusal is bad input.
    ///
    /// # Errors
    /// The refusal, or a port that does not answer.
    pub(crate) async fn execute(&self, command: &Command) -> Result<Json, Failure> {
        accept(self.ask(command).await?)
    }

    /// Has a command carried out, and gives the reply as it is: a refusal is one too.
    ///
    /// # Errors
    /// A port that does not answer.
    pub(crate) async fn ask(&self, command: &Command) -> Result<Reply, Failure> {
        Ok(match self {
            Self::Here(local) => {
                let reply = local.host.execute(command).await?;
                leave_visits(local).await?;
                if local.host.take_due() || matches!(command, Command::Pause(_)) {
                    local.host.leave(&Letter::Due).await?;
                }
                reply
            }
            Self::There(there) => there.execute(command).await?,
        })
    }

    /// Sweeps once. On this machine what is due is left to `cauce up`, which performs it at its moment and runs
    /// what that starts.
    ///
    /// # Errors
    /// A store that does not answer.
    pub(crate) async fn sweep(&self) -> Result<SweepReport, Failure> {
        match self {
            Self::Here(local) => {
                let report = local.host.driver().sweep(&Budget { due: 0, ..Budget::HERE }).await?;
                leave_visits(local).await?;
                Ok(report)
            }
            Self::There(there) => {
                let rest = async |seconds: u32| {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a service's rate is a matter of time alone"
                    )]
                    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
                    true
                };
                Ok(there.driver().sweep_on(&Budget::default(), rest).await?)
            }
        }
    }

    /// Claims a run for this process while it drives it. There, nobody drives a run but its own
    /// execution: the conditions of the store's writes decide between two people.
    ///
    /// # Errors
    /// Another process of this machine drives it.
    pub(crate) fn claim(&self, run: &RunRef) -> Result<(), Failure> {
        match self {
            Self::Here(local) => Ok(local.claim(run)?),
            Self::There(_) => Ok(()),
        }
    }

    /// The plan of a version.
    ///
    /// # Errors
    /// A plan that is gone or cannot be read.
    pub(crate) async fn plan(&self, pipeline: &str, version: &str) -> Result<Arc<Prepared>, Failure> {
        Ok(match self {
            Self::Here(local) => local.host.driver().plan(pipeline, version).await?,
            Self::There(there) => there.driver().plan(pipeline, version).await?,
        })
    }

    /// Who asks, for records: the user of this machine, or the caller's ARN.
    ///
    /// # Errors
    /// Credentials that AWS does not accept.
    pub(crate) async fn by(&self, context: &Context) -> Result<String, Failure> {
        match self {
            Self::Here(_) => Ok(context.environment.by()),
            Self::There(there) => there.by().await,
        }
    }

    /// A view of the same store.
    ///
    /// # Errors
    /// A table that cannot be opened.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        match self {
            Self::Here(local) => Store::at(local.state.clone()),
            Self::There(there) => Ok(Store::there(there)),
        }
    }

    /// A run's record.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn find_run(&self, key: &RunKey) -> Result<Option<RunRecord>, Failure> {
        match self {
            Self::Here(local) => find_run(&local.host.world().table, key).await,
            Self::There(there) => find_run(there.adapters().table(), key).await,
        }
    }
}

/// Tells the service of the runs that this process would have driven.
async fn leave_visits(local: &Local) -> Result<(), Failure> {
    let left = local.host.world().visits.as_ref().map(RefCell::take).unwrap_or_default();
    for run in left {
        local.host.leave(&Letter::Run(run)).await?;
    }
    Ok(())
}

/// What a decision answered; a refusal is bad input.
///
/// # Errors
/// The refusal.
pub(crate) fn accept(reply: Reply) -> Result<Json, Failure> {
    match reply {
        Reply::Ok(result) => Ok(result),
        Reply::None => Ok(Json::Null),
        Reply::Failure { error, cause } if error == cauce_model::names::UNAVAILABLE => {
            Err(Failure::system(cause))
        }
        Reply::Failure { cause, .. } => Err(Failure::bad_input(cause)),
    }
}

/// A run's record.
///
/// # Errors
/// A table that cannot be read.
pub(crate) async fn find_run(table: &impl Table, key: &RunKey) -> Result<Option<RunRecord>, Failure> {
    let item = table.get(&run_item(key)).await?;
    Ok(item.as_ref().map(RunRecord::from_item).transpose()?)
}
