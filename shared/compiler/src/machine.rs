//! A pipeline's machines: the nest, cut into parts, as states.
//!
//! The pipeline's own machine is `Open`, the nest, `Close`; a part is `Enter` and its piece of the
//! nest. A task is one state under its own name (three when mapped: `<task>`, `<task>.items`,
//! `<task>.join`), so the console reads like the pipeline file. A failed task is caught and the
//! machine goes on: siblings never stop, and what comes below decides by its rule.

use cauce_asl::{
    Catcher, ExecutionType, Map, Parallel, Pass, QueryLanguage, State, StateMachine, States, SubMachine,
    Succeed, Task, error_name,
};
use cauce_model::deployment::PART_PREFIX;
use cauce_model::ids::child_suffix;
use cauce_model::names;
use cauce_model::plan::{MapPlan, Plan, TaskPlan};
use serde_json::{Value, json};

use crate::lifecycle::{self, catch, invoke, token_fields, with};
use crate::resource::{
    BEGIN_TASK, CALL, CLOSE_RUN, EXECUTE, EXPAND_MAP, FINISH_TASK, GATE_WAIT_MAX_SECONDS, INVOKE,
    INVOKE_TOKEN, ITEM, OPEN_RUN, Patience,
};
use crate::split::{Block, BlockId, Layout};

/// Stands for the version while the version is computed; as long as a version is.
const VERSION_PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One state machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// `<pipeline>`, or `<pipeline>-part-<n>`.
    pub name: String,
    /// What `$machines` calls a part; `None` for the pipeline's own machine.
    pub part: Option<String>,
    /// What it does.
    pub definition: StateMachine,
}

/// The first and the last state of a pipeline's own machine.
const OPEN: &str = "Open";
const CLOSE: &str = "Close";

/// What the state that runs a mapped task's items adds to the task's name.
pub(crate) const ITEMS_SUFFIX: &str = ".items";

/// The name of a part in `$machines`, as a state, and in execution names.
pub(crate) fn part_name(part: usize) -> String {
    format!("{PART_PREFIX}{}", part + 1)
}

/// The machines of a pipeline, its own first, with a placeholder for the version.
pub(crate) fn machines(plan: &Plan, layout: &Layout) -> Vec<Machine> {
    let own = Writer::new(plan, layout).pipeline();
    let parts = layout.parts.iter().enumerate().map(|(part, &block)| {
        let name = part_name(part);
        Machine {
            name: format!("{}-{name}", plan.pipeline),
            part: Some(name),
            definition: Writer::new(plan, layout).part(block, part),
        }
    });
    let own = Machine { name: plan.pipeline.clone(), part: None, definition: own };
    std::iter::once(own).chain(parts).collect()
}

/// Puts the version where a pipeline's own machine names it.
pub(crate) fn set_version(own: &mut Machine, version: &str) {
    if let Some(State::Task(state)) = own.definition.states.get_mut(OPEN) {
        let next = state.next.take().unwrap_or_default();
        **state = open(&own.name, version).next(next);
    }
}

/// The states that one task takes, going on to a state of this name: for weighing it.
pub(crate) fn task_states(task: &TaskPlan) -> States {
    let mut states = States::new();
    add_task(&mut states, task, Some("next"));
    states
}

struct Writer<'a> {
    plan: &'a Plan,
    layout: &'a Layout,
    /// How many `Parallel` were written so far.
    parallels: usize,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, layout: &'a Layout) -> Self {
        Self { plan, layout, parallels: 0 }
    }

    fn pipeline(mut self) -> StateMachine {
        let mut nest = States::new();
        let first = self.layout.root.map(|root| self.add_block(&mut nest, root, Some(CLOSE)));
        let mut states = States::new();
        let open = open(&self.plan.pipeline, VERSION_PLACEHOLDER);
        let first = first.unwrap_or_else(|| CLOSE.to_owned());
        states.insert(OPEN.to_owned(), open.next(first).into());
        states.extend(nest);
        states.insert(CLOSE.to_owned(), close().end().into());
        StateMachine {
            comment: Some(format!("The pipeline {}.", self.plan.pipeline)),
            query_language: Some(QueryLanguage::JSONata),
            start_at: OPEN.to_owned(),
            states,
            ..StateMachine::default()
        }
    }

    fn part(mut self, block: BlockId, part: usize) -> StateMachine {
        let mut nest = States::new();
        let first = self.add_block(&mut nest, block, Some("Leave"));
        let enter = Pass {
            assign: Some(json!({
                "run_key": "{% $states.input.run_key %}",
                "generation": "{% $states.input.generation %}",
                "version": "{% $states.input.version %}",
                "machines": "{% $states.input.machines %}",
            })),
            output: Some(json!({})),
            ..Pass::default()
        };
        let mut states = States::new();
        states.insert("Enter".to_owned(), enter.next(first).into());
        states.extend(nest);
        states.insert("Leave".to_owned(), leave().into());
        StateMachine {
            comment: Some(format!("Part {} of the pipeline {}.", part + 1, self.plan.pipeline)),
            query_language: Some(QueryLanguage::JSONata),
            start_at: "Enter".to_owned(),
            states,
            ..StateMachine::default()
        }
    }

    /// Adds the states of a block and returns the first one's name. Without `next` the block ends
    /// its branch. The layout bounds how deep blocks stand inside each other.
    fn add_block(&mut self, states: &mut States, id: BlockId, next: Option<&str>) -> String {
        match self.layout.block(id) {
            Block::Task(task) => {
                let task = &self.plan.tasks[*task];
                add_task(states, task, next);
                task.name.clone()
            }
            Block::Part(part) => {
                let name = part_name(*part);
                add_caught(states, &name, part_state(&name), next);
                name
            }
            Block::Seq(children) => {
                // Written from the end, as each needs the name of what follows; listed forwards.
                let mut pieces = Vec::with_capacity(children.len());
                let mut following = next.map(ToOwned::to_owned);
                for &child in children.iter().rev() {
                    let mut piece = States::new();
                    following = Some(self.add_block(&mut piece, child, following.as_deref()));
                    pieces.push(piece);
                }
                for piece in pieces.into_iter().rev() {
                    states.extend(piece);
                }
                following.unwrap_or_default()
            }
            Block::Par(children) => {
                self.parallels += 1;
                let name = format!("parallel-{}", self.parallels);
                let branches = children.iter().map(|&child| {
                    let mut branch = SubMachine::default();
                    branch.start_at = self.add_block(&mut branch.states, child, None);
                    branch
                });
                let parallel =
                    Parallel { branches: branches.collect(), output: Some(json!({})), ..Parallel::default() };
                let parallel = match next {
                    Some(next) => parallel.next(next),
                    None => parallel.end(),
                };
                states.insert(name.clone(), parallel.into());
                name
            }
        }
    }
}

/// Adds a state that goes on whatever becomes of it. A catcher must name a state, so a branch that
/// ends here gets one to end in.
fn add_caught(states: &mut States, name: &str, task: Task, next: Option<&str>) {
    let (task, after) = match next {
        Some(next) => (task.next(next), next.to_owned()),
        None => (task.end(), format!("{name}.passed")),
    };
    let mut task = task;
    task.catch.push(catch([error_name::ALL], after.clone()));
    states.insert(name.to_owned(), task.into());
    if next.is_none() {
        states.insert(after, leave().into());
    }
}

fn add_task(states: &mut States, task: &TaskPlan, next: Option<&str>) {
    match (&task.map, task.kind.machine()) {
        (Some(map), _) => add_mapped(states, task, map, next),
        (None, Some(machine)) => add_caught(states, &task.name, start(task, machine), next),
        (None, None) => add_caught(states, &task.name, inline(task), next),
    }
}

/// The states of a mapped task: expand, the items, join.
fn add_mapped(states: &mut States, task: &TaskPlan, map: &MapPlan, next: Option<&str>) {
    let items = format!("{}{ITEMS_SUFFIX}", task.name);
    let join = format!("{}.join", task.name);
    let passed = format!("{}.passed", task.name);
    let after = next.unwrap_or(&passed);
    let mut expand = token_state(EXPAND_MAP, named(task), &task.name);
    expand.output = Some(json!("{% $states.result %}"));
    expand.catch.push(catch([error_name::ALL], after));
    states.insert(task.name.clone(), expand.next(&items).into());

    let over = if map.distributed { distributed(task, &items) } else { Map::inline(item_branch(task)) };
    let over = Map {
        items: Some(json!("{% $states.input.indices %}")),
        max_concurrency: Some(u64::from(map.max_concurrency).into()),
        catch: vec![catch([error_name::ALL], join.clone())],
        output: Some(json!({})),
        ..over
    };
    states.insert(items, over.next(&join).into());

    let finish = Task {
        arguments: invoke(FINISH_TASK, with(named(task), json!({"join": true}))),
        retry: Patience::record(),
        output: Some(json!({})),
        catch: vec![catch([error_name::ALL], after)],
        ..Task::new(INVOKE)
    };
    let finish = match next {
        Some(next) => finish.next(next),
        None => finish.end(),
    };
    states.insert(join, finish.into());
    if next.is_none() {
        states.insert(passed, leave().into());
    }
}

/// What an inline Map runs for each index, which is its input.
fn item_branch(task: &TaskPlan) -> SubMachine {
    let name = format!("{}.item", task.name);
    let index = "{% $states.input %}";
    let state = match task.kind.machine() {
        Some(machine) => {
            let mut state = start(task, machine);
            if let Some(Value::Object(arguments)) = &mut state.arguments {
                let suffix = child_suffix(&task.name);
                let name = format!("$run_key & '-g' & $generation & '-{suffix}-' & $states.input");
                arguments.insert("Name".to_owned(), format!("{{% {name} %}}").into());
                if let Some(Value::Object(input)) = arguments.get_mut("Input") {
                    input.insert("index".to_owned(), index.into());
                }
            }
            state.retry = vec![ITEM.execution()];
            state
        }
        None => {
            let payload = with(named(task), json!({"index": index}));
            let mut state = token_state(BEGIN_TASK, payload, &name);
            // Asking again enters the state anew, with the same index as its input.
            for again in &mut state.catch {
                again.output = Some(json!(index));
            }
            state.retry = vec![ITEM.lambda()];
            Task { output: Some(json!({})), ..state }
        }
    };
    let mut branch = SubMachine::new(&name);
    add_caught(&mut branch.states, &name, state, None);
    branch
}

/// A Map whose items are executions of their own, each the lifecycle itself. Such an execution sees
/// nothing of this machine's variables, so everything is in its input.
fn distributed(task: &TaskPlan, items: &str) -> Map {
    let prefix = format!("{}.", task.name);
    let lifecycle = task.kind.machine().and_then(|kind| lifecycle::states(kind, &prefix));
    let (start_at, states) = lifecycle.unwrap_or_else(|| {
        let name = format!("{prefix}item");
        let state = token_state(BEGIN_TASK, lifecycle::identity(), &name);
        let mut states = States::new();
        add_caught(&mut states, &name, state, None);
        (name, states)
    });
    let processor = SubMachine { start_at, states, ..SubMachine::default() };
    let index = json!({"index": "{% $states.context.Map.Item.Value %}"});
    Map {
        item_selector: Some(with(named(task), index)),
        // Join decides by the items' statuses; a failed execution alone fails nothing.
        tolerated_failure_percentage: Some(100.into()),
        label: Some(label(items)),
        ..Map::distributed(processor, ExecutionType::Standard)
    }
}

/// The longest label of a distributed Map.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html>
const LABEL_CHARACTERS: usize = 40;

fn label(state: &str) -> String {
    if state.len() <= LABEL_CHARACTERS {
        return state.to_owned();
    }
    // Cut at 31, a dash and eight hex digits: forty.
    let hash = cauce_model::ids::sha256_hex(state);
    format!("{}-{}", &state[..31], &hash[..8])
}

fn open(pipeline: &str, version: &str) -> Task {
    let payload = json!({
        "token": "{% $states.context.Task.Token %}",
        "execution": "{% $states.context.Execution.Name %}",
        "execution_arn": "{% $states.context.Execution.Id %}",
        "input": "{% $states.input %}",
        "pipeline": pipeline,
        "version": version,
    });
    Task {
        arguments: invoke(OPEN_RUN, payload),
        timeout_seconds: Some(GATE_WAIT_MAX_SECONDS.into()),
        retry: vec![CALL.lambda()],
        // Let in later: asked again with the input that the execution began with.
        catch: vec![Catcher { output: Some(json!("{% $states.input %}")), ..catch([names::AGAIN], OPEN) }],
        assign: Some(json!({
            "run_key": "{% $states.result.run_key %}",
            "generation": "{% $states.result.generation %}",
            "version": version,
            "machines": "{% $states.result.machines %}",
        })),
        output: Some(json!({})),
        ..Task::new(INVOKE_TOKEN)
    }
}

fn close() -> Task {
    let payload = json!({
        "run_key": "{% $run_key %}",
        "generation": "{% $generation %}",
        "version": "{% $version %}",
        "execution": "{% $states.context.Execution.Name %}",
        "execution_arn": "{% $states.context.Execution.Id %}",
        // Above zero: somebody had the failed execution go on, from here.
        "redrives": "{% $exists($states.context.Execution.RedriveCount) ? $states.context.Execution.RedriveCount : 0 %}",
    });
    Task {
        arguments: invoke(CLOSE_RUN, payload),
        retry: Patience::record(),
        output: Some(json!({})),
        ..Task::new(INVOKE)
    }
}

/// A task that runs in a machine of its own.
fn start(task: &TaskPlan, machine: &str) -> Task {
    let suffix = child_suffix(&task.name);
    Task {
        arguments: Some(json!({
            "StateMachineArn": format!("{{% $machines.{machine} %}}"),
            "Name": format!("{{% $run_key & '-g' & $generation & '-{suffix}' %}}"),
            "Input": {
                "run_key": "{% $run_key %}",
                "generation": "{% $generation %}",
                "version": "{% $version %}",
                "task": task.name,
                // Links the two executions in the console.
                "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "{% $states.context.Execution.Id %}",
            },
        })),
        retry: vec![CALL.execution()],
        output: Some(json!({})),
        ..Task::new(EXECUTE)
    }
}

fn part_state(name: &str) -> Task {
    Task {
        arguments: Some(json!({
            "StateMachineArn": format!("{{% $lookup($machines, '{name}') %}}"),
            "Name": format!("{{% $run_key & '-g' & $generation & '-{name}' %}}"),
            "Input": {
                "run_key": "{% $run_key %}",
                "generation": "{% $generation %}",
                "version": "{% $version %}",
                "machines": "{% $machines %}",
                "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "{% $states.context.Execution.Id %}",
            },
        })),
        retry: vec![CALL.execution()],
        output: Some(json!({})),
        ..Task::new(EXECUTE)
    }
}

/// A task that begin-task decides, performs and finishes by itself.
fn inline(task: &TaskPlan) -> Task {
    Task { output: Some(json!({})), ..token_state(BEGIN_TASK, named(task), &task.name) }
}

/// What every call about a task carries, from this machine's variables.
fn named(task: &TaskPlan) -> Value {
    json!({
        "run_key": "{% $run_key %}",
        "generation": "{% $generation %}",
        "version": "{% $version %}",
        "task": task.name,
    })
}

/// A state that hands its token to a function, and comes back to itself when told to ask again.
fn token_state(function: &str, payload: Value, name: &str) -> Task {
    Task {
        arguments: invoke(function, with(payload, token_fields())),
        timeout_seconds: Some(GATE_WAIT_MAX_SECONDS.into()),
        retry: vec![CALL.lambda()],
        catch: vec![catch([names::AGAIN], name)],
        ..Task::new(INVOKE_TOKEN)
    }
}

fn leave() -> Succeed {
    Succeed { output: Some(json!({})), ..Succeed::default() }
}
