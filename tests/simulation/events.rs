//! Events: ticks and files that come late, twice, in any order or not at all, and what they start.

use crate::deployments::{deploy, made, new_host};
use crate::world::{Sim, compiled, epoch, read};
use cauce_compiler::Compiled;
use cauce_engine::command::{Event, Pause};
use cauce_engine::{Command, Reply};
use cauce_model::event::{Became, LedgerRecord, Object};
use cauce_model::record::{PipelineRecord, Record, RunRecord, pipeline_item, run_item};
use cauce_model::{Instant, Item, Json, RunKey, RunStatus};
use cauce_ports::Table;
use serde_json::json;

const TICKING: &str = r#"
pipeline: sales
schedule: "0 2 * * *"
tasks:
  load: {pass: {}}
"#;

const FILES: &str = r#"
pipeline: sales
schedule: {cron: "0 0 * * *"}
triggers:
  - file: {bucket: "${{ env.lake }}", keys: ["in/sales {date:date}+ñ.csv", "in/clients_{date:date}.csv"],
           wait_for: all, logical_date: "{date}", min_bytes: 10}
tasks:
  load: {pass: {output: {n: "{{ trigger.events | length }}"}}}
"#;

fn tick(at: &str) -> Command {
    Command::Event(Box::new(Event::Tick {
        pipeline: "sales".into(),
        schedule: "schedule-1".into(),
        scheduled_at: Instant::parse(at).unwrap(),
    }))
}

pub(crate) fn object(key: &str, sequencer: &str) -> Object {
    Object {
        bucket: "drop".into(),
        key: key.into(),
        version_id: None,
        etag: Some("e".into()),
        sequencer: Some(sequencer.into()),
        size: 10,
        at: epoch(),
    }
}

pub(crate) fn arrives(object: &Object) -> Command {
    Command::Event(Box::new(Event::Object(object.clone())))
}

pub(crate) fn became(reply: &Reply) -> String {
    match reply {
        Reply::Ok(reply) => reply["became"].as_str().unwrap_or("-").to_owned(),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn deployed(host: &Sim, compiled: &Compiled) {
    let reply = deploy(host, compiled, made(compiled, "drop")).await;
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

pub(crate) async fn ledger(host: &Sim, day: &str) -> Vec<LedgerRecord> {
    let page = host.world().table.query(&format!("ledger#{day}"), "", None, 1000).await.unwrap();
    page.items.iter().map(|item| LedgerRecord::from_item(item).unwrap()).collect()
}

async fn words(host: &Sim, day: &str) -> Vec<Became> {
    ledger(host, day).await.iter().map(|entry| entry.became).collect()
}

pub(crate) async fn find(host: &Sim, run_id: &str) -> Option<RunRecord> {
    let item = host.world().table.get(&run_item(&RunKey::new("sales", run_id))).await.unwrap();
    item.map(|item| RunRecord::from_item(&item).unwrap())
}

pub(crate) async fn finish(host: &Sim) {
    host.run(std::future::pending()).await.unwrap();
}

#[test]
fn a_tick_delivered_again_and_again_is_one_run_of_the_interval_that_it_ends() {
    let host = new_host();
    let compiled = compiled(TICKING);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            assert_eq!(became(&host.execute(&tick("1997-01-06T02:00:00Z")).await.unwrap()), "run");
            for _ in 0..3 {
                assert_eq!(became(&host.execute(&tick("1997-01-06T02:00:00Z")).await.unwrap()), "duplicate");
            }
            finish(&host).await;
            assert_eq!(became(&host.execute(&tick("1997-01-06T02:00:00Z")).await.unwrap()), "duplicate");
            let run = find(&host, "1997-01-05").await.unwrap();
            assert_eq!((run.status, run.generation), (RunStatus::Success, 1));
            assert_eq!(words(&host, "1997-01-06").await, [Became::Run, Became::Duplicate]);
            // A moment that ends no interval is no run, and says so.
            assert_eq!(became(&host.execute(&tick("1997-01-07T03:00:00Z")).await.unwrap()), "rejected");
            let entries = ledger(&host, "1997-01-07").await;
            assert!(entries[0].reason.as_deref().unwrap().contains("no data interval ends"), "{entries:?}");
        })
        .unwrap();
}

#[test]
fn a_paused_pipeline_books_its_tick_and_starts_nothing() {
    let host = new_host();
    let compiled = compiled(TICKING);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            let key = pipeline_item("sales");
            let item = host.world().table.get(&key).await.unwrap().unwrap();
            let record = PipelineRecord { paused: true, ..PipelineRecord::from_item(&item).unwrap() };
            let write = cauce_model::Write::Put {
                item: Item::new(key, record.to_body()),
                expect: cauce_model::Expect::Version(item.version),
            };
            host.world().table.write(&[write], "pause").await.unwrap();
            assert_eq!(became(&host.execute(&tick("1997-01-06T02:00:00Z")).await.unwrap()), "paused");
            assert!(find(&host, "1997-01-05").await.is_none());
        })
        .unwrap();
}

#[test]
fn a_crash_before_the_start_is_made_good_by_the_next_delivery() {
    let compiled = compiled(TICKING);
    let host = new_host();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            host.execute(&tick("1997-01-06T02:00:00Z")).await.unwrap();
        })
        .unwrap();
    // The engine dies with the execution it had started; only the store is left.
    let (table, objects) = (host.world().table.clone(), host.world().objects.clone());
    drop(host);
    let second: Sim = crate::world::host(table, objects, crate::world::script(json!({}), json!({})), epoch());
    let clock = second.world().clock.clone();
    clock
        .block_on(async {
            second.load(&crate::world::deployment(&compiled)).await.unwrap();
            assert_eq!(find(&second, "1997-01-05").await.unwrap().status, RunStatus::Queued);
            for _ in 0..2 {
                second.execute(&tick("1997-01-06T02:00:00Z")).await.unwrap();
            }
            finish(&second).await;
            let ended = read(&second, &RunKey::new("sales", "1997-01-05")).await;
            assert_eq!((ended.run.status, ended.run.generation), (RunStatus::Success, 1));
        })
        .unwrap();
}

/// Where the set of a pipeline's files stands, and its run, whatever order led there.
pub(crate) async fn end_state(host: &Sim) -> Json {
    let page = host.world().table.query("files#sales", "", None, 100).await.unwrap();
    let files: Vec<Json> = page.items.iter().map(|item| Json::Object(item.body.clone())).collect();
    let run = find(host, "1997-01-05").await.unwrap();
    json!({"files": files, "status": run.status, "generation": run.generation, "detail": run.trigger.detail,
           "ledger": ledger(host, "1997-01-06").await.iter().filter(|entry| entry.became == Became::Rejected).count()})
}

#[test]
fn files_in_any_order_and_any_number_of_times_complete_one_set() {
    let compiled = compiled(FILES);
    let sales = object("in/sales 1997-01-05+ñ.csv", "0055");
    let clients = object("in/clients_19970105.csv", "0001");
    let small = Object { size: 9, ..object("in/clients_1997-01-09.csv", "0001") };
    let orders = [
        vec![&sales, &clients, &small],
        vec![&clients, &sales, &clients, &small, &sales],
        vec![&small, &small, &clients, &clients, &clients, &sales, &clients],
    ];
    let mut ends = Vec::new();
    for order in orders {
        let host = new_host();
        let clock = host.world().clock.clone();
        let end = clock
            .block_on(async {
                deployed(&host, &compiled).await;
                for object in order {
                    host.execute(&arrives(object)).await.unwrap();
                }
                finish(&host).await;
                end_state(&host).await
            })
            .unwrap();
        ends.push(end);
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0], ends[2]);
    assert_eq!(ends[0]["status"], "success");
    assert_eq!(ends[0]["generation"], 1);
    assert_eq!(ends[0]["detail"]["captures"], json!({"date": "1997-01-05"}));
    assert_eq!(ends[0]["detail"]["events"].as_array().unwrap().len(), 2);
}

#[test]
fn newer_data_makes_the_next_generation_once_the_present_one_has_ended() {
    let compiled = compiled(FILES);
    let host = new_host();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            let [first, newer, newest] =
                ["0055", "005501", "0056"].map(|s| object("in/clients_1997-01-05.csv", s));
            host.execute(&arrives(&first)).await.unwrap();
            host.execute(&arrives(&object("in/sales 1997-01-05+ñ.csv", "01"))).await.unwrap();
            // Two more arrivals while the first generation is under way: one further generation.
            host.execute(&arrives(&newer)).await.unwrap();
            host.execute(&arrives(&newest)).await.unwrap();
            let run = find(&host, "1997-01-05").await.unwrap();
            assert_eq!((run.status, run.generation), (RunStatus::Queued, 1));
            assert!(run.next.is_some());
            // Older ones than what is known change nothing.
            let late =
                Object { etag: Some("other".into()), ..object("in/clients_1997-01-05.csv", "0055009") };
            host.execute(&arrives(&late)).await.unwrap();
            finish(&host).await;
            let run = find(&host, "1997-01-05").await.unwrap();
            assert_eq!((run.status, run.generation), (RunStatus::Success, 2));
            assert!(run.next.is_none());
            let events = run.trigger.detail["events"].as_array().unwrap();
            let sequencers: Vec<_> =
                events.iter().map(|event| event["sequencer"].as_str().unwrap()).collect();
            assert_eq!(sequencers, ["01", "0056"]);
            let became = words(&host, "1997-01-06").await;
            assert_eq!(became.iter().filter(|word| **word == Became::Stale).count(), 1);

            // And after it has ended: at once.
            host.execute(&arrives(&object("in/clients_1997-01-05.csv", "0057"))).await.unwrap();
            finish(&host).await;
            assert_eq!(find(&host, "1997-01-05").await.unwrap().generation, 3);
        })
        .unwrap();
}

#[test]
fn who_looks_into_the_bucket_finds_the_same_arrivals() {
    let host = new_host();
    let compiled = compiled(&FILES.replace("wait_for: all, ", ""));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            let told = |key: &str| Object { version_id: Some("v1".into()), ..object(key, "5") };
            let seen = |key: &str| Object { sequencer: None, ..object(key, "") };
            let (one, other) = ("in/clients_1997-01-05.csv", "in/clients_1997-01-06.csv");
            for object in [told(one), seen(one), seen(other), told(other), seen(other)] {
                host.execute(&arrives(&object)).await.unwrap();
            }
            finish(&host).await;
            for run_id in ["1997-01-05", "1997-01-06"] {
                assert_eq!(find(&host, run_id).await.unwrap().generation, 1, "{run_id}");
            }
            let changed = Object { etag: Some("other".into()), ..seen(one) };
            host.execute(&arrives(&changed)).await.unwrap();
            finish(&host).await;
            assert_eq!(find(&host, "1997-01-05").await.unwrap().generation, 2);
        })
        .unwrap();
}

/// What `cauce triggers scan` sends of a file, and what a watch that finds it again does.
pub(crate) fn found(object: &Object, asked: bool) -> Command {
    Command::File { pipeline: "sales".into(), object: Box::new(object.clone()), asked }
}

#[test]
fn who_asks_has_what_was_paused_or_rejected_decided_on_anew_and_nothing_else() {
    let host = new_host();
    let picky = compiled(&FILES.replace("wait_for: all, ", ""));
    let lenient = compiled(&FILES.replace("wait_for: all, ", "").replace("min_bytes: 10", "min_bytes: 1"));
    let paused = |paused| {
        let unknown = None;
        Command::Pause(Box::new(Pause { pipeline: "sales".into(), paused, by: None, unknown }))
    };
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &picky).await;
            let file = object("in/clients_1997-01-05.csv", "01");
            let small = Object { size: 3, ..object("in/clients_1997-01-07.csv", "01") };
            let told = async |object: &Object, asked| {
                let reply = host.execute(&found(object, asked)).await.unwrap();
                (became(&reply), ledger(&host, "1997-01-06").await.len())
            };
            host.execute(&paused(true)).await.unwrap();
            assert_eq!(told(&file, false).await, ("paused".into(), 1));
            assert_eq!(told(&file, true).await, ("paused".into(), 1));
            host.execute(&paused(false)).await.unwrap();
            assert_eq!(told(&file, false).await, ("duplicate".into(), 2));
            assert_eq!(told(&file, true).await, ("run".into(), 2));
            assert_eq!(told(&file, true).await, ("duplicate".into(), 2));

            assert_eq!(told(&small, false).await, ("rejected".into(), 3));
            assert_eq!(told(&small, true).await, ("rejected".into(), 3));
            deployed(&host, &lenient).await;
            assert_eq!(told(&small, true).await, ("run".into(), 3));
            finish(&host).await;
            for run_id in ["1997-01-05", "1997-01-07"] {
                assert_eq!(find(&host, run_id).await.unwrap().generation, 1, "{run_id}");
            }
        })
        .unwrap();
}

#[test]
fn what_nobody_wants_is_booked_and_a_deployment_without_the_trigger_forgets_the_bucket() {
    let host = new_host();
    let (with, without) = (compiled(FILES), compiled(TICKING));
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &with).await;
            let stray = object("out/x.csv", "01");
            host.execute(&arrives(&stray)).await.unwrap();
            let entries = ledger(&host, "1997-01-06").await;
            assert_eq!(entries[0].reason.as_deref(), Some("no pipeline wants this key"));
            let interests = |host: &Sim| {
                let table = host.world().table.clone();
                async move { table.query("trigger#drop", "", None, 10).await.unwrap().items.len() }
            };
            assert_eq!(interests(&host).await, 1);
            deployed(&host, &without).await;
            assert_eq!(interests(&host).await, 0);
        })
        .unwrap();
}
