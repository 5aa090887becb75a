//! One task's query engine: DataFusion with a memory limit, a scratch folder, and the stores its inputs live in.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake_core::delta_datafusion::planner::DeltaPlanner;
use tempfile::TempDir;
use url::Url;

use crate::config::MemoryMib;
use crate::failure::{Failure, Result};
use crate::mask;
use crate::storage::{Location, Storage};

/// How many partitions a query is worked on in parallel. One: rows then come out in one order on every machine, and a
/// sort's final merge, which cannot spill, does not compete with the sorts that feed it for a small memory limit.
const PARALLEL: usize = 1;

/// The engine of one task. Dropping it deletes its scratch folder.
pub struct Session {
    /// DataFusion's own handle.
    pub context: SessionContext,
    /// The stores.
    pub storage: Arc<Storage>,
    /// Who writes: stands in the names of files and in commits.
    pub writer: String,
    scratch: TempDir,
}

impl Session {
    /// An engine that spills to disk beyond `memory`.
    pub fn new(storage: Arc<Storage>, memory: MemoryMib, writer: String) -> Result<Self> {
        let cannot = "cannot open a scratch folder";
        let scratch =
            tempfile::Builder::new().prefix("cauce-").tempdir().map_err(|e| Failure::system(cannot, e))?;
        let spill = scratch.path().join("spill");
        std::fs::create_dir(&spill).map_err(|error| Failure::system(cannot, error))?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory.0 << 20)))
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill])),
            )
            .build_arc()
            .map_err(|error| Failure::system("cannot start the query engine", error))?;
        let mut config = SessionConfig::new().with_target_partitions(PARALLEL).with_information_schema(false);
        let options = config.options_mut();
        // Plain strings: what is staged, hashed and written is then one type everywhere.
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        // Spilled sorts merge with this much set aside; the default of 10 MB per partition starves a small limit.
        options.execution.sort_spill_reservation_bytes = (memory.0 << 20) / 16;
        // Delta's planner knows the nodes of Delta's writes and plans everything else as DataFusion does.
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_query_planner(DeltaPlanner::new())
            .build();
        let context = SessionContext::new_with_state(state);
        for function in mask::functions() {
            context.register_udf(function);
        }
        Ok(Self { context, storage, writer, scratch })
    }

    /// A path in the scratch folder.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The URL of a path in the scratch folder.
    pub fn scratch_url(&self, name: &str) -> Result<Url> {
        Url::from_file_path(self.scratch(name))
            .map_err(|()| Failure::system("cannot name the scratch folder", "its path is not absolute"))
    }

    /// Lets the engine read the store of a location.
    pub fn open(&self, location: &Location) -> Result<()> {
        let store = self.storage.store(location)?;
        self.context.register_object_store(&location.root(), store);
        Ok(())
    }
}
