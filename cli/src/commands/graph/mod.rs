//! `cauce graph`: a pipeline as a drawing, in three languages; or all pipelines and the datasets between them.

mod datasets;
mod layout;
mod svg;
mod text;

use cauce_model::TriggerRule;
use cauce_model::plan::{Plan, TaskKind, TaskPlan};
use serde_json::json;

use crate::args::{GraphArgs, GraphFormat};
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::project;

/// Longest label of an edge, in characters.
const LABEL_MAX: usize = 32;

/// A pipeline as it is drawn.
pub(crate) struct Drawing {
    /// The pipeline's name.
    title: String,
    /// In topological order.
    nodes: Vec<Node>,
    /// By source, then target.
    edges: Vec<Edge>,
}

/// A task as it is drawn.
struct Node {
    /// What drawings in words call it.
    id: String,
    name: String,
    /// What it does and when, in a few words.
    note: String,
    shape: Shape,
    /// It waits behind a gate.
    gated: bool,
}

/// What a task is drawn as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    /// It runs a program.
    Work,
    /// It runs one for every item.
    Mapped,
    /// It chooses.
    Branch,
    /// It waits for files, or for another pipeline.
    Wait,
    /// It is done by the engine itself.
    Light,
    /// It is data.
    Data,
}

/// That one task needs another.
struct Edge {
    from: usize,
    to: usize,
    /// For the way out of a branch: when it is taken.
    choice: Option<String>,
}

pub(crate) fn graph(args: &GraphArgs, context: &Context) -> Result<Exit, Failure> {
    let drawing = match &args.file {
        file if args.datasets => datasets::drawing(file.as_deref(), context)?,
        Some(file) => Drawing::of(&project::load(file, context)?.compiled.plan),
        None => return Err(Failure::bad_input("no pipeline file is named")),
    };
    if context.json {
        context.output.json(&drawing.document())?;
        return Ok(Exit::Good);
    }
    context.output.data(match args.format {
        GraphFormat::Mermaid => text::mermaid(&drawing),
        GraphFormat::Dot => text::dot(&drawing),
        GraphFormat::Svg => svg::draw(&drawing),
    })?;
    Ok(Exit::Good)
}

/// A pipeline as a Mermaid flowchart.
pub(super) fn mermaid(plan: &Plan) -> String {
    text::mermaid(&Drawing::of(plan))
}

/// What a task does and when, in a few words.
pub(super) fn note(task: &TaskPlan) -> String {
    Node::of(task).note
}

impl Drawing {
    fn of(plan: &Plan) -> Self {
        let nodes = plan.tasks.iter().map(Node::of).collect();
        let mut edges = Vec::new();
        for (to, task) in plan.tasks.iter().enumerate() {
            for from in &task.needs {
                let from = *from as usize;
                edges.push(Edge { from, to, choice: choice(&plan.tasks[from], to) });
            }
        }
        edges.sort_by_key(|edge| (edge.from, edge.to));
        Self { title: plan.pipeline.clone(), nodes, edges }
    }

    fn document(&self) -> serde_json::Value {
        let node = |node: &Node| json!({"task": node.name, "note": node.note, "shape": node.shape.word(), "gated": node.gated});
        let edge = |edge: &Edge| {
            let (from, to) = (&self.nodes[edge.from].name, &self.nodes[edge.to].name);
            json!({"from": from, "to": to, "choice": edge.choice})
        };
        json!({
            "pipeline": self.title,
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
            "edges": self.edges.iter().map(edge).collect::<Vec<_>>(),
        })
    }
}

/// The condition under which a branch goes on to a task.
fn choice(task: &TaskPlan, to: usize) -> Option<String> {
    let TaskKind::Branch { choices } = &task.kind else { return None };
    let choice = choices.iter().find(|choice| choice.to.iter().any(|target| *target as usize == to))?;
    Some(match &choice.condition {
        None => "else".to_owned(),
        Some(condition) => {
            let bare = condition.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
            shortened(bare)
        }
    })
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LABEL_MAX {
        return text.to_owned();
    }
    text.chars().take(LABEL_MAX - 1).chain(['…']).collect()
}

impl Node {
    fn of(task: &TaskPlan) -> Self {
        let (kind, shape) = match &task.kind {
            TaskKind::Container(container) => (container.image.as_str(), Shape::Work),
            TaskKind::WaitFor(_) => ("wait for files", Shape::Wait),
            TaskKind::Approval(_) => ("approval", Shape::Wait),
            TaskKind::Pipeline(other) => (other.pipeline.as_str(), Shape::Wait),
            TaskKind::Call(call) => (call.service.key(), Shape::Work),
            TaskKind::Branch { .. } => ("branch", Shape::Branch),
            TaskKind::Fail { .. } => ("fail", Shape::Light),
            TaskKind::Notify { .. } => ("notify", Shape::Light),
            TaskKind::Pass { .. } => ("pass", Shape::Light),
        };
        let mut note = kind.to_owned();
        let mut add = |words: &str| {
            note.push_str(", ");
            note.push_str(words);
        };
        if task.map.is_some() {
            add("each item");
        }
        if task.fallback_for.is_some() {
            add("fallback");
        } else if task.rule != TriggerRule::default() && !task.needs.is_empty() {
            add(&task.rule.to_string());
        }
        if task.condition.is_some() {
            add("if");
        }
        if task.allow_failure {
            add("may fail");
        }
        if task.gate.is_some() {
            add("gate");
        }
        let shape = if task.map.is_some() { Shape::Mapped } else { shape };
        Self { id: task.name.clone(), name: task.name.clone(), note, shape, gated: task.gate.is_some() }
    }
}

impl Shape {
    const fn word(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Mapped => "mapped",
            Self::Branch => "branch",
            Self::Wait => "wait",
            Self::Light => "light",
            Self::Data => "data",
        }
    }
}
