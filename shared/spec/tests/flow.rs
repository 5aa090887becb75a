//! What the checker says about flow holds in simulated runs: an output that it lets a template read
//! is there whenever it is read, and a task that it says never runs never runs. The simulation is
//! written from the table of trigger rules, not from the checker.

use cauce_model::TriggerRule;
use cauce_spec::{Code, Project, check};
use proptest::prelude::*;
use proptest::test_runner::TestRng;

#[derive(Debug, Clone)]
struct Spec {
    needs: Vec<usize>,
    rule: TriggerRule,
    /// The direct downstreams of each choice, as a mask over them; empty: no branch.
    choices: Vec<u8>,
    allow_failure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Success,
    Failed,
    Allowed,
    Skipped,
    UpstreamFailed,
}

fn below(specs: &[Spec], of: usize) -> Vec<usize> {
    (0..specs.len()).filter(|at| specs[*at].needs.contains(&of)).collect()
}

fn chosen(specs: &[Spec], branch: usize, choice: usize) -> Vec<usize> {
    let below = below(specs, branch);
    let mask = specs[branch].choices[choice];
    below.iter().enumerate().filter(|(place, _)| mask >> (place % 8) & 1 == 1).map(|(_, at)| *at).collect()
}

fn is_branch(specs: &[Spec], at: usize) -> bool {
    !specs[at].choices.is_empty()
        && !below(specs, at).is_empty()
        && (0..specs[at].choices.len()).all(|choice| !chosen(specs, at, choice).is_empty())
}

fn yaml(specs: &[Spec], reads: usize) -> String {
    let mut out = "pipeline: p\ntasks:\n".to_owned();
    for (at, spec) in specs.iter().enumerate() {
        let needs: Vec<String> = spec.needs.iter().map(|up| format!("t{up}")).collect();
        out.push_str(&format!(
            "  t{at}:\n    needs: [{}]\n    trigger_rule: {}\n",
            needs.join(", "),
            spec.rule
        ));
        if spec.allow_failure {
            out.push_str("    allow_failure: true\n");
        }
        if is_branch(specs, at) {
            out.push_str("    returns: {f: string}\n    branch:\n");
            for choice in 0..spec.choices.len() {
                let to: Vec<String> = chosen(specs, at, choice).iter().map(|at| format!("t{at}")).collect();
                out.push_str(&format!("      - {{if: \"{{{{ ds }}}}\", to: [{}]}}\n", to.join(", ")));
            }
        } else {
            let argument =
                if at == specs.len() - 1 { format!("{{{{ outputs.t{reads}.f }}}}") } else { "x".to_owned() };
            out.push_str(&format!(
                "    returns: {{f: string}}\n    container: {{image: i, command: [run, \"{argument}\"]}}\n"
            ));
        }
    }
    out
}

/// Every task's ending, when it was decided and when it ended, for one draw of outcomes.
fn simulate(specs: &[Spec], rng: &mut TestRng) -> Vec<(Ending, bool, u32, u32)> {
    use Ending::*;
    let mut out: Vec<(Ending, bool, u32, u32)> = Vec::new();
    let mut branch_skips = vec![None; specs.len()];
    for (at, spec) in specs.iter().enumerate() {
        let ups: Vec<(Ending, u32)> = spec.needs.iter().map(|up| (out[*up].0, out[*up].3)).collect();
        let count = |endings: &[Ending]| ups.iter().filter(|(ending, _)| endings.contains(ending)).count();
        let n = ups.len();
        let (s, f, k, u) =
            (count(&[Success, Allowed]), count(&[Failed]), count(&[Skipped]), count(&[UpstreamFailed]));
        let last = ups.iter().map(|(_, end)| *end).max().unwrap_or(0);
        let first = |endings: &[Ending]| {
            ups.iter().filter(|(ending, _)| endings.contains(ending)).map(|(_, end)| *end).min()
        };
        let failing = if f + u > 0 { UpstreamFailed } else { Skipped };
        let when = |holds: bool, otherwise: Ending| if holds { Ok(last) } else { Err((otherwise, last)) };
        let early = |fires: Option<u32>, otherwise: Ending| fires.ok_or((otherwise, last));
        let decided = if n == 0 {
            Ok(0)
        } else {
            match spec.rule {
                TriggerRule::AllSuccess => when(s == n, failing),
                TriggerRule::AllFailed => when(f + u == n, Skipped),
                TriggerRule::AllDone => Ok(last),
                TriggerRule::AllDoneMinOneSuccess => {
                    when(k == 0 && s >= 1, if k > 0 { Skipped } else { UpstreamFailed })
                }
                TriggerRule::AllSkipped => when(k == n, Skipped),
                TriggerRule::OneSuccess => {
                    early(first(&[Success, Allowed]), if k == n { Skipped } else { UpstreamFailed })
                }
                TriggerRule::OneFailed => early(first(&[Failed, UpstreamFailed]), Skipped),
                TriggerRule::OneDone => early(first(&[Success, Allowed, Failed]), Skipped),
                TriggerRule::NoneFailed => when(f + u == 0, UpstreamFailed),
                TriggerRule::NoneFailedMinOneSuccess => {
                    when(f + u == 0 && s >= 1, if f + u > 0 { UpstreamFailed } else { Skipped })
                }
                TriggerRule::NoneSkipped => when(k == 0, Skipped),
                TriggerRule::Always => Ok(0),
            }
        };
        let decided = match (decided, branch_skips[at]) {
            // Whatever else its upstreams say.
            (_, Some(end)) => Err((Skipped, last.max(end))),
            (decided, None) => decided,
        };
        out.push(match decided {
            Err((ending, end)) => (ending, false, end, end),
            Ok(start) => {
                let ending = match rng.random_range(0..3) {
                    0 if spec.allow_failure => Allowed,
                    0 => Failed,
                    _ => Success,
                };
                (ending, true, start, start + rng.random_range(1..6))
            }
        });
        if is_branch(specs, at) && out[at].0 == Success {
            // One more than the choices: perhaps none holds.
            let choice = rng.random_range(0..=spec.choices.len());
            let taken = if choice < spec.choices.len() { chosen(specs, at, choice) } else { Vec::new() };
            let mut reached = taken.clone();
            let mut next = 0;
            while let Some(&at) = reached.get(next) {
                reached.extend(below(specs, at));
                next += 1;
            }
            for down in below(specs, at).into_iter().filter(|down| !reached.contains(down)) {
                branch_skips[down] = Some(out[at].3);
            }
        }
    }
    out
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let one =
        (any::<u16>(), 0..12usize, proptest::collection::vec(1..255u8, 0..3), proptest::bool::weighted(0.2));
    proptest::collection::vec(one, 2..9).prop_map(|drawn| {
        let mut specs: Vec<Spec> = Vec::new();
        for (at, (mask, rule, choices, allow_failure)) in drawn.into_iter().enumerate() {
            let needs: Vec<usize> = (0..at).filter(|up| mask >> (up % 16) & 1 == 1).collect();
            let mut rule = TriggerRule::ALL[rule];
            if rule.is_early() && needs.is_empty() {
                rule = TriggerRule::AllSuccess;
            }
            specs.push(Spec { needs, rule, choices, allow_failure });
        }
        // What an early rule does directly below a branch is warned of and depends on time.
        for at in 0..specs.len() {
            if specs[at].rule.is_early() {
                for up in specs[at].needs.clone() {
                    specs[up].choices.clear();
                }
            }
        }
        if let Some(last) = specs.last_mut() {
            last.choices.clear();
        }
        specs
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_said_about_flow_is_true(specs in specs(), pick in any::<prop::sample::Index>(), seed in any::<[u8; 32]>()) {
        let last = specs.len() - 1;
        let reads = pick.index(last);
        let text = yaml(&specs, reads);
        let (_, found) = check(text.as_bytes(), &Project::none());
        let expected = [Code::OutputNotUpstream, Code::OutputMayBeAbsent, Code::NeverRuns];
        for found in &found {
            prop_assert!(expected.contains(&found.code), "{text}\n{found:?}");
        }
        let readable = !found.iter().any(|found| found.code != Code::NeverRuns);
        let never: Vec<usize> = found
            .iter()
            .filter(|found| found.code == Code::NeverRuns)
            .filter_map(|found| found.route.split('.').nth(1)?.strip_prefix('t')?.parse().ok())
            .collect();
        let mut rng = TestRng::from_seed(prop::test_runner::RngAlgorithm::ChaCha, &seed);
        for _ in 0..40 {
            let run = simulate(&specs, &mut rng);
            for &at in &never {
                prop_assert!(!run[at].1, "t{at} ran\n{text}\n{run:?}");
            }
            if readable && run[last].1 {
                let (ending, _, _, end) = run[reads];
                prop_assert!(ending == Ending::Success && end <= run[last].2, "t{reads} was read\n{text}\n{run:?}");
            }
        }
    }
}

#[test]
fn a_direct_read_under_the_default_rule_is_accepted() {
    let text = "pipeline: p\ntasks:\n  a: {container: {image: i, command: [x]}, returns: {f: string}}\n  b: {needs: [a], container: {image: i, command: [\"{{ outputs.a.f }}\"]}}\n";
    let (pipeline, found) = check(text.as_bytes(), &Project::none());
    assert!(pipeline.is_some() && found.is_empty(), "{found:?}");
}
