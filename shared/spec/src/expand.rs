//! What is written elsewhere becomes part of a pipeline's tree, before anything of it is read: task
//! templates (`uses`, `with`) and what the environment sets anew. Nodes that come from another file keep
//! the place where they were written: see [`Texts`].

use std::sync::Arc;

use cauce_model::params::ParamSpec;
use indexmap::IndexMap;

use crate::diagnostic::{Code, Diagnostic, Lines, Span};
use crate::file::fragment::{Source, TaskTemplate};
use crate::file::kind::Kind;
use crate::file::project::Project;
use crate::file::task::deepen;
use crate::shape::{Name, suggest, wrap};
use crate::tree::{Entry, Node, Value};

/// Settings that a template cannot have: they place one task in one pipeline's graph.
pub(crate) const OF_ONE_TASK: [&str; 4] = ["needs", "setup", "teardown_of", "fallback_for"];

/// Several files as one text: the first is the pipeline's own, each further one begins behind the one
/// before it. A span then says which file it is in, and nothing else has to carry it.
pub(crate) struct Texts {
    own: usize,
    others: Vec<(usize, Arc<Source>)>,
}

impl Texts {
    pub(crate) fn new(text: &[u8]) -> Self {
        Self { own: text.len(), others: Vec::new() }
    }

    /// Where a file begins.
    pub(crate) fn base(&mut self, source: &Arc<Source>) -> usize {
        if let Some((base, _)) = self.others.iter().find(|(_, known)| Arc::ptr_eq(known, source)) {
            return *base;
        }
        let base = match self.others.last() {
            None => self.own + 1,
            Some((base, last)) => base + last.text.len() + 1,
        };
        self.others.push((base, Arc::clone(source)));
        base
    }

    /// A node with the spans that it has in all the texts together.
    fn place(&mut self, node: &Node, source: &Arc<Source>) -> Node {
        let mut node = node.clone();
        shift(&mut node, self.base(source));
        node
    }

    /// Gives what was found in another file that file's own places.
    pub(crate) fn resolve(&self, diagnostic: &mut Diagnostic) {
        let at = diagnostic.span.start;
        let Some((base, source)) = self.others.iter().rev().find(|(base, _)| *base <= at) else { return };
        diagnostic.span = Span::new(at - base, diagnostic.span.end.saturating_sub(*base));
        diagnostic.position = Lines::new(&source.text).position(diagnostic.span.start);
        diagnostic.source = Some(Arc::clone(source));
    }
}

pub(crate) fn shift(node: &mut Node, by: usize) {
    let moved = |span: Span| Span::new(span.start + by, span.end + by);
    node.span = moved(node.span);
    match &mut node.value {
        Value::Text { content_at, .. } => *content_at = content_at.map(|at| at + by),
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Value::Map(entries) => {
            for entry in entries {
                entry.key_span = moved(entry.key_span);
                shift(&mut entry.value, by);
            }
        }
        _ => {}
    }
}

/// Merges what the environment sets anew for this pipeline over what its file says.
pub(crate) fn environment(root: &mut Node, project: &Project, environment: &str, texts: &mut Texts) {
    let Some(Value::Text { text: name, .. }) = root.get("pipeline").map(|entry| &entry.value.value) else {
        return;
    };
    let Some(overrides) =
        project.environments.get(environment).and_then(|found| found.pipelines.get(name.as_str()))
    else {
        return;
    };
    let mut above = texts.place(&overrides.0.node, &overrides.0.source);
    let (Value::Map(above), Value::Map(own)) = (&mut above.value, &mut root.value) else { return };
    for mut entry in above.drain(..) {
        if entry.key == "priority" {
            // A pipeline has none of its own: it is what its tasks have, unless they say otherwise.
            let (key_span, span) = (entry.key_span, entry.value.span);
            let value = Node { value: Value::Map(vec![entry]), span };
            entry = Entry { key: "defaults".to_owned(), key_span, value };
        }
        let Some(own) = own.iter_mut().find(|own| own.key == entry.key) else {
            own.push(entry);
            continue;
        };
        lengthen(&entry.key.clone(), &mut entry.value);
        lengthen(&entry.key, &mut own.value);
        if !other_tick(&entry, &own.value) {
            // What is said here wins over the file, key by key.
            deepen(&own.value, &mut entry.value);
        }
        own.value = entry.value;
    }
}

/// Makes every case of a schedule a schedule of its own: what stands beside the cases goes for each.
pub(crate) fn cases(root: &mut Node) {
    let Value::Map(entries) = &mut root.value else { return };
    let Some(schedule) = entries.iter_mut().find(|entry| entry.key == "schedule") else { return };
    let Value::Map(settings) = &mut schedule.value.value else { return };
    if !settings.iter().any(|entry| entry.key == "cases" && matches!(entry.value.value, Value::Map(_))) {
        return;
    }
    let ours = |key: &str| matches!(key, "select" | "cases");
    let shared: Vec<Entry> = settings.iter().filter(|entry| !ours(&entry.key)).cloned().collect();
    settings.retain(|entry| ours(&entry.key));
    let cases = settings.iter_mut().find(|entry| entry.key == "cases");
    let Some(Value::Map(cases)) = cases.map(|entry| &mut entry.value.value) else { return };
    for case in cases {
        lengthen("schedule", &mut case.value);
        let above = Node { value: Value::Map(shared.clone()), span: case.value.span };
        deepen(&above, &mut case.value);
    }
}

/// Writes a setting in full that stands in its short form, so that it can be merged by keys.
pub(crate) fn lengthen(key: &str, node: &mut Node) {
    let short = match key {
        "schedule" => "cron",
        "deadline" => "after",
        "retry" => "retries",
        "breaker" | "rate_limit" => "name",
        "idempotency" => "key",
        _ => return,
    };
    if matches!(node.value, Value::List(_)) {
        return;
    }
    if let Some(long) = wrap(node, short) {
        *node = long;
    }
}

/// Whether an override of a schedule says when it ticks, in another manner than the file: the two
/// cannot stand together.
fn other_tick(entry: &Entry, own: &Node) -> bool {
    const TICKS: [&str; 5] = ["cron", "rate", "at", "open", "close"];
    let of = |node: &Node| TICKS.into_iter().find(|key| node.get(key).is_some());
    entry.key == "schedule" && matches!((of(&entry.value), of(own)), (Some(new), Some(old)) if new != old)
}

/// Puts the template of every task that `uses` one in its place.
pub(crate) fn templates(
    root: &mut Node,
    project: &Project,
    texts: &mut Texts,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Value::Map(entries) = &mut root.value else { return };
    let tasks = entries.iter_mut().find(|entry| entry.key == "tasks");
    let Some(Value::Map(tasks)) = tasks.map(|entry| &mut entry.value.value) else { return };
    let mut expander = Expander { project, texts, diagnostics, stack: Vec::new(), route: String::new() };
    for task in tasks {
        expander.route = format!("tasks.{}", task.key);
        expander.task(&mut task.value);
    }
}

struct Expander<'a> {
    project: &'a Project,
    texts: &'a mut Texts,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// The templates that are being filled in, outermost first.
    stack: Vec<Name>,
    route: String,
}

impl Expander<'_> {
    fn task(&mut self, task: &mut Node) {
        let Some(uses) = task.get("uses").cloned() else { return };
        let with = task.get("with").cloned();
        let filled = self.filled(&uses, with.as_ref(), task.span);
        let Value::Map(own) = &mut task.value else { return };
        own.retain(|entry| !matches!(entry.key.as_str(), "uses" | "with"));
        let Some(Node { value: Value::Map(body), .. }) = filled else {
            // It was reported; the task keeps its place in the graph.
            own.retain(|entry| !Kind::KEYS.contains(&entry.key.as_str()));
            let value = Node { value: Value::Map(Vec::new()), span: uses.value.span };
            own.push(Entry { key: "pass".to_owned(), key_span: uses.key_span, value });
            return;
        };
        for entry in own.iter() {
            let is_kind = Kind::KEYS.contains(&entry.key.as_str())
                && (entry.key != "notify" || Kind::is_message(&entry.value));
            let message = if is_kind {
                format!("`{}` says what the task does, and so does its template", entry.key)
            } else if body.iter().any(|given| given.key == entry.key) {
                format!("`{}` is set by the template too", entry.key)
            } else {
                continue;
            };
            self.diagnostics.push(
                Diagnostic::error(Code::TemplateSetting, entry.key_span, message)
                    .help("leave it out here, or make it a parameter of the template")
                    .at(format!("{}.{}", self.route, entry.key)),
            );
        }
        own.retain(|entry| !body.iter().any(|given| given.key == entry.key));
        own.extend(body);
    }

    /// The body of a template with its values in place.
    fn filled(&mut self, uses: &Entry, with: Option<&Entry>, task: Span) -> Option<Node> {
        let at = |key: &str, route: &str| format!("{route}.{key}");
        let error = |code, span, message: String, help: String, route: String| {
            Diagnostic::error(code, span, message).help(help).at(route)
        };
        let Value::Text { text: name, .. } = &uses.value.value else {
            let message = format!("expected the name of a template, found {}", uses.value.kind());
            let help = "write `uses: <name>`".to_owned();
            let route = at("uses", &self.route);
            self.diagnostics.push(error(Code::WrongType, uses.value.span, message, help, route));
            return None;
        };
        let Some((name, template)) = self.project.templates.get_key_value(name.as_str()) else {
            let known = self.project.templates.keys().map(|name| name.as_str());
            let near = suggest::help(name, known);
            let help = format!(
                "templates are under `templates` in cauce.yaml and in its folder `templates`; {near}"
            );
            let message = format!("there is no template `{name}`");
            let route = at("uses", &self.route);
            let help = help.trim_end_matches("; ").to_owned();
            self.diagnostics.push(error(Code::UnknownTemplate, uses.value.span, message, help, route));
            return None;
        };
        if self.stack.contains(name) {
            let chain: Vec<&str> = self.stack.iter().chain([name]).map(|name| name.as_str()).collect();
            let message = format!("the template uses itself: {}", chain.join(", "));
            let help = "a template may use others, never one that leads back to it".to_owned();
            let route = at("uses", &self.route);
            self.diagnostics.push(error(Code::TemplateCycle, uses.value.span, message, help, route));
            return None;
        }
        let values = self.values(
            name,
            &template.params,
            with,
            if uses.key_span.end > 0 { uses.key_span } else { task },
        )?;
        let mut body = self.texts.place(&template.task.node, &template.task.source);
        let mut filler = Filler { values: &values, problems: Vec::new() };
        filler.node(&mut body);
        let problems = filler.problems;
        if !problems.is_empty() {
            for (span, message, help) in problems {
                self.diagnostics.push(error(Code::TemplateValue, span, message, help, self.route.clone()));
            }
            return None;
        }
        self.stack.push(name.clone());
        self.task(&mut body);
        self.stack.pop();
        Some(body)
    }

    /// The value of each parameter: what the task gives, or the template's own.
    fn values(
        &mut self,
        name: &Name,
        params: &IndexMap<Name, ParamSpec>,
        with: Option<&Entry>,
        uses: Span,
    ) -> Option<IndexMap<String, Node>> {
        let before = self.diagnostics.len();
        let route = format!("{}.with", self.route);
        let mut report = |span: Span, message: String, help: String, key: &str| {
            let route = if key.is_empty() { route.clone() } else { format!("{route}.{key}") };
            self.diagnostics.push(Diagnostic::error(Code::TemplateValue, span, message).help(help).at(route));
        };
        let given: &[Entry] = match with.map(|with| &with.value.value) {
            None | Some(Value::Null) => &[],
            Some(Value::Map(entries)) => entries,
            Some(_) => {
                let span = with.map_or(uses, |with| with.value.span);
                report(
                    span,
                    "expected a mapping of values".to_owned(),
                    "write `with: {<parameter>: <value>}`".to_owned(),
                    "",
                );
                return None;
            }
        };
        let mut values = IndexMap::new();
        for entry in given {
            let Some(spec) = params.get(entry.key.as_str()) else {
                let known: Vec<&str> = params.keys().map(|name| name.as_str()).collect();
                let help = match suggest::help(&entry.key, known.iter().copied()) {
                    help if help.is_empty() => format!(
                        "it has {}",
                        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                    ),
                    help => help,
                };
                report(
                    entry.key_span,
                    format!("the template `{name}` has no parameter `{}`", entry.key),
                    help,
                    &entry.key,
                );
                continue;
            };
            // A value that only a run, or an environment, knows is checked where it is used.
            let later = matches!(&entry.value.value, Value::Text { text, .. } if text.contains("{{") || text.contains("{%"));
            if !later && let Err(problem) = spec.check(&entry.value.to_json()) {
                let help = format!("the template declares `{}: {{type: {}}}`", entry.key, spec.kind.as_str());
                report(
                    entry.value.span,
                    format!("`{}` does not fit: {problem}", entry.key),
                    help,
                    &entry.key,
                );
                continue;
            }
            values.insert(entry.key.clone(), entry.value.clone());
        }
        for (param, spec) in params {
            if given.iter().any(|entry| entry.key == param.as_str()) {
                continue;
            }
            match &spec.default {
                Some(value) => {
                    values.insert(param.to_string(), Node::of_json(value, uses));
                }
                None => {
                    let what = spec.description.as_ref().map(|what| format!(", {what}")).unwrap_or_default();
                    let help = format!(
                        "add `with: {{{param}: ...}}`, {} {}{what}",
                        article(spec.kind.as_str()),
                        spec.kind.as_str()
                    );
                    report(uses, format!("the template `{name}` needs `{param}`"), help, "");
                }
            }
        }
        (self.diagnostics.len() == before).then_some(values)
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Puts values in the place of `${{ with.x }}`.
struct Filler<'a> {
    values: &'a IndexMap<String, Node>,
    problems: Vec<(Span, String, String)>,
}

impl Filler<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::List(items) => {
                items.iter_mut().for_each(|item| self.node(item));
            }
            Value::Map(entries) => {
                for entry in entries.iter_mut() {
                    if let Some(text) = self.text(&entry.key, entry.key_span) {
                        entry.key = text;
                    }
                    let given = !matches!(entry.value.value, Value::Null);
                    self.node(&mut entry.value);
                    // A parameter that is null takes the setting away that it stands for.
                    if given && matches!(entry.value.value, Value::Null) {
                        entry.key.clear();
                    }
                }
                entries.retain(|entry| !entry.key.is_empty());
            }
            Value::Text { text, .. } => {
                if let Some(value) = whole(text).and_then(|name| self.values.get(name)) {
                    *node = value.clone();
                } else if let Some(text) = self.text(text, node.span) {
                    node.value = Value::Text { text, content_at: None };
                }
            }
            _ => {}
        }
    }

    /// The text with its values, or none where it has no placeholder of ours.
    fn text(&mut self, text: &str, span: Span) -> Option<String> {
        if !text.contains("${{") {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Other(other) => out.push_str(other),
                Piece::With { name, place } => {
                    // The declaration was checked for names that it does not have.
                    let Some(value) = self.values.get(name) else { continue };
                    match written(value, place) {
                        Ok(text) => out.push_str(&text),
                        Err((problem, help)) => {
                            self.problems.push((span, format!("`with.{name}` {problem}"), help.to_owned()));
                        }
                    }
                }
            }
        }
        Some(out)
    }
}

/// How a value is written at its place, or why it cannot be.
fn written(value: &Node, place: Place) -> Result<String, (&'static str, &'static str)> {
    match place {
        Place::Quoted => Err((
            "stands inside a quoted text of an expression",
            "take it out of the quotes: `\"...\" ~ ${{ with.x }}`",
        )),
        Place::Text => match &value.value {
            Value::Text { text, .. } => Ok(text.clone()),
            Value::Null => Ok(String::new()),
            Value::List(_) | Value::Map(_) => Err((
                "is a list or a mapping in the middle of a text",
                "let the placeholder be the whole value",
            )),
            _ => Ok(value.to_json().to_string()),
        },
        Place::Expression => match &value.value {
            Value::Text { text, .. } if text.contains("{{") || text.contains("{%") => Err((
                "is rendered by a run, and stands in an expression that is rendered by it too",
                "let the placeholder stand outside `{{ }}`, or give a plain value",
            )),
            Value::Null => Ok("none".to_owned()),
            _ => Ok(value.to_json().to_string()),
        },
    }
}

/// Where in a text a placeholder stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Text,
    Expression,
    Quoted,
}

#[derive(PartialEq, Eq, Debug)]
enum Piece<'a> {
    Other(&'a str),
    With { name: &'a str, place: Place },
}

/// The parameter, where a text is one placeholder and nothing else.
fn whole(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    if inside.contains("}}") {
        return None;
    }
    inside.trim().strip_prefix("with.")
}

/// Cuts a text at its `${{ with.x }}`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let (mut from, mut at) = (0, 0);
    // The brackets that close the expression, and the quote that is open in it.
    let (mut close, mut quote): (Option<&str>, Option<char>) = (None, None);
    while let Some(character) = text[at..].chars().next() {
        let rest = &text[at..];
        if rest.starts_with("${{") {
            let length = rest.find("}}").map_or(rest.len(), |end| end + 2);
            if let Some(name) = whole(&rest[..length]) {
                out.push(Piece::Other(&text[from..at]));
                let place = match (close, quote) {
                    (None, _) => Place::Text,
                    (Some(_), None) => Place::Expression,
                    (Some(_), Some(_)) => Place::Quoted,
                };
                out.push(Piece::With { name, place });
                from = at + length;
            }
            at += length;
            continue;
        }
        match (close, quote) {
            (None, _) if rest.starts_with("{{") => close = Some("}}"),
            (None, _) if rest.starts_with("{%") => close = Some("%}"),
            (Some(_), Some(open)) if character == '\\' && rest.len() > 1 && open != '\\' => {
                at += 1;
                at += text[at..].chars().next().map_or(0, char::len_utf8);
                continue;
            }
            (Some(_), Some(open)) if character == open => quote = None,
            (Some(_), None) if character == '"' || character == '\'' => quote = Some(character),
            (Some(end), None) if rest.starts_with(end) => close = None,
            _ => {}
        }
        at += character.len_utf8();
    }
    out.push(Piece::Other(&text[from..]));
    out
}

/// Reports what a template says of itself that no task could fill in.
pub(crate) fn declared(template: &TaskTemplate, route: &str, diagnostics: &mut Vec<Diagnostic>) {
    for entry in template.task.node.entries().unwrap_or_default() {
        if OF_ONE_TASK.contains(&entry.key.as_str()) {
            diagnostics.push(
                Diagnostic::error(
                    Code::TemplateSetting,
                    entry.key_span,
                    format!("`{}` cannot be part of a template", entry.key),
                )
                .help("it belongs to one task of one pipeline: write it beside `uses`")
                .at(format!("{route}.task.{}", entry.key)),
            );
        }
    }
    let known: Vec<&str> = template.params.keys().map(|name| name.as_str()).collect();
    names(&template.task.node, &mut |name, span| {
        if !known.contains(&name) {
            let near = suggest::help(name, known.iter().copied());
            let help = if near.is_empty() {
                format!("declare it: `params: {{{name}: {{type: string}}}}`")
            } else {
                near
            };
            diagnostics.push(
                Diagnostic::error(Code::UnknownName, span, format!("the template has no parameter `{name}`"))
                    .help(help)
                    .at(format!("{route}.task")),
            );
        }
    });
}

/// Every parameter that a tree reads, with its place.
fn names(node: &Node, see: &mut impl FnMut(&str, Span)) {
    let mut text = |text: &str, span: Span| {
        for piece in pieces(text) {
            if let Piece::With { name, .. } = piece {
                see(name, span);
            }
        }
    };
    match &node.value {
        Value::Text { text: own, .. } => text(own, node.span),
        Value::List(items) => items.iter().for_each(|item| names(item, see)),
        Value::Map(entries) => {
            for entry in entries {
                text(&entry.key, entry.key_span);
            }
            entries.iter().for_each(|entry| names(&entry.value, see));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_knows_whether_it_stands_in_an_expression() {
        let places = |text: &str| -> Vec<Place> {
            let of = |piece: &Piece<'_>| match piece {
                Piece::With { place, .. } => Some(*place),
                Piece::Other(_) => None,
            };
            pieces(text).iter().filter_map(of).collect()
        };
        assert_eq!(places("s3://${{ with.a }}/{{ ds }}/${{with.b}}"), [Place::Text, Place::Text]);
        assert_eq!(places("{{ x > ${{ with.a }} }} ${{ with.b }}"), [Place::Expression, Place::Text]);
        assert_eq!(places("{% if '}}' ~ ${{ with.a }} %}"), [Place::Expression]);
        assert_eq!(places("{{ 'a\\'${{ with.a }}' }}"), [Place::Quoted]);
        assert_eq!(places("${{ env.a }} ${{ with"), []);
    }
}
