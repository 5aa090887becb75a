//! A deployment: everything outside the plan that a run on AWS is pinned to. It is an immutable
//! document; a run names it, and keeps it whatever is deployed while the run is under way.
//!
//! Terraform makes it and hands it over; on one machine there is none.

use crate::Json;
use crate::ids::sha256_hex;
use crate::item::Key;
use crate::record::{Record, pipeline_item};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::collections::BTreeMap;

/// The shape of a deployment document that this code writes and reads.
pub const DEPLOYMENT_SCHEMA: u32 = 1;

/// Largest deployment document that is read, in bytes: thousands of task definitions.
pub const DEPLOYMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Largest plan that is read, in bytes: 10,000 tasks of a few kilobytes.
pub const PLAN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the names of a pipeline's parts begin with among its machines. No launch kind begins so.
pub const PART_PREFIX: &str = "part-";

/// One pipeline version in one environment, with everything pinned that a run of it needs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// [`DEPLOYMENT_SCHEMA`].
    pub schema: u32,
    /// The environment's name.
    pub environment: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline version.
    pub version: String,
    /// The version ARN of the pipeline's machine.
    pub machine: String,
    /// Version ARNs of the machines that it starts: by launch kind, and by part (`part-1`, ...).
    #[serde(default)]
    pub machines: BTreeMap<String, String>,
    /// The ARN of the ECS cluster.
    #[serde(default)]
    pub cluster: String,
    /// Fields that every RunTask request carries: `NetworkConfiguration`, `PlatformVersion`, ...
    #[serde(default)]
    pub run_task: Map<String, Json>,
    /// The ARN with revision of each task definition, by the family that the plan names.
    #[serde(default)]
    pub task_definitions: BTreeMap<String, String>,
    /// The environment's values, for `${{ env.x }}`.
    #[serde(default)]
    pub values: Map<String, Json>,
}

impl Deployment {
    /// The document: the same deployment has the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Text keys and JSON values always serialise.
        serde_json::to_vec(self).unwrap_or_else(|error| unreachable!("plain data: {error}"))
    }

    /// Where the document is stored: named by its content, so that it never changes.
    pub fn uri(&self, documents: &str) -> String {
        let digest = sha256_hex(self.to_bytes());
        format!("{documents}/deployments/{}/{}.json", self.pipeline, &digest[..32])
    }

    /// The machines of the pipeline's parts, by part.
    pub fn parts(&self) -> BTreeMap<String, String> {
        let parts = self.machines.iter().filter(|(name, _)| name.starts_with(PART_PREFIX));
        parts.map(|(name, machine)| (name.clone(), machine.clone())).collect()
    }
}

/// Where the plan of a version is stored.
pub fn plan_uri(documents: &str, pipeline: &str, version: &str) -> String {
    format!("{documents}/plans/{pipeline}/{version}.json")
}

/// The key under which the newest deployment of one version of a pipeline is kept, so that a run of an
/// older version (a console start of its machine) finds what belongs to it.
pub fn version_item(pipeline: &str, version: &str) -> Key {
    Key::new(pipeline_item(pipeline).partition, format!("V#{version}"))
}

/// The newest deployment of one version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRecord {
    /// The version.
    pub version: String,
    /// The version ARN of its machine.
    pub machine: String,
    /// The machines of its parts, by part.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// Where the deployment's document is.
    pub deployment: String,
}

impl Record for VersionRecord {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Deployment {
        Deployment {
            schema: DEPLOYMENT_SCHEMA,
            environment: "dev".into(),
            pipeline: "sales".into(),
            version: "v1".into(),
            machine: "arn:sales:1".into(),
            machines: [("container", "arn:container:3"), ("part-1", "arn:part:1")]
                .map(|(name, machine)| (name.to_owned(), machine.to_owned()))
                .into(),
            cluster: "arn:cluster".into(),
            run_task: Map::new(),
            task_definitions: BTreeMap::new(),
            values: Map::new(),
        }
    }

    #[test]
    fn another_content_has_another_place() {
        let one = sample();
        let mut other = sample();
        other.values.insert("lake".into(), Json::from("s3://other"));
        assert_eq!(one.uri("s3://d"), sample().uri("s3://d"));
        assert_ne!(one.uri("s3://d"), other.uri("s3://d"));
        let read: Deployment = serde_json::from_slice(&other.to_bytes()).unwrap();
        assert_eq!(read, other);
    }

    #[test]
    fn parts_are_told_from_kinds() {
        assert_eq!(sample().parts().into_keys().collect::<Vec<_>>(), ["part-1"]);
    }
}
