//! Datasets: who updates them, who is started by it, and that each update is used once, whatever is lost,
//! repeated or cut off.

use crate::deployments::new_host;
use crate::events::ledger;
use crate::sets::poll_once;
use crate::world::{Sim, by_hand, compiled, deployment, epoch, host, host_of, read, script};
use cauce_compiler::Compiled;
use cauce_driver::Budget;
use cauce_engine::command::{Event, Pause, Trigger};
use cauce_engine::{Command, Reply};
use cauce_host::simulation::{MemoryObjects, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::dataset::{ConsumerRecord, DatasetRecord, UPDATES_KEPT, consumer_item, dataset_item};
use cauce_model::event::{Became, LedgerRecord};
use cauce_model::record::{RUNS_LIST, Record, RunRecord};
use cauce_model::{Instant, Json, RunKey, RunStatus, TriggerKind};
use cauce_ports::{Clock, Objects, Table};
use cauce_testkit::faulty::{Faults, Faulty};
use serde_json::json;
use std::pin::pin;

/// A pipeline whose one task writes a dataset.
pub(crate) fn producer(name: &str, dataset: &str) -> String {
    format!("{{pipeline: {name}, tasks: {{make: {{pass: {{}}, writes: [\"{dataset}\"]}}}}}}")
}

/// A pipeline that datasets start.
pub(crate) fn consumer(name: &str, trigger: &str) -> String {
    format!(
        "{{pipeline: {name}, max_active_runs: 8, notify: {{deadline: [team]}}, \
         triggers: [{{dataset: {trigger}}}], tasks: {{use: {{container: {{image: x, command: [run]}}}}}}}}"
    )
}

pub(crate) async fn deploy<T: Table + 'static, O: Objects + Clone + 'static>(host: &Sim<T, O>, yaml: &str) {
    deploy_it(host, &compiled(yaml)).await;
}

pub(crate) async fn deploy_it<T: Table + 'static, O: Objects + Clone + 'static>(
    host: &Sim<T, O>,
    compiled: &Compiled,
) {
    host.deploy(&deployment(compiled)).await.unwrap();
}

/// Runs a pipeline for a day, to its end and that of all that follows.
async fn produce<T: Table + 'static>(host: &Sim<T>, yaml: &str, day: &str) {
    produce_it(host, &compiled(yaml), day).await;
}

pub(crate) async fn produce_it<T: Table + 'static>(host: &Sim<T>, compiled: &Compiled, day: &str) {
    let at = Instant::parse(&format!("{day}T00:00:00Z")).unwrap();
    let request =
        Trigger { logical_date: at, data_interval: (at, at.plus_seconds(86_400)), ..by_hand(compiled, day) };
    let reply = host.execute(&Command::Trigger(Box::new(request))).await.unwrap();
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
    host.run(std::future::pending()).await.unwrap();
    a_second(host).await;
}

pub(crate) fn update(dataset: &str, partition: Option<&str>) -> Command {
    let (dataset, partition) = (dataset.to_owned(), partition.map(str::to_owned));
    Command::Update { dataset, partition, by: Some("ana".to_owned()) }
}

async fn updated(host: &Sim, dataset: &str, partition: Option<&str>) {
    host.execute(&update(dataset, partition)).await.unwrap();
    host.run(std::future::pending()).await.unwrap();
    a_second(host).await;
}

/// So that what follows is later.
async fn a_second<T: Table + 'static>(host: &Sim<T>) {
    let clock = &host.world().clock;
    clock.until(clock.now().plus_seconds(1)).await;
}

pub(crate) async fn runs<T: Table + 'static, O: Objects + Clone + 'static>(
    host: &Sim<T, O>,
    pipeline: &str,
) -> Vec<RunRecord> {
    let page = host.world().table.list(RUNS_LIST, "", None, 10_000).await.unwrap();
    let runs = page.items.iter().map(|item| RunRecord::from_item(item).unwrap());
    runs.filter(|run| run.run.pipeline == pipeline).collect()
}

/// The updates that a run was told of: `a1 b3`.
fn used(run: &RunRecord) -> String {
    let events = run.trigger.detail["events"].as_array().unwrap();
    let words =
        events.iter().map(|event| format!("{}{}", event["dataset"].as_str().unwrap(), event["number"]));
    words.collect::<Vec<_>>().join(" ")
}

pub(crate) async fn uses(host: &Sim, pipeline: &str) -> Vec<String> {
    runs(host, pipeline).await.iter().map(used).collect()
}

async fn number(host: &Sim, dataset: &str) -> u64 {
    let item = host.world().table.get(&dataset_item(dataset)).await.unwrap();
    item.map_or(0, |item| DatasetRecord::from_item(&item).unwrap().newest.number)
}

async fn consumer_of<T: Table + 'static, O: Objects + Clone + 'static>(
    host: &Sim<T, O>,
    pipeline: &str,
) -> ConsumerRecord {
    let item = host.world().table.get(&consumer_item(pipeline)).await.unwrap().unwrap();
    ConsumerRecord::from_item(&item).unwrap()
}

pub(crate) async fn at<T: Table + 'static>(host: &Sim<T>, seconds: u64) {
    host.world().clock.until(epoch().plus_seconds(seconds)).await;
    let mut sweeps = 0;
    while host.driver().sweep(&Budget::default()).await.unwrap().due > 0 {
        sweeps += 1;
        assert!(sweeps < 1_000, "something stays due for ever");
    }
    host.run(std::future::pending()).await.unwrap();
}

async fn entries(host: &Sim, pipeline: &str) -> Vec<LedgerRecord> {
    let mut entries = ledger(host, "1997-01-06").await;
    entries.retain(|entry| entry.pipeline.as_deref() == Some(pipeline));
    entries.sort_by_key(|entry| (entry.decided_at, entry.event.to_string()));
    entries
}

#[test]
fn a_task_that_succeeds_updates_what_it_writes_and_its_readers_run() {
    let host = new_host();
    let clock = host.world().clock.clone();
    let prices = producer("prices", "S3://lake/prices/");
    clock
        .block_on(async {
            deploy(&host, &prices).await;
            deploy(&host, &consumer("report", "{any: [\"s3://lake/prices\", other]}")).await;
            deploy(&host, &consumer("audit", "[\"s3://lake/prices\"]")).await;
            produce(&host, &prices, "1997-01-05").await;
            for reader in ["report", "audit"] {
                let runs = runs(&host, reader).await;
                assert_eq!(runs.len(), 1, "{reader}");
                let run = &runs[0];
                assert_eq!((run.status, run.trigger.kind), (RunStatus::Success, TriggerKind::Dataset));
                assert_eq!(used(run), "s3://lake/prices1");
                let event = &run.trigger.detail["events"][0];
                assert_eq!(event["run"], "prices/1997-01-05");
                assert_eq!((&event["task"], &event["partition"]), (&json!("make"), &json!("1997-01-05")));
                // The moment is the update's, the data is that of the run that made it.
                assert_eq!(run.data_interval_start.to_string(), "1997-01-05T00:00:00.000000Z");
                assert_eq!(run.logical_date, epoch());
            }
            let of_task =
                read(&host, &RunKey::new("prices", "1997-01-05")).await.tasks["make"].datasets.clone();
            assert_eq!((of_task[0].dataset.as_str(), of_task[0].number), ("s3://lake/prices", Some(1)));
            // The same run again is a further update.
            produce(&host, &prices, "1997-01-05").await;
            assert_eq!(uses(&host, "report").await, ["s3://lake/prices1", "s3://lake/prices2"]);
            let entries = entries(&host, "report").await;
            assert!(
                entries.iter().all(|entry| entry.became == Became::Run && entry.run.is_some()),
                "{entries:?}"
            );
            assert_eq!(entries.len(), 2);
        })
        .unwrap();
}

#[test]
fn only_what_succeeded_as_a_whole_updates_anything() {
    let yaml = r#"
pipeline: many
params: {day: {type: string, default: "a b"}}
tasks:
  fails: {container: {image: x, command: [run]}, writes: [failed], allow_failure: true}
  never: {if: "{{ false }}", pass: {}, writes: [skipped]}
  each: {map: {over: [1, 2, 3]}, container: {image: x, command: [run]}, writes: ["lake/{{ ds }}", "lake/{{ ds }}/"]}
  partly: {map: {over: [1, 2]}, container: {image: x, command: [run]}, writes: [partly], allow_failure: true}
  again: {container: {image: x, command: [run]}, writes: [again], retry: {retries: 1, delay: 1s}}
  choose: {needs: [again], branch: [{else: [done]}], writes: [chosen]}
  done: {needs: [choose], pass: {}, writes: [done]}
  odd: {pass: {}, writes: ["{{ params.day }}{{ ds }}"], allow_failure: true}
"#;
    let outcomes = json!({"fails": [1], "again": [1, "success"], "partly[1]": [1]});
    let host = host(MemoryTable::new(), MemoryObjects::default(), script(json!({}), outcomes), epoch());
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, yaml).await;
            produce(&host, yaml, "1997-01-05").await;
            for (dataset, updates) in [
                ("failed", 0),
                ("skipped", 0),
                ("lake/1997-01-05", 1),
                ("partly", 0),
                ("again", 1),
                ("chosen", 1),
                ("done", 1),
            ] {
                assert_eq!(number(&host, dataset).await, updates, "{dataset}");
            }
            let ended = read(&host, &RunKey::new("many", "1997-01-05")).await;
            assert_eq!(ended.run.status, RunStatus::Success, "{:?}", ended.reasons());
            let odd = ended.tasks["odd"].reason.as_deref().unwrap();
            assert!(odd.contains("a name has no blanks"), "{odd}");
            // A person who marks a task has made nothing.
            let (run_key, by) = (RunKey::new("many", "1997-01-05"), "ana".to_owned());
            let mark = Command::Mark { run_key, task: "fails".to_owned(), success: true, by };
            host.execute(&mark).await.unwrap();
            assert_eq!(number(&host, "failed").await, 0);
        })
        .unwrap();
}

#[test]
fn all_waits_for_each_and_nests() {
    let host = new_host();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, &consumer("both", "{all: [a, b]}")).await;
            deploy(&host, &consumer("nested", "{any: [a, {all: [b, c]}]}")).await;
            updated(&host, "b", None).await;
            updated(&host, "b", None).await;
            assert_eq!((uses(&host, "both").await.len(), uses(&host, "nested").await.len()), (0, 0));
            updated(&host, "c", None).await;
            updated(&host, "a", None).await;
            updated(&host, "a", None).await;
            assert_eq!(uses(&host, "both").await, ["b1 b2 a1"]);
            assert_eq!(uses(&host, "nested").await, ["b1 b2 c1", "a1", "a2"]);
            let waits: Vec<Option<String>> =
                entries(&host, "both").await.into_iter().map(|e| e.reason).collect();
            assert_eq!(
                waits.iter().flatten().collect::<Vec<_>>(),
                ["missing: a", "missing: a", "missing: b"]
            );
        })
        .unwrap();
}

#[test]
fn repeats_collapse_while_a_run_is_under_way() {
    let script = script(json!({"use": 100}), json!({}));
    let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, &consumer("report", "[a, b]")).await;
            host.execute(&update("a", None)).await.unwrap();
            let later = async {
                for second in [10, 20, 30] {
                    clock.until(epoch().plus_seconds(second)).await;
                    host.execute(&update("a", None)).await.unwrap();
                    host.execute(&update("b", None)).await.unwrap();
                }
                std::future::pending::<()>().await;
            };
            host.run(later).await.unwrap();
            assert_eq!(uses(&host, "report").await, ["a1", "a2 b1 a3 b2 a4 b3"]);
            // The second started as soon as the first had ended, not when somebody swept.
            let started = runs(&host, "report").await[1].created_at;
            assert_eq!(started, epoch().plus_seconds(100));
        })
        .unwrap();
}

#[test]
fn each_partition_has_a_run_of_its_date_and_a_change_its_next_generation() {
    let script = script(json!({"use": 100}), json!({}));
    let host = host(MemoryTable::new(), MemoryObjects::default(), script, epoch());
    let clock = host.world().clock.clone();
    let [prices, rates] = [producer("prices", "prices"), producer("rates", "rates")];
    clock
        .block_on(async {
            deploy(&host, &consumer("report", "{all: [prices, rates], partitioned_by: day}")).await;
            for yaml in [&prices, &rates] {
                deploy(&host, yaml).await;
            }
            produce(&host, &prices, "1997-01-03").await;
            produce(&host, &prices, "1997-01-04").await;
            produce(&host, &rates, "1997-01-05").await;
            assert_eq!(runs(&host, "report").await, []);
            produce(&host, &rates, "1997-01-04").await;
            let report = RunKey::new("report", "1997-01-04");
            let run = read(&host, &report).await.run;
            assert_eq!((run.status, run.generation), (RunStatus::Success, 1));
            assert_eq!(used(&run), "prices2 rates2");
            assert_eq!(run.trigger.detail["partition"], "1997-01-04");
            assert_eq!(run.data_interval_start.to_string(), "1997-01-04T00:00:00.000000Z");
            assert_eq!(runs(&host, "report").await.len(), 1);

            // While its run is under way a change waits; another day does not.
            updated(&host, "prices", Some("1997-01-04")).await;
            host.execute(&update("rates", Some("1997-01-04"))).await.unwrap();
            let at = host.world().clock.now();
            let later = async {
                clock.until(at.plus_seconds(10)).await;
                for dataset in ["prices", "rates"] {
                    host.execute(&update(dataset, Some("1997-01-04"))).await.unwrap();
                }
                host.execute(&update("rates", Some("1997-01-03"))).await.unwrap();
                std::future::pending::<()>().await;
            };
            host.run(later).await.unwrap();
            let run = read(&host, &report).await.run;
            assert_eq!((run.generation, used(&run).as_str()), (3, "prices4 rates4"));
            let other = read(&host, &RunKey::new("report", "1997-01-03")).await.run;
            assert_eq!((other.created_at, used(&other).as_str()), (at.plus_seconds(10), "prices1 rates5"));
            // One that says no day starts nothing here, and that is on record.
            updated(&host, "prices", None).await;
            let told = entries(&host, "report").await;
            assert!(told.iter().any(|entry| entry.became == Became::Rejected
                && entry.reason.as_deref().unwrap().contains("has no partition")));
        })
        .unwrap();
}

#[test]
fn what_is_too_old_beside_the_others_does_not_count() {
    let host = new_host();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, &consumer("both", "{all: [a, b], fresh_within: 2h}")).await;
            updated(&host, "a", None).await;
            at(&host, 7201).await;
            updated(&host, "b", None).await;
            assert_eq!(uses(&host, "both").await.len(), 0);
            at(&host, 14_401).await;
            updated(&host, "a", None).await;
            assert_eq!(uses(&host, "both").await, ["a1 b1 a2"]);
        })
        .unwrap();
}

#[test]
fn updates_that_stay_away_are_told_of_once() {
    let host = new_host();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, &consumer("both", "{all: [a, b], deadline: 26h}")).await;
            updated(&host, "a", None).await;
            at(&host, 26 * 3600 - 1).await;
            assert_eq!(host.world().notices.notices(), []);
            at(&host, 26 * 3600).await;
            at(&host, 40 * 3600).await;
            let notices = host.world().notices.notices();
            assert_eq!(notices.len(), 1, "{notices:?}");
            assert_eq!(notices[0].subject, "both: no update of a and b");
            assert_eq!((notices[0].channel.as_str(), notices[0].event.as_str()), ("team", "deadline"));
            assert_eq!(consumer_of(&host, "both").await.outbox, []);
            // Both came: the time begins anew, and is told of anew.
            updated(&host, "a", None).await;
            updated(&host, "b", None).await;
            at(&host, 50 * 3600).await;
            updated(&host, "a", None).await;
            at(&host, 70 * 3600).await;
            let notices = host.world().notices.notices();
            assert_eq!(notices.len(), 2, "{notices:?}");
            assert_eq!(notices[1].subject, "both: no update of b");
            let day = ledger(&host, "1997-01-07").await;
            assert_eq!(day.iter().filter(|entry| entry.became == Became::Incomplete).count(), 1);
        })
        .unwrap();
}

#[test]
fn a_pause_keeps_updates_and_a_deployment_without_the_trigger_drops_them() {
    let host = new_host();
    let clock = host.world().clock.clone();
    let pause = |paused| {
        Command::Pause(Box::new(Pause { pipeline: "report".into(), paused, by: None, unknown: None }))
    };
    clock
        .block_on(async {
            deploy(&host, &consumer("report", "[a]")).await;
            host.execute(&pause(true)).await.unwrap();
            updated(&host, "a", None).await;
            updated(&host, "a", None).await;
            assert_eq!(uses(&host, "report").await.len(), 0);
            assert!(entries(&host, "report").await.iter().all(|entry| entry.became == Became::Paused));
            // Nothing is due meanwhile that would be looked at in vain.
            assert_eq!(host.driver().sweep(&Budget::default()).await.unwrap().due, 0);
            host.execute(&pause(false)).await.unwrap();
            host.run(std::future::pending()).await.unwrap();
            assert_eq!(uses(&host, "report").await, ["a1 a2"]);

            // Another condition takes what waits; a new dataset counts from its deployment on.
            deploy(&host, &consumer("report", "{all: [a, b]}")).await;
            updated(&host, "a", None).await;
            updated(&host, "c", None).await;
            deploy(&host, &consumer("report", "{all: [a, c]}")).await;
            assert_eq!(uses(&host, "report").await.len(), 1);
            updated(&host, "c", None).await;
            assert_eq!(uses(&host, "report").await, ["a1 a2", "a3 c2"]);
            updated(&host, "a", None).await;
            deploy(&host, &consumer("report", "[a, c]")).await;
            host.run(std::future::pending()).await.unwrap();
            assert_eq!(uses(&host, "report").await, ["a1 a2", "a3 c2", "a4"]);

            deploy(&host, "{pipeline: report, tasks: {use: {pass: {}}}}").await;
            updated(&host, "a", None).await;
            assert_eq!(uses(&host, "report").await.len(), 3);
            assert_eq!(host.world().table.get(&consumer_item("report")).await.unwrap(), None);
            // What came meanwhile is nobody's.
            deploy(&host, &consumer("report", "[a]")).await;
            host.run(std::future::pending()).await.unwrap();
            assert_eq!(uses(&host, "report").await.len(), 3);
            updated(&host, "a", None).await;
            assert_eq!(uses(&host, "report").await[3], "a6");
        })
        .unwrap();
}

#[test]
fn a_consumer_that_slept_finds_what_is_kept_and_its_run_all_of_it_in_a_document() {
    let mut world =
        Simulated::new(MemoryTable::new(), MemoryObjects::default(), script(json!({}), json!({})), epoch());
    world.on_post = Some(Box::new(|_| false));
    let host = host_of(world);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, &consumer("report", "[a]")).await;
            for _ in 0..UPDATES_KEPT + 5 {
                host.execute(&update("a", None)).await.unwrap();
            }
            at(&host, 60).await;
            let runs = runs(&host, "report").await;
            assert_eq!(runs.len(), 1);
            let detail = &runs[0].trigger.detail;
            assert_eq!(detail["more_events"], UPDATES_KEPT - 32);
            let uri = detail["events_uris"][0].as_str().unwrap();
            let bytes = host.world().objects.get(uri, 1 << 24).await.unwrap().unwrap();
            let all: Vec<Json> = serde_json::from_slice(&bytes).unwrap();
            let numbers: Vec<u64> = all.iter().map(|event| event["number"].as_u64().unwrap()).collect();
            assert_eq!(numbers, (6..=UPDATES_KEPT + 5).collect::<Vec<_>>());
            let entries = ledger(&host, "1997-01-06").await;
            let missed: Vec<&LedgerRecord> =
                entries.iter().filter(|entry| entry.became == Became::Missed).collect();
            assert_eq!(missed.len(), 1);
            assert_eq!(missed[0].event, json!({"dataset": "a", "first": 1, "last": 5}));
            let reason = "5 updates of a, from 1 on, were overwritten before this pipeline looked: 1000 of a dataset are kept";
            assert_eq!(missed[0].reason.as_deref(), Some(reason));
        })
        .unwrap();
}

#[test]
fn one_that_cannot_be_started_leaves_the_others_alone_and_says_so() {
    let host = new_host();
    let clock = host.world().clock.clone();
    let picky = "{pipeline: picky, params: {who: {type: string, required: true}}, triggers: [{dataset: [a]}], tasks: {t: {pass: {}}}}";
    clock
        .block_on(async {
            deploy(&host, picky).await;
            deploy(&host, &consumer("report", "[a]")).await;
            updated(&host, "a", None).await;
            assert_eq!(uses(&host, "report").await, ["a1"]);
            let told = entries(&host, "picky").await;
            assert_eq!(told[0].became, Became::Rejected);
            assert!(told[0].reason.as_deref().unwrap().contains("who"), "{told:?}");
            assert_eq!(host.driver().sweep(&Budget::default()).await.unwrap().due, 0);
        })
        .unwrap();
}

/// A pipeline whose looks are held, and what they are held in.
type Held = Sim<Faulty<MemoryTable>>;

/// A look is held at its n-th call while something else happens. Whether it has so many calls.
fn held_look(
    trigger: &str,
    call: u64,
    before: impl AsyncFn(&Held),
    meanwhile: impl AsyncFn(&Held),
    after: impl AsyncFn(&Held, bool),
) -> bool {
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    let mut world = Simulated::new(table, MemoryObjects::default(), script(json!({}), json!({})), epoch());
    world.on_post = Some(Box::new(|_| false));
    let host = host_of(world);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deploy(&host, &consumer("report", trigger)).await;
            before(&host).await;
            faults.hold_at(faults.calls() + call);
            let look = look();
            let mut held = pin!(host.execute(&look));
            let was_held = poll_once(held.as_mut()).await.is_none();
            if was_held {
                meanwhile(&host).await;
                faults.release();
                held.await.unwrap();
            }
            faults.release();
            after(&host, was_held).await;
            was_held
        })
        .unwrap()
}

fn look() -> Command {
    Command::Event(Box::new(Event::Consumer { pipeline: "report".to_owned() }))
}

/// How many calls a look has: each of them has been held.
fn at_each_call(held: impl Fn(u64) -> bool) -> u64 {
    (1..).take_while(|call| held(*call)).count() as u64
}

/// What waits of one partition is of one run, whatever another look had read before.
#[test]
fn two_looks_at_once_use_each_update_once() {
    let updates = async |host: &Held, updates: &[(&str, &str)]| {
        for (dataset, day) in updates {
            host.driver().execute(&update(dataset, Some(day))).await.unwrap();
        }
    };
    let held = |call| {
        held_look(
            "{all: [a, b], partitioned_by: day}",
            call,
            async |host| {
                updates(host, &[("a", "1997-01-05"), ("b", "1997-01-05"), ("a", "1997-01-06")]).await;
            },
            // Another one takes what is there, and more comes.
            async |host| {
                host.driver().execute(&look()).await.unwrap();
                updates(host, &[("b", "1997-01-06")]).await;
            },
            async |host, was_held| {
                if !was_held {
                    updates(host, &[("b", "1997-01-06")]).await;
                }
                at(host, 60).await;
                at(host, 120).await;
                let of = |run: &RunRecord| {
                    let mut words: Vec<String> = used(run).split(' ').map(str::to_owned).collect();
                    words.sort();
                    format!("{}: {}", run.trigger.detail["partition"].as_str().unwrap(), words.join(" "))
                };
                let mut days: Vec<String> = runs(host, "report").await.iter().map(of).collect();
                days.sort();
                assert_eq!(days, ["1997-01-05: a1 b1", "1997-01-06: a2 b2"], "held at call {call}");
            },
        )
    };
    assert!(at_each_call(held) >= 5);
}

/// What another look has heard meanwhile stays heard.
#[test]
fn a_look_that_tells_of_a_deadline_does_not_undo_what_another_booked() {
    let both = async |host: &Held| {
        for dataset in ["a", "b"] {
            host.driver().execute(&update(dataset, None)).await.unwrap();
        }
    };
    let held = |call| {
        held_look(
            "{all: [a, b], deadline: 1h}",
            call,
            async |host| {
                host.execute(&update("a", None)).await.unwrap();
                at(host, 60).await;
                host.world().clock.until(epoch().plus_seconds(4_000)).await;
            },
            async |host| {
                both(host).await;
                host.driver().execute(&look()).await.unwrap();
            },
            async |host, was_held| {
                if !was_held {
                    host.execute(&update("b", None)).await.unwrap();
                }
                at(host, 4_100).await;
                both(host).await;
                at(host, 4_200).await;
                let used: Vec<String> = runs(host, "report").await.iter().map(used).collect();
                let expected = if was_held { ["a1 a2 b1", "a3 b2"] } else { ["a1 b1", "a2 b2"] };
                assert_eq!(used, expected, "held at call {call}");
            },
        )
    };
    assert!(at_each_call(held) >= 3);
}
