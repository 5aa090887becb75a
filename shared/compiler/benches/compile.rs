//! How long orders, nests and whole pipelines take to compile, and how that grows.

use cauce_compiler::gates::Gates;
use cauce_compiler::nest::Nest;
use cauce_compiler::order::{Firing, Graph, Order};

fn main() {
    divan::main();
}

/// Every task needs the one above and the one to the left: no nest of sequence and `Par` is exact.
fn lattice(side: usize) -> Graph {
    let mut graph = Graph::new();
    for row in 0..side {
        for column in 0..side {
            let above = row.checked_sub(1).map(|row| row * side + column);
            let left = column.checked_sub(1).map(|column| row * side + column);
            graph.add(above.into_iter().chain(left), Firing::AllEnded);
        }
    }
    graph
}

fn chain(tasks: usize) -> Graph {
    let mut graph = Graph::new();
    for task in 0..tasks {
        graph.add(task.checked_sub(1), Firing::AllEnded);
    }
    graph
}

fn fan(tasks: usize) -> Graph {
    let mut graph = Graph::new();
    graph.add([], Firing::AllEnded);
    for _ in 2..tasks {
        graph.add([0], Firing::AllEnded);
    }
    graph.add(1..tasks - 1, Firing::AllEnded);
    graph
}

fn nest_and_gates(graph: &Graph) -> usize {
    let Ok(order) = Order::new(graph) else { return 0 };
    Gates::new(graph, &order, &Nest::build(&order)).gated()
}

#[divan::bench(args = [10, 32, 100])]
fn lattice_of_side(bencher: divan::Bencher, side: usize) {
    let graph = lattice(side);
    bencher.bench(|| nest_and_gates(&graph));
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn chain_of(bencher: divan::Bencher, tasks: usize) {
    let graph = chain(tasks);
    bencher.bench(|| nest_and_gates(&graph));
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn fan_of(bencher: divan::Bencher, tasks: usize) {
    let graph = fan(tasks);
    bencher.bench(|| nest_and_gates(&graph));
}

mod whole {
    use cauce_spec::{Project, check};

    /// A lattice as a pipeline file.
    fn file(side: usize) -> String {
        let mut text = String::from("pipeline: lattice\ntasks:\n");
        for row in 0..side {
            for column in 0..side {
                let above = row.checked_sub(1).map(|row| format!("t{row}_{column}"));
                let left = column.checked_sub(1).map(|column| format!("t{row}_{column}"));
                let needs: Vec<String> = above.into_iter().chain(left).collect();
                let needs = needs.join(", ");
                text.push_str(&format!("  t{row}_{column}: {{needs: [{needs}], pass: {{}}}}\n"));
            }
        }
        text
    }

    #[divan::bench(args = [10, 32])]
    fn checked_and_compiled(bencher: divan::Bencher, side: usize) {
        let text = file(side);
        let project = Project::none();
        bencher.bench(|| {
            let (pipeline, _) = check(text.as_bytes(), &project);
            pipeline.map(|pipeline| cauce_compiler::compile(&pipeline, &project))
        });
    }
}
