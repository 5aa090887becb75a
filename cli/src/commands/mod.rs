//! The commands that read: files, definitions, the store. Those that run are in `engine`.

pub(crate) mod init;

pub(crate) mod check;

pub(crate) mod build;

pub(crate) mod graph;

pub(crate) mod docs;

pub(crate) mod schedule;

pub(crate) mod explain;

pub(crate) mod pools;

pub(crate) mod controls;

pub(crate) mod runs;

mod list_there;

pub(crate) mod audit;

pub(crate) mod triggers;

pub(crate) mod datasets;

pub(crate) mod show;
pub(crate) mod sync;

pub(crate) mod why;

mod why_pipeline;

pub(crate) mod logs;

mod logs_there;

pub(crate) mod pause;

pub(crate) mod asl;

pub(crate) mod deploy;

pub(crate) mod doctor;

pub(crate) mod cost;

pub(crate) mod report;

pub(crate) mod canary;

pub(crate) mod later;

pub(crate) mod sweep;

/// A version as people are shown it: twelve characters tell any two apart.
pub(crate) fn short(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}

/// The functions of a deployed environment.
pub(crate) const FUNCTIONS: [&str; 10] = [
    "trigger-run",
    "open-run",
    "begin-task",
    "expand-map",
    "finish-task",
    "close-run",
    "record-event",
    "sweep",
    "notify",
    "take-tokens",
];
