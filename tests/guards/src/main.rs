//! `check`: every listed guard removed in turn makes its test fail. `find`: tests for guards that are new or
//! unproved. `list`: the guards that there are.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use cauce_guards::find::{self, Guard, Removal};
use cauce_guards::list::{self, Listed, Proof, Test};
use cauce_guards::trial::{self, Ended, LOOKS_MAX, Programs};
use cauce_guards::{copy, workspace};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::{env, fs};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["list"] => print(),
        ["check"] => check(),
        ["find", tests @ ..] => search(tests),
        _ => Err("say `list`, `check`, or `find` and perhaps words of tests to try".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guards: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print() -> Result<(), String> {
    for guard in find::all(&workspace())? {
        println!("{:<11} {}", guard.removal.kind(), guard.name);
    }
    Ok(())
}

/// Where builds go, and below it what is ours.
fn target() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "cargo's own variable, read where the program starts")]
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

struct Bench {
    guards: Vec<Guard>,
    listed: Listed,
    programs: Programs,
    tests: Vec<Test>,
}

fn bench() -> Result<Bench, String> {
    let guards = find::all(&workspace())?;
    let path = list::path(&workspace());
    let text = fs::read_to_string(&path).unwrap_or_default();
    let listed = list::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let folder = target().join("guards/copy");
    copy::make(&workspace(), &guards, &folder)?;
    println!("guards: building the tests with {} switches", guards.len());
    let programs = trial::build(&folder, &target())?;
    let tests = trial::tests(&programs)?;
    Ok(Bench { guards, listed, programs, tests })
}

fn check() -> Result<(), String> {
    let Bench { guards, listed, programs, tests } = bench()?;
    let differences = list::differences(&guards, &listed);
    if !differences.is_empty() {
        return Err(format!("{}\n`make guards-find` mends the list", differences.join("\n")));
    }
    let proofs: Vec<(usize, &Guard, &Test)> = guards
        .iter()
        .enumerate()
        .filter_map(|(number, guard)| match listed.get(&guard.name) {
            Some(Proof::Test(test)) => Some((number, guard, test)),
            _ => None,
        })
        .collect();
    let killers: Vec<&Test> =
        proofs.iter().map(|(_, _, test)| *test).collect::<BTreeSet<_>>().into_iter().collect();
    let unknown: Vec<String> = killers
        .iter()
        .filter(|test| !tests.contains(test))
        .map(|test| format!("no such test: {} {}", test.program, test.name))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown.join("\n"));
    }
    let sound = trial::each(&killers, |test| trial::run(&programs, test, None, None, SOUND_LOOKS))?;
    let broken: Vec<String> = killers
        .iter()
        .zip(&sound)
        .filter(|(_, ended)| !matches!(ended, Ended::Passed(_)))
        .map(|(test, _)| format!("does not pass with every guard in place: {} {}", test.program, test.name))
        .collect();
    if !broken.is_empty() {
        return Err(broken.join("\n"));
    }
    println!("guards: {} tests pass; now each of {} guards is removed", killers.len(), proofs.len());
    // The limit leaves room: a slow test that passes is not taken for one that never ends.
    let took: BTreeMap<&Test, u64> = killers
        .iter()
        .zip(&sound)
        .filter_map(|(test, ended)| match ended {
            Ended::Passed(looks) => Some((*test, *looks)),
            _ => None,
        })
        .collect();
    let ends = trial::each(&proofs, |(number, _, test)| {
        let looks = took.get(test).map_or(LOOKS_MAX, |looks| LOOKS_MAX + looks * 8);
        trial::run(&programs, test, Some(*number), None, looks)
    })?;
    let survivors: Vec<String> = proofs
        .iter()
        .zip(&ends)
        .filter(|(_, ended)| matches!(ended, Ended::Passed(_)))
        .map(|((_, guard, test), _)| {
            format!(
                "nobody noticed that it was gone: {}\n  {} {} passes without it",
                guard.name, test.program, test.name
            )
        })
        .collect();
    if !survivors.is_empty() {
        return Err(format!("{}\nwrite a test that fails without it, or take it away", survivors.join("\n")));
    }
    let late = ends.iter().filter(|ended| **ended == Ended::TooLate).count();
    let unproved = listed.values().filter(|proof| **proof == Proof::Unproved).count();
    println!(
        "guards: {} removed and noticed ({late} by a run that never ended), {} redundant with their reasons, \
         {unproved} unproved",
        proofs.len(),
        listed.len() - proofs.len() - unproved
    );
    Ok(())
}

/// Tests each unlisted guard against the tests that reach it, from the quickest to the slowest.
fn search(words: &[&str]) -> Result<(), String> {
    let Bench { guards, mut listed, programs, tests } = bench()?;
    let names: BTreeSet<_> = guards.iter().map(|guard| &guard.name).collect();
    listed.retain(|name, proof| names.contains(name) && *proof != Proof::Unproved);
    let tests: Vec<Test> = tests
        .into_iter()
        .filter(|test| words.is_empty() || words.iter().any(|word| test.name.contains(word)))
        .collect();
    let missing: Vec<(usize, &Guard)> =
        guards.iter().enumerate().filter(|(_, guard)| !listed.contains_key(&guard.name)).collect();
    println!("guards: {} to find; looking which of them {} tests reach", missing.len(), tests.len());
    let folder = target().join("guards/reached").join(digest(&programs)?);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let reached = trial::each(&tests, |test| reach(&programs, test, &folder))?;
    let mut order: Vec<(&Test, Seen)> = Vec::new();
    for (test, reached) in tests.iter().zip(reached) {
        match reached {
            Some(seen) => order.push((test, seen)),
            None => eprintln!("guards: fails with every guard in place: {} {}", test.program, test.name),
        }
    }
    order.sort_by_key(|(_, seen)| seen.looks);
    let path = list::path(&workspace());
    let listed = Mutex::new(listed);
    let found = trial::each(&missing, |(number, guard)| {
        let Some(test) = killer(&programs, *number, guard.removal, &order)? else {
            let count = |of: fn(&Seen) -> &BTreeSet<usize>| {
                order.iter().filter(|(_, seen)| of(seen).contains(number)).count()
            };
            let (reach, matters) = (count(|seen| &seen.reached), count(|seen| &seen.mattered));
            println!("survives ({reach} tests reach it, in {matters} it matters): {}", guard.name);
            return Ok(false);
        };
        println!("{}\n    {} {}", guard.name, test.program, test.name);
        let mut listed = listed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        listed.insert(guard.name.clone(), Proof::Test(test.clone()));
        fs::write(&path, list::render(&guards, &listed))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        Ok(true)
    })?;
    let survivors = found.iter().filter(|found| !**found).count();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for guard in &guards {
        *kinds.entry(guard.removal.kind()).or_default() += 1;
    }
    println!("guards: {kinds:?}; {} found, {survivors} survive all tests", found.len() - survivors);
    Ok(())
}

/// How long a test with every guard in place may take, in looks.
const SOUND_LOOKS: u64 = 60_000;

/// Stands for these builds: what their tests reach is looked at once.
fn digest(programs: &Programs) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    for path in programs.values() {
        fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// How long a test is watched for the guards that it reaches, in looks. One that takes longer is tried last.
const REACH_LOOKS: u64 = 1500;

/// How long those tests are tried for one guard in which it made a difference, in looks; and then the others
/// that reach it.
const TRY_LOOKS: [u64; 2] = [4000, 500];

/// What was seen of a test.
struct Seen {
    /// How long it takes.
    looks: u64,
    /// The guards that it reaches.
    reached: BTreeSet<usize>,
    /// Those among them that refused something, as far as can be told.
    mattered: BTreeSet<usize>,
}

/// Watches a test, unless that was done; nothing if it fails.
fn reach(programs: &Programs, test: &Test, folder: &Path) -> Result<Option<Seen>, String> {
    let file = folder.join(format!("{}-{}", test.program, test.name.replace("::", "-")));
    let took = file.with_extension("looks");
    let before = fs::read_to_string(&took).ok().and_then(|text| text.parse().ok());
    let looks = match before {
        Some(looks) => looks,
        None => {
            let looks = match trial::run(programs, test, None, Some(&file), REACH_LOOKS)? {
                Ended::Passed(looks) => looks,
                Ended::TooLate => REACH_LOOKS,
                Ended::Failed => return Ok(None),
            };
            fs::write(&took, looks.to_string()).map_err(|error| format!("{}: {error}", took.display()))?;
            looks
        }
    };
    let text = fs::read_to_string(&file).unwrap_or_default();
    let numbers =
        |lines: &mut dyn Iterator<Item = &str>| lines.filter_map(|line| line.parse().ok()).collect();
    let mattered = numbers(&mut text.lines().filter_map(|line| line.strip_suffix('!')));
    let reached = numbers(&mut text.lines().map(|line| line.trim_end_matches('!')));
    Ok(Some(Seen { looks, reached, mattered }))
}

/// The quickest test that fails without a guard; one that never ends only if no other fails.
fn killer<'a>(
    programs: &Programs,
    number: usize,
    removal: Removal,
    order: &[(&'a Test, Seen)],
) -> Result<Option<&'a Test>, String> {
    let mut late = None;
    // A comparison that never said what its removal would not say makes no difference. Of a condition that is made
    // elsewhere than it is judged, that is a guess.
    let is_certain = matches!(removal, Removal::True | Removal::False | Removal::Judged);
    for (may_take, matters) in TRY_LOOKS.into_iter().zip([true, false]) {
        if is_certain && !matters {
            break;
        }
        let mut spent = 0;
        for (test, seen) in order {
            if !seen.reached.contains(&number) || seen.mattered.contains(&number) != matters {
                continue;
            }
            if spent > may_take {
                break;
            }
            spent += seen.looks;
            match trial::run(programs, test, Some(number), None, seen.looks * 8 + LOOKS_MAX)? {
                Ended::Failed => return Ok(Some(*test)),
                // Of one that was cut off before it is not known how long it takes with its guards.
                Ended::TooLate if seen.looks < REACH_LOOKS => late = late.or(Some(*test)),
                Ended::TooLate | Ended::Passed(_) => {}
            }
        }
    }
    Ok(late)
}
