//! The service in virtual time: the loop of `cauce up`, its deaths, and what it finds when it comes back.

use crate::world::{Sim, by_hand, compiled, deployment, host_of, script};
use cauce_engine::Command;
use cauce_engine::command::{Pause, Trigger};
use cauce_host::service::{
    Inbox, Letter, Offer, Pace, Project, Requests, Service, Told, Unanswered, requests,
};
use cauce_host::simulation::{MemoryObjects, Simulated, VirtualClock};
use cauce_local::memory::MemoryTable;
use cauce_model::event::{Became, LedgerRecord, SetRecord, clock_item, set_item};
use cauce_model::item::{Expect, IndexEntry};
use cauce_model::record::{
    DUE_LIST, PipelineRecord, RUNS_LIST, Record, RunRecord, TASK_PREFIX, TaskRecord, pipeline_item,
    run_partition, task_item,
};
use cauce_model::{Instant, Item, Json, RunStatus, Write};
use cauce_ports::Table;
use cauce_testkit::faulty::{Faults, Faulty, Moment};
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::rc::Rc;

/// Looks are rare, so that a life has few calls to die at.
const PACE: Pace = Pace { look_seconds: 600, sweep_seconds: 1200 };

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// A project whose offer a test changes.
#[derive(Clone, Default)]
struct Offered {
    offer: Rc<RefCell<Offer>>,
    changes: Rc<RefCell<Vec<Instant>>>,
    clock: Rc<RefCell<Option<VirtualClock>>>,
    told: Rc<RefCell<Vec<Told>>>,
}

impl Offered {
    fn of(yamls: &[&str]) -> Self {
        let offered = Self::default();
        for yaml in yamls {
            offered.put(yaml);
        }
        offered
    }

    fn put(&self, yaml: &str) {
        let compiled = compiled(yaml);
        let name = compiled.plan.pipeline.clone();
        self.offer.borrow_mut().pipelines.insert(name, Ok(deployment(&compiled)));
    }

    fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }
}

impl Project for Offered {
    fn read(&self) -> Result<Offer, String> {
        Ok(self.offer.borrow().clone())
    }
    async fn changed(&self) {
        let next = self.changes.borrow_mut().pop();
        let clock = self.clock.borrow().clone();
        match (next, clock) {
            (Some(at), Some(clock)) => clock.until(at).await,
            _ => pending().await,
        }
    }
    fn tell(&self, told: &Told) {
        self.told.borrow_mut().push(told.clone());
    }
}

/// What outlives a service.
#[derive(Clone, Default)]
struct Disk {
    table: MemoryTable,
    objects: MemoryObjects,
}

impl Disk {
    fn host(&self, now: &str, durations: Json) -> Sim {
        let (table, objects) = (self.table.clone(), self.objects.clone());
        host_of(Simulated::new(table, objects, script(durations, json!({})), at(now)))
    }

    /// A service from one moment to another, in which `meanwhile` is done as well.
    fn life(&self, project: &Offered, span: (&str, &str), durations: Json, pace: Pace) {
        let (_, inbox) = requests();
        let host = self.host(span.0, durations);
        let clock = host.world().clock.clone();
        *project.clock.borrow_mut() = Some(clock.clone());
        let service = Service::new(host, project.clone(), inbox, pace);
        clock.block_on(service.run(clock.until(at(span.1)))).unwrap().unwrap();
    }

    fn runs(&self) -> Vec<RunRecord> {
        let clock = VirtualClock::starting_at(at("1997-01-01T00:00:00Z"));
        let page = clock.block_on(self.table.list(RUNS_LIST, "", None, 100_000)).unwrap().unwrap();
        page.items.iter().map(|item| RunRecord::from_item(item).unwrap()).collect()
    }

    fn tasks(&self, run: &cauce_model::RunKey) -> BTreeMap<String, TaskRecord> {
        let clock = VirtualClock::starting_at(at("1997-01-01T00:00:00Z"));
        let partition = run_partition(run);
        let page = clock.block_on(self.table.query(&partition, TASK_PREFIX, None, 1000)).unwrap().unwrap();
        let tasks = page.items.iter().map(|item| TaskRecord::from_item(item).unwrap());
        tasks.map(|task| (task.task.clone(), task)).collect()
    }

    /// What became of the ticks of some days, by their moment.
    fn ledger(&self, days: &[&str]) -> BTreeMap<String, Vec<Became>> {
        let clock = VirtualClock::starting_at(at("1997-01-01T00:00:00Z"));
        let mut found: BTreeMap<String, Vec<Became>> = BTreeMap::new();
        for day in days {
            let partition = format!("ledger#{day}");
            let page = clock.block_on(self.table.query(&partition, "", None, 100_000)).unwrap().unwrap();
            for entry in page.items.iter().map(|item| LedgerRecord::from_item(item).unwrap()) {
                found.entry(entry.at.to_string()).or_default().push(entry.became);
            }
        }
        found
    }
}

fn hourly(catchup: &str) -> String {
    format!(
        "pipeline: sales\nschedule: {{cron: \"0 * * * *\", catchup: {catchup}}}\nmax_active_runs: 100\n\
         tasks:\n  load: {{container: {{image: x, command: [go]}}, timeout: 2h, retry: 1}}\n"
    )
}

#[test]
fn a_tick_is_performed_at_its_very_moment() {
    let (disk, project) = (Disk::default(), Offered::of(&[&hourly("none")]));
    disk.life(&project, ("1997-01-06T00:30:00Z", "1997-01-06T04:30:00Z"), json!({"load": 60}), PACE);
    let started: Vec<String> = disk.runs().iter().map(|run| run.created_at.to_string()).collect();
    let hours = ["01", "02", "03", "04"].map(|hour| format!("1997-01-06T{hour}:00:00.000000Z"));
    assert_eq!(started, hours);
    assert!(disk.runs().iter().all(|run| run.status == RunStatus::Success));
}

#[test]
fn after_two_days_each_tick_is_a_run_or_missed_as_catchup_says() {
    for (catchup, made_up) in [("none", 0), ("last", 1), ("3", 3), ("all", 48)] {
        let (disk, project) = (Disk::default(), Offered::of(&[&hourly(catchup)]));
        let durations = || json!({"load": 1200});
        // It dies in the middle of its third run.
        disk.life(&project, ("1997-01-06T00:30:00Z", "1997-01-06T03:10:00Z"), durations(), PACE);
        disk.life(&project, ("1997-01-08T03:10:00Z", "1997-01-08T05:30:00Z"), durations(), PACE);
        let ledger = disk.ledger(&["1997-01-06", "1997-01-07", "1997-01-08"]);
        assert_eq!(ledger.len(), 23 + 24 + 6, "{catchup}: {ledger:?}");
        assert!(ledger.values().all(|became| became.len() == 1), "{catchup}: {ledger:?}");
        let missed = ledger.values().filter(|became| became[0] == Became::Missed).count();
        assert_eq!(missed, 48 - made_up, "{catchup}");
        let runs = disk.runs();
        assert_eq!(runs.len(), 3 + made_up + 2, "{catchup}");
        assert!(runs.iter().all(|run| run.status == RunStatus::Success), "{catchup}: {runs:?}");
        // The run that was under way went on in its next generation, the others are in their first.
        let again: Vec<&str> =
            runs.iter().filter(|run| run.generation > 1).map(|run| run.run.run_id.as_str()).collect();
        assert_eq!(again, ["1997-01-06T0200Z"], "{catchup}");
    }
}

#[test]
fn wherever_a_service_dies_the_next_one_runs_every_tick_once() {
    let project = Offered::of(&[&hourly("all")]);
    let mut deaths = 0;
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let story = format!("call {call} {moment:?}");
            let (disk, faults) = (Disk::default(), Faults::none());
            faults.crash_at(call, moment);
            let table = Faulty::new(disk.table.clone(), &faults);
            let script = script(json!({"load": 900}), json!({}));
            let now = at("1997-01-06T00:50:00Z");
            let host = host_of(Simulated::new(table, disk.objects.clone(), script, now));
            let clock = host.world().clock.clone();
            let (_, inbox) = requests();
            let service = Service::new(host, project.clone(), inbox, PACE);
            let end = clock.until(at("1997-01-06T02:30:00Z"));
            let died = clock.block_on(faults.survive(service.run(end))).unwrap().is_err();
            drop(service);
            disk.life(&project, ("1997-01-06T02:40:00Z", "1997-01-06T04:10:00Z"), json!({"load": 300}), PACE);
            let ledger = disk.ledger(&["1997-01-06"]);
            assert!(ledger.values().all(|became| became == &[Became::Run]), "{story}: {ledger:?}");
            let runs = disk.runs();
            // Nothing is made up for before the first deployment, and that may have died.
            let first = if ledger.contains_key("1997-01-06T01:00:00.000000Z") { 4 } else { 2 };
            assert_eq!((ledger.len(), runs.len()), (first, first), "{story}: {ledger:?}");
            assert!(runs.iter().all(|run| run.status == RunStatus::Success), "{story}: {runs:?}");
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 60, "{deaths} deaths are too few to be at every call");
}

#[test]
fn what_a_death_has_interrupted_starts_again_as_often_as_its_retries_allow() {
    for (retry, attempts, status) in [
        ("{retries: 0}", 1, RunStatus::Failed),
        ("{retries: 1}", 2, RunStatus::Failed),
        ("{retries: 2}", 3, RunStatus::Success),
        ("{retries: 3, no_retry_on: [aborted]}", 1, RunStatus::Failed),
        ("{retries: 0, restartable: true}", 3, RunStatus::Success),
        ("{retries: 2, max_duration: 30m}", 1, RunStatus::Failed),
    ] {
        let yaml = format!(
            "pipeline: sales\nschedule: {{cron: \"0 1 6 1 *\", catchup: none}}\ntasks:\n  load: {{container: \
             {{image: x, command: [go]}}, timeout: 2h, retry: {retry}}}\n"
        );
        let (disk, project) = (Disk::default(), Offered::of(&[&yaml]));
        for (from, to) in [("00:30", "01:10"), ("02:00", "02:10"), ("03:00", "05:00")] {
            let span = [from, to].map(|time| format!("1997-01-06T{time}:00Z"));
            disk.life(&project, (&span[0], &span[1]), json!({"load": 1200}), PACE);
        }
        let runs = disk.runs();
        let run = &runs[0];
        assert_eq!((runs.len(), run.status), (1, status), "{retry}: {run:?}");
        let clock = VirtualClock::starting_at(at("1997-01-01T00:00:00Z"));
        let load = clock.block_on(disk.table.get(&task_item(&run.key(), "load", None))).unwrap().unwrap();
        let load = TaskRecord::from_item(&load.unwrap()).unwrap();
        assert_eq!(load.attempts.len(), attempts, "{retry}: {:?}", load.reason);
    }
}

/// What another process of the machine does to the same store.
fn visitor(disk: &Disk, clock: &VirtualClock) -> Sim {
    let mut world = Simulated::new(
        disk.table.clone(),
        disk.objects.clone(),
        script(json!({}), json!({})),
        at("1997-01-06T00:00:00Z"),
    );
    world.clock = clock.clone();
    host_of(world)
}

#[test]
fn a_pause_by_another_process_holds_ticks_back_until_its_end() {
    for (catchup, made_up) in [("none", 0), ("last", 1), ("all", 3)] {
        let (disk, project) = (Disk::default(), Offered::of(&[&hourly(catchup)]));
        let host = disk.host("1997-01-06T00:30:00Z", json!({"load": 60}));
        let clock = host.world().clock.clone();
        let other = visitor(&disk, &clock);
        let (_, inbox) = requests();
        let service = Service::new(host, project.clone(), inbox, PACE);
        let set = async |paused| {
            let pause = Pause { pipeline: "sales".into(), paused, by: None, unknown: None };
            // The ticks that letting go asks for are the service's: this process dies before it.
            let _ = other.execute(&Command::Pause(Box::new(pause))).await;
            other.leave(&Letter::Due).await.unwrap();
        };
        let meanwhile = async {
            clock.until(at("1997-01-06T01:30:00Z")).await;
            set(true).await;
            clock.until(at("1997-01-06T04:30:00Z")).await;
            assert_eq!(disk.runs().len(), 1, "{catchup}: nothing starts in a pause");
            set(false).await;
            clock.until(at("1997-01-06T05:30:00Z")).await;
        };
        clock.block_on(service.run(meanwhile)).unwrap().unwrap();
        let ledger = disk.ledger(&["1997-01-06"]);
        assert_eq!(ledger.len(), 5, "{catchup}: {ledger:?}");
        assert!(ledger.values().all(|became| became.len() == 1), "{catchup}: {ledger:?}");
        assert_eq!(disk.runs().len(), 2 + made_up, "{catchup}");
    }
}

#[test]
fn what_cannot_be_decided_keeps_no_other_waiting() {
    let (disk, project) = (Disk::default(), Offered::of(&[&hourly("none")]));
    project.offer.borrow_mut().pipelines.insert("broken".into(), Err("line 3: no".into()));
    let clock = VirtualClock::starting_at(at("1997-01-06T00:00:00Z"));
    // A record and a due item that no version of this program could have written.
    let mut due =
        Item::new(clock_item("poison"), json_map(json!({"command": "ticks", "pipeline": "poison"})));
    due.index = Some(IndexEntry { list: DUE_LIST.to_owned(), position: format!("{:020}#poison", 1) });
    let record = Item::new(pipeline_item("poison"), json_map(json!({"what": 1})));
    let mut strange = Item::new(cauce_model::Key::new("x", "y"), json_map(json!({"command": "strange"})));
    strange.index = Some(IndexEntry { list: DUE_LIST.to_owned(), position: format!("{:020}#x", 0) });
    let writes = [due, record, strange].map(|item| Write::Put { item, expect: Expect::Any });
    clock.block_on(disk.table.write(&writes, "poison")).unwrap().unwrap();
    disk.life(&project, ("1997-01-06T00:30:00Z", "1997-01-06T03:30:00Z"), json!({"load": 60}), PACE);
    let started: Vec<String> = disk.runs().iter().map(|run| run.created_at.to_string()).collect();
    assert_eq!(started, ["01", "02", "03"].map(|hour| format!("1997-01-06T{hour}:00:00.000000Z")));
    let broken: Vec<Told> =
        project.told().into_iter().filter(|told| matches!(told, Told::Broken { .. })).collect();
    assert_eq!(broken, [Told::Broken { pipeline: "broken".into(), problem: "line 3: no".into() }]);
}

fn json_map(value: Json) -> serde_json::Map<String, Json> {
    value.as_object().cloned().unwrap()
}

#[test]
fn a_changed_file_is_deployed_while_runs_under_way_keep_their_version() {
    let (disk, project) = (Disk::default(), Offered::of(&[&hourly("none")]));
    let host = disk.host("1997-01-06T00:30:00Z", json!({"load": 3000, "more": 10}));
    let clock = host.world().clock.clone();
    *project.clock.borrow_mut() = Some(clock.clone());
    *project.changes.borrow_mut() = vec![at("1997-01-06T02:30:00Z"), at("1997-01-06T01:20:00Z")];
    let (_, inbox) = requests();
    let service = Service::new(host, project.clone(), inbox, PACE);
    let meanwhile = async {
        clock.until(at("1997-01-06T01:10:00Z")).await;
        project.put(&format!(
            "{}  more: {{needs: [load], container: {{image: x, command: [go]}}}}\n",
            hourly("none")
        ));
        clock.until(at("1997-01-06T02:10:00Z")).await;
        project.offer.borrow_mut().pipelines.clear();
        clock.until(at("1997-01-06T05:00:00Z")).await;
    };
    clock.block_on(service.run(meanwhile)).unwrap().unwrap();
    let runs = disk.runs();
    assert_eq!(runs.len(), 2, "the third tick came after the file had gone: {runs:?}");
    assert_ne!(runs[0].version, runs[1].version);
    assert!(runs.iter().all(|run| run.status == RunStatus::Success), "{runs:?}");
    let ran: Vec<String> = service.host().world().programs.ran().iter().map(|ran| ran.task.clone()).collect();
    assert_eq!(ran, ["load", "load", "more"]);
    assert!(project.told().contains(&Told::Undeployed { pipeline: "sales".into() }));
}

#[test]
fn a_run_that_another_process_wrote_is_started_and_its_cancel_heeded() {
    let (disk, project) = (Disk::default(), Offered::of(&[&hourly("none")]));
    let host = disk.host("1997-01-06T00:30:00Z", json!({"load": 3000}));
    let clock = host.world().clock.clone();
    let other = visitor(&disk, &clock);
    let (_, inbox) = requests();
    let service = Service::new(host, project.clone(), inbox, Pace { look_seconds: 1, sweep_seconds: 1200 });
    let meanwhile = async {
        clock.until(at("1997-01-06T00:31:00Z")).await;
        let mut trigger = by_hand(&compiled(&hourly("none")), "r1");
        trigger.start = false;
        let key = cauce_model::RunKey::new("sales", "r1");
        other.execute(&Command::Trigger(Box::new(trigger))).await.unwrap();
        other.leave(&Letter::Run(key.clone())).await.unwrap();
        clock.until(at("1997-01-06T00:31:02Z")).await;
        assert_eq!(disk.runs()[0].status, RunStatus::Running);
        assert_eq!(disk.runs()[0].generation, 1, "nothing of it had begun");
        let cancel =
            Command::Cancel { run_key: key.clone(), generation: None, reason: "enough".into(), by: None };
        other.execute(&cancel).await.unwrap();
        other.leave(&Letter::Run(key)).await.unwrap();
        clock.until(at("1997-01-06T00:31:05Z")).await;
    };
    clock.block_on(service.run(meanwhile)).unwrap().unwrap();
    assert_eq!(disk.runs()[0].status, RunStatus::Cancelled);
}

const NESTED: [&str; 2] = [
    "
pipeline: sales
tasks: {other: {pipeline: {name: child}}}
",
    "
pipeline: child
tasks:
  up: {setup: true, container: {image: x, command: [run]}}
  load: {needs: [up], container: {image: x, command: [run]}, lock: one}
  down: {teardown_of: up, container: {image: x, command: [run]}}
",
];

/// A run is cancelled whose task has started another one, and whose program goes on for a while; the service dies at the
/// given call after that. Then another service lives. What has become of both, and whether there was such a call.
fn cancelled_and_dead(call: u64, moment: Moment) -> (Disk, BTreeMap<String, RunStatus>, bool) {
    let (disk, project, faults) = (Disk::default(), Offered::of(&NESTED), Faults::none());
    let table = Faulty::new(disk.table.clone(), &faults);
    let script = script(json!({"load": 3000}), json!({}));
    let host = host_of(Simulated::new(table, disk.objects.clone(), script, at("1997-01-06T00:30:00Z")));
    let clock = host.world().clock.clone();
    host.world().programs.linger(100);
    let (_, inbox) = requests();
    let service = Service::new(host, project.clone(), inbox, PACE);
    let meanwhile = async {
        clock.until(at("1997-01-06T00:31:00Z")).await;
        let trigger = Command::Trigger(Box::new(by_hand(&compiled(NESTED[0]), "r1")));
        service.host().execute(&trigger).await.unwrap();
        clock.until(at("1997-01-06T00:32:00Z")).await;
        let run_key = cauce_model::RunKey::new("sales", "r1");
        let cancel = Command::Cancel { run_key, generation: None, reason: "enough".into(), by: None };
        faults.crash_at(faults.calls() + call, moment);
        service.host().execute(&cancel).await.unwrap();
        clock.until(at("1997-01-06T00:36:00Z")).await;
    };
    let died = clock.block_on(faults.survive(service.run(meanwhile))).unwrap().is_err();
    drop(service);
    disk.life(&project, ("1997-01-06T00:40:00Z", "1997-01-06T02:40:00Z"), json!({"load": 3000}), PACE);
    let runs = disk.runs();
    let statuses = runs.iter().map(|run| (run.run.pipeline.clone(), run.status)).collect();
    (disk, statuses, died)
}

/// Wherever a service dies while what it cancels still ends, the next one ends it and takes away what it has set up, and
/// starts nothing of it again.
#[test]
fn a_run_whose_service_died_while_it_was_cancelled_ends() {
    let (mut deaths, mut lost) = (0, 0);
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let (disk, statuses, died) = cancelled_and_dead(call, moment);
            let story = format!("call {call} {moment:?}: {statuses:?}");
            let child = disk.runs().into_iter().find(|run| run.run.pipeline == "child").unwrap();
            let tasks = disk.tasks(&child.key());
            assert_eq!(
                (tasks["up"].status.as_str(), tasks["down"].status.as_str()),
                ("success", "success"),
                "{story}"
            );
            assert_eq!(tasks["load"].attempts.len(), 1, "{story}: it is started again");
            if statuses["sales"] == RunStatus::Failed {
                // The cancel was not written yet: an interrupted task without retries fails.
                lost += 1;
                assert_eq!(statuses["child"], RunStatus::Failed, "{story}");
            } else {
                let wanted = ["child", "sales"].map(|run| (run.to_owned(), RunStatus::Cancelled));
                assert_eq!(statuses, BTreeMap::from(wanted), "{story}");
            }
            let held = disk.table.items().into_iter().filter_map(|item| item.body.get("used")?.as_i64());
            assert_eq!(held.sum::<i64>(), 0, "{story}");
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    assert!(
        deaths > 60 && lost > 0 && lost < deaths / 4,
        "{deaths} deaths, {lost} before anything was written"
    );
}

/// Wherever a service dies, a run and the one that its task has started go on together with the next one, whatever is
/// said of runs that exist.
#[test]
fn a_run_and_the_one_that_its_task_started_go_on_together() {
    let mut deaths = 0;
    for policy in ["join", "fail"] {
        let parent = format!(
            "pipeline: sales\ntasks: {{other: {{pipeline: {{name: child, on_existing: {policy}}}}}}}\n"
        );
        let child = "
pipeline: child
tasks:
  load: {container: {image: x, command: [run]}, retry: {retries: 1, delay: 1s}}
  check: {needs: [load], container: {image: x, command: [run]}, retry: {retries: 1, delay: 1s}}
";
        let project = Offered::of(&[&parent, child]);
        for moment in [Moment::Before, Moment::After] {
            for call in 1.. {
                let (disk, faults) = (Disk::default(), Faults::none());
                let table = Faulty::new(disk.table.clone(), &faults);
                let script = script(json!({"load": 10, "check": 10}), json!({}));
                let now = at("1997-01-06T00:30:00Z");
                let host = host_of(Simulated::new(table, disk.objects.clone(), script, now));
                let clock = host.world().clock.clone();
                let (_, inbox) = requests();
                let service = Service::new(host, project.clone(), inbox, PACE);
                let meanwhile = async {
                    clock.until(at("1997-01-06T00:31:00Z")).await;
                    faults.crash_at(faults.calls() + call, moment);
                    let trigger = Command::Trigger(Box::new(by_hand(&compiled(&parent), "r1")));
                    service.host().execute(&trigger).await.unwrap();
                    clock.until(at("1997-01-06T00:35:00Z")).await;
                };
                let died = clock.block_on(faults.survive(service.run(meanwhile))).unwrap().is_err();
                drop(service);
                let rest = ("1997-01-06T00:40:00Z", "1997-01-06T01:40:00Z");
                disk.life(&project, rest, json!({"load": 10, "check": 10}), PACE);
                let runs = disk.runs();
                let ended = |run: &RunRecord| run.status == RunStatus::Success;
                assert!(runs.iter().all(ended), "{policy}, call {call} {moment:?}: {runs:?}");
                // Only a death before anything was written leaves nothing.
                assert!(
                    runs.len() == 2 || runs.is_empty() && call < 10,
                    "{policy}, call {call} {moment:?}: {runs:?}"
                );
                if !died {
                    break;
                }
                deaths += 1;
            }
        }
    }
    assert!(deaths > 100, "{deaths} deaths are too few to be at every call");
}

/// While it reads a letter, and is held at each of its calls, the same letter is left again: it is read again.
#[test]
fn a_letter_that_is_left_again_while_it_is_read_is_read_again() {
    let mut calls = 0;
    for call in 1.. {
        let (disk, project, faults) = (Disk::default(), Offered::of(&[&hourly("none")]), Faults::none());
        let table = Faulty::new(disk.table.clone(), &faults);
        let script = script(json!({"load": 3000}), json!({}));
        let host = host_of(Simulated::new(table, disk.objects.clone(), script, at("1997-01-06T00:30:00Z")));
        let clock = host.world().clock.clone();
        let other = visitor(&disk, &clock);
        let (_, inbox) = requests();
        // Only letters tell it of anything in this time.
        let service = Service::new(host, project, inbox, Pace { look_seconds: 1, sweep_seconds: 1200 });
        let key = cauce_model::RunKey::new("sales", "r1");
        let meanwhile = async {
            clock.until(at("1997-01-06T00:31:00Z")).await;
            let trigger = Trigger { start: false, ..by_hand(&compiled(&hourly("none")), "r1") };
            other.execute(&Command::Trigger(Box::new(trigger))).await.unwrap();
            other.leave(&Letter::Run(key.clone())).await.unwrap();
            faults.hold_at(faults.calls() + call);
            clock.until(at("1997-01-06T00:31:02.500Z")).await;
            let cancel =
                Command::Cancel { run_key: key.clone(), generation: None, reason: "enough".into(), by: None };
            other.execute(&cancel).await.unwrap();
            other.leave(&Letter::Run(key.clone())).await.unwrap();
            faults.release();
            clock.until(at("1997-01-06T00:31:08Z")).await;
        };
        clock.block_on(service.run(meanwhile)).unwrap().unwrap();
        assert_eq!(disk.runs()[0].status, RunStatus::Cancelled, "held at call {call}");
        // By then it had read the letter, and looked for others.
        calls = call;
        if call == 40 {
            break;
        }
    }
    assert_eq!(calls, 40);
}

/// What cannot be performed is tried less and less often; once it is written anew, as if it were new.
#[test]
fn what_is_due_and_was_written_anew_is_tried_at_once_and_soon_again() {
    let (disk, project) = (Disk::default(), Offered::of(&[&hourly("none")]));
    let host = disk.host("1997-01-06T00:30:00Z", json!({"load": 60}));
    let clock = host.world().clock.clone();
    let (_, inbox) = requests();
    let service = Service::new(host, project, inbox, Pace { look_seconds: 1, sweep_seconds: 1200 });
    let write = async |write: Write, name: &str| disk.table.write(&[write], name).await.unwrap();
    let put = |item: Item| Write::Put { item, expect: Expect::Any };
    let set = SetRecord::new("lost", "s", 0, BTreeMap::new());
    let due = || put(set.row(Some(at("1997-01-06T00:31:00Z"))));
    let meanwhile = async {
        // A pipeline whose plan nobody has any more.
        let lost = PipelineRecord::new("lost".into(), "gone".into(), "gone".into());
        write(put(lost.row()), "lost").await;
        write(due(), "due").await;
        clock.until(at("1997-01-06T00:33:00Z")).await;
        write(due(), "due anew").await;
        clock.until(at("1997-01-06T00:33:10Z")).await;
        write(Write::Delete { key: pipeline_item("lost"), expect: Expect::Any }, "taken away").await;
        clock.until(at("1997-01-06T00:33:30Z")).await;
        assert!(disk.table.get(&set_item("lost", "s")).await.unwrap().is_none(), "it was tried again soon");
    };
    clock.block_on(service.run(meanwhile)).unwrap().unwrap();
}

#[test]
fn a_request_is_answered_and_one_to_a_service_that_stopped_is_not() {
    let (disk, project) = (Disk::default(), Offered::of(&[&hourly("none")]));
    let host = disk.host("1997-01-06T00:30:00Z", json!({"load": 60}));
    let clock = host.world().clock.clone();
    let (requests, inbox): (Requests, Inbox) = requests();
    let service = Service::new(host, project, inbox, PACE);
    let trigger = || Command::Trigger(Box::new(by_hand(&compiled(&hourly("none")), "r1")));
    let meanwhile = async {
        clock.until(at("1997-01-06T00:31:00Z")).await;
        let reply = requests.ask(trigger()).await.unwrap();
        assert!(matches!(reply, cauce_engine::Reply::Ok(_)), "{reply:?}");
        clock.until(at("1997-01-06T00:33:00Z")).await;
    };
    clock.block_on(service.run(meanwhile)).unwrap().unwrap();
    assert_eq!(disk.runs()[0].status, RunStatus::Success);
    drop(service);
    assert_eq!(clock.block_on(requests.ask(trigger())).unwrap(), Err(Unanswered::Stopped));
}
