//! What `cauce up` says: a line for each thing that a person cares for. With `--json`, one document a line on
//! standard output; otherwise words on standard error.

use cauce_engine::{Command, Decision};
use cauce_host::service::Told;
use cauce_local::clock::SystemClock;
use cauce_model::Json;
use cauce_model::event::{Became, LedgerRecord};
use cauce_model::record::{Record, RunRecord};
use cauce_model::{RunStatus, Write};
use cauce_ports::Clock;
use serde_json::{Map, json};

use super::ready;
use crate::context::Context;
use crate::time;

/// The lines.
pub(super) struct Log {
    context: Context,
}

impl Log {
    pub(super) fn new(context: &Context) -> Self {
        Self { context: context.clone() }
    }

    /// Something that has no more to it than its words.
    pub(super) fn say(&self, event: &str, text: &str) {
        self.line(event, text, Map::new());
    }

    fn line(&self, event: &str, text: &str, fields: Map<String, Json>) {
        let now = SystemClock.now();
        if !self.context.json {
            self.context.output.talk(&format!("{} {text}", time::moment(now)));
            return;
        }
        let mut document = Map::new();
        document.insert("at".to_owned(), json!(now));
        document.insert("event".to_owned(), Json::from(event));
        document.extend(fields);
        document.insert("text".to_owned(), Json::from(text));
        // Nobody reads the log any more: the service goes on all the same.
        let _ = self.context.output.line(&Json::Object(document).to_string());
    }

    fn fields<const N: usize>(&self, event: &str, text: &str, fields: [(&str, Json); N]) {
        let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
        self.line(event, text, fields.map(|(name, value)| (name.to_owned(), value)).collect());
    }

    /// What the service tells.
    pub(super) fn tell(&self, told: &Told) {
        match told {
            Told::Deployed { pipeline, version } => {
                let text = format!("{pipeline}: deployed {}", crate::commands::short(version));
                self.fields("deployed", &text, [("pipeline", json!(pipeline)), ("version", json!(version))]);
            }
            Told::Synced { pipeline, added, changed, removed } => {
                let text = format!("{pipeline}: {added} items added, {changed} changed, {removed} removed");
                let counts =
                    [("added", json!(added)), ("changed", json!(changed)), ("removed", json!(removed))];
                let [a, c, r] = counts;
                self.fields("synced", &text, [("pipeline", json!(pipeline)), a, c, r]);
            }
            Told::Undeployed { pipeline } => {
                let text = format!("{pipeline}: no file defines it any more; nothing starts it");
                self.fields("undeployed", &text, [("pipeline", json!(pipeline))]);
            }
            Told::Broken { pipeline, problem } => {
                let text = format!("{pipeline}: left as it was, its file has errors\n{}", problem.trim_end());
                self.fields("broken", &text, [("pipeline", json!(pipeline)), ("problem", json!(problem))]);
            }
            Told::Unreadable { problem } => {
                let text =
                    format!("the project cannot be read; everything stays as it was\n{}", problem.trim_end());
                self.fields("unreadable", &text, [("problem", json!(problem))]);
            }
            Told::Resumed { run, survivors } => {
                let left = match survivors {
                    0 => String::new(),
                    count => format!(" ({count} programs of it were left, and ended)"),
                };
                self.fields("resumed", &format!("{run} goes on{left}"), [("run", json!(run))]);
            }
            Told::Left { run, problem } => {
                let text = format!("{run} cannot go on: {problem}");
                self.fields("left", &text, [("run", json!(run)), ("problem", json!(problem))]);
            }
            Told::Mended { line } => self.say("mended", line),
            Told::Ready { pipelines } => {
                let text = format!("ready: {pipelines} pipelines");
                self.fields("ready", &text, [("pipelines", json!(pipelines))]);
                ready::ready(&self.context);
            }
        }
    }

    /// A decision was written: what of it a person cares for.
    pub(super) fn decided(&self, command: &Command, decision: &Decision) {
        for write in &decision.writes {
            let Write::Put { item, .. } = write else { continue };
            // That the same event came again is for 'cauce triggers'.
            if item.key.partition.starts_with("ledger#") && !item.key.sort.ends_with("#again") {
                if let Ok(entry) = LedgerRecord::from_item(item) {
                    self.event(&entry);
                }
            } else if item.key.partition.starts_with("run#")
                && item.key.sort == "R"
                && let Ok(run) = RunRecord::from_item(item)
            {
                self.run(command, &run);
            }
        }
    }

    fn event(&self, entry: &LedgerRecord) {
        let text = |field: &str| entry.event.get(field).and_then(Json::as_str).unwrap_or_default();
        let what = match entry.kind.as_str() {
            "schedule" => format!("tick {} of {}", time::moment(entry.at), text("schedule")),
            "file" => format!("file s3://{}/{}", text("bucket"), text("key")),
            "dataset" => format!("update {} of {}", entry.event["number"], text("dataset")),
            kind => kind.to_owned(),
        };
        let became = match (&entry.run, entry.became) {
            (Some(run), Became::Run) => format!("run {run}"),
            (_, became) => became.as_str().to_owned(),
        };
        let pipeline = entry.pipeline.as_deref().unwrap_or("-");
        let reason = entry.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        self.fields(
            &entry.kind,
            &format!("{pipeline}: {what}: {became}{reason}"),
            [
                ("pipeline", json!(entry.pipeline)),
                ("of", json!(entry.at)),
                ("became", json!(entry.became)),
                ("run", json!(entry.run)),
                ("reason", json!(entry.reason)),
            ],
        );
    }

    fn run(&self, command: &Command, run: &RunRecord) {
        let event = match (command, run.status) {
            (Command::Open(_), RunStatus::Running) => "started",
            // Said when it is triggered, of what nobody has told of before.
            (Command::Trigger(_), RunStatus::Queued) => "triggered",
            (Command::Close(_) | Command::Cancel { .. } | Command::Observed(_), status)
                if status.is_terminal() =>
            {
                "ended"
            }
            _ => return,
        };
        let status = match event {
            "ended" => run.status.as_str(),
            event => event,
        };
        let note = run.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        self.fields(
            event,
            &format!("{} {status}{note}", run.run),
            [
                ("pipeline", json!(run.run.pipeline)),
                ("run", json!(run.run.to_string())),
                ("generation", json!(run.generation)),
                ("status", json!(run.status)),
                ("message", json!(run.message)),
            ],
        );
    }
}
