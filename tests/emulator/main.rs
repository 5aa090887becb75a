//! The product as it is deployed, on an emulated cloud: Terraform applies it, events start runs, the
//! real function programs decide, and what comes out equals what one machine gives.
//!
//! One cloud serves all scenarios, in their order, since setting it up is most of the time. Its
//! launcher, with what it fills in, is in `infra/emulator`.
//!
//! A word as argument runs the scenarios whose names contain it. `--serve` applies everything and then
//! waits, for looking around; `--at FOLDER` runs scenarios on a cloud that is served so. `--functions
//! FOLDER` deploys packages that were made elsewhere, as `make bench` does with those of a release.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program, which reads its environment and measures"
)]

mod api;
mod approvals;
mod cloud;
mod commands;
mod controls;
mod datasets;
mod deployed;
mod deploys;
mod evidence;
mod faults;
mod http;
mod matrix;
mod sales;
mod timeouts;
mod tools;
mod upkeep;
mod ways_in;

use cloud::Cloud;
use deployed::Deployed;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tools::Tools;

type Scenario = (&'static str, fn(&Deployed));

/// In their order: `sales` first, since most of what can be wrong shows there.
const SCENARIOS: &[&[Scenario]] = &[
    sales::SCENARIOS,
    ways_in::SCENARIOS,
    datasets::SCENARIOS,
    matrix::SCENARIOS,
    commands::SCENARIOS,
    controls::SCENARIOS,
    faults::SCENARIOS,
    approvals::SCENARIOS,
    http::SCENARIOS,
    timeouts::SCENARIOS,
    deploys::SCENARIOS,
    upkeep::SCENARIOS,
    deployed::SCENARIOS,
];

fn main() -> ExitCode {
    evidence::can_fail();
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut folder = |option: &str| {
        let at = wanted.iter().position(|word| word == option)?;
        wanted.remove(at);
        Some(PathBuf::from(wanted.remove(at)))
    };
    let (at, functions) = (folder("--at"), folder("--functions"));
    let (options, wanted): (Vec<String>, Vec<String>) =
        wanted.into_iter().partition(|word| word.starts_with('-'));
    let asked = |option: &str| options.iter().any(|word| word == option);
    if asked("--list") {
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
    let deployed = match at {
        Some(folder) => Deployed::at(Cloud::at(&folder, tools)),
        None => Deployed::apply(Cloud::start(tools), functions),
    };
    println!("applied in {:.1} s", started.elapsed().as_secs_f64());
    if asked("--serve") {
        println!("AWS_ENDPOINT_URL={}", deployed.api().endpoint());
        println!("everything is in {}; it ends with an end of input", deployed.cloud().folder().display());
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, scenario) in SCENARIOS.iter().copied().flatten() {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let began = Instant::now();
        // What an earlier scenario armed and did not need is none of this one's.
        deployed.api().faults_performed();
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
