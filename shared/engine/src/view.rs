//! What a decision sees, and what it asks for when it sees too little.
//!
//! A decision is a pure function called again and again: it starts from an empty [`View`], stops
//! with a [`Need`] at the first thing it lacks, is called anew once that is in the view, and so on
//! until it is made. Every answer in the view is stable, so each call goes at least as far as the
//! one before it.

use crate::command::ExecutionEnd;
use crate::line;
use crate::{Prepared, Settings};
use cauce_model::item::{Change, Expect, When, Write};
use cauce_model::record::{Notice, RunRecord};
use cauce_model::{Item, Key, RunKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a decision lacks.
#[derive(Clone, PartialEq, Debug)]
pub enum Need {
    /// These items.
    Items(Vec<Key>),
    /// All items of a partition whose sort key begins so.
    Range {
        /// The partition.
        partition: String,
        /// The beginning.
        prefix: String,
    },
    /// Some items of a partition whose sort key begins so.
    Page {
        /// The partition.
        partition: String,
        /// The beginning.
        prefix: String,
        /// Where the store goes on; from the first without it.
        after: Option<String>,
        /// At most so many.
        limit: u32,
    },
    /// The outcome of an atomic update. It is one of a kind that is safe to repeat.
    Update {
        /// The name under which the outcome is kept in the view.
        name: String,
        /// Which item.
        key: Key,
        /// What is changed.
        change: Change,
        /// What must hold.
        when: When,
    },
    /// The plan of a pipeline version.
    Plan {
        /// The pipeline.
        pipeline: String,
        /// The version.
        version: String,
    },
    /// The settings that a deployment pins. Its document never changes.
    Deployment {
        /// Where the document is.
        uri: String,
    },
    /// A document of at most so many bytes.
    Document {
        /// Where.
        uri: String,
        /// The limit.
        limit: u64,
    },
    /// The objects under a prefix.
    Listing {
        /// The prefix.
        prefix: String,
    },
    /// Whether an execution is still under way.
    Execution {
        /// Its machine.
        machine: String,
        /// Its name.
        name: String,
    },
    /// Whether somebody has executions of these runs.
    Driven(Vec<RunKey>),
    /// A notice is to be delivered, and how that went matters to the decision.
    Delivery(Box<Notice>),
}

/// A document, as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Document {
    /// There is none.
    Absent,
    /// Its bytes.
    Bytes(Vec<u8>),
    /// It is larger than what was asked for.
    TooLarge(u64),
}

/// An object seen in a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its URI.
    pub uri: String,
    /// Its size.
    pub bytes: u64,
}

/// What became of an execution.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Liveness {
    /// There never was one of that name.
    Never,
    /// Under way.
    Running,
    /// Over.
    Closed(ExecutionEnd),
}

/// Which page: partition, prefix, and where it begins.
pub type PageAt = (String, String, Option<String>);

/// What the decision has been shown so far.
#[derive(Default)]
pub struct View {
    /// Items by key; `None`: looked for and absent.
    pub items: BTreeMap<Key, Option<Item>>,
    /// Ranges by partition and prefix.
    pub ranges: BTreeMap<(String, String), Vec<Item>>,
    /// Pages by partition, prefix and where they begin, each with where the next one does.
    pub pages: BTreeMap<PageAt, (Vec<Item>, Option<String>)>,
    /// Outcomes of updates by name: the new item, or `None` when a condition did not hold.
    pub updates: BTreeMap<String, Option<Item>>,
    /// Plans by version.
    pub plans: BTreeMap<String, Arc<Prepared>>,
    /// The settings of deployments, by the URI of the document.
    pub deployments: BTreeMap<String, Arc<Settings>>,
    /// Documents by URI.
    pub documents: BTreeMap<String, Document>,
    /// Listings by prefix.
    pub listings: BTreeMap<String, Vec<Seen>>,
    /// Executions by name.
    pub executions: BTreeMap<String, Liveness>,
    /// Whether somebody has executions of a run: on one machine, whether its process lives.
    pub driven: BTreeMap<RunKey, bool>,
    /// Deliveries by notice id: what went wrong, if anything.
    pub deliveries: BTreeMap<String, Result<(), String>>,
}

impl View {
    /// One item.
    pub fn item(&self, key: &Key) -> Result<Option<&Item>, Need> {
        match self.items.get(key) {
            Some(item) => Ok(item.as_ref()),
            None => Err(Need::Items(vec![key.clone()])),
        }
    }

    /// The first item among writes that was read, and would be written or taken away whatever it says by now: what
    /// became of it in between would be lost. No decision has one. A place in a line says nothing but that somebody
    /// stands there, and is only ever taken away.
    pub fn written_blindly<'a>(&self, writes: &'a [Write]) -> Option<&'a Key> {
        let ranges = self.ranges.values().flatten();
        let pages = self.pages.values().flat_map(|(items, _)| items);
        let of_lists: BTreeSet<&Key> = ranges.chain(pages).map(|item| &item.key).collect();
        let is_read = |key: &Key| self.items.contains_key(key) || of_lists.contains(key);
        let mut blind = writes.iter().filter(|write| write.expect() == Expect::Any).map(Write::key);
        blind.find(|key| is_read(key) && !line::is_place(key))
    }

    /// Asks for all items of the list that have not been looked at, in one read.
    pub fn want(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), Need> {
        let missing: Vec<Key> = keys.into_iter().filter(|key| !self.items.contains_key(key)).collect();
        if missing.is_empty() { Ok(()) } else { Err(Need::Items(missing)) }
    }

    /// All items of a range.
    pub fn range(&self, partition: String, prefix: String) -> Result<&[Item], Need> {
        let key = (partition, prefix);
        match self.ranges.get(&key) {
            Some(items) => Ok(items),
            None => Err(Need::Range { partition: key.0, prefix: key.1 }),
        }
    }

    /// Some items of a range, and where the next ones begin.
    pub fn page(
        &self,
        partition: String,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<(&[Item], &Option<String>), Need> {
        let key = (partition, prefix, after);
        match self.pages.get(&key) {
            Some((items, next)) => Ok((items, next)),
            None => Err(Need::Page { partition: key.0, prefix: key.1, after: key.2, limit }),
        }
    }

    /// The outcome of an update: the new item, or `None` when a condition did not hold.
    pub fn update(&self, name: String, key: Key, change: Change, when: When) -> Result<Option<&Item>, Need> {
        match self.updates.get(&name) {
            Some(outcome) => Ok(outcome.as_ref()),
            None => Err(Need::Update { name, key, change, when }),
        }
    }

    /// The plan of a pipeline version.
    pub fn plan(&self, pipeline: &str, version: &str) -> Result<Arc<Prepared>, Need> {
        self.plans
            .get(version)
            .cloned()
            .ok_or_else(|| Need::Plan { pipeline: pipeline.to_owned(), version: version.to_owned() })
    }

    /// The settings under which a run is decided: those that its deployment pins, or those of the
    /// environment when it is pinned to none.
    pub fn settings<'a>(&'a self, run: &RunRecord, environment: &'a Settings) -> Result<&'a Settings, Need> {
        match &run.deployment {
            None => Ok(environment),
            Some(uri) => self.deployment(uri),
        }
    }

    /// The settings that a deployment pins.
    pub fn deployment(&self, uri: &str) -> Result<&Settings, Need> {
        let pinned = self.deployments.get(uri);
        pinned.map(Arc::as_ref).ok_or_else(|| Need::Deployment { uri: uri.to_owned() })
    }

    /// A document.
    pub fn document(&self, uri: &str, limit: u64) -> Result<&Document, Need> {
        self.documents.get(uri).ok_or_else(|| Need::Document { uri: uri.to_owned(), limit })
    }

    /// The objects under a prefix.
    pub fn listing(&self, prefix: &str) -> Result<&[Seen], Need> {
        match self.listings.get(prefix) {
            Some(seen) => Ok(seen),
            None => Err(Need::Listing { prefix: prefix.to_owned() }),
        }
    }

    /// What became of an execution.
    pub fn execution(&self, machine: &str, name: &str) -> Result<&Liveness, Need> {
        self.executions
            .get(name)
            .ok_or_else(|| Need::Execution { machine: machine.to_owned(), name: name.to_owned() })
    }

    /// Which of these runs nobody has executions of: on one machine, those whose process is gone.
    pub fn left(&self, runs: impl IntoIterator<Item = RunKey>) -> Result<BTreeSet<RunKey>, Need> {
        let runs: BTreeSet<RunKey> = runs.into_iter().collect();
        let unknown: Vec<RunKey> =
            runs.iter().filter(|run| !self.driven.contains_key(run)).cloned().collect();
        if !unknown.is_empty() {
            return Err(Need::Driven(unknown));
        }
        Ok(runs.into_iter().filter(|run| self.driven.get(run) == Some(&false)).collect())
    }

    /// How the delivery of a notice went.
    pub fn delivery(&self, notice: Notice) -> Result<&Result<(), String>, Need> {
        match self.deliveries.get(&notice.id) {
            Some(outcome) => Ok(outcome),
            None => Err(Need::Delivery(Box::new(notice))),
        }
    }
}
