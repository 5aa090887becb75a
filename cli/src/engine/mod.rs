//! The embedded engine behind `run`, `backfill`, `resume`, `rerun`, `cancel`, `mark`, `simulate`.

use crate::args::{BackfillArgs, CancelArgs, MarkArgs, RerunArgs, ResumeArgs, RunArgs, SimulateArgs};
use crate::context::Context;
use crate::error::{Exit, Failure};

macro_rules! assembled_elsewhere {
    ($($name:ident: $args:ty),*) => {$(
        pub(crate) fn $name(_: &$args, _: &Context) -> Result<Exit, Failure> {
            Err(Failure::system(concat!(stringify!($name), " is not assembled in this build")))
        }
    )*};
}

assembled_elsewhere!(run: RunArgs, backfill: BackfillArgs, resume: ResumeArgs, rerun: RerunArgs,
    cancel: CancelArgs, mark: MarkArgs, simulate: SimulateArgs);
