//! Values that are well-formed each and do not fit together, or not the platform.

use std::collections::BTreeSet;

use cauce_model::fargate::SIZES;
use cauce_model::plan::APPROVAL_OUTPUT;
use indexmap::IndexMap;

use crate::checks::{Draft, DraftTask, place, services};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::data::{Check, Mask, MaskRule, Quality, Sql};
use crate::file::kind::{Kind, Resources};
use crate::file::pipeline::{Notifications, Schedule};
use crate::file::project::Project;
use crate::file::task::Retry;
use crate::items::Items;
use crate::shape::{Name, Reader};
use crate::tree::{Entry, Value};

pub(crate) fn check(draft: &Draft<'_>, project: &Project, items: Option<&Items>, reader: &mut Reader) {
    let word = draft.pipeline.matrix.as_ref().map(|matrix| matrix.name.as_str());
    for (at, schedule) in draft.pipeline.schedule.iter().enumerate() {
        self::schedule(draft, at, schedule, project, reader);
    }
    channels(draft, None, &draft.pipeline.notify, project, reader);
    for task in &draft.tasks {
        channels(draft, Some(task), &task.task.settings.notify, project, reader);
        settings(task, reader);
        super::pools::check(task, project, word, items, reader);
        super::control::check(task, project, reader);
        kind(draft, task, project, reader);
    }
}

/// Checks of the project file.
pub(crate) fn project(project: &Project, reader: &mut Reader) {
    for template in std::mem::take(&mut reader.templates) {
        for name in template.template.names() {
            let span = template.content_at.map_or(template.span, |at| {
                Span::new(at + name.offset, at + name.offset + name.length.max(1))
            });
            if !name.placeholder {
                reader.report(
                    Diagnostic::error(
                        Code::UnknownName,
                        span,
                        format!("`{}` has no value outside a run", name.dotted()),
                    )
                    .help("the project file may read `${{ env.<name> }}`")
                    .at(template.route.clone()),
                );
            } else if let Some(key) = name.path.get(1)
                && !project
                    .environments
                    .values()
                    .any(|environment| environment.values.contains_key(key.as_str()))
            {
                reader.report(
                    Diagnostic::error(Code::UnknownEnv, span, format!("no environment has a value `{key}`"))
                        .help("add it under `environments.<name>.values`")
                        .at(template.route.clone()),
                );
            }
        }
    }
}

/// EventBridge Scheduler knows no shorter unit.
/// Source: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#rate-based>.
const SECONDS_PER_MINUTE: u64 = 60;

fn schedule(draft: &Draft<'_>, at: usize, schedule: &Schedule, project: &Project, reader: &mut Reader) {
    let Some(entry) = draft.root.get("schedule") else { return };
    let cases = entry.value.get("cases").and_then(|cases| cases.value.entries()).unwrap_or_default();
    for (name, case) in &schedule.cases {
        if let Some(entry) = cases.iter().find(|entry| entry.key == name.as_str()) {
            ticking((entry, 0), (entry.key_span, format!("schedule.cases.{name}")), case, project, reader);
        }
    }
    if !schedule.cases.is_empty() || schedule.select.is_some() {
        return;
    }
    let (mut span, mut route) = (entry.key_span, "schedule".to_owned());
    if let Value::List(items) = &entry.value.value {
        span = items.get(at).map_or(span, |item| item.span);
        route = format!("schedule[{at}]");
    }
    ticking((entry, at), (span, route), schedule, project, reader);
}

/// A schedule that ticks by itself.
fn ticking(
    (entry, at): (&Entry, usize),
    (span, route): (Span, String),
    schedule: &Schedule,
    project: &Project,
    reader: &mut Reader,
) {
    let ways = [
        schedule.cron.is_some(),
        schedule.rate.is_some(),
        schedule.at.is_some(),
        schedule.open.is_some(),
        schedule.close.is_some(),
    ];
    match ways.iter().filter(|way| **way).count() {
        1 => {}
        // What was written could not be read, and was reported.
        0 if reader.diagnostics.iter().any(|found| found.route.starts_with("schedule")) => {}
        0 => reader.report(
            Diagnostic::error(Code::MissingKey, span, "the schedule never ticks".to_owned())
                .help("add one of cron, rate, at, open, close")
                .at(route.clone()),
        ),
        _ => reader.report(
            Diagnostic::error(
                Code::Conflict,
                span,
                "a schedule has one of cron, rate, at, open and close".to_owned(),
            )
            .help("write several schedules as a list")
            .at(route.clone()),
        ),
    }
    if schedule.rate.is_some_and(|rate| rate.0 % SECONDS_PER_MINUTE != 0) {
        reader.report(
            Diagnostic::error(Code::OutOfRange, span, "a rate is a whole number of minutes".to_owned())
                .help("no scheduler here ticks more finely than by the minute")
                .at(route.clone()),
        );
    }
    if let Some(jitter) = schedule.jitter {
        let problem = if jitter.0 % SECONDS_PER_MINUTE != 0 {
            Some(("jitter is a whole number of minutes", "no scheduler here spreads more finely"))
        } else if schedule.rate.is_some_and(|rate| jitter.0 >= rate.0) {
            Some(("jitter is as long as the rate, so runs could overtake each other", "make it shorter"))
        } else {
            None
        };
        if let Some((message, help)) = problem {
            reader.report(
                Diagnostic::error(Code::OutOfRange, span, message.to_owned()).help(help).at(route.clone()),
            );
        }
    }
    let zone = schedule.timezone.as_str();
    let instants = schedule
        .start
        .and_then(|start| start.instant(zone))
        .zip(schedule.end.and_then(|end| end.instant(zone)));
    if instants.is_some_and(|(start, end)| start >= end) {
        reader.report(
            Diagnostic::error(Code::Conflict, span, "the schedule ends before it starts".to_owned())
                .help("swap `start` and `end`")
                .at(route.clone()),
        );
    }
    super::calendars::used(schedule, (entry, at), (span, &route), project, reader);
}

fn channels(
    draft: &Draft<'_>,
    task: Option<&DraftTask<'_>>,
    notify: &Notifications,
    project: &Project,
    reader: &mut Reader,
) {
    let lists = [
        ("success", &notify.success),
        ("failed", &notify.failed),
        ("retrying", &notify.retrying),
        ("deadline", &notify.deadline),
    ];
    for (event, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        let (span, route) = match (task, draft.root.get("notify")) {
            (Some(task), _) => task.place(&["notify", event]),
            (None, Some(entry)) => place(entry, "notify", &[event]),
            (None, None) => continue,
        };
        known_channels(names, span, &route, project, reader);
    }
}

fn known_channels(names: &[Name], span: Span, route: &str, project: &Project, reader: &mut Reader) {
    if *project == Project::none() {
        return;
    }
    for name in names.iter().filter(|name| !project.channels.contains_key(name.as_str())) {
        let help = reader.suggest(name, project.channels.keys().map(|name| name.as_str()));
        reader.report(
            Diagnostic::error(
                Code::UnknownChannel,
                span,
                format!("the project file has no channel `{name}`"),
            )
            .help(format!("add it under `channels`; {help}"))
            .at(route),
        );
    }
}

fn settings(task: &DraftTask<'_>, reader: &mut Reader) {
    let settings = &task.task.settings;
    let conflict = |reader: &mut Reader, path: &[&str], message: String, help: &str| {
        let (span, route) = task.place(path);
        reader.report(Diagnostic::error(Code::Conflict, span, message).help(help).at(route));
    };
    let runs_program = task.task.kind.is_service()
        || matches!(
            task.task.kind,
            Kind::Container(_) | Kind::Quality(_) | Kind::Sql(_) | Kind::Mask(_) | Kind::Copy(_)
        );
    super::retries::check(task, reader);
    if settings.local.is_some() && !runs_program {
        conflict(
            reader,
            &["local"],
            format!(
                "a task of kind `{}` runs no program, so nothing can stand in for it",
                task.task.kind.key()
            ),
            "remove `local`",
        );
    }
    if settings.map.is_some() && matches!(task.task.kind, Kind::Branch(_)) {
        conflict(reader, &["map"], "a branch decides once and cannot be mapped".to_owned(), "remove `map`");
    }
    if matches!(task.task.kind, Kind::Approval(_)) {
        if settings.map.is_some() {
            let help = "remove `map`; approve once before the mapped task, or after it";
            conflict(reader, &["map"], "an approval is asked once and cannot be mapped".to_owned(), help);
        }
        if settings.retry != Retry::default() {
            let help = "remove `retry`; `timeout` says how long to wait, `on_timeout` what follows";
            conflict(reader, &["retry"], "an approval is asked once and is not tried again".to_owned(), help);
        }
        if !settings.returns.is_empty() {
            let help = format!("remove `returns`; it returns {} by itself", APPROVAL_OUTPUT.join(", "));
            conflict(reader, &["returns"], "an approval declares no output of its own".to_owned(), &help);
        }
    }
}

fn kind(draft: &Draft<'_>, task: &DraftTask<'_>, project: &Project, reader: &mut Reader) {
    match &task.task.kind {
        Kind::Container(container) => {
            image(task, &container.image, project, reader);
            if container.command.is_empty() {
                let (span, route) = task.place(&["container", "command"]);
                reader.report(
                    Diagnostic::error(Code::OutOfRange, span, "the command is empty".to_owned())
                        .help("name the program and its arguments: `command: [python, /app/main.py]`")
                        .at(route),
                );
            }
            resources(task, &container.resources, reader);
        }
        Kind::WaitFor(wait) => {
            let later =
                wait.sftp.is_some() || wait.http.is_some() || wait.table.is_some() || wait.time.is_some();
            if wait.files.is_empty() && !later {
                let (span, route) = task.place(&["wait_for"]);
                reader.report(
                    Diagnostic::error(Code::MissingKey, span, "`files` is missing".to_owned())
                        .help("say what to wait for: `wait_for: {files: [\"s3://bucket/key\"]}`")
                        .at(route),
                );
            }
        }
        Kind::Notify(notify) => {
            let (span, route) = task.place(&["notify", "channels"]);
            known_channels(&notify.channels, span, &route, project, reader);
        }
        Kind::Approval(approval) => {
            let (span, route) = task.place(&["approval", "notify"]);
            known_channels(&approval.notify, span, &route, project, reader);
        }
        Kind::Pipeline(other) => {
            if other.name == draft.pipeline.name {
                let (span, route) = task.place(&["pipeline", "name"]);
                reader.report(
                    Diagnostic::error(
                        Code::StartsItself,
                        span,
                        format!("`{}` would start itself without end", other.name),
                    )
                    .help("start another pipeline; to repeat this one, give it a schedule")
                    .at(route),
                );
            }
        }
        Kind::Quality(data) => {
            resources(task, &data.resources, reader);
            quality(task, &data.settings, reader);
        }
        Kind::Sql(data) => {
            resources(task, &data.resources, reader);
            sql(task, &data.settings, reader);
        }
        Kind::Mask(data) => {
            resources(task, &data.resources, reader);
            mask(task, &data.settings, &data.resources, reader);
        }
        Kind::Copy(data) => resources(task, &data.resources, reader),
        Kind::Branch(_) | Kind::Fail(_) | Kind::Pass(_) => {}
        Kind::Lambda(_)
        | Kind::Glue(_)
        | Kind::EmrServerless(_)
        | Kind::Batch(_)
        | Kind::Athena(_)
        | Kind::Http(_)
        | Kind::StateMachine(_) => services::check(task, reader),
    }
}

fn image(task: &DraftTask<'_>, image: &Name, project: &Project, reader: &mut Reader) {
    if *project == Project::none() || project.images.contains_key(image.as_str()) {
        return;
    }
    let (span, route) = task.place(&["container", "image"]);
    let help = reader.suggest(image, project.images.keys().map(|name| name.as_str()));
    reader.report(
        Diagnostic::error(Code::UnknownImage, span, format!("the project file has no image `{image}`"))
            .help(format!("add it under `images`; {help}"))
            .at(route),
    );
}

/// Why Fargate does not offer this pair; none where it does.
fn fargate(cpu: u32, memory: u32) -> Option<(&'static str, String, String)> {
    let Some((_, low, high, step)) = SIZES.into_iter().find(|(units, ..)| *units == cpu) else {
        let units: Vec<String> = SIZES.iter().map(|(units, ..)| units.to_string()).collect();
        return Some((
            "cpu",
            format!("Fargate has no {cpu} cpu units"),
            format!("choose one of {}", units.join(", ")),
        ));
    };
    let fits = (low..=high).contains(&memory)
        && if step == 0 { memory.is_power_of_two() } else { (memory - low).is_multiple_of(step) };
    let offered = if step == 0 {
        "512, 1024 or 2048".to_owned()
    } else {
        format!("{low} to {high} in steps of {step}")
    };
    (!fits).then(|| {
        (
            "memory",
            format!("Fargate does not offer {memory} MiB with {cpu} cpu units"),
            format!("with {cpu} cpu units, memory is {offered}"),
        )
    })
}

fn resources(task: &DraftTask<'_>, resources: &Resources, reader: &mut Reader) {
    if let Some((key, message, help)) = fargate(resources.cpu, resources.memory) {
        let (span, route) = task.place(&["container", key]);
        reader.report(Diagnostic::error(Code::FargateSize, span, message).help(help).at(route));
    }
    variables(&["container", "env"], &resources.env, task, reader);
    variables(&["container", "secrets"], &resources.secrets, task, reader);
    if let Some(role) = &resources.role
        && let Some(name) = role.names().iter().find(|name| !name.placeholder)
    {
        let (span, route) = task.place(&["container", "role"]);
        reader.report(
            Diagnostic::error(Code::UnknownName, span, format!("`{}` has no value here", name.dotted()))
                .help("the role is part of what is deployed, before any run: it may read `${{ env.<name> }}`")
                .at(route),
        );
    }
    for name in resources.secrets.keys().filter(|name| resources.env.contains_key(*name)) {
        let (span, route) = task.key(&["container", "secrets", name]);
        reader.report(
            Diagnostic::error(Code::Conflict, span, format!("`{name}` is set under `env` too"))
                .help("keep one of the two")
                .at(route),
        );
    }
}

/// Names of environment variables below a path of keys.
pub(crate) fn variables<T>(
    section: &[&str],
    values: &IndexMap<String, T>,
    task: &DraftTask<'_>,
    reader: &mut Reader,
) {
    for name in values.keys() {
        let well_formed = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let help = if !well_formed {
            "environment variables are letters, digits and underscores, and do not start with a digit"
        } else if name.starts_with("CAUCE_") {
            "names that start with CAUCE_ are set for every task; choose another"
        } else {
            continue;
        };
        let path: Vec<&str> = section.iter().copied().chain([name.as_str()]).collect();
        let (span, route) = task.key(&path);
        reader.report(
            Diagnostic::error(Code::BadName, span, format!("`{name}` cannot be set")).help(help).at(route),
        );
    }
}

fn data_error(reader: &mut Reader, (span, route): (Span, String), message: String, help: &str) {
    reader.report(Diagnostic::error(Code::DataTask, span, message).help(help).at(route));
}

fn quality(task: &DraftTask<'_>, quality: &Quality, reader: &mut Reader) {
    if quality.checks.is_empty() {
        data_error(
            reader,
            task.place(&["quality", "checks"]),
            "a quality task needs a check".to_owned(),
            "for example `- not_null: id`",
        );
    }
    let mut names = BTreeSet::new();
    for (at, check) in quality.checks.iter().enumerate() {
        let place = task.item(&["quality", "checks"], at);
        let rules = rules(check);
        if rules != 1 {
            data_error(
                reader,
                place.clone(),
                format!("a check has exactly one rule, this has {rules}"),
                &format!("the rules are {}", Check::RULES.join(", ")),
            );
        }
        if let Some(name) = check.name.as_ref().filter(|name| !names.insert(name.as_str())) {
            data_error(
                reader,
                place.clone(),
                format!("a check is already named `{name}`"),
                "names of checks are unique",
            );
        }
        if let Some(referential) = &check.referential {
            if !quality.references.contains_key(referential.to.as_str()) {
                data_error(
                    reader,
                    place.clone(),
                    format!("`references` has no table `{}`", referential.to),
                    "add it under `references` of this task",
                );
            }
            if referential.column.is_some() != referential.columns.is_empty() {
                data_error(
                    reader,
                    place.clone(),
                    "a referential check has `column` or `columns`".to_owned(),
                    "give one of the two",
                );
            }
        }
        let unbounded =
            check.between.as_ref().is_some_and(|between| between.min.is_none() && between.max.is_none())
                || check.row_count.as_ref().is_some_and(|count| count.min.is_none() && count.max.is_none());
        if unbounded {
            data_error(
                reader,
                place,
                "the check has no bound, so it always holds".to_owned(),
                "give `min`, `max` or both",
            );
        }
    }
}

fn rules(check: &Check) -> usize {
    [
        check.not_null.is_some(),
        check.unique.is_some(),
        check.between.is_some(),
        check.in_set.is_some(),
        check.regex.is_some(),
        check.referential.is_some(),
        check.expression.is_some(),
        check.outlier.is_some(),
        check.row_count.is_some(),
        check.null_rate.is_some(),
        check.freshness.is_some(),
        check.schema.is_some(),
    ]
    .into_iter()
    .filter(|has| *has)
    .count()
}

fn sql(task: &DraftTask<'_>, sql: &Sql, reader: &mut Reader) {
    match (&sql.query, &sql.file) {
        (None, None) => data_error(
            reader,
            task.place(&["sql"]),
            "the task has no query".to_owned(),
            "add `query` or `file`",
        ),
        (Some(_), Some(_)) => {
            data_error(
                reader,
                task.place(&["sql", "file"]),
                "the task has two queries".to_owned(),
                "keep `query` or `file`",
            );
        }
        _ => {}
    }
    for (key, text) in [("query", &sql.query), ("file", &sql.file)] {
        if text.as_ref().is_some_and(|text| text.contains("{{") || text.contains("{%")) {
            data_error(
                reader,
                task.place(&["sql", key]),
                format!("`{key}` is no template: values are never written into SQL"),
                "bind the value: write `$name` in the query and `params: {name: \"{{ ... }}\"}`",
            );
        }
    }
}

fn mask(task: &DraftTask<'_>, mask: &Mask, resources: &Resources, reader: &mut Reader) {
    for (column, how) in &mask.columns {
        let place = || task.place(&["mask", "columns", column]);
        match (how.rule, &how.key_env) {
            (MaskRule::Hash, None) => data_error(
                reader,
                place(),
                "a hash needs a key".to_owned(),
                "name the variable that holds it: `{rule: hash, key_env: HASH_KEY}`",
            ),
            (MaskRule::Hash, Some(variable)) if !resources.secrets.contains_key(variable) => data_error(
                reader,
                place(),
                format!("`{variable}` is not among the task's secrets"),
                &format!("add `container: {{secrets: {{{variable}: \"secret:...\"}}}}` to the task"),
            ),
            (MaskRule::Hash, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                data_error(reader, place(), "only a hash has a key".to_owned(), "remove `key_env`")
            }
        }
    }
}
