//! Executions in Step Functions, and the tokens they wait for.

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use aws_sdk_sfn::Client;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use aws_sdk_sfn::operation::send_task_failure::SendTaskFailureError;
use aws_sdk_sfn::operation::send_task_success::SendTaskSuccessError;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use aws_sdk_sfn::operation::stop_execution::StopExecutionError;
use aws_sdk_sfn::types::ExecutionStatus as Status;
use aws_smithy_types::DateTime;
use cauce_model::{Instant, Json};
use cauce_ports::{Answer, Answered, Described, ExecutionStatus, Started, StateMachineError, StateMachines};

/// Most characters of an error's name.
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html>
const ERROR_MAX: usize = 256;

/// Most characters of an error's text; the same page.
const CAUSE_MAX: usize = 32_768;

/// State machines by their ARNs, version ARNs included.
///
/// `describe` is eventually consistent on AWS: an execution just started may not be found yet.
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html>
#[derive(Clone, Debug)]
pub struct StepFunctions {
    client: Client,
}

impl StepFunctions {
    /// The state machines that this connection may reach.
    pub fn new(connection: &Connection) -> Self {
        Self { client: Client::new(connection.config()) }
    }
}

/// The ARN of an execution. It names the machine without version or alias, whichever ARN started it.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-state-machine-version.html>
///
/// # Errors
/// What is no ARN of a state machine.
pub fn execution_arn(machine: &str, name: &str) -> Result<String, StateMachineError> {
    let parts: Vec<&str> = machine.split(':').collect();
    match parts.as_slice() {
        ["arn", partition, "states", region, account, "stateMachine", machine]
        | ["arn", partition, "states", region, account, "stateMachine", machine, _] => {
            Ok(format!("arn:{partition}:states:{region}:{account}:execution:{machine}:{name}"))
        }
        _ => Err(StateMachineError::NoMachine(machine.to_owned())),
    }
}

fn failed(machine: &str, failure: &Failure) -> StateMachineError {
    match (failure.kind, failure.code.as_str()) {
        (_, "StateMachineDoesNotExist" | "StateMachineDeleting" | "InvalidArn") => {
            StateMachineError::NoMachine(machine.to_owned())
        }
        // Too many executions open at once: some end.
        (Kind::Throttled, _) | (_, "ExecutionLimitExceeded") => StateMachineError::Throttled,
        (Kind::Denied | Kind::Refused, _) => StateMachineError::Refused(failure.text()),
        (Kind::Unanswered, _) => StateMachineError::Unknown(failure.text()),
    }
}

/// What came of an answer that the service did not take.
fn answered(failure: &Failure) -> Result<Answered, StateMachineError> {
    match failure.code.as_str() {
        // The token is no longer waited for, or never was: final.
        "TaskTimedOut" | "TaskDoesNotExist" | "InvalidToken" => Ok(Answered::TokenClosed),
        _ => Err(failed("", failure)),
    }
}

/// Whether the failed call may have come true before: `ExecutionAlreadyExists`.
fn is_taken(error: &StartExecutionError) -> bool {
    error.is_execution_already_exists()
}

fn instant(at: &DateTime) -> Instant {
    Instant::from_micros(
        at.secs().saturating_mul(1_000_000).saturating_add(i64::from(at.subsec_nanos() / 1_000)),
    )
}

/// The first characters of a text.
fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

impl StateMachines for StepFunctions {
    /// A repeat with the same name and input while the execution is open is answered by AWS like the
    /// first start, so it may read `Started` instead of `AlreadyRunning`.
    async fn start(&self, machine: &str, name: &str, input: &Json) -> Result<Started, StateMachineError> {
        let call =
            self.client.start_execution().state_machine_arn(machine).name(name).input(input.to_string());
        let error = match call.send().await {
            Ok(_) => return Ok(Started::Started),
            Err(error) => error,
        };
        if !error.as_service_error().is_some_and(is_taken) {
            return Err(failed(machine, &Failure::of(&error)));
        }
        // Closed, or another input. The same one, if it is open: the answer may have been lost once,
        // or the start was under another version of the machine.
        match self.describe(machine, name).await? {
            Some(Described { status: ExecutionStatus::Running, input: theirs, .. }) if theirs == *input => {
                Ok(Started::AlreadyRunning)
            }
            _ => Ok(Started::NameTaken),
        }
    }

    async fn describe(&self, machine: &str, name: &str) -> Result<Option<Described>, StateMachineError> {
        let arn = execution_arn(machine, name)?;
        let found = match self.client.describe_execution().execution_arn(arn).send().await {
            Ok(found) => found,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeExecutionError::is_execution_does_not_exist) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(machine, &Failure::of(&error))),
        };
        let status = match found.status {
            Status::Succeeded => ExecutionStatus::Succeeded,
            Status::Failed => ExecutionStatus::Failed,
            Status::TimedOut => ExecutionStatus::TimedOut,
            Status::Aborted => ExecutionStatus::Aborted,
            // Waiting to be redriven is under way.
            _ => ExecutionStatus::Running,
        };
        let input = serde_json::from_str(found.input.as_deref().unwrap_or("{}"))
            .map_err(|error| StateMachineError::Unknown(format!("an input that is no JSON: {error}")))?;
        Ok(Some(Described {
            status,
            input,
            started_at: instant(&found.start_date),
            error: found.error,
            cause: found.cause,
        }))
    }

    async fn stop(
        &self,
        machine: &str,
        name: &str,
        error: &str,
        cause: &str,
    ) -> Result<(), StateMachineError> {
        let call = self
            .client
            .stop_execution()
            .execution_arn(execution_arn(machine, name)?)
            .error(cut(error, ERROR_MAX))
            .cause(cut(cause, CAUSE_MAX));
        match call.send().await {
            Ok(_) => Ok(()),
            // What never was is not under way.
            Err(error)
                if error.as_service_error().is_some_and(StopExecutionError::is_execution_does_not_exist) =>
            {
                Ok(())
            }
            Err(error) => Err(failed(machine, &Failure::of(&error))),
        }
    }

    async fn answer(&self, token: &str, answer: &Answer) -> Result<Answered, StateMachineError> {
        let failure = match answer {
            Answer::Success(output) => {
                let call = self.client.send_task_success().task_token(token).output(output.to_string());
                call.send().await.err().map(|error| Failure::of::<SendTaskSuccessError>(&error))
            }
            Answer::Failure { error, cause } => {
                let call = self
                    .client
                    .send_task_failure()
                    .task_token(token)
                    .error(cut(error, ERROR_MAX))
                    .cause(cut(cause, CAUSE_MAX));
                call.send().await.err().map(|error| Failure::of::<SendTaskFailureError>(&error))
            }
        };
        failure.map_or(Ok(Answered::Yes), |failure| answered(&failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_s_arn_names_the_plain_machine() {
        let expected = "arn:aws:states:eu-west-1:123456789012:execution:cauce-dev-sales:r1-g1";
        for machine in ["", ":3", ":live"] {
            let machine =
                format!("arn:aws:states:eu-west-1:123456789012:stateMachine:cauce-dev-sales{machine}");
            assert_eq!(execution_arn(&machine, "r1-g1").as_deref(), Ok(expected));
        }
        for bad in [
            "sales",
            "arn:aws:lambda:eu-west-1:123456789012:function:sales",
            "arn:aws:states:r:a:stateMachine:m:1:2",
        ] {
            assert_eq!(execution_arn(bad, "n"), Err(StateMachineError::NoMachine(bad.to_owned())));
        }
    }

    #[test]
    fn closed_tokens_are_an_answer_and_no_failure() {
        for code in ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"] {
            assert_eq!(answered(&Failure::answered(Some(code), None, 400)), Ok(Answered::TokenClosed));
        }
        let refused = answered(&Failure::answered(Some("InvalidOutput"), None, 400)).unwrap_err();
        assert!(matches!(&refused, StateMachineError::Refused(_)) && !refused.retryable());
        assert!(
            answered(&Failure::answered(Some("ThrottlingException"), None, 400)).unwrap_err().retryable()
        );
    }

    #[test]
    fn failures_are_sorted() {
        let of = |code, status| failed("m", &Failure::answered(Some(code), None, status));
        assert_eq!(of("StateMachineDoesNotExist", 400), StateMachineError::NoMachine("m".into()));
        assert_eq!(of("ExecutionLimitExceeded", 400), StateMachineError::Throttled);
        assert!(matches!(of("InternalFailure", 500), StateMachineError::Unknown(_)));
        assert!(matches!(of("InvalidName", 400), StateMachineError::Refused(_)));
    }
}
