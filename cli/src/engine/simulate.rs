//! `cauce simulate` and `cauce run --dry-run`: the same drivers in virtual time, calling nothing.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use cauce_engine::command::{Begin, Event, Existing, Trigger};
use cauce_engine::prepared::ScriptedAnswer;
use cauce_engine::trigger::NewRun;
use cauce_engine::{Command, Decision, Effect, Reply};
use cauce_host::simulation::{Ending, MemoryObjects, Script, ScriptError, Simulated};
use cauce_host::{Host, HostError, Outcome};
use cauce_local::memory::MemoryTable;
use cauce_model::matrix::RunItem;
use cauce_model::plan::{ReturnType, TaskKind};
use cauce_model::record::{
    Notice, Record, RunRecord, TASK_PREFIX, TaskRecord, TriggerRecord, run_item, run_partition,
};
use cauce_model::{FailureClass, Instant, Json, Plan, RunKey, RunStatus, TaskStatus, TriggerKind};
use cauce_ports::{Clock, Table};
use serde_json::{Map, json};

use crate::args::{RunArgs, SimulateArgs};
use crate::context::Context;
use crate::engine::assemble::{add_lifecycles, deployment, settings, shared, started_pipelines};
use crate::engine::dates;
use crate::engine::item;
use crate::engine::watch::task_changes;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table as Shown, Tone};
use crate::project::{self, Loaded};

/// `cauce simulate`
pub(crate) fn simulate(args: &SimulateArgs, context: &Context) -> Result<Exit, Failure> {
    let loaded = project::load(&args.file, context)?;
    let plan = &loaded.compiled.plan;
    let params = dates::params(&plan.params, &args.params, None, context)?;
    // Of a matrix, any item shows the order; the first one stands for all.
    let first = loaded.items.as_ref().and_then(|items| items.items.first()).map(|item| item.key.as_str());
    let chosen = item::of_file(plan, loaded.items.as_ref(), first)?;
    let start = start_of(&loaded)?;
    let new = dates::new_run(plan, chosen.as_ref(), args.logical_date.as_deref(), None, start)?;
    let mut script = Script::default();
    read(args.durations.as_deref(), plan, context, |file, is_task| script.read_durations(file, is_task))?;
    read(args.outcomes.as_deref(), plan, context, |file, is_task| script.read_outcomes(file, is_task))?;
    let simulation = Simulation::new(&loaded, script, None, context)?;
    let ended = simulation.run(&loaded, (new, chosen.map(|chosen| chosen.item)), params, None)?;
    show(&loaded, &ended, context)
}

/// `cauce run --dry-run`: prints each decision.
pub(crate) fn dry_run(
    loaded: &Loaded,
    args: &RunArgs,
    new: (NewRun, Option<RunItem>),
    params: Json,
    context: &Context,
) -> Result<Exit, Failure> {
    let plan = &loaded.compiled.plan;
    let mut script = Script::default();
    read(args.outcomes.as_deref(), plan, context, |file, is_task| script.read_outcomes(file, is_task))?;
    let lines = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&lines);
    let watch = Box::new(move |command: &Command, decision: &Decision| {
        seen.borrow_mut().extend(told(command, decision));
    });
    let simulation = Simulation::new(loaded, script, Some(watch), context)?;
    let ended = simulation.run(loaded, new, params, args.only.clone())?;
    tell_messages(&mut lines.borrow_mut(), &simulation.host.world().notices.notices());
    if context.json {
        context.output.json(&*lines.borrow())?;
    } else {
        for line in lines.borrow().iter() {
            context.output.line(line["text"].as_str().unwrap_or_default())?;
        }
        context.output.talk(&format!("the run would end {}; nothing was started", ended.run.status));
    }
    Ok(if ended.is_good() { Exit::Good } else { Exit::RunFailed })
}

/// Whether the output of an approval's outcome is a yes. Of what it returns, `decision` alone can be said: who answered
/// and when follows from the simulation.
fn approves(task: &str, output: &Json) -> Result<bool, Failure> {
    let fields = output.as_object();
    let other = fields.and_then(|fields| fields.iter().find(|(name, _)| *name != "decision"));
    match (fields, other, output.get("decision").map(Json::as_str)) {
        (Some(_), None, None | Some(Some("approved"))) => Ok(true),
        (Some(_), None, Some(Some("rejected"))) => Ok(false),
        _ => Err(Failure::bad_input(format!("the approval '{task}' has no outcome {output}")).help(
            "write {\"decision\": \"approved\"} or {\"decision\": \"rejected\"}; \"rejected\" and \"timeout\" are outcomes too",
        )),
    }
}

/// Adds what tasks of the kind `notify` say, before their ends: they deliver within their decision.
fn tell_messages(lines: &mut Vec<Json>, notices: &[Notice]) {
    for notice in notices.iter().filter(|notice| notice.event == "message") {
        let task = notice.task.as_deref();
        let ended = |line: &Json| line["decided"] == "success" && line["task"].as_str() == task;
        let at = lines.iter().position(ended).unwrap_or(lines.len());
        let text = format!("notify {}: {}", notice.channel, notice.subject);
        lines.insert(at, json!({"decided": "notify", "task": task, "text": text}));
    }
}

/// A decision in one line, when there is something to tell.
fn told(command: &Command, decision: &Decision) -> Vec<Json> {
    let mut lines = Vec::new();
    let mut line = |decided: &str, task: Option<&str>, text: String| {
        lines.push(json!({"decision": decided, "task": task, "text": text}));
    };
    for record in task_changes(decision, "run#") {
        let name = match record.index {
            Some(index) => format!("{}[{index}]", record.task),
            None => record.task.clone(),
        };
        let reason = record.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let launch = record.launch.as_ref().and_then(|launch| {
            let argv = launch.pointer("/launch/Overrides/ContainerOverrides/0/Command")?.as_array()?;
            Some(argv.iter().filter_map(Json::as_str).map(word).collect::<Vec<_>>().join(" "))
        });
        let text = match (record.status, launch) {
            (TaskStatus::Running, Some(argv)) => format!("start {name}: {argv}"),
            (TaskStatus::Running, None) if record.item_count.is_some() => {
                format!("expand {name}: {} items", record.item_count.unwrap_or(0))
            }
            (status, _) => format!("{status} {name}{reason}"),
        };
        line(record.status.as_str(), Some(&name), text);
    }
    for effect in &decision.effects {
        match effect {
            Effect::Deliver { notice, .. } => {
                line(
                    "notify",
                    notice.task.as_deref(),
                    format!("notify {}: {}", notice.channel, notice.subject),
                );
            }
            Effect::Post(Event::Dataset { dataset }) => line("update", None, format!("update {dataset}")),
            Effect::Refuse { .. }
            | Effect::Answer { .. }
            | Effect::Command(_)
            | Effect::Each { .. }
            | Effect::Post(_) => {}
            Effect::Start { name, .. } => line("start", None, format!("start the run's execution {name}")),
            Effect::Stop { name, .. } => line("stop", None, format!("stop the execution {name}")),
            Effect::StopProgram { id, .. } => line("stop", None, format!("stop the program {id}")),
            Effect::At { at, .. } => line("timer", None, format!("set a timer for {at}")),
        }
    }
    if let Command::Close(_) = command {
        for write in &decision.writes {
            if let cauce_model::Write::Put { item, .. } = write
                && item.key.sort == "R"
                && let Some(status) = item.body.get("status").and_then(Json::as_str)
            {
                line("close", None, format!("close the run: {status}"));
            }
        }
    }
    if let Command::Begin(Begin { task, .. }) = command
        && lines.is_empty()
        && decision.effects.is_empty()
    {
        return vec![
            json!({"decision": "wait", "task": task, "text": format!("wait {task}: its gate is closed")}),
        ];
    }
    lines
}

/// An argv item as people can tell it from its neighbours.
fn word(item: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !item.is_empty() && item.chars().all(plain) { item.to_owned() } else { format!("{item:?}") }
}

fn read(
    file: Option<&Path>,
    plan: &Plan,
    context: &Context,
    take: impl FnOnce(&Json, &dyn Fn(&str) -> bool) -> Result<(), ScriptError>,
) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let text = project::read(&context.absolute(file))?;
    let bad = |problem: String| Failure::bad_input(format!("{}: {problem}", file.display()));
    let json: Json = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    take(&json, &|task| plan.index_of(task).is_some()).map_err(|error| {
        let failure = bad(error.to_string());
        let ScriptError::NoTask(unknown) = &error else { return failure };
        let names: Vec<&str> = plan.tasks.iter().map(|task| task.name.as_str()).collect();
        match crate::suggest::nearest(unknown, names.iter().copied()) {
            Some(near) => failure.help(format!("did you mean '{near}'?")),
            None => failure.help(format!("its tasks are {}", names.join(", "))),
        }
    })?;
    let named =
        json.as_object().into_iter().flatten().map(|(name, _)| name.split('[').next().unwrap_or(name));
    let tasks = named.filter_map(|name| plan.index_of(name)).map(|at| &plan.tasks[at as usize]);
    match tasks.into_iter().find(|task| task.kind.machine().is_none()) {
        None => Ok(()),
        Some(task) => {
            Err(bad(format!("'{}' runs nothing: it takes no time, and ends as it decides", task.name))
                .help(format!("leave it out, and give outcomes to what it reads: {}", with_programs(plan))))
        }
    }
}

/// The tasks whose time and end somebody has to tell.
fn with_programs(plan: &Plan) -> String {
    let tasks = plan.tasks.iter().filter(|task| task.kind.machine().is_some());
    tasks.map(|task| task.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The moment at which a simulation begins: the present, cut to the second, so that what it prints is
/// easy to read.
fn start_of(_: &Loaded) -> Result<Instant, Failure> {
    let now = cauce_local::clock::SystemClock.now();
    Ok(Instant::from_micros(now.micros() - now.micros().rem_euclid(1_000_000)))
}

/// How a simulated run ended.
struct Ended {
    run: RunRecord,
    tasks: Vec<TaskRecord>,
    began_at: Instant,
    transitions: u64,
}

impl Ended {
    fn is_good(&self) -> bool {
        matches!(self.run.status, RunStatus::Success | RunStatus::Skipped)
    }
}

/// A value for a declared output field of which the outcomes say nothing.
fn made_up(kind: ReturnType) -> Json {
    match kind {
        ReturnType::String | ReturnType::Any => json!(""),
        ReturnType::Integer => json!(0),
        ReturnType::Number => json!(0.0),
        ReturnType::Boolean => json!(true),
        ReturnType::List => json!([]),
        ReturnType::Object => json!({}),
    }
}

struct Simulation {
    host: Host<Simulated<MemoryTable, MemoryObjects>>,
}

type Watch = Box<dyn Fn(&Command, &Decision)>;

impl Simulation {
    fn new(
        loaded: &Loaded,
        script: Script,
        watch: Option<Watch>,
        context: &Context,
    ) -> Result<Self, Failure> {
        let now = start_of(loaded)?;
        // A waiting task's duration is how long its files take; a bad outcome is that they never come.
        let arrivals =
            loaded.compiled.plan.tasks.iter().filter(|task| matches!(task.kind, TaskKind::WaitFor(_)));
        let arrivals = arrivals.map(|task| {
            let comes = !matches!(
                script.outcomes.get(&task.name).and_then(|list| list.first()),
                Some(Ending::Exit(_) | Ending::Class(_))
            );
            let after = script.durations.get(&task.name).and_then(|list| list.first()).copied().unwrap_or(0);
            (task.name.clone(), if comes { after } else { i64::MAX })
        });
        let arrivals: std::collections::BTreeMap<String, i64> = arrivals.collect();
        // The same of an approval's answer: a bad outcome is a no, or that nobody answers.
        let asked = loaded.compiled.plan.tasks.iter().filter(|t| matches!(t.kind, TaskKind::Approval(_)));
        let mut answers = std::collections::BTreeMap::new();
        for task in asked {
            let approved = match script.outcomes.get(&task.name).and_then(|list| list.first()) {
                None => true,
                Some(Ending::Success(output)) => approves(&task.name, output)?,
                Some(Ending::Exit(_) | Ending::Class(FailureClass::Rejected)) => false,
                Some(Ending::Class(_)) => continue,
            };
            let lasts = script.durations.get(&task.name).and_then(|list| list.first());
            let after_micros = lasts.copied().unwrap_or(0);
            answers.insert(task.name.clone(), ScriptedAnswer { after_micros, approved });
        }
        let mut script = script;
        for task in loaded.compiled.plan.tasks.iter().filter(|task| !task.returns.is_empty()) {
            let endings =
                script.outcomes.entry(task.name.clone()).or_insert_with(|| vec![Ending::Success(json!({}))]);
            for ending in endings {
                if let Ending::Success(Json::Object(output)) = ending {
                    for (name, kind) in &task.returns {
                        output.entry(name.clone()).or_insert_with(|| made_up(*kind));
                    }
                }
            }
        }
        let env = loaded.folder.values(&context.env)?;
        let mut settings = settings("s3://simulation".to_owned(), env);
        settings.arrivals = Some(arrivals);
        settings.answers = Some(answers);
        let mut world = Simulated::new(MemoryTable::new(), MemoryObjects::default(), script, now);
        world.on_decision = watch;
        let host = Host::new(world, settings, 1);
        add_lifecycles(&host)?;
        let others = started_pipelines(&loaded.compiled.plan, &loaded.folder, context)?;
        let clock = host.world().clock.clone();
        for command in shared(&loaded.folder) {
            clock.block_on(host.execute(&command)).ok_or_else(stuck)??;
        }
        for compiled in others.iter().chain([&loaded.compiled]) {
            let deployment = deployment(compiled)?;
            let clock = host.world().clock.clone();
            clock.block_on(host.deploy(&deployment)).ok_or_else(stuck)??;
        }
        Ok(Self { host })
    }

    fn run(
        &self,
        loaded: &Loaded,
        (new, item): (NewRun, Option<RunItem>),
        params: Json,
        only: Option<String>,
    ) -> Result<Ended, Failure> {
        let plan = &loaded.compiled.plan;
        let key = RunKey::new(&plan.pipeline, &new.run_id);
        let command = Command::Trigger(Box::new(Trigger {
            pipeline: plan.pipeline.clone(),
            version: loaded.compiled.version().to_owned(),
            run_id: new.run_id,
            trigger: TriggerRecord { kind: TriggerKind::Manual, by: None, detail: Json::Null, item },
            params: Some(params),
            logical_date: new.logical_date,
            data_interval: new.data_interval,
            timezone: new.timezone,
            scheduled_at: new.scheduled_at,
            existing: Existing::Refuse,
            only,
            force: false,
            latest: false,
            canary: false,
            start: true,
        }));
        let clock = self.host.world().clock.clone();
        let began_at = clock.now();
        clock
            .block_on(async {
                match self.host.execute(&command).await? {
                    Reply::Failure { cause, .. } => return Err(Failure::bad_input(cause)),
                    Reply::Ok(_) | Reply::None => {}
                }
                let outcome: Result<Outcome, HostError> = self.host.run(std::future::pending()).await;
                outcome?;
                let table = &self.host.world().table;
                let item = table.get(&run_item(&key)).await?;
                let item = item.ok_or_else(|| Failure::system("the simulated run is gone"))?;
                let page = table.query(&run_partition(&key), TASK_PREFIX, None, u32::MAX).await?;
                let tasks = page.items.iter().map(TaskRecord::from_item).collect::<Result<_, _>>()?;
                let run = RunRecord::from_item(&item)?;
                Ok(Ended { run, tasks, began_at, transitions: self.host.transitions() })
            })
            .ok_or_else(stuck)?
    }
}

fn stuck() -> Failure {
    Failure::system("the simulation stands still, and should not: please report this")
}

fn show(loaded: &Loaded, ended: &Ended, context: &Context) -> Result<Exit, Failure> {
    let seconds = |at: Instant| at.micros_since(ended.began_at) as f64 / 1e6;
    let last = ended.tasks.iter().filter_map(|task| task.ended_at).max();
    let makespan = last.map_or(0.0, seconds);
    let gates = loaded.compiled.plan.tasks.iter().filter(|task| task.gate.is_some()).count();
    let by_name = crate::engine::start::by_name(&ended.tasks);
    if context.json {
        let mut tasks = Map::new();
        for task in &loaded.compiled.plan.tasks {
            let record = by_name.get(task.name.as_str());
            let status = record.map_or(TaskStatus::Waiting, |record| record.status);
            tasks.insert(
                task.name.clone(),
                json!({
                    "status": status,
                    "started_at_seconds": record.and_then(|record| record.started_at).map(seconds),
                    "ended_at_seconds": record.and_then(|record| record.ended_at).map(seconds),
                }),
            );
        }
        context.output.json(&json!({
            "status": ended.run.status,
            "makespan_seconds": makespan,
            "tasks": tasks,
            "transitions": ended.transitions,
            "gates": gates,
        }))?;
    } else {
        let mut table = Shown::new(["TASK", "STATUS", "START", "END", "NOTE"]);
        for task in &loaded.compiled.plan.tasks {
            let record = by_name.get(task.name.as_str());
            let status = record.map_or(TaskStatus::Waiting, |record| record.status);
            let at = |at: Option<Instant>| {
                Cell::new(at.map_or(String::new(), |at| format!("{:.3}", seconds(at))), Tone::Plain)
            };
            table.row([
                Cell::new(task.name.clone(), Tone::Plain),
                Cell::status(status.as_str()),
                at(record.and_then(|record| record.started_at)),
                at(record.and_then(|record| record.ended_at)),
                Cell::new(record.and_then(|record| record.reason.clone()).unwrap_or_default(), Tone::Faint),
            ]);
        }
        context.output.table(&table)?;
        context.output.talk(&format!(
            "{} after {makespan:.3} s; {} state transitions, {gates} gates",
            ended.run.status, ended.transitions
        ));
    }
    Ok(if ended.is_good() { Exit::Good } else { Exit::RunFailed })
}
