//! A full disk: clear errors, nothing half done, and work goes on once there is room.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test's helpers panic and print as it does")]

use cauce_local::clock::SystemClock;
use cauce_local::sqlite::SqliteTable;
use cauce_local::state::{StateDir, StateError};
use cauce_model::item::{Expect, Item, Key, Write};
use cauce_ports::{Table, TableError};
use std::path::Path;
use std::process::Command;

/// A file system of one MiB, in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|done| done.status.success());
        if !mounted {
            println!("skipped: needs permission to mount a small file system");
        }
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn put(number: usize) -> Write {
    let mut item = Item::new(Key::new("p", format!("{number:04}")), Default::default());
    item.body.insert("text".into(), "x".repeat(20_000).into());
    Write::Put { item, expect: Expect::Absent }
}

#[tokio::test]
async fn a_table_on_a_full_disk_refuses_and_recovers() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.path().join("ballast");
    let path = disk.path().join("table.sqlite");
    let table = SqliteTable::open(&path, SystemClock).unwrap();
    table.write(&[put(0)], "0").await.unwrap();
    // dd stops with an error when the disk is full, which is the point.
    let _ = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k"])
        .arg(format!("of={}", ballast.display()))
        .output()
        .unwrap();
    let refused = table.write(&[put(1), put(2)], "1").await;
    let Err(TableError::Unusable(text)) = &refused else { panic!("{refused:?}") };
    assert!(text.contains("no room left on the disk"), "{text}");
    assert_eq!(table.query("p", "", None, 10).await.unwrap().items.len(), 1);
    std::fs::remove_file(ballast).unwrap();
    table.write(&[put(1), put(2)], "1").await.unwrap();
    drop(table);
    let table = SqliteTable::open(&path, SystemClock).unwrap();
    assert_eq!(table.query("p", "", None, 10).await.unwrap().items.len(), 3);
}

#[test]
fn a_state_folder_on_a_full_disk_is_a_clear_error() {
    let Some(disk) = SmallDisk::mount() else { return };
    let _ = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k"])
        .arg(format!("of={}", disk.path().join("ballast").display()))
        .output()
        .unwrap();
    let error = StateDir::open(disk.path().join(".cauce")).unwrap_err();
    assert!(matches!(error, StateError::Io { .. }));
    assert!(error.to_string().contains("the disk is full"), "{error}");
}

#[test]
fn a_read_only_state_folder_is_a_clear_error() {
    let Some(disk) = SmallDisk::mount() else { return };
    StateDir::open(disk.path().join("old")).unwrap();
    let remounted =
        Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap().success();
    assert!(remounted);
    let error = StateDir::open(disk.path().join("new")).unwrap_err().to_string();
    assert!(error.contains("it is read-only here; choose another state folder"), "{error}");
    let state = StateDir::open(disk.path().join("old")).unwrap();
    let Err(error) = SqliteTable::open(&state.table(), SystemClock) else { panic!("opened") };
    assert!(error.to_string().contains("check the permissions of its folder"), "{error}");
}
