//! Scores single states against the answers of `TestState`.

use std::path::Path;

use cauce_interpreter::{Context, TestError, TestRequest, test_state};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::case::read;
use crate::compare::Comparison;
use crate::run::context;
use crate::score::Scores;

#[derive(Deserialize)]
struct TestCase {
    id: String,
    request: Value,
    expected: Value,
}

pub(crate) fn score(folder: &Path, scores: &mut Scores, failures: &mut String) {
    // Every case may have tokens; none is marked exact.
    let comparison = Comparison { is_tolerant: true, tokens: Vec::new() };
    for case in read::<TestCase>(&folder.join("test_state.jsonl")) {
        let tested = TestRequest::read(case.request)
            .and_then(|request| test_state(&request, express(), Timestamp::UNIX_EPOCH, 1));
        let found = match tested {
            Ok(result) => serde_json::to_value(&result).expect("a result is JSON"),
            Err(TestError::NoMock(_)) => {
                println!("test_state: excluded (reply never recorded): {}", case.id);
                continue;
            }
            Err(error) => Value::String(error.to_string()),
        };
        let has_passed = comparison.same(&case.expected, &found);
        scores.count("test_state", has_passed);
        if !has_passed {
            *failures +=
                &format!("test_state {}\n  expected {}\n     found {found}\n", case.id, case.expected);
        }
    }
}

/// A tested state believes to be in an express execution.
fn express() -> Context {
    let context = context();
    Context { execution_arn: context.execution_arn.replace(":execution:", ":express:"), ..context }
}
