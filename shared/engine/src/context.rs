//! The names that templates see at run time, and rendering with errors in words.

use crate::status::effective;
use crate::stop::Stop;
use crate::view::Document;
use crate::{Need, Prepared, Settings, View};
use cauce_model::plan::TaskPlan;
use cauce_model::record::{OUTPUT_MAX, OutputRecord, Record, RunRecord, TaskRecord, task_item};
use cauce_model::{Instant, Json, TaskStatus};
use cauce_template::{Context, Template, TemplateValue};
use serde_json::Map;

/// A template that cannot be rendered with the values of this run: class `config`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unrendered(pub(crate) String);

/// The date of a moment in a time zone, as `ds` shows it.
pub fn date_in(at: Instant, timezone: &str) -> String {
    let zone = jiff::tz::TimeZone::get(timezone).unwrap_or(jiff::tz::TimeZone::UTC);
    at.to_timestamp().to_zoned(zone).date().to_string()
}

/// A moment as templates and programs see it: RFC 3339 in UTC, to the second unless it is finer.
pub fn moment(at: Instant) -> String {
    at.to_timestamp().to_string()
}

/// The outputs that a task's templates may read.
#[derive(Default)]
pub(crate) struct Outputs {
    /// By task.
    pub(crate) values: Map<String, Json>,
    /// The tasks that have none: they did not succeed.
    pub(crate) absent: Vec<String>,
}

/// Reads the outputs that a task's templates may read. One that the store has lost or garbled is no better later: it
/// fails the task, in words.
pub(crate) fn outputs(
    view: &View,
    run: &RunRecord,
    prepared: &Prepared,
    task: &TaskPlan,
) -> Result<Result<Outputs, Unrendered>, Stop> {
    let run_key = run.key();
    view.want(task.outputs.iter().map(|up| task_item(&run_key, &prepared.task(*up).name, None)))?;
    let mut outputs = Outputs::default();
    for up in &task.outputs {
        let name = &prepared.task(*up).name;
        let record = view.item(&task_item(&run_key, name, None))?.map(TaskRecord::from_item).transpose()?;
        let succeeded = |record: &TaskRecord| effective(run, *up, Some(record)) == TaskStatus::Success;
        let Some(record) = record.filter(succeeded) else {
            outputs.absent.push(name.clone());
            continue;
        };
        let value = match &record.output {
            None => Json::Object(Map::new()),
            Some(output) => match stored(view, output)? {
                Ok(value) => value,
                Err(problem) => {
                    return Ok(Err(Unrendered(format!("the output of {name}: {problem}; run {name} again"))));
                }
            },
        };
        outputs.values.insert(name.clone(), value);
    }
    Ok(Ok(outputs))
}

/// A stored output, or what is wrong with its document. No repetition brings back a document that is lost,
/// so whoever needs it fails with these words.
pub(crate) fn stored(view: &View, output: &OutputRecord) -> Result<Result<Json, String>, Need> {
    let uri = match output {
        OutputRecord::Inline(value) => return Ok(Ok(value.clone())),
        OutputRecord::Uri(uri) => uri,
    };
    Ok(match view.document(uri, DOCUMENT_MAX)? {
        Document::Bytes(bytes) => {
            serde_json::from_slice(bytes).map_err(|error| format!("{uri} is not JSON: {error}"))
        }
        Document::Absent => Err(format!("the document {uri} is gone")),
        Document::TooLarge(bytes) => {
            Err(format!("the document {uri} has {bytes} bytes, more than {DOCUMENT_MAX}"))
        }
    })
}

/// Largest document of ours that is read: the joined output of a mapped task holds one output per
/// item.
const DOCUMENT_MAX: u64 = 64 * 1024 * 1024;

/// What is known of the attempt whose templates are rendered.
pub(crate) struct Attempt<'a> {
    pub(crate) number: u32,
    pub(crate) item: Option<(&'a Json, u32)>,
}

/// Builds the context of one task.
pub(crate) fn context(run: &RunRecord, outputs: &Outputs, attempt: &Attempt<'_>) -> Context {
    let ds = date_in(run.logical_date, &run.timezone);
    let mut values = Map::new();
    values.insert("params".into(), run.params.clone());
    values.insert("ds_nodash".into(), Json::from(ds.replace('-', "")));
    values.insert("ds".into(), Json::from(ds));
    values.insert("logical_date".into(), Json::from(moment(run.logical_date)));
    values.insert("data_interval_start".into(), Json::from(moment(run.data_interval_start)));
    values.insert("data_interval_end".into(), Json::from(moment(run.data_interval_end)));
    values.insert("pipeline".into(), Json::from(run.run.pipeline.as_str()));
    values.insert("run_id".into(), Json::from(run.run.run_id.as_str()));
    values.insert("generation".into(), Json::from(run.generation));
    values.insert("attempt".into(), Json::from(attempt.number));
    values.insert("outputs".into(), Json::Object(outputs.values.clone()));
    values.insert("trigger".into(), trigger(run));
    if let Some(item) = &run.trigger.item {
        values.insert(item.name.clone(), Json::Object(item.fields.clone()));
    }
    if let Some((item, index)) = attempt.item {
        values.insert("item".into(), item.clone());
        values.insert("index".into(), Json::from(index));
    }
    Context::with_absent(&values, "outputs", &outputs.absent)
}

/// The trigger as templates and programs see it.
pub(crate) fn trigger(run: &RunRecord) -> Json {
    let mut trigger = match &run.trigger.detail {
        Json::Object(detail) => detail.clone(),
        _ => Map::new(),
    };
    trigger.insert("kind".into(), Json::from(run.trigger.kind.as_str()));
    if let Some(by) = &run.trigger.by {
        trigger.insert("by".into(), Json::from(by.as_str()));
    }
    Json::Object(trigger)
}

/// Renders texts and trees of one task in one context, with the environment filled in.
pub(crate) struct Renderer<'a> {
    pub(crate) context: &'a Context,
    pub(crate) settings: &'a Settings,
}

impl Renderer<'_> {
    /// A text that keeps the type of a lone expression.
    pub(crate) fn value(&self, text: &str) -> Result<Json, Unrendered> {
        let template = Template::parse(text).and_then(|t| t.fill_env(&self.settings.env));
        template.and_then(|t| t.render(self.context)).map_err(|error| unrendered(text, &error))
    }

    /// A text that is wanted as text.
    pub(crate) fn text(&self, text: &str) -> Result<String, Unrendered> {
        let template = Template::parse(text).and_then(|t| t.fill_env(&self.settings.env));
        template.and_then(|t| t.render_text(self.context)).map_err(|error| unrendered(text, &error))
    }

    /// A JSON tree of templates.
    pub(crate) fn tree(&self, tree: &Json) -> Result<Json, Unrendered> {
        let tree_of = TemplateValue::parse(tree).and_then(|t| t.fill_env(&self.settings.env));
        tree_of.and_then(|t| t.render(self.context)).map_err(|error| match tree {
            Json::String(text) => unrendered(text, &error),
            _ => unrendered(&tree.to_string(), &error),
        })
    }

    /// A condition.
    pub(crate) fn truth(&self, text: &str) -> Result<bool, Unrendered> {
        Ok(is_true(&self.value(text)?))
    }

    /// An argv: an item that renders to a list is spliced in.
    pub(crate) fn argv(&self, items: &[Json]) -> Result<Vec<String>, Unrendered> {
        let mut argv = Vec::with_capacity(items.len());
        for item in items {
            match self.tree(item)? {
                Json::Array(list) => {
                    for value in &list {
                        argv.push(word(value, item)?);
                    }
                }
                value => argv.push(word(&value, item)?),
            }
        }
        Ok(argv)
    }

    /// An environment variable's value.
    pub(crate) fn variable(&self, value: &Json) -> Result<String, Unrendered> {
        match self.tree(value)? {
            tree @ (Json::Array(_) | Json::Object(_)) => Ok(tree.to_string()),
            scalar => word(&scalar, value),
        }
    }
}

fn unrendered(text: &str, error: &impl std::fmt::Display) -> Unrendered {
    Unrendered(format!("'{text}' cannot be rendered: {error}"))
}

fn word(value: &Json, from: &Json) -> Result<String, Unrendered> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(flag) => Ok(flag.to_string()),
        Json::Null => Err(Unrendered(format!("{from} renders to nothing (null)"))),
        Json::Array(_) | Json::Object(_) => {
            Err(Unrendered(format!("{from} renders to a list or an object, not to a text")))
        }
    }
}

/// What counts as true: anything but false, nothing, zero and the empty, and the texts that people
/// write for no.
pub(crate) fn is_true(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(flag) => *flag,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => {
            !matches!(text.trim().to_ascii_lowercase().as_str(), "" | "false" | "no" | "0" | "none" | "null")
        }
        Json::Array(list) => !list.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
    }
}

/// The outcome of reading what a program left as its output.
pub(crate) fn read_output(view: &View, uri: &str) -> Result<Result<Option<Map<String, Json>>, String>, Need> {
    Ok(match view.document(uri, OUTPUT_MAX as u64)? {
        Document::Absent => Ok(None),
        Document::TooLarge(bytes) => Err(format!("the output has {bytes} bytes; the limit is {OUTPUT_MAX}")),
        Document::Bytes(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Ok(None),
        Document::Bytes(bytes) => match serde_json::from_slice(bytes) {
            Ok(Json::Object(fields)) => Ok(Some(fields)),
            Ok(_) => Err("the output is JSON but not an object".to_owned()),
            Err(error) => Err(format!("the output is not JSON: {error}")),
        },
    })
}
