//! Tasks that another AWS service does: what the plan keeps of each kind. All texts are templates.

use crate::Json;
use crate::plan::ContainerPlan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A task that another service does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallPlan {
    /// Which service, and what is asked of it.
    pub service: Service,
    /// What to run instead on one machine: an argv of templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Vec<Json>>,
}

/// The services, each with what a task asks of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A Lambda function.
    Lambda(LambdaPlan),
    /// A Glue job.
    Glue(GluePlan),
    /// A Spark or Hive job on EMR Serverless.
    EmrServerless(EmrServerlessPlan),
    /// An AWS Batch job.
    Batch(BatchPlan),
    /// An Athena query.
    Athena(AthenaPlan),
    /// A web service.
    Http(HttpPlan),
    /// A state machine that is not a pipeline.
    StateMachine(StateMachinePlan),
}

impl Service {
    /// The key under which a pipeline file writes it.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Lambda(_) => "lambda",
            Self::Glue(_) => "glue",
            Self::EmrServerless(_) => "emr_serverless",
            Self::Batch(_) => "batch",
            Self::Athena(_) => "athena",
            Self::Http(_) => "http",
            Self::StateMachine(_) => "state_machine",
        }
    }

    /// The launch kind: the lifecycle machine that runs it.
    pub const fn machine(&self) -> &'static str {
        match self {
            Self::StateMachine(StateMachinePlan { wait: false, .. }) => "state_machine_started",
            other => other.key(),
        }
    }

    /// Whether it is done without AWS too.
    pub const fn anywhere(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// Whether the service first finds machines for it, so that `start_timeout` counts.
    pub const fn provisions(&self) -> bool {
        matches!(self, Self::Glue(_) | Self::EmrServerless(_) | Self::Batch(_))
    }
}

impl CallPlan {
    /// The family under which one machine knows the program that stands in for a task.
    pub fn stand_in_family(task: &str) -> String {
        format!("local-{task}")
    }

    /// The program that stands in for the service on one machine; with an empty argv where the task
    /// names none, which only a simulation can run.
    pub fn stand_in(&self, task: &str) -> ContainerPlan {
        ContainerPlan {
            command: self.local.clone().unwrap_or_default(),
            local: self.local.clone(),
            task_definition: Self::stand_in_family(task),
            ..ContainerPlan::default()
        }
    }
}

/// Invoking a Lambda function.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LambdaPlan {
    /// Its name or ARN.
    pub function: String,
    /// What it receives, a JSON tree of templates; an empty object without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Json>,
    /// A version or an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
}

/// Running a Glue job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GluePlan {
    /// Its name.
    pub job: String,
    /// Its arguments by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Json>,
    /// The type of its workers, such as `G.1X`; the job's own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_type: Option<String>,
    /// How many workers; the job's own number without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
}

/// Running a job on EMR Serverless.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmrServerlessPlan {
    /// The application's id.
    pub application: String,
    /// The ARN of the job's role.
    pub role: String,
    /// What runs, as the service's API takes it: a JSON tree of templates.
    pub job_driver: Json,
    /// `ConfigurationOverrides` of the service's API: a JSON tree of templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Json>,
}

/// Submitting an AWS Batch job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchPlan {
    /// The job definition: a name, `name:revision` or an ARN.
    pub job_definition: String,
    /// The job queue.
    pub queue: String,
    /// Values of the definition's own parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Json>,
    /// The argv; the definition's own when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<Json>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Json>,
}

/// Running an Athena query.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AthenaPlan {
    /// The SQL, no template: values are bound to its question marks.
    pub query: String,
    /// The values, in the order of the question marks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Json>,
    /// The workgroup; `primary` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workgroup: Option<String>,
    /// Where names of tables are looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The data catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// The URI under which the result is stored; the workgroup's own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Calling a web service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpPlan {
    /// The method, upper-case.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Headers by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Json>,
    /// Query parameters by name; a list repeats its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Json>,
    /// The body: a JSON tree of templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Json>,
    /// The ARN of the EventBridge connection, which AWS wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The statuses that are a success; 200 to 299 when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<u16>,
}

impl HttpPlan {
    /// Whether a status is a success of this task.
    pub fn expects(&self, status: u16) -> bool {
        if self.expect.is_empty() { (200..300).contains(&status) } else { self.expect.contains(&status) }
    }
}

/// Starting an execution of a state machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateMachinePlan {
    /// Its ARN, a version's or an alias's, or its name in this account and region.
    pub machine: String,
    /// What it receives, a JSON tree of templates; an empty object without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// Whether the task ends with the execution, and fails when it fails.
    pub wait: bool,
}
