//! The committed list: each guard with the test that fails without it.
//!
//! ```text
//! [engine/finish.rs]
//! finish: record.fence != finish.fence -> false
//!     simulation faults::a_late_first_attempt_is_rejected
//! ```
//!
//! A guard that may go without a test says `redundant:` and the reason; one whose test is still to be written
//! says `unproved`.

use crate::find::{Guard, Name};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Why a guard is believed to be needed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Proof {
    /// This test fails without it.
    Test(Test),
    /// Nothing changes without it, for this reason.
    Redundant(String),
    /// All tests that reach it pass without it.
    Unproved,
}

/// A test of one of the programs of [`crate::trial::PROGRAMS`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Test {
    /// The program's name.
    pub program: String,
    /// The test's, with its modules.
    pub name: String,
}

/// What the list says.
pub type Listed = BTreeMap<Name, Proof>;

/// Where the list lies.
pub fn path(workspace: &Path) -> PathBuf {
    workspace.join("tests/guards/guards.txt")
}

/// Reads the list's text.
pub fn parse(text: &str) -> Result<Listed, String> {
    let mut listed = Listed::new();
    let (mut file, mut guard) = (String::new(), None::<String>);
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| Err(format!("line {}: {what}", number + 1));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(said) = line.strip_prefix("    ") {
            let Some(guard) = guard.take() else { return wrong("a proof without its guard above it") };
            let proof = match said.strip_prefix("redundant: ") {
                Some(reason) => Proof::Redundant(reason.to_owned()),
                None if said == "unproved" => Proof::Unproved,
                None => match said.split_once(' ') {
                    Some((program, name)) => {
                        Proof::Test(Test { program: program.to_owned(), name: name.to_owned() })
                    }
                    None => {
                        return wrong(
                            "a proof is a program and a test, `unproved`, or `redundant: ` and a reason",
                        );
                    }
                },
            };
            if listed.insert(Name { file: file.clone(), guard }, proof).is_some() {
                return wrong("a guard is listed twice");
            }
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            file = name.to_owned();
        } else {
            if guard.is_some() {
                return wrong("a guard without a proof above it");
            }
            guard = Some(line.to_owned());
        }
    }
    match guard {
        Some(guard) => Err(format!("the last guard has no proof: {guard}")),
        None => Ok(listed),
    }
}

/// Writes a list in the order of the guards; those that it does not know are unproved.
pub fn render(guards: &[Guard], listed: &Listed) -> String {
    let mut text = String::from(
        "# Each guard with the test that fails without it (`make guards`). `make guards-find` finds the tests\n\
         # of guards that are new or unproved, and writes them down.\n",
    );
    let mut file = "";
    for guard in guards {
        let proof = listed.get(&guard.name).unwrap_or(&Proof::Unproved);
        if file != guard.name.file {
            file = &guard.name.file;
            let _ = writeln!(text, "\n[{file}]");
        }
        let _ = match proof {
            Proof::Test(test) => writeln!(text, "{}\n    {} {}", guard.name.guard, test.program, test.name),
            Proof::Redundant(reason) => writeln!(text, "{}\n    redundant: {reason}", guard.name.guard),
            Proof::Unproved => writeln!(text, "{}\n    unproved", guard.name.guard),
        };
    }
    text
}

/// What is wrong between source and list: a line for each guard that only one of them has.
pub fn differences(guards: &[Guard], listed: &Listed) -> Vec<String> {
    let found: BTreeMap<&Name, &Guard> = guards.iter().map(|guard| (&guard.name, guard)).collect();
    let unlisted = guards.iter().filter(|guard| !listed.contains_key(&guard.name));
    let vanished = listed.keys().filter(|name| !found.contains_key(name));
    unlisted
        .map(|guard| format!("not listed: {}", guard.name))
        .chain(vanished.map(|name| format!("listed, but not in the source: {name}")))
        .collect()
}
