//! Real workflow graphs through the compiled machines and the real drivers: with unlimited slots every
//! task starts at the very moment at which the last of what it waits for has ended.

use crate::world::{by_hand, compiled, deployment, epoch, host, run};
use cauce_host::simulation::{MemoryObjects, Script};
use cauce_local::memory::MemoryTable;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

const GRAPHS: &str = "../../shared/conformance/dags/wfinstances.jsonl.gz";

/// How many parts the graphs are split into, so that they run on all cores.
const PARTS: usize = 4;

struct Graph {
    name: String,
    parents: Vec<Vec<usize>>,
    /// Microseconds.
    durations: Vec<i64>,
}

/// The published graphs; `None` where they are absent.
fn graphs() -> Option<Vec<Graph>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GRAPHS);
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("skipped: needs ../shared/conformance/dags");
        return None;
    };
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    Some(lines.map(|line| graph(&serde_json::from_str(&line.unwrap()).unwrap())).collect())
}

fn graph(json: &Json) -> Graph {
    let tasks = json["tasks"].as_array().unwrap();
    Graph {
        name: json["name"].as_str().or(json["id"].as_str()).unwrap_or("graph").to_owned(),
        parents: tasks
            .iter()
            .map(|task| {
                task["parents"].as_array().unwrap().iter().map(|p| p.as_u64().unwrap() as usize).collect()
            })
            .collect(),
        durations: tasks.iter().map(|task| micros(&task["runtime_seconds"])).collect(),
    }
}

/// Decimal seconds to microseconds; what the data says beyond them is cut.
fn micros(seconds: &Json) -> i64 {
    let seconds =
        seconds.as_f64().or_else(|| seconds.as_str().and_then(|text| text.parse().ok())).unwrap_or(0.0);
    (seconds * 1e6) as i64
}

/// When each task ends, by the definition: the latest end of its parents, and its own duration.
fn ends(graph: &Graph) -> Vec<i64> {
    let mut ends = vec![None; graph.parents.len()];
    let mut stack: Vec<usize> = (0..ends.len()).collect();
    while let Some(task) = stack.pop() {
        if ends[task].is_some() {
            continue;
        }
        let open: Vec<usize> =
            graph.parents[task].iter().copied().filter(|parent| ends[*parent].is_none()).collect();
        if open.is_empty() {
            let start = graph.parents[task].iter().filter_map(|parent| ends[*parent]).max().unwrap_or(0);
            ends[task] = Some(start + graph.durations[task]);
        } else {
            stack.push(task);
            stack.extend(open);
        }
    }
    ends.into_iter().flatten().collect()
}

fn yaml(graph: &Graph) -> String {
    let mut text = String::from("pipeline: graph\ntasks:\n");
    for (task, parents) in graph.parents.iter().enumerate() {
        let needs: Vec<String> = parents.iter().map(|parent| format!("t{parent}")).collect();
        text.push_str(&format!(
            "  t{task}: {{needs: [{}], container: {{image: x, command: [run]}}}}\n",
            needs.join(", ")
        ));
    }
    text
}

fn check_part(part: usize) {
    let Some(graphs) = graphs() else { return };
    assert_eq!(graphs.len(), 121);
    for (number, graph) in graphs.iter().enumerate().filter(|(number, _)| number % PARTS == part) {
        let story = format!("graph {number} ({}, {} tasks)", graph.name, graph.parents.len());
        let durations =
            graph.durations.iter().enumerate().map(|(task, micros)| (format!("t{task}"), vec![*micros]));
        let script = Script { durations: durations.collect(), outcomes: BTreeMap::new() };
        let compiled = compiled(&yaml(graph));
        let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
        host.world().clock.clone().block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
        let ended = run(&host, by_hand(&compiled, "r1")).unwrap_or_else(|error| panic!("{story}: {error}"));
        assert_eq!(ended.run.status.as_str(), "success", "{story}: {:?}", ended.run.message);
        let expected = ends(graph);
        assert_eq!(ended.ran.len(), expected.len(), "{story}");
        for ran in &ended.ran {
            let task: usize = ran.task[1..].parse().unwrap();
            let start = ran.started_at.micros_since(epoch());
            assert_eq!(start, expected[task] - graph.durations[task], "{story}: start of {}", ran.task);
        }
    }
}

#[test]
fn real_graphs_start_every_task_exactly_on_time_1() {
    check_part(0);
}

#[test]
fn real_graphs_start_every_task_exactly_on_time_2() {
    check_part(1);
}

#[test]
fn real_graphs_start_every_task_exactly_on_time_3() {
    check_part(2);
}

#[test]
fn real_graphs_start_every_task_exactly_on_time_4() {
    check_part(3);
}
