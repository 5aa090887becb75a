//! Compiled definitions: their text, and that playing them begins every task exactly on time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

mod plans;
mod walk;

use std::collections::BTreeMap;

use cauce_asl::{ExecutionType, Severity};
use cauce_compiler::{CompileError, Compiled, ITEMS_MAX, assemble, lifecycle};
use cauce_model::Plan;
use cauce_model::plan::TaskKind;
use serde_json::Value;
use walk::Walk;

fn compile(plan: Plan) -> Compiled {
    let lines = plan.tasks.iter().enumerate();
    let lines = lines.map(|(at, task)| (task.name.clone(), 10 + at as u32)).collect();
    assemble(plan, &lines).unwrap()
}

fn definitions(compiled: &Compiled) -> BTreeMap<String, Value> {
    let machines = compiled.machines.iter();
    machines
        .map(|machine| {
            let text = machine.definition.to_compact_json();
            let part = machine.part.clone().unwrap_or_default();
            (part, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// When every task must begin, from its needs alone, and when the run must close.
fn demanded(plan: &Plan, durations: &[u64]) -> (Vec<u64>, u64) {
    let mut ends: Vec<u64> = Vec::new();
    let mut begins = Vec::new();
    for (task, duration) in plan.tasks.iter().zip(durations) {
        let begin = task.needs.iter().map(|&need| ends[need as usize]).max().unwrap_or(0);
        begins.push(begin);
        ends.push(begin + duration);
    }
    (begins, ends.into_iter().max().unwrap_or(0))
}

/// Durations that look random and are the same every time.
fn durations(plan: &Plan, seed: u64) -> Vec<u64> {
    let mut state = seed;
    plan.tasks
        .iter()
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 100
        })
        .collect()
}

fn snapshot(name: &str, compiled: &Compiled) {
    for (file, text) in compiled.files() {
        insta::assert_snapshot!(format!("{name}-{file}"), text);
    }
}

#[test]
fn a_pipeline_with_every_kind_of_state() {
    snapshot("mixed", &compile(plans::mixed()));
}

#[test]
fn a_pipeline_that_needs_a_gate() {
    let compiled = compile(plans::crossed());
    assert_eq!(compiled.forecast.gated, 1);
    snapshot("crossed", &compiled);
}

#[test]
fn the_task_machines() {
    for (kind, machine) in lifecycle::machines() {
        insta::assert_snapshot!(format!("lifecycle-{kind}"), machine.to_pretty_json());
    }
}

#[test]
fn every_launch_kind_has_a_machine() {
    let kinds: Vec<&str> = lifecycle::machines().into_iter().map(|(kind, _)| kind).collect();
    let mixed = plans::mixed();
    let used = mixed.tasks.iter().filter_map(|task| task.kind.machine());
    for kind in used.chain(["pipeline"]) {
        assert!(kinds.contains(&kind), "{kind}");
    }
}

#[test]
fn definitions_begin_every_task_exactly_on_time() {
    for plan in [
        plans::crossed(),
        plans::lattice(6, 7),
        plans::lattice(30, 30),
        plans::lattice(2, 450),
        // Deeper than a parser would follow, were it one machine.
        plans::comb(150),
    ] {
        let compiled = compile(plan);
        let machines = definitions(&compiled);
        for seed in 0..5 {
            let durations = durations(&compiled.plan, seed);
            let played = Walk::play(&compiled.plan, &machines, &durations).unwrap();
            assert_eq!(played, demanded(&compiled.plan, &durations));
        }
    }
}

#[test]
fn random_pipelines_begin_every_task_exactly_on_time() {
    for seed in 0..300 {
        let compiled = compile(plans::random(seed, 10 + seed as u32 % 50));
        let machines = definitions(&compiled);
        let durations = durations(&compiled.plan, seed);
        let played = Walk::play(&compiled.plan, &machines, &durations).unwrap();
        assert_eq!(played, demanded(&compiled.plan, &durations), "seed {seed}");
    }
}

/// Changes every `Next` of a definition in turn to `End`, and hands over what results.
fn without_each_next(definition: &Value, check: &mut dyn FnMut(&str, Value)) {
    fn pointers(value: &Value, path: String, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                // A catcher's Next is no part of the way that succeeds.
                let is_state = fields.contains_key("Type");
                if is_state && fields.contains_key("Next") {
                    found.push(path.clone());
                }
                for (name, field) in fields.iter().filter(|(name, _)| *name != "Catch") {
                    pointers(field, format!("{path}/{name}"), found);
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    pointers(item, format!("{path}/{at}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    pointers(definition, String::new(), &mut found);
    for pointer in found {
        let mut mutant = definition.clone();
        let state = mutant.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
        state.remove("Next");
        state.insert("End".to_owned(), true.into());
        check(&pointer, mutant);
    }
}

#[test]
fn no_next_can_be_left_out() {
    let compiled = compile(plans::lattice(5, 5));
    let machines = definitions(&compiled);
    let durations = durations(&compiled.plan, 1);
    let mut mutants = 0;
    without_each_next(&machines[""], &mut |place, mutant| {
        mutants += 1;
        let machines = BTreeMap::from([(String::new(), mutant)]);
        let played = Walk::play(&compiled.plan, &machines, &durations);
        assert!(played.is_err(), "nobody misses the Next of {place}");
    });
    assert!(mutants > compiled.plan.tasks.len() / 2, "{mutants}");
}

#[test]
fn no_gate_can_be_left_out() {
    let compiled = compile(plans::lattice(5, 5));
    let machines = definitions(&compiled);
    let gated = compiled.plan.tasks.iter().enumerate();
    let gated: Vec<(usize, Vec<u32>)> =
        gated.filter_map(|(at, task)| task.gate.as_ref().map(|gate| (at, gate.waits.clone()))).collect();
    assert!(gated.len() > 5);
    for (task, waits) in gated {
        for upstream in waits {
            let mut plan = compiled.plan.clone();
            plan.tasks[task].gate.as_mut().unwrap().waits.retain(|&member| member != upstream);
            plan.tasks[upstream as usize].opens.retain(|arrival| arrival.task as usize != task);
            let mut durations = vec![0; plan.tasks.len()];
            durations[upstream as usize] = 100;
            assert!(Walk::play(&plan, &machines, &durations).is_err(), "{task} waits for {upstream} in vain");
        }
    }
}

/// Placeholders stand for names; a function's ARN is checked where it is filled in.
#[test]
fn every_definition_is_one_that_aws_accepts() {
    let mut texts: Vec<(String, String)> = Vec::new();
    for plan in [plans::mixed(), plans::crossed(), plans::mapped_inline_kinds(), plans::lattice(30, 30)] {
        for machine in compile(plan).machines {
            texts.push((machine.name, machine.definition.to_compact_json()));
        }
    }
    for (kind, machine) in lifecycle::machines() {
        texts.push((kind.to_owned(), machine.to_compact_json()));
    }
    assert!(texts.len() > 6);
    for (name, text) in texts {
        let report = cauce_asl::validate_text(&text, ExecutionType::Standard, Severity::Warning);
        assert_eq!(report.diagnostics, [], "{name}");
    }
}

#[test]
fn equal_plans_become_equal_bytes() {
    let plan = plans::lattice(20, 30);
    assert_eq!(compile(plan.clone()).files(), compile(plan).files());
}

#[test]
fn the_version_follows_the_plan_and_stands_in_the_definition() {
    let compiled = compile(plans::crossed());
    let mut plan = plans::crossed();
    plan.tasks[0].timeout_seconds += 1;
    let changed = compile(plan);
    assert_ne!(compiled.version(), changed.version());
    let text = compiled.machines[0].definition.to_compact_json();
    assert!(text.contains(compiled.version()));
    assert!(!text.contains("${version}"));
}

#[test]
fn large_pipelines_stay_inside_every_budget() {
    let compiled = compile(plans::lattice(40, 50));
    assert!(compiled.machines.len() > 5);
    for machine in &compiled.forecast.machines {
        assert!(machine.worst_events < 25_000, "{machine:?}");
        assert!(machine.request_bytes < 900_000, "{machine:?}");
    }
    // Every state of a task is traced to its line, in whichever machine it is.
    let lines: usize = compiled.source_map.values().map(BTreeMap::len).sum();
    assert!(lines >= compiled.plan.tasks.len());
}

#[test]
fn no_state_name_is_used_twice_or_too_long() {
    fn names(machine: &Value, found: &mut Vec<String>) {
        match machine {
            Value::Object(fields) => {
                if let Some(Value::Object(states)) = fields.get("States") {
                    found.extend(states.keys().cloned());
                }
                fields.values().for_each(|field| names(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| names(item, found)),
            _ => {}
        }
    }
    let long = "t".repeat(63);
    let mut plan = plans::mixed();
    plan.tasks[3].name.clone_from(&long);
    for plan in [plan, plans::lattice(10, 10)] {
        for definition in definitions(&compile(plan)).values() {
            let mut found = Vec::new();
            names(definition, &mut found);
            assert!(found.iter().all(|name| name.chars().count() <= 80), "{found:?}");
            let count = found.len();
            found.sort();
            found.dedup();
            assert_eq!(found.len(), count);
        }
    }
}

#[test]
fn a_task_that_looks_too_often_is_refused_with_the_interval_that_fits() {
    let mut plan = plans::mixed();
    plan.tasks[0].timeout_seconds = 7 * 24 * 3600;
    let TaskKind::WaitFor(wait) = &mut plan.tasks[0].kind else {
        panic!("the first task waits");
    };
    wait.poll_seconds = 10;
    let error = assemble(plan.clone(), &BTreeMap::new()).unwrap_err();
    let CompileError::TooManyLooks { poll_seconds_min, .. } = error else {
        panic!("{error}");
    };
    let TaskKind::WaitFor(wait) = &mut plan.tasks[0].kind else {
        panic!("the first task waits");
    };
    wait.poll_seconds = poll_seconds_min;
    assert!(assemble(plan, &BTreeMap::new()).is_ok());
}

#[test]
fn a_task_mapped_over_more_items_than_a_state_holds_is_refused() {
    let over = |items| plans::plan("wide", vec![plans::mapped(plans::container("each", &[]), items, 100)]);
    assert!(assemble(over(ITEMS_MAX), &BTreeMap::new()).is_ok());
    let error = assemble(over(ITEMS_MAX + 1), &BTreeMap::new()).unwrap_err();
    assert_eq!(error, CompileError::TooManyItems { task: "each".to_owned() });
}

#[test]
fn a_circle_is_named() {
    let plan = plans::plan("round", vec![plans::pass("a", &[1]), plans::pass("b", &[0])]);
    let error = assemble(plan, &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.starts_with("tasks wait for each other in a circle: "), "{error}");
}
