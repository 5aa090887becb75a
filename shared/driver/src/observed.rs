//! Events of the platform, as commands: what became of executions of ours, and of ECS tasks of ours.
//!
//! Rules deliver them through a queue, at least once and in no order. An event that is not about anything
//! of ours is nobody's business; one that should be readable and is not is an error, so that it ends
//! where somebody sees it.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html> and
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html>. The shapes were not
//! verified on AWS itself.

use cauce_engine::Command;
use cauce_engine::command::{ExecutionEnd, Observed};
use cauce_model::{Json, RunKey};

/// An event of a kind that we subscribe to, which cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the event '{kind}' has no usable '{field}'")]
pub struct EventError {
    /// Its `detail-type`.
    pub kind: String,
    /// The field.
    pub field: &'static str,
}

/// What `detail-type` says of an execution's change of status.
pub const EXECUTION_EVENT: &str = "Step Functions Execution Status Change";

/// What `detail-type` says of an ECS task's change of state.
pub const PROGRAM_EVENT: &str = "ECS Task State Change";

/// Reads an EventBridge event. `prefix` is what the names of this environment's machines begin with,
/// without the dash. `None`: it says nothing that we need to know.
///
/// # Errors
/// One of our own executions or programs, without what names it.
pub fn command(event: &Json, prefix: &str) -> Result<Option<Command>, EventError> {
    let kind = event.get("detail-type").and_then(Json::as_str).unwrap_or_default();
    let detail = event.get("detail").unwrap_or(&Json::Null);
    let observed = match kind {
        EXECUTION_EVENT => execution(detail, prefix)?,
        PROGRAM_EVENT => program(detail)?,
        _ => None,
    };
    Ok(observed.map(|observed| Command::Observed(Box::new(observed))))
}

fn missing(kind: &str, field: &'static str) -> EventError {
    EventError { kind: kind.to_owned(), field }
}

fn text<'a>(of: &'a Json, field: &str) -> Option<&'a str> {
    of.get(field).and_then(Json::as_str)
}

fn number(of: &Json, field: &str) -> Option<u32> {
    of.get(field).and_then(Json::as_u64).and_then(|number| u32::try_from(number).ok())
}

fn execution(detail: &Json, prefix: &str) -> Result<Option<Observed>, EventError> {
    let field = |field: &'static str| text(detail, field).ok_or_else(|| missing(EXECUTION_EVENT, field));
    // arn:aws:states:<region>:<account>:stateMachine:<name>[:<version>]
    let machine = field("stateMachineArn")?.split(':').nth(6).unwrap_or_default();
    let Some(machine) = machine.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')) else {
        return Ok(None);
    };
    let cause = text(detail, "cause").unwrap_or_default().to_owned();
    let end = match field("status")? {
        "SUCCEEDED" => ExecutionEnd::Succeeded,
        "FAILED" => {
            ExecutionEnd::Failed { error: text(detail, "error").unwrap_or_default().to_owned(), cause }
        }
        "TIMED_OUT" => ExecutionEnd::TimedOut,
        "ABORTED" => ExecutionEnd::Aborted { cause },
        _ => return Ok(None),
    };
    let input: Json = text(detail, "input")
        .and_then(|input| serde_json::from_str(input).ok())
        .ok_or_else(|| missing(EXECUTION_EVENT, "input"))?;
    let execution = field("name")?.to_owned();
    let Some(run_key) = text(&input, "run_key").map(RunKey::from_text) else {
        // Started from the console: the run has the name of its execution.
        let run_key = RunKey::new(machine, &execution);
        return Ok(Some(Observed::Run { run_key, generation: 1, execution, end }));
    };
    let generation = number(&input, "generation").ok_or_else(|| missing(EXECUTION_EVENT, "input"))?;
    Ok(Some(match text(&input, "task") {
        Some(task) => {
            let (task, index) = (task.to_owned(), number(&input, "index"));
            Observed::Task { run_key, generation, task, index, execution, end }
        }
        None if input.get("machines").is_some() => Observed::Part { run_key, generation, end },
        None => Observed::Run { run_key, generation, execution, end },
    }))
}

/// The event of an ECS task names it by the environment that it was given: events carry no tags.
fn program(detail: &Json) -> Result<Option<Observed>, EventError> {
    if text(detail, "lastStatus") != Some("STOPPED") {
        return Ok(None);
    }
    let containers = detail.pointer("/overrides/containerOverrides").and_then(Json::as_array);
    let variable = |name: &str| {
        let all = containers.into_iter().flatten().filter_map(|container| container.get("environment"));
        let mut all = all.filter_map(Json::as_array).flatten();
        all.find(|variable| text(variable, "name") == Some(name)).and_then(|found| text(found, "value"))
    };
    let Some(pipeline) = variable("CAUCE_PIPELINE") else { return Ok(None) };
    let needed = |name: &'static str| variable(name).ok_or_else(|| missing(PROGRAM_EVENT, name));
    let count = |name: &'static str, text: &str| text.parse().map_err(|_| missing(PROGRAM_EVENT, name));
    Ok(Some(Observed::Program {
        run_key: RunKey::new(pipeline, needed("CAUCE_RUN_ID")?),
        task: needed("CAUCE_TASK")?.to_owned(),
        index: variable("CAUCE_INDEX").map(|text| count("CAUCE_INDEX", text)).transpose()?,
        attempt: count("CAUCE_ATTEMPT", needed("CAUCE_ATTEMPT")?)?,
        program: text(detail, "taskArn").ok_or_else(|| missing(PROGRAM_EVENT, "taskArn"))?.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(machine: &str, status: &str, input: &Json) -> Json {
        json!({
            "source": "aws.states",
            "detail-type": EXECUTION_EVENT,
            "detail": {
                "executionArn": format!("arn:aws:states:eu-west-1:123456789012:execution:{machine}:1997-01-05-g1"),
                "stateMachineArn": format!("arn:aws:states:eu-west-1:123456789012:stateMachine:{machine}"),
                "name": "1997-01-05-g1",
                "status": status,
                "input": input.to_string(),
                "error": "States.Runtime",
                "cause": "because",
            },
        })
    }

    fn observed(event: &Json) -> Option<Observed> {
        match command(event, "cauce-dev") {
            Ok(Some(Command::Observed(observed))) => Some(*observed),
            Ok(None) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_execution_is_known_by_its_input() {
        let run_key = RunKey::from_text("k");
        let task = json!({"run_key": "k", "generation": 2, "version": "v", "task": "load", "index": 7});
        let end = ExecutionEnd::Aborted { cause: "because".to_owned() };
        assert_eq!(
            observed(&status("cauce-dev-container", "ABORTED", &task)),
            Some(Observed::Task {
                run_key: run_key.clone(),
                generation: 2,
                task: "load".to_owned(),
                index: Some(7),
                execution: "1997-01-05-g1".to_owned(),
                end
            })
        );
        let part = json!({"run_key": "k", "generation": 2, "version": "v", "machines": {}});
        assert_eq!(
            observed(&status("cauce-dev-ventas-part-1", "TIMED_OUT", &part)),
            Some(Observed::Part { run_key: run_key.clone(), generation: 2, end: ExecutionEnd::TimedOut })
        );
        let run = json!({"run_key": "k", "generation": 2});
        assert_eq!(
            observed(&status("cauce-dev-ventas:3", "SUCCEEDED", &run)),
            Some(Observed::Run {
                run_key,
                generation: 2,
                execution: "1997-01-05-g1".to_owned(),
                end: ExecutionEnd::Succeeded
            })
        );
        assert_eq!(
            observed(&status("cauce-dev-ventas", "SUCCEEDED", &json!({}))),
            Some(Observed::Run {
                run_key: RunKey::new("ventas", "1997-01-05-g1"),
                generation: 1,
                execution: "1997-01-05-g1".to_owned(),
                end: ExecutionEnd::Succeeded
            })
        );
    }

    #[test]
    fn what_is_not_ours_or_not_over_is_passed_by() {
        assert_eq!(observed(&status("cauce-prod-ventas", "FAILED", &json!({}))), None);
        assert_eq!(observed(&status("cauce-dev-ventas", "RUNNING", &json!({}))), None);
        assert_eq!(observed(&json!({"detail-type": "Object Created"})), None);
        let mut unreadable = status("cauce-dev-ventas", "FAILED", &json!({}));
        unreadable["detail"]["input"] = Json::Null;
        assert!(command(&unreadable, "cauce-dev").is_err());
    }

    #[test]
    fn a_program_is_known_by_its_environment() {
        let event = |last: &str, environment: Json| {
            json!({
                "source": "aws.ecs",
                "detail-type": PROGRAM_EVENT,
                "detail": {"taskArn": "arn:task", "lastStatus": last, "version": 4, "overrides": {"containerOverrides": [{"environment": environment}]}},
            })
        };
        let pair = |name: &str, value: &str| json!({"name": name, "value": value});
        let ours = json!([
            pair("CAUCE_PIPELINE", "p"),
            pair("CAUCE_RUN_ID", "r"),
            pair("CAUCE_TASK", "load"),
            pair("CAUCE_ATTEMPT", "2")
        ]);
        assert_eq!(
            observed(&event("STOPPED", ours.clone())),
            Some(Observed::Program {
                run_key: RunKey::new("p", "r"),
                task: "load".to_owned(),
                index: None,
                attempt: 2,
                program: "arn:task".to_owned(),
            })
        );
        assert_eq!(observed(&event("RUNNING", ours)), None);
        assert_eq!(observed(&event("STOPPED", json!([]))), None);
        assert!(command(&event("STOPPED", json!([pair("CAUCE_PIPELINE", "p")])), "cauce-dev").is_err());
    }
}
