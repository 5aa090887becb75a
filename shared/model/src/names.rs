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
/// The token of an approval failed with this: a person said no.
pub const REJECTED: &str = "Cauce.Rejected";
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
/// A command names what nobody has declared.
pub const UNDECLARED: &str = "Cauce.Undeclared";
/// A function was sent what it cannot make sense of; asking again would fail again.
pub const BAD_EVENT: &str = "Cauce.BadEvent";

/// What a token of Begin can fail with, in the order in which they are caught.
pub const BEGIN_FAILURES: [&str; 6] = [AGAIN, WAIT, SKIPPED, UPSTREAM_FAILED, DENIED, DONE];

/// Failures of the platform around a call of one of our own functions that another try can mend: they
/// may all be called twice.
///
/// The documents name `Lambda.Unknown` for a function that ran out of time or memory. On the emulated
/// cloud, one of provided.al2023 fails with the last two instead; which of them AWS uses was not
/// verified there.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html>,
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html>
pub const LAMBDA_TRANSIENT: [&str; 8] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
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

// The lists below are of calls whose repeat could do the work twice. A state may call again only
// after an error that says that nothing was started, or where the request has a token that makes the
// service know the repeat. Every other error goes to Settle, which charges it to a budget. Names of
// errors are `<service>.<exception>`; that services throttle under exactly these was not verified on
// AWS, and one that does otherwise is known by its text ("Rate exceeded").

/// A task's own function was not invoked: too many run at once.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html>
pub const FUNCTION_TRANSIENT: [&str; 1] = ["Lambda.TooManyRequestsException"];

/// glue:startJobRun, which has no token for new runs, was refused because of rates.
/// <https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-exceptions.html>
pub const GLUE_TRANSIENT: [&str; 1] = ["Glue.ThrottlingException"];

/// emr-serverless:startJobRun, whose client token makes it safe to repeat.
/// <https://docs.aws.amazon.com/emr-serverless/latest/APIReference/API_StartJobRun.html#API_StartJobRun_Errors>
pub const EMR_SERVERLESS_TRANSIENT: [&str; 4] = [
    "EMRServerless.ThrottlingException",
    "EMRServerless.ServiceQuotaExceededException",
    "EMRServerless.InternalServerException",
    "EMRServerless.SdkClientException",
];

/// batch:submitJob, which has no token, was refused because of rates.
/// <https://docs.aws.amazon.com/batch/latest/APIReference/CommonErrors.html>
pub const BATCH_TRANSIENT: [&str; 2] = ["Batch.ThrottlingException", "Batch.TooManyRequestsException"];

/// athena:startQueryExecution, whose client token makes it safe to repeat.
/// <https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html#API_StartQueryExecution_Errors>
pub const ATHENA_TRANSIENT: [&str; 4] = [
    "Athena.TooManyRequestsException",
    "Athena.ThrottlingException",
    "Athena.InternalServerException",
    "Athena.SdkClientException",
];

/// http:invoke was refused because of rates, by the other end.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html>
pub const HTTP_TRANSIENT: [&str; 1] = ["States.Http.StatusCode.429"];

/// What the name of the failure of an HTTP call begins with, the status after it.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html>
pub const HTTP_STATUS: &str = "States.Http.StatusCode.";
/// An HTTP call got no answer.
pub const HTTP_SOCKET: &str = "States.Http.Socket";
