//! The environment `dev`, applied: its names, and what the scenarios ask of it.

use crate::Scenario;
use crate::api::{ACCOUNT, Api, REGION, until};
use crate::cloud::{Cloud, copy};
use crate::evidence;
use crate::tools::repository;
use cauce_model::RunKey;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const LANDING: &str = "ecommerce-landing";
pub(crate) const LAKE: &str = "ecommerce-lake";

/// The prefix of all names.
const PREFIX: &str = "ventas-dev";

/// What the other scenarios leave behind is looked at last.
pub(crate) const SCENARIOS: &[Scenario] = &[
    ("every call was permitted and every permission was used", permissions),
    ("a second plan changes nothing", no_drift),
    ("destroy leaves nothing", destroy),
];

/// A cloud with the environment in it.
pub(crate) struct Deployed {
    cloud: Cloud,
    project: PathBuf,
    terraform: PathBuf,
}

impl Deployed {
    /// Compiles the pipelines, packages the functions (unless there are packages) and applies all of
    /// it, as a user would.
    pub(crate) fn apply(cloud: Cloud, functions: Option<PathBuf>) -> Self {
        let project = project(&cloud);
        let functions = functions.unwrap_or_else(|| cloud.package());
        let build = cloud.build(&project);
        let terraform = cloud.environment(&variables(&build, &functions));
        let deployed = Self { cloud, project, terraform };
        deployed.must(&["init", "-input=false"]);
        deployed.must(&["apply", "-input=false", "-auto-approve"]);
        deployed
    }

    /// What was applied to a cloud that another process serves.
    pub(crate) fn at(cloud: Cloud) -> Self {
        let (project, terraform) = (cloud.path("project"), cloud.path("terraform/environments/dev"));
        Self { cloud, project, terraform }
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(crate) fn api(&self) -> &Api {
        &self.cloud.api
    }

    /// The folder of the project's `cauce.yaml`.
    pub(crate) fn project(&self) -> &Path {
        &self.project
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{PREFIX}-{name}")
    }

    /// Compiles the project as it is now and applies it again.
    pub(crate) fn apply_again(&self) {
        self.cloud.build(&self.project);
        self.must(&["apply", "-input=false", "-auto-approve"]);
    }

    fn must(&self, args: &[&str]) {
        let (code, said) = self.cloud.terraform(&self.terraform, args);
        // What it plans and makes fills thousands of lines; its errors stand at the end.
        let errors = said.find("Error:").map_or(said.as_str(), |at| &said[at..]);
        assert_eq!(code, 0, "terraform {args:?}:\n{errors}");
    }

    pub(crate) fn machine(&self, machine: &str) -> String {
        format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{PREFIX}-{machine}")
    }

    /// The executions of a machine, newest first.
    pub(crate) fn executions(&self, machine: &str) -> Vec<Json> {
        let answer = self.api().states("ListExecutions", &json!({"stateMachineArn": self.machine(machine)}));
        answer["executions"].as_array().cloned().unwrap_or_default()
    }

    /// Waits for an execution's end; its status.
    pub(crate) fn ended(&self, machine: &str, name: &str) -> String {
        let request = json!({"executionArn": execution(machine, name)});
        until(self.api(), &format!("end of {name}"), || {
            let described =
                self.api().try_call("states", "AWSStepFunctions.DescribeExecution", &request).ok()?;
            let status = described["status"].as_str().unwrap().to_owned();
            (status != "RUNNING").then_some(status)
        })
    }

    /// Starts a pipeline's machine, as the console does.
    pub(crate) fn start(&self, machine: &str, name: &str, input: &Json) {
        let request =
            json!({"stateMachineArn": self.machine(machine), "name": name, "input": input.to_string()});
        self.api().states("StartExecution", &request);
    }

    pub(crate) fn describe(&self, machine: &str, name: &str) -> Json {
        self.api().states("DescribeExecution", &json!({"executionArn": execution(machine, name)}))
    }

    /// Stops an execution, as somebody in the console would.
    pub(crate) fn stop(&self, machine: &str, name: &str) {
        self.api().states("StopExecution", &json!({"executionArn": execution(machine, name)}));
    }

    /// Has a failed execution go on where it failed.
    pub(crate) fn redrive(&self, machine: &str, name: &str) {
        self.api().states("RedriveExecution", &json!({"executionArn": execution(machine, name)}));
    }

    /// The names of the executions that tasks of a run's first generation have, under way or ended.
    pub(crate) fn children(&self, pipeline: &str, run_id: &str) -> Vec<String> {
        let beginning = format!("{}-g1-", RunKey::new(pipeline, run_id));
        let names = self.executions("task-container").into_iter();
        let names = names.filter_map(|execution| execution["name"].as_str().map(str::to_owned));
        names.filter(|name| name.starts_with(&beginning)).collect()
    }

    /// Has the one schedule of a pipeline fire as if that moment had come.
    pub(crate) fn tick(&self, pipeline: &str, at: &str) {
        let schedule = format!("{pipeline}-schedule-1");
        self.api().tell("clock", &json!({"schedule": schedule, "group": PREFIX, "at": at}));
    }

    /// Calls the sweep and waits for its report.
    pub(crate) fn sweep(&self) -> Json {
        let function = self.name("sweep");
        self.api().invoke(&function, &json!({"source": "cauce.sweep"}))
    }

    /// Puts a message into the queue of events that may start runs.
    pub(crate) fn send_to_triggers(&self, body: &str) {
        self.send("triggers", body);
    }

    /// Puts a message into a queue.
    pub(crate) fn send(&self, queue: &str, body: &str) {
        let request = json!({"QueueUrl": self.queue(queue), "MessageBody": body});
        self.api().call("sqs", "AmazonSQS.SendMessage", &request);
    }

    /// The reasons of what lies among the dead letters.
    pub(crate) fn dead_letters(&self) -> Vec<String> {
        let request = json!({"QueueUrl": self.queue("dead-letters"), "MaxNumberOfMessages": 10,
                             "VisibilityTimeout": 0, "MessageAttributeNames": ["All"]});
        let answer = self.api().call("sqs", "AmazonSQS.ReceiveMessage", &request);
        let messages = answer["Messages"].as_array().into_iter().flatten();
        let reason = |message: &Json| message.pointer("/MessageAttributes/reason/StringValue").cloned();
        messages.filter_map(|message| reason(message)?.as_str().map(str::to_owned)).collect()
    }

    fn queue(&self, queue: &str) -> String {
        format!("{}/{ACCOUNT}/{PREFIX}-{queue}", self.api().endpoint())
    }

    /// A run as `cauce show --env dev` tells it; `None` while there is no such run.
    pub(crate) fn show(&self, run: &str) -> Option<Json> {
        let output = self.cloud.cauce(&self.project, &["show", run, "--env", "dev", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Waits for a run's record to be terminal; the run.
    pub(crate) fn run_ended(&self, run: &str) -> Json {
        until(self.api(), &format!("end of run {run}"), || {
            let shown = self.show(run)?;
            let over = ["success", "failed", "skipped", "cancelled"].contains(&shown["status"].as_str()?);
            over.then_some(shown)
        })
    }
}

fn execution(machine: &str, name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:{PREFIX}-{machine}:{name}")
}

/// The sales project, with pipelines of the tests' own beside it.
fn project(cloud: &Cloud) -> PathBuf {
    let folder = cloud.path("project");
    copy(&repository().join("pipelines/ventas"), &folder);
    copy(&repository().join("tests/emulator/pipelines"), &folder);
    // The buckets are called as on one machine, so that outputs can be compared as they are.
    let file = folder.join("cauce.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace(&format!("{LANDING}-dev"), LANDING).replace(&format!("{LAKE}-dev"), LAKE);
    // A file is no channel of AWS: its notices have to end among the dead letters.
    let channels = "channels:\n  archivo: {file: {path: archivo.jsonl}}\n";
    let text = text.replace("channels:\n", channels) + "\npools: {narrow: {slots: 1}}\n";
    fs::write(file, text).unwrap();
    folder
}

fn variables(build: &Path, functions: &Path) -> Json {
    json!({
        "project": "ventas",
        "build_dir": build,
        "functions_dir": functions,
        "buckets": {"landing": {"name": LANDING}, "lake": {"name": LAKE}},
        "alarm_mails": ["data@example.com"],
        // Swept when a scenario says so.
        "sweep_enabled": false,
    })
}

fn permissions(deployed: &Deployed) {
    let state = fs::read(deployed.terraform.join("terraform.tfstate")).unwrap();
    let state: Json = serde_json::from_slice(&state).unwrap();
    let listed = repository().join("tests/emulator/unexercised.json");
    let listed: Json = serde_json::from_slice(&fs::read(listed).unwrap()).unwrap();
    let problems = evidence::problems(&state, &deployed.cloud.lines("calls.jsonl"), &listed);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn no_drift(deployed: &Deployed) {
    let (code, said) =
        deployed.cloud.terraform(&deployed.terraform, &["plan", "-input=false", "-detailed-exitcode"]);
    assert_eq!(code, 0, "{said}");
}

fn destroy(deployed: &Deployed) {
    deployed.must(&["destroy", "-input=false", "-auto-approve"]);
    let state = fs::read(deployed.terraform.join("terraform.tfstate")).unwrap();
    let state: Json = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["resources"], json!([]));
}
