//! Many pipelines beside a bad one, values at their limits, and random pipelines against the reference model.

use crate::deployments::{deploy, made, new_host};
use crate::repair::settle;
use crate::scenarios::Evidence;
use crate::scenarios::cloud::insist;
use crate::sets::runs;
use crate::world::{Ended, by_hand, compiled, deployment, epoch, host, script};
use cauce_driver::Budget;
use cauce_engine::Reply;
use cauce_engine::command::Trigger;
use cauce_engine::launch::OVERRIDES_MAX;
use cauce_engine::reconcile::START_AGAIN_SECONDS;
use cauce_host::simulation::MemoryObjects;
use cauce_local::memory::MemoryTable;
use cauce_model::event::clock_item;
use cauce_model::item::{Expect, IndexEntry};
use cauce_model::record::{DUE_LIST, OUTPUT_INLINE_MAX, OUTPUT_MAX, pipeline_item};
use cauce_model::{Instant, Item, Json, Write};
use cauce_ports::Table;
use cauce_testkit::faulty::{Faults, Faulty, Rates};
use cauce_testkit::prng::Prng;
use serde_json::json;

/// How many pipelines are due at one moment.
const PIPELINES: usize = 1000;

pub(crate) fn one_is_poisoned() -> Evidence {
    let mut evidence = Evidence::default();
    let host = new_host();
    let clock = host.world().clock.clone();
    for number in 0..PIPELINES - 1 {
        let text =
            format!("{{pipeline: p{number}, schedule: \"0 3 * * *\", tasks: {{load: {{pass: {{}}}}}}}}");
        let compiled = compiled(&text);
        let reply = clock.block_on(deploy(&host, &compiled, made(&compiled, "lake"))).unwrap();
        assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
    }
    // A record and a due item that no version of this program could have written, first in line.
    let fields = |value: Json| value.as_object().cloned().unwrap();
    let mut due = Item::new(clock_item("poison"), fields(json!({"command": "ticks", "pipeline": "poison"})));
    due.index = Some(IndexEntry { list: DUE_LIST.to_owned(), position: format!("{:020}#poison", 1) });
    let record = Item::new(pipeline_item("poison"), fields(json!({"what": 1})));
    let writes = [due, record].map(|item| Write::Put { item, expect: Expect::Any });
    clock.block_on(host.world().table.write(&writes, "poison")).unwrap().unwrap();
    let moment = Instant::parse("1997-01-06T03:00:00Z").unwrap();
    clock.block_on(clock.until(moment)).unwrap();
    let mut prng = Prng::new(22);
    let budget = Budget { due: 300, ..Budget::default() };
    // As many sweeps as the budget asks for, and one that finds the poison alone.
    let mut troubles = 0;
    for _ in 0..=PIPELINES.div_ceil(300) {
        let report = insist(&host, &mut prng, &mut evidence, |function| function.sweeps(&budget));
        troubles += report.troubles;
    }
    assert!(troubles > 0, "nobody was told of the poison");
    settle(&host);
    let of = |host| clock.block_on(runs(host)).unwrap();
    let on_time = of(&host).iter().filter(|run| run.status.as_str() == "success").count();
    assert!(on_time > PIPELINES * 19 / 20, "{on_time} ran at once");
    // The others are those whose sweep died before it started them: one that comes a while later does.
    clock.block_on(clock.until(moment.plus_seconds(START_AGAIN_SECONDS))).unwrap();
    insist(&host, &mut prng, &mut evidence, |function| function.sweeps(&budget));
    assert!(settle(&host));
    let runs = of(&host);
    assert_eq!(runs.len(), PIPELINES - 1);
    for run in &runs {
        assert_eq!((run.created_at, run.status.as_str()), (moment, "success"), "{}", run.run);
    }
    evidence.saw("looks at the poison", u64::from(troubles));
    evidence.case();
    evidence
}

/// A run of a pipeline with one task, in weather that loses replies.
fn one(text: &str, outcomes: Json, params: Json, evidence: &mut Evidence) -> Ended {
    let faults = Faults::seeded(evidence.cases, Rates::default());
    let table = Faulty::new(MemoryTable::new(), &faults);
    let host = host(table, MemoryObjects::default(), script(json!({}), outcomes), epoch());
    let compiled = compiled(text);
    let clock = host.world().clock.clone();
    clock.block_on(host.deploy(&deployment(&compiled))).unwrap().unwrap();
    let trigger = Trigger { params: Some(params), ..by_hand(&compiled, "r1") };
    let reply = clock.block_on(host.execute(&cauce_engine::Command::Trigger(Box::new(trigger.clone()))));
    assert!(matches!(reply, Some(Ok(Reply::Ok(_)))), "{reply:?}");
    faults.set_rates(Rates { throttled: 100, lost_after: 150, ..Rates::default() });
    clock.block_on(host.run(std::future::pending())).unwrap().unwrap();
    faults.set_rates(Rates::default());
    evidence.add(&faults);
    evidence.case();
    clock.block_on(crate::world::read(&host, &cauce_model::RunKey::new(&trigger.pipeline, "r1"))).unwrap()
}

pub(crate) fn limits() -> Evidence {
    let mut evidence = Evidence::default();
    // An output, in bytes of its text.
    const MAKES: &str =
        "{pipeline: makes, tasks: {make: {container: {image: x, command: [run]}, returns: {text: string}}}}";
    let around = [OUTPUT_INLINE_MAX, OUTPUT_MAX].into_iter().flat_map(|limit| [limit - 1, limit, limit + 1]);
    for bytes in around {
        let text = "x".repeat(bytes - json!({"text": ""}).to_string().len());
        let outcomes = json!({"make": [{"status": "success", "output": {"text": text}}]});
        let ended = one(MAKES, outcomes, json!({}), &mut evidence);
        let make = &ended.tasks["make"];
        if bytes <= OUTPUT_MAX {
            assert_eq!(make.status.as_str(), "success", "{bytes}: {:?}", ended.reasons());
        } else {
            assert_eq!(make.status.as_str(), "failed", "{bytes}");
            let reason = make.reason.clone().unwrap_or_default();
            assert!(reason.contains(&OUTPUT_MAX.to_string()), "{bytes}: {reason}");
        }
    }
    // A command line, in characters of its one long argument: what does not fit is no launch, and says so.
    const TAKES: &str = "{pipeline: takes, params: {text: {type: string}}, tasks: {take: {container: {image: x, command: [run, \"{{ params.text }}\"]}}}}";
    let fits = |length: usize, evidence: &mut Evidence| {
        let ended = one(TAKES, json!({}), json!({"text": "x".repeat(length)}), evidence);
        let take = &ended.tasks["take"];
        match take.status.as_str() {
            "success" => {
                let overrides = ended.ran[0].request["Overrides"].to_string().len();
                assert!(overrides <= OVERRIDES_MAX, "{length}: {overrides}");
                true
            }
            _ => {
                let reason = take.reason.clone().unwrap_or_default();
                assert!(reason.contains(&OVERRIDES_MAX.to_string()), "{length}: {reason}");
                assert_eq!(take.attempts.len(), 0, "{length}: nothing was launched");
                false
            }
        }
    };
    // The last length that fits is found by halving, then it and its neighbours are tried.
    let (mut low, mut high) = (1, 3 * OVERRIDES_MAX);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if fits(middle, &mut evidence) {
            low = middle;
        } else {
            high = middle;
        }
    }
    for (length, expected) in [(low - 1, true), (low, true), (low + 1, false)] {
        assert_eq!(fits(length, &mut evidence), expected, "{length}");
    }
    evidence
}

pub(crate) fn random() -> Evidence {
    let mut evidence = Evidence::default();
    let (count, fired) = crate::storm::weathered("scenario_25", 150);
    (0..count).for_each(|_| evidence.case());
    evidence.fired(fired);
    evidence
}
