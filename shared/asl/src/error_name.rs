//! The reserved error names.
//!
//! Source: <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.

/// Matches any error but [`DATA_LIMIT_EXCEEDED`] and [`RUNTIME`].
pub const ALL: &str = "States.ALL";
/// A result was larger than [`crate::limits::PAYLOAD_BYTES`].
pub const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
/// More items of a distributed Map failed than it tolerates.
pub const EXCEED_TOLERATED_FAILURE_THRESHOLD: &str = "States.ExceedToleratedFailureThreshold";
/// A task was silent for longer than its heartbeat.
pub const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";
/// An intrinsic function was called with something it cannot work on.
pub const INTRINSIC_FAILURE: &str = "States.IntrinsicFailure";
/// The items of a distributed Map could not be read.
pub const ITEM_READER_FAILED: &str = "States.ItemReaderFailed";
/// A Choice state matched no rule and names no default.
pub const NO_CHOICE_MATCHED: &str = "States.NoChoiceMatched";
/// A payload template could not be resolved.
pub const PARAMETER_PATH_FAILURE: &str = "States.ParameterPathFailure";
/// The role lacks a permission.
pub const PERMISSIONS: &str = "States.Permissions";
/// A JSONata expression failed or yielded nothing.
pub const QUERY_EVALUATION_ERROR: &str = "States.QueryEvaluationError";
/// A result could not be placed in the input.
pub const RESULT_PATH_MATCH_FAILURE: &str = "States.ResultPathMatchFailure";
/// The results of a distributed Map could not be written.
pub const RESULT_WRITER_FAILED: &str = "States.ResultWriterFailed";
/// The definition could not be carried out: never retried, never caught by [`ALL`].
pub const RUNTIME: &str = "States.Runtime";
/// A task failed; as a name to match, any error but [`TIMEOUT`].
pub const TASK_FAILED: &str = "States.TaskFailed";
/// A task, or the execution, took too long.
pub const TIMEOUT: &str = "States.Timeout";
