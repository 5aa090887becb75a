//! The decoder's state: where it is, what it reported, which templates it met.

use std::fmt::Write;
use std::ops::RangeInclusive;

use cauce_template::Template;

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::shape::{Shape, suggest};
use crate::tree::{Entry, Node, Value};

/// One step of a route.
#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// A template of the file, kept until all names are known.
#[derive(Debug)]
pub(crate) struct TemplateUse {
    pub(crate) template: Template,
    pub(crate) route: String,
    /// The task it belongs to.
    pub(crate) task: Option<String>,
    pub(crate) span: Span,
    /// Where its text starts in the file, when a caret can point inside it.
    pub(crate) content_at: Option<usize>,
}

/// Reads a tree into types.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) templates: Vec<TemplateUse>,
    route: Vec<Step>,
    /// Missing keys are no error: what is read are defaults.
    partial: bool,
    /// What a mapping at this depth stands in has these keys of its own.
    outer: Option<(usize, &'static [&'static str])>,
    /// How many near names were looked for; see [`Reader::suggest`].
    searches: usize,
}

/// Looking for a near name costs as much as there are names, so a file of wrong names gets only
/// this many suggestions.
const MAX_SEARCHES: usize = 100;

impl Reader {
    /// A reader that goes on reporting after what was found already.
    pub(crate) fn new(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics, ..Self::default() }
    }

    pub(crate) fn route(&self) -> String {
        let mut out = String::new();
        for step in &self.route {
            match step {
                Step::Key(key) if out.is_empty() => out.push_str(key),
                Step::Key(key) => {
                    out.push('.');
                    out.push_str(key);
                }
                Step::Index(index) => {
                    let _ = write!(out, "[{index}]");
                }
            }
        }
        out
    }

    pub(crate) fn under<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.route.push(Step::Key(key.to_owned()));
        let out = read(self);
        self.route.pop();
        out
    }

    pub(crate) fn item<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        self.route.push(Step::Index(index));
        let out = read(self);
        self.route.pop();
        out
    }

    /// Reads a mapping right below, whose writer may have meant one of these keys of what it stands in.
    pub(crate) fn within<T>(
        &mut self,
        keys: &'static [&'static str],
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = self.outer.replace((self.route.len() + 1, keys));
        let out = read(self);
        self.outer = before;
        out
    }

    /// The help for a key that is unknown here and known beside the mapping that it is in.
    fn beside(&self, key: &str) -> Option<String> {
        let (depth, keys) = self.outer?;
        let Some(Step::Key(mapping)) = self.route.last().filter(|_| self.route.len() == depth) else {
            return None;
        };
        let known = keys.contains(&key);
        known.then(|| format!("`{key}` belongs to the task: write it beside `{mapping}:`, not in it"))
    }

    /// Reads with missing keys allowed.
    pub(crate) fn partially<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.partial, true);
        let out = read(self);
        self.partial = before;
        out
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        let diagnostic = if diagnostic.route.is_empty() { diagnostic.at(self.route()) } else { diagnostic };
        self.diagnostics.push(diagnostic);
    }

    pub(crate) fn error(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help = help.into();
        let diagnostic = Diagnostic::error(code, span, message.into());
        self.report(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    /// The help for an unknown word; empty once many words were unknown.
    pub(crate) fn suggest<'a>(
        &mut self,
        word: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> String {
        self.searches += 1;
        if self.searches > MAX_SEARCHES { String::new() } else { suggest::help(word, known) }
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &str) {
        self.error(
            Code::WrongType,
            node.span,
            format!("expected {expected}, found {}", node.kind()),
            match node.value {
                Value::Null => "give a value, or leave the key out",
                _ => "",
            },
        );
    }

    /// Reports a setting that a later release brings.
    pub(crate) fn unsupported(&mut self, span: Span, what: &str) {
        self.error(
            Code::UnsupportedSetting,
            span,
            format!("`{what}` is not supported yet"),
            "remove it: nothing would act on it",
        );
    }

    pub(crate) fn template(
        &mut self,
        node: &Node,
        text: &str,
        content_at: Option<usize>,
    ) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => {
                if !template.names().is_empty() {
                    self.templates.push(TemplateUse {
                        template: template.clone(),
                        route: self.route(),
                        task: self.task(),
                        span: node.span,
                        content_at,
                    });
                }
                Some(template)
            }
            Err(error) => {
                let letter = text.get(error.offset..).and_then(|rest| rest.chars().next());
                let length = letter.map_or(1, char::len_utf8);
                let span = content_at
                    .map_or(node.span, |at| Span::new(at + error.offset, at + error.offset + length));
                self.error(
                    Code::BadTemplate,
                    span,
                    format!("the template cannot be read: {}", error.message),
                    "",
                );
                None
            }
        }
    }

    fn task(&self) -> Option<String> {
        match self.route.as_slice() {
            [Step::Key(section), Step::Key(task), ..] if section == "tasks" => Some(task.clone()),
            _ => None,
        }
    }
}

/// The keys of one mapping, taken out one by one; what is left is unknown.
pub(crate) struct Fields<'a> {
    entries: &'a [Entry],
    span: Span,
    taken: Vec<bool>,
    hidden: Option<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens a mapping. `short` is the key that a bare scalar or list stands for.
    pub(crate) fn open(node: &'a Node, reader: &mut Reader, expected: &str) -> Option<Self> {
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                reader.wrong_type(node, expected);
                return None;
            }
        };
        Some(Self { entries, span: node.span, taken: vec![false; entries.len()], hidden: None })
    }

    /// Makes a key invisible to [`Fields::take`] until it is shown again.
    pub(crate) fn hide(&mut self, key: Option<&'static str>) {
        self.hidden = key;
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<&'a Entry> {
        if self.hidden == Some(key) {
            return None;
        }
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        self.taken[at] = true;
        Some(&self.entries[at])
    }

    /// A key that may be missing.
    pub(crate) fn optional<T: Shape>(&mut self, key: &str, reader: &mut Reader) -> Option<T> {
        let entry = self.take(key)?;
        reader.under(key, |reader| T::decode(&entry.value, reader))
    }

    /// A key that must be there.
    pub(crate) fn required<T: Shape>(&mut self, key: &str, reader: &mut Reader) -> Option<T> {
        if self.entries.iter().all(|entry| entry.key != key) {
            if !reader.partial {
                let span = self.entries.first().map_or(self.span, |entry| entry.key_span);
                reader.error(
                    Code::MissingKey,
                    span,
                    format!("`{key}` is missing"),
                    format!("add `{key}:` here"),
                );
            }
            return None;
        }
        self.optional(key, reader)
    }

    /// Keeps a value that is within its bounds and reports one that is not.
    pub(crate) fn within<T: Shape>(
        &self,
        key: &str,
        value: Option<T>,
        bounds: RangeInclusive<f64>,
        reader: &mut Reader,
    ) -> Option<T> {
        // One that is not there has its default, whose bounds are the code's.
        let Some(entry) = self.entries.iter().find(|entry| entry.key == key) else { return value };
        let span = entry.value.span;
        let Some(value) = value else {
            // Its type could not hold it.
            let refused = reader.diagnostics.last_mut();
            if let Some(refused) = refused.filter(|last| last.code == Code::OutOfRange && last.span == span) {
                refused.help = Some(format!("`{key}` goes from {} to {}", bounds.start(), bounds.end()));
            }
            return None;
        };
        let Some(number) = value.magnitude().filter(|number| !bounds.contains(number)) else {
            return Some(value);
        };
        reader.under(key, |reader| {
            reader.error(
                Code::OutOfRange,
                span,
                format!("`{key}` is {number}, outside {} to {}", bounds.start(), bounds.end()),
                "",
            );
        });
        None
    }

    /// Reports a key of a later release.
    pub(crate) fn later(&self, key: &str, reader: &mut Reader) {
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
            reader.under(key, |reader| reader.unsupported(entry.key_span, key));
        }
    }

    /// Reports every key that was not taken.
    pub(crate) fn close(self, known: &[&str], reader: &mut Reader) {
        for (entry, taken) in self.entries.iter().zip(&self.taken) {
            if *taken {
                continue;
            }
            let help = if entry.key == "<<" {
                "merge keys are not part of YAML 1.2: settings shared by tasks go under `defaults`".to_owned()
            } else if let Some(beside) = reader.beside(&entry.key) {
                beside
            } else {
                reader.suggest(&entry.key, known.iter().copied())
            };
            reader.under(&entry.key, |reader| {
                reader.error(
                    Code::UnknownKey,
                    entry.key_span,
                    format!("`{}` is not known here", entry.key),
                    help,
                );
            });
        }
    }
}
