//! The list of what is due at a moment: deadlines, sets of files, datasets, clocks, ticks that are handed
//! out. Other events are redelivered until
//! they are decided, and a generation that waits for the present one's end is found with its run.

use crate::{Driver, DriverError, Ports};
use cauce_engine::Command;
use cauce_engine::command::Event;
use cauce_model::dataset::{ConsumerRecord, DatasetRecord};
use cauce_model::event::{ClockRecord, SetRecord};
use cauce_model::matrix::FanRecord;
use cauce_model::record::DUE_LIST;
use cauce_model::{Instant, Item, Json, Key, RunKey};
use cauce_ports::Cursor;

/// Something that is due at a moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Due {
    /// Its item.
    pub key: Key,
    /// The item's version: one that was performed and stands there unchanged waits for something else.
    pub version: u64,
    /// Its place in the list.
    pub position: String,
    /// When.
    pub at: Instant,
    /// What is to be decided then; `None`: a newer version of this program wrote it.
    pub command: Option<Command>,
}

impl<P: Ports> Driver<P> {
    /// What is due now or later, soonest first, a page at a time, and where the next page begins.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn due(&self, after: Option<Cursor>) -> Result<(Vec<Due>, Option<Cursor>), DriverError> {
        self.due_from("", after).await
    }

    /// As [`Driver::due`], from one place of the list on.
    pub(crate) async fn due_from(
        &self,
        from: &str,
        after: Option<Cursor>,
    ) -> Result<(Vec<Due>, Option<Cursor>), DriverError> {
        let page = self.page(DUE_LIST, from, after).await?;
        Ok((page.items.iter().map(of).collect(), page.next))
    }
}

fn of(item: &Item) -> Due {
    let position = item.index.as_ref().map_or("", |entry| entry.position.as_str());
    let micros = position.split('#').next().and_then(|micros| micros.parse().ok());
    Due {
        key: item.key.clone(),
        version: item.version,
        position: position.to_owned(),
        at: Instant::from_micros(micros.unwrap_or_default()),
        command: command(item),
    }
}

fn command(item: &Item) -> Option<Command> {
    let text = |field: &str| item.body.get(field).and_then(Json::as_str);
    match text("command")? {
        "deadline" => Some(Command::Deadline { run_key: RunKey::from_text(text("run_key")?) }),
        SetRecord::COMMAND => {
            Some(Command::Set { pipeline: text("pipeline")?.to_owned(), set: text("set")?.to_owned() })
        }
        FanRecord::COMMAND => Some(Command::Fan {
            pipeline: text("pipeline")?.to_owned(),
            schedule: text("schedule")?.to_owned(),
            scheduled_at: Instant::parse(text("scheduled_at")?).ok()?,
        }),
        DatasetRecord::COMMAND => {
            Some(Command::Event(Box::new(Event::Dataset { dataset: text("dataset")?.to_owned() })))
        }
        ConsumerRecord::COMMAND => {
            Some(Command::Event(Box::new(Event::Consumer { pipeline: text("pipeline")?.to_owned() })))
        }
        ClockRecord::COMMAND => Some(Command::Ticks { pipeline: text("pipeline")?.to_owned() }),
        _ => None,
    }
}
