//! What the machines call, and how often they call again.
//!
//! Functions are named by placeholders that Terraform, or the host on one machine, fills in; a
//! definition knows no environment.

use cauce_asl::{JitterStrategy, Retrier, error_name};
use cauce_model::names;

/// A Lambda call whose result is the function's reply.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html>
pub(crate) const INVOKE: &str = "arn:aws:states:::lambda:invoke";

/// A Lambda call that ends when somebody answers its token.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token>
pub(crate) const INVOKE_TOKEN: &str = "arn:aws:states:::lambda:invoke.waitForTaskToken";

/// A nested execution, waited for, its output parsed.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html>
pub(crate) const EXECUTE: &str = "arn:aws:states:::states:startExecution.sync:2";

/// An ECS task, waited for.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html>
pub(crate) const RUN_TASK: &str = "arn:aws:states:::ecs:runTask.sync";

/// A Glue job run, waited for.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-glue.html>
pub(crate) const GLUE: &str = "arn:aws:states:::glue:startJobRun.sync";

/// A job run on EMR Serverless, waited for.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-emr-serverless.html>
pub(crate) const EMR_SERVERLESS: &str = "arn:aws:states:::emr-serverless:startJobRun.sync";

/// An AWS Batch job, waited for.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-batch.html>
pub(crate) const BATCH: &str = "arn:aws:states:::batch:submitJob.sync";

/// An Athena query, waited for.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-athena.html>
pub(crate) const ATHENA: &str = "arn:aws:states:::athena:startQueryExecution.sync";

/// A call of a web service.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html>
pub(crate) const HTTP: &str = "arn:aws:states:::http:invoke";

/// An execution that is started and not waited for.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html>
pub(crate) const START_EXECUTION: &str = "arn:aws:states:::states:startExecution";

/// Opens a run.
pub(crate) const OPEN_RUN: &str = "${open_run}";
/// Closes a run.
pub(crate) const CLOSE_RUN: &str = "${close_run}";
/// Decides whether and how a task runs.
pub(crate) const BEGIN_TASK: &str = "${begin_task}";
/// Records how an attempt, or all items of a mapped task, ended.
pub(crate) const FINISH_TASK: &str = "${finish_task}";
/// Resolves what a mapped task runs over.
pub(crate) const EXPAND_MAP: &str = "${expand_map}";

/// Every placeholder that a definition may hold.
pub const PLACEHOLDERS: [&str; 5] = [OPEN_RUN, CLOSE_RUN, BEGIN_TASK, FINISH_TASK, EXPAND_MAP];

/// The longest a token of Begin waits behind a gate or for a slot, in seconds: 90 days. A deadline
/// that shall end a run is a timer of its own; this is the last guard.
pub const GATE_WAIT_MAX_SECONDS: u64 = 90 * 24 * 3600;

/// How often a state calls again, and how far apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    interval_seconds: u64,
    backoff_rate: f64,
    max_delay_seconds: u64,
    /// Calls after the first.
    max_attempts: u64,
}

/// For states whose loss would only delay a task: with full jitter about ten minutes.
pub(crate) const CALL: Patience =
    Patience { interval_seconds: 2, backoff_rate: 2.0, max_delay_seconds: 300, max_attempts: 10 };

/// For the items of an inline Map, whose retries all count against one history.
pub(crate) const ITEM: Patience =
    Patience { interval_seconds: 5, backoff_rate: 4.0, max_delay_seconds: 120, max_attempts: 3 };

/// For states that record how an attempt ended. Full jitter draws half of each interval on average:
/// 1 + 2 + ... + 256 seconds and 46 times 300 make two hours.
const RECORD: Patience =
    Patience { interval_seconds: 1, backoff_rate: 2.0, max_delay_seconds: 300, max_attempts: 55 };

impl Patience {
    /// A retrier for these errors, with full jitter so that many callers do not return together.
    pub(crate) fn retry(self, errors: impl IntoIterator<Item = &'static str>) -> Retrier {
        Retrier {
            interval_seconds: Some(self.interval_seconds),
            backoff_rate: Some(self.backoff_rate),
            max_delay_seconds: Some(self.max_delay_seconds),
            max_attempts: Some(self.max_attempts),
            jitter_strategy: Some(JitterStrategy::Full),
            ..Retrier::new(errors)
        }
    }

    /// Retriers of a state that records an end: what the function decided stands, anything else
    /// may pass.
    pub(crate) fn record() -> Vec<Retrier> {
        let decided =
            [names::WAIT, names::TASK_FAILED, names::DENIED, names::RUN_FAILED, names::RUN_CANCELLED];
        let stands = Retrier { max_attempts: Some(0), ..Retrier::new(decided) };
        vec![stands, RECORD.retry([error_name::ALL])]
    }

    /// A retrier for calls of our functions.
    pub(crate) fn lambda(self) -> Retrier {
        let ours = names::LAMBDA_TRANSIENT.into_iter();
        self.retry(ours.chain([names::UNAVAILABLE]))
    }

    /// A retrier for starting nested executions.
    pub(crate) fn execution(self) -> Retrier {
        self.retry(names::EXECUTION_TRANSIENT)
    }
}
