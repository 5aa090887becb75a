//! What becomes of a new run that finds as many let in as may be: `overlap`.

use crate::world::{Ended, Sim, by_hand, compiled, deployment, epoch, host, read, script};
use cauce_compiler::Compiled;
use cauce_engine::Command;
use cauce_engine::command::{Again, Existing, Trigger};
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::{RunKey, RunStatus, TriggerKind};
use cauce_testkit::faulty::{Faults, Faulty, Rates};
use serde_json::json;

fn pipeline(overlap: &str) -> Compiled {
    compiled(&format!(
        "pipeline: p\nmax_active_runs: 1\noverlap: {overlap}\ntasks: {{work: {{container: {{image: x, command: [run]}}}}}}\n"
    ))
}

/// Has these come at these seconds, and runs until all have ended.
fn come(compiled: &Compiled, faults: &Faults, rates: Rates, come: Vec<(u64, Trigger)>) -> Vec<Ended> {
    let programs = script(json!({"work": 100}), json!({}));
    let host: Sim<Faulty<MemoryTable>> =
        host(Faulty::new(MemoryTable::new(), faults), MemoryObjects::default(), programs, epoch());
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            host.deploy(&deployment(compiled)).await.unwrap();
            let keys: Vec<RunKey> =
                come.iter().map(|(_, trigger)| RunKey::new("p", &trigger.run_id)).collect();
            let mut come = come.into_iter();
            let (_, first) = come.next().unwrap();
            ask(&host, first, faults, rates).await;
            let others = async {
                for (at, trigger) in come {
                    clock.until(epoch().plus_seconds(at)).await;
                    ask(&host, trigger, faults, rates).await;
                }
            };
            let (ran, ()) = futures_util::join!(host.run(std::future::pending()), others);
            ran.unwrap();
            faults.set_rates(Rates::default());
            let mut ended = Vec::new();
            for key in &keys {
                ended.push(read(&host, key).await);
            }
            ended
        })
        .unwrap()
}

/// A request is a person's, who would ask again: faults come after it.
async fn ask(host: &Sim<Faulty<MemoryTable>>, trigger: Trigger, faults: &Faults, rates: Rates) {
    faults.set_rates(Rates::default());
    host.execute(&Command::Trigger(Box::new(trigger))).await.unwrap();
    faults.set_rates(rates);
}

fn statuses(ended: &[Ended]) -> Vec<RunStatus> {
    ended.iter().map(|ended| ended.run.status).collect()
}

#[test]
fn a_run_that_finds_another_is_skipped_and_says_so_but_not_one_that_somebody_asks_for() {
    use RunStatus::{Skipped, Success};
    let compiled = pipeline("skip");
    let backfill = {
        let mut trigger = by_hand(&compiled, "b");
        trigger.trigger.kind = TriggerKind::Backfill;
        trigger
    };
    let runs = vec![(0, by_hand(&compiled, "r1")), (10, by_hand(&compiled, "r2")), (20, backfill)];
    let ended = come(&compiled, &Faults::none(), Rates::default(), runs);
    assert_eq!(statuses(&ended), [Success, Skipped, Success]);
    assert!(ended[1].tasks.is_empty());
    let message = ended[1].run.message.as_deref().unwrap();
    assert_eq!(message, "1 run of p was let in when it came (max_active_runs), and overlap is skip");
    // The one that was skipped is asked for once more: its next generation waits like any other.
    let again = Trigger { params: None, existing: Existing::Next(Again::All), ..by_hand(&compiled, "r1") };
    let runs = vec![(0, by_hand(&compiled, "r2")), (10, by_hand(&compiled, "r1")), (20, again)];
    assert_eq!(
        statuses(&come(&compiled, &Faults::none(), Rates::default(), runs)),
        [Success, Success, Success]
    );
}

#[test]
fn the_newest_run_takes_the_place_of_those_before_it() {
    use RunStatus::{Cancelled, Success};
    let compiled = pipeline("cancel_previous");
    let runs = || {
        vec![(0, by_hand(&compiled, "r1")), (10, by_hand(&compiled, "r2")), (10, by_hand(&compiled, "r3"))]
    };
    let rates = Rates { throttled: 60, conflict: 60, lost_before: 40, lost_after: 60, stale: 0 };
    for seed in crate::seeds::of("the_newest_run_takes_the_place_of_those_before_it", 100) {
        let faults = Faults::seeded(seed, Rates::default());
        let rates = if seed == 0 { Rates::default() } else { rates };
        let ended = come(&compiled, &faults, rates, runs());
        assert_eq!(
            statuses(&ended),
            [Cancelled, Cancelled, Success],
            "seed {seed}: {:?}",
            ended[1].reasons()
        );
        let cancel = ended[0].run.cancel.as_ref().unwrap();
        assert!(cancel.reason.ends_with("takes its place (overlap: cancel_previous)"), "{}", cancel.reason);
        assert_eq!(cancel.by.as_deref(), Some("overlap"));
        if seed == 0 {
            assert_eq!(ended[2].started("work").last(), Some(&10.0), "it starts at once");
        }
    }
}

#[test]
fn a_backfill_is_cancelled_for_no_newer_run() {
    use RunStatus::Success;
    let compiled = pipeline("cancel_previous");
    let mut backfill = by_hand(&compiled, "b");
    backfill.trigger.kind = TriggerKind::Backfill;
    let runs = vec![(0, backfill), (10, by_hand(&compiled, "r1"))];
    assert_eq!(statuses(&come(&compiled, &Faults::none(), Rates::default(), runs)), [Success, Success]);
}

#[test]
fn a_further_generation_stands_in_line_since_it_was_asked_for() {
    let compiled = pipeline("queue");
    let again = |run: &str| {
        let existing = Existing::Next(Again::All);
        Trigger { params: None, existing, ..by_hand(&compiled, run) }
    };
    // Made from the last to the first, and wanted again from the first to the last, with a new one between them.
    let first = [(0, "day3"), (10, "day2"), (20, "day1"), (250, "busy")];
    let mut runs: Vec<(u64, Trigger)> =
        first.into_iter().map(|(at, run)| (at, by_hand(&compiled, run))).collect();
    runs.extend([(310, again("day1")), (315, by_hand(&compiled, "new"))]);
    runs.extend([(320, again("day2")), (330, again("day3"))]);
    let ended = come(&compiled, &Faults::none(), Rates::default(), runs);
    let started = |run: &str| {
        let ended = ended.iter().find(|ended| ended.run.run.run_id == run).unwrap();
        ended.run.started_at.unwrap().micros_since(epoch()) / 1_000_000
    };
    let order = ["busy", "day1", "new", "day2", "day3"].map(started);
    assert_eq!(order, [300, 400, 500, 600, 700], "in the order in which they were asked for");
}

#[test]
fn a_run_that_is_resumed_keeps_its_place_in_line() {
    let compiled = pipeline("queue");
    let resume = Trigger { params: None, existing: Existing::Resume, ..by_hand(&compiled, "first") };
    let runs = vec![
        (0, by_hand(&compiled, "busy")),
        (10, by_hand(&compiled, "first")),
        (20, by_hand(&compiled, "second")),
        (30, resume),
    ];
    let ended = come(&compiled, &Faults::none(), Rates::default(), runs);
    let started = |ended: &Ended| ended.run.started_at.unwrap().micros_since(epoch()) / 1_000_000;
    assert_eq!(ended[1].run.generation, 2);
    assert_eq!(ended[..3].iter().map(started).collect::<Vec<_>>(), [0, 100, 200]);
}
