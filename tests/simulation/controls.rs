//! Breakers, rate limits and idempotency keys, shared by pipelines, with a store that loses replies.

use crate::world::{Ended, by_hand, compiled_in, deployment, epoch, host, read, script};
use cauce_compiler::Compiled;
use cauce_engine::Command;
use cauce_engine::command::{Again, Existing, Trigger};
use cauce_host::simulation::{MemoryObjects, Script};
use cauce_local::memory::MemoryTable;
use cauce_model::control::{BreakerRecord, IdempotencyRecord, breaker_item, idempotency_item};
use cauce_model::record::Record;
use cauce_model::{Instant, Json, RunKey, TriggerKind};
use cauce_ports::{Clock as _, Table};
use cauce_spec::Project;
use cauce_testkit::faulty::{Faults, Faulty, Rates};
use serde_json::json;

type Sim = crate::world::Sim<Faulty<MemoryTable>, MemoryObjects>;

const PROJECT: &str = "
images: {x: {local: []}}
pools: {wide: 50, one: 1}
breakers: {erp: {threshold: 3, window: 60s, reset_after: 100s}}
rate_limits: {sec: {tokens: 10, per: 60s}, bursty: {tokens: 10, per: 60s, burst: 5}}
";

pub(crate) fn project() -> Project {
    let (project, problems) = cauce_spec::check_project(PROJECT.as_bytes());
    project.unwrap_or_else(|| panic!("{problems:?}"))
}

/// A host with the project's controls and these pipelines.
fn world(pipelines: &[&Compiled], script: Script, faults: &Faults) -> Sim {
    world_of(Faulty::new(MemoryTable::new(), faults), pipelines, script)
}

/// The same on any table.
pub(crate) fn world_of<T: Table + 'static>(
    table: T,
    pipelines: &[&Compiled],
    script: Script,
) -> crate::world::Sim<T> {
    let host = host(table, MemoryObjects::default(), script, epoch());
    let project = project();
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let pools = project.pools.iter().map(|(name, pool)| (name.to_string(), pool.slots));
            host.execute(&Command::Resize { pools: pools.collect() }).await.unwrap();
            host.execute(&Command::Define(Box::new(project.controls()))).await.unwrap();
            for compiled in pipelines {
                host.deploy(&deployment(compiled)).await.unwrap();
            }
        })
        .unwrap();
    host
}

/// Starts these runs at once, and runs until all have ended.
pub(crate) fn all(host: &Sim, triggers: Vec<Trigger>, faults: &Faults, rates: Rates) -> Vec<Ended> {
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            let keys: Vec<RunKey> =
                triggers.iter().map(|trigger| RunKey::new(&trigger.pipeline, &trigger.run_id)).collect();
            for trigger in triggers {
                host.execute(&Command::Trigger(Box::new(trigger))).await.unwrap();
            }
            faults.set_rates(rates);
            host.run(std::future::pending()).await.unwrap();
            faults.set_rates(Rates::default());
            let mut ended = Vec::new();
            for key in &keys {
                ended.push(read(host, key).await);
            }
            ended
        })
        .unwrap()
}

fn runs(compiled: &Compiled, names: std::ops::Range<u32>) -> Vec<Trigger> {
    names.map(|number| by_hand(compiled, &format!("r{number:03}"))).collect()
}

fn faulty() -> Rates {
    Rates { throttled: 60, conflict: 60, lost_before: 40, lost_after: 60, stale: 0 }
}

fn seconds(at: Instant) -> f64 {
    at.micros_since(epoch()) as f64 / 1e6
}

/// The most that lies in any half-open stretch of so many seconds.
pub(crate) fn most_within(stretch: f64, times: &mut [f64]) -> usize {
    times.sort_by(f64::total_cmp);
    let within = |from: &f64| times.iter().filter(|at| *from <= **at && **at < from + stretch).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[test]
fn one_that_wants_more_than_a_rate_limit_gives_at_once_fails_and_costs_nobody_anything() {
    let wants = |name: &str, tokens: u32| {
        let (generous, problems) =
            cauce_spec::check_project(PROJECT.replace("sec: {tokens: 10", "sec: {tokens: 100").as_bytes());
        let yaml = format!(
            "pipeline: {name}\ntasks: {{call: {{container: {{image: x, command: [run]}}, pools: {{one: 1}}, \
             rate_limit: {{name: sec, tokens: {tokens}}}}}}}\n"
        );
        compiled_in(&yaml, &generous.unwrap_or_else(|| panic!("{problems:?}")))
    };
    // The limit has become smaller since they were compiled.
    let (greedy, modest) = (wants("greedy", 11), wants("modest", 10));
    let host = world(&[&greedy, &modest], script(json!({"call": 1}), json!({})), &Faults::none());
    let ended = all(&host, runs(&greedy, 0..1), &Faults::none(), Rates::default());
    let call = &ended[0].tasks["call"];
    assert_eq!((call.status.as_str(), call.attempts.len()), ("failed", 0), "{:?}", ended[0].reasons());
    let reason = call.reason.as_deref().unwrap_or_default();
    assert!(
        reason.contains("asks for 11 tokens of the rate limit 'sec', which gives 10 at once"),
        "{reason}"
    );
    let asked_at = seconds(host.world().clock.now());
    let ended = all(&host, runs(&modest, 0..1), &Faults::none(), Rates::default());
    assert_eq!(ended[0].run.status.as_str(), "success", "{:?}", ended[0].reasons());
    assert_eq!(seconds(ended[0].ran[0].started_at), asked_at);
}

#[test]
fn a_rate_limit_holds_over_pipelines_in_every_stretch_of_its_time() {
    let pipeline = |name: &str, limit: &str, pool: &str| {
        format!(
            "pipeline: {name}\nmax_active_runs: 100\ntasks:\n  call: {{container: {{image: x, command: [run]}}, \
             rate_limit: {limit}, pools: {{{pool}}}}}\n"
        )
    };
    for (limit, most) in [("sec", 10), ("bursty", 14)] {
        let left = compiled_in(&pipeline("left", limit, "wide: 1"), &project());
        let right = compiled_in(&pipeline("right", limit, ""), &project());
        for seed in crate::seeds::of("a_rate_limit_holds_over_pipelines_in_every_stretch_of_its_time", 5) {
            let faults = Faults::seeded(seed, Rates::default());
            let host = world(&[&left, &right], script(json!({"call": 2}), json!({})), &faults);
            let triggers = runs(&left, 0..12).into_iter().chain(runs(&right, 0..12)).collect();
            let is_faulty = seed > 0;
            let rates = if is_faulty { faulty() } else { Rates::default() };
            let ended = all(&host, triggers, &faults, rates);
            for run in &ended {
                assert_eq!(run.run.status.as_str(), "success", "{limit} {seed}: {:?}", run.reasons());
            }
            let mut times: Vec<f64> = ended[0].ran.iter().map(|ran| seconds(ran.started_at)).collect();
            assert_eq!(times.len(), 24);
            let found = most_within(60.0, &mut times);
            // The starts that are reserved keep the limit; under faults one may start late, and then the
            // stretch that begins with it holds one more.
            let most = if is_faulty { most + 1 } else { most };
            assert!(found <= most, "{limit} {seed}: {found} within a minute: {times:?}");
            // A lost reply costs a place, so with faults it takes longer, but not for ever.
            assert!(times[23] >= if limit == "sec" { 138.0 } else { 114.0 }, "{times:?}");
            assert!(times[23] < 300.0, "{limit} {seed}: {times:?}");
        }
    }
}

#[test]
fn without_faults_an_idle_limit_costs_nothing_and_a_busy_one_waits_once() {
    let yaml = "pipeline: p\nmax_active_runs: 9\ntasks: {call: {container: {image: x, command: [run]}, rate_limit: \
                {name: sec, tokens: 2}}}\n";
    let compiled = compiled_in(yaml, &project());
    let faults = Faults::none();
    let host = world(&[&compiled], script(json!({"call": 1}), json!({})), &faults);
    let ended = all(&host, runs(&compiled, 0..4), &faults, Rates::default());
    let mut times: Vec<f64> = ended[0].ran.iter().map(|ran| seconds(ran.started_at)).collect();
    times.sort_by(f64::total_cmp);
    assert_eq!(times, [0.0, 12.0, 24.0, 36.0]);
    let waits = ended[3].tasks["call"].queued_at;
    assert_eq!(waits, Some(epoch()), "it says since when it waits");
}

const ERP: &str = "
pipeline: orders
max_active_runs: 50
tasks:
  call: {container: {image: x, command: [run]}, breaker: {name: erp, on_open: ON_OPEN},
         pools: {wide: 1}, retry: {retries: 3, delay: 10s, jitter: 0}}
";

async fn breaker(host: &Sim) -> BreakerRecord {
    let item = host.world().table.get(&breaker_item("erp")).await.unwrap().unwrap();
    BreakerRecord::from_item(&item).unwrap()
}

/// Fails until this many attempts have failed, over all runs.
fn broken_for(attempts: usize) -> Json {
    let mut outcomes = vec![json!(1); attempts];
    outcomes.push(json!("success"));
    json!({ "call": outcomes })
}

#[test]
fn a_breaker_opens_lets_one_attempt_through_and_closes() {
    let compiled = compiled_in(&ERP.replace("ON_OPEN", "wait"), &project());
    let faults = Faults::none();
    // Each run's first two attempts fail: six runs make three failures at once.
    let host = world(&[&compiled], script(json!({"call": 5}), broken_for(2)), &faults);
    let ended = all(&host, runs(&compiled, 0..6), &faults, Rates::default());
    for run in &ended {
        assert_eq!(run.run.status.as_str(), "success", "{:?}", run.reasons());
    }
    let attempts = ended[0].ran.iter().map(|ran| Attempt {
        start: seconds(ran.started_at),
        end: seconds(ran.started_at) + 5.0,
        is_bad: ran.attempt <= 2,
    });
    let opened = replayed(attempts.collect());
    let record = host.world().clock.clone().block_on(breaker(&host)).unwrap();
    assert_eq!((record.open, record.opened), (None, opened));
    assert!(opened >= 1);
}

struct Attempt {
    start: f64,
    end: f64,
    is_bad: bool,
}

/// What the breaker `erp` is, by its definition alone.
enum Model {
    Closed { failures: Vec<f64> },
    Open { until: f64 },
    HalfOpen { probe: usize },
}

/// Replays attempts against the definition: none starts while it is open, and one alone while it is
/// half-open. Returns how often it opened.
fn replayed(attempts: Vec<Attempt>) -> u64 {
    let mut events: Vec<(f64, bool, usize)> = Vec::new();
    for (number, attempt) in attempts.iter().enumerate() {
        events.push((attempt.start, true, number));
        events.push((attempt.end, false, number));
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut model, mut opened) = (Model::Closed { failures: Vec::new() }, 0);
    for (at, starts, number) in events {
        let is_bad = attempts[number].is_bad;
        model = match model {
            Model::Open { until } if starts => {
                assert!(at >= until, "one started at {at}, while it was open until {until}");
                Model::HalfOpen { probe: number }
            }
            Model::HalfOpen { probe } if starts => panic!("{number} started at {at} beside {probe}"),
            Model::HalfOpen { probe } if probe == number && is_bad => Model::Open { until: at + 100.0 },
            Model::HalfOpen { probe } if probe == number => Model::Closed { failures: Vec::new() },
            Model::Closed { mut failures } if !starts && is_bad => {
                failures.retain(|failed| at - failed <= 60.0);
                failures.push(at);
                if failures.len() < 3 {
                    Model::Closed { failures }
                } else {
                    opened += 1;
                    Model::Open { until: at + 100.0 }
                }
            }
            other => other,
        };
    }
    assert!(matches!(model, Model::Closed { .. }), "in the end it is closed");
    opened
}

#[test]
fn a_breaker_under_faults_lets_no_two_through_and_everybody_ends() {
    let compiled = compiled_in(&ERP.replace("ON_OPEN", "wait"), &project());
    for seed in crate::seeds::of("a_breaker_under_faults_lets_no_two_through_and_everybody_ends", 10) {
        let faults = Faults::seeded(seed, Rates::default());
        let host = world(&[&compiled], script(json!({"call": 5}), broken_for(1)), &faults);
        let ended = all(&host, runs(&compiled, 0..8), &faults, faulty());
        for run in &ended {
            assert_eq!(run.run.status.as_str(), "success", "seed {seed}: {:?}", run.reasons());
        }
        // Each run fails once at 0; from then on one is let through at a time until it has done its work,
        // which takes 5 s. Nobody starts in between.
        let mut times: Vec<f64> = ended[0].ran.iter().map(|ran| seconds(ran.started_at)).collect();
        times.sort_by(f64::total_cmp);
        let later: Vec<f64> = times.iter().copied().filter(|at| *at > 30.0).collect();
        assert!(later[0] >= 100.0, "seed {seed}: {times:?}");
        assert!(later.get(1).is_none_or(|second| *second >= later[0] + 5.0), "seed {seed}: {times:?}");
        let clock = host.world().clock.clone();
        let (record, used) = clock
            .block_on(async {
                let pool = cauce_engine::slots::pool_item("wide");
                let pool = host.world().table.get(&pool).await.unwrap().unwrap();
                (breaker(&host).await, pool.body["used"].clone())
            })
            .unwrap();
        assert_eq!((record.open, used), (None, json!(0)), "seed {seed}");
    }
}

#[test]
fn an_open_breaker_fails_or_skips_where_that_is_wanted_and_people_open_and_reset_it() {
    for (on_open, status, retries) in [("fail", "failed", 0), ("skip", "skipped", 0), ("wait", "success", 1)]
    {
        let compiled = compiled_in(&ERP.replace("ON_OPEN", on_open), &project());
        let faults = Faults::none();
        let host = world(&[&compiled], script(json!({"call": 5}), json!({})), &faults);
        let clock = host.world().clock.clone();
        let set = |open| Command::SetBreaker { breaker: "erp".into(), open, by: Some("ana".into()) };
        clock.block_on(host.execute(&set(true))).unwrap().unwrap();
        // Somebody resets it an hour later.
        let ended = clock
            .block_on(async {
                host.execute(&Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await.unwrap();
                let reset = async {
                    clock.until(epoch().plus_seconds(3600)).await;
                    host.execute(&set(false)).await.unwrap();
                };
                let (ran, ()) = futures_util::join!(host.run(std::future::pending()), reset);
                ran.unwrap();
                read(&host, &RunKey::new("orders", "r1")).await
            })
            .unwrap();
        let call = &ended.tasks["call"];
        assert_eq!((call.status.as_str(), call.attempts.len()), (status, retries), "{:?}", ended.reasons());
        if on_open == "wait" {
            let started = seconds(call.attempts[0].started_at);
            assert!((3600.0..=4500.0).contains(&started), "{started}");
        } else {
            assert!(call.reason.as_deref().unwrap().contains("'erp' is open: ana opened it"), "{call:?}");
        }
    }
}

const ONCE: &str = "
pipeline: load
max_active_runs: 50
params: {day: {type: string, default: d1}, how: {type: string, default: x}}
tasks:
  put:
    container: {image: x, command: [run, \"{{ params.how }}\"]}
    idempotency: {key: \"{{ params.day }}\", ttl: 1h, on_duplicate: WHAT}
    returns: {rows: integer}
    pools: {one: 1}
";

pub(crate) fn day(compiled: &Compiled, run_id: &str, params: Json) -> Trigger {
    Trigger { params: Some(params), ..by_hand(compiled, run_id) }
}

pub(crate) fn once(what: &str) -> Compiled {
    compiled_in(&ONCE.replace("WHAT", what), &project())
}

pub(crate) fn rows() -> Script {
    script(json!({"put": 5}), json!({"put": [{"status": "success", "output": {"rows": 7}}]}))
}

#[test]
fn the_same_request_is_done_once_however_many_ask_at_once() {
    // With room for one at a time, and for all.
    let narrow = once("reuse");
    let wide = compiled_in(&ONCE.replace("WHAT", "reuse").replace("one: 1", "wide: 1"), &project());
    for seed in crate::seeds::of("the_same_request_is_done_once_however_many_ask_at_once", 10) {
        let compiled = if seed % 2 == 0 { wide.clone() } else { narrow.clone() };
        let faults = Faults::seeded(seed, Rates::default());
        let host = world(&[&compiled], rows(), &faults);
        let triggers = (0..9).map(|number| {
            day(&compiled, &format!("r{number}"), json!({"day": format!("d{}", number % 3), "how": "x"}))
        });
        let ended = all(&host, triggers.collect(), &faults, faulty());
        for run in &ended {
            assert_eq!(run.run.status.as_str(), "success", "seed {seed}: {:?}", run.reasons());
            let output = serde_json::to_value(&run.tasks["put"].output).unwrap();
            assert_eq!(output, json!({"inline": {"rows": 7}}), "seed {seed}: {:?}", run.reasons());
        }
        assert_eq!(ended[0].ran.len(), 3, "seed {seed}: one for each day: {:?}", ended[0].ran);
        let reused = ended.iter().filter(|run| run.tasks["put"].attempts.is_empty()).count();
        assert_eq!(reused, 6, "seed {seed}");
    }
}

/// Runs these one after the other, at these seconds, and tells how often the program ran and how each
/// ended.
fn one_by_one(what: &str, requests: Vec<(i64, Trigger)>) -> (usize, Vec<Ended>) {
    let compiled = once(what);
    let host = world(&[&compiled], rows(), &Faults::none());
    let clock = host.world().clock.clone();
    let ended = clock
        .block_on(async {
            let mut ended = Vec::new();
            for (at, trigger) in requests {
                clock.until(epoch().plus_micros(at * 1_000_000)).await;
                let key = RunKey::new(&trigger.pipeline, &trigger.run_id);
                host.execute(&Command::Trigger(Box::new(trigger))).await.unwrap();
                host.run(std::future::pending()).await.unwrap();
                ended.push(read(&host, &key).await);
            }
            ended
        })
        .unwrap();
    (ended.last().map_or(0, |last| last.ran.len()), ended)
}

#[test]
fn a_known_key_is_reused_refused_or_replaced_until_its_time_is_over() {
    let ask = |what: &str, how: &str| {
        let compiled = once(what);
        let first = day(&compiled, "a", json!({"day": "d", "how": "x"}));
        let second = day(&compiled, "b", json!({"day": "d", "how": how}));
        let late = day(&compiled, "c", json!({"day": "d", "how": how}));
        let (ran, ended) = one_by_one(what, vec![(0, first), (100, second), (4000, late)]);
        let statuses: Vec<&str> = ended.iter().map(|run| run.tasks["put"].status.as_str()).collect();
        let reason = ended[1].tasks["put"].reason.clone().unwrap_or_default();
        (ran, statuses.join(" "), reason)
    };
    let did = "idempotency: load/a did 'd' at 1997-01-06T02:00:05.000000Z";
    assert_eq!(ask("reuse", "x"), (2, "success success success".to_owned(), did.to_owned()));
    assert_eq!(ask("fail", "x"), (2, "success failed success".to_owned(), did.to_owned()));
    // What was replaced at 100 still counts at 4000 for whoever asks, who replaces it too.
    assert_eq!(ask("overwrite", "x"), (3, "success success success".to_owned(), String::new()));
    let (ran, statuses, reason) = ask("reuse", "y");
    assert_eq!((ran, statuses.as_str()), (2, "success failed success"));
    assert!(reason.contains("was used by load/a for something else"), "{reason}");
}

#[test]
fn a_rerun_and_a_backfill_execute_again_and_say_why() {
    let compiled = once("reuse");
    let first = day(&compiled, "a", json!({"day": "d", "how": "x"}));
    let mut rerun = first.clone();
    rerun.params = None;
    rerun.existing = Existing::Next(Again::All);
    let mut backfill = day(&compiled, "b", json!({"day": "d", "how": "x"}));
    backfill.trigger.kind = TriggerKind::Backfill;
    let reused = day(&compiled, "c", json!({"day": "d", "how": "x"}));
    let host = world(&[&compiled], rows(), &Faults::none());
    let clock = host.world().clock.clone();
    for (trigger, ran, why) in [
        (first, 1, None),
        (rerun, 2, Some("rerun")),
        (backfill, 3, Some("backfill")),
        (reused, 3, Some("backfill")),
    ] {
        let ended = all(&host, vec![trigger], &Faults::none(), Rates::default());
        assert_eq!(ended[0].run.status.as_str(), "success", "{:?}", ended[0].reasons());
        assert_eq!(ended[0].ran.len(), ran);
        let record = clock
            .block_on(async {
                let item = host.world().table.get(&idempotency_item("load", "put", "d")).await.unwrap();
                IdempotencyRecord::from_item(&item.unwrap()).unwrap()
            })
            .unwrap();
        assert_eq!(record.why.as_deref(), why);
        assert!(record.result.is_some());
    }
}

#[test]
fn a_text_that_is_too_long_for_a_lock_or_a_key_is_told_with_its_length_and_the_bound() {
    let yaml = "pipeline: long\nparams: {x: {type: string}}\ntasks:\n  \
                locks: {container: {image: x, command: [run]}, lock: \"{{ params.x }}\"}\n  \
                claims: {container: {image: x, command: [run]}, idempotency: \"{{ params.x }}\"}\n";
    let compiled = compiled_in(yaml, &project());
    let host = world(&[&compiled], script(json!({}), json!({})), &Faults::none());
    let trigger = day(&compiled, "r", json!({"x": "é".repeat(600)}));
    let ended = all(&host, vec![trigger], &Faults::none(), Rates::default()).remove(0);
    let reason = |task: &str| ended.tasks[task].reason.clone().unwrap_or_default();
    let told = "{{ params.x }} renders to a text of 1200 bytes; the text of a";
    assert_eq!(reason("locks"), format!("lock: {told} lock has at most 512"));
    assert_eq!(reason("claims"), format!("idempotency: {told} key has at most 1024"));
}

#[test]
fn a_claim_whose_owner_failed_stands_in_nobodys_way_and_an_empty_key_is_no_key() {
    let compiled = once("fail");
    let fails = script(json!({"put": 5}), json!({"put": [1]}));
    let host = world(&[&compiled], fails, &Faults::none());
    let ask = |name: &str, day_of: &str| {
        let trigger = day(&compiled, name, json!({"day": day_of, "how": "x"}));
        all(&host, vec![trigger], &Faults::none(), Rates::default()).remove(0)
    };
    assert_eq!(ask("a", "d").tasks["put"].attempts.len(), 1);
    assert_eq!(ask("b", "d").tasks["put"].attempts.len(), 1, "it ran, and failed by itself");
    let empty = ask("c", " ");
    assert_eq!(empty.run.status.as_str(), "failed");
    let reason = empty.tasks["put"].reason.clone().unwrap();
    assert!(reason.contains("renders to an empty text; a key needs a name"), "{reason}");
    let clock = host.world().clock.clone();
    let forget = |key: &str| Command::Forget {
        pipeline: "load".into(),
        task: "put".into(),
        key: key.into(),
        by: Some("ana".into()),
    };
    let (gone, absent, unknown) = clock
        .block_on(async {
            let gone = host.execute(&forget("d")).await.unwrap();
            let absent = host.world().table.get(&idempotency_item("load", "put", "d")).await.unwrap();
            (gone, absent, host.execute(&forget("d")).await.unwrap())
        })
        .unwrap();
    assert!(matches!(gone, cauce_engine::Reply::Ok(_)) && absent.is_none());
    assert!(matches!(unknown, cauce_engine::Reply::Failure { .. }), "{unknown:?}");
}

#[test]
fn a_result_counts_only_under_the_claim_that_stands() {
    let compiled = compiled_in(&ONCE.replace("WHAT", "overwrite").replace("one: 1", "wide: 1"), &project());
    let programs = script(json!({"put": 50}), json!({"put": [{"status": "success", "output": {"rows": 7}}]}));
    let host = world(&[&compiled], programs, &Faults::none());
    let clock = host.world().clock.clone();
    let first = day(&compiled, "a", json!({"day": "d", "how": "x"}));
    let second = day(&compiled, "b", json!({"day": "d", "how": "x"}));
    clock
        .block_on(async {
            host.execute(&Command::Trigger(Box::new(first))).await.unwrap();
            let others = async {
                clock.until(epoch().plus_seconds(10)).await;
                host.execute(&Command::Trigger(Box::new(second))).await.unwrap();
                clock.until(epoch().plus_seconds(55)).await;
                // The first has ended well, and the key is the second's.
                let first = read(&host, &RunKey::new("load", "a")).await;
                assert_eq!(first.run.status.as_str(), "success");
                let record = known(&host, "d").await;
                assert_eq!((record.run.as_str(), record.fence, record.result), ("load/b", 2, None));
                assert_eq!(record.why.as_deref(), Some("overwrite"));
            };
            let (ran, ()) = futures_util::join!(host.run(std::future::pending()), others);
            ran.unwrap();
            assert_eq!(known(&host, "d").await.result.unwrap().at, epoch().plus_seconds(60));
        })
        .unwrap();
}

async fn known(host: &Sim, key: &str) -> IdempotencyRecord {
    let item = host.world().table.get(&idempotency_item("load", "put", key)).await.unwrap();
    IdempotencyRecord::from_item(&item.unwrap()).unwrap()
}

/// Who stands in line for a slot, finds a breaker open when it is granted, and keeps nobody waiting.
#[test]
fn one_that_is_held_back_holds_nothing_and_stands_in_no_line() {
    let pipeline = |name: &str, more: &str| {
        format!(
            "pipeline: {name}\ntasks: {{call: {{container: {{image: x, command: [run]}}, pools: {{one: 1}}{more}}}}}\n"
        )
    };
    let plain = compiled_in(&pipeline("plain", ""), &project());
    let guarded = compiled_in(&pipeline("guarded", ", breaker: erp"), &project());
    let host = world(&[&plain, &guarded], script(json!({"call": 50}), json!({})), &Faults::none());
    let clock = host.world().clock.clone();
    let set = |open| Command::SetBreaker { breaker: "erp".into(), open, by: None };
    let start = |compiled: &Compiled, name: &str| Command::Trigger(Box::new(by_hand(compiled, name)));
    clock
        .block_on(async {
            host.execute(&start(&plain, "first")).await.unwrap();
            let others = async {
                clock.until(epoch().plus_seconds(1)).await;
                host.execute(&start(&guarded, "waits")).await.unwrap();
                clock.until(epoch().plus_seconds(2)).await;
                host.execute(&start(&plain, "behind")).await.unwrap();
                clock.until(epoch().plus_seconds(10)).await;
                host.execute(&set(true)).await.unwrap();
                clock.until(epoch().plus_seconds(80)).await;
                host.execute(&set(false)).await.unwrap();
            };
            let (ran, ()) = futures_util::join!(host.run(std::future::pending()), others);
            ran.unwrap();
            let mut started = Vec::new();
            for (pipeline, run) in [("plain", "behind"), ("guarded", "waits")] {
                let ended = read(&host, &RunKey::new(pipeline, run)).await;
                assert_eq!(ended.run.status.as_str(), "success", "{:?}", ended.reasons());
                started.push(seconds(ended.tasks["call"].attempts[0].started_at));
            }
            assert!(
                (50.0..52.0).contains(&started[0]),
                "the one behind it goes when there is room: {started:?}"
            );
            assert!(started[1] >= 100.0, "{started:?}");
        })
        .unwrap();
}
