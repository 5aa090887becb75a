//! What Step Functions refuses to exceed.
//!
//! Source, unless said otherwise:
//! <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.

/// A state machine definition, in bytes of its request.
pub const DEFINITION_BYTES: usize = 1_048_576;
/// An input, an output or a result of a state, in bytes of UTF-8.
pub const PAYLOAD_BYTES: usize = 262_144;
/// The history events of one standard execution.
pub const HISTORY_EVENTS: usize = 25_000;
/// The length of a state's name, in characters.
/// Source: <https://states-language.net/spec.html#states-fields>.
pub const STATE_NAME_CHARACTERS: usize = 80;
/// The length of an execution's name, in characters.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>.
pub const EXECUTION_NAME_CHARACTERS: usize = 80;
/// The longest a standard execution may run: one year, in seconds.
pub const EXECUTION_SECONDS: u64 = 31_536_000;
/// The largest `TimeoutSeconds` and `HeartbeatSeconds` of a task.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html>.
pub const TASK_TIMEOUT_SECONDS: u64 = 99_999_999;
/// The largest `Seconds` of a Wait state.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html>.
pub const WAIT_SECONDS: u64 = 99_999_999;
/// The longest a Wait state may wait for an instant, in seconds. Recorded on AWS: 24,856 days are too long.
pub const WAIT_LONGEST_SECONDS: u64 = 2_147_483_647;
/// The largest `MaxAttempts` of a retrier.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
pub const RETRY_MAX_ATTEMPTS: u64 = 99_999_999;
/// The largest `IntervalSeconds` of a retrier. Same source.
pub const RETRY_INTERVAL_SECONDS: u64 = 99_999_999;
/// `MaxDelaySeconds` of a retrier is below this. Same source.
pub const RETRY_MAX_DELAY_SECONDS: u64 = 31_622_400;
/// How many iterations an inline Map runs at once when nothing bounds it.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html>.
pub const INLINE_MAP_CONCURRENCY: usize = 40;
/// How many child executions a distributed Map runs at once when nothing bounds it.
pub const DISTRIBUTED_MAP_CONCURRENCY: usize = 10_000;
/// The items a distributed Map reads at most.
pub const DISTRIBUTED_MAP_ITEMS: u64 = 100_000_000;
/// All variables of one execution, in bytes.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html>.
pub const VARIABLES_BYTES: usize = 10_485_760;
/// One variable, in bytes; also the sum of one `Assign`. Same source.
pub const VARIABLE_BYTES: usize = 262_144;
/// The length of a variable's name, in characters. Same source.
pub const VARIABLE_NAME_CHARACTERS: usize = 80;
