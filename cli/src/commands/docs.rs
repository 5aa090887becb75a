//! `cauce docs`: a page in Markdown for each pipeline, from its file alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use cauce_engine::moment;
use cauce_model::dataset::DatasetTriggerPlan;
use cauce_model::files::FileTriggerPlan;
use cauce_model::params::ParamSpec;
use cauce_model::plan::{
    CalendarPlan, Catchup, DeadlineAction, DeadlineFrom, Edge, Plan, SchedulePlan, TaskPlan, Tick,
    TriggerPlan,
};
use cauce_model::time::MICROS;
use cauce_model::{Json, TriggerRule};
use cauce_spec::file::task::Task;
use serde_json::json;

use super::build::write;
use super::check::files_of;
use super::graph;
use crate::args::DocsArgs;
use crate::context::Context;
use crate::datasets::Datasets;
use crate::error::{Exit, Failure};
use crate::project::{self, Loaded};
use crate::time::duration;

/// Prints the pages, or writes them with an index into a folder.
pub(crate) fn docs(args: &DocsArgs, context: &Context) -> Result<Exit, Failure> {
    let mut loaded = Vec::new();
    for path in &args.paths {
        for file in files_of(path, context)? {
            loaded.push(project::load(&file, context)?);
        }
    }
    loaded.sort_by(|a, b| a.compiled.plan.pipeline.cmp(&b.compiled.plan.pipeline));
    super::build::refuse_repeats(&loaded)?;
    let plans = loaded.iter().map(|one| one.compiled.plan.clone()).collect();
    let values = loaded.first().map(|one| one.folder.values(&context.env)).transpose()?.unwrap_or_default();
    let datasets = Datasets::of(plans, &values);
    let pages: Vec<(&str, String)> = loaded
        .iter()
        .map(|one| (one.compiled.plan.pipeline.as_str(), page(one, &data(one, &datasets), context)))
        .collect();
    if context.json {
        let documents: Vec<Json> =
            pages.iter().map(|(name, text)| json!({"pipeline": name, "markdown": text})).collect();
        context.output.json(&documents)?;
    }
    if let Some(out) = &args.out {
        let folder = context.absolute(out);
        for (name, text) in &pages {
            write(&folder, &format!("{name}.md"), text)?;
        }
        write(&folder, "index.md", &index(&loaded))?;
        let count = super::check::count(pages.len() as u64, "page");
        context.output.talk(&format!("{count} and index.md written to {}", out.display()));
    } else if !context.json {
        let texts: Vec<String> = pages.into_iter().map(|(_, text)| text).collect();
        context.output.data(texts.join("\n"))?;
    }
    Ok(Exit::Good)
}

/// The datasets that a pipeline has to do with, and who else has; empty without any.
fn data(loaded: &Loaded, datasets: &Datasets) -> String {
    let own = &loaded.compiled.plan.pipeline;
    let known = datasets.pipelines();
    let of = |who: &String| who.split('.').next().unwrap_or_default().to_owned();
    let linked = |who: &BTreeSet<String>| {
        let link = |who: &String| match known.contains(of(who).as_str()) && of(who) != *own {
            true => format!("[{who}]({}.md)", of(who)),
            false => format!("`{who}`"),
        };
        who.iter().map(link).collect::<Vec<_>>().join(", ")
    };
    let mut out = String::new();
    for (name, uses) in &datasets.by_name {
        let mut all = uses.writers.iter().chain(&uses.readers).chain(&uses.starts);
        if all.any(|who| of(who) == *own) {
            let cells =
                [&format!("`{name}`"), &linked(&uses.writers), &linked(&uses.readers), &linked(&uses.starts)];
            row(&mut out, &cells.map(String::as_str));
        }
    }
    if out.is_empty() {
        return out;
    }
    format!("| dataset | written by | read by | starts |\n|---|---|---|---|\n{out}")
}

fn index(loaded: &[Loaded]) -> String {
    let mut out =
        "# Pipelines\n\n| pipeline | what it does | owner | starts | tasks |\n|---|---|---|---|---|\n"
            .to_owned();
    for one in loaded {
        let (plan, file) = (&one.compiled.plan, &one.pipeline);
        let name = &plan.pipeline;
        row(
            &mut out,
            &[
                &format!("[{name}]({name}.md)"),
                file.description.as_deref().unwrap_or_default(),
                file.owner.as_deref().unwrap_or_default(),
                &starts(plan).join("; "),
                &plan.tasks.len().to_string(),
            ],
        );
    }
    out
}

fn page(loaded: &Loaded, data: &str, context: &Context) -> String {
    let (plan, file) = (&loaded.compiled.plan, &loaded.pipeline);
    let mut out = format!("# {}\n\n", plan.pipeline);
    for text in [&file.description, &file.docs].into_iter().flatten() {
        let _ = write!(out, "{}\n\n", text.trim_end());
    }
    facts(&mut out, loaded, context);
    section(&mut out, "Starts");
    for way in starts(plan) {
        let _ = writeln!(out, "- {way}");
    }
    if plan.paused {
        out.push_str("- paused: its schedules and triggers start nothing\n");
    }
    if !plan.params.is_empty() {
        section(&mut out, "Parameters");
        out.push_str("| parameter | type | default | allowed | meaning |\n|---|---|---|---|---|\n");
        for (name, spec) in &plan.params {
            let default = match &spec.default {
                None if spec.required => "required".to_owned(),
                None => "null".to_owned(),
                Some(value) => code(value),
            };
            let meaning = spec.description.as_deref().unwrap_or_default();
            row(&mut out, &[&format!("`{name}`"), spec.kind.as_str(), &default, &allowed(spec), meaning]);
        }
    }
    if !data.is_empty() {
        section(&mut out, "Datasets");
        out.push_str(data);
    }
    section(&mut out, "Tasks");
    let _ = write!(out, "```mermaid\n{}```\n\n", graph::mermaid(plan));
    out.push_str(
        "| task | what | needs | runs when | attempts | timeout | returns |\n|---|---|---|---|---|---|---|\n",
    );
    for task in &plan.tasks {
        let names = |of: &[u32]| -> Vec<&str> {
            of.iter().filter_map(|index| plan.tasks.get(*index as usize)).map(|task| &*task.name).collect()
        };
        row(
            &mut out,
            &[
                &format!("`{}`", task.name),
                &graph::note(task),
                &names(&task.needs).join(", "),
                &runs_when(task),
                &(task.retry.retries + 1).to_string(),
                &seconds(task.timeout_seconds),
                &task.returns.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            ],
        );
    }
    for task in &plan.tasks {
        let said = file.tasks.iter().find(|(name, _)| name.as_str() == task.name).map(|(_, said)| said);
        about(&mut out, plan, task, said);
    }
    out
}

/// What holds for the pipeline as a whole.
fn facts(out: &mut String, loaded: &Loaded, context: &Context) {
    let (plan, file) = (&loaded.compiled.plan, &loaded.pipeline);
    let price = &loaded.compiled.forecast.price;
    let tags = file.tags.join(", ");
    let file_name = project::shown(&loaded.path, context);
    let mut runs = format!("{} at once", plan.max_active_runs);
    if let Some(most) = plan.max_active_tasks {
        let _ = write!(runs, ", with {most} tasks at once");
    }
    let late = plan.deadline.as_ref().map(|deadline| {
        let from = match deadline.from {
            DeadlineFrom::Scheduled => "its time",
            DeadlineFrom::Started => "its start",
        };
        let action = match deadline.action {
            DeadlineAction::Notify => "somebody is told",
            DeadlineAction::Cancel => "it is cancelled",
        };
        format!("{} after {from}, {action}", seconds(deadline.after_seconds))
    });
    let mut cost = format!("{:.5} USD of orchestration a run, at list prices", price.run_usd);
    if let Some(month) = price.month_usd {
        let _ = write!(cost, ", {month:.2} a month");
    }
    out.push_str("| | |\n|---|---|\n");
    let version = format!("`{}`", super::short(&loaded.compiled.plan.version));
    for (name, value) in [
        ("owner", file.owner.as_deref().unwrap_or_default()),
        ("tags", &tags),
        ("file", &file_name),
        ("version", &version),
        ("runs", &runs),
        ("late", late.as_deref().unwrap_or_default()),
        ("cost", &cost),
    ] {
        if !value.is_empty() {
            row(out, &[name, value]);
        }
    }
}

/// What starts a run, a line each.
fn starts(plan: &Plan) -> Vec<String> {
    let schedules = plan.schedules.iter().map(schedule);
    let triggers = plan.triggers.iter().map(|trigger| match trigger {
        TriggerPlan::File(trigger) => files(trigger),
        TriggerPlan::Webhook(hook) => {
            let address = cauce_engine::webhook::address(&plan.pipeline, hook.path.as_deref());
            format!("POST /{address}, signed as {} does", hook.style.as_str())
        }
        TriggerPlan::Dataset(dataset) => datasets(dataset),
    });
    let mut ways: Vec<String> = schedules.chain(triggers).collect();
    if ways.is_empty() {
        ways.push("when somebody starts it".to_owned());
    }
    ways
}

fn datasets(trigger: &DatasetTriggerPlan) -> String {
    let each = if trigger.partitioned_by.is_some() { ", a run for each day" } else { "" };
    format!("an update of {}{each}", trigger.on)
}

fn schedule(schedule: &SchedulePlan) -> String {
    let mut said = match &schedule.every {
        Tick::Cron(expression) => format!("cron `{expression}` in {}", schedule.timezone),
        Tick::RateSeconds(every) => format!("every {}", seconds(*every)),
        Tick::Once(at) => format!("once, at {}", moment(*at)),
        Tick::Calendar { edge, minutes } => {
            let edge = match edge {
                Edge::Open => "opening",
                Edge::Close => "closing",
            };
            let away = seconds(u64::from(minutes.unsigned_abs()) * 60);
            match minutes.signum() {
                0 => format!("at each {edge}"),
                1 => format!("{away} after each {edge}"),
                _ => format!("{away} before each {edge}"),
            }
        }
    };
    if let Some(calendar) = &schedule.calendar {
        said.push_str(&days(calendar));
    }
    said.push_str(if schedule.data_interval { ", for the time before" } else { ", for that moment" });
    for (word, bound) in [("from", schedule.start), ("until", schedule.end)] {
        if let Some(at) = bound {
            let _ = write!(said, ", {word} {}", moment(at));
        }
    }
    said.push_str(&match schedule.catchup {
        Catchup::None => "; what was missed stays missed".to_owned(),
        Catchup::Last => "; of what was missed the newest is made up for".to_owned(),
        Catchup::All => "; what was missed is made up for".to_owned(),
        Catchup::Newest(count) => format!("; of what was missed the newest {count} are made up for"),
    });
    said
}

/// The days on which a calendar lets runs happen.
fn days(calendar: &CalendarPlan) -> String {
    const NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let names: Vec<&str> =
        calendar.weekdays.iter().filter_map(|day| NAMES.get(usize::from(*day))).copied().collect();
    let mut said = format!(", on {}", names.join(", "));
    if !calendar.without.is_empty() {
        let _ = write!(said, " but for {}", super::check::count(calendar.without.len() as u64, "day"));
    }
    said
}

fn files(trigger: &FileTriggerPlan) -> String {
    let keys: Vec<String> = trigger.keys.iter().map(|key| format!("`{key}`")).collect();
    let what = match (keys.len(), trigger.all) {
        (1, _) => "a file".to_owned(),
        (_, true) => "a set of files".to_owned(),
        (_, false) => "any of the files".to_owned(),
    };
    let mut said = format!("{what} {} in the bucket `{}`", keys.join(", "), trigger.bucket);
    if let Some(marker) = &trigger.marker {
        let _ = write!(said, ", once `{marker}` says that they are there");
    }
    if let Some(date) = &trigger.logical_date {
        let _ = write!(said, ", for the date `{date}`");
    }
    said
}

fn runs_when(task: &TaskPlan) -> String {
    let mut said = match (&task.rule, task.needs.is_empty()) {
        (_, true) => "at once".to_owned(),
        (rule, false) if *rule == TriggerRule::default() => "all succeeded".to_owned(),
        (rule, false) => format!("`{rule}`"),
    };
    if let Some(condition) = &task.condition {
        let _ = write!(said, ", if `{}`", condition.trim());
    }
    said
}

/// What a row of the table has no place for.
fn about(out: &mut String, plan: &Plan, task: &TaskPlan, said: Option<&Task>) {
    let docs = said.and_then(|said| said.settings.docs.as_deref());
    let mut lines = Vec::new();
    let mut listed = |word: &str, values: Vec<String>| {
        if !values.is_empty() {
            lines.push(format!("- {word} {}", values.join(", ")));
        }
    };
    let uris = |uris: &[String]| uris.iter().map(|uri| format!("`{uri}`")).collect::<Vec<_>>();
    listed("reads", uris(&task.reads));
    listed("writes", uris(&task.writes));
    listed("holds", task.pools.iter().map(|(pool, slots)| format!("{slots} of the pool `{pool}`")).collect());
    listed("locks", uris(task.lock.as_slice()));
    if task.allow_failure {
        lines.push("- may fail without failing the run".to_owned());
    }
    if let Some(other) = task.fallback_for.and_then(|other| plan.tasks.get(other as usize)) {
        lines.push(format!("- stands in for {} when that fails", other.name));
    }
    if docs.is_none() && lines.is_empty() {
        return;
    }
    let _ = write!(out, "\n### {}\n\n", task.name);
    if let Some(docs) = docs {
        let _ = write!(out, "{}\n{}", docs.trim_end(), if lines.is_empty() { "" } else { "\n" });
    }
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
}

fn allowed(spec: &ParamSpec) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !spec.allowed.is_empty() {
        parts.push(spec.allowed.iter().map(code).collect::<Vec<_>>().join(", "));
    }
    parts.extend(spec.minimum.as_ref().map(|least| format!("at least {}", code(least))));
    parts.extend(spec.maximum.as_ref().map(|most| format!("at most {}", code(most))));
    parts.extend(spec.pattern.as_ref().map(|pattern| format!("like `{pattern}`")));
    parts.join(", ")
}

fn code(value: &Json) -> String {
    format!("`{value}`")
}

/// A duration of whole seconds, without the parts that are nothing.
fn seconds(seconds: u64) -> String {
    let said = duration(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(MICROS));
    match said.strip_suffix(".0s") {
        Some(whole) => format!("{whole}s"),
        None => {
            let bare = ["00s", "00m", "00h"].iter().find_map(|nothing| said.strip_suffix(nothing));
            bare.unwrap_or(&said).to_owned()
        }
    }
}

fn section(out: &mut String, title: &str) {
    let _ = write!(out, "\n## {title}\n\n");
}

/// A row of a table. A bar or a line break in a cell would end it.
fn row(out: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}
