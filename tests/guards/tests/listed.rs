//! The committed list names every guard of the source, and no other.

use cauce_guards::copy;
use cauce_guards::find::{self, Removal, of_file};
use cauce_guards::list::{self, Proof};
use cauce_guards::workspace;
use std::path::Path;
use std::process::Command;

#[test]
fn every_guard_is_listed() {
    let guards = find::all(&workspace()).unwrap();
    let listed = list::parse(&std::fs::read_to_string(list::path(&workspace())).unwrap()).unwrap();
    let differences = list::differences(&guards, &listed);
    assert!(
        differences.is_empty(),
        "{}\nA guard needs a test that fails without it, in tests/guards/guards.txt. `make guards-find` \
         looks for one among the tests that reach it and writes it down; where it finds none, write one.",
        differences.join("\n")
    );
    let unproved: Vec<String> = listed
        .iter()
        .filter(|(_, proof)| **proof == Proof::Unproved)
        .map(|(name, _)| name.to_string())
        .collect();
    assert!(unproved.is_empty(), "these need a test that fails without them:\n{}", unproved.join("\n"));
    assert_eq!(list::render(&guards, &listed), std::fs::read_to_string(list::path(&workspace())).unwrap());
}

const FILE: &str = r#"
fn one(expect: Expect, fence: u64) -> Vec<Write> {
    let when = When { all: vec![Cond::Missing(HELD.into())] };
    let known = item.map_or(Expect::Absent, |item| Expect::Version(item.version));
    if task.fence != fence && task.tries < 3 && matches!(x, Some(y) if y.generation <= 4) {}
    if let Some(Expect::Version(_)) = known {}
    vec![Write::Put { item, expect }, Write::Delete { key, expect: Expect::Any }, put(row.expect)]
}
#[cfg(test)]
mod tests {
    fn two() -> Expect { Expect::Absent }
}
"#;

#[test]
fn guards_are_found_by_what_they_are() {
    let found = of_file("engine/one.rs", FILE).unwrap();
    let found: Vec<(&str, Removal)> =
        found.iter().map(|guard| (guard.name.guard.as_str(), guard.removal)).collect();
    let expected = [
        ("one: Cond::Missing(HELD.into())", Removal::CondHolds),
        ("one: Expect::Absent", Removal::ExpectAny),
        ("one: Expect::Version(item.version)", Removal::ExpectAny),
        ("one: task.fence != fence -> false", Removal::False),
        ("one: y.generation <= 4 -> true", Removal::True),
        ("one: y.generation <= 4 -> false", Removal::False),
        ("one: expect", Removal::FieldAny),
        ("one: row.expect", Removal::HandedAny),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_condition_where_nobody_can_read_it_is_told() {
    let error = of_file("engine/one.rs", "fn one() { all!(for Cond::Exists; 3) }").unwrap_err();
    assert!(error.contains("engine/one.rs: one: a condition inside of `all!`"), "{error}");
}

/// Its packages have another version, so that building it overwrites nothing of the workspace's own.
#[test]
fn the_copy_has_a_switch_for_each_guard_and_its_lock_file_fits() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("copy");
    let guards = find::all(&workspace()).unwrap();
    copy::make(&workspace(), &guards, &folder).unwrap();
    for (number, guard) in guards.iter().enumerate() {
        let text = std::fs::read_to_string(find::path(&folder, &guard.name.file)).unwrap();
        let is_switched = ["gone", "says", "judges"].iter().any(|how| {
            [")", ","].iter().any(|next| text.contains(&format!("::guards::{how}({number}{next}")))
        });
        assert!(is_switched, "{}", guard.name);
    }
    // Neither asks for a package that no build has needed yet.
    let cargo = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO")).args(arguments).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    cargo(&["update", "--workspace", "--locked", "--offline"]);
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).unwrap();
    let members = metadata["workspace_members"].as_array().unwrap();
    let own = concat!("#", env!("CARGO_PKG_VERSION"));
    let same: Vec<_> = members.iter().filter(|id| id.as_str().unwrap().ends_with(own)).collect();
    assert!(same.is_empty() && !members.is_empty(), "{same:?}");
}

#[test]
fn the_list_is_read_as_it_was_written() {
    let guards = of_file("engine/one.rs", FILE).unwrap();
    let text = "[engine/one.rs]\none: expect\n    simulation a::b\none: row.expect\n    redundant: twice\n";
    let listed = list::parse(text).unwrap();
    assert!(listed.values().any(|proof| *proof == Proof::Redundant("twice".into())));
    let rendered = list::render(&guards, &listed);
    assert!(rendered.ends_with(&text["[engine/one.rs]\n".len()..]), "{rendered}");
    assert!(rendered.contains("one: Expect::Absent\n    unproved\n"), "{rendered}");
    let differences = list::differences(&guards, &listed);
    assert_eq!(differences.len(), guards.len() - 2);
    assert!(list::parse("one: expect\none: row.expect\n").is_err());
    assert!(list::parse("[engine/one.rs]\none: expect\n").is_err());
}
