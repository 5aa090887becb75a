//! Causes in the shapes that AWS documents, and a few seen in reports of users.

use super::*;
use crate::classify::SIGKILL_CODE;
use FailureClass::{
    Aborted, Capacity, Config, Exit, ImagePull, Killed, OutOfMemory, ResourceInit, SpotInterruption,
    Throttled, Timeout, Unknown, UserInitiated,
};
use cauce_model::services::{
    AthenaPlan, BatchPlan, EmrServerlessPlan, GluePlan, HttpPlan, LambdaPlan, StateMachinePlan,
};

fn plan<T: serde::de::DeserializeOwned>(value: Json) -> T {
    serde_json::from_value(value).unwrap()
}

fn lambda_of(error: &str, cause: &str) -> FailureClass {
    failure(&Service::Lambda(plan::<LambdaPlan>(json!({"function": "f"}))), error, cause).class
}

fn failed(service: &Service, description: &Json) -> Failure {
    failure(service, "States.TaskFailed", &description.to_string())
}

#[test]
fn functions() {
    let raised = json!({"errorMessage": "no rows", "errorType": "ValueError", "stackTrace": []}).to_string();
    assert_eq!(lambda_of("ValueError", &raised), Exit);
    let told = failure(&Service::Lambda(plan::<LambdaPlan>(json!({"function": "f"}))), "ValueError", &raised);
    assert_eq!(told.message, "ValueError: no rows");
    let timed_out = "The cause could not be determined because Lambda did not return an error type. \
                     Returned payload: {\"errorMessage\":\"2024-01-01T00:00:00.000Z 1 Task timed out after 3.00 seconds\"}";
    assert_eq!(lambda_of("Lambda.Unknown", timed_out), Timeout);
    assert_eq!(lambda_of("Sandbox.Timedout", "{\"errorMessage\":\"RequestId: 1 Error: ...\"}"), Timeout);
    let killed = "{\"errorType\":\"Runtime.ExitError\",\"errorMessage\":\"Runtime exited with error: signal: killed\"}";
    assert_eq!(lambda_of("Runtime.ExitError", killed), OutOfMemory);
    assert_eq!(lambda_of("Runtime.OutOfMemory", "{}"), OutOfMemory);
    assert_eq!(lambda_of("Lambda.Unknown", "the runtime died"), Exit);
    assert_eq!(lambda_of("Lambda.TooManyRequestsException", "Rate Exceeded."), Throttled);
    assert_eq!(lambda_of("Lambda.ResourceNotFoundException", "Function not found"), Config);
    assert_eq!(lambda_of("Lambda.EC2ThrottledException", "ENI"), ResourceInit);
    // The function may have run: these are not charged to the platform.
    for uncertain in LAMBDA_UNCERTAIN {
        assert_eq!(lambda_of(uncertain, "Service Unavailable"), Unknown);
        assert!(!lambda_of(uncertain, "").never_started());
    }
    assert_eq!(lambda_of("States.Timeout", ""), Timeout);
    assert_eq!(lambda_of("States.DataLimitExceeded", "256 KB"), Config);
}

#[test]
fn glue_jobs() {
    let glue = Service::Glue(plan::<GluePlan>(json!({"job": "j"})));
    let run = |state: &str, words: &str| {
        failed(&glue, &json!({"Id": "jr_1", "JobName": "j", "JobRunState": state, "ErrorMessage": words}))
    };
    assert_eq!(run("FAILED", "KeyError: 'a'"), Failure::new(Exit, "KeyError: 'a'"));
    assert_eq!(run("FAILED", "An error occurred. java.lang.OutOfMemoryError: heap").class, OutOfMemory);
    assert_eq!(run("TIMEOUT", "").class, Timeout);
    assert_eq!(run("STOPPED", "").class, UserInitiated);
    assert_eq!(run("EXPIRED", "").class, Capacity);
    assert_eq!(run("ERROR", "internal").class, Unknown);
    let api = |error: &str, cause: &str| failure(&glue, error, cause).class;
    let throttled =
        "Rate exceeded (Service: AWSGlue; Status Code: 400; Error Code: ThrottlingException; Proxy: null)";
    assert_eq!(api("Glue.AWSGlueException", throttled), Throttled);
    assert_eq!(api("Glue.ConcurrentRunsExceededException", "Concurrent runs exceeded for j"), Capacity);
    assert_eq!(api("Glue.EntityNotFoundException", "no job j"), Config);
    let denied = "x (Service: AWSGlue; Status Code: 400; Error Code: AccessDeniedException; Request ID: 1)";
    assert_eq!(api("Glue.AWSGlueException", denied), Config);
    assert_eq!(api("Glue.InternalServiceException", "x (Status Code: 500)"), Unknown);
}

#[test]
fn emr_serverless_jobs() {
    let emr = Service::EmrServerless(plan::<EmrServerlessPlan>(
        json!({"application": "a", "role": "r", "job_driver": {}}),
    ));
    let run = |state: &str, words: &str| {
        failed(&emr, &json!({"JobRun": {"JobRunId": "1", "State": state, "StateDetails": words}})).class
    };
    assert_eq!(run("FAILED", "Job failed, please check complete logs. ExitCode: 1."), Exit);
    assert_eq!(run("FAILED", "java.lang.OutOfMemoryError: Java heap space"), OutOfMemory);
    assert_eq!(run("CANCELLED", ""), UserInitiated);
    assert_eq!(run("CANCELLED", "Job run exceeded its execution timeout"), Timeout);
    // The description without its envelope.
    assert_eq!(failed(&emr, &json!({"State": "FAILED"})), Failure::new(Exit, "FAILED"));
    assert_eq!(failure(&emr, "EMRServerless.ValidationException", "bad arn").class, Config);
    assert_eq!(failure(&emr, "EMRServerless.ServiceQuotaExceededException", "vCPU").class, Capacity);
}

#[test]
fn batch_jobs() {
    let batch = Service::Batch(plan::<BatchPlan>(json!({"job_definition": "d", "queue": "q"})));
    let job = |reason: &str, code: Option<i64>, container_reason: &str| {
        let mut container = json!({"LogStreamName": "d/default/1"});
        if let Some(code) = code {
            container["ExitCode"] = json!(code);
        }
        if !container_reason.is_empty() {
            container["Reason"] = json!(container_reason);
        }
        let job = json!({"JobId": "1", "Status": "FAILED", "StatusReason": reason, "Container": container});
        let failure = failed(&batch, &job);
        (failure.class, failure.exit_code)
    };
    let exited = "Essential container in task exited";
    assert_eq!(job(exited, Some(3), ""), (Exit, Some(3)));
    assert_eq!(job(exited, Some(SIGKILL_CODE), ""), (Killed, Some(137)));
    let oom = "OutOfMemoryError: Container killed due to memory usage";
    assert_eq!(job(exited, Some(137), oom), (OutOfMemory, Some(137)));
    assert_eq!(job("Host EC2 (instance i-0) terminated.", None, ""), (SpotInterruption, None));
    assert_eq!(job("Job attempt duration exceeded timeout", None, ""), (Timeout, None));
    assert_eq!(job("Task failed to start", None, "CannotPullContainerError: i/o timeout"), (ImagePull, None));
    assert_eq!(job(exited, Some(0), ""), (Unknown, None));
    let terminated = json!({"Status": "FAILED", "StatusReason": "by hand", "IsTerminated": true});
    assert_eq!(failed(&batch, &terminated), Failure::new(UserInitiated, "by hand"));
    let inactive = "JobDefinition arn:... is not in ACTIVE status (Service: AWSBatch; Status Code: 400; \
                    Error Code: ClientException; Request ID: 1; Proxy: null)";
    assert_eq!(failure(&batch, "Batch.ClientException", inactive).class, Config);
    let throttled =
        "Too Many Requests (Service: AWSBatch; Status Code: 429; Error Code: TooManyRequestsException)";
    assert_eq!(failure(&batch, "Batch.AWSBatchException", throttled).class, Throttled);
    // The job may have been taken.
    let broken = "null (Service: AWSBatch; Status Code: 500; Error Code: ServerException; Request ID: 1)";
    assert_eq!(failure(&batch, "Batch.ServerException", broken).class, Unknown);
}

#[test]
fn queries() {
    let athena = Service::Athena(plan::<AthenaPlan>(json!({"query": "SELECT 1"})));
    let query = |status: Json| failed(&athena, &json!({"QueryExecution": {"Status": status}}));
    let syntax = json!({"State": "FAILED", "StateChangeReason": "SYNTAX_ERROR: line 1:8",
        "AthenaError": {"ErrorCategory": 2, "ErrorType": 1006, "Retryable": false}});
    assert_eq!(query(syntax), Failure::new(Exit, "SYNTAX_ERROR: line 1:8"));
    let system = json!({"State": "FAILED", "StateChangeReason": "INTERNAL_ERROR",
        "AthenaError": {"ErrorCategory": 1, "ErrorType": 200, "Retryable": true}});
    assert_eq!(query(system).class, Unknown);
    assert_eq!(query(json!({"State": "CANCELLED"})).class, UserInitiated);
    assert_eq!(query(json!({"State": "FAILED", "StateChangeReason": "Query timeout"})).class, Timeout);
    assert_eq!(failure(&athena, "Athena.InvalidRequestException", "no workgroup").class, Config);
    assert_eq!(failure(&athena, "Athena.TooManyRequestsException", "").class, Throttled);
}

#[test]
fn web_services() {
    let http = Service::Http(plan::<HttpPlan>(json!({"method": "GET", "url": "https://x"})));
    let missing = failure(&http, "States.Http.StatusCode.404", "{\"error\":\"gone\"}");
    assert_eq!((missing.class, missing.exit_code), (Exit, Some(404)));
    assert_eq!(failure(&http, "States.Http.StatusCode.503", "").exit_code, Some(503));
    let slow = failure(&http, "States.Http.StatusCode.429", "slow down");
    assert_eq!((slow.class, slow.exit_code), (Throttled, Some(429)));
    assert_eq!(failure(&http, "States.Http.Socket", "connection reset").class, Unknown);
    assert_eq!(failure(&http, "States.Timeout", "").class, Timeout);
}

#[test]
fn executions() {
    let machine = Service::StateMachine(plan::<StateMachinePlan>(json!({"machine": "m", "wait": true})));
    let execution =
        |status: &str| json!({"ExecutionArn": "a", "Status": status, "Error": "Boom", "Cause": "it broke"});
    assert_eq!(failed(&machine, &execution("FAILED")), Failure::new(Exit, "Boom: it broke"));
    assert_eq!(failed(&machine, &execution("ABORTED")).class, Aborted);
    assert_eq!(failed(&machine, &execution("TIMED_OUT")).class, Timeout);
    let absent = "State Machine Does Not Exist";
    assert_eq!(failure(&machine, "StepFunctions.StateMachineDoesNotExistException", absent).class, Config);
    assert_eq!(failure(&machine, "StepFunctions.ExecutionLimitExceededException", "").class, Capacity);
    assert_eq!(failure(&machine, "StepFunctions.InternalServerException", "").class, Unknown);
}

#[test]
fn a_program_that_stands_in_fails_as_programs_do() {
    let glue = Service::Glue(plan::<GluePlan>(json!({"job": "j"})));
    let task = json!({"StopCode": "EssentialContainerExited", "StoppedReason": "Essential container in task exited",
        "Containers": [{"Name": "task", "ExitCode": 4}]});
    assert_eq!(failed(&glue, &task).exit_code, Some(4));
    assert_eq!(failure(&glue, "ECS.ThrottlingException", "Rate exceeded").class, Throttled);
    // A cause that is cut off says nothing of what happened.
    assert_eq!(failure(&glue, "States.TaskFailed", "{\"JobRunState\": \"FAI").class, Unknown);
}
