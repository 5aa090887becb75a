//! Amazon States Language: read, validated, and interpreted with replies out of the input.

use std::sync::Arc;

use cauce_asl::{ExecutionType, Severity, StateMachine, ValidationResult, validate_text};
use cauce_interpreter::{
    Context, Definition, Ended, Execution, Failure, HistoryEvent, Reply, Request, TestRequest, test_state,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{json, texts};

/// Longest look at one execution, in requests that it makes.
const REQUESTS_MAX: usize = 300;

/// `<definition> CUT <input> CUT <replies: a list of [how, value]>`.
pub(crate) fn definition(input: &[u8]) {
    let Some([text, given, replies]) = texts(input) else { return };
    let report = validate_text(text, ExecutionType::Standard, Severity::Warning);
    let again = validate_text(text, ExecutionType::Standard, Severity::Warning);
    assert_eq!(report, again, "two validations differ");
    for found in &report.diagnostics {
        assert!(!found.message.is_empty() && !found.code.is_empty(), "{found:?}");
    }
    let errors = report.diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(errors, report.result == ValidationResult::Fail, "{report:?}");

    if let Ok(machine) = StateMachine::parse(text) {
        // What is read and written once is read and written alike from then on.
        let written = machine.to_compact_json();
        let read = StateMachine::parse(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
        assert_eq!(read, machine, "{written}");
        let pretty = StateMachine::parse(&machine.to_pretty_json());
        assert_eq!(pretty.ok().as_ref(), Some(&machine));
    }
    let checked = Definition::check(text, ExecutionType::Standard, Severity::Error);
    let prepared = match Definition::parse(text) {
        Ok(prepared) => Arc::new(prepared),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            return assert_eq!(checked.result, ValidationResult::Fail, "{problems:?}");
        }
    };
    if checked.result == ValidationResult::Fail {
        return;
    }
    let replies = match json(replies) {
        Value::Array(replies) => replies,
        _ => Vec::new(),
    };
    let told = interpret(&prepared, &json(given), &replies);
    assert_eq!(told, interpret(&prepared, &json(given), &replies), "two executions differ");
}

/// An event: its id, the one before on its path, its moment.
type Happened = (u64, u64, Timestamp);

fn happened(event: &HistoryEvent) -> Happened {
    (event.id, event.previous_id, event.timestamp)
}

/// Runs an execution in virtual time until it has ended, or nothing more can happen to it, or for long
/// enough.
fn interpret(
    definition: &Arc<Definition>,
    input: &Value,
    replies: &[Value],
) -> (Vec<Happened>, Option<Ended>) {
    let mut now = Timestamp::UNIX_EPOCH;
    let context = Context::named("machine", "execution");
    let mut execution = Execution::start(Arc::clone(definition), context, input.clone(), now, 1);
    let mut replies = replies.iter().cycle();
    let mut calls = Vec::new();
    let mut ended = None;
    for _ in 0..REQUESTS_MAX {
        match execution.advance(now) {
            Some(Request::Call(call)) => {
                assert!(!calls.contains(&call.id), "{:?} is asked for twice", call.id);
                calls.push(call.id);
                if let Some(reply) = replies.next() {
                    for reply in answers(reply, call.id) {
                        execution.handle(now, reply);
                    }
                }
            }
            Some(Request::Cancel { id }) => {
                assert!(calls.contains(&id), "{id:?} was never asked for");
            }
            Some(Request::Read { id, .. } | Request::Write { id, .. }) => {
                let reply = replies.next().map(|reply| reply[1].clone()).unwrap_or_default();
                execution.handle(now, Reply::Returned(id, Ok(reply)));
            }
            Some(Request::Ended(how)) => {
                assert_eq!(execution.advance(now), None, "it goes on after its end");
                ended = Some(how);
                break;
            }
            None => match execution.wakes_at() {
                Some(at) => {
                    assert!(at > now, "it wants to be woken in the past");
                    now = at;
                }
                None => break,
            },
        }
    }
    let history = execution.history();
    for (before, after) in history.iter().zip(history.iter().skip(1)) {
        assert!(before.id < after.id && before.timestamp <= after.timestamp, "{before:?}, then {after:?}");
    }
    for event in history {
        assert!(event.previous_id < event.id, "{event:?} follows a later one");
    }
    (history.iter().map(happened).collect(), ended)
}

/// `["ok", value]`, `["fail", error]`, `["submit", value]`, anything else twice.
fn answers(reply: &Value, id: cauce_interpreter::CallId) -> Vec<Reply> {
    let value = reply[1].clone();
    match reply[0].as_str() {
        Some("fail") => {
            let error = value.as_str().unwrap_or("States.TaskFailed");
            vec![Reply::Returned(id, Err(Failure::new(error, "because")))]
        }
        Some("submit") => vec![Reply::Submitted(id, value.clone()), Reply::Heartbeat(id)],
        Some("token") => vec![Reply::Submitted(id, Value::Null), Reply::Answered(id, Ok(value))],
        Some("abort") => vec![Reply::Abort(Failure::new("Aborted", "from outside"))],
        Some("silence") => Vec::new(),
        Some("ok") => vec![Reply::Returned(id, Ok(value))],
        _ => vec![Reply::Returned(id, Ok(value.clone())), Reply::Returned(id, Ok(value))],
    }
}

/// A request of `TestState`.
pub(crate) fn one_state(input: &[u8]) {
    let Ok(request) = serde_json::from_slice::<TestRequest>(input) else { return };
    let test = || {
        let context = Context::named("machine", "execution");
        test_state(&request, context, Timestamp::UNIX_EPOCH, 1)
            .map(|result| serde_json::to_value(result).unwrap_or_else(|error| panic!("{error}")))
            .map_err(|error| error.to_string())
    };
    let result = test();
    assert_eq!(result, test(), "two tests differ");
    if let Ok(result) = result {
        let is_good = result["status"] == "SUCCEEDED";
        assert!(!is_good || result.get("error").is_none(), "{result}");
        if let Some(output) = result["output"].as_str() {
            assert!(serde_json::from_str::<Value>(output).is_ok(), "the output is no JSON: {result}");
        }
    }
}
