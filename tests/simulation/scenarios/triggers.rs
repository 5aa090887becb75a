//! What begins runs: ticks and files, told again, in any order, to functions that die.

use crate::deployments::{made, new_host};
use crate::events::{arrives, became, deployed, end_state, ledger, object};
use crate::repair::{settle, stand, tell};
use crate::scenarios::Evidence;
use crate::scenarios::cloud::{Function, at_every_call, insist};
use crate::sets::runs;
use crate::world::{Sim, compiled};
use cauce_driver::payload;
use cauce_engine::Command;
use cauce_engine::command::Event;
use cauce_model::event::{Became, Object};
use cauce_model::record::run_item;
use cauce_model::{Instant, Json, RunKey, RunStatus};
use cauce_ports::{Services, StateMachines, Table};
use cauce_testkit::faulty::Faults;
use cauce_testkit::prng::Prng;
use futures_util::future::join;
use serde_json::json;

const TICKING: &str = r#"
pipeline: sales
schedule: "0 2 * * *"
notify: {failed: [team]}
tasks:
  load: {container: {image: loader, command: [load]}}
"#;

/// Its one run.
fn key() -> RunKey {
    RunKey::new("sales", "1997-01-05")
}

fn tick() -> Command {
    let scheduled_at = Instant::parse("1997-01-06T02:00:00Z").unwrap();
    let (pipeline, schedule) = ("sales".to_owned(), "schedule-1".to_owned());
    Command::Event(Box::new(Event::Tick { pipeline, schedule, scheduled_at }))
}

fn ticking() -> Sim {
    let (host, compiled) = (new_host(), compiled(TICKING));
    host.world().clock.clone().block_on(deployed(&host, &compiled)).unwrap();
    host
}

/// The tick is told until somebody answers, everything runs to its end: it was one run, done once.
fn is_one_run(host: &Sim, prng: &mut Prng, evidence: &mut Evidence, story: &str) {
    insist(host, prng, evidence, |function| function.told(&tick()));
    assert!(settle(host), "{story}");
    let ended = stand(host, &key());
    assert_eq!((ended.run.status, ended.run.generation), (RunStatus::Success, 1), "{story}");
    assert_eq!(ended.ran.len(), 1, "{story}: {:?}", ended.ran);
    let clock = host.world().clock.clone();
    assert_eq!(clock.block_on(runs(host)).unwrap().len(), 1, "{story}");
    let entries = clock.block_on(ledger(host, "1997-01-06")).unwrap();
    let count = |became| entries.iter().filter(|entry| entry.became == became).count();
    assert_eq!(count(Became::Run), 1, "{story}: {entries:?}");
    assert_eq!(count(Became::Run) + count(Became::Duplicate), entries.len(), "{story}: {entries:?}");
    evidence.case();
}

pub(crate) fn delivered_again() -> Evidence {
    let mut evidence = Evidence::default();
    let mut prng = Prng::new(1);
    // One is stopped at each of its calls, and meanwhile another one hears of the same tick.
    for call in 1.. {
        let host = ticking();
        let (held, free) = (Faults::none(), Faults::none());
        held.hold_at(call);
        let (slow, quick) = (Function::of(&host, &held), Function::of(&host, &free));
        let meanwhile = async {
            let told = quick.work(&tick()).await;
            held.release();
            told
        };
        let told = host.world().clock.clone().block_on(join(slow.work(&tick()), meanwhile)).unwrap();
        let words = [told.0, told.1].map(|reply| became(&reply.unwrap()));
        assert!(words.iter().any(|word| word == "run"), "call {call}: {words:?}");
        is_one_run(&host, &mut prng, &mut evidence, &format!("held at call {call}"));
        if held.calls() < call {
            break;
        }
        evidence.saw("ticks told in the middle of another's work", 1);
    }
    for seed in crate::seeds::of("scenario_01", 60) {
        let mut prng = Prng::new(seed);
        let host = ticking();
        for _ in 0..1 + prng.below(4) {
            insist(&host, &mut prng, &mut evidence, |function| function.told(&tick()));
            if prng.below(3) == 0 {
                settle(&host);
            }
        }
        is_one_run(&host, &mut prng, &mut evidence, &format!("seed {seed}"));
    }
    evidence
}

/// Whether the run of the tick has an execution.
fn has_started(host: &Sim) -> bool {
    let clock = host.world().clock.clone();
    let Some(run) = clock.block_on(host.world().table.get(&run_item(&key()))).unwrap().unwrap() else {
        return false;
    };
    let name = |field: &str| run.body[field].as_str().unwrap_or_default().to_owned();
    let machines = host.driver().services().machines();
    clock.block_on(machines.describe(&name("machine"), &name("execution"))).unwrap().unwrap().is_some()
}

pub(crate) fn dies_before_the_start() -> Evidence {
    let mut evidence = Evidence::default();
    let mut prng = Prng::new(2);
    at_every_call(&tick(), ticking, |host, faults, story| {
        if !has_started(host) {
            evidence.add(faults);
            is_one_run(host, &mut prng, &mut evidence, story);
        }
    });
    evidence
}

pub(crate) fn dies_after_the_start() -> Evidence {
    let mut evidence = Evidence::default();
    let mut prng = Prng::new(3);
    let told = || {
        let host = ticking();
        tell(&host, &tick());
        host
    };
    // The first one to hear of the tick dies after the start, or the next one does.
    for scene in [&ticking as &dyn Fn() -> Sim, &told] {
        at_every_call(&tick(), scene, |host, faults, story| {
            if has_started(host) {
                evidence.add(faults);
                is_one_run(host, &mut prng, &mut evidence, story);
            }
        });
    }
    evidence
}

pub(crate) fn name_is_taken() -> Evidence {
    let mut evidence = Evidence::default();
    let mut prng = Prng::new(4);
    at_every_call(&tick(), ticking, |host, faults, story| {
        if has_started(host) {
            return;
        }
        evidence.add(faults);
        let clock = host.world().clock.clone();
        let machine = made(&compiled(TICKING), "drop").machine;
        let other = json!({"not": "ours"});
        clock
            .block_on(host.driver().services().machines().start(&machine, "1997-01-05-g1", &other))
            .unwrap()
            .unwrap();
        settle(host);
        insist(host, &mut prng, &mut evidence, |function| function.told(&tick()));
        settle(host);
        let ended = stand(host, &key());
        assert_eq!(ended.run.status, RunStatus::Failed, "{story}");
        let message = ended.run.message.unwrap();
        let said = "the execution name '1997-01-05-g1' was taken by another execution";
        assert!(message.contains(said), "{story}: {message}");
        assert_eq!(ended.ran.len(), 0, "{story}");
        evidence.saw("names taken", 1);
        evidence.case();
    });
    evidence
}

const PAIR: &str = r#"
pipeline: sales
triggers:
  - file: {bucket: "${{ env.lake }}", keys: ["in/sales {date:date}+ñ.csv", "in/clients_{date:date}.csv"],
           wait_for: all, logical_date: "{date}", min_bytes: 10}
tasks:
  load: {pass: {output: {n: "{{ trigger.events | length }}"}}}
"#;

pub(crate) fn files_shuffled() -> Evidence {
    let mut evidence = Evidence::default();
    let compiled = compiled(PAIR);
    let objects = [
        object("in/sales 1997-01-05+ñ.csv", "0055"),
        object("in/clients_19970105.csv", "0001"),
        Object { size: 9, ..object("in/clients_1997-01-09.csv", "0001") },
    ];
    let mut expected: Option<Json> = None;
    for seed in crate::seeds::of("scenario_05", 60) {
        let mut prng = Prng::new(seed);
        let host = new_host();
        let clock = host.world().clock.clone();
        clock.block_on(deployed(&host, &compiled)).unwrap();
        // The first seed is a quiet day.
        let again = if seed == 0 { 0 } else { prng.below(5) };
        let mut told: Vec<&Object> = objects.iter().collect();
        told.extend((0..again).map(|_| &objects[prng.below(3) as usize]));
        while !told.is_empty() {
            let object = told.swap_remove(prng.below(told.len() as u64) as usize);
            insist(&host, &mut prng, &mut evidence, |function| function.told(&arrives(object)));
            if prng.below(3) == 0 {
                settle(&host);
            }
        }
        settle(&host);
        let end = clock.block_on(end_state(&host)).unwrap();
        assert_eq!((&end["status"], &end["generation"]), (&json!("success"), &json!(1)), "seed {seed}");
        assert_eq!(&end, expected.get_or_insert_with(|| end.clone()), "seed {seed}");
        evidence.case();
    }
    evidence
}

const ANY: &str = r#"
pipeline: sales
max_active_runs: 100
triggers:
  - file: {bucket: "${{ env.lake }}", keys: ["in/*", "in/日本/*"]}
tasks:
  load: {pass: {}}
"#;

/// Keys that one way of writing or another changes. The last two look alike and are two, as they are for S3.
const KEYS: [&str; 12] = [
    "in/monthly sales.csv",
    "in/a+b.csv",
    "in/a b.csv",
    "in/a%2Bb.csv",
    "in/a%20b.csv",
    "in/quo'te \"and\" \\back.csv",
    "in/a&b=c?d#e.csv",
    "in/日本/売上.csv",
    "in/😀.csv",
    "in/ends with a space ",
    "in/\u{f1}and\u{fa}.csv",
    "in/n\u{303}andu\u{301}.csv",
];

/// The event of a file as EventBridge tells it.
fn event_of(key: &str) -> Command {
    let object = json!({"key": key, "size": 10, "etag": "e", "sequencer": "0055"});
    let detail = json!({"bucket": {"name": "drop"}, "object": object});
    let event = json!({"source": "aws.s3", "detail-type": "Object Created", "time": "1997-01-06T02:00:00Z", "detail": detail});
    // Over the wire and back: letters may stand there as they are or as \u escapes.
    let escaped: String = event
        .to_string()
        .chars()
        .flat_map(|letter| {
            let mut units = [0; 2];
            let text: Vec<String> = if letter.is_ascii() {
                vec![letter.to_string()]
            } else {
                letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
            };
            text.concat().chars().collect::<Vec<char>>()
        })
        .collect();
    payload::event(&serde_json::from_str(&escaped).unwrap()).unwrap()
}

pub(crate) fn strange_keys() -> Evidence {
    let mut evidence = Evidence::default();
    let compiled = compiled(ANY);
    for seed in crate::seeds::of("scenario_06", 20) {
        let mut prng = Prng::new(seed);
        let host = new_host();
        let clock = host.world().clock.clone();
        clock.block_on(deployed(&host, &compiled)).unwrap();
        for key in KEYS {
            // Told by the platform, and found by one who lists the bucket: no sequencer there.
            let seen = Object { sequencer: None, ..object(key, "") };
            let mut told = vec![event_of(key), arrives(&seen), event_of(key)];
            if prng.below(2) == 0 {
                told.reverse();
            }
            for command in &told {
                insist(&host, &mut prng, &mut evidence, |function| function.told(command));
            }
            evidence.case();
        }
        assert!(settle(&host));
        let runs = clock.block_on(runs(&host)).unwrap();
        let mut keys: Vec<&str> =
            runs.iter().map(|run| run.trigger.detail["events"][0]["key"].as_str().unwrap()).collect();
        let mut expected = KEYS.to_vec();
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected, "seed {seed}");
        assert!(runs.iter().all(|run| run.generation == 1), "seed {seed}");
    }
    evidence
}
