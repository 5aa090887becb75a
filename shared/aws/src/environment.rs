//! What a deployed environment consists of, as its functions are told.

/// Names of the environment variables that every function has.
pub mod variables {
    /// The environment: `<project>-<env>`, the prefix of all its names.
    pub const ENVIRONMENT: &str = "CAUCE_ENVIRONMENT";
    /// The name of the store's table.
    pub const TABLE: &str = "CAUCE_TABLE";
    /// Where documents lie: `s3://<bucket>`.
    pub const DOCUMENTS: &str = "CAUCE_DOCUMENTS";
    /// The ARN of the cluster that tasks run in.
    pub const CLUSTER: &str = "CAUCE_CLUSTER";
    /// The URL of the queue that notices wait in.
    pub const NOTICES: &str = "CAUCE_NOTICES";
    /// The URL of the queue of events that may start runs.
    pub const TRIGGERS: &str = "CAUCE_TRIGGERS";
    /// The URL of the queue for what nobody could work on.
    pub const DEAD_LETTERS: &str = "CAUCE_DEAD_LETTERS";
    /// The least level that is logged: `error`, `warn`, `info`, `debug` or `trace`. May be absent.
    pub const LOG: &str = "CAUCE_LOG";
}

/// What is logged when [`variables::LOG`] does not say.
const LOG_DEFAULT: &str = "info";

/// A deployed environment. Functions read it from their variables; the command line gives the values
/// that it knows from its own configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Environment {
    /// `<project>-<env>`: the prefix of all its names.
    pub name: String,
    /// The name of the store's table.
    pub table: String,
    /// `s3://<bucket>`, without a slash at its end.
    pub documents: String,
    /// The ARN of the cluster that tasks run in.
    pub cluster: String,
    /// The URL of the queue that notices wait in.
    pub notices: String,
    /// The URL of the queue of events that may start runs.
    pub triggers: String,
    /// The URL of the queue for what nobody could work on.
    pub dead_letters: String,
    /// The least level that is logged.
    pub log: String,
}

/// Variables that a function needs and does not have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the environment lacks {}: a function has these variables from its Terraform module",
    names.join(", ")
)]
pub struct MissingVariables {
    /// Their names, all of them.
    pub names: Vec<&'static str>,
}

impl Environment {
    /// Reads the variables of this process.
    ///
    /// # Errors
    /// Every variable that is absent, empty or not UTF-8, all at once.
    pub fn from_env() -> Result<Self, MissingVariables> {
        #[expect(clippy::disallowed_methods, reason = "the one place that a function reads its environment")]
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the variables from wherever `lookup` finds them.
    ///
    /// # Errors
    /// Every variable that is absent or empty, all at once.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, MissingVariables> {
        let mut names = Vec::new();
        let mut need = |name: &'static str| {
            lookup(name).filter(|value| !value.is_empty()).unwrap_or_else(|| {
                names.push(name);
                String::new()
            })
        };
        let environment = Self {
            name: need(variables::ENVIRONMENT),
            table: need(variables::TABLE),
            documents: need(variables::DOCUMENTS).trim_end_matches('/').to_owned(),
            cluster: need(variables::CLUSTER),
            notices: need(variables::NOTICES),
            triggers: need(variables::TRIGGERS),
            dead_letters: need(variables::DEAD_LETTERS),
            log: lookup(variables::LOG)
                .filter(|level| !level.is_empty())
                .unwrap_or_else(|| LOG_DEFAULT.to_owned()),
        };
        if names.is_empty() { Ok(environment) } else { Err(MissingVariables { names }) }
    }

    /// The address of a document below the environment's documents.
    pub fn document(&self, path: &str) -> String {
        format!("{}/{path}", self.documents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_missing_variables_are_reported_at_once() {
        let error = Environment::read(|name| match name {
            variables::TABLE => Some(String::new()),
            variables::CLUSTER => None,
            _ => Some("x".to_owned()),
        })
        .unwrap_err();
        assert_eq!(error.names, [variables::TABLE, variables::CLUSTER]);
        assert!(error.to_string().contains("CAUCE_TABLE, CAUCE_CLUSTER"), "{error}");
    }

    #[test]
    fn the_level_of_the_log_may_be_absent_and_documents_end_without_a_slash() {
        let environment = Environment::read(|name| match name {
            variables::LOG => None,
            variables::DOCUMENTS => Some("s3://docs/".to_owned()),
            other => Some(other.to_lowercase()),
        })
        .unwrap();
        assert_eq!(environment.log, "info");
        assert_eq!(environment.table, "cauce_table");
        assert_eq!(environment.document("channels.json"), "s3://docs/channels.json");
    }
}
