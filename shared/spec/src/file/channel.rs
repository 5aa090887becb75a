//! Channels of the project file: where notices go.
//!
//! As JSON a channel has the shape in which the notify function reads it from `channels.json`:
//! `"stderr"`, or a mapping of its kind to its settings. `cauce build` writes that into
//! `project.json`, and Terraform fills its `${{ env.x }}`.

use std::ops::RangeInclusive;

use cauce_template::Template;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::diagnostic::Code;
use crate::shape::{Definitions, Fields, Reader, Shape, document, object, record};
use crate::tree::{Node, Value};

/// Where notices go: exactly one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The standard error of the program that runs the pipeline; on AWS the log of the function
    /// that delivers.
    Stderr,
    /// A file to which one JSON object is appended per notice; on one machine only.
    File(FileChannel),
    /// An address to which each notice is posted as JSON.
    Http(HttpChannel),
    /// An e-mail through SES; on AWS only.
    Email(EmailChannel),
    /// A topic of SNS; on AWS only.
    Sns(SnsChannel),
    /// An incoming webhook of Slack; on AWS only.
    Slack(WebhookChannel),
    /// A webhook of a Teams workflow; on AWS only.
    Teams(WebhookChannel),
    /// An event on a bus of EventBridge; on AWS only.
    Eventbridge(EventbridgeChannel),
}

record! {
    /// File channel: one JSON object is appended per notice.
    pub struct FileChannel (short "path") {
        /// Path: the file, from the folder of the project file.
        path: Template;
    }
}

record! {
    /// HTTP channel: each notice is posted as JSON.
    pub struct HttpChannel (short "url") {
        /// URL: the address; on AWS it may be `secret:<id>`.
        url: Template;
        /// Headers: to send; on AWS their values may be `secret:<id>`.
        headers: IndexMap<String, Template> = IndexMap::new();
    }
}

record! {
    /// E-mail channel: each notice is an e-mail through SES.
    pub struct EmailChannel {
        /// From: the sender, an identity verified in SES.
        from: Template;
        /// To: who gets it, at most 50 addresses.
        to: Vec<Template>;
    }
}

record! {
    /// SNS channel: each notice is published to a topic.
    pub struct SnsChannel (short "topic") {
        /// Topic: its ARN.
        topic: Template;
    }
}

record! {
    /// Webhook channel: each notice is posted as a message.
    pub struct WebhookChannel (short "webhook") {
        /// Webhook: its address. Whoever knows it can post, so it should be `secret:<id>`, a secret of Secrets Manager.
        webhook: Template;
    }
}

record! {
    /// EventBridge channel: each notice is an event.
    pub struct EventbridgeChannel (short "bus") {
        /// Bus: its name or ARN.
        bus: Template = Template::constant("default");
    }
}

/// How many addresses an e-mail has: none would reach nobody, and SES takes no more.
/// Source: <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html>; not
/// verified on AWS itself.
const RECIPIENTS: RangeInclusive<usize> = 1..=50;

impl Channel {
    const KEYS: [&'static str; 8] =
        ["stderr", "file", "http", "email", "sns", "slack", "teams", "eventbridge"];

    /// Its kind: the key in the project file, such as `email`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Email(_) => "email",
            Self::Sns(_) => "sns",
            Self::Slack(_) => "slack",
            Self::Teams(_) => "teams",
            Self::Eventbridge(_) => "eventbridge",
        }
    }

    /// Whether notices get there from one machine.
    pub fn on_one_machine(&self) -> bool {
        matches!(self, Self::Stderr | Self::File(_) | Self::Http(_))
    }

    /// Whether notices get there from AWS.
    pub fn on_aws(&self) -> bool {
        !matches!(self, Self::File(_))
    }

    /// Its settings, all of which are templates.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (one, more): (Option<&Template>, Vec<&Template>) = match self {
            Self::Stderr => (None, Vec::new()),
            Self::File(file) => (Some(&file.path), Vec::new()),
            Self::Http(http) => (Some(&http.url), http.headers.values().collect()),
            Self::Email(email) => (Some(&email.from), email.to.iter().collect()),
            Self::Sns(sns) => (Some(&sns.topic), Vec::new()),
            Self::Slack(hook) | Self::Teams(hook) => (Some(&hook.webhook), Vec::new()),
            Self::Eventbridge(events) => (Some(&events.bus), Vec::new()),
        };
        one.into_iter().chain(more)
    }
}

impl Shape for Channel {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if let Value::Text { text, .. } = &node.value
            && text == "stderr"
        {
            return Some(Self::Stderr);
        }
        let kinds = Self::KEYS.join(", ");
        let mut fields = Fields::open(node, reader, &format!("a mapping with one of {kinds}"))?;
        let mut found = Vec::new();
        if fields.take("stderr").is_some() {
            found.push(Self::Stderr);
        }
        found.extend(fields.optional("file", reader).map(Self::File));
        found.extend(fields.optional("http", reader).map(Self::Http));
        found.extend(fields.optional("email", reader).map(Self::Email));
        found.extend(fields.optional("sns", reader).map(Self::Sns));
        found.extend(fields.optional("slack", reader).map(Self::Slack));
        found.extend(fields.optional("teams", reader).map(Self::Teams));
        found.extend(fields.optional("eventbridge", reader).map(Self::Eventbridge));
        fields.close(&Self::KEYS, reader);
        for channel in &found {
            if let Self::Email(email) = channel {
                recipients(email, node, reader);
            }
        }
        let written = node.entries().unwrap_or_default();
        match written {
            [] => {
                reader.error(
                    Code::MissingKey,
                    node.span,
                    "the channel does not say where notices go",
                    format!("add one of {kinds}"),
                );
            }
            [_] => {}
            [_, second, ..] => {
                reader.error(
                    Code::Conflict,
                    second.key_span,
                    "a channel goes to one place",
                    "make it two channels",
                );
            }
        }
        found.pop()
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Channel", |definitions| {
            let mut properties = Map::new();
            properties.insert("stderr".to_owned(), json!({
                "title": "Standard error",
                "description": "Each notice is a line on the standard error of the program that runs the pipeline; on AWS, in the log of the function that delivers.",
                "type": "object",
                "maxProperties": 0
            }));
            let mut add = |key: &str, schema: Json, doc: &str| {
                properties.insert(key.to_owned(), document(schema, doc));
            };
            add(
                "file",
                FileChannel::schema(definitions),
                "File: one JSON object is appended per notice; on one machine only.",
            );
            add("http", HttpChannel::schema(definitions), "HTTP: each notice is posted as JSON.");
            add(
                "email",
                EmailChannel::schema(definitions),
                "E-mail: each notice is an e-mail through SES; on AWS only.",
            );
            add(
                "sns",
                SnsChannel::schema(definitions),
                "SNS: each notice is published to a topic; on AWS only.",
            );
            add(
                "slack",
                WebhookChannel::schema(definitions),
                "Slack: each notice is posted to an incoming webhook; on AWS only.",
            );
            add(
                "teams",
                WebhookChannel::schema(definitions),
                "Teams: each notice is posted to the webhook of a workflow; on AWS only.",
            );
            add(
                "eventbridge",
                EventbridgeChannel::schema(definitions),
                "EventBridge: each notice is an event on a bus; on AWS only.",
            );
            let one: Vec<Json> = properties.keys().map(|key| json!({"required": [key]})).collect();
            let mut schema = object(properties, &[], true);
            schema["oneOf"] = json!(one);
            document(
                json!({"anyOf": [{"const": "stderr"}, schema]}),
                "Channel: where notices go: exactly one place.",
            )
        })
    }
}

fn recipients(email: &EmailChannel, node: &Node, reader: &mut Reader) {
    let Some(to) = node.get("email").and_then(|email| email.value.get("to")) else { return };
    let count = email.to.len();
    if !RECIPIENTS.contains(&count) {
        let (least, most) = (RECIPIENTS.start(), RECIPIENTS.end());
        let message = format!("an e-mail to {count} addresses is outside {least} to {most}");
        reader.under("email", |reader| {
            reader.under("to", |reader| {
                reader.error(
                    Code::OutOfRange,
                    to.key_span,
                    message,
                    "name at least one address, and divide more than 50 among several channels",
                );
            });
        });
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn channels_are_json_in_the_shape_that_delivery_reads() {
        let text = br#"
channels:
  log: stderr
  file: {file: "out/x.jsonl"}
  hook: {http: {url: "https://x.example/", headers: {Authorization: "secret:hook"}}}
  mail: {email: {from: a@x.example, to: b@x.example}}
  topic: {sns: "arn:aws:sns:r:1:t"}
  slack: {slack: {webhook: "secret:slack"}}
  teams: {teams: "secret:teams"}
  bus: {eventbridge: {}}
"#;
        let (project, found) = crate::check_project(text);
        assert!(found.is_empty(), "{found:?}");
        let project = project.unwrap_or_else(|| panic!("no project"));
        assert_eq!(
            serde_json::json!(project.channels),
            serde_json::json!({
                "log": "stderr",
                "file": {"file": {"path": "out/x.jsonl"}},
                "hook": {"http": {"url": "https://x.example/", "headers": {"Authorization": "secret:hook"}}},
                "mail": {"email": {"from": "a@x.example", "to": ["b@x.example"]}},
                "topic": {"sns": {"topic": "arn:aws:sns:r:1:t"}},
                "slack": {"slack": {"webhook": "secret:slack"}},
                "teams": {"teams": {"webhook": "secret:teams"}},
                "bus": {"eventbridge": {"bus": "default"}},
            })
        );
        for (name, channel) in &project.channels {
            let kinds = serde_json::json!(channel);
            let key = kinds.as_object().and_then(|kinds| kinds.keys().next());
            assert_eq!(channel.key(), key.map_or("stderr", String::as_str), "{name}");
        }
    }
}
