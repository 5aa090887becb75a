//! The files of a project as a service sees them: what they offer, and when that may have changed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use cauce_engine::matrix::Listed;
use cauce_host::Deployment;
use cauce_host::service::{Offer, Project, Told};
use cauce_local::clock::SystemClock;
use cauce_local::notify::Channels;
use cauce_local::watch::Arrivals;
use cauce_model::event::Object;

use super::log::Log;
use crate::commands::sync::listed;
use crate::context::Context;
use crate::engine::assemble::{channels, deployment, images, shared};
use crate::engine::world::Machine;
use crate::error::Failure;
use crate::project::{self, Found, ProjectFolder};
use cauce_ports::with_sources;

/// How often the files are looked at. Editors write a file in several steps: what is read is one that has not
/// changed between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells that a file has changed.
type Stamp = Option<(SystemTime, u64)>;

/// A project's files.
pub(super) struct Files {
    dir: PathBuf,
    context: Context,
    log: Rc<Log>,
    channels: Channels,
    images: Rc<RefCell<BTreeMap<String, String>>>,
    arrivals: Arrivals<SystemClock>,
    /// What was read last, and the files that it depends on.
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    project: String,
    stamps: BTreeMap<PathBuf, Stamp>,
    compiled: BTreeMap<PathBuf, Compiled>,
}

/// A file as it was compiled.
struct Compiled {
    text: Vec<u8>,
    named: BTreeMap<PathBuf, Stamp>,
    outcome: Outcome,
}

/// What a pipeline file offers, with the items of its matrix; or why it cannot be had.
type Outcome = Result<(Deployment, Option<Vec<Listed>>), String>;

fn stamp(path: &Path) -> Stamp {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl Files {
    /// The files of the project around a folder.
    ///
    /// # Errors
    /// A system that watches no folders.
    pub(super) fn new(
        dir: PathBuf,
        world: &Machine,
        log: Rc<Log>,
        context: Context,
    ) -> Result<Self, Failure> {
        let (channels, images) = (world.channels.clone(), Rc::clone(&world.images));
        let arrivals = Arrivals::new(world.objects.clone(), SystemClock);
        let arrivals = arrivals.map_err(|error| Failure::from_error(&error))?;
        Ok(Self { dir, context, log, channels, images, arrivals, known: RefCell::default() })
    }

    /// Everything that the offer depends on, with what tells its change.
    fn stamps(&self) -> BTreeMap<PathBuf, Stamp> {
        let mut paths = project::candidates(&self.dir);
        paths.extend(self.known.borrow().compiled.values().flat_map(|one| one.named.keys().cloned()));
        paths.into_iter().map(|path| (path.clone(), stamp(&path))).collect()
    }

    fn one(&self, found: &Found, folder: &ProjectFolder, known: &mut Known) -> Outcome {
        let text = project::read(&found.path).map_err(|failure| failure.message)?;
        let same =
            |one: &&Compiled| one.text == text && one.named.iter().all(|(path, known)| stamp(path) == *known);
        if let Some(one) = known.compiled.get(&found.path).filter(same) {
            return one.outcome.clone();
        }
        let shown = project::shown(&found.path, &self.context);
        let mut named = BTreeMap::new();
        let outcome = project::judged(&text, &shown, folder, &self.context.env, &mut |path| {
            named.insert(path.to_owned(), stamp(path));
        });
        let outcome = outcome.and_then(|(compiled, items)| {
            let deployment = deployment(&compiled).map_err(|failure| failure.message)?;
            Ok((deployment, items.as_ref().map(listed)))
        });
        known.compiled.insert(found.path.clone(), Compiled { text, named, outcome: outcome.clone() });
        outcome
    }
}

impl Project for Files {
    fn read(&self) -> Result<Offer, String> {
        // Stamps first: what changes while it is read is read again.
        let stamps = self.stamps();
        self.known.borrow_mut().stamps = stamps;
        let folder = ProjectFolder::silently(&self.dir, &self.context)?;
        let words = |failure: Failure| failure.message;
        let values = folder.values(&self.context.env).map_err(words)?;
        self.channels.replace(channels(&folder, &values).map_err(words)?);
        self.images.replace(images(&folder));
        let mut known = self.known.borrow_mut();
        let project = format!("{:?}", folder.project);
        if known.project != project {
            known.compiled.clear();
            known.project = project;
        }
        let all = folder.pipelines().map_err(words)?;
        known.compiled.retain(|path, _| all.iter().any(|found| found.path == *path));
        let mut offer = Offer {
            shared: shared(&folder).into(),
            values,
            pipelines: BTreeMap::new(),
            items: BTreeMap::new(),
        };
        for found in &all {
            let outcome = match offer.pipelines.contains_key(&found.name) {
                false => self.one(found, &folder, &mut known),
                true => {
                    Err(format!("two files define it; one is {}", project::shown(&found.path, &self.context)))
                }
            };
            let outcome = outcome.map(|(deployment, items)| {
                offer.items.extend(items.map(|items| (found.name.clone(), items)));
                deployment
            });
            offer.pipelines.insert(found.name.clone(), outcome);
        }
        Ok(offer)
    }

    async fn changed(&self) {
        let mut interval = tokio::time::interval(LOOK_EVERY);
        interval.tick().await;
        let mut before = None;
        loop {
            interval.tick().await;
            let now = self.stamps();
            let differs = now != self.known.borrow().stamps;
            if differs && before.as_ref() == Some(&now) {
                return;
            }
            before = Some(now);
        }
    }

    fn watch(&self, buckets: &BTreeSet<String>) {
        for error in self.arrivals.watch(buckets) {
            self.context.output.warn(&with_sources(&error));
        }
    }

    async fn arrived(&self) -> Vec<Object> {
        let arrived = self.arrivals.next().await;
        for trouble in self.arrivals.troubles() {
            self.context.output.warn(&with_sources(&trouble));
        }
        arrived
    }

    fn tell(&self, told: &Told) {
        self.log.tell(told);
    }
}
