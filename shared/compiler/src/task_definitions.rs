//! The ECS task definitions that a pipeline needs: one per image, role, secrets and architecture,
//! since a launch can override none of these.

use std::collections::BTreeMap;

use cauce_model::plan::{Architecture, ContainerPlan, Plan, TaskKind};
use cauce_template::{Context, Template};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

/// An ECS task definition to register: what a launch cannot override, and the most that it asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestTaskDefinition {
    /// Its family, unique in the pipeline.
    pub family: String,
    /// The image's name in the project file.
    pub image: String,
    /// Where the project file says that the image lies, as it stands there; without it, the deployment's
    /// variables have to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecr: Option<String>,
    /// The ARN of the role that programs have, with `${env.<name>}` where it depends on the
    /// environment; the environment's own role without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Variables whose values the platform fetches, with their references (`secret:erp/password`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The processor: `x86_64` or `arm64`.
    #[schemars(with = "String")]
    pub architecture: Architecture,
    /// CPU units of its largest task, in 1/1024 vCPU. Launches say their own.
    pub cpu: u32,
    /// Memory of its largest task, in MiB. Launches say their own.
    pub memory: u32,
    /// Disk of the task that has most, in GiB; the platform's default without it. Launches say their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_gib: Option<u32>,
    /// The longest time from SIGTERM to SIGKILL of its tasks, in seconds.
    pub stop_timeout_seconds: u64,
}

/// Every task definition of a plan, by family.
pub(crate) fn of(plan: &Plan) -> Vec<ManifestTaskDefinition> {
    let mut families: BTreeMap<&str, ManifestTaskDefinition> = BTreeMap::new();
    for task in &plan.tasks {
        let TaskKind::Container(container) = &task.kind else { continue };
        let own = definition(container, task.stop_timeout_seconds);
        families
            .entry(&container.task_definition)
            .and_modify(|known| {
                // A pair that one task has, so that Fargate offers it.
                (known.cpu, known.memory) = (known.cpu, known.memory).max((own.cpu, own.memory));
                known.ephemeral_storage_gib = known.ephemeral_storage_gib.max(own.ephemeral_storage_gib);
                known.stop_timeout_seconds = known.stop_timeout_seconds.max(own.stop_timeout_seconds);
            })
            .or_insert(own);
    }
    families.into_values().collect()
}

fn definition(container: &ContainerPlan, stop_timeout_seconds: u64) -> ManifestTaskDefinition {
    ManifestTaskDefinition {
        family: container.task_definition.clone(),
        image: container.image.clone(),
        ecr: None,
        role: container.role.as_deref().map(placeholders),
        secrets: container.secrets.clone(),
        architecture: container.architecture,
        cpu: container.cpu,
        memory: container.memory,
        ephemeral_storage_gib: container.ephemeral_storage_gib,
        stop_timeout_seconds,
    }
}

/// `${{ env.x }}` as what Terraform fills: `${env.x}`. The checks let nothing else stand there; what
/// could not be read stays as it is.
fn placeholders(text: &str) -> String {
    let Ok(template) = Template::parse(text) else { return text.to_owned() };
    let names = template.names().iter().filter(|name| name.placeholder);
    let values: Map<_, _> = names
        .filter_map(|name| name.path.get(1))
        .map(|name| (name.clone(), json!(format!("${{env.{name}}}"))))
        .collect();
    let filled = template.fill_env(&values).and_then(|filled| filled.render_text(&Context::new(&Map::new())));
    filled.unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_keeps_its_environment_open() {
        assert_eq!(placeholders("${{ env.role }}"), "${env.role}");
        let arn = "arn:aws:iam::${{ env.account }}:role/etl";
        assert_eq!(placeholders(arn), "arn:aws:iam::${env.account}:role/etl");
        assert_eq!(placeholders("arn:aws:iam::1:role/etl"), "arn:aws:iam::1:role/etl");
    }
}
