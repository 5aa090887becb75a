//! The commands that read: files, definitions, the store. Those that run are in `engine`.

pub(crate) mod later;
