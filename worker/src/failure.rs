//! How a data task fails: one type, one exit code per kind of trouble.

use std::error::Error;

use datafusion::error::DataFusionError;
use deltalake_core::DeltaTableError;
use thiserror::Error;

use crate::storage::StorageError;

/// Why a task ended without its result. The engine's retry rules read the exit code.
#[derive(Debug, Error)]
pub enum Failure {
    /// The rows or files are not what the task needs. Exit code 1.
    #[error("{0}")]
    Data(String),
    /// The configuration is wrong; running again changes nothing. Exit code 2.
    #[error("{0}")]
    Config(String),
    /// Storage, network, disk or memory failed. Exit code 3.
    #[error("{doing}")]
    System {
        /// What was attempted.
        doing: String,
        /// What came back.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What every fallible function of the worker returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Data(_) => 1,
            Self::Config(_) => 2,
            Self::System { .. } => 3,
        }
    }

    /// The message followed by everything that caused it, outermost first.
    pub fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let line = error.to_string();
            // Wrapping errors often repeat their source; a person needs it once.
            if !text.contains(&line) {
                text = format!("{text}: {line}");
            }
            cause = error.source();
        }
        text
    }

    /// A system failure while doing something.
    pub fn system(doing: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::System { doing: doing.into(), source: source.into() }
    }

    /// Sorts what DataFusion says into the three kinds: planning is configuration, values are data, the rest is the
    /// system.
    pub fn query(doing: impl Into<String>, error: DataFusionError) -> Self {
        let doing = doing.into();
        match error.find_root() {
            DataFusionError::Plan(_) | DataFusionError::SQL(..) | DataFusionError::SchemaError(..) => {
                Self::Config(format!("{doing}: {}", error.strip_backtrace()))
            }
            DataFusionError::NotImplemented(_) => {
                Self::Config(format!("{doing}: not supported: {}", error.strip_backtrace()))
            }
            DataFusionError::ArrowError(..)
            | DataFusionError::Execution(_)
            | DataFusionError::ParquetError(_) => Self::Data(format!("{doing}: {}", error.strip_backtrace())),
            _ => Self::system(doing, error),
        }
    }

    /// Sorts what Delta says: a table that is not one is data, the rest is the system.
    pub fn delta(doing: impl Into<String>, error: DeltaTableError) -> Self {
        let doing = doing.into();
        match error {
            DeltaTableError::NotATable(_) => Self::Data(format!("{doing}: there is no Delta table")),
            DeltaTableError::SchemaMismatch { msg } => Self::Config(format!("{doing}: {msg}")),
            DeltaTableError::Arrow { source } => Self::Data(format!("{doing}: {source}")),
            other => Self::system(doing, other),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotALocation(_) => Self::Config(error.to_string()),
            StorageError::Access { ref location, .. } if error.is_absent() => {
                Self::Data(format!("{location} does not exist"))
            }
            _ => {
                let doing = error.to_string();
                match error {
                    StorageError::Open { source, .. } | StorageError::Access { source, .. } => {
                        Self::system(doing, source)
                    }
                    StorageError::NotALocation(_) => Self::Config(doing),
                }
            }
        }
    }
}
