//! How long a state takes: a sequence of Pass states, with and without data to shape.

use std::sync::Arc;

use cauce_interpreter::{Context, Definition, Execution, Request};
use divan::Bencher;
use divan::counter::ItemsCount;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

fn main() {
    divan::main();
}

const LENGTHS: [usize; 3] = [100, 1_000, 10_000];

fn sequence(length: usize, state: &Value) -> Arc<Definition> {
    let mut states = Map::new();
    for index in 0..length {
        let mut state = state.clone();
        state["Next"] = json!(format!("S{}", index + 1));
        states.insert(format!("S{index}"), state);
    }
    states.insert(format!("S{length}"), json!({"Type": "Succeed"}));
    let definition = json!({"StartAt": "S0", "States": states});
    Arc::new(Definition::parse_value(&definition).expect("a valid definition"))
}

fn run(definition: &Arc<Definition>, input: &Value) -> usize {
    let context = Context::named("bench", "bench");
    let now = Timestamp::UNIX_EPOCH;
    let mut execution = Execution::start(Arc::clone(definition), context, input.clone(), now, 1);
    while let Some(request) = execution.advance(now) {
        assert!(matches!(request, Request::Ended(_)), "nothing is called");
    }
    execution.history().len()
}

#[divan::bench(args = LENGTHS)]
fn pass(bencher: Bencher<'_, '_>, length: usize) {
    let definition = sequence(length, &json!({"Type": "Pass"}));
    let input = json!({"run_key": "abcdefghijklmnopqrst", "generation": 1});
    bencher.counter(ItemsCount::new(length)).bench(|| run(&definition, &input));
}

#[divan::bench(args = LENGTHS)]
fn pass_with_parameters(bencher: Bencher<'_, '_>, length: usize) {
    let state = json!({"Type": "Pass", "Parameters": {"a.$": "$.a", "n.$": "States.MathAdd($.n, 1)"}});
    let definition = sequence(length, &state);
    bencher.counter(ItemsCount::new(length)).bench(|| run(&definition, &json!({"a": "x", "n": 0})));
}

#[divan::bench(args = LENGTHS)]
fn pass_with_jsonata(bencher: Bencher<'_, '_>, length: usize) {
    let state =
        json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": {"n": "{% $states.input.n + 1 %}"}});
    let definition = sequence(length, &state);
    bencher.counter(ItemsCount::new(length)).bench(|| run(&definition, &json!({"n": 0})));
}

#[divan::bench]
fn parallel_of_a_thousand(bencher: Bencher<'_, '_>) {
    let branches: Vec<Value> =
        (0..1_000).map(|_| json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}})).collect();
    let definition =
        json!({"StartAt": "All", "States": {"All": {"Type": "Parallel", "Branches": branches, "End": true}}});
    let definition = Arc::new(Definition::parse_value(&definition).expect("a valid definition"));
    bencher.counter(ItemsCount::new(1_000_usize)).bench(|| run(&definition, &json!({"n": 0})));
}
