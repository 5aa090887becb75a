//! How diagnostics are shown: as text with the line and a caret, and as JSON.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde_json::{Value as Json, json};

use crate::diagnostic::{Diagnostic, Severity};

/// Lines longer than this, in bytes, are shown as the part around the caret.
const MAX_SHOWN_LINE: usize = 400;

/// The diagnostics of one file as text, each with its line, a caret, its route and help, in the
/// order given. `color` adds terminal escapes; a caller that honours `NO_COLOR` passes false.
pub fn text(diagnostics: &[Diagnostic], file_name: &str, source: &[u8], color: bool) -> String {
    let source = String::from_utf8_lossy(source);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        if !out.is_empty() {
            out.push_str("\n\n");
        }
        let (file_name, source) = match &diagnostic.source {
            Some(other) => (other.name.as_str(), other.text.as_str()),
            None => (file_name, &*source),
        };
        out.push_str(&one(diagnostic, file_name, source, &renderer));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// The diagnostics of one file as JSON: `{file, diagnostics: [{code, severity, route, line,
/// column, span: {start, end}, message, help}]}`.
pub fn json(diagnostics: &[Diagnostic], file_name: &str) -> Json {
    json!({"file": file_name, "diagnostics": diagnostics})
}

fn one(diagnostic: &Diagnostic, file_name: &str, source: &str, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (line, caret) = around(source, diagnostic.span.start..diagnostic.span.end);
    let position = diagnostic.position;
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code.as_str());
    let label = Some(diagnostic.route.as_str()).filter(|route| !route.is_empty());
    let annotation = AnnotationKind::Primary.span(caret).label(label);
    let snippet = Snippet::source(line.text).line_start(position.line).annotation(annotation);
    let mut group = if line.cut {
        // The snippet would count columns from where it was cut.
        let origin = Origin::path(file_name).line(position.line).char_column(position.column);
        title.element(origin).element(snippet)
    } else {
        title.element(snippet.path(file_name))
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    renderer.render(&[group])
}

/// A line of the file, or the part of it that is shown.
struct Line<'a> {
    text: &'a str,
    /// Its start is missing.
    cut: bool,
}

/// The line of a span, or the part of it near the span, and the span inside that text. A span over
/// several lines is cut at the end of the first.
fn around(source: &str, span: Range<usize>) -> (Line<'_>, Range<usize>) {
    let start = floor(source, span.start);
    let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = source[start..].find('\n').map_or(source.len(), |at| start + at);
    let end = floor(source, span.end.clamp(start, line_end));
    let from = floor(source, line_start.max(start.saturating_sub(MAX_SHOWN_LINE / 2)));
    let to = floor(source, line_end.min(from + MAX_SHOWN_LINE)).max(end.min(from + 2 * MAX_SHOWN_LINE));
    let to = floor(source, to).max(start);
    let shown = source[from..to].trim_end_matches('\r');
    let inside = |at: usize| (at - from).min(shown.len());
    (Line { text: shown, cut: from > line_start }, inside(start)..inside(end).max(inside(start)))
}

/// The nearest character boundary at or before `at`.
fn floor(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}
