//! A YAML document as a tree in which every key and value knows its place.
//!
//! The tree is bounded before it is built: file size, nesting and the number of nodes after
//! aliases are expanded. Every function that walks it may therefore recurse.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use granit_parser::{Event, Options, Parser, ScalarStyle};

use crate::diagnostic::{Code, Diagnostic, Lines, Span};

/// The largest file that is read, in bytes. Pipelines of 10,000 tasks stay well below it.
pub const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;
/// The deepest nesting of mappings and sequences.
pub const MAX_DEPTH: usize = 64;
/// The most nodes a file may hold once its aliases are expanded.
pub const MAX_NODES: usize = 500_000;

/// One value of the document and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// What a node holds, after YAML's core schema was applied to plain scalars.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A quoted, block or plain scalar. `content_at` is where its text starts in the file, when
    /// it stands there unchanged, so that a caret can point inside it.
    Text {
        text: String,
        content_at: Option<usize>,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

impl Node {
    /// The word for what was found, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text { .. } => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The entries, where this is a mapping.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under `key`, where this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// The tree of a JSON value, all of it at one place.
    pub(crate) fn of_json(value: &serde_json::Value, span: Span) -> Self {
        use serde_json::Value as Json;
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Value::Int(value),
                None => Value::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Value::Text { text: text.clone(), content_at: None },
            Json::Array(items) => Value::List(items.iter().map(|item| Self::of_json(item, span)).collect()),
            Json::Object(fields) => {
                let entry = |(key, value): (&String, &Json)| Entry {
                    key: key.clone(),
                    key_span: span,
                    value: Self::of_json(value, span),
                };
                Value::Map(fields.iter().map(entry).collect())
            }
        };
        Self { value, span }
    }

    /// The plain JSON that this node stands for.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Float(value) => Json::from(*value),
            Value::Text { text, .. } => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }
}

/// Parses a document. The tree is absent when the text is not YAML or passes a limit; duplicate
/// keys are reported and the first of them is kept.
pub(crate) fn parse(text: &[u8], diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    if text.len() > MAX_FILE_BYTES {
        diagnostics.push(
            Diagnostic::error(
                Code::FileTooLarge,
                Span::default(),
                format!("the file has {} bytes, the limit is {MAX_FILE_BYTES}", text.len()),
            )
            .help("move data out of the file: a matrix, a mapped task or a task's own input holds it better"),
        );
        return None;
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            diagnostics.push(
                Diagnostic::error(
                    Code::NotUtf8,
                    Span::new(at, at),
                    format!("the file is not UTF-8: byte {at} does not belong to a character"),
                )
                .help("save the file as UTF-8"),
            );
            return None;
        }
    };
    Builder { text, lines: OnceCell::new(), nodes: 0, anchors: BTreeMap::new(), diagnostics }.document()
}

/// A collection whose end was not read yet.
enum Open {
    List { items: Vec<Node>, start: usize, anchor: usize },
    Map { entries: Vec<Entry>, key: Option<(String, Span)>, start: usize, anchor: usize },
}

struct Builder<'a> {
    text: &'a str,
    lines: OnceCell<Lines<'a>>,
    nodes: usize,
    /// Finished anchored nodes with their size, by the parser's anchor number.
    anchors: BTreeMap<usize, (Node, usize)>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Builder<'_> {
    fn document(mut self) -> Option<Node> {
        let mut options = Options::default();
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        let mut parser = Parser::new_from_str_with_options(self.text, options);
        let mut open: Vec<Open> = Vec::new();
        let mut root: Option<Node> = None;
        let mut documents = 0;
        loop {
            let (event, span) = match parser.next_event() {
                None => break,
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    self.scan_error(&error);
                    return None;
                }
            };
            let range = span.byte_range().unwrap_or(0..0);
            let span = Span::new(range.start, range.end);
            let finished = match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        self.syntax(
                            span,
                            "the file holds more than one YAML document",
                            "keep one pipeline per file",
                        );
                        return None;
                    }
                    None
                }
                Event::Scalar(text, style, anchor, _) => {
                    let node = self.scalar(&text, style, span);
                    self.nodes += 1;
                    self.remember(anchor, &node, 1);
                    Some(node)
                }
                Event::Alias(anchor) => {
                    let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                        self.syntax(span, "an alias refers to the value it stands in", "write the value out");
                        return None;
                    };
                    self.nodes += size;
                    Some(node)
                }
                Event::SequenceStart(_, anchor, _) => {
                    open.push(Open::List { items: Vec::new(), start: span.start, anchor });
                    None
                }
                Event::MappingStart(_, anchor, _) => {
                    open.push(Open::Map { entries: Vec::new(), key: None, start: span.start, anchor });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    self.nodes += 1;
                    open.pop().map(|collection| self.close(collection, span.end))
                }
                _ => None,
            };
            if self.nodes > MAX_NODES {
                self.diagnostics.push(
                    Diagnostic::error(
                        Code::TooManyNodes,
                        span,
                        format!("the file holds more than {MAX_NODES} values once its aliases are expanded"),
                    )
                    .help("aliases of aliases multiply: write the value out, or use `defaults`"),
                );
                return None;
            }
            if open.len() > MAX_DEPTH {
                self.too_deep(span);
                return None;
            }
            if let Some(node) = finished {
                match open.last_mut() {
                    None => root = Some(node),
                    Some(Open::List { items, .. }) => items.push(node),
                    Some(Open::Map { entries, key, .. }) => match key.take() {
                        None => *key = Some(self.key(node)?),
                        Some((name, key_span)) => {
                            entries.push(Entry { key: name, key_span, value: node });
                        }
                    },
                }
            }
        }
        Some(root.unwrap_or(Node { value: Value::Null, span: Span::default() }))
    }

    fn close(&mut self, collection: Open, end: usize) -> Node {
        let (value, start, anchor) = match collection {
            Open::List { items, start, anchor } => (Value::List(items), start, anchor),
            Open::Map { entries, start, anchor, .. } => (Value::Map(self.unique(entries)), start, anchor),
        };
        let node = Node { value, span: Span::new(start, end.max(start)) };
        if anchor != 0 {
            let size = size(&node);
            self.remember(anchor, &node, size);
        }
        node
    }

    /// Reports keys that stand twice and keeps the first of each.
    fn unique(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            match seen.get(&entry.key) {
                Some(first) => {
                    let line = self.lines.get_or_init(|| Lines::new(self.text)).position(first.start).line;
                    self.diagnostics.push(
                        Diagnostic::error(
                            Code::DuplicateKey,
                            entry.key_span,
                            format!("`{}` is already set on line {line}", entry.key),
                        )
                        .help("keep one of the two"),
                    );
                }
                None => {
                    seen.insert(entry.key.clone(), entry.key_span);
                    kept.push(entry);
                }
            }
        }
        kept
    }

    fn key(&mut self, node: Node) -> Option<(String, Span)> {
        let name = match node.value {
            Value::Text { text, .. } => text,
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                self.text.get(node.span.start..node.span.end).unwrap_or_default().to_owned()
            }
            Value::List(_) | Value::Map(_) => {
                self.syntax(node.span, "a key is a list or a mapping", "keys are plain words");
                return None;
            }
        };
        Some((name, node.span))
    }

    fn remember(&mut self, anchor: usize, node: &Node, size: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, span: Span) -> Node {
        let written = |quote: usize| {
            let from = span.start + quote;
            let content_at = (self.text.get(from..from + text.len()) == Some(text)).then_some(from);
            Value::Text { text: text.to_owned(), content_at }
        };
        let value = match style {
            ScalarStyle::Plain => plain(text).unwrap_or_else(|| written(0)),
            _ => written(1),
        };
        Node { value, span }
    }

    fn scan_error(&mut self, error: &granit_parser::ScanError) {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.text.len());
        let span = Span::new(at, at);
        if matches!(error.kind(), granit_parser::ErrorKind::RecursionLimitExceeded) {
            self.too_deep(span);
        } else {
            self.syntax(
                span,
                &format!("this is not YAML: {}", error.info()),
                "check the indentation and the quotes on this line and the one above",
            );
        }
    }

    fn too_deep(&mut self, span: Span) {
        self.diagnostics.push(
            Diagnostic::error(
                Code::TooDeep,
                span,
                format!("mappings and lists are nested more than {MAX_DEPTH} deep"),
            )
            .help("no setting needs such nesting: look for a bracket that is not closed"),
        );
    }

    fn syntax(&mut self, span: Span, message: &str, help: &str) {
        self.diagnostics.push(Diagnostic::error(Code::NotYaml, span, message.to_owned()).help(help));
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
        _ => 0,
    }
}

/// Applies the core schema of YAML 1.2 to a plain scalar; none where it is a string.
/// Source: <https://yaml.org/spec/1.2.2/#1032-tag-resolution>.
fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(Value::Int);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).ok().map(Value::Int);
    }
    if let Ok(value) = text.parse::<i64>() {
        return Some(Value::Int(value));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::Float);
    }
    None
}
