//! Runs one case.

use std::sync::Arc;

use cauce_interpreter::mocks::{MockError, Mocks};
use cauce_interpreter::{Context, Definition, HistoryEvent};
use jiff::{SignedDuration, Timestamp};

use crate::case::Case;
use crate::compare::Comparison;

/// When every case begins: 2026-11-21T18:20:30Z, shortly before the instants that inputs give relative to
/// their own writing.
const STARTED_AT: i64 = 1_795_285_230;

/// How a case came out.
pub(crate) enum Outcome {
    Passed(Vec<HistoryEvent>),
    Failed(String),
    /// What AWS answered was never recorded, so nobody can say what is right.
    Excluded(String),
}

pub(crate) fn run(case: &Case) -> Outcome {
    let definition = match Definition::parse_value(&case.definition) {
        Ok(definition) => Arc::new(definition),
        Err(diagnostics) => return Outcome::Failed(format!("the definition is refused: {diagnostics:?}")),
    };
    let mocks = case.mocks.clone().unwrap_or_else(|| serde_json::json!([]));
    let mut mocks = match Mocks::parse(&mocks) {
        Ok(mocks) => mocks,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let started_at = Timestamp::from_second(STARTED_AT).expect("a valid instant");
    // Stopping is an act of the caller, so it is part of the case.
    let stop_at = (case.expected.status == "ABORTED").then(|| started_at + SignedDuration::from_secs(1));
    let context = context();
    let ended = match mocks.run(definition, context, case.input.clone(), started_at, stop_at, 1) {
        Ok(run) => run,
        Err(MockError::NoObject { .. }) => return Outcome::Excluded("objects never recorded".to_owned()),
        // A trace holds every reply but those inside a distributed Map; with one the fault is ours.
        Err(MockError::Unmocked { state, .. }) if case.trace.is_none() || case.is_distributed(&state) => {
            return Outcome::Excluded("reply never recorded".to_owned());
        }
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let comparison = Comparison { is_tolerant: !case.exact, tokens: case.tokens() };
    match comparison.ended(&case.expected, &ended.ended) {
        None => Outcome::Passed(ended.history),
        Some(difference) => Outcome::Failed(difference),
    }
}

/// The account is the one the recorder writes for every account.
pub(crate) fn context() -> Context {
    let named = Context::named("machine", "execution");
    let here = |arn: String| arn.replace("000000000000", "111111111111");
    Context {
        execution_arn: here(named.execution_arn),
        role_arn: here(named.role_arn),
        state_machine_arn: here(named.state_machine_arn),
        ..named
    }
}
