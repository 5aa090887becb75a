//! Drawings as text that others draw: Mermaid and Graphviz.

use super::{Drawing, Node, Shape};

/// Fill, border and letters of a shape: dark letters on a light card, so that it reads the same on
/// light and dark pages.
pub(super) const fn colours(shape: Shape) -> (&'static str, &'static str, &'static str) {
    match shape {
        Shape::Work => ("#dbeafe", "#2563eb", "#0f172a"),
        Shape::Mapped => ("#d1fae5", "#059669", "#0f172a"),
        Shape::Branch => ("#fef3c7", "#d97706", "#0f172a"),
        Shape::Wait => ("#ede9fe", "#7c3aed", "#0f172a"),
        Shape::Light => ("#e5e7eb", "#6b7280", "#0f172a"),
        Shape::Data => ("#ccfbf1", "#0d9488", "#0f172a"),
    }
}

const SHAPES: [Shape; 6] =
    [Shape::Work, Shape::Mapped, Shape::Branch, Shape::Wait, Shape::Light, Shape::Data];

/// Mermaid: <https://mermaid.js.org/syntax/flowchart.html>.
pub(super) fn mermaid(drawing: &Drawing) -> String {
    let mut out = format!("---\ntitle: {}\n---\nflowchart LR\n", drawing.title);
    for node in &drawing.nodes {
        let (open, close) = match node.shape {
            Shape::Work => ("[", "]"),
            Shape::Mapped => ("[[", "]]"),
            Shape::Branch => ("{", "}"),
            Shape::Wait => ("([", "])"),
            Shape::Light => ("(", ")"),
            Shape::Data => ("[(", ")]"),
        };
        let label = format!("{}<br/><small>{}</small>", quoted(&node.name), quoted(&node.note));
        out.push_str(&format!("  {}{open}\"{label}\"{close}:::{}\n", id(node), class(node)));
    }
    for edge in &drawing.edges {
        let (from, to) = (id(&drawing.nodes[edge.from]), id(&drawing.nodes[edge.to]));
        match &edge.choice {
            Some(choice) => out.push_str(&format!("  {from} -. \"{}\" .-> {to}\n", quoted(choice))),
            None => out.push_str(&format!("  {from} --> {to}\n")),
        }
    }
    for shape in SHAPES {
        for gated in [false, true] {
            let used = drawing.nodes.iter().any(|node| node.shape == shape && node.gated == gated);
            if used {
                let (fill, stroke, letters) = colours(shape);
                let dashes = if gated { ",stroke-dasharray:5 3,stroke-width:2px" } else { "" };
                let suffix = if gated { "Gated" } else { "" };
                let name = shape.word();
                out.push_str(&format!(
                    "  classDef {name}{suffix} fill:{fill},stroke:{stroke},color:{letters}{dashes}\n"
                ));
            }
        }
    }
    out
}

/// Some task names are words of Mermaid (`end`); an identifier that begins with `t_` is none.
fn id(node: &Node) -> String {
    format!("t_{}", node.id)
}

fn class(node: &Node) -> String {
    format!("{}{}", node.shape.word(), if node.gated { "Gated" } else { "" })
}

fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' => "#quot;".to_owned(),
        '#' => "#35;".to_owned(),
        '<' => "#lt;".to_owned(),
        '>' => "#gt;".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Graphviz: <https://graphviz.org/doc/info/lang.html>.
pub(super) fn dot(drawing: &Drawing) -> String {
    let mut out = format!("digraph \"{}\" {{\n", drawing.title);
    out.push_str("  rankdir=LR;\n  bgcolor=\"transparent\";\n");
    out.push_str("  node [fontname=\"Helvetica\", fontsize=11, style=\"filled,rounded\"];\n");
    out.push_str("  edge [color=\"#6b7280\", fontcolor=\"#6b7280\", fontname=\"Helvetica\", fontsize=9];\n");
    for node in &drawing.nodes {
        let (fill, stroke, letters) = colours(node.shape);
        let (shape, more) = match node.shape {
            Shape::Work | Shape::Wait => ("box", ""),
            Shape::Mapped => ("box", ", peripheries=2"),
            Shape::Branch => ("diamond", ""),
            Shape::Light => ("ellipse", ""),
            Shape::Data => ("cylinder", ""),
        };
        let style = match (node.gated, node.shape) {
            (true, _) => ", style=\"filled,dashed\", penwidth=2",
            (false, Shape::Branch | Shape::Light | Shape::Data) => ", style=\"filled\"",
            (false, _) => "",
        };
        out.push_str(&format!(
            "  \"{}\" [label=\"{}\\n{}\", shape={shape}{more}, fillcolor=\"{fill}\", color=\"{stroke}\", fontcolor=\"{letters}\"{style}];\n",
            node.id, escaped(&node.name), escaped(&node.note)
        ));
    }
    for edge in &drawing.edges {
        let (from, to) = (&drawing.nodes[edge.from].id, &drawing.nodes[edge.to].id);
        let label =
            edge.choice.as_ref().map(|choice| format!(" [style=dashed, label=\"{}\"]", escaped(choice)));
        out.push_str(&format!("  \"{from}\" -> \"{to}\"{};\n", label.unwrap_or_default()));
    }
    out.push_str("}\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}
