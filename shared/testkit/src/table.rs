//! What a store promises, in executable form. Memory, SQLite and DynamoDB pass the same suite.

#![expect(clippy::unwrap_used, reason = "a suite fails by panicking, as tests do")]

use cauce_model::Json;
use cauce_model::item::{
    Change, Cond, Expect, ITEM_BYTES_MAX, IndexEntry, Item, Key, Step, TRANSACTION_MAX, When, Write,
};
use cauce_ports::{Cursor, Table, TableError};
use futures_util::future::join_all;
use serde_json::json;
use std::future::Future;

/// Runs the whole suite. `make` gives a table with nothing in it, or always the same one: every
/// check uses partitions and lists of its own.
///
/// # Panics
/// The store broke its promise; the message says which.
pub async fn table_contract<T: Table>(make: impl Fn() -> T) {
    table_contract_without(make, &[]).await;
}

/// The same for an emulator that is known to be wrong: without the checks named, each with the reason,
/// which are told on standard error.
///
/// # Panics
/// The store broke its promise; or there is no check of a name given.
pub async fn table_contract_without<T: Table>(make: impl Fn() -> T, left_out: &[(&str, &str)]) {
    let mut names = Vec::new();
    macro_rules! check {
        ($($name:ident),* $(,)?) => {$(
            names.push(stringify!($name));
            match left_out.iter().find(|(name, _)| *name == stringify!($name)) {
                Some((name, reason)) => eprintln!("skipped: {name}: {reason}"),
                None => $name(&make()).await,
            }
        )*};
    }
    check!(
        an_absent_item_is_none,
        a_put_is_read_back_whole,
        versions_begin_at_one_and_grow,
        expectations_are_kept,
        a_failed_condition_names_its_writes_and_changes_nothing,
        checks_and_deletes_take_part,
        a_token_is_applied_once,
        a_refused_transaction_does_not_use_its_token_up,
        requests_against_the_rules_are_refused,
        a_hundred_writes_are_one_transaction,
        items_have_a_greatest_size,
        batches_keep_their_order,
        queries_read_by_prefix_in_byte_order,
        queries_go_on_from_their_cursor,
        lists_follow_their_items,
        updates_create_and_change,
        updates_keep_index_and_expiry,
        updates_under_a_condition,
        concurrent_updates_all_count,
        one_of_many_concurrent_puts_wins,
    );
    for (name, _) in left_out {
        assert!(names.contains(name), "there is no check '{name}'");
    }
}

fn item(partition: &str, sort: &str, body: Json) -> Item {
    let Json::Object(body) = body else { panic!("a body is an object: {body}") };
    Item::new(Key::new(partition, sort), body)
}

fn put(item: Item, expect: Expect) -> Write {
    Write::Put { item, expect }
}

fn listed(mut item: Item, list: &str, position: &str) -> Item {
    item.index = Some(IndexEntry { list: list.to_owned(), position: position.to_owned() });
    item
}

async fn must_put<T: Table>(table: &T, items: &[Item], token: &str) {
    let writes: Vec<Write> = items.iter().map(|item| put(item.clone(), Expect::Any)).collect();
    table.write(&writes, token).await.unwrap();
}

async fn must_get<T: Table>(table: &T, key: &Key) -> Item {
    table.get(key).await.unwrap().unwrap()
}

/// Repeats a call that failed without having changed anything.
async fn until_let_in<V, F: Future<Output = Result<V, TableError>>>(
    mut call: impl FnMut() -> F,
) -> Result<V, TableError> {
    for _ in 0..1_000 {
        match call().await {
            Err(TableError::Conflict | TableError::Throttled) => {}
            done => return done,
        }
    }
    panic!("a thousand conflicts in a row")
}

async fn an_absent_item_is_none<T: Table>(table: &T) {
    let key = Key::new("absent", "x");
    assert_eq!(table.get(&key).await.unwrap(), None);
    assert_eq!(table.batch_get(&[key]).await.unwrap(), []);
    let page = table.query("absent", "", None, 10).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none(), "{page:?}");
    let page = table.list("absent", "", None, 10).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none(), "{page:?}");
}

async fn a_put_is_read_back_whole<T: Table>(table: &T) {
    let mut written = listed(
        item(
            "whole",
            "a b+c/ñ\u{1F980}",
            json!({"z": 1, "a": {"deep": [null, true, -1.5, "text", 9007199254740993_u64]},
                   "set": ["a", "b"], "empty": "", "none": null}),
        ),
        "whole",
        "1",
    );
    written.expires_at = Some(cauce_model::Instant::from_micros(9_999_999_999_000_000));
    written.version = 77;
    must_put(table, &[written.clone()], "whole-1").await;
    written.version = 1;
    assert_eq!(must_get(table, &written.key).await, written);
    assert_eq!(table.batch_get(&[written.key.clone()]).await.unwrap(), [written.clone()]);
    let queried = table.query("whole", "a b", None, 10).await.unwrap();
    assert_eq!(queried.items, [written]);
}

async fn versions_begin_at_one_and_grow<T: Table>(table: &T) {
    let this = item("versions", "x", json!({}));
    for (round, version) in [(1, 1), (2, 2), (3, 3)] {
        must_put(table, std::slice::from_ref(&this), &format!("versions-{round}")).await;
        assert_eq!(must_get(table, &this.key).await.version, version);
    }
    let delete = Write::Delete { key: this.key.clone(), expect: Expect::Version(3) };
    table.write(&[delete], "versions-4").await.unwrap();
    must_put(table, std::slice::from_ref(&this), "versions-5").await;
    assert_eq!(must_get(table, &this.key).await.version, 1, "a new item");
}

async fn expectations_are_kept<T: Table>(table: &T) {
    let this = item("expect", "x", json!({}));
    let refused = Err(TableError::Condition { failed: vec![0] });
    for (number, expect, outcome) in [
        (1, Expect::Version(1), refused.clone()),
        (2, Expect::Absent, Ok(())),
        (3, Expect::Absent, refused.clone()),
        (4, Expect::Version(2), refused.clone()),
        (5, Expect::Version(1), Ok(())),
        (6, Expect::Version(1), refused),
        (7, Expect::Any, Ok(())),
    ] {
        let done = table.write(&[put(this.clone(), expect)], &format!("expect-{number}")).await;
        assert_eq!(done, outcome, "{number}: {expect:?}");
    }
    assert_eq!(must_get(table, &this.key).await.version, 3);
}

async fn a_failed_condition_names_its_writes_and_changes_nothing<T: Table>(table: &T) {
    let partition = "all-or-none";
    must_put(table, &[item(partition, "there", json!({"n": 1}))], "all-1").await;
    let writes = [
        put(item(partition, "new", json!({})), Expect::Absent),
        put(item(partition, "there", json!({"n": 2})), Expect::Absent),
        put(item(partition, "other", json!({})), Expect::Any),
        Write::Check { key: Key::new(partition, "nowhere"), expect: Expect::Version(1) },
    ];
    assert_eq!(table.write(&writes, "all-2").await, Err(TableError::Condition { failed: vec![1, 3] }));
    let left = table.query(partition, "", None, 10).await.unwrap().items;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].body["n"], json!(1));
}

async fn checks_and_deletes_take_part<T: Table>(table: &T) {
    let partition = "checks";
    let key = |sort: &str| Key::new(partition, sort);
    must_put(table, &[item(partition, "a", json!({})), item(partition, "b", json!({}))], "checks-1").await;
    let writes = [
        Write::Check { key: key("a"), expect: Expect::Version(1) },
        Write::Check { key: key("z"), expect: Expect::Absent },
        Write::Delete { key: key("b"), expect: Expect::Version(1) },
        Write::Delete { key: key("never"), expect: Expect::Any },
    ];
    table.write(&writes, "checks-2").await.unwrap();
    assert_eq!(must_get(table, &key("a")).await.version, 1, "only looked at");
    assert_eq!(table.get(&key("b")).await.unwrap(), None);
    let gone = Write::Delete { key: key("b"), expect: Expect::Version(1) };
    assert_eq!(table.write(&[gone], "checks-3").await, Err(TableError::Condition { failed: vec![0] }));
}

async fn a_token_is_applied_once<T: Table>(table: &T) {
    let this = item("token", "x", json!({"n": 1}));
    let writes = [put(this.clone(), Expect::Absent)];
    for _ in 0..3 {
        table.write(&writes, "token-1").await.unwrap();
    }
    assert_eq!(must_get(table, &this.key).await.version, 1);
    let other = [put(item("token", "x", json!({"n": 2})), Expect::Any)];
    let reused = table.write(&other, "token-1").await;
    assert!(matches!(reused, Err(TableError::Refused(_))), "{reused:?}");
    assert_eq!(must_get(table, &this.key).await.body["n"], json!(1));
}

async fn a_refused_transaction_does_not_use_its_token_up<T: Table>(table: &T) {
    let this = item("token-left", "x", json!({}));
    let writes = [put(this.clone(), Expect::Version(1))];
    let refused = table.write(&writes, "token-left-1").await;
    assert!(matches!(refused, Err(TableError::Condition { .. })), "{refused:?}");
    must_put(table, std::slice::from_ref(&this), "token-left-2").await;
    table.write(&writes, "token-left-1").await.unwrap();
    assert_eq!(must_get(table, &this.key).await.version, 2);
}

async fn requests_against_the_rules_are_refused<T: Table>(table: &T) {
    let same = item("rules", "x", json!({}));
    let twice = [put(same.clone(), Expect::Any), Write::Check { key: same.key.clone(), expect: Expect::Any }];
    let many: Vec<Write> =
        (0..=TRANSACTION_MAX).map(|n| put(item("rules", &n.to_string(), json!({})), Expect::Any)).collect();
    for (writes, token) in [(&twice[..], "rules-1"), (&many[..], "rules-2")] {
        let refused = table.write(writes, token).await;
        assert!(matches!(&refused, Err(TableError::Refused(_))), "{refused:?}");
        assert!(!refused.unwrap_err().retryable());
    }
    assert_eq!(table.query("rules", "", None, 10).await.unwrap().items, []);
}

async fn a_hundred_writes_are_one_transaction<T: Table>(table: &T) {
    let items: Vec<Item> =
        (0..TRANSACTION_MAX).map(|n| item("hundred", &format!("{n:03}"), json!({"n": n}))).collect();
    must_put(table, &items, "hundred-1").await;
    let page = table.query("hundred", "", None, 1_000).await.unwrap();
    assert_eq!(page.items.len(), TRANSACTION_MAX);
    // The last one fails: none of the others may be seen.
    let writes: Vec<Write> = items
        .iter()
        .map(|item| {
            let expect = if item.key.sort == "099" { Expect::Absent } else { Expect::Version(1) };
            put(item.clone(), expect)
        })
        .collect();
    assert_eq!(table.write(&writes, "hundred-2").await, Err(TableError::Condition { failed: vec![99] }));
    let page = table.query("hundred", "", None, 1_000).await.unwrap();
    assert!(page.items.iter().all(|item| item.version == 1));
}

async fn items_have_a_greatest_size<T: Table>(table: &T) {
    let large = "x".repeat(ITEM_BYTES_MAX + 1);
    let fits = "x".repeat(ITEM_BYTES_MAX - 1_000);
    let this = item("size", "x", json!({"text": large}));
    let refused = table.write(&[put(this.clone(), Expect::Any)], "size-1").await;
    assert!(matches!(refused, Err(TableError::TooLarge { bytes }) if bytes > ITEM_BYTES_MAX));
    assert_eq!(table.get(&this.key).await.unwrap(), None);
    must_put(table, &[item("size", "x", json!({"text": fits}))], "size-2").await;
    let grow = Change { steps: vec![Step::Set("more".into(), json!("y".repeat(2_000)))] };
    let refused = table.update(&this.key, &grow, &When::always()).await;
    assert!(matches!(refused, Err(TableError::TooLarge { .. })), "{refused:?}");
    let left = must_get(table, &this.key).await;
    assert!(left.version == 1 && !left.body.contains_key("more"));
    // Eleven items of nearly 400 KiB are more than a transaction takes.
    let writes: Vec<Write> =
        (0..11).map(|n| put(item("size", &format!("n{n}"), json!({"text": fits})), Expect::Any)).collect();
    let refused = table.write(&writes, "size-3").await;
    assert!(matches!(refused, Err(TableError::TooLarge { .. })), "{refused:?}");
}

async fn batches_keep_their_order<T: Table>(table: &T) {
    let items: Vec<Item> = ["a", "b", "c"].iter().map(|sort| item("batch", sort, json!({}))).collect();
    must_put(table, &items, "batch-1").await;
    let keys: Vec<Key> = ["c", "missing", "a", "b"].iter().map(|sort| Key::new("batch", *sort)).collect();
    let found = table.batch_get(&keys).await.unwrap();
    let sorts: Vec<&str> = found.iter().map(|item| item.key.sort.as_str()).collect();
    assert_eq!(sorts, ["c", "a", "b"]);
    let many: Vec<Key> = (0..250)
        .map(|n| Key::new("batch", if n % 2 == 0 { "a".to_owned() } else { n.to_string() }))
        .collect();
    let distinct: Vec<Key> = many[..1].iter().chain(many.iter().skip(1).step_by(2)).cloned().collect();
    assert_eq!(table.batch_get(&distinct).await.unwrap().len(), 1);
}

/// Sort keys whose byte order differs from the order of letters, of UTF-16, and of numbers.
const AWKWARD: [&str; 9] = ["T#", "T#10", "T#9", "T#Z", "T#_", "T#a", "T#é", "T#\u{FFFD}", "T#\u{1F980}"];

async fn queries_read_by_prefix_in_byte_order<T: Table>(table: &T) {
    let mut items: Vec<Item> = AWKWARD.iter().rev().map(|sort| item("order", sort, json!({}))).collect();
    for (partition, sort) in [("order", "S#x"), ("order", "T$"), ("order", "U"), ("order2", "T#a")] {
        items.push(item(partition, sort, json!({})));
    }
    must_put(table, &items, "order-1").await;
    let page = table.query("order", "T#", None, 100).await.unwrap();
    let sorts: Vec<&str> = page.items.iter().map(|item| item.key.sort.as_str()).collect();
    assert_eq!(sorts, AWKWARD);
    assert_eq!(page.next, None);
    let all = table.query("order", "", None, 100).await.unwrap();
    assert_eq!(all.items.len(), AWKWARD.len() + 3);
    let wildcard = table.query("order", "%", None, 100).await.unwrap();
    assert_eq!(wildcard.items, [], "a prefix is no pattern");
}

async fn queries_go_on_from_their_cursor<T: Table>(table: &T) {
    let items: Vec<Item> = (0..7)
        .map(|n| item("pages", &format!("P#{n}"), json!({})))
        .chain([item("pages", "Q", json!({}))])
        .collect();
    must_put(table, &items, "pages-1").await;
    let mut after: Option<Cursor> = None;
    let mut read = Vec::new();
    for round in 0.. {
        assert!(round < 8, "the pages never end");
        let page = table.query("pages", "P#", after, 3).await.unwrap();
        assert!(page.items.len() <= 3);
        read.extend(page.items.into_iter().map(|item| item.key.sort));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..7).map(|n| format!("P#{n}")).collect();
    assert_eq!(read, expected);
}

/// Reads a list to its end, two at a time.
async fn whole_list<T: Table>(table: &T, list: &str, from: &str) -> Vec<String> {
    let mut after = None;
    let mut read = Vec::new();
    loop {
        let page = table.list(list, from, after, 2).await.unwrap();
        read.extend(page.items.into_iter().map(|item| item.key.sort));
        after = page.next;
        if after.is_none() {
            return read;
        }
    }
}

/// Stale reads are allowed, so the suite asks until the index shows what it must show in the end.
async fn list_in_the_end<T: Table>(table: &T, list: &str, from: &str, expected: &[&str]) {
    let mut shown = Vec::new();
    for _ in 0..1_000 {
        shown = whole_list(table, list, from).await;
        if shown == expected {
            return;
        }
    }
    assert_eq!(shown, expected, "list {list} from '{from}'");
}

async fn lists_follow_their_items<T: Table>(table: &T) {
    let at = |sort: &str, position: &str| listed(item("lists", sort, json!({})), "due", position);
    must_put(
        table,
        &[
            at("c", "2"),
            at("a", "2"),
            at("b", "10"),
            at("d", "3"),
            item("lists", "unlisted", json!({})),
            listed(item("lists", "elsewhere", json!({})), "due2", "0"),
        ],
        "lists-1",
    )
    .await;
    list_in_the_end(table, "due", "", &["b", "a", "c", "d"]).await;
    list_in_the_end(table, "due", "2", &["a", "c", "d"]).await;
    list_in_the_end(table, "due2", "", &["elsewhere"]).await;
    // Moved, taken off, removed.
    let writes = [
        put(at("a", "9"), Expect::Any),
        put(item("lists", "c", json!({})), Expect::Any),
        Write::Delete { key: Key::new("lists", "d"), expect: Expect::Any },
    ];
    table.write(&writes, "lists-2").await.unwrap();
    list_in_the_end(table, "due", "", &["b", "a"]).await;
}

async fn updates_create_and_change<T: Table>(table: &T) {
    let key = Key::new("update", "x");
    let change = Change {
        steps: vec![
            Step::Add("used".into(), 2),
            Step::Insert("holders".into(), "b".into()),
            Step::Insert("holders".into(), "a".into()),
            Step::Set("token".into(), json!({"deep": [1]})),
        ],
    };
    let made = table.update(&key, &change, &When::always()).await.unwrap();
    assert_eq!(made.version, 1);
    let fields = json!({"used": 2, "holders": ["a", "b"], "token": {"deep": [1]}});
    assert_eq!(Json::Object(made.body.clone()), fields);
    assert_eq!(must_get(table, &key).await, made);
    let change = Change {
        steps: vec![
            Step::Add("used".into(), -5),
            Step::Take("holders".into(), "a".into()),
            Step::Remove("token".into()),
        ],
    };
    let changed = table.update(&key, &change, &When::always()).await.unwrap();
    assert_eq!(changed.version, 2);
    assert_eq!(Json::Object(changed.body.clone()), json!({"used": -3, "holders": ["b"]}));
    assert_eq!(must_get(table, &key).await, changed);
}

async fn updates_keep_index_and_expiry<T: Table>(table: &T) {
    let mut this = listed(item("update-index", "x", json!({"n": 1})), "update-index", "1");
    this.expires_at = Some(cauce_model::Instant::from_micros(9_999_999_999_000_000));
    must_put(table, std::slice::from_ref(&this), "update-index-1").await;
    let change = Change { steps: vec![Step::Add("n".into(), 1)] };
    let changed = table.update(&this.key, &change, &When::always()).await.unwrap();
    assert_eq!((&changed.index, changed.expires_at), (&this.index, this.expires_at));
    list_in_the_end(table, "update-index", "", &["x"]).await;
}

async fn updates_under_a_condition<T: Table>(table: &T) {
    let key = Key::new("update-when", "x");
    let steps = [
        Step::Add("used".into(), 1),
        Step::Insert("s".into(), "m".into()),
        Step::Set("order".into(), json!("2")),
    ];
    let add = Change { steps: steps.into() };
    let when = |cond| When { all: vec![cond] };
    let used = |n: i64| Cond::Equals("used".into(), json!(n));
    let refused = Err(TableError::Condition { failed: vec![0] });
    let absent = table.update(&key, &add, &when(Cond::Exists)).await;
    assert_eq!(absent, refused);
    assert_eq!(table.get(&key).await.unwrap(), None, "nothing was made");
    for (cond, holds) in [
        (Cond::AtMost("used".into(), 0), true),
        (Cond::AtMost("used".into(), 0), false),
        (Cond::AtLeast("used".into(), 1), true),
        (Cond::AtLeast("used".into(), 3), false),
        (Cond::AtLeast("never".into(), 0), true),
        (Cond::AtLeast("never".into(), 1), false),
        (Cond::Contains("s".into(), "m".into()), true),
        (Cond::Lacks("s".into(), "m".into()), false),
        (Cond::Lacks("s".into(), "n".into()), true),
        (Cond::Empty("s".into()), false),
        (Cond::Missing("token".into()), true),
        (used(6), true),
        (used(6), false),
        (Cond::Differs("used".into(), json!(7)), false),
        (Cond::Before("when".into(), "2".into()), true),
        (Cond::Before("order".into(), "1".into()), false),
        (Cond::Before("order".into(), "2".into()), false),
        (Cond::Before("order".into(), "20".into()), true),
        (Cond::Missing("used".into()), false),
        (Cond::Exists, true),
    ] {
        let before = table.get(&key).await.unwrap().map(|item| item.version);
        let done = table.update(&key, &add, &when(cond.clone())).await;
        assert_eq!(done.is_ok(), holds, "{cond:?}: {done:?}");
        let after = table.get(&key).await.unwrap().map(|item| item.version);
        assert_eq!(after.unwrap_or(0) - before.unwrap_or(0), u64::from(holds), "{cond:?}");
    }
}

async fn concurrent_updates_all_count<T: Table>(table: &T) {
    const WRITERS: i64 = 16;
    const ROUNDS: i64 = 10;
    let key = Key::new("contended", "x");
    let always = When::always();
    let writer = |number: i64| {
        let (key, always) = (&key, &always);
        async move {
            for round in 0..ROUNDS {
                let change = Change {
                    steps: vec![
                        Step::Add("count".into(), 1),
                        Step::Insert("who".into(), format!("{number}-{round}")),
                    ],
                };
                until_let_in(|| table.update(key, &change, always)).await.unwrap();
            }
        }
    };
    join_all((0..WRITERS).map(writer)).await;
    let end = must_get(table, &key).await;
    assert_eq!(end.body["count"], json!(WRITERS * ROUNDS));
    assert_eq!(end.body["who"].as_array().map(Vec::len), usize::try_from(WRITERS * ROUNDS).ok());
    assert_eq!(end.version, (WRITERS * ROUNDS).unsigned_abs());
}

async fn one_of_many_concurrent_puts_wins<T: Table>(table: &T) {
    let writer = |number: usize| async move {
        let writes = [put(item("race", "x", json!({"winner": number})), Expect::Absent)];
        let token = format!("race-{number}");
        until_let_in(|| table.write(&writes, &token)).await
    };
    let outcomes = join_all((0..20).map(writer)).await;
    let winners: Vec<usize> = (0..20).filter(|n| outcomes[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert!(
        outcomes
            .iter()
            .filter(|outcome| outcome.is_err())
            .all(|outcome| *outcome == Err(TableError::Condition { failed: vec![0] })),
        "{outcomes:?}"
    );
    let end = must_get(table, &Key::new("race", "x")).await;
    assert_eq!(end.body["winner"], json!(winners[0]));
}
