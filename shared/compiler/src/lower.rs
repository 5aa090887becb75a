//! A checked pipeline to a plan without gates: names become positions, omitted settings their
//! defaults, templates their text.

use std::collections::{BTreeMap, BTreeSet};

use crate::bits::{descending, insert, words_for};
use cauce_model::Json;
use cauce_model::control::{BreakerUse, IdempotencyPlan, RateLimitUse};
use cauce_model::dataset::{Condition, DatasetTriggerPlan, Partitioning, normal_template};
use cauce_model::fargate::GrowthPlan;
use cauce_model::files::FileTriggerPlan;
use cauce_model::ids::sha256_hex;
use cauce_model::matrix::MatrixPlan;
use cauce_model::plan::{
    ApprovalPlan, Architecture, BranchChoice, CalendarFilter, CalendarPlan, ContainerPlan, DeadlinePlan,
    Edge, HoursPlan, MapPlan, NotifyPlan, OffPeakPlan, PLAN_SCHEMA, PipelineTaskPlan, Plan, RetryPlan,
    SchedulePlan, TaskIndex, TaskKind, TaskPlan, Tick, TriggerPlan, WaitForPlan,
};
use cauce_model::webhook::WebhookPlan;
use cauce_spec::file::calendar::Calendar;
use cauce_spec::file::dataset::{DatasetCondition, DatasetPartition, DatasetTrigger};
use cauce_spec::file::kind::{self as spec, Branch, Resources};
use cauce_spec::file::matrix::Per;
use cauce_spec::file::pipeline::{self, DataInterval, Notifications, Schedule};
use cauce_spec::file::task::{Map, Retry};
use cauce_spec::file::trigger::{Quorum, Trigger};
use cauce_spec::{Kind, Name, Pipeline, Project, Task};
use cauce_template::{Template, TemplateValue};
use serde_json::json;

use crate::lower_services;

/// The longest time of an attempt for which the file gives none: a day.
const TIMEOUT_SECONDS: u64 = 24 * 3600;

/// The same of an approval: a week, so that one asked for on a Friday is there on Monday.
const ANSWER_SECONDS: u64 = 7 * TIMEOUT_SECONDS;

/// The longest provisioning for which the file gives none. Fargate starts a container in a minute
/// or two; ten leave room for a large image.
const START_TIMEOUT_SECONDS: u64 = 600;

/// From SIGTERM to SIGKILL where the file does not say. It is also what ECS waits by default.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_timeout>
const STOP_TIMEOUT_SECONDS: u64 = 30;

/// The image and the program of the data kinds.
const WORKER_IMAGE: &str = "worker";
const WORKER_PROGRAM: &str = "cauce-worker";

/// Where each task stands in the plan.
struct Positions<'a> {
    by_name: BTreeMap<&'a str, TaskIndex>,
    /// By the place in the file.
    by_file: Vec<TaskIndex>,
    /// The tasks that wait for a task, ascending, by position.
    below: Vec<Vec<TaskIndex>>,
    /// Those of them that a branch may pass by: they name it among their needs, and take nothing away.
    branches: Vec<Vec<TaskIndex>>,
}

/// The plan of a pipeline, its tasks in the order given (indices into the file's). `needs` are the tasks
/// that each one waits for, by the same indices.
pub(crate) fn lower(
    pipeline: &Pipeline,
    project: &Project,
    sequence: &[usize],
    needs: &[Vec<usize>],
) -> Plan {
    let entries: Vec<(&Name, &Task)> =
        sequence.iter().filter_map(|&at| pipeline.tasks.get_index(at)).collect();
    let positions = Positions::new(&entries, sequence, needs);
    let schedules: Vec<SchedulePlan> = schedules(pipeline, project);
    let timezone = schedules.first().map_or("UTC", |schedule| &schedule.timezone);
    let mut tasks: Vec<TaskPlan> =
        entries.iter().map(|(name, entry)| task(name, entry, project, &positions)).collect();
    for (task, &at) in tasks.iter_mut().zip(sequence) {
        task.needs = needs[at].iter().map(|up| positions.by_file[*up]).collect();
    }
    for (task, priority) in tasks.iter_mut().zip(priorities(&entries, &positions)) {
        let asks = !task.pools.is_empty() || task.lock.is_some() || pipeline.max_active_tasks.is_some();
        task.priority = if asks && task.kind.holds_slots() { priority } else { 0 };
    }
    Plan {
        schema: PLAN_SCHEMA,
        pipeline: pipeline.name.to_string(),
        version: String::new(),
        params: pipeline.params.iter().map(|(name, spec)| (name.to_string(), spec.clone())).collect(),
        timezone: timezone.to_owned(),
        schedules,
        max_active_runs: pipeline.max_active_runs,
        overlap: pipeline.overlap,
        max_active_tasks: pipeline.max_active_tasks,
        max_consecutive_failed_runs: pipeline.max_consecutive_failed_runs,
        deadline: pipeline.deadline.as_ref().map(|deadline| DeadlinePlan {
            after_seconds: deadline.after.0,
            from: deadline.from,
            action: deadline.action,
        }),
        notify: notify(&pipeline.notify),
        paused: pipeline.paused,
        matrix: pipeline.matrix.as_ref().map(|matrix| MatrixPlan {
            name: matrix.name.to_string(),
            key: matrix.key.clone(),
            select: pipeline.schedule.iter().find_map(|one| one.select.as_ref()).map(Name::to_string),
            per_item: matrix.per == Per::Item,
            priority: matrix.priority.clone(),
        }),
        triggers: pipeline.triggers.iter().filter_map(trigger).collect(),
        tasks,
    }
}

/// The schedules in the order of the file, those of cases in theirs.
fn schedules(pipeline: &Pipeline, project: &Project) -> Vec<SchedulePlan> {
    let mut plans = Vec::new();
    for one in &pipeline.schedule {
        let cases = one.cases.iter().map(|(name, case)| (Some(name), case));
        let alone = one.cases.is_empty().then_some((None, one));
        for (name, case) in cases.chain(alone) {
            let plan = schedule(case, project);
            plans.extend(plan.map(|plan| SchedulePlan { case: name.map(Name::to_string), ..plan }));
        }
    }
    plans
}

fn trigger(trigger: &Trigger) -> Option<TriggerPlan> {
    if let Some(dataset) = &trigger.dataset {
        return Some(TriggerPlan::Dataset(self::dataset(dataset)));
    }
    // The checks refuse a trigger that says nothing, and those that a later release brings.
    if let Some(hook) = &trigger.webhook {
        return Some(TriggerPlan::Webhook(WebhookPlan {
            path: hook.path.as_ref().map(ToString::to_string),
            key: hook.key.to_string(),
            previous_key: hook.previous_key.as_ref().map(ToString::to_string),
            verify_token: hook.verify_token.as_ref().map(ToString::to_string),
            style: hook.style,
            params: hook.params.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect(),
            logical_date: hook.logical_date.as_ref().map(text),
        }));
    }
    let file = trigger.file.as_ref()?;
    Some(TriggerPlan::File(FileTriggerPlan {
        bucket: text(&file.bucket),
        keys: file.keys.clone(),
        all: file.wait_for == Quorum::All,
        marker: file.marker.clone(),
        item: file.item.clone(),
        logical_date: file.logical_date.clone(),
        min_bytes: file.min_bytes,
        deadline_seconds: file.deadline.map(|deadline| deadline.0),
        settle_seconds: file.settle.map(|settle| settle.0),
        batch: file.batch,
    }))
}

fn dataset(trigger: &DatasetTrigger) -> DatasetTriggerPlan {
    fn condition(given: &DatasetCondition) -> Condition {
        let inner = |inner: &[DatasetCondition]| inner.iter().map(condition).collect();
        match given {
            DatasetCondition::Dataset(name) => Condition::Dataset(normal_template(name.source())),
            DatasetCondition::Any(any) => Condition::Any(inner(any)),
            DatasetCondition::All(all) => Condition::All(inner(all)),
        }
    }
    DatasetTriggerPlan {
        on: condition(&trigger.condition()),
        partitioned_by: trigger.partitioned_by.map(|DatasetPartition::Day| Partitioning::Day),
        fresh_within_seconds: trigger.fresh_within.map(|within| within.0),
        deadline_seconds: trigger.deadline.map(|deadline| deadline.0),
    }
}

fn schedule(schedule: &Schedule, project: &Project) -> Option<SchedulePlan> {
    // The checks refuse a name that is not there.
    let calendar = schedule.calendar.as_ref().and_then(|name| project.calendars.get(name.as_str()));
    let by_edge = schedule.open.map(|by| (Edge::Open, by)).or(schedule.close.map(|by| (Edge::Close, by)));
    // Opening and closing are moments of the calendar, whose days then date the runs too.
    let own = calendar.and_then(|calendar| calendar.timezone.as_ref()).filter(|_| by_edge.is_some());
    let zone = own.unwrap_or(&schedule.timezone).as_str();
    let instant =
        |moment: &cauce_spec::Moment| moment.instant(zone).map(cauce_model::Instant::from_timestamp);
    let every = match (&schedule.cron, schedule.rate, &schedule.at, by_edge) {
        (Some(cron), ..) => Tick::Cron(cron.as_str().to_owned()),
        (None, Some(rate), ..) => Tick::RateSeconds(rate.0),
        (None, None, Some(at), _) => Tick::Once(instant(at)?),
        (None, None, None, Some((edge, by))) => Tick::Calendar { edge, minutes: by.0 },
        // The checks refuse a schedule that says none of them.
        (None, None, None, None) => return None,
    };
    Some(SchedulePlan {
        case: None,
        every,
        timezone: zone.to_owned(),
        data_interval: schedule.data_interval == DataInterval::Previous,
        start: schedule.start.as_ref().and_then(instant),
        end: schedule.end.as_ref().and_then(instant),
        catchup: schedule.catchup,
        dst_gap: schedule.dst_gap,
        calendar: calendar.map(|calendar| self::calendar(calendar, schedule.calendar_filters)),
        jitter_seconds: schedule.jitter.map(|jitter| jitter.0),
        off_peak: schedule.off_peak.as_ref().map(|off_peak| OffPeakPlan {
            hours: HoursPlan(off_peak.hours.0.open, off_peak.hours.0.close),
            all_day: off_peak.all_day.0.clone(),
        }),
    })
}

fn calendar(calendar: &Calendar, filters: pipeline::CalendarFilter) -> CalendarPlan {
    let hours = |hours: &cauce_spec::Hours| HoursPlan(hours.open, hours.close);
    let dates = |days: &[cauce_spec::Day]| days.iter().map(ToString::to_string).collect();
    CalendarPlan {
        filters: match filters {
            pipeline::CalendarFilter::DataDay => CalendarFilter::DataDay,
            pipeline::CalendarFilter::FireTime => CalendarFilter::FireTime,
        },
        timezone: calendar.timezone.as_ref().map(|zone| zone.as_str().to_owned()),
        weekdays: calendar.weekdays.0.clone(),
        without: dates(&calendar.without),
        with: dates(&calendar.with),
        hours: calendar.hours.as_ref().map(hours),
        special: calendar.special.iter().map(|(day, at)| (day.to_string(), hours(at))).collect(),
    }
}

fn task(name: &Name, task: &Task, project: &Project, positions: &Positions<'_>) -> TaskPlan {
    let settings = &task.settings;
    let seconds = |given: Option<cauce_spec::Seconds>, otherwise| given.map_or(otherwise, |s| s.0);
    TaskPlan {
        name: name.to_string(),
        kind: kind(name, task, project, positions),
        needs: Vec::new(),
        rule: settings.rule(),
        gate: None,
        opens: Vec::new(),
        condition: settings.condition.as_ref().map(text),
        outputs: outputs_read(task, positions),
        map: settings.map.as_ref().map(map),
        timeout_seconds: seconds(settings.timeout, timeout_seconds(&task.kind)),
        start_timeout_seconds: seconds(settings.start_timeout, START_TIMEOUT_SECONDS),
        stop_timeout_seconds: seconds(settings.stop_timeout, STOP_TIMEOUT_SECONDS),
        retry: RetryPlan { final_exit_codes: final_exit_codes(&task.kind), ..retry(&settings.retry) },
        allow_failure: settings.allow_failure,
        teardown_of: positions.of(&settings.teardown_of),
        fallback_for: settings
            .fallback_for
            .as_ref()
            .and_then(|name| positions.by_name.get(name.as_str()).copied()),
        reads: settings.reads.iter().map(text).collect(),
        writes: settings.writes.iter().map(text).collect(),
        returns: settings.returns.iter().map(|(name, kind)| (name.to_string(), *kind)).collect(),
        pools: settings.pools.iter().map(|(pool, slots)| (pool.as_str().to_owned(), *slots)).collect(),
        lock: settings.lock.as_ref().map(text),
        breaker: settings
            .breaker
            .as_ref()
            .map(|used| BreakerUse { name: used.name.to_string(), on_open: used.on_open }),
        rate_limit: settings
            .rate_limit
            .as_ref()
            .map(|used| RateLimitUse { name: used.name.to_string(), tokens: used.tokens }),
        idempotency: settings.idempotency.as_ref().map(|given| IdempotencyPlan {
            key: text(&given.key),
            ttl_seconds: given.ttl.0,
            on_duplicate: given.on_duplicate,
        }),
        priority: 0,
        notify: notify(&settings.notify),
    }
}

/// The longest time of an attempt for which the file gives none.
const fn timeout_seconds(kind: &Kind) -> u64 {
    match kind {
        Kind::Approval(_) => ANSWER_SECONDS,
        _ => TIMEOUT_SECONDS,
    }
}

/// The effective priority of every task: its own and those of all tasks below it, each once. So what
/// much that matters waits for goes first, without anybody writing it on the way there.
fn priorities(entries: &[(&Name, &Task)], positions: &Positions<'_>) -> Vec<i64> {
    let own: Vec<i64> = entries.iter().map(|(_, task)| i64::from(task.settings.priority)).collect();
    if own.iter().all(|priority| *priority == 0) {
        return own;
    }
    // Tasks are in topological order: from the last to the first, what is below those below is known.
    let mut below: Vec<Vec<u64>> = vec![Vec::new(); own.len()];
    let mut sums = own.clone();
    for task in (0..own.len()).rev() {
        let mut row = vec![0; words_for(own.len())];
        for &down in &positions.below[task] {
            insert(&mut row, down);
            for (word, more) in row.iter_mut().zip(&below[down as usize]) {
                *word |= more;
            }
        }
        sums[task] += descending(&row).map(|down| own[down as usize]).sum::<i64>();
        below[task] = row;
    }
    sums
}

fn text(template: &Template) -> String {
    template.source().to_owned()
}

fn map(map: &Map) -> MapPlan {
    MapPlan {
        over: map.over.to_json(),
        max_items: map.max_items,
        max_concurrency: map.max_concurrency,
        tolerated_failures: map.tolerated_failures,
        distributed: false,
    }
}

fn retry(retry: &Retry) -> RetryPlan {
    RetryPlan {
        retries: retry.retries,
        delay_seconds: retry.delay.0 as f64,
        backoff: retry.backoff,
        max_delay_seconds: retry.max_delay.0 as f64,
        jitter: retry.jitter,
        infrastructure_retries: retry.infrastructure_retries,
        restartable: retry.restartable,
        retry_on: retry.retry_on.clone(),
        no_retry_on: retry.no_retry_on.clone(),
        skip_on_exit_code: retry.skip_on_exit_code.clone(),
        final_exit_codes: Vec::new(),
        max_duration_seconds: retry.max_duration.map(|longest| longest.0),
        on_oom: retry.on_oom.as_ref().map(|growth| GrowthPlan { factor: growth.memory.0, max: growth.max }),
    }
}

/// The worker ends with 1 when the data failed and with 2 when its configuration is wrong
/// (docs/data-kinds.md): the same again the next time.
fn final_exit_codes(kind: &Kind) -> Vec<i32> {
    match kind {
        Kind::Quality(_) | Kind::Sql(_) | Kind::Mask(_) | Kind::Copy(_) => vec![1, 2],
        _ => Vec::new(),
    }
}

fn notify(channels: &Notifications) -> NotifyPlan {
    let names = |names: &[Name]| names.iter().map(Name::to_string).collect();
    NotifyPlan {
        failed: names(&channels.failed),
        retrying: names(&channels.retrying),
        deadline: names(&channels.deadline),
        success: names(&channels.success),
    }
}

fn kind(name: &Name, task: &Task, project: &Project, positions: &Positions<'_>) -> TaskKind {
    let worker = |kind: &str, config: &TemplateValue, resources: &Resources| {
        let command = vec![json!(WORKER_PROGRAM), json!(kind)];
        let local = local(task, project, WORKER_IMAGE, &command);
        TaskKind::Container(ContainerPlan {
            config: Some(config.to_json()),
            // The worker is installed beside `cauce`, so it needs no declaration to run there.
            local: local.or_else(|| Some(command.clone())),
            ..container(WORKER_IMAGE, command, resources)
        })
    };
    match &task.kind {
        Kind::Container(own) => {
            let command: Vec<Json> = own.command.iter().map(|item| json!(item.source())).collect();
            TaskKind::Container(ContainerPlan {
                local: local(task, project, own.image.as_str(), &command),
                ..container(own.image.as_str(), command, &own.resources)
            })
        }
        Kind::Quality(data) => worker(task.kind.key(), &data.config, &data.resources),
        Kind::Sql(data) => worker(task.kind.key(), &data.config, &data.resources),
        Kind::Mask(data) => worker(task.kind.key(), &data.config, &data.resources),
        Kind::Copy(data) => worker(task.kind.key(), &data.config, &data.resources),
        Kind::WaitFor(wait) => TaskKind::WaitFor(WaitForPlan {
            files: wait.files.iter().map(text).collect(),
            poll_seconds: wait.poll_interval.0,
            min_bytes: wait.min_bytes,
        }),
        Kind::Approval(approval) => TaskKind::Approval(ApprovalPlan {
            message: text(&approval.message),
            notify: approval.notify.iter().map(Name::to_string).collect(),
            on_reject: approval.on_reject,
            on_timeout: approval.on_timeout,
        }),
        Kind::Branch(branch) => TaskKind::Branch { choices: choices(name, branch, positions) },
        Kind::Fail(fail) => TaskKind::Fail { message: text(&fail.message) },
        Kind::Notify(notice) => TaskKind::Notify {
            channels: notice.channels.iter().map(Name::to_string).collect(),
            subject: text(&notice.subject),
            message: text(&notice.message),
        },
        Kind::Pass(pass) => {
            let fields = pass.output.iter().map(|(name, value)| (name.to_string(), value.to_json()));
            TaskKind::Pass { output: (!pass.output.is_empty()).then(|| Json::Object(fields.collect())) }
        }
        Kind::Pipeline(other) => {
            let params = other.params.iter().map(|(name, value)| (name.to_string(), value.to_json()));
            TaskKind::Pipeline(PipelineTaskPlan {
                pipeline: other.name.to_string(),
                params: Json::Object(params.collect()),
                logical_date: other.logical_date.as_ref().map(text),
                wait: other.wait,
                on_existing: other.on_existing,
            })
        }
        Kind::Lambda(_)
        | Kind::Glue(_)
        | Kind::EmrServerless(_)
        | Kind::Batch(_)
        | Kind::Athena(_)
        | Kind::Http(_)
        | Kind::StateMachine(_) => match lower_services::call(task) {
            Some(call) => TaskKind::Call(call),
            None => unreachable!("each of these kinds is a service"),
        },
    }
}

fn container(image: &str, command: Vec<Json>, resources: &Resources) -> ContainerPlan {
    let env = resources.env.iter();
    let secrets = resources.secrets.iter();
    ContainerPlan {
        image: image.to_owned(),
        command,
        env: env.map(|(name, value)| (name.clone(), json!(value.source()))).collect(),
        secrets: secrets.map(|(name, secret)| (name.clone(), secret.clone())).collect(),
        config: None,
        task_definition: task_definition(image, resources),
        role: resources.role.as_ref().map(text),
        architecture: architecture(resources.architecture),
        cpu: resources.cpu,
        memory: resources.memory,
        capacity: resources.capacity,
        ephemeral_storage_gib: resources.ephemeral_storage,
        local: None,
    }
}

/// The family of the task definition: what an override cannot change makes another one. An image
/// without secrets, role and another processor keeps its plain name. Disk is no part of it: an
/// override can change that.
fn task_definition(image: &str, resources: &Resources) -> String {
    let usual = resources.architecture == spec::Architecture::X86_64;
    if resources.secrets.is_empty() && resources.role.is_none() && usual {
        return image.to_owned();
    }
    let secrets: BTreeMap<&String, &String> = resources.secrets.iter().collect();
    let role = resources.role.as_ref().map(Template::source);
    // A family with nothing but secrets keeps the name that it had before there were roles.
    let identity = match (role, usual) {
        (None, true) => json!(secrets),
        _ => json!({"secrets": secrets, "role": role, "architecture": resources.architecture}),
    };
    format!("{image}-{}", &sha256_hex(identity.to_string())[..8])
}

fn architecture(architecture: spec::Architecture) -> Architecture {
    match architecture {
        spec::Architecture::X86_64 => Architecture::X86_64,
        spec::Architecture::Arm64 => Architecture::Arm64,
    }
}

/// What runs on one machine instead of the image: the task's own word, or the image's prefix before
/// the command. `None` leaves it to podman or docker.
fn local(task: &Task, project: &Project, image: &str, command: &[Json]) -> Option<Vec<Json>> {
    let items = |argv: &[Template]| -> Vec<Json> { argv.iter().map(|item| json!(item.source())).collect() };
    if let Some(local) = &task.settings.local {
        return Some(items(&local.command));
    }
    let mut found = project.images.iter().filter(|(name, _)| name.as_str() == image);
    let prefix = found.next()?.1.local.as_ref()?;
    let mut argv = items(prefix);
    argv.extend_from_slice(command);
    Some(argv)
}

/// The ways out of a branch, each with the direct downstreams that it skips. A branch without
/// `else` gets one that chooses nothing.
fn choices(name: &Name, branch: &Branch, positions: &Positions<'_>) -> Vec<BranchChoice> {
    let own = positions.by_name.get(name.as_str()).copied().unwrap_or_default();
    let below = &positions.branches[own as usize];
    let choice = |condition: Option<&Template>, to: &[Name]| {
        let reached = positions.reached_from(to);
        BranchChoice {
            condition: condition.map(text),
            to: positions.of(to),
            skips: below.iter().copied().filter(|task| !reached.contains(task)).collect(),
        }
    };
    let mut choices: Vec<BranchChoice> =
        branch.0.iter().map(|written| choice(written.condition.as_ref(), &written.to)).collect();
    if choices.iter().all(|choice| choice.condition.is_some()) {
        choices.push(choice(None, &[]));
    }
    choices
}

impl<'a> Positions<'a> {
    /// The positions of tasks in the order of the plan, given what each waits for, by its place in the file.
    fn new(entries: &[(&'a Name, &'a Task)], sequence: &[usize], needs: &[Vec<usize>]) -> Self {
        let names = entries.iter().enumerate();
        let mut positions = Self {
            by_name: names.map(|(at, (name, _))| (name.as_str(), at as TaskIndex)).collect(),
            by_file: vec![0; needs.len()],
            below: vec![Vec::new(); entries.len()],
            branches: vec![Vec::new(); entries.len()],
        };
        for (at, place) in sequence.iter().enumerate() {
            positions.by_file[*place] = at as TaskIndex;
        }
        for (at, ((_, task), place)) in entries.iter().zip(sequence).enumerate() {
            for need in &needs[*place] {
                positions.below[positions.by_file[*need] as usize].push(at as TaskIndex);
            }
            if task.settings.teardown_of.is_empty() {
                for need in positions.of(&task.settings.needs) {
                    positions.branches[need as usize].push(at as TaskIndex);
                }
            }
        }
        positions
    }

    fn of(&self, names: &[Name]) -> Vec<TaskIndex> {
        // The checks refuse names that no task has.
        names.iter().filter_map(|name| self.by_name.get(name.as_str()).copied()).collect()
    }

    /// These tasks and everything below them.
    fn reached_from(&self, names: &[Name]) -> BTreeSet<TaskIndex> {
        let mut reached = BTreeSet::new();
        let mut stack = self.of(names);
        while let Some(task) = stack.pop() {
            if reached.insert(task) {
                stack.extend_from_slice(&self.below[task as usize]);
            }
        }
        reached
    }
}

/// The tasks whose outputs a task's templates read, ascending.
fn outputs_read(task: &Task, positions: &Positions<'_>) -> Vec<TaskIndex> {
    let mut found = BTreeSet::new();
    for_each_template(task, &mut |template| {
        for name in template.names().iter().filter(|name| !name.placeholder) {
            match name.path.as_slice() {
                [root, task, ..] if root == "outputs" => {
                    found.extend(positions.by_name.get(task.as_str()).copied());
                }
                // `outputs[x]`: any that it may wait for.
                [root] if root == "outputs" => found.extend(positions.of(&task.settings.needs)),
                _ => {}
            }
        }
    });
    found.into_iter().collect()
}

/// Every template of a task.
fn for_each_template(task: &Task, see: &mut impl FnMut(&Template)) {
    let settings = &task.settings;
    settings.condition.iter().for_each(&mut *see);
    settings.reads.iter().chain(&settings.writes).for_each(&mut *see);
    if let Some(local) = &settings.local {
        local.command.iter().for_each(&mut *see);
    }
    if let Some(map) = &settings.map {
        in_value(&map.over, see);
    }
    match &task.kind {
        Kind::Container(own) => {
            own.command.iter().for_each(&mut *see);
            own.resources.env.values().for_each(see);
        }
        Kind::Quality(data) => in_data(&data.config, &data.resources, see),
        Kind::Sql(data) => in_data(&data.config, &data.resources, see),
        Kind::Mask(data) => in_data(&data.config, &data.resources, see),
        Kind::Copy(data) => in_data(&data.config, &data.resources, see),
        Kind::WaitFor(wait) => wait.files.iter().for_each(see),
        Kind::Branch(branch) => branch.0.iter().filter_map(|choice| choice.condition.as_ref()).for_each(see),
        Kind::Fail(fail) => see(&fail.message),
        Kind::Approval(approval) => see(&approval.message),
        Kind::Notify(notice) => [&notice.subject, &notice.message].into_iter().for_each(see),
        Kind::Pass(pass) => pass.output.values().for_each(|value| in_value(value, see)),
        Kind::Pipeline(other) => {
            other.logical_date.iter().for_each(&mut *see);
            other.params.values().for_each(|value| in_value(value, see));
        }
        service => lower_services::for_each_template(service, see),
    }
}

fn in_data(config: &TemplateValue, resources: &Resources, see: &mut impl FnMut(&Template)) {
    in_value(config, see);
    resources.env.values().for_each(see);
}

pub(crate) fn in_value(value: &TemplateValue, see: &mut (impl FnMut(&Template) + ?Sized)) {
    // A file nests no deeper than its reader allows, so this recursion is bounded.
    match value {
        TemplateValue::Constant(_) => {}
        TemplateValue::Text(template) => see(template),
        TemplateValue::List(items) => items.iter().for_each(|item| in_value(item, see)),
        TemplateValue::Object(fields) => fields.iter().for_each(|(_, field)| in_value(field, see)),
    }
}
