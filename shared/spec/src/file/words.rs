//! Lists of words that the plan defines and the file uses.

use cauce_model::TriggerRule;
use cauce_model::access::Scope;
use cauce_model::control::{OnDuplicate, OnOpen};
use cauce_model::plan::{
    Capacity, Catchup, DeadlineAction, DeadlineFrom, DstGap, OnExisting, OnReject, OnTimeout, Overlap,
    ReturnType,
};
use cauce_model::status::FailureClass;
use cauce_model::webhook::WebhookStyle;
use serde_json::{Value as Json, json};

use crate::shape::{Definitions, Reader, Shape, document, variants, words};
use crate::tree::{Node, Value};

macro_rules! shared_words {
    ($($doc:literal $type:ident { $($word:literal => $value:expr, $word_doc:literal;)* })*) => {$(
        impl Shape for $type {
            fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
                match variants(node, &[$($word),*], reader)? {
                    $($word => Some($value),)*
                    _ => None,
                }
            }

            fn schema(definitions: &mut Definitions) -> Json {
                definitions.refer(stringify!($type), |_| words($doc, &[$(($word, $word_doc)),*]))
            }
        }
    )*};
}

shared_words! {
    "Trigger rule: which endings of the needed tasks let a task run."
    TriggerRule {
        "all_success" => Self::AllSuccess, "Every needed task succeeded.";
        "all_failed" => Self::AllFailed, "Every needed task failed.";
        "all_done" => Self::AllDone, "Every needed task ended, however.";
        "all_done_min_one_success" => Self::AllDoneMinOneSuccess, "All ended, none was skipped, one succeeded.";
        "all_skipped" => Self::AllSkipped, "Every needed task was skipped.";
        "one_success" => Self::OneSuccess, "At the first success.";
        "one_failed" => Self::OneFailed, "At the first failure.";
        "one_done" => Self::OneDone, "At the first that ran to its end.";
        "none_failed" => Self::NoneFailed, "None failed.";
        "none_failed_min_one_success" => Self::NoneFailedMinOneSuccess, "None failed and one succeeded.";
        "none_skipped" => Self::NoneSkipped, "None was skipped.";
        "always" => Self::Always, "At once; waits for nothing.";
    }
    "Failure class: why an attempt failed."
    FailureClass {
        "spot_interruption" => Self::SpotInterruption, "Spot capacity was taken back.";
        "termination_notice" => Self::TerminationNotice, "The platform ended it for maintenance.";
        "user_initiated" => Self::UserInitiated, "Somebody stopped it.";
        "capacity" => Self::Capacity, "There was no capacity.";
        "throttled" => Self::Throttled, "The platform refused for its rate limits.";
        "image_missing" => Self::ImageMissing, "The image does not exist.";
        "image_pull" => Self::ImagePull, "The image could not be pulled.";
        "resource_init" => Self::ResourceInit, "Network, secrets or logs could not be set up.";
        "out_of_memory" => Self::OutOfMemory, "It ran out of memory.";
        "killed" => Self::Killed, "It was killed from outside.";
        "exit" => Self::Exit, "It ended with an exit code other than 0.";
        "timeout" => Self::Timeout, "It took longer than its timeout.";
        "heartbeat" => Self::Heartbeat, "Its heartbeats stopped.";
        "aborted" => Self::Aborted, "Its execution was aborted.";
        "dependency" => Self::Dependency, "Something it depends on was down.";
        "rejected" => Self::Rejected, "A person rejected it.";
        "config" => Self::Config, "Its configuration is wrong.";
        "unknown" => Self::Unknown, "Anything else.";
    }
    "Return type: the type of an output field."
    ReturnType {
        "string" => Self::String, "Text.";
        "integer" => Self::Integer, "A whole number.";
        "number" => Self::Number, "Any number.";
        "boolean" => Self::Boolean, "True or false.";
        "list" => Self::List, "A list.";
        "object" => Self::Object, "An object.";
        "any" => Self::Any, "Anything.";
    }
    "Overlap: what a new run does when the active runs are at their limit."
    Overlap {
        "queue" => Self::Queue, "It waits.";
        "skip" => Self::Skip, "It does not happen.";
        "cancel_previous" => Self::CancelPrevious, "It waits, and those before it are cancelled.";
    }
    "Gap: what becomes of a local time that a clock change skips."
    DstGap {
        "run_after" => Self::RunAfter, "The tick fires at the first moment after the gap.";
        "skip" => Self::Skip, "The tick is left out.";
    }
    "Deadline from: what a deadline is counted from."
    DeadlineFrom {
        "scheduled" => Self::Scheduled, "The tick; the run's creation where there is none.";
        "started" => Self::Started, "The moment the run was let in.";
    }
    "Deadline action: what happens when a deadline passes."
    DeadlineAction {
        "notify" => Self::Notify, "The deadline channels are told.";
        "cancel" => Self::Cancel, "They are told and the run is cancelled.";
    }
    "Capacity: what a container runs on."
    Capacity {
        "on_demand" => Self::OnDemand, "On-demand capacity.";
        "spot" => Self::Spot, "Spot capacity only.";
        "spot_then_on_demand" => Self::SpotThenOnDemand, "Spot first, on-demand after an interruption.";
    }
    "On open: what happens to a task whose breaker is open."
    OnOpen {
        "fail" => Self::Fail, "The task fails, whatever retries it has.";
        "wait" => Self::Wait, "The task waits.";
        "skip" => Self::Skip, "The task is skipped.";
    }
    "On duplicate: what happens when an idempotency key is known."
    OnDuplicate {
        "reuse" => Self::Reuse, "The task succeeds with the recorded output.";
        "fail" => Self::Fail, "The task fails.";
        "overwrite" => Self::Overwrite, "The task runs, and its result replaces the recorded one.";
    }
    "Webhook style: how calls are signed."
    WebhookStyle {
        "generic" => Self::Generic, "Time stamp and body, as docs/api.md shows.";
        "github" => Self::Github, "As GitHub does.";
        "slack" => Self::Slack, "As Slack does.";
        "meta" => Self::Meta, "As Meta does.";
    }
    "Scope: something that a key of the API opens."
    Scope {
        "runs:read" => Self::RunsRead, "See runs.";
        "runs:write" => Self::RunsWrite, "Start, rerun, cancel and mark runs.";
        "logs:read" => Self::LogsRead, "Read what tasks printed.";
        "approvals:write" => Self::ApprovalsWrite, "Answer approvals.";
        "pipelines:read" => Self::PipelinesRead, "See pipelines.";
        "pipelines:write" => Self::PipelinesWrite, "Pause and unpause pipelines.";
        "metrics:read" => Self::MetricsRead, "Read metrics, which are of all pipelines.";
    }
    "Existing run: what happens when the run to start exists already."
    OnExisting {
        "join" => Self::Join, "Its result is taken; one under way is waited for.";
        "rerun" => Self::Rerun, "Its next generation starts, from its failed tasks.";
        "fail" => Self::Fail, "The task fails.";
    }
    "On reject: what becomes of an approval task when the answer is no."
    OnReject {
        "fail" => Self::Fail, "The task fails.";
        "skip" => Self::Skip, "The task is skipped.";
        "continue" => Self::Continue, "The task succeeds; what is below reads `outputs.<task>.decision`.";
    }
    "On timeout: what becomes of an approval task that nobody answers in time."
    OnTimeout {
        "fail" => Self::Fail, "The task fails.";
        "approve" => Self::Approve, "It counts as approved.";
        "reject" => Self::Reject, "It counts as rejected.";
    }
}

/// `none`, `last`, `all`, or the newest so many.
impl Shape for Catchup {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if let Value::Int(_) = node.value {
            return u32::decode(node, reader).map(Self::Newest);
        }
        Some(match variants(node, &["none", "last", "all"], reader)? {
            "none" => Self::None,
            "all" => Self::All,
            _ => Self::Last,
        })
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Catchup", |_| {
            document(
                json!({"anyOf": [{"enum": ["none", "last", "all"]}, {"type": "integer", "minimum": 0}]}),
                "Catch-up: which missed ticks are made up for: none, the last, all, or the newest so many.",
            )
        })
    }
}
