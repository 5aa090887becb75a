//! Programs under way in an ECS cluster.

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{DesiredStatus, Tag, Task, TaskField};
use cauce_model::RunKey;
use cauce_ports::{Compute, ComputeError, RunningTask};
use std::collections::BTreeMap;

/// Most tasks in one DescribeTasks, and in one page of ListTasks.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
const DESCRIBED_MAX: i32 = 100;

/// Most characters of a stop's reason.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html>
const REASON_MAX: usize = 1_024;

/// The tasks of one cluster that carry our tags.
///
/// ListTasks cannot look for tags (and Step Functions sets `startedBy` for all of its own), so finding
/// reads every running task of the cluster, a hundred a call: the environment's cluster is its own.
#[derive(Clone, Debug)]
pub struct Fargate {
    client: Client,
    cluster: String,
}

impl Fargate {
    /// The tasks of this cluster.
    pub fn new(connection: &Connection, cluster: impl Into<String>) -> Self {
        Self { client: Client::new(connection.config()), cluster: cluster.into() }
    }
}

fn failed(failure: &Failure) -> ComputeError {
    match failure.kind {
        Kind::Throttled => ComputeError::Throttled,
        Kind::Denied | Kind::Refused | Kind::Unanswered => ComputeError::Unknown(failure.text()),
    }
}

/// The task as its tags tell, if it is of this run. What carries part of our tags only is not ours.
fn running(task: Task, run_key: &RunKey) -> Option<RunningTask> {
    let tags: BTreeMap<String, String> = task
        .tags
        .unwrap_or_default()
        .into_iter()
        .filter_map(|Tag { key, value, .. }| Some((key?, value?)))
        .collect();
    if tags.get("cauce:run_key").map(String::as_str) != Some(run_key.as_str()) {
        return None;
    }
    let index = match tags.get("cauce:index") {
        Some(index) => Some(index.parse().ok()?),
        None => None,
    };
    Some(RunningTask {
        id: task.task_arn?,
        run_key: run_key.clone(),
        task: tags.get("cauce:task")?.clone(),
        index,
        attempt: tags.get("cauce:attempt")?.parse().ok()?,
    })
}

/// Whether StopTask failed because there is no such task: one that ended is forgotten after an hour.
fn is_gone(failure: &Failure) -> bool {
    failure.kind == Kind::Refused && failure.message.contains("task was not found")
}

impl Compute for Fargate {
    async fn find(&self, run_key: &RunKey) -> Result<Vec<RunningTask>, ComputeError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .client
                .list_tasks()
                .cluster(&self.cluster)
                .desired_status(DesiredStatus::Running)
                .max_results(DESCRIBED_MAX)
                .set_next_token(after)
                .send()
                .await
                .map_err(|error| failed(&Failure::of(&error)))?;
            let arns = page.task_arns.unwrap_or_default();
            if !arns.is_empty() {
                let described = self
                    .client
                    .describe_tasks()
                    .cluster(&self.cluster)
                    .set_tasks(Some(arns))
                    .include(TaskField::Tags)
                    .send()
                    .await
                    .map_err(|error| failed(&Failure::of(&error)))?;
                let tasks = described.tasks.unwrap_or_default();
                found.extend(tasks.into_iter().filter_map(|task| running(task, run_key)));
            }
            after = page.next_token.filter(|token| !token.is_empty());
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    async fn stop(&self, id: &str, reason: &str) -> Result<(), ComputeError> {
        let reason: String = reason.chars().take(REASON_MAX).collect();
        match self.client.stop_task().cluster(&self.cluster).task(id).reason(reason).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let failure = Failure::of(&error);
                if is_gone(&failure) { Ok(()) } else { Err(failed(&failure)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(tags: &[(&str, &str)]) -> Task {
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build());
        Task::builder().task_arn("arn:task").set_tags(Some(tags.collect())).build()
    }

    #[test]
    fn only_tasks_with_all_our_tags_are_ours() {
        let run_key = RunKey::from_text("k1");
        let ours = [("cauce:run_key", "k1"), ("cauce:task", "load"), ("cauce:attempt", "2")];
        let plain = running(task(&ours), &run_key).unwrap();
        assert_eq!((plain.task.as_str(), plain.attempt, plain.index), ("load", 2, None));
        let mapped = [&ours[..], &[("cauce:index", "7")]].concat();
        assert_eq!(running(task(&mapped), &run_key).unwrap().index, Some(7));
        assert_eq!(running(task(&ours), &RunKey::from_text("k2")), None);
        assert_eq!(running(task(&ours[..2]), &run_key), None);
        assert_eq!(running(task(&[]), &run_key), None);
    }

    #[test]
    fn a_task_that_is_forgotten_needs_no_stop() {
        let gone = Failure::answered(
            Some("InvalidParameterException"),
            Some("The referenced task was not found."),
            400,
        );
        assert!(is_gone(&gone));
        let cluster = Failure::answered(Some("ClusterNotFoundException"), Some("Cluster not found."), 400);
        assert!(!is_gone(&cluster));
    }
}
