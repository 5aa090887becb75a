//! Functions and engines that are lost at a call, stores that lose replies, refuse, lag and forget.

use crate::controls;
use crate::faults::{EVERYTHING, assert_no_double, die_and_resume, durations, quiet, weathered};
use crate::repair::{settle, stand, started, taken};
use crate::scenarios::Evidence;
use crate::scenarios::cloud::{Function, WEATHER};
use crate::scenarios::repairs::ravage;
use crate::world::{by_hand, compiled, deployment, epoch, host, read};
use cauce_driver::Budget;
use cauce_engine::{Command, Reply};
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::RunKey;
use cauce_ports::Clock;
use cauce_testkit::faulty::{Faults, Faulty, Moment, Rates};
use cauce_testkit::prng::Prng;
use serde_json::json;

pub(crate) fn lost_at_every_call() -> Evidence {
    let mut evidence = Evidence::default();
    let (compiled, expected) = (compiled(EVERYTHING), quiet());
    let key = RunKey::new("everything", "r1");
    let mut gave_up = 0;
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let faults = Faults::none();
            let table = Faulty::new(MemoryTable::new(), &faults);
            let host = host(table, MemoryObjects::default(), durations(), epoch());
            let clock = host.world().clock.clone();
            let ended = clock
                .block_on(async {
                    host.deploy(&deployment(&compiled)).await.unwrap();
                    let reply = host.execute(&Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await;
                    assert!(matches!(reply, Ok(Reply::Ok(_))), "{reply:?}");
                    faults.lose_at(faults.calls() + call, moment);
                    host.run(std::future::pending()).await.unwrap();
                    faults.revive();
                    read(&host, &key).await
                })
                .unwrap();
            if faults.fired().total() == 0 {
                break;
            }
            let story = format!("call {call} {moment:?}");
            assert_eq!(ended.statuses(), expected.statuses(), "{story}: {:?}", ended.reasons());
            assert_no_double(&ended.ran, &story);
            // What gives up is tried again after a pause.
            gave_up += u64::from(ended.run.ended_at != expected.run.ended_at);
            evidence.add(&faults);
            evidence.case();
        }
    }
    assert!(gave_up > 50, "{gave_up} functions gave up");
    evidence.saw("runs that ended later, since a function had given up", gave_up);
    evidence
}

fn in_weather(test: &'static str, rates: Rates) -> Evidence {
    let mut evidence = Evidence::default();
    let (count, fired) = weathered(test, 100, rates);
    (0..count).for_each(|_| evidence.case());
    evidence.fired(fired);
    evidence
}

pub(crate) fn replies_lost() -> Evidence {
    in_weather("scenario_12", Rates { lost_after: 250, ..Rates::default() })
}

pub(crate) fn throttled() -> Evidence {
    in_weather("scenario_13", Rates { throttled: 300, ..Rates::default() })
}

pub(crate) fn index_lags() -> Evidence {
    let mut evidence = Evidence::default();
    let (mut quick, mut late) = (0, 0);
    for seed in crate::seeds::of("scenario_14", 60) {
        let mut ends = [false, true].map(|lags| {
            let (host, key) = started(EVERYTHING, durations());
            ravage(&host, &key, &mut Prng::new(seed));
            // One process sweeps, as a warm function does: what it was shown before, it is shown again.
            let faults = Faults::seeded(seed, Rates::default());
            if lags {
                faults.set_rates(Rates { stale: 600, lost_after: 60, ..Rates::default() });
            }
            let function = Function::of(&host, &faults);
            let mut sweeps = 0_u32;
            while !stand(&host, &key).run.status.is_terminal() || taken(&host) > 0 {
                drop(function.sweeps(&Budget::default()));
                settle(&host);
                sweeps += 1;
                assert!(sweeps < 60, "seed {seed}: {}", stand(&host, &key).statuses());
            }
            evidence.add(&faults);
            let ended = stand(&host, &key);
            (ended.run.status, ended.statuses(), sweeps)
        });
        let after = ends[0].2;
        quick += after;
        late += ends[1].2;
        ends[0].2 = ends[1].2;
        assert_eq!(ends[0], ends[1], "seed {seed}");
        evidence.case();
    }
    assert!(late > quick, "it was never late: {late} sweeps, {quick} with an index that does not lag");
    evidence.saw("stale reads that a sweep went on from", u64::from(late - quick));
    evidence
}

/// What a day of requests comes to, where what expires is removed at once, or never.
fn forgetful(at_once: bool, seed: u64, evidence: &mut Evidence) -> Vec<(String, usize)> {
    let compiled = controls::once("reuse");
    let (faults, store) = (Faults::seeded(seed, Rates::default()), MemoryTable::new());
    let table = Faulty::new(store.clone(), &faults);
    let host = controls::world_of(table, &[&compiled], controls::rows());
    let clock = host.world().clock.clone();
    let (mut ends, mut removed) = (Vec::new(), 0);
    // The key counts for an hour from the end of what it stands for.
    for (run_id, minute) in [("a", 0), ("b", 20), ("c", 40), ("d", 130), ("e", 150), ("f", 400)] {
        clock.block_on(clock.until(epoch().plus_seconds(minute * 60))).unwrap();
        if at_once {
            removed += store.forget_expired(clock.now());
        }
        let trigger = controls::day(&compiled, run_id, json!({"day": "d", "how": "x"}));
        let ended = controls::all(&host, vec![trigger], &faults, WEATHER).remove(0);
        ends.push((ended.statuses(), ended.ran.len()));
    }
    assert_eq!(removed > 0, at_once, "{removed} items were removed");
    evidence.saw("items removed", removed as u64);
    evidence.add(&faults);
    ends
}

pub(crate) fn expiry() -> Evidence {
    let mut evidence = Evidence::default();
    for seed in crate::seeds::of("scenario_15", 30) {
        let ends = [true, false].map(|at_once| forgetful(at_once, seed, &mut evidence));
        assert_eq!(ends[0], ends[1], "seed {seed}");
        let ran: Vec<usize> = ends[0].iter().map(|(_, ran)| *ran).collect();
        assert_eq!(ran, [1, 1, 1, 2, 2, 3], "seed {seed}");
        evidence.case();
    }
    evidence
}

pub(crate) fn engine_dies() -> Evidence {
    let mut evidence = Evidence::default();
    let (compiled, expected) = (compiled(EVERYTHING), quiet().statuses());
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let story = format!("call {call} {moment:?}");
            let faults = Faults::none();
            faults.crash_at(call, moment);
            let Some(ended) = die_and_resume(&compiled, &faults, 0, &story) else { break };
            assert_eq!(ended.statuses(), expected, "{story}: {:?}", ended.reasons());
            evidence.add(&faults);
            evidence.case();
        }
    }
    evidence
}
