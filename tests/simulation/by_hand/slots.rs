//! Of slots and places in line.

use super::{begin, begin_as, close, finish, good, item, key, open, put, story, task, tell};
use crate::controls::project;
use crate::rivals::{Held, compiled, deployed, new};
use crate::sets::poll_once;
use crate::world::{by_hand, deployment};
use cauce_engine::Command;
use cauce_engine::command::{Again, Existing, Open, Trigger};
use cauce_model::{Item, Key, TaskStatus};
use cauce_ports::{Clock as _, Table as _};
use serde_json::json;

const NARROW: &str = "
pipeline: hand
max_active_tasks: 1
tasks:
  first: {container: {image: loader, command: [run]}}
  second: {container: {image: loader, command: [run]}}
";

fn narrow() -> [Command; 2] {
    let Command::Open(opened) = open(1) else { unreachable!("made above") };
    let opened = Open { version: compiled(NARROW).version().to_owned(), ..opened };
    [Command::Trigger(Box::new(by_hand(&compiled(NARROW), "r1"))), Command::Open(opened)]
}

async fn line(host: &Held) -> Vec<Item> {
    host.world().table.query("pool#active:hand", "W#", None, 10).await.unwrap().items
}

async fn pool(host: &Held) -> Item {
    item(host, &Key::new("pool#active:hand", "P")).await.unwrap()
}

#[test]
fn a_place_in_line_is_for_one_attempt_and_from_when_it_came() {
    story(NARROW, async |host| {
        for command in narrow() {
            tell(host, command).await;
        }
        tell(host, begin(1, "first", None)).await;
        tell(host, begin(1, "second", None)).await;
        let place = line(host).await.pop().unwrap();
        let clock = host.world().clock.clone();
        clock.until(clock.now().plus_seconds(10)).await;
        // Asked again, it stands where it stood.
        tell(host, begin_as(1, "second", None, "2")).await;
        assert_eq!(line(host).await.pop().unwrap().body["since"], place.body["since"]);
        for command in [finish(1, "first", None, 1, good()), begin_as(1, "second", None, "3")] {
            tell(host, command).await;
        }
        assert_eq!(task(host, "second").await.status, TaskStatus::Running);
        // A place that somebody left there, who died, is nobody's any more.
        put(host, place).await;
        clock.until(clock.now().plus_seconds(1)).await;
        tell(host, Command::Reclaim { pool: "active:hand".to_owned(), all: false }).await;
        assert_eq!((pool(host).await.body["used"].clone(), line(host).await.len()), (json!(1), 0));
    });
}

/// A slot is taken before it is written who has it: between the two the sweep must not take it for one of an attempt
/// that is over because an earlier generation's is.
#[test]
fn a_slot_that_was_just_taken_is_not_given_back() {
    let reclaim = Command::Reclaim { pool: "active:hand".to_owned(), all: false };
    let mut calls = 0;
    for call in 1.. {
        let (host, _, faults) = new();
        let clock = host.world().clock.clone();
        let was_held = clock.block_on(async {
            deployed(&host, NARROW).await;
            let Command::Open(opened) = open(2) else { unreachable!("made above") };
            let opened = Open { version: compiled(NARROW).version().to_owned(), ..opened };
            let request = by_hand(&compiled(NARROW), "r1");
            for command in narrow().into_iter().chain([
                begin(1, "first", None),
                finish(1, "first", None, 1, good()),
                Command::Cancel { run_key: key(), generation: None, reason: "enough".to_owned(), by: None },
                close(1),
                Command::Trigger(Box::new(Trigger { existing: Existing::Next(Again::All), ..request })),
                Command::Open(opened),
            ]) {
                tell(&host, command).await;
            }
            faults.hold_at(faults.calls() + call);
            let command = begin(2, "first", None);
            let mut begins = std::pin::pin!(host.driver().execute(&command));
            let was_held = poll_once(begins.as_mut()).await.is_none();
            if was_held {
                host.driver().execute(&reclaim).await.unwrap();
            }
            faults.release();
            if was_held {
                begins.await.unwrap();
            }
            assert_eq!(task(&host, "first").await.status, TaskStatus::Running, "call {call}");
            assert_eq!(pool(&host).await.body["used"], 1, "call {call}");
            was_held
        });
        if !was_held.unwrap() {
            break;
        }
        calls = call;
    }
    assert!(calls > 1);
}

const POOLED: &str = "
pipeline: hand
tasks:
  first: {pools: {wide: 1}, container: {image: x, command: [run]}}
  second: {pools: {wide: 1}, container: {image: x, command: [run]}}
";

/// A pool shrinks between the moment at which somebody sees what is free and the one at which it is taken: nobody takes
/// what is not there any more.
#[test]
fn a_slot_that_went_between_two_looks_is_not_taken() {
    let compiled = crate::world::compiled_in(POOLED, &project());
    let shrink = Command::Resize { pools: [("wide".to_owned(), 0)].into() };
    let key_of_pool = Key::new("pool#wide", "P");
    let slots = |used: &str| [("wide".to_owned(), used.parse().unwrap())].into();
    for (held, earlier) in [
        (begin(1, "first", None), Vec::new()),
        (finish(1, "first", None, 1, good()), vec![begin(1, "first", None), begin(1, "second", None)]),
    ] {
        let mut seen_free = 0;
        for call in 1.. {
            let (host, table, faults) = new();
            let used = || {
                let item = table.items().into_iter().find(|item| item.key == key_of_pool).unwrap();
                item.body.get("used").and_then(cauce_model::Json::as_i64).unwrap_or(0)
            };
            let clock = host.world().clock.clone();
            let was_held = clock.block_on(async {
                tell(&host, Command::Resize { pools: slots("1") }).await;
                host.deploy(&deployment(&compiled)).await.unwrap();
                let Command::Open(opened) = open(1) else { unreachable!("made above") };
                let opened = Open { version: compiled.version().to_owned(), ..opened };
                tell(&host, Command::Trigger(Box::new(by_hand(&compiled, "r1")))).await;
                tell(&host, Command::Open(opened)).await;
                for command in earlier.clone() {
                    tell(&host, command).await;
                }
                faults.hold_at(faults.calls() + call);
                let mut deciding = std::pin::pin!(host.driver().execute(&held));
                let was_held = poll_once(deciding.as_mut()).await.is_none();
                if was_held {
                    let before = used();
                    tell(&host, shrink.clone()).await;
                    faults.release();
                    deciding.await.unwrap();
                    if before == 0 {
                        seen_free += 1;
                        assert_eq!(used(), 0, "{} held at call {call}", held.name());
                    }
                }
                was_held
            });
            if !was_held.unwrap() {
                break;
            }
        }
        assert!(seen_free > 1, "{}: {seen_free}", held.name());
    }
}
