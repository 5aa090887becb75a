//! The launch: the request that starts one attempt, rendered once and stored, so that a repeat starts
//! the same thing or finds it started. One module per service.

mod athena;
mod batch;
mod container;
mod emr_serverless;
mod glue;
mod http;
mod lambda;
mod state_machine;

pub use container::{CLIENT_TOKEN_MAX, CONTAINER_NAME, OVERRIDES_BUDGET, OVERRIDES_MAX};

use crate::Settings;
use crate::classify::Failure;
use crate::context::{Renderer, Unrendered};
use cauce_model::fargate::Size;
use cauce_model::ids::sha256_hex;
use cauce_model::plan::{TaskKind, TaskPlan};
use cauce_model::record::RunRecord;
use cauce_model::services::{CallPlan, Service};
use cauce_model::{Json, RunKey};
use serde_json::Map;

/// The attempt that is launched.
pub(crate) struct Attempt<'a> {
    pub(crate) number: u32,
    pub(crate) index: Option<u32>,
    pub(crate) fence: u64,
    pub(crate) item: Option<&'a Json>,
    pub(crate) outputs: &'a Map<String, Json>,
    /// What the program gets where that is not what the plan says: an earlier attempt ran out of memory.
    pub(crate) size: Option<Size>,
    /// Whether an earlier attempt was interrupted on Spot, or found no capacity there.
    pub(crate) avoid_spot: bool,
}

/// A rendered launch and the document that goes with it.
pub(crate) struct Launch {
    pub(crate) request: Json,
    pub(crate) output_uri: String,
    pub(crate) document: Option<(String, Vec<u8>)>,
}

/// What the rendering of a request knows: whose it is, and what fills its templates.
pub(crate) struct Subject<'a> {
    pub(crate) run: &'a RunRecord,
    pub(crate) task: &'a TaskPlan,
    pub(crate) attempt: &'a Attempt<'a>,
    pub(crate) renderer: &'a Renderer<'a>,
}

impl Subject<'_> {
    /// The client token of a request: the same for the same attempt and request, another for any
    /// other. 64 characters of hex.
    fn token(&self, request: &Map<String, Json>) -> String {
        let identity = format!(
            "{}/{}/{}/{}/{}/{}",
            self.run.key(),
            self.run.generation,
            self.task.name,
            self.attempt.index.map(|index| index.to_string()).unwrap_or_default(),
            self.attempt.number,
            sha256_hex(Json::Object(request.clone()).to_string())
        );
        sha256_hex(identity)[..CLIENT_TOKEN_MAX].to_owned()
    }

    /// A name for people and for the service, unlike that of any other attempt: at most 80
    /// characters, letters, digits, dashes and underscores.
    fn name(&self) -> String {
        let index = self.attempt.index.map(|index| format!("-{index}")).unwrap_or_default();
        let task: String = self.task.name.chars().take(24).collect();
        let hash = &sha256_hex(&self.task.name)[..8];
        format!("{}-g{}-{task}-{hash}{index}-a{}", self.run.key(), self.run.generation, self.attempt.number)
    }

    fn optional(&self, text: Option<&String>) -> Result<Option<Json>, Unrendered> {
        text.map(|text| self.renderer.text(text).map(Json::from)).transpose()
    }

    /// Whole minutes that cover the task's `timeout`: some services end a job that is over them, also
    /// where nobody can tell them any more.
    fn timeout_minutes(&self) -> u64 {
        self.task.timeout_seconds.div_ceil(60).max(1)
    }
}

/// Where a document of an attempt lies.
pub(crate) fn place(
    settings: &Settings,
    folder: &str,
    run_key: &RunKey,
    task: &str,
    attempt: &Attempt<'_>,
) -> String {
    let item = attempt.index.map(|index| format!("-{index}")).unwrap_or_default();
    format!("{}/{folder}/{run_key}/{task}{item}/{}.json", settings.documents, attempt.number)
}

/// Renders the launch of a task that runs a program or asks a service.
pub(crate) fn render(
    run: &RunRecord,
    task: &TaskPlan,
    attempt: &Attempt<'_>,
    renderer: &Renderer<'_>,
) -> Result<Launch, Unrendered> {
    match &task.kind {
        TaskKind::Container(plan) => container::render(run, task, plan, attempt, renderer),
        TaskKind::Call(call) => self::call(call, &Subject { run, task, attempt, renderer }),
        _ => unreachable!("only these kinds are launched here"),
    }
}

fn call(call: &CallPlan, subject: &Subject<'_>) -> Result<Launch, Unrendered> {
    let settings = subject.renderer.settings;
    if settings.one_machine {
        let simulated = settings.arrivals.is_some();
        if simulated && call.local.is_none() {
            // Nothing is called, yet a template that cannot be filled fails here as it would there.
            request(&call.service, subject)?;
        }
        if simulated || call.local.is_some() {
            let stand_in = call.stand_in(&subject.task.name);
            let Subject { run, task, attempt, renderer } = subject;
            return container::render(run, task, &stand_in, attempt, renderer);
        }
        if !call.service.anywhere() {
            return Err(Unrendered(only_aws(call.service.key())));
        }
    }
    let request = request(&call.service, subject)?;
    let run_key = subject.run.key();
    let output_uri = place(settings, "outputs", &run_key, &subject.task.name, subject.attempt);
    Ok(Launch { request, output_uri, document: None })
}

/// Why a task cannot run on one machine.
fn only_aws(kind: &str) -> String {
    format!("only AWS has '{kind}': give the task a command to run here instead, `local: [program, ...]`")
}

fn request(service: &Service, subject: &Subject<'_>) -> Result<Json, Unrendered> {
    let request = match service {
        Service::Lambda(plan) => lambda::request(plan, subject),
        Service::Glue(plan) => glue::request(plan, subject),
        Service::EmrServerless(plan) => emr_serverless::request(plan, subject),
        Service::Batch(plan) => batch::request(plan, subject),
        Service::Athena(plan) => athena::request(plan, subject),
        Service::Http(plan) => http::request(plan, subject),
        Service::StateMachine(plan) => state_machine::request(plan, subject),
    }?;
    Ok(Json::Object(request))
}

/// Whether a launch starts a program under the task contract, whose output is a document; otherwise
/// the service's answer is the output.
pub fn is_program(request: &Json) -> bool {
    request.get("TaskDefinition").is_some()
}

/// What a service's answer leaves as the task's output, or why the answer is a failure.
pub(crate) fn output(service: &Service, result: &Json) -> Result<Map<String, Json>, Failure> {
    match service {
        Service::Lambda(_) => Ok(lambda::output(result)),
        Service::Glue(_) => Ok(glue::output(result)),
        Service::EmrServerless(_) => Ok(emr_serverless::output(result)),
        Service::Batch(_) => Ok(batch::output(result)),
        Service::Athena(_) => Ok(athena::output(result)),
        Service::Http(plan) => http::output(plan, result),
        Service::StateMachine(plan) => Ok(state_machine::output(plan, result)),
    }
}

/// The result that a failure stands for, where the task expects it: an HTTP status.
pub(crate) fn expected(kind: &TaskKind, error: &str, cause: &str) -> Option<Json> {
    match kind {
        TaskKind::Call(CallPlan { service: Service::Http(plan), .. }) => http::expected(plan, error, cause),
        _ => None,
    }
}

/// An answer as an object of fields: itself, or under a name.
fn fields(answer: &Json, otherwise: &str) -> Map<String, Json> {
    match answer {
        Json::Object(fields) => fields.clone(),
        Json::Null => Map::new(),
        other => Map::from_iter([(otherwise.to_owned(), other.clone())]),
    }
}

/// Copies fields of an answer under names of ours; those that it lacks stay away.
fn picked(answer: &Json, fields: &[(&str, &str)]) -> Map<String, Json> {
    let found = fields.iter().filter_map(|(pointer, name)| {
        let value = answer.pointer(pointer).filter(|value| !value.is_null())?;
        Some(((*name).to_owned(), value.clone()))
    });
    found.collect()
}

#[cfg(test)]
mod tests;
