//! The task contract, read once: who this task is, what it is to do, and where its answer goes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::MemoryMib;
use crate::failure::{Failure, Result};
use crate::files;
use crate::session::Session;
use crate::storage::Storage;

/// One passage of one data task.
pub struct Task {
    variables: BTreeMap<String, String>,
    config: Value,
    storage: Arc<Storage>,
}

impl Task {
    /// Reads the contract from the environment's variables. `folder` is the absolute working folder.
    pub async fn read(variables: BTreeMap<String, String>, folder: PathBuf) -> Result<Self> {
        let storage = Arc::new(Storage::new(folder));
        let wrong = |from: &str, error| Failure::Config(format!("{from} is not JSON: {error}"));
        let config = match (variables.get("CAUCE_CONFIG"), variables.get("CAUCE_INPUT_URI")) {
            (Some(text), _) => serde_json::from_str(text).map_err(|error| wrong("CAUCE_CONFIG", error))?,
            (None, Some(uri)) => {
                let bytes = files::read_small(&storage, &storage.locate(uri)?).await?.ok_or_else(|| {
                    Failure::Config(format!("CAUCE_INPUT_URI names {uri}, which is not there"))
                })?;
                let mut document: Value =
                    serde_json::from_slice(&bytes).map_err(|error| wrong(uri, error))?;
                document
                    .get_mut("config")
                    .map(Value::take)
                    .ok_or_else(|| Failure::Config(format!("the input document {uri} has no `config`")))?
            }
            (None, None) => {
                return Err(Failure::Config("neither CAUCE_CONFIG nor CAUCE_INPUT_URI is set".to_owned()));
            }
        };
        Ok(Self { variables, config, storage })
    }

    /// The configuration as its kind's type.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.config).map_err(|error| Failure::Config(error.to_string()))
    }

    /// A query engine for this task.
    pub fn session(&self, memory: MemoryMib) -> Result<Session> {
        Session::new(self.storage.clone(), memory, self.writer())
    }

    /// The stores.
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// A variable of the contract, empty when it is not set.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// A secret's value.
    pub fn secret(&self, name: &str) -> Result<Vec<u8>> {
        match self.variables.get(name) {
            Some(value) if !value.is_empty() => Ok(value.clone().into_bytes()),
            _ => Err(Failure::Config(format!(
                "the environment variable {name} is not set: declare it under `secrets`"
            ))),
        }
    }

    /// The end of the run's data interval.
    pub fn interval_end(&self) -> Result<Timestamp> {
        let text = self.variable("CAUCE_DATA_INTERVAL_END");
        text.parse().map_err(|_| {
            Failure::Config(
                "the run has no data interval: say `at`, the instant that freshness is held against"
                    .to_owned(),
            )
        })
    }

    /// Twelve hexadecimal digits that are the same for every attempt and generation of this task run, so that a retry
    /// replaces its own files.
    fn writer(&self) -> String {
        let mut hash = Sha256::new();
        for name in ["CAUCE_PIPELINE", "CAUCE_RUN_ID", "CAUCE_TASK", "CAUCE_INDEX"] {
            hash.update(self.variable(name).as_bytes());
            hash.update([0]);
        }
        HEXLOWER.encode(&hash.finalize()[..6])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn a_large_configuration_comes_in_the_input_document() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("input.json"), r#"{"params": {}, "config": {"query": "x"}}"#)
            .unwrap();
        let task = Task::read(variables(&[("CAUCE_INPUT_URI", "input.json")]), folder.path().to_owned())
            .await
            .unwrap();
        assert_eq!(task.config["query"], "x");
        for wrong in [&[][..], &[("CAUCE_CONFIG", "{")], &[("CAUCE_INPUT_URI", "absent.json")]] {
            let read = Task::read(variables(wrong), folder.path().to_owned()).await;
            assert_eq!(read.err().unwrap().exit_code(), 2, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn the_writer_is_the_task_run_not_the_attempt() {
        let of = async |pairs: &[(&str, &str)]| {
            let mut all = variables(pairs);
            all.insert("CAUCE_CONFIG".to_owned(), "{}".to_owned());
            Task::read(all, PathBuf::from("/")).await.unwrap().writer()
        };
        let first = of(&[("CAUCE_RUN_ID", "1997-01-05"), ("CAUCE_ATTEMPT", "1")]).await;
        assert_eq!(first, of(&[("CAUCE_RUN_ID", "1997-01-05"), ("CAUCE_ATTEMPT", "2")]).await);
        assert_ne!(first, of(&[("CAUCE_RUN_ID", "1997-01-06"), ("CAUCE_ATTEMPT", "1")]).await);
    }
}
