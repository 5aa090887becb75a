//! Who may use the API: keys, and what each may do. Values of secrets are never here, only their names.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The keys of an environment, as the document `api.json` and the project file have them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Keys by name: what records call whoever holds one.
    #[serde(default)]
    pub keys: BTreeMap<String, AccessKey>,
}

/// A key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The reference of its secret.
    pub secret: String,
    /// The reference of a second secret that is as good, while one takes the place of the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The pipelines it is for; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<Vec<String>>,
}

/// Something that a key may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Scope {
    /// See runs.
    #[serde(rename = "runs:read")]
    RunsRead,
    /// Start, rerun, cancel and mark runs.
    #[serde(rename = "runs:write")]
    RunsWrite,
    /// Read what tasks printed.
    #[serde(rename = "logs:read")]
    LogsRead,
    /// Answer approvals.
    #[serde(rename = "approvals:write")]
    ApprovalsWrite,
    /// See pipelines.
    #[serde(rename = "pipelines:read")]
    PipelinesRead,
    /// Pause and unpause pipelines.
    #[serde(rename = "pipelines:write")]
    PipelinesWrite,
    /// Read metrics, which are of all pipelines.
    #[serde(rename = "metrics:read")]
    MetricsRead,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RunsRead,
        Self::RunsWrite,
        Self::LogsRead,
        Self::ApprovalsWrite,
        Self::PipelinesRead,
        Self::PipelinesWrite,
        Self::MetricsRead,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunsRead => "runs:read",
            Self::RunsWrite => "runs:write",
            Self::LogsRead => "logs:read",
            Self::ApprovalsWrite => "approvals:write",
            Self::PipelinesRead => "pipelines:read",
            Self::PipelinesWrite => "pipelines:write",
            Self::MetricsRead => "metrics:read",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_stored_as_its_word() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }
}
