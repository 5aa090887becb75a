//! The task machines: one lifecycle per launch kind, the same for every pipeline.
//!
//! ```text
//! Begin ─► Launch ─► Finish                  (waits: Pause ─► Begin)
//!   ▲         └─ failed ─► Settle ─► Settled ─► Delay ─► Begin
//!   └── Again, or Wait ─► Pause           └──► Failed | Ended
//! ```
//!
//! Where a person does the work, `Ask` stands in the place of `Launch`.
//!
//! An execution's input is `{run_key, generation, version, task, index}`; `index` is absent unless
//! the task is mapped. States that the success path does not pass end the execution: `Ended` well,
//! `Failed` so that the console shows it, `FinishLost` with an alarm.

use cauce_asl::{
    Catcher, Choice, ChoiceRule, Fail, QueryLanguage, State, StateMachine, States, Succeed, Task, Wait,
    error_name,
};
use cauce_model::names;
use serde_json::{Value, json};

use crate::resource::{
    ATHENA, BATCH, BEGIN_TASK, CALL, EMR_SERVERLESS, EXECUTE, FINISH_TASK, GATE_WAIT_MAX_SECONDS, GLUE, HTTP,
    INVOKE, INVOKE_TOKEN, Patience, RUN_TASK, START_EXECUTION,
};

/// A launch kind: the name of its machine, and what its Launch calls.
struct LaunchKind {
    name: &'static str,
    work: Work,
}

/// What does the work of an attempt.
#[derive(Clone, Copy)]
enum Work {
    /// Begin alone.
    Begin,
    /// A call of a service.
    Launch(Launch),
    /// A person: begin-task is given a token, which their answer answers.
    Ask,
}

#[derive(Clone, Copy)]
struct Launch {
    resource: &'static str,
    transient: &'static [&'static str],
}

const fn kind(name: &'static str, resource: &'static str, transient: &'static [&'static str]) -> LaunchKind {
    LaunchKind { name, work: Work::Launch(Launch { resource, transient }) }
}

/// Every launch kind, by name. The names are those of `TaskKind::machine`.
const LAUNCH_KINDS: [LaunchKind; 12] = [
    LaunchKind { name: "approval", work: Work::Ask },
    kind("athena", ATHENA, &names::ATHENA_TRANSIENT),
    kind("batch", BATCH, &names::BATCH_TRANSIENT),
    kind("container", RUN_TASK, &names::ECS_TRANSIENT),
    kind("emr_serverless", EMR_SERVERLESS, &names::EMR_SERVERLESS_TRANSIENT),
    kind("glue", GLUE, &names::GLUE_TRANSIENT),
    kind("http", HTTP, &names::HTTP_TRANSIENT),
    kind("lambda", INVOKE, &names::FUNCTION_TRANSIENT),
    kind("pipeline", EXECUTE, &names::EXECUTION_TRANSIENT),
    kind("state_machine", EXECUTE, &names::EXECUTION_TRANSIENT),
    kind("state_machine_started", START_EXECUTION, &names::EXECUTION_TRANSIENT),
    LaunchKind { name: "wait_for", work: Work::Begin },
];

/// The machine of every launch kind, by name, ascending.
pub fn machines() -> Vec<(&'static str, StateMachine)> {
    let machines = LAUNCH_KINDS.iter().map(|kind| {
        let names = Names { prefix: "" };
        let machine = StateMachine {
            comment: Some(format!("The lifecycle of a {} task.", kind.name)),
            query_language: Some(QueryLanguage::JSONata),
            start_at: names.of("Begin"),
            states: lifecycle(kind, &names),
            ..StateMachine::default()
        };
        (kind.name, machine)
    });
    machines.collect()
}

/// The states of a launch kind's lifecycle, each named `<prefix><state>`, and the first of them:
/// for machines that hold the lifecycle itself. `None` for an unknown kind.
pub(crate) fn states(kind: &str, prefix: &str) -> Option<(String, States)> {
    let kind = LAUNCH_KINDS.iter().find(|known| known.name == kind)?;
    let names = Names { prefix };
    Some((names.of("Begin"), lifecycle(kind, &names)))
}

struct Names<'a> {
    prefix: &'a str,
}

impl Names<'_> {
    fn of(&self, state: &str) -> String {
        format!("{}{state}", self.prefix)
    }
}

fn lifecycle(kind: &LaunchKind, names: &Names<'_>) -> States {
    let mut states = States::new();
    let mut add = |name: &str, state: State| {
        states.insert(names.of(name), state);
    };
    let work = match kind.work {
        Work::Begin => None,
        Work::Launch(launch) => Some(("Launch", launch_state(launch, names))),
        Work::Ask => Some(("Ask", ask(names))),
    };
    let has_attempts = work.is_some();
    match work {
        Some((name, work)) => {
            let begin = Task { assign: Some(begun(kind.work)), ..begin(names).next(names.of(name)) };
            add("Begin", begin.into());
            add(name, work.into());
            add("Finish", finish(names).into());
            add("Settle", settle(names).into());
            add("Settled", settled(names).into());
            add("Delay", wait("{% $seconds %}", names).into());
        }
        None => add("Begin", begin(names).end().into()),
    }
    add("Pause", wait("{% $seconds %}", names).into());
    add("Ended", ended().into());
    add("Failed", Fail::new("{% $error %}", "{% $cause %}").into());
    if has_attempts {
        let lost = "finish-task could not be reached for two hours; the sweep settles this task";
        add("FinishLost", Fail::new(names::FINISH_LOST, lost).into());
    }
    states
}

/// What every call about a task carries, from the execution's input.
pub(crate) fn identity() -> Value {
    let input = |field: &str| format!("{{% $states.context.Execution.Input.{field} %}}");
    json!({
        "run_key": input("run_key"),
        "generation": input("generation"),
        "version": input("version"),
        "task": input("task"),
        // An expression without a value is an error, so an absent index is said to be null.
        "index": "{% $exists($states.context.Execution.Input.index) ? $states.context.Execution.Input.index : null %}",
    })
}

pub(crate) fn with(mut payload: Value, fields: Value) -> Value {
    if let (Value::Object(payload), Value::Object(fields)) = (&mut payload, fields) {
        payload.extend(fields);
    }
    payload
}

/// The arguments of a Lambda call.
pub(crate) fn invoke(function: &str, payload: Value) -> Option<Value> {
    Some(json!({"FunctionName": function, "Payload": payload}))
}

/// What a state that hands out its token adds to its payload: the token, and what orders the
/// tokens of one task.
pub(crate) fn token_fields() -> Value {
    json!({
        "token": "{% $states.context.Task.Token %}",
        "entered_at": "{% $states.context.State.EnteredTime %}",
        "retry_count": "{% $states.context.State.RetryCount %}",
    })
}

/// Catches these errors, keeps nothing of them and goes on.
pub(crate) fn catch(errors: impl IntoIterator<Item = &'static str>, next: impl Into<String>) -> Catcher {
    Catcher { output: Some(json!({})), ..Catcher::new(errors, next) }
}

/// Catches an error and keeps its name and text as `$error` and `$cause`.
fn kept(error: &'static str, next: &str) -> Catcher {
    let or = |field: &str, otherwise: &str| {
        format!("{{% $exists($states.errorOutput.{field}) ? $states.errorOutput.{field} : '{otherwise}' %}}")
    };
    Catcher {
        assign: Some(json!({"error": or("Error", error_name::TASK_FAILED), "cause": or("Cause", "")})),
        ..catch([error], next)
    }
}

/// Catches every error that can be caught. `States.ALL` leaves out `States.DataLimitExceeded`, so
/// that is named; nothing catches `States.Runtime`.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>
fn catch_kept(next: &str) -> Vec<Catcher> {
    vec![kept(error_name::DATA_LIMIT_EXCEEDED, next), kept(error_name::ALL, next)]
}

/// Catches the request to wait and begin anew. A token's failure has `{"seconds": n}` as its cause; a
/// function's has that text as the `errorMessage` of its cause.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html>
fn pause(names: &Names<'_>) -> Catcher {
    let asked = "$parse($states.errorOutput.Cause)";
    let seconds = format!(
        "{{% ( $asked := {asked}; $ceil(($exists($asked.seconds) ? $asked : $parse($asked.errorMessage)).seconds) ) %}}"
    );
    Catcher { assign: Some(json!({"seconds": seconds})), ..catch([names::WAIT], names.of("Pause")) }
}

fn begin(names: &Names<'_>) -> Task {
    let mut caught = vec![
        catch([names::AGAIN], names.of("Begin")),
        pause(names),
        catch([names::SKIPPED, names::UPSTREAM_FAILED, names::DONE], names.of("Ended")),
    ];
    caught.extend(catch_kept(&names.of("Failed")));
    Task {
        arguments: invoke(BEGIN_TASK, with(identity(), token_fields())),
        timeout_seconds: Some(GATE_WAIT_MAX_SECONDS.into()),
        retry: vec![CALL.lambda()],
        catch: caught,
        output: Some(json!({})),
        ..Task::new(INVOKE_TOKEN)
    }
}

/// What is kept of Begin's answer. A person needs no request.
fn begun(work: Work) -> Value {
    let kept = json!({
        "timeout_seconds": "{% $states.result.timeout_seconds %}",
        "attempt": "{% $states.result.attempt %}",
        "fence": "{% $states.result.fence %}",
    });
    match work {
        Work::Ask => kept,
        Work::Begin | Work::Launch(_) => with(json!({"launch": "{% $states.result.launch %}"}), kept),
    }
}

/// Waits for a person, without cost: the token lies in the task's record until somebody answers it.
fn ask(names: &Names<'_>) -> Task {
    let fields = with(attempt_fields(), token_fields());
    Task {
        arguments: invoke(BEGIN_TASK, with(identity(), fields)),
        timeout_seconds: Some("{% $timeout_seconds %}".into()),
        retry: vec![CALL.lambda()],
        catch: catch_kept(&names.of("Settle")),
        assign: Some(json!({"result": "{% $states.result %}"})),
        output: Some(json!({})),
        ..Task::new(INVOKE_TOKEN)
    }
    .next(names.of("Finish"))
}

fn launch_state(launch: Launch, names: &Names<'_>) -> Task {
    Task {
        // The only place that knows how a launch reaches its integration: should one want its
        // arguments field by field, they are spelled out here. Not verified on AWS.
        arguments: Some(json!("{% $launch %}")),
        timeout_seconds: Some("{% $timeout_seconds %}".into()),
        retry: vec![CALL.retry(launch.transient.iter().copied())],
        catch: catch_kept(&names.of("Settle")),
        assign: Some(json!({"result": "{% $states.result %}"})),
        output: Some(json!({})),
        ..Task::new(launch.resource)
    }
    .next(names.of("Finish"))
}

/// What a call about an attempt adds.
fn attempt_fields() -> Value {
    json!({"attempt": "{% $attempt %}", "fence": "{% $fence %}"})
}

/// A call that records an end: tried for two hours, then given up with a name of its own.
fn record(payload: Value, names: &Names<'_>) -> Task {
    let mut caught = Vec::new();
    for error in [names::TASK_FAILED, names::DENIED] {
        caught.push(kept(error, &names.of("Failed")));
    }
    caught.push(catch([error_name::ALL], names.of("FinishLost")));
    Task {
        arguments: invoke(FINISH_TASK, payload),
        retry: Patience::record(),
        catch: caught,
        output: Some(json!({})),
        ..Task::new(INVOKE)
    }
}

/// An attempt whose state succeeded can still have failed (stopped from outside, bad output), and
/// Finish says so by a named failure, so that success takes no further state: `Cauce.Wait` when
/// another attempt follows.
fn finish(names: &Names<'_>) -> Task {
    let fields = with(attempt_fields(), json!({"result": "{% $result %}"}));
    let mut state = record(with(identity(), fields), names);
    state.catch.insert(0, pause(names));
    // A result that just fitted, and does not together with what the call adds: an output over its
    // limit, which Settle can be told.
    state.catch.insert(1, kept(error_name::DATA_LIMIT_EXCEEDED, &names.of("Settle")));
    state.end()
}

fn settle(names: &Names<'_>) -> Task {
    let failure = json!({"error": "{% $error %}", "cause": "{% $cause %}"});
    let fields = with(attempt_fields(), failure);
    let reply = "$states.result.Payload";
    let or = |field: &str, otherwise: &str| {
        format!("{{% $exists({reply}.{field}) ? {reply}.{field} : {otherwise} %}}")
    };
    Task {
        assign: Some(json!({
            "decision": or("decision", "'fail'"),
            "seconds": or("seconds", "0"),
            // What the failure was found to be says more than what the service wrote.
            "error": or("error", "$error"),
            "cause": or("cause", "$cause"),
        })),
        ..record(with(identity(), fields), names).next(names.of("Settled"))
    }
}

fn settled(names: &Names<'_>) -> Choice {
    let decided = |decision: &str, next: &str| {
        ChoiceRule::jsonata(format!("{{% $decision = '{decision}' %}}"), names.of(next))
    };
    Choice {
        choices: vec![decided("retry", "Delay"), decided("succeed", "Ended")],
        default: Some(names.of("Failed")),
        output: Some(json!({})),
        ..Choice::default()
    }
}

fn wait(seconds: &str, names: &Names<'_>) -> Wait {
    Wait { seconds: Some(seconds.into()), output: Some(json!({})), ..Wait::default() }.next(names.of("Begin"))
}

fn ended() -> Succeed {
    Succeed { output: Some(json!({})), ..Succeed::default() }
}
