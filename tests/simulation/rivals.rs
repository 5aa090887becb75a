//! Two decisions at one moment: one has read the store and is held at each of its calls in turn while
//! another is made and written. What the store says then is what it would say had one come after the other.

use crate::datasets::update;
use crate::deployments::{deploy, made, staged};
use crate::events::{found, object};
use crate::sets::poll_once;
use crate::world::{Sim, by_hand, deployment, epoch, host_of, script};
use cauce_compiler::Compiled;
use cauce_engine::command::{Approve, Ask, Begin, Close, Deploy, Finish, Open, Outcome, Pause};
use cauce_engine::trigger::execution_input;
use cauce_engine::{Command, Reply};
use cauce_host::simulation::{MemoryObjects, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::control::{IdempotencyRecord, idempotency_item};
use cauce_model::event::{Became, LedgerRecord, Object, ledger_item};
use cauce_model::record::{PipelineRecord, Record as _, pipeline_item, run_item};
use cauce_model::{Expect, Instant, Json, RunKey, Write};
use cauce_ports::{Clock, Table as _};
use cauce_testkit::faulty::{Faults, Faulty};
use serde_json::json;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;

/// A world whose calls can be held, and in which nothing happens by itself.
pub(crate) type Held = Sim<Faulty<MemoryTable>>;

/// Every item by its key; moments and versions are left out, since whoever comes second decides again, later.
type Store = BTreeMap<String, Json>;

pub(crate) fn new() -> (Held, MemoryTable, Faults) {
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
    // Slots are taken before the run is written; whoever has taken one for nothing leaves it to the sweep.
    let items = table.items().into_iter().filter(|item| !item.key.partition.starts_with("pool#"));
    items
        .map(|item| {
            (said(&item.key.to_string()), timeless(&json!([item.body, item.index.map(|index| index.list)])))
        })
        .collect()
}

/// Each of two commands, held at each of its calls while the other is carried out, leaves the store as one of
/// their orders does. `before` makes the world in which they meet.
fn serial(story: &str, before: impl AsyncFn(&Held), commands: [Command; 2]) {
    serial_until(story, before, commands, 0);
}

/// The same, compared so many seconds later.
fn serial_until(story: &str, before: impl AsyncFn(&Held), commands: [Command; 2], seconds: u64) {
    let in_order = |order: [&Command; 2]| {
        let (host, table, _) = new();
        let clock = host.world().clock.clone();
        clock
            .block_on(async {
                before(&host).await;
                for command in order {
                    host.driver().execute(command).await.unwrap();
                }
                passes(&host, seconds).await;
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
                        passes(&host, seconds).await;
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
    let keys: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
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

/// Compiled once: a world is made for each call that is held.
pub(crate) fn compiled(yaml: &str) -> Rc<Compiled> {
    thread_local!(static KNOWN: RefCell<BTreeMap<String, Rc<Compiled>>> = RefCell::default());
    let compiled = || Rc::new(crate::world::compiled(yaml));
    KNOWN.with_borrow_mut(|known| Rc::clone(known.entry(yaml.to_owned()).or_insert_with(compiled)))
}

pub(crate) async fn deployed(host: &Held, yaml: &str) {
    let reply = deploy(host, &compiled(yaml), made(&compiled(yaml), "drop")).await;
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

/// The request to deploy a pipeline whose plan [`staged`] has left.
pub(crate) fn deploys(yaml: &str, lake: &str, canary: Option<u8>) -> Command {
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
    Command::Cancel { run_key: key(), generation: None, reason: "enough".to_owned(), by: Some(by.to_owned()) }
}

fn mark(success: bool, by: &str) -> Command {
    Command::Mark { run_key: key(), task: "load".to_owned(), success, by: by.to_owned() }
}

/// Lets happen what happens in so many seconds.
pub(crate) async fn passes(host: &Held, seconds: u64) {
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

/// A run in which every kind of record is written: two tasks, one after the other; the first once for a key.
const LOADS: &str = "
pipeline: sales
max_active_runs: 8
max_consecutive_failed_runs: 1
notify: {failed: [team]}
deadline: {after: 1h, from: started, action: notify}
tasks:
  load:
    container: {image: loader, command: [run]}
    idempotency: {key: day, ttl: 1h}
    retry: {retries: 1, delay: 5s, jitter: 0}
  check: {needs: [load], approval: {message: 'good?'}}
";

async fn tell(host: &Held, command: Command) {
    host.driver().execute(&command).await.unwrap();
}

fn requested(run_id: &str) -> Command {
    Command::Trigger(Box::new(by_hand(&compiled(LOADS), run_id)))
}

fn opens(run_id: &str) -> Command {
    let run = RunKey::new("sales", run_id);
    Command::Open(Open {
        pipeline: "sales".to_owned(),
        version: compiled(LOADS).version().to_owned(),
        execution: format!("{run_id}-g1"),
        input: execution_input(&run, 1),
        token: format!("open {run_id}"),
    })
}

fn begins(run_id: &str, task: &str) -> Command {
    Command::Begin(Begin {
        run_key: RunKey::new("sales", run_id),
        generation: 1,
        task: task.to_owned(),
        index: None,
        token: format!("{task} of {run_id}"),
        token_order: "1".to_owned(),
    })
}

fn finishes(run_id: &str, task: &str, outcome: Outcome) -> Command {
    let run_key = RunKey::new("sales", run_id);
    Command::Finish(Finish { run_key, generation: 1, task: task.to_owned(), index: None, fence: 1, outcome })
}

fn good() -> Outcome {
    Outcome::Succeeded(json!({"StopCode": "EssentialContainerExited", "Containers": [{"ExitCode": 0}]}))
}

fn bad() -> Outcome {
    Outcome::Failed { error: "States.Timeout".to_owned(), cause: String::new() }
}

fn asks() -> Command {
    Command::Ask(Ask {
        run_key: key(),
        generation: 1,
        task: "check".to_owned(),
        fence: 1,
        token: "answer me".to_owned(),
        token_order: "1".to_owned(),
    })
}

fn answers(approved: bool, by: &str) -> Command {
    let (task, by) = ("check".to_owned(), by.to_owned());
    Command::Approve(Approve { run_key: key(), task, approved, by, comment: String::new() })
}

fn closes(run_id: &str) -> Command {
    Command::Close(Close { run_key: RunKey::new("sales", run_id), generation: 1, redrives: 0 })
}

/// A run whose commands so far are these.
async fn run_after(host: &Held, commands: &[Command]) {
    deployed(host, LOADS).await;
    for command in commands {
        tell(host, command.clone()).await;
    }
}

#[test]
fn a_run_that_is_opened_while_something_else_becomes_of_it() {
    let requested_once = async |host: &Held| run_after(host, &[requested("r1")]).await;
    serial("opened twice", requested_once, [opens("r1"), opens("r1")]);
    serial("opened and cancelled", requested_once, [opens("r1"), cancel("ana")]);
    let by_hand = async |host: &Held| run_after(host, &[]).await;
    let mut typed = opens("r1");
    if let Command::Open(open) = &mut typed {
        open.execution = "r1".to_owned();
        open.input = json!({});
    }
    serial("begun by hand twice", by_hand, [typed.clone(), typed.clone()]);
    serial("begun by hand and requested", by_hand, [typed, requested("r1")]);
}

#[test]
fn a_task_that_begins_or_ends_while_something_else_becomes_of_it() {
    let opened = async |host: &Held| run_after(host, &[requested("r1"), opens("r1")]).await;
    serial("begun twice", opened, [begins("r1", "load"), begins("r1", "load")]);
    let begun =
        async |host: &Held| run_after(host, &[requested("r1"), opens("r1"), begins("r1", "load")]).await;
    let ends = |outcome| finishes("r1", "load", outcome);
    serial("ended in two ways", begun, [ends(good()), ends(bad())]);
    serial("ended twice", begun, [ends(bad()), ends(bad())]);
    // Whoever decides its end may not know of the cancel: that looks again.
    serial_until("ended and cancelled", begun, [ends(bad()), cancel("ana")], 5);
    serial("ended and found dead", begun, [ends(good()), ends(Outcome::Died(None))]);
}

#[test]
fn two_runs_with_one_idempotency_key() {
    let two = [requested("r1"), opens("r1"), requested("r2"), opens("r2")];
    let opened = async |host: &Held| run_after(host, &two).await;
    serial("two claims", opened, [begins("r1", "load"), begins("r2", "load")]);
    let claimed = async |host: &Held| {
        opened(host).await;
        tell(host, begins("r1", "load")).await;
    };
    serial("a result and a claim", claimed, [finishes("r1", "load", good()), begins("r2", "load")]);
    let forget = |by: &str| Command::Forget {
        pipeline: "sales".to_owned(),
        task: "load".to_owned(),
        key: "day".to_owned(),
        by: Some(by.to_owned()),
    };
    serial("forgotten and completed", claimed, [finishes("r1", "load", good()), forget("ana")]);
    serial("forgotten twice", claimed, [forget("bob"), forget("ana")]);
    let failed = async |host: &Held| {
        claimed(host).await;
        tell(host, finishes("r1", "load", bad())).await;
        tell(host, cancel("ana")).await;
    };
    serial("taken over and forgotten", failed, [begins("r2", "load"), forget("ana")]);
}

/// What is written of the key: whose it is, and whether there is a result.
async fn under_key(host: &Held) -> (String, bool) {
    let key = idempotency_item("sales", "load", "day");
    let record = host.world().table.get(&key).await.unwrap().unwrap();
    let record = IdempotencyRecord::from_item(&record).unwrap();
    (record.holder, record.result.is_some())
}

/// Tells this in a world of its own, in which two runs have been opened.
fn of_two_runs(told: impl AsyncFnOnce(&Held)) {
    let (host, ..) = new();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            run_after(&host, &[requested("r1"), opens("r1"), requested("r2"), opens("r2")]).await;
            tell(&host, begins("r1", "load")).await;
            told(&host).await;
        })
        .unwrap();
}

#[test]
fn a_result_counts_for_whoever_has_the_key_by_then() {
    let forget = || Command::Forget {
        pipeline: "sales".to_owned(),
        task: "load".to_owned(),
        key: "day".to_owned(),
        by: Some("ana".to_owned()),
    };
    // Forgotten, the key is counted from the beginning: the fence alone would not tell one claim from the other.
    of_two_runs(async |host| {
        let first = under_key(host).await.0;
        for command in [forget(), begins("r2", "load"), finishes("r1", "load", good())] {
            tell(host, command).await;
        }
        let (holder, is_done) = under_key(host).await;
        assert!(holder != first && !is_done, "{holder}");
    });
    // Who claimed it in a generation that is over claims it no more, though its record never said how it ended.
    of_two_runs(async |host| {
        let first = under_key(host).await.0;
        let table = &host.world().table;
        let mut run = table.get(&run_item(&key())).await.unwrap().unwrap();
        run.body.insert("status".into(), "failed".into());
        let write = Write::Put { expect: Expect::Version(run.version), item: run };
        table.write(&[write], "over").await.unwrap();
        tell(host, requested("r1")).await;
        tell(host, begins("r2", "load")).await;
        assert_ne!(under_key(host).await.0, first);
    });
}

#[test]
fn two_who_want_a_turn_of_a_limit() {
    let before = async |host: &Held| {
        tell(host, Command::Define(Box::new(crate::controls::project().controls()))).await;
    };
    let take =
        |within_seconds: Option<u64>| Command::Take { limit: "sec".to_owned(), tokens: 1, within_seconds };
    serial("both wait", before, [take(None), take(None)]);
    serial("one waits for a while", before, [take(Some(10)), take(None)]);
    serial("one cannot wait", before, [take(Some(0)), take(None)]);
}

/// On one machine a pipeline has no record before its first run, and whoever pauses it then makes one.
#[test]
fn two_who_make_a_pipeline_known_on_one_machine() {
    let compiled_sales = compiled(SALES);
    let known = PipelineRecord::new("sales".into(), compiled_sales.version().into(), "sales".into());
    let pause = |by: &str| {
        let (pipeline, by, unknown) = ("sales".to_owned(), Some(by.to_owned()), Some(known.clone()));
        Command::Pause(Box::new(Pause { pipeline, paused: true, by, unknown }))
    };
    serial("paused twice", async |_| {}, [pause("ana"), pause("bob")]);
    // Whoever runs the file writes the record as well, and it stays paused.
    for is_known in [false, true] {
        for call in 1.. {
            let (host, _, faults) = new();
            let clock = host.world().clock.clone();
            let was_held = clock.block_on(async {
                if is_known {
                    let other = SALES.replace("0 * * * *", "30 * * * *");
                    host.deploy(&deployment(&compiled(&other))).await.unwrap();
                }
                faults.hold_at(faults.calls() + call);
                let whole = deployment(&compiled_sales);
                let mut deploys = pin!(host.deploy(&whole));
                let was_held = poll_once(deploys.as_mut()).await.is_none();
                if was_held {
                    tell(&host, pause("ana")).await;
                }
                faults.release();
                if was_held {
                    deploys.await.unwrap();
                    let item = host.world().table.get(&pipeline_item("sales")).await.unwrap().unwrap();
                    let record = PipelineRecord::from_item(&item).unwrap();
                    assert!(record.paused && record.version == compiled_sales.version(), "call {call}");
                }
                was_held
            });
            if !was_held.unwrap() {
                assert!(call > 2);
                break;
            }
        }
    }
}

#[test]
fn an_approval_that_is_asked_and_answered_at_one_moment() {
    let to_ask = [
        requested("r1"),
        opens("r1"),
        begins("r1", "load"),
        finishes("r1", "load", good()),
        begins("r1", "check"),
    ];
    let asking = async |host: &Held| run_after(host, &to_ask).await;
    serial("asked and answered", asking, [asks(), answers(true, "ana")]);
    serial("answered in two ways", asking, [answers(false, "bob"), answers(true, "ana")]);
    serial("answered and cancelled", asking, [answers(true, "bob"), cancel("ana")]);
    let asked = async |host: &Held| {
        asking(host).await;
        tell(host, asks()).await;
    };
    serial("asked, then answered in two ways", asked, [answers(false, "bob"), answers(true, "ana")]);
}

#[test]
fn a_run_that_is_closed_while_something_else_becomes_of_it() {
    let failing = |run_id: &'static str| {
        [
            requested(run_id),
            opens(run_id),
            begins(run_id, "load"),
            finishes(run_id, "load", Outcome::Died(None)),
            begins(run_id, "check"),
        ]
    };
    let to_close = async |host: &Held| run_after(host, &failing("r1")).await;
    let deadline = Command::Deadline { run_key: key() };
    serial("closed twice", to_close, [closes("r1"), closes("r1")]);
    serial("closed and cancelled", to_close, [closes("r1"), cancel("ana")]);
    serial("closed and late", to_close, [closes("r1"), deadline.clone()]);
    serial("late and cancelled", to_close, [deadline, cancel("ana")]);
    serial("closed and asked for again", to_close, [closes("r1"), requested("r1")]);
    let two: Vec<Command> = failing("r1").into_iter().chain(failing("r2")).collect();
    let both = async |host: &Held| run_after(host, &two).await;
    serial("two that fail", both, [closes("r1"), closes("r2")]);
    serial("one that fails and a pause", both, [closes("r1"), pause(true, "ana")]);
}

const ARRIVING: &str = "
pipeline: sales
triggers: [{file: {bucket: drop, keys: ['in/{name}.csv']}}]
tasks:
  load: {pass: {}}
";

/// A file that came while the pipeline was paused.
async fn held_back(host: &Held, file: &Object) {
    deployed(host, ARRIVING).await;
    host.driver().execute(&pause(true, "ana")).await.unwrap();
    host.driver().execute(&found(file, false)).await.unwrap();
}

#[test]
fn who_asks_for_a_file_that_came_in_a_pause_meets_others_who_found_it() {
    let (file, newer) = (object("in/x.csv", "01"), object("in/x.csv", "02"));
    let before = async |host: &Held| {
        held_back(host, &file).await;
        host.driver().execute(&pause(false, "ana")).await.unwrap();
    };
    serial("found again", before, [found(&file, true), found(&file, false)]);
    serial("a newer one", before, [found(&file, true), found(&newer, true)]);
}

#[test]
fn who_asks_in_a_pause_and_answers_after_it_takes_no_run_back() {
    let file = object("in/x.csv", "01");
    let entry = ledger_item(file.at, &file.identity(), Some("sales"));
    for call in 1.. {
        let (host, table, faults) = new();
        let clock = host.world().clock.clone();
        let was_held = clock
            .block_on(async {
                held_back(&host, &file).await;
                faults.hold_at(faults.calls() + call);
                let asked = found(&file, true);
                let mut asking = pin!(host.driver().execute(&asked));
                let was_held = poll_once(asking.as_mut()).await.is_none();
                if was_held {
                    host.driver().execute(&pause(false, "ana")).await.unwrap();
                    host.driver().execute(&asked).await.unwrap();
                    faults.release();
                    asking.await.unwrap();
                    let entry = table.get(&entry).await.unwrap().unwrap();
                    let became = LedgerRecord::from_item(&entry).unwrap().became;
                    assert_eq!(became, Became::Run, "held at call {call}");
                }
                was_held
            })
            .unwrap();
        if !was_held {
            assert!(call > 2, "an answer has {} calls", call - 1);
            break;
        }
    }
}
