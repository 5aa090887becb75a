//! A copy of the workspace in the build folder in which every guard is a switch: built once, it is the
//! program without this or that guard by the number in a variable of the environment.

use crate::find::{self, Guard, Removal};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The number of the guard that is gone.
pub const GONE: &str = "CAUCE_GUARD_GONE";

/// A file that the numbers of the guards that were reached are added to, each with a `!` once it made a
/// difference.
pub const REACHED: &str = "CAUCE_GUARDS_REACHED";

/// What the copy needs not: builds, history, what runs left, and the largest of the data that no test of a
/// guard reads.
const WITHOUT: [&str; 4] = ["target", ".git", ".cauce", "corpus"];

/// The switches, a module of the lowest crate.
const SWITCHES: &str = r#"//! Switches for guards.
#![allow(clippy::disallowed_methods, missing_docs)]

use std::collections::{BTreeSet, VecDeque};
use std::io::Write as _;
use std::sync::{Mutex, OnceLock};

/// How many of the conditions that were made last one that is refused may be of.
const LAST: usize = 40;

struct Told {
    told: BTreeSet<(usize, bool)>,
    last: VecDeque<usize>,
    file: std::fs::File,
}

impl Told {
    fn tell(&mut self, number: usize, mattered: bool) {
        if self.told.insert((number, mattered)) {
            let _ = writeln!(self.file, "{number}{}", if mattered { "!" } else { "" });
        }
    }
}

fn read(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn told(tell: impl FnOnce(&mut Told)) {
    static TOLD: OnceLock<Option<Mutex<Told>>> = OnceLock::new();
    let told = TOLD.get_or_init(|| {
        let path = read("CAUCE_GUARDS_REACHED")?;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path).ok()?;
        Some(Mutex::new(Told { told: BTreeSet::new(), last: VecDeque::new(), file }))
    });
    if let Some(told) = told {
        tell(&mut told.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }
}

fn is_gone(number: usize) -> bool {
    static GONE: OnceLock<Option<usize>> = OnceLock::new();
    *GONE.get_or_init(|| read("CAUCE_GUARD_GONE")?.parse().ok()) == Some(number)
}

/// Whether this condition of a write is the one that is gone.
pub fn gone(number: usize) -> bool {
    told(|told| {
        told.tell(number, false);
        told.last.retain(|other| *other != number);
        told.last.push_back(number);
        if told.last.len() > LAST {
            told.last.pop_front();
        }
    });
    is_gone(number)
}

/// What a comparison says, or what lets everything pass where it is the one that is gone. It made a
/// difference once it said the other.
pub fn says(number: usize, passes: bool, said: bool) -> bool {
    told(|told| told.tell(number, said != passes));
    if is_gone(number) { passes } else { said }
}

/// The same of a condition that is judged. Refused, one of those that were made last made a difference.
pub fn judges(number: usize, said: bool) -> bool {
    if !said {
        told(|told| {
            for other in told.last.clone() {
                told.tell(other, true);
            }
        });
    }
    says(number, true, said)
}

/// A condition that every item keeps.
pub fn holds() -> crate::item::Cond {
    crate::item::Cond::Lacks(String::new(), String::new())
}
"#;

/// Makes the folder hold the workspace with its guards as switches, numbered by their place in `guards`.
/// Files that are right already keep their times, so that a build does only what changed.
pub fn make(workspace: &Path, guards: &[Guard], folder: &Path) -> Result<(), String> {
    let mut files = BTreeMap::new();
    collect(workspace, Path::new(""), &mut files)?;
    let manifest = take(&mut files, Path::new("Cargo.toml"))?;
    // Switches stand in brackets that nobody wrote, and warnings about them help nobody.
    let manifest = manifest.replace("= \"warn\"", "= \"allow\"");
    let version = manifest.lines().find(|line| line.starts_with("version = \""));
    let version = version.ok_or("the workspace's Cargo.toml names no version")?.to_owned();
    // Cargo tells packages by name, version and place in their workspace: under the same version the copy's
    // builds and the workspace's own would overwrite each other.
    let other = version.replacen("\"", "\"1", 1);
    files.insert("Cargo.toml".into(), manifest.replacen(&version, &other, 1).into_bytes());
    let lock = take(&mut files, Path::new("Cargo.lock"))?;
    let blocks: Vec<String> = lock.split("[[package]]").map(|block| ours(block, &version, &other)).collect();
    files.insert("Cargo.lock".into(), blocks.join("[[package]]").into_bytes());
    let mut of_file: BTreeMap<&str, Vec<(usize, &Guard)>> = BTreeMap::new();
    for (number, guard) in guards.iter().enumerate() {
        of_file.entry(&guard.name.file).or_default().push((number, guard));
    }
    for (file, guards) in of_file {
        let path = find::path(Path::new(""), file);
        let text = take(&mut files, &path)?;
        files.insert(path, switched(&text, file, &guards).into_bytes());
    }
    let model = find::path(Path::new(""), "model/lib.rs");
    let text = take(&mut files, &model)?;
    files.insert(model.with_file_name("guards.rs"), SWITCHES.into());
    files.insert(model, format!("{text}\npub mod guards;\n").into_bytes());
    let mut before = BTreeSet::new();
    if folder.exists() {
        walk(folder, Path::new(""), &mut before)?;
    }
    for path in before.into_iter().filter(|path| !files.contains_key(path)) {
        fs::remove_file(folder.join(&path)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    for (path, bytes) in files {
        let path = folder.join(path);
        if fs::read(&path).is_ok_and(|before| before == bytes) {
            continue;
        }
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(())
}

/// A package of the lock file; our own, which come from no registry, under the copy's version.
fn ours(block: &str, version: &str, other: &str) -> String {
    if block.contains("\nsource = ") { block.to_owned() } else { block.replacen(version, other, 1) }
}

fn take(files: &mut BTreeMap<PathBuf, Vec<u8>>, path: &Path) -> Result<String, String> {
    let bytes = files.remove(path).ok_or_else(|| format!("{} is not there", path.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
}

fn collect(root: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    let mut paths = BTreeSet::new();
    walk(root, below, &mut paths)?;
    for path in paths {
        let bytes = fs::read(root.join(&path)).map_err(|error| format!("{}: {error}", path.display()))?;
        files.insert(path, bytes);
    }
    Ok(())
}

/// The files below a folder.
fn walk(root: &Path, below: &Path, paths: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    let folder = root.join(below);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
        let path = below.join(entry.file_name());
        let full = root.join(&path);
        if WITHOUT.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if full.is_dir() {
            walk(root, &path, paths)?;
        } else if full.is_file() {
            paths.insert(path);
        }
    }
    Ok(())
}

/// A file's text with its guards as switches. Only additions: guards may stand inside of others.
fn switched(text: &str, file: &str, guards: &[(usize, &Guard)]) -> String {
    let model = if file.starts_with("model/") { "crate" } else { "cauce_model" };
    // Byte, then: what closes comes before what opens there; of several that open, the longest is outside.
    let mut pieces: Vec<(usize, bool, usize, String)> = Vec::new();
    for (number, guard) in guards {
        let switch = format!("{model}::guards");
        let gone = format!("{switch}::gone({number})");
        let any = format!("(if {gone} {{ {model}::item::Expect::Any }} else {{");
        let (open, close) = match guard.removal {
            Removal::ExpectAny | Removal::HandedAny => (any, "})"),
            Removal::FieldAny => (format!("expect: {any}"), "})"),
            Removal::CondHolds => (format!("(if {gone} {{ {model}::guards::holds() }} else {{"), "})"),
            Removal::True => (format!("{switch}::says({number}, true, "), ")"),
            // An arm: in braces it needs no comma after it, and may have one.
            Removal::Judged => (format!("{{ {switch}::judges({number}, "), ") }"),
            Removal::False => (format!("{switch}::says({number}, false, "), ")"),
        };
        let length = guard.place.len();
        pieces.push((guard.place.start, true, usize::MAX - length, open));
        pieces.push((guard.place.end, false, length, close.to_owned()));
    }
    pieces.sort_by_key(|piece| (piece.0, piece.1, piece.2));
    let mut switched = String::with_capacity(text.len() * 2);
    let mut at = 0;
    for (place, _, _, piece) in pieces {
        switched.push_str(&text[at..place]);
        switched.push_str(&piece);
        at = place;
    }
    switched.push_str(&text[at..]);
    switched
}
