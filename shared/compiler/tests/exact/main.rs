//! The nest is exact: with unlimited slots every task is decided exactly when its upstreams allow,
//! for any durations, rules and outcomes, on real and on random graphs.

#![expect(clippy::print_stdout, reason = "a test that cannot run says so")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

mod simulation;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use cauce_compiler::gates::Gates;
use cauce_compiler::nest::{Nest, Node};
use cauce_compiler::order::{Graph, Order};
use cauce_model::TriggerRule;
use proptest::prelude::*;
use simulation::{TaskCase, demanded, graph, play};

fn compile(graph: &Graph) -> (Nest, Gates) {
    let order = Order::new(graph).unwrap();
    let nest = Nest::build(&order);
    let gates = Gates::new(graph, &order, &nest);
    (nest, gates)
}

/// Compiles and plays, and compares with what the upstreams demand.
fn check(tasks: &[TaskCase]) -> Result<(), String> {
    let (nest, gates) = compile(&graph(tasks));
    let mut leaves: Vec<usize> = (0..nest.len())
        .filter_map(|id| match nest.node(id) {
            Node::Task(task) => Some(*task),
            _ => None,
        })
        .collect();
    leaves.sort_unstable();
    if leaves != (0..tasks.len()).collect::<Vec<_>>() {
        return Err(format!("the nest holds {leaves:?}"));
    }
    let played = play(tasks, &nest, &gates)?;
    let demanded = demanded(tasks);
    match (0..tasks.len()).find(|&task| played[task] != demanded[task]) {
        None => Ok(()),
        Some(task) => {
            Err(format!("task {task} is decided at {:?}, not at {:?}", played[task], demanded[task]))
        }
    }
}

/// Numbers that look random and are the same every time.
struct Draws(u64);

impl Draws {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's multiplier for 64 bits; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct RealGraph {
    id: String,
    family: String,
    parents: Vec<Vec<usize>>,
}

/// The published graphs, or `None` in a clone that has no conformance data beside it.
fn real_graphs() -> Option<Vec<RealGraph>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let Ok(file) = File::open(root.join("dags/wfinstances.jsonl.gz")) else {
        println!("skipped: needs ../shared/conformance");
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let graphs = text.lines().map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let parents = value["tasks"].as_array().unwrap().iter().map(|task| {
            let parents = task["parents"].as_array().unwrap().iter();
            parents.map(|p| p.as_u64().unwrap() as usize).collect()
        });
        RealGraph {
            id: value["id"].as_str().unwrap().to_owned(),
            family: value["family"].as_str().unwrap().to_owned(),
            parents: parents.collect(),
        }
    });
    Some(graphs.collect())
}

fn ordinary(parents: &[Vec<usize>]) -> Vec<TaskCase> {
    let case = |needs: &Vec<usize>| TaskCase {
        needs: needs.clone(),
        rule: TriggerRule::AllSuccess,
        duration: 1,
        succeeds: true,
    };
    parents.iter().map(case).collect()
}

#[test]
fn real_graphs_start_every_task_exactly_on_time() {
    let Some(graphs) = real_graphs() else { return };
    let mut draws = Draws(1);
    for real in graphs {
        for early_share in [0, 0, 3, 20] {
            let mut tasks = ordinary(&real.parents);
            for task in &mut tasks {
                task.duration = draws.below(1000);
                if early_share > 0 {
                    task.succeeds = draws.below(10) > 0;
                    task.rule = TriggerRule::AllDone;
                }
                // The four early rules come in turn; any rule at all would mostly skip.
                if draws.below(100) < early_share {
                    let early = TriggerRule::ALL.into_iter().filter(|rule| rule.is_early());
                    let early: Vec<TriggerRule> = early.collect();
                    task.rule = early[draws.below(4) as usize];
                }
            }
            check(&tasks).unwrap_or_else(|error| panic!("{}: {error}", real.id));
        }
    }
}

#[test]
fn gates_on_real_graphs_stay_few() {
    let Some(graphs) = real_graphs() else { return };
    #[derive(Default)]
    struct Family {
        graphs: usize,
        tasks: usize,
        gated: usize,
        entered_first: usize,
        depth: usize,
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for real in &graphs {
        let tasks = ordinary(&real.parents);
        let (nest, gates) = compile(&graph(&tasks));
        let gated = (0..tasks.len()).filter(|&task| !gates.waits[task].is_empty());
        let at_start = |task: &usize| !(0..tasks.len()).any(|u| nest.precedes(u, *task));
        let entered_first = gated.filter(at_start).count();
        for name in [real.family.as_str(), "~ all"] {
            let family = families.entry(name.to_owned()).or_default();
            family.graphs += 1;
            family.tasks += tasks.len();
            family.gated += gates.gated();
            family.entered_first += entered_first;
            family.depth = family.depth.max(nest.depth());
        }
    }
    let mut table = String::new();
    writeln!(table, "family graphs tasks gated entered-first depth").unwrap();
    for (name, f) in families {
        writeln!(table, "{name} {} {} {} {} {}", f.graphs, f.tasks, f.gated, f.entered_first, f.depth)
            .unwrap();
    }
    insta::assert_snapshot!(table);
}

/// Small graphs of any shape under any rules; tasks are listed in no particular order.
fn task_cases(most: usize) -> impl Strategy<Value = Vec<TaskCase>> {
    let task = (
        proptest::collection::vec((any::<proptest::sample::Index>(), 1..8_usize), 0..4),
        prop_oneof![
            3 => Just(TriggerRule::AllSuccess),
            3 => Just(TriggerRule::AllDone),
            3 => proptest::sample::select(TriggerRule::ALL.to_vec()),
        ],
        prop_oneof![Just(0_u64), 1..100_u64],
        prop::bool::weighted(0.8),
    );
    (proptest::collection::vec(task, 1..most), any::<u64>()).prop_map(|(drawn, seed)| {
        // `place` hides the topological order from the compiler.
        let mut place: Vec<usize> = (0..drawn.len()).collect();
        let mut draws = Draws(seed);
        for at in (1..place.len()).rev() {
            place.swap(at, draws.below(at as u64 + 1) as usize);
        }
        let mut tasks: Vec<Option<TaskCase>> = vec![None; drawn.len()];
        for (at, (parents, rule, duration, succeeds)) in drawn.into_iter().enumerate() {
            let mut needs: Vec<usize> = Vec::new();
            for (index, near) in parents {
                if at > 0 {
                    // Mostly close by, so that graphs are deep as well as wide.
                    let window = (near * 2).min(at);
                    needs.push(place[at - 1 - index.index(window)]);
                }
            }
            needs.sort_unstable();
            needs.dedup();
            tasks[place[at]] = Some(TaskCase { needs, rule, duration, succeeds });
        }
        tasks.into_iter().flatten().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_start_every_task_exactly_on_time(tasks in task_cases(40)) {
        check(&tasks).map_err(TestCaseError::fail)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_member_of_an_ordinary_gate_is_needed(tasks in task_cases(25)) {
        let mut tasks = tasks;
        for task in &mut tasks {
            task.rule = TriggerRule::AllDone;
            task.duration = 0;
        }
        let (nest, gates) = compile(&graph(&tasks));
        for v in 0..tasks.len() {
            for &u in &gates.waits[v] {
                let mut without = gates.clone();
                without.waits[v].retain(|&member| member != u);
                without.opens[u].retain(|&gated| gated != v);
                let mut slow = tasks.clone();
                slow[u].duration = 1_000;
                prop_assert!(play(&slow, &nest, &without).is_err(), "{} waits for {} in vain", v, u);
            }
        }
    }
}

#[test]
fn a_lattice_of_ten_thousand_tasks_compiles() {
    let side = 100;
    let mut tasks = Vec::new();
    for row in 0..side {
        for column in 0..side {
            let mut needs = Vec::new();
            if row > 0 {
                needs.push((row - 1) * side + column);
            }
            if column > 0 {
                needs.push(row * side + column - 1);
            }
            tasks.push(needs);
        }
    }
    let graph = graph(&ordinary(&tasks));
    let (nest, gates) = compile(&graph);
    for task in 0..graph.len() {
        for &upstream in graph.needs(task) {
            let behind = nest.precedes(upstream, task);
            let waits = gates.waits[task].contains(&upstream);
            assert!(behind != waits, "{upstream} before {task}: nest {behind}, gate {waits}");
        }
    }
}
