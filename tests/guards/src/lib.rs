//! Mutation checks of guards: conditions of writes, and comparisons of fences, generations and order.
//!
//! A guard that nothing needs looks like one that everything rests on. So each is found by reading the
//! source ([`find`]), must stand in a committed list with the test that fails without it ([`list`]), and
//! `make guards` takes each away in turn and runs that test ([`copy`] builds all of it once, [`trial`] runs
//! it). What is never done here: a source file of the repository is not written.
//!
//! Start reading at [`find::Guard`].

pub mod copy;
pub mod find;
pub mod list;
pub mod trial;

use std::path::{Path, PathBuf};

/// The folder of the workspace that this crate stands in.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
