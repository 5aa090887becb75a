//! The environment `dev`, applied: its names, and what the scenarios ask of it.

use crate::Scenario;
use crate::api::{ACCOUNT, Api, REGION, until};
use crate::cloud::{Cloud, STATES, copy, text};
use crate::tools::repository;
use crate::{controls, evidence, http};
use cauce_model::RunKey;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const LANDING: &str = "ecommerce-landing";
pub(crate) const LAKE: &str = "ecommerce-lake";

/// The topic of alarms, which a channel leads to.
pub(crate) const ALARMS: &str = "arn:aws:sns:us-east-1:000000000000:ventas-dev-alarms";

/// The file that counts the visits of a served cloud.
const VISITS: &str = "visits";

/// The prefix of all names.
const PREFIX: &str = "ventas-dev";

/// What the other scenarios leave behind is looked at last.
pub(crate) const SCENARIOS: &[Scenario] = &[
    ("only the function that posts to its own queue may be called in circles", circles),
    ("every call was permitted and every permission was used", permissions),
    ("a second plan changes nothing", no_drift),
    ("destroy leaves nothing", destroy),
];

/// A cloud with the environment in it.
pub(crate) struct Deployed {
    cloud: Cloud,
    project: PathBuf,
    terraform: PathBuf,
    /// How often this cloud was visited before.
    visits: u32,
}

impl Deployed {
    /// Packages the functions (unless there are packages) and deploys the project, as a user does.
    pub(crate) fn apply(cloud: Cloud, functions: Option<PathBuf>) -> Self {
        match functions {
            Some(packages) => copy(&packages, &cloud.path("functions")),
            None => cloud.package(),
        }
        cloud.aws(&["s3api", "create-bucket", "--bucket", STATES]);
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                           "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]});
        let role = ["iam", "create-role", "--role-name", REPORTING, "--assume-role-policy-document"];
        cloud.aws(&[&role[..], &[&trust.to_string()]].concat());
        http::secrets(&cloud);
        let here = cloud.folder().to_owned();
        let deployed = Self::tree(cloud, &here);
        deployed.deploy_all(&[]);
        deployed
    }

    /// A working tree of the project below a folder, with its root module beside it.
    fn tree(cloud: Cloud, below: &Path) -> Self {
        let project = project(&below.join("project"));
        let terraform = cloud.environment(below, "dev", &variables());
        Self { cloud, project, terraform, visits: 0 }
    }

    /// What was applied to a cloud that another process serves.
    pub(crate) fn at(cloud: Cloud) -> Self {
        let (project, terraform) = (cloud.path("project"), cloud.path("terraform/environments/dev"));
        let visits = fs::read_to_string(cloud.path(VISITS)).ok().and_then(|text| text.parse().ok());
        let visits = visits.unwrap_or(0) + 1;
        fs::write(cloud.path(VISITS), visits.to_string()).unwrap();
        Self { cloud, project, terraform, visits }
    }

    /// A name that no earlier visit has used: executions keep theirs.
    pub(crate) fn fresh(&self, name: &str) -> String {
        if self.visits == 0 { name.to_owned() } else { format!("{name}-{}", self.visits) }
    }

    /// A day that no earlier visit has used, counted from this one.
    pub(crate) fn fresh_day(&self, from: jiff::civil::Date) -> String {
        from.saturating_add(jiff::Span::new().days(self.visits)).to_string()
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

    /// The root module of the environment.
    pub(crate) fn terraform(&self) -> &Path {
        &self.terraform
    }

    /// `cauce deploy` from a working tree; its exit code and what it said.
    pub(crate) fn deploy(&self, project: &Path, more: &[&str]) -> (Option<i32>, String) {
        let deploy = ["deploy", "--env", "dev", "--yes", "--skip-images"];
        let output = self.cloud.cauce(project, &[&deploy[..], more].concat());
        (output.status.code(), text(&output.stderr))
    }

    /// The same from the project's own, with its images; it has to succeed. What it said.
    pub(crate) fn deploy_all(&self, more: &[&str]) -> String {
        let args = [&["deploy", "--env", "dev", "--yes"], more].concat();
        let output = self.cloud.cauce(&self.project, &args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "cauce {args:?}:\n{}", errors(&said));
        said
    }

    /// Applies a build folder by hand.
    pub(crate) fn apply_folder(&self, build: &Path) {
        let build = format!("-var=build_dir={}", build.display());
        self.must(&["apply", "-input=false", "-auto-approve", &build]);
    }

    fn must(&self, args: &[&str]) {
        let (code, said) = self.cloud.terraform(&self.terraform, args);
        assert_eq!(code, 0, "terraform {args:?}:\n{}", errors(&said));
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

    /// Changes how long a queue hides a message that was received; what it was before, in seconds.
    pub(crate) fn visibility(&self, queue: &str, seconds: &str) -> String {
        let url = self.queue(queue);
        let read = json!({"QueueUrl": url, "AttributeNames": ["VisibilityTimeout"]});
        let before = self.api().call("sqs", "AmazonSQS.GetQueueAttributes", &read);
        let change = json!({"QueueUrl": url, "Attributes": {"VisibilityTimeout": seconds}});
        self.api().call("sqs", "AmazonSQS.SetQueueAttributes", &change);
        before["Attributes"]["VisibilityTimeout"].as_str().unwrap().to_owned()
    }

    /// Makes a queue that hears a topic; its URL.
    pub(crate) fn listen(&self, topic: &str) -> String {
        let queue = self.api().call("sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": "listener"}));
        let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:listener");
        let to = ["--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", &arn];
        self.cloud.aws(&[&["sns", "subscribe"], &to[..]].concat());
        queue["QueueUrl"].as_str().unwrap().to_owned()
    }

    /// The messages that a queue shows; they stay in it.
    pub(crate) fn received(&self, queue: &str) -> Vec<String> {
        let request = json!({"QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0});
        let answer = self.api().call("sqs", "AmazonSQS.ReceiveMessage", &request);
        let messages = answer["Messages"].as_array().into_iter().flatten();
        messages.filter_map(|message| message["Body"].as_str().map(str::to_owned)).collect()
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

/// What Terraform plans and makes fills thousands of lines; its errors stand at the end.
fn errors(said: &str) -> &str {
    let end = said.char_indices().rev().nth(2_000).map_or(0, |(at, _)| at);
    &said[said.find("Error:").unwrap_or(end)..]
}

fn execution(machine: &str, name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:{PREFIX}-{machine}:{name}")
}

/// A role that tasks have and that somebody else made.
pub(crate) const REPORTING: &str = "reporting";

/// Tasks of the pipeline `vast`: more than a machine holds.
pub(crate) const VAST_TASKS: usize = 450;

/// Chains of them, side by side.
const VAST_CHAINS: usize = 9;

/// The sales project, with pipelines of the tests' own beside it.
fn project(folder: &Path) -> PathBuf {
    copy(&repository().join("pipelines/ventas"), folder);
    copy(&repository().join("tests/emulator/pipelines"), folder);
    // The buckets are called as on one machine, so that outputs can be compared as they are.
    let file = folder.join("cauce.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace(&format!("{LANDING}-dev"), LANDING).replace(&format!("{LAKE}-dev"), LAKE);
    // A file is no channel of AWS: its notices have to end among the dead letters.
    let channels = "channels:\n  archivo: {file: {path: archivo.jsonl}}\n  topic: {sns: {topic: \"${{ env.alarms }}\"}}\n";
    let place = "  dev:\n    terraform: ../terraform/environments/dev\n    functions: ../functions\n";
    let values = format!(
        "    values:\n      alarms: {ALARMS}\n      reporting: \"arn:aws:iam::{ACCOUNT}:role/{REPORTING}\"\n"
    );
    let (before, dev) = text.split_once("  dev:\n").unwrap();
    let dev = dev.replacen("    values:\n", &values, 1);
    let text = format!("{before}{place}{dev}").replace("channels:\n", channels);
    // Where an image is built from.
    let text = text.replace("local: []}", "local: [], build: image}");
    fs::create_dir(folder.join("image")).unwrap();
    fs::write(folder.join("image/Dockerfile"), "FROM scratch\n").unwrap();
    fs::write(file, text + "\npools: {narrow: {slots: 1}}\n" + controls::CONTROLS + http::KEYS).unwrap();
    fs::write(folder.join("vast.yaml"), vast()).unwrap();
    folder.to_owned()
}

/// More tasks than a machine holds: chains side by side.
fn vast() -> String {
    let mut text = "pipeline: vast\ndescription: More than one machine holds.\ntasks:\n".to_owned();
    for task in 0..VAST_TASKS {
        let above = task.checked_sub(VAST_CHAINS);
        let needs = above.map(|above| format!("needs: [t{above}], ")).unwrap_or_default();
        text.push_str(&format!("  t{task}: {{{needs}pass: {{}}}}\n"));
    }
    text
}

fn variables() -> Json {
    json!({
        "project": "ventas",
        "buckets": {"landing": {"name": LANDING}, "lake": {"name": LAKE}},
        "alarm_mails": ["data@example.com"],
        "task_roles": [{"arn": format!("arn:aws:iam::{ACCOUNT}:role/{REPORTING}")}],
        "api_enabled": true,
        "api_secret_arns": http::secret_arns(),
        // Swept when a scenario says so.
        "sweep_enabled": false,
    })
}

/// Lambda ends longer chains of any other: <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>
fn circles(deployed: &Deployed) {
    let all = deployed.cloud.aws(&["lambda", "list-functions"]);
    let mut may = Vec::new();
    for function in all["Functions"].as_array().unwrap() {
        let name = function["FunctionName"].as_str().unwrap();
        let config =
            deployed.cloud.aws(&["lambda", "get-function-recursion-config", "--function-name", name]);
        if config["RecursiveLoop"] == "Allow" {
            may.push(name.to_owned());
        }
    }
    assert_eq!(may, [format!("{PREFIX}-trigger-run")]);
}

fn permissions(deployed: &Deployed) {
    let state = deployed.cloud.state(&deployed.terraform);
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
    assert_eq!(deployed.cloud.state(&deployed.terraform)["resources"], json!([]));
}
