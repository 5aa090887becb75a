//! The pipelines of a project and the datasets between them.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Drawing, Edge, Node, Shape};
use crate::commands::check::count;
use crate::commands::datasets::plans;
use crate::context::Context;
use crate::datasets::{Arrow, Datasets};
use crate::error::Failure;
use crate::project::ProjectFolder;

/// Draws the project around a folder, or around a file in it.
pub(super) fn drawing(place: Option<&Path>, context: &Context) -> Result<Drawing, Failure> {
    let at = place.map_or_else(|| context.environment.current_dir.clone(), |place| context.absolute(place));
    let folder = if at.is_file() { at.parent().map(Path::to_owned).unwrap_or_default() } else { at };
    let folder = ProjectFolder::around(&folder, context)?;
    let plans = plans(&folder, context)?;
    let tasks: BTreeMap<String, usize> =
        plans.iter().map(|plan| (plan.pipeline.clone(), plan.tasks.len())).collect();
    let datasets = Datasets::of(plans, &folder.values(&context.env)?);
    let name = folder.project.project.as_ref().map_or("datasets", |name| name.as_str());
    let drawing = draw(name, &tasks, &datasets);
    if drawing.nodes.is_empty() {
        return Err(Failure::bad_input("there is no pipeline to draw")
            .help("name a folder with pipelines, or a project's: cauce graph DIR --datasets"));
    }
    Ok(drawing)
}

/// Pipelines and datasets are told apart by their shapes; what a task starts is dashed.
fn draw(title: &str, tasks: &BTreeMap<String, usize>, datasets: &Datasets) -> Drawing {
    let mut nodes = Vec::new();
    let mut index: BTreeMap<(bool, String), usize> = BTreeMap::new();
    let mut add = |is_data: bool, name: &str, note: String, nodes: &mut Vec<Node>| {
        *index.entry((is_data, name.to_owned())).or_insert_with(|| {
            let (letter, shape) = if is_data { ('d', Shape::Data) } else { ('p', Shape::Work) };
            nodes.push(Node {
                id: format!("{letter}{}", nodes.len()),
                name: name.to_owned(),
                note,
                shape,
                gated: false,
            });
            nodes.len() - 1
        })
    };
    for (name, tasks) in tasks {
        add(false, name, count(*tasks as u64, "task"), &mut nodes);
    }
    let mut edges = Vec::new();
    for arrow in datasets.arrows() {
        let (from, to, choice) = match &arrow {
            Arrow::Writes(from, to) => ((false, from), (true, to), None),
            Arrow::Starts(from, to) => ((true, from), (false, to), None),
            Arrow::Reads(from, to) => ((true, from), (false, to), Some("reads")),
            Arrow::Runs(from, to) => ((false, from), (false, to), Some("starts")),
        };
        let mut end = |(is_data, name): (bool, &String)| {
            let note = match is_data {
                true => "dataset".to_owned(),
                false => "not of this project".to_owned(),
            };
            add(is_data, name, note, &mut nodes)
        };
        let (from, to) = (end(from), end(to));
        edges.push(Edge { from, to, choice: choice.map(str::to_owned) });
    }
    in_order(title, nodes, edges)
}

/// Puts nodes into an order that arrows follow, as drawings need it. An arrow that closes a circle is drawn
/// backwards, and says so.
fn in_order(title: &str, nodes: Vec<Node>, edges: Vec<Edge>) -> Drawing {
    let mut left: Vec<usize> = (0..nodes.len()).collect();
    let mut order: Vec<usize> = Vec::with_capacity(nodes.len());
    while !left.is_empty() {
        let is_free = |at: &usize| {
            edges.iter().all(|edge| edge.to != *at || order.contains(&edge.from) || edge.from == *at)
        };
        // In a circle nobody is free: somebody has to be first.
        let next = left.iter().position(is_free).unwrap_or(0);
        order.push(left.remove(next));
    }
    let mut place = vec![0; nodes.len()];
    for (at, node) in order.iter().enumerate() {
        place[*node] = at;
    }
    let mut edges: Vec<Edge> = edges
        .into_iter()
        .filter(|edge| edge.from != edge.to)
        .map(|edge| match (place[edge.from], place[edge.to]) {
            (from, to) if from < to => Edge { from, to, choice: edge.choice },
            (from, to) => Edge { from: to, to: from, choice: Some("back, in a circle".to_owned()) },
        })
        .collect();
    edges.sort_by_key(|edge| (edge.from, edge.to));
    let mut sorted: Vec<(usize, Node)> =
        nodes.into_iter().enumerate().map(|(at, node)| (place[at], node)).collect();
    sorted.sort_by_key(|(at, _)| *at);
    Drawing { title: title.to_owned(), nodes: sorted.into_iter().map(|(_, node)| node).collect(), edges }
}
