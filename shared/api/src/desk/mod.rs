//! The desk: who asks, may they, and what is the answer.

mod gate;

mod read;

mod write;

mod hooks;

mod metrics;

use crate::http::{Answer, Inbox, Request};
use crate::place::Place;
use crate::problem::{Failed, Problem};
use crate::routes::Operation;
use crate::throttle::{Throttle, minute};
use axum::body::Body;
use axum::http::Response;
use cauce_model::access::Scope;
use cauce_model::ids::is_name;
use cauce_model::{AuditRecord, Instant, Json, RunRef, Write};
use cauce_ports::{Clock, Table};
use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use gate::Caller;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tower::ServiceExt;

/// Requests that are worked on at once.
const AT_ONCE_MAX: usize = 64;

/// The OpenAPI document, as a test makes it.
const DESCRIPTION: &str = include_str!("../../../../docs/reference/openapi.json");

/// What answers requests.
pub struct Desk<P> {
    place: P,
    memory: Rc<Memory>,
}

/// What a process keeps between requests. A new process begins without it.
#[derive(Default)]
pub struct Memory {
    throttle: RefCell<Throttle>,
    /// Requests by operation and the first digit of their status, since this process began.
    answered: RefCell<BTreeMap<(&'static str, u16), u64>>,
    /// When the store answered last, and whether it did.
    ready: RefCell<Option<(Instant, bool)>>,
}

impl<P: Place> Desk<P> {
    /// A desk at this place.
    pub const fn new(place: P, memory: Rc<Memory>) -> Self {
        Self { place, memory }
    }

    /// Answers requests until no router is left that could bring one.
    pub async fn serve(&self, inbox: &mut Inbox) {
        let mut working = FuturesUnordered::new();
        let mut open = true;
        while open || !working.is_empty() {
            tokio::select! {
                call = inbox.0.recv(), if open && working.len() < AT_ONCE_MAX => match call {
                    None => open = false,
                    Some(call) => working.push(async move {
                        let answer = self.answer(&call.request).await;
                        // Whoever asked may be gone: what was decided stays decided.
                        drop(call.answer.send(answer));
                    }),
                },
                Some(()) = working.next(), if !working.is_empty() => {}
            }
        }
    }

    /// Answers one request, for a place that is given one at a time.
    pub async fn respond(&self, request: axum::http::Request<Body>) -> Response<Body> {
        let (front, mut inbox) = crate::http::front();
        let asked = crate::http::router(front).oneshot(request);
        // The router is gone with its answer, and the desk with the router.
        let (response, ()) = join(asked, self.serve(&mut inbox)).await;
        response.unwrap_or_else(|never| match never {})
    }

    fn now(&self) -> Instant {
        self.place.clock().now()
    }

    pub(crate) async fn answer(&self, request: &Request) -> Answer {
        let mut caller = None;
        let outcome = self.handle(request, &mut caller).await;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(Failed::Trouble(words)) => {
                self.place.warn(&format!("{}: {words}", request.operation.name()));
                Problem::unavailable().answer()
            }
            Err(Failed::Problem(problem)) => {
                self.refused(request.operation, problem.status, caller.as_ref()).await;
                problem.answer()
            }
        };
        *self
            .memory
            .answered
            .borrow_mut()
            .entry((request.operation.name(), answer.status / 100))
            .or_default() += 1;
        answer
    }

    async fn handle(&self, request: &Request, known: &mut Option<Caller>) -> Result<Answer, Failed> {
        use Operation as O;
        let caller = match request.operation.route().scope {
            None => None,
            Some(_) => Some(&*known.insert(self.caller(request).await?)),
        };
        if let (Some(scope), Some(caller)) = (request.operation.route().scope, caller) {
            caller.may(scope, request)?;
        }
        match (request.operation, caller) {
            (O::Alive, _) => Ok(document(200, &json!({"status": "alive"}))),
            (O::Ready, _) => self.is_ready().await,
            (O::Description, _) => {
                let body = DESCRIPTION.as_bytes().to_vec();
                Ok(Answer { status: 200, media_type: JSON, body, headers: Vec::new() })
            }
            (O::Hook | O::NamedHook, _) => self.hook(request).await,
            (O::ConfirmHook | O::ConfirmNamedHook, _) => self.confirm(request).await,
            // The gate refused whoever is nobody.
            (_, None) => Err(Problem::unavailable().into()),
            (O::Metrics, Some(_)) => self.metrics().await,
            (O::ListPipelines, Some(caller)) => self.list_pipelines(request, caller).await,
            (O::ShowPipeline, Some(_)) => self.show_pipeline(request).await,
            (O::Pause, Some(caller)) => self.pause(request, caller, true).await,
            (O::Unpause, Some(caller)) => self.pause(request, caller, false).await,
            (O::StartRun, Some(caller)) => self.start_run(request, caller).await,
            (O::ListRuns, Some(caller)) => self.list_runs(request, caller).await,
            (O::ShowRun, Some(_)) => self.show_run(request).await,
            (O::CancelRun, Some(caller)) => self.cancel_run(request, caller).await,
            (O::RerunRun, Some(caller)) => self.rerun_run(request, caller).await,
            (O::MarkTask, Some(caller)) => self.mark_task(request, caller).await,
            (O::ApproveTask, Some(caller)) => self.answer_task(request, caller, true).await,
            (O::RejectTask, Some(caller)) => self.answer_task(request, caller, false).await,
            (O::ReadLog, Some(_)) => self.read_log(request).await,
        }
    }

    /// Writes down that a request was refused: who by the name of the key, what by its operation and status,
    /// once a minute. Nothing that the caller chose is kept, so that a flood of them fills nothing.
    async fn refused(&self, operation: Operation, status: u16, caller: Option<&Caller>) {
        let now = self.now();
        let by = caller.map_or("", |caller| caller.name.as_str());
        if !self.memory.throttle.borrow_mut().first(now, format!("{by} {} {status}", operation.name())) {
            return;
        }
        let mut entry = AuditRecord::new(minute(now), "refuse");
        entry.by = caller.map(Caller::by);
        entry.detail = json!({"operation": operation.name(), "status": status});
        if let Err(error) = self.write(&[entry.write()]).await {
            self.place.warn(&format!("a refusal could not be written down: {error}"));
        }
    }

    async fn write(&self, writes: &[Write]) -> Result<(), cauce_ports::TableError> {
        let token = cauce_model::ids::sha256_hex(serde_json::to_vec(writes).unwrap_or_default());
        self.place.table().write(writes, &token[..36]).await
    }
}

/// The media type of everything that is no problem.
const JSON: &str = "application/json";

/// An answer of JSON.
fn document(status: u16, body: &Json) -> Answer {
    Answer { status, media_type: JSON, body: body.to_string().into_bytes(), headers: Vec::new() }
}

/// The body of a request that is an object of this shape; an absent one has only defaults.
fn body<T: serde::de::DeserializeOwned>(request: &Request) -> Result<T, Problem> {
    let help = "/openapi.json tells the fields of each address";
    let bytes: &[u8] = match request.body.as_ref() {
        [] => b"{}",
        given => {
            is_json(request)?;
            given
        }
    };
    let value: Json = serde_json::from_slice(bytes)
        .map_err(|error| Problem::malformed(format!("the body is not JSON: {error}"), help))?;
    if !value.is_object() {
        // A list would be read as the fields in their order.
        return Err(Problem::wrong("the body is not an object", help));
    }
    serde_json::from_value(value).map_err(|error| Problem::wrong(format!("the body: {error}"), help))
}

/// The media type of a request, without what follows the semicolon.
fn media_type(request: &Request) -> String {
    let given = request.header("content-type").unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(request: &Request) -> Result<(), Problem> {
    if media_type(request) == JSON {
        return Ok(());
    }
    Err(Problem::new(415, "the body is not said to be JSON", "send content-type: application/json"))
}

/// The values of a query, each of which is known and given once.
fn query<'a>(request: &'a Request, known: &[&str]) -> Result<BTreeMap<&'a str, &'a str>, Problem> {
    let mut values = BTreeMap::new();
    for (name, value) in &request.query {
        if !known.contains(&name.as_str()) {
            let help = match known {
                [] => "this address takes none".to_owned(),
                known => format!("this address knows {}", known.join(", ")),
            };
            return Err(Problem::malformed("an unknown parameter in the query", help));
        }
        if values.insert(name.as_str(), value.as_str()).is_some() {
            return Err(Problem::malformed(format!("'{name}' is given twice in the query"), "give it once"));
        }
    }
    Ok(values)
}

/// The pipeline of an address.
fn pipeline_of(request: &Request) -> Result<&str, Problem> {
    let name = request.part("pipeline");
    if is_name(name) { Ok(name) } else { Err(no_pipeline()) }
}

fn no_pipeline() -> Problem {
    Problem::missing("there is no such pipeline", "GET /v1/pipelines lists them")
}

/// The run of an address.
fn run_of(request: &Request) -> Result<RunRef, Problem> {
    let pipeline = pipeline_of(request)?.to_owned();
    Ok(RunRef { pipeline, run_id: request.part("run_id").to_owned() })
}

fn no_run() -> Problem {
    Problem::missing("there is no such run", "GET /v1/runs lists them")
}

impl Caller {
    /// Refuses what the key is not for.
    fn may(&self, scope: Scope, request: &Request) -> Result<(), Problem> {
        let scope = scope.as_str();
        let forbidden = |detail: String| {
            let challenge =
                format!("Bearer realm=\"cauce\", error=\"insufficient_scope\", scope=\"{scope}\"");
            let help = "ask whoever keeps cauce.yaml to widen the key, or use another";
            Problem::new(403, detail, help).header("www-authenticate", challenge)
        };
        if !self.scopes.iter().any(|held| held.as_str() == scope) {
            return Err(forbidden(format!("the key '{}' has not the scope {scope}", self.name)));
        }
        let name = request.part("pipeline");
        if !name.is_empty() && !self.sees(name) {
            return Err(forbidden(format!("the key '{}' is not for this pipeline", self.name)));
        }
        if name.is_empty() && request.operation == Operation::Metrics && self.pipelines.is_some() {
            return Err(forbidden(format!("the key '{}' is not for all pipelines", self.name)));
        }
        Ok(())
    }
}
