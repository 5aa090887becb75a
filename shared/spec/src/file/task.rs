//! A task: the settings that every kind has, and [`Kind`] for what it does.

use cauce_model::TriggerRule;
use cauce_model::plan::{RetryPlan, ReturnType};
use cauce_model::status::FailureClass;
use cauce_template::{Template, TemplateValue};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::diagnostic::{Code, Position};
use crate::expand::lengthen;
use crate::file::control::{BreakerUse, Idempotency, RateLimitUse};
use crate::file::kind::{Kind, Program};
use crate::file::pipeline::Notifications;
use crate::shape::{
    Argv, Definitions, Factor, Fields, Name, PoolName, Reader, Seconds, Shape, document, object, record,
};
use crate::tree::{Entry, Node, Value};

/// One task of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Task {
    /// Where its name stands in the file.
    pub position: Position,
    /// What every kind of task has.
    #[serde(flatten)]
    pub settings: Settings,
    /// What it does.
    pub kind: Kind,
}

record! {
    /// Task settings: what every kind of task may say.
    pub struct Settings {
        /// Needs: the tasks that must have ended before this one is decided.
        needs: Vec<Name> = Vec::new();
        /// Trigger rule: which endings of the needed tasks let this one run.
        trigger_rule: TriggerRule = TriggerRule::AllSuccess;
        /// Condition: a template; the task is skipped when it is false.
        condition as "if": Option<Template> = None;
        /// Timeout: the longest time of one attempt, from the moment it runs.
        timeout: Option<Seconds> = None, within 1..=31_536_000;
        /// Start timeout: the longest time to get an attempt running.
        start_timeout: Option<Seconds> = None, within 1..=86_400;
        /// Stop timeout: the time from SIGTERM to SIGKILL. Fargate allows at most 120 seconds.
        stop_timeout: Option<Seconds> = None, within 0..=120;
        /// Retry: what follows a failed attempt. A number alone is the number of retries.
        retry: Retry = Retry::default();
        /// Map: run once per item of a list.
        map: Option<Map> = None;
        /// Allowed failure: a failure counts as success below this task and for the run.
        allow_failure: bool = false;
        /// Reads: the datasets that it reads, as URIs.
        reads: Vec<Template> = Vec::new();
        /// Writes: the datasets that it writes, as URIs.
        writes: Vec<Template> = Vec::new();
        /// Returns: the fields of its output and their types.
        returns: IndexMap<Name, ReturnType> = IndexMap::new();
        /// Notifications: channels that hear of this task, besides the pipeline's.
        notify: Notifications = Notifications::default();
        /// Group: a heading under which graphs show it.
        group: Option<String> = None;
        /// Documentation: text in Markdown.
        docs: Option<String> = None;
        /// Local: what to run instead on one machine.
        local: Option<Local> = None;
        /// Pools: how many slots of which pools of the project an attempt holds, all or none. The item of a matrix may choose: `feed_{{ symbol.exchange }}`.
        pools: IndexMap<PoolName, u32> = IndexMap::new();
        /// Lock: a template for a name that only one attempt of the whole project holds at a time.
        lock: Option<Template> = None;
        /// Priority: who is first where slots are short, higher first; the priorities of all tasks below count too.
        priority: i32 = 0, within -1_000_000..=1_000_000;
        /// Idempotency: when an earlier result is used again.
        idempotency: Option<Idempotency> = None;
        /// Breaker: the circuit breaker it stands behind.
        breaker: Option<BreakerUse> = None;
        /// Rate limit: the limit that an attempt takes tokens from.
        rate_limit: Option<RateLimitUse> = None;
        /// Setup: whether it prepares something that a teardown takes away.
        setup: bool = false;
        /// Teardown of: the setups that it takes away once everything below them has ended, however that went.
        teardown_of: Vec<Name> = Vec::new();
        /// Fallback for: the task whose failure it makes good. It runs when that one failed or could not run, and is skipped otherwise.
        fallback_for: Option<Name> = None;
        /// After previous: whether it waits for its own success in the run before.
        after_previous: bool = false => later;
        /// Uses: the task template that it fills in.
        uses: Option<Name> = None;
        /// With: the values for that template.
        with: IndexMap<Name, TemplateValue> = IndexMap::new();
    }
}

impl Settings {
    /// The rule that decides whether the task runs. A teardown waits for all, however they end; a fallback
    /// runs when what it stands in for failed.
    pub const fn rule(&self) -> TriggerRule {
        match (self.teardown_of.is_empty(), &self.fallback_for) {
            (false, _) => TriggerRule::AllDone,
            (true, Some(_)) => TriggerRule::AllFailed,
            (true, None) => self.trigger_rule,
        }
    }
}

record! {
    /// Retry: how often and when a failed attempt is repeated. A number alone is the number of retries.
    pub struct Retry (short "retries") {
        /// Retries: how many more attempts follow a failure of the task's own program.
        retries: u32 = RetryPlan::default().retries, within 0..=100;
        /// Delay: the time before the first of them.
        delay: Seconds = Seconds(RetryPlan::default().delay_seconds as u64), within 0..=86_400;
        /// Backoff: the factor from one delay to the next.
        backoff: f64 = RetryPlan::default().backoff, within 1..=10;
        /// Longest delay: no delay is longer than this.
        max_delay: Seconds = Seconds(RetryPlan::default().max_delay_seconds as u64), within 0..=86_400;
        /// Jitter: the share of a delay by which it is moved either way.
        jitter: f64 = RetryPlan::default().jitter, within 0..=1;
        /// Infrastructure retries: how many more attempts follow failures in which the program never started.
        infrastructure_retries: u32 = RetryPlan::default().infrastructure_retries, within 0..=100;
        /// Restartable: whether an interrupted program may start again without using up a retry.
        restartable: bool = false;
        /// Retry on: only these classes of failure are retried, where any is named.
        retry_on: Vec<FailureClass> = Vec::new();
        /// No retry on: these classes of failure are never retried.
        no_retry_on: Vec<FailureClass> = Vec::new();
        /// Skip on exit code: exit codes that skip the task instead of failing it.
        skip_on_exit_code: Vec<i32> = Vec::new();
        /// Longest duration: no attempt begins later than this after the first one did.
        max_duration: Option<Seconds> = None, within 1..=31_536_000;
        /// Out of memory: how the next attempt grows after one ran out of memory. It uses up a retry.
        on_oom: Option<OutOfMemory> = None;
    }
}

record! {
    /// Out of memory: how the next attempt grows.
    pub struct OutOfMemory {
        /// Memory: how many times that of the attempt before, such as `x2`.
        memory: Factor;
        /// Most memory: MiB that no attempt goes above.
        max: u32, within 512..=122_880;
    }
}

impl Default for Retry {
    fn default() -> Self {
        let plan = RetryPlan::default();
        Self {
            retries: plan.retries,
            delay: Seconds(plan.delay_seconds as u64),
            backoff: plan.backoff,
            max_delay: Seconds(plan.max_delay_seconds as u64),
            jitter: plan.jitter,
            infrastructure_retries: plan.infrastructure_retries,
            restartable: false,
            retry_on: Vec::new(),
            no_retry_on: Vec::new(),
            skip_on_exit_code: Vec::new(),
            max_duration: None,
            on_oom: None,
        }
    }
}

record! {
    /// Map: one task, run once per item.
    pub struct Map (short "over") {
        /// Over: a list, or a template that renders to one.
        over: TemplateValue;
        /// Most items: more items than this fail the task.
        max_items: u32 = 1024, within 1..=100_000;
        /// Concurrency: how many items are under way at once.
        max_concurrency: u32 = 40, within 1..=10_000;
        /// Tolerated failures: how many failed items the task survives.
        tolerated_failures: u32 = 0;
    }
}

record! {
    /// Local: what runs instead on one machine. The command alone is enough.
    pub struct Local (short "command") {
        /// Command: the program and its arguments.
        command: Argv;
    }
}

impl Shape for Task {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = Fields::open(node, reader, "a task, which is a mapping")?;
        // `notify` is a kind where it says a message, otherwise it names channels by event.
        fields.hide(Kind::is_notice(node).then_some("notify"));
        let settings = Settings::take(&mut fields, reader)?;
        fields.hide(None);
        let kind = Kind::take(node, &mut fields, settings.uses.is_some(), reader);
        let known: Vec<&str> = Kind::KEYS.iter().chain(Settings::KEYS).copied().collect();
        fields.close(&known, reader);
        // A task without a usable kind was reported; it keeps its place in the graph, so that the
        // tasks around it are still checked.
        Some(Self { position: Position::default(), settings, kind: kind.unwrap_or_default() })
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Task", |definitions| {
            let (mut properties, _) = Settings::properties(definitions);
            let notices = properties["notify"].clone();
            properties.extend(Kind::properties(definitions));
            properties["notify"] = json!({
                "title": "Notify",
                "description": "With a message: the task sends it to channels. Without: channels that hear of this task.",
                "anyOf": [properties["notify"].clone(), notices],
            });
            let mut schema = object(properties, &[], true);
            schema["anyOf"] = Kind::KEYS
                .iter()
                .map(|kind| json!({"required": [kind]}))
                .collect();
            document(
                schema,
                "Task: what is done, under exactly one kind, and when and how.",
            )
        })
    }
}

/// Settings that `defaults` give only to tasks whose attempts can hold something.
const HELD: [&str; 5] = ["pools", "lock", "breaker", "rate_limit", "idempotency"];

/// The kind whose exit codes are statuses.
pub(crate) const HTTP: &str = "http";

/// The highest code that a program can end with.
pub(crate) const EXIT_CODE_MAX: i32 = 255;

/// The highest status that a web service answers.
pub(crate) const STATUS_MAX: i32 = 599;

/// Settings that `defaults` may not set: they place one task in the graph.
const PERSONAL: [&str; 8] =
    ["needs", "map", "returns", "setup", "teardown_of", "fallback_for", "uses", "with"];

/// The `defaults` of a file. They are merged into the tasks before those are read, so nothing
/// of them is left to look at.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Defaults {}

impl Defaults {
    /// The tree of a task with the defaults below it. `calls`: tasks of the file call web services, and statuses are
    /// for these alone.
    pub(crate) fn merge(defaults: &Node, task: &mut Node, calls: bool) {
        let (Value::Map(above), Value::Map(own)) = (&defaults.value, &mut task.value) else {
            return;
        };
        for entry in above {
            if PERSONAL.contains(&entry.key.as_str()) {
                continue;
            }
            if HELD.contains(&entry.key.as_str()) && Kind::holds_nothing(own) {
                continue;
            }
            // A person is asked once.
            if entry.key == "retry" && own.iter().any(|own| own.key == "approval") {
                continue;
            }
            let growing = (entry.key == "retry" && !Kind::has_memory(own)).then(|| without(entry, "on_oom"));
            let entry = growing.as_ref().unwrap_or(entry);
            let is_program = entry.key == "retry" && calls && !own.iter().any(|own| own.key == HTTP);
            let ending = is_program.then(|| without_statuses(entry));
            let entry = ending.as_ref().unwrap_or(entry);
            let notices = entry.key == "notify";
            let is_kind = Kind::KEYS.contains(&entry.key.as_str()) && !notices;
            let sizes_worker =
                entry.key == "container" && own.iter().any(|own| Kind::DATA_KEYS.contains(&own.key.as_str()));
            // The worker's container is only sized: image and command are not a data task's.
            let sized = sizes_worker.then(|| sized(entry));
            let entry = sized.as_ref().unwrap_or(entry);
            match own.iter_mut().find(|own| own.key == entry.key) {
                Some(own) if notices && Kind::is_message(&own.value) => {}
                Some(own) => {
                    let mut entry = entry.clone();
                    let is_full = |node: &Node| matches!(node.value, Value::Map(_));
                    if is_full(&entry.value) != is_full(&own.value) {
                        lengthen(&own.key, &mut entry.value);
                        lengthen(&own.key, &mut own.value);
                    }
                    deepen(&entry.value, &mut own.value);
                }
                None if !is_kind || sizes_worker => own.push(entry.clone()),
                None => {}
            }
        }
    }
}

/// A default container without what makes it a program.
fn sized(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if let Value::Map(settings) = &mut entry.value.value {
        settings.retain(|setting| !Program::KEYS.contains(&setting.key.as_str()));
    }
    entry
}

/// A default `retry` without the codes that no program ends with.
fn without_statuses(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if let Value::Map(settings) = &mut entry.value.value {
        let codes = settings.iter_mut().find(|setting| setting.key == "skip_on_exit_code");
        if let Some(Value::List(codes)) = codes.map(|setting| &mut setting.value.value) {
            codes.retain(|code| !matches!(code.value, Value::Int(code) if is_status(code)));
        }
    }
    entry
}

/// Whether a code can only be a status of a web service.
fn is_status(code: i64) -> bool {
    (i64::from(EXIT_CODE_MAX) + 1..=i64::from(STATUS_MAX)).contains(&code)
}

/// A default without one of its settings.
fn without(entry: &Entry, key: &str) -> Entry {
    let mut entry = entry.clone();
    if let Value::Map(settings) = &mut entry.value.value {
        settings.retain(|setting| setting.key != key);
    }
    entry
}

/// Adds to `own` what it does not say and `above` does.
pub(crate) fn deepen(above: &Node, own: &mut Node) {
    let (Value::Map(above), Value::Map(own)) = (&above.value, &mut own.value) else {
        return;
    };
    for entry in above {
        match own.iter_mut().find(|own| own.key == entry.key) {
            Some(own) => deepen(&entry.value, &mut own.value),
            None => own.push(entry.clone()),
        }
    }
}

impl Shape for Defaults {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = Fields::open(node, reader, "a mapping of task settings")?;
        for key in PERSONAL {
            if let Some(entry) = fields.take(key) {
                reader.under(key, |reader| {
                    reader.error(
                        Code::Conflict,
                        entry.key_span,
                        format!("`{key}` cannot be a default"),
                        "it belongs to one task: write it there",
                    );
                });
            }
        }
        reader.partially(|reader| {
            Settings::take(&mut fields, reader);
            fields.hide(Some("notify"));
            Kind::take_partial(&mut fields, reader);
            fields.hide(None);
        });
        let known: Vec<&str> = Kind::KEYS.iter().chain(Settings::KEYS).copied().collect();
        fields.close(&known, reader);
        Some(Self {})
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Defaults", |definitions| {
            let (mut properties, _) = Settings::properties(definitions);
            properties.retain(|key, _| !PERSONAL.contains(&key.as_str()));
            for (key, schema) in Kind::properties(definitions) {
                if key == "notify" {
                    continue;
                }
                let title = schema["title"].clone();
                properties.insert(
                    key,
                    json!({"title": title, "description": "Merged into tasks of this kind.", "type": "object"}),
                );
            }
            document(object(properties, &[], true), "Defaults: settings merged into every task.")
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Project, check};

    /// The retries of the one task of a file, and its first delay.
    fn retry(default: &str, own: &str) -> (u32, u64) {
        let text = format!(
            "pipeline: p\ndefaults: {{retry: {default}}}\ntasks:\n  a: {{retry: {own}, container: {{image: x, command: [run]}}}}\n"
        );
        let (pipeline, found) = check(text.as_bytes(), &Project::none());
        assert!(found.is_empty(), "{text}{found:?}");
        let retry = pipeline.unwrap().tasks["a"].settings.retry.clone();
        (retry.retries, retry.delay.0)
    }

    #[test]
    fn a_setting_in_its_short_form_is_merged_as_it_is_in_full() {
        assert_eq!(retry("{retries: 9, delay: 2s}", "{retries: 1}"), (1, 2));
        assert_eq!(retry("{retries: 9, delay: 2s}", "1"), (1, 2));
        assert_eq!(retry("9", "{delay: 3s}"), (9, 3));
        assert_eq!(retry("9", "1").0, 1);
    }

    #[test]
    fn statuses_among_the_defaults_are_for_the_tasks_that_call_web_services() {
        let program = "  a: {container: {image: x, command: [run]}}\n";
        let call = "  b: {http: {url: \"https://example.com\", connection: c}}\n";
        let text = |codes: &str, tasks: &[&str]| {
            let tasks = tasks.concat();
            format!("pipeline: p\ndefaults: {{retry: {{skip_on_exit_code: {codes}}}}}\ntasks:\n{tasks}")
        };
        let (pipeline, found) = check(text("[99, 404]", &[program, call]).as_bytes(), &Project::none());
        let pipeline = pipeline.unwrap_or_else(|| panic!("{found:?}"));
        let codes = |task: &str| pipeline.tasks[task].settings.retry.skip_on_exit_code.clone();
        assert_eq!((codes("a"), codes("b")), (vec![99], vec![99, 404]));
        // They fit no task of the file; or nothing at all.
        for text in [text("[99, 404]", &[program]), text("[999]", &[program, call])] {
            let (pipeline, found) = check(text.as_bytes(), &Project::none());
            assert!(
                pipeline.is_none() && found[0].message.ends_with("is no exit code of a failure"),
                "{text}{found:?}"
            );
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_told_of_the_setting_that_is() {
        for text in ["-1", "{retries: -1}", "101"] {
            let text = format!("pipeline: p\ntasks:\n  a: {{retry: {text}, pass: {{}}}}\n");
            let (_, found) = check(text.as_bytes(), &Project::none());
            assert_eq!(found.len(), 1, "{text}{found:?}");
            let told = format!("{} {}", found[0].message, found[0].help.as_deref().unwrap_or_default());
            assert!(told.contains("`retries`") && told.contains("0 to 100"), "{told}");
        }
    }
}
