//! A drawing as a picture: one file, no scripts, readable on light and dark pages.

use super::layout::{Layout, lay_out};
use super::text::colours;
use super::{Drawing, Node, Shape};

/// Sizes in pixels. Letters are of one width, so that a card fits its words without measuring.
const NAME_LETTER: f64 = 7.3;
const NOTE_LETTER: f64 = 6.1;
const CARD_HEIGHT: f64 = 42.0;
const CARD_PADDING: f64 = 14.0;
const ROW: f64 = 62.0;
const LAYER_GAP: f64 = 64.0;
const MARGIN: f64 = 24.0;
const TITLE_HEIGHT: f64 = 34.0;

const STYLE: &str = "\
text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\
.name{font-size:12px;font-weight:600}.note{font-size:10px;opacity:.8}\
.title{font-size:15px;font-weight:600;fill:#334155}.edge{fill:none;stroke:#64748b;stroke-width:1.4}\
.label{font-size:10px;fill:#475569;paint-order:stroke;stroke:#fff;stroke-width:4px}.tip{fill:#64748b}\
@media(prefers-color-scheme:dark){.title{fill:#e2e8f0}.edge{stroke:#94a3b8}.label{fill:#cbd5e1;stroke:#0d1117}.tip{fill:#94a3b8}}";

/// Where cards stand on the page.
struct Page {
    layout: Layout,
    /// The left edge of every layer, and its width.
    columns: Vec<(f64, f64)>,
    width: f64,
    height: f64,
}

pub(super) fn draw(drawing: &Drawing) -> String {
    let page = Page::of(drawing);
    let (width, height) = (page.width, page.height);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"{MARGIN}\">{title}</text>\n",
        title = escaped(&drawing.title),
    );
    for (at, _) in drawing.edges.iter().enumerate() {
        out.push_str(&page.edge(drawing, at));
    }
    for (at, node) in drawing.nodes.iter().enumerate() {
        out.push_str(&page.card(node, at));
    }
    out.push_str("</svg>\n");
    out
}

fn card_width(node: &Node) -> f64 {
    let name = node.name.chars().count() as f64 * NAME_LETTER;
    let note = node.note.chars().count() as f64 * NOTE_LETTER;
    // A branch comes to a point on either side.
    let points = if node.shape == Shape::Branch { CARD_HEIGHT / 2.0 } else { 0.0 };
    name.max(note) + 2.0 * CARD_PADDING + points
}

impl Page {
    fn of(drawing: &Drawing) -> Self {
        let edges: Vec<(usize, usize)> = drawing.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        let layout = lay_out(drawing.nodes.len(), &edges);
        let mut widths = vec![0.0_f64; layout.layers];
        for (node, layer) in drawing.nodes.iter().zip(&layout.layer) {
            widths[*layer] = widths[*layer].max(card_width(node));
        }
        // The gap after a layer holds the labels of what leaves it.
        let mut gaps = vec![LAYER_GAP; layout.layers];
        for edge in &drawing.edges {
            if let Some(choice) = &edge.choice {
                let gap = &mut gaps[layout.layer[edge.from]];
                *gap = gap.max(choice.chars().count() as f64 * NOTE_LETTER + LAYER_GAP / 2.0);
            }
        }
        let mut x = MARGIN;
        let mut columns = Vec::with_capacity(layout.layers);
        for (width, gap) in widths.iter().zip(&gaps) {
            columns.push((x, *width));
            x += width + gap;
        }
        let bends = layout.bends.iter().flatten();
        let lowest = layout.height.iter().chain(bends).copied().fold(0.0, f64::max);
        let right = columns.last().map_or(MARGIN, |(x, width)| x + width);
        let title = drawing.title.chars().count() as f64 * 9.2 + MARGIN;
        Self {
            width: right.max(title) + MARGIN,
            height: TITLE_HEIGHT + 2.0 * MARGIN + lowest * ROW + CARD_HEIGHT,
            layout,
            columns,
        }
    }

    /// The middle line of a height.
    fn y(height: f64) -> f64 {
        TITLE_HEIGHT + MARGIN + height * ROW + CARD_HEIGHT / 2.0
    }

    /// The left and right edge of a task's card, centred in its layer.
    fn sides(&self, task: usize, node: &Node) -> (f64, f64) {
        let (x, width) = self.columns[self.layout.layer[task]];
        let left = x + (width - card_width(node)) / 2.0;
        (left, left + card_width(node))
    }

    fn edge(&self, drawing: &Drawing, at: usize) -> String {
        let edge = &drawing.edges[at];
        let (_, from_x) = self.sides(edge.from, &drawing.nodes[edge.from]);
        let (to_x, _) = self.sides(edge.to, &drawing.nodes[edge.to]);
        let from_y = Self::y(self.layout.height[edge.from]);
        let mut path = format!("M{from_x:.1} {from_y:.1}");
        let (mut x, mut y) = (from_x, from_y);
        let mut curve = |to_x: f64, to_y: f64| {
            let middle = (x + to_x) / 2.0;
            path.push_str(&format!("C{middle:.1} {y:.1} {middle:.1} {to_y:.1} {to_x:.1} {to_y:.1}"));
            (x, y) = (to_x, to_y);
        };
        for (step, bend) in self.layout.bends[at].iter().enumerate() {
            // Straight past the cards of a layer, curved between layers.
            let (left, width) = self.columns[self.layout.layer[edge.from] + 1 + step];
            curve(left, Self::y(*bend));
            curve(left + width, Self::y(*bend));
        }
        curve(to_x - 2.0, Self::y(self.layout.height[edge.to]));
        let dashes = if edge.choice.is_some() { " stroke-dasharray=\"5 4\"" } else { "" };
        let mut out = format!("<path class=\"edge\" marker-end=\"url(#tip)\" d=\"{path}\"{dashes}/>\n");
        if let Some(choice) = &edge.choice {
            // Where the line comes in straight: before the next layer, just above it.
            let (first_x, first) = match self.layout.bends[at].first() {
                Some(bend) => (self.columns[self.layout.layer[edge.from] + 1].0, *bend),
                None => (to_x, self.layout.height[edge.to]),
            };
            out.push_str(&format!(
                "<text class=\"label\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                first_x - 14.0,
                Self::y(first) - 6.0,
                escaped(choice)
            ));
        }
        out
    }

    fn card(&self, node: &Node, at: usize) -> String {
        let (left, right) = self.sides(at, node);
        let middle = Self::y(self.layout.height[at]);
        let (top, bottom) = (middle - CARD_HEIGHT / 2.0, middle + CARD_HEIGHT / 2.0);
        let (fill, stroke, letters) = colours(node.shape);
        let dashes =
            if node.gated { " stroke-dasharray=\"5 3\" stroke-width=\"2\"" } else { " stroke-width=\"1.3\"" };
        let paint = format!("fill=\"{fill}\" stroke=\"{stroke}\"{dashes}");
        let width = right - left;
        let rect = |x: f64, y: f64, radius: f64| {
            format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{CARD_HEIGHT}\" rx=\"{radius}\" {paint}/>"
            )
        };
        let body = match node.shape {
            Shape::Work => rect(left, top, 6.0),
            // Cards upon each other.
            Shape::Mapped => {
                let behind = rect(left + 5.0, top - 5.0, 6.0);
                format!("{behind}{}", rect(left, top, 6.0))
            }
            Shape::Branch => {
                let point = CARD_HEIGHT / 4.0;
                format!(
                    "<path d=\"M{left:.1} {middle:.1}L{:.1} {top:.1}H{:.1}L{right:.1} {middle:.1}L{:.1} {bottom:.1}H{:.1}z\" {paint}/>",
                    left + point,
                    right - point,
                    right - point,
                    left + point
                )
            }
            Shape::Wait => rect(left, top, CARD_HEIGHT / 2.0),
            Shape::Light => rect(left, top, 14.0),
            // A drum lying on its side.
            Shape::Data => format!(
                "<path d=\"M{0:.1} {top:.1}H{1:.1}C{right:.1} {top:.1} {right:.1} {bottom:.1} {1:.1} {bottom:.1}H{0:.1}\
                 C{left:.1} {bottom:.1} {left:.1} {top:.1} {0:.1} {top:.1}C{2:.1} {top:.1} {2:.1} {bottom:.1} {0:.1} {bottom:.1}\" {paint}/>",
                left + 8.0,
                right - 8.0,
                left + 16.0
            ),
        };
        let centre = (left + right) / 2.0;
        let (name_y, note_y) = (middle - 3.0, middle + 12.0);
        let (name, note) = (escaped(&node.name), escaped(&node.note));
        format!(
            "<g fill=\"{letters}\" text-anchor=\"middle\">{body}<text class=\"name\" x=\"{centre:.1}\" \
             y=\"{name_y:.1}\">{name}</text><text class=\"note\" x=\"{centre:.1}\" y=\"{note_y:.1}\">{note}</text></g>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
