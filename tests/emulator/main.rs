//! The product as it is deployed, on an emulated cloud: Terraform applies it, events start runs, the
//! real function programs decide, and what comes out equals what one machine gives.
//!
//! One cloud serves all scenarios, in their order, since setting it up is most of the time. Its
//! launcher, with what it fills in, is in `infra/emulator`.
//!
//! A name as argument runs the scenarios that contain it (and what they need).

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test program")]

mod api;
mod cloud;
mod deployed;
mod evidence;
mod faults;
mod sales;
mod tools;
mod ways_in;

use cloud::Cloud;
use deployed::Deployed;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;
use tools::Tools;

type Scenario = (&'static str, fn(&Deployed));

/// In their order: `sales` first, since most of what can be wrong shows there.
const SCENARIOS: &[&[Scenario]] =
    &[sales::SCENARIOS, ways_in::SCENARIOS, faults::SCENARIOS, deployed::SCENARIOS];

fn main() -> ExitCode {
    evidence::can_fail();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--list") {
        for (name, _) in SCENARIOS.iter().copied().flatten() {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(missing) => {
            println!("skipped: needs {missing}");
            return ExitCode::SUCCESS;
        }
    };
    let started = Instant::now();
    let deployed = Deployed::apply(Cloud::start(tools));
    println!("applied in {:.1} s", started.elapsed().as_secs_f64());
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, scenario) in SCENARIOS.iter().copied().flatten() {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| scenario(&deployed)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{name} ... {word} ({:.1} s)", began.elapsed().as_secs_f64());
        match outcome {
            Ok(()) => passed += 1,
            Err(_) => failed.push(*name),
        }
    }
    println!("{passed} passed, {} failed in {:.1} s", failed.len(), started.elapsed().as_secs_f64());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
