//! Error names. Functions return them as `errorType`, the compiler emits them as `ErrorEquals`:
//! one list, so that neither can name what the other does not know.

/// What every name of ours begins with.
pub const PREFIX: &str = "Cauce.";
/// A task token failed with this: the task was skipped.
pub const SKIPPED: &str = "Cauce.Skipped";
/// A task token failed with this: a failure above means that the task cannot run.
pub const UPSTREAM_FAILED: &str = "Cauce.UpstreamFailed";
/// A task token failed with this: what was waited for is here; ask again.
pub const AGAIN: &str = "Cauce.Again";
/// A task token failed with this: wait the seconds in the cause (`{"seconds": n}`), then ask again.
pub const WAIT: &str = "Cauce.Wait";
/// A task token failed with this: the task may not run (cancelled, superseded).
pub const DENIED: &str = "Cauce.Denied";
/// A task token failed with this: the task ended before, or its result is reused.
pub const DONE: &str = "Cauce.Done";
/// Finish or Settle: the task ended as failed.
pub const TASK_FAILED: &str = "Cauce.TaskFailed";
/// Close: the run ended as failed.
pub const RUN_FAILED: &str = "Cauce.RunFailed";
/// Close: the run was cancelled.
pub const RUN_CANCELLED: &str = "Cauce.RunCancelled";
/// Open: the parameters or the request are wrong.
pub const RUN_REJECTED: &str = "Cauce.RunRejected";
/// Deploy: the deployment or its plan is not what it should be.
pub const DEPLOYMENT_REJECTED: &str = "Cauce.DeploymentRejected";
/// Finish and Settle could not be reached in two hours; the sweep settles.
pub const FINISH_LOST: &str = "Cauce.FinishLost";
/// A decision could not be made because the store or another service failed; worth another try.
pub const UNAVAILABLE: &str = "Cauce.Unavailable";
/// A function was sent what it cannot make sense of; asking again would fail again.
pub const BAD_EVENT: &str = "Cauce.BadEvent";

/// What a token of Begin can fail with, in the order in which they are caught.
pub const BEGIN_FAILURES: [&str; 6] = [AGAIN, WAIT, SKIPPED, UPSTREAM_FAILED, DENIED, DONE];

/// Failures of the platform around a Lambda call that another try can mend.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>
pub const LAMBDA_TRANSIENT: [&str; 6] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
];

/// Failures to start a nested execution that another try can mend: rates and the service's own.
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html#API_StartExecution_Errors>
pub const EXECUTION_TRANSIENT: [&str; 4] = [
    "StepFunctions.ThrottlingException",
    "StepFunctions.ServiceQuotaExceededException",
    "StepFunctions.SdkClientException",
    "StepFunctions.InternalServerException",
];

/// Failures of ecs:runTask that are about rates, not about the task.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html#API_RunTask_Errors>
pub const ECS_TRANSIENT: [&str; 3] =
    ["ECS.ThrottlingException", "ECS.ServerException", "ECS.SdkClientException"];
