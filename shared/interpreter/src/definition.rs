//! A definition made ready to run: names resolved, paths and expressions parsed once.

use std::sync::Arc;

use cauce_asl::{
    Catcher, Choice, ChoiceRule, Comparison, Condition, Diagnostic, ExecutionType, Fail, JitterStrategy, Map,
    Number, Operand, Operator, Parallel, QueryLanguage, ReaderConfig, Report, Retrier, Severity, State,
    StateMachine, States, SubMachine, Task, ValidationResult, Wait,
};
use indexmap::IndexMap;
use serde_json::Value;

use crate::history::{StateType, Target};
use crate::jsonpath::Reference;
use crate::template::{Needs, Payload, jsonata_source};

/// A state machine ready to be executed, shared by any number of executions.
#[derive(Debug)]
pub struct Definition {
    pub(crate) machine: Arc<Machine>,
    pub(crate) timeout_seconds: Option<u64>,
}

/// One level of a definition: the outermost machine, a branch or an item processor.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) start: usize,
    pub(crate) nodes: Vec<Node>,
}

/// One state.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) state_type: StateType,
    pub(crate) language: QueryLanguage,
    /// The index of the state to go on with; none when the machine ends here.
    pub(crate) next: Option<usize>,
    pub(crate) io: Io,
    pub(crate) retry: Vec<Retrier>,
    pub(crate) catch: Vec<PreparedCatcher>,
    pub(crate) kind: Kind,
}

/// The data flow that all states share. Absent steps cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Io {
    pub(crate) input_path: Option<Selector>,
    /// `Parameters` or `Arguments`.
    pub(crate) arguments: Option<Payload>,
    pub(crate) result_selector: Option<Payload>,
    pub(crate) result_path: ResultPath,
    pub(crate) output_path: Option<Selector>,
    pub(crate) assign: Option<Payload>,
    pub(crate) output: Option<Payload>,
}

/// `InputPath`, `OutputPath` or `ItemsPath`.
#[derive(Debug)]
pub(crate) enum Selector {
    /// `null`: an empty object.
    Nothing,
    At {
        reference: Reference,
        text: String,
    },
}

/// Where a result goes.
#[derive(Debug, Default)]
pub(crate) enum ResultPath {
    /// `$`: it replaces the input.
    #[default]
    Replace,
    /// `null`: the input goes on.
    Discard,
    At(Reference, String),
}

#[derive(Debug)]
pub(crate) struct PreparedCatcher {
    pub(crate) names: Vec<String>,
    pub(crate) next: usize,
    pub(crate) result_path: ResultPath,
    pub(crate) output: Option<Payload>,
    pub(crate) assign: Option<Payload>,
}

/// A number that may depend on the input.
#[derive(Debug)]
pub(crate) enum Amount {
    Literal(serde_json::Number),
    Path { reference: Reference, text: String, field: &'static str },
    Expression { payload: Payload, field: &'static str },
}

#[derive(Debug)]
pub(crate) enum Kind {
    Task(TaskNode),
    Pass { result: Option<Arc<Value>> },
    Choice { rules: Vec<Rule>, default: Option<usize> },
    Wait(WaitNode),
    Succeed,
    Fail { error: Option<Payload>, cause: Option<Payload> },
    Parallel { branches: Vec<Arc<Machine>> },
    Map(Box<MapNode>),
}

#[derive(Debug)]
pub(crate) struct TaskNode {
    pub(crate) resource: Arc<str>,
    pub(crate) target: Arc<Target>,
    pub(crate) mode: Mode,
    pub(crate) timeout: Option<Amount>,
    pub(crate) heartbeat: Option<Amount>,
    pub(crate) credentials: Option<Payload>,
}

/// How a task is called and when it counts as done.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Done when the service answers.
    RequestResponse,
    /// `.sync`: done when the job it started is done.
    Sync,
    /// `.sync:2`: the same, with the job's output as JSON rather than as text.
    Sync2,
    /// `.waitForTaskToken`: done when somebody answers the token.
    WaitForTaskToken,
    /// An activity: done when the worker that polled it answers the token.
    Activity,
}

impl Mode {
    fn of_resource(resource: &str) -> Self {
        match Target::of_resource(resource) {
            Target::Activity { .. } => Self::Activity,
            Target::Lambda { .. } => Self::RequestResponse,
            Target::Service { resource, .. } => {
                if resource.ends_with(".waitForTaskToken") {
                    Self::WaitForTaskToken
                } else if resource.ends_with(".sync:2") {
                    Self::Sync2
                } else if resource.ends_with(".sync") {
                    Self::Sync
                } else {
                    Self::RequestResponse
                }
            }
        }
    }
}

#[derive(Debug)]
pub(crate) enum WaitNode {
    Seconds(Amount),
    SecondsPath { reference: Reference, text: String },
    Timestamp(Payload),
    TimestampPath { reference: Reference, text: String },
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) test: Test,
    pub(crate) needs: Needs,
    pub(crate) next: usize,
    pub(crate) assign: Option<Payload>,
    pub(crate) output: Option<Payload>,
}

#[derive(Debug)]
pub(crate) enum Test {
    Constant(bool),
    Jsonata(Payload),
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Compare { variable: Reference, text: String, operator: Operator, operand: Right },
}

#[derive(Debug)]
pub(crate) enum Right {
    Literal(Value),
    Path(Reference, String),
}

#[derive(Debug)]
pub(crate) struct MapNode {
    pub(crate) processor: Arc<Machine>,
    pub(crate) is_distributed: bool,
    pub(crate) is_express: bool,
    pub(crate) items_path: Option<Selector>,
    pub(crate) items: Option<Payload>,
    pub(crate) selector: Option<Payload>,
    pub(crate) max_concurrency: Option<Amount>,
    pub(crate) tolerated_count: Option<Amount>,
    pub(crate) tolerated_percentage: Option<Amount>,
    pub(crate) label: Option<String>,
    pub(crate) reader: Option<Reader>,
    pub(crate) batcher: Option<Batcher>,
    pub(crate) writer: Option<Writer>,
}

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) resource: Arc<str>,
    pub(crate) arguments: Option<Payload>,
    pub(crate) config: ReaderConfig,
    pub(crate) max_items: Option<Amount>,
}

#[derive(Debug)]
pub(crate) struct Batcher {
    pub(crate) batch_input: Option<Payload>,
    pub(crate) max_items: Option<Amount>,
    pub(crate) max_bytes: Option<Amount>,
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) resource: Option<Arc<str>>,
    pub(crate) arguments: Option<Payload>,
    pub(crate) transformation: Option<String>,
    pub(crate) is_lines: bool,
}

impl Definition {
    /// Reads and prepares a definition.
    ///
    /// Errors are every reason for which it cannot run, with its place.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let machine = StateMachine::parse(text)
            .map_err(|error| vec![Diagnostic::error("SCHEMA_VALIDATION_FAILED", error.to_string(), "/")])?;
        Self::prepare(&machine)
    }

    /// Prepares a definition that is JSON already.
    pub fn parse_value(definition: &Value) -> Result<Self, Vec<Diagnostic>> {
        let machine = StateMachine::deserialize_value(definition)
            .map_err(|error| vec![Diagnostic::error("SCHEMA_VALIDATION_FAILED", error.to_string(), "/")])?;
        Self::prepare(&machine)
    }

    /// Everything that is wrong with a definition: what AWS validates, and, if that is in order, every
    /// path and expression that cannot be parsed.
    pub fn check(text: &str, machine_type: ExecutionType, least: Severity) -> Report {
        let report = cauce_asl::validate_text(text, machine_type, least);
        match report.result {
            ValidationResult::Ok => {
                let expressions = Self::parse(text).err().unwrap_or_default();
                Report::new(report.diagnostics.into_iter().chain(expressions).collect())
            }
            ValidationResult::Fail => report,
        }
    }

    /// Prepares a typed definition.
    pub fn prepare(machine: &StateMachine) -> Result<Self, Vec<Diagnostic>> {
        let mut preparation = Preparation { diagnostics: Vec::new() };
        let language = machine.query_language.unwrap_or_default();
        let prepared = preparation.machine(&machine.start_at, &machine.states, language, "");
        match prepared {
            Some(prepared) if preparation.diagnostics.is_empty() => {
                Ok(Self { machine: Arc::new(prepared), timeout_seconds: machine.timeout_seconds })
            }
            _ => Err(preparation.diagnostics),
        }
    }
}

/// Walks a definition once, collecting everything that is wrong with it.
struct Preparation {
    diagnostics: Vec<Diagnostic>,
}

type Names<'a> = IndexMap<&'a str, usize>;

impl Preparation {
    fn report(&mut self, message: impl Into<String>, location: &str) {
        self.diagnostics.push(Diagnostic::error("SCHEMA_VALIDATION_FAILED", message, location));
    }

    fn target(&mut self, name: &str, names: &Names<'_>, location: &str) -> Option<usize> {
        let found = names.get(name).copied();
        if found.is_none() {
            let message = format!("Missing 'Next' target: {name}");
            self.diagnostics.push(Diagnostic::error("MISSING_TRANSITION_TARGET", message, location));
        }
        found
    }

    /// Reports what a part could not be parsed for.
    fn keep<T>(&mut self, parsed: Result<T, String>, location: &str) -> Option<T> {
        parsed.map_err(|message| self.report(message, location)).ok()
    }

    fn machine(
        &mut self,
        start_at: &str,
        states: &States,
        language: QueryLanguage,
        location: &str,
    ) -> Option<Machine> {
        let names: Names<'_> =
            states.keys().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        let start = self.target(start_at, &names, &format!("{location}/StartAt"));
        let mut nodes = Vec::with_capacity(states.len());
        for (name, state) in states {
            let place = format!("{location}/States/{name}");
            nodes.extend(self.node(name, state, &names, language, &place));
        }
        Some(Machine { start: start?, nodes })
    }

    fn sub_machine(
        &mut self,
        machine: &SubMachine,
        language: QueryLanguage,
        location: &str,
    ) -> Option<Arc<Machine>> {
        let language = machine.query_language.unwrap_or(language);
        self.machine(&machine.start_at, &machine.states, language, location).map(Arc::new)
    }

    /// `language` is the machine's; a state may name its own, nested states start from the machine's.
    fn node(
        &mut self,
        name: &str,
        state: &State,
        names: &Names<'_>,
        language: QueryLanguage,
        location: &str,
    ) -> Option<Node> {
        let own = state.query_language().unwrap_or(language);
        let before = self.diagnostics.len();
        let mut node = Node {
            name: Arc::from(name),
            state_type: StateType::of(state),
            language: own,
            next: None,
            io: Io::default(),
            retry: Vec::new(),
            catch: Vec::new(),
            kind: Kind::Succeed,
        };
        macro_rules! flow {
            ($state:expr) => {{
                node.next = self.next($state.next.as_deref(), $state.end, names, location);
            }};
        }
        macro_rules! paths {
            ($state:expr) => {{
                node.io.input_path = self.selector(&$state.input_path, location, "InputPath");
                node.io.output_path = self.selector(&$state.output_path, location, "OutputPath");
                node.io.output = self.payload("Output", &$state.output, own, location);
            }};
        }
        macro_rules! results {
            ($state:expr) => {{
                node.io.result_selector = self.payload(
                    "ResultSelector",
                    &$state.result_selector,
                    QueryLanguage::JSONPath,
                    location,
                );
                node.io.result_path = self.result_path(&$state.result_path, location);
                node.retry = $state.retry.clone();
                node.catch = self.catchers(&$state.catch, own, names, location);
                node.io.assign = self.payload("Assign", &$state.assign, own, location);
            }};
        }
        node.kind = match state {
            State::Task(task) => {
                flow!(task);
                paths!(task);
                results!(task);
                node.io.arguments = self.either(&task.parameters, &task.arguments, own, location);
                Kind::Task(self.task(task, own, location)?)
            }
            State::Pass(pass) => {
                flow!(pass);
                paths!(pass);
                node.io.arguments =
                    self.payload("Parameters", &pass.parameters, QueryLanguage::JSONPath, location);
                node.io.result_path = self.result_path(&pass.result_path, location);
                node.io.assign = self.payload("Assign", &pass.assign, own, location);
                Kind::Pass { result: pass.result.clone().map(Arc::new) }
            }
            State::Choice(choice) => {
                paths!(choice);
                node.io.assign = self.payload("Assign", &choice.assign, own, location);
                self.choice(choice, own, names, location)
            }
            State::Wait(wait) => {
                flow!(wait);
                paths!(wait);
                node.io.assign = self.payload("Assign", &wait.assign, own, location);
                Kind::Wait(self.wait(wait, own, location)?)
            }
            State::Succeed(succeed) => {
                paths!(succeed);
                Kind::Succeed
            }
            State::Fail(fail) => self.fail(fail, own, location),
            State::Parallel(parallel) => {
                flow!(parallel);
                paths!(parallel);
                results!(parallel);
                node.io.arguments = self.either(&parallel.parameters, &parallel.arguments, own, location);
                self.parallel(parallel, language, location)?
            }
            State::Map(map) => {
                flow!(map);
                paths!(map);
                results!(map);
                Kind::Map(Box::new(self.map(map, own, language, location)?))
            }
        };
        (self.diagnostics.len() == before).then_some(node)
    }

    fn next(&mut self, next: Option<&str>, end: bool, names: &Names<'_>, location: &str) -> Option<usize> {
        match next {
            Some(next) => self.target(next, names, &format!("{location}/Next")),
            None => {
                if !end {
                    self.report("These fields are required: [Next] or [End]", location);
                }
                None
            }
        }
    }

    fn payload(
        &mut self,
        field: &'static str,
        value: &Option<Value>,
        language: QueryLanguage,
        location: &str,
    ) -> Option<Payload> {
        let value = value.as_ref()?;
        self.keep(Payload::parse(field, value, language), &format!("{location}/{field}"))
    }

    fn either(
        &mut self,
        parameters: &Option<Value>,
        arguments: &Option<Value>,
        language: QueryLanguage,
        location: &str,
    ) -> Option<Payload> {
        match language {
            QueryLanguage::JSONPath => self.payload("Parameters", parameters, language, location),
            QueryLanguage::JSONata => self.payload("Arguments", arguments, language, location),
        }
    }

    fn reference(&mut self, text: &str, location: &str) -> Option<Reference> {
        self.keep(Reference::parse(text).map_err(|error| error.to_string()), location)
    }

    fn selector(&mut self, path: &Option<Option<String>>, location: &str, field: &str) -> Option<Selector> {
        match path {
            None => None,
            Some(None) => Some(Selector::Nothing),
            // The whole input is the default.
            Some(Some(text)) if text == "$" => None,
            Some(Some(text)) => {
                let reference = self.reference(text, &format!("{location}/{field}"))?;
                Some(Selector::At { reference, text: text.clone() })
            }
        }
    }

    fn result_path(&mut self, path: &Option<Option<String>>, location: &str) -> ResultPath {
        match path {
            None => ResultPath::Replace,
            Some(None) => ResultPath::Discard,
            Some(Some(text)) if text == "$" => ResultPath::Replace,
            Some(Some(text)) => {
                let place = format!("{location}/ResultPath");
                match self.reference(text, &place) {
                    Some(reference) if reference.path().is_reference() => {
                        ResultPath::At(reference, text.clone())
                    }
                    Some(_) => {
                        self.report(format!("Value is not a Reference Path: '{text}'"), &place);
                        ResultPath::Replace
                    }
                    None => ResultPath::Replace,
                }
            }
        }
    }

    fn catchers(
        &mut self,
        catchers: &[Catcher],
        language: QueryLanguage,
        names: &Names<'_>,
        location: &str,
    ) -> Vec<PreparedCatcher> {
        let mut prepared = Vec::with_capacity(catchers.len());
        for (index, catcher) in catchers.iter().enumerate() {
            let place = format!("{location}/Catch[{index}]");
            let Some(next) = self.target(&catcher.next, names, &format!("{place}/Next")) else { continue };
            prepared.push(PreparedCatcher {
                names: catcher.error_equals.clone(),
                next,
                result_path: self.result_path(&catcher.result_path, &place),
                output: self.payload("Output", &catcher.output, language, &place),
                assign: self.payload("Assign", &catcher.assign, language, &place),
            });
        }
        prepared
    }

    fn amount(
        &mut self,
        literal: Option<&Number>,
        literal_field: &'static str,
        path: Option<&str>,
        path_field: &'static str,
        location: &str,
    ) -> Option<Amount> {
        if let Some(path) = path {
            let reference = self.reference(path, &format!("{location}/{path_field}"))?;
            return Some(Amount::Path { reference, text: path.to_owned(), field: path_field });
        }
        match literal? {
            Number::Literal(number) => Some(Amount::Literal(number.clone())),
            Number::Expression(text) => {
                let place = format!("{location}/{literal_field}");
                if jsonata_source(text).is_none() {
                    self.report("a number, or a JSONata expression that yields one, is expected", &place);
                    return None;
                }
                let value = Value::String(text.clone());
                let payload =
                    self.keep(Payload::parse(literal_field, &value, QueryLanguage::JSONata), &place)?;
                Some(Amount::Expression { payload, field: literal_field })
            }
        }
    }

    fn task(&mut self, task: &Task, language: QueryLanguage, location: &str) -> Option<TaskNode> {
        let timeout = self.amount(
            task.timeout_seconds.as_ref(),
            "TimeoutSeconds",
            task.timeout_seconds_path.as_deref(),
            "TimeoutSecondsPath",
            location,
        );
        let heartbeat = self.amount(
            task.heartbeat_seconds.as_ref(),
            "HeartbeatSeconds",
            task.heartbeat_seconds_path.as_deref(),
            "HeartbeatSecondsPath",
            location,
        );
        Some(TaskNode {
            resource: Arc::from(task.resource.as_str()),
            target: Arc::new(Target::of_resource(&task.resource)),
            mode: Mode::of_resource(&task.resource),
            timeout,
            heartbeat,
            credentials: self.payload("Credentials", &task.credentials, language, location),
        })
    }

    fn choice(
        &mut self,
        choice: &Choice,
        language: QueryLanguage,
        names: &Names<'_>,
        location: &str,
    ) -> Kind {
        let mut rules = Vec::with_capacity(choice.choices.len());
        for (index, rule) in choice.choices.iter().enumerate() {
            let place = format!("{location}/Choices[{index}]");
            rules.extend(self.rule(rule, language, names, &place));
        }
        let default = choice
            .default
            .as_ref()
            .and_then(|default| self.target(default, names, &format!("{location}/Default")));
        Kind::Choice { rules, default }
    }

    fn rule(
        &mut self,
        rule: &ChoiceRule,
        language: QueryLanguage,
        names: &Names<'_>,
        location: &str,
    ) -> Option<Rule> {
        let mut needs = Needs::default();
        let test = self.test(&rule.condition, &mut needs, location);
        let next = self.target(&rule.next, names, &format!("{location}/Next"));
        let assign = self.payload("Assign", &rule.assign, language, location);
        let output = self.payload("Output", &rule.output, language, location);
        Some(Rule { test: test?, needs, next: next?, assign, output })
    }

    fn test(&mut self, condition: &Condition, needs: &mut Needs, location: &str) -> Option<Test> {
        let list = |this: &mut Self, conditions: &[Condition], needs: &mut Needs| {
            conditions
                .iter()
                .map(|condition| this.test(condition, needs, location))
                .collect::<Option<Vec<_>>>()
        };
        Some(match condition {
            Condition::Jsonata(Value::Bool(constant)) => Test::Constant(*constant),
            Condition::Jsonata(value) => {
                let payload = Payload::parse("Condition", value, QueryLanguage::JSONata);
                let payload = self.keep(payload, &format!("{location}/Condition"))?;
                needs.context |= payload.needs.context;
                Test::Jsonata(payload)
            }
            Condition::And(conditions) => Test::And(list(self, conditions, needs)?),
            Condition::Or(conditions) => Test::Or(list(self, conditions, needs)?),
            Condition::Not(condition) => Test::Not(Box::new(self.test(condition, needs, location)?)),
            Condition::Compare(Comparison { variable, operator, operand }) => {
                let left = self.reference(variable, &format!("{location}/Variable"))?;
                needs.context |= Needs::of_reference(&left).context;
                let right = match operand {
                    Operand::Literal(value) => Right::Literal(value.clone()),
                    Operand::Path(path) => {
                        let right = self.reference(path, &format!("{location}/{}Path", operator.name()))?;
                        needs.context |= Needs::of_reference(&right).context;
                        Right::Path(right, path.clone())
                    }
                };
                Test::Compare { variable: left, text: variable.clone(), operator: *operator, operand: right }
            }
        })
    }

    fn wait(&mut self, wait: &Wait, language: QueryLanguage, location: &str) -> Option<WaitNode> {
        if let Some(path) = &wait.seconds_path {
            let reference = self.reference(path, &format!("{location}/SecondsPath"))?;
            return Some(WaitNode::SecondsPath { reference, text: path.clone() });
        }
        if let Some(path) = &wait.timestamp_path {
            let reference = self.reference(path, &format!("{location}/TimestampPath"))?;
            return Some(WaitNode::TimestampPath { reference, text: path.clone() });
        }
        if let Some(timestamp) = &wait.timestamp {
            let value = Value::String(timestamp.clone());
            let payload = Payload::parse("Timestamp", &value, language);
            return self.keep(payload, &format!("{location}/Timestamp")).map(WaitNode::Timestamp);
        }
        if wait.seconds.is_none() {
            self.report("one of Seconds, SecondsPath, Timestamp or TimestampPath is required", location);
        }
        self.amount(wait.seconds.as_ref(), "Seconds", None, "SecondsPath", location).map(WaitNode::Seconds)
    }

    fn fail(&mut self, fail: &Fail, language: QueryLanguage, location: &str) -> Kind {
        let mut text = |literal: &Option<String>, field, path: &Option<String>, path_field| {
            if let Some(path) = path {
                return self.keep(Payload::of_path(path_field, path), &format!("{location}/{path_field}"));
            }
            let value = Value::String(literal.clone()?);
            self.keep(Payload::parse(field, &value, language), &format!("{location}/{field}"))
        };
        let error = text(&fail.error, "Error", &fail.error_path, "ErrorPath");
        let cause = text(&fail.cause, "Cause", &fail.cause_path, "CausePath");
        Kind::Fail { error, cause }
    }

    fn parallel(&mut self, parallel: &Parallel, language: QueryLanguage, location: &str) -> Option<Kind> {
        let mut branches = Vec::with_capacity(parallel.branches.len());
        for (index, branch) in parallel.branches.iter().enumerate() {
            branches.push(self.sub_machine(branch, language, &format!("{location}/Branches[{index}]")));
        }
        let branches = branches.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Kind::Parallel { branches })
    }

    fn map(
        &mut self,
        map: &Map,
        own: QueryLanguage,
        language: QueryLanguage,
        location: &str,
    ) -> Option<MapNode> {
        let Some(processor) = map.processor() else {
            self.report("These fields are required: [ItemProcessor]", location);
            return None;
        };
        let config = processor.processor_config.unwrap_or_default();
        let field = if map.item_processor.is_some() { "ItemProcessor" } else { "Iterator" };
        let machine = self.sub_machine(processor, language, &format!("{location}/{field}"));
        let items_path = map.items_path.clone().map(Some);
        let selector = match &map.item_selector {
            Some(_) => self.payload("ItemSelector", &map.item_selector, own, location),
            None => self.payload("Parameters", &map.parameters, own, location),
        };
        let reader = map.item_reader.as_ref().map(|reader| {
            let place = format!("{location}/ItemReader");
            let config = reader.reader_config.clone().unwrap_or_default();
            let max_items = self.amount(
                config.max_items.as_ref(),
                "MaxItems",
                config.max_items_path.as_deref(),
                "MaxItemsPath",
                &format!("{place}/ReaderConfig"),
            );
            Reader {
                resource: Arc::from(reader.resource.as_str()),
                arguments: self.either(&reader.parameters, &reader.arguments, own, &place),
                max_items,
                config,
            }
        });
        let batcher = map.item_batcher.as_ref().map(|batcher| {
            let place = format!("{location}/ItemBatcher");
            Batcher {
                batch_input: self.payload("BatchInput", &batcher.batch_input, own, &place),
                max_items: self.amount(
                    batcher.max_items_per_batch.as_ref(),
                    "MaxItemsPerBatch",
                    batcher.max_items_per_batch_path.as_deref(),
                    "MaxItemsPerBatchPath",
                    &place,
                ),
                max_bytes: self.amount(
                    batcher.max_input_bytes_per_batch.as_ref(),
                    "MaxInputBytesPerBatch",
                    batcher.max_input_bytes_per_batch_path.as_deref(),
                    "MaxInputBytesPerBatchPath",
                    &place,
                ),
            }
        });
        let writer = map.result_writer.as_ref().map(|writer| {
            let config = writer.writer_config.clone().unwrap_or_default();
            Writer {
                resource: writer.resource.as_deref().map(Arc::from),
                arguments: self.either(
                    &writer.parameters,
                    &writer.arguments,
                    own,
                    &format!("{location}/ResultWriter"),
                ),
                transformation: config.transformation,
                is_lines: config.output_type.as_deref() == Some("JSONL"),
            }
        });
        Some(MapNode {
            items_path: self.selector(&items_path, location, "ItemsPath"),
            items: self.payload("Items", &map.items, own, location),
            selector,
            max_concurrency: self.amount(
                map.max_concurrency.as_ref(),
                "MaxConcurrency",
                map.max_concurrency_path.as_deref(),
                "MaxConcurrencyPath",
                location,
            ),
            tolerated_count: self.amount(
                map.tolerated_failure_count.as_ref(),
                "ToleratedFailureCount",
                map.tolerated_failure_count_path.as_deref(),
                "ToleratedFailureCountPath",
                location,
            ),
            tolerated_percentage: self.amount(
                map.tolerated_failure_percentage.as_ref(),
                "ToleratedFailurePercentage",
                map.tolerated_failure_percentage_path.as_deref(),
                "ToleratedFailurePercentagePath",
                location,
            ),
            is_distributed: map.is_distributed(),
            is_express: config.execution_type == Some(ExecutionType::Express),
            label: map.label.clone(),
            reader,
            batcher,
            writer,
            processor: machine?,
        })
    }
}

impl MapNode {
    /// Whether the items are looked for in the context object.
    pub(crate) fn reads_context(&self) -> bool {
        matches!(&self.items_path, Some(Selector::At { reference: Reference::Context(_), .. }))
    }
}

/// Whether intervals of this retrier are drawn at random.
pub(crate) fn is_jittered(retrier: &Retrier) -> bool {
    retrier.jitter_strategy == Some(JitterStrategy::Full)
}
