//! What one machine costs: a durable commit, a group of them, a program from spawn to report.

use cauce_local::clock::SystemClock;
use cauce_local::memory::MemoryTable;
use cauce_local::objects::FolderObjects;
use cauce_local::processes::{Aws, Processes, Setup, Source, TaskDefinition};
use cauce_local::s3::Endpoint;
use cauce_local::secrets::Secrets;
use cauce_local::sqlite::SqliteTable;
use cauce_local::state::StateDir;
use cauce_model::item::{Change, Expect, Item, Key, Step, When, Write};
use cauce_ports::{Table, TaskRunner};
use divan::Bencher;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime: {error}"),
    }
}

fn item(number: u64) -> Item {
    let mut item = Item::new(Key::new("run#bench", format!("T#{:04}", number % 1_000)), Default::default());
    item.body.insert("text".into(), "x".repeat(600).into());
    item
}

/// Reads an item and writes it back on condition, as every decision does.
async fn decide(table: &impl Table, number: u64) {
    let mut item = item(number);
    let expect = match table.get(&item.key).await {
        Ok(Some(found)) => Expect::Version(found.version),
        Ok(None) => Expect::Absent,
        Err(error) => panic!("{error}"),
    };
    item.body.insert("number".into(), number.into());
    if let Err(error) = table.write(&[Write::Put { item, expect }], &format!("token-{number}")).await {
        panic!("{error}");
    }
}

fn sqlite(folder: &TempDir) -> SqliteTable {
    match SqliteTable::open(&folder.path().join("table.sqlite"), SystemClock) {
        Ok(table) => table,
        Err(error) => panic!("{error}"),
    }
}

fn folder() -> TempDir {
    match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("no folder: {error}"),
    }
}

#[divan::bench]
fn decision_in_memory(bencher: Bencher<'_, '_>) {
    let (runtime, table, number) = (runtime(), MemoryTable::new(), Cell::new(0));
    bencher.bench_local(|| {
        number.set(number.get() + 1);
        runtime.block_on(decide(&table, number.get()));
    });
}

#[divan::bench]
fn decision_in_sqlite(bencher: Bencher<'_, '_>) {
    let (runtime, folder, number) = (runtime(), folder(), Cell::new(0));
    let table = sqlite(&folder);
    bencher.bench_local(|| {
        number.set(number.get() + 1);
        runtime.block_on(decide(&table, number.get()));
    });
}

#[divan::bench]
fn hundred_decisions_at_once_in_sqlite(bencher: Bencher<'_, '_>) {
    let (runtime, folder, number) = (runtime(), folder(), Cell::new(0));
    let table = sqlite(&folder);
    bencher.bench_local(|| {
        let first = number.get();
        number.set(first + 100);
        runtime.block_on(join_all((first..first + 100).map(|number| decide(&table, number))));
    });
}

#[divan::bench]
fn update_in_sqlite(bencher: Bencher<'_, '_>) {
    let (runtime, folder) = (runtime(), folder());
    let table = sqlite(&folder);
    let key = Key::new("pool#bench", "P");
    let change = Change { steps: vec![Step::Add("used".into(), 1)] };
    bencher.bench_local(|| runtime.block_on(table.update(&key, &change, &When::always())));
}

#[divan::bench]
fn opening_a_new_state_folder(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(folder).bench_local_values(|folder| {
        let state = StateDir::open(folder.path().join(".cauce"));
        let table = state.map(|state| SqliteTable::open(&state.table(), SystemClock).map(drop));
        (table, folder)
    });
}

#[divan::bench]
fn opening_an_old_state_folder(bencher: Bencher<'_, '_>) {
    let folder = folder();
    bencher.bench_local(|| {
        let state = StateDir::open(folder.path().join(".cauce"));
        state.map(|state| SqliteTable::open(&state.table(), SystemClock).map(drop))
    });
}

#[divan::bench]
fn starting_the_s3_endpoint(bencher: Bencher<'_, '_>) {
    let folder = folder();
    bencher.bench_local(|| {
        let endpoint = Endpoint::new(folder.path());
        (endpoint.variables(), endpoint)
    });
}

fn request(number: u64) -> Value {
    let environment: Vec<Value> = [
        ("CAUCE_PIPELINE", "p".to_owned()),
        ("CAUCE_RUN_ID", "r".to_owned()),
        ("CAUCE_TASK", format!("t{number}")),
        ("CAUCE_ATTEMPT", "1".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| json!({"Name": name, "Value": value}))
    .collect();
    json!({
        "TaskDefinition": "local",
        "ClientToken": format!("token-{number}"),
        "Overrides": {"ContainerOverrides": [{"Command": ["/bin/true"], "Environment": environment}]},
    })
}

fn programs(folder: &TempDir) -> Processes<FolderObjects, SystemClock> {
    let state = match StateDir::open(folder.path().join(".cauce")) {
        Ok(state) => state,
        Err(error) => panic!("{error}"),
    };
    let setup = Setup {
        project: folder.path().to_owned(),
        state: state.clone(),
        programs: None,
        environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        aws: Aws::Local(Arc::new(Endpoint::new(state.objects()))),
        secrets: Secrets::default(),
        log_bytes_max: 1 << 20,
        engine_args: Vec::new(),
    };
    let programs = Processes::new(setup, FolderObjects::durable(state.objects(), folder.path()), SystemClock);
    programs.register(
        "local",
        TaskDefinition {
            source: Source::Process { argv_prefix: Vec::new() },
            secrets: BTreeMap::new(),
            stop_timeout_seconds: 30,
        },
    );
    programs
}

/// The floor: what the system takes for the same program without us.
#[divan::bench]
fn bare_spawn_of_true() {
    let done = std::process::Command::new("/bin/true").status();
    assert!(done.is_ok_and(|status| status.success()));
}

#[divan::bench]
fn program_true(bencher: Bencher<'_, '_>) {
    let (runtime, folder, number) = (runtime(), folder(), Cell::new(0));
    let programs = programs(&folder);
    bencher.bench_local(|| {
        number.set(number.get() + 1);
        assert!(runtime.block_on(programs.run(&request(number.get()))).is_ok());
    });
}

/// What a chain of forty tasks cannot do without: per task a program between two durable decisions.
#[divan::bench(sample_count = 20)]
fn chain_of_forty(bencher: Bencher<'_, '_>) {
    let (runtime, folder, number) = (runtime(), folder(), Cell::new(0));
    let (programs, table) = (programs(&folder), sqlite(&folder));
    bencher.bench_local(|| {
        let first = number.get();
        number.set(first + 40);
        runtime.block_on(async {
            for number in first..first + 40 {
                decide(&table, 2 * number).await;
                assert!(programs.run(&request(number)).await.is_ok());
                decide(&table, 2 * number + 1).await;
            }
        });
    });
}

#[divan::bench]
fn hundred_programs_at_once(bencher: Bencher<'_, '_>) {
    let (runtime, folder, number) = (runtime(), folder(), Cell::new(0));
    let programs = programs(&folder);
    bencher.bench_local(|| {
        let first = number.get();
        number.set(first + 100);
        let requests: Vec<Value> = (first..first + 100).map(request).collect();
        let done = runtime.block_on(join_all(requests.iter().map(|request| programs.run(request))));
        assert!(done.iter().all(Result::is_ok));
    });
}
