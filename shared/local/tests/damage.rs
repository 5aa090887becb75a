//! A store that lies: flipped bits and cut files are told, with what to do; what was written is never read
//! as something else.

#![expect(clippy::unwrap_used, reason = "a test's helpers panic as it does")]

use cauce_local::clock::SystemClock;
use cauce_local::sqlite::SqliteTable;
use cauce_model::Instant;
use cauce_model::item::{Change, Expect, IndexEntry, Item, Key, Step, When, Write};
use cauce_ports::{Table, TableError};
use cauce_testkit::prng::Prng;
use std::path::Path;

fn open(path: &Path) -> Result<SqliteTable, TableError> {
    SqliteTable::open(path, SystemClock)
}

/// Items of several partitions, some in a list, some that expire, one larger than a page.
fn items() -> Vec<Item> {
    (0..24)
        .map(|number: u32| {
            let mut item = Item::new(
                Key::new(format!("run#{}", number % 3), format!("T#{number:02}")),
                Default::default(),
            );
            item.body.insert("status".into(), "success".into());
            item.body.insert("attempt".into(), number.into());
            item.body.insert("output".into(), "x".repeat(if number == 7 { 9_000 } else { 150 }).into());
            item.index = number
                .is_multiple_of(2)
                .then(|| IndexEntry { list: "due".into(), position: format!("{number:04}") });
            item.expires_at = number.is_multiple_of(5).then(|| Instant::from_micros(9_000_000_000_000_000));
            item.version = 1;
            item
        })
        .collect()
}

/// A closed file with those items: everything is in it, nothing beside it.
async fn filled(path: &Path) {
    let table = open(path).unwrap();
    let puts: Vec<Write> =
        items().into_iter().map(|item| Write::Put { item, expect: Expect::Absent }).collect();
    table.write(&puts, "fill").await.unwrap();
}

/// Everything that can be read, in every way, or why it cannot.
async fn everything(path: &Path) -> Result<Vec<Vec<Item>>, TableError> {
    let table = open(path)?;
    let mut found = Vec::new();
    let keys: Vec<Key> = items().into_iter().map(|item| item.key).collect();
    found.push(table.batch_get(&keys).await?);
    for partition in ["run#0", "run#1", "run#2"] {
        found.push(table.query(partition, "", None, 100).await?.items);
    }
    found.push(table.list("due", "", None, 100).await?.items);
    Ok(found)
}

/// That it is damaged, where, and what to do.
fn is_told(error: &TableError, path: &Path) -> bool {
    let text = error.to_string();
    match error {
        TableError::Unusable(_) => text.contains(&path.display().to_string()) && text.contains("away"),
        // A flip in the number of the format.
        TableError::NewerFormat(_) => text.contains("format"),
        _ => false,
    }
}

#[tokio::test]
async fn a_flipped_bit_is_told_and_never_read_as_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sqlite");
    filled(&path).await;
    let whole = std::fs::read(&path).unwrap();
    let right = everything(&path).await.unwrap();
    let mut prng = Prng::new(11);
    let (mut told, mut harmless, mut silent) = (0, 0, Vec::new());
    for at in (0..whole.len()).step_by(29) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << prng.below(8);
        let lying = folder.path().join("lying.sqlite");
        for beside in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(folder.path().join(format!("lying.sqlite{beside}")));
        }
        std::fs::write(&lying, &bytes).unwrap();
        match everything(&lying).await {
            Ok(found) if found == right => harmless += 1,
            Ok(_) => silent.push(at),
            Err(error) => {
                assert!(is_told(&error, &lying), "byte {at}: {error:?}");
                told += 1;
            }
        }
    }
    println!("{told} flipped bits were told, {harmless} changed nothing that is read");
    assert!(silent.is_empty() && told > harmless / 2, "read as something else: {silent:?}");
}

/// Above the size up to which a file is checked whole, every row that is read still adds up.
#[tokio::test]
async fn a_row_that_does_not_add_up_is_told_with_its_key_in_a_file_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sqlite");
    let table = open(&path).unwrap();
    let key = Key::new("run#p", "R");
    for number in 0..30 {
        let mut item = Item::new(Key::new("ballast", format!("{number:02}")), Default::default());
        item.body.insert("text".into(), "x".repeat(200_000).into());
        table.write(&[Write::Put { item, expect: Expect::Absent }], &number.to_string()).await.unwrap();
    }
    let mut item = Item::new(key.clone(), Default::default());
    item.body.insert("status".into(), "running".into());
    table.write(&[Write::Put { item, expect: Expect::Absent }], "run").await.unwrap();
    drop(table);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|bytes| bytes == b"running").unwrap();
    bytes[at] = b'R';
    std::fs::write(&path, &bytes).unwrap();

    let table = open(&path).unwrap();
    let error = table.get(&key).await.unwrap_err();
    assert!(is_told(&error, &path) && error.to_string().contains("run#p/R is damaged"), "{error}");
    assert_eq!(table.query("run#p", "", None, 9).await.unwrap_err(), error);
    // Nobody writes over what nobody can read.
    let change = Change { steps: vec![Step::Add("n".into(), 1)] };
    assert_eq!(table.update(&key, &change, &When::always()).await.unwrap_err(), error);
    // What is whole can be read as before.
    assert!(table.get(&Key::new("ballast", "07")).await.unwrap().is_some());
}

/// Every cut of the last transaction in the log: all that was there before it is there, and none of it or
/// all of it.
#[tokio::test]
async fn a_last_write_that_was_torn_is_wholly_there_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sqlite");
    let log = folder.path().join("table.sqlite-wal");
    let table = open(&path).unwrap();
    let pair = |name: &str| {
        ["a", "b"].map(|side| {
            let mut item = Item::new(Key::new("pairs", format!("{name}-{side}")), Default::default());
            item.body.insert("text".into(), "x".repeat(3_000).into());
            Write::Put { item, expect: Expect::Absent }
        })
    };
    table.write(&pair("first"), "first").await.unwrap();
    let before = std::fs::read(&log).unwrap().len();
    table.write(&pair("last"), "last").await.unwrap();
    // As a crash leaves it: nobody has closed the file.
    let (whole, logged) = (std::fs::read(&path).unwrap(), std::fs::read(&log).unwrap());
    assert!(logged.len() > before);
    let torn = folder.path().join("torn.sqlite");
    let mut prng = Prng::new(3);
    let mut there = [0, 0];
    for cut in
        (before..logged.len()).step_by(97).chain(before..before + 40).chain([logged.len() - 1, logged.len()])
    {
        // Cut off; or the rest of it garbage, as a disk leaves what it had not come to write.
        for is_garbled in [false, true] {
            let mut bytes = logged[..cut].to_vec();
            if is_garbled {
                bytes.extend((cut..logged.len()).map(|_| prng.below(256) as u8));
            }
            let _ = std::fs::remove_file(folder.path().join("torn.sqlite-shm"));
            std::fs::write(&torn, &whole).unwrap();
            std::fs::write(folder.path().join("torn.sqlite-wal"), &bytes).unwrap();
            let table = open(&torn).unwrap();
            let found = table.query("pairs", "", None, 9).await.unwrap().items;
            let names: Vec<&str> = found.iter().map(|item| item.key.sort.as_str()).collect();
            assert_eq!(&names[..2], ["first-a", "first-b"], "cut at {cut}");
            assert!(names.len() == 2 || names.len() == 4, "half a transaction at {cut}: {names:?}");
            // A last byte that is as it was by chance is no tear.
            let is_whole = bytes == logged;
            assert_eq!(names.len() == 4, is_whole, "cut at {cut} of {}", logged.len());
            there[usize::from(is_whole)] += 1;
        }
    }
    println!("{} torn writes were not there, {} whole ones were", there[0], there[1]);
}

/// A file of the format without sums is taken over, and its rows are summed from then on.
#[tokio::test]
async fn a_file_of_the_older_format_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sqlite");
    filled(&path).await;
    let right = everything(&path).await.unwrap();
    let older = rusqlite::Connection::open(&path).unwrap();
    older.execute_batch("ALTER TABLE item DROP COLUMN sum; PRAGMA user_version = 1").unwrap();
    older.close().unwrap();
    assert_eq!(everything(&path).await.unwrap(), right);
    assert_eq!(everything(&path).await.unwrap(), right, "the second opening finds it taken over");
    let table = open(&path).unwrap();
    let add = Change { steps: vec![Step::Add("attempt".into(), 1)] };
    let changed = table.update(&right[0][0].key, &add, &When::always()).await.unwrap();
    assert_eq!(table.get(&changed.key).await.unwrap(), Some(changed));
}
