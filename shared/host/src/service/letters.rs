//! What other processes of this machine leave for the service, through the store: each is taken within a second
//! or so, and needed by nobody where no service runs.

use super::{Project, Service};
use crate::{Host, World};
use cauce_driver::DriverError;
use cauce_model::ids::sha256_hex;
use cauce_model::item::{Expect, IndexEntry};
use cauce_model::{Instant, Item, Json, Key, RunKey, Write};
use cauce_ports::{Clock, Table, TableError};
use serde_json::{Map, json};

/// The list of letters.
const MAIL_LIST: &str = "mail";

/// Letters that are read at once.
const LETTERS: u32 = 100;

/// What another process leaves for the service, to be seen to at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Letter {
    /// A run wants to be looked at: it was written and nobody has started it, or its end was asked for.
    Run(RunKey),
    /// What is due has changed: a pipeline was paused or let go on, a set of files settles.
    Due,
}

impl Letter {
    /// The write that leaves it. The same letter left twice is there once.
    fn write(&self, now: Instant) -> Write {
        let (name, body) = match self {
            Self::Run(run) => (format!("run#{run}"), json!({"run_key": run})),
            Self::Due => ("due".to_owned(), json!({})),
        };
        let body = match body {
            Json::Object(fields) => fields,
            _ => Map::new(),
        };
        let mut item = Item::new(Key::new("mail", name.clone()), body);
        item.index =
            Some(IndexEntry { list: MAIL_LIST.to_owned(), position: format!("{:020}#{name}", now.micros()) });
        item.expires_at = Some(now.plus_seconds(LETTER_KEPT_SECONDS));
        Write::Put { item, expect: Expect::Any }
    }

    fn of(item: &Item) -> Self {
        let run = item.body.get("run_key").and_then(Json::as_str);
        run.map_or(Self::Due, |run| Self::Run(RunKey::from_text(run)))
    }
}

/// How long a letter that nobody takes is kept. Whoever starts later finds everything without it.
const LETTER_KEPT_SECONDS: u64 = 86_400;

/// Names a write for the store. `at` tells one letter from the same letter left again.
fn token(write: &Write, at: &str) -> String {
    sha256_hex(json!([write, at]).to_string())[..36].to_owned()
}

impl<W: World + 'static> Host<W> {
    /// Leaves a letter for the service of this machine.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn leave(&self, letter: &Letter) -> Result<(), DriverError> {
        let write = letter.write(self.world().clock().now());
        let token = token(&write, "");
        Ok(self.world().table().write(&[write], &token).await?)
    }
}

impl<W: World + 'static, P: Project> Service<W, P> {
    /// Does what letters ask for, and takes them away.
    pub(super) async fn read_letters(&self) -> Result<(), DriverError> {
        loop {
            let page = self.host.world().table().list(MAIL_LIST, "", None, LETTERS).await?;
            if page.items.is_empty() {
                return Ok(());
            }
            for item in &page.items {
                match Letter::of(item) {
                    Letter::Due => self.wake_resting(),
                    Letter::Run(run) => self.look_at(&run).await?,
                }
                // One that was left anew meanwhile stays.
                let gone = Write::Delete { key: item.key.clone(), expect: Expect::Version(item.version) };
                let at = item.index.as_ref().map_or("", |entry| entry.position.as_str());
                let token = token(&gone, at);
                match self.host.world().table().write(&[gone], &token).await {
                    Ok(()) | Err(TableError::Condition { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}
