//! The tables of one machine keep the contract of every store, and what only files can break.

use cauce_local::clock::SystemClock;
use cauce_local::memory::MemoryTable;
use cauce_local::sqlite::SqliteTable;
use cauce_model::Instant;
use cauce_model::item::{Change, Expect, Item, Key, Step, When, Write};
use cauce_ports::{Clock, Table, TableError};
use cauce_testkit::pools::{
    heard_contract, joined_contract, left_contract, overtaken_contract, pool_contract,
};
use cauce_testkit::table::table_contract;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

fn open(folder: &Path) -> Result<SqliteTable, TableError> {
    SqliteTable::open(&folder.join("table.sqlite"), SystemClock)
}

fn put(sort: &str, text: &str) -> Write {
    let mut item = Item::new(Key::new("p", sort), Default::default());
    item.body.insert("text".into(), text.into());
    Write::Put { item, expect: Expect::Absent }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    table_contract(MemoryTable::new).await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let next = AtomicI64::new(0);
    table_contract(|| {
        let name = format!("{}.sqlite", next.fetch_add(1, Ordering::Relaxed));
        SqliteTable::open(&folder.path().join(name), SystemClock).unwrap()
    })
    .await;
}

#[tokio::test]
async fn pools_are_held_on_memory() {
    for seed in 0..8 {
        pool_contract(MemoryTable::new(), seed, 20).await;
    }
    overtaken_contract(MemoryTable::new(), 8).await;
    left_contract(MemoryTable::new(), 9).await;
    joined_contract(MemoryTable::new(), 10).await;
    heard_contract(MemoryTable::new(), 11).await;
}

#[tokio::test]
async fn pools_are_held_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    pool_contract(open(folder.path()).unwrap(), 7, 16).await;
    overtaken_contract(open(folder.path()).unwrap(), 8).await;
    left_contract(open(folder.path()).unwrap(), 9).await;
    joined_contract(open(folder.path()).unwrap(), 10).await;
    heard_contract(open(folder.path()).unwrap(), 11).await;
}

#[tokio::test]
async fn one_file_opened_twice_is_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).unwrap(), open(folder.path()).unwrap());
    let key = Key::new("p", "count");
    let add = Change { steps: vec![Step::Add("n".into(), 1)] };
    let always = When::always();
    for _ in 0..50 {
        let (a, b) = tokio::join!(one.update(&key, &add, &always), two.update(&key, &add, &always));
        a.unwrap();
        b.unwrap();
    }
    assert_eq!(one.get(&key).await.unwrap().unwrap().body["n"], 100);
    assert_eq!(two.get(&key).await.unwrap().unwrap().body["n"], 100);
}

#[test]
fn many_may_create_the_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| open(folder.path()).map(drop))).collect();
        for thread in opened {
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
    });
}

#[tokio::test]
async fn what_is_written_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path()).unwrap();
    table.write(&[put("a", "kept")], "t").await.unwrap();
    drop(table);
    let table = open(folder.path()).unwrap();
    let item = table.get(&Key::new("p", "a")).await.unwrap().unwrap();
    assert_eq!(item.body["text"], "kept");
    // The token is known across openings.
    table.write(&[put("a", "kept")], "t").await.unwrap();
}

/// A clock that a test sets.
#[derive(Clone, Default)]
struct SetClock(Arc<AtomicI64>);

impl Clock for SetClock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_token_is_forgotten_after_ten_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SetClock::default();
    let table = SqliteTable::open(&folder.path().join("t.sqlite"), clock.clone()).unwrap();
    let writes = [put("a", "x")];
    table.write(&writes, "t").await.unwrap();
    clock.0.store(600_000_000, Ordering::Relaxed);
    assert_eq!(table.write(&writes, "t").await, Ok(()));
    clock.0.store(600_000_001, Ordering::Relaxed);
    assert_eq!(table.write(&writes, "t").await, Err(TableError::Condition { failed: vec![0] }));
}

#[tokio::test]
async fn expired_items_are_forgotten_when_the_file_is_opened_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SetClock::default();
    let path = folder.path().join("t.sqlite");
    let expiring = |sort: &str, at| {
        let mut item = Item::new(Key::new("p", sort), Default::default());
        item.expires_at = Some(Instant::from_micros(at));
        Write::Put { item, expect: Expect::Any }
    };
    let table = SqliteTable::open(&path, clock.clone()).unwrap();
    let writes = [expiring("soon", 1_000), expiring("later", 1_000_000)];
    table.write(&writes, "1").await.unwrap();
    drop(table);
    clock.0.store(2_000, Ordering::Relaxed);
    let table = SqliteTable::open(&path, clock).unwrap();
    table.write(&[put("a", "x")], "2").await.unwrap();
    let left = table.query("p", "", None, 10).await.unwrap().items;
    let sorts: Vec<&str> = left.iter().map(|item| item.key.sort.as_str()).collect();
    assert_eq!(sorts, ["a", "later"]);
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sqlite");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "application_id", 0x6361_7563).unwrap();
    newer.pragma_update(None, "user_version", 3).unwrap();
    drop(newer);
    let before = std::fs::read(&path).unwrap();
    let Err(TableError::NewerFormat(text)) = open(folder.path()) else { panic!("opened") };
    assert!(text.contains("newer version of cauce (format 3"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sqlite");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let Err(TableError::Unusable(text)) = open(folder.path()) else { panic!("opened") };
    assert!(text.contains("of another program"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_table_is_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sqlite");
    std::fs::write(&path, "this is no database, however long it may be".repeat(100)).unwrap();
    let Err(TableError::Unusable(text)) = open(folder.path()) else { panic!("opened") };
    assert!(text.contains("is damaged"), "{text}");
}

#[tokio::test]
async fn a_damaged_page_is_an_error_and_not_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path()).unwrap();
    for n in 0..200 {
        let text = "x".repeat(500);
        table.write(&[put(&format!("{n:03}"), &text)], &n.to_string()).await.unwrap();
    }
    drop(table);
    let path = folder.path().join("table.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 10 * 4096, "closing moved the log into the file");
    for byte in &mut bytes[4096..] {
        *byte = 0xff;
    }
    std::fs::write(&path, bytes).unwrap();
    let read = match open(folder.path()) {
        Ok(table) => table.get(&Key::new("p", "100")).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(&read, Err(TableError::Unusable(text)) if text.contains("is damaged")), "{read:?}");
}
