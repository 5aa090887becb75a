//! What a decision costs beside its store: the loop around it, on a store in memory that answers at once, and how
//! often it asks and writes. On AWS each call is a round trip of a few milliseconds, so the calls are what counts.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on says so by ending")]
#![expect(clippy::print_stdout, reason = "figures are what this is for")]

use cauce_driver::Driver;
use cauce_engine::command::{Begin, Close, Existing, Finish, Open, Outcome, Trigger};
use cauce_engine::{Command, Prepared, Reply, Settings};
use cauce_local::memory::MemoryTable;
use cauce_model::item::{Expect, Write};
use cauce_model::record::{PipelineRecord, TriggerRecord};
use cauce_model::{Instant, Json, RunKey, TriggerKind};
use cauce_ports::{Services, Table};
use cauce_testkit::faulty::{Faults, Faulty};
use cauce_testkit::stage::Stage;
use divan::Bencher;
use futures_util::FutureExt;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

fn main() {
    println!("calls of the store, by decision:");
    for case in CASES {
        let scene = Scene::at(case);
        let before = scene.faults.made();
        scene.execute(&scene.command);
        let after = scene.faults.made();
        println!(
            "  {:<32} {} reads, {} writes",
            case.to_string(),
            after.reads - before.reads,
            after.writes - before.writes
        );
    }
    divan::main();
}

/// A decision that is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Trigger,
    Open,
    Begin,
    Acquire,
    Join { behind: u32 },
    Finish,
    Release { waiting: u32 },
    Close,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trigger => f.write_str("trigger a run"),
            Self::Open => f.write_str("open a run"),
            Self::Begin => f.write_str("begin a task"),
            Self::Acquire => f.write_str("begin one with a pool"),
            Self::Join { behind } => write!(f, "join a line behind {behind}"),
            Self::Finish => f.write_str("finish a task"),
            Self::Release { waiting } => write!(f, "finish one for whom {waiting} wait"),
            Self::Close => f.write_str("close a run"),
        }
    }
}

const CASES: [Case; 11] = [
    Case::Trigger,
    Case::Open,
    Case::Begin,
    Case::Acquire,
    Case::Join { behind: 1 },
    Case::Join { behind: 500 },
    Case::Finish,
    Case::Release { waiting: 0 },
    Case::Release { waiting: 1 },
    Case::Release { waiting: 500 },
    Case::Close,
];

#[divan::bench(args = CASES, sample_count = 50)]
fn decision(bencher: Bencher<'_, '_>, case: Case) {
    bencher.with_inputs(|| Scene::at(case)).bench_local_values(|scene| {
        scene.execute(&scene.command);
        scene
    });
}

const PLAIN: &str =
    "{pipeline: p, max_active_runs: 1000, tasks: {load: {container: {image: x, command: [run]}}}}";
const POOLED: &str = "{pipeline: p, max_active_runs: 1000, tasks: {load: {container: {image: x, command: [run]}, pools: {sftp: 1}}}}";

/// Everything as it is just before the decision that is measured.
struct Scene {
    driver: Driver<Stage<Faulty<MemoryTable>>>,
    faults: Faults,
    version: String,
    command: Command,
}

impl Scene {
    fn at(case: Case) -> Self {
        let pooled = matches!(case, Case::Acquire | Case::Join { .. } | Case::Release { .. });
        let (project, problems) = cauce_spec::check_project(b"{images: {x: {local: []}}, pools: {sftp: 1}}");
        let project = project.unwrap_or_else(|| panic!("{problems:?}"));
        let text = if pooled { POOLED } else { PLAIN };
        let (pipeline, problems) = cauce_spec::check(text.as_bytes(), &project);
        let compiled =
            cauce_compiler::compile(&pipeline.unwrap_or_else(|| panic!("{problems:?}")), &project).unwrap();
        let faults = Faults::none();
        let stage = Stage::new(Faulty::new(MemoryTable::new(), &faults), now());
        let settings = Settings {
            documents: "s3://state/documents".to_owned(),
            machines: BTreeMap::from([("container".to_owned(), "container".to_owned())]),
            ..Settings::default()
        };
        let version = compiled.version().to_owned();
        let record = PipelineRecord::new("p".to_owned(), version.clone(), "p".to_owned());
        let deployed = [Write::Put { item: record.row(), expect: Expect::Absent }];
        stage.table().write(&deployed, "deployed").now_or_never().unwrap().unwrap();
        let driver = Driver::new(stage, settings);
        driver.plans().keep(Arc::new(Prepared::new(compiled.plan, version.clone())));
        let nothing = Command::Resize { pools: BTreeMap::from([("sftp".to_owned(), 1)]) };
        let mut scene = Self { driver, faults, version, command: nothing };
        scene.execute(&scene.command);
        scene.command = scene.before(case);
        scene
    }

    /// Does what comes before a decision, and returns its command.
    fn before(&self, case: Case) -> Command {
        match case {
            Case::Trigger => return self.trigger("r"),
            Case::Open => {
                self.execute(&self.trigger("r"));
                return self.open("r");
            }
            Case::Join { behind } => {
                // The first holds, the others wait.
                (0..behind).for_each(|number| {
                    self.waits(&format!("w{number}"));
                });
            }
            _ => {}
        }
        self.execute(&self.trigger("r"));
        self.execute(&self.open("r"));
        if matches!(case, Case::Begin | Case::Acquire | Case::Join { .. }) {
            return begin("r");
        }
        self.execute(&begin("r"));
        let fence = self.driver.ports().answer_to(&token("r")).map(|answer| match answer {
            cauce_ports::Answer::Success(launch) => launch["fence"].as_u64().unwrap(),
            failed @ cauce_ports::Answer::Failure { .. } => panic!("{failed:?}"),
        });
        if let Case::Release { waiting } = case {
            (0..waiting).for_each(|number| self.waits(&format!("w{number}")));
        }
        let finish = finish("r", fence.unwrap());
        if matches!(case, Case::Finish | Case::Release { .. }) {
            return finish;
        }
        self.execute(&finish);
        Command::Close(Close { run_key: key("r"), generation: 1, redrives: 0 })
    }

    fn waits(&self, run: &str) {
        self.execute(&self.trigger(run));
        self.execute(&self.open(run));
        self.execute(&begin(run));
    }

    /// Nothing here ever waits, so one poll is enough.
    fn execute(&self, command: &Command) {
        let reply = self.driver.execute(command).now_or_never().unwrap().unwrap();
        assert!(!matches!(reply, Reply::Failure { .. }), "{reply:?}");
    }

    fn trigger(&self, run: &str) -> Command {
        Command::Trigger(Box::new(Trigger {
            pipeline: "p".to_owned(),
            version: self.version.clone(),
            run_id: run.to_owned(),
            trigger: TriggerRecord { kind: TriggerKind::Manual, by: None, detail: Json::Null, item: None },
            params: Some(json!({})),
            logical_date: now(),
            data_interval: (now(), now()),
            timezone: "UTC".to_owned(),
            scheduled_at: None,
            existing: Existing::Refuse,
            only: None,
            force: false,
            latest: false,
            canary: false,
            start: true,
        }))
    }

    fn open(&self, run: &str) -> Command {
        Command::Open(Open {
            pipeline: "p".to_owned(),
            version: self.version.clone(),
            execution: format!("{run}-g1"),
            input: json!({"run_key": key(run), "generation": 1}),
            token: format!("open-{run}"),
        })
    }
}

fn now() -> Instant {
    Instant::parse("2026-01-05T06:00:00Z").unwrap()
}

fn key(run: &str) -> RunKey {
    RunKey::new("p", run)
}

fn token(run: &str) -> String {
    format!("begin-{run}")
}

fn begin(run: &str) -> Command {
    Command::Begin(Begin {
        run_key: key(run),
        generation: 1,
        task: "load".to_owned(),
        index: None,
        token: token(run),
        token_order: token(run),
    })
}

fn finish(run: &str, fence: u64) -> Command {
    let result = json!({"StopCode": "EssentialContainerExited", "Containers": [{"ExitCode": 0}]});
    Command::Finish(Finish {
        run_key: key(run),
        generation: 1,
        task: "load".to_owned(),
        index: None,
        fence,
        outcome: Outcome::Succeeded(result),
    })
}
