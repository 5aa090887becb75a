//! The items of a matrix: looking at them, and writing a changed list, some of it at a time.

use crate::{Driver, DriverError, Ports, TRIES_MAX};
use cauce_engine::command::Sync;
use cauce_engine::matrix::{Difference, Listed, SYNC_CHANGES_MAX, difference};
use cauce_engine::{Command, Reply};
use cauce_model::matrix::{ItemRecord, MatrixPlan, MatrixRecord, items_range, matrix_item};
use cauce_model::record::Record;
use cauce_model::{Instant, Json};
use cauce_ports::{Services, Table, TableError};
use serde_json::json;

/// Items read at a time.
const PAGE: u32 = 1000;

/// How many keys of each sort the audit names; the rest are counted.
const TOLD_MAX: usize = 100;

/// What came of a list.
#[derive(Clone, PartialEq, Debug)]
pub enum Synced {
    /// This is what it changed, or would.
    Done(Difference),
    /// It was refused, and why.
    Refused(String),
}

impl<P: Ports> Driver<P> {
    /// All items of a pipeline, by case and key.
    ///
    /// # Errors
    /// The store does not answer, or holds what this version cannot read.
    pub async fn items(&self, pipeline: &str) -> Result<Vec<ItemRecord>, DriverError> {
        let (partition, prefix) = items_range(pipeline, None);
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let mut left = TRIES_MAX;
            let page = loop {
                left -= 1;
                match self.services().table().query(&partition, &prefix, after.clone(), PAGE).await {
                    Err(error) if error.retryable() && left > 0 => {}
                    outcome => break outcome?,
                }
            };
            for item in &page.items {
                items.push(ItemRecord::from_item(item).map_err(unreadable)?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    /// What is known of a pipeline's list as a whole.
    ///
    /// # Errors
    /// The store does not answer, or holds what this version cannot read.
    pub async fn list(&self, pipeline: &str) -> Result<MatrixRecord, DriverError> {
        let head = self.services().table().get(&matrix_item(pipeline)).await?;
        let record = head.as_ref().map(MatrixRecord::from_item).transpose().map_err(unreadable)?;
        Ok(record.unwrap_or_default())
    }

    /// Makes the stored items those of a list. A crash between two writes leaves some of the changes undone;
    /// the next call makes them.
    ///
    /// # Errors
    /// The store does not answer; whatever was written stays, and the same call goes on from there.
    pub async fn sync(
        &self,
        pipeline: &str,
        matrix: &MatrixPlan,
        wanted: &[Listed],
        by: Option<&str>,
        dry_run: bool,
    ) -> Result<Synced, DriverError> {
        let head = self.list(pipeline).await?;
        let found = difference(&self.items(pipeline).await?, wanted);
        let untouched = found.changes.is_empty() && !head.partial && head.items == wanted.len();
        if dry_run || untouched {
            return Ok(Synced::Done(found));
        }
        let mut revision = head.revision;
        let parts = found.changes.chunks(SYNC_CHANGES_MAX).count().max(1);
        for part in 0..parts {
            let changes = found.changes.chunks(SYNC_CHANGES_MAX).nth(part).unwrap_or_default().to_vec();
            let command = Command::Sync(Box::new(Sync {
                pipeline: pipeline.to_owned(),
                key: matrix.key.clone(),
                select: matrix.select.clone(),
                revision,
                changes,
                last: part + 1 == parts,
                items: wanted.len(),
                told: told(&found),
                by: by.map(str::to_owned),
            }));
            match self.execute(&command).await? {
                Reply::Failure { cause, .. } => return Ok(Synced::Refused(cause)),
                _ => revision += 1,
            }
        }
        Ok(Synced::Done(found))
    }
}

/// What the audit says of a change.
fn told(found: &Difference) -> Json {
    let some = |keys: &[String]| keys.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>();
    let changed: Vec<String> = found.changed.iter().map(|(key, _)| key.clone()).collect();
    json!({
        "added": found.added.len(), "changed": changed.len(), "removed": found.removed.len(),
        "items": {"added": some(&found.added), "changed": some(&changed), "removed": some(&found.removed)},
    })
}

fn unreadable(error: cauce_model::record::RecordError) -> TableError {
    TableError::Unusable(format!("{error}: {:?}", error.source))
}

impl<P: Ports> Driver<P> {
    /// Carries out what a tick asks for, and hands it out to the items of its matrix while `time` is left.
    /// What is not handed out then is due, and the sweep goes on with it.
    ///
    /// # Errors
    /// A port that does not answer. The tick may be told again as it is.
    pub async fn tick(&self, command: &Command, time: impl Fn() -> bool) -> Result<Reply, DriverError> {
        let reply = self.execute(command).await?;
        let Reply::Ok(told) = &reply else { return Ok(reply) };
        let fans = told["fans"].as_array().map_or_else(|| std::slice::from_ref(&told["fan"]), Vec::as_slice);
        for next in fans.iter().filter_map(fan) {
            while time() {
                let Reply::Ok(step) = self.execute(&next).await? else { break };
                if step["again"] != true {
                    break;
                }
            }
        }
        Ok(reply)
    }
}

/// The command that hands out what a tick's decision names.
fn fan(told: &Json) -> Option<Command> {
    Some(Command::Fan {
        pipeline: told["pipeline"].as_str()?.to_owned(),
        schedule: told["schedule"].as_str()?.to_owned(),
        scheduled_at: Instant::parse(told["scheduled_at"].as_str()?).ok()?,
    })
}
