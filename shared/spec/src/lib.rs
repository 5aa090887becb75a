//! Pipeline files: YAML text to a checked pipeline and its diagnostics.
//!
//! [`check`] reads a pipeline file, [`check_project`] the project file `cauce.yaml`. Both report
//! everything that is wrong at once, with code, place and help, and give the typed result only when
//! nothing is.
//!
//! What this crate never does: read files, clocks or environments; run anything; decide how a
//! pipeline is executed (that is `cauce-compiler`). It does not panic, whatever the bytes are.
//!
//! Start reading at [`Pipeline`] for what a file says; `tree` for how text becomes a tree with
//! places, `shape` for how a tree becomes types, `checks` for what types cannot say, [`render`] for how a
//! diagnostic is shown.

mod check;
mod checks;
mod code;
mod diagnostic;
mod expand;
pub mod file;
mod inline;
mod items;
pub mod render;
pub mod schema;
mod shape;
pub mod teardown;
mod tree;

pub use check::{Checked, check, check_in, check_project, check_template, check_with};
pub use diagnostic::{Code, Diagnostic, Position, Severity, Span};
pub use file::kind::{Container, Kind};
pub use file::pipeline::Pipeline;
pub use file::project::Project;
pub use file::task::Task;
pub use inline::{HolidaysError, InlineError};
pub use items::{Items, MatrixItem};
pub use shape::{
    Argv, Cron, Day, Hours, Moment, Name, Offset, PoolName, Seconds, SecretRef, Stretch, TimeZoneName,
    Weekdays,
};
pub use tree::{MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES};
