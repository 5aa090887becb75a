//! Two decisions at one moment: one has read the store and is held at each of its calls in turn while
//! another is made and written. What the store says then is what it would say had one come after the other.

use crate::datasets::update;
use crate::deployments::{deploy, made, staged};
use crate::sets::poll_once;
use crate::world::{Sim, by_hand, compiled, epoch, host_of, script};
use cauce_engine::command::{Deploy, Pause};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::{MemoryObjects, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::{Instant, Json, RunKey};
use cauce_ports::Clock;
use cauce_testkit::faulty::{Faults, Faulty};
use serde_json::json;
use std::collections::BTreeMap;
use std::pin::pin;

/// A world whose calls can be held, and in which nothing happens by itself.
pub(crate) type Held = Sim<Faulty<MemoryTable>>;

/// Every item by its key; moments and versions are left out, since whoever comes second decides again, later.
type Store = BTreeMap<String, Json>;

fn new() -> (Held, MemoryTable, Faults) {
    let (faults, table) = (Faults::none(), MemoryTable::new());
    let faulty = Faulty::new(table.clone(), &faults);
    let mut world =
        Simulated::new(faulty, MemoryObjects::default(), script(json!({"load": 60}), json!({})), epoch());
    world.on_post = Some(Box::new(|_| false));
    (host_of(world), table, faults)
}

fn timeless(value: &Json) -> Json {
    match value {
        Json::String(text) if Instant::parse(text).is_ok() => "a moment".into(),
        Json::Array(values) => values.iter().map(timeless).collect(),
        Json::Object(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (name.clone(), timeless(value))).collect())
        }
        value => value.clone(),
    }
}

fn store(table: &MemoryTable) -> Store {
    let said = |text: &str| {
        text.split('#')
            .map(|part| if Instant::parse(part).is_ok() { "*" } else { part })
            .collect::<Vec<_>>()
            .join("#")
    };
    let items = table.items().into_iter();
    items
        .map(|item| {
            (said(&item.key.to_string()), timeless(&json!([item.body, item.index.map(|index| index.list)])))
        })
        .collect()
}

/// Each of two commands, held at each of its calls while the other is carried out, leaves the store as one of
/// their orders does. `before` makes the world in which they meet.
fn serial(story: &str, before: impl AsyncFn(&Held), commands: [Command; 2]) {
    let in_order = |order: [&Command; 2]| {
        let (host, table, _) = new();
        let clock = host.world().clock.clone();
        clock
            .block_on(async {
                before(&host).await;
                for command in order {
                    host.driver().execute(command).await.unwrap();
                }
            })
            .unwrap();
        store(&table)
    };
    let [one, two] = &commands;
    let orders = [in_order([one, two]), in_order([two, one])];
    for [held, other] in [[one, two], [two, one]] {
        let mut calls = 0;
        for call in 1.. {
            let (host, table, faults) = new();
            let clock = host.world().clock.clone();
            let was_held = clock
                .block_on(async {
                    before(&host).await;
                    faults.hold_at(faults.calls() + call);
                    let mut deciding = pin!(host.driver().execute(held));
                    let was_held = poll_once(deciding.as_mut()).await.is_none();
                    if was_held {
                        host.driver().execute(other).await.unwrap();
                        faults.release();
                        deciding.await.unwrap();
                    }
                    was_held
                })
                .unwrap();
            if !was_held {
                break;
            }
            calls = call;
            let after = store(&table);
            assert!(
                orders.contains(&after),
                "{story}: {} held at call {call} while {} was carried out\n{}",
                held.name(),
                other.name(),
                orders.each_ref().map(|order| difference(order, &after)).join("\nor\n")
            );
        }
        assert!(calls > 0, "{story}: {} has {calls} calls", held.name());
    }
}

/// The items in which a store differs from what it should be.
fn difference(expected: &Store, found: &Store) -> String {
    let keys: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.get(*key) != found.get(*key));
    let line = |key: &String| {
        format!("{key}\n  one order: {}\n  here:      {}", json!(expected.get(key)), json!(found.get(key)))
    };
    differ.map(line).collect::<Vec<_>>().join("\n")
}

const SALES: &str = "
pipeline: sales
schedule: {cron: '0 * * * *', catchup: all}
triggers: [{dataset: {any: [a]}}]
tasks:
  load: {container: {image: loader, command: [run]}}
  check: {needs: [load], pass: {}}
";

async fn deployed(host: &Held, yaml: &str) {
    let reply = deploy(host, &compiled(yaml), made(&compiled(yaml), "drop")).await;
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

/// The request to deploy a pipeline whose plan [`staged`] has left.
fn deploys(yaml: &str, lake: &str, canary: Option<u8>) -> Command {
    let compiled = compiled(yaml);
    let plan = format!("s3://state/documents/staged/{}.json", compiled.plan.pipeline);
    let deployment = made(&compiled, lake);
    Command::Deploy(Box::new(Deploy {
        plan,
        deployment,
        canary,
        new_paused: false,
        by: Some(lake.to_owned()),
    }))
}

fn pause(paused: bool, by: &str) -> Command {
    let (pipeline, by) = ("sales".to_owned(), Some(by.to_owned()));
    Command::Pause(Box::new(Pause { pipeline, paused, by, unknown: None }))
}

fn trigger(run_id: &str) -> Command {
    Command::Trigger(Box::new(by_hand(&compiled(SALES), run_id)))
}

fn key() -> RunKey {
    RunKey::new("sales", "r1")
}

fn cancel(by: &str) -> Command {
    Command::Cancel { run_key: key(), reason: "enough".to_owned(), by: Some(by.to_owned()) }
}

fn mark(success: bool, by: &str) -> Command {
    Command::Mark { run_key: key(), task: "load".to_owned(), success, by: by.to_owned() }
}

/// Lets happen what happens in so many seconds.
async fn passes(host: &Held, seconds: u64) {
    let until = host.world().clock.now().plus_seconds(seconds);
    let clock = host.world().clock.clone();
    let _ = host.run(clock.until(until)).await;
    clock.until(until).await;
}

#[test]
fn two_who_pause_deploy_or_take_away_the_same_pipeline() {
    let before = async |host: &Held| {
        deployed(host, SALES).await;
        host.driver().execute(&pause(true, "eva")).await.unwrap();
    };
    serial("paused", before, [pause(false, "ana"), pause(false, "bob")]);
    serial("let go and deployed", before, [pause(false, "ana"), deploys(SALES, "two", None)]);
    serial("deployed twice", before, [deploys(SALES, "one", None), deploys(SALES, "two", None)]);
    serial("a canary and another", before, [deploys(SALES, "one", Some(10)), deploys(SALES, "two", None)]);
    serial(
        "deployed first",
        async |host| drop(staged(host, &compiled(SALES)).await),
        [deploys(SALES, "one", None), deploys(SALES, "two", None)],
    );
    let plain = SALES.replace("triggers: [{dataset: {any: [a]}}]\n", "");
    let gone = Command::Undeploy { deployment: Box::new(made(&compiled(&plain), "drop")), by: None };
    let before = async |host: &Held| deployed(host, &plain).await;
    serial("taken away and deployed", before, [gone.clone(), deploys(&plain, "two", None)]);
    serial("taken away and paused", before, [gone, pause(true, "ana")]);
}

#[test]
fn two_updates_of_a_dataset_and_whom_they_start() {
    let before = async |host: &Held| deployed(host, SALES).await;
    let updates = [update("a", Some("1997-01-05")), update("a", Some("1997-01-06"))];
    serial("two updates", before, updates.clone());
    let updated = async |host: &Held| {
        before(host).await;
        host.driver().execute(&updates[0]).await.unwrap();
    };
    serial("one more", updated, updates.clone());
    let told = Command::Told { dataset: "a".to_owned(), number: 1 };
    serial("told and updated", updated, [told, updates[1].clone()]);
    let subscribe = Command::Subscribe { pipeline: "sales".to_owned() };
    serial("subscribed and updated", updated, [subscribe.clone(), updates[1].clone()]);
    serial("subscribed twice", updated, [subscribe, deploys(SALES, "two", None)]);
}

#[test]
fn two_interventions_in_a_run() {
    let before = async |host: &Held| {
        deployed(host, SALES).await;
        host.execute(&trigger("r1")).await.unwrap();
        passes(host, 1).await;
    };
    serial("cancelled twice", before, [cancel("ana"), cancel("bob")]);
    let ended = async |host: &Held| {
        before(host).await;
        passes(host, 100).await;
    };
    serial("marked twice", ended, [mark(false, "ana"), mark(true, "bob")]);
    serial("marked and run again", ended, [mark(false, "ana"), trigger("r1")]);
    serial("run again twice", ended, [trigger("r1"), cancel("bob")]);
    serial(
        "two requests for one run",
        async |host| deployed(host, SALES).await,
        [trigger("r1"), cancel("ana")],
    );
}
