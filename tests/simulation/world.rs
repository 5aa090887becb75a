//! A pipeline file, compiled and run through the real drivers in virtual time.

use cauce_compiler::{Compiled, compile};
use cauce_engine::command::{Again, Existing, Trigger};
use cauce_engine::{Command, Patience, Reply, Settings};
use cauce_host::simulation::{MemoryObjects, Ran, Script, Simulated};
use cauce_host::{DeployedMachine, Deployment, Host, HostError, Outcome};
use cauce_local::memory::MemoryTable;
use cauce_model::record::{
    Notice, Record, RunRecord, TASK_PREFIX, TaskRecord, TriggerRecord, run_item, run_partition,
};
use cauce_model::{Instant, Json, RunKey, TriggerKind};
use cauce_ports::{Objects, Table};
use cauce_spec::Project;
use std::collections::BTreeMap;

/// The moment at which every simulation begins.
pub(crate) fn epoch() -> Instant {
    Instant::parse("1997-01-06T02:00:00Z").unwrap()
}

/// Compiles a pipeline file that has to be without errors.
pub(crate) fn compiled(yaml: &str) -> Compiled {
    compiled_in(yaml, &Project::none())
}

pub(crate) fn compiled_in(yaml: &str, project: &Project) -> Compiled {
    let (pipeline, diagnostics) = cauce_spec::check(yaml.as_bytes(), project);
    let pipeline = pipeline.unwrap_or_else(|| panic!("{diagnostics:?}\n{yaml}"));
    compile(&pipeline, project).unwrap()
}

pub(crate) fn deployment(compiled: &Compiled) -> Deployment {
    Deployment {
        plan: compiled.plan.clone(),
        version: compiled.version().to_owned(),
        machines: compiled
            .machines
            .iter()
            .map(|machine| DeployedMachine {
                name: machine.name.clone(),
                part: machine.part.clone(),
                definition: serde_json::to_value(&machine.definition).unwrap(),
            })
            .collect(),
    }
}

pub(crate) type Sim<T = MemoryTable, O = MemoryObjects> = Host<Simulated<T, O>>;

/// A host in virtual time with the lifecycle machines.
pub(crate) fn host<T, O>(table: T, objects: O, script: Script, now: Instant) -> Sim<T, O>
where
    T: Table + 'static,
    O: Objects + Clone + 'static,
{
    host_of(Simulated::new(table, objects, script, now))
}

pub(crate) fn host_of<T, O>(world: Simulated<T, O>) -> Sim<T, O>
where
    T: Table + 'static,
    O: Objects + Clone + 'static,
{
    host_under(world, Patience::ALONE)
}

/// A host that leaves ticks to others for a while.
pub(crate) fn host_under<T, O>(world: Simulated<T, O>, patience: Patience) -> Sim<T, O>
where
    T: Table + 'static,
    O: Objects + Clone + 'static,
{
    host_with(world, Settings { patience, one_machine: true, ..Settings::default() })
}

/// A host with settings of its own, beside the places and names that all have.
pub(crate) fn host_with<T, O>(world: Simulated<T, O>, settings: Settings) -> Sim<T, O>
where
    T: Table + 'static,
    O: Objects + Clone + 'static,
{
    let host = Host::new(world, self::settings(settings), 1);
    for (kind, machine) in cauce_compiler::lifecycle::machines() {
        host.machines().add(kind, &serde_json::to_value(&machine).unwrap()).unwrap();
    }
    host
}

/// Settings with the places and names that all simulations have.
pub(crate) fn settings(of_its_own: Settings) -> Settings {
    let lifecycles = cauce_compiler::lifecycle::machines();
    Settings {
        documents: "s3://state/documents".to_owned(),
        cluster: "simulated".to_owned(),
        machines: lifecycles.iter().map(|(kind, _)| ((*kind).to_owned(), (*kind).to_owned())).collect(),
        ..of_its_own
    }
}

/// The request for a run by hand.
pub(crate) fn by_hand(compiled: &Compiled, run_id: &str) -> Trigger {
    Trigger {
        pipeline: compiled.plan.pipeline.clone(),
        version: compiled.version().to_owned(),
        run_id: run_id.to_owned(),
        trigger: TriggerRecord { kind: TriggerKind::Manual, by: None, detail: Json::Null, item: None },
        params: Some(serde_json::json!({})),
        logical_date: epoch(),
        data_interval: (epoch(), epoch()),
        timezone: "UTC".to_owned(),
        scheduled_at: None,
        existing: Existing::Next(Again::All),
        only: None,
        force: false,
        latest: false,
        canary: false,
        start: true,
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) run: RunRecord,
    pub(crate) tasks: BTreeMap<String, TaskRecord>,
    pub(crate) ran: Vec<Ran>,
    pub(crate) notices: Vec<Notice>,
}

impl Ended {
    /// `task:status` of every task, in order of name.
    pub(crate) fn statuses(&self) -> String {
        let words: Vec<String> =
            self.tasks.iter().map(|(name, task)| format!("{name}:{}", task.status)).collect();
        words.join(" ")
    }

    /// Why tasks did not succeed, and the run.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let of = |(name, task): (&String, &TaskRecord)| {
            let classes: Vec<_> = task.attempts.iter().map(|attempt| attempt.class).collect();
            let reason = task.reason.as_deref().unwrap_or_default();
            (!reason.is_empty()).then(|| format!("{name} {}: {reason} {classes:?}", task.status))
        };
        self.tasks.iter().filter_map(of).chain(self.run.message.clone()).collect()
    }

    /// The second, counted from the beginning, at which a task's n-th attempt started.
    pub(crate) fn started(&self, task: &str) -> Vec<f64> {
        let seconds = |at: Instant| at.micros_since(epoch()) as f64 / 1e6;
        self.ran.iter().filter(|ran| ran.task == task).map(|ran| seconds(ran.started_at)).collect()
    }
}

/// Triggers and runs to the end.
pub(crate) fn run<T, O>(host: &Sim<T, O>, trigger: Trigger) -> Result<Ended, HostError>
where
    T: Table + 'static,
    O: Objects + Clone + 'static,
{
    let clock = host.world().clock.clone();
    let key = RunKey::new(&trigger.pipeline, &trigger.run_id);
    let outcome = clock.block_on(async {
        let reply = host.execute(&Command::Trigger(Box::new(trigger))).await;
        assert!(matches!(reply, Ok(Reply::Ok(_))), "{reply:?}");
        host.run(std::future::pending()).await
    });
    let outcome = outcome.unwrap_or_else(|| Err(HostError::Stuck("nothing sleeps".to_owned())))?;
    assert_eq!(outcome, Outcome::Reached);
    Ok(clock.block_on(read(host, &key)).unwrap())
}

/// Reads how a run stands.
pub(crate) async fn read<T, O>(host: &Sim<T, O>, key: &RunKey) -> Ended
where
    T: Table + 'static,
    O: Objects + Clone + 'static,
{
    let table = &host.world().table;
    let run = table.get(&run_item(key)).await.unwrap().unwrap();
    let page = table.query(&run_partition(key), TASK_PREFIX, None, 100_000).await.unwrap();
    let tasks = page.items.iter().map(|item| TaskRecord::from_item(item).unwrap());
    let name = |task: &TaskRecord| match task.index {
        Some(index) => format!("{}[{index}]", task.task),
        None => task.task.clone(),
    };
    Ended {
        run: RunRecord::from_item(&run).unwrap(),
        tasks: tasks.map(|task| (name(&task), task)).collect(),
        ran: host.world().programs.ran(),
        notices: host.world().notices.notices(),
    }
}

/// Compiles, deploys, runs.
pub(crate) fn simulate(yaml: &str, script: Script) -> Ended {
    simulate_all(&[yaml], script)
}

/// The first file is run; it may start the others.
pub(crate) fn simulate_all(yamls: &[&str], script: Script) -> Ended {
    simulate_on(&host(MemoryTable::new(), MemoryObjects::default(), script, epoch()), yamls)
}

/// The same on a host that is there.
pub(crate) fn simulate_on(host: &Sim<MemoryTable, MemoryObjects>, yamls: &[&str]) -> Ended {
    let all: Vec<Compiled> = yamls.iter().map(|yaml| compiled(yaml)).collect();
    for compiled in &all {
        host.world().clock.clone().block_on(host.deploy(&deployment(compiled))).unwrap().unwrap();
    }
    run(host, by_hand(&all[0], "r1")).unwrap()
}

/// Durations in seconds and outcomes as their files would give them.
pub(crate) fn script(durations: Json, outcomes: Json) -> Script {
    let mut script = Script::default();
    script.read_durations(&durations, |_| true).unwrap();
    script.read_outcomes(&outcomes, |_| true).unwrap();
    script
}
