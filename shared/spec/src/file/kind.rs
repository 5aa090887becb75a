//! What a task does: [`Kind`], one type per kind.

use cauce_model::plan::{Capacity, OnExisting, OnReject, OnTimeout};
use cauce_template::{Template, TemplateValue};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::diagnostic::Code;
use crate::file::data::{Copy, Mask, Quality, Sql};
use crate::file::later;
use crate::file::services::{Athena, Batch, EmrServerless, Glue, Http, Lambda, StateMachine};
use crate::file::task::Settings;
use crate::shape::{
    Argv, Definitions, Fields, Name, Reader, Seconds, Shape, choice, document, object, record,
};
use crate::tree::{Entry, Node, Value};

macro_rules! kinds {
    (
        kinds { $( $(#[doc = $doc:literal])* $variant:ident($type:ty) = $key:literal; )* }
        data { $( $(#[doc = $data_doc:literal])* $data_variant:ident($data_type:ty) = $data_key:literal; )* }
        later { $( $later_key:literal: $later_type:ty, $later_doc:literal; )* }
    ) => {
        /// What a task does.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $( $(#[doc = $doc])* $variant($type), )*
            $( $(#[doc = $data_doc])* $data_variant(Box<Data<$data_type>>), )*
        }

        impl Kind {
            /// The keys of all kinds, also of those that are not supported yet.
            pub(crate) const KEYS: &'static [&'static str] = &[$($key,)* $($data_key,)* $($later_key,)*];
            const OWN_KEYS: &'static [&'static str] = &[$($key),*];
            pub(crate) const DATA_KEYS: &'static [&'static str] = &[$($data_key),*];

            /// The key under which the file writes it.
            pub fn key(&self) -> &'static str {
                match self {
                    $( Self::$variant(_) => $key, )*
                    $( Self::$data_variant(_) => $data_key, )*
                }
            }

            fn read(key: &str, fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Self> {
                match key {
                    $( $key => fields.optional(key, reader).map(Self::$variant), )*
                    $( $data_key => {
                        let config = fields.take(key)?;
                        let settings = fields.optional::<$data_type>(key, reader);
                        let config = reader.under(key, |reader| TemplateValue::decode(&config.value, reader));
                        let resources = fields.optional("container", reader).unwrap_or_default();
                        Some(Self::$data_variant(Box::new(Data { settings: settings?, config: config?, resources })))
                    } )*
                    $( $later_key => {
                        fields.optional::<$later_type>(key, reader)?;
                        None
                    } )*
                    _ => None,
                }
            }

            /// Reads what `defaults` says of kinds; nothing is required there.
            pub(crate) fn take_partial(fields: &mut Fields<'_>, reader: &mut Reader) {
                $( fields.optional::<$type>($key, reader); )*
                $( fields.optional::<$data_type>($data_key, reader); )*
                $( fields.optional::<$later_type>($later_key, reader); )*
            }

            pub(crate) fn properties(definitions: &mut Definitions) -> Map<String, Json> {
                let mut out = Map::new();
                $( out.insert($key.to_owned(), document(<$type>::schema(definitions), concat!($($doc),*))); )*
                $( out.insert($data_key.to_owned(), document(<$data_type>::schema(definitions), concat!($($data_doc),*))); )*
                $( out.insert(
                    $later_key.to_owned(),
                    document(<$later_type>::schema(definitions), concat!($later_doc, " Not supported yet.")),
                ); )*
                out
            }
        }
    };
}

kinds! {
    kinds {
    /// Container: run a program in a container.
    Container(Container) = "container";
    /// Wait for: wait until something is there.
    WaitFor(WaitFor) = "wait_for";
    /// Branch: choose which of the tasks directly below run.
    Branch(Branch) = "branch";
    /// Fail: fail, with a message.
    Fail(Fail) = "fail";
    /// Notify: send a message to channels.
    Notify(Notify) = "notify";
    /// Pass: do nothing, and perhaps return something.
    Pass(Pass) = "pass";
    /// Pipeline: start a run of another pipeline.
    Pipeline(PipelineTask) = "pipeline";
    /// Approval: ask a person, and wait for yes or no.
    Approval(Approval) = "approval";
    /// Lambda: invoke a function.
    Lambda(Lambda) = "lambda";
    /// Glue: run a Glue job.
    Glue(Glue) = "glue";
    /// EMR Serverless: run a Spark or Hive job.
    EmrServerless(EmrServerless) = "emr_serverless";
    /// Batch: submit a job to AWS Batch.
    Batch(Batch) = "batch";
    /// Athena: run a query.
    Athena(Athena) = "athena";
    /// HTTP: call a web service.
    Http(Http) = "http";
    /// State machine: start an execution.
    StateMachine(StateMachine) = "state_machine";
    }
    data {
    /// Quality: check rows.
    Quality(Quality) = "quality";
    /// SQL: query tables.
    Sql(Sql) = "sql";
    /// Mask: hide what identifies a person.
    Mask(Mask) = "mask";
    /// Copy: copy files, or rows into another format.
    Copy(Copy) = "copy";
    }
    later {
    "extract": later::Extract, "Extract: read a table of a database.";
    "upsert": later::Upsert, "Upsert: merge rows into a table by key.";
    "chunk": later::Chunk, "Chunk: cut a source into parts of fitting size.";
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::Pass(Pass { output: IndexMap::new() })
    }
}

impl Kind {
    /// Takes the one kind of a task out of its keys and reports none, several, or one that is not
    /// supported yet. A data kind may stand beside `container`, which then only sizes it.
    pub(crate) fn take(
        node: &Node,
        fields: &mut Fields<'_>,
        uses: bool,
        reader: &mut Reader,
    ) -> Option<Self> {
        let written: Vec<_> = node
            .entries()
            .unwrap_or_default()
            .iter()
            .filter(|entry| Self::KEYS.contains(&entry.key.as_str()))
            .filter(|entry| entry.key != "notify" || Self::is_message(&entry.value))
            .collect();
        let is_data = |key: &str| Self::DATA_KEYS.contains(&key);
        let resources_only = written.iter().any(|entry| is_data(&entry.key));
        let kinds: Vec<_> =
            written.iter().filter(|entry| !(resources_only && entry.key == "container")).collect();
        match kinds.as_slice() {
            [] if uses => None,
            [] => {
                reader.error(
                    Code::TaskKind,
                    node.entries().and_then(<[_]>::first).map_or(node.span, |entry| entry.key_span),
                    "the task says when, but not what to do",
                    format!("add one of {}", Self::supported_keys().collect::<Vec<_>>().join(", ")),
                );
                None
            }
            [kind] => {
                let read = reader.within(Settings::KEYS, |reader| Self::read(&kind.key, fields, reader));
                if !Self::supported(&kind.key) {
                    reader.under(&kind.key, |reader| {
                        reader.error(
                            Code::UnsupportedKind,
                            kind.key_span,
                            format!("tasks of kind `{}` are not supported yet", kind.key),
                            "a container task can do it meanwhile",
                        );
                    });
                }
                read
            }
            [first, second, ..] => {
                reader.error(
                    Code::TaskKind,
                    second.key_span,
                    format!("the task already is of kind `{}`", first.key),
                    "a task does one thing: make it two tasks",
                );
                for kind in &written {
                    fields.take(&kind.key);
                }
                None
            }
        }
    }

    /// Whether another service does it, for which `local` can stand in on one machine.
    pub const fn is_service(&self) -> bool {
        matches!(
            self,
            Self::Lambda(_)
                | Self::Glue(_)
                | Self::EmrServerless(_)
                | Self::Batch(_)
                | Self::Athena(_)
                | Self::Http(_)
                | Self::StateMachine(_)
        )
    }

    /// Whether the `notify` of a task is its kind.
    pub(crate) fn is_notice(task: &Node) -> bool {
        task.get("notify").is_some_and(|entry| Self::is_message(&entry.value))
    }

    /// Whether a task is of a kind that holds nothing while it is under way.
    pub(crate) fn holds_nothing(task: &[Entry]) -> bool {
        task.iter().any(|entry| match entry.key.as_str() {
            "wait_for" | "approval" | "branch" | "fail" | "pass" => true,
            "notify" => Self::is_message(&entry.value),
            _ => false,
        })
    }

    /// Whether it ends in the moment it begins, or only waits: it calls nothing and holds nothing.
    pub(crate) const fn has_no_attempts(&self) -> bool {
        matches!(
            self,
            Self::WaitFor(_)
                | Self::Approval(_)
                | Self::Branch(_)
                | Self::Fail(_)
                | Self::Notify(_)
                | Self::Pass(_)
        )
    }

    /// Whether a task as it is written runs a program in a container whose memory it chooses.
    pub(crate) fn has_memory(task: &[Entry]) -> bool {
        task.iter().any(|entry| entry.key == "container" || Self::DATA_KEYS.contains(&entry.key.as_str()))
    }

    /// Whether a mapping under `notify` is a message, not a list of channels by event.
    pub(crate) fn is_message(notify: &Node) -> bool {
        Notify::KEYS.iter().any(|key| notify.get(key).is_some())
    }

    fn supported(key: &str) -> bool {
        Self::supported_keys().any(|supported| supported == key)
    }

    fn supported_keys() -> impl Iterator<Item = &'static str> {
        Self::OWN_KEYS.iter().chain(Self::DATA_KEYS).copied()
    }
}

/// A task that the worker runs: its settings for the checks made here, and the same as it was
/// written for the worker, whose defaults stay the worker's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Data<T> {
    /// The settings, typed.
    pub settings: T,
    /// The mapping as it was written: the worker's `CAUCE_CONFIG` once it is rendered.
    pub config: TemplateValue,
    /// What the worker's container gets.
    pub resources: Resources,
}

/// A program in a container.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Container {
    /// The image's name in the project file.
    pub image: Name,
    /// The program's arguments; an item that renders to a list is spliced in.
    pub command: Argv,
    /// What the container gets.
    #[serde(flatten)]
    pub resources: Resources,
}

record! {
    /// Program: which image, and what it runs.
    pub struct Program {
        /// Image: a name under `images` of the project file.
        image: Name;
        /// Command: the program's arguments, one item each; no shell reads them.
        command: Argv;
    }
}

record! {
    /// Resources: what a container gets.
    pub struct Resources {
        /// Environment: variables of the program.
        env: IndexMap<String, Template> = IndexMap::new();
        /// Secrets: variables whose values are fetched at launch from a reference such as `secret:erp/password`.
        secrets: IndexMap<String, String> = IndexMap::new();
        /// CPU: units of 1/1024 of a processor: 256, 512, 1024, 2048, 4096, 8192 or 16384.
        cpu: u32 = 256, within 1..=16_384;
        /// Memory: MiB, in the steps that Fargate offers for the cpu.
        memory: u32 = 512, within 1..=122_880;
        /// Ephemeral storage: GiB of disk; 20 when it is not said.
        ephemeral_storage: Option<u32> = None, within 21..=200;
        /// Capacity: on-demand, Spot, or Spot first.
        capacity: Capacity = Capacity::default();
        /// Architecture: the processor that the image is built for.
        architecture: Architecture = Architecture::X86_64;
        /// Role: the ARN of the role that the program has; the environment's own when it is not said.
        role: Option<Template> = None;
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            env: IndexMap::new(),
            secrets: IndexMap::new(),
            cpu: 256,
            memory: 512,
            ephemeral_storage: None,
            capacity: Capacity::default(),
            architecture: Architecture::X86_64,
            role: None,
        }
    }
}

choice! {
    /// Architecture: the processor that an image is built for.
    pub enum Architecture {
        /// Intel and AMD.
        X86_64 = "x86_64";
        /// Graviton.
        Arm64 = "arm64";
    }
}

impl Shape for Container {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = Fields::open(node, reader, "a mapping with `image` and `command`")?;
        let program = Program::take(&mut fields, reader);
        let resources = Resources::take(&mut fields, reader);
        let known: Vec<&str> = Program::KEYS.iter().chain(Resources::KEYS).copied().collect();
        fields.close(&known, reader);
        let (program, resources) = (program?, resources?);
        Some(Self { image: program.image, command: program.command, resources })
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Container", |definitions| {
            let (mut properties, _) = Program::properties(definitions);
            properties.extend(Resources::properties(definitions).0);
            document(
                object(properties, &[], true),
                "Container: a program in a container. Image and command are required, unless a data kind stands beside it.",
            )
        })
    }
}

record! {
    /// Wait for: one thing to wait for, and how often to look. `timeout` of the task ends the wait.
    pub struct WaitFor {
        /// Files: URIs of objects that must all exist; `*` in the last segment matches any name.
        files: Vec<Template> = Vec::new();
        /// Poll interval: the time between two looks.
        poll_interval: Seconds = Seconds(60), within 1..=86_400;
        /// Least size: objects with fewer bytes are not there yet.
        min_bytes: u64 = 0;
        /// SFTP: files on a server.
        sftp: Option<Json> = None => later;
        /// HTTP: an answer of a web service.
        http: Option<Json> = None => later;
        /// Table: a partition of a table.
        table: Option<Json> = None => later;
        /// Time: a time of day.
        time: Option<Json> = None => later;
    }
}

/// The choices of a branch, in order; the first that holds is taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Branch(pub Vec<Choice>);

/// One choice of a branch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// When it is taken; none is `else`.
    #[serde(rename = "if")]
    pub condition: Option<Template>,
    /// The tasks that go on.
    pub to: Vec<Name>,
}

impl Shape for Branch {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        if !matches!(node.value, Value::List(_)) {
            reader.wrong_type(node, "a list of choices");
            return None;
        }
        let choices: Vec<Choice> = Vec::decode(node, reader)?;
        if choices.is_empty() {
            reader.error(
                Code::OutOfRange,
                node.span,
                "a branch needs a choice",
                "add {if: ..., to: ...} or {else: ...}",
            );
            return None;
        }
        Some(Self(choices))
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({"type": "array", "minItems": 1, "items": Choice::schema(definitions)})
    }
}

impl Shape for Choice {
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = Fields::open(node, reader, "a choice: {if: ..., to: ...} or {else: ...}")?;
        let choice = if node.get("else").is_some() {
            let to = fields.required("else", reader);
            to.map(|to| Self { condition: None, to })
        } else {
            let condition = fields.required("if", reader);
            let to = fields.required("to", reader);
            condition.zip(to).map(|(condition, to)| Self { condition: Some(condition), to })
        };
        fields.close(&["if", "to", "else"], reader);
        choice
    }

    fn schema(definitions: &mut Definitions) -> Json {
        definitions.refer("Choice", |definitions| {
            let tasks = Vec::<Name>::schema(definitions);
            let condition = Template::schema(definitions);
            document(
                json!({"type": "object", "additionalProperties": false, "properties": {
                    "if": document(condition, "If: when this choice is taken."),
                    "to": document(tasks.clone(), "To: the tasks directly below that go on."),
                    "else": document(tasks, "Else: the tasks that go on when nothing above held."),
                }, "oneOf": [{"required": ["if", "to"]}, {"required": ["else"]}]}),
                "Choice: one way out of a branch.",
            )
        })
    }
}

record! {
    /// Fail: the task fails, and the run with it.
    pub struct Fail (short "message") {
        /// Message: why.
        message: Template = Template::constant("");
    }
}

record! {
    /// Notify: a message to channels of the project file.
    pub struct Notify {
        /// Channels: names under `channels` of the project file.
        channels: Vec<Name>;
        /// Subject: one line.
        subject: Template = Template::constant("");
        /// Message: the text.
        message: Template;
    }
}

record! {
    /// Pass: nothing is done.
    pub struct Pass {
        /// Output: what the task returns; every string is a template.
        output: IndexMap<Name, TemplateValue> = IndexMap::new();
    }
}

record! {
    /// Pipeline task: a run of another pipeline. A name alone is enough.
    pub struct PipelineTask (short "name") {
        /// Name: the other pipeline.
        name: Name;
        /// Parameters: values for the other pipeline's parameters.
        params: IndexMap<Name, TemplateValue> = IndexMap::new();
        /// Logical date: that of the other run; this run's when it is not said.
        logical_date: Option<Template> = None;
        /// Wait: whether the task ends with that run, and fails when it fails.
        wait: bool = true;
        /// On existing: what happens when that run exists already.
        on_existing: OnExisting = OnExisting::default();
    }
}

record! {
    /// Approval: a question to a person, answered with `cauce approve` or `cauce reject`. A message alone is
    /// enough. `timeout` of the task ends the wait.
    pub struct Approval (short "message") {
        /// Message: what is asked.
        message: Template;
        /// Notify: names under `channels` of the project file, told that an answer is waited for and how to give it.
        notify: Vec<Name> = Vec::new();
        /// On reject: what becomes of the task when the answer is no.
        on_reject: OnReject = OnReject::default();
        /// On timeout: what becomes of the task when nobody answers in time.
        on_timeout: OnTimeout = OnTimeout::default();
    }
}
