//! What a state may call, and how the host serves it.

use crate::World;
use crate::run::Core;
use crate::state::{Begun, ExecutionId, State, UnderWay, Waiter};
use cauce_driver::payload;
use cauce_engine::{Command, Reply as Said};
use cauce_interpreter::{Call, CallId, Failure, Mode, Reply, Request};
use cauce_model::{Json, names};
use cauce_ports::with_sources;
use cauce_ports::{Clock, Compute, ObjectError, Objects, StateMachineError, TaskRunner};
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use std::rc::Rc;

/// What a served call tells, if anything, and to whom.
pub(crate) type Done = Option<(ExecutionId, Reply)>;

type Served = Option<LocalBoxFuture<'static, Done>>;

/// Largest object that a distributed Map reads.
const READ_MAX: u64 = 1024 * 1024 * 1024;

/// How long after a timer's command could not be carried out it is tried again.
const RING_AGAIN_SECONDS: u64 = 1;

/// Serves one request.
pub(crate) fn serve<W: World + 'static>(
    core: &Rc<Core<W>>,
    execution: ExecutionId,
    request: Request,
) -> Served {
    let core = Rc::clone(core);
    match request {
        Request::Call(call) => serve_call(core, execution, call),
        Request::Cancel { id } => cancel(core, execution, id),
        Request::Read { id, resource, arguments, .. } => Some(Box::pin(async move {
            let outcome = read(&core, &resource, &arguments).await;
            Some((execution, Reply::Returned(id, outcome)))
        })),
        Request::Write { id, bucket, key, body, .. } => Some(Box::pin(async move {
            let outcome = core.world.objects().put(&format!("s3://{bucket}/{key}"), body.as_bytes()).await;
            let outcome = outcome.map(|()| Json::Null).map_err(|error| of_object(&error));
            Some((execution, Reply::Returned(id, outcome)))
        })),
        Request::Ended(_) => None,
    }
}

/// Carries out a command whose time has come.
pub(crate) fn timer<W: World + 'static>(
    core: Rc<Core<W>>,
    command: Command,
) -> LocalBoxFuture<'static, Done> {
    Box::pin(async move {
        if let Err(error) = core.driver.execute(&command).await {
            core.note(&error);
            core.world.warn(&with_sources(&error));
            // Nobody else asks for it: it rings again.
            let again = core.world.clock().now().plus_seconds(RING_AGAIN_SECONDS);
            core.engine.state.borrow_mut().set_timer(again, command);
        }
        None
    })
}

fn serve_call<W: World + 'static>(core: Rc<Core<W>>, execution: ExecutionId, call: Call) -> Served {
    let id = call.id;
    // Whatever service a state calls, on one machine a program can stand in for it.
    if cauce_engine::launch::is_program(&call.arguments) {
        return run_program(core, execution, call);
    }
    match &*call.resource {
        "arn:aws:states:::lambda:invoke" | "arn:aws:states:::lambda:invoke.waitForTaskToken" => {
            invoke(core, execution, call)
        }
        "arn:aws:states:::states:startExecution.sync:2" => {
            start(&core, execution, &call);
            None
        }
        _ => Some(Box::pin(async move {
            let outcome = core.world.programs().call(&call.resource, &call.arguments).await;
            let outcome = outcome.map_err(|failure| Failure::new(failure.error, failure.cause));
            Some((execution, Reply::Returned(id, outcome)))
        })),
    }
}

fn run_program<W: World + 'static>(core: Rc<Core<W>>, execution: ExecutionId, call: Call) -> Served {
    let id = call.id;
    let program = call.arguments.get("ClientToken").and_then(Json::as_str).unwrap_or_default().to_owned();
    note_under_way(&core, execution, id, UnderWay::Program(program));
    Some(Box::pin(async move {
        let outcome = core.world.programs().run(&call.arguments).await;
        if let Some(live) = core.engine.state.borrow_mut().live.get_mut(&execution) {
            live.under_way.remove(&id);
        }
        let outcome = outcome.map_err(|failure| Failure::new(failure.error, failure.cause));
        Some((execution, Reply::Returned(id, outcome)))
    }))
}

fn note_under_way<W: World>(core: &Core<W>, execution: ExecutionId, id: CallId, under_way: UnderWay) {
    if let Some(live) = core.engine.state.borrow_mut().live.get_mut(&execution) {
        live.under_way.insert(id, under_way);
    }
}

/// A call of one of our functions: the same driver that the Lambda of that name runs.
fn invoke<W: World + 'static>(core: Rc<Core<W>>, execution: ExecutionId, call: Call) -> Served {
    let id = call.id;
    let function = call.arguments.get("FunctionName").and_then(Json::as_str).unwrap_or_default();
    let payload = call.arguments.get("Payload").unwrap_or(&Json::Null);
    let command = match payload::command(function, payload) {
        Ok(command) => command,
        Err(error) => {
            let failure = Failure::new("Lambda.Unknown", error.to_string());
            core.engine.state.borrow_mut().tell(execution, Reply::Returned(id, Err(failure)));
            return None;
        }
    };
    if let Some(token) = &call.token {
        // Before the function runs: it may answer before it returns.
        let waiter = Waiter { execution, call: id };
        core.engine.state.borrow_mut().tokens.insert(token.clone(), waiter);
        note_under_way(&core, execution, id, UnderWay::Token(token.clone()));
    }
    let with_token = call.mode == Mode::WaitForTaskToken;
    Some(Box::pin(async move {
        let outcome = match core.driver.execute(&command).await {
            Ok(Said::None) => Ok(Json::Null),
            Ok(Said::Ok(result)) => Ok(result),
            Ok(Said::Failure { error, cause }) => Err(Failure::new(error, cause)),
            Err(error) => {
                core.note(&error);
                Err(Failure::new(names::UNAVAILABLE, with_sources(&error)))
            }
        };
        let outcome = outcome
            .map(|payload| json!({"ExecutedVersion": "$LATEST", "Payload": payload, "StatusCode": 200}));
        let reply = match outcome {
            Ok(answer) if with_token => Reply::Submitted(id, answer),
            outcome => Reply::Returned(id, outcome),
        };
        Some((execution, reply))
    }))
}

/// A nested execution.
fn start<W: World>(core: &Core<W>, execution: ExecutionId, call: &Call) {
    let text = |field: &str| call.arguments.get(field).and_then(Json::as_str).unwrap_or_default();
    let (machine, name) = (text("StateMachineArn"), text("Name"));
    let input = call.arguments.get("Input").cloned().unwrap_or_else(|| json!({}));
    let refused = match core.engine.begin(machine, name, &input) {
        Ok(Begun::New(child) | Begun::Joined(child)) => {
            let mut state = core.engine.state.borrow_mut();
            if let Some(live) = state.live.get_mut(&child) {
                live.waiters.push(Waiter { execution, call: call.id });
            }
            drop(state);
            note_under_way(core, execution, call.id, UnderWay::Nested(child));
            return;
        }
        Ok(Begun::Taken) => Failure::new(
            "StepFunctions.ExecutionAlreadyExistsException",
            format!("an execution named {name} exists already"),
        ),
        Ok(Begun::Elsewhere) => {
            Failure::new(names::DENIED, format!("{name} is driven by another process of this machine"))
        }
        Err(StateMachineError::NoMachine(machine)) => Failure::new(
            "StepFunctions.StateMachineDoesNotExistException",
            format!("there is no state machine {machine}"),
        ),
        Err(error) => Failure::new("StepFunctions.InternalServerException", error.to_string()),
    };
    core.engine.state.borrow_mut().tell(execution, Reply::Returned(call.id, Err(refused)));
}

/// Nobody waits for this call any more. What an execution of the same run was to do ends with it; a run of another
/// pipeline has an end of its own, which whoever decided this asks for where it should (on AWS, the machine of such tasks
/// may not stop executions).
fn cancel<W: World + 'static>(core: Rc<Core<W>>, execution: ExecutionId, id: CallId) -> Served {
    let mut state = core.engine.state.borrow_mut();
    let under_way = state.live.get_mut(&execution).and_then(|live| live.under_way.remove(&id));
    match under_way? {
        UnderWay::Token(token) => {
            state.tokens.remove(&token);
            None
        }
        UnderWay::Nested(child) if !is_of_same_run(&state, execution, child) => {
            if let Some(live) = state.live.get_mut(&child) {
                live.waiters.retain(|waiter| (waiter.execution, waiter.call) != (execution, id));
            }
            None
        }
        UnderWay::Nested(child) => {
            let abort = Failure::new("States.TaskFailed", "the execution that started it stopped waiting");
            state.tell(child, Reply::Abort(abort));
            None
        }
        UnderWay::Program(program) => {
            drop(state);
            Some(Box::pin(async move {
                if let Err(error) =
                    core.world.programs().stop(&program, "the execution stopped waiting").await
                {
                    core.world.warn(&error.to_string());
                }
                None
            }))
        }
    }
}

fn is_of_same_run(state: &State, one: ExecutionId, other: ExecutionId) -> bool {
    let run = |id| state.live.get(&id).and_then(|live| live.run.as_ref());
    run(one) == run(other)
}

fn of_object(error: &ObjectError) -> Failure {
    Failure::new("S3.S3Exception", error.to_string())
}

/// Reads the items of a distributed Map.
async fn read<W: World>(core: &Core<W>, resource: &str, arguments: &Json) -> Result<Json, Failure> {
    let text = |field: &str| arguments.get(field).and_then(Json::as_str).unwrap_or_default();
    let bucket = text("Bucket");
    if resource == "arn:aws:states:::s3:listObjectsV2" {
        let prefix = format!("s3://{bucket}/{}", text("Prefix"));
        let objects =
            core.world.objects().list(&prefix, u32::MAX).await.map_err(|error| of_object(&error))?;
        let base = format!("s3://{bucket}/");
        let rows = objects.iter().map(|object| {
            json!({
                "Key": object.uri.strip_prefix(&base).unwrap_or(&object.uri),
                "Size": object.bytes,
                "LastModified": object.modified_at.micros() / 1_000_000,
                "Etag": "",
                "StorageClass": "STANDARD",
            })
        });
        return Ok(Json::Array(rows.collect()));
    }
    let uri = format!("s3://{bucket}/{}", text("Key"));
    let bytes = core.world.objects().get(&uri, READ_MAX).await.map_err(|error| of_object(&error))?;
    let bytes =
        bytes.ok_or_else(|| Failure::new("S3.NoSuchKeyException", format!("{uri} does not exist")))?;
    String::from_utf8(bytes)
        .map(Json::String)
        .map_err(|_| Failure::new("S3.S3Exception", format!("{uri} is not UTF-8")))
}
