//! The faulty ports fail as they say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use cauce_local::memory::MemoryTable;
use cauce_model::Json;
use cauce_model::item::{Change, Expect, IndexEntry, Item, Key, Step, When, Write};
use cauce_ports::{Table, TableError};
use cauce_testkit::faulty::{Crashed, Faults, Faulty, Moment, Rates};

fn add() -> Change {
    Change { steps: vec![Step::Add("n".into(), 1)] }
}

fn key() -> Key {
    Key::new("p", "s")
}

async fn count(table: &MemoryTable) -> i64 {
    let item = table.get(&key()).await.unwrap();
    item.and_then(|item| item.body["n"].as_i64()).unwrap_or(0)
}

/// A process of three port calls, the second of which writes.
async fn process(table: &Faulty<MemoryTable>) {
    table.get(&key()).await.unwrap();
    table.update(&key(), &add(), &When::always()).await.unwrap();
    table.get(&key()).await.unwrap();
}

#[tokio::test]
async fn a_crash_is_before_or_after_the_work_of_its_call() {
    for (call, moment, written) in [
        (1, Moment::Before, 0),
        (1, Moment::After, 0),
        (2, Moment::Before, 0),
        (2, Moment::After, 1),
        (3, Moment::Before, 1),
        (3, Moment::After, 1),
    ] {
        let store = MemoryTable::new();
        let faults = Faults::none();
        let table = Faulty::new(store.clone(), &faults);
        faults.crash_at(call, moment);
        assert_eq!(faults.survive(process(&table)).await, Err(Crashed));
        assert_eq!(count(&store).await, written, "{call} {moment:?}");
        faults.revive();
        assert_eq!(faults.survive(process(&table)).await, Ok(()));
        assert_eq!(count(&store).await, written + 1);
    }
}

#[tokio::test]
async fn a_process_of_fewer_calls_survives() {
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    faults.crash_at(4, Moment::Before);
    assert_eq!(faults.survive(process(&table)).await, Ok(()));
    assert_eq!(faults.calls(), 3);
}

#[tokio::test]
async fn faults_come_from_the_seed_and_tell_the_truth() {
    let rates = Rates { throttled: 100, conflict: 100, lost_before: 100, lost_after: 100, stale: 0 };
    let run = async |seed| {
        let store = MemoryTable::new();
        let table = Faulty::new(store.clone(), &Faults::seeded(seed, rates));
        let mut outcomes = Vec::new();
        for _ in 0..1_000 {
            let before = count(&store).await;
            let outcome = table.update(&key(), &add(), &When::always()).await;
            let done = count(&store).await - before;
            match &outcome {
                Ok(_) => assert_eq!(done, 1),
                Err(TableError::Throttled | TableError::Conflict) => assert_eq!(done, 0),
                Err(TableError::Unknown(_)) => assert!(done <= 1),
                Err(other) => panic!("{other:?}"),
            }
            outcomes.push((outcome.map(|item| item.version), done));
        }
        outcomes
    };
    let first = run(1).await;
    assert_eq!(first, run(1).await);
    assert_ne!(first, run(2).await);
    for expected in [
        (Err(TableError::Throttled), 0),
        (Err(TableError::Conflict), 0),
        (Err(TableError::Unknown("lost on purpose".into())), 0),
        (Err(TableError::Unknown("lost on purpose".into())), 1),
    ] {
        let seen = first.iter().filter(|outcome| **outcome == expected).count();
        assert!((50..200).contains(&seen), "{expected:?}: {seen} of 1000");
    }
}

#[tokio::test]
async fn a_stale_index_shows_what_it_showed_before() {
    let faults = Faults::none();
    let table = Faulty::new(MemoryTable::new(), &faults);
    let put = |sort: &str| {
        let mut item = Item::new(Key::new("p", sort), Default::default());
        item.index = Some(IndexEntry { list: "due".into(), position: sort.into() });
        [Write::Put { item, expect: Expect::Any }]
    };
    let shown = async || {
        let page = table.list("due", "", None, 10).await.unwrap();
        page.items.iter().map(|item| Json::from(item.key.sort.as_str())).collect::<Vec<_>>()
    };
    table.write(&put("a"), "1").await.unwrap();
    assert_eq!(shown().await, ["a"]);
    table.write(&put("b"), "2").await.unwrap();
    faults.set_rates(Rates { stale: 1_000, ..Rates::default() });
    assert_eq!(shown().await, ["a"]);
    faults.set_rates(Rates::default());
    assert_eq!(shown().await, ["a", "b"]);
}
