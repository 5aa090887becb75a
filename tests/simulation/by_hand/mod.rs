//! Commands told by hand, one after the other, in a world where nothing happens by itself: moments between two
//! decisions that a run only meets when somebody dies, is late or is told twice.

mod attempts;
mod controls;
mod generations;
mod pipelines;
mod slots;

use crate::rivals::{Held, compiled, deployed, new};
use crate::world::{Ended, by_hand, read};
use cauce_engine::command::{
    Again, Approve, Ask, Begin, Close, Existing, Finish, Open, Outcome, Program, Reconcile, Trigger,
};
use cauce_engine::trigger::execution_input;
use cauce_engine::{Command, Reply};
use cauce_model::record::{TaskRecord, run_item};
use cauce_model::{Expect, Item, Key, RunKey, RunStatus, Write};
use cauce_ports::{Clock as _, Table as _};
use serde_json::json;

const HAND: &str = "
pipeline: hand
max_active_runs: 8
tasks:
  list: {pass: {output: {items: [1, 2]}}, returns: {items: list}}
  each: {needs: [list], map: {over: \"{{ outputs.list.items }}\"}, container: {image: loader, command: [run]}}
  last: {needs: [each], container: {image: loader, command: [run]}, retry: {retries: 3, delay: 5s, jitter: 0}}
  good: {needs: [each], approval: {message: 'good?'}}
  alert: {needs: [last, good], trigger_rule: one_failed, container: {image: loader, command: [run]}}
";

/// Carries out a story in a world of its own.
fn story(yaml: &str, told: impl AsyncFnOnce(&Held)) {
    let (host, ..) = new();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, yaml).await;
            told(&host).await;
        })
        .unwrap();
}

async fn tell(host: &Held, command: Command) -> Reply {
    host.driver().execute(&command).await.unwrap()
}

fn key() -> RunKey {
    RunKey::new("hand", "r1")
}

fn again(again: Again) -> Command {
    let request = by_hand(&compiled(HAND), "r1");
    Command::Trigger(Box::new(Trigger { existing: Existing::Next(again), ..request }))
}

fn open(generation: u32) -> Command {
    Command::Open(Open {
        pipeline: "hand".to_owned(),
        version: compiled(HAND).version().to_owned(),
        execution: format!("r1-g{generation}"),
        input: execution_input(&key(), generation),
        token: format!("open {generation}"),
    })
}

fn begin_as(generation: u32, task: &str, index: Option<u32>, order: &str) -> Command {
    let (run_key, task) = (key(), task.to_owned());
    let token = format!("{task} {order}");
    Command::Begin(Begin { run_key, generation, task, index, token, token_order: order.to_owned() })
}

fn begin(generation: u32, task: &str, index: Option<u32>) -> Command {
    begin_as(generation, task, index, "1")
}

fn finish(generation: u32, task: &str, index: Option<u32>, fence: u64, outcome: Outcome) -> Command {
    Command::Finish(Finish { run_key: key(), generation, task: task.to_owned(), index, fence, outcome })
}

fn good() -> Outcome {
    Outcome::Succeeded(json!({"StopCode": "EssentialContainerExited", "Containers": [{"ExitCode": 0}]}))
}

fn bad() -> Outcome {
    Outcome::Failed { error: "States.Timeout".to_owned(), cause: String::new() }
}

fn approve() -> Command {
    let (task, by) = ("good".to_owned(), "ana".to_owned());
    Command::Approve(Approve { run_key: key(), task, approved: true, by, comment: String::new() })
}

fn close(generation: u32) -> Command {
    Command::Close(Close { run_key: key(), generation, redrives: 0 })
}

/// The first generation up to where its items have begun.
async fn to_items(host: &Held) {
    for command in [
        again(Again::All),
        open(1),
        begin(1, "list", None),
        begin(1, "each", None),
        begin(1, "each", Some(0)),
        begin(1, "each", Some(1)),
    ] {
        tell(host, command).await;
    }
}

/// The first generation up to where all of it can begin that stands below the items.
async fn to_below(host: &Held) {
    to_items(host).await;
    for command in [
        finish(1, "each", Some(0), 1, good()),
        finish(1, "each", Some(1), 1, good()),
        finish(1, "each", None, 1, Outcome::Joined),
    ] {
        tell(host, command).await;
    }
}

/// The first generation, which ends well, and the beginning of the next.
async fn to_second(host: &Held) {
    to_below(host).await;
    let ask = Ask {
        run_key: key(),
        generation: 1,
        task: "good".to_owned(),
        fence: 1,
        token: "answer me".to_owned(),
        token_order: "1".to_owned(),
    };
    for command in [
        begin(1, "last", None),
        finish(1, "last", None, 1, good()),
        begin(1, "good", None),
        Command::Ask(ask),
        approve(),
        finish(1, "good", None, 1, Outcome::Succeeded(json!({"approved": true}))),
        begin(1, "alert", None),
        close(1),
    ] {
        tell(host, command).await;
    }
    let ended = stand(host).await;
    assert_eq!(ended.run.status, RunStatus::Success, "{:?}", ended.reasons());
    tell(host, again(Again::All)).await;
    tell(host, open(2)).await;
}

async fn stand(host: &Held) -> Ended {
    read(host, &key()).await
}

async fn task(host: &Held, name: &str) -> TaskRecord {
    stand(host).await.tasks.remove(name).unwrap()
}

async fn item(host: &Held, key: &Key) -> Option<Item> {
    host.world().table.get(key).await.unwrap()
}

async fn put(host: &Held, item: Item) {
    let token = format!("put {:?} {}", item.key, item.version);
    host.world().table.write(&[Write::Put { item, expect: Expect::Any }], &token).await.unwrap();
}

async fn take_away(host: &Held, key: Key) {
    let token = format!("take {key:?}");
    host.world().table.write(&[Write::Delete { key, expect: Expect::Any }], &token).await.unwrap();
}

/// The run's record says that it is over, whatever those of its tasks say: so it is for a moment with whatever had
/// read the run before its end and was written after it.
async fn ends_above_its_tasks(host: &Held) {
    let mut run = item(host, &run_item(&key())).await.unwrap();
    run.body.insert("status".into(), "failed".into());
    run.body.insert("ended_at".into(), json!(host.world().clock.now()));
    put(host, run).await;
}

fn told(reply: &Reply, name: &str) -> i64 {
    match reply {
        Reply::Ok(told) => told[name].as_i64().unwrap_or_else(|| panic!("{name}: {told}")),
        other => panic!("{other:?}"),
    }
}

fn program(attempt: u32) -> Program {
    Program { id: format!("program {attempt}"), task: "last".to_owned(), index: None, attempt }
}

async fn reconciled(host: &Held, programs: Vec<Program>) -> Reply {
    let (run_key, after) = (key(), String::new());
    tell(host, Command::Reconcile(Reconcile { run_key, after, look: 10, programs: Some(programs) })).await
}
