//! Runs whose engine is gone, and how they go on: nobody else has them, no program of theirs is left, and the
//! runs that their tasks had started are in their next generation as well.

use crate::World;
use crate::run::{Host, HostError};
use cauce_driver::DriverError;
use cauce_driver::ask::{How, Version, next};
use cauce_engine::command::{ExecutionEnd, Existing, Observed};
use cauce_engine::{Command, Reply};
use cauce_model::record::{Record, RunRecord, TASK_PREFIX, TaskRecord, run_item, run_partition};
use cauce_model::{RunKey, RunRef, TaskStatus};
use cauce_ports::{RunningTask, Table};
use std::future::Future;
use std::pin::Pin;

/// Why a run whose engine is gone cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReviveError {
    /// Another process drives it.
    #[error("{0} is driven by another process")]
    Driven(RunRef),
    /// Programs of it are still there.
    #[error("{0}")]
    Survivors(String),
    /// It was refused.
    #[error("{run}: {cause}")]
    Refused {
        /// The run.
        run: RunRef,
        /// Why.
        cause: String,
    },
    /// Its version cannot be loaded.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The store.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl From<cauce_ports::TableError> for ReviveError {
    fn from(error: cauce_ports::TableError) -> Self {
        Self::Driver(error.into())
    }
}

impl<W: World + 'static> Host<W> {
    /// Reads a run.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn run_record(&self, key: &RunKey) -> Result<Option<RunRecord>, DriverError> {
        let item = self.world().table().get(&run_item(key)).await?;
        Ok(item.as_ref().map(RunRecord::from_item).transpose()?)
    }

    /// The unfinished runs that the unfinished tasks of a run wait for.
    pub(crate) async fn children(&self, key: &RunKey) -> Result<Vec<RunRecord>, DriverError> {
        self.awaited(key, |task| {
            let started = task.started_run.as_deref().filter(|_| !task.status.is_terminal())?;
            let (pipeline, run_id) = started.split_once('/')?;
            Some(RunKey::new(pipeline, run_id))
        })
        .await
    }

    /// The unfinished runs that tasks of a run have started themselves, and that end with them.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn own_runs(&self, key: &RunKey) -> Result<Vec<RunRecord>, DriverError> {
        self.awaited(key, |task| {
            task.own_run.as_ref().filter(|_| task.status != TaskStatus::Success).map(|own| own.run.key())
        })
        .await
    }

    async fn awaited(
        &self,
        key: &RunKey,
        of: impl Fn(&TaskRecord) -> Option<RunKey>,
    ) -> Result<Vec<RunRecord>, DriverError> {
        let (mut children, mut after) = (Vec::new(), None);
        loop {
            let page = self.world().table().query(&run_partition(key), TASK_PREFIX, after, 1000).await?;
            for item in &page.items {
                let task = TaskRecord::from_item(item)?;
                let Some(awaited) = of(&task) else { continue };
                let child = self.run_record(&awaited).await?;
                children.extend(child.filter(|run| !run.status.is_terminal()));
            }
            after = page.next;
            if after.is_none() {
                return Ok(children);
            }
        }
    }

    /// Loads the version that a run is pinned to, unless it is.
    pub(crate) async fn load_pinned(&self, run: &RunRecord) -> Result<(), HostError> {
        let is_loaded = self.machines().find(&run.machine).is_some();
        if !is_loaded || self.driver().plans().find(&run.version).is_none() {
            let pinned = self.deployed(&run.run.pipeline, &run.version).await?;
            self.load(&pinned).await?;
        }
        Ok(())
    }

    /// Makes the next generation of a run whose engine is gone, keeping every task that ended, and starts
    /// it, because somebody asks for that. Returns the programs that were left and have been ended.
    ///
    /// # Errors
    /// Another process drives it; programs of it stayed; what a store may fail with.
    pub async fn resume(&self, run: &RunRecord, by: &str) -> Result<Vec<RunningTask>, ReviveError> {
        let mut ended = Vec::new();
        self.go_on_with(run, (Existing::Resume, by), true, &mut ended).await?;
        Ok(ended)
    }

    /// The same, without anybody's asking.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn revive(&self, run: &RunRecord) -> Result<Vec<RunningTask>, ReviveError> {
        let mut ended = Vec::new();
        self.go_on_with(run, (Existing::Revive, "cauce up"), true, &mut ended).await?;
        Ok(ended)
    }

    /// Ends a run whose engine is gone and whose end somebody had asked for: what it has set up is taken away.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn end_left<'a>(
        &'a self,
        run: &'a RunRecord,
    ) -> Pin<Box<dyn Future<Output = Result<(), ReviveError>> + 'a>> {
        Box::pin(async move {
            let key = run.key();
            if self.drives(&key) || !self.world().claim(&key) {
                return Err(ReviveError::Driven(run.run.clone()));
            }
            let ended = self.end_claimed(run).await;
            // Its teardowns have claimed it for themselves.
            if !self.drives(&key) {
                self.world().release(&key);
            }
            ended
        })
    }

    async fn end_claimed(&self, run: &RunRecord) -> Result<(), ReviveError> {
        self.world().end_survivors(&run.key()).await.map_err(ReviveError::Survivors)?;
        self.load_pinned(run).await?;
        let own = self.own_runs(&run.key()).await?;
        let gone = Observed::Run {
            run_key: run.key(),
            generation: run.generation,
            execution: run.execution.clone(),
            end: ExecutionEnd::Aborted { cause: String::new() },
        };
        self.execute(&Command::Observed(Box::new(gone))).await?;
        // Their end was asked for with it, unless somebody else has asked for more of them since.
        for run in own {
            let run = self.run_record(&run.key()).await?;
            let Some(run) = run.filter(|run| !run.status.is_terminal() && run.cancel.is_some()) else {
                continue;
            };
            match self.end_left(&run).await {
                Ok(()) | Err(ReviveError::Driven(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn go_on_with<'a>(
        &'a self,
        run: &'a RunRecord,
        how: (Existing, &'a str),
        start: bool,
        ended: &'a mut Vec<RunningTask>,
    ) -> Pin<Box<dyn Future<Output = Result<(), ReviveError>> + 'a>> {
        Box::pin(async move {
            let key = run.key();
            if self.drives(&key) || !self.world().claim(&key) {
                return Err(ReviveError::Driven(run.run.clone()));
            }
            let revived = self.revive_claimed(run, how, start, ended).await;
            if revived.is_err() && !self.drives(&key) {
                self.world().release(&key);
            }
            revived
        })
    }

    async fn revive_claimed(
        &self,
        run: &RunRecord,
        (existing, by): (Existing, &str),
        start: bool,
        ended: &mut Vec<RunningTask>,
    ) -> Result<(), ReviveError> {
        let key = run.key();
        ended.extend(self.world().end_survivors(&key).await.map_err(ReviveError::Survivors)?);
        self.load_pinned(run).await?;
        for child in self.children(&key).await? {
            self.go_on_with(&child, (existing.clone(), by), false, ended).await?;
        }
        let how = How { start, ..How::default() };
        let command = next(run, &Version::only(&run.version), existing, how, by.to_owned());
        match self.execute(&command).await? {
            Reply::Failure { cause, .. } => Err(ReviveError::Refused { run: run.run.clone(), cause }),
            Reply::Ok(_) | Reply::None => Ok(()),
        }
    }
}
