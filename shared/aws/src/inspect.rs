//! Looking at what is deployed, for `cauce doctor`: descriptions only, nothing is called or changed.

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use crate::signed::{Call, Service, Signed, elements};
use aws_sdk_dynamodb::types::KeyType;
use aws_sdk_sqs::types::QueueAttributeName;
use cauce_model::Json;
use serde_json::json;

/// Why something could not be looked at.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InspectError(pub String);

/// A table, as far as the store needs it in a certain shape.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableShape {
    /// `ACTIVE` when it can be used.
    pub status: String,
    /// Names of its hash and range key.
    pub keys: (String, String),
    /// Its indexes: name, hash key, range key.
    pub indexes: Vec<(String, String, String)>,
    /// Whether it refuses to be deleted.
    pub is_protected: bool,
    /// Whether it can be restored to a moment; `None` when that could not be read.
    pub has_recovery: Option<bool>,
    /// The attribute by which items expire; `None` when there is none or it could not be read.
    pub ttl: Option<String>,
}

/// A cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterShape {
    /// `ACTIVE` when it can be used.
    pub status: String,
    /// Its capacity providers.
    pub capacity_providers: Vec<String>,
    /// Tasks under way in it.
    pub running: u32,
}

/// A task definition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskDefinitionShape {
    /// `ACTIVE`, or `INACTIVE` when it was deregistered: it cannot start anything new.
    pub status: String,
    /// The images of its containers.
    pub images: Vec<String>,
    /// The ARNs of the roles that it starts with and runs with.
    pub execution_role: Option<String>,
    /// The ARN of the role of its code.
    pub task_role: Option<String>,
}

/// A state machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MachineShape {
    /// `ACTIVE` when it can be started.
    pub status: String,
    /// The ARN of the role that it acts as.
    pub role: String,
}

/// A function.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FunctionShape {
    /// `Active` when it can be invoked.
    pub state: String,
    /// Whether its last update is in effect: `Successful`, `InProgress`, `Failed`.
    pub update: String,
    /// The base64 of its package's sha256.
    pub code_sha256: String,
    /// The ARN of the role that it acts as.
    pub role: String,
}

/// What of an environment can be described.
#[derive(Clone, Debug)]
pub struct Inspect {
    tables: aws_sdk_dynamodb::Client,
    buckets: aws_sdk_s3::Client,
    machines: aws_sdk_sfn::Client,
    clusters: aws_sdk_ecs::Client,
    queues: aws_sdk_sqs::Client,
    groups: aws_sdk_cloudwatchlogs::Client,
    others: Signed,
}

/// How an image is named in its repository.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageId<'a> {
    /// By a tag.
    Tag(&'a str),
    /// By its content.
    Digest(&'a str),
}

fn read(answer: &[u8]) -> Result<Json, InspectError> {
    serde_json::from_slice(answer)
        .map_err(|error| InspectError(format!("an answer that is no JSON: {error}")))
}

/// `None` for what is not there, an error for what may not be looked at.
fn found<T>(outcome: Result<T, Failure>, absent: &[&str]) -> Result<Option<T>, InspectError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(failure) if absent.contains(&failure.code.as_str()) => Ok(None),
        Err(failure) if failure.kind == Kind::Denied => {
            Err(InspectError(format!("no permission to look: {}", failure.text())))
        }
        Err(failure) => Err(InspectError(failure.text())),
    }
}

/// A role, if one is named. Emulators write an empty name where AWS writes none.
fn named(role: Option<&str>) -> Option<String> {
    role.filter(|role| !role.is_empty()).map(str::to_owned)
}

impl Inspect {
    /// Looks with this connection.
    pub fn new(connection: &Connection) -> Self {
        let config = connection.config();
        // As in S3Objects: an emulator answers under one name.
        let s3 = aws_sdk_s3::config::Builder::from(config).force_path_style(connection.is_emulated()).build();
        Self {
            tables: aws_sdk_dynamodb::Client::new(config),
            buckets: aws_sdk_s3::Client::from_conf(s3),
            machines: aws_sdk_sfn::Client::new(config),
            clusters: aws_sdk_ecs::Client::new(config),
            queues: aws_sdk_sqs::Client::new(config),
            groups: aws_sdk_cloudwatchlogs::Client::new(config),
            others: Signed::new(connection),
        }
    }

    /// A DynamoDB table; `None` when there is none of that name.
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn table(&self, name: &str) -> Result<Option<TableShape>, InspectError> {
        let call = self.tables.describe_table().table_name(name).send().await;
        let answer = found(call.map_err(|e| Failure::of(&e)), &["ResourceNotFoundException"])?;
        let Some(table) = answer.and_then(|answer| answer.table) else { return Ok(None) };
        let keys = |schema: &[aws_sdk_dynamodb::types::KeySchemaElement]| {
            let of = |kind: &KeyType| {
                let found = schema.iter().find(|key| key.key_type() == kind);
                found.map(|key| key.attribute_name().to_owned()).unwrap_or_default()
            };
            (of(&KeyType::Hash), of(&KeyType::Range))
        };
        let index = |index: &aws_sdk_dynamodb::types::GlobalSecondaryIndexDescription| {
            let (hash, range) = keys(index.key_schema());
            (index.index_name().unwrap_or_default().to_owned(), hash, range)
        };
        let backups = self.tables.describe_continuous_backups().table_name(name).send().await.ok();
        let has_recovery = backups
            .and_then(|answer| answer.continuous_backups_description)
            .and_then(|backups| backups.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status)
            .map(|status| status.as_str() == "ENABLED");
        let ttl = self.tables.describe_time_to_live().table_name(name).send().await.ok();
        let ttl = ttl
            .and_then(|answer| answer.time_to_live_description)
            .filter(|ttl| {
                ttl.time_to_live_status().is_some_and(|status| status.as_str().starts_with("ENABL"))
            })
            .and_then(|ttl| ttl.attribute_name);
        Ok(Some(TableShape {
            status: table.table_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            keys: keys(table.key_schema()),
            indexes: table.global_secondary_indexes().iter().map(index).collect(),
            is_protected: table.deletion_protection_enabled().unwrap_or_default(),
            has_recovery,
            ttl,
        }))
    }

    /// Whether there is a bucket.
    ///
    /// # Errors
    /// It is somebody else's, no permission, or no answer.
    pub async fn bucket(&self, name: &str) -> Result<bool, InspectError> {
        let call = self.buckets.head_bucket().bucket(name).send().await;
        match call {
            Ok(_) => Ok(true),
            // HeadBucket has no body, so its failure may have no code but this.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => Ok(false),
            Err(error) => {
                found(Err::<(), _>(Failure::of(&error)), &["NoSuchBucket"]).map(|found| found.is_some())
            }
        }
    }

    /// A state machine or a version of one; `None` when there is none.
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn machine(&self, arn: &str) -> Result<Option<MachineShape>, InspectError> {
        let call = self.machines.describe_state_machine().state_machine_arn(arn).send().await;
        let absent = ["StateMachineDoesNotExist", "ResourceNotFound"];
        let answer = found(call.map_err(|e| Failure::of(&e)), &absent)?;
        Ok(answer.map(|machine| MachineShape {
            status: machine.status().map_or_else(|| "ACTIVE".to_owned(), |status| status.as_str().to_owned()),
            role: machine.role_arn,
        }))
    }

    /// A cluster; `None` when there is none.
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn cluster(&self, arn: &str) -> Result<Option<ClusterShape>, InspectError> {
        let call = self.clusters.describe_clusters().clusters(arn).send().await;
        let answer = found(call.map_err(|e| Failure::of(&e)), &["ClusterNotFoundException"])?;
        let cluster = answer.and_then(|answer| answer.clusters?.into_iter().next());
        Ok(cluster.map(|cluster| ClusterShape {
            status: cluster.status.unwrap_or_default(),
            capacity_providers: cluster.capacity_providers.unwrap_or_default(),
            running: u32::try_from(cluster.running_tasks_count).unwrap_or_default(),
        }))
    }

    /// A task definition; `None` when there is none.
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn task_definition(&self, arn: &str) -> Result<Option<TaskDefinitionShape>, InspectError> {
        let call = self.clusters.describe_task_definition().task_definition(arn).send().await;
        let outcome = call.map_err(|error| {
            let mut failure = Failure::of(&error);
            // ClientException "Unable to describe task definition." is how ECS says that there is none.
            if failure.code == "ClientException" && failure.message.contains("Unable to describe") {
                failure.code = "Absent".to_owned();
            }
            failure
        });
        let answer = found(outcome, &["Absent"])?;
        let definition = answer.and_then(|answer| answer.task_definition);
        Ok(definition.map(|definition| TaskDefinitionShape {
            status: definition.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            images: definition
                .container_definitions()
                .iter()
                .filter_map(|container| container.image().map(str::to_owned))
                .collect(),
            execution_role: named(definition.execution_role_arn()),
            task_role: named(definition.task_role_arn()),
        }))
    }

    /// A function; `None` when there is none of that name.
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html>
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn function(&self, name: &str) -> Result<Option<FunctionShape>, InspectError> {
        let call = Call {
            service: Service::Lambda,
            operation: "GetFunctionConfiguration",
            method: "GET",
            path: format!("/2015-03-31/functions/{name}/configuration"),
            headers: Vec::new(),
            body: String::new(),
        };
        let Some(answer) = found(self.others.send(call).await, &["ResourceNotFoundException"])? else {
            return Ok(None);
        };
        let answer = read(&answer)?;
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        Ok(Some(FunctionShape {
            state: text("State"),
            update: text("LastUpdateStatus"),
            code_sha256: text("CodeSha256"),
            role: text("Role"),
        }))
    }

    /// Whether a role has policies, its own or attached ones; `None` when there is no such role.
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRolePolicies.html>
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn has_policies(&self, role: &str) -> Result<Option<bool>, InspectError> {
        for operation in ["ListRolePolicies", "ListAttachedRolePolicies"] {
            let call = Call {
                service: Service::Iam,
                operation,
                method: "POST",
                path: "/".to_owned(),
                headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
                // Names of roles are letters, digits and `+=,.@_-`, of which ours have hyphens and underscores.
                body: format!("Action={operation}&Version=2010-05-08&RoleName={role}"),
            };
            let Some(answer) = found(self.others.send(call).await, &["NoSuchEntity"])? else {
                return Ok(None);
            };
            if elements(&String::from_utf8_lossy(&answer), "member").next().is_some() {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    /// Whether the account's registry has an image, by its tag or digest.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn image(&self, repository: &str, image: ImageId<'_>) -> Result<bool, InspectError> {
        let id = match image {
            ImageId::Tag(tag) => json!({"imageTag": tag}),
            ImageId::Digest(digest) => json!({"imageDigest": digest}),
        };
        let call = Call {
            service: Service::Registry,
            operation: "DescribeImages",
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeImages".to_owned()),
            ],
            body: json!({"repositoryName": repository, "imageIds": [id]}).to_string(),
        };
        let absent = ["ImageNotFoundException", "RepositoryNotFoundException"];
        let Some(answer) = found(self.others.send(call).await, &absent)? else { return Ok(false) };
        Ok(read(&answer)?["imageDetails"].as_array().is_some_and(|images| !images.is_empty()))
    }

    /// About how many messages lie in a queue; `None` when there is no such queue.
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn queue(&self, url: &str) -> Result<Option<u64>, InspectError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let call =
            self.queues.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send().await;
        let absent = ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"];
        let answer = found(call.map_err(|e| Failure::of(&e)), &absent)?;
        Ok(answer.map(|answer| {
            let count = answer.attributes().and_then(|found| found.get(&name)?.parse().ok());
            count.unwrap_or_default()
        }))
    }

    /// The names of log groups that begin so, a page of them.
    ///
    /// # Errors
    /// No permission, or no answer.
    pub async fn log_groups(&self, prefix: &str) -> Result<Vec<String>, InspectError> {
        let call = self.groups.describe_log_groups().log_group_name_prefix(prefix).send().await;
        let answer = found(call.map_err(|e| Failure::of(&e)), &[])?;
        let groups = answer.and_then(|answer| answer.log_groups).unwrap_or_default();
        Ok(groups.into_iter().filter_map(|group| group.log_group_name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_no_error_and_what_may_not_be_seen_is_one() {
        let failed = |code, status| Failure::answered(Some(code), Some("no"), status);
        let absent = ["ResourceNotFoundException"];
        assert_eq!(found(Err::<(), _>(failed("ResourceNotFoundException", 400)), &absent), Ok(None));
        let denied = found(Err::<(), _>(failed("AccessDeniedException", 400)), &absent).unwrap_err();
        assert!(denied.0.contains("no permission"), "{denied}");
        assert_eq!(found(Ok(1), &absent), Ok(Some(1)));
    }
}
