//! Building the copy and running single tests of it, with a guard gone or with none.

use crate::copy::{GONE, REACHED};
use crate::list::Test;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The programs whose tests may prove a guard: a name for the list, and the test program.
pub const PROGRAMS: [(&str, &str); 3] =
    [("simulation", "simulation"), ("tables", "table"), ("interface", "api")];

/// How often a running test is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How much longer a test may go on without its guard than eight times what it takes with it, in looks: a run
/// in virtual time that never ends is noticed like one that ends wrongly.
pub const LOOKS_MAX: u64 = 3_000;

/// What a test without its guard may take of memory, in KiB of addresses: one that never ends often grows.
const MEMORY_KIB: u64 = 4 << 20;

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Well, after as many looks.
    Passed(u64),
    /// Not well.
    Failed,
    /// Not by itself.
    TooLate,
}

/// The built programs by name.
pub type Programs = BTreeMap<String, PathBuf>;

/// Builds the test programs of a copy, with the third-party builds of this workspace: with all of its packages
/// chosen, though only two programs are built, crates from elsewhere have the same features as in `make test`.
/// The copy's crates have the names of ours and lie where ours do: what the compiler remembers between builds of
/// the one must not reach the other (rust-lang/rust#67802, symbols that the linker does not find).
pub fn build(copy: &Path, target: &Path) -> Result<Programs, String> {
    let mut command = Command::new("cargo");
    command.current_dir(copy).env("CARGO_TARGET_DIR", target).env("CARGO_INCREMENTAL", "0");
    command.args(["test", "--locked", "--workspace", "--no-run", "--quiet", "--message-format=json"]);
    for (_, test) in PROGRAMS {
        command.args(["--test", test]);
    }
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = || said.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    if !output.status.success() {
        let errors: String =
            messages().filter(|line| line["message"]["level"] == "error").filter_map(rendered).collect();
        let cargo = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the copy with switches does not build:\n{errors}{cargo}"));
    }
    let mut programs = Programs::new();
    for line in messages() {
        let Some(executable) = line["executable"].as_str() else { continue };
        if let Some((name, _)) = PROGRAMS.iter().find(|(_, test)| line["target"]["name"] == *test) {
            programs.insert((*name).to_owned(), executable.into());
        }
    }
    match PROGRAMS.iter().find(|(name, _)| !programs.contains_key(*name)) {
        Some((name, _)) => Err(format!("cargo built no program for the tests of `{name}`")),
        None => Ok(programs),
    }
}

fn rendered(message: Json) -> Option<String> {
    message["message"]["rendered"].as_str().map(str::to_owned)
}

/// The tests of every program.
pub fn tests(programs: &Programs) -> Result<Vec<Test>, String> {
    let mut tests = Vec::new();
    for (program, path) in programs {
        let output = Command::new(path).args(["--list", "--format", "terse"]).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let names = said.lines().filter_map(|line| line.strip_suffix(": test"));
        tests.extend(names.map(|name| Test { program: program.clone(), name: name.to_owned() }));
    }
    Ok(tests)
}

/// Runs one test alone, without the guard of this number, for as many looks at most.
pub fn run(
    programs: &Programs,
    test: &Test,
    gone: Option<usize>,
    reached: Option<&Path>,
    looks_max: u64,
) -> Result<Ended, String> {
    let program = programs.get(&test.program).ok_or_else(|| format!("no program `{}`", test.program))?;
    // Where the shell knows no such limit, there is none.
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {MEMORY_KIB} 2>/dev/null; exec \"$0\" \"$@\"")).arg(program);
    command.args(["--exact", &test.name, "--test-threads=1"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(number) = gone {
        command.env(GONE, number.to_string());
    }
    if let Some(path) = reached {
        command.env(REACHED, path);
    }
    let mut child = command.spawn().map_err(|error| format!("sh: {error}"))?;
    for looks in 0..looks_max {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(if status.success() { Ended::Passed(looks) } else { Ended::Failed });
        }
        std::thread::sleep(LOOK);
    }
    end(&mut child)?;
    Ok(Ended::TooLate)
}

fn end(child: &mut Child) -> Result<(), String> {
    child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
}

/// Does the same with each of many, as many at a time as there are cores.
pub fn each<T: Sync, R: Send>(
    of: &[T],
    what: impl Fn(&T) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(of.len()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((at, one)) = take(of, &next) {
                    let result = what(one);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn take<'a, T>(of: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    of.get(at).map(|one| (at, one))
}
