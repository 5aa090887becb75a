//! Functions that hang in a call, until Lambda ends them at their timeout.

use crate::Scenario;
use crate::deployed::{Deployed, LANDING};
use crate::faults::{attempts, run_with};
use jiff::civil::date;
use serde_json::{Value as Json, json};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("functions that hang are ended at their timeout and called again", hung_functions),
    ("a function that hangs over a message gets the message again", hung_trigger),
];

/// What a function's timeout is while a scenario waits for it, in seconds.
const SHORT_SECONDS: u64 = 2;

/// How long a message stays hidden then: not less than the function's timeout, as AWS demands.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const HIDDEN_SECONDS: u64 = 2 * SHORT_SECONDS;

/// Functions with short timeouts, until this is dropped.
struct Short<'a> {
    deployed: &'a Deployed,
    before: Vec<(String, u64)>,
}

impl<'a> Short<'a> {
    fn new(deployed: &'a Deployed, functions: &[&str]) -> Self {
        let mut before = Vec::new();
        for function in functions {
            let name = deployed.name(function);
            let read = ["lambda", "get-function-configuration", "--function-name", &name];
            before.push((name.clone(), deployed.cloud().aws(&read)["Timeout"].as_u64().unwrap()));
            set_timeout(deployed, &name, SHORT_SECONDS);
        }
        Self { deployed, before }
    }
}

impl Drop for Short<'_> {
    fn drop(&mut self) {
        for (name, seconds) in &self.before {
            set_timeout(self.deployed, name, *seconds);
        }
    }
}

fn set_timeout(deployed: &Deployed, function: &str, seconds: u64) {
    let change = ["lambda", "update-function-configuration", "--function-name", function, "--timeout"];
    deployed.cloud().aws(&[&change[..], &[&seconds.to_string()]].concat());
}

/// How often Lambda has ended a function at its timeout so far.
fn timed_out(deployed: &Deployed, function: &str) -> usize {
    let name = deployed.name(function);
    let lines = deployed.cloud().lines("lambdas.jsonl");
    let is_end = |line: &&Json| line["function"] == name.as_str() && line["error"] == "Sandbox.Timedout";
    lines.iter().filter(is_end).count()
}

/// Each function stands still before and after a call that changes something.
fn hangs(deployed: &Deployed, functions: &[&str], moments: &[(&str, u64)]) -> Json {
    let of = |function: &&str| {
        let function = deployed.name(function);
        moments.iter().map(move |(moment, call)| json!({"kind": "hang", "function": function, *moment: call}))
    };
    functions.iter().flat_map(of).collect()
}

fn hung_functions(deployed: &Deployed) {
    const FUNCTIONS: [&str; 4] = ["open-run", "begin-task", "finish-task", "close-run"];
    let _short = Short::new(deployed, &FUNCTIONS);
    let launched = || {
        let calls = deployed.cloud().lines("calls.jsonl");
        let is_launch = |call: &&Json| {
            call["action"] == "ecs:RunTask"
                && call["resource"].as_str().unwrap_or_default().contains("-by_hand-")
        };
        calls.iter().filter(is_launch).count()
    };
    let before = (FUNCTIONS.map(|function| timed_out(deployed, function)), launched());
    let run = run_with(
        deployed,
        "by_hand",
        "hung-functions",
        hangs(deployed, &FUNCTIONS, &[("before_call", 2), ("after_call", 2), ("after_call", 3)]),
    );
    assert_eq!(run["status"], "success", "{run}");
    let name = deployed.fresh("hung-functions");
    assert_eq!(deployed.ended("by_hand", &name), "SUCCEEDED");
    // No attempt twice, in what is remembered and in what was launched.
    assert_eq!(attempts(&run, "work"), 1, "{run}");
    assert_eq!(launched() - before.1, 1);
    assert_eq!(deployed.children("by_hand", &name).len(), 1);
    for (function, before) in FUNCTIONS.iter().zip(before.0) {
        let times = timed_out(deployed, function) - before;
        assert!(times >= 2, "{function} was ended at its timeout {times} times");
    }
}

fn hung_trigger(deployed: &Deployed) {
    let _short = Short::new(deployed, &["trigger-run"]);
    let _hidden = Hidden::new(deployed, "triggers");
    let before = timed_out(deployed, "trigger-run");
    let moments = [("before_call", 2), ("after_call", 2), ("after_call", 3)];
    deployed.api().faults(hangs(deployed, &["trigger-run"], &moments));
    let day = deployed.fresh_day(date(1997, 3, 7));
    for (key, bytes) in crate::sales::exports(deployed, &day) {
        deployed.api().put_object(LANDING, &key, &bytes);
    }
    let run = deployed.run_ended(&format!("ventas_batch/{day}"));
    assert_eq!(run["status"], "success", "{run}");
    assert_eq!(run["generation"], 1);
    let times = timed_out(deployed, "trigger-run") - before;
    assert!(times >= 2, "trigger-run was ended at its timeout {times} times");
}

/// A queue whose messages come again soon, until this is dropped.
struct Hidden<'a> {
    deployed: &'a Deployed,
    queue: &'a str,
    before: String,
}

impl<'a> Hidden<'a> {
    fn new(deployed: &'a Deployed, queue: &'a str) -> Self {
        let before = deployed.visibility(queue, &HIDDEN_SECONDS.to_string());
        Self { deployed, queue, before }
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        self.deployed.visibility(self.queue, &self.before);
    }
}
