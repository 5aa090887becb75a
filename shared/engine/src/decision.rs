//! What a decision is: writes, effects that follow them, and what its caller hears.

use crate::command::{Command, Event};
use cauce_model::record::Notice;
use cauce_model::{Instant, Json, Key, Write};

/// What was decided.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Decision {
    /// Documents to store before the write, so that what the write names exists.
    pub documents: Vec<(String, Vec<u8>)>,
    /// The write: all or nothing, possibly nothing at all.
    pub writes: Vec<Write>,
    /// Work to perform after the write, in no particular order; each safe to repeat.
    pub effects: Vec<Effect>,
    /// What the caller hears.
    pub reply: Reply,
}

/// What the caller hears.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Reply {
    /// Nothing: the answer went to a token, or will.
    #[default]
    None,
    /// A result.
    Ok(Json),
    /// A named failure.
    Failure {
        /// A name of `cauce_model::names`.
        error: &'static str,
        /// In words.
        cause: String,
    },
}

/// Work that the core asks its caller to perform.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Answer a token with a result.
    Answer {
        /// The token.
        token: String,
        /// The result.
        result: Json,
    },
    /// Answer a token with a failure.
    Refuse {
        /// The token.
        token: String,
        /// A name of `cauce_model::names`.
        error: &'static str,
        /// In words, or JSON.
        cause: String,
    },
    /// Decide this as well.
    Command(Box<Command>),
    /// Deliver a notice, then take it out of the outbox of this item.
    Deliver {
        /// The item with the outbox.
        key: Key,
        /// The notice.
        notice: Box<Notice>,
    },
    /// Start an execution.
    Start {
        /// Its machine.
        machine: String,
        /// Its name.
        name: String,
        /// Its input.
        input: Json,
    },
    /// Stop an execution.
    Stop {
        /// Its machine.
        machine: String,
        /// Its name.
        name: String,
        /// Why, in words.
        cause: String,
    },
    /// Stop a program.
    StopProgram {
        /// The platform's id of it.
        id: String,
        /// Why, in words.
        reason: String,
    },
    /// Decide these, in no particular order; once all of them are, decide the last.
    Each {
        /// What.
        commands: Vec<Command>,
        /// What follows all of them.
        then: Box<Command>,
    },
    /// Have this decided by whoever hears events, apart from this one's caller. It is in the store's due list
    /// too, so losing it loses time only.
    Post(Event),
    /// Decide this at that moment. It is in the store's due list too, so losing it loses time only.
    At {
        /// When.
        at: Instant,
        /// What.
        command: Box<Command>,
    },
}
