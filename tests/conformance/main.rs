//! Scores the interpreter and the validator against what was recorded on AWS.
//!
//! Reads `../shared/conformance/asl` beside the repository, runs every case in virtual time and prints
//! the score of each file. A score below `scores.json` fails; `CAUCE_BLESS=1` raises `scores.json` to
//! what was reached, never lowers it. `CAUCE_FAILURES=<file>` writes each failure with its reason.
//!
//! Only a case's definition, input, mocks and objects reach the interpreter. The trace serves for two
//! things: its first event holds the input as the recorder saw it, with names replaced by tokens, and
//! its events are compared with ours, which is a score of its own.

#![expect(clippy::print_stdout, reason = "scores are printed, also when they pass")]

mod case;
mod compare;
mod ecs;
mod history;
mod mutate;
mod run;
mod score;
mod test_state;
mod validate;

use case::{Case, read};
use run::{Outcome, run};
use score::Scores;

/// How many mutated cases must pass.
const MUTATED: usize = 50;

#[test]
fn recorded_cases_keep_their_score() {
    let Some(folder) = case::folder() else {
        println!("skipped: needs ../shared/conformance");
        return;
    };
    let mut scores = Scores::load();
    let mut failures = String::new();
    for file in ["local", "mocked"] {
        let cases: Vec<Case> = read(&folder.join(format!("{file}.jsonl")));
        let mut excluded: Vec<(String, String)> = Vec::new();
        for case in &cases {
            let kind = if case.exact { "exact" } else { "tolerant" };
            match run(case) {
                Outcome::Passed(history) => {
                    scores.count(&format!("{file}_{kind}"), true);
                    if let Some(difference) = history::difference(case, &history) {
                        scores.count(&format!("{file}_history"), false);
                        failures += &format!("{file} history {}\n  {difference}\n", case.id);
                    } else if history::is_comparable(case) {
                        scores.count(&format!("{file}_history"), true);
                    }
                }
                Outcome::Failed(reason) => {
                    scores.count(&format!("{file}_{kind}"), false);
                    failures += &format!("{file} {kind} {}\n  {reason}\n", case.id);
                }
                Outcome::Excluded(reason) => excluded.push((reason, case.id.clone())),
            }
        }
        excluded.sort();
        for (reason, id) in &excluded {
            println!("{file}: excluded ({reason}): {id}");
        }
    }
    test_state::score(&folder, &mut scores, &mut failures);
    validate::score(&folder, &mut scores, &mut failures);
    case::write_failures(&failures);
    scores.finish();
}

#[test]
fn mutated_cases_pass_as_well() {
    let Some(folder) = case::folder() else {
        println!("skipped: needs ../shared/conformance");
        return;
    };
    let mut cases: Vec<Case> = read(&folder.join("local.jsonl"));
    cases.extend(read::<Case>(&folder.join("mocked.jsonl")));
    let passing: Vec<&Case> =
        cases.iter().filter(|case| case.exact && matches!(run(case), Outcome::Passed(_))).collect();
    let step = (passing.len() / MUTATED).max(1);
    let chosen: Vec<&&Case> = passing.iter().step_by(step).take(MUTATED).collect();
    assert_eq!(chosen.len(), MUTATED);
    for case in chosen {
        let mutated = mutate::mutate(case);
        assert_ne!(mutated.definition, case.definition, "{} was not changed", case.id);
        match run(&mutated) {
            Outcome::Passed(_) => {}
            Outcome::Failed(reason) | Outcome::Excluded(reason) => {
                panic!("{} passes as recorded and fails mutated: {reason}\n{}", case.id, mutated.definition)
            }
        }
    }
}

/// Every field of every recorded state, dropped or replaced by something else: the definition may be
/// refused or may fail, in its own time, but never brings the interpreter down.
#[test]
fn damaged_definitions_never_panic() {
    let Some(folder) = case::folder() else {
        println!("skipped: needs ../shared/conformance");
        return;
    };
    let mut cases: Vec<Case> = read(&folder.join("local.jsonl"));
    cases.extend(read::<Case>(&folder.join("mocked.jsonl")));
    let mut refused = 0;
    let mut ran = 0;
    for case in &cases {
        for damaged in mutate::damage(case) {
            match run(&damaged) {
                Outcome::Failed(reason) if reason.starts_with("the definition is refused") => refused += 1,
                _ => ran += 1,
            }
        }
    }
    println!("{refused} damaged definitions refused, {ran} run");
    assert!(refused > 0 && ran > 0);
}
