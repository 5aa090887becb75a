//! The names that templates read: each exists, and has a value when it is read.

use std::cell::OnceCell;

use cauce_model::TriggerRule;
use cauce_model::plan::APPROVAL_OUTPUT;
use cauce_template::NameUse;

use crate::checks::graph::Graph;
use crate::checks::{Draft, DraftTask, webhooks};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::kind::Kind;
use crate::file::project::Project;
use crate::items::Items;
use crate::shape::{Reader, TemplateUse};

/// What every template may read besides `params`, `outputs`, `item` and `index`.
pub(crate) const RUN_NAMES: [&str; 8] = [
    "ds",
    "ds_nodash",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "run_id",
    "attempt",
    "trigger",
];

pub(crate) fn check(
    draft: &Draft<'_>,
    graph: Option<&Graph>,
    project: &Project,
    items: Option<&Items>,
    reader: &mut Reader,
) {
    let checker = Checker { draft, graph, project, items, before: OnceCell::new() };
    for template in std::mem::take(&mut reader.templates) {
        for name in template.template.names() {
            checker.name(&template, name, reader);
        }
    }
}

struct Checker<'a> {
    draft: &'a Draft<'a>,
    graph: Option<&'a Graph>,
    project: &'a Project,
    items: Option<&'a Items>,
    before: OnceCell<Before>,
}

impl Checker<'_> {
    fn name(&self, template: &TemplateUse, name: &NameUse, reader: &mut Reader) {
        let report = |reader: &mut Reader, code: Code, message: String, help: String| {
            let span = template.content_at.map_or(template.span, |at| {
                Span::new(at + name.offset, at + name.offset + name.length.max(1))
            });
            reader.report(Diagnostic::error(code, span, message).help(help).at(template.route.clone()));
        };
        let root = name.path.first().map_or("", String::as_str);
        if name.placeholder {
            match root {
                "env" => self.env(name, &report, reader),
                _ => {
                    let word = self.draft.pipeline.matrix.as_ref().map_or("item", |matrix| &matrix.name);
                    let column = name.path.get(1).map_or("", String::as_str);
                    report(
                        reader,
                        Code::UnknownName,
                        "the item of a matrix is known to a run, not before".to_owned(),
                        format!(
                            "all items share one pipeline: write `{{{{ {word}.{column} }}}}`, without the dollar"
                        ),
                    );
                }
            }
            return;
        }
        if webhooks::holds(&template.route) {
            if root != webhooks::BODY {
                report(
                    reader,
                    Code::UnknownName,
                    format!("before there is a run, templates know no `{root}`"),
                    "a webhook's templates read `body`, such as `{{ body.region }}`".to_owned(),
                );
            }
            return;
        }
        match root {
            "params" => self.param(name, &report, reader),
            "outputs" => self.output(template, name, &report, reader),
            "item" | "index" => self.item(template, root, &report, reader),
            "env" | "matrix" => report(
                reader,
                Code::UnknownName,
                format!("`{root}` is filled before a run, not by it"),
                format!("write `${{{{ {} }}}}`, with the dollar", name.dotted()),
            ),
            known if RUN_NAMES.contains(&known) => {}
            word if self.draft.pipeline.matrix.as_ref().is_some_and(|matrix| *matrix.name == *word) => {
                self.column(name, &report, reader);
            }
            unknown => {
                let word = self.draft.pipeline.matrix.as_ref().map(|matrix| matrix.name.as_str());
                let known: Vec<&str> =
                    RUN_NAMES.into_iter().chain(["params", "outputs", "item", "index"]).chain(word).collect();
                let help = reader.suggest(unknown, known.iter().copied());
                report(reader, Code::UnknownName, format!("templates know no `{unknown}`"), help);
            }
        }
    }

    fn env(&self, name: &NameUse, report: &impl Fn(&mut Reader, Code, String, String), reader: &mut Reader) {
        if *self.project == Project::none() {
            return;
        }
        let Some(key) = name.path.get(1) else { return };
        let environments = &self.project.environments;
        if environments.values().any(|environment| environment.values.contains_key(key.as_str())) {
            return;
        }
        let known = environments.values().flat_map(|environment| environment.values.keys());
        let help = reader.suggest(key, known.map(|name| name.as_str()));
        report(
            reader,
            Code::UnknownEnv,
            format!("no environment of the project file has a value `{key}`"),
            format!("add it under `environments.<name>.values`; {help}"),
        );
    }

    /// A column of the matrix, where its list was read.
    fn column(
        &self,
        name: &NameUse,
        report: &impl Fn(&mut Reader, Code, String, String),
        reader: &mut Reader,
    ) {
        let (Some(items), Some(column)) = (self.items, name.path.get(1)) else { return };
        if name.optional || items.columns.contains(column) {
            return;
        }
        let help = reader.suggest(column, items.columns.iter().map(String::as_str));
        report(reader, Code::MatrixColumn, format!("the list of the matrix has no column `{column}`"), help);
    }

    fn param(
        &self,
        name: &NameUse,
        report: &impl Fn(&mut Reader, Code, String, String),
        reader: &mut Reader,
    ) {
        let Some(key) = name.path.get(1) else { return };
        let params = &self.draft.pipeline.params;
        if params.contains_key(key.as_str()) || declared(self.draft, "params", key) {
            return;
        }
        let help = if params.is_empty() {
            format!("declare it: `params: {{{key}: {{type: string}}}}`")
        } else {
            reader.suggest(key, params.keys().map(|name| name.as_str()))
        };
        report(reader, Code::UnknownParam, format!("there is no parameter `{key}`"), help);
    }

    fn item(
        &self,
        template: &TemplateUse,
        root: &str,
        report: &impl Fn(&mut Reader, Code, String, String),
        reader: &mut Reader,
    ) {
        let Some(task) = self.task(template) else {
            if template.route.starts_with("defaults") {
                return;
            }
            report(
                reader,
                Code::ItemOutsideMap,
                format!("there is no `{root}` outside a mapped task"),
                "use it in a task with `map`".to_owned(),
            );
            return;
        };
        let own = format!("tasks.{}.", task.name);
        let place = template.route.strip_prefix(&own).unwrap_or_default();
        if task.task.settings.map.is_none() {
            report(
                reader,
                Code::ItemOutsideMap,
                format!("`{}` is not mapped, so there is no `{root}`", task.name),
                "add `map: {over: ...}` to the task".to_owned(),
            );
        } else if place.starts_with("map") || place == "if" || place.starts_with("writes") {
            report(
                reader,
                Code::ItemOutsideMap,
                format!("`{root}` has no value here: this is read once, before there are items"),
                match place.starts_with("writes") {
                    true => "name what all items write together: it is updated once, when all have succeeded",
                    false => "filter the list itself: `map: {over: \"{{ ... | selectattr(...) }}\"}`",
                }
                .to_owned(),
            );
        }
    }

    fn output(
        &self,
        template: &TemplateUse,
        name: &NameUse,
        report: &impl Fn(&mut Reader, Code, String, String),
        reader: &mut Reader,
    ) {
        let Some(source) = name.path.get(1) else {
            report(
                reader,
                Code::UnknownOutput,
                "`outputs` is read by task: which one?".to_owned(),
                "write `outputs.<task>.<field>`".to_owned(),
            );
            return;
        };
        let Some(&source_at) = self.draft.index.get(source.as_str()) else {
            if !declared(self.draft, "tasks", source) {
                let help = reader.suggest(source, self.draft.tasks.iter().map(|task| task.name));
                report(reader, Code::UnknownTask, format!("there is no task `{source}`"), help);
            }
            return;
        };
        let upstream = &self.draft.tasks[source_at];
        if let Some((message, help)) = missing_field(upstream, name.path.get(2).map(String::as_str), reader) {
            report(reader, Code::UnknownOutput, message, help);
            return;
        }
        let (Some(task), Some(graph)) = (self.task(template), self.graph) else {
            if self.graph.is_some() && !template.route.starts_with("defaults") {
                report(
                    reader,
                    Code::OutputNotUpstream,
                    format!("the output of `{source}` is not known here"),
                    "outputs are read in tasks".to_owned(),
                );
            }
            return;
        };
        let at = self.draft.index[task.name];
        let before = self.before.get_or_init(|| Before::new(self.draft, graph));
        if !before.ended.has(at, source_at) {
            report(
                reader,
                Code::OutputNotUpstream,
                format!("`{source}` need not have ended before `{}`", task.name),
                if at == source_at {
                    "a task cannot read its own output".to_owned()
                } else {
                    format!("add `{source}` to the `needs` of `{}`", task.name)
                },
            );
        } else if !name.optional && !before.succeeded.has(at, source_at) {
            report(
                reader,
                Code::OutputMayBeAbsent,
                format!(
                    "`{source}` may be skipped or fail before `{}` runs, and then has no output",
                    task.name
                ),
                format!("write `{} | default(...)`", name.dotted()),
            );
        }
    }

    fn task(&self, template: &TemplateUse) -> Option<&DraftTask<'_>> {
        let at = self.draft.index.get(template.task.as_deref()?)?;
        Some(&self.draft.tasks[*at])
    }
}

/// Why a task has no output of that name.
fn missing_field(task: &DraftTask<'_>, field: Option<&str>, reader: &mut Reader) -> Option<(String, String)> {
    let settings = &task.task.settings;
    if settings.map.is_some() {
        return field.map(|_| {
            (
                format!("`{0}` is mapped: `outputs.{0}` is a list, one entry per item", task.name),
                format!("write `outputs.{}[0].output`, or `| map(attribute=\"output\")`", task.name),
            )
        });
    }
    let passed = match &task.task.kind {
        Kind::Pass(pass) => Some(&pass.output),
        _ => None,
    };
    let answered = match &task.task.kind {
        Kind::Approval(_) => APPROVAL_OUTPUT.as_slice(),
        _ => &[],
    };
    let known = || {
        let passed = passed.into_iter().flat_map(|output| output.keys());
        let declared = settings.returns.keys().chain(passed).map(|name| name.as_str());
        declared.chain(answered.iter().copied())
    };
    match field {
        _ if known().next().is_none() => Some((
            format!("`{}` declares no output", task.name),
            format!("declare what it returns: `returns: {{{}: string}}`", field.unwrap_or("field")),
        )),
        Some(field) if !known().any(|name| name == field) => {
            let names: Vec<&str> = known().collect();
            let help = reader.suggest(field, names);
            Some((format!("`{}` returns no `{field}`", task.name), help))
        }
        _ => None,
    }
}

/// The key stands in the file, even if its value could not be read.
fn declared(draft: &Draft<'_>, section: &str, key: &str) -> bool {
    draft.root.get(section).is_some_and(|section| section.value.get(key).is_some())
}

/// For every task, which others have certainly ended, and which have certainly succeeded, when it
/// is decided to run.
struct Before {
    ended: Sets,
    succeeded: Sets,
}

impl Before {
    fn new(draft: &Draft<'_>, graph: &Graph) -> Self {
        let count = graph.needs.len();
        let (mut ended, mut succeeded) = (Sets::new(count), Sets::new(count));
        for &at in &graph.order {
            let needs = &graph.needs[at];
            let rule = draft.tasks[at].task.settings.rule();
            let early = rule.is_early() && needs.len() > 1;
            for (place, &up) in needs.iter().enumerate() {
                if rule == TriggerRule::Always {
                    break;
                }
                if early && place > 0 {
                    ended.meet(at, up, true)
                } else {
                    ended.join(at, up, true)
                }
                // A task that is allowed to fail counts as a success and has no output. Of one and its
                // fallback either may have succeeded.
                if of_pair(draft, needs, up) {
                    continue;
                }
                let own = !draft.tasks[up].task.settings.allow_failure;
                match rule {
                    TriggerRule::AllSuccess => succeeded.join(at, up, own),
                    TriggerRule::OneSuccess
                    | TriggerRule::NoneFailedMinOneSuccess
                    | TriggerRule::AllDoneMinOneSuccess => {
                        // Any of them may be the one that succeeded, a pair too.
                        if needs.iter().any(|up| of_pair(draft, needs, *up)) {
                            continue;
                        }
                        if place == 0 { succeeded.join(at, up, own) } else { succeeded.meet(at, up, own) }
                    }
                    _ => {}
                }
            }
            // A teardown runs when one of its setups succeeded.
            if let [setup] = draft.tasks[at].task.settings.teardown_of.as_slice()
                && let Some(&setup) = draft.index.get(setup.as_str())
            {
                succeeded.join(at, setup, !draft.tasks[setup].task.settings.allow_failure);
            }
        }
        Self { ended, succeeded }
    }
}

/// Whether a task and its fallback are both among these, and the task is one of the two.
fn of_pair(draft: &Draft<'_>, needs: &[usize], task: usize) -> bool {
    let other = draft.tasks[task].task.settings.fallback_for.as_ref();
    let other = other.and_then(|name| draft.index.get(name.as_str()));
    let among = |at: Option<&usize>| at.is_some_and(|at| needs.contains(at));
    among(other) || among(draft.fallbacks.get(&task))
}

/// One set of tasks per task, as rows of bits.
struct Sets {
    words: usize,
    bits: Vec<u64>,
}

impl Sets {
    fn new(count: usize) -> Self {
        let words = count.div_ceil(64);
        Self { words, bits: vec![0; words * count] }
    }

    fn has(&self, row: usize, member: usize) -> bool {
        self.bits[row * self.words + member / 64] >> (member % 64) & 1 == 1
    }

    /// Adds the set of `from`, and `from` itself.
    fn join(&mut self, row: usize, from: usize, itself: bool) {
        self.combine(row, from, itself, |own, other| own | other);
    }

    /// Keeps what is in the set of `from` too, or is `from` itself.
    fn meet(&mut self, row: usize, from: usize, itself: bool) {
        self.combine(row, from, itself, |own, other| own & other);
    }

    fn combine(&mut self, row: usize, from: usize, itself: bool, with: impl Fn(u64, u64) -> u64) {
        for word in 0..self.words {
            let mut other = self.bits[from * self.words + word];
            if itself && from / 64 == word {
                other |= 1 << (from % 64);
            }
            let own = &mut self.bits[row * self.words + word];
            *own = with(*own, other);
        }
    }
}
