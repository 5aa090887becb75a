//! Files that arrive: each is decided on by every pipeline that waits for it, unless that has decided before.

use super::{Project, Service};
use crate::World;
use cauce_driver::DriverError;
use cauce_engine::Command;
use cauce_model::event::{FileRecord, InterestRecord, Object, file_item, interest_item, ledger_item};
use cauce_model::pattern::KeyPattern;
use cauce_model::record::{PipelineRecord, Record};
use cauce_ports::Table;
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// Files that are decided on at once: they share the commits of the store.
const AT_ONCE: usize = 64;

/// How often a decision is tried before the file is left to the next look through its bucket, with pauses of
/// a second, two, four...
const TRIES: u32 = 5;

/// What is waited for: patterns of keys with the pipeline that wants them, by bucket.
pub(super) type Wanted = BTreeMap<String, Vec<(KeyPattern, String)>>;

impl<W: World + 'static, P: Project> Service<W, P> {
    /// Takes up what pipelines wait for now.
    pub(super) async fn want(&self, records: &[PipelineRecord]) -> Result<(), DriverError> {
        let mut wanted = Wanted::new();
        for record in records {
            for bucket in &record.buckets {
                let item = self.host.world().table().get(&interest_item(bucket, &record.pipeline)).await?;
                let Some(interest) = item.as_ref().map(InterestRecord::from_item).transpose()? else {
                    continue;
                };
                let patterns = interest.keys.iter().filter_map(|key| KeyPattern::parse(key).ok());
                let of_bucket = wanted.entry(bucket.clone()).or_default();
                of_bucket.extend(patterns.map(|pattern| (pattern, interest.pipeline.clone())));
            }
        }
        let is_new = *self.wanted.borrow() != wanted;
        let buckets: BTreeSet<String> = wanted.keys().cloned().collect();
        self.wanted.replace(wanted);
        if is_new {
            self.project.watch(&buckets);
        }
        Ok(())
    }

    /// Decides on what arrives, for ever.
    pub(super) async fn keep_receiving(&self) -> Infallible {
        let batches = stream::unfold((), |()| async { Some((self.project.arrived().await, ())) });
        let fresh = batches.then(|batch| self.fresh(batch)).flat_map(stream::iter);
        fresh.for_each_concurrent(AT_ONCE, |(pipeline, object)| self.receive(pipeline, object)).await;
        // An unending stream has ended: nothing arrives any more.
        std::future::pending().await
    }

    /// Those of a batch that somebody wants and has not decided on, in the order in which they arrived. What
    /// cannot be looked up is decided on: that is safe.
    async fn fresh(&self, mut batch: Vec<Object>) -> Vec<(String, Object)> {
        batch.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        let mut fresh = Vec::new();
        for object in batch {
            let pipelines: BTreeSet<String> = {
                let wanted = self.wanted.borrow();
                let patterns = wanted.get(&object.bucket).into_iter().flatten();
                let fits = patterns.filter(|(pattern, _)| pattern.matches(&object.key).is_some());
                fits.map(|(_, pipeline)| pipeline.clone()).collect()
            };
            for pipeline in pipelines {
                if !self.is_known(&pipeline, &object).await.unwrap_or(false) {
                    fresh.push((pipeline, object.clone()));
                }
            }
        }
        fresh
    }

    /// Whether a pipeline has decided on an arrival, whatever it decided.
    async fn is_known(&self, pipeline: &str, object: &Object) -> Result<bool, DriverError> {
        let identity = object.identity();
        let file = file_item(pipeline, object);
        let entry = ledger_item(object.at, &identity, Some(pipeline));
        let found = self.host.world().table().batch_get(&[file.clone(), entry.clone()]).await?;
        for item in &found {
            if item.key == entry || FileRecord::from_item(item)?.object.identity() == identity {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn receive(&self, pipeline: String, object: Object) {
        let shown = format!("s3://{}/{}", object.bucket, object.key);
        let object = Box::new(object);
        let command = Command::File { pipeline: pipeline.clone(), object, asked: false };
        for tried in 0..TRIES {
            match self.host.execute(&command).await {
                Ok(_) => return,
                Err(error) if tried + 1 < TRIES => {
                    self.host.note(&error);
                    self.rest(1 << tried).await;
                }
                Err(error) => self.trouble(&format!("{pipeline} could not decide on {shown}"), &error),
            }
        }
    }
}
