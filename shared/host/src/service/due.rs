//! What is due: performed when its moment comes, each item by itself, so that one that cannot be performed
//! keeps no other waiting.

use super::{Project, Service};
use crate::World;
use cauce_driver::{DriverError, Due};
use cauce_model::{Instant, Key};
use cauce_ports::Clock;
use cauce_ports::with_sources;
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Due items that are performed at once: they share the commits of the store.
const AT_ONCE: usize = 64;

/// How long after it could not be performed an item is tried again at first; then twice as long each time.
const RETRY_SECONDS: u64 = 1;

/// The longest of these pauses. Also how long an item is left alone that has nothing to do yet, such as a set
/// of a paused pipeline.
const RETRY_SECONDS_MAX: u64 = 300;

/// Items that are left alone for a while.
#[derive(Default)]
pub(super) struct Resting(BTreeMap<Key, Rest>);

struct Rest {
    version: u64,
    until: Instant,
    times: u32,
}

impl Resting {
    /// Until when an item rests; one that was written since does not.
    fn until(&self, due: &Due, now: Instant) -> Option<Instant> {
        let rest = self.0.get(&due.key).filter(|rest| rest.version == due.version)?;
        Some(rest.until).filter(|until| *until > now)
    }

    fn performed(&mut self, due: &Due, failed: bool, now: Instant) {
        let times = self.0.get(&due.key).filter(|rest| rest.version == due.version && failed);
        let times = times.map_or(0, |rest| rest.times + 1);
        let seconds = match failed {
            true => (RETRY_SECONDS << times.min(16)).min(RETRY_SECONDS_MAX),
            false => RETRY_SECONDS_MAX,
        };
        let until = now.plus_seconds(seconds);
        self.0.insert(due.key.clone(), Rest { version: due.version, until, times });
    }
}

impl<W: World + 'static, P: Project> Service<W, P> {
    /// Performs what is due when it is, for ever.
    pub(super) async fn keep_time(&self) -> Infallible {
        loop {
            let next = match self.perform_due().await {
                Ok(next) => next,
                Err(error) => {
                    self.trouble("what is due could not be read", &error);
                    Some(self.now().plus_seconds(RETRY_SECONDS))
                }
            };
            self.host.until_due(next).await;
        }
    }

    /// Somebody changed what keeps items waiting.
    pub(super) fn wake_resting(&self) {
        self.resting.borrow_mut().0.clear();
        self.host.ring_now();
    }

    /// Performs everything that is due by now. Returns when the next thing is.
    async fn perform_due(&self) -> Result<Option<Instant>, DriverError> {
        loop {
            let now = self.now();
            let (mut ready, mut next, mut after) = (Vec::new(), None::<Instant>, None);
            'pages: loop {
                let (page, following) = self.host.driver().due(after).await?;
                for due in page {
                    if due.at > now {
                        next = Some(next.map_or(due.at, |next| next.min(due.at)));
                        break 'pages;
                    }
                    match self.resting.borrow().until(&due, now) {
                        Some(until) => next = Some(next.map_or(until, |next| next.min(until))),
                        None => ready.push(due),
                    }
                }
                after = following;
                if after.is_none() {
                    break;
                }
            }
            self.resting.borrow_mut().0.retain(|_, rest| rest.until.plus_seconds(RETRY_SECONDS_MAX) > now);
            if ready.is_empty() {
                return Ok(next);
            }
            // Each is asked once and then looked at again: a long outage of one keeps no other waiting.
            stream::iter(ready).for_each_concurrent(AT_ONCE, |due| self.perform(due)).await;
        }
    }

    async fn perform(&self, due: Due) {
        let failed = match &due.command {
            Some(command) => match self.host.execute(command).await {
                Ok(_) => false,
                Err(error) => {
                    self.host.note(&error);
                    let first = self.resting.borrow().0.get(&due.key).is_none_or(|rest| rest.times == 0);
                    if first {
                        self.host.world().warn(&format!("{} is due: {}", due.key, with_sources(&error)));
                    }
                    true
                }
            },
            None => {
                self.host.world().warn(&format!("{} is due, and not known to this version", due.key));
                false
            }
        };
        let now = self.host.world().clock().now();
        self.resting.borrow_mut().performed(&due, failed, now);
    }
}
