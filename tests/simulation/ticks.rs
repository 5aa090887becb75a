//! Ticks that nobody tells of: outages, clock changes, pauses, crashes. Each tick is accounted for once.

use crate::deployments::{deploy, made};
use crate::repair::sweep;
use crate::world::{Sim, compiled, compiled_in, deployment, host_under, script};
use cauce_compiler::Compiled;
use cauce_driver::{Budget, SweepReport};
use cauce_engine::command::{Deploy, Event, Pause};
use cauce_engine::{Command, Patience, Reply};
use cauce_host::simulation::{MemoryObjects, Simulated};
use cauce_local::memory::MemoryTable;
use cauce_model::event::{Became, LedgerRecord};
use cauce_model::record::{RUNS_LIST, Record, RunRecord};
use cauce_model::{Instant, RunStatus};
use cauce_ports::{Objects, Table};
use cauce_testkit::faulty::{Faults, Faulty, Moment};
use serde_json::json;
use std::collections::BTreeMap;

fn pipeline(schedule: &str) -> String {
    format!("pipeline: sales\nschedule: {schedule}\nmax_active_runs: 100\ntasks:\n  load: {{pass: {{}}}}\n")
}

fn new(patience: Patience, now: Instant) -> Sim {
    let world =
        Simulated::new(MemoryTable::new(), MemoryObjects::default(), script(json!({}), json!({})), now);
    host_under(world, patience)
}

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// Deploys at the beginning of the simulation.
fn deployed(schedule: &str, patience: Patience, now: &str) -> Sim {
    let host = new(patience, at(now));
    release(&host, schedule);
    host
}

fn release(host: &Sim, schedule: &str) {
    let compiled = compiled(&pipeline(schedule));
    let clock = host.world().clock.clone();
    let reply = clock.block_on(deploy(host, &compiled, made(&compiled, "lake"))).unwrap();
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

/// Lets time pass, then sweeps until there is nothing more to do.
fn later(host: &Sim, now: &str) {
    let clock = host.world().clock.clone();
    clock.block_on(clock.until(at(now))).unwrap();
    while sweep(host).due > 0 {}
    clock.block_on(host.run(std::future::pending())).unwrap().unwrap();
}

fn tick(host: &Sim, moment: &str) -> String {
    let event =
        Event::Tick { pipeline: "sales".into(), schedule: "schedule-1".into(), scheduled_at: at(moment) };
    let clock = host.world().clock.clone();
    match clock.block_on(host.execute(&Command::Event(Box::new(event)))).unwrap().unwrap() {
        Reply::Ok(told) => told["became"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn pause(host: &Sim, paused: bool) {
    let pause = Pause { pipeline: "sales".into(), paused, by: None, unknown: None };
    let clock = host.world().clock.clone();
    let reply = clock.block_on(host.execute(&Command::Pause(Box::new(pause)))).unwrap().unwrap();
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

/// The ids of all runs, ascending. None is there twice, and all have ended well.
fn runs(host: &Sim) -> Vec<String> {
    let list = host.world().table.list(RUNS_LIST, "", None, 10_000);
    let clock = host.world().clock.clone();
    let items = clock.block_on(list).unwrap().unwrap().items;
    let runs = items.iter().map(|item| RunRecord::from_item(item).unwrap());
    let mut ids: Vec<String> = runs
        .map(|run| {
            assert_eq!((run.status, run.generation), (RunStatus::Success, 1), "{}", run.run);
            run.run.run_id
        })
        .collect();
    ids.sort();
    ids
}

/// What became of the ticks of a day, by their moment.
fn ledger(host: &Sim, day: &str) -> BTreeMap<String, Vec<Became>> {
    let partition = format!("ledger#{day}");
    let page = host.world().table.query(&partition, "", None, 10_000);
    let clock = host.world().clock.clone();
    let mut found: BTreeMap<String, Vec<Became>> = BTreeMap::new();
    for item in clock.block_on(page).unwrap().unwrap().items {
        let entry = LedgerRecord::from_item(&item).unwrap();
        found.entry(entry.at.to_string()).or_default().push(entry.became);
    }
    found
}

#[test]
fn a_tick_that_nobody_tells_of_is_a_run_after_a_while_and_one_that_was_told_stays_one() {
    let host = deployed("\"0 2 * * *\"", Patience::SCHEDULER, "1997-01-05T12:00:00Z");
    // Two minutes are left to whoever else tells of it.
    later(&host, "1997-01-06T02:01:59Z");
    assert_eq!(runs(&host), Vec::<String>::new());
    later(&host, "1997-01-06T02:02:00Z");
    assert_eq!(runs(&host), ["1997-01-05"]);
    assert_eq!(tick(&host, "1997-01-06T02:00:00Z"), "duplicate");
    let clock = host.world().clock.clone();
    clock.block_on(clock.until(at("1997-01-07T02:00:01Z"))).unwrap();
    assert_eq!(tick(&host, "1997-01-07T02:00:00Z"), "run");
    later(&host, "1997-01-07T02:10:00Z");
    assert_eq!(runs(&host), ["1997-01-05", "1997-01-06"]);
    let told = ledger(&host, "1997-01-07");
    assert_eq!(told.into_values().collect::<Vec<_>>(), [vec![Became::Run]], "the sweep adds nothing");
}

#[test]
fn after_an_outage_each_tick_is_made_up_for_or_missed_as_catchup_says() {
    for (catchup, made_up) in [("none", 0), ("last", 1), ("3", 3), ("all", 47)] {
        let schedule = format!("{{cron: \"0 * * * *\", catchup: {catchup}}}");
        let host = deployed(&schedule, Patience::SCHEDULER, "1997-01-06T00:30:00Z");
        later(&host, "1997-01-07T23:59:00Z");
        assert_eq!(runs(&host).len(), made_up, "{catchup}");
        let mut all = ledger(&host, "1997-01-06");
        all.extend(ledger(&host, "1997-01-07"));
        assert_eq!(all.len(), 47, "{catchup}: every tick of two days has its entry");
        assert!(all.values().all(|became| became.len() == 1), "{catchup}: {all:?}");
        let missed = all.values().filter(|became| became[0] == Became::Missed).count();
        assert_eq!(missed, 47 - made_up, "{catchup}");
        // And the next one is on time again.
        later(&host, "1997-01-08T00:02:00Z");
        assert_eq!(runs(&host).len(), made_up + 1, "{catchup}");
    }
}

#[test]
fn more_ticks_than_one_decision_takes_are_all_accounted_for() {
    let host = deployed("{rate: 5m, catchup: 2}", Patience::SCHEDULER, "1997-01-06T00:02:00Z");
    later(&host, "1997-01-06T20:57:00Z");
    // Three are less than a quarter of an hour late, so they are on time.
    assert_eq!(runs(&host), ["1997-01-06T2040Z", "1997-01-06T2045Z", "1997-01-06T2050Z"]);
    assert_eq!(ledger(&host, "1997-01-06").len(), 21 * 12 - 1);
}

#[test]
fn a_tick_that_a_clock_change_moves_is_fired_by_the_sweep() {
    // On 9 March 2025 clocks in New York go from 02:00 to 03:00: Scheduler is silent.
    let schedule = "{cron: \"30 2 * * *\", timezone: America/New_York}";
    let host = deployed(schedule, Patience::SCHEDULER, "2025-03-08T12:00:00Z");
    later(&host, "2025-03-09T07:01:00Z");
    assert_eq!(runs(&host), Vec::<String>::new());
    later(&host, "2025-03-09T07:05:00Z");
    assert_eq!(runs(&host), ["2025-03-08"]);
    let skipping = "{cron: \"30 2 * * *\", timezone: America/New_York, dst_gap: skip}";
    let host = deployed(skipping, Patience::SCHEDULER, "2025-03-08T12:00:00Z");
    later(&host, "2025-03-09T12:00:00Z");
    assert_eq!(runs(&host), Vec::<String>::new());
}

#[test]
fn ticks_of_a_pause_wait_for_its_end_and_catchup_decides_then() {
    for (catchup, made_up) in [("none", 0), ("last", 1), ("all", 3)] {
        let schedule = format!("{{cron: \"0 2 * * *\", catchup: {catchup}}}");
        let host = deployed(&schedule, Patience::SCHEDULER, "1997-01-05T12:00:00Z");
        pause(&host, true);
        assert_eq!(tick(&host, "1997-01-06T02:00:00Z"), "paused");
        later(&host, "1997-01-08T12:00:00Z");
        assert_eq!(runs(&host), Vec::<String>::new(), "{catchup}");
        pause(&host, false);
        later(&host, "1997-01-08T12:00:01Z");
        assert_eq!(runs(&host).len(), made_up, "{catchup}");
        let sixth = ledger(&host, "1997-01-06").into_values().next().unwrap();
        assert_eq!(sixth, [if made_up == 3 { Became::Run } else { Became::Missed }], "{catchup}");
    }
}

#[test]
fn a_schedule_that_a_deployment_brings_makes_up_for_nothing_before_it() {
    let daily = "{cron: \"0 2 * * *\", catchup: all}";
    let host = deployed(daily, Patience::SCHEDULER, "1997-01-05T12:00:00Z");
    let clock = host.world().clock.clone();
    clock.block_on(clock.until(at("1997-01-07T12:00:00Z"))).unwrap();
    // The daily one goes on where it was, the hourly one begins.
    release(&host, &format!("[{daily}, {{cron: \"30 * * * *\", catchup: all}}]"));
    later(&host, "1997-01-07T12:33:00Z");
    let told = [ledger(&host, "1997-01-06"), ledger(&host, "1997-01-07")];
    assert_eq!(told[0].keys().collect::<Vec<_>>(), ["1997-01-06T02:00:00.000000Z"]);
    assert_eq!(
        told[1].keys().collect::<Vec<_>>(),
        ["1997-01-07T02:00:00.000000Z", "1997-01-07T12:30:00.000000Z"]
    );
    // Without schedules nothing is due any more.
    release(&host, "[]");
    later(&host, "1997-01-09T12:00:00Z");
    assert!(ledger(&host, "1997-01-08").is_empty());
}

#[test]
fn a_calendar_closes_ticks_and_opens_what_scheduler_does_not_know() {
    let project =
        b"calendars: {exchange: {weekdays: mon-fri, timezone: America/New_York, hours: \"09:30-16:00\", \
                    without: [2026-11-26], special: {2026-11-27: \"09:30-13:00\"}}}";
    let (project, problems) = cauce_spec::check_project(project);
    let project = project.unwrap_or_else(|| panic!("{problems:?}"));
    let compiled = compiled_in(&pipeline("{close: 15m, calendar: exchange, data_interval: none}"), &project);
    let host = new(Patience::SCHEDULER, at("2026-11-25T12:00:00Z"));
    let clock = host.world().clock.clone();
    clock.block_on(deploy(&host, &compiled, made(&compiled, "lake"))).unwrap();
    // Scheduler ticks on each working day at 16:15, the sweep finds the short day.
    for (moment, became) in [
        ("2026-11-25T21:15:00Z", "run"),
        ("2026-11-26T21:15:00Z", "closed"),
        ("2026-11-27T21:15:00Z", "closed"),
        ("2026-11-30T21:15:00Z", "run"),
    ] {
        later(&host, moment);
        assert_eq!(tick(&host, moment), became, "{moment}");
        later(&host, &moment.replace(":15:00Z", ":20:00Z"));
    }
    assert_eq!(runs(&host), ["2026-11-25", "2026-11-27", "2026-11-30"]);
}

#[test]
fn a_tick_outside_off_peak_hours_is_a_run_when_they_begin_and_keeps_its_data() {
    let schedule =
        "{cron: \"0 */6 * * *\", timezone: Europe/Madrid, catchup: none, off_peak: \"22:00-06:00\"}";
    for patience in [Patience::SCHEDULER, Patience::ALONE] {
        let host = deployed(schedule, patience, "2026-01-07T08:00:00Z");
        // 12:00 and 18:00 in Madrid. On AWS somebody tells of them, here nobody does.
        for moment in ["2026-01-07T11:00:00Z", "2026-01-07T17:00:00Z"] {
            later(&host, moment);
            if patience == Patience::SCHEDULER {
                assert_eq!(tick(&host, moment), "waiting");
                assert_eq!(tick(&host, moment), "waiting", "told twice");
            }
        }
        later(&host, "2026-01-07T20:59:59Z");
        assert_eq!(runs(&host), Vec::<String>::new());
        later(&host, "2026-01-07T21:00:00Z");
        assert_eq!(runs(&host), ["2026-01-07T0500Z", "2026-01-07T1100Z"]);
        assert_eq!(
            ledger(&host, "2026-01-07").into_values().collect::<Vec<_>>(),
            vec![vec![Became::Run]; 2],
            "each tick once"
        );
        // Midnight is off-peak: its tick waits for nothing but for who tells of it.
        let alone = patience == Patience::ALONE;
        later(&host, if alone { "2026-01-07T23:00:00Z" } else { "2026-01-07T23:02:00Z" });
        assert_eq!(runs(&host).len(), 3);
    }
}

#[test]
fn a_deadline_counts_from_the_beginning_of_off_peak_hours() {
    let host = new(Patience::ALONE, at("2026-01-07T08:00:00Z"));
    let text = pipeline("{cron: \"0 18 * * *\", off_peak: \"22:00-06:00\"}\ndeadline: 6h");
    let compiled = compiled(&text);
    let clock = host.world().clock.clone();
    clock.block_on(deploy(&host, &compiled, made(&compiled, "lake"))).unwrap();
    clock.block_on(clock.until(at("2026-01-07T22:00:00Z"))).unwrap();
    sweep(&host);
    let page = clock.block_on(host.world().table.list(RUNS_LIST, "", None, 10)).unwrap().unwrap();
    let deadlines = page.items.iter().map(|item| RunRecord::from_item(item).unwrap().deadline_at);
    assert_eq!(deadlines.collect::<Vec<_>>(), [Some(at("2026-01-08T04:00:00Z"))]);
}

#[test]
fn a_schedule_that_waits_holds_no_other_back() {
    let host = deployed(
        "[{cron: \"0 12 * * *\", off_peak: \"22:00-06:00\"}, {cron: \"30 * * * *\"}]",
        Patience::ALONE,
        "2026-01-07T11:45:00Z",
    );
    later(&host, "2026-01-07T14:31:00Z");
    let told: Vec<_> = ledger(&host, "2026-01-07").into_keys().collect();
    let hourly = ["12:30", "13:30", "14:30"].map(|time| format!("2026-01-07T{time}:00.000000Z"));
    assert_eq!(told, hourly);
    later(&host, "2026-01-07T22:00:00Z");
    assert!(ledger(&host, "2026-01-07").contains_key("2026-01-07T12:00:00.000000Z"));
}

#[test]
fn jitter_delays_every_run_of_a_pipeline_by_the_same_time_and_on_aws_leaves_the_window_to_scheduler() {
    let schedule = "{cron: \"0 * * * *\", jitter: 30m, catchup: none}";
    let host = deployed(schedule, Patience::ALONE, "2026-01-07T00:30:00Z");
    let clock = host.world().clock.clone();
    let started = |host: &Sim| {
        let page = host.world().table.list(RUNS_LIST, "", None, 100);
        let runs = clock.block_on(page).unwrap().unwrap().items;
        let runs = runs.iter().map(|item| RunRecord::from_item(item).unwrap());
        runs.map(|run| run.created_at.micros_since(run.data_interval_end)).collect::<Vec<_>>()
    };
    for minute in 30..6 * 60 {
        later(&host, &format!("2026-01-07T{:02}:{:02}:00Z", minute / 60, minute % 60));
    }
    let delays = started(&host);
    assert_eq!(delays.len(), 5);
    assert!(delays[0] > 0 && delays[0] < 30 * 60_000_000 + 60_000_000, "{delays:?}");
    assert!(delays.iter().all(|delay| *delay == delays[0]), "{delays:?}");
    // Scheduler tells of a tick at any moment of its window: the sweep leaves it the whole of it.
    let host = deployed(schedule, Patience::SCHEDULER, "2026-01-07T00:30:00Z");
    later(&host, "2026-01-07T01:31:59Z");
    assert_eq!(runs(&host), Vec::<String>::new());
    later(&host, "2026-01-07T01:32:00Z");
    assert_eq!(runs(&host), ["2026-01-07T0000Z"]);
}

#[test]
fn a_sweep_that_dies_at_any_call_loses_no_tick_and_doubles_none() {
    let compiled = compiled(&pipeline("{cron: \"0 * * * *\", catchup: all}"));
    for moment in [Moment::Before, Moment::After] {
        let mut calls = 0;
        while sweep_dies(&compiled, calls + 1, moment) {
            calls += 1;
        }
        assert!(calls > 10, "the sweep made {calls} calls");
    }
}

/// A sweep that makes up for four ticks dies at its n-th call of the store, and another follows. Whether
/// there was such a call.
fn sweep_dies(compiled: &Compiled, call: u64, moment: Moment) -> bool {
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    let now = at("1997-01-06T00:30:00Z");
    let world = Simulated::new(table, MemoryObjects::default(), script(json!({}), json!({})), now);
    let host = host_under(world, Patience::SCHEDULER);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            host.load(&deployment(compiled)).await.unwrap();
            let plan = "s3://state/documents/staged/sales.json".to_owned();
            let bytes = serde_json::to_vec(&compiled.plan).unwrap();
            host.world().objects.put(&plan, &bytes).await.unwrap();
            let request = Deploy {
                plan,
                deployment: made(compiled, "lake"),
                canary: None,
                new_paused: false,
                by: None,
            };
            host.execute(&Command::Deploy(Box::new(request))).await.unwrap();
            clock.until(at("1997-01-06T04:05:00Z")).await;
            faults.crash_at(faults.calls() + call, moment);
            let died = faults.survive(host.driver().sweep(&Budget::default())).await.is_err();
            faults.revive();
            // A run that was written and not started is left alone for a while: somebody may be about to.
            clock.until(at("1997-01-06T04:40:00Z")).await;
            let nothing = SweepReport { complete: true, ..SweepReport::default() };
            while host.driver().sweep(&Budget::default()).await.unwrap() != nothing {
                host.run(std::future::pending()).await.unwrap();
            }
            host.run(std::future::pending()).await.unwrap();
            let items = host.world().table.list(RUNS_LIST, "", None, 100).await.unwrap().items;
            let runs: Vec<RunRecord> = items.iter().map(|item| RunRecord::from_item(item).unwrap()).collect();
            assert_eq!(runs.len(), 4, "after a crash {moment:?} call {call}");
            for run in &runs {
                assert_eq!((run.status, run.generation), (RunStatus::Success, 1), "{moment:?} call {call}");
            }
            died
        })
        .unwrap()
}
