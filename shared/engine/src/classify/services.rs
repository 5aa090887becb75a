//! Failures of the tasks that another service does.
//!
//! An integration fails in one of two shapes. Either the call itself was refused: the error is
//! `<service>.<exception>`, the cause the service's text, at whose end `Error Code: <exception>` says
//! more than the name when that is the service's general one (`Glue.AWSGlueException`). Or what was
//! started ended badly: `States.TaskFailed`, its description in PascalCase as the cause.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>
//!
//! A class in which the user's work never started is given only where that is certain: retries of
//! those are not charged to the user's budget.

use super::{Failure, failure as of_program, is_out_of_memory, nested, shown, stopped};
use cauce_model::services::Service;
use cauce_model::{FailureClass, Json, names};
use serde_json::json;

pub(super) fn failure(service: &Service, error: &str, cause: &str) -> Failure {
    let description = serde_json::from_str::<Json>(cause).ok().filter(Json::is_object);
    // On one machine a program stands in, and it fails as programs do.
    let is_program = description.as_ref().is_some_and(|task| task.get("Containers").is_some());
    if is_program || error.starts_with("ECS.") || error.starts_with("AmazonECS.") {
        return of_program(error, cause);
    }
    match (service, error) {
        (_, "States.TaskFailed") => match &description {
            Some(description) => ended(service, description, cause),
            None => Failure::new(FailureClass::Unknown, shown(cause)),
        },
        (Service::Http(_), _) if error.starts_with("States.Http.") => http(error, cause),
        _ if error.starts_with("States.") => of_program(error, cause),
        (Service::Lambda(_), _) => lambda(error, cause, description.as_ref()),
        _ => refused(error, cause).unwrap_or_else(|| unknown(error, cause)),
    }
}

fn unknown(error: &str, cause: &str) -> Failure {
    Failure::new(FailureClass::Unknown, shown(&format!("{error}: {cause}")))
}

/// What was started ended badly.
fn ended(service: &Service, description: &Json, cause: &str) -> Failure {
    match service {
        Service::Glue(_) => glue(description),
        Service::EmrServerless(_) => emr_serverless(description),
        Service::Batch(_) => batch(description),
        Service::Athena(_) => athena(description),
        Service::Lambda(_) | Service::Http(_) | Service::StateMachine(_) => nested(description, cause),
    }
}

fn text<'a>(value: &'a Json, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// A state of the service and its words.
fn said(state: &str, words: &str) -> String {
    if words.is_empty() { state.to_owned() } else { shown(words) }
}

/// A job run. <https://docs.aws.amazon.com/glue/latest/dg/job-run-statuses.html>
fn glue(run: &Json) -> Failure {
    let (state, words) = (text(run, "/JobRunState"), text(run, "/ErrorMessage"));
    let class = match state {
        "STOPPED" | "STOPPING" => FailureClass::UserInitiated,
        "TIMEOUT" => FailureClass::Timeout,
        // It waited for capacity until its time was over.
        "EXPIRED" => FailureClass::Capacity,
        _ if is_out_of_memory(words) => FailureClass::OutOfMemory,
        "FAILED" => FailureClass::Exit,
        _ => FailureClass::Unknown,
    };
    Failure::new(class, said(state, words))
}

/// A job run. <https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/job-states.html>
fn emr_serverless(described: &Json) -> Failure {
    let run = described.get("JobRun").unwrap_or(described);
    let (state, words) = (text(run, "/State"), text(run, "/StateDetails"));
    let lower = words.to_ascii_lowercase();
    let class = match state {
        // The service cancels what is over `executionTimeoutMinutes`.
        "CANCELLED" | "CANCELLING" if lower.contains("time") => FailureClass::Timeout,
        "CANCELLED" | "CANCELLING" => FailureClass::UserInitiated,
        _ if is_out_of_memory(words) => FailureClass::OutOfMemory,
        "FAILED" => FailureClass::Exit,
        _ => FailureClass::Unknown,
    };
    Failure::new(class, said(state, words))
}

/// The beginning of the reason of a job whose machine was taken away.
/// <https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html>
const HOST_TERMINATED: &str = "Host EC2";

/// A job: its container ends as an ECS task's does.
/// <https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html>
fn batch(job: &Json) -> Failure {
    let reason = text(job, "/StatusReason");
    if job["IsTerminated"] == true || job["IsCancelled"] == true {
        return Failure::new(FailureClass::UserInitiated, said("terminated", reason));
    }
    if reason.starts_with(HOST_TERMINATED) {
        return Failure::new(FailureClass::SpotInterruption, shown(reason));
    }
    if reason.contains("exceeded timeout") {
        return Failure::new(FailureClass::Timeout, shown(reason));
    }
    let task = json!({
        "StopCode": "EssentialContainerExited",
        "StoppedReason": reason,
        "Containers": [{
            "ExitCode": job.pointer("/Container/ExitCode"),
            "Reason": job.pointer("/Container/Reason"),
        }],
    });
    // A failed job whose program ended with 0 failed for another reason.
    stopped(&task).unwrap_or_else(|| Failure::new(FailureClass::Unknown, said("the job failed", reason)))
}

/// A query. <https://docs.aws.amazon.com/athena/latest/APIReference/API_QueryExecutionStatus.html>
fn athena(described: &Json) -> Failure {
    let status = described.pointer("/QueryExecution/Status").unwrap_or(&Json::Null);
    let state = text(status, "/State");
    let words = match text(status, "/StateChangeReason") {
        "" => text(status, "/AthenaError/ErrorMessage"),
        words => words,
    };
    let class = match state {
        "CANCELLED" => FailureClass::UserInitiated,
        _ if words.starts_with("Query timeout") => FailureClass::Timeout,
        // A fault of the service: it may have written a part already.
        "FAILED" if status.pointer("/AthenaError/ErrorCategory") == Some(&json!(ATHENA_SYSTEM)) => {
            FailureClass::Unknown
        }
        "FAILED" => FailureClass::Exit,
        _ => FailureClass::Unknown,
    };
    Failure::new(class, said(state, words))
}

/// The category of failures that are Athena's own.
/// <https://docs.aws.amazon.com/athena/latest/APIReference/API_AthenaError.html>
const ATHENA_SYSTEM: u64 = 1;

/// The status with which a service asks for fewer calls.
/// <https://www.rfc-editor.org/rfc/rfc6585#section-4>
const TOO_MANY_REQUESTS: i32 = 429;

/// A status that is not a success, or no answer at all. The status stands as the exit code, so that
/// `skip_on_exit_code` can name it.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html>
fn http(error: &str, cause: &str) -> Failure {
    let status = error.strip_prefix(names::HTTP_STATUS).and_then(|status| status.parse::<i32>().ok());
    match status {
        Some(status) => {
            let class =
                if status == TOO_MANY_REQUESTS { FailureClass::Throttled } else { FailureClass::Exit };
            let words = shown(&format!("status {status}: {cause}"));
            Failure { exit_code: Some(status), ..Failure::new(class, words) }
        }
        // The call may have reached the other end.
        None => unknown(error, cause),
    }
}

/// Faults of Lambda or of the way to it, after which the function may have run.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html>
const LAMBDA_UNCERTAIN: [&str; 4] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
];

/// Resources that Lambda could not prepare, so that the function did not run.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors>
const LAMBDA_RESOURCES: [&str; 7] =
    ["EC2", "EFS", "ENI", "KMS", "SnapStart", "ResourceNotReady", "SubnetIPAddressLimitReached"];

fn lambda(error: &str, cause: &str, answer: Option<&Json>) -> Failure {
    let words = answer.map_or(cause, |answer| text(answer, "/errorMessage"));
    let message = || shown(&format!("{error}: {}", if words.is_empty() { cause } else { words }));
    // The function's own time and memory; `Lambda.Unknown` tells of them in its text alone.
    if error == "Sandbox.Timedout" || cause.contains("Task timed out after") {
        return Failure::new(FailureClass::Timeout, message());
    }
    if is_out_of_memory(error) || is_out_of_memory(cause) || cause.contains("signal: killed") {
        return Failure { exit_code: None, ..Failure::new(FailureClass::OutOfMemory, message()) };
    }
    let Some(exception) = error.strip_prefix("Lambda.") else {
        // What the function raised, by its own name.
        return Failure::new(FailureClass::Exit, message());
    };
    if LAMBDA_UNCERTAIN.contains(&error) {
        return Failure::new(FailureClass::Unknown, message());
    }
    if exception == "Unknown" {
        return Failure::new(FailureClass::Exit, message());
    }
    if LAMBDA_RESOURCES.iter().any(|resource| exception.starts_with(resource)) {
        return Failure::new(FailureClass::ResourceInit, message());
    }
    refused(error, cause).unwrap_or_else(|| unknown(error, cause))
}

/// Parts of names of exceptions that say that the account or the job has no room.
const NO_ROOM: [&str; 4] = [
    "ConcurrentRunsExceeded",
    "ResourceNumberLimitExceeded",
    "ServiceQuotaExceeded",
    "ExecutionLimitExceeded",
];

/// Parts of names of exceptions after which the same request fails again.
const WRONG: [&str; 14] = [
    "AccessDenied",
    "Conflict",
    "DoesNotExist",
    "EntityNotFound",
    "IdempotentParameterMismatch",
    "InvalidArn",
    "InvalidExecutionInput",
    "InvalidInput",
    "InvalidName",
    "InvalidParameter",
    "InvalidRequest",
    "NotFound",
    "RequestTooLarge",
    "Validation",
];

/// A call that was refused, so that nothing was started. `None`: it is not certain that it was.
fn refused(error: &str, cause: &str) -> Option<Failure> {
    let name = error.split_once('.').map_or(error, |(_, name)| name);
    let code = cause.split_once("Error Code: ").map_or("", |(_, rest)| rest);
    let code = code.split([';', ')', ',']).next().unwrap_or_default().trim();
    let is = |part: &str| name.contains(part) || code.contains(part);
    let lower = cause.to_ascii_lowercase();
    let class = if is("Throttl")
        || is("TooManyRequests")
        || lower.contains("rate exceeded")
        || lower.contains("too many requests")
    {
        FailureClass::Throttled
    } else if NO_ROOM.into_iter().any(is) {
        FailureClass::Capacity
    } else if WRONG.into_iter().any(is) || name == "ClientException" {
        FailureClass::Config
    } else {
        return None;
    };
    Some(Failure::new(class, shown(&format!("{error}: {cause}"))))
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
